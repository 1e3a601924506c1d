/*
 * server.c - the server's parts, one by one
 *
 * Three calls of the system are replaced: the clock can be moved, fsync() watched and made to fail, and the
 * system's word of changes in a directory refused.
 */
#define clock_gettime unit_clock_gettime
#define fsync unit_fsync
#define inotify_init1 unit_inotify_init1

int server_main(int, char **);
#define main server_main
#include "../../server.c"
#undef main

#include "unit.h"

#include <arpa/inet.h>
#include <ftw.h>

/* ---- What is replaced -------------------------------------------------------------------------------- */

#undef clock_gettime
int clock_gettime(clockid_t clock, struct timespec *time);

static int64_t clock_ahead;     /* seconds that the server's clocks are ahead of the true ones */
static int clock_speed = 1;     /* and how many times as fast they go, */
static struct timespec clock_from;      /* from this moment of the monotonic one */

static int64_t
nanoseconds_between(const struct timespec *a, const struct timespec *b)
{
    return (b->tv_sec - a->tv_sec) * INT64_C(1000000000) + b->tv_nsec - a->tv_nsec;
}

int
unit_clock_gettime(clockid_t clock, struct timespec *time)
{
    int result = clock_gettime(clock, time);

    if (clock_speed > 1 && clock == CLOCK_MONOTONIC) {
        int64_t passed = nanoseconds_between(&clock_from, time) * clock_speed;

        time->tv_sec = clock_from.tv_sec + 1 + (time_t)(passed / 1000000000);
        time->tv_nsec = (long)(passed % 1000000000);
    }
    time->tv_sec += (time_t)clock_ahead;
    return result;
}

static int syncs, sync_error, sync_seconds;

/* Counts, lets time pass, and fails if it is to. */
int
unit_fsync(int file)
{
    syncs++;
    clock_ahead += sync_seconds;
    errno = sync_error;
    return fcntl(file, F_GETFD) < 0 || sync_error != 0 ? -1 : 0;
}

#ifdef HAS_INOTIFY
#undef inotify_init1
int inotify_init1(int flags);

static bool no_watch;

int
unit_inotify_init1(int flags)
{
    errno = EMFILE;
    return no_watch ? -1 : inotify_init1(flags);
}
#else
static bool no_watch = true;
#endif

/* ---- Helpers ----------------------------------------------------------------------------------------- */

static uint32_t dice_state = 1;

/* Returns a number below limit, the same ones in each run. */
static unsigned
dice(unsigned limit)
{
    dice_state = dice_state * 1664525 + 1013904223;
    return (dice_state >> 8) % limit;
}

static void
write_file(const char *path, const void *octets, size_t length)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    CHECK(file >= 0 && write(file, octets, length) == (ssize_t)length);
    close(file);
}

static void
write_text(const char *path, const char *text)
{
    write_file(path, text, strlen(text));
}

static int
remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    remove(path);
    return 0;
}

/* Makes an empty directory called store, whatever was there, and sets the clock right. */
static void
empty_store(void)
{
    clock_ahead = 0;
    nftw("store", remove_one, 16, FTW_DEPTH | FTW_PHYS);
    CHECK(mkdir("store", 0755) == 0);
}

static struct store
new_store(void)
{
    return (struct store){.path = "store", .directory = -1, .watch = -1, .rules = -1, .refreshed = INT64_MIN};
}

static void
free_store(struct store *store)
{
    const struct index none = {0};

    store_close(store);
    index_free(&store->index, &none);
}

/* Returns the name of message i. */
static const char *
name_at(const struct store *store, size_t i)
{
    return store->index.names + index_at(&store->index, i)->name;
}

/* Returns message i of the index, to be written to. */
static struct message *
open_entry(struct store *store, size_t i)
{
    index_protect(&store->index, 0, 0, PROT_READ | PROT_WRITE);
    return &store->index.messages[store->index.order[i]];
}

/* Says whether a session would still send message i. */
static bool
can_open(const struct store *store, size_t i)
{
    const struct message *m = index_at(&store->index, i);
    int file = store_open(store, store->index.names + m->name);
    bool unchanged = file >= 0 && message_unchanged(store, m, file);

    if (file >= 0)
        close_quietly(file);
    return unchanged;
}

/* Holds a session as serve() does, and frees what the end of a process would. Returns its exit status. */
static int
run_session(const struct settings *settings, const struct store *store, int socket)
{
    struct session *s = calloc(1, sizeof *s);
    int status;

    s->settings = settings;
    s->store = store;
    s->began = wire_clock();
    wire_open(&s->wire, socket, socket);
    wire_be_brief(&s->wire);
    status = session_run(s);
    message_end(s);
    free(s->deleted);
    free(s->twins);
    free(s);
    return status;
}

/* Runs the text of a client against a store, and returns what it was answered, until the next call. */
static const char *
hold_session(const struct settings *settings, const struct store *store, const char *commands)
{
    static char answers[64 * 1024];
    size_t length = 0;
    ssize_t count;
    int pair[2];

    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    CHECK(write(pair[0], commands, strlen(commands)) == (ssize_t)strlen(commands));
    shutdown(pair[0], SHUT_WR);
    run_session(settings, store, pair[1]);
    close(pair[1]);
    while ((count = read(pair[0], answers + length, sizeof answers - 1 - length)) > 0)
        length += (size_t)count;
    close(pair[0]);
    answers[length] = '\0';
    return answers;
}

/* Says whether the last line of a text begins like this. */
static bool
last_line(const char *text, const char *wanted)
{
    const char *line = text, *next;

    while ((next = strchr(line, '\n')) != NULL && next[1] != '\0')
        line = next + 1;
    return strncmp(line, wanted, strlen(wanted)) == 0;
}

/* Sends standard error to a file, or back: returns what to give back. */
static int
redirect_log(int back)
{
    int old = -1;

    fflush(stderr);
    if (back < 0) {
        int file = open("log", O_RDWR | O_CREAT | O_TRUNC, 0600);

        old = dup(STDERR_FILENO);
        dup2(file, STDERR_FILENO);
        close(file);
    } else {
        dup2(back, STDERR_FILENO);
        close(back);
    }
    return old;
}

/* Returns what was logged, until the next call. */
static const char *
logged(void)
{
    static char text[64 * 1024];
    int file = open("log", O_RDONLY);
    ssize_t length = read(file, text, sizeof text - 1);

    close(file);
    text[length > 0 ? length : 0] = '\0';
    return text;
}

/* ---- 2. Saying things -------------------------------------------------------------------------------- */

static void
test_say(void)
{
    char all[256], longer[3000];
    int back = redirect_log(-1);

    for (int i = 0; i < 255; i++)
        all[i] = (char)(i + 1);
    all[255] = '\0';
    say("%s", all);
    memset(longer, '\x01', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    say("%s", longer);
    redirect_log(back);

    const char *text = logged(), *end = strchr(text, '\n');
    int lines = 0;

    CHECK(strncmp(text, "server: \\x01\\x02", 16) == 0);
    CHECK(strstr(text, "\\x09\\x0a") != NULL && strstr(text, "\\x1f !\"#") != NULL);
    CHECK(strstr(text, "}~\\x7f\\x80") != NULL && end != NULL && strncmp(end - 4, "\\xff", 4) == 0);
    for (const char *p = text; *p != '\0'; p++) {
        lines += *p == '\n';
        CHECK(*p == '\n' || (*p >= ' ' && *p <= '~'));
    }
    CHECK(lines == 2);
}

/* ---- 3. The store: the hash -------------------------------------------------------------------------- */

/* SipHash-2-4-128 once more, from its description, with all of the text at hand. */

static void
simple_rounds(uint64_t v[4], int rounds)
{
    while (rounds-- > 0) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = (v[1] << 13 | v[1] >> 51) ^ v[0];
        v[3] = (v[3] << 16 | v[3] >> 48) ^ v[2];
        v[0] = v[0] << 32 | v[0] >> 32;
        v[2] += v[1];
        v[0] += v[3];
        v[1] = (v[1] << 17 | v[1] >> 47) ^ v[2];
        v[3] = (v[3] << 21 | v[3] >> 43) ^ v[0];
        v[2] = v[2] << 32 | v[2] >> 32;
    }
}

static void
simple_hash(const uint64_t key[2], const unsigned char *text, size_t length, unsigned char hash[16])
{
    uint64_t v[4] = {
        key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d ^ 0xee, key[0] ^ 0x6c7967656e657261,
        key[1] ^ 0x7465646279746573
    };

    for (size_t at = 0; at <= length; at += 8) {
        uint64_t word = at + 8 > length ? (uint64_t)length << 56 : 0;

        for (size_t i = at; i < at + 8 && i < length; i++)
            word |= (uint64_t)text[i] << (i - at) * 8;
        v[3] ^= word;
        simple_rounds(v, 2);
        v[0] ^= word;
    }
    v[2] ^= 0xee;
    for (int half = 0; half < 2; half++) {
        simple_rounds(v, 4);
        for (int i = 0; i < 8; i++)
            hash[half * 8 + i] = (unsigned char)((v[0] ^ v[1] ^ v[2] ^ v[3]) >> i * 8);
        v[1] ^= 0xdd;
    }
}

/* The key of the published vectors, 00 01 ... 0f, whose texts are 00 01 02 ... */
static const uint64_t published_key[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};

static void
test_hash_published(void)
{
    static const unsigned char published[2][16] = {
        {0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02, 0x93},
        {0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44, 0x34, 0x76, 0x59, 0x11, 0x9b, 0x22, 0xfc, 0x45},
    };

    for (size_t length = 0; length < 2; length++) {
        unsigned char id[16], simple[16];
        struct hash hash = {
            .v0 = published_key[0] ^ 0x736f6d6570736575, .v1 = published_key[1] ^ 0x646f72616e646f6d ^ 0xee,
            .v2 = published_key[0] ^ 0x6c7967656e657261, .v3 = published_key[1] ^ 0x7465646279746573,
        };

        hash_add(&hash, "", length);
        hash_end(&hash, id);
        simple_hash(published_key, (const unsigned char *)"", length, simple);
        CHECK(memcmp(id, published[length], sizeof id) == 0);
        CHECK(memcmp(simple, published[length], sizeof simple) == 0);
    }
}

/* Our key, every length up to some words, in pieces of any size. */
static void
test_hash_pieces(void)
{
    static const uint64_t key[2] = {0x706f70332d756964, 0x6d61696c64726f70};
    unsigned char text[200], whole[16], id[16];

    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (unsigned char)dice(256);
    for (size_t length = 0; length <= sizeof text; length++) {
        simple_hash(key, text, length, whole);
        for (int tries = 0; tries < 20; tries++) {
            struct hash hash;

            hash_start(&hash);
            for (size_t at = 0, part; at < length; at += part) {
                part = tries == 0 ? length : tries == 1 ? 1 : dice(20);
                part = part < length - at ? part : length - at;
                hash_add(&hash, text + at, part);
            }
            hash_end(&hash, id);
            CHECK(memcmp(id, whole, sizeof id) == 0);
        }
    }
}

/* ---- 3. The store: names and their order ------------------------------------------------------------- */

static const char *const nasty_names[] = {
    "0", "00", "000", "1", "01", "001", "1a", "01a", "1a1", "01a01", "1a01", "01a1", "1.", "1.eml",
    "2.eml", "10.eml", "010.eml", "9", "09", "10", "99999999999999999999", "099999999999999999999",
    "100000000000000000000", "18446744073709551616", "a", "A", "a0", "a00", "a0b", "a00b", "a-1", "a-01",
    "a+1", "a1", "a2", "a10", "a1b2", "a01b1", "a1b02", "\x80", "\xff", "\xc3\xa4", " ", " 1", "1 ", "-",
    "0-", "0a", "00a", "1-2-3", "1-02-3", "1-2-03", "1.eml:2,", "1.eml:2,S", "z", "/", ":", "1:", "1/",
    "a/", "a:", "09a", "9a", "9b", "09b"
};

enum { NASTY_NAMES = sizeof nasty_names / sizeof *nasty_names };

static int
sign(int number)
{
    return (number > 0) - (number < 0);
}

/* For all of them: no two are equal, the order has no two ways to be asked for, and no circles. */
static void
test_name_order(void)
{
    int wrong = 0;

    for (int i = 0; i < NASTY_NAMES; i++) {
        for (int j = 0; j < NASTY_NAMES; j++) {
            const char *a = nasty_names[i], *b = nasty_names[j];
            int order = sign(name_compare(a, b));

            wrong += order != -sign(name_compare(b, a)) || (order == 0) != (i == j);
            for (int k = 0; k < NASTY_NAMES; k++)
                if (order < 0 && name_compare(b, nasty_names[k]) < 0)
                    wrong += name_compare(a, nasty_names[k]) >= 0;
        }
    }
    CHECK(wrong == 0);
}

static void
test_name_examples(void)
{
    static const char *const order[] = {
        "0", "01", "1", "1.eml", "2.eml", "09", "10", "010.eml", "99999999999999999999",
        "100000000000000000000", "A", "a", "a1", "a1b1", "a1b2", "a2", "a10", "b", "\xc3\xa4"
    };

    for (size_t i = 1; i < sizeof order / sizeof *order; i++)
        if (!CHECK(name_compare(order[i - 1], order[i]) < 0))
            printf("%s, %s\n", order[i - 1], order[i]);
}

/* A list of names in any order becomes each name once, and a change of it is not forgotten. */
static void
test_names_sorted(void)
{
    struct names names = {0};

    for (int i = 0; i < 5000; i++) {
        unsigned k = dice(NASTY_NAMES);

        CHECK(names_add(&names, nasty_names[k], k % 3 == 0 && i > 2500 ? CHANGED : k % 2 == 0 ? REGULAR : NO_NEWS));
    }
    CHECK(names.count == 5000 && names_sort(&names));
    CHECK(names.count == NASTY_NAMES);
    for (size_t i = 0; i < names.count; i++) {
        size_t k = 0;

        while (strcmp(nasty_names[k], names.list[i].text) != 0)
            k++;
        CHECK(names.list[i].changed == (k % 3 == 0));
        CHECK(i == 0 || name_compare(names.list[i - 1].text, names.list[i].text) < 0);
    }
    names_free(&names);
}

/* ---- 3. The store: measuring ------------------------------------------------------------------------- */

/* Counts what RETR would send of a text: without the dots that double, with the last line end. */
static uint64_t
sent_octets(const unsigned char *text, size_t length)
{
    static unsigned char wire[4 * BLOCK + 64];
    struct pop3_stuffer stuffer = {.dots = 0};
    size_t octets = pop3_stuff(&stuffer, text, length, wire), doubled = 0;

    for (size_t i = 0; i < octets; i++)
        doubled += wire[i] == '.' && (i == 0 || wire[i - 1] == '\n');
    return octets - doubled + (stuffer.in_line ? 2 : 0);
}

/* Measures an open file, as large as it is now. */
static bool
measure(struct message *m, const char *name, int file)
{
    struct stat status;

    if (fstat(file, &status) == 0)
        message_identify(m, &status);
    return message_measure(m, name, file, false);
}

static bool
measured(const unsigned char *text, size_t length)
{
    struct message m = {0};
    int file;
    bool good;

    write_file("text", text, length);
    file = open("text", O_RDONLY);
    good = measure(&m, "text", file) && m.octets == sent_octets(text, length);
    close(file);
    return good;
}

static void
test_measure(void)
{
    static const char *const texts[] = {
        "", "\n", "\r", "\r\n", "\n\r", "\r\r\n", "\n\n", ".", ".\n", "..\n", ".\r\n", ".\r", "a", "a\n",
        "a\r\n", "a\r", "a\n.b\r\n..c\n\n.\n", "a\rb\nc\r\r\n\r", "\n.", "\r.", "\r\n.", "a\n\r\n\r"
    };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        CHECK(measured((const unsigned char *)texts[i], strlen(texts[i])));
    CHECK(measured((const unsigned char *)"\0\n.\0\xff\n", 6));
}

/* Every short text of the octets that matter. */
static void
test_measure_all(void)
{
    static const char octets[] = "\r\n.x";
    int wrong = 0;

    for (unsigned n = 0; n < 1U << 10; n++) {
        unsigned char text[5];

        for (unsigned i = 0; i < 5; i++)
            text[i] = (unsigned char)octets[n >> 2 * i & 3];
        wrong += !measured(text, sizeof text);
    }
    CHECK(wrong == 0);
}

/* Line ends and dots that lie on the border of two blocks. */
static void
test_measure_blocks(void)
{
    static const char *const border[] = {"\r\n", "x\n", "\n.", "\r.", "\n\n", "\r\r", "\n\r", "..", "x\r"};
    static unsigned char text[2 * MEASURED + 2];

    for (size_t i = 0; i < sizeof border / sizeof *border; i++) {
        for (size_t length = MEASURED - 1; length <= MEASURED + 2; length++) {
            memset(text, 'x', sizeof text);
            memcpy(text + MEASURED - 1, border[i], 2);
            text[MEASURED - 2] = (unsigned char)(i % 2 == 0 ? 'x' : '\n');
            CHECK(measured(text, length));
        }
        memcpy(text + 2 * MEASURED - 1, border[i], 2);
        CHECK(measured(text, 2 * MEASURED));
        CHECK(measured(text, sizeof text));
    }
}

/* The unique-id tells content, name, and where one ends and the other begins, but not a Maildir's flags. */
static void
test_unique_id(void)
{
    static const struct { const char *name, *text; bool same; } cases[] = {
        {"1", "text\n", true}, {"1:2,", "text\n", true}, {"1:2,FRS", "text\n", true},
        {"1:2", "text\n", false}, {"1:1,S", "text\n", false}, {"2", "text\n", false},
        {"1", "text\r\n", false}, {"1", "tex", false},
        {"1", "", false}, {"1t", "ext\n", false}, {"", "1text\n", false}, {"01", "text\n", false}
    };
    struct message first = {0};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct message m = {0};
        int file;

        write_text("text", cases[i].text);
        file = open("text", O_RDONLY);
        CHECK(measure(&m, cases[i].name, file));
        close(file);
        if (i == 0)
            first = m;
        CHECK((memcmp(m.id, first.id, sizeof m.id) == 0) == cases[i].same);
    }
    CHECK(!measure(&first, "1", -1));
}

/* ---- 3. The store: the index ------------------------------------------------------------------------- */

/* Compares an index with one that is made from nothing. */
static bool
like_new(const struct store *store)
{
    struct store fresh = new_store();
    const struct index *x = &store->index, *y = &fresh.index;
    bool same = store_refresh(&fresh, false) && x->count == y->count && x->octets == y->octets;
    uint64_t octets = 0;

    same = same && x->linked == y->linked;

    for (size_t i = 0; same && i < x->count; i++) {
        const struct message *a = index_at(x, i), *b = index_at(y, i);

        same = strcmp(name_at(store, i), name_at(&fresh, i)) == 0 && message_same(a, b) &&
               a->octets == b->octets && a->linked == b->linked && memcmp(a->id, b->id, sizeof a->id) == 0;
        octets += a->octets;
    }
    same = same && octets == x->octets;
    free_store(&fresh);
    return same;
}

/* Makes one change of any kind to a file of any name. */
static void
change_store(void)
{
    char path[64], other[64], text[80];
    int file;

    snprintf(path, sizeof path, "store/%s", nasty_names[dice(40)]);
    snprintf(other, sizeof other, "store/%s", nasty_names[dice(40)]);
    memset(text, "x\n.\r"[dice(4)], sizeof text);
    text[dice(sizeof text)] = '\0';
    text[sizeof text - 1] = '\0';
    switch (dice(9)) {
    case 0:
        write_text("store/.new", text);
        rename("store/.new", path);
        break;
    case 1:
        unlink(path);
        rmdir(path);
        break;
    case 2:
        rename(path, other);
        break;
    case 3:
        if (truncate(path, (off_t)dice(40)) != 0)
            write_text("store/.tmp", text);
        break;
    case 4:
        if (no_watch && link(path, "outside") == 0)     /* not told of: net_server has a test of it */
            unlink("outside");
        break;
    case 5:
        if (dice(8) == 0)
            mkdir(path, 0755);
        break;
    case 6:
        if (dice(8) == 0 && symlink("1", path) != 0)
            unlink("store/.tmp");
        break;
    default:
        file = open(path, O_WRONLY | O_CREAT, 0644);
        if (file >= 0) {
            if (write(file, text, strlen(text)) >= 0)
                close(file);
        }
    }
}

/* Thousands of changes, seen a few at a time: the index is always as if it had just been made. */
static void
follow_changes(int rounds)
{
    struct store store = new_store();
    int back = redirect_log(-1), wrong = 0;
    size_t room = 0;

    empty_store();
    for (int i = 0; i < rounds; i++) {
        for (unsigned changes = dice(8); changes > 0; changes--)
            change_store();
        wrong += !store_refresh(&store, false) || !like_new(&store);
        clock_ahead += i < rounds / 2 ? 0 : dice(3);
        room = store.index.room > room ? store.index.room : room;
    }
    redirect_log(back);
    CHECK(wrong == 0);
    CHECK(store.index.count > 5);
    CHECK(room < 1000 && store.index.names_room < 64 * 1024);       /* it is packed again, now and then */
    free_store(&store);
}

static void
test_index_told(void)
{
    follow_changes(400);
}

static void
test_index_not_told(void)
{
    bool before = no_watch;

    no_watch = true;
    follow_changes(250);
    no_watch = before;
}

/* Makes messages 1 to count, which are old enough for their times to be believed. */
static struct store
settled_store(int count)
{
    struct store store = new_store();
    char path[64];

    empty_store();
    for (int i = 1; i <= count; i++) {
        snprintf(path, sizeof path, "store/%d", i);
        write_text(path, "text\n");
    }
    for (int i = 0; i < 3; i++) {
        clock_ahead += 10;
        CHECK(store_refresh(&store, false));
    }
    return store;
}

/* What nobody has touched is not read again: a mark in its entry stays. */
static void
test_index_reads_no_more(void)
{
    for (int watch = 0; watch < 2; watch++) {
        bool before = no_watch;
        struct store store;

        no_watch = no_watch || watch == 0;
        store = settled_store(9);
        CHECK(store.index.count == 9);
        open_entry(&store, 4)->octets = 12345;
        write_text("store/7", "another text\n");
        write_text("store/10", "one more\n");
        CHECK(unlink("store/1") == 0);
        clock_ahead += 10;
        CHECK(store_refresh(&store, false));
        CHECK(store.index.count == 9);
        CHECK(index_at(&store.index, 3)->octets == 12345);
        CHECK(index_at(&store.index, 5)->octets == 14 && index_at(&store.index, 8)->octets == 10);
        free_store(&store);
        no_watch = before;
    }
}

/* Says whether a session that writes there is killed. */
static bool
is_protected(void *memory)
{
    int status = 0;
    pid_t child;

    fflush(stdout);
    child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        signal(SIGBUS, SIG_DFL);
        *(volatile char *)memory = 1;
        _exit(0);
    }
    return CHECK(waitpid(child, &status, 0) == child) && WIFSIGNALED(status);
}

/* A session cannot write to what the others will inherit, old or new, however often it changed. */
static void
test_index_protected(void)
{
    enum { PAGE = 4096 };
    struct store store = settled_store(300);
    const struct index *x = &store.index;
    char name[300];

    for (int change = 0; change < 3; change++) {
        for (size_t at = 0; at < x->used * sizeof *x->messages; at += PAGE)
            CHECK(is_protected((char *)x->messages + at));
        CHECK(is_protected(&x->messages[x->used - 1]));
        for (size_t at = 0; at < x->names_used; at += PAGE)
            CHECK(is_protected(x->names + at));
        CHECK(is_protected(x->names + x->names_used - 1));
        CHECK(is_protected(x->order));
        for (int i = 0; i < 40; i++) {
            snprintf(name, sizeof name, "store/%d-%0*d", change, 200, i);
            write_text(name, "new\n");
        }
        CHECK(store_refresh(&store, false) && x->count == 340 + (size_t)change * 40);
    }
    free_store(&store);
}

/* What a session got at its start stays as it was, while the parent's index goes on. */
static void
test_index_snapshot(void)
{
    struct store store = settled_store(5), snapshot;
    int back = redirect_log(-1);

    if (store.watch < 0) {      /* then the index has memory of its own each time, and a session a copy of it */
        redirect_log(back);
        free_store(&store);
        return;
    }
    snapshot = store;           /* as fork does; the order is the session's own copy then */
    snapshot.index.order = malloc(store.index.count * sizeof *snapshot.index.order);
    memcpy(snapshot.index.order, store.index.order, store.index.count * sizeof *snapshot.index.order);
    write_text("store/3", "changed\n");
    write_text("store/0", "new\n");
    CHECK(unlink("store/5") == 0);
    CHECK(store_refresh(&store, false));
    CHECK(store.index.count == 5 && store.index.messages == snapshot.index.messages);
    for (size_t i = 0; i < 5; i++) {
        char name[8];

        snprintf(name, sizeof name, "%zu", i + 1);
        CHECK(strcmp(name_at(&snapshot, i), name) == 0 && index_at(&snapshot.index, i)->octets == 6);
    }
    redirect_log(back);
    free(snapshot.index.order);
    free_store(&store);
}

/* Two changes within a tick leave the same times. As long as that can be, the content decides. */
static void
test_unsettled(void)
{
    struct store store = new_store();
    struct message now = {0};
    struct stat status;
    int file;

    empty_store();
    write_text("store/1", "text\n");
    CHECK(store_refresh(&store, false) && store.index.count == 1);

    CHECK(can_open(&store, 0));

    /* A second change in the same tick, made here by writing the later times to the entry. */
    write_text("store/1", "texT\n");
    CHECK(stat("store/1", &status) == 0);
    struct message *m = open_entry(&store, 0);
    message_identify(m, &status);
    CHECK(m->settles > store.refreshed);
    CHECK(!can_open(&store, 0) && !store_remove(&store, m));
    CHECK(access("store/1", F_OK) == 0);

    file = open("store/1", O_RDONLY);
    CHECK(measure(&now, "1", file));
    close(file);
    memcpy(m->id, now.id, sizeof m->id);
    CHECK(can_open(&store, 0) && store_remove(&store, m));
    CHECK(access("store/1", F_OK) != 0);
    free_store(&store);
}

/* What the system tells of is read again, also when the times are as before: mapped memory does that. */
static void
test_told(void)
{
    struct store store = settled_store(2);
    struct stat status;
    unsigned char old[16];

    memcpy(old, index_at(&store.index, 0)->id, sizeof old);
    write_text("store/1", "texT\n");
    CHECK(stat("store/1", &status) == 0);
    message_identify(open_entry(&store, 0), &status);
    CHECK(store_refresh(&store, false));
    if (store.watch >= 0)
        CHECK(memcmp(index_at(&store.index, 0)->id, old, sizeof old) != 0);
    free_store(&store);
}

/* The same between two sessions, where the system does not tell: the second one looks into the file. */
static void
test_unsettled_not_told(void)
{
    bool before = no_watch;
    struct store store = new_store();
    struct stat status;

    no_watch = true;
    empty_store();
    write_text("store/1", "text\n");
    CHECK(store_refresh(&store, false));
    for (int i = 0; i < 3; i++) {
        unsigned char old[16];

        memcpy(old, index_at(&store.index, 0)->id, sizeof old);
        write_text("store/1", i == 0 ? "tExt\n" : i == 1 ? "teXt\n" : "texT\n");
        CHECK(stat("store/1", &status) == 0);
        message_identify(open_entry(&store, 0), &status);
        clock_ahead += i < 2 ? 2 : 0;           /* at 0, 2 and 4 seconds */
        CHECK(store_refresh(&store, false));
        CHECK((memcmp(index_at(&store.index, 0)->id, old, sizeof old) == 0) == (i == 2));
    }
    no_watch = before;
    free_store(&store);
}

/* An entry settles by and by, also when it is looked at all the time, or once a year. */
static void
test_settles(void)
{
    for (int watch = 0; watch < 2; watch++) {
        bool before = no_watch;
        struct store store = new_store();

        no_watch = no_watch || watch == 0;
        empty_store();
        write_text("store/1", "text\n");
        for (int i = 0; i < 9; i++) {
            CHECK(store_refresh(&store, false));
            CHECK(i > 0 || index_at(&store.index, 0)->settles > store.refreshed);
            clock_ahead++;
        }
        CHECK(index_at(&store.index, 0)->settles <= store.refreshed);
        free_store(&store);
        no_watch = before;
    }
}

/* ---- 4. Answers -------------------------------------------------------------------------------------- */

static void
test_put_number(void)
{
    static const uint64_t numbers[] = {0, 1, 9, 10, 99, 100, 4294967296, UINT64_MAX - 1, UINT64_MAX};

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        char text[32], wanted[32];

        *put_number(text, numbers[i]) = '\0';
        snprintf(wanted, sizeof wanted, "%" PRIu64, numbers[i]);
        CHECK(strcmp(text, wanted) == 0);
    }
}

/* It writes what printf would, into as much room, and not an octet more. */
static void
test_put_format(void)
{
#define SAME(...) \
    CHECK(put_format(made, room, __VA_ARGS__) == strlen(made) && made[room] == 'x' && \
          (snprintf(wanted, room, __VA_ARGS__), strcmp(wanted, made) == 0))
    char wanted[80], made[80];

    for (size_t room = 1; room < sizeof made; room++) {
        memset(made, 'x', sizeof made);
        SAME("plain");
        SAME("%s", "");
        SAME("%s|%s", "a", "%s%u");
        SAME("%u %u", 0u, UINT_MAX);
        SAME("%lu %llu", ULONG_MAX, ULLONG_MAX);
        SAME("%zu.%" PRIu64 "!", (size_t)-1, UINT64_MAX);
        SAME("%u%s%zu%s", 1u, "", (size_t)2, ".");
    }
#undef SAME
}

/* A status line is cut where it must end, and ends with CRLF all the same. */
static void
test_long_answers(void)
{
    static struct session s;
    char text[1000];

    for (size_t length = 480; length < 520; length++) {
        memset(text, 'x', sizeof text);
        text[length] = '\0';
        wire_open(&s.wire, -1, -1);
        ok(&s, "%s", text);
        CHECK(s.wire.out_end <= POP3_STATUS_MAX && s.wire.out_end > 480);
        CHECK(memcmp(s.wire.output, "+OK ", 4) == 0);
        CHECK(memcmp(s.wire.output + s.wire.out_end - 3, "x\r\n", 3) == 0);
        s.wire.out_end = 0;
        s.mistakes = MISTAKES;
        mistake(&s, "%s", text);
        CHECK(s.wire.out_end <= POP3_STATUS_MAX);
        CHECK(memcmp(s.wire.output + s.wire.out_end - 2, "\r\n", 2) == 0);
    }
}

/* What TOP sends, by counting lines in the whole text. */
static size_t
simple_top(const char *text, uint64_t lines)
{
    const char *at = text;
    bool body = false;

    while (*at != '\0' && (!body || lines > 0)) {
        size_t length = strcspn(at, "\n");

        if (body)
            lines--;
        else
            body = at[length] == '\n' && (length == 0 || (length == 1 && *at == '\r'));
        at += length + (at[length] == '\n');
    }
    return (size_t)(at - text);
}

/* The same by the server, which gets the text in pieces that end at two places. */
static size_t
pieces_top(const char *text, uint64_t lines, size_t first, size_t second)
{
    size_t length = strlen(text), ends[3] = {first, second, length}, at = 0;
    struct top top = {.lines = lines};

    for (int i = 0; i < 3; i++) {
        size_t size = ends[i] - at, part = top_part(&top, (const unsigned char *)text + at, size);

        at += part;
        if (part < size)
            break;
    }
    return at;
}

static void
test_top(void)
{
    static const char *const texts[] = {
        "", "\n", "\r\n", "\r", "a", "a\n", "a\n\n", "a\n\nb", "a\n\nb\n", "a\n\nb\nc\nd",
        "a\r\n\r\nb\r\nc\r\n", "a\n\r\nb\n", "a\r\n\nb\n", "a\n\r\rb\n\nc\n", "a\n\r\r\n\nc\nd\n",
        "a\n \nb\n\nc\n", "\n\n\n\n", "\r\n\r\n\r\n", "a\n\r", "a\nb\r", "a\nx\r\n\r\nb\n\n\n",
        "a\r\r\n\r\nb\n", "\r\r\n\nb\nc", "a\n.\n\n.\n..\n"
    };
    int wrong = 0;

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        for (uint64_t lines = 0; lines < 4; lines++)
            for (size_t second = 0; second <= strlen(texts[i]); second++)
                for (size_t first = 0; first <= second; first++)
                    wrong += pieces_top(texts[i], lines, first, second) != simple_top(texts[i], lines);
    CHECK(wrong == 0);
}

/* ---- 5. Commands ------------------------------------------------------------------------------------- */

static void
test_handlers(void)
{
    for (int verb = 0; verb < POP3_VERBS; verb++) {
        CHECK(handlers[verb] != NULL);
        for (int other = 0; other < verb; other++)
            CHECK(handlers[verb] != handlers[other]);
    }
}

static void
test_same_secret(void)
{
    char longest[SECRET_MAX + 1], longer[SECRET_MAX + 2];

    memset(longest, 'x', sizeof longest);
    memset(longer, 'x', sizeof longer);
    longest[SECRET_MAX] = longer[SECRET_MAX + 1] = '\0';
    CHECK(same_secret("", "") && same_secret("a", "a") && same_secret("a b ", "a b "));
    CHECK(!same_secret("a", "") && !same_secret("", "a") && !same_secret("a", "A"));
    CHECK(!same_secret("a", "aa") && !same_secret("aa", "a") && !same_secret("a ", "a"));
    CHECK(!same_secret("\x80", "\xff"));
    CHECK(same_secret(longest, longest) && !same_secret(longer, longest));
    longest[SECRET_MAX - 1] = 'y';
    CHECK(!same_secret(longer, longest));
}

/* Messages with one unique-id are told apart, and only they, also where the table of them is crowded. */
static void
test_twins(void)
{
    enum { COUNT = 300 };
    static struct message messages[COUNT];
    static uint32_t order[COUNT];
    static struct session s;
    struct store store = new_store();
    int seen[10][3] = {{0}};

    store.index = (struct index){.messages = messages, .used = COUNT, .order = order, .count = COUNT};
    for (uint32_t i = 0; i < COUNT; i++) {
        order[i] = COUNT - 1 - i;
        memset(messages[i].id, 0, sizeof messages[i].id);
        messages[i].id[5] = (unsigned char)(i % 10);        /* the octets that make the place are all 0 */
        messages[i].id[15] = (unsigned char)(i % 3);
    }
    s.store = &store;
    CHECK(find_twins(&s));
    for (size_t i = 0; i < COUNT; i++) {
        const struct message *m = index_at(&store.index, i);
        char id[64], wanted[64];
        int earlier = seen[m->id[5]][m->id[15]]++;

        *put_id(id, &s, i) = '\0';
        snprintf(wanted, sizeof wanted, "0000000000%02x000000000000000000%02x", m->id[5], m->id[15]);
        if (earlier > 0)
            snprintf(wanted + 32, sizeof wanted - 32, "-%d", earlier + 1);
        CHECK(strcmp(id, wanted) == 0);
    }
    free(s.twins);
}

/* Whatever is typed, each line is answered with lines of at most 512 octets. */
static void
test_answers(void)
{
    static const char *const arguments[] = {
        "", " 1", " 9", " 0", " 4294967295", " 4294967296", " 99999999999999999999999999", " x", " 1 1",
        " 1 x", " 1 1 1"
    };
    struct settings settings = {.idle_seconds = 5};
    struct store store = settled_store(2);
    int back = redirect_log(-1);
    char commands[400], word[240];

    memset(word, '%', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    for (int verb = 0; verb <= POP3_VERBS; verb++) {
        for (size_t i = 0; i < sizeof arguments / sizeof *arguments; i++) {
            const char *name = verb < POP3_VERBS ? pop3_commands[verb].name : word, *line;
            size_t length;

            snprintf(commands, sizeof commands, "%s%s\r\n", name, arguments[i]);
            line = strchr(hold_session(&settings, &store, commands), '\n') + 1;
            CHECK(strncmp(line, "+OK ", 4) == 0 || strncmp(line, "-ERR ", 5) == 0);
            for (; *line != '\0'; line += length) {
                length = strcspn(line, "\n") + 1;
                CHECK(length <= POP3_STATUS_MAX && line[length - 2] == '\r');
            }
        }
    }
    redirect_log(back);
    free_store(&store);
}

/* A message's name that a pipe has got is no message, and what waits in the pipe is for another program. */
static void
test_pipe_in_place(void)
{
    struct settings settings = {.idle_seconds = 5};
    struct store store = settled_store(2);
    int back = redirect_log(-1), pipe;
    char waits[8] = "";

    CHECK(unlink("store/2") == 0 && mkfifo("store/2", 0600) == 0);
    pipe = open("store/2", O_RDWR | O_NONBLOCK);
    for (int i = 0; i < 2; i++) {       /* empty, and not: also while the client is busy with message 1 */
        CHECK(i == 0 || write(pipe, "precious", 8) == 8);
        CHECK(strstr(hold_session(&settings, &store, "RETR 1\r\nRETR 2\r\nQUIT\r\n"),
                     "\r\n-ERR message 2 is gone or was changed") != NULL);
        CHECK(hold_session(&settings, &store, "RETR 1\r\n") != NULL);
        CHECK(i == 0 || (read(pipe, waits, 8) == 8 && memcmp(waits, "precious", 8) == 0));
    }
    close(pipe);
    free_store(&store);
    redirect_log(back);
}

/* What happens to message 2 while the client is busy with message 1, and whether it can still be had. */
static const struct meanwhile {
    const char *command;
    bool ahead, sent;
} meanwhiles[] = {
    {"true", true, true},
    {"rm store/2", false, false},
    {"mv store/2 store/.2", false, false},
    {"mv store/2 store/.2; cp -p store/.2 store/2", false, false},
    {"printf 'texT\\n' >.new; mv .new store/2", false, false},
    {"printf 'texT\\n' >store/2; touch -r store/1 store/2", false, false},
    {"echo more >>store/2", false, false},
    {": >store/2", false, false},
    {"rm store/2; mkfifo store/2", false, false},
    {"rm store/2; mkdir store/2", false, false},
    {"rm store/2; ln -s 1 store/2", false, false},
    {"chmod 600 store/2", false, true},
    {"ln store/2 .link; rm .link", false, true},
};

/* A message that was begun before it was asked for is what it would be if it were opened only then. */
static void
test_ahead(void)
{
    struct settings settings = {.idle_seconds = 5};
    int back = redirect_log(-1), ends[2];

    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    for (size_t i = 0; i < sizeof meanwhiles / sizeof *meanwhiles; i++) {
        const struct meanwhile *meanwhile = &meanwhiles[i];
        struct store store = settled_store(3);
        struct session *s = calloc(1, sizeof *s);
        char marked[] = "DELE 3";
        struct message now = {0};
        struct stat status;
        char first[] = "RETR 1", second[] = "RETR 2", other[] = "RETR 1";
        int free_number = dup(ends[0]);

        close(free_number);
        s->settings = &settings;
        s->store = &store;
        s->state = IN_TRANS;
        s->file = -1;
        wire_open(&s->wire, ends[0], ends[0]);
        obey(s, marked, strlen(marked));
        obey(s, first, strlen(first));
        CHECK(s->begun == NULL && s->next == 1);
        message_ahead(s);
        CHECK((s->begun == index_at(&store.index, 1)) == (store.watch >= 0));
        CHECK(message_is_ahead(s, index_at(&store.index, 1)) == (store.watch >= 0));
        CHECK(!message_is_ahead(s, index_at(&store.index, 0)));
        do {                    /* until the file system's clock has ticked: before, a message is not settled */
            write_text(".tick", "");
            CHECK(stat(".tick", &status) == 0);
            message_identify(&now, &status);
        } while (now.changed == index_at(&store.index, 1)->changed);

        CHECK(system(meanwhile->command) == 0);
        unit_check(message_is_ahead(s, index_at(&store.index, 1)) == (meanwhile->ahead && store.watch >= 0),
                   meanwhile->command, __FILE__, __LINE__);
        s->wire.out_end = 0;
        obey(s, second, strlen(second));
        s->wire.output[s->wire.out_end] = '\0';
        unit_check(strcmp((char *)s->wire.output, meanwhile->sent ? "+OK 6 octets\r\ntext\r\n.\r\n" :
                          "-ERR message 2 is gone or was changed since this session began\r\n") == 0,
                   meanwhile->command, __FILE__, __LINE__);
        CHECK(s->begun == NULL && s->next == 2);
        message_ahead(s);
        CHECK(s->begun == NULL);                /* message 3 is marked */
        s->next = 3;
        message_ahead(s);
        CHECK(s->begun == NULL);                /* there is no message 4 */
        s->next = 1;
        message_ahead(s);
        open_entry(&store, 1)->settles = INT64_MAX;         /* its times may not show a change */
        CHECK(!message_is_ahead(s, index_at(&store.index, 1)));
        obey(s, other, strlen(other));
        message_ahead(s);
        message_end(s);
        CHECK(dup(ends[0]) == free_number && close(free_number) == 0);
        free(s->deleted);
        free(s);
        free_store(&store);
    }
    close(ends[0]);
    close(ends[1]);
    redirect_log(back);
}

/* Removals are on disk before QUIT is answered, and asked for once. */
static void
test_quit_syncs(void)
{
    struct settings settings = {.idle_seconds = 5};
    struct store store = settled_store(5);
    int back = redirect_log(-1);

    syncs = 0;
    CHECK(last_line(hold_session(&settings, &store, "DELE 1\r\nDELE 2\r\nQUIT\r\n"), "+OK 2"));
    CHECK(syncs == 1);
    CHECK(last_line(hold_session(&settings, &store, "RETR 3\r\nQUIT\r\n"), "+OK 0"));
    CHECK(syncs == 1);                          /* nothing was removed */

    sync_error = EIO;
    CHECK(last_line(hold_session(&settings, &store, "DELE 3\r\nQUIT\r\n"), "-ERR"));
    sync_error = EINVAL;                        /* a file system that cannot be asked */
    CHECK(last_line(hold_session(&settings, &store, "DELE 4\r\nQUIT\r\n"), "+OK 1"));
    sync_error = 0;
    redirect_log(back);
    free_store(&store);
}

/* However long the disk takes, QUIT is answered. */
static void
test_quit_slow(void)
{
    struct settings settings = {.idle_seconds = 5};
    struct store store = settled_store(2);
    int back = redirect_log(-1);

    sync_seconds = 30;
    CHECK(last_line(hold_session(&settings, &store, "DELE 1\r\nQUIT\r\n"), "+OK 1"));
    CHECK(access("store/1", F_OK) != 0);
    sync_seconds = 0;
    redirect_log(back);
    free_store(&store);
}

/* ---- 6. A session ------------------------------------------------------------------------------------ */

enum slow { SILENT, BUSY, LOGGED_IN };

/*
 * A client that logs in or not, and says nothing for 80 seconds of a clock that goes 100 times as fast, or an
 * octet in each tenth of one, so that its server never waits for long.
 */
static _Noreturn void
slow_client(int socket, enum slow kind)
{
    char answers[1000];
    const char *commands = kind == LOGGED_IN ? "USER me\r\nPASS secret\r\n" : "USER me\r\n";
    struct pollfd over = {.fd = -1};
    ssize_t length = 0, count;

    if (write(socket, commands, strlen(commands)) < 0)
        _exit(1);
    for (int i = 0; i < (kind == BUSY ? 800 : 0); i++)
        if (poll(&over, 1, 1) < 0 || write(socket, "x", 1) < 0)
            _exit(2);
    poll(&over, 1, kind == BUSY ? 0 : 800);
    if (write(socket, "STAT\r\nQUIT\r\n", 12) < 0)
        _exit(2);
    shutdown(socket, SHUT_WR);
    while ((count = read(socket, answers + length, sizeof answers - 1 - (size_t)length)) > 0)
        length += count;
    answers[length] = '\0';
    _exit(strstr(answers, "+OK 1 6") != NULL ? 0 : 3);
}

/* Before the login a session has a minute, however little it is idle; after it, all of its idle time. */
static void
test_login_deadline(void)
{
    struct settings settings = {.idle_seconds = 600, .passfile = "x", .name = "me", .password = "secret"};
    struct store store = settled_store(1);

    for (enum slow kind = SILENT; kind <= LOGGED_IN; kind++) {
        int pair[2], status = -1, back = redirect_log(-1);
        pid_t client;

        CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
        fflush(stdout);
        client = fork();
        if (client == 0) {
            close(pair[1]);
            slow_client(pair[0], kind);
        }
        close(pair[0]);
        clock_gettime(CLOCK_MONOTONIC, &clock_from);
        clock_speed = 100;
        CHECK(run_session(&settings, &store, pair[1]) == 0);
        clock_speed = 1;
        close(pair[1]);
        CHECK(waitpid(client, &status, 0) == client);
        CHECK((status == 0) == (kind == LOGGED_IN));
        CHECK((strstr(logged(), "idle") != NULL) == (kind != LOGGED_IN));
        redirect_log(back);
    }
    free_store(&store);
}

/* ---- 7. Connections ---------------------------------------------------------------------------------- */

/* Takes a place for a session from an address. Returns whether there was one. */
static bool
place_taken(struct server *server, const char *address)
{
    union address peer;
    const char *reason = NULL;
    struct child *place;

    CHECK(address_read(&peer, address, 0) > 0);
    place = find_place(server, &peer, &reason);
    if (place == NULL) {
        CHECK(reason != NULL);
        return false;
    }
    place->pid = 1;
    server->live++;
    return true;
}

/* One address beyond loopback holds a quarter of the sessions at most; this machine as many as there are. */
static void
test_places(void)
{
    struct settings settings = {.sessions = 16};
    struct child children[16] = {{0}};
    struct server server = {.settings = &settings, .children = children};

    for (int i = 0; i < 5; i++) {
        CHECK(place_taken(&server, "192.0.2.1") == (i < 4));
        CHECK(place_taken(&server, "2001:db8::1") == (i < 4));
    }
    CHECK(place_taken(&server, "192.0.2.2"));
    CHECK(place_taken(&server, "2001:db8::2"));
    for (int i = 0; i < 6; i++)
        CHECK(place_taken(&server, i % 2 == 0 ? "127.0.0.1" : "::1"));
    CHECK(server.live == 16);
    CHECK(!place_taken(&server, "127.0.0.1"));
    CHECK(!place_taken(&server, "192.0.2.3"));

    settings.sessions = 2;      /* the least that an address gets is one */
    memset(children, 0, sizeof children);
    server.live = 0;
    CHECK(place_taken(&server, "192.0.2.1"));
    CHECK(!place_taken(&server, "192.0.2.1"));
    CHECK(place_taken(&server, "192.0.2.2"));
}

static void
test_loopback(void)
{
    static const struct { const char *address; bool loopback; } cases[] = {
        {"127.0.0.1", true}, {"127.255.255.255", true}, {"126.255.255.255", false}, {"128.0.0.0", false},
        {"0.0.0.0", false}, {"::1", true}, {"::", false}, {"::2", false}, {"fe80::1", false}
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        union address address;

        CHECK(address_read(&address, cases[i].address, 0) > 0);
        CHECK(is_loopback(&address) == cases[i].loopback);
    }
}

/* Addresses in digits, as they are read and as they are written. */
static void
test_addresses(void)
{
    static const struct { const char *text, *peer; } cases[] = {
        {"127.0.0.1", "127.0.0.1:5000"}, {"0.0.0.0", "0.0.0.0:5000"}, {"255.255.255.255", "255.255.255.255:5000"},
        {"::", "[::]:5000"}, {"::1", "[::1]:5000"}, {"2001:DB8:0:0::1", "[2001:db8::1]:5000"},
        {"fe80::1%4294967295", "[fe80::1%4294967295]:5000"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255%4294967295",
         "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:5000"}
    };
    static const char *const none[] = {
        "", "localhost", "127.0.0", "127.0.0.1.1", "256.0.0.1", "127.0.0.1 ", "127.0.0.1%1", "::1::", "::g", "[::1]", "::1%",
        "::1%no-such-zone", "::1%4294967296", "%1", "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000"
    };
    union address address;
    char text[sizeof ((struct child *)0)->peer], zone[IF_NAMESIZE], host[HOST_TEXT];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK(address_read(&address, cases[i].text, 5000) > 0);
        peer_text(text, sizeof text, &address);
        CHECK(strcmp(text, cases[i].peer) == 0);
    }
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        CHECK(address_read(&address, none[i], 0) == 0);
    if (if_indextoname(1, zone) != NULL) {      /* a zone may be named, and is told by its number */
        snprintf(text, sizeof text, "fe80::1%%%s", zone);
        CHECK(address_read(&address, text, 0) == sizeof address.v6 && address.v6.sin6_scope_id == 1);
        CHECK(address_text(&address, host) == 0 && strcmp(host, "fe80::1%1") == 0);
    }
    address.any.sa_family = AF_UNIX;
    peer_text(text, sizeof text, &address);
    CHECK(strcmp(text, "standard input") == 0);
}

/* Who can connect is said as it is. The socket is bound to every address, but does not listen. */
static void
test_open_to_all(void)
{
    struct settings settings = {.sessions = 1};
    struct sockaddr_in any = {.sin_family = AF_INET};
    struct listener l = {.sockets = {socket(AF_INET, SOCK_STREAM, 0)}, .count = 1};
    int out = dup(STDOUT_FILENO), null = open("/dev/null", O_WRONLY), back;

    CHECK(bind(l.sockets[0], (struct sockaddr *)&any, sizeof any) == 0);
    fflush(stdout);
    dup2(null, STDOUT_FILENO);
    back = redirect_log(-1);
    tell_listening(&l, &settings);
    CHECK(strstr(logged(), "warning") != NULL && strstr(logged(), "only this machine") == NULL);
    settings.passfile = "x";
    redirect_log(redirect_log(-1));
    tell_listening(&l, &settings);
    redirect_log(back);
    dup2(out, STDOUT_FILENO);
    CHECK(strstr(logged(), "only this machine") == NULL);
    close(out);
    close(null);
    close(l.sockets[0]);
}

/* ---- All of them ------------------------------------------------------------------------------------- */

#ifdef F_SETLEASE
/* When a file that could not be read is gone, the store is watched again as it was before. */
static void
test_unreadable_gone(void)
{
    struct store store = settled_store(3);
    int back = redirect_log(-1), lease = open("store/2", O_RDWR);

    signal(SIGIO, SIG_IGN);
    if (store.watch >= 0 && lease >= 0 && fcntl(lease, F_SETLEASE, F_WRLCK) == 0) {
        store_close(&store);
        store.refreshed = INT64_MIN;
        CHECK(store_refresh(&store, false) && store.unreadable && store.index.count == 2);
        CHECK(unlink("store/2") == 0);
        CHECK(store_refresh(&store, false) && !store.unreadable && store.index.count == 2);
    }
    close(lease);
    redirect_log(back);
    free_store(&store);
}
#endif

/* A session that takes its time to end, as one in QUIT does, is waited for, whenever the signal to stop came. */
static void
test_stop_waits(void)
{
    int status = -1;
    pid_t pid;

    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        struct settings settings = {.sessions = 1};
        struct store store = new_store();
        struct child child = {.pid = 0};
        struct server server = {.settings = &settings, .store = &store, .children = &child, .live = 1};

        redirect_log(-1);
        catch_signals(&server.mask, false);
        child.pid = fork();
        if (child.pid == 0) {
            const struct timespec while_removing = {.tv_sec = 0, .tv_nsec = 200 * 1000 * 1000};

            while (!stop_waits())
                continue;
            nanosleep(&while_removing, NULL);
            _exit(0);
        }
        raise(SIGTERM);         /* as if it came while a connection was accepted */
        serve_connections(&server);
        _exit(server.live == 0 ? 0 : 1);
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void
run_cases(void)
{
    unit_case("what is said is made visible", test_say);
    unit_case("the hash is the published one", test_hash_published);
    unit_case("the hash of a text in pieces", test_hash_pieces);
    unit_case("the order of names is an order", test_name_order);
    unit_case("numbers in names are numbers", test_name_examples);
    unit_case("a list of names, each once", test_names_sorted);
    unit_case("a size is what is sent", test_measure);
    unit_case("a size is what is sent, for every short text", test_measure_all);
    unit_case("a size is what is sent, over blocks", test_measure_blocks);
    unit_case("a unique-id tells content and name", test_unique_id);
    unit_case("the index follows what it is told", test_index_told);
    unit_case("the index follows what it must find out", test_index_not_told);
    unit_case("what did not change is not read again", test_index_reads_no_more);
    unit_case("a session cannot write to the index", test_index_protected);
    unit_case("a session's index stays", test_index_snapshot);
    unit_case("a change that the times do not show", test_unsettled);
    unit_case("a change that was told and the times do not show", test_told);
    unit_case("a change that nobody told and the times do not show", test_unsettled_not_told);
    unit_case("times are believed after a while", test_settles);
    unit_case("numbers", test_put_number);
    unit_case("what printf would write", test_put_format);
    unit_case("a status line has an end", test_long_answers);
    unit_case("TOP in pieces", test_top);
    unit_case("each command has a handler of its own", test_handlers);
    unit_case("secrets are compared", test_same_secret);
    unit_case("twins have different unique-ids", test_twins);
    unit_case("every command is answered", test_answers);
#ifdef F_SETLEASE
    unit_case("a file that could not be read is gone", test_unreadable_gone);
#endif
    unit_case("who stops waits for its sessions", test_stop_waits);
    unit_case("a message that is begun ahead", test_ahead);
    unit_case("a pipe in a message's place", test_pipe_in_place);
    unit_case("QUIT has removals written to disk", test_quit_syncs);
    unit_case("QUIT is answered when the disk is slow", test_quit_slow);
    unit_case("a login has its time", test_login_deadline);
    unit_case("a place for a session", test_places);
    unit_case("addresses in digits", test_addresses);
    unit_case("what loopback is", test_loopback);
    unit_case("a server that is open to all says so", test_open_to_all);
}

int
main(void)
{
    const char *temporary = getenv("TMPDIR");
    char directory[1024];

    snprintf(directory, sizeof directory, "%s/unit_server.XXXXXX", temporary != NULL ? temporary : "/tmp");
    if (mkdtemp(directory) == NULL || chdir(directory) != 0) {
        perror(directory);
        return 1;
    }
    signal(SIGPIPE, SIG_IGN);
    run_cases();
    if (chdir("/") == 0)
        nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return unit_status;
}
