/*
 * server_sessions.c - sessions over sockets: many at once, pipelined, slow, stopped, or gone
 */
#include "net.h"

#include <sys/ioctl.h>
#include <sys/un.h>

/* ---- Sessions -------------------------------------------------------------------------------- */

static void
test_greeting(void)
{
    struct server s;
    struct client c;
    const char *line;

    make_store(1);
    s = start_server("-d store 0");
    c = connect_to(&s);
    line = next_line(&c);
    check(line != NULL && strncmp(line, "+OK", 3) == 0);
    check(strchr(line, '<') == NULL && strchr(line, '>') == NULL && strstr(line, "login") != NULL);
    ask(&c, "USER x", "+OK*");
    ask(&c, "PASS x", "+OK*");
    ask(&c, "STAT", "+OK 1 30");
    quit(&c);
    stop_server(&s);
}

static void
test_deleted(void)
{
    struct server s;
    struct client c;

    make_store(3);
    s = start_server("-d store 0");
    c = greeted(&s);
    ask(&c, "DELE 2", "+OK*");
    check(exists("store/2"));
    ask(&c, "QUIT", "+OK*");
    check(!exists("store/2"));
    expect_end(&c);
    c = greeted(&s);
    ask(&c, "STAT", "+OK 2 60");
    send_text(&c, "RETR 2\r\n");
    expect_message(&c, 3);
    quit(&c);
    stop_server(&s);
    check(exists("store/1") && exists("store/3"));
}

/* Two clients delete the same message: QUIT tells both that it was removed. */
static void
test_deleted_twice(void)
{
    struct server s;
    struct client a, b;

    make_store(2);
    s = start_server("-d store 0");
    a = greeted(&s);
    b = greeted(&s);
    ask(&a, "DELE 1", "+OK*");
    ask(&b, "DELE 1", "+OK*");
    quit(&a);
    ask(&b, "RETR 2", "+OK*");
    free(take_body(&b));
    ask(&b, "QUIT", "+OK 1 message removed, 1 left");
    check(exists("store/2") && !exists("store/1"));
    expect_end(&b);
    stop_server(&s);
}

/* A session sees the store as it was at its start. */
static void
test_snapshot(void)
{
    struct server s;
    struct client a, b;

    make_store(2);
    s = start_server("-d store 0");
    a = greeted(&s);
    deliver("0", "new\n");
    deliver("9", "new\n");
    check(unlink("store/1") == 0);
    b = greeted(&s);
    ask(&a, "STAT", "+OK 2 60");
    ask(&a, "LIST 1", "+OK 1 30");
    ask(&a, "RETR 1", "-ERR*");
    send_text(&a, "RETR 2\r\n");
    expect_message(&a, 2);
    ask(&b, "STAT", "+OK 3 40");
    ask(&b, "LIST 1", "+OK 1 5");
    quit(&a);
    quit(&b);
    stop_server(&s);
}

static void
change_kind(const char *path)
{
    check(unlink(path) == 0 && symlink("2", path) == 0);
}

static void
change_length(const char *path)
{
    check(truncate(path, 5) == 0);
}

/* Another file with the same content is another message. */
static void
change_to_copy(const char *path)
{
    put("store/.new", "Subject: message\n\n00000001\n");
    check(rename("store/.new", path) == 0);
}

static void
change_to_directory(const char *path)
{
    check(unlink(path) == 0 && mkdir(path, 0755) == 0);
}

static void
change_to_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    check(unlink(path) == 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
    close(fd);
}

/* A message that changes during a session is refused, and QUIT does not remove it. */
static void
test_changed(void)
{
    static void (*const changes[])(const char *) = {change_in_place,  change_with_times,
                                                    change_by_rename, change_to_copy,
                                                    change_kind,      change_length,
                                                    change_to_socket, change_to_directory};
    struct server s;

    make_store(2);
    s = start_server("-d store 0");
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct client c;

        remove("store/1");
        put("store/1", "Subject: message\n\n00000001\n");
        c = greeted(&s);
        ask(&c, "STAT", "+OK 2 60");
        changes[i]("store/1");
        ask(&c, "RETR 1", "-ERR message 1 is gone or was changed*");
        ask(&c, "TOP 1 0", "-ERR message 1 is gone or was changed*");
        ask(&c, "LIST 1", "+OK 1 30");
        send_text(&c, "RETR 2\r\n");
        expect_message(&c, 2);
        ask(&c, "DELE 1", "+OK*");
        ask(&c, "QUIT", "-ERR*");
        check(exists("store/1"));
        expect_end(&c);
    }
    check(exists("store/2"));
    check(log_has(": cannot send 1: changed since the session began\n"));
    check(log_has(": cannot remove 1: changed since the session began\n"));
    stop_server(&s);
}

/*
 * A marked message that another program removed counts as removed. A changed one stays. The third
 * is removed all the same.
 */
static void
test_changed_and_gone(void)
{
    struct server s;
    struct client c;

    make_store(4);
    s = start_server("-d store 0");
    c = greeted(&s);
    for (int i = 1; i <= 3; i++) {
        char command[32];

        snprintf(command, sizeof command, "DELE %d", i);
        ask(&c, command, "+OK*");
    }
    check(unlink("store/1") == 0);
    change_in_place("store/2");
    ask(&c, "QUIT", "-ERR 1 marked message not removed (changed, or cannot be removed), 2 removed, 2 left");
    expect_end(&c);
    check(exists("store/2") && !exists("store/3") && exists("store/4"));
    check(log_has(": cannot remove 2: changed since the session began\n"));
    await(log_has("quit retr=0/0 top=0 del=2 left=2"));
    stop_server(&s);
}

/* ---- A message that another program renames -------------------------------------------------- */

/* Makes messages 1 to 3, starts a server and a session. */
static struct server
start_session(struct client *c)
{
    struct server s;

    make_store(3);
    s = start_server("-a 127.0.0.1 -d store 0");
    *c = greeted(&s);
    return s;
}

static void
expect_retrieved(struct client *c, int number, int message)
{
    char command[32];

    snprintf(command, sizeof command, "RETR %d\r\n", number);
    send_text(c, command);
    expect_message(c, message);
}

/*
 * The inode identifies a message: under another name it is the same for RETR, TOP and QUIT, however
 * often it gets one. What is hidden when the session looks for another message may come back.
 */
static void
test_renamed(void)
{
    static const char *const names[] = {"store/2", "store/another", "store/4", "store/02",
                                        "store/x"};
    struct client c;
    struct server s = start_session(&c);

    check(rename("store/1", "store/1:2,S") == 0 && rename("store/3", "store/.3") == 0);
    expect_retrieved(&c, 1, 1);
    for (int i = 0; i < 4; i++) {
        check(rename(names[i], names[i + 1]) == 0);
        expect_retrieved(&c, 2, 2);
    }
    ask(&c, "TOP 2 0", "+OK*");
    expect_body(&c, "Subject: message\r\n\r\n");
    for (int i = 1; i <= 3; i++)
        ask(&c, i == 1 ? "DELE 1" : i == 2 ? "DELE 2" : "DELE 3", "+OK*");
    check(rename("store/1:2,S", "store/1:2,RS") == 0 && rename("store/.3", "store/third") == 0);
    ask(&c, "QUIT", "+OK 3 messages removed, 0 left");
    expect_end(&c);
    check(!exists("store/1:2,S") && !exists("store/1:2,RS"));
    check(!exists("store/x") && !exists("store/third"));
    stop_server(&s);
}

/* Another program moves a Maildir's message from new to cur when somebody has seen it. */
static void
test_renamed_in_maildir(void)
{
    struct server s;
    struct client c;

    check(mkdir("store", 0755) == 0 && mkdir("store/new", 0755) == 0 &&
          mkdir("store/cur", 0755) == 0);
    check(mkdir("store/tmp", 0755) == 0);
    put("store/new/1.host", "a\n");
    put("store/cur/2.host:2,", "b\n");
    s = start_server("-a 127.0.0.1 -d store 0");
    c = greeted(&s);
    ask(&c, "STAT", "+OK 2 6");
    check(rename("store/new/1.host", "store/cur/1.host:2,S") == 0);
    check(rename("store/cur/2.host:2,", "store/cur/2.host:2,FS") == 0);
    ask(&c, "RETR 1", "+OK 3*");
    expect_body(&c, "a\r\n");
    ask(&c, "RETR 2", "+OK 3*");
    expect_body(&c, "b\r\n");
    ask(&c, "DELE 1", "+OK*");
    ask(&c, "DELE 2", "+OK*");
    ask(&c, "QUIT", "+OK 2 messages*");
    expect_end(&c);
    check(!exists("store/cur/1.host:2,S") && !exists("store/cur/2.host:2,FS"));
    c = greeted(&s);
    ask(&c, "STAT", "+OK 0 0");
    quit(&c);
    stop_server(&s);
}

/* Under a name that is no message's, a message is gone: not sent and not removed. */
static void
test_hidden(void)
{
    static const char *const names[] = {"store/.x", "store/,x", "elsewhere"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct client c;
        struct server s = start_session(&c);

        check(rename("store/1", names[i]) == 0);
        ask(&c, "RETR 1", "-ERR*");
        ask(&c, "TOP 1 0", "-ERR*");
        expect_retrieved(&c, 2, 2);
        ask(&c, "DELE 1", "+OK*");
        ask(&c, "QUIT", "+OK*");
        expect_end(&c);
        check(exists(names[i]) && exists("store/2") && exists("store/3"));
        stop_server(&s);
        remove_tree("store");
    }
}

/* Two names are swapped, one is renamed over another: each number is still its message. */
static void
test_swapped(void)
{
    struct client c;
    struct server s = start_session(&c);

    check(rename("store/1", "store/.t") == 0 && rename("store/2", "store/1") == 0);
    check(rename("store/.t", "store/2") == 0);
    expect_retrieved(&c, 1, 1);
    expect_retrieved(&c, 2, 2);
    ask(&c, "DELE 1", "+OK*");
    ask(&c, "QUIT", "+OK 1 message*");
    expect_end(&c);
    check(!exists("store/2") && file_has("store/1", "00000002"));
    stop_server(&s);
    remove_tree("store");

    s = start_session(&c);
    check(rename("store/1", "store/2") == 0);
    expect_retrieved(&c, 1, 1);
    ask(&c, "RETR 2", "-ERR*");
    ask(&c, "DELE 2", "+OK*");
    send_text(&c, "QUIT\r\n");
    take_rest(&c);
    hang_up(&c);
    check(file_has("store/2", "00000001"));     /* message 2 is gone; this is message 1 */
    stop_server(&s);
    remove_tree("store");

    s = start_session(&c);
    check(rename("store/1", "store/2") == 0);
    ask(&c, "DELE 1", "+OK*");
    ask(&c, "QUIT", "+OK*");
    expect_end(&c);
    check(!exists("store/1") && !exists("store/2") && exists("store/3"));
    stop_server(&s);
}

/*
 * A new file may get the inode of a message that was removed. It is another one, whatever its name
 * has in common, unless the names differ in flags alone: then it counts as changed.
 */
static void
test_inode_again(void)
{
    static const struct { const char *name, *answer; } cases[] = {
        {"store/9", "+OK 1 message removed, 2 left"},
        {"store/12", "+OK 1 message removed, 2 left"},
        {"store/1:2,S", "-ERR 1 marked message not removed*"}};

    int tries = 20;             /* another program may be quicker */

    for (size_t i = 0; i < sizeof cases / sizeof *cases;) {
        struct client c;
        struct server s = start_session(&c);
        struct stat before, after;

        check(stat("store/1", &before) == 0 && unlink("store/1") == 0);
        put(cases[i].name, "another\n");
        check(stat(cases[i].name, &after) == 0);
        if (before.st_ino != after.st_ino) {
            stop_server(&s);
            remove_tree("store");
            if (tries-- == 0)
                skip("inodes are not used again here");
            continue;
        }
        ask(&c, "RETR 1", "-ERR message 1 is gone or was changed*");
        ask(&c, "DELE 1", "+OK*");
        ask(&c, "QUIT", cases[i++].answer);
        expect_end(&c);
        check(exists(cases[i - 1].name));
        stop_server(&s);
        remove_tree("store");
    }
}

/* A hard link is another message: removing one name leaves the other. */
static void
test_linked(void)
{
    struct server s;
    struct client c;

    make_store(2);
    check(link("store/1", "store/9") == 0);
    s = start_server("-a 127.0.0.1 -d store 0");
    c = greeted(&s);
    ask(&c, "STAT", "+OK 3 90");
    ask(&c, "DELE 1", "+OK*");
    ask(&c, "QUIT", "+OK 1 message*");
    expect_end(&c);
    check(!exists("store/1") && exists("store/9"));

    check(link("store/9", "store/1") == 0);
    c = greeted(&s);
    ask(&c, "STAT", "+OK 3 90");
    ask(&c, "DELE 1", "+OK*");
    check(unlink("store/1") == 0);
    ask(&c, "QUIT", "+OK*");
    expect_end(&c);
    check(exists("store/9"));

    /* Of several new names the one that differs in flags is the message's. */
    c = greeted(&s);
    ask(&c, "DELE 2", "+OK*");
    check(rename("store/9", "store/9:2,S") == 0 && link("store/9:2,S", "store/0") == 0);
    check(link("store/0", "store/x") == 0 && link("store/0", "store/9:2") == 0);
    ask(&c, "QUIT", "+OK 1 message removed, 1 left");
    expect_end(&c);
    check(!exists("store/9:2,S"));
    check(exists("store/0") && exists("store/x") && exists("store/9:2"));
    stop_server(&s);
}

/* Another program changes flags all the time: QUIT says "removed" only of what is gone. */
static void
test_renamed_during_quit(void)
{
    enum { MESSAGES = 30, ROUNDS = 30 };
    struct server s;
    int removed = 0;

    check(mkdir("store", 0755) == 0);
    s = start_server("-a 127.0.0.1 -d store 0");
    for (int round = 0; round < ROUNDS; round++) {
        struct client c;
        char from[64], to[64];
        const char *line;
        pid_t renamer;
        int there = 0;

        for (int i = 0; i < MESSAGES; i++) {
            snprintf(from, sizeof from, "%d-%d:2,", round, i);
            deliver(from, from);
        }
        c = greeted(&s);
        renamer = fork();
        while (renamer == 0)
            for (int i = 0; i < MESSAGES; i++) {
                snprintf(from, sizeof from, "store/%d-%d:2,", round, i);
                snprintf(to, sizeof to, "store/%d-%d:2,S", round, i);
                if (rename(from, to) != 0)
                    rename(to, from);
            }
        check(renamer > 0);
        for (int i = 1; i <= MESSAGES; i++) {
            char command[32];

            snprintf(command, sizeof command, "DELE %d", i);
            ask(&c, command, "+OK*");
        }
        send_text(&c, "QUIT\r\n");
        line = next_line(&c);
        check(line != NULL);
        kill(renamer, SIGKILL);
        wait_for(renamer);
        for (int i = 0; i < MESSAGES; i++) {
            snprintf(from, sizeof from, "store/%d-%d:2,", round, i);
            snprintf(to, sizeof to, "store/%d-%d:2,S", round, i);
            there += exists(from) || exists(to);
        }
        if (there > 0 && matches(line, "+OK*"))
            fail("%d messages are there after: %s", there, line);
        removed += MESSAGES - there;
        hang_up(&c);
        check(system("rm -f store/*") == 0);
    }
    check(removed > 0);
    stop_server(&s);
}

/* A touch, or new permissions, do not change a message: RETR sends it and QUIT removes it. */
static void
test_touched(void)
{
    struct client c;
    struct server s = start_session(&c);

    check(utimensat(AT_FDCWD, "store/1", NULL, 0) == 0);
    check(chmod("store/2", 0600) == 0);
    expect_retrieved(&c, 1, 1);
    expect_retrieved(&c, 2, 2);
    ask(&c, "DELE 1", "+OK*");
    ask(&c, "DELE 2", "+OK*");
    check(utimensat(AT_FDCWD, "store/1", NULL, 0) == 0);
    ask(&c, "QUIT", "+OK 2 messages*");
    expect_end(&c);
    check(!exists("store/1") && !exists("store/2") && exists("store/3"));
    stop_server(&s);
}

/* A directory that may no longer be read: what can be removed is removed, and on disk. */
static void
test_unreadable_directory(void)
{
    static const char *const folders[] = {"store", "store/cur"};

    check(chmod(".", 0755) == 0);
    for (int maildir = 0; maildir < 2; maildir++) {
        const char *message = maildir ? "store/cur/1" : "store/1";
        struct server s;
        struct client c;

        check(mkdir("store", 0755) == 0);
        check(!maildir || (mkdir("store/new", 0755) == 0 && mkdir("store/cur", 0755) == 0 &&
                           mkdir("store/tmp", 0755) == 0));
        put(message, "a\n");
        put(maildir ? "store/cur/2" : "store/2", "b\n");
        if (geteuid() == 0)     /* the server becomes the owner, for root may read everything */
            check(system("chown -R 65534:65534 store") == 0);
        s = start_server("-a 127.0.0.1 -d store 0");
        c = greeted(&s);
        ask(&c, "DELE 1", "+OK*");
        check(rename(maildir ? "store/cur/2" : "store/2", maildir ? "store/cur/3" : "store/3") == 0);
        check(chmod(folders[maildir], 0300) == 0);
        ask(&c, "RETR 2", "-ERR [SYS/TEMP] message 2 cannot be read now");
        check(log_has(": cannot send "));
        ask(&c, "QUIT", "+OK 1 message removed, 1 left");
        expect_end(&c);
        check(!exists(message) && chmod(folders[maildir], 0755) == 0);
        stop_server(&s);
        remove_tree("store");
    }
}

/* A message that was renamed and written to has changed: it is refused and kept. */
static void
test_renamed_and_changed(void)
{
    struct client c;
    struct server s = start_session(&c);

    check(rename("store/1", "store/1:2,S") == 0);
    change_in_place("store/1:2,S");
    ask(&c, "RETR 1", "-ERR*");
    ask(&c, "DELE 1", "+OK*");
    ask(&c, "QUIT", "-ERR*");
    expect_end(&c);
    check(exists("store/1:2,S"));
    stop_server(&s);
}

/*
 * A FIFO or a device in a message's place is refused at once: opening it must not wait for a
 * writer.
 */
static void
test_fifo_in_place(void)
{
    struct client c;
    struct server s = start_session(&c);

    check(unlink("store/1") == 0 && mkfifo("store/1", 0600) == 0);
    ask(&c, "RETR 1", "-ERR*");
    ask(&c, "TOP 1 0", "-ERR*");
    ask(&c, "DELE 1", "+OK*");
    expect_retrieved(&c, 2, 2);
    send_text(&c, "QUIT\r\n");
    take_rest(&c);
    hang_up(&c);
    check(exists("store/1"));
    stop_server(&s);
}

/* ---- A message that changes on its way ------------------------------------------------------- */

/* Through its other name, so nothing is reported to the server. */
static void
cut_short(void)
{
    check(truncate("other", 1000) == 0);
}

static void
lengthen(void)
{
    FILE *file = fopen("store/big", "a");

    check(file != NULL && fputs("more\n", file) >= 0 && fclose(file) == 0);
}

/* Changes bytes at the start, which were already sent, and restores the time. */
static void
scribble(void)
{
    struct stat before;
    struct timespec times[2];
    int file = open("store/big", O_WRONLY);

    check(file >= 0 && fstat(file, &before) == 0 && pwrite(file, "x", 1, 0) == 1);
    times[0] = before.st_atim;
    times[1] = before.st_mtim;
    check(futimens(file, times) == 0 && close(file) == 0);
}

/* RETR or TOP of a message that is larger than all buffers, which changes while it is sent. */
static void
change_on_the_way(void (*change)(void), const char *command)
{
    struct server s;
    struct client c;

    make_store(0);
    make_big("store/big", 16 * MIB);
    check(link("store/big", "other") == 0);
    put("store/later", "x\n");
    s = start_server("-a 127.0.0.1 -d store 0");
    c = connect_narrow(&s);
    expect(&c, "+OK*");
    ask(&c, "DELE 2", "+OK*");
    ask(&c, command, "+OK *");
    check(receive(&c));
    change();
    send_text(&c, "QUIT\r\n");
    take_rest(&c);
    c.text[c.end] = '\0';
    check(strstr(c.text + c.start, "\r\n.\r\n") == NULL);
    hang_up(&c);
    await(log_has("error (message changed or unreadable) retr=0/0 top=0 del=0 left=2"));
    check(log_has(": cannot send all of big: "));
    check(exists("store/later"));
    free(in_step(&s));
    stop_server(&s);
}

/* A message that is removed or linked while it is sent has not changed: it arrives whole. */
static void
test_gone_on_its_way(void)
{
    struct server s;
    struct client c, other;

    make_store(0);
    make_big("store/1", 16 * MIB);
    make_big("store/2", 16 * MIB);
    s = start_server("-d store 0");
    c = connect_narrow(&s);
    expect(&c, "+OK*");
    ask(&c, "RETR 1", "+OK 17039360 octets*");
    check(receive(&c));
    other = greeted(&s);
    ask(&other, "DELE 1", "+OK*");
    quit(&other);
    free(take_body(&c));
    ask(&c, "RETR 2", "+OK 17039360 octets*");
    check(receive(&c));
    check(link("store/2", "elsewhere") == 0);
    free(take_body(&c));
    ask(&c, "NOOP", "+OK*");
    quit(&c);
    stop_server(&s);
}

static void
test_cut_short(void)
{
    change_on_the_way(cut_short, "RETR 1");
    remove_tree("store");
    check(unlink("other") == 0 && unlink("log") == 0);
    change_on_the_way(cut_short, "TOP 1 1");
}

static void
test_lengthened(void)
{
    change_on_the_way(lengthen, "RETR 1");
}

static void
test_scribbled(void)
{
    change_on_the_way(scribble, "TOP 1 1");
}

/* ---- Signals, and sessions that die ---------------------------------------------------------- */

/* The server exits with 0, the port is closed, and the marked message is still there. */
static void
stop_by(int number)
{
    struct server s = start_server("-d store 0");
    struct client idle = greeted(&s), marked = greeted(&s);

    ask(&marked, "DELE 1", "+OK*");
    kill(s.pid, number);
    check(take_rest(&idle) == 0 && take_rest(&marked) == 0);
    hang_up(&idle);
    hang_up(&marked);
    check(wait_for(s.pid) == 0);
    check(connect_socket(s.address[0], s.port[0], 0) < 0);
    check(exists("store/1"));
    await(log_has("del=0 left=2"));
    check(log_has(": stopped\n"));
    close(s.out);
}

static void
test_stop(void)
{
    make_store(2);
    stop_by(SIGTERM);
    stop_by(SIGINT);
}

/* A session that somebody stopped with SIGSTOP does not keep the server from ending. */
static void
test_stop_of_the_stopped(void)
{
    struct server s;
    struct client c;

    if (!has_proc())
        skip("there is no /proc here");
    make_store(1);
    s = start_server("-a 127.0.0.1 -d store 0");
    c = greeted(&s);
    kill(only_session(&s), SIGSTOP);
    kill(s.pid, SIGTERM);
    check(take_rest(&c) == 0);
    check(wait_for(s.pid) == 0);
    check(log_has("server stopped"));
    hang_up(&c);
    close(s.out);
}

/* A session that sends to a client that reads nothing is stopped too. */
static void
test_stop_busy(void)
{
    struct server s;
    struct client c;

    make_store(0);
    make_big("store/big", 16 * MIB);
    s = start_server("-d store 0");
    c = connect_narrow(&s);
    expect(&c, "+OK*");
    ask(&c, "RETR 1", "+OK*");
    stop_server(&s);
    hang_up(&c);
}

/* So is a session that reads a line without end. */
static void
test_stop_flooded(void)
{
    static char line[64 * 1024];
    struct server s;
    struct client c;
    pid_t flood;

    make_store(0);
    s = start_server("-d store 0");
    c = greeted(&s);
    memset(line, 'x', sizeof line);
    flood = fork();
    while (flood == 0)
        if (write(c.fd, line, sizeof line) < 0)
            _exit(0);
    check(flood > 0);
    stop_server(&s);
    hang_up(&c);
    check(wait_for(flood) == 0);
}

/* So is one whose client sends commands without an end, and reads all answers. */
static void
test_stop_pipelined(void)
{
    char *commands = repeat("UIDL\r\n", 10000);
    struct server s;
    struct client c;
    pid_t reader, writer;

    make_store(2000);
    s = start_server("-d store 0");
    c = greeted(&s);
    reader = fork();
    if (reader == 0) {
        while (take(&c, 64 * 1024))
            c.start = c.end = 0;
        _exit(0);
    }
    writer = fork();
    while (writer == 0)
        send_text(&c, commands);
    check(reader > 0 && writer > 0);
    await(!has_proc() || processor_time(only_session(&s)) > 50);
    stop_server(&s);
    kill(writer, SIGKILL);
    kill(reader, SIGKILL);
    wait_for(writer);
    wait_for(reader);
    hang_up(&c);
    free(commands);
}

/* A session inside QUIT completes it and answers. The signal comes after the first removal. */
static void
test_stop_in_quit(void)
{
    struct server s;
    struct client c;

    make_store(3);
    check(truncate("store/2", 64 * MIB) == 0);
    s = start_server("-d store 0");
    c = greeted(&s);
    check(utimensat(AT_FDCWD, "store/2", NULL, 0) == 0);    /* so QUIT reads it again */
    for (int i = 1; i <= 3; i++) {
        char command[32];

        snprintf(command, sizeof command, "DELE %d", i);
        ask(&c, command, "+OK*");
    }
    send_text(&c, "QUIT\r\n");
    await(!exists("store/1"));
    kill(s.pid, SIGTERM);
    expect(&c, "+OK 3*");
    check(!exists("store/2") && !exists("store/3"));
    expect_end(&c);
    check(wait_for(s.pid) == 0);
    close(s.out);
}

/* A session that is killed or hangs does not affect others. */
static void
test_killed(void)
{
    struct server s;
    struct client first, second, third;
    pid_t children[300], pid;
    int zombies;

    if (!has_proc())
        skip("there is no /proc here");
    make_store(3);
    s = start_server("-d store 0");
    first = greeted(&s);
    ask(&first, "DELE 1", "+OK*");
    pid = only_session(&s);
    second = greeted(&s);
    kill(pid, SIGKILL);
    check(take_rest(&first) == 0);
    hang_up(&first);
    send_text(&second, "RETR 2\r\n");
    expect_message(&second, 2);
    await(count_children(s.pid) == 1);

    kill(only_session(&s), SIGSTOP);
    third = greeted(&s);
    send_text(&third, "RETR 3\r\n");
    expect_message(&third, 3);
    ask(&third, "STAT", "+OK 3 90");
    quit(&third);
    await(count_children(s.pid) == 1);
    check(find_children(s.pid, children, &zombies) == 1);
    kill(children[0], SIGCONT);
    ask(&second, "NOOP", "+OK*");
    quit(&second);
    await(log_has(": error (killed by signal 9)\n"));
    stop_server(&s);
}

/* The server itself is killed: its last session does not hold the port, so a new server gets it. */
static void
test_server_killed(void)
{
    struct server s, again;
    struct client c, other;
    char options[128];

    make_store(1);
    s = start_server("-a 127.0.0.1 -d store 0");
    c = greeted(&s);
    kill(s.pid, SIGKILL);
    check(wait_for(s.pid) == 128 + SIGKILL);
    close(s.out);
    snprintf(options, sizeof options, "-a 127.0.0.1 -d store %s", s.port[0]);
    again = start_server(options);
    other = greeted(&again);
    ask(&c, "STAT", "+OK 1 30");
    quit(&other);
    quit(&c);
    stop_server(&again);
}

/* The socket of -i belongs to the program that passed it: its options are left as they were. */
static void
test_inetd_socket(void)
{
    struct timeval before, after;
    socklen_t size = sizeof before;
    int pair[2];
    pid_t pid;

    make_store(1);
    check(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    check(getsockopt(pair[1], SOL_SOCKET, SO_RCVTIMEO, &before, &size) == 0);
    pid = fork();
    if (pid == 0) {
        redirect(2, "err", O_WRONLY | O_CREAT | O_TRUNC);
        if (dup2(pair[1], 0) != 0 || dup2(pair[1], 1) != 1)
            _exit(127);
        close(pair[0]);
        exec_server("-i -d store");
    }
    check(write(pair[0], "QUIT\r\n", 6) == 6 && shutdown(pair[0], SHUT_WR) == 0);
    check(pid > 0 && wait_for(pid) == 0);
    check(getsockopt(pair[1], SOL_SOCKET, SO_RCVTIMEO, &after, &size) == 0);
    check(after.tv_sec == before.tv_sec && after.tv_usec == before.tv_usec);
    close(pair[0]);
    close(pair[1]);
}

/* Starts the server with one connection as standard input, output and error, as inetd does. */
static pid_t
start_on_connection(const char *options, struct client *c)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), accepted;
    pid_t pid;

    *c = (struct client){.fd = socket(AF_INET, SOCK_STREAM, 0)};
    check(bind(listener, (struct sockaddr *)&address, size) == 0 && listen(listener, 1) == 0);
    check(getsockname(listener, (struct sockaddr *)&address, &size) == 0);
    check(connect(c->fd, (struct sockaddr *)&address, size) == 0);
    accepted = accept(listener, NULL, NULL);
    check(accepted >= 0);
    pid = fork();
    if (pid == 0) {
        for (int fd = 0; fd < 3; fd++)
            if (dup2(accepted, fd) != fd)
                _exit(127);
        exec_server(options);
    }
    check(pid > 0);
    close(accepted);
    close(listener);
    return pid;
}

/* inetd's connection gets answers, and neither log lines nor messages about the command line. */
static void
test_inetd_connection(void)
{
    struct client c;
    pid_t pid;

    make_store(2);
    pid = start_on_connection("-i -v -d store", &c);
    expect(&c, "+OK*");
    ask(&c, "STAT", "+OK 2 60");
    quit(&c);
    check(wait_for(pid) == 0);

    pid = start_on_connection("-i -d nowhere", &c);
    expect(&c, "-ERR [SYS/TEMP]*");
    expect_end(&c);
    check(wait_for(pid) == 1);

    pid = start_on_connection("-i -t x", &c);
    expect_end(&c);
    check(wait_for(pid) == 2);
}

/* A session may neither dump core nor start a process. */
static void
check_limits(pid_t pid)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/limits", (int)pid);
    if (exists(path))
        check(file_has(path, "Max core file size        0                    0 ") &&
              file_has(path, "Max processes             0                    0 "));
}

/*
 * A session has its connection, the store and the log, and nothing that was open when the server
 * was started.
 */
static void
test_open_files(void)
{
    struct server s;
    struct client a, b;
    char path[64];
    pid_t pid;

    if (!has_proc())
        skip("there is no /proc here");
    make_store(1);
    fcntl(open(".", O_RDONLY), F_DUPFD, 1000);  /* left open by the starter */
#if defined SYS_close_range && !defined POSIX_ONLY      /* else the server closes only so many */
    fcntl(open(".", O_RDONLY), F_DUPFD, 3000);  /* this one perhaps: there may be fewer */
#endif
    put("passfile", "me:hunter2\n");
    check(chmod("passfile", 0600) == 0);
    s = start_server("-p passfile -d store 0");
    a = greeted(&s);
    ask(&a, "USER me", "+OK*");
    ask(&a, "PASS hunter2", "+OK*");
    pid = only_session(&s);
    ask(&a, "RETR 1", "+OK*");
    free(take_body(&a));
    ask(&a, "NOOP", "+OK*");                    /* it may send before it closes the message */
    check(count_open(pid, "socket:") == 1);
    check(count_open(pid, "anon_inode:inotify") == 0);
    check(count_open(pid, "/dev/null") >= 2);
    check(count_open(pid, "") == 6); /* 0 to 2, the connection, the store twice; no message */
    change_in_place("store/1");
    ask(&a, "RETR 1", "-ERR*");
    ask(&a, "TOP 1 0", "-ERR*");
    check(rename("store/1", "store/2") == 0);
    ask(&a, "RETR 1", "-ERR*");
    check(count_open(pid, "") == 6);
    snprintf(path, sizeof path, "/proc/%d/fd/1000", (int)s.pid);
    check(!exists(path));
    snprintf(path, sizeof path, "/proc/%d/fd/3000", (int)s.pid);
    check(!exists(path));
    check_limits(pid);
    b = greeted(&s);
    await(count_open(s.pid, "socket:") == s.count);     /* it may greet before its parent let go */
    quit(&a);
    quit(&b);
    stop_server(&s);
}

/* ---- Many at once ---------------------------------------------------------------------------- */

static void
test_200_at_once(void)
{
    enum { CLIENTS = 200 };
    static struct client c[CLIENTS];
    char command[64];
    struct server s;

    make_store(CLIENTS);
    s = start_server("-d store 0");
    for (int i = 0; i < CLIENTS; i++)
        c[i] = connect_to(&s);
    for (int i = 0; i < CLIENTS; i++)
        expect(&c[i], "+OK*");
    for (int i = 0; i < CLIENTS; i++) {
        snprintf(command, sizeof command, "STAT\r\nRETR %d\r\nDELE %d\r\n", i + 1, i + 1);
        send_text(&c[i], command);
    }
    for (int i = 0; i < CLIENTS; i++) {
        expect(&c[i], "+OK 200 6000");
        expect_message(&c[i], i + 1);
        expect(&c[i], "+OK*");
    }
    for (int i = 0; i < CLIENTS; i++)
        send_text(&c[i], "QUIT\r\n");
    for (int i = 0; i < CLIENTS; i++) {
        expect(&c[i], "+OK 1 message*");
        expect_end(&c[i]);
    }
    c[0] = greeted(&s);
    ask(&c[0], "STAT", "+OK 0 0");
    quit(&c[0]);
    stop_server(&s);
}

static void
test_one_too_many(void)
{
    struct server s;
    struct client c[3], more;

    make_store(1);
    signal(SIGCHLD, SIG_IGN);   /* which the server inherits */
    s = start_server("-n 3 -d store 0");
    signal(SIGCHLD, SIG_DFL);
    for (int i = 0; i < 3; i++)
        c[i] = greeted(&s);
    for (int i = 0; i < 3; i++) {
        more = connect_to(&s);
        expect(&more, "-ERR [SYS/TEMP] too many sessions, try again later");
        expect_end(&more);
    }
    await(log_has(": refused: too many sessions (see -n)\n"));
    check(!log_has("later"));
    if (has_proc())
        await(count_open(s.pid, "socket:") == s.count);
    for (int i = 0; i < 3; i++)
        ask(&c[i], "STAT", "+OK 1 30");
    quit(&c[1]);
    for (int64_t until = clock_ms() + PATIENCE;;) { /* until the server knows that one has left */
        const char *line;

        more = connect_to(&s);
        line = next_line(&more);
        if (line != NULL && matches(line, "+OK*"))
            break;
        check(line != NULL && matches(line, "-ERR [SYS/TEMP]*") && clock_ms() < until);
        hang_up(&more);
    }
    ask(&more, "STAT", "+OK 1 30");
    c[1] = connect_to(&s);
    expect(&c[1], "-ERR [SYS/TEMP]*");
    expect_end(&c[1]);
    stop_server(&s);
}

/* Holds a session with QUIT alone. Returns false if it was refused. */
static bool
admitted(const struct server *s)
{
    struct client c = connect_to(s);
    const char *line;
    bool good;

    send_text(&c, "QUIT\r\n");
    line = next_line(&c);
    good = line != NULL && matches(line, "+OK*");
    take_rest(&c);
    hang_up(&c);
    return good;
}

/* With -n 1 a client that comes again at once is not refused because of its own last session. */
static void
test_one_by_one(void)
{
    struct server s;
    int refused = 0;

    make_store(1);
    s = start_server("-n 1 -d store 0");
    for (int i = 0; i < 100; i++) {
        if (admitted(&s))
            continue;
        refused++;              /* that session takes long to end: who comes next is refused, too */
        await(admitted(&s));
    }
    if (refused > 50)           /* some may be, on a slow day */
        fail("%d of 100 were refused", refused);
    stop_server(&s);
}

/* Holds a number of sessions, 50 at a time. The store changes meanwhile. */
static void
hold_sessions(const struct server *s, int count)
{
    static struct client c[50];

    for (; count > 0; count -= 50) {
        change_in_place("store/1");
        for (int i = 0; i < 50; i++)
            c[i] = connect_to(s);
        for (int i = 0; i < 50; i++) {
            expect(&c[i], "+OK*");
            send_text(&c[i], i % 5 == 0 ? "RETR 1\r\nDELE 2\r\n" : "RETR 1\r\nQUIT\r\n");
        }
        for (int i = 0; i < 50; i++) {
            expect(&c[i], "+OK*");
            expect_body(&c[i], "Subject: massage\r\n\r\n00000000\r\n");
            expect(&c[i], "+OK*");
            if (i % 2 == 0)
                reset(&c[i]);
            else
                hang_up(&c[i]);
        }
    }
}

/* After a thousand sessions the server has no more children, open files or memory than before. */
static void
test_1000_sessions(void)
{
    pid_t children[300];
    struct server s;
    int files, zombies;
    long kilobytes;

    if (!has_proc())
        skip("there is no /proc here");
    make_store(2);
    s = start_server("-d store 0");
    hold_sessions(&s, 100);
    await(count_children(s.pid) == 0);
    files = count_open(s.pid, "");
    kilobytes = memory(s.pid, "VmRSS:");
    hold_sessions(&s, 1000);
    await(find_children(s.pid, children, &zombies) == 0);
    check(count_open(s.pid, "") == files);
    if (memory(s.pid, "VmSize:") <
        1024L * 1024 * 1024) /* an address sanitizer has more, and keeps it */
        check(memory(s.pid, "VmRSS:") <= kilobytes + 512);
    check(exists("store/2"));
    stop_server(&s);
}

/* Clients that disconnect before the server accepts them. It is suspended meanwhile. */
static void
test_reset_at_once(void)
{
    enum { CLIENTS = 100 };
    static struct client c[CLIENTS];
    struct server s;
    struct client after;

    make_store(1);
    s = start_server("-d store 0");
    kill(s.pid, SIGSTOP);
    for (int i = 0; i < CLIENTS; i++) {
        c[i] = connect_to(&s);
        send_text(&c[i], i % 3 == 0 ? "" : "STAT\r\nRETR 1\r\nDELE 1\r\n");
    }
    for (int i = 0; i < CLIENTS; i++) {
        if (i % 2 == 0)
            reset(&c[i]);
        else
            hang_up(&c[i]);
    }
    kill(s.pid, SIGCONT);
    after = greeted(&s);
    send_text(&after, "RETR 1\r\n");
    expect_message(&after, 1);
    quit(&after);
    if (has_proc())
        await(count_children(s.pid) == 0);
    stop_server(&s);
    check(!log_has("standard input"));          /* gone or not, each has an address */
    check(exists("store/1"));
}

/* ---- Slow clients, and those that go --------------------------------------------------------- */

static void
test_idle(void)
{
    struct server s;
    struct client c, busy;
    int64_t began = clock_ms();

    make_store(2);
    s = start_server("-t 3 -d store 0");
    c = greeted(&s);
    busy = greeted(&s);
    ask(&c, "DELE 1", "+OK*");
    while (!log_has("idle")) { /* the other one sends a command now and then */
        ask(&busy, "NOOP", "+OK*");
        poll(NULL, 0, 50);
        check(clock_ms() - began < PATIENCE);
    }
    check(clock_ms() - began >= 2900);
    expect_end(&c);
    check(exists("store/1"));
    check(log_has("idle retr=0/0 top=0 del=0 left=2"));
    quit(&busy);
    stop_server(&s);
}

/* The idle timeout also holds before the first command and before the login. */
static void
test_idle_from_the_start(void)
{
    struct server s, login;
    struct client c, silent;

    make_store(1);
    put("passfile", "me:hunter2\n");
    check(chmod("passfile", 0600) == 0);
    s = start_server("-t 1 -d store 0");
    login = start_server("-t 1 -p passfile -d store 0");
    c = greeted(&s);
    silent = greeted(&login);
    send_text(&silent, "USER m");               /* not a whole command */
    expect_end(&c);
    expect_end(&silent);
    stop_server(&s);
    stop_server(&login);
}

/* A client that reads slowly is not idle, even if the server waits long for room in a buffer. */
static void
test_slow_reader(void)
{
    struct server s;
    struct client c;
    int64_t began;
    size_t octets;

    make_store(0);
    make_big("store/big", 16 * MIB);
    s = start_server("-t 2 -d store 0");
    c = connect_narrow(&s);
    expect(&c, "+OK*");
    ask(&c, "RETR 1", "+OK 17039360 octets*");
    for (began = clock_ms(); clock_ms() - began < 7000; poll(NULL, 0, 100))
        check(take(&c, 8 * 1024));
    send_text(&c, "QUIT\r\n");
    octets = take_rest(&c);
    if (octets < 17039360)
        fail("cut off after %zu of 17039360 octets", octets);
    c.text[c.end] = '\0';
    check(strlen(c.text + c.start) == octets);
    check(strncmp(c.text + c.start + 17039360, ".\r\n+OK", 6) == 0);
    hang_up(&c);
    await(log_has("quit retr=1/17039360"));
    stop_server(&s);
}

static void
test_reads_nothing(void)
{
    struct server s;
    struct client c;

    make_store(0);
    make_big("store/big", 16 * MIB);
    put("store/later", "x\n");
    s = start_server("-t 1 -d store 0");
    c = connect_narrow(&s);
    expect(&c, "+OK*");
    send_text(&c, "DELE 2\r\nRETR 1\r\n");
    await(log_has("idle retr=0/0 top=0 del=0 left=2"));
    check(take_rest(&c) < 17039360);
    check(exists("store/later"));
    hang_up(&c);
    stop_server(&s);
}

/* A client disconnects in the middle of a message: nothing is removed, others are not affected. */
static void
test_vanishing(void)
{
    struct server s;
    struct client c, other;
    int watches;

    make_store(0);
    make_big("store/big", 16 * MIB);
    put("store/later", "Subject: message\n\n00000002\n");
    s = start_server("-d store 0");
    other = greeted(&s);
    watches = has_proc() ? count_open(s.pid, "anon_inode:inotify") : 0;
    for (int i = 0; i < 2; i++) {
        c = connect_narrow(&s);
        expect(&c, "+OK*");
        send_text(&c, "DELE 2\r\nRETR 1\r\nDELE 1\r\nQUIT\r\n");
        expect(&c, "+OK*");
        expect(&c, "+OK 17039360*");
        check(receive(&c));
        if (i == 0)
            reset(&c);
        else
            hang_up(&c);
        if (has_proc()) {
            await(count_children(s.pid) == 1);
            check(count_open(s.pid, "anon_inode:inotify") ==
                  watches); /* still: it need not be read anew */
        }
        await(count_in("log", ": disconnected retr=0/0 top=0 del=0 left=2 ") == i + 1);
    }
    check(exists("store/big") && exists("store/later"));
    ask(&other, "STAT", "+OK 2 17039390");
    send_text(&other, "RETR 2\r\n");
    expect_message(&other, 2);
    quit(&other);
    stop_server(&s);
}

/* A client that shuts down its sending side gets all answers. Without QUIT nothing is removed. */
static void
test_half_closed(void)
{
    struct server s;
    struct client c;

    make_store(2);
    s = start_server("-d store 0");
    for (int i = 0; i < 2; i++) {
        c = connect_to(&s);
        send_text(&c, i == 0 ? "RETR 2\r\nDELE 1\r\n" : "RETR 2\r\nDELE 1\r\nQUIT\r\n");
        check(shutdown(c.fd, SHUT_WR) == 0);
        expect(&c, "+OK*");
        expect_message(&c, 2);
        expect(&c, "+OK*");
        if (i == 1)
            expect(&c, "+OK 1*");
        expect_end(&c);
        check(exists("store/1") == (i == 0));
    }
    stop_server(&s);
}

/* ---- -i on pipes ----------------------------------------------------------------------------- */

/* Returns how many bytes are in a pipe. */
static int
in_pipe(int fd)
{
    int count = -1;

    check(ioctl(fd, FIONREAD, &count) == 0);
    return count;
}

/* The end of a line that is too long is not a command, even if it arrives later. */
static void
test_long_line_in_pieces(void)
{
    static const char rest[] = "DELE 1\r\nQUIT\r\n";
    char line[300], answers[1024];
    size_t length = 0;
    ssize_t count;
    int to, from;
    pid_t pid;

    make_store(1);
    memset(line, 'x', sizeof line);
    pid = start_inetd("-i -d store", &to, &from);
    for (size_t i = 0; i < 3; i++) {
        check(write(to, line, sizeof line) == (ssize_t)sizeof line);
        await(in_pipe(to) == 0);
    }
    check(write(to, rest, sizeof rest - 1) == (ssize_t)sizeof rest - 1);
    close(to);
    while ((count = read(from, answers + length, sizeof answers - 1 - length)) > 0)
        length += (size_t)count;
    answers[length] = '\0';
    close(from);
    check(wait_for(pid) == 0 && exists("store/1"));
    check(strstr(answers, "\r\n-ERR") != NULL && strstr(answers, "marked") == NULL);
}

/* A pipe that nobody reads does not hold a session for ever: it is idle. */
static void
test_full_pipe(void)
{
    static const char commands[] = "DELE 2\r\nRETR 1\r\nQUIT\r\n";
    int to, from;
    pid_t pid;

    make_store(0);
    make_big("store/1", MIB);
    put("store/2", "x\n");
    pid = start_inetd("-i -t 1 -d store", &to, &from);
    check(write(to, commands, sizeof commands - 1) == (ssize_t)sizeof commands - 1);
    wait_for(pid);
    check(log_has("idle retr=0/0") && exists("store/2"));
    close(to);
    close(from);
}

/* ---- Pipelining ------------------------------------------------------------------------------ */

static void
test_10000_noops(void)
{
    char *noops = repeat("NOOP\r\nNOOP\r\nSTAT\r\nNOOP x\r\n", 2500);
    struct server s;
    struct client c;

    make_store(1);
    s = start_server("-d store 0");
    c = greeted(&s);
    send_text(&c, noops);
    for (int i = 0; i < 2500; i++) {
        expect(&c, "+OK*");
        expect(&c, "+OK*");
        expect(&c, "+OK 1 30");
        expect(&c, "-ERR*");
    }
    free(noops);
    quit(&c);
    stop_server(&s);
}

/*
 * The answer to QUIT arrives and the connection is closed in order, even if the client sent more.
 */
static void
test_behind_quit(void)
{
    char *noops = repeat("NOOP\r\n", 20000), *all = malloc(strlen(noops) + 100);
    struct server s;
    struct client c;

    make_store(3);
    s = start_server("-d store 0");
    c = greeted(&s);
    check(all != NULL);
    snprintf(all, strlen(noops) + 100, "DELE 1\r\nQUIT\r\nDELE 2\r\n%s", noops);
    send_text(&c, all);
    expect(&c, "+OK*");
    expect(&c, "+OK 1 message removed*");
    expect_end(&c);
    check(!exists("store/1") && exists("store/2"));
    free(noops);
    free(all);
    stop_server(&s);
}

/*
 * A client that sends on behind QUIT gets all of a long answer before it. A machine too slow for
 * that in the two seconds that it has may need several attempts.
 */
static void
test_answer_before_quit(void)
{
    char *noops = repeat("NOOP\r\n", 20000);
    struct server s;
    bool whole = false;

    make_store(0);
    make_big("store/1", MIB);
    s = start_server("-d store 0");
    for (int i = 0; i < 20 && !whole; i++) {
        struct client c = connect_narrow(&s);

        expect(&c, "+OK*");
        send_text(&c, "RETR 1\r\nQUIT\r\n");
        send_text(&c, noops);
        take_rest(&c);
        c.text[c.end] = '\0';
        whole = c.error == 0 && strstr(c.text + c.start, "\r\n.\r\n+OK 0 messages removed") != NULL;
        hang_up(&c);
    }
    check(whole);
    free(noops);
    stop_server(&s);
}

/* A client that does not close after QUIT does not keep its place for long. */
static void
test_stays_behind_quit(void)
{
    struct server s;
    struct client c, after;

    make_store(1);
    s = start_server("-n 1 -d store 0");
    c = greeted(&s);
    ask(&c, "QUIT", "+OK*");
    for (int64_t until = clock_ms() + PATIENCE;;) {
        const char *line;

        after = connect_to(&s);
        line = next_line(&after);
        if (line != NULL && matches(line, "+OK*"))
            break;
        hang_up(&after);
        check(clock_ms() < until);
        poll(NULL, 0, 50);
    }
    expect_end(&c);
    quit(&after);
    stop_server(&s);
}

/* The last permitted mistake closes the connection in the same way. */
static void
test_behind_mistakes(void)
{
    char *wrong = repeat("WHAT\r\n", 5000);
    struct server s;
    struct client c;

    make_store(1);
    s = start_server("-d store 0");
    c = greeted(&s);
    send_text(&c, wrong);
    for (int i = 0; i < 20; i++)
        expect(&c, "-ERR*");
    expect_end(&c);
    await(log_has("error"));
    free(wrong);
    stop_server(&s);
}

static void
test_2000_messages(void)
{
    enum { MESSAGES = 2000 };
    struct server s;
    struct client c;
    char line[64], *body;

    make_store(MESSAGES);
    s = start_server("-d store 0");
    c = greeted(&s);
    ask(&c, "STAT", "+OK 2000 60000");
    ask(&c, "LIST", "+OK*");
    for (int i = 1; i <= MESSAGES; i++) {
        snprintf(line, sizeof line, "%d 30", i);
        expect(&c, line);
    }
    expect(&c, ".");
    ask(&c, "UIDL", "+OK*");
    body = take_body(&c);
    check(strlen(body) > MESSAGES * 6);
    free(body);
    for (int i = 1; i <= MESSAGES; i++) {
        snprintf(line, sizeof line, "RETR %d\r\n", i);
        send_text(&c, line);
    }
    for (int i = 1; i <= MESSAGES; i++)
        expect_message(&c, i);
    quit(&c);
    stop_server(&s);
}

/* Tests that wait long come first, so that the others run meanwhile. */
static const struct test tests[] = {
    {"a client that reads slowly is not idle", test_slow_reader, 0},
    {"a client that reads nothing is idle", test_reads_nothing, 0},
    {"an idle session is closed without an answer", test_idle, 0},
    {"a client that does not close after QUIT", test_stays_behind_quit, 0},
    {"idle from the start", test_idle_from_the_start, 0},
    {"1000 sessions leak nothing", test_1000_sessions, 0},
    {"200 sessions at once", test_200_at_once, 0},
    {"2000 messages, all retrieved at once", test_2000_messages, 0},
    {"the greeting without a login", test_greeting, 0},
    {"a message that was removed is gone", test_deleted, 0},
    {"a message that two remove", test_deleted_twice, 0},
    {"a session sees the store as it was", test_snapshot, 0},
    {"a message that is renamed", test_renamed, 0},
    {"a message that is renamed in a Maildir", test_renamed_in_maildir, 0},
    {"a message that is renamed to no message's name", test_hidden, 0},
    {"messages that take each other's names", test_swapped, 0},
    {"a new file with the inode of a message", test_inode_again, 0},
    {"a message with two names", test_linked, 0},
    {"a message that is renamed and changed", test_renamed_and_changed, 0},
    {"a message that is renamed during QUIT", test_renamed_during_quit, 0},
    {"a message that is touched", test_touched, 0},
    {"a FIFO in a message's place", test_fifo_in_place, 0},
    {"-i: a line that is too long, in pieces", test_long_line_in_pieces, 0},
    {"-i: a pipe that is full", test_full_pipe, 0},
    {"a message that changed is refused and kept", test_changed, 0},
    {"marked messages that others removed or changed", test_changed_and_gone, 0},
    {"a message that is truncated while it is sent", test_cut_short, 0},
    {"a message that is appended to while it is sent", test_lengthened, 0},
    {"a message that is written to while it is sent", test_scribbled, 0},
    {"a message that is removed while it is sent", test_gone_on_its_way, 0},
    {"SIGTERM and SIGINT", test_stop, 0},
    {"SIGTERM and a client that reads nothing", test_stop_busy, 0},
    {"QUIT in a directory that may not be read", test_unreadable_directory, 0},
    {"SIGTERM and a session that is stopped", test_stop_of_the_stopped, 0},
    {"SIGTERM and commands without an end", test_stop_pipelined, 0},
    {"SIGTERM and a line that does not end", test_stop_flooded, 0},
    {"-i leaves the options of its socket", test_inetd_socket, 0},
    {"-i: standard error is the connection", test_inetd_connection, 0},
    {"SIGTERM inside QUIT", test_stop_in_quit, 0},
    {"a session that is killed or hangs", test_killed, 0},
    {"a server that is killed frees its port", test_server_killed, 0},
    {"which descriptors a session has", test_open_files, 0},
    {"one session too many", test_one_too_many, 0},
    {"one session after the other", test_one_by_one, 0},
    {"connections that are reset before they are accepted", test_reset_at_once, 0},
    {"clients that disconnect during RETR", test_vanishing, 0},
    {"a client that sends no more", test_half_closed, 0},
    {"10000 commands at once", test_10000_noops, 0},
    {"commands after QUIT", test_behind_quit, 0},
    {"a long answer before QUIT", test_answer_before_quit, 0},
    {"commands after the last mistake", test_behind_mistakes, 0},
};

int
main(int argc, char **argv)
{
    (void)argc;
    return run_tests(tests, (int)(sizeof tests / sizeof *tests), AT_ONCE, argv + 1);
}
