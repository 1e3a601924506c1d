/*
 * passfile.c - the server accepts exactly the valid password files, and reads the right name and
 * password
 *
 * The first byte of an input chooses the kind of file and its permissions, the rest is its
 * content. A valid file is a regular file that only its owner can read, with one line
 * name:password, the name without blanks, each of at most 248 bytes.
 */
#include "fuzz_system.h"

int server_main(int, char **);
#define main server_main
#include "../../server.c"
#undef main

/* The caller logs the reason, so nothing may be logged here. */
static void
refuse_log(const char *bytes, size_t length)
{
    (void)bytes;
    DEMAND(length == 0);
}

/* The reference: returns false if the file is invalid. */
static bool
reference_read(const uint8_t *text, size_t size, char name[249], char password[249])
{
    size_t length = size, colon = 0;

    while (length > 0 && (text[length - 1] == '\r' || text[length - 1] == '\n'))
        length--;
    while (colon < length && text[colon] != ':')
        colon++;
    if (size > 2 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        return false;           /* a byte order mark is not a part of the name */
    if (colon == 0 || colon > 248 || colon + 1 >= length || length - colon - 1 > 248)
        return false;
    for (size_t i = 0; i < length; i++)
        if (text[i] == '\0' || text[i] == '\r' || text[i] == '\n' ||
            (i < colon && (text[i] == ' ' || text[i] == '\t')))
            return false;
    snprintf(name, 249, "%.*s", (int)colon, (const char *)text);
    snprintf(password, 249, "%.*s", (int)(length - colon - 1), (const char *)text + colon + 1);
    return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned char zeros[BLOCK];
    struct settings settings = {.passfile = "passfile"}, none = {.passfile = "zeros"};
    char name[249], password[249];

    if (size == 0)
        return 0;
    system_reset(data[0]);
    system_add("zeros", zeros, sizeof zeros);   /* clears the buffer of the call before */
    DEMAND(read_passfile(&none) != NULL);
    sys.log = refuse_log;
    struct system_file *file = system_add("passfile", data + 1, size - 1);
    file->mode =
        (data[0] & 1) != 0 ? S_IFREG | (mode_t)(data[0] >> 1 << 2) : S_IFREG | S_IRUSR | S_IWUSR;
    if (data[0] == 2)
        file->mode = S_IFIFO | S_IRUSR;
    sys.fault_after = data[0] == 4 ? 1 : data[0] == 6 ? 2 : 0;
    sys.fault_error = data[0] == 4 ? EACCES : EIO;

    bool private = S_ISREG(file->mode) && (file->mode & 077) == 0;
    bool accepted = read_passfile(&settings) == NULL;
    bool valid = private && data[0] != 4 && data[0] != 6 &&
                 reference_read(data + 1, size - 1, name, password);

    /* A file with very many line ends may be accepted or refused. */
    if (valid && size - 1 > 2 * 248 + 3 && !accepted)
        return 0;
    DEMAND(accepted == valid);
    if (accepted) {
        DEMAND(strcmp(settings.name, name) == 0 && strcmp(settings.password, password) == 0);
        for (size_t i = 0; i < SYSTEM_OPENS; i++)
            DEMAND(sys.open[i].file == NULL);
    }
    return 0;
}
