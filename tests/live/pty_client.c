/*
 * pty_client.c - the whole client on a pseudo-terminal: what a person types, and what they see
 *
 * This program plays the person and, mostly, the server too, so that it decides what comes first;
 * where it does not, the client runs a command with -x. Between it and the client stands a
 * process that does what a shell does: it leads the terminal's session, gives the terminal to the
 * client and takes it back when the client stops or ends. What the client sends to the terminal
 * goes to a model of a screen.
 *
 * It never sleeps: it waits, for seconds if need be, for what must come. However a session ends,
 * the terminal is compared with what it was.
 */
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

/* ---- Typing ---------------------------------------------------------------------------------- */

static void
test_editing(void)
{
    enter();
    start_real(80);
    type("LIXT 2" LEFT LEFT LEFT "\177S\005\r");
    CHECK(sees("+OK 2 20"));
    CHECK(prompted());
    type("abc\025STAT\r");
    CHECK(sees("+OK 3 59"));
    CHECK(prompted());
    type("RETR 1 \xc3\xa9\xe4\xbd\xa0" "e");
    CHECK(row_is("pop3> RETR 1 \xc3\xa9\xe4\xbd\xa0" "e", 17));
    type("\027\r");
    CHECK(sees("saved inbox/1.eml (19 octets)"));
    CHECK(prompted());
    type("QUIT\r");
    CHECK(ends(0));
    CHECK(commands_were("LIST 2\r\nSTAT\r\nRETR 1\r\nQUIT\r\n"));
    CHECK(strcmp(file_text("inbox/1.eml"), "Subject: one\n\n1\n") == 0);
    clean_up();
}

static void
test_history(void)
{
    start_served(80);
    type("NOOP\r");
    CHECK(server_got("NOOP\r\n"));
    answer("+OK\r\n");
    CHECK(prompted());
    type("STAT\r");
    CHECK(server_got("STAT\r\n"));
    answer("+OK 1 2\r\n");
    CHECK(prompted());
    type(UP UP);
    CHECK(row_is("pop3> NOOP", 10));
    type("\r");
    CHECK(server_got("NOOP\r\n"));
    answer("+OK\r\n");
    CHECK(prompted());
    type("\022ST");
    CHECK(row_is("search 'ST': STAT", 13));
    type("\r");
    CHECK(server_got("STAT\r\n"));
    answer("+OK 1 2\r\n");
    CHECK(prompted());
    quit();
}

static void
test_completion(void)
{
    enter();
    start_real(80);
    type("re\t");
    CHECK(row_is("pop3> retr", 11));
    type("\t\t");
    CHECK(sees("1 (19 B)  2 (20 B)  3 (20 B)"));
    CHECK(row_is("pop3> retr", 11));
    type("3\t");
    CHECK(row_is("pop3> retr 3", 13));
    type("\r");
    CHECK(sees("saved inbox/3.eml (20 octets)"));
    CHECK(prompted());
    press(CTRL_D);
    CHECK(ends(0));
    CHECK(commands_were("LIST\r\nRETR 3\r\nQUIT\r\n"));
    clean_up();
}

/* Sizes are rounded as people round, and a message that is not listed is not completed. */
static void
test_completion_sizes(void)
{
    start_served(80);
    type("RETR \t");
    CHECK(server_got("LIST\r\n"));
    answer("+OK\r\n1 0\r\n2 999\r\n3 1000\r\n4 1049\r\n5 1050\r\n6 9949\r\n7 9950\r\n8 10499\r\n"
           "9 10500\r\n10 999499\r\n11 999500\r\n13 1049999\r\n14 1050000\r\n"
           "15 4500000000000\r\n.\r\n");
    type("\t");
    CHECK(sees("15 (4.5 TB)"));
    CHECK(on_screen("1 (0 B)  2 (999 B)  3 (1.0 kB)  4 (1.0 kB)  5 (1.1 kB)  6 (9.9 kB)  7 (10 kB)"));
    CHECK(on_screen("8 (10 kB)  9 (11 kB)  10 (999 kB)  11 (1.0 MB)  13 (1.0 MB)  14 (1.1 MB)"));
    type("12\t");
    CHECK(row_is("pop3> RETR 12", 13));
    type("\025");
    quit();
}

/* Completions are listed in rows that fit the terminal. */
static void
test_completion_rows(void)
{
    int wrapped;

    enter();
    start_real(20);
    wrapped = now.screen.wrapped;       /* the greeting is longer than the row */
    type("retr \t\t");
    CHECK(sees("3 (20 B)"));
    CHECK(on_screen("1 (19 B)  2 (20 B)") && now.screen.wrapped == wrapped);
    type("\025");
    CHECK(prompted());
    type("\t\t");
    CHECK(sees("SHOW  HEADERS  HELP"));
    CHECK(on_screen("STAT  LIST  RETR") && on_screen("DELE  TOP  UIDL"));
    CHECK(now.screen.wrapped == wrapped);
    press(CTRL_D);
    CHECK(ends(0));
    clean_up();
}

/* ^C while Tab waits for the server is ^C during an answer. */
static void
test_completion_broken_off(void)
{
    start_served(80);
    type("RETR \t");
    CHECK(server_got("LIST\r\n"));
    press(CTRL_C);
    CHECK(ends(1));
    CHECK(on_screen("nothing was removed"));
    CHECK(got_no_more());
    clean_up();
}

/* Runs these lines through the client. No prompt is waited for between them. */
static void
try_lines(const char *keys)
{
    start_served(80);
    type(keys);
    CHECK(server_got("NOOP\r\n"));
    answer("+OK one\r\n");
    CHECK(server_got("STAT\r\n"));
    answer("+OK two\r\n");
    CHECK(server_got("DELE 1\r\n"));
    answer("+OK three\r\n");
    CHECK(row_is("pop3> LIST", 10));
    CHECK(times("+OK one") == 1 && times("+OK two") == 1 && times("+OK three") == 1);
    CHECK(on_screen("pop3> NOOP") && on_screen("pop3> STAT") && on_screen("pop3> DELE 1"));
    type("\025");
    CHECK(prompted());
    quit();
}

static void
test_paste(void)
{
    try_lines("\033[200~NOOP\nSTAT\r\nDELE 1\rLIST\033[201~");
    try_lines("NOOP\rSTAT\rDELE 1\rLIST");
}

/* What is typed while a command runs waits, unseen, for the prompt. */
static void
test_typed_ahead(void)
{
    start_served(80);
    type("STAT\r");
    CHECK(server_got("STAT\r\n"));
    type("NOOP\rLIST 1");
    for (int i = 0; i < 3; i++)         /* it may come as slowly as it likes */
        take(20);
    CHECK(strstr(now.stream, "NOOP") == NULL && strstr(now.stream, "LIST") == NULL);
    answer("+OK stat\r\n");
    CHECK(server_got("NOOP\r\n"));
    answer("+OK noop\r\n");
    CHECK(row_is("pop3> LIST 1", 12));
    CHECK(times("+OK stat\r\n") == 1 && times("+OK noop\r\n") == 1);
    type("\177" "7\r");
    CHECK(server_got("LIST 7\r\n"));
    answer("-ERR no\r\n");
    CHECK(prompted());
    type("QUIT\r");
    CHECK(server_got("QUIT\r\n"));
    answer("+OK\r\n");
    CHECK(ends(1));
    clean_up();
}

/* What is typed before the greeting is not lost, and the terminal is still as it was found. */
static void
test_greeting(void)
{
    start_silent(80, "xterm");
    CHECK(terminal_as_before());
    type("STAT\n");
    WAIT_FOR(now.length > 0);
    CHECK(terminal_as_before());
    answer("+OK hello\r\n");
    CHECK(server_got("STAT\r\n"));
    answer("+OK 1 2\r\n");
    CHECK(prompted());
    quit();
}

static void
test_dumb(void)
{
    start_silent(80, "dumb");
    answer("+OK hello\r\n");
    CHECK(sees("+OK hello\r\npop3> "));
    type("STAX\177T\n");
    CHECK(server_got("STAT\r\n"));
    answer("+OK 1 2\r\n");
    CHECK(sees("T\r\n+OK 1 2\r\npop3> "));        /* it scrolls nothing but a password away */
    type("abc\003");
    CHECK(sees("pop3> "));
    press(CTRL_C);
    CHECK(sees("pop3> "));
    type("NOOP\n");
    CHECK(server_got("NOOP\r\n"));
    answer("+OK \033[31m\r\n");
    CHECK(sees("+OK ^[[31m\r\npop3> "));
    press(CTRL_D);
    CHECK(server_got("QUIT\r\n"));
    answer("+OK\r\n");
    CHECK(ends(0));
    clean_up();
}

static void
test_dumb_password(void)
{
    start_silent(80, "dumb");
    answer("+OK hello\r\n");
    CHECK(sees("pop3> "));
    type("PASS\n");
    CHECK(sees("Password: "));
    type("geheim\r");
    CHECK(server_got("PASS geheim\r\n"));
    answer("+OK\r\n");
    CHECK(sees("pop3> "));
    CHECK(strstr(now.stream, "ehei") == NULL);
    type("PASS\n");             /* a paste that does not end is over with the password */
    CHECK(sees("Password: "));
    type("\033[200~geheim\r");
    CHECK(server_got("PASS geheim\r\n"));
    answer("+OK\r\n");
    CHECK(sees("pop3> "));
    press(CTRL_C);
    CHECK(sees("pop3> "));
    type("PASS\n");             /* lines behind a Ctrl-C are not carried out */
    CHECK(sees("Password: "));
    type("gehei\003m\nDELE 1\n");
    CHECK(sees("pop3> "));
    type("PASS geheim\n");      /* the terminal itself shows this */
    CHECK(server_got("PASS geheim\r\n"));
    answer("+OK welcome\r\n");
    CHECK(sees("+OK welcome\r\npop3> "));
    CHECK(!on_screen("geheim"));
    press(CTRL_D);
    CHECK(server_got("QUIT\r\n"));
    answer("+OK\r\n");
    CHECK(ends(0));
    clean_up();
}

static void
test_ten_columns(void)
{
    enter();
    start_real(10);
    type("LIST 12345\177\177\177\177\177" "2");
    CHECK(row_is("<> LIST 2", 9));
    type("\001\013RETR 1 2");
    CHECK(row_is("<RETR 1 2", 9));
    type("\001");
    CHECK(now.screen.foreign == 0);
    CHECK(row_is("<3> RETR>", 4));
    type("\r");
    CHECK(sees("2 saved, 0 already there, 0 failed"));
    CHECK(prompted());
    type("QUIT\r");
    CHECK(ends(0));
    clean_up();
}

static void
test_window(void)
{
    struct winsize size = {.ws_row = SCREEN_ROWS, .ws_col = 20};

    start_served(80);
    type("0123456789abcdefghijklmnopqrst");
    CHECK(row_is("pop3> 0123456789abcdefghijklmnopqrst", 36));
    take_all();
    now.screen.columns = 20;            /* what does not fit is cut off, as in xterm */
    screen_erase(&now.screen, 1, 0);
    now.screen.row = 2;
    now.screen.column = 0;
    now.screen.pending = false;
    CHECK(ioctl(now.master, TIOCSWINSZ, &size) == 0);
    WAIT_FOR(strcmp(row_of_cursor(), "<cdefghijklmnopqrst") == 0);
    CHECK(strcmp(row_of_cursor(), "<cdefghijklmnopqrst") == 0 && now.screen.column < 20);
    type("\001");
    CHECK(row_is("pop3> 0123456789ab>", 6));
    CHECK(now.screen.wrapped == 0 && now.screen.foreign == 0);
    type("\013");
    CHECK(prompted());
    quit();
}

static void
test_password(void)
{
    start_served(80);
    type("USER mrose\r");
    CHECK(server_got("USER mrose\r\n"));
    answer("+OK\r\n");
    CHECK(prompted());
    type("PASS\r");
    CHECK(row_is("Password:", 10));
    type("gehei\003");                  /* given up */
    CHECK(prompted());
    type("pass\r");
    CHECK(row_is("Password:", 10));
    type("gehexx\177\177im");
    for (int i = 0; i < 3; i++)         /* nothing comes of it, however slowly */
        take(20);
    CHECK(now.length == now.caused);
    type("\r");
    CHECK(server_got("PASS geheim\r\n"));
    answer("+OK welcome\r\n");
    CHECK(sees("+OK welcome\r\n"));
    CHECK(prompted());
    CHECK(strstr(now.stream, "ehe") == NULL && strstr(now.stream, "xx") == NULL);
    type("PASS another\r");             /* this is seen, but not remembered */
    CHECK(server_got("PASS another\r\n"));
    answer("-ERR no\r\n");
    CHECK(prompted());
    type(UP);
    CHECK(row_is("pop3> USER mrose", 16));
    type("\025");
    CHECK(prompted());
    type("QUIT\r");
    CHECK(server_got("QUIT\r\n"));
    answer("+OK\r\n");
    CHECK(ends(1));
    clean_up();
}

/* A password manager pastes, and a terminal marks that where it was asked to. */
static void
test_password_pasted(void)
{
    start_served(80);
    type("PASS\r");
    CHECK(row_is("Password:", 10));
    take_all();
    if (now.screen.marks_paste)
        type("\033[200~geheim\033[201~\r");
    else
        type("geheim\r");
    CHECK(server_got("PASS geheim\r\n"));
    answer("+OK\r\n");
    CHECK(prompted());
    quit();
}

/* What is typed into the hidden prompt is sent; what was typed openly Enter wipes. */
static void
test_password_bytes(void)
{
    start_served(80);
    type("PASS\r");
    CHECK(row_is("Password:", 10));
    type(" a\tb\xfc\xc3\xa9\001 \r");
    CHECK(server_got("PASS  a\tb\xfc\xc3\xa9\001 \r\n"));
    answer("+OK\r\n");
    CHECK(prompted());
    type("PASS geheim");
    CHECK(row_is("pop3> PASS geheim", 17));
    type("\r");
    CHECK(server_got("PASS geheim\r\n"));
    answer("+OK\r\n");
    CHECK(prompted());
    CHECK(!on_screen("geheim") && on_screen("pop3> PASS ***"));
    type("PASS geheim\003");
    CHECK(prompted());
    CHECK(!on_screen("geheim"));
    quit();
}

/* The end of a paste is found wherever it comes: afterwards keys are keys again. */
static void
test_paste_in_password(void)
{
    start_served(80);
    type("\033[200~PASS\ngeheim\033[201~");
    CHECK(row_is("Password:", 10));
    type("\r");
    CHECK(server_got("PASS geheim\r\n"));
    answer("+OK\r\n");
    CHECK(prompted());
    type("NOOX\177P\r");
    CHECK(server_got("NOOP\r\n"));
    answer("+OK\r\n");
    CHECK(prompted());
    quit();
}

static void
test_paste_without_end(void)
{
    start_served(80);
    type("\033[200~NOOP\nNOOX");
    CHECK(server_got("NOOP\r\n"));
    answer("+OK\r\n");
    CHECK(row_is("pop3> NOOX", 10));
    pause_keys(SILENCE);
    type("\177");
    CHECK(row_is("pop3> NOO", 9));
    type(LEFT "x");
    CHECK(row_is("pop3> NOxO", 9));
    press(CTRL_C);
    CHECK(prompted());
    quit();
}

/* Answers NOOPs that were pasted, at most so many: they may be quicker than a Ctrl-C. */
static void
answer_noops(int most)
{
    for (int i = 0; i < most; i++) {
        WAIT_FOR(now.commands_length >= now.commands_seen + 6 || now.ended);
        if (strcmp(now.commands + now.commands_seen, "NOOP\r\n") != 0)
            return;
        CHECK(server_got("NOOP\r\n"));
        answer("+OK\r\n");
    }
}

/* Ctrl-C stops a paste: what is left of it is not carried out. */
static void
test_paste_stopped(void)
{
    start_served(80);
    type("\033[200~NOOP\nLIST\003DELE 1\nDELE 2\nDELE 3\033[201~STAT\r");
    answer_noops(1);
    CHECK(sees("^C"));
    CHECK(server_got("STAT\r\n"));
    answer("+OK 1 2\r\n");
    CHECK(prompted());
    type("\033[200~LIST\003DELE 4\nDE");          /* and without its end, at a pause */
    CHECK(sees("^C"));
    pause_keys(SILENCE);
    type("STAT\r");
    CHECK(server_got("STAT\r\n"));
    answer("+OK 1 2\r\n");
    CHECK(prompted());
    type("NOO\003DELE 5\rDELE 6\r");     /* on a terminal that does not mark pastes */
    CHECK(prompted());
    pause_keys(SILENCE);
    type("STAT\r");
    CHECK(server_got("STAT\r\n"));
    answer("+OK 1 2\r\n");
    CHECK(prompted());
    quit();
}

/* Ctrl-C while a pasted line runs: that one gets its answer, and the lines behind it are dropped. */
static void
test_paste_stopped_in_answer(void)
{
    start_served(80);
    type("\033[200~NOOP\nDELE 1\nDELE 2");
    CHECK(server_got("NOOP\r\n"));
    press(CTRL_C);
    answer("+OK nothing\r\n");
    CHECK(sees("+OK nothing\r\n"));
    CHECK(sees("^C"));
    type("\nDELE 3\033[201~STAT\r");
    CHECK(server_got("STAT\r\n"));
    answer("+OK 1 2\r\n");
    CHECK(prompted());
    quit();
}

/* Thousands of pasted lines, and a Ctrl-C behind them that does not have to wait for its turn. */
static void
test_long_paste_stopped(void)
{
    enum { LINES = 800 };               /* as many as a terminal holds */
    static char paste[LINES * 5 + 1];

    for (int i = 0; i < LINES; i++)
        memcpy(paste + 5 * i, "NOOP\n", 6);
    start_served(80);
    type("\033[200~NOOP\n");
    for (int i = 0; i < 8; i++) {
        CHECK(server_got("NOOP\r\n"));
        type(paste);            /* the client reads it after the answer */
        answer("+OK\r\n");
    }
    type("\003NOOP\n\033[201~STAT\r");
    answer_noops(LINES);
    CHECK(sees("^C"));
    CHECK(server_got("STAT\r\n"));
    answer("+OK 1 2\r\n");
    CHECK(prompted());
    quit();
}

/* The first Ctrl-C during an answer is for the paste, another one for the session. */
static void
test_paste_unanswered(void)
{
    start_served(80);
    type("\033[200~NOOP\nDELE 1\nDELE 2\n\033[201~");
    CHECK(server_got("NOOP\r\n"));
    for (int i = 0; i < PATIENCE / 100 && !now.ended; i++) {
        press(CTRL_C);
        pause_keys(100);
    }
    CHECK(on_screen("client: interrupted; nothing was removed"));
    CHECK(got_no_more());
    CHECK(ends(1));
    clean_up();
}

/* A line that is longer than it may be is not carried out, not even in part. */
static void
test_too_long(void)
{
    start_served(80);
    type_much(long_line(4200));
    type("\r");
    CHECK(sees("client: the line is too long; it was not sent\r\n"));
    CHECK(prompted());
    type_much("\033[200~");
    type_much(long_line(5000));
    type_much("\033[201~");
    type("\r");
    CHECK(sees("client: the line is too long; it was not sent\r\n"));
    CHECK(prompted());
    type("QUIT\r");
    CHECK(server_got("QUIT\r\n"));
    answer("+OK\r\n");
    CHECK(ends(1));
    clean_up();
}

static void
test_dumb_too_long(void)
{
    start_silent(80, "dumb");
    answer("+OK hello\r\n");
    CHECK(sees("+OK hello\r\npop3> "));
    type_much(long_line(5000));
    type("\n");
    CHECK(sees("too long"));
    CHECK(sees("pop3> "));
    press(CTRL_D);
    CHECK(server_got("QUIT\r\n"));
    answer("+OK\r\n");
    CHECK(ends(1));
    clean_up();
}

/* The bytes of a key may come slowly. */
static void
test_slow_keys(void)
{
    static const char *const pieces[] = {"\033", "[", "D"}, *const home[] = {"\033O", "H"};

    start_served(80);
    type("ab");
    CHECK(row_is("pop3> ab", 8));
    for (size_t i = 0; i < 3; i++)
        type_and_wait(pieces[i]);
    CHECK(row_is("pop3> ab", 7));
    for (size_t i = 0; i < 2; i++)
        type_and_wait(home[i]);
    CHECK(row_is("pop3> ab", 6));
    type("\033");               /* alone, it leaves a search */
    pause_keys(120);
    type("\022x");
    CHECK(row_is("no 'x': ab", 8));
    type("\033");
    CHECK(row_is("pop3> ab", 6));
    type("\013");
    CHECK(prompted());
    quit();
}

/* ---- What the server does meanwhile ---------------------------------------------------------- */

static void
test_notice(void)
{
    start_served(80);
    type("LIST 1" LEFT);
    CHECK(row_is("pop3> LIST 1", 11));
    answer("* the server will go \033[2Jdown\r\n");
    CHECK(sees("* the server will go ^[[2Jdown\r\n"));
    CHECK(row_is("pop3> LIST 1", 11));
    CHECK(!on_screen("1*") && now.screen.row == 2);     /* below the greeting and the notice */
    type("\005\r");
    CHECK(server_got("LIST 1\r\n"));
    answer("+OK 1 2\r\n");
    CHECK(prompted());
    quit();
}

/* A line of the server that is longer than the buffer, while a person types. */
static void
test_endless_line(void)
{
    char text[4096];            /* 16 of them fit into the buffer */

    start_served(80);
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    for (int i = 0; i < 17; i++)
        answer(text);
    CHECK(ends(1));
    CHECK(on_screen("client: the server sent a line without end; nothing was removed"));
    clean_up();
}

static void
test_server_goes(void)
{
    start_served(80);
    type("DELE 1\r");
    CHECK(server_got("DELE 1\r\n"));
    answer("+OK\r\n");
    CHECK(prompted());
    type("RETR 1");
    CHECK(row_is("pop3> RETR 1", 12));
    close(now.server);
    now.server = -1;
    CHECK(ends(1));
    CHECK(on_screen("client: the server closed the connection; nothing was removed"));
    CHECK(!on_screen("RETR 1client"));
    clean_up();
}

/* A long message, in pieces: the client's progress comes in time, and goes. */
static void
try_progress(bool broken_off)
{
    enum { LINES = 20000 };
    char line[102];
    int sent = 0;

    enter();
    start_served(60);
    type("RETR 1\r");
    CHECK(server_got("RETR 1\r\n"));
    answer("+OK 2020000 octets\r\n");
    memset(line, 'x', 99);
    memcpy(line + 99, "\r\n", 3);
    for (; sent < 10; sent++)           /* a kilobyte at least, however slowly it goes on */
        answer(line);
    for (int64_t limit = wire_clock() + PATIENCE; wire_clock() < limit; sent++) {
        if (on_screen(" left"))
            break;
        answer(line);
        take(20);
    }
    CHECK(on_screen("kB of 2.0 MB, ") && on_screen("B/s, "));
    CHECK(now.screen.wrapped == 0 && now.screen.column < 60);
    if (broken_off) {
        press(CTRL_C);
        CHECK(ends(1));
        CHECK(on_screen("client: interrupted; nothing was removed"));
        CHECK(access("inbox/1.eml", F_OK) != 0);
        clean_up();
    } else {
        for (; sent < LINES; sent++)
            answer(line);
        answer(".\r\n");
        CHECK(sees("saved inbox/1.eml (2020000 octets)"));
        CHECK(prompted());
        quit();
    }
    CHECK(!on_screen("B/s"));
}

static void
test_progress(void)
{
    try_progress(false);
}

static void
test_progress_broken_off(void)
{
    try_progress(true);
}

/* A transfer in which nothing comes any more says so, after ^Z and fg as well, and goes on. */
static void
test_stalled(void)
{
    enter();
    start_served(60);
    type("RETR 1\r");
    CHECK(server_got("RETR 1\r\n"));
    answer("+OK 1000 octets\r\nSubject: slow\r\n\r\n");
    WAIT_FOR(on_screen("17 B of 1.0 kB") || now.ended);
    kill(now.client, SIGWINCH);
    WAIT_FOR(on_screen("17 B of 1.0 kB, stalled") || now.ended);
    CHECK(on_screen("17 B of 1.0 kB, stalled"));
    press(CTRL_Z);
    WAIT_FOR(now.stopped);
    CHECK(now.stopped && terminal_as_before());
    now.stopped = false;
    screen_erase(&now.screen, now.screen.row, 0);       /* a shell has the row */
    now.screen.column = 0;
    about_to();
    CHECK(write(now.orders, "c", 1) == 1);
    CHECK(row_is("17 B of 1.0 kB, stalled", 23));
    answer(".\r\n");
    CHECK(sees("saved inbox/1.eml"));
    CHECK(prompted());
    CHECK(!on_screen("stalled"));
    type("QUIT\r");
    CHECK(server_got("QUIT\r\n"));
    answer("+OK\r\n");
    CHECK(ends(1));
    clean_up();
}

/* Of several messages the progress counts the messages as well, and the octets of all of them. */
static void
test_progress_of_several(void)
{
    enter();
    start_served(60);
    type("RETR 1-2\r");
    CHECK(server_got("LIST\r\n"));
    answer("+OK\r\n1 1000\r\n2 1000\r\n.\r\n");
    CHECK(server_got("CAPA\r\n"));
    answer("-ERR\r\n");
    CHECK(server_got("RETR 1\r\n"));
    answer("+OK\r\nSubject: slow\r\n\r\n");
    WAIT_FOR(on_screen("0 of 2, 17 B of 2.0 kB, ") || now.ended);
    CHECK(on_screen("0 of 2, 17 B of 2.0 kB, ") && on_screen(" B/s, "));
    answer(".\r\n");
    CHECK(server_got("RETR 2\r\n"));
    answer("+OK\r\nSubject: slow\r\n\r\n");
    WAIT_FOR(on_screen("1 of 2, 34 B of 2.0 kB, ") || now.ended);
    CHECK(on_screen("1 of 2, 34 B of 2.0 kB, "));
    answer(".\r\n");
    CHECK(sees("2 saved, 0 already there, 0 failed (34 B)"));
    CHECK(prompted());
    type("QUIT\r");
    CHECK(server_got("QUIT\r\n"));
    answer("+OK\r\n");
    CHECK(ends(1));
    clean_up();
}

/* The output goes to a pipe: no progress, no sequences, whatever time it takes. */
static void
test_pipe(void)
{
    char port[16], command[PATH_MAX + 64], line[102];

    enter();
    listen_here(port, sizeof port);
    snprintf(command, sizeof command, "'%s' 127.0.0.1 %s | cat", client_path, port);
    start(80, "xterm", -1, (char *[]){"/bin/sh", "-c", command, NULL});
    WAIT_FOR(now.server >= 0 || now.ended);
    answer("+OK hello\r\n");
    CHECK(sees("+OK hello\r\npop3> "));
    type("RETR 1\n");
    CHECK(server_got("RETR 1\r\n"));
    answer("+OK\r\n");
    memset(line, 'x', 99);
    memcpy(line + 99, "\r\n", 3);
    for (int64_t limit = wire_clock() + 800; wire_clock() < limit; take(20))
        answer(line);
    answer(".\r\n");
    CHECK(sees("saved inbox/1.eml"));
    CHECK(sees("pop3> "));
    CHECK(strstr(now.stream, "/s") == NULL && strchr(now.stream, '\033') == NULL);
    type("QUIT\n");
    CHECK(server_got("QUIT\r\n"));
    answer("+OK\r\n");
    CHECK(ends(0));
    clean_up();
}

/* ---- Ways out -------------------------------------------------------------------------------- */

static void
test_ctrl_c(void)
{
    start_served(80);
    type("DELE 1");
    CHECK(row_is("pop3> DELE 1", 12));
    press(CTRL_C);
    CHECK(prompted());
    CHECK(on_screen("pop3> DELE 1^C"));
    type("STAT\r");
    CHECK(server_got("STAT\r\n"));
    answer("+OK 1 2\r\n");
    CHECK(prompted());
    press(CTRL_D);
    CHECK(server_got("QUIT\r\n"));
    answer("+OK\r\n");
    CHECK(got_no_more());
    CHECK(ends(0));
    clean_up();
}

/* ^C during an answer: the connection ends, nothing is removed, and that is said. */
static void
test_ctrl_c_in_answer(void)
{
    start_served(80);
    type("DELE 1\r");
    CHECK(server_got("DELE 1\r\n"));
    answer("+OK\r\n");
    CHECK(prompted());
    type("LIST\r");
    CHECK(server_got("LIST\r\n"));
    answer("+OK\r\n1 10\r\n");
    CHECK(sees("1 10\r\n"));
    press(CTRL_C);
    CHECK(ends(1));
    CHECK(on_screen("client: interrupted; nothing was removed"));
    CHECK(got_no_more());
    clean_up();
}

/* The message has a row of its own, and what was typed before is not for the shell. */
static void
test_ctrl_c_in_text(void)
{
    start_served(80);
    type("TOP 1 1000\r");
    CHECK(server_got("TOP 1 1000\r\n"));
    answer("+OK\r\nSubject: long\r\n\r\nsome text without an end");
    CHECK(sees("without an end"));
    type("DELE 1\rrm -rf *\r");
    press(CTRL_C);
    CHECK(ends(1));
    CHECK(on_screen("some text without an end"));
    CHECK(!on_screen("endclient") && on_screen("client: interrupted; nothing was removed"));
    CHECK(unread_keys() == 0);
    CHECK(got_no_more());
    clean_up();
}

/* Signals end the session without QUIT, at the prompt and during an answer. */
static void
test_signals(void)
{
    static const int signals[] = {SIGTERM, SIGHUP, SIGQUIT};

    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        for (int busy = 0; busy <= 1; busy++) {
            start_served(80);
            if (busy) {
                type("STAT\r");
                CHECK(server_got("STAT\r\n"));
            } else {
                type("RETR 1");
                CHECK(row_is("pop3> RETR 1", 12));
            }
            kill(now.client, signals[i]);
            CHECK(ends(1));
            if (!CHECK(on_screen("nothing was removed")) || !CHECK(!on_screen("RETR 1client:")))
                missed("a message about signal", signals[i] == SIGTERM ? "TERM" : "HUP, QUIT");
            CHECK(got_no_more());
            clean_up();
        }
}

/* The same while a password is asked for: no prompt comes after it. */
static void
test_signal_in_password(void)
{
    start_served(80);
    type("PASS\r");
    CHECK(sees("Password: "));
    kill(now.client, SIGTERM);
    CHECK(ends(1));
    CHECK(on_screen("nothing was removed"));
    CHECK(strstr(now.stream + now.seen, "pop3>") == NULL);
    CHECK(got_no_more());
    clean_up();
}

static void
test_interrupt_signal(void)
{
    start_served(80);
    type("RETR 1");
    CHECK(row_is("pop3> RETR 1", 12));
    kill(now.client, SIGINT);           /* by another than the terminal */
    CHECK(prompted());                  /* it is as the key */
    CHECK(on_screen("pop3> RETR 1^C"));
    quit();
}

/* The terminal goes: its window was closed, or the line to it broke. That is nobody's QUIT. */
static void
try_hang_up(const char *term, bool told, bool busy)
{
    start_silent(80, term);
    answer("+OK hello\r\n");
    CHECK(prompted());
    type("DELE 1\n");
    CHECK(server_got("DELE 1\r\n"));
    answer("+OK\r\n");
    CHECK(sees("marked 1\r\n"));
    CHECK(prompted());
    if (busy) {
        type("STAT\n");
        CHECK(server_got("STAT\r\n"));
    }
    close(now.master);
    now.master = -1;
    if (told)
        kill(-now.client, SIGHUP);      /* as most shells do, sooner or later */
    if (busy)
        WAIT_FOR(now.ended || now.hung_up);
    if (!CHECK(got_no_more()))
        printf("    the client was%s told by a signal\n", told ? "" : " not");
    else if (CHECK(now.hung_up)) {
        WAIT_FOR(now.ended);
        CHECK(now.ended && WIFEXITED(now.status) && WEXITSTATUS(now.status) == 1);
    }
    clean_up();
}

static void
test_hang_up(void)
{
    try_hang_up("xterm", true, false);
    try_hang_up("xterm", true, true);
    try_hang_up("dumb", true, false);
    try_hang_up("dumb", true, true);
}

static void
test_hang_up_without_a_word(void)
{
    try_hang_up("xterm", false, false);
    try_hang_up("dumb", false, false);
}

/* The output goes, the input stays: a terminal that can still be restored is. */
static void
test_other_terminal(void)
{
    char port[16], octet;
    int slave;

    now.other = posix_openpt(O_RDWR | O_NOCTTY);
    if (now.other < 0 || grantpt(now.other) != 0 || unlockpt(now.other) != 0)
        give_up("posix_openpt");
    slave = open(ptsname(now.other), O_RDWR | O_NOCTTY);
    listen_here(port, sizeof port);
    start(80, "xterm", slave, (char *[]){client_path, "127.0.0.1", port, NULL});
    close(slave);
    WAIT_FOR(now.server >= 0);
    answer("+OK hello\r\n");
    for (int prompt = 0; prompt < 1 && read(now.other, &octet, 1) == 1;)
        prompt += octet == '>';
    close(now.other);
    now.other = -1;
    type("STAT\rNOOP\r");               /* by the second one it has noticed */
    for (int64_t limit = wire_clock() + PATIENCE; !now.ended && wire_clock() < limit; take(50))
        if (now.server >= 0 && now.commands_length > now.commands_seen) {
            now.commands_seen = now.commands_length;
            answer("+OK 1 2\r\n");
        }
    CHECK(ends(1));
    clean_up();
}

/* Returns true if the terminal holds output and gets no more: whoever writes to it waits. */
static bool
is_stuck(void)
{
    int before = 0, after = 0;

    ioctl(now.master, FIONREAD, &before);
    wait_ready(NULL, 0, false, 100);
    ioctl(now.master, FIONREAD, &after);
    return before > 0 && before == after;
}

/* A terminal that takes no output: nothing is lost, and ^C is still heard. */
static void
test_full(void)
{
    enum { LINES = 40000, TOGETHER = 1000 };    /* more than any terminal holds */
    static char lines[TOGETHER * 6 + 1];

    for (int i = 0; i < TOGETHER; i++)
        strcpy(lines + 6 * i, "1 10\r\n");

    start_served(80);
    for (int broken_off = 0; broken_off <= 1; broken_off++) {
        bool stuck = false;

        type("LIST\r");
        CHECK(server_got("LIST\r\n"));
        now.unread = true;
        answer("+OK\r\n");
        for (int i = 0; i < LINES / TOGETHER; i++)
            answer(lines);
        WAIT_FOR((stuck = is_stuck()));
        CHECK(stuck);
        if (!broken_off) {
            answer(".\r\n");
            now.unread = false;
            CHECK(prompted());
            CHECK(times("1 10\r\n") == LINES);
        }
    }
    press(CTRL_C);
    WAIT_FOR(now.ended);
    CHECK(now.ended && WIFEXITED(now.status) && WEXITSTATUS(now.status) == 1);
    CHECK(modes_as_before());
    CHECK(got_no_more());
    clean_up();
}

/* The same when the client has the whole answer, which is longer when it is shown. */
static void
try_full_at_prompt(const char *term)
{
    static char text[60 * 1000];

    start_silent(80, term);
    answer("+OK hello\r\n");
    CHECK(sees("pop3> "));
    memset(text, '\001', sizeof text - 6);
    for (size_t i = 80; i < sizeof text - 6; i += 80)
        memcpy(text + i, "\r\n", 2);
    memcpy(text + sizeof text - 6, "\r\n.\r\n", 6);
    type("UIDL\n");
    CHECK(server_got("UIDL\r\n"));
    now.unread = true;
    answer("+OK\r\n");
    CHECK(write(now.server, text, sizeof text) == sizeof text);
    WAIT_FOR(is_stuck());
    press(CTRL_C);
    WAIT_FOR(now.ended);
    CHECK(now.ended && WIFEXITED(now.status) && WEXITSTATUS(now.status) == 1);
    CHECK(modes_as_before());
    CHECK(got_no_more());
    clean_up();
}

static void
test_full_at_prompt(void)
{
    try_full_at_prompt("xterm");
    try_full_at_prompt("dumb");
}

/* ^Z gives the terminal back, and fg takes it again, with the line as it was. */
static void
test_suspend(void)
{
    int rounds = 0;

    start_served(80);
    type("LIST 1" LEFT);
    CHECK(row_is("pop3> LIST 1", 11));
    press(CTRL_Z);
    WAIT_FOR(now.stopped);
    CHECK(now.stopped && terminal_as_before());
    now.stopped = false;
    CHECK(write(now.orders, "c", 1) == 1);
    CHECK(row_is("pop3> LIST 1", 11));
    type("\005\177" "2\r");
    CHECK(server_got("LIST 2\r\n"));
    for (bool good = true; good && rounds < 40; rounds++) {
        kill(now.client, SIGCONT);      /* and during an answer, while it still continues */
        press(CTRL_Z);
        WAIT_FOR(now.stopped);
        good = CHECK(now.stopped && terminal_as_before());
        now.stopped = false;
        CHECK(write(now.orders, "c", 1) == 1);
        WAIT_FOR(now.screen.marks_paste);
    }
    answer("+OK 2 3\r\n");
    CHECK(sees("+OK 2 3\r\n"));
    CHECK(prompted());
    type("STAT" LEFT "\003");
    CHECK(sees("pop3> STAT^C\r"));
    CHECK(prompted());
    quit();
}

/* In the background it stops again, and leaves the terminal as the shell has set it. */
static void
test_background(void)
{
    struct termios shell, t;

    start_served(80);
    type("STAT\r");
    CHECK(server_got("STAT\r\n"));
    press(CTRL_Z);
    WAIT_FOR(now.stopped);
    CHECK(now.stopped && terminal_as_before());
    shell = now.before;
    shell.c_lflag &= ~(tcflag_t)ECHO;
    CHECK(tcsetattr(now.slave, TCSANOW, &shell) == 0);
    now.stopped = false;
    CHECK(write(now.orders, "b", 1) == 1);
    WAIT_FOR(now.stopped);
    CHECK(now.stopped && !now.screen.marks_paste);
    CHECK(tcgetattr(now.slave, &t) == 0 && t.c_lflag == shell.c_lflag);
    CHECK(tcsetattr(now.slave, TCSANOW, &now.before) == 0);
    now.stopped = false;
    CHECK(write(now.orders, "c", 1) == 1);
    answer("+OK 1 2\r\n");
    CHECK(sees("+OK 1 2\r\n"));
    CHECK(prompted());
    quit();
}

/* The same before the first prompt, when the client has not looked at the terminal yet. */
static void
test_background_early(void)
{
    struct termios shell;

    start_silent(80, "xterm");
    press(CTRL_Z);
    WAIT_FOR(now.stopped);
    shell = now.before;
    shell.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    CHECK(now.stopped && tcsetattr(now.slave, TCSANOW, &shell) == 0);
    now.stopped = false;
    CHECK(write(now.orders, "b", 1) == 1);
    answer("+OK hello\r\n");
    WAIT_FOR(now.stopped);
    CHECK(now.stopped && tcsetattr(now.slave, TCSANOW, &now.before) == 0);
    now.stopped = false;
    CHECK(write(now.orders, "c", 1) == 1);
    CHECK(prompted());
    quit();
}

/* A dumb terminal keeps its modes: the client goes on in the background, and others may set them. */
static void
test_background_dumb(void)
{
    struct termios t;

    start_silent(80, "dumb");
    answer("+OK hello\r\n");
    CHECK(sees("pop3> "));
    press(CTRL_Z);
    WAIT_FOR(now.stopped);
    CHECK(now.stopped && terminal_as_before());
    now.stopped = false;
    CHECK(write(now.orders, "b", 1) == 1);
    CHECK(sees("pop3> ") && !now.stopped);
    answer("-ERR you are idle\r\n");
    CHECK(sees("-ERR you are idle\r\npop3> ") && !now.stopped);
    CHECK(tcgetattr(now.slave, &t) == 0);
    t.c_lflag &= ~(tcflag_t)ECHO;
    CHECK(tcsetattr(now.slave, TCSANOW, &t) == 0);
    answer("-ERR so the session ends\r\n");
    CHECK(sees("session ends\r\npop3> ") && !now.stopped);
    CHECK(tcgetattr(now.slave, &t) == 0 && (t.c_lflag & ECHO) == 0);
    clean_up();
}

/* SIGSTOP cannot be caught; what counts is that afterwards the keys are the editor's again. */
static void
test_stop(void)
{
    struct termios t;

    start_served(80);
    type("LIST 1");
    CHECK(row_is("pop3> LIST 1", 12));
    kill(now.client, SIGSTOP);
    WAIT_FOR(now.stopped);
    CHECK(tcsetattr(now.slave, TCSANOW, &now.before) == 0);     /* a shell takes care of itself */
    now.stopped = false;
    CHECK(write(now.orders, "c", 1) == 1);
    WAIT_FOR(tcgetattr(now.slave, &t) == 0 && (t.c_lflag & ICANON) == 0);
    CHECK((t.c_lflag & (ICANON | ECHO)) == 0);
    type("\177" "2\n");                 /* an Enter that both modes take for one */
    CHECK(server_got("LIST 2\r\n"));
    answer("+OK 2 3\r\n");
    CHECK(prompted());
    quit();
}

/*
 * ---- The command of -x
 * -----------------------------------------------------------------------------------
 */

/* A server in shell: it greets, then does what comes behind that, and ends with its input. */
#define SCRIPT(more) "printf '+OK hello\\r\\n'; " more "; cat >rest"

static void
test_command_says(void)
{
    enter();
    start_command(80, "xterm", "echo 'from the command' >&2; " SCRIPT(":"));
    CHECK(sees("from the command\r\n"));
    CHECK(sees("+OK hello\r\n"));
    CHECK(prompted());
    kill(now.client, SIGTERM);
    CHECK(ends(1));
    CHECK(strcmp(file_text("rest"), "") == 0);
    clean_up();
}

static void
test_command_killed(void)
{
    enter();
    start_command(80, "xterm", "echo $$ >pid; " SCRIPT(":"));
    CHECK(sees("+OK hello\r\n"));
    CHECK(prompted());
    type("DELE 1");
    CHECK(row_is("pop3> DELE 1", 12));
    CHECK(atoi(file_text("pid")) > 1 && kill(atoi(file_text("pid")), SIGKILL) == 0);
    CHECK(ends(1));
    CHECK(on_screen("nothing was removed") && on_screen("signal 9"));
    clean_up();
}

/* ^C is for the client alone; the command ends as its input does. */
static void
test_command_interrupted(void)
{
    enter();
    start_command(80, "xterm", "trap 'echo trapped >trapped' INT QUIT; "
        SCRIPT("read -r line; echo \"$line\" >command; printf '+OK never the rest'"));
    CHECK(sees("+OK hello\r\n"));
    CHECK(prompted());
    type("STAT\r");
    WAIT_FOR(strncmp(file_text("command"), "STAT", 4) == 0 || now.ended);
    press(CTRL_C);
    CHECK(ends(1));
    CHECK(on_screen("client: interrupted; nothing was removed"));
    CHECK(access("trapped", F_OK) != 0 && strcmp(file_text("rest"), "") == 0);
    clean_up();
}

/* On a dumb terminal ^C is a signal at the prompt, too. Our own server stays, and serves. */
static void
test_command_stays(void)
{
    char command[PATH_MAX + 64];

    enter();
    snprintf(command, sizeof command, "'%s' -i -d store 2>/dev/null", server_path);
    start_command(80, "dumb", command);
    CHECK(sees("pop3> "));
    type("LIS\003");
    CHECK(sees("pop3> "));
    type("STAT\n");
    CHECK(sees("+OK 3 59"));
    CHECK(sees("pop3> "));
    press(CTRL_D);
    CHECK(ends(0));
    clean_up();
}

static void
test_command_fails(void)
{
    enter();
    start_command(80, "xterm", "echo 'no such server' >&2; exit 3");
    CHECK(ends(1));
    CHECK(on_screen("no such server") && on_screen("status 3"));
    clean_up();
}

/* The pager may write files and run programs, whatever the client gave up. */
static void
test_pager(void)
{
    char text[1024] = "Subject: many\n\n";

    for (int i = 1; i <= 2 * SCREEN_ROWS; i++)
        sprintf(text + strlen(text), "line %d\n", i);
    enter();
    put_file("store/3.eml", text);
    setenv("PAGER", "cat >paged; sh -c 'echo it ran'", 1);
    start_real(80);
    type("SHOW 3 1\r");
    CHECK(sees("it ran"));
    CHECK(sees("one"));
    CHECK(prompted());
    CHECK(strstr(file_text("paged"), "Subject:  many\n\nline 1\nline 2\n") != NULL);
    unsetenv("PAGER");
    press(CTRL_D);
    CHECK(ends(0));
    clean_up();
}

/* Starts a session with a long message and this pager, and shows it. */
static void
start_pager(const char *pager)
{
    char text[1024] = "Subject: many\n\n";

    for (int i = 1; i <= 2 * SCREEN_ROWS; i++)
        sprintf(text + strlen(text), "line %d\n", i);
    enter();
    put_file("store/3.eml", text);
    setenv("PAGER", pager, 1);
    start_real(80);
    unsetenv("PAGER");
}

/* ^C in the pager is the pager's. It also ends SHOW, however the pager ends after it. */
static void
test_pager_ctrl_c(void)
{
    start_pager("exec sh -c \"trap 'echo caught; exit 2' INT; echo paging; "
                "while :; do sleep 0.02; done\"");
    type("SHOW 3 1\r");
    CHECK(sees("paging"));
    press(CTRL_C);
    CHECK(sees("caught"));
    WAIT_FOR(strcmp(row_of_cursor(), "pop3>") == 0 || now.ended);
    CHECK(strstr(now.stream, "2 of 2") == NULL && strstr(now.stream, "failed") == NULL);
    type("NOOP\r");
    CHECK(sees("+OK"));
    CHECK(prompted());
    press(CTRL_D);
    CHECK(ends(0));
    clean_up();
}

/* The time that a person reads is no time of the transfer. Its progress is shown after 500 ms. */
static void
test_pager_progress(void)
{
    int64_t read_at, began;

    start_pager("echo paging; read -r x </dev/tty; echo it read that");
    began = wire_clock();
    type("SHOW 3 1\r");
    CHECK(sees("paging"));
    read_at = wire_clock();
    pause_keys(700);
    began += wire_clock() - read_at;
    type("\n");
    CHECK(sees("Message 1, 2 of 2"));
    CHECK(prompted());
    CHECK(strstr(now.stream, "1 of 2, ") == NULL || wire_clock() - began >= 500);
    press(CTRL_D);
    CHECK(ends(0));
    clean_up();
}

/* A paste that begins before the pager and ends in it. */
static void
test_pager_paste(void)
{
    start_pager("echo paging; read -r x </dev/tty; echo it read that");
    type("\033[200~SHOW 3\n");
    CHECK(sees("paging"));
    type("more\033[201~\n");
    CHECK(sees("it read that"));
    WAIT_FOR(strcmp(row_of_cursor(), "pop3>") == 0 || now.ended);
    type("NOOX\177P\r");
    CHECK(sees("+OK"));
    CHECK(prompted());
    type("abc\003");
    CHECK(prompted());
    press(CTRL_D);
    CHECK(ends(0));
    clean_up();
}

/* A signal that ends the client ends the pager first, which has the screen to restore. */
static void
test_pager_ended(void)
{
    start_pager("trap 'echo restored; exit 1' TERM; echo paging; while :; do sleep 0.02; done");
    type("SHOW 3\r");
    CHECK(sees("paging"));
    kill(now.client, SIGTERM);
    CHECK(sees("restored"));
    CHECK(ends(1));
    clean_up();
}

/* ^Z in the pager stops the client with it; fg continues both. */
static void
test_pager_suspend(void)
{
    start_pager("echo paging; read -r x </dev/tty; echo \"it read $x\"");
    type("SHOW 3\r");
    CHECK(sees("paging"));
    press(CTRL_Z);
    WAIT_FOR(now.stopped);
    CHECK(now.stopped && terminal_as_before());
    now.stopped = false;
    CHECK(write(now.orders, "c", 1) == 1);
    type("on\n");
    CHECK(sees("it read on"));
    WAIT_FOR(strcmp(row_of_cursor(), "pop3>") == 0 || now.ended);
    press(CTRL_D);
    CHECK(ends(0));
    clean_up();
}

/* Without a pager that works the text is shown all the same. */
static void
test_pager_fails(void)
{
    static const char *const pagers[] = {"/no/such/pager", "exit 3"};

    for (size_t i = 0; i < 2; i++) {
        start_pager(pagers[i]);
        type("SHOW 3\r");
        CHECK(sees("line 1\r\nline 2\r\n") && sees("line 48\r\n"));
        CHECK(prompted());
        CHECK(strstr(now.stream, "client: the pager ") != NULL);
        press(CTRL_D);
        CHECK(ends(0));
        clean_up();
    }
}

/* On a terminal that can do nothing a long message is shown without a pager. */
static void
test_pager_dumb(void)
{
    char command[PATH_MAX + 64], text[1024] = "Subject: many\n\n";

    for (int i = 1; i <= 2 * SCREEN_ROWS; i++)
        sprintf(text + strlen(text), "line %d\n", i);
    enter();
    put_file("store/3.eml", text);
    setenv("PAGER", "echo it ran", 1);
    snprintf(command, sizeof command, "'%s' -i -d store 2>/dev/null", server_path);
    start_command(80, "dumb", command);
    unsetenv("PAGER");
    CHECK(sees("pop3> "));
    type("SHOW 3\n");
    CHECK(sees("line 1\r\nline 2\r\n") && sees("line 48\r\n"));
    CHECK(sees("pop3> ") && strstr(now.stream, "it ran") == NULL);
    press(CTRL_D);
    CHECK(ends(0));
    clean_up();
}

/* A server that waits for TLS sends nothing: the client says that it waits, and what may help. */
static void
test_greeting_late(void)
{
    start_silent(80, "xterm");
    type("STAT");
    for (int i = 0; i < 10; i++) {      /* a window that changes does not end the wait */
        take(20);
        kill(now.client, SIGWINCH);
    }
    CHECK(sees("client: waiting for a greeting from 127.0.0.1 port "));
    CHECK(sees("a TLS port such as 995 needs -x 'openssl s_client"));
    CHECK(!on_screen("STAT") && terminal_as_before());
    type(" half");
    answer("+OK hello\r\n");
    CHECK(row_is("pop3> STAT half", 15));
    CHECK(!on_screen("half+OK"));
    type("\025");
    quit();
}

/* On a dumb terminal nothing can be erased, but the message has a line of its own. */
static void
test_dumb_greeting_late(void)
{
    start_silent(80, "dumb");
    type("STAT");
    CHECK(sees("STAT\r\nclient: waiting for a greeting"));
    answer("+OK hello\r\n");
    CHECK(sees("+OK hello\r\npop3> "));
    type("\n");
    CHECK(server_got("STAT\r\n"));
    answer("+OK\r\n");
    CHECK(sees("+OK\r\npop3> "));
    press(CTRL_D);
    CHECK(server_got("QUIT\r\n"));
    answer("+OK\r\n");
    CHECK(ends(0));
    clean_up();
}

/*
 * Tab sends nothing between USER and PASS, and nothing again after a refusal until something was
 * accepted.
 */
static void
test_tab_before_login(void)
{
    start_served(80);
    type("RETR \t");
    CHECK(server_got("LIST\r\n"));
    answer("-ERR log in first\r\n");
    type("\t\t\025USER ann\r");
    CHECK(server_got("USER ann\r\n"));
    answer("+OK\r\n");
    CHECK(prompted());
    type("RETR \t\t\025PASS geheim\r");
    CHECK(server_got("PASS geheim\r\n"));
    answer("+OK\r\n");
    CHECK(prompted());
    type("RETR \t");
    CHECK(server_got("LIST\r\n"));
    answer("+OK\r\n7 70\r\n.\r\n");
    CHECK(row_is("pop3> RETR 7", 13));
    type("\025");
    quit();
}

/* Tab completes no messages behind a command that takes none, or that is not known. */
static void
test_tab_elsewhere(void)
{
    static const char *const lines[] = {"XYZ \tx\r", "NOOP \tx\r", "HELP \tx\r"};
    static const char *const sent[] = {"XYZ x\r\n", "NOOP x\r\n"};

    start_served(80);
    for (size_t i = 0; i < 2; i++) {
        type(lines[i]);
        CHECK(server_got(sent[i]));
        answer("-ERR no\r\n");
        CHECK(prompted());
    }
    type(lines[2]);
    CHECK(sees("no command x"));
    CHECK(prompted());
    type("QUIT\r");
    CHECK(server_got("QUIT\r\n"));
    answer("+OK\r\n");
    CHECK(ends(1));
    clean_up();
}

/* HELP, CAPA and a password that is given up leave the session between USER and PASS. */
static void
test_tab_after_user(void)
{
    start_served(80);
    type("USER ann\r");
    CHECK(server_got("USER ann\r\n"));
    answer("+OK\r\n");
    CHECK(prompted());
    type("HELP PASS\r");
    CHECK(sees("asks for it and does not show it"));
    CHECK(prompted());
    type("CAPA\r");
    CHECK(server_got("CAPA\r\n"));
    answer("+OK\r\n.\r\n");
    CHECK(prompted());
    type("RETR \t\025PASS\r");
    CHECK(sees("Password: "));
    press(CTRL_C);
    CHECK(prompted());
    type("RETR \t\025PASS geheim\r");
    CHECK(server_got("PASS geheim\r\n"));
    answer("+OK\r\n");
    CHECK(prompted());
    quit();
}

/* Where no login is needed, USER may come alone: what SHOW and HEADERS send comes after a login. */
static void
test_tab_after_show(void)
{
    start_served(80);
    type("USER ann\r");
    CHECK(server_got("USER ann\r\n"));
    answer("+OK no login is needed\r\n");
    CHECK(prompted());
    type("SHOW 1\r");
    CHECK(server_got("RETR 1\r\n"));
    answer("+OK\r\n\r\nthe text\r\n.\r\n");
    CHECK(sees("the text\r\n"));
    CHECK(prompted());
    type("RETR \t");
    CHECK(server_got("LIST\r\n"));
    answer("+OK\r\n7 70\r\n.\r\n");
    CHECK(row_is("pop3> RETR 7", 13));
    type("\025");
    quit();
}

/* A server may have more capabilities after the login. */
static void
test_capabilities_after_login(void)
{
    start_served(80);
    type("HEADERS\r");
    CHECK(server_got("CAPA\r\n"));
    answer("+OK\r\nUSER\r\n.\r\n");
    CHECK(sees("the server has no TOP, which HEADERS needs"));
    CHECK(prompted());
    type("PASS geheim\r");
    CHECK(server_got("PASS geheim\r\n"));
    answer("+OK\r\n");
    CHECK(prompted());
    type("HEADERS\r");
    CHECK(server_got("CAPA\r\n"));
    answer("+OK\r\nTOP\r\n.\r\n");
    CHECK(server_got("LIST\r\n"));
    answer("+OK\r\n.\r\n");
    CHECK(sees("there is no message"));
    CHECK(prompted());
    type("QUIT\r");
    CHECK(server_got("QUIT\r\n"));
    answer("+OK\r\n");
    CHECK(ends(1));
    clean_up();
}

/* HEADERS is cut to the width in columns; a long list goes through the pager. */
static void
test_headers(void)
{
    enter();
    put_file("store/1.eml", "From: \346\274\242\345\255\227 <k@example.org>\n"
             "Subject: one that is longer than the line\n\n");
    start_real(40);
    int before = now.screen.wrapped;    /* the greeting may be longer than the line */
    type("HEADERS\r");
    CHECK(sees("\346\274\242\345\255\227"));
    CHECK(prompted());
    CHECK(now.screen.wrapped == before);
    press(CTRL_D);
    CHECK(ends(0));
    clean_up();

    enter();
    put_file("store/1.eml", "Date: Mon, 1 Apr 2024 10:00 +0000\nFrom: eve\nSubject: a word\n\n");
    start_real(20);
    type("HEADERS\r");
    CHECK(sees("eve     a word"));      /* rather than the date */
    CHECK(prompted());
    press(CTRL_D);
    CHECK(ends(0));
    clean_up();

    enter();
    for (int i = 4; i < 4 + SCREEN_ROWS; i++) {
        char name[32];

        snprintf(name, sizeof name, "store/%d.eml", i);
        put_file(name, "Subject: many\n\n");
    }
    setenv("PAGER", "cat >paged; echo it ran", 1);
    start_real(80);
    type("HEADERS\r");
    CHECK(sees("it ran"));
    CHECK(prompted());
    CHECK(strstr(file_text("paged"), "many") != NULL);
    unsetenv("PAGER");
    press(CTRL_D);
    CHECK(ends(0));
    clean_up();
}

/*
 * A row of HEADERS in terminals of different widths: one of 44 columns has no room for the date, and
 * what does not fit one of less than 33 is cut at its end.
 */
static void
test_headers_rows(void)
{
    static const struct { size_t columns; const char *rows[3]; } widths[] = {
        {80, {"1  2024-04-01  Ann Example         one that is longer than the line of \342\200\246"
              "   158 B\r\n",
              "2  tomorrow    bob@example.org     short                                "
              "    57 B\r\n",
              "3                                  none                                 "
              "    17 B\r\n"}},
        {45, {"1  2024-04-01  Ann E\342\200\246  one that is l\342\200\246   158 B\r\n",
              "2  tomorrow    bob@e\342\200\246  short             57 B\r\n",
              "3                      none              17 B\r\n"}},
        {44, {"1  Ann Examp\342\200\246  one that is longer t\342\200\246   158 B\r\n",
              "2  bob@examp\342\200\246  short                    57 B\r\n",
              "3              none                     17 B\r\n"}},
        {33, {"1  Ann E\342\200\246  one that is l\342\200\246   158 B\r\n",
              "2  bob@e\342\200\246  short             57 B\r\n",
              "3          none              17 B\r\n"}},
        {20, {"1  Ann E\342\200\246  one that\342\200\246\r\n",
              "2  bob@e\342\200\246  short   \342\200\246\r\n",
              "3          none    \342\200\246\r\n"}},
    };

    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        enter();
        put_file("store/1.eml", "From: Ann Example <a@example.org>\n"
                 "Date: Mon, 1 Apr 2024 10:00 +0000\nSubject: one that is longer than the line of "
                 "this terminal, whatever its width is\n\nx\n");
        put_file("store/2.eml", "From: bob@example.org\nDate: tomorrow\nSubject: short\n\n");
        put_file("store/10.eml", "Subject: none\n\n");
        start_real(widths[i].columns);
        type("HEADERS\r");
        for (int row = 0; row < 3; row++)
            CHECK(sees(widths[i].rows[row]));
        CHECK(prompted());
        press(CTRL_D);
        CHECK(ends(0));
        clean_up();
    }
}

/* SHOW of several names each message, and says how to stop. */
static void
test_show_several(void)
{
    enter();
    start_real(80);
    type("SHOW 1 3\r");
    CHECK(sees("Message 1, 1 of 2 (leave the pager for the next one; Ctrl-C stops)"));
    CHECK(sees("Message 3, 2 of 2"));
    CHECK(prompted());
    press(CTRL_D);
    CHECK(ends(0));
    clean_up();
}

/* Types keys into the empty line of a new client, whose server refuses every command. */
static void
start_and_type(size_t columns, const char *before, const char *keys)
{
    char all[512];

    start_command(columns, "xterm",
                  "printf '+OK\\r\\n'; while read -r line; do printf -- '-ERR\\r\\n'; done");
    WAIT_FOR(now.screen.marks_paste);
    snprintf(all, sizeof all, "%s%s", before, keys);
    type(all);
}

/*
 * Types keys, one that does nothing but end a search, and a sign. Where that is then, the cursor
 * was, and the keys before it have been taken.
 */
static void
try_keys(const struct keys *list, size_t count, const char *before)
{
    for (const struct keys *k = list; k < list + count; k++) {
        int left = (int)strcspn(k->held, "|");
        char keys[256], row[256];
        size_t column = 7;

        snprintf(keys, sizeof keys, "%s\033[I!", k->keys);
        snprintf(row, sizeof row, "pop3> %.*s!%s", left, k->held, k->held + left + 1);
        while (row[strlen(row) - 1] == ' ')
            row[strlen(row) - 1] = '\0';
        for (int i = 0; i < left; i++) {
            column += (k->held[i] & 0xc0) != 0x80;
            column += (unsigned char)k->held[i] >= 0xe3;        /* from U+3000 on: two columns */
        }
        start_and_type(80, before, keys);
        if (!CHECK(row_is(row, column)) || !CHECK(now.screen.foreign == 0))
            printf("    that was: %s\n", k->what);
        clean_up();
    }
}

#define TRY(list, before) try_keys(list, sizeof list / sizeof *list, before)

static void
test_keys(void)
{
    TRY(keys_that_move, "");
    TRY(keys_that_change, "");
    TRY(keys_of_no_use, "");
    TRY(keys_refused, "");
    TRY(keys_pasted, "");
}

/* A key that finds nothing to do rings the bell, any other does not. */
static void
test_bell(void)
{
    start_served(80);
    type("ab\177\177");
    CHECK(prompted());
    CHECK(now.screen.bells == 0);
    type("\177");
    CHECK(prompted());
    CHECK(now.screen.bells == 1);
    type(DOWN);                 /* without a later line */
    CHECK(prompted());
    CHECK(now.screen.bells == 2);
    quit();
}

/* Only a command that the client does not know is worth a hint when it is refused. */
static void
test_hint(void)
{
    start_served(80);
    type("STAT\r");
    CHECK(server_got("STAT\r\n"));
    answer("-ERR no\r\n");
    CHECK(prompted());
    CHECK(!on_screen("HELP lists"));
    type("XYZ\r");
    CHECK(server_got("XYZ\r\n"));
    answer("-ERR no\r\n");
    CHECK(sees("HELP lists the commands."));
    type("QUIT\r");
    CHECK(server_got("QUIT\r\n"));
    answer("+OK\r\n");
    CHECK(ends(1));
    clean_up();
}

static void
test_keys_and_lines(void)
{
    TRY(keys_of_history, "");
    TRY(keys_of_search, before_search);
    TRY(keys_of_completion, "");
    for (size_t i = 0; i < sizeof screens / sizeof *screens; i++) {
        start_and_type(screens[i].columns, "", screens[i].keys);
        CHECK(row_is(screens[i].row, screens[i].column));
        CHECK(now.screen.foreign == 0);
        clean_up();
    }
}

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

int
main(void)
{
    char command[sizeof directory + 16];
    int status;
    const char *client = getenv("CLIENT"), *server = getenv("SERVER"), *base = getenv("TMPDIR");
    int master = posix_openpt(O_RDWR | O_NOCTTY);

    if (master < 0 && (errno == ENODEV || errno == ENOENT)) {
        puts("skip - all: no pseudo-terminals here, is /dev/pts mounted?");
        return 0;
    }
    close(master);
    if (realpath(client != NULL ? client : "./client", client_path) == NULL)
        give_up("the client");
    if (realpath(server != NULL ? server : "./server", server_path) == NULL)
        give_up("the server");
    signal(SIGPIPE, SIG_IGN);
    snprintf(directory, sizeof directory, "%s/pty-client.XXXXXX", base != NULL ? base : "/tmp");
    if (mkdtemp(directory) == NULL)
        give_up(directory);
    strcat(directory, "/0");
    enter();

    case_beside("terminal: keys, one by one", test_keys);
    case_beside("terminal: keys and earlier lines", test_keys_and_lines);
    case_beside("terminal: no greeting for three seconds", test_greeting_late);
    case_beside("terminal: no greeting, on a dumb one", test_dumb_greeting_late);
    case_beside("terminal: a paste without an end", test_paste_without_end);
    case_beside("terminal: ^C stops a paste", test_paste_stopped);
    case_beside("terminal: keys that arrive slowly", test_slow_keys);
    case_beside("terminal: a transfer that stalls", test_stalled);
    case_beside("terminal: a transfer of several messages", test_progress_of_several);
    case_beside("terminal: one that takes no output", test_full);
    case_beside("terminal: one that takes no output at the prompt", test_full_at_prompt);
    case_beside("a pager ends before the client", test_pager_ended);
    case_beside("terminal: no progress in a pipe", test_pipe);

    unit_case("terminal: keys that edit reach the command", test_editing);
    unit_case("terminal: the bell", test_bell);
    unit_case("terminal: a refused command that is not known", test_hint);
    unit_case("terminal: history and search", test_history);
    unit_case("terminal: completion, with sizes", test_completion);
    unit_case("terminal: completion, sizes", test_completion_sizes);
    unit_case("terminal: completion, in rows", test_completion_rows);
    unit_case("terminal: ^C while Tab waits for the server", test_completion_broken_off);
    unit_case("terminal: lines that are pasted run once, in order", test_paste);
    unit_case("terminal: what is typed ahead", test_typed_ahead);
    unit_case("terminal: left alone until the greeting", test_greeting);
    unit_case("terminal: a dumb one", test_dumb);
    unit_case("terminal: a password on a dumb one", test_dumb_password);
    unit_case("terminal: ten columns", test_ten_columns);
    unit_case("terminal: a window that changes", test_window);
    unit_case("terminal: a password is not seen or remembered", test_password);
    unit_case("terminal: a password that is pasted", test_password_pasted);
    unit_case("terminal: a password is any bytes, and Enter wipes it", test_password_bytes);
    unit_case("terminal: a paste that ends in the password prompt", test_paste_in_password);
    unit_case("terminal: ^C while a pasted line runs", test_paste_stopped_in_answer);
    unit_case("terminal: ^C stops thousands of pasted lines", test_long_paste_stopped);
    unit_case("terminal: ^C while a pasted line is not answered", test_paste_unanswered);
    unit_case("terminal: a line that is too long", test_too_long);
    unit_case("terminal: a line that is too long for a dumb one", test_dumb_too_long);
    unit_case("terminal: what the server says does not spoil the line", test_notice);
    unit_case("terminal: the server sends a line without end", test_endless_line);
    unit_case("terminal: the server goes while a line is typed", test_server_goes);
    unit_case("terminal: progress comes and goes", test_progress);
    unit_case("terminal: progress, broken off", test_progress_broken_off);
    unit_case("terminal: Tab before the login", test_tab_before_login);
    unit_case("terminal: Tab where no message can be", test_tab_elsewhere);
    unit_case("terminal: Tab between USER and PASS", test_tab_after_user);
    unit_case("terminal: Tab after USER and SHOW", test_tab_after_show);
    unit_case("terminal: HEADERS before and after the login", test_capabilities_after_login);
    unit_case("terminal: HEADERS fits the width", test_headers);
    unit_case("terminal: the rows of HEADERS in several widths", test_headers_rows);
    unit_case("terminal: SHOW of several messages", test_show_several);
    unit_case("terminal: ^C clears the line, ^D quits", test_ctrl_c);
    unit_case("terminal: ^C during an answer", test_ctrl_c_in_answer);
    unit_case("terminal: ^C during an answer that is shown", test_ctrl_c_in_text);
    unit_case("terminal: SIGTERM, SIGHUP and SIGQUIT", test_signals);
    unit_case("terminal: SIGTERM while a password is asked for", test_signal_in_password);
    unit_case("terminal: SIGINT at the prompt", test_interrupt_signal);
    unit_case("terminal: hung up", test_hang_up);
    unit_case("terminal: hung up without a signal", test_hang_up_without_a_word);
    unit_case("terminal: the output alone goes", test_other_terminal);
    unit_case("terminal: ^Z and fg", test_suspend);
    unit_case("terminal: ^Z, bg and fg", test_background);
    unit_case("terminal: ^Z, bg and fg before the first prompt", test_background_early);
    unit_case("terminal: ^Z and bg on a dumb one", test_background_dumb);
    unit_case("terminal: SIGSTOP and SIGCONT", test_stop);
    unit_case("a pager runs what it likes", test_pager);
    unit_case("a pager has its own ^C", test_pager_ctrl_c);
    unit_case("a pager and the progress behind it", test_pager_progress);
    unit_case("a pager in the middle of a paste", test_pager_paste);
    unit_case("a pager is stopped and continued", test_pager_suspend);
    unit_case("a pager that fails", test_pager_fails);
    unit_case("no pager on a dumb terminal", test_pager_dumb);
    unit_case("-x: the command's standard error", test_command_says);
    unit_case("-x: the command is killed", test_command_killed);
    unit_case("-x: ^C is not for the command", test_command_interrupted);
    unit_case("-x: ^C leaves our server as it is", test_command_stays);
    unit_case("-x: the command fails", test_command_fails);

    for (; beside > 0; beside--)
        if (wait(&status) < 0 || status != 0)
            unit_status = 1;
    *strrchr(directory, '/') = '\0';
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    return chdir("/") == 0 && system(command) == 0 ? unit_status : 2;
}
