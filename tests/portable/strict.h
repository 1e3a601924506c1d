/*
 * strict.h - limits the headers to POSIX.1-2008, for the strict build (strict.sh)
 *
 * pop3.h requests all interfaces of a system. But the C library evaluates the feature macros in the
 * first header, and with -include that is this file.
 */
#include <limits.h>

#ifdef __USE_GNU
#error "compile with -std=c11 -D_POSIX_C_SOURCE=200809L"
#endif

/*
 * The exceptions. macOS, FreeBSD, NetBSD, OpenBSD, glibc and musl all have these, each under the
 * macros that pop3.h defines.
 */
#include <sys/mman.h>
#include <sys/types.h>
#include <wchar.h>

#define MAP_ANON 0x20                   /* the value on Linux */
#define P_tmpdir "/tmp"
void *memmem(const void *, size_t, const void *, size_t);
int setgroups(size_t, const gid_t *);
char *strcasestr(const char *, const char *);
void sync(void);
int wcwidth(wchar_t);
