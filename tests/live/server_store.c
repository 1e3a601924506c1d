/*
 * server_store.c - a store that changes between sessions
 */
#include "net.h"

/* ---- A store that changes between sessions --------------------------------------------------- */

/* Changes that no shell command makes, or not within one clock tick. */

static void
same_size_and_times(void)
{
    change_with_times("store/1");
}

/* "store/4" and "other", outside the store, are the same file. */
static void
same_size_and_times_through_link(void)
{
    change_with_times("other");
}

/* Writes through a mapping, and closes the file before it is unmapped. */
static void
through_memory(void)
{
    int file = open("store/1", O_RDWR);
    char *memory = mmap(NULL, 27, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);

    check(file >= 0 && memory != MAP_FAILED && close(file) == 0);
    memcpy(memory, "Subject: massage", 16);
    check(munmap(memory, 27) == 0);
}

/* The file gets a second name outside the store, and is written through that. */
static void
through_new_link(void)
{
    check(link("store/1", "another") == 0);
    change_in_place("another");
}

/* The file is still open for writing when the next session starts. */
static void
still_open(void)
{
    int file = open("store/2", O_WRONLY | O_APPEND);

    check(file >= 0 && write(file, "more\n", 5) == 5);
}

static void
many_delivered(void)
{
    char name[32];

    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof name, "many-%d", i);
        deliver(name, name);
    }
}

struct change {
    const char *name, *command;
    void (*make)(void);         /* if there is no command */
};

/* Through a name in another directory, which inotify does not report. */
static const struct change hidden_changes[] = {
    {"written through its other name, the time put back", NULL, same_size_and_times_through_link},
    {"written through its other name", "echo changed >other", NULL},
    {"written through another name that is new", NULL, through_new_link},
};

/* Changes between two sessions. Each is tried alone: together they would hide each other. */
static const struct change changes[] = {
    {"rewritten at once, the same size, the time put back", NULL, same_size_and_times},
    {"written through memory", NULL, through_memory},
    {"appended to, and not closed", NULL, still_open},
    {"many delivered", NULL, many_delivered},
    {"its other name removed, then written", "rm other; echo changed >store/4", NULL},
    {"delivered by rename", "echo new >store/.new; mv store/.new store/10", NULL},
    {"written under its name", "echo new >store/0", NULL},
    {"appended to", "printf 'more\\nand more' >>store/2", NULL},
    {"truncated", ": >store/2", NULL},
    {"replaced by rename", "echo new >store/.new; mv store/.new store/3", NULL},
    {"removed", "rm store/2", NULL},
    {"all removed", "rm store/*", NULL},
    {"removed and made again", "rm store/1; echo again >store/1", NULL},
    {"renamed", "mv store/1 store/9", NULL},
    {"two swapped", "mv store/1 store/.x; mv store/2 store/1; mv store/.x store/2", NULL},
    {"hidden", "mv store/2 store/.2", NULL},
    {"moved out", "mv store/2 old", NULL},
    {"moved in", "echo new >old; mv old store/old", NULL},
    {"replaced by a symbolic link", "rm store/1; ln -s 2 store/1", NULL},
    {"replaced by a directory", "rm store/1; mkdir store/1", NULL},
    {"made a Maildir", "mkdir store/cur store/new store/tmp; mv store/2 store/new", NULL},
    {"the directory replaced", "mv store old; mkdir store; echo new >store/1", NULL},
    {"the directory replaced by a link", "mv store old; mkdir new; ln -s new store; echo >store/1",
     NULL},
    {"the directory removed and made again", "rm -r store; mkdir store; echo new >store/7", NULL},
};

static void
make_change(const struct change *change)
{
    if (change->make != NULL)
        change->make();
    else
        check(system(change->command) == 0);
}

enum { FEW = 4, MANY = 100 };

/* Makes a store for one change, whatever is left of the one before. */
static void
make_store_for_changes(int count)
{
    remove_tree("store");
    remove_tree("old");
    remove_tree("new");
    unlink("other");
    unlink("another");
    make_store(count);
    check(link("store/4", "other") == 0);
}

/* Each change is seen by the next session and by the one after it. */
static void
test_changes(void)
{
    bool failed = false;

    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        char *before, *after, *again, *fresh;
        struct server s;

        make_store_for_changes(FEW);
        s = start_server("-a 127.0.0.1 -d store 0");
        before = in_step(&s);
        make_change(&changes[i]);
        after = listing(&s);
        again = listing(&s);
        fresh = fresh_listing();
        if (strcmp(after, fresh) != 0 || strcmp(again, fresh) != 0 || strcmp(before, fresh) == 0) {
            printf("not seen: %s\n", changes[i].name);
            failed = true;
        }
        free(before);
        free(after);
        free(again);
        free(fresh);
        stop_server(&s);
    }
    check(!failed);
}

/* Returns the number of files, watches and rules that a process has open: all but sockets. */
static int
count_files(pid_t pid)
{
    return has_proc() ? count_open(pid, "/") + count_open(pid, "anon_inode:") : 0;
}

/* Returns how many indexes a process has in its memory, as far as they have a name there. */
static int
count_indexes(pid_t pid)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    return count_in(path, "memfd:index");
}

/*
 * The same with many messages and one server, which has no more files open afterwards, and one
 * index.
 */
static void
test_changes_in_a_row(void)
{
    struct server s;
    int files;

    make_store_for_changes(MANY);
    s = start_server("-a 127.0.0.1 -d store 0");
    free(in_step(&s));
    files = count_files(s.pid);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        free(in_step(&s));
        make_change(&changes[i]);
        free(in_step(&s));
        make_store_for_changes(MANY);
    }
    free(in_step(&s));
    check(count_files(s.pid) == files);
    check(!has_proc() || count_indexes(s.pid) <= 1);
    stop_server(&s);
}

/*
 * A change that is not reported is noticed by a session that reads the message. The next session
 * sees it.
 */
static void
test_noticed(void)
{
    for (size_t i = 0; i < sizeof hidden_changes / sizeof *hidden_changes; i++) {
        char *fresh, *text;
        struct server s;
        struct client c;
        const char *line;
        bool seen;

        make_store_for_changes(MANY);
        s = start_server("-a 127.0.0.1 -d store 0");
        free(in_step(&s));
        make_change(&hidden_changes[i]);
        fresh = fresh_listing();
        text = listing(&s);
        seen = strcmp(text, fresh) == 0;        /* where nothing is reported every session looks */
        free(fresh);
        free(text);
        if (seen) {
            stop_server(&s);
            continue;
        }
        c = greeted(&s);
        send_text(&c, hidden_changes[i].make == through_new_link ? "RETR 1\r\n" : "RETR 4\r\n");
        line = next_line(&c);
        if (line == NULL || !matches(line, "-ERR*"))
            fail("%s: not refused", hidden_changes[i].name);
        send_text(&c, "QUIT\r\n");
        take_rest(&c);
        hang_up(&c);
        await(!has_proc() || count_children(s.pid) == 0);
        free(in_step(&s));
        stop_server(&s);
    }
}

/* A message with two names in the store is written through one of them: both change at once. */
static void
test_linked(void)
{
    struct server s;

    for (int count = FEW; count <= MANY; count += MANY - FEW) {
        make_store_for_changes(count);
        check(link("store/1", "store/999") == 0);
        s = start_server("-a 127.0.0.1 -d store 0");
        free(in_step(&s));
        change_in_place("store/999");
        free(in_step(&s));
        check(system("echo more >>store/1") == 0);
        free(in_step(&s));
        check(unlink("store/1") == 0);
        change_in_place("store/999");
        free(in_step(&s));
        stop_server(&s);
    }
}

/*
 * Two changes of a file within one tick of the clock leave the same timestamps: the second one is
 * seen as well, because a file that young is not measured yet.
 */
static void
test_changed_within_a_tick(void)
{
    struct server s;

    make_store(1);
    s = start_server("-a 127.0.0.1 -d store 0");
    for (int i = 0; i < 10; i++) {
        struct client c[2];
        char id[2][100];

        for (int j = 0; j < 2; j++) {           /* each measures the file before it greets */
            put("store/1", j == 0 ? "Subject: message\n\n0000000a\n"
                                  : "Subject: message\n\n0000000b\n");
            c[j] = greeted(&s);
        }
        for (int j = 0; j < 2; j++) {
            const char *line;

            send_text(&c[j], "UIDL 1\r\n");
            line = next_line(&c[j]);
            check(line != NULL);
            snprintf(id[j], sizeof id[j], "%s", line);
            quit(&c[j]);
        }
        check(strcmp(id[0], id[1]) != 0);
    }
    stop_server(&s);
}

/* A session that met a hidden change need not end before the next one sees it. */
static void
test_noticed_at_once(void)
{
    struct server s;
    struct client c;

    make_store_for_changes(MANY);
    s = start_server("-a 127.0.0.1 -d store 0");
    free(in_step(&s));
    change_in_place("other");
    c = greeted(&s);
    send_text(&c, "RETR 4\r\n");
    check(next_line(&c) != NULL);
    free(in_step(&s));
    hang_up(&c);
    stop_server(&s);
}

/*
 * The same message has the same unique-id after a touch, a restart and a restore; another one has
 * another.
 */
static void
test_unique_ids(void)
{
    struct server s;
    struct client c;
    char *first, *next;

    make_store(MANY);
    s = start_server("-d store 0");
    first = in_step(&s);
    check(utimensat(AT_FDCWD, "store/1", NULL, 0) == 0);
    c = greeted(&s);
    send_text(&c, "RETR 1\r\n");
    expect_message(&c, 1);
    quit(&c);
    check(chmod("store/1", 0600) == 0);
    c = greeted(&s);
    send_text(&c, "RETR 1\r\n");
    expect_message(&c, 1);
    quit(&c);
    change_by_rename("store/2");
    deliver("2", "Subject: message\n\n00000002\n");
    check(rename("store/1", "store/1:2,S") == 0);
    next = in_step(&s);
    check(strcmp(first, next) == 0);
    free(next);
    stop_server(&s);

    s = start_server("-d store 0");
    next = listing(&s);
    check(strcmp(first, next) == 0);
    free(next);
    change_with_times("store/1:2,S");
    next = in_step(&s);
    check(strcmp(first, next) != 0);
    check(strncmp(next, "1 30\r\n2 30\r\n", 12) == 0);
    free(next);
    free(first);
    stop_server(&s);
}

/* A new hard link, elsewhere or in the store, does not change a message. */
static void
give_names(int count)
{
    struct server s;
    struct client c;

    make_store_for_changes(count);
    s = start_server("-d store 0");
    free(in_step(&s));
    check(link("store/1", "elsewhere") == 0);
    c = greeted(&s);
    send_text(&c, "RETR 1\r\n");
    expect_message(&c, 1);
    quit(&c);
    check(link("store/2", "store/999") == 0);
    c = greeted(&s);
    send_text(&c, "RETR 2\r\n");
    expect_message(&c, 2);
    ask(&c, "DELE 2", "+OK*");
    quit(&c);
    check(!exists("store/2") && exists("store/999"));
    check(unlink("elsewhere") == 0);
    c = greeted(&s);
    ask(&c, "DELE 1", "+OK*");
    check(link("store/3", "elsewhere") == 0);
    ask(&c, "DELE 2", "+OK*");
    send_text(&c, "RETR 3\r\n");
    expect_message(&c, 4);
    quit(&c);
    check(!exists("store/1") && !exists("store/3"));
    stop_server(&s);
}

static void
test_names_of_few(void)
{
    give_names(FEW);
}

static void
test_names_of_many(void)
{
    give_names(MANY);
}

static void
test_unreadable(void)
{
    struct server s;
    char *text;

    if (geteuid() == 0)
        skip("root can read everything");
    make_store(2);
    s = start_server("-d store 0");
    free(in_step(&s));
    check(chmod("store/1", 0) == 0);
    text = in_step(&s);
    check(strncmp(text, "1 30\r\n.\r\n", 9) == 0);
    free(text);
    check(chmod("store/1", 0600) == 0);
    text = in_step(&s);
    check(strncmp(text, "1 30\r\n2 30\r\n.\r\n", 15) == 0);
    free(text);
    stop_server(&s);
}

/* Without a store new clients get -ERR [SYS/TEMP]; a session that began before continues. */
static void
test_store_away(void)
{
    struct server s;
    struct client before, c;

    make_store(2);
    s = start_server("-d store 0");
    before = greeted(&s);
    check(rename("store", "away") == 0);
    for (int i = 0; i < 2; i++) {
        c = connect_to(&s);
        expect(&c, "-ERR [SYS/TEMP] the mail cannot be read, try again later");
        expect_end(&c);
    }
    check(log_has(": refused: the mail cannot be read (No such file or directory)\n"));
    send_text(&before, "RETR 2\r\n");
    expect_message(&before, 2);
    change_in_place("away/1");
    check(rename("away", "store") == 0);
    free(in_step(&s));
    quit(&before);

    remove_tree("store");
    c = connect_to(&s);
    expect(&c, "-ERR [SYS/TEMP]*");
    expect_end(&c);
    make_store(1);
    c = greeted(&s);
    ask(&c, "STAT", "+OK 1 30");
    quit(&c);
    stop_server(&s);
}

/* A Maildir's folders are replaced, or one of the three is gone: the next session sees it. */
static void
test_folders(void)
{
    static const char *const commands[] = {
        "rm -r store/cur; mkdir store/cur; echo new >store/cur/3",
        "rmdir store/cur; mkdir store/cur; echo new >store/cur/3",
        "rm -r store/new; mkdir store/new; echo new >store/new/1",
        "mv store/new old; mkdir store/new; echo new >store/new/3",
        "rmdir store/tmp",
        "rmdir store/cur; echo new >store/3",
    };
    bool failed = false;

    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        char *before, *after, *fresh;
        struct server s;

        remove_tree("store");
        remove_tree("old");
        check(system("mkdir store store/new store/cur store/tmp; echo one >store/new/1") == 0);
        s = start_server("-a 127.0.0.1 -d store 0");
        before = in_step(&s);
        check(system(commands[i]) == 0);
        after = listing(&s);
        fresh = fresh_listing();
        if (strcmp(after, fresh) != 0 || strcmp(before, fresh) == 0) {
            printf("not seen: %s\n", commands[i]);
            failed = true;
        }
        free(before);
        free(after);
        free(fresh);
        stop_server(&s);
    }
    check(!failed);
}

/* Lets the link "store" lead to "two", then to "one", and so on, without an end. */
static _Noreturn void
switch_link(void)
{
    for (int i = 0;; i++) {
        unlink("link");
        if (symlink(i % 2 == 0 ? "two" : "one", "link") != 0 || rename("link", "store") != 0)
            _exit(1);
    }
}

/* The link that is the store leads here and there while the server opens it. */
static void
test_link_switched(void)
{
    struct server s;
    int64_t until;

    check(system("mkdir one two; ln -s one store; echo two >two/1") == 0);
    s = start_server("-a 127.0.0.1 -d store 0");
    until = clock_ms() + 20 * 1000;             /* on a slow machine a few rounds are enough */
    for (int round = 0; round < 5 || (round < 200 && clock_ms() < until); round++) {
        const pid_t switcher = fork();
        char name[16];

        check(switcher >= 0);
        if (switcher == 0)
            switch_link();
        for (int i = 0; i < 3; i++)
            free(listing(&s));
        kill(switcher, SIGKILL);
        wait_for(switcher);
        free(in_step(&s));
        snprintf(name, sizeof name, "new-%d", round);
        deliver(name, "new\n");
        free(in_step(&s));
    }
    stop_server(&s);
}

/* More changes between two sessions than inotify's queue holds. */
static void
test_too_many_changes(void)
{
    const char *path = "/proc/sys/fs/inotify/max_queued_events";
    struct server s;
    char *text;
    int most;

    if (!exists(path))
        skip("no inotify here");
    text = slurp(path);
    most = atoi(text);
    free(text);
    if (most > 50000)
        skip("too many changes are too many here");
    make_store(2);
    s = start_server("-d store 0");
    free(in_step(&s));
    for (int i = 0; i < most / 4 + 100; i++)    /* four events each */
        check(rename("store/1", "store/x") == 0 && rename("store/x", "store/1") == 0);
    change_in_place("store/2");
    deliver("3", "new\n");
    free(in_step(&s));
    change_in_place("store/1");
    free(in_step(&s));
    stop_server(&s);
}

/* A file that is written to all the time: a message that arrives whole has the announced size. */
static void
test_while_written(void)
{
    struct server s;
    pid_t writer;
    int whole = 0, rounds = 0;

    make_store(2);
    s = start_server("-d store 0");
    writer = fork();
    check(writer >= 0);
    if (writer == 0) {
        static const char *const texts[] = {"a\n",    "\n\n\n\n\n", "",
                                            "no end", "b\nb\n",     "c\r\n\r\n"};

        for (unsigned i = 0;; i++) {
            put("store/1", texts[i % 6]);
            poll(NULL, 0, (int)(i % 3) * 30);
        }
    }
    for (; rounds < 500 && (rounds < 50 || whole < 20); rounds++) {
        struct client c = greeted(&s);
        const char *line;
        unsigned long listed, sent;

        send_text(&c, "LIST 1\r\nRETR 1\r\n");
        line = next_line(&c);
        check(line != NULL && sscanf(line, "+OK 1 %lu", &listed) == 1);
        line = next_line(&c);
        if (line != NULL && sscanf(line, "+OK %lu", &sent) == 1) {
            size_t octets = 0;

            while ((line = next_line(&c)) != NULL && strcmp(line, ".") != 0)
                octets += strlen(line) + 2;
            if (line != NULL) {
                check(sent == listed && octets == sent);
                whole++;
            }
        }
        hang_up(&c);
    }
    kill(writer, SIGKILL);
    wait_for(writer);
    check(whole > 0);
    free(in_step(&s));
    stop_server(&s);
}

/* A server that reads its store again and again needs no more memory for that. */
static void
test_memory(void)
{
    struct server s;
    long before = 0;

    if (!has_proc())
        skip("there is no /proc here");
    make_store(2000);
    s = start_server("-a 127.0.0.1 -d store 0");
    if (memory(s.pid, "VmSize:") > 1024 * 1024)
        skip("a sanitizer keeps memory");
    for (int i = 0; i < 40; i++) {
        struct client c;

        check(chmod("store", i % 2 == 0 ? 0700 : 0755) == 0);
        c = greeted(&s);
        quit(&c);
        if (i == 9)
            before = memory(s.pid, "VmData:");
    }
    check(memory(s.pid, "VmData:") - before < 500);
    stop_server(&s);
}

/*
 * Changes of some file systems are not reported. /proc is one: each session sees the files for the
 * open descriptors of this process as they are.
 */
static void
test_not_reported(void)
{
    char options[64];
    struct server s;
    struct client c[3];
    int count[3];

    if (!has_proc() || !exists("/proc/self/fdinfo"))
        skip("there is no /proc here");
    snprintf(options, sizeof options, "-a 127.0.0.1 -d /proc/%d/fdinfo 0", (int)getpid());
    s = start_server(options);
    for (int i = 0; i < 3; i++) {
        c[i] = greeted(&s);                     /* it has a descriptor */
        send_text(&c[i], "STAT\r\n");
        check(sscanf(next_line(&c[i]), "+OK %d 0", &count[i]) == 1);
    }
    check(count[1] == count[0] + 1 && count[2] == count[1] + 1);
    for (int i = 0; i < 3; i++)
        quit(&c[i]);
    stop_server(&s);
}

/* Tests that wait long come first, so that the others run meanwhile. */
static const struct test tests[] = {
    {"each change of the store is seen", test_changes, 0},
    {"many changes of the store, one by one", test_changes_in_a_row, 0},
    {"a change that is not reported", test_noticed, 0},
    {"the store is a link that is switched all the time", test_link_switched, 0},
    {"a Maildir's folders are replaced", test_folders, 0},
    {"more changes than inotify's queue holds", test_too_many_changes, 0},
    {"a message that is written to all the time", test_while_written, 0},
    {"unique-ids stay what they are", test_unique_ids, 0},
    {"a message with two names in the store", test_linked, 0},
    {"two changes within one tick", test_changed_within_a_tick, 0},
    {"a change that a session notices", test_noticed_at_once, 0},
    {"a message that gets a hard link", test_names_of_few, 0},
    {"one of many messages gets a hard link", test_names_of_many, 0},
    {"a message that becomes unreadable", test_unreadable, 0},
    {"a store that is missing for a while", test_store_away, 0},
    {"a file system that reports no changes", test_not_reported, 0},
    {"memory after many changes", test_memory, 0},
};

int
main(int argc, char **argv)
{
    (void)argc;
    return run_tests(tests, (int)(sizeof tests / sizeof *tests), AT_ONCE, argv + 1);
}
