#!/bin/sh
# faults.sh - every system call of both programs fails in turn, and they are killed at each (see faults.c)
#
#   tests/faults/faults.sh             all of it, in a minute or more
#   tests/faults/faults.sh PART        what begins so: client cases are tcp and command, the server's net and login
#   tests/faults/faults.sh CASE...     these, with all that was seen; a failed one is named with this command
#   tests/faults/faults.sh possible    says whether this machine can do it
cd "$(dirname "$0")/../.." || exit 1
CC=${CC:-cc}
directory=$(mktemp -d) || exit 1
trap 'rm -rf "$directory"' EXIT
trap 'exit 1' HUP INT TERM

compile() { $CC -std=c11 -Wall -Wextra ${CFLAGS:--O1} "$@"; }
faults=tests/faults/faults.c

compile -o "$directory/faults" $faults || exit 1
if [ "$*" = possible ]; then
    "$directory/faults"
    exit
fi
# The server as "make" links it, where that can be.
{ compile -fPIE -static-pie -DPROGRAM='"../../server.c"' -o "$directory/server" $faults 2>/dev/null &&
    "$directory/server" -V >/dev/null 2>&1; } ||
    compile -DPROGRAM='"../../server.c"' -o "$directory/server" $faults || exit 1
compile -DPROGRAM='"../../client.c"' -o "$directory/client" $faults &&
    compile -o "$directory/plain-server" server.c && compile -o "$directory/plain-client" client.c || exit 1
TMPDIR=$directory REPEAT='sh tests/faults/faults.sh' "$directory/faults" "$directory/server" "$directory/client" \
    "$directory/plain-server" "$directory/plain-client" "$@"
