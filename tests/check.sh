#!/bin/sh
# check.sh - the long checks: compilers with -Werror, tests with sanitizers, static analyzers,
# fuzzers, faults, load, other builds and other mail programs. What is not installed is skipped.
# Status 1 if a check failed.
cd "$(dirname "$0")/.." || exit 1
build=tests/build
failed=0
passed=0
skipped=0

# check NAME COMMAND...: runs the command, counts the result and prints the seconds it took.
check() {
    name=$1 started=$(date +%s)
    shift
    echo "== $name"
    if "$@"; then
        passed=$((passed + 1)) verdict=passed
    else
        failed=$((failed + 1)) verdict=failed
    fi
    echo "== $verdict in $(($(date +%s) - started)) s: $name"
}

skip() {
    skipped=$((skipped + 1))
    echo "== skipped: $*"
}

has() { command -v "$1" >/dev/null 2>&1; }

warnings='-std=c11 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes
    -Wmissing-prototypes -Wvla'

# build CC DIRECTORY FLAGS...: builds both programs; every warning is an error.
build() {
    compiler=$1 directory=$build/$2
    shift 2
    mkdir -p "$directory" &&
        $compiler $warnings -Werror "$@" -o "$directory/server" server.c &&
        $compiler $warnings -Werror "$@" -o "$directory/client" client.c
}

plain() {
    $1 -o $build/plain-server server.c && $1 -o $build/plain-client client.c
}

# sanitized CC: runs the tests with sanitizers. The result is in the last line of their output: the
# status of a pipe is that of its last command.
sanitized() {
    sanitize='-g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all'
    log=$build/sanitized.log
    {
        build "$1" "sanitized-$1" $sanitize &&
            CC=$1 CFLAGS=$sanitize SERVER=$build/sanitized-$1/server \
                CLIENT=$build/sanitized-$1/client sh tests/run.sh
    } 2>&1 | grep -v '^ok ' >$log
    cat $log
    tail -n 1 $log | grep -q ' 0 failed'
}

# no_static: if static linking fails, "make" still builds a working server silently.
no_static() {
    rm -rf $build/no-static && mkdir -p $build/no-static && cp Makefile ./*.[ch] $build/no-static &&
        printf '%s\n' '#!/bin/sh' 'case " $* " in *" -static"*) echo no >&2; exit 1 ;; esac' \
            'exec cc "$@"' >$build/no-static/cc && chmod +x $build/no-static/cc &&
        make -s -C $build/no-static CC=./cc server >$build/no-static.log 2>&1 &&
        [ ! -s $build/no-static.log ] && $build/no-static/server -V >/dev/null
}

# waiting_checks: the checks that wait more than they compute.
waiting_checks() {
    check "other mail programs" sh tests/interop/interop.sh
    check "the server under load and abuse" sh tests/load/load.sh
    if sh tests/faults/faults.sh possible; then
        check "a fault and a kill at every system call" sh tests/faults/faults.sh
    else
        skip "faults of system calls"
    fi
    echo $passed $failed $skipped >$build/waiting.counts
}

mkdir -p $build
rm -f $build/waiting.counts
waiting_checks >$build/waiting.log 2>&1 &       # in parallel; their output comes at the end
waiting=$!
check "make without static linking" no_static
for compiler in gcc clang; do
    if ! has $compiler; then
        skip "$compiler is not installed"
        continue
    fi
    check "$compiler, every warning an error" build $compiler "warnings-$compiler" -O2
    check "$compiler without flags" plain $compiler
    if echo 'int main(void){return 0;}' |
        $compiler -x c -fsanitize=address,undefined -o $build/try - 2>/dev/null; then
        check "$compiler, the tests under its sanitizers" sanitized $compiler
    else
        skip "$compiler has no sanitizers here"
    fi
done

# Checks of clang-tidy that are off: swappable arguments (any pair of numbers), memcpy and snprintf
# (no libc has the replacements of C11), unused results of snprintf (truncation is intended),
# products of constants, narrowing (-Wconversion reports it), memcpy without a NUL (mail is no
# string), sizeof an array of pointers, sscanf of numbers (their digits are limited), and padding
# (fields are in a readable order).
checks='-*,bugprone-*,cert-*,clang-analyzer-*,-bugprone-easily-swappable-parameters,-cert-err33-c'
checks=$checks,-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling
checks=$checks,-bugprone-implicit-widening-of-multiplication-result,-bugprone-narrowing-conversions
checks=$checks,-bugprone-not-null-terminated-result,-bugprone-sizeof-expression
checks=$checks,-clang-analyzer-optin.performance.Padding,-cert-err34-c

# silent COMMAND...: succeeds if the command succeeds and prints nothing.
silent() {
    "$@" >$build/analysis.log 2>&1 && [ ! -s $build/analysis.log ] ||
        { head -n 60 $build/analysis.log; false; }
}

tidy() {
    clang-tidy --quiet --warnings-as-errors='*' --checks="$checks" "$1" -- -std=c11 2>/dev/null
}

# analyze: static analyzers report nothing.
analyze() {
    # gcc 12 does not follow the client's buffers, which functions get by reference.
    without='-Wno-analyzer-malloc-leak -Wno-analyzer-double-free -Wno-analyzer-null-dereference'
    if has gcc && [ "$(gcc -dumpversion | sed 's/\..*//')" -ge 12 ]; then
        for program in server client; do
            check "gcc's analyzer: $program" \
                silent gcc -std=c11 -O2 -fanalyzer $without -c -o $build/try $program.c
        done
    else
        skip "gcc's analyzer: no gcc 12 or later"
    fi
    if has clang-tidy; then
        for program in server client; do
            check "clang-tidy and clang's analyzer: $program" silent tidy $program.c
        done
    else
        skip "clang-tidy is not installed"
    fi
    if has cppcheck; then
        # It does not see that local_text() fills its array.
        check "cppcheck" silent cppcheck --quiet --std=c11 \
            --enable=warning,performance,portability --suppress=uninitvar:pop3.h \
            --suppress=uninitvar:client.c --suppress=legacyUninitvar:client.c \
            --suppress=toomanyconfigs --error-exitcode=1 server.c client.c
    else
        skip "cppcheck is not installed"
    fi
}
analyze

# fuzz NAME: runs a fuzzer for FUZZ_SECONDS with its corpus and prints a summary.
fuzz() {
    corpus=tests/corpus/$1
    [ -d "$corpus" ] || corpus=tests/$1
    rm -rf "$build/found-$1" && mkdir -p "$build/found-$1" &&
        clang -DLIBFUZZER -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
            -o "$build/fuzz_$1" "tests/fuzz/$1.c" >"$build/fuzz_$1.log" 2>&1 &&
        "$build/fuzz_$1" -max_total_time="${FUZZ_SECONDS:-20}" -timeout=100 -print_final_stats=1 \
            -artifact_prefix="$build/found-$1/" "$build/found-$1" "$corpus" \
            >>"$build/fuzz_$1.log" 2>&1
    echo $? >"$build/fuzz_$1.status"
    awk -v name="$1" '{ for (i = 1; i < NF; i++) if ($i == "cov:") edges = $(i + 1) }
        /number_of_executed_units/ { runs = $2 }
        END { printf "fuzz_%s: %d inputs tried, %d edges covered\n", name, runs, edges }' \
        "$build/fuzz_$1.log"
}

# fuzz_all: runs two fuzzers at a time. Fails if one found something.
fuzz_all() {
    first='session editor stuff server_options'
    second='answers show passfile visible client_options'
    for fuzzer in $first; do fuzz $fuzzer; done &
    first_row=$!
    for fuzzer in $second; do fuzz $fuzzer; done
    wait $first_row
    good=true
    for fuzzer in $first $second; do
        if [ "$(cat "$build/fuzz_$fuzzer.status")" -ne 0 ]; then
            good=false
            echo "fuzz_$fuzzer:"
            tail -n 40 "$build/fuzz_$fuzzer.log"
        fi
    done
    $good
}

if has clang &&
    echo 'int LLVMFuzzerTestOneInput(const char *d, unsigned long n){return d && n == 1;}' |
    clang -x c -fsanitize=fuzzer -o $build/try - 2>/dev/null; then
    check "the fuzzers, ${FUZZ_SECONDS:-20} seconds each" fuzz_all
else
    skip "clang has no fuzzer here"
fi
check "the POSIX build" sh tests/portable/strict.sh
check "the build for macOS" sh tests/portable/cross.sh
check "environments without /proc, /dev, system calls" sh tests/portable/odd.sh
check "other compilers, libcs and machines" sh tests/portable/portable.sh

wait $waiting
cat $build/waiting.log
read -r more_passed more_failed more_skipped 2>/dev/null <$build/waiting.counts || more_failed=1
passed=$((passed + ${more_passed:-0}))
failed=$((failed + more_failed))
skipped=$((skipped + ${more_skipped:-0}))

skips=
[ $skipped -eq 0 ] || skips=", $skipped skipped"
echo "$passed passed, $failed failed$skips"
[ $failed -eq 0 ]
