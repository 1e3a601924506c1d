/*
 * faults.c - makes every system call of the two programs fail, each in turn, and kills them
 * before and after each
 *
 *   faults                                                    says whether it can be done here
 *   faults SERVER CLIENT PLAIN-SERVER PLAIN-CLIENT            every case
 *   faults SERVER CLIENT PLAIN-SERVER PLAIN-CLIENT CASE...    those, with what was seen
 *   faults SERVER CLIENT PLAIN-SERVER PLAIN-CLIENT PART       all whose names begin so: tcp, net:0,
 * net:1:fsync
 *
 * It is built three times: with PROGRAM, the name of a source in quotes, it is that program with
 * a mark in front of its main, a system call that fails and does nothing; without, the driver,
 * which traces a marked program with ptrace, from the mark on. So it meets every call that the
 * kernel sees, those that the C library makes included, however the program is linked.
 *
 * A scene is a program in a situation: the server with its connections, a session on pipes with a
 * login, the client with a server or with a command. It is played once to the end to learn the
 * places: process, call, how often that call was made before. Then it is played again for each
 * place and each error that can come there; a call that is made to fail does nothing, and one
 * made short is asked for less. A case is written SCENE:PROCESS:CALL:N:ERROR.
 *
 * After each fault: a fault that is over leaves no trace, so the next session of the same server
 * is right in every octet; nothing is gone from the store that a QUIT did not take, or that no
 * whole saved file holds; no saved file is cut, nor a temporary one left; what a client of the
 * server noticed is in its log by name, and what the client could not do is on its standard
 * error, with 1 as its status; interrupted and short calls are noticed by nobody; and nothing
 * hangs or crashes.
 *
 * A kill loses nothing that was written; a power cut loses what was not synced. Thus the driver
 * keeps book of what is on disk, in every case: no file may get its name before its content is
 * there, and nothing may be called saved or removed before that is.
 */
#ifdef PROGRAM

#define main program_main
#include PROGRAM
#undef main
#include <sys/syscall.h>

int
main(int argc, char **argv)
{
    syscall(SYS_prctl, 0x706f7033L, 0L, 0L, 0L, 0L);
    return program_main(argc, argv);
}

#else

#define _GNU_SOURCE 1
#define _FILE_OFFSET_BITS 64

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef __x86_64__
int
main(void)
{
    puts("no faults can be made: the registers of this machine's processor are not known here");
    return 77;
}
#else

enum {
    JOBS = 2,                   /* cases at a time */
    PATIENCE = 5,               /* seconds in which anything must come */
    CASE_SECONDS = 25,          /* for one case */
    TRIES = 4,                  /* for a place that is not always met */
    LEARNED = 3,                /* how often a scene is played to learn its places */
    CALLS = 512,                /* numbers of system calls */
    PLACES = 6000,
    PROCESSES = 8,              /* of one scene */
    MAILS = 6,
    TEXT = 4096,
    MARK = 0x706f7033,
    LANDLOCK_CREATE = 444,
    LANDLOCK_VERSION = 1        /* with this flag it only returns the version */
};

/* ---- What can fail, and how ------------------------------------------------------------------ */

/*
 * Errors that are none: the call does less than it was asked for, or all memory is gone for a
 * while.
 */
enum { SHORT = 1000, HALF, NO_MEMORY, KILL_BEFORE, KILL_AFTER };

static const struct {
    int error;
    const char *name;
} errors[] = {
    {EINTR, "EINTR"}, {EIO, "EIO"}, {ENOSPC, "ENOSPC"}, {EMFILE, "EMFILE"}, {ENFILE, "ENFILE"},
    {ENOMEM, "ENOMEM"}, {EAGAIN, "EAGAIN"}, {EPIPE, "EPIPE"}, {ECONNRESET, "ECONNRESET"},
    {ENOBUFS, "ENOBUFS"}, {EPERM, "EPERM"}, {ECONNABORTED, "ECONNABORTED"},
    {EADDRINUSE, "EADDRINUSE"}, {EADDRNOTAVAIL, "EADDRNOTAVAIL"}, {EAFNOSUPPORT, "EAFNOSUPPORT"},
    {ECONNREFUSED, "ECONNREFUSED"}, {ETIMEDOUT, "ETIMEDOUT"}, {EDQUOT, "EDQUOT"}, {EFBIG, "EFBIG"},
    {EACCES, "EACCES"}, {EROFS, "EROFS"}, {EMLINK, "EMLINK"}, {EOPNOTSUPP, "EOPNOTSUPP"},
    {EINVAL, "EINVAL"}, {ENOSYS, "ENOSYS"}, {ENOTCONN, "ENOTCONN"}, {ENOTTY, "ENOTTY"},
    {ECHILD, "ECHILD"}, {ESRCH, "ESRCH"}, {EBUSY, "EBUSY"}, {E2BIG, "E2BIG"}, {EEXIST, "EEXIST"},
    {SHORT, "SHORT"}, {HALF, "HALF"}, {NO_MEMORY, "NO_MEMORY"}, {KILL_BEFORE, "KILL_BEFORE"},
    {KILL_AFTER, "KILL_AFTER"}
};

enum { MOST = 9 };              /* errors of one call */

/*
 * The calls and the errors that come there in life. One that is not in the list gets EIO, ENOMEM
 * and EINTR. Those at the end have no error that a correct call can meet, and none is made: they
 * only touch a process's own masks, times and numbers.
 */
static const struct call {
    long number;
    const char *name;
    int errors[MOST];
    bool never;
} calls[] = {
    {.number = SYS_read,
     .name = "read",
     .errors = {EINTR, EIO, EAGAIN, ECONNRESET, ENOMEM, SHORT, HALF}},
    {.number = SYS_pread64, .name = "pread64", .errors = {EINTR, EIO, ENOMEM, SHORT, HALF}},
    {.number = SYS_write,
     .name = "write",
     .errors = {EINTR, EIO, ENOSPC, EAGAIN, EPIPE, EDQUOT, EFBIG, SHORT, HALF}},
    {.number = SYS_pwrite64,
     .name = "pwrite64",
     .errors = {EINTR, EIO, ENOSPC, EDQUOT, SHORT, HALF}},
    {.number = SYS_writev, .name = "writev", .errors = {EINTR, EIO, ENOSPC, EAGAIN, EPIPE}},
    {.number = SYS_readv, .name = "readv", .errors = {EINTR, EIO, EAGAIN}},
    {.number = SYS_sendto,
     .name = "sendto",
     .errors = {EINTR, EAGAIN, ECONNRESET, EPIPE, ENOBUFS, ENOMEM, SHORT, HALF}},
    {.number = SYS_recvfrom,
     .name = "recvfrom",
     .errors = {EINTR, EAGAIN, ECONNRESET, ENOMEM, SHORT, HALF}},
    {.number = SYS_open,
     .name = "open",
     .errors = {EINTR, EIO, EMFILE, ENFILE, ENOMEM, EACCES, ENOSPC}},
    {.number = SYS_openat,
     .name = "openat",
     .errors = {EINTR, EIO, EMFILE, ENFILE, ENOMEM, EACCES, ENOSPC}},
    {.number = SYS_newfstatat, .name = "newfstatat", .errors = {EIO, ENOMEM, EINTR}},
    {.number = SYS_fstat, .name = "fstat", .errors = {EIO, ENOMEM, EINTR}},
    {.number = SYS_stat, .name = "stat", .errors = {EIO, ENOMEM, EINTR, EACCES}},
    {.number = SYS_lstat, .name = "lstat", .errors = {EIO, ENOMEM, EINTR, EACCES}},
    {.number = SYS_statx, .name = "statx", .errors = {EIO, ENOMEM, EINTR}},
    {.number = SYS_statfs, .name = "statfs", .errors = {EIO, ENOMEM, EINTR}},
    {.number = SYS_fstatfs, .name = "fstatfs", .errors = {EIO, ENOMEM, EINTR}},
    {.number = SYS_getdents64, .name = "getdents64", .errors = {EIO, ENOMEM, EINTR}},
    {.number = SYS_close, .name = "close", .errors = {EINTR, EIO, ENOSPC, EDQUOT}},
    {.number = SYS_fsync, .name = "fsync", .errors = {EINTR, EIO, ENOSPC, EDQUOT, EROFS}},
    {.number = SYS_fdatasync, .name = "fdatasync", .errors = {EINTR, EIO, ENOSPC, EDQUOT}},
    {.number = SYS_syncfs, .name = "syncfs", .errors = {EINTR, EIO, ENOSPC, EDQUOT, ENOSYS}},
    {.number = SYS_linkat,
     .name = "linkat",
     .errors = {EIO, ENOSPC, EPERM, EMLINK, EINTR, EDQUOT, EOPNOTSUPP, EEXIST}},
    {.number = SYS_renameat2,
     .name = "renameat2",
     .errors = {EIO, ENOSPC, EINTR, EDQUOT, EINVAL, EEXIST}},
    {.number = SYS_unlinkat, .name = "unlinkat", .errors = {EIO, EACCES, EROFS, EINTR, EBUSY}},
    {.number = SYS_unlink, .name = "unlink", .errors = {EIO, EACCES, EROFS, EINTR, EBUSY}},
    {.number = SYS_mkdir, .name = "mkdir", .errors = {EIO, ENOSPC, EINTR, EACCES, EDQUOT}},
    {.number = SYS_mkdirat, .name = "mkdirat", .errors = {EIO, ENOSPC, EINTR, EACCES, EDQUOT}},
    {.number = SYS_ftruncate, .name = "ftruncate", .errors = {EIO, EINTR, ENOSPC}},
    {.number = SYS_fallocate, .name = "fallocate", .errors = {EIO, EINTR, ENOSPC, EOPNOTSUPP}},
    {.number = SYS_lseek, .name = "lseek", .errors = {EIO}},
    {.number = SYS_mmap, .name = "mmap", .errors = {ENOMEM, NO_MEMORY}},
    {.number = SYS_brk, .name = "brk", .errors = {ENOMEM, NO_MEMORY}},
    {.number = SYS_mremap, .name = "mremap", .errors = {ENOMEM, NO_MEMORY}},
    {.number = SYS_mprotect, .name = "mprotect", .errors = {ENOMEM}},
    {.number = SYS_munmap, .name = "munmap", .errors = {ENOMEM}},
    {.number = SYS_madvise, .name = "madvise", .errors = {ENOMEM}},
    {.number = SYS_clone, .name = "clone", .errors = {EAGAIN, ENOMEM}},
    {.number = SYS_fork, .name = "fork", .errors = {EAGAIN, ENOMEM}},
    {.number = SYS_pipe2, .name = "pipe2", .errors = {EMFILE, ENFILE}},
    {.number = SYS_pipe, .name = "pipe", .errors = {EMFILE, ENFILE}},
    {.number = SYS_socketpair, .name = "socketpair", .errors = {EMFILE, ENFILE, ENOMEM}},
    {.number = SYS_dup2, .name = "dup2", .errors = {EINTR, EBUSY}},
    {.number = SYS_poll, .name = "poll", .errors = {EINTR, ENOMEM, EAGAIN}},
    {.number = SYS_pselect6, .name = "pselect6", .errors = {EINTR, ENOMEM}},
    {.number = SYS_accept,
     .name = "accept",
     .errors = {EINTR, EMFILE, ENFILE, ENOBUFS, ENOMEM, ECONNABORTED, EAGAIN, EPERM}},
    {.number = SYS_accept4,
     .name = "accept4",
     .errors = {EINTR, EMFILE, ENFILE, ENOBUFS, ENOMEM, ECONNABORTED, EAGAIN, EPERM}},
    {.number = SYS_socket,
     .name = "socket",
     .errors = {EMFILE, ENFILE, ENOBUFS, ENOMEM, EAFNOSUPPORT, EACCES}},
    {.number = SYS_bind, .name = "bind", .errors = {EADDRINUSE, EADDRNOTAVAIL, EACCES, ENOMEM}},
    {.number = SYS_listen, .name = "listen", .errors = {EADDRINUSE, ENOBUFS}},
    {.number = SYS_connect,
     .name = "connect",
     .errors = {ECONNREFUSED, ETIMEDOUT, EADDRNOTAVAIL, ENOMEM, EAGAIN}},
    {.number = SYS_shutdown, .name = "shutdown", .errors = {ENOTCONN, ENOBUFS}},
    {.number = SYS_getsockname, .name = "getsockname", .errors = {ENOBUFS}},
    {.number = SYS_getpeername, .name = "getpeername", .errors = {ENOBUFS, ENOTCONN}},
    {.number = SYS_getsockopt, .name = "getsockopt", .errors = {ENOBUFS, ENOMEM}},
    {.number = SYS_setsockopt, .name = "setsockopt", .errors = {ENOBUFS, ENOMEM, EINVAL}},
    {.number = SYS_ioctl, .name = "ioctl", .errors = {ENOTTY, EIO, EINTR}},
    {.number = SYS_fcntl, .name = "fcntl", .errors = {ENOMEM, EINTR}},
    {.number = SYS_inotify_init1, .name = "inotify_init1", .errors = {EMFILE, ENFILE, ENOMEM}},
    {.number = SYS_inotify_add_watch,
     .name = "inotify_add_watch",
     .errors = {ENOSPC, ENOMEM, EACCES}},
    {.number = SYS_wait4, .name = "wait4", .errors = {EINTR, ECHILD}},
    {.number = SYS_kill, .name = "kill", .errors = {ESRCH, EPERM}},
    {.number = SYS_getrandom, .name = "getrandom", .errors = {EAGAIN, EINTR, ENOSYS}},
    {.number = SYS_prctl, .name = "prctl", .errors = {EINVAL, EPERM, ENOMEM}},
    {.number = SYS_prlimit64, .name = "prlimit64", .errors = {EPERM, EINVAL}},
    {.number = SYS_setrlimit, .name = "setrlimit", .errors = {EPERM, EINVAL}},
    {.number = 317, .name = "seccomp", .errors = {ENOSYS, EINVAL, EACCES, ENOMEM}},
    {.number = LANDLOCK_CREATE,
     .name = "landlock_create_ruleset",
     .errors = {ENOSYS, EOPNOTSUPP, EPERM, ENOMEM, EMFILE}},
    {.number = 445, .name = "landlock_add_rule", .errors = {EINVAL, ENOMEM}},
    {.number = 446, .name = "landlock_restrict_self", .errors = {EPERM, E2BIG, ENOMEM}},
    {.number = SYS_setuid, .name = "setuid", .errors = {EAGAIN, EPERM, ENOMEM}},
    {.number = SYS_setgid, .name = "setgid", .errors = {EPERM, ENOMEM}},
    {.number = SYS_setgroups, .name = "setgroups", .errors = {EPERM, ENOMEM}},

    {.number = SYS_execve, .name = "execve", .never = true}, /* before it there is no program */
    {.number = SYS_rt_sigaction, .name = "rt_sigaction", .never = true},
    {.number = SYS_rt_sigprocmask, .name = "rt_sigprocmask", .never = true},
    {.number = SYS_rt_sigpending, .name = "rt_sigpending", .never = true},
    {.number = SYS_rt_sigreturn, .name = "rt_sigreturn", .never = true},
    {.number = SYS_restart_syscall, .name = "restart_syscall", .never = true},
    {.number = SYS_clock_gettime, .name = "clock_gettime", .never = true},
    {.number = SYS_gettimeofday, .name = "gettimeofday", .never = true},
    {.number = SYS_time, .name = "time", .never = true},
    {.number = SYS_getpid, .name = "getpid", .never = true},
    {.number = SYS_getppid, .name = "getppid", .never = true},
    {.number = SYS_gettid, .name = "gettid", .never = true},
    {.number = SYS_getuid, .name = "getuid", .never = true},
    {.number = SYS_geteuid, .name = "geteuid", .never = true},
    {.number = SYS_getgid, .name = "getgid", .never = true},
    {.number = SYS_getegid, .name = "getegid", .never = true},
    {.number = SYS_umask, .name = "umask", .never = true},
    {.number = SYS_set_robust_list,
     .name = "set_robust_list",
     .never = true}, /* the C library's, after a fork */
    {.number = SYS_set_tid_address, .name = "set_tid_address", .never = true},
    {.number = SYS_rseq, .name = "rseq", .never = true},
    {.number = SYS_exit, .name = "exit", .never = true},
    {.number = SYS_exit_group, .name = "exit_group", .never = true},
};

/* Returns what is known of a call; of one that is not in the list, what holds for any. */
static const struct call *
call_of(long number)
{
    static const struct call any = {.name = NULL, .errors = {EIO, ENOMEM, EINTR}};

    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (calls[i].number == number)
            return &calls[i];
    return &any;
}

static const char *
error_name(int error)
{
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (errors[i].error == error)
            return errors[i].name;
    return "?";
}

static bool
is_kill(int error)
{
    return error == KILL_BEFORE || error == KILL_AFTER;
}

/* ---- The case, and what all its processes share ---------------------------------------------- */

enum scene { NET, LOGIN, TCP, COMMAND, SCENES };

static const char *const scene_names[SCENES] = {"net", "login", "tcp", "command"};

/* Where a fault is made. */
struct place {
    enum scene scene;
    int process;                /* 0 the program, 1 the first process that it forked, ... */
    long call;
    int n;                      /* the first is 1 */
    int error;                  /* 0: none, to learn the places */
    /* What was seen when it was learned: */
    long done;                  /* its result */
    bool stream;                /* its descriptor is a pipe, a socket or a terminal */
    bool log;                   /* it is standard error */
    bool sure; /* with these arguments the call cannot fail, or not as others of its name */
};

static struct shared {
    volatile bool injected;
    volatile int injected_fd;
    volatile bool parent_waits; /* the server's parent waits for connections */
    volatile int forked, ended;
    volatile pid_t program;
    volatile bool quit_sent;
    volatile size_t place_count;
    struct place places[PLACES];
    char failure[TEXT];         /* the first thing that was wrong */
    volatile size_t cases, failures, unmet;
} *shared;

static struct place target;
static const char *server, *client, *plain_server, *plain_client;
static char base[200];          /* the directory of everything */
static char here[300];          /* that of this case */
static bool telling;            /* show what is seen */

static void __attribute__((format(printf, 1, 2)))
tell(const char *format, ...)
{
    va_list arguments;

    if (!telling)
        return;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
}

/* Notes what is wrong with this case, if nothing was so far. */
static void __attribute__((format(printf, 1, 2)))
wrong(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    if (shared->failure[0] == '\0')
        vsnprintf(shared->failure, sizeof shared->failure, format, arguments);
    va_end(arguments);
    tell("wrong: %s", shared->failure);
}

/* Writes the case's name. */
static const char *
case_name(const struct place *p)
{
    static char name[100];
    const char *call = call_of(p->call)->name;
    char number[24];

    snprintf(number, sizeof number, "%ld", p->call);
    snprintf(name, sizeof name, "%s:%d:%s:%d:%s", scene_names[p->scene], p->process,
             call != NULL ? call : number, p->n, p->error == 0 ? "none" : error_name(p->error));
    return name;
}

/* Reads a case's name. Returns false when it is none. */
static bool
case_read(const char *name, struct place *p)
{
    char scene[20], call[40], error[20];

    *p = (struct place){.scene = SCENES, .call = -1, .error = -1};
    if (sscanf(name, "%19[^:]:%d:%39[^:]:%d:%19s", scene, &p->process, call, &p->n, error) != 5)
        return false;
    for (int i = 0; i < SCENES; i++)
        if (strcmp(scene, scene_names[i]) == 0)
            p->scene = (enum scene)i;
    p->call = call[0] >= '0' && call[0] <= '9' ? atol(call) : -1;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (strcmp(call, calls[i].name) == 0)
            p->call = calls[i].number;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (strcmp(error, errors[i].name) == 0)
            p->error = errors[i].error;
    if (strcmp(error, "none") == 0)
        p->error = 0;
    return p->scene != SCENES && p->call >= 0 && p->error >= 0;
}

/* Says what the kernel says, for a fault. */
static const char *
fault_text(void)
{
    return strerror(target.error == NO_MEMORY ? ENOMEM : target.error);
}

/* Returns true if a call has to be made again, or for the rest, so that nobody sees the fault. */
static bool
is_silent(const struct place *p)
{
    long number = p->call;
    int error = p->error;
    bool waits = number == SYS_read || number == SYS_write || number == SYS_pread64 ||
                 number == SYS_sendto || number == SYS_recvfrom || number == SYS_poll ||
                 number == SYS_pselect6 || number == SYS_writev;

    if (p->scene >= TCP && !p->stream)
        waits = false; /* the C library gives up at once, and a file knows no such interruption */
    return error == SHORT || error == HALF || (waits && (error == EINTR || error == EAGAIN));
}

static void
nap(void)
{
    const struct timespec moment = {.tv_sec = 0, .tv_nsec = 100 * 1000};

    nanosleep(&moment, NULL);
}

static double
seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/*
 * Reads a whole file, or as much as there is room for, and puts a NUL behind it. Returns its
 * length, or -1.
 */
static ssize_t
slurp(const char *path, char *to, size_t room)
{
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t count, length = 0;

    if (file < 0)
        return -1;
    while ((count = read(file, to + length, room - 1 - (size_t)length)) > 0)
        length += count;
    close(file);
    to[length] = '\0';
    return count < 0 ? -1 : length;
}

/* Writes a file, and a directory's name and its own in one go. */
static void
spill(const char *directory, const char *name, const char *content, size_t length)
{
    char path[700];
    int file;

    snprintf(path, sizeof path, "%s/%s", directory, name);
    file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0 || write(file, content, length) != (ssize_t)length || close(file) != 0) {
        perror(path);
        exit(3);
    }
}

/* ---- The book of what is on disk ------------------------------------------------------------- */

/*
 * A file or a directory. One that was never heard of counts as written by somebody, and not on
 * disk.
 */
struct inode {
    ino_t number;
    bool dirty;
};

static struct {
    struct inode inodes[256];
    size_t count;
    bool all_known;             /* everything that is not in the list is on disk */
    char named[64][256];        /* names in the directory of saved files that are not on disk */
    size_t named_count;
    bool directory_made;        /* and its parent not synced */
    ino_t directory;            /* of the saved files, or the store */
    ino_t above;
} book;

static bool *
book_dirty(ino_t number)
{
    for (size_t i = 0; i < book.count; i++)
        if (book.inodes[i].number == number)
            return &book.inodes[i].dirty;
    if (book.count == sizeof book.inodes / sizeof *book.inodes) {
        wrong("the driver's book is full");
        book.count--;
    }
    book.inodes[book.count] = (struct inode){.number = number, .dirty = !book.all_known};
    return &book.inodes[book.count++].dirty;
}

/* Returns true if a file was heard of. */
static bool
book_knows(ino_t number)
{
    for (size_t i = 0; i < book.count; i++)
        if (book.inodes[i].number == number)
            return true;
    return false;
}

/* Finds out about a descriptor of a traced process. Returns false when it is none. */
static bool
look_at(pid_t pid, int fd, struct stat *status)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%ld/fd/%d", (long)pid, fd);
    return stat(path, status) == 0;
}

/* Reads a text from a traced process. */
static void
peek(pid_t pid, unsigned long at, char *to, size_t length)
{
    struct iovec local = {.iov_base = to, .iov_len = length}, remote;
    ssize_t count;

    remote = (struct iovec){.iov_base = (void *)at, .iov_len = length};
    count = process_vm_readv(pid, &local, 1, &remote, 1, 0);
    if (count < 0 && length > 256) {    /* it may end with its page */
        remote.iov_len = local.iov_len = 4096 - at % 4096;
        count = process_vm_readv(pid, &local, 1, &remote, 1, 0);
    }
    to[count < 0 ? 0 : (size_t)count < length ? (size_t)count : length - 1] = '\0';
}

/*
 * What was saved must be on disk, its names as well, before somebody counts on it: one file, or
 * with NULL all that this client wrote.
 */
static void
book_check(const char *what, const char *name)
{
    char path[400];
    struct dirent *entry;
    DIR *directory;

    if (book.named_count > 0)
        wrong("%s before the name %s is on disk", what, book.named[0]);
    if (book.directory_made)
        wrong("%s before the directory's own name is on disk", what);
    snprintf(path, sizeof path, "%s/saved", here);
    directory = opendir(path);
    while (directory != NULL && (entry = readdir(directory)) != NULL)
        if (name != NULL
                ? strcmp(entry->d_name, name) == 0 && *book_dirty(entry->d_ino)
                : entry->d_name[0] != '.' && book_knows(entry->d_ino) && *book_dirty(entry->d_ino))
            wrong("%s before the content of %s is on disk", what, entry->d_name);
    if (directory != NULL)
        closedir(directory);
}

/* ---- Tracing --------------------------------------------------------------------------------- */

struct traced {
    pid_t pid;
    int process;                /* its number in the scene */
    bool marked, in_call, started;
    long call;
    struct user_regs_struct at_entry;
    enum { LEAVE_IT, RETURN_ERROR, RETURN_ERROR_AFTER, RESTORE, KILL_IT } then;
    long result;
    bool starving;              /* all its memory calls fail, until it makes another */
    size_t place;               /* in shared->places, + 1; 0: none */
    int counts[CALLS];
    bool removed;               /* it removed a name, and that is not on disk */
    char words[TEXT];           /* what it wrote to standard output, from its last line end */
};

static struct traced processes[PROCESSES];
static int process_count;
static int program_status = -1; /* of waitpid */

static struct traced *
traced_find(pid_t pid)
{
    for (int i = 0; i < process_count; i++)
        if (processes[i].pid == pid)
            return &processes[i];
    return NULL;
}

static bool
is_memory(long call)
{
    return call == SYS_brk || call == SYS_mmap || call == SYS_mremap;
}

static void
book_synced_directory(struct traced *t)
{
    book.named_count = 0;
    t->removed = false;
}

/* Takes note of a call before it is made: what is said must be true by now. */
static void
book_enter(struct traced *t, const struct user_regs_struct *r)
{
    char text[TEXT];
    size_t length = r->rdx < sizeof text ? r->rdx + 1 : sizeof text;
    bool is_client = target.scene == TCP || target.scene == COMMAND;
    struct stat status;

    if ((t->call != SYS_write && t->call != SYS_sendto) || r->rdx == 0)
        return;
    peek(t->pid, r->rsi, text, length);
    if (is_client && t->process == 0 && r->rdi == STDOUT_FILENO) {
        char *line = t->words;
        size_t had = strlen(t->words);

        snprintf(t->words + had, sizeof t->words - had, "%s", text);
        for (char *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
            char *name;

            *end = '\0';
            if (strncmp(line, "saved ", 6) != 0 && strncmp(line, "already saved", 13) != 0)
                continue;
            name = strrchr(line, '/');
            if (name != NULL) {
                name[1 + strcspn(name + 1, " ")] = '\0';
                book_check("it is called saved", name + 1);
            }
        }
        memmove(t->words, line, strlen(line) + 1);
    } else if (is_client && t->process == 0 && r->rdi != STDERR_FILENO &&
               look_at(t->pid, (int)r->rdi, &status) && !S_ISREG(status.st_mode)) {
        if (strstr(text, "DELE") != NULL || strstr(text, "QUIT") != NULL)
            book_check("it may be removed from the server", NULL);
        if (strstr(text, "QUIT") != NULL)
            shared->quit_sent = true;
    } else if (!is_client && t->removed && strncmp(text, "+OK", 3) == 0 &&
               r->rdi != STDERR_FILENO) {
        wrong("a removal is confirmed before it is on disk");
    }
}

/* Takes note of what a call did. */
static void
book_leave(struct traced *t, const struct user_regs_struct *r, long result)
{
    struct stat status;
    char name[256], path[600];

    if (result < 0)
        return;
    switch (t->call) {
    case SYS_write:
    case SYS_pwrite64:
    case SYS_writev:
    case SYS_ftruncate:
        if (look_at(t->pid, (int)r->rdi, &status) && S_ISREG(status.st_mode))
            *book_dirty(status.st_ino) = true;
        break;
    case SYS_fsync:
    case SYS_fdatasync:
        if (look_at(t->pid, (int)r->rdi, &status)) {
            *book_dirty(status.st_ino) = false;
            if (S_ISDIR(status.st_mode) && status.st_ino != book.above)
                book_synced_directory(t);
            if (status.st_ino == book.above)
                book.directory_made = false;
        }
        break;
    case SYS_sync:
    case SYS_syncfs:
        book.count = 0;
        book.all_known = true;
        book.directory_made = false;
        book_synced_directory(t);
        break;
    case SYS_mkdir:
        peek(t->pid, r->rdi, name, sizeof name);
        book.directory_made = true;
        break;
    case SYS_linkat:
    case SYS_renameat2:
    case SYS_renameat:
        peek(t->pid, r->r10, name, sizeof name);
        snprintf(path, sizeof path, "/proc/%ld/fd/%d/%s", (long)t->pid, (int)r->rdx, name);
        if (name[0] != '.' && stat(path, &status) == 0) {
            if (*book_dirty(status.st_ino))
                wrong("%s got its name before its content is on disk", name);
            if (book.named_count < sizeof book.named / sizeof *book.named)
                snprintf(book.named[book.named_count++], sizeof *book.named, "%s", name);
        }
        break;
    case SYS_unlinkat:
        peek(t->pid, r->rsi, name, sizeof name);
        if (name[0] == '.')
            break;
        t->removed = true;
        for (size_t i = 0; i < book.named_count; i++)
            if (strcmp(book.named[i], name) == 0)
                memmove(book.named[i], book.named[--book.named_count], sizeof *book.named);
        break;
    }
}

/* Makes the fault, at the entry of a call. */
static void
inject(struct traced *t, struct user_regs_struct r)
{
    shared->injected_fd = (int)r.rdi;
    shared->injected = true;
    tell("-- %s", case_name(&target));
    if (target.error == KILL_BEFORE) {
        kill(t->pid, SIGKILL);
    } else if (target.error == KILL_AFTER) {
        t->then = KILL_IT;
    } else if (target.error == SHORT || target.error == HALF) {
        unsigned long half = (unsigned long)target.done / 2;

        r.rdx = target.error == SHORT ? 1 : half < r.rdx ? half : r.rdx;
        t->then = RESTORE;
        ptrace(PTRACE_SETREGS, t->pid, NULL, &r);
    } else {
        t->result = target.error == NO_MEMORY ? -ENOMEM : -target.error;
        t->starving = target.error == NO_MEMORY;
        t->then = RETURN_ERROR_AFTER;
        if (t->call != SYS_close) {     /* which frees the number all the same */
            /* A read of no descriptor, which does nothing and which no filter forbids. */
            r.orig_rax = SYS_read;
            r.rdi = (unsigned long)-1;
            r.rdx = 0;
            t->then = RETURN_ERROR;
            ptrace(PTRACE_SETREGS, t->pid, NULL, &r);
        }
    }
}

/*
 * Returns true for a call that with these arguments cannot fail, or not as others of its name do.
 */
static bool
is_sure(long call, const struct user_regs_struct *r)
{
    return (call == SYS_pselect6 && r->rdi == 0) ||     /* a pause; nothing is caught meanwhile */
           (call == SYS_fcntl && r->rsi == F_GETFD) ||
           (call == LANDLOCK_CREATE && r->rdx == LANDLOCK_VERSION);
}

/*
 * Returns true if the fault can come here: the n-th call may be another one this time, with a
 * file.
 */
static bool
can_come(const struct traced *t, const struct user_regs_struct *r)
{
    struct stat status;

    if (is_sure(t->call, r) || ((target.error == SHORT || target.error == HALF) && r->rdx < 2))
        return false;
    if (t->call != SYS_read && t->call != SYS_write)
        return true;
    target.stream = look_at(t->pid, (int)r->rdi, &status) && !S_ISREG(status.st_mode);
    return target.stream ||
           (target.error != EAGAIN && target.error != EPIPE && target.error != ECONNRESET);
}

static void
enter(struct traced *t)
{
    struct user_regs_struct r;
    bool counted;

    if (ptrace(PTRACE_GETREGS, t->pid, NULL, &r) != 0)
        return;
    t->at_entry = r;
    t->call = (long)r.orig_rax;
    t->then = LEAVE_IT;
    t->place = 0;
    if (t->call == SYS_prctl && r.rdi == MARK)
        t->marked = true;
    else if (t->marked && t->call >= 0 && t->call < CALLS) {
        int n = ++t->counts[t->call];

        if (t->process == 0)
            shared->parent_waits = t->call == SYS_pselect6 && r.rsi != 0; /* to read, not to log */
        counted = target.process == t->process && target.call == t->call && target.n == n;
        if (target.error == 0 && shared->place_count < PLACES) {
            struct stat status;
            struct place *p = &shared->places[shared->place_count];

            *p = (struct place){
                .scene = target.scene, .process = t->process, .call = t->call, .n = n};
            p->stream = look_at(t->pid, (int)r.rdi, &status) && !S_ISREG(status.st_mode);
            p->log = r.rdi == STDERR_FILENO;
            p->sure = is_sure(t->call, &r);
            t->place = ++shared->place_count;
        }
        book_enter(t, &r);
        if (target.error != 0 && counted && can_come(t, &r)) {
            inject(t, r);
        } else if (t->starving && is_memory(t->call)) {
            t->result = -ENOMEM;
            t->then = RETURN_ERROR;
            r.orig_rax = SYS_read;
            r.rdi = (unsigned long)-1;
            ptrace(PTRACE_SETREGS, t->pid, NULL, &r);
        } else {
            t->starving = false;
        }
    }
}

static void
leave(struct traced *t)
{
    struct user_regs_struct r;
    long result;

    if (ptrace(PTRACE_GETREGS, t->pid, NULL, &r) != 0)
        return;
    result = (long)r.rax;
    if (t->then != LEAVE_IT) {
        if (t->then == RETURN_ERROR || t->then == RETURN_ERROR_AFTER)
            result = t->result;
        if (t->call == SYS_brk && t->then == RETURN_ERROR)
            result = 0; /* the kernel's brk has no error: the old end comes back, and here none */
        r.rdi = t->at_entry.rdi;
        r.rsi = t->at_entry.rsi;
        r.rdx = t->at_entry.rdx;
        r.rax = (unsigned long)result;
        ptrace(PTRACE_SETREGS, t->pid, NULL, &r);
    }
    if (t->marked)
        book_leave(t, &t->at_entry, t->then == RETURN_ERROR_AFTER ? 0 : result);
    if (t->place > 0)
        shared->places[t->place - 1].done = result;
    if (t->process == 0 && t->marked)
        shared->parent_waits = false;
    if (t->then == KILL_IT)
        kill(t->pid, SIGKILL);
}

/* Starts a program to be traced, with those descriptors as its standard ones. */
static void
start_traced(char *const *arguments, int in, int out, int err)
{
    pid_t pid = fork();

    if (pid == 0) {
        dup2(in, 0);
        dup2(out, 1);
        dup2(err, 2);
        if (syscall(SYS_close_range, 3U, ~0U, 0U) != 0)
            for (int fd = 3; fd < 256; fd++)
                close(fd);
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGSTOP);
        execv(arguments[0], arguments);
        _exit(126);
    }
    waitpid(pid, NULL, __WALL);
    ptrace(PTRACE_SETOPTIONS, pid, NULL,
           PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
               PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL);
    processes[0] = (struct traced){.pid = pid, .started = true};
    process_count = 1;
    program_status = -1;
    shared->program = pid;
    ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
}

/* Finds the process that stopped, which may be one just forked. NULL: it is none of ours. */
static struct traced *
stopped(pid_t pid)
{
    struct traced *t = traced_find(pid);

    if (t == NULL && process_count < PROCESSES) {
        t = &processes[process_count];
        *t = (struct traced){.pid = pid, .process = process_count, .marked = processes[0].marked};
        process_count++;
    }
    return t;
}

/*
 * Follows the traced processes until all have ended. other is a child that is waited for as well,
 * or 0.
 */
static int
follow(pid_t other)
{
    int status, other_status = 0, living = 1;
    bool is_client = target.scene == TCP || target.scene == COMMAND;
    pid_t pid;

    while (living > 0 || other > 0) {
        long deliver = 0;
        struct traced *t;

        pid = waitpid(-1, &status, __WALL);
        if (pid < 0)
            break;
        if (pid == other) {
            other = 0;
            other_status = status;
            continue;
        }
        t = traced_find(pid);
        if (WIFEXITED(status) || WIFSIGNALED(status)) {
            if (t == NULL)
                continue;
            tell("process %d ended: %s %d", t->process, WIFSIGNALED(status) ? "signal" : "status",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
            if (t->process == 0)
                program_status = status;
            if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL && WTERMSIG(status) != SIGTERM)
                wrong("process %d was ended by signal %d", t->process, WTERMSIG(status));
            else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && !is_kill(target.error) &&
                     t->process == 0)
                wrong("the program was killed");
            shared->ended += t->process != 0;
            t->pid = -1;
            living--;
            continue;
        }
        t = stopped(pid);
        if (t == NULL) {
            wrong("too many processes");
            kill(pid, SIGKILL);
            continue;
        }
        if (!t->started) {      /* a new one, with its SIGSTOP */
            t->started = true;
            if (is_client) {    /* the command of -x: it is tested elsewhere */
                ptrace(PTRACE_DETACH, pid, NULL, NULL);
                t->pid = -1;
                continue;
            }
            shared->forked++;
            living++;
        } else if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
            t->in_call = !t->in_call;
            if (t->in_call)
                enter(t);
            else
                leave(t);
        } else if (status >> 16 == 0) {
            deliver = WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
        }
        ptrace(PTRACE_SYSCALL, pid, NULL, deliver);
    }
    return other_status;
}

/* ---- The mail -------------------------------------------------------------------------------- */

/* A message of the store, as it should be. */
static struct mail {
    char name[16];
    char *content;
    size_t length;
    bool there;
    char id[80];                /* that UIDL said, "" when it did not yet */
} mails[MAILS];
static int mail_count;
static char store[320], saved[320], log_path[320], errors_path[320], output_path[320];

static void
mail_set(int i, const char *name, const char *content, size_t length)
{
    struct mail *m = &mails[i];

    snprintf(m->name, sizeof m->name, "%s", name);
    free(m->content);
    m->content = malloc(length + 1);
    memcpy(m->content, content, length);
    m->length = length;
    m->there = true;
    m->id[0] = '\0';
    if (i >= mail_count)
        mail_count = i + 1;
}

/*
 * Makes the store: a common message, one with dots and bare LFs, a large one that takes several
 * reads, and one without a last line end.
 */
static void
mails_make(void)
{
    static const char plain[] =
        "Subject: one\r\nFrom: a@example.org\r\n\r\nFirst line\r\nSecond line\r\n";
    static const char dots[] = "Subject: two\n\n.\n..dots\n.leading\r\nbare\nlone \r CR\n.\n";
    static const char last[] = "Subject: four\n\nno line end";
    static char large[70 * 1024];
    size_t at = 0;

    at += (size_t)snprintf(large, sizeof large, "Subject: three\n\n");
    for (int i = 0; at < sizeof large - 80; i++)
        at += (size_t)snprintf(large + at, sizeof large - at,
                               "%s%06d of a message that takes several reads%s",
                               i % 7 == 0 ? "." : "", i, i % 3 == 0 ? "\r\n" : "\n");
    mail_set(0, "1.eml", plain, sizeof plain - 1);
    mail_set(1, "2.eml", dots, sizeof dots - 1);
    mail_set(2, "3.eml", large, at);
    mail_set(3, "4.eml", last, sizeof last - 1);
    mkdir(store, 0700);
    for (int i = 0; i < mail_count; i++)
        spill(store, mails[i].name, mails[i].content, mails[i].length);
}

/*
 * Writes what RETR sends for a message: each line end CRLF, dots doubled or not. Returns the
 * octets. Made without the programs' own header, so that both cannot be wrong alike.
 */
static size_t
mail_wire(const struct mail *m, size_t lines, bool stuffed, char *to)
{
    size_t made = 0;
    bool start = true, body = false;

    for (size_t i = 0; i < m->length;) {
        size_t end = i, stop;

        while (end < m->length && m->content[end] != '\n')
            end++;
        stop = end > i && m->content[end - 1] == '\r' && end < m->length ? end - 1 : end;
        if (body && lines == 0)
            break;
        if (stuffed && start && m->content[i] == '.')
            to[made++] = '.';
        memcpy(to + made, m->content + i, stop - i);
        made += stop - i;
        to[made++] = '\r';
        to[made++] = '\n';
        if (body)
            lines--;
        body = body || stop == i;
        i = end + 1;
    }
    return made;
}

/*
 * Returns true if a file that the client saved holds a message: each CRLF a LF, the last line
 * with its end.
 */
static bool
mail_is_saved(const struct mail *m, const char *path)
{
    static char have[100 * 1024], want[200 * 1024];
    size_t length = mail_wire(m, SIZE_MAX, false, want), at = 0;

    for (size_t i = 0; i < length; i++)
        if (!(want[i] == '\r' && i + 1 < length && want[i + 1] == '\n'))
            want[at++] = want[i];
    return slurp(path, have, sizeof have) == (ssize_t)at && memcmp(have, want, at) == 0;
}

/*
 * The store must be as it should: every message whole, or gone, and nothing else. may_go: these
 * could go.
 */
static void
store_check(const bool *may_go)
{
    static char have[100 * 1024];
    struct dirent *entry;
    DIR *directory = opendir(store);
    char path[500];

    for (int i = 0; i < mail_count; i++) {
        struct mail *m = &mails[i];
        ssize_t length;

        snprintf(path, sizeof path, "%s/%.15s", store, m->name);
        length = slurp(path, have, sizeof have);
        if (length < 0 && m->there && may_go != NULL && may_go[i])
            m->there = false;
        if (length < 0 && m->there)
            wrong("%s is gone from the store", m->name);
        else if (length >= 0 && !m->there)
            wrong("%s was confirmed as removed, and is there", m->name);
        else if (m->there &&
                 ((size_t)length != m->length || memcmp(have, m->content, m->length) != 0))
            wrong("%s is not what it was", m->name);
    }
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        bool known = entry->d_name[0] == '.';

        for (int i = 0; i < mail_count; i++)
            known = known || strcmp(entry->d_name, mails[i].name) == 0;
        if (!known)
            wrong("%s is in the store", entry->d_name);
    }
    closedir(directory);
}

/* ---- Talking to the server ------------------------------------------------------------------- */

/* A conversation with a session. strict: the fault is over, and everything must be right. */
struct talk {
    int in, out;
    bool strict, over, deviated;
    bool quit_sent;
    char last[600];             /* status line */
    char input[300 * 1024];
    size_t start, end;
    bool marked[MAILS];
    int numbers[MAILS], count;  /* message i + 1 is mails[numbers[i]] */
};

/* Something is not as without a fault. That must be the fault's doing. */
static void __attribute__((format(printf, 2, 3)))
deviate(struct talk *t, const char *format, ...)
{
    char text[900];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    tell("deviation: %s", text);
    t->deviated = true;
    if (t->strict)
        wrong("%s, and the fault was over", text);
    else if (!shared->injected)
        wrong("%s, and there was no fault", text);
    else if (is_silent(&target))
        wrong("%s, and the fault was one to get over", text);
}

/* Reads up to the line end. Returns the line without it, or NULL when the connection is over. */
static char *
talk_line(struct talk *t)
{
    for (;;) {
        char *lf = memchr(t->input + t->start, '\n', t->end - t->start);
        struct pollfd ready = {.fd = t->in, .events = POLLIN};
        ssize_t count;

        if (lf != NULL) {
            char *line = t->input + t->start;

            t->start = (size_t)(lf - t->input) + 1;
            if (lf == line || lf[-1] != '\r')
                wrong("a line that ends in LF alone");
            else
                lf[-1] = '\0';
            return line;
        }
        if (t->start > 0) {
            memmove(t->input, t->input + t->start, t->end - t->start);
            t->end -= t->start;
            t->start = 0;
        }
        if (poll(&ready, 1, PATIENCE * 1000) != 1) {
            wrong("no answer in %d s", PATIENCE);
            t->over = true;
            return NULL;
        }
        count = read(t->in, t->input + t->end, sizeof t->input - t->end);
        if (count <= 0) {
            t->over = true;
            if (t->end > 0)
                tell("a line was cut: %.*s", (int)(t->end < 80 ? t->end : 80), t->input);
            return NULL;
        }
        t->end += (size_t)count;
    }
}

/* Reads a status line. Returns true if it is +OK; if it is not, that is a deviation. */
static bool
talk_status(struct talk *t, const char *what)
{
    char *line = talk_line(t);

    snprintf(t->last, sizeof t->last, "%s", line == NULL ? "" : line);
    if (line == NULL) {
        deviate(t, "the connection was closed at %s", what);
        return false;
    }
    tell("%s: %s", what, line);
    if (strncmp(line, "+OK", 3) == 0)
        return true;
    if (strncmp(line, "-ERR ", 5) != 0)
        wrong("%s is answered %s", what, line);
    deviate(t, "%s is answered %s", what, line);
    return false;
}

/* Sends a command. Returns true if its answer is +OK. */
static bool __attribute__((format(printf, 2, 3)))
talk_say(struct talk *t, const char *format, ...)
{
    char line[200];
    va_list arguments;
    int length;

    if (t->over)
        return false;
    va_start(arguments, format);
    length = vsnprintf(line, sizeof line - 2, format, arguments);
    va_end(arguments);
    memcpy(line + length, "\r\n", 3);
    if (write(t->out, line, (size_t)length + 2) != length + 2) {
        tell("cannot send %.*s: %s", length, line, strerror(errno));
        deviate(t, "the connection was closed before %.*s", length, line);
        t->over = true;
        return false;
    }
    line[length] = '\0';
    return talk_status(t, line);
}

/* Reads the lines behind a status line, each of which must be as expected, and the dot. */
static bool
talk_body(struct talk *t, const char *what, const char *want, size_t length)
{
    const char *end = want + length;
    char *line;

    for (;;) {
        size_t have;

        line = talk_line(t);
        if (line == NULL) {
            deviate(t, "the connection was closed in %s", what);
            return false;
        }
        if (strcmp(line, ".") == 0)
            break;
        have = (size_t)(t->input + t->start - line) - 2;
        if ((size_t)(end - want) < have + 2 || memcmp(line, want, have) != 0) {
            wrong("%s holds %.100s instead of %.*s", what, line,
                  (int)(end - want < 100 ? end - want : 100), want);
            return false;
        }
        want += have + 2;
    }
    if (want != end)
        wrong("%s ends too soon", what);
    return want == end;
}

static uint64_t
octets_of(int mail)
{
    static char wire[200 * 1024];

    return mail_wire(&mails[mail], SIZE_MAX, false, wire);
}

/* STAT, LIST and UIDL, of all messages that are not marked. */
static void
talk_lists(struct talk *t)
{
    char want[2000] = "", stat[100];
    size_t at = 0;
    uint64_t octets = 0;
    int count = 0;

    for (int i = 0; i < t->count; i++)
        if (!t->marked[t->numbers[i]]) {
            uint64_t own = octets_of(t->numbers[i]);

            octets += own;
            count++;
            at +=
                (size_t)snprintf(want + at, sizeof want - at, "%d %ju\r\n", i + 1, (uintmax_t)own);
        }
    snprintf(stat, sizeof stat, "+OK %d %ju", count, (uintmax_t)octets);
    if (talk_say(t, "STAT") && strcmp(t->last, stat) != 0) {
        /*
         * A message that the fault made unreadable when the session began is left out, and then
         * all is other.
         */
        deviate(t, "STAT says %s instead of %s", t->last, stat);
        t->over = true;
        return;
    }
    if (talk_say(t, "LIST"))
        talk_body(t, "LIST", want, at);
    if (talk_say(t, "UIDL"))
        for (int i = 0; !t->over; i++) {
            char *line = talk_line(t), id[100];
            int number;

            if (line == NULL) {
                deviate(t, "the connection was closed in UIDL");
                break;
            }
            if (strcmp(line, ".") == 0) {
                if (i != count)
                    wrong("UIDL has %d lines", i);
                break;
            }
            if (sscanf(line, "%d %99s", &number, id) != 2 || number < 1 || number > t->count) {
                wrong("UIDL says %s", line);
                break;
            }
            struct mail *m = &mails[t->numbers[number - 1]];
            if (m->id[0] != '\0' && strcmp(m->id, id) != 0)
                wrong("UIDL says %s for %s that was %s", id, m->name, m->id);
            snprintf(m->id, sizeof m->id, "%.79s", id);
            for (int k = 0; k < mail_count; k++)
                if (&mails[k] != m && strcmp(mails[k].id, id) == 0)
                    wrong("%s and %s have the same unique-id", m->name, mails[k].name);
        }
}

static void
talk_retr(struct talk *t, int number, bool top)
{
    static char wire[200 * 1024];
    char what[20];

    snprintf(what, sizeof what, top ? "TOP %d 1" : "RETR %d", number);
    if (number <= t->count && talk_say(t, "%s", what))
        talk_body(t, what, wire,
                  mail_wire(&mails[t->numbers[number - 1]], top ? 1 : SIZE_MAX, true, wire));
}

static void
talk_dele(struct talk *t, int number)
{
    if (number <= t->count && talk_say(t, "DELE %d", number))
        t->marked[t->numbers[number - 1]] = true;
}

/* QUIT, and what it did to the store. */
static void
talk_quit(struct talk *t)
{
    bool fine;

    if (t->over)
        return;
    t->quit_sent = true;
    fine = talk_say(t, "QUIT");
    if (fine && talk_line(t) != NULL)
        wrong("something comes behind the answer to QUIT");
    for (int i = 0; fine && i < mail_count; i++)
        if (t->marked[i])
            mails[i].there = false;
}

/* Begins a conversation on two descriptors: the messages have the numbers that they should. */
static struct talk *
talk_begin(int in, int out)
{
    struct talk *t = calloc(1, sizeof *t);

    t->in = in;
    t->out = out;
    t->strict = shared->injected;
    for (int i = 0; i < mail_count; i++)
        if (mails[i].there)
            t->numbers[t->count++] = i;
    return t;
}

/* Waits until all sessions are over and the parent waits for the next. */
static void
parent_rests(void)
{
    double limit = seconds() + 0.2;

    while (!(shared->parent_waits && shared->ended == shared->forked) && seconds() < limit &&
           kill(shared->program, 0) == 0)
        nap();
}

/*
 * Ends a conversation, and waits for its session to end. Returns true if something was not as
 * without a fault.
 */
static bool
talk_end(struct talk *t)
{
    close(t->in);
    if (t->out != t->in)
        close(t->out);
    parent_rests();
    return t->deviated;
}

static bool
contains(const char *path, const char *text)
{
    static char log[64 * 1024];

    return slurp(path, log, sizeof log) >= 0 && strstr(log, text) != NULL;
}

/*
 * A fault that a client of the server noticed must be in the log, by name. What is done to the
 * log itself cannot be: to its write, and to the wait in front of that.
 */
static void
log_check(bool deviated)
{
    const char *text = fault_text();

    if (!deviated || is_silent(&target) || is_kill(target.error) || target.call == SYS_pselect6 ||
        (target.call == SYS_write && shared->injected_fd == STDERR_FILENO))
        return;
    if (target.error == ECONNRESET || target.error == EPIPE)
        text = "disconnected";
    if (target.error == ENOMEM || target.error == NO_MEMORY)
        text = "memory";
    if (!contains(log_path, text))
        wrong("the fault was noticed outside, and the log does not say \"%s\"", text);
}

/* ---- The scenes with the server -------------------------------------------------------------- */

static char server_line[200];   /* what it said where it listens */
static struct sockaddr_storage server_address;
static socklen_t server_length;

/* Reads the line that tells where a server listens. Returns false when it ends without. */
static bool
read_address(int out)
{
    size_t length = 0;
    char host[100];
    int port;
    struct pollfd ready = {.fd = out, .events = POLLIN};
    double limit = seconds() + PATIENCE;
    struct sockaddr_in *v4 = (struct sockaddr_in *)&server_address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&server_address;

    while (length < sizeof server_line - 1 && (length == 0 || server_line[length - 1] != '\n')) {
        if (poll(&ready, 1, 100) != 1) {
            if (contains(log_path, "standard output") && shared->injected)
                return false;
            if (seconds() > limit) {
                wrong("the server does not say where it listens, and goes on");
                return false;
            }
            continue;
        }
        if (read(out, server_line + length, 1) != 1)
            return false;
        length++;
    }
    server_line[length] = '\0';
    memset(&server_address, 0, sizeof server_address);
    if (sscanf(server_line, "listening on %99s port %d", host, &port) != 2) {
        wrong("the server says %s", server_line);
        return false;
    }
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        server_length = sizeof *v4;
    } else {
        inet_pton(AF_INET6, host, &v6->sin6_addr);
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        server_length = sizeof *v6;
    }
    return true;
}

/* Connects, and reads the greeting. */
static struct talk *
talk_connect(void)
{
    struct timeval patience = {.tv_sec = PATIENCE};
    int fd = socket(server_address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct talk *t = talk_begin(fd, fd);

    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(fd, (struct sockaddr *)&server_address, server_length) != 0) {
        deviate(t, "cannot connect: %s", strerror(errno));
        t->over = true;
    } else if (!talk_status(t, "the greeting")) {
        t->over = true;
    }
    return t;
}

/*
 * What is talked with the server of this scene, in a process of its own. It ends with 1 when
 * something deviated.
 */
static _Noreturn void
talk_net(int out)
{
    struct talk *t;
    bool deviated;
    static char longer[1000];
    char path[500], other[500];
    bool listening = read_address(out);

    if (!listening) {
        kill(shared->program, SIGTERM);     /* if it is there */
        _exit(2);
    }

    t = talk_connect();
    if (!t->over && talk_say(t, "CAPA")) {
        static const char capabilities[] =
            "TOP\r\nUIDL\r\nUSER\r\nRESP-CODES\r\nPIPELINING\r\nEXPIRE NEVER\r\n";

        talk_body(t, "CAPA", capabilities, sizeof capabilities - 1);
    }
    talk_lists(t);
    talk_retr(t, 1, false);
    talk_retr(t, 2, true);
    talk_retr(t, 2, false);
    talk_retr(t, 3, false);
    talk_dele(t, 2);
    talk_dele(t, 4);
    talk_quit(t);
    deviated = talk_end(t);
    store_check(t->quit_sent ? t->marked : NULL);

    /* What happens to a store: a message comes, one is written to, one goes. */
    snprintf(path, sizeof path, "%s/.5", store);
    snprintf(other, sizeof other, "%s/5.eml", store);
    mail_set(4, "5.eml", "Subject: five\n\nNew\n", 19);
    spill(store, ".5", mails[4].content, mails[4].length);
    rename(path, other);
    memcpy(longer, mails[0].content, mails[0].length);
    memcpy(longer + mails[0].length, "Longer\n", 7);
    mail_set(0, "1.eml", longer, mails[0].length + 7);
    spill(store, "1.eml", mails[0].content, mails[0].length);

    t = talk_connect();
    talk_lists(t);
    talk_retr(t, 1, false);
    talk_dele(t, 1);
    talk_dele(t, 2);
    mail_set(4, "5.eml", "Subject: fife\n\nNew\n", 19);      /* in the middle of a session */
    spill(store, "5.eml", mails[4].content, mails[4].length);
    if (!t->over) {
        char line[20];
        int length = snprintf(line, sizeof line, "RETR %d\r\n", t->count);
        char *answer;

        if (write(t->out, line, (size_t)length) == length) {
            answer = talk_line(t);
            if (answer == NULL)
                deviate(t, "the connection was closed at RETR of a message that changed");
            else if (strncmp(answer, "-ERR ", 5) != 0)
                wrong("a message that changed is answered %s", answer);
        }
    }
    deviated = talk_end(t) || deviated;     /* without QUIT: nothing goes */
    store_check(NULL);

    do {                        /* once, or once more when this was the one that met the fault */
        bool strict;

        t = talk_connect();
        strict = t->strict;
        talk_lists(t);
        for (int i = 1; i <= t->count; i++)
            talk_retr(t, i, false);
        talk_quit(t);
        deviated = talk_end(t) || deviated;
        store_check(NULL);
        if (strict || !shared->injected)
            break;
    } while (true);

    kill(shared->program, SIGTERM);
    _exit(deviated);
}

/* Plays the server, its start, its loop and its sessions. */
static void
play_net(void)
{
    char *arguments[] = {(char *)(uintptr_t)server, (char *)(uintptr_t) "-d", store,
                         (char *)(uintptr_t) "0", NULL};
    int out[2], in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int err = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600), status;
    pid_t talker;

    if (pipe2(out, O_CLOEXEC) != 0)
        exit(3);
    start_traced(arguments, in, out[1], err);
    close(out[1]);
    talker = fork();
    if (talker == 0)
        talk_net(out[0]);
    close(out[0]);
    status = follow(talker);

    if (is_kill(target.error) && target.process == 0)
        return;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 2) {
        /* It never listened: then it has said why. */
        if (contains(log_path, "standard output"))
            return;
        if (!WIFEXITED(program_status) || WEXITSTATUS(program_status) != 1)
            wrong("the server did not start, and its status is not 1");
        else if (is_silent(&target))
            wrong("the server did not start, and the fault was one to get over");
        log_check(true);
        return;
    }
    log_check(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    if (!WIFEXITED(program_status) || WEXITSTATUS(program_status) != 0)
        wrong("the server did not end with status 0 when it was told to");
    if (!contains(log_path, "stopped") && target.call != SYS_pselect6 &&
        !(target.call == SYS_write && shared->injected_fd == 2))
        wrong("the server did not say that it stopped");
    if (is_kill(target.error) && !contains(log_path, "killed by signal 9"))
        wrong("the server did not say that a session was killed");
}

/* A session on pipes, with a login. */
static void
play_login(void)
{
    char passfile[400];
    char *arguments[] = {(char *)(uintptr_t)server,
                         (char *)(uintptr_t) "-i",
                         (char *)(uintptr_t) "-d",
                         store,
                         (char *)(uintptr_t) "-p",
                         passfile,
                         NULL};
    int to[2], from[2], err = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600),
                        status;
    pid_t talker;

    snprintf(passfile, sizeof passfile, "%s/passfile", here);
    spill(here, "passfile", "joe:secret word\n", 16);
    if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0)
        exit(3);
    start_traced(arguments, to[0], from[1], err);
    close(to[0]);
    close(from[1]);
    talker = fork();
    if (talker == 0) {
        struct talk *t = talk_begin(from[0], to[1]);

        signal(SIGPIPE, SIG_IGN);
        t->strict = false;      /* there is one session, and it has the fault */
        if (!talk_status(t, "the greeting"))
            t->over = true;
        talk_say(t, "USER joe");
        if (!talk_say(t, "PASS secret word"))
            t->over = true;
        talk_lists(t);
        talk_retr(t, 1, false);
        talk_dele(t, 1);
        talk_quit(t);
        close(t->out);
        /* The connection's end comes before the process's, and the last it does is no removal. */
        while (t->in >= 0 && read(t->in, t->input, sizeof t->input) > 0)
            continue;
        store_check(t->quit_sent ? t->marked : NULL);
        _exit(t->deviated);
    }
    close(to[1]);
    close(from[0]);
    status = follow(talker);
    if (is_kill(target.error))
        return;
    log_check(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    if (!WIFEXITED(program_status) || WEXITSTATUS(program_status) > 1)
        wrong("the session ended with a strange status");
}

/* ---- The scenes with the client -------------------------------------------------------------- */

static char reference_output[SCENES][64 * 1024];

/* Starts a program that is not traced. Returns its pid. */
static pid_t
start_plain(char *const *arguments, int in, int out, int err)
{
    pid_t pid = fork();

    if (pid == 0) {
        dup2(in, 0);
        dup2(out, 1);
        dup2(err, 2);
        execv(arguments[0], arguments);
        _exit(126);
    }
    return pid;
}

/*
 * The directory of saved messages must hold whole messages under the names that they may have,
 * and nothing hidden unless a removal of it was made to fail or the client was killed.
 */
static void
saved_check(bool *have, bool leftovers)
{
    struct dirent *entry;
    DIR *directory = opendir(saved);

    memset(have, 0, MAILS * sizeof *have);
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        char path[800];
        int number;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", saved, entry->d_name);
        if (entry->d_name[0] == '.') {
            if (!leftovers)
                wrong("%s was left behind", entry->d_name);
        } else if (sscanf(entry->d_name, "%d", &number) != 1 || number < 1 || number > mail_count) {
            wrong("%s is among the saved files", entry->d_name);
        } else if (strcmp(entry->d_name, "3.eml") == 0 && !mail_is_saved(&mails[2], path)) {
            if (!mail_is_saved(&mails[0], path))    /* which was there before, under that name */
                wrong("a file that was there is not what it was");
        } else if (!mail_is_saved(&mails[number - 1], path)) {
            wrong("%s is not the message that it is said to be", entry->d_name);
        } else {
            have[number - 1] = true;
        }
    }
    if (directory != NULL)
        closedir(directory);
}

/* Every line that says that a message is saved must be true. */
static void
claims_check(char *output)
{
    char *rest = NULL;

    for (char *line = strtok_r(output, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        char *name = strstr(line, saved), path[800];
        int number;

        if ((strncmp(line, "saved ", 6) != 0 && strncmp(line, "already saved as ", 17) != 0) ||
            name == NULL)
            continue;
        if (sscanf(name, "%799s", path) != 1 ||
            sscanf(name + strlen(saved) + 1, "%d", &number) != 1 || number < 1 ||
            number > mail_count || !mail_is_saved(&mails[number - 1], path))
            wrong("it said \"%s\", and that is not so", line);
    }
}

static void
late(int number)
{
    (void)number;
    for (int i = 0; i < process_count; i++)
        if (processes[i].pid > 0)
            kill(processes[i].pid, SIGKILL);
    snprintf(shared->failure, sizeof shared->failure, "it hangs");
    _exit(1);
}

/* Waits for children that are not traced. */
static void
wait_for_all(void)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR)
        if (pid > 0 &&
            WIFSTOPPED(status)) /* one that was forked just before its parent was killed */
            ptrace(PTRACE_DETACH, pid, NULL, NULL);
}

static void
play_client(void)
{
    static const char script[] =
        "CAPA\nSTAT\nLIST\nUIDL\nTOP 1 1\nRETR 1\nRETR *\nSHOW 2\nDELE 1 4\nQUIT\n";
    char command[1000], port[20] = "", path[500], output[64 * 1024], errors_said[16 * 1024],
                        copy[64 * 1024];
    char *over_tcp[] = {(char *)(uintptr_t)client,
                        (char *)(uintptr_t) "-d",
                        saved,
                        (char *)(uintptr_t) "127.0.0.1",
                        port,
                        NULL};
    char *over_pipes[] = {(char *)(uintptr_t)client,
                          (char *)(uintptr_t) "-d",
                          saved,
                          (char *)(uintptr_t) "-x",
                          command,
                          NULL};
    char *serving[] = {(char *)(uintptr_t)plain_server,
                       (char *)(uintptr_t) "-a",
                       (char *)(uintptr_t) "127.0.0.1",
                       (char *)(uintptr_t) "-d",
                       store,
                       (char *)(uintptr_t) "0",
                       NULL};
    int out[2], in, result, err, server_err, status;
    bool have[MAILS], all, leftovers;
    struct stat above;
    pid_t serving_pid = 0;

    spill(here, "script", script, sizeof script - 1);
    server_err = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (target.scene == TCP) {
        if (pipe2(out, O_CLOEXEC) != 0)
            exit(3);
        in = open("/dev/null", O_RDONLY | O_CLOEXEC);
        serving_pid = start_plain(serving, in, out[1], server_err);
        close(out[1]);
        close(in);
        if (!read_address(out[0]))
            exit(3);
        snprintf(port, sizeof port, "%d", ntohs(((struct sockaddr_in *)&server_address)->sin_port));
    } else {
        /*
         * One that was saved before, as it is found by the first RETR; and one whose name is
         * taken.
         */
        static char wire[200 * 1024];
        size_t length = mail_wire(&mails[0], SIZE_MAX, false, wire), at = 0;

        for (size_t i = 0; i < length; i++)
            if (wire[i] != '\r')
                wire[at++] = wire[i];
        mkdir(saved, 0700);
        spill(saved, "1.eml", wire, at);
        spill(saved, "3.eml", wire, at);
        snprintf(path, sizeof path, "%s/3.eml", saved);
        if (stat(path, &above) == 0)
            *book_dirty(above.st_ino) = false;  /* nobody is about to call this one saved */
        snprintf(command, sizeof command, "exec %s -i -d %s 2>>%s", plain_server, store, log_path);
    }
    if (stat(here, &above) == 0)
        book.above = above.st_ino;

    snprintf(path, sizeof path, "%s/script", here);
    in = open(path, O_RDONLY | O_CLOEXEC);
    result = open(output_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    err = open(errors_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    start_traced(target.scene == TCP ? over_tcp : over_pipes, in, result, err);
    follow(0);
    status = program_status;
    if (serving_pid > 0)
        kill(serving_pid, SIGTERM);     /* it lets a session finish its QUIT */
    wait_for_all();

    slurp(output_path, output, sizeof output);
    slurp(errors_path, errors_said, sizeof errors_said);
    tell("status %x\n%s%s", (unsigned)status, output, errors_said);
    memcpy(copy, output, sizeof copy);
    if (target.error == 0)      /* then this is the reference */
        memcpy(reference_output[target.scene], output, sizeof output);

    leftovers = is_kill(target.error) || target.call == SYS_unlinkat || target.call == SYS_unlink;
    saved_check(have, leftovers);
    claims_check(copy);
    /* What went from the store is saved, or was before. */
    bool may_go[MAILS] = {shared->quit_sent && have[0], false, false, shared->quit_sent && have[3]};
    store_check(may_go);
    if (strstr(output, "were removed") != NULL && (mails[0].there || mails[3].there))
        wrong("it said that messages were removed, and they are there");
    if (strstr(errors_said, "nothing was removed") != NULL && !(mails[0].there && mails[3].there))
        wrong("it said that nothing was removed, and that is not so");

    if (!is_kill(target.error)) {
        all = have[0] && have[1] && have[2] && have[3] && !mails[0].there && !mails[3].there;
        if (!WIFEXITED(status) || WEXITSTATUS(status) > 1)
            wrong("the client ended with a strange status");
        else if (WEXITSTATUS(status) == 0 && !all)
            wrong("the client ended with 0, and not all is done");
        else if (WEXITSTATUS(status) == 0 &&
                 strlen(output) != strlen(reference_output[target.scene]) &&
                 target.call != SYS_unlinkat && strstr(output, "-1.eml") == NULL)
            wrong("the client ended with 0, and did not show all:\n%s", output);
        else if (WEXITSTATUS(status) == 1 && is_silent(&target) && target.error != 0)
            wrong("the client failed, and the fault was one to get over: %s", errors_said);
        else if (WEXITSTATUS(status) == 1 && errors_said[0] == '\0' &&
                 !(target.call == SYS_write && shared->injected_fd == STDERR_FILENO))
            wrong("the client failed, and did not say why");
        if (target.error == 0 && WEXITSTATUS(status) != 0)
            wrong("the client failed without a fault: %s", errors_said);
    } else {
        /* The next client is not disturbed by what a dead one left. */
        char *again[] = {(char *)(uintptr_t)plain_client,
                         (char *)(uintptr_t) "-d",
                         saved,
                         (char *)(uintptr_t) "-x",
                         command,
                         NULL};
        bool had[MAILS];

        memcpy(had, have, sizeof had);
        spill(here, "script", "RETR *\nQUIT\n", 12);
        snprintf(command, sizeof command, "exec %s -i -d %s 2>>%s", plain_server, store, log_path);
        in = open(path, O_RDONLY | O_CLOEXEC);
        waitpid(start_plain(again, in, result, err), &status, 0);
        wait_for_all();
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            wrong("the next client does not succeed");
        /* The numbers are others now that some are gone, so only the octets can be compared. */
    }
}

/* ---- Playing a case -------------------------------------------------------------------------- */

/* Removes a directory with all that is in it; these are two levels deep. */
static void
clear(const char *path)
{
    DIR *directory = opendir(path);
    struct dirent *entry;
    char name[900];

    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (unlink(name) != 0)
            clear(name);
    }
    if (directory != NULL)
        closedir(directory);
    rmdir(path);
}

/*
 * Plays the scene of a case, with its fault, in a process of its own. Returns true if the fault
 * was made.
 */
static bool
play(const struct place *what, int job)
{
    pid_t pid;
    int status;

    shared->injected = false;
    shared->injected_fd = -1;
    shared->parent_waits = false;
    shared->forked = shared->ended = 0;
    shared->quit_sent = false;
    shared->failure[0] = '\0';
    target = *what;
    snprintf(here, sizeof here, "%s/case-%d", base, job);
    snprintf(store, sizeof store, "%s/store", here);
    snprintf(saved, sizeof saved, "%s/saved", here);
    snprintf(log_path, sizeof log_path, "%s/log", here);
    snprintf(errors_path, sizeof errors_path, "%s/errors", here);
    snprintf(output_path, sizeof output_path, "%s/output", here);
    clear(here);
    mkdir(here, 0700);
    mail_count = 0;
    mails_make();

    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        signal(SIGALRM, late);
        signal(SIGPIPE, SIG_IGN);
        alarm(CASE_SECONDS);
        if (target.scene == NET)
            play_net();
        else if (target.scene == LOGIN)
            play_login();
        else
            play_client();
        if (telling) {
            static char log[64 * 1024];

            if (slurp(log_path, log, sizeof log) >= 0)
                tell("log:\n%s", log);
        }
        fflush(stdout);
        _exit(0);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (!WIFEXITED(status) || WEXITSTATUS(status) == 3)
        wrong("the driver itself failed, status %x", (unsigned)status);
    return shared->injected;
}

/* Returns true if an error can come at a place. */
static bool
applies(const struct place *p, int error)
{
    bool shortens = error == SHORT || error == HALF,
         events = p->scene == NET && p->process == 0 && p->call == SYS_read;

    if (shortens && (p->done < 2 || (error == HALF && p->done < 4)))
        return false;
    if (events && (shortens || error == EAGAIN))
        return false;           /* the kernel tells of changes whole, and not later */
    if ((error == ENOSYS || error == EOPNOTSUPP) && p->call == 444 && (p->process > 0 || p->n > 1))
        return false;           /* a system has Landlock or it has not */
    if (error == EACCES && p->call == SYS_openat && p->scene <= LOGIN && p->process == 0)
        return false;           /* a file is forbidden until its mode changes, which is told */
    if ((error == EAGAIN || error == ECONNRESET || error == EPIPE) &&
        (p->call == SYS_read || p->call == SYS_write || p->call == SYS_writev) && !p->stream)
        return false;           /* not from a file */
    return true;
}

/* Returns true if a scene's process is killed at each of its calls. */
static bool
is_killed(const struct place *p)
{
    return (p->scene == NET && p->process == 1) || (p->scene == LOGIN && p->process == 0) ||
           p->scene == TCP || p->scene == COMMAND;
}

/* Returns true if others see that a call was made: on the disk, or on the wire. */
static bool
leaves_traces(long call)
{
    static const long numbers[] = {SYS_write,  SYS_writev,    SYS_pwrite64, SYS_sendto,
                                   SYS_openat, SYS_open,      SYS_mkdir,    SYS_mkdirat,
                                   SYS_linkat, SYS_renameat2, SYS_unlinkat, SYS_unlink,
                                   SYS_fsync,  SYS_fdatasync, SYS_syncfs,   SYS_sync,      SYS_ftruncate,
                                   SYS_close,  SYS_shutdown,  SYS_connect};

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (numbers[i] == call)
            return true;
    return false;
}

/*
 * Plays a scene without a fault, to learn its places. On a busy machine it may hold waits that
 * are too long to be met again, so the shortest of some is taken. Returns false when something
 * was wrong even so.
 */
static bool
learn(enum scene scene)
{
    const struct place whole = {.scene = scene, .process = -1};
    static struct place shortest[PLACES];
    size_t count = SIZE_MAX;

    for (int i = 0; i < LEARNED; i++) {
        shared->place_count = 0;
        play(&whole, 0);
        if (shared->failure[0] != '\0')
            return false;
        if (shared->place_count < count) {
            count = shared->place_count;
            memcpy(shortest, shared->places, count * sizeof *shortest);
        }
        if (scene == TCP || scene == COMMAND)
            slurp(output_path, reference_output[scene], sizeof reference_output[scene]);
    }
    memcpy(shared->places, shortest, count * sizeof *shortest);
    shared->place_count = count;
    return true;
}

static struct place *cases;
static size_t case_count;

static void
add_case(const struct place *p, int error)
{
    cases = realloc(cases, (case_count + 1) * sizeof *cases);
    cases[case_count] = *p;
    cases[case_count++].error = error;
}

/* Plays every case that is this job's. */
static void
work(int job, volatile size_t *next, struct shared *totals, const char *repeat)
{
    size_t i;

    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    while ((i = __atomic_fetch_add(next, 1, __ATOMIC_SEQ_CST)) < case_count) {
        bool met = false;

        for (int try = 0; try < TRIES && !met; try++)
            met = play(&cases[i], job) || shared->failure[0] != '\0';
        __atomic_fetch_add(&totals->cases, 1, __ATOMIC_SEQ_CST);
        if (shared->failure[0] != '\0') {
            __atomic_fetch_add(&totals->failures, 1, __ATOMIC_SEQ_CST);
            printf("not ok - %s: %s\n    %s %s\n", case_name(&cases[i]), shared->failure, repeat,
                   case_name(&cases[i]));
            fflush(stdout);
        } else if (!met) {
            __atomic_fetch_add(&totals->unmet, 1, __ATOMIC_SEQ_CST);
            printf("not met - %s\n", case_name(&cases[i]));
            fflush(stdout);
        }
    }
    exit(0);
}

/* Returns true if this machine lets a process be traced and changed. */
static bool
is_possible(void)
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
            _exit(1);
        raise(SIGSTOP);
        _exit(0);
    }
    if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
        return false;
    status = ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) == 0;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return status;
}

int
main(int argc, char **argv)
{
    size_t places = 0, kills = 0, faults = 0;
    const char *tmp = getenv("TMPDIR"), *repeat = getenv("REPEAT");
    struct shared *totals;
    size_t *next;
    struct place whole_case;
    bool failed = false;
    double began = seconds();

    if (!is_possible()) {
        puts("no faults can be made: this machine does not let one process trace another");
        return 77;
    }
    if (argc == 1)
        return 0;
    if (argc < 5) {
        fputs("usage: faults [SERVER CLIENT PLAIN-SERVER PLAIN-CLIENT [CASE... | PART]]\n", stderr);
        return 2;
    }
    server = argv[1];
    client = argv[2];
    plain_server = argv[3];
    plain_client = argv[4];
    setenv("LC_ALL", "C", 1);
    signal(SIGPIPE, SIG_IGN);
    snprintf(base, sizeof base, "%s/pop3-faults-XXXXXX", tmp != NULL ? tmp : "/tmp");
    if (mkdtemp(base) == NULL) {
        perror(base);
        return 1;
    }
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    next = mmap(NULL, sizeof *next, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    for (int i = 0; i < SCENES; i++) {
        if (!learn((enum scene)i)) {
            printf("not ok - %s without a fault: %s\n", scene_names[i], shared->failure);
            failed = true;
            break;
        }
        for (size_t k = 0; k < shared->place_count; k++) {
            const struct place *p = &shared->places[k];
            const struct call *call = call_of(p->call);

            if (call->never || p->sure)
                continue;
            places++;
            if (is_killed(p)) {
                add_case(p, KILL_BEFORE);
                kills++;
            }
            if (is_killed(p) &&
                leaves_traces(p->call)) { /* after another, all is as before the next */
                add_case(p, KILL_AFTER);
                kills++;
            }
            for (int e = 0; e < MOST && call->errors[e] != 0; e++)
                if (applies(p, call->errors[e])) {
                    add_case(p, call->errors[e]);
                    faults++;
                }
        }
    }

    if (argc == 6 && !failed && !case_read(argv[5], &whole_case)) {
        size_t kept = 0;

        for (size_t i = 0; i < case_count; i++)
            if (strncmp(case_name(&cases[i]), argv[5], strlen(argv[5])) == 0)
                cases[kept++] = cases[i];
        case_count = kept;
    } else if (argc > 5 && !failed) {
        telling = true;
        for (int i = 5; i < argc; i++) {
            struct place p;

            if (!case_read(argv[i], &p)) {
                printf("%s is no case\n", argv[i]);
                return 2;
            }
            for (size_t k = 0; k < case_count; k++)     /* with what was learned about it */
                if (cases[k].scene == p.scene && cases[k].process == p.process &&
                    cases[k].call == p.call && cases[k].n == p.n && cases[k].error == p.error)
                    p = cases[k];
            bool met = play(&p, 0);
            printf("%s - %s%s%s\n", shared->failure[0] != '\0' ? "not ok" : "ok", argv[i],
                   met ? "" : " (not met)", shared->failure);
            failed = failed || shared->failure[0] != '\0';
        }
        clear(base);
        return failed;
    }

    totals = shared;
    totals->cases = totals->failures = totals->unmet = 0;
    fflush(stdout);
    if (!failed)
        for (int job = 0; job < JOBS; job++)
            if (fork() == 0)
                work(job, next, totals, repeat != NULL ? repeat : "tests/faults/faults.sh");
    while (wait(NULL) > 0 || errno == EINTR)
        continue;
    printf("%zu places, %zu faults and %zu kills there: %zu cases in %.0f s, "
           "%zu failed, %zu not met\n",
           places, faults, kills, totals->cases, seconds() - began, totals->failures,
           totals->unmet);
    clear(base);
    return failed || totals->failures > 0 || totals->cases != case_count;
}

#endif
#endif
