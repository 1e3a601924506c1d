/*
 * relay_client.c - the client on a slow connection: commands pipelined, answers in pieces
 *
 * This program is the server. It collects what the client sends until nothing more comes, and only then
 * answers, all at once: a flight there and back. Flights are counted; no time is measured.
 */
#include "../../pop3.h"

#include "../unit/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/wait.h>

enum {
    PATIENCE = 60 * 1000,       /* milliseconds for what must come */
    SILENCE = 20,               /* milliseconds; then nothing more comes before an answer */
    SHORT_SILENCE = 1,          /* the same where nobody counts flights */
    AHEAD = 100                 /* commands that may be under way */
};

/* What kind of server this is, and what it saw. */
static struct server {
    int messages;
    bool pipelining;
    bool octet_by_octet;
    int refuses, breaks_off;    /* the message that is answered -ERR; the one that never comes whole */
    size_t break_at;            /* behind how many octets of its answer that happens */
    bool counts;                /* the flights are to be few */
    bool waits_unread;          /* until the client has sent all that it may, without reading any of it */

    int fd;
    size_t flights, most;       /* most commands that waited for an answer at once */
    size_t retr, dele, quit;
    bool bad;                   /* the client did what it must not */
} served;

static char client_path[PATH_MAX], directory[1024];

static void
give_up(const char *what)
{
    perror(what);
    exit(2);
}

/* Message n as it is sent: lines with dots, a CR alone, 8-bit octets. Returns its length. */
static size_t
message_wire(int n, char *out, size_t room)
{
    return (size_t)snprintf(out, room, "Subject: message %d\r\n\r\n..dot\r\n...\r\na\rb\r\n\xe9%.*s\r\n", n, n % 50,
                            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
}

/* The same as it is saved. */
static size_t
message_file(int n, char *out, size_t room)
{
    return (size_t)snprintf(out, room, "Subject: message %d\n\n.dot\n..\na\rb\n\xe9%.*s\n", n, n % 50,
                            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
}

static int
message_size(int n)
{
    char text[256];

    return (int)message_wire(n, text, sizeof text) - 2;     /* but for the two dots that are stuffed */
}

static bool
send_all(const char *text, size_t length)
{
    size_t piece = served.octet_by_octet ? 1 : length;

    for (size_t done = 0; done < length; done += piece)
        if (send(served.fd, text + done, length - done < piece ? length - done : piece, MSG_NOSIGNAL) < 0)
            return false;
    return true;
}

/* Puts the answer to a command behind what is there. Returns false when the connection is to end behind it. */
static bool
put_answer(char *out, size_t *length, size_t room, const char *command)
{
    char text[256];
    int n = 0;
    size_t start = *length;

#define PUT(...) (*length += (size_t)snprintf(out + *length, room - *length, __VA_ARGS__))
    if (strcmp(command, "CAPA") == 0) {
        PUT("+OK\r\nTOP\r\n%s.\r\n", served.pipelining ? "PIPELINING\r\n" : "");
    } else if (strcmp(command, "LIST") == 0) {
        PUT("+OK\r\n");
        for (n = 1; n <= served.messages; n++)
            PUT("%d %d\r\n", n, message_size(n));
        PUT(".\r\n");
    } else if (sscanf(command, "RETR %d", &n) == 1) {
        served.retr++;
        if (n == served.refuses) {
            PUT("-ERR it is gone\r\n");
            return true;
        }
        PUT("+OK %d octets\r\n", message_size(n));
        size_t size = message_wire(n, text, sizeof text);
        memcpy(out + *length, text, size);
        *length += size;
        PUT(".\r\n");
        if (n == served.breaks_off && start + served.break_at < *length) {
            *length = start + served.break_at;
            return false;
        }
    } else if (sscanf(command, "DELE %d", &n) == 1) {
        served.dele++;
        PUT("+OK marked\r\n");
    } else if (strcmp(command, "QUIT") == 0) {
        served.quit++;
        PUT("+OK bye\r\n");
        return false;
    } else {
        served.bad = true;
        PUT("-ERR what?\r\n");
    }
    return true;
#undef PUT
}

/* Waits until that many octets lie unread. */
static void
wait_unread(int octets)
{
    int unread = 0;

    for (int64_t limit = wire_clock() + PATIENCE; unread < octets && wire_clock() < limit; poll(NULL, 0, 1))
        ioctl(served.fd, FIONREAD, &unread);
    served.bad = served.bad || unread < octets;
}

/* Says whether message n was saved whole. */
static bool
saved(int n)
{
    char name[64], wanted[256], have[256];
    size_t length = message_file(n, wanted, sizeof wanted), got = 0;
    FILE *file;

    snprintf(name, sizeof name, "inbox/%d.eml", n);
    file = fopen(name, "r");
    if (file != NULL) {
        got = fread(have, 1, sizeof have, file);
        fclose(file);
    }
    return got == length && memcmp(have, wanted, length) == 0;
}

/* How many names there are in inbox, hidden ones included. */
static int
names(void)
{
    DIR *inbox = opendir("inbox");
    int count = 0;

    if (inbox == NULL)
        return 0;
    for (const struct dirent *entry; (entry = readdir(inbox)) != NULL;)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(inbox);
    return count;
}

/* Returns how many commands there are in a text. */
static int
count_commands(const char *text)
{
    int count = 0;

    for (; (text = strstr(text, "\r\n")) != NULL; text += 2)
        count++;
    return count;
}

/*
 * Returns for how many milliseconds nothing must come before the commands that have come are
 * answered. Where flights count, all that may be sent ahead is waited for, however slow the client.
 */
static int
silence(const char *commands)
{
    const int left = served.messages - (int)(served.retr + served.dele);
    const bool many = strncmp(commands, "RETR", 4) == 0 || strncmp(commands, "DELE", 4) == 0;

    if (!served.counts)
        return SHORT_SILENCE;
    if (served.pipelining && many && count_commands(commands) < (left < AHEAD ? left : AHEAD))
        return PATIENCE;
    return SILENCE;
}

/* Holds the session, flight by flight, until either side ends it. */
static void
serve(void)
{
    static char commands[64 * 1024], answers[256 * 1024];
    size_t have = 0;
    bool more = send_all("+OK hello\r\n", 11);

    while (more) {
        struct pollfd ready = {.fd = served.fd, .events = POLLIN};
        size_t outstanding = 0, length = 0;

        if (poll(&ready, 1, PATIENCE) <= 0)
            break;
        if (served.waits_unread && served.flights == 2) {       /* LIST and CAPA were answered */
            int octets = 0;
            for (int n = 1; n <= AHEAD; n++)
                octets += snprintf(NULL, 0, "RETR %d\r\n", n);
            wait_unread(octets);
        }
        while (poll(&ready, 1, silence(commands)) > 0) {
            ssize_t count = read(served.fd, commands + have, sizeof commands - 1 - have);

            if (count <= 0)
                return;
            have += (size_t)count;
            commands[have] = '\0';
        }

        char *line = commands, *end;
        for (; more && (end = strstr(line, "\r\n")) != NULL; line = end + 2) {
            *end = '\0';
            outstanding++;
            more = put_answer(answers, &length, sizeof answers, line);
        }
        outstanding += (size_t)count_commands(line);
        have -= (size_t)(line - commands);
        memmove(commands, line, have);
        commands[have] = '\0';
        served.flights++;
        if (outstanding > served.most)
            served.most = outstanding;
        if (!send_all(answers, length))
            break;
    }
}

/* Runs the client with a script, as the server that was described. Returns its exit status, -1 for a crash. */
static int
run_client(const char *script, struct server kind)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    const int on = 1;
    int listener = socket(AF_INET, SOCK_STREAM, 0), status = -1;
    char port[16], command[sizeof directory + 64];
    FILE *file;
    pid_t client;

    snprintf(command, sizeof command, "rm -rf '%s' && mkdir '%s'", "now", "now");
    if (chdir(directory) != 0 || system(command) != 0 || chdir("now") != 0)
        give_up(directory);
    file = fopen("script", "w");
    if (file == NULL || fputs(script, file) < 0 || fclose(file) != 0)
        give_up("script");
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) != 0)
        give_up("a port");
    snprintf(port, sizeof port, "%d", ntohs(address.sin_port));
    fflush(stdout);
    client = fork();
    if (client < 0)
        give_up("fork");
    if (client == 0) {
        alarm(PATIENCE / 1000);
        close(listener);
        dup2(open("script", O_RDONLY), STDIN_FILENO);
        dup2(open("output", O_WRONLY | O_CREAT | O_TRUNC, 0600), STDOUT_FILENO);
        dup2(open("errors", O_WRONLY | O_CREAT | O_TRUNC, 0600), STDERR_FILENO);
        execl(client_path, client_path, "127.0.0.1", port, (char *)NULL);
        _exit(126);
    }
    served = kind;
    served.fd = accept(listener, NULL, NULL);
    close(listener);
    setsockopt(served.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    serve();
    shutdown(served.fd, SHUT_WR);
    for (char rest[512]; read(served.fd, rest, sizeof rest) > 0;)
        ;
    close(served.fd);
    if (waitpid(client, &status, 0) != client || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

static bool
said(const char *name, const char *text)
{
    static char have[64 * 1024];
    FILE *file = fopen(name, "r");
    size_t length = file != NULL ? fread(have, 1, sizeof have - 1, file) : 0;

    if (file != NULL)
        fclose(file);
    have[length] = '\0';
    if (strstr(have, text) == NULL)
        printf("    %s does not say %s\n", name, text);
    return strstr(have, text) != NULL;
}

/* So many flights for 300 messages would be one each; sent ahead, they are a few. */
static void
test_ahead(void)
{
    CHECK(run_client("RETR *\nQUIT\n", (struct server){.messages = 300, .pipelining = true, .counts = true}) == 0);
    CHECK(!served.bad && served.retr == 300 && served.quit == 1);
    CHECK(served.most <= AHEAD);
    if (!CHECK(served.flights < 20))
        printf("    %zu flights\n", served.flights);
    for (int n = 1; n <= 300; n++)
        CHECK(saved(n));
    CHECK(names() == 300);
    CHECK(said("output", "300 saved, 0 already there, 0 failed"));
}

static void
test_dele_ahead(void)
{
    CHECK(run_client("DELE 1-300\nQUIT\n", (struct server){.messages = 300, .pipelining = true, .counts = true}) == 0);
    CHECK(!served.bad && served.dele == 300 && served.quit == 1);
    CHECK(served.most <= AHEAD && served.flights < 20);
    CHECK(said("output", "300 marked, 0 failed"));
}

static void
test_one_at_a_time(void)
{
    CHECK(run_client("RETR *\nDELE 2 3\n", (struct server){.messages = 10, .counts = true}) == 0);
    CHECK(!served.bad && served.retr == 10 && served.dele == 2 && served.quit == 1);
    CHECK(served.most == 1);
    for (int n = 1; n <= 10; n++)
        CHECK(saved(n));
}

/* A line of a script is never sent before the one above it was answered, whatever the server can take. */
static void
test_lines_wait(void)
{
    CHECK(run_client("RETR 1\nRETR 2\nDELE 1\nDELE 2\nQUIT\n",
                     (struct server){.messages = 2, .pipelining = true}) == 0);
    CHECK(!served.bad && served.most == 1 && served.quit == 1 && saved(1) && saved(2));
}

static void
test_octet_by_octet(void)
{
    CHECK(run_client("RETR *\n", (struct server){.messages = 30, .pipelining = true, .octet_by_octet = true}) == 0);
    CHECK(!served.bad && served.quit == 1);
    for (int n = 1; n <= 30; n++)
        CHECK(saved(n));
    CHECK(names() == 30);
}

/* All that may be sent ahead fits on the way, so nobody waits for the other. */
static void
test_unread(void)
{
    CHECK(run_client("RETR *\n", (struct server){.messages = 150, .pipelining = true, .waits_unread = true}) == 0);
    CHECK(!served.bad && served.most == AHEAD && served.retr == 150 && served.quit == 1);
    CHECK(names() == 150);
}

static void
test_refused(void)
{
    CHECK(run_client("RETR *\nDELE *\n", (struct server){.messages = 9, .pipelining = true, .refuses = 4}) == 1);
    CHECK(!served.bad && served.retr == 9 && served.dele == 8 && served.quit == 1);     /* 4 was not saved */
    CHECK(names() == 8 && !saved(4) && saved(3) && saved(5) && saved(9));
    CHECK(said("output", "8 saved, 0 already there, 1 failed"));
}

/* The connection ends within message 5: those before it are whole, it and those behind it have no file. */
static void
test_broken_off(void)
{
    char text[256];
    size_t whole = message_wire(5, text, sizeof text) + strlen("+OK 99 octets\r\n") + strlen(".\r\n");

    CHECK(message_size(5) > 9 && message_size(5) < 100);
    for (size_t at = 0; at < whole; at += at + 6 < whole ? 13 : 1) {
        bool good = CHECK(run_client("RETR *\nDELE 1-4\n", (struct server){.messages = 9, .pipelining = true,
                                                                          .breaks_off = 5, .break_at = at}) == 1);

        good = CHECK(!served.bad && served.dele == 0 && served.quit == 0) && good;
        for (int n = 1; n <= 4; n++)
            good = CHECK(saved(n)) && good;
        good = CHECK(names() == 4 && said("output", "saved inbox/4.eml")) && good;
        good = CHECK(said("errors", "closed the connection; nothing was removed")) && good;
        if (!good) {
            printf("    cut behind octet %zu of %zu\n", at, whole);
            break;
        }
    }
}

int
main(void)
{
    const char *client = getenv("CLIENT"), *base = getenv("TMPDIR");

    if (realpath(client != NULL ? client : "./client", client_path) == NULL)
        give_up("the client");
    signal(SIGPIPE, SIG_IGN);
    snprintf(directory, sizeof directory, "%s/relay-client.XXXXXX", base != NULL ? base : "/tmp");
    if (mkdtemp(directory) == NULL)
        give_up(directory);

    unit_case("many messages in few flights", test_ahead);
    unit_case("many marks in few flights", test_dele_ahead);
    unit_case("one at a time without PIPELINING", test_one_at_a_time);
    unit_case("the lines of a script wait for each other", test_lines_wait);
    unit_case("answers octet by octet", test_octet_by_octet);
    unit_case("commands that nobody reads yet", test_unread);
    unit_case("one of many is refused", test_refused);
    unit_case("the connection ends within a message", test_broken_off);

    char command[sizeof directory + 16];
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    return chdir("/") == 0 && system(command) == 0 ? unit_status : 2;
}
