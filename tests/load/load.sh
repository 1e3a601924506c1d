#!/bin/sh
# load.sh - the server under load and abuse; load.c describes the cases
#
#   sh tests/load/load.sh                   about a minute
#   sh tests/load/load.sh full              half an hour, mostly random sessions
#   sh tests/load/load.sh [full] WORD...    the cases with one of these words in their name
#
# Run by root, it also uses the user nobody, and network and mount namespaces. Cases that cannot run
# here are reported as skipped. The environment can set SERVER (default ./server), CC, LOAD_SEED and
# LOAD_SECONDS. Status 1 if a case failed.

LC_ALL=C
export LC_ALL
unset CDPATH
umask 022

top=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
case ${SERVER:=./server} in /*) ;; *) SERVER=$top/$SERVER ;; esac
size=quick
[ "$1" != full ] || { size=full; shift; }
if [ ! -e "/proc/$$/task/$$/children" ]; then
    echo "skip - /proc/PID/task/PID/children is missing"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi

# The server leaves its memory to the kernel when it exits.
: "${ASAN_OPTIONS=detect_leaks=0}"
export SERVER ASAN_OPTIONS

work=$(mktemp -d "${TMPDIR:-/tmp}/pop3-load.XXXXXX") || exit 1
chmod 711 "$work"
load_pid=
trap '[ -z "$load_pid" ] || kill "$load_pid" 2>/dev/null
    wait; cd /; chmod -R u+rwx "$work"; rm -rf "$work"' 0
trap 'exit 130' 1 2 15

${CC:-cc} -std=c11 -O1 -g -o "$work/load" "$top/tests/load/load.c" || exit 1
TMPDIR=$work "$work/load" $size "$@" >"$work/output" &
load_pid=$!
wait $load_pid
status=$?
load_pid=
cat "$work/output"
passed=$(grep -c '^ok - ' "$work/output")
failed=$(grep -c '^not ok - ' "$work/output")
skipped=$(grep -c '^skip - ' "$work/output")
[ "$skipped" -eq 0 ] && skips= || skips=", $skipped skipped"
echo "$passed passed, $failed failed$skips"
[ "$status" -eq 0 ] && [ "$failed" -eq 0 ]
