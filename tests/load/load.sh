#!/bin/sh
# load.sh - the server under load and abuse; load.c describes the cases
#
#   sh tests/load/load.sh                   about a minute
#   sh tests/load/load.sh full              about half an hour, because of the random sessions
#   sh tests/load/load.sh [full] WORD...    the cases with one of these words in their name
#
# As root it uses the user nobody, a network and mounts of its own. What cannot be done here is
# reported as skipped. The environment can set SERVER (./server), CC, and for the random sessions
# LOAD_SEED and LOAD_SECONDS. Status 1 if anything failed.

LC_ALL=C
export LC_ALL
unset CDPATH
umask 022

top=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
case ${SERVER:=./server} in /*) ;; *) SERVER=$top/$SERVER ;; esac
size=quick
[ "$1" != full ] || { size=full; shift; }
if [ ! -e "/proc/$$/task/$$/children" ]; then
    echo "skip - there is no /proc here that tells of children"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi

# A server that watches its addresses leaves memory and more to the system when it ends.
: "${ASAN_OPTIONS=detect_leaks=0}"
export SERVER ASAN_OPTIONS

work=$(mktemp -d "${TMPDIR:-/tmp}/pop3-load.XXXXXX") || exit 1
chmod 711 "$work"
load_pid=
trap '[ -z "$load_pid" ] || kill "$load_pid" 2>/dev/null
    wait; cd /; chmod -R u+rwx "$work"; rm -rf "$work"' 0
trap 'exit 130' 1 2 15

${CC:-cc} -std=c11 -O1 -g -o "$work/load" "$top/tests/load/load.c" || exit 1
TMPDIR=$work "$work/load" $size "$@" >"$work/said" &
load_pid=$!
wait $load_pid
status=$?
load_pid=
cat "$work/said"
passed=$(grep -c '^ok - ' "$work/said")
failed=$(grep -c '^not ok - ' "$work/said")
skipped=$(grep -c '^skip - ' "$work/said")
[ "$skipped" -eq 0 ] && skips= || skips=", $skipped skipped"
echo "$passed passed, $failed failed$skips"
[ "$status" -eq 0 ] && [ "$failed" -eq 0 ]
