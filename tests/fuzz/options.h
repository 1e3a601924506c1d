/*
 * options.h - what the two fuzzers of command lines share
 *
 * An input holds the arguments, with a NUL between them. A plain reading of the contract says
 * what must come of them: help or version and 0, a message that names what is wrong and 2, or the
 * settings.
 */
#include "fuzz_system.h"

#include <setjmp.h>

static FILE *options_out, *options_err;         /* the standard files of the program */
static jmp_buf options_end;
static int ended_with;          /* an exit status, -1 when it goes on */

static _Noreturn void
options_exit(int status)
{
    ended_with = status;
    longjmp(options_end, 1);
}

#undef stderr
#define stderr options_err
#define printf(...) fprintf(options_out, __VA_ARGS__)
#define exit(status) options_exit(status)

enum { WORDS = 64, OPTIONS_MOST = 4000 };

/* What a command line must come to, by the plainest reading. */
struct promise {
    int status;                 /* -1: it goes on */
    char culprit[8192];         /* what the message names */
    const char *value[128];     /* the last value of an option, "" for one without */
    const char *address[WORDS];
    int addresses;
    const char *operand[WORDS];
    int operands;
};

static void
promise_end(struct promise *p, int status, const char *culprit)
{
    if (p->status == -1) {
        p->status = status;
        snprintf(p->culprit, sizeof p->culprit, "%s", culprit);
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

/* Checks the value of an option. */
static void promise_value(struct promise *p, char option, const char *value);

/* Reads the words one after the other; with_value and without are the letters of options. */
static void
promise_read(struct promise *p, const char *with_value, const char *without, int count, char **word)
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
            bool says_help = length > 0 && length <= 4 && strncmp(text + 2, "help", length) == 0;
            bool says_version =
                length > 0 && length <= 7 && strncmp(text + 2, "version", length) == 0;

            promise_end(p, (says_help || says_version) && text[2 + length] == '\0' ? 0 : 2, text);
        } else {
            for (const char *c = text + 1; *c != '\0' && p->status == -1; c++) {
                char letter[3] = {'-', *c, '\0'};

                if (*c == 'h' || *c == 'V') {
                    promise_end(p, 0, "");
                } else if (*c != ':' && strchr(without, *c) != NULL) {
                    p->value[(int)*c] = "";
                } else if (*c != ':' && strchr(with_value, *c) != NULL) {
                    if (c[1] == '\0' && i + 1 == count) {
                        promise_end(p, 2, letter);
                        break;
                    }
                    const char *value = c[1] != '\0' ? c + 1 : word[++i];
                    p->value[(int)*c] = value;
                    promise_value(p, *c, value);
                    break;
                } else {
                    promise_end(p, 2, letter);
                }
            }
        }
    }
}

static char *said, *complained;
static size_t said_length, complained_length;

static void
take_log(const char *octets, size_t length)
{
    fwrite(octets, 1, length, options_err);
}

static bool
same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* A message is visible lines. It names the culprit, as far as that is printable and short. */
static void
judge_message(const struct promise *p, const char *text, size_t length)
{
    size_t seen = 0;

    for (size_t i = 0; i < length; i++)
        DEMAND(text[i] == '\n' || text[i] == '\t' ||
               ((unsigned char)text[i] >= ' ' && text[i] != 0x7f));
    DEMAND(length > 0 && text[length - 1] == '\n');
    while (seen < 100 && p->culprit[seen] >= ' ' && p->culprit[seen] < 0x7f)
        seen++;
    DEMAND(memmem(text, length, p->culprit, seen) != NULL);
}

/* The input as arguments, twice: a program may change its own. */
struct arguments {
    int count;
    char *words[WORDS], *copies[WORDS];
};

/* Makes the arguments of an input and starts to collect what the program prints. */
static void
options_start(struct arguments *a, const uint8_t *data, size_t size)
{
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
    sys.log = take_log;
    options_out = open_memstream(&said, &said_length);
    options_err = open_memstream(&complained, &complained_length);
    DEMAND(options_out != NULL && options_err != NULL);
    optind = 0;                 /* begin anew, in glibc and musl */
    ended_with = -1;
}

/* Compares how the program ended, and what it printed, with the contract. */
static void
options_judge(const struct promise *p)
{
    if (sys.stream[1].made > 0)
        fwrite(sys.stream[1].out, 1, sys.stream[1].made, options_err);
    fclose(options_out);
    fclose(options_err);
    DEMAND(ended_with == p->status);
    DEMAND((said_length > 0) == (ended_with == 0));
    DEMAND((complained_length > 0) == (ended_with == 2));
    if (ended_with == 2)
        judge_message(p, complained, complained_length);
    free(said);
    free(complained);
}
