#!/bin/bash
# SPDX-License-Identifier: ISC
# Copyright (c) 2026 The libtls-proxy authors
#
# The example ftp with a web server and a proxy that were written for others.

# Functions are called by name.
# shellcheck disable=SC2317
# shellcheck source=tests/interop/lib.bash
. "$(dirname "$0")/lib.bash"
# shellcheck source=tests/interop/servers.bash
. "$(dirname "$0")/servers.bash"
need openssl nginx
cd "$tmp" || exit 2
export HOME=$tmp
unset http_proxy https_proxy HTTPS_PROXY no_proxy NO_PROXY

options=()
ftp() {
    "$EXAMPLES/ftp" -w "$limit" -S "cafile=$TEST_CERTS/root.pem" \
        "${options[@]}" "$@"
}

# status NUMBER COMMAND...: it must end with that status.
status() {
    local want=$1 got
    shift
    "$@"
    got=$?
    [ "$got" -eq "$want" ] || {
        echo "exit status $got instead of $want: $*"
        return 1
    }
}

# How often a pattern is in the log of nginx, which is written in its own time:
# the request that follows the others there is the last line.
requests() {
    local pattern=$1
    ftp -o /dev/null "$url/mark" && wait_for 'the log' \
        sh -c "tail -n 1 '$dir/access' | grep -q /mark" || return 1
    grep -c -e "$pattern" "$dir/access"
    : >"$dir/access"
}

nginx_conf() { # PORT: and the next one for plaintext, and one for clients
    cat >"$dir/conf" <<END
daemon off;
worker_processes 1;
pid $dir/pid;
error_log $dir/error;
events { worker_connections 64; }
http {
    log_format short '\$scheme \$request_uri \$status \$connection_requests '
        '"\$http_authorization" "\$http_range" "\$ssl_client_s_dn" '
        '\$ssl_session_reused';
    access_log $dir/access short;
    client_body_temp_path $dir/t1;
    proxy_temp_path $dir/t2;
    fastcgi_temp_path $dir/t3;
    uwsgi_temp_path $dir/t4;
    scgi_temp_path $dir/t5;
    root $dir/root;
    ssl_certificate $dir/cert.pem;
    ssl_certificate_key $dir/key.pem;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:s:1m;
    ssl_client_certificate $dir/root.pem;
    ssl_verify_client optional;
    ssl_verify_depth 3;
    server {
        listen 127.0.0.1:$1 ssl;
        location /mark { return 200 mark; }
        location /private {
            auth_basic private;
            auth_basic_user_file $dir/passwd;
        }
        location /certificate {
            if (\$ssl_client_verify != SUCCESS) { return 403; }
        }
        location /away { return 302 https://127.0.0.1:$1/data; }
        location /down { return 302 http://localhost:$(($1 + 1))/data; }
        location /relative { return 302 dir/../data?a=../b; }
        location /loop { return 301 /loop; }
        location /once { keepalive_timeout 0; }
    }
    server {
        listen 127.0.0.1:$(($1 + 1));
        location /up { return 302 https://localhost:$1/data; }
    }
}
END
}

server_directory nginx ecdsa
mkdir -p "$dir/root/private" "$dir/root/certificate" "$dir/root/once"
head -c 3000001 /dev/urandom >"$dir/root/data"
for name in private certificate once; do
    echo "$name" >"$dir/root/$name/file"
done
echo "user:$(openssl passwd -6 secret)" >"$dir/passwd"
chown -R "$owner" "$dir"
serve nginx_conf "${as[@]}" nginx -p "$dir" -e "$dir/error" -c "$dir/conf" || {
    not_ok nginx
    done_testing
}
url=https://localhost:$port
plain=http://localhost:$((port + 1))
nginx_port=$port

get() { rm -f got && ftp -o got "$url/data" && cmp got "$dir/root/data"; }
get_plain() { rm -f got && ftp -o got "$plain/data" && cmp got "$dir/root/data"; }

# nginx counts the requests of a connection.
kept() {
    ftp -o - "$url/private/none" "$url/data" "$url/certificate/file" "$url/data" >got
    [ "$(requests '^https /data 200 [24] ')" = 2 ]
}

# It gives up a connection that is kept, or says that it will.
not_kept() {
    ftp -o - "$url/once/file" "$url/once/file" "$url/once/file" >got &&
        [ "$(wc -l <got)" = 3 ] && [ "$(requests '/once/file 200 1 ')" = 3 ]
}

resume() {
    rm -f data
    head -c 1000000 "$dir/root/data" >data.ftp-part &&
        touch -r "$dir/root/data" data.ftp-part && ftp -C "$url/data" &&
        cmp data "$dir/root/data" &&
        [ "$(requests '^https /data 206 1 "-" "bytes=1000000-"')" = 1 ] &&
        ftp -C "$url/data" && [ "$(requests '/data 304')" = 1 ] || return 1
    # The server's is a newer one.
    rm data
    head -c 1000000 /dev/zero >data.ftp-part
    touch -d 2020-01-01 data.ftp-part
    ftp -C "$url/data" && cmp data "$dir/root/data" &&
        [ "$(requests '/data 200')" = 1 ] || return 1
    # The time that it had there was not known.
    rm data
    head -c 1000000 /dev/zero >data.ftp-part
    touch -d @0 data.ftp-part
    ftp -C "$url/data" && cmp data "$dir/root/data" &&
        [ "$(requests '/data 200')" = 1 ] || return 1
    # All of it is there and has no name yet.
    mv data data.ftp-part
    ftp -C "$url/data" && cmp data "$dir/root/data" &&
        [ "$(requests '/data 416')" = 1 ]
}

sessions() { # VERSION
    rm -rf sessions
    mkdir sessions
    local run=(ftp -S "protocols=tlsv$1" -s sessions -o got)
    "${run[@]}" "$url/data" && "${run[@]}" "$url/data" &&
        "${run[@]}" "https://127.0.0.1:$nginx_port/data" &&
        [ "$(find sessions -perm 600 | wc -l)" = 2 ] &&
        [ "$(requests '/data 200 .* r$')" = 1 ]
}

# Its name says who it is; whoever it redirects to does not learn it.
client_certificate() {
    local cert=(-S "cert=$TEST_CERTS/client-chain.pem,key=$TEST_CERTS/client.key")
    rm -rf sessions
    mkdir sessions
    cert+=(-s sessions)
    ftp "${cert[@]}" -o got "https://127.0.0.1:$nginx_port/certificate/file" &&
        [ "$(<got)" = certificate ] &&
        ftp "${cert[@]}" -o got "$url/certificate/file" &&
        [ "$(<got)" = certificate ] &&
        ftp "${cert[@]}" -o got "$url/away" && cmp got "$dir/root/data" &&
        [ "$(requests '^https /data .*CN=client')" = 0 ] &&
        status 3 ftp -o got "$url/certificate/file"
}

passwords() {
    local log
    rm -f .netrc
    status 3 ftp -o got "$url/private/file" &&
        ftp -o got "${url/localhost/user:secr%65t@localhost}/private/file" &&
        [ "$(<got)" = private ] &&
        status 3 ftp -o got "${url/localhost/user:x@localhost}/private/file" &&
        printf 'default login user password secret' >.netrc &&
        status 1 ftp -o got "$url/private/file" && chmod 600 .netrc &&
        ftp -o got "$url/private/file" && [ "$(<got)" = private ] &&
        requests 'x' >/dev/null || return 1
    printf 'machine localhost login user password secret' >.netrc
    # Neither to another server nor to everybody who listens.
    ftp -o got "$url/away" && ftp -D -o got "$url/down" &&
        ftp -o got "$plain/data" &&
        [ "$(grep -c '/data .*"Basic' "$dir/access")" = 0 ] &&
        [ "$(grep -c '/away .*"Basic' "$dir/access")" = 1 ] &&
        ftp -o got "${url/localhost/user:a@localhost}/away" &&
        [ "$(requests '/data .*"Basic')" = 0 ]
    local rv=$?
    rm .netrc
    return "$rv"
}

# ps shows no password once ftp runs.
hidden() {
    local rv
    mkfifo stuck
    "$EXAMPLES/ftp" -S "cafile=$TEST_CERTS/root.pem" -o stuck \
        "${url/localhost/user:secret@localhost}/private/file" &
    wait_for 'a connection' sh -c "tr '\\0' ' ' </proc/$!/cmdline |
        grep -q '\*\*\*@localhost'"
    rv=$?
    ! grep -q secret "/proc/$!/cmdline" || rv=1
    cat stuck
    wait $! && [ "$rv" -eq 0 ]
}

redirects() {
    ftp -o got "$url/relative" && cmp got "$dir/root/data" &&
        [ "$(requests '^https /data?a=../b 200')" = 1 ] &&
        ftp -o got "$plain/up" && status 2 ftp -o got "$url/down" &&
        ftp -D -o got "$url/down" && cmp got "$dir/root/data" &&
        status 2 ftp -o got "$url/loop"
}

pins() {
    local hash other
    hash=SHA256:$(head -n 1 "$TEST_CERTS/ecdsa.facts")
    other=SHA256:$(printf '%064d' 0)
    ftp -H "$other" -H "$hash" -o got "$url/data" &&
        status 2 ftp -H "$other" -o got "$url/data" &&
        status 2 "$EXAMPLES/ftp" -S noverify -H "$other" -o got "$url/data" &&
        status 1 ftp -H sha256:00 -o got "$url/data"
}

missing() {
    status 3 ftp -o got "$url/missing" "$url/data" 2>log && return 1
    rm -f got
    status 3 ftp -o - "$url/missing" "$url/data" >got && cmp got "$dir/root/data"
}

check 'nginx: a file' get
check 'nginx: a file in plaintext' get_plain
check 'nginx: four requests on a connection' kept
check 'nginx: connections that it does not keep' not_kept
check 'nginx: resume' resume
check 'nginx: a session for the next run, TLS 1.2' sessions 1.2
check 'nginx: a session for the next run, TLS 1.3' sessions 1.3
check 'nginx: client certificates' client_certificate
check 'nginx: passwords' passwords
check 'nginx: passwords are not in the list of processes' hidden
check 'nginx: redirections' redirects
check 'nginx: hashes of certificates' pins
check 'nginx: a file that is missing' missing

# --- through a proxy ---

tinyproxy_conf() { # PORT
    cat >"$proxy_dir/conf" <<END
Listen 127.0.0.1
Port $1
Timeout 30
LogLevel Connect
LogFile "$proxy_dir/log"
MaxClients 20
ConnectPort $nginx_port
${with_password:+BasicAuth user secret}
END
}

through() { # PROXY URL
    rm -f got
    https_proxy=$1 http_proxy=$1 ftp -v -o got "$2" && cmp got "$dir/root/data"
}

through_not() { # STATUS PROXY URL
    https_proxy=$2 http_proxy=$2 status "$1" ftp -o got "$3"
}

proxy_used() { # COUNT
    [ "$(grep -c 'Request (file' "$proxy_dir/log")" = "$1" ] || {
        cat "$proxy_dir/log"
        return 1
    }
}

proxies() {
    local proxy=http://localhost:$proxy_port
    through "$proxy" "$url/data" && through "localhost:$proxy_port" "$plain/data" &&
        proxy_used 2 && no_proxy='example.org, localhost' through "$proxy" "$url/data" &&
        NO_PROXY=.localhost:$nginx_port through "$proxy" "$url/data" &&
        proxy_used 2 && no_proxy=host,127.0.0.1 through "$proxy" "$url/data" &&
        proxy_used 3 || return 1
    # To ports that it forbids, and where it is not.
    through_not 3 "$proxy" https://localhost:1/ &&
        through_not 2 http://localhost:1 "$url/data" &&
        through_not 1 https://localhost:1 "$url/data"
}

tunnel_verification() {
    https_proxy=localhost:$proxy_port status 2 "$EXAMPLES/ftp" -o got "$url/data"
}

proxy_passwords() {
    local proxy=http://user:secret@localhost:$proxy_port
    through_not 3 "http://localhost:$proxy_port" "$url/data" &&
        through_not 3 "http://localhost:$proxy_port" "$plain/data" &&
        through_not 3 "http://user:x@localhost:$proxy_port" "$url/data" &&
        through "$proxy" "$url/data" && through "$proxy" "$plain/data"
}

if have tinyproxy; then
    proxy_dir=$tmp/tinyproxy
    mkdir "$proxy_dir"
    chown "$owner" "$proxy_dir"
    with_password=
    if serve tinyproxy_conf "${as[@]}" tinyproxy -d -c "$proxy_dir/conf"; then
        proxy_port=$port
        check 'tinyproxy: with TLS and without' proxies
        check 'tinyproxy: verification through the tunnel' tunnel_verification
        stop "$pid"
        with_password=yes
        serve tinyproxy_conf "${as[@]}" tinyproxy -d -c "$proxy_dir/conf"
        proxy_port=$port
        check 'tinyproxy: passwords' proxy_passwords
        stop "$pid"
    else
        not_ok tinyproxy
    fi
fi
done_testing
