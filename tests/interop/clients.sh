#!/bin/bash
# SPDX-License-Identifier: ISC
#
# Our clients, and the servers of other TLS stacks.

# Functions are called by name.
# shellcheck disable=SC2317
# shellcheck source=tests/interop/lib.bash
. "$(dirname "$0")/lib.bash"
need openssl gnutls-serv

mkdir "$tmp/www"
head -c 300001 /dev/urandom >"$tmp/www/data"

ftp() { # ARGUMENT...
    rm -f "$tmp/out"
    "$EXAMPLES/ftp" -o "$tmp/out" -S "cafile=$TEST_CERTS/root.pem$options" \
        "$@"
}

fetch() {
    ftp "https://localhost:$port/data" && cmp "$tmp/out" "$tmp/www/data"
}

# nc keeps its connection for the answer that comes after the end of input.
request() {
    printf 'GET /data HTTP/1.0\r\n\r\n' |
        "$EXAMPLES/nc" -c -N -R "$TEST_CERTS/root.pem" \
            -T "${options#,}" localhost "$port" |
        tail -c 300001 | cmp - "$tmp/www/data"
}

openssl_server() { # KEY OPTION...
    local key=$1
    shift
    # The files it serves are relative to where it is.
    start env -C "$tmp/www" openssl s_server -accept 0 -WWW \
        -cert "$TEST_CERTS/$key.pem" -key "$TEST_CERTS/$key.key" \
        -cert_chain "$TEST_CERTS/inter.pem" "$@"
    port_of "$pid"
}

gnutls_server() { # KEY PRIORITY
    start env -C "$tmp/www" gnutls-serv --http -p 0 --priority "$2" \
        --x509certfile "$TEST_CERTS/$1-chain.pem" \
        --x509keyfile "$TEST_CERTS/$1.key"
    port_of "$pid"
}

for key in rsa ecdsa ed25519; do
    for version in 1.2 1.3; do
        with="$key, TLS $version"
        options=,protocols=tlsv$version
        openssl_server $key || not_ok "s_server, $with" "$tmp/$pid.log"
        check "ftp from s_server, $with" fetch
        check "nc to s_server, $with" request
        options=,protocols=all
        stop "$pid"
        openssl_server $key "-tls${version/./_}"
        check "ftp from s_server, $key, only TLS $version there" fetch
        stop "$pid"
        # What gnutls-serv has to say to a request is a page of its own.
        gnutls_server $key "NORMAL:-VERS-ALL:+VERS-TLS$version" ||
            not_ok "gnutls-serv, $with" "$tmp/$pid.log"
        check "ftp from gnutls-serv, $with" ftp "https://localhost:$port/"
        check "it names the version, $with" grep -q "TLS$version" "$tmp/out"
        stop "$pid"
    done
done

options=
openssl_server ecdsa
refused "another CA" 'certificate verification failed' \
    "$EXAMPLES/ftp" -o "$tmp/out" -S "cafile=$TEST_CERTS/other-root.pem" \
    "https://localhost:$port/data"
refused "another name" 'not present in server certificate' \
    "$EXAMPLES/nc" -c -R "$TEST_CERTS/root.pem" -e elsewhere.test \
    localhost "$port"
stop "$pid"

openssl_server expired
refused "expired certificate" expired "$EXAMPLES/ftp" -o "$tmp/out" \
    -S "cafile=$TEST_CERTS/root.pem" "https://localhost:$port/data"
options=,noverifytime
check "expired certificate, noverifytime" fetch
stop "$pid"

# Plain HTTP where TLS is expected.
httpd ecdsa
stop "$pid"
refused "nobody is there" refused "$EXAMPLES/ftp" -o "$tmp/out" \
    "https://localhost:$port/data"

# A client certificate, with keys of both kinds.
for key in client rsa; do
    # Whom s_server trusts may not be a server: purpose any.
    openssl_server ecdsa -Verify 3 -CAfile "$TEST_CERTS/root.pem" \
        -verify_return_error -purpose any
    options=,protocols=tlsv1.3,cert=$TEST_CERTS/$key-chain.pem,key=$TEST_CERTS/$key.key
    check "client certificate with the key of $key, TLS 1.3" fetch
    options=,protocols=tlsv1.2,cert=$TEST_CERTS/$key-chain.pem,key=$TEST_CERTS/$key.key
    check "client certificate with the key of $key, TLS 1.2" fetch
    options=,protocols=tlsv1.2
    refused "no client certificate" 'alert' ftp "https://localhost:$port/data"
    stop "$pid"
done

# nc as a server, which ends when its client does.
received() { # s_client's OPTION...
    openssl s_client -quiet -no_ign_eof -nocommands -servername localhost \
        -connect "localhost:$port" "$@" <"$tmp/www/data" &&
        wait_for 'the end of nc' gone "$pid" &&
        cmp "$tmp/received" "$tmp/www/data"
}
for key in rsa ecdsa; do
    for version in 1_2 1_3; do
        rm -f "$tmp/port"
        "$EXAMPLES/nc" -l -c -C "$TEST_CERTS/$key-chain.pem" \
            -K "$TEST_CERTS/$key.key" -P "$tmp/port" 127.0.0.1 0 \
            </dev/null >"$tmp/received" 2>"$tmp/nc.log" &
        pid=$!
        pids+=("$pid")
        port_in "$tmp/port" || not_ok "nc -l" "$tmp/nc.log"
        check "s_client to nc -l, $key, TLS $version" received -tls$version
        wait "$pid" || not_ok "nc -l, $key, TLS $version" "$tmp/nc.log"
    done
done

# A full disk is an error, and so is a certificate that is none.
options=
openssl_server rsa
refused "full disk" 'no space left' "$EXAMPLES/ftp" -o /dev/full \
    -S "cafile=$TEST_CERTS/root.pem" "https://localhost:$port/data"
refused "CA file is no such thing" '' "$EXAMPLES/ftp" -o "$tmp/out" \
    -S "cafile=$TEST_CERTS/garbage.pem" "https://localhost:$port/data"

done_testing
