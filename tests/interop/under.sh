# under.sh - programs that start our server, or deliver into its store; read by interop.sh
#
# The programs of the first part listen and start "server -i" for each connection. With each of them
# curl retrieves all messages, our client removes them, and a client that disconnects during a
# session removes nothing. In the second part, programs deliver while sessions remove messages.

# ---- Programs that listen ------------------------------------------------------------------------

# server_command: prints the command that serves one session.
server_command() { echo "$SERVER -i -d $PWD/store -p $PWD/passfile"; }

# listen FUNCTION: sets $port and runs the function, which executes the program that listens there.
# Succeeds if our server answers.
listen() {
    for attempt in 1 2 3; do
        port=$(mail port)
        $1 >log 2>&1 &
        tunnel_pid=$!
        mail greets $port && return
        ! kill -0 $tunnel_pid 2>/dev/null || break
        stop_listening
    done
    return 1
}

stop_listening() {
    kill $tunnel_pid 2>/dev/null
    wait $tunnel_pid 2>/dev/null
    tunnel_pid=
}

# through FUNCTION: runs it while $under listens. Prints what is wrong.
through() {
    echo "$user:$password" >passfile
    if start_$under; then
        $1
    else
        echo "$under does not start"
    fi
    stop_$under
    ! grep -e 'killed by signal' -e Sanitizer -e 'runtime error' log
}

by_curl() {
    host=127.0.0.1 delete=no
    get_curl >said 2>&1 || echo "curl ended with status $?"
    arrived line-if-empty
    succeeds mail sizes mail listing
}

# all_removed ARGUMENT...: our client retrieves and removes all messages. Prints what is wrong.
all_removed() {
    talk "user $user\npass $password\nlist\nretr *\ndele *\nquit\n" "$@"
    sizes_differ 0
    arrived lf
    [ ! "$(ls -A store)" ] || echo 'left in the store:' $(ls -A store)
}

by_client() { all_removed 127.0.0.1 $port; }

# A client that disconnects without QUIT removes nothing.
disconnected() {
    mail breaks_off $port "$user" "$password" || echo 'the session failed'
    mail ended "$SERVER" "$PWD/store" || echo 'our server does not end'
    diff -r mail store >/dev/null || echo 'the store was changed'
}

# all_messages: prints "N of N".
all_messages() {
    count=$(ls "$work/messages" | wc -l)
    echo $count of $count
}

# check_three NAME WRAPPER DISCONNECTED: makes the three checks of a program between our server and
# a client. WRAPPER runs a function while it listens. Sets $listed, $fetched and $deleted.
check_three() {
    listed=sizes fetched=$(all_messages) deleted=yes
    check $1 'curl lists and gets all messages' 'curl --version | grep pop3' "$2 by_curl" ||
        listed=FAILED fetched=FAILED
    check $1 'our client removes all' true "$2 by_client" || deleted=FAILED
    check $1 'a client that disconnects removes nothing' true "$2 $3" || deleted=FAILED
}

# under NAME PROGRAM VERSION TEST REMARK: our server, started by a program. Its functions are
# start_NAME, which sets $port, and stop_NAME. Our server's log may be in the file log.
under() {
    under=$1
    wanted $under || return
    if ! available "$4"; then
        skip_row under $under "$2" "not installed ($4)"
        return
    fi
    check_three $under through disconnected
    row under "$2" "$3" "$listed" "$fetched" $deleted "$5"
}

# socat passes a socketpair, or two pipes, or, with nofork, the connection itself.
socat_listens() {
    exec $server_limit socat "TCP-LISTEN:$port,bind=127.0.0.1,reuseaddr,fork" \
        "EXEC:$(server_command)$handed_over"
}

start_socat() { listen socat_listens; }
stop_socat() { stop_listening; }

for handed_over in '' ,pipes ,nofork; do
    under socat "socat EXEC$handed_over" "$(version_in 'socat -V')" 'socat -V' ''
done

# As a unit with Accept=yes: the connection is standard input and output.
systemd_listens() {
    exec $server_limit systemd-socket-activate --inetd -a -l "127.0.0.1:$port" $(server_command)
}
start_systemd() { listen systemd_listens; }
stop_systemd() { stop_listening; }
under systemd systemd-socket-activate "$(version_in 'systemctl --version')" \
    'systemd-socket-activate --version' '--inetd -a'

# With both inetds, standard error is the connection, too.
start_openbsd_inetd() { start_guest openbsd_inetd_start; }
openbsd_inetd_start() {
    echo "127.0.0.1:$port stream tcp nowait root $SERVER $(server_command)" >inetd.conf
    echo "exec inetd -i $PWD/inetd.conf"
}

start_xinetd() { start_guest xinetd_start; }
xinetd_start() {
    cat >xinetd.conf <<EOF
service pop3
{
    type = UNLISTED
    bind = 127.0.0.1
    port = $port
    socket_type = stream
    protocol = tcp
    wait = no
    user = root
    server = $SERVER
    server_args = -i -d $PWD/store -p $PWD/passfile
}
EOF
    echo "exec xinetd -dontfork -f $PWD/xinetd.conf"
}

stop_openbsd_inetd() { stop_guest; }
stop_xinetd() { stop_guest; }

# guest_under NAME PROGRAM PACKAGE...: unpacks the program and lets it listen.
guest_under() {
    wanted $1 || return
    name=$1 program=$2
    shift 2
    ! guest_or_skip under $name "$program" "$@" || under $name "$program" "$version" true ''
    rm -rf "$guest"
}

guest_under openbsd_inetd 'OpenBSD inetd' openbsd-inetd
guest_under xinetd xinetd xinetd

# ---- TLS and ssh ---------------------------------------------------------------------------------

# The log of stunnel has the port.
start_tunnel() {
    echo "$user:$password" >passfile
    cat >stunnel.conf <<EOF
foreground = yes
pid =
syslog = no
debug = info
[pop3s]
accept = 127.0.0.1:0
cert = $work/cert.pem
key = $work/key.pem
exec = $SERVER
execArgs = server -i -d store -p passfile
EOF
    $server_limit stunnel stunnel.conf 2>log >said &
    tunnel_pid=$!
    wait_for grep 'bound to 127' log
    tls_port=$(sed -n 's/.*bound to 127.0.0.1://p' log)
}

stop_tunnel() {
    kill $tunnel_pid
    wait $tunnel_pid
    tunnel_pid=
    ! grep -e 'killed by signal' -e Sanitizer -e 'runtime error' log
}

curl_by_tls() {
    start_tunnel || echo 'stunnel does not start'
    $limit curl -sS --cacert "$work/authority.pem" --user "$user:$password" -o 'got/#1' \
        "pop3s://localhost:$tls_port/[1-$(ls mail | wc -l)]" >said 2>&1 ||
        echo "curl ended with status $?"
    stop_tunnel
    arrived line-if-empty
}

client_by_tls() {
    start_tunnel || echo 'stunnel does not start'
    all_removed -x "$(s_client $tls_port $trusted)"
    stop_tunnel
}

# killed_client ARGUMENT...: our client marks all messages and is terminated by a signal. Prints
# what is wrong.
killed_client() {
    mkfifo typed
    $limit "$CLIENT" -d got "$@" <typed >said 2>errors &
    helper_pids=$!
    exec 4>typed
    printf "user $user\npass $password\ndele *\nnoop\n" >&4
    wait_for grep ' marked, 0 failed' said || echo 'the messages were not marked'
    kill $helper_pids
    wait $helper_pids           # before the end of its input, which would act as QUIT
    exec 4>&-
    helper_pids=
    diff -r mail store >/dev/null || echo 'the store was changed'
}

killed_client_by_tls() {
    start_tunnel || echo 'stunnel does not start'
    killed_client -x "$(s_client $tls_port $trusted)"
    stop_tunnel
}

stunnel='stunnel -version && openssl version'
if wanted stunnel; then
    listed=sizes fetched=$(all_messages) deleted=yes
    check stunnel 'curl gets all messages' "$stunnel && curl --version | grep pop3s" curl_by_tls ||
        fetched=FAILED
    check stunnel 'our client gets and removes all' "$stunnel" client_by_tls ||
        listed=FAILED deleted=FAILED
    check stunnel 'a client that is killed removes nothing' "$stunnel" killed_client_by_tls ||
        deleted=FAILED
    if available "$stunnel"; then
        row under stunnel "$(version_in 'stunnel -version')" $listed "$fetched" $deleted \
            'a certificate of an authority, checked'
    else
        row under stunnel '' '' '' '' 'not installed'
    fi
fi

# An sshd with new keys, and a user who has our server and the store in the home directory.
start_sshd() {
    start_guest sshd_start
}

sshd_start() {
    ssh-keygen -q -t ed25519 -N '' -f host_key
    ssh-keygen -q -t ed25519 -N '' -f user_key
    echo "[127.0.0.1]:$port $(cat host_key.pub)" >known_hosts
    cat >sshd_config <<EOF
ListenAddress 127.0.0.1:$port
HostKey $PWD/host_key
AuthorizedKeysFile $PWD/user_key.pub
StrictModes no
UsePAM no
PidFile none
EOF
    cp "$SERVER" server
    chmod 755 server
    chown -R $guest_uid store
    cat <<EOF
mkdir -p /run/sshd
exec /usr/sbin/sshd -D -e -f $PWD/sshd_config
EOF
}

by_ssh() {
    start_sshd || echo 'sshd does not start'
    $1 -x "ssh -F none -i $PWD/user_key -o IdentitiesOnly=yes \
        -o UserKnownHostsFile=$PWD/known_hosts -o BatchMode=yes -p $port \
        $user@127.0.0.1 ./server -i -d store"
    stop_guest
}

if wanted ssh; then
    if ! available 'ssh -V && ssh-keygen -?; command -v ssh-keygen'; then
        skip_row under ssh ssh 'not installed (ssh)'
    elif guest_or_skip under ssh ssh openssh-server; then
        listed=sizes fetched=$(all_messages) deleted=yes
        check ssh 'our client gets and removes all' true 'by_ssh all_removed' ||
            listed=FAILED fetched=FAILED deleted=FAILED
        check ssh 'a client that is killed removes nothing' true 'by_ssh killed_client' ||
            deleted=FAILED
        row under ssh "$version" $listed "$fetched" $deleted \
            "client -x 'ssh host ./server -i -d store'"
    fi
    rm -rf "$guest"
fi

# ---- Delivery ------------------------------------------------------------------------------------

# delivered COUNT COMMAND...: two processes deliver numbered messages with that command. During
# this, our client retrieves and removes messages in session after session, and another one only
# retrieves. Prints what is wrong unless each message arrived once and completely, and nothing else
# arrived.
delivered() {
    count=$1
    shift
    start_server
    mail deliver 1 $((count / 2)) "$@" 2>delivery.1 &
    helper_pids=$!
    mail deliver $((count / 2 + 1)) $count "$@" 2>delivery.2 &
    helper_pids="$helper_pids $!"
    (
        session=0
        while [ ! -e over ]; do
            session=$((session + 1))
            printf 'retr *\nquit\n' |
                $limit "$CLIENT" -d "looked/$session" 127.0.0.1 $port >/dev/null 2>&1
        done
    ) &
    looking=$!
    sessions=0 some=0
    for last in no yes; do
        while [ $last = yes ] || kill -0 $helper_pids 2>/dev/null; do
            sessions=$((sessions + 1))
            printf 'retr *\ndele *\nquit\n' |
                $limit "$CLIENT" -d "got/$sessions" 127.0.0.1 $port >said 2>errors || cat errors
            [ ! -d got/$sessions ] || some=$((some + 1))
            [ $last = no ] || break
        done
        [ $last = yes ] || wait $helper_pids || cat delivery.1 delivery.2
    done
    touch over
    wait $looking
    helper_pids=
    stop_server || echo 'the server did not end properly'
    [ $some -gt 2 ] || echo "only $some sessions found anything"
    succeeds mail delivered $count got
    [ ! -d looked ] || succeeds mail whole looked
    left=$(find $kept -type f ! -name '.*')
    [ ! "$left" ] || echo 'left in the store:' $left
}

# into_maildir COUNT COMMAND...: the same with a Maildir.
into_maildir() {
    mkdir Maildir Maildir/cur Maildir/new Maildir/tmp
    [ ! "$as" ] || chown -R nobody .
    rm -rf store
    ln -s Maildir store
    kept='store/new store/cur'
    delivered "$@"
}

by_procmail() {
    as=
    : >procmailrc
    into_maildir 300 procmail "DEFAULT=$PWD/Maildir/" "$PWD/procmailrc"
}

by_maildrop() {
    as=
    echo "to \"$PWD/Maildir\"" >filter
    into_maildir 300 maildrop ./filter
}

by_dovecot_lda() {
    mkdir run
    cat >lda.conf <<EOF
mail_location = maildir:$PWD/Maildir
log_path = $PWD/lda.log
base_dir = $PWD/run
state_dir = $PWD/run
EOF
    chmod 644 lda.conf
    as=
    if [ "$(id -u)" -eq 0 ]; then
        as="setpriv --reuid=nobody --regid=$(id -g nobody) --clear-groups"
        chmod 755 .
    fi
    into_maildir 100 $as env HOME="$PWD" USER="$(${as:-command} id -un)" \
        $dovecot_lda -c "$PWD/lda.conf"
}

by_rcvstore() {
    echo "Path: $PWD/mh" >profile
    mkdir mh mh/inbox
    rm -rf store
    ln -s mh/inbox store
    kept=store/
    MH=$PWD/profile MHCONTEXT=$PWD/context
    export MH MHCONTEXT
    delivered 300 "$rcvstore" +inbox
    unset MH MHCONTEXT
}

dovecot_lda=/usr/lib/dovecot/dovecot-lda rcvstore=/usr/lib/mh/rcvstore
while_sessions='two deliveries at once during sessions: none lost, incomplete or twice'
check procmail "$while_sessions" 'procmail -v' by_procmail
check maildrop "$while_sessions" 'maildrop -v' by_maildrop
check dovecot-lda "$while_sessions" "test -x $dovecot_lda && setpriv --version" by_dovecot_lda
check rcvstore "$while_sessions, in an MH folder" "test -x $rcvstore" by_rcvstore
