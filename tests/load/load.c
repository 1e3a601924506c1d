/*
 * load.c - the server under load and abuse: many sessions, misbehaving clients, exhausted limits,
 * stores that break while they are served, and random sessions compared with a model of the store
 *
 *   load quick|full [WORD...]      all cases, or those with one of these words in their name
 *
 * SERVER names the program under test (default ./server). LOAD_SEED is the seed of the random
 * cases and LOAD_SECONDS their duration. It needs Linux: it reads /proc. live/net.h has the
 * clients, the servers and the test runner.
 *
 * Each case is a process in its own directory. It may print measurements. Where a resource must
 * return to its earlier level, the case waits up to PATIENCE for that.
 */
#define _GNU_SOURCE 1
#include "../live/network.h"

#include <ctype.h>
#include <grp.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/resource.h>

static bool full;

static int
quick_or_full(int in_quick, int in_full)
{
    return full ? in_full : in_quick;
}

/* ---- Sessions and resources of a server ------------------------------------------------------ */

enum { SESSIONS_MOST = 4096 };

/* Finds the sessions of a server, zombies included. pids may be NULL. Returns their number. */
static int
find_sessions(const struct server *s, pid_t pids[SESSIONS_MOST])
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

static void
await_sessions(const struct server *s, int count)
{
    await(find_sessions(s, NULL) == count);
}

/* Waits until a server has exactly one session. Returns its pid. */
static pid_t
await_session(const struct server *s)
{
    static pid_t pids[SESSIONS_MOST];

    await(find_sessions(s, pids) == 1);
    return pids[0];
}

/* Returns the number of processes in this case's process group. */
static int
count_processes(void)
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

/* Returns the private memory of a process in KiB, or 0 if it has ended. */
static long
private_memory(pid_t pid)
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

/* Runs a session with STAT and QUIT. Returns its duration in milliseconds. */
static int
short_session(const struct server *s)
{
    int64_t began = clock_ms();
    struct client c = greeted(s);

    ask(&c, "STAT", "+OK*");
    quit(&c);
    return (int)(clock_ms() - began);
}

/* Returns false under an address sanitizer, which reserves far more than it uses. */
static bool
can_measure_memory(const struct server *s)
{
    return memory(s->pid, "VmSize:") < 1024L * 1024 * 1024;
}

/* Resources of an idle server. */
struct usage {
    int files, processes;
    long kilobytes;             /* anonymous and shared memory */
};

/* Measures a server that has just scanned its store and has no session. */
static struct usage
usage(const struct server *s)
{
    struct usage u;

    await_sessions(s, 0);
    short_session(s);
    await_sessions(s, 0);
    u.files = count_open(s->pid, "");
    u.processes = count_processes();
    u.kilobytes = memory(s->pid, "RssAnon:") + memory(s->pid, "RssShmem:");
    return u;
}

enum {
    MORE_KILOBYTES = 192,       /* by which a server may grow: its index has spare room */
    SESSION_KILOBYTES = 1024    /* limit of a session's private memory */
};

static long
max_long(long a, long b)
{
    return a > b ? a : b;
}

static void
expect_session_memory(const struct server *s, long kilobytes)
{
    check(kilobytes < SESSION_KILOBYTES || !can_measure_memory(s));
}

/* The server must use no more than before. */
static void
expect_usage(const struct server *s, const struct usage *before)
{
    struct usage after = usage(s);

    if (after.files != before->files || after.processes != before->processes ||
        (can_measure_memory(s) && after.kilobytes > before->kilobytes + MORE_KILOBYTES))
        fail("open files %d then %d, processes %d then %d, KiB %ld then %ld", before->files,
             after.files, before->processes, after.processes, before->kilobytes, after.kilobytes);
    printf("the parent: %d files, %d processes, %ld KiB; before: %d, %d, %ld\n", after.files,
           after.processes, after.kilobytes, before->files, before->processes, before->kilobytes);
}

/* Stops a server. None of its sessions may have crashed. */
static void
end_server(struct server *s)
{
    await_sessions(s, 0);
    check(!log_has("killed by signal"));
    stop_server(s);
}

/* Counts a text in the log. */
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

/* Sets a soft limit of another process. Returns the old one. */
static rlim_t
set_limit(pid_t pid, int resource, rlim_t limit)
{
    struct rlimit old, new;

    check(prlimit(pid, resource, NULL, &old) == 0);
    new = (struct rlimit){.rlim_cur = limit, .rlim_max = old.rlim_max};
    check(prlimit(pid, resource, &new, NULL) == 0);
    return old.rlim_cur;
}

/* Raises this process's limit of open files to at most 20,000. Returns the new limit. */
static int
raise_file_limit(void)
{
    struct rlimit limit;

    check(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max < 20000 ? limit.rlim_max : 20000;
    setrlimit(RLIMIT_NOFILE, &limit);
    check(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    return (int)limit.rlim_cur;
}

/*
 * Drops root, which limits and permissions do not restrict. The new user gets this directory and
 * a copy of the server.
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

/* ---- Random numbers -------------------------------------------------------------------------- */

static uint64_t random_state;

/* Returns a number below limit. The seed determines the sequence. */
static unsigned
random_below(unsigned limit)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)((random_state >> 33) % limit);
}

/* Seeds with LOAD_SEED, or with the time, and prints the seed. */
static void
seed_random(void)
{
    const char *seed = getenv("LOAD_SEED");

    random_state =
        seed != NULL ? strtoull(seed, NULL, 10) : (uint64_t)clock_ms() * 1000003 % 1000000007;
    printf("LOAD_SEED=%llu\n", (unsigned long long)random_state);
    fflush(stdout);
}

/* Returns the duration of a random case. */
static int
random_seconds(void)
{
    const char *seconds = getenv("LOAD_SECONDS");

    return seconds != NULL ? atoi(seconds) : quick_or_full(20, 1800);
}

/* ---- Messages -------------------------------------------------------------------------------- */

/* Returns the path of a file in the store, valid until the next call. */
static const char *
store_path(const char *name)
{
    static char path[300];

    snprintf(path, sizeof path, "store/%s", name);
    return path;
}

/* Delivers message n as make_store() writes it. */
static void
deliver_message(int n)
{
    char name[16], text[64];

    snprintf(name, sizeof name, "%d", n);
    snprintf(text, sizeof text, "Subject: message\n\n%08d\n", n);
    deliver(name, text);
}

/* Sends a command about message n. */
static void
send_number(struct client *c, const char *command, int n)
{
    char line[64];

    snprintf(line, sizeof line, "%s %d\r\n", command, n);
    send_text(c, line);
}

/* Returns the next line. The connection must not end. */
static const char *
read_answer(struct client *c)
{
    const char *line = next_line(c);

    check(line != NULL);
    return line;
}

static void
expect_refusal(struct client *c, const char *wanted)
{
    expect(c, wanted);
    expect_end(c);
}

/* Ends a connection without QUIT: by a reset or in order. */
static void
drop(struct client *c)
{
    if (random_below(2) == 0)
        reset(c);
    else
        hang_up(c);
}

/* ---- Many sessions --------------------------------------------------------------------------- */

/*
 * Runs one of five kinds of session. Each leaves the 20 messages in the store, and some change it
 * so that the server updates its index.
 */
static void
run_session(const struct server *s, int i)
{
    struct client c = connect_to(s);

    if (i % 50 == 0)
        deliver(i % 100 == 0 ? "20" : "21", "Subject: message\n\n00000020\n");
    if (i % 50 == 25)
        check(unlink(i % 100 == 25 ? "store/20" : "store/21") == 0);
    if (i % 5 == 0) {
        reset(&c);
        return;
    }
    expect(&c, "+OK*");
    switch (i % 5) {
    case 1:
        send_number(&c, "RETR", i % 19 + 1);
        expect_message(&c, i % 19 + 1);
        break;
    case 2:
        ask(&c, "DELE 1", "+OK*");
        hang_up(&c);
        return;
    case 3:
        ask(&c, "UIDL", "+OK*");
        free(take_body(&c));
        break;
    case 4:
        send_text(&c, "DELE 2\r\nRETR 1\r\nLIS");
        reset(&c);
        return;
    }
    quit(&c);
}

static void
sequential_sessions(void)
{
    const int count = quick_or_full(2000, 10000);
    struct usage before;
    struct server s;
    int64_t began;

    make_store(20);
    s = start_server("-d store 0");
    for (int i = 0; i < 200; i++)
        run_session(&s, i);
    before = usage(&s);
    began = clock_ms();
    for (int i = 0; i < count; i++)
        run_session(&s, i);
    printf("%d sessions, %.0f a second\n", count,
           count * 1000.0 / (double)(clock_ms() - began + 1));
    expect_usage(&s, &before);
    check(exists("store/1") && exists("store/2"));
    end_server(&s);
}

enum { CONCURRENT = 500 };

/*
 * Runs 500 sessions at once; one more is refused. Adds the private memory of all to *sum and sets
 * *most to the largest.
 */
static void
run_500(const struct server *s, long *sum, long *most)
{
    static struct client c[CONCURRENT];
    static pid_t pids[SESSIONS_MOST];
    struct client more;

    await_sessions(s, 0);
    for (int i = 0; i < CONCURRENT; i++)
        deliver_message(i + 1);
    for (int i = 0; i < CONCURRENT; i++)
        c[i] = connect_to(s);
    for (int i = 0; i < CONCURRENT; i++)
        expect(&c[i], "+OK*");
    more = connect_to(s);
    expect_refusal(&more, "-ERR [SYS/TEMP]*");
    for (int i = 0; i < CONCURRENT; i++) {
        send_text(&c[i], "STAT\r\n");
        send_number(&c[i], "RETR", i + 1);
        send_number(&c[i], "DELE", i + 1);
    }
    for (int i = 0; i < CONCURRENT; i++) {
        expect(&c[i], "+OK 500 15000");
        expect_message(&c[i], i + 1);
        expect(&c[i], "+OK*");
    }
    check(find_sessions(s, pids) == CONCURRENT);
    for (int i = 0; i < CONCURRENT; i++) {
        long kilobytes = private_memory(pids[i]);

        *sum += kilobytes;
        *most = max_long(*most, kilobytes);
    }
    for (int i = 0; i < CONCURRENT; i++)
        send_text(&c[i], "QUIT\r\n");
    for (int i = 0; i < CONCURRENT; i++) {
        expect(&c[i], "+OK 1 message*");
        expect_end(&c[i]);
    }
}

static void
concurrent_sessions(void)
{
    const int rounds = quick_or_full(2, 20);
    struct usage before;
    struct server s;
    struct client c;
    long sum = 0, most = 0;
    int64_t began;

    if (raise_file_limit() < CONCURRENT + 50)
        skip("the limit of open files is too low here");
    make_store(0);
    s = start_server("-n 500 -d store 0");
    run_500(&s, &(long){0}, &(long){0});
    before = usage(&s);
    began = clock_ms();
    for (int i = 0; i < rounds; i++)
        run_500(&s, &sum, &most);
    printf(
        "%d times 500 at once, %.0f sessions a second; "
        "private memory of a session: %ld KiB, at most %ld\n",
        rounds, rounds * 500 * 1000.0 / (double)(clock_ms() - began + 1),
        sum / rounds / CONCURRENT, most);
    expect_session_memory(&s, most);
    expect_usage(&s, &before);
    c = greeted(&s);
    ask(&c, "STAT", "+OK 0 0");
    quit(&c);
    check(log_count(" del=1 ") == (rounds + 1) * CONCURRENT);
    end_server(&s);
}

/* ---- Misbehaving clients --------------------------------------------------------------------- */

/*
 * A client that reads nothing, and one that sends nothing, are closed after the idle timeout. One
 * that sends an octet ten times per timeout is not idle and keeps its session. None of them uses
 * much memory or delays other sessions.
 */
static void
slow_clients(void)
{
    const int idle = quick_or_full(3, 10);
    const char *noop = "NOOP\r\n";
    char options[32];
    struct client stalled, silent, slow;
    struct usage before;
    struct server s;
    pid_t pids[SESSIONS_MOST];
    int64_t began;
    int octets = 0, answers = 0, count;
    long most = 0, worst = 0;

    make_store(0);
    make_big("store/big", 64 * MIB);
    put("store/later", "x\n");
    snprintf(options, sizeof options, "-t %d -d store 0", idle);
    s = start_server(options);
    before = usage(&s);
    stalled = connect_narrow(&s);
    expect(&stalled, "+OK*");
    send_text(&stalled, "DELE 2\r\nRETR 1\r\nRETR 1\r\nQUIT\r\n");
    silent = connect_to(&s);
    slow = greeted(&s);
    for (began = clock_ms(); clock_ms() - began < 3000 * idle; poll(NULL, 0, 100 * idle)) {
        check(send(slow.fd, &noop[octets % 6], 1, MSG_NOSIGNAL) == 1);
        if (++octets % 6 == 0) {
            expect(&slow, "+OK*");
            answers++;
        }
        count = find_sessions(&s, pids);
        while (count > 0)
            most = max_long(most, private_memory(pids[--count]));
        worst = max_long(worst, short_session(&s));
    }
    send_text(&slow, &noop[octets % 6]);
    expect(&slow, "+OK*");
    quit(&slow);
    expect(&silent, "+OK*");
    expect_end(&silent);
    await(log_count("idle retr=0/0 top=0 del=0 left=2") == 2);
    check(take_rest(&stalled) < 64 * MIB);
    hang_up(&stalled);
    check(exists("store/later"));
    printf("an octet each %d ms: %d octets, %d answers; private memory of a session at most "
           "%ld KiB; another session at most %ld ms\n", 100 * idle, octets, answers, most, worst);
    expect_session_memory(&s, most);
    check(worst < PATIENCE);
    expect_usage(&s, &before);
    end_server(&s);
}

/* A login must complete within a minute, even if octets arrive all the time. */
static void
slow_login(void)
{
    struct server s;
    struct client c;
    int64_t began = clock_ms(), seconds;
    struct pollfd ended;

    if (!full)
        skip("it takes a minute: only in load.sh full");
    make_store(1);
    put("passfile", "me:hunter2\n");
    check(chmod("passfile", 0600) == 0);
    s = start_server("-p passfile -d store 0");
    c = greeted(&s);
    do {
        ended = (struct pollfd){.fd = c.fd, .events = POLLIN};
        check(clock_ms() - began < 60 * 1000 + PATIENCE);
        send(c.fd, "x", 1, MSG_NOSIGNAL);
    } while (poll(&ended, 1, 1000) == 0);
    seconds = (clock_ms() - began) / 1000;
    check(seconds >= 59);
    hang_up(&c);
    end_server(&s);
}

/* Endless lines of letters, NULs or blanks: each counts as one mistake and needs bounded memory. */
static void
endless_lines(void)
{
    static const char octets[] = {'x', '\0', ' '};
    const int mib = quick_or_full(64, 1024);
    char *block = malloc(MIB);
    struct usage before;
    struct server s;
    long most = 0, worst = 0;
    int64_t began;

    check(block != NULL);
    make_store(1);
    s = start_server("-d store 0");
    before = usage(&s);
    began = clock_ms();
    for (size_t kind = 0; kind < sizeof octets; kind++) {
        struct client c = greeted(&s);
        pid_t pid = await_session(&s);

        memset(block, octets[kind], MIB);
        for (int i = 0; i < mib; i++) {
            for (size_t done = 0; done < MIB;) {
                ssize_t count = send(c.fd, block + done, MIB - done, MSG_NOSIGNAL);

                check(count > 0);
                done += (size_t)count;
            }
            if (i % 16 == 0) {
                most = max_long(most, private_memory(pid));
                worst = max_long(worst, short_session(&s));
                await_session(&s);
            }
        }
        ask(&c, "", "-ERR*");
        ask(&c, "STAT", "+OK 1 30");
        quit(&c);
    }
    printf("%d lines of %d MiB, %.0f MiB a second; private memory of the session at most %ld KiB; "
           "another session at most %ld ms\n", (int)sizeof octets, mib,
           3000.0 * mib / (double)(clock_ms() - began + 1), most, worst);
    expect_session_memory(&s, most);
    free(block);
    expect_usage(&s, &before);
    end_server(&s);
}

enum { PIPELINED = 100 * 1000, PIPELINED_MESSAGES = 400 };

/* The answer to command i of pipelined(). The file of message n has n + 8 bytes. */
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
        line = read_answer(c);
        check(strncmp(line, wanted, strlen(wanted)) == 0 && strlen(line) < 72);
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
 * Sends commands until the socket buffers of both directions are full, and only then reads the
 * answers. Each command is answered, in order.
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
    do {                        /* until neither side can continue */
        ssize_t count = send(c.fd, to, strlen(to), MSG_DONTWAIT | MSG_NOSIGNAL);

        to += count > 0 ? count : 0;
        more = (struct pollfd){.fd = c.fd, .events = POLLOUT};
    } while (*to != '\0' && poll(&more, 1, 300) == 1);
    printf("%ld of %ld octets of commands were accepted before an answer was read\n",
           (long)(to - all), (long)strlen(all));
    check(short_session(&s) < PATIENCE);
    expect_session_memory(&s, private_memory(await_session(&s)));
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

/* Connections that are reset at every point: nothing is removed, and nothing leaks. */
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
    const int count = quick_or_full(2000, 30000);
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
            await(find_sessions(&s, NULL) < 64);
    }
    printf("%d connections reset, %.0f a second\n", count,
           count * 1000.0 / (double)(clock_ms() - began + 1));
    await_sessions(&s, 0);
    check(count_open(s.pid, "") == before.files);
    expect_usage(&s, &before);
    check(exists("store/big") && exists("store/later"));
    end_server(&s);
}

/*
 * Far more connections than the session limit, and none is closed by its client: each further one
 * is refused, and the open sessions are served.
 */
static void
flood(void)
{
    enum { SESSION_LIMIT = 20 };
    const int wanted = quick_or_full(1000, 8000), most = raise_file_limit() - 50,
              count = wanted < most ? wanted : most;
    struct client *c = calloc((size_t)count, sizeof *c), open_session;
    struct usage before;
    struct server s;
    int64_t began, asked;
    int admitted = 0;
    long worst = 0;

    check(c != NULL);
    make_store(1);
    s = start_server("-n 20 -d store 0");
    before = usage(&s);
    open_session = greeted(&s);
    began = clock_ms();
    for (int i = 0; i < count; i++) {
        c[i] = connect_to(&s);
        if (i % 10 == 0) {
            asked = clock_ms();
            ask(&open_session, "STAT", "+OK 1 30");
            worst = max_long(worst, clock_ms() - asked);
        }
    }
    for (int i = 0; i < count; i++) {
        const char *line = read_answer(&c[i]);

        if (matches(line, "+OK*")) {
            admitted++;
            continue;
        }
        check(matches(line, "-ERR [SYS/TEMP]*"));
        expect_end(&c[i]);
        c[i].fd = -1;
    }
    check(admitted == SESSION_LIMIT - 1);
    await(count_open(s.pid, "") == before.files);
    printf(
        "%d connections for %d sessions in %lld ms; an open session waited at most %ld ms; "
        "%d refusals in the log\n",
        count, SESSION_LIMIT, (long long)(clock_ms() - began), worst, log_count("refused"));
    check(log_count("refused") == count - admitted);
    for (int i = 0; i < count; i++)
        if (c[i].fd >= 0)
            reset(&c[i]);
    quit(&open_session);
    for (int i = 0; i < SESSION_LIMIT; i++) {          /* the limit is available again */
        await_sessions(&s, i);
        c[i] = greeted(&s);
    }
    for (int i = 0; i < SESSION_LIMIT; i++)
        quit(&c[i]);
    free(c);
    expect_usage(&s, &before);
    end_server(&s);
}

/* SIGTERM stops the server while connections arrive without a pause. */
static void
sigterm_in_a_flood(void)
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
        await(log_count("refused") + log_count("session starts") > 200);
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

/* Returns the limit with which a process can open that many more files. */
static rlim_t
limit_for(pid_t pid, int spare)
{
    rlim_t limit = 0;

    for (spare++;; limit++) { /* finds the free descriptor number spare + 1 */
        char path[64];

        snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid, (int)limit);
        if (!exists(path) && --spare == 0)
            return limit;
    }
}

/* A session without a free descriptor answers -ERR, removes nothing, and recovers. */
static void
session_without_files(const struct server *s)
{
    struct client c = greeted(s);
    pid_t pid = await_session(s);
    rlim_t files;

    ask(&c, "DELE 1", "+OK*");
    files = set_limit(pid, RLIMIT_NOFILE, limit_for(pid, 0));
    ask(&c, "RETR 2", "-ERR*");
    ask(&c, "TOP 2 1", "-ERR*");
    ask(&c, "STAT", "+OK 3 90");
    set_limit(pid, RLIMIT_NOFILE, files);
    send_text(&c, "RETR 2\r\n");
    expect_message(&c, 2);
    ask(&c, "NOOP", "+OK*");                    /* it may send before it closes the message */
    set_limit(pid, RLIMIT_NOFILE, limit_for(pid, 0));
    ask(&c, "QUIT", "-ERR*");
    expect_end(&c);
    check(exists("store/1") && exists("store/2"));
}

/*
 * A parent with 0 to 6 free descriptors whose store has changed: a client gets a correct session,
 * or is refused, or waits and gets its session when descriptors are free again.
 */
static void
few_files(void)
{
    static const char *const commands[] = {
        "cp store/2 store/.x && mv store/.x store/3",           /* one new file */
        "mv store old && mkdir store && cp old/* store && rm -r old",   /* a new directory */
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
        rlim_t files;
        struct client c;
        struct pollfd answer;
        int64_t began = clock_ms();
        int lines = log_count("cannot accept");

        await(count_open(s.pid, "socket:") == s.count);     /* the last connection is closed */
        files = set_limit(s.pid, RLIMIT_NOFILE, limit_for(s.pid, spare));
        run_command(commands[round / 7]);
        c = connect_to(&s);
        answer = (struct pollfd){.fd = c.fd, .events = POLLIN};
        if (poll(&answer, 1, spare == 0 ? 500 : PATIENCE) == 0) {
            check(spare == 0);
            waits++;
            await(log_count("cannot accept") > lines);
            lines = log_count("cannot accept") - lines;
            if (lines > (clock_ms() - began) / 50 + 3)
                fail("accept() was retried without a pause: %d times in %d ms", lines,
                     (int)(clock_ms() - began));
            set_limit(s.pid, RLIMIT_NOFILE, files);
            expect(&c, "+OK*");
        } else {
            const char *line = read_answer(&c);

            check(spare > 0);
            if (matches(line, "-ERR [SYS/TEMP]*")) {
                expect_end(&c);
                refusals++;
                set_limit(s.pid, RLIMIT_NOFILE, files);
                c = greeted(&s);
            } else {
                check(matches(line, "+OK*"));
                greetings++;
            }
        }
        ask(&c, "STAT", "+OK 4 120");
        quit(&c);
        set_limit(s.pid, RLIMIT_NOFILE, files);
        await_sessions(&s, 0);
        free(in_step(&s));
    }
    session_without_files(&s);
    free(in_step(&s));
    printf("%d waited, %d were refused, %d were served\n", waits, refusals, greetings);
    check(waits > 0 && refusals > 0 && greetings > 0);
    expect_usage(&s, &before);
    end_server(&s);
}

/* fork() fails: clients are refused, and do not count as sessions. */
static void
no_processes(void)
{
    enum { SESSION_LIMIT = 4 };
    struct client c[SESSION_LIMIT], more;
    struct usage before;
    struct server s;
    rlim_t processes;

    make_store(1);
    become_nobody();
    s = start_server("-n 4 -d store 0");
    before = usage(&s);
    for (int round = 0; round < 5; round++) {
        c[0] = greeted(&s);
        processes = set_limit(s.pid, RLIMIT_NPROC, 0);
        for (int i = 0; i < 3 * SESSION_LIMIT; i++) {
            more = connect_to(&s);
            expect_refusal(&more, "-ERR [SYS/TEMP]*");
        }
        check(find_sessions(&s, NULL) == 1);
        ask(&c[0], "STAT", "+OK 1 30");
        set_limit(s.pid, RLIMIT_NPROC, processes);
        for (int i = 1; i < SESSION_LIMIT; i++)
            c[i] = greeted(&s);
        more = connect_to(&s);
        expect_refusal(&more, "-ERR [SYS/TEMP]*");
        for (int i = 0; i < SESSION_LIMIT; i++)
            quit(&c[i]);
        await_sessions(&s, 0);
    }
    check(log_has("cannot start a session"));
    expect_usage(&s, &before);
    end_server(&s);
}

/* ---- Stores that break while they are served ------------------------------------------------- */

/*
 * Damage to a store with messages 1 to 4 during a session that has marked message 1, and its
 * repair. The directory "other" has messages 1 to 3 with the same names and sizes, but different
 * content.
 */
static const struct damage {
    const char *name, *command, *repair;
    const char *answer;         /* to STAT in a new session; NULL: the session is refused */
    const char *old;            /* where the old session's directory is; NULL: it was removed */
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
 * Damages the store between a session's DELE and its QUIT or disconnect. QUIT's answer is true for
 * the directory in which the session began, no other directory loses a message, and the next
 * session is correct.
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
    run_command(damage->command);
    for (int i = 0; i < 2; i++) {
        c = connect_to(s);
        if (damage->answer == NULL) {
            expect_refusal(&c, "-ERR [SYS/TEMP]*");
        } else {
            expect(&c, "+OK*");
            ask(&c, "STAT", damage->answer);
            quit(&c);
        }
    }
    send_text(&old, "RETR 2\r\n");
    line = read_answer(&old);
    if (matches(line, "+OK*"))
        expect_body(&old, "Subject: message\r\n\r\n00000002\r\n");
    else
        check(matches(line, "-ERR*"));
    if (quits) {
        send_text(&old, "QUIT\r\n");
        line = read_answer(&old);
        removed = matches(line, "+OK*") || matches(line, "-ERR 1 message removed, but*");
        check(removed || matches(line, "-ERR*"));
        expect_end(&old);
    } else {
        reset(&old);
    }
    await_sessions(s, 0);
    check(fchmod(here, 0755) == 0 && close(here) == 0);
    if (damage->old != NULL && chmod(damage->old, 0755) == 0) {
        snprintf(path, sizeof path, "%s/1", damage->old);
        left = exists(path);
        if (left == removed)
            fail("QUIT reported %s, but message 1 is %s", removed ? "a removal" : "no removal",
                 left ? "there" : "gone");
        for (int i = 2; i <= 4; i++) {
            snprintf(path, sizeof path, "%s/%d", damage->old, i);
            check(exists(path));
        }
    }
    check(exists("other/1") || exists("store/1"));
    if (strcmp(damage->name, "replaced by a copy") == 0)
        check(exists("store/1"));
    run_command(damage->repair);
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
        printf("%s, %s\n", damages[i / 2].name, i % 2 == 0 ? "then QUIT" : "then a disconnect");
        break_store(&s, &damages[i / 2], i % 2 == 0);
        check(fflush(stdout) == 0 &&
              ftruncate(STDOUT_FILENO, 0) == 0);        /* keeps the last one: where it fails */
    }
    printf("%d kinds of damage, with and without QUIT\n", (int)(sizeof damages / sizeof *damages));
    expect_usage(&s, &before);
    end_server(&s);
}

/* ---- Growing stores and full disks ----------------------------------------------------------- */

/*
 * Messages are delivered in order during many sessions: each session sees the messages 1 to n,
 * complete, and n never falls.
 */
static void
growing_store(void)
{
    const int count = quick_or_full(3000, 30000);
    struct usage before;
    struct server s;
    struct client c;
    pid_t deliverer;
    int seen = 0, sessions = 0, now, octets;
    long worst = 0;
    bool delivering = true;
    char text[64];

    make_store(10);
    s = start_server("-d store 0");
    before = usage(&s);
    deliverer = fork();
    check(deliverer >= 0);
    if (deliverer == 0) {
        for (int i = 11; i <= count; i++)
            deliver_message(i);
        _exit(0);
    }
    do {
        int64_t began = clock_ms();
        const char *line;

        c = greeted(&s);
        worst = max_long(worst, clock_ms() - began);
        send_text(&c, "STAT\r\n");
        line = read_answer(&c);
        check(sscanf(line, "+OK %d %d", &now, &octets) == 2);
        check(now >= seen && octets == now * 30);
        seen = now;
        send_number(&c, "RETR", now);
        send_number(&c, "RETR", 1);
        expect_message(&c, now);
        expect_message(&c, 1);
        quit(&c);
        sessions++;
        delivering = delivering && waitpid(deliverer, NULL, WNOHANG) == 0;
    } while (delivering);
    c = greeted(&s);
    snprintf(text, sizeof text, "+OK %d %d", count, count * 30);
    ask(&c, "STAT", text);
    for (int i = 1; i <= count; i++)
        send_number(&c, "DELE", i);
    for (int i = 1; i <= count; i++)
        expect(&c, "+OK*");
    deliver("late", "late\n");                  /* after the session began: it stays */
    send_text(&c, "QUIT\r\n");
    check(poll(&(struct pollfd){.fd = c.fd, .events = POLLIN}, 1, 10 * PATIENCE) == 1);
    expect(&c, "+OK*");
    expect_end(&c);
    c = greeted(&s);
    ask(&c, "STAT", "+OK 1 6");
    quit(&c);
    printf("%d messages, %d sessions, a greeting after at most %ld ms\n", count, sessions, worst);
    before.kilobytes += 4L * count * 200 / 1024;        /* the index keeps its memory */
    expect_usage(&s, &before);
    end_server(&s);
}

/* Delivers copies of a message until the disk is full. Returns their number. */
static int
fill_disk(int from, const char *text)
{
    char name[16];

    for (int i = from;; i++) {
        int file = open("store/.new", O_WRONLY | O_CREAT | O_TRUNC, 0644);
        ssize_t written = file < 0 ? -1 : write(file, text, strlen(text));

        check(written >= 0 || errno == ENOSPC);
        if (file >= 0)
            close(file);
        if (written != (ssize_t)strlen(text)) {
            unlink("store/.new");
            return i - from;
        }
        snprintf(name, sizeof name, "%d", i);
        check(rename("store/.new", store_path(name)) == 0);
    }
}

/* The file system of the store is full, then read-only, then unmounted while it is served. */
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

    check(umount2("store", MNT_DETACH) == 0);   /* the directory below it is served now */
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

/* If the log cannot be written, only its lines are lost. */
static void
full_log(void)
{
    struct server s;

    make_store(1);
    check(symlink("/dev/full", "log") == 0);
    s = start_server("-d store 0");
    for (int i = 0; i < 20; i++)
        short_session(&s);
    await_sessions(&s, 0);
    stop_server(&s);
}

/* ---- Concurrent deletes ---------------------------------------------------------------------- */

enum { SHARED = 60, DELETERS = 12 };

/* Every twentieth message is large, so that a RETR takes a while. */
static bool
is_large(int n)
{
    return n % 20 == 0;
}

/*
 * Several clients mark overlapping sets of messages. Then two thirds send QUIT at once and the
 * others disconnect, while another client retrieves everything. Exactly the messages marked by a
 * client that sent QUIT are removed. Restores them at the end.
 */
static void
delete_concurrently(const struct server *s, int *complete, int *refused)
{
    struct client c[DELETERS], reader = connect_narrow(s);
    bool gone[SHARED + 1] = {false};
    char text[64];

    expect(&reader, "+OK*");
    for (int i = 0; i < DELETERS; i++)
        c[i] = greeted(s);
    for (int i = 0; i < DELETERS; i++) {
        for (int n = 1; n <= SHARED; n++) {
            if (random_below(3) > 0)
                continue;
            snprintf(text, sizeof text, "DELE %d", n);
            ask(&c[i], text, "+OK*");
            gone[n] = gone[n] || i % 3 > 0;
        }
    }
    for (int n = 1; n <= SHARED; n++)
        send_number(&reader, "RETR", n);
    for (int i = 0; i < DELETERS; i++) {
        if (i % 3 == 0)
            reset(&c[i]);
        else
            send_text(&c[i], "QUIT\r\n");
    }
    for (int n = 1; n <= SHARED; n++) {
        const char *line = read_answer(&reader);

        if (matches(line, "-ERR*")) {
            ++*refused;
            check(gone[n]);
            continue;
        }
        ++*complete;
        check(matches(line, "+OK*"));
        if (is_large(n)) {
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
    await_sessions(s, 0);
    for (int n = 1; n <= SHARED; n++) {
        snprintf(text, sizeof text, "store/%d", n);
        if (exists(text) == gone[n])
            fail("message %d is %s", n, gone[n] ? "still there" : "removed without a QUIT");
        if (gone[n] && is_large(n)) {
            make_big("store/.new", MIB);
            check(rename("store/.new", text) == 0);
        } else if (gone[n]) {
            deliver_message(n);
        }
    }
}

static void
concurrent_deletes(void)
{
    const int rounds = quick_or_full(30, 300);
    int complete = 0, refused = 0;
    struct usage before;
    struct server s;

    seed_random();
    make_store(SHARED);
    for (int n = 20; n <= SHARED; n += 20) {
        char path[32];

        snprintf(path, sizeof path, "store/%d", n);
        make_big(path, MIB);
    }
    s = start_server("-d store 0");
    delete_concurrently(&s, &complete, &refused);
    before = usage(&s);
    for (int i = 0; i < rounds; i++)
        delete_concurrently(&s, &complete, &refused);
    printf("%d rounds of %d sessions: %d messages retrieved at the same time, %d refused\n", rounds,
           DELETERS + 1, complete, refused);
    expect_usage(&s, &before);
    end_server(&s);
}

/* ---- Random sessions ------------------------------------------------------------------------- */

#include "steps.h"
#include "race.h"

/* ---- The session limit of one address -------------------------------------------------------- */

#define SHARE_REACHED "-ERR [SYS/TEMP] too many sessions from your address*"
#define LIMIT_REACHED "-ERR [SYS/TEMP] too many sessions,*"

/* Opens `share` sessions from one address to the server's address i. More must be refused. */
static void
fill_share(const struct server *s, int i, const char *from, struct client *c, int share,
           const char *refusal)
{
    struct client more;

    for (int k = 0; k < share; k++) {
        c[k] = connect_from(s, i, from);
        expect(&c[k], "+OK*");
    }
    for (int k = 0; k < 5; k++) {
        more = connect_from(s, i, from);
        expect_refusal(&more, refusal);
    }
}

enum { ADDRESS_SESSIONS = 18, SHARE = 4, OWN = 6 };

/* Four addresses get their shares, and a fifth one gets the rest. */
static void
fill_five_shares(const struct server *s)
{
    struct client c[ADDRESS_SESSIONS];
    char from[16];

    for (int i = 0; i < 5; i++) {
        snprintf(from, sizeof from, "192.0.2.%d", i + 1);
        fill_share(s, 0, from, c + i * SHARE, i < 4 ? SHARE : ADDRESS_SESSIONS - 4 * SHARE,
                   i < 4 ? SHARE_REACHED : LIMIT_REACHED);
    }
    for (int i = 0; i < ADDRESS_SESSIONS; i++)
        quit(&c[i]);
}

/*
 * An IPv4 or IPv6 address can hold a quarter of the sessions, and can open new ones when its
 * sessions end, however they end. Loopback has no such limit.
 */
static void
address_shares(void)
{
    struct client a[SHARE], b[SHARE], v6[SHARE], own[OWN], more;
    const int rounds = quick_or_full(10, 100);
    struct usage before;
    struct server s;
    const int at_own = 1;
    int at_ipv6;

    make_network();
    make_store(1);
    s = start_server(has_ipv6() ? "-n 18 -d store -a 192.0.2.1 -a 127.0.0.1 -a 2001:db8::1 0"
                                : "-n 18 -d store -a 192.0.2.1 -a 127.0.0.1 0");
    at_ipv6 = s.count > 2 ? 2 : 0;
    before = usage(&s);
    for (int round = 0; round < rounds; round++) {
        fill_share(&s, 0, "192.0.2.7", a, SHARE, SHARE_REACHED);
        fill_share(&s, 0, "192.0.2.8", b, SHARE, SHARE_REACHED);
        fill_share(&s, at_ipv6, at_ipv6 > 0 ? "2001:db8::2" : "192.0.2.9", v6, SHARE,
                   SHARE_REACHED);
        for (int k = 0; k < OWN; k++) {
            own[k] = connect_from(&s, at_own, k == 0 ? "127.0.0.9" : "127.0.0.1");
            expect(&own[k], "+OK*");
        }
        more = connect_from(&s, at_own, "127.0.0.1");
        expect_refusal(&more, LIMIT_REACHED);
        more = connect_from(&s, at_ipv6, at_ipv6 > 0 ? "2001:db8::3" : "192.0.2.10");
        expect_refusal(&more, LIMIT_REACHED);

        quit(&own[0]);                          /* loopback has no share */
        await_sessions(&s, ADDRESS_SESSIONS - 1);
        own[0] = connect_from(&s, at_own, "127.0.0.1");
        expect(&own[0], "+OK*");

        for (int k = 0; k < SHARE; k++) {       /* however they end, the share is free again */
            if ((round + k) % 3 == 0)
                quit(&a[k]);
            else if ((round + k) % 3 == 1)
                reset(&a[k]);
            else
                hang_up(&a[k]);
        }
        await_sessions(&s, ADDRESS_SESSIONS - SHARE);
        fill_share(&s, 0, "192.0.2.7", a, SHARE, LIMIT_REACHED);
        for (int k = 0; k < SHARE; k++) {
            ask(&b[k], "STAT", "+OK 1 30");
            quit(&a[k]);
            quit(&b[k]);
            reset(&v6[k]);
        }
        for (int k = 0; k < OWN; k++)
            hang_up(&own[k]);
        await_sessions(&s, 0);
    }
    fill_five_shares(&s);
    printf("%d rounds with %d addresses\n", rounds, at_ipv6 > 0 ? 8 : 7);
    expect_usage(&s, &before);
    end_server(&s);
}

/* A client with a link-local address: the log shows its interface. */
static void
link_local_address(void)
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

static struct test loads[] = {
    {"random steps of several sessions", random_steps, 0},
    {"random sessions at the same time", random_race, 0},
    {"sequential sessions", sequential_sessions, 0},
    {"500 sessions at once", concurrent_sessions, 0},
    {"slow clients", slow_clients, 0},
    {"a slow login", slow_login, 0},
    {"endless lines", endless_lines, 0},
    {"100,000 pipelined commands", pipelined, 0},
    {"connections that are reset", resets, 0},
    {"more connections than sessions", flood, 0},
    {"SIGTERM in a flood", sigterm_in_a_flood, 0},
    {"too many open files", few_files, 0},
    {"too many processes", no_processes, 0},
    {"damage to the store", broken_stores, 0},
    {"a growing store", growing_store, 0},
    {"a disk that is full, read-only or unmounted", full_disk, 0},
    {"a log that cannot be written", full_log, 0},
    {"concurrent deletes", concurrent_deletes, 0},
    {"the session limit of one address", address_shares, 0},
    {"a link-local address", link_local_address, 0},
};

enum { LOADS = sizeof loads / sizeof *loads, LOADS_AT_ONCE = 3 };

int
main(int argc, char **argv)
{
    if (argc < 2 || (strcmp(argv[1], "quick") != 0 && strcmp(argv[1], "full") != 0)) {
        fputs("usage: load quick|full [WORD...]\n", stderr);
        return 2;
    }
    full = strcmp(argv[1], "full") == 0;
    for (int i = 0; i < LOADS; i++)
        loads[i].seconds = quick_or_full(600, 900) + random_seconds();
    return run_tests(loads, LOADS, LOADS_AT_ONCE, argv + 2);
}
