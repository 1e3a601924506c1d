/*
 * client.c - an interactive POP3 client: type commands, read the answers, keep the messages
 *
 * Read it from the bottom for the plan, from the top for the parts: main() connects, then takes one command
 * after the other from a person or a script, until QUIT.
 *
 * Three wires carry everything: the server's, the keys (standard input) and the screen (standard output).
 * Signals are blocked but for the moments when one of them waits, so a ^C is noticed at once in a wait and
 * never in the middle of saving a message.
 *
 * The sections, and how much one must know of the others to read it:
 *
 *      1  settings
 *      2  visible text         alone; all that comes from the network passes it
 *      3  the line editor      alone, but for the width of characters: octets in, a verdict out
 *      4  reading a message    alone, but for visible text: MIME, HTML, charsets, from a file to a page
 *      5  giving things up     alone: what a process that reads from strangers cannot do any more
 *      6  state                what the rest works with
 *      7  the terminal         its modes, what is shown on it, progress
 *      8  numbers              of messages, as lists and as sets
 *      9  saving messages      complete under a free name, or not at all
 *     10  the server           connecting, status lines, the lines behind them
 *     11  commands             one function each
 *     12  the loop, main
 *
 * What keeps mail safe:
 *   - What the server sends reaches the screen through visible_text() alone: it cannot drive the terminal.
 *   - A message is decoded for SHOW by a process that can do nothing else.
 *   - A message is saved under its name by save_end() when it is complete and on disk, or not at all.
 *   - QUIT, which removes what was marked, is sent for a typed QUIT and the end of the input, never for a
 *     signal; and a script's DELE is not sent for a message whose RETR failed.
 */
#include "pop3.h"

#include <fcntl.h>
#include <getopt.h>
#include <iconv.h>
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
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <wchar.h>

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define SANITIZED 1
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

/* Giving things up takes the kernel's own headers, and the numbers of its calls on this machine. */
#if defined __linux__ && defined __has_include && !defined POSIX_ONLY
#if __has_include(<linux/landlock.h>) && __has_include(<linux/seccomp.h>)
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#if defined __x86_64__ && !defined __ILP32__
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined __aarch64__ && defined __AARCH64EL__ && !defined __ILP32__
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#elif defined __riscv && __riscv_xlen == 64
#define ARCHITECTURE AUDIT_ARCH_RISCV64
#endif
#if defined ARCHITECTURE && defined SYS_landlock_restrict_self
#define CONFINES 1
#endif
#endif
#endif

/* ---- 1. Settings ----------------------------------------------------------------------------- */

enum {
    CONNECT_SECONDS = 30,       /* for each address of the host */
    ANSWER_SECONDS = 180,
    QUIT_SECONDS = 30,
    CHILD_SECONDS = 5,          /* for the command of -x to end after its wire */
    TYPED_MAX = 4096,           /* octets of a typed line; what is sent is shorter, but a list may be long */
    MESSAGES_MAX = 2000000,     /* that a LIST is believed to have */
    AHEAD_MAX = 100,            /* commands sent ahead: 2,000 octets, which fit into any pipe or socket */
    NOOP_SECONDS = 240,         /* at the prompt: a server waits ten minutes at least, some routers five */
    NAME_ROOM = 64,             /* of a saved message, with its NUL */
    SAVE_TOGETHER = 100,        /* messages that are brought to disk at once, at most; */
    SAVE_OCTETS = 16 * 1024 * 1024,      /* fewer when they have so many octets, */
    SAVE_MS = 200,              /* or when the first of them has waited for so long */
    SYNCFS_LEAST = 3,           /* from so many files on, syncfs() costs less than an fsync() for each */
    SYNCFS_MS = 1000            /* a disk on which it takes longer is busy with what is not ours */
};

struct settings {
    const char *host, *port;
    const char *directory;
    const char *command;        /* of -x, or NULL */
};

/* ---- 2. Text --------------------------------------------------------------------------------- */

/*
 * A text grows as needed and has a NUL behind its last byte, once something was added. It may
 * hold NULs itself: its length counts. A span is part of a text that somebody else owns.
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
    static const char message[] = "client: out of memory; no message was removed\n";

    if (write(STDERR_FILENO, message, sizeof message - 1) < 0)
        exit(EXIT_FAILURE);
    exit(EXIT_FAILURE);
}

/* Makes room for so many bytes more and a NUL. Returns where they go. */
static char *
text_room(struct text *t, size_t length)
{
    size_t room = t->room > 0 ? t->room : 64;

    while (room - t->length <= length && room <= SIZE_MAX / 2)
        room *= 2;
    if (room - t->length <= length)
        out_of_memory();
    if (room > t->room) {
        char *bytes = realloc(t->bytes, room);

        if (bytes == NULL)
            out_of_memory();
        t->bytes = bytes;
        t->room = room;
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
    *t = (struct text){NULL, 0, 0};
}

static struct span
text_span(const struct text *t)
{
    return (struct span){t->bytes, t->length > 0 ? t->bytes + t->length : t->bytes};
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
    if (s[0] < 0x80) {
        *c = s[0];
        return 1;
    }
    if (s[0] < 0xc2 || s[0] > 0xf4)
        return 0;

    int size = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    uint32_t value = s[0] & (0x7fU >> size);
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

/* Writes a character as UTF-8, U+FFFD instead of a number that is none. Returns its bytes, 1-4. */
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

/* Takes the first character off a span that is not empty. An invalid byte gives U+FFFD. */
static uint32_t
span_next(struct span *s)
{
    uint32_t c = 0xfffd;
    int size = utf8_read((const unsigned char *)s->at, span_length(*s), &c);

    s->at += size > 0 ? size : 1;
    return c;
}

/*
 * Returns true for a character that nobody sees although it takes part in a comparison: a soft
 * hyphen, a zero-width space, a Hangul filler and the like.
 */
static bool
is_invisible(uint32_t c)
{
    return c == 0xad || c == 0x34f || c == 0x115f || c == 0x1160 || c == 0x17b4 || c == 0x17b5
        || (c >= 0x180b && c <= 0x180f) || c == 0x200b || (c >= 0x2060 && c <= 0x2065)
        || c == 0x3164 || c == 0xfeff || c == 0xffa0 || (c >= 0x1bca0 && c <= 0x1bca3)
        || (c >= 0x1d173 && c <= 0x1d17a);
}

/*
 * Returns true for a character that must not reach the screen as it is: a control, one that
 * moves, hides or reorders others, one that is invisible, or a code that is no character.
 * Joiners and variation selectors are part of the character before them in emoji and several
 * scripts; behind an ASCII letter they only hide a difference.
 */
static bool
must_escape(uint32_t c, uint32_t before)
{
    if (c < 0xa0)
        return (c < ' ' && c != '\t' && c != '\n') || c >= 0x7f;
    if (c == 0x200c || c == 0x200d || (c >= 0xe0100 && c <= 0xe01ef))
        return before < 0x80;
    if (c >= 0xfe00 && c <= 0xfe0f)
        return before < 0x80 && (before < '0' || before > '9') && before != '#' && before != '*';
    return c == 0x61c || c == 0x200e || c == 0x200f || (c >= 0x2028 && c <= 0x202e)
        || (c >= 0x2066 && c <= 0x206f) || (c >= 0xfdd0 && c <= 0xfdef)
        || (c >= 0xfff9 && c <= 0xfffb) || (c & 0xfffe) == 0xfffe
        || (c >= 0xe0000 && c <= 0xe0fff) || is_invisible(c);
}

/*
 * The one function between the network and the screen. It appends bytes that are meant as UTF-8
 * in a form that can do nothing but be read: a control character as ^X, DEL as ^?, an invalid
 * byte as \xHH, any other character that must_escape() names as \uXXXX or \u{XXXXX}. TAB and LF
 * pass; CRLF becomes LF. What it made comes through it a second time unchanged.
 */
static void
visible(struct text *to, struct span from)
{
    uint32_t c, before = 0;
    const char *run;

    while (from.at < from.end) {
        for (run = from.at; run < from.end && *run >= ' ' && *run < 0x7f; run++)
            ;
        if (run > from.at) {            /* plain ASCII */
            text_add(to, from.at, (size_t)(run - from.at));
            before = (unsigned char)run[-1];
            from.at = run;
            continue;
        }

        int size = utf8_read((const unsigned char *)from.at, span_length(from), &c);
        bool escape = size <= 0 || must_escape(c, before);
        if (size <= 0)
            text_printf(to, "\\x%02x", (unsigned char)*from.at);
        else if (!escape)
            text_add(to, from.at, (size_t)size);
        else if (c >= 0x80)
            text_printf(to, c > 0xffff ? "\\u{%x}" : "\\u%04x", (unsigned)c);
        else if (c != '\r' || span_length(from) == 1 || from.at[1] != '\n')
            text_add(to, (char[]){'^', (char)(c ^ 0x40)}, 2);
        before = escape ? 0 : c;
        from.at += size > 0 ? size : 1;
    }
}

/*
 * Returns where to cut bytes that arrive in pieces, so that visible() sees whole lines: behind
 * the last LF, or in a longer line behind the last whole character.
 */
static const char *
whole_end(struct span s)
{
    uint32_t c;

    for (const char *at = s.end; at > s.at; at--)
        if (at[-1] == '\n')
            return at;
    for (size_t tail = 1; tail < 4 && tail <= span_length(s); tail++)
        if (utf8_read((const unsigned char *)s.end - tail, tail, &c) < 0)
            return s.end - tail;
    return s.end > s.at && s.end[-1] == '\r' ? s.end - 1 : s.end;
}

/*
 * Appends visible text for a terminal that does not read UTF-8: each character that is not ASCII
 * becomes one that looks alike, or a question mark. So no byte of a character can be taken for a
 * control of the upper half (0x80 to 0x9f).
 */
static void
visible_ascii(struct text *to, struct span from)
{
    static const struct { const char *characters, *look; } looks[] = {
        {"\u00a0", " "}, {"\u2010\u2011\u2012\u2013\u2014\u2212", "-"}, {"\u2018\u2019", "'"},
        {"\u201c\u201d\u201e\u00ab\u00bb", "\""}, {"\u2022\u00b7", "*"}, {"\u2026", "..."},
        {"\u00df", "ss"}, {"\u20ac", "EUR"},
    };

    while (from.at < from.end) {
        const char *at = from.at, *look = "?";
        char character[5] = "";

        if (span_next(&from) < 0x80) {
            text_add(to, at, 1);
            continue;
        }
        memcpy(character, at, (size_t)(from.at - at));
        for (size_t i = 0; i < sizeof looks / sizeof *looks; i++)
            if (strstr(looks[i].characters, character) != NULL)
                look = looks[i].look;
        text_puts(to, look);
    }
}

/*
 * Returns the columns that a character takes on the screen, 0 for one that joins the character
 * before it. wcwidth() knows only the characters of the locale, so this takes one with all of
 * them; where there is none, a Chinese character counts as one column instead of two.
 */
static size_t
character_columns(uint32_t c)
{
    static bool asked;

    if (c < 0x300)
        return 1;
    if (!asked) {
        locale_t locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);

        if (locale == (locale_t)0)
            locale = newlocale(LC_CTYPE_MASK, "en_US.UTF-8", (locale_t)0);
        if (locale != (locale_t)0)
            uselocale(locale);
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

static size_t
span_columns(struct span s)
{
    return columns_from(0, s);
}

/* -- What the sections that are not rewritten yet still use -- */

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t';
}

enum {
    VISIBLE_WORST = 4,          /* an octet becomes at most this many: \xHH */
    VISIBLE_HELD = 3            /* octets of a character whose end has not come */
};

/* What visible_text needs as room for that many octets. */
#define VISIBLE_ROOM(octets) (VISIBLE_WORST * ((octets) + VISIBLE_HELD))

/* Where a text stands on its way to the screen; all zero at its start. */
struct visible {
    unsigned char held[VISIBLE_HELD + 1];
    size_t count;
};

/* Characters of text that move, hide or reorder other characters, or that are none. */
static bool
deceives(uint32_t c)
{
    return (c >= 0x80 && c <= 0x9f) || c == 0x61c || c == 0x200e || c == 0x200f
        || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x206f)
        || (c >= 0xfdd0 && c <= 0xfdef) || (c >= 0xfff9 && c <= 0xfffb) || (c & 0xfffe) == 0xfffe
        || (c >= 0xe0000 && c <= 0xe007f);
}

/* Writes one character in a form that can be seen. Returns the octets written. */
static size_t
visible_character(uint32_t c, char *out)
{
    static const char hex[] = "0123456789abcdef";
    size_t made = 0;

    if (c == '\t' || c == '\n' || (c >= ' ' && c != 0x7f && !deceives(c)))
        return utf8_write(c, out);
    if (c < 0x80) {
        out[made++] = '^';
        out[made++] = (char)(c ^ 0x40);
        return made;
    }
    out[made++] = '\\';
    out[made++] = 'u';
    if (c > 0xffff)
        out[made++] = '{';
    for (int shift = c > 0xfffff ? 20 : c > 0xffff ? 16 : 12; shift >= 0; shift -= 4)
        out[made++] = hex[c >> shift & 0xf];
    if (c > 0xffff)
        out[made++] = '}';
    return made;
}

static size_t
visible_octet(unsigned char octet, char *out)
{
    static const char hex[] = "0123456789abcdef";

    out[0] = '\\';
    out[1] = 'x';
    out[2] = hex[octet >> 4];
    out[3] = hex[octet & 0xf];
    return 4;
}

/*
 * Takes the first character, or the first octet that is none, from the held octets and writes it. Returns
 * the octets written; 0, with all kept, when its end has not come and last does not say that none will.
 */
static size_t
visible_held(struct visible *v, bool last, char *out)
{
    uint32_t c = 0;
    int size = utf8_read(v->held, v->count, &c);
    size_t made = 0;

    if (!last && (size < 0 || (v->held[0] == '\r' && v->count == 1)))
        return 0;
    if (size <= 0)
        made = visible_octet(v->held[0], out);
    else if (c != '\r' || v->count == 1 || v->held[1] != '\n')
        made = visible_character(c, out);

    size_t used = size <= 0 ? 1 : (size_t)size;
    v->count -= used;
    memmove(v->held, v->held + used, v->count);
    if (made == 0)              /* the CR of a line end is dropped; the LF goes out now */
        made = visible_held(v, last, out);
    return made;
}

/*
 * Turns octets that are meant as UTF-8 into text that can do nothing but be read. TAB and LF pass, and so
 * does every character that only shows itself. A control character becomes ^X, DEL ^?, an octet that is not
 * UTF-8 \xHH, an encoded C1 control, a bidirectional control and the like \uXXXX or \u{XXXXX}. CRLF becomes
 * LF, a CR alone ^M. out needs VISIBLE_ROOM(length) octets; returns how many were written.
 */
static size_t
visible_text(struct visible *v, const void *in, size_t length, char *out)
{
    const unsigned char *from = in, *end = from + length;
    size_t made = 0;

    while (from < end) {
        if (v->count == 0 && *from >= ' ' && *from < 0x7f) {
            out[made++] = (char)*from++;
            continue;
        }
        v->held[v->count++] = *from++;
        for (size_t more = 1; more > 0 && v->count > 0; made += more)
            more = visible_held(v, false, out + made);
    }
    return made;
}

/* Writes what is still held at the end of a text: a CR, or a character cut off. Returns the octets written. */
static size_t
visible_end(struct visible *v, char *out)
{
    size_t made = 0;

    while (v->count > 0)
        made += visible_held(v, true, out + made);
    return made;
}

struct range {
    uint32_t first, last;
};

/* Marks that stand on the character before them, and characters without a shape (Unicode 14: Mn, Me, Cf). */
static const struct range zero_width[] = {
    {0x300, 0x36f}, {0x483, 0x489}, {0x591, 0x5bd}, {0x5bf, 0x5bf}, {0x5c1, 0x5c2}, {0x5c4, 0x5c5},
    {0x5c7, 0x5c7}, {0x610, 0x61a}, {0x61c, 0x61c}, {0x64b, 0x65f}, {0x670, 0x670}, {0x6d6, 0x6dc},
    {0x6df, 0x6e4}, {0x6e7, 0x6e8}, {0x6ea, 0x6ed}, {0x711, 0x711}, {0x730, 0x74a}, {0x7a6, 0x7b0},
    {0x7eb, 0x7f3}, {0x7fd, 0x7fd}, {0x816, 0x819}, {0x81b, 0x823}, {0x825, 0x827}, {0x829, 0x82d},
    {0x859, 0x85b}, {0x898, 0x89f}, {0x8ca, 0x8e1}, {0x8e3, 0x902}, {0x93a, 0x93a}, {0x93c, 0x93c},
    {0x941, 0x948}, {0x94d, 0x94d}, {0x951, 0x957}, {0x962, 0x963}, {0x981, 0x981}, {0x9bc, 0x9bc},
    {0x9c1, 0x9c4}, {0x9cd, 0x9cd}, {0x9e2, 0x9e3}, {0x9fe, 0xa02}, {0xa3c, 0xa3c}, {0xa41, 0xa51},
    {0xa70, 0xa71}, {0xa75, 0xa75}, {0xa81, 0xa82}, {0xabc, 0xabc}, {0xac1, 0xac8}, {0xacd, 0xacd},
    {0xae2, 0xae3}, {0xafa, 0xb01}, {0xb3c, 0xb3c}, {0xb3f, 0xb3f}, {0xb41, 0xb44}, {0xb4d, 0xb56},
    {0xb62, 0xb63}, {0xb82, 0xb82}, {0xbc0, 0xbc0}, {0xbcd, 0xbcd}, {0xc00, 0xc00}, {0xc04, 0xc04},
    {0xc3c, 0xc3c}, {0xc3e, 0xc40}, {0xc46, 0xc56}, {0xc62, 0xc63}, {0xc81, 0xc81}, {0xcbc, 0xcbc},
    {0xcbf, 0xcbf}, {0xcc6, 0xcc6}, {0xccc, 0xccd}, {0xce2, 0xce3}, {0xd00, 0xd01}, {0xd3b, 0xd3c},
    {0xd41, 0xd44}, {0xd4d, 0xd4d}, {0xd62, 0xd63}, {0xd81, 0xd81}, {0xdca, 0xdca}, {0xdd2, 0xdd6},
    {0xe31, 0xe31}, {0xe34, 0xe3a}, {0xe47, 0xe4e}, {0xeb1, 0xeb1}, {0xeb4, 0xebc}, {0xec8, 0xecd},
    {0xf18, 0xf19}, {0xf35, 0xf35}, {0xf37, 0xf37}, {0xf39, 0xf39}, {0xf71, 0xf7e}, {0xf80, 0xf84},
    {0xf86, 0xf87}, {0xf8d, 0xfbc}, {0xfc6, 0xfc6}, {0x102d, 0x1030}, {0x1032, 0x1037}, {0x1039, 0x103a},
    {0x103d, 0x103e}, {0x1058, 0x1059}, {0x105e, 0x1060}, {0x1071, 0x1074}, {0x1082, 0x1082},
    {0x1085, 0x1086}, {0x108d, 0x108d}, {0x109d, 0x109d}, {0x1160, 0x11ff}, {0x135d, 0x135f},
    {0x1712, 0x1714}, {0x1732, 0x1733}, {0x1752, 0x1753}, {0x1772, 0x1773}, {0x17b4, 0x17b5},
    {0x17b7, 0x17bd}, {0x17c6, 0x17c6}, {0x17c9, 0x17d3}, {0x17dd, 0x17dd}, {0x180b, 0x180f},
    {0x1885, 0x1886}, {0x18a9, 0x18a9}, {0x1920, 0x1922}, {0x1927, 0x1928}, {0x1932, 0x1932},
    {0x1939, 0x193b}, {0x1a17, 0x1a18}, {0x1a1b, 0x1a1b}, {0x1a56, 0x1a56}, {0x1a58, 0x1a60},
    {0x1a62, 0x1a62}, {0x1a65, 0x1a6c}, {0x1a73, 0x1a7f}, {0x1ab0, 0x1b03}, {0x1b34, 0x1b34},
    {0x1b36, 0x1b3a}, {0x1b3c, 0x1b3c}, {0x1b42, 0x1b42}, {0x1b6b, 0x1b73}, {0x1b80, 0x1b81},
    {0x1ba2, 0x1ba5}, {0x1ba8, 0x1ba9}, {0x1bab, 0x1bad}, {0x1be6, 0x1be6}, {0x1be8, 0x1be9},
    {0x1bed, 0x1bed}, {0x1bef, 0x1bf1}, {0x1c2c, 0x1c33}, {0x1c36, 0x1c37}, {0x1cd0, 0x1cd2},
    {0x1cd4, 0x1ce0}, {0x1ce2, 0x1ce8}, {0x1ced, 0x1ced}, {0x1cf4, 0x1cf4}, {0x1cf8, 0x1cf9},
    {0x1dc0, 0x1dff}, {0x200b, 0x200f}, {0x202a, 0x202e}, {0x2060, 0x206f}, {0x20d0, 0x20f0},
    {0x2cef, 0x2cf1}, {0x2d7f, 0x2d7f}, {0x2de0, 0x2dff}, {0x302a, 0x302d}, {0x3099, 0x309a},
    {0xa66f, 0xa672}, {0xa674, 0xa67d}, {0xa69e, 0xa69f}, {0xa6f0, 0xa6f1}, {0xa802, 0xa802},
    {0xa806, 0xa806}, {0xa80b, 0xa80b}, {0xa825, 0xa826}, {0xa82c, 0xa82c}, {0xa8c4, 0xa8c5},
    {0xa8e0, 0xa8f1}, {0xa8ff, 0xa8ff}, {0xa926, 0xa92d}, {0xa947, 0xa951}, {0xa980, 0xa982},
    {0xa9b3, 0xa9b3}, {0xa9b6, 0xa9b9}, {0xa9bc, 0xa9bd}, {0xa9e5, 0xa9e5}, {0xaa29, 0xaa2e},
    {0xaa31, 0xaa32}, {0xaa35, 0xaa36}, {0xaa43, 0xaa43}, {0xaa4c, 0xaa4c}, {0xaa7c, 0xaa7c},
    {0xaab0, 0xaab0}, {0xaab2, 0xaab4}, {0xaab7, 0xaab8}, {0xaabe, 0xaabf}, {0xaac1, 0xaac1},
    {0xaaec, 0xaaed}, {0xaaf6, 0xaaf6}, {0xabe5, 0xabe5}, {0xabe8, 0xabe8}, {0xabed, 0xabed},
    {0xfb1e, 0xfb1e}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb},
    {0x1d167, 0x1d169}, {0x1d173, 0x1d182}, {0x1d185, 0x1d18b}, {0x1d1aa, 0x1d1ad}, {0xe0001, 0xe01ef},
};

/* Two columns: East Asian wide and full width, emoji (Unicode 14, East_Asian_Width W and F). */
static const struct range double_width[] = {
    {0x1100, 0x115f}, {0x231a, 0x231b}, {0x2329, 0x232a}, {0x23e9, 0x23ec}, {0x23f0, 0x23f0},
    {0x23f3, 0x23f3}, {0x25fd, 0x25fe}, {0x2614, 0x2615}, {0x2648, 0x2653}, {0x267f, 0x267f},
    {0x2693, 0x2693}, {0x26a1, 0x26a1}, {0x26aa, 0x26ab}, {0x26bd, 0x26be}, {0x26c4, 0x26c5},
    {0x26ce, 0x26ce}, {0x26d4, 0x26d4}, {0x26ea, 0x26ea}, {0x26f2, 0x26f3}, {0x26f5, 0x26f5},
    {0x26fa, 0x26fa}, {0x26fd, 0x26fd}, {0x2705, 0x2705}, {0x270a, 0x270b}, {0x2728, 0x2728},
    {0x274c, 0x274c}, {0x274e, 0x274e}, {0x2753, 0x2755}, {0x2757, 0x2757}, {0x2795, 0x2797},
    {0x27b0, 0x27b0}, {0x27bf, 0x27bf}, {0x2b1b, 0x2b1c}, {0x2b50, 0x2b50}, {0x2b55, 0x2b55},
    {0x2e80, 0x3029}, {0x302e, 0x303e}, {0x3041, 0x3096}, {0x309b, 0x3247}, {0x3250, 0x4dbf},
    {0x4e00, 0xa4c6}, {0xa960, 0xa97c}, {0xac00, 0xd7a3}, {0xf900, 0xfad9}, {0xfe10, 0xfe19},
    {0xfe30, 0xfe6b}, {0xff01, 0xff60}, {0xffe0, 0xffe6}, {0x16fe0, 0x16fe3}, {0x16ff0, 0x1b2fb},
    {0x1f004, 0x1f004}, {0x1f0cf, 0x1f0cf}, {0x1f18e, 0x1f18e}, {0x1f191, 0x1f19a}, {0x1f200, 0x1f320},
    {0x1f32d, 0x1f335}, {0x1f337, 0x1f37c}, {0x1f37e, 0x1f393}, {0x1f3a0, 0x1f3ca}, {0x1f3cf, 0x1f3d3},
    {0x1f3e0, 0x1f3f0}, {0x1f3f4, 0x1f3f4}, {0x1f3f8, 0x1f43e}, {0x1f440, 0x1f440}, {0x1f442, 0x1f4fc},
    {0x1f4ff, 0x1f53d}, {0x1f54b, 0x1f54e}, {0x1f550, 0x1f567}, {0x1f57a, 0x1f57a}, {0x1f595, 0x1f596},
    {0x1f5a4, 0x1f5a4}, {0x1f5fb, 0x1f64f}, {0x1f680, 0x1f6c5}, {0x1f6cc, 0x1f6cc}, {0x1f6d0, 0x1f6d2},
    {0x1f6d5, 0x1f6df}, {0x1f6eb, 0x1f6ec}, {0x1f6f4, 0x1f6fc}, {0x1f7e0, 0x1f7f0}, {0x1f90c, 0x1f93a},
    {0x1f93c, 0x1f945}, {0x1f947, 0x1f9ff}, {0x1fa70, 0x1faf6}, {0x20000, 0x3134a},
};

static bool
in_ranges(uint32_t c, const struct range *ranges, size_t count)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (c < ranges[middle].first)
            high = middle;
        else if (c > ranges[middle].last)
            low = middle + 1;
        else
            return true;
    }
    return false;
}

/* Returns the columns that a visible character takes, 0 to 2. A TAB is the caller's to count. */
static unsigned
columns_of(uint32_t c)
{
    if (c < 0x300)
        return 1;
    if (in_ranges(c, zero_width, sizeof zero_width / sizeof *zero_width))
        return 0;
    return in_ranges(c, double_width, sizeof double_width / sizeof *double_width) ? 2 : 1;
}

/*
 * Returns the columns of a character: 0 for one that joins the character before it, and -1 for what must not
 * reach a terminal as it is.
 */
static int
character_width(uint32_t c)
{
    return c < ' ' || c == 0x7f || deceives(c) ? -1 : (int)columns_of(c);
}

/* Reads the character at the start of a text, which a NUL ends. Returns its octets, 0 when it is not UTF-8. */
static size_t
utf8_decode(const char *text, uint32_t *c)
{
    int octets = utf8_read((const unsigned char *)text, strnlen(text, 4), c);

    return octets > 0 ? (size_t)octets : 0;
}

/* Writes a number of octets as people read it, rounded: 999 B, 3.4 kB, 12 MB. */
static void
size_text(int64_t octets, char *out, size_t room)
{
    int64_t tenths;             /* of the unit */
    size_t unit = 0;

    for (; octets >= 999500; unit++)
        octets /= 1000;
    tenths = (octets + 50) / 100;
    if (octets < 1000 && unit == 0)
        snprintf(out, room, "%d B", (int)octets);
    else if (tenths < 100)
        snprintf(out, room, "%d.%d %cB", (int)(tenths / 10), (int)(tenths % 10), "kMGTPE"[unit]);
    else
        snprintf(out, room, "%d %cB", (int)((octets + 500) / 1000), "kMGTPE"[unit]);
}

/* -- The terminal's charset, where it is not UTF-8 -- */

/* What stands for a character the terminal lacks: its plain look if it has one, or a question mark. */
static char
plain_look(uint32_t c)
{
    static const struct { uint32_t c; char look; } looks[] = {
        {0xa0, ' '}, {0x2010, '-'}, {0x2011, '-'}, {0x2012, '-'}, {0x2013, '-'}, {0x2014, '-'}, {0x2018, '\''},
        {0x2019, '\''}, {0x201a, ','}, {0x201c, '"'}, {0x201d, '"'}, {0x201e, '"'}, {0x2022, '*'},
        {0x2026, '.'}, {0x2039, '<'}, {0x203a, '>'}, {0x2212, '-'}, {0xb7, '.'}, {0xab, '"'}, {0xbb, '"'},
    };

    for (size_t i = 0; i < sizeof looks / sizeof *looks; i++)
        if (looks[i].c == c)
            return looks[i].look;
    return '?';
}

/*
 * Converts visible text, whole characters of UTF-8, by an iconv from UTF-8 to the terminal's charset, or to
 * ASCII if that is (iconv_t)-1. A character it lacks becomes one that looks alike, or ? for each of its
 * columns. No control octet leaves, C1 included, whatever the charset makes of a character. out needs room
 * for LOCAL_WORST times length; returns how many octets were written.
 */
enum { LOCAL_WORST = 8 };

static size_t
local_text(iconv_t to_local, const char *in, size_t length, char *out)
{
    size_t made = 0;

    for (size_t i = 0; i < length; ) {
        uint32_t c = 0;
        int size = utf8_read((const unsigned char *)in + i, length - i, &c);
        char *from = (char *)(uintptr_t)(in + i), *to = out + made;
        size_t left = size > 0 ? (size_t)size : 1, room = LOCAL_WORST;

        i += left;
        if (c < 0x80 && size == 1) {
            *to = *from;
            made++;
            continue;
        }

        bool lacked = to_local == (iconv_t)-1 || iconv(to_local, &from, &left, &to, &room) != 0;
        size_t octets = LOCAL_WORST - room;
        bool control = octets == 1 && ((out[made] & 0x60) == 0 || out[made] == 0x7f);
        if (!lacked && octets > 0 && !control && memchr(out + made, '\033', octets) == NULL) {
            made += octets;
        } else {
            if (lacked && to_local != (iconv_t)-1)
                iconv(to_local, NULL, NULL, NULL, NULL);
            for (unsigned columns = columns_of(c); columns > 0; columns--)
                out[made++] = plain_look(c);
        }
    }
    return made;
}

/* ---- 3. Messages and state ------------------------------------------------------------------- */

/* Message numbers, in the order of a command or sorted, and their sizes where these are known. */
struct numbers {
    struct number {
        uint32_t number;
        int64_t octets;         /* -1: not known */
    } *list;
    size_t count, room;
};

/* What stands in the row of the cursor for the moment, and has to go before anything is written. */
enum row { ROW_FREE, ROW_TEXT, ROW_PROMPT, ROW_PASSWORD, ROW_LINE, ROW_PROGRESS };

/* How far a command for several messages is, or for a large one. */
struct progress {
    int64_t began, painted;     /* on wire_clock; began 0: nothing is going on */
    int64_t moved;              /* the same: when the last byte arrived */
    uint64_t octets, expected;  /* expected 0: not known */
    size_t messages, of;
};

/* A message on its way to a file. */
struct saving {
    uint32_t number;
    int directory, file;
    char temporary[NAME_ROOM];  /* its name until it is complete, "" when there is none */
    char name[NAME_ROOM];       /* the name it got, or had already */
    bool had_it;                /* it was saved before */
    int error;                  /* the first one, or 0 */

    char *status;               /* what the server said, not shown yet, or NULL */
    char announced[24];         /* the octets of the message by that, "" when it does not say */
    uint64_t octets;            /* that came */
};

/* Messages that came whole. They get their names together, which costs the disk less than one by one. */
struct savings {
    int directory;              /* the one for them, -1 when it is not open */
    struct saving list[SAVE_TOGETHER];
    size_t count, most;         /* fewer than fit where a process may not have many open files */
    uint64_t octets;
    int64_t since;              /* on wire_clock: when the first of them was complete */
    bool busy;                  /* the disk has much to write for others */
};

/* What became of the messages of one command. */
struct tally {
    size_t done, had;
    uint64_t octets;            /* of both */
    bool enough;                /* a person wants no more of them */
};

struct client {
    const struct settings *settings;
    bool at_terminal;           /* a person types */
    bool editing;               /* with the line editor */
    sigset_t mask;              /* the signals as they were: let in while waiting */
    pid_t child;                /* of -x, or 0 */
    struct wire server, keys, screen, errors;
    struct editor *editor;
    bool utf8;                  /* the terminal reads UTF-8 */
    const char *codeset;        /* what the terminal reads */
    iconv_t to_local;           /* makes that from UTF-8; (iconv_t)-1 where it is UTF-8 */
    enum row row;
    struct progress progress;
    struct tally tally;

    bool over;                  /* the session is */
    bool failed;                /* something was not as it was asked to be: exit status 1 */
    bool quitting;              /* QUIT was sent */
    int pipelining;             /* the server said that it can; -1: not asked yet */
    struct numbers there;       /* what the last LIST said */
    bool listed;                /* and it still holds, but for what was marked since */
    struct numbers marked;      /* by DELE */
    struct savings received;    /* not saved yet, but complete */
    struct numbers unsaved;     /* their RETR failed, or is not over */
    bool any_unsaved;           /* a RETR failed before it was known of which messages */
    bool user_given;            /* the last command was USER: PASS comes next, and nothing between */
    size_t noops;               /* sent by the client itself and not answered yet */
    int64_t noop_ms;            /* how long after the last command it sends one, at the prompt */
    int64_t spoke;              /* on wire_clock: when the last command was sent */
    char status[POP3_STATUS_MAX * 8];   /* the last status line */
};

/* Set by signals, which are blocked but for the moments when somebody waits. */
static volatile sig_atomic_t interrupted, resized;

static const char *program = "client";  /* the name it was started with */

/* Adds a number to the end. Returns false when there is no memory. */
static bool
numbers_append(struct numbers *n, uint32_t number, int64_t octets)
{
    if (n->count == n->room) {
        size_t room = n->room * 2 + 16;
        struct number *list = realloc(n->list, room * sizeof *list);

        if (list == NULL)
            return false;
        n->list = list;
        n->room = room;
    }
    n->list[n->count++] = (struct number){.number = number, .octets = octets};
    return true;
}

/* Returns where in a sorted list a number stands, or should. */
static size_t
numbers_find(const struct numbers *n, uint32_t number)
{
    size_t begin = 0, end = n->count;

    if (end > 0 && n->list[end - 1].number < number)
        return end;             /* the most common case by far */
    while (begin < end) {
        size_t middle = begin + (end - begin) / 2;

        if (n->list[middle].number < number)
            begin = middle + 1;
        else
            end = middle;
    }
    return begin;
}

static bool
numbers_have(const struct numbers *n, uint32_t number)
{
    size_t at = numbers_find(n, number);

    return at < n->count && n->list[at].number == number;
}

/* Puts a number into a sorted list, where it is once. Returns false when there is no memory. */
static bool
numbers_put(struct numbers *n, uint32_t number, int64_t octets)
{
    size_t at = numbers_find(n, number);

    if (at < n->count && n->list[at].number == number)
        return true;
    if (!numbers_append(n, number, octets))
        return false;
    memmove(n->list + at + 1, n->list + at, (n->count - 1 - at) * sizeof *n->list);
    n->list[at] = (struct number){.number = number, .octets = octets};
    return true;
}

/* Takes a number out of a sorted list, if it is there. */
static void
numbers_drop(struct numbers *n, uint32_t number)
{
    size_t at = numbers_find(n, number);

    if (at < n->count && n->list[at].number == number) {
        n->count--;
        memmove(n->list + at, n->list + at + 1, (n->count - at) * sizeof *n->list);
    }
}

/* Returns the octets of the messages in a list, 0 when one's are not known or nobody could have so many. */
static uint64_t
numbers_octets(const struct numbers *n)
{
    uint64_t octets = 0;

    for (size_t i = 0; i < n->count; i++) {
        if (n->list[i].octets < 0 || octets > INT64_MAX - (uint64_t)n->list[i].octets)
            return 0;
        octets += (uint64_t)n->list[i].octets;
    }
    return octets;
}

static void
numbers_free(struct numbers *n)
{
    free(n->list);
    *n = (struct numbers){.list = NULL};
}

/* ---- 4. The terminal ------------------------------------------------------------------------- */

/*
 * The modes of the terminal. At the prompt it is RAW: the line editor gets every key. While a
 * command runs it is QUIET: what is typed waits unseen for the editor, and Ctrl-C and Ctrl-Z are
 * signals. Everybody else finds it as we found it.
 */
enum mode { AS_FOUND, QUIET, RAW };

static struct {                 /* at file scope for the handlers of SIGTSTP and SIGCONT */
    int screen;                 /* descriptor for output */
    bool pastes;                /* the terminal can mark what is pasted */
    bool changed;
    struct termios found;
    enum mode mode;
} terminal;

/*
 * SIGINT ends the session, except in RAW mode and while the commands of a paste run. Then the
 * handler sets line_stopped instead of interrupted, and ends the paste: another one ends the
 * session.
 */
static volatile sig_atomic_t line_stopped, paste_running;

/*
 * Opens the terminal behind a descriptor a second time, for writing without blocking: a terminal
 * that takes no output must not make the client deaf to signals, and the flags of the descriptor
 * itself belong to others, too. Returns the new descriptor or, where that fails, the same one.
 */
static int
open_again(int fd)
{
    const char *name = isatty(fd) ? ttyname(fd) : NULL;
    int again = name != NULL ? open(name, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) : -1;

    return again >= 0 ? again : fd;
}

/*
 * Sets the mode. Typed-ahead input is kept, except after a Ctrl-C that ends the session: it was
 * meant for us and not for the shell. Output is not waited for, because a terminal may never take
 * it and no mode changes how it looks.
 */
static void
terminal_mode(enum mode mode)
{
    static const char marks_on[] = "\033[?2004h", marks_off[] = "\033[?2004l";
    const char *marks = mode == AS_FOUND ? marks_off : marks_on;
    struct termios t;

    if (mode == terminal.mode)
        return;
    if (!terminal.changed && tcgetattr(STDIN_FILENO, &terminal.found) != 0)
        return;
    t = terminal.found;
    if (mode != AS_FOUND) {
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
    if (terminal.pastes && (mode == AS_FOUND) != (terminal.mode == AS_FOUND) &&
        wait_ready(&terminal.screen, 1, true, 500, NULL) > 0 &&
        write(terminal.screen, marks, strlen(marks)) < 0)
        terminal.pastes = false;        /* without output the input is still set back */
    if (mode == AS_FOUND && interrupted == SIGINT)
        tcflush(STDIN_FILENO, TCIFLUSH);
    tcsetattr(STDIN_FILENO, TCSANOW, &t);
    terminal.changed = true;
    terminal.mode = mode;
}

/* For atexit(). */
static void
terminal_restore(void)
{
    terminal_mode(AS_FOUND);
}

/*
 * Stops like any program at Ctrl-Z, with the terminal as it was found, and sets the mode again
 * when it continues. As the handler of SIGTSTP it stops this process. With 0, for a Ctrl-Z that
 * was read as a key, it stops everything that the shell started together with it.
 *
 * This handler does its work itself: signals arrive only while we wait, so nothing is interrupted.
 */
static void
suspend(int number)
{
    struct sigaction stop = {.sa_handler = SIG_DFL}, before;
    enum mode mode = terminal.mode;
    sigset_t only, blocked;

    terminal_mode(AS_FOUND);
    sigemptyset(&stop.sa_mask);
    sigemptyset(&only);
    sigaddset(&only, SIGTSTP);
    sigaction(SIGTSTP, &stop, &before);
    kill(number == 0 ? 0 : getpid(), SIGTSTP);
    sigprocmask(SIG_UNBLOCK, &only, &blocked);      /* it stops here */
    sigprocmask(SIG_SETMASK, &blocked, NULL);
    sigaction(SIGTSTP, &before, NULL);
    terminal.changed = false;   /* the terminal may have been set differently meanwhile */
    terminal_mode(mode);
    resized = 1;                /* and the screen shows something else */
}

/* The handler of SIGCONT: after SIGSTOP, which nobody can catch, the shell has had the terminal. */
static void
on_continue(int number)
{
    enum mode mode = terminal.mode;

    (void)number;
    if (terminal.changed) {
        terminal.mode = AS_FOUND;
        terminal_mode(mode);
    }
    resized = 1;
}

/* Gives the keys of the terminal that are signals, and the right to read it, to a process group. */
static void
terminal_give(pid_t group)
{
    sigset_t only, before;

    sigemptyset(&only);
    sigaddset(&only, SIGTTOU);  /* which would stop who does not have it */
    sigprocmask(SIG_BLOCK, &only, &before);
    tcsetpgrp(STDIN_FILENO, group);
    sigprocmask(SIG_SETMASK, &before, NULL);
}

/* Returns the columns of the terminal, 0 if they are not known. */
static size_t
terminal_columns(void)
{
    struct winsize size;

    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

/* -- Lines and messages -- */

/* Removes the prompt, the line or the progress from the row of the cursor, or ends that row. */
static void
clear_line(struct client *c)
{
    static const char *const clear[] = {
        [ROW_FREE] = "", [ROW_TEXT] = "\n", [ROW_PROMPT] = "\n", [ROW_PASSWORD] = "\n",
        [ROW_LINE] = "\r\033[J", [ROW_PROGRESS] = "\r\033[K"
    };

    wire_put(&c->screen, clear[c->row], strlen(clear[c->row]));
    c->row = ROW_FREE;
}

/* Prints bytes from the network that end with a line or at least with a whole character. */
static void
print_bytes(struct client *c, struct span bytes)
{
    struct text shown = {NULL, 0, 0}, ascii = {NULL, 0, 0}, *text = &shown;

    if (c->row != ROW_TEXT)
        clear_line(c);
    visible(&shown, bytes);
    if (!c->utf8) {
        visible_ascii(&ascii, text_span(&shown));
        text = &ascii;
    }
    wire_put(&c->screen, text->bytes, text->length);
    if (text->length > 0)
        c->row = text->bytes[text->length - 1] == '\n' ? ROW_FREE : ROW_TEXT;
    text_free(&shown);
    text_free(&ascii);
}

/* Prints a line from the network, of that length and without its end. */
static void
print_status(struct client *c, const char *line, size_t length)
{
    clear_line(c);
    print_bytes(c, (struct span){line, line + length});
    wire_put(&c->screen, "\n", 1);
    c->row = ROW_FREE;
}

/* Prints a line of our own on standard output. */
static void __attribute__((format(printf, 2, 3)))
print_line(struct client *c, const char *format, ...)
{
    struct text line = {NULL, 0, 0};
    va_list arguments;

    va_start(arguments, format);
    text_vprintf(&line, format, arguments);
    va_end(arguments);
    print_status(c, line.bytes, line.length);
    text_free(&line);
}

/* Lets output go on after a signal that ends the session, for two seconds at most. */
static void
limit_output(struct client *c)
{
    struct wire *const wires[] = {&c->screen, &c->errors};

    if (c->screen.error == EINTR)
        c->row = ROW_TEXT;      /* output was lost, so the cursor may be anywhere */
    for (size_t i = 0; i < sizeof wires / sizeof *wires; i++) {
        wires[i]->stop = NULL;
        wires[i]->error = wires[i]->error == EINTR ? 0 : wires[i]->error;
        wires[i]->deadline = wire_clock() + 2000;
    }
}

/* Prints a message on standard error, in a line of its own below what is on the screen. */
static void __attribute__((format(printf, 2, 0)))
print_message(struct client *c, const char *format, va_list arguments)
{
    struct text message = {NULL, 0, 0}, line = {NULL, 0, 0};

    text_vprintf(&message, format, arguments);
    text_printf(&line, "%s: ", program);
    visible(&line, text_span(&message));
    text_puts(&line, "\n");
    if (!c->utf8) {
        text_clear(&message);
        visible_ascii(&message, text_span(&line));
    }
    if (interrupted)
        limit_output(c);
    clear_line(c);
    wire_flush(&c->screen);
    wire_put(&c->errors, c->utf8 ? line.bytes : message.bytes, c->utf8 ? line.length : message.length);
    wire_flush(&c->errors);
    text_free(&message);
    text_free(&line);
}

/* Says something that a person should know. */
static void __attribute__((format(printf, 2, 3)))
warn(struct client *c, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    print_message(c, format, arguments);
    va_end(arguments);
}

/* Says that something failed. The exit status will be 1. */
static void __attribute__((format(printf, 2, 3)))
fail(struct client *c, const char *format, ...)
{
    va_list arguments;

    c->failed = true;
    va_start(arguments, format);
    print_message(c, format, arguments);
    va_end(arguments);
}

/* -- Progress -- */

enum {
    PROGRESS_MS = 500,          /* a command that takes longer shows its progress, */
    PROGRESS_EVERY_MS = 125,    /* not more often than this */
    STALLED_MS = 2000           /* without a byte */
};

/* A command for so many messages begins, of so many octets together, 0: not known. */
static void
progress_begin(struct client *c, size_t messages, uint64_t octets)
{
    int64_t now = wire_clock();

    c->progress = (struct progress){
        .began = now, .moved = now, .expected = octets, .of = messages
    };
}

/* Appends octets of octets, the rate and the time left, or that nothing arrives. */
static void
progress_text(const struct progress *p, int64_t now, struct text *to)
{
    uint64_t spent = (uint64_t)(now - p->began);
    char size[16];

    if (p->of > 1)
        text_printf(to, "%zu of %zu, ", p->messages, p->of);
    size_text((int64_t)p->octets, size, sizeof size);
    text_puts(to, size);
    if (p->expected > 0) {
        size_text((int64_t)p->expected, size, sizeof size);
        text_printf(to, " of %s", size);
    }
    if (now - p->moved >= STALLED_MS) {
        text_puts(to, ", stalled");
        return;
    }
    size_text((int64_t)(p->octets * 1000 / spent), size, sizeof size);
    text_printf(to, ", %s/s", size);
    if (p->expected > p->octets && p->octets > 0) {
        double left = (double)(p->expected - p->octets) / (double)p->octets * (double)spent / 1000;

        if (left < 100 * 3600)
            text_printf(to, ", %d:%02d left", (int)left / 60, (int)left % 60);
    }
}

/*
 * Shows the progress in the row of the cursor, on a terminal, once the command has taken a while.
 * Call it often: it paints now and then. What does not fit the row is cut.
 */
static void
progress_paint(struct client *c)
{
    struct progress *p = &c->progress;
    int64_t now = wire_clock();
    size_t columns = terminal_columns();
    struct text text = {NULL, 0, 0};

    if (!c->editing || p->began == 0 || now - p->began < PROGRESS_MS ||
        now - p->painted < PROGRESS_EVERY_MS)
        return;
    p->painted = now;
    progress_text(p, now, &text);
    if (columns > 0 && text.length >= columns)
        text.length = columns - 1;
    clear_line(c);
    wire_put(&c->screen, text.bytes, text.length);
    wire_flush(&c->screen);
    c->row = ROW_PROGRESS;
    text_free(&text);
}

static void
progress_end(struct client *c)
{
    c->progress.began = 0;
    if (c->row == ROW_PROGRESS)
        clear_line(c);
}

/* -- Old names, until the sections that use them are rewritten -- */

#define tell print_line
#define free_row clear_line
#define show_line print_status

static void
show(struct client *c, struct visible *v, const void *octets, size_t length)
{
    (void)v;
    print_bytes(c, (struct span){octets, (const char *)octets + length});
}

/* ---- 5. The line editor ---------------------------------------------------------------------- */

/*
 * A machine without descriptors: editor_feed() takes one byte from the keyboard and returns a
 * verdict; editor_paint() appends what makes a terminal show the line. So a test can type keys
 * from a string and read the screen from a text.
 *
 *     byte -> character -> escape sequence or paste -> key -> the line -> the screen
 *
 * A line is UTF-8 that may be shown as it is. A hidden one, a password, is any bytes but NUL, CR
 * and LF: it is never painted, so its bytes need not be characters.
 */

enum {
    QUERY_MAX = 128,            /* bytes that a search looks for */
    HISTORY_MAX = 200,          /* lines that are remembered */
    LIST_ROWS = 16,             /* rows of completions that are listed */
    WORD_MAX = 24,              /* bytes of a completion: a command or a number */
    ESCAPE_MS = 60,             /* then an ESC alone is the key of that name */
    SEQUENCE_MS = 500           /* then an escape sequence or a paste that has begun is over */
};

/* Keys: a character of Unicode, including the controls, or a number above the last of them. */
enum key {
    CTRL_A = 1, CTRL_B, CTRL_C, CTRL_D, CTRL_E, CTRL_F, CTRL_G, CTRL_H, TAB, LINE_FEED, CTRL_K,
    CTRL_L, ENTER, CTRL_N, CTRL_P = 16, CTRL_R = 18, CTRL_U = 21, CTRL_W = 23, CTRL_Y = 25, CTRL_Z,
    ESCAPE, BACKSPACE = 127, LAST_CHARACTER = 0x10ffff,
    WORD_LEFT, WORD_RIGHT, KILL_WORD_LEFT, KILL_WORD_RIGHT, DELETE, PASTE, NO_KEY
};

/* What terminals send for keys, after the ESC. A sequence that is not here does nothing. */
static const struct sequence {
    const char *bytes;
    enum key key;
} sequences[] = {
    {"[A", CTRL_P}, {"OA", CTRL_P}, {"[B", CTRL_N}, {"OB", CTRL_N},         /* up, down */
    {"[C", CTRL_F}, {"OC", CTRL_F}, {"[D", CTRL_B}, {"OD", CTRL_B},         /* right, left */
    {"[1;2C", CTRL_F}, {"[1;2D", CTRL_B},                                   /* with Shift */
    {"[H", CTRL_A}, {"OH", CTRL_A}, {"[1~", CTRL_A}, {"[7~", CTRL_A},       /* Home */
    {"[F", CTRL_E}, {"OF", CTRL_E}, {"[4~", CTRL_E}, {"[8~", CTRL_E},       /* End */
    {"[1;5C", WORD_RIGHT}, {"[1;3C", WORD_RIGHT}, {"[5C", WORD_RIGHT},      /* Ctrl or Alt right */
    {"Oc", WORD_RIGHT}, {"\033[C", WORD_RIGHT}, {"f", WORD_RIGHT}, {"F", WORD_RIGHT},
    {"[1;5D", WORD_LEFT}, {"[1;3D", WORD_LEFT}, {"[5D", WORD_LEFT},         /* Ctrl or Alt left */
    {"Od", WORD_LEFT}, {"\033[D", WORD_LEFT}, {"b", WORD_LEFT}, {"B", WORD_LEFT},
    {"[3~", DELETE}, {"[3;5~", KILL_WORD_RIGHT}, {"[3^", KILL_WORD_RIGHT},
    {"d", KILL_WORD_RIGHT}, {"D", KILL_WORD_RIGHT}, {"\177", KILL_WORD_LEFT},
    {"\010", KILL_WORD_LEFT}, {"OM", ENTER}, {"[200~", PASTE},
};

/* What the keyboard asks for. */
enum verdict {
    MORE,                       /* nothing yet */
    LINE,                       /* a line is complete; it stays until editor_start() */
    END,                        /* Ctrl-D in an empty line */
    INTERRUPT,                  /* Ctrl-C */
    SUSPEND                     /* Ctrl-Z: the line stays as it is */
};

/* What Tab can complete beyond the commands of POP3. */
struct completer {
    const struct completer_command {
        const char *name;
        unsigned messages;      /* how many of its arguments may be message numbers */
    } *extra;                   /* one without a name ends them */
    /* Returns the lowest message number above one, 0: none. *octets: its size, -1: unknown. */
    size_t (*next_message)(void *context, size_t above, int64_t *octets);
    void *context;
};

/* What a key did, as far as the next key wants to know. */
enum edit { OTHER_EDIT, KILL, COMPLETION };

struct editor {
    const char *prompt;
    const struct completer *completer;      /* or NULL */
    bool ascii;                 /* the terminal cannot show more */
    bool hidden;                /* the line is a password */
    size_t columns;             /* of the terminal */

    char line[TYPED_MAX + 1];
    size_t length, cursor;      /* the cursor is in front of a character or at the end */
    bool too_long;              /* something did not fit: the line is not what was typed */
    char killed[TYPED_MAX + 1]; /* for Ctrl-Y */
    bool secret;                /* part of a password may be in it */
    enum edit before, now;      /* edit kinds of the last key and of this one */

    char *history[HISTORY_MAX]; /* the oldest first */
    size_t history_count;
    size_t recalled;            /* index of the line that is shown; history_count: a new one */
    char unfinished[TYPED_MAX + 1];     /* the new line while another one is shown */

    bool searching, missed;     /* missed: no line holds the query */
    char query[QUERY_MAX + 1];
    size_t found, match;        /* index of a line and offset in it; history_count: none yet */

    char bytes[5];              /* of a character, as they arrive */
    size_t count;
    bool after_cr;              /* a LF now belongs to that CR */
    char sequence[16];          /* an escape sequence that has begun; a longer one is cut here */
    size_t sequence_length;     /* 0: none */
    bool esc_alone;             /* nothing came after the ESC for ESCAPE_MS */
    bool pasting, discarding;   /* in a paste, in the part after a Ctrl-C */
    size_t paste_end;           /* how much of its end mark has arrived */

    size_t view;                /* the column of the line at the left edge of the screen */
    size_t painted, rows_above; /* column of the cursor; rows above it since a resize */
    bool resized;
    bool bell, clear;           /* to be painted next */
    struct text list;           /* the same: the completions */
};

/* -- Places: where a character begins that takes columns; those that take none belong to it -- */

/* Reads the character at an offset, U+FFFD for an invalid byte. Returns its bytes, 0 at the end. */
static size_t
character_at(const char *line, size_t at, uint32_t *c)
{
    size_t length = strnlen(line + at, 4);
    int bytes = utf8_read((const unsigned char *)line + at, length, c);

    if (bytes > 0 && length > 0)
        return (size_t)bytes;
    *c = 0xfffd;
    return length > 0 ? 1 : 0;
}

static size_t
next_place(const char *line, size_t at)
{
    uint32_t c;
    size_t bytes = character_at(line, at, &c);

    while (bytes > 0) {
        at += bytes;
        bytes = character_at(line, at, &c);
        if (character_columns(c) > 0)
            break;
    }
    return at;
}

static size_t
previous_place(const char *line, size_t at)
{
    uint32_t c = 0;

    while (at > 0) {
        size_t back = 1;

        while (back < 4 && back < at && ((unsigned char)line[at - back] & 0xc0) == 0x80)
            back++;
        if (character_at(line, at - back, &c) != back) {
            back = 1;
            c = 0xfffd;
        }
        at -= back;
        if (character_columns(c) > 0)
            break;
    }
    return at;
}

/* Returns the columns of the character at a place, 0 at the end. */
static size_t
columns_at(const char *line, size_t at)
{
    uint32_t c;

    return character_at(line, at, &c) > 0 ? character_columns(c) : 0;
}

/* Returns the columns from the start of a line to a place. */
static size_t
columns_to(const char *line, size_t to)
{
    size_t columns = 0;

    for (size_t at = 0; at < to; at = next_place(line, at))
        columns += columns_at(line, at);
    return columns;
}

/* -- Changing the line -- */

/* Returns true if a line may hold a password. */
static bool
is_secret(const char *line)
{
    char word[5] = "";

    strncpy(word, line + strspn(line, " \t"), 4);
    return pop3_same_word(word, "PASS");
}

/* Makes the line another one, with the cursor at its end. */
static void
editor_set(struct editor *e, const char *line)
{
    e->length = e->cursor = strlen(line);
    memcpy(e->line, line, e->length + 1);
}

/* Removes what is between two places, or rings the bell if they are the same. */
static void
editor_delete(struct editor *e, size_t from, size_t to)
{
    e->bell = e->bell || from == to;
    memmove(e->line + from, e->line + to, e->length - to + 1);
    e->length -= to - from;
    e->cursor = from;
    e->too_long = e->too_long && e->length > 0;
}

/* The same, kept for Ctrl-Y. Kills in a row are kept together, in the order of the line. */
static void
editor_kill(struct editor *e, size_t from, size_t to)
{
    size_t length = to - from, had = e->before == KILL ? strlen(e->killed) : 0;
    size_t at = from < e->cursor ? 0 : had;

    if (length > 0 && had + length <= TYPED_MAX) {
        memmove(e->killed + at + length, e->killed + at, had - at);
        memcpy(e->killed + at, e->line + from, length);
        e->killed[had + length] = '\0';
    }
    e->secret = e->secret || is_secret(e->line);
    e->now = KILL;
    editor_delete(e, from, to);
}

/* Inserts bytes at the cursor: all of them or, if they do not fit, none. */
static void
editor_insert(struct editor *e, const char *bytes, size_t length)
{
    if (length > TYPED_MAX - e->length) {
        e->bell = e->too_long = true;
        return;
    }
    memmove(e->line + e->cursor + length, e->line + e->cursor, e->length - e->cursor + 1);
    memcpy(e->line + e->cursor, bytes, length);
    e->length += length;
    e->cursor += length;
}

/* Returns true if a character may stand after the first bytes of a line. */
static bool
fits_after(const struct editor *e, uint32_t c, const char *line, size_t at)
{
    uint32_t before = 0;
    size_t start = at;

    do
        start -= start > 0;
    while (start > 0 && ((unsigned char)line[start] & 0xc0) == 0x80);
    character_at(line, start, &before);
    if (c < ' ' || c > LAST_CHARACTER || (e->ascii && c >= 0x80))
        return false;
    return !must_escape(c, at > 0 ? before : 0) && (at > 0 || character_columns(c) > 0);
}

/* Inserts the character that just arrived, if it may be shown. */
static void
editor_type(struct editor *e, uint32_t c)
{
    if (e->hidden || fits_after(e, c, e->line, e->cursor))
        editor_insert(e, e->bytes, strlen(e->bytes));
    else
        e->bell = e->bell || !e->pasting;
}

/* Words are letters, digits and all that is not ASCII; for Ctrl-W all that is not blank. */
static bool
in_word(char c, bool any)
{
    if (any)
        return c != ' ';
    return (c >= '0' && c <= '9') || (pop3_upper(c) >= 'A' && pop3_upper(c) <= 'Z') || (c & 0x80);
}

/* Returns the start of the word before the cursor. */
static size_t
word_left(const struct editor *e, bool any)
{
    size_t at = e->cursor;

    while (at > 0 && !in_word(e->line[previous_place(e->line, at)], any))
        at = previous_place(e->line, at);
    while (at > 0 && in_word(e->line[previous_place(e->line, at)], any))
        at = previous_place(e->line, at);
    return at;
}

/* Returns the end of the word after the cursor. */
static size_t
word_right(const struct editor *e)
{
    size_t at = e->cursor;

    while (at < e->length && !in_word(e->line[at], false))
        at = next_place(e->line, at);
    while (at < e->length && in_word(e->line[at], false))
        at = next_place(e->line, at);
    return at;
}

/* -- History and search -- */

/* Remembers the line, unless it is blank, the last one again, or may hold a password. */
static void
history_add(struct editor *e)
{
    size_t last = e->history_count;
    bool again = last > 0 && strcmp(e->history[last - 1], e->line) == 0;
    char *copy;

    if (e->line[strspn(e->line, " ")] == '\0' || again || e->hidden || is_secret(e->line))
        return;
    if ((copy = strdup(e->line)) == NULL)
        return;
    if (last == HISTORY_MAX) {
        free(e->history[0]);
        memmove(e->history, e->history + 1, --last * sizeof *e->history);
    }
    e->history[last] = copy;
    e->history_count = last + 1;
}

/* Shows a line of the history, or after the last one the new line. */
static void
history_show(struct editor *e, size_t index)
{
    if (index > e->history_count || index == e->recalled) {
        e->bell = true;
        return;
    }
    if (e->recalled == e->history_count)
        memcpy(e->unfinished, e->line, e->length + 1);
    e->recalled = index;
    editor_set(e, index == e->history_count ? e->unfinished : e->history[index]);
}

/*
 * Finds the newest line with the query among the first count lines of the history. The line that
 * is being edited stays as it is until the search is accepted: the screen shows the found one.
 */
static void
search(struct editor *e, size_t count)
{
    size_t length = strlen(e->query);

    e->missed = false;
    if (length == 0) {
        e->found = e->history_count;
        return;
    }
    while (count-- > 0)
        for (const char *line = e->history[count], *at = line; *at != '\0'; at++)
            if (strncasecmp(at, e->query, length) == 0) {
                e->found = count;
                e->match = previous_place(line, next_place(line, (size_t)(at - line)));
                return;
            }
    e->missed = e->bell = true;
}

/* Ends the search. The line becomes the one that was found. */
static void
search_accept(struct editor *e)
{
    e->searching = false;
    if (e->found == e->history_count)
        return;
    if (e->found != e->recalled)
        history_show(e, e->found);
    editor_set(e, e->history[e->found]);
    e->cursor = e->match;
}

/* Obeys a key while searching. Returns false if it ends the search and is for the line. */
static bool
search_key(struct editor *e, uint32_t key)
{
    size_t length = strlen(e->query), more = strlen(e->bytes);

    if (key == CTRL_G || key == ESCAPE || key == PASTE) {
        e->searching = false;   /* the line is as it was; a paste must not join a found one */
        return key != PASTE;
    }
    if (key == CTRL_R) {
        search(e, e->found);
    } else if (key == BACKSPACE || key == CTRL_H) {
        e->query[previous_place(e->query, length)] = '\0';
        e->found = e->history_count;
        search(e, e->history_count);
    } else if (!fits_after(e, key, e->query, length)) {
        search_accept(e);
        return false;
    } else if (length + more > QUERY_MAX) {
        e->bell = true;
    } else {
        memcpy(e->query + length, e->bytes, more + 1);
        search(e, e->found < e->history_count ? e->found + 1 : e->found);
    }
    return true;
}

/* -- Completion -- */

/* The word before the cursor and what could complete it. */
struct completion {
    const char *prefix;
    size_t length;
    size_t count;
    char common[WORD_MAX];      /* the start that all have in common */
    struct text cells;          /* each as the list shows it, with a NUL; the first ones only */
    size_t cell_count, cell_most, widest;
};

/* Takes a word into account, if it begins with the prefix in any case. octets -1: no size. */
static void
completion_offer(struct completion *k, const char *word, int64_t octets)
{
    size_t same = 0, start = k->cells.length;
    char size[16];

    if (strncasecmp(word, k->prefix, k->length) != 0)
        return;
    if (k->count++ == 0)
        snprintf(k->common, sizeof k->common, "%s", word);
    while (k->common[same] != '\0' && k->common[same] == word[same])
        same++;
    k->common[same] = '\0';
    if (k->cell_count == k->cell_most)
        return;
    k->cell_count++;
    size_text(octets, size, sizeof size);
    text_printf(&k->cells, octets < 0 ? "%s" : "%s (%s)", word, size);
    if (k->cells.length - start > k->widest)
        k->widest = k->cells.length - start;
    text_add(&k->cells, "", 1);
}

/* Returns the n-th command, one without a name after the last. RETR and DELE take several. */
static struct completer_command
command_at(const struct editor *e, size_t n)
{
    if (n < POP3_VERBS) {
        const struct pop3_command *c = &pop3_commands[n];
        unsigned several = c->min == 1 && c->max == 1 ? UINT_MAX : 1;

        return (struct completer_command){c->name, c->on_message ? several : 0};
    }
    if (e->completer == NULL || e->completer->extra == NULL)
        return (struct completer_command){NULL, 0};
    return e->completer->extra[n - POP3_VERBS];
}

/* Offers all commands, in small letters if the prefix ends in one. */
static void
offer_commands(const struct editor *e, struct completion *k)
{
    char last = k->length > 0 ? k->prefix[k->length - 1] : 'A', word[WORD_MAX];

    for (size_t n = 0; command_at(e, n).name != NULL; n++) {
        snprintf(word, sizeof word, "%s", command_at(e, n).name);
        for (char *s = word; last >= 'a' && last <= 'z' && *s != '\0'; s++)
            *s = (char)(*s >= 'A' && *s <= 'Z' ? *s - 'A' + 'a' : *s);
        completion_offer(k, word, -1);
    }
}

/*
 * Offers the numbers of messages if the word at an offset, which is not the first one, may be one.
 * After a dash only what follows it is completed.
 */
static void
offer_messages(const struct editor *e, struct completion *k, size_t start)
{
    size_t first = strspn(e->line, " "), arguments = 0;
    size_t length = strcspn(e->line + first, " ");
    char word[WORD_MAX];
    struct completer_command command;
    int64_t octets = -1;

    snprintf(word, sizeof word, "%.*s", (int)(length < WORD_MAX ? length : 0), e->line + first);
    for (size_t at = first; at + 1 < start; at++)
        arguments += e->line[at] == ' ' && e->line[at + 1] != ' ';
    for (size_t n = 0; (command = command_at(e, n)).name != NULL; n++)
        if (pop3_same_word(word, command.name))
            break;
    if (command.name == NULL || arguments >= command.messages || e->completer == NULL)
        return;
    for (size_t i = 0; i < k->length; i++)
        if (k->prefix[i] == '-') {
            k->prefix += i + 1;
            k->length -= i + 1;
            i = SIZE_MAX;       /* from the start of what is left */
        }
    for (size_t n = 0; (n = e->completer->next_message(e->completer->context, n, &octets)) > 0;) {
        snprintf(word, sizeof word, "%zu", n);
        completion_offer(k, word, octets);
    }
}

/* Lays out the completions in columns, to be painted above the line, and counts the rest. */
static void
editor_list(struct editor *e, const struct completion *k)
{
    size_t width = e->columns - 1, widest = k->widest < width ? k->widest : width;
    size_t across = (width + 2) / (widest + 2) > 0 ? (width + 2) / (widest + 2) : 1, n = 0;
    size_t most = across * LIST_ROWS;

    for (const char *cell = k->cells.bytes; n < k->cell_count && n < most; n++) {
        bool last = (n + 1) % across == 0 || n + 1 == k->cell_count;

        text_printf(&e->list, "%-*.*s%s", last ? 0 : (int)widest, (int)width, cell,
                    last ? "\r\n" : "  ");
        cell += strlen(cell) + 1;
    }
    if (k->count > n) {
        char more[32];

        snprintf(more, sizeof more, "%zu more", k->count - n);
        text_printf(&e->list, "%.*s\r\n", (int)width, more);
    }
}

/* Tab: adds what all completions have in common, after the only one a blank. Twice: lists them. */
static void
editor_complete(struct editor *e)
{
    struct completion k = {.cell_most = e->before == COMPLETION ? LIST_ROWS * e->columns : 0};
    size_t start = e->cursor;
    bool blank;                 /* follows the cursor; one with an accent on it does not count */

    while (start > 0 && e->line[start - 1] != ' ')
        start--;
    k.prefix = e->line + start;
    k.length = e->cursor - start;
    if (start > strspn(e->line, " "))
        offer_messages(e, &k, start);
    else
        offer_commands(e, &k);

    size_t more = strlen(k.common) > k.length ? strlen(k.common) - k.length : 0;
    blank = e->line[e->cursor] == ' ' && next_place(e->line, e->cursor) == e->cursor + 1;
    if (k.count > 1 && e->before == COMPLETION)
        editor_list(e, &k);
    e->bell = e->bell || (k.count != 1 && more == 0);
    editor_insert(e, k.common + strlen(k.common) - more, more);
    if (k.count == 1 && blank)
        e->cursor++;
    else if (k.count == 1)
        editor_insert(e, " ", 1);
    e->now = COMPLETION;
    text_free(&k.cells);
}

/* -- Painting -- */

/*
 * The line has one row of the screen, whatever its length: the part around the cursor is shown,
 * with < or > where there is more. So nothing has to be counted or cleaned up when lines grow. The
 * last column stays free, because terminals differ in what they do after it. All that is sent
 * besides text, CR, LF and BEL:
 *
 *     ESC [ K     erase to the end of the row         ESC [ n C   move n columns to the right
 *     ESC [ J     erase to the end of the screen      ESC [ n A   move n rows up
 *     ESC [ H ESC [ 2 J       go to the first row and erase the screen
 */

/* Appends an escape sequence with a number, or nothing for 0. */
static void
paint_move(struct text *to, size_t count, char direction)
{
    if (count > 0)
        text_printf(to, "\033[%zu%c", count, direction);
}

static void
paint_blanks(struct text *to, size_t from, size_t until)
{
    for (; from < until; from++)
        text_puts(to, " ");
}

/*
 * Appends the part of a line that is in view, in a field of so many columns (at least 1). First
 * moves the view so that the cursor and the character under it are in it. Returns the columns
 * painted.
 */
static size_t
paint_field(struct editor *e, struct text *to, const char *line, size_t cursor, size_t field)
{
    size_t total = columns_to(line, strlen(line)), edge = field >= 6 ? 1 : 0;
    size_t at_cursor = columns_to(line, cursor), under = columns_at(line, cursor);

    if (total <= field)
        e->view = 0;
    else if (at_cursor < e->view + (e->view > 0 ? edge : 0) ||
             at_cursor + under > e->view + field - (total > e->view + field ? edge : 0)) {
        size_t before = under > 0 ? (field - 1) / 2 : field - field / 4;

        e->view = at_cursor > before ? at_cursor - before : 0;
    }

    bool less = edge > 0 && e->view > 0, more = edge > 0 && total > e->view + field;
    size_t left = e->view + less, right = e->view + field - more, column = 0, done = left, width;

    text_puts(to, less ? "<" : "");
    for (size_t at = 0; line[at] != '\0'; at = next_place(line, at), column += width) {
        width = columns_at(line, at);
        if (column >= left && column + width <= right) {
            paint_blanks(to, done, column);     /* where half of a wide character is cut off */
            text_add(to, line + at, next_place(line, at) - at);
            done = column + width;
        }
    }
    if (more) {
        paint_blanks(to, done, right);
        text_puts(to, ">");
        done = right + 1;
    }
    return done - e->view;
}

/* Appends the prompt, shortened or left out on a narrow screen. Returns its columns. */
static size_t
paint_prompt(const struct editor *e, struct text *to)
{
    size_t width = e->columns - 1, start = to->length;

    if (e->searching)
        text_printf(to, "%s '%s': ", e->missed ? "no" : "search", e->query);
    else
        text_puts(to, e->prompt);
    if (width < columns_to(to->bytes, to->length) - columns_to(to->bytes, start) + 12) {
        to->length = start;
        text_puts(to, width < 6 ? "" : e->searching ? "? " : "> ");
    }
    return span_columns((struct span){to->bytes + start, to->bytes + to->length});
}

/* Returns the line that is to be seen, and the place of the cursor in it. */
static const char *
editor_shown(const struct editor *e, size_t *cursor)
{
    bool found = e->searching && e->found < e->history_count;

    *cursor = found ? e->match : e->cursor;
    return found ? e->history[e->found] : e->line;
}

/* Appends what shows the line as it is now, in the row of the cursor. */
static void
editor_paint(struct editor *e, struct text *to)
{
    size_t cursor;
    const char *line = editor_shown(e, &cursor);

    text_puts(to, "\r");
    paint_move(to, e->rows_above, 'A');
    if (e->resized || e->list.length > 0)
        text_puts(to, "\033[J");
    text_puts(to, e->clear ? "\033[H\033[2J" : "");
    text_add(to, e->list.length > 0 ? e->list.bytes : "", e->list.length);

    size_t start = paint_prompt(e, to);
    size_t end = start + paint_field(e, to, line, cursor, e->columns - 1 - start);
    text_puts(to, "\033[K");
    e->painted = start + columns_to(line, cursor) - e->view;
    if (e->painted != end) {
        text_puts(to, "\r");
        paint_move(to, e->painted, 'C');
    }
    text_puts(to, e->bell ? "\a" : "");
    e->rows_above = 0;
    e->resized = e->bell = e->clear = false;
    text_clear(&e->list);
}

/* Appends what leaves the whole line on the screen, with something behind it, for good. */
static void
editor_finish(struct editor *e, const char *behind, struct text *to)
{
    text_puts(to, "\r");
    paint_move(to, e->rows_above, 'A');
    text_puts(to, "\033[J");
    e->searching = false;
    paint_prompt(e, to);
    text_printf(to, "%s%s\r\n", is_secret(e->line) ? "PASS ***" : e->line, behind);
}

/* The terminal has so many columns now, 0 if that is not known. The line must be painted again. */
static void
editor_resize(struct editor *e, size_t columns)
{
    e->columns = columns == 0 ? 80 : columns < 2 ? 2 : columns;
    e->rows_above = e->painted / e->columns;    /* a terminal may have wrapped what it shows */
    e->resized = true;
    e->view = 0;
}

/* -- Keys -- */

/* Begins a new line. Of a line with a password nothing stays in memory. */
static void
editor_start(struct editor *e, bool hidden)
{
    if (e->secret || e->hidden || is_secret(e->line))
        memset(e->killed, 0, sizeof e->killed);
    memset(e->line, 0, sizeof e->line);
    memset(e->unfinished, 0, sizeof e->unfinished);
    memset(e->query, 0, sizeof e->query);
    memset(e->bytes, 0, sizeof e->bytes);
    e->length = e->cursor = e->view = e->painted = e->rows_above = 0;
    e->too_long = e->secret = e->searching = e->bell = false;
    e->before = OTHER_EDIT;
    e->hidden = hidden;
    e->recalled = e->history_count;
    text_clear(&e->list);
}

/* Obeys a key. */
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
    case WORD_LEFT:         e->cursor = word_left(e, false); break;
    case WORD_RIGHT:        e->cursor = word_right(e); break;

    case BACKSPACE:
    case CTRL_H:            editor_delete(e, previous_place(line, at), at); break;
    case DELETE:            editor_delete(e, at, next_place(line, at)); break;
    case CTRL_K:            editor_kill(e, at, end); break;
    case CTRL_U:            editor_kill(e, 0, at); break;
    case CTRL_W:            editor_kill(e, word_left(e, true), at); break;
    case KILL_WORD_LEFT:    editor_kill(e, word_left(e, false), at); break;
    case KILL_WORD_RIGHT:   editor_kill(e, at, word_right(e)); break;
    case CTRL_Y:            editor_insert(e, e->killed, strlen(e->killed)); break;

    case CTRL_P:            history_show(e, e->recalled - 1); break;
    case CTRL_N:            history_show(e, e->recalled + 1); break;
    case CTRL_R:
        e->searching = true;
        e->missed = false;
        e->query[0] = '\0';
        e->found = e->history_count;
        break;
    case TAB:               editor_complete(e); break;
    case CTRL_L:            e->clear = true; break;
    case PASTE:             e->pasting = true; break;

    case LINE_FEED:
    case ENTER:
        if (!e->too_long)
            history_add(e);
        return LINE;
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

/* Obeys a key in a password: what does not end or erase it is part of it. */
static enum verdict
hidden_key(struct editor *e, uint32_t key)
{
    static const uint32_t keys[] = {
        LINE_FEED, ENTER, CTRL_C, CTRL_D, CTRL_H, BACKSPACE, CTRL_U, CTRL_Z, PASTE
    };

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (keys[i] == key)
            return editor_key(e, key);
    if (key == (unsigned char)e->bytes[0])      /* it was a byte, not a sequence */
        editor_type(e, key);
    return MORE;
}

/* Gives one key to the password, the search or the line. */
static enum verdict
editor_press(struct editor *e, uint32_t key)
{
    enum verdict verdict = MORE;

    e->now = OTHER_EDIT;
    text_clear(&e->list);
    if (e->hidden)
        verdict = hidden_key(e, key);
    else if (e->too_long && (key == CTRL_P || key == CTRL_N || key == CTRL_R))
        e->bell = true;         /* the line would come back as if it were complete */
    else if (!e->searching || !search_key(e, key))
        verdict = editor_key(e, key);
    e->before = e->now;
    return verdict;
}

/*
 * Takes a character that is an ESC or follows one. Returns the key that it completes, or NO_KEY.
 * A control character ends every sequence and is a key itself. (ECMA-48, 5.4 and 5.6)
 */
static uint32_t
sequence_key(struct editor *e, uint32_t c)
{
    size_t length = e->sequence_length;
    char kind = e->sequence[1];
    bool string = length > 1 && strchr("]PX^_", kind) != NULL;      /* OSC, DCS and the like */

    if (c == ESCAPE) {          /* an ESC before an arrow is Alt for some terminals */
        e->sequence_length = length == 1 ? 2 : 1;
        memcpy(e->sequence, "\033\033", 3);
        e->esc_alone = false;
        return NO_KEY;
    }
    e->sequence_length = 0;
    if (length == 1 && e->esc_alone && c != '[' && c != 'O')
        return c;
    if (c < ' ' && (c != CTRL_H || length > 1))
        return string && c == CTRL_G ? NO_KEY : c;

    size_t at = length < sizeof e->sequence - 1 ? length : length - 1;
    e->sequence[at] = (char)(c < 0x80 ? c : '?');
    e->sequence[at + 1] = '\0';
    bool lead = length == 1 || (length == 2 && kind == ESCAPE);
    bool console = length == 2 && kind == '[' && c == '[';          /* ESC [ [ A is a F1 */
    if (string || console || (lead ? strchr("[O]PX^_", e->sequence[at]) != NULL : c < '@')) {
        e->sequence_length = at + 1;
        return NO_KEY;
    }
    for (size_t i = 0; i < sizeof sequences / sizeof *sequences; i++)
        if (strcmp(sequences[i].bytes, e->sequence + 1) == 0)
            return sequences[i].key;
    return NO_KEY;
}

/*
 * Takes a character of a paste: text, a line end, or part of the mark that ends it. TAB becomes a
 * blank, other control characters are dropped. Ctrl-C discards the rest of the paste.
 */
static enum verdict
editor_paste(struct editor *e, uint32_t c)
{
    static const char mark[] = "\033[201~";
    size_t came = e->paste_end;

    if (c == (unsigned char)mark[came]) {
        e->paste_end = came + 1;
        if (mark[came + 1] == '\0') {
            e->pasting = e->discarding = false;
            e->paste_end = 0;
        }
        return MORE;
    }
    e->paste_end = c == ESCAPE ? 1 : 0;
    if (e->discarding)
        return MORE;
    if (c == CTRL_C) {
        e->discarding = true;
        return INTERRUPT;
    }
    if (came > 1)               /* what looked like the mark was text, except the ESC */
        editor_insert(e, mark + 1, came - 1);
    if (c == ENTER || c == LINE_FEED)
        return editor_press(e, c);
    if (c == TAB && !e->hidden)
        editor_insert(e, " ", 1);
    else if (c != ESCAPE)
        editor_type(e, c);
    return MORE;
}

/*
 * Takes a byte. Returns true, with *c set and its bytes in e->bytes, if it completes a character.
 * In a password each byte is one.
 */
static bool
assemble(struct editor *e, unsigned char byte, uint32_t *c)
{
    if (e->count > 0 && (e->hidden || (byte & 0xc0) != 0x80)) {
        e->bell = true;
        e->count = 0;
    }
    e->bytes[e->count++] = (char)byte;
    e->bytes[e->count] = '\0';
    *c = byte;

    int bytes = e->hidden ? 1 : utf8_read((unsigned char *)e->bytes, e->count, c);
    if (bytes < 0)
        return false;
    e->count = 0;
    e->bell = e->bell || bytes == 0;
    return bytes > 0 && *c != 0;
}

/* Takes one byte from the keyboard. */
static enum verdict
editor_feed(struct editor *e, unsigned char byte)
{
    uint32_t c;

    if (!assemble(e, byte, &c))
        return MORE;
    bool second_half = c == LINE_FEED && e->after_cr;
    e->after_cr = c == ENTER;
    if (second_half)
        return MORE;
    if (e->pasting)
        return editor_paste(e, c);
    if (c == ESCAPE || e->sequence_length > 0)
        c = sequence_key(e, c);
    return c == NO_KEY ? MORE : editor_press(e, c);
}

/* Returns how long to wait for the next byte, in milliseconds, before editor_timeout() is due. */
static int64_t
editor_patience(const struct editor *e)
{
    if (e->sequence_length == 1 && !e->esc_alone)
        return ESCAPE_MS;
    return e->sequence_length > 0 || e->pasting ? SEQUENCE_MS : WAIT_FOREVER;
}

/*
 * Nothing came for so long. An ESC alone is a key, although what follows may still turn out to be
 * the rest of a slow sequence. Anything else that has begun is over: marks get lost, too.
 */
static void
editor_timeout(struct editor *e)
{
    if (e->sequence_length == 1 && !e->esc_alone) {
        e->esc_alone = true;
        editor_press(e, ESCAPE);
        return;
    }
    e->sequence_length = e->paste_end = 0;
    e->pasting = e->discarding = false;
}

/* Initializes an editor, whatever it contains. The prompt and the completer are not copied. */
static void
editor_init(struct editor *e, const char *prompt, const struct completer *completer)
{
    memset(e, 0, sizeof *e);
    e->prompt = prompt;
    e->completer = completer;
    editor_resize(e, 0);
    editor_start(e, false);
}

/* ---- 7. Saving ------------------------------------------------------------------------------- */

static void
saving_fail(struct saving *s)
{
    if (s->error == 0)
        s->error = errno != 0 ? errno : EIO;
}

/* Has the name of a directory written to disk, which its parent holds. Returns false with errno set. */
static bool
sync_parent(int directory)
{
    int parent = openat(directory, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC), error;
    bool synced;

    if (parent < 0) {           /* it may be written to and not read: then all that there is */
#ifdef SYS_syncfs
        return errno == EACCES && syscall(SYS_syncfs, directory) == 0;
#else
        return errno == EACCES;
#endif
    }
    synced = fsync(parent) == 0 || errno == EINVAL || errno == ENOTSUP;
    error = errno;
    close(parent);
    errno = error;
    return synced;
}

/*
 * Opens the directory for messages, made if it is not there. One that was made is on disk, or made again the
 * next time. Returns -1, with errno set, when it cannot be had.
 */
static int
open_directory(const char *path)
{
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), error;

    if (directory >= 0 || errno != ENOENT || (mkdir(path, S_IRWXU) != 0 && errno != EEXIST))
        return directory;
    directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory >= 0 && sync_parent(directory))
        return directory;

    error = errno;
    rmdir(path);
    if (directory >= 0)
        close(directory);
    errno = error;
    return -1;
}

/*
 * Opens a file under a hidden name in a directory, which open_directory() has just returned or which holds
 * another message already. Failures, the directory's included, wait in s->error.
 */
static void
save_begin(struct saving *s, int directory, uint32_t number)
{
    *s = (struct saving){.number = number, .directory = directory, .file = -1};
    for (int i = 0; directory >= 0 && s->file < 0 && i < 100; i++) {
        snprintf(s->temporary, sizeof s->temporary, ".%" PRIu32 ".%ld-%d", number, (long)getpid(), i);
        s->file = openat(directory, s->temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                         S_IRUSR | S_IWUSR);
        if (s->file < 0 && errno != EEXIST)
            break;
    }
    if (s->file < 0) {
        s->temporary[0] = '\0';
        saving_fail(s);
    }
}

/* Writes octets. After an error it does nothing, so that the rest of the message is read all the same. */
static void
take_to_file(void *to, const unsigned char *octets, size_t length)
{
    struct saving *s = to;

    while (length > 0 && s->error == 0) {
        ssize_t count = write(s->file, octets, length);

        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0) {
            saving_fail(s);
            return;
        }
        octets += count;
        length -= (size_t)count;
    }
}

/* Says whether a file of the directory holds what this one does. */
static bool
same_content(int directory, const char *name, int file)
{
    int other = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    char a[16 * 1024], b[sizeof a];
    struct stat ours, theirs;
    off_t offset = 0;
    bool same = false;

    if (other >= 0 && fstat(other, &theirs) == 0 && fstat(file, &ours) == 0)
        same = S_ISREG(theirs.st_mode) && ours.st_size == theirs.st_size;
    while (same && offset < ours.st_size) {
        ssize_t count = pread(file, a, sizeof a, offset);

        same = count > 0 && pread(other, b, (size_t)count, offset) == count && memcmp(a, b, (size_t)count) == 0;
        offset += count;
    }
    same = same && fsync(other) == 0;   /* whoever put it there: it is about to be called saved */
    if (other >= 0)
        close(other);
    return same;
}

/* Gives a file another name, which must be free. Returns as link() does. */
static int
link_as(int directory, const char *from, const char *to)
{
    if (linkat(directory, from, directory, to, 0) == 0)
        return 0;
#ifdef SYS_renameat2
    /* FAT and the like have no links, but can rename without overwriting. */
    if (errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS)
        return (int)syscall(SYS_renameat2, directory, from, directory, to, 1U /* RENAME_NOREPLACE */);
#endif
    return -1;
}

/* Gives a complete message its name: the first free one of n.eml, n-1.eml ..., unless one before holds the same. */
static void
save_name(struct saving *s)
{
    for (uint32_t i = 0; s->error == 0; i++) {
        if (i == 0)
            snprintf(s->name, sizeof s->name, "%" PRIu32 ".eml", s->number);
        else
            snprintf(s->name, sizeof s->name, "%" PRIu32 "-%" PRIu32 ".eml", s->number, i);
        if (link_as(s->directory, s->temporary, s->name) == 0)
            return;
        if (errno != EEXIST)
            saving_fail(s);
        else if (same_content(s->directory, s->name, s->file)) {
            s->had_it = true;
            return;
        }
    }
}

/*
 * Saves complete messages in one directory: their octets are on disk before any of them has its name, and the
 * names before this returns. One with an error then, in its s->error, is not saved, and nothing is left of it.
 */
static void
save_end(struct saving *list, size_t count)
{
    struct saving *end = list + count;
    bool any = false;

    for (struct saving *s = list; s < end; s++)
        if (s->error == 0 && fsync(s->file) != 0)
            saving_fail(s);
    for (struct saving *s = list; s < end; s++) {
        save_name(s);
        if (s->temporary[0] != '\0')
            unlinkat(s->directory, s->temporary, 0);
        any = any || s->error == 0;
    }
    if (any && fsync(list->directory) != 0 && errno != EINVAL && errno != ENOTSUP) {
        int error = errno;

        for (struct saving *s = list; s < end; s++) {
            if (s->error == 0 && !s->had_it)
                unlinkat(s->directory, s->name, 0);
            errno = error;
            saving_fail(s);
        }
    }
    for (struct saving *s = list; s < end; s++)
        if (s->file >= 0 && close(s->file) != 0)
            saving_fail(s);
}

/*
 * Tells what became of a message. One with fewer octets than the server said is saved too, but not taken for
 * whole: there are servers that do not stuff a dot at the very start of a message, which ends it there.
 */
static void
tell_saved(struct client *c, const struct saving *s)
{
    const char *directory = c->settings->directory;
    size_t known = numbers_find(&c->there, s->number);
    int64_t listed = c->listed && known < c->there.count && c->there.list[known].number == s->number ?
                     c->there.list[known].octets : -1;
    uint64_t said = s->octets;

    if (s->status != NULL)
        show_line(c, s->status, strlen(s->status));
    if (s->error != 0) {
        fail(c, "message %" PRIu32 " is not saved: %s: %s; -d names another directory", s->number, directory,
             strerror(s->error));
        return;
    }
    *(s->had_it ? &c->tally.had : &c->tally.done) += 1;
    c->tally.octets += s->octets;
    tell(c, "%s %s/%s (%" PRIu64 " octets)", s->had_it ? "already saved as" : "saved", directory, s->name, s->octets);
    if (s->announced[0] != '\0' && !pop3_number(s->announced, UINT64_MAX, &said))
        said = UINT64_MAX;
    if (said <= s->octets)
        numbers_drop(&c->unsaved, s->number);
    if (said > s->octets)
        fail(c, "the server said that message %" PRIu32 " has %s octets: some may be missing", s->number, s->announced);
    else if (said < s->octets)
        warn(c, "the server said that message %" PRIu32 " has %s octets", s->number, s->announced);
    else if (s->announced[0] == '\0' && listed >= 0 && (uint64_t)listed != s->octets)
        warn(c, "the server listed message %" PRIu32 " with %" PRId64 " octets", s->number, listed);
}

/* Closes the directory, which is opened again when it is needed. */
static void
save_close(struct client *c)
{
    if (c->received.directory >= 0)
        close(c->received.directory);
    c->received.directory = -1;
}

/*
 * Saves the messages that came whole, and tells what became of them.
 *
 * An fsync() waits for the disk, and two for each message wait longer than all else takes. For several files
 * one syncfs() writes everything out at once, and then each fsync() has next to nothing left to do. It stays:
 * not every file system and kernel does with syncfs() what it says, or tells of an error there.
 */
static void
save_received(struct client *c)
{
    struct savings *r = &c->received;

    if (r->count == 0)
        return;
#ifdef SYS_syncfs
    if (r->count >= SYNCFS_LEAST && !r->busy) {
        int64_t began = wire_clock();

        syscall(SYS_syncfs, (long)r->directory);
        r->busy = wire_clock() - began > SYNCFS_MS;
    }
#endif
    save_end(r->list, r->count);
    if (interrupted)
        limit_output(c);
    for (size_t i = 0; i < r->count; i++) {
        tell_saved(c, &r->list[i]);
        free(r->list[i].status);
    }
    r->count = 0;
    r->octets = 0;
}

/* Begins to save a message, together with those that wait for it. */
static void
save_another(struct client *c, struct saving *s, uint32_t number)
{
    struct savings *r = &c->received;

    if (r->count == 0) {
        struct rlimit files;

        save_close(c);
        r->directory = open_directory(c->settings->directory);
        r->most = getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur / 4 < SAVE_TOGETHER ?
                  (size_t)files.rlim_cur / 4 : SAVE_TOGETHER;
    }
    save_begin(s, r->directory, number);
}

/* ---- 6. The server --------------------------------------------------------------------------- */

/* Ends a session that broke, and says why. Only QUIT removes mail: without it the marks are worth nothing. */
static void
lost(struct client *c)
{
    const char *why = strerror(c->server.error > 0 ? c->server.error : 0);
    const char *mail = "nothing was removed";

    if (c->over)
        return;
    c->over = true;
    save_received(c);           /* what came whole before is as good as ever */
    if (c->screen.error == WIRE_CLOSED)
        why = "nobody reads what is shown";
    else if (c->screen.error != 0 && c->screen.error != EINTR)
        why = strerror(c->screen.error);
    else if (c->server.error == WIRE_CLOSED || c->server.error == ECONNRESET)
        why = "the server closed the connection";
    else if (c->server.error == ETIMEDOUT)
        why = c->quitting ? "the server does not answer QUIT" : "the server does not answer";
    else if (c->server.error == EINTR)
        why = "broken off";
    else if (c->server.error == EPROTO)
        why = "what answers there does not speak POP3";
    else if (c->server.error == EBADMSG)
        why = "the server says what was not asked for";
    if (c->quitting && c->marked.count > 0)
        mail = "it did not say whether it removed the marked messages";
    fail(c, "%s; %s", why, mail);
}

/* Returns a socket that is connected to the host's first address that answers, or -1, having said why. */
static int
connect_to(struct client *c, const struct addrinfo *addresses)
{
    const int on = 1;
    int error = 0;

    for (const struct addrinfo *a = addresses; a != NULL && !interrupted; a = a->ai_next) {
        socklen_t size = sizeof error;
        int fd = socket(a->ai_family, a->ai_socktype, a->ai_protocol);

        error = errno;
        if (fd < 0)
            continue;
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        fcntl(fd, F_SETFL, O_NONBLOCK);
        c->server.error = 0;
        error = connect(fd, a->ai_addr, a->ai_addrlen) == 0 ? 0 : errno;
        if (error == EINPROGRESS) {
            c->server.idle_ms = CONNECT_SECONDS * 1000;
            if (!wire_wait(&c->server, fd, true))
                error = c->server.error;
            else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
                error = errno;
        }
        if (error == 0) {
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            return fd;
        }
        close(fd);
    }
    fail(c, "cannot connect to %s port %s: %s%s", c->settings->host, c->settings->port,
         interrupted ? "broken off" : strerror(error),
         error == ECONNREFUSED ? "; does the server run, and on this port?" : "");
    return -1;
}

/*
 * Runs the command of -x with pipes for its standard input and output. ^C is the client's business, so the
 * command does not get that signal; all else is for it as it was for the client. Returns false, having said
 * why, when it cannot be started.
 */
static bool
run_command(struct client *c, int *in, int *out)
{
    int to[2], from[2];

    if (pipe(to) != 0 || pipe(from) != 0 || (c->child = fork()) < 0) {
        c->child = 0;
        fail(c, "cannot run %s: %s", c->settings->command, strerror(errno));
        return false;
    }
    if (c->child == 0) {
        dup2(to[0], STDIN_FILENO);
        dup2(from[1], STDOUT_FILENO);
        for (int i = 0; i < 2; i++) {
            close(to[i]);
            close(from[i]);
        }
        signal(SIGINT, SIG_IGN);
        signal(SIGQUIT, SIG_IGN);
        signal(SIGPIPE, SIG_DFL);
        signal(SIGXFSZ, SIG_DFL);
        sigprocmask(SIG_SETMASK, &c->mask, NULL);
        execl("/bin/sh", "sh", "-c", c->settings->command, (char *)NULL);
        fprintf(stderr, "client: /bin/sh: %s\n", strerror(errno));
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    fcntl(to[1], F_SETFD, FD_CLOEXEC);
    fcntl(from[0], F_SETFD, FD_CLOEXEC);
    *in = from[0];
    *out = to[1];
    return true;
}

/* Waits for the command of -x to end, with more than patience if need be, and reports how it ended. */
static void
end_command(struct client *c)
{
    static const int force[] = {0, SIGTERM, SIGKILL};
    int status = 0;
    pid_t ended = 0;

    for (size_t i = 0; i < sizeof force / sizeof *force && ended == 0; i++) {
        int64_t limit = wire_clock() + (interrupted ? 1 : CHILD_SECONDS) * 1000, left;

        if (force[i] != 0) {
            fail(c, "%s does not end, and is told to", c->settings->command);
            kill(c->child, force[i]);
        }
        while ((ended = waitpid(c->child, &status, WNOHANG)) == 0 && (left = limit - wire_clock()) > 0) {
            wait_ready(NULL, 0, false, left, &c->mask);
        }
    }
    c->child = 0;
    if (ended > 0 && WIFSIGNALED(status))
        fail(c, "%s was ended by signal %d", c->settings->command, WTERMSIG(status));
    else if (ended > 0 && WEXITSTATUS(status) != 0)
        fail(c, "%s ended with status %d", c->settings->command, WEXITSTATUS(status));
}

/* Sends one command line, of that length, without its end. */
static void
send_line(struct client *c, const char *line, size_t length)
{
    wire_put(&c->server, line, length);
    wire_put(&c->server, "\r\n", 2);
    c->spoke = wire_clock();
}

/* Says whether a status line begins with this status, alone or with a blank behind it. */
static bool
has_status(const char *line, const char *status)
{
    size_t length = strlen(status);

    return strncmp(line, status, length) == 0 && (line[length] == '\0' || line[length] == ' ');
}

/*
 * Before it is waited for the server: what waits for the screen is written, and messages that wait to be saved
 * are, unless more comes soon.
 */
static void
before_waiting(struct client *c)
{
    if (c->received.count > 0) {
        int64_t left = c->received.since + SAVE_MS - wire_clock();

        if (left <= 0 || wait_ready(&c->server.in, 1, false, left, &c->mask) <= 0)
            save_received(c);
    }
    wire_flush(&c->screen);
}

/* Which status lines are shown as they come. */
enum which { NONE, EVERY, ALL_BUT_OK };

/*
 * Reads the status line that answers a command, keeps it in c->status, and shows it as it came. Returns
 * whether it was +OK. Anything else goes into the exit status. With "+ " a server asks for more (RFC 5034);
 * what is no status line at all ends the session.
 */
static bool
get_status(struct client *c, enum which which)
{
    char *line;
    size_t length;
    enum wire_line got;

    do {
        if (c->server.in_start == c->server.in_end)
            before_waiting(c);
        got = wire_line(&c->server, sizeof c->status, &line, &length);
    } while (got == WIRE_LINE && c->noops > 0 && c->noops-- > 0);   /* of its own the client says nothing */
    if (got == WIRE_NO_LINE) {
        lost(c);
        return false;
    }
    if (got == WIRE_LINE) {
        memcpy(c->status, line, length + 1);
        bool ok = has_status(line, "+OK");

        if (!ok)
            save_received(c);   /* it stands behind what is told of those */
        if (which == EVERY || (which == ALL_BUT_OK && !ok))
            show_line(c, c->status, length);
        if (ok)
            return true;
        c->failed = true;
        if (has_status(line, "-ERR") || has_status(line, "+"))
            return false;
    }
    wire_fail(&c->server, EPROTO);
    lost(c);
    return false;
}

/*
 * Reads the lines behind a status line, to the lone dot, and hands their octets to take in pieces, with LF
 * as the line end. Returns false, having said why, when they do not come whole.
 */
static bool
get_body(struct client *c, struct pop3_unstuffer *u, void (*take)(void *to, const unsigned char *octets, size_t length),
         void *to)
{
    struct wire *w = &c->server;
    unsigned char text[WIRE_INPUT + 1];

    while (u->at != UNSTUFF_END) {
        size_t made;

        if (w->in_start == w->in_end) {
            before_waiting(c);
            if (!wire_fill(w)) {
                lost(c);
                return false;
            }
        }
        uint64_t before = u->octets;
        w->in_start += pop3_unstuff(u, w->input + w->in_start, w->in_end - w->in_start, text, &made);
        take(to, text, made);
        c->progress.octets += u->octets - before;
        c->progress.moved = wire_clock();
        progress_paint(c);
    }
    return true;
}

/* What a body is shown with. */
struct shown {
    struct client *client;
    struct visible visible;
};

static void
take_to_screen(void *to, const unsigned char *octets, size_t length)
{
    struct shown *shown = to;

    show(shown->client, &shown->visible, octets, length);
}

/* Shows the lines behind a status line. */
static void
show_body(struct client *c)
{
    struct pop3_unstuffer u = {.octets = 0};
    struct shown shown = {.client = c};

    get_body(c, &u, take_to_screen, &shown);
}

/*
 * Shows what the server says without having been asked, and whether it has gone. Waits for nothing. A person
 * can judge what that was; a script's next command might take it for its answer, so there it is the end, but
 * for the -ERR with which a server takes its leave.
 */
static void
hear_server(struct client *c)
{
    char *line;
    size_t length;

    for (int i = 0; i < 2 && c->server.error == 0; i++) {       /* one read, or one that talks on is never left */
        while (memchr(c->server.input + c->server.in_start, '\n', c->server.in_end - c->server.in_start) != NULL) {
            if (wire_line(&c->server, sizeof c->status, &line, &length) != WIRE_LINE ||
                (c->noops > 0 && c->noops-- > 0))
                continue;
            show_line(c, line, length);
            if (!c->at_terminal && !has_status(line, "-ERR"))
                wire_fail(&c->server, EBADMSG);
        }
        if (i == 0 && (wait_ready(&c->server.in, 1, false, 0, NULL) <= 0 || !wire_fill(&c->server)))
            break;
    }
    if (c->server.error != 0)
        lost(c);
}

/* Ends the connection, from the client's side or after the server's, and the command of -x with it. */
static void
hang_up(struct client *c)
{
    close(c->server.in);
    if (c->server.out != c->server.in)
        close(c->server.out);
    if (c->child > 0)
        end_command(c);
}

/* ---- 8. Reading a message -------------------------------------------------------------------- */

/*
 * Whoever finds a mistake in what reads from the network has what this program has. So it gives up what it
 * will not need, by means of the system that cannot be taken back. Where a system or a compiler's headers lack
 * some of it, there is less of that, and nothing else changes.
 *
 *   - The process that decodes a message for SHOW reads files, for charsets, and writes to one pipe. It has no
 *     other open file; no files of its own, sockets, programs or processes; bounded memory and time.
 *   - A client that takes its commands from a script gives up programs, new sockets and connections, and all
 *     files but those where messages are saved and where SHOW has its temporary ones.
 *   - One at a terminal keeps all this: the pager is the person's own program, may be any, may be told to save
 *     the page or to run a shell, and has only what its parent has.
 *   - None leaves a core file, with mail and a password in it.
 */

#ifdef CONFINES

/* The kinds of access to files that Landlock knows, by the version that brought them; reading is not among them. */
enum {
    TO_RUN = 1 << 0, TO_WRITE = 1 << 1, TO_REMOVE = 1 << 5, TO_MAKE_DIRECTORY = 1 << 7, TO_MAKE = 1 << 8,
    TO_CHANGE = TO_RUN | TO_WRITE | (0x1ff << 4),       /* any of the first version */
    TO_MOVE = 1 << 13,          /* 2: between directories */
    TO_CUT = 1 << 14,           /* 3 */
    TO_BIND_AND_CONNECT = 3     /* 4: by TCP */
};

/* What may be done all the same, below a directory. */
struct granted {
    const char *path;
    uint64_t access;
};

/* Gives up all change of files and all TCP, but for what is granted. The list ends with a path of NULL. */
static void
give_up_files(const struct granted *granted)
{
    struct { uint64_t files, network; } all = {TO_CHANGE, 0};
    int version = (int)syscall(SYS_landlock_create_ruleset, NULL, 0L, (long)LANDLOCK_CREATE_RULESET_VERSION), rules;

    if (version < 1)
        return;
    all.files |= (version >= 2 ? TO_MOVE : 0) | (version >= 3 ? TO_CUT : 0);
    all.network = version >= 4 ? TO_BIND_AND_CONNECT : 0;
    rules = (int)syscall(SYS_landlock_create_ruleset, &all, version >= 4 ? sizeof all : sizeof all.files, 0L);
    for (; rules >= 0 && granted->path != NULL; granted++) {
        struct landlock_path_beneath_attr below = {.allowed_access = granted->access & all.files};

        below.parent_fd = open(granted->path, O_PATH | O_CLOEXEC);
        if (below.parent_fd >= 0) {
            syscall(SYS_landlock_add_rule, (long)rules, (long)LANDLOCK_RULE_PATH_BENEATH, &below, 0L);
            close(below.parent_fd);
        }
    }
    if (rules >= 0) {
        syscall(SYS_landlock_restrict_self, (long)rules, 0L);
        close(rules);
    }
}

/*
 * Filters of system calls, as the small programs that the kernel runs before each: take the call's number, go
 * through the list, and let it be done or fail as a call that the kernel does not have. With such a one every
 * C library knows how to live; a filter that kills would kill after an innocent update of one, too.
 */
#define TAKE(what) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, what))
#define LET BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define REFUSE BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS)
#define UNLESS(value, count) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(value), 0, count)  /* skip so many */
#define UNLESS_ANY(bits, count) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (uint32_t)(bits), 0, count)
#define LET_CALL(number) UNLESS(number, 1), LET
#define REFUSE_CALL(number) UNLESS(number, 1), REFUSE
#define LET_CALL_WITHOUT(number, n, bits) UNLESS(number, 4), TAKE(args[n]), UNLESS_ANY(bits, 1), REFUSE, LET

/* Of another architecture, or the second one that a 64-bit x86 has, there are no calls. */
#define TAKE_NUMBER TAKE(arch), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0), REFUSE, \
    TAKE(nr), UNLESS_ANY(0x40000000, 1), REFUSE

/* Gives up the calls that a filter refuses. */
static void
give_up_calls(const struct sock_filter *filter, size_t count)
{
    const struct sock_fprog program = {.len = (unsigned short)count, .filter = (struct sock_filter *)(uintptr_t)filter};

    prctl(PR_SET_SECCOMP, (long)SECCOMP_MODE_FILTER, &program);
}
#endif

/* What a client needs no more when it talks to its server and no person will want a pager. */
static void
give_up_for_script(const char *directory)
{
#ifdef CONFINES
    static const struct sock_filter calls[] = {
        TAKE_NUMBER,
        REFUSE_CALL(SYS_socket), REFUSE_CALL(SYS_connect), REFUSE_CALL(SYS_execve), REFUSE_CALL(SYS_execveat),
        REFUSE_CALL(SYS_process_vm_writev),
#ifdef SYS_io_uring_setup
        REFUSE_CALL(SYS_io_uring_setup),
#endif
        LET
    };
    const uint64_t files = TO_WRITE | TO_MAKE | TO_REMOVE | TO_CUT;
    char parent[PATH_MAX];
    struct granted granted[] = {{directory, files}, {P_tmpdir, files}, {NULL, 0}};

    if (access(directory, F_OK) != 0) {         /* it will be made: where it will be, all that is one's own */
        const char *slash = strrchr(directory, '/');

        snprintf(parent, sizeof parent, "%.*s", slash != NULL ? (int)(slash - directory) + 1 : 1,
                 slash != NULL ? directory : ".");
        granted[0] = (struct granted){parent, files | TO_MAKE_DIRECTORY};
    }
    prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L);
    give_up_files(granted);
    give_up_calls(calls, sizeof calls / sizeof *calls);
#else
    (void)directory;
#endif
}

enum {
    DISPLAY_SECONDS = 120,      /* of a processor's time for one message */
    DISPLAY_MEMORY = 256 * 1024 * 1024
};

/* What the process needs no more that reads a message at descriptor 0 and writes a page to 1. */
static void
give_up_for_display(void)
{
    const struct rlimit none = {0, 0};
#if defined CONFINES && !defined SANITIZED
    static const struct sock_filter calls[] = {
        TAKE_NUMBER,
        LET_CALL_WITHOUT(SYS_openat, 2, O_ACCMODE | O_CREAT | O_TRUNC),
#ifdef SYS_open
        LET_CALL_WITHOUT(SYS_open, 1, O_ACCMODE | O_CREAT | O_TRUNC),
#endif
        LET_CALL(SYS_read), LET_CALL(SYS_readv), LET_CALL(SYS_pread64), LET_CALL(SYS_lseek), LET_CALL(SYS_close),
        LET_CALL(SYS_write), LET_CALL(SYS_writev),      /* what is open by now may be written to: the page */
        LET_CALL(SYS_fstat), LET_CALL(SYS_newfstatat), LET_CALL(SYS_statx), LET_CALL(SYS_readlinkat),
        LET_CALL(SYS_faccessat), LET_CALL(SYS_getdents64),
        LET_CALL_WITHOUT(SYS_fcntl, 1, ~7u),            /* none behind F_SETLKW: a pipe can have anybody signalled */
        LET_CALL(SYS_brk), LET_CALL(SYS_mmap), LET_CALL(SYS_munmap), LET_CALL(SYS_mprotect), LET_CALL(SYS_mremap),
        LET_CALL(SYS_madvise), LET_CALL(SYS_futex), LET_CALL(SYS_sched_yield), LET_CALL(SYS_getrandom),
        LET_CALL(SYS_getpid), LET_CALL(SYS_gettid), LET_CALL(SYS_clock_gettime), LET_CALL(SYS_sigaltstack),
        LET_CALL(SYS_rt_sigaction), LET_CALL(SYS_rt_sigprocmask), LET_CALL(SYS_rt_sigreturn),
        LET_CALL(SYS_exit), LET_CALL(SYS_exit_group),
        REFUSE
    };
#endif
#ifdef CONFINES
    static const struct granted nothing = {NULL, 0};

    prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L);
    give_up_files(&nothing);
#endif
#ifdef SANITIZED                /* a sanitizer has memory and makes calls of its own, and something to say */
    const int first = STDERR_FILENO + 1;
#else
    const int first = STDERR_FILENO;
#endif
    int more = -1;
#ifdef SYS_close_range
    more = (int)syscall(SYS_close_range, (long)first, (long)UINT_MAX, 0L);
#endif
    for (int fd = first; more != 0 && fd < 1024; fd++)
        close(fd);
    setrlimit(RLIMIT_CORE, &none);
    setrlimit(RLIMIT_FSIZE, &none);
#ifdef RLIMIT_NPROC
    setrlimit(RLIMIT_NPROC, &none);
#endif
    setrlimit(RLIMIT_CPU, &(struct rlimit){DISPLAY_SECONDS, DISPLAY_SECONDS});
#ifndef SANITIZED
    setrlimit(RLIMIT_DATA, &(struct rlimit){DISPLAY_MEMORY, DISPLAY_MEMORY});
#ifdef CONFINES
    give_up_calls(calls, sizeof calls / sizeof *calls);
#endif
#endif
}


/*
 * A message lies in a file and may have any size and any content; what it says about itself may be wrong or
 * a trap. So it is read twice. The first time only finds out where its parts begin and end, and keeps a
 * short list of them. Then it is settled which of them a person wants to see, and these are read again, from
 * the file to the page in small blocks:
 *
 *     octets -> transfer decoding -> charset -> (HTML) -> visible text -> lines that fit -> the terminal
 *
 * Told from the end to the beginning: a stage calls only what stands above it. Memory does not depend on
 * the message. Where a limit cuts something short, the page says so.
 */
enum {
    SHOW_BLOCK = 32 * 1024,     /* octets read at once; a longer line comes in pieces */
    SHOW_FIELD = 8 * 1024,      /* octets of a header field that are looked at */
    SHOW_PARTS = 250,           /* parts of a message that are told apart */
    SHOW_DEPTH = 20,            /* how deep they may lie in each other */
    SHOW_BARS = 4,              /* at most so many bars mark a message that lies in others */
    SHOW_COLUMNS = 500          /* the widest page */
};

/* Says whether two texts begin with the same so many letters in either case, whatever the locale. */
static bool
same_start(const char *a, const char *b, size_t length)
{
    for (; length > 0; a++, b++, length--) {
        char x = *a >= 'A' && *a <= 'Z' ? (char)(*a - 'A' + 'a') : *a;
        char y = *b >= 'A' && *b <= 'Z' ? (char)(*b - 'A' + 'a') : *b;

        if (x != y)
            return false;
        if (x == '\0')
            return true;
    }
    return true;
}

/* -- The page: lines that fit -- */

enum page_text_kind { TEXT_FIXED, TEXT_FLOWED, TEXT_FLOWED_DELSP };     /* RFC 3676 */

/*
 * Text arrives in any pieces and leaves as words, put on lines that fit. A line begins with what marks its
 * kind, quote signs, blanks, a list's dash: so much of it is collected first, and the lines it wraps to
 * begin likewise. A word wider than the page, an address most often, is never broken: it can be copied.
 */
struct page {
    FILE *out;
    size_t columns;             /* 0: lines are as long as they are */
    unsigned bars;              /* before each line: how deep this message lies in others */
    enum page_text_kind kind;

    struct visible visible;
    char head[256];             /* how the line from the message begins */
    size_t head_length;
    bool in_line;               /* the head was looked at; what follows are words */
    size_t quotes;              /* flowed: its quote signs */
    bool flowing;               /* flowed: the line before goes on in this one */
    bool signature;             /* flowed: this line is the "-- " before a signature, which does not */

    bool started;               /* something stands on the line of the page, */
    size_t column;              /* up to here, */
    size_t indent;              /* words from here on, */
    bool glued;                 /* and its last word goes on */
    bool after_wide;            /* the word to come ends in a character that a line may break behind */
    bool begun;                 /* the page has a line */
    uint64_t empty;             /* empty lines to write before the next text, if one follows */
    unsigned empty_bars;        /* and the bars before them */
    char prefix[SHOW_COLUMNS];  /* what a continuation line begins with */
    size_t prefix_length;
    char blanks[SHOW_COLUMNS];  /* between the last word and the next */
    size_t blanks_length;
    char word[4 * SHOW_COLUMNS];
    size_t word_length, word_columns;
};

/* Says whether going on makes sense: the page can be written. */
static bool
page_open(const struct page *p)
{
    return !ferror(p->out);
}

/* Writes visible text, whole characters, to the page. Everything that gets there comes this way. */
static void
page_write(struct page *p, const char *text, size_t length)
{
    fwrite(text, 1, length, p->out);
}

/* Returns the column at which a visible text ends that begins at another one. */
static size_t
columns_after(size_t column, const char *text, size_t length)
{
    for (size_t i = 0; i < length; ) {
        uint32_t c = 0;
        int size = utf8_read((const unsigned char *)text + i, length - i, &c);

        column = c == '\t' ? (column | 7) + 1 : column + columns_of(c);
        i += size > 0 ? (size_t)size : 1;
    }
    return column;
}

/* Begins a line: the empty ones before it, and bars. No page begins or ends with an empty line. */
static void
page_begin(struct page *p)
{
    static const char bars[] = "| | | | ";
    unsigned before = p->empty_bars < p->bars ? p->empty_bars : p->bars;

    for (; p->empty > 0 && page_open(p); p->empty--) {
        page_write(p, bars, before > 0 ? 2 * before - 1 : 0);
        page_write(p, "\n", 1);
    }
    page_write(p, bars, 2 * p->bars);
    p->column = p->indent = 2 * p->bars;
    p->started = p->begun = true;
}

/* Adds to the line, without looking for its end. */
static void
page_add(struct page *p, const char *text, size_t length)
{
    if (!p->started && length > 0)
        page_begin(p);
    page_write(p, text, length);
    p->column = columns_after(p->column, text, length);
}

static void
page_newline(struct page *p)
{
    if (p->started)
        page_write(p, "\n", 1);
    else if (p->begun)
        p->empty++;
    p->empty_bars = p->bars;
    p->started = p->glued = false;
    p->blanks_length = 0;
}

/* Puts the word that was collected, and the blanks before it, on this line or on the next. */
static void
page_word(struct page *p)
{
    if (p->word_length == 0)
        return;

    size_t start = p->started ? p->column : 2 * p->bars;
    size_t after = columns_after(start, p->blanks, p->blanks_length) + p->word_columns;
    if (p->columns == 0 || p->glued || after <= p->columns) {
        page_add(p, p->blanks, p->blanks_length);
    } else if (p->started && p->column > p->indent) {
        page_newline(p);
        page_add(p, p->prefix, p->prefix_length);
        p->indent = p->column;
    }
    if (!p->started)
        page_begin(p);
    page_write(p, p->word, p->word_length);
    p->column += p->word_columns;
    p->word_length = p->word_columns = p->blanks_length = 0;
    p->glued = false;
}

/* Characters that do not begin a line where lines break between characters: Japanese and Chinese. */
static bool
stays_behind(uint32_t c)
{
    static const uint32_t closing[] = {0x3001, 0x3002, 0x3009, 0x300b, 0x300d, 0x300f, 0x3011, 0x30fc,
        0xff01, 0xff09, 0xff0c, 0xff0e, 0xff1a, 0xff1b, 0xff1f, ')', ']', '.', ',', ';', ':', '!', '?'};

    for (size_t i = 0; i < sizeof closing / sizeof *closing; i++)
        if (c == closing[i])
            return true;
    return columns_of(c) == 0;
}

/* Takes one visible character of a line behind its head. */
static void
page_character(struct page *p, uint32_t c, const char *text, size_t size)
{
    if (c == ' ' || c == '\t') {
        page_word(p);
        p->glued = p->after_wide = false;
        if (p->blanks_length == sizeof p->blanks && p->columns == 0) {
            page_add(p, p->blanks, p->blanks_length);
            p->blanks_length = 0;
        }
        if (p->blanks_length < sizeof p->blanks)    /* more are wider than any page */
            p->blanks[p->blanks_length++] = (char)c;
        return;
    }

    unsigned wide = columns_of(c);
    if ((wide == 2 || p->after_wide) && !stays_behind(c)) {
        page_word(p);
        p->glued = false;
    }
    p->after_wide = wide == 2 || (p->after_wide && stays_behind(c));
    if (p->word_length + size > sizeof p->word || (p->columns > 0 && p->word_columns > p->columns)) {
        page_word(p);
        p->glued = true;
    }
    memcpy(p->word + p->word_length, text, size);
    p->word_length += size;
    p->word_columns += wide;
}

/* Returns the octets of a quote at the start of a line: "> > ", ">>"; and of the blanks behind it. */
static size_t
quote_length(const char *line, size_t length)
{
    size_t i = 0, quote = 0;

    for (; i < length && (line[i] == '>' || (line[i] == ' ' && (i == 0 || line[i - 1] == '>'))); i++)
        if (line[i] == '>')
            quote = i + 1;
    if (quote == 0)
        i = 0;
    while (i < length && is_blank(line[i]))
        i++;
    return i;
}

/* Returns the octets of a list's sign: "* ", "- ", "12. "; 0 when there is none. */
static size_t
list_length(const char *line, size_t length)
{
    size_t sign = 0;

    while (sign < length && sign < 3 && line[sign] >= '0' && line[sign] <= '9')
        sign++;
    if (sign < length && (sign > 0 ? line[sign] == '.' : line[sign] == '*' || line[sign] == '-'))
        return sign + 1 < length && line[sign + 1] == ' ' ? sign + 2 : 0;
    return 0;
}

/* Begins the lines of the page as a line of the message begins, if that leaves room for its words. */
static size_t
page_prefix(struct page *p, const char *line, size_t length)
{
    size_t quote = quote_length(line, length), list = list_length(line + quote, length - quote);
    size_t room = p->columns > 0 ? p->columns / 2 : SHOW_COLUMNS;

    p->prefix_length = 0;
    if (quote + list > sizeof p->prefix || columns_after(0, line, quote + list) > room)
        return 0;
    memcpy(p->prefix, line, quote);
    memset(p->prefix + quote, ' ', list);
    p->prefix_length = quote + list;
    if (quote < length) {
        page_add(p, line, quote + list);
        p->indent = p->column;
        return quote + list;
    }
    return 0;
}

/*
 * Flowed text: settles at the beginning of a line whether it goes on where the last one ended. Returns what
 * of the line is text of its own; *joined says that the line of the page is to go on with it.
 */
static const char *
page_flow(struct page *p, const char *line, size_t length, bool *joined)
{
    size_t quotes = 0;

    while (quotes < length && line[quotes] == '>')
        quotes++;

    size_t stuffing = quotes < length && line[quotes] == ' ' ? 1 : 0;
    const char *text = line + quotes + stuffing;
    size_t text_length = length - quotes - stuffing;
    p->signature = text_length == 3 && memcmp(text, "-- ", 3) == 0;
    *joined = p->flowing && quotes == p->quotes && !p->signature && text_length > 0;
    if (*joined)
        p->blanks_length -= p->kind == TEXT_FLOWED_DELSP;
    else if (p->flowing)
        page_newline(p);
    p->flowing = false;
    p->quotes = quotes;
    return *joined || quotes == 0 ? text : line;
}

/* Takes the collected beginning of a line: what it is, and what it makes of the line before. */
static void
page_head(struct page *p)
{
    const char *line = p->head, *end = p->head + p->head_length;
    bool joined = false;

    p->in_line = true;
    p->after_wide = false;
    p->head_length = 0;
    if (p->kind != TEXT_FIXED)
        line = page_flow(p, line, (size_t)(end - line), &joined);
    if (!joined)
        line += page_prefix(p, line, (size_t)(end - line));
    while (line < end) {
        uint32_t c = 0;
        int size = utf8_read((const unsigned char *)line, (size_t)(end - line), &c);

        page_character(p, c, line, (size_t)size);
        line += size;
    }
}

/* Takes a LF. */
static void
page_line_end(struct page *p)
{
    if (!p->in_line)
        page_head(p);
    page_word(p);
    p->in_line = false;
    p->flowing = p->kind != TEXT_FIXED && !p->signature && p->blanks_length > 0
        && p->blanks[p->blanks_length - 1] == ' ';
    if (p->columns == 0 && !p->flowing && p->blanks_length > 0)
        page_add(p, p->blanks, p->blanks_length);
    if (!p->flowing)
        page_newline(p);
}

/* Takes text that visible_text made. */
static void
page_visible(struct page *p, const char *text, size_t length)
{
    for (size_t i = 0; i < length; ) {
        uint32_t c = 0;
        size_t size = (size_t)utf8_read((const unsigned char *)text + i, length - i, &c);

        if (c == '\n') {
            page_line_end(p);
        } else if (p->in_line) {
            page_character(p, c, text + i, size);
        } else {
            memcpy(p->head + p->head_length, text + i, size);
            p->head_length += size;
            if (p->head_length + 4 > sizeof p->head)
                page_head(p);
        }
        i += size;
    }
}

/* Takes text in UTF-8, from whatever source. */
static void
page_text(struct page *p, const char *text, size_t length)
{
    char out[VISIBLE_ROOM(1024)];

    for (size_t part; length > 0; text += part, length -= part) {
        part = length < 1024 ? length : 1024;
        page_visible(p, out, visible_text(&p->visible, text, part, out));
    }
}

static void
page_string(struct page *p, const char *text)
{
    page_text(p, text, strlen(text));
}

/* Ends a text, and its last line if that has no end. */
static void
page_text_end(struct page *p)
{
    char out[VISIBLE_ROOM(0)];

    page_visible(p, out, visible_end(&p->visible, out));
    if (p->in_line || p->head_length > 0)
        page_line_end(p);
    if (p->flowing || p->started)
        page_newline(p);
    p->flowing = false;
    p->kind = TEXT_FIXED;
}

/* Leaves one line empty before the next text, and no more. */
static void
page_gap(struct page *p)
{
    p->empty = p->begun;
}

/* Begins a field, whose lines stand below each other behind its name. */
static void
page_field(struct page *p, const char *name)
{
    enum { INDENT = 10 };

    memset(p->prefix, ' ', INDENT);
    p->prefix_length = INDENT;
    page_add(p, name, strlen(name));
    page_add(p, ":", 1);
    page_add(p, p->prefix, INDENT - strlen(name) - 1);
    p->indent = p->column;
    p->in_line = true;
}

/* Takes text for a field: on one line, however it came. */
static void
page_field_text(struct page *p, const char *text)
{
    while (*text != '\0') {
        size_t blanks = strspn(text, " \t\r\n"), plain = strcspn(text + blanks, " \t\r\n");

        if (blanks > 0 && plain > 0)
            page_string(p, " ");
        page_text(p, text + blanks, plain);
        text += blanks + plain;
    }
}

/* Says something of our own, in brackets. */
__attribute__((format(printf, 2, 3)))
static void
page_note(struct page *p, const char *format, ...)
{
    char text[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    page_gap(p);
    page_string(p, "[");
    page_field_text(p, text);
    page_string(p, "]");
    page_text_end(p);
}

/* -- HTML as text -- */

/*
 * Not a browser: tags become line ends, signs and addresses, and all else is dropped. It gets visible text,
 * so characters come whole, and what it makes goes to the page as any other text does.
 */
enum { HTML_TAG_MAX = 4000, HTML_LISTS = 8, HTML_LINK = 2000 };

struct html {
    struct page *page;
    enum { HTML_TEXT, HTML_ENTITY, HTML_TAG, HTML_COMMENT, HTML_HIDDEN } state;
    char tag[HTML_TAG_MAX + 1]; /* what stood between < and > so far */
    size_t tag_length;
    char quote;                 /* the quote that is open in the tag */
    bool value;                 /* a quote now would be one */
    char hidden[12];            /* the element whose content is dropped until its end tag */
    unsigned dashes;            /* in a row, in a comment */
    char entity[12];
    size_t entity_length;

    unsigned lists, quotes, preformatted;   /* how many are open */
    unsigned number[HTML_LISTS];    /* of the next item, 0 in a list without numbers */
    char marker[8];             /* the sign of an item that has no text yet */
    bool begun;                 /* there was a text */
    unsigned newlines;          /* to write before the next text */
    bool in_line, blank, cell;  /* text stands on this line; a blank or the end of a cell came behind it */
    char link[HTML_LINK];       /* the address of the link that is open */
    char linked[HTML_LINK];     /* its text without blanks */
    size_t linked_length;

    char out[1024];
    size_t out_length;
};

static const struct { char name[8]; uint16_t c; } html_entities[] = {
    {"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}, {"OElig", 338}, {"oelig", 339},
    {"Scaron", 352}, {"scaron", 353}, {"Yuml", 376}, {"ensp", ' '}, {"emsp", ' '}, {"thinsp", ' '},
    {"zwnj", 0x200c}, {"zwj", 0x200d}, {"ndash", 0x2013}, {"mdash", 0x2014}, {"lsquo", 0x2018},
    {"rsquo", 0x2019}, {"sbquo", 0x201a}, {"ldquo", 0x201c}, {"rdquo", 0x201d}, {"bdquo", 0x201e},
    {"bull", 0x2022}, {"hellip", 0x2026}, {"prime", 0x2032}, {"lsaquo", 0x2039}, {"rsaquo", 0x203a},
    {"euro", 0x20ac}, {"trade", 0x2122}, {"larr", 0x2190}, {"uarr", 0x2191}, {"rarr", 0x2192},
    {"darr", 0x2193}, {"minus", 0x2212}, {"ne", 0x2260}, {"le", 0x2264}, {"ge", 0x2265}, {"check", 0x2713},
};

/* The names of U+00A0 to U+00FF. */
static const char html_latin[][7] = {
    "nbsp", "iexcl", "cent", "pound", "curren", "yen", "brvbar", "sect", "uml", "copy", "ordf", "laquo",
    "not", "shy", "reg", "macr", "deg", "plusmn", "sup2", "sup3", "acute", "micro", "para", "middot",
    "cedil", "sup1", "ordm", "raquo", "frac14", "frac12", "frac34", "iquest", "Agrave", "Aacute", "Acirc",
    "Atilde", "Auml", "Aring", "AElig", "Ccedil", "Egrave", "Eacute", "Ecirc", "Euml", "Igrave", "Iacute",
    "Icirc", "Iuml", "ETH", "Ntilde", "Ograve", "Oacute", "Ocirc", "Otilde", "Ouml", "times", "Oslash",
    "Ugrave", "Uacute", "Ucirc", "Uuml", "Yacute", "THORN", "szlig", "agrave", "aacute", "acirc", "atilde",
    "auml", "aring", "aelig", "ccedil", "egrave", "eacute", "ecirc", "euml", "igrave", "iacute", "icirc",
    "iuml", "eth", "ntilde", "ograve", "oacute", "ocirc", "otilde", "ouml", "divide", "oslash", "ugrave",
    "uacute", "ucirc", "uuml", "yacute", "thorn", "yuml",
};

/* What &#128; to &#159; mean in practice: the octets of windows-1252. */
static const uint16_t html_windows[32] = {
    0x20ac, 0x81, 0x201a, 0x192, 0x201e, 0x2026, 0x2020, 0x2021, 0x2c6, 0x2030, 0x160, 0x2039, 0x152, 0x8d,
    0x17d, 0x8f, 0x90, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x2dc, 0x2122, 0x161, 0x203a,
    0x153, 0x9d, 0x17e, 0x178,
};

/* Tags that end a line (1), or leave an empty one (2). */
static const struct { char name[12]; unsigned char newlines; } html_blocks[] = {
    {"p", 2}, {"h1", 2}, {"h2", 2}, {"h3", 2}, {"h4", 2}, {"h5", 2}, {"h6", 2}, {"blockquote", 2}, {"pre", 2},
    {"dl", 2}, {"div", 1}, {"tr", 1}, {"table", 1}, {"li", 1}, {"dt", 1}, {"dd", 1}, {"hr", 1},
    {"center", 1}, {"section", 1}, {"article", 1}, {"header", 1}, {"footer", 1}, {"address", 1},
    {"caption", 1}, {"form", 1}, {"fieldset", 1}, {"title", 1}, {"body", 1}, {"option", 1},
};

/* Elements whose content is no text. */
static const char html_dropped[][12] = {
    "script", "style", "title", "iframe", "noframes", "noembed", "template",
};

/* Returns the character that an entity, without & and ;, stands for; 0 when it is none. */
static uint32_t
html_entity(const char *name)
{
    if (name[0] == '#') {
        bool hex = name[1] == 'x' || name[1] == 'X';
        char *end;
        unsigned long c = strtoul(name + 1 + hex, &end, hex ? 16 : 10);

        if (*end != '\0' || end == name + 1 + hex || strchr("+- \t\n", name[1 + hex]) != NULL)
            return 0;
        if (c >= 0x80 && c <= 0x9f)
            return html_windows[c - 0x80];
        return c == 0 || c > 0x10ffff ? 0xfffd : (uint32_t)c;
    }
    for (size_t i = 0; i < sizeof html_entities / sizeof *html_entities; i++)
        if (strcmp(name, html_entities[i].name) == 0)
            return html_entities[i].c;
    for (uint32_t i = 0; i < sizeof html_latin / sizeof *html_latin; i++)
        if (strcmp(name, html_latin[i]) == 0)
            return 0xa0 + i;
    return 0;
}

static void
html_flush(struct html *h)
{
    page_text(h->page, h->out, h->out_length);
    h->out_length = 0;
}

static void
html_put(struct html *h, const char *text, size_t length)
{
    if (length > sizeof h->out - h->out_length)
        html_flush(h);
    memcpy(h->out + h->out_length, text, length);
    h->out_length += length;
}

/* Asks for at least so many line ends before the next text. */
static void
html_break(struct html *h, unsigned newlines)
{
    if (h->newlines < newlines)
        h->newlines = newlines;
    h->blank = h->cell = false;
}

/* Writes what is due before a text: line ends, quote signs, the sign of a list's item, a blank. */
static void
html_before_text(struct html *h)
{
    for (; h->newlines > 0; h->newlines--)
        if (h->begun)
            html_put(h, "\n", 1);
    h->begun = true;
    if (!h->in_line) {
        unsigned quotes = h->quotes < 8 ? h->quotes : 8, lists = h->lists < HTML_LISTS ? h->lists : HTML_LISTS;

        for (unsigned i = 0; i < quotes; i++)
            html_put(h, "> ", 2);
        for (unsigned i = 1; i < lists + (h->marker[0] == '\0' && lists > 0); i++)
            html_put(h, "  ", 2);
        html_put(h, h->marker, strlen(h->marker));
        h->marker[0] = '\0';
    } else if (h->cell) {
        html_put(h, " | ", 3);
    } else if (h->blank) {
        html_put(h, " ", 1);
    }
    h->in_line = true;
    h->blank = h->cell = false;
}

/* Takes one character of the text. Blanks in a row are one; a shape that none can see needs company. */
static void
html_character(struct html *h, uint32_t c)
{
    char text[4];
    size_t size = utf8_write(c, text);
    bool blank = c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == 0xa0;

    if (h->newlines > 0)
        h->in_line = false;
    if (h->preformatted > 0 && c == '\n') {
        h->newlines += h->newlines < 2;
    } else if (blank && h->preformatted > 0) {
        html_before_text(h);
        html_put(h, c == '\t' ? "\t" : " ", 1);
    } else if (blank) {
        h->blank = true;
    } else if (columns_of(c) > 0 || deceives(c) || (h->in_line && !h->blank)) {
        html_before_text(h);
        html_put(h, text, size);
        for (size_t i = 0; h->link[0] != '\0' && i < size && h->linked_length + 1 < sizeof h->linked; i++)
            h->linked[h->linked_length++] = text[i];
    }
}

static void
html_string(struct html *h, const char *text)
{
    size_t length = strlen(text);

    for (size_t i = 0; i < length; ) {
        uint32_t c = 0xfffd;
        int size = utf8_read((const unsigned char *)text + i, length - i, &c);

        html_character(h, c);
        i += size > 0 ? (size_t)size : 1;
    }
}

/* Copies the value of an attribute, its entities decoded, cut at the room. */
static void
html_value(const char *value, size_t length, char *out, size_t room)
{
    size_t made = 0;

    for (size_t i = 0; i < length && made + 5 < room; ) {
        char entity[12] = "";
        size_t size = value[i] == '&' ? strcspn(value + i, ";") : 0;

        if (size > 1 && size <= sizeof entity && i + size < length)
            snprintf(entity, sizeof entity, "%.*s", (int)size - 1, value + i + 1);

        uint32_t c = html_entity(entity);
        if (c != 0) {
            made += utf8_write(c, out + made);
            i += size + 1;
        } else {
            out[made++] = value[i++];
        }
    }
    out[made] = '\0';
}

/*
 * Finds an attribute of the tag that was read and copies its value, entities decoded. Returns false, and ""
 * in out, when it has none.
 */
static bool
html_attribute(const struct html *h, const char *name, char *out, size_t room)
{
    static const char blanks[] = " \t\r\n\f";
    const char *at = h->tag + strcspn(h->tag, " \t\r\n\f/");

    for (out[0] = '\0'; *(at += strspn(at, " \t\r\n\f/")) != '\0'; ) {
        size_t length = strcspn(at, " \t\r\n\f/=");
        bool found = length == strlen(name) && same_start(at, name, length);

        at += length > 0 ? length : 1;
        at += strspn(at, blanks);
        if (*at != '=')
            continue;
        at++;
        at += strspn(at, blanks);

        char quote[] = {*at, '\0'};
        bool quoted = *at == '"' || *at == '\'';
        at += quoted;
        length = strcspn(at, quoted ? quote : blanks);
        if (found) {
            html_value(at, length, out, room);
            return true;
        }
        at += length;
        at += quoted && *at != '\0';
    }
    return false;
}

/* Returns an address without what nearly all have, and in *length its octets, to compare it with a text. */
static const char *
html_bare_address(const char *address, size_t *length)
{
    static const char *const schemes[] = {"http://", "https://", "mailto:"};

    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        if (same_start(address, schemes[i], strlen(schemes[i]))) {
            address += strlen(schemes[i]);
            break;
        }
    *length = strlen(address);
    *length -= *length > 0 && address[*length - 1] == '/';
    return address;
}

/* Ends a link that has a text: its address follows, if that is another. */
static void
html_link_end(struct html *h)
{
    char link[HTML_LINK];
    size_t length, text_length;

    h->linked[h->linked_length] = '\0';
    memcpy(link, h->link, sizeof link);
    h->link[0] = '\0';         /* what follows is not its text */

    const char *address = html_bare_address(link, &length), *text = html_bare_address(h->linked, &text_length);
    if (length > 0 && h->linked_length > 0 && (length != text_length || memcmp(address, text, length) != 0)) {
        html_string(h, " <");
        html_string(h, link);
        html_string(h, ">");
    }
    h->linked_length = 0;
}

/* Begins a link. Only addresses that lead somewhere are shown: no script, no place in the same page. */
static void
html_link(struct html *h)
{
    static const char *const schemes[] = {"http:", "https:", "mailto:", "ftp:", "tel:"};
    char value[HTML_LINK];
    size_t length = 0;

    html_link_end(h);
    html_attribute(h, "href", value, sizeof value);
    for (const char *from = value; *from != '\0'; from++)
        if ((unsigned char)*from > ' ')
            value[length++] = *from;
    value[length] = '\0';
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        if (same_start(value, schemes[i], strlen(schemes[i])))
            memcpy(h->link, value, sizeof h->link);
}

static void
html_list(struct html *h, bool numbered, bool end)
{
    html_break(h, h->lists == (end ? 1U : 0U) ? 2 : 1);
    if (end)
        h->lists -= h->lists > 0;
    else if (h->lists++ < HTML_LISTS)
        h->number[h->lists - 1] = numbered;
}

static void
html_item(struct html *h)
{
    unsigned *number = h->lists > 0 && h->lists <= HTML_LISTS ? &h->number[h->lists - 1] : NULL;

    if (number != NULL && *number > 0 && *number < 1000)
        snprintf(h->marker, sizeof h->marker, "%u. ", (*number)++ % 1000);
    else
        strcpy(h->marker, "* ");
}

/* Acts on the tag that was read. */
static void
html_tag(struct html *h)
{
    char name[12] = "", text[256];

    h->tag[h->tag_length] = '\0';

    bool end = h->tag[0] == '/';
    const char *tag = h->tag + end;
    size_t length = strcspn(tag, " \t\r\n\f/");
    if (length < sizeof name)
        for (size_t i = 0; i < length; i++)
            name[i] = tag[i] >= 'A' && tag[i] <= 'Z' ? (char)(tag[i] - 'A' + 'a') : tag[i];

    for (size_t i = 0; i < sizeof html_blocks / sizeof *html_blocks; i++)
        if (strcmp(name, html_blocks[i].name) == 0)
            html_break(h, html_blocks[i].newlines);
    for (size_t i = 0; i < sizeof html_dropped / sizeof *html_dropped && !end; i++)
        if (strcmp(name, html_dropped[i]) == 0) {
            snprintf(h->hidden, sizeof h->hidden, "%s", name);
            h->state = HTML_HIDDEN;
        }

    if (strcmp(name, "br") == 0) {
        h->newlines += h->newlines < 2;
        h->blank = h->cell = false;
    } else if (strcmp(name, "a") == 0) {
        if (end)
            html_link_end(h);
        else
            html_link(h);
    } else if (strcmp(name, "ul") == 0 || strcmp(name, "ol") == 0) {
        html_list(h, name[0] == 'o', end);
    } else if (strcmp(name, "li") == 0 && !end) {
        html_item(h);
    } else if (strcmp(name, "blockquote") == 0) {
        h->quotes += end ? (h->quotes > 0 ? UINT_MAX : 0) : 1;
    } else if (strcmp(name, "pre") == 0) {
        h->preformatted += end ? (h->preformatted > 0 ? UINT_MAX : 0) : 1;
    } else if (strcmp(name, "td") == 0 || strcmp(name, "th") == 0) {
        h->cell = h->in_line && h->newlines == 0;
    } else if (strcmp(name, "hr") == 0) {
        html_string(h, "--------");
        html_break(h, 1);
    } else if (strcmp(name, "img") == 0 && html_attribute(h, "alt", text, sizeof text) && text[0] != '\0') {
        html_string(h, "[");
        html_string(h, text);
        html_string(h, "]");
    }
}

/* Takes a character between < and >. A quote is one only behind a =. */
static void
html_in_tag(struct html *h, char c)
{
    if (c == '>' && h->quote == '\0') {
        h->state = HTML_TEXT;
        html_tag(h);
        return;
    }
    if (h->quote != '\0')
        h->quote = c == h->quote ? '\0' : h->quote;
    else if (h->value && (c == '"' || c == '\''))
        h->quote = c;
    if (c != ' ' && c != '\t' && c != '\n')
        h->value = c == '=' && h->quote == '\0';
    if (h->tag_length < HTML_TAG_MAX)
        h->tag[h->tag_length++] = c;
    if (h->tag_length == 3 && memcmp(h->tag, "!--", 3) == 0) {
        h->state = HTML_COMMENT;
        h->dashes = 2;
    }
}

/* Takes a character of an element that is dropped: only its own end tag ends it. */
static void
html_in_hidden(struct html *h, char c)
{
    size_t length = strlen(h->hidden);

    if (c == '<')
        h->tag_length = 0;
    else if (c != '>' && h->tag_length <= length)
        h->tag[h->tag_length++] = c;
    else if (c == '>' && h->tag_length > length
             && h->tag[0] == '/' && same_start(h->tag + 1, h->hidden, length))
        h->state = HTML_TEXT;
}

/* Ends an entity before the character c. */
static void
html_entity_end(struct html *h, uint32_t c)
{
    h->state = HTML_TEXT;
    h->entity[h->entity_length] = '\0';

    uint32_t meant = html_entity(h->entity);
    if (meant != 0 && (c == ';' || h->entity[0] == '#')) {
        html_character(h, meant);
    } else {
        html_character(h, '&');
        html_string(h, h->entity);
        if (c == ';')
            html_character(h, ';');
    }
}

/* Takes visible text with HTML in it. */
static void
html_text(struct html *h, const char *text, size_t length)
{
    for (size_t i = 0; i < length; ) {
        uint32_t c = 0;
        size_t size = (size_t)utf8_read((const unsigned char *)text + i, length - i, &c);
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool plain = letter || (c >= '0' && c <= '9') || c == '#';

        i += size;
        if (h->state == HTML_ENTITY) {
            if (plain && h->entity_length + 1 < sizeof h->entity) {
                h->entity[h->entity_length++] = (char)c;
                continue;
            }
            html_entity_end(h, c);
            if (c == ';')
                continue;
        }
        switch (h->state) {
        case HTML_TEXT:
        case HTML_ENTITY:
            if (c == '<') {
                h->state = HTML_TAG;
                h->tag_length = 0;
                h->quote = '\0';
                h->value = false;
            } else if (c == '&') {
                h->state = HTML_ENTITY;
                h->entity_length = 0;
            } else {
                html_character(h, c);
            }
            break;
        case HTML_TAG:
            if (h->tag_length == 0 && !letter && c != '/' && c != '!' && c != '?') {
                html_character(h, '<');     /* it was none */
                h->state = HTML_TEXT;
                i -= size;
                break;
            }
            for (size_t j = 0; j < size; j++)
                html_in_tag(h, text[i - size + j]);
            break;
        case HTML_COMMENT:
            if (c == '>' && h->dashes >= 2)
                h->state = HTML_TEXT;
            h->dashes = c == '-' ? h->dashes + 1 : 0;
            break;
        case HTML_HIDDEN:
            html_in_hidden(h, c < 0x80 ? (char)c : '?');
            break;
        }
    }
    html_flush(h);
}

/* Ends the text, and says so when HTML that was never closed hid some of it. */
static void
html_end(struct html *h)
{
    static const char *const places[] = {
        [HTML_TAG] = "a tag", [HTML_COMMENT] = "a comment", [HTML_HIDDEN] = "a part that is no text",
    };

    if (h->state == HTML_ENTITY)
        html_entity_end(h, ' ');
    html_link_end(h);
    html_flush(h);
    page_text_end(h->page);
    if (h->state != HTML_TEXT)
        page_note(h->page, "the HTML ends inside %s: what stands there is not shown", places[h->state]);
}

/* -- Charsets -- */

enum { CHARSET_NAME = 40, CHARSET_CHARACTER = 16 /* no character has more octets */ };

/*
 * The charsets that mail is written in, and what the system calls them; a * stands for what follows. Where
 * a larger one is used under the smaller one's name, as is common, it is read as the larger. No message gets
 * at the other converters of the system: hardly anybody tests them.
 */
static const struct { const char *name, *meant; } charsets[] = {
    {"utf-8", ""}, {"utf8", ""}, {"us-ascii", ""}, {"ascii", ""},   /* which need no conversion */
    {"iso-8859-1", "WINDOWS-1252"}, {"latin1", "WINDOWS-1252"}, {"iso-8859-8-i", "ISO-8859-8"},
    {"iso-8859-9", "WINDOWS-1254"}, {"iso-8859-*", NULL}, {"windows-125*", NULL}, {"cp125*", NULL},
    {"koi8-r", NULL}, {"koi8-u", NULL}, {"macintosh", NULL}, {"ibm850", NULL}, {"cp850", NULL}, {"cp437", NULL},
    {"cp866", NULL}, {"tis-620", NULL}, {"windows-874", "CP874"}, {"iso-2022-jp", NULL}, {"euc-jp", NULL},
    {"shift_jis", "CP932"}, {"shift-jis", "CP932"}, {"windows-31j", "CP932"}, {"cp932", NULL},
    {"iso-2022-kr", NULL}, {"euc-kr", "CP949"}, {"ks_c_5601-1987", "CP949"}, {"gb2312", "GB18030"},
    {"gbk", "GB18030"}, {"gb18030", NULL}, {"hz-gb-2312", "HZ"}, {"big5", NULL}, {"utf-7", NULL},
    {"utf-16", NULL}, {"utf-16le", NULL}, {"utf-16be", NULL},
};

struct charset {
    iconv_t iconv;              /* to UTF-8; (iconv_t)-1: it is that already, or taken for it */
    bool pairs;                 /* a character may be two octets of ASCII */
};

/* Returns what the system calls a charset, "" for one that needs no conversion, NULL for one not known. */
static const char *
charset_find(const char *name)
{
    for (size_t i = 0; i < sizeof charsets / sizeof *charsets; i++) {
        const char *entry = charsets[i].name, *star = strchr(entry, '*');
        size_t length = star != NULL ? (size_t)(star - entry) : strlen(entry);
        bool same = same_start(name, entry, length);

        if (same && (star == NULL ? name[length] == '\0' : strspn(name + length, "0123456789") > 0
                && name[length + strspn(name + length, "0123456789")] == '\0'))
            return charsets[i].meant != NULL ? charsets[i].meant : name;
    }
    return NULL;
}

/*
 * Readies a conversion from the charset. Returns false when it cannot be had; the text is then taken for
 * UTF-8: its ASCII can be read, and the rest is right or seen to be wrong.
 */
static bool
charset_open(struct charset *c, const char *name)
{
    const char *meant = charset_find(name);

    c->iconv = (iconv_t)-1;
    c->pairs = same_start(name, "iso-2022", 8) || same_start(name, "hz", 2);
    if (meant == NULL)
        return name[0] == '\0';
    if (meant[0] == '\0')
        return true;
    c->iconv = iconv_open("UTF-8", meant);
    if (c->iconv == (iconv_t)-1)
        c->iconv = iconv_open("UTF-8", name);   /* not every libc knows the larger charset that is meant */
    return c->iconv != (iconv_t)-1;
}

static void
charset_close(struct charset *c)
{
    if (c->iconv != (iconv_t)-1)
        iconv_close(c->iconv);
    c->iconv = (iconv_t)-1;
}

/*
 * Converts octets to UTF-8, U+FFFD for what means nothing, until they or the room (at least 64) are used up.
 * Returns the octets written, and in *used those taken. A character without its end is left unless last says
 * that this is all.
 */
static size_t
charset_convert(struct charset *c, const unsigned char *in, size_t length, bool last,
                char *out, size_t room, size_t *used)
{
    char *from = (char *)(uintptr_t)in, *to = out;
    size_t left = length, space = room;

    if (c->iconv == (iconv_t)-1) {
        *used = length < room ? length : room;
        memcpy(out, in, *used);
        return *used;
    }
    while (left > 0 && iconv(c->iconv, &from, &left, &to, &space) == (size_t)-1) {
        if (errno == E2BIG || space < 64 || (errno == EINVAL && !last && left < CHARSET_CHARACTER))
            break;

        bool pair = c->pairs && left >= 2 && from[0] > ' ' && from[0] < 0x7f && from[1] > ' ' && from[1] < 0x7f;
        size_t size = utf8_write(0xfffd, to);
        from += pair ? 2 : 1;
        left -= pair ? 2 : 1;
        to += size;
        space -= size;
    }
    if (last && left == 0)      /* some keep a character back, for a mark that could follow */
        iconv(c->iconv, NULL, NULL, &to, &space);
    *used = length - left;
    return room - space;
}

/* -- Transfer decoding: quoted-printable and base64 (RFC 2045 section 6) -- */

enum encoding { ENCODING_NONE, ENCODING_QUOTED, ENCODING_BASE64, ENCODING_UNKNOWN };

struct transfer {
    enum encoding encoding;
    bool header;                /* the Q of encoded words: _ is a blank */
    unsigned char value[256];   /* base64: of its 64 characters, 1 to 64 */
    uint32_t bits;              /* base64: read and not yet written, */
    unsigned have;              /* so many of them */
    uint64_t garbage;           /* base64: octets that do not belong there */
    char held[2];               /* quoted-printable: a = and what followed it */
    unsigned count;
};

static void
transfer_open(struct transfer *t, enum encoding encoding, bool header)
{
    static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    memset(t, 0, sizeof *t);
    t->encoding = encoding;
    t->header = header;
    for (unsigned i = 0; i < 64; i++)
        t->value[(unsigned char)base64[i]] = (unsigned char)(i + 1);
}

static size_t
transfer_base64(struct transfer *t, const unsigned char *in, size_t length, unsigned char *out)
{
    size_t made = 0;

    for (size_t i = 0; i < length; i++) {
        unsigned value = t->value[in[i]];

        if (value > 0) {
            t->bits = t->bits << 6 | (value - 1);
            t->have += 6;
            if (t->have >= 8) {
                t->have -= 8;
                out[made++] = (unsigned char)(t->bits >> t->have);
            }
        } else if (in[i] == '=') {
            t->have = 0;
        } else if (in[i] != '\n' && in[i] != '\r' && in[i] != ' ' && in[i] != '\t') {
            t->garbage++;
        }
    }
    return made;
}

static int
hex_value(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* A = that begins neither an octet nor the end of a line stands for itself. */
static size_t
transfer_quoted(struct transfer *t, const unsigned char *in, size_t length, unsigned char *out)
{
    size_t made = 0;

    for (size_t i = 0; i < length; i++) {
        unsigned char c = in[i];
        bool blank = c == ' ' || c == '\t' || c == '\r';

        if (t->count == 0 && c != '=') {
            out[made++] = t->header && c == '_' ? ' ' : c;
        } else if (t->count == 0) {
            t->held[t->count++] = '=';
        } else if (c == '\n' && (t->count == 1 || t->held[1] == ' ')) {
            t->count = 0;
        } else if (blank && (t->count == 1 || t->held[1] == ' ')) {
            t->held[1] = ' ';
            t->count = 2;
        } else if (hex_value(c) >= 0 && t->count == 1) {
            t->held[t->count++] = (char)c;
        } else if (hex_value(c) >= 0 && t->held[1] != ' ') {
            out[made++] = (unsigned char)(hex_value((unsigned char)t->held[1]) * 16 + hex_value(c));
            t->count = 0;
        } else {
            memcpy(out + made, t->held, t->count);
            made += t->count;
            t->count = 0;
            i--;                /* c may be a = itself */
        }
    }
    return made;
}

/*
 * Undoes the transfer encoding of octets that come in pieces of any size. out needs room for two octets more
 * than length. Returns how many were written.
 */
static size_t
transfer_decode(struct transfer *t, const void *in, size_t length, unsigned char *out)
{
    if (t->encoding == ENCODING_BASE64)
        return transfer_base64(t, in, length, out);
    if (t->encoding == ENCODING_QUOTED)
        return transfer_quoted(t, in, length, out);
    memcpy(out, in, length);
    return length;
}

/* -- Header fields -- */

/* Part of a file, line by line. A line too long for the buffer comes in pieces. */
struct reader {
    int fd;
    off_t at, limit;            /* where the next block begins, where the part ends */
    bool starts;                /* the next piece begins a line */
    int error;                  /* why the file could not be read */
    size_t start, end;          /* what is in the buffer and was not taken */
    char buffer[SHOW_BLOCK];
};

struct line {
    const char *text;           /* until the next read; without the line end */
    size_t length;
    off_t offset, next;         /* in the file: of this line, of what follows it */
    bool starts, ends;          /* it is the beginning, the end of a line */
};

static void
reader_open(struct reader *r, int fd, off_t from, off_t to)
{
    r->fd = fd;
    r->at = from;
    r->limit = to;
    r->starts = true;
    r->start = r->end = 0;
}

/* Reads from the file, at most up to a limit. Returns 0 at the end, -1 with errno set. */
static ssize_t
read_at(int fd, void *buffer, size_t room, off_t from, off_t limit)
{
    ssize_t count;

    if (limit - from < (off_t)room)
        room = limit > from ? (size_t)(limit - from) : 0;
    do
        count = room > 0 ? pread(fd, buffer, room, from) : 0;
    while (count < 0 && errno == EINTR);
    return count;
}

/* Reads the next line, or a piece of it. Returns false when there is none. */
static bool
reader_line(struct reader *r, struct line *line)
{
    char *lf = memchr(r->buffer + r->start, '\n', r->end - r->start);

    if (lf == NULL) {
        memmove(r->buffer, r->buffer + r->start, r->end - r->start);
        r->end -= r->start;
        r->start = 0;
        while (lf == NULL && r->end < sizeof r->buffer) {
            ssize_t count = read_at(r->fd, r->buffer + r->end, sizeof r->buffer - r->end, r->at, r->limit);

            if (count < 0)
                r->error = errno;
            if (count <= 0)
                break;
            lf = memchr(r->buffer + r->end, '\n', (size_t)count);
            r->end += (size_t)count;
            r->at += count;
        }
    }

    line->text = r->buffer + r->start;
    line->length = lf != NULL ? (size_t)(lf - line->text) : r->end - r->start;
    line->offset = r->at - (off_t)(r->end - r->start);
    line->starts = r->starts;
    line->ends = lf != NULL;
    if (line->length == 0 && lf == NULL)
        return false;
    r->start += line->length + line->ends;
    line->next = line->offset + (off_t)line->length + line->ends;
    r->starts = line->ends;
    if (line->length > 0 && line->text[line->length - 1] == '\r' && line->ends)
        line->length--;
    return true;
}

/* Gives the line that was read last back, to be read again. */
static void
reader_back(struct reader *r, const struct line *line)
{
    r->start = (size_t)(line->text - r->buffer);
    r->starts = line->starts;
}

/* A header field, its lines joined. What is beyond SHOW_FIELD is counted and dropped. */
struct field {
    char text[SHOW_FIELD + 1];
    size_t length;
    uint64_t octets;
};

/* Returns the octets of a field's name if the line begins a field, else 0. */
static size_t
field_name(const char *line, size_t length)
{
    size_t i = 0, name;

    while (i < length && line[i] > ' ' && line[i] < 0x7f && line[i] != ':')
        i++;
    name = i;
    while (i < length && is_blank(line[i]))
        i++;
    return i < length && line[i] == ':' ? name : 0;
}

/* Reads the next field. Returns false when the header is at its end. */
static bool
field_read(struct reader *r, struct field *f)
{
    struct line line;

    f->length = 0;
    f->octets = 0;
    while (reader_line(r, &line)) {
        if (line.starts && f->octets > 0 && (line.length == 0 || !is_blank(line.text[0]))) {
            reader_back(r, &line);
            break;
        }
        for (size_t i = 0; i < line.length && f->length + 2 <= SHOW_FIELD; i++) {
            if (line.text[i] == '\0')
                f->text[f->length++] = '^';
            f->text[f->length++] = line.text[i] != '\0' ? line.text[i] : '@';
        }
        f->octets += line.length + 1;
    }
    f->text[f->length] = '\0';
    return f->octets > 0;
}

/* Returns the value of the field if that is its name, else NULL. */
static const char *
field_value(const struct field *f, const char *name)
{
    size_t length = strlen(name);

    if (field_name(f->text, f->length) != length || !same_start(f->text, name, length))
        return NULL;

    const char *value = strchr(f->text, ':') + 1;
    return value + strspn(value, " \t");
}

/* An encoded word, =?charset?B or Q?text?= (RFC 2047). */
struct word {
    char charset[CHARSET_NAME];
    enum encoding encoding;
    const char *text;
    size_t length;
};

/* Returns the octets of the encoded word that a text begins with; 0 when it is none, or in no known charset. */
static size_t
word_read(const char *in, struct word *w)
{
    if (in[0] != '=' || in[1] != '?')
        return 0;

    size_t name = strcspn(in + 2, "?* \t"), charset = strcspn(in + 2, "? \t");
    const char *at = in + 2 + charset;
    if (at[0] != '?' || at[1] == '\0' || at[2] != '?' || strchr("bBqQ", at[1]) == NULL || name >= CHARSET_NAME)
        return 0;
    memcpy(w->charset, in + 2, name);
    w->charset[name] = '\0';
    w->encoding = at[1] == 'b' || at[1] == 'B' ? ENCODING_BASE64 : ENCODING_QUOTED;
    w->text = at + 3;

    /* Some leave blanks and a ? in it as they are; but not the start of another. */
    const char *end = strstr(w->text, "?="), *other = strstr(w->text, "=?");
    if (end == NULL || (other != NULL && other + 1 < end) || charset_find(w->charset) == NULL)
        return 0;
    w->length = (size_t)(end - w->text);
    return (size_t)(w->text - in) + w->length + 2;
}

/*
 * Decodes the encoded words of a text of at most SHOW_FIELD octets to UTF-8; what is none stays. Blanks
 * between two of them are dropped, and words in one charset are put together before it is converted:
 * a character may be split among them. out is cut at its room.
 */
static void
words_decode(const char *in, char *out, size_t room)
{
    unsigned char octets[SHOW_FIELD + 2];
    struct transfer transfer;
    struct charset charset;
    struct word word;
    size_t made = 0, used;

    while (*in != '\0' && made + 128 < room) {
        size_t size = word_read(in, &word), length = 0;
        char name[CHARSET_NAME];

        if (size == 0) {
            out[made++] = *in++;
            continue;
        }
        memcpy(name, word.charset, sizeof name);
        while (size > 0 && pop3_same_word(name, word.charset)) {
            transfer_open(&transfer, word.encoding, true);
            length += transfer_decode(&transfer, word.text, word.length, octets + length);
            in += size;
            size = word_read(in + strspn(in, " \t"), &word);
            in += size > 0 ? strspn(in, " \t") : 0;
        }
        charset_open(&charset, name);
        made += charset_convert(&charset, octets, length, true, out + made, room - made - 1, &used);
        charset_close(&charset);
    }
    out[made] = '\0';
}

/* Skips blanks and comments, which stand in parentheses and in each other. */
static const char *
skip_comments(const char *at)
{
    size_t depth = 0;

    for (; *at != '\0' && (depth > 0 || *at == '(' || strchr(" \t\r\n", *at) != NULL); at++) {
        if (*at == '\\' && at[1] != '\0')
            at++;
        else if (*at == '(')
            depth++;
        else if (*at == ')')
            depth--;
    }
    return at;
}

/* Copies a word or a quoted string, cut at its room. Returns what stands behind it. */
static const char *
copy_value(const char *at, const char *ends, char *out, size_t room)
{
    size_t made = 0;
    bool quoted = *at == '"';

    for (at += quoted; *at != '\0' && (quoted ? *at != '"' : strchr(ends, *at) == NULL); at++) {
        if (quoted && *at == '\\' && at[1] != '\0')
            at++;
        if (made + 1 < room)
            out[made++] = *at;
    }
    out[made] = '\0';
    return at + (quoted && *at == '"');
}

/* Finds a parameter by its whole name and copies its value. Returns false if there is none. */
static bool
parameter_find(const char *value, const char *name, char *out, size_t room)
{
    char found[64], skipped[2];
    const char *at = value;

    for (;;) {
        while (*at != '\0' && *at != ';') {     /* the type, or what is left of a broken parameter */
            if (*at == '(')
                at = skip_comments(at);
            else if (*at == '"')
                at = copy_value(at, "", skipped, sizeof skipped);
            else
                at++;
        }
        if (*at == '\0')
            return false;
        at = skip_comments(at + 1);
        at = skip_comments(copy_value(at, "=; \t(\"", found, sizeof found));
        if (*at != '=')
            continue;
        at = skip_comments(at + 1);
        if (pop3_same_word(found, name)) {
            copy_value(at, "; \t", out, room);
            return true;
        }
        at = copy_value(at, "; \t", skipped, sizeof skipped);
    }
}

/* Copies text in UTF-8, cut to whole characters if there is no room for all of it. */
static void
text_copy(const char *text, char *out, size_t room)
{
    size_t length = strlen(text);

    if (length >= room)
        for (length = room - 1; length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80; length--)
            ;
    memcpy(out, text, length);
    out[length] = '\0';
}

/* Undoes %XX in place. Returns the octets left. */
static size_t
percent_decode(char *text)
{
    size_t made = 0;

    for (const char *from = text; *from != '\0'; from++) {
        int high = *from == '%' ? hex_value((unsigned char)from[1]) : -1;
        int low = high >= 0 ? hex_value((unsigned char)from[2]) : -1;

        text[made++] = (char)(low >= 0 ? high << 4 | low : *from);
        from += low >= 0 ? 2 : 0;
    }
    return made;
}

/*
 * Finds a parameter of a field, in one piece or in many, in a charset or not (RFC 2231), or with encoded
 * words in it, as many programs write them. Returns false, and "" in out, if there is none. out gets UTF-8,
 * cut at its room.
 */
static bool
parameter(const char *value, const char *name, char *out, size_t room)
{
    enum { SECTIONS = 50 };
    char key[64], octets[SHOW_FIELD + 1], piece[SHOW_FIELD + 1];
    char charset_name[CHARSET_NAME] = "";
    size_t length = 0, used, made;
    bool found = false;

    for (int section = -1; section < SECTIONS; section++) {
        bool extended;

        if (section < 0)
            snprintf(key, sizeof key, "%s*", name);
        else
            snprintf(key, sizeof key, "%s*%d*", name, section);
        extended = parameter_find(value, key, piece, sizeof piece);
        key[strlen(key) - 1] = '\0';
        if (!extended && (section < 0 || !parameter_find(value, key, piece, sizeof piece))) {
            if (section < 0)
                continue;
            break;
        }

        char *text = piece, *language = extended && !found ? strchr(piece, '\'') : NULL;
        if (language != NULL && strchr(language + 1, '\'') != NULL) {
            snprintf(charset_name, sizeof charset_name, "%.*s", (int)(language - piece), piece);
            text = strchr(language + 1, '\'') + 1;
        }
        size_t size = extended ? percent_decode(text) : strlen(text);
        if (size > SHOW_FIELD - length)
            size = SHOW_FIELD - length;
        memcpy(octets + length, text, size);
        length += size;
        found = true;
        if (section < 0)
            break;
    }

    out[0] = '\0';
    if (!found) {
        if (!parameter_find(value, name, piece, sizeof piece))
            return false;
        words_decode(piece, octets, sizeof octets);
        text_copy(octets, out, room);
        return true;
    }

    struct charset charset;
    charset_open(&charset, charset_name);
    made = charset_convert(&charset, (const unsigned char *)octets, length, true, piece, SHOW_FIELD, &used);
    charset_close(&charset);
    piece[made] = '\0';
    text_copy(piece, out, room);
    return true;
}

/* -- The parts of a message (RFC 2046) -- */

enum { PART_TYPE = 64, PART_NAME = 256, PART_BOUNDARY = 200 };

enum part_use { PART_DROP, PART_LIST, PART_SHOW };

struct part {
    int parent;                 /* -1: the message itself */
    int root;                   /* the part that is the message this one belongs to */
    unsigned bars;              /* that mark how deep that message lies in others */
    off_t head, body, end;      /* in the file; end is -1 as long as it is not known */
    char type[PART_TYPE];       /* lower case */
    char charset[CHARSET_NAME];
    char name[PART_NAME];       /* UTF-8, from the network */
    enum encoding encoding;
    enum page_text_kind kind;
    bool typed, disposed, encoded;  /* it has said so; said again, it does not count */
    bool attachment, no_blank_line, opened;
    int score;                  /* how good its text is for reading; 0: it has none */
    int best;                   /* multipart/alternative: the part to show, -1: none */
    enum part_use use;
    bool says;                  /* there is more than blanks in it */
};

/* What stands between the parts of a multipart. */
struct boundary {
    int part;
    size_t length;
    char text[PART_BOUNDARY + 1];
};

struct show {
    int fd;
    struct page page;
    struct html html;
    struct reader reader, header;
    struct field field;
    char text[4 * SHOW_FIELD];  /* a field decoded */

    struct part parts[SHOW_PARTS];
    int count;
    struct boundary boundaries[SHOW_DEPTH + 1];
    unsigned depth;             /* of the boundaries that are waited for */
    unsigned nested;            /* of the parts that are open, messages in messages included */
    bool too_many, too_deep, cut_off;
};

/* Says whether a text begins with another, in lower case. */
static bool
begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static bool
is_message(const struct part *p)
{
    return (strcmp(p->type, "message/rfc822") == 0 || strcmp(p->type, "message/global") == 0
            || strcmp(p->type, "text/rfc822-headers") == 0) && p->encoding == ENCODING_NONE;
}

/* Takes what a part says about itself from one of its fields. */
static void
part_field(struct part *p, const struct field *f)
{
    static const struct { const char *name; enum encoding encoding; } encodings[] = {
        {"7bit", ENCODING_NONE}, {"8bit", ENCODING_NONE}, {"binary", ENCODING_NONE},
        {"7-bit", ENCODING_NONE}, {"8-bit", ENCODING_NONE}, {"none", ENCODING_NONE},
        {"quoted-printable", ENCODING_QUOTED}, {"base64", ENCODING_BASE64},
    };
    char word[PART_TYPE];
    const char *value;

    if (!p->typed && (value = field_value(f, "Content-Type")) != NULL) {
        p->typed = true;
        copy_value(skip_comments(value), "; \t(", word, sizeof word);
        for (size_t i = 0; word[i] != '\0'; i++)
            word[i] = word[i] >= 'A' && word[i] <= 'Z' ? (char)(word[i] - 'A' + 'a') : word[i];
        if (strchr(word, '/') != NULL)
            text_copy(word, p->type, sizeof p->type);
        parameter(value, "charset", p->charset, sizeof p->charset);
        if (p->name[0] == '\0')
            parameter(value, "name", p->name, sizeof p->name);
        if (parameter(value, "format", word, sizeof word) && pop3_same_word(word, "flowed"))
            p->kind = parameter(value, "delsp", word, sizeof word) && pop3_same_word(word, "yes")
                ? TEXT_FLOWED_DELSP : TEXT_FLOWED;
    } else if (!p->disposed && (value = field_value(f, "Content-Disposition")) != NULL) {
        char name[PART_NAME];

        p->disposed = true;
        copy_value(skip_comments(value), "; \t(", word, sizeof word);
        p->attachment = pop3_same_word(word, "attachment");
        if (parameter(value, "filename", name, sizeof name))
            text_copy(name, p->name, sizeof p->name);
    } else if (!p->encoded && (value = field_value(f, "Content-Transfer-Encoding")) != NULL) {
        p->encoded = true;
        copy_value(skip_comments(value), "; \t(", word, sizeof word);
        p->encoding = word[0] == '\0' ? ENCODING_NONE : ENCODING_UNKNOWN;
        for (size_t i = 0; i < sizeof encodings / sizeof *encodings; i++)
            if (pop3_same_word(word, encodings[i].name))
                p->encoding = encodings[i].encoding;
    }
}

/* Adds a part that begins at a place in the file. Returns it, or NULL when there are too many. */
static struct part *
part_begin(struct show *s, int parent, off_t at)
{
    if (s->count == SHOW_PARTS) {
        s->too_many = true;
        return NULL;
    }

    struct part *p = &s->parts[s->count], *above = parent >= 0 ? &s->parts[parent] : NULL;
    memset(p, 0, sizeof *p);
    p->parent = parent;
    p->root = above == NULL || is_message(above) ? s->count : above->root;
    p->bars = above == NULL ? 0 : above->bars + (is_message(above) && above->bars < SHOW_BARS);
    p->head = p->body = at;
    p->end = -1;
    p->best = -1;
    strcpy(p->type, "text/plain");
    if (above != NULL && strcmp(above->type, "multipart/digest") == 0)
        strcpy(p->type, "message/rfc822");
    s->count++;
    return p;
}

/* Ends all parts behind a part that are still open. */
static void
parts_end(struct show *s, int behind, off_t at)
{
    for (int i = s->count - 1; i > behind; i--)
        if (s->parts[i].end < 0)
            s->parts[i].end = at > s->parts[i].body ? at : s->parts[i].body;
}

/* Reads the header of the last part, which is complete, and opens the part if there are parts in it. */
static void
part_header(struct show *s, off_t body)
{
    struct part *p = &s->parts[s->count - 1];
    struct boundary *b = &s->boundaries[s->depth];      /* which has room for one more than is opened */

    p->body = body;
    b->part = s->count - 1;
    b->length = 0;
    reader_open(&s->header, s->fd, p->head, body);
    while (page_open(&s->page) && field_read(&s->header, &s->field)) {
        bool typed = p->typed;

        part_field(p, &s->field);
        if (p->typed && !typed) {
            parameter(field_value(&s->field, "Content-Type"), "boundary", b->text, sizeof b->text);
            b->length = strlen(b->text);
            while (b->length > 0 && is_blank(b->text[b->length - 1]))
                b->length--;
        }
    }

    bool multipart = begins(p->type, "multipart/");
    if (!multipart && !is_message(p))
        return;
    if (s->nested == SHOW_DEPTH) {
        s->too_deep = true;
        strcpy(p->type, "application/octet-stream");
    } else if (!multipart) {
        p->opened = true;
        s->nested++;
        part_begin(s, s->count - 1, body);
    } else if (b->length > 0) {
        p->opened = true;
        p->encoding = ENCODING_NONE;        /* by RFC 2045 section 6.4 it can be no other */
        s->nested++;
        s->depth++;
    }
}

/*
 * Looks for a line among the boundaries that are waited for, the innermost first. Returns its level, or -1;
 * *last says whether it is the one behind the last part.
 */
static int
boundary_find(const struct show *s, const struct line *line, bool *last)
{
    if (!line->starts || line->length < 3 || line->text[0] != '-' || line->text[1] != '-')
        return -1;
    for (int level = (int)s->depth - 1; level >= 0; level--) {
        size_t length = s->boundaries[level].length, end = line->length;

        if (line->length < 2 + length || memcmp(line->text + 2, s->boundaries[level].text, length) != 0)
            continue;
        while (end > 2 + length && is_blank(line->text[end - 1]))
            end--;
        *last = end == length + 4 && line->text[end - 1] == '-' && line->text[end - 2] == '-';
        if (*last || end == length + 2)
            return level;
    }
    return -1;
}

/*
 * Leaves what was open inside a multipart, at one of its boundaries, and begins its next part. The part
 * that it ends goes up to the end of the line before: that line's LF belongs to the boundary.
 */
static void
parts_boundary(struct show *s, off_t before, int level, bool last, off_t next)
{
    int part = s->boundaries[level].part;

    parts_end(s, part, before);
    s->depth = (unsigned)level + !last;
    s->nested = last ? 0 : 1;
    for (int i = s->parts[part].parent; i >= 0; i = s->parts[i].parent)
        s->nested++;
    if (!last)
        part_begin(s, part, next);
}

/* Says whether a line, the first of its header or not, belongs to a header. */
static bool
in_header_line(const struct line *line, bool first)
{
    if (line->length == 0)
        return false;
    if (is_blank(line->text[0]))
        return !first;
    return field_name(line->text, line->length) > 0
        || (first && line->length > 5 && memcmp(line->text, "From ", 5) == 0);      /* of a mailbox file */
}

/* Finds the parts of the message, and what each says about itself. */
static void
parts_find(struct show *s, off_t size)
{
    struct line line;
    bool in_header = true, last;        /* in the header of the last part found */
    off_t before = 0;                   /* where the line before ended */

    part_begin(s, -1, 0);
    reader_open(&s->reader, s->fd, 0, size);
    while (!s->too_many && page_open(&s->page) && reader_line(&s->reader, &line)) {
        int level = boundary_find(s, &line, &last), count = s->count;
        bool first = line.offset == s->parts[count - 1].head;

        if (level >= 0) {
            if (in_header)
                part_header(s, line.offset);
            parts_boundary(s, before, level, last, line.next);
            in_header = !last;
        } else if (in_header && line.starts && !in_header_line(&line, first)) {
            s->parts[count - 1].no_blank_line = line.length > 0;
            part_header(s, line.length > 0 ? line.offset : line.next);
            in_header = s->count > count;       /* of the message in this part */
            if (line.length > 0)
                reader_back(&s->reader, &line);
        }
        for (size_t i = 0; !in_header && level < 0 && i < line.length; i++)
            s->parts[s->count - 1].says |= !is_blank(line.text[i]) && line.text[i] != '\r';
        before = line.offset + (off_t)line.length;
    }
    if (in_header && !s->too_many)
        part_header(s, size);
    s->cut_off = s->depth > 0 && s->boundaries[s->depth - 1].part + 1 < s->count && !s->too_many;
    parts_end(s, -1, size);
}

/* -- What to show of it -- */

/* Returns how well a part can be read here: text before HTML before what programs write; 0: not at all. */
static int
part_score(const struct part *p)
{
    static const char *const unreadable[] = {
        "text/rtf", "text/css", "text/xml", "text/vcard", "text/x-vcard", "text/directory", "text/javascript",
    };

    for (size_t i = 0; i < sizeof unreadable / sizeof *unreadable; i++)
        if (strcmp(p->type, unreadable[i]) == 0)
            return 0;
    if ((p->attachment && p->parent >= 0) || (p->encoding == ENCODING_UNKNOWN && !begins(p->type, "text/")))
        return 0;
    if (strcmp(p->type, "text/calendar") == 0)
        return 1;
    if (strcmp(p->type, "text/html") == 0)
        return 3;
    if (strcmp(p->type, "text/plain") == 0)
        return p->says ? 4 : 2;     /* some send an empty one along with their HTML */
    if (begins(p->type, "text/") || is_message(p))
        return 2;
    return strcmp(p->type, "message/delivery-status") == 0
        || strcmp(p->type, "message/disposition-notification") == 0 ? 2 : 0;
}

/*
 * Settles which parts are shown, which are only listed, and which are left out, because another part says
 * the same better. Of alternatives plain text is the one to read in a terminal, written for it; the last
 * one if there are several, as RFC 2046 has it.
 */
static void
parts_choose(struct show *s)
{
    for (int i = s->count - 1; i >= 0; i--) {
        struct part *p = &s->parts[i], *above = p->parent >= 0 ? &s->parts[p->parent] : NULL;

        if (begins(p->type, "multipart/") && (i + 1 == s->count || s->parts[i + 1].parent != i)) {
            p->opened = false;          /* no part was found in it */
            p->score = 1;
        } else if (!p->opened || is_message(p)) {
            p->score = part_score(p);
        }
        if (above != NULL && !is_message(above) && p->score > above->score) {
            above->score = p->score;
            above->best = i;
        }
    }
    for (int i = 0; i < s->count; i++) {
        struct part *p = &s->parts[i], *above = p->parent >= 0 ? &s->parts[p->parent] : NULL;
        bool other = above != NULL && strcmp(above->type, "multipart/alternative") == 0 && above->best != i;

        if (above != NULL && (above->use == PART_DROP || other))
            p->use = p->opened || p->score > 1 ? PART_DROP : PART_LIST;
        else
            p->use = p->opened || p->score > 0 ? PART_SHOW : PART_LIST;
        if (above != NULL && is_message(above) && above->use == PART_DROP)
            p->use = PART_DROP;
    }
}

/* -- Showing it -- */

enum { BODY_BLOCK = SHOW_BLOCK / 4 };

/* The content of a part while it is read. */
struct body {
    off_t at, end;
    struct transfer transfer;
};

static void
body_open(struct body *b, const struct part *p)
{
    b->at = p->body;
    b->end = p->end;
    transfer_open(&b->transfer, p->encoding, false);
}

/*
 * Reads the next octets of a part and undoes their transfer encoding. out needs room for BODY_BLOCK + 2.
 * Returns how many there are, 0 at the end.
 */
static size_t
body_read(struct show *s, struct body *b, unsigned char *out)
{
    unsigned char in[BODY_BLOCK];

    while (page_open(&s->page)) {
        ssize_t count = read_at(s->fd, in, sizeof in, b->at, b->end);

        if (count < 0)
            s->reader.error = errno;
        if (count <= 0)
            return 0;
        b->at += count;

        size_t made = transfer_decode(&b->transfer, in, (size_t)count, out);
        if (made > 0)
            return made;
    }
    return 0;
}

/* Shows text in UTF-8, or HTML, which is made visible first so that its characters come whole. */
static void
show_text(struct show *s, struct visible *html, const char *text, size_t length)
{
    char seen[VISIBLE_ROOM(BODY_BLOCK)];

    if (html == NULL)
        page_text(&s->page, text, length);
    else if (length > 0)
        html_text(&s->html, seen, visible_text(html, text, length, seen));
    else
        html_text(&s->html, seen, visible_end(html, seen));
}

/* Shows the text of a part, and says what of it could not be read. */
static void
part_show(struct show *s, const struct part *p)
{
    unsigned char octets[CHARSET_CHARACTER + BODY_BLOCK + 2];
    char text[BODY_BLOCK];
    struct visible visible = {.count = 0}, *html = strcmp(p->type, "text/html") == 0 ? &visible : NULL;
    struct charset charset;
    struct body body;
    size_t have = 0, made;

    if (begins(p->type, "multipart/"))
        page_note(&s->page, "%s, but no part was found in it; this is all of it", p->type);
    if (!charset_open(&charset, p->charset))
        page_note(&s->page, "the charset %s is not known here: only its ASCII is shown as it is", p->charset);
    if (p->encoding == ENCODING_UNKNOWN)
        page_note(&s->page, "its transfer encoding is not known here: it is shown as it came");
    page_gap(&s->page);

    s->page.kind = strcmp(p->type, "text/plain") == 0 ? p->kind : TEXT_FIXED;
    memset(&s->html, 0, sizeof s->html);
    s->html.page = &s->page;
    body_open(&body, p);
    do {
        size_t used = 0, taken;

        made = body_read(s, &body, octets + have);
        have += made;
        do {
            size_t length = charset_convert(&charset, octets + used, have - used, made == 0,
                                            text, sizeof text, &taken);

            if (length > 0)
                show_text(s, html, text, length);
            used += taken;
        } while (used < have && taken > 0);     /* or the end of a character is still to come */
        have -= used;
        memmove(octets, octets + used, have);
    } while (made > 0);
    charset_close(&charset);

    if (html != NULL) {
        show_text(s, html, NULL, 0);
        html_end(&s->html);
    }
    page_text_end(&s->page);
    if (body.transfer.garbage > 0)
        page_note(&s->page, "%llu octets in this part are not base64 and were left out",
                  (unsigned long long)body.transfer.garbage);
}

/* Lists the parts of a message that are not shown, or that have a name. */
static void
show_attachments(struct show *s, int root)
{
    for (int i = root; i < s->count && page_open(&s->page); i++) {
        const struct part *p = &s->parts[i];
        unsigned char octets[BODY_BLOCK + 2];
        char size[32], type[PART_TYPE + 64];
        struct body body;
        uint64_t total = 0;

        if (p->root != root || (p->use != PART_LIST && (p->use != PART_SHOW || p->name[0] == '\0')))
            continue;
        body_open(&body, p);
        for (size_t made; (made = body_read(s, &body, octets)) > 0; )
            total += made;
        if (total < 1000)
            snprintf(size, sizeof size, "%u octet%s", (unsigned)total, total == 1 ? "" : "s");
        else
            size_text((int64_t)total, size, sizeof size);
        snprintf(type, sizeof type, " (%s, %s%s)", p->type, size,
                 p->encoding == ENCODING_UNKNOWN ? ", in an unknown encoding" : "");
        page_field(&s->page, "Attached");
        page_field_text(&s->page, p->name[0] != '\0' ? p->name : "without a name");
        page_field_text(&s->page, type);
        page_text_end(&s->page);
    }
}

/* Shows the fields of a message that people read. */
static void
show_fields(struct show *s, const struct part *p)
{
    static const char *const names[] = {"From", "To", "Cc", "Date", "Subject"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value;

        reader_open(&s->header, s->fd, p->head, p->body);
        while (page_open(&s->page) && field_read(&s->header, &s->field)) {
            if ((value = field_value(&s->field, names[i])) == NULL)
                continue;
            words_decode(value, s->text, sizeof s->text);
            page_field(&s->page, names[i]);
            page_field_text(&s->page, s->text);
            if (s->field.octets > SHOW_FIELD) {
                char cut[64];

                snprintf(cut, sizeof cut, " [cut here, of %llu octets]", (unsigned long long)s->field.octets);
                page_field_text(&s->page, cut);
            }
            page_text_end(&s->page);
        }
    }
}

/* Says whether a message has anything to show, and be it another message. */
static bool
has_text(const struct show *s, int root)
{
    for (int i = root; i < s->count; i++) {
        const struct part *p = &s->parts[i];

        if (p->root == root && p->use == PART_SHOW && p->end > p->body
            && (!p->opened || is_message(p) || strcmp(p->type, "multipart/encrypted") == 0))
            return true;
    }
    return false;
}

/* Begins to show a message, the whole or one that is enclosed in it. */
static void
show_root(struct show *s, int root)
{
    const struct part *p = &s->parts[root];

    show_fields(s, p);
    show_attachments(s, root);
    if (p->no_blank_line)
        page_note(&s->page, p->body == p->head ? "no header" : "no empty line ends the header");
    if (!has_text(s, root))
        page_note(&s->page, p->end == p->head ? "the message is empty" : "no text to read here");
}

/* Says what a person should know about a part that holds others. */
static void
show_notes(struct show *s, const struct part *p)
{
    if (strcmp(p->type, "multipart/signed") == 0)
        page_note(&s->page, "signed; the signature is not checked here");
    else if (strcmp(p->type, "multipart/encrypted") == 0)
        page_note(&s->page, "encrypted; it is not decrypted here");
}

static void
show_parts(struct show *s)
{
    for (int i = 0; i < s->count && page_open(&s->page); i++) {
        const struct part *p = &s->parts[i];

        page_gap(&s->page);
        s->page.bars = p->bars;
        if (p->root == i && p->use != PART_DROP)
            show_root(s, i);
        if (p->use == PART_SHOW && p->opened)
            show_notes(s, p);
        else if (p->use == PART_SHOW && p->end > p->body)
            part_show(s, p);
    }
    page_gap(&s->page);
    s->page.bars = 0;
    if (s->too_many)
        page_note(&s->page, "more than %d parts; what follows them is not shown", SHOW_PARTS);
    if (s->too_deep)
        page_note(&s->page, "parts in parts, more than %d deep; the inner ones are not shown", SHOW_DEPTH);
    if (s->cut_off)
        page_note(&s->page, "the message ends before its last part does: something may be missing");
}

/*
 * Shows the message that a file holds, its line ends LF, as visible text in UTF-8, to a page of so many columns
 * (0: lines are not wrapped). Returns false, with errno set, when that went wrong.
 */
static bool
show_message(int fd, FILE *out, unsigned columns)
{
    struct show *s = calloc(1, sizeof *s);
    off_t size = lseek(fd, 0, SEEK_END);

    if (s == NULL || size < 0) {
        free(s);
        return false;
    }
    s->fd = fd;
    s->page.out = out;
    s->page.columns = columns < SHOW_COLUMNS ? columns : SHOW_COLUMNS;

    parts_find(s, size);
    parts_choose(s);
    show_parts(s);

    int error = s->reader.error != 0 ? s->reader.error : s->header.error;
    if (ferror(out))
        error = EIO;
    free(s);
    errno = error;
    return error == 0;
}

/* Returns a file without a name, which no other program inherits, or NULL with errno set. */
static FILE *
private_file(void)
{
    FILE *file = tmpfile();

    if (file != NULL)
        fcntl(fileno(file), F_SETFD, FD_CLOEXEC);
    return file;
}

/* The child of run_pager(): the pager, in a process group of its own if it is to own the terminal. */
_Noreturn static void
exec_pager(const struct client *c, const char *pager, int file, bool own_group)
{
    if (own_group) {
        setpgid(0, 0);
        terminal_give(getpid());
    }
    lseek(file, 0, SEEK_SET);
    dup2(file, STDIN_FILENO);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGXFSZ, SIG_DFL);
    sigprocmask(SIG_SETMASK, &c->mask, NULL);
    if (c->utf8)
        setenv("LESSCHARSET", "utf-8", 0);      /* for less in the C locale */
    execl("/bin/sh", "sh", "-c", pager, (char *)NULL);
    _exit(127);
}

/*
 * Waits for the pager to end and keeps the session open, because a person may read for long. While
 * it is stopped, so are we. A signal that ends the client ends the pager first, so that it leaves
 * the screen as it was. Ctrl-C is not for us. Returns its wait status.
 */
static int
wait_pager(struct client *c, pid_t pid, bool own_group)
{
    pid_t target = own_group ? -pid : pid;
    int64_t kill_at = 0;
    int status = 0;

    for (pid_t ended; (ended = waitpid(pid, &status, WNOHANG | WUNTRACED)) >= 0;) {
        int64_t now = wire_clock(), left = c->spoke + c->noop_ms - now;

        if (ended > 0 && !WIFSTOPPED(status))
            break;
        if (ended > 0) {
            terminal_give(getpgrp());
            suspend(0);
            terminal_give(pid);
            kill(target, SIGCONT);
        }
        if (interrupted == SIGINT)
            interrupted = 0;
        if (interrupted && now >= kill_at) {
            kill(target, kill_at == 0 ? SIGTERM : SIGKILL);
            kill_at = now + 2000;
        }
        if (left <= 0) {
            c->noops++;
            send_line(c, "NOOP", 4);
            wire_flush(&c->server);
        }
        wait_ready(NULL, 0, false, interrupted ? 100 : left > 0 ? left : 0, &c->mask);
    }
    while (interrupted && own_group && kill(target, 0) == 0 && wire_clock() < kill_at)
        wait_ready(NULL, 0, false, 20, NULL);   /* what a shell started for us */
    return status;
}

/*
 * Shows a file with the pager. Returns false, after a message, if the pager could not be run or
 * failed, so that the text has to be shown without it. If Ctrl-C ended it, interrupted is SIGINT.
 */
static bool
run_pager(struct client *c, int file)
{
    const char *pager = getenv("PAGER");
    bool own_group = tcgetpgrp(STDIN_FILENO) == getpgrp();
    enum mode before = terminal.mode;
    int status;
    pid_t pid;

    if (pager == NULL || *pager == '\0')
        pager = "if command -v less >/dev/null; then exec less; fi; exec more";
    wire_flush(&c->screen);
    terminal_mode(AS_FOUND);
    pid = fork();
    if (pid == 0)
        exec_pager(c, pager, file, own_group);
    if (pid > 0 && own_group)
        setpgid(pid, pid);      /* here, too: the first of both counts */
    status = pid > 0 ? wait_pager(c, pid, own_group) : -1;
    if (own_group)
        terminal_give(getpgrp());
    terminal_mode(before);
    c->editor->pasting = false; /* the pager got the end of a paste */
    if (pid > 0 && ((WIFSIGNALED(status) && WTERMSIG(status) == SIGINT) || status == 130 << 8)) {
        interrupted = SIGINT;
        return true;
    }
    if (pid > 0 && !(WIFEXITED(status) && WEXITSTATUS(status) != 0))
        return true;
    warn(c, "the pager \"%s\" failed", pager);
    return false;
}

/* Says whether a page has more rows than a terminal has above its prompt. */
static bool
is_longer(FILE *page, const struct winsize *size)
{
    char piece[1024];
    size_t rows = 0, column = 0;

    rewind(page);
    while (rows + 1 < size->ws_row && fgets(piece, sizeof piece, page) != NULL) {
        size_t length = strcspn(piece, "\n");

        column = columns_after(column, piece, length);
        if (piece[length] == '\n') {
            rows += 1 + (column > 0 && size->ws_col > 0 ? (column - 1) / size->ws_col : 0);
            column = 0;
        }
    }
    rewind(page);
    return rows + 1 >= size->ws_row;
}

/*
 * Writes what a display made to a page, in the terminal's charset. It comes from a process that a message may
 * have got the better of: here too nothing but visible text passes.
 */
static void
page_put(FILE *page, struct visible *v, iconv_t to_local, const char *octets, size_t length)
{
    char text[VISIBLE_ROOM(256)], local[LOCAL_WORST * sizeof text];

    while (length > 0) {
        size_t part = length < 256 ? length : 256, made = visible_text(v, octets, part, text);

        if (to_local == (iconv_t)-1)
            fwrite(text, 1, made, page);
        else
            fwrite(local, 1, local_text(to_local, text, made, local), page);
        octets += part;
        length -= part;
    }
}

/*
 * Decodes a message to a page, in a process that has nothing but these two: MIME, HTML and charsets are what
 * is most likely to have a mistake in it. Returns whether all went well, having said if it did not; ^C is no
 * mistake.
 */
static bool
decode(struct client *c, int message, FILE *page, unsigned columns)
{
    struct visible v = {.count = 0};
    char block[4096];
    int pipes[2], status = 0, error = 0;
    pid_t pid, ended;

    if (pipe(pipes) != 0) {
        fail(c, "no pipe for the display: %s", strerror(errno));
        return false;
    }
    pid = fork();
    if (pid == 0) {             /* all signals that the client notes stay blocked here: it says when to end */
        FILE *out;

        if (dup2(message, STDIN_FILENO) < 0 || dup2(pipes[1], STDOUT_FILENO) < 0)
            _exit(EBADF);
        give_up_for_display();
        out = fdopen(STDOUT_FILENO, "w");
        if (out == NULL || !show_message(STDIN_FILENO, out, columns) || fflush(out) != 0)
            _exit(errno > 0 && errno < 126 ? errno : EIO);
        _exit(0);
    }
    if (pid < 0)
        fail(c, "no process for the display: %s", strerror(errno));
    close(pipes[1]);
    while (error == 0 && !interrupted) {
        ssize_t count = wait_ready(&pipes[0], 1, false, WAIT_FOREVER, &c->mask) > 0 ?
                        read(pipes[0], block, sizeof block) : -1;

        if (count > 0)
            page_put(page, &v, c->to_local, block, (size_t)count);
        else if (count == 0)
            break;
        else if (errno != EINTR && errno != EAGAIN)
            error = errno;
    }
    close(pipes[0]);
    fwrite(block, 1, visible_end(&v, block), page);
    if (pid < 0)
        return false;
    if (error != 0 || interrupted)
        kill(pid, SIGKILL);
    while ((ended = waitpid(pid, &status, 0)) < 0 && errno == EINTR)
        continue;
    if (ended < 0 && error == 0)
        error = errno;
    if (interrupted)
        return false;
    if (error != 0)
        fail(c, "the display is not complete: %s", strerror(error));
    else if (WIFSIGNALED(status))
        fail(c, "the display was broken off by signal %d; the session goes on, and RETR saves the message",
             WTERMSIG(status));
    else if (status != 0)
        fail(c, "the display is not complete: %s", strerror(WEXITSTATUS(status)));
    else if (fflush(page) != 0 || ferror(page))
        fail(c, "no room for the display: %s", strerror(errno));
    else
        return true;
    return false;
}

/*
 * Displays a message that lies in a file: through a pager when the terminal is too short for it, else as it
 * is. ^C ends the display and, of several messages, those behind it. Returns whether it came.
 */
static bool
display(struct client *c, FILE *message)
{
    struct winsize size = {.ws_row = 0};
    bool terminal_out = isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0;
    FILE *page = private_file();
    char block[4096];
    size_t count;
    bool good, enough;

    if (page == NULL) {
        fail(c, "no file for the display: %s", strerror(errno));
        return false;
    }
    good = decode(c, fileno(message), page, terminal_out ? size.ws_col : 0);
    if (!good || !c->at_terminal || !terminal_out || !is_longer(page, &size) ||
        !run_pager(c, fileno(page))) {
        free_row(c);
        good = fseek(page, 0, SEEK_SET) == 0;
        while (good && !interrupted && (count = fread(block, 1, sizeof block, page)) > 0)
            wire_put(&c->screen, block, count);
        if (!good || ferror(page))
            fail(c, "the display is not complete: %s", strerror(errno));
        wire_flush(&c->screen);
    }
    fclose(page);

    enough = interrupted == SIGINT && c->at_terminal;
    if (enough) {
        interrupted = 0;
        c->screen.error = c->screen.error == EINTR ? 0 : c->screen.error;
    }
    return enough;
}

/* ---- 9. Commands ----------------------------------------------------------------------------- */

/* Reads the lines of a LIST, number and size, and shows them too if they were asked for. */
struct listing {
    struct shown shown;
    bool show, full;
    char line[64];              /* as much of it as numbers can need */
    size_t length;
};

static void
take_to_listing(void *to, const unsigned char *octets, size_t length)
{
    struct listing *l = to;
    struct client *c = l->shown.client;

    if (l->show)
        take_to_screen(&l->shown, octets, length);
    for (size_t i = 0; i < length && !l->full; i++) {
        if (octets[i] != '\n') {
            if (l->length < sizeof l->line - 1)
                l->line[l->length++] = (char)octets[i];
            continue;
        }

        char *rest = NULL, *number, *size;
        uint64_t value = 0, octets_there = 0;

        l->line[l->length] = '\0';
        l->length = 0;
        number = strtok_r(l->line, " \t", &rest);
        size = strtok_r(NULL, " \t", &rest);
        if (number != NULL && pop3_number(number, UINT32_MAX, &value) && value > 0) {
            bool known = size != NULL && pop3_number(size, INT64_MAX, &octets_there);

            l->full = c->there.count == MESSAGES_MAX ||
                      !numbers_put(&c->there, (uint32_t)value, known ? (int64_t)octets_there : -1);
        }
    }
}

/* Reads the lines behind LIST's status line into c->there. Returns false, having said why, when that fails. */
static bool
read_listing(struct client *c, bool show)
{
    struct pop3_unstuffer u = {.octets = 0};
    struct listing listing = {.shown = {.client = c}, .show = show};

    c->there.count = 0;
    c->listed = get_body(c, &u, take_to_listing, &listing) && !listing.full;
    if (listing.full)
        fail(c, "the list of messages is too long");
    return c->listed;
}

/* Asks which messages there are that are not marked. Returns false when that is not to be known. */
static bool
list_messages(struct client *c)
{
    send_line(c, "LIST", 4);
    return get_status(c, NONE) && read_listing(c, false);
}

/* Returns how many characters must be changed, added, dropped or exchanged to make one word of another; 3: many. */
static size_t
distance(const char *a, const char *b)
{
    size_t before[3][12] = {{0}}, m = strlen(a), n = strlen(b);

    if (m > 10 || n > 10)
        return 3;
    for (size_t i = 0; i <= m; i++) {
        size_t *row = before[i % 3], *last = before[(i + 2) % 3], *earlier = before[(i + 1) % 3];

        for (size_t j = 0; j <= n; j++) {
            bool same = i > 0 && j > 0 && a[i - 1] == b[j - 1];
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];

            row[j] = i == 0 ? j : j == 0 ? i : last[j - 1] + !same;
            if (i > 0 && last[j] + 1 < row[j])
                row[j] = last[j] + 1;
            if (j > 0 && row[j - 1] + 1 < row[j])
                row[j] = row[j - 1] + 1;
            if (swapped && earlier[j - 2] + 1 < row[j])
                row[j] = earlier[j - 2] + 1;
        }
    }
    return before[m % 3][n] < 3 ? before[m % 3][n] : 3;
}

/* Suggests the command that a refused word was probably meant to be. */
static void
hint(struct client *c, const char *word)
{
    const char *best = NULL;
    size_t least = 2;
    char upper[12] = "";

    for (size_t i = 0; i < sizeof upper - 1 && word[i] != '\0'; i++)
        upper[i] = word[i] >= 'a' && word[i] <= 'z' ? (char)(word[i] - 'a' + 'A') : word[i];
    for (int verb = 0; verb < POP3_VERBS + 2; verb++) {
        const char *name = verb < POP3_VERBS ? pop3_commands[verb].name : verb == POP3_VERBS ? "SHOW" : "HELP";

        if (distance(upper, name) < least) {
            least = distance(upper, name);
            best = name;
        }
    }
    if (best != NULL)
        tell(c, "Did you mean %s?", best);
    else if (c->at_terminal)
        tell(c, "HELP lists the commands.");
}

/* Sends a line as it was typed and shows the answer, with what follows it if the command has that. */
static void
do_plain(struct client *c, const char *line, const struct pop3_request *typed)
{
    const struct pop3_command *command = &pop3_commands[typed->verb < POP3_VERBS ? typed->verb : POP3_NOOP];
    bool body = command->body == BODY || (command->body == BODY_IF_ALONE && typed->count == 0);
    bool failed = c->failed;

    if (strlen(line) > POP3_COMMAND_MAX - 2) {
        fail(c, "that is too long for POP3: a command has at most %d octets", POP3_COMMAND_MAX - 2);
        return;
    }
    c->user_given = typed->verb == POP3_USER;
    send_line(c, line, strlen(line));
    if (!get_status(c, EVERY)) {
        if (typed->verb == POP3_VERBS && has_status(c->status, "+") && !c->over)
            c->failed = failed;         /* the next line typed is what it asks for */
        if (typed->verb == POP3_VERBS && has_status(c->status, "-ERR") && !c->over)
            hint(c, typed->word);
        return;
    }
    if (typed->verb == POP3_LIST && body)
        read_listing(c, true);
    else if (body)
        show_body(c);
    if (typed->verb == POP3_RSET) {
        c->marked.count = 0;
        c->listed = false;
    }
}

/* Adds a number that is not in the list yet. Returns false, having said so, when there is no memory. */
static bool
add_number(struct client *c, struct numbers *list, struct numbers *seen, uint32_t number)
{
    size_t known = numbers_find(&c->there, number);
    bool there = c->listed && known < c->there.count && c->there.list[known].number == number;

    if (numbers_have(seen, number))
        return true;
    if (numbers_put(seen, number, -1) && numbers_append(list, number, there ? c->there.list[known].octets : -1))
        return true;
    fail(c, "no memory for so many messages");
    return false;
}

/* Adds what there is from first to last, without what is marked. Returns false when there is no memory. */
static bool
add_range(struct client *c, struct numbers *list, struct numbers *seen, uint32_t first, uint32_t last)
{
    for (size_t i = numbers_find(&c->there, first); i < c->there.count && c->there.list[i].number <= last; i++)
        if (!add_number(c, list, seen, c->there.list[i].number))
            return false;
    return true;
}

/* Reads a word of a list: n, or n-m. */
static bool
read_range(const char *word, uint64_t *first, uint64_t *last)
{
    char text[24];
    const char *dash = strchr(word, '-');
    size_t length = dash != NULL ? (size_t)(dash - word) : strlen(word);

    if (length >= sizeof text)
        return false;
    memcpy(text, word, length);
    text[length] = '\0';
    if (!pop3_number(text, UINT32_MAX, first))
        return false;
    *last = *first;
    return dash == NULL || pop3_number(dash + 1, UINT32_MAX, last);
}

/*
 * Reads the arguments of a command that takes several messages: numbers, ranges and *. Returns false, having
 * said why, when they name nothing that can be asked for; nothing was sent then but a LIST.
 */
static bool
read_numbers(struct client *c, const char *arguments, struct numbers *list)
{
    char words[TYPED_MAX + 1], *rest = words, *word;
    struct numbers seen = {.list = NULL};
    bool good = true, asked = false;

    snprintf(words, sizeof words, "%s", arguments);
    while (good && (word = strtok_r(rest, " \t", &rest)) != NULL) {
        uint64_t first = 0, last = 0;
        bool all = strcmp(word, "*") == 0;

        if (!all && (!read_range(word, &first, &last) || (first == 0 && strchr(word, '-') != NULL))) {
            fail(c, "%s is no message number, range such as 2-5, or *; nothing was sent", word);
            good = false;
        } else if (first > last) {
            fail(c, "%s runs backwards; nothing was sent", word);
            good = false;
        } else if (!all && strchr(word, '-') == NULL) {
            good = add_number(c, list, &seen, (uint32_t)first);     /* whether it is there the server knows */
        } else if (asked || (good = asked = list_messages(c))) {
            uint32_t top = c->there.count > 0 ? c->there.list[c->there.count - 1].number : 0;

            if (c->marked.count > 0 && c->marked.list[c->marked.count - 1].number > top)
                top = c->marked.list[c->marked.count - 1].number;
            if (last > top) {
                fail(c, "%s goes past the last message, which is %" PRIu32 "; nothing was sent", word, top);
                good = false;
            }
            good = good && add_range(c, list, &seen, (uint32_t)first, all ? UINT32_MAX : (uint32_t)last);
        } else if (!c->over) {
            show_line(c, c->status, strlen(c->status));
        }
    }
    if (good && list->count == 0)
        tell(c, c->marked.count > 0 ? "all of them are marked; RSET unmarks them" : "there is no message");
    numbers_free(&seen);
    return good;
}

/* Looks in the lines of CAPA's answer for PIPELINING (RFC 2449 section 6.8). */
struct capability {
    char line[16];
    size_t length;
    bool found;
};

static void
take_to_capability(void *to, const unsigned char *octets, size_t length)
{
    struct capability *p = to;

    for (size_t i = 0; i < length; i++) {
        if (octets[i] != '\n') {
            if (p->length < sizeof p->line)
                p->line[p->length++] = (char)octets[i];
            continue;
        }
        p->found = p->found || (p->length == 10 && memcmp(p->line, "PIPELINING", 10) == 0);
        p->length = 0;
    }
}

/* Finds out, once, whether commands may be sent before the earlier ones are answered. */
static bool
may_send_ahead(struct client *c)
{
    struct pop3_unstuffer u = {.octets = 0};
    struct capability pipelining = {.found = false};
    bool failed = c->failed;

    if (c->pipelining >= 0)
        return c->pipelining > 0;
    send_line(c, "CAPA", 4);
    if (get_status(c, NONE))
        get_body(c, &u, take_to_capability, &pipelining);
    else if (!c->over)
        c->failed = failed;     /* an older server: no fault of anybody's */
    c->pipelining = pipelining.found;
    return pipelining.found;
}

/*
 * Sends a command for each message and takes the answers with what fits it, in order. As many as most are
 * sent ahead if the server can take that; they are few enough to fit on the way, so nobody waits for the
 * other.
 */
static void
for_each(struct client *c, enum pop3_verb verb, size_t most, const struct numbers *list,
         void (*answered)(struct client *c, uint32_t number))
{
    size_t ahead = most > 1 && list->count > 1 && may_send_ahead(c) ? most : 1, sent = 0;

    progress_begin(c, list->count, verb == POP3_RETR ? numbers_octets(list) : 0);
    for (size_t i = 0; i < list->count && !c->over && !c->tally.enough; i++) {
        if (sent - i <= ahead / 2)
            for (; sent < list->count && sent - i < ahead; sent++) {
                char line[32];
                int length = snprintf(line, sizeof line, "%s %" PRIu32, pop3_commands[verb].name,
                                      list->list[sent].number);

                send_line(c, line, (size_t)length);
            }
        if (!wire_flush(&c->server))
            lost(c);
        else
            answered(c, list->list[i].number);
        c->progress.messages++;
    }
    progress_end(c);
}

/* RETR n: saves the message, together with others if there are more. */
static void
retr_answered(struct client *c, uint32_t number)
{
    struct savings *r = &c->received;
    struct pop3_unstuffer u = {.octets = 0};
    struct saving saving;
    bool alone = c->progress.of == 1;

    if (!numbers_put(&c->unsaved, number, -1))
        fail(c, "no memory to remember message %" PRIu32, number);
    if (!get_status(c, alone ? EVERY : ALL_BUT_OK)) {
        if (!alone && !c->over)
            fail(c, "message %" PRIu32 " is not saved", number);
        return;
    }
    save_another(c, &saving, number);
    sscanf(c->status, "+OK %20[0-9]", saving.announced);
    if (alone)
        pop3_number(saving.announced, INT64_MAX, &c->progress.expected);
    else if ((saving.status = strdup(c->status)) == NULL)
        show_line(c, c->status, strlen(c->status));

    if (!get_body(c, &u, take_to_file, &saving)) {
        fail(c, "message %" PRIu32 " is not saved", number);
        saving.error = EPROTO;  /* and lost() has said why */
        save_end(&saving, 1);
        free(saving.status);
        return;
    }
    saving.octets = u.octets;
    if (r->count == 0)
        r->since = wire_clock();
    r->list[r->count++] = saving;
    r->octets += u.octets;
    if (r->count >= r->most || r->octets >= SAVE_OCTETS || saving.error != 0)
        save_received(c);
}

/* DELE n: the server marks the message, and QUIT will remove it. */
static void
dele_answered(struct client *c, uint32_t number)
{
    if (!get_status(c, EVERY)) {
        if (c->progress.of > 1 && !c->over)
            fail(c, "message %" PRIu32 " is not marked", number);
        return;
    }
    c->tally.done++;
    numbers_drop(&c->there, number);
    if (!numbers_put(&c->marked, number, -1))
        fail(c, "no memory to remember message %" PRIu32, number);
    tell(c, "marked %" PRIu32, number);
}

static void
take_nowhere(void *to, const unsigned char *octets, size_t length)
{
    (void)to;
    (void)octets;
    (void)length;
}

static void
take_to_stream(void *to, const unsigned char *octets, size_t length)
{
    fwrite(octets, 1, length, to);
}

/* SHOW n: RETR, but the message is displayed, not saved. */
static void
show_answered(struct client *c, uint32_t number)
{
    struct pop3_unstuffer u = {.octets = 0};
    FILE *message;

    (void)number;
    if (!get_status(c, EVERY))
        return;
    message = private_file();
    if (message == NULL)
        fail(c, "no file for the message: %s", strerror(errno));
    if (get_body(c, &u, message != NULL ? take_to_stream : take_nowhere, message) && message != NULL) {
        progress_end(c);
        if (fflush(message) == 0 && !ferror(message)) {
            c->tally.enough = display(c, message);
            c->tally.done++;
        } else {
            fail(c, "no room for the message: %s", strerror(errno));
        }
    }
    if (message != NULL)
        fclose(message);
}

enum action { SAVE, MARK, DISPLAY };

/* RETR, DELE or SHOW of one or several messages; arguments is what follows the command's word. */
static void
do_several(struct client *c, enum action action, const char *arguments)
{
    struct numbers list = {.list = NULL};

    c->tally = (struct tally){.done = 0};
    if (!read_numbers(c, arguments, &list)) {
        c->any_unsaved = c->any_unsaved || action == SAVE;
        numbers_free(&list);
        return;
    }
    if (action == MARK && !c->at_terminal) {
        size_t kept = 0;

        for (size_t i = 0; i < list.count; i++) {
            if (c->any_unsaved)
                fail(c, "message %" PRIu32 " is not marked: an earlier RETR was not understood", list.list[i].number);
            else if (numbers_have(&c->unsaved, list.list[i].number))
                fail(c, "message %" PRIu32 " may not be saved, so it is not marked", list.list[i].number);
            else
                list.list[kept++] = list.list[i];
        }
        list.count = kept;
    }
    if (action == SAVE)
        for_each(c, POP3_RETR, AHEAD_MAX, &list, retr_answered);
    else if (action == MARK)
        for_each(c, POP3_DELE, AHEAD_MAX, &list, dele_answered);
    else                        /* a person reads one after the other */
        for_each(c, POP3_RETR, 1, &list, show_answered);
    save_received(c);           /* before anybody can mark them */
    save_close(c);
    if (list.count > 1 && action != DISPLAY) {
        size_t failed = list.count - c->tally.done - c->tally.had;
        char size[16];

        size_text((int64_t)c->tally.octets, size, sizeof size);
        if (action == SAVE)
            tell(c, "%zu saved, %zu already there, %zu failed (%s)", c->tally.done, c->tally.had, failed, size);
        else
            tell(c, "%zu marked, %zu failed", c->tally.done, failed);
    }
    numbers_free(&list);
}

static void
do_help(struct client *c)
{
    for (int verb = 0; verb < POP3_VERBS; verb++) {
        const struct pop3_command *command = &pop3_commands[verb];
        bool several = verb == POP3_RETR || verb == POP3_DELE;

        tell(c, "  %-5s%-12s%s", command->name, several ? "n..." : command->arguments, command->help);
    }
    tell(c, "  %-5s%-12s%s", "SHOW", "n...", "a message as a person reads it");
    tell(c, "  %-5s%-12s%s", "HELP", "", "this list");
    tell(c, "n... stands for messages: 1 3 5-9, or * for all. RETR saves them in %s.", c->settings->directory);
}

/* QUIT: the server removes what is marked, and answers when it has. */
static void
do_quit(struct client *c)
{
    bool gone;

    c->quitting = true;
    c->server.idle_ms = QUIT_SECONDS * 1000;
    send_line(c, "QUIT", 4);
    gone = get_status(c, EVERY);
    if (c->over)
        return;
    c->over = true;
    if (gone && c->marked.count > 0)
        tell(c, "%zu message%s removed", c->marked.count, c->marked.count == 1 ? " was" : "s were");
    else if (!gone)
        fail(c, c->marked.count > 0 ? "not all marked messages were removed" : "the server was not content");
}

enum wake { WAKE_KEYS, WAKE_PAUSE, WAKE_SIGNAL, WAKE_OVER };

/*
 * Waits for what a person types, for ms milliseconds at most, -1 for any time. Meanwhile it listens to the
 * server, which may go or have something to say, and keeps the session open with NOOP. Returns what came:
 * keys (or their end), nothing, a signal, or the end of the session.
 */
static enum wake
wait_for_keys(struct client *c, int64_t ms)
{
    struct wire *keys = &c->keys;
    int64_t now = wire_clock(), limit = ms == WAIT_FOREVER ? INT64_MAX : now + ms;

    if (c->spoke == 0)
        c->spoke = now;         /* nothing was sent yet: the server waits from now on */
    wire_flush(&c->screen);
    while (!c->over && keys->in_start == keys->in_end && keys->error == 0 && c->screen.error == 0) {
        if (interrupted || resized || line_stopped)
            return WAKE_SIGNAL; /* it came while something else waited */

        int fds[2] = {keys->in, c->server.in}, ready = 0;
        int64_t noop = c->spoke + c->noop_ms, left = (limit < noop ? limit : noop) - now;

        if (left > 0 && (ready = wait_ready(fds, 2, false, left, &c->mask)) < 0)
            return WAKE_SIGNAL;
        if (ready & 1)
            wire_fill(keys);
        if (ready & 2) {
            hear_server(c);
            if (c->row == ROW_FREE && !c->over)
                return WAKE_PAUSE;      /* it had to be taken for what the server said */
        }
        now = wire_clock();
        if (now >= limit)
            return WAKE_PAUSE;
        if (now >= noop && (c->row == ROW_PASSWORD || c->user_given)) {
            c->spoke = now;     /* between USER and PASS no other command may come */
        } else if (now >= noop) {
            if (c->noops++ > 0) {
                wire_fail(&c->server, ETIMEDOUT);
                lost(c);
            }
            send_line(c, "NOOP", 4);
            wire_flush(&c->server);
        }
    }
    return c->over || c->screen.error != 0 ? WAKE_OVER : WAKE_KEYS;
}

/*
 * Says whether the input came to an end that is no wish to quit: an error, or a terminal that is gone, which a
 * SIGHUP may tell as well. Only a ^D and the end of a file or a pipe are one.
 */
static bool
input_broke(const struct client *c)
{
    struct termios t;

    if (c->keys.error != WIRE_CLOSED)
        return true;
    return c->at_terminal && (terminal.mode == RAW || tcgetattr(c->keys.in, &t) != 0);
}

/* Takes one octet of what was typed, -1 at its end. */
static int
take_key(struct client *c)
{
    return c->keys.in_start < c->keys.in_end ? c->keys.input[c->keys.in_start++] : -1;
}

enum typed { TYPED_LINE, TYPED_NOTHING, TYPED_END };

/* Shows the line that is being typed, or for a password only what to type. */
static void
edit_show(struct client *c)
{
    struct text paint = {NULL, 0, 0};

    if (!c->editor->hidden) {
        editor_paint(c->editor, &paint);
        c->row = ROW_LINE;
    } else if (c->row == ROW_FREE) {
        text_puts(&paint, "Password: ");
        c->row = ROW_PASSWORD;
    }
    wire_put(&c->screen, paint.bytes, paint.length);
    wire_flush(&c->screen);
    text_free(&paint);
}

/* Leaves the line on the screen. A password was never there. */
static void
edit_finish(struct client *c, enum verdict verdict)
{
    struct text paint = {NULL, 0, 0};

    if (!c->editor->hidden) {
        editor_finish(c->editor, verdict == INTERRUPT ? "^C" : "", &paint);
        wire_put(&c->screen, paint.bytes, paint.length);
        c->row = ROW_FREE;
    }
    clear_line(c);
    wire_flush(&c->screen);
    text_free(&paint);
}

/* Reads all that was typed. Returns true if a Ctrl-C is in it. */
static bool
ctrl_c_waits(struct wire *keys)
{
    while (keys->error == 0 && keys->in_end - keys->in_start < WIRE_INPUT &&
           wait_ready(&keys->in, 1, false, 0, NULL) > 0)
        wire_fill(keys);
    return memchr(keys->input + keys->in_start, CTRL_C, keys->in_end - keys->in_start) != NULL;
}

/*
 * Gives the editor what was typed, up to the end of a line. Ctrl-C drops lines before it that
 * were not yet carried out, as it does on a terminal without a line editor: so it can stop a paste
 * of thousands of lines.
 */
static enum verdict
edit_keys(struct client *c)
{
    struct editor *e = c->editor;
    enum verdict verdict = MORE;

    while (verdict == MORE && c->keys.in_start < c->keys.in_end) {
        verdict = editor_feed(e, (unsigned char)take_key(c));
        if (verdict == LINE && ctrl_c_waits(&c->keys)) {
            editor_start(e, e->hidden);
            verdict = MORE;
        }
    }
    return verdict;
}

/* A signal came while a line was typed. */
static enum verdict
edit_signal(struct client *c)
{
    if (resized)
        editor_resize(c->editor, terminal_columns());
    resized = 0;
    if (interrupted && interrupted != SIGINT) {
        limit_output(c);
        return END;
    }
    if (!line_stopped && !interrupted)
        return MORE;
    c->editor->discarding = c->editor->pasting;
    line_stopped = interrupted = 0;
    return INTERRUPT;
}

/*
 * Reads a line, or a password that nobody sees, with the editor. Returns TYPED_LINE with the line
 * in c->editor, or why there is none: TYPED_NOTHING also for one that is too long.
 */
static enum typed
edit_line(struct client *c, bool hidden)
{
    struct editor *e = c->editor;
    enum verdict verdict = MORE;
    int64_t since = wire_clock();       /* the last key */

    terminal_mode(RAW);
    editor_start(e, hidden);
    editor_resize(e, terminal_columns());
    paste_running = 0;
    while (verdict == MORE) {
        int64_t patience = editor_patience(e), passed = wire_clock() - since;

        edit_show(c);
        switch (wait_for_keys(c, patience == WAIT_FOREVER ? patience :
                              patience > passed ? patience - passed : 0)) {
        case WAKE_OVER:
            terminal_mode(QUIET);
            return TYPED_NOTHING;
        case WAKE_SIGNAL:
            verdict = edit_signal(c);
            break;
        case WAKE_PAUSE:
            if (patience != WAIT_FOREVER && wire_clock() - since >= patience)
                editor_timeout(e);
            break;
        case WAKE_KEYS:
            since = wire_clock();
            if (c->keys.in_start == c->keys.in_end && input_broke(c)) {
                interrupted = SIGHUP;
                verdict = edit_signal(c);
            }
            if (verdict == MORE)
                verdict = edit_keys(c);
            if (c->over)
                return TYPED_NOTHING;
            break;
        }
        if (verdict == SUSPEND) {
            clear_line(c);
            wire_flush(&c->screen);
            suspend(0);
            e->pasting = e->discarding = false;
            verdict = MORE;
        }
    }
    edit_finish(c, verdict);
    paste_running = verdict == LINE && e->pasting;
    terminal_mode(QUIET);
    if (verdict == LINE && e->too_long) {
        fail(c, "the line is longer than %d bytes; it was not sent", TYPED_MAX);
        return TYPED_NOTHING;
    }
    return verdict == LINE ? TYPED_LINE : verdict == END && !interrupted ? TYPED_END : TYPED_NOTHING;
}

/* Asks for a password and sends exactly the bytes that were typed. Ctrl-C and Enter alone: nothing. */
static void
do_password(struct client *c)
{
    const struct pop3_request pass = {.verb = POP3_PASS, .word = "PASS", .count = 1};
    enum mode before = terminal.mode;
    enum typed typed = edit_line(c, true);
    char line[TYPED_MAX + 8];

    terminal_mode(before);
    if (typed == TYPED_LINE && c->editor->length > 0 && !c->over) {
        snprintf(line, sizeof line, "PASS %s", c->editor->line);
        do_plain(c, line, &pass);
    }
    memset(line, 0, sizeof line);
    editor_start(c->editor, false);
}

/* Carries out one typed line, of that length. */
static void
run(struct client *c, char *line, size_t length)
{
    char words[TYPED_MAX + 1];
    struct pop3_request typed;

    for (size_t i = 0; i < length; i++)
        if (((unsigned char)line[i] < ' ' && line[i] != '\t') || line[i] == 0x7f) {
            fail(c, "a command has no control characters; that line was not sent");
            return;
        }
    line += strspn(line, " \t");
    snprintf(words, sizeof words, "%s", line);
    typed = pop3_parse(words);
    if (typed.verb != POP3_PASS)    /* whose blanks belong to the password */
        for (size_t end = strlen(line); end > 0 && is_blank(line[end - 1]); end--)
            line[end - 1] = '\0';
    hear_server(c);
    if (typed.word[0] == '\0' || c->over)
        return;

    const char *arguments = line + strlen(typed.word);
    arguments += strspn(arguments, " \t");
    bool several = (typed.verb == POP3_RETR || typed.verb == POP3_DELE) && typed.count > 0;
    uint64_t number;

    if (several && c->at_terminal && typed.count == 1 && typed.argument[0][0] != '*' &&
        strchr(typed.argument[0], '-') == NULL &&
        !pop3_number(typed.argument[0], UINT32_MAX, &number))
        several = false;        /* let the server say what is wrong with it */

    if (pop3_same_word(typed.word, "HELP"))
        do_help(c);
    else if (pop3_same_word(typed.word, "SHOW") && typed.count == 0)
        fail(c, "SHOW takes messages: SHOW 2");
    else if (pop3_same_word(typed.word, "SHOW"))
        do_several(c, DISPLAY, arguments);
    else if (typed.verb == POP3_QUIT && typed.count > 0)
        fail(c, "QUIT takes nothing behind it; nothing was sent");
    else if (typed.verb == POP3_QUIT)
        do_quit(c);
    else if (typed.verb == POP3_PASS && typed.count == 0 && c->at_terminal)
        do_password(c);
    else if (several)
        do_several(c, typed.verb == POP3_RETR ? SAVE : MARK, arguments);
    else
        do_plain(c, line, &typed);
}

/* ---- 10. The loop and main ------------------------------------------------------------------- */

/* For Tab: the lowest message number above one that was listed. The first time asks the server. */
static size_t
next_message(void *context, size_t above, int64_t *octets)
{
    struct client *c = context;
    bool failed = c->failed;
    size_t at;

    if (!c->listed && above == 0 && !c->over) {
        terminal_mode(QUIET);   /* ^C can end the wait */
        if (!list_messages(c))
            c->failed = failed || c->over;
        terminal_mode(RAW);
    }
    at = above < UINT32_MAX ? numbers_find(&c->there, (uint32_t)above + 1) : c->there.count;
    if (!c->listed || at == c->there.count)
        return 0;
    *octets = c->there.list[at].octets;
    return c->there.list[at].number;
}

/* Copies the first word of a line, as much of it as a command can have. Returns the copy. */
static const char *
first_word(const char *line, char word[8])
{
    size_t length;

    line += strspn(line, " \t");
    length = strcspn(line, " \t");
    snprintf(word, 8, "%.*s", length < 8 ? (int)length : 7, line);
    return word;
}

/*
 * Reads one line as it comes from a script, or from a terminal that cannot do more than lines. Returns
 * TYPED_LINE with the line in text, which has room for TYPED_MAX and a NUL, or why there is none.
 */
static enum typed
read_line(struct client *c, char *text, size_t *length)
{
    bool too_long = false;
    char word[8];
    int key = 0;

    *length = 0;
    if (c->at_terminal) {
        wire_put(&c->screen, "pop3> ", 6);
        c->row = ROW_PROMPT;
    }
    while (key != '\n') {
        if (c->keys.in_start == c->keys.in_end) {
            enum wake wake = wait_for_keys(c, WAIT_FOREVER);

            if (wake == WAKE_OVER)
                return TYPED_NOTHING;
            if (wake == WAKE_SIGNAL && interrupted) {
                free_row(c);
                if (c->at_terminal && interrupted == SIGINT)
                    interrupted = 0;
                return TYPED_NOTHING;
            }
            if (wake == WAKE_SIGNAL && resized) {
                resized = 0;
                free_row(c);    /* the shell had it while this was stopped */
            }
            if (c->at_terminal && c->row == ROW_FREE) {
                wire_put(&c->screen, "pop3> ", 6);
                wire_put(&c->screen, text, *length);
                c->row = ROW_PROMPT;
            }
            if (wake != WAKE_KEYS)
                continue;
        }
        key = take_key(c);
        if (key < 0) {
            if (c->keys.error > 0)
                fail(c, "the commands cannot be read: %s", strerror(c->keys.error));
            if (input_broke(c))
                interrupted = SIGHUP;
            break;
        }
        if (*length < TYPED_MAX)
            text[(*length)++] = (char)key;
        else
            too_long = true;
    }
    if (key < 0)
        free_row(c);            /* a ^D leaves the prompt where it is */
    c->row = ROW_FREE;
    if (*length > 0 && text[*length - 1] == '\n')
        --*length;
    if (*length > 0 && text[*length - 1] == '\r')
        --*length;
    text[*length] = '\0';
    if (too_long || (c->at_terminal && *length == TYPED_MAX - 1)) {  /* Linux cuts it there */
        fail(c, "that line is too long; it was not sent");
        return TYPED_NOTHING;
    }
    if (key < 0 && *length > 0 && pop3_same_word(first_word(text, word), "DELE")) {
        fail(c, "%s has no line end and may have been cut off; it was not sent", text);
        return TYPED_END;
    }
    return key < 0 && *length == 0 ? TYPED_END : TYPED_LINE;
}

/* Takes commands until the session is over. */
static void
converse(struct client *c)
{
    char line[TYPED_MAX + 1];

    while (!c->over) {
        size_t length = 0;
        enum typed typed;

        if (c->editing) {
            typed = edit_line(c, false);
            length = c->editor->length;
            memcpy(line, c->editor->line, length + 1);
        } else {
            typed = read_line(c, line, &length);
        }
        if (wire_stopped(&c->server))
            wire_fail(&c->server, EINTR);
        if (c->server.error != 0 || c->screen.error != 0)
            lost(c);
        else if (typed == TYPED_LINE)
            run(c, line, length);
        else if (typed == TYPED_END) {
            hear_server(c);     /* so that nothing else is taken for its answer */
            if (!c->over)
                do_quit(c);
        }
        memset(line, 0, length);
    }
    editor_start(c->editor, false);
    free_row(c);
    wire_flush(&c->screen);
}

static const char usage[] = "usage: client [-hV] [-d directory] [-x command] [host [port]]\n";

static const char help[] =
    "\n"
    "Reads mail by POP3. The host is localhost and the port " POP3_PORT " if none is given.\n"
    "HELP at the prompt lists the commands.\n"
    "\n"
    "  -d DIRECTORY  where messages are saved; made when first needed (inbox)\n"
    "  -x COMMAND    run COMMAND with sh -c and talk to it instead of a host\n"
    "  -h, --help    say this\n"
    "  -V, --version say which version this is\n"
    "\n"
    "  client -x './server -i'\n"
    "  client -x 'openssl s_client -quiet -verify_return_error -connect HOST:995'\n";

/* Says what is wrong with the command line, and ends the program. */
static _Noreturn void __attribute__((format(printf, 2, 3)))
misused(struct client *c, const char *format, ...)
{
    char text[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    warn(c, "%s; --help lists what there is", text);
    exit(2);
}

/* Reads the command line. Ends the program when it was asked what there is, or something else it is not. */
static void
read_options(struct client *c, struct settings *settings, int argc, char **argv)
{
    static const struct option names[] = {
        {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {NULL, 0, NULL, 0}
    };
    uint64_t port;
    int option;

    opterr = 0;
    while ((option = getopt_long(argc, argv, ":d:hVx:", names, NULL)) != -1) {
        switch (option) {
        case 'd':
            settings->directory = optarg;
            for (size_t end = strlen(optarg); end > 1 && optarg[end - 1] == '/'; end--)
                optarg[end - 1] = '\0';     /* a path of a message has one slash there */
            break;
        case 'h':
            printf("%s%s", usage, help);
            exit(0);
        case 'V':
            printf("pop3 client %s\n", POP3_VERSION);
            exit(0);
        case 'x':
            settings->command = optarg;
            break;
        case ':':
            misused(c, "-%c needs a value", optopt);
        default:
            if (optopt == 'h' || optopt == 'V')
                misused(c, "%s: that option takes no value", argv[optind - 1]);
            if (optopt != 0)
                misused(c, "there is no option -%c", optopt);
            misused(c, "there is no option %s", argv[optind - 1]);
        }
    }
    if (settings->command != NULL && optind < argc)
        misused(c, "-x takes the place of a host, and %s is one", argv[optind]);
    if (optind < argc)
        settings->host = argv[optind++];
    if (settings->host[0] == '\0')
        misused(c, "a host is a name or an address, and this one is empty");
    if (settings->host[strspn(settings->host, "0123456789")] == '\0')
        misused(c, "a host comes first, then the port, and %s is no host", settings->host);
    if (optind < argc)
        settings->port = argv[optind++];
    if (optind < argc)
        misused(c, "a host and a port are enough, and %s is one more", argv[optind]);
    if (!pop3_number(settings->port, 65535, &port) || port == 0)
        misused(c, "a port is a number from 1 to 65535, not %s", settings->port);
}

static void
note_signal(int number)
{
    if (number == SIGWINCH)
        resized = 1;
    else if (number == SIGINT && (terminal.mode == RAW || paste_running)) {
        line_stopped = 1;
        paste_running = 0;
    } else if (number != SIGCHLD && (interrupted == 0 || interrupted == SIGINT))
        interrupted = number;   /* SIGCHLD only has to end a wait */
}

/* Blocks the signals that the program takes notice of, and returns in *mask how it was before. */
static void
catch_signals(sigset_t *mask)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGCHLD, SIGWINCH, SIGTSTP, SIGCONT};
    struct sigaction action = {.sa_handler = note_signal};
    sigset_t blocked;

    sigemptyset(&action.sa_mask);
    sigemptyset(&blocked);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction before;

        sigaction(numbers[i], NULL, &before);
        if (before.sa_handler == SIG_IGN && numbers[i] != SIGCHLD)
            continue;           /* as nohup and a shell's background jobs want it */
        action.sa_handler = numbers[i] == SIGTSTP ? suspend : numbers[i] == SIGCONT ? on_continue : note_signal;
        sigaction(numbers[i], &action, NULL);
        sigaddset(&blocked, numbers[i]);
    }
    sigprocmask(SIG_BLOCK, &blocked, mask);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        sigdelset(mask, numbers[i]);
    signal(SIGPIPE, SIG_IGN);   /* these two are told by errno, where something can be done about it */
    signal(SIGXFSZ, SIG_IGN);
}

/* Finds out what the terminal reads. The C locale says nothing of it, and that is UTF-8 nearly everywhere. */
static void
use_charset(struct client *c)
{
    setlocale(LC_CTYPE, "");
    c->codeset = nl_langinfo(CODESET);
    if (strcasecmp(c->codeset, "ANSI_X3.4-1968") == 0 || strcasecmp(c->codeset, "US-ASCII") == 0 ||
        strcasecmp(c->codeset, "ASCII") == 0)
        c->codeset = "UTF-8";
    if (strcasecmp(c->codeset, "UTF-8") != 0) {
        c->to_local = iconv_open(c->codeset, "UTF-8");
        if (c->to_local == (iconv_t)-1)
            c->to_local = iconv_open("ASCII", "UTF-8");
    }
    c->utf8 = strcasecmp(c->codeset, "UTF-8") == 0;
    c->editor->ascii = !c->utf8;
}

/* Readies the three wires, and connects the server's or starts the command. Returns false, having said why. */
static bool
connect_wires(struct client *c, const struct addrinfo *addresses)
{
    int in, out;

    wire_open(&c->server, -1, -1);
    c->server.mask = &c->mask;
    c->server.stop = &interrupted;
    if (c->settings->command == NULL)
        in = out = connect_to(c, addresses);
    else if (!run_command(c, &in, &out))
        in = -1;
    if (in < 0)
        return false;

    wire_open(&c->server, in, out);
    c->server.mask = &c->mask;
    c->server.stop = &interrupted;
    c->server.idle_ms = ANSWER_SECONDS * 1000;
    return true;
}

int
main(int argc, char **argv)
{
    static struct client client;
    const struct addrinfo hints = {.ai_flags = AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
    struct settings settings = {.host = "localhost", .port = POP3_PORT, .directory = "inbox"};
    static struct editor editor;
    struct client *c = &client;
    struct addrinfo *addresses = NULL;
    static const struct completer_command own[] = {{"SHOW", UINT_MAX}, {"HELP", 0}, {NULL, 0}};
    const struct completer completer = {.extra = own, .next_message = next_message, .context = c};
    const char *term = getenv("TERM");
    int spare;

    while ((spare = open("/dev/null", O_RDONLY)) >= 0 && spare <= STDERR_FILENO)
        ;                       /* or a connection or a message would get the number of a closed one */
    close(spare);
    c->settings = &settings;
    c->editor = &editor;
    c->pipelining = -1;
    c->received.directory = -1;
    c->to_local = (iconv_t)-1;
    c->noop_ms = NOOP_SECONDS * 1000;
    c->at_terminal = isatty(STDIN_FILENO) != 0;
    c->editing = c->at_terminal && isatty(STDOUT_FILENO) && term != NULL && *term != '\0' &&
                 strcmp(term, "dumb") != 0;
    terminal.pastes = c->editing;
    editor_init(c->editor, "pop3> ", &completer);
    atexit(terminal_restore);
    use_charset(c);
    wire_open(&c->keys, STDIN_FILENO, STDOUT_FILENO);
    terminal.screen = open_again(STDOUT_FILENO);
    wire_open(&c->screen, STDIN_FILENO, terminal.screen);
    wire_open(&c->errors, STDIN_FILENO, open_again(STDERR_FILENO));
    read_options(c, &settings, argc, argv);
    if (settings.command == NULL) {
        /* This machine is where it is, whether or not something knows its name. */
        const char *host = strcasecmp(settings.host, "localhost") == 0 ? NULL : settings.host;
        const char *colon = strchr(settings.host, ':');
        int error = getaddrinfo(host, settings.port, &hints, &addresses);

        if (error != 0) {
            fail(c, "no address for %s: %s%s", settings.host, gai_strerror(error),
                 colon != NULL && colon == strrchr(settings.host, ':') ?
                 "; the port is a word of its own: localhost 5000" : "");
            return 1;
        }
    }
    catch_signals(&c->mask);
    c->keys.mask = &c->mask;
    c->screen.mask = &c->mask;
    c->screen.stop = &interrupted;
    c->errors.mask = &c->mask;
    c->errors.stop = &interrupted;
    if (!connect_wires(c, addresses))
        return 1;
    if (addresses != NULL)
        freeaddrinfo(addresses);

    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    if (!c->at_terminal)
        give_up_for_script(settings.directory);
    if (get_status(c, EVERY))
        converse(c);
    terminal_mode(AS_FOUND);
    hang_up(c);
    wire_flush(&c->screen);
    if (c->screen.error != 0 && c->screen.error != EINTR && !c->failed)
        fail(c, "the last lines were not shown: %s",
             c->screen.error == WIRE_CLOSED ? "nobody reads them" : strerror(c->screen.error));
    return c->failed ? 1 : 0;
}
