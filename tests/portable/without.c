/*
 * without.c - runs a program without some system calls, as on an older kernel
 *
 *   without ERROR CALL... -- COMMAND...     ERROR is ENOSYS (an old kernel) or EPERM (a container)
 *   without possible                        status 0 if the kernel allows it
 *
 * A seccomp filter answers the calls with the error, in the program and in all its children.
 */
#define _GNU_SOURCE 1

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

struct call {
    const char *name;
    long numbers[3];            /* the first 0 ends the list */
};

static const struct call calls[] = {
    {"close_range", {SYS_close_range}},
    {"getrandom", {SYS_getrandom}},
    {"inotify", {
#ifdef SYS_inotify_init
        SYS_inotify_init,
#endif
        SYS_inotify_init1, SYS_inotify_add_watch}},
#ifdef SYS_landlock_create_ruleset
    {"landlock", {SYS_landlock_create_ruleset, SYS_landlock_add_rule, SYS_landlock_restrict_self}},
#endif
    {"memfd_create", {SYS_memfd_create}},
    {"renameat2", {SYS_renameat2}},
    {"seccomp", {SYS_seccomp}},
    {"statx", {SYS_statx}},
};

enum { MOST = 64 };

static struct sock_filter filter[MOST];
static unsigned short used;

static void
add(unsigned short code, unsigned char yes, unsigned char no, unsigned value)
{
    filter[used++] = (struct sock_filter){.code = code, .jt = yes, .jf = no, .k = value};
}

/* Adds the instructions for one name. Returns false if there is no such name. */
static bool
add_call(const char *name, unsigned error)
{
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (strcmp(calls[i].name, name) == 0) {
            for (int j = 0; j < 3 && calls[i].numbers[j] != 0; j++) {
                add(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, (unsigned)calls[i].numbers[j]);
                add(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | error);
            }
            return true;
        }
    return false;
}

static bool
install(void)
{
    struct sock_fprog program = {.len = used, .filter = filter};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}

int
main(int argc, char **argv)
{
    unsigned error = argc > 1 && strcmp(argv[1], "EPERM") == 0 ? EPERM : ENOSYS;
    int at = 2;

    add(BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr));
    for (; at < argc && strcmp(argv[at], "--") != 0; at++)
        if (used > MOST - 8 || !add_call(argv[at], error)) {
            fprintf(stderr, "without: unknown call: %s\n", argv[at]);
            return 2;
        }
    add(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);
    if (!install()) {
        perror("without: no seccomp filter");
        return 2;
    }
    if (argc == 2 && strcmp(argv[1], "possible") == 0)
        return 0;
    if (at + 1 >= argc) {
        fprintf(stderr, "usage: without ENOSYS|EPERM CALL... -- COMMAND...\n");
        return 2;
    }
    execvp(argv[at + 1], argv + at + 1);
    perror(argv[at + 1]);
    return 127;
}
