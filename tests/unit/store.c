/*
 * store.c - the server's store: unique-ids, the order of names, measuring, the index and what it
 * notices
 */
#include "server.h"

#include <sys/un.h>

/* ---- The hash -------------------------------------------------------------------------------- */

/* SipHash-c-d-128 once more, from its description, with all of the text at hand. */

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
simple_hash(int c, int d, const uint64_t key[2], const unsigned char *text, size_t length,
            unsigned char hash[16])
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d ^ 0xee,
                     key[0] ^ 0x6c7967656e657261, key[1] ^ 0x7465646279746573};

    for (size_t at = 0; at <= length; at += 8) {
        uint64_t word = at + 8 > length ? (uint64_t)length << 56 : 0;

        for (size_t i = at; i < at + 8 && i < length; i++)
            word |= (uint64_t)text[i] << (i - at) * 8;
        v[3] ^= word;
        simple_rounds(v, c);
        v[0] ^= word;
    }
    v[2] ^= 0xee;
    for (int half = 0; half < 2; half++) {
        simple_rounds(v, d);
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
        {0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02,
         0x93},
        {0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44, 0x34, 0x76, 0x59, 0x11, 0x9b, 0x22, 0xfc,
         0x45},
    };

    for (size_t length = 0; length < 2; length++) {
        unsigned char simple[16];

        simple_hash(2, 4, published_key, (const unsigned char *)"", length, simple);
        CHECK(memcmp(simple, published[length], sizeof simple) == 0);
    }
}

/* The server's is SipHash-1-3-128 with its own key, for every length up to some words. */
static void
test_hash_lengths(void)
{
    static const uint64_t key[2] = {0x706f70332d756964, 0x6d61696c64726f70};
    unsigned char text[200], simple[16], id[16];

    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (unsigned char)dice(256);
    for (size_t length = 0; length <= sizeof text; length++) {
        struct hash hash = hash_start;

        simple_hash(1, 3, key, text, length, simple);
        hash_add(&hash, text, length);
        hash_end(&hash, id);
        CHECK(memcmp(id, simple, sizeof id) == 0);
    }
}

/* ---- Names and their order ------------------------------------------------------------------- */

static const char *const nasty_names[] = {"0",
                                          "00",
                                          "000",
                                          "1",
                                          "01",
                                          "001",
                                          "1a",
                                          "01a",
                                          "1a1",
                                          "01a01",
                                          "1a01",
                                          "01a1",
                                          "1.",
                                          "1.eml",
                                          "2.eml",
                                          "10.eml",
                                          "010.eml",
                                          "9",
                                          "09",
                                          "10",
                                          "99999999999999999999",
                                          "099999999999999999999",
                                          "100000000000000000000",
                                          "18446744073709551616",
                                          "a",
                                          "A",
                                          "a0",
                                          "a00",
                                          "a0b",
                                          "a00b",
                                          "a-1",
                                          "a-01",
                                          "a+1",
                                          "a1",
                                          "a2",
                                          "a10",
                                          "a1b2",
                                          "a01b1",
                                          "a1b02",
                                          "\x80",
                                          "\xff",
                                          "\xc3\xa4",
                                          " ",
                                          " 1",
                                          "1 ",
                                          "-",
                                          "0-",
                                          "0a",
                                          "00a",
                                          "1-2-3",
                                          "1-02-3",
                                          "1-2-03",
                                          "1.eml:2,",
                                          "1.eml:2,S",
                                          "z",
                                          "/",
                                          ":",
                                          "1:",
                                          "1/",
                                          "a/",
                                          "a:",
                                          "09a",
                                          "9a",
                                          "9b",
                                          "09b"};

enum { NASTY_NAMES = sizeof nasty_names / sizeof *nasty_names };

static void
test_name_examples(void)
{
    /* Names in their order. Flags and folders decide last. */
    static const char *const order[] = {"0",
                                        "01",
                                        "1",
                                        "1.eml",
                                        "2.eml",
                                        "09",
                                        "10",
                                        "010.eml",
                                        "99999999999999999999",
                                        "100000000000000000000",
                                        "A",
                                        "a",
                                        "a1",
                                        "a1b1",
                                        "a1b2",
                                        "a2",
                                        "a10",
                                        "b",
                                        "new/c",
                                        "cur/c:2,",
                                        "new/c:2,",
                                        "cur/c:2,S",
                                        "c1:2,",
                                        "c2",
                                        "c:2",
                                        "\xc3\xa4"};

    for (size_t i = 1; i < sizeof order / sizeof *order; i++)
        if (!CHECK(name_compare(order[i - 1], order[i]) < 0))
            printf("%s, %s\n", order[i - 1], order[i]);
}

/* ---- Measuring ------------------------------------------------------------------------------- */

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
    static const struct store none = {.path = "store"};

    m->name = name;
    return get_file_state(&m->state, file) && message_measure(&none, m, file);
}

static bool
measured(const unsigned char *text, size_t length)
{
    struct message m = {0};
    int file;
    bool good;

    clock_ahead = 10;           /* the file is older than a clock tick */
    write_file("text", text, length);
    file = open("text", O_RDONLY);
    good = measure(&m, "text", file) && m.octets == sent_octets(text, length);
    close(file);
    return good;
}

static void
test_measure(void)
{
    static const char *const texts[] = {"",
                                        "\n",
                                        "\r",
                                        "\r\n",
                                        "\n\r",
                                        "\r\r\n",
                                        "\n\n",
                                        ".",
                                        ".\n",
                                        "..\n",
                                        ".\r\n",
                                        ".\r",
                                        "a",
                                        "a\n",
                                        "a\r\n",
                                        "a\r",
                                        "a\n.b\r\n..c\n\n.\n",
                                        "a\rb\nc\r\r\n\r",
                                        "\n.",
                                        "\r.",
                                        "\r\n.",
                                        "a\n\r\n\r"};

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
    static const char *const border[] = {"\r\n", "x\n",  "\n.", "\r.", "\n\n",
                                         "\r\r", "\n\r", "..",  "x\r"};
    static unsigned char text[2 * BLOCK + 2];

    for (size_t i = 0; i < sizeof border / sizeof *border; i++) {
        for (size_t length = BLOCK - 1; length <= BLOCK + 2; length++) {
            memset(text, 'x', sizeof text);
            memcpy(text + BLOCK - 1, border[i], 2);
            text[BLOCK - 2] = (unsigned char)(i % 2 == 0 ? 'x' : '\n');
            CHECK(measured(text, length));
        }
        memcpy(text + 2 * BLOCK - 1, border[i], 2);
        CHECK(measured(text, 2 * BLOCK));
        CHECK(measured(text, sizeof text));
    }
}

/* A system that returns less than it was asked for changes neither size nor unique-id. */
static void
test_measure_short_reads(void)
{
    static unsigned char text[3 * BLOCK];
    struct message whole = {0}, pieces = {0};
    int file;

    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (unsigned char)"a\r\n.\n"[dice(5)];
    clock_ahead = 10;
    write_file("text", text, sizeof text);
    file = open("text", O_RDONLY);
    CHECK(measure(&whole, "text", file));
    for (read_limit = 1000; read_limit < 200000; read_limit = read_limit * 3 + 7) {
        CHECK(measure(&pieces, "text", file));
        CHECK(whole.octets == pieces.octets && memcmp(whole.id, pieces.id, sizeof whole.id) == 0);
    }
    read_limit = 0;
    close(file);
}

/*
 * The unique-id tells content, name, and where one ends and the other begins, but not a Maildir's
 * flags.
 */
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

        clock_ahead = 10;
        write_text("text", cases[i].text);
        file = open("text", O_RDONLY);
        CHECK(measure(&m, cases[i].name, file));
        close(file);
        if (i == 0)
            first = m;
        CHECK((memcmp(m.id, first.id, sizeof m.id) == 0) == cases[i].same);
    }
    CHECK(!measure(&first, "1", -1));
    clock_ahead = 0;
}

/* ---- The index ------------------------------------------------------------------------------- */

/* Returns true if an index is as one that is made from nothing. */
static bool
like_new(const struct store *store)
{
    struct store fresh = new_store();
    const struct index *x = &store->index, *y = &fresh.index;
    bool same = store_refresh(&fresh) && x->count == y->count && x->octets == y->octets;
    uint64_t octets = 0;

    for (size_t i = 0; same && i < x->count; i++) {
        const struct message *a = &x->messages[i], *b = &y->messages[i];

        same = strcmp(name_at(store, i), name_at(&fresh, i)) == 0 && same_state(&a->state, &b->state) &&
               a->octets == b->octets && memcmp(a->id, b->id, sizeof a->id) == 0 &&
               a->duplicate == b->duplicate;
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
        if (no_watch && link(path, "outside") == 0)     /* inotify does not report it */
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

/* Hundreds of changes, some at a time: the index is always as if it had just been made. */
static void
follow_changes(int rounds)
{
    struct store store = new_store();
    int back = redirect_log(-1), wrong = 0;

    empty_store();
    clock_ahead = 10;
    for (int i = 0; i < rounds; i++) {
        for (unsigned changes = dice(8); changes > 0; changes--)
            change_store();
        wrong += !store_refresh(&store) || !like_new(&store);
    }
    redirect_log(back);
    CHECK(wrong == 0);
    CHECK(store.index.count > 5);
    free_store(&store);
    clock_ahead = 0;
}

static void
test_index_reported(void)
{
    follow_changes(400);
}

static void
test_index_not_reported(void)
{
    bool before = no_watch;

    no_watch = true;
    follow_changes(250);
    no_watch = before;
}

/* A file that did not change is not read again, with inotify and without. */
static void
test_index_reads_no_more(void)
{
    for (int watch = 0; watch < 2; watch++) {
        const struct message *before_index;
        bool before = no_watch;
        struct store store;

        no_watch = no_watch || watch == 0;
        store = settled_store(9);
        CHECK(store.index.count == 9);
        before_index = store.index.messages;
        reads = 0;
        CHECK(store_refresh(&store) && reads == 0);
        CHECK(watch == 0 || no_watch || store.index.messages == before_index);
        write_text("store/7", "another text\n");
        write_text("store/10", "one more\n");
        CHECK(unlink("store/1") == 0);
        CHECK(store_refresh(&store));
        CHECK(reads > 0 && reads <= 4);
        CHECK(store.index.count == 9);
        CHECK(store.index.messages[5].octets == 14 && store.index.messages[8].octets == 10);
        free_store(&store);
        no_watch = before;
    }
    clock_ahead = 0;
}

/* What a session reports while the index is brought up to date is not forgotten. */
static void
test_index_stale_meanwhile(void)
{
    struct store store = settled_store(1);

    CHECK(link("store/1", "other") == 0 && store_refresh(&store) && store_refresh(&store));
    write_text("other", "a change that inotify does not report\n");
    stale_at_fstat = store.stale;
    CHECK(store_refresh(&store) && stale_at_fstat == NULL);
    CHECK(store_refresh(&store) && store.index.octets == 39);
    CHECK(unlink("other") == 0);
    free_store(&store);
    clock_ahead = 0;
}

/* A message that is renamed while the store is read is still there, with inotify and without. */
static void
test_index_renamed_meanwhile(void)
{
    for (int watch = 0; watch < 2; watch++) {
        bool before = no_watch;
        struct store store;

        no_watch = no_watch || watch == 0;
        store = settled_store(3);
        clock_ahead = 0;
        *store.stale = true;
        rename_from = "store/2";
        rename_to = "store/2:2,S";
        CHECK(store_refresh(&store) && rename_from == NULL && store.index.count == 3);
        free_store(&store);
        no_watch = before;
    }
}

/* What a session got at its start stays as it was, while the parent makes a new index. */
static void
test_index_snapshot(void)
{
    struct store store = settled_store(5);
    int status = -1, go[2];
    pid_t child;

    CHECK(pipe(go) == 0);
    fflush(stdout);
    child = fork();
    if (child == 0) {
        bool good = read(go[0], &status, 1) == 1 && store.index.count == 5;

        for (size_t i = 0; i < 5; i++) {
            char name[8];

            snprintf(name, sizeof name, "%zu", i + 1);
            good = good && strcmp(name_at(&store, i), name) == 0 &&
                   store.index.messages[i].octets == 6;
        }
        _exit(good ? 0 : 1);
    }
    write_text("store/3", "changed\n");
    write_text("store/0", "new\n");
    CHECK(unlink("store/5") == 0);
    CHECK(store_refresh(&store) && store.index.count == 5);
    CHECK(write(go[1], "", 1) == 1 && waitpid(child, &status, 0) == child && status == 0);
    close(go[0]);
    close(go[1]);
    free_store(&store);
    clock_ahead = 0;
}

#ifdef SYS_memfd_create
/* Where the system has files without a name, the index is one that is mapped and cannot be written. */
static void
test_index_mapped(void)
{
    struct store store = settled_store(5);
    const int file = (int)syscall(SYS_memfd_create, "here", 0L);
    char line[400], wanted[40];
    bool found = false;
    FILE *maps = fopen("/proc/self/maps", "r");

    snprintf(wanted, sizeof wanted, "%jx-", (uintmax_t)(uintptr_t)store.index.messages);
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL)
        found = found || (strncmp(line, wanted, strlen(wanted)) == 0 &&
                          strstr(line, " r--p ") != NULL && strstr(line, "memfd:index") != NULL);
    CHECK(found || maps == NULL || file < 0);
    if (maps != NULL)
        fclose(maps);
    close(file);
    free_store(&store);
    clock_ahead = 0;
}
#endif

/* ---- Timestamps ------------------------------------------------------------------------------ */

/*
 * A file that is younger than a clock tick is not measured yet: no later change can leave its
 * times.
 */
static void
test_young_file(void)
{
    struct store store = new_store();
    struct file_state state = {0};
    struct timespec now;
    int file;

    empty_store();
    write_text("store/1", "text\n");
    CHECK(store_refresh(&store) && store.index.count == 1);
    clock_gettime(CLOCK_REALTIME, &now);
    CHECK(nanoseconds(now) - store.index.messages[0].state.changed >= (TICK_MS - 1) * INT64_C(1000000));
    CHECK(can_open(&store, 0));

    for (int i = 0; i < 3; i++) {
        int64_t least = INT64_MAX;

        for (int tries = 0; tries < 5; tries++) {
            struct timespec before, after;

            clock_ahead = 0;
            write_text("young", "text\n");
            file = open("young", O_RDONLY);
            clock_ahead = i == 1 ? 1 : i == 2 ? -3600 : 0;      /* a file from the future */
            clock_gettime(CLOCK_MONOTONIC, &before);
            CHECK(get_file_state(&state, file));
            wait_for_tick(state.changed);
            clock_gettime(CLOCK_MONOTONIC, &after);
            clock_gettime(CLOCK_REALTIME, &now);
            CHECK(i > 0 || nanoseconds(now) - state.changed >= (TICK_MS - 1) * INT64_C(1000000));
            if (nanoseconds_between(&before, &after) < least)
                least = nanoseconds_between(&before, &after);
            close(file);
        }
        CHECK(i == 0 || least < TICK_MS * 500000);      /* a busy machine is slow, but not always */
    }
    clock_ahead = 0;
    free_store(&store);
}

/*
 * Each difference that stat() shows is seen. A changed ctime alone, as chmod leaves, is no change
 * of content.
 */
static void
test_states(void)
{
    static const struct { const char *command; bool same; } cases[] = {
        {"true", true},
        {"chmod 600 store/1", true},
        {"ln store/1 other; rm other", true},
        {"mv store/1 store/.1; mv store/.1 store/1", true},
        {"touch -r store/2 old; printf 'texT\n' >store/1; touch -r old store/1", false},
        {"printf 'texT\n' >store/1", false},
        {"echo more >>store/1", false},
        {": >store/1", false},
        {"printf 'text\n' >.new; mv .new store/1", false},
        {"rm store/1; mkfifo store/1", false},
        {"rm store/1; mkdir store/1", false},
        {"rm store/1; ln -s 2 store/1", false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct store store = settled_store(2);
        int back = redirect_log(-1);

        CHECK(system("touch -t 202001010000 store/1 store/2") == 0 && store_refresh(&store));
        CHECK(can_open(&store, 0));
        CHECK(system(cases[i].command) == 0);
        unit_check(can_open(&store, 0) == cases[i].same, cases[i].command, __FILE__, __LINE__);
        redirect_log(back);
        free_store(&store);
    }
    clock_ahead = 0;
}

/*
 * What is no file in a message's place is no error but a change, whatever the system says of
 * opening it.
 */
static void
test_other_kinds(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "store/1"};

    for (int kind = 0; kind < 2; kind++) {
        struct store store = settled_store(2);
        int back = redirect_log(-1), file = -1;

        CHECK(unlink("store/1") == 0);
        if (kind == 0)
            CHECK(symlink("2", "store/1") == 0);
        else
            CHECK((file = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0 &&
                  bind(file, (struct sockaddr *)&address, sizeof address) == 0);
        errno = 0;
        CHECK(!can_open(&store, 0) && errno == ESTALE);
        CHECK(store_refresh(&store) && store.index.count == 1);
        if (file >= 0)
            close(file);
        redirect_log(back);
        free_store(&store);
    }
    clock_ahead = 0;
}

/* A file that changes while it is measured is no message yet. The next refresh looks again. */
static void
test_being_written(void)
{
    struct store store = settled_store(2);
    int back = redirect_log(-1);

    write_text("store/3", "text\n");
    clock_ahead = 10;
    write_at_read = "store/3";
    CHECK(store_refresh(&store) && store.index.count == 2 && *store.stale);
    CHECK(strstr(logged(), "being written") != NULL);
    write_at_read = NULL;
    CHECK(store_refresh(&store) && store.index.count == 3 && !*store.stale);
    redirect_log(back);
    free_store(&store);
    clock_ahead = 0;
}

/* ---- Damage ---------------------------------------------------------------------------------- */

#ifdef F_SETLEASE
/*
 * A file that could not be read makes the next refresh read everything, until it is readable or
 * gone.
 */
static void
test_unreadable(void)
{
    struct store store = settled_store(3);
    int back = redirect_log(-1), lease = open("store/2", O_RDWR);

    signal(SIGIO, SIG_IGN);
    if (lease >= 0 && fcntl(lease, F_SETLEASE, F_WRLCK) == 0) {
        store_close(&store);
        index_free(&store.index);
        CHECK(store_refresh(&store) && *store.stale && store.index.count == 2);
        CHECK(strstr(logged(), "2") != NULL);
        CHECK(store_refresh(&store) && *store.stale && store.index.count == 2);
        CHECK(fcntl(lease, F_SETLEASE, F_UNLCK) == 0);
        CHECK(store_refresh(&store) && !*store.stale && store.index.count == 3);
    }
    close(lease);
    redirect_log(back);
    free_store(&store);
    clock_ahead = 0;
}
#endif

/* Without memory the old index stays, whichever allocation fails, and the next refresh succeeds. */
static void
test_no_memory(void)
{
    struct store store = settled_store(2);
    int failures = 0;

    write_text("store/3", "one more\n");
    for (bool done = false; !done && failures < 100; failures += !done) {
        *store.stale = true;
        allocations = failures;
        errno = 0;
        done = store_refresh(&store);
        CHECK(done || (errno == ENOMEM && store.index.count == 2));
        CHECK(done || strcmp(name_at(&store, 1), "2") == 0);
    }
    CHECK(failures >= 5);       /* for a list, each name, the index */
    allocations = -1;
    CHECK(store.index.count == 3 && like_new(&store));

    write_text("store/4", "and another\n");     /* this one is reported */
    for (allocations = 0; allocations < 3; allocations++) {
        int before = allocations;

        write_text("store/2", "changed\n");
        store_refresh(&store);
        allocations = -1;
        CHECK(store_refresh(&store) && like_new(&store) && store.index.count == 4);
        allocations = before;
    }
    allocations = -1;
    free_store(&store);
    clock_ahead = 0;
}

static void
run_cases(void)
{
    unit_case("the simple hash gives the published values", test_hash_published);
    unit_case("the hash is SipHash-1-3 for a text of any length", test_hash_lengths);
    unit_case("names in their order", test_name_examples);
    unit_case("a size is what is sent", test_measure);
    unit_case("a size is what is sent, for every short text", test_measure_all);
    unit_case("a size is what is sent, over blocks", test_measure_blocks);
    unit_case("a size and a unique-id, read in pieces", test_measure_short_reads);
    unit_case("a unique-id tells content and name", test_unique_id);
    unit_case("the index follows reported changes", test_index_reported);
    unit_case("the index follows changes that are not reported", test_index_not_reported);
    unit_case("a file that did not change is not read again", test_index_reads_no_more);
    unit_case("a session finds the index out of date meanwhile", test_index_stale_meanwhile);
    unit_case("a message is renamed while the store is read", test_index_renamed_meanwhile);
    unit_case("a session's index stays", test_index_snapshot);
#ifdef SYS_memfd_create
    unit_case("an index is mapped", test_index_mapped);
#endif
    unit_case("a file younger than a clock tick", test_young_file);
    unit_case("which changes of a file are seen", test_states);
    unit_case("a link or a socket in a message's place", test_other_kinds);
    unit_case("a file that changes while it is measured", test_being_written);
    unit_case("no memory for names or an index", test_no_memory);
#ifdef F_SETLEASE
    unit_case("a file that cannot be read at the moment", test_unreadable);
#endif
}

int
main(void)
{
    return run_in_directory(run_cases);
}
