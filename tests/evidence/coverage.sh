#!/bin/sh
# coverage.sh - measures which lines of both programs "make test" executes
#
#   sh tests/evidence/coverage.sh [TEST...]     all tests, or some, named as for run.sh
#
# It needs clang with its profile runtime, llvm-profdata and llvm-cov. The counters are in mapped
# files, so killed and confined processes count too. Lines that were never executed are listed in
# tests/build/coverage/unreached, with their functions.
cd "$(dirname "$0")/../.." || exit 1
for tool in clang llvm-profdata llvm-cov; do
    command -v $tool >/dev/null || { echo "skipped: $tool is not installed"; exit 0; }
done
out=$(pwd)/tests/build/coverage
rm -rf "$out" && mkdir -p "$out/programs" || exit 1

# Each binary has its own counter file, named by the binary's hash.
LLVM_PROFILE_FILE=$out/%m%c.profraw
flags='-O0 -g -fprofile-instr-generate -fcoverage-mapping -mllvm -runtime-counter-relocation'
export LLVM_PROFILE_FILE
for program in server client; do
    clang -std=c11 $flags -o "$out/programs/$program" $program.c || exit 1
done
CC=clang CFLAGS=$flags SERVER=$out/programs/server CLIENT=$out/programs/client \
    sh tests/run.sh "$@" | grep -v '^ok'

llvm-profdata merge -o "$out/all" "$out"/*.profraw || exit 1
objects=$(for each in tests/build/unit_* tests/build/fuzz_* tests/build/live_*; do
    if [ -x "$each" ] && [ "$each" -nt "$out/programs/client" ]; then
        printf ' -object %s' "$each"
    fi
done)
llvm-cov report "$out/programs/server" -object "$out/programs/client" $objects \
    -instr-profile="$out/all" server.c client.c pop3.h 2>"$out/warnings" |
    awk '/^Filename/ || /\.[ch] / { print $1, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13 }'
llvm-cov show "$out/programs/server" -object "$out/programs/client" $objects \
    -instr-profile="$out/all" server.c client.c pop3.h 2>>"$out/warnings" | awk -F'|' '
    /^\/.*:$/ { file = $0 }
    $3 ~ /^[a-z_0-9]+\(/ { name = $3 }
    $2 ~ /^ *0$/ { print file, name, "|", $1 + 0, $3 }' >"$out/unreached"
wc -l <"$out/unreached"
