/*
 * strict.h - shows POSIX.1-2008 and nothing else, for the strict build (strict.sh)
 *
 * pop3.h asks the system for every interface that it has. A C library decides at its first header
 * what to show. So this file comes before anything else (-include) and decides first.
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

#define MAP_ANON 0x20                   /* the Linux value: what is built is not run elsewhere */
#define P_tmpdir "/tmp"
int setgroups(size_t, const gid_t *);
char *strcasestr(const char *, const char *);
void sync(void);
int wcwidth(wchar_t);
