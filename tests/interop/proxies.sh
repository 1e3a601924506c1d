# proxies.sh - proxies in front of our server: a part of interop.sh, and read by it
#
# Our server listens at $server_port, the proxy at $port. Through it curl lists and fetches all
# messages, our client removes them, and a client that goes away in the middle removes nothing.

# behind FUNCTION: runs it while our server and $proxy listen. Prints what is wrong.
behind() {
    password=secret         # no blank in it, for the proxies that would stop there
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
    stop_server || echo 'our server did not end well'
    password='s3cret word'
}

marks_and_goes() {
    mail breaks_off $port "$user" "$password" || echo 'the session did not go as it should'
    wait_for grep ': disconnected .* del=0' log || echo 'our server does not notice'
    diff -r mail store >/dev/null || echo 'the store is not what it was'
}

# proxy NAME PROGRAM REMARK PACKAGE...: unpacks a proxy, and tries it; NAME_start prints how to
# start it.
proxy() {
    proxy=$1 program=$2 remark=$3
    wanted $proxy || return
    shift 3
    if guest $proxy "$@"; then
        count=$(ls "$work/messages" | wc -l)
        listed=sizes fetched="$count of $count" deleted=yes
        check $proxy 'curl lists and gets all messages' 'curl --version | grep pop3' \
            'behind by_curl' ||
            listed=FAILED fetched=FAILED
        check $proxy 'our client removes all' true 'behind by_client' || deleted=FAILED
        check $proxy 'a client that goes away removes nothing' true 'behind marks_and_goes' ||
            deleted=FAILED
        row proxies "$program" "$version" "$listed" "$fetched" $deleted "$remark"
    else
        skip $proxy "$why_not"
        row proxies "$program" '' '' '' '' "$why_not"
    fi
    rm -rf "$guest"
}

# nginx asks a web server where to go to: itself.
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
