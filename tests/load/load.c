/*
 * load.c - the server under load and abuse: many sessions, rude clients, limits met and left
 * again, stores that break while they are served, and random sessions against a model of the
 * store
 *
 *   load quick|full [WORD...]      all cases, or those with one of these words in their name
 *
 * SERVER names the program under test (./server if it is not set). LOAD_SEED repeats a random
 * case as far as it can be, LOAD_SECONDS sets how long one takes. It is Linux's: what a process
 * has is read from /proc. The clients, the servers, the waiting and the runner are those of
 * live/net.h.
 *
 * A case is a process with a directory of its own, and may print a line of figures. A number that
 * must be as it was before is waited for, and found wanting only when patience is over.
 */
#define _GNU_SOURCE 1
#include "../live/network.h"

#include <ctype.h>
#include <grp.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/resource.h>

static bool full;

/* Returns how much of something there is to be, a little in the check that runs often. */
static int
amount(int in_check, int in_full)
{
    return full ? in_full : in_check;
}

/* ---- What a server has ----------------------------------------------------------------------- */

enum { SESSIONS_MOST = 4096 };

/*
 * Finds the sessions of a server, dead ones that it did not reap included. Returns how many; pids
 * may be NULL.
 */
static int
sessions_of(const struct server *s, pid_t pids[SESSIONS_MOST])
{
    char path[64], *text, *at, *end;
    int count = 0;

    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)s->pid, (int)s->pid);
    text = slurp(path);
    for (at = text; count < SESSIONS_MOST; at = end) {
        long pid = strtol(at, &end, 10);

        if (end == at)
            break;
        if (pids != NULL)
            pids[count] = (pid_t)pid;
        count++;
    }
    free(text);
    return count;
}

/* Waits until a server has one session, and returns its process. */
static pid_t
the_session(const struct server *s)
{
    static pid_t pids[SESSIONS_MOST];

    await(sessions_of(s, pids) == 1);
    return pids[0];
}

/*
 * Returns how many processes there are of this case, its servers, their sessions and whoever they
 * left.
 */
static int
processes(void)
{
    DIR *directory = opendir("/proc");
    struct dirent *entry;
    int count = 0;

    check(directory != NULL);
    while ((entry = readdir(directory)) != NULL)
        if (isdigit((unsigned char)entry->d_name[0]) &&
            getpgid((pid_t)atoi(entry->d_name)) == getpgrp())
            count++;
    closedir(directory);
    return count;
}

/* Returns the kilobytes that a process has for itself alone, or 0 when it is gone. */
static long
own_memory(pid_t pid)
{
    char path[64], line[256];
    long sum = 0, kilobytes;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "Private_Clean: %ld", &kilobytes) == 1 ||
            sscanf(line, "Private_Dirty: %ld", &kilobytes) == 1)
            sum += kilobytes;
    if (file != NULL)
        fclose(file);
    return sum;
}

/* Holds a short session, and returns how many milliseconds it took. */
static int
polite(const struct server *s)
{
    int64_t began = clock_ms();
    struct client c = greeted(s);

    ask(&c, "STAT", "+OK*");
    quit(&c);
    return (int)(clock_ms() - began);
}

/* Returns true if memory can be judged: an address sanitizer takes as much as there is. */
static bool
has_memory(const struct server *s)
{
    return memory(s->pid, "VmSize:") < 1024L * 1024 * 1024;
}

/* What a server has while it has no session, and knows its store. */
struct usage {
    int files, processes;
    long kilobytes;             /* of its own and shared with its sessions, not of files */
};

static struct usage
usage(const struct server *s)
{
    struct usage u;

    await(sessions_of(s, NULL) == 0);
    polite(s);
    await(sessions_of(s, NULL) == 0);
    u.files = count_open(s->pid, "");
    u.processes = processes();
    u.kilobytes = memory(s->pid, "RssAnon:") + memory(s->pid, "RssShmem:");
    return u;
}

enum {
    MORE_KILOBYTES = 192,       /* that a server may have afterwards: an index has room to grow */
    SESSION_KILOBYTES = 1024    /* that a session may have for itself alone */
};

/* The server must have no more than before. */
static void
expect_usage(const struct server *s, const struct usage *before)
{
    struct usage after = usage(s);

    if (after.files != before->files || after.processes != before->processes ||
        (has_memory(s) && after.kilobytes > before->kilobytes + MORE_KILOBYTES))
        fail("open files %d then %d, processes %d then %d, KiB %ld then %ld", before->files,
             after.files, before->processes, after.processes, before->kilobytes, after.kilobytes);
    printf("the parent: %d files, %d processes, %ld KiB; before: %d, %d, %ld\n", after.files,
           after.processes, after.kilobytes, before->files, before->processes, before->kilobytes);
}

/* Ends a server, none of whose sessions may have crashed. */
static void
end_server(struct server *s)
{
    await(sessions_of(s, NULL) == 0);
    check(!log_has("killed by signal"));
    stop_server(s);
}

/* Returns how many lines of the log have a text. */
static int
log_count(const char *wanted)
{
    char *text = slurp("log");
    int count = 0;

    for (const char *p = text; (p = strstr(p, wanted)) != NULL; p += strlen(wanted))
        count++;
    free(text);
    return count;
}

static void
run_command(const char *command)
{
    if (system(command) != 0)
        fail("this failed: %s", command);
}

enum resource { FILES, PROCESSES };

/*
 * Sets how much of a resource another process may have; the hard limit stays. Returns the old
 * one.
 */
static rlim_t
set_limit(pid_t pid, enum resource resource, rlim_t most)
{
    struct rlimit old, new;

    check((resource == FILES ? prlimit(pid, RLIMIT_NOFILE, NULL, &old) :
                               prlimit(pid, RLIMIT_NPROC, NULL, &old)) == 0);
    new = (struct rlimit){.rlim_cur = most, .rlim_max = old.rlim_max};
    check((resource == FILES ? prlimit(pid, RLIMIT_NOFILE, &new, NULL) :
                               prlimit(pid, RLIMIT_NPROC, &new, NULL)) == 0);
    return old.rlim_cur;
}

/* Lets this process open as many files as it may. Returns how many. */
static int
open_many(void)
{
    struct rlimit most;

    check(getrlimit(RLIMIT_NOFILE, &most) == 0);
    most.rlim_cur = most.rlim_max < 20000 ? most.rlim_max : 20000;
    setrlimit(RLIMIT_NOFILE, &most);
    check(getrlimit(RLIMIT_NOFILE, &most) == 0);
    return (int)most.rlim_cur;
}

/*
 * Becomes somebody whom limits and permissions bind. Root gives this directory away, and a copy
 * of the server.
 */
static void
become_nobody(void)
{
    const id_t nobody = 65534;

    if (geteuid() != 0)
        return;
    run_command(
        "cp \"$SERVER\" server && chmod 755 server . && chmod 711 .. && chown -R 65534:65534 .");
    check(setgroups(0, NULL) == 0);
    check(setresgid(nobody, nobody, nobody) == 0 && setresuid(nobody, nobody, nobody) == 0);
    setenv("SERVER", "./server", 1);
}

/* ---- Dice ------------------------------------------------------------------------------------ */

static uint64_t dice_state;

/* Returns a number below limit; the same ones in each run with a seed. */
static unsigned
dice(unsigned limit)
{
    dice_state = dice_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)((dice_state >> 33) % limit);
}

/* Sets the dice: to LOAD_SEED, or to anything. Says to what. */
static void
seed_dice(void)
{
    const char *seed = getenv("LOAD_SEED");

    dice_state =
        seed != NULL ? strtoull(seed, NULL, 10) : (uint64_t)clock_ms() * 1000003 % 1000000007;
    printf("LOAD_SEED=%llu\n", (unsigned long long)dice_state);
    fflush(stdout);
}

/* Returns how long a random case is to take. */
static int
random_seconds(void)
{
    const char *seconds = getenv("LOAD_SECONDS");

    return seconds != NULL ? atoi(seconds) : amount(20, 1800);
}

/* ---- Many sessions --------------------------------------------------------------------------- */

/*
 * Holds one session of some kind, that ends in some way. The store has 20 messages, and has them
 * afterwards.
 */
static void
hold_session(const struct server *s, int i)
{
    struct client c = connect_to(s);
    char line[64];

    if (i % 50 == 0)            /* so that the index is made anew now and then */
        deliver(i % 100 == 0 ? "20" : "21", "Subject: message\n\n00000020\n");
    if (i % 50 == 25)
        check(unlink(i % 100 == 25 ? "store/20" : "store/21") == 0);
    switch (i % 5) {
    case 0:
        reset(&c);
        return;
    case 1:
        expect(&c, "+OK*");
        snprintf(line, sizeof line, "RETR %d\r\n", i % 19 + 1);
        send_text(&c, line);
        expect_message(&c, i % 19 + 1);
        break;
    case 2:
        expect(&c, "+OK*");
        ask(&c, "DELE 1", "+OK*");
        hang_up(&c);
        return;
    case 3:
        expect(&c, "+OK*");
        ask(&c, "UIDL", "+OK*");
        free(take_body(&c));
        break;
    case 4:
        expect(&c, "+OK*");
        send_text(&c, "DELE 2\r\nRETR 1\r\nLIS");
        reset(&c);
        return;
    }
    quit(&c);
}

static void
in_a_row(void)
{
    const int count = amount(2000, 10000);
    struct usage before;
    struct server s;
    int64_t began;

    make_store(20);
    s = start_server("-d store 0");
    for (int i = 0; i < 200; i++)
        hold_session(&s, i);
    before = usage(&s);
    began = clock_ms();
    for (int i = 0; i < count; i++)
        hold_session(&s, i);
    printf("%d sessions, %.0f a second\n", count,
           count * 1000.0 / (double)(clock_ms() - began + 1));
    expect_usage(&s, &before);
    check(exists("store/1") && exists("store/2"));
    end_server(&s);
}

enum { AT_ONCE_MOST = 500 };

/*
 * All of 500 sessions at once; the one too many is told so. Adds their own memory and the
 * greatest to *sum, *most.
 */
static void
hold_500(const struct server *s, long *sum, long *most)
{
    static struct client c[AT_ONCE_MOST];
    static pid_t pids[SESSIONS_MOST];
    char name[16], text[96];
    struct client more;

    for (int i = 0; i < AT_ONCE_MOST; i++) {
        snprintf(name, sizeof name, "%d", i + 1);
        snprintf(text, sizeof text, "Subject: message\n\n%08d\n", i + 1);
        deliver(name, text);
    }
    for (int i = 0; i < AT_ONCE_MOST; i++)
        c[i] = connect_to(s);
    for (int i = 0; i < AT_ONCE_MOST; i++)
        expect(&c[i], "+OK*");
    more = connect_to(s);
    expect(&more, "-ERR [SYS/TEMP]*");
    expect_end(&more);
    for (int i = 0; i < AT_ONCE_MOST; i++) {
        snprintf(text, sizeof text, "STAT\r\nRETR %d\r\nDELE %d\r\n", i + 1, i + 1);
        send_text(&c[i], text);
    }
    for (int i = 0; i < AT_ONCE_MOST; i++) {
        expect(&c[i], "+OK 500 15000");
        expect_message(&c[i], i + 1);
        expect(&c[i], "+OK*");
    }
    check(sessions_of(s, pids) == AT_ONCE_MOST);
    for (int i = 0; i < AT_ONCE_MOST; i++) {
        long kilobytes = own_memory(pids[i]);

        *sum += kilobytes;
        *most = kilobytes > *most ? kilobytes : *most;
    }
    for (int i = 0; i < AT_ONCE_MOST; i++)
        send_text(&c[i], "QUIT\r\n");
    for (int i = 0; i < AT_ONCE_MOST; i++) {
        expect(&c[i], "+OK 1 message*");
        expect_end(&c[i]);
    }
}

static void
at_once(void)
{
    const int rounds = amount(2, 20);
    struct usage before;
    struct server s;
    struct client c;
    long sum = 0, most = 0;
    int64_t began;

    if (open_many() < AT_ONCE_MOST + 50)
        skip("too few files can be opened here");
    make_store(0);
    s = start_server("-n 500 -d store 0");
    hold_500(&s, &(long){0}, &(long){0});
    before = usage(&s);
    began = clock_ms();
    for (int i = 0; i < rounds; i++)
        hold_500(&s, &sum, &most);
    printf(
        "%d times 500 at once, %.0f sessions a second; "
        "a session's own memory: %ld KiB, at most %ld\n",
        rounds, rounds * 500 * 1000.0 / (double)(clock_ms() - began + 1),
        sum / rounds / AT_ONCE_MOST, most);
    check(most < SESSION_KILOBYTES || !has_memory(&s));
    expect_usage(&s, &before);
    c = greeted(&s);
    ask(&c, "STAT", "+OK 0 0");
    quit(&c);
    check(log_count(" del=1 ") == (rounds + 1) * AT_ONCE_MOST);
    end_server(&s);
}

/* ---- Rude clients ---------------------------------------------------------------------------- */

static int
greater(int a, int b)
{
    return a > b ? a : b;
}

/*
 * One that takes nothing is ended and costs little until then. One that sends an octet now and
 * then, ten in the time that -t allows, as one a minute are in ten, is not idle: it keeps its
 * session, and nobody else's.
 */
static void
slow_ones(void)
{
    const int idle = amount(3, 10);
    const char *dripping = "NOOP\r\n";
    char options[32];
    struct client mute, silent, drop;
    struct usage before;
    struct server s;
    pid_t pids[SESSIONS_MOST];
    int64_t began;
    int octets = 0, answers = 0, worst = 0, count;
    long most = 0;

    make_store(0);
    make_big("store/big", 64 * MIB);
    put("store/later", "x\n");
    snprintf(options, sizeof options, "-t %d -d store 0", idle);
    s = start_server(options);
    before = usage(&s);
    mute = connect_narrow(&s);
    expect(&mute, "+OK*");
    send_text(&mute, "DELE 2\r\nRETR 1\r\nRETR 1\r\nQUIT\r\n");
    silent = connect_to(&s);
    drop = greeted(&s);
    for (began = clock_ms(); clock_ms() - began < 3000 * idle; poll(NULL, 0, 100 * idle)) {
        check(send(drop.fd, &dripping[octets % 6], 1, MSG_NOSIGNAL) == 1);
        if (++octets % 6 == 0) {
            expect(&drop, "+OK*");
            answers++;
        }
        count = sessions_of(&s, pids);
        while (count > 0) {
            long kilobytes = own_memory(pids[--count]);

            most = kilobytes > most ? kilobytes : most;
        }
        worst = greater(worst, polite(&s));
    }
    send_text(&drop, &dripping[octets % 6]);
    expect(&drop, "+OK*");
    quit(&drop);
    expect(&silent, "+OK*");
    expect_end(&silent);
    check(log_count("idle retr=0/0 top=0 del=0 left=2") == 2);
    check(take_rest(&mute) < 64 * MIB);
    hang_up(&mute);
    check(exists("store/later"));
    printf("an octet each %d ms: %d octets, %d answers; a session's own memory at most %ld KiB; "
           "another session meanwhile at most %d ms\n", 100 * idle, octets, answers, most, worst);
    check((most < SESSION_KILOBYTES || !has_memory(&s)) && worst < PATIENCE);
    expect_usage(&s, &before);
    end_server(&s);
}

/* Before the login a minute is all there is, octets or not. */
static void
slow_login(void)
{
    struct server s;
    struct client c;
    int64_t began = clock_ms(), seconds;
    struct pollfd ended;

    if (!full)
        skip("it takes a minute");
    make_store(1);
    put("passfile", "me:hunter2\n");
    check(chmod("passfile", 0600) == 0);
    s = start_server("-p passfile -d store 0");
    c = greeted(&s);
    do {
        ended = (struct pollfd){.fd = c.fd, .events = POLLIN};
        check(clock_ms() - began < 70 * 1000);
        send(c.fd, "x", 1, MSG_NOSIGNAL);
    } while (poll(&ended, 1, 1000) == 0);
    seconds = (clock_ms() - began) / 1000;
    check(seconds >= 59 && seconds <= 66);
    hang_up(&c);
    end_server(&s);
}

/*
 * Lines that do not end, of what a line has, of NULs and of blanks: each is one mistake, in
 * bounded memory.
 */
static void
endless_lines(void)
{
    static const char octets[] = {'x', '\0', ' '};
    const int mib = amount(64, 1024);
    char *block = malloc(MIB);
    struct usage before;
    struct server s;
    long most = 0;
    int worst = 0;
    int64_t began;

    check(block != NULL);
    make_store(1);
    s = start_server("-d store 0");
    before = usage(&s);
    began = clock_ms();
    for (size_t kind = 0; kind < sizeof octets; kind++) {
        struct client c = greeted(&s);
        pid_t pid = the_session(&s);

        memset(block, octets[kind], MIB);
        for (int i = 0; i < mib; i++) {
            for (size_t done = 0; done < MIB;) {
                ssize_t count = send(c.fd, block + done, MIB - done, MSG_NOSIGNAL);

                check(count > 0);
                done += (size_t)count;
            }
            if (i % 16 == 0) {
                long kilobytes = own_memory(pid);

                most = kilobytes > most ? kilobytes : most;
                worst = greater(worst, polite(&s));
                the_session(&s);
            }
        }
        ask(&c, "", "-ERR*");
        ask(&c, "STAT", "+OK 1 30");
        quit(&c);
    }
    printf("%d lines of %d MiB, %.0f MiB a second; the session's own memory at most %ld KiB; "
           "another session meanwhile at most %d ms\n", (int)sizeof octets, mib,
           3000.0 * mib / (double)(clock_ms() - began + 1), most, worst);
    check(most < SESSION_KILOBYTES || !has_memory(&s));
    free(block);
    expect_usage(&s, &before);
    end_server(&s);
}

enum { PIPELINED = 100 * 1000, PIPELINED_MESSAGES = 400 };

/* The message i of the store for pipelining has i octets, its line end included. */
static void
expect_pipelined(struct client *c, int i, char ids[][72])
{
    const int n = i % PIPELINED_MESSAGES + 1;
    char wanted[128];
    const char *line;
    char *body;

    switch (i % 5) {
    case 0:
        snprintf(wanted, sizeof wanted, "+OK %d %d", n, n + 9);
        expect(c, wanted);
        break;
    case 1:
        snprintf(wanted, sizeof wanted, "+OK %d ", n);
        line = next_line(c);
        check(line != NULL && strncmp(line, wanted, strlen(wanted)) == 0 && strlen(line) < 72);
        if (ids[n][0] == '\0')
            strcpy(ids[n], line);
        check(strcmp(ids[n], line) == 0);
        break;
    case 2:
    case 3:
        expect(c, "+OK*");
        body = take_body(c);
        check(strlen(body) == (size_t)(n + 9) && atoi(body) == n);
        free(body);
        break;
    case 4:
        expect(c, i % 10 == 4 ? "+OK*" : "-ERR*");
        break;
    }
}

/*
 * All commands are sent before any answer is taken, as far as the system takes them; each is
 * answered, in order.
 */
static void
pipelined(void)
{
    static char ids[PIPELINED_MESSAGES + 1][72];
    static const char *const commands[] = {"LIST %d\r\n", "uidl %d\n", "RETR %d\r\n",
                                           "TOP %d 99\r\n"};
    char *all = malloc(PIPELINED * 16), *to = all;
    struct pollfd more;
    struct usage before;
    struct server s;
    struct client c;
    int64_t began;

    check(all != NULL);
    make_store(0);
    for (int n = 1; n <= PIPELINED_MESSAGES; n++) {
        char path[32], text[PIPELINED_MESSAGES + 16];

        snprintf(path, sizeof path, "store/%d", n);
        snprintf(text, sizeof text, "%-*d\n", n + 7, n);
        put(path, text);
    }
    for (int i = 0; i < PIPELINED; i++) {
        if (i % 5 == 4)
            to += sprintf(to, i % 10 == 4 ? "NOOP\r\n" : "WHAT\r\n");
        else
            to += sprintf(to, commands[i % 5], i % PIPELINED_MESSAGES + 1);
    }
    s = start_server("-d store 0");
    before = usage(&s);
    c = connect_narrow(&s);
    began = clock_ms();
    to = all;
    do {                                        /* until neither side can go on */
        ssize_t count = send(c.fd, to, strlen(to), MSG_DONTWAIT | MSG_NOSIGNAL);

        to += count > 0 ? count : 0;
        more = (struct pollfd){.fd = c.fd, .events = POLLOUT};
    } while (*to != '\0' && poll(&more, 1, 300) == 1);
    printf("%ld of %ld octets of commands were taken before an answer was\n", (long)(to - all),
           (long)strlen(all));
    check(polite(&s) < PATIENCE);
    check(own_memory(the_session(&s)) < SESSION_KILOBYTES || !has_memory(&s));
    send_text(&c, to);
    expect(&c, "+OK*");
    for (int i = 0; i < PIPELINED; i++)
        expect_pipelined(&c, i, ids);
    quit(&c);
    printf("%d commands, answered in %lld ms\n", PIPELINED, (long long)(clock_ms() - began));
    free(all);
    expect_usage(&s, &before);
    end_server(&s);
}

/* Connections that are reset at every point: nothing is removed, nothing is left. */
static void
resets(void)
{
    static const char *const sent[] = {"",
                                       "DELE 2\r\n",
                                       "DELE 2\r\nQUI",
                                       "RETR 1\r\n",
                                       "DELE 2\r\nRETR 1\r\nRETR 1\r\nQUIT\r\n",
                                       "\r\n",
                                       "NOOP\r\nNOOP"};
    const int count = amount(2000, 30000);
    struct usage before;
    struct server s;
    struct client c;
    int64_t began;

    make_store(0);
    make_big("store/big", 16 * MIB);
    put("store/later", "x\n");
    s = start_server("-d store 0");
    before = usage(&s);
    began = clock_ms();
    for (int i = 0; i < count; i++) {
        c = connect_narrow(&s);
        if (i % 3 > 0)
            expect(&c, i % 3 == 1 ? "*" : "+OK*");
        send_text(&c, sent[i % 7]);
        if (i % 7 == 3 && i % 3 > 0)
            expect(&c, "+OK 17039360*");
        reset(&c);
        if (i % 64 == 63)
            await(sessions_of(&s, NULL) < 64);
    }
    printf("%d connections reset, %.0f a second\n", count,
           count * 1000.0 / (double)(clock_ms() - began + 1));
    await(sessions_of(&s, NULL) == 0);
    check(count_open(s.pid, "") == before.files);       /* and the store is not forgotten */
    expect_usage(&s, &before);
    check(exists("store/big") && exists("store/later"));
    end_server(&s);
}

/*
 * Far more connections than there are places, and none of them goes: each is told, who is in is
 * served.
 */
static void
flood(void)
{
    enum { PLACES = 20 };
    const int wanted = amount(1000, 8000), most = open_many() - 50,
              count = wanted < most ? wanted : most;
    struct client *c = calloc((size_t)count, sizeof *c), in;
    struct usage before;
    struct server s;
    int64_t began, asked;
    int worst = 0, places = 0;

    check(c != NULL);
    make_store(1);
    s = start_server("-n 20 -d store 0");
    before = usage(&s);
    in = greeted(&s);
    began = clock_ms();
    for (int i = 0; i < count; i++) {
        c[i] = connect_to(&s);
        if (i % 10 == 0) {
            asked = clock_ms();
            ask(&in, "STAT", "+OK 1 30");
            worst = greater(worst, (int)(clock_ms() - asked));
        }
    }
    for (int i = 0; i < count; i++) {
        const char *line = next_line(&c[i]);

        check(line != NULL);
        if (matches(line, "+OK*")) {
            places++;
            continue;
        }
        check(matches(line, "-ERR [SYS/TEMP]*"));
        expect_end(&c[i]);
        c[i].fd = -1;
    }
    check(places == PLACES - 1);
    check(count_open(s.pid, "") == before.files);
    printf(
        "%d connections for %d places in %lld ms; who was in waited at most %d ms; "
        "%d lines of log\n",
        count, PLACES, (long long)(clock_ms() - began), worst, log_count("refused"));
    check(log_count("refused") == count - places);
    for (int i = 0; i < count; i++)
        if (c[i].fd >= 0)
            reset(&c[i]);
    quit(&in);
    for (int i = 0; i < PLACES; i++) {          /* all places can be had again */
        await(sessions_of(&s, NULL) == i);
        c[i] = greeted(&s);
    }
    for (int i = 0; i < PLACES; i++)
        quit(&c[i]);
    free(c);
    expect_usage(&s, &before);
    end_server(&s);
}

/* SIGTERM while connections come without a pause: it stops all the same. */
static void
stopped_in_a_flood(void)
{
    enum { FLOODERS = 3 };
    pid_t pids[FLOODERS];
    struct server s;

    make_store(1);
    for (int round = 0; round < 3; round++) {
        s = start_server("-n 4 -d store 0");
        for (int i = 0; i < FLOODERS; i++) {
            pids[i] = fork();
            check(pids[i] >= 0);
            while (pids[i] == 0) {
                int fd = connect_socket(s.address[0], s.port[0], 0);

                if (fd >= 0)
                    close(fd);
            }
        }
        await(log_count("refused") > 50);
        kill(s.pid, SIGTERM);
        check(wait_for(s.pid) == 0);
        for (int i = 0; i < FLOODERS; i++) {
            kill(pids[i], SIGKILL);
            wait_for(pids[i]);
        }
        close(s.out);
    }
    check(!log_has("killed by signal") && log_count("stopped") >= 3);
}

/* ---- Limits of the system -------------------------------------------------------------------- */

/* Returns the limit under which a process can open that many files more. */
static rlim_t
limit_for(pid_t pid, int spare)
{
    rlim_t limit = 0;

    for (spare++;; limit++) { /* the first number beyond those that are to be free */
        char path[64];

        snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid, (int)limit);
        if (!exists(path) && --spare == 0)
            return limit;
    }
}

/*
 * The session of a client without a descriptor to spare: it refuses, removes nothing, and is well
 * again.
 */
static void
session_without_files(const struct server *s)
{
    struct client c = greeted(s);
    pid_t pid = the_session(s);
    rlim_t files;

    ask(&c, "DELE 1", "+OK*");
    files = set_limit(pid, FILES, limit_for(pid, 0));
    ask(&c, "RETR 2", "-ERR*");
    ask(&c, "TOP 2 1", "-ERR*");
    ask(&c, "STAT", "+OK 3 90");
    set_limit(pid, FILES, files);
    send_text(&c, "RETR 2\r\n");
    expect_message(&c, 2);
    set_limit(pid, FILES, limit_for(pid, 0));
    ask(&c, "QUIT", "-ERR*");
    expect_end(&c);
    check(exists("store/1") && exists("store/2"));
}

/*
 * The parent with fewer and fewer descriptors to spare, and a store that must be looked at: a
 * client gets a session on the store as it is, or is told, or waits and gets its session when
 * there are descriptors again.
 */
static void
few_files(void)
{
    static const char *const commands[] = {
        "cp store/2 store/.x && mv store/.x store/3",           /* must be measured */
        "mv store old && mkdir store && cp old/* store && rm -r old",   /* must be read anew */
        "echo x >>store/4 && printf 'Subject: message\\n\\n00000004\\n' >store/4",
    };
    struct usage before;
    struct server s;
    int greetings = 0, refusals = 0, waits = 0;

    make_store(4);
    s = start_server("-d store 0");
    before = usage(&s);
    for (int round = 0; round < 3 * 7; round++) {
        const int spare = round % 7;
        rlim_t files = set_limit(s.pid, FILES, limit_for(s.pid, spare));
        struct client c;
        struct pollfd answer;
        int64_t began = clock_ms();
        int lines = log_count("cannot accept");

        run_command(commands[round / 7]);
        c = connect_to(&s);
        answer = (struct pollfd){.fd = c.fd, .events = POLLIN};
        if (poll(&answer, 1, spare == 0 ? 500 : PATIENCE) == 0) {
            check(spare == 0);
            waits++;
            await(log_count("cannot accept") > lines);
            lines = log_count("cannot accept") - lines;
            if (lines > (clock_ms() - began) / 50 + 3)
                fail("it does not wait when it cannot accept: %d times in %d ms", lines,
                     (int)(clock_ms() - began));
            set_limit(s.pid, FILES, files);
            expect(&c, "+OK*");
        } else {
            const char *line = next_line(&c);

            check(spare > 0 && line != NULL);
            if (matches(line, "-ERR [SYS/TEMP]*")) {
                expect_end(&c);
                refusals++;
                set_limit(s.pid, FILES, files);
                c = greeted(&s);
            } else {
                check(matches(line, "+OK*"));
                greetings++;
            }
        }
        ask(&c, "STAT", "+OK 4 120");
        quit(&c);
        set_limit(s.pid, FILES, files);
        await(sessions_of(&s, NULL) == 0);
        free(in_step(&s));
    }
    session_without_files(&s);
    free(in_step(&s));
    printf("%d waited, %d were refused, %d were served\n", waits, refusals, greetings);
    check(waits > 0 && refusals > 0 && greetings > 0);
    expect_usage(&s, &before);
    end_server(&s);
}

/* No process can be had: clients are told, and keep no place. */
static void
no_processes(void)
{
    enum { PLACES = 4 };
    struct client c[PLACES], more;
    struct usage before;
    struct server s;
    rlim_t processes;

    make_store(1);
    become_nobody();
    s = start_server("-n 4 -d store 0");
    before = usage(&s);
    for (int round = 0; round < 5; round++) {
        c[0] = greeted(&s);
        processes = set_limit(s.pid, PROCESSES, 0);
        for (int i = 0; i < 3 * PLACES; i++) {
            more = connect_to(&s);
            expect(&more, "-ERR [SYS/TEMP]*");
            expect_end(&more);
        }
        check(sessions_of(&s, NULL) == 1);
        ask(&c[0], "STAT", "+OK 1 30");
        set_limit(s.pid, PROCESSES, processes);
        for (int i = 1; i < PLACES; i++)
            c[i] = greeted(&s);
        more = connect_to(&s);
        expect(&more, "-ERR [SYS/TEMP]*");
        expect_end(&more);
        for (int i = 0; i < PLACES; i++)
            quit(&c[i]);
        await(sessions_of(&s, NULL) == 0);
    }
    check(log_has("cannot start a session"));
    expect_usage(&s, &before);
    end_server(&s);
}

/* ---- Stores that break while they are served ------------------------------------------------- */

/*
 * What is done to a store with messages 1 to 4 while a session that has marked message 1 goes on,
 * and how it is mended. "other" has messages 1 to 3, of the same names and sizes as those in the
 * store but not the same.
 */
static const struct damage {
    const char *name, *breaks, *mends;
    const char *answer;         /* to STAT in a new session, or NULL: it is refused */
    const char *old; /* where the directory of the old session is meanwhile, or NULL: nowhere */
} damages[] = {
    {"removed", "rm -r store", "cp -Rp spare store", NULL, NULL},
    {"removed and made again, empty", "rm -r store; mkdir store", "cp -p spare/* store", "+OK 0 0",
     NULL},
    {"moved away", "mv store away", "mv away store", NULL, "away"},
    {"replaced", "mv store away; mv other store", "mv store other; mv away store", "+OK 3 90",
     "away"},
    {"replaced by a link", "mv store away; ln -s other store", "rm store; mv away store",
     "+OK 3 90", "away"},
    {"replaced by a link to nothing", "mv store away; ln -s no store", "rm store; mv away store",
     NULL, "away"},
    {"replaced by a file", "mv store away; >store", "rm store; mv away store", NULL, "away"},
    {"replaced by a copy", "mv store away; cp -Rp away store", "rm -r store; mv away store",
     "+OK 4 120", "away"},
    {"without a permission", "chmod 0 store", "chmod 755 store", NULL, "store"},
    {"not to be listed", "chmod 311 store", "chmod 755 store", NULL, "store"},
    {"not to be searched", "chmod 644 store", "chmod 755 store", NULL, "store"},
    {"not to be written", "chmod 555 store", "chmod 755 store", "+OK 4 120", "store"},
    {"out of reach", "chmod 0 .", "chmod 755 .", NULL, "store"},
    {"without one message's permission", "chmod 0 store/2", "chmod 644 store/2", "+OK 3 90",
     "store"},
    {"full of what is no mail",
     "mkfifo store/f; mkdir store/d; ln -s 2 store/l; >store/.n; >store/,n",
     "rm -r store/[fdl] store/.n store/,n", "+OK 4 120", "store"},
};

/*
 * Breaks a store between the marks of a session and its QUIT, or its vanishing. What QUIT says is
 * true of the directory in which the session began, no other one's message is touched, and the
 * next session is right.
 */
static void
break_store(const struct server *s, const struct damage *damage, bool quits)
{
    int here = open(".", O_RDONLY | O_DIRECTORY);
    struct client c, old;
    bool removed = false, left;
    const char *line;
    char path[64];

    old = greeted(s);
    ask(&old, "DELE 1", "+OK*");
    run_command(damage->breaks);
    for (int i = 0; i < 2; i++) {
        c = connect_to(s);
        if (damage->answer == NULL) {
            expect(&c, "-ERR [SYS/TEMP]*");
            expect_end(&c);
        } else {
            expect(&c, "+OK*");
            ask(&c, "STAT", damage->answer);
            quit(&c);
        }
    }
    send_text(&old, "RETR 2\r\n");
    line = next_line(&old);
    check(line != NULL);
    if (matches(line, "+OK*"))
        expect_body(&old, "Subject: message\r\n\r\n00000002\r\n");
    else
        check(matches(line, "-ERR*"));
    if (quits) {
        send_text(&old, "QUIT\r\n");
        line = next_line(&old);
        check(line != NULL);
        removed = matches(line, "+OK*") || matches(line, "-ERR 1 message removed, but*");
        check(removed || matches(line, "-ERR*"));
        expect_end(&old);
    } else {
        reset(&old);
    }
    await(sessions_of(s, NULL) == 0);
    check(fchmod(here, 0755) == 0 && close(here) == 0);
    if (damage->old != NULL && chmod(damage->old, 0755) == 0) {
        snprintf(path, sizeof path, "%s/1", damage->old);
        left = exists(path);
        if (left == removed)
            fail("QUIT said that it was%s removed, but it was%s", removed ? "" : " not",
                 left ? " not" : "");
        for (int i = 2; i <= 4; i++) {
            snprintf(path, sizeof path, "%s/%d", damage->old, i);
            check(exists(path));
        }
    }
    check(exists("other/1") || exists("store/1"));
    if (strcmp(damage->name, "replaced by a copy") == 0)
        check(exists("store/1"));
    run_command(damage->mends);
    for (int i = 1; i <= 3; i++) {
        snprintf(path, sizeof path, "other/%d", i);
        check(exists(path));
    }
    free(in_step(s));
}

static void
broken_stores(void)
{
    struct usage before;
    struct server s;

    check(mkdir("other", 0755) == 0);
    for (int i = 1; i <= 3; i++) {
        char path[32];

        snprintf(path, sizeof path, "other/%d", i);
        put(path, "Subject: other11\n\n99999999\n");
    }
    make_store(4);
    run_command("cp -Rp store spare");
    become_nobody();
    s = start_server("-d store 0");
    before = usage(&s);
    for (size_t i = 0; i < 2 * sizeof damages / sizeof *damages; i++) {
        run_command("cp -p spare/* store");
        free(in_step(&s));
        printf("%s, %s\n", damages[i / 2].name, i % 2 == 0 ? "and QUIT" : "and the client gone");
        break_store(&s, &damages[i / 2], i % 2 == 0);
        check(fflush(stdout) == 0 &&
              ftruncate(STDOUT_FILENO, 0) == 0); /* only where it fails is of use */
    }
    printf("%d kinds of damage, with QUIT and without\n", (int)(sizeof damages / sizeof *damages));
    expect_usage(&s, &before);
    end_server(&s);
}

/* ---- A store that is filled ------------------------------------------------------------------ */

/*
 * Message n is delivered while sessions come and go: each of them sees the first of them, up to
 * some number that never falls, and each message that it sees whole.
 */
static void
filled(void)
{
    const int count = amount(3000, 30000);
    struct usage before;
    struct server s;
    struct client c;
    pid_t deliverer;
    int seen = 0, sessions = 0, worst = 0, now, octets;
    bool delivering = true;
    char command[64], text[64];

    make_store(10);
    s = start_server("-d store 0");
    before = usage(&s);
    deliverer = fork();
    check(deliverer >= 0);
    if (deliverer == 0) {
        for (int i = 11; i <= count; i++) {
            snprintf(command, sizeof command, "%d", i);
            snprintf(text, sizeof text, "Subject: message\n\n%08d\n", i);
            deliver(command, text);
        }
        _exit(0);
    }
    do {
        int64_t began = clock_ms();
        const char *line;

        c = greeted(&s);
        worst = greater(worst, (int)(clock_ms() - began));
        send_text(&c, "STAT\r\n");
        line = next_line(&c);
        check(line != NULL && sscanf(line, "+OK %d %d", &now, &octets) == 2);
        check(now >= seen && octets == now * 30);
        seen = now;
        snprintf(command, sizeof command, "RETR %d\r\nRETR 1\r\n", now);
        send_text(&c, command);
        expect_message(&c, now);
        expect_message(&c, 1);
        quit(&c);
        sessions++;
        delivering = delivering && waitpid(deliverer, NULL, WNOHANG) == 0;
    } while (delivering);
    c = greeted(&s);
    snprintf(text, sizeof text, "+OK %d %d", count, count * 30);
    ask(&c, "STAT", text);
    for (int i = 1; i <= count; i++) {
        snprintf(command, sizeof command, "DELE %d\r\n", i);
        send_text(&c, command);
    }
    for (int i = 1; i <= count; i++)
        expect(&c, "+OK*");
    deliver("late", "late\n");                  /* nobody has seen it: it stays */
    send_text(&c, "QUIT\r\n");
    check(poll(&(struct pollfd){.fd = c.fd, .events = POLLIN}, 1, 10 * PATIENCE) ==
          1); /* a disk may take long */
    expect(&c, "+OK*");
    expect_end(&c);
    c = greeted(&s);
    ask(&c, "STAT", "+OK 1 6");
    quit(&c);
    printf("%d messages, %d sessions meanwhile, a greeting at most after %d ms\n", count, sessions,
           worst);
    before.kilobytes += 4L * count * 200 / 1024;        /* an index keeps its room */
    expect_usage(&s, &before);
    end_server(&s);
}

/*
 * Delivers messages of some octets until the disk is full, as a careful program does. Returns how
 * many fitted.
 */
static int
fill_disk(int from, const char *text)
{
    char path[64];

    for (int i = from;; i++) {
        int file = open("store/.new", O_WRONLY | O_CREAT | O_TRUNC, 0644);
        ssize_t written = file < 0 ? -1 : write(file, text, strlen(text));

        check(written >= 0 || errno == ENOSPC);
        if (file >= 0)
            close(file);
        snprintf(path, sizeof path, "store/%d", i);
        if (written == (ssize_t)strlen(text)) {
            check(rename("store/.new", path) == 0);
        } else {
            unlink("store/.new");
            return i - from;
        }
    }
}

/* A disk that is full, that can be read alone, and that is taken away, each while it is served. */
static void
full_disk(void)
{
    char *text = repeat("a line of a message that takes some room\n", 400), stat[64];
    struct server s;
    struct client c, old;
    int fitted, again;

    if (geteuid() != 0 || unshare(CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        skip("no file system can be mounted here");
    make_store(2);
    if (mount("none", "store", "tmpfs", 0, "size=1m") != 0)
        skip("no tmpfs can be mounted here");
    s = start_server("-d store 0");
    fitted = fill_disk(1, text);
    check(fitted > 10);
    c = greeted(&s);
    snprintf(stat, sizeof stat, "+OK %d %d", fitted, fitted * 42 * 400);
    ask(&c, "STAT", stat);
    ask(&c, "DELE 1", "+OK*");
    ask(&c, "RETR 2", "+OK*");
    free(take_body(&c));
    ask(&c, "QUIT", "+OK 1*");
    expect_end(&c);
    again = fill_disk(100, text);
    check(again == 1);
    old = greeted(&s);
    ask(&old, "STAT", stat);
    ask(&old, "DELE 1", "+OK*");

    check(mount(NULL, "store", NULL, MS_REMOUNT | MS_RDONLY, "size=1m") == 0);
    c = greeted(&s);
    ask(&c, "STAT", stat);
    ask(&c, "DELE 1", "+OK*");
    ask(&c, "QUIT", "-ERR*");
    expect_end(&c);
    check(exists("store/2") && exists("store/100"));
    check(mount(NULL, "store", NULL, MS_REMOUNT, "size=1m") == 0);

    check(umount2("store", MNT_DETACH) == 0);   /* what it hid is served now */
    c = greeted(&s);
    ask(&c, "STAT", "+OK 2 60");
    ask(&old, "RETR 2", "+OK*");
    free(take_body(&old));
    quit(&old);
    quit(&c);
    free(in_step(&s));
    check(exists("store/1") && exists("store/2"));
    printf("%d messages filled the disk\n", fitted);
    free(text);
    end_server(&s);
}

/* A log that cannot be written costs its lines alone. */
static void
full_log(void)
{
    struct server s;

    make_store(1);
    check(symlink("/dev/full", "log") == 0);
    s = start_server("-d store 0");
    for (int i = 0; i < 20; i++)
        polite(&s);
    await(sessions_of(&s, NULL) == 0);
    stop_server(&s);
}

/* ---- Several clients and the same mail ------------------------------------------------------- */

enum { SAME = 60, DELETERS = 12 };

/*
 * Clients mark what they like, some of it the same, and all say QUIT at once or are gone, while
 * others retrieve: what one of those marked who said QUIT is gone, all else is there.
 */
static void
delete_together(const struct server *s, int *whole, int *refused)
{
    struct client c[DELETERS], reader = connect_narrow(s);
    bool gone[SAME + 1] = {false};
    char text[64];

    expect(&reader, "+OK*");
    for (int i = 0; i < DELETERS; i++)
        c[i] = greeted(s);
    for (int i = 0; i < DELETERS; i++) {
        for (int n = 1; n <= SAME; n++) {
            if (dice(3) > 0)
                continue;
            snprintf(text, sizeof text, "DELE %d", n);
            ask(&c[i], text, "+OK*");
            gone[n] = gone[n] || i % 3 > 0;
        }
    }
    for (int n = 1; n <= SAME; n++) {
        snprintf(text, sizeof text, "RETR %d\r\n", n);
        send_text(&reader, text);
    }
    for (int i = 0; i < DELETERS; i++) {
        if (i % 3 == 0)
            reset(&c[i]);
        else
            send_text(&c[i], "QUIT\r\n");
    }
    for (int n = 1; n <= SAME; n++) {
        const char *line = next_line(&reader);

        check(line != NULL);
        if (matches(line, "-ERR*")) {
            ++*refused;
            check(gone[n]);
            continue;
        }
        ++*whole;
        check(matches(line, "+OK*"));
        if (n % 20 == 0) {
            char *body = take_body(&reader);

            check(strlen(body) == MIB / 64 * 65);
            free(body);
        } else {
            snprintf(text, sizeof text, "Subject: message\r\n\r\n%08d\r\n", n);
            expect_body(&reader, text);
        }
    }
    quit(&reader);
    for (int i = 0; i < DELETERS; i++) {
        if (i % 3 > 0) {
            expect(&c[i], "+OK*");
            expect_end(&c[i]);
        }
    }
    await(sessions_of(s, NULL) == 0);
    for (int n = 1; n <= SAME; n++) {
        snprintf(text, sizeof text, "store/%d", n);
        if (exists(text) == gone[n])
            fail("message %d is %s", n, gone[n] ? "not gone" : "gone, and nobody removed it");
        if (!gone[n])
            continue;
        if (n % 20 == 0) {
            make_big("store/.new", MIB);
            check(rename("store/.new", text) == 0);
        } else {
            char message[64], name[16];

            snprintf(message, sizeof message, "Subject: message\n\n%08d\n", n);
            snprintf(name, sizeof name, "%d", n);
            deliver(name, message);
        }
    }
}

static void
same_mail(void)
{
    const int rounds = amount(30, 300);
    int whole = 0, refused = 0;
    struct usage before;
    struct server s;

    seed_dice();
    make_store(SAME);
    for (int n = 20; n <= SAME; n += 20) {
        char path[32];

        snprintf(path, sizeof path, "store/%d", n);
        make_big(path, MIB);
    }
    s = start_server("-d store 0");
    delete_together(&s, &whole, &refused);
    before = usage(&s);
    for (int i = 0; i < rounds; i++)
        delete_together(&s, &whole, &refused);
    printf("%d rounds of %d sessions: %d messages retrieved meanwhile, %d refused\n", rounds,
           DELETERS + 1, whole, refused);
    expect_usage(&s, &before);
    end_server(&s);
}

/* ---- Random sessions ------------------------------------------------------------------------- */

#include "steps.h"
#include "race.h"

/* ---- The share of one address ---------------------------------------------------------------- */

#define SHARE_TAKEN "-ERR [SYS/TEMP] too many sessions from your address*"
#define ALL_TAKEN "-ERR [SYS/TEMP] too many sessions,*"

/* From one address: as many sessions as there may be, and then that refusal. */
static void
take_share(const struct server *s, int i, const char *from, struct client *c, int share,
           const char *refusal)
{
    struct client more;

    for (int k = 0; k < share; k++) {
        c[k] = connect_from(s, i, from);
        expect(&c[k], "+OK*");
    }
    for (int k = 0; k < 5; k++) {
        more = connect_from(s, i, from);
        expect(&more, refusal);
        expect_end(&more);
    }
}

/*
 * One address gets a quarter of the places, IPv4 and IPv6, and gets it back when its sessions end
 * in whatever way; others still get in; and this machine gets what is left.
 */
static void
shares(void)
{
    enum { PLACES = 18, SHARE = 4, OWN = 6 };
    struct client a[SHARE], b[SHARE], v6[SHARE], own[OWN], more;
    const int rounds = amount(10, 100);
    struct usage before;
    struct server s;
    int at_ipv6, at_own;

    make_network();
    make_store(1);
    s = start_server(has_ipv6() ? "-n 18 -d store -a 192.0.2.1 -a 127.0.0.1 -a 2001:db8::1 0"
                                : "-n 18 -d store -a 192.0.2.1 -a 127.0.0.1 0");
    at_own = 1;
    at_ipv6 = s.count > 2 ? 2 : 0;
    before = usage(&s);
    for (int round = 0; round < rounds; round++) {
        take_share(&s, 0, "192.0.2.7", a, SHARE, SHARE_TAKEN);
        take_share(&s, 0, "192.0.2.8", b, SHARE, SHARE_TAKEN);
        take_share(&s, at_ipv6, at_ipv6 > 0 ? "2001:db8::2" : "192.0.2.9", v6, SHARE, SHARE_TAKEN);
        for (int k = 0; k < OWN; k++) {
            own[k] = connect_from(&s, at_own, k == 0 ? "127.0.0.9" : "127.0.0.1");
            expect(&own[k], "+OK*");
        }
        more = connect_from(&s, at_own, "127.0.0.1");
        expect(&more, ALL_TAKEN);
        expect_end(&more);
        more = connect_from(&s, at_ipv6, at_ipv6 > 0 ? "2001:db8::3" : "192.0.2.10");
        expect(&more, ALL_TAKEN);
        expect_end(&more);

        quit(&own[0]);                          /* this machine has no share to come up against */
        await(sessions_of(&s, NULL) == PLACES - 1);
        own[0] = connect_from(&s, at_own, "127.0.0.1");
        expect(&own[0], "+OK*");

        for (int k = 0; k < SHARE; k++) {       /* the share is free again, however they ended */
            if ((round + k) % 3 == 0)
                quit(&a[k]);
            else if ((round + k) % 3 == 1)
                reset(&a[k]);
            else
                hang_up(&a[k]);
        }
        await(sessions_of(&s, NULL) == PLACES - SHARE);
        take_share(&s, 0, "192.0.2.7", a, SHARE, ALL_TAKEN);
        for (int k = 0; k < SHARE; k++) {
            ask(&b[k], "STAT", "+OK 1 30");
            quit(&a[k]);
            quit(&b[k]);
            reset(&v6[k]);
        }
        for (int k = 0; k < OWN; k++)
            hang_up(&own[k]);
        await(sessions_of(&s, NULL) == 0);
    }
    take_share(&s, 0, "192.0.2.1", a, SHARE, SHARE_TAKEN);
    take_share(&s, 0, "192.0.2.2", b, SHARE, SHARE_TAKEN);
    take_share(&s, 0, "192.0.2.3", v6, SHARE, SHARE_TAKEN);
    take_share(&s, 0, "192.0.2.4", own, SHARE, SHARE_TAKEN);
    take_share(&s, 0, "192.0.2.5", own + SHARE, PLACES - 4 * SHARE, ALL_TAKEN);
    for (int k = 0; k < SHARE; k++) {
        quit(&a[k]);
        quit(&b[k]);
        quit(&v6[k]);
        quit(&own[k]);
    }
    for (int k = SHARE; k < OWN; k++)
        quit(&own[k]);
    printf("%d rounds with %d addresses\n", rounds, at_ipv6 > 0 ? 8 : 7);
    expect_usage(&s, &before);
    end_server(&s);
}

/* An address that is good on one link alone, and so comes with the link. */
static void
link_address(void)
{
    struct sockaddr_storage to;
    socklen_t size;
    struct client c = {.fd = -1};
    struct server s;

    make_network();
    if (!has_ipv6())
        skip("there is no IPv6 here");
    make_store(1);
    s = start_server("-d store -a :: 0");
    size = socket_address(&to, "fe80::1", s.port[0]);
    ((struct sockaddr_in6 *)&to)->sin6_scope_id = if_nametoindex("lo");
    for (int i = 0; i < 3; i++) {
        c = (struct client){.fd = socket(AF_INET6, SOCK_STREAM, 0)};
        await(connect(c.fd, (struct sockaddr *)&to, size) == 0);
        expect(&c, "+OK*");
        ask(&c, "STAT", "+OK 1 30");
        quit(&c);
    }
    check(log_has("[fe80::1]"));
    end_server(&s);
}

/* ---- All of them ----------------------------------------------------------------------------- */

static const struct load {
    const char *name;
    int seconds; /* in which it must be over, in the check and at full size; the random ones */
    int full_seconds;           /* have their own besides */
    void (*run)(void);
} loads[] = {
    {"random steps of several sessions", 120, 300, random_steps},
    {"random sessions beside each other", 120, 300, random_race},
    {"sessions in a row", 120, 300, in_a_row},
    {"500 sessions at once", 120, 300, at_once},
    {"clients that are slow", 120, 120, slow_ones},
    {"a login that is slow", 120, 120, slow_login},
    {"lines that do not end", 120, 300, endless_lines},
    {"100,000 commands at once", 120, 120, pipelined},
    {"connections that are reset", 120, 300, resets},
    {"more connections than places", 120, 120, flood},
    {"SIGTERM in a flood", 120, 120, stopped_in_a_flood},
    {"no more open files", 120, 120, few_files},
    {"no more processes", 120, 120, no_processes},
    {"a store that breaks", 120, 120, broken_stores},
    {"a store that is filled", 120, 300, filled},
    {"a disk that is full, or away", 120, 120, full_disk},
    {"a log that is full", 120, 120, full_log},
    {"several clients and the same mail", 120, 900, same_mail},
    {"the share of one address", 120, 300, shares},
    {"an address of one link", 120, 120, link_address},
};

enum { LOADS = sizeof loads / sizeof *loads, LOADS_AT_ONCE = 3 };

int
main(int argc, char **argv)
{
    static struct test tests[LOADS];

    if (argc < 2 || (strcmp(argv[1], "quick") != 0 && strcmp(argv[1], "full") != 0)) {
        fputs("usage: load quick|full [WORD...]\n", stderr);
        return 2;
    }
    full = strcmp(argv[1], "full") == 0;
    for (int i = 0; i < LOADS; i++)
        tests[i] =
            (struct test){loads[i].name, loads[i].run,
                          amount(loads[i].seconds, loads[i].full_seconds) + random_seconds()};
    return run_tests(tests, LOADS, LOADS_AT_ONCE, argv + 2);
}
