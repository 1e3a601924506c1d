/*
 * server.h - what the unit tests of server.c share: the program itself, replaced system calls,
 * stores, sessions
 *
 * Some calls are replaced: the clock can be moved and sped up, fsync() is counted and can fail or
 * take long, inotify can be missing, preads are counted, something can happen at an fstat, a signal
 * can interrupt a pselect, and memory can run out. A readdir never tells inodes, as on some file
 * systems.
 */
#ifndef UNIT_SERVER_H
#define UNIT_SERVER_H

int unit_fsync(int file);
#define fsync unit_fsync                        /* in pop3.h, too */
#define clock_gettime unit_clock_gettime
#ifdef pselect                  /* by bsd.h: what it replaced is below what this file replaces */
static int
next_pselect(int count, fd_set *in, fd_set *out, fd_set *other, const struct timespec *time,
             const sigset_t *mask)
{
    return pselect(count, in, out, other, time, mask);
}

static int
next_fstat(int file, struct stat *status)
{
    return fstat(file, status);
}

static struct dirent *
next_readdir(DIR *directory)
{
    return readdir(directory);
}

#undef pselect
#undef fstat
#undef readdir
int unit_pselect(int, fd_set *, fd_set *, fd_set *, const struct timespec *, const sigset_t *);
#else
#define next_pselect pselect
#define next_fstat fstat
#define next_readdir readdir
#endif
#define pselect unit_pselect
#include "../../pop3.h"
#include <dirent.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

/*
 * The true pread() is declared by now: with 32 bits the headers put another function in its
 * place.
 */
ssize_t unit_pread(int file, void *block, size_t length, off_t offset);
int unit_fstat(int file, struct stat *status);
struct dirent *unit_readdir(DIR *directory);
void *unit_malloc(size_t size);
void *unit_realloc(void *memory, size_t size);
void *unit_mmap(void *at, size_t size, int access, int kind, int file, off_t offset);

#define malloc unit_malloc
#define realloc unit_realloc
#define mmap unit_mmap
#define fstat unit_fstat
#define readdir unit_readdir
#define inotify_init1 unit_inotify_init1
#define pread unit_pread

int server_main(int, char **);
#define main server_main
#include "../../server.c"
#undef main

#include "unit.h"

#include <arpa/inet.h>
#include <ftw.h>
#include <poll.h>

#ifdef __GNUC__
#pragma GCC diagnostic ignored "-Wunused-function"      /* no program uses all of this */
#pragma GCC diagnostic ignored "-Wunused-variable"
#endif

/* ---- Replaced calls -------------------------------------------------------------------------- */

#undef clock_gettime
int clock_gettime(clockid_t clock, struct timespec *time);

static int64_t clock_ahead;     /* seconds that the server's clocks are ahead of the true ones */
static int clock_speed = 1;     /* how many times as fast the monotonic one goes, */
static struct timespec clock_from;      /* from this time on */

static int64_t
nanoseconds_between(const struct timespec *a, const struct timespec *b)
{
    return (b->tv_sec - a->tv_sec) * INT64_C(1000000000) + b->tv_nsec - a->tv_nsec;
}

/* While there is a file called restless, it is renamed whenever someone asks for the time. */
int
unit_clock_gettime(clockid_t clock, struct timespec *time)
{
    int result = clock_gettime(clock, time);

    if (access("store/restless", F_OK) == 0 && poll(NULL, 0, 15) == 0) {
        CHECK(rename("store/restless", "store/.x") == 0);
        CHECK(rename("store/.x", "store/restless") == 0);
    }
    if (clock_speed > 1 && clock == CLOCK_MONOTONIC) {
        int64_t passed = nanoseconds_between(&clock_from, time) * clock_speed;

        time->tv_sec = clock_from.tv_sec + 1 + (time_t)(passed / 1000000000);
        time->tv_nsec = (long)(passed % 1000000000);
    }
    time->tv_sec += (time_t)clock_ahead;
    return result;
}

#undef pselect
int pselect(int, fd_set *, fd_set *, fd_set *, const struct timespec *, const sigset_t *);

static int interruptions;       /* of the next calls */

int
unit_pselect(int count, fd_set *in, fd_set *out, fd_set *other, const struct timespec *time,
             const sigset_t *mask)
{
    errno = EINTR;
    return interruptions > 0 ? interruptions--, -1
                             : next_pselect(count, in, out, other, time, mask);
}

static int syncs, sync_error, sync_seconds;

/* Counts, lets time pass, and fails if it is to. */
int
unit_fsync(int file)
{
    syncs++;
    clock_ahead += sync_seconds;
    errno = sync_error;
    return fcntl(file, F_GETFD) < 0 || sync_error != 0 ? -1 : 0;
}

#undef fstat

static bool *stale_at_fstat;    /* set by the next call, as by a session; or NULL */
static void (*at_fstat)(void);  /* what each call for a message does, or NULL */

int
unit_fstat(int file, struct stat *status)
{
    if (stale_at_fstat != NULL)
        *stale_at_fstat = true;
    stale_at_fstat = NULL;

    int result = next_fstat(file, status);
    if (at_fstat != NULL && result == 0 && S_ISREG(status->st_mode))
        at_fstat();
    return result;
}

#undef readdir

static const char *rename_from, *rename_to;     /* what the end of the next directory does, or NULL */

struct dirent *
unit_readdir(DIR *directory)
{
    struct dirent *entry = next_readdir(directory);

    if (entry != NULL)
        entry->d_ino = 1;
    if (entry == NULL && rename_from != NULL) {
        CHECK(rename(rename_from, rename_to) == 0);
        rename_from = NULL;
        errno = 0;
    }
    return entry;
}

#ifdef HAS_INOTIFY
#undef inotify_init1
int inotify_init1(int flags);

static bool no_watch;

int
unit_inotify_init1(int flags)
{
    errno = EMFILE;
    return no_watch ? -1 : inotify_init1(flags);
}
#else
static bool no_watch = true;
#endif

#undef malloc
#undef realloc
#undef mmap

static int allocations = -1;    /* so many succeed, then one fails; -1: all succeed */

void *
unit_malloc(size_t size)
{
    errno = ENOMEM;
    return allocations >= 0 && allocations-- == 0 ? NULL : malloc(size);
}

void *
unit_realloc(void *memory, size_t size)
{
    errno = ENOMEM;
    return allocations >= 0 && allocations-- == 0 ? NULL : realloc(memory, size);
}

void *
unit_mmap(void *at, size_t size, int access, int kind, int file, off_t offset)
{
    errno = ENOMEM;
    return allocations >= 0 && allocations-- == 0 ? MAP_FAILED
                                                  : mmap(at, size, access, kind, file, offset);
}

#undef pread

static int reads;               /* number of calls */
static int read_limit;          /* bytes that one call returns at most; 0: no limit */
static bool stop_at_read;       /* every call gets a SIGTERM */
static int close_at_read = -1;  /* a descriptor that the next call closes */
static const char *write_at_read;       /* a file that every call appends to, or NULL */

ssize_t
unit_pread(int file, void *block, size_t length, off_t offset)
{
    reads++;
    if (stop_at_read)
        raise(SIGTERM);
    close(close_at_read);
    close_at_read = -1;
    if (write_at_read != NULL) {
        int written = open(write_at_read, O_WRONLY | O_APPEND);

        CHECK(write(written, "more\n", 5) == 5 && close(written) == 0);
    }
    return pread(file, block,
                 read_limit > 0 && length > (size_t)read_limit ? (size_t)read_limit : length,
                 offset);
}

/* ---- Files and stores ------------------------------------------------------------------------ */

static uint32_t dice_state = 1;

/* Returns a number below limit, the same ones in each run. */
static unsigned
dice(unsigned limit)
{
    dice_state = dice_state * 1664525 + 1013904223;
    return (dice_state >> 8) % limit;
}

static void
write_file(const char *path, const void *octets, size_t length)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    CHECK(file >= 0 && write(file, octets, length) == (ssize_t)length);
    close(file);
}

static void
write_text(const char *path, const char *text)
{
    write_file(path, text, strlen(text));
}

static int
remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    remove(path);
    return 0;
}

/* Makes an empty directory called store, whatever was there, and sets the clock right. */
static void
empty_store(void)
{
    clock_ahead = 0;
    nftw("store", remove_one, 16, FTW_DEPTH | FTW_PHYS);
    CHECK(mkdir("store", 0755) == 0);
}

static struct store
new_store(void)
{
    static bool stale[2]; /* of the store under test, and of the one that it is compared with */
    static int next;
    bool *own = &stale[next++ % 2];

    *own = false;
    return (struct store){.path = "store",
                          .directory = -1,
                          .inotify = -1,
                          .ruleset = -1,
                          .stale = own};
}

static void
free_store(struct store *store)
{
    store_close(store);
    index_free(&store->index);
}

static const char *
name_at(const struct store *store, size_t i)
{
    return store->index.messages[i].name;
}

/* Returns true if a session would still send message i. */
static bool
can_open(const struct store *store, size_t i)
{
    int file = store_open(store, name_at(store, i));
    struct message m = store->index.messages[i];
    bool unchanged = file >= 0 && message_verify(store, &m, file);

    if (file >= 0)
        close(file);
    return unchanged;
}

/* Makes messages 1 to count, old enough to be measured at once, and their index. */
static struct store
settled_store(int count)
{
    struct store store = new_store();
    char path[64];

    empty_store();
    for (int i = 1; i <= count; i++) {
        snprintf(path, sizeof path, "store/%d", i);
        write_text(path, "text\n");
    }
    clock_ahead = 10;
    CHECK(store_refresh(&store));
    return store;
}

/* Holds a session as serve() does, unconfined. Returns true if it found the index out of date. */
static bool
run_session(const struct settings *settings, const struct store *store, int socket)
{
    struct session *s = calloc(1, sizeof *s);
    sigset_t signals;

    s->settings = settings;
    s->store = store;
    s->peer = "peer";
    s->began = wire_clock();
    s->deleted = calloc(store->index.count + 1, sizeof *s->deleted);
    wire_open(&s->wire, socket, socket);
    session_run(s);
    sigfillset(&signals);       /* which QUIT blocks */
    sigprocmask(SIG_UNBLOCK, &signals, NULL);
    list_free(&s->files);
    free(s->deleted);
    free(s);
    return *store->stale;
}

/* Sends commands to a session on a store. Returns its answers until the next call. */
static const char *
hold_session(const struct settings *settings, const struct store *store, const char *commands)
{
    static char answers[64 * 1024];
    size_t length = 0;
    ssize_t count;
    int pair[2];

    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    CHECK(write(pair[0], commands, strlen(commands)) == (ssize_t)strlen(commands));
    shutdown(pair[0], SHUT_WR);
    run_session(settings, store, pair[1]);
    close(pair[1]);
    while ((count = read(pair[0], answers + length, sizeof answers - 1 - length)) > 0)
        length += (size_t)count;
    close(pair[0]);
    answers[length] = '\0';
    return answers;
}

/* Returns true if the last line of a text begins like this. */
static bool
last_line(const char *text, const char *wanted)
{
    const char *line = text, *next;

    while ((next = strchr(line, '\n')) != NULL && next[1] != '\0')
        line = next + 1;
    return strncmp(line, wanted, strlen(wanted)) == 0;
}

/* Sends standard error to a file, or back: returns what to give back. */
static int
redirect_log(int back)
{
    int old = -1;

    fflush(stderr);
    if (back < 0) {
        int file = open("log", O_RDWR | O_CREAT | O_TRUNC, 0600);

        old = dup(STDERR_FILENO);
        dup2(file, STDERR_FILENO);
        close(file);
    } else {
        dup2(back, STDERR_FILENO);
        close(back);
    }
    return old;
}

/* Returns what was logged, until the next call. */
static const char *
logged(void)
{
    static char text[64 * 1024];
    int file = open("log", O_RDONLY);
    ssize_t length = read(file, text, sizeof text - 1);

    close(file);
    text[length > 0 ? length : 0] = '\0';
    return text;
}

/* Runs the cases in a new directory. Returns the exit status. */
static int
run_in_directory(void (*run_cases)(void))
{
    const char *temporary = getenv("TMPDIR");
    char directory[1024];

    snprintf(directory, sizeof directory, "%s/unit.XXXXXX", temporary != NULL ? temporary : "/tmp");
    if (mkdtemp(directory) == NULL || chdir(directory) != 0) {
        perror(directory);
        return 1;
    }
    signal(SIGPIPE, SIG_IGN);
    run_cases();
    if (chdir("/") == 0)
        nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return unit_status;
}

#endif
