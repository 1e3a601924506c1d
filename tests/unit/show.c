/*
 * show.c - messages as SHOW displays them
 *
 * Beside each tests/show/NAME.eml, NAME.80 is what a terminal of 80 columns shows. There may also
 * be NAME.40, one of 40 columns; NAME.ascii, one of 80 that reads ASCII only; and NAME.0, a pipe,
 * where nothing is wrapped. The messages of tests/mail/ are NAME mail-1 and so on. Each message is
 * also shown in every width, and fuzz/show.c looks whether only visible text comes out.
 *
 *     unit_show [NAME]         all of them, or one
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

/* Compares a page with what is written down for it, if it is or if it must be. */
static void
test_page(const char *ending, unsigned columns, bool utf8, bool needed)
{
    struct text expected = {0}, whole = {0}, seen = {0};
    char path[sizeof base + 16];
    bool there;

    snprintf(path, sizeof path, "%s.%s", base, ending);
    there = read_file(path, &expected);
    if ((there || needed) && read_file(message, &whole)) {
        show_to_text(&seen, text_span(&whole), columns, utf8);
        if (lacks_charset(seen.bytes))
            charset_lacking = true;
        else if (!CHECK(there && strcmp(seen.bytes, expected.bytes) == 0))
            printf("%s%s%s\nshown:\n%s\n", path, there ? ": expected:\n" : " is missing",
                   there ? expected.bytes : "", seen.bytes);
    }
    text_free(&expected);
    text_free(&whole);
    text_free(&seen);
}

static void
test_message(void)
{
    if (!CHECK(access(message, R_OK) == 0)) {
        printf("%s is missing\n", message);
        return;
    }
    test_page("80", 80, true, true);
    test_page("40", 40, true, false);
    test_page("0", 0, true, false);
    test_page("ascii", 80, false, false);
    for (int first = 0; first < 16; first++)
        CHECK(fuzz_file(message, first));
}

/* Tests the message of a name. */
static void
test_name(const char *name)
{
    char title[300];

    snprintf(title, sizeof title, "shown: %s", name);
    snprintf(base, sizeof base, "tests/show/%s", name);
    snprintf(message, sizeof message, "%s.eml", base);
    if (strncmp(name, "mail-", 5) == 0)
        snprintf(message, sizeof message, "tests/mail/%s.eml", name + 5);
    charset_lacking = false;
    unit_case(title, test_message);
    if (charset_lacking)
        printf("skip - %s as it should be: a charset is not known to this libc\n", title);
}

int
main(int argc, char **argv)
{
    DIR *directory = opendir("tests/show");
    const struct dirent *entry;

    if (argc > 1) {
        test_name(argv[1]);
        return unit_status;
    }
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        char name[256], page[300];
        char *ending = strrchr(strcpy(name, entry->d_name), '.');

        if (ending == NULL)
            continue;
        *ending++ = '\0';
        snprintf(page, sizeof page, "tests/show/%s.80", name);
        if (strcmp(ending, "80") == 0 || (strcmp(ending, "eml") == 0 && access(page, F_OK) != 0))
            test_name(name);
    }
    if (directory != NULL)
        closedir(directory);
    return unit_status;
}
