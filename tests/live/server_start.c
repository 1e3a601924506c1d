/*
 * server_start.c - the command line, the addresses, the log and the login of a server
 */
#include "net.h"

#include <sys/resource.h>

/* ---- The command line ------------------------------------------------------------------------ */

static void
test_help(void)
{
    static const char *const options[] = {"--help", "-h", "--version", "-V"};

    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        check(run_server(options[i]) == 0);
        check(file_empty("err"));
        check(file_has("out", "server"));
        check(file_has("out", "usage") == (i < 2));
    }
}

/*
 * Each is refused with status 2, nothing on standard output, and a message that names the wrong
 * word.
 */
static void
test_misuse(void)
{
    static const struct { const char *options, *named;
    } cases[] = {
        {"-z", "-z"},
        {"-zi", "z"},
        {"--nonsense", "--nonsense"},
        {"5000 5001", "5001"},
        {"65536", "65536"},
        {"4294967296", "4294967296"},
        {"x", "x"},
        {"1x", "1x"},
        {"+1", "+1"},
        {"0x10", "0x10"},
        {"-1", "1"},
        {"pop3", "pop3"},
        {"-n 0", "-n"},
        {"-n x", "x"},
        {"-n -3", "-3"},
        {"-n 99999999999999999999", "-n"},
        {"-n", "-n"},
        {"-t 0", "-t"},
        {"-t 1s", "1s"},
        {"-t", "-t"},
        {"-a", "-a"},
        {"-a localhost", "localhost"},
        {"-a 127.0.0.256", "127.0.0.256"},
        {"-a ::g", "::g"},
        {"-a *", "*"},
        {"-d", "-d"},
        {"-p", "-p"},
    };

    make_store(1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int status = run_server(cases[i].options);

        if (status != 2 || !file_empty("out") || !file_has("err", cases[i].named))
            fail("server %s: status %d, %s", cases[i].options, status, slurp("err"));
    }
}

static void
test_no_store(void)
{
    check(run_server("-d nowhere 0") == 1);
    check(file_has("err", "nowhere") && !file_has("out", "listening"));
    put("file", "not a directory\n");
    check(run_server("-d file 0") == 1);
    check(file_has("err", "file"));
    check(run_server("0") == 1);                /* the default is mail */
    check(file_has("err", "mail"));
}

static void
test_port_taken(void)
{
    char options[64], port[8];
    int fd = occupy("127.0.0.1", port);

    make_store(1);
    snprintf(options, sizeof options, "-d store %s", port);
    check(run_server(options) == 1);
    check(file_has("err", port) && file_has("err", "ry another") && !file_has("out", "listening"));
    check(file_has("err", "; another program or another -a uses it; try another port"));
    close(fd);
    if (has_ipv6()) {                           /* one of the two is enough to fail */
        fd = occupy("::1", port);
        snprintf(options, sizeof options, "-d store %s", port);
        check(run_server(options) == 1);
        check(file_has("err", port) && !file_has("out", "listening"));
        close(fd);
    }
    check(run_server("-d store -a 192.0.2.1 0") == 1);      /* nobody's address, RFC 5737 */
    check(file_has("err", "192.0.2.1") && file_has("err", "; -a takes an address of this machine"));
}

/* A given port is used, even right after another server had it. */
static void
test_port_named(void)
{
    struct server s, again;
    struct client c;
    char options[64];

    make_store(1);
    s = start_server("-d store 0");
    c = greeted(&s);
    snprintf(options, sizeof options, "-d store %s", s.port[0]);
    stop_server(&s);
    again = start_server(options);
    check(strcmp(again.port[0], s.port[0]) == 0);
    hang_up(&c);
    c = greeted(&again);
    quit(&c);
    stop_server(&again);
}

static void
test_both_addresses(void)
{
    struct server s;

    make_store(1);
    s = start_server("-d store 0");
    check(strcmp(s.address[0], "127.0.0.1") == 0);
    check(s.count == 1 || (strcmp(s.address[1], "::1") == 0 && strcmp(s.port[1], s.port[0]) == 0));
    for (int i = 0; i < s.count; i++) {
        struct client c = {.fd = connect_socket(s.address[i], s.port[i], 0)};

        check(c.fd >= 0);
        expect(&c, "+OK*");
        ask(&c, "STAT", "+OK 1 30");
        quit(&c);
    }
    check(log_has("127.0.0.1:") && (s.count == 1 || log_has("[::1]:")));
    stop_server(&s);
}

static void
test_ports_alike(void)
{
    struct server s;

    if (!has_ipv6())
        skip("there is no ::1 here");
    make_store(1);
    s = start_server("-d store 00");            /* zero too */
    check(strcmp(s.port[0], s.port[1]) == 0);
    stop_server(&s);
}

static void
test_addresses(void)
{
    struct server s;
    struct client c;

    make_store(1);
    s = start_server("-d store -a 127.0.0.1 0");
    check(!has_ipv6() || connect_socket("::1", s.port[0], 0) < 0);
    stop_server(&s);
    if (!has_ipv6())
        return;
    s = start_server("-d store -a ::1 0");
    check(strcmp(s.address[0], "::1") == 0 && connect_socket("127.0.0.1", s.port[0], 0) < 0);
    c = greeted(&s);
    quit(&c);
    stop_server(&s);
    s = start_server("-a ::1 -d store -a 127.0.0.1 0");
    check(strcmp(s.address[0], "::1") == 0 && strcmp(s.address[1], "127.0.0.1") == 0);
    check(strcmp(s.port[0], s.port[1]) == 0);
    check(log_has("only this machine can connect"));
    stop_server(&s);
}

/* ---- The log --------------------------------------------------------------------------------- */

static void
test_log_of_the_store(void)
{
    struct server s;
    struct client c;

    make_store(2);
    put("store/.hidden", "x");
    put("store/,marked", "x");
    check(mkdir("store/folder", 0755) == 0);
    check(symlink("1", "store/link") == 0);
    check(mkfifo("store/fifo", 0600) == 0);
    s = start_server("-d store 0");
    await(log_has("only this machine can connect"));
    check(log_has("2 messages") && log_has("60 octets"));
    check(log_has("folder") && log_has("link") && log_has("fifo"));
    check(!log_has("hidden") && !log_has("marked"));

    /* What is skipped is named once, and when it comes. */
    for (int i = 0; i < 2; i++) {
        c = greeted(&s);
        quit(&c);
    }
    check(count_in("log", "skipped") == 3);
    check(symlink("1", "store/later") == 0);
    for (int i = 0; i < 2; i++) {
        c = greeted(&s);
        quit(&c);
    }
    if (has_proc() && count_open(s.pid, "anon_inode:inotify") > 0)
        check(log_has("store: later: skipped, a symbolic link") && count_in("log", "skipped") == 4);
    check(unlink("store/2") == 0 && symlink("1", "store/2") == 0);
    check(mkdir("store/another", 0755) == 0);           /* so all files are looked at */
    for (int i = 0; i < 2; i++) {
        c = greeted(&s);
        quit(&c);
    }
    check(count_in("log", "store: 2: skipped, a symbolic link") == 1);
    stop_server(&s);

    if (!exists("/sys/class/net/lo/mtu"))
        return;
    s = start_server("-d /sys/class/net/lo 0");         /* its files read shorter than their size */
    for (int i = 0; i < 2; i++) {
        c = greeted(&s);
        quit(&c);
    }
    check(count_in("log", ": mtu: skipped, shorter than its size") == 1);
    stop_server(&s);
}

/* Returns a text with the port of the client in the place of %d. */
static const char *
with_port(const char *format, const struct client *c)
{
    static char text[200];
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    const char *mark = strstr(format, "%d");

    check(getsockname(c->fd, (struct sockaddr *)&address, &size) == 0 && mark != NULL);
    snprintf(text, sizeof text, "%.*s%d%s", (int)(mark - format), format, ntohs(address.sin_port),
             mark + 2);
    return text;
}

static void
test_log_of_a_session(void)
{
    struct server s;
    struct client c;
    char end[200];

    make_store(4);
    s = start_server("-d store 0");
    c = greeted(&s);
    await(log_has(with_port("127.0.0.1:%d", &c)));
    snprintf(end, sizeof end, "%s",
             with_port("127.0.0.1:%d: quit retr=2/60 top=1 del=1 left=3", &c));
    ask(&c, "TOP 1 0", "+OK*");
    expect_body(&c, "Subject: message\r\n\r\n");
    for (int i = 1; i <= 2; i++) {
        send_text(&c, i == 1 ? "RETR 1\r\n" : "RETR 2\r\n");
        expect_message(&c, i);
    }
    ask(&c, "DELE 2", "+OK*");
    check(!log_has(end));
    quit(&c);
    await(log_has(end));

    c = greeted(&s);
    snprintf(end, sizeof end, "%s",
             with_port("127.0.0.1:%d: disconnected retr=0/0 top=0 del=0 left=3", &c));
    ask(&c, "DELE 1", "+OK*");
    hang_up(&c);
    await(log_has(end));
    stop_server(&s);
}

/* Control characters from the network are logged escaped, and what follows PASS is not logged. */
static void
test_log_of_strangers(void)
{
    struct server s;
    struct client c;

    make_store(1);
    put("passfile", "me:hunter2\n");
    check(chmod("passfile", 0600) == 0);
    s = start_server("-d store -p passfile 0");
    c = greeted(&s);
    ask(&c, "PASS secret-1", "-ERR*");
    ask(&c, "USER \033[31mred\a\x7f\x9b\xe2\x80\xae", "+OK*");
    send_text(&c, "PASS secret-2 hunter2\r\npass hunter2\r\nNOOP secret-3\r\n\x1b]0;title\a\r\n");
    send_text(&c, "USER me\r\nPASS hunter2\r\nPASS secret-4\r\nQUIT\r\n");
    expect(&c, "-ERR [AUTH]*");
    expect(&c, "-ERR*");
    expect(&c, "-ERR*");
    expect(&c, "-ERR*");
    expect(&c, "+OK*");
    expect(&c, "+OK*");
    expect(&c, "-ERR*");
    expect(&c, "+OK*");
    expect_end(&c);
    await(log_has(" quit "));
    check(log_has("red") && printable("log"));
    check(!log_has("secret") && !log_has("hunter2"));
    stop_server(&s);
    check(printable("log"));
}

/* A log that nobody reads loses lines. No session waits for it. */
static void
test_log_stuck(void)
{
    static char much[4096];
    struct server s;
    struct client c;
    int log;

    make_store(1);
    check(mkfifo("log", 0600) == 0);
    log = open("log", O_RDWR | O_NONBLOCK);
    check(log >= 0);
    s = start_server("-d store 0");
    while (write(log, much, sizeof much) > 0)
        continue;
    for (int i = 0; i < 3; i++) {
        c = greeted(&s);
        send_text(&c, "RETR 1\r\n");
        expect_message(&c, 1);
        quit(&c);
    }
    stop_server(&s);
    close(log);
}

/*
 * A log on a terminal that takes no more, perhaps in the middle of a line: no session waits for it.
 * The flags of the terminal's descriptor, which other programs share, stay as they are.
 */
static void
test_log_on_terminal(void)
{
    enum { COMMANDS = 5000 };                   /* their lines are more than a terminal holds */
    const int master = posix_openpt(O_RDWR | O_NOCTTY);
    char *commands = repeat("NOOP\r\n", COMMANDS);
    struct server s;
    struct client c;
    int log;

    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0)
        skip("no pseudo-terminals here");
    make_store(1);
    check(symlink(ptsname(master), "log") == 0);
    log = open("log", O_RDWR | O_NOCTTY);
    check(log >= 0);
    s = start_server("-v -a 127.0.0.1 -d store 0");
    c = greeted(&s);
    send_text(&c, commands);
    for (int i = 0; i < COMMANDS; i++)
        expect(&c, "+OK*");
    quit(&c);
    if (has_proc())
        check(count_open(s.pid, ptsname(master)) == 1);
    check((fcntl(log, F_GETFL) & O_NONBLOCK) == 0);
    stop_server(&s);
    free(commands);
    close(log);
    close(master);
}

/*
 * Under a limit for the size of files, and on a full disk, log lines are lost. Nothing else
 * happens.
 */
static void
use_limited_log(void)
{
    struct server s = start_server("-v -d store 0");
    struct client c;

    for (int i = 0; i < 60; i++) {
        c = greeted(&s);
        send_text(&c, "RETR 1\r\n");
        expect_message(&c, 1);
        ask(&c, i == 59 ? "DELE 1" : "NOOP", "+OK*");
        quit(&c);
    }
    check(!exists("store/1"));
    stop_server(&s);
}

static void
test_log_limited(void)
{
    const struct rlimit limit = {2048, 2048};
    struct stat status;

    make_store(1);
    check(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    use_limited_log();
    check(stat("log", &status) == 0 && status.st_size <= 2048);
}

/* A line that was written in part, before the disk was full, does not spoil the next one. */
static void
test_log_cut(void)
{
#ifdef __linux__
    struct rlimit limit = {3000, RLIM_INFINITY};
    struct server s;
    struct client c;
    char *text;

    make_store(1);
    check(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    s = start_server("-v -d store 0");
    for (int i = 0; i < 60; i++) {
        c = greeted(&s);
        quit(&c);
    }
    text = slurp("log");
    check(strlen(text) == 3000 && text[2999] != '\n');
    free(text);
    limit.rlim_cur = RLIM_INFINITY;
    check(prlimit(s.pid, RLIMIT_FSIZE, &limit, NULL) == 0);
    c = greeted(&s);
    quit(&c);
    stop_server(&s);
    text = slurp("log");
    check(text[3000] == '\n' && strstr(text + 3000, ": session starts\n") != NULL);
    free(text);
#else
    skip("no prlimit() here");
#endif
}

static void
test_log_full(void)
{
    if (!exists("/dev/full"))
        skip("there is no /dev/full here");
    make_store(1);
    check(symlink("/dev/full", "log") == 0);
    use_limited_log();
}

/* A log goes to a pipe whose reader has gone. */
static void
test_log_closed(void)
{
    struct server s;
    struct client c;
    int log;

    make_store(1);
    check(mkfifo("log", 0600) == 0);
    log = open("log", O_RDONLY | O_NONBLOCK);
    check(log >= 0);
    s = start_server("-d store 0");
    close(log);
    for (int i = 0; i < 3; i++) {
        c = greeted(&s);
        quit(&c);
    }
    stop_server(&s);
}

/* Returns true if a line starts with the time in UTC, as 2026-11-29T19:43:02Z, and a blank. */
static bool
starts_with_time(const char *line)
{
    static const char form[] = "dddd-dd-ddTdd:dd:ddZ ";

    for (const char *f = form; *f != '\0'; f++, line++)
        if (*f == 'd' ? *line < '0' || *line > '9' : *line != *f)
            return false;
    return true;
}

/*
 * Holds a session. Returns how many lines are about it, and how many of them start with the time.
 */
static void
count_times(int *lines, int *times)
{
    struct server s = start_server("-a 127.0.0.1 -d store 0");
    struct client c = greeted(&s);
    char *text, *rest = NULL;

    quit(&c);
    await(log_has(" quit "));
    stop_server(&s);
    text = slurp("log");
    *lines = *times = 0;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        if (strstr(line, "127.0.0.1:") == NULL)
            continue;
        *lines += 1;
        *times += starts_with_time(line);
    }
    free(text);
}

/*
 * Every line has the time in UTC, unless JOURNAL_STREAM names this very log: then systemd adds
 * it.
 */
static void
test_log_time(void)
{
    struct stat status;
    char stream[64];
    time_t before = time(NULL), logged;
    struct tm day = {0};
    int lines, times;
    char *text;

    make_store(1);
    setenv("TZ", "XYZ-11", 1);
    unsetenv("JOURNAL_STREAM");
    count_times(&lines, &times);
    check(lines >= 2 && times == lines);
    text = slurp("log");
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (!starts_with_time(line))
            continue;
        check(sscanf(line, "%d-%d-%dT%d:%d:%d", &day.tm_year, &day.tm_mon, &day.tm_mday,
                     &day.tm_hour, &day.tm_min, &day.tm_sec) == 6);
        day.tm_year -= 1900;
        day.tm_mon--;
        setenv("TZ", "UTC0", 1);
        logged = mktime(&day);
        check(logged >= before && logged <= time(NULL));
    }
    free(text);

    check(stat("log", &status) == 0 && truncate("log", 0) == 0);
    snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t)status.st_dev,
             (uintmax_t)status.st_ino + 1);
    setenv("JOURNAL_STREAM", stream, 1);
    count_times(&lines, &times);
    check(lines >= 2 && times == lines);

    check(truncate("log", 0) == 0);
    snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    count_times(&lines, &times);
    check(lines >= 2 && times == 0);
}

/* nohup ignores SIGHUP for the server: it stays ignored. */
static void
test_nohup(void)
{
    struct server s;
    struct client c;

    make_store(1);
    signal(SIGHUP, SIG_IGN);
    s = start_server("-d store 0");
    kill(s.pid, SIGHUP);
    for (int i = 0; i < 2; i++) {
        c = greeted(&s);
        kill(s.pid, SIGHUP);
        ask(&c, "STAT", "+OK 1 30");
        quit(&c);
    }
    stop_server(&s);
}

/*
 * Signals that are ignored or blocked where the server is started stop it all the same; with -i an
 * ignored SIGINT stays ignored, because Ctrl-C is for the client.
 */
static void
test_signals_inherited(void)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    struct server s;
    sigset_t all;
    int to, from;
    char answer[200];
    pid_t pid;

    make_store(1);
    sigfillset(&all);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        sigprocmask(SIG_BLOCK, &all, NULL);
        signal(signals[i], signals[i] == SIGHUP ? SIG_DFL : SIG_IGN);
        s = start_server("-a 127.0.0.1 -d store 0");
        signal(signals[i], SIG_DFL);
        sigprocmask(SIG_UNBLOCK, &all, NULL);
        kill(s.pid, signals[i]);
        check(wait_for(s.pid) == 0);
        close(s.out);
    }
    check(log_has(": stopped\n"));

    signal(SIGINT, SIG_IGN);
    pid = start_inetd("-i -d store", &to, &from);
    signal(SIGINT, SIG_DFL);
    check(read(from, answer, sizeof answer) > 0);
    kill(pid, SIGINT);
    check(write(to, "STAT\r\nQUIT\r\n", 12) == 12);
    check(wait_for(pid) == 0 && log_has("standard input: quit "));
    close(to);
    close(from);
}

/* Without a name the program has one of its own for its messages. */
static void
test_without_name(void)
{
    static char empty[] = "", slash[] = "/", wrong[] = "-q";
    char *const names[] = {empty, slash};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *arguments[] = {names[i], wrong, NULL};
        pid_t pid = fork();

        if (pid == 0) {
            redirect(2, "err", O_WRONLY | O_CREAT | O_TRUNC);
            execv(getenv("SERVER"), arguments);
            _exit(127);
        }
        check(pid > 0 && wait_for(pid) == 2);
        check(file_has("err", "server: invalid option: -q; see server --help\n"));
    }
}

/* ---- The login ------------------------------------------------------------------------------- */

static void
test_login(void)
{
    struct server s;
    struct client c, other;
    int64_t began;

    make_store(1);
    put("passfile", "me:hunter2\n");
    check(chmod("passfile", 0600) == 0);
    s = start_server("-d store -p passfile 0");
    c = greeted(&s);
    for (int i = 0; i < 3; i++) {
        ask(&c, i == 1 ? "USER you" : "USER me", "+OK*");
        began = clock_ms();
        send_text(&c, i == 1 ? "PASS hunter2\r\n" : "PASS hunter3\r\n");
        if (i == 0) {                           /* other sessions do not wait */
            other = greeted(&s);
            ask(&other, "STAT", "-ERR*");
            ask(&other, "USER me", "+OK*");
            ask(&other, "PASS hunter2", "+OK*");
            ask(&other, "STAT", "+OK 1 30");
            quit(&other);
        }
        expect(&c, "-ERR [AUTH]*");
        check(clock_ms() - began >= 900);
    }
    expect_end(&c);
    await(log_has("error"));
    stop_server(&s);
}

/*
 * Answers do not wait for the second that a wrong password costs. A client that is slow may read
 * both at once, so one of several attempts is enough.
 */
static void
test_login_answers(void)
{
    struct server s;
    struct client c;
    bool good = false;

    make_store(1);
    put("passfile", "me:hunter2\n");
    check(chmod("passfile", 0600) == 0);
    s = start_server("-d store -p passfile 0");
    for (int i = 0; i < 20 && !good; i++) {
        int64_t first;

        c = greeted(&s);
        ask(&c, "NOOP", "-ERR*");
        send_text(&c, "USER me\r\nPASS hunter3\r\n");
        expect(&c, "+OK*");
        first = clock_ms();
        expect(&c, "-ERR [AUTH]*");
        good = clock_ms() - first >= 500;
        quit(&c);
    }
    check(good);
    stop_server(&s);
}

/* Tests that wait long come first, so that the others run meanwhile. */
static const struct test tests[] = {
    {"three wrong passwords", test_login, 0},
    {"a wrong password delays no other answer", test_login_answers, 0},
    {"control characters and passwords in the log", test_log_of_strangers, 0},
    {"help and version", test_help, 0},
    {"invalid command lines", test_misuse, 0},
    {"no store", test_no_store, 0},
    {"a port in use", test_port_taken, 0},
    {"a given port", test_port_named, 0},
    {"both addresses answer, on one port", test_both_addresses, 0},
    {"port 00", test_ports_alike, 0},
    {"given addresses", test_addresses, 0},
    {"the store in the log", test_log_of_the_store, 0},
    {"a session in the log", test_log_of_a_session, 0},
    {"a log that nobody reads", test_log_stuck, 0},
    {"a log on a terminal that is full", test_log_on_terminal, 0},
    {"a log that is limited in size", test_log_limited, 0},
    {"a log line that was cut off", test_log_cut, 0},
    {"a log on a full disk", test_log_full, 0},
    {"a log whose reader has gone", test_log_closed, 0},
    {"the time in the log", test_log_time, 0},
    {"nohup", test_nohup, 0},
    {"signals that are ignored or blocked", test_signals_inherited, 0},
    {"a program without a name", test_without_name, 0},
};

int
main(int argc, char **argv)
{
    (void)argc;
    return run_tests(tests, (int)(sizeof tests / sizeof *tests), AT_ONCE, argv + 1);
}
