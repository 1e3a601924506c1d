# servers.sh - our client with other servers; read by interop.sh
#
# Each server gets the difficult messages in its own mail format. Our client lists and retrieves all
# of them, and removes some. If the server has TLS, the client also retrieves and removes all of
# them over TLS. How a server changes messages is beside its commands.

# ---- Sessions of our client ----------------------------------------------------------------------

# talk COMMANDS ARGUMENT...: runs our client with these commands. Prints what is wrong unless it
# succeeds.
talk() {
    printf "$1" >commands
    shift
    $limit "$CLIENT" -d got "$@" <commands >said 2>errors
    status=$?
    [ $status -eq 0 ] || echo "the client ended with status $status"
    ! grep -e Sanitizer -e 'runtime error' errors
}

# s_client PORT OPTION...: prints the command for -x that connects to this machine with TLS.
s_client() {
    tls=$1
    shift
    echo "openssl s_client -quiet -verify_return_error -connect 127.0.0.1:$tls $*"
}

# A certificate authority, and a certificate for this machine.
if openssl version >/dev/null 2>&1; then
    (
        cd "$work" || exit
        new_key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
        openssl req -x509 $new_key -days 2 -subj '/CN=test authority' \
            -keyout authority.key -out authority.pem
        openssl req -new $new_key -subj /CN=localhost -keyout key.pem -out request.pem
        echo 'subjectAltName = DNS:localhost, IP:127.0.0.1' >names
        openssl x509 -req -in request.pem -CA authority.pem -CAkey authority.key -set_serial 1 \
            -days 2 -extfile names -out cert.pem
    ) >/dev/null 2>&1
fi
trusted="-CAfile $work/authority.pem -verify_ip 127.0.0.1"

# same_octets: prints differences unless all messages arrived.
same_octets() { arrived $steps lf; }

# only_left NAME...: prints the difference unless the server has exactly these messages.
only_left() {
    second=0
    while [ $((second += 1)) -le 60 ]; do       # some servers remove after the answer to QUIT
        names=$(left_$server)
        [ "$(echo $names)" != "$*" ] || return 0
        sleep 1
    done
    echo "left on the server:" $names
}

# sizes_differ COUNT: prints the difference unless the client reported so many wrong sizes.
sizes_differ() {
    reported=$(grep -c 'message [0-9]*: the server announced [0-9]* octets' errors)
    [ "$reported" -eq "$1" ] || echo "the client reported $reported wrong sizes, not $1"
}

# The password of $user, without a blank, because some servers stop there.
login="user $user\npass secret\n"

whole_session() {
    talk "${login}${capa}stat\nlist\nlist 1\ntop 1 1\nnoop\nretr *\nquit\n" 127.0.0.1 $port
    sizes_differ $differ
    same_octets
    only_left $(ls mail)
}

# The order of the messages depends on the server. The two that stay are recognized by their sizes.
some_removed() {
    talk "${login}list\nuidl\nuidl 1\nquit\n" 127.0.0.1 $port
    numbers=$(awk '/^[0-9]+ [0-9]+$/ && $2 != 1325 && $2 != 1672 { print $1 }' said)
    talk "${login}DELE *\nRSET\nDELE $(echo $numbers)\nQUIT\n" 127.0.0.1 $port
    only_left 1.eml 3.eml
}

all_removed_by_tls() {
    talk "${login}list\nretr *\ndele *\nquit\n" -x "$(s_client $tls_port $trusted $s_client_too)"
    sizes_differ $differ
    same_octets
    only_left
}

# refused PASSWORD ARGUMENT...: prints what is wrong unless the client ends with 1 and nothing
# changes.
refused() {
    said_password=$1
    shift
    talk "user $user\npass $said_password\nretr *\ndele *\nquit\n" "$@" >result
    [ "$(cat result)" = 'the client ended with status 1' ] || echo "not refused: $(cat result)"
    [ ! "$(ls got)" ] || echo 'it saved' $(ls got)
    only_left $(ls mail)
}

refused_password() { refused wrong 127.0.0.1 $port; }
refused_certificate() { refused secret -x "$(s_client $tls_port)"; }
refused_name() {
    refused secret -x "$(s_client $tls_port $trusted -verify_hostname other.example)"
}

# with_server FUNCTION: runs it while $server runs.
with_server() {
    for message in $altered; do
        rm "mail/$message"
    done
    if start_$server; then
        $1
    else
        echo "$server does not start"
    fi
    stop_$server
}

# against NAME PROGRAM VERSION TEST REMARK: our client with a server. Its functions are start_NAME,
# which sets $port and $tls_port, stop_NAME, and left_NAME, which prints the names of its messages.
# It damages the messages $altered, changes the others by $steps, and lists $differ wrong sizes.
# $tls is empty if it has no TLS. $s_client_too are more options for openssl s_client.
against() {
    server=$1 program=$2 version=$3 test=$4 remark=$5 without=${altered:+, without $altered}
    wanted $server || return
    if ! available "$test"; then
        skip_row servers $server "$program" "not installed ($test)"
        return
    fi
    all=$(ls "$work/messages" | wc -l)
    count=$((all - $(echo $altered | wc -w)))
    fetched="$count of $all" listed="$((count - differ)) of $all" deleted=yes
    check $server "our client gets all messages$without" true 'with_server whole_session' ||
        fetched=FAILED listed=FAILED
    check $server 'our client removes some' true 'with_server some_removed' || deleted=FAILED
    check $server 'a wrong password loses nothing' true 'with_server refused_password' ||
        deleted=FAILED
    row servers "$program" "$version" "$listed" "$fetched" $deleted "$remark"
    if [ ! "$tls" ]; then
        row servers "$program, TLS" "$version" '' '' '' 'it has no TLS'
    elif check $server "our client gets and removes all by TLS$without" 'openssl version' \
        'with_server all_removed_by_tls'; then
        row servers "$program, TLS" "$version" "$listed" "$fetched" yes \
            "by openssl s_client$tls_remark"
    else
        row servers "$program, TLS" "$version" FAILED FAILED FAILED ''
    fi
}

# maildir OWNER: makes a Maildir of the messages. left_in_maildir prints the names of those that are
# left.
maildir() {
    mkdir Maildir Maildir/cur Maildir/new Maildir/tmp
    number=1000
    for message in mail/*; do
        number=$((number + 1))
        cp "$message" "Maildir/cur/$number.${message#mail/}:2,S"
    done
    chown -R "$1" Maildir
}

left_in_maildir() { ls Maildir/cur | sed 's/^[0-9]*\.//; s/[:,].*//'; }

# ---- Dovecot -------------------------------------------------------------------------------------

# start_dovecot: runs as the present user, or as nobody if that is root, whose mail it does not
# serve.
start_dovecot() {
    mkdir run
    cp "$work/cert.pem" "$work/key.pem" .
    as=
    who=$(id -un)
    if [ "$(id -u)" -eq 0 ]; then
        who=nobody
        as="setpriv --reuid=$who --regid=$(id -g $who) --clear-groups"
    fi
    maildir "$who"
    [ ! "$as" ] || chown -R $who .
    for attempt in 1 2 3; do    # another program may have taken the free port
        port=$(mail port) tls_port=$(mail port)
        dovecot_config >dovecot.conf
        chmod a+r dovecot.conf
        $server_limit $as dovecot -F -c "$PWD/dovecot.conf" 2>said &
        dovecot_pid=$!
        wait_for grep 'starting up' log && return
        stop_dovecot
    done
    return 1
}

dovecot_config() {
    cat <<EOF
base_dir = $PWD/run
state_dir = $PWD/run
log_path = $PWD/log
protocols = pop3
listen = 127.0.0.1
default_internal_user = $who
default_internal_group = $(id -gn "$who")
default_login_user = $who
auth_failure_delay = 0
disable_plaintext_auth = no
ssl = yes
ssl_cert = <$PWD/cert.pem
ssl_key = <$PWD/key.pem
mail_location = maildir:$PWD/Maildir
passdb {
  driver = static
  args = password=secret
}
userdb {
  driver = static
  args = uid=$(id -u "$who") gid=$(id -g "$who") home=$PWD
}
service anvil {
  chroot =
}
service pop3-login {
  chroot =
  inet_listener pop3 {
    port = $port
  }
  inet_listener pop3s {
    port = $tls_port
  }
}
EOF
}

stop_dovecot() {
    kill $dovecot_pid 2>/dev/null
    wait $dovecot_pid
    dovecot_pid=
}

left_dovecot() { left_in_maildir; }

# stunnel, as the command of -x, in place of openssl s_client.
by_stunnel() {
    cat >stunnel.conf <<EOF
client = yes
connect = 127.0.0.1:$tls_port
CAfile = $work/authority.pem
verifyChain = yes
checkIP = 127.0.0.1
syslog = no
EOF
    talk "${login}retr *\ndele *\nquit\n" -x "stunnel stunnel.conf"
    same_octets
    only_left
}

# From 2.4 on its settings have other names. It does not double a dot at the start of a message. It
# sends an empty message as a blank line. Its sizes do not count a line end that it adds.
dovecot='dovecot --version | grep "^2[.]3" && openssl version'
s_client_too= tls_remark=
altered=dot-first steps=line-if-empty differ=4 tls=yes capa='capa\n'
against dovecot Dovecot "$(version_in 'dovecot --version')" "$dovecot" \
    'does not stuff the first line of a message; 4 sizes lack the line end that it adds'
check dovecot 'our client gets and removes all through stunnel' "$dovecot && stunnel -version" \
    'with_server by_stunnel'
check dovecot 'no mail by TLS without a trusted certificate' "$dovecot" \
    'with_server refused_certificate'
check dovecot 'no mail by TLS under another name' "$dovecot" 'with_server refused_name'

# ---- Servers in a mount namespace ----------------------------------------------------------------

# guest_server NAME PROGRAM REMARK PACKAGE...: unpacks a server and runs our client with it.
guest_server() {
    wanted $1 || return
    name=$1 program=$2 remark=$3
    shift 3
    ! guest_or_skip servers $name "$program" "$@" ||
        against $name "$program" "$version" true "$remark"
    rm -rf "$guest"
}

# ---- Courier -------------------------------------------------------------------------------------

# This is what its start scripts run in the background.
start_courier() {
    maildir $guest_uid
    start_guest courier_start
}

courier_start() {
    cat "$work/cert.pem" "$work/key.pem" >both.pem
    cat <<EOF
set -a
. /etc/courier/authdaemonrc
mkdir -p \$authdaemonvar
/usr/lib/courier/courier-authlib/authdaemond &
. /etc/courier/pop3d-ssl
. /etc/courier/pop3d
TLS_CERTFILE=$PWD/both.pem
login='/usr/lib/courier/courier/courierpop3login /usr/lib/courier/courier/courierpop3d Maildir'
tcpd='couriertcpd -address=127.0.0.1 -nodnslookup -noidentlookup'
\$tcpd $tls_port /usr/bin/couriertls -server -tcpd \$login &
exec \$tcpd $port \$login
EOF
}

stop_courier() { stop_guest; }
left_courier() { left_in_maildir; }

altered=dot-first steps='lf-for-itself line-if-empty' differ=4 tls=yes capa='capa\n'
guest_server courier Courier \
    'does not stuff a first line; 4 sizes lack the line end it adds; puts a CR before each LF' \
    courier-pop courier-authdaemon msmtp-mta

# ---- Cyrus ---------------------------------------------------------------------------------------

# Its spool holds mail with CRLF. "reconstruct" adds files that were copied there. The first login
# creates the mailbox.
start_cyrus() {
    start_guest cyrus_start || return
    talk "${login}quit\n" 127.0.0.1 $port
    mail wire mail "spool/user/$user"
    chown -R $((guest_uid + 1)) spool
    touch filled
    wait_for test -e reconstructed
}

cyrus_start() {
    rm -rf conf spool
    mkdir conf spool
    cp "$work/cert.pem" "$work/key.pem" .
    cat >imapd.conf <<EOF
configdirectory: $PWD/conf
proc_path: $PWD/conf/proc
mboxname_lockpath: $PWD/conf/lock
defaultpartition: default
partition-default: $PWD/spool
mailbox_legacy_dirs: yes
autocreate_quota: 0
autocreate_users: anyone
allowplaintext: yes
sasl_mech_list: PLAIN
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: $PWD/sasldb
expunge_mode: immediate
tls_server_cert: $PWD/cert.pem
tls_server_key: $PWD/key.pem
EOF
    cat >cyrus.conf <<EOF
START {
    recover cmd="/usr/sbin/cyrus ctl_cyrusdb -C $PWD/imapd.conf -r"
}
SERVICES {
    pop3 cmd="/usr/lib/cyrus/bin/pop3d -C $PWD/imapd.conf" listen="127.0.0.1:$port"
    pop3s cmd="/usr/lib/cyrus/bin/pop3d -s -C $PWD/imapd.conf" listen="127.0.0.1:$tls_port"
}
EOF
    cat <<EOF
echo secret | saslpasswd2 -p -c -f $PWD/sasldb $user
chown -R cyrus .
cyrmaster -C $PWD/imapd.conf -M $PWD/cyrus.conf -p $PWD/pid &
until test -e filled; do
    sleep 0.1
done
setpriv --reuid=cyrus --regid=cyrus --clear-groups cyrus reconstruct -C $PWD/imapd.conf user/$user
touch reconstructed
wait
EOF
}

stop_cyrus() { stop_guest; }

# It removes files later. The unique-id ends in its number of a message.
left_cyrus() {
    printf "${login}uidl\nquit\n" | $limit "$CLIENT" 127.0.0.1 $port >uids
    number=0
    for message in mail/*; do
        number=$((number + 1))
        ! grep -q "^[0-9]* .*[.]$number\$" uids || echo "${message#mail/}"
    done
}

# It closes the connection without a TLS close_notify. Without the option openssl ends with 1.
s_client_too=-ignore_unexpected_eof tls_remark=' -ignore_unexpected_eof'
altered='empty nul octets' steps= differ=0 tls=yes capa='capa\n'
guest_server cyrus Cyrus 'loses what follows a NUL in a line, and passes over an empty file' \
    cyrus-pop3d cyrus-common sasl2-bin libsasl2-modules-db msmtp-mta

s_client_too= tls_remark=

# ---- solid-pop3d ---------------------------------------------------------------------------------

# It is started for each connection, with the socket as standard input and output.
start_solid() {
    maildir $guest_uid
    start_guest solid_start
}

solid_start() {
    printf '<Global>\nMailDropName "Maildir"\nMailDropType maildir\n</Global>\n' >spop3d.conf
    echo "exec systemd-socket-activate --inetd -a -l 127.0.0.1:$port \\
        /usr/sbin/solid-pop3d -f $PWD/spop3d.conf"
}

stop_solid() { stop_guest; }
left_solid() { left_in_maildir; }

altered='cr-end dot-no-end no-end' steps='any-order lf-for-itself' differ=0 tls= capa=
guest_server solid solid-pop3d \
    'no maildrop in which a last line has no line end; puts a CR before each LF' \
    solid-pop3d

# ---- GNU Mailutils -------------------------------------------------------------------------------

start_mailutils() {
    maildir $guest_uid
    start_guest mailutils_start
}

mailutils_start() {
    cp "$work/cert.pem" "$work/key.pem" .
    chmod 600 key.pem
    cat >pop3d.conf <<EOF
mode daemon;
foreground yes;
pidfile $PWD/pid;
auth { authentication "generic:system"; authorization "system"; };
mailbox { mailbox-pattern "maildir:$PWD/Maildir"; mailbox-type maildir; };
mandatory-locking { enable no; };
logging { syslog no; };
tcp-wrappers { enable no; };
server 127.0.0.1:$port { tls-mode no; };
server 127.0.0.1:$tls_port {
    tls-mode connection;
    tls { ssl-certificate-file $PWD/cert.pem; ssl-key-file $PWD/key.pem; };
};
EOF
    echo "exec pop3d --config-file=$PWD/pop3d.conf"
}

stop_mailutils() { stop_guest; }
left_mailutils() { left_in_maildir; }

altered='crlf dot-first empty from-first header-only no-blank' steps=lf-for-itself differ=3 tls=yes
capa='capa\n'
guest_server mailutils 'GNU Mailutils' \
    'changes odd headers, does not stuff a first line, 3 sizes lack the line end that it adds' \
    mailutils-pop3d

# ---- WildDuck ------------------------------------------------------------------------------------

# Only its POP3 class for Node.js, which sends asynchronously; wildduck.js provides the mail. npm
# installs the package without its dependencies, then the five that the class loads.
wildduck=$work/wildduck
install_wildduck() {
    mkdir -p "$wildduck" && cd "$wildduck" &&
        $wildduck_limit npm pack --silent wildduck@1.46.1 && tar xzf wildduck-*.tgz && cd package &&
        node -e 'const { dependencies } = require("./package.json");
            const used = ["base32.js", "gelf", "nodemailer", "punycode.js", "wild-config"];
            const needed = Object.fromEntries(used.map(name => [name, dependencies[name]]));
            require("fs").writeFileSync("package.json",
                JSON.stringify({ name: "wildduck", version: "1.46.1", dependencies: needed }))' &&
        $wildduck_limit npm install --silent --no-audit --no-fund --ignore-scripts --no-package-lock
}

start_wildduck() {
    port=$(mail port) tls_port=$(mail port)
    cp -R mail served
    $server_limit node "$top/tests/interop/wildduck.js" "$wildduck/package" served \
        "$work/cert.pem" "$work/key.pem" $port $tls_port >log 2>&1 &
    tunnel_pid=$!
    mail greets $port
}

stop_wildduck() {
    kill $tunnel_pid 2>/dev/null
    wait $tunnel_pid 2>/dev/null
    tunnel_pid=
}

left_wildduck() { ls served; }

wildduck_limit=${limit:+timeout --foreground -k 9 60}
if wanted wildduck; then
    if available 'node --version && npm --version && openssl version'; then
        (install_wildduck) >"$work/wildduck.log" 2>&1
    fi
    altered= steps='any-order line-if-empty' differ=1 tls=yes capa='capa\n'
    against wildduck "WildDuck's POP3 class" 1.46.1 \
        "npm --version && test -d $wildduck/package/node_modules/nodemailer" \
        'sends asynchronously; one size lacks the line end that it adds'
    rm -rf "$wildduck"
fi
