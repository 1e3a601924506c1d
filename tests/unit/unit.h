/*
 * unit.h - what the programs among the tests share: a check, and one line for each case
 *
 * It comes behind the program under test, or pop3.h, which says which interfaces of the system
 * there are.
 */
#ifndef UNIT_H
#define UNIT_H

#include <stdio.h>

static int unit_failures;       /* in this case */
static int unit_status;         /* of the whole program */

/* Notes a check that failed; the case goes on. Returns what was checked. */
static inline bool
unit_check(bool good, const char *what, const char *file, int line)
{
    if (!good) {
        unit_failures++;
        printf("%s:%d: %s\n", file, line, what);
    }
    return good;
}

#define CHECK(condition) unit_check((condition), #condition, __FILE__, __LINE__)

/* Runs one case and says how it went. */
static inline void
unit_case(const char *name, void (*test)(void))
{
    unit_failures = 0;
    test();
    printf("%s - %s\n", unit_failures == 0 ? "ok" : "not ok", name);
    fflush(stdout);
    if (unit_failures != 0)
        unit_status = 1;
}

#endif
