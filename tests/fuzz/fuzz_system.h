/*
 * fuzz_system.h - system calls in memory, for the fuzzers: streams, a directory with files, a clock
 *
 * Include it before the program. A fuzzer then runs thousands of sessions per second, and the same
 * input always gives the same session. The fuzzer chooses whether reads and writes are short, calls
 * are interrupted, one call fails, or a file changes. A wait only advances the clock.
 */
#ifndef FUZZ_SYSTEM_H
#define FUZZ_SYSTEM_H

#define _GNU_SOURCE 1
#define _FILE_OFFSET_BITS 64

#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/prctl.h>
#endif

/* Descriptors. Those below the first one are real. */
enum {
    SYSTEM_STREAM = 1000,       /* to SYSTEM_STREAM + SYSTEM_STREAMS - 1 */
    SYSTEM_STREAMS = 6,         /* the last one is the output of a child process */
    SYSTEM_DIRECTORY = 1010,
    SYSTEM_OPEN = 1100,         /* to SYSTEM_OPEN + SYSTEM_OPENS - 1: open files */
    SYSTEM_OPENS = 128,
    SYSTEM_FILES = 512,
    SYSTEM_NAME = 64
};

/* What a stream does after its last byte. */
enum system_end { STREAM_ENDS, STREAM_BREAKS, STREAM_STAYS };

struct system_stream {
    const unsigned char *in;
    size_t at, length;
    enum system_end end;
    unsigned char *out;
    size_t written, room;
    size_t accepts;             /* so many more bytes, then writes fail */
    bool stalls;                /* with EAGAIN, not with EPIPE */
};

struct system_file {
    const unsigned char *bytes;
    unsigned char *own;         /* the same, if they are allocated */
    size_t size, room;
    mode_t mode;
    int changes_after;          /* the stat or read at which content and times change; 0: never */
    bool changed;               /* it has changed */
    bool on_disk;               /* since the last write */
};

static struct {
    int64_t now;                /* milliseconds */
    uint32_t random;
    bool pieces, interrupts;
    struct system_stream stream[SYSTEM_STREAMS];
    struct { char name[SYSTEM_NAME]; struct system_file *file; } entry[SYSTEM_FILES];
    struct system_file file[SYSTEM_FILES];
    size_t files;
    bool no_directory;
    struct { struct system_file *file; off_t at; } open[SYSTEM_OPENS];
    int fault_after, fault_error;       /* which file call fails (0: none), and its errno */
    const char *faulted;        /* the call that failed, or NULL */
    int directory_changes;      /* by unlinkat */
    size_t unsynced;            /* changed names, except hidden ones, that are not on disk */
    int stop_after, stop_signal;        /* the wait in which a signal arrives (0: none) */
    volatile sig_atomic_t *stop;
    bool stopped;               /* the signal has arrived */
    size_t written_before_stop;         /* length of the second stream at that time */
    bool forks;                 /* fork() succeeds; the child writes its stream and ends with 0 */
    void (*before_wait)(void);  /* lets the other side run */
    int slept;                  /* seconds of waits without descriptors */
    void (*log)(const char *bytes, size_t length);    /* gets what is written to standard error */
} sys;

/* Resets everything, but keeps the output buffers of the streams. */
static inline void
system_reset(uint32_t seed)
{
    struct system_stream kept[SYSTEM_STREAMS];

    memcpy(kept, sys.stream, sizeof kept);
    for (size_t i = 0; i < sys.files; i++)
        free(sys.file[i].own);
    memset(&sys, 0, sizeof sys);
    sys.now = 1000000;
    sys.random = seed;
    for (int i = 0; i < SYSTEM_STREAMS; i++)
        sys.stream[i] =
            (struct system_stream){.out = kept[i].out, .room = kept[i].room, .accepts = SIZE_MAX};
}

/* Gives a file a name. Returns false if there are too many. */
static inline bool
system_name(const char *name, struct system_file *file)
{
    size_t place = 0;

    while (place < SYSTEM_FILES && sys.entry[place].file != NULL)
        place++;
    DEMAND(strlen(name) < SYSTEM_NAME);
    if (place == SYSTEM_FILES)
        return false;
    snprintf(sys.entry[place].name, SYSTEM_NAME, "%s", name);
    sys.entry[place].file = file;
    return true;
}

/* Adds a file. The bytes remain the caller's. */
static inline struct system_file *
system_add(const char *name, const unsigned char *bytes, size_t size)
{
    struct system_file *file = &sys.file[sys.files];

    DEMAND(sys.files < SYSTEM_FILES);
    sys.files++;
    *file =
        (struct system_file){.bytes = bytes, .size = size, .mode = S_IFREG | S_IRUSR | S_IWUSR};
    DEMAND(system_name(name, file));
    return file;
}

/* Returns the index of a name, or SYSTEM_FILES. */
static inline size_t
system_find(const char *name)
{
    size_t i = 0;

    while (i < SYSTEM_FILES && (sys.entry[i].file == NULL || strcmp(sys.entry[i].name, name) != 0))
        i++;
    return i;
}

static inline int
system_error(int error)
{
    errno = error;
    return -1;
}

/* Returns true, with errno set, if this call for a file is to fail. */
static inline bool
system_fails(const char *call)
{
    if (sys.fault_after == 0 || --sys.fault_after > 0)
        return false;
    sys.faulted = call;
    errno = sys.fault_error;
    return true;
}

/* Returns true, with errno set, if this call is to be interrupted. */
static inline bool
system_interrupts(void)
{
    errno = EINTR;
    return sys.interrupts && fuzz_random(&sys.random, 8) == 0;
}

/* Returns the length that a read or write transfers. */
static inline size_t
system_piece(size_t length)
{
    if (!sys.pieces || length < 2)
        return length;
    if (fuzz_random(&sys.random, 4) == 0)
        return 1;
    return 1 + fuzz_random(&sys.random, length < 65536 ? (uint32_t)length : 65536);
}

static inline struct system_stream *
system_stream(int fd)
{
    return fd >= SYSTEM_STREAM && fd < SYSTEM_STREAM + SYSTEM_STREAMS
               ? &sys.stream[fd - SYSTEM_STREAM]
               : NULL;
}

static inline struct system_file *
system_file(int fd)
{
    DEMAND(fd < SYSTEM_STREAM || (fd >= SYSTEM_OPEN && fd < SYSTEM_OPEN + SYSTEM_OPENS));
    DEMAND(fd < SYSTEM_STREAM || sys.open[fd - SYSTEM_OPEN].file != NULL);
    return fd < SYSTEM_STREAM ? NULL : sys.open[fd - SYSTEM_OPEN].file;
}

/* Counts a stat or read of a file, and changes the file if it is time. The size stays. */
static inline void
system_touch(struct system_file *file)
{
    if (file->changes_after == 0 || --file->changes_after > 0)
        return;
    file->changed = true;
    file->own = malloc(file->size + 1);
    DEMAND(file->own != NULL);
    for (size_t i = 0; i < file->size; i++)
        file->own[i] = file->bytes[i] > ' ' ? file->bytes[i] ^ 1 : file->bytes[i];
    file->bytes = file->own;
}

static inline ssize_t
system_read_at(struct system_file *file, void *buffer, size_t length, off_t at)
{
    system_touch(file);

    size_t left = (size_t)at < file->size ? file->size - (size_t)at : 0;

    length = system_piece(length < left ? length : left);
    if (length > 0)
        memcpy(buffer, file->bytes + at, length);
    return (ssize_t)length;
}

static inline ssize_t
system_pread(int fd, void *buffer, size_t length, off_t at)
{
    struct system_file *file = system_file(fd);

    if (file == NULL)
        return pread(fd, buffer, length, at);
    if (system_fails("pread"))
        return -1;
    return system_read_at(file, buffer, length, at);
}

static inline ssize_t
system_read(int fd, void *buffer, size_t length)
{
    struct system_stream *stream = system_stream(fd);

    if (fd < SYSTEM_STREAM)
        return read(fd, buffer, length);
    if (system_interrupts())
        return -1;
    if (stream != NULL) {
        size_t left = stream->length - stream->at;

        DEMAND(length > 0);
        if (left == 0) {
            DEMAND(stream->end != STREAM_STAYS);        /* it would block */
            return stream->end == STREAM_ENDS ? 0 : system_error(ECONNRESET);
        }
        length = system_piece(length < left ? length : left);
        memcpy(buffer, stream->in + stream->at, length);
        stream->at += length;
        return (ssize_t)length;
    }
    if (system_fails("read"))
        return -1;

    ssize_t count = system_read_at(system_file(fd), buffer, length, sys.open[fd - SYSTEM_OPEN].at);
    sys.open[fd - SYSTEM_OPEN].at += count;
    return count;
}

static inline ssize_t
system_write(int fd, const void *bytes, size_t length)
{
    struct system_stream *stream = system_stream(fd);

    if (fd == STDERR_FILENO && sys.log != NULL) {
        sys.log(bytes, length);
        return (ssize_t)length;
    }
    if (fd < SYSTEM_STREAM)
        return write(fd, bytes, length);
    if (system_interrupts())
        return -1;
    length = system_piece(length);
    if (stream != NULL) {
        if (stream->accepts == 0)
            return system_error(stream->stalls ? EAGAIN : EPIPE);
        length = length < stream->accepts ? length : stream->accepts;
        stream->accepts -= stream->accepts == SIZE_MAX ? 0 : length;
        if (stream->room - stream->written < length) {
            stream->room = (stream->written + length) * 2;
            stream->out = realloc(stream->out, stream->room);
            DEMAND(stream->out != NULL);
        }
        memcpy(stream->out + stream->written, bytes, length);
        stream->written += length;
        return (ssize_t)length;
    }

    struct system_file *file = system_file(fd);
    if (system_fails("write"))
        return -1;
    if (file->room - file->size < length) {
        file->room = (file->size + length) * 2;
        file->own = realloc(file->own, file->room);
        DEMAND(file->own != NULL);
        file->bytes = file->own;
    }
    memcpy(file->own + file->size, bytes, length);
    file->size += length;
    file->on_disk = false;
    return (ssize_t)length;
}

static inline ssize_t
system_send(int fd, const void *bytes, size_t length, int flags)
{
    DEMAND((flags & MSG_DONTWAIT) != 0);
    return system_write(fd, bytes, length);
}

/* A line of the server's log is one line of printable ASCII. Usable as sys.log. */
static inline void
system_check_log(const char *bytes, size_t length)
{
    DEMAND(length > 1 && bytes[length - 1] == '\n');
    for (size_t i = 0; i + 1 < length; i++)
        DEMAND(bytes[i] >= ' ' && bytes[i] < 0x7f);
}

/* Returns true if a wait for this descriptor would end at once. */
static inline bool
system_ready(int fd, bool to_write)
{
    const struct system_stream *stream = system_stream(fd);

    if (stream == NULL)
        return true;
    if (to_write)
        return stream->accepts > 0 || !stream->stalls;
    return stream->at < stream->length || stream->end != STREAM_STAYS;
}

/* Waits. If nothing is ready, the clock advances by the timeout. Signals arrive here. */
static inline int
system_pselect(int count, fd_set *to_read, fd_set *to_write, fd_set *errors,
               const struct timespec *time, const sigset_t *mask)
{
    sigset_t blocked;
    int found = 0;

    (void)mask;
    DEMAND(errors == NULL);
    sigprocmask(SIG_BLOCK, NULL, &blocked);
    if (sys.before_wait != NULL)
        sys.before_wait();
    if (sys.stop_after > 0 && sigismember(&blocked, SIGTERM) == 0 && --sys.stop_after == 0) {
        *sys.stop = sys.stop_signal;
        sys.stopped = true;
        sys.written_before_stop = sys.stream[1].written;
        return system_error(EINTR);
    }
    if (count > 0 && system_interrupts())
        return -1;
    for (int fd = 0; fd < count; fd++) {
        fd_set *sets[] = {to_read, to_write};

        for (int i = 0; i < 2; i++) {
            if (sets[i] == NULL || !FD_ISSET(fd, sets[i]))
                continue;
            if (system_ready(fd, i == 1))
                found++;
            else
                FD_CLR(fd, sets[i]);
        }
    }
    if (found == 0) {
        DEMAND(time != NULL);   /* else it would never end */
        sys.now += (int64_t)time->tv_sec * 1000 + (time->tv_nsec + 999999) / 1000000;
        sys.slept += count == 0 ? (int)time->tv_sec : 0;
    }
    return found;
}

static inline int
system_clock(clockid_t clock, struct timespec *time)
{
    (void)clock;
    *time = (struct timespec){.tv_sec = (time_t)(sys.now / 1000),
                              .tv_nsec = (long)(sys.now % 1000) * 1000000};
    return 0;
}

static inline int
system_openat(int directory, const char *name, int flags, ...)
{
    size_t place = system_find(name), i = 0;

    DEMAND(directory == SYSTEM_DIRECTORY && strchr(name, '/') == NULL);
    if (system_fails("open"))
        return -1;
    if ((flags & O_DIRECTORY) != 0)
        return SYSTEM_DIRECTORY;
    if ((flags & O_CREAT) != 0 && place < SYSTEM_FILES)
        return system_error(EEXIST);
    if ((flags & O_CREAT) == 0 && place == SYSTEM_FILES)
        return system_error(ENOENT);
    while (i < SYSTEM_OPENS && sys.open[i].file != NULL)
        i++;
    DEMAND(i < SYSTEM_OPENS);
    if ((flags & O_CREAT) != 0) {
        if (sys.files == SYSTEM_FILES)
            return system_error(ENOSPC);
        system_add(name, NULL, 0);
        place = system_find(name);
    }
    sys.open[i].file = sys.entry[place].file;
    sys.open[i].at = 0;
    return SYSTEM_OPEN + (int)i;
}

/* A path is a name in the directory, or the directory. */
static inline int
system_open(const char *path, int flags, ...)
{
    if ((flags & O_DIRECTORY) == 0)
        return system_openat(SYSTEM_DIRECTORY, path, flags);
    if (system_fails("open"))
        return -1;
    return sys.no_directory ? system_error(ENOENT) : SYSTEM_DIRECTORY;
}

/* The directory stream. Only one is open at a time. */
static struct {
    size_t at;
    bool open;
    struct dirent entry;
} system_list;

static inline DIR *
system_fdopendir(int fd)
{
    DEMAND(fd == SYSTEM_DIRECTORY && !system_list.open);
    system_list.open = true;
    system_list.at = 0;
    return (DIR *)(void *)&system_list;
}

static inline struct dirent *
system_readdir(DIR *directory)
{
    DEMAND((void *)directory == (void *)&system_list && system_list.open);
    if (system_fails("readdir"))
        return NULL;
    while (system_list.at < SYSTEM_FILES && sys.entry[system_list.at].file == NULL)
        system_list.at++;
    if (system_list.at == SYSTEM_FILES)
        return NULL;
    memset(&system_list.entry, 0, sizeof system_list.entry);
    snprintf(system_list.entry.d_name, SYSTEM_NAME, "%s", sys.entry[system_list.at].name);
    system_list.entry.d_ino = (ino_t)(1 + (sys.entry[system_list.at].file - sys.file));
    system_list.entry.d_type = DT_UNKNOWN;
    system_list.at++;
    return &system_list.entry;
}

static inline int
system_closedir(DIR *directory)
{
    DEMAND((void *)directory == (void *)&system_list && system_list.open);
    system_list.open = false;
    return 0;
}

static inline int
system_dirfd(DIR *directory)
{
    DEMAND((void *)directory == (void *)&system_list && system_list.open);
    return SYSTEM_DIRECTORY;
}

static inline int
system_mkdir(const char *path, mode_t mode)
{
    (void)path;
    (void)mode;
    if (!sys.no_directory)
        return system_error(EEXIST);
    sys.no_directory = false;
    return 0;
}

static inline int
system_close(int fd)
{
    if (fd < SYSTEM_STREAM)
        return close(fd);
    if (fd >= SYSTEM_OPEN) {
        DEMAND(system_file(fd) != NULL);
        sys.open[fd - SYSTEM_OPEN].file = NULL;
    }
    return 0;
}

static inline int
system_stat_file(struct system_file *file, struct stat *status)
{
    system_touch(file);
    memset(status, 0, sizeof *status);
    status->st_ino = (ino_t)(1 + (file - sys.file));
    status->st_mode = file->mode;
    status->st_nlink = 1;
    status->st_size = (off_t)file->size;
    status->st_mtim.tv_sec = status->st_ctim.tv_sec = file->changed ? 2 : 1;
    return 0;
}

static inline int
system_fstat(int fd, struct stat *status)
{
    if (fd < SYSTEM_STREAM)
        return fstat(fd, status);
    if (fd == SYSTEM_DIRECTORY) {
        memset(status, 0, sizeof *status);
        status->st_mode = S_IFDIR | S_IRWXU;
        status->st_mtim.tv_sec = status->st_ctim.tv_sec = sys.directory_changes;
        return 0;
    }
    return system_stat_file(system_file(fd), status);
}

static inline int
system_fstatat(int directory, const char *name, struct stat *status, int flags)
{
    size_t place = system_find(name);

    DEMAND(directory == SYSTEM_DIRECTORY);
    DEMAND(flags == AT_SYMLINK_NOFOLLOW);
    return place == SYSTEM_FILES ? system_error(ENOENT)
                                 : system_stat_file(sys.entry[place].file, status);
}

static inline int
system_unlinkat(int directory, const char *name, int flags)
{
    size_t place = system_find(name);

    DEMAND(directory == SYSTEM_DIRECTORY && flags == 0);
    if (place == SYSTEM_FILES)
        return system_error(ENOENT);
    DEMAND(!sys.entry[place].file->changed);
    if (system_fails("unlink"))
        return -1;
    sys.unsynced += name[0] != '.';
    sys.directory_changes++;
    sys.entry[place].file = NULL;
    return 0;
}

/* link(), or rename() without replacement if move is set. */
static inline int
system_linkat(int from_directory, const char *from, int to_directory, const char *to, int move)
{
    size_t place = system_find(from);

    DEMAND(from_directory == SYSTEM_DIRECTORY && to_directory == SYSTEM_DIRECTORY &&
           place < SYSTEM_FILES);
    if (system_fails("link"))
        return -1;
    if (system_find(to) < SYSTEM_FILES)
        return system_error(EEXIST);
    DEMAND(sys.entry[place].file->on_disk);
    if (!system_name(to, sys.entry[place].file))
        return system_error(ENOSPC);
    sys.unsynced++;
    if (move)
        sys.entry[place].file = NULL;
    return 0;
}

static inline int
system_fsync(int fd)
{
    DEMAND(fd >= SYSTEM_DIRECTORY);
    if (system_fails("fsync"))
        return -1;
    if (fd == SYSTEM_DIRECTORY)
        sys.unsynced = 0;
    else
        system_file(fd)->on_disk = true;
    return 0;
}

static inline int
system_shutdown(int fd, int how)
{
    DEMAND(system_stream(fd) != NULL && how == SHUT_WR);
    return 0;
}

static inline int
system_pipe(int ends[2])
{
    ends[0] = ends[1] = SYSTEM_STREAM + SYSTEM_STREAMS - 1;
    sys.stream[SYSTEM_STREAMS - 1].at = 0;
    return 0;
}

static inline pid_t
system_fork(void)
{
    return sys.forks ? 4711 : system_error(EAGAIN);
}

static inline pid_t
system_waitpid(pid_t process, int *status, int options)
{
    (void)options;
    *status = 0;
    return sys.forks ? process : system_error(ECHILD);
}

/* A call that fails. Not inline: the compiler must not conclude that it never succeeds. */
static int __attribute__((noinline, unused))
system_refuses(int first, ...)
{
    (void)first;
    return system_error(ENOSYS);
}

#ifdef SYS_renameat2
static inline long
system_call(long number, ...)
{
    va_list arguments;
    int result = -1;

    va_start(arguments, number);
    if (number == SYS_renameat2) {
        int from_directory = va_arg(arguments, int);
        const char *from = va_arg(arguments, const char *);
        int to_directory = va_arg(arguments, int);

        result =
            system_linkat(from_directory, from, to_directory, va_arg(arguments, const char *), 1);
    } else {
        errno = ENOSYS;
    }
    va_end(arguments);
    return result;
}
#define syscall(...) system_call(__VA_ARGS__)
#endif

#define read(...) system_read(__VA_ARGS__)
#define pread(...) system_pread(__VA_ARGS__)
#define write(...) system_write(__VA_ARGS__)
#define send(...) system_send(__VA_ARGS__)
#define pselect(...) system_pselect(__VA_ARGS__)
#define fdopendir(...) system_fdopendir(__VA_ARGS__)
#define readdir(...) system_readdir(__VA_ARGS__)
#define closedir(...) system_closedir(__VA_ARGS__)
#define dirfd(...) system_dirfd(__VA_ARGS__)
#define clock_gettime(...) system_clock(__VA_ARGS__)
#define open(...) system_open(__VA_ARGS__)
#define openat(...) system_openat(__VA_ARGS__)
#define mkdir(...) system_mkdir(__VA_ARGS__)
#define close(...) system_close(__VA_ARGS__)
#define fstat(...) system_fstat(__VA_ARGS__)
#define fstatat(...) system_fstatat(__VA_ARGS__)
#define unlinkat(...) system_unlinkat(__VA_ARGS__)
#define linkat(...) system_linkat(__VA_ARGS__)
#define fsync(...) system_fsync(__VA_ARGS__)
#define shutdown(...) system_shutdown(__VA_ARGS__)
#define pipe(...) system_pipe(__VA_ARGS__)
#define fork() system_fork()
#define waitpid(...) system_waitpid(__VA_ARGS__)

/* There is no terminal and no other process, and no confinement. */
#define isatty(...) system_refuses(__VA_ARGS__)
#define tcgetattr(...) system_refuses(__VA_ARGS__)
#define ioctl(...) system_refuses(__VA_ARGS__)
#define prctl(...) system_refuses(__VA_ARGS__)
#define setrlimit(...) system_refuses(__VA_ARGS__)
#define kill(...) system_refuses(__VA_ARGS__)

#endif
