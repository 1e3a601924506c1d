/*
 * decoder.c - the process that decodes messages: what it gets, what it may do, and what passes
 */
#include "../../pop3.h"

#include <stdio.h>

/* Where the system has its temporary files. */
static const char *temporary;

#undef P_tmpdir
#define P_tmpdir temporary
int client_main(int argc, char **argv);
#define main client_main
#include "../../client.c"
#undef main

#include "unit.h"

static struct settings settings = {.host = "nowhere", .port = "1", .directory = "none"};
static struct client client;
static FILE *errors;

/* Readies as much of a client as a decoder needs. Its errors go to a file. */
static void
client_begin(void)
{
    memset(&client, 0, sizeof client);
    client.settings = &settings;
    client.utf8 = true;
    errors = tmpfile();
    if (errors == NULL)
        exit(2);
    wire_open(&client.errors, STDIN_FILENO, fileno(errors));
    wire_open(&client.screen, STDIN_FILENO, fileno(errors));
}

/* Ends it. Returns true if an error has that text in it, or with NULL if there was none. */
static bool
client_end(const char *text)
{
    char all[4096] = "";

    rewind(errors);
    all[fread(all, 1, sizeof all - 1, errors)] = '\0';
    fclose(errors);
    if (text == NULL ? all[0] == '\0' : strstr(all, text) != NULL)
        return true;
    printf("    errors: %s\n", all);
    return false;
}

/* Decodes a text to a page, whose start is returned. */
static const char *
decoded(decoder *how, struct span text, bool *good)
{
    static struct text page;
    FILE *input = tmpfile();

    if (input == NULL)
        exit(2);
    fwrite(text.at, 1, span_length(text), input);
    text_clear(&page);
    *good = decode(&client, how, input, &page, 80);
    fclose(input);
    return page.bytes;
}

static void
test_message(void)
{
    bool good;

    client_begin();
    CHECK(strcmp(decoded(show_message, string_span("Subject: a\n\nb\n"), &good),
                 "Subject:  a\n\nb\n") == 0 && good);
    CHECK(strcmp(decoded(show_message, no_span, &good), "[the message is empty]\n") == 0 && good);
    CHECK(client_end(NULL));
}

/* A decoder that a message has taken over. */
static void
hostile(struct span input, FILE *page, unsigned columns)
{
    (void)input;
    (void)columns;
    fputs("\033[31m\033]0;title\a \x9b" "1m \xc2\x9b \xe2\x80\xae \xe2\x80\x8b \x7f \xff\r\n", page);
    for (int i = 0; i < 200000; i++)    /* no line end, and characters across all pieces */
        fputs(i % 1000 == 999 ? "\033" : "\xe2\x82\xac", page);
    fputs("\xe2\x82", page);
}

static void
test_hostile(void)
{
    static const char start[] = "^[[31m^[]0;title^G \\x9b1m \\u009b \\u202e \\u200b ^? \\xff\n\u20ac";
    const char *page;
    bool good;

    client_begin();
    page = decoded(hostile, no_span, &good);
    CHECK(good && strncmp(page, start, sizeof start - 1) == 0);
    CHECK(strchr(page, '\033') == NULL && strstr(page, "\\x") == strstr(start, "\\x") - start + page);
    client.utf8 = false;
    page = decoded(hostile, no_span, &good);
    for (; *page != '\0'; page++)
        if (!CHECK((*page >= ' ' && *page < 0x7f) || *page == '\n'))
            break;
    CHECK(client_end(NULL));
}

/* What the system says about the limits of the decoder, and which descriptors it has. */
static void
report_limits(struct span input, FILE *page, unsigned columns)
{
    char limits[4096] = "no /proc\n";
    int fd = open("/proc/self/limits", O_RDONLY);

    (void)input;
    (void)columns;
    if (fd >= 0 && read(fd, limits, sizeof limits - 1) < 0)
        strcpy(limits, "not readable\n");
    for (int other = 3; other < 64; other++)
        if (other != fd && fcntl(other, F_GETFD) >= 0)
            fprintf(page, "descriptor %d\n", other);
    fputs(limits, page);
}

/* Returns the hard limit of that name, -1 if there is none. */
static long long
limit_of(const char *limits, const char *name)
{
    const char *at = strstr(limits, name);
    char soft[32] = "", hard[32] = "";

    if (at == NULL || sscanf(at + strlen(name), "%31s %31s", soft, hard) != 2)
        return -1;
    return strcmp(hard, "unlimited") == 0 ? -1 : atoll(hard);
}

static void
test_limits(void)
{
    int other = dup2(STDOUT_FILENO, 9);
    const char *limits;
    bool good;

    client_begin();
    limits = decoded(report_limits, no_span, &good);
    CHECK(good && strstr(limits, "descriptor") == NULL);
    if (strstr(limits, "no /proc") == NULL) {
        CHECK(limit_of(limits, "Max cpu time") > 0 && limit_of(limits, "Max cpu time") <= 120);
        CHECK(limit_of(limits, "Max core file size") == 0);
        CHECK(limit_of(limits, "Max file size") == 0);
        CHECK(limit_of(limits, "Max processes") == 0);
#ifndef SANITIZED
        CHECK(limit_of(limits, "Max data size") > 0);
#endif
    }
    CHECK(client_end(NULL));
    close(other);
}

static void
crashes(struct span input, FILE *page, unsigned columns)
{
    (void)input;
    (void)columns;
    fputs("what it had\n", page);
    fflush(page);
    raise(SIGKILL);
    kill(getpid(), SIGSEGV);
    abort();
}

#ifndef SANITIZED
static void
takes_all_memory(struct span input, FILE *page, unsigned columns)
{
    struct text t = {NULL, 0, 0};

    (void)input;
    (void)columns;
    fputs("what it had\n", page);
    fflush(page);
    for (;;)
        text_add(&t, "more and more", 13);
}
#endif

static void
test_failures(void)
{
    bool good;

    client_begin();
    CHECK(strcmp(decoded(crashes, no_span, &good), "what it had\n") == 0 && !good);
    CHECK(client_end("the display was ended by signal ") && client.failed);
#ifndef SANITIZED
    client_begin();
    CHECK(strcmp(decoded(takes_all_memory, no_span, &good), "what it had\n") == 0 && !good);
    CHECK(client_end(strerror(ENOMEM)) && client.failed);
#endif
}

static void
never_ends(struct span input, FILE *page, unsigned columns)
{
    (void)input;
    (void)page;
    for (volatile unsigned i = 0; ; i += columns)
        continue;
}

/* Nobody waits for a decoder after a signal: it is killed. */
static void
test_interrupted(void)
{
    int64_t began = wire_clock();
    bool good;

    client_begin();
    interrupted = SIGINT;
    CHECK(strcmp(decoded(never_ends, no_span, &good), "") == 0 && !good);
    CHECK(wire_clock() - began < 2500);
    interrupted = 0;
    CHECK(client_end(NULL));
}

/* A message far larger than the memory of the decoder: its attachment is measured only. */
static void
test_large(void)
{
    static const char start[] = "Content-Type: multipart/mixed; boundary=b\n\n--b\n"
        "Content-Type: application/octet-stream; name=large\n\n";
    static const char end[] = "\n--b\n\nThe text behind it.\n--b--\n";
    struct text page = {NULL, 0, 0};
    FILE *input = tmpfile();

    client_begin();
    fputs(start, input);
    CHECK(fflush(input) == 0 && ftruncate(fileno(input), 300 * 1000 * 1000) == 0);
    fseek(input, 0, SEEK_END);
    fputs(end, input);
    CHECK(decode(&client, show_message, input, &page, 80));
    if (!CHECK(strcmp(page.bytes, "Attached: large (application/octet-stream, 300 MB)\n\n"
                      "The text behind it.\n") == 0))
        printf("%s", page.bytes);
    fclose(input);
    text_free(&page);
    CHECK(client_end(NULL));
}

/* Returns true if a private file is in that directory, nameless and for its owner alone. */
static bool
is_private(const char *directory)
{
    FILE *file = private_file(&client);
    struct stat about, there;
    bool good = file != NULL && fstat(fileno(file), &about) == 0 && about.st_nlink == 0
        && (about.st_mode & 0777) == 0600 && (fcntl(fileno(file), F_GETFD) & FD_CLOEXEC) != 0;

    if (directory != NULL)
        good = good && stat(directory, &there) == 0 && about.st_dev == there.st_dev;
    if (file != NULL) {
        char text[6] = "";

        good = good && fputs("text\n", file) >= 0 && fflush(file) == 0;
        rewind(file);
        good = good && fread(text, 1, 5, file) == 5 && strcmp(text, "text\n") == 0;
        fclose(file);
    }
    return good;
}

/* TMPDIR, then the system's directory, then that of the messages. */
static void
test_private_file(void)
{
    char place[] = "decoder-XXXXXX", saved[PATH_MAX] = "";

    if (getenv("TMPDIR") != NULL)
        snprintf(saved, sizeof saved, "%s", getenv("TMPDIR"));
    client_begin();
    if (!CHECK(chdir(saved[0] != '\0' ? saved : "/tmp") == 0 && mkdtemp(place) != NULL))
        return;
    temporary = "no/such";
    setenv("TMPDIR", place, 1);
    CHECK(is_private(place));
    setenv("TMPDIR", "", 1);
    temporary = place;
    CHECK(is_private(place));
    unsetenv("TMPDIR");
    temporary = "no/such";
    settings.directory = place;
    CHECK(is_private(place));
    settings.directory = "none";
    FILE *memory = private_file(&client);
    const char *failure = memory != NULL ? NULL : "cannot create a temporary file: ";
#if defined MFD_CLOEXEC && !defined POSIX_ONLY
    CHECK(memory != NULL);              /* in memory, where there is no place at all */
#endif
    if (memory != NULL)
        fclose(memory);
    CHECK(rmdir(place) == 0);           /* and nothing is left in it */
    if (saved[0] != '\0')
        setenv("TMPDIR", saved, 1);
    CHECK(client_end(failure));
}

int
main(void)
{
    unit_case("a message passes through the decoder", test_message);
    unit_case("what a decoder writes is escaped again", test_hostile);
    unit_case("a decoder's time, memory and files are limited", test_limits);
    unit_case("a decoder that fails is reported", test_failures);
    unit_case("a decoder after a signal", test_interrupted);
    unit_case("a message larger than the memory", test_large);
    unit_case("where temporary files are", test_private_file);
    return unit_status;
}
