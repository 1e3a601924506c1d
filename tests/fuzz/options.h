/*
 * options.h - shared by the two fuzzers of command lines
 *
 * An input holds the arguments, with a NUL between them. A simple reference parser computes the
 * expected result: help or version and status 0, a message that names the mistake and status 2, or
 * the settings.
 */
#include "fuzz_system.h"

#include <setjmp.h>

static FILE *options_out, *options_err;         /* replace stdout and stderr */
static jmp_buf options_end;
static int exit_status;          /* -1: the program continues */

static _Noreturn void
options_exit(int status)
{
    exit_status = status;
    longjmp(options_end, 1);
}

#undef stderr
#define stderr options_err
#define printf(...) fprintf(options_out, __VA_ARGS__)
#define exit(status) options_exit(status)

enum { WORDS = 64, OPTIONS_MOST = 4000 };

/* The expected result of a command line. */
struct expected {
    int status;                 /* -1: the program continues */
    char named[8192];         /* the message must contain this */
    const char *value[128];     /* the last value of an option, "" for one without */
    const char *address[WORDS];
    int addresses;
    const char *operand[WORDS];
    int operands;
};

static void
expect_exit(struct expected *p, int status, const char *named)
{
    if (p->status == -1) {
        p->status = status;
        snprintf(p->named, sizeof p->named, "%s", named);
    }
}

static bool
in_range(const char *text, uint64_t least, uint64_t most)
{
    size_t zeros = strspn(text, "0");

    return text[0] != '\0' && text[strspn(text, "0123456789")] == '\0' &&
           strlen(text + zeros) <= 10 && strtoull(text, NULL, 10) >= least &&
           strtoull(text, NULL, 10) <= most;
}

/* Calls expect_exit() for an invalid value of an option. */
static void check_value(struct expected *p, char option, const char *value);

/* The reference parser. with_value and without hold the letters of the options. */
static void
reference_parse(struct expected *p, const char *with_value, const char *without, int count,
                char **word)
{
    bool only_operands = false;

    for (int i = 1; i < count && p->status == -1; i++) {
        const char *text = word[i];

        if (only_operands || text[0] != '-' || text[1] == '\0') {
            p->operand[p->operands++] = text;
        } else if (strcmp(text, "--") == 0) {
            only_operands = true;
        } else if (text[1] == '-') {
            size_t length = strcspn(text + 2, "=");
            bool is_help = length > 0 && length <= 4 && strncmp(text + 2, "help", length) == 0;
            bool is_version =
                length > 0 && length <= 7 && strncmp(text + 2, "version", length) == 0;

            expect_exit(p, (is_help || is_version) && text[2 + length] == '\0' ? 0 : 2, text);
        } else {
            for (const char *c = text + 1; *c != '\0' && p->status == -1; c++) {
                char letter[3] = {'-', *c, '\0'};

                if (*c == 'h' || *c == 'V') {
                    expect_exit(p, 0, "");
                } else if (*c != ':' && strchr(without, *c) != NULL) {
                    p->value[(int)*c] = "";
                } else if (*c != ':' && strchr(with_value, *c) != NULL) {
                    if (c[1] == '\0' && i + 1 == count) {
                        expect_exit(p, 2, letter);
                        break;
                    }
                    const char *value = c[1] != '\0' ? c + 1 : word[++i];
                    p->value[(int)*c] = value;
                    check_value(p, *c, value);
                    break;
                } else {
                    expect_exit(p, 2, letter);
                }
            }
        }
    }
}

static char *out_text, *err_text;
static size_t out_length, err_length;

static void
collect_log(const char *octets, size_t length)
{
    fwrite(octets, 1, length, options_err);
}

static bool
same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* A message has printable lines. It names the mistake, up to its first special character. */
static void
check_message(const struct expected *p, const char *text, size_t length)
{
    size_t seen = 0;

    for (size_t i = 0; i < length; i++)
        DEMAND(text[i] == '\n' || text[i] == '\t' ||
               ((unsigned char)text[i] >= ' ' && text[i] != 0x7f));
    DEMAND(length > 0 && text[length - 1] == '\n');
    while (seen < 100 && p->named[seen] >= ' ' && p->named[seen] < 0x7f)
        seen++;
    DEMAND(memmem(text, length, p->named, seen) != NULL);
}

/* The arguments, and a copy, because a program may change its arguments. */
struct arguments {
    int count;
    char *words[WORDS], *copies[WORDS];
};

/*
 * Makes the arguments of an input, parses them with the reference, and starts to collect the
 * program's output. Returns the expected result.
 */
static struct expected *
options_start(struct arguments *a, const uint8_t *data, size_t size, const char *with_value,
              const char *without)
{
    static struct expected expected;
    static char name[] = "program", texts[OPTIONS_MOST + 1], again[OPTIONS_MOST + 1];

    *a = (struct arguments){.count = 1, .words = {name}, .copies = {name}};
    memcpy(texts, data, size);
    texts[size] = '\0';
    memcpy(again, texts, size + 1);
    for (size_t at = 0; at < size && a->count < WORDS - 1; at += strlen(texts + at) + 1) {
        a->copies[a->count] = again + at;
        a->words[a->count++] = texts + at;
    }
    system_reset(0);
    sys.log = collect_log;
    options_out = open_memstream(&out_text, &out_length);
    options_err = open_memstream(&err_text, &err_length);
    DEMAND(options_out != NULL && options_err != NULL);
    optind = 0;                 /* resets getopt_long() in glibc and musl */
    exit_status = -1;
    expected = (struct expected){.status = -1};
    reference_parse(&expected, with_value, without, a->count, a->copies);
    return &expected;
}

/* Compares the exit status and the output with the expected result. */
static void
options_check(const struct expected *p)
{
    if (sys.stream[1].written > 0)
        fwrite(sys.stream[1].out, 1, sys.stream[1].written, options_err);
    fclose(options_out);
    fclose(options_err);
    DEMAND(exit_status == p->status);
    DEMAND((out_length > 0) == (exit_status == 0));
    DEMAND((err_length > 0) == (exit_status == 2));
    if (exit_status == 2)
        check_message(p, err_text, err_length);
    free(out_text);
    free(err_text);
}
