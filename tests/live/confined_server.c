/*
 * confined_server.c - a compromised session: what it attempts fails
 *
 * The program is the server itself, but for its parser: "NOOP write", for one, makes the session
 * attempt that, from inside, where a malformed command would have compromised it. It answers +OK
 * if it succeeded, else -ERR, or the kernel ends it. Then each layer of the confinement is tried
 * alone: system calls, files, limits.
 */
#include "../../pop3.h"

static struct pop3_request compromised_parse(char *line);

int server_main(int, char **);
#define main server_main
#define pop3_parse compromised_parse
#include "../../server.c"
#undef main
#undef pop3_parse

#include "../unit/unit.h"

#include <arpa/inet.h>
#include <ftw.h>
#include <sys/resource.h>
#include <sys/un.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif

/* ---- What is attempted: each returns true if it succeeded ------------------------------------ */

static char outside[512],
    outside_directory[512]; /* a file that is not in the store, and its directory */

static bool
try_read(void)
{
    return open(outside, O_RDONLY) >= 0;
}

static bool
try_list(void)
{
    return open(outside_directory, O_RDONLY | O_DIRECTORY) >= 0;
}

static bool
try_remove(void)
{
    return unlink(outside) == 0;
}

static bool
try_write(void)
{
    return open("store/1", O_WRONLY) >= 0;
}

static bool
try_create(void)
{
    return open("store/new", O_WRONLY | O_CREAT, 0600) >= 0;
}

static bool
try_create_to_read(void)
{
    return open("store/new", O_RDONLY | O_CREAT, 0600) >= 0;
}

static bool
try_truncate(void)
{
    return truncate("store/1", 0) == 0;
}

static bool
try_rename(void)
{
    return rename("store/1", "store/9") == 0;
}

static bool
try_link(void)
{
    return link("store/1", "store/9") == 0;
}

static bool
try_symlink(void)
{
    return symlink("1", "store/9") == 0;
}

static bool
try_mkdir(void)
{
    return mkdir("store/9", 0700) == 0;
}

static bool
try_chmod(void)
{
    return chmod("store/1", 0666) == 0;
}

static bool
try_execute(void)
{
    execl("/bin/sh", "sh", "-c", "exit 0", (char *)NULL);
    return false;
}

static pid_t victim;            /* 0: who started the session */

static bool
try_kill(void)
{
    return kill(victim != 0 ? victim : getppid(), SIGTERM) == 0;
}

static bool
try_kill_hard(void)
{
    return kill(victim != 0 ? victim : getppid(), SIGKILL) == 0;
}

static bool
try_own_signal(void)
{
    return fcntl(STDERR_FILENO, F_SETOWN, getppid()) == 0;
}

/* To use what the server was started with. */
static bool
try_standard(void)
{
    struct stat null, file;

    if (stat("/dev/null", &null) != 0)
        return false;
    for (int fd = STDIN_FILENO; fd <= STDOUT_FILENO; fd++)
        if (fstat(fd, &file) == 0 && file.st_rdev != null.st_rdev)
            return true;
    return write(STDOUT_FILENO, "", 0) == 0;
}

/* To let the log be written over instead of appended to. */
static bool
try_flags(void)
{
    return fcntl(STDERR_FILENO, F_SETFL, 0) == 0;
}

/* To write over what was logged already. */
static bool
try_log(void)
{
    return lseek(STDERR_FILENO, 0, SEEK_SET) == 0 && write(STDERR_FILENO, "\n", 1) == 1 &&
           lseek(STDERR_FILENO, 0, SEEK_CUR) == 1;
}

static bool
try_connect(void)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(9), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    return fd >= 0 &&
           (connect(fd, (struct sockaddr *)&to, sizeof to) == 0 || errno == ECONNREFUSED);
}

static bool
try_bind(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    return fd >= 0 && bind(fd, (struct sockaddr *)&to, sizeof to) == 0;
}

static bool
try_send(void)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(9), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    return fd >= 0 && sendto(fd, "mail", 4, 0, (struct sockaddr *)&to, sizeof to) == 4;
}

static struct sockaddr_un local = {.sun_family = AF_UNIX}; /* a socket that another listens on */

static bool
try_connect_local(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    return fd >= 0 && connect(fd, (struct sockaddr *)&local, sizeof local) == 0;
}

static bool
try_runnable(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
           MAP_FAILED;
}

static bool
try_make_runnable(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return page != MAP_FAILED && mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0;
}

static bool
try_rmdir(void)
{
    return unlinkat(AT_FDCWD, "elsewhere/empty", AT_REMOVEDIR) == 0;
}

/* To limit another process. */
static bool
try_limit(void)
{
#ifdef __linux__
    const struct rlimit none = {0, 0};

    return prlimit(victim != 0 ? victim : getppid(), RLIMIT_NOFILE, &none, NULL) == 0;
#else
    return false;
#endif
}

/* To be root in a user namespace of its own. */
static bool
try_new_user(void)
{
#if defined __linux__ && !defined POSIX_ONLY
    long pid = syscall(SYS_clone, 0x10000000L | SIGCHLD, 0L, 0L, 0L, 0L);      /* CLONE_NEWUSER */

    if (pid == 0)
        _exit(0);
    return pid > 0;
#else
    return false;
#endif
}

/* To read and write in the memory of another process. */
static bool
try_trace(void)
{
#if defined __linux__ && !defined POSIX_ONLY
    return syscall(SYS_ptrace, 16L, (long)(victim != 0 ? victim : getppid()), 0L, 0L) ==
           0; /* PTRACE_ATTACH */
#else
    return false;
#endif
}

static bool
try_memory(void)
{
    return mmap(NULL, 256 * 1024 * 1024, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                0) != MAP_FAILED;
}

static bool
try_root(void)
{
    return setuid(0) == 0;
}

enum { CALLS = 1, FILES = 2, LIMITS = 4 };

static const struct attempt {
    const char *name;
    bool (*run)(void);
    int layers;                 /* each of these prevents it, alone */
    int since;                  /* the version of Landlock that does */
} attempts[] = {
    {"read", try_read, FILES, 1},
    {"list", try_list, FILES, 1},
    {"remove", try_remove, FILES, 1},
    {"write", try_write, CALLS | FILES, 1},
    {"create", try_create, CALLS | FILES, 1},
    {"create-to-read", try_create_to_read, CALLS | FILES, 1},
    {"truncate", try_truncate, CALLS, 0},
    {"rename", try_rename, CALLS | FILES, 1},
    {"link", try_link, CALLS | FILES, 1},
    {"symlink", try_symlink, CALLS | FILES, 1},
    {"mkdir", try_mkdir, CALLS | FILES, 1},
    {"chmod", try_chmod, CALLS, 0},
    {"execute", try_execute, CALLS | FILES, 1},
    {"kill", try_kill, FILES, 6},
    {"kill-hard", try_kill_hard, CALLS | FILES, 6},
    {"own-signal", try_own_signal, CALLS, 0},
    {"rmdir", try_rmdir, CALLS | FILES, 1},
    {"limit", try_limit, CALLS, 0},
    {"new-user", try_new_user, CALLS, 0},
    {"connect", try_connect, CALLS | FILES, 4},
    {"bind", try_bind, CALLS | FILES, 4},
    {"send", try_send, CALLS | FILES, 10},
    {"connect-local", try_connect_local, CALLS | FILES, 9},
    {"runnable", try_runnable, CALLS, 0},
    {"make-runnable", try_make_runnable, CALLS, 0},
    {"trace", try_trace, CALLS, 0},
    {"memory", try_memory, LIMITS, 0},
    {"flags", try_flags, CALLS, 0},
    {"root", try_root, CALLS, 0},
    {"log", try_log, CALLS, 0},
    {"standard", try_standard, 0, 0}, /* a session has other descriptors than this program */
};

enum { ATTEMPTS = sizeof attempts / sizeof *attempts };

static int layers_here = FILES; /* those that this system has */

/* Returns the version of Landlock, 0 if there is none. */
static int
landlock_version(void)
{
#ifdef HAS_LANDLOCK
    const int version = (int)syscall(SYS_landlock_create_ruleset, NULL, 0L, 1L);

    return version > 0 ? version : 0;
#else
    return 0;
#endif
}

/* Returns true if one of these layers prevents an attempt on this system. */
static bool
is_prevented(const struct attempt *attempt, int layers)
{
    layers &= layers_here;
    if (landlock_version() == 0 || landlock_version() < attempt->since)
        layers &= ~FILES;
    return (attempt->layers & layers) != 0;
}

/* The server's parser, which also runs the attempts. */
static struct pop3_request
compromised_parse(char *line)
{
    for (int i = 0; i < ATTEMPTS; i++) {
        if (strncmp(line, "NOOP ", 5) == 0 && strcmp(line + 5, attempts[i].name) == 0) {
            if (attempts[i].run())
                line[4] = '\0';     /* NOOP: +OK; with the argument: -ERR */
            break;
        }
    }
    return pop3_parse(line);
}

/* ---- A place to work in ---------------------------------------------------------------------- */

static void
put_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    if (CHECK(file != NULL)) {
        CHECK(fputs(text, file) >= 0);
        CHECK(fclose(file) == 0);
    }
}

/* Returns true if everything is as make_place left it. */
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
    return same && stat("store/1", &status) == 0 && status.st_size == 4 &&
           (status.st_mode & 0777) == 0644 && stat(outside, &status) == 0 && status.st_size == 7;
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
    CHECK(mkdir("elsewhere/empty", 0755) == 0);
    if (CHECK(getcwd(here, sizeof here) != NULL)) {
        snprintf(outside_directory, sizeof outside_directory, "%s/elsewhere", here);
        snprintf(outside, sizeof outside, "%s/elsewhere/file", here);
    }
    snprintf(local.sun_path, sizeof local.sun_path, "elsewhere/socket");
    CHECK(bind(listening, (struct sockaddr *)&local, sizeof local) == 0 &&
          listen(listening, 9) == 0);
}

static int
remove_each(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status;
    (void)kind;
    (void)walk;
    return remove(path);
}

/* ---- The server, as a process ---------------------------------------------------------------- */

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

/* Stops it. Returns true if it ended with status 0. */
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

/* Returns true if the answer after the greeting is +OK. */
static bool
succeeded(const char *answer)
{
    const char *greeting_end = strchr(answer, '\n');

    return !CHECK(greeting_end != NULL) || strncmp(greeting_end + 1, "+OK", 3) == 0;
}

static void
test_session(void)
{
    struct served s = start();
    char text[64], answer[4096], log[65536];

    for (int i = 0; i < ATTEMPTS; i++) {
        if (!is_prevented(&attempts[i], CALLS | FILES | LIMITS) && attempts[i].layers != 0)
            continue;
        snprintf(text, sizeof text, "NOOP %s\r\nQUIT\r\n", attempts[i].name);
        talk(&s, text, answer, sizeof answer);
        if (!CHECK(!succeeded(answer)) || !CHECK(place_untouched()))
            printf("attempt: %s, answer: %s\n", attempts[i].name, answer);
        talk(&s, "STAT\r\nQUIT\r\n", answer, sizeof answer);
        CHECK(strstr(answer, "+OK 2 10\r\n") != NULL);
    }
    CHECK(stop(&s));
    read_log(log, sizeof log);
    if ((layers_here & CALLS) != 0)
        CHECK(strstr(log, "killed by signal 31: a forbidden system call") != NULL);
}

/* What a session is for still works: it reads and it removes. */
static void
test_work(void)
{
    struct served s = start();
    char answer[4096];

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
    if (is_prevented(&attempts[0], FILES))
        CHECK(!succeeded(answer));
    CHECK(stop(&s));
}

/* ---- Each layer alone ------------------------------------------------------------------------ */

/*
 * Runs an attempt in a process of its own, confined by one layer. Returns its status; exit status
 * 2: no layer.
 */
static int
confined(const struct attempt *attempt, int layer)
{
    int status = -1;
    pid_t pid;

    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        struct store store = {.path = "store",
                              .directory = open("store", O_RDONLY | O_DIRECTORY),
                              .inotify = -1,
                              .ruleset = -1};

        if (layer == CALLS)
            confine_calls();
        else if (!confine_prepare(&store) || !confine_session(&store))
            _exit(2);
        _exit(attempt->run() ? 0 : 1);
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

/* Puts everything back as it was. */
static void
restore_place(void)
{
    mkdir("elsewhere/empty", 0755);
    unlink("store/new");
    if (unlink("store/9") != 0)
        rmdir("store/9");
    put_file("store/1", "one\n");
    put_file(outside, "secret\n");
    CHECK(chmod("store/1", 0644) == 0);
}

/*
 * Without confinement each attempt succeeds, so it proves something that it fails behind a layer.
 */
static void
test_unconfined(void)
{
    for (int i = 0; i < ATTEMPTS; i++) {
        int status = -1;
        pid_t pid;

        if (attempts[i].layers == 0 || attempts[i].run == try_log ||
            attempts[i].run == try_trace || attempts[i].run == try_new_user)
            continue; /* this program's own errors; containers forbid to trace */
        victim = fork();
        while (victim == 0)
            pause();
        fflush(stdout);
        pid = fork();
        if (pid == 0)
            _exit(attempts[i].run() ? 0 : 1);
        if (!CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
                   WEXITSTATUS(status) == 0))
            printf("attempt: %s, status %x\n", attempts[i].name, (unsigned)status);
        kill(victim, SIGKILL);
        waitpid(victim, &status, 0);
        victim = 0;
        restore_place();
    }
    CHECK(place_untouched());
}

static void
test_calls(void)
{
    victim = spare_process();
    for (int i = 0; i < ATTEMPTS; i++) {
        if (!is_prevented(&attempts[i], CALLS))
            continue;
        int status = confined(&attempts[i], CALLS);
        if (!CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS))
            printf("attempt: %s, status %x\n", attempts[i].name, (unsigned)status);
    }
    end_spare_process();
    CHECK(place_untouched());
}

static void
test_files(void)
{
    victim = spare_process();
    for (int i = 0; i < ATTEMPTS; i++) {
        if (!is_prevented(&attempts[i], FILES | LIMITS))
            continue;
        int status = confined(&attempts[i], FILES);
        if (!CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 1))
            printf("attempt: %s, status %x\n", attempts[i].name, (unsigned)status);
    }
    end_spare_process();
    CHECK(place_untouched());
}

/* A session leaves no core file, and a user other than root starts no process. */
static void
test_limits(void)
{
    int status = -1;
    pid_t pid;

    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        struct store store = {
            .path = "store", .directory = open("store", O_RDONLY), .inotify = -1, .ruleset = -1};
        struct rlimit core = {1, 1};

        if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
            _exit(1);
        if (!confine_session(&store) || getrlimit(RLIMIT_CORE, &core) != 0 || core.rlim_max != 0)
            _exit(2);
        pid = fork();
        if (pid == 0)
            _exit(0);
        _exit(pid < 0 ? 0 : 3);
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/*
 * Finds out which layers there are. An emulator, for one, has no filter of calls and ignores
 * limits of memory.
 */
static void
find_layers(void)
{
    const struct rlimit limit = {.rlim_cur = 64 * 1024 * 1024, .rlim_max = 64 * 1024 * 1024};
    int status;
    pid_t pid;

#ifdef SECCOMP_ARCH
    if (prctl(PR_GET_SECCOMP, 0L, 0L, 0L, 0L) >= 0)     /* EINVAL: no such thing here */
        layers_here |= CALLS;
#endif
#if defined HAS_LANDLOCK && !defined SANITIZED
    pid = fork();
    if (pid == 0)
        _exit(setrlimit(RLIMIT_AS, &limit) != 0 || try_memory());
    if (waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        layers_here |= LIMITS;
#else
    (void)limit;
    (void)pid;
    (void)status;
#endif
}

/*
 * What a libc does of its own accord is allowed: it recognizes terminals, names memory, tries
 * newer calls.
 */
static void
test_libc(void)
{
#ifdef SECCOMP_ARCH
    int status = -1;
    pid_t pid;

    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        FILE *device = fopen("/dev/null", "w");

        confine_calls();
        if (device == NULL || fputs("listening\n", device) < 0 || fclose(device) != 0)
            _exit(1);
        ioctl(STDOUT_FILENO, TCGETS, outside);          /* before glibc 2.42 */
        ioctl(STDOUT_FILENO, 0x802c542aUL, outside);    /* TCGETS2: since */
        ioctl(STDOUT_FILENO, TIOCGWINSZ, outside);      /* musl */
        prctl(0x53564d41, 0L, outside, sizeof outside, "heap");
        /*
         * A call that does not exist yet, and statmount, which is younger than Landlock: a libc
         * falls back.
         */
        _exit(syscall(4095L) != -1 || errno != ENOSYS || syscall(457L, 0L, 0L, 0L, 0L) != -1 ||
              errno != ENOSYS);
    }
    waitpid(pid, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
#endif
}

/* ---- The owner of the store ------------------------------------------------------------------ */

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
    CHECK(!succeeded(answer));
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
    make_place();
    find_layers();

    unit_case("a session does what it is for", test_work);
    unit_case("a compromised session", test_session);
    unit_case("a store that was replaced", test_replaced);
    if (geteuid() == 0)
        unit_case("what is attempted is possible without confinement", test_unconfined);
    else
        puts("skip - what is attempted is possible without confinement: not root");
    if (landlock_version() > 0)
        unit_case("files: this layer alone", test_files);
    else
        puts("skip - files, this layer alone: no Landlock here");
    if ((layers_here & LIMITS) != 0)
        unit_case("limits: no process, no core file", test_limits);
    else
        puts("skip - limits, no process, no core file: they are not heeded here");
    if ((layers_here & CALLS) != 0) {
        unit_case("system calls: this layer alone", test_calls);
        unit_case("system calls: what a libc makes", test_libc);
    } else {
        puts("skip - system calls, this layer alone: no seccomp here, or a sanitizer");
    }
    if (geteuid() == 0)
        unit_case("the owner of the store, not root", test_owner);
    else
        puts("skip - the owner of the store: not root");

    if (chdir("/") == 0)
        nftw(place, remove_each, 16, FTW_DEPTH | FTW_PHYS);
    return unit_status;
}
