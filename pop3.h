/*
 * pop3.h - what POP3 is, for both ends of a connection
 *
 * Here stands what the server and the client must agree on: the limits, the commands, what a line and a
 * number look like, how a message travels (byte-stuffing), and the wire, a buffered connection with a
 * deadline. A part that only one of them needs stands in that program.
 *
 * Include it first: it says which interfaces of the system the programs are written to. Nothing in it can
 * be assigned at file scope, and nothing in it prints, exits or allocates, so each part can be tested with
 * octets from a string.
 *
 * RFC 1939 is POP3; RFC 2449 adds CAPA, the lengths of lines, pipelining and the codes in brackets.
 */
#ifndef POP3_H
#define POP3_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1           /* ppoll, MAP_ANONYMOUS and the like, which plain -std=c11 hides */
#endif
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64    /* messages over 2 GiB where a long has 32 bits */
#endif

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define POP3_VERSION "1.0"
#define POP3_PORT "5000"        /* 110 is POP3's own, but wants root */

enum {
    POP3_COMMAND_MAX = 255,     /* octets of a command with its line end, RFC 2449 section 4 */
    POP3_STATUS_MAX = 512,      /* octets of a status line with its line end, the same section */
    POP3_ARGUMENTS_MAX = 2
};

/* ---- The commands: their facts, once; each program adds what it does about them ---------------------- */

enum pop3_verb {
    POP3_STAT, POP3_LIST, POP3_RETR, POP3_DELE, POP3_TOP, POP3_UIDL, POP3_NOOP, POP3_RSET,
    POP3_USER, POP3_PASS, POP3_CAPA, POP3_QUIT,
    POP3_VERBS                  /* how many there are; as a verb: none of them */
};

enum pop3_body { NO_BODY, BODY, BODY_IF_ALONE };            /* do lines follow the +OK? */
enum pop3_state { IN_AUTH = 1, IN_TRANS = 2, ANYWHERE = 3 };    /* as bits */

struct pop3_command {
    const char *name;
    const char *arguments;      /* as a person reads them; [optional] */
    int min, max;               /* how many there may be */
    bool on_message;            /* the first one is a message number */
    unsigned where;             /* the states it belongs to */
    enum pop3_body body;
    const char *help;
};

static const struct pop3_command pop3_commands[POP3_VERBS] = {
    [POP3_STAT] = {"STAT", "",        0, 0, false, IN_TRANS, NO_BODY,       "how many messages, and their octets"},
    [POP3_LIST] = {"LIST", "[n]",     0, 1, true,  IN_TRANS, BODY_IF_ALONE, "the size of each message, or of one"},
    [POP3_RETR] = {"RETR", "n",       1, 1, true,  IN_TRANS, BODY,          "a whole message"},
    [POP3_DELE] = {"DELE", "n",       1, 1, true,  IN_TRANS, NO_BODY,       "mark a message; QUIT removes it"},
    [POP3_TOP]  = {"TOP",  "n lines", 2, 2, true,  IN_TRANS, BODY,          "the header and the first lines"},
    [POP3_UIDL] = {"UIDL", "[n]",     0, 1, true,  IN_TRANS, BODY_IF_ALONE, "the unique-id of each, or of one"},
    [POP3_NOOP] = {"NOOP", "",        0, 0, false, IN_TRANS, NO_BODY,       "nothing, but keeps the session open"},
    [POP3_RSET] = {"RSET", "",        0, 0, false, IN_TRANS, NO_BODY,       "unmark every message"},
    [POP3_USER] = {"USER", "name",    1, 1, false, IN_AUTH,  NO_BODY,       "log in: who"},
    [POP3_PASS] = {"PASS", "password", 1, 1, false, IN_AUTH, NO_BODY,       "log in: the password"},
    [POP3_CAPA] = {"CAPA", "",        0, 0, false, ANYWHERE, BODY,          "what the server can do"},
    [POP3_QUIT] = {"QUIT", "",        0, 0, false, ANYWHERE, NO_BODY,       "remove what is marked, and end"},
};

/* ---- Lines: words and numbers ------------------------------------------------------------------------ */

/* A command as it was typed or received. */
struct pop3_request {
    enum pop3_verb verb;        /* POP3_VERBS when the word is not a command of ours */
    const char *word;           /* the first word, "" in an empty line */
    int count;                  /* how many arguments were given, also those beyond the array */
    const char *argument[POP3_ARGUMENTS_MAX];
};

static inline bool
pop3_is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Says whether two words are the same but for the case of their letters, whatever the locale. */
static inline bool
pop3_same_word(const char *a, const char *b)
{
    for (; *a != '\0' && *b != '\0'; a++, b++) {
        char x = *a >= 'a' && *a <= 'z' ? (char)(*a - 'a' + 'A') : *a;
        char y = *b >= 'a' && *b <= 'z' ? (char)(*b - 'a' + 'A') : *b;

        if (x != y)
            return false;
    }
    return *a == *b;
}

/* Returns the command that a word names, in any case, or POP3_VERBS. */
static inline enum pop3_verb
pop3_find(const char *word)
{
    for (int verb = 0; verb < POP3_VERBS; verb++)
        if (pop3_same_word(word, pop3_commands[verb].name))
            return (enum pop3_verb)verb;
    return POP3_VERBS;
}

/*
 * Takes a line without its line end apart. The words stay in the line, which is cut up for it. Blanks may
 * come in runs; only a password is taken as it stands, all that follows one blank (RFC 1939 section 7).
 */
static inline struct pop3_request
pop3_parse(char *line)
{
    struct pop3_request request = {.verb = POP3_VERBS, .word = "", .count = 0, .argument = {"", ""}};

    for (int i = 0; *(line += strspn(line, " \t")) != '\0'; i++) {
        const char *word = line;

        line += strcspn(line, " \t");
        if (*line != '\0')
            *line++ = '\0';
        if (i > 0) {
            if (i <= POP3_ARGUMENTS_MAX)
                request.argument[i - 1] = word;
            request.count = i;
            continue;
        }
        request.word = word;
        request.verb = pop3_find(word);
        if (request.verb == POP3_PASS && *line != '\0') {
            request.argument[0] = line;
            request.count = 1;
            break;
        }
    }
    return request;
}

/*
 * Reads a number that is the whole of a text, digits and nothing else, and at most max.
 * Returns false, and leaves *number alone, when it is anything else.
 */
static inline bool
pop3_number(const char *text, uint64_t max, uint64_t *number)
{
    uint64_t value = 0;

    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return false;

        uint64_t digit = (uint64_t)(*text - '0');
        if (digit > max || value > (max - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *number = value;
    return true;
}

/* ---- Byte-stuffing: how a message travels (RFC 1939 section 3) --------------------------------------- */

/* Where a message stands on its way out; all zero at its start. */
struct pop3_stuffer {
    bool in_line;               /* the last octet was not a LF */
    bool after_cr;              /* the last octet was a CR */
    uint64_t dots;              /* that were added */
};

/*
 * Copies octets that travel as they are, and stops before one that does not, or already before one that may
 * not. The octet before the first is at in[-1]. Returns how many it copied.
 */
static inline size_t
pop3_copy_plain(const unsigned char *in, size_t length, unsigned char *to)
{
    const unsigned char *lf = memchr(in, '\n', length);
    size_t run = in[-1] == '\n' ? 0 : lf != NULL ? (size_t)(lf - in) : length;

    memcpy(to, in, run);
    return run;
}

#ifdef __SSE2__
/*
 * The same, sixteen at a time. Only what must stop it does: a LF without a CR before it, a dot behind a LF. A
 * file that has its lines in wire form then costs hardly more than a copy, any other a little less than above.
 */
static inline size_t
pop3_copy_sse2(const unsigned char *in, size_t length, unsigned char *to)
{
    const __m128i cr = _mm_set1_epi8('\r'), lf = _mm_set1_epi8('\n'), dot = _mm_set1_epi8('.');
    size_t run = 0;

    for (; length - run >= 16; run += 16) {
        const __m128i before = _mm_loadu_si128((const __m128i *)(const void *)(in + run - 1));
        const __m128i octets = _mm_loadu_si128((const __m128i *)(const void *)(in + run));
        const __m128i bare = _mm_andnot_si128(_mm_cmpeq_epi8(before, cr), _mm_cmpeq_epi8(octets, lf));
        const __m128i dots = _mm_and_si128(_mm_cmpeq_epi8(before, lf), _mm_cmpeq_epi8(octets, dot));
        const int stops = _mm_movemask_epi8(_mm_or_si128(bare, dots));

        _mm_storeu_si128((__m128i *)(void *)(to + run), octets);    /* behind a stop it is written over */
        if (stops != 0)
            return run + (size_t)__builtin_ctz((unsigned)stops);
    }
    return run + pop3_copy_plain(in + run, length - run, to + run);
}
#define POP3_COPY pop3_copy_sse2
#else
#define POP3_COPY pop3_copy_plain
#endif

/*
 * Turns length octets of a file into what the wire carries: a LF without a CR before it becomes CRLF, a dot
 * at the start of a line is doubled, every other octet stays. A file may be handed over in pieces of any
 * size. out needs room for twice the length. Returns how many octets were written there.
 */
static inline size_t
pop3_stuff(struct pop3_stuffer *s, const unsigned char *in, size_t length, unsigned char *out)
{
    const unsigned char *end = in + length;
    unsigned char *to = out;
    struct pop3_stuffer at = *s;    /* which a compiler can keep in registers */

    while (in < end) {
        if (*in == '\n' && !at.after_cr) {
            *to++ = '\r';
        } else if (*in == '.' && !at.in_line) {
            *to++ = '.';
            at.dots++;
        }
        *to++ = *in++;

        size_t run = POP3_COPY(in, (size_t)(end - in), to);
        in += run;
        to += run;
        at.in_line = in[-1] != '\n';
        at.after_cr = in[-1] == '\r';
    }
    *s = at;
    return (size_t)(to - out);
}

/* Where a message stands on its way in; all zero at its start. */
struct pop3_unstuffer {
    enum { UNSTUFF_START, UNSTUFF_IN_LINE, UNSTUFF_CR, UNSTUFF_DOT, UNSTUFF_DOT_CR, UNSTUFF_END } at;
    uint64_t octets;            /* of the message so far, with each line end as two */
};

/*
 * Undoes pop3_stuff: takes length octets from the wire, writes the lines with LF as their end to out, which
 * needs room for one octet more than length, and stops behind the line that holds a lone dot; at is
 * UNSTUFF_END then. Returns how many octets it took, and in *made how many it wrote.
 *
 * Only CRLF ends a line: a peer that lets a LF through as it stands cannot cut a message short by ".LF".
 */
static inline size_t
pop3_unstuff(struct pop3_unstuffer *u, const unsigned char *in, size_t length, unsigned char *out, size_t *made)
{
    const unsigned char *from = in, *end = in + length;
    unsigned char *to = out;

    while (from < end && u->at != UNSTUFF_END) {
        switch (u->at) {
        case UNSTUFF_START:
            u->at = *from == '.' ? UNSTUFF_DOT : UNSTUFF_IN_LINE;
            from += *from == '.';
            break;
        case UNSTUFF_IN_LINE: {
            const unsigned char *cr = memchr(from, '\r', (size_t)(end - from));
            size_t part = (size_t)((cr != NULL ? cr : end) - from);

            memcpy(to, from, part);
            to += part;
            from += part;
            u->octets += part;
            if (cr != NULL) {
                from++;
                u->at = UNSTUFF_CR;
            }
            break;
        }
        case UNSTUFF_CR:
            if (*from == '\n') {
                from++;
                *to++ = '\n';
                u->octets += 2;
                u->at = UNSTUFF_START;
            } else {
                *to++ = '\r';
                u->octets++;
                u->at = UNSTUFF_IN_LINE;
            }
            break;
        case UNSTUFF_DOT:       /* the dot itself is dropped, whatever follows it */
            u->at = *from == '\r' ? UNSTUFF_DOT_CR : UNSTUFF_IN_LINE;
            from += *from == '\r';
            break;
        case UNSTUFF_DOT_CR:
            if (*from == '\n') {
                from++;
                u->at = UNSTUFF_END;
            } else {
                *to++ = '\r';
                u->octets++;
                u->at = UNSTUFF_IN_LINE;
            }
            break;
        case UNSTUFF_END:
            break;
        }
    }
    *made = (size_t)(to - out);
    return (size_t)(from - in);
}

/* ---- The wire: one buffered connection --------------------------------------------------------------- */

enum {
    WIRE_INPUT = 64 * 1024,
    WIRE_OUTPUT = 256 * 1024,
    WIRE_MOMENT_MS = 10,        /* a wait that is over so soon is none that must be watched */
    WIRE_MOVES = 16,            /* reads or writes that need not wait, until signals are let in */
    WIRE_CLOSED = -1            /* as an error: the other side ended the connection */
};

/*
 * Two descriptors, which may be the same, and a buffer for each way. The first error stays; after it
 * nothing is read or written any more, so a caller may look at it once, after all it had to say.
 *
 * A caller that catches signals keeps them blocked, and lends the wire the mask that lets them in and the
 * flag that their handler sets: they arrive only while the wire waits, and no flag is ever seen too late.
 * (A wire that never has to wait lets them in now and then.)
 */
struct wire {
    int in, out;
    bool socket;                /* out is one: it can be written to without blocking */
    bool brief;                 /* in is one, of which a read blocks for WIRE_MOMENT_MS at most */
    int error;                  /* 0, WIRE_CLOSED, ETIMEDOUT, EINTR (stopped) or another errno */
    int idle_ms;                /* the longest wait in which no octet moves */
    int64_t deadline;           /* on wire_clock, when all of it must be over; 0: never */
    const sigset_t *mask;       /* the signals to block while waiting, or NULL */
    const volatile sig_atomic_t *stop;  /* a signal came that ends the connection, or NULL */
    unsigned moves;             /* how often was asked whether one did */

    size_t in_start, in_end;    /* what was read and not yet taken */
    size_t out_end;             /* what was put and not yet written */
    unsigned char input[WIRE_INPUT];
    unsigned char output[WIRE_OUTPUT];
};

/* Returns milliseconds since some moment in the past, by a clock that nobody sets. */
static inline int64_t
wire_clock(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Readies a wire, of any content, for two open descriptors. It waits for ever until idle_ms is set. */
static inline void
wire_open(struct wire *w, int in, int out)
{
    int type;
    socklen_t size = sizeof type;

    w->in = in;
    w->out = out;
    w->socket = getsockopt(out, SOL_SOCKET, SO_TYPE, &type, &size) == 0;
    w->brief = false;
    w->error = 0;
    w->idle_ms = INT_MAX;
    w->deadline = 0;
    w->mask = NULL;
    w->stop = NULL;
    w->moves = 0;
    w->in_start = w->in_end = w->out_end = 0;
}

/*
 * Has a read wait for a moment itself, where it can: most of what is waited for comes by then, and one call is
 * enough. It is not for a descriptor that others go on to use, for they would get that too.
 */
static inline void
wire_be_brief(struct wire *w)
{
    const struct timeval moment = {.tv_sec = 0, .tv_usec = WIRE_MOMENT_MS * 1000};

    w->brief = setsockopt(w->in, SOL_SOCKET, SO_RCVTIMEO, &moment, sizeof moment) == 0;
}

/* Notes an error if it is the first. Returns false, for the caller to pass on. */
static inline bool
wire_fail(struct wire *w, int error)
{
    if (w->error == 0)
        w->error = error;
    return false;
}

/* Returns how many octets the other side has not taken yet from the system's buffer, 0 if it cannot tell. */
static inline int
wire_untaken(const struct wire *w)
{
    int octets = 0;

#ifdef TIOCOUTQ
    if (!w->socket || ioctl(w->out, TIOCOUTQ, &octets) != 0)
        octets = 0;
#endif
    return octets;
}

/* Lets in the signals that wait. Returns whether one of them ends the connection. */
static inline bool
wire_stopped(const struct wire *w)
{
    sigset_t blocked;

    if (w->stop == NULL)
        return false;
    if (w->mask != NULL) {      /* a descriptor that is always ready would never let one in */
        sigprocmask(SIG_SETMASK, w->mask, &blocked);
        sigprocmask(SIG_SETMASK, &blocked, NULL);
    }
    return *w->stop != 0;
}

/* The same for each read and write, most of which find out for nothing: it lets signals in at some of them. */
static inline bool
wire_stops(struct wire *w)
{
    return ++w->moves % WIRE_MOVES == 0 ? wire_stopped(w) : w->stop != NULL && *w->stop != 0;
}

/* Says whether the deadline has passed, and notes it as the error. */
static inline bool
wire_late(struct wire *w)
{
    if (w->deadline == 0 || wire_clock() < w->deadline)
        return false;
    wire_fail(w, ETIMEDOUT);
    return true;
}

/*
 * Waits until a descriptor is ready for POLLIN or POLLOUT. Returns false, with the error noted, when it was
 * idle for too long, the deadline has passed or a signal said stop. A peer that slowly takes what the
 * system already holds for it is not idle: a wait that is not over soon begins to watch that.
 */
static inline bool
wire_wait(struct wire *w, int fd, short events)
{
    int64_t now = wire_clock(), limit = now + w->idle_ms, slice = WIRE_MOMENT_MS;
    int untaken = -1;

    while (!wire_stops(w)) {
        struct pollfd ready = {.fd = fd, .events = events, .revents = 0};
        int64_t until = w->deadline != 0 && w->deadline < limit ? w->deadline : limit;
        int64_t left = until - now < slice ? until - now : slice;
        struct timespec time = {.tv_sec = (time_t)(left / 1000), .tv_nsec = (long)(left % 1000) * 1000000};

        if (left <= 0)
            return wire_fail(w, ETIMEDOUT);

        int count = ppoll(&ready, 1, &time, w->mask);
        if (count > 0)
            return true;
        if (count < 0 && errno != EINTR && errno != EAGAIN)
            return wire_fail(w, errno);

        now = wire_clock();
        if (count == 0) {
            int before = untaken;

            untaken = wire_untaken(w);
            if (untaken < before)
                limit = now + w->idle_ms;
            slice = untaken > 0 ? 200 : INT64_MAX;
        }
    }
    return wire_fail(w, EINTR);
}

/* Writes octets. Returns false when the wire has failed. */
static inline bool
wire_write(struct wire *w, const unsigned char *octets, size_t length)
{
    bool wait = !w->socket;     /* a socket has room more often than not, and says itself when it has none */

    while (length > 0 && w->error == 0) {
        ssize_t count;

        if (wait && !wire_wait(w, w->out, POLLOUT))
            break;
        if (!wait && wire_stops(w))
            return wire_fail(w, EINTR);
        if (w->socket)
            count = send(w->out, octets, length, MSG_DONTWAIT | MSG_NOSIGNAL);
        else                    /* a pipe that is ready takes this much without blocking */
            count = write(w->out, octets, length < PIPE_BUF ? length : PIPE_BUF);
        wait = true;
        if (count > 0) {
            octets += count;
            length -= (size_t)count;
        } else if (errno == EPIPE || errno == ECONNRESET) {
            wire_fail(w, WIRE_CLOSED);
        } else if (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK) {
            wire_fail(w, errno);
        }
    }
    return w->error == 0;
}

/* Writes all that was put. Returns false when the wire has failed. */
static inline bool
wire_flush(struct wire *w)
{
    size_t length = w->out_end;

    w->out_end = 0;
    return wire_write(w, w->output, length);
}

/*
 * Reads what has come behind what is still there, having written first what was put. Returns false when
 * nothing more will come, or the buffer is full.
 */
static inline bool
wire_fill(struct wire *w)
{
    if (!wire_flush(w))
        return false;
    if (w->in_start > 0) {
        memmove(w->input, w->input + w->in_start, w->in_end - w->in_start);
        w->in_end -= w->in_start;
        w->in_start = 0;
    }
    if (w->in_end == WIRE_INPUT)
        return wire_fail(w, EMSGSIZE);
    for (bool wait = !w->brief;; wait = true) {
        if (wait && !wire_wait(w, w->in, POLLIN))
            return false;
        if (!wait && wire_late(w))
            return false;
        if (!wait && wire_stops(w))
            return wire_fail(w, EINTR);

        ssize_t count = read(w->in, w->input + w->in_end, WIRE_INPUT - w->in_end);
        if (count > 0) {
            w->in_end += (size_t)count;
            return true;
        }
        if (count == 0)
            return wire_fail(w, WIRE_CLOSED);
        if (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK)
            return wire_fail(w, errno);
    }
}

/* Makes room for that many octets, at most WIRE_OUTPUT. Returns where they go; wire_added says how many. */
static inline unsigned char *
wire_room(struct wire *w, size_t octets)
{
    if (WIRE_OUTPUT - w->out_end < octets)
        wire_flush(w);
    return w->output + w->out_end;
}

static inline void
wire_added(struct wire *w, size_t octets)
{
    w->out_end += octets;
}

/* Puts octets of any number behind those that wait to be written. */
static inline void
wire_put(struct wire *w, const void *octets, size_t length)
{
    const unsigned char *from = octets;

    while (length > 0) {
        size_t part = length < WIRE_OUTPUT ? length : WIRE_OUTPUT;

        memcpy(wire_room(w, part), from, part);
        wire_added(w, part);
        from += part;
        length -= part;
    }
}

enum wire_line { WIRE_LINE, WIRE_LINE_TOO_LONG, WIRE_NO_LINE };

/*
 * Reads one line of at most max octets with its line end, CRLF or LF. Returns WIRE_LINE, with the line
 * without its end and a NUL behind it in *line until the next read, and its octets in *length;
 * WIRE_LINE_TOO_LONG for a longer one, which was read to its end and forgotten; or WIRE_NO_LINE when the
 * wire failed. A last line without its end is no line: what was cut off is never obeyed.
 */
static inline enum wire_line
wire_line(struct wire *w, size_t max, char **line, size_t *length)
{
    bool too_long = false;
    size_t searched = 0;

    for (;;) {
        unsigned char *start = w->input + w->in_start;
        size_t have = w->in_end - w->in_start;
        unsigned char *lf = memchr(start + searched, '\n', have - searched);

        if (lf != NULL) {
            size_t octets = (size_t)(lf - start) + 1;

            w->in_start += octets;
            if (too_long || octets > max)
                return WIRE_LINE_TOO_LONG;
            if (lf > start && lf[-1] == '\r')
                lf--;
            *lf = '\0';
            *line = (char *)start;
            *length = (size_t)(lf - start);
            return WIRE_LINE;
        }
        if (have >= max) {
            too_long = true;
            w->in_start = w->in_end;
        }
        searched = w->in_end - w->in_start;
        if (!wire_fill(w))
            return WIRE_NO_LINE;
    }
}

#endif
