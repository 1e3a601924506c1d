/*
 * confined_server.c - a session that turns evil: what it tries does not succeed
 *
 * The program is the server itself, but for one thing: a line "NOOP deed" has the session try that deed,
 * from inside, at the place where a stranger's octets would have taken it over. It answers +OK when it
 * could, -ERR when not. Then each wall is tried alone.
 */
#include "../../pop3.h"

static struct pop3_request evil_parse(char *line);
int known_entropy(void *buffer, size_t length);

int server_main(int, char **);
#define main server_main
#define pop3_parse evil_parse
#define getentropy known_entropy
#include "../../server.c"
#undef main
#undef pop3_parse
#undef getentropy

#include "../unit/unit.h"

#include <arpa/inet.h>
#include <ftw.h>
#include <sys/resource.h>
#include <sys/un.h>

/* ---- The deeds: each returns whether it could be done ------------------------------------------------ */

static char outside[512], outside_directory[512];      /* a file that is not in the store, and its directory */

static bool
deed_read(void)
{
    return open(outside, O_RDONLY) >= 0;
}

static bool
deed_list(void)
{
    return open(outside_directory, O_RDONLY | O_DIRECTORY) >= 0;
}

static bool
deed_remove(void)
{
    return unlink(outside) == 0;
}

static bool
deed_write(void)
{
    return open("store/1", O_WRONLY) >= 0;
}

static bool
deed_create(void)
{
    return open("store/new", O_WRONLY | O_CREAT, 0600) >= 0;
}

static bool
deed_create_to_read(void)
{
    return open("store/new", O_RDONLY | O_CREAT, 0600) >= 0;
}

static bool
deed_truncate(void)
{
    return truncate("store/1", 0) == 0;
}

static bool
deed_rename(void)
{
    return rename("store/1", "store/9") == 0;
}

static bool
deed_link(void)
{
    return link("store/1", "store/9") == 0;
}

static bool
deed_symlink(void)
{
    return symlink("1", "store/9") == 0;
}

static bool
deed_mkdir(void)
{
    return mkdir("store/9", 0700) == 0;
}

static bool
deed_chmod(void)
{
    return chmod("store/1", 0666) == 0;
}

static bool
deed_execute(void)
{
    execl("/bin/sh", "sh", "-c", "exit 0", (char *)NULL);
    return false;
}

static bool
deed_fork(void)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(0);
    return pid > 0;
}

static pid_t victim;            /* 0: who started the session */

static bool
deed_kill(void)
{
    return kill(victim != 0 ? victim : getppid(), SIGTERM) == 0;
}

static bool
deed_own_signal(void)
{
    return fcntl(STDERR_FILENO, F_SETOWN, getppid()) == 0;
}

/* To write to memory that is shared with the parent and all sessions, or to empty it. (Other libcs' malloc() needs that.) */
static bool
deed_shared(void)
{
    void *memory = shared_memory(4096);

    return memory != NULL && mprotect(memory, 4096, PROT_READ) == 0 &&
           mprotect(memory, 4096, PROT_READ | PROT_WRITE) == 0;
}

static bool
deed_empty_shared(void)
{
    void *memory = shared_memory(4096);

    return memory != NULL && mprotect(memory, 4096, PROT_READ) == 0 && madvise(memory, 4096, MADV_REMOVE) == 0;
}

/* To use what the server was started with. Where deeds are done alone, it is there. */
static bool
deed_standard(void)
{
    struct stat null, file;

    if (stat("/dev/null", &null) != 0)
        return false;
    for (int fd = STDIN_FILENO; fd <= STDOUT_FILENO; fd++)
        if (fstat(fd, &file) == 0 && file.st_rdev != null.st_rdev)
            return true;
    return write(STDOUT_FILENO, "", 0) == 0;
}

/* To have the log written over in place of appended to. */
static bool
deed_flags(void)
{
    return fcntl(STDERR_FILENO, F_SETFL, 0) == 0;
}

/* To write over what was logged already. Where deeds are done alone, standard error is somebody else's. */
static bool
deed_log(void)
{
    return lseek(STDERR_FILENO, 0, SEEK_SET) == 0 && write(STDERR_FILENO, "\n", 1) == 1 &&
           lseek(STDERR_FILENO, 0, SEEK_CUR) == 1;
}

static bool
deed_connect(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    return fd >= 0 && (connect(fd, (struct sockaddr *)&to, sizeof to) == 0 || errno == ECONNREFUSED);
}

static bool
deed_bind(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    return fd >= 0 && bind(fd, (struct sockaddr *)&to, sizeof to) == 0;
}

static bool
deed_send(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    return fd >= 0 && sendto(fd, "mail", 4, 0, (struct sockaddr *)&to, sizeof to) == 4;
}

static struct sockaddr_un local = {.sun_family = AF_UNIX};     /* a socket that another listens on */

static bool
deed_connect_local(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    return fd >= 0 && connect(fd, (struct sockaddr *)&local, sizeof local) == 0;
}

static bool
deed_runnable(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}

static bool
deed_memory(void)
{
    return mmap(NULL, 256 * 1024 * 1024, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}

/* The parent's word is not random here, but it is nowhere in the program as a whole. */
static const volatile uint32_t word_halves[] = {0x7a3d0000, 0x5b1f};
static char *stack_end;

int
known_entropy(void *buffer, size_t length)
{
    const uint32_t word = word_halves[0] | word_halves[1];

    if (length != sizeof word)
        return -1;
    memcpy(buffer, &word, sizeof word);
    return 0;
}

/* Looks for the word in all of the stack that the parent left. */
static bool
deed_word(void)
{
    uint32_t found;

    for (char *at = (char *)&found + 64; at < stack_end; at += sizeof found) {
        memcpy(&found, at, sizeof found);
        if ((found ^ word_halves[0]) == word_halves[1])
            return true;
    }
    return false;
}

static bool
deed_root(void)
{
    return setuid(0) == 0;
}

enum { CALLS = 1, FILES = 2, LIMITS = 4 };

static const struct deed {
    const char *name;
    bool (*attempt)(void);
    int walls;                  /* those that keep it off, each alone */
    int since;                  /* the version of Landlock that does */
} deeds[] = {
    {"read", deed_read, FILES, 1},                  {"list", deed_list, FILES, 1},
    {"remove", deed_remove, FILES, 1},              {"write", deed_write, CALLS | FILES, 1},
    {"create", deed_create, CALLS | FILES, 1},      {"create-to-read", deed_create_to_read, CALLS | FILES, 1},
    {"truncate", deed_truncate, CALLS, 0},           {"rename", deed_rename, CALLS | FILES, 1},
    {"link", deed_link, CALLS | FILES, 1},          {"symlink", deed_symlink, CALLS | FILES, 1},
    {"mkdir", deed_mkdir, CALLS | FILES, 1},        {"chmod", deed_chmod, CALLS, 0},
    {"execute", deed_execute, CALLS | FILES, 1},    {"fork", deed_fork, CALLS, 0},
    {"kill", deed_kill, CALLS | FILES, 6},          {"own-signal", deed_own_signal, CALLS, 0},
    {"connect", deed_connect, CALLS | FILES, 4},    {"bind", deed_bind, CALLS | FILES, 4},
    {"send", deed_send, CALLS | FILES, 10},         {"connect-local", deed_connect_local, CALLS | FILES, 9},
    {"runnable", deed_runnable, CALLS, 0},          {"memory", deed_memory, LIMITS, 0},
#ifdef __GLIBC__
    {"shared", deed_shared, CALLS, 0},
#endif
    {"empty-shared", deed_empty_shared, CALLS, 0},   {"standard", deed_standard, 0, 0},
    {"flags", deed_flags, CALLS, 0},                {"log", deed_log, 0, 0},
    {"root", deed_root, CALLS, 0},                  {"word", deed_word, CALLS, 0},
};

enum { DEEDS = sizeof deeds / sizeof *deeds };

static int walls_here = FILES;  /* those that this system has */

/* Says whether one of these walls keeps a deed off on this system. */
static bool
kept_off(const struct deed *deed, int walls)
{
    walls &= walls_here;
    if (landlock_version() == 0 || landlock_version() < deed->since)
        walls &= ~FILES;
    return (deed->walls & walls) != 0;
}

/* The server's parser, but for the deeds. */
static struct pop3_request
evil_parse(char *line)
{
    for (int i = 0; i < DEEDS; i++) {
        if (strncmp(line, "NOOP ", 5) == 0 && strcmp(line + 5, deeds[i].name) == 0) {
            if (deeds[i].attempt())
                line[4] = '\0';     /* NOOP: +OK; with the argument: -ERR */
            break;
        }
    }
    return pop3_parse(line);
}

/* ---- A place to work in ------------------------------------------------------------------------------ */

static void
put_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    if (CHECK(file != NULL)) {
        CHECK(fputs(text, file) >= 0);
        CHECK(fclose(file) == 0);
    }
}

/* Says whether everything is as make_place left it. */
static bool
place_untouched(void)
{
    static const char *const names[] = {".", "..", "1", "2"};
    struct stat status;
    struct dirent **found;
    int count = scandir("store", &found, NULL, alphasort);
    bool same = count == 4;

    for (int i = 0; i < count; i++) {
        same = same && strcmp(found[i]->d_name, names[i]) == 0;
        free(found[i]);
    }
    free(found);
    return same && stat("store/1", &status) == 0 && status.st_size == 4 && (status.st_mode & 0777) == 0644 &&
           stat(outside, &status) == 0 && status.st_size == 7;
}

static void
make_place(void)
{
    char here[400];
    int listening = socket(AF_UNIX, SOCK_STREAM, 0);

    umask(022);
    CHECK(mkdir("store", 0755) == 0);
    put_file("store/1", "one\n");
    put_file("store/2", "two\n");
    CHECK(mkdir("elsewhere", 0755) == 0);
    put_file("elsewhere/file", "secret\n");
    if (CHECK(getcwd(here, sizeof here) != NULL)) {
        snprintf(outside_directory, sizeof outside_directory, "%s/elsewhere", here);
        snprintf(outside, sizeof outside, "%s/elsewhere/file", here);
    }
    snprintf(local.sun_path, sizeof local.sun_path, "elsewhere/socket");
    CHECK(bind(listening, (struct sockaddr *)&local, sizeof local) == 0 && listen(listening, 9) == 0);
}

static int
remove_each(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status;
    (void)kind;
    (void)walk;
    return remove(path);
}

/* ---- The server, as a process ------------------------------------------------------------------------ */

struct served {
    pid_t pid;
    int output;
    char port[16];
};

/* Starts the server on the store. Its log goes to the file "log". */
static struct served
start(void)
{
    struct served s = {.output = -1};
    char line[256] = "", *digits;
    int out[2];
    size_t length = 0;

    fflush(stdout);
    if (!CHECK(pipe(out) == 0))
        return s;
    s.pid = fork();
    if (s.pid == 0) {
        char *argv[] = {"server", "-a", "127.0.0.1", "-d", "store", "0", NULL};
        const gid_t groups[] = {0, 1};
        int log = open("log", O_WRONLY | O_CREAT | O_TRUNC, 0600);

        if (geteuid() == 0 && setgroups(2, groups) != 0)
            _exit(1);
        dup2(out[1], STDOUT_FILENO);
        dup2(log, STDERR_FILENO);
        close(out[0]);
        close(out[1]);
        close(log);
        exit(server_main(6, argv));
    }
    close(out[1]);
    while (length < sizeof line - 1 && read(out[0], line + length, 1) == 1 && line[length] != '\n')
        length++;
    s.output = out[0];
    digits = strstr(line, "port ");
    if (CHECK(digits != NULL))
        snprintf(s.port, sizeof s.port, "%d", atoi(digits + 5));
    return s;
}

/* Ends it. Returns whether it ended as it should. */
static bool
stop(struct served *s)
{
    int status = -1;

    kill(s->pid, SIGTERM);
    close(s->output);
    return waitpid(s->pid, &status, 0) == s->pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Holds a session: sends a text, and reads all that comes until the server closes. */
static void
talk(const struct served *s, const char *text, char *answer, size_t room)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    size_t length = 0;
    ssize_t count;

    to.sin_port = htons((uint16_t)atoi(s->port));
    if (CHECK(connect(fd, (struct sockaddr *)&to, sizeof to) == 0) &&
        CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text)))
        while (length < room - 1 && (count = read(fd, answer + length, room - 1 - length)) > 0)
            length += (size_t)count;
    answer[length] = '\0';
    close(fd);
}

/* Reads the server's log. */
static void
read_log(char *text, size_t room)
{
    FILE *log = fopen("log", "r");

    text[0] = '\0';
    if (CHECK(log != NULL)) {
        text[fread(text, 1, room - 1, log)] = '\0';
        fclose(log);
    }
}

static void
test_session(void)
{
    struct served s = start();
    char text[64], answer[4096];

    for (int i = 0; i < DEEDS; i++) {
        if (!kept_off(&deeds[i], CALLS | FILES | LIMITS))
            continue;
        snprintf(text, sizeof text, "NOOP %s\r\nQUIT\r\n", deeds[i].name);
        put_file("store/1", "one\n");       /* so that the parent has just used its word, for the index */
        talk(&s, text, answer, sizeof answer);

        char *greeting_end = strchr(answer, '\n');
        if (!CHECK(greeting_end != NULL) || !CHECK(strncmp(greeting_end + 1, "+OK", 3) != 0) || !CHECK(place_untouched()))
            printf("deed: %s, answer: %s\n", deeds[i].name, answer);
        talk(&s, "STAT\r\nQUIT\r\n", answer, sizeof answer);
        CHECK(strstr(answer, "+OK 2 10\r\n") != NULL);
    }
    char log[65536];

    read_log(log, sizeof log);
    if (strstr(log, "nothing else (seccomp,") != NULL)
        CHECK(strstr(log, "killed by signal 31, for a call that no session makes") != NULL);
    CHECK(stop(&s));
}

/* What a session is there for still works: it reads and it removes. */
static void
test_work(void)
{
    struct served s = start();
    char answer[4096];

    talk(&s, "NOOP standard\r\nQUIT\r\n", answer, sizeof answer);
    CHECK(strstr(answer, "-ERR") != NULL);      /* it has no standard input and output of the server's */
    talk(&s, "NOOP log\r\nQUIT\r\n", answer, sizeof answer);
    CHECK(strstr(answer, "-ERR") != NULL);      /* and can only add to the log */
    talk(&s, "RETR 2\r\nTOP 1 0\r\nUIDL\r\nDELE 2\r\nQUIT\r\n", answer, sizeof answer);
    CHECK(strstr(answer, "two\r\n.\r\n") != NULL);
    CHECK(strstr(answer, "1 message removed, 1 left") != NULL);
    CHECK(access("store/2", F_OK) != 0);
    put_file("store/2", "two\n");
    talk(&s, "STAT\r\nQUIT\r\n", answer, sizeof answer);
    CHECK(strstr(answer, "+OK 2 10\r\n") != NULL);
    CHECK(stop(&s));
}

/* Another directory takes the store's place: the next session may read there, and nowhere else. */
static void
test_replaced(void)
{
    struct served s = start();
    char answer[4096];

    talk(&s, "STAT\r\nQUIT\r\n", answer, sizeof answer);
    CHECK(rename("store", "old") == 0 && mkdir("store", 0755) == 0);
    put_file("store/3", "three\n");
    talk(&s, "RETR 1\r\nDELE 1\r\nQUIT\r\n", answer, sizeof answer);
    CHECK(strstr(answer, "three\r\n.\r\n") != NULL);
    CHECK(strstr(answer, "1 message removed, 0 left") != NULL);
    CHECK(rmdir("store") == 0 && rename("old", "store") == 0);
    talk(&s, "NOOP read\r\nQUIT\r\n", answer, sizeof answer);
    if (kept_off(&deeds[0], FILES))
        CHECK(strstr(answer, "-ERR") != NULL);
    CHECK(stop(&s));
}

/* ---- Each wall alone --------------------------------------------------------------------------------- */

/* How an attempt in a process of its own, behind one wall, went. */
static int
behind(const struct deed *deed, int wall)
{
    int status = -1;
    pid_t pid;

    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        struct store store = {
            .path = "store", .directory = open("store", O_RDONLY | O_DIRECTORY), .rules = -1,
            .landlock = landlock_version()
        };
        uint32_t word;
        bool built;

        if (wall == CALLS) {
            confine_calls(&word);
            built = word != 0;
            forget(&word);
        } else {
            built = confine_prepare(&store) && confine_session(&store);
        }
        if (!built)
            _exit(2);
        _exit(deed->attempt() ? 0 : 1);
    }
    waitpid(pid, &status, 0);
    return status;
}


/* Starts a process that only waits, for others to signal. */
static pid_t
spare_process(void)
{
    pid_t pid = fork();

    while (pid == 0)
        pause();
    return pid;
}

/* Ends it: it must be there still. */
static void
end_spare_process(void)
{
    int status;

    CHECK(waitpid(victim, &status, WNOHANG) == 0);
    kill(victim, SIGKILL);
    waitpid(victim, &status, 0);
    victim = 0;
}

static void
test_calls(void)
{
    victim = spare_process();
    for (int i = 0; i < DEEDS; i++) {
        if (!kept_off(&deeds[i], CALLS) || deeds[i].attempt == deed_word)
            continue;
        int status = behind(&deeds[i], CALLS);
        if (!CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS))
            printf("deed: %s, status %x\n", deeds[i].name, (unsigned)status);
    }
    end_spare_process();
    CHECK(place_untouched());
}

static void
test_files(void)
{
    victim = spare_process();
    for (int i = 0; i < DEEDS; i++) {
        if (!kept_off(&deeds[i], FILES | LIMITS))
            continue;
        int status = behind(&deeds[i], FILES);
        if (!CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 1))
            printf("deed: %s, status %x\n", deeds[i].name, (unsigned)status);
    }
    end_spare_process();
    CHECK(place_untouched());
}

/* Finds out which walls there are. An emulator, for one, has no filter of calls and heeds no limit of memory. */
static void
find_walls(void)
{
    const struct rlimit limit = {.rlim_cur = 64 * 1024 * 1024, .rlim_max = 64 * 1024 * 1024};
    int status = behind(&deeds[0], CALLS);      /* to read, which is no affair of this wall */
    pid_t pid;

    if (WIFEXITED(status) && WEXITSTATUS(status) != 2)
        walls_here |= CALLS;
#if defined HAS_LANDLOCK && !defined SANITIZED
    pid = fork();
    if (pid == 0)
        _exit(setrlimit(RLIMIT_AS, &limit) != 0 || deed_memory());
    if (waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        walls_here |= LIMITS;
#else
    (void)limit;
    (void)pid;
#endif
}

/* The word opens what is the parent's; without it, or with another, there is no process. */
static void
test_word(void)
{
    int status = -1;
    pid_t pid;

    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        uint32_t word;
        pid_t child;

        confine_calls(&word);
        if (word == 0)
            _exit(77);
        child = fork_with(&word);
        if (child == 0) {
            word ^= 2;
            fork_with(&word);
            _exit(0);
        }
        if (child < 0 || waitpid(child, &status, 0) != child || !WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
            _exit(1);
        child = fork_with(&word);
        if (child == 0)
            for (;;)
                ppoll(NULL, 0, NULL, NULL);
        end_with(&word, child);
        _exit(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM ? 0 : 1);
    }
    waitpid(pid, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* The parent names a peer on a link of its own, whose zone has a name that only other calls tell. */
static void
test_zone(void)
{
    int status = -1;
    pid_t pid;

    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        union address address;
        char text[INET6_ADDRSTRLEN + 32];
        uint32_t word;

        address_read(&address, "fe80::1%1", 9);
        confine_calls(&word);
        peer_text(text, sizeof text, &address);
        _exit(strcmp(text, "[fe80::1%1]:9") != 0);
    }
    waitpid(pid, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* A libc goes about its business behind the wall: asks whether a file is a terminal, names memory, tries new calls. */
static void
test_libc(void)
{
#ifdef HAS_SECCOMP
    int status = -1;
    pid_t pid;

    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        FILE *device = fopen("/dev/null", "w");
        uint32_t word;

        confine_calls(&word);
        if (device == NULL || fputs("listening\n", device) < 0 || fclose(device) != 0)
            _exit(1);
        ioctl(STDOUT_FILENO, TCGETS, outside);          /* before glibc 2.42 */
        ioctl(STDOUT_FILENO, 0x802c542aUL, outside);    /* TCGETS2: since */
        ioctl(STDOUT_FILENO, TIOCGWINSZ, outside);      /* musl */
        prctl(0x53564d41, 0L, &word, sizeof word, "heap");
        /* a call that did not exist when this was written, for which it has another way: statmount is younger too */
        _exit(syscall(4095L) != -1 || errno != ENOSYS || syscall(457L, 0L, 0L, 0L, 0L) != -1 || errno != ENOSYS);
    }
    waitpid(pid, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
#endif
}

/* ---- Whose process it is ----------------------------------------------------------------------------- */

static void
test_owner(void)
{
    struct served s;
    char answer[4096];

    CHECK(chown("store", 65534, 65534) == 0);
    CHECK(chown("store/1", 65534, 65534) == 0 && chmod("store/1", 0600) == 0);
    CHECK(chmod("store/2", 0640) == 0);     /* root's own: the owner of the store cannot read it */
    s = start();
    talk(&s, "NOOP root\r\nQUIT\r\n", answer, sizeof answer);
    CHECK(strstr(answer, "+OK POP3") != NULL && strstr(answer, "+OK still") == NULL);
    talk(&s, "STAT\r\nQUIT\r\n", answer, sizeof answer);
    CHECK(strstr(answer, "+OK 1 5\r\n") != NULL);
    talk(&s, "DELE 1\r\nQUIT\r\n", answer, sizeof answer);
    CHECK(strstr(answer, "1 message removed, 0 left") != NULL);
    CHECK(stop(&s));
    CHECK(access("store/1", F_OK) != 0 && access("store/2", F_OK) == 0);
    CHECK(chown("store", 0, 0) == 0);
}

int
main(void)
{
    char place[400];
    const char *temporary = getenv("TMPDIR");

    snprintf(place, sizeof place, "%s/confined.XXXXXX", temporary != NULL ? temporary : "/tmp");
    if (mkdtemp(place) == NULL || chdir(place) != 0 || chmod(place, 0755) != 0) {
        perror(place);
        return 1;
    }
    signal(SIGPIPE, SIG_IGN);
    stack_end = place + sizeof place;
    make_place();
    find_walls();

    unit_case("a session does what it is there for", test_work);
    unit_case("a session that turns evil", test_session);
    unit_case("a store that another replaced", test_replaced);
    unit_case("a peer on a link of its own", test_zone);
    if (landlock_version() > 0)
        unit_case("files: the wall alone", test_files);
    else
        puts("skip - files: no Landlock here");
    if ((walls_here & CALLS) != 0) {
        unit_case("calls: the wall alone", test_calls);
        unit_case("calls: the parent's word", test_word);
        unit_case("calls: what a libc asks", test_libc);
    } else {
        puts("skip - calls: no seccomp here, or a sanitizer");
    }
    if (geteuid() == 0)
        unit_case("the owner of the store, not root", test_owner);
    else
        puts("skip - the owner of the store: not root");

    if (chdir("/") == 0)
        nftw(place, remove_each, 16, FTW_DEPTH | FTW_PHYS);
    return unit_status;
}
