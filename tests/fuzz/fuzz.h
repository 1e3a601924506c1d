/*
 * fuzz.h - the frame of the fuzzers: one file serves three ways
 *
 *   libFuzzer   clang -DLIBFUZZER -g -O1 -fsanitize=fuzzer,address,undefined tests/fuzz/NAME.c -o
 * fuzz AFL++       the same with afl-clang-fast, which keeps one process for many inputs; or
 * without the macro and the fuzzer, as "fuzz @@" or with the input on standard input replay      cc
 * -g tests/fuzz/NAME.c -o replay, then "replay FILE|DIRECTORY..."
 *
 * tests/corpus/NAME holds inputs to begin with, each named for what it does or once did; make
 * test replays them. A fuzzer defines LLVMFuzzerTestOneInput() and says DEMAND(what must hold).
 * FUZZ_INCLUDED keeps main() out, for a program that includes one.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <dirent.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *fuzz_path;   /* of the input that is replayed, or NULL */

/* Ends the program: something that must hold does not. */
static inline _Noreturn void
fuzz_fail(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
    if (fuzz_path != NULL)
        fprintf(stderr, "with the input %s\n", fuzz_path);
    abort();
}

#define DEMAND(what) \
    do { if (!(what)) fuzz_fail(__FILE__, __LINE__, #what); } while (0)

/* Returns a number from 0 to sides - 1, the next one of a row that *state determines. */
static inline uint32_t
fuzz_dice(uint32_t *state, uint32_t sides)
{
    *state = *state * 1664525 + 1013904223;
    return (uint32_t)(((uint64_t)(*state ^ *state >> 15) * sides) >> 32);
}

/* Gives the fuzzer's function all of an open file, behind a first octet if that is not negative. */
static inline bool
fuzz_stream(FILE *file, int first)
{
    static uint8_t data[1 << 20];
    size_t size = 0;

    if (first >= 0)
        data[size++] = (uint8_t)first;
    size += fread(data + size, 1, sizeof data - size, file);

    unsigned char *exact = malloc(size + 1);    /* for a sanitizer to see each octet beyond it */
    if (exact != NULL) {
        memcpy(exact, data, size);
        LLVMFuzzerTestOneInput(exact, size);
        free(exact);
    }
    return exact != NULL;
}

/*
 * Replays one file, behind a first octet if that is not negative. Returns false when there is
 * none.
 */
static inline bool
fuzz_file(const char *path, int first)
{
    FILE *file = fopen(path, "rb");
    bool good = file != NULL;

    fuzz_path = path;
    if (file != NULL) {
        good = fuzz_stream(file, first);
        fclose(file);
    }
    fuzz_path = NULL;
    return good;
}

/* Replays a file, or all files of a directory but hidden ones. Returns how many. */
static inline int
fuzz_replay(const char *path)
{
    DIR *directory = opendir(path);
    int count = 0;

    if (directory == NULL)
        return fuzz_file(path, -1);
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        char name[PATH_MAX];

        if (entry->d_name[0] != '.' &&
            snprintf(name, sizeof name, "%s/%s", path, entry->d_name) < (int)sizeof name)
            count += fuzz_replay(name);
    }
    closedir(directory);
    return count;
}

#if !defined LIBFUZZER && !defined FUZZ_INCLUDED
int
main(int argc, char **argv)
{
    int count = argc < 2 && fuzz_stream(stdin, -1), missing = 0;

    for (int i = 1; i < argc; i++) {
        int now = fuzz_replay(argv[i]);

        if (now == 0) {
            missing = 1;
            printf("not ok - no inputs in %s\n", argv[i]);
        }
        count += now;
    }
    if (missing == 0)
        printf("ok - %d inputs replayed\n", count);
    return missing;
}
#endif

#endif
