/*
 * fuzz.h - what all fuzzers include; each of them runs in three ways
 *
 *   libFuzzer   clang -DLIBFUZZER -g -O1 -fsanitize=fuzzer,address,undefined tests/fuzz/NAME.c
 *   AFL++       the same with afl-clang-fast; or without the macro and -fsanitize=fuzzer, as
 *               "fuzz @@" or with the input on standard input
 *   replay      cc -g tests/fuzz/NAME.c -o replay, then "replay FILE|DIRECTORY..."
 *
 * tests/corpus/NAME holds the first inputs, each named for what it does or once did. "make test"
 * replays them. A fuzzer defines LLVMFuzzerTestOneInput(), which calls DEMAND(condition). A program
 * that includes a fuzzer defines FUZZ_INCLUDED to leave out main().
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

static const char *fuzz_path;   /* of the replayed input, or NULL */

/* Aborts: a condition does not hold. */
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

/* Returns a number below limit. *state determines the sequence. */
static inline uint32_t
fuzz_random(uint32_t *state, uint32_t limit)
{
    *state = *state * 1664525 + 1013904223;
    return (uint32_t)(((uint64_t)(*state ^ *state >> 15) * limit) >> 32);
}

/* Runs the fuzzer on an open file, with a byte before its content if `first` is not negative. */
static inline bool
fuzz_stream(FILE *file, int first)
{
    static uint8_t data[1 << 20];
    size_t size = 0;

    if (first >= 0)
        data[size++] = (uint8_t)first;
    size += fread(data + size, 1, sizeof data - size, file);

    unsigned char *exact = malloc(size + 1);    /* so that a sanitizer detects an overrun */
    if (exact != NULL) {
        memcpy(exact, data, size);
        LLVMFuzzerTestOneInput(exact, size);
        free(exact);
    }
    return exact != NULL;
}

/* Replays a file, with a byte before it as above. Returns false if it cannot be read. */
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

/* Replays a file, or all files of a directory that are not hidden. Returns their number. */
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
