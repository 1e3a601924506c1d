/*
 * text.c - section 2 of client.c: texts, UTF-8, what is visible, and its columns
 */
#define FUZZ_INCLUDED
#include "../fuzz/visible.c"

#include "unit.h"

static void
test_text(void)
{
    struct text t = {NULL, 0, 0};

    CHECK(span_length(text_span(&t)) == 0);
    text_puts(&t, "");
    CHECK(strcmp(t.bytes, "") == 0);
    text_add(&t, "a\0b", 3);
    CHECK(t.length == 3 && memcmp(t.bytes, "a\0b", 4) == 0);
    text_clear(&t);
    CHECK(t.length == 0 && strcmp(t.bytes, "") == 0 && t.room > 0);
    for (int i = 0; i < 1000; i++)
        text_printf(&t, "%03d ", i);
    CHECK(t.length == 4000 && strncmp(t.bytes + 3996, "999 ", 5) == 0);
    text_free(&t);
    CHECK(t.bytes == NULL && t.room == 0);
}

/* The end without memory names the program as it was called. */
static void
test_out_of_memory(void)
{
    static const char expected[] = "mail: out of memory; without QUIT nothing is removed\n";
    char message[128] = "";
    int pipes[2], status;

    fflush(stdout);
    if (!CHECK(pipe(pipes) == 0))
        return;

    pid_t pid = fork();
    if (pid == 0) {
        program = "mail";
        dup2(pipes[1], STDERR_FILENO);
        out_of_memory();
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 1);
    CHECK(read(pipes[0], message, sizeof message - 1) > 0 && strcmp(message, expected) == 0);
    close(pipes[0]);
    close(pipes[1]);
}

static void
test_visible(void)
{
    static const struct {
        const char *in;
        size_t length;
        const char *out;
    } texts[] = {
#define TEXT(in, out) {in, sizeof in - 1, out}
        TEXT("", ""),
        TEXT("plain ~", "plain ~"),
        TEXT("\ta\n", "\ta\n"),
        TEXT("a\r\nb\r\n", "a\nb\n"),
        TEXT("a\rb", "a^Mb"),
        TEXT("\r\r\n\r", "^M\n^M"),
        TEXT("\n\r\n\r", "\n\n^M"),
        TEXT("a\0b", "a^@b"),
        TEXT("\001\037\b\a\v\f", "^A^_^H^G^K^L"),
        TEXT("\033[31mred\033]0;x\a", "^[[31mred^[]0;x^G"),
        TEXT("\177", "^?"),
        TEXT("\x9b" "31m", "\\x9b31m"),
        TEXT("\xc2\x9b" "31m", "\\u009b31m"),
        TEXT("\xc2\x80\xc2\x85\xc2\x9f\xc2\xa0", "\\u0080\\u0085\\u009f\xc2\xa0"),
        TEXT("\xe2\x80\xaegepj.exe", "\\u202egepj.exe"),
        TEXT("\xe2\x80\xaa\xe2\x80\xab\xe2\x80\xac\xe2\x80\xad", "\\u202a\\u202b\\u202c\\u202d"),
        TEXT("\xe2\x81\xa6\xe2\x81\xa7\xe2\x81\xa8\xe2\x81\xa9", "\\u2066\\u2067\\u2068\\u2069"),
        TEXT("\xe2\x80\x8e\xe2\x80\x8f\xd8\x9c", "\\u200e\\u200f\\u061c"),
        TEXT("\xe2\x80\xa8\xe2\x80\xa9", "\\u2028\\u2029"),
        TEXT("\xf3\xa0\x80\x81\xf4\x8f\xbf\xbf", "\\u{e0001}\\u{10ffff}"),
        TEXT("\xef\xbf\xbe\xef\xbf\xbf\xef\xb7\x90", "\\ufffe\\uffff\\ufdd0"),
        TEXT("\xef\xbf\xbd\xef\xbf\xbc", "\xef\xbf\xbd\xef\xbf\xbc"),
        TEXT("\xc3\xa9\xe4\xbd\xa0\xf0\x9f\x98\x80" "e\xcc\x81",
             "\xc3\xa9\xe4\xbd\xa0\xf0\x9f\x98\x80" "e\xcc\x81"),
        TEXT("\x80\xbf\xfe\xff", "\\x80\\xbf\\xfe\\xff"),
        TEXT("\xc3", "\\xc3"),
        TEXT("\xc3z\xc3\n", "\\xc3z\\xc3\n"),
        TEXT("\xc3\xc3\xa9", "\\xc3\xc3\xa9"),
        TEXT("\xc3\r\n", "\\xc3\n"),
        TEXT("\xe4\xbd\r", "\\xe4\\xbd^M"),
        TEXT("\xf0\x9f\x98\x1b", "\\xf0\\x9f\\x98^["),
        TEXT("\xf0\x9f\xe4\xbd\xa0", "\\xf0\\x9f\xe4\xbd\xa0"),
        TEXT("\xc0\x8a\xc1\xbf", "\\xc0\\x8a\\xc1\\xbf"),
        TEXT("\xe0\x80\x9b\xe0\x9f\xbf", "\\xe0\\x80\\x9b\\xe0\\x9f\\xbf"),
        TEXT("\xf0\x80\x80\x9b\xf0\x8f\xbf\xbf", "\\xf0\\x80\\x80\\x9b\\xf0\\x8f\\xbf\\xbf"),
        TEXT("\xed\xa0\x80\xed\xbf\xbf", "\\xed\\xa0\\x80\\xed\\xbf\\xbf"),
        TEXT("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"),
        TEXT("\xf8\x88\x80\x80\x80", "\\xf8\\x88\\x80\\x80\\x80"),
        /* Invisible characters could hide a difference between two names or addresses. */
        TEXT("a\xe2\x80\x8b\xc2\xad\xef\xbb\xbf\xcd\x8f", "a\\u200b\\u00ad\\ufeff\\u034f"),
        TEXT("a\xe2\x80\x8d" "b\xe2\x80\x8c", "a\\u200db\\u200c"),
        TEXT("\xe2\x80\x8d", "\\u200d"),
        TEXT("\xe2\x80\xae\xe2\x80\x8d", "\\u202e\\u200d"),
        TEXT("a\xef\xb8\x8f", "a\\ufe0f"),
        /* In emoji and in Persian they are part of what is seen. */
        TEXT("\xf0\x9f\x91\xa8\xe2\x80\x8d\xf0\x9f\x91\xa9", "\xf0\x9f\x91\xa8\xe2\x80\x8d\xf0\x9f\x91\xa9"),
        TEXT("1\xef\xb8\x8f\xe2\x83\xa3", "1\xef\xb8\x8f\xe2\x83\xa3"),
        TEXT("\xdb\x8c\xe2\x80\x8c\xd8\xae", "\xdb\x8c\xe2\x80\x8c\xd8\xae"),
#undef TEXT
    };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct text out = {NULL, 0, 0};

        text_clear(&out);
        visible(&out, (struct span){texts[i].in, texts[i].in + texts[i].length});
        if (!CHECK(strcmp(out.bytes, texts[i].out) == 0))
            printf("    text %zu: '%s', not '%s'\n", i, out.bytes, texts[i].out);
        text_free(&out);
    }
}

/* Whatever four bytes stand one behind the other, nothing but text comes out. */
static void
test_visible_safe(void)
{
    static const unsigned char nasty[] = {
        'a', '\r', '\n', '\t', 0x1b, 0, 0x7f, 0x80, 0x8b, 0x8f, 0x9b, 0xa0, 0xae, 0xbf, 0xc2, 0xe0,
        0xe2, 0xed, 0xef, 0xf0, 0xf3, 0xf4, 0xff
    };
    enum { KINDS = sizeof nasty };
    uint8_t in[4];

    for (unsigned n = 0; n < KINDS * KINDS * KINDS * KINDS; n++) {
        for (unsigned i = 0, rest = n; i < 4; i++, rest /= KINDS)
            in[i] = nasty[rest % KINDS];
        LLVMFuzzerTestOneInput(in, sizeof in);  /* which ends the program if it is not so */
    }
    CHECK(true);
}

/* Every character between others, and long runs that are cut into pieces. */
static void
test_visible_every(void)
{
    uint8_t text[512];

    for (uint32_t code = 0; code <= 0x10ffff; code++) {
        size_t size = 1 + utf8_write(code, (char *)text + 1);

        text[0] = 'a';
        text[size] = 'b';
        LLVMFuzzerTestOneInput(text, size + 1);
    }
    for (unsigned seed = 1; seed < 2000; seed++) {
        uint32_t state = seed;

        for (size_t i = 0; i < sizeof text; i++)
            text[i] = seed % 2 == 0 ? (uint8_t)fuzz_random(&state, 256)
                : (uint8_t)"\xe2\x80\x8d\r\na\xc2\xad"[fuzz_random(&state, 8)];
        LLVMFuzzerTestOneInput(text, sizeof text);
    }
    CHECK(true);
}

static void
test_whole_end(void)
{
    static const struct { const char *text; size_t end; } cuts[] = {
        {"a\nb", 3}, {"ab", 2}, {"a\xc3", 1}, {"a\xe2\x80", 1}, {"a\xf0\x9f\x98", 1},
        {"a\xf0\x9f\x98\x80", 5}, {"a\r", 1}, {"a\r\n", 3}, {"\x80\x80\x80", 3}, {"\xff", 1},
        {"", 0}, {"\n\xc3", 1},
    };

    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++)
        CHECK(whole_end(string_span(cuts[i].text)) == cuts[i].text + cuts[i].end);
}

static void
test_utf8(void)
{
    int wrong = 0;

    for (uint32_t code = 0; code <= 0x110000; code++) {
        char text[5] = "";
        uint32_t back = 0;
        size_t size = utf8_write(code, text);
        bool none = (code >= 0xd800 && code <= 0xdfff) || code > 0x10ffff;

        wrong += utf8_read((unsigned char *)text, size, &back) != (int)size
            || back != (none ? 0xfffd : code);
        for (size_t cut = 0; cut < size; cut++)
            wrong += utf8_read((unsigned char *)text, cut, &back) != -1;
    }
    CHECK(wrong == 0);
}

static void
test_ascii(void)
{
    struct text out = {NULL, 0, 0};

    visible_ascii(&out, string_span("\u201cna\u00efve\u201d \u2013 \u2026 e\u0301\tx\n"));
    CHECK(strcmp(out.bytes, "\"na?ve\" - . e\tx\n") == 0);
    text_free(&out);
}

static void
test_columns(void)
{
    static const struct { const char *text; size_t columns; } texts[] = {
        {"", 0}, {"abc", 3}, {"\u00e9", 1}, {"e\u0301", 1}, {"a\tb", 9}, {"12345678\tb", 17},
    };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        CHECK(columns_from(0, string_span(texts[i].text)) == texts[i].columns);
    CHECK(columns_from(5, string_span("\tx")) == 9);
    if (wcwidth(0x4f60) == 2)           /* the system has a UTF-8 locale */
        CHECK(columns_from(0, string_span("\u4f60\u597d")) == 4);
}

static void
test_sizes(void)
{
    static const struct { int64_t octets; const char *text; } sizes[] = {
        {0, "0 B"}, {999, "999 B"}, {1000, "1.0 kB"}, {1150, "1.2 kB"}, {9949, "9.9 kB"},
        {9950, "10 kB"}, {10499, "10 kB"}, {10500, "11 kB"}, {999499, "999 kB"},
        {999500, "1.0 MB"}, {1251000, "1.3 MB"}, {999499999, "999 MB"}, {INT64_MAX, "9.2 EB"},
    };

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        CHECK(strcmp(size_text(sizes[i].octets).text, sizes[i].text) == 0);
}

int
main(void)
{
    unit_case("texts grow", test_text);
    unit_case("the end without memory", test_out_of_memory);
    unit_case("visible text", test_visible);
    unit_case("visible text cannot drive a terminal", test_visible_safe);
    unit_case("every character, and pieces of text", test_visible_every);
    unit_case("where pieces are cut", test_whole_end);
    unit_case("every character, there and back", test_utf8);
    unit_case("a terminal that reads ASCII only", test_ascii);
    unit_case("the columns of a text", test_columns);
    unit_case("sizes for people", test_sizes);
    return unit_status;
}
