#!/bin/sh
# run.sh - runs the tests; the last line is "N passed, N failed", or with ", N skipped"
#
#   sh tests/run.sh              all of them
#   sh tests/run.sh NAME...      some: a test (server/dele, show/quotes, unit/header), a directory
#   prove -e sh tests/run.sh :: NAME...     the same for prove, which reads the output: it is TAP
#
# It needs sh, awk, cc and the usual tools. The environment can set SERVER and CLIENT (./server and
# ./client), to test programs that were built in another way; CC, CPPFLAGS, CFLAGS and LDFLAGS for
# the programs among the tests; and SECONDS_EACH, after which one session or program is ended: far
# longer than any takes, however slow the machine is.
#
# A program, tests/unit/NAME.c or tests/live/NAME.c, prints a line for each of its cases:
# "ok - WHAT", "not ok - WHAT" or "skip - WHAT: REASON". A fuzzer, tests/fuzz/NAME.c, replays the
# inputs in tests/corpus/NAME. For show/NAME, tests/unit/show.c tests one message.
#
# A conversation, tests/server/NAME or tests/client/NAME, is a text file. Its lines are executed in
# order, in a new directory, which holds an empty directory "store" at first:
#
#   # TEXT            what the conversation is for
#   store: mail       copies the messages of tests/mail/ (those of mail/) into the store
#   file: PATH TEXT   writes a file, store/1 for example; TEXT is its whole content
#   sh: COMMAND       runs a shell command, which must succeed; it can use $SERVER, $CLIENT, $top
#   skip-if: COMMAND  if it succeeds, this conversation is skipped, with the command as the reason
#   left: NAME...     these, and no others, are the names in the store now
#   options: WORDS    for the program under test, from here on, besides "-i -d store" or "-x ..."
#
# and a session, which lasts until one of the lines above or the end of the file:
#
#   C: TEXT           server/: a line that the client sends, with CRLF added
#                     client/: a line that a person types, with LF added
#   raw: TEXT         the same without a line end
#   S: TEXT           server/: a line from the server. These are all, in order, and end in CRLF.
#                     client/: a line on standard output. Others may stand between.
#   N S: TEXT         server/: N such lines
#   E: TEXT           a line on standard error. Others may stand between.
#   never: TEXT       no line on either is like this
#   exit: STATUS      the exit status. Without it: client/ 0, server/ anything but a crash.
#   server: WORDS     client/: options for the server, which otherwise gets "-i -d store" alone
#   answer: TEXT      client/: instead of our server, a greeting, then one answer for each line that
#                     comes, then the end; CAPA is answered -ERR. The file "commands" has the lines.
#
# Everything is sent before anything is read, so each conversation is a test of pipelining as well.
#
# TEXT may contain \n \r \t \\ \0ooo (octal), and {N*TEXT} for N times TEXT, up to 100,000 bytes.
# What is received is written in the same way before it is compared, bytes that are not printable
# ASCII as \0ooo. In S:, E: and never: a * stands for anything. A $word at the end of S: stands for
# a unique-id: the same word for the same one, another word for another.

LC_ALL=C
export LC_ALL
unset CDPATH
umask 022

: "${SECONDS_EACH=600}"        # for one session or one program
top=$(cd "$(dirname "$0")/.." && pwd) || exit 1
cd "$top" || exit 1

case ${SERVER:=./server} in /*) ;; *) SERVER=$top/$SERVER ;; esac
case ${CLIENT:=./client} in /*) ;; *) CLIENT=$top/$CLIENT ;; esac
: "${CC:=cc}" "${CFLAGS=-O0}"
strict='-std=c11 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes
    -Wmissing-prototypes -Wvla'
export SERVER CLIENT SECONDS_EACH top

# The end of a process is its cleanup: memory that it still has is no leak.
: "${ASAN_OPTIONS=detect_leaks=0}"
export ASAN_OPTIONS

work=$(mktemp -d "${TMPDIR:-/tmp}/pop3-tests.XXXXXX") || exit 1
trap 'cd /; chmod -R u+rwx "$work"; rm -rf "$work"' 0
trap 'exit 130' 1 2 15

# ---- One conversation, in a subshell -------------------------------------------------------------

# limit COMMAND...: runs it, and ends it if it takes too long: then the status is 124 or above 128.
if timeout 9 true >/dev/null 2>&1; then
    limit() { timeout "$SECONDS_EACH" "$@"; }
else
    limit() {
        { "$@" <&3 3<&- & } 3<&0
        limited=$!
        {
            sleep "$SECONDS_EACH" &
            trap 'kill $!; exit' 15
            wait $!
            kill "$limited"
        } </dev/null >/dev/null 2>&1 &
        wait "$limited"
        set -- $?
        kill $! 2>/dev/null
        return "$1"
    }
fi

fail() { printf '%s\n' "$*"; exit 1; }
skip() { printf '%s\n' "$*"; exit 77; }

# spell TEXT: sets $text to it, with {N*TEXT} written out. The backslashes are left for printf %b.
spell() {
    text= rest=$1
    while :; do
        case $rest in
        *'{'[0-9]*'*'*'}'*) ;;
        *) text=$text$rest; return ;;
        esac
        part=${rest%%'{'[0-9]*}
        rest=${rest#"$part{"}
        text=$text$part
        count=${rest%%'*'*}
        rest=${rest#*'*'}
        part=${rest%%'}'*}
        rest=${rest#*'}'}
        while [ "$count" -gt 0 ]; do
            [ $((count % 2)) -eq 0 ] || text=$text$part
            part=$part$part
            count=$((count / 2))
        done
    done
}

# The server of "answer:", started in the conversation's directory.
canned='exec 3<answers
IFS= read -r answer <&3
while printf %b "$answer" && IFS= read -r answer <&3; do
    while IFS= read -r command || exit 0; do
        printf "%s\n" "$command" >>commands
        case $command in [Cc][Aa][Pp][Aa]*) printf "%b" "-ERR no\r\n" ;; *) break ;; esac
    done
done'

# Runs the session that was written to files, if there is one, and compares its output.
run_session() {
    [ "$session" ] || return 0
    session=
    eval "set -- $options"
    if [ $kind = server ]; then
        set -- "$SERVER" -i -d store "$@"
    elif [ -e answers ]; then
        set -- "$CLIENT" -x "$canned" "$@"
    else
        set -- "$CLIENT" -x "'$SERVER' -i -d store $server" "$@"
    fi
    cat input | limit "$@" >output 2>errors
    status=$?
    { od -An -v -tu1 output; echo errors; od -An -v -tu1 errors; } |
        awk -v kind=$kind -v status=$status -v exit_wanted="$exit" \
            -f "$top/tests/judge.awk" wanted - || exit 1
    rm -f answers wanted
    : >input
    : >wanted
    exit=
}

# conversation KIND/NAME
conversation() {
    kind=${1%%/*}
    mkdir "$now" "$now/store" && cd "$now" || fail "no directory to work in"
    session= options= server= exit=
    : >input
    : >wanted

    while IFS= read -r line || [ "$line" ]; do
        word=${line%%:*}
        text=${line#*:}
        text=${text# }
        case $word in
        '' | '#'*) continue ;;
        C | raw | S | *' S' | E | never | exit | server | answer) session=yes ;;
        *) run_session ;;
        esac

        case $word in
        C) spell "$text"
           if [ $kind = server ]; then text=$text'\r'; fi
           printf %b "$text\n" >>input ;;
        raw) spell "$text"; printf %b "$text" >>input ;;
        S | E | never) spell "$text"; printf '%s %s\n' "$word" "$text" >>wanted ;;
        *' S') printf '%s %s\n' "$word" "$text" >>wanted ;;
        exit) exit=$text ;;
        server) server=$text ;;
        answer) spell "$text"; printf '%s\n' "$text" >>answers ;;

        store) cp "$top/tests/$text"/* store || fail "cannot copy $text" ;;
        file) file=${text%% *}
              case $text in *' '*) spell "${text#* }" ;; *) text= ;; esac
              printf %b "$text" >"$file" || fail "cannot write $file" ;;
        sh) limit sh -c "$text" </dev/null || fail "this failed: $text" ;;
        skip-if)
            ! limit sh -c "$text" </dev/null >/dev/null 2>&1 || skip "skip-if: $text" ;;
        left) found=$(echo $(ls -A store))
              [ "$found" = "$text" ] || fail "left in the store: $found" "(wanted: $text)" ;;
        options) options=$text ;;
        *) fail "unknown line: $line" ;;
        esac
    done <"$top/tests/$1"
    run_session
}

# ---- All of them ---------------------------------------------------------------------------------

# verdict "ok"|"not ok" NAME
verdict() { printf '%s - %s\n' "$1" "$2"; }

# run_conversation NAME: prints the verdict.
run_conversation() {
    (conversation "$1") >"$work/report$row" 2>&1
    case $? in
    0) verdict ok "$1" ;;
    77) verdict ok "$1 # SKIP $(head -n 1 "$work/report$row")" ;;
    *) verdict 'not ok' "$1"
       cut -c 1-200 "$work/report$row" | sed 's/^/#   /'
       echo "#   again: sh tests/run.sh $1" ;;
    esac
    chmod -R u+rwx "$now"
    rm -rf "$now"
}

# run_program NAME: compiles and runs it, and prints the verdict of each of its cases.
run_program() {
    binary=tests/build/${1%/*}_${1#*/} report=$work/report$row errors=$work/errors$row
    source=tests/$1.c argument=
    case $1 in
    fuzz/*) argument=tests/corpus/${1#fuzz/} ;;
    show/*) argument=${1#show/} source=tests/unit/show.c ;;
    esac
    mkdir "$now"
    if $CC $strict $CPPFLAGS $CFLAGS -o "$binary" "$source" $LDFLAGS >"$errors" 2>&1; then
        TMPDIR=$now limit "$binary" $argument >"$report" 2>>"$errors" </dev/null
        status=$?
    else
        echo 'not ok - does not compile' >"$report"
        status=1
    fi
    rm -rf "$now"

    worst=0
    while IFS= read -r line; do
        case $line in
        'ok - '*) verdict ok "$1: ${line#*- }" ;;
        'skip - '*) line=${line#*- }; verdict ok "$1: ${line%: *} # SKIP ${line##*: }" ;;
        'not ok - '*) worst=1; verdict 'not ok' "$1: ${line#*- }" ;;
        *) echo "#   $line" ;;
        esac
    done <"$report"
    if [ $status -ne $worst ]; then
        worst=1
        verdict 'not ok' "$1: ended with status $status"
    fi
    sed 's/^/#   /' "$errors"
    [ $worst -eq 0 ] || echo "#   again: sh tests/run.sh $1"
}

# take NAME: succeeds for the first row that takes this test.
take() {
    set -C
    { true >"$work/taken.${1%/*}_${1#*/}"; } 2>/dev/null
    set -- $?
    set +C
    return "$1"
}

# run_row NUMBER: runs the tests that no other row has taken.
run_row() {
    row=$1 now=$work/now$1
    for each in $tests; do
        take "$each" || continue
        if [ -f "tests/$each.c" ] || [ -f "tests/$each.80" ] || [ -f "tests/$each.eml" ]; then
            run_program "$each"
        elif [ -f "tests/$each" ]; then
            run_conversation "$each"
        else
            verdict 'not ok' "$each: there is no such test"
        fi >"$work/verdict$row"
        tee -a "$work/verdicts$row" <"$work/verdict$row"
    done
}

# The longest ones first. unit/editor and unit/show include fuzz/editor and fuzz/show, and replay
# their inputs.
[ $# -gt 0 ] || set -- live unit fuzz server client
tests=
for asked; do
    asked=${asked#tests/}
    asked=${asked%/}
    case $asked in
    server | client | unit | live | fuzz)
        for each in tests/"$asked"/*; do
            each=${each#tests/}
            case $each in *.h | fuzz/editor.c | fuzz/show.c) ;; *) tests="$tests ${each%.c}" ;; esac
        done ;;
    show) tests="$tests unit/show" ;;
    show/*) tests="$tests ${asked%.*}" ;;
    *) tests="$tests ${asked%.c}" ;;
    esac
done

# Most tests wait more than they compute, so four rows of them run side by side.
mkdir -p tests/build
rows=
trap 'kill $rows; exit 130' 1 2 15
for row in 1 2 3 4; do
    run_row $row &
    rows="$rows $!"
done
wait

cat "$work"/verdicts? | awk '
    /^ok / { if (/ # SKIP /) skipped++; else passed++ }
    /^not ok / { failed++ }
    END {
        print "1.." passed + failed + skipped
        print passed + 0 " passed, " failed + 0 " failed" (skipped ? ", " skipped " skipped" : "")
        exit failed > 0
    }'
