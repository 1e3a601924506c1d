/*
 * client_options.c - any command line of the client; options.h describes the input
 */
#include "options.h"

int client_main(int, char **);
#define main client_main
#include "../../client.c"
#undef main

static void
check_value(struct expected *p, char option, const char *value)
{
    if (value[0] == '\0')
        expect_exit(p, 2, option == 'd' ? "-d" : "-x");
}

static void
check_settings(const struct expected *p, const struct settings *s)
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
    struct expected *p;
    struct arguments a;

    if (size > OPTIONS_MOST)
        return 0;
    p = options_start(&a, data, size, "dx", "hvV");
    if (p->operands > 0 && p->value['x'] != NULL)
        expect_exit(p, 2, p->operand[0]);
    if (p->operands > 2)
        expect_exit(p, 2, p->operand[2]);
    if (p->operands > 0 && p->operand[0][strspn(p->operand[0], "0123456789")] == '\0')
        expect_exit(p, 2, p->operand[0]);       /* the host is a number, or empty */
    if (p->operands > 1 && !in_range(p->operand[1], 1, 65535))
        expect_exit(p, 2, p->operand[1]);
    wire_open(&client.screen, SYSTEM_STREAM, SYSTEM_STREAM + 1);
    wire_open(&client.errors, SYSTEM_STREAM, SYSTEM_STREAM + 1);
    if (setjmp(options_end) == 0)
        read_options(&client, &settings, a.count, a.words);
    options_check(p);
    if (exit_status == -1)
        check_settings(p, &settings);
    return 0;
}
