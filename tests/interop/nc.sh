#!/bin/bash
# SPDX-License-Identifier: ISC
# Copyright (c) 2026 The libtls-proxy authors
#
# The example nc: OCSP, reports, and what is not TLS. In the environment also
# TEST_ODD, with staples.

# Functions are called by name.
# shellcheck disable=SC2317
# And s_client is a file as well as a word.
# shellcheck disable=SC2094
# shellcheck source=tests/interop/lib.bash
. "$(dirname "$0")/lib.bash"
: "${TEST_ODD:?}"
need openssl curl
cd "$tmp" || exit 2

leaf=(-C "$TEST_ODD/ocsp.pem" -K "$TEST_ODD/leaf.key")
root=$TEST_ODD/root.crt

# serve NAME OPTION...: nc -l with input NAME.in, output NAME.out and messages
# NAME.err
serve() {
    local name=$1
    shift
    [ -e "$name.in" ] || : >"$name.in"
    rm -f "$tmp/port"
    "$EXAMPLES/nc" -w "$limit" -l -P "$tmp/port" "$@" 127.0.0.1 0 \
        <"$name.in" >"$name.out" 2>"$name.err" &
    pid=$!
    pids+=("$pid")
    port_in "$tmp/port"
}

nc() { "$EXAMPLES/nc" -w "$limit" "$@" localhost "$port" </dev/null; }

# --- OCSP: ours to openssl, openssl's to us ---

staple_served() {
    serve staple -c "${leaf[@]}" -o "$TEST_ODD/good.der" &&
        openssl s_client -status -CAfile "$root" -verify_return_error \
            -servername localhost -connect "localhost:$port" \
            </dev/null >s_client || return 1
    wait "$pid"
    grep -q 'OCSP Response Status: successful' s_client &&
        grep -q 'Cert Status: good' s_client
}

no_staple_served() {
    serve staple -c "${leaf[@]}" && openssl s_client -status \
        -connect "localhost:$port" </dev/null >s_client 2>&1
    wait "$pid"
    grep -q 'OCSP response: no response sent' s_client
}

ocsp_server() { # OPTION...: s_server for what follows
    start openssl s_server -accept 127.0.0.1:0 -quiet -www \
        -cert "$TEST_ODD/ocsp.pem" -cert_chain "$TEST_ODD/ocsp.pem" \
        -key "$TEST_ODD/leaf.key" "$@"
    port_of "$pid"
}

report_has() { # PATTERN...: the report of the last nc -vv
    local pattern
    for pattern; do
        grep -q -e "$pattern" report || {
            echo "not in the report: $pattern"
            cat report
            return 1
        }
    done
}

staple_report() {
    local status until
    until=$(sed -n 2p "$TEST_ODD/good.facts")
    ocsp_server -status_file "$TEST_ODD/good.der" &&
        nc -c -z -vv -T muststaple -R "$root" 2>report
    status=$?
    stop "$pid"
    cat report
    [ "$status" -eq 0 ] && report_has 'OCSP responder: http://ocsp.test/' \
        'OCSP staple: good' 'OCSP response from: 2' \
        "OCSP response until: $(date -u -d "@$until" '+%Y-%m-%d %H:%M:%S') UTC"
}

staple_revoked() {
    local status
    ocsp_server -status_file "$TEST_ODD/revoked-keyCompromise.der" &&
        nc -c -z -R "$root" 2>report
    status=$?
    stop "$pid"
    [ "$status" -eq 1 ] && report_has 'revoked'
}

staple_missing() {
    local status
    ocsp_server && nc -c -z -T muststaple -R "$root" 2>report
    status=$?
    [ "$status" -eq 1 ] && report_has 'no stapled OCSP response' &&
        nc -c -z -vv -R "$root" 2>report && report_has 'OCSP staple: none'
    status=$?
    stop "$pid"
    return "$status"
}

check 'a staple for openssl s_client' staple_served
check 'no staple for openssl s_client' no_staple_served
check 'a staple from openssl s_server, reported' staple_report
check 'a staple that says revoked' staple_revoked
check 'no staple, with muststaple and without' staple_missing

# --- what the peer is ---

# What openssl says about each certificate of the chain stands in the report.
full_report() {
    local file field subject
    nc -c -z -vv -R "$TEST_CERTS/root.pem" 2>report && cat report &&
        report_has 'certificates sent: 2' 'cipher strength: [12]' \
            'session: new' 'names: DNS:localhost IP:127.0.0.1 IP:::1' \
            "hash: SHA256:$(head -n 1 "$TEST_CERTS/rsa.facts")" || return 1
    for file in rsa inter; do
        for field in startdate enddate; do
            report_has "$(date -u -d "$(openssl x509 -noout "-$field" \
                -in "$TEST_CERTS/$file.pem" | sed 's/.*=//')" \
                '+%Y-%m-%d %H:%M:%S') UTC" || return 1
        done
        for field in subject issuer; do
            subject=$(openssl x509 -noout "-$field" -nameopt compat \
                -in "$TEST_CERTS/$file.pem" 2>/dev/null |
                sed 's/^[a-z]*=//')
            report_has "$field: $subject" || return 1
        done
    done
}

# Certificates that are odd are reported as openssl reads them.
odd_report() {
    local name names
    for name in cn-64 cn-ip6 any-use; do
        [ -e "$TEST_ODD/$name.crt" ] || return 1
        serve odd -c -C "$TEST_ODD/$name.pem" -K "$TEST_ODD/leaf.key" &&
            nc -c -z -vv -T noverify 2>report
        wait "$pid"
        report_has 'chain 1 subject' || return 1
        # The parser of the chain and libtls agree on the leaf.
        names=$(openssl x509 -noout -ext subjectAltName \
            -in "$TEST_ODD/$name.crt" 2>/dev/null |
            sed -n 's/^ *DNS:\([^,]*\).*/\1/p')
        [ -z "$names" ] || report_has "names: .*DNS:$names" || return 1
    done
}

chain_saved() {
    nc -c -z -Z chain.pem -R "$TEST_CERTS/root.pem" &&
        cmp chain.pem "$TEST_CERTS/rsa-chain.pem" &&
        ! nc -c -z -Z missing/chain.pem -R "$TEST_CERTS/root.pem"
}

client_hash() {
    local client=(-C "$TEST_CERTS/client-chain.pem" -K "$TEST_CERTS/client.key")
    local hash
    hash=SHA256:$(head -n 1 "$TEST_CERTS/client.facts")
    local run=(-c -C "$TEST_CERTS/rsa-chain.pem" -K "$TEST_CERTS/rsa.key" \
        -R "$TEST_CERTS/root.pem" -T clientcert)
    serve hash "${run[@]}" -H "$hash" &&
        nc -c -q -R "$TEST_CERTS/root.pem" "${client[@]}"
    wait "$pid" || { cat hash.err; return 1; }
    serve hash "${run[@]}" -H "${hash%?????}00000" &&
        nc -c -R "$TEST_CERTS/root.pem" "${client[@]}"
    ! wait "$pid" && grep -q 'certificate hash is' hash.err
}

serve server -k -c -C "$TEST_CERTS/rsa-chain.pem" -K "$TEST_CERTS/rsa.key" ||
    not_ok 'nc -l -k' server.err
check 'a report of the chain' full_report
check 'the chain in a file' chain_saved

# --- -k: one after the other, whatever became of the one before ---

keeps_listening() {
    local i
    : >server.out
    for i in 1 2 3; do
        echo "$i" | "$EXAMPLES/nc" -c -q -R "$TEST_CERTS/root.pem" \
            localhost "$port" && ! nc -c -z -R "$TEST_CERTS/other-root.pem" &&
            wait_for "line $i" grep -q "$i" server.out || return 1
    done
    curl -s --cacert "$TEST_CERTS/root.pem" -m 1 "https://localhost:$port/x" ||
        wait_for 'a request' grep -q 'GET /x HTTP' server.out
}
check 'many connections' keeps_listening
stop "$pid"

# What is in a certificate is not for a terminal.
odd_url() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
        -subj /CN=localhost -keyout url.key -out url.pem \
        -addext $'authorityInfoAccess=OCSP;URI:http://x/\e[31mred' \
        2>/dev/null &&
        serve url -c -C url.pem -K url.key &&
        nc -c -z -vv -T noverify 2>report
    wait "$pid"
    report_has 'OCSP responder: http://x/?\[31mred$'
}

# The output is that of all of them, also when the first has ended before the
# input has.
passes_ends_on() {
    local i client
    for i in one two three; do
        echo "$i" | "$EXAMPLES/nc" -w "$limit" -N localhost "$port" >back &
        client=$!
        wait_for "line $i" grep -q "$i" server.out || return 1
        [ "$i" != one ] || : >end
        wait "$client" && [ ! -s back ] || return 1
    done
}
rm server.in
mkfifo server.in end
cat end >server.in &
pids+=($!)
serve server -k -N || not_ok 'nc -l -k -N' server.err
check 'many connections, each to its end' passes_ends_on
stop "$pid"
check 'odd certificates' odd_report
check 'a certificate with an odd URL' odd_url
check 'the hash of a client' client_hash

# --- without TLS ---

unix_sockets() {
    local server
    rm -f socket
    echo 'from the server' >unix.in
    "$EXAMPLES/nc" -l -N -U socket <unix.in >unix.out &
    server=$!
    pids+=("$server")
    wait_for 'a socket' test -S socket &&
        echo 'from the client' | "$EXAMPLES/nc" -N -U socket >got &&
        wait "$server" && [ "$(<got)" = 'from the server' ] &&
        [ "$(<unix.out)" = 'from the client' ] && [ ! -e socket ] || return 1
    "$EXAMPLES/nc" -l -c -U -C "$TEST_CERTS/rsa-chain.pem" \
        -K "$TEST_CERTS/rsa.key" socket <unix.in >unix.out &
    server=$!
    pids+=("$server")
    wait_for 'a socket' test -S socket &&
        ! "$EXAMPLES/nc" -c -U -R "$TEST_CERTS/root.pem" socket &&
        echo hello | "$EXAMPLES/nc" -c -q -U -e localhost \
            -R "$TEST_CERTS/root.pem" socket >got
    wait "$server"
    [ "$(<unix.out)" = hello ]
}

addresses() {
    serve plain -v && "$EXAMPLES/nc" -q -4 -n -s 127.0.0.2 127.0.0.1 "$port" \
        </dev/null
    wait "$pid"
    grep -q 'connection from 127.0.0.2' plain.err &&
        ! "$EXAMPLES/nc" -n localhost "$port" 2>err &&
        ! "$EXAMPLES/nc" -6 127.0.0.1 "$port" 2>err || return 1
    # A port that was somebody's a moment ago.
    local source=$port
    serve plain -v -d && "$EXAMPLES/nc" -d -q -p "$source" 127.0.0.1 "$port"
    wait "$pid"
    grep -q "connection from 127.0.0.1 port $source" plain.err
}

options_refused() {
    local options
    for options in '-c -U x' '-l -z -c 1' '-o x localhost 1' '-k localhost 1' \
        '-T noverify localhost 1' '-c -T nothing localhost 1' \
        '-c -T starttls=http localhost 1' '-l -c -T starttls=smtp 1' \
        '-w 0 localhost 1' '-U -4 x' 'localhost' '-l -s 127.0.0.1 1'; do
        # shellcheck disable=SC2086
        if "$EXAMPLES/nc" $options </dev/null 2>err || ! [ -s err ]; then
            echo "not refused: $options"
            return 1
        fi
    done
}

check 'sockets of the file system' unix_sockets
check 'addresses and ports' addresses
check 'options that do not go together' options_refused
done_testing
