/*
 * stuff.c - the server sends the size that it measured, and the client gets the file back
 *
 * The first byte of an input is a seed for the sizes of all pieces, the second the number of lines
 * for TOP. The rest is used as a file, and also as the output of any server. Each stage works in
 * pieces of random sizes, in buffers of exactly the required size, and is compared with a simple
 * reference.
 */
#include "fuzz_system.h"

int server_main(int, char **);
#define main server_main
#include "../../server.c"
#undef main

struct buffer {
    unsigned char *at;
    size_t length, room;
};

static void
buffer_add(struct buffer *o, const void *more, size_t length)
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
buffer_equal(const struct buffer *a, const struct buffer *b)
{
    return a->length == b->length && (a->length == 0 || memcmp(a->at, b->at, a->length) == 0);
}

/* ---- The references -------------------------------------------------------------------------- */

/* What RETR sends for a file, with or without byte-stuffing. */
static struct buffer
reference_wire(const uint8_t *file, size_t size, bool stuffed)
{
    struct buffer wire = {.at = NULL};

    for (size_t i = 0; i < size; i++) {
        if (stuffed && file[i] == '.' && (i == 0 || file[i - 1] == '\n'))
            buffer_add(&wire, ".", 1);
        if (file[i] == '\n' && (i == 0 || file[i - 1] != '\r'))
            buffer_add(&wire, "\r", 1);
        buffer_add(&wire, file + i, 1);
    }
    if (size > 0 && file[size - 1] != '\n')
        buffer_add(&wire, "\r\n", 2);
    return wire;
}

/* The lines of a stream up to a lone dot. *used is the length with the dot, or 0 without a dot. */
static struct buffer
reference_lines(const uint8_t *in, size_t size, size_t *used)
{
    struct buffer lines = {.at = NULL};
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
        buffer_add(&lines, in + at + dot, length - dot);
        if (end == NULL)
            break;
        buffer_add(&lines, "\n", 1);
        at += length + 2;
    }
    return lines;
}

/* Returns how much of a file TOP sends: the header, the blank line, and `lines` lines. */
static size_t
reference_top(const uint8_t *file, size_t size, uint64_t lines)
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

/* ---- The functions under test, in pieces ----------------------------------------------------- */

static void
measure(struct message *m, const uint8_t *file, size_t size, uint32_t seed, bool pieces)
{
    static const struct store store = {.path = "store"};
    int fd;

    system_reset(seed);
    sys.pieces = pieces;
    system_add("1", file, size);
    fd = system_openat(SYSTEM_DIRECTORY, "1", 0);
    *m = (struct message){.name = "1"};
    DEMAND(get_file_state(&m->state, fd) && message_measure(&store, m, fd));
    system_close(fd);
}

/* Returns the size of the next piece: tiny in half of the cases. */
static size_t
piece_size(uint32_t *random, size_t left)
{
    size_t size = 1 + fuzz_random(random, fuzz_random(random, 2) == 0 ? 3 : (uint32_t)left);

    return size < left ? size : left;
}

static struct buffer
stuff(const uint8_t *file, size_t size, uint32_t *random, uint64_t *octets)
{
    struct buffer out = {.at = NULL};
    struct pop3_stuffer s = {.dots = 0};
    size_t at = 0;

    while (at < size) {
        size_t part = piece_size(random, size - at), written;
        unsigned char *room = malloc(2 * part);

        DEMAND(room != NULL);
        written = pop3_stuff(&s, file + at, part, room);
        DEMAND(written <= 2 * part);
        buffer_add(&out, room, written);
        free(room);
        at += part;
    }
    *octets = out.length - s.dots + (s.in_line ? 2 : 0);
    if (s.in_line)
        buffer_add(&out, "\r\n", 2);
    return out;
}

/* Undoes byte-stuffing. *used is the length with the final dot, or 0 if there is none. */
static struct buffer
unstuff(const uint8_t *in, size_t size, uint32_t *random, size_t *used, uint64_t *octets)
{
    struct buffer out = {.at = NULL};
    struct pop3_unstuffer u = {.octets = 0};
    size_t at = 0;

    while (at < size && u.at != UNSTUFF_END) {
        size_t part = piece_size(random, size - at), written, consumed;
        unsigned char *room = malloc(part + 1);

        DEMAND(room != NULL);
        consumed = pop3_unstuff(&u, in + at, part, room, &written);
        DEMAND(written <= part + 1 && (consumed == part || u.at == UNSTUFF_END));
        buffer_add(&out, room, written);
        free(room);
        at += consumed;
    }
    *used = u.at == UNSTUFF_END ? at : 0;
    *octets = u.octets;
    return out;
}

static size_t
top(const uint8_t *file, size_t size, uint64_t lines, uint32_t *random)
{
    struct top t = {.lines = lines};
    size_t at = 0;

    while (at < size) {
        size_t part = piece_size(random, size - at), consumed;
        unsigned char *block = malloc(part);

        DEMAND(block != NULL);
        memcpy(block, file + at, part);
        consumed = top_part(&t, block, part);
        free(block);
        at += consumed;
        if (consumed < part)
            break;
    }
    return at;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned char more[] = ".\r\nand more\r\n.\r\n";
    struct message whole, pieces;
    uint64_t octets, counted;
    size_t used, wanted;

    if (size < 2)
        return 0;
    uint32_t random = data[0];
    uint64_t lines = data[1];
    const uint8_t *file = data + 2;
    size -= 2;

    struct buffer wire = reference_wire(file, size, false);
    struct buffer stuffed = reference_wire(file, size, true);
    struct buffer sent = stuff(file, size, &random, &octets);

    measure(&whole, file, size, data[0], false);
    measure(&pieces, file, size, data[0], true);
    DEMAND(whole.octets == wire.length && pieces.octets == wire.length && octets == wire.length);
    DEMAND(memcmp(whole.id, pieces.id, sizeof whole.id) == 0);
    DEMAND(buffer_equal(&sent, &stuffed));

    size_t length = sent.length;
    buffer_add(&sent, more, sizeof more - 1);
    buffer_add(&wire, more, 3);
    struct buffer saved = unstuff(sent.at, sent.length, &random, &used, &counted);
    DEMAND(used == length + 3 && counted == octets);

    /* It equals the file, except for CRLF and the last line end. */
    size_t at = 0;
    for (size_t i = 0; i < size; i++)
        if (file[i] != '\r' || i + 1 == size || file[i + 1] != '\n')
            DEMAND(at < saved.length && saved.at[at++] == file[i]);
    if (size > 0 && file[size - 1] != '\n')
        DEMAND(at < saved.length && saved.at[at++] == '\n');
    DEMAND(at == saved.length);

    DEMAND(top(file, size, lines, &random) == reference_top(file, size, lines));

    /* A stream without byte-stuffing. A CR at its end may still be pending. */
    struct buffer got = unstuff(file, size, &random, &used, &counted),
                  reference = reference_lines(file, size, &wanted);
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
