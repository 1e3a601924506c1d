/* client_typing.c - what a person types at the client: keys, lines, pastes and passwords */
#include "terminal.h"

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

/* A dumb terminal keeps a half line itself: what is sent is what stands behind the last prompt. */
static void
test_dumb_half_line(void)
{
    struct winsize size = {.ws_row = SCREEN_ROWS, .ws_col = 60};

    start_silent(80, "dumb");
    answer("+OK hello\r\n");
    CHECK(sees("pop3> "));
    type("DELE ");
    CHECK(sees("DELE "));
    CHECK(ioctl(now.master, TIOCSWINSZ, &size) == 0);
    type("2\n");
    CHECK(server_got("DELE 2\r\n"));
    CHECK(times("pop3> ") == 1);
    answer("+OK\r\n");
    CHECK(sees("marked 2\r\npop3> "));
    type("DELE ");
    CHECK(sees("DELE "));
    answer("-ERR still here?\r\n");
    CHECK(sees("here?\r\npop3> "));
    type("3\n");
    CHECK(server_got("3\r\n"));
    answer("-ERR\r\n");
    CHECK(sees("pop3> "));
    type("DELE ");
    CHECK(sees("DELE "));
    CHECK(kill(now.client, SIGINT) == 0);
    CHECK(sees("pop3> "));
    type("4\n");
    CHECK(server_got("4\r\n"));
    answer("-ERR\r\n");
    CHECK(sees("pop3> "));
    answer("-ERR and now?\r\n");       /* whole lines are not lost */
    type("STAT\nNOOP\nRSET\n");
    CHECK(server_got("STAT\r\n"));
    answer("+OK 1 2\r\n");
    CHECK(server_got("NOOP\r\n"));
    answer("+OK\r\n");
    CHECK(server_got("RSET\r\n"));
    answer("+OK\r\n");
    CHECK(sees("pop3> "));
    press(CTRL_D);
    CHECK(server_got("QUIT\r\n"));
    answer("+OK\r\n");
    CHECK(ends(1));
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

/* A line that is longer than it may be is not carried out, not even in part: not from history. */
static void
test_too_long(void)
{
    start_served(80);
    type("NOOP\r");
    CHECK(server_got("NOOP\r\n"));
    answer("+OK\r\n");
    CHECK(prompted());
    type_much(long_line(4200));
    type("\020\025\016\r");    /* ^P, ^U and ^N would bring its beginning back */
    CHECK(prompted());
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

int
main(void)
{
    if (!begin_cases())
        return 0;

    case_beside("terminal: keys, one by one", test_keys);
    case_beside("terminal: keys and earlier lines", test_keys_and_lines);
    case_beside("terminal: a paste without an end", test_paste_without_end);
    case_beside("terminal: ^C stops a paste", test_paste_stopped);
    case_beside("terminal: keys that arrive slowly", test_slow_keys);

    unit_case("terminal: keys that edit reach the command", test_editing);
    unit_case("terminal: the bell", test_bell);
    unit_case("terminal: history and search", test_history);
    unit_case("terminal: completion, with sizes", test_completion);
    unit_case("terminal: completion, sizes", test_completion_sizes);
    unit_case("terminal: completion, in rows", test_completion_rows);
    unit_case("terminal: lines that are pasted run once, in order", test_paste);
    unit_case("terminal: what is typed ahead", test_typed_ahead);
    unit_case("terminal: a dumb one", test_dumb);
    unit_case("terminal: half a line on a dumb one", test_dumb_half_line);
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
    return end_cases();
}
