/*
 * show.c - SHOW writes only printable text, on lines that fit, for any message
 *
 * The first byte of an input chooses the width and the charset of the page, the rest is the
 * message. fuzz.h describes how to run it. tests/show has the first inputs; unit/show.c, which
 * includes this file, shows them in every width.
 */
int client_main(int argc, char **argv);
#define main client_main
#include "../../client.c"
#undef main

#include "fuzz.h"

/* The end of the decoder's process is its cleanup. */
const char *__asan_default_options(void);

const char *
__asan_default_options(void)
{
    return "detect_leaks=0";
}

/* Only the last word of a line may be too wide; before it stand quote marks or a field name. */
static void
check_line(struct span line, size_t columns)
{
    struct span start = line, last = line;

    if (columns == 0 || columns_from(0, line) <= columns)
        return;
    while (last.end > last.at && last.end[-1] != ' ' && last.end[-1] != '\t')
        last.end--;
    for (; start.at < last.end; start.at++) {
        bool sign = is_in(*start.at, "|> \t");
        bool name = start.at - line.at < 10 + 2 * SHOW_BARS;

        DEMAND(sign || name);
    }
}

static void
check_page(struct span page, size_t columns, bool utf8)
{
    struct span line;
    uint32_t c, before = 0;

    DEMAND(page.at == page.end || page.end[-1] == '\n');
    for (struct span rest = page; rest.at < rest.end; before = c) {
        int size = utf8_read((const unsigned char *)rest.at, span_length(rest), &c);

        DEMAND(size > 0 && !must_escape(c, before) && (utf8 || c < 0x80));
        rest.at += size;
    }
    while (next_line(&page, &line))
        check_line(line, columns);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned widths[] = {0, 80, 40, 23};
    char *text = NULL;
    size_t length = 0;
    struct text page = {NULL, 0, 0};

    if (size == 0)
        return 0;

    const char *message = (const char *)data + 1;
    struct span whole = {message, message + size - 1};
    unsigned columns = widths[data[0] & 3];
    const struct client client = {.utf8 = (data[0] & 0xc) != 0xc};
    FILE *out = open_memstream(&text, &length);

    DEMAND(out != NULL);
    show_message(whole, out, columns);
    fclose(out);
    check_page((struct span){text, text + length}, columns, true);
    free(text);
    text = NULL;

    /* The parent prints the page unchanged, or in ASCII. */
    put_visible(&client, &page, whole);
    text_add(&page, "\n", 1);
    check_page(text_span(&page), 0, client.utf8);
    text_free(&page);

    /* The line of HEADERS, with the message as its header. */
    struct heading about = {.number = 1, .octets = size, .listed = true, .length = size - 1};
    struct text headers = {NULL, 0, 0};

    text_add(&headers, (char *)&about, sizeof about);
    text_add(&headers, message, size - 1);
    out = open_memstream(&text, &length);
    DEMAND(out != NULL);
    show_headers(text_span(&headers), out, columns);
    fclose(out);
    text_free(&headers);
    check_page((struct span){text, text + length}, 0, true);
    DEMAND(memchr(text, '\n', length) == text + length - 1);
    free(text);
    return 0;
}
