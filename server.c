/*
 * server.c - a POP3 server for a directory of messages, one message per file
 * SPDX-License-Identifier: ISC
 *
 * main() opens the sockets, reads the store and accepts connections. Each connection gets a
 * process of its own, which holds one session and ends.
 *
 *     parent    listens, keeps an index of the store, forks, reaps; never reads from a client
 *     session   a child: reads commands, answers them, removes the marked messages at QUIT
 *
 *      1  settings and state        what the rest works with
 *      2  the log                   one line, escaped, never fatal
 *      3  the store                 unique-ids, order, an up-to-date index; messages open and gone
 *      4  answers                   one status line; one message, byte-stuffed, out of its file
 *      5  commands                  one handler each, in the order of the table in pop3.h
 *      6  a session                 parse, dispatch, end
 *      7  confinement               what a process can no longer do when it reads from the network
 *      8  connections               listen, accept, fork, reap, refuse
 *      9  main                      options, password file, signals
 *
 * What may fail, and who notices:
 *   - The client vanishes, also in the middle of a RETR: a read or write of the wire fails and the
 *     error stays in the wire. message_send() returns and session_run() leaves its loop. Nothing is
 *     removed: only do_quit() removes messages.
 *   - A file changes during a session: message_read() compares it with the index after each block.
 *     Before +OK the answer is -ERR, after it the connection ends. do_quit() does not remove it.
 *   - The index itself is out of date: the session that notices sets store.stale, which it shares
 *     with the parent, and the parent reads the whole store before the next session.
 *   - A session crashes or is killed: reap() logs it. No other process is affected.
 *   - A session is compromised: confine_session() left it nothing but reading and removing mail.
 *   - The server is stopped: the parent sends SIGTERM to the sessions. The signal sets a flag,
 *     which ends a session's wait for its client. Inside QUIT it is blocked: QUIT finishes first.
 */
#include "pop3.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <getopt.h>
#include <grp.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#if defined __linux__ && !defined POSIX_ONLY
#define HAS_INOTIFY 1
#include <sys/inotify.h>
#include <sys/vfs.h>
#endif

#ifdef __APPLE__                /* which has older names for them */
#define st_mtim st_mtimespec
#define st_ctim st_ctimespec
#endif

#ifdef __riscv
#undef SECCOMP_ARCH             /* the list of allowed calls was not tried there */
#endif

/* ---- 1. Settings and state ------------------------------------------------------------------- */

enum {
    SESSIONS = 256,             /* default of -n */
    IDLE_SECONDS = 600,         /* default of -t; RFC 1939 section 3: at least ten minutes */
    LOGIN_SECONDS = 60,         /* for the whole login */
    LOGIN_TRIES = 3,
    MISTAKES = 20,              /* in a row, then the session ends */
    QUIT_SECONDS = 30,          /* for the client to take the answer to QUIT */
    LINGER_SECONDS = 2,         /* for the client to close after that */
    ADDRESSES = 16,             /* most -a options; wait_ready() takes as many */
    PORT_TRIES = 20,            /* to find a port that is free on every address */
    SECRET_MAX = 248,           /* bytes of a name or a password; read_passfile() has it as well */
    SCAN_TRIES = 20,            /* for a command, to read the names of a store that changes */
    REFRESH_MS = 250,           /* to look again for a message that is missing in the index */
    TICK_MS = 12,               /* longer than the clock tick of a file system's timestamps */
    LOG_LINE = 4096,            /* bytes; on Linux a ready pipe takes as many without blocking */
    BLOCK = 120 * 1024,         /* bytes of a file read at once */
    FLUSH_SIZE = 64 * 1024,     /* pending octets that are sent before the next command */
    SESSION_MEMORY = 64 * 1024 * 1024,  /* bytes of address space for a session, */
    SESSION_MEMORY_EACH = 512   /* and for each message */
};

struct settings {
    uint64_t port;              /* 0: the kernel chooses */
    const char *addresses[ADDRESSES];
    int address_count;          /* 0: the two default ones */
    const char *directory;
    bool inetd;                 /* -i */
    bool verbose;               /* -v */
    uint64_t sessions;
    const char *passfile;       /* NULL: no login */
    uint64_t idle_seconds;
    char name[SECRET_MAX + 1], password[SECRET_MAX + 1];
};

static const char *program = "server";  /* the name it was started with */
static bool log_times;                  /* log lines start with the time */
static bool *log_cut = &(bool){false};  /* the last line was cut; all processes share it */

/*
 * Set by SIGTERM, SIGINT and SIGHUP. No wait is longer than a second, so a signal that arrives
 * just before a wait is noticed within a second.
 */
static volatile sig_atomic_t stop_asked;

/* The state of a file. While nothing of it differs, it is the same file with the same content. */
struct file_state {
    uint64_t inode, size;
    int64_t modified, changed;  /* mtime and ctime in nanoseconds since 1970 */
};

/* One message: its file, in which state that was, and what was found in it. */
struct message {
    const char *name;           /* relative to the store's directory */
    struct file_state state;
    uint64_t octets;            /* what RETR sends, before byte-stuffing */
    unsigned char id[16];       /* hash of name and content */
    uint32_t duplicate;         /* number of messages before it with the same id */
};

/*
 * All messages, in order. An index is never changed: a fork shares it, and that is a session's
 * snapshot. When the store changes, the parent makes a new one.
 */
struct index {
    struct message *messages;   /* NULL before the first scan is over */
    size_t count;
    uint64_t octets;            /* sum */
    size_t names_size;          /* of their names, each with its NUL, at the end of the memory */
    size_t memory_size;         /* of all this */
};

/* A growing list of files, of which little but the names may be known. Each name is allocated. */
struct list {
    struct message *files;
    size_t count, room;
    size_t names_size;
};

/* Where messages are: the store's directory itself, or one of two folders of a Maildir. */
struct folder {
    const char *name;           /* before the names of its files: "", "new/" or "cur/" */
    int fd;
    int watch;                  /* inotify's watch descriptor */
};

struct store {
    const char *path;
    int directory;              /* -1: closed; the next refresh reads everything */
    struct folder folders[2];
    int folder_count;           /* 2: a Maildir */
    int inotify;                /* reports every change, or -1 */
    int ruleset;                /* Landlock's rules for this directory, or -1 */
    bool *stale;                /* the next refresh reads everything; shared with the sessions */
    struct index index;
};

struct session {
    const struct settings *settings;
    const struct store *store;
    const char *peer;
    int64_t began;              /* by wire_clock */

    enum pop3_state state;
    char user[POP3_COMMAND_MAX];    /* argument of USER, "" before */
    int tries, mistakes;
    const char *end;            /* why the session is over, or NULL */

    bool *deleted;              /* a mark for each message */
    size_t left;                /* number of messages without one, */
    uint64_t left_octets;       /* and their size */
    struct list files;          /* the store's by inode, to find renamed messages, */
    bool scanned;               /* true once they have been listed */
    int scans_left;             /* how often this command may still read them */

    size_t retrieved, topped, removed;
    uint64_t retrieved_octets;

    struct wire wire;
    unsigned char block[BLOCK];
};

/* What a handler gets: everything is checked, the message exists and is not marked. */
struct request {
    enum pop3_verb verb;
    uint64_t number;            /* of the message, 0: none was given */
    const struct message *message;
    uint64_t lines;
    const char *argument;
};

/* ---- 2. The log ------------------------------------------------------------------------------ */

/*
 * Writes a text at to with everything but printable ASCII as \xHH, and "..." if it does not fit.
 * Returns the new length.
 */
static size_t
escape(char *to, size_t room, const char *text)
{
    size_t length = 0;

    for (; *text != '\0' && length + 8 <= room; text++) {
        unsigned char c = (unsigned char)*text;

        if (c >= 0x20 && c < 0x7f)
            to[length++] = *text;
        else
            length += (size_t)snprintf(to + length, room - length, "\\x%02x", c);
    }
    for (int dots = 0; dots < 3 && *text != '\0'; dots++)
        to[length++] = '.';
    return length;
}

/*
 * Writes one line to standard error, in one write, and keeps errno. Parts of it come from the
 * network, so it is escaped. A line that cannot be written at once is lost: the log never stops a
 * session.
 */
static void __attribute__((format(printf, 1, 2)))
log_line(const char *format, ...)
{
    const int log = STDERR_FILENO;
    const int error = errno;
    char text[LOG_LINE], line[LOG_LINE];
    size_t length = 0;
    ssize_t written;
    va_list arguments;
    struct tm utc;
    int ready;

    if (*log_cut)
        line[length++] = '\n';
    if (log_times) {
        const time_t now = time(NULL);

        if (gmtime_r(&now, &utc) != NULL)
            length += strftime(line + length, 64, "%Y-%m-%dT%H:%M:%SZ ", &utc);
    }
    length += (size_t)snprintf(line + length, 256, "%.200s: ", program);
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    length += escape(line + length, sizeof line - length, text);
    line[length++] = '\n';
    do
        ready = wait_ready(&log, 1, true, 0);
    while (ready < 0 && errno == EINTR);
    if (ready > 0 && (written = write(log, line, length)) >= 0)
        *log_cut = (size_t)written < length;
    errno = error;
}

/* Log lines get a time unless systemd adds one: then JOURNAL_STREAM names standard error. */
static void
log_start(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    char own[64] = "";
    struct stat log;

    if (fstat(STDERR_FILENO, &log) == 0)
        snprintf(own, sizeof own, "%ju:%ju", (uintmax_t)log.st_dev, (uintmax_t)log.st_ino);
    log_times = stream == NULL || strcmp(stream, own) != 0;
    if (ttyname(STDERR_FILENO) != NULL) {
        /* Opened again for O_NONBLOCK: other processes share the flags of this descriptor. */
        int fd = open(ttyname(STDERR_FILENO), O_WRONLY | O_NONBLOCK | O_NOCTTY);

        if (fd >= 0) {
            dup2(fd, STDERR_FILENO);
            close(fd);
        }
    }
    tzset();                    /* reads a file, by calls that confine_calls() forbids */
}

static const char *
plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

/* ---- 3. The store ---------------------------------------------------------------------------- */

/*
 * The parent, before a session: store_refresh() calls refresh_once(), which lists the files that
 * changed (store_changes()) or all of them (store_names()). store_merge() makes a new index: it
 * looks at the files of the list (store_examine(), message_measure()) and keeps what is known of
 * the others.
 *
 * A session: session_open() opens a message, also under another name, which session_scan() finds;
 * message_read() reads a block of it, and then message_verify() compares it with the index.
 */

/*
 * A unique-id is a hash of the name and the content: SipHash-1-3 (Aumasson and Bernstein, 2012)
 * with 128 bits. The key is fixed, because the same message must get the same id after a restart
 * and there is no state file.
 */
struct hash {
    uint64_t v0, v1, v2, v3;
};

/* SipHash's constants and a key, which could be any other. */
static const struct hash hash_start = {
    0x706f70332d756964 ^ 0x736f6d6570736575, 0x6d61696c64726f70 ^ 0x646f72616e646f6d ^ 0xee,
    0x706f70332d756964 ^ 0x6c7967656e657261, 0x6d61696c64726f70 ^ 0x7465646279746573
};

/* always_inline halves the time of the loop in hash_add(). */
static inline __attribute__((always_inline)) void
hash_round(struct hash *h)
{
#define ROTATE(word, bits) ((word) << (bits) | (word) >> (64 - (bits)))
#define MIX(a, b, bits) ((a) += (b), (b) = ROTATE(b, bits) ^ (a))
    MIX(h->v0, h->v1, 13);
    MIX(h->v2, h->v3, 16);
    h->v0 = ROTATE(h->v0, 32);
    MIX(h->v0, h->v3, 21);
    MIX(h->v2, h->v1, 17);
    h->v2 = ROTATE(h->v2, 32);
#undef MIX
#undef ROTATE
}

/*
 * Adds bytes, in words of 8. A last word takes what is left, and the length. So BLOCK, in which a
 * file is read, must stay as it is: it decides the unique-ids of larger messages.
 */
static void
hash_add(struct hash *hash, const unsigned char *bytes, size_t length)
{
    struct hash h = *hash;      /* a copy, which a compiler can keep in registers */
    unsigned char last[8] = {0, 0, 0, 0, 0, 0, 0, (unsigned char)length};

    memcpy(last, bytes + length / 8 * 8, length % 8);
    for (size_t i = 0; i <= length / 8; i++) {
        const unsigned char *p = i < length / 8 ? bytes + i * 8 : last;
        uint64_t word = (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 |
                        (uint64_t)p[3] << 24 | (uint64_t)p[4] << 32 | (uint64_t)p[5] << 40 |
                        (uint64_t)p[6] << 48 | (uint64_t)p[7] << 56;

        h.v3 ^= word;
        hash_round(&h);
        h.v0 ^= word;
    }
    *hash = h;
}

static void
hash_end(struct hash *h, unsigned char id[16])
{
    h->v2 ^= 0xee;
    for (int half = 0; half < 16; half += 8) {
        for (int round = 0; round < 3; round++)
            hash_round(h);
        for (int i = 0; i < 8; i++)
            id[half + i] = (unsigned char)((h->v0 ^ h->v1 ^ h->v2 ^ h->v3) >> (i * 8));
        h->v1 ^= 0xdd;
    }
}

/* Returns a name without its directory. */
static const char *
base_name(const char *name)
{
    const char *slash = strrchr(name, '/');

    return slash != NULL ? slash + 1 : name;
}

/* Returns a byte of a name, or 0 at its end and at ":2,": Maildir's flags behind it may change. */
static int
byte_at(const char *name)
{
    return name[0] == ':' && name[1] == '2' && name[2] == ',' ? 0 : (unsigned char)*name;
}

/* Compares names byte by byte, without directory and flags. Only equal ones can have equal ids. */
static int
byte_compare(const char *a, const char *b)
{
    const char *x = base_name(a), *y = base_name(b);

    for (; byte_at(x) != 0 && byte_at(x) == byte_at(y); x++, y++)
        continue;
    return byte_at(x) - byte_at(y);
}

/* Returns the number of digits at the start of a text. */
static size_t
digits(const char *text)
{
    size_t count = 0;

    while (text[count] >= '0' && text[count] <= '9')
        count++;
    return count;
}

/*
 * The order of messages: by name without directory and flags, with runs of digits as numbers, then
 * byte by byte; after that by the rest. So names that differ only in flags are neighbours.
 */
static int
name_compare(const char *a, const char *b)
{
    const char *x = base_name(a), *y = base_name(b);
    int order = 0;

    while (order == 0 && (byte_at(x) != 0 || byte_at(y) != 0)) {
        if (digits(x) > 0 && digits(y) > 0) {
            x += strspn(x, "0");
            y += strspn(y, "0");

            size_t length = digits(x), other = digits(y);
            order = length != other ? (int)length - (int)other : memcmp(x, y, length);
            x += length;
            y += other;
        } else {
            order = byte_at(x++) - byte_at(y++);
        }
    }
    if (order == 0)
        order = byte_compare(a, b);
    if (order == 0)
        order = strcmp(base_name(a), base_name(b));
    return order != 0 ? order : strcmp(a, b);
}

/*
 * Returns true if a name can be a message's. Dots hide files that are being delivered, and commas
 * what MH removed. nmh's rcvstore delivers into "rcvstore" and six characters, then renames.
 */
static bool
name_is_message(const char *name)
{
    return name[0] != '.' && name[0] != ',' &&
           (strncmp(name, "rcvstore", 8) != 0 || strlen(name) != 8 + 6);
}

/* Adds a file of a folder if it can be a message. Returns false with errno set without memory. */
static bool
list_add(struct list *l, const char *folder, const char *name)
{
    const size_t size = strlen(folder) + strlen(name) + 1;
    char *path;

    if (!name_is_message(name))
        return true;
    if (l->count == l->room) {
        const size_t room = l->room * 2 + 64;
        struct message *files = realloc(l->files, room * sizeof *files);

        if (files == NULL)
            return false;
        l->files = files;
        l->room = room;
    }
    path = malloc(size);
    if (path == NULL)
        return false;
    stpcpy(stpcpy(path, folder), name);
    l->files[l->count++] = (struct message){.name = path};
    l->names_size += size;
    return true;
}

static void
list_free(struct list *l)
{
    for (size_t i = 0; i < l->count; i++)
        free((char *)l->files[i].name);
    free(l->files);
    *l = (struct list){.files = NULL};
}

static int
by_name(const void *a, const void *b)
{
    const struct message *x = a, *y = b;

    return name_compare(x->name, y->name);
}

static int
by_inode(const void *a, const void *b)
{
    const struct message *x = a, *y = b;

    return (x->state.inode > y->state.inode) - (x->state.inode < y->state.inode);
}

static void
list_sort(struct list *l, int (*compare)(const void *, const void *))
{
    if (l->count > 0)           /* qsort() takes no NULL */
        qsort(l->files, l->count, sizeof *l->files, compare);
}

/* The timestamps of a file in nanoseconds since 1970. They are only compared. */
static int64_t
nanoseconds(struct timespec time)
{
    return (int64_t)((uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec);
}

static struct file_state
state_of(const struct stat *status)
{
    return (struct file_state){
        .inode = (uint64_t)status->st_ino, .size = (uint64_t)status->st_size,
        .modified = nanoseconds(status->st_mtim), .changed = nanoseconds(status->st_ctim)
    };
}

static bool
same_state(const struct file_state *a, const struct file_state *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/*
 * Gets the state of an open regular file. Returns false with errno set: ESTALE for another kind.
 * errno is ESTALE on success, too: the reason of a caller that expected another state.
 */
static bool
get_file_state(struct file_state *state, int file)
{
    struct stat status;

    if (fstat(file, &status) != 0)
        return false;
    *state = state_of(&status);
    errno = ESTALE;
    return S_ISREG(status.st_mode);
}

/* Waits for so many milliseconds, at most a second. */
static void
pause_ms(int64_t ms)
{
    wait_ready(NULL, 0, false, ms);
}

/*
 * Waits until a change of a file after this time is sure to show: two changes within one clock
 * tick leave the same timestamps. Does not wait if the time is in the future.
 */
static void
wait_for_tick(int64_t changed)
{
    struct timespec now;
    int64_t age;

    clock_gettime(CLOCK_REALTIME, &now);
    age = (nanoseconds(now) - changed) / 1000000;
    if (age >= 0 && age < TICK_MS)
        pause_ms(TICK_MS - age);
}

/* Reads a block of a file. Returns the number of bytes, fewer at its end, or -1 with errno set. */
static ssize_t
read_at(int file, unsigned char block[BLOCK], uint64_t left, uint64_t offset)
{
    const size_t length = left < BLOCK ? (size_t)left : BLOCK;
    size_t done = 0;
    ssize_t count = 1;

    while (done < length && count != 0) {
        count = pread(file, block + done, length - done, (off_t)(offset + done));
        if (count < 0 && errno != EINTR)
            return -1;
        done += count > 0 ? (size_t)count : 0;
    }
    return (ssize_t)done;
}

/*
 * Measures an open file, whose name and state are in *m: its size in octets by the rules of
 * pop3_stuff, and its unique-id, in one pass. Returns false with errno set: EAGAIN if it changes
 * meanwhile, ERANGE if it ends before its size, ESTALE if it is not a regular file, EINTR after a
 * signal.
 */
static bool
message_measure(const struct store *store, struct message *m, int file)
{
    static unsigned char block[BLOCK];
    const char *base = base_name(m->name), *flags = base;
    unsigned char last = '\n';
    uint64_t offset = 0, bare = 0;
    struct file_state after;
    struct hash hash = hash_start;
    bool mbox = store->index.messages == NULL;  /* look for one; only the first scan warns */
    ssize_t count;

    wait_for_tick(m->state.changed);
    while (byte_at(flags) != 0)
        flags++;
    hash_add(&hash, (const unsigned char *)base, (size_t)(flags - base));
    while ((count = read_at(file, block, m->state.size - offset, offset)) > 0 && !stop_asked) {
        const unsigned char *p = block, *end = block + count;

        /* (An mbox whose second message starts at the border of two blocks is missed.) */
        mbox = mbox && (offset > 0 || memcmp(block, "From ", 5) == 0);
        if (mbox && (memmem(block, (size_t)count, "\n\nFrom ", 7) != NULL ||
                     memmem(block, (size_t)count, "\n\r\nFrom ", 8) != NULL)) {
            log_line("%s: %s: warning: an mbox of several messages, served as one", store->path,
                     m->name);
            mbox = false;
        }
        hash_add(&hash, block, (size_t)count);
        for (; (p = memchr(p, '\n', (size_t)(end - p))) != NULL; p++)
            bare += (p > block ? p[-1] : last) != '\r';
        last = end[-1];
        offset += (uint64_t)count;
    }
    hash_end(&hash, m->id);
    m->octets = offset + bare + (last != '\n' ? 2 : 0);
    if (count < 0 || !get_file_state(&after, file))
        return false;
    if (!stop_asked && offset == m->state.size && same_state(&after, &m->state))
        return true;
    errno = stop_asked ? EINTR : same_state(&after, &m->state) ? ERANGE : EAGAIN;
    return false;
}

/* Closes a descriptor and keeps errno. */
static void
close_quietly(int file)
{
    int error = errno;

    close(file);
    errno = error;
}

/* Opens a file of the store. Returns its descriptor, or -1 with errno set. */
static int
store_open(const struct store *store, const char *name)
{
    const int file = openat(store->directory, name,
                            O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat status;

    /* Systems say different things of a symbolic link and a socket. */
    if (file < 0 && fstatat(store->directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        !S_ISREG(status.st_mode))
        errno = ESTALE;
    return file;
}

/*
 * Examines a file of the store. One whose state is that in the index is unchanged; any other is
 * measured, but opened only if it is a regular file: opening a FIFO has effects.
 * Fills *found and returns NULL, or returns why this is not a message, with errno set if it is an
 * error.
 */
static const char *
store_examine(const struct store *store, const char *name, const struct message *known,
              struct message *found)
{
    struct stat status;
    bool measured;
    int file;

    if (fstatat(store->directory, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return strerror(errno);
    errno = 0;
    if (!S_ISREG(status.st_mode))
        return S_ISDIR(status.st_mode) ? "a directory" :
               S_ISLNK(status.st_mode) ? "a symbolic link" : "not a regular file";
    *found = (struct message){.name = name, .state = state_of(&status)};
    if (known != NULL && same_state(&found->state, &known->state)) {
        *found = *known;
        return NULL;
    }
    if (status.st_nlink > 1)
        *store->stale = true;   /* its other names changed, too, but only this one was reported */
    file = store_open(store, name);
    measured = file >= 0 && message_measure(store, found, file);
    close_quietly(file);
    return measured ? NULL : errno == ERANGE ? "shorter than its size" :
           errno == EAGAIN ? "being written" : strerror(errno);
}

static void
index_free(struct index *x)
{
    if (x->messages != NULL)
        munmap(x->messages, x->memory_size);
    *x = (struct index){.messages = NULL};
}

/* Starts an index with room for so many messages and bytes of names. Returns false on failure. */
static bool
index_start(struct index *x, size_t count, size_t names_size)
{
    const size_t size = count * sizeof *x->messages + names_size + 1;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);

    *x = (struct index){.messages = memory, .memory_size = size};
    return memory != MAP_FAILED;
}

/*
 * Appends a message to an index that is being made; its name must sort after those before it. The
 * names are stored from the end of the memory on, backwards.
 */
static void
index_add(struct index *x, const struct message *message)
{
    const size_t size = strlen(message->name) + 1;
    struct message *m = &x->messages[x->count++], *before = m;

    *m = *message;
    x->octets += m->octets;
    x->names_size += size;
    m->name = memcpy((char *)x->messages + x->memory_size - x->names_size, m->name, size);
    m->duplicate = 0;
    while (m->duplicate == 0 && before > x->messages &&
           byte_compare((--before)->name, m->name) == 0)
        if (memcmp(before->id, m->id, sizeof m->id) == 0)
            m->duplicate = before->duplicate + 1;
}

/*
 * Replaces the memory of a finished index by a private mapping of a file without a name: a fork
 * shares it without copying its page tables, which takes long for many messages, and no session
 * can change it for others. Where there is no such file, the memory stays as it is.
 */
static void
index_finish(struct index *x)
{
#ifdef SYS_memfd_create
    int file = (int)syscall(SYS_memfd_create, "index", 1L);     /* MFD_CLOEXEC */

    if (file >= 0 && write(file, x->messages, x->memory_size) == (ssize_t)x->memory_size)
        (void)mmap(x->messages, x->memory_size, PROT_READ, MAP_PRIVATE | MAP_FIXED, file, 0);
    close(file);
#else
    (void)x;
#endif
}

/*
 * Makes a new index from the old one and a list of files, each of which is examined. Messages that
 * are not in the list are kept or, if whole is true, dropped; then *missing is true if the new
 * index lacks a message of the old one, or if there was none. Returns false with errno set if the
 * store cannot be read; then the old index stays.
 */
static bool
store_merge(struct store *store, struct list *list, bool whole, bool *missing)
{
    const struct index *old = &store->index;
    struct index new;
    size_t next = 0;            /* in the old one */
    size_t kept = 0;            /* messages of it that are still there */

    if (!index_start(&new, list->count + (whole ? 0 : old->count),
                     list->names_size + (whole ? 0 : old->names_size)))
        return false;
    list_sort(list, by_name);
    for (size_t i = 0; i < list->count; i++) {
        const char *name = list->files[i].name, *reason;
        const struct message *known = NULL;
        struct message found = {.name = name};
        int order = 1;

        if (i > 0 && strcmp(name, list->files[i - 1].name) == 0)
            continue;           /* reported twice */
        while (next < old->count && (order = name_compare(old->messages[next].name, name)) < 0) {
            if (!whole)
                index_add(&new, &old->messages[next]);
            next++;
        }
        if (order == 0)
            known = &old->messages[next++];
        reason = store_examine(store, name, known, &found);
        if (reason == NULL) {
            index_add(&new, &found);
            kept += known != NULL;
        } else if (errno == EINTR || errno == EMFILE || errno == ENFILE || errno == ENOMEM) {
            index_free(&new);   /* not the fault of the file */
            return false;
        } else if (errno != ENOENT) {
            const bool damaged = errno != 0 && errno != EACCES && errno != EPERM && errno != ERANGE;

            *store->stale = *store->stale || damaged;
            if (damaged || known != NULL || old->messages == NULL || !whole)
                log_line("%s: %s: skipped, %s", store->path, name, reason);
        }
    }
    for (; next < old->count && !whole; next++)
        index_add(&new, &old->messages[next]);
    *missing = whole && (old->messages == NULL || kept < old->count);
    index_finish(&new);
    index_free(&store->index);
    store->index = new;
    return true;
}

/* Lists all files that can be messages. Returns false with errno set on failure. */
static bool
store_names(const struct store *store, struct list *list)
{
    for (const struct folder *f = store->folders; f < store->folders + store->folder_count; f++) {
        const int fd = openat(f->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *directory = fd < 0 ? NULL : fdopendir(fd);
        struct dirent *entry;
        int error;

        if (directory == NULL) {
            close_quietly(fd);
            return false;
        }
        do {
            errno = 0;
            entry = readdir(directory);
        } while (entry != NULL && list_add(list, f->name, entry->d_name));
        error = errno;
        closedir(directory);
        errno = error;
        if (error != 0)
            return false;
    }
    return true;
}

/* Returns true if the path still leads to the directory that is open. */
static bool
store_is_current(const struct store *store)
{
    struct stat now, open;

    return stat(store->path, &now) == 0 && fstat(store->directory, &open) == 0 &&
           now.st_dev == open.st_dev && now.st_ino == open.st_ino;
}

#ifdef HAS_INOTIFY
/*
 * Asks the kernel to report changes. It does so in order and before the system call returns that
 * made the change, but only on local file systems. On others store->inotify stays -1.
 */
static void
watch_start(struct store *store)
{
    static const unsigned long local[] = {  /* ext, XFS, Btrfs, tmpfs, ramfs, overlay, F2FS, ZFS */
        0xef53, 0x58465342, 0x9123683e, 0x01021994, 0x858458f6, 0x794c7630, 0xf2f52010, 0x2fc12fc1
    };
    struct statfs fs;

    if (fstatfs(store->directory, &fs) != 0)
        return;
    for (size_t i = 0; i < sizeof local / sizeof *local && store->inotify < 0; i++)
        if ((unsigned long)fs.f_type == local[i])
            store->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
}

/* Has the changes in a directory reported. Returns its watch descriptor. */
static int
watch_directory(struct store *store, int directory)
{
    const uint32_t changes = IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_MOVED_FROM |
                             IN_MOVED_TO | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
    char path[64];
    int watch;

    /* Not by its name: that may lead to another directory now. */
    snprintf(path, sizeof path, "/proc/self/fd/%d", directory);
    watch = inotify_add_watch(store->inotify, path, changes);
    if (watch < 0) {
        close(store->inotify);
        store->inotify = -1;
    }
    return watch;
}

/*
 * Lists the files that changed since last time. Returns false if everything may have changed, as it
 * may where nothing is reported.
 */
static bool
store_changes(const struct store *store, struct list *list)
{
    union { struct inotify_event event; char bytes[4096]; } buffer;
    ssize_t length;

    while ((length = read(store->inotify, buffer.bytes, sizeof buffer)) > 0) {
        for (const char *at = buffer.bytes; at < buffer.bytes + length;) {
            const struct inotify_event *event = (const struct inotify_event *)(const void *)at;

            /* Without a name: of the directory itself, or the queue is full. */
            if (event->len == 0 || (event->mask & IN_ISDIR) != 0)
                return false;   /* it may be a Maildir now, or none */
            for (int i = 0; i < store->folder_count; i++)
                if (event->wd == store->folders[i].watch &&     /* else it is beside them */
                    !list_add(list, store->folders[i].name, event->name))
                    return false;
            at += sizeof *event + event->len;
        }
    }
    return errno == EAGAIN;
}
#else
#define watch_start(store) ((void)0)
#define watch_directory(store, directory) (-1)
#define store_changes(store, list) false
#endif

static bool
is_maildir(const struct store *store)
{
    static const char *const folders[] = {"cur", "new", "tmp"};
    struct stat status;
    int found = 0;

    for (int i = 0; i < 3; i++)
        found += fstatat(store->directory, folders[i], &status, AT_SYMLINK_NOFOLLOW) == 0 &&
                 S_ISDIR(status.st_mode);
    return found == 3;
}

static void
store_close(struct store *store)
{
    close(store->directory);    /* or -1, which does nothing */
    close(store->inotify);
    close(store->ruleset);
    store->directory = store->inotify = store->ruleset = -1;
    while (store->folder_count > 0)
        close(store->folders[--store->folder_count].fd);
}

/* Opens the directory and starts to watch it, before it is read: so no change is missed. */
static bool
store_reopen(struct store *store)
{
    static const char *const folders[] = {"new/", "cur/"};
    const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    bool maildir;

    store_close(store);
    store->directory = open(store->path, flags);
    if (store->directory < 0)
        return false;
    watch_start(store);
    (void)watch_directory(store, store->directory);     /* it may become a Maildir, or cease to */
    maildir = is_maildir(store);
    for (int i = 0; i < (maildir ? 2 : 1); i++) {
        struct folder *folder = &store->folders[i];

        folder->name = maildir ? folders[i] : "";
        folder->fd = openat(store->directory, maildir ? folders[i] : ".", flags);
        if (folder->fd < 0)
            return false;
        folder->watch = watch_directory(store, folder->fd);
        store->folder_count++;
    }
    return true;
}

/* Returns the sum of the folders' ctimes, once any further change is sure to alter it. */
static int64_t
folders_changed(const struct store *store)
{
    int64_t sum = 0;

    for (int i = 0; i < store->folder_count; i++) {
        struct stat status;

        if (fstat(store->folders[i].fd, &status) == 0) {
            wait_for_tick(state_of(&status).changed);
            sum += state_of(&status).changed;
        }
    }
    return sum;
}

/*
 * Brings the index up to date, in one pass. The files that the kernel reported are looked at again;
 * or every file, if nothing is reported here, the path leads to another directory now, or the index
 * is stale, as after a file that could not be read. Returns false with errno set if the store
 * cannot be read. *again is true if another pass is needed: a message is missing that a rename
 * during the scan may have hidden, or the index is stale now.
 */
static bool
refresh_once(struct store *store, bool *again)
{
    struct list list = {.files = NULL};
    const bool whole = *store->stale || !store_is_current(store) || !store_changes(store, &list);
    bool done = true, missing = false;
    int64_t before = 0;
    int error;

    if (whole) {
        *store->stale = false;  /* first: a session may set it during the scan */
        list_free(&list);
        done = store_reopen(store);
        before = done ? folders_changed(store) : 0;
        done = done && store_names(store, &list);
    }
    if (done && (whole || list.count > 0))
        done = store_merge(store, &list, whole, &missing);
    error = errno;
    if (!done)
        store_close(store);     /* what was reported is lost: read everything the next time */
    list_free(&list);
#ifdef __GLIBC__
    if (whole)
        malloc_trim(0);         /* a fork would copy what is left of the heap */
#endif
    *again = whole ? missing && folders_changed(store) != before : *store->stale;
    errno = error;
    return done;
}

/*
 * Brings the index up to date. Returns false with errno set if the store cannot be read. The parent
 * serves nobody meanwhile, so a store that changes all the time is not followed for long.
 */
static bool
store_refresh(struct store *store)
{
    int64_t deadline = 0;
    bool done, again;

    do {
        done = refresh_once(store, &again);
        if (done && deadline == 0)
            deadline = wire_clock() + REFRESH_MS;
    } while (done && again && !stop_asked && wire_clock() < deadline);
    return done;
}

/*
 * Returns true if an open file is the message. If only its times differ, as after a touch, a
 * chmod, a rename or a new link, the content is compared, and *m gets the new times.
 * Else errno is set: ESTALE if the message was changed or replaced. Then the index is out of date.
 */
static bool
message_verify(const struct store *store, struct message *m, int file)
{
    struct message now = *m;

    if (get_file_state(&now.state, file)) {
        if (same_state(&now.state, &m->state))
            return true;
        if (now.state.inode == m->state.inode && now.state.size == m->state.size &&
            message_measure(store, &now, file) && memcmp(now.id, m->id, sizeof m->id) == 0) {
            *m = now;
            return true;
        }
    }
    if (errno != EIO && errno != EINTR) {
        errno = ESTALE;
        *store->stale = true;
    }
    return false;
}

/* A message that is open, to be sent or removed. */
struct open_message {
    struct message message;     /* as in the index, with the times that its file has now */
    const char *name;           /* that the file has now */
    int file;
    ssize_t count;              /* bytes of it in the session's block */
};

/*
 * Reads a block of a message, at an offset, and then compares the file with the index, which shows
 * that the block is of this message. Returns false with errno set: ESTALE if it was changed or
 * replaced.
 */
static bool
message_read(struct session *s, struct open_message *o, uint64_t offset)
{
    const uint64_t size = o->message.state.size;
    int error;

    o->count = read_at(o->file, s->block, size - offset, offset);
    error = o->count < 0 ? errno : ESTALE;      /* if it is shorter than its size */
    if (!message_verify(s->store, &o->message, o->file))
        return false;
    errno = error;
    return o->count > 0 || offset == size;
}

/* Opens the file of this name if it is the message, and reads the first block if asked to. */
static bool
message_open(struct session *s, struct open_message *o, const char *name, bool read)
{
    o->name = name;
    o->file = store_open(s->store, name);
    if (o->file < 0)
        return false;
    if (message_read(s, o, read ? 0 : o->message.state.size))
        return true;
    close_quietly(o->file);
    return false;
}

/*
 * Lists the store's files by inode. A rename during readdir() can hide a name, so the scan is
 * repeated until no folder changed meanwhile. Returns false with errno set on failure: EBUSY if
 * the command has no scans left, as in a store that changes all the time. Then the last scan is
 * kept.
 */
static bool
session_scan(struct session *s)
{
    const struct store *store = s->store;
    struct stat status;

    wire_flush(&s->wire);       /* a scan can take long: send the earlier answers first */
    while (s->scans_left > 0) {
        const int64_t before = folders_changed(store);

        s->scans_left--;
        s->scanned = false;
        list_free(&s->files);
        if (!store_names(store, &s->files))
            return false;
        for (size_t i = 0; i < s->files.count; i++)     /* readdir() of FUSE has other inodes */
            if (fstatat(store->directory, s->files.files[i].name, &status,
                        AT_SYMLINK_NOFOLLOW) == 0)
                s->files.files[i].state = state_of(&status);
        list_sort(&s->files, by_inode);
        if (folders_changed(store) == before) {
            s->scanned = true;
            return true;
        }
    }
    errno = EBUSY;
    return false;
}

/*
 * Returns the name under which the scan found a message's inode, or NULL. A name of another
 * message, such as a second hard link, does not count. Of several names it returns one that
 * differs only in flags, if there is one.
 */
static const char *
find_renamed(const struct session *s, const struct message *m)
{
    const struct index *x = &s->store->index;
    const struct list *l = &s->files;
    const struct message *f = NULL;
    const char *found = NULL;

    if (l->count > 0)
        f = bsearch(m, l->files, l->count, sizeof *f, by_inode);
    while (f != NULL && f > l->files && by_inode(f - 1, m) == 0)
        f--;
    for (; f != NULL && f < l->files + l->count && by_inode(f, m) == 0; f++) {
        const struct message *other = bsearch(f, x->messages, x->count, sizeof *f, by_name);

        if (other != NULL && other != m && by_inode(other, m) == 0)
            continue;
        if (found == NULL || byte_compare(f->name, m->name) == 0)
            found = f->name;
    }
    return found;
}

/*
 * Opens a message, unchanged, under the name that it has now; if that is another one, a scan finds
 * it. Returns false with errno set: ENOENT if it is gone, ESTALE if it was changed or replaced,
 * EBUSY if it is renamed all the time.
 *
 * A message that the scan does not have is gone; one that is not where the scan saw it was renamed
 * after the scan. A file with the message's inode and other content is the message, changed, if
 * the names differ only in flags; else it is a new file that got the inode of the removed message.
 */
static bool
session_open(struct session *s, const struct message *m, bool read, struct open_message *o)
{
    int error;

    o->message = *m;
    if (message_open(s, o, m->name, read))
        return true;
    error = errno;
    if (error != ENOENT && error != ESTALE)
        return false;
    /* First with the last scan, if there is one, then with new ones while it is being renamed. */
    for (bool scanned = s->scanned; scanned || session_scan(s); scanned = false) {
        const char *name = find_renamed(s, m);

        if (name != NULL && message_open(s, o, name, read))
            return true;
        if (name != NULL && errno == ENOENT)
            continue;
        if (name == NULL || (errno == ESTALE && byte_compare(name, m->name) != 0))
            errno = error;      /* what the name in the index gave */
        return false;
    }
    return false;
}

/*
 * Removes a message. Returns true if it is no longer in the store, else false with errno set.
 * (Between the comparison and unlinkat() another file can get the name. Only a rename could close
 * this gap, and the server renames no file.)
 */
static bool
message_remove(struct session *s, const struct message *m)
{
    struct open_message o;

    while (session_open(s, m, false, &o)) {
        const bool removed = unlinkat(s->store->directory, o.name, 0) == 0;

        close_quietly(o.file);
        if (removed || errno != ENOENT)     /* ENOENT: it was just renamed */
            return removed;
    }
    return errno == ENOENT;
}

/* ---- 4. Answers ------------------------------------------------------------------------------ */

/* Sends one status line, truncated to its limit (RFC 2449 section 4). */
static void __attribute__((format(printf, 2, 3)))
reply(struct session *s, const char *format, ...)
{
    const size_t room = POP3_STATUS_MAX - 2;
    char *line = (char *)wire_room(&s->wire, POP3_STATUS_MAX);
    va_list arguments;
    size_t length;

    va_start(arguments, format);
    length = (size_t)vsnprintf(line, room, format, arguments);
    va_end(arguments);
    length = length < room ? length : room - 1;
    if (s->settings->verbose)
        log_line("%s: < %s", s->peer, line);
    memcpy(line + length, "\r\n", 2);
    s->wire.out_end += length + 2;
}

#define reply_ok(s, ...) reply(s, "+OK " __VA_ARGS__)
#define reply_err(s, ...) reply(s, "-ERR " __VA_ARGS__)

/* Answers a mistake of the client. Too many in a row end the session. */
static void __attribute__((format(printf, 2, 3)))
reply_mistake(struct session *s, const char *format, ...)
{
    char reason[POP3_STATUS_MAX];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    if (++s->mistakes >= MISTAKES)
        s->end = "error (too many mistakes)";
    reply_err(s, "%s%s", reason, s->end != NULL ? "; too many mistakes in a row, closing" : "");
}

static const char *
error_text(int error)
{
    return error == ESTALE ? "changed since the session began" : strerror(error);
}

/* The position of TOP in a message. */
struct top {
    uint64_t lines;             /* of the body, still to come */
    bool in_body;
    enum { NOTHING, CR, TEXT } line;    /* what there is of the line so far: CR alone, or more */
};

/* Returns how many bytes of this block belong to TOP's answer. Fewer than all: it ends there. */
static size_t
top_part(struct top *t, const unsigned char *block, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (t->in_body && t->lines == 0)
            return i;
        if (block[i] != '\n') {
            t->line = block[i] == '\r' && t->line == NOTHING ? CR : TEXT;
            continue;
        }
        t->lines -= t->in_body;
        t->in_body = t->in_body || t->line != TEXT;
        t->line = NOTHING;
    }
    return length;
}

/*
 * Sends a message, whose first block has been read, byte-stuffed, and the final dot; with top only
 * that part. If it turns out to be changed, short or unreadable, the connection ends without the
 * dot: no client takes a part for the whole. Returns true if it was sent.
 */
static bool
message_send(struct session *s, struct open_message *o, struct top *top)
{
    struct pop3_stuffer stuffer = {.dots = 0};
    uint64_t offset = 0, octets = 0;
    bool more, complete;

    do {
        const size_t length = (size_t)o->count;
        size_t part = top != NULL ? top_part(top, s->block, length) : length;
        /* Room for the last line's end and the dot as well: they leave with what is before them. */
        unsigned char *room = wire_room(&s->wire, 2 * part + 5);
        size_t stuffed = pop3_stuff(&stuffer, s->block, part, room);

        if (s->wire.error != 0)
            return false;
        s->wire.out_end += stuffed;
        octets += stuffed;
        offset += length;
        more = part == length && offset < o->message.state.size;
        complete = !more || message_read(s, o, offset);
    } while (more && complete);
    octets += (stuffer.in_line ? 2 : 0) - stuffer.dots;
    if (!complete || (top == NULL && octets != o->message.octets)) {
        log_line("%s: cannot send all of %s: %s", s->peer, o->name,
                 error_text(complete ? ESTALE : errno));
        wire_flush(&s->wire);
        return wire_fail(&s->wire, EBADMSG);
    }
    if (stuffer.in_line)
        wire_put(&s->wire, "\r\n", 2);
    wire_put(&s->wire, ".\r\n", 3);
    return true;
}

/* Answers how many messages are left. */
static void
reply_left(struct session *s)
{
    reply_ok(s, "%zu message%s (%" PRIu64 " octets)", s->left, plural(s->left), s->left_octets);
}

/* ---- 5. Commands: one handler each ----------------------------------------------------------- */

static void
do_stat(struct session *s, const struct request *r)
{
    (void)r;
    reply_ok(s, "%zu %" PRIu64, s->left, s->left_octets);
}

/* Writes a number. Returns its end. (snprintf() takes five times as long, for each message.) */
static char *
put_number(char *to, uint64_t number)
{
    if (number >= 10)
        to = put_number(to, number / 10);
    *to = (char)('0' + number % 10);
    return to + 1;
}

/* Writes the octets (LIST) or unique-id (UIDL) of a message, under 64 bytes. Returns the end. */
static char *
put_listed(char *to, const struct message *m, enum pop3_verb verb)
{
    if (verb == POP3_LIST)
        return put_number(to, m->octets);
    for (size_t i = 0; i < sizeof m->id; i++) {
        *to++ = "0123456789abcdef"[m->id[i] >> 4];
        *to++ = "0123456789abcdef"[m->id[i] & 15];
    }
    if (m->duplicate > 0) {     /* equal ids get a number each (RFC 1939 section 7, UIDL) */
        *to++ = '-';
        to = put_number(to, m->duplicate + UINT64_C(1));
    }
    return to;
}

/* LIST and UIDL: for one message, or a line for each that is not marked. */
static void
do_list(struct session *s, const struct request *r)
{
    const struct index *x = &s->store->index;
    char text[64];

    if (r->message != NULL) {
        *put_listed(text, r->message, r->verb) = '\0';
        reply_ok(s, "%" PRIu64 " %s", r->number, text);
        return;
    }
    reply_left(s);
    for (size_t i = 0; i < x->count && s->wire.error == 0; i++) {
        if (s->deleted[i])
            continue;

        char *line = (char *)wire_room(&s->wire, 128), *end = put_number(line, i + 1);

        *end++ = ' ';
        end = put_listed(end, &x->messages[i], r->verb);
        memcpy(end, "\r\n", 2);
        s->wire.out_end += (size_t)(end - line) + 2;
    }
    wire_put(&s->wire, ".\r\n", 3);
}

/* RETR and TOP. What can fail is tried before +OK: after it the answer cannot become -ERR. */
static void
do_retr(struct session *s, const struct request *r)
{
    struct top start = {.lines = r->lines}, *top = r->verb == POP3_TOP ? &start : NULL;
    struct open_message o;

    s->scans_left = SCAN_TRIES;
    if (!session_open(s, r->message, true, &o)) {
        log_line("%s: cannot send %s: %s", s->peer, r->message->name, error_text(errno));
        if (errno == ENOENT || errno == ESTALE)
            reply_err(s, "message %" PRIu64 " is gone or was changed since this session began",
                      r->number);
        else
            reply_err(s, "[SYS/TEMP] message %" PRIu64 " cannot be read now", r->number);
        return;
    }
    if (top != NULL)
        reply_ok(s, "header and %" PRIu64 " line%s of the body follow", r->lines, plural(r->lines));
    else
        reply_ok(s, "%" PRIu64 " octets", r->message->octets);
    if (message_send(s, &o, top)) {
        s->topped += top != NULL;
        s->retrieved += top == NULL;
        s->retrieved_octets += top == NULL ? r->message->octets : 0;
    }
    close(o.file);
}

/* Only a mark. The file is removed at QUIT, so a lost connection loses no mail. */
static void
do_dele(struct session *s, const struct request *r)
{
    s->deleted[r->number - 1] = true;
    s->left--;
    s->left_octets -= r->message->octets;
    reply_ok(s, "message %" PRIu64 " marked; QUIT will delete it", r->number);
}

static void
do_noop(struct session *s, const struct request *r)
{
    (void)r;
    reply_ok(s, "nothing done");
}

static void
do_rset(struct session *s, const struct request *r)
{
    const struct index *x = &s->store->index;

    (void)r;
    memset(s->deleted, 0, x->count * sizeof *s->deleted);
    s->left = x->count;
    s->left_octets = x->octets;
    reply_left(s);
}

/* Always +OK, so that it does not reveal which names exist. */
static void
do_user(struct session *s, const struct request *r)
{
    snprintf(s->user, sizeof s->user, "%s", r->argument);
    reply_ok(s, "send PASS");
}

/* Compares a text with a secret in a time that does not depend on where they differ. */
static bool
same_secret(const char *text, const char *secret)
{
    const size_t size = strlen(text) + 1, secret_size = strlen(secret) + 1;
    unsigned char difference = 0;

    for (size_t i = 0; i < size; i++)
        difference |= (unsigned char)(text[i] ^ secret[i % secret_size]);
    return difference == 0;
}

static void
do_pass(struct session *s, const struct request *r)
{
    bool name = same_secret(s->user, s->settings->name);
    bool password = same_secret(r->argument, s->settings->password);

    if (s->user[0] == '\0') {
        reply_mistake(s, "send USER before PASS");
    } else if (name & password) {       /* both are compared, whatever the first one gives */
        s->state = IN_TRANS;
        s->wire.deadline = WAIT_FOREVER;
        reply_left(s);
    } else {
        log_line("%s: login failed for %s", s->peer, s->user);
        s->user[0] = '\0';
        wire_flush(&s->wire);
        pause_ms(1000);
        if (++s->tries >= LOGIN_TRIES)
            s->end = "error (login failed)";
        reply_err(s, "[AUTH] wrong name or password%s", s->end != NULL ? "; closing" : "");
    }
}

/* RFC 2449 section 5. The same before and after login, so that a client need not ask twice. */
static void
do_capa(struct session *s, const struct request *r)
{
    static const char capabilities[] =
        "TOP\r\nUIDL\r\nUSER\r\nRESP-CODES\r\nPIPELINING\r\nEXPIRE NEVER\r\n";

    (void)r;
    reply_ok(s, "capabilities follow");
    wire_put(&s->wire, capabilities, sizeof capabilities - 1);
    if (s->settings->passfile != NULL)
        wire_put(&s->wire, "AUTH-RESP-CODE\r\n", 16);
    wire_put(&s->wire, ".\r\n", 3);
}

/*
 * Removes the marked messages. Returns the number that could not be removed. The first pass makes
 * no scan: it removes those whose names did not change. Then one scan usually finds all the others.
 */
static size_t
remove_marked(struct session *s)
{
    const struct index *x = &s->store->index;
    size_t failed = x->count - s->left;

    s->scanned = false;         /* an earlier scan may be out of date */
    for (int pass = 1; pass <= 2 && failed > 0; pass++) {       /* a session may mark none */
        s->scans_left = pass == 1 ? 0 : SCAN_TRIES;
        failed = 0;
        for (size_t i = 0; i < x->count; i++) {
            if (!s->deleted[i])
                continue;
            if (message_remove(s, &x->messages[i])) {
                s->deleted[i] = false;
                s->removed++;
            } else if (failed++ == 0 && pass == 2) {
                log_line("%s: cannot remove %s: %s", s->peer, x->messages[i].name,
                         error_text(errno));
            }
        }
    }
    return failed;
}

/*
 * The UPDATE state (RFC 1939 section 6): the only place where messages are removed. If the client
 * is known to be gone, it has not received the earlier answers, and nothing is removed.
 */
static void
do_quit(struct session *s, const struct request *r)
{
    const size_t count = s->store->index.count;
    size_t failed;
    int error = 0;              /* of syncing */
    sigset_t signals;

    (void)r;
    sigfillset(&signals);
    if (!wire_flush(&s->wire))
        return;
    sigprocmask(SIG_BLOCK, &signals, NULL);     /* from here on no signal ends the session */
    if (stop_asked)
        return;
    s->end = "quit";
    if (s->state == IN_AUTH) {
        reply_ok(s, "goodbye");
        return;
    }
    failed = remove_marked(s);
    for (int i = 0; i < s->store->folder_count && s->removed > 0; i++)
        if (!sync_descriptor(s->store->folders[i].fd)) {
            error = errno;
            log_line("%s: the removals may not be on disk: %s", s->peer, strerror(error));
        }
    s->wire.deadline = wire_clock() + QUIT_SECONDS * 1000;
    if (failed > 0)
        reply_err(s, "%zu marked message%s not removed (changed, or cannot be removed), "
                  "%zu removed, %zu left", failed, plural(failed), s->removed, count - s->removed);
    else if (error != 0)
        reply_err(s, "%zu message%s removed, but perhaps not on disk: %s", s->removed,
                  plural(s->removed), strerror(error));
    else
        reply_ok(s, "%zu message%s removed, %zu left", s->removed, plural(s->removed),
                 count - s->removed);
}

static void (*const handlers[POP3_VERBS])(struct session *, const struct request *) = {
    [POP3_STAT] = do_stat, [POP3_LIST] = do_list, [POP3_RETR] = do_retr, [POP3_DELE] = do_dele,
    [POP3_TOP] = do_retr,  [POP3_UIDL] = do_list, [POP3_NOOP] = do_noop, [POP3_RSET] = do_rset,
    [POP3_USER] = do_user, [POP3_PASS] = do_pass, [POP3_CAPA] = do_capa, [POP3_QUIT] = do_quit,
};

/* ---- 6. A session ---------------------------------------------------------------------------- */

/*
 * Returns true if a line is one that every browser sends and no mail program: an HTTP request
 * line, or a header field such as "Host:". A web page can make a browser send such a request to
 * any port, with commands in its body.
 */
static bool
is_http(const char *line)
{
    size_t letters = strspn(line, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-");

    return letters > 0 && (line[letters] == ':' ||
                           (line[letters] == ' ' && strstr(line, " HTTP/") != NULL));
}

/* Ends at once a session with something that does not speak POP3, such as a browser. */
static void
end_other_protocol(struct session *s, const char *protocol, const char *reason)
{
    reply_err(s, "this is a POP3 server; it does not speak %s", protocol);
    s->end = reason;
}

/* Checks the arguments of a command and finds the message. Returns false after an answer. */
static bool
parse_arguments(struct session *s, const struct pop3_request *typed, struct request *r)
{
    const struct pop3_command *command = &pop3_commands[typed->verb];
    const size_t count = s->store->index.count;

    *r = (struct request){.verb = typed->verb, .argument = typed->argument[0]};
    if (typed->count < command->min || typed->count > command->max)
        reply_mistake(s, "%s arguments; usage: %s%s%s",
                      typed->count < command->min ? "missing" : "too many", command->name,
                      command->max > 0 ? " " : "", command->arguments);
    else if (!command->on_message || typed->count == 0)
        return true;
    else if (!pop3_number(typed->argument[0], UINT64_MAX, &r->number) || r->number == 0)
        reply_mistake(s, "invalid message number");
    else if (r->number > count)
        reply_mistake(s, "no message %" PRIu64 ", there %s %zu", r->number,
                      count == 1 ? "is" : "are", count);
    else if (s->deleted[r->number - 1])
        reply_mistake(s, "message %" PRIu64 " is marked as deleted", r->number);
    else if (typed->count > 1 && !pop3_number(typed->argument[1], UINT32_MAX, &r->lines))
        reply_mistake(s, "invalid number of lines");
    else
        r->message = &s->store->index.messages[r->number - 1];
    return r->message != NULL;
}

/* Answers one command line of that length, without its end. */
static void
dispatch(struct session *s, const char *line, size_t length)
{
    const int mistakes = s->mistakes;
    char words[POP3_COMMAND_MAX];

    snprintf(words, sizeof words, "%.254s", line);

    struct pop3_request typed = pop3_parse(words);
    const bool unknown = typed.verb == POP3_VERBS;
    /* Unknown, but perhaps a login with a secret, such as AUTH or APOP. */
    const bool hide = unknown && (s->state == IN_AUTH || pop3_upper(*typed.word) == 'A');
    const unsigned where = unknown ? ANYWHERE : pop3_commands[typed.verb].where;
    struct request request;

    if (s->settings->verbose)
        log_line("%s: > %s", s->peer, typed.verb == POP3_PASS ? "PASS ***" : hide ? "***" : line);
    if (unknown && is_http(line))
        end_other_protocol(s, "HTTP", "error (HTTP, perhaps from a browser)");
    else if (strlen(line) != length)
        reply_mistake(s, "NUL in the command");
    else if (typed.word[0] == '\0')
        reply_mistake(s, "empty command");
    else if (unknown)
        reply_mistake(s, "unknown command; try %s", s->state == IN_AUTH ? "USER PASS CAPA QUIT" :
                      "STAT LIST RETR DELE TOP UIDL NOOP RSET CAPA QUIT");
    else if (where == IN_AUTH && s->settings->passfile == NULL)
        reply_ok(s, "no login is needed");
    else if ((where & s->state) == 0)
        reply_mistake(s, s->state == IN_AUTH ? "log in first with USER and PASS" :
                      "already logged in");
    else if (parse_arguments(s, &typed, &request))
        handlers[typed.verb](s, &request);
    if (s->mistakes == mistakes)
        s->mistakes = 0;        /* this was not one, so they are no longer in a row */
}

/* Returns why a session is over whose wire has failed; text is room for the system's error. */
static const char *
wire_reason(int error, char text[100])
{
    snprintf(text, 100, "error (%s)",
             error == EBADMSG ? "message changed or unreadable" : strerror(error));
    return error == WIRE_CLOSED || error == ECONNRESET ? "disconnected" :
           error == ETIMEDOUT ? "idle" : error == EINTR ? "server stopped" : text;
}

/*
 * Closes so that the last answer arrives: a socket that is closed with unread input discards what
 * it has sent. shutdown() tells the client that no more comes; then it has some time to close.
 */
static void
session_linger(struct session *s)
{
    struct wire *w = &s->wire;
    size_t taken = 0;

    if (!w->socket || shutdown(w->out, SHUT_WR) != 0)
        return;
    w->deadline = wire_clock() + LINGER_SECONDS * 1000;
    do
        w->in_start = w->in_end;
    while (wire_fill(w) && (taken += w->in_end) < 1024 * 1024);
}

/* Holds a session, from the greeting to the last log line. */
static void
session_run(struct session *s)
{
    struct wire *w = &s->wire;
    const struct index *x = &s->store->index;
    const bool login_needed = s->settings->passfile != NULL;
    const char *reason = "";
    char text[100];
    bool answered;

    log_line("%s: session starts", s->peer);
    s->left = x->count;
    s->left_octets = x->octets;
    s->state = login_needed ? IN_AUTH : IN_TRANS;
    if (login_needed)
        w->deadline = wire_clock() + LOGIN_SECONDS * 1000;
    reply_ok(s, "POP3 server ready, %s",
             login_needed ? "send USER and PASS" : "no login is needed");
    if (wire_fill(w) && w->input[0] == 0x16)
        end_other_protocol(s, "TLS", "error (TLS, perhaps from a browser)");
    while (s->end == NULL && w->error == 0) {
        char *line;
        size_t length;
        enum wire_line got = wire_line(w, POP3_COMMAND_MAX, &line, &length);

        if (stop_asked)
            wire_fail(w, EINTR);
        else if (got == WIRE_LINE)
            dispatch(s, line, length);
        else if (got == WIRE_LINE_TOO_LONG)
            reply_mistake(s, "line too long; a command has at most %d octets", POP3_COMMAND_MAX);
        if (w->out_end >= FLUSH_SIZE)
            wire_flush(w);      /* so that the client can read the answers meanwhile */
    }
    answered = wire_flush(w);
    if (answered)
        session_linger(s);
    else if (s->state == IN_AUTH && wire_clock() >= w->deadline)
        reason = "error (no login in time)";
    else
        reason = wire_reason(w->error, text);

    int64_t tenths = (wire_clock() - s->began + 50) / 100;
    log_line("%s: %s%s%s retr=%zu/%" PRIu64 " top=%zu del=%zu left=%zu %" PRId64 ".%" PRId64 " s",
             s->peer, s->end != NULL ? s->end : "",
             s->end != NULL && !answered ? ", last answer not delivered: " : "",
             reason,
             s->retrieved, s->retrieved_octets, s->topped, s->removed, x->count - s->removed,
             tenths / 10, tenths % 10);
}

/* ---- 7. Confinement -------------------------------------------------------------------------- */

/*
 * Limits what a client gains that compromises its session by a malformed command. It can still
 * read and remove mail, even before a login, and learn the password:
 *
 *   seccomp    The kernel ends a process that makes any other system call than those listed below:
 *              nothing can be executed, connected to, created or written. The parent sets this
 *              filter once, for itself too: set by each session it would cost a quarter more.
 *   Landlock   A session can read and remove in the store's directory, nothing else, and signal no
 *              other process. The parent makes the rules once per directory.
 *   limits     A session cannot start a process (unless it runs as root), dump core, or allocate
 *              much memory.
 *
 * Where the system lacks one of them, the server does without.
 */

#ifdef SECCOMP_ARCH
enum { WRITE_FLAGS = O_ACCMODE | O_CREAT | O_TRUNC };

static const struct allowed_call allowed_calls[] = {
    {SYS_openat, 2, WRITE_FLAGS, 0},
    {SYS_mmap, 2, PROT_EXEC, 0}, {SYS_mprotect, 2, PROT_EXEC, 0},
    {SYS_fcntl, 1, ~3u, 0},             /* up to F_GETFL */
    {SYS_ioctl, 1, ~2u, TIOCOUTQ},      /* and TIOCGWINSZ, with which musl recognizes terminals */
    {SYS_ioctl, 1, EQUAL, TCGETS},
    {SYS_ioctl, 1, EQUAL, 0x802c542a},  /* TCGETS2, in glibc since 2.42 */
    {SYS_prctl, 0, EQUAL, PR_SET_NO_NEW_PRIVS},
    {SYS_prlimit64, 0, EQUAL, 0},       /* its own limits */
    {SYS_kill, 1, EQUAL, SIGTERM}, {SYS_kill, 1, EQUAL, SIGCONT},
    {SYS_unlinkat, 2, EQUAL, 0},        /* no directories */
    {SYS_clone, 0, 0x7e020000, 0},      /* no namespaces */
    {SYS_prctl, 0, EQUAL, 0x53564d41},  /* PR_SET_VMA: malloc() names its memory */
    /* processes */
    ALLOW(wait4), ALLOW(exit), ALLOW(exit_group), ALLOW(getpid),
    ALLOW(gettid), ALLOW(getppid), ALLOW(getuid), ALLOW(geteuid), ALLOW(set_robust_list),
    ALLOW(set_tid_address), ALLOW(rseq), ALLOW(setrlimit),
    ALLOW(landlock_create_ruleset), ALLOW(landlock_add_rule), ALLOW(landlock_restrict_self),
    /* connections and the log */
    ALLOW(read), ALLOW(write), ALLOW(writev), ALLOW(sendto), ALLOW(recvfrom), ALLOW(pselect6),
    ALLOW(shutdown), ALLOW(dup3), ALLOW(close), ALLOW(accept), ALLOW(accept4),
    ALLOW(getsockopt), ALLOW(getsockname), ALLOW(getpeername),
    /* the store */
    ALLOW(pread64), ALLOW(fstat), ALLOW(newfstatat), ALLOW(statx), ALLOW(fstatfs),
    ALLOW(getdents64), ALLOW(fsync), ALLOW(inotify_init1),
    ALLOW(inotify_add_watch), ALLOW(memfd_create),
    /* memory, time, signals */
    ALLOW(munmap), ALLOW(mremap), ALLOW(madvise), ALLOW(brk), ALLOW(getrandom), ALLOW(futex),
    ALLOW(clock_gettime), ALLOW(gettimeofday), ALLOW(nanosleep), ALLOW(clock_nanosleep),
    ALLOW(restart_syscall), ALLOW(rt_sigaction), ALLOW(rt_sigprocmask), ALLOW(rt_sigreturn),
    ALLOW(sigaltstack),
    /* what a libc asks for its own purposes: glibc's qsort(), for one, how much memory there is */
    ALLOW(sysinfo), ALLOW(uname), ALLOW(sched_yield), ALLOW(sched_getaffinity),
#ifdef SYS_open                         /* x86-64 has older calls too, which musl uses */
    {SYS_open, 1, WRITE_FLAGS, 0}, ALLOW(dup2), ALLOW(fork), ALLOW(stat), ALLOW(lstat),
#endif
};
#define confine_calls() filter_calls(allowed_calls, sizeof allowed_calls / sizeof *allowed_calls, \
                                     SECCOMP_RET_KILL_PROCESS)
#else
#define confine_calls() ((void)0)
#endif

/*
 * Makes Landlock's rules for sessions on the open directory, if there are none. Returns false
 * with errno set on failure; true where the system has no Landlock.
 */
static bool
confine_prepare(struct store *store)
{
#ifdef HAS_LANDLOCK
    if (store->ruleset >= 0)
        return true;

    const int version = (int)syscall(SYS_landlock_create_ruleset, NULL, 0L, 1L);
    /*
     * struct landlock_ruleset_attr, which grew. What a version does not know must be 0. Of files,
     * what the first version denies is enough: where it also denies truncate(), each open() takes
     * much longer, and seccomp forbids the call.
     */
    const struct { uint64_t files, network, scopes; } denied = {
        .files = (1 << 13) - 1,
        .network = version < 4 ? 0 : 3,         /* TCP */
        .scopes = version < 6 ? 0 : 3           /* abstract sockets, signals */
    };
    const struct landlock_path_beneath_attr kept = {
        .allowed_access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |
                          LANDLOCK_ACCESS_FS_REMOVE_FILE,
        .parent_fd = store->directory
    };
    int rules;

    if (version <= 0)
        return true;            /* containers answer EPERM to a call that they do not know */
    rules = (int)syscall(SYS_landlock_create_ruleset, &denied, sizeof denied, 0L);
    if (rules < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) != 0 ||
        syscall(SYS_landlock_add_rule, (long)rules, (long)LANDLOCK_RULE_PATH_BENEATH, &kept,
                0L) != 0) {
        close_quietly(rules);
        return false;
    }
    store->ruleset = rules;
#else
    (void)store;
#endif
    return true;
}

/*
 * Confines the process of a session. Returns false with errno set on failure. A limit that cannot
 * be set may be stricter already.
 */
static bool
confine_session(const struct store *store)
{
    const struct rlimit none = {.rlim_cur = 0, .rlim_max = 0};

    setrlimit(RLIMIT_CORE, &none);
#ifdef RLIMIT_NPROC
    setrlimit(RLIMIT_NPROC, &none);
#endif
#if defined RLIMIT_AS && !defined SANITIZED
    const struct index *x = &store->index;
    const rlim_t memory = (rlim_t)(SESSION_MEMORY + x->count * SESSION_MEMORY_EACH +
                                   x->memory_size);
    const struct rlimit limit = {.rlim_cur = memory, .rlim_max = memory};

    setrlimit(RLIMIT_AS, &limit);
#endif
#ifdef HAS_LANDLOCK
    if (store->ruleset >= 0)
        return syscall(SYS_landlock_restrict_self, (long)store->ruleset, 0L) == 0 &&
               close(store->ruleset) == 0;
#endif
    return true;
}

/* A server that root started becomes the owner of the store. Returns false with errno set. */
static bool
become_owner(const char *path)
{
    struct stat status;

    /* store_refresh() reports a missing store. */
    return geteuid() != 0 || stat(path, &status) != 0 || status.st_uid == 0 ||
           (setgroups(1, &status.st_gid) == 0 && setgid(status.st_gid) == 0 &&
            setuid(status.st_uid) == 0);
}

/* ---- 8. Connections -------------------------------------------------------------------------- */

/* An address of either family, as the system takes it. */
union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

enum { PEER_TEXT = 100 };

/* A session in another process. */
struct child {
    pid_t pid;
    char peer[PEER_TEXT];
};

/* Everything that the parent works with. */
struct server {
    const struct settings *settings;
    struct store store;
    int listeners[ADDRESSES];
    int listener_count;
    struct child *children;     /* room for settings->sessions */
    size_t live;                /* number of them */
    int64_t full_until;         /* by wire_clock: until then, no client is waited for */
};

/*
 * Reads a numeric address. Returns its size, or 0 if it is none. (getaddrinfo() could, but brings
 * code for finding names into a static program.)
 */
static socklen_t
address_read(union address *address, const char *text, uint16_t port)
{
    *address = (union address){.v4 = {.sin_family = AF_INET, .sin_port = htons(port)}};
    if (inet_pton(AF_INET, text, &address->v4.sin_addr) == 1)
        return sizeof address->v4;
    *address = (union address){.v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)}};
    return inet_pton(AF_INET6, text, &address->v6.sin6_addr) == 1 ? sizeof address->v6 : 0;
}

/* Writes a numeric address. Returns its port, or 0 if it is not an Internet address. */
static uint16_t
address_text(const union address *address, char host[INET6_ADDRSTRLEN])
{
    const bool v6 = address->any.sa_family == AF_INET6;
    const void *bytes = v6 ? (const void *)&address->v6.sin6_addr : &address->v4.sin_addr;

    if ((!v6 && address->any.sa_family != AF_INET) ||
        inet_ntop(address->any.sa_family, bytes, host, INET6_ADDRSTRLEN) == NULL)
        return 0;
    return ntohs(v6 ? address->v6.sin6_port : address->v4.sin_port);
}

/* Returns true if only this machine can use an address, which may have a port. */
static bool
is_loopback(const char *text)
{
    return strncmp(text, "127.", 4) == 0 || strcmp(text, "::1") == 0 ||
           strncmp(text, "[::1]", 5) == 0;
}

/*
 * Writes who is at the other end of a connection: 127.0.0.1:4711, [::1]:4711. With -i a program
 * between the two, such as stunnel, tcpserver or xinetd, names it in REMOTE_HOST.
 */
static void
peer_text(char text[PEER_TEXT], const union address *address, bool inetd)
{
    const char *remote = inetd ? getenv("REMOTE_HOST") : NULL;
    char host[INET6_ADDRSTRLEN];
    const uint16_t port = address_text(address, host);

    if (remote != NULL && (port == 0 || is_loopback(host)))
        snprintf(text, PEER_TEXT, "%.70s (from REMOTE_HOST)", remote);
    else if (port == 0)
        snprintf(text, PEER_TEXT, "standard input");
    else
        snprintf(text, PEER_TEXT, address->any.sa_family == AF_INET6 ? "[%s]:%d" : "%s:%d", host,
                 port);
}

/* Returns a socket that listens on a numeric address and port, or -1 with errno set. */
static int
listen_on(const char *host, uint16_t port)
{
    union address address;
    const socklen_t length = address_read(&address, host, port);
    const int on = 1, fd = socket(address.any.sa_family, SOCK_STREAM, 0);

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);   /* its connections inherit it */
    if (address.any.sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    fcntl(fd, F_SETFL, O_NONBLOCK);     /* a client may vanish between select() and accept() */
    if (bind(fd, &address.any, length) != 0 || listen(fd, SOMAXCONN) != 0) {
        close_quietly(fd);
        return -1;
    }
    return fd;
}

/* Returns what can be done when listening fails. */
static const char *
listen_hint(int error)
{
    return error == EADDRINUSE ? "; another program or another -a uses it; try another port" :
           error == EACCES ? "; only root can use ports below 1024; try a higher one" :
           error == EADDRNOTAVAIL ? "; -a takes an address of this machine" : "";
}

/*
 * Opens all listeners. With port 0 the kernel chooses one for the first address. If that port is
 * in use on another address, all are opened again with a new one; after so many tries each address
 * gets a port of its own. A default address whose family this machine lacks is skipped. Returns
 * false after logging the failure.
 */
static bool
listen_on_all(struct server *server, int tries)
{
    const char *const *hosts = server->settings->addresses;
    const bool asked = server->settings->address_count > 0;
    uint16_t port = (uint16_t)server->settings->port;

    for (int i = 0; i < (asked ? server->settings->address_count : 2); i++) {
        union address address = {.any = {.sa_family = AF_UNSPEC}};
        socklen_t length = sizeof address;
        char host[INET6_ADDRSTRLEN];
        int fd = listen_on(hosts[i], port);

        if (fd < 0 && !asked && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL))
            continue;
        if (fd < 0 && errno == EADDRINUSE && server->settings->port == 0 && tries > 0) {
            while (server->listener_count > 0)
                close(server->listeners[--server->listener_count]);
            return listen_on_all(server, tries - 1);
        }
        if (fd < 0) {
            log_line("cannot listen on %s port %" PRIu64 ": %s%s", hosts[i],
                     server->settings->port, strerror(errno), listen_hint(errno));
            return false;
        }
        server->listeners[server->listener_count++] = fd;
        if (tries > 0 && getsockname(fd, &address.any, &length) == 0)
            port = address_text(&address, host);
    }
    if (server->listener_count == 0)
        log_line("this machine has neither 127.0.0.1 nor ::1; give an address with -a");
    return server->listener_count > 0;
}

/* Prints where the server listens, and logs who can connect. */
static void
report_listeners(const struct server *server)
{
    bool open = false;

    for (int i = 0; i < server->listener_count; i++) {
        union address address = {.any = {.sa_family = AF_UNSPEC}};
        socklen_t length = sizeof address;
        char host[INET6_ADDRSTRLEN];
        uint16_t port;

        if (getsockname(server->listeners[i], &address.any, &length) == 0 &&
            (port = address_text(&address, host)) != 0) {
            printf("listening on %s port %d\n", host, port);
            open = open || !is_loopback(host);
        }
    }
    fflush(stdout);
    if (ferror(stdout))
        log_line("cannot write to standard output: %s", strerror(errno));
    if (!open)
        log_line("only this machine can connect; use -a to listen on other addresses");
    else if (server->settings->passfile == NULL)
        log_line("warning: everyone who can reach this machine can read and delete the mail; "
                 "-p requires a login");
}

/* Forgets the sessions that have ended, and logs those that were killed. */
static void
reap(struct server *server)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (size_t i = 0; i < server->live; i++) {
            struct child *child = &server->children[i];

            if (child->pid != pid)
                continue;
            if (WIFSIGNALED(status))
                log_line("%s: error (killed by signal %d%s)", child->peer, WTERMSIG(status),
                         WTERMSIG(status) == SIGSYS ? ": a forbidden system call" : "");
            *child = server->children[--server->live];
            break;
        }
    }
}

/*
 * Refuses a connection with one answer. The parent never waits for a client: it sends what the
 * system accepts at once. It reads what has arrived, because close() with unread input would
 * discard the answer.
 */
static void
refuse(int connection, const char *peer, const char *answer, const char *detail)
{
    char line[POP3_STATUS_MAX], unread[4096];
    int length = snprintf(line, sizeof line, "-ERR [SYS/TEMP] %s, try again later\r\n", answer);

    log_line("%s: refused: %s (%s)", peer, answer, detail);
    if (send(connection, line, (size_t)length, MSG_DONTWAIT) > 0)
        shutdown(connection, SHUT_WR);
    for (int i = 0; i < 16 && recv(connection, unread, sizeof unread, MSG_DONTWAIT) > 0; i++)
        continue;
    close(connection);
}

/*
 * Returns why a peer gets no session now, or NULL. Beyond loopback, one address gets at most a
 * quarter of them.
 */
static const char *
too_many(const struct server *server, const char *peer)
{
    const uint64_t sessions = server->settings->sessions;
    const uint64_t share = is_loopback(peer) ? sessions : sessions < 4 ? 1 : sessions / 4;
    const char *port = strrchr(peer, ':');      /* NULL: a client that has gone may have none */
    const size_t host = port != NULL ? (size_t)(port - peer) + 1 : strlen(peer);
    uint64_t same = 0;

    for (size_t i = 0; i < server->live; i++)
        same += strncmp(server->children[i].peer, peer, host) == 0;
    return server->live == sessions ? "too many sessions" :
           same >= share ? "too many sessions from your address" : NULL;
}

/* Confines this process and holds one session. Returns the exit status. Nothing is freed. */
static int
serve(const struct server *server, const char *peer, int in, int out)
{
    /* The only one in this process. Untouched static memory costs a fork nothing. */
    static struct session session;
    struct session *s = &session;

    s->settings = server->settings;
    s->store = &server->store;
    s->peer = peer;
    s->began = wire_clock();
    wire_open(&s->wire, in, out);
    s->wire.idle_ms = (int64_t)s->settings->idle_seconds * 1000;
    s->wire.stop = &stop_asked;
    s->deleted = mmap(NULL, s->store->index.count + 1, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANON, -1, 0);
    if (s->deleted == MAP_FAILED || !confine_session(s->store)) {
        log_line("%s: cannot %s the session: %s", peer,
                 s->deleted == MAP_FAILED ? "start" : "confine", strerror(errno));
        reply_err(s, "[SYS/TEMP] cannot start a session, try again later");
        wire_flush(&s->wire);
        return 1;
    }
    session_run(s);
    return 0;
}

/* Holds one session on standard input and output. Returns the exit status. */
static int
serve_inetd(const struct server *server)
{
    union address address = {.any = {.sa_family = AF_UNSPEC}};
    socklen_t length = sizeof address;
    char peer[PEER_TEXT];

    getpeername(STDIN_FILENO, &address.any, &length);   /* if it is a socket */
    peer_text(peer, &address, true);
    return serve(server, peer, STDIN_FILENO, STDOUT_FILENO);
}

/* Accepts a connection and starts its session on the store as it is now. */
static void
accept_session(struct server *server, int listener)
{
    union address address = {.any = {.sa_family = AF_UNSPEC}};
    socklen_t length = sizeof address;
    const char *reason;
    struct child child;
    int connection = accept(listener, &address.any, &length);

    if (connection < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            log_line("cannot accept a connection: %s", strerror(errno));
            pause_ms(1000);     /* it stays in the queue */
        }
        return;
    }
    peer_text(child.peer, &address, false);
    /* Its last session may be ending. A flood of clients gets a tenth of the time. */
    for (int tries = wire_clock() < server->full_until ? 0 : 20;
         (reason = too_many(server, child.peer)) != NULL && tries > 0; tries--) {
        pause_ms(1);
        reap(server);
        if (tries == 1)
            server->full_until = wire_clock() + 200;
    }
    if (reason != NULL) {
        refuse(connection, child.peer, reason, "see -n");
    } else if (!store_refresh(&server->store)) {
        refuse(connection, child.peer, "the mail cannot be read", strerror(errno));
    } else if (!confine_prepare(&server->store) || (child.pid = fork()) < 0) {
        refuse(connection, child.peer, "cannot start a session", strerror(errno));
    } else if (child.pid == 0) {
        for (int i = 0; i < server->listener_count; i++)
            close(server->listeners[i]);
        close(server->store.inotify);
        _exit(serve(server, child.peer, connection, connection));
    } else {
        server->children[server->live++] = child;
        close(connection);
    }
}

/*
 * Serves until a signal sets stop_asked, then ends the sessions, suspended ones as well, and waits
 * for them or for a second signal. No SIGCHLD is needed: ended sessions are reaped at the next
 * connection or after a second.
 */
static void
serve_connections(struct server *server)
{
    while (!stop_asked) {
        int ready = wait_ready(server->listeners, server->listener_count, false, 1000);

        reap(server);
        for (int i = 0; i < server->listener_count && ready > 0; i++)
            if ((ready & 1 << i) != 0)
                accept_session(server, server->listeners[i]);
    }
    stop_asked = 0;
    for (int i = 0; i < server->listener_count; i++)
        close(server->listeners[i]);
    for (size_t i = 0; i < server->live; i++) {
        kill(server->children[i].pid, SIGTERM);
        kill(server->children[i].pid, SIGCONT);
    }
    for (reap(server); server->live > 0 && !stop_asked; reap(server))
        pause_ms(20);
    log_line("stopped");
}

/* ---- 9. main --------------------------------------------------------------------------------- */

static const char usage[] =
    "[-hivV] [-a address]... [-d directory] [-n sessions]\n"
    "              [-p passfile] [-t seconds] [port]\n";

static const char help[] =
    "\n"
    "Serves a directory of messages, one per file, or a Maildir, by POP3. The\n"
    "default port is " POP3_PORT "; with 0 the kernel chooses one.\n"
    "\n"
    "  -a ADDRESS     listen on this numeric address instead of 127.0.0.1 and ::1;\n"
    "                 repeatable\n"
    "  -d DIRECTORY   the mail store (default: mail)\n"
    "  -i             serve one session on standard input and output, then exit\n"
    "  -n SESSIONS    maximum number of concurrent sessions (default: 256)\n"
    "  -p PASSFILE    require a login; the file contains one line name:password and\n"
    "                 must not be readable by group or others\n"
    "  -t SECONDS     idle timeout (default: 600)\n"
    "  -v             log each command and each status line, passwords as ***\n"
    "  -h, --help     print this help\n"
    "  -V, --version  print the version\n";

/*
 * Reports why the server cannot start and ends the program: with status 2 after an invalid
 * command line, else with 1, and with -i the client gets an answer.
 */
static _Noreturn void __attribute__((format(printf, 3, 4)))
fail(const struct settings *settings, int status, const char *format, ...)
{
    static const char answer[] = "-ERR [SYS/TEMP] the server cannot start, its log says why\r\n";
    char text[LOG_LINE];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (status == 2)
        log_line("%s; see %s --help", text, program);
    else
        log_line("%s", text);
    if (status == 1 && settings->inetd && write(STDOUT_FILENO, answer, sizeof answer - 1) < 0)
        log_line("cannot answer the client: %s", strerror(errno));
    exit(status);
}

#define usage_error(...) fail(NULL, 2, __VA_ARGS__)

/* Reads the number of an option, from min to max, or ends the program. */
static uint64_t
option_number(char option, const char *text, uint64_t min, uint64_t max)
{
    uint64_t number;

    if (!pop3_number(text, max, &number) || number < min)
        usage_error("invalid argument for -%c: %s (a number from %" PRIu64 " to %" PRIu64 ")",
                    option, text, min, max);
    return number;
}

/* Reads the command line. Ends the program after --help, --version and errors. */
static void
read_options(struct settings *settings, int argc, char **argv)
{
    static const struct option long_options[] = {
        {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {NULL, 0, NULL, 0}
    };
    const char *port = POP3_PORT;
    union address address;
    int option;

    opterr = 0;
    while ((option = getopt_long(argc, argv, ":a:d:hin:p:t:vV", long_options, NULL)) != -1) {
        switch (option) {
        case 'a':
            if (settings->address_count == ADDRESSES)
                usage_error("too many addresses: at most %d with -a", ADDRESSES);
            if (address_read(&address, optarg, 0) == 0)
                usage_error("invalid argument for -a: %s (a numeric address, such as ::1)",
                            optarg);
            settings->addresses[settings->address_count++] = optarg;
            break;
        case 'd':
            if (*optarg == '\0')
                usage_error("the argument of -d is empty");
            settings->directory = optarg;
            break;
        case 'h':
            printf("usage: %s %s%s", program, usage, help);
            fflush(stdout);
            exit(ferror(stdout) != 0);
        case 'i':
            settings->inetd = true;
            break;
        case 'n':
            settings->sessions = option_number('n', optarg, 1, 100000);
            break;
        case 'p':
            settings->passfile = optarg;
            break;
        case 't':
            settings->idle_seconds = option_number('t', optarg, 1, 1000000);
            break;
        case 'v':
            settings->verbose = true;
            break;
        case 'V':
            printf("%s (POP3 server) %s\n", program, POP3_VERSION);
            fflush(stdout);
            exit(ferror(stdout) != 0);
        default:                /* with --help=x, some systems return ':', some '?' */
            if (optopt == 'h' || optopt == 'V')
                usage_error("option takes no argument: %s", argv[optind - 1]);
            else if (option == ':')
                usage_error("option requires an argument: -%c", optopt);
            else if (optopt != 0)
                usage_error("invalid option: -%c", optopt);
            usage_error("invalid option: %s", argv[optind - 1]);
        }
    }
    if (optind < argc) {
        port = argv[optind++];
        if (settings->inetd)
            usage_error("unexpected argument with -i: %s", port);
    }
    if (!pop3_number(port, 65535, &settings->port))
        usage_error("invalid port: %s (a number from 0 to 65535)", port);
    if (optind < argc)
        usage_error("unexpected argument: %s", argv[optind]);
}

/* Reads the password file. Returns NULL, or the reason why it cannot be used, for the log. */
static const char *
read_passfile(struct settings *settings)
{
    static char text[BLOCK + 1];
    int end, file = open(settings->passfile, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat status;
    ssize_t length;

    if (file < 0 || fstat(file, &status) != 0)
        return strerror(errno);
    if (!S_ISREG(status.st_mode))
        return "not a regular file";
    if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return "group or others can access it; chmod 600 prevents that";
    length = read_at(file, (unsigned char *)text, BLOCK, 0);
    close(file);
    if (length < 0)
        return strerror(errno);

    if (strlen(text) != (size_t)length || strncmp(text, "\xef\xbb\xbf", 3) == 0 ||
        sscanf(text, "%248[^: \t\r\n]:%248[^\r\n]%n", settings->name, settings->password,
               &end) != 2 ||
        text[end + (int)strspn(text + end, "\r\n")] != '\0')
        return "not one line name:password, each of at most 248 bytes, without byte order mark, "
               "NUL or a blank in the name";
    return NULL;
}

static void
on_stop(int number)
{
    (void)number;
    stop_asked = 1;
}

/*
 * Catches the signals that stop the server. Ignored signals stay ignored: SIGHUP under nohup,
 * and SIGINT with -i, where Ctrl-C is for the client alone. (Shells ignore SIGINT for background
 * jobs; without -i the server catches it all the same.)
 */
static void
catch_signals(bool inetd)
{
    const struct sigaction action = {.sa_handler = on_stop, .sa_flags = SA_RESTART};
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction before;

        sigaction(numbers[i], NULL, &before);
        if (before.sa_handler != SIG_IGN || numbers[i] == SIGTERM ||
            (numbers[i] == SIGINT && !inetd))
            sigaction(numbers[i], &action, NULL);
    }
    sigprocmask(SIG_SETMASK, &action.sa_mask, NULL);    /* which is empty */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
#ifdef SIGXFSZ
    signal(SIGXFSZ, SIG_IGN);   /* a log at its size limit only loses lines */
#endif
}

/*
 * Opens descriptors 0 to 2 if they are closed, so that no connection or message gets one, and
 * closes all other inherited descriptors.
 */
static void
prepare_descriptors(void)
{
    reserve_descriptors();
#ifdef SYS_close_range
    if (syscall(SYS_close_range, STDERR_FILENO + 1U, ~0U, 0U) == 0)
        return;
#endif
    for (int fd = STDERR_FILENO + 1; fd < 1024; fd++)
        close(fd);
}

/* Returns true if standard error is the connection: an Internet socket or, with -i, stdout. */
static bool
stderr_is_connection(bool inetd)
{
    union address peer = {.any = {.sa_family = AF_UNSPEC}};
    socklen_t length = sizeof peer;
    struct stat out, err;

    if (getpeername(STDERR_FILENO, &peer.any, &length) == 0 && peer.any.sa_family != AF_UNIX)
        return true;
    return inetd && fstat(STDOUT_FILENO, &out) == 0 && fstat(STDERR_FILENO, &err) == 0 &&
           out.st_dev == err.st_dev && out.st_ino == err.st_ino && out.st_ino != 0;
}

int
main(int argc, char **argv)
{
    static struct settings settings = {
        .addresses = {"127.0.0.1", "::1"}, .directory = "mail", .sessions = SESSIONS,
        .idle_seconds = IDLE_SECONDS
    };
    static struct server server = {
        .settings = &settings, .store = {.directory = -1, .inotify = -1, .ruleset = -1}
    };
    const bool closed = fcntl(STDIN_FILENO, F_GETFD) < 0 || fcntl(STDOUT_FILENO, F_GETFD) < 0;
    struct store *store = &server.store;
    bool *shared;
    const char *reason;

    prepare_descriptors();
    if (argc > 0 && *base_name(argv[0]) != '\0')
        program = base_name(argv[0]);
    if (stderr_is_connection(false))    /* before read_options() writes to it */
        replace_descriptor(STDERR_FILENO);
    read_options(&settings, argc, argv);
    catch_signals(settings.inetd);
    if (settings.inetd && closed)
        fail(&settings, 1, "-i needs standard input and output, and one is closed");
    if (stderr_is_connection(settings.inetd))
        replace_descriptor(STDERR_FILENO);
    if (settings.passfile != NULL && (reason = read_passfile(&settings)) != NULL)
        fail(&settings, 1, "cannot use %s: %s; -p names the file with name:password",
             settings.passfile, reason);
    if (!settings.inetd && !listen_on_all(&server, PORT_TRIES))
        return 1;
    store->path = settings.directory;
    shared = mmap(NULL, 2, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANON, -1, 0);
    if (!become_owner(store->path))
        fail(&settings, 1, "cannot become the owner of %s: %s", store->path, strerror(errno));
    server.children = calloc((size_t)settings.sessions, sizeof *server.children);
    if (server.children == NULL || shared == MAP_FAILED)
        fail(&settings, 1, "out of memory for %" PRIu64 " sessions; see -n", settings.sessions);
    store->stale = &shared[0];
    log_cut = &shared[1];
    if (!store_refresh(store)) {
        if (stop_asked)
            return 0;
        fail(&settings, 1, "cannot read %s: %s; -d names the directory with the mail", store->path,
             strerror(errno));
    }
    log_line("%s: %zu message%s, %" PRIu64 " octets%s", store->path, store->index.count,
             plural(store->index.count), store->index.octets,
             store->index.count == 0 ? " (warning: an empty store)" :
             store->folder_count > 1 ? " (a Maildir)" : "");

    log_start();
    confine_calls();
    if (!confine_prepare(store))
        fail(&settings, 1, "cannot confine sessions: %s", strerror(errno));
    if (geteuid() == 0)
        log_line("warning: the store belongs to root, so sessions run as root; "
                 "chown -R it to another user");
    if (settings.inetd)
        return serve_inetd(&server);
    report_listeners(&server);
    replace_descriptor(STDIN_FILENO);
    replace_descriptor(STDOUT_FILENO);
    serve_connections(&server);
    return 0;
}
