#!/bin/bash
# SPDX-License-Identifier: ISC
#
# New keys in the middle of a connection of TLS 1.3, RFC 8446 section 4.6.3.

# Functions are called by name.
# shellcheck disable=SC2317
# shellcheck source=tests/interop/lib.bash
. "$(dirname "$0")/lib.bash"
need openssl

mkdir "$tmp/root" && echo hello >"$tmp/root/hello"
mkfifo "$tmp/input"

# s_client takes a letter at the beginning of what it reads at once for a
# command, so each is sent when the one before has been answered.
said() { # COUNT TEXT
    [ "$(grep -c -e "$2" "$tmp/$client.log")" -ge "$1" ]
}

answers() { # COUNT: so many requests are
    printf 'GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n' >&3
    wait_for "answer $1" said "$1" '^hello'
}

update() { # LETTER COUNT DIRECTION: K wants the server's update as well
    printf '%s\n' "$1" >&3
    wait_for "update $1" said "$2" "$3 TLS 1.3.*KeyUpdate"
}

httpd ecdsa || not_ok 'httpd' "$tmp/$pid.log"
exec 3<>"$tmp/input"
: >"$tmp/client.log"
openssl s_client -connect "localhost:$port" -servername localhost -tls1_3 -msg \
    -CAfile "$TEST_CERTS/root.pem" <&3 >>"$tmp/client.log" 2>&1 &
client=$!
pids+=("$client")
ln "$tmp/client.log" "$tmp/$client.log"
check 'before an update' answers 1
check 'an update of the client' update k 1 '>>>'
check 'data under its new key' answers 2
check 'an update of both' update K 1 '<<<'
check 'data under both new keys' answers 3
for i in 4 5 6; do
    check "update $i" update K $((i - 2)) '<<<'
    check "data after update $i" answers "$i"
done
done_testing
