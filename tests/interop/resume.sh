#!/bin/bash
# SPDX-License-Identifier: ISC
#
# Sessions between our ends and those of other TLS stacks. TEST_SESSION in the
# environment is the test program with the server and the client.

# Functions are called by name.
# shellcheck disable=SC2317
# shellcheck source=tests/interop/lib.bash
. "$(dirname "$0")/lib.bash"
: "${TEST_SESSION:?}"
need openssl gnutls-cli

# serve NAME KEY: our server with a session lifetime, on $port. It tells each
# client whether its session is new or resumed.
serve() {
    rm -f "$tmp/port"
    start "$TEST_SESSION" --peer listen "$1" "$2" "$tmp/port"
    port_in "$tmp/port"
}

# s_client WORD VERSION OPTION...: the server must say the word, and the
# client agree.
s_client() {
    local word=$1 version=$2 says
    shift 2
    case $word in
    new) says=New ;;
    resumed) says=Reused ;;
    esac
    openssl s_client -connect "localhost:$port" -servername localhost \
        -CAfile "$TEST_CERTS/root.pem" -verify_return_error -ign_eof \
        "-tls${version/./_}" "$@" </dev/null >"$tmp/s_client"
    cat "$tmp/s_client"
    grep -qx "$word" "$tmp/s_client" &&
        grep -q "^$says, TLSv$version, Cipher is " "$tmp/s_client"
}

for key in rsa ecdsa ed25519; do
    serve $key 1 || { not_ok "server $key" "$tmp/$pid.log"; continue; }
    first=$pid first_port=$port
    serve $key 1 || not_ok "second server $key" "$tmp/$pid.log"
    second=$pid second_port=$port
    serve $key 2 || not_ok "third server $key" "$tmp/$pid.log"
    third=$pid third_port=$port
    for version in 1.2 1.3; do
        with="$key, TLS $version"
        rm -f "$tmp"/sess*
        port=$first_port
        check "s_client, new session, $with" \
            s_client new $version -sess_out "$tmp/sess"
        check "s_client, resumed, $with" \
            s_client resumed $version -sess_in "$tmp/sess"
        # In TLS 1.2 it doesn't keep a ticket that comes with a resumption.
        if [ $version = 1.3 ]; then
            check "s_client, resumed, renewing the ticket, $with" \
                s_client resumed $version -sess_in "$tmp/sess" \
                -sess_out "$tmp/sess2"
            check "s_client, resumed by a renewed ticket, $with" \
                s_client resumed $version -sess_in "$tmp/sess2"
        fi
        port=$second_port
        check "s_client, resumed at another server, $with" \
            s_client resumed $version -sess_in "$tmp/sess"
        port=$third_port
        check "s_client, a server with other keys, $with" \
            s_client new $version -sess_in "$tmp/sess"
    done
    # Its two connections, of which the server says something to each.
    port=$first_port
    for version in 1.2 1.3; do
        check "gnutls-cli, $key, TLS $version" gnutls-cli --resume \
            --x509cafile "$TEST_CERTS/root.pem" -p "$port" localhost \
            --priority "NORMAL:-VERS-ALL:+VERS-TLS$version" </dev/null
        if grep -q '^\*\*\* This is a resumed session' "$log"; then
            ok "gnutls-cli resumed, $key, TLS $version"
        else
            not_ok "gnutls-cli resumed, $key, TLS $version" "$log"
        fi
    done
    for server in $first $second $third; do
        stop "$server"
    done
done

# s_server NAME OPTION...: on $port; turns lines around.
s_server() {
    local name=$1
    shift
    start openssl s_server -accept 127.0.0.1:0 -rev -quiet \
        -cert "$TEST_CERTS/$name.pem" -key "$TEST_CERTS/$name.key" \
        -cert_chain "$TEST_CERTS/$name-chain.pem" "$@"
    port_of "$pid"
}

# connects WORD VERSION: our client must say the word.
connects() {
    "$TEST_SESSION" --peer connect "$port" "tlsv$2" "$tmp/session" |
        grep -qx "$1"
}

for key in rsa ecdsa; do
    for version in 1.2 1.3; do
        with="$key, TLS $version"
        rm -f "$tmp/session"
        s_server $key || not_ok "s_server $key" "$tmp/$pid.log"
        check "our client, new session, $with" connects new $version
        check "our client, resumed, $with" connects resumed $version
        check "our client, resumed again, $with" connects resumed $version
        stop "$pid"
        # Its keys have gone with it.
        s_server $key || not_ok "s_server $key" "$tmp/$pid.log"
        check "our client, another server, $with" connects new $version
        check "our client, resumed there, $with" connects resumed $version
        stop "$pid"
        s_server $key -no_ticket -num_tickets 0 -no_cache ||
            not_ok "s_server without sessions, $key" "$tmp/$pid.log"
        check "our client, no sessions, $with" connects new $version
        check "our client, still none, $with" connects new $version
        stop "$pid"
    done
done

done_testing
