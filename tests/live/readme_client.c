/*
 * readme_client.c - the session with the client in README.md is what happens on a terminal
 *
 * A terminal of 80 x 24 runs the client with our server on the messages of tests/mail. What stands
 * behind "pop3> " in the README is typed; then every line on the terminal must be the README's. A
 * line "..." there stands for any number of lines.
 *
 * From the environment it takes SERVER and CLIENT, absolute paths, and TMPDIR.
 */
#include "../../pop3.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <termios.h>

enum { ROWS = 24, COLUMNS = 80, LINES_MAX = 200, LINE_MAX_BYTES = 400, PATIENCE = 300 };

static const char prompt[] = "pop3> ";

/* The lines of a session, without their ends. */
struct lines {
    char text[LINES_MAX][LINE_MAX_BYTES];
    size_t count;
};

static _Noreturn void
give_up(const char *what)
{
    printf("not ok - %s: %s\n", what, strerror(errno));
    exit(1);
}

/* Reads the README's lines between "$ ./client ..." and the end of that block. */
static void
read_session(struct lines *session)
{
    FILE *readme = fopen("README.md", "r");
    char line[LINE_MAX_BYTES];
    bool inside = false;

    if (readme == NULL)
        give_up("README.md");
    while (fgets(line, sizeof line, readme) != NULL && !(inside && strncmp(line, "```", 3) == 0)) {
        line[strcspn(line, "\n")] = '\0';
        if (inside && session->count < LINES_MAX)
            strcpy(session->text[session->count++], line);
        inside = inside || strncmp(line, "$ ./client ", 11) == 0;
    }
    fclose(readme);
}

/* Starts the client on the terminal of which this is our end. */
static void
start_client(int master, pid_t *client)
{
    const struct winsize size = {.ws_row = ROWS, .ws_col = COLUMNS};
    const char *server = getenv("SERVER"), *path = getenv("CLIENT");
    char command[2048];
    int slave;

    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0 ||
        (slave = open(ptsname(master), O_RDWR | O_NOCTTY)) < 0 ||
        ioctl(slave, TIOCSWINSZ, &size) != 0)
        give_up("a terminal");
    snprintf(command, sizeof command, "'%s' -i -d store 2>log", server);
    fflush(stdout);
    *client = fork();
    if (*client < 0)
        give_up("fork");
    if (*client == 0) {
        close(master);
        if (setsid() < 0 || ioctl(slave, TIOCSCTTY, 0) != 0)
            _exit(2);
        for (int fd = 0; fd <= 2; fd++)
            dup2(slave, fd);
        close(slave);
        setenv("TERM", "xterm", 1);
        unsetenv("LC_ALL");
        setenv("LC_CTYPE", "C.UTF-8", 1);
        execl(path, "client", "-x", command, (char *)NULL);
        _exit(126);
    }
    close(slave);
}

/* Shows bytes as a terminal does that knows CR, LF, ESC [ K, ESC [ J and no other sequence. */
static void
show(struct lines *screen, size_t *column, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        char *line = screen->text[screen->count];

        if (bytes[i] == '\r') {
            *column = 0;
        } else if (bytes[i] == '\n' && screen->count + 1 < LINES_MAX) {
            screen->count++;
        } else if (bytes[i] == '\033') {
            while (i + 1 < length && (bytes[i + 1] < '@' || bytes[i + 1] == '['))
                i++;
            i++;
            if (i < length && (bytes[i] == 'K' || bytes[i] == 'J'))
                line[*column] = '\0';
        } else if (*column + 1 < LINE_MAX_BYTES) {
            size_t end = strlen(line);

            line[*column] = bytes[i];
            if (*column >= end)
                line[*column + 1] = '\0';
            ++*column;
        }
    }
}

/*
 * Types what the README types, each line at a prompt, until the client ends. Returns true if its
 * status is 0.
 */
static bool
hold_session(int master, const struct lines *session, struct lines *screen)
{
    size_t next = 0, column = 0;
    char bytes[4096];
    ssize_t count;
    pid_t client;
    int status;

    start_client(master, &client);
    while ((count = read(master, bytes, sizeof bytes)) > 0 || (count < 0 && errno == EINTR)) {
        if (count > 0)
            show(screen, &column, bytes, (size_t)count);
        if (strcmp(screen->text[screen->count], prompt) != 0)
            continue;

        fd_set more;            /* the prompt may be painted again: it waits when nothing comes */
        FD_ZERO(&more);
        FD_SET((unsigned)master, &more);
        if (pselect(master + 1, &more, NULL, NULL, &(struct timespec){0, 200000000}, NULL) > 0)
            continue;
        while (next < session->count && strncmp(session->text[next], prompt, strlen(prompt)) != 0)
            next++;
        if (next == session->count)
            break;              /* the README does not end with QUIT: closing ends the client */

        const char *typed = session->text[next++] + strlen(prompt);
        if (write(master, typed, strlen(typed)) < 0 || write(master, "\r", 1) < 0)
            give_up("typing");
        screen->text[screen->count][0] = '\0';
        column = 0;
    }
    close(master);
    return waitpid(client, &status, 0) == client && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Prints the first difference and returns false if there is one. */
static bool
compare(const struct lines *wanted, const struct lines *found)
{
    size_t i = 0, j = 0;

    for (; i < wanted->count; i++, j++) {
        if (strcmp(wanted->text[i], "...") == 0 && ++i < wanted->count)
            while (j < found->count && strcmp(found->text[j], wanted->text[i]) != 0)
                j++;
        if (i < wanted->count &&
            (j >= found->count || strcmp(wanted->text[i], found->text[j]) != 0)) {
            printf("README.md has:\n%s\nthe terminal has:\n%s\n", wanted->text[i],
                   j < found->count ? found->text[j] : "(its end)");
            return false;
        }
    }
    if (j < found->count)
        printf("README.md lacks:\n%s\n", found->text[j]);
    return j >= found->count;
}

int
main(void)
{
    static struct lines wanted, found;
    const char *tmp = getenv("TMPDIR");
    char directory[1024], command[4096];
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    bool good, same;

    if (master < 0 && (errno == ENODEV || errno == ENOENT)) {
        puts("skip - all: no pseudo-terminals here, is /dev/pts mounted?");
        return 0;
    }
    read_session(&wanted);
    snprintf(directory, sizeof directory, "%s/readme-XXXXXX", tmp != NULL ? tmp : "/tmp");
    if (mkdtemp(directory) == NULL)
        give_up("a directory");
    snprintf(command, sizeof command, "cp -R tests/mail '%s/store'", directory);
    if (system(command) != 0 || chdir(directory) != 0)
        give_up("a store");
    alarm(PATIENCE);
    good = hold_session(master, &wanted, &found);
    same = wanted.count > 20 && compare(&wanted, &found);
    printf("%sok - the client ends with status 0\n", good ? "" : "not ");
    printf("%sok - the session with the client in README.md\n", same ? "" : "not ");
    if (chdir("/") != 0)
        give_up("/");
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    return system(command) != 0 || !good || !same;
}
