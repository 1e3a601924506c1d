#!/bin/sh
# odd.sh - both programs where something is missing that most machines have
#
# In each environment a client must retrieve mail from a server correctly. What this machine does
# not allow is skipped. Most of it needs Linux and root.
. "$(dirname "$0")/common.sh"
trap 'cd /; [ -z "$server" ] || kill -9 "$server" 2>/dev/null; rm -rf "$work"' 0
server= static=yes

# not_ok NAME REASON: prints the output of both programs, too.
not_ok() {
    failed=$((failed + 1))
    echo "not ok - $1: $2"
    for seen in server.out server.err client.out client.err; do
        [ ! -s "$work/$seen" ] || sed "s/^/    $seen: /" "$work/$seen" | cut -c 1-160 | head -n 12
    done
}

# ---- A root directory with only the programs and mail ----

# message N: prints a message with a quoted-printable word and a line with a dot.
message() {
    printf '%s\n' "From: writer$1@example.org" "Subject: Message $1" 'Content-Type: text/plain' \
        'Content-Transfer-Encoding: quoted-printable' '' 'Bronto=73aurus' '.' "end $1"
}

# fresh: makes a new root directory with two messages.
fresh() {
    cd "$work" || exit 1
    rm -rf root server.out server.err client.out client.err
    mkdir -p root/mail || exit 1
    cp server client without root || exit 1
    message 1 >root/mail/1
    message 2 >root/mail/2
    message 3 >three
    chown -R "${owner-0}" root/mail 2>/dev/null
    cd root || exit 1
}

# ---- Sessions ----

# serve COMMAND...: starts a server in the current directory. Sets $server and $port.
serve() {
    rm -f "$work/line"
    mkfifo "$work/line" || exit 1
    timeout 300 "$@" -d mail 0 >"$work/line" 2>"$work/server.err" &
    server=$!
    exec 3<"$work/line"         # stays open: the server prints a line for each address
    read -r heard <&3 || heard=
    port=${heard##* }
    [ "$port" ]
}

# stop: sends SIGTERM to the server. Returns its status.
stop() {
    kill "$server"
    wait "$server"
    set -- $?
    server=
    return "$1"
}

# leave: stops the server if it still runs.
leave() { [ -z "$server" ] || stop; } 2>/dev/null

# session COMMAND...: runs a client. Its commands come from standard input.
session() { timeout 300 "$@" 127.0.0.1 "$port" >"$work/client.out" 2>"$work/client.err"; }

# kept FILE: the file is the first message, unchanged.
kept() { message 1 | cmp -s - "$1"; }

# arrived: the first message was saved unchanged, and shown decoded. Else $why has the reason.
arrived() {
    why='the message in the store was changed'
    kept mail/1 || return 1
    why='RETR did not save the message'
    kept inbox/1.eml || return 1
    why='SHOW did not show the message'
    grep -q Brontosaurus "$work/client.out"
}

# fetch NAME SERVER-COMMAND CLIENT-COMMAND: two sessions, with new mail between them.
fetch() {
    name=$1 serving=$2 reading=$3
    why='the server did not start'
    if ! serve $serving; then
        not_ok "$name" "$why"
    elif ! printf '%s\n' stat 'retr 1' 'show 1' 'dele 2' quit | session $reading; then
        not_ok "$name" 'the client did not end with status 0'
    elif ! arrived; then
        not_ok "$name" "$why"
    elif [ -e mail/2 ]; then
        not_ok "$name" 'DELE and QUIT removed nothing'
    elif ! { cp ../three mail/.three && mv mail/.three mail/3 &&
        printf '%s\n' 'retr 2' quit | session $reading && cmp -s mail/3 inbox/2.eml; }; then
        not_ok "$name" 'the second session does not get the new message'
    elif ! stop; then
        not_ok "$name" 'SIGTERM does not end the server with status 0'
    else
        ok "$name"
    fi
    leave
}

# ---- The environments ----

if ! command -v timeout >/dev/null 2>&1 || ! command -v mkfifo >/dev/null 2>&1; then
    skip 'odd environments: no timeout or no mkfifo'
    finish
fi
for program in server client; do
    $CC -std=c11 -O1 ${CFLAGS-} -static -o "$work/$program" $program.c 2>"$work/link" ||
        { static=no; $CC -std=c11 -O1 ${CFLAGS-} -o "$work/$program" $program.c; } || exit 1
done
$CC -std=c11 -O1 -static -o "$work/without" tests/portable/without.c 2>/dev/null ||
    $CC -std=c11 -O1 -o "$work/without" tests/portable/without.c 2>/dev/null || : >"$work/without"


fresh
fetch 'an ordinary environment' ./server ./client

# Closed descriptors: no connection and no file may get their numbers.
script() { printf '%s\n' '#!/bin/sh' "$2" >"$work/$1"; chmod +x "$work/$1"; }
script closed-0 'exec "$@" <&-'
script closed-1 'exec "$@" >&-'
script closed-2 'exec "$@" 2>&-'
script closed-02 'exec "$@" <&- 2>&-'
script closed-012 'exec "$@" <&- >&- 2>&-'
for closed in 0 2 02; do
    fresh
    fetch "the server with descriptors closed: $closed" "$work/closed-$closed ./server" ./client
done
fresh
fetch 'the client with descriptor 2 closed' ./server "$work/closed-2 ./client"

# silent_server CLOSED: cannot print its port, so another server finds a free one first.
silent_server() {
    name="the server with descriptors closed: $1" tries=0
    fresh
    serve ./server || { not_ok "$name" 'the server did not start'; return; }
    stop                        # its status does not matter: it may still be starting
    timeout 300 "$work/closed-$1" ./server -d mail "$port" >"$work/server.out" 2>"$work/server.err" &
    server=$!
    until printf '%s\n' 'retr 1' 'show 1' quit | session ./client || [ $((tries += 1)) -gt 200 ]; do
        sleep 0.05
    done
    if arrived; then ok "$name"; else not_ok "$name" "$why"; fi
    leave
}
silent_server 1
silent_server 012

# mute_client CLOSED: cannot print anything, but it ends, and saves only complete messages.
mute_client() {
    name="the client with descriptors closed: $1"
    fresh
    serve ./server || { not_ok "$name" 'the server did not start'; return; }
    printf '%s\n' 'retr 1' 'dele 2' quit | session "$work/closed-$1" ./client
    status=$?
    if [ $status -gt 2 ]; then
        not_ok "$name" "status $status"
    elif ! kept mail/1; then
        not_ok "$name" 'the message in the store was changed'
    elif [ -e inbox ] && ! { kept inbox/1.eml && [ "$(ls -A inbox)" = 1.eml ]; }; then
        not_ok "$name" 'the message was not saved unchanged'
    elif [ ! -e mail/2 ] && [ "$1" != 1 ]; then
        not_ok "$name" 'it removed mail without reading a command'
    elif [ ! -e mail/2 ] && [ ! -e inbox ]; then
        not_ok "$name" 'it removed mail, but saved none'
    else
        ok "$name"
    fi
    leave
}
for closed in 0 1 02 012; do
    mute_client $closed
done

# System calls that an old kernel lacks, or that a container forbids.
if ./without possible 2>/dev/null; then
    calls='close_range getrandom inotify landlock memfd_create renameat2 seccomp statx'
    for error in ENOSYS EPERM; do
        for missing in $calls "$calls"; do
            fresh
            fetch "$error for $missing" "./without $error $missing -- ./server" \
                "./without $error $missing -- ./client"
        done
    done
else
    skip 'missing system calls: no seccomp filter can be installed'
fi

# Most of the rest needs root and static programs.
if ! unshare -p -f true 2>/dev/null; then
    skip 'as PID 1: needs root and namespaces'
else
    fresh
    fetch 'as PID 1' "unshare -p -f ./server" "unshare -p -f ./client"
fi
if [ "$(id -u)" != 0 ] || [ "$static" = no ] || ! chroot / true 2>/dev/null; then
    skip 'an empty root directory: needs root and static programs'
    finish
fi
owner=1234                      # a user without a passwd entry
fresh
fetch 'no /dev, /proc, /tmp, passwd' "chroot . ./server" "chroot . ./client"
fresh
fetch 'no /dev, /proc, /tmp, passwd; descriptor 2 closed' \
    "$work/closed-2 chroot . ./server" "$work/closed-2 chroot . ./client"

# The client's messages must not go into the connection.
name='no /dev/null; descriptor 2 closed; an error of the client'
fresh
if ! serve chroot . ./server; then
    not_ok "$name" 'the server did not start'
elif printf '%s\n' 'retr 9-7' stat quit | session "$work/closed-2" chroot . ./client ||
    ! grep -q '^+OK 2 ' "$work/client.out" || grep -q '^-ERR' "$work/client.out"; then
    not_ok "$name" 'the server received it'
else
    ok "$name"
fi
leave
if ./without possible 2>/dev/null; then
    for error in ENOSYS EPERM; do
        fresh
        fetch "no /dev, /proc, /tmp, passwd; $error for all these calls" \
            "chroot . ./without $error $calls -- ./server" \
            "chroot . ./without $error $calls -- ./client"
    done
fi

# read-only DIRECTORY... -- COMMAND...: makes everything but these directories read-only.
script read-only 'mount --bind . . && cd "$PWD" || exit 125
while [ "$1" != -- ]; do
    mount --bind "$1" "$1" || exit 125
    shift
done
shift
mount -o remount,bind,ro . && exec chroot . "$@"'
fresh
if ! unshare -m "$work/read-only" -- ./server -V >/dev/null 2>&1; then
    skip 'a read-only root directory: no mount is allowed here'
    finish
fi
mkdir inbox
fetch 'a read-only root directory' "unshare -m $work/read-only mail -- ./server" \
    "unshare -m $work/read-only inbox -- ./client"

# Nothing is writable: RETR and DELE fail, the rest works.
name='a read-only root directory, store and inbox'
fresh
if ! serve unshare -m "$work/read-only" -- ./server; then
    not_ok "$name" 'the server did not start'
elif printf '%s\n' 'show 1' 'retr 1' 'dele 2' quit |
    session unshare -m "$work/read-only" -- ./client; then
    not_ok "$name" 'the client ended with status 0'
elif ! kept mail/1 || [ ! -e mail/2 ] || [ -e inbox ]; then
    not_ok "$name" 'something was changed'
elif ! grep -q Brontosaurus "$work/client.out"; then
    not_ok "$name" 'SHOW did not show the message'
elif ! grep -q '^-ERR' "$work/client.out" || grep -q '^+OK.*removed' "$work/client.out"; then
    not_ok "$name" 'QUIT was not answered -ERR'
else
    ok "$name"
fi
leave
finish
