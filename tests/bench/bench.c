/*
 * bench.c - the measuring part of bench.sh: what stands beside the server and the client in the table
 *
 *   bench make MODE DIR SIZE       makes the stores; SIZE is that of the big message in MiB
 *   bench port                     prints a TCP port that is free
 *   bench serve KIND DIR           a server to compare with: text, ready, copy or wire (see below)
 *   bench touch DIR                opens, reads and closes every file once, then says so
 *   bench loop PORT COUNT OUT      fetches messages 1 to COUNT, one after the other, into files
 *   bench table MODE DIR SERVER CLIENT DOVECOT SIZE OUT DISK
 *                                  measures, and prints the table; MODE is quick or full
 *
 * Every row compares programs in rounds: each is measured once a round, in turn, and a ratio is taken within
 * its round. What disturbs the machine for longer than a round then disturbs both sides of a ratio.
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
    DEEP = 64,                  /* commands on their way when pipelining */
    BLOCK = 64 * 1024,
    LARGE = 256 * 1024,
    LINE = 76,                  /* characters of a line in the messages, as base64 has them */
    SMALL = 2048,               /* octets of a small message */
    MANY = 100000, SOME = 10000,    /* messages, at most */
    SETTLE_SECONDS = 4,
    LIFE_SECONDS = 600,         /* of anything that is started from here */
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

/* The stores, and how many messages they have. */
enum { S_FEW, S_SOME, S_LINKED, S_MANY, S_MIDDLE, S_DISK, S_LF, S_CRLF, STORES };

struct store {
    const char *name;
    size_t count, quick_count;
    const char *end;            /* of its lines */
};

static const struct store stores[STORES] = {
    [S_FEW] = {"few", 3, 3, "\n"},          [S_SOME] = {"some", SOME, 2000, "\n"},
    [S_LINKED] = {"linked", SOME, 2000, "\n"},     /* each file has a second name elsewhere */
    [S_MANY] = {"many", MANY, 20000, "\n"}, [S_MIDDLE] = {"middle", 200, 50, "\n"},
    [S_DISK] = {"disk", 2000, 1, "\n"},    /* for clients that write to a disk, where each costs more */
    [S_LF] = {"lf", 1, 1, "\n"},            [S_CRLF] = {"crlf", 1, 1, "\r\n"},
};

static bool quick;

static size_t
store_count(int store)
{
    return quick ? stores[store].quick_count : stores[store].count;
}

/* ---- The stores -------------------------------------------------------------------------------------- */

/* Fills a text with lines of what looks like base64, each with this end. */
static void
fill_lines(char *text, size_t size, const char *end)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const size_t line = LINE + strlen(end);
    uint32_t random = 1;

    for (size_t i = 0; i < size; i++) {
        size_t column = i % line;

        random = random * 1664525 + 1013904223;
        text[i] = column < LINE ? letters[random >> 26] : end[column - LINE];
    }
}

/*
 * Writes one message of that many octets into a store. The name is what Dovecot likes best, with the size of
 * the file and on the wire in it, so that it need not read the file to know them.
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
    length = (size_t)snprintf(header, sizeof header, "From: Ann <ann@example.org>%sTo: bob@example.org%s"
                              "Subject: message %zu%sMessage-ID: <%zu@example.org>%s%s",
                              end, end, number, end, number, end, end);
    left = (size - length) / line * line;       /* whole lines, so that the last one has its end */
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

/* Gives each file of a store a second name beside it, as a backup by "cp -al" does. */
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

/* Makes a Maildir with so many messages of that size. */
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
        make_store(work, stores[i].name, store_count(i), i == S_MIDDLE ? 1024 * 1024 : i >= S_LF ? big : SMALL,
                   stores[i].end);
    link_store(work, stores[S_LINKED].name);
    sleep(SETTLE_SECONDS);      /* mail is not that new: a server may look twice at what has just been written */
}

/* ---- Servers to compare with: a process for each connection, and as little else as can be --------------- */

/* What a server has at hand. All of it is made before the first connection, and shared with the sessions. */
static struct ready {
    int directory;
    size_t count;
    char **names;
    const char *list, *uidl, *end;      /* one text behind the other */
    const char **messages;              /* count + 1 of them: each ends where the next begins */
    unsigned char *block;
} ready;

static int
by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Reads the names in a store, in order. */
static void
ready_names(const char *path)
{
    DIR *directory = opendir(path);
    struct dirent *entry;
    char *text = shared_memory(MANY * 64);      /* like all of it: a fork copies none */

    ready.names = shared_memory(MANY * sizeof *ready.names);
    if (directory == NULL)
        die("%s: %s", path, strerror(errno));
    while ((entry = readdir(directory)) != NULL && ready.count < MANY)
        if (entry->d_name[0] != '.') {
            ready.names[ready.count++] = text;
            text += snprintf(text, 64, "%.63s", entry->d_name) + 1;
        }
    qsort(ready.names, ready.count, sizeof *ready.names, by_name);
    ready.directory = open(path, O_RDONLY | O_DIRECTORY);
    ready.block = shared_memory(2 * LARGE);
    closedir(directory);
}

/* Turns small files into answers, LF into CRLF. The messages of these stores have no dots to double. */
static char *
ready_message(char *to, const char *name)
{
    int file = openat(ready.directory, name, O_RDONLY);
    ssize_t count = read(file, ready.block, LARGE);

    close(file);
    to += sprintf(to, "+OK %zd octets\r\n", count);
    for (ssize_t i = 0; i < count; i++) {
        if (ready.block[i] == '\n')
            *to++ = '\r';
        *to++ = (char)ready.block[i];
    }
    return to + sprintf(to, ".\r\n");
}

static void
ready_texts(void)
{
    char *to = shared_memory(ready.count * 80 + 100);
    char *texts = shared_memory(ready.count <= SOME ? ready.count * 3 * SMALL : 1);
    size_t i;

    ready.list = to;
    to += sprintf(to, "+OK\r\n");
    for (i = 0; i < ready.count; i++)
        to += sprintf(to, "%zu %d\r\n", i + 1, SMALL);
    ready.uidl = to += sprintf(to, ".\r\n");
    to += sprintf(to, "+OK\r\n");
    for (i = 0; i < ready.count; i++)
        to += sprintf(to, "%zu %032zx\r\n", i + 1, i * 2654435761u);
    ready.end = to += sprintf(to, ".\r\n");
    ready.messages = shared_memory((ready.count + 1) * sizeof *ready.messages);
    for (i = 0; i < ready.count && ready.count <= SOME; i++) {
        ready.messages[i] = texts;
        texts = ready_message(texts, ready.names[i]);
        ready.messages[i + 1] = texts;
    }
}

/* "text": the floor of a session. One read, one fixed answer. */
static void
talk_text(int fd)
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
ready_answer(const char *line, const char **from, const char **to)
{
    static const char ok[] = "+OK 100000 204800000\r\n";
    size_t number;

    *from = ok;
    *to = ok + sizeof ok - 1;
    if (line[0] == 'R') {
        number = strtoul(line + 5, NULL, 10) - 1;
        *from = ready.messages[number];
        *to = ready.messages[number + 1];
    } else if (line[0] == 'L') {
        *from = ready.list;
        *to = ready.uidl;
    } else if (line[0] == 'U') {
        *from = ready.uidl;
        *to = ready.end;
    }
}

/* "ready": every answer is in memory. What follows each other there goes out in one write. */
static void
talk_ready(int fd)
{
    static char lines[BLOCK];
    size_t have = 0;
    ssize_t count;

    write_all(fd, "+OK ready\r\n", 11);
    while ((count = read(fd, lines + have, sizeof lines - have)) > 0) {
        const char *start = NULL, *end = NULL, *from, *to, *at = lines, *lf;

        have += (size_t)count;
        for (; (lf = memchr(at, '\n', have - (size_t)(at - lines))) != NULL; at = lf + 1) {
            ready_answer(at, &from, &to);
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

/* "copy": the files as they are, opened, read, closed and written out, with no protocol. */
static void
talk_copy(int fd)
{
    size_t have = 0;

    write_all(fd, "+OK ready\r\n", 11);
    if (read(fd, ready.block, BLOCK) <= 0)
        return;
    for (size_t i = 0; i < ready.count; i++) {
        int file = openat(ready.directory, ready.names[i], O_RDONLY);
        ssize_t count = read(file, ready.block + have, LARGE);

        close(file);
        have += count > 0 ? (size_t)count : 0;
        if (have >= DEEP * SMALL || i + 1 == ready.count) {
            write_all(fd, ready.block, have);
            have = 0;
        }
    }
}

/* "wire": one file that is in wire form already, through a block of 64 KiB. */
static void
talk_wire(int fd)
{
    ssize_t count;
    int file;

    write_all(fd, "+OK ready\r\n", 11);
    if (read(fd, ready.block, BLOCK) <= 0)
        return;
    file = openat(ready.directory, ready.names[0], O_RDONLY);
    while ((count = read(file, ready.block, BLOCK)) > 0)
        write_all(fd, ready.block, (size_t)count);
    write_all(fd, ".\r\n", 3);
    if (read(fd, ready.block, BLOCK) > 0)
        write_all(fd, "+OK bye\r\n", 9);
}

static int
listen_somewhere(unsigned *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) != 0 || listen(fd, SOMAXCONN) != 0 ||
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
    void (*talk)(int) = strcmp(kind, "text") == 0 ? talk_text : strcmp(kind, "ready") == 0 ? talk_ready :
                        strcmp(kind, "copy") == 0 ? talk_copy : talk_wire;

    if (talk != talk_text)
        ready_names(store);
    if (talk == talk_ready)
        ready_texts();
    signal(SIGCHLD, SIG_IGN);
    printf("listening on 127.0.0.1 port %u\n", port);
    fflush(stdout);
    for (;;) {
        int fd = accept(listening, NULL, NULL);

        if (fd < 0)
            continue;
        if (fork() == 0) {
            close(listening);
            talk(fd);
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

/* ---- Clients ------------------------------------------------------------------------------------------ */

/* Something that is measured. */
struct target {
    const char *name;
    unsigned port;
    const char *user;           /* log in as this one; NULL: no login */
    pid_t pid;
    const char *command;        /* a program that fetches, or starts */
    bool bare;                  /* answers any line with everything, then closes */
    const char *change;         /* a store that is changed before the session */
};

static unsigned char taken[LARGE];

/* Notes in last, of that length, the last octets that came, of which count were taken now. */
static void
keep_last(char *last, size_t length, size_t count)
{
    size_t kept = count < length ? length - count : 0;

    memmove(last, last + length - kept, kept);
    memcpy(last + kept, taken + count - (length - kept), length - kept);
}

/* Reads until the octets so far end in this. Returns their number, 0 when they do not come. */
static size_t
take_until(int fd, const char *end)
{
    const size_t length = strlen(end);
    char last[8] = "";
    size_t all = 0;

    for (;;) {
        ssize_t count = read(fd, taken, sizeof taken);

        if (count <= 0)
            return 0;
        all += (size_t)count;
        keep_last(last, length, (size_t)count);
        if (memcmp(last, end, length) == 0)
            return all;
    }
}

/* Says a line and takes the answer, which ends in this. Returns its octets, 0 when there is none. */
static size_t
ask(int fd, const char *line, const char *end)
{
    return write_all(fd, line, strlen(line)) ? take_until(fd, end) : 0;
}

/* Connects, takes the greeting and logs in where that is wanted. Returns -1 when it cannot. */
static int
enter(const struct target *t)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)t->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
    };
    const struct timeval patience = {.tv_sec = PATIENCE_SECONDS, .tv_usec = 0};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char line[128];

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0 && take_until(fd, "\r\n") > 0) {
        if (t->user == NULL)
            return fd;
        snprintf(line, sizeof line, "USER %s\r\n", t->user);
        if (ask(fd, line, "\r\n") > 0 && ask(fd, "PASS secret\r\n", "\r\n") > 0)
            return fd;
    }
    close(fd);
    return -1;
}

/* Ends a session and waits until the server has closed. Returns whether it answered. */
static bool
leave(int fd)
{
    bool answered = ask(fd, "QUIT\r\n", "\r\n") > 0;

    while (read(fd, taken, sizeof taken) > 0)
        continue;
    close(fd);
    return answered;
}

/* What is to be measured of each target. The measures return a negative number when it went wrong. */
struct job {
    int clients;                /* at once */
    double seconds;             /* to go on for */
    int repeat;
    size_t count;               /* of messages */
    const char *command;
};

static bool
session(const struct target *t)
{
    int fd = enter(t);
    bool answered = fd >= 0 && ask(fd, "STAT\r\n", "\r\n") > 0;

    return fd >= 0 && leave(fd) && answered;
}

/* Holds sessions, one after the other, until a moment. Returns how many, or -1. */
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

/* Sessions a second, by so many clients at once, each a process. */
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
        wait(NULL);             /* the servers live on: who ends is a client */
    for (int i = 0; i < job->clients; i++) {
        if (counts[i] < 0)
            return -1;
        all += counts[i];
    }
    return all / (seconds_now() - start);
}

/* Milliseconds from connecting to STAT's answer. */
static double
measure_stat(const struct target *t, const struct job *job)
{
    double sum = 0;

    for (int i = 0; i < job->repeat; i++) {
        double start = seconds_now();
        int fd = enter(t);

        if (fd < 0 || ask(fd, "STAT\r\n", "\r\n") == 0)
            return -1;
        sum += seconds_now() - start;
        leave(fd);
    }
    return sum * 1000 / job->repeat;
}

/* Milliseconds from a command to the end of its answer, in a session that had it once before. */
static double
measure_listing(const struct target *t, const struct job *job)
{
    int fd = enter(t);
    double start, end;

    if (fd < 0 || ask(fd, job->command, "\r\n.\r\n") == 0)
        return -1;
    start = seconds_now();
    for (int i = 0; i < job->repeat; i++)
        if (ask(fd, job->command, "\r\n.\r\n") == 0)
            return -1;
    end = seconds_now();
    return leave(fd) ? (end - start) * 1000 / job->repeat : -1;
}

/* MiB a second of one big message. */
static double
measure_big(const struct target *t, const struct job *job)
{
    int fd = enter(t);
    double start = seconds_now();
    size_t octets = fd < 0 ? 0 : ask(fd, "RETR 1\r\n", "\r\n.\r\n");
    double end = seconds_now();

    (void)job;
    if (octets == 0)
        return -1;
    leave(fd);
    return (double)octets / (end - start) / 1048576;
}

/* Messages a second, each asked for when the one before is there; or all of them unasked. */
static double
measure_lockstep(const struct target *t, const struct job *job)
{
    int fd = enter(t);
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
    return leave(fd) ? (double)job->count / (end - start) : -1;
}

/*
 * Returns how many octets each answer has, status line included, to know in a stream where each ends; NULL when
 * it cannot be learned. It is asked for but once.
 */
static const size_t *
learn_sizes(const struct target *t, size_t count)
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
    fd = enter(t);
    for (size_t i = 0; i < count; i++) {
        snprintf(line, sizeof line, "RETR %zu\r\n", i + 1);
        if (fd < 0 || (sizes[i] = ask(fd, line, "\r\n.\r\n")) == 0)
            return NULL;
    }
    known[place].port = t->port;
    return leave(fd) ? sizes : NULL;
}

/* Messages a second, DEEP commands ahead. */
static double
measure_pipelined(const struct target *t, const struct job *job)
{
    const size_t *sizes = t->bare ? NULL : learn_sizes(t, job->count);
    char lines[DEEP * 32];
    size_t sent = 0, done = 0;
    ssize_t got = 0;
    double start, end;
    int fd;

    if ((sizes == NULL && !t->bare) || (fd = enter(t)) < 0)
        return -1;
    start = seconds_now();
    if (t->bare) {
        write_all(fd, "ALL\r\n", 5);
        while ((got = read(fd, taken, sizeof taken)) > 0)
            continue;
        close(fd);
        return (double)job->count / (seconds_now() - start);
    }
    while (done < job->count) {
        size_t length = 0;
        ssize_t count;

        /* Topped up when half of it is answered: one write for many commands, as a client does that can. */
        while (sent < job->count && sent < done + DEEP && (length > 0 || sent <= done + DEEP / 2))
            length += (size_t)sprintf(lines + length, "RETR %zu\r\n", ++sent);
        if ((length > 0 && !write_all(fd, lines, length)) || (count = read(fd, taken, sizeof taken)) <= 0)
            return -1;
        for (got += count; done < job->count && (size_t)got >= sizes[done]; done++)
            got -= (ssize_t)sizes[done];
    }
    end = seconds_now();
    return leave(fd) ? (double)job->count / (end - start) : -1;
}

/* Puts a message into a store, as a delivery does, or takes it out again. */
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

/* Milliseconds of a session. Where a store is changed, that is not counted, but the session is the next one. */
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

/* Returns a number of kB that /proc tells of a process, or -1. */
static double
process_memory(pid_t pid, bool own)
{
    char path[64], line[256];
    double sum = 0, number;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    if ((file = fopen(path, "r")) == NULL)
        return -1;
    while (fgets(line, sizeof line, file) != NULL)
        if ((own ? sscanf(line, "Private_%*[CleanDirty]: %lf", &number) : sscanf(line, "Rss: %lf", &number)) == 1)
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

/* KiB that an idle session has for itself alone. */
static double
measure_memory(const struct target *t, const struct job *job)
{
    int fd = enter(t);
    double own;

    (void)job;
    if (fd < 0 || ask(fd, "STAT\r\n", "\r\n") == 0)
        return -1;
    own = process_memory(last_child(t->pid), true);
    leave(fd);
    return own;
}

/* ---- Programs ----------------------------------------------------------------------------------------- */

static pid_t started[32];       /* what is to be ended with us; 0: free */

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

/* Starts a command of the shell. Returns its process, and in *out where its output comes from. */
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
        alarm(LIFE_SECONDS);    /* it survives exec: nothing goes on for ever */
        dup2(ends[1], STDOUT_FILENO);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    started[place] = pid;
    close(ends[1]);
    *out = ends[0];
    return pid;
}

/* Waits for the end of a program. Returns whether it ended well. */
static bool
finish(pid_t pid)
{
    int status = -1;

    waitpid(pid, &status, 0);
    for (size_t i = 0; i < sizeof started / sizeof *started; i++)
        if (started[i] == pid)
            started[i] = 0;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Starts a server, and waits until it says where it listens. */
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
    t.port = (unsigned)atoi(port + 6);  /* its output stays open: it may say more */
    return t;
}

static void
stop_server(struct target *t)
{
    kill(t->pid, SIGTERM);
    finish(t->pid);
}

/* Milliseconds from starting a program to its first word. */
static double
measure_start(const struct target *t, const struct job *job)
{
    double begin = seconds_now(), end;
    char word[512];
    int out;
    pid_t pid = start(t->command, &out);
    bool said = read(out, word, sizeof word) > 0;

    (void)job;
    end = seconds_now();
    kill(pid, SIGTERM);
    finish(pid);
    close(out);
    return said ? (end - begin) * 1000 : -1;
}

/* Milliseconds of a program that fetches, in a directory where "out" is new. */
static double
measure_fetch(const struct target *t, const struct job *job)
{
    char command[4200];
    double begin;
    int out;
    bool well;

    snprintf(command, sizeof command, "cd %s && rm -rf out && mkdir -p out/cur out/new out/tmp && sync -f . ", job->command);
    if (system(command) != 0)
        return -1;
    snprintf(command, sizeof command, "cd %s && %s >/dev/null", job->command, t->command);
    begin = seconds_now();
    well = finish(start(command, &out));
    close(out);
    return well ? (seconds_now() - begin) * 1000 : -1;
}

/* "loop": the simplest client. It writes what comes into a file, and asks for the next. */
static void
fetch_loop(unsigned port, size_t count, const char *out)
{
    const struct target t = {.port = port};
    int fd = enter(&t);

    for (size_t i = 1; i <= count; i++) {
        char line[32], name[4200];
        char last[5] = "";
        int file;

        snprintf(name, sizeof name, "%s/%zu", out, i);
        snprintf(line, sizeof line, "RETR %zu\r\n", i);
        file = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        write_all(fd, line, strlen(line));
        while (memcmp(last, "\r\n.\r\n", 5) != 0) {
            ssize_t length = read(fd, taken, sizeof taken);

            if (length <= 0 || !write_all(file, taken, (size_t)length))
                die("cannot fetch");
            keep_last(last, 5, (size_t)length);
        }
        close(file);
    }
    leave(fd);
}

/* ---- The table ---------------------------------------------------------------------------------------- */

typedef double measure(const struct target *, const struct job *);

/* How a row is shown, and what is hoped for. */
struct row {
    const char *what;
    const char *unit;
    bool less;                  /* the smaller, the better */
    double ratio;               /* the goal for the second target; 0: none */
    double value;               /* the same, but for its measure itself */
    bool beat;                  /* the second is to be better than all that follow */
    int store;                  /* the one whose number of messages is named, or -1 */
};

/* Returns what a row is called, with the number of messages in front if it is one of a store. */
static const char *
title(const struct row *row)
{
    static char text[100];

    if (row->store < 0)
        return row->what;
    snprintf(text, sizeof text, "%zu %s", store_count(row->store), row->what);
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

/* Sorts samples and returns the one in the middle. */
static double
median(double *samples)
{
    qsort(samples, (size_t)rounds, sizeof *samples, by_size);
    return samples[rounds / 2];
}

/* Shows a goal, and whether it is met. */
static void
judge(const struct row *row, double ratio, double value)
{
    double goal = row->ratio > 0 ? row->ratio : row->value, is = row->ratio > 0 ? ratio : value;
    bool good = row->less ? is <= goal : is >= goal;

    if (goal <= 0)
        return;
    printf("  %s%.4g%s%s %s", row->less ? "<=" : ">=", goal, row->ratio > 0 ? "" : " ", row->ratio > 0 ? "" : row->unit,
           good ? "met" : "MISSED");
    met += good;
    missed += !good;
}

/* Shows whether the second target was quicker than this one, in the median of the rounds. */
static void
judge_beaten(const double *ours_sorted, const double *theirs_sorted)
{
    bool good = ours_sorted[rounds / 2] < theirs_sorted[rounds / 2];

    printf("  client is quicker %s", good ? "met" : "MISSED");
    met += good;
    missed += !good;
}

static void
header(void)
{
    printf("%-44s %-10s %7s %-15s %12s %-6s goal\n", "", "", "ratio", " (min..max)", "median", "");
}

/* Measures the targets, the first of which is what the others are compared with, in turn, and shows them. */
static void
compare(const struct row *row, measure *take, const struct job *job, const struct target *targets, int count)
{
    double samples[8][ROUNDS_MAX], ratios[8][ROUNDS_MAX];
    bool failed[8] = {false};

    for (int round = 0; round < rounds; round++)
        for (int k = 0; k < count; k++) {
            int i = (round + k) % count;

            samples[i][round] = failed[i] ? -1 : take(&targets[i], job);
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
            printf("%7.3f (%5.2f..%5.2f)  %12.6g %-6s", ratio, ratios[i][0], ratios[i][rounds - 1], value, row->unit);
        if (i == 1 && !failed[i])
            judge(row, ratio, value);
        if (i > 1 && row->beat && !failed[i] && !failed[1])
            judge_beaten(ratios[1], ratios[i]);
        putchar('\n');
    }
    fflush(stdout);
}

/* Where everything is. */
static struct {
    const char *work, *server, *client, *self;
    const char *other;          /* another build of the server, to compare with; or NULL */
    unsigned dovecot;           /* its port; 0: not there */
    bool mpop, curl;
} at;

static struct target floor_text, ready_some, ready_many;
static struct target ours[STORES];      /* our server, on each of the stores */
static struct target others[STORES];    /* the other build */

static const char *
server_command(const char *server, const char *store)
{
    static char command[8192];

    snprintf(command, sizeof command, "exec %s -a 127.0.0.1 -d %s/%s/cur -t 120 0 2>/dev/null", server,
             at.work, store);
    return command;
}

static struct target
start_kind(const char *name, const char *kind, const char *store)
{
    char command[8192];

    snprintf(command, sizeof command, "exec %s serve %s %s/%s/cur", at.self, kind, at.work, store);
    return start_server(name, command);
}

static struct target
dovecot(int store)
{
    return (struct target){.name = "dovecot", .port = at.dovecot, .user = stores[store].name};
}

/* Fills targets with a floor, our server, and the other build and Dovecot if they are there. */
static int
fill_targets(struct target targets[4], struct target floor, int store, bool with_dovecot)
{
    int count = 0;

    targets[count++] = floor;
    targets[count++] = ours[store];
    if (at.other != NULL)
        targets[count++] = others[store];
    if (with_dovecot && at.dovecot != 0)
        targets[count++] = dovecot(store);
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
            const struct row row = {what, "/s", false, store == S_FEW ? 0.85 : 0.8, 0, false, store};
            const bool with = store != S_LINKED && (!quick || (store == S_FEW && i != 1));
            struct target targets[4];
            int count = fill_targets(targets, floor_text, store, with);

            if (store == S_LINKED && i != 1)
                continue;
            snprintf(what, sizeof what, "messages%s: sessions, %d at once",
                     store == S_LINKED ? " with two names" : "", clients[i]);
            compare(&row, measure_sessions, &job, targets, count);
        }
}

static void
rows_listings(void)
{
    struct target targets[4];
    const struct job stat = {.repeat = quick ? 10 : 50};
    const struct job list = {.repeat = quick ? 2 : 5, .command = "LIST\r\n"};
    const struct job uidl = {.repeat = quick ? 2 : 5, .command = "UIDL\r\n"};
    int count = fill_targets(targets, ready_many, S_MANY, false);

    compare(&(struct row){"messages: connect to STAT's answer", "ms", true, 0, 2, false, S_MANY}, measure_stat, &stat,
            targets, count);
    count = fill_targets(targets, ready_many, S_MANY, !quick);
    compare(&(struct row){"messages: LIST, not the first", "ms", true, 0, 0, false, S_MANY}, measure_listing, &list,
            targets, count);
    compare(&(struct row){"messages: UIDL, not the first", "ms", true, 0, 0, false, S_MANY}, measure_listing, &uidl,
            targets, count);
    if (at.dovecot != 0 && !quick) {
        const struct job once = {.repeat = 1};

        compare(&(struct row){"messages: connect to STAT's answer", "ms", true, 0, 0, false, S_MANY}, measure_stat, &once,
                (struct target[]){ready_many, targets[count - 1]}, 2);
    }
}

static void
rows_big(size_t mib)
{
    struct target floor = start_kind("loop", "wire", "crlf");
    char what[100];

    for (int store = S_LF; store <= S_CRLF; store++) {
        const struct row row = {what, "MiB/s", false, 0.9, 0, false, -1};
        struct target targets[4];
        int count = fill_targets(targets, floor, store, !quick);

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
    struct target targets[4];
    int count = fill_targets(targets, ready_some, S_SOME, true);

    copy.bare = true;
    compare(&(struct row){"x 2 KiB, lock-step", "/s", false, 0.8, 0, false, S_SOME}, measure_lockstep, &job, targets, count);
    compare(&(struct row){"x 2 KiB, 64 deep, against ready", "/s", false, 0, 0, false, S_SOME}, measure_pipelined, &job, targets,
            count);
    targets[0] = copy;
    compare(&(struct row){"x 2 KiB, 64 deep, against a copy", "/s", false, 0, 0, false, S_SOME}, measure_pipelined, &job,
            targets, count);
    if (at.dovecot != 0)
        compare(&(struct row){"x 2 KiB, 64 deep, against Dovecot", "/s", false, 2, 0, false, S_SOME}, measure_pipelined, &job,
                (struct target[]){targets[count - 1], targets[1]}, 2);
    stop_server(&copy);
}

static void
rows_memory(void)
{
    double few = process_memory(ours[S_FEW].pid, false), many = process_memory(ours[S_MANY].pid, false);
    double each;

    compare(&(struct row){"messages: an idle session's own memory", "KiB", true, 0, 60, false, S_FEW}, measure_memory, &(struct job){0},
            (struct target[]){floor_text, ours[S_FEW]}, 2);
    compare(&(struct row){"messages: an idle session's own memory", "KiB", true, 0, 60, false, S_MANY}, measure_memory, &(struct job){0},
            (struct target[]){floor_text, ours[S_MANY]}, 2);
    each = (many - few) * 1024 / (double)(store_count(S_MANY) - store_count(S_FEW));
    if (few > 0 && many > few) {
        const struct row row = {"messages: the parent's memory for each", "octets", true, 0, 150, false, S_MANY};

        printf("%-44s %-10s %7s %-15s %12.6g %-6s", title(&row), "server", "", "", each, row.unit);
        judge(&row, 0, each);
        putchar('\n');
    }
}

static void
rows_start(void)
{
    char touching[8192], serving[8192], other[8192];
    int count = 2;

    snprintf(touching, sizeof touching, "exec %s touch %s/many/cur", at.self, at.work);
    snprintf(serving, sizeof serving, "%s", server_command(at.server, "many"));
    if (at.other != NULL) {
        snprintf(other, sizeof other, "%s", server_command(at.other, "many"));
        count = 3;
    }
    compare(&(struct row){"messages: the start", "ms", true, 1.6, 0, false, S_MANY}, measure_start, &(struct job){0},
            (struct target[]){{.name = "touch", .command = touching}, {.name = "server", .command = serving},
                              {.name = "other", .command = other}}, count);
}

static void
rows_change(void)
{
    struct target same = ours[S_MANY], changed = same;
    char store[4096];

    snprintf(store, sizeof store, "%s/many", at.work);
    same.name = "no change";
    changed.name = "one in/out";
    changed.change = store;
    compare(&(struct row){"messages: the next session", "ms", true, 0, 40, false, S_MANY}, measure_session,
            &(struct job){.repeat = quick ? 10 : 40}, (struct target[]){same, changed}, 2);
}

/* One row of clients, all of which fetch from our server into a directory. */
static void
row_fetch(const char *out, int store, const char *place)
{
    const unsigned port = ours[store].port;
    const size_t count = store_count(store);
    char what[120], loop[4200], client[4200], curl[300], mpop[600];
    struct target targets[4] = {{.name = "loop", .command = loop}, {.name = "client", .command = client}};
    int targets_count = 2;

    snprintf(what, sizeof what, "RETR * of %zu x %s to %s", count, store == S_MIDDLE ? "1 MiB" : "2 KiB", place);
    snprintf(loop, sizeof loop, "exec %s loop %u %zu out", at.self, port, count);
    snprintf(client, sizeof client, "printf 'RETR *\\nQUIT\\n' | %s -d out 127.0.0.1 %u", at.client, port);
    snprintf(curl, sizeof curl, "exec curl -s -o 'out/#1' 'pop3://127.0.0.1:%u/[1-%zu]'", port, count);
    snprintf(mpop, sizeof mpop, "printf '%%s\\n' 'account a' 'host 127.0.0.1' 'port %u' 'user a' 'password b' 'auth user' "
             "'tls off' 'keep on' \"uidls_file $PWD/out/uidls\" \"delivery maildir $PWD/out\" 'received_header off' >out/rc; "
             "chmod 600 out/rc; exec mpop -C out/rc --quiet a", port);
    if (at.mpop)
        targets[targets_count++] = (struct target){.name = "mpop", .command = mpop};
    if (at.curl)
        targets[targets_count++] = (struct target){.name = "curl", .command = curl};
    compare(&(struct row){what, "ms", true, 0, 0, true, -1}, measure_fetch, &(struct job){.command = out}, targets, targets_count);
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

/* Lets Dovecot see each store once, so that it has its index. A store that it does not serve ends its part. */
static void
warm_dovecot(void)
{
    for (int store = 0; store < STORES && at.dovecot != 0; store++) {
        const struct target t = dovecot(store);

        if (store != S_MIDDLE && store != S_DISK && !(quick && store != S_FEW && store != S_SOME) && !session(&t)) {
            printf("skipped: dovecot does not serve the store %s\n", stores[store].name);
            at.dovecot = 0;
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
    at.mpop = installed("mpop");
    at.curl = installed("curl");
    floor_text = start_kind("floor", "text", "few");
    ready_some = start_kind("ready", "ready", "some");
    ready_many = start_kind("ready", "ready", "many");
    for (int i = 0; i < STORES; i++)
        ours[i] = start_server("server", server_command(at.server, stores[i].name));
    for (int i = 0; i < STORES && at.other != NULL; i++)
        others[i] = start_server("other", server_command(at.other, stores[i].name));
    warm_dovecot();

    header();
    rows_memory();
    rounds = quick ? 5 : 9;     /* of what is short and differs much */
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
        at.self = argv[0];
        quick = strcmp(argv[2], "quick") == 0;
        at.work = argv[3];
        at.server = argv[4];
        at.other = getenv("OTHER_SERVER");
        at.client = argv[5];
        at.dovecot = (unsigned)atoi(argv[6]);
        table((size_t)atoi(argv[7]), argv[8], argv[9]);
    } else {
        die("see bench.sh for how it is called");
    }
    return 0;
}
