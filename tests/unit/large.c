/*
 * large.c - messages of many MiB as SHOW displays them
 */
#include "show.h"

/* Headers, lines, tags and parts of a MiB take no more time than they have bytes. */
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
        {"Content-Type: text/html\n\n", "<"},
        {"Content-Type: text/html\n\n", "<a@"},
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
        while (whole.length < 1024 * 1024)
            text_puts(&whole, large[i].piece);
        show_to_text(&seen, text_span(&whole), 80, true);
        if (!CHECK(seen.length > 0 && (clock() - start) / CLOCKS_PER_SEC < 10))
            printf("%s%s...\n", large[i].start, large[i].piece);
        text_free(&whole);
        text_free(&seen);
    }
}

/* The name of a hidden element is as long as the text in which its end is looked for. */
static void
test_long_name(void)
{
    struct text whole = {NULL, 0, 0}, seen = {NULL, 0, 0};
    clock_t start = clock();

    text_puts(&whole, "Content-Type: text/html\n\n<");
    for (int i = 0; i < 200000; i++)
        text_puts(&whole, "a");
    text_puts(&whole, " style='display:none'>");
    for (int i = 0; i < 200000; i++)
        text_puts(&whole, "<");
    show_to_text(&seen, text_span(&whole), 80, true);
    CHECK(seen.length > 0 && (clock() - start) / CLOCKS_PER_SEC < 10);
    text_free(&whole);
    text_free(&seen);
}

/* What is longer than 12 MiB is truncated, wherever it stands, and a note says by how much. */
static void
test_truncated(void)
{
    static const struct { const char *start, *end, *note; } texts[] = {
        {"From: a\n\n", "", "80 more octets of this text"},
        {"From: a\n\n", "begin 644 x\n#0V%T\n`\nend\n", "80 more octets of this text"},
        {"From: a\n\nbegin 644 x\n#0V%T\n`\nend\n", "", "80 more octets of this text"},
        {"Content-Transfer-Encoding: base64\n\ndGV4dA==\n", "", "89 more octets of this text"},
        {"Content-Type: message/rfc822\nContent-Transfer-Encoding: quoted-printable\n\n\n", "",
            "81 more octets of this message"},
    };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct text whole = {NULL, 0, 0}, seen = {NULL, 0, 0};

        text_puts(&whole, texts[i].start);
        for (int line = 0; line < SHOW_TEXT / 8 + 10; line++)
            text_puts(&whole, "a line\r\n");
        text_puts(&whole, texts[i].end);
        show_to_text(&seen, text_span(&whole), 80, true);
        if (!CHECK(strstr(seen.bytes, "[truncated: ") && strstr(seen.bytes, texts[i].note)))
            printf("%s...%s\n", texts[i].start, texts[i].end);
        text_free(&whole);
        text_free(&seen);
    }
}

/* The size of an attachment that is longer than what is decoded. */
static void
test_attachments(void)
{
    static const struct { const char *encoding, *line, *size; } attachments[] = {
        {"8bit", "eight..\n", "31 MB"},
        {"base64", "MTIz\r\n", "16 MB"},
        {"base64", "MTIzMTIzMTIz\n", "22 MB"},
        {"quoted-printable", "=31=32\n", "13 MB"},
    };

    for (size_t i = 0; i < sizeof attachments / sizeof *attachments; i++) {
        struct text whole = {NULL, 0, 0}, seen = {NULL, 0, 0};

        text_printf(&whole, "Content-Type: image/gif\nContent-Transfer-Encoding: %s\n\n",
                    attachments[i].encoding);
        while (whole.length < 5 * SHOW_TEXT / 2)
            text_puts(&whole, attachments[i].line);
        show_to_text(&seen, text_span(&whole), 80, true);
        if (!CHECK(strstr(seen.bytes, attachments[i].size) != NULL))
            printf("%s\n", seen.bytes);
        text_free(&whole);
        text_free(&seen);
    }
}

int
main(void)
{
    unit_case("messages of any size", test_large);
    unit_case("an element with a long name", test_long_name);
    unit_case("texts that are too long", test_truncated);
    unit_case("long attachments", test_attachments);
    return unit_status;
}
