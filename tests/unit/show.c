/*
 * show.c - messages as SHOW displays them
 *
 * For each tests/show/NAME.eml, what stands beside it is what a terminal of 80 or 40 columns shows (NAME.80,
 * NAME.40), one that reads ISO-8859-1 (NAME.latin1, of 80), or a pipe, where nothing is wrapped (NAME.0). The
 * messages of tests/mail/ are NAME mail-1 and so on. Each message is also shown in every width and charset,
 * and fuzz/show.c looks whether only visible text comes out.
 */
#define FUZZ_INCLUDED
#include "../fuzz/show.c"

#include "unit.h"

#include <dirent.h>

static char base[512], message[sizeof base + 8];
static bool charset_lacking;    /* this libc does not know one that the message is in */

/* Reads a file whole. Returns its text with a NUL, to be freed, or NULL. */
static char *
read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    char *text = NULL;
    size_t length = 0;

    if (file == NULL)
        return NULL;

    FILE *copy = open_memstream(&text, &length);
    for (int c; copy != NULL && (c = getc(file)) != EOF;)
        putc(c, copy);
    fclose(file);
    if (copy != NULL)
        fclose(copy);
    return text;
}

/* Returns how often a text says that a charset is not known. */
static int
unknown_charsets(const char *text)
{
    int count = 0;

    while ((text = strstr(text, "[the charset ")) != NULL) {
        text++;
        count++;
    }
    return count;
}

/* Shows the message at a width and in a charset, NULL for UTF-8, and compares with what was written down, if it was. */
static bool
test_page(const char *ending, unsigned columns, const char *codeset)
{
    char path[sizeof base + 16];
    char *expected, *text = NULL;
    size_t length = 0;
    int file;
    FILE *page, *decoded;

    snprintf(path, sizeof path, "%s.%s", base, ending);
    expected = read_file(path);
    if (expected == NULL)
        return false;
    file = open(message, O_RDONLY);
    page = open_memstream(&text, &length);
    decoded = tmpfile();
    if (CHECK(file >= 0 && page != NULL && decoded != NULL)) {
        iconv_t to_local = codeset != NULL ? iconv_open(codeset, "UTF-8") : (iconv_t)-1;
        struct visible v = {.count = 0};
        char piece[7];

        CHECK(show_message(file, decoded, columns));
        rewind(decoded);
        for (size_t count; (count = fread(piece, 1, sizeof piece, decoded)) > 0;)
            page_put(page, &v, to_local, piece, count);
        fclose(decoded);
        fclose(page);
        if (to_local != (iconv_t)-1)
            iconv_close(to_local);
        if (unknown_charsets(text) > unknown_charsets(expected))
            charset_lacking = true;
        else if (!CHECK(strcmp(text, expected) == 0))
            printf("%s: expected:\n%s\nshown:\n%s\n", path, expected, text);
    }
    if (file >= 0)
        close(file);
    free(text);
    free(expected);
    return true;
}

static void
test_message(void)
{
    int pages = 0;

    pages += test_page("80", 80, NULL);
    pages += test_page("40", 40, NULL);
    pages += test_page("0", 0, NULL);
    pages += test_page("latin1", 80, "ISO-8859-1");
    CHECK(pages >= 2);
    for (int first = 0; first < 16; first++)
        CHECK(fuzz_file(message, first));
}

/* A header and a line of many MiB, and parts without end: the memory is that of a short message. */
static void
test_large(void)
{
    static const char *const starts[] = {
        "Subject: ", "From: a\n\n", "Content-Type: text/html\n\n<a href='", "Content-Type: multipart/mixed; boundary=b\n\n"
    };
    static const char *const pieces[] = {"long ", "word", "&amp;<b>", "--b\nContent-Type: multipart/mixed; boundary=b\n\n"};

    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        FILE *file = tmpfile(), *page = tmpfile();

        if (!CHECK(file != NULL && page != NULL))
            return;
        fputs(starts[i], file);
        for (size_t octets = 0; octets < 4 * 1024 * 1024; octets += strlen(pieces[i]))
            fputs(pieces[i], file);
        CHECK(fflush(file) == 0 && show_message(fileno(file), page, 80));
        CHECK(ftell(page) > 0);
        fclose(file);
        fclose(page);
    }
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
    unit_case("shown: messages of any size", test_large);
    return unit_status;
}
