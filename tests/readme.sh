#!/bin/sh
# readme.sh - runs the examples of the README
#
#   sh readme.sh PART       with SERVER, CLIENT and top from run.sh, and messages in store/
#
# Each conversation readme-* runs one part. The blocks of the README run unchanged, except for
# ports, paths and programs. The session with the client needs a terminal, so
# tests/live/readme_client.c runs it.

fail() { printf '%s\n' "$*"; exit 1; }

# block TEXT FILE: writes the block of the README that contains this text to a file.
block() {
    awk -v text="$1" '
        /^```/ && inside { if (found) { printf "%s", held; exit } inside = 0; next }
        /^```/ { inside = 1; held = ""; next }
        inside { held = held $0 "\n"; if (index($0, text) > 0) found = 1 }
    ' "$top/README.md" >"$2"
    [ -s "$2" ] || fail "README.md has no block with $1"
}

# edit FILE SCRIPT: edits a file with sed.
edit() { sed "$2" "$1" >edited && mv edited "$1"; }

# start OPTION...: starts the server on store/ and sets $port.
start() {
    mkfifo listening
    ./server -a 127.0.0.1 -d store "$@" 0 >listening 2>log &
    server=$!
    trap 'kill $server' 0
    read -r _ _ _ _ port <listening || fail "no server: $(cat log)"
}

# same WANTED FOUND: fails unless two files are equal.
same() { diff "$1" "$2" >difference || fail "$1 is not $2:" "$(cat difference)"; }

ln -s "$SERVER" server
ln -s "$CLIENT" client
PATH=$PWD/bin:$PATH
mkdir bin

# The start of the server. Standard output and standard error may come in any order.
server() {
    mv store mail
    block '$ ./server 5000' wanted
    edit wanted 1d
    mkfifo listening
    ./server 0 >listening 2>log &
    server=$!
    head -n 2 listening >found
    kill $server
    wait $server || fail "the server ended with status $?"
    grep -v ': warning: the store belongs to root\|server: stopped$' log >>found
    for file in wanted found; do
        sed 's/^20[0-9T:-]*Z /TIME /; s/port [0-9]*$/port N/; /^listening on ::1/d' $file |
            sort >$file.sorted
    done
    same wanted.sorted found.sorted
}

# The script for the client, the one that delivers, and the line that the log has of a session.
scripts() {
    start
    cp store/1.eml message
    block 'RETR *' script
    edit script "s/5000/$port/"
    sh script >output || fail "the script failed"
    for i in 1 2 3; do same store/$i.eml inbox/$i.eml; done
    block 'usage: deliver' deliver
    sh deliver store <message || fail "deliver failed"
    [ -z "$(find store -name '*.*.eml' ! -perm 600 -print)" ] || fail "others can read the mail"
    printf 'RETR 4\nDELE 4\nQUIT\n' | ./client 127.0.0.1 "$port" >output || fail "$(cat output)"
    same message inbox/4.eml
    [ -z "$(find store -name '.*' ! -name store -print)" ] || fail "deliver leaves a temporary file"
    printf 'RETR 1\nTOP 2 1\nDELE 2\nQUIT\n' | ./client 127.0.0.1 "$port" >output
    trap - 0
    kill $server
    wait $server
    sed -n 's/^    \(.*: quit retr=.*\) [0-9.]* s$/\1/p' "$top/README.md" >wanted
    sed -n '/session starts/d; s/ [0-9.]* s$//p' log | tail -n 1 >found
    for file in wanted found; do
        edit $file 's/^20[0-9T:-]*Z /TIME /; s/127.0.0.1:[0-9]*/PEER/'
    done
    same wanted found
}

# The examples of -x. Scripts replace openssl and ssh and run the server. With -starttls openssl
# does not print the greeting.
tunnels() {
    cp -R store mail
    ln -s "$SERVER" bin/pop3-server
    cat >bin/openssl <<'END'
#!/bin/sh
echo "$*" >>arguments
case " $* " in
*' -starttls pop3 '*) pop3-server -i -d store 2>>log | { IFS= read -r greeting; exec cat; } ;;
*' -quiet '*) exec pop3-server -i -d store 2>>log ;;
esac
END
    printf '%s\n' '#!/bin/sh' 'echo "$*" >>arguments' 'shift' 'exec "$@" 2>>log' >bin/ssh
    chmod +x bin/openssl bin/ssh
    for which in 'ssh mail' 'starttls pop3'; do
        block "$which" script
        # Runs each command of the block with the same input.
        awk '/^\.\/client/ { n++ } { print > ("script." n) }' script
        for script in script.*; do
            printf 'RETR 1\nQUIT\n' | sh $script >output 2>&1 || fail "$script: $(cat output)"
            grep -q '^+OK 0 messages removed, 3 left' output || fail "$(cat output)"
            mv $script done.$script
        done
    done
    for checked in '-verify_return_error' '-verify_hostname mail.example.org' '-connect mail'; do
        [ "$(grep -c -e "$checked" arguments)" -eq 2 ] || fail "openssl got: $(cat arguments)"
    done
    grep -q '^mail.example.org pop3-server -i -d mail$' arguments ||
        fail "ssh got: $(cat arguments)"
}

# ended PID: waits up to a minute for the end of a process.
ended() {
    i=0
    while [ $((i += 1)) -le 60 ]; do
        kill -0 "$1" 2>/dev/null || return 0
        sleep 1
    done
    kill "$1"
    return 1
}

# The fixture in sh stops its server and removes its files, also when a signal interrupts it.
fixture_sh() {
    mv store mail
    block mkfifo script
    echo 'echo $server >pid' >>script
    awk '{ print } /^read/ { print "echo $server >pid; kill $$" }' script >interrupted
    mkdir tmp
    TMPDIR=$PWD/tmp sh script >output 2>&1 || fail "$(cat output)"
    ended "$(cat pid)" || fail "the fixture leaves its server"
    grep -q '^+OK 1 message removed, 2 left$' output &&
        [ "$(tail -n 2 output | tr '\n' ' ')" = '2.eml 3.eml ' ] || fail "$(cat output)"
    [ -z "$(ls tmp)" ] || fail "the fixture leaves files"
    [ -e mail/1.eml ] || fail "the fixture removed mail/1.eml itself"

    for shell in sh dash bash; do
        command -v $shell >path || continue
        rm pid
        ! TMPDIR=$PWD/tmp $shell interrupted >output 2>&1 || fail "$shell was not interrupted"
        ended "$(cat pid)" || fail "the interrupted fixture leaves its server: $shell"
        [ -z "$(ls tmp)" ] || fail "the interrupted fixture leaves files: $shell"
    done
}

# The fixture in Python stops its server and leaves mail/ as it is.
fixture_python() {
    mv store mail
    block poplib script
    echo 'assert server.poll() is not None and not os.path.exists(mail)' >>script
    python3 script >output 2>errors || fail "$(cat errors)"
    [ "$(cat output)" = "['2.eml', '3.eml']" ] || fail "$(cat output)"
    [ -e mail/1.eml ] || fail "the fixture removed mail/1.eml itself"
}

# The unit loads without a warning, and systemd rates its exposure below 2 of 10.
systemd() {
    block '[Service]' pop3.service
    edit pop3.service "s|=/usr/local/bin/pop3-server|=$SERVER|"
    systemd-analyze verify ./pop3.service >output 2>&1 && [ ! -s output ] || fail "$(cat output)"
    systemd-analyze security --offline=true --threshold=20 --no-pager ./pop3.service >output ||
        fail "$(tail -n 1 output)"
}

# The filter finds failed logins in a log and in the format of the journal.
fail2ban() {
    echo 'tim:secret' >pass
    chmod 600 pass
    start -p pass
    printf 'USER tim\nPASS wrong\nUSER tim\nPASS secret\nQUIT\n' |
        ./client 127.0.0.1 "$port" >output
    block failregex filter.conf
    sed -n 's/^[^ ]* \(.*login failed\)/Nov 29 21:47:14 host pop3-server[77]: \1/p' log >journal
    sed -n 's/server: [^ ]*: login failed/server: 192.0.2.7 (from REMOTE_HOST): login failed/p' \
        log >stunnel
    for file in log journal stunnel; do
        fail2ban-regex "$PWD/$file" "$PWD/filter.conf" >output 2>&1
        grep -q '^Lines: .* 1 matched,' output || fail "$file: $(cat output)"
    done
}

$1
