# common.sh - read by the scripts in this directory: a temporary directory, counters, verdicts
cd "$(dirname "$0")/../.." || exit 1
top=$(pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/pop3-portable.XXXXXX") || exit 1
trap 'cd /; rm -rf "$work"' 0
trap 'exit 130' 1 2 15
: "${CC:=cc}"
passed=0 failed=0 skipped=0

warnings='-std=c11 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes
    -Wmissing-prototypes -Wvla'

ok() { passed=$((passed + 1)); echo "ok - $1"; }
skip() { skipped=$((skipped + 1)); echo "skipped - $*"; }

# check NAME COMMAND...: runs the command, and prints its output if it fails.
check() {
    name=$1
    shift
    if "$@" >"$work/log" 2>&1; then
        ok "$name"
    else
        failed=$((failed + 1))
        echo "not ok - $name"
        cut -c 1-200 "$work/log" | head -n 40
    fi
}

# silent COMMAND...: succeeds if the command succeeds and prints nothing.
silent() {
    "$@" >"$work/output" 2>&1 && [ ! -s "$work/output" ] || { cat "$work/output"; false; }
}

finish() {
    echo "$passed passed, $failed failed, $skipped skipped"
    [ $failed -eq 0 ]
    exit
}
