/*
 * steps.h - random steps of several sessions, compared with a model of the store; part of load.c
 */
#ifndef STEPS_H
#define STEPS_H

/*
 * One process takes all steps, so the model knows the store at each of them. Several sessions are
 * open, and the store changes between their commands. Every answer is known exactly, except for
 * messages whose file was touched without a change of its content.
 */

struct text {
    int references;
    size_t length, wire;        /* bytes of the file; octets of RETR before byte-stuffing */
    char bytes[];
};

struct mail {
    char name[24];
    struct text *text;
    unsigned file;              /* changes with the file */
    unsigned version;           /* changes with the content */
    unsigned touch;             /* changes with times, mode or links */
    char id[72];                /* its unique-id once a session has received it, else "" */
};

enum { MAILS = 70, OPEN = 6 };

struct session {
    bool open;
    struct client c;
    int count, mistakes;
    struct mail mail[MAILS];    /* as the session began, in order */
    bool marked[MAILS];
};

struct model {
    struct server s;
    int count;
    struct mail mail[MAILS];    /* as the store is now */
    unsigned number;            /* the last number that was used */
    struct session sessions_open[OPEN];
    long steps, sessions, changes, retrieved, refused, removed, kept;
};

/* Counts what RETR sends: LF becomes CRLF, and a last line gets a line end. */
static size_t
wire_length(const struct text *t)
{
    size_t wire = t->length;
    char last = '\n';

    for (size_t i = 0; i < t->length; last = t->bytes[i++])
        wire += t->bytes[i] == '\n' && last != '\r';
    return wire + (last != '\n' ? 2 : 0);
}

/* Makes a random text, which contains the number. */
static struct text *
new_text(unsigned number)
{
    static const char *const pieces[] = {".",
                                         "..",
                                         "",
                                         " ",
                                         "a word ",
                                         "From me",
                                         "\xc3\xa4\xff\x01",
                                         ".\n",
                                         "\n",
                                         "\n\n",
                                         "a\rb",
                                         "\r\n",
                                         "longer than the rest "};
    size_t room = random_below(40) == 0  ? 300 * 1000
                  : random_below(6) == 0 ? 20 * 1000
                                 : random_below(1500),
           most = room + 100;
    struct text *t = malloc(sizeof *t + most);

    check(t != NULL);
    t->references = 1;
    t->length = (size_t)snprintf(t->bytes, most, "Number: %u\nSubject: any\n%s", number,
                                 random_below(10) > 0 ? "\n" : "");
    while (t->length < room) {
        const char *piece = pieces[random_below(sizeof pieces / sizeof *pieces)];
        size_t length = strlen(piece);

        memcpy(t->bytes + t->length, piece, length);
        t->length += length;
    }
    t->wire = wire_length(t);
    return t;
}

static bool
same_text(const struct text *a, const struct text *b)
{
    return a->length == b->length && memcmp(a->bytes, b->bytes, a->length) == 0;
}

static void
release_text(struct text *t)
{
    if (--t->references == 0)
        free(t);
}

/* Returns what TOP sends, or RETR if lines is negative, before byte-stuffing. To be freed. */
static char *
wire_text(const struct text *t, long lines)
{
    char *wire = malloc(2 * t->length + 3), *to = wire;
    bool in_body = lines < 0;

    check(wire != NULL);
    for (size_t i = 0; i < t->length && !(in_body && lines == 0);) {
        const char *lf = memchr(t->bytes + i, '\n', t->length - i);
        size_t end = lf != NULL ? (size_t)(lf - t->bytes) : t->length, length = end - i;

        if (lf != NULL && length > 0 && t->bytes[end - 1] == '\r')
            length--;
        memcpy(to, t->bytes + i, length);
        to += length;
        memcpy(to, "\r\n", 2);
        to += 2;
        if (in_body)
            lines--;
        else
            in_body = length == 0 && lf != NULL;
        i = end + 1;
    }
    *to = '\0';
    return wire;
}

static int
mail_order(const void *a, const void *b)
{
    const struct mail *x = a, *y = b;
    int m = atoi(x->name + 1), n = atoi(y->name + 1);   /* after the m */

    return m != n ? m - n : strcmp(x->name, y->name);
}

static struct mail *
find_mail(struct model *m, const char *name)
{
    for (int i = 0; i < m->count; i++)
        if (strcmp(m->mail[i].name, name) == 0)
            return &m->mail[i];
    return NULL;
}

/* Returns a session's message under its present name, or the one that has its old name, or NULL. */
static struct mail *
find_now(struct model *m, const struct mail *then)
{
    for (int i = 0; i < m->count; i++)
        if (m->mail[i].file == then->file)
            return &m->mail[i];
    return find_mail(m, then->name);
}

/* Returns true if a message is unchanged since a session began. Its name may be another. */
static bool
is_unchanged(const struct mail *now, const struct mail *then)
{
    return now != NULL && now->file == then->file && now->version == then->version &&
           now->touch == then->touch;
}

/* Writes a file of the store in place, or under a hidden name which it then renames. */
static void
write_mail(const char *name, const struct text *t, bool in_place)
{
    int file = open(in_place ? store_path(name) : "store/.new", O_WRONLY | O_CREAT | O_TRUNC, 0644);


    check(file >= 0 && write(file, t->bytes, t->length) == (ssize_t)t->length && close(file) == 0);
    check(in_place || rename("store/.new", store_path(name)) == 0);
}

static void
set_text(struct model *m, struct mail *mail, struct text *t)
{
    release_text(mail->text);
    mail->text = t;
    mail->version = ++m->number;
    mail->id[0] = '\0';
}

static void
add_mail(struct model *m)
{
    struct mail *mail = &m->mail[m->count];

    if (m->count == MAILS)
        return;
    *mail = (struct mail){.version = ++m->number};
    mail->file = m->number;
    mail->text = new_text(m->number);
    snprintf(mail->name, sizeof mail->name, "m%u", m->number);
    if (random_below(3) == 0)
        strcat(mail->name, ":2,");
    write_mail(mail->name, mail->text, random_below(4) == 0);
    m->count++;
}

static void
forget_mail(struct model *m, struct mail *mail)
{
    release_text(mail->text);
    *mail = m->mail[--m->count];
}

static void
remove_mail(struct model *m, struct mail *mail)
{
    check(unlink(store_path(mail->name)) == 0);
    forget_mail(m, mail);
}

/* Changes the flags in a message's name, or the whole name. */
static void
rename_mail(struct model *m, struct mail *mail)
{
    char from[64], *flags = strstr(mail->name, ":2,");

    snprintf(from, sizeof from, "store/%s", mail->name);
    if (flags != NULL && random_below(4) > 0) {
        strcpy(flags, strcmp(flags, ":2,") != 0 ? ":2," : random_below(2) == 0 ? ":2,S" : ":2,FRS");
    } else {
        snprintf(mail->name, sizeof mail->name, "m%u", ++m->number);
        mail->id[0] = '\0';
    }
    check(rename(from, store_path(mail->name)) == 0);
}

/* Changes one byte of a message in place, and sometimes restores its modification time. */
static void
change_byte(struct model *m, struct mail *mail)
{
    struct text *t = malloc(sizeof *t + mail->text->length);
    struct stat status;
    size_t at = mail->text->length - 1 -
                random_below((unsigned)(mail->text->length < 20 ? mail->text->length : 20));
    int file;

    check(t != NULL);
    memcpy(t, mail->text, sizeof *t + mail->text->length);
    t->references = 1;
    if (t->bytes[at] == '\n' || t->bytes[at] == '\r')
        at = 0;                                 /* so that the size stays */
    t->bytes[at] = t->bytes[at] == 'x' ? 'y' : 'x';
    file = open(store_path(mail->name), O_WRONLY);
    check(file >= 0 && fstat(file, &status) == 0 &&
          pwrite(file, &t->bytes[at], 1, (off_t)at) == 1);
    if (random_below(2) == 0) {
        const struct timespec times[2] = {status.st_atim, status.st_mtim};

        check(futimens(file, times) == 0);
    }
    close(file);
    set_text(m, mail, t);
}

static void
append_mail(struct model *m, struct mail *mail)
{
    struct text *more = new_text(++m->number),
                *t = malloc(sizeof *t + mail->text->length + more->length);
    int file;

    check(t != NULL);
    t->references = 1;
    t->length = mail->text->length + more->length;
    memcpy(t->bytes, mail->text->bytes, mail->text->length);
    memcpy(t->bytes + mail->text->length, more->bytes, more->length);
    t->wire = wire_length(t);
    file = open(store_path(mail->name), O_WRONLY | O_APPEND);
    check(file >= 0 && write(file, more->bytes, more->length) == (ssize_t)more->length &&
          close(file) == 0);
    release_text(more);
    set_text(m, mail, t);
}

/* Changes a message's times, mode, links or file, but not its content. */
static void
touch_mail(struct model *m, struct mail *mail)
{
    const char *path = store_path(mail->name);

    mail->touch = ++m->number;
    switch (random_below(4)) {
    case 0:
        check(utimensat(AT_FDCWD, path, NULL, 0) == 0);
        break;
    case 1:
        check(chmod(path, random_below(2) == 0 ? 0600 : 0644) == 0);
        break;
    case 2:
        check(link(path, "elsewhere") == 0 && unlink("elsewhere") == 0);
        break;
    case 3:
        write_mail(mail->name, mail->text, false);
        mail->file = m->number;
        break;
    }
}

/* Makes a random change to the store. */
static void
change_store(struct model *m)
{
    struct mail *mail = m->count > 0 ? &m->mail[random_below((unsigned)m->count)] : NULL;
    unsigned what = random_below(100);

    m->changes++;
    if (mail == NULL || what < (m->count < 25 ? 45 : 25)) {
        add_mail(m);
    } else if (what < 55) {
        remove_mail(m, mail);
    } else if (what < 65) {
        rename_mail(m, mail);
    } else if (what < 73) {
        struct text *t = new_text(++m->number);

        write_mail(mail->name, t, what < 69);
        set_text(m, mail, t);
        if (what >= 69)
            mail->file = m->number;
    } else if (what < 80) {
        change_byte(m, mail);
    } else if (what < 85 && mail->text->length < 1000 * 1000) {
        append_mail(m, mail);
    } else if (what < 95) {
        touch_mail(m, mail);
    } else if (what < 98) {                     /* files that are no messages */
        run_command(
            random_below(2) == 0
                ? "echo new >store/.part; echo old >store/,1; mkdir -p store/d; ln -sf m1 store/l"
                : "rm -rf store/.part store/,1 store/d store/l");
    } else if (what == 99 && random_below(10) == 0) {
        while (m->count > 0)
            remove_mail(m, &m->mail[0]);
    }
}

/* The store must have the names of the model. The content of one file is compared. */
static void
check_store(struct model *m)
{
    DIR *directory = opendir("store");
    struct dirent *entry;
    int count = 0;

    check(directory != NULL);
    while ((entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] != 'm')
            continue;
        count++;
        if (find_mail(m, entry->d_name) == NULL)
            fail("%s is still in the store", entry->d_name);
    }
    closedir(directory);
    if (count != m->count)
        for (int i = 0; i < m->count; i++)
            if (!exists(store_path(m->mail[i].name)))
                fail("%s is gone", m->mail[i].name);
    if (m->count > 0) {
        struct mail *mail = &m->mail[random_below((unsigned)m->count)];
        char *text = slurp(store_path(mail->name));

        check(memcmp(text, mail->text->bytes, mail->text->length) == 0);
        free(text);
    }
}

struct command {
    enum { C_STAT, C_LIST, C_UIDL, C_RETR, C_TOP, C_DELE, C_RSET, C_NOOP, C_CAPA, C_NONE } verb;
    int number;                 /* 0: none */
    int lines;
};

static struct command
random_command(const struct session *v)
{
    static const int often[] = {C_STAT, C_LIST, C_LIST, C_UIDL, C_UIDL, C_RETR, C_RETR,
                                C_RETR, C_RETR, C_RETR, C_TOP,  C_TOP,  C_DELE, C_DELE,
                                C_DELE, C_DELE, C_RSET, C_NOOP, C_CAPA, C_NONE};
    struct command command = {.verb = C_NOOP};

    if (v->mistakes > 8)        /* at twenty in a row the session would end */
        return command;
    command.verb = (unsigned)often[random_below(sizeof often / sizeof *often)];
    if (command.verb == C_RSET && random_below(4) > 0)
        command.verb = C_RETR;
    if (command.verb >= C_RETR && command.verb <= C_DELE) {
        unsigned beyond = random_below(10) == 0 ? 3 : 0;

        command.number = (int)random_below((unsigned)v->count + beyond + (v->count == 0)) +
                         (random_below(20) > 0);
    }
    if (command.verb <= C_UIDL && command.verb != C_STAT && random_below(2) == 0)
        command.number = (int)random_below((unsigned)v->count + 1) + 1;
    command.lines = (int)random_below(random_below(4) == 0 ? 1000 : 5);
    return command;
}

/* Sends a command, its line end CRLF or LF. */
static void
send_command(struct session *v, struct command command)
{
    static const char *const words[] = {
        "STAT", "LIST", "UIDL", "RETR", "TOP", "DELE", "RSET", "NOOP", "CAPA", "XNONE"
    };
    char line[64];
    int length = snprintf(line, sizeof line, "%s", words[command.verb]);

    if (command.number > 0 || (command.verb >= C_RETR && command.verb <= C_DELE))
        length += snprintf(line + length, sizeof line - (size_t)length, " %d", command.number);
    if (command.verb == C_TOP)
        snprintf(line + length, sizeof line - (size_t)length, " %d", command.lines);
    send_text(&v->c, line);
    send_text(&v->c, random_below(2) == 0 ? "\r\n" : "\n");
}

/* Compares a unique-id with those that this session and earlier ones received. */
static void
expect_id(struct model *m, struct session *v, int i, const char *id)
{
    struct mail *now = find_mail(m, v->mail[i].name);

    check(strlen(id) >= 1 && strlen(id) <= 70);
    if (v->mail[i].id[0] == '\0')
        strcpy(v->mail[i].id, id);
    if (strcmp(v->mail[i].id, id) != 0)
        fail("the unique-id of %s was %s, is %s", v->mail[i].name, v->mail[i].id, id);
    for (int k = 0; k < v->count; k++)
        check(k == i || strcmp(v->mail[k].id, id) != 0);
    if (now != NULL && now->version == v->mail[i].version && now->id[0] == '\0')
        strcpy(now->id, id);
    else if (now != NULL && !same_text(now->text, v->mail[i].text))
        check(strcmp(now->id, id) != 0);
}

enum listing { STATUS, SIZES, IDS };

/* STAT, LIST and UIDL: exactly the messages that are not marked. */
static void
expect_listing(struct model *m, struct session *v, enum listing what)
{
    unsigned long long octets = 0;
    int count = 0;
    char line[128];
    const char *got;

    for (int i = 0; i < v->count; i++) {
        if (v->marked[i])
            continue;
        count++;
        octets += v->mail[i].text->wire;
    }
    if (what == STATUS)
        snprintf(line, sizeof line, "+OK %d %llu", count, octets);
    else
        snprintf(line, sizeof line, what == SIZES ? "+OK %d message*" : "+OK*", count);
    expect(&v->c, line);
    if (what == STATUS)
        return;
    for (int i = 0; i < v->count; i++) {
        if (v->marked[i])
            continue;
        if (what == SIZES) {
            snprintf(line, sizeof line, "%d %zu", i + 1, v->mail[i].text->wire);
            expect(&v->c, line);
        } else {
            snprintf(line, sizeof line, "%d ", i + 1);
            got = read_answer(&v->c);
            check(strncmp(got, line, strlen(line)) == 0);
            expect_id(m, v, i, got + strlen(line));
        }
    }
    expect(&v->c, ".");
}

/* RETR and TOP: the message as it was when the session began, or -ERR if it has changed. */
static void
expect_mail(struct model *m, struct session *v, struct command command)
{
    const struct mail *then = &v->mail[command.number - 1];
    bool same = is_unchanged(find_now(m, then), then);
    const char *line = read_answer(&v->c);
    char *wanted, *body;

    if (!matches(line, "+OK*")) {
        check(matches(line, "-ERR*"));
        if (same)
            fail("%s has not changed, but the answer is: %s", then->name, line);
        m->refused++;
        return;
    }
    if (command.verb == C_RETR)
        check(strtoull(line + 4, NULL, 10) == then->text->wire);
    wanted = wire_text(then->text, command.verb == C_RETR ? -1 : command.lines);
    body = take_body(&v->c);
    if (strcmp(wanted, body) != 0) {
        size_t same_octets = 0;

        while (wanted[same_octets] == body[same_octets])
            same_octets++;
        fail("%s has changed since the session began, from octet %zu on", then->name, same_octets);
    }
    free(wanted);
    free(body);
    m->retrieved++;
}

/* The answer to a command. */
static void
expect_command(struct model *m, struct session *v, struct command command)
{
    const bool is_there =
        command.number > 0 && command.number <= v->count && !v->marked[command.number - 1];
    const bool on_one = command.number > 0 || (command.verb >= C_RETR && command.verb <= C_DELE);
    char line[128];
    const char *got;

    v->mistakes++;
    if (command.verb == C_NONE || (on_one && !is_there)) {
        expect(&v->c, "-ERR*");
        return;
    }
    v->mistakes = 0;
    switch (command.verb) {
    case C_STAT:
        expect_listing(m, v, STATUS);
        break;
    case C_LIST:
        if (command.number > 0) {
            snprintf(line, sizeof line, "+OK %d %zu", command.number,
                     v->mail[command.number - 1].text->wire);
            expect(&v->c, line);
        } else {
            expect_listing(m, v, SIZES);
        }
        break;
    case C_UIDL:
        if (command.number > 0) {
            snprintf(line, sizeof line, "+OK %d ", command.number);
            got = read_answer(&v->c);
            check(strncmp(got, line, strlen(line)) == 0);
            expect_id(m, v, command.number - 1, got + strlen(line));
        } else {
            expect_listing(m, v, IDS);
        }
        break;
    case C_RETR:
    case C_TOP:
        expect_mail(m, v, command);
        break;
    case C_DELE:
        expect(&v->c, "+OK*");
        v->marked[command.number - 1] = true;
        break;
    case C_RSET:
        expect(&v->c, "+OK*");
        memset(v->marked, 0, sizeof v->marked);
        break;
    case C_CAPA:
        expect(&v->c, "+OK*");
        free(take_body(&v->c));
        break;
    default:
        expect(&v->c, "+OK*");
    }
}

/* Begins a session. Its maildrop is the present store. */
static void
begin_session(struct model *m, struct session *v)
{
    *v = (struct session){.open = true, .count = m->count};
    v->c = greeted(&m->s);
    memcpy(v->mail, m->mail, sizeof v->mail);
    for (int i = 0; i < v->count; i++)
        v->mail[i].text->references++;
    qsort(v->mail, (size_t)v->count, sizeof *v->mail, mail_order);
    send_text(&v->c, "STAT\r\nLIST\r\nUIDL\r\n");
    expect_listing(m, v, STATUS);
    expect_listing(m, v, SIZES);
    expect_listing(m, v, IDS);
    m->sessions++;
}

static void
forget_session(struct session *v)
{
    for (int i = 0; i < v->count; i++)
        release_text(v->mail[i].text);
    v->open = false;
}

/*
 * QUIT removes a marked message that is unchanged, under whatever name, and keeps one whose content
 * has changed. It may do either with one that was only touched. The answer is +OK if no marked
 * message is left. If one has another name and other content, either answer is right: it may count
 * as the same message or as another one.
 */
static void
quit_session(struct model *m, struct session *v)
{
    bool stays = false, unsure = false;
    const char *line;

    send_text(&v->c, random_below(2) == 0 ? "QUIT\r\n" : "QUIT\r\nDELE 1\r\nQUIT\r\n");
    line = read_answer(&v->c);
    for (int i = 0; i < v->count; i++) {
        struct mail *now = find_now(m, &v->mail[i]);
        bool here;

        if (!v->marked[i] || now == NULL)
            continue;
        here = exists(store_path(now->name));
        if (!same_text(now->text, v->mail[i].text) && !here)
            fail("%s was changed, but removed", now->name);
        if (is_unchanged(now, &v->mail[i]) && here)
            fail("%s was marked, but is still there after: %s", now->name, line);
        unsure = unsure || strcmp(now->name, v->mail[i].name) != 0;
        stays = stays || here;
        if (here) {
            m->kept++;
        } else {
            m->removed++;
            forget_mail(m, now);
        }
    }
    if (!matches(line, stays ? "-ERR*" : "+OK*") && !(stays && unsure))
        fail("%s, but the answer is: %s", stays ? "a message is left" : "no message is left", line);
    expect_end(&v->c);
    check_store(m);
    forget_session(v);
}

/* The client disconnects, perhaps within a command: nothing is removed. */
static void
drop_session(struct model *m, struct session *v)
{
    for (unsigned i = random_below(5); i > 0; i--)
        send_command(v, random_command(v));
    if (random_below(3) == 0)
        send_text(&v->c, "QUI");
    drop(&v->c);
    check_store(m);
    forget_session(v);
}

/* The client disconnects right after QUIT: all that it marked is removed, or nothing. */
static void
quit_and_drop(struct model *m, struct session *v)
{
    int others = -1, gone = 0, here = 0;

    for (int i = 0; i < OPEN; i++)
        others += m->sessions_open[i].open;
    send_text(&v->c, "QUIT\r\n");
    drop(&v->c);
    await_sessions(&m->s, others);
    for (int i = 0; i < v->count; i++) {
        struct mail *now = find_now(m, &v->mail[i]);
        bool same = is_unchanged(now, &v->mail[i]);

        if (!v->marked[i] || now == NULL)
            continue;
        if (exists(store_path(now->name))) {
            here += same;
            continue;
        }
        check(same_text(now->text, v->mail[i].text));
        gone += same;
        m->removed++;
        forget_mail(m, now);
    }
    if (gone > 0 && here > 0)
        fail("%d of the marked messages are gone, but %d are not", gone, here);
    check_store(m);
    forget_session(v);
}

/* Sends one or several commands, then reads their answers. */
static void
pipeline_commands(struct model *m, struct session *v)
{
    struct command commands[10];
    unsigned count = random_below(4) == 0 ? random_below(10) + 1 : 1;

    for (unsigned i = 0; i < count; i++) {
        commands[i] = random_command(v);
        send_command(v, commands[i]);
    }
    for (unsigned i = 0; i < count; i++)
        expect_command(m, v, commands[i]);
}

/* Stops the server and its sessions, which removes nothing, and starts another one. */
static void
restart_server(struct model *m)
{
    kill(m->s.pid, SIGTERM);
    check(wait_for(m->s.pid) == 0);
    close(m->s.out);
    for (int i = 0; i < OPEN; i++) {
        if (!m->sessions_open[i].open)
            continue;
        expect_end(&m->sessions_open[i].c);
        forget_session(&m->sessions_open[i]);
    }
    check_store(m);
    m->s = start_server("-d store 0");
}

/* Returns true if each kind of answer has come, as on a slow machine it may not soon. */
static bool
all_seen(const struct model *m)
{
    return m->retrieved > 0 && m->refused > 0 && m->removed > 0 && m->kept > 0;
}

static void
random_steps(void)
{
    static struct model m;
    int64_t until;

    seed_random();
    until = clock_ms() + random_seconds() * INT64_C(1000);
    check(mkdir("store", 0755) == 0);
    for (int i = 0; i < 20; i++)
        add_mail(&m);
    m.s = start_server("-d store 0");
    while (clock_ms() < until || !all_seen(&m)) {
        struct session *v = &m.sessions_open[random_below(OPEN)];
        unsigned what = random_below(100);

        m.steps++;
        if (what < 30)
            change_store(&m);
        else if (what == 99 && random_below(20) == 0)
            restart_server(&m);
        else if (!v->open)
            begin_session(&m, v);
        else if (what < 88)
            pipeline_commands(&m, v);
        else if (what < 96)
            quit_session(&m, v);
        else if (what < 98)
            drop_session(&m, v);
        else
            quit_and_drop(&m, v);
    }
    for (int i = 0; i < OPEN; i++)
        if (m.sessions_open[i].open)
            quit_session(&m, &m.sessions_open[i]);
    check_store(&m);
    printf(
        "%ld steps, %ld sessions, %ld changes of the store; %ld messages retrieved, %ld refused; "
        "%ld removed, %ld kept after a change\n",
        m.steps, m.sessions, m.changes, m.retrieved, m.refused, m.removed, m.kept);
    end_server(&m.s);
}

#endif
