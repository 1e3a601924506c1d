# ---- TLS before our server ------------------------------------------------------------------------------

# stunnel runs a "server -i" for each connection. It says in its log which port it got.
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
    $limit curl -sS --cacert "$work/cert.pem" --user "$user:$password" -o 'got/#1' \
        "pop3s://127.0.0.1:$tls_port/[1-$(ls mail | wc -l)]" >said 2>&1 || echo "curl ended with status $?"
    stop_tunnel
    mail compare mail got line-if-empty >result || cat result
}

client_by_tls() {
    start_tunnel || echo 'stunnel does not start'
    talk "user $user\npass $password\nretr *\ndele *\nquit\n" -x "$(s_client $tls_port $trusted)"
    stop_tunnel
    sizes_differ 0
    mail compare mail got lf >result || cat result
    [ ! "$(ls -A store)" ] || echo 'left in the store:' $(ls -A store)
}

stunnel='stunnel -version && openssl version'
check stunnel 'curl gets all messages' "$stunnel && curl --version | grep pop3s" curl_by_tls
check stunnel 'our client gets and removes all' "$stunnel" client_by_tls

