/*
 * session.c - a session with any input; every answer is compared with a model of the maildrop
 *
 * An input has a head of eight bytes, which chooses options and faults, and then what the client
 * sends. Each command line must get exactly one answer, the one that the model expects. After a
 * QUIT with +OK exactly the unmarked messages are left, otherwise all messages.
 */
#include "fuzz_system.h"

int server_main(int, char **);
#define main server_main
#include "../../server.c"
#undef main

/* The bytes of the head. */
enum {
    HEAD_FLAGS,
    HEAD_SEED,
    HEAD_FAULT,
    HEAD_ERROR,
    HEAD_CHANGED,
    HEAD_CHANGES,
    HEAD_OUTPUT,
    HEAD_STOP,
    HEAD
};

enum {                          /* the bits of HEAD_FLAGS */
    WITH_LOGIN = 1, IN_PIECES = 2, WITH_INTERRUPTS = 4, ON_SOCKET = 8, VERBOSE = 16,
    CLIENT_END = 96             /* these two: how the client ends */
};

enum { MESSAGES = 11, LARGE = BLOCK + 5000 };

static struct mail {
    const char *name, *octets;
    size_t size;
    char *wire;                 /* what RETR sends, before byte-stuffing */
    size_t wire_size;
    char id[72];                /* its unique-id, once it is known */
} mail[MESSAGES] = {
#define MAIL(name, octets) {name, octets, sizeof octets - 1, NULL, 0, ""}
    MAIL("1", ""),
    MAIL("2", "."),
    MAIL("3", "abc\r"),
    MAIL("4", "..\n.x\n.\n\n.\r\n.\r"),
    MAIL("5", "a\0b\377\r\r\nx\ry\n\n.\r\0\n"),
    MAIL("6", "Subject: six\r\n\r\none\r\n.two\r\n\r\nfour"),
    MAIL("7", "\n.body\n\r\n.\n"),
    MAIL("8", "no: end\r\n\r\r\nnot a body\n"),
    MAIL("9", ""),
    MAIL("10:2,", "Copy: yes\n\ncopy\n"),
    MAIL("10:2,S", "Copy: yes\n\ncopy\n")
#undef MAIL
};

static bool stale;
static struct store store = {.path = "store",
                             .directory = SYSTEM_DIRECTORY,
                             .inotify = -1,
                             .ruleset = -1,
                             .stale = &stale,
                             .folders = {{.name = "", .fd = SYSTEM_DIRECTORY}},
                             .folder_count = 1};
static bool ids_seen;

/* ---- The model ------------------------------------------------------------------------------- */

static struct model {
    bool login, in_transaction, user_given, user_right, over, quit;
    int mistakes, wrong_passwords;
    bool deleted[MESSAGES];
    size_t changed;             /* a message that changes during the session; MESSAGES: none */
    bool changed_at_start;
    int faults;                /* failures that the injected fault may still cause */
} model;

/* The part of the output that is not checked yet. */
static struct {
    const char *at, *end;
    bool may_break, broken;     /* it may end, or has ended, within an answer */
} unread;

/* Reads a line. *length does not count the CRLF. Returns NULL if there is none. */
static const char *
read_line(size_t *length)
{
    const char *line = unread.at;
    const char *lf = memchr(line, '\n', (size_t)(unread.end - line));

    if (lf == NULL)
        return NULL;
    DEMAND(lf > line && lf[-1] == '\r');
    *length = (size_t)(lf - line) - 1;
    unread.at = lf + 1;
    return line;
}

/* The output ended within an answer. This must be allowed. */
static void
output_ended(bool may_end)
{
    DEMAND(unread.may_break || may_end);
    unread.broken = true;
}

/* Reads a status line. Returns 1 for +OK, 0 for -ERR, -1 if the output ended. */
static int
read_status(char text[513])
{
    size_t length = 0;
    const char *line = read_line(&length);

    if (line == NULL) {
        output_ended(false);
        return -1;
    }
    DEMAND(length + 2 <= 512);
    for (size_t i = 0; i < length; i++)
        DEMAND(line[i] >= ' ' && line[i] < 0x7f);
    memcpy(text, line, length);
    text[length] = '\0';
    DEMAND(strncmp(text, "+OK ", 4) == 0 || strncmp(text, "-ERR ", 5) == 0);
    return text[0] == '+';
}

/*
 * Compares the lines up to the final dot, without byte-stuffing. With may_end the output may end
 * before the dot, and only then the lines may differ.
 */
static void
expect_body(const char *wanted, size_t size, bool may_end)
{
    const char *line;
    size_t length, at = 0;
    bool same = true;

    while ((line = read_line(&length)) != NULL) {
        if (length == 1 && line[0] == '.') {
            DEMAND(same && at == size);
            return;
        }
        if (length > 0 && line[0] == '.') {
            DEMAND(line[1] == '.');
            line++;
            length--;
        }
        same = same && size - at >= length + 2 && memcmp(wanted + at, line, length + 2) == 0;
        DEMAND(same || may_end);
        at += length + 2;
    }
    output_ended(may_end);
}

/* Computes what RETR sends. */
static void
mail_to_wire(struct mail *m)
{
    m->wire = malloc(2 * m->size + 3);
    DEMAND(m->wire != NULL);
    for (size_t i = 0; i < m->size; i++) {
        if (m->octets[i] == '\n' && (i == 0 || m->octets[i - 1] != '\r'))
            m->wire[m->wire_size++] = '\r';
        m->wire[m->wire_size++] = m->octets[i];
    }
    if (m->size > 0 && m->octets[m->size - 1] != '\n') {
        m->wire[m->wire_size++] = '\r';
        m->wire[m->wire_size++] = '\n';
    }
}

/* Returns how much of that TOP sends. */
static size_t
top_size(const struct mail *m, uint64_t lines)
{
    size_t at = 0;
    bool in_body = false;

    while (at < m->wire_size && !(in_body && lines == 0)) {
        const char *end = memmem(m->wire + at, m->wire_size - at, "\r\n", 2);

        if (in_body)
            lines--;
        else
            in_body = end == m->wire + at;
        at = (size_t)(end - m->wire) + 2;
    }
    return at;
}

/* A mistake of the client: -ERR. The twentieth in a row ends the session. */
static void
expect_mistake(void)
{
    char status[513];
    int ok = read_status(status);

    DEMAND(ok <= 0);
    model.over = model.over || ++model.mistakes == 20;
}

/* Any +OK, or exactly this one. */
static void
expect_ok(const char *wanted)
{
    char status[513];

    model.mistakes = 0;
    if (read_status(status) < 0)
        return;
    DEMAND(status[0] == '+');
    if (wanted != NULL)
        DEMAND(strcmp(status, wanted) == 0);
}

/* Parses a number up to 4294967295. */
static bool
read_number(const char *word, uint64_t *number)
{
    size_t zeros = strspn(word, "0");

    if (strlen(word) == 0 || strspn(word, "0123456789") != strlen(word) ||
        strlen(word + zeros) > 10)
        return false;
    *number = strtoull(word, NULL, 10);
    return *number <= 4294967295;
}

static void
expect_listing(bool ids)
{
    for (size_t i = 0; i < MESSAGES; i++) {
        size_t length = 0;
        const char *line;
        char number[32], text[600];
        int used = snprintf(number, sizeof number, "%zu ", i + 1);

        if (model.deleted[i])
            continue;
        line = read_line(&length);
        if (line == NULL) {
            output_ended(false);
            return;
        }
        DEMAND(length < 512 && length > (size_t)used && memcmp(line, number, (size_t)used) == 0);
        memcpy(text, line + used, length - (size_t)used);
        text[length - (size_t)used] = '\0';
        if (!ids) {
            snprintf(number, sizeof number, "%zu", mail[i].wire_size);
            DEMAND(strcmp(text, number) == 0);
        } else if (!ids_seen) {
            DEMAND(strlen(text) >= 1 && strlen(text) <= 70);
            memcpy(mail[i].id, text, strlen(text) + 1);
        } else {
            DEMAND(strcmp(text, mail[i].id) == 0);
        }
    }
    expect_body("", 0, false);
}

static void
expect_message(size_t i, const uint64_t *lines)
{
    char status[513], wanted[64];
    size_t size = lines != NULL ? top_size(&mail[i], *lines) : mail[i].wire_size;
    int good = read_status(status);

    model.mistakes = 0;
    if (good == 0) {
        DEMAND(i == model.changed || model.faults-- > 0);
        return;
    }
    if (good < 0)
        return;
    DEMAND(i != model.changed || !model.changed_at_start);
    snprintf(wanted, sizeof wanted, "+OK %zu ", size);
    DEMAND(lines != NULL || strncmp(status, wanted, strlen(wanted)) == 0);
    expect_body(mail[i].wire, size, i == model.changed || model.faults > 0);
}

static void
expect_quit(void)
{
    char status[513], left[32];
    size_t marked = 0, gone = 0, rest = MESSAGES;
    int good = read_status(status);

    model.quit = model.over = true;
    for (size_t i = 0; i < MESSAGES; i++) {
        bool removed = system_find(mail[i].name) == SYSTEM_FILES;

        DEMAND(!removed || model.deleted[i]);
        DEMAND(!removed || i != model.changed || !model.changed_at_start);
        marked += model.deleted[i];
        gone += removed;
        rest -= removed;
    }
    if (good < 0)
        return;
    snprintf(left, sizeof left, "%zu left", rest);
    if (good > 0) {
        DEMAND(gone == marked && sys.unsynced == 0);
        DEMAND(!model.in_transaction || strstr(status, left) != NULL);
    } else {
        bool changed = model.changed < MESSAGES && model.deleted[model.changed];

        DEMAND(gone < marked ? marked - gone <= (size_t)(changed + model.faults)
                             : model.faults > 0);
    }
}

static void
expect_transaction(enum pop3_verb verb, int count, char *word[])
{
    char wanted[128];
    uint64_t number = 0, lines = 0;
    size_t left = 0, octets = 0;

    for (size_t i = 0; i < MESSAGES; i++)
        if (!model.deleted[i]) {
            left++;
            octets += mail[i].wire_size;
        }
    if (count > 0 && (verb == POP3_LIST || verb == POP3_UIDL || verb == POP3_RETR ||
                      verb == POP3_DELE || verb == POP3_TOP))
        if (!read_number(word[0], &number) || number == 0 || number > MESSAGES ||
            model.deleted[number - 1] || (verb == POP3_TOP && !read_number(word[1], &lines))) {
            expect_mistake();
            return;
        }
    size_t i = (size_t)number - 1;

    switch (verb) {
    case POP3_STAT:
        snprintf(wanted, sizeof wanted, "+OK %zu %zu", left, octets);
        expect_ok(wanted);
        break;
    case POP3_LIST:
        snprintf(wanted, sizeof wanted, "+OK %zu %zu", i + 1, number > 0 ? mail[i].wire_size : 0);
        expect_ok(number > 0 ? wanted : NULL);
        if (number == 0)
            expect_listing(false);
        break;
    case POP3_UIDL:
        snprintf(wanted, sizeof wanted, "+OK %zu %s", i + 1, number > 0 ? mail[i].id : "");
        expect_ok(number > 0 ? wanted : NULL);
        if (number == 0)
            expect_listing(true);
        break;
    case POP3_RETR:
        expect_message(i, NULL);
        break;
    case POP3_TOP:
        expect_message(i, &lines);
        break;
    case POP3_DELE:
        expect_ok(NULL);
        model.deleted[i] = true;
        break;
    case POP3_RSET:
        memset(model.deleted, 0, sizeof model.deleted);
        expect_ok(NULL);
        break;
    default:
        expect_ok(NULL);
    }
}

/* Returns true for an HTTP request line, or a header field. */
static bool
is_web_request(const char *line)
{
    size_t at = 0;

    while ((line[at] >= 'A' && line[at] <= 'Z') || (line[at] >= 'a' && line[at] <= 'z') ||
           line[at] == '-')
        at++;
    return at > 0 && (line[at] == ':' || (line[at] == ' ' && strstr(line + at, " HTTP/") != NULL));
}

/* USER or PASS with -p. */
static void
expect_login(bool user, const char *argument)
{
    char status[513];

    if (user) {
        expect_ok(NULL);
        model.user_given = true;
        model.user_right = strcmp(argument, "alice") == 0;
    } else if (!model.user_given) {
        expect_mistake();
    } else if (model.user_right && strcmp(argument, " open: sesame ") == 0) {
        expect_ok(NULL);
        model.in_transaction = true;
    } else {
        model.user_given = false;
        model.over = ++model.wrong_passwords == 3;
        model.mistakes = 0;
        if (read_status(status) >= 0)
            DEMAND(strncmp(status, "-ERR [AUTH] ", 12) == 0);
    }
}

/* Checks the answer to a complete line. length does not count the line end. */
static void
expect(const char *octets, size_t length, size_t with_end)
{
    static const char *const names[] = {
        [POP3_STAT] = "stat", [POP3_LIST] = "list", [POP3_RETR] = "retr", [POP3_DELE] = "dele",
        [POP3_TOP] = "top",   [POP3_UIDL] = "uidl", [POP3_NOOP] = "noop", [POP3_RSET] = "rset",
        [POP3_USER] = "user", [POP3_PASS] = "pass", [POP3_CAPA] = "capa", [POP3_QUIT] = "quit"};
    static const int least[] = {0, 0, 1, 1, 2, 0, 0, 0, 1, 1, 0, 0},
                     most[] = {0, 1, 1, 1, 2, 1, 0, 0, 1, 1, 0, 0};
    char line[256], copy[256], *word[256], *rest = NULL;
    int count = 0, verb = 0;

    if (with_end > 255) {
        expect_mistake();
        return;
    }
    memcpy(line, octets, length);
    line[length] = '\0';
    memcpy(copy, line, sizeof copy);
    for (char *next = strtok_r(line, " \t", &rest); next != NULL;
         next = strtok_r(NULL, " \t", &rest))
        word[count++] = next;
    while (verb < POP3_VERBS && (count == 0 || strcasecmp(word[0], names[verb]) != 0))
        verb++;
    if (verb == POP3_VERBS && is_web_request(copy)) {
        char status[513];

        DEMAND(read_status(status) <= 0);
        model.over = true;
        return;
    }
    if (verb == POP3_VERBS || strlen(copy) != length) {
        expect_mistake();       /* unknown, or with a NUL */
        return;
    }
    count--;
    if (verb == POP3_PASS) {    /* everything after one blank */
        const char *password = copy + strspn(copy, " \t") + 4;

        count = strlen(password) > 1;
        if (count == 1)
            word[1] = copy + (password + 1 - copy);
    }
    bool log_in = verb == POP3_USER || verb == POP3_PASS,
         anywhere = verb == POP3_CAPA || verb == POP3_QUIT;

    if ((!model.in_transaction && !log_in && !anywhere) ||
        (model.in_transaction && model.login && log_in) ||
        ((!log_in || model.login) && (count < least[verb] || count > most[verb]))) {
        expect_mistake();       /* without -p, USER and PASS accept any argument */
    } else if (verb == POP3_QUIT) {
        expect_quit();
    } else if (verb == POP3_CAPA) {
        const char *wanted =
            model.login
                ? "TOP\r\nUIDL\r\nUSER\r\nRESP-CODES\r\nPIPELINING\r\nEXPIRE NEVER\r\n"
                  "AUTH-RESP-CODE\r\n"
                : "TOP\r\nUIDL\r\nUSER\r\nRESP-CODES\r\nPIPELINING\r\nEXPIRE NEVER\r\n";

        expect_ok(NULL);
        expect_body(wanted, strlen(wanted), false);
    } else if (!log_in) {
        expect_transaction((enum pop3_verb)verb, count, word + 1);
    } else if (!model.login) {
        expect_ok(NULL);
    } else {
        expect_login(verb == POP3_USER, word[1]);
    }
}

/* ---- The session ----------------------------------------------------------------------------- */

static void
fill_store(void)
{
    for (size_t i = 0; i < MESSAGES; i++)
        system_add(mail[i].name, (const unsigned char *)mail[i].octets, mail[i].size);
}

/* Makes the store and its index. */
static void
make_store(void)
{
    static char large[LARGE];
    struct list list = {0};
    bool missing;

    memset(large, 'x', sizeof large);   /* line ends and dots at the end of a block */
    memcpy(large + BLOCK - 1, "\r\n.", 3);
    memcpy(large + BLOCK - 5, "\n.\n", 3);
    memcpy(large + LARGE - 5, "\n\r\n.\n", 5);
    mail[8].octets = large;
    mail[8].size = LARGE;
    system_reset(1);
    fill_store();
    for (size_t i = 0; i < MESSAGES; i++) {
        mail_to_wire(&mail[i]);
        DEMAND(list_add(&list, "", mail[i].name));
    }
    DEMAND(store_merge(&store, &list, true, &missing) && missing);      /* there was no index */
    list_free(&list);
    DEMAND(store.index.count == MESSAGES);
    for (size_t i = 0; i < MESSAGES; i++)
        DEMAND(strcmp(store.index.messages[i].name, mail[i].name) == 0);
}

/* Returns the message that changes, or MESSAGES. An empty one has no content to change. */
static size_t
changed_message(const uint8_t *head)
{
    return head[HEAD_CHANGED] < MESSAGES && mail[head[HEAD_CHANGED]].size > 0 ? head[HEAD_CHANGED]
                                                                              : MESSAGES;
}

/* Runs the session. Returns how many bytes the server read. */
static size_t
run_session(const uint8_t *head, const uint8_t *octets, size_t size)
{
    static struct settings settings;
    static const struct settings without_login = {.idle_seconds = 600},
                                 with_login = {.idle_seconds = 600,
                                               .passfile = "passfile",
                                               .name = "alice",
                                               .password = " open: sesame "};
    static const int errors[] = {EIO, EACCES, ESTALE, EINTR, ENFILE};
    static struct session s;
    struct system_stream *in = &sys.stream[0], *out = &sys.stream[1];
    sigset_t signals;
    int64_t begun;

    system_reset(head[HEAD_SEED]);
    fill_store();
    sys.log = system_check_log;
    sys.pieces = (head[HEAD_FLAGS] & IN_PIECES) != 0;
    sys.interrupts = (head[HEAD_FLAGS] & WITH_INTERRUPTS) != 0;
    sys.fault_after = head[HEAD_FAULT];
    sys.fault_error = errors[head[HEAD_ERROR] % (sizeof errors / sizeof *errors)];
    if (changed_message(head) < MESSAGES)
        sys.file[head[HEAD_CHANGED]].changes_after = 1 + head[HEAD_CHANGES];
    sys.stop = &stop_asked;
    sys.stop_after = head[HEAD_STOP];
    sys.stop_signal = 1;
    stop_asked = 0;
    in->in = octets;
    in->length = size;
    in->end = (head[HEAD_FLAGS] & CLIENT_END) == 32   ? STREAM_BREAKS
              : (head[HEAD_FLAGS] & CLIENT_END) == 64 ? STREAM_STAYS
                                                      : STREAM_ENDS;
    if (head[HEAD_OUTPUT] > 0)
        out->accepts = (size_t)head[HEAD_OUTPUT] * head[HEAD_OUTPUT] * 4;
    out->stalls = in->end == STREAM_STAYS;

    memset(&s, 0, offsetof(struct session, wire));
    settings = (head[HEAD_FLAGS] & WITH_LOGIN) != 0 ? with_login : without_login;
    settings.verbose = (head[HEAD_FLAGS] & VERBOSE) != 0;
    s.settings = &settings;
    s.store = &store;
    s.began = wire_clock();
    s.peer = "fuzzer";
    s.deleted = calloc(MESSAGES, sizeof *s.deleted);
    wire_open(&s.wire, SYSTEM_STREAM, SYSTEM_STREAM + 1);
    s.wire.socket = (head[HEAD_FLAGS] & ON_SOCKET) != 0;
    s.wire.idle_ms = INT64_C(600) * 1000;
    s.wire.stop = &stop_asked;

    begun = sys.now;
    session_run(&s);
    sigfillset(&signals);       /* which QUIT blocks */
    sigprocmask(SIG_UNBLOCK, &signals, NULL);
    free(s.deleted);
    list_free(&s.files);
    for (size_t i = 0; i < SYSTEM_OPENS; i++)
        DEMAND(sys.open[i].file == NULL);
    int64_t seconds = (sys.now - begun) / 1000;
    int64_t patience = s.state == IN_AUTH ? LOGIN_SECONDS : 600;
    if (s.wire.error == ETIMEDOUT && s.end == NULL)
        DEMAND(seconds >= patience && seconds <= patience + 3);
    else if (s.wire.error == EINTR)     /* the server was stopped, perhaps while it waited */
        DEMAND(seconds <= patience + 3);
    else if (out->accepts > 0)
        DEMAND(seconds <= 3 + LINGER_SECONDS);
    else                        /* the client never reads the last answer */
        DEMAND(seconds <= 3 + (s.removed > 0 ? QUIT_SECONDS : patience));
    return in->at;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t plain[HEAD] = {[HEAD_CHANGED] = MESSAGES};
    char status[513];
    size_t at = HEAD, read_size;

    if (mail[0].wire == NULL) {
        const char *uidl = "uidl\r\n";

        make_store();
        run_session(plain, (const uint8_t *)uidl, strlen(uidl));
        model = (struct model){.in_transaction = true, .changed = MESSAGES};
        unread.at = (const char *)sys.stream[1].out;
        unread.end = unread.at + sys.stream[1].written;
        unread.may_break = unread.broken = false;
        expect_ok(NULL);
        expect(uidl, 4, 6);
        DEMAND(unread.at == unread.end);
        for (size_t i = 0; i < MESSAGES; i++) {
            for (size_t k = 0; mail[i].id[k] != '\0'; k++)
                DEMAND(mail[i].id[k] > ' ' && mail[i].id[k] < 0x7f);
            for (size_t k = 0; k < i; k++)
                DEMAND(strcmp(mail[i].id, mail[k].id) != 0);
        }
        ids_seen = true;
    }
    if (size < HEAD || size > 2048)
        return 0;               /* longer inputs only retrieve the large message many times */

    read_size = HEAD + run_session(data, data + HEAD, size - HEAD);
    const struct system_stream *out = &sys.stream[1];
    model = (struct model){.login = (data[HEAD_FLAGS] & WITH_LOGIN) != 0,
                           .in_transaction = (data[HEAD_FLAGS] & WITH_LOGIN) == 0,
                           .changed = changed_message(data),
                           .changed_at_start = data[HEAD_CHANGES] == 0,
                           .faults = sys.faulted != NULL};
    unread.at = (const char *)out->out;
    unread.end = unread.at + out->written;
    unread.may_break = out->accepts == 0 || stop_asked;
    unread.broken = false;

    int greeted = read_status(status);
    DEMAND(greeted != 0 && (greeted < 0 || strchr(status, '<') == NULL));
    if (greeted > 0 && read_size > HEAD && data[HEAD] == 0x16) {    /* TLS */
        model.over = read_status(status) <= 0;
        DEMAND(model.over);
    }
    for (const uint8_t *lf;
         !model.over && !unread.broken && (lf = memchr(data + at, '\n', read_size - at)) != NULL;) {
        size_t length = (size_t)(lf - (data + at));

        expect((const char *)data + at, length > 0 && lf[-1] == '\r' ? length - 1 : length,
               length + 1);
        at += length + 1;
    }
    if (!unread.broken)
        DEMAND(unread.at == unread.end && (model.over || read_size == size || stop_asked) &&
               sys.slept == model.wrong_passwords);

    /* Messages are removed only by a QUIT after complete answers. Its own answer may be cut off. */
    for (size_t i = 0; i < MESSAGES; i++)
        DEMAND(model.quit || system_find(mail[i].name) < SYSTEM_FILES);
    return 0;
}
