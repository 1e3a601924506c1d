/*
 * bench.c - the measurements of bench.sh, and programs to compare the server and the client with
 *
 *   bench make MODE DIR SIZE       makes the stores; SIZE is that of the big message in MiB
 *   bench port                     prints a free TCP port
 *   bench serve KIND DIR           a minimal server: text, ready, copy or wire (see below)
 *   bench touch DIR                opens, reads and closes every file once, then prints "done"
 *   bench loop PORT COUNT OUT      retrieves messages 1 to COUNT, one after the other, into files
 *   bench table MODE DIR SERVER CLIENT DOVECOT SIZE OUT DISK
 *                                  measures and prints the table; MODE is quick or full
 *
 * Each row compares programs in rounds. A round measures every program once, and a ratio compares
 * two results of one round. So a disturbance longer than a round affects both.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
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
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    ROUNDS_MAX = 15,
    IN_FLIGHT = 64,                  /* commands in flight when pipelining */
    BLOCK = 64 * 1024,
    LARGE = 256 * 1024,
    LINE = 76,                  /* characters of a line, as in base64 */
    SMALL = 2048,               /* bytes of a small message */
    MANY = 100000, SOME = 10000,    /* messages, at most */
    SETTLE_SECONDS = 4,         /* until no timestamp of a new file is recent */
    LIFE_SECONDS = 600,         /* of any program started here */
    PATIENCE_SECONDS = 30       /* for an answer */
};

static void __attribute__((format(printf, 1, 2), noreturn))
die(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static double
seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static bool
write_all(int fd, const void *octets, size_t length)
{
    const char *from = octets;

    while (length > 0) {
        ssize_t count = write(fd, from, length);

        if (count <= 0)
            return false;
        from += count;
        length -= (size_t)count;
    }
    return true;
}

static void *
shared_memory(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        die("no memory");
    return memory;
}

enum { S_FEW, S_SOME, S_LINKED, S_MANY, S_MIDDLE, S_DISK, S_LF, S_CRLF, STORES };

struct store {
    const char *name;
    size_t count, quick_count;
    const char *end;            /* line end */
};

static const struct store stores[STORES] = {
    [S_FEW] = {"few", 3, 3, "\n"},          [S_SOME] = {"some", SOME, 2000, "\n"},
    [S_LINKED] = {"linked", SOME, 2000, "\n"},     /* each file has a second hard link */
    [S_MANY] = {"many", MANY, 20000, "\n"}, [S_MIDDLE] = {"middle", 200, 50, "\n"},
    [S_DISK] = {"disk", 2000, 1, "\n"},    /* for clients that write to a disk */
    [S_LF] = {"lf", 1, 1, "\n"},            [S_CRLF] = {"crlf", 1, 1, "\r\n"},
};

static bool quick;

static size_t
store_count(int store)
{
    return quick ? stores[store].quick_count : stores[store].count;
}

/* ---- The stores ------------------------------------------------------------------------------ */

/* Fills a text with lines that look like base64. */
static void
fill_lines(char *text, size_t size, const char *end)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const size_t line = LINE + strlen(end);
    uint32_t random = 1;

    for (size_t i = 0; i < size; i++) {
        size_t column = i % line;

        random = random * 1664525 + 1013904223;
        text[i] = column < LINE ? letters[random >> 26] : end[column - LINE];
    }
}

/*
 * Writes a message of at most that many bytes. Its name has both sizes (S=, W=), so that Dovecot
 * need not read the file.
 */
static void
make_message(int directory, size_t number, size_t size, const char *end)
{
    enum { HEADER = 256 };
    static char body[LARGE * 4];
    static const char *filled;
    const size_t line = LINE + strlen(end), whole = sizeof body / line * line;
    char header[HEADER + 1], name[128];
    size_t length, left, lines;
    int file;

    if (filled != end)
        fill_lines(body, sizeof body, filled = end);
    length = (size_t)snprintf(header, sizeof header,
                              "From: Ann <ann@example.org>%sTo: bob@example.org%s"
                              "Subject: message %zu%sMessage-ID: <%zu@example.org>%s%s",
                              end, end, number, end, number, end, end);
    left = (size - length) / line * line;       /* complete lines */
    lines = 5 + left / line;
    snprintf(name, sizeof name, "%zu.bench,S=%zu,W=%zu:2,S", 1000000 + number, length + left,
             length + left + (end[1] == '\0' ? lines : 0));
    file = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (file < 0 || !write_all(file, header, length))
        die("%s: %s", name, strerror(errno));
    for (; left > 0; left -= left < whole ? left : whole)
        if (!write_all(file, body, left < whole ? left : whole))
            die("%s: %s", name, strerror(errno));
    close(file);
}

/* Gives each file of a store a second hard link, as "cp -al" does. */
static void
link_store(const char *work, const char *name)
{
    char cur[4096], from[8192], to[8192];
    struct dirent *entry;
    DIR *directory;

    snprintf(cur, sizeof cur, "%s/%s/cur", work, name);
    directory = opendir(cur);
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        snprintf(from, sizeof from, "%s/%s", cur, entry->d_name);
        snprintf(to, sizeof to, "%s/%s/tmp/%s", work, name, entry->d_name);
        if (entry->d_name[0] != '.' && link(from, to) != 0)
            die("%s: %s", to, strerror(errno));
    }
    if (directory != NULL)
        closedir(directory);
}

/* Makes a Maildir with count messages of that size. */
static void
make_store(const char *work, const char *name, size_t count, size_t size, const char *end)
{
    static const char *const parts[] = {"", "/new", "/tmp", "/cur"};
    char path[4096];
    int directory;

    for (size_t i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/%s%s", work, name, parts[i]);
        if (mkdir(path, 0755) != 0)
            die("%s: %s", path, strerror(errno));
    }
    directory = open(path, O_RDONLY | O_DIRECTORY);
    for (size_t i = 1; i <= count; i++)
        make_message(directory, i, size, end);
    close(directory);
}

static void
make_stores(const char *work, size_t big)
{
    for (int i = 0; i < STORES; i++)
        make_store(work, stores[i].name, store_count(i),
                   i == S_MIDDLE ? 1024 * 1024 : i >= S_LF ? big : SMALL, stores[i].end);
    link_store(work, stores[S_LINKED].name);
    sleep(SETTLE_SECONDS);
}

/* ---- Minimal servers: a process for each connection ------------------------------------------ */

/* What a server prepares before the first connection, in memory that all sessions share. */
static struct prepared {
    int directory;
    size_t count;
    char **names;
    const char *list, *uidl, *end;      /* one text after the other */
    const char **messages;              /* count + 1: each ends where the next begins */
    unsigned char *block;
} prepared;

static int
by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Reads the names in a store, in order. */
static void
read_names(const char *path)
{
    DIR *directory = opendir(path);
    struct dirent *entry;
    char *text = shared_memory(MANY * 64);      /* shared, so that fork() copies nothing */

    prepared.names = shared_memory(MANY * sizeof *prepared.names);
    if (directory == NULL)
        die("%s: %s", path, strerror(errno));
    while ((entry = readdir(directory)) != NULL && prepared.count < MANY)
        if (entry->d_name[0] != '.') {
            prepared.names[prepared.count++] = text;
            text += snprintf(text, 64, "%.63s", entry->d_name) + 1;
        }
    qsort(prepared.names, prepared.count, sizeof *prepared.names, by_name);
    prepared.directory = open(path, O_RDONLY | O_DIRECTORY);
    prepared.block = shared_memory(2 * LARGE);
    closedir(directory);
}

/* Writes the answer to RETR. These messages have no lines with a dot. */
static char *
prepare_message(char *to, const char *name)
{
    int file = openat(prepared.directory, name, O_RDONLY);
    ssize_t count = read(file, prepared.block, LARGE);

    close(file);
    to += sprintf(to, "+OK %zd octets\r\n", count);
    for (ssize_t i = 0; i < count; i++) {
        if (prepared.block[i] == '\n')
            *to++ = '\r';
        *to++ = (char)prepared.block[i];
    }
    return to + sprintf(to, ".\r\n");
}

static void
prepare_answers(void)
{
    char *to = shared_memory(prepared.count * 80 + 100);
    char *texts = shared_memory(prepared.count <= SOME ? prepared.count * 3 * SMALL : 1);
    size_t i;

    prepared.list = to;
    to += sprintf(to, "+OK\r\n");
    for (i = 0; i < prepared.count; i++)
        to += sprintf(to, "%zu %d\r\n", i + 1, SMALL);
    prepared.uidl = to += sprintf(to, ".\r\n");
    to += sprintf(to, "+OK\r\n");
    for (i = 0; i < prepared.count; i++)
        to += sprintf(to, "%zu %032zx\r\n", i + 1, i * 2654435761u);
    prepared.end = to += sprintf(to, ".\r\n");
    prepared.messages = shared_memory((prepared.count + 1) * sizeof *prepared.messages);
    for (i = 0; i < prepared.count && prepared.count <= SOME; i++) {
        prepared.messages[i] = texts;
        texts = prepare_message(texts, prepared.names[i]);
        prepared.messages[i + 1] = texts;
    }
}

/* "text": the floor. Each read gets one fixed answer. */
static void
serve_text(int fd)
{
    char line[512];

    write_all(fd, "+OK ready\r\n", 11);
    while (read(fd, line, sizeof line) > 0) {
        if (line[0] == 'Q') {
            write_all(fd, "+OK bye\r\n", 9);
            return;
        }
        write_all(fd, "+OK 3 6144\r\n", 12);
    }
}

/* Finds the answer to a line. */
static void
find_answer(const char *line, const char **from, const char **to)
{
    static const char ok[] = "+OK 100000 204800000\r\n";
    size_t number;

    *from = ok;
    *to = ok + sizeof ok - 1;
    if (line[0] == 'R') {
        number = strtoul(line + 5, NULL, 10) - 1;
        *from = prepared.messages[number];
        *to = prepared.messages[number + 1];
    } else if (line[0] == 'L') {
        *from = prepared.list;
        *to = prepared.uidl;
    } else if (line[0] == 'U') {
        *from = prepared.uidl;
        *to = prepared.end;
    }
}

/* "ready": every answer is in memory. Consecutive answers need one write. */
static void
serve_ready(int fd)
{
    static char lines[BLOCK];
    size_t have = 0;
    ssize_t count;

    write_all(fd, "+OK ready\r\n", 11);
    while ((count = read(fd, lines + have, sizeof lines - have)) > 0) {
        const char *start = NULL, *end = NULL, *from, *to, *at = lines, *lf;

        have += (size_t)count;
        for (; (lf = memchr(at, '\n', have - (size_t)(at - lines))) != NULL; at = lf + 1) {
            find_answer(at, &from, &to);
            if (start != NULL && from != end)
                write_all(fd, start, (size_t)(end - start));
            start = start != NULL && from == end ? start : from;
            end = to;
            if (*at == 'Q')
                have = 0;
            if (have == 0)
                break;
        }
        if (start != NULL)
            write_all(fd, start, (size_t)(end - start));
        if (have == 0)
            return;
        have -= (size_t)(at - lines);
        memmove(lines, at, have);
    }
}

/* "copy": any command gets the content of all files, without a protocol. */
static void
serve_copy(int fd)
{
    size_t have = 0;

    write_all(fd, "+OK ready\r\n", 11);
    if (read(fd, prepared.block, BLOCK) <= 0)
        return;
    for (size_t i = 0; i < prepared.count; i++) {
        int file = openat(prepared.directory, prepared.names[i], O_RDONLY);
        ssize_t count = read(file, prepared.block + have, LARGE);

        close(file);
        have += count > 0 ? (size_t)count : 0;
        if (have >= IN_FLIGHT * SMALL || i + 1 == prepared.count) {
            write_all(fd, prepared.block, have);
            have = 0;
        }
    }
}

/* "wire": RETR of one file that has CRLF already, in blocks of 64 KiB. */
static void
serve_wire(int fd)
{
    ssize_t count;
    int file;

    write_all(fd, "+OK ready\r\n", 11);
    if (read(fd, prepared.block, BLOCK) <= 0)
        return;
    file = openat(prepared.directory, prepared.names[0], O_RDONLY);
    while ((count = read(file, prepared.block, BLOCK)) > 0)
        write_all(fd, prepared.block, (size_t)count);
    write_all(fd, ".\r\n", 3);
    if (read(fd, prepared.block, BLOCK) > 0)
        write_all(fd, "+OK bye\r\n", 9);
}

static int
listen_somewhere(unsigned *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) != 0 ||
        listen(fd, SOMAXCONN) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) != 0)
        die("cannot listen: %s", strerror(errno));
    *port = ntohs(address.sin_port);
    return fd;
}

static void
serve(const char *kind, const char *store)
{
    unsigned port;
    int listening = listen_somewhere(&port);
    void (*session_function)(int) = strcmp(kind, "text") == 0    ? serve_text
                                    : strcmp(kind, "ready") == 0 ? serve_ready
                                    : strcmp(kind, "copy") == 0  ? serve_copy
                                                                 : serve_wire;

    if (session_function != serve_text)
        read_names(store);
    if (session_function == serve_ready)
        prepare_answers();
    signal(SIGCHLD, SIG_IGN);
    printf("listening on 127.0.0.1 port %u\n", port);
    fflush(stdout);
    for (;;) {
        int fd = accept(listening, NULL, NULL);

        if (fd < 0)
            continue;
        if (fork() == 0) {
            close(listening);
            session_function(fd);
            _exit(0);
        }
        close(fd);
    }
}

/* Opens, reads and closes every file once. */
static void
touch(const char *path)
{
    static char block[BLOCK];
    DIR *directory = opendir(path);
    struct dirent *entry;

    if (directory == NULL)
        die("%s: %s", path, strerror(errno));
    while ((entry = readdir(directory)) != NULL) {
        int file = openat(dirfd(directory), entry->d_name, O_RDONLY);

        while (read(file, block, sizeof block) > 0)
            continue;
        close(file);
    }
    puts("done");
}

/* ---- Clients --------------------------------------------------------------------------------- */

/* A program to measure. */
struct target {
    const char *name;
    unsigned port;
    const char *user;           /* for the login; NULL: none */
    pid_t pid;
    const char *command;        /* the command of a client, or of a server's start */
    bool one_answer;                  /* it answers any line with everything, then closes */
    const char *change;         /* the store to change before the session, or NULL */
};

static unsigned char received[LARGE];

/* Updates last, the last `length` octets received, after a read of count octets. */
static void
keep_last(char *last, size_t length, size_t count)
{
    size_t kept = count < length ? length - count : 0;

    memmove(last, last + length - kept, kept);
    memcpy(last + kept, received + count - (length - kept), length - kept);
}

/* Reads until the input ends in `end`. Returns the number of octets, or 0 on failure. */
static size_t
receive_until(int fd, const char *end)
{
    const size_t length = strlen(end);
    char last[8] = "";
    size_t all = 0;

    for (;;) {
        ssize_t count = read(fd, received, sizeof received);

        if (count <= 0)
            return 0;
        all += (size_t)count;
        keep_last(last, length, (size_t)count);
        if (memcmp(last, end, length) == 0)
            return all;
    }
}

/* Sends a line and reads the answer. Returns the number of octets, or 0 on failure. */
static size_t
ask(int fd, const char *line, const char *end)
{
    return write_all(fd, line, strlen(line)) ? receive_until(fd, end) : 0;
}

/* Connects, reads the greeting and logs in if the target has a user. Returns -1 on failure. */
static int
connect_and_login(const struct target *t)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)t->port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
    };
    const struct timeval patience = {.tv_sec = PATIENCE_SECONDS, .tv_usec = 0};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char line[128];

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0 &&
        receive_until(fd, "\r\n") > 0) {
        if (t->user == NULL)
            return fd;
        snprintf(line, sizeof line, "USER %s\r\n", t->user);
        if (ask(fd, line, "\r\n") > 0 && ask(fd, "PASS secret\r\n", "\r\n") > 0)
            return fd;
    }
    close(fd);
    return -1;
}

/* Sends QUIT and waits until the server closes. Returns true if it answered. */
static bool
quit(int fd)
{
    bool answered = ask(fd, "QUIT\r\n", "\r\n") > 0;

    while (read(fd, received, sizeof received) > 0)
        continue;
    close(fd);
    return answered;
}

/* Parameters of a measurement. A measure_* function returns a negative number on failure. */
struct job {
    int clients;                /* at once */
    double seconds;             /* duration */
    int repeat;
    size_t count;               /* of messages */
    const char *command;
};

static bool
session(const struct target *t)
{
    int fd = connect_and_login(t);
    bool answered = fd >= 0 && ask(fd, "STAT\r\n", "\r\n") > 0;

    return fd >= 0 && quit(fd) && answered;
}

/* Runs sessions, one after the other, until a time. Returns their number, or -1. */
static int
sessions_until(const struct target *t, double until)
{
    int count = 0;

    do {
        if (!session(t))
            return -1;
        count++;
    } while (seconds_now() < until);
    return count;
}

/* Sessions per second of several clients at once, each a process. */
static double
measure_sessions(const struct target *t, const struct job *job)
{
    static int *counts;
    double start = seconds_now(), all = 0;

    if (counts == NULL)
        counts = shared_memory(4096);
    for (int i = 0; i < job->clients; i++) {
        counts[i] = -1;
        if (fork() == 0) {
            alarm(LIFE_SECONDS);
            counts[i] = sessions_until(t, start + job->seconds);
            _exit(0);
        }
    }
    for (int i = 0; i < job->clients; i++)
        wait(NULL);             /* the servers do not end, so this is a client */
    for (int i = 0; i < job->clients; i++) {
        if (counts[i] < 0)
            return -1;
        all += counts[i];
    }
    return all / (seconds_now() - start);
}

/* Milliseconds from connect() to the answer to STAT. */
static double
measure_stat(const struct target *t, const struct job *job)
{
    double sum = 0;

    for (int i = 0; i < job->repeat; i++) {
        double start = seconds_now();
        int fd = connect_and_login(t);

        if (fd < 0 || ask(fd, "STAT\r\n", "\r\n") == 0)
            return -1;
        sum += seconds_now() - start;
        quit(fd);
    }
    return sum * 1000 / job->repeat;
}

/* Milliseconds from a command to the end of its answer, not counting the first one of a session. */
static double
measure_listing(const struct target *t, const struct job *job)
{
    int fd = connect_and_login(t);
    double start, end;

    if (fd < 0 || ask(fd, job->command, "\r\n.\r\n") == 0)
        return -1;
    start = seconds_now();
    for (int i = 0; i < job->repeat; i++)
        if (ask(fd, job->command, "\r\n.\r\n") == 0)
            return -1;
    end = seconds_now();
    return quit(fd) ? (end - start) * 1000 / job->repeat : -1;
}

/* MiB per second of one big message. */
static double
measure_big(const struct target *t, const struct job *job)
{
    int fd = connect_and_login(t);
    double start = seconds_now();
    size_t octets = fd < 0 ? 0 : ask(fd, "RETR 1\r\n", "\r\n.\r\n");
    double end = seconds_now();

    (void)job;
    if (octets == 0)
        return -1;
    quit(fd);
    return (double)octets / (end - start) / 1048576;
}

/* Messages per second, each requested after the one before has arrived. */
static double
measure_lockstep(const struct target *t, const struct job *job)
{
    int fd = connect_and_login(t);
    double start = seconds_now(), end;
    char line[32];

    if (fd < 0)
        return -1;
    for (size_t i = 1; i <= job->count; i++) {
        snprintf(line, sizeof line, "RETR %zu\r\n", i);
        if (ask(fd, line, "\r\n.\r\n") == 0)
            return -1;
    }
    end = seconds_now();
    return quit(fd) ? (double)job->count / (end - start) : -1;
}

/*
 * Returns the octets of each answer with its status line, so that a pipelined stream can be
 * divided, or NULL on failure. Asks each server once.
 */
static const size_t *
answer_sizes(const struct target *t, size_t count)
{
    static struct { unsigned port; size_t sizes[SOME]; } known[8];
    size_t place = 0, *sizes = known[0].sizes;
    char line[32];
    int fd;

    while (place < 8 && known[place].port != 0 && known[place].port != t->port)
        place++;
    if (place == 8)
        return NULL;
    sizes = known[place].sizes;
    if (known[place].port == t->port)
        return sizes;
    fd = connect_and_login(t);
    for (size_t i = 0; i < count; i++) {
        snprintf(line, sizeof line, "RETR %zu\r\n", i + 1);
        if (fd < 0 || (sizes[i] = ask(fd, line, "\r\n.\r\n")) == 0)
            return NULL;
    }
    known[place].port = t->port;
    return quit(fd) ? sizes : NULL;
}

/* Messages per second with up to IN_FLIGHT commands in flight. */
static double
measure_pipelined(const struct target *t, const struct job *job)
{
    const size_t *sizes = t->one_answer ? NULL : answer_sizes(t, job->count);
    char lines[IN_FLIGHT * 32];
    size_t sent = 0, done = 0;
    ssize_t got = 0;
    double start, end;
    int fd;

    if ((sizes == NULL && !t->one_answer) || (fd = connect_and_login(t)) < 0)
        return -1;
    start = seconds_now();
    if (t->one_answer) {
        write_all(fd, "ALL\r\n", 5);
        while ((got = read(fd, received, sizeof received)) > 0)
            continue;
        close(fd);
        return (double)job->count / (seconds_now() - start);
    }
    while (done < job->count) {
        size_t length = 0;
        ssize_t count;

        /* Refills when half of them are answered: one write for many commands, as clients do. */
        while (sent < job->count && sent < done + IN_FLIGHT &&
               (length > 0 || sent <= done + IN_FLIGHT / 2))
            length += (size_t)sprintf(lines + length, "RETR %zu\r\n", ++sent);
        if (length > 0 && !write_all(fd, lines, length))
            return -1;
        count = read(fd, received, sizeof received);
        if (count <= 0)
            return -1;
        for (got += count; done < job->count && (size_t)got >= sizes[done]; done++)
            got -= (ssize_t)sizes[done];
    }
    end = seconds_now();
    return quit(fd) ? (double)job->count / (end - start) : -1;
}

/* Delivers a message, or removes it. */
static void
change_store(const char *store, bool in)
{
    char from[4096], to[4096];
    int file;

    snprintf(from, sizeof from, "%s/tmp/one", store);
    snprintf(to, sizeof to, "%s/cur/1050000.new,S=7,W=8:2,S", store);
    if (!in) {
        unlink(to);
    } else if ((file = open(from, O_WRONLY | O_CREAT | O_TRUNC, 0644)) >= 0) {
        write_all(file, "A: b\n\nc\n", 8);
        close(file);
        rename(from, to);
    }
}

/* Milliseconds of a session, after a change of the store that is not counted. */
static double
measure_session(const struct target *t, const struct job *job)
{
    double sum = 0;

    for (int i = 0; i < job->repeat; i++) {
        double start;

        if (t->change != NULL)
            change_store(t->change, i % 2 == 0);
        start = seconds_now();
        if (!session(t))
            return -1;
        sum += seconds_now() - start;
    }
    return sum * 1000 / job->repeat;
}

/* Returns the private or resident memory of a process in KiB, or -1. */
static double
process_memory(pid_t pid, bool private)
{
    char path[64], line[256];
    double sum = 0, number;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    if ((file = fopen(path, "r")) == NULL)
        return -1;
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, private ? "Private_%*[CleanDirty]: %lf" : "Rss: %lf", &number) == 1)
            sum += number;
    fclose(file);
    return sum;
}

/* Returns the last child of a process, or -1. */
static pid_t
last_child(pid_t parent)
{
    DIR *directory = opendir("/proc");
    struct dirent *entry;
    int found = -1;

    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        int pid = atoi(entry->d_name), ppid;
        char path[64];
        FILE *file;

        snprintf(path, sizeof path, "/proc/%d/stat", pid);
        if (pid <= 0 || (file = fopen(path, "r")) == NULL)
            continue;
        if (fscanf(file, "%*d (%*[^)]) %*c %d", &ppid) == 1 && ppid == (int)parent && pid > found)
            found = pid;
        fclose(file);
    }
    if (directory != NULL)
        closedir(directory);
    return found;
}

/* Private memory of an idle session in KiB. */
static double
measure_memory(const struct target *t, const struct job *job)
{
    int fd = connect_and_login(t);
    double private;

    (void)job;
    if (fd < 0 || ask(fd, "STAT\r\n", "\r\n") == 0)
        return -1;
    private = process_memory(last_child(t->pid), true);
    quit(fd);
    return private;
}

/* ---- Programs -------------------------------------------------------------------------------- */

static pid_t started[32];       /* to be ended at exit; 0: free */

static void
end_started(void)
{
    for (size_t i = 0; i < sizeof started / sizeof *started; i++)
        if (started[i] > 0)
            kill(started[i], SIGTERM);
}

static void
end_early(int number)
{
    end_started();
    _exit(128 + number);
}

/* Starts a shell command. Returns its pid, and in *out a pipe with its output. */
static pid_t
start(const char *command, int *out)
{
    int ends[2];
    size_t place = 0;
    pid_t pid;

    while (place < sizeof started / sizeof *started - 1 && started[place] > 0)
        place++;
    if (pipe2(ends, O_CLOEXEC) != 0 || (pid = fork()) < 0)
        die("cannot start a program: %s", strerror(errno));
    if (pid == 0) {
        alarm(LIFE_SECONDS);    /* it survives exec */
        dup2(ends[1], STDOUT_FILENO);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    started[place] = pid;
    close(ends[1]);
    *out = ends[0];
    return pid;
}

/* Waits for a program. Returns true if its status is 0. */
static bool
wait_program(pid_t pid)
{
    int status = -1;

    waitpid(pid, &status, 0);
    for (size_t i = 0; i < sizeof started / sizeof *started; i++)
        if (started[i] == pid)
            started[i] = 0;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Starts a server and waits for its line "listening on". */
static struct target
start_server(const char *name, const char *command)
{
    struct target t = {.name = name};
    char line[512] = "";
    int out;
    const char *port;
    ssize_t length;

    t.pid = start(command, &out);
    length = read(out, line, sizeof line - 1);
    port = length > 0 ? strstr(line, " port ") : NULL;
    if (port == NULL)
        die("%s did not start: %s", name, command);
    t.port = (unsigned)atoi(port + 6);  /* its output stays open for further lines */
    return t;
}

static void
stop_server(struct target *t)
{
    kill(t->pid, SIGTERM);
    wait_program(t->pid);
}

/* Milliseconds from the start of a program to its first output. */
static double
measure_start(const struct target *t, const struct job *job)
{
    double begin = seconds_now(), end;
    char word[512];
    int out;
    pid_t pid = start(t->command, &out);
    bool printed = read(out, word, sizeof word) > 0;

    (void)job;
    end = seconds_now();
    kill(pid, SIGTERM);
    wait_program(pid);
    close(out);
    return printed ? (end - begin) * 1000 : -1;
}

/* Milliseconds of a client, in a directory with a new "out". */
static double
measure_fetch(const struct target *t, const struct job *job)
{
    char command[4200];
    double begin;
    int out;
    bool success;

    snprintf(command, sizeof command,
             "cd %s && rm -rf out && mkdir -p out/cur out/new out/tmp && sync -f .", job->command);
    if (system(command) != 0)
        return -1;
    snprintf(command, sizeof command, "cd %s && %s >/dev/null", job->command, t->command);
    begin = seconds_now();
    success = wait_program(start(command, &out));
    close(out);
    return success ? (seconds_now() - begin) * 1000 : -1;
}

/* "loop": the simplest client. It writes each answer to a file. */
static void
fetch_loop(unsigned port, size_t count, const char *out)
{
    const struct target t = {.port = port};
    int fd = connect_and_login(&t);

    for (size_t i = 1; i <= count; i++) {
        char line[32], name[4200];
        char last[5] = "";
        int file;

        snprintf(name, sizeof name, "%s/%zu", out, i);
        snprintf(line, sizeof line, "RETR %zu\r\n", i);
        file = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        write_all(fd, line, strlen(line));
        while (memcmp(last, "\r\n.\r\n", 5) != 0) {
            ssize_t length = read(fd, received, sizeof received);

            if (length <= 0 || !write_all(file, received, (size_t)length))
                die("cannot fetch");
            keep_last(last, 5, (size_t)length);
        }
        close(file);
    }
    quit(fd);
}

/* ---- The table ------------------------------------------------------------------------------- */

typedef double measure(const struct target *, const struct job *);

/* A row of the table, and its goal for the second target. */
struct row {
    const char *what;
    const char *unit;
    bool less;                  /* less is better */
    double ratio;               /* the goal as a ratio; 0: none */
    double value;               /* the goal as a value; 0: none */
    bool faster_than_all;                  /* another goal: better than all that follow */
    size_t messages;            /* their number begins the title; 0: none */
};

static const char *
title(const struct row *row)
{
    static char text[100];

    if (row->messages == 0)
        return row->what;
    snprintf(text, sizeof text, "%zu %s", row->messages, row->what);
    return text;
}

static int rounds;
static int met, missed;

static int
by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Sorts the samples. */
static double
median(double *samples)
{
    qsort(samples, (size_t)rounds, sizeof *samples, by_size);
    return samples[rounds / 2];
}

/* Prints the goal, and "met" or "MISSED". */
static void
print_goal(const struct row *row, double ratio, double value)
{
    double goal = row->ratio > 0 ? row->ratio : row->value, is = row->ratio > 0 ? ratio : value;
    bool good = row->less ? is <= goal : is >= goal;

    if (goal <= 0)
        return;
    printf("  %s%.4g%s%s %s", row->less ? "<=" : ">=", goal, row->ratio > 0 ? "" : " ",
           row->ratio > 0 ? "" : row->unit, good ? "met" : "MISSED");
    met += good;
    missed += !good;
}

/* Prints "met" or "MISSED": is the client faster than this target, in the median? */
static void
print_faster(const double *ours_sorted, const double *theirs_sorted)
{
    bool good = ours_sorted[rounds / 2] < theirs_sorted[rounds / 2];

    printf("  client is faster %s", good ? "met" : "MISSED");
    met += good;
    missed += !good;
}

static void
header(void)
{
    printf("%-44s %-10s %7s %-15s %12s %-6s goal\n", "", "", "ratio", " (min..max)", "median", "");
}

/* Measures the targets in turn, compares them with the first one, and prints the row. */
static void
compare(const struct row *row, measure *measure_one, const struct job *job,
        const struct target *targets, int count)
{
    double samples[8][ROUNDS_MAX], ratios[8][ROUNDS_MAX];
    bool failed[8] = {false};

    for (int round = 0; round < rounds; round++)
        for (int k = 0; k < count; k++) {
            int i = (round + k) % count;

            samples[i][round] = failed[i] ? -1 : measure_one(&targets[i], job);
            failed[i] = samples[i][round] < 0;
        }
    for (int i = 0; i < count; i++)
        for (int round = 0; round < rounds; round++)
            ratios[i][round] = samples[i][round] / samples[0][round];
    for (int i = 0; i < count; i++) {
        double ratio = median(ratios[i]), value = median(samples[i]);

        printf("%-44s %-10s ", i == 0 ? title(row) : "", targets[i].name);
        if (failed[i])
            printf("failed");
        else if (i == 0)
            printf("%7s %-15s %12.6g %-6s", "1", "", value, row->unit);
        else
            printf("%7.3f (%5.2f..%5.2f)  %12.6g %-6s", ratio, ratios[i][0],
                   ratios[i][rounds - 1], value, row->unit);
        if (i == 1 && !failed[i])
            print_goal(row, ratio, value);
        if (i > 1 && row->faster_than_all && !failed[i] && !failed[1])
            print_faster(ratios[1], ratios[i]);
        putchar('\n');
    }
    fflush(stdout);
}

static struct {
    const char *work, *server, *client, *self;
    const char *other;          /* another build of the server, or NULL */
    unsigned dovecot_port;             /* its port; 0: not available */
    bool mpop, curl;
} config;

static struct target floor_text, ready_some, ready_many;
static struct target ours[STORES];      /* the server, on each of the stores */
static struct target other_servers[STORES];    /* the other build of it */

static const char *
server_command(const char *server, const char *store)
{
    static char command[8192];

    snprintf(command, sizeof command, "exec %s -a 127.0.0.1 -d %s/%s/cur -t 120 0 2>/dev/null",
             server, config.work, store);
    return command;
}

static struct target
start_kind(const char *name, const char *kind, const char *store)
{
    char command[8192];

    snprintf(command, sizeof command, "exec %s serve %s %s/%s/cur", config.self, kind, config.work,
             store);
    return start_server(name, command);
}

static struct target
dovecot_target(int store)
{
    return (struct target){
        .name = "dovecot", .port = config.dovecot_port, .user = stores[store].name};
}

/* The floor, the server, and if available the other build and Dovecot. Returns their number. */
static int
add_targets(struct target targets[4], struct target floor, int store, bool with_dovecot)
{
    int count = 0;

    targets[count++] = floor;
    targets[count++] = ours[store];
    if (config.other != NULL)
        targets[count++] = other_servers[store];
    if (with_dovecot && config.dovecot_port != 0)
        targets[count++] = dovecot_target(store);
    return count;
}

static void
rows_sessions(void)
{
    static const int clients[] = {1, 4, 16};
    char what[100];

    for (int store = S_FEW; store <= S_MANY; store++)
        for (int i = 0; i < 3; i++) {
            const struct job job = {.clients = clients[i], .seconds = quick ? 0.06 : 0.4};
            const struct row row = {.what = what,
                                    .unit = "/s",
                                    .ratio = store == S_FEW ? 0.85 : 0.8,
                                    .messages = store_count(store)};
            const bool with_dovecot = store != S_LINKED && (!quick || (store == S_FEW && i != 1));
            struct target targets[4];
            int count = add_targets(targets, floor_text, store, with_dovecot);

            if (store == S_LINKED && i != 1)
                continue;
            snprintf(what, sizeof what, "messages%s: sessions, %d at once",
                     store == S_LINKED ? " with 2 links" : "", clients[i]);
            compare(&row, measure_sessions, &job, targets, count);
        }
}

static void
rows_listings(void)
{
    struct target targets[4];
    const struct job stat = {.repeat = quick ? 10 : 50}, once = {.repeat = 1};
    struct job list = {.repeat = quick ? 2 : 5, .command = "LIST\r\n"};
    struct row row = {.unit = "ms", .less = true, .messages = store_count(S_MANY)};
    int count = add_targets(targets, ready_many, S_MANY, false);

    row.what = "messages: connect to STAT's answer";
    row.value = 2;
    compare(&row, measure_stat, &stat, targets, count);
    row.value = 0;
    count = add_targets(targets, ready_many, S_MANY, !quick);
    if (config.dovecot_port != 0 && !quick)
        compare(&row, measure_stat, &once, (struct target[]){ready_many, targets[count - 1]}, 2);
    row.what = "messages: LIST, not the first";
    compare(&row, measure_listing, &list, targets, count);
    row.what = "messages: UIDL, not the first";
    list.command = "UIDL\r\n";
    compare(&row, measure_listing, &list, targets, count);
}

static void
rows_big(size_t mib)
{
    struct target floor = start_kind("loop", "wire", "crlf");
    char what[100];

    for (int store = S_LF; store <= S_CRLF; store++) {
        const struct row row = {.what = what, .unit = "MiB/s", .ratio = 0.9};
        struct target targets[4];
        int count = add_targets(targets, floor, store, !quick);

        snprintf(what, sizeof what, "RETR of %zu MiB, %s file", mib, store == S_LF ? "LF" : "CRLF");
        compare(&row, measure_big, &(struct job){0}, targets, count);
    }
    stop_server(&floor);
}

static void
rows_small(void)
{
    struct target copy = start_kind("copy loop", "copy", "some");
    const struct job job = {.count = store_count(S_SOME)};
    struct row row = {.unit = "/s", .messages = store_count(S_SOME)};
    struct target targets[4];
    int count = add_targets(targets, ready_some, S_SOME, true);

    copy.one_answer = true;
    row.what = "x 2 KiB, lock-step";
    row.ratio = 0.8;
    compare(&row, measure_lockstep, &job, targets, count);
    row.what = "x 2 KiB, 64 in flight, against ready";
    row.ratio = 0;
    compare(&row, measure_pipelined, &job, targets, count);
    row.what = "x 2 KiB, 64 in flight, against a copy";
    targets[0] = copy;
    compare(&row, measure_pipelined, &job, targets, count);
    row.what = "x 2 KiB, 64 in flight, against Dovecot";
    row.ratio = 2;
    if (config.dovecot_port != 0)
        compare(&row, measure_pipelined, &job,
                (struct target[]){targets[count - 1], targets[1]}, 2);
    stop_server(&copy);
}

static void
rows_memory(void)
{
    static const int measured[] = {S_FEW, S_MANY};
    struct row row = {.what = "messages: private memory of an idle session",
                      .unit = "KiB",
                      .less = true,
                      .value = 60};
    double few = process_memory(ours[S_FEW].pid, false);
    double many = process_memory(ours[S_MANY].pid, false);

    for (int i = 0; i < 2; i++) {
        row.messages = store_count(measured[i]);
        compare(&row, measure_memory, &(struct job){0},
                (struct target[]){floor_text, ours[measured[i]]}, 2);
    }
    if (few > 0 && many > few) {
        double each = (many - few) * 1024 / (double)(store_count(S_MANY) - store_count(S_FEW));

        row.what = "messages: memory of the parent for each";
        row.unit = "bytes";
        row.value = 150;
        printf("%-44s %-10s %7s %-15s %12.6g %-6s", title(&row), "server", "", "", each, row.unit);
        print_goal(&row, 0, each);
        putchar('\n');
    }
}

static void
rows_start(void)
{
    const struct row row = {.what = "messages: the start",
                            .unit = "ms",
                            .less = true,
                            .ratio = 1.6,
                            .messages = store_count(S_MANY)};
    char touching[8192], serving[8192], other[8192];
    const struct target targets[] = {{.name = "touch", .command = touching},
                                     {.name = "server", .command = serving},
                                     {.name = "other", .command = other}};

    snprintf(touching, sizeof touching, "exec %s touch %s/many/cur", config.self, config.work);
    snprintf(serving, sizeof serving, "%s", server_command(config.server, "many"));
    if (config.other != NULL)
        snprintf(other, sizeof other, "%s", server_command(config.other, "many"));
    compare(&row, measure_start, &(struct job){0}, targets, config.other != NULL ? 3 : 2);
}

static void
rows_change(void)
{
    const struct row row = {.what = "messages: the next session",
                            .unit = "ms",
                            .less = true,
                            .value = 40,
                            .messages = store_count(S_MANY)};
    const struct job job = {.repeat = quick ? 10 : 40};
    struct target targets[2] = {ours[S_MANY], ours[S_MANY]};
    char store[4096];

    snprintf(store, sizeof store, "%s/many", config.work);
    targets[0].name = "no change";
    targets[1].name = "one in/out";
    targets[1].change = store;
    compare(&row, measure_session, &job, targets, 2);
}

/* One row of clients that retrieve from the server into a directory. */
static void
row_fetch(const char *out, int store, const char *place)
{
    const unsigned port = ours[store].port;
    const size_t count = store_count(store);
    char what[120], loop[4200], client[4200], curl[300], mpop[600];
    const struct row row = {.what = what, .unit = "ms", .less = true, .faster_than_all = true};
    const struct job job = {.command = out};
    struct target targets[4] = {{.name = "loop", .command = loop},
                                {.name = "client", .command = client}};
    int targets_count = 2;

    snprintf(what, sizeof what, "RETR * of %zu x %s to %s", count,
             store == S_MIDDLE ? "1 MiB" : "2 KiB", place);
    snprintf(loop, sizeof loop, "exec %s loop %u %zu out", config.self, port, count);
    snprintf(client, sizeof client, "printf 'RETR *\\nQUIT\\n' | %s -d out 127.0.0.1 %u",
             config.client, port);
    snprintf(curl, sizeof curl, "exec curl -s -o 'out/#1' 'pop3://127.0.0.1:%u/[1-%zu]'", port,
             count);
    snprintf(mpop, sizeof mpop,
             "printf '%%s\\n' 'account a' 'host 127.0.0.1' 'port %u' 'user a' 'password b' "
             "'auth user' 'tls off' 'keep on' \"uidls_file $PWD/out/uidls\" "
             "\"delivery maildir $PWD/out\" 'received_header off' >out/rc; "
             "chmod 600 out/rc; exec mpop -C out/rc --quiet a", port);
    if (config.mpop)
        targets[targets_count++] = (struct target){.name = "mpop", .command = mpop};
    if (config.curl)
        targets[targets_count++] = (struct target){.name = "curl", .command = curl};
    compare(&row, measure_fetch, &job, targets, targets_count);
}

static bool
installed(const char *program)
{
    char command[100];

    snprintf(command, sizeof command, "command -v %s >/dev/null", program);
    if (system(command) == 0)
        return true;
    printf("skipped: %s is not installed\n", program);
    return false;
}

/* Lets Dovecot build its indexes. If it does not serve a store, it is left out. */
static void
warm_dovecot(void)
{
    for (int store = 0; store < STORES && config.dovecot_port != 0; store++) {
        const struct target t = dovecot_target(store);

        bool measured = store == S_FEW || store == S_SOME ||
                        (!quick && store != S_MIDDLE && store != S_DISK);

        if (measured && !session(&t)) {
            printf("skipped: dovecot does not serve the store %s\n", stores[store].name);
            config.dovecot_port = 0;
        }
    }
}

static void
table(size_t mib, const char *tmpfs, const char *disk)
{
    signal(SIGTERM, end_early);
    signal(SIGINT, end_early);
    signal(SIGPIPE, SIG_IGN);
    atexit(end_started);
    rounds = 5;
    config.mpop = installed("mpop");
    config.curl = installed("curl");
    floor_text = start_kind("floor", "text", "few");
    ready_some = start_kind("ready", "ready", "some");
    ready_many = start_kind("ready", "ready", "many");
    for (int i = 0; i < STORES; i++)
        ours[i] = start_server("server", server_command(config.server, stores[i].name));
    for (int i = 0; i < STORES && config.other != NULL; i++)
        other_servers[i] = start_server("other", server_command(config.other, stores[i].name));
    warm_dovecot();

    header();
    rows_memory();
    rounds = quick ? 5 : 9;     /* short measurements that vary more */
    rows_sessions();
    rows_small();
    rounds = 5;
    rows_listings();
    rows_big(mib);
    rows_start();
    rows_change();
    row_fetch(tmpfs, S_SOME, "memory");
    row_fetch(tmpfs, S_MIDDLE, "memory");
    if (*disk != '\0') {
        row_fetch(disk, S_DISK, "disk");
        row_fetch(disk, S_MIDDLE, "disk");
    }
    printf("%d goals met, %d missed\n", met, missed);
}

int
main(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "";
    unsigned port;

    if (strcmp(command, "make") == 0 && argc == 5) {
        quick = strcmp(argv[2], "quick") == 0;
        make_stores(argv[3], (size_t)atoi(argv[4]) * 1024 * 1024);
    } else if (strcmp(command, "port") == 0) {
        close(listen_somewhere(&port));
        printf("%u\n", port);
    } else if (strcmp(command, "serve") == 0 && argc == 4) {
        serve(argv[2], argv[3]);
    } else if (strcmp(command, "touch") == 0 && argc == 3) {
        touch(argv[2]);
    } else if (strcmp(command, "loop") == 0 && argc == 5) {
        fetch_loop((unsigned)atoi(argv[2]), (size_t)atoi(argv[3]), argv[4]);
    } else if (strcmp(command, "table") == 0 && argc == 10) {
        config.self = argv[0];
        quick = strcmp(argv[2], "quick") == 0;
        config.work = argv[3];
        config.server = argv[4];
        config.other = getenv("OTHER_SERVER");
        config.client = argv[5];
        config.dovecot_port = (unsigned)atoi(argv[6]);
        table((size_t)atoi(argv[7]), argv[8], argv[9]);
    } else {
        die("see bench.sh for how it is called");
    }
    return 0;
}
