/*
 * editor.c - the line editor of client.c: keys from a string, a screen that shows the line
 *
 * It includes the editor's fuzzer, whose inputs it replays.
 */
#define FUZZ_INCLUDED
#include "../fuzz/editor.c"

#include "keys.h"
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

#define TOO_LONG "is too long"

static void
test_moving(void)
{

    TRY(keys_that_move);
}

static void
test_changing(void)
{

    TRY(keys_that_change);
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

    TRY(keys_of_no_use);
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

    TRY(keys_refused);
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

    TRY(keys_pasted);
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
        "DELE 1\xc3" "2", "DELE 1\0332", "DELE 1\033OM2",
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        begin(80);
        type("\033[200~STAT\n");
        type(bad[i]);
        type("\nNOOP\n\033[201~LIST\r" UP);
        CHECK(strcmp(ran, "STAT|has a character that cannot be typed|NOOP|LIST|") == 0);
        type(UP UP);
        CHECK(holds("STAT|"));
        begin(80);
        type("\033[200~");
        type(bad[i]);
        type("\033[201~\177\r");         /* whatever is done to it afterwards */
        CHECK(strcmp(ran, "has a character that cannot be typed|") == 0);
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

    TRY(keys_of_history);
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
    CHECK(strcmp(editor.line, "geheim") == 0 && editor.paste == NO_PASTE);
}

static void
test_search(void)
{

    try_keys(keys_of_search, sizeof keys_of_search / sizeof *keys_of_search, before_search);
    begin(80);
    type(before_search);
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

    TRY(keys_of_completion);
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
test_screens(void)
{
    for (size_t i = 0; i < sizeof screens / sizeof *screens; i++) {
        begin(screens[i].columns);
        type(screens[i].keys);
        if (!CHECK(shows(screens[i].row, screens[i].column)))
            printf("    screen %zu\n", i);
    }
}

static void
test_painting(void)
{
    begin(80);
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
    type("0123456789abcdefg\001");
    for (int i = 0; i < 12; i++)
        type("\006");
    CHECK(screen.column >= 7 && screen.column < 19 && screen.wrapped == 0);
    type("\r");
    CHECK(row_is(0, "pop3> 0123456789abcd") && row_is(1, "efg"));       /* finished, it wraps */
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
    unit_case("editor: the line on the screen", test_screens);
    unit_case("editor: wide characters on the screen", test_painting);
    unit_case("editor: the cursor stands on its character", test_walking);
    unit_case("editor: what stands around the line", test_around_the_line);
    unit_case("editor: a terminal that changes its width", test_resize);
    return unit_status;
}
