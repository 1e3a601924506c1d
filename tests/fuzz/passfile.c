/*
 * passfile.c - which password files the server accepts, and which name and password it reads from
 * them
 *
 * The first byte of an input chooses the kind of file and its permissions, the rest is its
 * content. The server must accept it if a plain reading of the contract does: one line
 * name:password, the name without blanks, each of at most 248 bytes, in a regular file that only
 * its owner can read.
 */
#include "fuzz_system.h"

int server_main(int, char **);
#define main server_main
#include "../../server.c"
#undef main

static size_t said;             /* lines of the log */

/* A line of the log is one line, and harmless. */
static void
look_at_log(const char *octets, size_t length)
{
    said++;
    DEMAND(length > 1 && octets[length - 1] == '\n');
    for (size_t i = 0; i + 1 < length; i++)
        DEMAND(octets[i] >= ' ' && octets[i] < 0x7f);
}

/* Reads a file in the plainest way. Returns false when it is not as promised. */
static bool
plain_read(const uint8_t *text, size_t size, char name[249], char password[249])
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
    struct settings settings = {.passfile = "passfile"};
    char name[249], password[249];

    static const unsigned char zeros[BLOCK];
    struct settings none = {.passfile = "zeros"};

    if (size == 0)
        return 0;
    system_reset(data[0]);
    system_add("zeros", zeros,
               sizeof zeros); /* clears the buffer of the call before; a server reads once */
    DEMAND(read_passfile(&none) != NULL);
    sys.log = look_at_log;
    struct system_file *file = system_add("passfile", data + 1, size - 1);
    file->mode =
        (data[0] & 1) != 0 ? S_IFREG | (mode_t)(data[0] >> 1 << 2) : S_IFREG | S_IRUSR | S_IWUSR;
    if (data[0] == 2)
        file->mode = S_IFIFO | S_IRUSR;
    if (data[0] == 4)
        sys.fault_after = 1, sys.fault_error = EACCES;
    if (data[0] == 6)
        sys.fault_after = 2, sys.fault_error = EIO;
    said = 0;

    bool secret = S_ISREG(file->mode) && (file->mode & 077) == 0;
    bool taken = read_passfile(&settings) == NULL;
    bool wanted =
        secret && data[0] != 4 && data[0] != 6 && plain_read(data + 1, size - 1, name, password);

    /* More line ends than a line can need are no reason to take it, and none to refuse it. */
    if (wanted && size - 1 > 2 * 248 + 3 && !taken)
        return 0;
    DEMAND(taken == wanted);
    DEMAND(said == 0);         /* the caller logs the reason */
    if (taken) {
        DEMAND(strcmp(settings.name, name) == 0 && strcmp(settings.password, password) == 0);
        for (size_t i = 0; i < SYSTEM_OPENS; i++)
            DEMAND(sys.open[i].file == NULL);
    }
    return 0;
}
