/*
 * exhaustive.c - every short message, command line and pair of names, against an independent
 * reference
 *
 * The references follow the RFC word by word, one byte at a time. They share no code with the
 * programs.
 */
int server_main(int, char **);
#define main server_main
#include "../../server.c"
#undef main

#include "unit.h"

enum { MESSAGE_MAX = 8, LINE_MAX_LENGTH = 6, NAMES_MOST = 5000, NAME_ROOM = 24 };

struct bytes {
    size_t length;
    unsigned char at[64];
};

static void
add(struct bytes *b, int c)
{
    b->at[b->length++] = (unsigned char)c;
}

static bool
same(const struct bytes *a, const struct bytes *b)
{
    return a->length == b->length && memcmp(a->at, b->at, a->length) == 0;
}

static void
print(const char *what, const struct bytes *b)
{
    printf("%s, in hexadecimal:", what);
    for (size_t i = 0; i < b->length; i++)
        printf(" %02x", b->at[i]);
    putchar('\n');
}

/*
 * Sets *b to the next text over an alphabet: all texts of one length, then the longer ones.
 * Returns false after the last text of max bytes.
 */
static bool
next_text(struct bytes *b, const char *alphabet, size_t letters, size_t max)
{
    for (size_t i = 0; i < b->length; i++) {
        const char *letter = memchr(alphabet, b->at[i], letters);

        if (letter + 1 < alphabet + letters) {
            b->at[i] = (unsigned char)letter[1];
            return true;
        }
        b->at[i] = (unsigned char)alphabet[0];
    }
    add(b, alphabet[0]);
    return b->length <= max;
}

/* ---- Messages: stuffed by one side, unstuffed by the other ----------------------------------- */

/*
 * Returns what the wire carries for a file (RFC 1939 section 3), and in *octets the size that
 * LIST shows.
 */
static struct bytes
wire_of(const struct bytes *file, uint64_t *octets)
{
    struct bytes wire = {0};
    uint64_t dots = 0;

    for (size_t i = 0; i < file->length; i++) {
        if (file->at[i] == '.' && (i == 0 || file->at[i - 1] == '\n')) {
            add(&wire, '.');
            dots++;
        }
        if (file->at[i] == '\n' && (i == 0 || file->at[i - 1] != '\r'))
            add(&wire, '\r');
        add(&wire, file->at[i]);
    }
    if (file->length > 0 && file->at[file->length - 1] != '\n') {
        add(&wire, '\r');
        add(&wire, '\n');
    }
    *octets = wire.length - dots;
    add(&wire, '.');
    add(&wire, '\r');
    add(&wire, '\n');
    return wire;
}

/* Returns the file that a client keeps: LF for each CRLF, and a line end at the end. */
static struct bytes
copy_of(const struct bytes *file)
{
    struct bytes copy = {0};

    for (size_t i = 0; i < file->length; i++)
        if (file->at[i] != '\r' || i + 1 == file->length || file->at[i + 1] != '\n')
            add(&copy, file->at[i]);
    if (copy.length > 0 && copy.at[copy.length - 1] != '\n')
        add(&copy, '\n');
    return copy;
}

/*
 * Returns the message at the start of a stream, and in *end where its final dot line ends, 0: not
 * yet.
 */
static struct bytes
message_in(const struct bytes *wire, size_t *end)
{
    struct bytes lines = {0};
    size_t start = 0;

    *end = 0;
    for (size_t i = 0; i + 1 < wire->length; i++) {
        if (wire->at[i] != '\r' || wire->at[i + 1] != '\n')
            continue;
        if (i == start + 1 && wire->at[start] == '.') {
            *end = i + 2;
            return lines;
        }
        for (size_t k = start + (wire->at[start] == '.'); k < i; k++)
            add(&lines, wire->at[k]);
        add(&lines, '\n');
        start = i + 2;
    }

    /* A line without its end so far. A CR at its end may belong to the line end. */
    size_t stop = wire->length;
    if (stop > start && wire->at[stop - 1] == '\r')
        stop--;
    for (size_t k = start + (start < stop && wire->at[start] == '.'); k < stop; k++)
        add(&lines, wire->at[k]);
    return lines;
}

/* Stuffs a file in two pieces, as the server does. Returns the wire, and the size in *octets. */
static struct bytes
stuff(const struct bytes *file, size_t cut, uint64_t *octets)
{
    struct bytes wire = {0};
    struct pop3_stuffer s = {0};

    wire.length = pop3_stuff(&s, file->at, cut, wire.at);
    wire.length += pop3_stuff(&s, file->at + cut, file->length - cut, wire.at + wire.length);
    if (s.in_line) {
        add(&wire, '\r');
        add(&wire, '\n');
    }
    *octets = wire.length - s.dots;
    add(&wire, '.');
    add(&wire, '\r');
    add(&wire, '\n');
    return wire;
}

/*
 * Unstuffs a stream in two pieces. Returns the lines; *end and *octets are those of message_in
 * and LIST.
 */
static struct bytes
unstuff(const struct bytes *wire, size_t cut, size_t *end, uint64_t *octets)
{
    struct bytes lines = {0};
    struct pop3_unstuffer u = {0};
    size_t taken, made;

    taken = pop3_unstuff(&u, wire->at, cut, lines.at, &made);
    lines.length = made;
    if (taken == cut) {
        taken += pop3_unstuff(&u, wire->at + cut, wire->length - cut, lines.at + made, &made);
        lines.length += made;
    }
    *end = u.at == UNSTUFF_END ? taken : 0;
    *octets = u.octets;
    return lines;
}

/* Returns true if a file survives the way over the wire, wherever it and the wire are cut. */
static bool
survives(const struct bytes *file)
{
    uint64_t size, octets;
    struct bytes wire = wire_of(file, &size), copy = copy_of(file);
    size_t length = wire.length, end;

    for (size_t cut = 0; cut <= file->length; cut++) {
        struct bytes sent = stuff(file, cut, &octets);

        if (!same(&sent, &wire) || octets != size)
            return false;
    }
    add(&wire, '+');                /* the next answer is not part of the message */
    for (size_t cut = 0; cut <= wire.length; cut++) {
        struct bytes saved = unstuff(&wire, cut, &end, &octets);

        if (!same(&saved, &copy) || octets != size || end != length)
            return false;
    }
    return true;
}

static void
test_messages(void)
{
    struct bytes file = {0};

    do {
        if (!CHECK(survives(&file))) {
            print("the file", &file);
            return;
        }
    } while (next_text(&file, "\r\n.x\0", 5, MESSAGE_MAX));
}

/* Any stream, of a server that does not stuff: only a line with one dot ends the message. */
static void
test_streams(void)
{
    struct bytes wire = {0};

    do {
        size_t end, reference_end;
        uint64_t octets;
        struct bytes reference = message_in(&wire, &reference_end);

        for (size_t cut = 0; cut <= wire.length; cut++) {
            struct bytes lines = unstuff(&wire, cut, &end, &octets);

            if (!CHECK(same(&lines, &reference) && end == reference_end)) {
                print("the stream", &wire);
                return;
            }
        }
    } while (next_text(&wire, "\r\n.x\0", 5, MESSAGE_MAX));
}

/* ---- Command lines --------------------------------------------------------------------------- */

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool
names(const char *word, size_t length, const char *command)
{
    for (size_t i = 0; i < length; i++)
        if (command[i] == '\0' || (word[i] != command[i] && word[i] != command[i] - 'A' + 'a'))
            return false;
    return command[length] == '\0';
}

static bool
is(const char *text, const char *start, size_t length)
{
    return strlen(text) == length && memcmp(text, start, length) == 0;
}

/*
 * The grammar: line = *blank [word *(1*blank word)] *blank, where a word has no blank in it. The
 * first word names a command in any case. PASS has one argument: what follows one blank, if that
 * is not empty.
 */
static bool
parsed_by_grammar(const char *line)
{
    char copy[64];
    size_t length = strlen(line), at = 0, start[64], size[64];
    int words = 0;

    while (true) {
        while (at < length && is_blank(line[at]))
            at++;
        if (at == length)
            break;
        start[words] = at;
        while (at < length && !is_blank(line[at]))
            at++;
        size[words] = at - start[words];
        words++;
        if (words == 1 && names(line + start[0], size[0], "PASS") && at + 1 < length) {
            start[1] = at + 1;
            size[1] = length - (at + 1);
            words = 2;
            break;
        }
    }

    int verb = 0;
    while (words > 0 && verb < POP3_VERBS &&
           !names(line + start[0], size[0], pop3_commands[verb].name))
        verb++;

    memcpy(copy, line, length + 1);
    struct pop3_request r = pop3_parse(copy);
    if (words == 0)
        return r.verb == POP3_VERBS && r.word[0] == '\0' && r.count == 0 &&
               r.argument[0][0] == '\0';
    return (int)r.verb == verb && is(r.word, line + start[0], size[0]) && r.count == words - 1
        && is(r.argument[0], words > 1 ? line + start[1] : "", words > 1 ? size[1] : 0)
        && is(r.argument[1], words > 2 ? line + start[2] : "", words > 2 ? size[2] : 0);
}

static void
test_lines(void)
{
    struct bytes text = {0};

    do {
        char line[sizeof text.at + 1];

        memcpy(line, text.at, text.length);
        line[text.length] = '\0';
        if (!CHECK(parsed_by_grammar(line))) {
            printf("the line: \"%s\"\n", line);
            return;
        }
    } while (next_text(&text, "tOP \t1\r", 7, LINE_MAX_LENGTH));
}

/* The same for longer lines, of whole words. */
static void
test_lines_of_words(void)
{
    static const char *const words[] = {"pass", "PASS", "List", "QUITx", "1", " ", "\t"};
    struct bytes text = {0};

    do {
        char line[sizeof text.at];
        size_t length = 0;

        for (size_t i = 0; i < text.length; i++)
            length += (size_t)sprintf(line + length, "%s", words[text.at[i] - 'a']);
        line[length] = '\0';
        if (!CHECK(parsed_by_grammar(line))) {
            printf("the line: \"%s\"\n", line);
            return;
        }
    } while (next_text(&text, "abcdefg", 7, LINE_MAX_LENGTH));
}

/* Numbers: digits and nothing else, of at most 19. */
static void
test_numbers(void)
{
    struct bytes text = {0};

    do {
        char line[sizeof text.at + 1];
        uint64_t number = 99, value = 0;
        bool digits = text.length > 0;

        memcpy(line, text.at, text.length);
        line[text.length] = '\0';
        for (size_t i = 0; i < text.length; i++) {
            digits = digits && strchr("019", line[i]) != NULL;
            value = value * 10 + (uint64_t)(line[i] - '0');
        }
        digits = digits && value <= 19;
        if (!CHECK(pop3_number(line, 19, &number) == digits && number == (digits ? value : 99))) {
            printf("the number: \"%s\"\n", line);
            return;
        }
    } while (next_text(&text, "019+- x/:", 9, 5));
}

/* ---- The order of names ---------------------------------------------------------------------- */

static int
sign(int number)
{
    return (number > 0) - (number < 0);
}

/*
 * Returns how the number at the start of a compares with that of b, and in *digits how long each
 * one is.
 */
static int
compare_numbers(const char *a, const char *b, size_t digits[2])
{
    uint64_t x = 0, y = 0;

    for (digits[0] = 0; a[digits[0]] >= '0' && a[digits[0]] <= '9'; digits[0]++)
        x = x * 10 + (uint64_t)(a[digits[0]] - '0');
    for (digits[1] = 0; b[digits[1]] >= '0' && b[digits[1]] <= '9'; digits[1]++)
        y = y * 10 + (uint64_t)(b[digits[1]] - '0');
    return (x > y) - (x < y);
}

/*
 * The order as CONTRACT describes it: runs of digits as numbers, everything else by bytes, then
 * all bytes.
 */
static int
order_of(const char *a, const char *b)
{
    const char *x = a, *y = b;

    while (*x != '\0' && *y != '\0') {
        size_t digits[2];
        int order = compare_numbers(x, y, digits);

        if (digits[0] == 0 || digits[1] == 0) {
            order = (unsigned char)*x - (unsigned char)*y;
            digits[0] = digits[1] = 1;
        }
        if (order != 0)
            return order;
        x += digits[0];
        y += digits[1];
    }
    if (*x != '\0' || *y != '\0')
        return *x != '\0' ? 1 : -1;
    return strcmp(a, b);
}

/* The order of messages: as above without folder and flags, then the flags, then the folder. */
static int
order_of_messages(const char *a, const char *b)
{
    const char *names[2] = {a, b}, *bases[2];
    char unflagged[2][NAME_ROOM];
    int order;

    for (int i = 0; i < 2; i++) {
        const char *slash = strchr(names[i], '/'), *flags;

        bases[i] = slash != NULL ? slash + 1 : names[i];
        flags = strstr(bases[i], ":2,");
        snprintf(unflagged[i], NAME_ROOM, "%.*s",
                 flags != NULL ? (int)(flags - bases[i]) : NAME_ROOM, bases[i]);
    }
    order = order_of(unflagged[0], unflagged[1]);
    if (order == 0)
        order = strcmp(bases[0], bases[1]);
    return order != 0 ? order : strcmp(a, b);
}

static char (*all_names)[NAME_ROOM];
static size_t name_count;

static int
by_order(const void *a, const void *b)
{
    return name_compare(a, b);
}

/*
 * Sorted by the order, each name comes before all that follow it, and each pair compares as
 * described. That every pair agrees with one sequence is what makes an order total and
 * transitive, so triples add nothing.
 */
static void
check_order(void)
{
    size_t wrong = 0;

    qsort(all_names, name_count, sizeof *all_names, by_order);
    for (size_t i = 0; i < name_count && wrong < 10; i++) {
        for (size_t k = 0; k < name_count && wrong < 10; k++) {
            int order = sign(name_compare(all_names[i], all_names[k]));

            if (order != (i > k) - (i < k) ||
                order != sign(order_of_messages(all_names[i], all_names[k]))) {
                wrong++;
                printf("\"%s\" and \"%s\" compare as %d\n", all_names[i], all_names[k], order);
            }
        }
    }
    CHECK(wrong == 0);
}

static void
test_names(void)
{
    struct bytes name = {0};

    name_count = 0;
    while (next_text(&name, "019.\xe9", 5, 5)) {
        memcpy(all_names[name_count], name.at, name.length);
        all_names[name_count++][name.length] = '\0';
    }
    check_order();
}

/* Names of up to four of these pieces, as a Maildir has them. */
static void
test_names_of_maildir(void)
{
    static const char *const pieces[] = {"a", "1", "01", ":2,", "S"}, *const folders[] = {"new/",
                                                                                          "cur/"};
    struct bytes text = {0};

    name_count = 0;
    while (next_text(&text, "abcde", 5, 4)) {
        for (int folder = 0; folder < 2; folder++) {
            char *name = all_names[name_count++];

            strcpy(name, folders[folder]);
            for (size_t i = 0; i < text.length; i++)
                strcat(name, pieces[text.at[i] - 'a']);
        }
    }

    /* Pieces can be put together to the same name in two ways. */
    size_t kept = 0;
    for (size_t i = 0; i < name_count; i++) {
        size_t k = 0;

        while (k < kept && strcmp(all_names[k], all_names[i]) != 0)
            k++;
        if (k == kept)
            memmove(all_names[kept++], all_names[i], NAME_ROOM);
    }
    name_count = kept;
    check_order();
}

int
main(void)
{
    all_names = malloc(NAMES_MOST * sizeof *all_names);
    if (all_names == NULL)
        return 2;
    unit_case("every message of up to 8 bytes, there and back, in two pieces", test_messages);
    unit_case("every stream of up to 8 bytes, in two pieces", test_streams);
    unit_case("every command line of up to 6 bytes", test_lines);
    unit_case("every command line of up to 6 words and blanks", test_lines_of_words);
    unit_case("every number of up to 5 characters", test_numbers);
    unit_case("every pair of names of up to 5 bytes", test_names);
    unit_case("every pair of names in a Maildir, of up to 4 pieces", test_names_of_maildir);
    free(all_names);
    return unit_status;
}
