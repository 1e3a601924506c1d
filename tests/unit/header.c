/*
 * header.c - pop3.h, part by part
 *
 * It is included twice, and first, which proves that it needs nothing before it and guards itself.
 */
#include "../../pop3.h"
#include "../../pop3.h"

#include "unit.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/wait.h>

/* ---- The command table, words and numbers ------------------------------------------------------------ */

/* Every command is there, and what HELP shows of its arguments is what is asked of them. */
static void
test_table(void)
{
    for (int verb = 0; verb < POP3_VERBS; verb++) {
        const struct pop3_command *c = &pop3_commands[verb];
        int words = 0, optional = 0;

        if (!CHECK(c->name != NULL && c->arguments != NULL && c->help != NULL))
            continue;
        CHECK(strlen(c->name) >= 3 && strlen(c->name) <= 4);        /* RFC 1939 section 3 */
        for (const char *p = c->name; *p != '\0'; p++)
            CHECK(isupper((unsigned char)*p));
        for (const char *p = c->arguments; *p != '\0'; p++) {
            words += *p != ' ' && (p == c->arguments || p[-1] == ' ');
            optional += *p == '[';
        }
        CHECK(words == c->max);
        CHECK(words - optional == c->min);
        CHECK(c->max <= POP3_ARGUMENTS_MAX);
        CHECK(c->where != 0 && (c->where & ~(unsigned)ANYWHERE) == 0);
        CHECK(!c->on_message || c->max > 0);
        CHECK(c->body != BODY_IF_ALONE || c->min == 0);
        CHECK(c->help[0] != '\0');
        CHECK(pop3_find(c->name) == (enum pop3_verb)verb);          /* and so no name comes twice */
    }
}

static void
test_same_word(void)
{
    CHECK(pop3_same_word("", ""));
    CHECK(pop3_same_word("quit", "QUIT"));
    CHECK(pop3_same_word("QuIt", "qUiT"));
    CHECK(pop3_same_word("az09", "AZ09"));
    CHECK(!pop3_same_word("", "Q"));
    CHECK(!pop3_same_word("QUI", "QUIT"));
    CHECK(!pop3_same_word("QUITS", "QUIT"));
    CHECK(!pop3_same_word("@", "`"));           /* neighbours of A and a */
    CHECK(!pop3_same_word("[", "{"));           /* and of Z and z */
    CHECK(!pop3_same_word("\xE9", "\xC9"));     /* letters of Latin-1, but not of POP3 */
}

static void
test_find(void)
{
    CHECK(pop3_find("stat") == POP3_STAT);
    CHECK(pop3_find("Quit") == POP3_QUIT);
    CHECK(pop3_find("tOP") == POP3_TOP);
    CHECK(pop3_find("") == POP3_VERBS);
    CHECK(pop3_find("TO") == POP3_VERBS);
    CHECK(pop3_find("TOPS") == POP3_VERBS);
    CHECK(pop3_find("APOP") == POP3_VERBS);
    CHECK(pop3_find("QUIT ") == POP3_VERBS);
}

/* Parses a copy of text and compares what came of it. */
static bool
parses(const char *text, enum pop3_verb verb, const char *word, int count, const char *first, const char *second)
{
    static char line[300];
    struct pop3_request r;

    snprintf(line, sizeof line, "%s", text);
    r = pop3_parse(line);
    return r.verb == verb && strcmp(r.word, word) == 0 && r.count == count
        && strcmp(r.argument[0], first) == 0 && strcmp(r.argument[1], second) == 0;
}

static void
test_parse(void)
{
    CHECK(parses("STAT", POP3_STAT, "STAT", 0, "", ""));
    CHECK(parses("retr 1", POP3_RETR, "retr", 1, "1", ""));
    CHECK(parses("TOP 1 20", POP3_TOP, "TOP", 2, "1", "20"));
    CHECK(parses("TOP 1 20 3", POP3_TOP, "TOP", 3, "1", "20"));
    CHECK(parses("LIST 1 2 3 4 5 6 7", POP3_LIST, "LIST", 7, "1", "2"));
    CHECK(parses("  TOP \t 1\t\t20  ", POP3_TOP, "TOP", 2, "1", "20"));
    CHECK(parses("STAT ", POP3_STAT, "STAT", 0, "", ""));
    CHECK(parses("HELO there", POP3_VERBS, "HELO", 1, "there", ""));
    CHECK(parses("RETR1", POP3_VERBS, "RETR1", 0, "", ""));
    CHECK(parses("1 RETR", POP3_VERBS, "1", 1, "RETR", ""));
    CHECK(parses("", POP3_VERBS, "", 0, "", ""));
    CHECK(parses(" \t ", POP3_VERBS, "", 0, "", ""));
    CHECK(parses("LIST\r1", POP3_VERBS, "LIST\r1", 0, "", ""));      /* a CR is not a blank */
}

/* A password is all that follows one blank. */
static void
test_parse_password(void)
{
    CHECK(parses("PASS secret", POP3_PASS, "PASS", 1, "secret", ""));
    CHECK(parses("pass a b  c", POP3_PASS, "pass", 1, "a b  c", ""));
    CHECK(parses("PASS  a ", POP3_PASS, "PASS", 1, " a ", ""));
    CHECK(parses(" PASS\ta\tb\t", POP3_PASS, "PASS", 1, "a\tb\t", ""));
    CHECK(parses("PASS", POP3_PASS, "PASS", 0, "", ""));
    CHECK(parses("PASS ", POP3_PASS, "PASS", 0, "", ""));
    CHECK(parses("PASS  ", POP3_PASS, "PASS", 1, " ", ""));
    CHECK(parses("USER a b", POP3_USER, "USER", 2, "a", "b"));
    CHECK(parses("PASSWORD a b", POP3_VERBS, "PASSWORD", 2, "a", "b"));
}

static bool
reads_as(const char *text, uint64_t max, uint64_t wanted)
{
    uint64_t number = ~wanted;

    return pop3_number(text, max, &number) && number == wanted;
}

static bool
refused(const char *text, uint64_t max)
{
    uint64_t number = 42;

    return !pop3_number(text, max, &number) && number == 42;
}

static void
test_number(void)
{
    CHECK(reads_as("0", 0, 0));
    CHECK(reads_as("1", 1, 1));
    CHECK(reads_as("007", 9, 7));
    CHECK(reads_as("0000000000000000000000000000001", 1, 1));
    CHECK(reads_as("255", 255, 255));
    CHECK(reads_as("4294967296", UINT64_MAX, 4294967296));
    CHECK(reads_as("18446744073709551615", UINT64_MAX, UINT64_MAX));
    CHECK(refused("", 9));
    CHECK(refused("1", 0));
    CHECK(refused("256", 255));
    CHECK(refused("260", 255));
    CHECK(refused("9", 8));
    CHECK(refused("10", 8));
    CHECK(refused("18446744073709551616", UINT64_MAX));
    CHECK(refused("18446744073709551620", UINT64_MAX));
    CHECK(refused("99999999999999999999999", UINT64_MAX));
    CHECK(refused("4294967297", UINT32_MAX));
}

static void
test_number_refused(void)
{
    static const char *const texts[] = {
        "+1", "-1", "-0", "1x", "x1", "1 ", " 1", "1\t", "1\r", "1.0", "0x1", "1e3", "1-2", "*", "\xB2", "/", ":",
    };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        CHECK(refused(texts[i], UINT64_MAX));
}

/* ---- Byte-stuffing ----------------------------------------------------------------------------------- */

enum { TEXT_MAX = 64 };

struct text {
    size_t length;
    unsigned char octets[4 * TEXT_MAX];
};

static void
add(struct text *t, const char *octets, size_t length)
{
    memcpy(t->octets + t->length, octets, length);
    t->length += length;
}

static bool
same(const struct text *a, const struct text *b)
{
    return a->length == b->length && memcmp(a->octets, b->octets, a->length) == 0;
}

/* What the wire carries for a file, by the letter of RFC 1939, an octet at a time and in no hurry. */
static struct text
plain_stuff(const struct text *file)
{
    struct text wire = {0};
    bool line_start = true;

    for (size_t i = 0; i < file->length; i++) {
        char c = (char)file->octets[i];

        if (line_start && c == '.')
            add(&wire, ".", 1);
        if (c == '\n' && (i == 0 || file->octets[i - 1] != '\r'))
            add(&wire, "\r", 1);
        add(&wire, &c, 1);
        line_start = c == '\n';
    }
    if (!line_start)
        add(&wire, "\r\n", 2);
    add(&wire, ".\r\n", 3);
    return wire;
}

/* What a client keeps of a file: each CRLF a LF, and a line end at the end. */
static struct text
plain_copy(const struct text *file)
{
    struct text copy = {0};

    for (size_t i = 0; i < file->length; i++)
        if (file->octets[i] != '\r' || i + 1 == file->length || file->octets[i + 1] != '\n')
            add(&copy, (const char *)file->octets + i, 1);
    if (copy.length > 0 && copy.octets[copy.length - 1] != '\n')
        add(&copy, "\n", 1);
    return copy;
}

/* pop3_stuff, with the file handed over in pieces of so many octets, and what its caller adds at the end. */
static struct text
stuffed(const struct text *file, size_t piece)
{
    struct text wire = {0};
    struct pop3_stuffer s = {0};

    for (size_t done = 0; done < file->length; done += piece) {
        size_t part = file->length - done < piece ? file->length - done : piece;

        wire.length += pop3_stuff(&s, file->octets + done, part, wire.octets + wire.length);
    }
    if (s.in_line)
        add(&wire, "\r\n", 2);
    add(&wire, ".\r\n", 3);
    return wire;
}

/*
 * pop3_unstuff, cut at one place and then in pieces of so many octets. *taken is how much of the wire it
 * took up to the final dot, or 0 if it did not find one.
 */
static struct text
unstuffed(const struct text *wire, size_t cut, size_t piece, size_t *taken, uint64_t *octets)
{
    struct text file = {0};
    struct pop3_unstuffer u = {0};
    size_t done = 0, part = cut;

    while (done < wire->length && u.at != UNSTUFF_END) {
        unsigned char out[sizeof wire->octets + 1];
        size_t made = 99999, used;

        if (part == 0 || part > wire->length - done)
            part = part == 0 && piece <= wire->length - done ? piece : wire->length - done;
        used = pop3_unstuff(&u, wire->octets + done, part, out, &made);
        CHECK(made <= part + 1);
        CHECK(used == part || u.at == UNSTUFF_END);
        add(&file, (const char *)out, made);
        done += used;
        part = 0;
    }
    *taken = u.at == UNSTUFF_END ? done : 0;
    *octets = u.octets;
    return file;
}

/* Says whether a file travels as wire (without the final dot), in pieces of any size. */
static bool
travels_as(const char *file, size_t file_length, const char *wire, size_t wire_length)
{
    struct text f = {0}, w = {0};

    add(&f, file, file_length);
    add(&w, wire, wire_length);
    add(&w, ".\r\n", 3);
    for (size_t piece = 1; piece <= file_length + 1; piece++) {
        struct text got = stuffed(&f, piece);

        if (!same(&got, &w))
            return false;
    }
    return true;
}

#define TRAVELS_AS(file, wire) CHECK(travels_as(file, sizeof file - 1, wire, sizeof wire - 1))

static void
test_stuff(void)
{
    TRAVELS_AS("", "");
    TRAVELS_AS("\n", "\r\n");
    TRAVELS_AS("a\nb\n", "a\r\nb\r\n");
    TRAVELS_AS("a\nb", "a\r\nb\r\n");
    TRAVELS_AS("a\r\nb\r\n", "a\r\nb\r\n");
    TRAVELS_AS(".", "..\r\n");
    TRAVELS_AS(".\n", "..\r\n");
    TRAVELS_AS("..\n", "...\r\n");
    TRAVELS_AS(".\r\n.\r\n", "..\r\n..\r\n");
    TRAVELS_AS("\n.\n\n.", "\r\n..\r\n\r\n..\r\n");
    TRAVELS_AS("a.\n.b", "a.\r\n..b\r\n");
    TRAVELS_AS("a\r", "a\r\r\n");
    TRAVELS_AS("\r", "\r\r\n");
    TRAVELS_AS("\r\r\n", "\r\r\n");
    TRAVELS_AS("a\r.\n\r.\n", "a\r.\r\n\r.\r\n");
    TRAVELS_AS("\n\r\n\r", "\r\n\r\n\r\r\n");
    TRAVELS_AS("a\0.\n\0", "a\0.\r\n\0\r\n");
    TRAVELS_AS("\xFF\xFE\n\x80", "\xFF\xFE\r\n\x80\r\n");
}

/* Says whether an octet of a file does not travel as it is. The one before it is in front of it. */
static bool
is_special(const unsigned char *octet)
{
    return (*octet == '\n' && octet[-1] != '\r') || (*octet == '.' && octet[-1] == '\n');
}

/* Says whether a copy is one of octets that travel as they are, and with wide of all of them but for fewer than sixteen. */
static bool
copies(size_t (*copy)(const unsigned char *, size_t, unsigned char *), const unsigned char *in, size_t length, bool wide)
{
    unsigned char out[256];
    size_t run;

    memset(out, '#', sizeof out);
    run = copy(in, length, out);
    for (size_t i = 0; i < run; i++)
        if (out[i] != in[i] || is_special(in + i))
            return false;
    for (size_t i = length; i < sizeof out; i++)
        if (out[i] != '#')      /* it may write more than it says, but no more than it could have */
            return false;
    return run <= length && (!wide || length - run < 16 || is_special(in + run));
}

/* Long texts, of which the octets that matter are many or few: every way to copy them, and all of it in pieces. */
static void
test_stuff_random(void)
{
    uint32_t random = 1;
    int wrong = 0;

    for (int n = 0; n < 20000 && wrong == 0; n++) {
        struct text file = {0}, got = {0};
        struct pop3_stuffer stuffer = {0};
        const size_t length = 1 + (random >> 16) % 100;
        const unsigned many = 4 + (unsigned)(n % 7) * 8;

        while (file.length < length) {
            random = random * 1664525 + 1013904223;
            add(&file, (random >> 20) % many < 5 ? &"\r\n\r\n."[(random >> 20) % many] : "a", 1);
        }
        for (size_t i = 1; i < length; i++) {
            wrong += !copies(pop3_copy_plain, file.octets + i, length - i, false);
#ifdef __SSE2__
            wrong += !copies(pop3_copy_sse2, file.octets + i, length - i, true);
#endif
        }
        for (size_t done = 0, part; done < length; done += part) {
            random = random * 1664525 + 1013904223;
            part = 1 + (random >> 16) % (length - done);
            got.length += pop3_stuff(&stuffer, file.octets + done, part, got.octets + got.length);
        }
        if (stuffer.in_line)
            add(&got, "\r\n", 2);
        add(&got, ".\r\n", 3);

        struct text wire = plain_stuff(&file);
        wrong += !same(&got, &wire);
    }
    CHECK(wrong == 0);
}

/* Says whether what comes over the wire is taken as file, wherever it is cut, and the wire up to its end. */
static bool
arrives_as(const char *wire, size_t wire_length, const char *file, size_t file_length)
{
    struct text w = {0}, f = {0};

    add(&w, wire, wire_length);
    add(&f, file, file_length);
    for (size_t cut = 0; cut <= wire_length; cut++) {
        for (size_t piece = 1; piece <= 3; piece++) {
            size_t taken;
            uint64_t octets;
            struct text got = unstuffed(&w, cut, piece, &taken, &octets);

            if (!same(&got, &f) || taken != wire_length)
                return false;
        }
    }
    return true;
}

#define ARRIVES_AS(wire, file) CHECK(arrives_as(wire, sizeof wire - 1, file, sizeof file - 1))

static void
test_unstuff(void)
{
    ARRIVES_AS(".\r\n", "");
    ARRIVES_AS("\r\n.\r\n", "\n");
    ARRIVES_AS("a\r\n.\r\n", "a\n");
    ARRIVES_AS("..\r\n.\r\n", ".\n");
    ARRIVES_AS("...\r\n..a\r\n.\r\n", "..\n.a\n");
    ARRIVES_AS("a\0b\r\n.\r\n", "a\0b\n");
    ARRIVES_AS("\xFF\r\n.\r\n", "\xFF\n");
    ARRIVES_AS("a\rb\r\n.\r\n", "a\rb\n");
    ARRIVES_AS("a\r\r\n.\r\n", "a\r\n");
    ARRIVES_AS("\r\r\r\n.\r\n", "\r\r\n");
}

/* What no server of ours sends: it must be taken in some way, and must not cut a message short. */
static void
test_unstuff_strange(void)
{
    ARRIVES_AS(".a\r\n.\r\n", "a\n");                   /* a dot that nobody doubled is dropped */
    ARRIVES_AS("a\n.\nb\r\n.\r\n", "a\n.\nb\n");        /* a LF by itself ends no line */
    ARRIVES_AS("a\n.\r\n\r\n.\r\n", "a\n.\n\n");
    ARRIVES_AS(".\nb\r\n.\r\n", "\nb\n");
    ARRIVES_AS(".\rb\r\n.\r\n", "\rb\n");
    ARRIVES_AS(".\r\r\n.\r\n", "\r\n");
    ARRIVES_AS("\n\r\n.\r\n", "\n\n");
}

/* It stops behind the final dot: what follows belongs to the next answer. */
static void
test_unstuff_stops(void)
{
    static const unsigned char wire[] = "a\r\n.\r\n+OK\r\n.\r\n";
    unsigned char out[sizeof wire + 1];
    struct pop3_unstuffer u = {0};
    size_t made, taken;

    taken = pop3_unstuff(&u, wire, sizeof wire - 1, out, &made);
    CHECK(taken == 6);
    CHECK(made == 2 && memcmp(out, "a\n", 2) == 0);
    CHECK(u.at == UNSTUFF_END && u.octets == 3);
    taken = pop3_unstuff(&u, wire + taken, sizeof wire - 1 - taken, out, &made);
    CHECK(taken == 0 && made == 0 && u.at == UNSTUFF_END);
}

/*
 * Every text of up to seven octets, made of those that matter, there and back: what travels is what the RFC
 * says, however the file is cut; what arrives is the file, however the wire is cut; the octets are those
 * that LIST shows; and no beginning of the wire is taken for the whole.
 */
static void
test_round_trip(void)
{
    static const char matter[] = {'a', '.', '\r', '\n'};
    unsigned long texts = 1;
    int wrong = 0;

    for (size_t length = 0; length <= 7; length++, texts *= sizeof matter) {
        for (unsigned long n = 0; n < texts && wrong == 0; n++) {
            struct text file = {0};
            unsigned long rest = n;

            for (size_t i = 0; i < length; i++, rest /= sizeof matter)
                add(&file, &matter[rest % sizeof matter], 1);

            struct text wire = plain_stuff(&file), copy = plain_copy(&file);
            uint64_t size = copy.length;
            for (size_t i = 0; i < copy.length; i++)
                size += copy.octets[i] == '\n';

            for (size_t piece = 1; piece <= length + 1; piece++) {
                struct text got = stuffed(&file, piece);
                wrong += !same(&got, &wire);
            }
            for (size_t cut = 0; cut <= wire.length; cut++) {
                for (size_t piece = 1; piece <= wire.length; piece += wire.length - 1) {
                    size_t taken;
                    uint64_t octets;
                    struct text got = unstuffed(&wire, cut, piece, &taken, &octets);
                    wrong += !same(&got, &copy) || taken != wire.length || octets != size;
                }
                if (cut < wire.length) {
                    struct text beginning = wire;
                    size_t taken;
                    uint64_t octets;

                    beginning.length = cut;
                    unstuffed(&beginning, cut, 1, &taken, &octets);
                    wrong += taken != 0;
                }
            }
            if (!CHECK(wrong == 0)) {
                printf("the text, in hexadecimal:");
                for (size_t i = 0; i < file.length; i++)
                    printf(" %02x", file.octets[i]);
                printf("\n");
            }
        }
    }
}

/* ---- The wire ---------------------------------------------------------------------------------------- */

static struct wire wire;        /* too large for a stack that one does not know */

/* Opens the wire on one end of a pair of sockets. Returns the other end. */
static int
open_socket(int type)
{
    int pair[2];

    if (socketpair(AF_UNIX, type, 0, pair) != 0) {
        perror("socketpair");
        exit(2);
    }
    wire_open(&wire, pair[0], pair[0]);
    wire.idle_ms = 5000;
    return pair[1];
}

/* Opens the wire on two pipes. Returns the other ends: what the wire reads is written to far[1]. */
static void
open_pipes(int far[2])
{
    int to[2], from[2];

    if (pipe(to) != 0 || pipe(from) != 0) {
        perror("pipe");
        exit(2);
    }
    wire_open(&wire, to[0], from[1]);
    wire.idle_ms = 5000;
    far[0] = from[0];
    far[1] = to[1];
}

static void
close_wire(void)
{
    close(wire.in);
    if (wire.out != wire.in)
        close(wire.out);
}

static void
say(int fd, const char *octets, size_t length)
{
    CHECK(write(fd, octets, length) == (ssize_t)length);
}

/* A line of so many octets: letters, and an end. */
static size_t
make_line(char *line, size_t octets, const char *end)
{
    memset(line, 'x', octets);
    memcpy(line + octets - strlen(end), end, strlen(end));
    return octets;
}

/* Says whether the next line is this one. */
static bool
line_is(const char *text, size_t length)
{
    char *line = NULL;
    size_t got = 0;

    return wire_line(&wire, 255, &line, &got) == WIRE_LINE
        && got == length && memcmp(line, text, length) == 0 && line[length] == '\0';
}

/* The result of a read whose line does not matter. */
static enum wire_line
next_line(void)
{
    char *line;
    size_t length;

    return wire_line(&wire, 255, &line, &length);
}

static void
test_lines(void)
{
    static const char text[] = "one\r\ntwo\n\r\n\nth\rree\r\r\nnul\0nul\r\nlast";
    int far = open_socket(SOCK_STREAM);

    say(far, text, sizeof text - 1);
    close(far);
    CHECK(line_is("one", 3));
    CHECK(line_is("two", 3));
    CHECK(line_is("", 0));
    CHECK(line_is("", 0));
    CHECK(line_is("th\rree\r", 7));
    CHECK(line_is("nul\0nul", 7));
    CHECK(wire.error == 0);
    CHECK(next_line() == WIRE_NO_LINE);     /* a last line without its end is no line */
    CHECK(wire.error == WIRE_CLOSED);
    CHECK(next_line() == WIRE_NO_LINE);
    close_wire();
}

/* Each piece comes by itself (a datagram is one read), so a line may be cut anywhere. */
static void
test_lines_in_pieces(void)
{
    static const char text[] = "one\r\ntwo\n\r\nthree\r\n";
    size_t length = sizeof text - 1;

    for (size_t piece = 1; piece <= length; piece++) {
        int far = open_socket(SOCK_DGRAM);

        /* One piece and one read at a time, as the system's queue of datagrams may be short. */
        for (size_t done = 0; done < length; done += piece) {
            say(far, text + done, length - done < piece ? length - done : piece);
            CHECK(wire_fill(&wire));
        }
        CHECK(line_is("one", 3));
        CHECK(line_is("two", 3));
        CHECK(line_is("", 0));
        CHECK(line_is("three", 5));
        close(far);
        close_wire();
    }
}

static void
test_line_cut_before_its_end(void)
{
    pid_t child;
    int far = open_socket(SOCK_DGRAM);

    child = fork();
    if (child == 0) {
        say(far, "on", 2);
        say(far, "e\r", 2);
        say(far, "\ntwo\r\n", 6);
        _exit(0);
    }
    CHECK(line_is("one", 3));
    CHECK(line_is("two", 3));
    waitpid(child, NULL, 0);
    close(far);
    close_wire();
}

/* Lengths around the limit, cut in every way that could be taken for another length. */
static void
test_line_borders(void)
{
    char line[300];

    for (size_t octets = 254; octets <= 257; octets++) {
        for (int lf = 0; lf <= 1; lf++) {
            size_t length = make_line(line, octets, lf ? "\n" : "\r\n");

            for (size_t cut = 252; cut <= length; cut++) {
                int far = open_socket(SOCK_STREAM);
                pid_t child;

                say(far, line, cut);
                CHECK(wire_fill(&wire));
                child = fork();
                if (child == 0) {
                    say(far, line + cut, length - cut);
                    say(far, "next\r\n", 6);
                    _exit(0);
                }
                if (octets <= POP3_COMMAND_MAX)
                    CHECK(line_is(line, length - (lf ? 1 : 2)));
                else
                    CHECK(next_line() == WIRE_LINE_TOO_LONG);
                CHECK(line_is("next", 4));
                CHECK(wire.error == 0);
                waitpid(child, NULL, 0);
                close(far);
                close_wire();
            }
        }
    }
}

/* A line longer than any buffer is one line that is too long, and the next one begins behind its LF. */
static void
test_line_without_end(void)
{
    static char block[4096];
    pid_t child;
    int far[2];

    open_pipes(far);
    memset(block, 'x', sizeof block);
    block[sizeof block - 1] = '\r';         /* which ends nothing */
    child = fork();
    if (child == 0) {
        for (int i = 0; i < 100; i++)
            say(far[1], block, sizeof block);
        say(far[1], "\nnext\r\n", 7);
        say(far[1], block, sizeof block);
        _exit(0);
    }
    close(far[1]);
    CHECK(next_line() == WIRE_LINE_TOO_LONG);
    CHECK(line_is("next", 4));
    CHECK(next_line() == WIRE_NO_LINE);     /* too long, but cut off first of all */
    CHECK(wire.error == WIRE_CLOSED);
    waitpid(child, NULL, 0);
    close(far[0]);
    close_wire();
}

/* What was put is written before the wire waits for an answer. */
static void
test_question_and_answer(void)
{
    int far[2];

    for (int sockets = 0; sockets <= 1; sockets++) {
        pid_t child;

        if (sockets)
            far[0] = far[1] = open_socket(SOCK_STREAM);
        else
            open_pipes(far);
        CHECK(wire.socket == (sockets == 1));
        child = fork();
        if (child == 0) {
            char line[6];
            size_t have = 0;

            while (have < sizeof line) {
                ssize_t count = read(far[0], line + have, sizeof line - have);
                if (count <= 0)
                    _exit(1);
                have += (size_t)count;
            }
            say(far[1], "+OK\r\n", memcmp(line, "NOOP\r\n", 6) == 0 ? 5 : 0);
            _exit(0);
        }
        wire_put(&wire, "NOOP", 4);
        memcpy(wire_room(&wire, 2), "\r\n", 2);
        wire_added(&wire, 2);
        CHECK(line_is("+OK", 3));
        waitpid(child, NULL, 0);
        close(far[0]);
        if (!sockets)
            close(far[1]);
        close_wire();
    }
}

/* More than the wire's buffer and the system's together arrives, whole and in order. */
static void
test_flush_large(void)
{
    enum { OCTETS = 3 * WIRE_OUTPUT + 12345 };
    unsigned char *text = malloc(OCTETS);
    int far[2];

    if (text == NULL)
        exit(2);
    for (size_t i = 0; i < OCTETS; i++)
        text[i] = (unsigned char)(i * 7 + i / 251);
    for (int sockets = 0; sockets <= 1; sockets++) {
        int status = -1;
        pid_t child;

        if (sockets)
            far[0] = open_socket(SOCK_STREAM);
        else
            open_pipes(far);
        child = fork();
        if (child == 0) {
            static unsigned char block[10007];
            size_t have = 0;
            ssize_t count;

            close_wire();
            while ((count = read(far[0], block, sizeof block)) > 0) {
                if (have + (size_t)count > OCTETS || memcmp(block, text + have, (size_t)count) != 0)
                    _exit(1);
                have += (size_t)count;
            }
            _exit(have == OCTETS ? 0 : 2);
        }
        close(far[0]);
        wire_put(&wire, text, 10);
        wire_put(&wire, text + 10, OCTETS - 10);
        CHECK(wire_flush(&wire));
        CHECK(wire.error == 0 && wire.out_end == 0);
        close_wire();
        if (!sockets)
            close(far[1]);
        waitpid(child, &status, 0);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    free(text);
}

/* Nobody says anything, or takes anything: the wait ends by itself, and not before its time. */
static void
test_idle(void)
{
    static const char block[1024];
    int64_t start, took;
    int far[2];

    open_pipes(far);
    wire.idle_ms = 40;
    start = wire_clock();
    CHECK(next_line() == WIRE_NO_LINE);
    took = wire_clock() - start;
    CHECK(wire.error == ETIMEDOUT);
    CHECK(took >= 39 && took < 4000);
    close(far[0]);
    close(far[1]);
    close_wire();

    for (int sockets = 0; sockets <= 1; sockets++) {
        if (sockets)
            far[0] = open_socket(SOCK_STREAM);
        else
            open_pipes(far);
        wire.idle_ms = 40;
        start = wire_clock();
        for (int i = 0; i < 20000 && wire.error == 0; i++)
            wire_put(&wire, block, sizeof block);
        took = wire_clock() - start;
        CHECK(wire.error == ETIMEDOUT);
        CHECK(took >= 39 && took < 4000);
        CHECK(!wire_flush(&wire) && wire.error == ETIMEDOUT);       /* it stays */
        close(far[0]);
        if (!sockets)
            close(far[1]);
        close_wire();
    }
}

/* Part of a line is no reason to wait for ever for the rest; nor is a peer that is never idle. */
static void
test_deadline(void)
{
    int64_t start, took;
    pid_t child;
    int far = open_socket(SOCK_STREAM);

    say(far, "half a li", 9);
    wire.idle_ms = 40;
    CHECK(next_line() == WIRE_NO_LINE);
    CHECK(wire.error == ETIMEDOUT);
    close(far);
    close_wire();

    far = open_socket(SOCK_STREAM);
    child = fork();
    if (child == 0) {
        close_wire();
        while (send(far, "x", 1, MSG_NOSIGNAL) == 1)
            poll(NULL, 0, 5);
        _exit(0);
    }
    start = wire_clock();
    wire.deadline = start + 60;
    CHECK(next_line() == WIRE_NO_LINE);
    took = wire_clock() - start;
    CHECK(wire.error == ETIMEDOUT);
    CHECK(took >= 59 && took < 4000);
    close_wire();
    close(far);
    waitpid(child, NULL, 0);
}

static volatile sig_atomic_t stopped;

static void
on_alarm(int number)
{
    stopped = number;
}

/* A signal that says stop ends a wait, whether it comes before it or within it; another does not. */
static void
test_stop(void)
{
    struct sigaction action = {.sa_handler = on_alarm};
    struct itimerval soon = {.it_value = {.tv_usec = 30000}};
    sigset_t blocked, before;
    int far = open_socket(SOCK_STREAM);

    sigaction(SIGALRM, &action, NULL);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGALRM);
    sigprocmask(SIG_BLOCK, &blocked, &before);

    wire.mask = &before;
    wire.stop = &stopped;
    stopped = 0;
    setitimer(ITIMER_REAL, &soon, NULL);
    CHECK(next_line() == WIRE_NO_LINE);
    CHECK(wire.error == EINTR && stopped == SIGALRM);
    CHECK(next_line() == WIRE_NO_LINE);
    close(far);
    close_wire();

    far = open_socket(SOCK_STREAM);
    wire.mask = &before;
    wire.stop = &stopped;
    stopped = 0;
    raise(SIGALRM);                             /* it is blocked, and waits for the wire to wait */
    CHECK(stopped == 0);
    CHECK(next_line() == WIRE_NO_LINE);
    CHECK(wire.error == EINTR && stopped == SIGALRM);
    close(far);
    close_wire();

    far = open_socket(SOCK_STREAM);
    wire.mask = &before;                        /* the same signal, but nobody asked to be stopped */
    raise(SIGALRM);
    wire.idle_ms = 40;
    CHECK(next_line() == WIRE_NO_LINE);
    CHECK(wire.error == ETIMEDOUT);
    close(far);
    close_wire();
    sigprocmask(SIG_SETMASK, &before, NULL);
}

/* A wire that never has to wait, because the other side is always quicker, is stopped all the same. */
static void
test_stop_ready(void)
{
    struct sigaction action = {.sa_handler = on_alarm};
    sigset_t blocked, before;

    sigaction(SIGALRM, &action, NULL);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGALRM);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    for (int reading = 0; reading < 2; reading++) {
        int far = open_socket(SOCK_STREAM), moves = 0;

        wire.mask = &before;
        wire.stop = &stopped;
        stopped = 0;
        raise(SIGALRM);
        while (wire.error == 0 && moves < 100) {
            say(far, "a\n", reading ? 2 : 0);
            if (!reading)
                wire_put(&wire, "b", 1);
            if (reading ? next_line() == WIRE_LINE : wire_flush(&wire))
                moves++;
        }
        CHECK(wire.error == EINTR && stopped == SIGALRM && moves < WIRE_MOVES);
        close(far);
        close_wire();
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
}

/* The other side goes: WIRE_CLOSED, no signal that kills, and after that nothing is written or read. */
static void
test_closed(void)
{
    char octet;
    int far[2];

    open_pipes(far);
    close(far[0]);
    wire_put(&wire, "lost", 4);
    CHECK(!wire_flush(&wire));
    CHECK(wire.error == WIRE_CLOSED);
    say(far[1], "late\r\n", 6);
    CHECK(next_line() == WIRE_NO_LINE);
    CHECK(wire.out_end == 0);
    close(far[1]);
    close_wire();

    far[0] = open_socket(SOCK_STREAM);
    close(far[0]);
    wire_put(&wire, "lost", 4);
    CHECK(!wire_flush(&wire));
    CHECK(wire.error == WIRE_CLOSED);
    close_wire();

    open_pipes(far);
    CHECK(!wire_fail(&wire, ENOSPC));
    CHECK(!wire_fail(&wire, EIO));
    CHECK(wire.error == ENOSPC);                /* the first one stays */
    wire_put(&wire, "never", 5);
    CHECK(!wire_flush(&wire));
    close_wire();
    CHECK(read(far[0], &octet, 1) == 0);        /* and nothing was written */
    close(far[0]);
    close(far[1]);
}

int
main(void)
{
    signal(SIGPIPE, SIG_IGN);
    unit_case("the command table is complete", test_table);
    unit_case("words are the same whatever their case", test_same_word);
    unit_case("a word names a command or none", test_find);
    unit_case("a line is cut into a command and its arguments", test_parse);
    unit_case("a password is all that follows one blank", test_parse_password);
    unit_case("a number is digits, up to a limit", test_number);
    unit_case("what is not a number", test_number_refused);
    unit_case("a file becomes what the wire carries", test_stuff);
    unit_case("a file becomes what the wire carries, in every way", test_stuff_random);
    unit_case("what the wire carries becomes a file", test_unstuff);
    unit_case("what no proper server sends", test_unstuff_strange);
    unit_case("a message ends behind its dot", test_unstuff_stops);
    unit_case("every short text, there and back", test_round_trip);
    unit_case("lines end in CRLF or LF", test_lines);
    unit_case("lines that come in pieces", test_lines_in_pieces);
    unit_case("a line that is waited for", test_line_cut_before_its_end);
    unit_case("lines around the limit", test_line_borders);
    unit_case("a line that does not end", test_line_without_end);
    unit_case("a question goes out before its answer is awaited", test_question_and_answer);
    unit_case("more than any buffer holds", test_flush_large);
    unit_case("an idle peer", test_idle);
    unit_case("a deadline", test_deadline);
    unit_case("a signal that says stop", test_stop);
    unit_case("a signal that says stop, and a wire that need not wait", test_stop_ready);
    unit_case("a peer that goes", test_closed);
    return unit_status;
}
