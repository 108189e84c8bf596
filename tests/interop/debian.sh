#!/bin/bash
# SPDX-License-Identifier: ISC
#
# Unmodified programs of Debian that are linked against another libtls run on
# our library.

# Functions are called by name.
# shellcheck disable=SC2317
# shellcheck source=tests/interop/lib.bash
. "$(dirname "$0")/lib.bash"
need openssl script catgirl

export TERM=xterm XDG_CONFIG_HOME=$tmp XDG_DATA_HOME=$tmp HOME=$tmp
mkfifo "$tmp/keys" "$tmp/answer"
# Both ends here, so that nobody waits for the other and nobody gets an end.
exec 3<>"$tmp/keys" 4<>"$tmp/answer"

server() { # INPUT KEY OPTION...: what is in INPUT goes to its client
    local input=$1 key=$2
    shift 2
    openssl s_server -accept 0 -quiet -cert "$TEST_CERTS/$key.pem" \
        -key "$TEST_CERTS/$key.key" -cert_chain "$TEST_CERTS/inter.pem" \
        "$@" <"$input" >"$tmp/server.log" 2>&1 &
    pid=$!
    pids+=("$pid")
    port_of "$pid"
}

# On a terminal. When $wait has come it types $keys, or hangs up.
terminal() { # COMMAND
    local status=0 program
    rm -f "$tmp/screen"
    script -qefc "$1" "$tmp/screen" <&3 >/dev/null &
    program=$!
    pids+=("$program")
    limit=$((limit / 2)) wait_for "'$wait' on the screen" grep -qs -e "$wait" "$where" ||
        status=1
    if [ -n "$keys" ]; then
        printf '%s' "$keys" >&3
    else
        kill "$program"
    fi
    wait_for "the end of it" gone "$program" || status=1
    [ "$status" -eq 0 ] || cat -v "$tmp/screen" "$tmp/server.log"
    kill "$program" 2>/dev/null
    return "$status"
}

uses_ours() {
    # shellcheck disable=SC2016 # The inner shell expands it.
    "$run" sh -c 'LD_TRACE_LOADED_OBJECTS=1 "$(command -v "$0")"' "$1" |
        grep libtls.so
}
if [ "$run" != env ]; then
    for program in catgirl sacc rpki-client; do
        PATH=$PATH:/usr/sbin command -v $program >/dev/null || continue
        check "$program has our library" uses_ours $program
        if ! grep -q "compat" "$log"; then
            not_ok "$program has another library" "$log"
        fi
    done
fi

# The subject in a line, and the chain.
printed() { # KEY
    "$run" catgirl -o -h localhost -p "$port" -n test >"$tmp/printed" || return
    [ "$(head -n 1 "$tmp/printed")" = \
        "subject= /C=XX/O=libtls-proxy tests/CN=$1" ] &&
        sed 1d "$tmp/printed" | cmp - "$TEST_CERTS/$1-chain.pem"
}

for key in rsa ecdsa ed25519; do
    for version in 1_2 1_3; do
        with="$key, TLS $version"
        server "$tmp/answer" $key -tls$version || not_ok "s_server, $with" "$tmp/server.log"
        check "catgirl -o prints the chain, $with" printed $key
        stop "$pid"
    done
done
httpd rsa
check "catgirl -o prints the chain of httpd" printed rsa
stop "$pid"

# A whole session: it registers, hears from the server, and says goodbye.
irc() {
    terminal "$run catgirl -t $TEST_CERTS/root.pem -h localhost -p $port \
        -n tester -u tester -r Tester"
}
for key in rsa ecdsa; do
    server "$tmp/answer" $key
    printf \
        ':irc.test 001 tester :Hi\r\n:irc.test NOTICE tester :Welcome here\r\n' >&4
    keys=$'/quit see you\r' wait='Welcome here' where=$tmp/screen
    check "catgirl talks to a server, $key" irc
    check "catgirl registers" grep -q 'NICK :*tester' "$tmp/server.log"
    check "catgirl quits" grep -q 'QUIT :see you' "$tmp/server.log"
    stop "$pid"
done
server "$tmp/answer" other
refused "catgirl and another CA" 'certificate verif' "$run" catgirl \
    -t "$TEST_CERTS/root.pem" -h localhost -p "$port" -n tester
stop "$pid"

# sacc trusts what the system trusts. That it is our CA, for one process, needs
# a mount namespace.
system_ca
gopher() {
    terminal "$with_our_ca $run sacc \
        gophers://localhost:$port/1/"
}
distrust() {
    terminal "$run sacc gophers://localhost:$port/1/"
}
if ! command -v sacc >/dev/null; then
    ok "# skipped: no sacc"
    done_testing
fi
# The end of the input is the end of the connection and of the menu.
printf 'iHello from gopher\t\tlocalhost\t1\r\n.\r\n' >"$tmp/menu"
keys=q where=$tmp/screen
for key in rsa ecdsa; do
    if ! $with_our_ca true 2>/dev/null; then
        ok "# skipped: sacc with our CA, for want of a mount namespace"
        break
    fi
    server "$tmp/menu" $key
    wait='Hello from gopher'
    check "sacc shows a menu, $key" gopher
    stop "$pid"
done
server "$tmp/menu" rsa
wait='certificate verif' keys=
check "sacc distrusts our CA" distrust
stop "$pid"

done_testing
