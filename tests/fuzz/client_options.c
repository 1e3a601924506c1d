/*
 * client_options.c - any command line for the client
 */
#include "options.h"

int client_main(int, char **);
#define main client_main
#include "../../client.c"
#undef main

static void
promise_value(struct promise *p, char option, const char *value)
{
    if (option == 'd' && value[0] == '\0')
        promise_end(p, 2, "-d");
}

static void
judge_client(const struct promise *p, const struct settings *s)
{
    DEMAND(same_text(s->host, p->operands > 0 ? p->operand[0] : "localhost"));
    DEMAND(same_text(s->port, p->operands > 1 ? p->operand[1] : "5000"));
    DEMAND(same_text(s->command, p->value['x']));
    DEMAND(s->verbose == (p->value['v'] != NULL));
    DEMAND(same_text(s->directory, p->value['d'] != NULL ? p->value['d'] : "inbox"));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct client client;
    struct settings settings = {.host = "localhost", .port = POP3_PORT, .directory = "inbox"};
    static struct promise promise;
    struct promise *p = &promise;
    struct arguments a;

    if (size > OPTIONS_MOST)
        return 0;
    options_start(&a, data, size);
    promise = (struct promise){.status = -1};
    promise_read(p, "dx", "hvV", a.count, a.copies);
    if (p->operands > 0 && p->value['x'] != NULL)
        promise_end(p, 2, p->operand[0]);
    if (p->operands > 2)
        promise_end(p, 2, p->operand[2]);
    if (p->operands > 0 && p->operand[0][strspn(p->operand[0], "0123456789")] == '\0')
        promise_end(p, 2, p->operand[0]);       /* a port, or nothing, in the place of the host */
    if (p->operands > 1 && !in_range(p->operand[1], 1, 65535))
        promise_end(p, 2, p->operand[1]);
    wire_open(&client.screen, SYSTEM_STREAM, SYSTEM_STREAM + 1);
    wire_open(&client.errors, SYSTEM_STREAM, SYSTEM_STREAM + 1);
    if (setjmp(options_end) == 0)
        read_options(&client, &settings, a.count, a.words);
    options_judge(p);
    if (ended_with == -1)
        judge_client(p, &settings);
    return 0;
}
