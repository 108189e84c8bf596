#!/bin/bash
# SPDX-License-Identifier: ISC
#
# Our server, and the clients of other TLS stacks.

# Functions are called by name.
# shellcheck disable=SC2317
# shellcheck source=tests/interop/lib.bash
. "$(dirname "$0")/lib.bash"
need openssl curl gnutls-cli

mkdir "$tmp/root"
head -c 1048577 /dev/urandom >"$tmp/root/data"
: >"$tmp/root/empty"
echo hello >"$tmp/root/hello"

curl=(curl -sS --fail --cacert "$TEST_CERTS/root.pem" --noproxy '*')

s_client() { # OPTION...: sends a request, prints the body
    printf 'GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' |
        openssl s_client -connect "localhost:$port" -servername localhost \
            -CAfile "$TEST_CERTS/root.pem" -verify_return_error \
            -verify_hostname localhost -quiet -ign_eof "$@" |
        tr -d '\r' | sed '1,/^$/d'
}

# The end of its input is the end of gnutls-cli, whatever comes back.
mkfifo "$tmp/input"
exec 3<>"$tmp/input"
gnutls() { # PRIORITY
    printf 'GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
    gnutls-cli --x509cafile "$TEST_CERTS/root.pem" --priority "$1" \
            --logfile "$tmp/gnutls.log" -p "$port" localhost <&3 |
        tr -d '\r' | sed '1,/^$/d'
}

several() {
    "${curl[@]}" --write-out '%{num_connects}\n' -o "$tmp/a" "$url/hello" \
        -o "$tmp/b" "$url/data" -o "$tmp/c" "$url/hello" >"$tmp/connects" &&
        cmp "$tmp/a" "$tmp/root/hello" && cmp "$tmp/b" "$tmp/root/data" &&
        cmp "$tmp/c" "$tmp/root/hello" &&
        [ "$(paste -sd ' ' "$tmp/connects")" = '1 0 0' ]
}

alpn() {
    openssl s_client -connect "localhost:$port" -alpn h2,http/1.1 |
        grep -qx 'ALPN protocol: http/1.1'
}

for key in rsa ecdsa ed25519; do
    httpd $key || { not_ok "httpd $key" "$tmp/$pid.log"; continue; }
    url=https://localhost:$port
    for version in 1.2 1.3; do
        with="$key, TLS $version"
        check "curl, $with" same "$tmp/root/data" \
            "${curl[@]}" --tlsv$version --tls-max $version "$url/data"
        check "curl, empty file, $with" same \
            "$tmp/root/empty" "${curl[@]}" --tlsv$version \
            --tls-max $version "$url/empty"
        check "openssl s_client, $with" same \
            "$tmp/root/hello" s_client "-tls${version/./_}"
        check "gnutls-cli, $with" same \
            "$tmp/root/hello" gnutls "NORMAL:-VERS-ALL:+VERS-TLS$version"
    done
    check "curl, several requests on a connection, $key" several
    refused "curl without our CA, $key" certificate curl -sS --noproxy '*' \
        "$url/hello"
    refused "curl with another name, $key" 'does not match\|no alternative' \
        "${curl[@]}" --resolve "elsewhere.test:$port:127.0.0.1" \
        "https://elsewhere.test:$port/hello"
    # Old versions and plain text are refused, and the server stays.
    refused "TLS 1.1, $key" alert openssl s_client -connect \
        "localhost:$port" -tls1_1 -cipher DEFAULT:@SECLEVEL=0
    refused "HTTP, $key" '' curl -sS --noproxy '*' --max-time 10 \
        "http://localhost:$port/hello"
    check "curl afterwards, $key" same \
        "$tmp/root/hello" "${curl[@]}" "$url/hello"
    check "ALPN, $key" alpn
    stop "$pid"
done

# Client certificates.
httpd ecdsa -C "$TEST_CERTS/root.pem" ||
    not_ok "httpd with client certificates" "$tmp/$pid.log"
url=https://localhost:$port
for version in 1.2 1.3; do
    only=("--tlsv$version" --tls-max "$version")
    check "client certificate, TLS $version" same \
        "$tmp/root/hello" "${curl[@]}" "${only[@]}" "$url/hello" \
        --cert "$TEST_CERTS/client-chain.pem" --key "$TEST_CERTS/client.key"
    refused "no client certificate, TLS $version" '' \
        "${curl[@]}" "${only[@]}" "$url/hello"
    refused "client certificate of another CA, TLS $version" '' \
        "${curl[@]}" "${only[@]}" "$url/hello" \
        --cert "$TEST_CERTS/other-client-chain.pem" \
        --key "$TEST_CERTS/other-client.key"
done

done_testing
