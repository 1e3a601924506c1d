#!/bin/sh
# bench.sh - the speed of both programs beside minimal programs and beside others
#
#   sh tests/bench/bench.sh          some minutes: 100,000 messages, a message of 1 GiB
#   sh tests/bench/bench.sh quick    half a minute: 20,000, 256 MiB, and Dovecot in fewer rows
#
# It prints a table. A ratio compares two programs within one round, which measures each once. It
# shows the median of all rounds, with the minimum and maximum. Ratios can be compared between days
# and machines, the absolute medians beside them cannot. The first program of a row is the base of
# its ratios. In rows in /s and MiB/s more is better, in all others less.
#
# The stores are in a new directory in memory (/dev/shm) if there is room, else on disk. All
# connections are on 127.0.0.1. The environment can set SERVER and CLIENT (default ./server,
# ./client), CC, and OTHER_SERVER, another build to compare. Dovecot, mpop and curl are measured if
# they are installed.

LC_ALL=C
PATH=$PATH:/usr/sbin                    # where Debian keeps Dovecot
export LC_ALL PATH
unset CDPATH ALL_PROXY all_proxy MAILDIR
umask 022

top=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
case ${SERVER:=./server} in /*) ;; *) SERVER=$top/$SERVER ;; esac
case ${CLIENT:=./client} in /*) ;; *) CLIENT=$top/$CLIENT ;; esac
mode=full big=1024
[ "$1" != quick ] || mode=quick big=256

work= disk= dovecot_pid= table_pid=
trap 'kill $table_pid $dovecot_pid 2>/dev/null; wait; cd /; rm -rf "$work" "$disk"' 0
trap 'exit 130' 1 2 15

# room DIRECTORY: prints how many MiB can be written there. Half of the memory stays free.
room() {
    free=$(df -Pm "$1" 2>/dev/null | awk 'NR == 2 { print $4 }')
    case $1 in
    /dev/shm)
        awk -v free="${free:-0}" '/^MemAvailable/ {
            half = $2 / 1024 / 2
            print int(half < free ? half : free)
        }' /proc/meminfo ;;
    *) echo "${free:-0}" ;;
    esac 2>/dev/null
}

place=/dev/shm small=1600               # MiB of all but the two big messages, with copies
[ "$(room /dev/shm || echo 0)" -ge $((small + 2 * big)) ] 2>/dev/null || place=${TMPDIR:-/tmp}
while [ "$(room "$place")" -lt $((small + 2 * big)) ] && [ $big -gt 16 ]; do
    big=$((big / 2))
done
work=$(mktemp -d "$place/pop3-bench.XXXXXX") || exit 1
disk=$(mktemp -d "${TMPDIR:-/tmp}/pop3-bench.XXXXXX") || exit 1
chmod 711 "$work"

bench=$work/bench
${CC:-cc} -std=c11 -O2 -o "$bench" "$top/tests/bench/bench.c" || exit 1
mkdir "$work/stores" && "$bench" make $mode "$work/stores" $big || exit 1

# ---- Dovecot, tuned ------------------------------------------------------------------------------

dovecot_config() {
    cat <<END
base_dir = $work/run
state_dir = $work/run
log_path = $work/log
protocols = pop3
listen = 127.0.0.1
default_internal_user = $who
default_internal_group = $(id -gn "$who")
default_login_user = $who
auth_failure_delay = 0
disable_plaintext_auth = no
ssl = no
mail_location = maildir:$work/stores/%u
mail_fsync = never
mail_max_userip_connections = 1000
maildir_very_dirty_syncs = yes
pop3_no_flag_updates = yes
passdb {
  driver = static
  args = password=secret
}
userdb {
  driver = static
  args = uid=$(id -u "$who") gid=$(id -g "$who") home=$work/stores
}
service anvil {
  chroot =
}
service pop3 {
  service_count = 1000
  process_min_avail = 4
}
service pop3-login {
  chroot =
  service_count = 0
  process_min_avail = 2
  inet_listener pop3 {
    port = $port
  }
}
END
}

# start_dovecot: sets $port, to 0 if Dovecot is not available.
start_dovecot() {
    port=0
    if ! dovecot --version 2>/dev/null | grep -q '^2[.]3'; then
        echo 'skipped: dovecot 2.3 is not installed'
        return
    fi
    as= who=$(id -un)
    if [ "$(id -u)" -eq 0 ]; then       # it serves no mail as root
        who=nobody
        as="setpriv --reuid=$who --regid=$(id -g $who) --clear-groups"
    fi
    mkdir "$work/run" && : >"$work/log"
    [ ! "$as" ] || chown -R $who "$work/run" "$work/stores" "$work/log"
    port=$("$bench" port)
    dovecot_config >"$work/dovecot.conf"
    $as dovecot -F -c "$work/dovecot.conf" >/dev/null 2>&1 &
    dovecot_pid=$!
    tries=100
    until grep -q 'starting up' "$work/log"; do
        tries=$((tries - 1))
        if [ $tries -eq 0 ]; then
            echo 'skipped: dovecot does not start'
            kill $dovecot_pid
            dovecot_pid= port=0
            return
        fi
        sleep 0.1
    done
}

echo "the stores are in $place, the big messages have $big MiB; $(nproc 2>/dev/null) processors"
start_dovecot

mkdir "$work/fetched"
other=$disk/.
[ "$(df -P "$disk" | tail -n 1)" != "$(df -P "$work" | tail -n 1)" ] || other=
[ $mode = full ] || other=
"$bench" table $mode "$work/stores" "$SERVER" "$CLIENT" $port $big "$work/fetched" "$other" &
table_pid=$!
wait $table_pid
status=$?
table_pid=
exit $status
