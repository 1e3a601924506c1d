#!/bin/sh
# first.sh - a first session: the server on a copy of mail/, and the client with it
#
# At a terminal the user types the commands, otherwise this script does. RETR saves in
# tests/build/inbox.
set -e
cd "$(dirname "$0")/.."
work=$(mktemp -d "${TMPDIR:-/tmp}/pop3-first.XXXXXX")
trap 'kill "$server" 2>/dev/null; rm -rf "$work"' 0
trap 'exit 130' 1 2 15

inbox=tests/build/inbox
rm -rf "$inbox"
mkdir -p tests/build
cp -R mail "$work/mail"
mkfifo "$work/listening"
./server -d "$work/mail" 0 >"$work/listening" 2>"$work/log" &
server=$!
if ! read -r listening on host its_port port <"$work/listening"; then
    cat "$work/log" >&2
    exit 1
fi
if [ -t 0 ]; then
    echo "The server has a copy of mail/, on $host port $port. HELP lists the commands."
    ./client -d "$inbox" "$host" "$port" || :   # a refused command is no failure of "make run"
else
    printf '%s\n' STAT LIST 'TOP 1 2' 'RETR 1' 'DELE 1' QUIT |
        ./client -v -d "$inbox" "$host" "$port"
fi
