/*
 * header.c - pop3.h, part by part
 *
 * It is included twice, and first, which proves that it needs nothing before it and guards
 * itself.
 */
#include "../../pop3.h"
#include "../../pop3.h"

#include "unit.h"

#include <ctype.h>

/* ---- The command table, words and numbers ---------------------------------------------------- */

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
parses(const char *text, enum pop3_verb verb, const char *word, int count, const char *first,
       const char *second)
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
        "+1",  "-1",  "-0",  "1x",  "x1", "1 ",   " 1", "1\t", "1\r",
        "1.0", "0x1", "1e3", "1-2", "*",  "\xB2", "/",  ":",
    };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        CHECK(refused(texts[i], UINT64_MAX));
}

/* ---- Byte-stuffing --------------------------------------------------------------------------- */

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

/*
 * What the wire carries for a file, by the letter of RFC 1939, an octet at a time and in no
 * hurry.
 */
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

/*
 * pop3_stuff, with the file handed over in pieces of so many octets, and what its caller adds at
 * the end.
 */
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
 * pop3_unstuff, cut at one place and then in pieces of so many octets. *taken is how much of the
 * wire it took up to the final dot, or 0 if it did not find one.
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

/* Returns true if a file travels as wire (without the final dot), in pieces of any size. */
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

/*
 * Long texts, of which the octets that matter are many or few: every way to copy them, and all of
 * it in pieces.
 */
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

/*
 * Returns true if what comes over the wire is taken as file, wherever it is cut, and the wire up
 * to its end.
 */
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

int
main(void)
{
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
    return unit_status;
}
