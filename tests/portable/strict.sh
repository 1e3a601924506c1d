#!/bin/sh
# strict.sh - both programs with -DPOSIX_ONLY use only what POSIX and all supported systems have
#
# They compile silently with headers that show nothing but POSIX.1-2008 and the exceptions in
# strict.h, and they call none of the functions that only Linux has.
. "$(dirname "$0")/common.sh"

strict='-D_POSIX_C_SOURCE=200809L -Werror=implicit-function-declaration
    -include tests/portable/strict.h'

# Functions that at least one of macOS, FreeBSD, NetBSD and OpenBSD lacks.
foreign='^(syscall|prctl|inotify_.*|epoll_.*|eventfd|signalfd|timerfd_.*|memfd_create|fanotify_.*'
foreign=$foreign'|ppoll|accept4|pipe2|dup3|close_range|renameat2|statx|sendfile|splice|tee|vmsplice'
foreign=$foreign'|copy_file_range|fallocate|posix_fallocate|posix_fadvise|readahead|sync_file_range'
foreign=$foreign'|syncfs|fdatasync|getrandom|mremap|remap_file_pages'
foreign=$foreign'|getauxval|secure_getenv|unshare|setns|sched_.*|clone|clock_nanosleep'
foreign=$foreign'|sigtimedwait|sigwaitinfo|sem_timedwait|setresuid|setresgid|execvpe|fexecve'
foreign=$foreign'|explicit_bzero|memrchr|mempcpy|rawmemchr|strchrnul|strverscmp|versionsort|qsort_r'
foreign=$foreign'|reallocarray|canonicalize_file_name|euidaccess|get_current_dir_name|error'
foreign=$foreign'|fopencookie|getresuid|getresgid)$'

# hides CC: with these headers a function that is not in POSIX does not compile.
hides() {
    printf '%s\n' '#include "pop3.h"' '#include <poll.h>' \
        'int main(void) { return ppoll(NULL, 0, NULL, NULL); }' >"$work/try.c"
    "$1" -std=c11 -Werror=implicit-function-declaration -I. -o "$work/try" "$work/try.c" &&
        ! "$1" -std=c11 $strict -I. -o "$work/try" "$work/try.c"
}

# calls_none PROGRAM: the linked program calls no function of the list.
calls_none() {
    $CC -std=c11 -O1 -DPOSIX_ONLY -o "$work/$1" "$1.c" &&
        nm -D -u "$work/$1" | sed 's/.* //; s/@.*//' >"$work/called" &&
        grep -q '^socket$\|^write$' "$work/called" && ! grep -E "$foreign" "$work/called"
}

# no_iconv: the client works without <iconv.h>, as on OpenBSD.
no_iconv() {
    mkdir "$work/include" && ln -s /usr/include/* "$work/include" && rm "$work/include/iconv.h" &&
        silent gcc $warnings -nostdinc -isystem "$(gcc -print-file-name=include)" \
            -isystem "$work/include" -isystem "/usr/include/$(gcc -print-multiarch)" \
            -o "$work/client" client.c &&
        gcc -o "$work/server" server.c 2>"$work/output" && ! nm -D -u "$work/client" | grep iconv &&
        mkdir "$work/mail" && printf '%s\n' 'Content-Type: text/plain; charset=iso-8859-1' \
            'Content-Transfer-Encoding: quoted-printable' '' 'caf=E9' >"$work/mail/1" &&
        printf '%s\n' 'show 1' quit |
        LC_ALL=C.UTF-8 "$work/client" -x "'$work/server' -i -d '$work/mail'" >"$work/shown" &&
        { grep 'café' "$work/shown" || { cat "$work/shown"; false; }; }
}

glibc() { echo '#include <limits.h>
int main(void) { return __GLIBC__ == 0; }' | $CC -x c -o "$work/try" - 2>/dev/null; }

for compiler in gcc clang; do
    if ! command -v $compiler >/dev/null 2>&1 || ! glibc; then
        skip "the strict build by $compiler: it needs $compiler and glibc's headers"
        continue
    fi
    check "$compiler: the strict build hides what is not POSIX" hides $compiler
    for program in server client; do
        check "$compiler: $program, strict" silent $compiler $warnings $strict -DPOSIX_ONLY \
            -o "$work/strict" $program.c
    done
done
if command -v nm >/dev/null 2>&1; then
    for program in server client; do
        check "$program calls no function of Linux alone" calls_none $program
    done
else
    skip "the called functions: no nm"
fi

if glibc && [ "$(gcc -print-multiarch 2>/dev/null)" ] && [ -e /usr/include/iconv.h ]; then
    check "the client without iconv, as on OpenBSD" no_iconv
else
    skip "the client without iconv: no gcc with /usr/include"
fi
finish
