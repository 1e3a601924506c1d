/*
 * stuff.c - what the server measures is what it sends, and what the client makes of it is the
 * file again
 *
 * The first octet of an input is a seed for the sizes of all pieces, the second a number of lines
 * for TOP, the rest is a file, and once more a stream from a server of any kind. Each stage works
 * in pieces of random sizes with exactly the room that it asks for, and is compared with a
 * reference that is as plain as can be.
 */
#include "fuzz_system.h"

int server_main(int, char **);
#define main server_main
#include "../../server.c"
#undef main

/* Octets that somebody made. */
struct octets {
    unsigned char *at;
    size_t length, room;
};

static void
octets_add(struct octets *o, const void *more, size_t length)
{
    if (o->room - o->length <= length) {
        o->room = 2 * (o->length + length) + 64;
        o->at = realloc(o->at, o->room);
        DEMAND(o->at != NULL);
    }
    if (length > 0)
        memcpy(o->at + o->length, more, length);
    o->length += length;
}

static bool
octets_same(const struct octets *a, const struct octets *b)
{
    return a->length == b->length && (a->length == 0 || memcmp(a->at, b->at, a->length) == 0);
}

/* ---- The references -------------------------------------------------------------------------- */

/*
 * What a file is on the wire: with CRLF for each LF and behind the last line, and dots if it is
 * to be stuffed.
 */
static struct octets
plain_wire(const uint8_t *file, size_t size, bool stuffed)
{
    struct octets wire = {.at = NULL};

    for (size_t i = 0; i < size; i++) {
        if (stuffed && file[i] == '.' && (i == 0 || file[i - 1] == '\n'))
            octets_add(&wire, ".", 1);
        if (file[i] == '\n' && (i == 0 || file[i - 1] != '\r'))
            octets_add(&wire, "\r", 1);
        octets_add(&wire, file + i, 1);
    }
    if (size > 0 && file[size - 1] != '\n')
        octets_add(&wire, "\r\n", 2);
    return wire;
}

/*
 * The lines of a stream up to a lone dot. Says in *used how much that is, 0 when there is no such
 * line.
 */
static struct octets
plain_lines(const uint8_t *in, size_t size, size_t *used)
{
    struct octets lines = {.at = NULL};
    size_t at = 0;

    *used = 0;
    while (at < size) {
        const uint8_t *end = memmem(in + at, size - at, "\r\n", 2);
        size_t length = end != NULL ? (size_t)(end - (in + at)) : size - at;

        if (end != NULL && length == 1 && in[at] == '.') {
            *used = at + 3;
            break;
        }
        size_t dot = in[at] == '.';
        octets_add(&lines, in + at + dot, length - dot);
        if (end == NULL)
            break;
        octets_add(&lines, "\n", 1);
        at += length + 2;
    }
    return lines;
}

/* How much of a file TOP takes: lines up to the first empty one, and so many behind it. */
static size_t
plain_top(const uint8_t *file, size_t size, uint64_t lines)
{
    bool body = false;
    size_t at = 0;

    while (at < size && !(body && lines == 0)) {
        const uint8_t *lf = memchr(file + at, '\n', size - at);
        size_t length = lf != NULL ? (size_t)(lf - (file + at)) : size - at;

        if (lf == NULL)
            return size;
        if (body)
            lines--;
        else
            body = length == 0 || (length == 1 && file[at] == '\r');
        at += length + 1;
    }
    return at;
}

/* ---- The parts, in pieces -------------------------------------------------------------------- */

static void
measure(struct message *m, const uint8_t *file, size_t size, uint32_t seed, bool pieces)
{
    static const struct store store = {.path = "store"};
    int fd;

    system_reset(seed);
    sys.pieces = pieces;
    system_add("1", file, size);
    fd = system_openat(SYSTEM_DIRECTORY, "1", 0);
    *m = (struct message){.octets = 0};
    DEMAND(message_state(m, fd) && message_measure(&store, m, "1", fd));
    system_close(fd);
}

static struct octets
stuff(const uint8_t *file, size_t size, uint32_t *dice, uint64_t *octets)
{
    struct octets out = {.at = NULL};
    struct pop3_stuffer s = {.dots = 0};
    size_t at = 0;

    while (at < size) {
        size_t part = 1 + fuzz_dice(dice, fuzz_dice(dice, 2) == 0 ? 3 : (uint32_t)(size - at)),
               made;
        part = part < size - at ? part : size - at;
        unsigned char *room = malloc(2 * part);

        DEMAND(room != NULL);
        made = pop3_stuff(&s, file + at, part, room);
        DEMAND(made <= 2 * part);
        octets_add(&out, room, made);
        free(room);
        at += part;
    }
    *octets = out.length - s.dots + (s.in_line ? 2 : 0);
    if (s.in_line)
        octets_add(&out, "\r\n", 2);
    return out;
}

/*
 * Returns the lines, and in *used how much of the stream they took up to the end of the dot's, 0:
 * no dot came.
 */
static struct octets
unstuff(const uint8_t *in, size_t size, uint32_t *dice, size_t *used, uint64_t *octets)
{
    struct octets out = {.at = NULL};
    struct pop3_unstuffer u = {.octets = 0};
    size_t at = 0;

    while (at < size && u.at != UNSTUFF_END) {
        size_t part = 1 + fuzz_dice(dice, fuzz_dice(dice, 2) == 0 ? 3 : (uint32_t)(size - at)),
               made, took;
        part = part < size - at ? part : size - at;
        unsigned char *room = malloc(part + 1);

        DEMAND(room != NULL);
        took = pop3_unstuff(&u, in + at, part, room, &made);
        DEMAND(made <= part + 1 && (took == part || u.at == UNSTUFF_END));
        octets_add(&out, room, made);
        free(room);
        at += took;
    }
    *used = u.at == UNSTUFF_END ? at : 0;
    *octets = u.octets;
    return out;
}

static size_t
top(const uint8_t *file, size_t size, uint64_t lines, uint32_t *dice)
{
    struct top t = {.lines = lines};
    size_t at = 0;

    while (at < size) {
        size_t part = 1 + fuzz_dice(dice, fuzz_dice(dice, 2) == 0 ? 3 : (uint32_t)(size - at)),
               took;
        part = part < size - at ? part : size - at;
        unsigned char *block = malloc(part);

        DEMAND(block != NULL);
        memcpy(block, file + at, part);
        took = top_part(&t, block, part);
        free(block);
        at += took;
        if (took < part)
            break;
    }
    return at;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned char more[] = ".\r\nand more\r\n.\r\n";
    struct message whole, pieces;
    uint64_t octets, heard;
    size_t used, wanted;

    if (size < 2)
        return 0;
    uint32_t dice = data[0];
    uint64_t lines = data[1];
    const uint8_t *file = data + 2;
    size -= 2;

    struct octets wire = plain_wire(file, size, false), stuffed = plain_wire(file, size, true);
    struct octets sent = stuff(file, size, &dice, &octets);

    measure(&whole, file, size, data[0], false);
    measure(&pieces, file, size, data[0], true);
    DEMAND(whole.octets == wire.length && pieces.octets == wire.length && octets == wire.length);
    DEMAND(memcmp(whole.id, pieces.id, sizeof whole.id) == 0);
    DEMAND(octets_same(&sent, &stuffed));

    size_t length = sent.length;
    octets_add(&sent, more, sizeof more - 1);
    octets_add(&wire, more, 3);
    struct octets saved = unstuff(sent.at, sent.length, &dice, &used, &heard);
    DEMAND(used == length + 3 && heard == octets);

    /* The same as the file, but for CRLF and the last line end. */
    size_t at = 0;
    for (size_t i = 0; i < size; i++)
        if (file[i] != '\r' || i + 1 == size || file[i + 1] != '\n')
            DEMAND(at < saved.length && saved.at[at++] == file[i]);
    if (size > 0 && file[size - 1] != '\n')
        DEMAND(at < saved.length && saved.at[at++] == '\n');
    DEMAND(at == saved.length);

    DEMAND(top(file, size, lines, &dice) == plain_top(file, size, lines));

    /* And a stream that nobody stuffed. Its last octets may wait for what comes behind them. */
    struct octets got = unstuff(file, size, &dice, &used, &heard),
                  reference = plain_lines(file, size, &wanted);
    DEMAND(used == wanted);
    DEMAND(got.length <= reference.length && reference.length - got.length <= (wanted > 0 ? 0 : 1));
    DEMAND(got.length == 0 || memcmp(got.at, reference.at, got.length) == 0);
    DEMAND(got.length == reference.length || reference.at[got.length] == '\r');

    free(wire.at);
    free(stuffed.at);
    free(sent.at);
    free(saved.at);
    free(got.at);
    free(reference.at);
    return 0;
}
