/*
 * session.c - any octets from a client, and every answer judged by a model of the maildrop
 *
 * An input is a head of eight octets, which says how the session is held and what goes wrong in
 * it, and what the client sends. Each command line must get exactly one reply, and the right one:
 * the model below says which, naively and from the contract, and what the messages are on the
 * wire. After a QUIT that was answered +OK exactly the unmarked messages are left, after anything
 * else all of them.
 */
#include "fuzz_system.h"

int server_main(int, char **);
#define main server_main
#include "../../server.c"
#undef main

/* What an octet of the head, by its place, decides. */
enum {
    HEAD_FLAGS,
    HEAD_DICE,
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
    char *wire;                 /* as RETR sends it, without stuffing */
    size_t wire_size;
    char id[72];                /* its unique-id, once it was seen */
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
    MAIL("10:2,", "Twin: yes\n\ntwin\n"),
    MAIL("10:2,S", "Twin: yes\n\ntwin\n")
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
    int mistakes, tries;
    bool deleted[MESSAGES];
    size_t changed;             /* a message that changes, at some time; MESSAGES: none */
    bool from_the_start;
    int excuses;                /* what may go wrong for reasons of the system */
} model;

/* What the server sent, as far as it was judged. */
static struct {
    const char *at, *end;
    bool may_break, broken;     /* may it end in the middle of an answer, and has it */
} heard;

/* Takes one line, of which *length octets are before its CRLF. Returns NULL when none is left. */
static const char *
hear_line(size_t *length)
{
    const char *line = heard.at;
    const char *lf = memchr(line, '\n', (size_t)(heard.end - line));

    if (lf == NULL)
        return NULL;
    DEMAND(lf > line && lf[-1] == '\r');
    *length = (size_t)(lf - line) - 1;
    heard.at = lf + 1;
    return line;
}

/* No answer, or not all of one: that needs an excuse, and is the end. */
static void
hear_nothing(bool excused)
{
    DEMAND(heard.may_break || excused);
    heard.broken = true;
}

/* Takes a status line into text. Returns 1 for +OK, 0 for -ERR, -1 for none. */
static int
hear_status(char text[513])
{
    size_t length = 0;
    const char *line = hear_line(&length);

    if (line == NULL) {
        hear_nothing(false);
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
 * Takes the lines of a body without their stuffing, and the final dot, and compares them. One
 * with an excuse may be anything, but then the dot does not come.
 */
static void
hear_body(const char *wanted, size_t size, bool excused)
{
    const char *line;
    size_t length, at = 0;
    bool same = true;

    while ((line = hear_line(&length)) != NULL) {
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
        DEMAND(same || excused);
        at += length + 2;
    }
    hear_nothing(excused);
}

/* Writes what a message is on the wire, in the plainest way. */
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
mail_top(const struct mail *m, uint64_t lines)
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

/* A mistake of the client's: -ERR, and the twentieth in a row is the last. */
static void
expect_mistake(void)
{
    char status[513];
    int heard_ok = hear_status(status);

    DEMAND(heard_ok <= 0);
    model.over = model.over || ++model.mistakes == 20;
}

/* Any +OK, or exactly this one. */
static void
expect_ok(const char *wanted)
{
    char status[513];

    model.mistakes = 0;
    if (hear_status(status) < 0)
        return;
    DEMAND(status[0] == '+');
    if (wanted != NULL)
        DEMAND(strcmp(status, wanted) == 0);
}

/* Returns true if a word is a number up to 4294967295. */
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
        line = hear_line(&length);
        if (line == NULL) {
            hear_nothing(false);
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
    hear_body("", 0, false);
}

static void
expect_message(size_t i, const uint64_t *lines)
{
    char status[513], wanted[64];
    size_t size = lines != NULL ? mail_top(&mail[i], *lines) : mail[i].wire_size;
    int good = hear_status(status);

    model.mistakes = 0;
    if (good == 0) {
        DEMAND(i == model.changed || model.excuses-- > 0);
        return;
    }
    if (good < 0)
        return;
    DEMAND(i != model.changed || !model.from_the_start);
    snprintf(wanted, sizeof wanted, "+OK %zu ", size);
    DEMAND(lines != NULL || strncmp(status, wanted, strlen(wanted)) == 0);
    hear_body(mail[i].wire, size, i == model.changed || model.excuses > 0);
}

static void
expect_quit(void)
{
    char status[513], left[32];
    size_t marked = 0, gone = 0, rest = MESSAGES;
    int good = hear_status(status);

    model.quit = model.over = true;
    for (size_t i = 0; i < MESSAGES; i++) {
        bool removed = system_find(mail[i].name) == SYSTEM_FILES;

        DEMAND(!removed || model.deleted[i]);
        DEMAND(!removed || i != model.changed || !model.from_the_start);
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

        DEMAND(gone < marked ? marked - gone <= (size_t)(changed + model.excuses)
                             : model.excuses > 0);
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
is_web_page(const char *line)
{
    size_t at = 0;

    while ((line[at] >= 'A' && line[at] <= 'Z') || (line[at] >= 'a' && line[at] <= 'z') ||
           line[at] == '-')
        at++;
    return at > 0 && (line[at] == ':' || (line[at] == ' ' && strstr(line + at, " HTTP/") != NULL));
}

/* Judges the answer to one line, without its line end, that came whole. */
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
    if (verb == POP3_VERBS && is_web_page(copy)) {
        char status[513];

        DEMAND(hear_status(status) <= 0);
        model.over = true;
        return;
    }
    if (verb == POP3_VERBS || strlen(copy) != length) {
        expect_mistake();       /* unknown, or there is a NUL in it */
        return;
    }
    count--;
    if (verb == POP3_PASS) {    /* all that follows one blank */
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
        expect_mistake();       /* without a login, USER and PASS are +OK whatever follows */
    } else if (verb == POP3_QUIT) {
        expect_quit();
    } else if (verb == POP3_CAPA) {
        const char *wanted =
            model.login
                ? "TOP\r\nUIDL\r\nUSER\r\nRESP-CODES\r\nPIPELINING\r\nEXPIRE NEVER\r\n"
                  "AUTH-RESP-CODE\r\n"
                : "TOP\r\nUIDL\r\nUSER\r\nRESP-CODES\r\nPIPELINING\r\nEXPIRE NEVER\r\n";

        expect_ok(NULL);
        hear_body(wanted, strlen(wanted), false);
    } else if (!log_in) {
        expect_transaction((enum pop3_verb)verb, count, word + 1);
    } else if (!model.login) {
        expect_ok(NULL);
    } else if (verb == POP3_USER) {
        expect_ok(NULL);
        model.user_given = true;
        model.user_right = strcmp(word[1], "alice") == 0;
    } else if (!model.user_given) {
        expect_mistake();
    } else if (model.user_right && strcmp(word[1], " open: sesame ") == 0) {
        expect_ok(NULL);
        model.in_transaction = true;
    } else {
        char status[513];

        model.user_given = false;
        model.over = ++model.tries == 3;
        model.mistakes = 0;
        if (hear_status(status) >= 0)
            DEMAND(strncmp(status, "-ERR [AUTH] ", 12) == 0);
    }
}

/* ---- The session ----------------------------------------------------------------------------- */

/* A line of the log is one line, and harmless. */
static void
look_at_log(const char *octets, size_t length)
{
    DEMAND(length > 1 && octets[length - 1] == '\n');
    for (size_t i = 0; i + 1 < length; i++)
        DEMAND(octets[i] >= ' ' && octets[i] < 0x7f);
}

/* Puts the messages into the directory of this run. */
static void
fill_store(void)
{
    for (size_t i = 0; i < MESSAGES; i++)
        system_add(mail[i].name, (const unsigned char *)mail[i].octets, mail[i].size);
}

/* Makes the store and its index, once. */
static void
make_store(void)
{
    static char large[LARGE];
    struct names names = {0};

    memset(large, 'x', sizeof large);   /* a line end, and a dot behind it, where one read ends */
    memcpy(large + BLOCK - 1, "\r\n.", 3);
    memcpy(large + BLOCK - 5, "\n.\n", 3);
    memcpy(large + LARGE - 5, "\n\r\n.\n", 5);
    mail[8].octets = large;
    mail[8].size = LARGE;
    system_reset(1);
    fill_store();
    for (size_t i = 0; i < MESSAGES; i++) {
        mail_to_wire(&mail[i]);
        DEMAND(names_add(&names, "", mail[i].name, 0));
    }
    DEMAND(store_merge(&store, &names, true));
    names_free(&names);
    DEMAND(store.index.count == MESSAGES);
    for (size_t i = 0; i < MESSAGES; i++)
        DEMAND(strcmp(store.index.names + store.index.messages[i].name, mail[i].name) == 0);
}

/* Returns which message changes, MESSAGES: none. An empty one cannot: it would only be touched. */
static size_t
changed_message(const uint8_t *head)
{
    return head[HEAD_CHANGED] < MESSAGES && mail[head[HEAD_CHANGED]].size > 0 ? head[HEAD_CHANGED]
                                                                              : MESSAGES;
}

/* Holds the session of an input. Returns how many octets of it the server read. */
static size_t
hold_session(const uint8_t *head, const uint8_t *octets, size_t size)
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

    system_reset(head[HEAD_DICE]);
    fill_store();
    sys.log = look_at_log;
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
    in->have = size;
    in->end = (head[HEAD_FLAGS] & CLIENT_END) == 32   ? STREAM_BREAKS
              : (head[HEAD_FLAGS] & CLIENT_END) == 64 ? STREAM_STAYS
                                                      : STREAM_ENDS;
    if (head[HEAD_OUTPUT] > 0)
        out->takes = (size_t)head[HEAD_OUTPUT] * head[HEAD_OUTPUT] * 4;
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
    names_free(&s.names);
    for (size_t i = 0; i < SYSTEM_OPENS; i++)
        DEMAND(sys.open[i].file == NULL);
    int64_t seconds = (sys.now - begun) / 1000;
    int64_t patience = s.state == IN_AUTH ? LOGIN_SECONDS : 600;
    if (s.wire.error == ETIMEDOUT && s.end == NULL)
        DEMAND(seconds >= patience && seconds <= patience + 3);
    else if (out->takes > 0)
        DEMAND(seconds <= 3 + LINGER_SECONDS);
    else                        /* the last answer waits for who never reads */
        DEMAND(seconds <= 3 + (s.removed > 0 ? QUIT_SECONDS : patience));
    return in->at;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t plain[HEAD] = {[HEAD_CHANGED] = MESSAGES};
    char status[513];
    size_t at = HEAD, taken;

    if (mail[0].wire == NULL) {
        const char *uidl = "uidl\r\n";

        make_store();
        hold_session(plain, (const uint8_t *)uidl, strlen(uidl));
        model = (struct model){.in_transaction = true, .changed = MESSAGES};
        heard.at = (const char *)sys.stream[1].out;
        heard.end = heard.at + sys.stream[1].made;
        heard.may_break = heard.broken = false;
        expect_ok(NULL);
        expect(uidl, 4, 6);
        DEMAND(heard.at == heard.end);
        for (size_t i = 0; i < MESSAGES; i++) {
            for (size_t k = 0; mail[i].id[k] != '\0'; k++)
                DEMAND(mail[i].id[k] > ' ' && mail[i].id[k] < 0x7f);
            for (size_t k = 0; k < i; k++)
                DEMAND(strcmp(mail[i].id, mail[k].id) != 0);
        }
        ids_seen = true;
    }
    if (size < HEAD || size > 2048)
        return 0;               /* more holds nothing new, but a large message many times */

    taken = HEAD + hold_session(data, data + HEAD, size - HEAD);
    const struct system_stream *out = &sys.stream[1];
    model = (struct model){.login = (data[HEAD_FLAGS] & WITH_LOGIN) != 0,
                           .in_transaction = (data[HEAD_FLAGS] & WITH_LOGIN) == 0,
                           .changed = changed_message(data),
                           .from_the_start = data[HEAD_CHANGES] == 0,
                           .excuses = sys.faulted != NULL};
    heard.at = (const char *)out->out;
    heard.end = heard.at + out->made;
    heard.may_break = out->takes == 0 || stop_asked;
    heard.broken = false;

    int greeted = hear_status(status);
    DEMAND(greeted != 0 && (greeted < 0 || strchr(status, '<') == NULL));
    if (greeted > 0 && taken > HEAD && data[HEAD] == 0x16) {    /* TLS */
        model.over = hear_status(status) <= 0;
        DEMAND(model.over);
    }
    for (const uint8_t *lf;
         !model.over && !heard.broken && (lf = memchr(data + at, '\n', taken - at)) != NULL;) {
        size_t length = (size_t)(lf - (data + at));

        expect((const char *)data + at, length > 0 && lf[-1] == '\r' ? length - 1 : length,
               length + 1);
        at += length + 1;
    }
    if (!heard.broken)
        DEMAND(heard.at == heard.end && (model.over || taken == size || stop_asked) &&
               sys.slept == model.tries);

    /*
     * Nothing is removed but by a QUIT that came behind answers that all arrived; its own may be
     * cut off.
     */
    for (size_t i = 0; i < MESSAGES; i++)
        DEMAND(model.quit || system_find(mail[i].name) < SYSTEM_FILES);
    return 0;
}
