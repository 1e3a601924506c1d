# proxies.sh - proxies in front of our server; read by interop.sh
#
# Our server listens on $server_port, the proxy on $port. Through it curl lists and retrieves all
# messages, our client removes them, and a client that disconnects during a session removes nothing.

# behind FUNCTION: runs it while our server and $proxy listen. Prints what is wrong.
behind() {
    password=secret         # without a blank, because some proxies stop there
    echo "$user:$password" >passfile
    start_server -p passfile
    server_port=$port guest_log=proxy.log
    if start_guest ${proxy}_start; then
        $1
    else
        echo "$proxy does not start: $(tail -n 1 proxy.log)"
    fi
    stop_guest
    guest_log=
    stop_server || echo 'our server did not end properly'
    password='s3cret word'
}

marks_and_disconnects() {
    mail breaks_off $port "$user" "$password" || echo 'the session failed'
    wait_for grep ': disconnected .* del=0' log || echo 'our server does not log the disconnect'
    diff -r mail store >/dev/null || echo 'the store was changed'
}

# A server with only STLS: openssl reads the greeting, so the command prints one.
by_stls() {
    all_removed -x "printf '+OK STLS\\r\\n'; exec $(s_client $tls_port "$@" -starttls pop3)"
}
trusted_stls() { by_stls $trusted; }

# Without a trusted certificate, our client ends with 1 and nothing changes.
refused_stls() {
    by_stls >refusal
    grep -q '^the client ended with status 1' refusal || echo "not refused: $(cat refusal)"
    diff -r mail store >/dev/null || echo 'the store was changed'
}

nginx_by_stls() {
    deleted=yes
    check nginx 'our client gets and removes all by STLS' 'openssl version' 'behind trusted_stls' ||
        deleted=FAILED
    check nginx 'no mail by STLS without a trusted certificate' 'openssl version' \
        'behind refused_stls' || deleted=FAILED
    row proxies "$program, STLS" "$version" "$listed" "$fetched" $deleted \
        'by openssl s_client -starttls pop3'
}

# proxy NAME PROGRAM REMARK PACKAGE...: unpacks and tests a proxy. NAME_start prints the commands
# that start it.
proxy() {
    proxy=$1 program=$2 remark=$3
    wanted $proxy || return
    shift 3
    if guest_or_skip proxies $proxy "$program" "$@"; then
        check_three $proxy behind marks_and_disconnects
        row proxies "$program" "$version" "$listed" "$fetched" $deleted "$remark"
        [ $proxy != nginx ] || nginx_by_stls
    fi
    rm -rf "$guest"
}

# nginx asks a web server for the address of our server: itself.
nginx_start() {
    cat >nginx.conf <<END
load_module /usr/lib/nginx/modules/ngx_mail_module.so;
daemon off;
pid $PWD/nginx.pid;
error_log $PWD/nginx.log;
events { }
http {
    access_log off;
    server {
        listen unix:$PWD/auth.sock;
        location / {
            add_header Auth-Status OK;
            add_header Auth-Server 127.0.0.1;
            add_header Auth-Port $server_port;
            return 204;
        }
    }
}
mail {
    auth_http unix:$PWD/auth.sock:/;
    pop3_capabilities TOP UIDL USER PIPELINING;
    server {
        listen 127.0.0.1:$port;
        protocol pop3;
        proxy on;
    }
    server {
        listen 127.0.0.1:$tls_port;
        protocol pop3;
        proxy on;
        starttls only;
        ssl_certificate $work/cert.pem;
        ssl_certificate_key $work/key.pem;
    }
}
END
    echo "exec nginx -p $PWD -e $PWD/nginx.log -c $PWD/nginx.conf"
}
proxy nginx "nginx's mail proxy" 'logs in itself, then passes everything on' \
    nginx-light libnginx-mod-mail

perdition_start() {
    echo "exec perdition.pop3 --no_daemon --config_file '' --bind_address 127.0.0.1 \\
        --listen_port $port --outgoing_server 127.0.0.1:$server_port \\
        --map_library '' --ssl_mode none --pid_file '' --log_facility -"
}
proxy perdition perdition 'logs in itself, then passes everything on' perdition

haproxy_start() {
    cat >haproxy.cfg <<END
defaults
    mode tcp
    timeout connect 20s
    timeout client 60s
    timeout server 60s
listen pop3
    bind 127.0.0.1:$port
    server ours 127.0.0.1:$server_port
END
    echo "exec haproxy -db -f $PWD/haproxy.cfg"
}
proxy haproxy haproxy 'mode tcp' haproxy
