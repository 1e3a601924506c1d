/* client_ends.c - how a session ends, stops and goes on: keys, signals, pagers and -x */
#include "terminal.h"

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

/* The pager inherits no connection, and the signals that the client ignores end it. */
static void
test_pager_inherits(void)
{
    setenv("PAGER", "cat >/dev/null; for fd in 3 4 5 6 7 8 9; do "
           "(: >&$fd) 2>/dev/null && echo \"has $fd\"; done; echo it ran; "
           "(kill -PIPE $(exec sh -c 'echo $PPID'); echo stayed); true", 1);
    start_served(80);
    unsetenv("PAGER");
    type("SHOW 1\r");
    CHECK(server_got("RETR 1\r\n"));
    answer("+OK\r\nSubject: many\r\n\r\n");
    for (int i = 1; i <= 2 * SCREEN_ROWS; i++)
        answer("a line\r\n");
    answer(".\r\n");
    CHECK(sees("it ran"));
    CHECK(prompted());
    CHECK(strstr(now.stream, "has ") == NULL && strstr(now.stream, "stayed") == NULL);
    quit();
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

/*
 * A page goes through the pager if it leaves no row for the prompt. A word of 80 columns has one
 * row of 80, a word of 81 has two.
 */
static void
test_pager_rows(void)
{
    char text[1024];

    enter();
    for (int wide = 0; wide <= 1; wide++) {
        strcpy(text, "Subject: rows\n\n");
        for (int i = 3; i < SCREEN_ROWS - 2; i++)
            sprintf(text + strlen(text), "line %d\n", i);
        memset(text + strlen(text), 0, 90);
        memset(text + strlen(text), 'x', wide ? 81 : 80);
        strcat(text, "\n");
        put_file(wide ? "store/2.eml" : "store/1.eml", text);
    }
    setenv("PAGER", "echo it ran", 1);
    start_real(80);
    unsetenv("PAGER");
    type("SHOW 1\r");
    CHECK(sees("xxx"));
    CHECK(prompted());
    CHECK(strstr(now.stream, "it ran") == NULL);
    type("SHOW 2\r");
    CHECK(sees("it ran"));
    CHECK(prompted());
    press(CTRL_D);
    CHECK(ends(0));
    clean_up();
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
    type("SHOW 1 2\n");
    CHECK(sees("Message 1, 1 of 2\r\n") && sees("pop3> "));
    press(CTRL_D);
    CHECK(ends(0));
    clean_up();
}

int
main(void)
{
    if (!begin_cases())
        return 0;

    case_beside("terminal: one that takes no output", test_full);
    case_beside("terminal: one that takes no output at the prompt", test_full_at_prompt);
    case_beside("a pager ends before the client", test_pager_ended);

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
    unit_case("a pager is for what does not fit", test_pager_rows);
    unit_case("a pager inherits no connection", test_pager_inherits);
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
    return end_cases();
}
