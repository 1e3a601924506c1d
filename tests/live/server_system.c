/*
 * server_system.c - a server whose system calls fail, whose machine lacks something, or that is
 * process 1
 *
 * strace lets single calls fail or take long. What this machine cannot do is skipped.
 */
#define _GNU_SOURCE 1           /* unshare */
#define _FILE_OFFSET_BITS 64    /* a file that is too long to be read soon */
#ifdef __linux__
#include "network.h"
#else
#include "net.h"
#endif

#include <sys/resource.h>

/* ---- strace ---------------------------------------------------------------------------------- */

/*
 * Lets the servers of this test run under strace with these options; SERVER becomes a script. The
 * tracer is a grandchild, so the server is the child that it always is. Skips the test where
 * nothing can be traced.
 */
static void
trace(const char *options)
{
    FILE *script;

    if (system("strace -D -o /dev/null -e inject=getppid:error=EPERM true 2>/dev/null") != 0)
        skip("strace cannot be used here");
    unlink("trace");            /* an earlier tracer may still be writing to it */
    script = fopen("traced", "w");
    check(script != NULL);
    fprintf(script, "#!/bin/sh\nexec strace -D -f -s 64 -o trace %s '%s' \"$@\"\n", options,
            getenv("SERVER"));
    check(fclose(script) == 0 && chmod("traced", 0755) == 0);
    setenv("SERVER", "./traced", 1);
}

static bool
trace_has(const char *wanted)
{
    return exists("trace") && file_has("trace", wanted);
}

/*
 * Every call by which a file's state is asked for or its content read, whatever the libc makes of
 * them.
 */
#define LOOKS "?fstatat64,?newfstatat,?statx,?lstat,?stat,?fstat,?fstat64"
#define OPENS "?open,?openat"
#define READS "?read,?pread64,?mmap,?mmap2"
#define UNLINKS "?unlink,?unlinkat"
#define SYNCS "?fsync,?fdatasync"

/*
 * Message 2 cannot be looked at, opened or read: the other two are served, and the log names it. If
 * that is not allowed it does so once, for then the message is not tried again.
 */
static void
test_damaged(void)
{
    static const char *const calls[] = {LOOKS, OPENS, READS};
    enum { FIRST_DENIED = 6 };
    static const char *const errors[] = {"EUCLEAN",  "EBADMSG", "ESTALE", "ETIMEDOUT",
                                         "ENOTCONN", "EIO",     "EACCES", "EPERM"};
    char *server = strdup(getenv("SERVER"));

    make_store(3);
    check(server != NULL);
    for (size_t i = 0; i < sizeof calls / sizeof *calls * (sizeof errors / sizeof *errors); i++) {
        char options[300];
        struct server s;
        struct client c;

        setenv("SERVER", server, 1);
        snprintf(options, sizeof options, "-P 2 -P store/2 -P '%s/store/2' -e inject=%s:error=%s",
                 getenv("PWD"), calls[i % 3], errors[i / 3]);
        trace(options);
        unlink("log");
        s = start_server("-d store -a 127.0.0.1 0");
        if (!trace_has("INJECTED")) {           /* this call is not made for a file */
            stop_server(&s);
            continue;
        }
        c = greeted(&s);
        ask(&c, "STAT", "+OK 2 60");
        send_text(&c, "RETR 2\r\n");
        expect_message(&c, 3);
        quit(&c);
        if (!log_has("store: 2: skipped, ") || log_has("being written"))
            fail("the log does not name the file and the error: %s", slurp("log"));
        c = greeted(&s);
        quit(&c);
        check(i / 3 < FIRST_DENIED || count_in("log", "store: 2: skipped, ") == 1);
        stop_server(&s);
        check(exists("store/2"));
    }
    free(server);
}

/* A file that could not be opened once is tried again: a later session has it. */
static void
test_damaged_once(void)
{
    struct server s;
    struct client c;
    bool found = false;

    make_store(3);
    trace("-P 2 -P store/2 -e inject=" OPENS ":error=EIO:when=1");
    s = start_server("-d store -a 127.0.0.1 0");
    check(trace_has("INJECTED"));
    for (int i = 0; i < 3 && !found; i++) {
        const char *line;

        c = greeted(&s);
        send_text(&c, "STAT\r\n");
        line = next_line(&c);
        check(line != NULL);
        found = matches(line, "+OK 3 90");
        quit(&c);
    }
    check(found);
    stop_server(&s);
}

/*
 * Too few descriptors, or too little memory, while the store is read again: no message is left out
 * in silence.
 */
static void
limit(const char *error, const char *reason)
{
    char options[100];
    struct server s;
    struct client c;
    const char *line;

    unlink("log");
    make_store(3);
    snprintf(options, sizeof options, "-P 2 -P store/2 -e inject=" OPENS ":error=%s:when=2..3",
             error);
    trace(options);
    s = start_server("-d store -a 127.0.0.1 0");
    c = greeted(&s);
    quit(&c);
    change_in_place("store/2");
    for (int i = 0; i < 4; i++) {
        c = connect_to(&s);
        line = next_line(&c);
        check(line != NULL);
        if (matches(line, "+OK*")) {
            send_text(&c, "STAT\r\n");
            check(matches(next_line(&c), "+OK 3 90"));
        } else {
            check(matches(line, "-ERR [SYS/TEMP]*") && log_has(reason));
        }
        hang_up(&c);
    }
    check(trace_has("INJECTED") && log_has(reason));
    c = greeted(&s);
    ask(&c, "STAT", "+OK 3 90");
    quit(&c);
    stop_server(&s);
    remove_tree("store");
}

static void
test_damaged_by_limit(void)
{
    static const char *const errors[][2] = {
        {"EMFILE", "oo many open files"}, {"ENFILE", "oo many open files"}, {"ENOMEM", "memory"}};
    char *server = strdup(getenv("SERVER"));

    check(server != NULL);
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        setenv("SERVER", server, 1);
        limit(errors[i][0], errors[i][1]);
    }
    free(server);
}

/* The store's names cannot be read: the client is asked to try again, and the next one is served. */
static void
test_damaged_directory(void)
{
    struct server s;
    struct client c;

    make_store(3);
    trace("-e inject=getdents64:error=EIO:when=3"); /* the first time takes two */
    s = start_server("-d store -a 127.0.0.1 0");
    check(chmod("store", 0700) == 0);               /* so all is read again */
    c = connect_to(&s);
    expect(&c, "-ERR [SYS/TEMP] the mail cannot be read, try again later");
    expect_end(&c);
    check(log_has(": refused: the mail cannot be read (Input/output error)\n"));
    c = greeted(&s);
    ask(&c, "STAT", "+OK 3 90");
    quit(&c);
    stop_server(&s);
}

/* A message that cannot be read at the moment is no changed one: the client may try again. */
static void
test_damaged_in_session(void)
{
    struct server s;
    struct client c;

    make_store(2);
    /* The session's second read is for a RETR, its fourth compares a message that was touched. */
    trace("-P 2 -P store/2 -e inject=?pread64:error=EIO:when=2..4+2");
    s = start_server("-d store -a 127.0.0.1 0");
    c = greeted(&s);
    send_text(&c, "RETR 2\r\n");
    expect_message(&c, 2);
    ask(&c, "RETR 2", "-ERR [SYS/TEMP] message 2 cannot be read now");
    check(log_has(": cannot send 2: Input/output error\n"));
    send_text(&c, "RETR 2\r\n");
    expect_message(&c, 2);
    check(utimensat(AT_FDCWD, "store/2", NULL, 0) == 0);
    ask(&c, "RETR 2", "-ERR [SYS/TEMP] message 2 cannot be read now");
    send_text(&c, "RETR 2\r\n");
    expect_message(&c, 2);
    quit(&c);
    stop_server(&s);
}

/* Where changes are reported, a session that follows no change looks at no file. */
static void
looks_once(bool maildir)
{
    const char *seven = maildir ? "\"cur/7\"" : "\"7\"", *eight = maildir ? "\"cur/8\"" : "\"8\"";
    struct server s;
    struct client c;

    make_store(9);
    check(!maildir || system("cd store; mkdir cur new tmp; mv [1-9] cur") == 0);
    trace("-e trace=inotify_init1," LOOKS);
    s = start_server("-d store -a 127.0.0.1 0");
    check(trace_has(seven));
    if (!trace_has("inotify_init1(")) {
        stop_server(&s);
        skip("changes are not reported here");
    }
    for (int i = 0; i < 3; i++) {
        c = greeted(&s);
        quit(&c);
    }
    check(count_in("trace", seven) == 1);
    change_in_place(maildir ? "store/cur/8" : "store/8");
    c = greeted(&s);
    quit(&c);
    await(count_in("trace", eight) == 2);
    check(count_in("trace", seven) == 1);
    stop_server(&s);
}

static void
test_looks_once(void)
{
    looks_once(false);
}

static void
test_looks_once_in_maildir(void)
{
    looks_once(true);
}

/* If the system has no more watches to give, every session looks at every file. */
static void
test_no_watches(void)
{
    struct server s;

    make_store(3);
    trace("-e inject=?inotify_add_watch:error=ENOSPC");
    s = start_server("-d store -a 127.0.0.1 0");
    if (!trace_has("INJECTED")) {
        stop_server(&s);
        skip("changes are not reported here");
    }
    check(!has_proc() || count_open(s.pid, "anon_inode:inotify") == 0);
    free(in_step(&s));
    change_in_place("store/2");
    free(in_step(&s));
    deliver("4", "new\n");
    free(in_step(&s));
    check(!has_proc() || count_open(s.pid, "anon_inode:inotify") == 0);
    stop_server(&s);
}

/* ---- Ports and processes --------------------------------------------------------------------- */

/* Starts a server on port 0. Some of its calls of bind() fail. */
static void
ports_in_use(const char *options, bool same)
{
    struct server s;

    if (!has_ipv6())
        skip("there is no ::1 here");
    make_store(1);
    trace(options);
    s = start_server("-d store 0");
    check(trace_has("INJECTED"));
    check(s.count == 2 && (strcmp(s.port[0], s.port[1]) == 0) == same);
    check(!has_proc() || count_open(s.pid, "socket:") == 2);
    for (int i = 0; i < s.count; i++) {
        struct client c = {.fd = connect_socket(s.address[i], s.port[i], 0)};

        check(c.fd >= 0);
        expect(&c, "+OK*");
        quit(&c);
    }
    stop_server(&s);
}

/* With port 0 the first address gets a port that is in use on the second: both get another one. */
static void
test_port_in_use(void)
{
    ports_in_use("-e inject=bind:error=EADDRINUSE:when=2..4+2", true);
}

/* If that happens 20 times, each address has a port of its own. */
static void
test_ports_in_use(void)
{
    ports_in_use("-e inject=bind:error=EADDRINUSE:when=2..40+2", false);
}

/* What may help is said where a port is only for root. */
static void
test_port_of_root(void)
{
    make_store(1);
    trace("-e inject=bind:error=EACCES");
    check(run_server("-d store -a 127.0.0.1 0") == 1);
    check(file_has("err", ": cannot listen on 127.0.0.1 port 0: Permission denied; only root can use "
                          "ports below 1024; try a higher one\n"));
}

/* A default address is skipped where its family is missing; one that was asked for is not. */
static void
test_families(void)
{
    static const char *const errors[] = {"EAFNOSUPPORT", "EADDRNOTAVAIL"};
    char *server = strdup(getenv("SERVER"));

    make_store(1);
    check(server != NULL);
    for (size_t i = 0; i < 2; i++) {
        struct server s = {.count = 1};
        char options[100];
        char line[100] = "";
        int out[2];

        unlink("log");
        setenv("SERVER", server, 1);
        snprintf(options, sizeof options, "-e inject=%s:error=%s:when=2",
                 i == 0 ? "socket" : "bind", errors[i]);
        trace(options);
        check(pipe(out) == 0);
        s.pid = fork();
        if (s.pid == 0) {
            redirect(2, "log", O_WRONLY | O_CREAT | O_APPEND);
            dup2(out[1], 1);
            close(out[0]);
            close(out[1]);
            exec_server("-d store 0");
        }
        check(s.pid > 0);
        await(exists("log") && log_has("only this machine can connect"));   /* all is written */
        check(read(out[0], line, sizeof line - 1) > 0);
        check(strncmp(line, "listening on 127.0.0.1 port ", 28) == 0 && strstr(line, "::1") == NULL);
        kill(s.pid, SIGTERM);
        check(wait_for(s.pid) == 0);
        close(out[0]);
        close(out[1]);

        setenv("SERVER", server, 1);
        snprintf(options, sizeof options, "-e inject=%s:error=%s",
                 i == 0 ? "socket" : "bind", errors[i]);
        trace(options);
        check(run_server("-d store -a ::1 0") == 1);
        check(file_has("err", ": cannot listen on ::1 port 0: "));
        check(run_server("-d store 0") == 1);
        check(file_has("err", ": this machine has neither 127.0.0.1 nor ::1; give an address with "
                              "-a\n"));
    }
    free(server);
}

/* No process can be started: the client is asked to try again, and the next one is served. */
static void
test_no_process(void)
{
    struct server s;
    struct client c;

    make_store(1);
    trace("-e inject=?clone,?fork,?clone3:error=EAGAIN:when=1");
    s = start_server("-d store -a 127.0.0.1 0");
    c = connect_to(&s);
    expect(&c, "-ERR [SYS/TEMP]*");
    expect_end(&c);
    check(log_has(": refused: cannot start a session (Resource temporarily unavailable)\n"));
    c = greeted(&s);
    ask(&c, "STAT", "+OK 1 30");
    quit(&c);
    stop_server(&s);
}

/* A session that cannot be confined is refused, not held unconfined. */
static void
test_not_confined(void)
{
    struct server s;
    struct client c;
    const char *line;

    make_store(1);
    trace("-e inject=?landlock_restrict_self:error=E2BIG");
    s = start_server("-d store -a 127.0.0.1 0");
    c = connect_to(&s);
    line = next_line(&c);
    check(line != NULL);
    if (!trace_has("INJECTED"))
        skip("there is no Landlock here");
    check(matches(line, "-ERR [SYS/TEMP]*"));
    expect_end(&c);
    await(log_has("confine"));
    stop_server(&s);
}

/*
 * A server that cannot make rules for its sessions does not start. If it cannot make them again, it
 * refuses sessions, and has no more files open each time.
 */
static void
test_no_rules(void)
{
    char *server = strdup(getenv("SERVER"));
    struct server s;
    struct client c;
    int status, files = 0;

    make_store(1);
    trace("-e inject=?landlock_add_rule:error=EINVAL");
    status = run_server("-i -d store");
    if (!trace_has("INJECTED"))
        skip("there is no Landlock here");
    check(status == 1 && file_has("err", ": cannot confine sessions: Invalid argument\n"));
    check(file_has("out", "-ERR [SYS/TEMP] the server cannot start"));

    check(server != NULL);
    setenv("SERVER", server, 1);
    trace("-e inject=landlock_add_rule:error=EINVAL:when=2+");
    s = start_server("-d store -a 127.0.0.1 0");
    check(chmod("store", 0700) == 0);           /* so all is opened again */
    for (int i = 0; i < 3; i++) {
        c = connect_to(&s);
        expect(&c, "-ERR [SYS/TEMP] cannot start a session, try again later");
        expect_end(&c);
        if (i == 0 && has_proc())
            files = count_open(s.pid, "anon_inode:");
    }
    check(!has_proc() || count_open(s.pid, "anon_inode:") == files);
    check(log_has(": refused: cannot start a session (Invalid argument)\n"));
    stop_server(&s);
    free(server);
}

/* Without close_range() no descriptor of the starter is left, either. */
static void
test_no_close_range(void)
{
    struct server s;
    char path[64];

    if (!has_proc())
        skip("there is no /proc here");
    make_store(1);
    trace("-e inject=?close_range:error=ENOSYS");
    fcntl(open(".", O_RDONLY), F_DUPFD, 1000);
    s = start_server("-d store -a 127.0.0.1 0");
    if (!trace_has("INJECTED")) {
        stop_server(&s);
        skip("close_range() is not used here");
    }
    snprintf(path, sizeof path, "/proc/%d/fd/1000", (int)s.pid);
    check(!exists(path));
    await(log_has("only this machine"));        /* its log was not closed */
    stop_server(&s);
}

/* accept() fails in each way in which it can: the server goes on, and logs what is no client's. */
static void
test_accept_fails(void)
{
    static const char *const errors[] = {"ECONNABORTED", "EINTR", "EAGAIN", "EMFILE", "ENFILE",
                                         "ENOBUFS", "ENOMEM", "EPERM"};
    char *server = strdup(getenv("SERVER"));

    make_store(1);
    check(server != NULL);
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        char options[100];
        struct server s;
        struct client c;

        unlink("log");
        setenv("SERVER", server, 1);
        snprintf(options, sizeof options, "-e inject=?accept,?accept4:error=%s:when=1", errors[i]);
        trace(options);
        s = start_server("-d store -a 127.0.0.1 0");
        c = greeted(&s);                        /* strace did not take it from the queue */
        check(log_has("cannot accept a connection: ") == (i >= 3 && i <= 6));
        ask(&c, "STAT", "+OK 1 30");
        quit(&c);
        stop_server(&s);
    }
    free(server);
}

/* ---- QUIT ------------------------------------------------------------------------------------ */

/* Returns where a text is in the trace, from an offset on. */
static const char *
find_call(const char *text, const char *wanted)
{
    const char *found = strstr(text, wanted);

    if (found == NULL)
        fail("not in the trace: %s", wanted);
    return found;
}

/* QUIT removes the files, syncs the directory, then answers. */
static void
test_quit_order(void)
{
    struct server s;
    struct client c;
    const char *at;
    char *text;

    make_store(3);
    trace("-e trace=" UNLINKS "," SYNCS ",?send,?sendto,?sendmsg,?write");
    s = start_server("-d store -a 127.0.0.1 0");
    c = greeted(&s);
    ask(&c, "DELE 1", "+OK*");
    ask(&c, "DELE 3", "+OK*");
    ask(&c, "QUIT", "+OK 2 messages*");
    expect_end(&c);
    stop_server(&s);
    await(trace_has("+++ exited"));
    text = slurp("trace");
    at = find_call(text, "unlink");
    at = find_call(at + 1, "unlink");
    at = find_call(at, "sync(");
    find_call(at, "+OK 2 messages");
    free(text);
}

/* What could not be removed, or not be written to disk, is no success. */
static void
test_quit_fails(void)
{
    static const struct { const char *injection, *answer, *log; } cases[] = {
        {UNLINKS ":error=EACCES", "-ERR 2 marked messages not removed (changed, or cannot be removed), "
         "0 removed, 2 left", ": cannot remove 1: Permission denied\n"},
        {UNLINKS ":error=EIO", "-ERR 2 marked messages not removed (changed, or cannot be removed), "
         "0 removed, 2 left", ": cannot remove 1: Input/output error\n"},
        {UNLINKS ":error=EBUSY:when=2+", "-ERR 1 marked message not removed (changed, or "
         "cannot be removed), 1 removed, 1 left", ": cannot remove 2: "},
        {SYNCS ":error=EIO", "-ERR 2 messages removed, but perhaps not on disk: Input/output error",
         ": the removals may not be on disk: Input/output error\n"},
        {SYNCS ":error=EINVAL", "+OK 2 messages removed, 0 left", ": session starts\n"},
        {SYNCS ":error=EOPNOTSUPP", "+OK 2 messages removed, 0 left", ": session starts\n"},
    };
    char *server = strdup(getenv("SERVER"));

    check(server != NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char options[200];
        struct server s;
        struct client c;

        setenv("SERVER", server, 1);
        snprintf(options, sizeof options, "-e inject=%s", cases[i].injection);
        trace(options);
        unlink("log");
        make_store(2);
        s = start_server("-d store -a 127.0.0.1 0");
        c = greeted(&s);
        ask(&c, "DELE 1", "+OK*");
        ask(&c, "DELE 2", "+OK*");
        ask(&c, "QUIT", cases[i].answer);
        expect_end(&c);
        check(log_has(cases[i].log) && !log_has(": cannot remove 2: Perm"));
        check(!log_has(": cannot remove 2: Input"));    /* one of several is logged */
        stop_server(&s);
        remove_tree("store");
    }
    free(server);
}

/* A signal inside QUIT, before anything is removed: QUIT is done, and answered. */
static void
test_stop_inside_quit(void)
{
    static const int signals[] = {SIGTERM, SIGINT};
    char *server = strdup(getenv("SERVER"));

    check(server != NULL);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct server s;
        struct client c;

        setenv("SERVER", server, 1);
        trace("-e trace=" UNLINKS " -e inject=" UNLINKS ":delay_enter=300000");
        make_store(3);
        s = start_server("-d store -a 127.0.0.1 0");
        c = greeted(&s);
        ask(&c, "DELE 1", "+OK*");
        ask(&c, "DELE 2", "+OK*");
        send_text(&c, "QUIT\r\n");
        await(trace_has("unlink"));
        kill(s.pid, signals[i]);
        expect(&c, "+OK 2 messages*");
        expect_end(&c);
        check(!exists("store/1") && !exists("store/2") && exists("store/3"));
        check(wait_for(s.pid) == 0);
        close(s.out);
        remove_tree("store");
    }
    free(server);
}

/* A session that is slow inside QUIT does not keep its place in the way of a second signal. */
static void
test_stop_twice(void)
{
    struct server s;
    struct client c;

    /* Far longer than PATIENCE. */
    trace("-e trace=" SYNCS " -e inject=" SYNCS ":delay_enter=900000000");
    make_store(1);
    s = start_server("-d store -a 127.0.0.1 0");
    c = greeted(&s);
    ask(&c, "DELE 1", "+OK*");
    send_text(&c, "QUIT\r\n");
    await(!exists("store/1"));
    kill(s.pid, SIGTERM);
    await(connect_socket(s.address[0], s.port[0], 0) < 0);
    kill(s.pid, SIGTERM);
    wait_for(s.pid);
    hang_up(&c);
    close(s.out);
}

/* ---- Process 1 ------------------------------------------------------------------------------- */

/* Returns true if a process has a file open whose path ends in this way. */
static bool
has_open(pid_t pid, const char *end)
{
    char path[64], target[4096];

    for (int fd = 0; fd < 64; fd++) {
        ssize_t length;

        snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid, fd);
        length = readlink(path, target, sizeof target - 1);
        if (length <= 0)
            continue;
        target[length] = '\0';
        if ((size_t)length >= strlen(end) && strcmp(target + length - strlen(end), end) == 0)
            return true;
    }
    return false;
}

/*
 * SIGTERM and SIGINT during the first scan end the server, also as process 1, whose default is to
 * ignore them.
 */
static void
stop_in_scan(bool as_init)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};

    if (!has_proc())
        skip("there is no /proc here");
    make_store(1);
    put("store/big", "");
    check(truncate("store/big", (off_t)1 << 40) == 0);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        pid_t pid;

#ifdef CLONE_NEWPID
        if (as_init && unshare(geteuid() == 0 ? CLONE_NEWPID : CLONE_NEWUSER | CLONE_NEWPID) != 0)
            skip("no process can be number 1 here");
#else
        if (as_init)
            skip("no process can be number 1 here");
#endif
        pid = fork();
        if (pid == 0) {
            redirect(0, "/dev/null", O_RDONLY);
            redirect(1, "out", O_WRONLY | O_CREAT | O_TRUNC);
            redirect(2, "log", O_WRONLY | O_CREAT | O_TRUNC);
            exec_server("-d store -a 127.0.0.1 0");
        }
        check(pid > 0);
        await(has_open(pid, "/store/big"));
        kill(pid, signals[i]);
        check(wait_for(pid) == 0);
        check(file_empty("out"));               /* it never listened */
        if (as_init)
            break;                              /* a namespace ends with its first process */
    }
}

static void
test_stop_in_scan(void)
{
    stop_in_scan(false);
}

static void
test_init_in_scan(void)
{
    stop_in_scan(true);
}

/* ---- Descriptors ----------------------------------------------------------------------------- */

/* Copies the server into "root", and makes a store there. Skips the test if it does not run so. */
static void
make_root(void)
{
    pid_t pid;
    char command[4200];

    check(mkdir("root", 0755) == 0 && chdir("root") == 0);
    make_store(2);
    check(chdir("..") == 0);
    snprintf(command, sizeof command, "cp '%s' root/server", getenv("SERVER"));
    check(system(command) == 0);
    setenv("SERVER", "/server", 1);
    pid = fork();
    if (pid == 0) {
        redirect(1, "/dev/null", O_WRONLY);
        redirect(2, "/dev/null", O_WRONLY);
        if (chroot("root") != 0 || chdir("/") != 0)
            _exit(127);
        exec_server("-V");
    }
    check(pid > 0);
    if (wait_for(pid) != 0)
        skip("the server does not run in a root of its own");
}

/*
 * Without /dev/null, with everything closed but the connection: the client gets answers and
 * nothing else.
 */
static void
test_inetd_without_null(void)
{
    struct client c;
    int pair[2];
    pid_t pid;

    make_root();
    for (int same = 0; same <= 1; same++) {
        check(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
        pid = fork();
        if (pid == 0) {
            if (chroot("root") != 0 || chdir("/") != 0 || dup2(pair[1], 0) != 0 ||
                dup2(pair[1], 1) != 1)
                _exit(127);
            if (same)
                dup2(pair[1], 2);
            for (int fd = same ? 3 : 2; fd < 64; fd++)
                close(fd);
            exec_server("-i -v -d store");
        }
        check(pid > 0);
        close(pair[1]);
        c = (struct client){.fd = pair[0]};
        expect(&c, "+OK*");
        ask(&c, "STAT", "+OK 2 60");
        ask(&c, "NONSENSE", "-ERR*");
        send_text(&c, "RETR 2\r\n");
        expect_message(&c, 2);
        quit(&c);
        check(wait_for(pid) == 0);
    }
}

/* Returns true if one of descriptors 0 to 2 of a process is a socket or a file of the store. */
static bool
low_descriptor_used(pid_t pid)
{
    char path[64], target[4096];

    for (int fd = 0; fd <= 2; fd++) {
        ssize_t length;

        snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid, fd);
        length = readlink(path, target, sizeof target - 1);
        if (length <= 0)
            continue;
        target[length] = '\0';
        if (strncmp(target, "socket:", 7) == 0 || strstr(target, "/store") != NULL)
            return true;
    }
    return false;
}

/*
 * A server that was started with descriptors closed: none of 0 to 2 becomes a connection, a
 * message or the store, not even when the store is opened again. A log line must never reach a
 * client.
 */
static void
without_descriptors(bool no_null, unsigned closed)
{
    struct server s = {.count = 1};
    struct client c;
    pid_t session;
    char port[8];
    int fd = occupy("127.0.0.1", port);

    check(fd >= 0);
    close(fd);
    s.pid = fork();
    if (s.pid == 0) {
        char options[64];

        redirect(1, "log", O_WRONLY | O_CREAT | O_APPEND);
        redirect(2, "log", O_WRONLY | O_CREAT | O_APPEND);
        if (no_null && (chroot("root") != 0 || chdir("/") != 0))
            _exit(127);
        for (int i = 0; i < 64; i++)
            if (i > 2 || (closed >> i & 1) != 0)
                close(i);
        snprintf(options, sizeof options, "-v -a 127.0.0.1 -d store %s", port);
        exec_server(options);
    }
    check(s.pid > 0);
    snprintf(s.address[0], sizeof s.address[0], "127.0.0.1");
    snprintf(s.port[0], sizeof s.port[0], "%s", port);
    await((c.fd = connect_socket("127.0.0.1", port, 0)) >= 0);
    close(c.fd);
    c = greeted(&s);            /* now the store has been read */
    quit(&c);

    check(chdir(no_null ? "root" : ".") == 0);
    check(rename("store", "old") == 0);
    make_store(3);
    for (int i = 0; i < 3; i++) {
        c = greeted(&s);
        await(count_children(s.pid) == 1);
        session = only_session(&s);
        check(!low_descriptor_used(s.pid) && !low_descriptor_used(session));
        ask(&c, "STAT", "+OK 3 90");
        ask(&c, "NONSENSE", "-ERR*");
        send_text(&c, "RETR 3\r\n");
        expect_message(&c, 3);
        check(!low_descriptor_used(session));
        quit(&c);
    }
    kill(s.pid, SIGTERM);
    check(wait_for(s.pid) == 0);
    remove_tree("store");
    check(rename("old", "store") == 0);
    check(!no_null || chdir("..") == 0);
}

static void
test_closed_descriptors(void)
{
    if (!has_proc())
        skip("there is no /proc here");
    make_store(2);
    for (unsigned closed = 1; closed < 8; closed++)
        without_descriptors(false, closed);
}

static void
test_closed_without_null(void)
{
    if (!has_proc())
        skip("there is no /proc here");
    make_root();
    for (unsigned closed = 1; closed < 8; closed++)
        without_descriptors(true, closed);
}

/* ---- No descriptor for a connection ---------------------------------------------------------- */

/*
 * A connection that cannot be accepted stays ready. The server waits for better times, without
 * turning in circles.
 */
static void
test_no_descriptor(void)
{
#ifdef __linux__
    struct rlimit few = {3, 0}, before;
    struct server s;
    struct client c;
    int64_t began;
    long used;

    if (!has_proc())
        skip("there is no /proc here");
    make_store(1);
    s = start_server("-d store -a 127.0.0.1 0");
    check(prlimit(s.pid, RLIMIT_NOFILE, NULL, &before) == 0);
    few.rlim_max = before.rlim_max;
    check(prlimit(s.pid, RLIMIT_NOFILE, &few, NULL) == 0);
    used = processor_time(s.pid);
    c = connect_to(&s);
    for (began = clock_ms(); clock_ms() - began < 1000;)        /* the time is what is measured */
        poll(NULL, 0, 50);
    check(processor_time(s.pid) - used < 300);
    check(prlimit(s.pid, RLIMIT_NOFILE, &before, NULL) == 0);
    hang_up(&c);
    c = greeted(&s);
    ask(&c, "STAT", "+OK 1 30");
    quit(&c);
    stop_server(&s);
#else
    skip("the limits of another process cannot be set here");
#endif
}

/* ---- One address takes all sessions ---------------------------------------------------------- */

/*
 * Beyond loopback an address gets a quarter of the sessions. Others, and this machine, still get
 * in.
 */
static void
test_share(void)
{
#ifdef __linux__
    enum { SHARE = 2 };
    struct client c[SHARE], other, own, more;
    struct server s;
    int refused = 0;

    make_network();
    make_store(1);
    s = start_server("-n 8 -d store -a 192.0.2.1 -a 127.0.0.1 0");
    await(log_has("warning: everyone who can reach this machine can read and delete the mail"));
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < SHARE; i++) {
            c[i] = connect_from(&s, 0, "192.0.2.70");
            expect(&c[i], "+OK*");
        }
        more = connect_from(&s, 0, "192.0.2.70");
        expect(&more, "-ERR [SYS/TEMP] too many sessions from your address, try again later");
        expect_end(&more);
        other = connect_from(&s, 0, "192.0.2.7");       /* not that of the others, as far as it goes */
        expect(&other, "+OK*");
        own = connect_from(&s, 1, "127.0.0.1");
        expect(&own, "+OK*");
        quit(&other);
        quit(&own);
        for (int i = 0; i < SHARE; i++)
            quit(&c[i]);
        await(count_children(s.pid) == 0);
    }
    c[0] = connect_from(&s, 0, "192.0.2.70");
    expect(&c[0], "+OK*");
    for (int i = 0; i < 50; i++) {      /* its own last session may be ending */
        const char *line;

        c[1] = connect_from(&s, 0, "192.0.2.70");
        line = next_line(&c[1]);
        if (line != NULL && matches(line, "+OK*")) {
            quit(&c[1]);
        } else {
            refused++;                  /* that session takes long to end, on a slow day */
            hang_up(&c[1]);
            await(count_children(s.pid) == 1);
        }
    }
    if (refused > 10)
        fail("%d of 50 were refused", refused);
    quit(&c[0]);
    check(log_has("192.0.2.7") && !log_has("later") && !log_has("only this machine"));
    stop_server(&s);
#else
    skip("there is one network here");
#endif
}

/* Who can connect beyond this machine is logged; one port serves the addresses of both families. */
static void
test_all_addresses(void)
{
#ifdef __linux__
    struct client other;
    struct server s;

    make_network();
    make_store(1);
    put("passfile", "me:hunter2\n");
    check(chmod("passfile", 0600) == 0);
    s = start_server("-p passfile -d store -a 192.0.2.1 0");
    other = connect_from(&s, 0, "192.0.2.8");
    expect(&other, "+OK*");
    quit(&other);
    stop_server(&s);
    check(!log_has("everyone") && !log_has("only this machine"));

    s = start_server("-d store -a 0.0.0.0 -a :: 0");        /* one port for both families */
    check(strcmp(s.port[0], s.port[1]) == 0);
    other = connect_from(&s, 0, "192.0.2.8");
    expect(&other, "+OK*");
    quit(&other);
    check(log_has(": 192.0.2.8:"));
    stop_server(&s);
#else
    skip("there is one network here");
#endif
}

/* Tests that wait long come first, so that the others run meanwhile. */
static const struct test tests[] = {
    {"a second signal while QUIT is slow", test_stop_twice, 0},
    {"no descriptor for a connection", test_no_descriptor, 0},
    {"one address takes a quarter of the sessions", test_share, 0},
    {"addresses beyond this machine", test_all_addresses, 0},
    {"a message that is damaged", test_damaged, 0},
    {"a message that cannot be opened once", test_damaged_once, 0},
    {"a message and too many open files", test_damaged_by_limit, 0},
    {"a directory that is damaged", test_damaged_directory, 0},
    {"a message that cannot be read at the moment", test_damaged_in_session, 0},
    {"a session after no change", test_looks_once, 0},
    {"a session after no change, Maildir", test_looks_once_in_maildir, 0},
    {"no watches", test_no_watches, 0},
    {"a port for root alone", test_port_of_root, 0},
    {"a machine without one address family", test_families, 0},
    {"rules for sessions that cannot be made", test_no_rules, 0},
    {"no close_range()", test_no_close_range, 0},
    {"a port that is in use on one address", test_port_in_use, 0},
    {"ports that are all in use on one address", test_ports_in_use, 0},
    {"no process for a session", test_no_process, 0},
    {"a session that cannot be confined", test_not_confined, 0},
    {"accept() fails", test_accept_fails, 0},
    {"QUIT removes, syncs, then answers", test_quit_order, 0},
    {"QUIT that fails", test_quit_fails, 0},
    {"a signal inside QUIT", test_stop_inside_quit, 0},
    {"a signal during the first scan", test_stop_in_scan, 0},
    {"a signal during the first scan, as process 1", test_init_in_scan, 0},
    {"-i without /dev/null", test_inetd_without_null, 0},
    {"descriptors 0 to 2 closed", test_closed_descriptors, 0},
    {"descriptors 0 to 2 closed, no /dev/null", test_closed_without_null, 0},
};

int
main(int argc, char **argv)
{
    (void)argc;
    return run_tests(tests, (int)(sizeof tests / sizeof *tests), AT_ONCE, argv + 1);
}
