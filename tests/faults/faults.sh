#!/bin/sh
# faults.sh - makes each system call of both programs fail, and kills them at each (see faults.c)
#
#   sh tests/faults/faults.sh             all cases: one or two minutes
#   sh tests/faults/faults.sh PREFIX      the cases whose names begin with this: net and login are
#                                         the server, tcp and command the client; or net:1:fsync
#   sh tests/faults/faults.sh CASE...     these cases, with a trace
#   sh tests/faults/faults.sh possible    status 0 if this machine allows it
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
# The server is static, as "make" links it, if possible.
{ compile -fPIE -static-pie -DPROGRAM='"../../server.c"' -o "$directory/server" $faults \
    2>/dev/null && "$directory/server" -V >/dev/null 2>&1; } ||
    compile -DPROGRAM='"../../server.c"' -o "$directory/server" $faults || exit 1
compile -DPROGRAM='"../../client.c"' -o "$directory/client" $faults || exit 1
TMPDIR=$directory "$directory/faults" "$directory/server" "$directory/client" "$@"
