/*
 * show.c - whatever a message holds, SHOW writes only visible text, on lines that fit
 *
 * The first octet of an input chooses the width and the charset of the page, the rest is the message.
 *
 * fuzz.h says how to run it. tests/show holds messages to begin with; unit/show.c, which includes this file,
 * shows them in every width.
 */
int client_main(int argc, char **argv);
#define main client_main
#include "../../client.c"
#undef main

#include "fuzz.h"

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

        DEMAND(sign || name);
    }
}

static void
check_utf8(const char *text, size_t length, size_t columns)
{
    size_t start = 0;

    for (size_t i = 0; i < length; ) {
        uint32_t c = 0;
        int octets = utf8_read((const unsigned char *)text + i, length - i, &c);

        DEMAND(octets > 0);
        DEMAND(c == '\n' || c == '\t' || (c >= ' ' && c != 0x7f && !deceives(c)));
        if (c == '\n') {
            check_line(text + start, i - start, columns);
            start = i + 1;
        }
        i += (size_t)octets;
    }
    DEMAND(start == length);
}

static void
check_octets(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];

        DEMAND(c == '\n' || c == '\t' || (c >= ' ' && c < 0x7f) || c >= 0xa0);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned widths[] = {0, 80, 40, 23};
    char *text = NULL;
    size_t length = 0;

    if (size == 0)
        return 0;

    unsigned columns = widths[data[0] & 3];
    bool latin = (data[0] & 0xc) == 0xc;
    FILE *message = tmpfile(), *page = open_memstream(&text, &length);

    DEMAND(message != NULL && page != NULL);
    DEMAND(fwrite(data + 1, 1, size - 1, message) == size - 1 && fflush(message) == 0);
    DEMAND(show_message(fileno(message), page, columns));
    fclose(page);
    if (latin) {
        char *utf8 = text;
        iconv_t to_latin = iconv_open("ISO-8859-1", "UTF-8");
        struct visible v = {.count = 0};

        page = open_memstream(&text, &length);
        DEMAND(page != NULL && to_latin != (iconv_t)-1);
        page_put(page, &v, to_latin, utf8, strlen(utf8));
        iconv_close(to_latin);
        fclose(page);
        free(utf8);
    }
    fclose(message);
    if (latin)
        check_octets(text, length);
    else
        check_utf8(text, length, columns);
    free(text);
    return 0;
}
