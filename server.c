/*
 * server.c - a POP3 server for a directory of messages, one message a file
 *
 * Read it from the bottom for the plan, from the top for the parts: main() readies the store and the
 * sockets, then accepts for ever; each connection gets a process of its own, which holds one session and
 * ends.
 *
 *     parent   listens, keeps the index of the store up to date, forks, reaps; never talks to a client
 *     child    one session: reads commands, answers them, removes what was marked when it says QUIT
 *
 * What may fail, and who notices:
 *   - The client vanishes: a read or a write in the wire fails, wire.error is set, and session_run() leaves
 *     its loop before another command is looked at. Nothing is removed: only do_quit() removes.
 *   - A file changes under a session: retrieve() reads its beginning, then compares it with its entry in the
 *     index before +OK; message_send() compares one that goes on again, before the final dot, and
 *     store_remove() each before it is removed.
 *   - A session crashes or is killed: the parent sees it in reap() and goes on.
 *   - A stranger takes a session over: it gave up, in serve(), all that it does not need to read and remove
 *     mail in the store, before it read the first octet.
 *   - The server is told to stop: it tells the sessions. They take the signal only while they wait for
 *     their client, so one that is removing messages finishes that and its answer.
 */
#include "pop3.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <inttypes.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* What Linux alone has. Each is used in one place, with a plain way beside it; -DPOSIX_ONLY leaves it all out. */
#if defined __linux__ && !defined POSIX_ONLY
#define HAS_INOTIFY 1
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#if defined __has_include
#if __has_include(<linux/landlock.h>) && __has_include(<linux/seccomp.h>)
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#ifdef SYS_landlock_restrict_self
#define HAS_LANDLOCK 1
#endif
#endif
#endif
#endif

/* The sanitizers' own code needs calls, and address space, that a session does not. */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define SANITIZED 1
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

/* Which calls a session needs is known for these machines, which name them alike. */
#if defined HAS_LANDLOCK && !defined SANITIZED
#if defined __x86_64__ && !defined __ILP32__
#define HAS_SECCOMP AUDIT_ARCH_X86_64
#elif defined __aarch64__ && defined __AARCH64EL__ && !defined __ILP32__
#define HAS_SECCOMP AUDIT_ARCH_AARCH64
#endif
#endif

/* ---- 1. Settings and state --------------------------------------------------------------------------- */

enum {
    SESSIONS = 256,             /* most at once, if -n does not say */
    IDLE_SECONDS = 600,         /* RFC 1939 section 3: at least ten minutes */
    LOGIN_SECONDS = 60,         /* for the whole of a login */
    LOGIN_TRIES = 3,
    MISTAKES = 20,              /* in a row, and the session ends */
    QUIT_SECONDS = 30,          /* for a client to take the answer to QUIT, when nothing else can end it */
    PARTING_SECONDS = 2,        /* for a client to close after that */
    ADDRESSES = 16,             /* of -a */
    SECRET_MAX = 248,           /* octets of a name or a password that fits a command line */
    SETTLED_SECONDS = 3,        /* longer than the tick of any file system's clock (FAT's has 2) */
    BLOCK = 120 * 1024,         /* octets of a file read at a time: with its CRs it fits two of loopback's segments */
    MEASURED = 64 * 1024,       /* and when it is measured: on the stack, of which a fork has to copy what was used */
    HANDFUL = 64 * 1024,        /* octets of answers that are sent while further commands are answered */
    FEW = 32,                   /* messages: it takes no time to look at each for every session */
    SESSION_MEMORY = 64 * 1024 * 1024,  /* octets of address space, the libraries' too; far more than it takes */
    SESSION_MEMORY_EACH = 64,   /* and for each message */
    EXIT_STALE = 3              /* a session's: it found a file that is not as the index says */
};

struct settings {
    uint64_t port;              /* 0: any */
    const char *addresses[ADDRESSES];
    int address_count;          /* 0: the two of loopback */
    const char *directory;
    bool inetd;
    uint64_t sessions;
    const char *passfile;
    uint64_t idle_seconds;
    char name[SECRET_MAX + 1], password[SECRET_MAX + 1];
};

/* Set by signals, which are blocked but for the moments when somebody waits. */
static volatile sig_atomic_t stop_asked, child_ended;

/*
 * One message: which file it is, and what was found in it. Never written again once it is in an index.
 *
 * Its file is the same as long as the times are, but two changes within one tick of a file system's clock leave
 * the same times. So they are believed only when the index was brought up to date (store.refreshed) at or after
 * the second from which a change must show (settles). Until then the content is read and compared.
 */
struct message {
    uint64_t device, inode, size;
    int64_t modified, changed;  /* nanoseconds since 1970 */
    uint64_t octets;            /* what RETR sends, before byte-stuffing */
    unsigned char id[16];       /* hash of name and content */
    int64_t settles;            /* on wire_clock, in seconds; 0: it always was */
    uint32_t name;              /* where in the index's names */
    bool linked;                /* has other names, through which it can change without our hearing */
};

/*
 * The messages in their order. It lies in memory that is shared with the sessions and read-only but while
 * the parent works on it: a fork then copies no page of it, however long it is. New messages are added
 * behind the old ones and the order is written anew, so what a session saw at its start stays.
 */
struct index {
    struct message *messages;
    size_t used, room;
    char *names;
    size_t names_used, names_room;
    uint32_t *order;            /* count places in messages */
    size_t count, order_room;
    uint64_t octets;            /* of all of them */
    size_t linked;              /* how many are */
};

struct store {
    const char *path;
    int directory;              /* -1: not open, all must be looked at again */
    int watch;                  /* an inotify descriptor that tells of every change, or -1 */
    int64_t refreshed;          /* wire_clock's second when all known changes were in the index */
    bool unreadable;            /* a file could not be read then, and is not in the index */
    int landlock;               /* the version that keeps sessions to the directory, 0: none */
    int rules;                  /* a descriptor: Landlock's rules for this directory, which sessions take on; or -1 */
    struct index index;
};

struct session {
    const struct settings *settings;
    const struct store *store;
    char peer[INET6_ADDRSTRLEN + 32];
    int64_t began;              /* on wire_clock */

    enum pop3_state state;
    char user[POP3_COMMAND_MAX];    /* what USER said, "" before */
    int tries, mistakes;
    const char *end;            /* why the session is over, or NULL */

    bool *deleted;              /* for each message, whether it is marked; NULL: none ever was */
    size_t marked;
    uint64_t marked_octets;
    uint32_t *twins;            /* for each message, how many before it have its unique-id; NULL: not known */

    const struct message *begun;    /* whose first octets are in the block, not looked at yet, or NULL */
    int file;                   /* of the message that was begun last, or -1 */
    size_t length;              /* how many octets of it are in the block */
    size_t next;                /* the message, from 0 on, that may be wanted next; 0: nobody knows */

    bool stale;                 /* a file was not as the index says */
    size_t retrieved, topped, removed;
    uint64_t retrieved_octets;

    struct wire wire;
    unsigned char block[BLOCK];
};

/* ---- 2. Saying things -------------------------------------------------------------------------------- */

/* Writes a number at to, which has room for 20 digits. Returns the place behind it. */
static char *
put_number(char *to, uint64_t number)
{
    char digits[20];
    size_t count = 0;

    do
        digits[count++] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    while (count > 0)
        *to++ = digits[--count];
    return to;
}

/* Writes an octet at to as two digits. Returns the place behind them. */
static char *
put_hex(char *to, unsigned char octet)
{
    *to++ = "0123456789abcdef"[octet >> 4];
    *to++ = "0123456789abcdef"[octet & 15];
    return to;
}

/*
 * Writes a text as vsnprintf() does, cut where the room ends. Of its conversions it knows %s and those of
 * numbers without a sign, %u %lu %llu %zu. Returns the length of what it wrote.
 *
 * printf itself lies, with its tables, all over a libc: of the time of a short session, a fortieth went into
 * mapping the pages of it that a few answers need.
 */
static size_t
put_format_list(char *to, size_t room, const char *format, va_list arguments)
{
    char *const start = to, *const end = to + room - 1;

    for (; *format != '\0'; format++) {
        char digits[20];
        const char *text = format;
        size_t length = 1;

        if (*format == '%') {
            const char *size = ++format;

            format += strspn(format, "lz");
            if (*format == 's') {
                text = va_arg(arguments, const char *);
                length = strlen(text);
            } else {
                uint64_t number = *size == 'z' ? va_arg(arguments, size_t) :
                                  *size != 'l' ? va_arg(arguments, unsigned) :
                                  size[1] != 'l' ? va_arg(arguments, unsigned long) :
                                  va_arg(arguments, unsigned long long);

                text = digits;
                length = (size_t)(put_number(digits, number) - digits);
            }
        }
        if (length > (size_t)(end - to))
            length = (size_t)(end - to);
        memcpy(to, text, length);
        to += length;
    }
    *to = '\0';
    return (size_t)(to - start);
}

static size_t __attribute__((format(printf, 3, 4)))
put_format(char *to, size_t room, const char *format, ...)
{
    va_list arguments;
    size_t length;

    va_start(arguments, format);
    length = put_format_list(to, room, format, arguments);
    va_end(arguments);
    return length;
}

/*
 * Writes one line to standard error, with everything but printable ASCII made visible, since parts of it
 * come from strangers. A log that nobody reads any more costs its lines, never a session's time.
 */
static void __attribute__((format(printf, 1, 2)))
say(const char *format, ...)
{
    char text[800], line[2 * sizeof text];      /* no more than a pipe takes at once, nor a page of the stack */
    size_t length = 0;
    struct pollfd log = {.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
    va_list arguments;

    va_start(arguments, format);
    put_format_list(text, sizeof text, format, arguments);
    va_end(arguments);

    length = put_format(line, sizeof line, "server: ");
    for (const char *from = text; *from != '\0' && length < sizeof line - 6; from++) {
        unsigned char c = (unsigned char)*from;

        if (c >= 0x20 && c < 0x7f) {
            line[length++] = (char)c;
        } else {
            line[length++] = '\\';
            line[length++] = 'x';
            put_hex(line + length, c);
            length += 2;
        }
    }
    line[length++] = '\n';
    if (poll(&log, 1, 0) == 1 && (log.revents & POLLOUT) != 0)
        while (write(STDERR_FILENO, line, length) < 0 && errno == EINTR)
            continue;
}

/* ---- 3. The store ------------------------------------------------------------------------------------ */

/*
 * The unique-id is a keyed hash, SipHash-2-4 with 128 bits (Aumasson and Bernstein, 2012), of the name and
 * the content. The key is fixed and public: the same message must get the same id after a restart and
 * without a file that remembers it. That no two in a listing are alike is seen to where they are listed.
 */
struct hash {
    uint64_t v0, v1, v2, v3;
    unsigned char tail[8];
    size_t tail_length;
    uint64_t length;
};

/* The rounds are to be part of the loop that hashes, whatever a compiler thinks of their size: that halves its time. */
#define IN_PLACE static inline __attribute__((always_inline))

IN_PLACE uint64_t
rotate(uint64_t word, int bits)
{
    return word << bits | word >> (64 - bits);
}

IN_PLACE void
hash_round(struct hash *h)
{
    h->v0 += h->v1;
    h->v1 = rotate(h->v1, 13) ^ h->v0;
    h->v0 = rotate(h->v0, 32);
    h->v2 += h->v3;
    h->v3 = rotate(h->v3, 16) ^ h->v2;
    h->v0 += h->v3;
    h->v3 = rotate(h->v3, 21) ^ h->v0;
    h->v2 += h->v1;
    h->v1 = rotate(h->v1, 17) ^ h->v2;
    h->v2 = rotate(h->v2, 32);
}

/* Mixes in one word, the 8 octets at p, the lowest first whatever the machine. */
IN_PLACE void
hash_word(struct hash *h, const unsigned char *p)
{
    uint64_t word = (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24 |
                    (uint64_t)p[4] << 32 | (uint64_t)p[5] << 40 | (uint64_t)p[6] << 48 | (uint64_t)p[7] << 56;

    h->v3 ^= word;
    hash_round(h);
    hash_round(h);
    h->v0 ^= word;
}

static void
hash_start(struct hash *h)
{
    const uint64_t key0 = 0x706f70332d756964, key1 = 0x6d61696c64726f70;     /* "pop3-uid", "maildrop" */

    *h = (struct hash){
        .v0 = key0 ^ 0x736f6d6570736575,
        .v1 = key1 ^ 0x646f72616e646f6d ^ 0xee,
        .v2 = key0 ^ 0x6c7967656e657261,
        .v3 = key1 ^ 0x7465646279746573,
    };
}

static void
hash_add(struct hash *h, const void *octets, size_t length)
{
    const unsigned char *p = octets, *end = p + length;
    struct hash copy;

    h->length += length;
    while (p < end) {
        if (h->tail_length > 0 || end - p < 8) {
            h->tail[h->tail_length++] = *p++;
            if (h->tail_length == 8) {
                hash_word(h, h->tail);
                h->tail_length = 0;
            }
            continue;
        }
        copy = *h;              /* which a compiler can keep in registers */
        for (; end - p >= 8; p += 8)
            hash_word(&copy, p);
        *h = copy;
    }
}

static void
hash_end(struct hash *h, unsigned char id[16])
{
    uint64_t halves[2];

    while (h->tail_length < 7)
        h->tail[h->tail_length++] = 0;
    h->tail[7] = (unsigned char)h->length;
    hash_word(h, h->tail);

    h->v2 ^= 0xee;
    for (int half = 0; half < 2; half++) {
        for (int i = 0; i < 4; i++)
            hash_round(h);
        halves[half] = h->v0 ^ h->v1 ^ h->v2 ^ h->v3;
        h->v1 ^= 0xdd;
    }
    for (int i = 0; i < 16; i++)
        id[i] = (unsigned char)(halves[i / 8] >> (i % 8 * 8));
}

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/*
 * Compares two names as the store orders them: runs of digits as numbers, the rest octet by octet; names
 * that are the same so far ("1" and "01") by all their octets. Returns less than, equal to or more than 0.
 */
static int
name_compare(const char *a, const char *b)
{
    const char *x = a, *y = b;

    while (*x != '\0' && *y != '\0') {
        if (is_digit(*x) && is_digit(*y)) {
            int order = 0;      /* of the first digits that differ: it counts when both have as many */

            for (; *x == '0'; x++)
                continue;
            for (; *y == '0'; y++)
                continue;
            for (; is_digit(*x) && is_digit(*y); x++, y++)
                if (order == 0)
                    order = *x - *y;
            if (is_digit(*x) || is_digit(*y))
                return is_digit(*y) ? -1 : 1;
            if (order != 0)
                return order;
        } else if (*x != *y) {
            return (unsigned char)*x < (unsigned char)*y ? -1 : 1;
        } else {
            x++;
            y++;
        }
    }
    if (*x != *y)
        return *x == '\0' ? -1 : 1;
    return strcmp(a, b);
}

/* A list of names to look at. The texts lie behind each other, so that a hundred thousand cost little. */
struct names {
    char *text;
    size_t used, room;
    size_t count;
    struct name {
        const char *text;
        bool changed;           /* measure it, whatever its times say */
        bool regular;           /* the directory itself says that it is a file: it can be opened at once */
    } *list;                    /* made by names_sort */
};

/* What is known of a name that is added. */
enum news { NO_NEWS = ' ', CHANGED = '!', REGULAR = '-' };

/* Adds a name. Returns false when there is no memory. */
static bool
names_add(struct names *n, const char *name, enum news news)
{
    size_t size = strlen(name) + 1;

    if (n->text == NULL || n->room - n->used < size + 1) {
        size_t room = n->room * 2 + size + 4096;
        char *text = realloc(n->text, room);

        if (text == NULL)
            return false;
        n->text = text;
        n->room = room;
    }
    n->text[n->used] = (char)news;
    memcpy(n->text + n->used + 1, name, size);
    n->used += size + 1;
    n->count++;
    return true;
}

static int
names_order(const void *a, const void *b)
{
    return name_compare(((const struct name *)a)->text, ((const struct name *)b)->text);
}

/* Makes the list, in order and each name once. Returns false when there is no memory. */
static bool
names_sort(struct names *n)
{
    const char *text = n->text;
    size_t kept = 0;

    n->list = malloc((n->count + 1) * sizeof *n->list);
    if (n->list == NULL)
        return false;
    for (size_t i = 0; i < n->count; i++, text += strlen(text) + 1)
        n->list[i] = (struct name){.text = text + 1, .changed = *text == CHANGED, .regular = *text == REGULAR};
    qsort(n->list, n->count, sizeof *n->list, names_order);
    for (size_t i = 0; i < n->count; i++) {
        if (kept > 0 && strcmp(n->list[kept - 1].text, n->list[i].text) == 0)
            n->list[kept - 1].changed |= n->list[i].changed;
        else
            n->list[kept++] = n->list[i];
    }
    n->count = kept;
    return true;
}

static void
names_free(struct names *n)
{
    free(n->text);
    free(n->list);
    *n = (struct names){0};
}

static int64_t
nanoseconds(struct timespec time)
{
    return (int64_t)((uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec);  /* any year: it is only compared */
}

/* Notes in a message which file it is, and in which state. */
static void
message_identify(struct message *m, const struct stat *file)
{
    m->device = (uint64_t)file->st_dev;
    m->inode = (uint64_t)file->st_ino;
    m->size = (uint64_t)file->st_size;
    m->modified = nanoseconds(file->st_mtim);
    m->changed = nanoseconds(file->st_ctim);
    m->linked = file->st_nlink > 1;
}

/* Says whether two entries are of one file in one state, as far as its times can tell. */
static bool
message_same(const struct message *a, const struct message *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->modified == b->modified && a->changed == b->changed;
}

/* Says whether a signal waits that ends the program. They are blocked: what takes long asks now and then. */
static bool
stop_waits(void)
{
    sigset_t waiting;

    sigpending(&waiting);
    return sigismember(&waiting, SIGTERM) == 1 || sigismember(&waiting, SIGINT) == 1 ||
           sigismember(&waiting, SIGHUP) == 1;
}

/*
 * Finds the octets and the unique-id of an open file, whose size is known, in one pass, by the rules of
 * pop3_stuff: each line end counts as CRLF, also the one that a last line lacks. Returns false, with errno
 * set, when it cannot be read; or EINTR, if it may be stopped, when the program is told to stop.
 */
static bool
message_measure(struct message *m, const char *name, int file, bool may_stop)
{
    unsigned char block[MEASURED];
    const char *flags = strstr(name, ":2,");
    struct hash hash;
    uint64_t offset = 0, bare = 0;
    unsigned char last = '\n';

    hash_start(&hash);
    hash_add(&hash, name, flags != NULL ? (size_t)(flags - name) : strlen(name));
    hash_add(&hash, "", 1);
    while (offset < m->size) {
        size_t wanted = m->size - offset < sizeof block ? (size_t)(m->size - offset) : sizeof block;
        ssize_t count = pread(file, block, wanted, (off_t)offset);

        if (may_stop && offset > 0 && stop_waits()) {
            errno = EINTR;
            return false;
        }
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return false;
        if (count == 0)
            break;              /* it became shorter: then it is not what its times say, and is found out */
        hash_add(&hash, block, (size_t)count);

        const unsigned char *end = block + count;
        for (const unsigned char *p = block; (p = memchr(p, '\n', (size_t)(end - p))) != NULL; p++)
            bare += (p > block ? p[-1] : last) != '\r';
        last = end[-1];
        offset += (uint64_t)count;
    }
    hash_end(&hash, m->id);
    m->octets = offset + bare + (last != '\n' ? 2 : 0);
    return true;
}

/*
 * Compares an open file with its entry in the index. Its content is compared too as long as its times may not
 * show a change (two within one tick of the file system's clock leave the same times), and when only its ctime
 * is another: then it got or lost a name or a permission, which does not change a message. Returns false with
 * errno set: ESTALE when it was changed, another when it cannot be looked at.
 */
static bool
message_unchanged(const struct store *store, const struct message *m, int file)
{
    struct message before = {0}, now, after = {0};
    struct stat status;

    if (fstat(file, &status) != 0)
        return false;
    message_identify(&before, &status);
    now = before;
    now.changed = m->changed;
    if (message_same(&now, m)) {
        if (before.changed == m->changed && m->settles <= store->refreshed)
            return true;
        if (!message_measure(&now, store->index.names + m->name, file, false) || fstat(file, &status) != 0)
            return false;
        message_identify(&after, &status);      /* it may be long, and changed where it was read already */
        after.changed = before.changed;         /* but may have lost its name to another session meanwhile */
        if (message_same(&after, &before) && now.octets == m->octets && memcmp(now.id, m->id, sizeof now.id) == 0)
            return true;
    }
    errno = ESTALE;
    return false;
}

/* What a look at a name finds. UNREADABLE may be a message again the next time. */
enum finding { MESSAGE, NOTHING, LEFT_OUT, UNREADABLE, FAILED };

/* Closes a descriptor and leaves errno as it was. */
static void
close_quietly(int file)
{
    int error = errno;

    close(file);
    errno = error;
}

/* Opens the file that has this name now, whatever it is. Returns its descriptor, or -1 with errno set. */
static int
store_open(const struct store *store, const char *name)
{
    return openat(store->directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/*
 * Opens a file of the store and measures it. One that is written to meanwhile gets an entry that fits no state
 * of it: whoever asks for it is told so, and it is measured again.
 */
static enum finding
store_measure(const struct store *store, const char *name, struct message *found)
{
    int file = store_open(store, name);
    struct stat status;
    bool measured = false;

    if (file < 0)
        return errno == ENOENT ? NOTHING : errno == EMFILE || errno == ENFILE || errno == ENOMEM ? FAILED :
               errno == EACCES || errno == EPERM || errno == ELOOP || errno == ENXIO ? LEFT_OUT : UNREADABLE;
    if (fstat(file, &status) == 0) {
        errno = EINVAL;         /* when it is no file any more */
        message_identify(found, &status);
        measured = S_ISREG(status.st_mode) && message_measure(found, name, file, true);
    }
    close_quietly(file);
    return measured ? MESSAGE : errno == EINTR ? FAILED : UNREADABLE;
}

/*
 * A later change shows in a file's times only if the tick in which they were set is over. Notes from when on
 * that is so: SETTLED_SECONDS after the first look at these times; or already, where they are so old by this
 * machine's own clock, which is the one that sets them on its file systems.
 */
static void
message_settle(struct message *found, const struct message *known, bool local, int64_t now, struct timespec clock)
{
    if (known != NULL && message_same(found, known))
        found->settles = now >= known->settles ? 0 : known->settles;
    else if (!local || nanoseconds(clock) - found->changed < SETTLED_SECONDS * INT64_C(1000000000))
        found->settles = now + SETTLED_SECONDS;
}

/*
 * Looks at a name in the store. A file that is as known says, in a state that no change can have left
 * alone, is believed to be the same; any other is measured, at once if it is new and known to be a file.
 * Fills *found when it returns MESSAGE, and *reason when LEFT_OUT or UNREADABLE; FAILED, with errno set, is no
 * finding: the store itself cannot be looked at.
 */
static enum finding
store_look(const struct store *store, const struct name *name, const struct message *known,
           struct message *found, const char **reason)
{
    int64_t now = wire_clock() / 1000;
    struct timespec clock;
    struct stat status;

    memset(found, 0, sizeof *found);
    clock_gettime(CLOCK_REALTIME, &clock);
    if (known == NULL && name->regular && store_measure(store, name->text, found) == MESSAGE) {
        message_settle(found, NULL, store->watch >= 0, now, clock);
        return MESSAGE;
    }

    if (fstatat(store->directory, name->text, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        *reason = strerror(errno);
        return errno == ENOENT ? NOTHING : errno == EIO || errno == EOVERFLOW ? UNREADABLE : FAILED;
    }
    *reason = S_ISDIR(status.st_mode) ? "a directory" : S_ISLNK(status.st_mode) ? "a symbolic link" : "not a file";
    if (!S_ISREG(status.st_mode))
        return LEFT_OUT;

    memset(found, 0, sizeof *found);
    message_identify(found, &status);
    if (known != NULL && message_same(found, known) && known->settles <= store->refreshed && !name->changed) {
        *found = *known;
        found->linked = status.st_nlink > 1;
        return MESSAGE;
    }

    enum finding finding = store_measure(store, name->text, found);

    *reason = strerror(errno);
    message_settle(found, known, store->watch >= 0, now, clock);
    return finding;
}

/* Says whether a file is as its entry says, by its times, and these can be believed. */
static bool
store_has(const struct store *store, const struct message *m)
{
    struct message now = {0};
    struct stat status;

    if (fstatat(store->directory, store->index.names + m->name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return false;
    message_identify(&now, &status);
    return S_ISREG(status.st_mode) && message_same(&now, m) && m->settles <= store->refreshed;
}

/* Returns zeroed memory that a fork shares instead of copying, or NULL. */
static void *
shared_memory(size_t size)
{
    void *memory = mmap(NULL, size + 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

static void
shared_free(void *memory, size_t size)
{
    if (memory != NULL)
        munmap(memory, size + 1);
}

/* The word of section 6, with which the parent may make shared memory writable; NULL, or 0: none is asked for. */
static const uint32_t *parents_word;

/* Changes the protection of memory, as mprotect() does. */
static int
protect(void *memory, size_t size, int protection)
{
#ifdef HAS_SECCOMP
    if ((protection & PROT_WRITE) != 0 && parents_word != NULL && *parents_word != 0)
        return (int)syscall(SYS_mprotect, memory, size, (long)protection, 0L, 0L, (long)*parents_word);
#endif
    return mprotect(memory, size, protection);
}

/*
 * Returns how many octets the messages of an index have, to the end of their last page. The names follow, in
 * the same mapping: each mapping costs a fork some time.
 */
static size_t
index_names_at(const struct index *x)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);

    return (x->room * sizeof *x->messages + page - 1) / page * page;
}

/*
 * Lets the parent write an index, from this message and this octet of the names on, or nobody: a session that
 * runs wild cannot reach the others. What stands before them is left alone, as it takes time for each page.
 * Returns false, with errno set, when the system does not do it.
 */
static bool
index_protect(const struct index *x, size_t message, size_t name, int protection)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t from = message * sizeof *x->messages / page * page, names_from = name / page * page;

    return protect((char *)x->messages + from, index_names_at(x) - from, protection) == 0 &&
           protect(x->names + names_from, x->names_room + 1 - names_from, protection) == 0 &&
           protect(x->order, x->order_room * sizeof *x->order + 1, protection) == 0;
}

/* Returns message i of the order, 0 the first. */
static const struct message *
index_at(const struct index *x, size_t i)
{
    return &x->messages[x->order[i]];
}

/* Returns the place in the order, from i on, of the first message whose name is not before this one. */
static size_t
index_find(const struct index *x, size_t i, const char *name)
{
    size_t end = x->count;

    while (i < end) {
        size_t middle = i + (end - i) / 2;

        if (name_compare(x->names + index_at(x, middle)->name, name) < 0)
            i = middle + 1;
        else
            end = middle;
    }
    return i;
}

/* Puts a message, which is new to this memory, behind the others. There is room. */
static void
index_add(struct index *x, const struct message *m, const char *name)
{
    size_t size = strlen(name) + 1;

    x->messages[x->used] = *m;
    x->messages[x->used].name = (uint32_t)x->names_used;
    memcpy(x->names + x->names_used, name, size);
    x->names_used += size;
    x->order[x->count++] = (uint32_t)x->used++;
}

/* Puts messages from to end of another order behind the others, copied when the memory is another one. */
static void
index_keep(struct index *x, const struct index *old, size_t from, size_t end)
{
    if (x->messages == old->messages) {
        memcpy(x->order + x->count, old->order + from, (end - from) * sizeof *x->order);
        x->count += end - from;
    } else {
        for (; from < end; from++)
            index_add(x, index_at(old, from), old->names + index_at(old, from)->name);
    }
}

/* Counts a message in, or out. */
static void
index_count(struct index *x, const struct message *m, bool in)
{
    if (in) {
        x->octets += m->octets;
        x->linked += m->linked;
    } else {
        x->octets -= m->octets;
        x->linked -= m->linked;
    }
}

/*
 * Readies a new index with room for as many messages and octets of names as may come. When nothing is to
 * stay, or the old one's memory is full, it gets memory of its own. Returns false when there is none.
 */
static bool
index_begin(struct index *x, const struct index *old, bool whole, size_t count, size_t names)
{
    size_t kept = whole ? 0 : old->count;

    *x = *old;
    x->count = 0;
    x->order_room = kept + count;
    x->order = shared_memory(x->order_room * sizeof *x->order);
    if (whole || old->room - old->used < count || old->names_room - old->names_used < names) {
        x->used = x->names_used = 0;
        x->room = (kept + count) + (kept + count) / 4 + 64;
        x->names_room = (whole ? 0 : old->names_used) + names + names / 4 + 4096;
        x->messages = x->names_room < UINT32_MAX ? shared_memory(index_names_at(x) + x->names_room) : NULL;
        x->names = x->messages == NULL ? NULL : (char *)x->messages + index_names_at(x);
        if (whole)
            x->octets = x->linked = 0;
    }
    return x->order != NULL && x->messages != NULL;
}

/* Frees of one index what another does not use. */
static void
index_free(struct index *x, const struct index *in_use)
{
    shared_free(x->order, x->order_room * sizeof *x->order);
    if (x->messages != in_use->messages)
        shared_free(x->messages, index_names_at(x) + x->names_room);
}

/*
 * Makes the index anew from the old one and a sorted list of names, each of which is looked at. Messages
 * that are not in the list stay, or with whole are gone. Files left out are told of if tell is true; says in
 * *new_links whether one got a second name, which may be that of a message of whose change nobody told.
 * Returns false, with errno set, when the store cannot be looked at; the old index stays then.
 */
static bool
store_index(struct store *store, const struct names *names, bool whole, bool tell, bool *new_links)
{
    struct index *old = &store->index, new;
    size_t next = 0, left_out = 0;
    bool unreadable = false;

    if (!index_begin(&new, old, whole, names->count, names->used) ||
        !index_protect(&new, new.used, new.names_used, PROT_READ | PROT_WRITE)) {
        index_free(&new, old);
        errno = ENOMEM;
        return false;
    }
    const size_t used = new.used, names_used = new.names_used;
    for (size_t i = 0; i < names->count; i++) {
        const struct name *name = &names->list[i];
        size_t place = index_find(old, next, name->text);
        const struct message *known = place < old->count ? index_at(old, place) : NULL;
        enum finding finding = FAILED;
        struct message found;
        const char *reason = "";

        if (known != NULL && strcmp(old->names + known->name, name->text) != 0)
            known = NULL;
        if (!whole)
            index_keep(&new, old, next, place);
        next = place + (known != NULL);

        errno = EINTR;
        if (i % 64 != 0 || !stop_waits())
            finding = store_look(store, name, known, &found, &reason);
        switch (finding) {
        case MESSAGE:
            *new_links = *new_links || (found.linked && (known == NULL || !known->linked));
            index_add(&new, &found, name->text);
            index_count(&new, &found, true);
            break;
        case UNREADABLE:
            unreadable = true;
            if (++left_out <= 20)
                say("%s: left out %s (%s)", store->path, name->text, reason);
            break;
        case LEFT_OUT:
            if (tell && ++left_out <= 20)
                say("%s: left out %s (%s)", store->path, name->text, reason);
            break;
        case NOTHING:
            break;
        case FAILED: {
            int error = errno;

            index_protect(&new, used, names_used, PROT_READ);
            index_free(&new, old);
            errno = error;
            return false;
        }
        }
        if (known != NULL && !whole)
            index_count(&new, known, false);
    }
    if (!whole)
        index_keep(&new, old, next, old->count);
    if (left_out > 20)
        say("%s: left out %zu more", store->path, left_out - 20);
    if (!index_protect(&new, used, names_used, PROT_READ))
        say("%s: sessions can write to the index: %s", store->path, strerror(errno));
    index_free(old, &new);
    store->index = new;
    store->unreadable = unreadable;
    return true;
}

/*
 * Says whether a name in the directory may be a message: dots hide what is being delivered, commas too, and
 * nmh's rcvstore writes into the folder as rcvstore and six more, before it gives a message its number.
 */
static bool
name_is_message(const char *name)
{
    static const char half[] = "rcvstore";

    return name[0] != '.' && name[0] != ',' &&
           (strncmp(name, half, sizeof half - 1) != 0 || strlen(name) != sizeof half - 1 + 6);
}

#ifdef HAS_INOTIFY
/*
 * Asks the system to tell of changes in the directory. It does so in their order and before the change
 * returns to who made it, but only on file systems of this machine; store->watch stays -1 on others.
 */
static void
store_watch(struct store *store)
{
    static const unsigned long local[] = {  /* ext2 to 4, XFS, Btrfs, tmpfs, ramfs, overlay, F2FS, ZFS */
        0xef53, 0x58465342, 0x9123683e, 0x01021994, 0x858458f6, 0x794c7630, 0xf2f52010, 0x2fc12fc1
    };
    const uint32_t changes = IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO |
                             IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
    struct stat path, directory;
    struct statfs fs;

    if (fstatfs(store->directory, &fs) != 0)
        return;
    for (size_t i = 0; i < sizeof local / sizeof *local; i++)
        if ((unsigned long)fs.f_type == local[i])
            store->watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (store->watch >= 0 &&
        (inotify_add_watch(store->watch, store->path, changes) < 0 || stat(store->path, &path) != 0 ||
         fstat(store->directory, &directory) != 0 || path.st_dev != directory.st_dev ||
         path.st_ino != directory.st_ino)) {
        close(store->watch);
        store->watch = -1;
    }
}

/* Adds the names that changed since the last time. Returns false when that is not all that changed. */
static bool
store_changes(const struct store *store, struct names *names)
{
    union { struct inotify_event event; char octets[1024]; } events; 
    const uint32_t lost = IN_Q_OVERFLOW | IN_IGNORED | IN_UNMOUNT | IN_DELETE_SELF | IN_MOVE_SELF;
    ssize_t length;

    while ((length = read(store->watch, events.octets, sizeof events)) > 0) {
        for (char *at = events.octets; at < events.octets + length;) {
            const struct inotify_event *event = (const struct inotify_event *)(const void *)at;

            if ((event->mask & lost) != 0 || event->len == 0)
                return false;
            if (name_is_message(event->name) && !names_add(names, event->name, CHANGED))
                return false;
            at += sizeof *event + event->len;
        }
    }
    return errno == EAGAIN;
}
#else
static void
store_watch(struct store *store)
{
    store->watch = -1;
}

static bool
store_changes(const struct store *store, struct names *names)
{
    (void)store;
    (void)names;
    return false;
}
#endif

/* Says what an entry of a directory tells of its name. */
static enum news
entry_news(const struct dirent *entry)
{
#ifdef DT_REG
    return entry->d_type == DT_REG ? REGULAR : NO_NEWS;
#else
    (void)entry;
    return NO_NEWS;
#endif
}

static void
store_close(struct store *store)
{
    if (store->directory >= 0)
        close(store->directory);
    if (store->watch >= 0)
        close(store->watch);
    if (store->rules >= 0)
        close(store->rules);
    store->directory = store->watch = store->rules = -1;
}

/* Opens the directory, and reads all its names. The watch comes first: no change falls between the two. */
static bool
store_read(struct store *store, struct names *names)
{
    DIR *directory;
    struct dirent *entry;
    int copy;

    store_close(store);
    store->directory = open(store->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (store->directory < 0)
        return false;
    store_watch(store);

    copy = openat(store->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    directory = copy < 0 ? NULL : fdopendir(copy);
    if (directory == NULL) {
        if (copy >= 0)
            close(copy);
        return false;
    }
    do {
        errno = 0;
        entry = readdir(directory);
    } while (entry != NULL && (!name_is_message(entry->d_name) || names_add(names, entry->d_name, entry_news(entry))));

    int error = errno;
    closedir(directory);
    errno = error;
    return error == 0;
}

/*
 * Adds the names of messages that changed although the system did not tell: a file can be written to through
 * a name in another directory. Those that had one when they were measured are looked at, and where they are
 * few all of them, since a file may get one later. Returns false when there is no memory.
 */
static bool
store_unheard(const struct store *store, struct names *names)
{
    const struct index *x = &store->index;

    for (size_t i = 0; i < x->count && (x->linked > 0 || x->count <= FEW); i++) {
        const struct message *m = index_at(x, i);

        if ((m->linked || x->count <= FEW) && !store_has(store, m) && !names_add(names, x->names + m->name, NO_NEWS))
            return false;
    }
    return true;
}

/* Says whether a sorted list of all names is that of the index, and every file as it says. */
static bool
store_is_indexed(const struct store *store, const struct names *names)
{
    const struct index *x = &store->index;
    bool same = names->count == x->count;

    for (size_t i = 0; i < x->count && same; i++)
        same = strcmp(names->list[i].text, x->names + index_at(x, i)->name) == 0 && store_has(store, index_at(x, i));
    return same;
}

/*
 * Brings the index up to date with the store. What the system told of is looked at again, and what changed
 * unheard; or every file, where it does not tell, the path leads to another directory now, or one could not be
 * read the last time: nobody tells when that is over. Returns false, with errno set, when the store cannot be
 * read.
 */
static bool
store_refresh(struct store *store, bool tell)
{
    int64_t now = wire_clock() / 1000;
    struct names names = {0};
    struct stat path, directory;
    bool whole, done, new_links = false;

    if (stat(store->path, &path) != 0) {
        store_close(store);
        return false;
    }
    whole = store->directory < 0 || store->watch < 0 || store->unreadable || fstat(store->directory, &directory) != 0 ||
            path.st_dev != directory.st_dev || path.st_ino != directory.st_ino ||
            !store_changes(store, &names);
    if (whole) {
        names_free(&names);
        done = store_read(store, &names);
    } else {
        done = store_unheard(store, &names);
    }
    if (done && (whole || names.count > 0))
        done = names_sort(&names) && ((whole && store_is_indexed(store, &names)) ||
                                      store_index(store, &names, whole, tell || !whole, &new_links));

    int error = errno;
    if (done && whole && names.count == store->index.count)
        store->unreadable = false;      /* the file is gone, or can be read again */
    names_free(&names);
    if (done)
        store->refreshed = now;
    else
        store_close(store);     /* what was told is forgotten: look at everything next time */
    if (done && new_links && !whole) {
        store_close(store);
        return store_refresh(store, false);
    }
    errno = error;
    return done;
}

/*
 * Removes a message that is still what the index says. Returns true when it is gone, also when somebody else
 * removed it; else false with errno set. (Between the look and the removal another file can get the name; no
 * call closes that gap without renaming files, which the server does not do.)
 */
static bool
store_remove(const struct store *store, const struct message *m)
{
    int file = store_open(store, store->index.names + m->name);
    bool unchanged;

    if (file < 0)
        return errno == ENOENT;
    unchanged = message_unchanged(store, m, file);
    close_quietly(file);
    if (!unchanged)
        return false;
    return unlinkat(store->directory, store->index.names + m->name, 0) == 0 || errno == ENOENT;
}

/* Has the removals written to disk. Returns false when that failed; where it cannot be asked for, true. */
static bool
store_sync(const struct store *store)
{
    return fsync(store->directory) == 0 || errno == EINVAL || errno == ENOTSUP;
}

/* ---- 4. Answers -------------------------------------------------------------------------------------- */

/* Answers one line, cut where a status line must end (RFC 2449 section 4). */
static void __attribute__((format(printf, 2, 3)))
reply(struct session *s, const char *format, ...)
{
    char *line = (char *)wire_room(&s->wire, POP3_STATUS_MAX);
    va_list arguments;
    size_t length;

    va_start(arguments, format);
    length = put_format_list(line, POP3_STATUS_MAX - 2, format, arguments);
    va_end(arguments);
    memcpy(line + length, "\r\n", 2);
    wire_added(&s->wire, length + 2);
}

#define ok(s, ...) reply(s, "+OK " __VA_ARGS__)
#define no(s, ...) reply(s, "-ERR " __VA_ARGS__)

/* Refuses what the client got wrong. One that does nothing else for too long is told so, and that is it. */
static void __attribute__((format(printf, 2, 3)))
mistake(struct session *s, const char *format, ...)
{
    char reason[POP3_STATUS_MAX];
    va_list arguments;

    va_start(arguments, format);
    put_format_list(reason, sizeof reason, format, arguments);
    va_end(arguments);

    if (++s->mistakes < MISTAKES) {
        no(s, "%s", reason);
    } else {
        no(s, "%s; that was mistake %u in a row, goodbye", reason, (unsigned)MISTAKES);
        s->end = "error (too many mistakes)";
    }
}

/* Says whether message i is marked as deleted. */
static bool
is_deleted(const struct session *s, size_t i)
{
    return s->deleted != NULL && s->deleted[i];
}

/* Writes a message's unique-id at to, which has room for 48 octets. Returns the place behind it. */
static char *
put_id(char *to, const struct session *s, size_t i)
{
    const struct message *m = index_at(&s->store->index, i);

    for (size_t k = 0; k < sizeof m->id; k++)
        to = put_hex(to, m->id[k]);
    if (s->twins[i] > 0) {
        *to++ = '-';
        to = put_number(to, (uint64_t)s->twins[i] + 1);
    }
    return to;
}

/* Where TOP stands in a message. */
struct top {
    uint64_t lines;             /* of the body, that may still come */
    bool in_body;
    size_t length;              /* of the line so far */
    bool full;                  /* it has more than a line end */
};

/* Returns how many of these octets of the message belong to what TOP sends; fewer than all: it ends there. */
static size_t
top_part(struct top *t, const unsigned char *block, size_t length)
{
    const unsigned char *at = block, *end = block + length;

    while (at < end && !(t->in_body && t->lines == 0)) {
        const unsigned char *lf = memchr(at, '\n', (size_t)(end - at));
        size_t part = (size_t)((lf != NULL ? lf : end) - at);

        t->full = t->full || part > 1 || (part == 1 && (*at != '\r' || t->length > 0));
        t->length += part;
        if (lf == NULL)
            return length;
        if (t->in_body)
            t->lines--;
        else
            t->in_body = !t->full;
        t->full = false;
        t->length = 0;
        at = lf + 1;
    }
    return (size_t)(at - block);
}

/* Says why a message cannot be had, for the log. */
static void
say_unsent(const struct session *s, const struct message *m, int error)
{
    say("%s: cannot send %s: %s", s->peer, s->store->index.names + m->name,
        error == ESTALE ? "it was changed since the session began" : strerror(error));
}

/* Closes the message that was begun last, if one was. */
static void
message_end(struct session *s)
{
    if (s->file >= 0)
        close_quietly(s->file);
    s->file = -1;
    s->begun = NULL;
}

/*
 * Opens a message and reads its first octets into the block; all of them, where they fit. Returns false, with
 * errno set, when that cannot be done. Whether they are still the message's is seen when they are wanted. (What
 * has the name may be a pipe by now, which is somebody else's to read: pread takes nothing out of one.)
 */
static bool
message_begin(struct session *s, const struct message *m)
{
    const size_t wanted = m->size < BLOCK ? (size_t)m->size : BLOCK;
    ssize_t count = 1;

    message_end(s);
    s->file = store_open(s->store, s->store->index.names + m->name);
    if (s->file < 0)
        return false;
    s->begun = m;
    for (s->length = 0; s->length < wanted && count != 0; s->length += count > 0 ? (size_t)count : 0) {
        count = pread(s->file, s->block + s->length, wanted - s->length, (off_t)s->length);
        if (count < 0 && errno != EINTR) {
            if (errno == EISDIR || errno == ESPIPE)
                errno = ESTALE;
            message_end(s);
            return false;
        }
    }
    return true;
}

/*
 * While the client is busy with a message, begins the one behind it: most take them in their order and wait
 * for each. Where the system does not tell of changes, it might not tell of them in an open file either.
 */
static void
message_ahead(struct session *s)
{
    const size_t next = s->next;

    message_end(s);
    s->next = 0;
    if (next > 0 && next < s->store->index.count && !is_deleted(s, next) && s->store->watch >= 0)
        message_begin(s, index_at(&s->store->index, next));
}

/*
 * Says whether a message that was begun ahead is as it was: its file has not lost its name either, which
 * changes its ctime. A file whose times may not show a change is begun anew.
 */
static bool
message_is_ahead(const struct session *s, const struct message *m)
{
    struct message now = {0};
    struct stat status;

    if (s->begun != m || fstat(s->file, &status) != 0)
        return false;
    message_identify(&now, &status);
    return message_same(&now, m) && m->settles <= s->store->refreshed;
}

/*
 * Sends the message that was begun, byte-stuffed, and the final dot; with top only that much of it. One that
 * proves changed, shorter or unreadable ends the connection instead, so that what comes whole to the client
 * is whole. Returns whether it was sent.
 */
static bool
message_send(struct session *s, struct top *top)
{
    const struct message *m = s->begun;
    struct pop3_stuffer stuffer = {.dots = 0};
    uint64_t left = m->size, octets = 0;
    ssize_t count = (ssize_t)s->length;
    int error = 0;

    while (count > 0) {
        size_t part = top != NULL ? top_part(top, s->block, (size_t)count) : (size_t)count;
        /* Room for the last line's end and the dot as well: they go out in one write with their message. */
        unsigned char *room = wire_room(&s->wire, 2 * part + 5);
        size_t stuffed = pop3_stuff(&stuffer, s->block, part, room);

        wire_added(&s->wire, stuffed);
        octets += stuffed;
        left -= (uint64_t)count;
        if (s->wire.error != 0)
            return false;       /* the client went: that says nothing of the message */
        if (left == 0 || part < (size_t)count)
            break;
        do
            count = pread(s->file, s->block, left < BLOCK ? (size_t)left : BLOCK, (off_t)(m->size - left));
        while (count < 0 && errno == EINTR);
        error = count < 0 ? errno : 0;
    }
    octets += (stuffer.in_line ? 2 : 0) - stuffer.dots;
    if (error == 0 && ((count == 0 && left > 0) || (top == NULL && octets != m->octets)))
        error = ESTALE;
    /* Those that came in the block were read before the file was looked at. */
    if (error == 0 && left < m->size - s->length && !message_unchanged(s->store, m, s->file))
        error = errno;
    if (error != 0) {
        s->stale = true;
        say_unsent(s, m, error);
        wire_flush(&s->wire);
        return wire_fail(&s->wire, EBADMSG);
    }
    if (stuffer.in_line)
        wire_put(&s->wire, "\r\n", 2);
    wire_put(&s->wire, ".\r\n", 3);
    return true;
}

/* ---- 5. Commands: one handler each ------------------------------------------------------------------- */

/* What a handler gets: all that could be checked is, and the message exists and is not marked. */
struct request {
    uint64_t number;            /* of the message; 0: none was named */
    const struct message *message;
    uint64_t lines;
    const char *argument;       /* the first one */
};

static const char *
plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

static void
do_stat(struct session *s, const struct request *r)
{
    const struct index *x = &s->store->index;

    (void)r;
    ok(s, "%zu %" PRIu64, x->count - s->marked, x->octets - s->marked_octets);
}

/* LIST and UIDL of all: a line "n what" for each message that is not marked. */
static void
list(struct session *s, char *(*put)(char *to, const struct session *s, size_t i))
{
    for (size_t i = 0; i < s->store->index.count && s->wire.error == 0; i++) {
        if (is_deleted(s, i))
            continue;

        char *line = (char *)wire_room(&s->wire, 128), *to = put_number(line, i + 1);
        *to++ = ' ';
        to = put(to, s, i);
        *to++ = '\r';
        *to++ = '\n';
        wire_added(&s->wire, (size_t)(to - line));
    }
    wire_put(&s->wire, ".\r\n", 3);
}

static char *
put_octets(char *to, const struct session *s, size_t i)
{
    return put_number(to, index_at(&s->store->index, i)->octets);
}

static void
do_list(struct session *s, const struct request *r)
{
    const struct index *x = &s->store->index;
    size_t count = x->count - s->marked;

    if (r->message != NULL) {
        ok(s, "%" PRIu64 " %" PRIu64, r->number, r->message->octets);
    } else {
        ok(s, "%zu message%s (%" PRIu64 " octets)", count, plural(count), x->octets - s->marked_octets);
        list(s, put_octets);
    }
}

/* RETR and TOP: begins the message, if that was not done ahead, and sends it if it is as the session found it. */
static void
retrieve(struct session *s, const struct request *r, struct top *top)
{
    const struct message *m = r->message;

    s->next = (size_t)r->number;
    if (!message_is_ahead(s, m) && !(message_begin(s, m) && message_unchanged(s->store, m, s->file))) {
        if (errno == ENOENT || errno == ESTALE || errno == ELOOP || errno == ENXIO) {
            s->stale = s->stale || errno == ESTALE;
            no(s, "message %" PRIu64 " is gone or was changed since this session began", r->number);
        } else {
            say_unsent(s, m, errno);
            no(s, "[SYS/TEMP] message %" PRIu64 " cannot be read at the moment", r->number);
        }
        message_end(s);
        return;
    }
    if (top != NULL)
        ok(s, "the header and %" PRIu64 " line%s", r->lines, plural(r->lines));
    else
        ok(s, "%" PRIu64 " octets", m->octets);
    if (message_send(s, top)) {
        s->topped += top != NULL;
        s->retrieved += top == NULL;
        s->retrieved_octets += top == NULL ? m->octets : 0;
    }
    s->begun = NULL;            /* its file is closed when the answer is on its way */
}

static void
do_retr(struct session *s, const struct request *r)
{
    retrieve(s, r, NULL);
}

/* A mark only. The file goes at QUIT, so a lost connection loses no mail. */
static void
do_dele(struct session *s, const struct request *r)
{
    if (s->deleted == NULL)
        s->deleted = calloc(s->store->index.count, sizeof *s->deleted);
    if (s->deleted == NULL) {
        say("%s: no marks: %s", s->peer, strerror(ENOMEM));
        no(s, "[SYS/TEMP] out of memory");
        return;
    }
    s->deleted[r->number - 1] = true;
    s->marked++;
    s->marked_octets += r->message->octets;
    ok(s, "message %" PRIu64 " marked, it goes at QUIT", r->number);
}

static void
do_top(struct session *s, const struct request *r)
{
    struct top top = {.lines = r->lines};

    retrieve(s, r, &top);
}

/*
 * Finds messages with one unique-id: copies of one under names that differ in a Maildir's flags alone. All
 * but the first get a number behind it, for no two in a listing may be alike (RFC 1939 section 7). Done when
 * it is first asked for, once. Returns false when there is no memory for it.
 */
static bool
find_twins(struct session *s)
{
    const struct index *x = &s->store->index;
    size_t size = 16;
    uint32_t *table;

    if (s->twins != NULL)
        return true;
    while (size < 2 * x->count)
        size *= 2;
    table = calloc(size, sizeof *table);        /* by hash, the last message with an id; 0: none */
    s->twins = calloc(x->count + 1, sizeof *s->twins);
    for (size_t i = 0; table != NULL && s->twins != NULL && i < x->count; i++) {
        const unsigned char *id = index_at(x, i)->id;
        size_t slot = ((size_t)id[0] | (size_t)id[1] << 8 | (size_t)id[2] << 16 | (size_t)id[3] << 24) % size;

        while (table[slot] != 0 && memcmp(index_at(x, table[slot] - 1)->id, id, sizeof index_at(x, i)->id) != 0)
            slot = (slot + 1) % size;
        if (table[slot] != 0)
            s->twins[i] = s->twins[table[slot] - 1] + 1;
        table[slot] = (uint32_t)i + 1;
    }
    if (table == NULL) {
        free(s->twins);
        s->twins = NULL;
    }
    free(table);
    return s->twins != NULL;
}

static void
do_uidl(struct session *s, const struct request *r)
{
    char id[64];

    if (!find_twins(s)) {
        say("%s: no unique-ids: %s", s->peer, strerror(ENOMEM));
        no(s, "[SYS/TEMP] out of memory");
    } else if (r->message != NULL) {
        *put_id(id, s, (size_t)r->number - 1) = '\0';
        ok(s, "%" PRIu64 " %s", r->number, id);
    } else {
        ok(s, "unique-ids follow");
        list(s, put_id);
    }
}

static void
do_noop(struct session *s, const struct request *r)
{
    (void)r;
    ok(s, "still here");
}

static void
do_rset(struct session *s, const struct request *r)
{
    (void)r;
    free(s->deleted);
    s->deleted = NULL;
    s->marked = 0;
    s->marked_octets = 0;
    ok(s, "%zu message%s, none marked", s->store->index.count, plural(s->store->index.count));
}

/* Always +OK: whether there is such a user is nobody's business before the password is right. */
static void
do_user(struct session *s, const struct request *r)
{
    put_format(s->user, sizeof s->user, "%s", r->argument);
    ok(s, "and the password?");
}

/* Compares two texts in a time that does not tell where they differ. Both arrays have SECRET_MAX + 1. */
static bool
same_secret(const char *a, const char *b)
{
    char x[SECRET_MAX + 1] = "", y[SECRET_MAX + 1] = "";
    unsigned char difference = 0;

    memcpy(x, a, strnlen(a, SECRET_MAX));
    memcpy(y, b, strnlen(b, SECRET_MAX));
    for (size_t i = 0; i < sizeof x; i++)
        difference |= (unsigned char)(x[i] ^ y[i]);
    return difference == 0 && strlen(a) <= SECRET_MAX;
}

static void
do_pass(struct session *s, const struct request *r)
{
    const struct timespec second = {.tv_sec = 1, .tv_nsec = 0};
    const struct index *x = &s->store->index;

    if (s->user[0] == '\0') {
        mistake(s, "USER comes before PASS");
        return;
    }

    bool name = same_secret(s->user, s->settings->name);
    bool password = same_secret(r->argument, s->settings->password);
    if (name & password) {
        s->state = IN_TRANS;
        s->wire.deadline = 0;
        ok(s, "%zu message%s (%" PRIu64 " octets)", x->count, plural(x->count), x->octets);
        return;
    }
    say("%s: wrong name or password for %s", s->peer, s->user);
    s->user[0] = '\0';
    wire_flush(&s->wire);
    ppoll(NULL, 0, &second, s->wire.mask);
    if (++s->tries < LOGIN_TRIES) {
        no(s, "[AUTH] wrong name or password");
    } else {
        no(s, "[AUTH] wrong name or password, and that was the last try");
        s->end = "error (no login)";
    }
}

/* RFC 2449 section 5. The same before and after the login, so that a client need not ask twice. */
static void
do_capa(struct session *s, const struct request *r)
{
    static const char capabilities[] =
        "TOP\r\nUIDL\r\nUSER\r\nRESP-CODES\r\nPIPELINING\r\nEXPIRE NEVER\r\n";

    (void)r;
    ok(s, "this is what I can do");
    wire_put(&s->wire, capabilities, sizeof capabilities - 1);
    if (s->settings->passfile != NULL)
        wire_put(&s->wire, "AUTH-RESP-CODE\r\n", 16);
    wire_put(&s->wire, ".\r\n", 3);
}

/*
 * The UPDATE state (RFC 1939 section 6): here, and only here, messages are removed. A client that is known to
 * be gone has not heard its earlier answers, and nothing is removed for it.
 */
static void
do_quit(struct session *s, const struct request *r)
{
    const struct index *x = &s->store->index;
    size_t failed = 0;
    int unsynced = 0;

    (void)r;
    if (!wire_flush(&s->wire))
        return;
    s->end = "quit";
    if (s->state == IN_AUTH) {
        ok(s, "goodbye");
        return;
    }
    s->wire.mask = NULL;        /* from here on no signal ends the session before its answer */
    s->wire.stop = NULL;
    for (size_t i = 0; i < x->count && s->marked > 0; i++) {
        if (!is_deleted(s, i))
            continue;
        if (store_remove(s->store, index_at(x, i))) {
            s->removed++;
        } else {
            s->stale = s->stale || errno == ESTALE;
            if (failed++ == 0)
                say("%s: cannot remove %s: %s", s->peer, x->names + index_at(x, i)->name,
                    errno == ESTALE ? "it was changed since the session began" : strerror(errno));
        }
    }
    if (s->removed > 0 && !store_sync(s->store)) {
        unsynced = errno;
        say("%s: the removals may not be on disk: %s", s->peer, strerror(unsynced));
    }
    s->wire.deadline = wire_clock() + QUIT_SECONDS * 1000;
    if (failed > 0)
        no(s, "%zu marked message%s could not be removed or had changed, %zu removed, %zu left",
           failed, plural(failed), s->removed, x->count - s->removed);
    else if (unsynced != 0)
        no(s, "%zu message%s removed, but the disk may not have it: %s",
           s->removed, plural(s->removed), strerror(unsynced));
    else
        ok(s, "%zu message%s removed, %zu left", s->removed, plural(s->removed), x->count - s->removed);
}

static void (*const handlers[POP3_VERBS])(struct session *, const struct request *) = {
    [POP3_STAT] = do_stat, [POP3_LIST] = do_list, [POP3_RETR] = do_retr, [POP3_DELE] = do_dele,
    [POP3_TOP] = do_top,   [POP3_UIDL] = do_uidl, [POP3_NOOP] = do_noop, [POP3_RSET] = do_rset,
    [POP3_USER] = do_user, [POP3_PASS] = do_pass, [POP3_CAPA] = do_capa, [POP3_QUIT] = do_quit,
};

/* ---- 6. Confinement: what is given up before a stranger is heard --------------------------------------- */

/*
 * A message that is made to break the server must find nothing to do with it. Two walls, each good alone:
 *
 *   Landlock  of the file system, a session can read and remove in the store, and nothing else; it cannot
 *             connect, nor signal another process. The parent makes the rules for the directory that it has
 *             open, which may be another tomorrow; each session takes them on, not the parent.
 *   seccomp   any system call but those of a short list ends the process: with those, nothing can be
 *             executed, connected to, created or written to. A filter costs half a fork to set, and nothing
 *             to inherit; so the parent sets it, once, for itself as well. What it alone must do, fork,
 *             signal its sessions and write to the index that they share, passes with a word in an argument
 *             that the system does not look at. The word is made at random, and a session has forgotten it
 *             when it reads its first octet.
 *             (A call younger than Landlock does not exist: a later libc tries it, and then the older one.)
 *
 * Where the system lacks one of them the server does without, and says so when it starts.
 */

#ifdef HAS_SECCOMP
/* A call that is allowed where an argument, of which only these bits count, has this value. It may have several. */
struct permit {
    int call, argument;
    uint32_t bits, value;       /* bits 0: allowed whatever its arguments */
    bool parents;               /* the value is the parent's word */
};

enum { WHOLE = -1, WRITING = O_ACCMODE | O_CREAT | O_TRUNC };

static const struct permit permits[] = {
    {SYS_clone, 5, (uint32_t)WHOLE, 0, true}, {SYS_kill, 5, (uint32_t)WHOLE, 0, true},
    {SYS_openat, 2, WRITING, 0, false}, {SYS_mmap, 2, PROT_EXEC, 0, false},
#ifdef __GLIBC__                        /* what is shared stays as it is: it is the parent's and all sessions' */
    {SYS_mprotect, 2, PROT_EXEC | PROT_WRITE, 0, false}, {SYS_mprotect, 5, (uint32_t)WHOLE, 0, true},
#else                                   /* another libc's malloc() makes memory writable bit by bit */
    {SYS_mprotect, 2, PROT_EXEC, 0, false},
#endif
    {SYS_madvise, 2, ~14u, 0, false},   /* to give memory back, and huge pages; not to empty what is shared */
    {SYS_fcntl, 1, ~3u, 0, false},      /* none behind F_GETFL: a log that is appended to stays so */
    {SYS_ioctl, 1, ~2u, TIOCOUTQ, false},   /* and TIOCGWINSZ: musl asks whether a standard output is a terminal */
    {SYS_ioctl, 1, (uint32_t)WHOLE, TCGETS, false}, {SYS_ioctl, 1, (uint32_t)WHOLE, 0x802c542a, false},
                                        /* glibc does too, where it is a device; the second is TCGETS2, from 2.42 on */
#ifdef SYS_open
    {SYS_open, 1, WRITING, 0, false},
#endif

#define ALLOW(name) {SYS_ ## name, 0, 0, 0, false}
    /* the connection and the log */
    ALLOW(read), ALLOW(write), ALLOW(writev), ALLOW(sendto), ALLOW(recvfrom), ALLOW(ppoll), ALLOW(shutdown),
    ALLOW(close), ALLOW(accept), ALLOW(accept4), ALLOW(setsockopt), ALLOW(getsockopt), ALLOW(getsockname),
    ALLOW(getpeername),
#ifdef SYS_close_range
    ALLOW(close_range),
#endif
#ifdef SYS_poll
    ALLOW(poll),
#endif
    /* the store */
    ALLOW(pread64), ALLOW(lseek), ALLOW(fstat), ALLOW(newfstatat), ALLOW(statx), ALLOW(fstatfs), ALLOW(getdents64),
    ALLOW(unlinkat), ALLOW(fsync), ALLOW(inotify_init1), ALLOW(inotify_add_watch),
#ifdef SYS_stat
    ALLOW(stat), ALLOW(lstat),
#endif
    /* memory, time, signals, the end */
    ALLOW(munmap), ALLOW(mremap), ALLOW(brk), ALLOW(getrandom), ALLOW(futex), ALLOW(clock_gettime),
    ALLOW(gettimeofday), ALLOW(nanosleep), ALLOW(clock_nanosleep), ALLOW(restart_syscall), ALLOW(rt_sigaction),
    ALLOW(rt_sigprocmask), ALLOW(rt_sigpending), ALLOW(rt_sigreturn), ALLOW(wait4), ALLOW(getpid), ALLOW(gettid),
    ALLOW(getuid), ALLOW(geteuid), ALLOW(exit), ALLOW(exit_group),
    /* what a libc may ask for its own ends: glibc's qsort, for one, how much memory there is */
    ALLOW(sysinfo), ALLOW(uname), ALLOW(sched_yield), ALLOW(sched_getaffinity), ALLOW(set_robust_list),
    ALLOW(set_tid_address), ALLOW(sigaltstack), ALLOW(getppid), ALLOW(rseq),
    {SYS_prctl, 0, (uint32_t)WHOLE, 0x53564d41, false},     /* PR_SET_VMA: to name the memory that malloc gets */
    /* and to give up more */
    {SYS_prctl, 0, (uint32_t)WHOLE, PR_SET_NO_NEW_PRIVS, false}, {SYS_prlimit64, 0, (uint32_t)WHOLE, 0, false},
    ALLOW(setrlimit), ALLOW(landlock_create_ruleset), ALLOW(landlock_add_rule), ALLOW(landlock_restrict_self),
#undef ALLOW
};

#if defined __GNUC__ || defined __clang__
#define NOT_INLINE __attribute__((noinline))
#else
#define NOT_INLINE
#endif

/* memset(), which no compiler leaves out because nobody looks at what it did. */
static void *(*const volatile set_octets)(void *, int, size_t) = memset;

/* Wipes what calls have left in the registers of system calls. */
static void
wipe_registers(void)
{
    syscall(SYS_getpid, 0L, 0L, 0L, 0L, 0L, 0L);
}

/* And what the functions that its caller called have left on the stack, confine_calls() foremost. */
static NOT_INLINE void
wipe_stack(void)
{
    char frames[6 * 1024];

    set_octets(frames, 0, sizeof frames);
    wipe_registers();
}

/*
 * Confines this process and its children to these calls. Sets *word to what it may fork and signal with, or
 * to 0 when the system has no such filter and everything is as it was.
 */
static NOT_INLINE void
confine_calls(uint32_t *word)
{
    const struct sock_filter load_call = BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    struct sock_filter code[512], *at = code;

    if (getentropy(word, sizeof *word) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) != 0) {
        *word = 0;
        return;
    }
    *word |= 1;

    *at++ = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    *at++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, HAS_SECCOMP, 1, 0);
    *at++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    *at++ = load_call;
    for (const struct permit *p = permits; p < permits + sizeof permits / sizeof *permits; p++) {
        const uint32_t argument = (uint32_t)(offsetof(struct seccomp_data, args) + 8 * (size_t)p->argument);

        *at++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)p->call, 0, p->bits != 0 ? 5 : 1);
        if (p->bits != 0) {
            *at++ = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, argument);    /* its lower half */
            *at++ = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, p->bits);
            *at++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, p->parents ? *word : p->value, 0, 1);
        }
        *at++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
        if (p->bits != 0)
            *at++ = load_call;
    }
    *at++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, SYS_landlock_restrict_self, 1, 0);
    *at++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    *at++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);

    const struct sock_fprog program = {.len = (unsigned short)(at - code), .filter = code};
    if (prctl(PR_SET_SECCOMP, (long)SECCOMP_MODE_FILTER, &program, 0L, 0L) != 0)
        *word = 0;
}

/* Forks, with the word of confine_calls if there is one. Returns as fork() does. */
static NOT_INLINE pid_t
fork_with(const uint32_t *word)
{
    pid_t pid;

    if (*word == 0)
        return fork();
    pid = (pid_t)syscall(SYS_clone, (long)SIGCHLD, 0L, 0L, 0L, 0L, (long)*word);
    wipe_registers();           /* before a signal's frame takes them to the stack */
    return pid;
}

/* Signals a session to end, with the word if there is one. */
static void
end_with(const uint32_t *word, pid_t pid)
{
    if (*word == 0)
        kill(pid, SIGTERM);
    else
        syscall(SYS_kill, (long)pid, (long)SIGTERM, 0L, 0L, 0L, (long)*word);
}

/* Takes the word from a session: where it is kept, and where the frames of fork_with() and protect() were. */
static NOT_INLINE void
forget(uint32_t *word)
{
    char frame[4 * 1024];

    set_octets(frame, 0, sizeof frame);
    wipe_registers();
    *word = 0;
}
#else
static void
wipe_stack(void)
{
}

static void
confine_calls(uint32_t *word)
{
    *word = 0;
}

static pid_t
fork_with(const uint32_t *word)
{
    (void)word;
    return fork();
}

static void
end_with(const uint32_t *word, pid_t pid)
{
    (void)word;
    kill(pid, SIGTERM);
}

static void
forget(uint32_t *word)
{
    (void)word;
}
#endif

/* Returns the version of Landlock that the system has, 0 for none, or -1 with errno set when it does not say. */
static int
landlock_version(void)
{
#ifdef HAS_LANDLOCK
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0L, 1L);

    /* EPERM is what a container or a unit says that allows only the calls it knows. */
    return version >= 0 ? (int)version : errno == ENOSYS || errno == EOPNOTSUPP || errno == EPERM ? 0 : -1;
#else
    return 0;
#endif
}

#ifdef HAS_LANDLOCK
/*
 * Makes the rules by which a session can read and remove in the store's directory, and nothing else, if they
 * are not made. Returns false, with errno set, when that failed.
 */
static bool
confine_prepare(struct store *store)
{
    const int version = store->landlock;
    const int rights = version < 2 ? 13 : version < 3 ? 14 : version < 5 ? 15 : version < 9 ? 16 : 17;
    /* struct landlock_ruleset_attr, which grew: what a version does not know must be 0 there. */
    const struct { uint64_t files, network, scopes; } given_up = {
        .files = (UINT64_C(1) << rights) - 1,               /* sockets with a path too, from 9 on */
        .network = version < 4 ? 0 : version < 10 ? 3 : 15, /* TCP, then UDP */
        .scopes = version < 6 ? 0 : 3
    };
    /* At each open() the kernel asks whether truncate() would be allowed, up to the root if it is not: half of
     * what Landlock costs. What may be removed may as well be emptied, and seccomp allows no such call. */
    const uint64_t truncate = version < 3 ? 0 : UINT64_C(1) << 14;
    const struct landlock_path_beneath_attr kept = {
        .allowed_access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE | truncate,
        .parent_fd = store->directory
    };

    if (version == 0 || store->rules >= 0)
        return true;
    store->rules = (int)syscall(SYS_landlock_create_ruleset, &given_up, sizeof given_up, 0L);
    if (store->rules >= 0 && prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) == 0 &&
        syscall(SYS_landlock_add_rule, (long)store->rules, (long)LANDLOCK_RULE_PATH_BENEATH, &kept, 0L) == 0)
        return true;
    if (store->rules >= 0)
        close_quietly(store->rules);
    store->rules = -1;
    return false;
}

/* Keeps this process to these rules, which it will never add to. Returns false, with errno set, when that failed. */
static bool
confine_files(const struct store *store)
{
    return store->landlock == 0 ||
           (syscall(SYS_landlock_restrict_self, (long)store->rules, 0L) == 0 && close(store->rules) == 0);
}

/*
 * Sees to it that a session starts no process, leaves no core with mail in it, and takes no more memory
 * than it can need: the libraries, the index, and what it has of its own. Returns false, with errno set, when
 * the system does not take such a limit.
 */
static bool
confine_resources(const struct index *x)
{
    const struct rlimit none = {.rlim_cur = 0, .rlim_max = 0};
    bool done = setrlimit(RLIMIT_NPROC, &none) == 0;

    done = setrlimit(RLIMIT_CORE, &none) == 0 && done;
#ifndef SANITIZED
    const uint64_t memory = SESSION_MEMORY + x->count * SESSION_MEMORY_EACH + x->room * sizeof *x->messages +
                            x->names_room + x->order_room * sizeof *x->order;
    const struct rlimit limit = {.rlim_cur = (rlim_t)memory, .rlim_max = (rlim_t)memory};

    done = setrlimit(RLIMIT_AS, &limit) == 0 && done;
#else
    (void)x;
#endif
    return done;
}

/* Gives up what a session on this store does not need. Returns false, with errno set, when it could not. */
static bool
confine_session(const struct store *store)
{
    if (!confine_resources(&store->index))
        say("a session does without one of its limits: %s", strerror(errno));
    return confine_files(store);
}
#else
static bool
confine_prepare(struct store *store)
{
    (void)store;
    return true;
}

static bool
confine_session(const struct store *store)
{
    (void)store;
    return true;
}
#endif

/*
 * When root has started the server, becomes the owner of the store and stays that. Returns false, having said
 * why, when that failed.
 */
static bool
become_owner(const char *path)
{
    struct stat status;

    if (geteuid() != 0 || stat(path, &status) != 0 || status.st_uid == 0)
        return true;            /* a store that is not there is told of where it is read */
    if (setgroups(1, &status.st_gid) != 0 || setgid(status.st_gid) != 0 || setuid(status.st_uid) != 0) {
        say("%s: cannot become its owner, uid %lu: %s", path, (unsigned long)status.st_uid, strerror(errno));
        return false;
    }
    return true;
}

/* Says how far the sessions are confined, with the version of Landlock, or 0. */
static void
tell_confinement(bool calls, unsigned version)
{
    if (calls && version > 0)
        say("a session can read and remove mail in the store, and nothing else (seccomp, Landlock %u)", version);
    else if (version > 0)
        say("a session can reach no files but the store's (Landlock %u); other calls are open: no seccomp here", version);
    else if (calls)
        say("a session can write to no file and connect to nobody (seccomp), but read and remove all: no Landlock here");
    else
        say("a session can do all that its user can: neither seccomp nor Landlock here");
    if (geteuid() == 0)
        say("warning: the store belongs to root, so root serves it; give it to a user of its own with chown");
}

/* ---- 7. A session ------------------------------------------------------------------------------------ */

/*
 * Finds out which message and how many lines a command means. Returns false when it means none, having
 * told the client why.
 */
static bool
understand(struct session *s, const struct pop3_request *typed, struct request *r)
{
    const struct pop3_command *command = &pop3_commands[typed->verb];
    size_t count = s->store->index.count;

    *r = (struct request){.argument = typed->argument[0]};
    if (!command->on_message || typed->count == 0)
        return true;
    if (!pop3_number(typed->argument[0], UINT64_MAX, &r->number) || r->number == 0)
        mistake(s, "a message number is digits, from 1 on");
    else if (r->number > count)
        mistake(s, "no message %" PRIu64 ", there %s %zu", r->number, count == 1 ? "is" : "are", count);
    else if (is_deleted(s, (size_t)r->number - 1))
        mistake(s, "message %" PRIu64 " is marked as deleted", r->number);
    else if (typed->count > 1 && !pop3_number(typed->argument[1], UINT32_MAX, &r->lines))
        mistake(s, "a number of lines is digits, up to %" PRIu32, UINT32_MAX);
    else
        r->message = index_at(&s->store->index, (size_t)r->number - 1);
    return r->message != NULL;
}

/* Answers one command line, of that length and without its end. */
static void
obey(struct session *s, char *line, size_t length)
{
    bool nul = strlen(line) != length;
    struct pop3_request typed = pop3_parse(line);
    const struct pop3_command *command = &pop3_commands[typed.verb < POP3_VERBS ? typed.verb : POP3_NOOP];
    bool login = command->where == IN_AUTH, login_needed = s->settings->passfile != NULL;
    struct request request;
    int mistakes = s->mistakes;

    if (nul)
        mistake(s, "a NUL has no place in a command");
    else if (typed.word[0] == '\0')
        mistake(s, "an empty line is no command");
    else if (typed.verb == POP3_VERBS)
        mistake(s, "no such command; try STAT LIST RETR DELE TOP UIDL NOOP RSET CAPA QUIT");
    else if ((command->where & s->state) == 0 && (login_needed || !login))
        mistake(s, s->state == IN_AUTH ? "log in first, with USER and PASS" : "you are logged in already");
    else if (typed.count < command->min || typed.count > command->max)
        mistake(s, "%s arguments; say %s%s%s", typed.count < command->min ? "missing" : "too many",
                command->name, command->max > 0 ? " " : "", command->arguments);
    else if (login && !login_needed)
        ok(s, "no login is needed here");
    else if (understand(s, &typed, &request))
        handlers[typed.verb](s, &request);
    if (s->mistakes == mistakes)
        s->mistakes = 0;        /* in a row: this was none */
}

/* Says why a session is over whose wire has failed; room is for an error of the system's. */
static const char *
wire_reason(int error, char room[100])
{
    switch (error) {
    case WIRE_CLOSED:
    case ECONNRESET:
        return "disconnected";
    case ETIMEDOUT:
        return "idle";
    case EINTR:
        return "server stopped";
    case EBADMSG:
        return "error (message changed or unreadable)";
    default:
        put_format(room, 100, "error (%s)", strerror(error));
        return room;
    }
}

/*
 * Closes so that the last answer arrives: a socket that is closed with input unread drops what it sent.
 * The client is told that no more comes, and then gets a moment to close as well.
 */
static void
session_part(struct session *s)
{
    struct wire *w = &s->wire;
    size_t taken = 0;

    if (!w->socket || shutdown(w->out, SHUT_WR) != 0)
        return;
    w->deadline = wire_clock() + PARTING_SECONDS * 1000;
    while (taken < 1024 * 1024 && wire_fill(w)) {
        taken += w->in_end - w->in_start;
        w->in_start = w->in_end;
    }
}

/* Holds a session on two descriptors, from the greeting to its end. Returns the exit status for it. */
static int
session_run(struct session *s)
{
    struct wire *w = &s->wire;
    const struct index *x = &s->store->index;
    char reason[100];
    bool unheard;

    say("%s: session starts", s->peer);
    s->file = -1;
    w->idle_ms = (int)s->settings->idle_seconds * 1000;
    if (s->settings->passfile == NULL) {
        s->state = IN_TRANS;
        ok(s, "POP3 server ready, no login is needed");
    } else {
        s->state = IN_AUTH;
        w->deadline = wire_clock() + LOGIN_SECONDS * 1000;
        ok(s, "POP3 server ready, log in with USER and PASS");
    }
    while (s->end == NULL && w->error == 0) {
        char *line;
        size_t length;

        if (s->next > 0 && w->in_start == w->in_end && wire_flush(w))
            message_ahead(s);
        switch (wire_line(w, POP3_COMMAND_MAX, &line, &length)) {
        case WIRE_LINE:
            obey(s, line, length);
            if (w->out_end >= HANDFUL)
                wire_flush(w);  /* the client has something to do meanwhile */
            break;
        case WIRE_LINE_TOO_LONG:
            mistake(s, "a command has at most %u octets", (unsigned)POP3_COMMAND_MAX);
            break;
        case WIRE_NO_LINE:
            break;
        }
    }
    unheard = !wire_flush(w);
    if (!unheard)
        session_part(s);

    uint64_t tenths = (uint64_t)(wire_clock() - s->began + 50) / 100;
    say("%s: %s%s%s retr=%zu/%" PRIu64 " top=%zu del=%zu left=%zu %" PRIu64 ".%" PRIu64 " s", s->peer,
        s->end != NULL ? s->end : "", s->end != NULL && unheard ? ", its answer unheard: " : "",
        unheard ? wire_reason(w->error, reason) : "", s->retrieved, s->retrieved_octets, s->topped, s->removed,
        x->count - s->removed, tenths / 10, tenths % 10);
    return s->stale ? EXIT_STALE : 0;
}

/*
 * Makes a session of two open descriptors, confines it and holds it. Signals are blocked here, and mask lets them in.
 * Returns an exit status; the process is about to end, so nothing is freed.
 */
static int
serve(const struct settings *settings, const struct store *store, const char *peer, int in, int out,
      const sigset_t *mask)
{
    /* The one of this process. Memory that nobody touched costs nothing; a mapping of its own would. */
    static struct session session;
    struct session *s = &session;

    if (!confine_session(store)) {
        const char *sorry = "-ERR [SYS/TEMP] out of resources, try again later\r\n";

        say("%s: cannot start a session: %s", peer, strerror(errno));
        if (write(out, sorry, strlen(sorry)) < 0)
            say("%s: %s", peer, strerror(errno));
        return 1;
    }
    s->settings = settings;
    s->store = store;
    s->began = wire_clock();
    put_format(s->peer, sizeof s->peer, "%s", peer);
    wire_open(&s->wire, in, out);
    if (!settings->inetd)
        wire_be_brief(&s->wire);        /* nobody else's, who might read on where this session ends */
    s->wire.mask = mask;
    s->wire.stop = &stop_asked;
    return session_run(s);
}

/* ---- 8. Connections ---------------------------------------------------------------------------------- */

/* A session in another process. */
struct child {
    pid_t pid;                  /* 0: this place is free */
    sa_family_t family;
    unsigned char address[16];  /* of the peer, 4 octets of it for IPv4 */
    char peer[INET6_ADDRSTRLEN + 32];
};

struct listener {
    int sockets[ADDRESSES];
    int count;
};

/* Everything that the parent works with. */
struct server {
    const struct settings *settings;
    struct store *store;
    struct listener listener;
    struct child *children;     /* settings->sessions places */
    size_t live;                /* how many are taken */
    int64_t refused_second;     /* wire_clock's, in which a refusal was last said */
    uint64_t refused;           /* how many were not said since */
    sigset_t mask;              /* the signals as they were: let in while waiting */
    uint32_t word;              /* the parent's, of confine_calls */
};

/* An address of either family, as the system takes it. */
union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/*
 * Reads an address in digits, with a zone if it has one (fe80::1%eth0). Returns the size of it, or 0 when it is
 * none. (getaddrinfo reads them too, but comes with all that finds names, which ties a program to a libc.)
 */
static socklen_t
address_read(union address *address, const char *text, uint16_t port)
{
    const size_t length = strcspn(text, "%");
    const char *zone = text + length;
    char digits[INET6_ADDRSTRLEN] = "";
    uint64_t index = 0;

    memset(address, 0, sizeof *address);
    if (inet_pton(AF_INET, text, &address->v4.sin_addr) == 1) {
        address->v4.sin_family = AF_INET;
        address->v4.sin_port = htons(port);
        return sizeof address->v4;
    }
    memcpy(digits, text, length < sizeof digits ? length : 0);
    if (inet_pton(AF_INET6, digits, &address->v6.sin6_addr) != 1)
        return 0;
    if (*zone == '%' && (index = if_nametoindex(zone + 1)) == 0 && !pop3_number(zone + 1, UINT32_MAX, &index))
        return 0;
    address->v6.sin6_family = AF_INET6;
    address->v6.sin6_port = htons(port);
    address->v6.sin6_scope_id = (uint32_t)index;
    return sizeof address->v6;
}

enum { ZONE_TEXT = 12, HOST_TEXT = INET6_ADDRSTRLEN + ZONE_TEXT };

/*
 * Writes an address in digits, with the number of its zone if it has one. (The zone's name would take calls
 * that confine_calls does not allow.) Returns its port, or -1 when it is not a network's.
 */
static int
address_text(const union address *address, char host[HOST_TEXT])
{
    if (address->any.sa_family == AF_INET) {
        const uint32_t a = ntohl(address->v4.sin_addr.s_addr);

        put_format(host, HOST_TEXT, "%u.%u.%u.%u", a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255);
        return ntohs(address->v4.sin_port);
    }
    if (address->any.sa_family != AF_INET6 || inet_ntop(AF_INET6, &address->v6.sin6_addr, host, HOST_TEXT) == NULL)
        return -1;
    if (address->v6.sin6_scope_id != 0)
        put_format(host + strlen(host), ZONE_TEXT, "%s%" PRIu32, "%", address->v6.sin6_scope_id);
    return ntohs(address->v6.sin6_port);
}

/* Writes who is at the other end of a connection: 127.0.0.1:4711, [::1]:4711, or that it is no network's. */
static void
peer_text(char *text, size_t room, const union address *address)
{
    char host[HOST_TEXT];
    int port = address_text(address, host);

    if (port < 0)
        put_format(text, room, "standard input");
    else
        put_format(text, room, address->any.sa_family == AF_INET6 ? "[%s]:%u" : "%s:%u", host, (unsigned)port);
}

/* Says whether only this machine can come from, or to, an address. */
static bool
is_loopback(const union address *address)
{
    if (address->any.sa_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&address->v6.sin6_addr);
    return ntohl(address->v4.sin_addr.s_addr) >> 24 == 127;
}

/* Returns a socket that listens on a numeric address and port, or -1 with errno set. */
static int
listen_on(const char *host, uint16_t port)
{
    union address address;
    const socklen_t length = address_read(&address, host, port);
    const int on = 1;
    int fd;

    if (length == 0) {
        errno = EADDRNOTAVAIL;  /* its zone is gone */
        return -1;
    }
    fd = socket(address.any.sa_family, SOCK_STREAM, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);   /* its connections have it too */
    if (address.any.sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    /* Not to be stuck in accept() for a client that went between the two calls. */
    fcntl(fd, F_SETFL, O_NONBLOCK);
    if (bind(fd, &address.any, length) != 0 || listen(fd, SOMAXCONN) != 0) {
        close_quietly(fd);
        return -1;
    }
    return fd;
}

/* Says why an address cannot be listened on, and what to do about it. */
static void
say_listen_error(const char *host, uint64_t port, int error)
{
    const char *advice = error == EADDRINUSE ? "; does another server run? Try another port" :
                         error == EACCES ? "; ports below 1024 are for root: try one above" :
                         error == EADDRNOTAVAIL ? "; -a takes an address of this machine" : "";

    say("cannot listen on %s port %" PRIu64 ": %s%s", host, port, strerror(error), advice);
}

/*
 * Listens on every address once, with one_port on the port that the first one got. A family that this machine
 * has not is skipped if nobody asked for it. Returns NULL, or with errno set the address where it cannot.
 */
static const char *
listen_on_each(struct listener *l, const struct settings *settings, bool one_port)
{
    static const char *const loopback[] = {"127.0.0.1", "::1"};
    const bool asked = settings->address_count > 0;
    const char *const *hosts = asked ? settings->addresses : loopback;
    uint16_t port = (uint16_t)settings->port;

    for (int i = 0; i < (asked ? settings->address_count : 2); i++) {
        union address address = {.any = {.sa_family = AF_UNSPEC}};
        socklen_t length = sizeof address;
        char host[HOST_TEXT];
        int fd = listen_on(hosts[i], port);

        if (fd < 0 && !asked && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL))
            continue;
        if (fd < 0)
            return hosts[i];
        l->sockets[l->count++] = fd;
        if (one_port && getsockname(fd, &address.any, &length) == 0)
            port = (uint16_t)address_text(&address, host);
    }
    return NULL;
}

/*
 * Listens on every address. Port 0 is the kernel's choice for the first one and the same for the rest, unless
 * it is taken there every time. Returns false, having said why, when that cannot be.
 */
static bool
listen_on_all(struct listener *l, const struct settings *settings)
{
    const char *refused = NULL;

    for (int tries = 20; tries >= 0; tries--) {
        refused = listen_on_each(l, settings, tries > 0);
        if (refused == NULL || errno != EADDRINUSE || settings->port != 0)
            break;
        while (l->count > 0)
            close(l->sockets[--l->count]);
    }
    if (refused != NULL)
        say_listen_error(refused, settings->port, errno);
    else if (l->count == 0)
        say("this machine has neither 127.0.0.1 nor ::1; name an address with -a");
    return refused == NULL && l->count > 0;
}

/* Says on standard output where the server listens, and on standard error who can reach it there. */
static void
tell_listening(const struct listener *l, const struct settings *settings)
{
    bool open = false;

    for (int i = 0; i < l->count; i++) {
        union address address = {.any = {.sa_family = AF_UNSPEC}};
        socklen_t length = sizeof address;
        char host[HOST_TEXT];
        int port;

        if (getsockname(l->sockets[i], &address.any, &length) != 0 || (port = address_text(&address, host)) < 0)
            continue;
        printf("listening on %s port %d\n", host, port);
        open = open || !is_loopback(&address);
    }
    if (fflush(stdout) != 0)
        say("cannot say on standard output where it listens: %s", strerror(errno));
    if (!open)
        say("only this machine can connect; -a ADDRESS listens elsewhere, -a 0.0.0.0 everywhere");
    else if (settings->passfile == NULL)
        say("warning: anybody who reaches this machine can read and remove the mail; -p asks for a password");
}

/*
 * Gives back the places of the sessions that have ended, and says which of them did not end by themselves.
 * When one met a file that is not as the index says, all are looked at before the next: it may have changed
 * in a way of which the system does not tell, such as through a second name made after the first look.
 */
static void
reap(struct server *server)
{
    int status;
    pid_t pid;

    if (child_ended)
        child_ended = 0;        /* (a page that is not written to need not be copied after a fork) */
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (size_t i = 0; i < server->settings->sessions; i++) {
            struct child *child = &server->children[i];

            if (child->pid != pid)
                continue;
            if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_STALE)
                store_close(server->store);
            if (WIFSIGNALED(status))
                say("%s: session killed by signal %u%s", child->peer, (unsigned)WTERMSIG(status),
                    WTERMSIG(status) == SIGSYS ? ", for a call that no session makes" : "");
            child->pid = 0;
            server->live--;
            break;
        }
    }
}

/*
 * Turns a connection away with one answer. The parent waits for nobody: it sends what goes at once. It says
 * so once a second at most, or many connections would fill the log.
 */
static void
refuse(struct server *server, int connection, const char *peer, const char *reason)
{
    char line[POP3_STATUS_MAX], unread[4096];
    size_t length = put_format(line, sizeof line, "-ERR [SYS/TEMP] %s\r\n", reason);
    int64_t now = wire_clock() / 1000;

    if (now == server->refused_second) {
        server->refused++;
    } else {
        if (server->refused > 0)
            say("%" PRIu64 " more refused", server->refused);
        say("%s: refused, %s", peer, reason);
        server->refused_second = now;
        server->refused = 0;
    }
    if (send(connection, line, length, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
        shutdown(connection, SHUT_WR);
    for (int i = 0; i < 16 && recv(connection, unread, sizeof unread, MSG_DONTWAIT) > 0; i++)
        continue;               /* what is unread when it is closed would take the answer away */
    close(connection);
}

/* Returns zeroed memory that a fork leaves out, where it can: no page of it is copied, no session sees it. Or NULL. */
static void *
parents_memory(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

#ifdef MADV_DONTFORK
    if (memory != MAP_FAILED)
        madvise(memory, size, MADV_DONTFORK);
#endif
    return memory == MAP_FAILED ? NULL : memory;
}

/* Notes in a free place who a session is for. Returns NULL when it may not be, with the reason. */
static struct child *
find_place(struct server *server, const union address *peer, const char **reason)
{
    const uint64_t sessions = server->settings->sessions, share = sessions < 4 ? 1 : sessions / 4;
    struct child *place = NULL, wanted = {.family = peer->any.sa_family};
    uint64_t same = 0;

    if (wanted.family == AF_INET6)
        memcpy(wanted.address, &peer->v6.sin6_addr, 16);
    else
        memcpy(wanted.address, &peer->v4.sin_addr, 4);

    for (size_t i = 0; i < sessions; i++) {
        struct child *child = &server->children[i];

        if (child->pid == 0)
            place = place == NULL ? child : place;
        else if (child->family == wanted.family && memcmp(child->address, wanted.address, sizeof wanted.address) == 0)
            same++;
    }
    if (place == NULL) {
        *reason = "too many sessions, try again later";
    } else if (same >= share && !is_loopback(peer)) {
        *reason = "too many sessions from your address, try again later";
        place = NULL;
    } else {
        *place = wanted;
    }
    return place;
}

/*
 * Closes in a session all that the parent has open and the session does not need, and what was left open in
 * whoever started the server; on a system without close_range, only the former. (The parent keeps what it was
 * given: a lock may hang on it.)
 */
static void
leave_descriptors(const struct server *server, int connection)
{
    const struct store *store = server->store;

#if defined HAS_INOTIFY && defined SYS_close_range
    const int kept[] = {store->directory, store->rules, connection};
    long from = STDERR_FILENO + 1, next;
    bool done = true;

    do {
        next = INT_MAX;
        for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
            if (kept[i] >= from && kept[i] < next)
                next = kept[i];
        if (from < next)
            done = syscall(SYS_close_range, from, next < INT_MAX ? next - 1 : next, 0L) == 0 && done;
        from = next < INT_MAX ? next + 1 : next;
    } while (next < INT_MAX);
    if (done)
        return;
#else
    (void)connection;
#endif
    for (int i = 0; i < server->listener.count; i++)
        close(server->listener.sockets[i]);
    if (store->watch >= 0)
        close(store->watch);
}

/* Accepts a connection, if it is still there, and starts its session on the store as it is now. */
static void
accept_session(struct server *server, int listening)
{
    const struct timespec pause = {.tv_sec = 0, .tv_nsec = 100 * 1000 * 1000};
    union address address = {.any = {.sa_family = AF_UNSPEC}};
    socklen_t length = sizeof address;
    struct child *place;
    const char *reason = "";
    char peer[sizeof place->peer];
    pid_t pid;
    int connection = accept(listening, &address.any, &length);

    if (connection < 0) {
        /* Out of something: the connection stays in the queue and would wake us again at once. */
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            say("cannot accept a connection: %s", strerror(errno));
            ppoll(NULL, 0, &pause, &server->mask);
        }
        return;
    }
    peer_text(peer, sizeof peer, &address);
    reap(server);
    place = find_place(server, &address, &reason);
    if (place == NULL) {
        refuse(server, connection, peer, reason);
        return;
    }
    if (!store_refresh(server->store, false)) {
        say("%s: %s", server->store->path, strerror(errno));
        refuse(server, connection, peer, "the mail cannot be read at the moment");
        return;
    }
    if (!confine_prepare(server->store)) {
        say("cannot confine a session: %s", strerror(errno));
        refuse(server, connection, peer, "too busy, try again later");
        return;
    }

    pid = fork_with(&server->word);
    if (pid == 0) {
        forget(&server->word);
        leave_descriptors(server, connection);
        _exit(serve(server->settings, server->store, peer, connection, connection, &server->mask));
    }
    if (pid < 0) {
        say("cannot start a session: %s", strerror(errno));
        refuse(server, connection, peer, "too busy, try again later");
        return;
    }
    place->pid = pid;
    memcpy(place->peer, peer, sizeof place->peer);
    server->live++;
    close(connection);
}

/*
 * Serves until a signal says stop, then tells the sessions and waits for them; a second signal does not wait.
 *
 * The end of a session is noticed when the next one comes, or when none has come for a moment: if it
 * interrupted every wait for a connection, a short session would cost a tenth more.
 */
static void
serve_connections(struct server *server)
{
    const struct timespec moment = {.tv_sec = 0, .tv_nsec = 5 * 1000 * 1000};
    sigset_t mask = server->mask, blocked;
    struct pollfd ready[ADDRESSES];
    int count = 0;

    sigaddset(&mask, SIGCHLD);
    while (!stop_asked && !stop_waits()) {     /* ppoll lets none in while a connection is ready */
        const bool busy = count > 0;

        for (int i = 0; i < server->listener.count; i++)
            ready[i] = (struct pollfd){.fd = server->listener.sockets[i], .events = POLLIN};
        count = ppoll(ready, (nfds_t)server->listener.count, busy ? &moment : NULL, busy ? &mask : &server->mask);
        if (count > 0)
            for (int i = 0; i < server->listener.count; i++)
                if (ready[i].revents != 0)
                    accept_session(server, server->listener.sockets[i]);
        if (child_ended)
            reap(server);
    }

    for (int i = 0; i < server->listener.count; i++)
        close(server->listener.sockets[i]);
    for (size_t i = 0; i < server->settings->sessions; i++)
        if (server->children[i].pid > 0)
            end_with(&server->word, server->children[i].pid);
    sigprocmask(SIG_SETMASK, &server->mask, &blocked);  /* the one that was only seen waiting is no second one */
    sigprocmask(SIG_SETMASK, &blocked, NULL);
    stop_asked = 0;
    for (reap(server); server->live > 0 && !stop_asked; reap(server))
        ppoll(NULL, 0, NULL, &server->mask);
    if (server->refused > 0)
        say("%" PRIu64 " more refused", server->refused);
    say("stopped");
}

/* ---- 9. main ----------------------------------------------------------------------------------------- */

static const char usage[] =
    "usage: server [-hiV] [-a address]... [-d directory] [-n sessions] [-p passfile]\n"
    "              [-t seconds] [port]\n";

static const char help[] =
    "\n"
    "Serves a directory of messages, one a file, by POP3. The port is " POP3_PORT " if none\n"
    "is given; with 0 the kernel chooses one.\n"
    "\n"
    "  -a ADDRESS    listen on this address, in digits, instead of 127.0.0.1 and ::1;\n"
    "                may be repeated\n"
    "  -d DIRECTORY  where the messages are (mail)\n"
    "  -i            serve one session on standard input and output, then exit\n"
    "  -n SESSIONS   the most at once (256)\n"
    "  -p PASSFILE   require a login; the file holds one line name:password and is\n"
    "                readable by its owner alone\n"
    "  -t SECONDS    close a session that was idle for so long (600)\n"
    "  -h, --help    say this\n"
    "  -V, --version say which version this is\n";

/* Says what is wrong with the command line, and ends the program. */
static _Noreturn void __attribute__((format(printf, 1, 2)))
misused(const char *format, ...)
{
    char text[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    say("%s; --help lists what there is", text);
    exit(2);
}

/* Reads a number of an option, from min to max, or ends the program. */
static uint64_t
option_number(char option, const char *text, uint64_t min, uint64_t max)
{
    uint64_t number;

    if (!pop3_number(text, max, &number) || number < min)
        misused("-%c takes a number from %" PRIu64 " to %" PRIu64 ", not %s", option, min, max, text);
    return number;
}

/* Notes an address to listen on, or ends the program. */
static void
option_address(struct settings *settings, const char *text)
{
    union address address;

    if (settings->address_count == ADDRESSES)
        misused("-a can be given %d times", ADDRESSES);
    if (address_read(&address, text, 0) == 0)
        misused("-a takes an address in digits, such as 0.0.0.0 or ::1, not %s", text);
    settings->addresses[settings->address_count++] = text;
}

/* Reads the command line. Ends the program when it was asked what there is, or something else it is not. */
static void
read_options(struct settings *settings, int argc, char **argv)
{
    static const struct option names[] = {
        {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {NULL, 0, NULL, 0}
    };
    const char *port = POP3_PORT;
    int option;

    opterr = 0;
    while ((option = getopt_long(argc, argv, ":a:d:hin:p:t:V", names, NULL)) != -1) {
        switch (option) {
        case 'a':
            option_address(settings, optarg);
            break;
        case 'd':
            if (*optarg == '\0')
                misused("-d names a directory, and this one has no name");
            settings->directory = optarg;
            break;
        case 'h':
            printf("%s%s", usage, help);
            exit(0);
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
        case 'V':
            printf("pop3 server %s\n", POP3_VERSION);
            exit(0);
        case ':':
            misused("-%c needs a value", optopt);
        default:
            if (optopt == 'h' || optopt == 'V')
                misused("%s: that option takes no value", argv[optind - 1]);
            if (optopt != 0)
                misused("there is no option -%c", optopt);
            misused("there is no option %s", argv[optind - 1]);
        }
    }
    if (optind < argc) {
        port = argv[optind++];
        if (settings->inetd)
            misused("-i takes no port");
    }
    if (!pop3_number(port, 65535, &settings->port))
        misused("a port is a number from 0 to 65535, not %s", port);
    if (optind < argc)
        misused("one port is enough, and %s is one more", argv[optind]);
}

/* Reads the file with the name and the password. Returns false, having said why, when it will not do. */
static bool
read_passfile(struct settings *settings)
{
    char text[2 * SECRET_MAX + 8], *colon, *end;
    int file = open(settings->passfile, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat status;
    ssize_t count = 0;
    size_t length = 0;

    if (file >= 0 && fstat(file, &status) == 0)
        while (length < sizeof text - 1 &&      /* a part of it would be another password */
               ((count = read(file, text + length, sizeof text - 1 - length)) > 0 || (count < 0 && errno == EINTR)))
            length += count > 0 ? (size_t)count : 0;
    else
        count = -1;
    if (count < 0) {
        say("%s: %s; -p names the file that holds name:password", settings->passfile, strerror(errno));
        return false;
    }
    close(file);
    text[length] = '\0';
    if (!S_ISREG(status.st_mode) || (status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        say("%s: must be a file that only its owner can read: chmod 600 %s", settings->passfile, settings->passfile);
        return false;
    }
    end = text + strcspn(text, "\r\n");
    colon = strchr(text, ':');
    if (length == sizeof text - 1 || strlen(text) != length || end[strspn(end, "\r\n")] != '\0' || colon == NULL ||
        colon >= end || colon == text || colon + 1 == end || (size_t)(colon - text) > SECRET_MAX ||
        (size_t)(end - colon - 1) > SECRET_MAX || strcspn(text, " \t") < (size_t)(colon - text)) {
        say("%s: must hold one line name:password, the name without blanks, each of at most %u octets",
            settings->passfile, (unsigned)SECRET_MAX);
        return false;
    }
    memcpy(settings->name, text, (size_t)(colon - text));
    memcpy(settings->password, colon + 1, (size_t)(end - colon - 1));
    return true;
}

static void
note_signal(int number)
{
    if (number == SIGCHLD)
        child_ended = 1;
    else
        stop_asked = 1;
}

/*
 * Blocks the signals that the program takes notice of, and returns in *mask how it was before. One that is
 * ignored stays so, as nohup means it, and for -i who runs it: a client keeps ^C to itself. (A shell's
 * background jobs ignore SIGINT too, but a server is told to stop by it all the same.)
 */
static void
catch_signals(sigset_t *mask, bool inetd)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD};
    struct sigaction action = {.sa_handler = note_signal};
    sigset_t blocked;

    sigemptyset(&action.sa_mask);
    sigemptyset(&blocked);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction before;

        sigaction(numbers[i], NULL, &before);
        if (before.sa_handler == SIG_IGN && (numbers[i] == SIGHUP || (numbers[i] == SIGINT && inetd)))
            continue;
        sigaction(numbers[i], &action, NULL);
        sigaddset(&blocked, numbers[i]);
    }
    sigprocmask(SIG_BLOCK, &blocked, mask);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        sigdelset(mask, numbers[i]);
}

static bool
is_closed(int fd)
{
    return fcntl(fd, F_GETFD) < 0 && errno == EBADF;
}

/* Sees to it that 0, 1 and 2 are open, so that no connection ever gets one of these numbers. */
static void
open_standard_files(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd > STDERR_FILENO)
        close(fd);
}

/*
 * Leaves standard input and output, for nothing more is read or said there: a terminal, maybe, or somebody's
 * pipe, and no session's to use. Each number is free for a moment, and the next file that is opened has it.
 */
static void
leave_standard_files(void)
{
    int null = open("/dev/null", O_RDONLY);

    if (null < 0)
        return;                 /* better somebody's than a connection's */
    close(null);
    for (int fd = STDIN_FILENO; fd <= STDOUT_FILENO; fd++) {
        close(fd);
        open("/dev/null", O_RDONLY);
    }
}

/* Has a log that is a file only be added to, whatever a session would like; 2>>file says the same. */
static void
protect_log(void)
{
    struct stat log;
    int flags = fcntl(STDERR_FILENO, F_GETFL);

    if (flags >= 0 && fstat(STDERR_FILENO, &log) == 0 && S_ISREG(log.st_mode))
        fcntl(STDERR_FILENO, F_SETFL, flags | O_APPEND);
}

/* Says whether standard error is the connection itself, as inetd has it: then nothing may be said there. */
static bool
stderr_is_stdout(void)
{
    struct stat out, err;

    return fstat(STDOUT_FILENO, &out) == 0 && fstat(STDERR_FILENO, &err) == 0 && out.st_dev == err.st_dev &&
           out.st_ino == err.st_ino;
}

int
main(int argc, char **argv)
{
    struct settings settings = {
        .directory = "mail", .sessions = SESSIONS, .idle_seconds = IDLE_SECONDS
    };
    struct store store = {.directory = -1, .watch = -1, .rules = -1, .refreshed = INT64_MIN};
    struct server server = {.settings = &settings, .store = &store};
    union address address = {.any = {.sa_family = AF_UNSPEC}};
    socklen_t length = sizeof address;
    char peer[sizeof server.children->peer];
    const bool closed = is_closed(STDIN_FILENO) || is_closed(STDOUT_FILENO);

    open_standard_files();
    read_options(&settings, argc, argv);
    signal(SIGPIPE, SIG_IGN);
    if (settings.inetd && stderr_is_stdout())
        dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
    protect_log();
    if (settings.inetd && closed) {
        say("-i talks on standard input and output, and one of them is closed");
        return 1;
    }
    if (settings.passfile != NULL && !read_passfile(&settings))
        return 1;
    if (!settings.inetd && !listen_on_all(&server.listener, &settings))
        return 1;

    store.path = settings.directory;
    if (!become_owner(store.path))
        return 1;
    if (!store_refresh(&store, true)) {
        say("%s: %s; -d names the directory with the messages", store.path, strerror(errno));
        return 1;
    }
    /* Until now they end the program at once, however long the store is. */
    catch_signals(&server.mask, settings.inetd);
    say("%s: %zu message%s, %" PRIu64 " octets", store.path, store.index.count, plural(store.index.count),
        store.index.octets);
    store.landlock = landlock_version();
    if (store.landlock < 0) {
        say("cannot ask for Landlock, which keeps sessions to the store: %s", strerror(errno));
        return 1;
    }
    confine_calls(&server.word);
    parents_word = &server.word;
    wipe_stack();
    tell_confinement(server.word != 0, (unsigned)store.landlock);

    if (!confine_prepare(&store)) {
        say("cannot confine a session: %s", strerror(errno));
        return 1;
    }
    if (settings.inetd) {
        forget(&server.word);
        getpeername(STDIN_FILENO, &address.any, &length);   /* where it is a socket */
        peer_text(peer, sizeof peer, &address);
        return serve(&settings, &store, peer, STDIN_FILENO, STDOUT_FILENO, &server.mask) == 1;
    }
    server.children = parents_memory((size_t)settings.sessions * sizeof *server.children);
    if (server.children == NULL) {
        say("no memory for %" PRIu64 " sessions; -n sets how many", settings.sessions);
        return 1;
    }
    tell_listening(&server.listener, &settings);
    leave_standard_files();
    serve_connections(&server);
    return 0;
}
