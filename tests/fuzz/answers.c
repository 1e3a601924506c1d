/*
 * answers.c - the client with any server and any typed commands
 *
 * An input has a head of eight bytes; what is typed, up to a byte 0xFE (0xFF in it is a pause of
 * some minutes); the greeting; then the answers, one per command line, with 0xFE between them. A
 * correct server turns each of these into a valid answer: the first line begins with +, - or * (for
 * "+ "), the rest is the message. Any other server sends them unchanged.
 *
 * SHOW gets all that the server sent instead of the decoded message, as from a compromised decoder.
 *
 * Checked: Only printable text is shown. A file gets its final name only if its message arrived
 * completely, and has exactly that content; no file is overwritten, and no other file is left. What
 * a correct server sent completely is saved. QUIT is not sent after a signal, and a script sends no
 * DELE for a message that is not saved. The exit status is right.
 */
#include "fuzz_system.h"

#define sync() ((void)0)

int client_main(int argc, char **argv);
#define main client_main
#include "../../client.c"
#undef main

/* The bytes of the head. */
enum {
    HEAD_FLAGS,
    HEAD_SEED,
    HEAD_FAULT,
    HEAD_ERROR,
    HEAD_STOP,
    HEAD_CUT,
    HEAD_CUT_HIGH,
    HEAD_MORE,
    HEAD
};

enum {                          /* the bits of HEAD_FLAGS */
    CORRECT = 1, IN_PIECES = 2, WITH_INTERRUPTS = 4, AT_TERMINAL = 8, WITH_FILES = 16, ASCII = 32,
    ENDING = 192                /* these two: what the server does after its last answer */
};

enum {                          /* the bits of HEAD_MORE */
    WITH_SIGTERM = 1, NO_DIRECTORY = 2, ON_SOCKET = 4, VERBOSE = 8
};

enum { COMMANDS = 1000, SEPARATOR = 0xfe, PAUSE = 0xff };

static struct client client;

/* The server and the user: answers, sent bytes, received commands, and keys. */
static struct {
    const uint8_t *next, *end;  /* the answers that are left; next NULL: none */
    const uint8_t *keys, *keys_end;     /* what will be typed after a pause */
    int64_t pause_began;        /* 0: no pause */
    bool correct;
    enum system_end ending;
    unsigned char *sent;
    size_t length, room, cut;   /* cut: how many bytes arrive */
    size_t read;                /* how many bytes of the client were read */
    struct {
        char line[256];
        bool ok;                /* a correct server answered +OK */
        size_t start, message, end;     /* offsets of the answer in what was sent */
    } command[COMMANDS];
    size_t commands;
} peer;

static void
peer_send(const void *bytes, size_t length)
{
    if (peer.room - peer.length < length) {
        peer.room = (peer.length + length) * 2;
        peer.sent = realloc(peer.sent, peer.room);
        DEMAND(peer.sent != NULL);
    }
    if (length > 0)
        memcpy(peer.sent + peer.length, bytes, length);
    peer.length += length;
}

/* Returns true if a message follows an +OK to this line. */
static bool
has_message(const char *line)
{
    char word[8] = "";
    const char *rest = line + strspn(line, " \t");
    size_t length = strcspn(rest, " \t");
    bool more = rest[length + strspn(rest + length, " \t")] != '\0';

    snprintf(word, sizeof word, "%.*s", (int)length, rest);
    return strcasecmp(word, "RETR") == 0 || strcasecmp(word, "TOP") == 0 ||
           strcasecmp(word, "CAPA") == 0 ||
           ((strcasecmp(word, "LIST") == 0 || strcasecmp(word, "UIDL") == 0) && !more);
}

/* Sends the next answer, or the greeting (line NULL). Returns true for +OK of a correct server. */
static bool
peer_answer(const char *line, size_t *message)
{
    const uint8_t *text = peer.next != NULL ? peer.next : (const uint8_t *)"+\n";
    const uint8_t *end =
        peer.next != NULL ? memchr(text, SEPARATOR, (size_t)(peer.end - text)) : text + 2;

    if (peer.next == NULL && !peer.correct)
        return false;
    if (end == NULL)
        end = peer.end;
    if (peer.next != NULL)
        peer.next = end < peer.end ? end + 1 : NULL;
    if (!peer.correct) {
        peer_send(text, (size_t)(end - text));
        return false;
    }

    const uint8_t *lf = memchr(text, '\n', (size_t)(end - text));
    size_t length = (size_t)((lf != NULL ? lf : end) - text);
    bool good = length == 0 || (text[0] != '-' && text[0] != '*');
    const char *status = good ? "+OK " : text[0] == '-' ? "-ERR " : "+ ";

    peer_send(status, strlen(status));
    for (size_t i = 1; i < length && i < 500; i++)
        if (text[i] != '\r')
            peer_send(text + i, 1);
    peer_send("\r\n", 2);
    *message = peer.length;
    if (good && line != NULL && has_message(line)) {
        const uint8_t *at = lf != NULL ? lf + 1 : end;

        for (const uint8_t *p = at; p < end; p++) {
            if (*p == '.' && (p == at || p[-1] == '\n'))
                peer_send(".", 1);
            if (*p == '\n' && (p == at || p[-1] != '\r'))
                peer_send("\r", 1);
            peer_send(p, 1);
        }
        if (at < end && end[-1] != '\n')
            peer_send("\r\n", 2);
        peer_send(".\r\n", 3);
    }
    return good;
}

/* Runs while the client waits: answers its lines, and types after a pause. */
static void
peer_work(void)
{
    struct system_stream *in = &sys.stream[0], *out = &sys.stream[1], *keys = &sys.stream[2];
    const unsigned char *lf;
    bool quit = false;

    while (peer.read < out->written &&
           (lf = memchr(out->out + peer.read, '\n', out->written - peer.read)) != NULL) {
        size_t length = (size_t)(lf - (out->out + peer.read)) + 1, i = peer.commands;

        /* What answers a "+ " may be longer than a command. */
        bool asked = !peer.correct ||
            (i > 0 && memcmp(peer.sent + peer.command[i - 1].start, "+ ", 2) == 0);

        DEMAND(length >= 2 && length <= (asked ? TYPED_MAX + 2 : 255) && lf[-1] == '\r');
        snprintf(peer.command[i].line, sizeof peer.command[i].line, "%.*s", (int)length - 2,
                 (const char *)out->out + peer.read);
        bool password = strncmp(peer.command[i].line, "PASS ", 5) == 0;     /* any bytes */
        for (size_t k = 0; k < length - 2 && !password; k++) {
            unsigned char c = out->out[peer.read + k];
            DEMAND(c == '\t' || (c >= ' ' && c != 0x7f));
        }
        peer.read += length;
        peer.command[i].start = peer.length;
        peer.command[i].ok = peer_answer(peer.command[i].line, &peer.command[i].message);
        peer.command[i].end = peer.length;
        quit = quit || strcasecmp(peer.command[i].line, "QUIT") == 0;
        if (peer.commands < COMMANDS - 1)
            peer.commands++;
        else if (peer.cut > peer.length)
            peer.cut = peer.length;     /* too many commands: the server closes */
    }
    sys.stream[SYSTEM_STREAMS - 1].in = peer.sent;      /* the output of the decoder of SHOW */
    sys.stream[SYSTEM_STREAMS - 1].length = peer.length;
    in->in = peer.sent;
    in->length = peer.length < peer.cut ? peer.length : peer.cut;
    in->end = in->length == peer.cut || quit        ? STREAM_ENDS
              : peer.next == NULL && !peer.correct ? peer.ending
                                                  : in->end;

    if (keys->at == keys->length && peer.keys != NULL) {
        if (peer.pause_began == 0)
            peer.pause_began = sys.now;
        if (sys.now - peer.pause_began >= 250 * 1000) {
            const uint8_t *pause = memchr(peer.keys, PAUSE, (size_t)(peer.keys_end - peer.keys));

            peer.pause_began = 0;
            keys->in = peer.keys;
            keys->at = 0;
            keys->length = (size_t)((pause != NULL ? pause : peer.keys_end) - peer.keys);
            peer.keys = pause != NULL ? pause + 1 : NULL;
        }
    }
    keys->end = peer.keys != NULL ? STREAM_STAYS : STREAM_ENDS;
}

/* ---- Checks ---------------------------------------------------------------------------------- */

/* Text without control or bidirectional characters. A signal may cut it within a character. */
static void
check_visible(const unsigned char *s, size_t length, bool ascii)
{
    for (size_t i = 0; i < length;) {
        unsigned char a = s[i++];
        uint32_t c = a;
        int more = a < 0xc2 ? 0 : a < 0xe0 ? 1 : a < 0xf0 ? 2 : 3;

        DEMAND(a == '\n' || a == '\t' || (a >= ' ' && a != 0x7f));
        if (a < 0x80)
            continue;
        DEMAND(!ascii && a >= 0xc2 && a <= 0xf4);
        c = a & (0x3fU >> more);
        for (; more > 0 && i < length && (s[i] & 0xc0) == 0x80; more--)
            c = c << 6 | (s[i++] & 0x3fU);
        DEMAND(more == 0 || sys.stopped);
        if (more > 0)
            continue;
        DEMAND(c >= 0xa0 && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff));
        DEMAND(c != 0x61c && c != 0x200e && c != 0x200f && !(c >= 0x2028 && c <= 0x202e) &&
               !(c >= 0x2066 && c <= 0x2069));
    }
}

/* Returns true if a file equals the message of a stream, which must have its final dot. */
static bool
is_message_of(const struct system_file *file, const unsigned char *in, size_t size)
{
    size_t written = 0;
    bool start = true;

    for (size_t i = 0; i < size; i++) {
        if (start && in[i] == '.') {
            if (size - i >= 3 && in[i + 1] == '\r' && in[i + 2] == '\n')
                return written == file->size;
            start = false;
            continue;
        }
        start = in[i] == '\r' && i + 1 < size && in[i + 1] == '\n';
        i += start;
        if (written == file->size || file->bytes[written++] != (start ? '\n' : in[i]))
            return false;
    }
    return false;
}

/* Returns true if a complete message after a +OK equals the file. */
static bool
arrived(const struct system_file *file)
{
    size_t arrived = sys.stream[0].at;

    for (size_t at = 0; at + 3 < arrived;) {
        const unsigned char *lf = memchr(peer.sent + at, '\n', arrived - at);
        bool good = memcmp(peer.sent + at, "+OK", 3) == 0;

        if (lf == NULL)
            return false;
        at = (size_t)(lf - peer.sent) + 1;
        if (good && is_message_of(file, peer.sent + at, arrived - at))
            return true;
    }
    return false;
}

/* Returns n of a name n.eml or n-m.eml; UINT32_MAX if it has too many digits; else -1. */
static int64_t
name_number(const char *name)
{
    unsigned n = 0, m = 1;
    int used = 0;

    if (sscanf(name, "%9u.eml%n", &n, &used) == 1 && used > 0 && name[used] == '\0')
        return n;
    used = 0;
    if (sscanf(name, "%9u-%9u.eml%n", &n, &m, &used) == 2 && used > 0 && name[used] == '\0' &&
        m > 0)
        return n;
    return sscanf(name, "%10[0-9].eml%n", (char[16]){0}, &used) == 1 ? (int64_t)UINT32_MAX : -1;
}

/* Returns true if a line is "VERB number", in the form in which the client writes it. */
static bool
is_for_message(const char *line, const char *verb, unsigned long *number)
{
    char again[32];
    size_t length = strlen(verb);

    if (strncmp(line, verb, length) != 0 || line[length] != ' ')
        return false;
    *number = strtoul(line + length + 1, NULL, 10);
    snprintf(again, sizeof again, "%s %lu", verb, *number);
    return strcmp(again, line) == 0;
}

/* Returns true if a line is a POP3 command. Any other line may be an answer to "+ ". */
static bool
is_command(const char *line)
{
    char word[8] = "";

    line += strspn(line, " \t");
    snprintf(word, sizeof word, "%.*s", (int)strcspn(line, " \t"), line);
    for (int verb = 0; verb < POP3_VERBS; verb++)
        if (strcasecmp(word, pop3_commands[verb].name) == 0)
            return true;
    return false;
}

static void
check_files(size_t before)
{
    for (size_t i = 0; i < SYSTEM_FILES; i++) {
        const struct system_file *file = sys.entry[i].file;
        unsigned long number = 0;
        int64_t wanted;
        bool asked = false;

        if (file == NULL || (size_t)(file - sys.file) < before)
            continue;           /* the older files are compared elsewhere */
        if (sys.entry[i].name[0] == '.') {
            DEMAND(sys.faulted != NULL && strcmp(sys.faulted, "unlink") == 0);
            continue;
        }
        wanted = name_number(sys.entry[i].name);
        DEMAND(wanted >= 0);
        for (size_t k = 0; k < peer.commands && !asked; k++)
            asked = is_for_message(peer.command[k].line, "RETR", &number) &&
                    ((int64_t)number == wanted || wanted == UINT32_MAX);
        DEMAND(asked);
        DEMAND(arrived(file) || (sys.faulted != NULL && strcmp(sys.faulted, "unlink") == 0));
    }
}

/* A script with a correct server: what must be saved, what may be marked, the exit status. */
static void
check_script(int status)
{
    size_t arrived = sys.stream[0].at;
    bool refused = false, quit = false;

    for (size_t i = 0; i < peer.commands; i++) {
        const char *line = peer.command[i].line;
        bool complete = peer.command[i].end <= arrived;
        unsigned long number = 0, other = 0;
        bool found = false;

        refused = refused || !complete ||
                  (!peer.command[i].ok && is_command(line) && strcasecmp(line, "CAPA") != 0 &&
                   strcasecmp(line, "NOOP") != 0);
        quit = quit || (strcasecmp(line, "QUIT") == 0 && complete);
        if (is_for_message(line, "RETR", &number) && complete && peer.command[i].ok) {
            for (size_t k = 0; k < SYSTEM_FILES && !found; k++)
                found = sys.entry[k].file != NULL &&
                        (name_number(sys.entry[k].name) == (int64_t)number || number > 999999999) &&
                        is_message_of(sys.entry[k].file, peer.sent + peer.command[i].message,
                                      peer.command[i].end - peer.command[i].message);
            DEMAND(found);
        }
        if (!is_for_message(line, "DELE", &number))
            continue;
        for (size_t k = i; k-- > 0;)
            if (is_for_message(peer.command[k].line, "RETR", &other) && other == number) {
                DEMAND(peer.command[k].ok && peer.command[k].end <= arrived);
                break;
            }
    }
    if (refused || !quit)
        DEMAND(status == 1);
}

/* ---- The session ----------------------------------------------------------------------------- */

/* Initializes the client as main() does, but does not clear the large buffers of its wires. */
static void
init_client(const struct settings *settings, const uint8_t *head)
{
    static struct editor editor;
    struct client *c = &client;

    memset(c, 0, offsetof(struct client, server));
    memset((char *)c + offsetof(struct client, editor), 0,
           sizeof *c - offsetof(struct client, editor));
    c->editor = &editor;
    c->settings = settings;
    c->noop_ms = NOOP_SECONDS * 1000;
    c->at_terminal = (head[HEAD_FLAGS] & AT_TERMINAL) != 0;
    c->utf8 = (head[HEAD_FLAGS] & ASCII) == 0;
    wire_open(&c->server, SYSTEM_STREAM, SYSTEM_STREAM + 1);
    wire_open(&c->keys, SYSTEM_STREAM + 2, SYSTEM_STREAM + 3);
    open_output(&c->screen, SYSTEM_STREAM + 3);
    open_output(&c->errors, SYSTEM_STREAM + 4);
    c->batch.directory = -1;
    c->server.socket = (head[HEAD_MORE] & ON_SOCKET) != 0;
    c->server.idle_ms = ANSWER_SECONDS * 1000;
    c->server.stop = &interrupted;
    interrupted = resized = line_stopped = 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int errors[] = {ENOSPC, EIO, EPERM, EACCES, EINTR};
    static const unsigned char old[] = "an older file\n";
    struct settings settings = {.host = "nowhere", .port = "1", .directory = "inbox"};
    struct client *c = &client;
    size_t before = 0;

    if (size < HEAD)
        return 0;
    const uint8_t *keys = data + HEAD, *end = data + size,
                  *separator = memchr(keys, SEPARATOR, size - HEAD);
    const uint8_t *keys_end = separator != NULL ? separator : end;

    system_reset(data[HEAD_SEED]);
    sys.pieces = (data[HEAD_FLAGS] & IN_PIECES) != 0;
    sys.interrupts = (data[HEAD_FLAGS] & WITH_INTERRUPTS) != 0;
    sys.fault_after = data[HEAD_FAULT];
    sys.fault_error = errors[data[HEAD_ERROR] % (sizeof errors / sizeof *errors)];
    sys.stop = &interrupted;
    sys.stop_after = data[HEAD_STOP];
    sys.stop_signal = (data[HEAD_MORE] & WITH_SIGTERM) != 0 ? SIGTERM : SIGINT;
    sys.before_wait = peer_work;
    sys.forks = true;
    if ((data[HEAD_FLAGS] & WITH_FILES) != 0) {
        system_add("1.eml", old, sizeof old - 1);
        system_add("2.eml", old, 0);
        system_add("2-1.eml", old, 3);
        before = 3;
    } else {
        sys.no_directory = (data[HEAD_MORE] & NO_DIRECTORY) != 0;
    }

    peer.next = separator != NULL ? separator + 1 : NULL;
    peer.end = end;
    peer.keys = keys;
    peer.keys_end = keys_end;
    peer.pause_began = -250 * 1000; /* the pause is over */
    peer.correct = (data[HEAD_FLAGS] & CORRECT) != 0;
    peer.ending = (data[HEAD_FLAGS] & ENDING) == 64    ? STREAM_BREAKS
                  : (data[HEAD_FLAGS] & ENDING) == 128 ? STREAM_STAYS
                                                       : STREAM_ENDS;
    peer.length = peer.read = peer.commands = 0;
    peer.cut = (size_t)data[HEAD_CUT] + (size_t)data[HEAD_CUT_HIGH] * 256;
    peer.cut = peer.cut == 0 ? SIZE_MAX : peer.cut;
    sys.stream[0].end = STREAM_STAYS;
    size_t unused;
    bool greeting_ok = peer_answer(NULL, &unused);

    settings.verbose = (data[HEAD_MORE] & VERBOSE) != 0;
    init_client(&settings, data);
    greet(c);
    terminal_mode(AS_FOUND);
    hang_up(c);
    wire_flush(&c->screen);
    int status = c->failed ? 1 : 0;
    free(c->messages);
    free(c->list.number);

    bool shows = false, plain = true;       /* a SHOW asks with RETR too, and saves nothing */
    size_t shown = 0;
    for (const uint8_t *p = keys; p < keys_end; p++) {
        if (*p == PAUSE)
            continue;
        plain = plain && ((*p >= ' ' && *p < 0x7f) || *p == '\n');
        shown = (*p | 0x20) == "show"[shown] ? shown + 1 : (*p | 0x20) == 's';
        shows = shows || shown == 4;
        shown %= 4;
    }
    if (plain || !c->at_terminal)           /* typed text is echoed */
        check_visible(sys.stream[3].out, sys.stream[3].written, (data[HEAD_FLAGS] & ASCII) != 0);
    check_visible(sys.stream[4].out, sys.stream[4].written, (data[HEAD_FLAGS] & ASCII) != 0);
    for (size_t i = 0; i < SYSTEM_OPENS; i++)
        DEMAND(sys.open[i].file == NULL);
    check_files(before);
    DEMAND(sys.unsynced == 0 || sys.faulted != NULL);
    for (size_t i = 0; i < before; i++)
        DEMAND(sys.file[i].bytes == old && system_find(i == 0   ? "1.eml"
                                                        : i == 1 ? "2.eml"
                                                                 : "2-1.eml") < SYSTEM_FILES);
    peer_work();                /* reads the client's last lines */
    DEMAND(peer.read == sys.stream[1].written || sys.stopped);
    bool ends = sys.stopped && (sys.stop_signal == SIGTERM || !c->at_terminal);
    for (size_t at = sys.written_before_stop; ends && at + 6 <= sys.stream[1].written; at++)
        DEMAND(memcmp(sys.stream[1].out + at, "QUIT\r\n", 6) != 0);

    bool quit = peer.commands > 0 && strcasecmp(peer.command[peer.commands - 1].line, "QUIT") == 0;
    if (!quit)
        DEMAND(status == 1);
    if (peer.correct && !greeting_ok)
        DEMAND(peer.commands == 0 && status == 1);
    if (peer.correct && greeting_ok && !c->at_terminal && !shows && sys.faulted == NULL &&
        !sys.stopped)
        check_script(status);

    /* Status 0: every command got +OK, every other line "+ ", and there was no error message. */
    bool good = peer.correct && greeting_ok && quit && sys.stream[4].written == 0 &&
                sys.stream[0].at == peer.length;
    for (size_t i = 0; i < peer.commands; i++)
        good = good && (peer.command[i].ok || (!is_command(peer.command[i].line) &&
                                               peer.sent[peer.command[i].start] == '+'));
    if (good)
        DEMAND(status == 0);
    return 0;
}
