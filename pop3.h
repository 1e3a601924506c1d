/*
 * pop3.h - POP3 as both programs need it
 * SPDX-License-Identifier: ISC
 *
 * What the server and the client must agree on: limits, commands, words and numbers,
 * byte-stuffing; and what both need for it: descriptors, the wire, which is a buffered connection
 * with a deadline, and a filter of system calls. A third POP3 program would need nearly all of it.
 *
 * Include it first: it chooses the interfaces of the system. Nothing in it has file-scope state,
 * prints, exits or allocates.
 *
 * RFC 1939 is POP3. RFC 2449 adds CAPA, the lengths of lines, pipelining and response codes.
 */
#ifndef POP3_H
#define POP3_H

/* -std=c11 hides what is not in C11. These make it visible, each on the systems that know it. */
#undef _GNU_SOURCE
#define _GNU_SOURCE 1
#define _DARWIN_C_SOURCE 1
#define _NETBSD_SOURCE 1
#undef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64    /* messages over 2 GiB where a long has 32 bits */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

/* What only Linux has. -DPOSIX_ONLY leaves all of it out. */
#if defined __linux__ && !defined POSIX_ONLY
#include <sys/syscall.h>
#if defined __has_include && defined SYS_landlock_restrict_self
#if __has_include(<linux/landlock.h>) && __has_include(<linux/seccomp.h>)
#define HAS_LANDLOCK 1
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#endif
#endif
#endif

/* A sanitizer makes system calls, and uses address space, that the programs do not need. */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define SANITIZED 1
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) \
    || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

/* These machines name their system calls alike. A program can exclude one: see server.c. */
#if defined HAS_LANDLOCK && !defined SANITIZED && !defined __ILP32__
#if defined __x86_64__
#define SECCOMP_ARCH AUDIT_ARCH_X86_64
#elif defined __aarch64__ && defined __AARCH64EL__
#define SECCOMP_ARCH AUDIT_ARCH_AARCH64
#elif defined __riscv && __riscv_xlen == 64
#define SECCOMP_ARCH AUDIT_ARCH_RISCV64
#endif
#endif

#define POP3_VERSION "2.0"
#define POP3_PORT "5000"        /* 110 is the registered port, but only root may listen on it */

enum {
    POP3_COMMAND_MAX = 255,     /* octets of a command with its line end, RFC 2449 section 4 */
    POP3_STATUS_MAX = 512,      /* octets of a status line with its line end, the same section */
    POP3_ARGUMENTS_MAX = 2
};

/* ---- 1. The commands: one table for both programs -------------------------------------------- */

enum pop3_verb {
    POP3_STAT, POP3_LIST, POP3_RETR, POP3_DELE, POP3_TOP, POP3_UIDL, POP3_NOOP, POP3_RSET,
    POP3_USER, POP3_PASS, POP3_CAPA, POP3_QUIT,
    POP3_VERBS                  /* their number; as a verb: an unknown command */
};

enum pop3_body { NO_BODY, BODY, BODY_IF_ALONE };                /* is the +OK answer multi-line? */
enum pop3_state { IN_AUTH = 1, IN_TRANS = 2, ANYWHERE = 3 };    /* bits */

struct pop3_command {
    const char *name;
    const char *arguments;      /* as a person reads them; [optional] */
    int min, max;               /* number of arguments */
    bool on_message;            /* the first one is a message number */
    unsigned where;             /* the states in which it is valid */
    enum pop3_body body;
    const char *help;
};

static const struct pop3_command pop3_commands[POP3_VERBS] = {
    [POP3_STAT] = {"STAT", "", 0, 0, false, IN_TRANS, NO_BODY, "number and total size of messages"},
    [POP3_LIST] = {"LIST", "[n]", 0, 1, true, IN_TRANS, BODY_IF_ALONE, "size of each, or of n"},
    [POP3_RETR] = {"RETR", "n", 1, 1, true, IN_TRANS, BODY, "retrieve message n"},
    [POP3_DELE] = {"DELE", "n", 1, 1, true, IN_TRANS, NO_BODY, "mark message n; QUIT removes it"},
    [POP3_TOP] = {"TOP", "n lines", 2, 2, true, IN_TRANS, BODY, "header and first lines of n"},
    [POP3_UIDL] = {"UIDL", "[n]", 0, 1, true, IN_TRANS, BODY_IF_ALONE, "unique-ids, or that of n"},
    [POP3_NOOP] = {"NOOP", "", 0, 0, false, IN_TRANS, NO_BODY, "do nothing, keep the session open"},
    [POP3_RSET] = {"RSET", "", 0, 0, false, IN_TRANS, NO_BODY, "unmark all messages"},
    [POP3_USER] = {"USER", "name", 1, 1, false, IN_AUTH, NO_BODY, "log in: the name"},
    [POP3_PASS] = {"PASS", "password", 1, 1, false, IN_AUTH, NO_BODY, "log in: the password"},
    [POP3_CAPA] = {"CAPA", "", 0, 0, false, ANYWHERE, BODY, "capabilities of the server"},
    [POP3_QUIT] = {"QUIT", "", 0, 0, false, ANYWHERE, NO_BODY, "remove marked messages and end"},
};

/* ---- 2. Words and numbers of a line ---------------------------------------------------------- */

/* A command as it was typed or received. */
struct pop3_request {
    enum pop3_verb verb;        /* POP3_VERBS: unknown */
    const char *word;           /* the first word, "" in an empty line */
    int count;                  /* number of arguments, including those that do not fit the array */
    const char *argument[POP3_ARGUMENTS_MAX];
};

static inline char
pop3_upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

/* Returns true if two words are equal apart from the case of ASCII letters, in any locale. */
static inline bool
pop3_same_word(const char *a, const char *b)
{
    for (; *a != '\0' && pop3_upper(*a) == pop3_upper(*b); a++, b++)
        continue;
    return pop3_upper(*a) == pop3_upper(*b);
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

/* Takes a word and the blank behind it from a line. Returns the word, "" at the end of the line. */
static inline const char *
pop3_word(char **line)
{
    char *word = *line + strspn(*line, " \t");

    *line = word + strcspn(word, " \t");
    if (**line != '\0')
        *(*line)++ = '\0';
    return word;
}

/*
 * Splits a line without its line end into words, in place. Runs of blanks count as one, except in
 * a password: that is everything after one blank (RFC 1939 section 7, PASS).
 */
static inline struct pop3_request
pop3_parse(char *line)
{
    struct pop3_request request = {.word = pop3_word(&line), .argument = {"", ""}};
    const char *argument;

    request.verb = pop3_find(request.word);
    if (request.verb == POP3_PASS && *line != '\0') {
        request.argument[0] = line;
        request.count = 1;
        return request;
    }
    for (; *(argument = pop3_word(&line)) != '\0'; request.count++)
        if (request.count < POP3_ARGUMENTS_MAX)
            request.argument[request.count] = argument;
    return request;
}

/* Reads a text that is one decimal number, at most max. If it is not, *number is unchanged. */
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

/* ---- 3. Byte-stuffing, both ways (RFC 1939 section 3) ---------------------------------------- */

/* The position in a message that is being sent; all zero at its start. */
struct pop3_stuffer {
    bool in_line;               /* the last byte was not LF */
    bool after_cr;              /* the last byte was CR */
    uint64_t dots;              /* number of dots added */
};

/*
 * Converts a piece of a file to what POP3 sends: LF without CR becomes CRLF, a dot at the start of
 * a line is doubled. out needs room for 2 * length bytes. Returns the number of bytes written.
 */
static inline size_t
pop3_stuff(struct pop3_stuffer *s, const unsigned char *in, size_t length, unsigned char *out)
{
    const unsigned char *end = in + length;
    unsigned char *to = out;
    struct pop3_stuffer at = *s;    /* a copy, which a compiler can keep in registers */

    while (in < end) {
        if (*in == '\n' && !at.after_cr) {
            *to++ = '\r';
        } else if (*in == '.' && !at.in_line) {
            *to++ = '.';
            at.dots++;
        }
        *to++ = *in++;
        if (in[-1] != '\n') {
            const unsigned char *lf = memchr(in, '\n', (size_t)(end - in));
            size_t run = (size_t)((lf != NULL ? lf : end) - in);

            memcpy(to, in, run);
            in += run;
            to += run;
        }
        at.in_line = in[-1] != '\n';
        at.after_cr = in[-1] == '\r';
    }
    *s = at;
    return (size_t)(to - out);
}

/* The position in a message that is being received; all zero at its start. */
struct pop3_unstuffer {
    enum {
        UNSTUFF_START, UNSTUFF_IN_LINE, UNSTUFF_CR, UNSTUFF_DOT, UNSTUFF_DOT_CR, UNSTUFF_END
    } at;
    uint64_t octets;            /* of the message so far, each line end counted as two */
};

/*
 * Reverses pop3_stuff: writes lines that end in LF to out, which needs room for length + 1 bytes,
 * and stops after the final dot; then at is UNSTUFF_END. Returns the number of bytes taken, and in
 * *made the number written. Only CRLF ends a line: LF "." LF in a message does not end it.
 */
static inline size_t
pop3_unstuff(struct pop3_unstuffer *u, const unsigned char *in, size_t length,
             unsigned char *out, size_t *made)
{
    const unsigned char *from = in, *end = in + length;
    unsigned char *to = out;

    while (from < end && u->at != UNSTUFF_END) {
        if (u->at == UNSTUFF_START) {       /* a dot is dropped here, whatever follows it */
            u->at = *from == '.' ? UNSTUFF_DOT : UNSTUFF_IN_LINE;
            from += *from == '.';
        } else if (u->at == UNSTUFF_DOT) {
            u->at = *from == '\r' ? UNSTUFF_DOT_CR : UNSTUFF_IN_LINE;
            from += *from == '\r';
        } else if (u->at == UNSTUFF_IN_LINE) {
            const unsigned char *cr = memchr(from, '\r', (size_t)(end - from));
            size_t run = (size_t)((cr != NULL ? cr : end) - from);

            memcpy(to, from, run);
            to += run;
            from += run;
            u->octets += run;
            if (cr != NULL) {
                from++;
                u->at = UNSTUFF_CR;
            }
        } else if (*from != '\n') {         /* the CR before it ends no line */
            *to++ = '\r';
            u->octets++;
            u->at = UNSTUFF_IN_LINE;
        } else if (u->at == UNSTUFF_CR) {
            from++;
            *to++ = '\n';
            u->octets += 2;
            u->at = UNSTUFF_START;
        } else {
            from++;
            u->at = UNSTUFF_END;
        }
    }
    *made = (size_t)(to - out);
    return (size_t)(from - in);
}

/* ---- 4. Descriptors and waiting -------------------------------------------------------------- */

/* Puts something without content in a descriptor's place: where there is no /dev/null, "/". */
static inline void
replace_descriptor(int fd)
{
    int nothing = open("/dev/null", O_RDONLY);

    if (nothing < 0)
        nothing = open("/", O_RDONLY);
    if (nothing >= 0 && nothing != fd) {
        dup2(nothing, fd);
        close(nothing);
    }
}

/* Opens closed standard descriptors, or a connection or a message would get their numbers. */
static inline void
reserve_descriptors(void)
{
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            replace_descriptor(fd);
}

/*
 * Writes a file or directory to disk. Returns false with errno set on failure; true for a directory
 * of a file system that cannot do that.
 */
static inline bool
sync_descriptor(int fd)
{
#ifdef F_FULLFSYNC              /* macOS: fsync() does not wait for the disk */
    if (fcntl(fd, F_FULLFSYNC) == 0)
        return true;
#endif
    return fsync(fd) == 0 || errno == EINVAL || errno == ENOTSUP;
}

#define WAIT_FOREVER (INT64_MAX / 2)    /* half, so that adding a time does not overflow */

/* Returns milliseconds since some time in the past. Setting the system's clock has no effect. */
static inline int64_t
wire_clock(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/*
 * The one place where the programs wait: until one of up to 16 descriptors can be read from (or,
 * with to_write, written to), or for that many milliseconds, but at most a second. A signal sets a
 * flag that callers look at, and one that comes just before the wait is noticed after it.
 * Negative descriptors are ignored.
 *
 * Returns a bit (1 << i) for each descriptor that is ready, 0 after the time, or -1 with errno
 * set: EINTR after a signal, EMFILE for a descriptor too large for select(). (ppoll() does not
 * exist everywhere.)
 */
static inline int
wait_ready(const int *fds, int count, bool to_write, int64_t ms)
{
    const long limit = ms < 0 ? 0 : ms < 1000 ? (long)ms : 1000;
    const struct timespec time = {.tv_sec = limit / 1000, .tv_nsec = limit % 1000 * 1000000};
    fd_set set;
    int most = -1, ready = 0;

    FD_ZERO(&set);
    for (int i = 0; i < count; i++) {
        if (fds[i] >= FD_SETSIZE) {
            errno = EMFILE;
            return -1;
        }
        if (fds[i] >= 0)
            FD_SET((unsigned)fds[i], &set);
        most = fds[i] > most ? fds[i] : most;
    }
    if (pselect(most + 1, to_write ? NULL : &set, to_write ? &set : NULL, NULL, &time, NULL) < 0)
        return -1;
    for (int i = 0; i < count; i++)
        ready |= fds[i] >= 0 && FD_ISSET((unsigned)fds[i], &set) ? 1 << i : 0;
    return ready;
}

/* ---- 5. The wire: one buffered connection ---------------------------------------------------- */

enum {
    WIRE_INPUT = 64 * 1024,
    WIRE_OUTPUT = 256 * 1024,
    WIRE_CLOSED = -1            /* as an error: the peer ended the connection */
};

/*
 * Two descriptors, which may be the same, and a buffer for each direction. The first error stays;
 * after it nothing is read or written, so a caller may check once, after several calls.
 *
 * stop is a flag that a signal handler sets: it ends a wait within a second. waiting() is called
 * before a wait and each second of it.
 */
struct wire {
    int in, out;
    bool socket;                /* out is a socket: send() never blocks */
    int error;                  /* 0, WIRE_CLOSED, ETIMEDOUT, EINTR (stopped) or another errno */
    int64_t idle_ms;            /* longest time in which no byte moves */
    int64_t idle_until;         /* by wire_clock: the end of that time during a wait, else 0 */
    int64_t deadline;           /* by wire_clock: when everything must be over, or WAIT_FOREVER */
    const volatile sig_atomic_t *stop;  /* not 0 after a signal that ends the connection; or NULL */
    void (*waiting)(void *context);     /* or NULL */
    void *context;

    size_t in_start, in_end;    /* received and not yet taken */
    size_t out_end;             /* put and not yet written */
    unsigned char input[WIRE_INPUT];
    unsigned char output[WIRE_OUTPUT];
};

/* Initializes a wire on two open descriptors. It waits forever until the caller sets idle_ms. */
static inline void
wire_open(struct wire *w, int in, int out)
{
    int type;
    socklen_t size = sizeof type;

    memset(w, 0, offsetof(struct wire, input));
    w->in = in;
    w->out = out;
    w->socket = getsockopt(out, SOL_SOCKET, SO_TYPE, &type, &size) == 0;
    w->idle_ms = WAIT_FOREVER;
    w->deadline = WAIT_FOREVER;
}

/* Records an error if it is the first one. Returns false, for the caller to return. */
static inline bool
wire_fail(struct wire *w, int error)
{
    if (w->error == 0)
        w->error = error;
    return false;
}

/* Returns the number of bytes that the system holds for the peer, 0 if it cannot tell. */
static inline int
wire_unsent(const struct wire *w)
{
    int bytes = 0;
#if defined __linux__ && defined TIOCOUTQ
    return ioctl(w->out, TIOCOUTQ, &bytes) == 0 ? bytes : 0;
#elif defined FIONWRITE                 /* the BSDs */
    return ioctl(w->out, FIONWRITE, &bytes) == 0 ? bytes : 0;
#elif defined SO_NWRITE                 /* macOS */
    socklen_t size = sizeof bytes;
    return getsockopt(w->out, SOL_SOCKET, SO_NWRITE, &bytes, &size) == 0 ? bytes : 0;
#else
    (void)w;
    return bytes;
#endif
}

/*
 * Waits until a descriptor of the wire is ready. Returns false, with the error recorded, if
 * nothing moved for idle_ms, the deadline has passed or stop is set.
 *
 * A process that was stopped itself looks once before it finds its peer idle. A slow peer is not
 * idle: each second it is seen whether it took something of what the system holds for it. (Room for
 * more is reported late: by Linux when a third of the buffer is free.)
 */
static inline bool
wire_wait(struct wire *w, int fd, bool to_write)
{
    const int64_t slice = w->idle_ms < 4000 ? w->idle_ms / 4 + 1 : 1000;
    int64_t now = wire_clock();
    int unsent = -1;

    if (w->idle_until == 0)
        w->idle_until = now + w->idle_ms;
    for (;; now = wire_clock()) {
        int64_t until = w->deadline < w->idle_until ? w->deadline : w->idle_until;
        int64_t left = until > now ? until - now : 0;

        if (now >= w->deadline)
            return wire_fail(w, ETIMEDOUT);
        if (w->stop != NULL && *w->stop != 0)
            return wire_fail(w, EINTR);
        if (w->waiting != NULL)
            w->waiting(w->context);

        int ready = wait_ready(&fd, 1, to_write, left < slice ? left : slice);
        if (ready > 0)
            return true;
        if (ready < 0 && errno != EINTR && errno != EAGAIN)
            return wire_fail(w, errno);
        if (ready == 0 && left == 0)
            return wire_fail(w, ETIMEDOUT);

        int before = unsent;
        unsent = wire_unsent(w);
        if (unsent < before)
            w->idle_until = wire_clock() + w->idle_ms;
    }
}

/* Returns true if a read or write moved bytes. Records its error, unless it is to be repeated. */
static inline bool
wire_moved(struct wire *w, ssize_t count)
{
    if (count > 0)
        w->idle_until = 0;
    else if (count == 0 || errno == EPIPE)      /* not ECONNRESET: input may be lost */
        wire_fail(w, WIRE_CLOSED);
    else if (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK)
        wire_fail(w, errno);
    return count > 0;
}

/* Writes everything that was put. Returns false if the wire has failed. */
static inline bool
wire_flush(struct wire *w)
{
    bool wait = !w->socket;     /* a socket usually has room; if not, send() returns EAGAIN */

    for (size_t done = 0; done < w->out_end && w->error == 0; wait = true) {
        size_t left = w->out_end - done;
        ssize_t count;

        if (wait && !wire_wait(w, w->out, true))
            break;
        if (w->socket)
            count = send(w->out, w->output + done, left, MSG_DONTWAIT);
        else                    /* a pipe that is ready takes this much without blocking */
            count = write(w->out, w->output + done, left < PIPE_BUF ? left : PIPE_BUF);
        if (wire_moved(w, count))
            done += (size_t)count;
    }
    w->out_end = 0;
    return w->error == 0;
}

/* Writes what was put, then reads once. Returns false if nothing comes or the input is full. */
static inline bool
wire_fill(struct wire *w)
{
    if (!wire_flush(w))
        return false;
    w->in_end -= w->in_start;
    memmove(w->input, w->input + w->in_start, w->in_end);
    w->in_start = 0;
    if (w->in_end == WIRE_INPUT)
        return wire_fail(w, EMSGSIZE);
    while (w->error == 0 && wire_wait(w, w->in, false)) {
        ssize_t count = read(w->in, w->input + w->in_end, WIRE_INPUT - w->in_end);

        if (wire_moved(w, count)) {
            w->in_end += (size_t)count;
            return true;
        }
    }
    return false;
}

/* Makes room for at most WIRE_OUTPUT bytes. Returns where they go; the caller adds to out_end. */
static inline unsigned char *
wire_room(struct wire *w, size_t length)
{
    if (WIRE_OUTPUT - w->out_end < length)
        wire_flush(w);
    return w->output + w->out_end;
}

/* Appends bytes, of any number, to the output. */
static inline void
wire_put(struct wire *w, const void *bytes, size_t length)
{
    const unsigned char *from = bytes;

    while (length > 0) {
        size_t part = length < WIRE_OUTPUT ? length : WIRE_OUTPUT;

        memcpy(wire_room(w, part), from, part);
        w->out_end += part;
        from += part;
        length -= part;
    }
}

enum wire_line { WIRE_LINE, WIRE_LINE_TOO_LONG, WIRE_NO_LINE };

/*
 * Reads one line of at most max octets with its end, CRLF or LF. Returns WIRE_LINE, with the line,
 * a NUL instead of its end, in *line until the next read; WIRE_LINE_TOO_LONG for a longer one,
 * which was dropped; WIRE_NO_LINE if the wire failed. A last line without its end is not a line: a
 * command that was cut off is never executed.
 */
static inline enum wire_line
wire_line(struct wire *w, size_t max, char **line, size_t *length)
{
    bool too_long = false;

    for (;;) {
        unsigned char *start = w->input + w->in_start;
        size_t have = w->in_end - w->in_start;
        unsigned char *lf = memchr(start, '\n', have);

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
        if (!wire_fill(w))
            return WIRE_NO_LINE;
    }
}

/* ---- 6. Confinement: a filter of system calls ------------------------------------------------ */

#ifdef SECCOMP_ARCH
/* A system call; if bits is not 0, allowed only where these bits of an argument have this value. */
struct allowed_call {
    int call, argument;
    uint32_t bits, value;
};

enum { ALLOWED_CALLS = 100 };           /* at most so many */
#define EQUAL UINT32_MAX                /* all bits of an argument count */
#define ALLOW(name) {SYS_ ## name, 0, 0, 0}

/*
 * Confines this process and its children to these calls. The kernel runs the filter before each
 * call; others is its action for every other call, such as SECCOMP_RET_KILL_PROCESS. A call newer
 * than Landlock fails with ENOSYS, so that a newer libc falls back. Where the system has no such
 * filter, nothing happens.
 */
static inline void
filter_calls(const struct allowed_call *calls, size_t count, uint32_t others)
{
#define LOAD(field) \
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, field))
#define SKIP_UNLESS(compare, value, count) \
    BPF_JUMP(BPF_JMP | (compare) | BPF_K, (uint32_t)(value), 0, count)
    struct sock_filter code[8 + 6 * ALLOWED_CALLS] = {
        LOAD(arch), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SECCOMP_ARCH, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, others), LOAD(nr)
    };
    size_t n = 4;

    for (const struct allowed_call *c = calls; c < calls + count; c++) {
        code[n++] = (struct sock_filter)SKIP_UNLESS(BPF_JEQ, c->call, c->bits == 0 ? 1 : 5);
        if (c->bits != 0) {
            code[n++] = (struct sock_filter)LOAD(args);
            code[n - 1].k += 8 * (uint32_t)c->argument;     /* the lower half of it */
            code[n++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, c->bits);
            code[n++] = (struct sock_filter)SKIP_UNLESS(BPF_JEQ, c->value, 1);
        }
        code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
        if (c->bits != 0)
            code[n++] = (struct sock_filter)LOAD(nr);
    }
    code[n++] = (struct sock_filter)SKIP_UNLESS(BPF_JGT, SYS_landlock_restrict_self, 1);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, others);
#undef LOAD
#undef SKIP_UNLESS

    const struct sock_fprog filter = {.len = (unsigned short)n, .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) == 0)
        prctl(PR_SET_SECCOMP, (long)SECCOMP_MODE_FILTER, &filter, 0L, 0L);
}
#endif

#endif
