/*
 * client.c - client.c, part by part; editor.c has the line editor
 */
int noted_fsync(int fd);
#define fsync noted_fsync       /* in pop3.h, too */
#include "../../pop3.h"
#undef fsync
int fsync(int fd);

#include <dirent.h>
#include <fcntl.h>
#include <iconv.h>
#include <stdio.h>
#include <sys/stat.h>
#if defined __linux__ && !defined POSIX_ONLY
#include <sys/syscall.h>
#endif

/*
 * What saving does to the disk, in order: f an fsync() of a file, d of a directory, l a name given.
 * disk_refuses is the one of these that fails from now on, with this error. Without links the file
 * system has neither links nor a rename that cannot overwrite.
 */
static char on_disk[64], disk_refuses;
static int disk_error = EIO, no_links;

static int
note_on_disk(char what, int result)
{
    if (strlen(on_disk) < sizeof on_disk - 1)
        on_disk[strlen(on_disk)] = what;
    errno = what == disk_refuses ? disk_error : errno;
    return what == disk_refuses ? -1 : result;
}

int
noted_fsync(int fd)
{
    struct stat status;

    return note_on_disk(fstat(fd, &status) == 0 && S_ISDIR(status.st_mode) ? 'd' : 'f', fsync(fd));
}

static int
noted_linkat(int from_directory, const char *from, int to_directory, const char *to, int flags)
{
    if (no_links != 0) {
        errno = no_links;
        return -1;
    }
    return note_on_disk('l', disk_refuses == 'l' ? -1 :
                        linkat(from_directory, from, to_directory, to, flags));
}

#ifdef SYS_renameat2
/* Returns true, with errno set, if the rename that cannot overwrite is refused. */
static bool
refuses_rename(void)
{
    errno = no_links != 0 ? EINVAL : disk_error;
    return no_links != 0 || disk_refuses == 'l';
}
#endif

static int
noted_renameat(int from_directory, const char *from, int to_directory, const char *to)
{
    if (disk_refuses == 'l') {
        errno = disk_error;
        return -1;
    }
    return renameat(from_directory, from, to_directory, to);
}

/* What happens to who decodes a message, when it comes upon a charset. */
static volatile enum { ALL_IS_WELL, IT_CRASHES, IT_NEVER_ENDS, IT_TURNS_HOSTILE, IT_CANNOT_BE_READ } decoding;

static iconv_t
noted_iconv_open(const char *to, const char *from)
{
    static volatile int *volatile nowhere;

    if (decoding == IT_CRASHES)
        *nowhere = 1;
    while (decoding == IT_NEVER_ENDS || decoding == IT_CANNOT_BE_READ)
        ;
    if (decoding == IT_TURNS_HOSTILE) {
        bool confined = socket(AF_INET, SOCK_STREAM, 0) < 0 && fork() < 0;

        if (write(STDOUT_FILENO, confined ? "confined" : "it is free", 8) < 0 ||
            write(STDOUT_FILENO, "\033]0;I own you\a\xc2\x9b", 17) < 0)
            _exit(1);
    }
    return iconv_open(to, from);
}

/* Makes a pipe, or one that gives an error in place of what is written to it. */
static int
noted_pipe(int *pipes)
{
    int result = pipe(pipes), directory;

    if (decoding == IT_CANNOT_BE_READ && result == 0) {
        directory = open("/", O_RDONLY);
        dup2(directory, pipes[0]);
        close(directory);
    }
    return result;
}

/* While the clock stands still, what a test does takes no time. */
static bool clock_stands;

static int64_t
noted_clock(void)
{
    return clock_stands ? 1000 * 1000 * 1000 : wire_clock();
}

/* Where the system has its temporary files, for who grants that. */
static const char *temporary_files = "no/such";

#define linkat noted_linkat
#define renameat noted_renameat
#ifdef SYS_renameat2
#define syscall(number, ...) \
    ((number) == SYS_renameat2 && refuses_rename() ? -1 : syscall(number, __VA_ARGS__))
#endif
#define iconv_open noted_iconv_open
#define pipe noted_pipe
#define wire_clock noted_clock
#undef P_tmpdir
#define P_tmpdir temporary_files
int client_main(int argc, char **argv);
#define main client_main
#include "../../client.c"
#undef main
#undef linkat
#undef renameat
#undef syscall
#undef iconv_open
#undef pipe
#undef wire_clock

#include "unit.h"

#include <locale.h>
#include <sys/resource.h>
#include <sys/time.h>

static void
test_sizes(void)
{
    static const struct { int64_t octets; const char *text; } sizes[] = {
        {0, "0 B"}, {999, "999 B"}, {1000, "1.0 kB"}, {9949, "9.9 kB"}, {9950, "10 kB"}, {10499, "10 kB"},
        {999499, "999 kB"}, {999500, "1.0 MB"}, {1251000, "1.3 MB"}, {999499999, "999 MB"},
        {INT64_MAX, "9.2 EB"},
    };

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        CHECK(strcmp(size_text(sizes[i].octets).text, sizes[i].text) == 0);
}

/* ---- A client with a server at hand ------------------------------------------------------------------- */

static struct settings test_settings = {.host = "nowhere", .port = "1", .directory = "inbox"};
static struct client client;
static struct editor editor;
static int server_end, keys_end, screen_file, complaints_file;

static int
temporary_file(void)
{
    FILE *file = tmpfile();
    int fd = file != NULL ? dup(fileno(file)) : -1;

    if (fd < 0) {
        perror("a temporary file");
        exit(2);
    }
    fclose(file);
    return fd;
}

/* Readies a client as main() does, its wires in our hands, and its complaints in a file. */
static void
client_begin(void)
{
    const struct sigaction note = {.sa_handler = note_signal};
    int pair[2], keys[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0 || pipe(keys) != 0) {
        perror("socketpair");
        exit(2);
    }
    memset(&client, 0, sizeof client);
    client.settings = &test_settings;
    client.utf8 = true;
    client.batch.directory = -1;
    client.editor = &editor;
    client.noop_ms = 60 * 1000;
    client.spoke = wire_clock();
    sigaction(SIGCHLD, &note, NULL);    /* it ends the wait for a decoder, as in the program */
    screen_file = temporary_file();
    complaints_file = temporary_file();
    wire_open(&client.server, pair[0], pair[0]);
    wire_open(&client.keys, keys[0], screen_file);
    wire_open(&client.screen, keys[0], screen_file);
    wire_open(&client.errors, keys[0], complaints_file);
    client.server.idle_ms = client.keys.idle_ms = client.screen.idle_ms = 60 * 1000;
    server_end = pair[1];
    keys_end = keys[1];
}

static void
client_end(void)
{
    close(client.server.in);
    close(client.keys.in);
    close(screen_file);
    close(complaints_file);
    close(server_end);
    close(keys_end);
    free(client.messages);
}

static const char *
content(int file)
{
    static char text[64 * 1024];
    ssize_t length = pread(file, text, sizeof text - 1, 0);

    text[length > 0 ? length : 0] = '\0';
    return text;
}

/* All that is on the screen. */
static const char *
shown(void)
{
    clear_line(&client);
    wire_flush(&client.screen);
    return content(screen_file);
}

/* All that was complained of. */
static const char *
complained(void)
{
    return content(complaints_file);
}

/* The server says something, which waits for the client to read it. */
static void
server_says_all(const char *text, size_t length)
{
    CHECK(write(server_end, text, length) == (ssize_t)length);
}

static void
server_says(const char *text)
{
    server_says_all(text, strlen(text));
}

/* What the client has sent since the last look. */
static const char *
sent(void)
{
    static char text[4096];
    ssize_t length;

    wire_flush(&client.server);
    length = recv(server_end, text, sizeof text - 1, MSG_DONTWAIT);
    text[length > 0 ? length : 0] = '\0';
    return text;
}

static void
test_status(void)
{
    CHECK(has_status("+OK", "+OK"));
    CHECK(has_status("+OK ", "+OK"));
    CHECK(has_status("+OK 1 message", "+OK"));
    CHECK(!has_status("+OKAY", "+OK"));
    CHECK(!has_status("+ok", "+OK"));
    CHECK(!has_status("+O", "+OK"));
    CHECK(!has_status("", "+OK"));
    CHECK(!has_status(" +OK", "+OK"));
    CHECK(!has_status("-ERR", "+OK"));
    CHECK(has_status("-ERR", "-ERR") && has_status("-ERR no", "-ERR") && !has_status("-ERROR", "-ERR"));
    CHECK(has_status("+", "+") && has_status("+ x", "+") && !has_status("+OK", "+"));
}

static void
test_read_status(void)
{
    client_begin();
    server_says("+OK \033[31mhello\r\n-ERR no\r\n+ go on\r\n");
    CHECK(show_answer(&client));
    CHECK(!client.failed && strcmp(client.status, "+OK \033[31mhello") == 0);
    CHECK(!read_status(&client));
    CHECK(!client.failed && client.server.error == 0 && !client.continued);
    CHECK(!show_answer(&client));
    CHECK(client.failed && client.server.error == 0 && client.continued);
    client.failed = false;
    CHECK(strcmp(shown(), "+OK ^[[31mhello\n+ go on\n") == 0);
    client.noops = 2;           /* two answers that nobody asked for but the client itself */
    server_says("+OK noop\r\n-ERR noop\r\n+OK 1 2\r\n");
    CHECK(show_answer(&client));
    CHECK(client.noops == 0 && strcmp(client.status, "+OK 1 2") == 0 && !client.failed);
    CHECK(strstr(shown(), "noop") == NULL);
    server_says("+OKAY \033\r\n");
    CHECK(!read_status(&client));
    CHECK(client.server.error == EPROTO && !client.failed);
    connection_lost(&client);
    CHECK(client.failed);
    connection_lost(&client);   /* says it once */
    CHECK(client.over && strcmp(complained(), "client: the server does not speak POP3; nothing was removed. It sent: +OKAY ^[\n") == 0);
    client_end();
}

/* A signal that comes together with the end of the input: QUIT is not sent. */
static void
test_signal_at_the_end(void)
{
    const struct sigaction note = {.sa_handler = note_signal};

    client_begin();
    sigaction(SIGTERM, &note, NULL);
    raise(SIGTERM);
    close(keys_end);
    keys_end = -1;
    message_at(&client, 1)->marked = true;
    client.server.stop = &interrupted;
    converse(&client);
    CHECK(strcmp(sent(), "") == 0);
    CHECK(strcmp(complained(), "client: interrupted; nothing was removed\n") == 0);
    client_end();
    interrupted = 0;
    signal(SIGTERM, SIG_DFL);
}

/* A message ends with CRLF dot CRLF and nothing else. If that is missing, the timeout says so. */
static void
test_lf_alone(void)
{
    struct text text = {0};
    struct span piece;

    client_begin();
    client.server.idle_ms = 50;
    server_says("a\n.\nb\r\n..\r\n.\r\n");
    while (read_piece(&client, &piece))
        text_add(&text, piece.at, span_length(piece));
    CHECK(client.body.at == UNSTUFF_END && strcmp(text.bytes, "a\n.\nb\n.\n") == 0);
    client.body = (struct pop3_unstuffer){.octets = 0};
    server_says("a\nb\n.\n");
    while (read_piece(&client, &piece))
        continue;
    CHECK(client.body.at != UNSTUFF_END && client.server.error == EILSEQ);
    connection_lost(&client);
    CHECK(strstr(complained(), "the server stopped before the end of the message (CRLF, a dot, CRLF)") != NULL);
    text_free(&text);
    client_end();
}

/* No octet from 0x80 to 0x9f reaches a terminal that does not read UTF-8, alone or in a character. */
static void
test_eight_bit_terminal(void)
{
    client_begin();
    client.utf8 = false;
    server_says("+OK \x9b" "31m \xc2\x9b \xe2\x82\xac \xc3\xa9 \xe4\xbd\x9b\r\n");
    CHECK(show_answer(&client));
    warn(&client, "\xc3\x9b \x9b");
    for (const char *p = shown(); *p != '\0'; p++)
        CHECK((*p & 0x80) == 0);
    for (const char *p = complained(); *p != '\0'; p++)
        CHECK((*p & 0x80) == 0);
    if (!CHECK(strcmp(shown(), "+OK \\x9b31m \\u009b ? ? ??\n") == 0))
        printf("    %s", shown());
    client_end();
}

static void
test_hear_server(void)
{
    client_begin();
    client.at_terminal = true;
    show_unsolicited(&client);
    CHECK(client.server.error == 0);
    server_says("* going \033down soon\r\n* half");
    show_unsolicited(&client);
    CHECK(client.server.error == 0 && strcmp(shown(), "* going ^[down soon\n") == 0);
    server_says(" a line\r\n");
    client.noops = 1;
    show_unsolicited(&client);
    CHECK(client.noops == 0 && strcmp(shown(), "* going ^[down soon\n") == 0);      /* NOOP's answer */
    shutdown(server_end, SHUT_WR);
    show_unsolicited(&client);
    CHECK(client.server.error == WIRE_CLOSED);
    client_end();

    client_begin();             /* a script's next command might take it for its answer */
    server_says("-ERR bye\r\n");
    show_unsolicited(&client);
    CHECK(client.server.error == 0);
    server_says("+OK stray\r\n");
    show_unsolicited(&client);
    CHECK(client.server.error == EBADMSG);
    client_end();
}

/* At the prompt: NOOP is sent in good time, its answer says nothing, and one without an answer is the end. */
static void
test_idle(void)
{
    client_begin();
    client.noops = 1;
    client.row = ROW_LINE;
    server_says("+OK\r\n");
    CHECK(!wait_for_keys(&client, 20));
    client.row = ROW_FREE;
    CHECK(client.noops == 0 && client.server.error == 0 && strcmp(shown(), "") == 0);
    CHECK(write(keys_end, "k", 1) == 1);
    CHECK(wait_for_keys(&client, WAIT_FOREVER) && !is_broken(&client));
    CHECK(take_key(&client) == 'k' && take_key(&client) == -1);
    CHECK(strcmp(sent(), "") == 0);
    client.noop_ms = 20;
    CHECK(wait_for_keys(&client, WAIT_FOREVER) && is_broken(&client));
    CHECK(strcmp(sent(), "NOOP\r\n") == 0);
    CHECK(client.server.error == ETIMEDOUT);
    client_end();

    client_begin();             /* it was stopped until long after the answer came */
    client.noops = 1;
    client.spoke = wire_clock() - 2 * client.noop_ms;
    client.row = ROW_LINE;
    server_says("+OK\r\n");
    CHECK(!wait_for_keys(&client, 0));
    CHECK(client.noops == 0 && client.server.error == 0);
    CHECK(write(keys_end, "k", 1) == 1);
    CHECK(wait_for_keys(&client, 0));
    client_end();

    client_begin();             /* nothing comes between USER and PASS */
    client.noop_ms = 20;
    client.user_given = true;
    CHECK(!wait_for_keys(&client, 100) && strcmp(sent(), "") == 0);
    client_end();

    client_begin();             /* keys that come are no reason to put the NOOP off */
    client.noop_ms = 200;
    bool noop = false;
    for (int64_t start = wire_clock(); !noop && wire_clock() - start < 60 * 1000;) {
        CHECK(write(keys_end, "k", 1) == 1);
        CHECK(wait_for_keys(&client, WAIT_FOREVER) && take_key(&client) == 'k');
        wait_for_keys(&client, 30);
        noop = strcmp(sent(), "NOOP\r\n") == 0;
    }
    CHECK(noop);
    client_end();
}

static void
try_password(const char *keys, const char *expected)
{
    client_begin();
    client.at_terminal = true;
    CHECK(write(keys_end, keys, strlen(keys)) == (ssize_t)strlen(keys));
    client.server.idle_ms = 10;                 /* it gets no answer */
    do_password(&client);
    const char *got = sent();
    if (!CHECK(strcmp(got, expected) == 0))
        printf("    for %.*s: %s\n", (int)strcspn(expected, "\r"), expected, got);
    CHECK(strstr(shown(), "ehei") == NULL && strncmp(shown(), "Password: ", 10) == 0);
    client_end();
}

static void
test_password_keys(void)
{
    try_password("geheim\r", "PASS geheim\r\n");
    try_password("geheim\n", "PASS geheim\r\n");
    try_password("  geheim  \r", "PASS   geheim  \r\n");
    try_password("gehxx\177\010eim\r", "PASS geheim\r\n");
    try_password("\177\177geheim\r", "PASS geheim\r\n");
    try_password("wrong\025geheim\r", "PASS geheim\r\n");
    try_password("gehei\003", "");
    try_password("\r", "");
    try_password("g\xc3\xa9heim\r", "PASS g\xc3\xa9heim\r\n");
    try_password("geheim\xc3\xa9\177\r", "PASS geheim\r\n");
    try_password("\033[200~geheim\033[201~\r", "PASS geheim\r\n");
}

/* One that is too long for POP3 or for the line is not sent, not even in part. */
static void
test_long_passwords(void)
{
    static const size_t lengths[] = {248, 249, TYPED_MAX, TYPED_MAX + 1};

    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        char keys[TYPED_MAX + 3] = "";

        memset(keys, 'x', lengths[i]);
        keys[lengths[i]] = '\r';
        client_begin();
        client.at_terminal = true;
        CHECK(write(keys_end, keys, lengths[i] + 1) == (ssize_t)lengths[i] + 1);
        client.server.idle_ms = 10;
        do_password(&client);
        CHECK(strlen(sent()) == (lengths[i] == 248 ? 255 : 0));
        CHECK(strstr(complained(), lengths[i] == 248 ? "" : "the line is too long") != NULL);
        client_end();
    }
}

/* ---- Numbers of messages ------------------------------------------------------------------------------ */

/* The numbers of a list, with a blank behind each. */
static const char *
spelled(const struct numbers *n)
{
    static char text[4096];
    size_t length = 0;

    text[0] = '\0';
    for (size_t i = 0; i < n->count && length < sizeof text - 32; i++)
        length += (size_t)sprintf(text + length, "%" PRIu64 " ", n->number[i]);
    return text;
}

/* What is known of a message stays, in whatever order they come. */
static void
test_messages(void)
{
    static const uint64_t numbers[] = {3, 1, 200, 100, 7, 2000000, 199};
    enum { COUNT = sizeof numbers / sizeof *numbers };

    client_begin();
    CHECK(!message_at(&client, 1)->listed && marked_count(&client) == 0);
    for (size_t i = 0; i < COUNT; i++) {
        message_at(&client, numbers[i])->octets = i;
        message_at(&client, numbers[i])->marked = true;
        CHECK(marked_count(&client) == i + 1);
    }
    for (size_t i = 0; i < COUNT; i++)
        CHECK(message_at(&client, numbers[i])->octets == i);
    CHECK(!message_at(&client, 2)->marked && !message_at(&client, 2000001)->marked);
    CHECK(message_at(&client, UINT64_MAX) == message_at(&client, 2000001));    /* no mailbox is that large */
    client_end();
}

static void
test_ranges(void)
{
    static const struct { const char *word; uint64_t first, last; } good[] = {
        {"1", 1, UINT64_MAX}, {"0", 0, UINT64_MAX}, {"4294967296", 4294967296, UINT64_MAX}, {"2-5", 2, 5},
        {"007", 7, UINT64_MAX}, {"1-4294967295", 1, 4294967295}, {"*", 1, UINT64_MAX},
    };
    static const char *const bad[] = {
        "", "-", "1-", "-1", "--", "1--2", "1-2-3", "x", "1x", "+1", "1 ", "1-x", "1-*", "0-2", "1,3", "1..3",
        "18446744073709551616", "1-18446744073709551616", "1.0", "\xd9\xa1", "5-2", "**", "*-1",
    };
    char word[64];
    struct range r;

    client_begin();
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        snprintf(word, sizeof word, "%s", good[i].word);
        CHECK(read_range(&client, word, &r) && r.first == good[i].first && r.last == good[i].last);
        CHECK(strcmp(r.word, good[i].word) == 0 && strcmp(complained(), "") == 0);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(word, sizeof word, "%s", bad[i]);
        if (!CHECK(!read_range(&client, word, &r)) || !CHECK(strstr(complained(), bad[i]) != NULL))
            printf("    %s\n", bad[i]);
    }
    client_end();
}

/* Reads the arguments of RETR where LIST says that 1, 2, 3, 5 and 8 are there. */
static void
try_numbers(const char *arguments, const char *expected, const char *asked, const char *complaint)
{
    client_begin();
    server_says("+OK\r\n1 10\r\n2 20\r\n3 30\r\n5 50\r\n8 80\r\n.\r\n");
    bool good = read_numbers(&client, arguments, false);
    if (!CHECK(good == (expected != NULL)) || !CHECK(strcmp(sent(), asked) == 0) ||
        !CHECK(!good || strcmp(spelled(&client.list), expected) == 0) || !CHECK(strstr(complained(), complaint) != NULL))
        printf("    RETR %s gives %s\n", arguments, spelled(&client.list));
    CHECK(client.failed == (expected == NULL));
    client_end();
}

static void
test_read_numbers(void)
{
    const char *list = "LIST\r\n", *nothing = "";

    try_numbers("1", "1 ", nothing, "");
    try_numbers("3 1 2", "3 1 2 ", nothing, "");
    try_numbers("3 1 3\t3  1", "3 1 ", nothing, "");
    try_numbers("9", "9 ", nothing, "");                /* the server's to refuse */
    try_numbers("*", "1 2 3 5 8 ", list, "");
    try_numbers("8 *", "8 1 2 3 5 ", list, "");
    try_numbers("1-3 2-5", "1 2 3 5 ", list, "");
    try_numbers("5-8 1-2", "5 8 1 2 ", list, "");
    try_numbers("8-8", "8 ", list, "");
    try_numbers("7-9", NULL, list, "past the last message, which is 8");
    try_numbers("1-4294967295", NULL, list, "past the last message");
    try_numbers("99999999999", "99999999999 ", nothing, "");
    try_numbers("1,3", NULL, nothing, "a list is written 1 3 5-9");
    try_numbers("1..3", NULL, nothing, "a list is written 1 3 5-9");
    try_numbers("3-2", NULL, nothing, "backwards");
    try_numbers("1 3-2", NULL, nothing, "backwards");
    try_numbers("0-2", NULL, nothing, "invalid message number");
    try_numbers("1 x", NULL, nothing, "invalid message number");
    try_numbers("1 **", NULL, nothing, "invalid message number");
    try_numbers("1 2\033[31m", NULL, nothing, "2^[[31m");
}

/* The lines behind LIST's status line. */
static void
try_list_bytes(const char *text, size_t length, const char *expected, const char *octets)
{
    char sizes[256] = "";

    client_begin();
    server_says_all("+OK\r\n", 5);
    server_says_all(text, length);
    CHECK(ask_list(&client) && client.listed && strcmp(sent(), "LIST\r\n") == 0);
    server_says_all("+OK\r\n", 5);
    server_says_all(text, length);
    CHECK(read_numbers(&client, "*", false));
    for (size_t i = 0; i < client.count; i++)
        if (client.messages[i].listed)
            sprintf(sizes + strlen(sizes), "%" PRIu64 " ", client.messages[i].octets);
    if (!CHECK(strcmp(spelled(&client.list), expected) == 0) || !CHECK(strcmp(sizes, octets) == 0))
        printf("    %s: numbers %s, octets %s\n", text, spelled(&client.list), sizes);
    client_end();
}

static void
try_list(const char *text, const char *expected, const char *octets)
{
    try_list_bytes(text, strlen(text), expected, octets);
}

static void
test_list(void)
{
    static const char with_nul[] = "1 10\r\n2 20\0x\r\n3\0 30\r\n4 40\r\n.\r\n";

    try_list("1 120\r\n2 0\r\n10 99999999999\r\n.\r\n", "1 2 10 ", "120 0 99999999999 ");
    try_list(".\r\n", "", "");
    try_list("3 30\r\n1 10\r\n3 31\r\n.\r\n", "1 3 ", "10 31 ");
    try_list("1 120 and more\r\n2 3x\r\n.\r\n", "1 ", "120 ");
    try_list("0 1\r\n4294967296 1\r\n99999999999999999999999 1\r\n5 1\r\n.\r\n", "5 ", "1 ");
    try_list("\r\n\r\nx\r\nx 1\r\n- 1\r\n7 70\r\n.\r\n", "7 ", "70 ");
    try_list("1\r\n2 \r\n3 x\r\n4 -1\r\n5 18446744073709551616\r\n.\r\n", "", "");
    try_list("1  120\r\n2\t30\r\n.\r\n", "1 2 ", "120 30 ");
    try_list("1 120\n2 30\n.\n", "1 2 ", "120 30 ");          /* a test server: LF alone */
    try_list_bytes(with_nul, sizeof with_nul - 1, "1 4 ", "10 40 ");

    client_begin();             /* more messages than the client keeps in mind */
    server_says("+OK\r\n1 10\r\n2000001 10\r\n.\r\n");
    CHECK(!ask_list(&client) && !client.listed && strstr(complained(), "above 2000000") != NULL);
    client_end();
}

/* A server may list its messages in any order. Backwards takes no longer. */
static void
test_list_backwards(void)
{
    enum { COUNT = 300000 };
    struct text list = {0};
    pid_t pid;

    text_puts(&list, "+OK\r\n");
    for (int n = COUNT; n > 0; n--)
        text_printf(&list, "%d 10\r\n", n);
    text_puts(&list, ".\r\n");
    client_begin();
    if ((pid = fork()) == 0) {
        server_says_all(list.bytes, list.length);
        _exit(0);
    }
    CHECK(read_numbers(&client, "*", false));
    CHECK(client.list.count == COUNT && client.list.number[0] == 1
          && client.list.number[COUNT - 1] == COUNT && client.list.octets == 10 * COUNT);
    waitpid(pid, NULL, 0);
    text_free(&list);
    client_end();
}

static void
test_capabilities(void)
{
    static const struct { const char *lines; bool pipelining; int top; } answers[] = {
        {"+OK\r\nTOP\r\nPIPELINING\r\nUIDL\r\n.\r\n", true, TOP_YES},
        {"+OK\r\npipelining\r\n.\r\n", true, TOP_NO},
        {"+OK\r\n.\r\n", false, TOP_NO},
        {"+OK\r\nPIPELININ\r\nTOPS\r\n.\r\n", false, TOP_NO},
        {"+OK\r\nPIPELININGS\r\n.\r\n", false, TOP_NO},
        {"+OK\r\nXPIPELINING\r\nTOP\r\n.\r\n", false, TOP_YES},
        {"+OK\r\nIMPLEMENTATION PIPELINING TOP\r\n.\r\n", false, TOP_NO},
        {"+OK\nTOP\nPIPELINING\n.\n", true, TOP_YES},
        {"-ERR what?\r\n", false, TOP_UNKNOWN},    /* an older server may have TOP */
    };

    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        client_begin();
        server_says(answers[i].lines);
        ask_capabilities(&client);
        ask_capabilities(&client);
        CHECK(strcmp(sent(), "CAPA\r\n") == 0);        /* asked once */
        if (!CHECK(client.pipelining == answers[i].pipelining && (int)client.top == answers[i].top))
            printf("    %s", answers[i].lines);
        CHECK(!client.failed && strcmp(complained(), "") == 0 && strcmp(shown(), "") == 0);
        client_end();
    }
}

/* Passwords are not shown, in whatever command they are. */
static void
test_sent(void)
{
    static const struct { const char *line, *shown; } lines[] = {
        {"USER ann", "> USER ann\n"}, {"PASS geheim", "> PASS ***\n"}, {"pass a b", "> pass ***\n"},
        {"PASS", "> PASS\n"}, {"AUTH PLAIN Zm9v", "> AUTH PLAIN ***\n"}, {"AUTH", "> AUTH\n"},
        {"AUTH PLAIN", "> AUTH PLAIN\n"}, {"XTND \033", "> XTND ^[\n"},
    };

    test_settings.verbose = true;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        client_begin();
        send_line(&client, lines[i].line);
        if (!CHECK(strcmp(shown(), lines[i].shown) == 0))
            printf("    %s: %s\n", lines[i].line, shown());
        client_end();
    }
    client_begin();             /* what answers a "+ " may be a password */
    client.continued = true;
    send_line(&client, "Z2VoZWlt");
    CHECK(strcmp(shown(), "> ***\n") == 0 && strcmp(sent(), "Z2VoZWlt\r\n") == 0);
    client_end();
    test_settings.verbose = false;
}

/* No byte that a terminal may take for a control of the upper half leaves, whatever it stands for. */
static void
test_ascii_terminal(void)
{
    static const char line[] = "+OK \xc3\x9b \xc2\x9b \x9b \xe4\xbd\x9b \xc5\x85";

    client_begin();
    client.utf8 = false;
    print_status(&client, line, strlen(line));
    print_bytes(&client, string_span(line));
    print_line(&client, "%s", line);
    fail(&client, "%s", line);
    CHECK(strncmp(shown(), "+OK ? \\u009b \\x9b ?? ?\n", 23) == 0);
    for (const char *at = shown(); *at != '\0'; at++)
        CHECK((*at & 0x80) == 0);
    for (const char *at = complained(); *at != '\0'; at++)
        CHECK((*at & 0x80) == 0);
    client_end();
}

/* A message of the client has a row of its own. */
static void
test_own_row(void)
{
    client_begin();
    print_bytes(&client, string_span("no line"));
    print_bytes(&client, string_span(" end"));
    print_line(&client, "a line");
    print_line(&client, "another");
    CHECK(strcmp(shown(), "no line end\na line\nanother\n") == 0);
    client_end();
}

static void
test_progress(void)
{
    clock_stands = true;
    client_begin();
    client.editing = true;
    progress_begin(&client, 10, 100000);
    client.progress.octets = 25000;
    progress_paint(&client);
    CHECK(client.row == ROW_FREE && strcmp(content(screen_file), "") == 0);     /* it is early */
    client.progress.began -= 60000;
    client.progress.messages = 3;
    progress_paint(&client);
    CHECK(client.row == ROW_LINE);
    CHECK(strncmp(content(screen_file), "3 of 10, 25 kB of 100 kB, 41", 28) == 0);
    CHECK(strstr(content(screen_file), " B/s, 3:00 left") != NULL);
    size_t length = strlen(content(screen_file));
    progress_paint(&client);
    CHECK(strlen(content(screen_file)) == length);      /* not painted again at once */
    progress_end(&client);
    wire_flush(&client.screen);
    CHECK(client.row == ROW_FREE && strcmp(content(screen_file) + length, "\r\033[J") == 0);
    client_end();

    client_begin();             /* nothing comes any more */
    client.editing = true;
    progress_begin(&client, 1, 100000);
    client.progress.octets = 50000;
    client.progress.began -= 60000;
    client.server.idle_until = noted_clock() + client.server.idle_ms - 1900;
    progress_paint(&client);
    CHECK(strcmp(content(screen_file), "50 kB of 100 kB, 833 B/s, 1:00 left") == 0);
    client.server.idle_until -= 100;
    client.progress.painted = 0;
    progress_paint(&client);
    CHECK(strcmp(shown(), "50 kB of 100 kB, 833 B/s, 1:00 left\r\033[J50 kB of 100 kB, stalled\r\033[J") == 0);
    client_end();

    client_begin();             /* a pipe gets none */
    progress_begin(&client, 1, 0);
    client.progress.began -= 60000;
    progress_paint(&client);
    progress_end(&client);
    CHECK(strcmp(shown(), "") == 0);
    client_end();
    clock_stands = false;
}

/* ---- Saving a message --------------------------------------------------------------------------------- */

static char test_directory[PATH_MAX];
static char own_path[PATH_MAX];  /* this one */

/* Makes an empty directory and goes there. */
static void
enter(void)
{
    const char *base = getenv("TMPDIR");

    snprintf(test_directory, sizeof test_directory, "%s/unit-client.XXXXXX", base != NULL ? base : "/tmp");
    if (mkdtemp(test_directory) == NULL || chdir(test_directory) != 0) {
        perror(test_directory);
        exit(2);
    }
}

static void
leave(void)
{
    char command[PATH_MAX + 16];

    snprintf(command, sizeof command, "rm -rf '%s'", test_directory);
    CHECK(chdir("/") == 0 && system(command) == 0);
}

static void
put_file(const char *name, const char *text)
{
    FILE *file = fopen(name, "w");

    CHECK(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

static bool
file_is(const char *name, const char *text)
{
    char have[256] = "";
    FILE *file = fopen(name, "r");
    size_t length = file != NULL ? fread(have, 1, sizeof have - 1, file) : 0;

    if (file == NULL)
        return false;
    fclose(file);
    return length == strlen(text) && memcmp(have, text, length) == 0;
}

/* The names in a directory, hidden ones included, sorted, with a blank behind each. */
static const char *
names_in(const char *path)
{
    static char text[1024];
    struct dirent **list;
    int count = scandir(path, &list, NULL, alphasort);

    text[0] = '\0';
    for (int i = 0; i < count; i++) {
        if (strcmp(list[i]->d_name, ".") != 0 && strcmp(list[i]->d_name, "..") != 0)
            strcat(strcat(text, list[i]->d_name), " ");
        free(list[i]);
    }
    if (count >= 0)
        free(list);
    return count < 0 ? "none" : text;
}

/* Writes a piece of a message, as receive_message() does. */
static void
save_piece(struct download *s, struct span piece)
{
    if (s->error == 0 && !write_all(s->file, piece))
        s->error = errno;
}

/* Saves a message in two pieces. Returns its name, with "had " before it, or why it is not saved. */
static const char *
save(const char *directory, uint32_t number, const char *text)
{
    static char result[256];
    struct download *s = &client.batch.list[0];
    const char *half = text + strlen(text) / 2;

    client_begin();
    test_settings.directory = directory;
    save_begin(&client);
    save_open(&client.batch, s, directory, number);
    save_piece(s, (struct span){text, half});
    save_piece(s, (struct span){half, half + strlen(half)});
    client.batch.count = 1;
    save_end(&client);
    if (s->error == 0)
        snprintf(result, sizeof result, "%s%s", s->already ? "had " : "", s->name);
    else
        snprintf(result, sizeof result, "%s", strerror(s->error));
    client_end();
    return result;
}

static bool
saves(const char *directory, uint32_t number, const char *text, const char *expected)
{
    const char *result = save(directory, number, text);

    if (strcmp(result, expected) != 0)
        printf("    %s, not %s\n", result, expected);
    return strcmp(result, expected) == 0;
}

static void
test_save(void)
{
    struct stat status;
    mode_t before = umask(0);

    enter();
    CHECK(saves("inbox", 1, "text\n", "1.eml"));
    CHECK(stat("inbox", &status) == 0 && (status.st_mode & 07777) == 0700);
    CHECK(stat("inbox/1.eml", &status) == 0 && (status.st_mode & 07777) == 0600);
    CHECK(file_is("inbox/1.eml", "text\n"));
    CHECK(saves("inbox", 2, "", "2.eml") && file_is("inbox/2.eml", ""));
    CHECK(saves("inbox", UINT32_MAX, "x", "4294967295.eml"));
    CHECK(strcmp(names_in("inbox"), "1.eml 2.eml 4294967295.eml ") == 0);
    CHECK(saves("a/b//c", 7, "x", "7.eml") && file_is("a/b/c/7.eml", "x"));     /* with its parents */
    CHECK(stat("a/b", &status) == 0 && (status.st_mode & 07777) == 0700);
    umask(0277);
    CHECK(saves("inbox", 3, "x", "3.eml"));
    CHECK(stat("inbox/3.eml", &status) == 0 && (status.st_mode & 07777) == 0400);
    umask(before);
    leave();
}

static void
test_save_free_name(void)
{
    enter();
    CHECK(saves("inbox", 1, "one\n", "1.eml"));
    CHECK(saves("inbox", 1, "two\n", "1-1.eml"));
    CHECK(saves("inbox", 1, "three\n", "1-2.eml"));
    CHECK(saves("inbox", 1, "two\n", "had 1-1.eml"));
    CHECK(saves("inbox", 1, "one\n", "had 1.eml"));
    CHECK(unlink("inbox/1-1.eml") == 0 && saves("inbox", 1, "four\n", "1-1.eml"));
    CHECK(saves("inbox", 1, "", "1-3.eml") && saves("inbox", 1, "", "had 1-3.eml"));
    CHECK(file_is("inbox/1.eml", "one\n") && file_is("inbox/1-1.eml", "four\n") && file_is("inbox/1-2.eml", "three\n"));
    CHECK(strcmp(names_in("inbox"), "1-1.eml 1-2.eml 1-3.eml 1.eml ") == 0);
    leave();
}

/* Large messages that differ in their last octet only, or in their length. */
static void
test_save_large(void)
{
    enum { LARGE = 50 * 1000 };
    char *text = malloc(LARGE + 1);

    if (text == NULL)
        exit(2);
    memset(text, 'x', LARGE);
    text[LARGE] = '\0';
    enter();
    CHECK(saves("inbox", 1, text, "1.eml") && saves("inbox", 1, text, "had 1.eml"));
    text[LARGE - 1] = 'y';
    CHECK(saves("inbox", 1, text, "1-1.eml"));
    text[LARGE - 1] = '\0';
    CHECK(saves("inbox", 1, text, "1-2.eml"));
    leave();
    free(text);
}

/* What stands in the way is left alone, whatever it is. */
static void
test_save_in_the_way(void)
{
    char name[64];

    enter();
    CHECK(mkdir("inbox", 0700) == 0);
    put_file("outside", "text\n");
    CHECK(symlink("../outside", "inbox/1.eml") == 0);
    CHECK(saves("inbox", 1, "text\n", "1-1.eml") && file_is("outside", "text\n"));
    CHECK(symlink("../nothing", "inbox/2.eml") == 0);
    CHECK(saves("inbox", 2, "text\n", "2-1.eml") && access("nothing", F_OK) != 0);
    CHECK(mkfifo("inbox/3.eml", 0600) == 0 && saves("inbox", 3, "text\n", "3-1.eml"));
    CHECK(mkdir("inbox/4.eml", 0700) == 0 && saves("inbox", 4, "text\n", "4-1.eml"));
    snprintf(name, sizeof name, "inbox/.5.%ld-0", (long)getpid());
    CHECK(symlink("../outside", name) == 0);            /* and where it is kept until it is complete */
    CHECK(saves("inbox", 5, "more\n", "5.eml") && file_is("outside", "text\n"));
    CHECK(symlink("inbox", "link") == 0 && saves("link", 6, "text\n", "6.eml") && file_is("inbox/6.eml", "text\n"));
    leave();
}

static void
test_save_nowhere(void)
{
    struct download *s = &client.batch.list[0];

    enter();
    put_file("file", "text\n");
    CHECK(saves("file", 1, "text\n", strerror(ENOTDIR)) && file_is("file", "text\n"));
    CHECK(saves("file/such", 1, "text\n", strerror(ENOTDIR)));
    CHECK(saves("", 1, "text\n", strerror(ENOENT)));
    CHECK(symlink("nothing", "link") == 0 && saves("link", 1, "text\n", strerror(ENOENT)));
    CHECK(strcmp(names_in("."), "file link ") == 0);
    if (geteuid() != 0) {
        CHECK(mkdir("shut", 0500) == 0 && saves("shut", 1, "text\n", strerror(EACCES)));
        CHECK(strcmp(names_in("shut"), "") == 0);
    }

    client_begin();                                     /* the directory goes while the message comes */
    save_begin(&client);
    save_open(&client.batch, s, "inbox", 1);
    save_piece(s, string_span("text\n"));
    CHECK(unlinkat(client.batch.directory, s->temporary, 0) == 0 && rmdir("inbox") == 0);
    client.batch.count = 1;
    save_end(&client);
    CHECK(s->error == ENOENT && client.failed);
    client_end();
    leave();
}

/* The disk is full in the middle of a message: it has no file, and the error is the one that was met. */
static void
test_save_full(void)
{
    struct rlimit before, small;
    char text[5001];
    int full;

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    signal(SIGXFSZ, SIG_IGN);
    enter();
    getrlimit(RLIMIT_FSIZE, &before);
    small = (struct rlimit){.rlim_cur = 3000, .rlim_max = before.rlim_max};
    fflush(stdout);
    setrlimit(RLIMIT_FSIZE, &small);
    const char *result = save("inbox", 1, text);
    bool small_one = strcmp(save("inbox", 2, "text\n"), "2.eml") == 0;
    const char *large_one = save("inbox", 3, text);
    setrlimit(RLIMIT_FSIZE, &before);
    CHECK(strcmp(result, strerror(EFBIG)) == 0 && small_one && strcmp(large_one, strerror(EFBIG)) == 0);
    CHECK(strcmp(names_in("inbox"), "2.eml ") == 0);

    if ((full = open("/dev/full", O_RDWR)) >= 0) {
        struct download *s = &client.batch.list[0];

        client_begin();
        save_begin(&client);
        save_open(&client.batch, s, "inbox", 4);
        close(s->file);
        s->file = full;
        save_piece(s, (struct span){text, text + 5000});
        CHECK(s->error == ENOSPC);
        save_piece(s, (struct span){text, text + 5000});        /* the rest is only read */
        client.batch.count = 1;
        save_end(&client);
        CHECK(s->error == ENOSPC && strcmp(names_in("inbox"), "2.eml ") == 0);
        client_end();
    }
    leave();
}

/* Receives the messages from 1 to count, whose content is their number. */
static struct download *
receive_several(size_t count, const char *path)
{
    client_begin();
    test_settings.directory = path;
    save_begin(&client);
    for (size_t i = 0; i < count; i++) {
        char digit = (char)('1' + i);

        save_open(&client.batch, &client.batch.list[i], path, i + 1);
        save_piece(&client.batch.list[i], (struct span){&digit, &digit + 1});
    }
    client.batch.count = count;
    memset(on_disk, 0, sizeof on_disk);
    return client.batch.list;
}

/* Several are on disk before the first has its name, and what happens to one happens to no other. */
static void
test_save_several(void)
{
    struct download *list;

    enter();
    list = receive_several(3, "inbox");
    CHECK(strncmp(names_in("inbox"), ".1.", 3) == 0 && strstr(names_in("inbox"), "eml") == NULL);
    save_end(&client);
    CHECK(strcmp(on_disk, "fffllld") == 0);
    CHECK(list[0].error == 0 && list[1].error == 0 && list[2].error == 0);
    CHECK(strcmp(names_in("inbox"), "1.eml 2.eml 3.eml ") == 0 && file_is("inbox/3.eml", "3"));
    client_end();

    put_file("inbox/1.eml", "another");
    CHECK(unlink("inbox/3.eml") == 0);
    list = receive_several(3, "inbox");
    save_end(&client);
    CHECK(!list[0].already && list[1].already && !list[2].already);
    CHECK(strcmp(on_disk, "ffflllfld") == 0);     /* the file that was there already, too */
    CHECK(strcmp(names_in("inbox"), "1-1.eml 1.eml 2.eml 3.eml ") == 0 && file_is("inbox/1-1.eml", "1"));
    client_end();

    list = receive_several(3, "other");
    list[1].error = ENOSPC;
    save_end(&client);
    CHECK(list[0].error == 0 && list[1].error == ENOSPC && list[2].error == 0);
    CHECK(strcmp(names_in("other"), "1.eml 3.eml ") == 0);
    client_end();
    leave();
}

/* The parent of a new directory is written to disk as well, or the directory is not there. */
static void
test_save_new_directory(void)
{
    enter();
    memset(on_disk, 0, sizeof on_disk);
    CHECK(saves("inbox", 1, "x", "1.eml") && strcmp(on_disk, "dfld") == 0);
    memset(on_disk, 0, sizeof on_disk);
    CHECK(saves("a/b", 1, "x", "1.eml") && strcmp(on_disk, "ddfld") == 0);
    disk_refuses = 'd';
    CHECK(saves("new", 1, "x", strerror(EIO)) && access("new", F_OK) != 0);
    disk_refuses = 0;
    leave();
}

/* What the disk does not take is not called saved, and has no name. What was there before keeps it. */
static void
test_save_refused(void)
{
    static const struct { char refused; const char *in_order; } cases[] = {{'f', "ff"}, {'l', "fflll"}, {'d', "ffllld"}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct download *list;

        enter();
        CHECK(mkdir("inbox", 0700) == 0);
        put_file("inbox/1.eml", "another");
        list = receive_several(2, "inbox");
        disk_refuses = cases[i].refused;
        save_end(&client);
        disk_refuses = 0;
        CHECK(strcmp(on_disk, cases[i].in_order) == 0);
        CHECK(list[0].error == EIO && list[1].error == EIO);
        CHECK(strstr(shown(), "saved") == NULL);
        CHECK(strcmp(names_in("inbox"), "1.eml ") == 0 && file_is("inbox/1.eml", "another"));
        client_end();
        leave();
    }
}

/* Phones, shared folders, FAT: no links, and no rename that cannot overwrite. Names are reserved there. */
static void
test_save_without_links(void)
{
    static const int errors[] = {EPERM, EACCES, EXDEV, EMLINK, ENOSYS, EOPNOTSUPP};

    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        enter();
        no_links = errors[i];
        CHECK(saves("inbox", 1, "one\n", "1.eml") && saves("inbox", 1, "two\n", "1-1.eml"));
        CHECK(saves("inbox", 1, "one\n", "had 1.eml") && file_is("inbox/1.eml", "one\n"));
        CHECK(strcmp(names_in("inbox"), "1-1.eml 1.eml ") == 0);
        no_links = 0;
        leave();
    }
}

/* A file gets a new name, and never that of another. A directory, which can have no link, is renamed. */
static void
test_rename_new(void)
{
    int here;

    enter();
    here = open(".", O_RDONLY | O_DIRECTORY);
    put_file("a", "a\n");
    put_file("b", "b\n");
    CHECK(!rename_new(here, "a", "b") && errno == EEXIST && file_is("b", "b\n") && file_is("a", "a\n"));
    CHECK(rename_new(here, "a", "c") && file_is("c", "a\n"));
    CHECK(!rename_new(here, "none", "d") && errno == ENOENT);
#ifdef SYS_renameat2
    CHECK(mkdir("directory", 0700) == 0);
    CHECK(!rename_new(here, "directory", "b") && errno == EEXIST && file_is("b", "b\n"));
    CHECK(rename_new(here, "directory", "moved"));
    CHECK(strcmp(names_in("."), "b c moved ") == 0);
#endif
    close(here);
    leave();
}

/* Names and content that are the same, seen by the function that compares. */
static void
test_same_content(void)
{
    int here, file;

    enter();
    here = open(".", O_RDONLY | O_DIRECTORY);
    put_file("a", "text\n");
    put_file("b", "text\n");
    put_file("c", "texT\n");
    put_file("d", "text\nx");
    put_file("empty", "");
    put_file("void", "");
    CHECK(symlink("b", "link") == 0 && mkfifo("fifo", 0600) == 0);
    file = open("a", O_RDONLY);
    CHECK(same_content(here, "a", file) && same_content(here, "b", file));
    CHECK(!same_content(here, "c", file) && !same_content(here, "d", file) && !same_content(here, "empty", file));
    CHECK(!same_content(here, "link", file) && !same_content(here, "fifo", file) && !same_content(here, ".", file));
    CHECK(!same_content(here, "none", file));
    close(file);
    file = open("empty", O_RDONLY);
    CHECK(same_content(here, "void", file) && !same_content(here, "a", file));
    close(file);
    close(here);
    leave();
}

/* ---- Giving things up --------------------------------------------------------------------------------- */

/* Says why the rest of these cannot be tested here, NULL if it can. */
static const char *
no_confinement(void)
{
#ifndef SECCOMP_ARCH
    return "the kernel's headers know too little, or a sanitizer makes calls of its own";
#else
    if (syscall(SYS_landlock_create_ruleset, NULL, 0L, (long)LANDLOCK_CREATE_RULESET_VERSION) < 1)
        return "the kernel has no Landlock";
    return prctl(PR_GET_SECCOMP, 0L, 0L, 0L, 0L) != 0 ? "the kernel has no filters of system calls" : NULL;
#endif
}

/* Tries what changes files in a directory that holds a, b and c. Adds a letter for each that succeeds. */
static void
try_files(char *done)
{
    char *end = done + strlen(done);

    *end = open("a", O_WRONLY) >= 0 ? 'w' : '-';
    *++end = open("new", O_RDWR | O_CREAT | O_EXCL, 0600) >= 0 ? 'c' : '-';
    *++end = link("a", "link") == 0 ? 'l' : '-';
    *++end = rename("a", "renamed") == 0 ? 'm' : '-';
    *++end = unlink("b") == 0 ? 'u' : '-';
    *++end = mkdir("directory", 0700) == 0 ? 'd' : '-';
    *++end = symlink("a", "symbolic") == 0 ? 's' : '-';
    *++end = open("c", O_RDONLY) >= 0 ? 'r' : '-';
    *++end = ' ';
    *++end = '\0';
}

/*
 * The same for what has to do with others: sockets, connect() with one from before, to a port that listens; a
 * signal for the parent, sent or asked of the pipe, a process, the memory of the parent, and a program.
 */
static void
try_others(char *done, pid_t parent, int fd, const struct sockaddr_in *address)
{
    char *end = done + strlen(done), *const echo[] = {"sh", "-c", "echo executed", NULL}, memory[64];
    pid_t pid;

    *end = socket(AF_INET, SOCK_STREAM, 0) >= 0 ? 't' : '-';
    *++end = socket(AF_INET, SOCK_DGRAM, 0) >= 0 ? 'g' : '-';
    *++end = socket(AF_UNIX, SOCK_STREAM, 0) >= 0 ? 'u' : '-';
    *++end = connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 ? 'c' : '-';
    *++end = kill(parent, 0) == 0 || fcntl(STDOUT_FILENO, F_SETOWN, parent) == 0 ? 'k' : '-';
    if ((pid = fork()) == 0)
        _exit(0);
    *++end = pid > 0 ? 'f' : '-';
    snprintf(memory, sizeof memory, "/proc/%ld/mem", (long)parent);
    *++end = open(memory, O_RDONLY) >= 0 ? 'p' : '-';
    *++end = '\0';
    if (write(STDOUT_FILENO, done, strlen(done)) < 0)
        _exit(1);
    execv("/bin/sh", echo);
    _exit(2);
}

/* Runs all that in a process that gave things up. Returns the letters. */
static const char *
try_confined(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    static char done[256];
    int listener = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0), pipes[2], status;
    ssize_t length = 0, count;
    pid_t parent = getpid(), pid;

    if (bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) != 0 || pipe(pipes) != 0)
        return "no socket to try it with";
    put_file("a", "text\n");
    put_file("b", "text\n");
    put_file("c", "text\n");
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        dup2(pipes[1], STDOUT_FILENO);
        done[0] = '\0';
        dup2(fd, STDIN_FILENO);
        sandbox_decoder();      /* which leaves nothing else open */
        fd = STDIN_FILENO;
        strcat(done, fcntl(STDERR_FILENO, F_GETFD) >= 0 || fcntl(listener, F_GETFD) >= 0 ? "open " : "");
        try_files(done);
        strcat(done, iconv_open("UTF-8", "KOI8-R") != (iconv_t)-1 ? "iconv " : "");
        char *volatile much = malloc(DECODER_MEMORY), *volatile little = malloc(DECODER_MEMORY / 16);
        strcat(done, much != NULL ? "much " : little != NULL ? "memory " : "");
        free(much);
        free(little);
        try_others(done, parent, fd, &address);
    }
    close(pipes[1]);
    while ((count = read(pipes[0], done + length, sizeof done - 1 - (size_t)length)) > 0)
        length += count;
    done[length] = '\0';
    close(pipes[0]);
    close(listener);
    close(fd);
    waitpid(pid, &status, 0);
    return done;
}

static bool
confined(const char *expected)
{
    const char *done;

    enter();
    done = try_confined();
    if (strcmp(done, expected) != 0)
        printf("    can: %s\n", done);
    leave();
    return strcmp(done, expected) == 0;
}

/* Says whether this C library finds a charset that is not its own. */
static bool
has_charsets(void)
{
    iconv_t charset = iconv_open("UTF-8", "KOI8-R");

    if (charset == (iconv_t)-1)
        return false;
    iconv_close(charset);
    return true;
}

/* Reading and memory remain, and the one descriptor to write to. */
static void
test_display_confined(void)
{
    CHECK(confined(has_charsets() ? "-------r iconv memory -------" : "-------r memory -------"));
}

/* SHOW of a message with a charset. */
static void
show_one(void)
{
    server_says("+OK\r\nContent-Type: text/plain; charset=koi8-r\r\n\r\n\301 letter\r\n.\r\n");
    show_answered(&client, 1);
}

/* Says whether that message was shown, as far as its charset is known here, and the session goes on. */
static bool
one_is_shown(void)
{
    return strstr(shown(), has_charsets() ? "\n\xd0\xb0 letter\n" : "\n\\xc1 letter\n") != NULL && !client.over;
}

/*
 * While a person reads in the pager, NOOP is sent, and a Ctrl-C there is no reason to stop that. The
 * pager of this test ends when the server has got one.
 */
static void
test_pager_keeps_alive(void)
{
    const struct sigaction note = {.sa_handler = note_signal};
    struct text page = {NULL, 0, 0};
    char text[16] = "";
    int pipes[2];
    pid_t pid;

    client_begin();
    enter();
    client.noop_ms = 10;
    sigaction(SIGINT, &note, NULL);
    CHECK(pipe(pipes) == 0);
    if ((pid = fork()) == 0) {          /* the server */
        ssize_t length;

        while (wait_ready(&server_end, 1, false, WAIT_FOREVER) <= 0)
            continue;
        length = read(server_end, text, 6);

        if (write(pipes[1], text, (size_t)(length > 0 ? length : 0)) >= 0)
            put_file("done", "");
        _exit(0);
    }
    setenv("PAGER", "kill -INT $PPID; until test -e done; do :; done", 1);
    text_puts(&page, "text\n");
    CHECK(run_pager(&client, &page));
    unsetenv("PAGER");
    CHECK(read(pipes[0], text, 6) == 6 && strncmp(text, "NOOP\r\n", 6) == 0);
    CHECK(client.server.error == 0 && interrupted == 0 && !client.over);
    waitpid(pid, NULL, 0);
    signal(SIGINT, SIG_DFL);
    close(pipes[0]);
    close(pipes[1]);
    leave();
    client_end();
}

/* Whatever becomes of who decodes a message: it is said, and the session goes on. */
static void
test_decoder_crashes(void)
{
    client_begin();
    decoding = IT_CRASHES;
    show_one();
    CHECK(client.failed && !client.over && strstr(complained(), "client: the display ") != NULL);
    decoding = ALL_IS_WELL;
    show_one();
    CHECK(one_is_shown());
    client_end();
}

/* ^C ends it. */
static void
test_decoder_hangs(void)
{
    const struct itimerval soon = {.it_value = {.tv_usec = 30 * 1000}}, never = {{0, 0}, {0, 0}};
    const struct sigaction note = {.sa_handler = note_signal};

    client_begin();
    client.at_terminal = true;
    sigaction(SIGALRM, &note, NULL);
    decoding = IT_NEVER_ENDS;
    setitimer(ITIMER_REAL, &soon, NULL);
    show_one();
    if (!CHECK(interrupted == SIGALRM && strcmp(complained(), "") == 0))
        printf("signal %d, said: %s\n", (int)interrupted, complained());
    CHECK(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);   /* it is no more */
    setitimer(ITIMER_REAL, &never, NULL);
    interrupted = 0;
    decoding = ALL_IS_WELL;
    signal(SIGALRM, SIG_DFL);
    show_one();
    CHECK(one_is_shown());
    client_end();
}

/* What cannot be had from it is missed. */
static void
test_decoder_unread(void)
{
    client_begin();
    decoding = IT_CANNOT_BE_READ;
    show_one();
    CHECK(client.failed && !client.over &&
          strcmp(complained(), "client: the display is not complete: Is a directory\n") == 0);
    CHECK(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
    decoding = ALL_IS_WELL;
    show_one();
    CHECK(one_is_shown());
    client_end();
}

/* HEADERS says so, and lists nothing that it does not know. */
static void
test_headers_crash(void)
{
    struct text page = {NULL, 0, 0};

    enter();
    client_begin();
    temporary_files = ".";
    decoding = IT_CRASHES;
    client.headers = private_file(test_settings.directory);
    message_at(&client, 7)->listed = true;
    message_at(&client, 7)->octets = 120;
    server_says("+OK\r\nSubject: =?koi8-r?q?=C1?=\r\n.\r\n");
    header_answered(&client, 7);
    CHECK(!decode(&client, show_headers, client.headers, &page));
    CHECK(client.failed && strstr(complained(), "client: the display ") != NULL);
    CHECK(page.length == 0);
    text_free(&page);
    decoding = ALL_IS_WELL;
    CHECK(decode(&client, show_headers, client.headers, &page));
    CHECK(strcmp(page.bytes, "7\t\t\t\xd0\xb0\t120\n") == 0);
    text_free(&page);
    close(client.headers);
    temporary_files = "no/such";
    client_end();
    leave();
}

/* What it writes drives no terminal. */
static void
test_decoder_hostile(void)
{
    client_begin();
    decoding = IT_TURNS_HOSTILE;
    show_one();
    decoding = ALL_IS_WELL;
    CHECK(strstr(shown(), "^[]0;I own you^G") != NULL && strchr(shown(), '\033') == NULL &&
          strstr(shown(), "\xc2\x9b") == NULL);
    CHECK(no_confinement() != NULL || strstr(shown(), "confined") != NULL);
    client_end();
}

/* A whole session: the crash is said, the commands behind it are carried out. */
static void
test_crash_in_session(void)
{
    static const char server[] =
        "printf '+OK\\r\\n'\n"
        "read show; printf '+OK\\r\\nContent-Type: text/plain; charset=koi8-r\\r\\n\\r\\n\\301\\r\\n.\\r\\n'\n"
        "read stat; printf '+OK 1 2\\r\\n'\n"
        "read quit; printf '+OK bye\\r\\n'\n";
    static char text[64 * 1024];        /* a sanitizer has a lot to say */
    char command[2 * PATH_MAX];
    FILE *script;
    int status;

    enter();
    put_file("server", server);
    put_file("typed", "SHOW 1\nSTAT\nQUIT\n");
    snprintf(command, sizeof command, "'%s' client -x 'exec sh server' <typed 2>&1", own_path);
    script = popen(command, "r");
    if (CHECK(script != NULL)) {
        size_t length = fread(text, 1, sizeof text - 1, script);

        text[length] = '\0';
        status = pclose(script);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 1);
        if (!CHECK(strstr(text, "client: the display ") != NULL && strstr(text, "+OK 1 2\n+OK bye\n") != NULL))
            printf("    %s\n", text);
        }
    leave();
}

/* The user's locale tells what the terminal reads, and changes no comparison of words. */
static void
test_locale(void)
{
    static const struct settings none;
    static struct client other;

    setenv("LC_ALL", "C.UTF-8", 1);
    initialize(&other, &none, NULL);
    CHECK(other.utf8);
    CHECK(strcmp(setlocale(LC_CTYPE, NULL), "C") == 0);
    setenv("LC_ALL", "C", 1);
}

int
main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "client") == 0) {   /* as the whole program, with a decoder that crashes */
        decoding = IT_CRASHES;
        temporary_files = "/tmp";
        return client_main(argc - 1, argv + 1);
    }
    signal(SIGPIPE, SIG_IGN);
    if (realpath(argv[0], own_path) == NULL)
        return 2;
    unit_case("the user's locale", test_locale);
    unit_case("sizes for people", test_sizes);
    unit_case("what is a status", test_status);
    unit_case("status lines", test_read_status);
    unit_case("a signal at the end of the input", test_signal_at_the_end);
    unit_case("a server that ends its lines with LF alone", test_lf_alone);
    unit_case("a terminal that does not read UTF-8", test_eight_bit_terminal);
    unit_case("what the server says unasked", test_hear_server);
    unit_case("NOOP while a person thinks", test_idle);
    unit_case("a password that is typed", test_password_keys);
    unit_case("a password that is too long", test_long_passwords);
    unit_case("messages are found", test_messages);
    unit_case("ranges", test_ranges);
    unit_case("which messages a command means", test_read_numbers);
    unit_case("the lines of LIST", test_list);
    unit_case("a LIST that runs backwards", test_list_backwards);
    unit_case("what the server can do", test_capabilities);
    unit_case("lines that are sent, for -v", test_sent);
    unit_case("a terminal that cannot show more than ASCII", test_ascii_terminal);
    unit_case("lines that have no end", test_own_row);
    unit_case("progress", test_progress);
    unit_case("a message is saved", test_save);
    unit_case("a message gets a free name", test_save_free_name);
    unit_case("large messages that differ little", test_save_large);
    unit_case("what stands in the way of a message", test_save_in_the_way);
    unit_case("a message that cannot be saved", test_save_nowhere);
    unit_case("a message that does not fit", test_save_full);
    unit_case("several messages are saved together", test_save_several);
    unit_case("messages that the disk does not take", test_save_refused);
    unit_case("a name given without overwriting", test_rename_new);
    unit_case("file systems without links", test_save_without_links);
    unit_case("a new directory is on disk", test_save_new_directory);
    unit_case("files that are the same", test_same_content);
    unit_case("NOOP while a person reads", test_pager_keeps_alive);
    unit_case("the display crashes", test_decoder_crashes);
    unit_case("the display of HEADERS crashes", test_headers_crash);
    unit_case("the display hangs", test_decoder_hangs);
    unit_case("the display cannot be read", test_decoder_unread);
    unit_case("the display is in somebody else's hands", test_decoder_hostile);
    unit_case("a session in which the display crashes", test_crash_in_session);
    if (no_confinement() == NULL)
        unit_case("what the display gives up", test_display_confined);
    else
        printf("skip - what the display gives up: %s\n", no_confinement());
    return unit_status;
}
