/*
 * server_options.c - any command line of the server; options.h describes the input
 */
#include "options.h"

int server_main(int, char **);
#define main server_main
#include "../../server.c"
#undef main

/* Returns true for a numeric address. */
static bool
is_address(const char *text)
{
    unsigned char octets[16];

    return inet_pton(AF_INET, text, octets) == 1 || inet_pton(AF_INET6, text, octets) == 1;
}

static void
check_value(struct expected *p, char option, const char *value)
{
    if (option == 'a') {
        if (p->addresses == ADDRESSES)
            expect_exit(p, 2, "-a");
        else if (!is_address(value))
            expect_exit(p, 2, value);
        p->address[p->addresses++] = value;
    }
    if (option == 'd' && value[0] == '\0')
        expect_exit(p, 2, "-d");
    if (option == 'n' && !in_range(value, 1, 100000))
        expect_exit(p, 2, "-n");
    if (option == 't' && !in_range(value, 1, 1000000))
        expect_exit(p, 2, "-t");
}

static void
check_settings(const struct expected *p, const struct settings *s)
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
    struct expected *p;
    struct arguments a;

    if (size > OPTIONS_MOST)
        return 0;
    p = options_start(&a, data, size, "adnpt", "hivV");
    if (p->operands > 0 && p->value['i'] != NULL)
        expect_exit(p, 2, "-i");
    if (p->operands > 0 && !in_range(p->operand[0], 0, 65535))
        expect_exit(p, 2, p->operand[0]);
    if (p->operands > 1)
        expect_exit(p, 2, p->operand[1]);
    if (setjmp(options_end) == 0)
        read_options(&settings, a.count, a.words);
    options_check(p);
    if (exit_status == -1)
        check_settings(p, &settings);
    return 0;
}
