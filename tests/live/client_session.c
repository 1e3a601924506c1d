/* client_session.c - what the client shows while it talks to the server */
#include "terminal.h"

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
    size_t saved = now.seen;
    pause_keys(200);            /* progress is painted every 125 ms */
    type("QUIT\r");
    CHECK(server_got("QUIT\r\n"));
    answer("+OK\r\n");
    CHECK(ends(1));
    CHECK(strstr(now.stream + saved, "17 B") == NULL);  /* QUIT has no progress of RETR */
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
    type("\t\t\025NOOP\r");
    CHECK(server_got("NOOP\r\n"));
    answer("-ERR log in first\r\n");
    CHECK(prompted());
    type("RETR \t\025USER ann\r");
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
    type("QUIT\r");
    CHECK(server_got("QUIT\r\n"));
    answer("+OK\r\n");
    CHECK(ends(1));             /* NOOP was refused */
    clean_up();
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

/* Tab does not complete what is marked, and asks again after RSET. */
static void
test_tab_after_rset(void)
{
    start_served(80);
    type("DELE 7\r");
    CHECK(server_got("DELE 7\r\n"));
    answer("+OK\r\n");
    CHECK(prompted());
    type("RETR \t");
    CHECK(server_got("LIST\r\n"));
    answer("+OK\r\n8 80\r\n.\r\n");
    CHECK(row_is("pop3> RETR 8", 13));
    type("\025RSET\r");
    CHECK(server_got("RSET\r\n"));
    answer("+OK\r\n");
    CHECK(prompted());
    type("RETR \t");
    CHECK(server_got("LIST\r\n"));
    answer("+OK\r\n7 0\r\n18 80\r\n.\r\n");
    type("\t");
    CHECK(sees("7 (0 B)  18 (80 B)\r"));
    type("\025");
    quit();
}

/* A password that is too long is rejected as a whole. */
static void
test_password_too_long(void)
{
    start_served(80);
    type("PASS\r");
    CHECK(sees("Password: "));
    type_much(long_line(4097));
    type("\r");
    CHECK(sees("client: the line is too long; it was not sent"));
    CHECK(prompted());
    type("QUIT\r");
    CHECK(server_got("QUIT\r\n"));
    answer("+OK\r\n");
    CHECK(ends(1));
    clean_up();
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
    CHECK(sees("no messages: "));
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

int
main(void)
{
    if (!begin_cases())
        return 0;

    case_beside("terminal: no greeting for three seconds", test_greeting_late);
    case_beside("terminal: no greeting, on a dumb one", test_dumb_greeting_late);
    case_beside("terminal: a transfer that stalls", test_stalled);
    case_beside("terminal: a transfer of several messages", test_progress_of_several);
    case_beside("terminal: no progress in a pipe", test_pipe);

    unit_case("terminal: a refused command that is not known", test_hint);
    unit_case("terminal: ^C while Tab waits for the server", test_completion_broken_off);
    unit_case("terminal: left alone until the greeting", test_greeting);
    unit_case("terminal: what the server says does not spoil the line", test_notice);
    unit_case("terminal: the server sends a line without end", test_endless_line);
    unit_case("terminal: the server goes while a line is typed", test_server_goes);
    unit_case("terminal: progress comes and goes", test_progress);
    unit_case("terminal: progress, broken off", test_progress_broken_off);
    unit_case("terminal: Tab before the login", test_tab_before_login);
    unit_case("terminal: Tab where no message can be", test_tab_elsewhere);
    unit_case("terminal: Tab between USER and PASS", test_tab_after_user);
    unit_case("terminal: Tab after USER and SHOW", test_tab_after_show);
    unit_case("terminal: Tab after DELE and RSET", test_tab_after_rset);
    unit_case("terminal: a password that is too long", test_password_too_long);
    unit_case("terminal: HEADERS before and after the login", test_capabilities_after_login);
    unit_case("terminal: HEADERS fits the width", test_headers);
    unit_case("terminal: the rows of HEADERS in several widths", test_headers_rows);
    unit_case("terminal: SHOW of several messages", test_show_several);
    return end_cases();
}
