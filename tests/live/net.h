/*
 * net.h - what the tests of a running server share: files, servers, clients, /proc, and a runner
 * of tests
 *
 *   live/server_NAME              runs every test
 *   live/server_NAME WORD...      those with one of these words in their name
 *
 * SERVER names the program under test (./server if it is not set). Everything goes over loopback,
 * to ports that the kernel chose. What a conversation of tests/server/ can show is not tested
 * here again.
 *
 * Each test is a process in a directory of its own, where it starts its servers on a directory
 * "store". Several run at once, because most of what they do is wait. A test ends at its first
 * failed check. No test sleeps and hopes: it waits for a condition, and fails when its patience
 * is over.
 */
#ifndef NET_H
#define NET_H

#ifdef __GNUC__
#pragma GCC diagnostic ignored "-Wunused-function"      /* no program uses all of this */
#endif

/*
 * -std=c11 hides what is not in C11; these show it again. _XOPEN_SOURCE would hide what BSDs add.
 */
#undef _GNU_SOURCE
#define _GNU_SOURCE 1
#define _DARWIN_C_SOURCE 1
#define _NETBSD_SOURCE 1

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

#ifdef __APPLE__
#define st_atim st_atimespec
#define st_mtim st_mtimespec
#endif

enum {
    PATIENCE = 60 * 1000,       /* milliseconds in which anything must come */
    AT_ONCE = 6,                /* tests that run at the same time, for run_tests */
    SKIPPED = 77,               /* as the status of a test */
    MIB = 1024 * 1024
};

/* ---- Verdicts and waiting -------------------------------------------------------------------- */

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

/* ---- Files ----------------------------------------------------------------------------------- */

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

/*
 * Makes the store with messages 1 to count. Message n has 30 octets on the wire, and n as its
 * body.
 */
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

/* Returns true if a text is somewhere in a file. */
static bool
file_has(const char *path, const char *wanted)
{
    char *text = slurp(path);
    bool found = strstr(text, wanted) != NULL;

    free(text);
    return found;
}

/* Returns how often a text is in a file. */
static int
count_in(const char *path, const char *wanted)
{
    char *text = slurp(path);
    int count = 0;

    for (const char *at = text; (at = strstr(at, wanted)) != NULL; at++)
        count++;
    free(text);
    return count;
}

static bool
log_has(const char *wanted)
{
    return file_has("log", wanted);
}

/* Returns true if a file holds printable characters and line ends alone. */
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

/* Three ways to change a message that make_store made. Its size stays. */
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

/* ---- Servers --------------------------------------------------------------------------------- */

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

/*
 * Returns a socket that listens on a free port of an address, or -1, and in *port which one it
 * is.
 */
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
    if (fd >= 0 &&
        getsockname(fd, (struct sockaddr *)&at, &size) == 0) /* at the same place in both */
        snprintf(port, 8, "%d", ntohs(((struct sockaddr_in *)&at)->sin_port));
    return fd;
}

/* Returns true if this machine has ::1. */
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

/*
 * Starts a server, its standard error added to the file log, and waits until it says where it
 * listens.
 */
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
        redirect(0, "/dev/zero", O_RDONLY);     /* the server keeps only what it needs */
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

        check(sscanf(line, "listening on %63s port %7[0-9]%n", s.address[i], s.port[i], &used) ==
              2);
        check(used > 0 && line[used] == '\n');
        line += used + 1;
    }
    check(*line == '\0');
    return s;
}

/*
 * Tells a server to stop. It must do so with status 0, having said no more on its standard
 * output.
 */
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

/*
 * Starts "server -i" on two pipes. Returns the process; commands go to *to, answers come from
 * *from.
 */
static pid_t
start_inetd(const char *options, int *to, int *from)
{
    int in[2], out[2];
    pid_t pid;

    check(pipe(in) == 0 && pipe(out) == 0);
    pid = fork();
    if (pid == 0) {
        redirect(2, "log", O_WRONLY | O_CREAT | O_APPEND);
        if (dup2(in[0], 0) != 0 || dup2(out[1], 1) != 1)
            _exit(127);
        close(in[0]);
        close(in[1]);
        close(out[0]);
        close(out[1]);
        exec_server(options);
    }
    check(pid > 0);
    close(in[0]);
    close(out[1]);
    *to = in[1];
    *from = out[0];
    return pid;
}

/* ---- Clients --------------------------------------------------------------------------------- */

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
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on,
               sizeof on); /* commands go in pieces, and none is to wait */
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
        fail("nothing came, after: %.*s", (int)(c->end < 300 ? c->end : 300),
             c->text != NULL ? c->text : "");
    return take(c, 64 * 1024);
}

/*
 * Sends all of a text, taking in meanwhile what comes. A connection that has ended takes no more.
 */
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

/* Returns true if a line is the wanted one, which may end in * for whatever follows. */
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

/*
 * Takes the lines up to the lone dot, and returns them as they came but for the first dot, to be
 * freed.
 */
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

/* ---- What a server lists --------------------------------------------------------------------- */

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

/* ---- What the system knows of processes (Linux) ---------------------------------------------- */

static bool
has_proc(void)
{
    return exists("/proc/self/stat") && exists("/proc/self/fd");
}

/*
 * Finds the children of a process, up to 300 of them. Returns how many, and in *zombies how many
 * are dead.
 */
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

/* Returns the processor time of a process in milliseconds. */
static long
processor_time(pid_t pid)
{
    char path[64], *text;
    long user = 0, kernel = 0;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    text = slurp(path);
    check(sscanf(strrchr(text, ')') + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %ld %ld",
                 &user, &kernel) == 2);
    free(text);
    return (user + kernel) * 1000 / sysconf(_SC_CLK_TCK);
}

/* ---- Running the tests ----------------------------------------------------------------------- */

struct test {
    const char *name;
    void (*run)(void);
    int seconds;                /* how long it may take; 0: as SECONDS_EACH says */
};

/* A test that runs, or that has ended. */
struct run {
    pid_t pid;                  /* 0: not running */
    int64_t until;              /* by clock_ms */
    bool done;
    int status;                 /* of waitpid */
};

static volatile sig_atomic_t stop_asked;

static void
note_stop(int number)
{
    (void)number;
    stop_asked = 1;
}

/* Starts a test in a directory of its own. It leads a process group, which ends with it. */
static void
start_test(struct run *run, const struct test *test, const char *directory)
{
    const char *each = getenv("SECONDS_EACH");
    int seconds = each != NULL && atoi(each) > 35 ? atoi(each) - 10 : 300;

    fflush(stdout);
    run->until = clock_ms() + (test->seconds > 0 ? test->seconds : seconds) * INT64_C(1000);
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
        test->run();
        exit(0);
    }
    if (run->pid > 0)
        setpgid(run->pid, run->pid);
    else
        *run = (struct run){.done = true, .status = SIGABRT};       /* fork failed */
}

/* Ends a test that is over or took too long, with everything it started. */
static void
end_test(struct run *run)
{
    kill(-run->pid, SIGKILL);
    waitpid(run->pid, &run->status, 0);
    run->pid = 0;
    run->done = true;
}

static bool
is_running(const struct run *run)
{
    siginfo_t ended = {.si_pid = 0};

    /* WNOWAIT leaves the zombie, so its process group is still its own in end_test. */
    return waitid(P_PID, (id_t)run->pid, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           ended.si_pid == 0 && clock_ms() < run->until && !stop_asked;
}

/* Prints the last 1,500 bytes of a file in a test's directory, each line after the file's name. */
static void
show(const char *directory, const char *name)
{
    char path[64], line[300];
    FILE *file;
    struct stat status;

    snprintf(path, sizeof path, "%s/%s", directory, name);
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

/* Returns the first line of a file in a test's directory, without its end, until the next call. */
static const char *
first_line(const char *directory, const char *name)
{
    static char line[300];
    char path[64];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", directory, name);
    line[0] = '\0';
    if ((file = fopen(path, "r")) != NULL) {
        if (fgets(line, sizeof line, file) != NULL)
            line[strcspn(line, "\n")] = '\0';
        fclose(file);
    }
    return line;
}

/* Prints how a test ended, and removes its directory. Returns false if it failed. */
static bool
report(const struct run *run, const char *name, const char *directory)
{
    int code = WIFEXITED(run->status) ? WEXITSTATUS(run->status) : -1;

    if (code == SKIPPED) {
        printf("skip - %s: %s\n", name, first_line(directory, "report"));
    } else {
        printf("%s - %s\n", code == 0 ? "ok" : "not ok", name);
        show(directory, "report");
    }
    if (code < 0)
        printf("    %s\n", stop_asked ? "it was stopped" : "it took too long, or crashed");
    if (code != 0 && code != SKIPPED)
        show(directory, "log");
    fflush(stdout);
    chmod(directory, 0755);
    remove_tree(directory);
    return code == 0 || code == SKIPPED;
}

/* Returns true if a test has one of the words in its name, or there are none. */
static bool
is_asked(const struct test *test, char *const *words)
{
    bool found = *words == NULL;

    for (; *words != NULL; words++)
        found = found || strstr(test->name, *words) != NULL;
    return found;
}

/*
 * Runs the tests, at_once at the same time, and reports each one as it ends. Returns true if none
 * failed.
 */
static bool
run_all(const struct test *tests, int count, int at_once, char *const *words)
{
    struct run *runs = calloc((size_t)count, sizeof *runs);
    int next = 0, running = 0;
    bool good = runs != NULL;

    while (runs != NULL && (next < count || running > 0)) {
        char directory[16];

        for (; next < count && (running < at_once || stop_asked); next++) {
            if (stop_asked || !is_asked(&tests[next], words))
                continue;
            snprintf(directory, sizeof directory, "%d", next);
            start_test(&runs[next], &tests[next], directory);
            running++;
        }
        for (int i = 0; i < next; i++) {
            if (runs[i].pid > 0 && !is_running(&runs[i]))
                end_test(&runs[i]);
            if (!runs[i].done)
                continue;
            snprintf(directory, sizeof directory, "%d", i);
            good = report(&runs[i], tests[i].name, directory) && good;
            runs[i].done = false;
            running--;
        }
        poll(NULL, 0, 5);
    }
    free(runs);
    return good && !stop_asked;
}

/* The whole of main: runs the tests in a new directory. Returns the exit status. */
static int
run_tests(const struct test *tests, int count, int at_once, char *const *words)
{
    struct sigaction stop = {.sa_handler = note_stop};
    const char *temporary = getenv("TMPDIR"), *name = getenv("SERVER");
    char directory[1024], *server = realpath(name != NULL ? name : "./server", NULL);
    bool good;

    snprintf(directory, sizeof directory, "%s/live.XXXXXX", temporary != NULL ? temporary : "/tmp");
    if (server == NULL || mkdtemp(directory) == NULL || chdir(directory) != 0) {
        perror(server == NULL ? "the server" : directory);
        return 1;
    }
    setenv("SERVER", server, 1);
    free(server);
    umask(022);
    signal(SIGPIPE, SIG_IGN);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGHUP, &stop, NULL);
    good = run_all(tests, count, at_once, words);
    if (chdir("/") == 0)
        remove_tree(directory);
    return good ? 0 : 1;
}
#endif
