#!/bin/sh
# readme.sh - what the README shows is what happens
#
# Run by the conversation client/readme, in a directory of its own with the messages in store/. The README's
# two sessions are held again and compared: the lines that are typed stand behind "$ " and "pop3> ", a line
# "..." stands for any number of lines, and what depends on the machine is left out.

fail() { printf '%s\n' "$*"; exit 1; }

# shown PROGRAM: the README's session with it, without its margin, and without what another machine says.
shown() {
    awk -v start="    $ ./$1 " '
        index($0, start) == 1 { on = 1; next }
        on && /^    ?$|^$/ { blank++; next }
        on && !/^    / { exit }
        on { for (; blank > 0; blank--) print ""; sub(/^    /, ""); print }
    ' "$top/README.md"
}

# compare WANTED FOUND: line by line; fails with the difference.
compare() {
    awk '
        NR == FNR { wanted[++count] = $0; next }
        { found[++lines] = $0 }
        END {
            for (i = j = 1; i <= count; i++) {
                if (wanted[i] == "...") {
                    i++
                    while (j <= lines && found[j] != wanted[i])
                        j++
                }
                if (i <= count && found[j++] != wanted[i]) {
                    print "the README has:\n  " wanted[i] "\nand there is:\n  " found[j - 1]
                    exit 1
                }
            }
            if (j <= lines) {
                print "the README lacks:\n  " found[j]
                exit 1
            }
        }' "$1" "$2"
}

# The client. Its prompt and what is typed there are seen on a terminal alone, and so are folded fields.
shown client | sed '/^pop3> /d; /^$/d' |
    awk '/^          / { sub(/^ */, " "); held = held $0; next } NR > 1 { print held } { held = $0 } END { print held }' \
        >wanted.client
shown client | sed -n 's/^pop3> //p' >typed
[ "$(wc -l <typed)" -ge 5 ] || fail "the README has no session with the client"
"$CLIENT" -x "'$SERVER' -i -d store" <typed 2>errors | sed '/^$/d' >found.client
compare wanted.client found.client || exit 1

# The server: its two outputs may come in any order.
mkfifo listening
cp -R "$top/tests/mail" mail
"$SERVER" 0 >listening 2>log &
server=$!
head -n 2 listening >found.server
kill $server
wait $server
port=$(sed -n 's/.* port //p; q' found.server)
grep -v ': warning: the store belongs to root\|^server: stopped$' log >>found.server
sed "s/ port $port\$/ port 5000/" found.server | sort >found.sorted
shown server | sort >wanted.sorted
# How far a session is confined depends on the system; that it is told of does not.
for file in found.sorted wanted.sorted; do
    sed 's/^\(server: a session can\).*/\1/; /^listening on ::1/d' $file >$file.same
done
grep -q 'listening on 127.0.0.1' wanted.sorted.same || fail "the README does not start a server"
compare wanted.sorted.same found.sorted.same
