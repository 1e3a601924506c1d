/*
 * large.c - messages of many MiB as SHOW displays them
 */
#include "show.h"

/* Headers, lines, tags and parts of many MiB take no more time than they have bytes. */
static void
test_large(void)
{
    static const struct { const char *start, *piece; } large[] = {
        {"Subject: ", "long "},
        {"From: a\n\n", "word"},
        {"From: a\nSubject: x\n\n", "a line of text, as people write them\n"},
        {"Content-Type: text/html\n\n<a href='", "&amp;<b>"},
        {"Content-Type: text/html\n\n", "<a href=\""},
        {"Content-Type: text/html\n\n", "<title>x"},
        {"Content-Type: text/html\n\n", "<p style='display:none'>x"},
        {"Content-Type: text/html\n\n", "&unknownname"},
        {"Content-Type: text/html\n\n", "&"},
        {"Content-Type: text/html\n\n", "<!-- "},
        {"Content-Type: text/plain; charset=iso-2022-jp\n\n", "\033$B\"!"},
        {"Content-Type: multipart/mixed; boundary=b\n\n",
            "--b\nContent-Type: multipart/mixed; boundary=b\n\n"},
        {"Subject: ", "=?utf-8?Q?"},
        {"Content-Type: text/plain; name=", "a = b; "},
        {"From: a\n\n", "begin 644 x\n#0V%T\n"},
        {"Content-Transfer-Encoding: quoted-printable\n\n", "=  "},
    };

    for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
        struct text whole = {NULL, 0, 0}, seen = {NULL, 0, 0};
        clock_t start = clock();

        text_puts(&whole, large[i].start);
        while (whole.length < 4 * 1024 * 1024)
            text_puts(&whole, large[i].piece);
        show_to_text(&seen, text_span(&whole), 80, true);
        if (!CHECK(seen.length > 0 && (clock() - start) / CLOCKS_PER_SEC < 10))
            printf("%s%s...\n", large[i].start, large[i].piece);
        text_free(&whole);
        text_free(&seen);
    }
}

/* What is longer than 12 MiB is truncated, wherever it stands, and a note says by how much. */
static void
test_truncated(void)
{
    static const struct { const char *start, *end; } texts[] = {
        {"From: a\n\n", ""},
        {"From: a\n\n", "begin 644 x\n#0V%T\n`\nend\n"},
        {"From: a\n\nbegin 644 x\n#0V%T\n`\nend\n", ""},
        {"Content-Transfer-Encoding: base64\n\ndGV4dA==\n", ""},
        {"Content-Type: message/rfc822\nContent-Transfer-Encoding: quoted-printable\n\n\n", ""},
    };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct text whole = {NULL, 0, 0}, seen = {NULL, 0, 0};

        text_puts(&whole, texts[i].start);
        for (int line = 0; line < SHOW_TEXT / 8 + 10; line++)
            text_puts(&whole, "a line\r\n");
        text_puts(&whole, texts[i].end);
        show_to_text(&seen, text_span(&whole), 80, true);
        if (!CHECK(strstr(seen.bytes, "[truncated: 80 more octets of this text are not shown; ")
                   || strstr(seen.bytes, "[truncated: 81 more octets of the enclosed message ")))
            printf("%s...%s\n", texts[i].start, texts[i].end);
        text_free(&whole);
        text_free(&seen);
    }
}

int
main(void)
{
    unit_case("messages of any size", test_large);
    unit_case("texts that are too long", test_truncated);
    return unit_status;
}
