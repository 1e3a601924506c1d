/*
 * server.c - the server's sessions and connections, part by part
 */
#include "server.h"

/* ---- The log and answers --------------------------------------------------------------------- */

static void
test_log(void)
{
    char all[256], longer[3000];
    int back = redirect_log(-1);

    for (int i = 0; i < 255; i++)
        all[i] = (char)(i + 1);
    all[255] = '\0';
    log_line("%s", all);
    memset(longer, '\x01', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    log_line("%s", longer);
    redirect_log(back);

    const char *text = logged(), *end = strchr(text, '\n');
    int lines = 0;

    CHECK(strncmp(text, "server: \\x01\\x02", 16) == 0);
    CHECK(strstr(text, "\\x09\\x0a") != NULL && strstr(text, "\\x1f !\"#") != NULL);
    CHECK(strstr(text, "}~\\x7f\\x80") != NULL && end != NULL && strncmp(end - 4, "\\xff", 4) == 0);
    for (const char *p = text; *p != '\0'; p++) {
        lines += *p == '\n';
        CHECK(*p == '\n' || (*p >= ' ' && *p <= '~'));
    }
    CHECK(lines == 2);
}

/* A signal at any time neither loses a line nor makes it wait for a reader. */
static void
test_log_interrupted(void)
{
    int back = redirect_log(-1), ends[2];

    interruptions = 3;
    log_line("a line");
    CHECK(strcmp(logged(), "server: a line\n") == 0 && interruptions == 0);
    CHECK(pipe(ends) == 0 && dup2(ends[1], STDERR_FILENO) >= 0);
    for (int i = 0; i < 200; i++) {     /* more than a pipe holds */
        interruptions = 1;
        alarm(60);
        log_line("%2000s", "");
    }
    alarm(0);
    redirect_log(back);
    close(ends[0]);
    close(ends[1]);
}

/* A status line is truncated to its limit, and ends in CRLF all the same. */
static void
test_long_answers(void)
{
    static const struct settings settings = {.idle_seconds = 5};
    static struct session s = {.settings = &settings};
    char text[1000];

    for (size_t length = 480; length < 520; length++) {
        memset(text, 'x', sizeof text);
        text[length] = '\0';
        wire_open(&s.wire, -1, -1);
        reply_ok(&s, "%s", text);
        CHECK(s.wire.out_end <= POP3_STATUS_MAX && s.wire.out_end > 480);
        CHECK(memcmp(s.wire.output, "+OK ", 4) == 0);
        CHECK(memcmp(s.wire.output + s.wire.out_end - 3, "x\r\n", 3) == 0);
        s.wire.out_end = 0;
        s.mistakes = MISTAKES;
        reply_mistake(&s, "%s", text);
        CHECK(s.wire.out_end <= POP3_STATUS_MAX);
        CHECK(memcmp(s.wire.output + s.wire.out_end - 2, "\r\n", 2) == 0);
    }
}

/* What TOP sends, by counting lines in the whole text. */
static size_t
simple_top(const char *text, uint64_t lines)
{
    const char *at = text;
    bool body = false;

    while (*at != '\0' && (!body || lines > 0)) {
        size_t length = strcspn(at, "\n");

        if (body)
            lines--;
        else
            body = at[length] == '\n' && (length == 0 || (length == 1 && *at == '\r'));
        at += length + (at[length] == '\n');
    }
    return (size_t)(at - text);
}

/* The same by the server, which gets the text in pieces that end at two places. */
static size_t
pieces_top(const char *text, uint64_t lines, size_t first, size_t second)
{
    size_t length = strlen(text), ends[3] = {first, second, length}, at = 0;
    struct top top = {.lines = lines};

    for (int i = 0; i < 3; i++) {
        size_t size = ends[i] - at, part = top_part(&top, (const unsigned char *)text + at, size);

        at += part;
        if (part < size)
            break;
    }
    return at;
}

static void
test_top(void)
{
    static const char *const texts[] = {
        "", "\n", "\r\n", "\r", "a", "a\n", "a\n\n", "a\n\nb", "a\n\nb\n", "a\n\nb\nc\nd",
        "a\r\n\r\nb\r\nc\r\n", "a\n\r\nb\n", "a\r\n\nb\n", "a\n\r\rb\n\nc\n", "a\n\r\r\n\nc\nd\n",
        "a\n \nb\n\nc\n", "\n\n\n\n", "\r\n\r\n\r\n", "a\n\r", "a\nb\r", "a\nx\r\n\r\nb\n\n\n",
        "a\r\r\n\r\nb\n", "\r\r\n\nb\nc", "a\n.\n\n.\n..\n"
    };
    int wrong = 0;

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        for (uint64_t lines = 0; lines < 4; lines++)
            for (size_t second = 0; second <= strlen(texts[i]); second++)
                for (size_t first = 0; first <= second; first++)
                    wrong +=
                        pieces_top(texts[i], lines, first, second) != simple_top(texts[i], lines);
    CHECK(wrong == 0);
}

/* ---- Commands -------------------------------------------------------------------------------- */

static void
test_handlers(void)
{
    for (int verb = 0; verb < POP3_VERBS; verb++)
        CHECK(handlers[verb] != NULL);
}

static void
test_same_secret(void)
{
    char longest[SECRET_MAX + 1], longer[SECRET_MAX + 2];

    memset(longest, 'x', sizeof longest);
    memset(longer, 'x', sizeof longer);
    longest[SECRET_MAX] = longer[SECRET_MAX + 1] = '\0';
    CHECK(same_secret("", "") && same_secret("a", "a") && same_secret("a b ", "a b "));
    CHECK(!same_secret("a", "") && !same_secret("", "a") && !same_secret("a", "A"));
    CHECK(!same_secret("a", "aa") && !same_secret("aa", "a") && !same_secret("a ", "a"));
    CHECK(!same_secret("\x80", "\xff"));
    CHECK(same_secret(longest, longest) && !same_secret(longer, longest));
    longest[SECRET_MAX - 1] = 'y';
    CHECK(!same_secret(longer, longest));
}

/* Whatever is typed, each line is answered with lines of at most 512 octets. */
static void
test_answers(void)
{
    static const char *const arguments[] = {
        "",   " 1",   " 9",   " 0",    " 4294967295", " 4294967296", " 99999999999999999999999999",
        " x", " 1 1", " 1 x", " 1 1 1"};
    struct settings settings = {.idle_seconds = 5};
    struct store store = settled_store(2);
    int back = redirect_log(-1);
    char commands[400], word[240];

    memset(word, '%', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    for (int verb = 0; verb <= POP3_VERBS; verb++) {
        for (size_t i = 0; i < sizeof arguments / sizeof *arguments; i++) {
            const char *name = verb < POP3_VERBS ? pop3_commands[verb].name : word, *line;
            size_t length;

            snprintf(commands, sizeof commands, "%s%s\r\n", name, arguments[i]);
            line = strchr(hold_session(&settings, &store, commands), '\n') + 1;
            CHECK(strncmp(line, "+OK ", 4) == 0 || strncmp(line, "-ERR ", 5) == 0);
            for (; *line != '\0'; line += length) {
                length = strcspn(line, "\n") + 1;
                CHECK(length <= POP3_STATUS_MAX && line[length - 2] == '\r');
            }
        }
    }
    redirect_log(back);
    free_store(&store);
}

/*
 * A message's name that a pipe has got is no message, and what waits in the pipe is for another
 * program.
 */
static void
test_pipe_in_place(void)
{
    struct settings settings = {.idle_seconds = 5};
    struct store store = settled_store(2);
    int back = redirect_log(-1), pipe;
    char waits[8] = "";

    CHECK(unlink("store/2") == 0 && mkfifo("store/2", 0600) == 0);
    pipe = open("store/2", O_RDWR | O_NONBLOCK);
    for (int i = 0; i < 2; i++) { /* empty, and not: also while the client is busy with message 1 */
        CHECK(i == 0 || write(pipe, "precious", 8) == 8);
        CHECK(strstr(hold_session(&settings, &store, "RETR 1\r\nRETR 2\r\nQUIT\r\n"),
                     "\r\n-ERR ") != NULL);
        CHECK(hold_session(&settings, &store, "RETR 1\r\n") != NULL);
        CHECK(i == 0 || (read(pipe, waits, 8) == 8 && memcmp(waits, "precious", 8) == 0));
    }
    close(pipe);
    free_store(&store);
    redirect_log(back);
}

/* Sends one command to a session. Returns its answer until the next call. */
static const char *
ask(int socket, const char *command)
{
    static char answer[1000];
    ssize_t length;

    CHECK(write(socket, command, strlen(command)) == (ssize_t)strlen(command));
    length = read(socket, answer, sizeof answer - 1);
    answer[length > 0 ? length : 0] = '\0';
    return answer;
}

/* Starts a session in another process and takes its greeting. Returns the process. */
static pid_t
start_session(const struct store *store, int *socket)
{
    struct settings settings = {.idle_seconds = 5};
    int pair[2];
    pid_t child;

    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    fflush(stdout);
    child = fork();
    if (child == 0)
        _exit(close(pair[0]) != 0 || run_session(&settings, store, pair[1]));
    close(pair[1]);
    *socket = pair[0];
    CHECK(strncmp(ask(*socket, ""), "+OK", 3) == 0);
    return child;
}

/*
 * A message is renamed again after the session found it, and then names change all the time, so
 * that no scan succeeds: the answer is an error, and the log names the message.
 */
static void
test_names_never_rest(void)
{
    struct store store = settled_store(2);
    int back = redirect_log(-1), socket, status = -1;
    pid_t child;

    clock_ahead = 0;
    child = start_session(&store, &socket);
    CHECK(rename("store/1", "store/renamed") == 0);
    CHECK(strncmp(ask(socket, "RETR 1\r\n"), "+OK 6", 5) == 0);
    CHECK(rename("store/renamed", "store/again") == 0);
    write_text("store/restless", "");
    CHECK(strncmp(ask(socket, "RETR 1\r\n"), "-ERR [SYS/TEMP]", 15) == 0);
    close(socket);
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(strstr(logged(), "peer: cannot send 1: ") != NULL);
    redirect_log(back);
    free_store(&store);
}

/* QUIT removes a message that was hidden when the session looked for another one. */
static void
test_back_at_quit(void)
{
    struct store store = settled_store(2);
    int back = redirect_log(-1), socket, status = -1;
    pid_t child = start_session(&store, &socket);

    CHECK(rename("store/1", "store/renamed") == 0 && rename("store/2", "store/.2") == 0);
    CHECK(strncmp(ask(socket, "RETR 1\r\n"), "+OK 6", 5) == 0);
    CHECK(rename("store/.2", "store/2:2,S") == 0);
    CHECK(strncmp(ask(socket, "DELE 2\r\n"), "+OK", 3) == 0);
    CHECK(strncmp(ask(socket, "QUIT\r\n"), "+OK 1", 5) == 0);
    CHECK(access("store/2:2,S", F_OK) != 0);
    close(socket);
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    redirect_log(back);
    free_store(&store);
}

enum { SEEN = 60 };             /* messages that test_flags_at_quit() has */

/* Renames message i from one flag to two. Returns true if it had the one. */
static bool
add_flag(int i)
{
    char from[32], to[32];

    snprintf(from, sizeof from, "store/%d:2,S", i);
    snprintf(to, sizeof to, "store/%d:2,RS", i);
    return rename(from, to) == 0;
}

/* The message behind the first one gets a flag. */
static void
flag_the_next(void)
{
    char name[32];
    int first = 0;

    do
        snprintf(name, sizeof name, "store/%d:2,%s", first / 2, first % 2 == 0 ? "S" : "RS");
    while (access(name, F_OK) != 0 && ++first < 2 * SEEN + 2);
    add_flag(first / 2 + 1);
}

/*
 * Messages get a flag just before QUIT opens them, and far more often than it may scan. The others
 * are removed under the names that the last scan found.
 */
static void
test_flags_at_quit(void)
{
    struct settings settings = {.idle_seconds = 5};
    struct store store = settled_store(SEEN);
    int back = redirect_log(-1);
    char commands[SEEN * 10 + 30] = "", from[32], to[32];

    for (int i = 1; i <= SEEN; i++) {
        snprintf(from, sizeof from, "store/%d", i);
        snprintf(to, sizeof to, "store/%d:2,S", i);
        CHECK(rename(from, to) == 0);
        snprintf(commands + strlen(commands), 20, "DELE %d\r\n", i);
    }
    strcat(commands, "QUIT\r\n");
    at_fstat = flag_the_next;
    CHECK(last_line(hold_session(&settings, &store, commands), "-ERR 2 "));
    at_fstat = NULL;
    redirect_log(back);
    free_store(&store);
}

/* What was read of a file that changed meanwhile is not sent. */
static void
test_changed_while_read(void)
{
    struct settings settings = {.idle_seconds = 5};
    struct store store = settled_store(1);
    int back = redirect_log(-1);

    write_at_read = "store/1";
    CHECK(last_line(hold_session(&settings, &store, "RETR 1\r\n"), "-ERR message 1 is gone or"));
    write_at_read = NULL;
    redirect_log(back);
    free_store(&store);
}

/* A message that was renamed meanwhile is sent, and is removed under its new name. */
static void
test_renamed(void)
{
    struct settings settings = {.idle_seconds = 5};
    struct store store = settled_store(2);
    int back = redirect_log(-1);

    CHECK(rename("store/1", "store/1:2,S") == 0 && rename("store/2", "store/another") == 0);
    CHECK(last_line(hold_session(&settings, &store, "RETR 1\r\nDELE 2\r\nNOOP\r\n"), "+OK"));
    CHECK(strstr(logged(), "retr=1/6 ") != NULL);
    CHECK(last_line(hold_session(&settings, &store, "DELE 1\r\nDELE 2\r\nQUIT\r\n"), "+OK 2"));
    CHECK(access("store/1:2,S", F_OK) != 0 && access("store/another", F_OK) != 0);
    redirect_log(back);
    free_store(&store);
}

/* A client that has gone has not had the answers before: QUIT removes nothing then. */
static void
test_quit_of_the_gone(void)
{
    struct settings settings = {.idle_seconds = 5};
    struct store store = settled_store(2);
    int back = redirect_log(-1), pair[2];

    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    CHECK(write(pair[0], "DELE 1\r\nRETR 2\r\nQUIT\r\n", 22) == 22);
    close_at_read = pair[0];    /* the client goes during RETR */
    CHECK(!run_session(&settings, &store, pair[1]));
    close(pair[1]);
    CHECK(access("store/1", F_OK) == 0 && strstr(logged(), "disconnected") != NULL);
    redirect_log(back);
    free_store(&store);
}

/* Removals are on disk before QUIT is answered, and asked for once. */
static void
test_quit_syncs(void)
{
    struct settings settings = {.idle_seconds = 5};
    struct store store = settled_store(5);
    int back = redirect_log(-1);

    syncs = 0;
    CHECK(last_line(hold_session(&settings, &store, "DELE 1\r\nDELE 2\r\nQUIT\r\n"), "+OK 2"));
    CHECK(syncs == 1);
    CHECK(last_line(hold_session(&settings, &store, "RETR 3\r\nQUIT\r\n"), "+OK 0"));
    CHECK(syncs == 1);                          /* nothing was removed */

    sync_error = EIO;
    CHECK(last_line(hold_session(&settings, &store, "DELE 3\r\nQUIT\r\n"), "-ERR"));
    sync_error = EINVAL;                        /* a file system that cannot be asked */
    CHECK(last_line(hold_session(&settings, &store, "DELE 4\r\nQUIT\r\n"), "+OK 1"));
    sync_error = 0;
    redirect_log(back);
    free_store(&store);
}

/* However long the disk takes, QUIT is answered. */
static void
test_quit_slow(void)
{
    struct settings settings = {.idle_seconds = 5};
    struct store store = settled_store(2);
    int back = redirect_log(-1);

    sync_seconds = 30;
    CHECK(last_line(hold_session(&settings, &store, "DELE 1\r\nQUIT\r\n"), "+OK 1"));
    CHECK(access("store/1", F_OK) != 0);
    sync_seconds = 0;
    redirect_log(back);
    free_store(&store);
}

/* A server that is stopped during QUIT, while a message that was touched is read, completes it. */
static void
test_quit_stopped(void)
{
    static unsigned char text[2 * BLOCK];
    struct settings settings = {.idle_seconds = 5};
    struct store store = settled_store(2);
    int back = redirect_log(-1);

    write_file("store/1", text, sizeof text);
    CHECK(store_refresh(&store) && system("touch -t 202001010000 store/1") == 0);
    catch_signals(false);
    stop_at_read = true;
    CHECK(last_line(hold_session(&settings, &store, "DELE 1\r\nQUIT\r\n"), "+OK 1"));
    CHECK(access("store/1", F_OK) != 0 && stop_asked);
    stop_at_read = false;
    stop_asked = 0;
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    redirect_log(back);
    free_store(&store);
}

/* A server that is stopped while a message that was touched is read says nothing untrue of it. */
static void
test_retr_stopped(void)
{
    struct settings settings = {.idle_seconds = 5};
    struct store store = settled_store(1);
    int back = redirect_log(-1);

    CHECK(system("touch -t 202001010000 store/1") == 0);
    catch_signals(false);
    stop_at_read = true;
    CHECK(last_line(hold_session(&settings, &store, "RETR 1\r\n"), "-ERR [SYS/TEMP]"));
    CHECK(stop_asked && !*store.stale);
    stop_at_read = false;
    stop_asked = 0;
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    redirect_log(back);
    free_store(&store);
}

/* A client that sends more than the wire holds, and no line, gets its answer and then the end. */
static void
test_long_hello(void)
{
    static char hello[WIRE_INPUT + 1000] = {0x16};
    struct settings settings = {.idle_seconds = 5};
    struct store store = settled_store(1);
    int back = redirect_log(-1), pair[2];
    char answer[1000] = "";
    ssize_t length;

    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    CHECK(write(pair[0], hello, sizeof hello) == (ssize_t)sizeof hello);
    shutdown(pair[0], SHUT_WR);
    CHECK(!run_session(&settings, &store, pair[1]));
    close(pair[1]);
    length = read(pair[0], answer, sizeof answer - 1);
    CHECK(length > 0 && last_line(answer, "-ERR this is a POP3 server; it does not speak TLS"));
    CHECK(read(pair[0], answer, sizeof answer) == 0);   /* and no ECONNRESET */
    close(pair[0]);
    redirect_log(back);
    free_store(&store);
}

/* ---- A session's time ------------------------------------------------------------------------ */

enum slow { SILENT, BUSY, LOGGED_IN };

/*
 * A client of a server whose clock goes 100 times as fast. Once logged in it says nothing for 130
 * seconds of that clock. Else it waits for the server to close, in silence or with an octet in
 * each tenth of a second, so that its server never waits for long.
 */
static _Noreturn void
slow_client(int socket, enum slow kind)
{
    char answers[1000];
    ssize_t length = 0, count;

    alarm(60);                  /* not for ever, whatever becomes of the test */
    while (kind == BUSY && write(socket, "x", 1) == 1)
        pause_ms(1);
    if (kind == LOGGED_IN) {
        pause_ms(700);
        pause_ms(700);
        if (write(socket, "STAT\r\nQUIT\r\n", 12) < 0)
            _exit(2);
        shutdown(socket, SHUT_WR);
    }
    while ((count = read(socket, answers + length, sizeof answers - 1 - (size_t)length)) > 0)
        length += count;
    answers[length] = '\0';
    _exit(strstr(answers, "+OK 1 6") != NULL ? 0 : 3);
}

/*
 * Before the login a session has a minute, however little it is idle; after it, all of its idle
 * time.
 */
static void
test_login_deadline(void)
{
    struct settings settings = {
        .idle_seconds = 600, .passfile = "x", .name = "me", .password = "secret"};
    struct store store = settled_store(1);

    for (enum slow kind = SILENT; kind <= LOGGED_IN; kind++) {
        const char *login = kind == LOGGED_IN ? "USER me\r\nPASS secret\r\n" : "USER me\r\n";
        int pair[2], status = -1, back = redirect_log(-1);
        pid_t client;

        CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
        CHECK(write(pair[0], login, strlen(login)) == (ssize_t)strlen(login));
        fflush(stdout);
        client = fork();
        if (client == 0) {
            close(pair[1]);
            slow_client(pair[0], kind);
        }
        close(pair[0]);
        clock_gettime(CLOCK_MONOTONIC, &clock_from);
        clock_speed = 100;
        CHECK(!run_session(&settings, &store, pair[1]));
        clock_speed = 1;
        close(pair[1]);
        CHECK(waitpid(client, &status, 0) == client);
        CHECK((status == 0) == (kind == LOGGED_IN));
        CHECK((strstr(logged(), "no login in time") != NULL) == (kind != LOGGED_IN));
        redirect_log(back);
    }
    free_store(&store);
}

/* ---- Connections ----------------------------------------------------------------------------- */

/* Takes a place for a session from an address. Returns true if there was one. */
static bool
place_taken(struct server *server, const char *address)
{
    struct child child = {.pid = 1};
    union address from;

    CHECK(address_read(&from, address, (uint16_t)(1024 + server->live)) > 0);
    peer_text(child.peer, &from, false);
    if (too_many(server, child.peer) != NULL)
        return false;
    server->children[server->live++] = child;
    return true;
}

/*
 * One address beyond loopback holds a quarter of the sessions at most; this machine as many as
 * there are.
 */
static void
test_places(void)
{
    struct settings settings = {.sessions = 16};
    struct child children[16] = {{0}};
    struct server server = {.settings = &settings, .children = children};

    for (int i = 0; i < 5; i++) {
        CHECK(place_taken(&server, "192.0.2.1") == (i < 4));
        CHECK(place_taken(&server, "2001:db8::1") == (i < 4));
    }
    CHECK(place_taken(&server, "192.0.2.2"));
    CHECK(place_taken(&server, "2001:db8::2"));
    for (int i = 0; i < 6; i++)
        CHECK(place_taken(&server, i % 2 == 0 ? "127.0.0.1" : "::1"));
    CHECK(server.live == 16);
    CHECK(!place_taken(&server, "127.0.0.1"));
    CHECK(!place_taken(&server, "192.0.2.3"));

    settings.sessions = 2;      /* the least that an address gets is one */
    memset(children, 0, sizeof children);
    server.live = 0;
    CHECK(place_taken(&server, "192.0.2.1"));
    CHECK(!place_taken(&server, "192.0.2.1"));
    CHECK(place_taken(&server, "192.0.2.2"));
}

static void
test_loopback(void)
{
    static const struct { const char *address; bool loopback;
    } cases[] = {{"127.0.0.1", true},
                 {"127.255.255.255", true},
                 {"126.255.255.255", false},
                 {"128.0.0.0", false},
                 {"0.0.0.0", false},
                 {"::1", true},
                 {"::", false},
                 {"::2", false},
                 {"fe80::1", false},
                 {"::1:1", false},
                 {"12.7.0.1", false}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        union address address;
        char peer[PEER_TEXT];

        CHECK(address_read(&address, cases[i].address, 5000) > 0);
        peer_text(peer, &address, false);
        CHECK(is_loopback(cases[i].address) == cases[i].loopback);
        CHECK(is_loopback(peer) == cases[i].loopback);
    }
}

/* Addresses in digits, as they are read and as they are written. */
static void
test_addresses(void)
{
    static const struct { const char *text, *peer;
    } cases[] = {{"127.0.0.1", "127.0.0.1:5000"},
                 {"0.0.0.0", "0.0.0.0:5000"},
                 {"255.255.255.255", "255.255.255.255:5000"},
                 {"::", "[::]:5000"},
                 {"::1", "[::1]:5000"},
                 {"2001:DB8:0:0::1", "[2001:db8::1]:5000"},
                 {"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
                  "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:5000"}};
    static const char *const none[] = {
        "",
        "localhost",
        "127.0.0",
        "127.0.0.1.1",
        "256.0.0.1",
        "127.0.0.1 ",
        "127.0.0.1%1",
        "::1::",
        "::g",
        "[::1]",
        "::1%",
        "fe80::1%1",
        "%1",
        "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000"};
    union address address;
    char text[PEER_TEXT];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK(address_read(&address, cases[i].text, 5000) > 0);
        peer_text(text, &address, false);
        CHECK(strcmp(text, cases[i].peer) == 0);
    }
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        CHECK(address_read(&address, none[i], 0) == 0);
    address.any.sa_family = AF_UNIX;
    peer_text(text, &address, false);
    CHECK(strcmp(text, "standard input") == 0);
    CHECK(setenv("REMOTE_HOST", "mail.example.org", 1) == 0);
    peer_text(text, &address, true);
    CHECK(strcmp(text, "mail.example.org (from REMOTE_HOST)") == 0);
    CHECK(address_read(&address, "192.0.2.1", 9) > 0); /* the client itself is at the other end */
    peer_text(text, &address, true);
    CHECK(strcmp(text, "192.0.2.1:9") == 0);
    unsetenv("REMOTE_HOST");
}

/*
 * A session that takes its time to end, as one in QUIT does, is waited for, whenever the signal
 * to stop came.
 */
static void
test_stop_waits(void)
{
    int status = -1;
    pid_t pid;

    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        struct settings settings = {.sessions = 1};
        struct child child = {.pid = 0};
        struct server server = {
            .settings = &settings, .store = new_store(), .children = &child, .live = 1};

        redirect_log(-1);
        catch_signals(false);
        child.pid = fork();
        if (child.pid == 0) {
            const struct timespec while_removing = {.tv_sec = 0, .tv_nsec = 200 * 1000 * 1000};

            alarm(60);          /* not for ever, whatever becomes of the test */
            while (!stop_asked)
                continue;
            nanosleep(&while_removing, NULL);
            _exit(0);
        }
        raise(SIGTERM);         /* as if it came while a connection was accepted */
        serve_connections(&server);
        _exit(server.live == 0 ? 0 : 1);
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void
run_cases(void)
{
    unit_case("the log shows control characters escaped", test_log);
    unit_case("the log when signals come", test_log_interrupted);
    unit_case("a status line has an end", test_long_answers);
    unit_case("TOP in pieces", test_top);
    unit_case("each command has a handler", test_handlers);
    unit_case("secrets are compared", test_same_secret);
    unit_case("every command is answered", test_answers);
    unit_case("a FIFO in a message's place", test_pipe_in_place);
    unit_case("a message that is back at QUIT", test_back_at_quit);
    unit_case("a message that changes while it is read", test_changed_while_read);
    unit_case("a message that was renamed", test_renamed);
    unit_case("messages that get flags during QUIT", test_flags_at_quit);
#ifndef WHOLE_SECONDS            /* with bsd.h: then no scan sees that names change */
    unit_case("names that change all the time", test_names_never_rest);
#endif
    unit_case("QUIT from a client that has gone", test_quit_of_the_gone);
    unit_case("QUIT has removals written to disk", test_quit_syncs);
    unit_case("QUIT is answered when the disk is slow", test_quit_slow);
    unit_case("QUIT is completed when the server stops", test_quit_stopped);
    unit_case("RETR when the server stops", test_retr_stopped);
    unit_case("a long TLS hello", test_long_hello);
    unit_case("a login has its time", test_login_deadline);
    unit_case("a place for a session", test_places);
    unit_case("what loopback is", test_loopback);
    unit_case("numeric addresses", test_addresses);
    unit_case("a server that stops waits for its sessions", test_stop_waits);
}

int
main(void)
{
    return run_in_directory(run_cases);
}
