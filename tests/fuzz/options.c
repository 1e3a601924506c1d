/*
 * options.c - any command line for both programs
 *
 * The first octet of an input says which program it is for, the rest are its arguments with NULs between
 * them. A plain reading of the promise says what must come of them: help or version and 0, a complaint that
 * names what is wrong and 2, or the settings.
 */
#include "fuzz_system.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <setjmp.h>

static FILE *options_out, *options_err;         /* the standard files of the programs */
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

int server_main(int, char **);
#include "../../pop3.h"    /* before help, which is in it too, has another name */
#define main server_main
#define help server_help
#include "../../server.c"
#undef main
#undef help

/* What both have under one name. */
#define main client_main
#define settings client_settings
#define NOTHING CLIENT_NOTHING
#define QUIT_SECONDS CLIENT_QUIT_SECONDS
#define catch_signals client_catch_signals
#define do_quit client_do_quit
#define misused client_misused
#define note_signal client_note_signal
#define read_options client_read_options
#define usage client_usage
int client_main(int, char **);
#include "../../client.c"
#undef main
#undef settings
#undef misused
#undef read_options

enum { WORDS = 64 };

/* What a command line must come to, by the plainest reading. */
struct promise {
    int status;                 /* -1: it goes on */
    char culprit[2 * PATH_MAX]; /* what a complaint names */
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

    return text[0] != '\0' && text[strspn(text, "0123456789")] == '\0' && strlen(text + zeros) <= 10 &&
           strtoull(text, NULL, 10) >= least && strtoull(text, NULL, 10) <= most;
}

/* An address in digits. With IPv6 the name or the number of an interface may follow a %. */
static bool
is_address(const char *text)
{
    const char *zone = strchr(text, '%');
    char address[64] = "";
    unsigned char octets[16];

    if (zone == NULL && inet_pton(AF_INET, text, octets) == 1)
        return true;
    snprintf(address, sizeof address, "%.*s", zone != NULL && zone - text < 64 ? (int)(zone - text) : 63, text);
    return inet_pton(AF_INET6, address, octets) == 1 &&
           (zone == NULL || in_range(zone + 1, 0, UINT32_MAX) || if_nametoindex(zone + 1) != 0);
}

/* One option of the server's with its value. */
static void
promise_server_value(struct promise *p, char option, const char *value)
{
    if (option == 'a') {
        if (p->addresses == ADDRESSES)
            promise_end(p, 2, "-a");
        else if (!is_address(value))
            promise_end(p, 2, value);
        p->address[p->addresses++] = value;
    }
    if (option == 'd' && value[0] == '\0')
        promise_end(p, 2, "-d");
    if (option == 'n' && !in_range(value, 1, 100000))
        promise_end(p, 2, "-n");
    if (option == 't' && !in_range(value, 1, 1000000))
        promise_end(p, 2, "-t");
}

/* Reads the words one after the other; with_value and without are the letters of options. */
static void
promise_read(struct promise *p, bool server, int count, char **word)
{
    const char *with_value = server ? "adnpt" : "dx", *without = server ? "hiV" : "hV";
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
            bool says_version = length > 0 && length <= 7 && strncmp(text + 2, "version", length) == 0;

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
                    if (server)
                        promise_server_value(p, *c, value);
                    break;
                } else {
                    promise_end(p, 2, letter);
                }
            }
        }
    }
    if (server) {
        if (p->operands > 0 && p->value['i'] != NULL)
            promise_end(p, 2, "-i");
        if (p->operands > 0 && !in_range(p->operand[0], 0, 65535))
            promise_end(p, 2, p->operand[0]);
        if (p->operands > 1)
            promise_end(p, 2, p->operand[1]);
    } else {
        if (p->operands > 0 && p->value['x'] != NULL)
            promise_end(p, 2, p->operand[0]);
        if (p->operands > 0 && p->operand[0][strspn(p->operand[0], "0123456789")] == '\0')
            promise_end(p, 2, p->operand[0]);   /* a port, or nothing, in the place of the host */
        if (p->operands > 2)
            promise_end(p, 2, p->operand[2]);
        if (p->operands > 1 && !in_range(p->operand[1], 1, 65535))
            promise_end(p, 2, p->operand[1]);
    }
}

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

static void
judge_server(const struct promise *p, const struct settings *s)
{
    DEMAND(same_text(s->directory, p->value['d'] != NULL ? p->value['d'] : "mail"));
    DEMAND(same_text(s->passfile, p->value['p']));
    DEMAND(s->inetd == (p->value['i'] != NULL));
    DEMAND(s->sessions == (p->value['n'] != NULL ? strtoul(p->value['n'], NULL, 10) : 256));
    DEMAND(s->idle_seconds == (p->value['t'] != NULL ? strtoul(p->value['t'], NULL, 10) : 600));
    DEMAND(s->port == (p->operands > 0 ? strtoul(p->operand[0], NULL, 10) : 5000));
    DEMAND(s->address_count == p->addresses);
    for (int i = 0; i < p->addresses; i++)
        DEMAND(strcmp(s->addresses[i], p->address[i]) == 0);
}

static void
judge_client(const struct promise *p, const struct client_settings *s)
{
    DEMAND(same_text(s->host, p->operands > 0 ? p->operand[0] : "localhost"));
    DEMAND(same_text(s->port, p->operands > 1 ? p->operand[1] : "5000"));
    DEMAND(same_text(s->command, p->value['x']));

    const char *directory = p->value['d'] != NULL ? p->value['d'] : "inbox";
    size_t length = strlen(directory);
    while (length > 1 && directory[length - 1] == '/')
        length--;
    DEMAND(strlen(s->directory) == length && strncmp(s->directory, directory, length) == 0);
}

/* A complaint is visible lines, and names the culprit, as far as that is printable and short. */
static void
judge_complaint(const struct promise *p, const char *text, size_t length)
{
    size_t seen = 0;

    for (size_t i = 0; i < length; i++)
        DEMAND(text[i] == '\n' || text[i] == '\t' || ((unsigned char)text[i] >= ' ' && text[i] != 0x7f));
    DEMAND(length > 0 && text[length - 1] == '\n');
    while (seen < 100 && p->culprit[seen] >= ' ' && p->culprit[seen] < 0x7f)
        seen++;
    DEMAND(memmem(text, length, p->culprit, seen) != NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct client client;
    static char *said, *complained;
    static size_t said_length, complained_length;
    static char name[] = "program", texts[4096], again[4096];
    static struct promise promise;
    struct settings server = {.directory = "mail", .sessions = SESSIONS, .idle_seconds = IDLE_SECONDS};
    struct client_settings settings = {.host = "localhost", .port = POP3_PORT, .directory = "inbox"};
    char *word[WORDS] = {name}, *copy[WORDS] = {name};
    int count = 1;

    if (size == 0 || size > sizeof texts)
        return 0;
    bool for_server = data[0] % 2 == 0;

    memcpy(texts, data + 1, size - 1);
    texts[size - 1] = '\0';
    memcpy(again, texts, size);
    for (size_t at = 0; at < size - 1 && count < WORDS - 1; at += strlen(texts + at) + 1) {
        copy[count] = again + at;
        word[count++] = texts + at;
    }
    system_reset(0);
    sys.log = take_log;
    options_out = open_memstream(&said, &said_length);
    options_err = open_memstream(&complained, &complained_length);
    DEMAND(options_out != NULL && options_err != NULL);
    promise = (struct promise){.status = -1};
    promise_read(&promise, for_server, count, copy);

    optind = 0;                 /* begin anew, in glibc and musl */
    ended_with = -1;
    client.to_local = (iconv_t)-1;
    wire_open(&client.screen, SYSTEM_STREAM, SYSTEM_STREAM + 1);
    wire_open(&client.errors, SYSTEM_STREAM, SYSTEM_STREAM + 1);
    if (setjmp(options_end) == 0) {
        if (for_server)
            read_options(&server, count, word);
        else
            client_read_options(&client, &settings, count, word);
    }
    if (sys.stream[1].made > 0)
        fwrite(sys.stream[1].out, 1, sys.stream[1].made, options_err);
    fclose(options_out);
    fclose(options_err);
    DEMAND(ended_with == promise.status);
    DEMAND((said_length > 0) == (ended_with == 0));
    DEMAND((complained_length > 0) == (ended_with == 2));
    if (ended_with == 2)
        judge_complaint(&promise, complained, complained_length);
    if (ended_with == -1 && for_server)
        judge_server(&promise, &server);
    else if (ended_with == -1)
        judge_client(&promise, &settings);
    free(said);
    free(complained);
    return 0;
}
