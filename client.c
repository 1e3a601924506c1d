/*
 * client.c - an interactive POP3 client: type commands, read the answers, keep the messages
 *
 * Read it from the bottom for the plan, from the top for the parts: main() connects, then takes one command
 * after the other from a person or a script, until QUIT.
 *
 * Three wires carry everything: the server's, the keys (standard input) and the screen (standard output).
 * Signals are blocked but for the moments when one of them waits, so a ^C is noticed at once in a wait and
 * never in the middle of saving a message.
 *
 * What keeps mail safe:
 *   - What the server sends reaches the screen through visible_text() alone: it cannot drive the terminal.
 *   - A message is saved under its name by save_end() when it is complete and on disk, or not at all.
 *   - QUIT, which removes what was marked, is sent for a typed QUIT and the end of the input, never for a
 *     signal; and a script's DELE is not sent for a message whose RETR failed.
 */
#include "pop3.h"

#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>

/* ---- 1. Settings and state --------------------------------------------------------------------------- */

enum {
    CONNECT_SECONDS = 30,       /* for each address of the host */
    ANSWER_SECONDS = 180,
    QUIT_SECONDS = 30,
    CHILD_SECONDS = 5,          /* for the command of -x to end after its wire */
    TYPED_MAX = 4096,           /* octets of a typed line; what is sent is shorter, but a list may be long */
    AHEAD_MAX = 100             /* commands sent ahead: 2,000 octets, which fit into any pipe or socket */
};

struct settings {
    const char *host, *port;
    const char *directory;
    const char *command;        /* of -x, or NULL */
};

/* Message numbers, each once, in the order in which they came. */
struct numbers {
    uint32_t *list;
    size_t count, room;
};

struct client {
    const struct settings *settings;
    bool at_terminal;           /* a person types */
    sigset_t mask;              /* the signals as they were: let in while waiting */
    pid_t child;                /* of -x, or 0 */
    struct wire server, keys, screen;

    bool over;                  /* the session is */
    bool failed;                /* something was not as it was asked to be: exit status 1 */
    bool quitting;              /* QUIT was sent */
    int pipelining;             /* the server said that it can; -1: not asked yet */
    struct numbers marked;      /* by DELE */
    struct numbers unsaved;     /* their RETR failed */
    char status[POP3_STATUS_MAX * 8];   /* the last status line */
};

/* Set by signals, which are blocked but for the moments when somebody waits. */
static volatile sig_atomic_t interrupted, child_ended;

/* ---- 2. Visible text: nothing from the network drives the terminal ----------------------------------- */

enum {
    VISIBLE_WORST = 4,          /* an octet becomes at most this many: \xHH */
    VISIBLE_HELD = 3            /* octets of a character whose end has not come */
};

/* What visible_text needs as room for that many octets. */
#define VISIBLE_ROOM(octets) (VISIBLE_WORST * ((octets) + VISIBLE_HELD))

/* Where a text stands on its way to the screen; all zero at its start. */
struct visible {
    unsigned char held[VISIBLE_HELD + 1];
    size_t count;
};

/*
 * Reads the first character of a text in UTF-8. Returns its octets, 1 to 4, and the character in *c; 0 when
 * no character begins with these octets; -1 when more octets are needed to tell.
 */
static int
utf8_read(const unsigned char *s, size_t length, uint32_t *c)
{
    if (length == 0)
        return -1;
    if (s[0] < 0x80) {
        *c = s[0];
        return 1;
    }
    if (s[0] < 0xc2 || s[0] > 0xf4)
        return 0;

    int size = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    uint32_t value = s[0] & (0x7fU >> size);
    for (int i = 1; i < size; i++) {
        if ((size_t)i == length)
            return -1;
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (s[i] & 0x3fU);
    }

    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};   /* less is an overlong form */
    if (value < least[size] || (value >= 0xd800 && value <= 0xdfff) || value > 0x10ffff)
        return 0;
    *c = value;
    return size;
}

/* Writes a character as UTF-8, and as U+FFFD what is none. Returns its octets, 1 to 4. */
static size_t
utf8_write(uint32_t c, char *out)
{
    if ((c >= 0xd800 && c <= 0xdfff) || c > 0x10ffff)
        c = 0xfffd;
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }

    size_t size = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = size - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(c | (0xf00U >> size & 0xff));
    return size;
}

/* Characters of text that move, hide or reorder other characters, or that are none. */
static bool
deceives(uint32_t c)
{
    return (c >= 0x80 && c <= 0x9f) || c == 0x61c || c == 0x200e || c == 0x200f
        || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x206f)
        || (c >= 0xfdd0 && c <= 0xfdef) || (c >= 0xfff9 && c <= 0xfffb) || (c & 0xfffe) == 0xfffe
        || (c >= 0xe0000 && c <= 0xe007f);
}

/* Writes one character in a form that can be seen. Returns the octets written. */
static size_t
visible_character(uint32_t c, char *out)
{
    static const char hex[] = "0123456789abcdef";
    size_t made = 0;

    if (c == '\t' || c == '\n' || (c >= ' ' && c != 0x7f && !deceives(c)))
        return utf8_write(c, out);
    if (c < 0x80) {
        out[made++] = '^';
        out[made++] = (char)(c ^ 0x40);
        return made;
    }
    out[made++] = '\\';
    out[made++] = 'u';
    if (c > 0xffff)
        out[made++] = '{';
    for (int shift = c > 0xfffff ? 20 : c > 0xffff ? 16 : 12; shift >= 0; shift -= 4)
        out[made++] = hex[c >> shift & 0xf];
    if (c > 0xffff)
        out[made++] = '}';
    return made;
}

static size_t
visible_octet(unsigned char octet, char *out)
{
    static const char hex[] = "0123456789abcdef";

    out[0] = '\\';
    out[1] = 'x';
    out[2] = hex[octet >> 4];
    out[3] = hex[octet & 0xf];
    return 4;
}

/*
 * Takes the first character, or the first octet that is none, from the held octets and writes it. Returns
 * the octets written; 0, with all kept, when its end has not come and last does not say that none will.
 */
static size_t
visible_held(struct visible *v, bool last, char *out)
{
    uint32_t c = 0;
    int size = utf8_read(v->held, v->count, &c);
    size_t made = 0;

    if (!last && (size < 0 || (v->held[0] == '\r' && v->count == 1)))
        return 0;
    if (size <= 0)
        made = visible_octet(v->held[0], out);
    else if (c != '\r' || v->count == 1 || v->held[1] != '\n')
        made = visible_character(c, out);

    size_t used = size <= 0 ? 1 : (size_t)size;
    v->count -= used;
    memmove(v->held, v->held + used, v->count);
    if (made == 0)              /* the CR of a line end is dropped; the LF goes out now */
        made = visible_held(v, last, out);
    return made;
}

/*
 * Turns octets that are meant as UTF-8 into text that can do nothing but be read. TAB and LF pass, and so
 * does every character that only shows itself. A control character becomes ^X, DEL ^?, an octet that is not
 * UTF-8 \xHH, an encoded C1 control, a bidirectional control and the like \uXXXX or \u{XXXXX}. CRLF becomes
 * LF, a CR alone ^M. out needs VISIBLE_ROOM(length) octets; returns how many were written.
 */
static size_t
visible_text(struct visible *v, const void *in, size_t length, char *out)
{
    const unsigned char *from = in, *end = from + length;
    size_t made = 0;

    while (from < end) {
        if (v->count == 0 && *from >= ' ' && *from < 0x7f) {
            out[made++] = (char)*from++;
            continue;
        }
        v->held[v->count++] = *from++;
        for (size_t more = 1; more > 0 && v->count > 0; made += more)
            more = visible_held(v, false, out + made);
    }
    return made;
}

/* Writes what is still held at the end of a text: a CR, or a character cut off. Returns the octets written. */
static size_t
visible_end(struct visible *v, char *out)
{
    size_t made = 0;

    while (v->count > 0)
        made += visible_held(v, true, out + made);
    return made;
}

/* Shows octets from the network. They may end in the middle of a character: v remembers. */
static void
show(struct client *c, struct visible *v, const void *octets, size_t length)
{
    const char *from = octets;
    char text[VISIBLE_ROOM(1024)];

    while (length > 0) {
        size_t part = length < 1024 ? length : 1024;

        wire_put(&c->screen, text, visible_text(v, from, part, text));
        from += part;
        length -= part;
    }
}

/* Shows one line from the network, of that length and without its end. */
static void
show_line(struct client *c, const char *line, size_t length)
{
    struct visible v = {.count = 0};
    char rest[VISIBLE_ROOM(0)];

    show(c, &v, line, length);
    wire_put(&c->screen, rest, visible_end(&v, rest));
    wire_put(&c->screen, "\n", 1);
}

/* Tells the person at the client something, on the screen. */
static void __attribute__((format(printf, 2, 3)))
tell(struct client *c, const char *format, ...)
{
    char text[PATH_MAX + 256];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    show_line(c, text, strlen(text));
}

/* Writes a complaint to standard error, behind what is on the screen so far. */
static void __attribute__((format(printf, 2, 0)))
complain_list(struct client *c, const char *format, va_list arguments)
{
    char text[PATH_MAX + 256], line[VISIBLE_ROOM(sizeof text)];
    struct visible v = {.count = 0};
    size_t length;

    vsnprintf(text, sizeof text, format, arguments);
    length = visible_text(&v, text, strlen(text), line);
    length += visible_end(&v, line + length);
    wire_flush(&c->screen);
    fprintf(stderr, "client: %.*s\n", (int)length, line);
}

/* Complains of something that a person should know. */
static void __attribute__((format(printf, 2, 3)))
warn(struct client *c, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    complain_list(c, format, arguments);
    va_end(arguments);
}

/* Complains of something that was asked for and did not come to be. */
static void __attribute__((format(printf, 2, 3)))
fail(struct client *c, const char *format, ...)
{
    va_list arguments;

    c->failed = true;
    va_start(arguments, format);
    complain_list(c, format, arguments);
    va_end(arguments);
}

/* ---- 3. Talking to the server ------------------------------------------------------------------------ */

/* Ends a session that broke, and says why. Only QUIT removes mail: without it the marks are worth nothing. */
static void
lost(struct client *c)
{
    const char *why = strerror(c->server.error > 0 ? c->server.error : 0);
    const char *mail = "nothing was removed";

    if (c->over)
        return;
    c->over = true;
    if (c->server.error == WIRE_CLOSED)
        why = "the server closed the connection";
    else if (c->server.error == ETIMEDOUT)
        why = c->quitting ? "the server does not answer QUIT" : "the server does not answer";
    else if (c->server.error == EINTR)
        why = "broken off";
    else if (c->server.error == EPROTO)
        why = "what answers there does not speak POP3";
    if (c->quitting && c->marked.count > 0)
        mail = "it did not say whether it removed the marked messages";
    fail(c, "%s; %s", why, mail);
}

/* Returns a socket that is connected to the host's first address that answers, or -1, having said why. */
static int
connect_to(struct client *c, const struct addrinfo *addresses)
{
    const int on = 1;
    int error = 0;

    for (const struct addrinfo *a = addresses; a != NULL && !interrupted; a = a->ai_next) {
        socklen_t size = sizeof error;
        int fd = socket(a->ai_family, a->ai_socktype, a->ai_protocol);

        error = errno;
        if (fd < 0)
            continue;
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        fcntl(fd, F_SETFL, O_NONBLOCK);
        c->server.error = 0;
        error = connect(fd, a->ai_addr, a->ai_addrlen) == 0 ? 0 : errno;
        if (error == EINPROGRESS) {
            c->server.idle_ms = CONNECT_SECONDS * 1000;
            if (!wire_wait(&c->server, fd, POLLOUT))
                error = c->server.error;
            else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
                error = errno;
        }
        if (error == 0) {
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            return fd;
        }
        close(fd);
    }
    fail(c, "cannot connect to %s port %s: %s%s", c->settings->host, c->settings->port,
         interrupted ? "broken off" : strerror(error),
         error == ECONNREFUSED ? "; does the server run, and on this port?" : "");
    return -1;
}

/*
 * Runs the command of -x with pipes for its standard input and output. ^C is the client's business, so the
 * command does not get that signal; all else is for it as it was for the client. Returns false, having said
 * why, when it cannot be started.
 */
static bool
run_command(struct client *c, int *in, int *out)
{
    int to[2], from[2];

    if (pipe(to) != 0 || pipe(from) != 0 || (c->child = fork()) < 0) {
        c->child = 0;
        fail(c, "cannot run %s: %s", c->settings->command, strerror(errno));
        return false;
    }
    if (c->child == 0) {
        dup2(to[0], STDIN_FILENO);
        dup2(from[1], STDOUT_FILENO);
        for (int i = 0; i < 2; i++) {
            close(to[i]);
            close(from[i]);
        }
        signal(SIGINT, SIG_IGN);
        signal(SIGQUIT, SIG_IGN);
        signal(SIGPIPE, SIG_DFL);
        signal(SIGXFSZ, SIG_DFL);
        sigprocmask(SIG_SETMASK, &c->mask, NULL);
        execl("/bin/sh", "sh", "-c", c->settings->command, (char *)NULL);
        fprintf(stderr, "client: /bin/sh: %s\n", strerror(errno));
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    fcntl(to[1], F_SETFD, FD_CLOEXEC);
    fcntl(from[0], F_SETFD, FD_CLOEXEC);
    *in = from[0];
    *out = to[1];
    return true;
}

/* Waits for the command of -x to end, with more than patience if need be, and reports how it ended. */
static void
end_command(struct client *c)
{
    static const int force[] = {0, SIGTERM, SIGKILL};
    int status = 0;
    pid_t ended = 0;

    for (size_t i = 0; i < sizeof force / sizeof *force && ended == 0; i++) {
        int64_t limit = wire_clock() + CHILD_SECONDS * 1000, left;

        if (force[i] != 0) {
            fail(c, "%s does not end, and is told to", c->settings->command);
            kill(c->child, force[i]);
        }
        while ((ended = waitpid(c->child, &status, WNOHANG)) == 0 && (left = limit - wire_clock()) > 0) {
            struct timespec time = {.tv_sec = (time_t)(left / 1000), .tv_nsec = (long)(left % 1000) * 1000000};

            ppoll(NULL, 0, &time, &c->mask);
        }
    }
    c->child = 0;
    if (ended > 0 && WIFSIGNALED(status))
        fail(c, "%s was ended by signal %d", c->settings->command, WTERMSIG(status));
    else if (ended > 0 && WEXITSTATUS(status) != 0)
        fail(c, "%s ended with status %d", c->settings->command, WEXITSTATUS(status));
}

/* Sends one command line, of that length, without its end. */
static void
send_line(struct client *c, const char *line, size_t length)
{
    wire_put(&c->server, line, length);
    wire_put(&c->server, "\r\n", 2);
}

/* Says whether a status line begins with this status, alone or with a blank behind it. */
static bool
has_status(const char *line, const char *status)
{
    size_t length = strlen(status);

    return strncmp(line, status, length) == 0 && (line[length] == '\0' || line[length] == ' ');
}

/*
 * Reads the status line that answers a command, keeps it in c->status, and shows it as it came. Returns
 * whether it was +OK. Anything else goes into the exit status, but for "+ ", with which a server asks for
 * more (RFC 5034); what is no status line at all ends the session.
 */
static bool
get_status(struct client *c, bool shown)
{
    char *line;
    size_t length;
    enum wire_line got;

    if (c->server.in_start == c->server.in_end)
        wire_flush(&c->screen);
    got = wire_line(&c->server, sizeof c->status, &line, &length);
    if (got == WIRE_NO_LINE) {
        lost(c);
        return false;
    }
    if (got == WIRE_LINE) {
        memcpy(c->status, line, length + 1);
        if (shown)
            show_line(c, line, length);
        if (has_status(line, "+OK"))
            return true;
        c->failed = c->failed || !has_status(line, "+");
        if (has_status(line, "-ERR") || has_status(line, "+"))
            return false;
    }
    wire_fail(&c->server, EPROTO);
    lost(c);
    return false;
}

/*
 * Reads the lines behind a status line, to the lone dot, and hands their octets to take in pieces, with LF
 * as the line end. Returns false, having said why, when they do not come whole.
 */
static bool
get_body(struct client *c, struct pop3_unstuffer *u, void (*take)(void *to, const unsigned char *octets, size_t length),
         void *to)
{
    struct wire *w = &c->server;
    unsigned char text[WIRE_INPUT + 1];

    while (u->at != UNSTUFF_END) {
        size_t made;

        if (w->in_start == w->in_end) {
            wire_flush(&c->screen);
            if (!wire_fill(w)) {
                lost(c);
                return false;
            }
        }
        w->in_start += pop3_unstuff(u, w->input + w->in_start, w->in_end - w->in_start, text, &made);
        take(to, text, made);
    }
    return true;
}

/* What a body is shown with. */
struct shown {
    struct client *client;
    struct visible visible;
};

static void
take_to_screen(void *to, const unsigned char *octets, size_t length)
{
    struct shown *shown = to;

    show(shown->client, &shown->visible, octets, length);
}

/* Shows the lines behind a status line. */
static void
show_body(struct client *c)
{
    struct pop3_unstuffer u = {.octets = 0};
    struct shown shown = {.client = c};

    get_body(c, &u, take_to_screen, &shown);
}

/* Shows what the server says without having been asked, and whether it has gone. Waits for nothing. */
static void
hear_server(struct client *c)
{
    struct pollfd ready = {.fd = c->server.in, .events = POLLIN, .revents = 0};
    char *line;
    size_t length;

    while (!c->over && poll(&ready, 1, 0) > 0) {
        if (!wire_fill(&c->server))
            break;
    }
    while (memchr(c->server.input + c->server.in_start, '\n', c->server.in_end - c->server.in_start) != NULL)
        if (wire_line(&c->server, sizeof c->status, &line, &length) == WIRE_LINE)
            show_line(c, line, length);
    if (c->server.error != 0)
        lost(c);
}

/* Ends the connection, from the client's side or after the server's, and the command of -x with it. */
static void
hang_up(struct client *c)
{
    close(c->server.in);
    if (c->server.out != c->server.in)
        close(c->server.out);
    if (c->child > 0)
        end_command(c);
}

/* ---- 4. Numbers of messages -------------------------------------------------------------------------- */

/* Adds a number to the end. Returns false when there is no memory. */
static bool
numbers_append(struct numbers *n, uint32_t number)
{
    if (n->count == n->room) {
        size_t room = n->room * 2 + 16;
        uint32_t *list = realloc(n->list, room * sizeof *list);

        if (list == NULL)
            return false;
        n->list = list;
        n->room = room;
    }
    n->list[n->count++] = number;
    return true;
}

/* Returns where in a sorted list a number stands, or should. */
static size_t
numbers_find(const struct numbers *n, uint32_t number)
{
    size_t begin = 0, end = n->count;

    if (end > 0 && n->list[end - 1] < number)
        return end;             /* the most common case by far */
    while (begin < end) {
        size_t middle = begin + (end - begin) / 2;

        if (n->list[middle] < number)
            begin = middle + 1;
        else
            end = middle;
    }
    return begin;
}

static bool
numbers_have(const struct numbers *n, uint32_t number)
{
    size_t at = numbers_find(n, number);

    return at < n->count && n->list[at] == number;
}

/* Puts a number into a sorted list, where it is once. Returns false when there is no memory. */
static bool
numbers_put(struct numbers *n, uint32_t number)
{
    size_t at = numbers_find(n, number);

    if (at < n->count && n->list[at] == number)
        return true;
    if (!numbers_append(n, number))
        return false;
    memmove(n->list + at + 1, n->list + at, (n->count - 1 - at) * sizeof *n->list);
    n->list[at] = number;
    return true;
}

/* Takes a number out of a sorted list, if it is there. */
static void
numbers_drop(struct numbers *n, uint32_t number)
{
    size_t at = numbers_find(n, number);

    if (at < n->count && n->list[at] == number) {
        n->count--;
        memmove(n->list + at, n->list + at + 1, (n->count - at) * sizeof *n->list);
    }
}

static void
numbers_free(struct numbers *n)
{
    free(n->list);
    *n = (struct numbers){.list = NULL};
}

/* ---- 5. Saving a message ----------------------------------------------------------------------------- */

enum { NAME_ROOM = 64 };

/* A message on its way to a file. */
struct saving {
    uint32_t number;
    int directory, file;
    char temporary[NAME_ROOM];  /* its name until it is complete, "" when there is none */
    char name[NAME_ROOM];       /* the name it got, or had already */
    bool had_it;                /* it was saved before */
    int error;                  /* the first one, or 0 */
};

static void
saving_fail(struct saving *s)
{
    if (s->error == 0)
        s->error = errno != 0 ? errno : EIO;
}

/* Opens the directory, made if it is not there, and a file under a hidden name. Failures wait in s->error. */
static void
save_begin(struct saving *s, const char *directory, uint32_t number)
{
    *s = (struct saving){.number = number, .directory = -1, .file = -1};
    if (mkdir(directory, S_IRWXU) == 0) {
        int parent = -1;

        s->directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        parent = s->directory < 0 ? -1 : openat(s->directory, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (parent >= 0) {
            fsync(parent);
            close(parent);
        }
    } else {
        s->directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    for (int i = 0; s->directory >= 0 && s->file < 0 && i < 100; i++) {
        snprintf(s->temporary, sizeof s->temporary, ".%" PRIu32 ".%ld-%d", number, (long)getpid(), i);
        s->file = openat(s->directory, s->temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                         S_IRUSR | S_IWUSR);
        if (s->file < 0 && errno != EEXIST)
            break;
    }
    if (s->file < 0) {
        s->temporary[0] = '\0';
        saving_fail(s);
    }
}

/* Writes octets. After an error it does nothing, so that the rest of the message is read all the same. */
static void
take_to_file(void *to, const unsigned char *octets, size_t length)
{
    struct saving *s = to;

    while (length > 0 && s->error == 0) {
        ssize_t count = write(s->file, octets, length);

        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0) {
            saving_fail(s);
            return;
        }
        octets += count;
        length -= (size_t)count;
    }
}

/* Says whether a file of the directory holds what this one does. */
static bool
same_content(int directory, const char *name, int file)
{
    int other = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    char a[16 * 1024], b[sizeof a];
    struct stat ours, theirs;
    off_t offset = 0;
    bool same = false;

    if (other >= 0 && fstat(other, &theirs) == 0 && fstat(file, &ours) == 0)
        same = S_ISREG(theirs.st_mode) && ours.st_size == theirs.st_size;
    while (same && offset < ours.st_size) {
        ssize_t count = pread(file, a, sizeof a, offset);

        same = count > 0 && pread(other, b, (size_t)count, offset) == count && memcmp(a, b, (size_t)count) == 0;
        offset += count;
    }
    if (other >= 0)
        close(other);
    return same;
}

/* Gives a file another name, which must be free. Returns as link() does. */
static int
link_as(int directory, const char *from, const char *to)
{
    if (linkat(directory, from, directory, to, 0) == 0)
        return 0;
#ifdef SYS_renameat2
    /* FAT and the like have no links, but can rename without overwriting. */
    if (errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS)
        return (int)syscall(SYS_renameat2, directory, from, directory, to, 1U /* RENAME_NOREPLACE */);
#endif
    return -1;
}

/*
 * Gives a complete message its name: the first free one of n.eml, n-1.eml, n-2.eml ..., unless one before
 * holds the same. Both the file and its name are on disk before this returns. Returns false, with s->error
 * set, when the message is not saved; then nothing is left of it.
 */
static bool
save_end(struct saving *s)
{
    if (s->error == 0 && fsync(s->file) != 0)
        saving_fail(s);
    for (uint32_t i = 0; s->error == 0; i++) {
        if (i == 0)
            snprintf(s->name, sizeof s->name, "%" PRIu32 ".eml", s->number);
        else
            snprintf(s->name, sizeof s->name, "%" PRIu32 "-%" PRIu32 ".eml", s->number, i);
        if (link_as(s->directory, s->temporary, s->name) == 0)
            break;
        if (errno != EEXIST)
            saving_fail(s);
        else if (same_content(s->directory, s->name, s->file)) {
            s->had_it = true;
            break;
        }
    }
    if (s->temporary[0] != '\0')
        unlinkat(s->directory, s->temporary, 0);
    if (s->error == 0 && fsync(s->directory) != 0 && errno != EINVAL && errno != ENOTSUP) {
        saving_fail(s);
        if (!s->had_it)
            unlinkat(s->directory, s->name, 0);
    }
    if (s->file >= 0 && close(s->file) != 0)
        saving_fail(s);
    if (s->directory >= 0)
        close(s->directory);
    return s->error == 0;
}

/* ---- 6. Commands ------------------------------------------------------------------------------------- */

/* Sends a line as it was typed and shows the answer, with what follows it if the command has that. */
static bool
do_plain(struct client *c, const char *line, const struct pop3_request *typed)
{
    const struct pop3_command *command = &pop3_commands[typed->verb < POP3_VERBS ? typed->verb : POP3_NOOP];
    bool body = command->body == BODY || (command->body == BODY_IF_ALONE && typed->count == 0);

    if (strlen(line) > POP3_COMMAND_MAX - 2) {
        fail(c, "that is too long for POP3: a command has at most %d octets", POP3_COMMAND_MAX - 2);
        return false;
    }
    send_line(c, line, strlen(line));
    if (!get_status(c, true))
        return false;
    if (body)
        show_body(c);
    if (typed->verb == POP3_RSET)
        c->marked.count = 0;
    return true;
}

/* Collects the numbers at the start of lines, without keeping the lines. */
struct listing {
    struct numbers *numbers;
    uint64_t number;
    enum { LISTING_NUMBER, LISTING_REST, LISTING_FULL } at;
};

static void
take_to_listing(void *to, const unsigned char *octets, size_t length)
{
    struct listing *l = to;

    for (size_t i = 0; i < length && l->at != LISTING_FULL; i++) {
        if (l->at == LISTING_NUMBER && octets[i] >= '0' && octets[i] <= '9' && l->number <= UINT32_MAX) {
            l->number = l->number * 10 + (uint64_t)(octets[i] - '0');
            continue;
        }
        if (l->at == LISTING_NUMBER) {
            if (l->number > 0 && l->number <= UINT32_MAX && !numbers_put(l->numbers, (uint32_t)l->number))
                l->at = LISTING_FULL;
            else
                l->at = LISTING_REST;
            l->number = 0;
        }
        if (l->at == LISTING_REST && octets[i] == '\n')
            l->at = LISTING_NUMBER;
    }
}

/* Asks which messages there are that are not marked. Returns false, having said why, when that is not known. */
static bool
list_messages(struct client *c, struct numbers *there)
{
    struct pop3_unstuffer u = {.octets = 0};
    struct listing listing = {.numbers = there};

    send_line(c, "LIST", 4);
    if (!get_status(c, false)) {
        if (!c->over)
            show_line(c, c->status, strlen(c->status));
        return false;
    }
    if (!get_body(c, &u, take_to_listing, &listing))
        return false;
    if (listing.at == LISTING_FULL)
        fail(c, "no memory for the list of messages");
    return listing.at != LISTING_FULL;
}

/* Adds the numbers from first to last that are not in the list yet. Returns false when there is no memory. */
static bool
add_range(struct numbers *list, struct numbers *seen, uint64_t first, uint64_t last)
{
    for (uint64_t number = first; number <= last; number++) {
        if (numbers_have(seen, (uint32_t)number))
            continue;
        if (!numbers_put(seen, (uint32_t)number) || !numbers_append(list, (uint32_t)number))
            return false;
    }
    return true;
}

/* Reads a word of a list: n, or n-m. */
static bool
read_range(const char *word, uint64_t *first, uint64_t *last)
{
    char text[24];
    const char *dash = strchr(word, '-');
    size_t length = dash != NULL ? (size_t)(dash - word) : strlen(word);

    if (length >= sizeof text)
        return false;
    memcpy(text, word, length);
    text[length] = '\0';
    if (!pop3_number(text, UINT32_MAX, first))
        return false;
    *last = *first;
    return dash == NULL || pop3_number(dash + 1, UINT32_MAX, last);
}

/*
 * Reads the arguments of a command that takes several messages: numbers, ranges and *. Returns false, having
 * said why, when they name nothing that can be asked for; nothing was sent then but a LIST.
 */
static bool
read_numbers(struct client *c, const char *arguments, struct numbers *list)
{
    char words[TYPED_MAX + 1], *rest = words, *word;
    struct numbers there = {.list = NULL}, seen = {.list = NULL};
    bool good = true, listed = false;

    snprintf(words, sizeof words, "%s", arguments);
    while (good && (word = strtok_r(rest, " \t", &rest)) != NULL) {
        uint64_t first = 0, last = 0;
        bool all = strcmp(word, "*") == 0;

        if (!all && (!read_range(word, &first, &last) || first == 0)) {
            fail(c, "%s is no message number, range such as 2-5, or *; nothing was sent", word);
            good = false;
        } else if (first > last) {
            fail(c, "%s runs backwards; nothing was sent", word);
            good = false;
        } else if (!all && first == last && strchr(word, '-') == NULL) {
            good = add_range(list, &seen, first, last);     /* whether it is there the server knows */
        } else if (listed || (listed = good = list_messages(c, &there))) {
            uint32_t top = there.count > 0 ? there.list[there.count - 1] : 0;

            if (c->marked.count > 0 && c->marked.list[c->marked.count - 1] > top)
                top = c->marked.list[c->marked.count - 1];
            if (last > top) {
                fail(c, "%s goes past the last message, which is %" PRIu32 "; nothing was sent", word, top);
                good = false;
            }
            for (size_t i = 0; good && all && i < there.count; i++)
                good = add_range(list, &seen, there.list[i], there.list[i]);
            if (good && !all)
                good = add_range(list, &seen, first, last);
        }
    }
    if (good && list->count == 0)
        tell(c, "there is no message");
    numbers_free(&there);
    numbers_free(&seen);
    return good;
}

/* Looks in the lines of CAPA's answer for PIPELINING (RFC 2449 section 6.8). */
struct capability {
    char line[16];
    size_t length;
    bool found;
};

static void
take_to_capability(void *to, const unsigned char *octets, size_t length)
{
    struct capability *p = to;

    for (size_t i = 0; i < length; i++) {
        if (octets[i] != '\n') {
            if (p->length < sizeof p->line)
                p->line[p->length++] = (char)octets[i];
            continue;
        }
        p->found = p->found || (p->length == 10 && memcmp(p->line, "PIPELINING", 10) == 0);
        p->length = 0;
    }
}

/* Finds out, once, whether commands may be sent before the earlier ones are answered. */
static bool
may_send_ahead(struct client *c)
{
    struct pop3_unstuffer u = {.octets = 0};
    struct capability pipelining = {.found = false};
    bool failed = c->failed;

    if (c->pipelining >= 0)
        return c->pipelining > 0;
    send_line(c, "CAPA", 4);
    if (get_status(c, false))
        get_body(c, &u, take_to_capability, &pipelining);
    else if (!c->over)
        c->failed = failed;     /* an older server: no fault of anybody's */
    c->pipelining = pipelining.found;
    return pipelining.found;
}

/* What became of the messages of one command. */
struct tally {
    size_t done, had, failed;
};

/*
 * Sends a command for each message and takes the answers with what fits it, in order. Several are sent
 * ahead if the server can take that; they are few enough to fit on the way, so nobody waits for the other.
 */
static void
for_each(struct client *c, enum pop3_verb verb, const struct numbers *list, struct tally *tally,
         void (*answered)(struct client *c, uint32_t number, struct tally *tally))
{
    size_t ahead = list->count > 1 && may_send_ahead(c) ? AHEAD_MAX : 1, sent = 0;

    for (size_t i = 0; i < list->count && !c->over; i++) {
        if (sent - i <= ahead / 2)
            for (; sent < list->count && sent - i < ahead; sent++) {
                char line[32];
                int length = snprintf(line, sizeof line, "%s %" PRIu32, pop3_commands[verb].name, list->list[sent]);

                send_line(c, line, (size_t)length);
            }
        if (!wire_flush(&c->server))
            lost(c);
        else
            answered(c, list->list[i], tally);
    }
}

/* RETR n: saves the message. */
static void
retr_answered(struct client *c, uint32_t number, struct tally *tally)
{
    const char *directory = c->settings->directory;
    struct pop3_unstuffer u = {.octets = 0};
    struct saving saving;
    uint64_t said = 0;
    char digits[24] = "";
    bool whole;

    tally->failed++;
    if (!numbers_put(&c->unsaved, number))
        fail(c, "no memory to remember message %" PRIu32, number);
    if (!get_status(c, true))
        return;
    sscanf(c->status, "+OK %20[0-9]", digits);

    save_begin(&saving, directory, number);
    whole = get_body(c, &u, take_to_file, &saving);
    if (!whole && saving.error == 0)
        saving.error = EPROTO;
    if (!save_end(&saving)) {
        if (whole)
            fail(c, "message %" PRIu32 " is not saved: %s: %s", number, directory, strerror(saving.error));
        return;
    }
    numbers_drop(&c->unsaved, number);
    tally->failed--;
    *(saving.had_it ? &tally->had : &tally->done) += 1;
    tell(c, "%s %s/%s (%" PRIu64 " octets)", saving.had_it ? "already saved as" : "saved", directory, saving.name,
         u.octets);
    if (pop3_number(digits, UINT64_MAX, &said) && said != u.octets)
        warn(c, "the server said that message %" PRIu32 " has %s octets", number, digits);
}

/* DELE n: the server marks the message, and QUIT will remove it. */
static void
dele_answered(struct client *c, uint32_t number, struct tally *tally)
{
    if (!get_status(c, true)) {
        tally->failed++;
        return;
    }
    tally->done++;
    if (!numbers_put(&c->marked, number))
        fail(c, "no memory to remember message %" PRIu32, number);
    tell(c, "marked %" PRIu32, number);
}

/* RETR or DELE of one or several messages; arguments is what follows the command's word. */
static void
do_several(struct client *c, enum pop3_verb verb, const char *arguments)
{
    struct numbers list = {.list = NULL};
    struct tally tally = {0, 0, 0};

    if (!read_numbers(c, arguments, &list)) {
        numbers_free(&list);
        return;
    }
    if (verb == POP3_DELE && !c->at_terminal) {
        size_t kept = 0;

        for (size_t i = 0; i < list.count; i++) {
            if (numbers_have(&c->unsaved, list.list[i]))
                fail(c, "message %" PRIu32 " was not saved, so it is not marked", list.list[i]);
            else
                list.list[kept++] = list.list[i];
        }
        list.count = kept;
    }
    for_each(c, verb, &list, &tally, verb == POP3_RETR ? retr_answered : dele_answered);
    if (list.count > 1 && !c->over) {
        if (verb == POP3_RETR)
            tell(c, "%zu saved, %zu already there, %zu failed", tally.done, tally.had, tally.failed);
        else
            tell(c, "%zu marked, %zu failed", tally.done, tally.failed);
    }
    numbers_free(&list);
}

static void
do_help(struct client *c)
{
    for (int verb = 0; verb < POP3_VERBS; verb++) {
        const struct pop3_command *command = &pop3_commands[verb];
        bool several = verb == POP3_RETR || verb == POP3_DELE;

        tell(c, "  %-5s%-12s%s", command->name, several ? "n..." : command->arguments, command->help);
    }
    tell(c, "  %-5s%-12s%s", "HELP", "", "this list");
    tell(c, "n... stands for messages: 1 3 5-9, or * for all. RETR saves them in %s.", c->settings->directory);
}

/* QUIT: the server removes what is marked, and answers when it has. */
static void
do_quit(struct client *c)
{
    bool gone;

    c->quitting = true;
    c->server.idle_ms = QUIT_SECONDS * 1000;
    send_line(c, "QUIT", 4);
    gone = get_status(c, true);
    if (c->over)
        return;
    c->over = true;
    if (gone && c->marked.count > 0)
        tell(c, "%zu message%s removed", c->marked.count, c->marked.count == 1 ? " was" : "s were");
    else if (!gone)
        fail(c, c->marked.count > 0 ? "not all marked messages were removed" : "the server was not content");
}

/* Reads a password that nobody sees, and sends it with PASS. ^C gives it up. */
static void
do_password(struct client *c)
{
    struct pop3_request pass = {.verb = POP3_PASS, .word = "PASS", .count = 1};
    struct termios seen, hidden;
    char *typed = NULL, line[TYPED_MAX + 8];
    size_t length = 0;

    if (tcgetattr(STDIN_FILENO, &seen) != 0)
        return;
    hidden = seen;
    hidden.c_lflag &= ~(tcflag_t)ECHO;
    hidden.c_cc[VSUSP] = _POSIX_VDISABLE;       /* not to be stopped with the echo off */
    wire_put(&c->screen, "Password: ", 10);
    wire_flush(&c->screen);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
    c->keys.stop = &interrupted;
    if (wire_line(&c->keys, TYPED_MAX, &typed, &length) == WIRE_LINE)
        snprintf(line, sizeof line, "PASS %s", typed);
    else
        typed = NULL;
    c->keys.stop = NULL;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &seen);
    wire_put(&c->screen, "\n", 1);

    if (c->keys.error == EINTR)
        c->keys.error = 0;
    if (interrupted == SIGINT)
        interrupted = 0;
    if (typed != NULL) {
        do_plain(c, line, &pass);
        memset(typed, 0, length);
    }
}

/* Carries out one typed line, of that length. */
static void
run(struct client *c, char *line, size_t length)
{
    char words[TYPED_MAX + 1];
    struct pop3_request typed;

    for (size_t i = 0; i < length; i++)
        if ((line[i] >= 0 && line[i] < ' ' && line[i] != '\t') || line[i] == 0x7f) {
            fail(c, "a command has no control characters; that line was not sent");
            return;
        }
    line += strspn(line, " \t");
    snprintf(words, sizeof words, "%s", line);
    typed = pop3_parse(words);
    if (typed.verb != POP3_PASS)    /* whose blanks belong to the password */
        for (size_t end = strlen(line); end > 0 && pop3_is_blank(line[end - 1]); end--)
            line[end - 1] = '\0';
    hear_server(c);
    if (typed.word[0] == '\0' || c->over)
        return;

    const char *arguments = line + strlen(typed.word);
    arguments += strspn(arguments, " \t");
    bool several = (typed.verb == POP3_RETR || typed.verb == POP3_DELE) && typed.count > 0;
    uint64_t number;

    if (several && typed.count == 1 && typed.argument[0][0] != '*' && strchr(typed.argument[0], '-') == NULL &&
        !pop3_number(typed.argument[0], UINT32_MAX, &number))
        several = false;        /* let the server say what is wrong with it */

    if (pop3_same_word(typed.word, "HELP"))
        do_help(c);
    else if (typed.verb == POP3_QUIT && typed.count == 0)
        do_quit(c);
    else if (typed.verb == POP3_PASS && typed.count == 0 && c->at_terminal)
        do_password(c);
    else if (several)
        do_several(c, typed.verb, arguments);
    else
        do_plain(c, line, &typed);
}

/* ---- 7. The loop, and main --------------------------------------------------------------------------- */

/*
 * Waits until there is a typed line, or the end of the input; meanwhile the server may go, or a signal come.
 * Returns false when one of these ended the session or, at a terminal, the line.
 */
static bool
wait_for_line(struct client *c)
{
    struct wire *keys = &c->keys;

    wire_flush(&c->screen);
    while (!c->over && keys->error == 0 && keys->in_end - keys->in_start < TYPED_MAX &&
           memchr(keys->input + keys->in_start, '\n', keys->in_end - keys->in_start) == NULL) {
        struct pollfd ready[2] = {{.fd = keys->in, .events = POLLIN}, {.fd = c->server.in, .events = POLLIN}};

        if (ppoll(ready, 2, NULL, &c->mask) < 0) {
            if (interrupted) {
                wire_fail(&c->server, c->at_terminal && interrupted == SIGINT ? 0 : EINTR);
                return false;
            }
            continue;
        }
        if (ready[1].revents != 0) {
            if (c->at_terminal)
                wire_put(&c->screen, "\n", 1);
            hear_server(c);
            wire_flush(&c->screen);
        }
        if (ready[0].revents != 0)
            wire_fill(keys);
    }
    return !c->over;
}

/* Takes commands until the session is over. */
static void
converse(struct client *c)
{
    while (!c->over) {
        char *line;
        size_t length;

        if (c->screen.error != 0) {
            lost(c);
            break;
        }
        if (c->at_terminal)
            wire_put(&c->screen, "pop3> ", 6);
        if (!wait_for_line(c)) {
            if (interrupted == SIGINT && c->at_terminal) {
                interrupted = 0;
                c->keys.in_start = c->keys.in_end;
                wire_put(&c->screen, "\n", 1);
            } else if (interrupted) {
                lost(c);
            }
            continue;
        }
        switch (wire_line(&c->keys, TYPED_MAX, &line, &length)) {
        case WIRE_LINE:
            run(c, line, length);
            break;
        case WIRE_LINE_TOO_LONG:
            fail(c, "that line is too long; it was not sent");
            break;
        case WIRE_NO_LINE:
            length = c->keys.in_end - c->keys.in_start;
            line = (char *)c->keys.input + c->keys.in_start;
            if (length > 0 && length < TYPED_MAX) {     /* a last line without its end */
                line[length] = '\0';
                c->keys.in_start = c->keys.in_end;
                run(c, line, length);
            }
            if (c->at_terminal)
                wire_put(&c->screen, "\n", 1);
            if (!c->over)
                do_quit(c);
            break;
        }
    }
    wire_flush(&c->screen);
}

static const char usage[] = "usage: client [-hV] [-d directory] [-x command] [host [port]]\n";

static const char help[] =
    "\n"
    "Reads mail by POP3. The host is localhost and the port " POP3_PORT " if none is given. HELP at the\n"
    "prompt lists the commands.\n"
    "\n"
    "  -d DIRECTORY  where messages are saved; made when first needed (inbox)\n"
    "  -x COMMAND    run COMMAND with sh -c and talk to it instead of a host:\n"
    "                -x './server -i', or with TLS\n"
    "                -x 'openssl s_client -quiet -verify_return_error -connect HOST:995'\n"
    "  -h, --help    say this\n"
    "  -V, --version say which version this is\n";

/* Says what is wrong with the command line, and ends the program. */
static _Noreturn void __attribute__((format(printf, 2, 3)))
misused(struct client *c, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    complain_list(c, format, arguments);
    va_end(arguments);
    fputs(usage, stderr);
    exit(2);
}

/* Reads the command line. Ends the program when it was asked what there is, or something else it is not. */
static void
read_options(struct client *c, struct settings *settings, int argc, char **argv)
{
    static const struct option names[] = {
        {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {NULL, 0, NULL, 0}
    };
    uint64_t port;
    int option;

    opterr = 0;
    while ((option = getopt_long(argc, argv, ":d:hVx:", names, NULL)) != -1) {
        switch (option) {
        case 'd':
            settings->directory = optarg;
            break;
        case 'h':
            printf("%s%s", usage, help);
            exit(0);
        case 'V':
            printf("pop3 client %s\n", POP3_VERSION);
            exit(0);
        case 'x':
            settings->command = optarg;
            break;
        case ':':
            misused(c, "-%c needs a value", optopt);
        default:
            misused(c, "no such option: %s", argv[optind - 1]);
        }
    }
    if (settings->command != NULL && optind < argc)
        misused(c, "-x takes the place of a host: what is %s?", argv[optind]);
    if (optind < argc)
        settings->host = argv[optind++];
    if (optind < argc)
        settings->port = argv[optind++];
    if (optind < argc)
        misused(c, "a host and a port are enough: what is %s?", argv[optind]);
    if (!pop3_number(settings->port, 65535, &port) || port == 0)
        misused(c, "a port is a number from 1 to 65535, not %s", settings->port);
}

static void
note_signal(int number)
{
    if (number == SIGCHLD)
        child_ended = 1;
    else
        interrupted = number;
}

/* Blocks the signals that the program takes notice of, and returns in *mask how it was before. */
static void
catch_signals(sigset_t *mask)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD};
    struct sigaction action = {.sa_handler = note_signal};
    sigset_t blocked;

    sigemptyset(&action.sa_mask);
    sigemptyset(&blocked);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction before;

        sigaction(numbers[i], NULL, &before);
        if (before.sa_handler == SIG_IGN && numbers[i] != SIGCHLD)
            continue;           /* as nohup and a shell's background jobs want it */
        sigaction(numbers[i], &action, NULL);
        sigaddset(&blocked, numbers[i]);
    }
    sigprocmask(SIG_BLOCK, &blocked, mask);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        sigdelset(mask, numbers[i]);
    signal(SIGPIPE, SIG_IGN);   /* these two are told by errno, where something can be done about it */
    signal(SIGXFSZ, SIG_IGN);
}

/* Readies the three wires, and connects the server's or starts the command. Returns false, having said why. */
static bool
connect_wires(struct client *c, const struct addrinfo *addresses)
{
    int in, out;

    wire_open(&c->server, -1, -1);
    c->server.mask = &c->mask;
    c->server.stop = &interrupted;
    if (c->settings->command == NULL)
        in = out = connect_to(c, addresses);
    else if (!run_command(c, &in, &out))
        in = -1;
    if (in < 0)
        return false;

    wire_open(&c->server, in, out);
    c->server.mask = &c->mask;
    c->server.stop = &interrupted;
    c->server.idle_ms = ANSWER_SECONDS * 1000;
    return true;
}

int
main(int argc, char **argv)
{
    static struct client client;
    const struct addrinfo hints = {.ai_flags = AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
    struct settings settings = {.host = "localhost", .port = POP3_PORT, .directory = "inbox"};
    struct client *c = &client;
    struct addrinfo *addresses = NULL;

    c->settings = &settings;
    c->pipelining = -1;
    c->at_terminal = isatty(STDIN_FILENO) != 0;
    wire_open(&c->keys, STDIN_FILENO, STDOUT_FILENO);
    wire_open(&c->screen, STDIN_FILENO, STDOUT_FILENO);
    read_options(c, &settings, argc, argv);
    if (settings.command == NULL) {
        int error = getaddrinfo(settings.host, settings.port, &hints, &addresses);

        if (error != 0) {
            fail(c, "no address for %s: %s", settings.host, gai_strerror(error));
            return 1;
        }
    }
    catch_signals(&c->mask);
    c->keys.mask = &c->mask;
    c->screen.mask = &c->mask;
    c->screen.stop = &interrupted;
    if (!connect_wires(c, addresses))
        return 1;
    if (addresses != NULL)
        freeaddrinfo(addresses);

    if (get_status(c, true))
        converse(c);
    hang_up(c);
    wire_flush(&c->screen);
    return c->failed ? 1 : 0;
}
