/*
 * client.c - an interactive POP3 client
 * SPDX-License-Identifier: ISC
 *
 * It connects, then takes one command after the other from a person or a script until QUIT. Read
 * main(), converse() and run() first: they are the last page.
 *
 *      1  settings
 *      2  text                  growing texts, UTF-8, visible text, columns
 *      3  messages and state    what is known of the mailbox; struct client
 *      4  the terminal          its modes, the lines on it, progress
 *      5  the line editor       bytes in, an action out; it uses no descriptor
 *      6  the server            connecting, status lines, what follows them, keep-alive
 *      7  saving                a message gets its name when it is complete and on disk
 *      8  reading a message     for SHOW and HEADERS; its comment lists its parts
 *      9  commands              one function each
 *     10  the loop, main
 *
 * What a message passes on its way to the screen:
 *
 *      wire -> unstuff -> file -> decode (in a sandbox) -> visible() -> screen
 *
 * The rules that keep mail and terminal safe:
 *   - Text from the network reaches the screen only through visible().
 *   - SHOW and HEADERS decode messages in a sandboxed process. What it writes passes visible()
 *     again.
 *   - A file of a message gets its name when the message is complete and on disk.
 *   - Only QUIT removes mail. It is sent when it is typed and at the end of the input, never
 *     because of a signal. A script's DELE is not sent for a message whose RETR failed.
 *
 * What may fail, and who notices:
 *   - The connection: the wire keeps its first error, and every function that needs it returns
 *     false from then on. connection_lost() says why, once. The same holds for signals that end
 *     the session, and for output that fails.
 *   - A refused command, a message that cannot be saved, a display that cannot be made: fail()
 *     says so at once, the exit status becomes 1, and the session continues.
 *   - Memory: the program ends with a message. Nothing was removed then.
 *
 * A signal sets a flag; a stop and a continue also set the terminal's mode. A signal ends a wait,
 * but not the saving of a message that is complete. send_line() looks at the flag, too. The mode
 * of the terminal tells the handler whether Ctrl-C ends the session.
 */
#include "pop3.h"

#include <getopt.h>
#include <inttypes.h>
#include <langinfo.h>
#include <locale.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <wchar.h>

/* OpenBSD has no iconv in its base system, and macOS has it in a library of its own. */
#ifdef __has_include
#if __has_include(<iconv.h>)
#define HAS_ICONV 1
#endif
#else                           /* an older compiler; POSIX has it */
#define HAS_ICONV 1
#endif
#ifdef HAS_ICONV
#include <iconv.h>
#ifdef __APPLE__
__asm__(".linker_option \"-liconv\"");
#endif
#endif

/* ---- 1. Settings ----------------------------------------------------------------------------- */

enum {
    CONNECT_SECONDS = 30,       /* for each address of the host */
    GREETING_SECONDS = 3,       /* then the client says that it waits for a greeting */
    ANSWER_SECONDS = 180,
    QUIT_SECONDS = 30,
    CHILD_SECONDS = 5,          /* for the -x command to end after the connection */
    NOOP_SECONDS = 240,         /* a server waits 600 at least, some routers 300 */
    TYPED_MAX = 4096,           /* bytes of a typed line; a list of messages may be long */
#ifdef __linux__
    CANONICAL_MAX = 4095,       /* a terminal without line editing cuts a line here */
#else
    CANONICAL_MAX = 1000,       /* or here, as on macOS */
#endif
    LIST_LINE_MAX = 16 * 1024,  /* octets of a line of LIST, UIDL or CAPA */
    MESSAGES_MAX = 2000000,     /* the highest number in a LIST */
    PIPELINE_MAX = 100,         /* commands in flight; */
    PIPELINE_SHORT = 250,       /* with short answers: 4,000 octets fit into any pipe or socket */
    HEADER_MAX = 64 * 1024,     /* octets of a header that HEADERS looks at */
    NAME_ROOM = 64,             /* bytes of the name of a saved message, with its NUL */
    SAVE_TOGETHER = 100         /* messages that are written to disk at once */
};

struct settings {
    const char *host, *port;
    const char *directory;
    const char *command;        /* of -x, or NULL */
    bool verbose;
};

static const char *program = "client";      /* the name it was started with, without directories */

/* The commands that are the client's own. Their numbers follow those of POP3. */
enum { SHOW = POP3_VERBS, HEADERS, HELP, ALL_COMMANDS };

static const struct pop3_command own_commands[] = {
    {.name = "SHOW", .arguments = "n...", .on_message = true,
     .help = "display messages, decoded, without saving them"},
    {.name = "HEADERS", .arguments = "[n...]", .on_message = true,
     .help = "date, sender, subject and size of messages, or of all"},
    {.name = "HELP", .arguments = "[command]", .help = "this list, or more about one command"},
};

static const struct pop3_command *
command_at(int number)
{
    return number < POP3_VERBS ? &pop3_commands[number] : &own_commands[number - POP3_VERBS];
}

/* ---- 2. Text --------------------------------------------------------------------------------- */

/*
 * A text grows as needed and has a NUL behind its last byte, once something was added. It may
 * hold NULs itself: its length counts. A span points into a text that it does not own.
 */
struct text { char *bytes; size_t length, room; };
struct span { const char *at, *end; };

/*
 * Without memory the program ends at once: no deletion is sent, and the server keeps everything.
 * (exit() runs what restores the terminal.)
 */
_Noreturn static void
out_of_memory(void)
{
    dprintf(STDERR_FILENO, "%s: out of memory; without QUIT nothing is removed\n", program);
    exit(EXIT_FAILURE);
}

/* Returns the memory with another size. */
static void *
grow(void *memory, size_t size)
{
    void *more = realloc(memory, size);

    if (more == NULL)
        out_of_memory();
    return more;
}

/* Makes room for so many bytes more and a NUL. Returns where they go. */
static char *
text_room(struct text *t, size_t length)
{
    if (t->room - t->length <= length) {
        if (length > SIZE_MAX / 4 || t->room > SIZE_MAX / 4)
            out_of_memory();
        t->room = t->room * 2 + length + 64;
        t->bytes = grow(t->bytes, t->room);
    }
    return t->bytes + t->length;
}

/* Appends bytes, which must not be of the text itself. */
static void
text_add(struct text *t, const char *bytes, size_t length)
{
    char *to = text_room(t, length);

    if (length > 0)
        memcpy(to, bytes, length);
    t->length += length;
    t->bytes[t->length] = '\0';
}

/* Ends a text at a place in the room that text_room() made. */
static void
text_end(struct text *t, char *end)
{
    t->length = (size_t)(end - t->bytes);
    *end = '\0';
}

static void
text_puts(struct text *t, const char *string)
{
    text_add(t, string, strlen(string));
}

static void __attribute__((format(printf, 2, 0)))
text_vprintf(struct text *t, const char *format, va_list arguments)
{
    va_list again;

    va_copy(again, arguments);

    int length = vsnprintf(NULL, 0, format, arguments);
    if (length > 0) {
        vsnprintf(text_room(t, (size_t)length), (size_t)length + 1, format, again);
        t->length += (size_t)length;
    }
    va_end(again);
}

static void __attribute__((format(printf, 2, 3)))
text_printf(struct text *t, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    text_vprintf(t, format, arguments);
    va_end(arguments);
}

/* Empties a text and keeps its memory. Afterwards it is a string: "". */
static void
text_clear(struct text *t)
{
    t->length = 0;
    text_add(t, "", 0);
}

static void
text_free(struct text *t)
{
    free(t->bytes);
    *t = (struct text){0};
}

static struct span
text_span(const struct text *t)
{
    const char *bytes = t->bytes != NULL ? t->bytes : "";

    return (struct span){bytes, bytes + t->length};
}

static struct span
string_span(const char *string)
{
    return (struct span){string, string + strlen(string)};
}

static size_t
span_length(struct span s)
{
    return (size_t)(s.end - s.at);
}

/*
 * Reads the first character of a text in UTF-8. Returns its bytes, 1 to 4, and the character in
 * *c; 0 if no character begins with these bytes; -1 if more bytes are needed to tell.
 */
static int
utf8_read(const unsigned char *s, size_t length, uint32_t *c)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};   /* less is an overlong form */

    if (length == 0)
        return -1;

    int size = s[0] < 0x80 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    uint32_t value = size == 1 ? s[0] : s[0] & (0x7fU >> size);
    if (size > 1 && (s[0] < 0xc2 || s[0] > 0xf4))
        return 0;
    for (int i = 1; i < size; i++) {
        if ((size_t)i == length)
            return -1;
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (s[i] & 0x3fU);
    }
    if (value < least[size] || (value >= 0xd800 && value <= 0xdfff) || value > 0x10ffff)
        return 0;
    *c = value;
    return size;
}

/* Writes a character as UTF-8, U+FFFD if no character has this number. Returns its bytes, 1-4. */
static size_t
utf8_write(uint32_t c, char *out)
{
    if ((c >= 0xd800 && c <= 0xdfff) || c > 0x10ffff)
        c = 0xfffd;
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }

    size_t size = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = size - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(c | (0xf00U >> size & 0xff));
    return size;
}

static void
text_character(struct text *t, uint32_t c)
{
    char utf8[4];

    text_add(t, utf8, utf8_write(c, utf8));
}

/* A byte that is not part of UTF-8 is represented by this plus the byte: no character's number. */
enum { NO_UTF8 = 0xdc00 };

/* Takes the first character, or such a byte, off a span that is not empty. */
static uint32_t
span_next(struct span *s)
{
    uint32_t c = NO_UTF8 + (unsigned char)*s->at;
    int size = utf8_read((const unsigned char *)s->at, span_length(*s), &c);

    s->at += size > 0 ? size : 1;
    return c;
}

static bool
is_no_utf8(uint32_t c)
{
    return (c & 0xffffff00) == NO_UTF8;
}

/*
 * Returns true for a character that is not displayed: a soft hyphen, a zero-width space, a mark of
 * direction and the like. Joiners and variation selectors are part of the character before them in
 * emoji and several scripts; behind an ASCII letter they only hide a difference.
 */
static bool
is_invisible(uint32_t c, uint32_t before)
{
    if (c == 0x200c || c == 0x200d || (c >= 0xe0100 && c <= 0xe01ef))
        return before < 0x80;
    if (c >= 0xfe00 && c <= 0xfe0f)
        return before < 0x80 && (before < '0' || before > '9') && before != '#' && before != '*';
    return c == 0xad || c == 0x34f || c == 0x61c || c == 0x115f || c == 0x1160 || c == 0x17b4
        || c == 0x17b5 || (c >= 0x180b && c <= 0x180f) || c == 0x200b || c == 0x200e || c == 0x200f
        || (c >= 0x2060 && c <= 0x2065) || c == 0x3164 || c == 0xfeff || c == 0xffa0
        || (c >= 0x1bca0 && c <= 0x1bca3) || (c >= 0x1d173 && c <= 0x1d17a);
}

/*
 * Returns true for a character that must not reach the screen as it is: a control, one that
 * moves, hides or reorders others, one that is invisible, or a code that is no character.
 */
static bool
must_escape(uint32_t c, uint32_t before)
{
    if (c < 0xa0)
        return (c < ' ' && c != '\t' && c != '\n') || c >= 0x7f;
    return is_no_utf8(c) || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x206f)
        || (c >= 0xfdd0 && c <= 0xfdef) || (c >= 0xfff9 && c <= 0xfffb) || (c & 0xfffe) == 0xfffe
        || (c >= 0xe0000 && c <= 0xe00ff) || (c >= 0xe01f0 && c <= 0xe0fff)
        || is_invisible(c, before);
}

/*
 * The one function between the network and the screen. It appends bytes, taken as UTF-8, in a
 * form that cannot control the terminal: a control character as ^X, DEL as ^?, an invalid
 * byte as \xHH, any other character that must_escape() names as \uXXXX or \u{XXXXX}. TAB and LF
 * pass; CRLF becomes LF. Its output passes through it unchanged.
 */
static void
visible(struct text *to, struct span from)
{
    const char *plain = from.at;        /* what comes from there on stays as it is */
    uint32_t before = 0;

    for (const char *at = from.at; from.at < from.end; at = from.at) {
        uint32_t c = span_next(&from);
        bool escape = must_escape(c, before);

        before = escape ? 0 : c;
        if (!escape)
            continue;
        text_add(to, plain, (size_t)(at - plain));
        plain = from.at;
        if (is_no_utf8(c))
            text_printf(to, "\\x%02x", (unsigned)c & 0xff);
        else if (c >= 0x80)
            text_printf(to, c > 0xffff ? "\\u{%x}" : "\\u%04x", (unsigned)c);
        else if (c != '\r' || from.at == from.end || *from.at != '\n')
            text_add(to, (char[]){'^', (char)(c ^ 0x40)}, 2);
    }
    text_add(to, plain, (size_t)(from.end - plain));
}

/*
 * Returns where to cut bytes that arrive in pieces, for visible(): behind the last whole character.
 * CRLF counts as one.
 */
static const char *
whole_end(struct span s)
{
    uint32_t c;

    for (size_t tail = 1; tail < 4 && tail <= span_length(s); tail++)
        if (utf8_read((const unsigned char *)s.end - tail, tail, &c) < 0)
            return s.end - tail;
    return s.end > s.at && s.end[-1] == '\r' ? s.end - 1 : s.end;
}

/*
 * Returns the columns that a character takes on the screen, 0 for one that joins the character
 * before it. wcwidth() knows only the characters of the locale, so this takes one with all of
 * them, else the user's; where that has none, a Chinese character counts as one column.
 */
static size_t
character_columns(uint32_t c)
{
    static bool asked;

    if (c < 0x300)
        return 1;
    if (!asked) {
        if (setlocale(LC_CTYPE, "C.UTF-8") == NULL && setlocale(LC_CTYPE, "en_US.UTF-8") == NULL)
            setlocale(LC_CTYPE, "");
        asked = true;
    }

    int columns = wcwidth((wchar_t)c);
    return columns < 0 ? 1 : (size_t)columns;
}

/* Returns the column at which a visible text ends that begins at a column. */
static size_t
columns_from(size_t column, struct span s)
{
    while (s.at < s.end) {
        uint32_t c = span_next(&s);

        column = c == '\t' ? (column | 7) + 1 : column + character_columns(c);
    }
    return column;
}

/*
 * Appends visible text for a terminal that does not read UTF-8: each character that is not ASCII
 * becomes one that looks alike, or a question mark for each of its columns. So no byte of a
 * character can be taken for a control of the upper half (0x80 to 0x9f).
 */
static void
visible_ascii(struct text *to, struct span from)
{
    static const char looks[] =         /* a character, then what looks like it */
        "\u00a0 \u2010-\u2011-\u2012-\u2013-\u2014-\u2212-\u2018'\u2019'\u201a,\u2039<\u203a>"
        "\u201c\"\u201d\"\u201e\"\u00ab\"\u00bb\"\u2022*\u2026.\u00b7.";

    while (from.at < from.end) {
        char character[5] = "";
        const char *at = from.at, *found;
        uint32_t c = span_next(&from);
        size_t size = (size_t)(from.at - at);

        if (c < 0x80) {
            text_add(to, at, 1);
            continue;
        }
        memcpy(character, at, size);
        found = strstr(looks, character);
        for (size_t i = character_columns(c); i > 0; i--)
            text_add(to, found != NULL ? found + size : "?", 1);
    }
}

struct size_text { char text[16]; };

/* Returns a number of octets as people read it, rounded: 999 B, 3.4 kB, 12 MB. */
static struct size_text
size_text(int64_t octets)
{
    struct size_text size;
    size_t unit = 0;

    for (; octets >= 999500; unit++)
        octets /= 1000;
    if (octets < 1000 && unit == 0)
        snprintf(size.text, sizeof size.text, "%d B", (int)octets);
    else if (octets < 9950)
        snprintf(size.text, sizeof size.text, "%d.%d %cB", (int)(octets + 50) / 1000,
                 (int)(octets + 50) / 100 % 10, "kMGTPE"[unit]);
    else
        snprintf(size.text, sizeof size.text, "%d %cB", (int)(octets + 500) / 1000,
                 "kMGTPE"[unit]);
    return size;
}

/* ---- 3. Messages and state ------------------------------------------------------------------- */

/* What is known of one message. */
struct message {
    uint64_t octets;            /* by LIST; 0: unknown */
    bool listed;                /* the last LIST contained it */
    bool marked;                /* by DELE; QUIT removes it */
    bool unsaved;               /* its RETR failed or is not complete */
    bool in_list;               /* of the command that is being read */
};

/* The messages that a command names, in its order. */
struct numbers {
    uint64_t *number;
    size_t count, room;
    size_t marked;              /* how many of them DELE has marked */
    uint64_t octets;            /* of all of them, as far as they are known */
};

/* What the row of the cursor contains: clear_line() removes or ends it before other output. */
enum row {
    ROW_FREE,                   /* nothing */
    ROW_TEXT,                   /* a line of the server without its end, so far */
    ROW_PROMPT,                 /* what a person types at; it stays */
    ROW_LINE                    /* the line editor's line, or progress: it is erased */
};

/* How far a command is. */
struct progress {
    int64_t began, painted;     /* by wire_clock; began 0: no command is watched */
    uint64_t octets, expected;  /* expected 0: unknown */
    size_t messages, of;
};

/* A message on its way to a file. */
struct download {
    uint64_t number;
    int file;
    char temporary[NAME_ROOM];  /* its name until it is complete; "": none */
    char name[NAME_ROOM];       /* its final name */
    bool already;               /* a file of that name had the same content */
    struct text status;         /* the server's +OK, if it is not shown yet */
    int error;                  /* the first one, or 0 */
    int64_t announced;          /* octets, by RETR's +OK, else by LIST; -1: unknown */
    int64_t octets;             /* received */
};

/* The messages that are complete and have no name yet, and what became of those before them. */
struct batch {
    int directory;              /* -1: not open */
    struct download list[SAVE_TOGETHER];
    size_t count, most;         /* fewer than fit where a process may open few files */
    size_t saved, already;
    int64_t octets;             /* of both */
};

struct client {
    const struct settings *settings;
    bool at_terminal;           /* a person types */
    bool editing;               /* with the line editor */
    pid_t child;                /* the -x command, or 0 */
    struct wire server, keys, screen, errors;
    struct editor *editor;
    bool utf8;                  /* the terminal reads UTF-8 */
    enum row row;
    struct progress progress;

    bool over;                  /* the session has ended */
    bool failed;                /* the exit status will be 1 */
    bool quitting, quit_done;   /* QUIT was sent; it was answered +OK */
    bool stop_showing;          /* for_each() asks for no more messages */
    bool continued;             /* the server answered "+ ": the next line may be a password */
    bool user_given;            /* USER was sent, and not yet PASS or what comes after a login */
    bool no_list;               /* LIST was refused, and no PASS or later command accepted since */
    bool asked_capa;            /* CAPA was sent, and PASS was not accepted since */
    bool pipelining;            /* its answer */
    enum { TOP_UNKNOWN, TOP_YES, TOP_NO } top;  /* the same; if CAPA was refused, that of TOP */

    struct message *messages;   /* by number */
    size_t count;               /* of that array */
    bool listed;                /* the last LIST still holds, apart from marks */
    bool unsaved_unknown;       /* a RETR failed before it was known of which messages */
    struct numbers list;        /* of the command that is carried out */
    struct batch batch;
    int headers, headers_error; /* a file of what HEADERS received: see show_headers() */

    size_t noops;               /* sent by the client itself and not answered yet */
    int64_t noop_ms;            /* NOOP is sent after this time without a command */
    int64_t spoke;              /* by wire_clock: when the last command was sent */
    char status[POP3_STATUS_MAX];       /* the last status line, which may contain NULs */
    size_t status_length;
    struct pop3_unstuffer body; /* the position in the message behind it */
};

static volatile sig_atomic_t interrupted;       /* the signal that ends the session, or 0 */
static volatile sig_atomic_t line_stopped;      /* a Ctrl-C for the typed line or the paste */
static volatile sig_atomic_t resized;           /* the prompt must be painted again */

/*
 * Returns what is known of a message. Numbers that are higher than any in a LIST, which a person
 * may type, share the place of number 0.
 */
static struct message *
message_at(struct client *c, uint64_t number)
{
    size_t at = number <= MESSAGES_MAX ? (size_t)number : 0, before = c->count;

    if (at >= before) {
        c->count = at * 2 + 16;
        c->messages = grow(c->messages, c->count * sizeof *c->messages);
        memset(c->messages + before, 0, (c->count - before) * sizeof *c->messages);
    }
    return &c->messages[at];
}

/* Returns the number of messages that QUIT will remove. */
static size_t
marked_count(const struct client *c)
{
    size_t count = 0;

    for (size_t i = 0; i < c->count; i++)
        count += c->messages[i].marked;
    return count;
}

/* ---- 4. The terminal ------------------------------------------------------------------------- */

/* The modes of the terminal. They tell the handler of signals what a Ctrl-C is for. */
enum mode {
    AS_FOUND,                   /* for other programs; Ctrl-C ends the session */
    COOKED,                     /* the same at a prompt without the editor; Ctrl-C ends the line */
    QUIET,                      /* a command runs: keys wait, unseen; Ctrl-C ends the session */
    PASTE_RUNS,                 /* the same for a line of a paste; Ctrl-C ends the paste */
    RAW                         /* the editor reads every key, Ctrl-C as well */
};

static struct {                 /* at file scope for the handler of signals */
    int screen;                 /* descriptor for output */
    bool pastes;                /* the terminal can mark what is pasted */
    enum mode mode;
    struct termios found;       /* AS_FOUND */
    bool known;                 /* found is up to date: it was read after the last stop */
} terminal;

/*
 * Opens the terminal of a descriptor again, for writing without blocking: otherwise a write to a
 * stopped terminal would keep the client from noticing signals. The descriptor itself is shared
 * with other programs, and so are its flags. Returns the new descriptor, or on failure the same.
 */
static int
open_again(int fd)
{
    const char *name = isatty(fd) ? ttyname(fd) : NULL;
    int again = name != NULL ? open(name, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) : -1;

    return again >= 0 ? again : fd;
}

/* Sets the mode if it is another one. Use terminal_mode(). */
static void
terminal_set(enum mode mode)
{
    const char *marks = mode <= COOKED ? "\033[?2004l" : "\033[?2004h";
    struct termios t;

    if (mode <= COOKED && terminal.mode <= COOKED)
        terminal.mode = mode;   /* as the terminal is, which is not touched */
    if (mode == terminal.mode)
        return;
    /* In the background tcflow() stops this process: there the modes are those of the shell. */
    if (!terminal.known && (tcflow(STDIN_FILENO, TCOON) != 0
                            || tcgetattr(STDIN_FILENO, &terminal.found) != 0))
        return;
    t = terminal.found;
    if (mode > COOKED) {
        t.c_iflag &= ~(tcflag_t)(ICRNL | INLCR | IGNCR | ISTRIP);
        t.c_lflag &= ~(tcflag_t)(ICANON | ECHO | IEXTEN);
        t.c_lflag |= NOFLSH;    /* Ctrl-C must not discard output, such as the message about it */
        t.c_cc[VQUIT] = _POSIX_VDISABLE;
        t.c_cc[VMIN] = 1;
        t.c_cc[VTIME] = 0;
    }
    if (mode == RAW) {
        t.c_iflag &= ~(tcflag_t)IXON;
        t.c_lflag &= ~(tcflag_t)ISIG;
    }
    if (mode == AS_FOUND && interrupted == SIGINT)
        tcflush(STDIN_FILENO, TCIFLUSH);
    tcsetattr(STDIN_FILENO, TCSANOW, &t);       /* in the background it stops here (SIGTTOU) */
    if (terminal.pastes && (mode <= COOKED) != (terminal.mode <= COOKED) &&
        wait_ready(&terminal.screen, 1, true, 500) > 0 &&
        write(terminal.screen, marks, strlen(marks)) < 0)
        terminal.pastes = false;
    terminal.known = true;
    terminal.mode = mode;
}

/*
 * Sets the mode. Signals are blocked meanwhile, because their handler sets it as well. Typed-ahead
 * input is kept, except after a Ctrl-C that ends the session: it was meant for the client and not
 * for the shell. It does not wait for output, as TCSADRAIN would, because a stopped terminal may
 * never accept it.
 */
static void
terminal_mode(enum mode mode)
{
    sigset_t most, before;

    sigfillset(&most);
    sigdelset(&most, SIGTTOU);  /* which stops a process in the background */
    sigprocmask(SIG_BLOCK, &most, &before);
    terminal_set(mode);
    sigprocmask(SIG_SETMASK, &before, NULL);
}

/* For atexit(). */
static void
terminal_restore(void)
{
    terminal_mode(AS_FOUND);
}

/*
 * Stops everything that the shell started together with this process, as Ctrl-Z does, with the
 * terminal as it was found. The shell may change the modes meanwhile, so they are read again.
 */
static void
suspend(void)
{
    struct sigaction stop = {.sa_handler = SIG_DFL}, before;
    enum mode mode = terminal.mode;
    sigset_t only, blocked;

    terminal_mode(AS_FOUND);
    sigemptyset(&stop.sa_mask);
    sigemptyset(&only);
    sigaddset(&only, SIGTSTP);
    sigaction(SIGTSTP, &stop, &before);
    kill(0, SIGTSTP);
    sigprocmask(SIG_UNBLOCK, &only, &blocked);      /* it stops here */
    sigprocmask(SIG_SETMASK, &blocked, NULL);
    sigaction(SIGTSTP, &before, NULL);
    terminal.known = false;
    terminal_mode(mode);
    resized = 1;                /* the screen shows something else now */
}

/* Returns the columns of the terminal, 0 if they are not known. */
static size_t
terminal_columns(void)
{
    struct winsize size;

    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

/* -- Lines and messages -- */

/*
 * A stopped terminal takes no output. After a signal that ends the session, output waits for it for
 * two seconds, and for each message two more.
 */
static void
limit_output(void *context)
{
    struct wire *w = context;

    if (interrupted && w->deadline == WAIT_FOREVER)
        w->deadline = wire_clock() + 2000;
}

/* Opens a wire for output. */
static void
open_output(struct wire *w, int fd)
{
    wire_open(w, STDIN_FILENO, fd);
    w->waiting = limit_output;
    w->context = w;
}

/* Removes the line or the progress from the row of the cursor, or ends that row. */
static void
clear_line(struct client *c)
{
    const char *clear = c->row == ROW_FREE ? "" : c->row == ROW_LINE ? "\r\033[J" : "\n";

    wire_put(&c->screen, clear, strlen(clear));
    c->row = ROW_FREE;
}

/* Appends bytes in a form that this terminal can show. */
static void
put_visible(const struct client *c, struct text *to, struct span bytes)
{
    struct text utf8 = {0};

    visible(c->utf8 ? to : &utf8, bytes);
    visible_ascii(to, text_span(&utf8));
    text_free(&utf8);
}

/* Prints bytes from the network, in a free row or behind text; they end with a whole character. */
static void
print_bytes(struct client *c, struct span bytes)
{
    struct text text = {0};

    put_visible(c, &text, bytes);
    wire_put(&c->screen, text.bytes, text.length);
    if (text.length > 0)
        c->row = text.bytes[text.length - 1] == '\n' ? ROW_FREE : ROW_TEXT;
    text_free(&text);
}

/* Prints a line, of that length and without its end, as visible text in a row of its own. */
static void
print_status(struct client *c, const char *line, size_t length)
{
    clear_line(c);
    print_bytes(c, (struct span){line, line + length});
    wire_put(&c->screen, "\n", 1);
    c->row = ROW_FREE;
}

/* Prints a line of the client itself on standard output. */
static void __attribute__((format(printf, 2, 3)))
print_line(struct client *c, const char *format, ...)
{
    struct text line = {0};
    va_list arguments;

    va_start(arguments, format);
    text_vprintf(&line, format, arguments);
    va_end(arguments);
    print_status(c, line.bytes, line.length);
    text_free(&line);
}

/* Says something on standard error, in a line of its own below what is on the screen. */
static void __attribute__((format(printf, 2, 3)))
warn(struct client *c, const char *format, ...)
{
    struct text message = {0}, line = {0};
    va_list arguments;

    text_printf(&message, "%s: ", program);
    va_start(arguments, format);
    text_vprintf(&message, format, arguments);
    va_end(arguments);
    text_puts(&message, "\n");
    put_visible(c, &line, text_span(&message));
    c->screen.deadline = c->errors.deadline = WAIT_FOREVER;     /* see limit_output() */
    clear_line(c);
    wire_flush(&c->screen);
    wire_put(&c->errors, line.bytes, line.length);
    wire_flush(&c->errors);
    text_free(&message);
    text_free(&line);
}

/* Says that something failed. The exit status will be 1. */
#define fail(c, ...) ((c)->failed = true, warn(c, __VA_ARGS__))

/* -- Progress -- */

enum {
    PROGRESS_MS = 500,          /* a command that takes longer shows its progress, */
    PROGRESS_EVERY_MS = 125,    /* not more often than this */
    STALLED_MS = 2000           /* without a byte */
};

/* Starts the progress of a command: number of messages, and their octets, 0 if unknown. */
static void
progress_begin(struct client *c, size_t messages, uint64_t octets)
{
    c->progress = (struct progress){.began = wire_clock(), .expected = octets, .of = messages};
}

/* Appends octets of octets, the rate and the time left, or that nothing arrives. */
static void
progress_text(const struct progress *p, int64_t now, bool stalled, struct text *to)
{
    uint64_t spent = (uint64_t)(now - p->began);
    double left = p->octets == 0 || p->expected < p->octets ? 0
        : (double)(p->expected - p->octets) / (double)p->octets * (double)spent / 1000;

    if (p->of > 1)
        text_printf(to, "%zu of %zu, ", p->messages, p->of);
    text_puts(to, size_text((int64_t)p->octets).text);
    if (p->expected > 0)
        text_printf(to, " of %s", size_text((int64_t)p->expected).text);
    if (stalled) {
        text_puts(to, ", stalled");
        return;
    }
    text_printf(to, ", %s/s", size_text((int64_t)(p->octets * 1000 / spent)).text);
    if (left > 0 && left < 100 * 3600)
        text_printf(to, ", %d:%02d left", (int)left / 60, (int)left % 60);
}

/*
 * Shows the progress in the row of the cursor, on a terminal, once the command has taken a while.
 * Call it often: it paints now and then. What does not fit the row is cut.
 */
static void
progress_paint(struct client *c)
{
    const struct wire *w = &c->server;
    struct progress *p = &c->progress;
    int64_t now = wire_clock(), idle = w->idle_until == 0 ? 0 : now + w->idle_ms - w->idle_until;
    struct text text = {0};

    if (!c->editing || p->began == 0 || now - p->began < PROGRESS_MS ||
        now - p->painted < PROGRESS_EVERY_MS)
        return;
    p->painted = now;
    progress_text(p, now, idle >= STALLED_MS, &text);

    size_t columns = terminal_columns();
    if (columns > 0 && text.length >= columns)
        text.length = columns - 1;
    clear_line(c);
    wire_put(&c->screen, text.bytes, text.length);
    wire_flush(&c->screen);
    c->row = ROW_LINE;
    text_free(&text);
}

static void
progress_end(struct client *c)
{
    c->progress.began = 0;
    if (c->row == ROW_LINE)
        clear_line(c);
}

/* ---- 5. The line editor ---------------------------------------------------------------------- */

/*
 * A machine without descriptors: editor_feed() takes one byte from the keyboard and returns what
 * to do; editor_paint() appends what makes a terminal show the line. So a test can type keys
 * from a string and read the screen from a text.
 *
 *     byte -> character -> key -> the line -> the screen
 *
 * A line is UTF-8 that may be shown as it is. A hidden one, a password, is any bytes but NUL, CR
 * and LF: it is never painted, so its bytes need not be characters.
 */

enum {
    QUERY_MAX = 128,            /* bytes that a search looks for */
    HISTORY_MAX = 200,          /* lines that are remembered */
    LIST_MAX = 100,             /* completions that are listed */
    WORD_MAX = 32,              /* bytes of a completion: a command or a number */
    SEQUENCE_MS = 500           /* then an escape sequence or a paste that has begun is over */
};

/* Keys: a character of Unicode, including the controls, or a number above the last of them. */
enum key {
    CTRL_A = 1, CTRL_B, CTRL_C, CTRL_D, CTRL_E, CTRL_F, CTRL_G, CTRL_H, TAB, LINE_FEED, CTRL_K,
    CTRL_L, ENTER, CTRL_N, CTRL_P = 16, CTRL_R = 18, CTRL_U = 21, CTRL_W = 23, CTRL_Y = 25, CTRL_Z,
    ESCAPE, BACKSPACE = 127, LAST_CHARACTER = 0x10ffff,
    WORD_LEFT, WORD_RIGHT, KILL_WORD_RIGHT, DELETE, PASTE, PASTE_END,
    OTHER_KEY,                  /* one that does nothing */
    NO_KEY                      /* it is not complete yet */
};

/* What terminals send for keys, after the ESC. */
static const struct { const char *bytes; enum key key; } sequences[] = {
    {"[A", CTRL_P}, {"OA", CTRL_P}, {"[B", CTRL_N}, {"OB", CTRL_N},         /* up, down */
    {"[C", CTRL_F}, {"OC", CTRL_F}, {"[D", CTRL_B}, {"OD", CTRL_B},         /* right, left */
    {"[1;2C", CTRL_F}, {"[1;2D", CTRL_B},                                   /* with Shift */
    {"[H", CTRL_A}, {"OH", CTRL_A}, {"[1~", CTRL_A}, {"[7~", CTRL_A},       /* Home */
    {"[F", CTRL_E}, {"OF", CTRL_E}, {"[4~", CTRL_E}, {"[8~", CTRL_E},       /* End */
    {"[1;5C", WORD_RIGHT}, {"[1;3C", WORD_RIGHT}, {"[5C", WORD_RIGHT},      /* Ctrl or Alt right */
    {"Oc", WORD_RIGHT}, {"f", WORD_RIGHT}, {"F", WORD_RIGHT},
    {"[1;5D", WORD_LEFT}, {"[1;3D", WORD_LEFT}, {"[5D", WORD_LEFT},         /* Ctrl or Alt left */
    {"Od", WORD_LEFT}, {"b", WORD_LEFT}, {"B", WORD_LEFT},
    {"[3~", DELETE}, {"[3;5~", KILL_WORD_RIGHT}, {"[3^", KILL_WORD_RIGHT},
    {"d", KILL_WORD_RIGHT}, {"D", KILL_WORD_RIGHT}, {"\177", CTRL_W}, {"OM", ENTER},
    {"[200~", PASTE}, {"[201~", PASTE_END},
};

/* What editor_feed() asks its caller to do. */
enum verdict {
    MORE,                       /* nothing yet */
    LINE,                       /* a line is complete; it stays until editor_start() */
    END,                        /* Ctrl-D in an empty line, or the end of the input: QUIT */
    INTERRUPT,                  /* Ctrl-C; there is no line */
    SUSPEND                     /* Ctrl-Z: the line stays as it is */
};

static const char prompt[] = "pop3> ";

/* All zero at first, except what Tab asks for messages. */
struct editor {
    /* Returns the lowest message number above one, 0: none. *octets: its size, -1: unknown. */
    size_t (*next_message)(void *context, size_t above, int64_t *octets);
    void *context;
    bool ascii;                 /* the terminal cannot show more */
    bool hidden;                /* the line is a password */
    size_t columns;             /* of the terminal */

    char line[TYPED_MAX + 1];
    size_t length, cursor;      /* the cursor is in front of a character or at the end */
    const char *flaw;           /* why the line is not what was typed, or NULL */
    char killed[TYPED_MAX + 1]; /* for Ctrl-Y */
    uint32_t last;              /* the key before this one */

    char *history[HISTORY_MAX]; /* the oldest first */
    size_t history_count;
    size_t recalled;            /* index of the line that is shown; history_count: a new one */
    char unfinished[TYPED_MAX + 1];     /* the new line while another one is shown */
    size_t unfinished_cursor;

    bool searching, missed;     /* missed: no older line holds the query */
    char query[QUERY_MAX + 1];

    char bytes[5];              /* of a character, as they arrive */
    size_t count;
    bool after_cr;              /* a LF now belongs to that CR */
    char sequence[16];          /* what came after an ESC; a longer one is cut here */
    size_t sequence_length;     /* with the ESC; 0: none has begun */
    enum { NO_PASTE, IN_PASTE, PASTE_STOPPED } paste;   /* stopped: by Ctrl-C, up to its end */

    size_t painted;             /* the column of the cursor on the screen */
    bool resized;               /* since then */
    bool bell;                  /* to be rung by the next painting */
    struct text above;          /* to be painted above the line: completions, or a clear screen */
};

/* -- Places: where a character begins, or in a password a byte -- */

static size_t
next_place(const char *line, size_t at)
{
    struct span rest = {line + at, line + at + strnlen(line + at, 4)};

    if (rest.at < rest.end)
        span_next(&rest);
    return (size_t)(rest.at - line);
}

static size_t
previous_place(const char *line, size_t at)
{
    size_t place = 0;

    for (size_t next = 0; next < at; next = next_place(line, next))
        place = next;
    return place;
}

/* -- Changing the line -- */

/* Returns true if a line may hold a password. */
static bool
is_secret(const char *line)
{
    return strncasecmp(line + strspn(line, " \t"), "PASS", 4) == 0;
}

/* Removes what is between two places, or rings the bell if they are the same. */
static void
editor_delete(struct editor *e, size_t from, size_t to)
{
    e->bell = e->bell || from == to;
    memmove(e->line + from, e->line + to, e->length - to + 1);
    e->length -= to - from;
    e->cursor = from;
    if (e->length == 0)
        e->flaw = NULL;
}

/*
 * The same, kept for Ctrl-Y, unless it is part of a password or of a line that is not complete.
 * Keys that kill in a row collect what they remove, as it stood in the line.
 */
static void
editor_kill(struct editor *e, size_t from, size_t to)
{
    bool in_a_row = e->last == CTRL_K || e->last == CTRL_U || e->last == CTRL_W
        || e->last == KILL_WORD_RIGHT;
    size_t length = to - from, kept = in_a_row ? strlen(e->killed) : 0;
    size_t at = from < e->cursor ? 0 : kept;

    if (e->flaw != NULL || e->hidden || is_secret(e->line)) {
        e->killed[0] = '\0';
    } else if (length > 0 && kept + length <= TYPED_MAX) {
        memmove(e->killed + at + length, e->killed + at, kept - at);
        memcpy(e->killed + at, e->line + from, length);
        e->killed[kept + length] = '\0';
    }
    editor_delete(e, from, to);
}

/* Inserts bytes at the cursor: all of them or, if they do not fit, none. */
static void
editor_insert(struct editor *e, const char *bytes, size_t length)
{
    if (length > TYPED_MAX - e->length) {
        e->bell = true;
        e->flaw = "is too long";
        return;
    }
    memmove(e->line + e->cursor + length, e->line + e->cursor, e->length - e->cursor + 1);
    memcpy(e->line + e->cursor, bytes, length);
    e->length += length;
    e->cursor += length;
}

/* Rings the bell for input that is not text. A pasted line with it is not executed. */
static void
editor_refuse(struct editor *e)
{
    e->bell = true;
    if (e->paste == IN_PASTE)
        e->flaw = "has a character that cannot be typed";
}

/* Returns true for a character that may be in a line: it is shown as it is and takes columns. */
static bool
is_typable(const struct editor *e, uint32_t c)
{
    if (c < 0x80 || c > LAST_CHARACTER || e->ascii)
        return c >= ' ' && c < 0x7f;
    return !must_escape(c, 0) && character_columns(c) > 0;
}

/* Inserts the character that just arrived. In a password each byte is one. */
static void
editor_type(struct editor *e, uint32_t c)
{
    if (e->hidden ? c == (unsigned char)*e->bytes : is_typable(e, c))
        editor_insert(e, e->bytes, strlen(e->bytes));
    else
        editor_refuse(e);
}

/* Returns the start of the word before the cursor. A word is what is between blanks. */
static size_t
word_left(const struct editor *e)
{
    size_t at = e->cursor;

    while (at > 0 && e->line[at - 1] == ' ')
        at--;
    while (at > 0 && e->line[at - 1] != ' ')
        at--;
    return at;
}

/* Returns the end of the word after the cursor. */
static size_t
word_right(const struct editor *e)
{
    size_t at = e->cursor + strspn(e->line + e->cursor, " ");

    return at + strcspn(e->line + at, " ");
}

/* -- History and search -- */

/* Adds the line to the history, unless it is blank, secret, incomplete or the last one again. */
static void
history_add(struct editor *e)
{
    size_t last = e->history_count;

    if (e->line[strspn(e->line, " ")] == '\0' || e->flaw != NULL || e->hidden || is_secret(e->line)
        || (last > 0 && strcmp(e->history[last - 1], e->line) == 0))
        return;
    if (last == HISTORY_MAX) {
        free(e->history[0]);
        memmove(e->history, e->history + 1, --last * sizeof *e->history);
    }
    e->history[last] = memcpy(grow(NULL, e->length + 1), e->line, e->length + 1);
    e->history_count = last + 1;
}

/* Shows a line of the history, or after the last one the new line. */
static void
history_show(struct editor *e, size_t index)
{
    if (index > e->history_count) {     /* or below 0 */
        e->bell = true;
        return;
    }
    if (e->recalled == e->history_count) {
        memcpy(e->unfinished, e->line, e->length + 1);
        e->unfinished_cursor = e->cursor;
    }
    e->recalled = index;

    const char *line = index == e->history_count ? e->unfinished : e->history[index];
    e->length = strlen(line);
    e->cursor = index == e->history_count ? e->unfinished_cursor : e->length;
    memcpy(e->line, line, e->length + 1);
}

/* Shows the newest line with the query among the first count lines of the history. */
static void
search(struct editor *e, size_t count)
{
    size_t length = strlen(e->query);

    e->missed = false;
    if (length == 0)
        history_show(e, e->history_count);      /* the line at which the search began */
    while (length > 0 && count-- > 0)
        for (const char *line = e->history[count], *at = line; *at != '\0'; at++)
            if (strncasecmp(at, e->query, length) == 0) {
                history_show(e, count);
                e->cursor = (size_t)(at - line);
                return;
            }
    e->missed = e->bell = length > 0;
}

/* Handles a key while searching. Returns false if it ends the search and is for the line. */
static bool
search_key(struct editor *e, uint32_t key)
{
    size_t length = strlen(e->query), more = strlen(e->bytes);

    if (key == CTRL_R) {
        search(e, e->recalled);
    } else if (key == BACKSPACE || key == CTRL_H) {
        e->query[previous_place(e->query, length)] = '\0';
        search(e, e->history_count);
    } else if (length + more <= QUERY_MAX && is_typable(e, key)) {
        memcpy(e->query + length, e->bytes, more + 1);
        search(e, e->recalled < e->history_count ? e->recalled + 1 : e->recalled);
    } else {
        e->searching = false;
        if (key == CTRL_G || key == ESCAPE || key == PASTE)
            history_show(e, e->history_count);  /* a paste must not join an old line */
        return false;
    }
    return true;
}

/* -- Completion -- */

/* The word before the cursor and what could complete it. */
struct completion {
    const char *prefix;
    size_t length, count, width;
    char common[WORD_MAX];      /* the start that all completions have in common */
    struct text list;
    size_t column;              /* where its last row ends */
};

/* Takes a word into account if it begins with the prefix. octets -1: it has no size. */
static void
completion_offer(struct completion *k, const char *word, int64_t octets)
{
    char cell[2 * WORD_MAX];
    size_t same = 0;

    if (strncasecmp(word, k->prefix, k->length) != 0)
        return;
    if (k->count++ == 0)
        snprintf(k->common, sizeof k->common, "%s", word);
    while (k->common[same] != '\0' && k->common[same] == word[same])
        same++;
    k->common[same] = '\0';
    if (k->count > LIST_MAX)
        return;
    snprintf(cell, sizeof cell, octets < 0 ? "%s" : "%s (%s)", word, size_text(octets).text);

    bool fits = k->count > 1 && k->column + 2 + strlen(cell) <= k->width;
    text_printf(&k->list, "%s%.*s", k->count == 1 ? "" : fits ? "  " : "\r\n", (int)k->width, cell);
    k->column = (fits ? k->column + 2 : 0) + strlen(cell);
}

/* Returns true if the arguments of a line may be numbers of messages. */
static bool
takes_messages(const char *line)
{
    line += strspn(line, " ");
    for (int n = 0; n < ALL_COMMANDS; n++) {
        size_t length = strlen(command_at(n)->name);

        if (strncasecmp(line, command_at(n)->name, length) == 0 && line[length] == ' ')
            return command_at(n)->on_message;
    }
    return false;
}

/*
 * Tab: adds what all completions have in common, in small letters after a small letter, and a blank
 * after the only one. The second Tab lists them. Of a range, what follows the dash is completed.
 */
static void
editor_complete(struct editor *e)
{
    struct completion k = {.width = e->columns - 1};
    size_t start = e->cursor;
    int64_t octets = -1;
    char number[WORD_MAX];

    while (start > 0 && strchr(" -", e->line[start - 1]) == NULL)
        start--;
    k.prefix = e->line + start;
    k.length = e->cursor - start;
    if (start == strspn(e->line, " "))
        for (int n = 0; n < ALL_COMMANDS; n++)
            completion_offer(&k, command_at(n)->name, -1);
    else if (takes_messages(e->line))
        for (size_t n = 0; (n = e->next_message(e->context, n, &octets)) > 0;) {
            snprintf(number, sizeof number, "%zu", n);
            completion_offer(&k, number, octets);
        }

    char *rest = k.common + (k.count > 0 ? k.length : 0);
    bool small = e->cursor > 0 && e->line[e->cursor - 1] >= 'a';
    if (k.count > LIST_MAX)
        text_printf(&k.list, "\r\n%.*s", (int)k.width, "...");
    if (k.count > 1 && e->last == TAB)
        text_printf(&e->above, "%s\r\n", k.list.bytes);
    text_free(&k.list);
    e->bell = e->bell || (k.count != 1 && *rest == '\0');
    for (char *c = rest; small && *c != '\0'; c++)
        *c = (char)(*c - 'A' + 'a');
    editor_insert(e, rest, strlen(rest));
    if (k.count == 1 && e->line[e->cursor] == ' ')
        e->cursor++;
    else if (k.count == 1)
        editor_insert(e, " ", 1);
}

/* -- Painting -- */

/*
 * Prompt and line have one row of the screen, whatever their length: the part around the cursor is
 * shown, with < or > where there is more. So nothing has to be counted or cleaned up when lines
 * grow. The last column stays free, because terminals differ in what they do after it. All that is
 * sent besides text, CR, LF and BEL:
 *
 *     ESC [ J     erase to the end of the screen      ESC [ n C   move n columns to the right
 *     ESC [ n A   move n rows up
 *     ESC [ H ESC [ 2 J       go to the first row and erase the screen
 */

/* Appends what erases the line, which may have wrapped when the window became narrower. */
static void
paint_erase(const struct editor *e, struct text *to)
{
    text_puts(to, "\r");
    if (e->resized && e->painted >= e->columns)
        text_printf(to, "\033[%zuA", e->painted / e->columns);
    text_puts(to, "\033[J");
}

/* Appends the prompt and the line. Returns the column of the cursor in them. */
static size_t
editor_row(const struct editor *e, struct text *to)
{
    if (e->searching)
        text_printf(to, "%s '%s': ", e->missed ? "no" : "search", e->query);
    else
        text_puts(to, prompt);

    size_t cursor = to->length + e->cursor;
    text_puts(to, e->line);
    return columns_from(0, (struct span){to->bytes, to->bytes + cursor});
}

/*
 * Appends the part of a row that fits so many columns, with the cursor near its middle. cursor is
 * the column of the cursor in the row; returns that in the part.
 */
static size_t
paint_part(struct text *to, struct span row, size_t cursor, size_t columns)
{
    size_t total = columns_from(0, row), most = total > columns ? total - columns : 0;
    size_t before = (columns - 1) / 2;
    size_t view = cursor < before ? 0 : cursor - before < most ? cursor - before : most;
    bool less = columns >= 6 && view > 0, more = columns >= 6 && view < most;
    size_t left = view + less, right = view + columns - more, column = 0, done = left;

    text_puts(to, less ? "<" : "");
    while (row.at < row.end) {
        const char *at = row.at;
        size_t end = column + character_columns(span_next(&row));

        if (column >= left && end <= right) {
            text_printf(to, "%*s", (int)(column - done), "");   /* half of a wide character */
            text_add(to, at, (size_t)(row.at - at));
            done = end;
        }
        column = end;
    }
    if (more)
        text_printf(to, "%*s>", (int)(right - done), "");
    return cursor - view;
}

/* Appends what shows the line as it is now, in the row of the cursor. */
static void
editor_paint(struct editor *e, struct text *to)
{
    struct text row = {0};
    size_t cursor = editor_row(e, &row);

    paint_erase(e, to);
    text_add(to, e->above.bytes, e->above.length);
    e->painted = paint_part(to, text_span(&row), cursor, e->columns - 1);
    text_puts(to, "\r");
    if (e->painted > 0)
        text_printf(to, "\033[%zuC", e->painted);
    text_puts(to, e->bell ? "\a" : "");
    e->resized = e->bell = false;
    text_clear(&e->above);
    text_free(&row);
}

/* Appends what prints the whole line for good, with something behind it. */
static void
editor_finish(struct editor *e, const char *behind, struct text *to)
{
    paint_erase(e, to);
    text_puts(to, prompt);
    if (!is_secret(e->line))
        text_puts(to, e->line);
    else
        text_puts(to, e->line[strspn(e->line, " ") + 4] == '\0' ? "PASS" : "PASS ***");
    text_printf(to, "%s\r\n", behind);
}

/* The terminal has so many columns now, 0 if that is not known. The line must be painted again. */
static void
editor_resize(struct editor *e, size_t columns)
{
    e->columns = columns == 0 ? 80 : columns < 2 ? 2 : columns;
    e->resized = true;
}

/* -- Keys -- */

/* Begins a new line. Of a line with a password nothing stays in memory. */
static void
editor_start(struct editor *e, bool hidden)
{
    if (e->hidden || is_secret(e->line))
        memset(e->killed, 0, sizeof e->killed);
    memset(e->line, 0, sizeof e->line);
    memset(e->unfinished, 0, sizeof e->unfinished);
    memset(e->query, 0, sizeof e->query);
    memset(e->bytes, 0, sizeof e->bytes);
    e->length = e->cursor = e->count = e->painted = 0;
    e->searching = e->bell = false;
    e->flaw = NULL;
    e->last = NO_KEY;
    e->hidden = hidden;
    e->recalled = e->history_count;
    text_clear(&e->above);
}

/* Handles a key. */
static enum verdict
editor_key(struct editor *e, uint32_t key)
{
    const char *line = e->line;
    size_t at = e->cursor, end = e->length;

    switch (key) {
    case CTRL_A:            e->cursor = 0; break;
    case CTRL_E:            e->cursor = end; break;
    case CTRL_B:            e->cursor = previous_place(line, at); break;
    case CTRL_F:            e->cursor = next_place(line, at); break;
    case WORD_LEFT:         e->cursor = word_left(e); break;
    case WORD_RIGHT:        e->cursor = word_right(e); break;

    case BACKSPACE:
    case CTRL_H:            editor_delete(e, previous_place(line, at), at); break;
    case DELETE:            editor_delete(e, at, next_place(line, at)); break;
    case CTRL_K:            editor_kill(e, at, end); break;
    case CTRL_U:            editor_kill(e, 0, at); break;
    case CTRL_W:            editor_kill(e, word_left(e), at); break;
    case KILL_WORD_RIGHT:   editor_kill(e, at, word_right(e)); break;
    case CTRL_Y:            editor_insert(e, e->killed, strlen(e->killed)); break;

    case CTRL_P:            history_show(e, e->recalled - 1); break;
    case CTRL_N:            history_show(e, e->recalled + 1); break;
    case CTRL_R:
        e->searching = true;
        e->missed = false;
        e->recalled = e->history_count;         /* ^G shows this line again, whatever it was */
        e->query[0] = '\0';
        break;
    case TAB:               editor_complete(e); break;
    case CTRL_L:            text_puts(&e->above, "\033[H\033[2J"); break;
    case PASTE:             e->paste = IN_PASTE; break;

    case LINE_FEED:
    case ENTER:             history_add(e); return LINE;
    case CTRL_C:            return INTERRUPT;
    case CTRL_Z:            return SUSPEND;
    case CTRL_D:
        if (end == 0)
            return END;
        editor_delete(e, at, next_place(line, at));
        break;
    default:
        if (key >= ' ' && key <= LAST_CHARACTER)
            editor_type(e, key);
    }
    return MORE;
}

/*
 * Passes one key to the paste, the password, the search or the line. A paste has text and line
 * ends, until its end mark; TAB in it is a blank, and Ctrl-C discards the rest. In a password all
 * is text that does not end or erase it.
 */
static enum verdict
editor_press(struct editor *e, uint32_t key)
{
    const char *keys = e->paste != NO_PASTE ? "\n\r\003"
        : e->hidden ? "\n\r\003\004\010\025\032\177" : NULL;
    bool byte = key == (unsigned char)e->bytes[0];      /* and not a sequence */
    bool is_text = keys != NULL && !(byte && strchr(keys, (int)key) != NULL);
    enum verdict verdict = MORE;

    if (key == PASTE_END)
        e->paste = NO_PASTE;
    else if (e->paste == PASTE_STOPPED)
        verdict = MORE;
    else if (e->paste == IN_PASTE && key == TAB && !e->hidden)
        editor_insert(e, " ", 1);
    else if (is_text && (e->paste == IN_PASTE || key != PASTE))
        editor_type(e, key);
    else if (e->flaw != NULL && (key == CTRL_P || key == CTRL_N || key == CTRL_R))
        e->bell = true;         /* the line would come back as if it were complete */
    else if (!e->searching || !search_key(e, key))
        verdict = editor_key(e, key);
    if (verdict == INTERRUPT && e->paste == IN_PASTE)
        e->paste = PASTE_STOPPED;
    e->last = key;
    return verdict;
}

/*
 * Takes a character that is an ESC or follows one. Returns the key that it completes. A control
 * character ends every sequence and is a key itself, but a BEL or ESC \ that ends a terminal's
 * answer is none. (ECMA-48, 5.4 and 5.6)
 */
static uint32_t
sequence_key(struct editor *e, uint32_t c)
{
    size_t length = e->sequence_length;
    bool answer = length > 1 && (e->sequence[0] == ']' || e->sequence[0] == 'P');

    if (c < ' ' && length > 0 && !answer)
        editor_refuse(e);
    e->sequence_length = c == ESCAPE;
    if (c < ' ')
        return c == ESCAPE || (answer && c == CTRL_G) ? NO_KEY : c;

    length -= length == sizeof e->sequence;     /* too long for a key: the end does not matter */
    e->sequence[length - 1] = (char)(c < 0x80 ? c : '?');
    e->sequence[length] = '\0';
    if (answer || (length == 1 ? c < 0x80 && strchr("[O]P", (int)c) != NULL
                   : c < '@' || c == '[')) {    /* ESC [ [ A is a F1 */
        e->sequence_length = length + 1;
        return NO_KEY;
    }
    for (size_t i = 0; i < sizeof sequences / sizeof *sequences; i++)
        if (strcmp(sequences[i].bytes, e->sequence) == 0)
            return sequences[i].key;
    return OTHER_KEY;
}

/* Takes one byte from the keyboard. In a password each is a character. */
static enum verdict
editor_feed(struct editor *e, unsigned char byte)
{
    uint32_t c = byte;

    if (e->count > 0 && (byte & 0xc0) != 0x80) {        /* a character is cut short */
        editor_refuse(e);
        e->count = 0;
    }
    e->bytes[e->count++] = (char)byte;
    e->bytes[e->count] = '\0';

    int bytes = e->hidden ? 1 : utf8_read((unsigned char *)e->bytes, e->count, &c);
    if (bytes < 0)
        return MORE;
    e->count = 0;
    if (bytes == 0 || c == 0) {
        editor_refuse(e);
        return MORE;
    }
    bool second_half = c == LINE_FEED && e->after_cr;
    e->after_cr = c == ENTER;
    if (second_half)
        return MORE;
    if (c == ESCAPE || e->sequence_length > 0)
        c = sequence_key(e, c);
    return c == NO_KEY ? MORE : editor_press(e, c);
}

/* Returns how long to wait for the next byte, in milliseconds, before editor_timeout() is due. */
static int64_t
editor_patience(const struct editor *e)
{
    return e->sequence_length > 0 || e->paste != NO_PASTE ? SEQUENCE_MS : WAIT_FOREVER;
}

/* No byte came in time: a lone ESC is a key; any other sequence, or a paste, has ended. */
static void
editor_timeout(struct editor *e)
{
    bool alone = e->sequence_length == 1 && e->paste == NO_PASTE;

    e->sequence_length = 0;
    e->paste = NO_PASTE;
    if (alone)
        editor_press(e, ESCAPE);
}

/* ---- 6. The server --------------------------------------------------------------------------- */

/* Returns true if no more can be sent: a signal came, or the connection or the output failed. */
static bool
is_broken(const struct client *c)
{
    return interrupted || c->server.error != 0 || c->screen.error != 0;
}

/* Returns what broke the session. */
static const char *
reason_of_loss(const struct client *c)
{
    if (interrupted)
        return "interrupted";
    if (c->screen.error == WIRE_CLOSED)
        return "the standard output was closed";
    if (c->screen.error != 0)
        return strerror(c->screen.error);
    switch (c->server.error) {
    case WIRE_CLOSED: case ECONNRESET:  return "the server closed the connection";
    case ETIMEDOUT:     return c->quitting ? "the server does not answer QUIT"
                                           : "the server does not answer";
    case EILSEQ:        return "the server stopped before the end of the message (CRLF, a dot, "
                               "CRLF)";
    case EPROTO:        return "the server does not speak POP3";
    case EMSGSIZE:      return "the server sent a line without end";
    case EBADMSG:       return "the server sent an answer that was not asked for";
    default:            return strerror(c->server.error);
    }
}

/*
 * Says, once, why a session ended before the answer to QUIT. Only QUIT removes mail: without it
 * the marks have no effect.
 */
static void
connection_lost(struct client *c)
{
    struct text text = {0};

    if (c->over)
        return;
    c->over = true;
    if (c->screen.error > 0 && !interrupted)
        text_puts(&text, "cannot write the output: ");
    text_printf(&text, "%s; %s", reason_of_loss(c), c->quitting && marked_count(c) > 0 ?
                "the server did not say whether it removed the marked messages" :
                "nothing was removed");
    if (c->server.error == EPROTO && c->screen.error == 0) {
        text_puts(&text, ". It sent: ");        /* last: these are the server's words */
        visible(&text, (struct span){c->status, c->status + c->status_length});
        if (c->status_length == 0)
            text_puts(&text, "an empty line, or one of more than 512 octets");
    }
    fail(c, "%s", text.bytes);
    text_free(&text);
}

/* Shows what was printed, and how far the command is, while the client waits for the server. */
static void
while_waiting(void *context)
{
    struct client *c = context;

    wire_flush(&c->screen);
    progress_paint(c);
}

/* Opens the wire to the server, which fails if nothing moves on it for so many seconds. */
static void
open_server(struct client *c, int in, int out, int seconds)
{
    wire_open(&c->server, in, out);
    c->server.idle_ms = seconds * 1000;
    c->server.stop = &interrupted;
    c->server.waiting = while_waiting;
    c->server.context = c;
}

/* Connects to the host's first address that answers. Returns false after saying why none does. */
static bool
connect_to(struct client *c, const struct addrinfo *addresses)
{
    const int on = 1;
    int error = 0, first = 0;

    for (const struct addrinfo *a = addresses; a != NULL && !interrupted; a = a->ai_next) {
        socklen_t size = sizeof error;
        int fd = socket(a->ai_family, a->ai_socktype, a->ai_protocol);

        error = fd < 0 ? errno : 0;
        first = first == 0 ? error : first;
        if (fd < 0)
            continue;
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        fcntl(fd, F_SETFL, O_NONBLOCK);
        open_server(c, -1, -1, CONNECT_SECONDS);        /* a wire for the wait alone */
        error = connect(fd, a->ai_addr, a->ai_addrlen) == 0 ? 0 : errno;
        if (error == EINPROGRESS) {
            if (!wire_wait(&c->server, fd, true))
                error = c->server.error;
            else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
                error = errno;
        }
        if (error == 0) {
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            open_server(c, fd, fd, GREETING_SECONDS);
            return true;
        }
        first = first == 0 ? error : first;
        close(fd);
    }
    fail(c, "cannot connect to %s port %s: %s%s", c->settings->host, c->settings->port,
         interrupted ? "interrupted" : strerror(first),
         first == ECONNREFUSED ? "; is the server running, and on this port?" : "");
    return false;
}

/*
 * Runs the -x command with pipes as its standard input and output. It ignores Ctrl-C, which is
 * for the client. Returns false after having said why it cannot be run.
 */
static bool
run_command(struct client *c)
{
    int to[2], from[2];

    if (pipe(to) != 0 || pipe(from) != 0 || (c->child = fork()) < 0) {
        fail(c, "cannot run the command of -x: %s", strerror(errno));
        return false;
    }
    for (int i = 0; i < 2; i++) {       /* in both processes */
        fcntl(to[i], F_SETFD, FD_CLOEXEC);
        fcntl(from[i], F_SETFD, FD_CLOEXEC);
    }
    if (c->child == 0) {
        dup2(to[0], STDIN_FILENO);
        dup2(from[1], STDOUT_FILENO);
        signal(SIGINT, SIG_IGN);
        signal(SIGQUIT, SIG_IGN);
        signal(SIGPIPE, SIG_DFL);
        signal(SIGXFSZ, SIG_DFL);
        execl("/bin/sh", "sh", "-c", c->settings->command, (char *)NULL);
        fprintf(stderr, "%s: /bin/sh: %s\n", program, strerror(errno));
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    open_server(c, from[0], to[1], ANSWER_SECONDS);
    return true;
}

/*
 * Waits until a child has ended, for at most ms milliseconds or until a signal that ends the
 * session. Returns true with *status set if it has ended. The one place that waits for children:
 * SIGCHLD ends the wait.
 */
static bool
wait_child(pid_t pid, int64_t ms, int *status)
{
    const sig_atomic_t before = interrupted;
    int64_t until = wire_clock() + ms, left;
    pid_t ended;

    while ((ended = waitpid(pid, status, WNOHANG)) == 0 && interrupted == before
           && (left = until - wire_clock()) > 0)
        wait_ready(NULL, 0, false, left);
    return ended != 0;
}

/*
 * Closes the connection and waits for the -x command, which is ended by force if it does not end
 * itself. Its failure counts unless QUIT was answered with +OK.
 */
static void
hang_up(struct client *c)
{
    static const int force[] = {SIGTERM, SIGKILL};
    bool failed = c->failed;
    int status = 0, i;

    close(c->server.in);
    if (c->server.out != c->server.in)
        close(c->server.out);
    if (c->child == 0)
        return;
    for (i = 0; !wait_child(c->child, (interrupted ? 1 : CHILD_SECONDS) * 1000, &status)
                && i < 2; i++) {
        fail(c, "the command of -x does not end; it gets signal %d", force[i]);
        kill(c->child, force[i]);
    }
    if (WIFSIGNALED(status) && i == 0)
        fail(c, "the command of -x was ended by signal %d", WTERMSIG(status));
    else if (WEXITSTATUS(status) != 0)
        fail(c, "the command of -x ended with status %d", WEXITSTATUS(status));
    if (c->quit_done)
        c->failed = failed;
}

/*
 * Shows a line that is sent, for -v. Passwords are not shown: not that of PASS, not what may be
 * one in AUTH, and not the line that answers a "+ ".
 */
static void
print_sent(struct client *c, const char *line)
{
    size_t shown = strlen(line);
    bool argument = shown > 4 && (line[4] == ' ' || line[4] == '\t');

    if (argument && strncasecmp(line, "PASS", 4) == 0)
        shown = 4;
    if (argument && strncasecmp(line, "AUTH", 4) == 0)
        shown = 5 + strcspn(line + 5, " \t");
    if (c->continued)
        print_line(c, "> ***");
    else
        print_line(c, "> %.*s%s", (int)shown, line, line[shown] != '\0' ? " ***" : "");
}

/* Sends a line, given without its end. After a signal that ends the session nothing is sent. */
static void
send_line(struct client *c, const char *line)
{
    if (interrupted)
        wire_fail(&c->server, EINTR);
    if (c->settings->verbose && c->server.error == 0)
        print_sent(c, line);
    c->continued = false;
    wire_put(&c->server, line, strlen(line));
    wire_put(&c->server, "\r\n", 2);
    c->spoke = wire_clock();
}

/*
 * Keeps the session open while a person thinks or reads: sends NOOP when it is due. Returns the
 * milliseconds until the next one. None is sent between USER and PASS or while a password is typed.
 * If the last one is not answered by then, wait_for_keys() ends the session.
 */
static int64_t
keep_alive(struct client *c)
{
    int64_t left = c->spoke + c->noop_ms - wire_clock();

    if (left > 0)
        return left;
    if (c->user_given || c->continued || c->editor->hidden) {
        c->spoke = wire_clock();
    } else {
        c->noops++;
        send_line(c, "NOOP");
        wire_flush(&c->server);
    }
    return c->noop_ms;
}

/* Returns true if a status line begins with this status, alone or followed by a blank. */
static bool
has_status(const char *line, const char *status)
{
    size_t length = strlen(status);

    return strncmp(line, status, length) == 0 && (line[length] == '\0' || line[length] == ' ');
}

/* Returns true if the input buffer contains a byte; with LF, a whole line. */
static bool
has_byte(const struct wire *w, char byte)
{
    return memchr(w->input + w->in_start, byte, w->in_end - w->in_start) != NULL;
}

/*
 * Reads the status line that answers a command into c->status. Returns true if it is +OK. "+ "
 * asks for more (RFC 5034). Any other line ends the session, because what follows it is unknown.
 * Answers to the client's own NOOPs are skipped.
 */
static bool
read_status(struct client *c)
{
    char *line;
    size_t length;
    enum wire_line got;

    do
        got = wire_line(&c->server, sizeof c->status, &line, &length);
    while (got == WIRE_LINE && c->noops > 0 && c->noops-- > 0);
    c->status[0] = '\0';
    c->status_length = 0;
    c->body = (struct pop3_unstuffer){.octets = 0};
    if (got == WIRE_LINE) {
        memcpy(c->status, line, length + 1);
        c->status_length = length;
        if (has_status(line, "+OK"))
            return true;
        c->continued = has_status(line, "+");
    }
    if (got != WIRE_NO_LINE && !c->continued && !has_status(c->status, "-ERR"))
        wire_fail(&c->server, EPROTO);
    return false;
}

/* Shows the last status line as it was received. If it is not +OK, the exit status will be 1. */
static void
show_status(struct client *c)
{
    if (c->server.error != 0)
        return;
    print_status(c, c->status, c->status_length);
    c->failed = c->failed || !has_status(c->status, "+OK");
}

/* Reads the status line that answers a command, and shows it. Returns true if it is +OK. */
static bool
show_answer(struct client *c)
{
    bool ok = read_status(c);

    show_status(c);
    return ok;
}

/*
 * Reads the next piece of the message behind a status line, of any length, with LF as the line end.
 * It is valid until the next one. Returns false after the final dot, or if the wire has failed.
 */
static bool
read_piece(struct client *c, struct span *piece)
{
    static char text[WIRE_INPUT + 1];
    struct wire *w = &c->server;
    uint64_t before = c->body.octets;
    size_t made = 0;

    if (c->body.at == UNSTUFF_END)
        return false;
    if (w->in_start == w->in_end && !wire_fill(w)) {
        if (w->error == ETIMEDOUT)
            w->error = EILSEQ;  /* perhaps it ends its lines with LF alone */
        return false;
    }
    w->in_start += pop3_unstuff(&c->body, w->input + w->in_start, w->in_end - w->in_start,
                                (unsigned char *)text, &made);
    *piece = (struct span){text, text + made};
    c->progress.octets += c->body.octets - before;
    return true;
}

/* Shows the message behind a status line as it comes, in whole characters. */
static void
show_body(struct client *c)
{
    struct text text = {0};
    struct span piece;

    while (read_piece(c, &piece)) {
        text_add(&text, piece.at, span_length(piece));

        struct span whole = {text.bytes, whole_end(text_span(&text))};
        print_bytes(c, whole);
        text.length -= span_length(whole);
        memmove(text.bytes, whole.end, text.length);
    }
    print_bytes(c, text_span(&text));
    text_free(&text);
}

/*
 * Reads a line of LIST, UIDL or CAPA. Returns false after the final dot, or if the wire has
 * failed. No message can be cut off here, so LF alone ends a line, too: some test servers send it.
 */
static bool
read_list_line(struct client *c, char **line, size_t *length)
{
    enum wire_line got;

    do {
        got = wire_line(&c->server, LIST_LINE_MAX, line, length);
        if (got == WIRE_LINE_TOO_LONG)
            fail(c, "a line of the list is too long; it is left out");
    } while (got == WIRE_LINE_TOO_LONG);
    if (got == WIRE_NO_LINE || **line != '.')
        return got == WIRE_LINE;
    ++*line;                    /* byte-stuffing */
    return --*length > 0;
}

/*
 * Shows unsolicited lines of the server, and notices that it closed the connection. Does not wait.
 * In a script an unsolicited line ends the session, because the next command would take it for its
 * answer; except for the -ERR with which a server announces that it closes.
 */
static void
show_unsolicited(struct client *c)
{
    char *line;
    size_t length;

    if (c->server.error == 0 && wait_ready(&c->server.in, 1, false, 0) > 0)
        wire_fill(&c->server);  /* once: the rest of a long output comes later */
    while (has_byte(&c->server, '\n')) {
        if (wire_line(&c->server, sizeof c->status, &line, &length) != WIRE_LINE
            || (c->noops > 0 && c->noops-- > 0))
            continue;
        print_status(c, line, length);
        if (!c->at_terminal && !has_status(line, "-ERR"))
            wire_fail(&c->server, EBADMSG);
    }
}

/* ---- 7. Saving ------------------------------------------------------------------------------- */

/*
 * A message is written to a file with a hidden name. When it is complete it waits for others of
 * the same command, because the disk takes far longer for one after the other than for all of
 * them at once: save_commit() has their content written, then gives each its name, then has the
 * directory written. Only then are they reported as saved.
 *
 *     save_begin; for each message save_open -> receive_message; save_commit for each batch:
 *     sync files -> save_name -> sync directory -> save_report -> save_close; save_end
 */

/* Writes all of the bytes to a file. Returns false with errno set if it cannot. */
static bool
write_all(int file, struct span bytes)
{
    while (bytes.at < bytes.end) {
        ssize_t count = write(file, bytes.at, span_length(bytes));

        if (count < 0 && errno != EINTR)
            return false;
        bytes.at += count > 0 ? count : 0;
    }
    return true;
}

/*
 * Receives the message behind a status line into a file. After an error, which goes to *error
 * unless there is one already, the rest is only read. Returns false if it is not complete.
 */
static bool
receive_message(struct client *c, int file, int *error)
{
    struct span piece;

    while (read_piece(c, &piece))
        if (*error == 0 && !write_all(file, piece))
            *error = errno;
    return c->body.at == UNSTUFF_END;
}

/*
 * Makes a directory, and has its name written to disk, which the parent holds. A parent that may
 * not be read cannot be synced alone. Returns false with errno set if one of both fails.
 */
static bool
make_directory(const char *path)
{
    char parent[PATH_MAX];
    int fd, error;

    if (mkdir(path, S_IRWXU) != 0)
        return errno == EEXIST;
    snprintf(parent, sizeof parent, "%s/..", path);
    fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == EACCES) {
        sync();
        return true;
    }
    error = fd >= 0 && sync_descriptor(fd) ? 0 : errno;
    if (fd >= 0)
        close(fd);
    if (error != 0)
        rmdir(path);
    errno = error;
    return error == 0;
}

/*
 * Opens the directory for messages, which is made with its parents if it does not exist. Returns
 * -1 with errno set if that fails.
 */
static int
open_directory(const char *path)
{
    char part[PATH_MAX - 3], *slash = part;     /* make_directory() adds three bytes */
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0 || errno != ENOENT)
        return fd;
    snprintf(part, sizeof part, "%s", path);
    while (*slash != '\0') {
        slash += 1 + strcspn(slash + 1, "/");

        char end = *slash;
        *slash = '\0';
        if (access(part, F_OK) != 0 && !make_directory(part))
            return -1;
        *slash = end;
    }
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/*
 * Opens a hidden file for a message in the directory path, which the first message makes if it
 * does not exist. Errors wait in d->error, those of the directory as well.
 */
static void
save_open(struct batch *all, struct download *d, const char *path, uint64_t number)
{
    if (all->directory < 0)
        all->directory = open_directory(path);
    *d = (struct download){.number = number, .file = -1};
    for (int i = 0; all->directory >= 0 && d->file < 0 && (i == 0 || errno == EEXIST); i++) {
        snprintf(d->temporary, sizeof d->temporary, ".%" PRIu64 ".%ld-%d", number,
                 (long)getpid(), i);
        d->file = openat(all->directory, d->temporary,
                         O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR);
    }
    if (d->file < 0) {
        d->error = errno;
        d->temporary[0] = '\0';
    }
}

/*
 * Returns true if a file of the directory has the same content as an open one. Then it is also
 * written to disk, because it is reported as saved.
 */
static bool
same_content(int directory, const char *name, int file)
{
    int other = openat(directory, name,
                       O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    char a[16 * 1024], b[sizeof a];
    struct stat ours, theirs;
    off_t offset = 0;
    bool same = false;

    if (other >= 0 && fstat(other, &theirs) == 0 && fstat(file, &ours) == 0)
        same = S_ISREG(theirs.st_mode) && ours.st_size == theirs.st_size;
    while (same && offset < ours.st_size) {
        ssize_t count = pread(file, a, sizeof a, offset);

        same = count > 0 && pread(other, b, (size_t)count, offset) == count
            && memcmp(a, b, (size_t)count) == 0;
        offset += count;
    }
    same = same && sync_descriptor(other);
    if (other >= 0)
        close(other);
    return same;
}

/*
 * Renames a file. Returns false with errno set if it cannot, EEXIST if the name is taken. Nothing
 * is ever overwritten: a link cannot, and neither can the rename of Linux and macOS for file
 * systems without links. Where both are missing an empty file reserves the name first.
 */
static bool
rename_new(int directory, const char *from, const char *to)
{
    int fd, error;

    if (linkat(directory, from, directory, to, 0) == 0) {
        unlinkat(directory, from, 0);
        return true;
    }
#ifdef SYS_renameat2
    if (errno != EEXIST
        && syscall(SYS_renameat2, directory, from, directory, to, 1U /* RENAME_NOREPLACE */) == 0)
        return true;
#elif defined RENAME_EXCL && !defined POSIX_ONLY
    if (errno != EEXIST && renameatx_np(directory, from, directory, to, RENAME_EXCL) == 0)
        return true;
#endif
    if (errno == EEXIST)
        return false;
    fd = openat(directory, to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                S_IRUSR | S_IWUSR);
    if (fd < 0)
        return false;
    close(fd);
    if (renameat(directory, from, directory, to) == 0)
        return true;
    error = errno;
    unlinkat(directory, to, 0);
    errno = error;
    return false;
}

/*
 * Gives a complete message the first free name of n.eml, n-1.eml, n-2.eml ..., unless a file
 * before that has the same content. Returns false with errno set if it cannot have one.
 */
static bool
save_name(struct batch *all, struct download *d)
{
    for (unsigned i = 0; !d->already; i++) {
        snprintf(d->name, sizeof d->name, i == 0 ? "%" PRIu64 ".eml" : "%" PRIu64 "-%u.eml",
                 d->number, i);
        if (rename_new(all->directory, d->temporary, d->name)) {
            d->temporary[0] = '\0';
            return true;
        }
        if (errno != EEXIST)
            return false;
        d->already = same_content(all->directory, d->name, d->file);
    }
    return true;
}

/* Removes what is left of a message that was not saved, and closes its file. */
static void
save_close(struct batch *all, struct download *d)
{
    if (d->temporary[0] != '\0')
        unlinkat(all->directory, d->temporary, 0);
    if (d->file >= 0)
        close(d->file);
    text_free(&d->status);
}

/*
 * Reports the result for a message. One that is shorter than the server announced is kept, but
 * counts as failed: a server that does not stuff a dot at the very start of a message cuts it off
 * there.
 */
static void
save_report(struct client *c, const struct download *d)
{
    const char *directory = c->settings->directory;

    if (d->status.length > 0)
        print_status(c, d->status.bytes, d->status.length);
    if (d->error != 0) {
        fail(c, "message %" PRIu64 " is not saved: %s: %s; -d names another directory", d->number,
             directory, strerror(d->error));
        return;
    }
    c->batch.already += d->already;
    c->batch.saved += !d->already;
    c->batch.octets += d->octets;
    print_line(c, "%s %s%s%s (%" PRId64 " octets)", d->already ? "already saved as" : "saved",
               directory, directory[strlen(directory) - 1] == '/' ? "" : "/", d->name, d->octets);
    message_at(c, d->number)->unsaved = d->announced > d->octets || d->number > MESSAGES_MAX;
    if (d->announced > d->octets)
        fail(c, "message %" PRIu64 ": the server announced %" PRId64 " octets; some may be missing",
             d->number, d->announced);
    else if (d->announced >= 0 && d->announced < d->octets)
        warn(c, "message %" PRIu64 ": the server announced %" PRId64 " octets", d->number,
             d->announced);
}

/*
 * Saves the messages that are complete, and reports each. syncfs() writes everything at once;
 * then each fsync() has little left to do. It stays: not every file system does with syncfs() what
 * it says, or reports an error there.
 */
static void
save_commit(struct client *c)
{
    struct batch *all = &c->batch;
    struct download *end = all->list + all->count;
    bool any = false;           /* has got its name */

#ifdef SYS_syncfs
    if (all->count > 2)
        syscall(SYS_syncfs, (long)all->directory);
#endif
    for (struct download *d = all->list; d < end; d++)
        if (d->error == 0 && !sync_descriptor(d->file))
            d->error = errno;
    for (struct download *d = all->list; d < end; d++) {
        if (d->error == 0 && !save_name(all, d))
            d->error = errno;
        any = any || d->error == 0;
    }

    int error = any && !sync_descriptor(all->directory) ? errno : 0;
    for (struct download *d = all->list; d < end; d++) {
        if (error != 0 && d->error == 0) {
            d->error = error;
            if (!d->already)
                unlinkat(all->directory, d->name, 0);
        }
        save_report(c, d);
        save_close(all, d);
    }
    all->count = 0;
}

/*
 * Prepares for the messages of one command. Returns false, after having said why, if the directory
 * exists and cannot be used.
 */
static bool
save_begin(struct client *c)
{
    const char *path = c->settings->directory;
    struct batch *all = &c->batch;
    struct rlimit files;

    *all = (struct batch){.most = SAVE_TOGETHER};
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur / 4 < SAVE_TOGETHER)
        all->most = (size_t)files.rlim_cur / 4;
    all->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (all->directory < 0 ? errno == ENOENT : access(path, W_OK | X_OK) == 0)
        return true;
    fail(c, "cannot save messages in %s: %s; -d names another directory", path, strerror(errno));
    if (all->directory >= 0)
        close(all->directory);
    return false;
}

/* Saves what is complete, and closes the directory. */
static void
save_end(struct client *c)
{
    save_commit(c);
    if (c->batch.directory >= 0)
        close(c->batch.directory);
    c->batch.directory = -1;
}

/* ---- 8. Reading a message -------------------------------------------------------------------- */

/*
 * SHOW takes a message whole, mapped from a file, and goes from text to text:
 *
 *     message -> header and body -> parts -> the parts to show; then for each of them
 *     transfer encoding -> UTF-8 -> (HTML) -> visible text -> lines that fit
 *
 * Texts are truncated before they are decoded, and an attachment is only measured, so memory does
 * not depend on the message. A message may be wrong or hostile: malformed input is shown as well as
 * possible, with a note. Only this is dropped: alternatives of what is shown, invisible characters,
 * HTML's tags and what its authors hide, and a preamble that explains MIME.
 *
 * The order: transfer encodings, charsets, header fields, HTML, the page, the parts of a message;
 * SHOW; HEADERS; then the process that does all that in a sandbox, and the pager.
 */
enum {
    SHOW_TEXT = 12 * 1024 * 1024,   /* bytes of the texts of a message that are decoded */
    SHOW_FIELD = 64 * 1024,     /* bytes of a header field that are decoded */
    SHOW_PARTS = 250,           /* parts of a message */
    SHOW_DEPTH = 20,            /* how deep they may be nested */
    SHOW_BARS = 4               /* at most so many bars mark a message within others */
};

static const char blanks[] = " \t\r\n\f";
static const struct span no_span = {blanks, blanks};         /* two "" may have two addresses */

static char
lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool
is_alnum(char c)
{
    return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z');
}

/* Returns true if c is one of a string's characters. */
static bool
is_in(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

/* Returns true if a span begins with a word of a list a|b|c in lower case, or with whole is one. */
static bool
matches(struct span s, const char *list, bool whole)
{
    for (size_t size; *list != '\0'; list += size + (list[size] == '|')) {
        const char *at = s.at;

        size = strcspn(list, "|");
        while (at < s.end && (size_t)(at - s.at) < size && lower(*at) == list[at - s.at])
            at++;
        if ((size_t)(at - s.at) == size && (!whole || at == s.end))
            return true;
    }
    return false;
}

static bool
begins(struct span s, const char *list)
{
    return matches(s, list, false);
}

static bool
is_word(struct span s, const char *list)
{
    return matches(s, list, true);
}

/* Returns true if two words are equal apart from the case of ASCII letters. */
static bool
same_word(struct span a, struct span b)
{
    for (; a.at < a.end && b.at < b.end && lower(*a.at) == lower(*b.at); a.at++, b.at++)
        ;
    return a.at == a.end && b.at == b.end;
}

/* Returns where a word in lower case stands first, or NULL. */
static const char *
find(struct span s, const char *word)
{
    for (; s.at < s.end; s.at++)
        if (lower(*s.at) == *word && begins(s, word))
            return s.at;
    return NULL;
}

/* Takes the longest start that has none of the characters of a set. */
static struct span
take_until(struct span *s, const char *set)
{
    struct span taken = {s->at, s->at};

    while (s->at < s->end && !is_in(*s->at, set))
        s->at++;
    taken.end = s->at;
    return taken;
}

/* Takes the longest start that has no others. */
static struct span
take_while(struct span *s, const char *set)
{
    struct span taken = {s->at, s->at};

    while (s->at < s->end && is_in(*s->at, set))
        s->at++;
    taken.end = s->at;
    return taken;
}

static struct span
trim_end(struct span s)
{
    while (s.end > s.at && is_in(s.end[-1], blanks))
        s.end--;
    return s;
}

static struct span
trim(struct span s)
{
    take_while(&s, blanks);
    return trim_end(s);
}

/* Returns the first bytes of a span, at most so many. */
static struct span
limit(struct span s, size_t most)
{
    return (struct span){s.at, span_length(s) > most ? s.at + most : s.end};
}

/* Takes the next line, without its end: LF and any CRs before it. Returns false if none is left. */
static bool
next_line(struct span *rest, struct span *line)
{
    const char *lf = memchr(rest->at, '\n', span_length(*rest));

    if (rest->at == rest->end)
        return false;
    *line = (struct span){rest->at, lf != NULL ? lf : rest->end};
    rest->at = lf != NULL ? lf + 1 : rest->end;
    while (line->end > line->at && line->end[-1] == '\r')
        line->end--;
    return true;
}

/* -- Transfer encodings (RFC 2045 section 6) -- */

enum encoding {
    ENCODING_NONE, ENCODING_QUOTED, ENCODING_BASE64, ENCODING_UU, ENCODING_UNKNOWN
};

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/*
 * Decodes base64, and returns what stands behind it. In a body, the first line with any other
 * character ends it, and so does, from the padding on, one that is no whole number of groups: a
 * mailing list's footer. In an encoded word, other characters are skipped.
 */
static struct span
decode_base64(struct text *to, struct span from, bool word)
{
    struct span rest = from, line;
    uint32_t bits = 0;
    unsigned have = 0;
    bool padded = false;

    while (next_line(&rest, &line)) {
        struct span data = trim(line);
        size_t length = span_length(data);
        char *out = text_room(to, length);

        for (; data.at < data.end; data.at++) {
            const char *digit = memchr(base64_digits, *data.at, 64);

            if (digit == NULL && *data.at != '=' && !word)
                return from;
            if (*data.at == '=') {
                padded = true;
                have = 0;
            }
            if (digit == NULL)
                continue;
            bits = bits << 6 | (uint32_t)(digit - base64_digits);
            have += 6;
            if (have >= 8) {
                have -= 8;
                *out++ = (char)(bits >> have & 0xff);
            }
        }
        if (padded && length % 4 != 0 && data.at[-1] != '=' && !word)
            return from;
        text_end(to, out);
        from = length > 0 ? rest : from;
    }
    return from;
}

static int
hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    return lower(c) >= 'a' && lower(c) <= 'f' ? lower(c) - 'a' + 10 : -1;
}

/*
 * Decodes quoted-printable, whose escape character is =, or the form of RFC 2231, where it is %. In
 * an encoded word _ is a blank. An escape character that begins neither an escape nor a soft line
 * break stands for itself.
 */
static void
decode_escapes(struct text *to, struct span from, char escape, bool word)
{
    char *out = text_room(to, span_length(from));

    while (from.at < from.end) {
        char c = *from.at++;
        struct span rest = from;

        if (c != escape) {
            *out++ = word && c == '_' ? ' ' : c;
            continue;
        }
        if (span_length(rest) >= 2 && hex_value(rest.at[0]) >= 0 && hex_value(rest.at[1]) >= 0) {
            *out++ = (char)(hex_value(rest.at[0]) * 16 + hex_value(rest.at[1]));
            from.at += 2;
            continue;
        }
        take_while(&rest, " \t\r");
        if (begins(rest, "\n"))
            from.at = rest.at + 1;
        else
            *out++ = escape;
    }
    text_end(to, out);
}

/* Returns how many bytes a line of uuencoded data has, -1 if it is no such line. */
static int
uu_length(struct span line)
{
    int bytes = line.at < line.end ? (*line.at - ' ') & 0x3f : 0;
    size_t characters = (size_t)(bytes + 2) / 3 * 4 + 1;

    for (const char *at = line.at; at < line.end; at++)
        if (*at < ' ' || *at > '`')
            return -1;
    return span_length(line) > characters + 1 || span_length(line) + 3 < characters ? -1 : bytes;
}

/* Decodes a body, and returns what stands behind it without an encoding. */
static struct span
decode_transfer(struct text *to, struct span from, enum encoding encoding)
{
    if (encoding == ENCODING_BASE64)
        return decode_base64(to, from, false);
    if (encoding == ENCODING_QUOTED)
        decode_escapes(to, from, '=', false);
    else
        text_add(to, from.at, span_length(from));
    return (struct span){from.end, from.end};
}

/* Returns the size of a body without its transfer encoding, as if there were no mistake in it. */
static uint64_t
decoded_size(struct span body, enum encoding encoding)
{
    uint64_t size = encoding == ENCODING_UU ? 0 : span_length(body), others = 0;
    struct span line;

    while (encoding == ENCODING_UU && next_line(&body, &line))
        size += uu_length(line) > 0 ? (uint64_t)uu_length(line) : 0;
    for (; encoding == ENCODING_BASE64 && body.at < body.end; body.at++)
        others += memchr(base64_digits, *body.at, 64) == NULL;
    for (; encoding == ENCODING_QUOTED && body.at < body.end; body.at++)
        others += *body.at == '=' ? 2 : 0;
    size -= others < size ? others : size;
    return encoding == ENCODING_BASE64 ? size * 6 / 8 : size;
}

/* -- Charsets -- */

/* What the bytes 0x80 to 0x9f mean in windows-1252; 0: nothing. */
static const uint16_t windows_1252[32] = {
    0x20ac, 0, 0x201a, 0x192, 0x201e, 0x2026, 0x2020, 0x2021, 0x2c6, 0x2030, 0x160, 0x2039, 0x152,
    0, 0x17d, 0, 0, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x2dc, 0x2122, 0x161,
    0x203a, 0x153, 0, 0x17e, 0x178,
};

/*
 * The charsets that mail is written in: what the system calls them, with an alternative where it
 * may lack the first, and the letters and digits of their names, without "x-" or "cs". Where a
 * larger charset is commonly used under a smaller one's name, the larger one is meant. The first
 * two are converted here. The system's other converters are hardly tested: no message can use them.
 */
static const struct charset { const char *system[2], *names; } charsets[] = {
    {{"UTF-8"}, "utf8|usascii|ascii|ansix341968|iso646us|default|unknown8bit|unknown"},
    {{"windows-1252"}, "iso88591|isolatin1|latin1|cp1252|windows1252"},
    {{"ISO-8859-2"}, "iso88592|isolatin2|latin2"}, {{"ISO-8859-3"}, "iso88593"},
    {{"ISO-8859-4"}, "iso88594"}, {{"ISO-8859-5"}, "iso88595"}, {{"ISO-8859-6"}, "iso88596"},
    {{"ISO-8859-7"}, "iso88597"}, {{"ISO-8859-8"}, "iso88598|iso88598i|iso88598e"},
    {{"ISO-8859-10"}, "iso885910"}, {{"ISO-8859-13"}, "iso885913"}, {{"ISO-8859-14"}, "iso885914"},
    {{"ISO-8859-15"}, "iso885915|latin9"}, {{"ISO-8859-16"}, "iso885916"},
    {{"CP874", "TIS-620"}, "iso885911|tis620|cp874|windows874|ibm874"},
    {{"CP1250"}, "cp1250|windows1250"}, {{"CP1251"}, "cp1251|windows1251"},
    {{"CP1253"}, "cp1253|windows1253"}, {{"CP1254"}, "iso88599|latin5|cp1254|windows1254"},
    {{"CP1255"}, "cp1255|windows1255"}, {{"CP1256"}, "cp1256|windows1256"},
    {{"CP1257"}, "cp1257|windows1257"}, {{"CP1258"}, "cp1258|windows1258"},
    {{"CP437"}, "cp437|ibm437"}, {{"CP850"}, "cp850|ibm850"}, {{"CP852"}, "cp852|ibm852"},
    {{"CP855"}, "cp855|ibm855"}, {{"CP858"}, "cp858|ibm858"}, {{"CP866"}, "cp866|ibm866"},
    {{"KOI8-R"}, "koi8r"}, {{"KOI8-U"}, "koi8u"}, {{"MACINTOSH"}, "macintosh|macroman"},
    {{"MAC-CYRILLIC", "MACCYRILLIC"}, "maccyrillic"}, {{"ISO-2022-JP"}, "iso2022jp|iso2022jpms"},
    {{"EUC-JP-MS", "EUC-JP"}, "eucjp"}, {{"ISO-2022-KR"}, "iso2022kr"},
    {{"CP932", "SHIFT_JIS"}, "shiftjis|sjis|mskanji|cp31j|windows31j|cp932|windows932"},
    {{"CP949", "EUC-KR"}, "euckr|ksc56011987|ksc5601|cp949|windows949"},
    {{"GB18030", "GBK"}, "gb2312|gb2312charset|gbk|cp936|windows936|euccn|gb18030"},
    {{"HZ"}, "hzgb2312"}, {{"BIG5"}, "big5|chinesebig5"}, {{"CP950", "BIG5"}, "cp950|windows950"},
    {{"BIG5-HKSCS", "BIG5"}, "big5hkscs"}, {{"UTF-7"}, "utf7|unicode11utf7"}, {{"UTF-16"}, "utf16"},
    {{"UTF-16LE"}, "utf16le"}, {{"UTF-16BE"}, "utf16be"},
};
enum { UTF_8, WINDOWS_1252 };   /* the first two */

/* Returns the charset of that name, NULL if it is not known. Without a name it is UTF-8. */
static const struct charset *
charset_find(struct span name)
{
    char key[40];
    size_t length = 0;

    if (name.at == name.end)
        return &charsets[UTF_8];
    name.at += begins(name, "x-|cs") ? 2 : 0;
    name = take_until(&name, ":/ \t\r\n\f");   /* ISO-8859-1:1987, and what follows the name */
    for (; name.at < name.end && length < sizeof key; name.at++)
        if (is_alnum(*name.at))
            key[length++] = *name.at;
    for (size_t i = 0; i < sizeof charsets / sizeof *charsets; i++)
        if (is_word((struct span){key, key + length}, charsets[i].names))
            return &charsets[i];
    return NULL;
}

/*
 * Appends text as UTF-8: UTF-8 if mixed, and every other byte from 0x80 on as windows-1252. One
 * that windows-1252 does not have stays as it is. Returns the number of bytes that were not UTF-8;
 * *characters is the number of UTF-8 characters beyond ASCII.
 */
static size_t
from_windows_1252(struct text *to, struct span from, bool mixed, size_t *characters)
{
    size_t invalid = 0;

    for (*characters = 0; from.at < from.end; ) {
        struct span rest = mixed ? from : limit(from, 1);   /* one byte: if not ASCII, not UTF-8 */
        uint32_t c = span_next(&rest);

        *characters += c >= 0x80 && !is_no_utf8(c);
        invalid += is_no_utf8(c);
        if (is_no_utf8(c))
            c = (c & 0xff) < 0xa0 ? windows_1252[c & 0x1f] : c & 0xff;
        if (c == 0)
            text_add(to, from.at, 1);
        else
            text_character(to, c);
        from.at = rest.at;
    }
    return invalid;
}

#ifdef HAS_ICONV
/*
 * Rewrites ISO-2022-JP as EUC-JP, which is the same with the high bit instead of escape
 * sequences. The system's converters from EUC-JP know the half-width kana and NEC's additions
 * that programs write in ISO-2022-JP without telling.
 */
static void
jis_to_euc(struct text *to, struct span from)
{
    bool high = false, second = false;
    char shift = '\0';          /* before each of the kana and of the additional characters */

    while (from.at < from.end) {
        size_t escape = begins(from, "\033$(") ? 4 : begins(from, "\033$|\033(") ? 3 : 0;
        char c = *from.at;

        if (escape > 0 && span_length(from) >= escape) {
            char set = from.at[escape - 1];

            high = from.at[1] == '$' || set == 'I';
            shift = set == 'I' ? '\x8e' : escape == 4 && set == 'D' ? '\x8f' : '\0';
            second = false;
            from.at += escape;
            continue;
        }
        high = high && c != '\n';
        if (high && c > ' ' && c < 0x7f) {
            if (shift != '\0' && !second)
                text_add(to, &shift, 1);
            second = !second && shift == '\x8f';
            c = (char)(c | 0x80);
        }
        text_add(to, &c, 1);
        from.at++;
    }
}
#endif

/*
 * Converts to UTF-8. Returns false if this system cannot, or need not. What means nothing becomes
 * U+FFFD and is counted in *bad.
 */
static bool
convert(struct text *to, struct span from, const struct charset *charset, size_t *bad)
{
    *bad = 0;
    if (charset == NULL || charset == &charsets[UTF_8])
        return false;
    if (charset == &charsets[WINDOWS_1252]) {
        from_windows_1252(to, from, false, bad);
        return true;
    }
#ifdef HAS_ICONV
    struct text euc = {0};

    if (strcmp(charset->system[0], "ISO-2022-JP") == 0) {
        jis_to_euc(&euc, from);
        from = text_span(&euc);
        charset = charset_find(string_span("euc-jp"));
    }

    iconv_t converter = iconv_open("UTF-8", charset->system[0]);
    if (converter == (iconv_t)-1 && charset->system[1] != NULL)
        converter = iconv_open("UTF-8", charset->system[1]);
    for (bool last = converter == (iconv_t)-1; !last; ) {
        enum { ROOM = 8192 };
        char *in = (char *)(uintptr_t)from.at, *out = text_room(to, ROOM);
        size_t left = span_length(from), room = ROOM;

        last = left == 0;       /* some converters keep a character for a mark that may follow */
        if (iconv(converter, last ? NULL : (void *)&in, &left, &out, &room) == (size_t)-1
            && errno != E2BIG && room >= 4) {
            out += utf8_write(0xfffd, out);
            in++;
            ++*bad;
        }
        from.at = last ? from.at : in;
        text_end(to, out);
    }
    text_free(&euc);
    return converter != (iconv_t)-1 && iconv_close(converter) == 0;
#else
    return false;
#endif
}

/*
 * Appends text of a charset as UTF-8. It is read as the first of these that fits:
 *
 *   1. ISO-2022-JP, if it is ASCII with escape sequences of that, and no charset but UTF-8 is named
 *   2. UTF-8, if it is valid, and that or no known charset is named, or so many characters are
 *      beyond ASCII that text of the named charset can hardly be valid UTF-8 by chance
 *   3. the charset that is named
 *   4. the other charset that the message names, unless it is mostly UTF-8
 *   5. windows-1252, except for UTF-8 in lines that are mostly UTF-8
 *
 * Returns NULL, or what it was read as if the charset is not known here.
 */
static const char *
to_utf8(struct text *to, struct span from, struct span charset, struct span other)
{
    enum { MANY_8BIT = 4, MANY_CJK = 16 };      /* a few Chinese characters can look like UTF-8 */
    const struct charset *utf8 = &charsets[UTF_8], *jis = charset_find(string_span("iso-2022-jp"));
    const struct charset *meant = charset_find(charset), *second = charset_find(other);
    bool escapes = find(from, "\033$b|\033$@|\033$(d|\033(i|\033(j") != NULL;
    size_t bad, invalid, characters, start = to->length;
    bool known;

    if (meant == jis && !escapes) {
        second = jis;           /* what has the high bit may be EUC-JP */
        meant = utf8;
    }
    known = meant == utf8;
    invalid = from_windows_1252(to, from, true, &characters);
    if (escapes && invalid + characters == 0 && (known || meant == NULL))
        meant = jis;            /* which has no byte beyond ASCII */
    if (invalid == 0 && (meant == NULL || meant == utf8
                         || characters >= (meant < jis ? MANY_8BIT : MANY_CJK)))
        return meant == NULL ? "UTF-8" : NULL;
    to->length = start;
    if (convert(to, from, meant, &bad))
        return NULL;
    if (second != &charsets[WINDOWS_1252]       /* below, it is read better */
        && invalid > characters                 /* a cut message may end in half a character */
        && convert(to, from, second, &bad) && bad <= span_length(from) / 16)
        return known ? NULL : second->system[0];
    to->length = start;         /* it is not in that charset, either */
    while (from.at < from.end) {
        struct span line = take_until(&from, "\n");

        take_while(&from, "\n");
        line.end = from.at;
        start = to->length;
        if (from_windows_1252(to, line, true, &characters) > characters) {
            to->length = start;
            from_windows_1252(to, line, false, &characters);
        }
    }
    return known ? NULL : invalid == 0 ? "UTF-8" : "windows-1252";
}

/* Drops invisible characters, makes U+2028 and U+2029 LF, and returns how many letters are left. */
static size_t
drop_invisible(struct text *t)
{
    struct span rest = text_span(t);
    uint32_t before = 0;
    size_t letters = 0;

    for (t->length = 0; rest.at < rest.end; ) {
        struct span from = rest;
        uint32_t c = span_next(&rest);

        from.end = rest.at;
        if (c == 0x2028 || c == 0x2029)
            from = string_span("\n");
        if (!is_invisible(c, before)) {
            memmove(t->bytes + t->length, from.at, span_length(from));
            t->length += span_length(from);
            letters += c >= 0x80 || !is_in((char)c, blanks);
            before = c;
        }
    }
    text_add(t, "", 0);
    return letters;
}

/* -- Header fields (RFC 5322, 2045, 2047, 2231) -- */

/* A header field; its value has the line ends of a folded field in it. */
struct field { struct span name, value; };

/* Returns the length of a field's name if a line begins a field, else 0. */
static size_t
field_name(struct span line)
{
    struct span rest = line;

    while (rest.at < rest.end && *rest.at > ' ' && *rest.at < 0x7f && *rest.at != ':')
        rest.at++;
    line.end = rest.at;
    take_while(&rest, " \t");
    return begins(rest, ":") ? span_length(line) : 0;
}

/* Returns true for a field that stands in real headers: a text may have a colon as well. */
static bool
is_known_field(struct span line)
{
    struct span name = {line.at, line.at + field_name(line)};

    return begins(name, "content-|x-|list-|dkim-|authentication-|arc-|thread-|resent-")
        || is_word(name, "from|to|cc|bcc|subject|date|message-id|mime-version|received|return-path|"
                  "reply-to|sender|in-reply-to|references|delivered-to|user-agent|errors-to|"
                  "precedence|importance|priority|organization|status");
}

/*
 * Takes the next field of a header. A line that begins no field belongs to the one before it if it
 * begins with a blank or a known field follows. Returns false where the header ends.
 */
static bool
next_field(struct span *header, struct field *f)
{
    struct span rest = *header, line;

    if (!next_line(&rest, &line) || field_name(line) == 0)
        return false;
    f->name = (struct span){line.at, line.at + field_name(line)};
    f->value = line;
    take_until(&f->value, ":");
    f->value.at++;
    for (*header = rest; next_line(&rest, &line); *header = rest) {
        bool folded = line.at < line.end && is_in(*line.at, " \t");

        if (line.at == line.end || field_name(line) > 0 || (!folded && !is_known_field(rest)))
            break;
        f->value.end = line.end;
    }
    f->value = trim(f->value);
    return true;
}

/* Returns the first field of that name, in lower case, at most SHOW_FIELD bytes; or no_span. */
static struct span
find_field(struct span header, const char *name)
{
    struct field f;

    while (next_field(&header, &f))
        if (is_word(f.name, name))
            return limit(f.value, SHOW_FIELD);
    return no_span;
}

/*
 * Returns where the header of a message begins: behind a byte order mark and lines of a mailbox
 * file, or behind one stray line, if a field follows.
 */
static const char *
header_start(struct span message)
{
    struct span rest = message, next, line;
    bool first = true;

    rest.at += begins(rest, "\xef\xbb\xbf") ? 3 : 0;
    for (next = rest; next_line(&next, &line); rest = next, first = false) {
        if (field_name(line) > 0)
            return rest.at;
        if (!begins(line, "from |>from ") && trim(line).at < line.end)
            return first && is_known_field(next) ? next.at : message.at;
    }
    return message.at;
}

/*
 * Splits a message or part into header and body. The empty line between them is in neither. Lines
 * such as "Note: this" are a header only with a field that is known, or in a part a field of MIME.
 */
static void
split_header(struct span whole, bool message, struct span *header, struct span *body)
{
    struct span rest = {message ? header_start(whole) : whole.at, whole.end}, line = no_span;
    bool known = false;
    struct field f;

    *header = rest;
    while (next_field(&rest, &f))
        known = known || (message ? is_known_field((struct span){f.name.at, f.value.end})
                          : begins(f.name, "content-|x-|mime-"));
    if (!known)
        *header = rest = whole;
    header->end = rest.at;
    *body = rest;
    next_line(&rest, &line);
    if (line.at == line.end)
        *body = rest;
}

/* Skips blanks and comments, which stand in parentheses and may be nested. */
static void
skip_comments(struct span *s)
{
    size_t depth = 0;

    for (; s->at < s->end && (depth > 0 || *s->at == '(' || is_in(*s->at, blanks)); s->at++)
        if (*s->at == '(')
            depth++;
        else if (*s->at == ')')
            depth--;
        else if (*s->at == '\\' && s->at + 1 < s->end)
            s->at++;
}

/*
 * Takes a quoted string or a value without quotes into a text, the quotes and escapes decoded. The
 * latter may have blanks in it; where a semicolon was forgotten, the next parameter ends it.
 */
static void
take_value(struct span *s, struct text *out)
{
    const char *start = s->at;

    text_clear(out);
    if (begins(*s, "\"")) {
        for (s->at++; s->at < s->end && *s->at != '"'; s->at++) {
            s->at += *s->at == '\\' && s->at + 1 < s->end;
            text_add(out, s->at, 1);
        }
        s->at += s->at < s->end;
        return;
    }
    for (struct span rest = *s; rest.at < rest.end && !begins(rest, ";"); ) {
        take_until(&rest, "; \t\r\n\f");
        s->at = rest.at;
        take_while(&rest, blanks);

        struct span after = rest, key = take_until(&after, "=; \t\r\n\"");
        if (key.at < key.end && begins(after, "="))
            break;
    }
    text_add(out, start, (size_t)(s->at - start));
}

/* Takes the next parameter of a field, and skips anything else. Returns false at the end. */
static bool
next_parameter(struct span *s, struct span *key, struct text *value)
{
    for (skip_comments(s); s->at < s->end; skip_comments(s)) {
        *key = take_until(s, "=; \t\r\n(\"");
        skip_comments(s);
        if (begins(*s, "=")) {
            s->at++;
            skip_comments(s);
            take_value(s, value);
            return true;
        }
        if (begins(*s, "\""))
            take_value(s, value);
        else if (key->at == key->end)
            s->at += s->at < s->end;
    }
    return false;
}

/* An encoded word, =?charset?B or Q?text?=. */
struct word { struct span charset, text; bool base64; };

/*
 * Takes an encoded word at the start of a span. Returns false if there is none. Blanks and a ? in
 * it are accepted, but not the start of another word.
 */
static bool
take_word(struct span *from, struct word *w)
{
    struct span s = *from;

    if (!begins(s, "=?"))
        return false;
    s.at += 2;
    w->charset = take_until(&s, "? \t\r\n");
    w->charset = take_until(&w->charset, "*");  /* a language may follow the charset */
    w->base64 = begins(s, "?b?");
    if (!w->base64 && !begins(s, "?q?"))
        return false;
    s.at += 3;
    for (w->text = s; !begins(s, "?="); s.at++)
        if (s.at == s.end || (begins(s, "=?") && !begins(s, "=?=")))
            return false;
    w->text.end = s.at;
    from->at = s.at + 2;
    return true;
}

/*
 * Appends a header field as UTF-8, its encoded words decoded. Blanks alone in front of one are
 * dropped, and words in one charset are put together first: a character may be split among them.
 * Text that is not encoded is read in the charset of the body if it is not UTF-8.
 */
static void
decode_words(struct text *to, struct span from, struct span body_charset)
{
    struct text bytes = {0};
    struct span charset = no_span;
    struct word word;

    for (;;) {
        struct span plain = {from.at, from.at};
        bool found;

        while (!(found = take_word(&from, &word)) && from.at < from.end)
            plain.end = ++from.at;

        bool gap = found && trim(plain).at == plain.end;
        if (!gap || !same_word(charset, word.charset)) {
            to_utf8(to, text_span(&bytes), charset, body_charset);
            text_clear(&bytes);
        }
        if (!gap)
            to_utf8(to, plain, no_span, body_charset);
        if (!found)
            break;
        if (word.base64)
            decode_base64(&bytes, word.text, true);
        else
            decode_escapes(&bytes, word.text, '=', true);
        charset = word.charset;
    }
    text_free(&bytes);
}

/*
 * Returns a parameter of a field by its name in lower case, in UTF-8 in a text; "" if there is
 * none. It stands whole, with encoded words in it as many programs write them; or in pieces,
 * NAME*0=, and in a charset, NAME*=utf-8''x%20y (RFC 2231), which count more.
 */
static struct span
parameter(struct span field, const char *name, struct text *out)
{
    enum { WHOLE, FIRST, OTHERS, KINDS };
    struct text value = {0}, pieces[KINDS] = {{0}};
    bool has_charset = false;
    struct span key, text, charset = no_span;

    while (next_parameter(&field, &key, &value)) {
        if (!is_word(take_until(&key, "*"), name))
            continue;

        bool escaped = key.at < key.end && key.end[-1] == '*';
        int kind = key.at == key.end ? WHOLE : is_word(key, "*|*0|*0*") ? FIRST : OTHERS;
        if (escaped)
            decode_escapes(&pieces[kind], text_span(&value), '%', false);
        else if (kind != WHOLE || pieces[WHOLE].length == 0)
            text_add(&pieces[kind], value.bytes, value.length);
        has_charset = has_charset || (escaped && kind == FIRST);
    }
    /* The first may have come later. */
    text_add(&pieces[FIRST], pieces[OTHERS].bytes, pieces[OTHERS].length);
    text = text_span(&pieces[FIRST]);
    if (has_charset) {                  /* CHARSET'LANGUAGE'TEXT */
        struct span rest = text, set = take_until(&rest, "'");

        rest.at += rest.at < rest.end;
        take_until(&rest, "'");
        if (rest.at < rest.end && charset_find(set) != NULL) {
            charset = set;
            text.at = rest.at + 1;
        }
    }
    text_clear(out);
    if (text.at < text.end)
        to_utf8(out, text, charset, no_span);
    else
        decode_words(out, text_span(&pieces[WHOLE]), no_span);
    text_free(&value);
    for (int kind = 0; kind < KINDS; kind++)
        text_free(&pieces[kind]);
    return text_span(out);
}

/* -- HTML as text -- */

/*
 * Not a browser: tags become line ends, markers and addresses, and all others are dropped. A tag,
 * a comment or an element to drop that has no end is text. The text goes from UTF-8 to UTF-8; it is
 * made visible afterwards.
 */
enum { HTML_LISTS = 8 };

struct html {
    struct text *to;
    struct span rest;           /* what was not read yet */
    bool enriched;              /* it is text/enriched */
    bool tags_over;             /* a tag had no end: from there on < is a character, */
    bool comments_over;         /* and here <!-- is text */
    uint32_t unclosed;          /* initials of elements to drop that have no end, as bits */
    size_t lists, quotes, preformatted;     /* how many are open */
    unsigned number[HTML_LISTS + 1];    /* of the next item, 0 in a list without numbers */
    char marker[16];            /* of an item that has no text yet: * or its number */
    size_t newlines;            /* at the end of the text; at its start no more are wanted */
    const char *gap;            /* what to write before the next text on the same line */
    struct text link, linked;   /* the address of the link that is open; its text without blanks */
    bool image;                 /* the link has an image without a text */
    struct text piece;          /* what is decoded now */
    size_t letters;             /* characters of text, not counting addresses */
};

/*
 * The entities of HTML 4: a number, then the names of the characters from there on. Those up to
 * 255 may lack their semicolon.
 */
static const char html_entities[] =
    "160nbsp 38amp 60lt 62gt 34quot 39apos 8211ndash mdash 8216lsquo rsquo sbquo 8220ldquo rdquo "
    "bdquo 8230hellip 8364euro 8226bull 8482trade 161iexcl cent pound curren yen brvbar sect uml "
    "copy ordf laquo not shy reg macr deg plusmn sup2 sup3 acute micro para middot cedil sup1 ordm "
    "raquo frac14 frac12 frac34 iquest Agrave Aacute Acirc Atilde Auml Aring AElig Ccedil Egrave "
    "Eacute Ecirc Euml Igrave Iacute Icirc Iuml ETH Ntilde Ograve Oacute Ocirc Otilde Ouml times "
    "Oslash Ugrave Uacute Ucirc Uuml Yacute THORN szlig agrave aacute acirc atilde auml aring "
    "aelig ccedil egrave eacute ecirc euml igrave iacute icirc iuml eth ntilde ograve oacute ocirc "
    "otilde ouml divide oslash ugrave uacute ucirc uuml yacute thorn yuml 338OElig oelig "
    "352Scaron scaron 376Yuml 402fnof 710circ 732tilde 913Alpha Beta Gamma Delta Epsilon Zeta Eta "
    "Theta Iota Kappa Lambda Mu Nu Xi Omicron Pi Rho 931Sigma Tau Upsilon Phi Chi Psi Omega "
    "945alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho "
    "sigmaf sigma tau upsilon phi chi psi omega 977thetasym upsih 982piv 8194ensp emsp 8201thinsp "
    "8204zwnj zwj lrm rlm 8224dagger Dagger 8240permil 8242prime Prime 8249lsaquo rsaquo 8254oline "
    "8260frasl 8465image 8472weierp 8476real 8501alefsym 8592larr uarr rarr darr harr 8629crarr "
    "8656lArr uArr rArr dArr hArr 8704forall 8706part exist 8709empty 8711nabla isin notin 8715ni "
    "8719prod 8721sum minus 8727lowast 8730radic 8733prop infin 8736ang 8743and or cap cup int "
    "8756there4 8764sim 8773cong 8776asymp 8800ne equiv 8804le ge 8834sub sup nsub 8838sube supe "
    "8853oplus 8855otimes 8869perp 8901sdot 8968lceil rceil lfloor rfloor 9001lang rang 9674loz "
    "9824spades 9827clubs 9829hearts diams 10003check ";

/* Takes an entity, or a & that begins no entity, as that in an address with &copy=1. */
static uint32_t
take_entity(struct span *s, bool address)
{
    uint32_t code = 0, found = '&', base = begins(*s, "&#x") ? 16 : 10;
    struct span rest = {s->at + 1, s->end};
    size_t size;

    s->at++;
    if (begins(rest, "#")) {
        const char *digits = rest.at += base == 16 ? 2 : 1;

        for (; rest.at < rest.end && (uint32_t)hex_value(*rest.at) < base; rest.at++)
            code = code > 0x10ffff ? code : code * base + (uint32_t)hex_value(*rest.at);
        if (rest.at == digits)
            return found;
        s->at = rest.at + begins(rest, ";");
        if (code >= 0x80 && code < 0xa0 && windows_1252[code - 0x80] != 0)
            return windows_1252[code - 0x80];
        return code > 0x10ffff ? 0xfffd : code;
    }
    if (rest.at == rest.end || !is_alnum(*rest.at))
        return found;           /* most often; a message may have millions of them */
    for (const char *at = html_entities; *at != '\0'; at += size + 1, code++) {
        for (code = is_digit(*at) ? 0 : code; is_digit(*at); at++)
            code = code * 10 + (uint32_t)(*at - '0');
        size = strcspn(at, " ");
        if (span_length(rest) < size || memcmp(at, rest.at, size) != 0)
            continue;

        char next = span_length(rest) > size ? rest.at[size] : ' ';
        bool bare = found == '&' && code < 0x100 && code != '\''
            && !(address && (is_alnum(next) || next == '='));
        if (next == ';' || bare) {      /* &notin; is not &not and "in;" */
            found = code;
            s->at = rest.at + size + (next == ';');
        }
    }
    return found;
}

/* Appends text with its entities as the characters that they mean. */
static void
html_decode(struct text *to, struct span from, bool address)
{
    while (from.at < from.end) {
        struct span plain = take_until(&from, "&");

        text_add(to, plain.at, span_length(plain));
        if (from.at < from.end)
            text_character(to, take_entity(&from, address));
    }
}

/* Ends the line, unless the text has so many line ends there already. */
static void
html_newline(struct html *h, size_t most)
{
    if (h->newlines < most) {
        text_puts(h->to, "\n");
        h->newlines++;
    }
    h->gap = "";
}

/* Writes what is due before a text: a gap; or, on a new line, quote prefix, indent and marker. */
static void
html_before_text(struct html *h)
{
    size_t indent = h->lists - (h->lists > 0 && h->marker[0] != '\0');

    if (h->newlines == 0)
        text_puts(h->to, h->gap);
    else
        text_printf(h->to, "%.*s%*s%s", (int)(2 * h->quotes), "> > > > > > > > ",
                    (int)(2 * indent), "", h->marker);
    if (h->newlines > 0)
        h->marker[0] = '\0';
    h->newlines = 0;
    h->gap = "";
}

/* Takes text as it stands between tags. Blanks in a row are one. */
static void
html_text(struct html *h, struct span s)
{
    if (!h->enriched) {
        text_clear(&h->piece);
        html_decode(&h->piece, s, false);
        s = text_span(&h->piece);
    }
    for (const char *at = s.at; s.at < s.end; at = s.at) {
        uint32_t c = span_next(&s);
        c = c == 0x2028 || c == 0x2029 ? '\n' : c;
        bool blank = c == 0xa0 || (c < 0x80 && is_in((char)c, blanks));
        uint32_t before = h->newlines > 0 || h->gap[0] != '\0' ? ' '
            : (unsigned char)h->to->bytes[h->to->length - 1];

        if (c == '\n' && h->preformatted > 0) {
            html_newline(h, SIZE_MAX);
        } else if (blank && (h->preformatted == 0 || is_in((char)c, "\r\f"))) {
            h->gap = h->gap[0] == '\0' ? " " : h->gap;
        } else if (!is_invisible(c, before)) {
            html_before_text(h);
            text_add(h->to, c == 0xa0 ? " " : at, c == 0xa0 ? 1 : (size_t)(s.at - at));
            if (h->link.length > 0 && !blank)
                text_add(&h->linked, at, (size_t)(s.at - at));
            h->letters += !blank;
        }
    }
}

/*
 * Takes the attributes of a tag up to the wanted one; "": all. Returns its value as it stands,
 * no_span if it has no value or is not there. In the latter case what is left begins with the >
 * that ends the tag, or is nothing.
 */
static struct span
take_attribute(struct span *tag, const char *wanted)
{
    static const char gap[] = " \t\r\n\f/";

    for (take_while(tag, gap); tag->at < tag->end && *tag->at != '>'; take_while(tag, gap)) {
        struct span name = take_until(tag, " \t\r\n\f/=>"), value = no_span;

        take_while(tag, blanks);
        if (begins(*tag, "=")) {
            tag->at++;
            take_while(tag, blanks);

            bool quoted = begins(*tag, "\"|'");
            tag->at += quoted;
            const char *end = quoted ? memchr(tag->at, tag->at[-1], span_length(*tag)) : NULL;
            if (end != NULL)
                value = (struct span){tag->at, end};
            else                /* a quote that is not closed does not count */
                value = take_until(tag, quoted ? ">" : " \t\r\n\f>");
            tag->at = end != NULL ? end + 1 : tag->at;
        }
        if (is_word(name, wanted))
            return value;
    }
    return no_span;
}

/* Returns an address without what nearly all have, to compare it with a text. */
static struct span
bare_address(struct span s)
{
    s.at += begins(s, "http://|mailto:") ? 7 : begins(s, "https://") ? 8 : 0;
    s.end -= s.end > s.at && s.end[-1] == '/';
    return s;
}

/*
 * Ends the link that is open, and begins another one if the tag has an address that leads
 * somewhere: no script, no place in the page. It follows its text, unless the text is the address.
 */
static void
html_link(struct html *h, struct span tag)
{
    struct span address = text_span(&h->link), rest;
    const char *gap = h->gap;

    if ((h->linked.length > 0 || h->image)
        && !same_word(bare_address(address), bare_address(text_span(&h->linked)))) {
        h->gap = " ";
        html_before_text(h);
        text_puts(h->to, "<");          /* whatever it is, it is shown: a NUL as well */
        text_add(h->to, address.at, span_length(address));
        text_puts(h->to, ">");
        h->gap = gap;           /* the link had a blank at its end */
    }
    h->image = false;
    text_clear(&h->link);
    text_clear(&h->linked);
    text_clear(&h->piece);
    html_decode(&h->piece, take_attribute(&tag, "href"), true);
    for (rest = text_span(&h->piece); rest.at < rest.end; take_while(&rest, blanks)) {
        struct span part = take_until(&rest, blanks);

        text_add(&h->link, part.at, span_length(part));
    }
    if (begins(text_span(&h->link), "#|javascript:|vbscript:|data:|cid:|x-|about:|applewebdata:"))
        text_clear(&h->link);
}

/* Begins or ends a level of something nested. */
static void
html_nest(size_t *depth, bool end)
{
    *depth = end ? *depth - (*depth > 0) : *depth + 1;
}

/* Begins or ends a list, or begins one of its items. */
static void
html_list(struct html *h, struct span tag, struct span name, bool end)
{
    bool item = is_word(name, "li");

    if (!item && (end || h->lists < HTML_LISTS))
        html_nest(&h->lists, end);
    if (!item)
        h->marker[0] = '\0';    /* that of an empty item */
    if (end)
        return;

    unsigned *number = &h->number[h->lists];
    struct span from = take_attribute(&tag, item ? "value" : "start");
    if (!item)
        *number = is_word(name, "ol");
    if (*number > 0 && from.at < from.end && is_digit(*from.at))
        *number = (unsigned)strtoul(from.at, NULL, 10);
    if (item && *number > 0)
        snprintf(h->marker, sizeof h->marker, "%u. ", (*number)++);
    else if (item)
        snprintf(h->marker, sizeof h->marker, "* ");
}

/* The elements that begin and end a line, and those that have an empty line around them as well. */
#define HTML_LINES "div|tr|table|ul|ol|li|dt|dd|hr|center|section|article|header|footer|address|" \
                   "caption|form|fieldset|title|body|option|main|nav|aside|figure|figcaption|" \
                   "details|summary|legend"
#define HTML_PARAGRAPHS "p|h1|h2|h3|h4|h5|h6|blockquote|pre|dl"

/* Acts on a tag. */
static void
html_act(struct html *h, struct span tag, struct span name, bool end)
{
    struct span image = is_word(name, "img") ? take_attribute(&tag, "alt") : no_span;
    char next = h->rest.at < h->rest.end ? *h->rest.at : ' ';
    bool block = is_word(name, HTML_PARAGRAPHS) || (is_word(name, "ul|ol") && h->lists == end);

    if (block || is_word(name, HTML_LINES))
        html_newline(h, 1);
    if (block || is_word(name, "br|nl"))        /* nl and lt are of enriched text */
        html_newline(h, 2);
    if (is_word(name, "lt")) {
        html_text(h, string_span("<"));
    } else if (is_word(name, "a")) {
        html_link(h, end ? no_span : tag);
    } else if (is_word(name, "ul|ol|li")) {
        html_list(h, tag, name, end);
    } else if (is_word(name, "blockquote")) {
        html_nest(&h->quotes, end);
    } else if (is_word(name, "pre")) {
        html_nest(&h->preformatted, end);
        if (begins(h->rest, "\n|\r\n"))         /* the first line end does not count */
            h->rest.at += next == '\r' ? 2 : 1;
    } else if (is_word(name, "td|th")) {
        h->gap = h->newlines == 0 ? " | " : h->gap;
    } else if (is_word(name, "hr")) {
        html_text(h, string_span("--------"));
        html_newline(h, 1);
    } else if (is_word(name, "sup") && !end && h->newlines == 0 && h->gap[0] == '\0') {
        if (is_alnum(h->to->bytes[h->to->length - 1]) && is_in(next, "0123456789+-"))
            text_puts(h->to, "^");      /* 10^6 is not 106 */
    } else if (image.at < image.end) {
        html_text(h, string_span("["));
        html_text(h, image);
        html_text(h, string_span("]"));
    } else if (is_word(name, "img") && h->link.length > 0) {
        h->image = true;        /* the address may be all that can be shown */
    }
}

/*
 * Returns where an element ends whose start tag was read: behind its own end tag, or NULL. A
 * paragraph, which needs no end tag, ends before the next block.
 */
static const char *
element_end(struct span rest, struct span name, bool nested)
{
    int depth = 1;

    while ((rest.at = memchr(rest.at, '<', span_length(rest))) != NULL) {
        bool end = begins(rest, "</");
        struct span tag = {rest.at + 1 + end, rest.end};
        struct span word = limit(tag, span_length(name) + 1), block = limit(tag, 11);

        word = take_until(&word, " \t\r\n\f/<>");
        block = take_until(&block, " \t\r\n\f/<>");
        if (is_word(name, "p") && !(end && is_word(word, "p"))
            && is_word(block, "td|th|" HTML_LINES "|" HTML_PARAGRAPHS))
            return rest.at;
        rest.at++;
        if (!same_word(word, name) || !(end || nested))
            continue;
        depth += end ? -1 : 1;
        take_until(&rest, ">");
        if (depth == 0)
            return rest.at + begins(rest, ">");
    }
    return NULL;
}

/*
 * Skips an element whose content is no text, or that its style hides. Returns true if it did.
 * One that has no end is not skipped: that would hide the rest of the message.
 */
static bool
html_skip(struct html *h, struct span tag, struct span name)
{
    bool dropped = is_word(name, "script|style|title|iframe|noembed|template|select|option|"
                           "textarea|datalist|param|comment");
    bool hidden = find(take_attribute(&tag, "style"),
                       "display:none|display: none|display : none") != NULL;
    uint32_t initial = 1U << (*name.at & 31);
    const char *end;

    if (is_word(name, "img|br|hr|input|meta|link|area|col"))
        return hidden;          /* they have no content */
    if ((!dropped && !hidden) || (h->unclosed & initial) != 0)
        return false;
    end = element_end(h->rest, name, hidden);
    h->unclosed |= end == NULL ? initial : 0;
    h->rest.at = end != NULL ? end : h->rest.at;
    return end != NULL;
}

/* Takes a comment, a tag, or a < that begins neither. */
static void
html_tag(struct html *h)
{
    struct span rest = {h->rest.at + 1, h->rest.end}, name = rest;
    char next = rest.at < rest.end ? *rest.at : ' ';
    bool comment = begins(rest, "!--"), close = next == '/';
    bool is_tag = (is_alnum(next) && !is_digit(next)) || is_in(next, "/!?");
    bool *over = comment ? &h->comments_over : &h->tags_over;
    const char *end = NULL;

    name.at += close;
    name = take_until(&name, " \t\r\n\f/<>");
    if (find(name, "@") != NULL || find(name, ".") != NULL || name.end[-1] == ':'
        || (name.end < rest.end && *name.end == '<'))
        is_tag = comment;       /* it is an address in angle brackets */
    if (comment && !*over) {
        rest.at++;              /* <!--> is one, too */
        end = find(rest, "-->");
        end = end != NULL ? end + 2 : NULL;
    } else if (is_tag && !*over) {
        rest.at = name.end;
        take_attribute(&rest, "");      /* all of them */
        end = rest.at < rest.end ? rest.at : NULL;
    }
    if (end == NULL) {
        *over = *over || is_tag;
        h->rest.at += 1 + (h->enriched && next == '<');     /* << is < there */
        html_text(h, string_span("<"));
        return;
    }
    h->rest.at = end + 1;
    if (!comment && (close || !html_skip(h, (struct span){name.end, end}, name)))
        html_act(h, (struct span){name.end, end}, name, close);
}

/* Appends HTML, or text/enriched (RFC 1896), as text. Returns how many letters it has. */
static size_t
html_to_text(struct text *to, struct span from, bool enriched)
{
    struct html h = {
        .to = to, .rest = from, .enriched = enriched, .preformatted = enriched,
        .newlines = SIZE_MAX, .gap = ""
    };

    while (h.rest.at < h.rest.end) {
        html_text(&h, take_until(&h.rest, "<"));
        if (h.rest.at < h.rest.end)
            html_tag(&h);
    }
    html_link(&h, no_span);
    return h.letters;
}

/* Returns the charset that a <meta> in HTML names. */
static struct span
html_charset(struct span s)
{
    while ((s.at = find(s, "<meta")) != NULL) {
        struct span tag = take_until(&s, ">");

        if ((tag.at = find(tag, "charset")) != NULL) {
            tag.at += strlen("charset");
            take_while(&tag, " \t\r\n=\"'");
            return take_until(&tag, " \t\r\n\"'/;>");
        }
    }
    return no_span;
}

/* -- The page: lines that fit -- */

/* A page holds only visible text. It neither begins nor ends with an empty line. */
struct page {
    FILE *out;
    size_t columns;             /* 0: lines are as long as they are */
    unsigned bars;              /* before each line: how deep this message lies in others */
    bool begun;                 /* the page has a line */
    uint64_t empty;             /* empty lines to write before the next text, if one follows */
    unsigned empty_bars;        /* the bars before them */
    struct text line, row;      /* the line that is laid out; a row of it */
};

/* Writes a row, with the empty ones before it. An empty one is only counted. */
static void
page_row(struct page *p, struct span row)
{
    static const char bars[] = "| | | | ";
    unsigned before = p->empty_bars < p->bars ? p->empty_bars : p->bars;

    if (row.at == row.end) {
        p->empty += p->begun;
    } else {
        for (; p->empty > 0; p->empty--)
            fprintf(p->out, "%.*s\n", before > 0 ? (int)(2 * before - 1) : 0, bars);
        fwrite(bars, 1, 2 * p->bars, p->out);
        fwrite(row.at, 1, span_length(row), p->out);
        putc('\n', p->out);
        p->begun = true;
    }
    p->empty_bars = p->bars;
}

/*
 * Takes what may not be divided: a word, or a character of Japanese or Chinese. A comma or full
 * stop (U+3001, U+3002, U+FF09 to U+FF1F) does not begin a row.
 */
static struct span
take_unit(struct span *rest)
{
    struct span unit = {rest->at, rest->at};

    while (rest->at < rest->end && *rest->at != ' ' && *rest->at != '\t') {
        struct span next = *rest;
        uint32_t c = span_next(&next);

        if (rest->at > unit.at && c > 0x3002 && (c < 0xff09 || c > 0xff1f)
            && character_columns(c) == 2)
            break;
        *rest = next;
    }
    unit.end = rest->at;
    return unit;
}

/*
 * Lays a visible line out on rows. The first bytes of it, so many, begin the other rows as well:
 * quote prefix and blanks as they are, other characters as blanks. A word wider than the page, an
 * address most often, is not divided: it can be copied.
 */
static void
page_wrap(struct page *p, struct span line, size_t start)
{
    struct span text = {line.at + start, line.end};
    size_t indent = columns_from(2 * p->bars, limit(line, start)), column = indent;

    text_clear(&p->row);
    text_add(&p->row, line.at, start);
    while (text.at < text.end) {
        struct span gap = take_while(&text, " \t"), unit = take_unit(&text);
        size_t after = columns_from(column, (struct span){gap.at, unit.end});

        if (p->columns > 0 && after > p->columns) {
            if (column > indent) {
                page_row(p, text_span(&p->row));
                text_clear(&p->row);
                for (size_t i = 0; i < start; i++)
                    text_add(&p->row, is_in(line.at[i], "> \t") ? &line.at[i] : " ", 1);
                column = indent;
            }
            gap.at = unit.at;
            after = columns_from(column, unit);
        }
        text_add(&p->row, gap.at, (size_t)(unit.end - gap.at));
        column = after;
    }
    page_row(p, text_span(&p->row));
}

/*
 * Joins the lines of each paragraph of flowed text (RFC 3676): a line that ends in a blank goes on
 * in the next one if that is quoted as deeply. With delsp the blank is no part of the text.
 */
static void
join_flowed(struct text *to, struct span from, bool delsp)
{
    struct span line;
    size_t quotes = 0;
    bool flows = false;

    for (bool joins = true; next_line(&from, &line); joins = false) {
        struct span text = line;
        size_t depth = span_length(take_while(&text, ">"));

        text.at += begins(text, " ");   /* stuffing */

        bool signature = is_word(text, "-- ");
        if (flows)
            joins = depth == quotes && !signature && text.at < text.end;
        to->length -= flows && (delsp || !joins);       /* the blank */
        text_puts(to, joins ? "" : "\n");
        if (depth == 0 || (flows && joins))
            line = text;
        text_add(to, line.at, span_length(line));
        quotes = depth;
        flows = !signature && line.at < line.end && line.end[-1] == ' ';
    }
}

/*
 * Lays out text in UTF-8, from whatever source. The rows that a line wraps to have its quote
 * prefix and indent.
 */
static void
page_text(struct page *p, struct span text)
{
    struct span line, rest;

    while (next_line(&text, &line)) {
        text_clear(&p->line);
        visible(&p->line, line);
        line = text_span(&p->line);
        rest = line = p->columns > 0 ? trim_end(line) : line;

        struct span start = take_while(&rest, "> \t");
        page_wrap(p, line, columns_from(0, start) > p->columns / 2 ? 0 : span_length(start));
    }
}

/* Appends visible text on one line: each run of blanks and line ends as one blank. */
static void
visible_line(struct text *to, struct span from)
{
    for (from = trim(from); from.at < from.end; take_while(&from, blanks)) {
        visible(to, take_until(&from, blanks));
        text_puts(to, from.at < from.end ? " " : "");
    }
}

/* Lays out a field: its rows stand below each other behind its name. */
static void
page_field(struct page *p, const char *name, struct span value)
{
    enum { COLUMNS = 10 };      /* of the name */

    text_clear(&p->line);
    text_printf(&p->line, "%s:%*s", name, (int)(COLUMNS - 1 - strlen(name)), "");
    visible_line(&p->line, value);
    page_wrap(p, text_span(&p->line), COLUMNS);
}

/* Adds a note of the client, in brackets, below one empty line. */
static void __attribute__((format(printf, 2, 3)))
page_note(struct page *p, const char *format, ...)
{
    va_list arguments;

    text_clear(&p->row);
    text_clear(&p->line);
    va_start(arguments, format);
    text_vprintf(&p->row, format, arguments);
    va_end(arguments);
    text_puts(&p->line, "[");
    visible(&p->line, text_span(&p->row));
    text_puts(&p->line, "]");
    p->empty = p->begun;
    page_wrap(p, text_span(&p->line), 0);
}

/* -- The parts of a message (RFC 2046) -- */

/* How good a text is for reading here. Beside a better alternative, little is only listed. */
enum score { SCORE_NONE, SCORE_LITTLE, SCORE_OTHER, SCORE_HTML, SCORE_PLAIN };

struct part {
    struct part *parent;        /* NULL: it is the message itself */
    struct part *root;          /* the part that is the message this one belongs to */
    unsigned bars;              /* that mark how deep that message lies in others */
    struct span charset_inside; /* of a message: the first but UTF-8 that a part names */
    struct span header, body;
    struct span type;
    struct text charset, name;  /* UTF-8, from the network; "": none */
    enum encoding encoding;
    bool attachment;
    bool flowed, delsp;         /* RFC 3676 */
    bool opened;                /* what is shown of it are the parts in it */
    bool dropped;               /* another alternative is shown instead */
    enum score score;           /* SCORE_NONE: it is only listed */
    struct part *best;          /* the part with the best text: itself or one in it */

    struct text text;           /* what is shown of it, in UTF-8; or an enclosed message, decoded */
    size_t letters;             /* that are no blanks; addresses of links do not count */
    const char *guess;          /* NULL, or what it was read as because its charset is not known */
    size_t left;                /* bytes that were too many to decode */
};

struct show {
    struct page page;
    struct part parts[SHOW_PARTS], *parts_end;  /* each before those in it */
    const char *end;            /* of the whole message */
    size_t texts, messages;     /* bytes of texts and of encoded messages that were decoded */
    bool too_many, too_deep, cut_off;
};

static bool
is_message(const struct part *p)
{
    return is_word(p->type, "message/rfc822|message/global|message/global-headers|message/news|"
                   "text/rfc822-headers");
}

/* Returns the word at the start of a field's value. */
static struct span
value_word(struct span value)
{
    skip_comments(&value);
    value.at += begins(value, "\"");
    return take_until(&value, "; \t\r\n(\"");
}

static enum encoding
encoding_find(struct span name)
{
    if (name.at == name.end || is_word(name, "7bit|8bit|binary|7-bit|8-bit|none"))
        return ENCODING_NONE;
    return is_word(name, "quoted-printable") ? ENCODING_QUOTED
        : is_word(name, "base64") ? ENCODING_BASE64
        : is_word(name, "x-uuencode|uuencode|x-uue|x-uu") ? ENCODING_UU : ENCODING_UNKNOWN;
}

/* Takes what the header of a part says about it. The boundary goes to a text. */
static void
part_header(struct part *p, struct text *boundary)
{
    struct span type = find_field(p->header, "content-type");
    struct span disposition = find_field(p->header, "content-disposition");
    struct span encoding = find_field(p->header, "content-transfer-encoding");
    struct span word = value_word(type);
    struct text value = {0};

    if (memchr(word.at, '/', span_length(word)) != NULL)
        p->type = word;
    parameter(type, "boundary", boundary);
    p->flowed = is_word(p->type, "text/plain")
        && begins(parameter(type, "format", &value), "flowed");
    p->delsp = begins(parameter(type, "delsp", &value), "yes");
    parameter(type, "charset", &p->charset);
    if (charset_find(p->root->charset_inside) == &charsets[UTF_8])
        p->root->charset_inside = text_span(&p->charset);
    text_clear(&value);         /* half a Japanese character may be a " */
    to_utf8(&value, disposition, no_span, p->root->charset_inside);
    parameter(text_span(&value), "filename", &p->name);
    if (p->name.length == 0) {
        text_clear(&value);
        to_utf8(&value, type, no_span, p->root->charset_inside);
        parameter(text_span(&value), "name", &p->name);
    }
    text_free(&value);
    p->attachment = is_word(value_word(disposition), "attachment");
    if (!begins(p->type, "multipart/"))         /* it has none: RFC 2045 section 6.4 */
        p->encoding = encoding_find(value_word(encoding));
}

/* Adds a part. Returns it, or NULL if there are too many. */
static struct part *
part_add(struct show *s, struct part *parent)
{
    bool digest = parent != NULL && is_word(parent->type, "multipart/digest");
    struct part *p = s->parts_end;

    s->too_many = p == s->parts + SHOW_PARTS;
    if (s->too_many)
        return NULL;
    *p = (struct part){
        .parent = parent, .root = p, .best = p,
        .type = string_span(digest ? "message/rfc822" : "text/plain")
    };
    if (parent != NULL) {
        p->root = is_message(parent) ? p : parent->root;
        p->bars = parent->bars + (is_message(parent) && parent->bars < SHOW_BARS);
    }
    s->parts_end++;
    return p;
}

/* Returns how good the text of a part is for reading here. */
static enum score
part_score(const struct part *p)
{
    if (p->opened || (begins(p->type, "message/") && !is_message(p)))
        return SCORE_OTHER;     /* even as an attachment: such as reports */
    if (begins(p->type, "multipart/"))
        return SCORE_LITTLE;    /* no part was found in it */
    if (p->root != p
        && (p->attachment || is_word(p->type, "text/rtf|text/css|text/xml|text/vcard|text/x-vcard|"
                                     "text/directory|text/javascript")))
        return SCORE_NONE;
    return is_word(p->type, "text/plain") ? SCORE_PLAIN
        : is_word(p->type, "text/html") ? SCORE_HTML
        : is_word(p->type, "text/calendar") ? SCORE_LITTLE
        : begins(p->type, "text/") ? SCORE_OTHER : SCORE_NONE;
}

/* Decodes the text of a part. Returns what stands behind it: a list's footer behind base64. */
static struct span
part_text(struct show *s, struct part *p)
{
    struct text decoded = {0}, utf8 = {0};
    struct span body = limit(p->body, SHOW_TEXT - s->texts), other, footer;
    bool enriched = is_word(p->type, "text/enriched|text/richtext");
    bool html = enriched || is_word(p->type, "text/html");

    footer = decode_transfer(&decoded, body, p->encoding);
    s->texts += (size_t)(footer.at - body.at);
    p->left = (size_t)(p->body.end - body.end);
    other = html ? html_charset(text_span(&decoded)) : p->root->charset_inside;
    p->guess = to_utf8(&utf8, text_span(&decoded), text_span(&p->charset), other);
    p->letters = html ? html_to_text(&p->text, text_span(&utf8), enriched) : drop_invisible(&utf8);
    if (p->flowed)
        join_flowed(&p->text, text_span(&utf8), p->delsp);
    else if (!html)
        text_add(&p->text, utf8.bytes, utf8.length);
    text_free(&decoded);
    text_free(&utf8);
    if (trim(footer).at < footer.end) {
        footer.end = p->body.end;
        p->left = 0;
    }
    return footer;
}

/*
 * Returns true if a plain text only stands in for the HTML beside it: it is empty, far shorter,
 * or short and mentions HTML, while the HTML is not far shorter.
 */
static bool
is_stub(const struct part *plain, const struct part *html)
{
    enum { SHORT = 400 };

    return plain->letters * 4 <= html->letters
        || (plain->letters < SHORT && html->letters * 4 > plain->letters
            && find(text_span(&plain->text), "html") != NULL);
}

/*
 * Chooses among the parts of a multipart, which were read. Of alternatives one is shown, plain
 * text if possible, else the last of the best (RFC 2046). The other texts and enclosed messages are
 * dropped, because they say the same, and what cannot be read here is listed.
 */
static void
choose(struct show *s, struct part *p)
{
    bool alternative = is_word(p->type, "multipart/alternative");
    struct part *best = p, *html = NULL, *child = NULL;

    for (struct part *i = p + 1; i < s->parts_end; i++) {
        if (i->parent == p && i->best->score == SCORE_HTML)
            html = i;
        if (i->parent == p && i->best->score >= best->best->score)
            best = i;
    }
    if (alternative && html != NULL && best->best->score == SCORE_PLAIN
        && is_stub(best->best, html->best))
        best = html;
    p->best = best->best;
    for (struct part *i = p + 1; alternative && i < s->parts_end; i++) {
        child = i->parent == p ? i : child;
        if (child != best && (i->score > SCORE_LITTLE || is_message(i->parent)))
            i->dropped = true;
        else if (child != best)
            i->score = SCORE_NONE;
    }
}

/* Adds text that stands outside of what a part has in it, a list's footer often, as a part. */
static void
part_outside(struct show *s, struct part *parent, struct span text)
{
    struct span rest = text, line;
    struct part *p;

    while (next_line(&rest, &line) && trim(line).at == line.end)
        text.at = rest.at;
    if (text.at == text.end || (p = part_add(s, parent)) == NULL)
        return;
    p->type = string_span("text/plain");        /* even in a digest */
    p->body = text;
    p->score = part_score(p);
    if (parent->opened) {       /* its charset does not hold for what is behind base64 */
        text_add(&p->charset, parent->charset.bytes, parent->charset.length);
        p->flowed = parent->flowed;
        p->delsp = parent->delsp;
    }
    part_text(s, p);
}

/*
 * Looks for uuencoded files in a part's body, begin MODE NAME to end. In a text each becomes an
 * attachment, and what is left is text; in any other part the file is its content.
 */
static void
part_uu(struct show *s, struct part *p)
{
    struct span rest = p->body, before = rest, line, next, name, data;
    bool text = begins(p->type, "text/");

    p->encoding = ENCODING_NONE;
    while (next_line(&rest, &line)) {
        before.end = line.at;
        name = begins(line, "begin ") ? (struct span){line.at + 6, line.end} : no_span;
        if (span_length(take_while(&name, "01234567")) < 3)
            continue;
        data = (struct span){rest.at, rest.at};
        for (next = rest; next_line(&next, &line) && uu_length(line) > 0; )
            data.end = next.at;
        if (data.end == data.at || trim(name).at == name.end)
            continue;
        while (uu_length(line) == 0 && next_line(&next, &line))
            continue;
        rest.at = is_word(line, "end") ? next.at : data.end;

        struct part *file = p;
        if (text) {
            p->opened = true;
            part_outside(s, p, before);
            if ((file = part_add(s, p)) == NULL)
                return;
            file->type = string_span("application/octet-stream");
            before.at = rest.at;
        }
        file->encoding = ENCODING_UU;
        file->body = data;
        name = trim(name);
        text_add(&file->name, name.at, file->name.length == 0 ? span_length(name) : 0);
    }
    if (p->opened) {
        part_outside(s, p, (struct span){before.at, p->body.end});
        choose(s, p);
    }
}

/*
 * Returns 1 for a line that is the boundary between two parts, 2 for the one behind the last, 0
 * for any other. Blanks do not count: programs fold and pad the field that announces it.
 */
static int
is_boundary(struct span line, struct span boundary)
{
    if (!begins(line, "--"))
        return 0;
    for (line.at += 2; take_while(&boundary, blanks), boundary.at < boundary.end; boundary.at++) {
        take_while(&line, blanks);
        if (line.at == line.end || *line.at++ != *boundary.at)
            return 0;
    }
    line = trim(line);
    return line.at == line.end ? 1 : is_word(line, "--") ? 2 : 0;
}

/*
 * Takes the next part of a multipart, without the line end before the boundary. Returns what
 * is_boundary() says about the line that ended it, 0 at the end of the body.
 */
static int
next_part(struct span *rest, struct span boundary, struct span *part)
{
    struct span line;
    int ended;

    *part = (struct span){rest->at, rest->at};
    while (next_line(rest, &line)) {
        if ((ended = is_boundary(line, boundary)) != 0)
            return ended;
        part->end = rest->at - (rest->at[-1] == '\n');
    }
    return 0;
}

/* Reads a part and those in it. depth is how many are around it. */
static void
part_read(struct show *s, struct span whole, struct part *parent, int depth)
{
    struct text boundary = {0};
    struct span rest, preamble, inner;
    struct part *p = part_add(s, parent);
    int ended;

    if (p == NULL)
        return;
    split_header(whole, p->root == p, &p->header, &p->body);
    part_header(p, &boundary);
    if (is_message(p) && (p->encoding == ENCODING_BASE64 || p->encoding == ENCODING_QUOTED)
        && s->messages < SHOW_TEXT) {
        inner = limit(p->body, SHOW_TEXT - s->messages);
        rest = decode_transfer(&p->text, inner, p->encoding);
        text_add(&p->text, rest.at, span_length(rest));     /* what is no base64: a footer */
        s->messages += p->text.length;
        p->left = (size_t)(p->body.end - inner.end);
        p->body = text_span(&p->text);
        p->encoding = ENCODING_NONE;
    }
    for (rest = p->body; begins(p->type, "multipart/") && boundary.length == 0
         && next_line(&rest, &inner); )
        if (begins(inner, "--") && begins(rest, "content-"))    /* the parameter was lost */
            text_add(&boundary, inner.at + 2, span_length(inner) - 2);
    p->opened = (begins(p->type, "multipart/") && boundary.length > 0)
        || (is_message(p) && p->encoding == ENCODING_NONE);
    if (p->opened && depth == SHOW_DEPTH) {
        s->too_deep = true;
        p->opened = false;
        p->type = string_span("application/octet-stream");
    } else if (p->opened && is_message(p)) {
        part_read(s, p->body, p, depth + 1);
    } else if (p->opened) {
        rest = p->body;
        ended = next_part(&rest, text_span(&boundary), &preamble);
        while (ended == 1) {
            ended = next_part(&rest, text_span(&boundary), &inner);
            part_read(s, inner, p, depth + 1);
            s->cut_off = s->cut_off || (ended == 0 && whole.end == s->end);
        }
        choose(s, p);
        p->opened = s->parts_end > p + 1;
        if (find(preamble, "mime") != NULL && span_length(preamble) < 500)
            preamble = no_span;         /* it says that one needs another program */
        part_outside(s, p, p->opened ? preamble : no_span);
        part_outside(s, p, p->opened ? rest : no_span);
    } else if (p->encoding == ENCODING_UU || (p->encoding == ENCODING_NONE
               && begins(p->type, "text/") && !is_word(p->type, "text/html")
               && part_score(p) > SCORE_NONE)) {
        part_uu(s, p);
    }
    p->score = part_score(p);
    if (!p->opened && p->score > SCORE_NONE)
        part_outside(s, p, part_text(s, p));
}

/* -- The whole message (SHOW) -- */

/* Shows the text of a part, and says what of it could not be read. */
static void
part_show(struct page *page, const struct part *p)
{
    if (begins(p->type, "multipart/"))
        page_note(page, "%.*s, but no part was found in it; this is all of it",
                  (int)span_length(p->type), p->type.at);
    if (p->guess != NULL)
        page_note(page, "the charset %s is not known here; read as %s", p->charset.bytes, p->guess);
    if (p->encoding == ENCODING_UNKNOWN)
        page_note(page, "its transfer encoding is not known here: it is shown as it came");
    page->empty = page->begun;
    page_text(page, text_span(&p->text));
    if (p->letters == 0 && is_word(p->type, "text/html"))
        page_note(page, "no text in this HTML");
}

/* Lists the parts of a message that are not shown, or that have a name. */
static void
show_attachments(struct show *s, const struct part *root)
{
    struct text line = {0};

    for (const struct part *p = root; p < s->parts_end; p++) {
        if (p->root != root || p->dropped || (p->score > SCORE_NONE && p->name.length == 0))
            continue;

        uint64_t size = decoded_size(p->body, p->encoding);
        text_clear(&line);
        text_puts(&line, p->name.length > 0 ? "" : "without a name");
        text_add(&line, p->name.bytes, p->name.length);
        text_puts(&line, " (");
        text_add(&line, p->type.at, span_length(p->type));
        if (size < 1000)
            text_printf(&line, ", %u octet%s", (unsigned)size, size == 1 ? "" : "s");
        else
            text_printf(&line, ", %s", size_text((int64_t)size).text);
        text_puts(&line, p->encoding == ENCODING_UNKNOWN ? ", in an unknown encoding)" : ")");
        page_field(&s->page, "Attached", text_span(&line));
    }
    text_free(&line);
}

/* Shows the fields of a message that people read. Only a Subject may have invisible characters. */
static void
show_fields(struct show *s, const struct part *root)
{
    static const char *const names[] = {"From", "To", "Cc", "Date", "Subject"};
    struct text value = {0};
    struct span header;
    struct field f;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (header = root->header; next_field(&header, &f); ) {
            if (!same_word(f.name, string_span(names[i])))
                continue;
            text_clear(&value);
            decode_words(&value, limit(f.value, SHOW_FIELD), root->charset_inside);
            if (span_length(f.value) > SHOW_FIELD)
                text_printf(&value, " [truncated, of %zu octets]", span_length(f.value));
            if (is_word(f.name, "subject"))
                drop_invisible(&value);
            page_field(&s->page, names[i], text_span(&value));
        }
    text_free(&value);
}

/* Returns true if a part has a body of blanks alone, or none. */
static bool
is_blank(const struct part *p)
{
    return trim(p->body).at == p->body.end;
}

/* Returns true if a message has anything to show, even if it is another message. */
static bool
has_text(const struct show *s, const struct part *root)
{
    for (const struct part *p = root; p < s->parts_end; p++)
        if (p->root == root && !p->dropped && p->score > SCORE_NONE && !is_blank(p)
            && (!p->opened || is_message(p) || is_word(p->type, "multipart/encrypted")))
            return true;
    return false;
}

/* Shows what stands above the text of a message, the whole or one that is enclosed in it. */
static void
show_root(struct show *s, const struct part *root)
{
    bool no_header = root->header.at == root->header.end, no_body = root->body.at == root->body.end;

    s->page.empty = s->page.begun;
    show_fields(s, root);
    show_attachments(s, root);
    if (root->header.end == root->body.at && !no_body)
        page_note(&s->page, no_header ? "no header" : "no empty line ends the header");
    if (!has_text(s, root))
        page_note(&s->page, no_header && no_body ? "the message is empty" : "no text to read here");
}

static void
show_parts(struct show *s)
{
    for (const struct part *p = s->parts; p < s->parts_end; p++) {
        if (p->dropped)
            continue;
        s->page.bars = p->bars;
        if (p->root == p)
            show_root(s, p);
        if (p->opened && is_word(p->type, "multipart/signed"))
            page_note(&s->page, "signed; the signature is not checked here");
        else if (p->opened && is_word(p->type, "multipart/encrypted"))
            page_note(&s->page, "encrypted; it is not decrypted here");
        else if (!p->opened && p->score > SCORE_NONE && !is_blank(p))
            part_show(&s->page, p);
        if (p->left > 0)
            page_note(&s->page, "truncated: %zu more octets of this %s are not shown; RETR saves "
                      "them", p->left, p->opened ? "message" : "text");
    }
    s->page.bars = 0;
    if (s->too_many)
        page_note(&s->page, "more than %d parts; what follows them is not shown", SHOW_PARTS);
    if (s->too_deep)
        page_note(&s->page, "parts in parts, more than %d deep; the inner ones are not shown",
                  SHOW_DEPTH);
    if (s->cut_off)
        page_note(&s->page, "the message ends before its last part does: something may be missing");
}

/*
 * Shows a message, its line ends LF, as visible text in UTF-8, on a page of so many columns (0:
 * lines are not wrapped). What it allocates is freed by the end of the process.
 */
static void
show_message(struct span message, FILE *out, unsigned columns)
{
    struct show s = {.end = message.end, .page = {.out = out, .columns = columns}};

    s.parts_end = s.parts;
    part_read(&s, message, NULL, 0);
    show_parts(&s);
}

/* -- One line for a message (HEADERS) -- */

/* Appends the date of a Date field as 2024-04-01 10:00, as the sender wrote it; or all of it. */
static void
short_date(struct text *to, struct span value)
{
    static const char months[] = "janfebmaraprmayjunjulaugsepoctnovdec";
    unsigned day, year, hour, minute;
    struct span rest = value;
    char line[64], name[4] = "";
    const char *month = NULL;

    take_until(&rest, "0123456789");    /* the day of the week */
    snprintf(line, sizeof line, "%.*s", (int)span_length(limit(rest, sizeof line)), rest.at);
    if (sscanf(line, "%2u%*[^0-9A-Za-z]%3[A-Za-z]%*[^0-9]%4u %2u:%2u", &day, name, &year, &hour,
               &minute) == 5)
        for (size_t i = 0; i < 36 && month == NULL; i += 3)
            month = strncasecmp(months + i, name, 3) == 0 ? months + i : NULL;
    if (month != NULL && day <= 31 && hour < 25 && minute < 60) {
        year += year < 50 ? 2000 : year < 1000 ? 1900 : 0;      /* RFC 5322 section 4.3 */
        text_printf(to, "%04u-%02d-%02u %02u:%02u", year, (int)(month - months) / 3 + 1, day, hour,
                    minute);
    } else {
        decode_words(to, value, no_span);
    }
}

/*
 * Appends the name of the first sender in a From field, or the address if it has none. Where it is
 * unclear which is which, it appends both as they are written there. A name that looks like an
 * address does not hide the real one.
 */
static void
sender_name(struct text *to, struct span value, struct span charset)
{
    struct text utf8 = {0}, quoted = {0};
    struct span rest, whole, name, address;
    bool at = false;

    to_utf8(&utf8, value, no_span, charset);    /* half a Japanese character may be a " */
    rest = value = text_span(&utf8);
    while (rest.at < rest.end && *rest.at != '<' && (*rest.at != ',' || !at)) {
        at = at || *rest.at == '@';     /* before it a comma is of the name: Doe, Ann */
        if (*rest.at == '"')
            take_value(&rest, &quoted);
        else if (*rest.at == '(')
            skip_comments(&rest);
        else
            rest.at++;
    }
    whole = name = trim((struct span){value.at, rest.at});
    if (begins(rest, "<")) {            /* "Ann" (at work) <ann@example.org> */
        rest.at++;
        address = trim(take_until(&rest, ">"));
    } else {                            /* ann@example.org (Ann) */
        address = take_until(&name, " \t\r\n(\"");
    }
    rest = name = trim(name);
    if (begins(rest, "\""))
        take_value(&rest, &quoted);
    skip_comments(&rest);
    if (rest.at < rest.end || address.at == address.end         /* "Ann" Smith; no address */
        || (begins(name, "\"") && name.at > whole.at)           /* Ann" <ann@example.org> */
        || (begins(name, "(") && find((struct span){name.at, name.end - 1}, ")") != NULL))
        name = whole;
    else if (begins(name, "\""))
        name = trim(text_span(&quoted));
    else if (begins(name, "("))
        name = trim((struct span){name.at + 1, name.end - (name.end[-1] == ')')});
    decode_words(to, name.at < name.end ? name : address, charset);
    if (find(text_span(to), "@") != NULL && name.at < name.end && name.at != address.at
        && address.at < address.end && !same_word(name, address)) {
        text_puts(to, " <");
        decode_words(to, address, charset);
        text_puts(to, ">");
    }
    text_free(&quoted);
    text_free(&utf8);
}

/* What the client knows of a message, in front of its header in the file for show_headers(). */
struct heading {
    uint64_t number, octets;
    bool listed;                /* octets is known */
    size_t length;              /* of the header; more than HEADER_MAX: it was cut */
};

/* Takes the next heading and its header. Returns false if none is left. */
static bool
next_heading(struct span *all, struct heading *h, struct span *header)
{
    if (span_length(*all) < sizeof *h)
        return false;
    memcpy(h, all->at, sizeof *h);
    all->at += sizeof *h;
    *header = limit(*all, h->length);
    all->at = header->end;
    return true;
}

enum { NUMBER, DATE, SENDER, SUBJECT, SIZE, CELLS };

/* Reads a header into cells, each one line of visible text. A cell may be empty. */
static void
read_cells(struct span whole, struct text cells[])
{
    struct text values[CELLS] = {{0}}, charset = {0};
    struct span header, body;

    split_header(limit(whole, HEADER_MAX), true, &header, &body);
    parameter(find_field(header, "content-type"), "charset", &charset);
    short_date(&values[DATE], find_field(header, "date"));
    sender_name(&values[SENDER], find_field(header, "from"), text_span(&charset));
    decode_words(&values[SUBJECT], find_field(header, "subject"), text_span(&charset));
    drop_invisible(&values[SUBJECT]);
    if (span_length(whole) > HEADER_MAX)
        text_puts(&values[SUBJECT], " [header truncated]");
    for (int i = 0; i < CELLS; i++) {
        text_clear(&cells[i]);
        visible_line(&cells[i], text_span(&values[i]));
        text_free(&values[i]);
    }
    text_free(&charset);
}

/* Appends visible text, cut with a mark or filled up to so many columns. */
static void
add_cell(struct text *to, struct span cell, size_t columns)
{
    size_t cut = columns_from(0, cell) > columns, used = 0;
    struct span rest = cell;

    while (rest.at < rest.end) {
        struct span next = rest;
        size_t width = character_columns(span_next(&next));

        if (used + width + cut > columns)
            break;
        used += width;
        rest = next;
    }
    text_add(to, cell.at, (size_t)(rest.at - cell.at));
    text_printf(to, "%s%*s", cut > 0 ? "\u2026" : "", (int)(columns - used - cut), "");
}

/* Appends cells as a row of so many columns. A narrow terminal has no room for the date. */
static void
add_row(struct text *to, const struct text cells[], size_t columns)
{
    enum { DAY = 10, OCTETS = 6, GAP = 2, LEAST = 20 };         /* columns; the least for texts */
    size_t digits = cells[NUMBER].length, fixed = digits + OCTETS + 3 * GAP;
    size_t date = columns >= fixed + DAY + GAP + LEAST ? DAY : 0;
    size_t used = fixed + (date > 0 ? DAY + GAP : 0);
    size_t rest = columns > used + LEAST ? columns - used : LEAST;
    const size_t widths[CELLS] = {digits, date, rest / 3, rest - rest / 3, OCTETS};
    struct text row = {0};

    for (int i = 0; i < CELLS; i++) {
        struct span cell = text_span(&cells[i]);

        if (i == DATE && span_length(cell) == 16 && cell.at[10] == ' ')
            cell.end = cell.at + 10;            /* 2026-11-29 19:43 without the time */
        if (widths[i] > 0) {
            text_puts(&row, i > 0 ? "  " : "");
            add_cell(&row, cell, widths[i]);
        }
    }
    add_cell(to, text_span(&row), columns);
    text_puts(to, "\n");
    text_free(&row);
}

/* Shows a line for each header: cut to so many columns, or complete and with TABs if it is 0. */
static void
show_headers(struct span all, FILE *out, unsigned columns)
{
    struct text cells[CELLS] = {{0}}, line = {0};
    struct span rest = all, header;
    struct heading h;
    uint64_t highest = 0;

    while (next_heading(&rest, &h, &header))
        highest = h.number > highest ? h.number : highest;

    int digits = columns > 0 ? snprintf(NULL, 0, "%" PRIu64, highest) : 0;
    for (; next_heading(&all, &h, &header); text_clear(&line)) {
        read_cells(header, cells);
        text_printf(&cells[NUMBER], "%*" PRIu64, digits, h.number);
        if (columns > 0)
            text_printf(&cells[SIZE], "%6s", h.listed ? size_text((int64_t)h.octets).text : "");
        else if (h.listed)
            text_printf(&cells[SIZE], "%" PRIu64, h.octets);
        if (columns > 0)
            add_row(&line, cells, columns);
        for (int i = 0; i < CELLS && columns == 0; i++)
            text_printf(&line, "%s%c", cells[i].bytes, i < SIZE ? '\t' : '\n');
        fwrite(line.bytes, 1, line.length, out);
    }
    for (int i = 0; i < CELLS; i++)
        text_free(&cells[i]);
    text_free(&line);
}

/* -- The sandbox -- */

/*
 * A message that exploits a bug in the decoder can do what the decoder's process can. So that
 * process drops, for good, what it does not need: it can read files, for charsets, and write to one
 * pipe; it has no other open file, can open no socket, run no program and start no process, and its
 * memory and time are bounded. Where the system or a compiler's headers lack one way, the others
 * remain.
 */
enum {
    DECODER_SECONDS = 60,       /* of processor time for a message, or for all lines of HEADERS */
    DECODER_MEMORY = 256 * 1024 * 1024,
    PAGE_MAX = 256 * 1024 * 1024        /* bytes of what it writes */
};

#ifdef SECCOMP_ARCH
static const struct allowed_call decoder_calls[] = {
    {SYS_openat, 2, O_ACCMODE | O_CREAT | O_TRUNC, 0},
#ifdef SYS_open
    {SYS_open, 1, O_ACCMODE | O_CREAT | O_TRUNC, 0},
#endif
    {SYS_fcntl, 1, ~7u, 0},     /* nothing above F_SETLKW: signals for a pipe */
    ALLOW(read), ALLOW(readv), ALLOW(pread64), ALLOW(lseek), ALLOW(close),
    ALLOW(write), ALLOW(writev),        /* only the page is open by now */
    ALLOW(fstat), ALLOW(newfstatat), ALLOW(statx), ALLOW(readlinkat), ALLOW(faccessat),
    ALLOW(getdents64), ALLOW(brk), ALLOW(mmap), ALLOW(munmap), ALLOW(mprotect), ALLOW(mremap),
    ALLOW(madvise), ALLOW(futex), ALLOW(sched_yield), ALLOW(getrandom), ALLOW(getpid),
    ALLOW(gettid), ALLOW(clock_gettime), ALLOW(sigaltstack), ALLOW(rt_sigaction),
    ALLOW(rt_sigprocmask), ALLOW(rt_sigreturn), ALLOW(exit), ALLOW(exit_group),
};
#endif

/* Confines a decoder, which reads descriptor 0 and writes a page to 1. */
static void
sandbox_decoder(void)
{
    const struct rlimit none = {0, 0};
    int first = STDERR_FILENO;

#ifdef SECCOMP_ARCH
    /* To a filter, /proc/PID/mem of the client is a file like any other. Landlock refuses it. */
    uint64_t writing = LANDLOCK_ACCESS_FS_WRITE_FILE;
    long rules = syscall(SYS_landlock_create_ruleset, &writing, sizeof writing, 0L);

    prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L);
    syscall(SYS_landlock_restrict_self, rules, 0L);     /* fails if there are none */
#endif
#ifdef SANITIZED                /* a sanitizer needs memory and calls, and has something to say */
    first++;
#else
    setrlimit(RLIMIT_DATA, &(struct rlimit){DECODER_MEMORY, DECODER_MEMORY});
#endif
    for (int fd = first; fd < 1024; fd++)
        close(fd);
    setrlimit(RLIMIT_CORE, &none);
    setrlimit(RLIMIT_FSIZE, &none);
#ifdef RLIMIT_NPROC
    setrlimit(RLIMIT_NPROC, &none);
#endif
    setrlimit(RLIMIT_CPU, &(struct rlimit){DECODER_SECONDS, DECODER_SECONDS});
#ifdef SECCOMP_ARCH             /* Every libc can live with ENOSYS; to kill would be too much. */
    filter_calls(decoder_calls, sizeof decoder_calls / sizeof *decoder_calls,
                 SECCOMP_RET_ERRNO | ENOSYS);
#endif
}

/* -- The decoder process, the page and the pager -- */

/*
 * Returns a temporary file without a name, which no other program inherits. It is in TMPDIR, /tmp,
 * the directory of the messages, or in memory. Returns -1 with errno set if all of that fails.
 */
static int
private_file(const char *directory)
{
    const char *places[] = {getenv("TMPDIR"), P_tmpdir, directory};
    char path[PATH_MAX];
    int fd = -1;

    for (size_t i = 0; fd < 0 && i < sizeof places / sizeof *places; i++)
        if (places[i] != NULL && *places[i] != '\0'
            && (size_t)snprintf(path, sizeof path, "%s/pop3-XXXXXX", places[i]) < sizeof path
            && (fd = mkstemp(path)) >= 0)
            unlink(path);
#if defined MFD_CLOEXEC && !defined POSIX_ONLY
    if (fd < 0)
        fd = memfd_create("pop3", MFD_CLOEXEC);
#endif
    if (fd >= 0)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    return fd;
}

/* A decoder shows what it got on a page of so many columns. */
typedef void decoder(struct span input, FILE *page, unsigned columns);

/* The decoder process. Its exit status is 0, EXIT_FAILURE without memory, or another errno. */
_Noreturn static void
run_decoder(decoder *decode, int input, int output, unsigned columns)
{
    struct span all = no_span;
    struct stat about;

    signal(SIGTSTP, SIG_DFL);   /* only the client itself stops everything */
    if (dup2(input, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0)
        _exit(EBADF);
    sandbox_decoder();
    if (fstat(STDIN_FILENO, &about) != 0)
        _exit(EIO);
    if (about.st_size > 0) {
        all.at = (uintmax_t)about.st_size > SIZE_MAX ? MAP_FAILED
            : mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE, STDIN_FILENO, 0);
        if (all.at == MAP_FAILED)
            _exit(EFBIG);
        all.end = all.at + about.st_size;
    }
    decode(all, stdout, columns);
    _exit(fflush(stdout) == 0 && !ferror(stdout) ? 0 : EIO);
}

/*
 * Appends what a decoder writes to a page. A message may have compromised the decoder, so
 * its output passes through visible() again. Returns 0 or an errno.
 */
static int
receive_page(struct client *c, int from, struct text *page)
{
    static struct wire w;
    struct text all = {0};

    wire_open(&w, from, -1);
    w.stop = &interrupted;
    while (all.length <= PAGE_MAX && wire_fill(&w)) {
        text_add(&all, (char *)w.input, w.in_end);
        w.in_end = 0;
    }
    put_visible(c, page, text_span(&all));
    text_free(&all);
    return w.error == 0 ? EFBIG : w.error == WIRE_CLOSED ? 0 : w.error;
}

/*
 * Decodes a file to a page, in a process that has no other file and no connection: in MIME, HTML
 * and charsets a mistake is most likely. Returns false after saying why; nothing after a Ctrl-C.
 */
static bool
decode(struct client *c, decoder *how, int input, struct text *page)
{
    int pipes[2] = {-1, -1}, status = 0, error;
    pid_t pid = -1;

    if (pipe(pipes) == 0)
        pid = fork();
    if (pid == 0)
        run_decoder(how, input, pipes[1], (unsigned)terminal_columns());
    if (pid < 0) {
        fail(c, "cannot decode: %s", strerror(errno));
        close(pipes[0]);
        close(pipes[1]);
        return false;
    }
    close(pipes[1]);
    error = receive_page(c, pipes[0], page);
    close(pipes[0]);

    if (error != 0 || !wait_child(pid, 5000, &status)) {
        kill(pid, SIGKILL);     /* it does not end by itself, or nobody reads what it shows */
        while (!wait_child(pid, WAIT_FOREVER, &status))
            continue;
    }
    if (interrupted)
        return false;
    if (error == 0 && WIFEXITED(status))
        error = WEXITSTATUS(status) == EXIT_FAILURE ? ENOMEM : WEXITSTATUS(status);
    if (error != 0)
        fail(c, "the display is not complete: %s", strerror(error));
    else if (status != 0)
        fail(c, "the display was ended by signal %d; the session continues, RETR saves the message",
             WTERMSIG(status));
    return error == 0 && status == 0;
}

/*
 * Waits for the pager to end and keeps the session open, because a person may read for long. A
 * signal that ends the client ends the pager first, so that it leaves the screen as it was.
 * Returns its wait status.
 */
static int
wait_pager(struct client *c, pid_t pid)
{
    int64_t kill_at = 0;
    int status = 0;
    bool ended;

    do {
        ended = wait_child(pid, interrupted ? 100 : keep_alive(c), &status);
        if (!ended && interrupted && wire_clock() >= kill_at) {
            kill(pid, kill_at == 0 ? SIGTERM : SIGKILL);
            kill_at = wire_clock() + 2000;
        }
    } while (!ended);
    return status;
}

/* The handler of SIGINT while the pager runs. */
static void
note_pager_stopped(int number)
{
    (void)number;
    line_stopped = 1;
}

/*
 * Shows a page with the pager, to which Ctrl-C belongs. Not every pager ends with it, but no other
 * message is shown then. Returns false, after a message, if the text has to be shown without a
 * pager.
 */
static bool
run_pager(struct client *c, const struct text *page)
{
    const char *pager = getenv("PAGER"), *name = pager;
    const struct sigaction note = {.sa_handler = note_pager_stopped, .sa_flags = SA_RESTART};
    struct sigaction handler;
    enum mode before = terminal.mode;
    int file = private_file(c->settings->directory), status = 0;
    pid_t pid = -1;

    if (pager == NULL || *pager == '\0') {
        name = "less";
        pager = "if command -v less >/dev/null; then exec less; fi; exec more";
    }
    wire_flush(&c->screen);
    sigaction(SIGINT, &note, &handler);
    terminal_mode(AS_FOUND);
    if (file >= 0 && write_all(file, text_span(page)) && lseek(file, 0, SEEK_SET) == 0)
        pid = fork();
    if (pid == 0) {
        dup2(file, STDIN_FILENO);
        sigaction(SIGINT, &handler, NULL);
        signal(SIGPIPE, SIG_DFL);
        signal(SIGXFSZ, SIG_DFL);
        if (c->utf8)
            setenv("LESSCHARSET", "utf-8", 0);  /* for less in the C locale */
        execl("/bin/sh", "sh", "-c", pager, (char *)NULL);
        _exit(127);
    }
    if (pid > 0)
        status = wait_pager(c, pid);
    if (file >= 0)
        close(file);
    terminal_mode(before);
    sigaction(SIGINT, &handler, NULL);
    c->editor->paste = NO_PASTE;        /* the pager got the end of a paste */
    c->stop_showing = line_stopped || status == 130 << 8;   /* the shell's status after SIGINT */
    line_stopped = 0;
    if (interrupted || c->stop_showing || (pid > 0 && status == 0))
        return true;
    warn(c, "the pager %s %s; this is the text without it", name,
         pid > 0 ? "failed" : "cannot be started");
    return false;
}

/* Returns true if a page has more rows than the terminal has above its prompt; also if it has 0. */
static bool
is_longer(const struct text *page)
{
    struct span rest = text_span(page), line;
    struct winsize size = {.ws_row = 0};
    size_t rows = 1;

    ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    while (rows < size.ws_row && next_line(&rest, &line)) {
        size_t columns = columns_from(0, line);

        rows += 1 + (columns > 0 && size.ws_col > 0 ? (columns - 1) / size.ws_col : 0);
    }
    return rows >= size.ws_row;
}

/* Shows a page, through a pager if it is long. */
static void
show_page(struct client *c, const struct text *page)
{
    bool paged = c->editing && !interrupted && is_longer(page) && run_pager(c, page);

    clear_line(c);
    if (!paged && !interrupted)
        wire_put(&c->screen, page->bytes, page->length);
    wire_flush(&c->screen);
}

/* ---- 9. Commands ----------------------------------------------------------------------------- */

/* -- Lists of messages -- */

/* Enters a line of LIST: number and octets. Returns false if the number is too high. */
static bool
enter_listed(struct client *c, char *line, size_t length)
{
    bool whole = strlen(line) == length;        /* no NUL is in it */
    char *rest = line, *number = strtok_r(rest, " \t", &rest), *size = strtok_r(NULL, " \t", &rest);
    uint64_t value, octets;

    if (!whole || number == NULL || !pop3_number(number, UINT32_MAX, &value) || value == 0
        || size == NULL || !pop3_number(size, INT64_MAX / MESSAGES_MAX, &octets))
        return true;            /* it is no message */
    if (value > MESSAGES_MAX)
        return false;
    message_at(c, value)->listed = true;
    message_at(c, value)->octets = octets;
    return true;
}

/*
 * Reads the lines behind LIST's status line, and shows each as it comes if they were asked for.
 * Returns false if they are not complete.
 */
static bool
read_list(struct client *c, bool show)
{
    bool fits = true;
    char *line;
    size_t length;

    for (size_t i = 0; i < c->count; i++)
        c->messages[i].listed = false;
    while (read_list_line(c, &line, &length)) {
        if (show)
            print_status(c, line, length);
        fits = enter_listed(c, line, length) && fits;
    }
    if (!fits)
        fail(c, "the list has message numbers above %d", MESSAGES_MAX);
    c->listed = fits && c->server.error == 0;
    return c->listed;
}

/* Asks which messages there are that are not marked. Returns false if that cannot be known. */
static bool
ask_list(struct client *c)
{
    send_line(c, "LIST");
    if (read_status(c))
        return read_list(c, false);
    c->no_list = true;
    return false;
}

/* A word of a list of messages. */
struct range {
    const char *word;           /* n, n-m or * */
    uint64_t first, last;
};

/* Reads a word of a list. Returns false, after saying why, if it is none. */
static bool
read_range(struct client *c, char *word, struct range *r)
{
    char *dash = strchr(word, '-');
    bool good = strcmp(word, "*") == 0;

    *r = (struct range){word, 1, UINT64_MAX};
    if (dash != NULL)
        *dash = '\0';
    if (pop3_number(word, UINT64_MAX, &r->first))
        good = dash == NULL || (r->first > 0 && pop3_number(dash + 1, UINT64_MAX, &r->last));
    if (dash != NULL)
        *dash = '-';
    if (!good)
        fail(c, "invalid message number: %s; a list is written 1 3 5-9, and * means all; nothing "
             "was sent", word);
    else if (r->first > r->last)
        fail(c, "%s runs backwards; nothing was sent", word);
    return good && r->first <= r->last;
}

/* Adds a message to the list if it is not in it yet. */
static void
add_number(struct client *c, uint64_t number)
{
    struct message *m = message_at(c, number);
    struct numbers *list = &c->list;

    if (m->in_list && number <= MESSAGES_MAX)
        return;
    m->in_list = true;
    if (list->count == list->room) {
        list->room = list->room * 2 + 16;
        list->number = grow(list->number, list->room * sizeof *list->number);
    }
    list->number[list->count++] = number;
    list->octets += m->octets;
}

/*
 * Adds the messages that a word means. A single number need not exist: the server's
 * answer will tell. A range or * means the messages that exist and are not marked.
 */
static bool
add_range(struct client *c, const struct range *r)
{
    size_t top = 0;

    if (strpbrk(r->word, "-*") == NULL) {
        add_number(c, r->first);
        return true;
    }
    for (size_t i = 0; i < c->count; i++)
        if (c->messages[i].listed || c->messages[i].marked)
            top = i;
    if (r->last > top && r->word[0] != '*') {
        fail(c, "%s goes past the last message, which is %zu", r->word, top);
        return false;
    }
    for (size_t i = (size_t)r->first; i <= top && i <= r->last; i++)
        if (c->messages[i].listed && !c->messages[i].marked)
            add_number(c, i);
    return true;
}

/*
 * Reads the arguments of a command that takes several messages into the list. sizes says that the
 * command needs to know their sizes. Returns false, after having said why, if they name nothing
 * that can be asked for; at most a LIST was sent then.
 */
static bool
read_numbers(struct client *c, const char *arguments, bool sizes)
{
    char words[TYPED_MAX + 1], *rest = words, *word;
    struct range ranges[TYPED_MAX / 2 + 1];
    size_t count = 0;

    c->list.count = c->list.marked = 0;
    c->list.octets = 0;
    for (size_t i = 0; i < c->count; i++)
        c->messages[i].in_list = false;
    snprintf(words, sizeof words, "%s", arguments);
    while ((word = strtok_r(rest, " \t", &rest)) != NULL)
        if (!read_range(c, word, &ranges[count++]))
            return false;
    if ((sizes || strpbrk(arguments, "-*") != NULL) && !ask_list(c)) {
        show_status(c);
        return false;
    }
    for (size_t i = 0; i < count; i++)
        if (!add_range(c, &ranges[i]))
            return false;
    if (c->list.count == 0)
        print_line(c, "no %smessages: %s%s", marked_count(c) > 0 ? "unmarked " : "", arguments,
                   marked_count(c) > 0 ? "; RSET unmarks all" : "");
    return true;
}

/*
 * Finds out, once before and once after the login, what the server can do: whether commands may be
 * pipelined, and whether it has TOP. An older server has no CAPA, which is no failure.
 */
static void
ask_capabilities(struct client *c)
{
    char *line;
    size_t length;

    if (c->asked_capa)
        return;
    c->asked_capa = true;
    c->pipelining = false;
    c->top = TOP_UNKNOWN;
    send_line(c, "CAPA");
    if (!read_status(c))
        return;
    c->top = TOP_NO;
    while (read_list_line(c, &line, &length)) {
        c->pipelining = c->pipelining || strcasecmp(line, "PIPELINING") == 0;
        c->top = strcasecmp(line, "TOP") == 0 ? TOP_YES : c->top;
    }
}

/*
 * Sends a command for each message of the list and calls answered() for each, in order, to read the
 * answer. octets is the size of all answers, for the progress, or 0. If the server announces
 * PIPELINING, up to flight commands are in flight; more are sent when half of them are answered. So
 * many fit into the system's buffers, so neither side waits for the other to read.
 */
static void
for_each(struct client *c, const char *command, size_t flight, uint64_t octets,
         void (*answered)(struct client *c, uint64_t number))
{
    const struct numbers *list = &c->list;
    size_t sent = 0;

    progress_begin(c, list->count, octets);
    if (flight > 1 && list->count > 1)
        ask_capabilities(c);
    if (!c->pipelining)
        flight = 1;
    c->user_given = false;      /* all these commands come after a login */
    c->stop_showing = false;
    for (size_t i = 0; i < list->count && c->server.error == 0 && !c->stop_showing; i++) {
        char line[64];

        if (sent == i)
            show_unsolicited(c);     /* nothing is in flight, so it is no answer */
        if (sent - i <= flight / 2)
            for (; sent < list->count && sent - i < flight; sent++) {
                snprintf(line, sizeof line, command, list->number[sent]);
                send_line(c, line);
            }
        answered(c, list->number[i]);
        c->progress.messages++;
    }
    progress_end(c);
}

/* -- Lines that are not sent -- */

/*
 * The line was not executed. If there is a RETR in it, nobody knows of which messages, and a
 * script's later DELE might remove them.
 */
static void
note_rejected(struct client *c)
{
    const struct editor *e = c->editor;

    for (size_t i = 0; i < e->length; i++)
        if (strncasecmp(e->line + i, "RETR", 4) == 0)
            c->unsaved_unknown = true;
}

/* Rejects the line as a whole. */
static void
reject_line(struct client *c, const char *flaw)
{
    fail(c, "the line %s; it was not sent", flaw);
    note_rejected(c);
}

/* -- RETR, DELE, SHOW, HEADERS -- */

/*
 * Receives message n, whose status line was read, to be saved. Of several, the status line is shown
 * together with what became of the message. Returns false if the message is not complete.
 */
static bool
save_message(struct client *c, struct download *d, uint64_t number)
{
    const struct message *m = message_at(c, number);

    save_open(&c->batch, d, c->settings->directory, number);
    d->announced = m->listed ? (int64_t)m->octets : -1;
    if (c->status[3] == ' ' && is_digit(c->status[4])) {
        char *end;
        int64_t octets = strtoll(c->status + 4, &end, 10);

        d->announced = *end == ' ' || *end == '\0' ? octets : d->announced;    /* no date */
    }
    if (c->progress.of > 1) {
        text_add(&d->status, c->status, c->status_length);
    } else {
        show_status(c);
        c->progress.expected = d->announced > 0 ? (uint64_t)d->announced : 0;
    }

    bool whole = receive_message(c, d->file, &d->error);
    d->octets = (int64_t)c->body.octets;
    if (!whole)
        save_close(&c->batch, d);
    return whole;
}

/* Receives and saves message n, whose RETR was sent. */
static void
retr_answered(struct client *c, uint64_t number)
{
    struct batch *all = &c->batch;
    struct download *d = &all->list[all->count];

    if (read_status(c) && save_message(c, d, number)) {
        all->count++;
        if (all->count >= all->most || d->error != 0)
            save_commit(c);
        return;
    }
    save_commit(c);             /* so that everything is reported in order */
    show_status(c);
    if (c->server.error != 0)
        connection_lost(c);
    fail(c, "message %" PRIu64 " is not saved", number);
}

/* RETR: saves messages. */
static void
do_retr(struct client *c, const char *arguments)
{
    const struct batch *all = &c->batch;

    if (!read_numbers(c, arguments, false)) {
        note_rejected(c);
        return;
    }
    size_t total = c->list.count;
    for (size_t i = 0; i < total; i++)
        message_at(c, c->list.number[i])->unsaved = true;
    if (total == 0 || !save_begin(c))
        return;
    for_each(c, "RETR %" PRIu64, PIPELINE_MAX, c->list.octets, retr_answered);
    save_end(c);                /* a later DELE must know what was saved */
    if (total > 1)
        print_line(c, "%zu saved, %zu already there, %zu failed (%s)", all->saved, all->already,
                   total - all->saved - all->already, size_text(all->octets).text);
}

/* Takes the answer to DELE n. The server marks the message; QUIT will remove it. */
static void
dele_answered(struct client *c, uint64_t number)
{
    bool marked = show_answer(c);

    c->list.marked += marked;
    if (marked)
        message_at(c, number)->marked = true;
    else if (!message_at(c, number)->marked)    /* by an earlier DELE */
        fail(c, "message %" PRIu64 " is not marked", number);
}

/* Drops the messages that a script must not mark, because they may be unsaved. */
static void
drop_unsaved(struct client *c)
{
    struct numbers *list = &c->list;
    size_t kept = 0;

    for (size_t i = 0; i < list->count; i++) {
        uint64_t number = list->number[i];

        if (c->unsaved_unknown || message_at(c, number)->unsaved)
            fail(c, "message %" PRIu64 " is not marked: %s", number,
                 c->unsaved_unknown ? "an earlier RETR was not carried out" :
                 number > MESSAGES_MAX ? "a RETR of a number as high may have failed" :
                 "its RETR failed or was incomplete");
        else
            list->number[kept++] = number;
    }
    list->count = kept;
}

/* DELE: marks messages. */
static void
do_dele(struct client *c, const char *arguments)
{
    if (!read_numbers(c, arguments, false))
        return;

    size_t total = c->list.count;
    if (!c->at_terminal)
        drop_unsaved(c);
    for_each(c, "DELE %" PRIu64, PIPELINE_MAX, 0, dele_answered);
    if (total > 1)
        print_line(c, "%zu marked, %zu failed", c->list.marked, total - c->list.marked);
    else if (c->list.marked == 1)
        print_line(c, "marked %" PRIu64, c->list.number[0]);
}

/* Displays the message n, which is in a file. */
static void
show_file(struct client *c, uint64_t number, int file)
{
    const struct progress *p = &c->progress;
    struct text page = {0};

    if (p->of > 1)
        text_printf(&page, "Message %" PRIu64 ", %zu of %zu%s\n\n", number, p->messages + 1, p->of,
                    !c->editing || p->messages + 1 == p->of ? ""
                    : " (leave the pager for the next one; Ctrl-C stops)");
    decode(c, show_message, file, &page);
    show_page(c, &page);
    c->progress.began = wire_clock();   /* a person has read meanwhile */
    c->progress.octets = 0;
    text_free(&page);
}

/* Receives and displays the message n, whose RETR was sent. */
static void
show_answered(struct client *c, uint64_t number)
{
    int file, error;
    bool whole;

    if (!show_answer(c))
        return;
    file = private_file(c->settings->directory);
    error = file < 0 ? errno : 0;
    whole = receive_message(c, file, &error);
    if (error != 0)
        fail(c, "no temporary file for the message: %s", strerror(error));
    else if (whole)
        show_file(c, number, file);
    if (file >= 0)
        close(file);
}

/* SHOW: displays messages, one after the other, because a person reads like that. */
static void
do_show(struct client *c, const char *arguments)
{
    if (read_numbers(c, arguments, false))
        for_each(c, "RETR %" PRIu64, 1, 0, show_answered);
}

/* Receives the header of message n, whose TOP was sent, into the file c->headers. */
static void
header_answered(struct client *c, uint64_t number)
{
    const struct message *m = message_at(c, number);
    struct heading heading = {.number = number, .octets = m->octets, .listed = m->listed};
    struct text header = {0};
    struct span piece, about = {(char *)&heading, (char *)&heading + sizeof heading};

    if (!read_status(c)) {
        show_status(c);
        if (c->server.error == 0 && c->top == TOP_UNKNOWN && m->listed
            && c->progress.messages == 0) {
            c->top = TOP_NO;
            c->stop_showing = true;
        }
        return;
    }
    while (read_piece(c, &piece))
        if (header.length <= HEADER_MAX)        /* one more shows that it was cut */
            text_add(&header, piece.at, span_length(limit(piece, HEADER_MAX + 1 - header.length)));
    heading.length = header.length;
    if (c->headers_error == 0
        && (!write_all(c->headers, about) || !write_all(c->headers, text_span(&header))))
        c->headers_error = errno;
    text_free(&header);
}

/* HEADERS: lists messages by what their headers say. */
static void
do_headers(struct client *c, const char *arguments)
{
    struct text page = {0};

    c->headers = private_file(c->settings->directory);
    c->headers_error = c->headers < 0 ? errno : 0;
    ask_capabilities(c);
    if (c->top != TOP_NO && read_numbers(c, arguments[0] != '\0' ? arguments : "*", true)) {
        for_each(c, "TOP %" PRIu64 " 0", PIPELINE_SHORT, 0, header_answered);
        if (c->headers_error != 0) {
            fail(c, "no temporary file for the headers: %s", strerror(c->headers_error));
        } else if (c->server.error == 0 && c->top != TOP_NO) {
            decode(c, show_headers, c->headers, &page);
            show_page(c, &page);
        }
    }
    if (c->top == TOP_NO)
        fail(c, "the server has no TOP, which HEADERS needs");
    if (c->headers >= 0)
        close(c->headers);
    text_free(&page);
}

/* -- HELP, and what other programs call these commands -- */

/* What HELP adds when it explains one command. */
static const char *const more_help[ALL_COMMANDS] = {
    [POP3_RETR] = ("Saves each message as n.eml in the directory of -d. An existing file is never\n"
                   "overwritten. The octets are those of LIST: a line end counts as two."),
    [POP3_DELE] = ("Only QUIT removes messages. Ctrl-D and the end of a script send QUIT. RSET\n"
                   "unmarks all. If the session ends in another way, nothing is removed."),
    [POP3_RSET] = "What was marked with DELE stays in the mailbox.",
    [POP3_TOP] = "TOP 3 0 shows the header of message 3 as it was sent; HEADERS decodes it.",
    [POP3_UIDL] = "A unique-id names a message in later sessions, too.",
    [POP3_PASS] = "Without the password PASS asks for it and does not show it.",
    [POP3_QUIT] = ("Removes what was marked with DELE. Ctrl-D and the end of a script send QUIT.\n"
                   "To leave without removing anything, type RSET, then QUIT."),
    [SHOW] = "A page that is longer than the screen goes through $PAGER, or less.",
    [HEADERS] = "In a pipe the lines are complete and have TABs between the fields.",
};

/* HELP: the commands and the keys, or one command. */
static void
do_help(struct client *c, const struct pop3_request *typed)
{
    bool all = typed->count == 0, found = all;

    if (typed->count > 1) {
        fail(c, "unexpected argument: %s; HELP explains one command", typed->argument[1]);
        return;
    }
    for (int i = 0; i < ALL_COMMANDS; i++) {
        const struct pop3_command *k = command_at(i);
        bool several = i == POP3_RETR || i == POP3_DELE;        /* messages, here */
        bool asked = pop3_same_word(typed->argument[0], k->name);

        if (all || asked)
            print_line(c, "  %-8s%-12s%s", k->name, several ? "n..." : k->arguments, k->help);
        if (asked && more_help[i] != NULL)
            print_line(c, "%s", more_help[i]);
        found = found || asked;
    }
    if (!found)
        fail(c, "no command %s; HELP lists the commands", typed->argument[0]);
    if (!all)
        return;
    print_line(c, "n... are messages: 1 3 5-9, or * for all. RETR saves them in %s.",
               c->settings->directory);
    print_line(c, "Keys: Tab completes, Up and Down show earlier lines, Ctrl-R searches them.");
    print_line(c, "Ctrl-C clears the line, or during an answer ends the session; Ctrl-D is QUIT.");
}

/* For a command of another program, says what to type here. Returns false for any other word. */
static bool
answer_habit(struct client *c, const char *word)
{
    static const char save[] = "RETR n to save message n, or SHOW n to read it";
    static const char list[] = "HEADERS, or LIST for the sizes alone";
    static const struct { const char *word, *instead; } habits[] = {
        {"exit", "QUIT"}, {"bye", "QUIT"}, {"q", "QUIT"}, {"logout", "QUIT"},
        {"ls", list}, {"dir", list}, {"get", save}, {"fetch", save}, {"save", save},
        {"cat", "SHOW n"}, {"more", "SHOW n"}, {"less", "SHOW n"}, {"read", "SHOW n"},
        {"rm", "DELE n"}, {"del", "DELE n"}, {"delete", "DELE n"},
    };

    for (size_t i = 0; i < sizeof habits / sizeof *habits; i++)
        if (pop3_same_word(word, habits[i].word)) {
            fail(c, "%s is not a command of POP3; type %s", word, habits[i].instead);
            return true;
        }
    return false;
}

/* -- The other commands -- */

/* The server has unmarked everything. */
static void
forget_marks(struct client *c)
{
    for (size_t i = 0; i < c->count; i++)
        c->messages[i].marked = false;
    c->listed = false;          /* the last LIST left out what was marked */
}

/* Sends a line as it was typed and shows the answer. */
static void
do_plain(struct client *c, const char *line, const struct pop3_request *typed)
{
    bool known = typed->verb < POP3_VERBS, failed = c->failed, ok;
    enum pop3_body body = known ? pop3_commands[typed->verb].body : NO_BODY;
    char *listed;
    size_t length;

    if (!c->continued && strlen(line) > POP3_COMMAND_MAX - 2) {
        reject_line(c, "is too long for POP3");
        return;
    }
    send_line(c, line);
    ok = show_answer(c);
    if (!known && c->continued)
        c->failed = failed;     /* the next line is what the server asks for */
    bool refused = !known && has_status(c->status, "-ERR");
    if (refused || typed->verb == POP3_RETR)    /* RETR without a number saves nothing */
        note_rejected(c);
    if (refused && c->at_terminal)
        print_line(c, "HELP lists the commands.");
    if (ok && typed->verb == POP3_RSET)
        forget_marks(c);
    if (!ok || body == NO_BODY || (body == BODY_IF_ALONE && typed->count > 0))
        return;
    if (typed->verb == POP3_LIST)
        read_list(c, true);
    else if (typed->verb == POP3_UIDL || typed->verb == POP3_CAPA)
        while (read_list_line(c, &listed, &length))
            print_status(c, listed, length);
    else
        show_body(c);
}

/* QUIT: the server removes what is marked, and answers when it has. */
static void
do_quit(struct client *c)
{
    size_t marked = marked_count(c);
    bool ok;

    show_unsolicited(c);             /* so that nothing else is taken for the answer */
    wire_flush(&c->screen);
    if (is_broken(c))
        return;
    c->quitting = true;
    c->server.idle_ms = QUIT_SECONDS * 1000;
    send_line(c, "QUIT");
    ok = show_answer(c);
    if (has_byte(&c->server, '\n'))
        wire_fail(&c->server, EBADMSG);         /* which of the two is the answer? */
    if (c->server.error != 0)
        return;
    c->over = true;
    c->quit_done = ok;
    if (ok && marked > 0)
        print_line(c, "%zu message%s removed", marked, marked == 1 ? " was" : "s were");
    else if (!ok)
        fail(c, marked > 0 ? "not all marked messages were removed" : "QUIT was refused");
}

/* -- Typed lines -- */

/*
 * Waits until something is typed, for at most ms milliseconds. Meanwhile it shows what the server
 * sends, and keeps the session open. Time that has passed counts only if nothing has come: this
 * process may have been stopped meanwhile. Returns early after a signal, if a wire has failed, or
 * if the prompt must be shown again. Returns false after ms milliseconds.
 */
static bool
wait_for_keys(struct client *c, int64_t ms)
{
    struct wire *keys = &c->keys;
    int64_t until = wire_clock() + ms;

    wire_flush(&c->screen);
    while (keys->in_start == keys->in_end && keys->error == 0 && !is_broken(c)
           && !line_stopped && !resized) {
        int fds[2] = {keys->in, c->server.in};
        int64_t now = wire_clock(), noop_due = c->spoke + c->noop_ms;

        int ready = wait_ready(fds, 2, false, (noop_due < until ? noop_due : until) - now);
        if (ready == 0 && now >= until)
            return false;
        if (ready == 0 && now >= noop_due && c->noops > 0)
            wire_fail(&c->server, ETIMEDOUT);
        else if (ready == 0 && now >= noop_due)
            keep_alive(c);
        if (ready < 0 && errno != EINTR)
            wire_fail(keys, errno);
        if (ready > 0 && (ready & 1) != 0)
            wire_fill(keys);
        if (ready > 0 && (ready & 2) != 0) {
            show_unsolicited(c);
            if (c->row == ROW_FREE)
                break;          /* the prompt was erased for what the server sent */
        }
    }
    return true;
}

/* Takes one byte of what was typed. Returns -1 if none is left. */
static int
take_key(struct client *c)
{
    return c->keys.in_start < c->keys.in_end ? c->keys.input[c->keys.in_start++] : -1;
}

/*
 * Shows the line that is being typed, or for a password only what to type. With something behind
 * it, maybe "", it is finished and stays.
 */
static void
edit_show(struct client *c, const char *behind)
{
    struct text paint = {0};
    bool hidden = c->editor->hidden;

    if (hidden)
        text_puts(&paint, behind != NULL ? "\n" : c->row == ROW_FREE ? "Password: " : "");
    else if (behind != NULL)
        editor_finish(c->editor, behind, &paint);
    else
        editor_paint(c->editor, &paint);
    c->row = behind != NULL ? ROW_FREE : hidden ? ROW_PROMPT : ROW_LINE;
    wire_put(&c->screen, paint.bytes, paint.length);
    wire_flush(&c->screen);
    text_free(&paint);
}

/*
 * Gives the editor what was typed, up to the end of a line. Ctrl-C drops lines before it that
 * were not yet carried out, as it does on a terminal without a line editor: so it can stop a paste
 * of thousands of lines.
 */
static enum verdict
edit_keys(struct client *c)
{
    struct wire *keys = &c->keys;
    enum verdict verdict = MORE;

    if (keys->in_start == keys->in_end && keys->error != 0) {
        interrupted = SIGHUP;   /* the terminal is gone */
        return END;
    }
    while (verdict == MORE && keys->in_start < keys->in_end) {
        verdict = editor_feed(c->editor, (unsigned char)take_key(c));
        if (verdict != LINE)
            continue;
        while (keys->error == 0 && keys->in_end - keys->in_start < WIRE_INPUT
               && wait_ready(&keys->in, 1, false, 0) > 0)
            wire_fill(keys);
        if (has_byte(keys, CTRL_C)) {
            editor_start(c->editor, c->editor->hidden);
            verdict = MORE;
        }
    }
    return verdict;
}

/* Returns END if the session is over, INTERRUPT after a Ctrl-C for the line, else MORE. */
static enum verdict
check_signals(struct client *c)
{
    if (resized) {
        resized = 0;
        editor_resize(c->editor, terminal_columns());
    }
    if (is_broken(c))
        return END;
    if (!line_stopped)
        return MORE;
    line_stopped = 0;
    if (c->editor->paste == IN_PASTE)
        c->editor->paste = PASTE_STOPPED;
    return INTERRUPT;
}

/*
 * Reads a line, or a password without echo, with the editor. Returns LINE with the line in
 * c->editor, END, or INTERRUPT.
 */
static enum verdict
edit_line(struct client *c, bool hidden)
{
    struct editor *e = c->editor;
    enum verdict verdict = MORE;

    wire_flush(&c->screen);     /* until an answer is on the screen, Ctrl-C ends the session */
    terminal_mode(RAW);
    editor_start(e, hidden);
    editor_resize(e, terminal_columns());
    e->ascii = !c->utf8;
    while (verdict == MORE) {
        edit_show(c, NULL);
        if (!wait_for_keys(c, editor_patience(e)))
            editor_timeout(e);
        verdict = check_signals(c);
        if (verdict == MORE)
            verdict = edit_keys(c);
        if (verdict == SUSPEND) {
            clear_line(c);
            wire_flush(&c->screen);
            suspend();
            e->paste = NO_PASTE;
            verdict = MORE;
        }
    }
    edit_show(c, verdict == INTERRUPT ? "^C" : "");
    if (!c->editing)
        e->paste = NO_PASTE;    /* it ends with the password */
    if (verdict == INTERRUPT && e->paste == NO_PASTE
        && (has_byte(&c->keys, '\r') || has_byte(&c->keys, '\n'))) {
        c->keys.in_start = c->keys.in_end;      /* a paste that the terminal did not mark */
        e->paste = c->editing ? PASTE_STOPPED : NO_PASTE;
    }
    terminal_mode(!c->editing ? AS_FOUND : e->paste == IN_PASTE ? PASTE_RUNS : QUIET);
    return verdict;
}

/*
 * Waits for input in read_line(), at a prompt if a person types. Returns true if there is a byte or
 * the end; false if a signal or a failed wire ends the line.
 */
static bool
wait_for_line(struct client *c)
{
    while (c->keys.in_start == c->keys.in_end && c->keys.error == 0) {
        wire_flush(&c->screen);         /* see edit_line() */
        if (c->at_terminal && c->row == ROW_FREE) {
            wire_put(&c->screen, prompt, strlen(prompt));
            c->row = ROW_PROMPT;
        }
        terminal_mode(c->at_terminal ? COOKED : AS_FOUND);
        wait_for_keys(c, WAIT_FOREVER);
        if (c->at_terminal && (c->row == ROW_FREE || line_stopped || resized)
            && c->keys.in_start == c->keys.in_end && wait_ready(&c->keys.in, 1, false, 0) == 0
            && tcgetpgrp(STDIN_FILENO) == getpgrp())
            tcflush(STDIN_FILENO, TCIFLUSH);    /* drops half a line: it is before the prompt */
        terminal_mode(AS_FOUND);
        if (interrupted || line_stopped || resized)
            clear_line(c);      /* after a stop the shell had the terminal */
        if (check_signals(c) != MORE)
            return false;
    }
    return true;
}

/* Removes a password that the terminal has shown. Without sequences it can only scroll. */
static void
scroll_away(struct client *c)
{
    struct winsize size = {.ws_row = 0};

    ioctl(STDIN_FILENO, TIOCGWINSZ, &size);
    for (int rows = size.ws_row > 0 ? size.ws_row : 24; rows > 0; rows--)
        wire_put(&c->screen, "\n", 1);
}

/*
 * Reads a line of a script, or of a terminal without line editing, without its LF or CRLF. Returns
 * LINE with the line in c->editor, END, or INTERRUPT if there is none.
 *
 * A last DELE without a line end is rejected: it may be half of "DELE 12".
 */
static enum verdict
read_line(struct client *c)
{
    struct editor *e = c->editor;
    bool after_cr = false;
    struct termios t;
    int key;

    editor_start(e, false);
    for (;;) {
        if (!wait_for_line(c))
            return INTERRUPT;
        key = take_key(c);
        if (key < 0 || key == '\n')
            break;
        if (after_cr)
            editor_insert(e, "\r", 1);
        after_cr = key == '\r';
        if (!after_cr)
            editor_insert(e, (char[]){(char)key}, 1);
    }
    if (key < 0) {
        clear_line(c);          /* Ctrl-D leaves the cursor behind the prompt */
        if (c->keys.error > 0)
            fail(c, "cannot read commands: %s", strerror(c->keys.error));
        if (c->keys.error != WIRE_CLOSED || (c->at_terminal && tcgetattr(c->keys.in, &t) != 0))
            interrupted = SIGHUP;       /* an error, or a terminal that is gone, is no QUIT */
    }
    c->row = ROW_FREE;
    if (c->at_terminal && is_secret(e->line) && e->length > 5)
        scroll_away(c);
    if (c->at_terminal && e->length >= CANONICAL_MAX)
        e->flaw = "is too long";        /* for the terminal, which may have cut it */
    if (key < 0 && strncasecmp(e->line + strspn(e->line, " \t"), "DELE", 4) == 0) {
        fail(c, "%s has no line end and may have been cut off; it was not sent", e->line);
        return END;
    }
    return key < 0 && e->length == 0 ? END : LINE;
}

/*
 * For Tab: returns the lowest message number above one, with its octets, or 0. The first time it
 * asks the server, unless that would come between USER and PASS or was refused before.
 */
static size_t
next_message(void *context, size_t above, int64_t *octets)
{
    struct client *c = context;

    if (!c->listed && above == 0 && !c->user_given && !c->continued && !c->no_list) {
        terminal_mode(QUIET);           /* Ctrl-C can end the wait */
        ask_list(c);
        terminal_mode(RAW);
    }
    for (size_t i = above + 1; c->listed && i < c->count; i++)
        if (c->messages[i].listed && !c->messages[i].marked) {
            *octets = (int64_t)c->messages[i].octets;
            return i;
        }
    return 0;
}

/* Asks for a password and sends exactly the bytes that were typed, nothing after a Ctrl-C. */
static void
do_password(struct client *c)
{
    const struct pop3_request pass = {.verb = POP3_PASS, .word = "PASS", .count = 1};
    enum verdict typed = edit_line(c, true);
    struct editor *e = c->editor;

    if (typed == LINE && e->flaw != NULL) {
        reject_line(c, e->flaw);
    } else if (typed == LINE && e->length > 0) {
        e->cursor = 0;
        editor_insert(e, "PASS ", 5);   /* or the line is too long for POP3 in any case */
        do_plain(c, e->line, &pass);
    } else if (typed == LINE) {
        fail(c, "no password; PASS was not sent");
    }
    editor_start(e, false);
}

/* Calls the function for a command. line is complete, typed are its words. */
static void
dispatch(struct client *c, const char *line, const struct pop3_request *typed)
{
    const char *arguments = line + strlen(typed->word);

    arguments += strspn(arguments, " \t");
    if (pop3_same_word(typed->word, "HELP") || strcmp(typed->word, "?") == 0)
        do_help(c, typed);
    else if (pop3_same_word(typed->word, "SHOW") && typed->count == 0)
        fail(c, "SHOW needs messages: SHOW 2");
    else if (pop3_same_word(typed->word, "SHOW"))
        do_show(c, arguments);
    else if (pop3_same_word(typed->word, "HEADERS"))
        do_headers(c, arguments);
    else if (typed->verb == POP3_RETR && typed->count > 0)
        do_retr(c, arguments);
    else if (typed->verb == POP3_DELE && typed->count > 0)
        do_dele(c, arguments);
    else if (typed->verb == POP3_QUIT && typed->count > 0)
        fail(c, "QUIT has no arguments; it was not sent");
    else if (typed->verb == POP3_QUIT)
        do_quit(c);
    else if (typed->verb == POP3_PASS && typed->count == 0 && c->at_terminal)
        do_password(c);
    else if (c->continued || typed->verb < POP3_VERBS || !answer_habit(c, typed->word))
        do_plain(c, line, typed);
}

/* Executes the line that c->editor holds. */
static void
run(struct client *c)
{
    struct editor *e = c->editor;
    char words[TYPED_MAX + 1], *line = e->line + strspn(e->line, " \t");
    struct pop3_request typed;

    for (size_t i = 0; i < e->length; i++)
        if (((unsigned char)e->line[i] < ' ' && e->line[i] != '\t') || e->line[i] == 0x7f)
            e->flaw = "has a control character";
    if (e->flaw != NULL) {
        reject_line(c, e->flaw);
        return;
    }
    snprintf(words, sizeof words, "%s", line);
    typed = pop3_parse(words);
    if (typed.verb != POP3_PASS)        /* blanks at the end belong to a password */
        for (size_t end = strlen(line); end > 0 && strchr(" \t", line[end - 1]) != NULL; end--)
            line[end - 1] = '\0';
    show_unsolicited(c);
    if (typed.word[0] == '\0' || c->server.error != 0)
        return;

    c->status[0] = '\0';
    dispatch(c, line, &typed);
    if (c->status[0] == '\0' || typed.verb == POP3_VERBS
        || pop3_commands[typed.verb].where == ANYWHERE)
        return;                 /* it was not sent, or tells nothing about the login */
    c->user_given = typed.verb == POP3_USER;
    if (!c->user_given && has_status(c->status, "+OK")) {
        c->no_list = false;
        c->asked_capa = c->asked_capa && typed.verb != POP3_PASS;
    }
}

/* ---- 10. The loop and main ------------------------------------------------------------------- */

/* Takes commands until the session is over. */
static void
converse(struct client *c)
{
    while (!c->over) {
        enum verdict typed = c->editing ? edit_line(c, false) : read_line(c);

        if (typed == LINE && !is_broken(c))
            run(c);
        else if (typed == END && !is_broken(c))
            do_quit(c);
        if (is_broken(c))
            connection_lost(c);
    }
    clear_line(c);
    wire_flush(&c->screen);
}

/*
 * Waits for the greeting, and says so when it takes long: a server that expects TLS first waits as
 * well. Not with -x: that command may be asking for a passphrase.
 */
static void
greet(struct client *c)
{
    const struct settings *s = c->settings;
    bool echoes = c->at_terminal && s->command == NULL;     /* what is typed ahead */

    if (s->command == NULL && !wire_fill(&c->server) && c->server.error == ETIMEDOUT) {
        c->server.error = 0;    /* the rest of the time for an answer is left */
        c->server.idle_until = wire_clock() + (ANSWER_SECONDS - GREETING_SECONDS) * 1000;
        c->row = c->editing ? ROW_LINE : echoes ? ROW_TEXT : ROW_FREE;
        warn(c, "waiting for a greeting from %s port %s (Ctrl-C ends; a TLS port such as 995 "
             "needs -x 'openssl s_client -quiet -verify_return_error -verify_hostname %s "
             "-connect %s:%s')", s->host, s->port, s->host, s->host, s->port);
    }
    c->server.idle_ms = ANSWER_SECONDS * 1000;

    bool welcome = read_status(c);
    if (c->continued)
        wire_fail(&c->server, EPROTO);  /* "+ " is no greeting */
    if (echoes && c->editing)
        c->row = ROW_LINE;      /* the editor will show it again */
    show_status(c);
    if (welcome)
        converse(c);
    else if (c->server.error != 0)
        connection_lost(c);
}

/* -- The command line -- */

static const char usage[] = "usage: %s [-hvV] [-d directory] [-x command] [host [port]]\n";

static const char help[] =
    "\n"
    "Fetches mail by POP3. The default host is localhost, the default port " POP3_PORT ".\n"
    "HELP at the prompt lists the commands.\n"
    "\n"
    "  -d DIRECTORY   save messages there; it is created when first needed\n"
    "                 (default: inbox)\n"
    "  -v             print each line that is sent, passwords as ***\n"
    "  -x COMMAND     run COMMAND with sh -c and use its standard input and output\n"
    "                 as the connection\n"
    "  -h, --help     print this help\n"
    "  -V, --version  print the version\n"
    "\n"
    "  %s -x './server -i'\n"
    "  %s -x 'openssl s_client -quiet -verify_return_error \\\n"
    "      -verify_hostname HOST -connect HOST:995'\n";

/* Reports an invalid command line and ends the program. */
#define usage_error(c, format, ...) \
    (warn(c, format "; see %s --help", __VA_ARGS__, program), exit(2))

/* Checks and takes the words behind the options: [host [port]]. */
static void
read_host(struct client *c, struct settings *settings, int argc, char **argv)
{
    int most = settings->command != NULL ? 0 : 2;       /* -x takes the place of a host */
    uint64_t port;

    if (argc > most)
        usage_error(c, "unexpected argument%s: %s", most == 0 ? " with -x" : "", argv[most]);
    if (argc > 0)
        settings->host = argv[0];
    if (argc > 1)
        settings->port = argv[1];
    if (settings->host[strspn(settings->host, "0123456789")] == '\0')
        usage_error(c, "invalid host: %s (the host comes before the port)", settings->host);
    if (!pop3_number(settings->port, 65535, &port) || port == 0)
        usage_error(c, "invalid port: %s (a number from 1 to 65535)", settings->port);
}

/* Reads the command line. Ends the program after -h and -V and after a mistake. */
static void
read_options(struct client *c, struct settings *settings, int argc, char **argv)
{
    static const struct option names[] = {
        {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {NULL, 0, NULL, 0}
    };
    int option;

    opterr = 0;
    while ((option = getopt_long(argc, argv, ":d:hvVx:", names, NULL)) != -1) {
        if ((option == 'd' || option == 'x') && *optarg == '\0')
            usage_error(c, "the argument of -%c is empty", option);
        switch (option) {
        case 'd':
            settings->directory = optarg;
            break;
        case 'h':
            printf(usage, program);
            printf(help, program, program);
            exit(fflush(stdout) != 0 || ferror(stdout));
        case 'v':
            settings->verbose = true;
            break;
        case 'V':
            printf("%s (POP3 client) %s\n", program, POP3_VERSION);
            exit(fflush(stdout) != 0 || ferror(stdout));
        case 'x':
            settings->command = optarg;
            break;
        default:                /* with --help=x, some systems return ':', some '?' */
            if (optopt == 'h' || optopt == 'V')
                usage_error(c, "option takes no argument: %s", argv[optind - 1]);
            else if (option == ':')
                usage_error(c, "option requires an argument: -%c", optopt);
            else if (optopt != 0)
                usage_error(c, "invalid option: -%c", optopt);
            usage_error(c, "invalid option: %s", argv[optind - 1]);
        }
    }
    read_host(c, settings, argc - optind, argv + optind);
}

/* -- Signals, main -- */

/* The handler of all signals. The terminal's modes cannot wait for the loop; all else is a flag. */
static void
note_signal(int number)
{
    enum mode mode = terminal.mode;

    if (number == SIGTSTP) {
        suspend();
    } else if (number == SIGCONT) {
        terminal.mode = AS_FOUND;       /* after SIGSTOP, which cannot be caught */
        terminal_mode(mode);
        resized = 1;
    } else if (number == SIGWINCH) {
        resized = resized || mode != COOKED;    /* there the terminal keeps the line itself */
    } else if (number == SIGINT && (mode == COOKED || mode == PASTE_RUNS || mode == RAW)) {
        line_stopped = 1;
        terminal.mode = mode == PASTE_RUNS ? QUIET : mode;      /* another one ends the session */
    } else if (number != SIGCHLD && (interrupted == 0 || interrupted == SIGINT)) {
        interrupted = number;   /* SIGCHLD only ends a wait */
    }
}

/* Catches signals. System calls go on after them, except waits. */
static void
catch_signals(void)
{
    static const int numbers[] = {
        SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGCHLD, SIGWINCH, SIGTSTP, SIGCONT
    };
    struct sigaction action = {.sa_handler = note_signal, .sa_flags = SA_RESTART}, before;
    sigset_t none;

    sigfillset(&action.sa_mask);        /* one handler at a time: two of them set the terminal */
    sigdelset(&action.sa_mask, SIGTTOU);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        sigaction(numbers[i], NULL, &before);
        if (before.sa_handler != SIG_IGN || numbers[i] == SIGCHLD)
            sigaction(numbers[i], &action, NULL);       /* else nohup or a shell wants it so */
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_IGN);   /* write() fails with EPIPE instead */
    signal(SIGXFSZ, SIG_IGN);
}

/* Initializes what does not depend on the command line. */
static void
initialize(struct client *c, const struct settings *settings, struct editor *editor)
{
    const char *term = getenv("TERM"), *locale = setlocale(LC_CTYPE, "");

    c->utf8 = locale == NULL || strcmp(locale, "C") == 0 || strcmp(locale, "POSIX") == 0
        || strcasecmp(nl_langinfo(CODESET), "UTF-8") == 0;  /* without a locale it is likely */
    setlocale(LC_CTYPE, "C");   /* in a Turkish one i and I are two letters, and li is not LI */
    c->settings = settings;
    c->editor = editor;
    c->noop_ms = NOOP_SECONDS * 1000;
    c->spoke = wire_clock();
    c->at_terminal = isatty(STDIN_FILENO) != 0;
    c->editing = c->at_terminal && isatty(STDOUT_FILENO) && term != NULL && *term != '\0'
        && strcmp(term, "dumb") != 0;
    terminal.pastes = c->editing;
    terminal.screen = open_again(STDOUT_FILENO);
    wire_open(&c->keys, STDIN_FILENO, STDOUT_FILENO);
    open_output(&c->screen, terminal.screen);
    open_output(&c->errors, open_again(STDERR_FILENO));
}

/* Finds the addresses of the host. Returns NULL after having said why there are none. */
static struct addrinfo *
find_addresses(struct client *c)
{
    const struct addrinfo hints = {.ai_flags = AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
    const char *host = c->settings->host, *colon = strchr(host, ':');
    struct addrinfo *addresses = NULL;

    /* The loopback addresses are the same whether or not /etc/hosts names them. */
    int error = getaddrinfo(strcasecmp(host, "localhost") == 0 ? NULL : host, c->settings->port,
                            &hints, &addresses);

    if (error == 0)
        return addresses;
    fail(c, "no address for %s: %s%s", host, gai_strerror(error),
         colon != NULL && colon == strrchr(host, ':') ?
         "; the port is a word of its own: localhost 5000" : "");
    return NULL;
}

int
main(int argc, char **argv)
{
    static struct client client;
    static struct editor editor = {.next_message = next_message, .context = &client};
    static struct settings settings = {
        .host = "localhost", .port = POP3_PORT, .directory = "inbox"
    };
    struct addrinfo *addresses = NULL;
    struct client *c = &client;

    if (argc > 0 && argv[0][0] != '\0')
        program = strrchr(argv[0], '/') != NULL ? strrchr(argv[0], '/') + 1 : argv[0];
    reserve_descriptors();
    initialize(c, &settings, &editor);
    read_options(c, &settings, argc, argv);
    if (settings.command == NULL && (addresses = find_addresses(c)) == NULL)
        return 1;

    catch_signals();
    atexit(terminal_restore);
    if (!(settings.command != NULL ? run_command(c) : connect_to(c, addresses)))
        return 1;

    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});     /* it would hold mail and a password */
    greet(c);
    terminal_restore();
    hang_up(c);
    wire_flush(&c->screen);
    if (c->screen.error != 0 && !c->failed)
        fail(c, "the last lines were not printed: %s", reason_of_loss(c));
    return c->failed ? 1 : 0;
}
