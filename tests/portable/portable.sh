#!/bin/sh
# portable.sh - the pair built by every compiler, for every libc and machine that is at hand, and tested
#
#   sh tests/portable/portable.sh          prints a line for each build; status 1 if one failed
#
# Each build must be silent with every warning, and pass the tests: all of them where another libc or other system
# calls are in play; the conversations and the units, without the terminal and the sockets, where an emulator is
# slow; the server's and the units where a flag alone is another. What is not installed is named as skipped.
cd "$(dirname "$0")/../.." || exit 1
top=$(pwd)
warnings='-std=c11 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla'
work=$(mktemp -d "${TMPDIR:-/tmp}/pop3-portable.XXXXXX") || exit 1
trap 'cd /; rm -rf "$work"' 0
trap 'exit 130' 1 2 15
failed=0 skipped=0 built=0
SECONDS_EACH=${SECONDS_EACH:-180}
export SECONDS_EACH

units='server unit live/confined_server'
most='server client unit live/confined_server'
emulated='server client unit/header unit/wire unit/exhaustive unit/server unit/client live/confined_server'

skip() {
    skipped=$((skipped + 1))
    printf '%-58s %s\n' "$1" "skipped: $2"
}

# try NAME CC FLAGS TESTS: builds both programs in a tree of their own, and runs these tests, or all.
try() {
    name=$1 compiler=$2 flags=$3 tests=$4
    if ! command -v "${compiler%% *}" >/dev/null 2>&1; then
        skip "$name" "no ${compiler%% *}"
        return
    fi
    tree=$work/tree
    rm -rf "$tree"
    mkdir "$tree"
    cp -R "$top"/Makefile "$top"/README.md "$top"/*.c "$top"/*.h "$top"/mail "$top"/tests "$tree" && cd "$tree" &&
        rm -rf tests/build && mkdir tests/build
    case $flags in *-std=*) strict=${warnings#-std=c11} ;; *) strict=$warnings ;; esac
    : >log
    for program in server client; do
        $compiler $strict $flags -o $program $program.c >>log 2>&1 || echo "$program does not compile" >>log
    done
    if [ -s log ]; then
        result="not silent"
    else
        CC=$compiler CFLAGS=$flags sh tests/run.sh $tests >log 2>&1
        result=$(tail -n 1 log)
    fi
    case $result in
    *' 0 failed'*)
        built=$((built + 1))
        ;;
    *)
        failed=$((failed + 1))
        grep -a -v '^ok' log | cut -c 1-200 | head -n 40
        ;;
    esac
    printf '%-58s %s\n' "$name" "$result"
    cd "$top" || exit 1
}

# runs CC: whether what a compiler makes can be run here, by the machine itself or by an emulator.
runs() {
    command -v "$1" >/dev/null 2>&1 && echo 'int main(void){return 0;}' >"$work/try.c" &&
        "$1" -o "$work/try" "$work/try.c" 2>/dev/null && "$work/try" 2>/dev/null
}

# foreign NAME CC EMULATOR ROOT MAGIC MASK: a machine of another kind; the kernel is told of its emulator.
foreign() {
    if command -v "$2" >/dev/null 2>&1 && command -v "$3" >/dev/null 2>&1; then
        QEMU_LD_PREFIX=$4
        export QEMU_LD_PREFIX
        if ! runs "$2"; then
            formats=/proc/sys/fs/binfmt_misc
            [ -e $formats/register ] || mount -t binfmt_misc binfmt_misc $formats 2>/dev/null
            if [ ! -e "$formats/$3" ]; then
                printf '%s' ":$3:M::$5:$6:$(command -v "$3"):" 2>/dev/null >$formats/register
            fi
        fi
    fi
    if runs "$2"; then
        try "$1" "$2" -O1 "$emulated"
    else
        skip "$1" "no $2, no $3, or no way to run what it makes"
    fi
    unset QEMU_LD_PREFIX
}

try 'gcc -O0' gcc -O0 "$units"
try 'gcc -O3 -flto -D_FORTIFY_SOURCE=3' gcc '-O3 -flto=auto -D_FORTIFY_SOURCE=3' "$most"
try 'gcc -Os -funsigned-char' gcc '-Os -funsigned-char' "$units"
try 'gcc -std=c2x' gcc '-O2 -std=c2x' "$units"
try 'gcc, nothing but POSIX' gcc '-O2 -DPOSIX_ONLY' ''
try 'clang -O0' clang -O0 "$units"
try 'clang -O2 -std=c2x' clang '-O2 -std=c2x' "$units"
try 'clang -O3' clang '-O3' "$units"
try 'tcc' tcc '' "$most"
try 'musl' musl-gcc -O2 ''
try 'musl, static' musl-gcc '-O2 -static' "$most"
headers="-idirafter /usr/include -idirafter /usr/include/$(gcc -print-multiarch 2>/dev/null)"
try 'musl, static, with the headers of Linux' musl-gcc "-O2 -static $headers" "$most"
if runs i686-linux-gnu-gcc; then
    try '32-bit x86' i686-linux-gnu-gcc -O2 ''
else
    skip '32-bit x86' 'no i686-linux-gnu-gcc, or it cannot be run here'
fi
foreign 'arm64, emulated' aarch64-linux-gnu-gcc qemu-aarch64 /usr/aarch64-linux-gnu \
    '\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00' \
    '\xff\xff\xff\xff\xff\xff\xff\xfc\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
foreign 's390x, big-endian, emulated' s390x-linux-gnu-gcc qemu-s390x /usr/s390x-linux-gnu \
    '\x7fELF\x02\x02\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x16' \
    '\xff\xff\xff\xff\xff\xff\xff\xfc\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff'

# The Makefile by another make, the tests by other shells.
if command -v bmake >/dev/null 2>&1; then
    rm -rf "$work/tree"
    mkdir "$work/tree"
    cp -R Makefile ./*.c ./*.h mail tests "$work/tree"
    rm -rf "$work/tree/tests/build"
    if (cd "$work/tree" && bmake >log 2>&1 && ! grep -q warning log && bmake -n test install DESTDIR=/x >/dev/null &&
        bmake clean && [ ! -e server ]); then
        built=$((built + 1))
        printf '%-58s %s\n' "BSD's make" "built, and clean again"
    else
        failed=$((failed + 1))
        cat "$work/tree/log"
        printf '%-58s %s\n' "BSD's make" failed
    fi
else
    skip "BSD's make" 'no bmake'
fi
for shell in dash bash 'busybox sh' mksh; do
    if ! command -v "${shell%% *}" >/dev/null 2>&1; then
        skip "tests by $shell" "no ${shell%% *}"
        continue
    fi
    result=$($shell tests/run.sh server client 2>&1 | tail -n 1)
    printf '%-58s %s\n' "tests by $shell" "$result"
    case $result in *' 0 failed'*) built=$((built + 1)) ;; *) failed=$((failed + 1)) ;; esac
done

echo "$built passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
