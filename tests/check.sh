#!/bin/sh
# check.sh - the long checks: compilers with -Werror, the tests under sanitizers, static analyzers,
# fuzzers, faults, load, other builds and other mail programs. What is not installed is reported as
# skipped. Status 1 if anything failed.
cd "$(dirname "$0")/.." || exit 1
build=tests/build
failed=0
passed=0
skipped=0

# check NAME COMMAND...: runs it, and counts how it went.
check() {
    name=$1
    shift
    echo "== $name"
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "== failed: $name"
    fi
}

skip() {
    skipped=$((skipped + 1))
    echo "== skipped: $*"
}

has() { command -v "$1" >/dev/null 2>&1; }

warnings='-std=c11 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes
    -Wmissing-prototypes -Wvla'

# build CC DIRECTORY FLAGS...: both programs, with every warning an error.
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

# sanitized CC: the tests again, on programs that watch themselves.
sanitized() {
    sanitize='-g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all'
    build "$1" "sanitized-$1" $sanitize &&
        CC=$1 CFLAGS=$sanitize SERVER=$build/sanitized-$1/server CLIENT=$build/sanitized-$1/client \
            sh tests/run.sh | grep -v '^ok '
    [ -z "$(find $build -name 'core*')" ]
}

# A pipe forgets how its first command ended: the last line tells.
sanitized_tests() {
    sanitized "$1" >$build/sanitized.log 2>&1
    cat $build/sanitized.log
    tail -n 1 $build/sanitized.log | grep -q ' 0 failed'
}

# no_static: where no program can be linked statically, "make" builds a server that runs, silently.
no_static() {
    rm -rf $build/no-static && mkdir -p $build/no-static && cp Makefile ./*.[ch] $build/no-static &&
        printf '%s\n' '#!/bin/sh' 'case " $* " in *" -static"*) echo no >&2; exit 1 ;; esac' \
            'exec cc "$@"' >$build/no-static/cc && chmod +x $build/no-static/cc &&
        make -s -C $build/no-static CC=./cc server >$build/no-static.log 2>&1 &&
        [ ! -s $build/no-static.log ] && $build/no-static/server -V >/dev/null
}

# wait_much: the checks that wait for others more than they compute.
wait_much() {
    check "the mail programs of others" sh tests/interop/interop.sh
    check "the server under load and abuse" sh tests/load/load.sh
    if sh tests/faults/faults.sh possible; then
        check "every system call fails, and a kill at each" sh tests/faults/faults.sh
    else
        skip "faults of system calls"
    fi
    echo $passed $failed $skipped >$build/waiting.counts
}

mkdir -p $build
rm -f $build/waiting.counts
wait_much >$build/waiting.log 2>&1 &    # beside the rest; what they say comes at the end
waiting=$!
check "a link that cannot be static" no_static
for compiler in gcc clang; do
    if ! has $compiler; then
        skip "$compiler is not installed"
        continue
    fi
    check "$compiler, every warning an error" build $compiler "warnings-$compiler" -O2
    check "$compiler without a flag" plain $compiler
    if echo 'int main(void){return 0;}' |
        $compiler -x c -fsanitize=address,undefined -o $build/try - 2>/dev/null; then
        check "$compiler, the tests under its sanitizers" sanitized_tests $compiler
    else
        skip "$compiler has no sanitizers here"
    fi
done

# Left out of clang-tidy, each for a reason: arguments that could be swapped (every pair of numbers
# could), memcpy and snprintf as such (C11's replacements are in no libc), the result of snprintf
# (truncated where it is meant to be), products of constants, conversions (-Wconversion watches
# those), memcpy without a NUL (mail is no string), sizeof an array of pointers, and structs in the
# order of their meaning.
tidy='-*,bugprone-*,cert-*,clang-analyzer-*,-bugprone-easily-swappable-parameters,-cert-err33-c'
tidy=$tidy,-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling
tidy=$tidy,-bugprone-implicit-widening-of-multiplication-result,-bugprone-narrowing-conversions
tidy=$tidy,-bugprone-not-null-terminated-result,-bugprone-sizeof-expression
tidy=$tidy,-clang-analyzer-optin.performance.Padding

# silent COMMAND...: it must say nothing.
silent() {
    "$@" >$build/analysis.log 2>&1 && [ ! -s $build/analysis.log ] ||
        { head -n 60 $build/analysis.log; false; }
}

tidied() {
    clang-tidy --quiet --warnings-as-errors='*' --checks="$tidy" "$1" -- -std=c11 2>/dev/null
}

# analyzed: what reads the programs without running them has nothing to say.
analyzed() {
    # gcc 12 loses track of the client's texts, which functions get by reference.
    lost='-Wno-analyzer-malloc-leak -Wno-analyzer-double-free -Wno-analyzer-null-dereference'
    if has gcc && [ "$(gcc -dumpversion | sed 's/\..*//')" -ge 12 ]; then
        for program in server client; do
            check "gcc's analyzer: $program" \
                silent gcc -std=c11 -O2 -fanalyzer $lost -c -o $build/try $program.c
        done
    else
        skip "no gcc 12 or later: older analyzers know too little of C"
    fi
    if has clang-tidy; then
        for program in server client; do
            check "clang-tidy and clang's analyzer: $program" silent tidied $program.c
        done
    else
        skip "clang-tidy is not installed"
    fi
    if has cppcheck; then
        # It does not see that local_text() fills the array that it is given.
        check "cppcheck" silent cppcheck --quiet --std=c11 \
            --enable=warning,performance,portability --suppress=uninitvar:pop3.h \
            --suppress=uninitvar:client.c --suppress=legacyUninitvar:client.c \
            --suppress=toomanyconfigs --error-exitcode=1 server.c client.c
    else
        skip "cppcheck is not installed"
    fi
}
analyzed

# fuzz NAME: runs a fuzzer for FUZZ_SECONDS on its corpus, and prints one line about it.
fuzz() {
    corpus=tests/corpus/$1
    [ -d "$corpus" ] || corpus=tests/$1
    rm -rf "$build/found-$1" && mkdir -p "$build/found-$1" &&
        clang -DLIBFUZZER -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
            -o "$build/fuzz_$1" "tests/fuzz/$1.c" >"$build/fuzz_$1.log" 2>&1 &&
        "$build/fuzz_$1" -max_total_time="${FUZZ_SECONDS:-60}" -timeout=10 -print_final_stats=1 \
            -artifact_prefix="$build/found-$1/" "$build/found-$1" "$corpus" \
            >>"$build/fuzz_$1.log" 2>&1
    echo $? >"$build/fuzz_$1.status"
    awk -v name="$1" '{ for (i = 1; i < NF; i++) if ($i == "cov:") edges = $(i + 1) }
        /number_of_executed_units/ { runs = $2 }
        END { printf "fuzz_%s: %d inputs tried, %d edges covered\n", name, runs, edges }' \
        "$build/fuzz_$1.log"
}

# fuzz_all: two rows of fuzzers beside each other. Fails if one found something.
fuzz_all() {
    for fuzzer in session editor stuff server_options; do fuzz $fuzzer; done &
    for fuzzer in answers show passfile visible client_options; do fuzz $fuzzer; done
    wait
    good=true
    for fuzzer in session editor stuff server_options answers show passfile visible \
        client_options; do
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
    check "the fuzzers, ${FUZZ_SECONDS:-60} seconds each" fuzz_all
else
    skip "clang has no fuzzer here"
fi
check "nothing but POSIX where nothing more is sure" sh tests/portable/strict.sh
check "compiled for macOS" sh tests/portable/cross.sh
check "environments where much is missing" sh tests/portable/odd.sh
check "every build at hand" sh tests/portable/portable.sh

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
