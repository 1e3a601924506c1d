#!/bin/sh
# portable.sh - builds and tests both programs with each available compiler, libc and machine
#
#   sh tests/portable/portable.sh          prints a line for each build; status 1 if one failed
#
# Each build must be silent with every warning and pass tests: all of them with another libc or
# other system calls; the conversations and some units in a slow emulator; the server's
# conversations and the units if only a flag differs. What is not installed is skipped.
. "$(dirname "$0")/common.sh"

units='server unit live/confined_server'
most='server client unit live/confined_server'
# Some unit tests of the client expect the iconv and the messages of glibc.
other='server client unit/header unit/wire unit/store unit/server'
# The fuzzers replace the same calls as bsd.h.
bsd='server client unit live'
emulated='server client unit/header unit/wire unit/store unit/server'

skip() {
    skipped=$((skipped + 1))
    printf '%-58s %s\n' "$1" "skipped: $2"
}

# try NAME CC FLAGS TESTS: builds both programs in a copy of the tree, and runs the tests.
try() {
    name=$1 compiler=$2 flags=$3 tests=$4
    if ! command -v "${compiler%% *}" >/dev/null 2>&1; then
        skip "$name" "no ${compiler%% *}"
        return
    fi
    tree=$work/tree
    rm -rf "$tree"
    mkdir "$tree"
    cp -R "$top"/Makefile "$top"/README.md "$top"/*.[ch] "$top"/mail "$top"/tests "$tree" &&
        cd "$tree" && rm -rf tests/build && mkdir tests/build
    case $flags in *-std=*) strict=${warnings#-std=c11} ;; *) strict=$warnings ;; esac
    : >log
    for program in server client; do
        $compiler $strict $flags -o $program $program.c >>log 2>&1 ||
            echo "$program does not compile" >>log
    done
    if [ -s log ]; then
        result="not silent"
    else
        CC=$compiler CFLAGS=$flags sh tests/run.sh $tests >log 2>&1
        result=$(tail -n 1 log)
    fi
    case $result in
    *' 0 failed'*)
        passed=$((passed + 1))
        ;;
    *)
        failed=$((failed + 1))
        grep -a -v '^ok' log | cut -c 1-200 | head -n 40
        ;;
    esac
    printf '%-58s %s\n' "$name" "$result"
    cd "$top" || exit 1
}

# runs CC: succeeds if the output of a compiler runs here, natively or in an emulator.
runs() {
    command -v "$1" >/dev/null 2>&1 && echo 'int main(void){return 0;}' >"$work/try.c" &&
        "$1" -o "$work/try" "$work/try.c" 2>/dev/null && "$work/try" 2>/dev/null
}

# register EMULATOR: makes the kernel run programs such as $work/try with it. The first 20 bytes of
# an ELF file name its machine. The mask ignores the ABI and the difference between EXEC and DYN.
register() {
    formats=/proc/sys/fs/binfmt_misc
    [ -e $formats/register ] || mount -t binfmt_misc binfmt_misc $formats 2>/dev/null
    [ ! -e "$formats/$1" ] || return
    magic=$(head -c 20 "$work/try" | od -An -v -tx1 | tr -d '\n' | sed 's/ /\\x/g')
    all='\xff\xff\xff\xff\xff\xff\xff' type='\xff\xfe'
    case $magic in '\x7f\x45\x4c\x46\x0'?'\x01'*) type='\xfe\xff' ;; esac   # little-endian
    printf '%s' ":$1:M::$magic:$all\\x00$all\\xff$type\\xff\\xff:$(command -v "$1"):" \
        2>/dev/null >$formats/register
}

# foreign NAME CC EMULATOR ROOT TESTS: like try, for another kind of machine.
foreign() {
    QEMU_LD_PREFIX=$4
    export QEMU_LD_PREFIX
    runs "$2" || { command -v "$3" >/dev/null 2>&1 && register "$3"; }
    if runs "$2"; then
        try "$1" "$2" -O1 "$5"
    else
        skip "$1" "no $2, no $3, or its programs do not run here"
    fi
    unset QEMU_LD_PREFIX
}

this_machine() {
    try 'gcc -O0' gcc -O0 "$units"
    try 'gcc -O3 -flto -D_FORTIFY_SOURCE=3' gcc '-O3 -flto=auto -D_FORTIFY_SOURCE=3' "$most"
    try 'gcc -Os -funsigned-char' gcc '-Os -funsigned-char' "$units"
    try 'gcc -std=c2x' gcc '-O2 -std=c2x' "$units"
    try 'gcc, nothing but POSIX' gcc '-O2 -DPOSIX_ONLY' "$most"
    like_bsd="-O2 -DPOSIX_ONLY -include $top/tests/portable/bsd.h"
    try 'gcc, like a BSD' gcc "$like_bsd" "$bsd"
    try 'gcc, like NetBSD' gcc "$like_bsd -DNOFOLLOW_ERRNO=EFTYPE" unit/store
    try 'gcc, like a BSD, times in whole seconds' gcc "$like_bsd -DWHOLE_SECONDS" \
        'server client unit/server'
    try 'clang -O0' clang -O0 "$units"
    try 'clang -O2 -std=c2x' clang '-O2 -std=c2x' "$units"
    try 'clang -O3' clang '-O3' "$units"
}

other_machines() {
    try 'tcc' tcc '' "$other"
    try 'musl' musl-gcc -O2 "$other"
    try 'musl, static' musl-gcc '-O2 -static' "$other"
    headers="-idirafter /usr/include -idirafter /usr/include/$(gcc -print-multiarch 2>/dev/null)"
    try 'musl, static, with the headers of Linux' musl-gcc "-O2 -static $headers" "$other"
    if runs i686-linux-gnu-gcc; then
        try '32-bit x86' i686-linux-gnu-gcc -O2 ''
    else
        skip '32-bit x86' 'no i686-linux-gnu-gcc, or it cannot be run here'
    fi
    # Emulators are slow, so some run fewer tests.
    foreign 'arm64, emulated' aarch64-linux-gnu-gcc qemu-aarch64 /usr/aarch64-linux-gnu "$emulated"
    foreign 'armhf, emulated' arm-linux-gnueabihf-gcc qemu-arm /usr/arm-linux-gnueabihf \
        'server unit/store'
    foreign 'riscv64, emulated' riscv64-linux-gnu-gcc qemu-riscv64 /usr/riscv64-linux-gnu \
        'server client unit/store'
    foreign 'ppc64le, emulated' powerpc64le-linux-gnu-gcc qemu-ppc64le /usr/powerpc64le-linux-gnu \
        'server client unit/store'
    foreign 's390x, big-endian, emulated' s390x-linux-gnu-gcc qemu-s390x /usr/s390x-linux-gnu \
        "$emulated"
    foreign 'mips, big-endian, 32-bit, emulated' mips-linux-gnu-gcc qemu-mips /usr/mips-linux-gnu \
        "$emulated"

    # The Makefile with another make, the tests with other shells.
    if command -v bmake >/dev/null 2>&1; then
        rm -rf "$work/tree"
        mkdir "$work/tree"
        cp -R Makefile ./*.c ./*.h mail tests "$work/tree"
        rm -rf "$work/tree/tests/build"
        if (cd "$work/tree" && bmake >log 2>&1 && ! grep -q warning log &&
            bmake -n test install DESTDIR=/x >/dev/null && bmake clean && [ ! -e server ]); then
            passed=$((passed + 1))
            printf '%-58s %s\n' "BSD's make" "built and cleaned"
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
            skip "tests with $shell" "no ${shell%% *}"
            continue
        fi
        result=$($shell tests/run.sh server client 2>&1 | tail -n 1)
        printf '%-58s %s\n' "tests with $shell" "$result"
        case $result in *' 0 failed'*) passed=$((passed + 1)) ;; *) failed=$((failed + 1)) ;; esac
    done
}

# run_row NAME: runs one of these functions in a directory of its own, and keeps its counts.
run_row() {
    work=$work/$1
    mkdir "$work"
    "$1"
    echo "$passed $failed $skipped" >"$work/counts"
}

# Most tests wait more than they compute, so two rows of builds run side by side.
(run_row other_machines) >"$work/log" 2>&1 &
(run_row this_machine)
wait
cat "$work/log"
for row in this_machine other_machines; do
    read -r row_passed row_failed row_skipped <"$work/$row/counts" || row_failed=1
    passed=$((passed + ${row_passed:-0}))
    failed=$((failed + row_failed))
    skipped=$((skipped + ${row_skipped:-0}))
done
finish
