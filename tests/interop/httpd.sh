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

# lftp, which reads a directory's listing as it would one of FTP.
lftp_conf() {
    local key=$1
    cat <<END
prefork 0
server "localhost" {
    listen on 127.0.0.1 tls port 0
    root "$tmp/root"
    log access "$tmp/access.log"
    directory auto index
    tls {
        certificate "$TEST_CERTS/$key-chain.pem"
        key "$TEST_CERTS/$key.key"
    }
}
END
}

lftp_() { # COMMAND
    env HOME="$tmp" lftp -c "set cmd:fail-exit yes; set net:max-retries 1
        set net:timeout $limit; set ssl:ca-file ${ca:-$TEST_CERTS/root.pem}
        set pget:min-chunk-size 100k; ${slowly-}
        open https://localhost:$port; $1"
}

answers() { # STATUS TIMES
    [ "$(grep -c "\" $1 " "$tmp/access.log")" -ge "$2" ]
}

# It is written when an answer has ended, which may be after lftp has.
logged() { # STATUS TIMES
    wait_for "answers of status $1" answers "$@" ||
        { cat "$tmp/access.log"; return 1; }
}

lftp_get() {
    rm -f "$tmp/whole" && lftp_ "get data -o $tmp/whole" &&
        cmp "$tmp/whole" "$tmp/root/data"
}

lftp_resume() {
    head -c 500000 "$tmp/root/data" >"$tmp/part" &&
        : >"$tmp/access.log" && lftp_ "get -c data -o $tmp/part" &&
        cmp "$tmp/part" "$tmp/root/data" && logged 206 1
}

# One connection must not have all before the others are there. Of four lftp
# itself drops one where another has gone on into its piece.
lftp_pieces() {
    local slowly='set net:limit-rate 400k;'
    rm -f "$tmp/pieces"* && : >"$tmp/access.log" &&
        lftp_ "pget -n 4 data -o $tmp/pieces" &&
        cmp "$tmp/pieces" "$tmp/root/data" && logged 206 2
}

lftp_mirror() {
    rm -rf "$tmp/copy" && lftp_ "mirror --parallel=3 tree $tmp/copy" &&
        diff -r "$tmp/root/tree" "$tmp/copy"
}

lftp_tests() {
    local key ca=''
    mkdir -p "$tmp/root/tree/sub/deep" "$tmp/root/tree/two words"
    cp "$tmp/root/data" "$tmp/root/tree"
    echo a >"$tmp/root/tree/sub/a&b <c>.txt"
    echo deep >"$tmp/root/tree/sub/deep/100%"
    echo words >"$tmp/root/tree/two words/é"
    for key in rsa ecdsa; do
        rm -f "$tmp/port"
        lftp_conf $key >"$tmp/lftp.conf"
        start "$EXAMPLES/httpd" -d -f "$tmp/lftp.conf" -P "$tmp/port"
        port_in "$tmp/port" || {
            not_ok "httpd for lftp, $key" "$tmp/$pid.log"
            continue
        }
        check "lftp, $key" lftp_get
        check "lftp goes on with a part, $key" lftp_resume
        check "lftp fetches pieces at once, $key" lftp_pieces
        check "lftp mirrors a directory, $key" lftp_mirror
        ca=$TEST_CERTS/other-root.pem
        refused "lftp with another CA, $key" certificate lftp_ "cat hello"
        ca=
        stop "$pid"
    done
}
if command -v lftp >/dev/null; then
    lftp_tests
else
    ok 'skipped: no lftp # SKIP'
fi

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
