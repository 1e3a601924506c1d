/*
 * fuzz_show.c - whatever a message holds, SHOW writes only visible text, on lines that fit
 *
 * The first octet of an input chooses the width and the charset of the page, the rest is the message.
 *
 *   libFuzzer   clang -DLIBFUZZER -g -O2 -fsanitize=fuzzer,address,undefined tests/fuzz_show.c -o fuzz
 *   AFL++       the same with afl-clang-fast; or without the macro and the fuzzer, as "fuzz @@"
 *   replay      cc -g tests/fuzz_show.c -o replay, then "replay FILE..."
 *
 * tests/show holds messages to begin with; unit_show.c, which includes this file, shows them in every width.
 */
int client_main(int argc, char **argv);
#define main client_main
#include "../client.c"
#undef main

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "fuzz_show: %s\n", what);
        abort();
    }
}

/* A line may be too wide for one word only: no blank in it behind what it begins with. */
static void
check_line(const char *line, size_t length, size_t columns)
{
    size_t used = columns_after(0, line, length), last = length;

    if (columns == 0 || used <= columns)
        return;
    while (last > 0 && line[last - 1] != ' ' && line[last - 1] != '\t')
        last--;

    /* The last word stands behind bars, a field's name, quote signs and blanks, or a sign of a list. */
    for (size_t at = 0; at < last; at++) {
        bool sign = strchr("|> \t-*.0123456789", line[at]) != NULL;
        bool name = at < 10 + 2 * SHOW_BARS;

        check(sign || name, "a line is too wide");
    }
}

static void
check_utf8(const char *text, size_t length, size_t columns)
{
    size_t start = 0;

    for (size_t i = 0; i < length; ) {
        uint32_t c = 0;
        int octets = utf8_read((const unsigned char *)text + i, length - i, &c);

        check(octets > 0, "not UTF-8");
        check(c == '\n' || c == '\t' || (c >= ' ' && c != 0x7f && !deceives(c)), "a control character");
        if (c == '\n') {
            check_line(text + start, i - start, columns);
            start = i + 1;
        }
        i += (size_t)octets;
    }
    check(start == length, "the last line has no end");
}

static void
check_octets(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];

        check(c == '\n' || c == '\t' || (c >= ' ' && c < 0x7f) || c >= 0xa0, "a control octet");
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned widths[] = {0, 80, 40, 23};
    volatile sig_atomic_t stop = 0;
    char *text = NULL;
    size_t length = 0;

    if (size == 0)
        return 0;

    unsigned columns = widths[data[0] & 3];
    bool latin = (data[0] & 0xc) == 0xc;
    FILE *message = tmpfile(), *page = open_memstream(&text, &length);

    check(message != NULL && page != NULL, "no file");
    check(fwrite(data + 1, 1, size - 1, message) == size - 1 && fflush(message) == 0, "no room");
    check(show_message(fileno(message), page, columns, latin ? "ISO-8859-1" : "UTF-8", &stop), "failed");
    fclose(page);
    fclose(message);
    if (latin)
        check_octets(text, length);
    else
        check_utf8(text, length, columns);
    free(text);
    return 0;
}

#ifndef LIBFUZZER
/* Gives the fuzzer's function a file, behind a first octet if that is not negative. Returns false for no file. */
static bool
fuzz_replay(const char *path, int first)
{
    static uint8_t data[1 << 20];
    FILE *file = fopen(path, "rb");
    size_t size = 0;

    if (file == NULL)
        return false;
    if (first >= 0)
        data[size++] = (uint8_t)first;
    size += fread(data + size, 1, sizeof data - size, file);
    fclose(file);

    unsigned char *exact = malloc(size + 1);    /* for a sanitizer to see each octet beyond it */
    if (exact != NULL) {
        memcpy(exact, data, size);
        LLVMFuzzerTestOneInput(exact, size);
        free(exact);
    }
    return exact != NULL;
}

#ifndef UNIT_SHOW
int
main(int argc, char **argv)
{
    int count = 0;

    for (int i = 1; i < argc; i++)
        count += fuzz_replay(argv[i], -1);
    printf("%d inputs replayed\n", count);
    return count > 0 ? 0 : 1;
}
#endif
#endif
