/*
 * race.h - random sessions of two servers on one store at the same time; part of load.c
 */
#ifndef RACE_H
#define RACE_H

/*
 * Several clients of two servers on one store, and a program that delivers, run at the same time.
 * Each message contains its number, from which its size and content follow, so a client knows what
 * it must receive. Messages are delivered, get flags, and are removed by the deliverer or by
 * clients that have retrieved them: none may be lost. A few others are rewritten and replaced all
 * the time, and never removed. (If a message gets the name of another one just when QUIT removes
 * that, it is lost with any server that does not rename files. So a removed name is never reused.)
 */
enum {
    MESSAGES_MOST = 4 * 1024 * 1024,
    CHANGING = 8,               /* messages that are rewritten; the first one is LONG */
    CLIENTS = 5,
    FIRST_SIZE = 4000,
    SIZES_MOST = 15000,
    CHANGING_MOST = 2000,
    LONG = 3000 * 1000,         /* more than the socket buffers hold */
    RACE_TEXT = 3100 * 1000
};

/* What has happened to a message. */
enum { DELIVERED = 1, REMOVED = 2, QUIT_SENT = 4, CONFIRMED = 8 };

static struct race {
    atomic_bool over;
    atomic_uint next;           /* the number of the next message */
    atomic_long sessions, complete, refused, cut_off, quits, store_errors, quit_errors;
    atomic_uchar events[MESSAGES_MOST];
    _Atomic uint64_t id[MESSAGES_MOST];         /* a hash of its unique-id; 0: not listed yet */
} *race;

/* Writes the message with this number, with LF, to RACE_TEXT bytes. Returns its size in POP3. */
static size_t
race_text(unsigned number, bool changing, char *text)
{
    const size_t wire = !changing ? FIRST_SIZE + number % SIZES_MOST :
                        (number % 8 == 0 ? LONG : 200) + number % CHANGING_MOST;
    size_t length = (size_t)sprintf(text, "Number: %u\nKind: %s\n\n", number,
                                    changing ? "changing" : "delivered");

    for (size_t left = wire - length - 3; left > 0;) {
        size_t line = left < 68 ? left - 2 : 62;

        memset(text + length, "abcdefgh.jklmnop"[(number + left) % 16], line);
        length += line;
        text[length++] = '\n';
        left -= line + 2;
    }
    text[length] = '\0';
    return wire;
}

static uint64_t
hash_text(const char *text)
{
    uint64_t hash = UINT64_C(14695981039346656037);

    for (; *text != '\0'; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(1099511628211);
    return hash | 1;
}

/* Delivers, flags and removes messages until the race is over. Up to 40 of its messages exist. */
static void
race_deliverer(void)
{
    static const char *const flags[] = {":2,", ":2,S", ":2,T"};
    static char text[RACE_TEXT];
    struct { unsigned number; char flags[8]; } own[40];
    char path[64], to[64];
    unsigned count = 0;

    while (!race->over) {
        unsigned number, what = random_below(100);

        if (what < 40 && count < 40) {
            number = race->next++;
            check(number < MESSAGES_MOST);
            race_text(number, false, text);
            race->events[number] |= DELIVERED;
            own[count].number = number;
            strcpy(own[count].flags, random_below(2) == 0 ? "" : ":2,");
            snprintf(path, sizeof path, "%u%s", number, own[count++].flags);
            deliver(path, text);
        } else if (what < 75 && count > 0) {
            unsigned i = random_below(count);

            snprintf(path, sizeof path, "store/%u%s", own[i].number, own[i].flags);
            if (own[i].flags[0] == '\0' || what < 45) {
                race->events[own[i].number] |= REMOVED;
                unlink(path);
                own[i] = own[--count];
            } else {
                strcpy(own[i].flags, flags[random_below(3)]);
                snprintf(to, sizeof to, "store/%u%s", own[i].number, own[i].flags);
                if (rename(path, to) != 0) {
                    check(errno == ENOENT);
                    own[i] = own[--count];
                }
            }
        } else {
            number = race->next++;
            check(number < MESSAGES_MOST);
            race_text(number, true, text);
            snprintf(path, sizeof path, "store/changing-%u",
                     number % 8 == 0 ? 0 : 1 + random_below(CHANGING - 1));
            if (what < 90)
                deliver(strchr(path, '/') + 1, text);
            else
                put(path, text);
        }
        if (count >= 40) {      /* forgets those that clients have removed */
            for (unsigned i = 0; i < count;) {
                snprintf(path, sizeof path, "store/%u%s", own[i].number, own[i].flags);
                if (exists(path))
                    i++;
                else
                    own[i] = own[--count];
            }
        }
        if (random_below(4) == 0)
            poll(NULL, 0, random_below(20) == 0 ? 50 : (int)random_below(4));
    }
}

struct race_client {
    struct client c;
    int count;
    size_t size[256];
    uint64_t id[256];
    unsigned number[256];       /* 0 until it is retrieved */
    bool marked[256];
};

/* Reads LIST and UIDL at the start of a session, or compares them with the first ones. */
static void
race_listing(struct race_client *r, bool first)
{
    const char *line;
    int n, count = 0;

    send_text(&r->c, "LIST\r\nUIDL\r\n");
    expect(&r->c, "+OK*");
    while ((line = next_line(&r->c)) != NULL && strcmp(line, ".") != 0) {
        size_t size;

        check(sscanf(line, "%d %zu", &n, &size) == 2 && n >= 1 && n < 256 && !r->marked[n]);
        check(first ? n == count + 1 : size == r->size[n]);
        r->size[n] = size;
        count++;
    }
    check(line != NULL);
    r->count = first ? count : r->count;
    expect(&r->c, "+OK*");
    while ((line = next_line(&r->c)) != NULL && strcmp(line, ".") != 0) {
        uint64_t hash = hash_text(strchr(line, ' ') != NULL ? strchr(line, ' ') : line);

        n = atoi(line);
        check(n >= 1 && n <= r->count && !r->marked[n] && (first || hash == r->id[n]));
        r->id[n] = hash;
        count--;
    }
    check(line != NULL && count == 0);
    for (int i = 1; first && i <= r->count; i++)
        for (int k = 1; k < i; k++)
            check(r->id[i] != r->id[k]);
}

/* Retrieves a message, and may mark it. Returns false if the connection ended. */
static bool
race_retrieve(struct race_client *r, int n)
{
    static char wanted[RACE_TEXT];
    char *body;
    const char *line;
    unsigned number;
    uint64_t none = 0;
    size_t length = 0, lines = 0, room = 0;
    bool changing, same;

    send_number(&r->c, "RETR", n);
    line = read_answer(&r->c);
    if (!matches(line, "+OK*")) {
        check(matches(line, "-ERR*"));
        race->refused++;
        return true;
    }
    for (body = NULL; (line = next_line(&r->c)) != NULL && strcmp(line, ".") != 0;) {
        size_t size = strlen(line += *line == '.');

        if (room - length < size + 3) {
            room = room * 2 + size + 4096;
            body = realloc(body, room);
            check(body != NULL);
        }
        memcpy(body + length, line, size);
        memcpy(body + length + size, "\n", 2);
        length += size + 1;
        lines++;
    }
    if (line == NULL) {
        race->cut_off++;
        free(body);
        return false;
    }
    race->complete++;
    if (body == NULL) {                         /* truncated, but not yet rewritten */
        check(r->size[n] == 0);
        return true;
    }
    check(sscanf(body, "Number: %u", &number) == 1 && number > 0 && number < MESSAGES_MOST);
    changing = strncmp(strchr(body, '\n'), "\nKind: changing", 15) == 0;
    same = race_text(number, changing, wanted) == r->size[n] && strcmp(wanted, body) == 0;
    /* Or the session began while it was being written, and it ends within a line. */
    if (!same && !(changing && strlen(wanted) > length && strncmp(wanted, body, length - 1) == 0 &&
                   (length + lines == r->size[n])))
        fail("message %d has %zu octets, but RETR sent number %u: %.60s", n, r->size[n], number,
             body);
    if (same && !atomic_compare_exchange_strong(&race->id[number], &none, r->id[n]) &&
        none != r->id[n])
        fail("number %u was listed with two unique-ids", number);
    check(r->number[n] == 0 || r->number[n] == number);
    r->number[n] = number;
    if (!changing && !r->marked[n] && random_below(3) == 0) {
        send_number(&r->c, "DELE", n);
        expect(&r->c, "+OK*");
        r->marked[n] = true;
    }
    free(body);
    return true;
}

/* Runs one session with random commands. */
static void
race_session(const struct server *s)
{
    static struct race_client r;
    const char *line;
    bool good = true;

    r = (struct race_client){.c = random_below(3) == 0 ? connect_narrow(s) : connect_to(s)};
    line = read_answer(&r.c);
    if (!matches(line, "+OK*")) {       /* the store changed too fast to be read: rare */
        check(matches(line, "-ERR [SYS/TEMP]*"));
        race->store_errors++;
        hang_up(&r.c);
        return;
    }
    race->sessions++;
    race_listing(&r, true);
    for (unsigned steps = random_below(30); steps > 0 && r.count > 0 && good; steps--) {
        int n = 1 + (int)random_below((unsigned)r.count);

        if (random_below(12) == 0)                      /* prefers the long one */
            for (int k = 1; k <= r.count; k++)
                n = r.size[k] >= LONG ? k : n;
        if (random_below(10) == 0)
            race_listing(&r, false);
        else if (random_below(40) == 0) {
            ask(&r.c, "RSET", "+OK*");
            memset(r.marked, 0, sizeof r.marked);
        } else if (!r.marked[n])
            good = race_retrieve(&r, n);
    }
    if (!good || random_below(3) == 0) {
        drop(&r.c);
        return;
    }
    for (int n = 1; n <= r.count; n++)
        if (r.marked[n])
            race->events[r.number[n]] |= QUIT_SENT;
    send_text(&r.c, "QUIT\r\n");
    line = read_answer(&r.c);
    race->quits++;
    if (matches(line, "+OK*")) {
        for (int n = 1; n <= r.count; n++)
            if (r.marked[n])
                race->events[r.number[n]] |= CONFIRMED;
    } else {                    /* a renamed message was not found while the store changed */
        check(matches(line, "-ERR*"));
        race->quit_errors++;
    }
    expect_end(&r.c);
}

/* Every delivered message is in the store, or its removal was requested. */
static void
race_check(void)
{
    static bool here[MESSAGES_MOST];
    DIR *directory = opendir("store");
    struct dirent *entry;
    unsigned there = 0, delivered = 0, removed = 0;

    check(directory != NULL);
    while ((entry = readdir(directory)) != NULL) {
        static char text[RACE_TEXT];
        char *found;
        unsigned number = (unsigned)atoi(entry->d_name);

        if (number == 0)
            continue;
        here[number] = true;
        there++;
        found = slurp(store_path(entry->d_name));
        race_text(number, false, text);
        check(strcmp(found, text) == 0);
        free(found);
    }
    closedir(directory);
    for (unsigned number = 1; number < race->next; number++) {
        unsigned events = race->events[number];

        delivered += (events & DELIVERED) != 0;
        removed += (events & CONFIRMED) != 0;
        if ((events & DELIVERED) != 0 && !here[number] && (events & (REMOVED | QUIT_SENT)) == 0)
            fail("number %u is lost", number);
        if (here[number] && (events & CONFIRMED) != 0)
            fail("number %u was reported as removed, but is there", number);
    }
    printf(
        "%ld sessions, %ld with QUIT (%ld refused); %ld messages retrieved, %ld refused, "
        "%ld cut off; %u delivered, %u removed by clients, %u left\n",
        race->sessions, race->quits, race->quit_errors, race->complete, race->refused,
        race->cut_off, delivered, removed, there);
    check(removed > 0 && race->complete > 0 && race->refused > 0);
    check(race->store_errors <= race->sessions / 100 && race->quit_errors <= race->quits / 2);
}

static void
random_race(void)
{
    struct server s[2];         /* on one store, which has no lock */
    pid_t pids[CLIENTS + 1];
    uint64_t seed;
    int64_t end;

    race = mmap(NULL, sizeof *race, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    check(race != MAP_FAILED);
    race->next = 1;
    seed_random();
    seed = random_state;
    end = clock_ms() + random_seconds() * INT64_C(1000);
    make_store(0);
    for (int i = 0; i < CHANGING; i++) {
        static char text[RACE_TEXT];
        char path[64];

        snprintf(path, sizeof path, "store/changing-%d", i);
        race_text(race->next++, true, text);
        put(path, text);
    }
    for (int i = 0; i < 2; i++)
        s[i] = start_server("-d store 0");
    for (int i = 0; i <= CLIENTS; i++) {
        pids[i] = fork();
        check(pids[i] >= 0);
        if (pids[i] > 0)
            continue;
        random_state = seed + (unsigned)i;
        if (i == CLIENTS)
            race_deliverer();
        while (!race->over)
            race_session(&s[random_below(2)]);
        exit(0);
    }
    /* On a slow machine it takes longer until there are enough sessions for shares of them. */
    while ((clock_ms() < end || race->sessions < 500 || race->refused == 0) && !race->over) {
        siginfo_t ended = {.si_pid = 0};

        waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT);
        race->over = ended.si_pid != 0;         /* one of them has failed */
        poll(NULL, 0, 100);
    }
    race->over = true;
    for (int i = 0; i <= CLIENTS; i++)
        check(wait_for(pids[i]) == 0);
    for (int i = 0; i < 2; i++)
        await_sessions(&s[i], 0);
    race_check();
    for (int i = 0; i < 2; i++) {
        free(in_step(&s[i]));
        end_server(&s[i]);
    }
}

#endif
