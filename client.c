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
 * What keeps mail safe:
 *   - What the server sends reaches the screen through visible_text() alone: it cannot drive the terminal.
 *   - A message is saved under its name by save_end() when it is complete and on disk, or not at all.
 *   - QUIT, which removes what was marked, is sent for a typed QUIT and the end of the input, never for a
 *     signal; and a script's DELE is not sent for a message whose RETR failed.
 */
#include "pop3.h"

#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>

/* ---- 1. Settings and state --------------------------------------------------------------------------- */

enum {
    CONNECT_SECONDS = 30,       /* for each address of the host */
    ANSWER_SECONDS = 180,
    QUIT_SECONDS = 30,
    CHILD_SECONDS = 5,          /* for the command of -x to end after its wire */
    TYPED_MAX = 4096,           /* octets of a typed line; what is sent is shorter, but a list may be long */
    AHEAD_MAX = 100,            /* commands sent ahead: 2,000 octets, which fit into any pipe or socket */
    NOOP_SECONDS = 240,         /* at the prompt: a server waits ten minutes at least, some routers five */
    ESCAPE_MS = 60,             /* an ESC with nothing behind it for so long is the key of that name */
    PROGRESS_MS = 500           /* what takes longer shows how far it is */
};

struct settings {
    const char *host, *port;
    const char *directory;
    const char *command;        /* of -x, or NULL */
};

/* ---- 2. Visible text: nothing from the network drives the terminal ----------------------------------- */

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

/*
 * Reads the first character of a text in UTF-8. Returns its octets, 1 to 4, and the character in *c; 0 when
 * no character begins with these octets; -1 when more octets are needed to tell.
 */
static int
utf8_read(const unsigned char *s, size_t length, uint32_t *c)
{
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

    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};   /* less is an overlong form */
    if (value < least[size] || (value >= 0xd800 && value <= 0xdfff) || value > 0x10ffff)
        return 0;
    *c = value;
    return size;
}

/* Writes a character as UTF-8, and as U+FFFD what is none. Returns its octets, 1 to 4. */
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

/*
 * What a person calls a character is one that takes columns, with those behind it that take none. These
 * walk a text by such characters; at and the results are always where one of them begins, or the end.
 */
static size_t
text_next(const char *text, size_t at)
{
    uint32_t code;
    size_t octets = utf8_decode(text + at, &code);

    if (text[at] == '\0')
        return at;
    do
        at += octets > 0 ? octets : 1;
    while (text[at] != '\0' && (octets = utf8_decode(text + at, &code)) > 0 && character_width(code) == 0);
    return at;
}

static size_t
text_previous(const char *text, size_t at)
{
    uint32_t code;

    while (at > 0) {
        do
            at--;
        while (at > 0 && ((unsigned char)text[at] & 0xC0) == 0x80);
        if (utf8_decode(text + at, &code) == 0 || character_width(code) != 0)
            break;
    }
    return at;
}

/* Returns the end of the character that a place is in the middle of, or the place itself. */
static size_t
text_snap(const char *text, size_t at)
{
    return at > 0 ? text_next(text, text_previous(text, at)) : 0;
}

/* The columns of the character at a place, 0 at the end of the text. */
static size_t
text_width(const char *text, size_t at)
{
    uint32_t code;

    if (text[at] == '\0')
        return 0;
    return utf8_decode(text + at, &code) > 0 && character_width(code) == 2 ? 2 : 1;
}

/* The columns from the start of the text to a place in it. */
static size_t
text_columns(const char *text, size_t to)
{
    size_t columns = 0;

    for (size_t at = 0; at < to; at = text_next(text, at))
        columns += text_width(text, at);
    return columns;
}

/* Writes octets as people read them: 999 B, 3.4 KB, 12 MB. */
static void
size_text(int64_t octets, char *out, size_t room)
{
    size_t unit = 0;
    int64_t tenths = 0;

    for (; octets >= 1000; unit++) {
        tenths = octets % 1000 / 100;
        octets /= 1000;
    }
    if (unit > 0 && octets < 10)
        snprintf(out, room, "%d.%d %cB", (int)octets, (int)tenths, "BKMGTPE"[unit]);
    else if (unit > 0)
        snprintf(out, room, "%d %cB", (int)octets, "BKMGTPE"[unit]);
    else
        snprintf(out, room, "%d B", (int)octets);
}

/* ---- 3. The line editor: octets from the keyboard in, a verdict out ---------------------------------- */

/*
 * It owns no descriptor, knows no terminal and allocates nothing, so a test types keys from a string. Its
 * painter fills a buffer for one write.
 */


enum {
    EDITOR_LINE = 4096,         /* octets of a line: room for a long list of messages */
    EDITOR_QUERY = 128,         /* octets of what is searched for */
    EDITOR_HISTORY = 200,       /* lines remembered, if they fit a shelf */
    EDITOR_SHELF = 64 * 1024,
    EDITOR_COLUMNS = 512,       /* of a wider terminal, only these are used */
    EDITOR_LIST_ROWS = 16,      /* of completions */
    EDITOR_CANDIDATE = 24,      /* octets of a completion: a command or a number */
    EDITOR_PAINT = 16 * 1024,   /* octets that any painting fits in */
    FIELD_PLEASANT = 12,        /* columns of the line that a prompt leaves, or it is cut */
    FIELD_LEAST = 4,            /* that a cut prompt leaves, or there is none */
    FIELD_MARKED = 6            /* from here on < and > show that there is more */
};

/* Keys: a character of Unicode, control characters included, or what stands behind the last of these. */
enum key {
    CTRL_A = 1, CTRL_B, CTRL_C, CTRL_D, CTRL_E, CTRL_F, CTRL_G, BACKSPACE, TAB, LINE_FEED, CTRL_K, CTRL_L,
    CARRIAGE_RETURN, CTRL_N, CTRL_P = 16, CTRL_R = 18, CTRL_T = 20, CTRL_U, CTRL_W = 23, CTRL_Y = 25, CTRL_Z,
    ESCAPE, CTRL_UNDERSCORE = 31, RUBOUT = 127, LAST_CHARACTER = 0x10FFFF,
    WORD_LEFT, WORD_RIGHT, KILL_WORD_LEFT, KILL_WORD_RIGHT, DELETE, PASTE, NO_KEY
};

/* What the keyboard said so far. */
enum verdict {
    MORE,                       /* nothing to do but paint */
    LINE,                       /* a line is complete; it stays in text until editor_start */
    END,                        /* ^D on an empty line */
    INTERRUPT,                  /* ^C */
    SUSPEND                     /* ^Z: the line stays as it is */
};

/* What Tab can complete beyond the commands of POP3. */
struct completer {
    const struct completer_command {
        const char *name;
        unsigned messages;      /* how many of its arguments may be message numbers; UINT_MAX: all */
    } *extra;                   /* a command without a name ends them */
    /* Returns the lowest message number above one, 0 if there is none. *octets gets its size, -1: unknown. */
    size_t (*next_message)(void *context, size_t above, int64_t *octets);
    void *context;
};

/* Lines one behind the other, each with its NUL, the oldest first; the oldest fall off when it is full. */
struct shelf {
    size_t end, lines;
    char octets[EDITOR_SHELF];
};

/* The last thing done to the line: doing more of it is undone in one step. */
enum deed { NOTHING, TYPED, PASTED, RUBBED, DELETED, KILLED, RECALLED, COMPLETED, OTHER };

/* Where an escape sequence stands. */
enum escape { NO_ESCAPE, AFTER_ESC, IN_SEQUENCE, IN_CONSOLE_KEY, IN_STRING };

struct editor {
    const char *prompt;
    const struct completer *completer;
    size_t columns;             /* of the terminal */

    char text[EDITOR_LINE + 1]; /* UTF-8, none of its characters of width -1, the first not of width 0 */
    size_t length, cursor;      /* the cursor is where a character begins, or at the end */
    char killed[EDITOR_LINE + 1];
    enum deed did, doing;       /* with the key before and with this one */
    struct shelf undo;

    struct shelf history;
    size_t recalled;            /* where in the history the line came from; its end: it is a new one */
    char unfinished[EDITOR_LINE + 1];   /* the new one while another is recalled */

    bool searching, missed;     /* missed: nothing holds the query */
    char query[EDITOR_QUERY + 1];
    size_t found;               /* where in the history, its end: nowhere yet */

    char part[5];               /* the octets of a character, as they come */
    size_t parts;
    bool after_cr;              /* a LF that follows belongs to it */
    enum escape escape;
    bool meta, strange;         /* a second ESC came; the sequence is of no kind that keys send */
    unsigned char lead;         /* [ or O */
    unsigned number[2], numbers;    /* numbers: semicolons so far */
    bool pasting;
    size_t paste_end;           /* how much of the mark that ends a paste has come */

    size_t view;                /* the column of the text at the left edge of the screen */
    size_t painted, rows_above; /* the cursor's column; rows of the line above it since a resize */
    bool bell, clear, list;     /* to be painted next: a bell, a clear screen, the completions */
};

/* -- Changing the line -- */

/* Returns where the line before a place begins on a shelf, or the place itself if it is the first. */
static size_t
shelf_before(const struct shelf *s, size_t at)
{
    if (at > 0)
        at--;
    while (at > 0 && s->octets[at - 1] != '\0')
        at--;
    return at;
}

static size_t
shelf_after(const struct shelf *s, size_t at)
{
    return at < s->end ? at + strlen(s->octets + at) + 1 : at;
}

/* The newest line, "" on an empty shelf. */
static const char *
shelf_last(const struct shelf *s)
{
    return s->lines > 0 ? s->octets + shelf_before(s, s->end) : "";
}

/* Takes the newest line away. It stays readable until the next one is put. */
static const char *
shelf_take(struct shelf *s)
{
    s->end = shelf_before(s, s->end);
    s->lines--;
    return s->octets + s->end;
}

/* Puts a line at the end of a shelf that holds at most so many. */
static void
shelf_put(struct shelf *s, const char *line, size_t most)
{
    size_t size = strlen(line) + 1;

    while (s->lines == most || s->end + size > sizeof s->octets) {
        size_t oldest = shelf_after(s, 0);

        s->end -= oldest;
        s->lines--;
        memmove(s->octets, s->octets + oldest, s->end);
    }
    memcpy(s->octets + s->end, line, size);
    s->end += size;
    s->lines++;
}

/* Makes the line something else, with the cursor at its end. */
static void
editor_set(struct editor *e, const char *line)
{
    e->length = e->cursor = strlen(line);
    memcpy(e->text, line, e->length + 1);
}

/* Comes before each change: keeps the line for undo, unless the change goes on with the one before. */
static void
editor_keep(struct editor *e, enum deed deed)
{
    char kept[EDITOR_LINE + 2];

    if (deed != e->did || deed == OTHER) {
        memcpy(kept, e->text, e->cursor);
        kept[e->cursor] = '\n';             /* in no line, so it can mark the cursor */
        memcpy(kept + e->cursor + 1, e->text + e->cursor, e->length - e->cursor + 1);
        shelf_put(&e->undo, kept, SIZE_MAX);
    }
    e->did = e->doing = deed;
}

/* Makes the line what was kept. */
static void
editor_restore(struct editor *e, const char *kept)
{
    e->cursor = strcspn(kept, "\n");
    e->length = strlen(kept) - 1;
    memcpy(e->text, kept, e->cursor);
    memcpy(e->text + e->cursor, kept + e->cursor + 1, e->length - e->cursor + 1);
}

/* Takes back the last change. */
static void
editor_undo(struct editor *e)
{
    if (e->undo.lines == 0) {
        e->bell = true;
        return;
    }
    editor_restore(e, shelf_take(&e->undo));
    e->recalled = e->history.end;
}

/* Removes what stands between two places; a key that finds nothing there is refused. */
static void
editor_delete(struct editor *e, size_t from, size_t to, enum deed deed)
{
    if (from == to) {
        e->bell = true;
        return;
    }
    editor_keep(e, deed);
    memmove(e->text + from, e->text + to, e->length - to + 1);
    e->length -= to - from;
    e->cursor = from;
}

/* The same, kept for ^Y. Kills in a row are kept together, on the side of the cursor where they were. */
static void
editor_kill(struct editor *e, size_t from, size_t to)
{
    size_t length = to - from, had = e->did == KILLED ? strlen(e->killed) : 0;
    size_t at = from < e->cursor ? 0 : had;

    if (length > 0 && had + length <= EDITOR_LINE) {
        memmove(e->killed + at + length, e->killed + at, had - at);
        memcpy(e->killed + at, e->text + from, length);
        e->killed[had + length] = '\0';
    }
    editor_delete(e, from, to, KILLED);
}

/* Puts octets of whole characters at the cursor, all or, where they do not fit, none. */
static void
editor_insert(struct editor *e, const char *octets, size_t length, enum deed deed)
{
    if (length == 0 || length > EDITOR_LINE - e->length) {
        e->bell = true;
        return;
    }
    editor_keep(e, deed);
    memmove(e->text + e->cursor + length, e->text + e->cursor, e->length - e->cursor + 1);
    memcpy(e->text + e->cursor, octets, length);
    e->length += length;
    e->cursor += length;
}

/* Puts the character that just came, if it may be shown. What is typed is undone word by word. */
static void
editor_type(struct editor *e, uint32_t code, enum deed deed)
{
    int width = character_width(code);

    if (width < 0 || (width == 0 && e->cursor == 0)) {
        e->bell = deed == TYPED;
        return;
    }
    if (deed == TYPED && e->cursor > 0 && code != ' ' && e->text[e->cursor - 1] == ' ')
        e->did = NOTHING;
    editor_insert(e, e->part, strlen(e->part), deed);
}

/* ^T: changes the two characters around the cursor, or before it at the end of the line. */
static void
editor_swap(struct editor *e)
{
    size_t middle = e->cursor == e->length ? text_previous(e->text, e->cursor) : e->cursor;
    size_t from = text_previous(e->text, middle), to = text_next(e->text, middle);
    char first[EDITOR_LINE];

    if (from == middle || middle == to) {
        e->bell = true;
        return;
    }
    editor_keep(e, OTHER);
    memcpy(first, e->text + from, middle - from);
    memmove(e->text + from, e->text + middle, to - middle);
    memcpy(e->text + from + (to - middle), first, middle - from);
    e->cursor = to;
}

/* Words are letters, digits and all that is not ASCII; ^W alone takes whatever stands between blanks. */
static bool
is_word(const char *text, size_t at, bool between_blanks)
{
    char c = text[at];

    if (between_blanks)
        return !pop3_is_blank(c);
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c & 0x80) != 0;
}

static size_t
word_left(const struct editor *e, bool between_blanks)
{
    size_t at = e->cursor, before;
    bool inside = false;

    for (; at > 0; at = before) {
        before = text_previous(e->text, at);
        if (is_word(e->text, before, between_blanks))
            inside = true;
        else if (inside)
            break;
    }
    return at;
}

static size_t
word_right(const struct editor *e)
{
    size_t at = e->cursor;

    while (at < e->length && !is_word(e->text, at, false))
        at = text_next(e->text, at);
    while (at < e->length && is_word(e->text, at, false))
        at = text_next(e->text, at);
    return at;
}

/* -- History and search -- */

/* Says whether a line may hold a password. */
static bool
is_secret(const char *line)
{
    char word[5] = "";

    while (pop3_is_blank(*line))
        line++;
    for (size_t i = 0; i < 4 && line[i] != '\0'; i++)
        word[i] = line[i];
    return pop3_same_word(word, "PASS");
}

/* Remembers the line that was accepted, unless it is blank, the last one again, or holds a password. */
static void
history_add(struct editor *e)
{
    const char *line = e->text;

    while (pop3_is_blank(*line))
        line++;
    if (*line != '\0' && !is_secret(line) && strcmp(e->text, shelf_last(&e->history)) != 0)
        shelf_put(&e->history, e->text, EDITOR_HISTORY);
}

/* Shows a line of the history or, at its end, the unfinished one. */
static void
history_show(struct editor *e, size_t at)
{
    if (at == e->recalled) {
        e->bell = true;
        return;
    }
    editor_keep(e, RECALLED);
    if (e->recalled == e->history.end)
        memcpy(e->unfinished, e->text, e->length + 1);
    e->recalled = at;
    editor_set(e, at == e->history.end ? e->unfinished : e->history.octets + at);
}

/* ^R: begins a search. What the line was is the last thing kept, until the search is left or accepted. */
static void
search_start(struct editor *e)
{
    editor_keep(e, OTHER);
    e->searching = true;
    e->missed = false;
    e->query[0] = '\0';
    e->found = e->history.end;
    if (e->recalled == e->history.end)
        memcpy(e->unfinished, e->text, e->length + 1);
}

/* Shows the newest line that holds the query, of those before a place in the history or, inclusive, at it. */
static void
search_from(struct editor *e, size_t at, bool inclusive)
{
    while (e->query[0] != '\0' && (inclusive || at > 0)) {
        if (!inclusive)
            at = shelf_before(&e->history, at);
        inclusive = false;
        if (at == e->history.end)
            continue;

        const char *line = e->history.octets + at, *match = strcasestr(line, e->query);
        if (match != NULL) {
            editor_set(e, line);
            e->cursor = text_snap(line, (size_t)(match - line));
            e->found = at;
            e->missed = false;
            return;
        }
    }
    e->missed = e->query[0] != '\0';
    e->bell = true;
}

/* Leaves the search with the line that was found. */
static void
search_accept(struct editor *e)
{
    e->searching = false;
    if (e->found == e->history.end)
        shelf_take(&e->undo);
    else
        e->recalled = e->found;
}

/* Leaves the search with the line that was there before. */
static void
search_leave(struct editor *e)
{
    e->searching = false;
    editor_restore(e, shelf_take(&e->undo));
}

/* Obeys a key while searching. Returns false when that ended the search and the line is to obey the key. */
static bool
search_key(struct editor *e, uint32_t key)
{
    size_t length = strlen(e->query);

    switch (key) {
    case CTRL_G:
    case ESCAPE:
        search_leave(e);
        return true;
    case CTRL_R:
        search_from(e, e->found, false);
        return true;
    case BACKSPACE:
    case RUBOUT:
        e->query[text_previous(e->query, length)] = '\0';
        e->found = e->history.end;
        editor_restore(e, shelf_last(&e->undo));
        search_from(e, e->found, true);
        return true;
    case PASTE:                 /* what is pasted shall not run together with a line that was only looked at */
        search_leave(e);
        return false;
    default:
        if (key > LAST_CHARACTER || character_width(key) < 0) {
            search_accept(e);
            return false;
        }
        if (length + strlen(e->part) > EDITOR_QUERY) {
            e->bell = true;
            return true;
        }
        strcpy(e->query + length, e->part);
        search_from(e, e->found, true);
        return true;
    }
}

/* -- Completion -- */

/* A walk through the completions of the word before the cursor. */
struct candidates {
    char prefix[EDITOR_CANDIDATE];  /* what there is of it */
    bool numbers, lower;        /* message numbers, or commands; in which case */
    size_t place;               /* in the table, or the message */
    char text[EDITOR_CANDIDATE];
    int64_t octets;             /* of the message, or -1 */
};

/* Returns the command at a place in the tables, without a name behind the last one. */
static struct completer_command
command_at(const struct editor *e, size_t place)
{
    struct completer_command command = {.name = NULL, .messages = 0};

    if (place < POP3_VERBS) {
        const struct pop3_command *c = &pop3_commands[place];
        bool needs_one = c->min == 1 && c->max == 1;    /* RETR and DELE, which the prompt lets have more */

        command.name = c->name;
        command.messages = !c->on_message ? 0 : needs_one ? UINT_MAX : 1;
    } else if (e->completer != NULL && e->completer->extra != NULL) {
        command = e->completer->extra[place - POP3_VERBS];
    }
    return command;
}

/* Says whether the argument that begins at a place is a message number. */
static bool
is_message_argument(const struct editor *e, size_t start)
{
    const char *text = e->text;
    char word[EDITOR_CANDIDATE];
    size_t at = 0, length = 0, before = 0;
    struct completer_command command;

    while (pop3_is_blank(text[at]))
        at++;
    for (; length < sizeof word - 1 && text[at] != '\0' && !pop3_is_blank(text[at]); at++)
        word[length++] = text[at];
    word[length] = '\0';
    for (; at + 1 < start; at++)
        if (pop3_is_blank(text[at]) && !pop3_is_blank(text[at + 1]))
            before++;

    for (size_t place = 0; (command = command_at(e, place)).name != NULL; place++)
        if (pop3_same_word(word, command.name))
            return before < command.messages;
    return false;
}

/* Begins the walk. Returns false when nothing can stand here that we know. */
static bool
candidates_start(const struct editor *e, struct candidates *c)
{
    size_t start = e->cursor, first = 0, length;

    while (start > 0 && !pop3_is_blank(e->text[start - 1]))
        start--;
    while (pop3_is_blank(e->text[first]))
        first++;
    c->place = 0;
    c->octets = -1;
    c->numbers = start > first;
    if (c->numbers) {
        if (e->completer == NULL || !is_message_argument(e, start))
            return false;
        for (size_t i = start; i < e->cursor; i++)
            if (e->text[i] == '-')
                start = i + 1;
    }
    length = e->cursor - start;
    if (length >= sizeof c->prefix)
        return false;
    memcpy(c->prefix, e->text + start, length);
    c->prefix[length] = '\0';
    c->lower = length > 0 && c->prefix[length - 1] >= 'a' && c->prefix[length - 1] <= 'z';
    return true;
}

/* Goes to the next completion, which is in text then. Returns false when there is none. */
static bool
candidates_next(const struct editor *e, struct candidates *c)
{
    for (;;) {
        if (c->numbers) {
            c->place = e->completer->next_message(e->completer->context, c->place, &c->octets);
            if (c->place == 0)
                return false;
            snprintf(c->text, sizeof c->text, "%zu", c->place);
        } else {
            const char *name = command_at(e, c->place++).name;

            if (name == NULL)
                return false;
            snprintf(c->text, sizeof c->text, "%s", name);
            for (char *s = c->text; c->lower && *s != '\0'; s++)
                if (*s >= 'A' && *s <= 'Z')
                    *s = (char)(*s - 'A' + 'a');
        }

        char begun[EDITOR_CANDIDATE];
        snprintf(begun, sizeof begun, "%.*s", (int)strlen(c->prefix), c->text);
        if (pop3_same_word(begun, c->prefix))
            return true;
    }
}

/* Tab: adds what all completions have in common, and a blank behind the only one; a second Tab lists them. */
static void
editor_complete(struct editor *e)
{
    struct candidates c;
    char common[EDITOR_CANDIDATE] = "";
    size_t count = 0, same = 0, had;

    if (!candidates_start(e, &c)) {
        e->bell = true;
        return;
    }
    had = strlen(c.prefix);
    while (candidates_next(e, &c)) {
        if (count++ == 0) {
            memcpy(common, c.text, sizeof common);
            same = strlen(common);
        }
        while (strncmp(common, c.text, same) != 0)
            same--;
    }
    e->list = count > 1 && e->did == COMPLETED;
    e->bell = count != 1 && same <= had;
    if (count == 1 && !pop3_is_blank(e->text[e->cursor]))
        common[same++] = ' ';
    if (same > had)
        editor_insert(e, common + had, same - had, COMPLETED);
    if (count == 1 && pop3_is_blank(e->text[e->cursor]))
        e->cursor++;
    e->doing = COMPLETED;
}

/* -- Painting -- */

/*
 * The line has one row of the screen, whatever its length; the part around the cursor is shown, with < or >
 * where more follows. So there is nothing to count and nothing to clean up when lines come and go. The
 * last column stays free, because terminals disagree about what comes after it. All that is ever sent,
 * besides text, CR, LF and BEL:
 *
 *     ESC [ K     erase from the cursor to the end of the row
 *     ESC [ J     erase from the cursor to the end of the screen
 *     ESC [ n C   move n columns to the right
 *     ESC [ n A   move n rows up
 *     ESC [ H ESC [ 2 J       go to the first row, erase the screen
 */

/* What a painting is written on. A piece that does not fit is left out whole. */
struct paper {
    char *out;
    size_t room, length;
};

static void
paint_octets(struct paper *p, const char *octets, size_t length)
{
    if (length <= p->room - p->length) {
        memcpy(p->out + p->length, octets, length);
        p->length += length;
    }
}

static void
paint_text(struct paper *p, const char *text)
{
    paint_octets(p, text, strlen(text));
}

/* Puts an escape sequence with a number, or nothing for 0. */
static void
paint_move(struct paper *p, size_t count, char direction)
{
    char text[32];

    if (count > 0) {
        snprintf(text, sizeof text, "\033[%zu%c", count, direction);
        paint_text(p, text);
    }
}

/* Puts blanks from one column to another. */
static void
paint_blanks(struct paper *p, size_t from, size_t to)
{
    for (; from < to; from++)
        paint_octets(p, " ", 1);
}

/* Goes to where the line begins, also when the terminal wrapped it as it became narrower. */
static void
paint_start(struct editor *e, struct paper *p)
{
    paint_text(p, "\r");
    if (e->rows_above > 0) {
        paint_move(p, e->rows_above, 'A');
        paint_text(p, "\033[J");
    }
    e->rows_above = e->painted = 0;
}

/* Writes a completion as the list shows it. Returns its columns. */
static size_t
candidate_cell(const struct candidates *c, char *out, size_t room)
{
    char size[16];
    int length;

    if (c->octets < 0)
        length = snprintf(out, room, "%s", c->text);
    else {
        size_text(c->octets, size, sizeof size);
        length = snprintf(out, room, "%s (%s)", c->text, size);
    }
    return (size_t)length;
}

/* Lists the completions in columns, above the line, and says how many more there are. */
static void
paint_list(struct editor *e, struct paper *p)
{
    struct candidates c;
    char cell[2 * EDITOR_CANDIDATE], more[48];
    size_t width = e->columns - 1, most = EDITOR_LIST_ROWS * ((width + 2) / 3), widest = 1, count = 0;

    if (!candidates_start(e, &c))
        return;
    while (count < most && candidates_next(e, &c)) {
        size_t columns = candidate_cell(&c, cell, sizeof cell);

        widest = columns > widest ? columns : widest;
        count++;
    }
    if (widest > width)
        widest = width;

    size_t across = (width + 2) / (widest + 2) > 0 ? (width + 2) / (widest + 2) : 1;
    count = 0;
    candidates_start(e, &c);
    while (candidates_next(e, &c)) {
        if (count < across * EDITOR_LIST_ROWS) {
            size_t columns = candidate_cell(&c, cell, sizeof cell);

            if (count > 0)
                paint_text(p, count % across == 0 ? "\r\n" : "  ");
            paint_octets(p, cell, columns < width ? columns : width);
            if ((count + 1) % across != 0)
                paint_blanks(p, columns, widest);
        }
        count++;
    }
    paint_text(p, "\r\n");
    if (count > across * EDITOR_LIST_ROWS) {
        snprintf(more, sizeof more, "%zu more", count - across * EDITOR_LIST_ROWS);
        paint_octets(p, more, strlen(more) < width ? strlen(more) : width);
        paint_text(p, "\r\n");
    }
}

/* Moves the view so that the cursor, and the character under it, are in a field of so many columns. */
static void
editor_scroll(struct editor *e, size_t field)
{
    size_t total = text_columns(e->text, e->length), cursor = text_columns(e->text, e->cursor);
    size_t under = text_width(e->text, e->cursor), edge = field >= FIELD_MARKED ? 1 : 0;
    size_t left = e->view + (e->view > 0 ? edge : 0);
    size_t right = e->view + field - (total > e->view + field ? edge : 0);

    if (total <= field)
        e->view = 0;
    else if (cursor < left || cursor + under > right) {
        size_t before = under > 0 ? (field - 1) / 2 : field - field / 4;

        e->view = cursor > before ? cursor - before : 0;
    }
}

/* Puts the part of the line that is in view, in a field of so many columns. Returns the columns put. */
static size_t
paint_field(const struct editor *e, struct paper *p, size_t field)
{
    size_t total = text_columns(e->text, e->length), edge = field >= FIELD_MARKED ? 1 : 0;
    bool more_left = edge > 0 && e->view > 0, more_right = edge > 0 && total > e->view + field;
    size_t left = e->view + (more_left ? 1 : 0), right = e->view + field - (more_right ? 1 : 0);
    size_t column = 0, done = left, next;

    if (more_left)
        paint_text(p, "<");
    for (size_t at = 0; at < e->length; at = next) {
        size_t width = text_width(e->text, at);

        next = text_next(e->text, at);
        if (column >= left && column + width <= right) {
            paint_blanks(p, done, column);      /* half of a wide character is cut off */
            paint_octets(p, e->text + at, next - at);
            done = column + width;
        }
        column += width;
    }
    if (more_right) {
        paint_blanks(p, done, right);
        paint_text(p, ">");
        done = right + 1;
    }
    return done - e->view;
}

/* Writes the prompt that fits the screen with some of the line: whole, its end, or none. */
static void
editor_prompt(const struct editor *e, char *out, size_t room)
{
    const char *end = e->searching ? "? " : "> ";
    size_t width = e->columns - 1;

    if (e->searching)
        snprintf(out, room, "%s '%s': ", e->missed ? "no" : "search", e->query);
    else
        snprintf(out, room, "%s", e->prompt);
    if (width < text_columns(out, strlen(out)) + FIELD_PLEASANT)
        snprintf(out, room, "%s", width < 2 + FIELD_LEAST ? "" : end);
}

/* Paints the line as it is, on the row of the cursor. Returns how many octets it put into out. */
static size_t
editor_paint(struct editor *e, char *out, size_t room)
{
    struct paper p = {.out = out, .room = room, .length = 0};
    char prompt[EDITOR_QUERY + 64];

    paint_start(e, &p);
    if (e->clear)
        paint_text(&p, "\033[H\033[2J");
    if (e->list) {
        paint_text(&p, "\033[J");
        paint_list(e, &p);
    }

    editor_prompt(e, prompt, sizeof prompt);
    size_t start = text_columns(prompt, strlen(prompt)), field = e->columns - 1 - start;
    editor_scroll(e, field);
    paint_text(&p, prompt);
    size_t end = start + paint_field(e, &p, field);
    paint_text(&p, "\033[K");
    e->painted = start + text_columns(e->text, e->cursor) - e->view;
    if (e->painted != end) {
        paint_text(&p, "\r");
        paint_move(&p, e->painted, 'C');
    }
    if (e->bell)
        paint_text(&p, "\a");
    e->bell = e->clear = e->list = false;
    return p.length;
}

/* Takes the line off the screen, for something else to be written there; editor_paint brings it back. */
static size_t
editor_hide(struct editor *e, char *out, size_t room)
{
    struct paper p = {.out = out, .room = room, .length = 0};

    paint_start(e, &p);
    paint_text(&p, "\033[J");
    return p.length;
}

/* Leaves the line on the screen for good, whole, with something behind it, and goes to the next row. */
static size_t
editor_finish(struct editor *e, const char *behind, char *out, size_t room)
{
    size_t length = editor_hide(e, out, room);
    struct paper p = {.out = out, .room = room, .length = length};
    char prompt[EDITOR_QUERY + 64];

    editor_prompt(e, prompt, sizeof prompt);
    paint_text(&p, prompt);
    paint_text(&p, e->text);
    paint_text(&p, behind);
    paint_text(&p, "\r\n");
    return p.length;
}

/* The terminal has so many columns now, 0 if that is not known. The line is to be painted again. */
static void
editor_resize(struct editor *e, size_t columns)
{
    e->columns = columns == 0 ? 80 : columns < 2 ? 2 : columns > EDITOR_COLUMNS ? EDITOR_COLUMNS : columns;
    e->rows_above = e->painted / e->columns;
    e->view = 0;
}

/* -- Keys -- */

/* Begins a new line. Nothing of the last one stays but, unless it held a password, what it left for ^Y. */
static void
editor_start(struct editor *e)
{
    if (is_secret(e->text) || is_secret(e->killed))
        memset(e->killed, 0, sizeof e->killed);
    memset(e->text, 0, sizeof e->text);
    memset(e->unfinished, 0, sizeof e->unfinished);
    memset(e->query, 0, sizeof e->query);
    memset(&e->undo, 0, sizeof e->undo);
    e->length = e->cursor = e->view = e->painted = e->rows_above = 0;
    e->did = NOTHING;
    e->searching = e->bell = e->list = false;
    e->recalled = e->history.end;
}

/* Readies an editor of any content. The prompt and the completer, which may be NULL, are kept by reference. */
static void
editor_init(struct editor *e, const char *prompt, const struct completer *completer, size_t columns)
{
    memset(e, 0, sizeof *e);
    e->prompt = prompt;
    e->completer = completer;
    editor_resize(e, columns);
    editor_start(e);
}

/* Returns the key that Alt with a character stands for. */
static uint32_t
alt_key(uint32_t code)
{
    switch (code) {
    case 'b': case 'B':             return WORD_LEFT;
    case 'f': case 'F':             return WORD_RIGHT;
    case 'd': case 'D':             return KILL_WORD_RIGHT;
    case BACKSPACE: case RUBOUT:    return KILL_WORD_LEFT;
    default:                        return NO_KEY;
    }
}

/*
 * Returns the key that a whole sequence stands for, ESC [ or ESC O, numbers and a last character:
 *
 *     xterm           ESC [ A   ESC O A   ESC [ H   ESC O H   ESC [ 3 ~    ESC [ 1 ; 5 C   ESC [ 3 ; 5 ~
 *     rxvt            ESC [ A   ESC O A   ESC [ 7 ~           ESC [ 3 ~    ESC O c         ESC [ 3 ^
 *     Linux console   ESC [ A             ESC [ 1 ~           ESC [ 3 ~
 *
 * The number behind the semicolon is one more than a sum of 1 for Shift, 2 for Alt and 4 for Ctrl.
 */
static uint32_t
sequence_key(const struct editor *e, uint32_t last)
{
    unsigned modifiers = e->numbers > 0 ? e->number[1] : last != '~' ? e->number[0] : 0;
    bool by_word = e->meta || (modifiers > 1 && ((modifiers - 1) & 6) != 0) || last == '^'
        || (e->lead == 'O' && last >= 'a');

    if (e->strange)
        return NO_KEY;
    switch (last) {
    case 'A': case 'a':     return CTRL_P;
    case 'B': case 'b':     return CTRL_N;
    case 'C': case 'c':     return by_word ? WORD_RIGHT : CTRL_F;
    case 'D': case 'd':     return by_word ? WORD_LEFT : CTRL_B;
    case 'H':               return CTRL_A;
    case 'F':               return CTRL_E;
    case 'M':               return e->lead == 'O' ? CARRIAGE_RETURN : NO_KEY;   /* Enter of a keypad */
    case '~': case '^': case '$': case '@':     break;
    default:                return NO_KEY;
    }
    switch (e->number[0]) {
    case 1: case 7:         return CTRL_A;
    case 4: case 8:         return CTRL_E;
    case 3:                 return by_word ? KILL_WORD_RIGHT : DELETE;
    case 200:               return PASTE;
    default:                return NO_KEY;
    }
}

/*
 * Takes a character that may belong to an escape sequence. Returns the key it stands for or completes, or
 * NO_KEY. A control character ends any sequence and stands for itself.
 */
static uint32_t
escape_key(struct editor *e, uint32_t code)
{
    enum escape was = e->escape;

    if (code == ESCAPE) {
        e->meta = was == AFTER_ESC;
        e->escape = AFTER_ESC;
        return NO_KEY;
    }
    if (was == IN_STRING && code >= 0x20)
        return NO_KEY;
    e->escape = NO_ESCAPE;
    switch (was) {
    case AFTER_ESC:
        if (code == '[' || code == 'O') {
            e->escape = IN_SEQUENCE;
            e->lead = (unsigned char)code;
            e->number[0] = e->number[1] = e->numbers = 0;
            e->strange = false;
            return NO_KEY;
        }
        if (code == 'P' || code == ']' || code == 'X' || code == '^' || code == '_')
            e->escape = IN_STRING;
        return code < 0x20 && code != BACKSPACE ? code : alt_key(code);
    case IN_SEQUENCE:
        if (code < 0x20 || code >= RUBOUT)
            return code;
        if (code == '[' && e->lead == '[' && e->number[0] == 0 && e->numbers == 0) {
            e->escape = IN_CONSOLE_KEY;
            return NO_KEY;
        }
        if (code >= 0x40 || (code == '$' && !e->strange))
            return sequence_key(e, code);
        e->escape = IN_SEQUENCE;
        if (code == ';')
            e->numbers++;
        else if (code < '0' || code > '9')
            e->strange = true;
        else if (e->numbers < 2 && e->number[e->numbers] < 1000)
            e->number[e->numbers] = e->number[e->numbers] * 10 + (unsigned)(code - '0');
        return NO_KEY;
    case IN_CONSOLE_KEY:
        return code < 0x20 ? code : NO_KEY;
    case IN_STRING:
        return code == CTRL_G ? NO_KEY : code;
    case NO_ESCAPE:
        break;
    }
    return code;
}

/* The line is complete. */
static enum verdict
editor_accept(struct editor *e)
{
    history_add(e);
    e->cursor = e->length;
    return LINE;
}

/* Obeys a key. */
static enum verdict
editor_key(struct editor *e, uint32_t key)
{
    const char *text = e->text;
    size_t at = e->cursor, end = e->length;

    switch (key) {
    case CTRL_A:            e->cursor = 0; break;
    case CTRL_E:            e->cursor = end; break;
    case CTRL_B:            e->cursor = text_previous(text, at); break;
    case CTRL_F:            e->cursor = text_next(text, at); break;
    case WORD_LEFT:         e->cursor = word_left(e, false); break;
    case WORD_RIGHT:        e->cursor = word_right(e); break;

    case BACKSPACE:
    case RUBOUT:            editor_delete(e, text_previous(text, at), at, RUBBED); break;
    case DELETE:            editor_delete(e, at, text_next(text, at), DELETED); break;
    case CTRL_K:            editor_kill(e, at, end); break;
    case CTRL_U:            editor_kill(e, 0, at); break;
    case CTRL_W:            editor_kill(e, word_left(e, true), at); break;
    case KILL_WORD_LEFT:    editor_kill(e, word_left(e, false), at); break;
    case KILL_WORD_RIGHT:   editor_kill(e, at, word_right(e)); break;
    case CTRL_Y:            editor_insert(e, e->killed, strlen(e->killed), OTHER); break;
    case CTRL_T:            editor_swap(e); break;
    case CTRL_UNDERSCORE:   editor_undo(e); break;

    case CTRL_P:            history_show(e, shelf_before(&e->history, e->recalled)); break;
    case CTRL_N:            history_show(e, shelf_after(&e->history, e->recalled)); break;
    case CTRL_R:            search_start(e); break;
    case TAB:               editor_complete(e); break;
    case CTRL_L:            e->clear = true; break;
    case PASTE:             e->pasting = true; break;

    case LINE_FEED:
    case CARRIAGE_RETURN:   return editor_accept(e);
    case CTRL_C:            return INTERRUPT;
    case CTRL_Z:            return SUSPEND;
    case CTRL_D:
        if (end == 0)
            return END;
        editor_delete(e, at, text_next(text, at), DELETED);
        break;
    default:
        if (key >= ' ' && key <= LAST_CHARACTER)
            editor_type(e, key, TYPED);
    }
    return MORE;
}

/* One key, for the line or the search. */
static enum verdict
editor_press(struct editor *e, uint32_t key)
{
    enum verdict verdict = MORE;

    e->doing = NOTHING;
    e->list = false;
    if (!e->searching || !search_key(e, key))
        verdict = editor_key(e, key);
    e->did = e->doing;
    return verdict;
}

/* One character of what is pasted: text, a blank, the end of a line or of the paste; nothing else counts. */
static enum verdict
editor_paste(struct editor *e, uint32_t code)
{
    static const char end[] = "\033[201~";
    size_t came = e->paste_end;

    if (code == (unsigned char)end[came]) {
        e->paste_end++;
        if (end[e->paste_end] == '\0') {
            e->pasting = false;
            e->paste_end = 0;
        }
        return MORE;
    }
    e->paste_end = code == ESCAPE ? 1 : 0;
    if (came > 1)               /* it was text after all, but for the ESC */
        editor_insert(e, end + 1, came - 1, PASTED);
    if (code == CARRIAGE_RETURN || code == LINE_FEED)
        return editor_accept(e);
    if (code == TAB)
        editor_insert(e, " ", 1, PASTED);
    else
        editor_type(e, code, PASTED);
    return MORE;
}

/* Takes an octet. Returns true, with *code set, when it completes a character; part holds its octets. */
static bool
editor_assemble(struct editor *e, unsigned char octet, uint32_t *code)
{
    if (e->parts > 0 && (octet & 0xC0) != 0x80) {
        e->bell = true;
        e->parts = 0;
    }
    e->part[e->parts++] = (char)octet;
    e->part[e->parts] = '\0';

    int octets = utf8_read((unsigned char *)e->part, e->parts, code);
    if (octets < 0)             /* there is more to come */
        return false;
    e->parts = 0;
    e->bell = e->bell || octets == 0;
    return octets > 0 && *code != 0;
}

/* Takes one octet from the keyboard. */
static enum verdict
editor_feed(struct editor *e, unsigned char octet)
{
    uint32_t code, key;

    if (!editor_assemble(e, octet, &code))
        return MORE;
    bool second_half = code == LINE_FEED && e->after_cr;
    e->after_cr = code == CARRIAGE_RETURN;
    if (second_half)
        return MORE;
    if (e->pasting)
        return editor_paste(e, code);
    key = escape_key(e, code);
    return key == NO_KEY ? MORE : editor_press(e, key);
}

/* Says whether the keyboard may be in the middle of a sequence, or someone pressed ESC and nothing else. */
static bool
editor_wants_timeout(const struct editor *e)
{
    return e->escape != NO_ESCAPE;
}

/* Nothing came for a while: what was begun is no sequence. */
static void
editor_escape_timeout(struct editor *e)
{
    bool alone = e->escape == AFTER_ESC;

    e->escape = NO_ESCAPE;
    if (alone)
        editor_press(e, ESCAPE);
}

/* ---- 4. State ---------------------------------------------------------------------------------------- */

/* Message numbers, in the order of a command or sorted, and their sizes where these are known. */
struct numbers {
    struct number {
        uint32_t number;
        int64_t octets;         /* -1: not known */
    } *list;
    size_t count, room;
};

/* What stands in the row of the cursor for the moment, and has to go before anything is written. */
enum row { ROW_FREE, ROW_PROMPT, ROW_LINE, ROW_PROGRESS };

/* How far a command for several messages is, or for a large one. */
struct progress {
    int64_t began, painted;     /* on wire_clock; began 0: nothing is going on */
    uint64_t octets, expected;  /* expected 0: not known */
    size_t messages, of;
};

struct client {
    const struct settings *settings;
    bool at_terminal;           /* a person types */
    bool editing;               /* with the line editor */
    sigset_t mask;              /* the signals as they were: let in while waiting */
    pid_t child;                /* of -x, or 0 */
    struct wire server, keys, screen;
    struct editor editor;
    enum row row;
    struct progress progress;

    bool over;                  /* the session is */
    bool failed;                /* something was not as it was asked to be: exit status 1 */
    bool quitting;              /* QUIT was sent */
    int pipelining;             /* the server said that it can; -1: not asked yet */
    struct numbers there;       /* what the last LIST said */
    bool listed;                /* and it still holds, but for what was marked since */
    struct numbers marked;      /* by DELE */
    struct numbers unsaved;     /* their RETR failed */
    size_t noops;               /* sent by the client itself and not answered yet */
    int64_t noop_ms;            /* after how long at the prompt it sends one */
    char status[POP3_STATUS_MAX * 8];   /* the last status line */
};

/* Set by signals, which are blocked but for the moments when somebody waits. */
static volatile sig_atomic_t interrupted, resized;

/* ---- 5. The terminal and the screen ------------------------------------------------------------------- */

/*
 * The terminal's modes. At the prompt it is raw, for the line editor; while a command runs it is quiet: what
 * is typed ahead waits unseen for the editor, and ^C and ^Z are signals. All else finds it as it was.
 */
enum mode { AS_FOUND, QUIET, RAW };

static struct {                 /* at file scope for suspend(), which a signal may call */
    bool changed;
    struct termios found;
    enum mode mode;
} terminal;

/* Puts the terminal into a mode. Only a client that edits lines or hides a password does; text may be lost to nobody. */
static void
terminal_mode(enum mode mode)
{
    static const char paste_on[] = "\033[?2004h", paste_off[] = "\033[?2004l";
    struct termios t;

    if (mode == terminal.mode || (!terminal.changed && tcgetattr(STDIN_FILENO, &terminal.found) != 0))
        return;
    t = terminal.found;
    if (mode != AS_FOUND) {
        t.c_iflag &= ~(tcflag_t)(ICRNL | INLCR | IGNCR | ISTRIP);
        t.c_lflag &= ~(tcflag_t)(ICANON | ECHO | IEXTEN);
        t.c_cc[VQUIT] = _POSIX_VDISABLE;
        t.c_cc[VMIN] = 1;
        t.c_cc[VTIME] = 0;
    }
    if (mode == RAW) {
        t.c_iflag &= ~(tcflag_t)IXON;
        t.c_lflag &= ~(tcflag_t)ISIG;
    }
    if (isatty(STDOUT_FILENO) && (mode == AS_FOUND) != (terminal.mode == AS_FOUND) &&
        write(STDOUT_FILENO, mode == AS_FOUND ? paste_off : paste_on, sizeof paste_on - 1) < 0)
        return;
    tcsetattr(STDIN_FILENO, TCSADRAIN, &t);
    terminal.changed = true;
    terminal.mode = mode;
}

/* Stops this process as ^Z does, with the terminal as it was found, and takes up its mode again afterwards. */
static void
suspend(int number)
{
    enum mode mode = terminal.mode;
    struct sigaction stop = {.sa_handler = SIG_DFL}, before;
    sigset_t only, blocked;

    if (terminal.changed)
        terminal_mode(AS_FOUND);
    sigemptyset(&stop.sa_mask);
    sigemptyset(&only);
    sigaddset(&only, SIGTSTP);
    sigaction(SIGTSTP, &stop, &before);
    raise(SIGTSTP);
    sigprocmask(SIG_UNBLOCK, &only, &blocked);      /* here it stops, and here it goes on */
    sigprocmask(SIG_SETMASK, &blocked, NULL);
    sigaction(SIGTSTP, &before, NULL);
    if (terminal.changed)
        terminal_mode(mode);
    resized = number;           /* whatever the screen shows now: paint it anew */
}

/* Returns the columns of the terminal, 0 if that is not known. */
static size_t
terminal_columns(void)
{
    struct winsize size;

    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

/* Frees the row of the cursor from the prompt, the line or the progress that stands in it. */
static void
free_row(struct client *c)
{
    if (c->row == ROW_PROMPT)
        wire_put(&c->screen, "\n", 1);
    else if (c->row == ROW_LINE)
        wire_added(&c->screen, editor_hide(&c->editor, (char *)wire_room(&c->screen, EDITOR_PAINT), EDITOR_PAINT));
    else if (c->row == ROW_PROGRESS)
        wire_put(&c->screen, "\r\033[K", 4);
    c->row = ROW_FREE;
}

/* Shows octets from the network. They may end in the middle of a character: v remembers. */
static void
show(struct client *c, struct visible *v, const void *octets, size_t length)
{
    const char *from = octets;
    char text[VISIBLE_ROOM(1024)];

    free_row(c);
    while (length > 0) {
        size_t part = length < 1024 ? length : 1024;

        wire_put(&c->screen, text, visible_text(v, from, part, text));
        from += part;
        length -= part;
    }
}

/* Shows one line from the network, of that length and without its end. */
static void
show_line(struct client *c, const char *line, size_t length)
{
    struct visible v = {.count = 0};
    char rest[VISIBLE_ROOM(0)];

    show(c, &v, line, length);
    wire_put(&c->screen, rest, visible_end(&v, rest));
    wire_put(&c->screen, "\n", 1);
}

/* Tells the person at the client something, on the screen. */
static void __attribute__((format(printf, 2, 3)))
tell(struct client *c, const char *format, ...)
{
    char text[PATH_MAX + 256];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    show_line(c, text, strlen(text));
}

/* Writes a complaint to standard error, behind what is on the screen so far. */
static void __attribute__((format(printf, 2, 0)))
complain_list(struct client *c, const char *format, va_list arguments)
{
    char text[PATH_MAX + 256], line[VISIBLE_ROOM(sizeof text)];
    struct visible v = {.count = 0};
    size_t length;

    vsnprintf(text, sizeof text, format, arguments);
    length = visible_text(&v, text, strlen(text), line);
    length += visible_end(&v, line + length);
    free_row(c);
    wire_flush(&c->screen);
    fprintf(stderr, "client: %.*s\n", (int)length, line);
}

/* Complains of something that a person should know. */
static void __attribute__((format(printf, 2, 3)))
warn(struct client *c, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    complain_list(c, format, arguments);
    va_end(arguments);
}

/* Complains of something that was asked for and did not come to be. */
static void __attribute__((format(printf, 2, 3)))
fail(struct client *c, const char *format, ...)
{
    va_list arguments;

    c->failed = true;
    va_start(arguments, format);
    complain_list(c, format, arguments);
    va_end(arguments);
}

/* Begins to watch how far a command is: so many messages, and octets if that is known. */
static void
progress_begin(struct client *c, size_t messages, uint64_t octets)
{
    c->progress = (struct progress){.began = wire_clock(), .expected = octets, .of = messages};
}

/*
 * Shows how far the command is, at a terminal, when it has taken a while: messages, octets, rate, and the
 * time left. Called often, it paints now and then. The line fits the width, cut at its end if need be.
 */
static void
progress_paint(struct client *c)
{
    struct progress *p = &c->progress;
    int64_t now = wire_clock(), spent = now - p->began;
    char text[160], octets[16], expected[16], rate[16], left[32] = "", messages[64] = "";
    size_t columns = terminal_columns();
    int length;

    if (!c->editing || p->began == 0 || spent < PROGRESS_MS || now - p->painted < PROGRESS_MS / 4)
        return;
    p->painted = now;
    size_text((int64_t)p->octets, octets, sizeof octets);
    size_text((int64_t)p->expected, expected, sizeof expected);
    size_text((int64_t)(p->octets * 1000 / (uint64_t)spent), rate, sizeof rate);
    if (p->of > 1)
        snprintf(messages, sizeof messages, "%zu of %zu, ", p->messages, p->of);
    if (p->expected > p->octets && p->octets > 0) {
        uint64_t seconds = (uint64_t)((double)(p->expected - p->octets) / (double)p->octets * (double)spent / 1000);

        snprintf(left, sizeof left, ", %" PRIu64 ":%02u left", seconds / 60, (unsigned)(seconds % 60));
    }
    length = snprintf(text, sizeof text, "%s%s%s%s, %s/s%s", messages, octets, p->expected > 0 ? " of " : "",
                      p->expected > 0 ? expected : "", rate, left);
    if (columns > 0 && (size_t)length >= columns)
        length = (int)columns - 1;
    free_row(c);
    wire_put(&c->screen, text, (size_t)length);
    wire_flush(&c->screen);
    c->row = ROW_PROGRESS;
}

static void
progress_end(struct client *c)
{
    c->progress.began = 0;
    if (c->row == ROW_PROGRESS)
        free_row(c);
}

/* ---- 6. Talking to the server ------------------------------------------------------------------------ */

/* Ends a session that broke, and says why. Only QUIT removes mail: without it the marks are worth nothing. */
static void
lost(struct client *c)
{
    const char *why = strerror(c->server.error > 0 ? c->server.error : 0);
    const char *mail = "nothing was removed";

    if (c->over)
        return;
    c->over = true;
    if (c->server.error == WIRE_CLOSED)
        why = "the server closed the connection";
    else if (c->server.error == ETIMEDOUT)
        why = c->quitting ? "the server does not answer QUIT" : "the server does not answer";
    else if (c->server.error == EINTR)
        why = "broken off";
    else if (c->server.error == EPROTO)
        why = "what answers there does not speak POP3";
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
            if (!wire_wait(&c->server, fd, POLLOUT))
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
        int64_t limit = wire_clock() + CHILD_SECONDS * 1000, left;

        if (force[i] != 0) {
            fail(c, "%s does not end, and is told to", c->settings->command);
            kill(c->child, force[i]);
        }
        while ((ended = waitpid(c->child, &status, WNOHANG)) == 0 && (left = limit - wire_clock()) > 0) {
            struct timespec time = {.tv_sec = (time_t)(left / 1000), .tv_nsec = (long)(left % 1000) * 1000000};

            ppoll(NULL, 0, &time, &c->mask);
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
}

/* Says whether a status line begins with this status, alone or with a blank behind it. */
static bool
has_status(const char *line, const char *status)
{
    size_t length = strlen(status);

    return strncmp(line, status, length) == 0 && (line[length] == '\0' || line[length] == ' ');
}

/*
 * Reads the status line that answers a command, keeps it in c->status, and shows it as it came. Returns
 * whether it was +OK. Anything else goes into the exit status, but for "+ ", with which a server asks for
 * more (RFC 5034); what is no status line at all ends the session.
 */
static bool
get_status(struct client *c, bool shown)
{
    char *line;
    size_t length;
    enum wire_line got;

    do {
        if (c->server.in_start == c->server.in_end)
            wire_flush(&c->screen);
        got = wire_line(&c->server, sizeof c->status, &line, &length);
    } while (got == WIRE_LINE && c->noops > 0 && c->noops-- > 0);   /* of its own the client says nothing */
    if (got == WIRE_NO_LINE) {
        lost(c);
        return false;
    }
    if (got == WIRE_LINE) {
        memcpy(c->status, line, length + 1);
        if (shown)
            show_line(c, line, length);
        if (has_status(line, "+OK"))
            return true;
        c->failed = c->failed || !has_status(line, "+");
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
            wire_flush(&c->screen);
            if (!wire_fill(w)) {
                lost(c);
                return false;
            }
        }
        uint64_t before = u->octets;
        w->in_start += pop3_unstuff(u, w->input + w->in_start, w->in_end - w->in_start, text, &made);
        take(to, text, made);
        c->progress.octets += u->octets - before;
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

/* Shows what the server says without having been asked, and whether it has gone. Waits for nothing. */
static void
hear_server(struct client *c)
{
    struct pollfd ready = {.fd = c->server.in, .events = POLLIN, .revents = 0};
    char *line;
    size_t length;

    while (!c->over && poll(&ready, 1, 0) > 0) {
        if (!wire_fill(&c->server))
            break;
    }
    while (memchr(c->server.input + c->server.in_start, '\n', c->server.in_end - c->server.in_start) != NULL)
        if (wire_line(&c->server, sizeof c->status, &line, &length) == WIRE_LINE && (c->noops == 0 || c->noops-- == 0))
            show_line(c, line, length);
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

/* ---- 7. Numbers of messages -------------------------------------------------------------------------- */

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

/* Returns the octets of the messages in a list, 0 when one's are not known. */
static uint64_t
numbers_octets(const struct numbers *n)
{
    uint64_t octets = 0;

    for (size_t i = 0; i < n->count; i++) {
        if (n->list[i].octets < 0)
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

/* ---- 8. Saving a message ----------------------------------------------------------------------------- */

enum { NAME_ROOM = 64 };

/* A message on its way to a file. */
struct saving {
    uint32_t number;
    int directory, file;
    char temporary[NAME_ROOM];  /* its name until it is complete, "" when there is none */
    char name[NAME_ROOM];       /* the name it got, or had already */
    bool had_it;                /* it was saved before */
    int error;                  /* the first one, or 0 */
};

static void
saving_fail(struct saving *s)
{
    if (s->error == 0)
        s->error = errno != 0 ? errno : EIO;
}

/* Opens the directory, made if it is not there, and a file under a hidden name. Failures wait in s->error. */
static void
save_begin(struct saving *s, const char *directory, uint32_t number)
{
    *s = (struct saving){.number = number, .directory = -1, .file = -1};
    if (mkdir(directory, S_IRWXU) == 0) {
        int parent = -1;

        s->directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        parent = s->directory < 0 ? -1 : openat(s->directory, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (parent >= 0) {
            fsync(parent);
            close(parent);
        }
    } else {
        s->directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    for (int i = 0; s->directory >= 0 && s->file < 0 && i < 100; i++) {
        snprintf(s->temporary, sizeof s->temporary, ".%" PRIu32 ".%ld-%d", number, (long)getpid(), i);
        s->file = openat(s->directory, s->temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
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

/*
 * Gives a complete message its name: the first free one of n.eml, n-1.eml, n-2.eml ..., unless one before
 * holds the same. Both the file and its name are on disk before this returns. Returns false, with s->error
 * set, when the message is not saved; then nothing is left of it.
 */
static bool
save_end(struct saving *s)
{
    if (s->error == 0 && fsync(s->file) != 0)
        saving_fail(s);
    for (uint32_t i = 0; s->error == 0; i++) {
        if (i == 0)
            snprintf(s->name, sizeof s->name, "%" PRIu32 ".eml", s->number);
        else
            snprintf(s->name, sizeof s->name, "%" PRIu32 "-%" PRIu32 ".eml", s->number, i);
        if (link_as(s->directory, s->temporary, s->name) == 0)
            break;
        if (errno != EEXIST)
            saving_fail(s);
        else if (same_content(s->directory, s->name, s->file)) {
            s->had_it = true;
            break;
        }
    }
    if (s->temporary[0] != '\0')
        unlinkat(s->directory, s->temporary, 0);
    if (s->error == 0 && fsync(s->directory) != 0 && errno != EINVAL && errno != ENOTSUP) {
        saving_fail(s);
        if (!s->had_it)
            unlinkat(s->directory, s->name, 0);
    }
    if (s->file >= 0 && close(s->file) != 0)
        saving_fail(s);
    if (s->directory >= 0)
        close(s->directory);
    return s->error == 0;
}

/* ---- 9. Commands ------------------------------------------------------------------------------------- */

/* Reads the lines of a LIST, number and size, and shows them too if they were asked for. */
struct listing {
    struct shown shown;
    bool show, full;
    int field;                  /* 0: the number, 1: the size, 2: what else there is in the line */
    uint64_t fields[2];
};

static void
take_to_listing(void *to, const unsigned char *octets, size_t length)
{
    struct listing *l = to;
    struct client *c = l->shown.client;

    if (l->show)
        take_to_screen(&l->shown, octets, length);
    for (size_t i = 0; i < length && !l->full; i++) {
        if (octets[i] == '\n') {
            if (l->fields[0] > 0 && l->fields[0] <= UINT32_MAX)
                l->full = !numbers_put(&c->there, (uint32_t)l->fields[0], l->field == 0 ? -1 : (int64_t)l->fields[1]);
            l->field = 0;
            l->fields[0] = l->fields[1] = 0;
        } else if (l->field < 2 && octets[i] >= '0' && octets[i] <= '9' && l->fields[l->field] < INT64_MAX / 10) {
            l->fields[l->field] = l->fields[l->field] * 10 + (uint64_t)(octets[i] - '0') % INT64_MAX;
        } else if (l->field < 2) {
            l->field++;
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
        fail(c, "no memory for the list of messages");
    return c->listed;
}

/* Asks which messages there are that are not marked. Returns false when that is not to be known. */
static bool
list_messages(struct client *c)
{
    send_line(c, "LIST", 4);
    return get_status(c, false) && read_listing(c, false);
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
    for (int verb = 0; verb < POP3_VERBS + 1; verb++) {
        const char *name = verb < POP3_VERBS ? pop3_commands[verb].name : "HELP";

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

    if (strlen(line) > POP3_COMMAND_MAX - 2) {
        fail(c, "that is too long for POP3: a command has at most %d octets", POP3_COMMAND_MAX - 2);
        return;
    }
    send_line(c, line, strlen(line));
    if (!get_status(c, true)) {
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

/* Adds the numbers from first to last that are not in the list yet. Returns false when there is no memory. */
static bool
add_range(const struct client *c, struct numbers *list, struct numbers *seen, uint64_t first, uint64_t last)
{
    for (uint64_t number = first; number <= last; number++) {
        size_t known = numbers_find(&c->there, (uint32_t)number);
        bool there = c->listed && known < c->there.count && c->there.list[known].number == number;

        if (numbers_have(seen, (uint32_t)number))
            continue;
        if (!numbers_put(seen, (uint32_t)number, -1) ||
            !numbers_append(list, (uint32_t)number, there ? c->there.list[known].octets : -1))
            return false;
    }
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

        if (!all && (!read_range(word, &first, &last) || first == 0)) {
            fail(c, "%s is no message number, range such as 2-5, or *; nothing was sent", word);
            good = false;
        } else if (first > last) {
            fail(c, "%s runs backwards; nothing was sent", word);
            good = false;
        } else if (!all && strchr(word, '-') == NULL) {
            good = add_range(c, list, &seen, first, last);  /* whether it is there the server knows */
        } else if (asked || (good = asked = list_messages(c))) {
            uint32_t top = c->there.count > 0 ? c->there.list[c->there.count - 1].number : 0;

            if (c->marked.count > 0 && c->marked.list[c->marked.count - 1].number > top)
                top = c->marked.list[c->marked.count - 1].number;
            if (last > top) {
                fail(c, "%s goes past the last message, which is %" PRIu32 "; nothing was sent", word, top);
                good = false;
            }
            for (size_t i = 0; good && all && i < c->there.count; i++)
                good = add_range(c, list, &seen, c->there.list[i].number, c->there.list[i].number);
            if (good && !all)
                good = add_range(c, list, &seen, first, last);
        } else if (!c->over) {
            show_line(c, c->status, strlen(c->status));
        }
    }
    if (good && list->count == 0)
        tell(c, "there is no message");
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
    if (get_status(c, false))
        get_body(c, &u, take_to_capability, &pipelining);
    else if (!c->over)
        c->failed = failed;     /* an older server: no fault of anybody's */
    c->pipelining = pipelining.found;
    return pipelining.found;
}

/* What became of the messages of one command. */
struct tally {
    size_t done, had;
    uint64_t octets;            /* of both */
};

/*
 * Sends a command for each message and takes the answers with what fits it, in order. Several are sent
 * ahead if the server can take that; they are few enough to fit on the way, so nobody waits for the other.
 */
static void
for_each(struct client *c, enum pop3_verb verb, const struct numbers *list, struct tally *tally,
         void (*answered)(struct client *c, uint32_t number, struct tally *tally))
{
    size_t ahead = list->count > 1 && may_send_ahead(c) ? AHEAD_MAX : 1, sent = 0;

    progress_begin(c, list->count, verb == POP3_RETR ? numbers_octets(list) : 0);
    for (size_t i = 0; i < list->count && !c->over; i++) {
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
            answered(c, list->list[i].number, tally);
        c->progress.messages++;
    }
    progress_end(c);
}

/* RETR n: saves the message. */
static void
retr_answered(struct client *c, uint32_t number, struct tally *tally)
{
    const char *directory = c->settings->directory;
    struct pop3_unstuffer u = {.octets = 0};
    struct saving saving;
    uint64_t said = 0;
    char digits[24] = "";
    bool whole;

    if (!numbers_put(&c->unsaved, number, -1))
        fail(c, "no memory to remember message %" PRIu32, number);
    if (!get_status(c, true))
        return;
    sscanf(c->status, "+OK %20[0-9]", digits);
    if (c->progress.of == 1 && pop3_number(digits, INT64_MAX, &said))
        c->progress.expected = said;

    save_begin(&saving, directory, number);
    whole = get_body(c, &u, take_to_file, &saving);
    if (!whole && saving.error == 0)
        saving.error = EPROTO;
    if (!save_end(&saving)) {
        if (whole)
            fail(c, "message %" PRIu32 " is not saved: %s: %s", number, directory, strerror(saving.error));
        return;
    }
    numbers_drop(&c->unsaved, number);
    *(saving.had_it ? &tally->had : &tally->done) += 1;
    tally->octets += u.octets;
    tell(c, "%s %s/%s (%" PRIu64 " octets)", saving.had_it ? "already saved as" : "saved", directory, saving.name,
         u.octets);
    if (pop3_number(digits, UINT64_MAX, &said) && said != u.octets)
        warn(c, "the server said that message %" PRIu32 " has %s octets", number, digits);
}

/* DELE n: the server marks the message, and QUIT will remove it. */
static void
dele_answered(struct client *c, uint32_t number, struct tally *tally)
{
    if (!get_status(c, true))
        return;
    tally->done++;
    numbers_drop(&c->there, number);
    if (!numbers_put(&c->marked, number, -1))
        fail(c, "no memory to remember message %" PRIu32, number);
    tell(c, "marked %" PRIu32, number);
}

/* RETR or DELE of one or several messages; arguments is what follows the command's word. */
static void
do_several(struct client *c, enum pop3_verb verb, const char *arguments)
{
    struct numbers list = {.list = NULL};
    struct tally tally = {0, 0, 0};

    if (!read_numbers(c, arguments, &list)) {
        numbers_free(&list);
        return;
    }
    if (verb == POP3_DELE && !c->at_terminal) {
        size_t kept = 0;

        for (size_t i = 0; i < list.count; i++) {
            if (numbers_have(&c->unsaved, list.list[i].number))
                fail(c, "message %" PRIu32 " was not saved, so it is not marked", list.list[i].number);
            else
                list.list[kept++] = list.list[i];
        }
        list.count = kept;
    }
    for_each(c, verb, &list, &tally, verb == POP3_RETR ? retr_answered : dele_answered);
    if (list.count > 1) {
        size_t failed = list.count - tally.done - tally.had;
        char size[16];

        size_text((int64_t)tally.octets, size, sizeof size);
        if (verb == POP3_RETR)
            tell(c, "%zu saved, %zu already there, %zu failed (%s)", tally.done, tally.had, failed, size);
        else
            tell(c, "%zu marked, %zu failed", tally.done, failed);
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
    gone = get_status(c, true);
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
    int64_t now = wire_clock(), noop = now + c->noop_ms, limit = ms < 0 ? INT64_MAX : now + ms;

    wire_flush(&c->screen);
    while (!c->over && keys->in_start == keys->in_end && keys->error == 0) {
        struct pollfd ready[2] = {{.fd = keys->in, .events = POLLIN}, {.fd = c->server.in, .events = POLLIN}};
        int64_t left = (limit < noop ? limit : noop) - now;
        struct timespec time = {.tv_sec = (time_t)(left / 1000), .tv_nsec = (long)(left % 1000) * 1000000};

        if (left > 0 && ppoll(ready, 2, &time, &c->mask) < 0)
            return WAKE_SIGNAL;
        if (ready[1].revents != 0) {
            hear_server(c);
            if (c->row == ROW_FREE)
                return WAKE_PAUSE;      /* it had to be taken for what the server said */
        }
        if (ready[0].revents != 0)
            wire_fill(keys);
        now = wire_clock();
        if (now >= limit)
            return WAKE_PAUSE;
        if (now >= noop) {
            noop = now + c->noop_ms;
            if (c->noops++ > 0) {
                wire_fail(&c->server, ETIMEDOUT);
                lost(c);
            }
            send_line(c, "NOOP", 4);
            wire_flush(&c->server);
        }
    }
    return c->over ? WAKE_OVER : WAKE_KEYS;
}

/* Takes one octet of what was typed, -1 at its end. */
static int
take_key(struct client *c)
{
    return c->keys.in_start < c->keys.in_end ? c->keys.input[c->keys.in_start++] : -1;
}

/* Reads a password that nobody sees, and sends it with PASS. ^C and an empty line give it up. */
static void
do_password(struct client *c)
{
    const struct pop3_request pass = {.verb = POP3_PASS, .word = "PASS", .count = 1};
    enum mode before = terminal.mode;
    char line[POP3_COMMAND_MAX] = "PASS ";
    size_t length = 5;
    int key = 0;

    wire_put(&c->screen, "Password: ", 10);
    c->row = ROW_PROMPT;
    terminal_mode(RAW);
    while (key != '\r' && key != '\n' && key != 3 && key != -1) {
        enum wake wake = wait_for_keys(c, -1);

        if (wake == WAKE_OVER || (wake == WAKE_SIGNAL && interrupted))
            break;
        if (wake != WAKE_KEYS)
            continue;
        key = take_key(c);
        if ((key == 8 || key == 0x7f) && length > 5)
            length--;
        else if (key == 21)     /* ^U */
            length = 5;
        else if ((key >= ' ' && key != 0x7f) && length < sizeof line - 3)
            line[length++] = (char)key;
    }
    terminal_mode(before);
    free_row(c);
    line[length] = '\0';
    if ((key == '\r' || key == '\n') && length > 5 && !c->over)
        do_plain(c, line, &pass);
    memset(line, 0, sizeof line);
}

/* Carries out one typed line, of that length. */
static void
run(struct client *c, char *line, size_t length)
{
    char words[TYPED_MAX + 1];
    struct pop3_request typed;

    for (size_t i = 0; i < length; i++)
        if ((line[i] >= 0 && line[i] < ' ' && line[i] != '\t') || line[i] == 0x7f) {
            fail(c, "a command has no control characters; that line was not sent");
            return;
        }
    line += strspn(line, " \t");
    snprintf(words, sizeof words, "%s", line);
    typed = pop3_parse(words);
    if (typed.verb != POP3_PASS)    /* whose blanks belong to the password */
        for (size_t end = strlen(line); end > 0 && pop3_is_blank(line[end - 1]); end--)
            line[end - 1] = '\0';
    hear_server(c);
    if (typed.word[0] == '\0' || c->over)
        return;

    const char *arguments = line + strlen(typed.word);
    arguments += strspn(arguments, " \t");
    bool several = (typed.verb == POP3_RETR || typed.verb == POP3_DELE) && typed.count > 0;
    uint64_t number;

    if (several && typed.count == 1 && typed.argument[0][0] != '*' && strchr(typed.argument[0], '-') == NULL &&
        !pop3_number(typed.argument[0], UINT32_MAX, &number))
        several = false;        /* let the server say what is wrong with it */

    if (pop3_same_word(typed.word, "HELP"))
        do_help(c);
    else if (typed.verb == POP3_QUIT && typed.count == 0)
        do_quit(c);
    else if (typed.verb == POP3_PASS && typed.count == 0 && c->at_terminal)
        do_password(c);
    else if (several)
        do_several(c, typed.verb, arguments);
    else
        do_plain(c, line, &typed);
}

/* ---- 10. The loop, and main -------------------------------------------------------------------------- */

/* For Tab: the lowest message number above one that was listed. The first time asks the server. */
static size_t
next_message(void *context, size_t above, int64_t *octets)
{
    struct client *c = context;
    bool failed = c->failed;
    size_t at;

    if (!c->listed && above == 0 && !c->over && !list_messages(c))
        c->failed = failed || c->over;
    at = above < UINT32_MAX ? numbers_find(&c->there, (uint32_t)above + 1) : c->there.count;
    if (!c->listed || at == c->there.count)
        return 0;
    *octets = c->there.list[at].octets;
    return c->there.list[at].number;
}

/* Paints the line that is being typed, or what stays of it. */
static void
paint(struct client *c, size_t painted)
{
    wire_added(&c->screen, painted);
    wire_flush(&c->screen);
}

enum typed { TYPED_LINE, TYPED_NOTHING, TYPED_END };

/* Reads one line with the editor. Returns TYPED_LINE with the line in it, or why there is none. */
static enum typed
edit_line(struct client *c)
{
    struct editor *e = &c->editor;
    enum verdict verdict = MORE;

    terminal_mode(RAW);
    editor_start(e);
    editor_resize(e, terminal_columns());
    while (verdict == MORE) {
        paint(c, editor_paint(e, (char *)wire_room(&c->screen, EDITOR_PAINT), EDITOR_PAINT));
        c->row = ROW_LINE;
        switch (wait_for_keys(c, editor_wants_timeout(e) ? ESCAPE_MS : -1)) {
        case WAKE_OVER:
            terminal_mode(QUIET);
            return TYPED_NOTHING;
        case WAKE_SIGNAL:
            if (interrupted)
                verdict = interrupted == SIGINT ? INTERRUPT : END;
            if (resized)
                editor_resize(e, terminal_columns());
            resized = 0;
            break;
        case WAKE_PAUSE:
            if (editor_wants_timeout(e))
                editor_escape_timeout(e);
            break;
        case WAKE_KEYS:
            if (c->keys.in_start == c->keys.in_end)
                verdict = END;          /* the terminal is gone */
            while (verdict == MORE && c->keys.in_start < c->keys.in_end)
                verdict = editor_feed(e, (unsigned char)take_key(c));
            if (c->over)
                return TYPED_NOTHING;
            break;
        }
        if (verdict == SUSPEND) {
            free_row(c);
            wire_flush(&c->screen);
            suspend(SIGTSTP);
            editor_resize(e, terminal_columns());
            verdict = MORE;
        }
    }
    paint(c, editor_finish(e, verdict == INTERRUPT ? "^C" : "", (char *)wire_room(&c->screen, 2 * EDITOR_PAINT),
                           2 * EDITOR_PAINT));
    c->row = ROW_FREE;
    terminal_mode(QUIET);
    if (interrupted == SIGINT && verdict == INTERRUPT)
        interrupted = 0;
    return verdict == LINE ? TYPED_LINE : verdict == END && !interrupted ? TYPED_END : TYPED_NOTHING;
}

/*
 * Reads one line as it comes from a script, or from a terminal that cannot do more than lines. Returns
 * TYPED_LINE with the line in text, which has room for TYPED_MAX and a NUL, or why there is none.
 */
static enum typed
read_line(struct client *c, char *text, size_t *length)
{
    bool too_long = false;
    int key = 0;

    *length = 0;
    if (c->at_terminal) {
        wire_put(&c->screen, "pop3> ", 6);
        c->row = ROW_PROMPT;
    }
    while (key != '\n') {
        if (c->keys.in_start == c->keys.in_end) {
            enum wake wake = wait_for_keys(c, -1);

            if (wake == WAKE_OVER)
                return TYPED_NOTHING;
            if (wake == WAKE_SIGNAL && interrupted) {
                free_row(c);
                if (c->at_terminal && interrupted == SIGINT)
                    interrupted = 0;
                return TYPED_NOTHING;
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
        if (key < 0)
            break;
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
    if (too_long) {
        fail(c, "that line is too long; it was not sent");
        return TYPED_NOTHING;
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
            typed = edit_line(c);
            length = c->editor.length;
            memcpy(line, c->editor.text, length + 1);
        } else {
            typed = read_line(c, line, &length);
        }
        if (interrupted)
            wire_fail(&c->server, EINTR);
        else if (c->screen.error != 0)
            wire_fail(&c->server, c->screen.error);
        if (c->server.error != 0)
            lost(c);
        else if (typed == TYPED_LINE)
            run(c, line, length);
        else if (typed == TYPED_END && !c->over)
            do_quit(c);
        memset(line, 0, length);
    }
    editor_start(&c->editor);
    free_row(c);
    wire_flush(&c->screen);
}

static const char usage[] = "usage: client [-hV] [-d directory] [-x command] [host [port]]\n";

static const char help[] =
    "\n"
    "Reads mail by POP3. The host is localhost and the port " POP3_PORT " if none is given. HELP at the\n"
    "prompt lists the commands.\n"
    "\n"
    "  -d DIRECTORY  where messages are saved; made when first needed (inbox)\n"
    "  -x COMMAND    run COMMAND with sh -c and talk to it instead of a host:\n"
    "                -x './server -i', or with TLS\n"
    "                -x 'openssl s_client -quiet -verify_return_error -connect HOST:995'\n"
    "  -h, --help    say this\n"
    "  -V, --version say which version this is\n";

/* Says what is wrong with the command line, and ends the program. */
static _Noreturn void __attribute__((format(printf, 2, 3)))
misused(struct client *c, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    complain_list(c, format, arguments);
    va_end(arguments);
    fputs(usage, stderr);
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
            misused(c, "no such option: %s", argv[optind - 1]);
        }
    }
    if (settings->command != NULL && optind < argc)
        misused(c, "-x takes the place of a host: what is %s?", argv[optind]);
    if (optind < argc)
        settings->host = argv[optind++];
    if (optind < argc)
        settings->port = argv[optind++];
    if (optind < argc)
        misused(c, "a host and a port are enough: what is %s?", argv[optind]);
    if (!pop3_number(settings->port, 65535, &port) || port == 0)
        misused(c, "a port is a number from 1 to 65535, not %s", settings->port);
}

static void
note_signal(int number)
{
    if (number == SIGWINCH)
        resized = 1;
    else if (number != SIGCHLD)     /* that one only has to end a wait */
        interrupted = number;
}

/* Blocks the signals that the program takes notice of, and returns in *mask how it was before. */
static void
catch_signals(sigset_t *mask)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGCHLD, SIGWINCH, SIGTSTP};
    struct sigaction action = {.sa_handler = note_signal};
    sigset_t blocked;

    sigemptyset(&action.sa_mask);
    sigemptyset(&blocked);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction before;

        sigaction(numbers[i], NULL, &before);
        if (before.sa_handler == SIG_IGN && numbers[i] != SIGCHLD)
            continue;           /* as nohup and a shell's background jobs want it */
        action.sa_handler = numbers[i] == SIGTSTP ? suspend : note_signal;
        sigaction(numbers[i], &action, NULL);
        sigaddset(&blocked, numbers[i]);
    }
    sigprocmask(SIG_BLOCK, &blocked, mask);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        sigdelset(mask, numbers[i]);
    signal(SIGPIPE, SIG_IGN);   /* these two are told by errno, where something can be done about it */
    signal(SIGXFSZ, SIG_IGN);
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
    struct client *c = &client;
    struct addrinfo *addresses = NULL;
    static const struct completer_command own[] = {{"HELP", 0}, {NULL, 0}};
    const struct completer completer = {.extra = own, .next_message = next_message, .context = c};
    const char *term = getenv("TERM");

    c->settings = &settings;
    c->pipelining = -1;
    c->noop_ms = NOOP_SECONDS * 1000;
    c->at_terminal = isatty(STDIN_FILENO) != 0;
    c->editing = c->at_terminal && isatty(STDOUT_FILENO) && term != NULL && strcmp(term, "dumb") != 0;
    editor_init(&c->editor, "pop3> ", &completer, 80);
    wire_open(&c->keys, STDIN_FILENO, STDOUT_FILENO);
    wire_open(&c->screen, STDIN_FILENO, STDOUT_FILENO);
    read_options(c, &settings, argc, argv);
    if (settings.command == NULL) {
        int error = getaddrinfo(settings.host, settings.port, &hints, &addresses);

        if (error != 0) {
            fail(c, "no address for %s: %s", settings.host, gai_strerror(error));
            return 1;
        }
    }
    catch_signals(&c->mask);
    c->keys.mask = &c->mask;
    c->screen.mask = &c->mask;
    c->screen.stop = &interrupted;
    if (!connect_wires(c, addresses))
        return 1;
    if (addresses != NULL)
        freeaddrinfo(addresses);

    if (get_status(c, true))
        converse(c);
    hang_up(c);
    wire_flush(&c->screen);
    terminal_mode(AS_FOUND);
    return c->failed ? 1 : 0;
}
