/*
 * bsd.h - makes Linux behave like macOS and the BSDs, for programs compiled with -include bsd.h
 *
 * Use it with -DPOSIX_ONLY. It imitates differences at run time, and hides what at least one of
 * these systems lacks. NOFOLLOW_ERRNO is EMLINK as on FreeBSD, or EFTYPE for NetBSD.
 */
#ifndef BSD_H
#define BSD_H

#define _GNU_SOURCE 1
#define _FILE_OFFSET_BITS 64

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <langinfo.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define EFTYPE 79               /* "inappropriate file type" */
#ifndef NOFOLLOW_ERRNO
#define NOFOLLOW_ERRNO EMLINK
#endif

/* ---- Different behaviour ---- */

/* A connection inherits O_NONBLOCK from the socket that listens. */
static inline int
bsd_accept(int listening, struct sockaddr *address, socklen_t *length)
{
    int fd = (accept)(listening, address, length), flags = fcntl(listening, F_GETFL);

    if (fd >= 0 && flags >= 0 && (flags & O_NONBLOCK) != 0)
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return fd;
}

/* O_NOFOLLOW of a symbolic link, and open() of a socket, have other errors. */
static inline int
bsd_open_failed(int flags)
{
    if (errno == ELOOP && (flags & O_NOFOLLOW) != 0)
        errno = NOFOLLOW_ERRNO;
    else if (errno == ENXIO && (flags & O_ACCMODE) != O_WRONLY)
        errno = EOPNOTSUPP;
    return -1;
}

static inline int
bsd_openat(int directory, const char *path, int flags, mode_t mode)
{
    int fd = (openat)(directory, path, flags, mode);

    return fd >= 0 ? fd : bsd_open_failed(flags);
}

/* unlink() of a directory is EPERM, as in POSIX. */
static inline int
bsd_unlinkat(int directory, const char *path, int flags)
{
    int result = (unlinkat)(directory, path, flags);

    if (result != 0 && errno == EISDIR)
        errno = EPERM;
    return result;
}

/* With WHOLE_SECONDS, times are as on HFS+ and FAT. */
static inline int
bsd_fstatat(int directory, const char *path, struct stat *status, int flags)
{
    int result = (fstatat)(directory, path, status, flags);

#ifdef WHOLE_SECONDS
    if (result == 0)
        status->st_atim.tv_nsec = status->st_mtim.tv_nsec = status->st_ctim.tv_nsec = 0;
#endif
    return result;
}

/* An Internet socket has no inode. */
static inline int
bsd_fstat(int fd, struct stat *status)
{
    struct sockaddr address;
    socklen_t length = sizeof address;
    int result = bsd_fstatat(fd, "", status, AT_EMPTY_PATH);

    if (result == 0 && S_ISSOCK(status->st_mode) && getsockname(fd, &address, &length) == 0 &&
        address.sa_family != AF_UNIX)
        status->st_dev = status->st_ino = 0;
    return result;
}

/* Some file systems return no file types. */
static inline struct dirent *
bsd_readdir(DIR *directory)
{
    struct dirent *entry = (readdir)(directory);

    if (entry != NULL)
        entry->d_type = DT_UNKNOWN;
    return entry;
}

/* macOS refuses to wait for more than 100,000,000 seconds. */
static inline int
bsd_pselect(int count, fd_set *in, fd_set *out, fd_set *other, const struct timespec *time,
            const sigset_t *mask)
{
    if (time != NULL && time->tv_sec > 100000000) {
        errno = EINVAL;
        return -1;
    }
    return (pselect)(count, in, out, other, time, mask);
}

/* macOS cannot poll a character device, such as a terminal or /dev/null. */
static inline int
bsd_poll(struct pollfd *fds, nfds_t count, int ms)
{
    struct stat status;
    int ready = 0;

    for (nfds_t i = 0; i < count; i++) {
        fds[i].revents = 0;
        if (fds[i].fd >= 0 && (fstat)(fds[i].fd, &status) == 0 && S_ISCHR(status.st_mode)) {
            fds[i].revents = POLLNVAL;
            ready++;
        }
    }
    return ready > 0 ? ready : (poll)(fds, count, ms);
}

/* "--help=x" is ':', not '?', if the short options begin with a colon. */
static inline int
bsd_getopt_long(int argc, char *const *argv, const char *options, const struct option *names,
                int *index)
{
    int at = optind == 0 ? 1 : optind, option = (getopt_long)(argc, argv, options, names, index);

    for (; option == '?' && at < optind && at < argc; at++)
        if (strncmp(argv[at], "--", 2) == 0 && strchr(argv[at], '=') != NULL && optopt != 0 &&
            options[options[0] == '+' || options[0] == '-'] == ':')
            return ':';
    return option;
}

/* NetBSD's name for ASCII. */
static inline char *
bsd_nl_langinfo(nl_item item)
{
    static char ascii[] = "646";
    char *text = (nl_langinfo)(item);

    return item == CODESET && strcmp(text, "ANSI_X3.4-1968") == 0 ? ascii : text;
}

/* open() with or without a mode. */
#define BSD_OPEN(directory, path, flags, mode, ...) bsd_openat(directory, path, flags, mode)

#define accept(...) bsd_accept(__VA_ARGS__)
#define open(...) BSD_OPEN(AT_FDCWD, __VA_ARGS__, 0, 0)
#define openat(directory, ...) BSD_OPEN(directory, __VA_ARGS__, 0, 0)
#define unlink(...) bsd_unlinkat(AT_FDCWD, __VA_ARGS__, 0)
#define unlinkat(...) bsd_unlinkat(__VA_ARGS__)
#define fstat(...) bsd_fstat(__VA_ARGS__)
#define stat(...) bsd_fstatat(AT_FDCWD, __VA_ARGS__, 0)
#define lstat(...) bsd_fstatat(AT_FDCWD, __VA_ARGS__, AT_SYMLINK_NOFOLLOW)
#define fstatat(...) bsd_fstatat(__VA_ARGS__)
#define readdir(...) bsd_readdir(__VA_ARGS__)
#define pselect(...) bsd_pselect(__VA_ARGS__)
#define poll(...) bsd_poll(__VA_ARGS__)
#define getopt_long(...) bsd_getopt_long(__VA_ARGS__)
#define nl_langinfo(...) bsd_nl_langinfo(__VA_ARGS__)

/* ---- Missing interfaces ---- */

#undef TIOCOUTQ                         /* not for sockets */
#define FIONWRITE 0x5411                /* that for sockets, by the number it has here */
#undef SIOCOUTQ
#undef MSG_NOSIGNAL
#undef MSG_CMSG_CLOEXEC
#undef SOCK_CLOEXEC
#undef SOCK_NONBLOCK
#undef O_PATH
#undef O_TMPFILE
#undef O_NOATIME
#undef MAP_POPULATE
#undef MAP_NORESERVE
#undef MADV_REMOVE
#undef MADV_DONTFORK
#undef POLLRDHUP
#undef TCP_USER_TIMEOUT

/* A call of one of these does not compile. */
#define accept4 accept4_is_missing
#define close_range close_range_is_missing
#define explicit_bzero explicit_bzero_is_missing
#define fdatasync fdatasync_is_missing
#define memfd_create memfd_create_is_missing
#define memrchr memrchr_is_missing
#define mempcpy mempcpy_is_missing
#define mremap mremap_is_missing
#define pipe2 pipe2_is_missing
#define ppoll ppoll_is_missing
#define prctl prctl_is_missing
#define renameat2 renameat2_is_missing
#define setresgid setresgid_is_missing
#define setresuid setresuid_is_missing
#define strchrnul strchrnul_is_missing
#define syscall syscall_is_missing

#endif
