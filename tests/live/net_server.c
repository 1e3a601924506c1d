/*
 * net_server.c - the server as its clients meet it: ports, signals, many at once, slow, rude or gone, and a
 * store that changes meanwhile
 *
 *   net_server              runs every test
 *   net_server WORD...      those with one of these words in their name
 *
 * SERVER names the program under test (./server if it is not set). All goes over loopback, to ports that the
 * kernel chose. What a conversation of tests/server/ can show is not tested here again.
 *
 * Each test is a process with a directory of its own, in which it starts its servers on a store that is
 * called store; several run at once, since most of what they do is wait. A test ends at the first thing that
 * is not as it should be. Nothing waits for a while and hopes: what must come is waited for with patience,
 * and found wanting only when that is over.
 */
#define _XOPEN_SOURCE 700       /* all the rest, mkdtemp and nftw included */
#define _DEFAULT_SOURCE 1       /* and syscall */

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif

enum {
    PATIENCE = 10 * 1000,       /* milliseconds in which anything must come */
    AT_ONCE = 6,                /* tests that run at the same time */
    SKIPPED = 77,               /* as the status of a test */
    MIB = 1024 * 1024
};

/* ---- Verdicts and waiting ---------------------------------------------------------------------------- */

/* Ends this test. What is printed before the end is shown when it failed. */
static _Noreturn void __attribute__((format(printf, 1, 2)))
fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    exit(1);
}

static _Noreturn void
skip(const char *why)
{
    puts(why);
    exit(SKIPPED);
}

#define check(condition) \
    ((condition) ? (void)0 : fail("line %d: this is not so: %s", __LINE__, #condition))

/* Waits until a condition holds that no descriptor tells of. */
#define await(condition) \
    do { \
        int64_t until = clock_ms() + PATIENCE; \
        while (!(condition)) { \
            if (clock_ms() > until) \
                fail("line %d: this did not come: %s", __LINE__, #condition); \
            poll(NULL, 0, 2); \
        } \
    } while (0)

static int64_t
clock_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- Files ------------------------------------------------------------------------------------------- */

/* Writes a text to a file in place: a file that is there keeps its inode. */
static void
put(const char *path, const char *text)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    size_t length = strlen(text);

    check(file >= 0 && write(file, text, length) == (ssize_t)length && close(file) == 0);
}

/* Writes a message as a program does that delivers mail: complete, then under its name. */
static void
deliver(const char *name, const char *text)
{
    char path[256];

    snprintf(path, sizeof path, "store/%s", name);
    put("store/.new", text);
    check(rename("store/.new", path) == 0);
}

/* Makes the store with messages 1 to count. Message n has 30 octets on the wire, and n as its body. */
static void
make_store(int count)
{
    char path[64], text[64];

    check(mkdir("store", 0755) == 0);
    for (int i = 1; i <= count; i++) {
        snprintf(path, sizeof path, "store/%d", i);
        snprintf(text, sizeof text, "Subject: message\n\n%08d\n", i);
        put(path, text);
    }
}

/* Makes a file of that many octets, in lines of 64 with their line end, each of them different. */
static void
make_big(const char *path, size_t octets)
{
    FILE *file = fopen(path, "w");

    check(file != NULL);
    for (size_t line = 0; line < octets / 64; line++)
        fprintf(file, "%063zu\n", line);
    check(fclose(file) == 0);
}

static bool
exists(const char *path)
{
    struct stat status;

    return lstat(path, &status) == 0;
}

/* Returns all of a file, with a NUL behind it, to be freed. */
static char *
slurp(const char *path)
{
    int file = open(path, O_RDONLY);
    size_t length = 0, room = 4096;
    char *text = malloc(room + 1);
    ssize_t count;

    check(file >= 0 && text != NULL);
    while ((count = read(file, text + length, room - length)) > 0) {
        length += (size_t)count;
        if (length == room) {
            room *= 2;
            text = realloc(text, room + 1);
            check(text != NULL);
        }
    }
    check(count == 0);
    close(file);
    text[length] = '\0';
    return text;
}

static bool
file_empty(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 && status.st_size == 0;
}

/* Says whether a text is somewhere in a file. */
static bool
file_has(const char *path, const char *wanted)
{
    char *text = slurp(path);
    bool found = strstr(text, wanted) != NULL;

    free(text);
    return found;
}

static bool
log_has(const char *wanted)
{
    return file_has("log", wanted);
}

/* Says whether a file holds printable characters and line ends alone. */
static bool
printable(const char *path)
{
    char *text = slurp(path);
    bool good = true;

    for (const char *p = text; *p != '\0'; p++)
        good = good && (*p == '\n' || (*p >= ' ' && *p <= '~'));
    free(text);
    return good;
}

static int
remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    remove(path);
    return 0;
}

static void
remove_tree(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- Servers ----------------------------------------------------------------------------------------- */

enum { ADDRESSES = 4 };

struct server {
    pid_t pid;
    int out;                    /* its standard output */
    int count;                  /* of addresses */
    char address[ADDRESSES][64], port[ADDRESSES][8];
};

/* Writes an address and a port as sockets have them. Returns the size of it. */
static socklen_t
socket_address(struct sockaddr_storage *to, const char *address, const char *port)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)to;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)to;

    memset(to, 0, sizeof *to);
    if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)atoi(port));
        return sizeof *v4;
    }
    check(inet_pton(AF_INET6, address, &v6->sin6_addr) == 1);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons((uint16_t)atoi(port));
    return sizeof *v6;
}

/* Returns a socket that listens on a free port of an address, or -1, and in *port which one it is. */
static int
occupy(const char *address, char port[8])
{
    struct sockaddr_storage at;
    socklen_t size = socket_address(&at, address, "0");
    int fd = socket(at.ss_family, SOCK_STREAM, 0);

    if (fd >= 0 && (bind(fd, (struct sockaddr *)&at, size) != 0 || listen(fd, 1) != 0)) {
        close(fd);
        return -1;
    }
    if (fd >= 0 && getsockname(fd, (struct sockaddr *)&at, &size) == 0)     /* at the same place in both */
        snprintf(port, 8, "%d", ntohs(((struct sockaddr_in *)&at)->sin_port));
    return fd;
}

/* Says whether this machine has ::1. */
static bool
has_ipv6(void)
{
    char port[8];
    int fd = occupy("::1", port);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* Becomes the server, with options that are separated by blanks. */
static _Noreturn void
exec_server(const char *options)
{
    char words[1024], *argv[64], *rest = NULL;
    int argc = 0;

    snprintf(words, sizeof words, "%s", options);
    argv[argc++] = getenv("SERVER");
    for (char *word = strtok_r(words, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest))
        if (argc < 63)
            argv[argc++] = word;
    argv[argc] = NULL;
    execv(argv[0], argv);
    perror(argv[0]);
    _exit(127);
}

/* Replaces a descriptor by a file. */
static void
redirect(int fd, const char *path, int flags)
{
    int file = open(path, flags, 0644);

    if (file < 0 || dup2(file, fd) != fd)
        _exit(127);
    close(file);
}

/* Waits for a process to end, and returns its status as a shell has it. */
static int
wait_for(pid_t pid)
{
    int status;

    await(waitpid(pid, &status, WNOHANG) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Runs the server to its end, with its output in the files out and err. Returns its status. */
static int
run_server(const char *options)
{
    pid_t pid = fork();

    if (pid == 0) {
        redirect(0, exists("in") ? "in" : "/dev/null", O_RDONLY);
        redirect(1, "out", O_WRONLY | O_CREAT | O_TRUNC);
        redirect(2, "err", O_WRONLY | O_CREAT | O_TRUNC);
        exec_server(options);
    }
    check(pid > 0);
    return wait_for(pid);
}

/* Returns how many addresses a server with these options listens on. */
static int
count_addresses(const char *options)
{
    int count = 0;

    for (const char *p = options; (p = strstr(p, "-a ")) != NULL; p++)
        count++;
    return count > 0 ? count : has_ipv6() ? 2 : 1;
}

/* Starts a server, its standard error added to the file log, and waits until it says where it listens. */
static struct server
start_server(const char *options)
{
    struct server s = {.count = count_addresses(options)};
    char text[1024] = "", *line = text;
    size_t length = 0;
    int lines = 0, out[2];

    check(pipe(out) == 0);
    s.pid = fork();
    if (s.pid == 0) {
        redirect(0, "/dev/null", O_RDONLY);
        redirect(2, "log", O_WRONLY | O_CREAT | O_APPEND);
        dup2(out[1], 1);
        close(out[0]);
        close(out[1]);
        exec_server(options);
    }
    check(s.pid > 0);
    close(out[1]);
    s.out = out[0];
    while (lines < s.count) {
        struct pollfd ready = {.fd = s.out, .events = POLLIN};
        ssize_t count;

        check(poll(&ready, 1, PATIENCE) == 1);
        count = read(s.out, text + length, sizeof text - 1 - length);
        check(count > 0);
        for (; count > 0; count--)
            lines += text[length++] == '\n';
    }
    for (int i = 0; i < s.count; i++) {
        int used = -1;

        check(sscanf(line, "listening on %63s port %7[0-9]%n", s.address[i], s.port[i], &used) == 2);
        check(used > 0 && line[used] == '\n');
        line += used + 1;
    }
    check(*line == '\0');
    return s;
}

/* Tells a server to stop. It must do so with status 0, having said no more on its standard output. */
static void
stop_server(struct server *s)
{
    struct pollfd ready = {.fd = s->out, .events = POLLIN};
    char more;

    kill(s->pid, SIGTERM);
    check(wait_for(s->pid) == 0);
    check(poll(&ready, 1, PATIENCE) == 1 && read(s->out, &more, 1) == 0);
    close(s->out);
}

/* ---- Clients ----------------------------------------------------------------------------------------- */

struct client {
    int fd;
    char *text;                 /* what came; start to end of it is not looked at yet */
    size_t start, end, room;
    bool over;                  /* nothing more comes, because of: */
    int error;                  /* 0: the server closed */
};

/* Returns a connection, or -1. Its buffer for what comes is as small as that if it is not 0. */
static int
connect_socket(const char *address, const char *port, int receive_buffer)
{
    struct sockaddr_storage to;
    socklen_t size = socket_address(&to, address, port);
    int fd = socket(to.ss_family, SOCK_STREAM, 0);
    const int on = 1;

    check(fd >= 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);     /* commands go in pieces, and none is to wait */
    if (receive_buffer > 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    if (connect(fd, (struct sockaddr *)&to, size) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Connects to the server's first address. The greeting is still to be read. */
static struct client
connect_to(const struct server *s)
{
    struct client c = {.fd = connect_socket(s->address[0], s->port[0], 0)};

    check(c.fd >= 0);
    return c;
}

/* The same, with as little room for what the server sends as there can be. */
static struct client
connect_narrow(const struct server *s)
{
    struct client c = {.fd = connect_socket(s->address[0], s->port[0], 4096)};

    check(c.fd >= 0);
    return c;
}

static void
hang_up(struct client *c)
{
    close(c->fd);
    free(c->text);
    c->text = NULL;
    c->start = c->end = c->room = 0;
}

/* Breaks a connection: the server gets a reset, as from a machine that lost its memory. */
static void
reset(struct client *c)
{
    const struct linger now = {.l_onoff = 1, .l_linger = 0};

    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    hang_up(c);
}

/* Takes up to most octets of what has come. Returns false when nothing more will. */
static bool
take(struct client *c, size_t most)
{
    ssize_t count;

    if (c->start > 0 && c->start == c->end)
        c->start = c->end = 0;
    if (c->room - c->end < most + 1) {
        c->room = c->room * 2 + most + 1;
        c->text = realloc(c->text, c->room);
        check(c->text != NULL);
    }
    count = recv(c->fd, c->text + c->end, most, 0);
    if (count <= 0) {
        c->over = true;
        c->error = count < 0 ? errno : 0;
        return false;
    }
    c->end += (size_t)count;
    return true;
}

/* Waits for something to come. Returns false when nothing more will. */
static bool
receive(struct client *c)
{
    struct pollfd ready = {.fd = c->fd, .events = POLLIN};

    if (poll(&ready, 1, PATIENCE) != 1)
        fail("nothing came, after: %.*s", (int)(c->end < 300 ? c->end : 300), c->text != NULL ? c->text : "");
    return take(c, 64 * 1024);
}

/* Sends all of a text, taking in meanwhile what comes. A connection that has ended takes no more. */
static void
send_text(struct client *c, const char *text)
{
    size_t left = strlen(text);

    while (left > 0) {
        struct pollfd ready = {.fd = c->fd, .events = POLLIN | POLLOUT};
        ssize_t count = send(c->fd, text, left, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (count > 0) {
            text += count;
            left -= (size_t)count;
            continue;
        }
        if (errno != EAGAIN && errno != EWOULDBLOCK)
            return;
        check(poll(&ready, 1, PATIENCE) == 1);
        if ((ready.revents & POLLIN) != 0 && !take(c, 64 * 1024))
            return;
    }
}

/* Returns the next line, without its line end, until the next call. NULL: the connection ended. */
static char *
next_line(struct client *c)
{
    for (;;) {
        size_t have = c->end - c->start;
        char *line = have > 0 ? c->text + c->start : NULL;
        char *lf = have > 0 ? memchr(line, '\n', have) : NULL;

        if (lf != NULL) {
            c->start = (size_t)(lf - c->text) + 1;
            check(lf > line && lf[-1] == '\r');
            lf[-1] = '\0';
            return line;
        }
        if (!receive(c))
            return NULL;
    }
}

/* Says whether a line is the wanted one, which may end in * for whatever follows. */
static bool
matches(const char *line, const char *wanted)
{
    size_t length = strlen(wanted);

    if (length > 0 && wanted[length - 1] == '*')
        return strncmp(line, wanted, length - 1) == 0;
    return strcmp(line, wanted) == 0;
}

/* The next line must be this one. */
static void
expect(struct client *c, const char *wanted)
{
    const char *line = next_line(c);

    if (line == NULL)
        fail("wanted: %s, but the connection ended (%s)", wanted, strerror(c->error));
    if (!matches(line, wanted))
        fail("wanted: %s, but got: %.200s", wanted, line);
}

/* Sends a command, and wants that answer. */
static void
ask(struct client *c, const char *command, const char *wanted)
{
    send_text(c, command);
    send_text(c, "\r\n");
    expect(c, wanted);
}

/* Connects and takes the greeting. */
static struct client
greeted(const struct server *s)
{
    struct client c = connect_to(s);

    expect(&c, "+OK*");
    return c;
}

/* Takes all that comes until the end of the connection. Returns how many octets that were. */
static size_t
take_rest(struct client *c)
{
    while (receive(c))
        continue;
    return c->end - c->start;
}

/* Nothing may come but the end: closed, as the server does it on purpose. */
static void
expect_end(struct client *c)
{
    if (take_rest(c) > 0)
        fail("wanted nothing more, but got: %.*s", (int)(c->end - c->start), c->text + c->start);
    if (c->error != 0)
        fail("the connection was not closed in order: %s", strerror(c->error));
    hang_up(c);
}

static void
quit(struct client *c)
{
    ask(c, "QUIT", "+OK*");
    expect_end(c);
}

/* Takes the lines up to the lone dot, and returns them as they came but for the first dot, to be freed. */
static char *
take_body(struct client *c)
{
    size_t length = 0, room = 4096;
    char *body = malloc(room);

    for (;;) {
        const char *line = next_line(c);
        size_t size;

        check(line != NULL && body != NULL);
        if (strcmp(line, ".") == 0)
            break;
        line += *line == '.';
        size = strlen(line);
        if (room - length < size + 3) {
            room = room * 2 + size;
            body = realloc(body, room);
            check(body != NULL);
        }
        memcpy(body + length, line, size);
        memcpy(body + length + size, "\r\n", 2);
        length += size + 2;
    }
    body[length] = '\0';
    return body;
}

/* The lines up to the lone dot must be these. */
static void
expect_body(struct client *c, const char *wanted)
{
    char *body = take_body(c);

    if (strcmp(body, wanted) != 0)
        fail("wanted: %.200s, but got: %.200s", wanted, body);
    free(body);
}

/* RETR of a message that make_store made. */
static void
expect_message(struct client *c, int n)
{
    char wanted[64];

    expect(c, "+OK 30 octets*");
    snprintf(wanted, sizeof wanted, "Subject: message\r\n\r\n%08d\r\n", n);
    expect_body(c, wanted);
}

/* ---- What the system knows of processes (Linux) ------------------------------------------------------ */

static bool
has_proc(void)
{
    return exists("/proc/self/stat") && exists("/proc/self/fd");
}

/* Finds the children of a process, up to 300 of them. Returns how many, and in *zombies how many are dead. */
static int
find_children(pid_t parent, pid_t *children, int *zombies)
{
    DIR *directory = opendir("/proc");
    struct dirent *entry;
    int count = 0;

    check(directory != NULL);
    *zombies = 0;
    while ((entry = readdir(directory)) != NULL) {
        char path[300], text[512];
        const char *p;
        FILE *file;
        int of;
        char state;

        snprintf(path, sizeof path, "/proc/%s/stat", entry->d_name);
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9' || (file = fopen(path, "r")) == NULL)
            continue;
        if (fgets(text, sizeof text, file) != NULL && (p = strrchr(text, ')')) != NULL &&
            sscanf(p + 1, " %c %d", &state, &of) == 2 && of == parent && count < 300) {
            children[count++] = (pid_t)atoi(entry->d_name);
            *zombies += state == 'Z';
        }
        fclose(file);
    }
    closedir(directory);
    return count;
}

static int
count_children(pid_t parent)
{
    pid_t children[300];
    int zombies;

    return find_children(parent, children, &zombies);
}

/* Returns the process of the only session that a server has. */
static pid_t
only_session(const struct server *s)
{
    pid_t children[300];
    int zombies;

    check(find_children(s->pid, children, &zombies) == 1);
    return children[0];
}

/* Returns how many descriptors of a process lead to something whose name begins in this way. */
static int
count_open(pid_t pid, const char *kind)
{
    char path[300], target[300];
    DIR *directory;
    struct dirent *entry;
    int count = 0;

    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    directory = opendir(path);
    check(directory != NULL);
    while ((entry = readdir(directory)) != NULL) {
        ssize_t length;

        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/%d/fd/%s", (int)pid, entry->d_name);
        length = readlink(path, target, sizeof target - 1);
        if (length > 0) {
            target[length] = '\0';
            count += strncmp(target, kind, strlen(kind)) == 0;
        }
    }
    closedir(directory);
    return count;
}

/* Returns a number of kilobytes from /proc/PID/status. */
static long
memory(pid_t pid, const char *field)
{
    char path[64], *text;
    const char *found;
    long kilobytes;

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    text = slurp(path);
    found = strstr(text, field);
    check(found != NULL);
    kilobytes = atol(found + strlen(field));
    free(text);
    return kilobytes;
}

/* ---- The command line -------------------------------------------------------------------------------- */

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

/* Each is refused with status 2, nothing on standard output, and a reason that names the culprit. */
static void
test_misuse(void)
{
    static const struct { const char *options, *named; } cases[] = {
        {"-z", "-z"}, {"-zi", "z"}, {"--nonsense", "--nonsense"}, {"5000 5001", "5001"}, {"65536", "65536"},
        {"4294967296", "4294967296"}, {"x", "x"}, {"1x", "1x"}, {"+1", "+1"}, {"0x10", "0x10"}, {"-1", "1"},
        {"pop3", "pop3"}, {"-n 0", "-n"}, {"-n x", "x"}, {"-n -3", "-3"}, {"-n 99999999999999999999", "-n"},
        {"-n", "-n"}, {"-t 0", "-t"}, {"-t 1s", "1s"}, {"-t", "-t"}, {"-a", "-a"},
        {"-a localhost", "localhost"}, {"-a 127.0.0.256", "127.0.0.256"}, {"-a ::g", "::g"}, {"-a *", "*"},
        {"-d", "-d"}, {"-p", "-p"},
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
    close(fd);
    if (has_ipv6()) {                           /* one of the two is enough to fail */
        fd = occupy("::1", port);
        snprintf(options, sizeof options, "-d store %s", port);
        check(run_server(options) == 1);
        check(file_has("err", port) && !file_has("out", "listening"));
        close(fd);
    }
    check(run_server("-d store -a 192.0.2.1 0") == 1);      /* nobody's address, RFC 5737 */
    check(file_has("err", "192.0.2.1"));
}

/* A port that is named is the one, at once also after another server had it. */
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
    s = start_server("-d store 00");            /* zero, however it is spelled */
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

/* ---- The log ----------------------------------------------------------------------------------------- */

static void
test_log_of_the_store(void)
{
    struct server s;

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
    snprintf(text, sizeof text, "%.*s%d%s", (int)(mark - format), format, ntohs(address.sin_port), mark + 2);
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
    snprintf(end, sizeof end, "%s", with_port("127.0.0.1:%d: quit retr=2/60 top=1 del=1 left=3", &c));
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
    snprintf(end, sizeof end, "%s", with_port("127.0.0.1:%d: disconnected retr=0/0 top=0 del=0 left=3", &c));
    ask(&c, "DELE 1", "+OK*");
    hang_up(&c);
    await(log_has(end));
    stop_server(&s);
}

/* What strangers send is shown without effect on the terminal, and what follows PASS is not shown at all. */
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

/* A log that nobody reads loses lines; it holds nobody up. */
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

/* ---- The login --------------------------------------------------------------------------------------- */

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
        if (i == 0) {                           /* the others need not wait */
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

/* ---- Sessions ---------------------------------------------------------------------------------------- */

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

/* Two clients remove the same message: both are told that it is gone. */
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
change_in_place(const char *path)
{
    put(path, "Subject: massage\n\n00000000\n");
}

static void
change_with_times(const char *path)
{
    struct stat before;
    struct timespec times[2];

    check(stat(path, &before) == 0);
    change_in_place(path);
    times[0] = before.st_atim;
    times[1] = before.st_mtim;
    check(utimensat(AT_FDCWD, path, times, 0) == 0);
}

static void
change_by_rename(const char *path)
{
    put("store/.new", "Subject: message\n\n00000000\n");
    check(rename("store/.new", path) == 0);
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

static void
change_to_directory(const char *path)
{
    check(unlink(path) == 0 && mkdir(path, 0755) == 0);
}

/* What was changed in the middle of a session is refused, and QUIT does not remove what nobody has seen. */
static void
test_changed(void)
{
    static void (*const changes[])(const char *) = {
        change_in_place, change_with_times, change_by_rename, change_kind, change_length, change_to_directory
    };
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
        ask(&c, "RETR 1", "-ERR*");
        ask(&c, "TOP 1 0", "-ERR*");
        ask(&c, "LIST 1", "+OK 1 30");
        send_text(&c, "RETR 2\r\n");
        expect_message(&c, 2);
        ask(&c, "DELE 1", "+OK*");
        ask(&c, "QUIT", "-ERR*");
        check(exists("store/1"));
        expect_end(&c);
    }
    check(exists("store/2"));
    stop_server(&s);
}

/* Marked and removed by somebody else counts as removed; changed stays; the third goes all the same. */
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
    ask(&c, "QUIT", "-ERR*");
    expect_end(&c);
    check(exists("store/2") && !exists("store/3") && exists("store/4"));
    await(log_has("quit retr=0/0 top=0 del=2 left=2"));
    stop_server(&s);
}

/* ---- A message that changes on its way --------------------------------------------------------------- */

static void
cut_short(void)
{
    check(truncate("store/big", 1000) == 0);
}

static void
lengthen(void)
{
    FILE *file = fopen("store/big", "a");

    check(file != NULL && fputs("more\n", file) >= 0 && fclose(file) == 0);
}

/* Changes octets at the start, which have been sent, and puts the time back. */
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

/* RETR of a message that is longer than all buffers together, which changes while it is on its way. */
static void
change_on_the_way(void (*change)(void))
{
    struct server s;
    struct client c;

    make_store(0);
    make_big("store/big", 16 * MIB);
    put("store/later", "x\n");
    s = start_server("-d store 0");
    c = connect_narrow(&s);
    expect(&c, "+OK*");
    ask(&c, "DELE 2", "+OK*");
    ask(&c, "RETR 1", "+OK 17039360 octets*");
    check(receive(&c));
    change();
    send_text(&c, "QUIT\r\n");
    take_rest(&c);
    c.text[c.end] = '\0';
    check(strstr(c.text + c.start, "\r\n.\r\n") == NULL);
    hang_up(&c);
    await(log_has("error"));
    check(log_has("retr=0/0 top=0 del=0 left=2"));
    check(exists("store/later"));
    c = greeted(&s);
    quit(&c);
    stop_server(&s);
}

/* Removed on its way, or given another name, a message is what it was: it arrives whole. */
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
    change_on_the_way(cut_short);
}

static void
test_lengthened(void)
{
    change_on_the_way(lengthen);
}

static void
test_scribbled(void)
{
    change_on_the_way(scribble);
}

/* ---- Signals, and sessions that die ------------------------------------------------------------------ */

/* The server stops with 0, the port is closed, and what was marked is still there. */
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
    close(s.out);
}

static void
test_stop(void)
{
    make_store(2);
    stop_by(SIGTERM);
    stop_by(SIGINT);
}

/* A session that is busy sending to a client that takes nothing is stopped as well. */
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

/* So is one that always has something to read, and nothing to answer: a line that does not end. */
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

/*
 * Who is inside QUIT gets it done and answered. The second message is new and so long that the server,
 * which compares it once more before it goes, needs a while for that: the signal comes in between.
 */
static void
test_stop_in_quit(void)
{
    struct server s;
    struct client c;

    make_store(3);
    check(truncate("store/2", 64 * MIB) == 0);
    s = start_server("-d store 0");
    c = greeted(&s);
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

/* A session that is killed, or hangs, is nobody's business but its client's. */
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
    await(log_has("killed"));
    stop_server(&s);
}

/* The server itself is killed: the session that is left holds no port, and a new server can have it. */
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

/* A socket that -i is given belongs to who gives it, and may be read on behind the session: it is left as it was. */
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

/* Says whether this system closes a range of descriptors, as Linux does from 5.9 on. */
static bool
can_close_range(void)
{
#ifdef SYS_close_range
    return syscall(SYS_close_range, INT_MAX, INT_MAX, 0) == 0;
#else
    return false;
#endif
}

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
    fcntl(open(".", O_RDONLY), F_DUPFD, 1000);  /* what is left open in whoever starts it is not a session's */
    s = start_server("-d store 0");
    a = greeted(&s);
    pid = only_session(&s);
    ask(&a, "RETR 1", "+OK*");
    free(take_body(&a));
    ask(&a, "NOOP", "+OK*");                    /* it may send before it closes the message */
    check(count_open(pid, "socket:") == 1);
    check(count_open(pid, "anon_inode:inotify") == 0);
    check(count_open(pid, "/dev/null") >= 2);
    if (count_open(s.pid, "anon_inode:inotify") > 0 && can_close_range())
        check(count_open(pid, "") == 5);        /* 0, 1, the log, the connection, the store; no message */
    snprintf(path, sizeof path, "/proc/%d/fd/1000", (int)s.pid);
    check(exists(path));                        /* it may be a lock, held for as long as the server runs */
    b = greeted(&s);
    await(count_open(s.pid, "socket:") == s.count);     /* it may greet before its parent let go */
    quit(&a);
    quit(&b);
    stop_server(&s);
}

/* ---- Many at once ------------------------------------------------------------------------------------ */

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
    s = start_server("-n 3 -d store 0");
    for (int i = 0; i < 3; i++)
        c[i] = greeted(&s);
    for (int i = 0; i < 3; i++) {
        more = connect_to(&s);
        expect(&more, "-ERR [SYS/TEMP]*");
        expect_end(&more);
    }
    for (int i = 0; i < 3; i++)
        ask(&c[i], "STAT", "+OK 1 30");
    quit(&c[1]);
    for (int64_t until = clock_ms() + PATIENCE;;) {     /* until the server knows that one has left */
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

/* Holds a number of sessions, 50 at a time. The store changes meanwhile, so that it is read anew. */
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
    if (memory(s.pid, "VmSize:") < 1024L * 1024 * 1024)     /* an address sanitizer has more, and keeps it */
        check(memory(s.pid, "VmRSS:") <= kilobytes + 512);
    check(exists("store/2"));
    stop_server(&s);
}

/*
 * Clients that have gone again before the server gets to them. It is stopped meanwhile, so that it meets
 * them all at once.
 */
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

/* ---- Slow clients, and those that go ----------------------------------------------------------------- */

static void
test_idle(void)
{
    struct server s;
    struct client c, busy;
    int64_t began = clock_ms();

    make_store(2);
    s = start_server("-t 1 -d store 0");
    c = greeted(&s);
    busy = greeted(&s);
    ask(&c, "DELE 1", "+OK*");
    while (!log_has("idle")) {                  /* the other says something now and then, and stays */
        ask(&busy, "NOOP", "+OK*");
        poll(NULL, 0, 50);
        check(clock_ms() - began < PATIENCE);
    }
    check(clock_ms() - began >= 900);
    expect_end(&c);
    check(exists("store/1"));
    check(log_has("idle retr=0/0 top=0 del=0 left=2"));
    quit(&busy);
    stop_server(&s);
}

/* A session is as idle before its first command, and a login. */
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
    send_text(&silent, "USER m");               /* half a command is no command */
    expect_end(&c);
    expect_end(&silent);
    stop_server(&s);
    stop_server(&login);
}

/* Who takes a little all the time is not idle, however long the system's buffers keep the server waiting. */
static void
test_slow_reader(void)
{
    struct server s;
    struct client c;
    int64_t began;
    size_t octets;

    make_store(0);
    make_big("store/big", 16 * MIB);
    s = start_server("-t 1 -d store 0");
    c = connect_narrow(&s);
    expect(&c, "+OK*");
    ask(&c, "RETR 1", "+OK 17039360 octets*");
    for (began = clock_ms(); clock_ms() - began < 4000; poll(NULL, 0, 100))
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

/* A client that goes in the middle of a message: nothing is removed, and nobody else notices. */
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
            check(count_open(s.pid, "anon_inode:inotify") == watches);  /* still: it need not be read anew */
        }
        await(log_has("disconnected retr=0/0 top=0 del=0 left=2"));
    }
    check(exists("store/big") && exists("store/later"));
    ask(&other, "STAT", "+OK 2 17039390");
    send_text(&other, "RETR 2\r\n");
    expect_message(&other, 2);
    quit(&other);
    stop_server(&s);
}

/* Who sends all commands and says that no more come gets all answers; without QUIT nothing is removed. */
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

/* ---- Pipelining -------------------------------------------------------------------------------------- */

/* Returns a text many times, to be freed. */
static char *
repeat(const char *text, size_t count)
{
    size_t length = strlen(text);
    char *all = malloc(length * count + 1);

    check(all != NULL);
    for (size_t i = 0; i < count; i++)
        memcpy(all + i * length, text, length);
    all[length * count] = '\0';
    return all;
}

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

/* The answer to QUIT arrives, and the connection ends in order, also when more had been sent behind it. */
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

/* A client that says QUIT and stays on the line does not keep its place for long. */
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

/* The mistake that is one too many ends the session in the same way. */
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

/* ---- A store that changes between sessions ----------------------------------------------------------- */

/* Returns a text without its status lines. */
static char *
without_status(char *text)
{
    char *to = text;

    for (char *line = text, *end; *line != '\0'; line = end) {
        end = line + strcspn(line, "\n");
        end += *end == '\n';
        if (*line != '+') {
            memmove(to, line, (size_t)(end - line));
            to += end - line;
        }
    }
    *to = '\0';
    return text;
}

/* Returns what LIST and UIDL say in a new session, to be freed. */
static char *
listing(const struct server *s)
{
    struct client c = greeted(s);

    send_text(&c, "LIST\r\nUIDL\r\nQUIT\r\n");
    take_rest(&c);
    check(c.error == 0);
    memmove(c.text, c.text + c.start, c.end - c.start);
    c.text[c.end - c.start] = '\0';
    close(c.fd);
    return without_status(c.text);
}

/* Returns the same from a server that was started for it, and knows of no earlier state. */
static char *
fresh_listing(void)
{
    put("in", "LIST\r\nUIDL\r\nQUIT\r\n");
    check(run_server("-i -d store") == 0);
    return without_status(slurp("out"));
}

/* A new session must see the store as it is. Returns the listing, to be freed. */
static char *
in_step(const struct server *s)
{
    char *fresh = fresh_listing(), *text = listing(s);

    if (strcmp(text, fresh) != 0)
        fail("the server lists:\n%sbut there is:\n%s", text, fresh);
    free(fresh);
    return text;
}

/* Changes that no shell command makes, or none so quickly that they come within one tick of a clock. */

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

/* Writes through memory, and closes the file before the memory is given back. */
static void
through_memory(void)
{
    int file = open("store/1", O_RDWR);
    char *memory = mmap(NULL, 27, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);

    check(file >= 0 && memory != MAP_FAILED && close(file) == 0);
    memcpy(memory, "Subject: massage", 16);
    check(munmap(memory, 27) == 0);
}

/* The file gets a name outside the store while the server runs, and is written through that. */
static void
through_new_link(void)
{
    check(link("store/1", "another") == 0);
    change_in_place("another");
}

/* By a program that goes on writing: the file is open still when the next session starts. */
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

/* What happens between two sessions: each by itself, for together they would hide each other. */
static const struct change {
    const char *name, *command;
    void (*make)(void);         /* if there is no command */
} changes[] = {
    {"rewritten at once, the same size, the time put back", NULL, same_size_and_times},
    {"written through memory", NULL, through_memory},
    {"written through its other name, the time put back", NULL, same_size_and_times_through_link},
    {"written through another name that is new", NULL, through_new_link},
    {"appended to, and not closed", NULL, still_open},
    {"many delivered", NULL, many_delivered},
    {"written through its other name", "echo changed >other", NULL},
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
    {"the directory replaced", "mv store old; mkdir store; echo new >store/1", NULL},
    {"the directory replaced by a link", "mv store old; mkdir new; ln -s new store; echo >store/1", NULL},
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

/*
 * How many messages the store has that is changed. Of a few a server may look at each for every session; of
 * many it must know by other means which ones changed.
 */
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

/* Each change is seen by the session that comes next, and by the one after it. */
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

/* The same with many messages, in one server that lives through all of it. */
static void
test_changes_in_a_row(void)
{
    struct server s;

    make_store_for_changes(MANY);
    s = start_server("-a 127.0.0.1 -d store 0");
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        free(in_step(&s));
        if (changes[i].make == through_new_link)
            continue;                           /* not seen then, but noticed: the next test */
        make_change(&changes[i]);
        free(in_step(&s));
        make_store_for_changes(MANY);
    }
    stop_server(&s);
}

/* A change that nobody told of is noticed when the message is asked for: the next session has it right. */
static void
test_noticed(void)
{
    struct server s;
    struct client c;

    if (!has_proc())
        skip("there is no /proc here");
    make_store_for_changes(MANY);
    s = start_server("-a 127.0.0.1 -d store 0");
    free(in_step(&s));
    through_new_link();
    c = greeted(&s);
    send_text(&c, "RETR 1\r\nQUIT\r\n");
    take_rest(&c);
    hang_up(&c);
    await(count_children(s.pid) == 0);
    free(in_step(&s));
    stop_server(&s);
}

/* The same message has the same unique-id after a touch, a restart and a restore; another one has another. */
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

/* Another name for a message, elsewhere or in the store, as a backup makes it: it is what it was. */
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

/* Without a store a client is told to come again, and one that came before is still served. */
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
        expect(&c, "-ERR [SYS/TEMP]*");
        expect_end(&c);
    }
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

/* More changes between two sessions than the system keeps in mind. */
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
    for (int i = 0; i < most / 4 + 100; i++)    /* four things to tell each */
        check(rename("store/1", "store/x") == 0 && rename("store/x", "store/1") == 0);
    change_in_place("store/2");
    deliver("3", "new\n");
    free(in_step(&s));
    change_in_place("store/1");
    free(in_step(&s));
    stop_server(&s);
}

/* A file that is written to all the time: what a client gets as whole has the size it was told. */
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
        static const char *const texts[] = {"a\n", "\n\n\n\n\n", "", "no end", "b\nb\n", "c\r\n\r\n"};

        for (unsigned i = 0;; i++) {
            put("store/1", texts[i % 6]);
            poll(NULL, 0, (int)(i % 3));
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

/* ---- All of them ------------------------------------------------------------------------------------- */

/* Those that wait long come first, so that the others run meanwhile. */
static const struct test {
    const char *name;
    void (*run)(void);
} tests[] = {
    {"three wrong passwords", test_login},
    {"a client that reads slowly is not idle", test_slow_reader},
    {"a client that reads nothing is idle", test_reads_nothing},
    {"an idle session ends without a word", test_idle},
    {"a client that stays behind QUIT", test_stays_behind_quit},
    {"idle from the start", test_idle_from_the_start},
    {"1000 sessions leave nothing behind", test_1000_sessions},
    {"what strangers send in the log", test_log_of_strangers},
    {"200 sessions at once", test_200_at_once},
    {"each change of the store is seen", test_changes},
    {"many changes of the store, one by one", test_changes_in_a_row},
    {"a change that nobody told of", test_noticed},
    {"more changes than the system remembers", test_too_many_changes},
    {"a message that is written to all the time", test_while_written},
    {"2000 messages, all retrieved at once", test_2000_messages},
    {"help and version", test_help},
    {"what the command line refuses", test_misuse},
    {"no store", test_no_store},
    {"a port that is taken", test_port_taken},
    {"a port that is named", test_port_named},
    {"both addresses answer, on one port", test_both_addresses},
    {"port 00 is the kernel's choice too", test_ports_alike},
    {"addresses that are named", test_addresses},
    {"the store in the log", test_log_of_the_store},
    {"a session in the log", test_log_of_a_session},
    {"a log that nobody reads", test_log_stuck},
    {"the greeting without a login", test_greeting},
    {"a message that was removed is gone", test_deleted},
    {"a message that two remove", test_deleted_twice},
    {"a session sees the store as it was", test_snapshot},
    {"a message that changed is refused and stays", test_changed},
    {"marked messages of every fate", test_changed_and_gone},
    {"a message that is cut short on its way", test_cut_short},
    {"a message that is lengthened on its way", test_lengthened},
    {"a message that is written to on its way", test_scribbled},
    {"a message that is removed on its way", test_gone_on_its_way},
    {"SIGTERM and SIGINT", test_stop},
    {"SIGTERM and a client that takes nothing", test_stop_busy},
    {"SIGTERM and a line that does not end", test_stop_flooded},
    {"-i leaves its socket as it was", test_inetd_socket},
    {"SIGTERM inside QUIT", test_stop_in_quit},
    {"a session that is killed or hangs", test_killed},
    {"a server that is killed leaves its port", test_server_killed},
    {"a session holds its own connection alone", test_open_files},
    {"one session too many", test_one_too_many},
    {"connections that are reset before they are accepted", test_reset_at_once},
    {"clients that vanish inside RETR", test_vanishing},
    {"a client that only listens any more", test_half_closed},
    {"10000 commands at once", test_10000_noops},
    {"commands behind QUIT", test_behind_quit},
    {"commands behind the last mistake", test_behind_mistakes},
    {"unique-ids stay what they are", test_unique_ids},
    {"a message that gets another name", test_names_of_few},
    {"one of many messages gets another name", test_names_of_many},
    {"a message that becomes unreadable", test_unreadable},
    {"a store that is away for a while", test_store_away},
};

enum { TESTS = sizeof tests / sizeof *tests };

static int test_seconds = 25;  /* for one test; with SECONDS_EACH for the program, all of it but a little */

/* A test that runs, or that has ended. */
struct run {
    pid_t pid;                  /* 0: not running */
    int64_t until;
    bool done;
    int status;
};

static volatile sig_atomic_t stop_asked;

static void
note_stop(int number)
{
    (void)number;
    stop_asked = 1;
}

/* Starts a test in its directory, as the head of a group of processes that ends with it. */
static void
start_test(struct run *run, int i)
{
    char directory[16];

    snprintf(directory, sizeof directory, "%d", i);
    fflush(stdout);
    run->until = clock_ms() + test_seconds * 1000;
    run->pid = fork();
    if (run->pid == 0) {
        signal(SIGTERM, SIG_DFL);
        signal(SIGINT, SIG_DFL);
        signal(SIGHUP, SIG_DFL);
        setpgid(0, 0);
        if (mkdir(directory, 0755) != 0 || chdir(directory) != 0)
            _exit(127);
        redirect(1, "report", O_WRONLY | O_CREAT | O_APPEND);
        redirect(2, "report", O_WRONLY | O_CREAT | O_APPEND);
        tests[i].run();
        exit(0);
    }
    if (run->pid > 0)
        setpgid(run->pid, run->pid);
    else
        *run = (struct run){.done = true, .status = SIGABRT};       /* no process could be had */
}

/* Ends what a test has started, and then itself. Its number is still its own, so nobody else is met. */
static void
end_test(struct run *run)
{
    kill(-run->pid, SIGKILL);
    waitpid(run->pid, &run->status, 0);
    run->pid = 0;
    run->done = true;
}

/* Ends the tests that are over, or have taken too long. Returns how many still run. */
static int
end_tests(struct run *runs)
{
    int running = 0;

    for (int i = 0; i < TESTS; i++) {
        siginfo_t ended = {.si_pid = 0};

        if (runs[i].pid <= 0)
            continue;
        if (waitid(P_PID, (id_t)runs[i].pid, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid == 0 &&
            clock_ms() < runs[i].until && !stop_asked)
            running++;
        else
            end_test(&runs[i]);
    }
    return running;
}

/* Shows a file that a test has left, each line set in. */
static void
show(int i, const char *name)
{
    char path[64], line[300];
    FILE *file;
    struct stat status;

    snprintf(path, sizeof path, "%d/%s", i, name);
    if (stat(path, &status) != 0 || !S_ISREG(status.st_mode) || (file = fopen(path, "r")) == NULL)
        return;
    if (status.st_size > 1500) {
        fseek(file, -1500, SEEK_END);
        fgets(line, sizeof line, file);         /* the rest of a line */
    }
    while (fgets(line, sizeof line, file) != NULL)
        printf("    %s: %s%s", name, line, strchr(line, '\n') != NULL ? "" : "\n");
    fclose(file);
}

/* Returns the first line of a file that a test has left, without its end, until the next call. */
static const char *
first_line(int i, const char *name)
{
    static char line[300];
    char path[64];
    FILE *file;

    snprintf(path, sizeof path, "%d/%s", i, name);
    line[0] = '\0';
    if ((file = fopen(path, "r")) != NULL) {
        if (fgets(line, sizeof line, file) != NULL)
            line[strcspn(line, "\n")] = '\0';
        fclose(file);
    }
    return line;
}

/* Says how a test went. Returns whether it did not fail. */
static bool
tell(const struct run *run, int i)
{
    int code = WIFEXITED(run->status) ? WEXITSTATUS(run->status) : -1;
    char directory[16];

    if (code == 0)
        printf("ok - %s\n", tests[i].name);
    else if (code == SKIPPED)
        printf("skip - %s: %s\n", tests[i].name, first_line(i, "report"));
    else {
        printf("not ok - %s\n", tests[i].name);
        show(i, "report");
    }
    if (code < 0)
        printf("    %s\n", stop_asked ? "it was ended" : "it took too long, or crashed");
    if (code != 0 && code != SKIPPED)
        show(i, "log");
    fflush(stdout);
    snprintf(directory, sizeof directory, "%d", i);
    remove_tree(directory);
    return code == 0 || code == SKIPPED;
}

/* Says whether a test was asked for. */
static bool
asked(int i, char **words)
{
    bool found = *words == NULL;

    for (; *words != NULL; words++)
        found = found || strstr(tests[i].name, *words) != NULL;
    return found;
}

/* Runs the tests, some at a time, and tells of them in their order. Returns whether all went well. */
static bool
run_tests(char **words)
{
    static struct run runs[TESTS];
    int next = 0, told = 0;
    bool good = true;

    while (told < TESTS && !stop_asked) {
        int running = end_tests(runs);

        for (; next < TESTS && running < AT_ONCE; next++) {
            if (!asked(next, words))
                continue;
            start_test(&runs[next], next);
            running++;
        }
        for (; told < next && (runs[told].done || !asked(told, words)); told++)
            if (runs[told].done)
                good = tell(&runs[told], told) && good;
        if (running > 0)
            poll(NULL, 0, 5);
    }
    end_tests(runs);
    return good && !stop_asked;
}

int
main(int argc, char **argv)
{
    struct sigaction stop = {.sa_handler = note_stop};
    const char *temporary = getenv("TMPDIR"), *name = getenv("SERVER"), *seconds = getenv("SECONDS_EACH");
    char directory[1024], *server = realpath(name != NULL ? name : "./server", NULL);
    bool good;

    (void)argc;
    snprintf(directory, sizeof directory, "%s/net_server.XXXXXX", temporary != NULL ? temporary : "/tmp");
    if (server == NULL || mkdtemp(directory) == NULL || chdir(directory) != 0) {
        perror(server == NULL ? "the server" : directory);
        return 1;
    }
    setenv("SERVER", server, 1);
    free(server);
    if (seconds != NULL && atoi(seconds) > 20)
        test_seconds = atoi(seconds) - 10;
    umask(022);
    signal(SIGPIPE, SIG_IGN);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGHUP, &stop, NULL);
    good = run_tests(argv + 1);
    if (chdir("/") == 0)
        remove_tree(directory);
    return good ? 0 : 1;
}
