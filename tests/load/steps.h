/*
 * steps.h - random sessions step by step, against a model of the store; a part of load.c
 */
#ifndef STEPS_H
#define STEPS_H

/*
 * One step after another, so that the model knows what the store is at each of them: sessions are
 * open side by side, and between two steps of one the store changes in every way there is. What a
 * session must be answered is known to the octet, but for messages that were touched and are the
 * same.
 */

struct text {
    int users;
    size_t length, wire; /* octets of the file; octets that RETR sends, before byte-stuffing */
    char octets[];
};

struct mail {
    char name[24];
    struct text *text;
    unsigned file;              /* another number: another file */
    unsigned state;             /* another number: another content */
    unsigned touch;             /* another number: the same, but its times or links may be others */
    char id[72];                /* once a session was told */
};

enum { MAILS = 70, VISITS = 6 };

struct visit {
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
    unsigned number;            /* of what was made so far */
    struct visit visits[VISITS];
    long steps, sessions, changes, retrieved, refused, removed, kept;
};

/* Makes a text of any kind, with a number in it that no other has. */
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
    size_t room = dice(40) == 0  ? 300 * 1000
                  : dice(6) == 0 ? 20 * 1000
                                 : dice(1500),
           most = room + 100;
    struct text *t = malloc(sizeof *t + most);
    char last = '\n';

    check(t != NULL);
    t->users = 1;
    t->length = (size_t)snprintf(t->octets, most, "Number: %u\nSubject: any\n%s", number,
                                 dice(10) > 0 ? "\n" : "");
    while (t->length < room) {
        const char *piece = pieces[dice(sizeof pieces / sizeof *pieces)];
        size_t length = strlen(piece);

        memcpy(t->octets + t->length, piece, length);
        t->length += length;
    }
    t->wire = t->length;
    for (size_t i = 0; i < t->length; last = t->octets[i++])
        t->wire += t->octets[i] == '\n' && last != '\r';
    t->wire += last != '\n' ? 2 : 0;
    return t;
}

/* Returns true if two texts are the same; what was written twice may be what it was. */
static bool
same_text(const struct text *a, const struct text *b)
{
    return a->length == b->length && memcmp(a->octets, b->octets, a->length) == 0;
}

static void
drop_text(struct text *t)
{
    if (--t->users == 0)
        free(t);
}

/*
 * Returns what TOP or, with lines below 0, RETR sends of a text, byte-stuffing undone, to be
 * freed.
 */
static char *
wire_text(const struct text *t, long lines)
{
    char *wire = malloc(2 * t->length + 3), *to = wire;
    bool in_body = lines < 0;

    check(wire != NULL);
    for (size_t i = 0; i < t->length && !(in_body && lines == 0);) {
        const char *lf = memchr(t->octets + i, '\n', t->length - i);
        size_t end = lf != NULL ? (size_t)(lf - t->octets) : t->length, length = end - i;

        if (lf != NULL && length > 0 && t->octets[end - 1] == '\r')
            length--;
        memcpy(to, t->octets + i, length);
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
    int m = atoi(x->name + 1), n = atoi(y->name + 1);   /* all are a letter and a number */

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

/*
 * Returns the mail that a session saw, under the name that it has now, or what has taken its
 * name, or NULL.
 */
static struct mail *
find_now(struct model *m, const struct mail *then)
{
    for (int i = 0; i < m->count; i++)
        if (m->mail[i].file == then->file)
            return &m->mail[i];
    return find_mail(m, then->name);
}

/* Returns true if a mail is as a session saw it, whatever its name is now. */
static bool
is_same(const struct mail *now, const struct mail *then)
{
    return now != NULL && now->file == then->file && now->state == then->state &&
           now->touch == then->touch;
}

/* Writes a text to a file of the store in place, or under another name that is then renamed. */
static void
write_mail(const char *name, const struct text *t, bool in_place)
{
    char path[64], hidden[64] = "store/.new";
    int file;

    snprintf(path, sizeof path, "store/%s", name);
    file = open(in_place ? path : hidden, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    check(file >= 0 && write(file, t->octets, t->length) == (ssize_t)t->length && close(file) == 0);
    check(in_place || rename(hidden, path) == 0);
}

/* Notes that a mail has another text. */
static void
set_text(struct model *m, struct mail *mail, struct text *t)
{
    drop_text(mail->text);
    mail->text = t;
    mail->state = ++m->number;
    mail->id[0] = '\0';
}

static void
add_mail(struct model *m)
{
    struct mail *mail = &m->mail[m->count];

    if (m->count == MAILS)
        return;
    *mail = (struct mail){.state = ++m->number};
    mail->file = m->number;
    mail->text = new_text(m->number);
    snprintf(mail->name, sizeof mail->name, "m%u", m->number);
    if (dice(3) == 0)
        strcat(mail->name, ":2,");
    write_mail(mail->name, mail->text, dice(4) == 0);
    m->count++;
}

static void
remove_mail(struct model *m, struct mail *mail)
{
    char path[64];

    snprintf(path, sizeof path, "store/%s", mail->name);
    check(unlink(path) == 0);
    drop_text(mail->text);
    *mail = m->mail[--m->count];
}

/* Gives a mail another name: other flags, or quite another. */
static void
rename_mail(struct model *m, struct mail *mail)
{
    char from[64], to[64], *flags = strstr(mail->name, ":2,");

    snprintf(from, sizeof from, "store/%s", mail->name);
    if (flags != NULL && dice(4) > 0) {
        strcpy(flags, strcmp(flags, ":2,") != 0 ? ":2," : dice(2) == 0 ? ":2,S" : ":2,FRS");
    } else {
        snprintf(mail->name, sizeof mail->name, "m%u", ++m->number);
        mail->id[0] = '\0';
    }
    snprintf(to, sizeof to, "store/%s", mail->name);
    check(rename(from, to) == 0);
}

/* Changes a mail in place and leaves its size, and perhaps its time of modification. */
static void
scribble_mail(struct model *m, struct mail *mail)
{
    struct text *t = malloc(sizeof *t + mail->text->length);
    struct stat status;
    char path[64];
    size_t at = mail->text->length - 1 -
                dice((unsigned)(mail->text->length < 20 ? mail->text->length : 20));
    int file;

    check(t != NULL);
    memcpy(t, mail->text, sizeof *t + mail->text->length);
    t->users = 1;
    if (t->octets[at] == '\n' || t->octets[at] == '\r')
        at = 0;                                 /* so that the octets on the wire stay as many */
    t->octets[at] = t->octets[at] == 'x' ? 'y' : 'x';
    snprintf(path, sizeof path, "store/%s", mail->name);
    file = open(path, O_WRONLY);
    check(file >= 0 && fstat(file, &status) == 0 &&
          pwrite(file, &t->octets[at], 1, (off_t)at) == 1);
    if (dice(2) == 0) {
        const struct timespec times[2] = {status.st_atim, status.st_mtim};

        check(futimens(file, times) == 0);
    }
    close(file);
    set_text(m, mail, t);
}

/* Adds to a mail in place. */
static void
append_mail(struct model *m, struct mail *mail)
{
    struct text *more = new_text(++m->number),
                *t = malloc(sizeof *t + mail->text->length + more->length);
    char path[64], last;
    int file;

    check(t != NULL);
    t->users = 1;
    t->length = mail->text->length + more->length;
    memcpy(t->octets, mail->text->octets, mail->text->length);
    memcpy(t->octets + mail->text->length, more->octets, more->length);
    t->wire = t->length;
    last = '\n';
    for (size_t i = 0; i < t->length; last = t->octets[i++])
        t->wire += t->octets[i] == '\n' && last != '\r';
    t->wire += last != '\n' ? 2 : 0;
    snprintf(path, sizeof path, "store/%s", mail->name);
    file = open(path, O_WRONLY | O_APPEND);
    check(file >= 0 && write(file, more->octets, more->length) == (ssize_t)more->length &&
          close(file) == 0);
    drop_text(more);
    set_text(m, mail, t);
}

/* Makes a file that looks like another one, although the message is the same. */
static void
touch_mail(struct model *m, struct mail *mail)
{
    char path[64];

    snprintf(path, sizeof path, "store/%s", mail->name);
    mail->touch = ++m->number;
    switch (dice(4)) {
    case 0:
        check(utimensat(AT_FDCWD, path, NULL, 0) == 0);
        break;
    case 1:
        check(chmod(path, dice(2) == 0 ? 0600 : 0644) == 0);
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

/* Changes the store in some way. */
static void
change_store(struct model *m)
{
    struct mail *mail = m->count > 0 ? &m->mail[dice((unsigned)m->count)] : NULL;
    unsigned what = dice(100);

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
        scribble_mail(m, mail);
    } else if (what < 85 && mail->text->length < 1000 * 1000) {
        append_mail(m, mail);
    } else if (what < 95) {
        touch_mail(m, mail);
    } else if (what < 98) {                     /* what is no mail */
        run_command(
            dice(2) == 0
                ? "echo new >store/.part; echo old >store/,1; mkdir -p store/d; ln -sf m1 store/l"
                : "rm -rf store/.part store/,1 store/d store/l");
    } else if (what == 99 && dice(10) == 0) {
        while (m->count > 0)
            remove_mail(m, &m->mail[0]);
    }
}

/* The store must hold what the model says: the names, and the content of one file. */
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
            fail("%s is in the store, and should be gone", entry->d_name);
    }
    closedir(directory);
    if (count != m->count)
        for (int i = 0; i < m->count; i++) {
            char path[64];

            snprintf(path, sizeof path, "store/%s", m->mail[i].name);
            if (!exists(path))
                fail("%s is gone", m->mail[i].name);
        }
    if (m->count > 0) {
        struct mail *mail = &m->mail[dice((unsigned)m->count)];
        char path[64], *text;

        snprintf(path, sizeof path, "store/%s", mail->name);
        text = slurp(path);
        check(memcmp(text, mail->text->octets, mail->text->length) == 0);
        free(text);
    }
}

/* The commands of a session, as a client sends them. */
struct command {
    enum { C_STAT, C_LIST, C_UIDL, C_RETR, C_TOP, C_DELE, C_RSET, C_NOOP, C_CAPA, C_NONE } verb;
    int number;                 /* 0: none */
    int lines;
};

static struct command
any_command(const struct visit *v)
{
    static const int often[] = {C_STAT, C_LIST, C_LIST, C_UIDL, C_UIDL, C_RETR, C_RETR,
                                C_RETR, C_RETR, C_RETR, C_TOP,  C_TOP,  C_DELE, C_DELE,
                                C_DELE, C_DELE, C_RSET, C_NOOP, C_CAPA, C_NONE};
    struct command command = {.verb = C_NOOP};

    if (v->mistakes > 8)        /* at twenty in a row the session would end */
        return command;
    command.verb = (unsigned)often[dice(sizeof often / sizeof *often)];
    if (command.verb == C_RSET && dice(4) > 0)
        command.verb = C_RETR;
    if (command.verb >= C_RETR && command.verb <= C_DELE)
        command.number = (int)dice((unsigned)v->count + (dice(10) == 0 ? 3 : 0) + (v->count == 0)) +
                         (dice(20) > 0);
    else if (command.verb <= C_UIDL && command.verb != C_STAT && dice(2) == 0)
        command.number = (int)dice((unsigned)v->count + 1) + 1;
    command.lines = (int)dice(dice(4) == 0 ? 1000 : 5);
    return command;
}

/* Sends a command, its line end CRLF or LF. */
static void
send_command(struct visit *v, struct command command)
{
    static const char *const words[] = {
        "STAT", "LIST", "UIDL", "RETR", "TOP", "DELE", "RSET", "NOOP", "CAPA", "XNONE"
    };
    char line[64];
    int length = snprintf(line, sizeof line, "%s", words[command.verb]);

    if (command.number > 0 || (command.verb >= C_RETR && command.verb <= C_DELE))
        length += snprintf(line + length, sizeof line - (size_t)length, " %d", command.number);
    if (command.verb == C_TOP)
        length += snprintf(line + length, sizeof line - (size_t)length, " %d", command.lines);
    snprintf(line + length, sizeof line - (size_t)length, "%s", dice(2) == 0 ? "\r\n" : "\n");
    send_text(&v->c, line);
}

/* Compares an id with what this session, and earlier ones, were told. */
static void
expect_id(struct model *m, struct visit *v, int i, const char *id)
{
    struct mail *now = find_mail(m, v->mail[i].name);

    check(strlen(id) >= 1 && strlen(id) <= 70);
    if (v->mail[i].id[0] == '\0')
        strcpy(v->mail[i].id, id);
    if (strcmp(v->mail[i].id, id) != 0)
        fail("the unique-id of %s was %s, is %s", v->mail[i].name, v->mail[i].id, id);
    for (int k = 0; k < v->count; k++)
        check(k == i || strcmp(v->mail[k].id, id) != 0);
    if (now != NULL && now->state == v->mail[i].state && now->id[0] == '\0')
        strcpy(now->id, id);
    else if (now != NULL && !same_text(now->text, v->mail[i].text))
        check(strcmp(now->id, id) != 0);
}

enum listing { STATUS, SIZES, IDS };

/* STAT, LIST and UIDL: exactly the messages that are not marked. */
static void
expect_listing(struct model *m, struct visit *v, enum listing what)
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
            got = next_line(&v->c);
            check(got != NULL && strncmp(got, line, strlen(line)) == 0);
            expect_id(m, v, i, got + strlen(line));
        }
    }
    expect(&v->c, ".");
}

/*
 * RETR and TOP: the message as it was when the session began, or, unless it is that still, a
 * refusal.
 */
static void
expect_mail(struct model *m, struct visit *v, struct command command)
{
    const struct mail *then = &v->mail[command.number - 1];
    bool same = is_same(find_now(m, then), then);
    const char *line = next_line(&v->c);
    char *wanted, *body;

    check(line != NULL);
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
        fail("%s is not what it was when the session began, from octet %zu on", then->name,
             same_octets);
    }
    free(wanted);
    free(body);
    m->retrieved++;
}

/* What a session answers to a command, by what it saw when it began and what it was told since. */
static void
expect_command(struct model *m, struct visit *v, struct command command)
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
            got = next_line(&v->c);
            check(got != NULL && strncmp(got, line, strlen(line)) == 0);
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

/* Begins a session, which sees the store as it is now. */
static void
open_visit(struct model *m, struct visit *v)
{
    *v = (struct visit){.open = true, .count = m->count};
    v->c = greeted(&m->s);
    memcpy(v->mail, m->mail, sizeof v->mail);
    for (int i = 0; i < v->count; i++)
        v->mail[i].text->users++;
    qsort(v->mail, (size_t)v->count, sizeof *v->mail, mail_order);
    send_text(&v->c, "STAT\r\nLIST\r\nUIDL\r\n");
    expect_listing(m, v, STATUS);
    expect_listing(m, v, SIZES);
    expect_listing(m, v, IDS);
    m->sessions++;
}

/* Forgets a session that is over. */
static void
close_visit(struct visit *v)
{
    for (int i = 0; i < v->count; i++)
        drop_text(v->mail[i].text);
    v->open = false;
}

/*
 * QUIT: a marked message that is as it was is gone, under whatever name; one that changed stays,
 * and the answer is +OK if none stays. One that was only touched may do either, and the answer is
 * either if a message has another name and another content: it is another message then, or this
 * one.
 */
static void
quit_visit(struct model *m, struct visit *v)
{
    bool stays = false, unsure = false;
    const char *line;

    send_text(&v->c, dice(2) == 0 ? "QUIT\r\n" : "QUIT\r\nDELE 1\r\nQUIT\r\n");
    line = next_line(&v->c);
    check(line != NULL);
    for (int i = 0; i < v->count; i++) {
        struct mail *now = find_now(m, &v->mail[i]);
        bool here;
        char path[64];

        if (!v->marked[i] || now == NULL)
            continue;
        snprintf(path, sizeof path, "store/%s", now->name);
        here = exists(path);
        if (!same_text(now->text, v->mail[i].text) && !here)
            fail("%s was another message, and is gone", now->name);
        if (is_same(now, &v->mail[i]) && here)
            fail("%s was marked, and is still there after: %s", now->name, line);
        unsure = unsure || strcmp(now->name, v->mail[i].name) != 0;
        stays = stays || here;
        if (here) {
            m->kept++;
        } else {
            m->removed++;
            drop_text(now->text);
            *now = m->mail[--m->count];
        }
    }
    if (!matches(line, stays ? "-ERR*" : "+OK*") && !(stays && unsure))
        fail("%s, but the answer is: %s", stays ? "a message stays" : "no message stays", line);
    expect_end(&v->c);
    check_store(m);
    close_visit(v);
}

/* The client goes, in the middle of something or not: nothing is removed. */
static void
break_visit(struct model *m, struct visit *v)
{
    for (unsigned i = dice(5); i > 0; i--)
        send_command(v, any_command(v));
    if (dice(3) == 0)
        send_text(&v->c, "QUI");
    if (dice(2) == 0)
        reset(&v->c);
    else
        hang_up(&v->c);
    check_store(m);
    close_visit(v);
}

/* The client goes right behind its QUIT: what it marked is gone, or all of it is still there. */
static void
quit_and_break(struct model *m, struct visit *v)
{
    int others = -1, gone = 0, here = 0;

    for (int i = 0; i < VISITS; i++)
        others += m->visits[i].open;
    send_text(&v->c, "QUIT\r\n");
    if (dice(2) == 0)
        reset(&v->c);
    else
        hang_up(&v->c);
    await(sessions_of(&m->s, NULL) == others);
    for (int i = 0; i < v->count; i++) {
        struct mail *now = find_now(m, &v->mail[i]);
        bool same = is_same(now, &v->mail[i]);
        char path[64];

        if (!v->marked[i] || now == NULL)
            continue;
        snprintf(path, sizeof path, "store/%s", now->name);
        if (exists(path)) {
            here += same;
            continue;
        }
        check(same_text(now->text, v->mail[i].text));
        gone += same;
        m->removed++;
        drop_text(now->text);
        *now = m->mail[--m->count];
    }
    if (gone > 0 && here > 0)
        fail("%d marked messages are gone, and %d are not", gone, here);
    check_store(m);
    close_visit(v);
}

/* Some commands at once, and their answers. */
static void
step_visit(struct model *m, struct visit *v)
{
    struct command commands[10];
    unsigned count = dice(4) == 0 ? dice(10) + 1 : 1;

    for (unsigned i = 0; i < count; i++) {
        commands[i] = any_command(v);
        send_command(v, commands[i]);
    }
    for (unsigned i = 0; i < count; i++)
        expect_command(m, v, commands[i]);
}

/*
 * The server stops, the sessions with it, and nothing is removed; another one serves the same
 * store.
 */
static void
restart_server(struct model *m)
{
    kill(m->s.pid, SIGTERM);
    check(wait_for(m->s.pid) == 0);
    close(m->s.out);
    for (int i = 0; i < VISITS; i++) {
        if (!m->visits[i].open)
            continue;
        expect_end(&m->visits[i].c);
        close_visit(&m->visits[i]);
    }
    check_store(m);
    m->s = start_server("-d store 0");
}

static void
random_steps(void)
{
    static struct model m;
    int64_t until;

    seed_dice();
    until = clock_ms() + random_seconds() * INT64_C(1000);
    check(mkdir("store", 0755) == 0);
    for (int i = 0; i < 20; i++)
        add_mail(&m);
    m.s = start_server("-d store 0");
    while (clock_ms() < until) {
        struct visit *v = &m.visits[dice(VISITS)];
        unsigned what = dice(100);

        m.steps++;
        if (what < 30)
            change_store(&m);
        else if (what == 99 && dice(20) == 0)
            restart_server(&m);
        else if (!v->open)
            open_visit(&m, v);
        else if (what < 88)
            step_visit(&m, v);
        else if (what < 96)
            quit_visit(&m, v);
        else if (what < 98)
            break_visit(&m, v);
        else
            quit_and_break(&m, v);
    }
    for (int i = 0; i < VISITS; i++)
        if (m.visits[i].open)
            quit_visit(&m, &m.visits[i]);
    check_store(&m);
    printf(
        "%ld steps, %ld sessions, %ld changes of the store; %ld messages retrieved, %ld refused; "
        "%ld removed, %ld kept that had changed\n",
        m.steps, m.sessions, m.changes, m.retrieved, m.refused, m.removed, m.kept);
    check(m.retrieved > 0 && m.refused > 0 && m.removed > 0 && m.kept > 0);
    end_server(&m.s);
}

#endif
