#!/bin/bash
# SPDX-License-Identifier: ISC
# Copyright (c) 2026 The libtls-proxy authors
#
# The EXAMPLES of the manual pages of ftp, nc and httpd run as printed: in a network
# of their own, where www.example.org and the others are this machine, and an
# authority of ours is the system's. In the environment also MANUAL, the
# directory with the pages.

# Functions are called by name.
# shellcheck disable=SC2317
if [ "${1-}" != inside ] && [ "$(id -u)" -eq 0 ] &&
    unshare --mount --net true 2>/dev/null; then
    exec unshare --mount --net bash "$0" inside
fi
# shellcheck source=tests/interop/lib.bash
. "$(dirname "$0")/lib.bash"
# shellcheck source=tests/interop/servers.bash
. "$(dirname "$0")/servers.bash"
: "${MANUAL:?}"
if [ "${1-}" != inside ]; then
    echo 'skipped: no network of its own for this user'
    failed=77
    done_testing
fi
need openssl nginx proftpd postconf ip curl
cd "$tmp" || exit 2
export HOME=$tmp
PATH=$EXAMPLES:$PATH
unset http_proxy https_proxy HTTPS_PROXY

bundle=/etc/ssl/certs/ca-certificates.crt
ip link set lo up
echo '127.0.0.1 localhost www.example.org mail.example.org server.example.org' \
    >hosts
mount --bind hosts /etc/hosts && mount --bind "$TEST_CERTS/root.pem" "$bundle" ||
    exit 2

# issue NAME EXTENSION: certifies NAME.key
issue() {
    openssl ecparam -name prime256v1 -genkey -noout -out "$1.key" &&
        openssl req -new -key "$1.key" -subj "/CN=$1" -out "$1.csr" &&
        openssl x509 -req -in "$1.csr" -CA "$TEST_CERTS/inter.pem" \
            -CAkey "$TEST_CERTS/inter.key" -CAcreateserial \
            -CAserial serial -days 2 -extfile <(echo "$2") -out "$1.crt" &&
        cat "$1.crt" "$TEST_CERTS/inter.pem" >"$1.pem"
}

hash_of() {
    openssl x509 -in "$1" -outform der | sha256sum | sed 's/\([^ ]*\).*/SHA256:\1/'
}

prepare() {
    local names=DNS:www.example.org,DNS:mail.example.org,DNS:server.example.org
    issue server "subjectAltName=$names" && cp "$TEST_CERTS/root.pem" ca.pem &&
        issue client extendedKeyUsage=clientAuth &&
        cp client.pem me.pem && cp client.key me.key &&
        hash_of client.crt >client.hash && hash_of server.crt >server.hash &&
        printf 'V\t%s\t\t%s\tunknown\t/CN=server\n' \
            "$(date -u -d '2 days' +%y%m%d%H%M%SZ)" \
            "$(openssl x509 -noout -serial -in server.crt | sed 's/.*=//')" \
            >index &&
        openssl ocsp -index index -CA "$TEST_CERTS/inter.pem" \
            -rsigner "$TEST_CERTS/inter.pem" -rkey "$TEST_CERTS/inter.key" \
            -issuer "$TEST_CERTS/inter.pem" -cert server.crt -ndays 7 \
            -respout staple.der
}
prepare >prepare.log 2>&1 || { not_ok preparation prepare.log; done_testing; }
echo text >file

# A server's directory with the certificate of all names.
directory() {
    server_directory "$1" ecdsa
    cp server.pem "$dir/cert.pem"
    cp server.key "$dir/key.pem"
    chown -R "$owner" "$dir"
}

# run PORT COMMAND...: a server, on a port that nobody else has here
run() {
    local want=$1
    shift
    start "$@"
    wait_for "$1" listens_or_gone "$pid" "$want"
    if gone "$pid"; then
        not_ok "$1" "$tmp/$pid.log"
        done_testing
    fi
}

directory nginx
mkdir -p "$dir/root/private"
for name in a b index.html large private/file; do
    echo "$name" >"$dir/root/$name"
done
cat >"$dir/conf" <<END
daemon off;
worker_processes 1;
pid $dir/pid;
error_log $dir/error;
events { worker_connections 64; }
http {
    access_log off;
    root $dir/root;
    ssl_client_certificate $TEST_CERTS/root.pem;
    ssl_verify_client optional;
    ssl_verify_depth 3;
    server {
        listen 127.0.0.1:443 ssl;
        ssl_certificate $dir/cert.pem;
        ssl_certificate_key $dir/key.pem;
        location /private {
            if (\$ssl_client_verify != SUCCESS) { return 403; }
        }
    }
}
END
run 443 nginx -e "$dir/error" -c "$dir/conf"

directory proftpd
files=$dir/files ftp_user=user
mkdir -p "$files/pub/below" "$files/incoming"
echo text >"$files/pub/below/file"
chown -R "$owner" "$files"
proftpd_conf 21
run 21 proftpd -n -q -c "$dir/conf"
printf 'machine www.example.org login user password secret\n' >.netrc
chmod 600 .netrc

directory postfix
postfix_directory
postfix_conf 25
run 25 "${postfix[@]}"

# commands PAGE: those of its EXAMPLES, each with a line that ends it
commands() {
    awk '
        function add(line) {
            gsub(/\\e/, "\\", line)
            if (sub(/^\$ /, "", line) && n++)
                print "##"
            print line
        }
        /^\.Sh / { on = $2 == "EXAMPLES" }
        !on { next }
        /^\.Dl / { add(substr($0, 5)); next }
        /^\.Ed/ { literal = 0 }
        literal { add($0) }
        /^\.Bd -literal/ { literal = 1 }
        END { if (n) print "##" }' "$MANUAL/$1"
}

# What listens does so until the command that follows has ended, or another
# one begins to listen.
server=
perform() { # COMMAND
    local command=$1
    local want=
    case $command in
    'nc -l '*) want=4433 ;;
    'httpd -d '*) want=8443 ;;
    esac
    if [ -n "$want" ]; then
        [ -z "$server" ] || stop "$server"
        # A shell that becomes the server.
        start bash -c "exec $command"
        server=$pid
        wait_for "$command" listens_or_gone "$pid" "$want" && ! gone "$pid"
        return
    fi
    check "$command" bash -c "$command"
}

examples() { # PAGE COUNT
    local command='' line count=0
    while IFS= read -r line; do
        if [ "$line" != '##' ]; then
            command+=$line$'\n'
            continue
        fi
        perform "${command%$'\n'}" || not_ok "$command" "$tmp/$pid.log"
        command=
        count=$((count + 1))
    done < <(commands "$1")
    [ "$count" -ge "$2" ] || not_ok "$1 has $count examples"
}

examples ftp.1 6
check 'two files' cmp a "$tmp/nginx/root/a"
check 'a directory' diff -r pub "$tmp/proftpd/files/incoming/pub"
check 'the file with a client certificate' grep -q private/file file
echo text >file
examples nc.1 6
check 'a staple' nc -c -z -T muststaple server.example.org 4433

mkdir htdocs
echo served >htdocs/index.html
cat >httpd.conf <<END
user "$owner"
prefork 1
server "www.example.org" {
    listen on 127.0.0.1 tls port 9443
    root "$tmp/htdocs"
    tls { certificate "server.pem"; key "server.key" }
}
END
page() { # PORT
    [ "$(curl -sS "https://www.example.org:$1/")" = served ]
}
# After SIGHUP, the certificate that is there by then.
renewed() {
    openssl s_client -connect www.example.org:9443 </dev/null 2>/dev/null |
        openssl x509 -noout -serial >serial.now
    openssl x509 -noout -serial -in server.pem | cmp -s - serial.now
}
examples httpd.8 3
check 'httpd without a configuration' page 8443
wait_for "httpd.pid" test -s httpd.pid && pids+=("$(<httpd.pid)")
check 'httpd with a configuration' page 9443
check 'a certificate is renewed' issue server subjectAltName=DNS:www.example.org
check 'the command for it' bash -c "$(commands httpd.8 | grep HUP)"
check 'httpd has the renewed certificate' wait_for 'it' renewed
done_testing
