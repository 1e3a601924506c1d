/*
 * race.h - random sessions of two servers on one store, all at once; a part of load.c
 */
#ifndef RACE_H
#define RACE_H

/*
 * Clients of two servers on one store, and a deliverer, that do what they like at the same time.
 * Each message says which one it is, and its size and its unique-id are no other's, so that a
 * client knows what it should get. Messages are delivered, get flags, are removed by the
 * deliverer, and by clients once they have retrieved them: none may be lost. A few others are
 * written in place and replaced all the time, and removed by nobody. (A message that gets the
 * name of another one just when QUIT removes that is lost to any server that does not rename
 * files: so the names that are removed are never used again.)
 */
enum {
    MESSAGES_MOST = 4 * 1024 * 1024,
    CHANGING = 8, /* messages that are written in place, the first one LONG */
    RACERS = 5, /* clients */
    FIRST_SIZE = 4000,
    SIZES_MOST = 15000,
    CHANGING_MOST = 2000,
    LONG = 3000 * 1000, /* more than the system holds for a client that takes little at a time */
    RACE_TEXT = 3100 * 1000
};

/* What is known of a delivered message. */
enum { DELIVERED = 1, REMOVED = 2, ASKED = 4, CONFIRMED = 8 };

static struct race {
    atomic_bool over;
    atomic_uint next;           /* the number of the next message */
    atomic_long sessions, whole, refused, cut, quits, unready, unremoved;
    atomic_uchar fate[MESSAGES_MOST];
    _Atomic uint64_t
        id[MESSAGES_MOST]; /* a hash of the unique-id it was listed with; 0: none yet */
} *race;

/*
 * Writes the message of a number, with LF alone, to RACE_TEXT octets. Returns how many it has on
 * the wire.
 */
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

/*
 * Delivers, flags and removes, until it is over. It has up to 40 messages that nobody else has
 * removed.
 */
static void
race_deliverer(void)
{
    static char text[RACE_TEXT];
    struct { unsigned number; char flags[8]; } own[40];
    char path[64], to[64];
    unsigned count = 0;

    while (!race->over) {
        unsigned number, what = dice(100);

        if (what < 40 && count < 40) {
            number = race->next++;
            check(number < MESSAGES_MOST);
            race_text(number, false, text);
            race->fate[number] |= DELIVERED;
            own[count].number = number;
            strcpy(own[count].flags, dice(2) == 0 ? "" : ":2,");
            snprintf(path, sizeof path, "%u%s", number, own[count++].flags);
            deliver(path, text);
        } else if (what < 75 && count > 0) {
            unsigned i = dice(count);

            snprintf(path, sizeof path, "store/%u%s", own[i].number, own[i].flags);
            if (own[i].flags[0] == '\0' || what < 45) {
                race->fate[own[i].number] |= REMOVED;
                unlink(path);
                own[i] = own[--count];
            } else {
                strcpy(own[i].flags, dice(2) == 0 ? ":2," : dice(2) == 0 ? ":2,S" : ":2,T");
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
                     number % 8 == 0 ? 0 : 1 + dice(CHANGING - 1));
            if (what < 90)
                deliver(strchr(path, '/') + 1, text);
            else
                put(path, text);
        }
        if (count >= 40) { /* those that clients removed are no longer its own */
            for (unsigned i = 0; i < count;) {
                snprintf(path, sizeof path, "store/%u%s", own[i].number, own[i].flags);
                if (exists(path))
                    i++;
                else
                    own[i] = own[--count];
            }
        }
        if (dice(4) == 0)
            poll(NULL, 0, dice(20) == 0 ? 50 : (int)dice(4));
    }
}

struct racing {
    struct client c;
    int count;
    size_t size[256];
    uint64_t id[256];
    unsigned number[256];       /* once it was retrieved; else 0 */
    bool marked[256];
};

/* Reads LIST and UIDL at the start of a session, or compares them with what they said then. */
static void
race_listing(struct racing *r, bool first)
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

/* Retrieves a message. Returns false when the connection ended instead. */
static bool
race_retrieve(struct racing *r, int n)
{
    static char wanted[RACE_TEXT];
    char command[32], *body;
    const char *line;
    unsigned number;
    uint64_t none = 0;
    size_t length = 0, lines = 0, room = 0;
    bool changing, same;

    snprintf(command, sizeof command, "RETR %d\r\n", n);
    send_text(&r->c, command);
    line = next_line(&r->c);
    check(line != NULL);
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
        race->cut++;
        free(body);
        return false;
    }
    race->whole++;
    if (body == NULL) {                         /* it was met between being cut and being written */
        check(r->size[n] == 0);
        return true;
    }
    check(sscanf(body, "Number: %u", &number) == 1 && number > 0 && number < MESSAGES_MOST);
    changing = strncmp(strchr(body, '\n'), "\nKind: changing", 15) == 0;
    same = race_text(number, changing, wanted) == r->size[n] && strcmp(wanted, body) == 0;
    /* Or the session began when half of it was written, which may end within a line. */
    if (!same && !(changing && strlen(wanted) > length && strncmp(wanted, body, length - 1) == 0 &&
                   (length + lines == r->size[n])))
        fail("message %d has %zu octets, but what came is number %u: %.60s", n, r->size[n], number,
             body);
    if (same && !atomic_compare_exchange_strong(&race->id[number], &none, r->id[n]) &&
        none != r->id[n])
        fail("number %u was told with two unique-ids", number);
    check(r->number[n] == 0 || r->number[n] == number);
    r->number[n] = number;
    if (!changing && !r->marked[n] && dice(3) == 0) {
        snprintf(command, sizeof command, "DELE %d", n);
        ask(&r->c, command, "+OK*");
        r->marked[n] = true;
    }
    free(body);
    return true;
}

/* Holds one session that does what it likes. */
static void
race_session(const struct server *s)
{
    static struct racing r;
    const char *line;
    bool good = true;

    r = (struct racing){.c = dice(3) == 0 ? connect_narrow(s) : connect_to(s)};
    line = next_line(&r.c);
    check(line != NULL);
    if (!matches(line, "+OK*")) { /* the store could not be read: only so now and then */
        check(matches(line, "-ERR [SYS/TEMP]*"));
        race->unready++;
        hang_up(&r.c);
        return;
    }
    race->sessions++;
    race_listing(&r, true);
    for (unsigned steps = dice(30); steps > 0 && r.count > 0 && good; steps--) {
        int n = 1 + (int)dice((unsigned)r.count);

        if (dice(12) == 0)                      /* the long one more often than the others */
            for (int k = 1; k <= r.count; k++)
                n = r.size[k] >= LONG ? k : n;
        if (dice(10) == 0)
            race_listing(&r, false);
        else if (dice(40) == 0) {
            ask(&r.c, "RSET", "+OK*");
            memset(r.marked, 0, sizeof r.marked);
        } else if (!r.marked[n])
            good = race_retrieve(&r, n);
    }
    if (!good || dice(3) == 0) {
        if (dice(2) == 0)
            reset(&r.c);
        else
            hang_up(&r.c);
        return;
    }
    for (int n = 1; n <= r.count; n++)
        if (r.marked[n])
            race->fate[r.number[n]] |= ASKED;
    send_text(&r.c, "QUIT\r\n");
    line = next_line(&r.c);
    check(line != NULL);
    race->quits++;
    if (matches(line, "+OK*")) {
        for (int n = 1; n <= r.count; n++)
            if (r.marked[n])
                race->fate[r.number[n]] |= CONFIRMED;
    } else {                    /* a renamed message was not found: the store changed all the time */
        check(matches(line, "-ERR*"));
        race->unremoved++;
    }
    expect_end(&r.c);
}

/* Each message that was delivered is there, or somebody had it removed who could. */
static void
race_settle(void)
{
    static bool here[MESSAGES_MOST];
    DIR *directory = opendir("store");
    struct dirent *entry;
    unsigned there = 0, delivered = 0, removed = 0;

    check(directory != NULL);
    while ((entry = readdir(directory)) != NULL) {
        static char text[RACE_TEXT];
        char path[300], *found;
        unsigned number = (unsigned)atoi(entry->d_name);

        if (number == 0)
            continue;
        here[number] = true;
        there++;
        snprintf(path, sizeof path, "store/%s", entry->d_name);
        found = slurp(path);
        race_text(number, false, text);
        check(strcmp(found, text) == 0);
        free(found);
    }
    closedir(directory);
    for (unsigned number = 1; number < race->next; number++) {
        unsigned fate = race->fate[number];

        delivered += (fate & DELIVERED) != 0;
        removed += (fate & CONFIRMED) != 0;
        if ((fate & DELIVERED) != 0 && !here[number] && (fate & (REMOVED | ASKED)) == 0)
            fail("number %u is lost", number);
        if (here[number] && (fate & CONFIRMED) != 0)
            fail("number %u was removed, and is there", number);
    }
    printf(
        "%ld sessions, %ld with QUIT (%ld refused); %ld messages retrieved, %ld refused, "
        "%ld cut off; %u delivered, %u removed by clients, %u left\n",
        race->sessions, race->quits, race->unremoved, race->whole, race->refused, race->cut,
        delivered, removed, there);
    check(removed > 0 && race->whole > 0 && race->refused > 0);
    check(race->unready <= race->sessions / 100 && race->unremoved <= race->quits / 2);
}

static void
random_race(void)
{
    struct server s[2];         /* one store: there is no lock that they could hold */
    pid_t pids[RACERS + 1];
    uint64_t seed;
    int64_t end;

    race = mmap(NULL, sizeof *race, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    check(race != MAP_FAILED);
    race->next = 1;
    seed_dice();
    seed = dice_state;
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
    for (int i = 0; i <= RACERS; i++) {
        pids[i] = fork();
        check(pids[i] >= 0);
        if (pids[i] > 0)
            continue;
        dice_state = seed + (unsigned)i;
        if (i == RACERS)
            race_deliverer();
        while (!race->over)
            race_session(&s[dice(2)]);
        exit(0);
    }
    while (clock_ms() < end && !race->over) {
        siginfo_t ended = {.si_pid = 0};

        waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT);
        race->over = ended.si_pid != 0;         /* one of them has failed, and said why */
        poll(NULL, 0, 100);
    }
    race->over = true;
    for (int i = 0; i <= RACERS; i++)
        check(wait_for(pids[i]) == 0);
    for (int i = 0; i < 2; i++)
        await(sessions_of(&s[i], NULL) == 0);
    race_settle();
    for (int i = 0; i < 2; i++) {
        free(in_step(&s[i]));
        end_server(&s[i]);
    }
}

#endif
