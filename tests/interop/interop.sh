#!/bin/sh
# interop.sh - the two programs with mail programs, servers and proxies that others wrote
#
#   sh tests/interop/interop.sh              all of them, and tables of the results
#   sh tests/interop/interop.sh curl mutt    some
#
# The last line is "N passed, N failed, N skipped".
#
# Each mail program retrieves a store of difficult messages from our server, first without a login,
# then with one and with deletion (libraries.sh: libraries). Our client does the same with other
# servers, over TCP and TLS (servers.sh). Other programs start our server for each connection, or
# deliver into its store (under.sh), or forward connections to it (proxies.sh), or use a Maildir
# while our server serves it (maildir.sh).
#
# What arrives is compared octet for octet by mail.py. Its STEPS describe how a program may change a
# message. The steps of each program, and the messages that it cannot handle, are beside its
# commands.
#
# The environment can set SERVER and CLIENT (default ./server, ./client). It needs python3; other
# programs that are not installed are skipped. It writes only to a temporary directory. Some servers
# conflict with each other, or would start when they are installed: root downloads their packages
# from Debian and unpacks them into a private mount namespace.

LC_ALL=C
PATH=$PATH:/usr/sbin:/usr/bin/mh        # where Debian has Dovecot and nmh
export LC_ALL PATH
# The settings of the present user.
unset CDPATH DISPLAY ALL_PROXY all_proxy FETCHMAILHOME MAIL MAILDIR MAILRC MBOX NETRC
umask 077

top=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
case ${SERVER:=./server} in /*) ;; *) SERVER=$top/$SERVER ;; esac
case ${CLIENT:=./client} in /*) ;; *) CLIENT=$top/$CLIENT ;; esac
asked=" $* "

work=$(mktemp -d "${TMPDIR:-/tmp}/pop3-interop.XXXXXX") || exit 1
server_pid= tunnel_pid= dovecot_pid= guest_pid= display_pid= helper_pids=
trap 'kill $server_pid $tunnel_pid $dovecot_pid $display_pid $helper_pids 2>/dev/null
    kill -9 $guest_pid 2>/dev/null; wait; cd /; rm -rf "$work"' 0
trap 'exit 130' 1 2 15
HOME=$work/home
TMPDIR=$work/tmp                        # for sockets that programs leave behind
mkdir "$HOME" "$TMPDIR"
chmod 711 "$work"                       # some servers become another user

# The binary: python3 may be a wrapper script, which takes time.
python=$(python3 -c 'import sys; print(sys.executable)' 2>/dev/null)
export HOME TMPDIR python

user=ann password='s3cret word'         # with a blank, which is part of the password

# ---- Verdicts ------------------------------------------------------------------------------------

passed=0 failed=0 skipped=0

ok() { passed=$((passed + 1)); echo "ok - interop/$1: $2"; }
skip() { skipped=$((skipped + 1)); echo "skipped - interop/$1: $2"; }

# not_ok NAME WHAT: prints the last output of the programs, too.
not_ok() {
    failed=$((failed + 1))
    printf '%s\n' "not ok - interop/$1: $2" | cut -c 1-300
    for said in said log errors; do
        [ ! -s $said ] ||
            tail -n 5 $said | tr -cd '\12\40-\176' | cut -c 1-200 | sed "s/^/    $said: /"
    done
}

# row TABLE PROGRAM VERSION LISTED FETCHED DELETED REMARKS: adds a line to a table: clients,
# servers, under or proxies.
row() {
    table=$1
    shift
    printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$@" >>"$work/$table"
}

# skip_row TABLE NAME PROGRAM REASON: reports a program as skipped, also in its table. The table has
# the reason without details in parentheses.
skip_row() {
    skip "$2" "$4"
    row "$1" "$3" '' '' '' '' "${4%% (*}"
}

# show_table TABLE HEADING: prints the table with aligned columns.
show_table() {
    [ -s "$work/$1" ] || return 0
    printf '\n%s\n\n' "$2"
    {
        printf 'program\tversion\tlisted\tfetched\tdeleted\tremarks\n'
        cat "$work/$1"
    } | awk -F '\t' '
        {
            for (i = 1; i <= 6; i++) {
                cell[NR, i] = $i
                if (length($i) > width[i])
                    width[i] = length($i)
            }
        }
        END {
            width[6] = 0
            for (line = 1; line <= NR; line++) {
                for (i = 1; i <= 6; i++)
                    printf "| %-" width[i] "s ", cell[line, i]
                print "|"
                if (line == 1)
                    print "| --- | --- | --- | --- | --- | --- |"
            }
        }'
}

# version_in COMMAND: prints the first version number in the output of a shell command.
version_in() {
    sh -c "$1" 2>&1 </dev/null |
        awk 'match($0, /[0-9]+([.][0-9]+)+[0-9A-Za-z~]*|[0-9][0-9][0-9][0-9]+/) {
            print substr($0, RSTART, RLENGTH); exit }'
}

wanted() { case $asked in '  ' | *" $1 "*) ;; *) return 1 ;; esac; }

# Prefixes of commands and servers that limit their time. (With --foreground, timeout forwards a
# signal once, and only to the program.)
limit= server_limit=
if timeout --foreground -k 9 9 true >/dev/null 2>&1; then
    limit='timeout --foreground -k 9 200' server_limit='timeout --foreground -k 9 600'
fi

mail() { "$python" "$top/tests/interop/mail.py" "$@"; }

if [ ! "$python" ]; then
    skip all 'python3 is not installed'
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi
mail make "$work/messages" && cp "$top"/tests/mail/*.eml "$work/messages" || exit 1

# wait_for COMMAND...: waits up to a minute until the command succeeds.
wait_for() {
    tries=1200
    until "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || return 1
        sleep 0.05 2>/dev/null || sleep 1
    done
}

# available TEST: succeeds if a shell command succeeds.
available() { sh -c "$1" >/dev/null 2>&1 </dev/null; }

# fresh OMITTED...: changes to a new directory with a store, and a copy of it, "mail".
fresh() {
    cd "$work" && rm -rf now && mkdir now now/got && cp -R messages now/mail && cd now || exit 1
    for message; do
        rm "mail/$message" || exit 1
    done
    cp -R mail store
}

# ---- Our server ----------------------------------------------------------------------------------

# start_server OPTION...: starts our server on store/, waits for its address, and sets $port.
start_server() {
    rm -f addresses
    mkfifo addresses
    $server_limit "$SERVER" -d store "$@" 0 >addresses 2>log &
    server_pid=$!
    exec 3<addresses
    read -r line <&3
    port=${line##* }
    : "${port:=1}"              # it did not start: nobody answers there
}

# stop_server: succeeds if the server and all its sessions ended properly.
stop_server() {
    kill $server_pid 2>/dev/null
    wait $server_pid
    ended=$?
    server_pid=
    exec 3<&-
    [ $ended -eq 0 ] && ! grep -q -e 'killed by signal' -e Sanitizer -e 'runtime error' log
}

# fetch NAME FUNCTION TEST VERSION STEPS REMARK [OMITTED]: a program retrieves the store twice. The
# function gets $host, $port, $user, $password and $delete (yes or no). It writes the messages to
# files in got/, whose names have the order of the messages. If the program shows sizes, it writes
# them to the file listing, in lines "n octets". The program is installed if TEST succeeds. The
# command VERSION prints its version. The messages OMITTED are left out; the remark has the reason.
fetch() {
    name=$1 function=$2 test=$3 version=$4 steps=$5 remark=$6 omitted=$7 without=${7:+, without $7}
    wanted "$name" || return
    if ! available "$test"; then
        skip_row clients "$name" "$name" "not installed ($test)"
        return
    fi
    host=127.0.0.1
    version=$(version_in "$version")
    for delete in no yes; do
        fresh $omitted
        if [ $delete = yes ]; then
            echo "$user:$password" >passfile
            start_server -p passfile
        else
            start_server
        fi
        $function >said 2>&1 </dev/null
        status=$?
        stop_server
        report $?
        [ $delete = yes ] || fetched=$cell
    done
    listed=count
    [ ! -s listing ] || listed=sizes
    [ "$fetched" != FAILED ] || listed=FAILED
    [ "$cell" = FAILED ] || cell=yes
    row clients "$name" "$version" "$listed" "$fetched" "$cell" "$remark"
}

# report STATUS: prints the result of a program, where STATUS is that of stop_server, and sets $cell
# to "N of N" messages.
report() {
    what=$without cell=FAILED
    [ $delete = no ] || what=", with a login, then removed$without"
    if [ "$1" -ne 0 ]; then
        not_ok "$name" "the server did not end properly$what"
    elif [ $status -ne 0 ]; then
        not_ok "$name" "it ended with status $status$what"
    elif ! result=$(mail compare mail got $steps); then
        not_ok "$name" "$result$what"
    elif [ -f listing ] && ! wrong=$(mail sizes mail listing); then
        not_ok "$name" "it lists $wrong$what"
    elif [ $delete = no ] && ! diff -r mail store >/dev/null; then
        not_ok "$name" "the store was changed$what"
    elif [ $delete = yes ] && [ "$(ls -A store)" ]; then
        not_ok "$name" "left in the store: $(echo $(ls -A store))$what"
    else
        ok "$name" "$result$what"
        cell="${result%% *} of $(ls ../messages | wc -l)"
    fi
}

# ---- Programs in a mount namespace ---------------------------------------------------------------

# POP3 servers are in conflict with each other in Debian, and an installed server is started and
# listens on all addresses. So each of these is unpacked into its own directories, which are mounted
# over those of the machine (overlayfs), in a mount namespace. It has its own PID namespace too:
# when the first process ends, all end.

overlaid='usr etc var run'
guest_uid=60001                 # of $user there; the server has the next one

# guest NAME PACKAGE...: unpacks what apt would install for the first package (the others satisfy
# its dependencies) and adds users. Sets $version, or $why_not to the reason of a failure.
guest() {
    guest=$work/guests/$1 why_not= version=
    shift
    if [ "$(id -u)" -ne 0 ]; then
        why_not='needs root'
    elif ! available 'apt-get --version && dpkg --version && unshare --version'; then
        why_not='needs apt, dpkg and unshare'
    elif ! (umask 022; unpack "$@") >"$work/guest.log" 2>&1; then
        last_line=$(grep -v '^W:' "$work/guest.log" | tail -n 1 | cut -c 1-100)
        why_not="cannot be downloaded here ($last_line)"
    elif ! (in_guest true) >"$work/guest.log" 2>&1; then
        why_not="cannot be mounted here ($(tail -n 1 "$work/guest.log"))"
    else
        version=$(cat "$guest/version")
    fi
    [ ! "$why_not" ]
}

# guest_or_skip TABLE NAME PROGRAM PACKAGE...: the same, but reports a failure as skipped.
guest_or_skip() {
    skip_table=$1 skip_name=$2 skip_program=$3
    shift 3
    guest $skip_name "$@" && return
    skip_row $skip_table $skip_name "$skip_program" "$why_not"
    return 1
}

# empty_guest: makes the empty directories of $guest.
empty_guest() {
    for directory in $overlaid; do
        mkdir -p "$guest/$directory" "$guest/.$directory" || return
    done
}

unpack() {
    empty_guest && mkdir -p "$guest/debs/partial" "$guest/all/lib" "$guest/usr/lib" || return
    DEBIAN_FRONTEND=noninteractive ${limit:+timeout --foreground -k 9 120} apt-get install -qq -y \
        --no-install-recommends --reinstall --download-only \
        -o Dir::Cache::archives="$guest/debs" -o Debug::NoLocking=1 \
        -o Acquire::Retries=0 -o Acquire::http::Timeout=20 "$@" || return
    dpkg-deb -f "$guest/debs/$1"_*.deb Version >"$guest/version" || return
    sed -i 's/^[0-9]*://; s/-[^-]*$//' "$guest/version"
    for package in "$guest"/debs/*.deb; do
        dpkg -x "$package" "$guest/all" || return
    done
    cp -a "$guest/all/lib/." "$guest/usr/lib"
    for directory in $overlaid; do
        [ ! -d "$guest/all/$directory" ] ||
            cp -a "$guest/all/$directory/." "$guest/$directory" || return
    done
    rm -rf "$guest/debs" "$guest/all"
    next=$guest_uid
    for who in $user cyrus spop3d sshd; do
        echo "$who:x:$next:$next::$work/now:/bin/sh" >>"$guest/users"
        echo "$who:x:$next:" >>"$guest/groups"
        next=$((next + 1))
    done
    echo "$user:$(openssl passwd -6 secret):20000::::::" | cat - /etc/shadow >"$guest/etc/shadow"
    chmod 600 "$guest/etc/shadow"
    cat "$guest/users" /etc/passwd >"$guest/etc/passwd"
    cat "$guest/groups" /etc/group >"$guest/etc/group"
}

# in_guest COMMAND...: runs the command in the namespaces of $guest, in place of this shell.
in_guest() {
    exec unshare --mount --pid --fork --kill-child --mount-proc sh -c '
        guest=$1
        for directory in '"$overlaid"'; do
            upper=$guest/$directory work=$guest/.$directory
            mount -t overlay -o "lowerdir=/$directory,upperdir=$upper,workdir=$work" \
                overlay "/$directory" || exit
        done
        shift
        exec "$@"' in_guest "$guest" "$@"
}

# start_guest FUNCTION: sets $port and $tls_port and runs in $guest the shell commands that the
# function prints. Succeeds if a server answers. Their output goes to the file $guest_log, or log.
start_guest() {
    chmod 755 .
    for attempt in 1 2 3; do
        port=$(mail port) tls_port=$(mail port)
        (umask 022; $1 >start)
        in_guest ${limit:+timeout 600} sh start >"${guest_log:-log}" 2>&1 &
        guest_pid=$!
        mail greets $port && return
        ! kill -0 $guest_pid 2>/dev/null || break
        stop_guest
    done
    return 1
}

stop_guest() {
    kill -9 $guest_pid 2>/dev/null
    wait $guest_pid 2>/dev/null
    guest_pid=
}

# The delivery command: writes a message to got/.
cat >"$work/sink" <<'EOF'
#!/bin/sh
cat >"got/$(($(ls got | wc -l) + 1))"
EOF
chmod +x "$work/sink"

# yes_or_no FOR_YES FOR_NO: prints one of them, depending on $delete.
yes_or_no() { if [ $delete = yes ]; then echo "$1"; else echo "$2"; fi; }

# ---- The programs --------------------------------------------------------------------------------

# curl writes an empty message as a blank line. It needs one session for the list, one to retrieve,
# and one to delete, with DELE in place of RETR.
get_curl() {
    address="pop3://$host:$port"
    $limit curl -sS --user "$user:$password" -o listing "$address/" || return
    count=$(wc -l <listing)
    $limit curl -sS --user "$user:$password" -o 'got/#1' "$address/[1-$count]" || return
    [ $delete = no ] ||
        $limit curl -sS --user "$user:$password" -X DELE --head "$address/[1-$count]"
}
fetch curl get_curl 'curl --version | grep pop3' 'curl --version' line-if-empty \
    'an empty message arrives as a blank line'

# Python's poplib returns lines without line ends, and rejects lines of more than 2,048 octets. The
# script also compares the answers of all other commands with the messages.
get_poplib() {
    $limit "$python" - "$host" "$port" "$user" "$password" $delete <<'EOF'
import poplib, sys
host, port, user, password, delete = sys.argv[1:]
pop = poplib.POP3(host, int(port), timeout=200)
assert {"TOP", "UIDL", "USER", "PIPELINING", "RESP-CODES"} <= set(pop.capa())
pop.user(user)
pop.pass_(password)
count, octets = pop.stat()
with open("listing", "wb") as file:
    file.write(b"\n".join(pop.list()[1] + [b""]))
sizes = [tuple(map(int, line.split())) for line in pop.list()[1]]
ids = [line.split() for line in pop.uidl()[1]]
assert len(sizes) == len(ids) == len({name for _, name in ids}) == count
assert sum(size for _, size in sizes) == octets
for n in range(1, count + 1):
    lines = pop.retr(n)[1]
    text = b"".join(line + b"\r\n" for line in lines)
    with open(f"got/{n}", "wb") as file:
        file.write(text)
    assert sizes[n - 1] == (n, len(text)), (n, len(text))
    assert pop.list(n).split()[1:3] == [b"%d" % n, b"%d" % len(text)]
    assert pop.uidl(n).split()[1:3] == ids[n - 1]
    header = lines.index(b"") + 1 if b"" in lines else len(lines)
    assert pop.top(n, 0)[1] == lines[:header], n
    assert pop.top(n, 2)[1] == lines[:header + 2], n
    pop.dele(n)
assert pop.stat() == (0, 0)
if delete == "no":
    pop.rset()
    assert pop.stat() == (count, octets)
pop.noop()
pop.quit()
EOF
}
fetch 'Python poplib' get_poplib true "$python --version" '' \
    'refuses long-line (over 2,048 octets)' long-line

# mpop adds a Received field, and delivers with LF.
get_mpop() {
    mkdir got/cur got/new got/tmp
    cat >config <<EOF
account ours
host $host
port $port
user $user
password "$password"
auth user
tls off
keep $(yes_or_no off on)
uidls_file $PWD/uidls
delivery maildir $PWD/got
received_header on
EOF
    $limit mpop -C config --quiet ours
}
fetch mpop get_mpop 'mpop --version' 'mpop --version' 'drop=Received lf' 'adds Received; LF'

# fetchmail drops a first line "From " and adds a blank line if there is none. It leaves a doubled
# dot at the start of a header field, damages a long line at the end of its buffer, and delivers its
# own text in place of an empty message. (Without "no stripcr" it would remove each CR.)
get_fetchmail() {
    cat >config <<EOF
set no bouncemail
set invisible
set idfile "$PWD/ids"
poll $host protocol pop3 port $port auth password no dns bad-header accept:
    user "$user" password "$password"
    fetchall $(yes_or_no no '')keep no stripcr no rewrite no mimedecode sslproto ''
    mda "cd '$PWD' && ../sink"
EOF
    $limit fetchmail --fetchmailrc config --pidfile "$PWD/pid"
}
fetch fetchmail get_fetchmail 'fetchmail --version' 'fetchmail --version' 'drop-from end-header' \
    'alters dot-first, empty and long-line; ends each header, drops a first line as in an mbox' \
    'dot-first empty long-line'

# getmail uses poplib, which rejects long lines, and Python's email, which takes a CR alone as a
# line end and drops a first line "From ". It adds a Return-Path, and a blank line after the header.
# As root it delivers only to a command.
get_getmail() {
    cat >getmailrc <<EOF
[retriever]
type = SimplePOP3Retriever
server = $host
port = $port
username = $user
password = $password
[destination]
type = MDA_external
path = $work/sink
unixfrom = false
allow_root_commands = true
[options]
delivered_to = false
received = false
read_all = true
delete = $(yes_or_no true false)
EOF
    $limit getmail --getmaildir "$PWD"
}
fetch getmail6 get_getmail 'getmail --version' 'getmail --version' \
    'drop=Return-Path lf cr-is-lf drop-from split-header' \
    'refuses long-line; adds Return-Path, ends each header, drops a first "From " line; CR as LF' \
    long-line

# Perl's Net::POP3 returns lines with LF.
get_net_pop3() {
    $limit perl - "$host" "$port" "$user" "$password" $delete <<'EOF'
use strict;
use Net::POP3;
my ($host, $port, $user, $password, $delete) = @ARGV;
my $pop = Net::POP3->new($host, Port => $port, Timeout => 20) or die "no connection";
my $count = $pop->login($user, $password) or die $pop->message;
my $sizes = $pop->list or die $pop->message;
open my $listing, ">", "listing" or die;
print $listing "$_ $sizes->{$_}\n" for sort { $a <=> $b } keys %$sizes;
close $listing or die;
for my $n (1 .. $count) {
    my $lines = $pop->get($n) or die $pop->message;
    open my $file, ">:raw", "got/$n" or die;
    print $file @$lines;
    close $file or die;
    $delete eq "no" or $pop->delete($n) or die $pop->message;
}
$pop->quit or die;
EOF
}
fetch 'Perl Net::POP3' get_net_pop3 'perl -MNet::POP3 -e 1' \
    'perl -MNet::POP3 -e "print Net::POP3->VERSION"' lf LF

# Perl's Mail::POP3Client writes a message unchanged.
get_mail_pop3client() {
    $limit perl - "$host" "$port" "$user" "$password" $delete <<'EOF'
use strict;
use Mail::POP3Client;
my ($host, $port, $user, $password, $delete) = @ARGV;
my $pop = Mail::POP3Client->new(HOST => $host, PORT => $port, USER => $user, PASSWORD => $password,
                                AUTH_MODE => "PASS", TIMEOUT => 20) or die "no connection";
open my $listing, ">", "listing" or die;
print $listing "$_\n" for $pop->List;
close $listing or die;
for my $n (1 .. $pop->Count) {
    open my $file, ">:raw", "got/$n" or die;
    $pop->HeadAndBodyToFile($file, $n) or die $pop->Message;
    close $file or die;
    $delete eq "no" or $pop->Delete($n) or die $pop->Message;
}
$pop->Close or die;
EOF
}
fetch 'Perl Mail::POP3Client' get_mail_pop3client 'perl -MMail::POP3Client -e 1' \
    'perl -MMail::POP3Client -e "print Mail::POP3Client->VERSION"' '' ''

# Ruby's net/pop returns a message unchanged.
get_net_pop() {
    $limit ruby - "$host" "$port" "$user" "$password" $delete <<'EOF'
require "net/pop"
host, port, user, password, delete = ARGV
Net::POP3.start(host, port.to_i, user, password) do |pop|
  pop.each_mail do |mail|
    text = mail.pop
    raise "#{text.bytesize} octets, LIST says #{mail.length}" if text.bytesize != mail.length
    File.binwrite("got/#{mail.number}", text)
    File.write("listing", "#{mail.number} #{mail.length}\n", mode: "a")
    mail.delete if delete == "yes"
  end
end
EOF
}
fetch 'Ruby net/pop' get_net_pop 'ruby -r net/pop -e 1' \
    'ruby -r net/pop -e "puts Net::POP3::VERSION"' '' ''

# mutt and neomutt, on a pseudoterminal, pipe each message to a command. They cut lines at a NUL,
# write LF, and add a blank line after the header, which may begin with a line "From ".
get_mutt() {
    cat >config <<EOF
set pop_user="$user" pop_pass="$password" pop_authenticators=user pop_reconnect=no
set ssl_starttls=no ssl_force_tls=no
set pipe_split=yes pipe_decode=no pipe_sep="" sort=mailbox-order
set delete=yes quit=yes wait_key=no sleep_time=0 folder="$PWD" tmpdir="$PWD"
push "<tag-pattern>~A<enter><tag-prefix><pipe-message>../sink<enter>$(
    yes_or_no '<tag-prefix><delete-message>' '')<quit>"
EOF
    $limit "$python" "$top/tests/interop/mail.py" terminal '' '' \
        ${1:-mutt} -n -F config -f "pop://$user@$host:$port"
}
get_neomutt() { get_mutt neomutt; }
fetch mutt get_mutt 'mutt -v | grep +USE_POP' 'mutt -v' 'lf cut-at-nul split-header-after-from' \
    'cuts a line at a NUL, ends each header; LF'
fetch neomutt get_neomutt 'neomutt -v' 'neomutt -v' 'lf cut-at-nul split-header-after-from' \
    'cuts a line at a NUL, ends each header; LF'

# alpine does the same, but does not change the header. It asks for the password before it reads the
# keys of -I.
get_alpine() {
    cat >pinerc <<EOF
last-version-used=99.99
sort-key=arrival
user-domain=example.org
feature-list=enable-aggregate-command-set,enable-unix-pipe-cmd,quit-without-confirm,
    expunge-without-confirm-everywhere,disable-password-caching,disable-password-file-saving
EOF
    cp ../sink s
    SHELL=/bin/sh $limit "$python" "$top/tests/interop/mail.py" \
        terminal 'ENTER PASSWORD:' "$password" alpine -p pinerc \
        -I "i,;,a,a,|,^W,^T,.,/,s,CR$(yes_or_no ,a,d ''),q" \
        -f "{$host:$port/pop3/user=$user/notls}inbox"
}
fetch alpine get_alpine 'alpine -v' 'alpine -v' 'lf cut-at-nul' 'cuts a line at a NUL; LF'

# nmh's inc cuts lines at a NUL, rejects lines of more than 65,371 octets, and writes LF.
get_inc() {
    mkdir got/inbox
    printf 'machine %s login %s password "%s"\n' $host $user "$password" >credentials
    printf 'Path: %s\nInbox: inbox\ncredentials: file:%s\n' "$PWD/got" "$PWD/credentials" >profile
    MH=$PWD/profile MHCONTEXT=$PWD/context $limit inc -host $host -port $port -user $user \
        $(yes_or_no -truncate -notruncate) -nochangecur -noaudit
}
fetch 'nmh inc' get_inc 'command -v inc' \
    'echo "Path: mh" >"$HOME/profile" && MH=$HOME/profile inc -version' 'lf cut-at-nul' \
    'refuses long-line (over 65,371 octets); cuts a line at a NUL; LF' long-line

# s-nail writes to a Maildir as to an mbox: LF without CRs before it, a blank line after the header
# and at the end, and ">" before lines that begin with "From ".
get_s_nail() {
    {
        echo "copy * maildir://$PWD/got/box"
        yes_or_no 'delete *'
        yes_or_no quit exit
    } >commands
    $limit s-nail -:/ -# -S v15-compat -S noheader -S pop3-auth=plain -S pop3-no-apop \
        -f "pop3://$user:s3cret%20word@$host:$port" <commands
}
fetch s-nail get_s_nail 's-nail --version' 's-nail --version' \
    'lf no-cr-at-end split-header quote-from blank-last' \
    'writes as into an mbox: quotes "From ", ends each header, a blank line at the end; LF'

# ---- Programs with windows, on a virtual screen --------------------------------------------------

# with_screen COMMAND...: runs the command with Xvfb as DISPLAY.
with_screen() {
    Xvfb -displayfd 3 -screen 0 800x600x24 -nolisten tcp -noreset 3>display 2>/dev/null &
    display_pid=$!
    wait_for test -s display
    DISPLAY=:$(cat display)
    export DISPLAY
    "$@"
    ended=$?
    kill $display_pid
    wait $display_pid
    display_pid=
    unset DISPLAY
    return $ended
}

# sylpheed_settings DIRECTORY INBOX: writes the settings of sylpheed or claws-mail, which have the
# same format.
sylpheed_settings() {
    mkdir -p "$1" Mail/inbox Mail/sent Mail/draft Mail/queue Mail/trash
    cat >"$1/accountrc" <<EOF
[Account: 1]
account_name=ours
is_default=1
name=Ann
address=ann@example.org
protocol=0
receive_server=$host
smtp_server=$host
user_id=$user
password=$password
set_popport=1
pop_port=$port
ssl_pop=0
use_apop_auth=0
remove_mail=$(yes_or_no 1 0)
message_leave_time=0
message_leave_hour=0
receive_at_getall=1
receive_at_get_all=1
filter_on_recv=0
filter_on_receive=0
inbox=$2
EOF
    cat >"$1/folderlist.xml" <<EOF
<?xml version="1.0" encoding="UTF-8"?>
<folderlist>
<folder type="mh" name="Mailbox" path="$PWD/Mail">
<folderitem type="inbox" name="inbox" path="inbox" mtime="0" new="0" unread="0" total="0" />
</folder>
</folderlist>
EOF
    cat >"$1/${1#.}rc" <<EOF
[Common]
config_version=1
autochk_newmail=0
autocheck_new_messages=0
auto_update_check=0
receive_dialog_mode=2
no_receive_error_panel=1
EOF
}

# receive COMMAND: starts the program, and ends it after its session.
receive() {
    HOME=$PWD $limit "$1" --receive-all &
    helper_pids=$!
    wait_for grep '[0-9]: quit' log
    HOME=$PWD $limit "$1" --exit
    ended=$?
    kill $helper_pids 2>/dev/null
    wait $helper_pids
    helper_pids=
    mv Mail/inbox/[0-9]* got
    return $ended
}

get_sylpheed() {
    sylpheed_settings .sylpheed-2.0 inbox
    mv .sylpheed-2.0/sylpheed-2.0rc .sylpheed-2.0/sylpheedrc
    with_screen receive sylpheed
}

get_claws_mail() {
    sylpheed_settings .claws-mail '#mh/Mailbox/inbox'
    mv .claws-mail/claws-mailrc .claws-mail/clawsrc
    with_screen receive claws-mail
}

# Thunderbird runs without a screen. It has no command to fetch mail, so a script, which only this
# process sees in its directory, sets the password and starts it. It adds fields and delivers into a
# Maildir. A proxy that does not exist prevents other connections.
get_thunderbird() {
    guest=$work/guests/thunderbird
    (
        umask 022
        empty_guest
        mkdir -p "$guest/usr/lib/thunderbird" "$guest/usr/share/thunderbird/defaults/pref"
    )
    cat >"$guest/usr/share/thunderbird/defaults/pref/autoconfig.js" <<'EOF'
// The first line is ignored.
pref("general.config.filename", "ours.cfg");
pref("general.config.obscure_value", 0);
pref("general.config.sandbox_enabled", false);
EOF
    cat >"$guest/usr/lib/thunderbird/ours.cfg" <<'EOF'
// The first line is ignored.
const { setTimeout } = ChromeUtils.importESModule("resource://gre/modules/Timer.sys.mjs");
const end = () => Services.startup.quit(Ci.nsIAppStartup.eForceQuit);
const fetchMail = async () => {
  const [user, password] = [Services.env.get("OUR_USER"), Services.env.get("OUR_PASSWORD")];
  const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
  const login = Cc["@mozilla.org/login-manager/loginInfo;1"].createInstance(Ci.nsILoginInfo);
  login.init("mailbox://127.0.0.1", null, "mailbox://127.0.0.1", user, password, "", "");
  await Services.logins.addLoginAsync(login);
  const server = MailServices.accounts.findServer(user, "127.0.0.1", "pop3");
  MailServices.pop3.GetNewMail(null, {
    QueryInterface: ChromeUtils.generateQI(["nsIUrlListener"]),
    OnStartRunningUrl() {},
    OnStopRunningUrl() { setTimeout(end, 500); },
  }, server.rootFolder.getChildNamed("Inbox"), server);
};
Services.obs.addObserver(() => setTimeout(() => fetchMail().catch(end), 500), "mail-startup-done");
EOF
    mkdir profile
    cat >profile/prefs.js <<EOF
user_pref("mail.accountmanager.accounts", "account1");
user_pref("mail.accountmanager.defaultaccount", "account1");
user_pref("mail.account.account1.identities", "id1");
user_pref("mail.account.account1.server", "server1");
user_pref("mail.identity.id1.useremail", "ann@example.org");
user_pref("mail.identity.id1.valid", true);
user_pref("mail.server.server1.type", "pop3");
user_pref("mail.server.server1.hostname", "$host");
user_pref("mail.server.server1.port", $port);
user_pref("mail.server.server1.userName", "$user");
user_pref("mail.server.server1.socketType", 0);
user_pref("mail.server.server1.authMethod", 3);
user_pref("mail.server.server1.leave_on_server", $(yes_or_no false true));
user_pref("mail.server.server1.check_new_mail", false);
user_pref("mail.server.server1.login_at_startup", false);
user_pref("mail.server.server1.storeContractID", "@mozilla.org/msgstore/maildirstore;1");
user_pref("app.update.enabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("mailnews.start_page.enabled", false);
user_pref("network.proxy.type", 1);
user_pref("network.proxy.http", "127.0.0.1");
user_pref("network.proxy.http_port", 1);
user_pref("network.proxy.ssl", "127.0.0.1");
user_pref("network.proxy.ssl_port", 1);
EOF
    (in_guest env MOZ_HEADLESS=1 OUR_USER="$user" OUR_PASSWORD="$password" HOME="$PWD" \
        ${limit:+timeout 150} /usr/lib/thunderbird/thunderbird-bin -profile "$PWD/profile")
    ended=$?
    for message in profile/Mail/127.0.0.1/Inbox/cur/*; do
        number=${message##*Q}   # the number follows a Q
        mv "$message" "got/${number%%.*}"
    done
    rm -rf "$guest"
    return $ended
}

fetch sylpheed get_sylpheed 'command -v sylpheed && command -v Xvfb' 'sylpheed --version' \
    'lf cut-at-nul-and-end' \
    'takes no empty message; loses what follows a NUL in a line, and the line end; LF' empty
fetch claws-mail get_claws_mail 'command -v claws-mail && command -v Xvfb' 'claws-mail --version' \
    'any-order lf' 'takes no empty message; leaves the dots at the start of dot-first doubled; LF' \
    'dot-first empty'

fetch Thunderbird get_thunderbird \
    'test -x /usr/lib/thunderbird/thunderbird-bin && unshare --mount --pid --fork true' \
    'thunderbird --version' \
    'drop=X-Account-Key drop=X-UIDL drop=X-Mozilla-Status drop=X-Mozilla-Status2
    drop=X-Mozilla-Keys lf' 'adds five X- fields; LF'

. "$top/tests/interop/libraries.sh"

# ---- Other promises ------------------------------------------------------------------------------

# arrived STEP...: prints differences unless all messages arrived, after the steps.
arrived() { succeeds mail compare mail got "$@"; }

# succeeds COMMAND...: prints the output of the command if it fails.
succeeds() { "$@" >result 2>&1 || { cat result; echo "$1 $2: failed"; }; }

# check NAME WHAT TEST FUNCTION: one more check, if TEST succeeds. The function prints what is
# wrong. Succeeds if the check was made and nothing was wrong.
check() {
    wanted "$1" || return
    if ! available "$3"; then
        skip "$1" "$2: not installed ($3)"
        return 1
    fi
    fresh
    $4 >wrong </dev/null
    if [ -s wrong ]; then
        not_ok "$1" "$2: $(cat wrong)"
        return 1
    fi
    ok "$1" "$2"
}

# curl ends with 67 if the login is refused.
wrong_password() {
    echo "$user:$password" >passfile
    start_server -p passfile
    $limit curl -sS --user "$user:${password}x" "pop3://127.0.0.1:$port/1" >said 2>&1
    status=$?
    [ $status -eq 67 ] || echo "curl ended with status $status, not 67"
    stop_server || echo 'the server did not end properly'
}
check curl 'a wrong password is refused' 'curl --version | grep pop3' wrong_password

ipv6() {
    host='[::1]' delete=no
    start_server -a ::1
    get_curl >said 2>&1 || echo "curl ended with status $?"
    stop_server || echo 'the server did not end properly'
    arrived line-if-empty
}
check curl 'all messages over IPv6' \
    'curl --version | grep pop3 && grep " lo$" /proc/net/if_inet6' ipv6

# mpop stores the unique-ids of retrieved messages. The second time it must retrieve only the new
# one.
unique_ids() {
    host=127.0.0.1 delete=no
    rm store/cr
    for time in first second; do
        start_server
        rm -rf got
        mkdir got
        get_mpop >said 2>&1 || echo "mpop failed the $time time"
        stop_server || echo 'the server did not end properly'
        touch store/dots
        cp mail/cr store
    done
    rm -rf mail
    mkdir mail
    cp store/cr mail
    arrived drop=Received lf
}
check mpop 'after a restart it retrieves only the new message' 'mpop --version' unique_ids

. "$top/tests/interop/servers.sh"
. "$top/tests/interop/under.sh"
. "$top/tests/interop/proxies.sh"
. "$top/tests/interop/maildir.sh"

show_table clients 'Mail programs, with our server. Listed: "sizes" if it shows the size of each
message correctly, "count" if it shows only their number. Fetched: octet for octet, except for the
remarks (LF: LF as the line end) and the messages named there.'
show_table servers 'Mail servers, with our client. Listed: how many of the listed sizes are right.
Fetched: as above.'
show_table under 'Programs that start our server for each connection, with curl and our client.'
show_table proxies 'Proxies in front of our server, with curl and our client.'
echo
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
