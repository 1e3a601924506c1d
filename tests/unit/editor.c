/*
 * editor.c - the line editor of client.c: keys from a string, a screen that shows the line
 *
 * It includes the editor's fuzzer, whose inputs it replays.
 */
#define FUZZ_INCLUDED
#include "../fuzz/editor.c"

#include "unit.h"

static struct text paint;
static char row[4 * SCREEN_COLUMNS * 4];
static char ran[8192];          /* the lines that were accepted, each with a bar behind it */

static size_t messages[100000], message_count;
static int64_t message_octets;  /* of message n: n times this; -1: unknown */

static size_t
test_message(void *context, size_t above, int64_t *octets)
{
    (void)context;
    for (size_t i = 0; i < message_count; i++)
        if (messages[i] > above) {
            *octets = message_octets < 0 ? -1 : message_octets * (int64_t)messages[i];
            return messages[i];
        }
    return 0;
}

/* Puts on the screen what was painted. */
static void
put_out(void)
{
    text_puts(&paint, "");
    screen_write(&screen, paint.bytes, paint.length);
    text_clear(&paint);
}

static void
repaint(void)
{
    editor_paint(&editor, &paint);
    put_out();
}

static void
begin(size_t columns)
{
    fuzz_end(&editor);
    memset(&editor, 0, sizeof editor);
    editor.prompt = "pop3> ";
    editor.next_message = test_message;
    editor_start(&editor, false);
    editor_resize(&editor, columns);
    screen_init(&screen, columns, screen_width);
    ran[0] = '\0';
    message_count = 0;
    message_octets = -1;
    repaint();
}

static void
have_messages(size_t count, int64_t octets)
{
    for (message_count = 0; message_count < count; message_count++)
        messages[message_count] = message_count + 1;
    message_octets = octets;
}

/*
 * Types bytes and lets every line run; paints at the end. Returns the last verdict that was not
 * MORE, or MORE.
 */
static enum verdict
type_octets(const char *keys, size_t length)
{
    enum verdict last = MORE;

    for (size_t i = 0; i < length; i++) {
        enum verdict verdict = editor_feed(&editor, (unsigned char)keys[i]);

        if (verdict != MORE)
            last = verdict;
        if (verdict == LINE) {
            strcat(ran, editor.flaw != NULL ? editor.flaw : editor.line);
            strcat(ran, "|");
            editor_finish(&editor, "", &paint);
            put_out();
            editor_start(&editor, false);
        }
    }
    repaint();
    return last;
}

static enum verdict
type(const char *keys)
{
    return type_octets(keys, strlen(keys));
}

/* The same key, many times, without a look at the screen. */
static void
type_many(char key, int times)
{
    for (int i = 0; i < times; i++)
        editor_feed(&editor, (unsigned char)key);
}

/* What the editor shows, with | where the cursor is. */
static const char *
held(void)
{
    static char text[TYPED_MAX + 2];

    memcpy(text, editor.line, editor.cursor);
    text[editor.cursor] = '|';
    strcpy(text + editor.cursor + 1, editor.line + editor.cursor);
    return text;
}

static bool
holds(const char *expected)
{
    bool good = strcmp(held(), expected) == 0;

    if (!good)
        printf("    holds '%s', not '%s'\n", held(), expected);
    return good;
}

/* Keys for a fresh editor, and what it holds then. */
struct keys {
    const char *what, *keys, *held;
};

static void
try_keys(const struct keys *list, size_t count, const char *first)
{
    for (size_t i = 0; i < count; i++) {
        begin(80);
        type(first);
        type(list[i].keys);
        if (!CHECK(holds(list[i].held) && screen.foreign == 0))
            printf("    that was: %s\n", list[i].what);
    }
}

#define TRY(list) try_keys(list, sizeof list / sizeof *list, "")

static const char *
line_at(size_t n)
{
    return screen_row(&screen, n, row, sizeof row);
}

/* The row of the cursor shows this, and the cursor in this column. */
static bool
shows(const char *expected, size_t column)
{
    bool good = strcmp(line_at(screen.row), expected) == 0 && screen.column == column
        && !screen.pending && screen.foreign == 0 && screen.wrapped == 0;

    if (!good)
        printf("    shows '%s', cursor %zu, foreign %d, wrapped %d\n", line_at(screen.row),
               screen.column, screen.foreign, screen.wrapped);
    return good;
}

static bool
row_is(size_t n, const char *expected)
{
    bool good = strcmp(line_at(n), expected) == 0;

    if (!good)
        printf("    row %zu is '%s', not '%s'\n", n, line_at(n), expected);
    return good;
}

#define TOO_LONG "is longer than 4096 bytes"

#define UP "\033[A"
#define DOWN "\033[B"
#define RIGHT "\033[C"
#define LEFT "\033[D"

static void
test_moving(void)
{
    static const struct keys moves[] = {
        {"typing", "LIST 1", "LIST 1|"},
        {"^A", "abc\001", "|abc"},
        {"^E", "abc\001\005", "abc|"},
        {"^B", "abc\002", "ab|c"},
        {"^B stops at the start", "a\002\002\002x", "x|a"},
        {"^F", "abc\001\006", "a|bc"},
        {"^F stops at the end", "a\006\006x", "ax|"},
        {"left, CSI", "abc" LEFT LEFT, "a|bc"},
        {"left, SS3", "abc\033OD", "ab|c"},
        {"right, CSI", "abc\001" RIGHT, "a|bc"},
        {"right, SS3", "abc\001\033OC", "a|bc"},
        {"Home, CSI H", "abc\033[H", "|abc"},
        {"Home, SS3 H", "abc\033OH", "|abc"},
        {"Home, 1~", "abc\033[1~", "|abc"},
        {"Home, 7~ of rxvt", "abc\033[7~", "|abc"},
        {"End, CSI F", "abc\001\033[F", "abc|"},
        {"End, SS3 F", "abc\001\033OF", "abc|"},
        {"End, 4~", "abc\001\033[4~", "abc|"},
        {"End, 8~ of rxvt", "abc\001\033[8~", "abc|"},
        {"Alt-B", "RETR 12 345\033b", "RETR 12 |345"},
        {"Alt-B twice", "RETR 12 345\033b\033b", "RETR |12 345"},
        {"Alt-F", "RETR 12\001\033f", "RETR| 12"},
        {"Alt-F over blanks", "RETR  12-5\001\033f\033f", "RETR  12-5|"},
        {"Ctrl-left of xterm", "RETR 12\033[1;5D", "RETR |12"},
        {"Ctrl-right of xterm", "RETR 12\001\033[1;5C", "RETR| 12"},
        {"Ctrl-left of old xterm", "RETR 12\033[5D", "RETR |12"},
        {"Ctrl-left of rxvt", "RETR 12\033Od", "RETR |12"},
        {"Ctrl-right of rxvt", "RETR 12\001\033Oc", "RETR| 12"},
        {"Alt-left of xterm", "RETR 12\033[1;3D", "RETR |12"},
        {"Shift-left is left", "RETR 12\033[1;2D", "RETR 1|2"},
        {"accents are one step", "a\xc3\xa9z" LEFT LEFT, "a|\xc3\xa9z"},
        {"wide characters", "\xe4\xbd\xa0\xe5\xa5\xbd\002", "\xe4\xbd\xa0|\xe5\xa5\xbd"},
        {"words of other scripts", "x \xe4\xbd\xa0\xe5\xa5\xbd \033b",
         "x |\xe4\xbd\xa0\xe5\xa5\xbd "},
    };

    TRY(moves);
}

static void
test_changing(void)
{
    static const struct keys changes[] = {
        {"typing in the middle", "ac\002b", "ab|c"},
        {"Backspace", "abc\177", "ab|"},
        {"^H", "abc\010", "ab|"},
        {"Backspace at the start", "\177a", "a|"},
        {"Delete", "abc\001\033[3~", "|bc"},
        {"Delete at the end", "abc\033[3~", "abc|"},
        {"^D with text", "abc\001\004", "|bc"},
        {"^D at the end of text", "abc\004", "abc|"},
        {"^K", "abcdef\002\002\013", "abcd|"},
        {"^U", "abcdef\002\002\025", "|ef"},
        {"^W", "RETR 1-5 ab-cd\027", "RETR 1-5 |"},
        {"^W over blanks", "RETR 12  \027", "RETR |"},
        {"Alt-D", "RETR 12\001\033d", "| 12"},
        {"Alt-Backspace", "RETR ab-cd\033\177", "RETR |"},
        {"Ctrl-Delete", "RETR 12\001\033[3;5~", "| 12"},
        {"Ctrl-Delete of rxvt", "RETR 12\001\033[3^", "| 12"},
        {"^Y", "abc\025x\031y", "xabcy|"},
        {"^Y with nothing killed", "ab\031", "ab|"},
        {"kills in a row to the left", "one two three\027\027\001\031", "two three|one "},
        {"kills in a row to the right", "one two three\001\033d\033d\005\031", " threeone two|"},
        {"kills in a row to both sides", "one two three\033b\027\013\031", "one two three|"},
        {"kills apart", "one two\027\002\002\013\031", "one |"},
        {"Backspace takes an accent", "a\xc3\xa9\177", "a|"},
        {"Backspace takes an emoji", "a\xf0\x9f\x98\x80\177", "a|"},
        {"Alt-D of an accented word", "\xc3\xa9t\xc3\xa9 x\001\033d", "| x"},
    };

    TRY(changes);
}

static void
test_verdicts(void)
{
    begin(80);
    CHECK(type("\004") == END);
    CHECK(type("ab\003") == INTERRUPT);
    CHECK(strcmp(editor.line, "ab") == 0);      /* it stays, to be looked at */
    editor_start(&editor, false);
    CHECK(editor.length == 0 && editor.line[0] == '\0');
    CHECK(type("x\032") == SUSPEND && strcmp(editor.line, "x") == 0);
    CHECK(type("\r") == LINE);
    CHECK(type("y\n") == LINE);
    CHECK(type("z\033OM") == LINE);             /* Enter of the keypad */
    CHECK(strcmp(ran, "x|y|z|") == 0);
    begin(80);
    type("a\r\nb\n\nc\r");
    CHECK(strcmp(ran, "a|b||c|") == 0);         /* CRLF is one end of a line, LF LF are two */
    begin(80);
    type("abc\002\002\r");
    CHECK(strcmp(ran, "abc|") == 0);            /* Enter in the middle takes the whole line */
}

static void
test_sequences(void)
{
    static const struct keys none[] = {
        {"function keys of xterm", "a\033OP\033[15~\033[1;5P\033[24~b", "ab|"},
        {"function keys of the console", "a\033[[A\033[[Eb", "ab|"},
        {"page keys, Insert, Shift-Tab", "a\033[5~\033[6~\033[2~\033[Zb", "ab|"},
        {"a mouse report", "a\033[<0;12;13Mb", "ab|"},
        {"a cursor report", "a\033[12;40Rb", "ab|"},
        {"a report of a mode", "a\033[?2004;1$yb", "ab|"},
        {"focus reports", "a\033[I\033[Ob", "ab|"},
        {"a key of CSI u", "a\033[97;5ub", "ab|"},
        {"a long sequence", "a\033[1;2;3;4;5;6;7777777777777777777777mb", "ab|"},
        {"Alt with any letter", "a\033xb", "ab|"},
        {"Alt with an accent", "a\033\xc3\xa9" "b", "ab|"},
        {"ESC inside a sequence begins another", "abc\033[1;\033[D", "ab|c"},
        {"control inside a sequence counts", "abc\033[1;\001x", "x|abc"},
        {"Enter inside a sequence counts", "abc\033[0\rx", "x|"},
        {"a colour report, ended by BEL", "a\033]11;rgb:0/0/0\007b", "ab|"},
        {"a colour report, ended by ST", "a\033]11;rgb:0/0/0\033\\b", "ab|"},
        {"a device report", "a\033P1$r0m\033\\b", "ab|"},
        {"Enter inside a report counts", "abc\033]0\rx", "x|"},
        {"unknown control characters", "a\026\017\034b", "ab|"},
        {"an arrow with a modifier of long ago", "ab\033O5D", "ab|"},
    };

    TRY(none);
}

/* A sequence may be slow. Nothing of it becomes text, and one that is cut short is forgotten. */
static void
test_slow_sequences(void)
{
    begin(80);
    CHECK(editor_patience(&editor) == WAIT_FOREVER);
    type("ab\033");
    CHECK(editor_patience(&editor) == SEQUENCE_MS);
    type("[");
    CHECK(editor_patience(&editor) == SEQUENCE_MS);
    type("D");
    CHECK(holds("a|b") && editor_patience(&editor) == WAIT_FOREVER);
    type("\033");
    editor_timeout(&editor);
    type("x");
    CHECK(holds("ax|b"));       /* an ESC alone takes no other key with it */
    type("\033");
    editor_timeout(&editor);
    CHECK(editor_patience(&editor) == WAIT_FOREVER);
    type("[A");
    CHECK(holds("ax[A|b"));
    type("\033[1;");
    editor_timeout(&editor);
    type("y\033O");
    editor_timeout(&editor);
    type("z");
    CHECK(holds("ax[Ayz|b"));
}

static void
test_refused(void)
{
    static const struct keys refused[] = {
        {"stray continuation", "a\x80\xbfz", "az|"},
        {"a character cut short", "a\xc3z", "az|"},
        {"a character cut short by Backspace", "ab\xe4\xbd\177", "a|"},
        {"overlong", "a\xc0\xaf\xe0\x80\xafz", "az|"},
        {"surrogate", "a\xed\xa0\x80z", "az|"},
        {"beyond Unicode", "a\xf4\x90\x80\x80\xf8\x88\x80\x80\x80z", "az|"},
        {"C1 encoded", "a\xc2\x9b" "31mz", "a31mz|"},
        {"C1 raw", "a\x9b" "31mz", "a31mz|"},
        {"a right-to-left override", "a\xe2\x80\xaez", "az|"},
        {"a line separator", "a\xe2\x80\xa8z", "az|"},
        {"a combining mark", "a\xcc\x81z", "az|"},
        {"a joiner", "\xf0\x9f\x98\x80\xe2\x80\x8dz", "\xf0\x9f\x98\x80z|"},
    };

    TRY(refused);
    begin(80);
    type_octets("a\0b", 3);
    CHECK(holds("ab|"));
    begin(80);
    type("\x9b");
    CHECK(screen.bells == 1);
    begin(80);
    type_many('x', TYPED_MAX);
    repaint();
    CHECK(editor.length == TYPED_MAX && screen.bells == 0);
    type("y");
    CHECK(editor.length == TYPED_MAX && screen.bells == 1);
    type("\001\004\xc3\xa9");
    CHECK(editor.length == TYPED_MAX - 1);    /* half a character is never put */
    type("\025\031\031");
    CHECK(editor.length == TYPED_MAX - 1);    /* a kill comes back whole or not at all */
}

static void
test_paste(void)
{
    static const struct keys pastes[] = {
        {"a paste is text", "a\033[200~bc\033[201~d", "abcd|"},
        {"Tab in a paste is a blank", "\033[200~RE\tx\033[201~", "RE x|"},
        {"controls in a paste are dropped", "\033[200~a\001b\032c\177d\033[201~", "abcd|"},
        {"a sequence in a paste is no key", "ab\033[200~x\033[Dy\033[201~", "abxy|"},
        {"a false end in a paste", "\033[200~a\033[20b\033[20\033[201~c", "ac|"},
        {"an end without a start", "a\033[201~b", "ab|"},
        {"UTF-8 in a paste", "\033[200~\xc3\xa9\xff\xe4\xbd\xa0\033[201~", "\xc3\xa9\xe4\xbd\xa0|"},
    };

    TRY(pastes);
    begin(80);
    type("\033[200~STAT\nLIST 1\r\nRETR 2\rDE\033[201~LE 1\r");
    CHECK(strcmp(ran, "STAT|LIST 1|RETR 2|DELE 1|") == 0);
    begin(80);
    type("STAT\rLIST 1\rRETR 2\rDE");
    CHECK(strcmp(ran, "STAT|LIST 1|RETR 2|") == 0 && holds("DE|"));
    begin(80);
    type("QUIT\r\022QU\033[200~STAT\r\033[201~");
    CHECK(strcmp(ran, "QUIT|STAT|") == 0);      /* not what the search only looked at */
    begin(80);
    type("\033[200~");
    type_many('x', 10000);
    type("\r\033[201~");
    CHECK(strlen(editor.line) == 0 && strcmp(ran, TOO_LONG "|") == 0);
}

/* A pasted line is carried out as it was pasted, or not at all. */
static void
test_paste_dropped(void)
{
    static const char *const bad[] = {
        "DELE 1\0012", "DELE 1\xff" "2", "DELE 1\xe2\x80\x8b" "2", "DELE 1\033[C2",
        "DELE 1\xc3" "2", "DELE 1\0332",
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        begin(80);
        type("\033[200~STAT\n");
        type(bad[i]);
        type("\nNOOP\n\033[201~LIST\r" UP);
        CHECK(strcmp(ran, "STAT|is not only text|NOOP|LIST|") == 0);
        type(UP UP);
        CHECK(holds("STAT|"));
        begin(80);
        type("\033[200~");
        type(bad[i]);
        type("\033[201~\177\r");         /* whatever is done to it afterwards */
        CHECK(strcmp(ran, "is not only text|") == 0);
    }
}

/* A paste may be stopped by Ctrl-C, and may lose its end. */
static void
test_paste_ends(void)
{
    begin(80);
    CHECK(type("\033[200~STAT\rLIST\003") == INTERRUPT);
    editor_start(&editor, false);
    type("RETR 1\rRETR\033[20 2\r\033[201~NOOP\r");
    CHECK(strcmp(ran, "STAT|NOOP|") == 0 && editor.length == 0);

    begin(80);
    CHECK(type("\033[200~STAT\rLIST\003") == INTERRUPT);
    editor_start(&editor, false);
    type("RETR 1\rRET");
    CHECK(editor_patience(&editor) == SEQUENCE_MS);
    editor_timeout(&editor);
    CHECK(editor_patience(&editor) == WAIT_FOREVER);
    type("NOOP\r");
    CHECK(strcmp(ran, "STAT|NOOP|") == 0);

    begin(80);
    type("\033[200~ab\033[20");
    editor_timeout(&editor);
    type("1~c\177\001x");
    CHECK(holds("x|ab1~"));
    CHECK(type("\003") == INTERRUPT);
}

/* What did not fit is not carried out, whatever is done to the line in between. */
static void
test_too_long(void)
{
    static const struct keys ways[] = {
        {"typed", "", TOO_LONG "|"}, {"shortened", "\177\177", TOO_LONG "|"},
        {"cut", "\027", TOO_LONG "|"},
        {"up", UP, TOO_LONG "|"}, {"up and down", UP DOWN, TOO_LONG "|"},
        {"found", "\022NO", TOO_LONG "|"}, {"searched", "\022zz\007", TOO_LONG "|"},
        {"completed", "\t", TOO_LONG "|"}, {"brought back", "\025\031STAT", "STAT|"},
        {"emptied", "\025STAT", "STAT|"},
    };

    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        begin(80);
        type("NOOP\rDELE 1");
        for (int n = 0; n < 1000; n++)
            type(" 1000");
        CHECK(editor.flaw != NULL && screen.bells > 0);
        ran[0] = '\0';
        type(ways[i].keys);
        type("\r");
        if (!CHECK(strcmp(ran, ways[i].held) == 0))
            printf("    that was: %s\n", ways[i].what);
        type(UP);
        CHECK(holds(strcmp(ways[i].held, "STAT|") != 0 ? "NOOP|" : "STAT|"));
    }
    begin(80);
    type_many('x', TYPED_MAX);
    type("\r");
    CHECK(strlen(ran) == TYPED_MAX + 1);        /* as long as it may be */
}

static void
test_history(void)
{
    static const struct keys recalls[] = {
        {"^P", "one\rtwo\r\020", "two|"},
        {"^P ^P", "one\rtwo\r\020\020", "one|"},
        {"^P stops at the oldest", "one\r\020\020\020", "one|"},
        {"up, CSI and SS3", "one\rtwo\r" UP "\033OA", "one|"},
        {"^N", "one\rtwo\r\020\020\016", "two|"},
        {"down comes back to the unfinished line", "one\rtwo\rthr" UP UP DOWN DOWN, "thr|"},
        {"down stops there", "one\rthr" UP DOWN DOWN, "thr|"},
        {"no repeats in a row", "one\rtwo\rtwo\rtwo\r" UP UP, "one|"},
        {"repeats not in a row", "one\rtwo\rone\r" UP UP UP, "one|"},
        {"no blank lines", "one\r  \r\r" UP, "one|"},
        {"a recalled line that was changed is a new one", "one\r" UP "x\r" UP UP, "one|"},
        {"no PASS", "one\rPASS geheim\r" UP, "one|"},
        {"no pass", "one\r  pAsS geheim\r" UP, "one|"},
        {"nothing that begins with PASS", "one\rPASSWORT geheim\r" UP, "one|"},
        {"no PASS with a tab before it", "one\r\033[200~\tPASS geheim\r\033[201~" UP, "one|"},
    };

    TRY(recalls);
    begin(80);
    for (int i = 0; i < 1000; i++) {
        char line[32];

        snprintf(line, sizeof line, "NOOP %d\r", i);
        type(line);
        ran[0] = '\0';
    }
    for (int i = 0; i < 1000; i++)
        type(UP);
    CHECK(holds("NOOP 800|"));
    begin(80);
    for (int i = 0; i < 30; i++) {
        type_many((char)('a' + i % 26), 4000);
        editor_feed(&editor, '\r');
        editor_start(&editor, false);
    }
    for (int i = 0; i < 100; i++)
        type(UP);
    CHECK(editor.line[0] == 'a' && editor.length == 4000);
}

/* Nothing of a password is left in the editor when its line has gone. */
static void
test_passwords(void)
{
    static const char *const ways[] = {
        "PASS geheim\r", "  pass geheim\r", "PASS geheim\003", "PASS geheim\025\031\r",
        "PASS geheim\027\031\r",
        "PASS geheim\177\r", "PASS geheim\025\r", "PASS geheim\025\003",
        "NOOP\rPASS geheim" UP "\r", "NOOP\rPASS geheim" UP DOWN "\r", "NOOP\rPASS geheim\022NO\r",
        "NOOP\rPASS geheim\022NO\007\r", "\022PASS geheim\007\r",
    };

    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        begin(80);
        if (type(ways[i]) == INTERRUPT)
            editor_start(&editor, false);
        if (!CHECK(memmem(&editor, sizeof editor, "eheim", 5) == NULL))
            printf("    way %zu\n", i);
    }
    begin(80);
    type("abc\025\r\031");
    CHECK(holds("abc|"));       /* what else was killed is for the next line */
}

/* A password that was killed, even part of it, does not come back in the next line. */
static void
test_killed_password(void)
{
    static const char *const ways[] = {
        "PASS geheim\025\r", "PASS geheim\025STAT\r", "PASS geheim\027\r",
        "PASS geheim\027\025STAT\r",
        "PASS geheim\027\177\177\177\177\177STAT\r", "PASS geheim\001\006\006\013\177\177\r",
        "PASS geheim\033\177\025\r",
    };

    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        begin(80);
        type(ways[i]);
        type("x\031");
        if (!CHECK(strstr(editor.line, "eim") == NULL)
            || !CHECK(memmem(&editor, sizeof editor, "eheim", 5) == NULL))
            printf("    way %zu\n", i);
    }
}

/* It is not on the screen either when its line has gone. */
static void
test_password_shown(void)
{
    begin(80);
    type("  Pass geheim\r");
    CHECK(row_is(0, "pop3> PASS ***") && shows("pop3>", 6));
    type("PASS geheim");
    CHECK(shows("pop3> PASS geheim", 17));
    CHECK(type("\003") == INTERRUPT);
    editor_finish(&editor, "^C", &paint);
    put_out();
    CHECK(row_is(1, "pop3> PASS ***^C"));
    begin(20);
    type("PASS a long password that needs more than one row\r");
    CHECK(row_is(0, "pop3> PASS ***") && row_is(1, "pop3>") && row_is(2, ""));
}

/* Typed into the hidden prompt: every byte but the few that edit it. */
static void
test_hidden(void)
{
    static const struct keys keys[] = {
        {"blanks and TAB", " a\tb ", " a\tb "}, {"UTF-8", "g\xc3\xa9", "g\xc3\xa9"},
        {"Latin-1", "gr\xfc\xdf\xe9", "gr\xfc\xdf\xe9"}, {"C1", "a\x9b\x85z", "a\x9b\x85z"},
        {"half a character", "\xc3\xe4\xbdz", "\xc3\xe4\xbdz"},
        {"bidi", "\xe2\x80\xaez", "\xe2\x80\xaez"},
        {"controls", "\001\005\013\020\022\027\031\034z", "\001\005\013\020\022\027\031\034z"},
        {"Backspace", "abx\177\010c", "ac"}, {"Backspace over UTF-8", "a\xe4\xbd\xa0\177", "a"},
        {"Backspace over Latin-1", "a\xfc\xa0\177", "a\xfc"}, {"^U", "abc\025d", "d"},
        {"keys that send sequences", "a\033[D\033OP\033[3~b", "ab"},
        {"a paste", "\033[200~a\tb\xfc\033[201~", "a\tb\xfc"}, {"^D", "ab\004", "ab"},
    };

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        begin(80);
        type("NOOP\r");
        editor_start(&editor, true);
        for (const char *key = keys[i].keys; *key != '\0'; key++)
            editor_feed(&editor, (unsigned char)*key);
        if (!CHECK(strcmp(editor.line, keys[i].held) == 0))
            printf("    %s: '%s'\n", keys[i].what, editor.line);
        CHECK(editor_feed(&editor, '\r') == LINE);
        editor_start(&editor, false);
        type("\031" UP);
        CHECK(holds("NOOP|"));  /* nothing of it was kept */
    }
    begin(80);                  /* a paste that goes on in the password ends there */
    editor_start(&editor, false);
    type("\033[200~PASS\r");
    editor_start(&editor, true);
    for (const char *key = "geheim\033[201~"; *key != '\0'; key++)
        editor_feed(&editor, (unsigned char)*key);
    CHECK(strcmp(editor.line, "geheim") == 0 && !editor.pasting);
}

static void
test_search(void)
{
    static const struct keys searches[] = {
        {"^R", "\022RE", "|RETR 22"},
        {"^R finds in the middle", "\022TR 1", "RE|TR 1"},
        {"^R in any case", "\022retr", "|RETR 22"},
        {"^R again", "\022RE\022", "|RETR 1"},
        {"^R beyond the oldest", "\022RE\022\022\022", "|RETR 1"},
        {"Backspace in a search", "\022RETR 1\177", "|RETR 22"},
        {"Backspace to nothing", "xy\022RE\177\177\177", "xy|"},
        {"^G", "xyz\002\022RE\007", "xy|z"},
        {"^G on an older line", UP "yz" LEFT "\022RE\022\007", "NOOPy|z"},
        {"another key is obeyed", "\022RE\005x", "RETR 22x|"},
        {"an arrow is obeyed", "\022TR" LEFT, "R|ETR 22"},
        {"up goes on from there", "\022LIST" UP, "RETR 1|"},
        {"down goes on from there", "new\022RETR 2" DOWN DOWN, "new|"},
        {"not found, the line stays", "new\022zzz\005", "new|"},
        {"not found at last, the last match stays", "\022REzzz\005", "RETR 22|"},
        {"^R with nothing typed", "ab\022\022\007", "ab|"},
    };
    static const char before[] = "RETR 1\rLIST\rRETR 22\rNOOP\r";

    try_keys(searches, sizeof searches / sizeof *searches, before);
    begin(80);
    type(before);
    type("\022RE\r");
    CHECK(strcmp(ran, "RETR 1|LIST|RETR 22|NOOP|RETR 22|") == 0);
    type("xy\022RE");
    CHECK(shows("search 'RE': RETR 22", 13));
    type("Q");
    CHECK(shows("no 'REQ': RETR 22", 10));
    type("\033");
    editor_timeout(&editor);
    repaint();
    CHECK(holds("xy|") && shows("pop3> xy", 8));
    CHECK(type("\022RE\003") == INTERRUPT);
    begin(80);
    type("\022\022\022abc\r");
    CHECK(strcmp(ran, "|") == 0);
    begin(80);
    type("\022");
    type_many('q', 1000);
    repaint();
    CHECK(strlen(editor.query) == QUERY_MAX && screen.foreign == 0);
}

static void
test_completion(void)
{
    static const struct keys completions[] = {
        {"a command", "ret\t", "retr |"},
        {"a command, in upper case", "RET\t", "RETR |"},
        {"the last letter decides", "Qu\t", "Quit |"},
        {"what commands share", "no\t", "noop |"},
        {"ambiguous stays", "r\t", "r|"},
        {"an extra command", "sho\t", "show |"},
        {"no such command", "xyz\t", "xyz|"},
        {"behind blanks", "  hel\t", "  help |"},
        {"in the middle", "ret 1\001\033f\t", "retr |1"},
        {"no arguments to complete", "NOOP \t", "NOOP |"},
        {"a message that is not there", "RETR 7\t", "RETR 7|"},
    };

    TRY(completions);
    begin(80);
    have_messages(12, 1234);
    type("RETR 2\t");
    CHECK(holds("RETR 2 |"));
    type("3\t");
    CHECK(holds("RETR 2 3 |"));
    type("5-1\t");
    CHECK(holds("RETR 2 3 5-1|"));
    type("2\t");
    CHECK(holds("RETR 2 3 5-12 |"));
    type("\025headers 4\t4\t");
    CHECK(holds("headers 4 4 |"));
    type("\025show 4\t4\t");
    CHECK(holds("show 4 4 |"));
    type("\025USER 4\t");
    CHECK(holds("USER 4|"));

    begin(80);
    have_messages(1, -1);
    type("DELE \t");
    CHECK(holds("DELE 1 |"));
    begin(80);
    messages[0] = 20, messages[1] = 21, message_count = 2;
    type("DELE \t");
    CHECK(holds("DELE 2|"));    /* what the numbers share */
    begin(80);
    type("re\t");
    CHECK(holds("retr |") && screen.bells == 0);
    begin(80);
    type("r\t");
    CHECK(holds("r|") && screen.bells == 1);
}

static void
test_completion_list(void)
{
    begin(80);
    type("r\t\t");
    CHECK(row_is(0, "RETR  RSET") && screen.row == 1 && shows("pop3> r", 7));
    type("\t");
    CHECK(screen.row == 2 && row_is(1, "RETR  RSET"));
    type("s\t");
    CHECK(shows("pop3> rset", 11));
    begin(80);
    type("r\t\t\001x \006");
    CHECK(shows("pop3> x r", 9) && screen.row == 1);
    begin(80);
    have_messages(12, 340);
    type("RETR 1\t\t");
    CHECK(row_is(0, "1 (340 B)  10 (3.4 kB)  11 (3.7 kB)  12 (4.1 kB)"));
    begin(20);
    have_messages(12, 340);
    type("RETR 1\t\t");
    CHECK(row_is(0, "1 (340 B)") && row_is(3, "12 (4.1 kB)") && screen.wrapped == 0);
    begin(10);
    have_messages(12, 340);
    type("RETR 1\t\t");
    CHECK(row_is(0, "1 (340 B)") && row_is(3, "12 (4.1 k") && screen.wrapped == 0);
    begin(3);
    type("\t\t");
    CHECK(screen.wrapped == 0 && screen.foreign == 0 && shows(">", 2));
    begin(80);
    have_messages(3000, -1);
    type("RETR \t\t");
    CHECK(screen.row < 20 && row_is(screen.row - 1, "...") && shows("pop3> RETR", 11));
    begin(5);
    have_messages(3000, -1);
    type("RETR \t\t");
    CHECK(screen.wrapped == 0 && row_is(screen.row - 1, "...") && screen.foreign == 0);
    begin(80);
    type("\t\t");
    CHECK(strncmp(line_at(0), "STAT  LIST  RETR  DELE  TOP  UIDL", 33) == 0);
}

static void
test_painting(void)
{
    begin(80);
    CHECK(shows("pop3>", 6));
    type("RETR 1");
    CHECK(shows("pop3> RETR 1", 12));
    type("\001");
    CHECK(shows("pop3> RETR 1", 6));
    type("\013");
    CHECK(shows("pop3>", 6));
    type("\xe4\xbd\xa0" "a\xc3\xa9\xf0\x9f\x98\x80");
    CHECK(shows("pop3> \xe4\xbd\xa0" "a\xc3\xa9\xf0\x9f\x98\x80", 12));
    type(LEFT);
    CHECK(screen.column == 10);         /* left of the emoji */
    type(LEFT LEFT);
    CHECK(screen.column == 8);          /* of the accents */
    type(LEFT);
    CHECK(screen.column == 6);          /* of the wide one */
    type("\r");
    CHECK(row_is(0, "pop3> \xe4\xbd\xa0" "a\xc3\xa9\xf0\x9f\x98\x80"));
    CHECK(screen.row == 1 && shows("pop3>", 6));

    begin(20);
    type("0123456789abc");
    CHECK(shows("pop3> 0123456789abc", 19));
    type("d");
    CHECK(shows("<p3> 0123456789abcd", 19));
    type("efg");
    CHECK(shows("< 0123456789abcdefg", 19));
    type("\001");
    CHECK(shows("pop3> 0123456789ab>", 6));
    for (int i = 0; i < 12; i++)
        type("\006");
    CHECK(screen.column >= 7 && screen.column < 19 && screen.wrapped == 0);
    type("\r");
    CHECK(row_is(0, "pop3> 0123456789abcd") && row_is(1, "efg"));       /* finished, it wraps */

    begin(10);
    CHECK(shows("pop3>", 6));
    type("RETR 12");
    CHECK(shows("< RETR 12", 9));
    type(" 15");
    CHECK(shows("<TR 12 15", 9));
    begin(3);
    type("abc");
    CHECK(shows("bc", 2));
    type("\001");
    CHECK(shows("ab", 0));
    begin(3);
    type("\xe4\xbd\xa0\xe5\xa5\xbd");
    CHECK(shows("\xe5\xa5\xbd", 2));
    type(LEFT);
    CHECK(shows("\xe5\xa5\xbd", 0));
    begin(2);
    type("ab");
    CHECK(shows("b", 1));
    begin(1);
    CHECK(editor.columns == 2);
    begin(10);
    type("\xe4\xbd\xa0\xe5\xa5\xbd\xe4\xbd\xa0\xe5\xa5\xbd");
    CHECK(screen.wrapped == 0 && screen.foreign == 0 && screen.column <= 9);
}

/* The cursor walks over a long line of all kinds and stands on what the line has there. */
static void
test_walking(void)
{
    static const size_t widths[] = {132, 80, 20, 10, 7, 3};
    static const char *const keys[] = {LEFT, RIGHT, "\033b", "\033f"};

    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        begin(widths[i]);
        for (int k = 0; k < 4; k++)
            type("RETR 1 \xc3\xa9" "a-\xe4\xbd\xa0\xe5\xa5\xbd \xf0\x9f\x98\x80x "
                "0123456789 \xea\xb0\x80 ");
        for (int step = 0; step < 400; step++) {
            type(keys[step / 100]);
            size_t octets = next_place(editor.line, editor.cursor) - editor.cursor;
            const char *cell = screen.cell[screen.row][screen.column];

            if (!CHECK(strlen(cell) == octets)
                || !CHECK(memcmp(cell, editor.line + editor.cursor, octets) == 0)
                || !CHECK(screen.foreign == 0 && screen.wrapped == 0)
                || !CHECK(screen.column < screen.columns))
                break;
        }
    }
}

static void
test_around_the_line(void)
{
    begin(80);
    type("one\rtwo");
    text_puts(&paint, "\r\033[J");
    put_out();
    CHECK(shows("", 0));
    text_puts(&paint, "* gone\r\n");
    put_out();
    repaint();
    CHECK(row_is(1, "* gone") && shows("pop3> two", 9));
    type("\014");
    CHECK(screen.row == 0 && shows("pop3> two", 9) && row_is(1, ""));
    editor_paint(&editor, &paint);
    CHECK(paint.length < 30);   /* in few bytes */
    put_out();
    type("\003");
    editor_finish(&editor, "^C", &paint);
    put_out();
    CHECK(row_is(0, "pop3> two^C") && screen.row == 1 && screen.column == 0);
}

/* A terminal of so many columns wrapped this line as it became narrower. */
static void
wrap_to(size_t columns, const char *line, size_t cursor)
{
    screen_init(&screen, columns, screen_width);
    text_printf(&paint, "above\r\n%s", line);
    put_out();
    screen.row = 1 + cursor / columns;
    screen.column = cursor % columns;
    screen.pending = false;
    screen.wrapped = 0;
    editor_resize(&editor, columns);
    repaint();
}

static void
test_resize(void)
{
    static const char keys[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    static const char line[] = "pop3> 0123456789abcdefghijklmnopqrstuvwxyz";

    begin(80);
    type(keys);
    wrap_to(20, line, 42);
    CHECK(screen.row == 1 && row_is(0, "above") && shows("<ijklmnopqrstuvwxyz", 19));
    CHECK(row_is(2, "") && row_is(3, ""));
    editor_resize(&editor, 80);
    screen.columns = 80;
    repaint();
    CHECK(screen.row == 1 && shows("pop3> 0123456789abcdefghijklmnopqrstuvwxyz", 42));
    editor_resize(&editor, 0);
    CHECK(editor.columns == 80);

    begin(80);
    type(keys);
    type("\001");               /* the rows that the line wrapped to are below the cursor now */
    wrap_to(20, line, 6);
    CHECK(screen.row == 1 && row_is(0, "above") && row_is(1, "pop3> 0123456789ab>"));
    CHECK(row_is(2, "") && row_is(3, ""));
}

/* The inputs that the fuzzer begins with. One that fails ends the program. */
static void
test_corpus(void)
{
    CHECK(fuzz_replay("tests/corpus/editor") >= 30);
}

int
main(void)
{
    unit_case("editor: what hurt the editor once, or might", test_corpus);  
    unit_case("editor: keys that move", test_moving);
    unit_case("editor: keys that change the line", test_changing);
    unit_case("editor: the end of a line, of input, ^C and ^Z", test_verdicts);
    unit_case("editor: sequences of no key do nothing", test_sequences);
    unit_case("editor: sequences that arrive slowly", test_slow_sequences);
    unit_case("editor: what is no text is refused", test_refused);
    unit_case("editor: paste", test_paste);
    unit_case("editor: a paste that is not only text", test_paste_dropped);
    unit_case("editor: a paste that is stopped, or loses its end", test_paste_ends);
    unit_case("editor: a line that is too long", test_too_long);
    unit_case("editor: history", test_history);
    unit_case("editor: a password leaves nothing behind", test_passwords);
    unit_case("editor: a killed password does not come back", test_killed_password);
    unit_case("editor: a password is not left on the screen", test_password_shown);
    unit_case("editor: a password that nobody sees", test_hidden);
    unit_case("editor: search", test_search);
    unit_case("editor: completion", test_completion);
    unit_case("editor: completions listed", test_completion_list);
    unit_case("editor: the line on the screen", test_painting);
    unit_case("editor: the cursor stands on its character", test_walking);
    unit_case("editor: what stands around the line", test_around_the_line);
    unit_case("editor: a terminal that changes its width", test_resize);
    return unit_status;
}
