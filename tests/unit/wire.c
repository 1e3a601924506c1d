/*
 * wire.c - the buffered connection of pop3.h: lines, waiting, deadlines, signals, a peer that
 * disconnects
 */
#include "../../pop3.h"

#include "unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/wait.h>

enum { PATIENCE = 60 * 1000 };  /* milliseconds for what must come */

static struct wire wire;        /* too large for a stack that one does not know */

/* Opens the wire on one end of a pair of sockets. Returns the other end. */
static int
open_socket(int type)
{
    int pair[2];

    if (socketpair(AF_UNIX, type, 0, pair) != 0) {
        perror("socketpair");
        exit(2);
    }
    wire_open(&wire, pair[0], pair[0]);
    wire.idle_ms = PATIENCE;
    return pair[1];
}

/* Opens the wire on two pipes. Returns the other ends: what the wire reads is written to far[1]. */
static void
open_pipes(int far[2])
{
    int to[2], from[2];

    if (pipe(to) != 0 || pipe(from) != 0) {
        perror("pipe");
        exit(2);
    }
    wire_open(&wire, to[0], from[1]);
    wire.idle_ms = PATIENCE;
    far[0] = from[0];
    far[1] = to[1];
}

static void
close_wire(void)
{
    close(wire.in);
    if (wire.out != wire.in)
        close(wire.out);
}

static void
say(int fd, const char *octets, size_t length)
{
    CHECK(write(fd, octets, length) == (ssize_t)length);
}

/* A line of so many octets: letters, and an end. */
static size_t
make_line(char *line, size_t octets, const char *end)
{
    memset(line, 'x', octets);
    memcpy(line + octets - strlen(end), end, strlen(end));
    return octets;
}

/* Returns true if the next line is this one. */
static bool
line_is(const char *text, size_t length)
{
    char *line = NULL;
    size_t got = 0;

    return wire_line(&wire, 255, &line, &got) == WIRE_LINE
        && got == length && memcmp(line, text, length) == 0 && line[length] == '\0';
}

/* The result of a read whose line does not matter. */
static enum wire_line
next_line(void)
{
    char *line;
    size_t length;

    return wire_line(&wire, 255, &line, &length);
}

static void
test_lines(void)
{
    static const char text[] = "one\r\ntwo\n\r\n\nth\rree\r\r\nnul\0nul\r\nlast";
    int far = open_socket(SOCK_STREAM);

    say(far, text, sizeof text - 1);
    close(far);
    CHECK(line_is("one", 3));
    CHECK(line_is("two", 3));
    CHECK(line_is("", 0));
    CHECK(line_is("", 0));
    CHECK(line_is("th\rree\r", 7));
    CHECK(line_is("nul\0nul", 7));
    CHECK(wire.error == 0);
    CHECK(next_line() == WIRE_NO_LINE);     /* a last line without its end is no line */
    CHECK(wire.error == WIRE_CLOSED);
    CHECK(next_line() == WIRE_NO_LINE);
    close_wire();
}

/* Each piece comes by itself (a datagram is one read), so a line may be cut anywhere. */
static void
test_lines_in_pieces(void)
{
    static const char text[] = "one\r\ntwo\n\r\nthree\r\n";
    size_t length = sizeof text - 1;

    for (size_t piece = 1; piece <= length; piece++) {
        int far = open_socket(SOCK_DGRAM);

        /* One piece and one read at a time, as the system's queue of datagrams may be short. */
        for (size_t done = 0; done < length; done += piece) {
            say(far, text + done, length - done < piece ? length - done : piece);
            CHECK(wire_fill(&wire));
        }
        CHECK(line_is("one", 3));
        CHECK(line_is("two", 3));
        CHECK(line_is("", 0));
        CHECK(line_is("three", 5));
        close(far);
        close_wire();
    }
}

static void
test_line_cut_before_its_end(void)
{
    pid_t child;
    int far = open_socket(SOCK_DGRAM);

    child = fork();
    if (child == 0) {
        say(far, "on", 2);
        say(far, "e\r", 2);
        say(far, "\ntwo\r\n", 6);
        _exit(0);
    }
    CHECK(line_is("one", 3));
    CHECK(line_is("two", 3));
    waitpid(child, NULL, 0);
    close(far);
    close_wire();
}

/* Lengths around the limit, cut in every way that could be taken for another length. */
static void
test_line_borders(void)
{
    char line[300];

    for (size_t octets = 254; octets <= 257; octets++) {
        for (int lf = 0; lf <= 1; lf++) {
            size_t length = make_line(line, octets, lf ? "\n" : "\r\n");

            for (size_t cut = 252; cut <= length; cut++) {
                int far = open_socket(SOCK_STREAM);
                pid_t child;

                say(far, line, cut);
                CHECK(wire_fill(&wire));
                child = fork();
                if (child == 0) {
                    say(far, line + cut, length - cut);
                    say(far, "next\r\n", 6);
                    _exit(0);
                }
                if (octets <= POP3_COMMAND_MAX)
                    CHECK(line_is(line, length - (lf ? 1 : 2)));
                else
                    CHECK(next_line() == WIRE_LINE_TOO_LONG);
                CHECK(line_is("next", 4));
                CHECK(wire.error == 0);
                waitpid(child, NULL, 0);
                close(far);
                close_wire();
            }
        }
    }
}

/*
 * A line longer than any buffer is one line that is too long, and the next one begins behind its
 * LF.
 */
static void
test_line_without_end(void)
{
    static char block[4096];
    pid_t child;
    int far[2];

    open_pipes(far);
    memset(block, 'x', sizeof block);
    block[sizeof block - 1] = '\r';         /* which ends nothing */
    child = fork();
    if (child == 0) {
        for (int i = 0; i < 100; i++)
            say(far[1], block, sizeof block);
        say(far[1], "\nnext\r\n", 7);
        say(far[1], block, sizeof block);
        _exit(0);
    }
    close(far[1]);
    CHECK(next_line() == WIRE_LINE_TOO_LONG);
    CHECK(line_is("next", 4));
    CHECK(next_line() == WIRE_NO_LINE);     /* too long, but cut off first of all */
    CHECK(wire.error == WIRE_CLOSED);
    waitpid(child, NULL, 0);
    close(far[0]);
    close_wire();
}

/* What was put is written before the wire waits for an answer. */
static void
test_question_and_answer(void)
{
    int far[2];

    for (int sockets = 0; sockets <= 1; sockets++) {
        pid_t child;

        if (sockets)
            far[0] = far[1] = open_socket(SOCK_STREAM);
        else
            open_pipes(far);
        CHECK(wire.socket == (sockets == 1));
        child = fork();
        if (child == 0) {
            char line[6];
            size_t have = 0;

            while (have < sizeof line) {
                ssize_t count = read(far[0], line + have, sizeof line - have);
                if (count <= 0)
                    _exit(1);
                have += (size_t)count;
            }
            say(far[1], "+OK\r\n", memcmp(line, "NOOP\r\n", 6) == 0 ? 5 : 0);
            _exit(0);
        }
        wire_put(&wire, "NOOP", 4);
        memcpy(wire_room(&wire, 2), "\r\n", 2);
        wire.out_end += 2;
        CHECK(line_is("+OK", 3));
        waitpid(child, NULL, 0);
        close(far[0]);
        if (!sockets)
            close(far[1]);
        close_wire();
    }
}

/* More than the wire's buffer and the system's together arrives, whole and in order. */
static void
test_flush_large(void)
{
    enum { OCTETS = 3 * WIRE_OUTPUT + 12345 };
    unsigned char *text = malloc(OCTETS);
    int far[2];

    if (text == NULL)
        exit(2);
    for (size_t i = 0; i < OCTETS; i++)
        text[i] = (unsigned char)(i * 7 + i / 251);
    for (int sockets = 0; sockets <= 1; sockets++) {
        int status = -1;
        pid_t child;

        if (sockets)
            far[0] = open_socket(SOCK_STREAM);
        else
            open_pipes(far);
        child = fork();
        if (child == 0) {
            static unsigned char block[10007];
            size_t have = 0;
            ssize_t count;

            close_wire();
            while ((count = read(far[0], block, sizeof block)) > 0) {
                if (have + (size_t)count > OCTETS || memcmp(block, text + have, (size_t)count) != 0)
                    _exit(1);
                have += (size_t)count;
            }
            _exit(have == OCTETS ? 0 : 2);
        }
        close(far[0]);
        wire_put(&wire, text, 10);
        wire_put(&wire, text + 10, OCTETS - 10);
        CHECK(wire_flush(&wire));
        CHECK(wire.error == 0 && wire.out_end == 0);
        close_wire();
        if (!sockets)
            close(far[1]);
        waitpid(child, &status, 0);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    free(text);
}

static void
count_waits(void *context)
{
    ++*(int *)context;
}

/* Who wants to do something meanwhile is called before a wait and again during it. */
static void
test_waiting(void)
{
    int far[2], waits = 0;

    open_pipes(far);
    wire.idle_ms = 40;
    wire.waiting = count_waits;
    wire.context = &waits;
    say(far[1], "a line\r\n", 8);
    CHECK(next_line() == WIRE_LINE && waits == 1);
    CHECK(next_line() == WIRE_NO_LINE && waits >= 3);
    close(far[0]);
    close(far[1]);
    close_wire();
}

/* Nobody says anything, or takes anything: the wait ends by itself, and not before its time. */
static void
test_idle(void)
{
    static const char block[1024];
    int64_t start, took;
    int far[2];

    open_pipes(far);
    wire.idle_ms = 40;
    start = wire_clock();
    CHECK(next_line() == WIRE_NO_LINE);
    took = wire_clock() - start;
    CHECK(wire.error == ETIMEDOUT);
    CHECK(took >= 39 && took < PATIENCE);
    close(far[0]);
    close(far[1]);
    close_wire();

    for (int sockets = 0; sockets <= 1; sockets++) {
        if (sockets)
            far[0] = open_socket(SOCK_STREAM);
        else
            open_pipes(far);
        wire.idle_ms = 40;
        start = wire_clock();
        for (int i = 0; i < 20000 && wire.error == 0; i++)
            wire_put(&wire, block, sizeof block);
        took = wire_clock() - start;
        CHECK(wire.error == ETIMEDOUT);
        CHECK(took >= 39 && took < PATIENCE);
        CHECK(!wire_flush(&wire) && wire.error == ETIMEDOUT);       /* it stays */
        close(far[0]);
        if (!sockets)
            close(far[1]);
        close_wire();
    }
}

/* A process that was stopped until its time was over finds what has come meanwhile. */
static void
test_stopped_meanwhile(void)
{
    int far = open_socket(SOCK_STREAM);

    say(far, "late\r\n", 6);
    wire.idle_until = wire_clock() - 1;
    CHECK(line_is("late", 4));
    wire_put(&wire, "answer", 6);
    wire.idle_until = wire_clock() - 1;
    CHECK(wire_wait(&wire, wire.out, true));
    CHECK(wire_flush(&wire));
    wire.idle_until = wire_clock() - 1;
    CHECK(next_line() == WIRE_NO_LINE && wire.error == ETIMEDOUT);
    close(far);
    close_wire();
}

/* Part of a line is no reason to wait for ever for the rest; nor is a peer that is never idle. */
static void
test_deadline(void)
{
    int64_t start, took;
    pid_t child;
    int far = open_socket(SOCK_STREAM);

    say(far, "half a li", 9);
    wire.idle_ms = 40;
    CHECK(next_line() == WIRE_NO_LINE);
    CHECK(wire.error == ETIMEDOUT);
    close(far);
    close_wire();

    far = open_socket(SOCK_STREAM);
    child = fork();
    if (child == 0) {
        close_wire();
        while (send(far, "x", 1, 0) == 1)
            wait_ready(NULL, 0, false, 5);
        _exit(0);
    }
    start = wire_clock();
    wire.deadline = start + 60;
    CHECK(next_line() == WIRE_NO_LINE);
    took = wire_clock() - start;
    CHECK(wire.error == ETIMEDOUT);
    CHECK(took >= 59 && took < PATIENCE);
    close_wire();
    close(far);
    waitpid(child, NULL, 0);
}

static volatile sig_atomic_t stopped;

static void
on_alarm(int number)
{
    stopped = number;
}

/*
 * A signal that says stop ends a wait, whether it comes before it or within it; another does not.
 */
static void
test_stop(void)
{
    struct sigaction action = {.sa_handler = on_alarm};
    struct itimerval soon = {.it_value = {.tv_usec = 30000}};
    int far = open_socket(SOCK_STREAM);

    sigaction(SIGALRM, &action, NULL);
    wire.stop = &stopped;
    stopped = 0;
    setitimer(ITIMER_REAL, &soon, NULL);
    CHECK(next_line() == WIRE_NO_LINE);
    CHECK(wire.error == EINTR && stopped == SIGALRM);
    CHECK(next_line() == WIRE_NO_LINE);
    close(far);
    close_wire();

    far = open_socket(SOCK_STREAM);
    wire.stop = &stopped;
    stopped = 0;
    raise(SIGALRM);
    CHECK(next_line() == WIRE_NO_LINE);
    CHECK(wire.error == EINTR && stopped == SIGALRM);
    close(far);
    close_wire();

    far = open_socket(SOCK_STREAM);
    wire.idle_ms = 100;  /* the same signal within the wait, but nobody asked to be stopped */
    setitimer(ITIMER_REAL, &soon, NULL);
    CHECK(next_line() == WIRE_NO_LINE);
    CHECK(wire.error == ETIMEDOUT);
    close(far);
    close_wire();
}

/* A reader that never has to wait, because its peer is always quicker, is stopped all the same. */
static void
test_stop_ready(void)
{
    struct sigaction action = {.sa_handler = on_alarm};
    int far = open_socket(SOCK_STREAM), lines = 0;

    sigaction(SIGALRM, &action, NULL);
    wire.stop = &stopped;
    stopped = 0;
    raise(SIGALRM);
    while (wire.error == 0 && lines < 100) {
        say(far, "a\n", 2);
        lines += next_line() == WIRE_LINE;
    }
    CHECK(wire.error == EINTR && stopped == SIGALRM && lines == 0);
    close(far);
    close_wire();
}

/*
 * The other side goes: WIRE_CLOSED, no signal that kills, and after that nothing is written or
 * read.
 */
static void
test_closed(void)
{
    char octet;
    int far[2];

    open_pipes(far);
    close(far[0]);
    wire_put(&wire, "lost", 4);
    CHECK(!wire_flush(&wire));
    CHECK(wire.error == WIRE_CLOSED);
    say(far[1], "late\r\n", 6);
    CHECK(next_line() == WIRE_NO_LINE);
    CHECK(wire.out_end == 0);
    close(far[1]);
    close_wire();

    far[0] = open_socket(SOCK_STREAM);
    close(far[0]);
    wire_put(&wire, "lost", 4);
    CHECK(!wire_flush(&wire));
    CHECK(wire.error == WIRE_CLOSED);
    close_wire();

#ifdef __linux__
    /* A reset is not the end of what there was to read: a script that breaks off sends no QUIT. */
    far[0] = open_socket(SOCK_STREAM);
    wire_put(&wire, "unread", 6);
    CHECK(wire_flush(&wire));
    close(far[0]);
    CHECK(next_line() == WIRE_NO_LINE);
    CHECK(wire.error == ECONNRESET);
    close_wire();
#endif

    open_pipes(far);
    CHECK(!wire_fail(&wire, ENOSPC));
    CHECK(!wire_fail(&wire, EIO));
    CHECK(wire.error == ENOSPC);                /* the first one stays */
    wire_put(&wire, "never", 5);
    CHECK(!wire_flush(&wire));
    close_wire();
    CHECK(read(far[0], &octet, 1) == 0);        /* and nothing was written */
    close(far[0]);
    close(far[1]);
}

int
main(void)
{
    signal(SIGPIPE, SIG_IGN);
    unit_case("lines end in CRLF or LF", test_lines);
    unit_case("lines that come in pieces", test_lines_in_pieces);
    unit_case("a line that is waited for", test_line_cut_before_its_end);
    unit_case("lines around the limit", test_line_borders);
    unit_case("a line that does not end", test_line_without_end);
    unit_case("a question goes out before its answer is awaited", test_question_and_answer);
    unit_case("more than any buffer holds", test_flush_large);
    unit_case("what is done meanwhile", test_waiting);
    unit_case("an idle peer", test_idle);
    unit_case("an answer that came while this process was stopped", test_stopped_meanwhile);
    unit_case("a deadline", test_deadline);
    unit_case("a signal that says stop", test_stop);
    unit_case("a signal that says stop, and a wire that need not wait", test_stop_ready);
    unit_case("a peer that goes", test_closed);
    return unit_status;
}
