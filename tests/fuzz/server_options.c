/*
 * server_options.c - any command line for the server
 */
#include "options.h"

int server_main(int, char **);
#define main server_main
#include "../../server.c"
#undef main

/* An address in digits. */
static bool
is_address(const char *text)
{
    unsigned char octets[16];

    return inet_pton(AF_INET, text, octets) == 1 || inet_pton(AF_INET6, text, octets) == 1;
}

static void
promise_value(struct promise *p, char option, const char *value)
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

static void
judge_server(const struct promise *p, const struct settings *s)
{
    DEMAND(same_text(s->directory, p->value['d'] != NULL ? p->value['d'] : "mail"));
    DEMAND(same_text(s->passfile, p->value['p']));
    DEMAND(s->verbose == (p->value['v'] != NULL));
    DEMAND(s->inetd == (p->value['i'] != NULL));
    DEMAND(s->sessions == (p->value['n'] != NULL ? strtoul(p->value['n'], NULL, 10) : 256));
    DEMAND(s->idle_seconds == (p->value['t'] != NULL ? strtoul(p->value['t'], NULL, 10) : 600));
    DEMAND(s->port == (p->operands > 0 ? strtoul(p->operand[0], NULL, 10) : 5000));
    DEMAND(s->address_count == p->addresses);
    for (int i = 0; i < p->addresses; i++)
        DEMAND(strcmp(s->addresses[i], p->address[i]) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct settings settings = {
        .directory = "mail", .sessions = SESSIONS, .idle_seconds = IDLE_SECONDS};
    static struct promise promise;
    struct promise *p = &promise;
    struct arguments a;

    if (size > OPTIONS_MOST)
        return 0;
    options_start(&a, data, size);
    promise = (struct promise){.status = -1};
    promise_read(p, "adnpt", "hivV", a.count, a.copies);
    if (p->operands > 0 && p->value['i'] != NULL)
        promise_end(p, 2, "-i");
    if (p->operands > 0 && !in_range(p->operand[0], 0, 65535))
        promise_end(p, 2, p->operand[0]);
    if (p->operands > 1)
        promise_end(p, 2, p->operand[1]);
    if (setjmp(options_end) == 0)
        read_options(&settings, a.count, a.words);
    options_judge(p);
    if (ended_with == -1)
        judge_server(p, &settings);
    return 0;
}
