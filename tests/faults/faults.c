/*
 * faults.c - makes each system call of the two programs fail, and kills them before and after it
 *
 *   faults                             status 0 if this machine allows it
 *   faults SERVER CLIENT               every case
 *   faults SERVER CLIENT PREFIX        cases whose names begin with this
 *   faults SERVER CLIENT CASE...       these cases, with a trace
 *
 * It is built three times. With PROGRAM, the name of a source in quotes, it is that program, and
 * its main() first makes a marker system call that does nothing. Without PROGRAM it is the driver,
 * which traces a marked program with ptrace, from the marker on. So it sees every call that the
 * kernel sees, including those of the C library, in static and dynamic programs.
 *
 * A scene is a program in a situation: the server with connections, a session on pipes with a
 * login, the client with a server or with -x. The driver first runs it without a fault and records
 * its calls: process, call, and how often the process made that call before. Then it runs the scene
 * again for each of them and each error that can occur there. A call that fails does nothing; a
 * short one transfers less. The name of a case is SCENE:PROCESS:CALL:N:ERROR.
 *
 * After each fault:
 * - The next session of the same server is correct in every octet.
 * - A message is gone from the store only if QUIT removed it, or a complete file of it was saved.
 * - No saved file is incomplete, and no temporary file is left.
 * - If a client of the server noticed the fault, the log names it. If the client could not do
 *   something, standard error has the reason, and the status is 1.
 * - Nobody notices an interrupted or short call. Nothing hangs or crashes.
 *
 * A kill loses nothing that was written, but a power failure loses what was not synced. So the
 * driver records what is on disk: a file gets its name only after its content is on disk, and
 * nothing is reported as saved or removed before that is on disk.
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

#ifndef SYS_landlock_create_ruleset     /* older headers */
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif

#ifndef __x86_64__
int
main(void)
{
    puts("no faults can be injected: this is not x86-64");
    return 77;
}
#else

enum {
    JOBS = 2,                   /* cases at the same time */
    PATIENCE = 60,              /* seconds for an answer */
    CASE_SECONDS = 300,         /* for one case */
    TRIES = 4,                  /* for a call that is not made in every run */
    RECORDINGS = 3,                /* runs of a scene without a fault */
    CALLS = 512,                /* system call numbers are below this */
    SITES = 6000,
    PROCESSES = 8,              /* of one scene */
    MAILS = 6,
    TEXT = 4096,
    MARK = 0x706f7033,
    LANDLOCK_VERSION = 1        /* a flag: return the version alone */
};

/* ---- What can fail, and how ------------------------------------------------------------------ */

/*
 * Faults that are no errno: a call transfers only one byte or half of what it could, all memory
 * calls fail until another call, the process is killed. NONE marks calls that are left alone.
 */
enum { SHORT = 1000, HALF, NO_MEMORY, KILL_BEFORE, KILL_AFTER, NONE };

static const struct {
    int error;
    const char *name;
} errors[] = {
#define ERROR(name) {name, #name}
    ERROR(EINTR), ERROR(EIO), ERROR(ENOSPC), ERROR(EMFILE), ERROR(ENFILE), ERROR(ENOMEM),
    ERROR(EAGAIN), ERROR(EPIPE), ERROR(ECONNRESET), ERROR(ENOBUFS), ERROR(EPERM),
    ERROR(ECONNABORTED), ERROR(EADDRINUSE), ERROR(EADDRNOTAVAIL), ERROR(EAFNOSUPPORT),
    ERROR(ECONNREFUSED), ERROR(ETIMEDOUT), ERROR(EDQUOT), ERROR(EFBIG), ERROR(EACCES),
    ERROR(EROFS), ERROR(EMLINK), ERROR(EOPNOTSUPP), ERROR(EINVAL), ERROR(ENOSYS), ERROR(ENOTCONN),
    ERROR(ENOTTY), ERROR(ECHILD), ERROR(ESRCH), ERROR(EBUSY), ERROR(E2BIG), ERROR(EEXIST),
    ERROR(SHORT), ERROR(HALF), ERROR(NO_MEMORY), ERROR(KILL_BEFORE), ERROR(KILL_AFTER),
#undef ERROR
};

enum { MOST = 9 };              /* errors of one call */

/*
 * The calls and the errors that occur there. A call that is not in the list gets EIO, ENOMEM and
 * EINTR. Those at the end cannot fail if called correctly, so they get none. (execve: before it the
 * program does not run; set_robust_list: the C library's, after a fork.)
 */
static const struct call {
    long number;
    const char *name;
    int errors[MOST];
} calls[] = {
#define CALL(name, ...) {SYS_##name, #name, {__VA_ARGS__}}
    CALL(read, EINTR, EIO, EAGAIN, ECONNRESET, ENOMEM, SHORT, HALF),
    CALL(pread64, EINTR, EIO, ENOMEM, SHORT, HALF),
    CALL(write, EINTR, EIO, ENOSPC, EAGAIN, EPIPE, EDQUOT, EFBIG, SHORT, HALF),
    CALL(pwrite64, EINTR, EIO, ENOSPC, EDQUOT, SHORT, HALF),
    CALL(writev, EINTR, EIO, ENOSPC, EAGAIN, EPIPE),
    CALL(readv, EINTR, EIO, EAGAIN),
    CALL(sendto, EINTR, EAGAIN, ECONNRESET, EPIPE, ENOBUFS, ENOMEM, SHORT, HALF),
    CALL(recvfrom, EINTR, EAGAIN, ECONNRESET, ENOMEM, SHORT, HALF),
    CALL(open, EINTR, EIO, EMFILE, ENFILE, ENOMEM, EACCES, ENOSPC),
    CALL(openat, EINTR, EIO, EMFILE, ENFILE, ENOMEM, EACCES, ENOSPC),
    CALL(newfstatat, EIO, ENOMEM, EINTR),
    CALL(fstat, EIO, ENOMEM, EINTR),
    CALL(stat, EIO, ENOMEM, EINTR, EACCES),
    CALL(lstat, EIO, ENOMEM, EINTR, EACCES),
    CALL(statx, EIO, ENOMEM, EINTR),
    CALL(statfs, EIO, ENOMEM, EINTR),
    CALL(fstatfs, EIO, ENOMEM, EINTR),
    CALL(getdents64, EIO, ENOMEM, EINTR),
    CALL(close, EINTR, EIO, ENOSPC, EDQUOT),
    CALL(fsync, EINTR, EIO, ENOSPC, EDQUOT, EROFS),
    CALL(fdatasync, EINTR, EIO, ENOSPC, EDQUOT),
    CALL(syncfs, EINTR, EIO, ENOSPC, EDQUOT, ENOSYS),
    CALL(linkat, EIO, ENOSPC, EPERM, EMLINK, EINTR, EDQUOT, EOPNOTSUPP, EEXIST),
    CALL(renameat2, EIO, ENOSPC, EINTR, EDQUOT, EINVAL, EEXIST),
    CALL(unlinkat, EIO, EACCES, EROFS, EINTR, EBUSY),
    CALL(unlink, EIO, EACCES, EROFS, EINTR, EBUSY),
    CALL(mkdir, EIO, ENOSPC, EINTR, EACCES, EDQUOT),
    CALL(mkdirat, EIO, ENOSPC, EINTR, EACCES, EDQUOT),
    CALL(ftruncate, EIO, EINTR, ENOSPC),
    CALL(fallocate, EIO, EINTR, ENOSPC, EOPNOTSUPP),
    CALL(lseek, EIO),
    CALL(mmap, ENOMEM, NO_MEMORY),
    CALL(brk, ENOMEM, NO_MEMORY),
    CALL(mremap, ENOMEM, NO_MEMORY),
    CALL(mprotect, ENOMEM),
    CALL(munmap, ENOMEM),
    CALL(madvise, ENOMEM),
    CALL(clone, EAGAIN, ENOMEM),
    CALL(fork, EAGAIN, ENOMEM),
    CALL(pipe2, EMFILE, ENFILE),
    CALL(pipe, EMFILE, ENFILE),
    CALL(socketpair, EMFILE, ENFILE, ENOMEM),
    CALL(dup2, EINTR, EBUSY),
    CALL(poll, EINTR, ENOMEM, EAGAIN),
    CALL(pselect6, EINTR, ENOMEM),
    CALL(accept, EINTR, EMFILE, ENFILE, ENOBUFS, ENOMEM, ECONNABORTED, EAGAIN, EPERM),
    CALL(accept4, EINTR, EMFILE, ENFILE, ENOBUFS, ENOMEM, ECONNABORTED, EAGAIN, EPERM),
    CALL(socket, EMFILE, ENFILE, ENOBUFS, ENOMEM, EAFNOSUPPORT, EACCES),
    CALL(bind, EADDRINUSE, EADDRNOTAVAIL, EACCES, ENOMEM),
    CALL(listen, EADDRINUSE, ENOBUFS),
    CALL(connect, ECONNREFUSED, ETIMEDOUT, EADDRNOTAVAIL, ENOMEM, EAGAIN),
    CALL(shutdown, ENOTCONN, ENOBUFS),
    CALL(getsockname, ENOBUFS),
    CALL(getpeername, ENOBUFS, ENOTCONN),
    CALL(getsockopt, ENOBUFS, ENOMEM),
    CALL(setsockopt, ENOBUFS, ENOMEM, EINVAL),
    CALL(ioctl, ENOTTY, EIO, EINTR),
    CALL(fcntl, ENOMEM, EINTR),
    CALL(inotify_init1, EMFILE, ENFILE, ENOMEM),
    CALL(inotify_add_watch, ENOSPC, ENOMEM, EACCES),
    CALL(wait4, EINTR, ECHILD),
    CALL(kill, ESRCH, EPERM),
    CALL(getrandom, EAGAIN, EINTR, ENOSYS),
    CALL(prctl, EINVAL, EPERM, ENOMEM),
    CALL(prlimit64, EPERM, EINVAL),
    CALL(setrlimit, EPERM, EINVAL),
    CALL(seccomp, ENOSYS, EINVAL, EACCES, ENOMEM),
    CALL(landlock_create_ruleset, ENOSYS, EOPNOTSUPP, EPERM, ENOMEM, EMFILE),
    CALL(landlock_add_rule, EINVAL, ENOMEM),
    CALL(landlock_restrict_self, EPERM, E2BIG, ENOMEM),
    CALL(setuid, EAGAIN, EPERM, ENOMEM),
    CALL(setgid, EPERM, ENOMEM),
    CALL(setgroups, EPERM, ENOMEM),

#undef CALL
#define NEVER(name) {SYS_##name, #name, {NONE}}
    NEVER(execve), NEVER(rt_sigaction), NEVER(rt_sigprocmask), NEVER(rt_sigpending),
    NEVER(rt_sigreturn), NEVER(restart_syscall), NEVER(clock_gettime), NEVER(gettimeofday),
    NEVER(time), NEVER(getpid), NEVER(getppid), NEVER(gettid), NEVER(getuid), NEVER(geteuid),
    NEVER(getgid), NEVER(getegid), NEVER(umask), NEVER(set_robust_list), NEVER(set_tid_address),
    NEVER(rseq), NEVER(exit), NEVER(exit_group),
#undef NEVER
};

/* Returns the entry of a call, or a default entry. */
static const struct call *
call_of(long number)
{
    static const struct call any = {0, NULL, {EIO, ENOMEM, EINTR}};

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

/* ---- Cases and shared state ------------------------------------------------------------------ */

enum scene { NET, LOGIN, TCP, COMMAND, SCENES };

static const char *const scene_names[SCENES] = {"net", "login", "tcp", "command"};

/* A call, and the fault that it gets. */
struct site {
    enum scene scene;
    int process;                /* 0 is the program, 1 the first process that it forked, ... */
    long call;
    int n;                      /* the first call is 1 */
    int error;                  /* 0: none */
    /* Recorded without a fault: */
    long done;                  /* the result */
    bool stream;                /* the descriptor is a pipe, a socket or a terminal */
    bool cannot_fail;           /* with these arguments */
};

static struct shared {
    volatile bool injected;
    volatile int injected_fd;
    volatile bool parent_waits; /* the server's parent waits for connections */
    volatile int forked, ended;
    volatile pid_t program;
    volatile bool quit_sent;
    volatile size_t site_count;
    struct site sites[SITES];
    char failure[TEXT];         /* the first failed check */
    volatile size_t cases, failures, missed;
} *shared;

static struct site target;
static char *server, *client;
static char base[200];          /* the parent of all directories */
static char here[300];          /* the directory of this case */
static bool verbose;            /* print a trace */

static void __attribute__((format(printf, 1, 2)))
trace(const char *format, ...)
{
    va_list arguments;

    if (!verbose)
        return;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
}

/* Records a failed check of this case. Only the first one is reported. */
static void __attribute__((format(printf, 1, 2)))
report_failure(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    if (shared->failure[0] == '\0')
        vsnprintf(shared->failure, sizeof shared->failure, format, arguments);
    va_end(arguments);
    trace("failed: %s", shared->failure);
}

/* Returns the name of a case, valid until the next call. */
static const char *
case_name(const struct site *p)
{
    static char name[100];
    const char *call = call_of(p->call)->name;
    char number[24];

    snprintf(number, sizeof number, "%ld", p->call);
    snprintf(name, sizeof name, "%s:%d:%s:%d:%s", scene_names[p->scene], p->process,
             call != NULL ? call : number, p->n, p->error == 0 ? "none" : error_name(p->error));
    return name;
}

/* Parses the name of a case. Returns false if it is invalid. */
static bool
case_read(const char *name, struct site *p)
{
    char scene[20], call[40], error[20];

    *p = (struct site){.scene = SCENES, .call = -1, .error = -1};
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

/* Returns the error message of the fault. */
static const char *
fault_text(void)
{
    return strerror(target.error == NO_MEMORY ? ENOMEM : target.error);
}

/* Returns true if the program must repeat or continue the call, and nobody notices the fault. */
static bool
must_recover(const struct site *p)
{
    long number = p->call;
    int error = p->error;
    bool waits = number == SYS_read || number == SYS_write || number == SYS_pread64 ||
                 number == SYS_sendto || number == SYS_recvfrom || number == SYS_poll ||
                 number == SYS_pselect6 || number == SYS_writev;

    if (p->scene >= TCP && !p->stream)
        waits = false; /* the C library does not repeat it, and files have no EINTR */
    return error == SHORT || error == HALF || (waits && (error == EINTR || error == EAGAIN));
}

static void
pause_shortly(void)
{
    const struct timespec pause = {.tv_sec = 0, .tv_nsec = 100 * 1000};

    nanosleep(&pause, NULL);
}

static double
seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Reads up to room - 1 bytes of a file and adds a NUL. Returns the length, or -1. */
static ssize_t
read_file(const char *path, char *to, size_t room)
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

static void
write_file(const char *directory, const char *name, const char *content, size_t length)
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

/* ---- What is on disk ------------------------------------------------------------------------- */

/* A file or a directory. One that is not in the list counts as not on disk. */
struct inode {
    ino_t number;
    bool dirty;
};

static struct {
    struct inode inodes[256];
    size_t count;
    bool all_known;             /* after sync(): what is not in the list is on disk */
    char named[64][256];        /* new names of saved files that are not on disk */
    size_t named_count;
    bool directory_made;        /* and its parent is not synced */
    ino_t parent;               /* of the directory of saved files */
} disk;

static struct inode *
inode_find(ino_t number)
{
    for (size_t i = 0; i < disk.count; i++)
        if (disk.inodes[i].number == number)
            return &disk.inodes[i];
    return NULL;
}

/* Returns the mark of an inode that its content is not on disk. Adds the inode if it is new. */
static bool *
inode_dirty(ino_t number)
{
    struct inode *known = inode_find(number);

    if (known != NULL)
        return &known->dirty;
    if (disk.count == sizeof disk.inodes / sizeof *disk.inodes) {
        report_failure("too many files for the driver");
        disk.count--;
    }
    disk.inodes[disk.count] = (struct inode){.number = number, .dirty = !disk.all_known};
    return &disk.inodes[disk.count++].dirty;
}

/* fstat() of a descriptor of a traced process. Returns false if it is not open. */
static bool
stat_descriptor(pid_t pid, int fd, struct stat *status)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%ld/fd/%d", (long)pid, fd);
    return stat(path, status) == 0;
}

/* Reads up to length - 1 bytes from a traced process and adds a NUL. */
static void
read_string(pid_t pid, unsigned long at, char *to, size_t length)
{
    struct iovec local = {.iov_base = to, .iov_len = length}, remote;
    ssize_t count;

    remote = (struct iovec){.iov_base = (void *)at, .iov_len = length};
    count = process_vm_readv(pid, &local, 1, &remote, 1, 0);
    if (count < 0 && length > 256) {    /* perhaps the next page is not mapped */
        remote.iov_len = local.iov_len = 4096 - at % 4096;
        count = process_vm_readv(pid, &local, 1, &remote, 1, 0);
    }
    to[count < 0 ? 0 : (size_t)count < length ? (size_t)count : length - 1] = '\0';
}

/* A saved file (NULL: every file of this client) must be on disk now, with its name. */
static void
disk_check(const char *what, const char *name)
{
    char path[400];
    struct dirent *entry;
    DIR *directory;

    if (disk.named_count > 0)
        report_failure("%s before the name %s is on disk", what, disk.named[0]);
    if (disk.directory_made)
        report_failure("%s before the directory's own name is on disk", what);
    snprintf(path, sizeof path, "%s/saved", here);
    directory = opendir(path);
    while (directory != NULL && (entry = readdir(directory)) != NULL)
        if ((name != NULL ? strcmp(entry->d_name, name) == 0
                          : entry->d_name[0] != '.' && inode_find(entry->d_ino) != NULL) &&
            *inode_dirty(entry->d_ino))
            report_failure("%s before the content of %s is on disk", what, entry->d_name);
    if (directory != NULL)
        closedir(directory);
}

/* ---- Tracing --------------------------------------------------------------------------------- */

struct traced {
    pid_t pid;
    int process;                /* its number in the scene, as in struct site */
    bool marked, in_call, started;
    long call;
    struct user_regs_struct at_entry;
    enum { LEAVE_IT, RETURN_ERROR, RETURN_ERROR_AFTER, RESTORE, KILL_IT } on_exit;
    long result;
    bool starving;              /* its memory calls fail until it makes another call */
    size_t site;               /* the index in shared->sites + 1, or 0 */
    int counts[CALLS];
    bool removed;               /* it removed a name, which is not on disk */
    char output[TEXT];          /* the unfinished last line of its standard output */
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
disk_directory_synced(struct traced *t)
{
    disk.named_count = 0;
    t->removed = false;
}

/* Checks a write before it is made: what it reports must be on disk. */
static void
disk_before_call(struct traced *t, const struct user_regs_struct *r)
{
    char text[TEXT];
    size_t length = r->rdx < sizeof text ? r->rdx + 1 : sizeof text;
    bool is_client = target.scene == TCP || target.scene == COMMAND;
    struct stat status;

    if ((t->call != SYS_write && t->call != SYS_sendto) || r->rdx == 0)
        return;
    read_string(t->pid, r->rsi, text, length);
    if (is_client && t->process == 0 && r->rdi == STDOUT_FILENO) {
        char *line = t->output;
        size_t had = strlen(t->output);

        snprintf(t->output + had, sizeof t->output - had, "%s", text);
        for (char *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
            char *name;

            *end = '\0';
            if (strncmp(line, "saved ", 6) != 0 && strncmp(line, "already saved", 13) != 0)
                continue;
            name = strrchr(line, '/');
            if (name != NULL) {
                name[1 + strcspn(name + 1, " ")] = '\0';
                disk_check("it is reported as saved", name + 1);
            }
        }
        memmove(t->output, line, strlen(line) + 1);
    } else if (is_client && t->process == 0 && r->rdi != STDERR_FILENO &&
               stat_descriptor(t->pid, (int)r->rdi, &status) && !S_ISREG(status.st_mode)) {
        if (strstr(text, "DELE") != NULL || strstr(text, "QUIT") != NULL)
            disk_check("DELE or QUIT is sent", NULL);
        if (strstr(text, "QUIT") != NULL)
            shared->quit_sent = true;
    } else if (!is_client && t->removed && strncmp(text, "+OK", 3) == 0 &&
               r->rdi != STDERR_FILENO) {
        report_failure("a removal is confirmed before it is on disk");
    }
}

/* Records what a call did. */
static void
disk_after_call(struct traced *t, const struct user_regs_struct *r, long result)
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
        if (stat_descriptor(t->pid, (int)r->rdi, &status) && S_ISREG(status.st_mode))
            *inode_dirty(status.st_ino) = true;
        break;
    case SYS_fsync:
    case SYS_fdatasync:
        if (stat_descriptor(t->pid, (int)r->rdi, &status)) {
            *inode_dirty(status.st_ino) = false;
            if (S_ISDIR(status.st_mode) && status.st_ino != disk.parent)
                disk_directory_synced(t);
            if (status.st_ino == disk.parent)
                disk.directory_made = false;
        }
        break;
    case SYS_sync:
    case SYS_syncfs:
        disk.count = 0;
        disk.all_known = true;
        disk.directory_made = false;
        disk_directory_synced(t);
        break;
    case SYS_mkdir:
        read_string(t->pid, r->rdi, name, sizeof name);
        disk.directory_made = true;
        break;
    case SYS_linkat:
    case SYS_renameat2:
    case SYS_renameat:
        read_string(t->pid, r->r10, name, sizeof name);
        snprintf(path, sizeof path, "/proc/%ld/fd/%d/%s", (long)t->pid, (int)r->rdx, name);
        if (name[0] != '.' && stat(path, &status) == 0) {
            if (*inode_dirty(status.st_ino))
                report_failure("%s got its name before its content is on disk", name);
            if (disk.named_count < sizeof disk.named / sizeof *disk.named)
                snprintf(disk.named[disk.named_count++], sizeof *disk.named, "%s", name);
        }
        break;
    case SYS_unlinkat:
        read_string(t->pid, r->rsi, name, sizeof name);
        if (name[0] == '.')
            break;
        t->removed = true;
        for (size_t i = 0; i < disk.named_count; i++)
            if (strcmp(disk.named[i], name) == 0)
                memmove(disk.named[i], disk.named[--disk.named_count], sizeof *disk.named);
        break;
    }
}

/* Injects the fault at the entry of a call. */
static void
inject(struct traced *t, struct user_regs_struct r)
{
    shared->injected_fd = (int)r.rdi;
    shared->injected = true;
    trace("-- %s", case_name(&target));
    if (target.error == KILL_BEFORE) {
        kill(t->pid, SIGKILL);
    } else if (target.error == KILL_AFTER) {
        t->on_exit = KILL_IT;
    } else if (target.error == SHORT || target.error == HALF) {
        unsigned long half = (unsigned long)target.done / 2;

        r.rdx = target.error == SHORT ? 1 : half < r.rdx ? half : r.rdx;
        t->on_exit = RESTORE;
        ptrace(PTRACE_SETREGS, t->pid, NULL, &r);
    } else {
        t->result = target.error == NO_MEMORY ? -ENOMEM : -target.error;
        t->starving = target.error == NO_MEMORY;
        t->on_exit = RETURN_ERROR_AFTER;
        if (t->call != SYS_close) {     /* which closes the descriptor even if it fails */
            /* Replaces the call by read(-1), which does nothing and which no filter forbids. */
            r.orig_rax = SYS_read;
            r.rdi = (unsigned long)-1;
            r.rdx = 0;
            t->on_exit = RETURN_ERROR;
            ptrace(PTRACE_SETREGS, t->pid, NULL, &r);
        }
    }
}

/* Returns true for a call that cannot fail with these arguments. */
static bool
cannot_fail(long call, const struct user_regs_struct *r)
{
    return (call == SYS_pselect6 && r->rdi == 0) ||     /* a pause, with no signal handler */
           (call == SYS_fcntl && r->rsi == F_GETFD) ||
           (call == SYS_landlock_create_ruleset && r->rdx == LANDLOCK_VERSION);
}

/* Returns true if the fault can occur here: the n-th call may differ from the recorded one. */
static bool
can_inject(const struct traced *t, const struct user_regs_struct *r)
{
    struct stat status;

    if (cannot_fail(t->call, r) || ((target.error == SHORT || target.error == HALF) && r->rdx < 2))
        return false;
    if (t->call != SYS_read && t->call != SYS_write)
        return true;
    target.stream = stat_descriptor(t->pid, (int)r->rdi, &status) && !S_ISREG(status.st_mode);
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
    t->on_exit = LEAVE_IT;
    t->site = 0;
    if (t->call == SYS_prctl && r.rdi == MARK)
        t->marked = true;
    else if (t->marked && t->call >= 0 && t->call < CALLS) {
        int n = ++t->counts[t->call];

        if (t->process == 0)
            shared->parent_waits = t->call == SYS_pselect6 && r.rsi != 0; /* not for the log */
        counted = target.process == t->process && target.call == t->call && target.n == n;
        if (target.error == 0 && shared->site_count < SITES) {
            struct stat status;
            struct site *p = &shared->sites[shared->site_count];

            *p = (struct site){
                .scene = target.scene, .process = t->process, .call = t->call, .n = n};
            p->stream = stat_descriptor(t->pid, (int)r.rdi, &status) && !S_ISREG(status.st_mode);
            p->cannot_fail = cannot_fail(t->call, &r);
            t->site = ++shared->site_count;
        }
        disk_before_call(t, &r);
        if (target.error != 0 && counted && can_inject(t, &r)) {
            inject(t, r);
        } else if (t->starving && is_memory(t->call)) {
            t->result = -ENOMEM;
            t->on_exit = RETURN_ERROR;
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
    if (t->on_exit != LEAVE_IT) {
        if (t->on_exit == RETURN_ERROR || t->on_exit == RETURN_ERROR_AFTER)
            result = t->result;
        if (t->call == SYS_brk && t->on_exit == RETURN_ERROR)
            result = 0; /* on failure brk returns the old end, not an error */
        r.rdi = t->at_entry.rdi;
        r.rsi = t->at_entry.rsi;
        r.rdx = t->at_entry.rdx;
        r.rax = (unsigned long)result;
        ptrace(PTRACE_SETREGS, t->pid, NULL, &r);
    }
    if (t->marked)
        disk_after_call(t, &t->at_entry, t->on_exit == RETURN_ERROR_AFTER ? 0 : result);
    if (t->site > 0)
        shared->sites[t->site - 1].done = result;
    if (t->process == 0 && t->marked)
        shared->parent_waits = false;
    if (t->on_exit == KILL_IT)
        kill(t->pid, SIGKILL);
}

/* Becomes a program with these standard descriptors. */
static _Noreturn void
exec_program(char *const *arguments, int in, int out, int err, bool traced)
{
    dup2(in, 0);
    dup2(out, 1);
    dup2(err, 2);
    if (traced) {
        if (syscall(SYS_close_range, 3U, ~0U, 0U) != 0)
            for (int fd = 3; fd < 256; fd++)
                close(fd);
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGSTOP);
    }
    execv(arguments[0], arguments);
    _exit(126);
}

static void
start_traced(char *const *arguments, int in, int out, int err)
{
    pid_t pid = fork();

    if (pid == 0)
        exec_program(arguments, in, out, err, true);
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

/* Finds the traced process, or adds one that was just forked. NULL: there are too many. */
static struct traced *
find_or_add(pid_t pid)
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
 * Traces until all processes have ended, and the child `other` too, if it is not 0. Returns the
 * status of `other`.
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
            trace("process %d ended: %s %d", t->process, WIFSIGNALED(status) ? "signal" : "status",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
            if (t->process == 0)
                program_status = status;
            if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL && WTERMSIG(status) != SIGTERM)
                report_failure("process %d was terminated by signal %d", t->process,
                               WTERMSIG(status));
            else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && !is_kill(target.error) &&
                     t->process == 0)
                report_failure("the program was killed");
            shared->ended += t->process != 0;
            t->pid = -1;
            living--;
            continue;
        }
        t = find_or_add(pid);
        if (t == NULL) {
            report_failure("too many processes");
            kill(pid, SIGKILL);
            continue;
        }
        if (!t->started) {      /* a new process, with its SIGSTOP */
            t->started = true;
            if (is_client) {    /* the command of -x is not traced */
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

/* ---- The store ------------------------------------------------------------------------------- */

/* A message of the store. */
static struct mail {
    char name[16];
    char *content;
    size_t length;
    bool there;
    char id[80];                /* its unique-id, "" before the first UIDL */
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
 * Makes the store: a simple message, one with dots and bare LFs, a large one that takes several
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
        write_file(store, mails[i].name, mails[i].content, mails[i].length);
}

/*
 * Writes what RETR sends, or TOP with that many lines, with or without byte-stuffing. Returns the
 * length. It does not use pop3.h, so an error there shows.
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

/* Returns true if a saved file holds a message, with CRLF as LF and a last line end. */
static bool
mail_is_saved(const struct mail *m, const char *path)
{
    static char have[100 * 1024], want[200 * 1024];
    size_t length = mail_wire(m, SIZE_MAX, false, want), at = 0;

    for (size_t i = 0; i < length; i++)
        if (!(want[i] == '\r' && i + 1 < length && want[i + 1] == '\n'))
            want[at++] = want[i];
    return read_file(path, have, sizeof have) == (ssize_t)at && memcmp(have, want, at) == 0;
}

/* The store must hold every message unchanged and nothing else. Those in may_go may be removed. */
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
        length = read_file(path, have, sizeof have);
        if (length < 0 && m->there && may_go != NULL && may_go[i])
            m->there = false;
        if (length < 0 && m->there)
            report_failure("%s is gone from the store", m->name);
        else if (length >= 0 && !m->there)
            report_failure("%s was reported as removed, but is there", m->name);
        else if (m->there &&
                 ((size_t)length != m->length || memcmp(have, m->content, m->length) != 0))
            report_failure("%s was changed", m->name);
    }
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        bool known = entry->d_name[0] == '.';

        for (int i = 0; i < mail_count; i++)
            known = known || strcmp(entry->d_name, mails[i].name) == 0;
        if (!known)
            report_failure("%s is in the store, but is no message", entry->d_name);
    }
    closedir(directory);
}

/* ---- A client of the server ------------------------------------------------------------------ */

/* A session. strict: the fault was before it, so everything must be correct. */
struct session {
    int in, out;
    bool strict, over, deviated;
    bool quit_sent;
    char last[600];             /* the last status line */
    char input[300 * 1024];
    size_t start, end;
    bool marked[MAILS];
    int numbers[MAILS], count;  /* message i + 1 is mails[numbers[i]] */
};

/* The session differs from one without a fault. Only the fault may be the reason. */
static void __attribute__((format(printf, 2, 3)))
deviate(struct session *t, const char *format, ...)
{
    char text[900];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    trace("deviation: %s", text);
    t->deviated = true;
    if (t->strict)
        report_failure("%s after the fault", text);
    else if (!shared->injected)
        report_failure("%s without a fault", text);
    else if (must_recover(&target))
        report_failure("%s, although it must recover from this fault", text);
}

/* Reads a line. Returns it without CRLF, or NULL if the connection has ended. */
static char *
session_line(struct session *t)
{
    for (;;) {
        char *lf = memchr(t->input + t->start, '\n', t->end - t->start);
        struct pollfd ready = {.fd = t->in, .events = POLLIN};
        ssize_t count;

        if (lf != NULL) {
            char *line = t->input + t->start;

            t->start = (size_t)(lf - t->input) + 1;
            if (lf == line || lf[-1] != '\r')
                report_failure("a line that ends in LF alone");
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
            report_failure("no answer in %d s", PATIENCE);
            t->over = true;
            return NULL;
        }
        count = read(t->in, t->input + t->end, sizeof t->input - t->end);
        if (count <= 0) {
            t->over = true;
            if (t->end > 0)
                trace("a line was cut: %.*s", (int)(t->end < 80 ? t->end : 80), t->input);
            return NULL;
        }
        t->end += (size_t)count;
    }
}

/* Reads a status line. Returns true for +OK. Anything else is a deviation. */
static bool
session_status(struct session *t, const char *what)
{
    char *line = session_line(t);

    snprintf(t->last, sizeof t->last, "%s", line == NULL ? "" : line);
    if (line == NULL) {
        deviate(t, "the connection was closed at %s", what);
        return false;
    }
    trace("%s: %s", what, line);
    if (strncmp(line, "+OK", 3) == 0)
        return true;
    if (strncmp(line, "-ERR ", 5) != 0)
        report_failure("%s is answered %s", what, line);
    deviate(t, "%s is answered %s", what, line);
    return false;
}

/* Sends a command and reads the status line. Returns true for +OK. */
static bool __attribute__((format(printf, 2, 3)))
session_command(struct session *t, const char *format, ...)
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
        trace("cannot send %.*s: %s", length, line, strerror(errno));
        deviate(t, "the connection was closed before %.*s", length, line);
        t->over = true;
        return false;
    }
    line[length] = '\0';
    return session_status(t, line);
}

/* Reads a multi-line answer, which must be this text, and the dot. */
static bool
session_body(struct session *t, const char *what, const char *want, size_t length)
{
    const char *end = want + length;
    char *line;

    for (;;) {
        size_t have;

        line = session_line(t);
        if (line == NULL) {
            deviate(t, "the connection was closed in %s", what);
            return false;
        }
        if (strcmp(line, ".") == 0)
            break;
        have = (size_t)(t->input + t->start - line) - 2;
        if ((size_t)(end - want) < have + 2 || memcmp(line, want, have) != 0) {
            report_failure("%s holds %.100s instead of %.*s", what, line,
                  (int)(end - want < 100 ? end - want : 100), want);
            return false;
        }
        want += have + 2;
    }
    if (want != end)
        report_failure("%s ends too soon", what);
    return want == end;
}

static uint64_t
octets_of(int mail)
{
    static char wire[200 * 1024];

    return mail_wire(&mails[mail], SIZE_MAX, false, wire);
}

/* STAT, LIST and UIDL must list all messages that are not marked. */
static void
session_lists(struct session *t)
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
    if (session_command(t, "STAT") && strcmp(t->last, stat) != 0) {
        /* The server skips a message that the fault made unreadable: then all numbers differ. */
        deviate(t, "STAT says %s instead of %s", t->last, stat);
        t->over = true;
        return;
    }
    if (session_command(t, "LIST"))
        session_body(t, "LIST", want, at);
    if (session_command(t, "UIDL"))
        for (int i = 0; !t->over; i++) {
            char *line = session_line(t), id[100];
            int number;

            if (line == NULL) {
                deviate(t, "the connection was closed in UIDL");
                break;
            }
            if (strcmp(line, ".") == 0) {
                if (i != count)
                    report_failure("UIDL has %d lines", i);
                break;
            }
            if (sscanf(line, "%d %99s", &number, id) != 2 || number < 1 || number > t->count) {
                report_failure("UIDL says %s", line);
                break;
            }
            struct mail *m = &mails[t->numbers[number - 1]];
            if (m->id[0] != '\0' && strcmp(m->id, id) != 0)
                report_failure("UIDL says %s for %s that was %s", id, m->name, m->id);
            snprintf(m->id, sizeof m->id, "%.79s", id);
            for (int k = 0; k < mail_count; k++)
                if (&mails[k] != m && strcmp(mails[k].id, id) == 0)
                    report_failure("%s and %s have the same unique-id", m->name, mails[k].name);
        }
}

static void
session_retr(struct session *t, int number, bool top)
{
    static char wire[200 * 1024];
    char what[20];

    snprintf(what, sizeof what, top ? "TOP %d 1" : "RETR %d", number);
    if (number <= t->count && session_command(t, "%s", what))
        session_body(t, what, wire,
                  mail_wire(&mails[t->numbers[number - 1]], top ? 1 : SIZE_MAX, true, wire));
}

static void
session_dele(struct session *t, int number)
{
    if (number <= t->count && session_command(t, "DELE %d", number))
        t->marked[t->numbers[number - 1]] = true;
}

/* QUIT. After +OK the marked messages must be gone. */
static void
session_quit(struct session *t)
{
    bool fine;

    if (t->over)
        return;
    t->quit_sent = true;
    fine = session_command(t, "QUIT");
    if (fine && session_line(t) != NULL)
        report_failure("something follows the answer to QUIT");
    for (int i = 0; fine && i < mail_count; i++)
        if (t->marked[i])
            mails[i].there = false;
}

/* Begins a session on two descriptors, with the messages that the store has now. */
static struct session *
session_begin(int in, int out)
{
    struct session *t = calloc(1, sizeof *t);

    t->in = in;
    t->out = out;
    t->strict = shared->injected;
    for (int i = 0; i < mail_count; i++)
        if (mails[i].there)
            t->numbers[t->count++] = i;
    return t;
}

/* Waits until all sessions have ended and the parent waits for connections. */
static void
await_idle_parent(void)
{
    double limit = seconds() + 0.2;

    while (!(shared->parent_waits && shared->ended == shared->forked) && seconds() < limit &&
           kill(shared->program, 0) == 0)
        pause_shortly();
}

/* Disconnects and waits until the session has ended. Returns true if something deviated. */
static bool
session_end(struct session *t)
{
    close(t->in);
    if (t->out != t->in)
        close(t->out);
    await_idle_parent();
    return t->deviated;
}

static bool
contains(const char *path, const char *text)
{
    static char log[64 * 1024];

    return read_file(path, log, sizeof log) >= 0 && strstr(log, text) != NULL;
}

/*
 * The log must name a fault that a client of the server noticed, unless the log's own write, or
 * the wait before it, failed.
 */
static void
log_check(bool deviated)
{
    const char *text = fault_text();

    if (!deviated || must_recover(&target) || is_kill(target.error) ||
        target.call == SYS_pselect6 ||
        (target.call == SYS_write && shared->injected_fd == STDERR_FILENO))
        return;
    if (target.error == ECONNRESET || target.error == EPIPE)
        text = "disconnected";
    if (target.error == ENOMEM || target.error == NO_MEMORY)
        text = "memory";
    if (!contains(log_path, text))
        report_failure("a client noticed the fault, but the log has no \"%s\"", text);
}

/* ---- The scenes with the server -------------------------------------------------------------- */

static char server_line[200];   /* its line "listening on" */
static struct sockaddr_storage server_address;
static socklen_t server_length;

/* Reads the line "listening on". Returns false if the server ends without one. */
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
                report_failure("the server does not print its address, but keeps running");
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
        report_failure("the server prints %s", server_line);
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
static struct session *
session_connect(void)
{
    struct timeval patience = {.tv_sec = PATIENCE};
    int fd = socket(server_address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct session *t = session_begin(fd, fd);

    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(fd, (struct sockaddr *)&server_address, server_length) != 0) {
        deviate(t, "cannot connect: %s", strerror(errno));
        t->over = true;
    } else if (!session_status(t, "the greeting")) {
        t->over = true;
    }
    return t;
}

/* Most commands, then QUIT with two deletions. Returns true if something deviated. */
static bool
first_session(void)
{
    static const char capabilities[] =
        "TOP\r\nUIDL\r\nUSER\r\nRESP-CODES\r\nPIPELINING\r\nEXPIRE NEVER\r\n";
    struct session *t = session_connect();
    bool deviated;

    if (!t->over && session_command(t, "CAPA"))
        session_body(t, "CAPA", capabilities, sizeof capabilities - 1);
    session_lists(t);
    session_retr(t, 1, false);
    session_retr(t, 2, true);
    session_retr(t, 2, false);
    session_retr(t, 3, false);
    session_dele(t, 2);
    session_dele(t, 4);
    session_quit(t);
    deviated = session_end(t);
    store_check(t->quit_sent ? t->marked : NULL);
    return deviated;
}

/* Delivers message 5 and appends to message 1 in place. */
static void
change_store(void)
{
    static char longer[1000];
    char from[500], to[500];

    snprintf(from, sizeof from, "%s/.5", store);
    snprintf(to, sizeof to, "%s/5.eml", store);
    mail_set(4, "5.eml", "Subject: five\n\nNew\n", 19);
    write_file(store, ".5", mails[4].content, mails[4].length);
    rename(from, to);
    memcpy(longer, mails[0].content, mails[0].length);
    memcpy(longer + mails[0].length, "Longer\n", 7);
    mail_set(0, "1.eml", longer, mails[0].length + 7);
    write_file(store, "1.eml", mails[0].content, mails[0].length);
}

/* Message 5 changes during this session, which ends without QUIT. */
static bool
second_session(void)
{
    struct session *t = session_connect();
    bool deviated;
    char line[20];
    int length;

    session_lists(t);
    session_retr(t, 1, false);
    session_dele(t, 1);
    session_dele(t, 2);
    mail_set(4, "5.eml", "Subject: fife\n\nNew\n", 19);
    write_file(store, "5.eml", mails[4].content, mails[4].length);
    length = snprintf(line, sizeof line, "RETR %d\r\n", t->count);
    if (!t->over && write(t->out, line, (size_t)length) == length) {
        const char *answer = session_line(t);

        if (answer == NULL)
            deviate(t, "the connection was closed at RETR of a message that changed");
        else if (strncmp(answer, "-ERR ", 5) != 0)
            report_failure("RETR of a message that changed is answered %s", answer);
    }
    deviated = session_end(t);
    store_check(NULL);
    return deviated;
}

/* Retrieves everything. Sets *strict if the fault was before this session. */
static bool
last_session(bool *strict)
{
    struct session *t = session_connect();
    bool deviated;

    *strict = t->strict;
    session_lists(t);
    for (int i = 1; i <= t->count; i++)
        session_retr(t, i, false);
    session_quit(t);
    deviated = session_end(t);
    store_check(NULL);
    return deviated;
}

/* The sessions of the scene "net", in their own process. Exits with 1 if something deviated. */
static _Noreturn void
net_sessions(int out)
{
    bool deviated, strict;

    if (!read_address(out)) {
        kill(shared->program, SIGTERM);     /* if it is there */
        _exit(2);
    }
    deviated = first_session();
    change_store();
    deviated = second_session() || deviated;
    do                          /* again if the fault occurred in this one */
        deviated = last_session(&strict) || deviated;
    while (!strict && shared->injected);
    kill(shared->program, SIGTERM);
    _exit(deviated);
}

/* The scene "net": the server with its start, its loop and its sessions. */
static void
run_net(void)
{
    char *arguments[] = {server, "-d", store, "0", NULL};
    int out[2], in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int err = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600), status;
    pid_t sessions_pid;

    if (pipe2(out, O_CLOEXEC) != 0)
        exit(3);
    start_traced(arguments, in, out[1], err);
    close(out[1]);
    sessions_pid = fork();
    if (sessions_pid == 0)
        net_sessions(out[0]);
    close(out[0]);
    status = follow(sessions_pid);

    if (is_kill(target.error) && target.process == 0)
        return;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 2) {
        /* It did not listen: then it has logged the reason. */
        if (contains(log_path, "standard output"))
            return;
        if (!WIFEXITED(program_status) || WEXITSTATUS(program_status) != 1)
            report_failure("the server did not start, and its status is not 1");
        else if (must_recover(&target))
            report_failure("the server did not start, although it must recover from this fault");
        log_check(true);
        return;
    }
    log_check(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    if (!WIFEXITED(program_status) || WEXITSTATUS(program_status) != 0)
        report_failure("the server did not end with status 0 after SIGTERM");
    if (!contains(log_path, "stopped") && target.call != SYS_pselect6 &&
        !(target.call == SYS_write && shared->injected_fd == 2))
        report_failure("the log does not have the end of the server");
    if (is_kill(target.error) && !contains(log_path, "killed by signal 9"))
        report_failure("the log does not have the killed session");
}

/* The scene "login": a session on pipes, with a login. */
static void
run_login(void)
{
    char passfile[400];
    char *arguments[] = {server, "-i", "-d", store, "-p", passfile, NULL};
    int err = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int to[2], from[2], status;
    pid_t sessions_pid;

    snprintf(passfile, sizeof passfile, "%s/passfile", here);
    write_file(here, "passfile", "joe:secret word\n", 16);
    if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0)
        exit(3);
    start_traced(arguments, to[0], from[1], err);
    close(to[0]);
    close(from[1]);
    sessions_pid = fork();
    if (sessions_pid == 0) {
        struct session *t = session_begin(from[0], to[1]);

        signal(SIGPIPE, SIG_IGN);
        t->strict = false;      /* the only session has the fault */
        if (!session_status(t, "the greeting"))
            t->over = true;
        session_command(t, "USER joe");
        if (!session_command(t, "PASS secret word"))
            t->over = true;
        session_lists(t);
        session_retr(t, 1, false);
        session_dele(t, 1);
        session_quit(t);
        close(t->out);
        while (t->in >= 0 && read(t->in, t->input, sizeof t->input) > 0)
            continue;
        store_check(t->quit_sent ? t->marked : NULL);
        _exit(t->deviated);
    }
    close(to[1]);
    close(from[0]);
    status = follow(sessions_pid);
    if (is_kill(target.error))
        return;
    log_check(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    if (!WIFEXITED(program_status) || WEXITSTATUS(program_status) > 1)
        report_failure("the session ended with an unexpected status");
}

/* ---- The scenes with the client -------------------------------------------------------------- */

static char reference_output[SCENES][64 * 1024];

/* Starts a program that is not traced. Returns its pid. */
static pid_t
start_untraced(char *const *arguments, int in, int out, int err)
{
    pid_t pid = fork();

    if (pid == 0)
        exec_program(arguments, in, out, err, false);
    return pid;
}

/*
 * The directory of saved messages must hold complete messages under the right names. Temporary
 * files may be left only if their removal failed or the client was killed. Sets have[i] for each
 * message that is there.
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
                report_failure("temporary file %s is left", entry->d_name);
        } else if (sscanf(entry->d_name, "%d", &number) != 1 || number < 1 || number > mail_count) {
            report_failure("unexpected file %s", entry->d_name);
        } else if (strcmp(entry->d_name, "3.eml") == 0 && !mail_is_saved(&mails[2], path)) {
            if (!mail_is_saved(&mails[0], path))    /* which had that name before */
                report_failure("an existing file was changed");
        } else if (!mail_is_saved(&mails[number - 1], path)) {
            report_failure("%s does not hold its message", entry->d_name);
        } else {
            have[number - 1] = true;
        }
    }
    if (directory != NULL)
        closedir(directory);
}

/* Every "saved" line must be true. */
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
            report_failure("it printed \"%s\", but that is false", line);
    }
}

static void
on_alarm(int number)
{
    (void)number;
    for (int i = 0; i < process_count; i++)
        if (processes[i].pid > 0)
            kill(processes[i].pid, SIGKILL);
    snprintf(shared->failure, sizeof shared->failure, "it took too long");
    _exit(1);
}

/* Waits for all children. */
static void
wait_for_all(void)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR)
        if (pid > 0 && WIFSTOPPED(status))      /* forked just before its parent was killed */
            ptrace(PTRACE_DETACH, pid, NULL, NULL);
}

/* Starts a server on TCP. Returns its pid and writes its port. */
static pid_t
start_server(char port[20])
{
    char *arguments[] = {server, "-a", "127.0.0.1", "-d", store, "0", NULL};
    int out[2], in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int err = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    pid_t pid;

    if (pipe2(out, O_CLOEXEC) != 0)
        exit(3);
    pid = start_untraced(arguments, in, out[1], err);
    close(out[1]);
    close(in);
    close(err);
    if (!read_address(out[0]))
        exit(3);
    snprintf(port, 20, "%d", ntohs(((struct sockaddr_in *)&server_address)->sin_port));
    return pid;
}

/* Saves message 1 before the client does, also under the name of message 3. */
static void
save_before(void)
{
    static char wire[200 * 1024];
    size_t length = mail_wire(&mails[0], SIZE_MAX, false, wire), at = 0;
    struct stat status;
    char path[500];

    for (size_t i = 0; i < length; i++)
        if (wire[i] != '\r')
            wire[at++] = wire[i];
    mkdir(saved, 0700);
    write_file(saved, "1.eml", wire, at);
    write_file(saved, "3.eml", wire, at);
    snprintf(path, sizeof path, "%s/3.eml", saved);
    if (stat(path, &status) == 0)
        *inode_dirty(status.st_ino) = false;    /* this file is not checked */
}

/* The exit status must tell whether the client did everything. have: the saved messages. */
static void
status_check(int status, const bool *have, const char *output, const char *messages)
{
    bool all = have[0] && have[1] && have[2] && have[3] && !mails[0].there && !mails[3].there;
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;

    if (code != 0 && code != 1)
        report_failure("the client ended with an unexpected status");
    else if (code == 0 && !all)
        report_failure("the client ended with 0, but did not do everything");
    else if (code == 0 && strlen(output) != strlen(reference_output[target.scene]) &&
             target.call != SYS_unlinkat && strstr(output, "-1.eml") == NULL)
        report_failure("the client ended with 0, but did not print everything:\n%s", output);
    else if (code == 1 && target.error == 0)
        report_failure("the client failed without a fault: %s", messages);
    else if (code == 1 && must_recover(&target))
        report_failure("the client failed, although it must recover from this fault: %s", messages);
    else if (code == 1 && messages[0] == '\0' &&
             !(target.call == SYS_write && shared->injected_fd == STDERR_FILENO))
        report_failure("the client failed without a message");
}

/* The scenes "tcp" and "command": the client with a script. */
static void
run_client(void)
{
    static const char script[] =
        "CAPA\nSTAT\nLIST\nUIDL\nTOP 1 1\nRETR 1\nRETR *\nSHOW 2\nDELE 1 4\nQUIT\n";
    char command[1000], port[20] = "", path[500];
    char output[64 * 1024], messages[16 * 1024], copy[64 * 1024];
    char *over_tcp[] = {client, "-d", saved, "127.0.0.1", port, NULL};
    char *over_pipes[] = {client, "-d", saved, "-x", command, NULL};
    int result = open(output_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int err = open(errors_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int status;
    bool have[MAILS] = {false};
    struct stat parent;
    pid_t server_pid = 0;

    write_file(here, "script", script, sizeof script - 1);
    snprintf(path, sizeof path, "%s/script", here);
    snprintf(command, sizeof command, "exec %s -i -d %s 2>>%s", server, store, log_path);
    if (target.scene == TCP)
        server_pid = start_server(port);
    else
        save_before();
    if (stat(here, &parent) == 0)
        disk.parent = parent.st_ino;
    start_traced(target.scene == TCP ? over_tcp : over_pipes, open(path, O_RDONLY | O_CLOEXEC),
                 result, err);
    follow(0);
    if (server_pid > 0)
        kill(server_pid, SIGTERM);      /* a session in QUIT completes it */
    wait_for_all();

    read_file(output_path, output, sizeof output);
    read_file(errors_path, messages, sizeof messages);
    trace("status %x\n%s%s", (unsigned)program_status, output, messages);
    memcpy(copy, output, sizeof copy);
    if (target.error == 0)      /* this is the reference */
        memcpy(reference_output[target.scene], output, sizeof output);

    saved_check(have, is_kill(target.error) || target.call == SYS_unlinkat ||
                          target.call == SYS_unlink);
    claims_check(copy);
    /* A message may be gone only if it is saved. */
    store_check((bool[MAILS]){shared->quit_sent && have[0], false, false,
                              shared->quit_sent && have[3]});
    if (strstr(output, "were removed") != NULL && (mails[0].there || mails[3].there))
        report_failure("it reported removed messages that are still there");
    if (strstr(messages, "nothing was removed") != NULL && !(mails[0].there && mails[3].there))
        report_failure("it reported that nothing was removed, but that is false");

    if (!is_kill(target.error)) {
        status_check(program_status, have, output, messages);
        return;
    }
    /* What a killed client leaves must not disturb the next one. */
    write_file(here, "script", "RETR *\nQUIT\n", 12);
    waitpid(start_untraced(over_pipes, open(path, O_RDONLY | O_CLOEXEC), result, err), &status, 0);
    wait_for_all();
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        report_failure("the next client does not succeed");
}

/* ---- Running cases --------------------------------------------------------------------------- */

/* Removes a directory and its content. */
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

/* Runs a case in its own process. Returns true if the fault was injected. */
static bool
run_case(const struct site *what, int job)
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
        signal(SIGALRM, on_alarm);
        signal(SIGPIPE, SIG_IGN);
        alarm(CASE_SECONDS);
        if (target.scene == NET)
            run_net();
        else if (target.scene == LOGIN)
            run_login();
        else
            run_client();
        if (verbose) {
            static char log[64 * 1024];

            if (read_file(log_path, log, sizeof log) >= 0)
                trace("log:\n%s", log);
        }
        fflush(stdout);
        _exit(0);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (!WIFEXITED(status) || WEXITSTATUS(status) == 3)
        report_failure("the driver itself failed, status %x", (unsigned)status);
    return shared->injected;
}

/* Returns true if an error can occur at a recorded call. */
static bool
applies(const struct site *p, int error)
{
    bool shortens = error == SHORT || error == HALF,
         events = p->scene == NET && p->process == 0 && p->call == SYS_read;

    if (shortens && (p->done < 2 || (error == HALF && p->done < 4)))
        return false;
    if (events && (shortens || error == EAGAIN))
        return false;           /* inotify events are never short */
    if ((error == ENOSYS || error == EOPNOTSUPP) && p->call == SYS_landlock_create_ruleset &&
         (p->process > 0 || p->n > 1))
        return false;           /* a kernel has Landlock or lacks it */
    if (error == EACCES && p->call == SYS_openat && p->scene <= LOGIN && p->process == 0)
        return false;           /* a change of the mode would be an event */
    if ((error == EAGAIN || error == ECONNRESET || error == EPIPE) &&
        (p->call == SYS_read || p->call == SYS_write || p->call == SYS_writev) && !p->stream)
        return false;           /* not from a file */
    return true;
}

/* Returns true if this process of the scene is to be killed at each call. */
static bool
kills_process(const struct site *p)
{
    return (p->scene == NET && p->process == 1) || (p->scene == LOGIN && p->process == 0) ||
           p->scene == TCP || p->scene == COMMAND;
}

/* Returns true if a call has an effect on the disk or the connection. */
static bool
has_effect(long call)
{
    static const long numbers[] = {SYS_write,  SYS_writev,    SYS_pwrite64, SYS_sendto,
                                   SYS_openat, SYS_open,      SYS_mkdir,    SYS_mkdirat,
                                   SYS_linkat, SYS_renameat2, SYS_unlinkat, SYS_unlink,
                                   SYS_fsync,  SYS_fdatasync, SYS_syncfs,   SYS_sync,
                                   SYS_ftruncate, SYS_close,  SYS_shutdown,  SYS_connect};

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (numbers[i] == call)
            return true;
    return false;
}

/*
 * Runs a scene without a fault and records its calls. On a busy machine a run may have additional
 * waits, so the shortest of several runs counts. Returns false if a check failed.
 */
static bool
record_calls(enum scene scene)
{
    const struct site whole = {.scene = scene, .process = -1};
    static struct site shortest[SITES];
    size_t count = SIZE_MAX;

    for (int i = 0; i < RECORDINGS; i++) {
        shared->site_count = 0;
        run_case(&whole, 0);
        if (shared->failure[0] != '\0')
            return false;
        if (shared->site_count < count) {
            count = shared->site_count;
            memcpy(shortest, shared->sites, count * sizeof *shortest);
        }
        if (scene == TCP || scene == COMMAND)
            read_file(output_path, reference_output[scene], sizeof reference_output[scene]);
    }
    memcpy(shared->sites, shortest, count * sizeof *shortest);
    shared->site_count = count;
    return true;
}

static struct site *cases;
static size_t case_count;

static void
add_case(const struct site *p, int error)
{
    cases = realloc(cases, (case_count + 1) * sizeof *cases);
    cases[case_count] = *p;
    cases[case_count++].error = error;
}

/* One of several jobs: runs the next case until none is left. */
static void
run_cases(int job, volatile size_t *next, struct shared *totals)
{
    size_t i;

    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    while ((i = __atomic_fetch_add(next, 1, __ATOMIC_SEQ_CST)) < case_count) {
        bool reached = false;

        for (int try = 0; try < TRIES && !reached; try++)
            reached = run_case(&cases[i], job) || shared->failure[0] != '\0';
        __atomic_fetch_add(&totals->cases, 1, __ATOMIC_SEQ_CST);
        if (shared->failure[0] != '\0') {
            __atomic_fetch_add(&totals->failures, 1, __ATOMIC_SEQ_CST);
            printf("not ok - %s: %s\n    sh tests/faults/faults.sh %s\n", case_name(&cases[i]),
                   shared->failure, case_name(&cases[i]));
            fflush(stdout);
        } else if (!reached) {
            __atomic_fetch_add(&totals->missed, 1, __ATOMIC_SEQ_CST);
            printf("not reached - %s\n", case_name(&cases[i]));
            fflush(stdout);
        }
    }
    exit(0);
}

/* Returns true if this machine allows ptrace. */
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

/* Records the calls of all scenes and adds their cases. Returns false if a scene fails. */
static bool
add_all_cases(void)
{
    for (int i = 0; i < SCENES; i++) {
        if (!record_calls((enum scene)i)) {
            printf("not ok - %s without a fault: %s\n", scene_names[i], shared->failure);
            return false;
        }
        for (size_t k = 0; k < shared->site_count; k++) {
            const struct site *p = &shared->sites[k];
            const struct call *call = call_of(p->call);

            if (call->errors[0] == NONE || p->cannot_fail)
                continue;
            if (kills_process(p))
                add_case(p, KILL_BEFORE);
            if (kills_process(p) && has_effect(p->call))
                add_case(p, KILL_AFTER);
            for (int n = 0; n < MOST && call->errors[n] != 0; n++)
                if (applies(p, call->errors[n]))
                    add_case(p, call->errors[n]);
        }
    }
    return true;
}

/* Runs the named cases with a trace. Returns the exit status. */
static int
run_named_cases(char *const *names)
{
    bool failed = false;

    verbose = true;
    for (; *names != NULL; names++) {
        struct site p;
        bool reached;

        if (!case_read(*names, &p)) {
            printf("invalid case: %s\n", *names);
            return 2;
        }
        for (size_t k = 0; k < case_count; k++)     /* with its recording */
            if (cases[k].scene == p.scene && cases[k].process == p.process &&
                cases[k].call == p.call && cases[k].n == p.n && cases[k].error == p.error)
                p = cases[k];
        reached = run_case(&p, 0);
        printf("%s - %s%s%s\n", shared->failure[0] != '\0' ? "not ok" : "ok", *names,
               reached ? "" : " (not reached)", shared->failure);
        failed = failed || shared->failure[0] != '\0';
    }
    return failed;
}

/* Runs the cases whose names begin with a prefix, in several jobs. Returns the exit status. */
static int
run_all_cases(const char *prefix)
{
    struct shared *totals = shared;
    size_t kept = 0, kills = 0, *next = mmap(NULL, sizeof *next, PROT_READ | PROT_WRITE,
                                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    double began = seconds();

    for (size_t i = 0; i < case_count; i++)
        if (strncmp(case_name(&cases[i]), prefix, strlen(prefix)) == 0) {
            kills += is_kill(cases[i].error);
            cases[kept++] = cases[i];
        }
    case_count = kept;
    if (kept == 0) {
        printf("no case begins with %s\n", prefix);
        return 2;
    }
    totals->cases = totals->failures = totals->missed = 0;
    fflush(stdout);
    for (int job = 0; job < JOBS; job++)
        if (fork() == 0)
            run_cases(job, next, totals);
    while (wait(NULL) > 0 || errno == EINTR)
        continue;
    printf("%zu faults and %zu kills in %.0f s, %zu failed, %zu not reached\n",
           totals->cases - kills, kills, seconds() - began, totals->failures, totals->missed);
    return totals->failures > 0 || totals->cases != case_count;
}

int
main(int argc, char **argv)
{
    const char *tmp = getenv("TMPDIR");
    struct site site;
    int status;

    if (!is_possible()) {
        puts("no faults can be injected: ptrace is not allowed here");
        return 77;
    }
    if (argc == 1)
        return 0;
    if (argc == 2) {
        fputs("usage: faults [SERVER CLIENT [CASE... | PREFIX]]\n", stderr);
        return 2;
    }
    server = argv[1];
    client = argv[2];
    setenv("LC_ALL", "C", 1);
    signal(SIGPIPE, SIG_IGN);
    snprintf(base, sizeof base, "%s/pop3-faults-XXXXXX", tmp != NULL ? tmp : "/tmp");
    if (mkdtemp(base) == NULL) {
        perror(base);
        return 1;
    }
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (!add_all_cases())
        status = 1;
    else if (argc > 3 && (argc > 4 || case_read(argv[3], &site)))
        status = run_named_cases(argv + 3);
    else
        status = run_all_cases(argc > 3 ? argv[3] : "");
    clear(base);
    return status;
}

#endif
#endif
