/*
 * show.c - messages as SHOW displays them
 *
 * For each tests/show/NAME.eml, what stands beside it is what a terminal of 80 or 40 columns shows
 * (NAME.80, NAME.40), one that reads ASCII only (NAME.ascii, of 80), or a pipe, where nothing is
 * wrapped (NAME.0). The messages of tests/mail/ are NAME mail-1 and so on. Each message is also
 * shown in every width, and fuzz/show.c looks whether only visible text comes out.
 */
#include "show.h"

#include <dirent.h>

static char base[512], message[sizeof base + 8];
static bool charset_lacking;    /* this libc does not know one that the message is in */

/* Reads a file into a text. Returns false if there is none. */
static bool
read_file(const char *path, struct text *to)
{
    FILE *file = fopen(path, "rb");
    char block[4096];

    if (file == NULL)
        return false;
    text_clear(to);
    for (size_t count; (count = fread(block, 1, sizeof block, file)) > 0; )
        text_add(to, block, count);
    fclose(file);
    return true;
}

/* Returns true if a page says that a charset is not known which the client does know. */
static bool
lacks_charset(const char *page)
{
    while ((page = strstr(page, "[the charset ")) != NULL) {
        page += strlen("[the charset ");
        if (charset_find((struct span){page, page + strcspn(page, " ")}) != NULL)
            return true;
    }
    return false;
}

/* Compares a page with what is written down for it, if it is. */
static bool
test_page(const char *ending, unsigned columns, bool utf8)
{
    struct text expected = {NULL, 0, 0}, whole = {NULL, 0, 0}, seen = {NULL, 0, 0};
    char path[sizeof base + 16];
    bool there;

    snprintf(path, sizeof path, "%s.%s", base, ending);
    there = read_file(path, &expected);
    if (there && CHECK(read_file(message, &whole))) {
        show_to_text(&seen, text_span(&whole), columns, utf8);
        if (lacks_charset(seen.bytes))
            charset_lacking = true;
        else if (!CHECK(strcmp(seen.bytes, expected.bytes) == 0))
            printf("%s: expected:\n%s\nshown:\n%s\n", path, expected.bytes, seen.bytes);
    }
    text_free(&expected);
    text_free(&whole);
    text_free(&seen);
    return there;
}

static void
test_message(void)
{
    int pages = 0;

    pages += test_page("80", 80, true);
    pages += test_page("40", 40, true);
    pages += test_page("0", 0, true);
    pages += test_page("ascii", 80, false);
    CHECK(pages >= 1);
    for (int first = 0; first < 16; first++)
        CHECK(fuzz_file(message, first));
}

int
main(void)
{
    DIR *directory = opendir("tests/show");
    const struct dirent *entry;

    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        const char *ending = strrchr(entry->d_name, '.');
        int length = ending != NULL ? (int)(ending - entry->d_name) : 0;
        char name[300];

        if (length == 0 || strcmp(ending, ".80") != 0)
            continue;
        snprintf(name, sizeof name, "shown: %.*s", length, entry->d_name);
        snprintf(base, sizeof base, "tests/show/%.*s", length, entry->d_name);
        snprintf(message, sizeof message, "%s.eml", base);
        if (strncmp(entry->d_name, "mail-", 5) == 0)
            snprintf(message, sizeof message, "tests/mail/%.*s.eml", length - 5, entry->d_name + 5);
        charset_lacking = false;
        unit_case(name, test_message);
        if (charset_lacking)
            printf("skip - %s as it should be: a charset is not known to this libc\n", name);
    }
    if (directory != NULL)
        closedir(directory);
    return unit_status;
}
