/*
 * terminal.h - the whole client on a pseudo-terminal, for live/client_*.c
 *
 * A test plays the person and, mostly, the server too, so that it decides what comes first;
 * where it does not, the client runs a command with -x. Between it and the client stands a
 * process that does what a shell does: it leads the terminal's session, gives the terminal to the
 * client and takes it back when the client stops or ends. What the client sends to the terminal
 * goes to a model of a screen.
 *
 * It never sleeps: it waits, for seconds if need be, for what must come. However a session ends,
 * the terminal is compared with what it was.
 */
#ifndef TERMINAL_H
#define TERMINAL_H

#ifdef __GNUC__
#pragma GCC diagnostic ignored "-Wunused-function"      /* no program uses all of this */
#endif

#include "../../pop3.h"

#include "screen.h"
#include "../unit/keys.h"
#include "../unit/unit.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>

enum {
    PATIENCE = 60 * 1000,      /* milliseconds for what must come */
    SILENCE = 2000,            /* milliseconds that end a paste: 500, and more on a busy machine */
    CTRL_C = 3, CTRL_D = 4, CTRL_Z = 26
};

/* What the leader of the terminal's session says of the client. */
struct report {
    enum { STARTED, STOPPED, ENDED } what;
    int value;                  /* its process, the signal, its status */
};

/* One session: the terminal, the client on it, and the server if that is us. */
static struct session {
    int master, slave;          /* the slave is only looked at */
    int other;                  /* the master of another terminal, for the output alone */
    struct termios before;
    pid_t leader, client;
    int reports, orders;
    bool stopped, ended, dumb;
    bool unread;                /* nobody reads what comes to the terminal */
    int status;

    char stream[1024 * 1024];   /* all that came to the terminal */
    size_t length, seen, painted;
    size_t caused;              /* where it was when something was last done to the client */
    struct screen screen;

    int listener, server;
    bool hung_up;               /* by the client */
    char commands[64 * 1024];   /* all that came to the server */
    size_t commands_length, commands_seen;
} now = {
    .master = -1, .slave = -1, .other = -1, .reports = -1, .orders = -1, .listener = -1,
    .server = -1
};

static char client_path[PATH_MAX], server_path[PATH_MAX], directory[1024];

static void
give_up(const char *what)
{
    perror(what);
    exit(2);
}

/* ---- The terminal and what runs on it -------------------------------------------------------- */

/* The leader of the session: it runs the client as a shell does, and tells of it. */
static _Noreturn void
lead(int orders, int reports, const char *term, int output, char *const arguments[])
{
    struct report report = {.what = STARTED};
    int status;
    pid_t client;

    alarm(PATIENCE / 1000 * 3); /* whatever happens, it does not stay */
    if (setsid() < 0 || ioctl(now.slave, TIOCSCTTY, 0) != 0)
        _exit(2);
    signal(SIGTTOU, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    client = fork();
    if (client == 0) {
        setpgid(0, 0);
        tcsetpgrp(now.slave, getpid());
        signal(SIGTTOU, SIG_DFL);
        signal(SIGHUP, SIG_DFL);
        signal(SIGPIPE, SIG_DFL);
        alarm(0);
        setenv("TERM", term, 1);
        dup2(now.slave, STDIN_FILENO);
        dup2(output >= 0 ? output : now.slave, STDOUT_FILENO);
        dup2(now.slave, STDERR_FILENO);
        for (int fd = 3; fd < 64; fd++)
            close(fd);
        execv(arguments[0], arguments);
        perror(arguments[0]);
        _exit(126);
    }
    setpgid(client, client);
    close(now.master);
    if (now.other >= 0)
        close(now.other);
    report.value = client;
    while (write(reports, &report, sizeof report) == sizeof report && report.what != ENDED) {
        char order;

        if (report.what == STOPPED) {
            if (read(orders, &order, 1) != 1)
                break;
            if (order == 'c')           /* else it continues in the background */
                tcsetpgrp(now.slave, client);
            kill(-client, SIGCONT);
        }
        if (waitpid(client, &status, WUNTRACED) != client)
            break;
        tcsetpgrp(now.slave, getpgrp());
        report.what = WIFSTOPPED(status) ? STOPPED : ENDED;
        report.value = WIFSTOPPED(status) ? WSTOPSIG(status) : status;
    }
    _exit(0);
}

/* How many octets at the end of a text are the beginning of something. */
static size_t
unfinished(const char *text, size_t length)
{
    size_t back = 0;

    while (back < length && back < 16 && text[length - 1 - back] != '\033')
        back++;
    if (back < length && back < 16) {   /* there is an ESC: has its sequence a last character? */
        size_t end = length - back + 1;

        while (end < length && (text[end] < '@' || text[end] > '~'))
            end++;
        if (end >= length)
            return back + 1;
    }
    for (back = 0; back < 3 && back < length; back++)
        if (((unsigned char)text[length - 1 - back] & 0xc0) != 0x80)
            break;
    if (back < length && (unsigned char)text[length - 1 - back] >= 0xc0) {
        unsigned char lead = (unsigned char)text[length - 1 - back];
        size_t octets = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;

        return octets > back + 1 ? back + 1 : 0;
    }
    return 0;
}

/* Takes what has come from the client, to the terminal and to the server. Waits so long for it. */
static void
take(int milliseconds)
{
    const int fds[] = {now.unread ? -1 : now.master, now.server, now.listener, now.reports};
    const int ready = wait_ready(fds, 4, false, milliseconds);
    ssize_t count;

    if (ready <= 0)
        return;
    if ((ready & 1 << 0) != 0) {
        count = read(now.master, now.stream + now.length, sizeof now.stream - 1 - now.length);
        if (count <= 0) {
            close(now.master);
            now.master = -1;
        } else {
            now.length += (size_t)count;
            now.stream[now.length] = '\0';
            size_t end = now.length - unfinished(now.stream, now.length);
            char next = now.stream[end];

            now.stream[end] = '\0';
            screen_write(&now.screen, now.stream + now.painted, end - now.painted);
            now.stream[end] = next;
            now.painted = end;
        }
    }
    if ((ready & 1 << 1) != 0) {
        count = read(now.server, now.commands + now.commands_length,
                     sizeof now.commands - 1 - now.commands_length);
        now.commands_length += count > 0 ? (size_t)count : 0;
        now.commands[now.commands_length] = '\0';
        if (count <= 0) {
            now.hung_up = true;
            close(now.server);
            now.server = -1;
        }
    }
    if ((ready & 1 << 2) != 0) {
        now.server = accept(now.listener, NULL, NULL);
        close(now.listener);
        now.listener = -1;
    }
    if ((ready & 1 << 3) != 0) {
        struct report report;

        if (read(now.reports, &report, sizeof report) != sizeof report) {
            close(now.reports);
            now.reports = -1;
        } else if (report.what == STARTED) {
            now.client = report.value;
        } else if (report.what == STOPPED) {
            now.stopped = true;
        } else {
            now.ended = true;
            now.status = report.value;
        }
    }
}

/* Takes what is there already. */
static void
take_all(void)
{
    while (now.master >= 0 && !now.unread && wait_ready(&now.master, 1, false, 0) > 0)
        take(0);
}

/* Waits until it is so, for as long as patience lasts. */
#define WAIT_FOR(condition) \
    do { \
        int64_t limit_ = wire_clock() + PATIENCE; \
        while (!(condition) && wire_clock() < limit_) \
            take(50); \
    } while (0)

static const char *
row_of_cursor(void)
{
    static char text[4 * SCREEN_COLUMNS * 4];

    return screen_row(&now.screen, now.screen.row, text, sizeof text);
}

/* Says what was to be seen when something is missing. */
static bool
missed(const char *what, const char *text)
{
    char row[4 * SCREEN_COLUMNS];

    printf("    missed %s: %s\n", what, text);
    for (size_t i = 0; i <= now.screen.row; i++)
        printf("    |%s\n", screen_row(&now.screen, i, row, sizeof row));
    printf("    cursor in column %zu, commands: %s\n", now.screen.column, now.commands);
    return false;
}

/* Waits for a text on the terminal, behind what was waited for before. */
static bool
sees(const char *text)
{
    char *found = NULL;

    WAIT_FOR((found = strstr(now.stream + now.seen, text)) != NULL || now.ended);
    take_all();
    if (found == NULL && (found = strstr(now.stream + now.seen, text)) == NULL)
        return missed("on the terminal", text);
    now.seen = (size_t)(found - now.stream) + strlen(text);
    return true;
}

/* Before something is done to the client: what shows that it was noticed comes behind this. */
static void
about_to(void)
{
    take_all();
    now.caused = now.length;
}

/* Returns true if the row of the cursor is this, and something has come since about_to(). */
static bool
row_became(const char *text, size_t column)
{
    take_all();
    return now.length > now.caused && strcmp(row_of_cursor(), text) == 0
        && now.screen.column == column;
}

/* Waits until the row of the cursor is this, with the cursor in its column. */
static bool
row_is(const char *text, size_t column)
{
    bool good = false;

    WAIT_FOR((good = row_became(text, column)) || now.ended);
    return good || row_became(text, column) || missed("in the row", text);
}

/* Waits for the empty prompt. */
static bool
prompted(void)
{
    return row_is("pop3>", 6);
}

/* Says whether a text is anywhere on the screen. */
static bool
on_screen(const char *text)
{
    char row[4 * SCREEN_COLUMNS * 4];

    for (size_t i = 0; i < SCREEN_ROWS; i++)
        if (strstr(screen_row(&now.screen, i, row, sizeof row), text) != NULL)
            return true;
    return false;
}

/* How often a text came to the terminal. */
static int
times(const char *text)
{
    int count = 0;

    for (const char *at = now.stream; (at = strstr(at, text)) != NULL; at += strlen(text))
        count++;
    return count;
}

static void
type(const char *keys)
{
    about_to();
    CHECK(write(now.master, keys, strlen(keys)) == (ssize_t)strlen(keys));
}

/* Types a lot: whatever comes meanwhile is taken, or neither side could go on. */
static void
type_much(const char *keys)
{
    int flags = fcntl(now.master, F_GETFL);

    about_to();
    fcntl(now.master, F_SETFL, flags | O_NONBLOCK);
    for (size_t done = 0, length = strlen(keys); done < length && !now.ended;) {
        ssize_t count = write(now.master, keys + done, length - done);

        if (count > 0)
            done += (size_t)count;
        else
            take(10);
    }
    fcntl(now.master, F_SETFL, flags);
}

/* Returns a line of many numbers, of that length. */
static const char *
long_line(size_t length)
{
    static char text[8192];

    for (size_t i = 0; i < length; i++)
        text[i] = "DELE 1 "[i < 6 ? i : 5 + i % 2];
    text[length] = '\0';
    return text;
}

/* Lets time pass in which nobody types. */
static void
pause_keys(int milliseconds)
{
    for (int64_t until = wire_clock() + milliseconds; wire_clock() < until;)
        take((int)(until - wire_clock()));
}

/* Returns the number of bytes that were typed and that nobody has read, while the modes are raw. */
static int
waiting_keys(void)
{
    int count = -1;

    return ioctl(now.slave, FIONREAD, &count) == 0 ? count : -1;
}

/* The same whatever the modes are. */
static int
unread_keys(void)
{
    struct termios raw = now.before;
    int count;

    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    tcsetattr(now.slave, TCSANOW, &raw);
    count = waiting_keys();
    tcsetattr(now.slave, TCSANOW, &now.before);
    return count;
}

/* Types a piece of a key, and waits until the client has read it: the next one comes alone. */
static void
type_and_wait(const char *keys)
{
    type(keys);
    WAIT_FOR(waiting_keys() == 0 || now.ended);
}

static void
press(char key)
{
    type((char[]){key, '\0'});
}

/* The server says something. */
static void
answer(const char *text)
{
    about_to();
    CHECK(send(now.server, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
}

/* Waits until a command has come to the server, which must be the next one. */
static bool
server_got(const char *line)
{
    size_t length = strlen(line);

    WAIT_FOR(now.commands_length >= now.commands_seen + length || now.hung_up || now.ended);
    if (strncmp(now.commands + now.commands_seen, line, length) != 0)
        return missed("at the server", line);
    now.commands_seen += length;
    return true;
}

/* Says whether nothing came to the server but what it was waited for. */
static bool
got_no_more(void)
{
    WAIT_FOR(now.server < 0 || now.hung_up);
    return now.commands_length == now.commands_seen
        || missed("that nothing more is sent", now.commands + now.commands_seen);
}

static bool
modes_as_before(void)
{
    struct termios t = {.c_iflag = 0};      /* not all of c_cc is the system's */

    return tcgetattr(now.slave, &t) == 0 && t.c_iflag == now.before.c_iflag
        && t.c_oflag == now.before.c_oflag
        && t.c_cflag == now.before.c_cflag && t.c_lflag == now.before.c_lflag
        && memcmp(t.c_cc, now.before.c_cc, sizeof t.c_cc) == 0;
}

/* Says whether the terminal is as it was before the client came. Output may arrive a bit later. */
static bool
terminal_as_before(void)
{
    WAIT_FOR(!now.screen.marks_paste);
    return modes_as_before() && !now.screen.marks_paste;
}

/* Starts the client on a new terminal. */
static void
start(size_t columns, const char *term, int output, char *const arguments[])
{
    struct winsize size = {.ws_row = SCREEN_ROWS, .ws_col = (unsigned short)columns};
    int reports[2], orders[2];

    now.stopped = now.ended = now.hung_up = now.unread = false;
    now.length = now.seen = now.painted = now.caused = now.commands_length = now.commands_seen = 0;
    now.stream[0] = now.commands[0] = '\0';
    now.dumb = strcmp(term, "dumb") == 0;
    now.client = 0;
    screen_init(&now.screen, columns, screen_width);
    now.master = posix_openpt(O_RDWR | O_NOCTTY);
    if (now.master < 0 || grantpt(now.master) != 0 || unlockpt(now.master) != 0)
        give_up("posix_openpt");
    now.slave = open(ptsname(now.master), O_RDWR | O_NOCTTY);
    if (now.slave < 0 || ioctl(now.slave, TIOCSWINSZ, &size) != 0
        || tcgetattr(now.slave, &now.before) != 0)
        give_up("a terminal");
    if (pipe(reports) != 0 || pipe(orders) != 0)
        give_up("pipe");
    fflush(stdout);
    now.leader = fork();
    if (now.leader < 0)
        give_up("fork");
    if (now.leader == 0) {
        close(reports[0]);
        close(orders[1]);
        lead(orders[0], reports[1], term, output, arguments);
    }
    close(reports[1]);
    close(orders[0]);
    now.reports = reports[0];
    now.orders = orders[1];
    WAIT_FOR(now.client != 0);
}

/* Starts it with a command for -x. */
static void
start_command(size_t columns, const char *term, const char *command)
{
    start(columns, term, -1, (char *[]){client_path, "-x", (char *)(uintptr_t)command, NULL});
}

/* Starts it with our server and three messages. What that gets goes into the file "commands". */
static void
start_real(size_t columns)
{
    char command[PATH_MAX + 64];

    snprintf(command, sizeof command, "tee commands | '%s' -i -d store 2>/dev/null", server_path);
    start_command(columns, "xterm", command);
    CHECK(sees("+OK "));
    CHECK(prompted());
}

/* Listens on a free port of this machine, and writes its number. */
static void
listen_here(char *port, size_t room)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;

    now.listener = socket(AF_INET, SOCK_STREAM, 0);
    if (now.listener < 0 || bind(now.listener, (struct sockaddr *)&address, size) != 0 ||
        listen(now.listener, 1) != 0 ||
        getsockname(now.listener, (struct sockaddr *)&address, &size) != 0)
        give_up("a port");
    snprintf(port, room, "%d", ntohs(address.sin_port));
}

/* Starts it with ourselves as the server, which does not say anything yet. */
static void
start_silent(size_t columns, const char *term)
{
    char port[16];

    listen_here(port, sizeof port);
    start(columns, term, -1, (char *[]){client_path, "127.0.0.1", port, NULL});
    WAIT_FOR(now.server >= 0 || now.ended);
}

/* The same, greeted and at its prompt. */
static void
start_served(size_t columns)
{
    start_silent(columns, "xterm");
    answer("+OK hello\r\n");
    CHECK(sees("+OK hello\r\n"));
    CHECK(prompted());
}

/* Ends what may still run, and closes everything. */
static void
clean_up(void)
{
    int *const descriptors[] = {
        &now.master, &now.slave, &now.reports, &now.orders, &now.listener, &now.server
    };

    if (!now.ended && now.client > 0)
        kill(-now.client, SIGKILL);
    for (size_t i = 0; i < sizeof descriptors / sizeof *descriptors; i++) {
        if (*descriptors[i] >= 0)
            close(*descriptors[i]);
        *descriptors[i] = -1;
    }
    waitpid(now.leader, NULL, 0);
}

/* Waits for the client to end with this status and the terminal as it was. */
static bool
ends(int status)
{
    WAIT_FOR(now.ended);
    take_all();
    bool good = CHECK(now.ended) && CHECK(WIFEXITED(now.status))
        && CHECK(WEXITSTATUS(now.status) == status);

    if (now.ended && !good)
        printf("    wait status %x\n", (unsigned)now.status);
    good = CHECK(terminal_as_before()) && good;
    good = CHECK(now.dumb ? strchr(now.stream, '\033') == NULL : now.screen.foreign == 0) && good;
    if (!good)
        missed("a good end", "");
    return good;
}

/* Quits, as a person does, and checks how that goes. */
static void
quit(void)
{
    type("QUIT\r");
    CHECK(server_got("QUIT\r\n"));
    answer("+OK bye\r\n");
    CHECK(sees("+OK bye\r\n"));
    CHECK(got_no_more());
    CHECK(ends(0));
    clean_up();
}

/* ---- Files ----------------------------------------------------------------------------------- */

static void
put_file(const char *name, const char *text)
{
    FILE *file = fopen(name, "w");

    CHECK(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

static const char *
file_text(const char *name)
{
    static char text[4096];
    FILE *file = fopen(name, "r");
    size_t length = file != NULL ? fread(text, 1, sizeof text - 1, file) : 0;

    text[length] = '\0';
    if (file != NULL)
        fclose(file);
    return text;
}

/* Says whether these, and no others, are the commands that the server got with "tee". */
static bool
commands_were(const char *expected)
{
    const char *text = file_text("commands");

    return strcmp(text, expected) == 0 || missed("among the commands", text);
}

/* A directory of its own for each case. */
static void
enter(void)
{
    char command[2 * sizeof directory + 64];

    snprintf(command, sizeof command, "rm -rf '%s' && mkdir -p '%s/store'", directory, directory);
    if (chdir("/") != 0 || system(command) != 0 || chdir(directory) != 0)
        give_up(directory);
    put_file("store/1.eml", "Subject: one\n\n1\n");
    put_file("store/2.eml", "Subject: two\n\n22\n");
    put_file("store/10.eml", "Subject: ten\n\n10\n");
}

/* ---- Cases ----------------------------------------------------------------------------------- */

static int beside;              /* number of cases that run beside the others */

/* Runs a case that mostly waits in a process of its own. */
static void
case_beside(const char *name, void (*test)(void))
{
    beside++;
    fflush(stdout);
    if (fork() == 0) {
        snprintf(strrchr(directory, '/'), 16, "/%d", beside);
        enter();
        unit_case(name, test);
        _exit(unit_status);
    }
}

/* Prepares for the cases. Returns false, after saying so, where there are no terminals. */
static bool
begin_cases(void)
{
    const char *client = getenv("CLIENT"), *server = getenv("SERVER"), *base = getenv("TMPDIR");
    int master = posix_openpt(O_RDWR | O_NOCTTY);

    if (master < 0 && (errno == ENODEV || errno == ENOENT)) {
        puts("skip - all: no pseudo-terminals here, is /dev/pts mounted?");
        return false;
    }
    close(master);
    if (realpath(client != NULL ? client : "./client", client_path) == NULL)
        give_up("the client");
    if (realpath(server != NULL ? server : "./server", server_path) == NULL)
        give_up("the server");
    signal(SIGPIPE, SIG_IGN);
    snprintf(directory, sizeof directory, "%s/pop3-client.XXXXXX", base != NULL ? base : "/tmp");
    if (mkdtemp(directory) == NULL)
        give_up(directory);
    strcat(directory, "/0");
    enter();
    return true;
}

/* Waits for the cases that run beside the others. Returns the exit status. */
static int
end_cases(void)
{
    char command[sizeof directory + 16];
    int status;

    for (; beside > 0; beside--)
        if (wait(&status) < 0 || status != 0)
            unit_status = 1;
    *strrchr(directory, '/') = '\0';
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    return chdir("/") == 0 && system(command) == 0 ? unit_status : 2;
}

#endif
