/*
 * server_lines.c - every short command line, answered by a whole server as the grammar says
 *
 * Behind each line goes a NOOP, so no session ends because of mistakes in a row.
 */
#include "net.h"

enum { LENGTH_MOST = 7 };

/*
 * Sets *line to the next text over an alphabet: all texts of one length, then the longer ones.
 * Returns false after the last one of that length.
 */
static bool
next_text(char *line, const char *alphabet, size_t most)
{
    size_t length = strlen(line), letters = strlen(alphabet);

    for (size_t i = 0; i < length; i++) {
        const char *letter = strchr(alphabet, line[i]);

        if (letter + 1 < alphabet + letters) {
            line[i] = letter[1];
            return true;
        }
        line[i] = alphabet[0];
    }
    line[length] = alphabet[0];
    line[length + 1] = '\0';
    return length < most;
}

/* Sends all lines, in a process of its own. */
static pid_t
send_all(int to, const char *alphabet, size_t most)
{
    pid_t pid = fork();
    char line[LENGTH_MOST + 2] = "";
    FILE *stream;

    check(pid >= 0);
    if (pid > 0)
        return pid;
    stream = fdopen(to, "w");
    do
        fprintf(stream, "%s\r\nNOOP\r\n", line);
    while (next_text(line, alphabet, most));
    exit(fprintf(stream, "QUIT\r\n") > 0 && fclose(stream) == 0 ? 0 : 1);
}

/* Reads a line without its line end. */
static const char *
read_line(FILE *answers)
{
    static char line[600];
    size_t length;

    check(fgets(line, sizeof line, answers) != NULL);
    length = strlen(line);
    check(length >= 2 && strcmp(line + length - 2, "\r\n") == 0);
    line[length - 2] = '\0';
    return line;
}

/* What the answer to a line is. */
enum answer { MISTAKE, STATUS, WITH_BODY };

/*
 * The store has one message, 1. TOP takes a message and a number of lines, LIST perhaps a
 * message.
 */
static enum answer
answer_of(const char *line)
{
    char copy[LENGTH_MOST + 2], *rest = NULL, *words[LENGTH_MOST + 2];
    int count = 0;

    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok_r(copy, " \t", &rest); word != NULL;
         word = strtok_r(NULL, " \t", &rest))
        words[count++] = word;
    if (count == 3 && strcmp(words[0], "TOP") == 0)
        return strcmp(words[1], "1") == 0 && strspn(words[2], "01") == strlen(words[2]) ? WITH_BODY
                                                                                        : MISTAKE;
    if (count >= 1 && count <= 2 &&
        (strcmp(words[0], "LIST") == 0 || strcmp(words[0], "list") == 0)) {
        if (count == 1)
            return WITH_BODY;
        return strcmp(words[1], "1") == 0 || strcmp(words[1], "01") == 0 ? STATUS : MISTAKE;
    }
    return MISTAKE;
}

static void
try_all(const char *alphabet, size_t most)
{
    char line[LENGTH_MOST + 2] = "";
    pid_t server, writer;
    FILE *answers;
    int to, from;

    server = start_inetd("-i -d store", &to, &from);
    answers = fdopen(from, "r");
    check(answers != NULL);
    writer = send_all(to, alphabet, most);
    close(to);
    check(matches(read_line(answers), "+OK*"));
    do {
        enum answer answer = answer_of(line);
        const char *got = read_line(answers);

        if (!matches(got, answer == MISTAKE ? "-ERR *" : "+OK*"))
            fail("the line \"%s\" is answered %s", line, got);
        while (answer == WITH_BODY && strcmp(read_line(answers), ".") != 0)
            continue;
        check(matches(read_line(answers), "+OK*"));     /* NOOP */
    } while (next_text(line, alphabet, most));
    check(matches(read_line(answers), "+OK*") && fgetc(answers) == EOF);        /* QUIT */
    fclose(answers);
    check(wait_for(writer) == 0 && wait_for(server) == 0);
    check(exists("store/1"));
}

static void
test_top(void)
{
    make_store(1);
    try_all("TOP 1", 7);
}

static void
test_list(void)
{
    make_store(1);
    try_all("LIST 1", 6);
}

static void
test_list_with_zeros(void)
{
    make_store(1);
    try_all("list\t01", 6);
}

static const struct test tests[] = {
    {"every line of up to 7 of T, O, P, blank and 1", test_top, 0},
    {"every line of up to 6 of L, I, S, T, blank and 1", test_list, 0},
    {"every line of up to 6 of l, i, s, t, TAB, 0 and 1", test_list_with_zeros, 0},
};

int
main(int argc, char **argv)
{
    (void)argc;
    return run_tests(tests, (int)(sizeof tests / sizeof *tests), AT_ONCE, argv + 1);
}
