#!/bin/bash
# SPDX-License-Identifier: ISC
# Copyright (c) 2026 The libtls-proxy authors
#
# STARTTLS of the example nc with servers that were written for others: mail
# by SMTP, news, a database, a directory, chat. IMAP, POP3, ManageSieve and LMTP
# are in dovecot.sh.

# Functions are called by name.
# shellcheck disable=SC2317
# shellcheck source=tests/interop/lib.bash
. "$(dirname "$0")/lib.bash"
# shellcheck source=tests/interop/servers.bash
. "$(dirname "$0")/servers.bash"
need openssl
cd "$tmp" || exit 2

# talk PROTOCOL OPTION...: standard input goes to the server, what it says is
# in $tmp/session
talk() {
    local protocol=$1
    shift
    "$EXAMPLES/nc" -c -v -w "$limit" -T "starttls=$protocol" \
        -R "$TEST_CERTS/root.pem" "$@" localhost "$port" \
        >"$tmp/session" 2>"$tmp/nc.log"
    local status=$?
    cat "$tmp/nc.log"
    tr -cd '[:print:]\n' <"$tmp/session"
    return "$status"
}

versions() { # PROTOCOL FUNCTION: both versions, and another name
    local version
    for version in 1.2 1.3; do
        check "$1, TLS $version" "$2" -T "protocols=tlsv$version"
    done
    refused "$1, another name" 'not present in server certificate' \
        "$2" -e elsewhere.test
}

# --- Postfix ---

smtp() {
    printf 'EHLO here\r\nQUIT\r\n' | talk smtp "$@" &&
        grep -q '^250-localhost' session && ! grep -q STARTTLS session &&
        grep -q '^221 ' session
}

postfix_tests() {
    server_directory postfix rsa
    postfix_directory
    serve postfix_conf "${postfix[@]}" || {
        not_ok postfix
        return
    }
    versions smtp smtp
    stop "$pid"
}

# --- INN ---

# What scripts/setup unpacks, or what is installed.
inn=${XDG_CACHE_HOME:-$HOME/.cache}/libtls-proxy/inn/usr/lib/news
[ -x "$inn/bin/nnrpd" ] || inn=/usr/lib/news

nnrpd_conf() { # PORT
    echo "$1" >"$dir/port"
    cat >"$dir/inn.conf" <<END
domain: localhost
fromhost: localhost
pathhost: localhost
mta: "/bin/false %s"
hismethod: hisv6
ovmethod: tradindexed
enableoverview: true
runasuser: $owner
runasgroup: $(id -gn "$owner")
pathnews: $dir
pathdb: $dir/db
pathetc: $dir
pathlog: $dir
pathrun: $dir
pathspool: $dir/spool
pathtmp: $dir
tlscapath: $dir
tlscertfile: $dir/cert.pem
tlskeyfile: $dir/key.pem
END
    cat >"$dir/readers.conf" <<'END'
auth "all" {
    default: "reader"
}
access "all" {
    users: "reader"
    newsgroups: "*"
    access: R
}
END
    echo 'method tradspool { class: 0 newsgroups: * }' >"$dir/storage.conf"
    printf 'local.test 0000000000 0000000001 y\n' >"$dir/db/active"
}

nntp() {
    printf 'CAPABILITIES\r\nGROUP local.test\r\nQUIT\r\n' |
        talk nntp "$@" && tr -d '\r' <session >lines &&
        grep -qx READER lines && ! grep -qx STARTTLS lines &&
        grep -qx '211 0 1 0 local.test' lines && grep -q '^205 ' lines
}

nnrpd_tests() {
    server_directory nnrpd ecdsa
    mkdir -p "$dir/bin" "$dir/db" "$dir/spool/overview"
    # Where it is may be nobody else's business.
    cp "$inn"/bin/{nnrpd,tdx-util,innbind} "$dir/bin"
    cp -L "$inn"/libinn*.so.* "$dir"
    local inn_run=("${as[@]}" env -C "$dir" INNCONF="$dir/inn.conf"
        LD_LIBRARY_PATH="$dir${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}")
    nnrpd_conf 0
    chown -R "$owner" "$dir"
    "${inn_run[@]}" bin/tdx-util -F >"$dir/log" 2>&1
    # The port is in its arguments.
    # shellcheck disable=SC2016 # it is for the other shell
    serve nnrpd_conf "${inn_run[@]}" bash -c \
        'exec bin/nnrpd -D -f -b 127.0.0.1 -p "$(<port)"' || {
        not_ok nnrpd "$dir/log"
        return
    }
    versions nntp nntp
    stop "$pid"
}

# --- PostgreSQL ---

postgres_conf() { # PORT
    cat >"$dir/db/postgresql.conf" <<END
listen_addresses = '127.0.0.1'
port = $1
unix_socket_directories = ''
fsync = off
ssl = ${ssl:-on}
ssl_cert_file = '$dir/cert.pem'
ssl_key_file = '$dir/key.pem'
END
}

# A StartupMessage of protocol 3.0 is answered with AuthenticationOk and more.
# The terminate message ends it.
postgres() {
    printf '\0\0\0\045\0\003\0\0user\0test\0database\0postgres\0\0X\0\0\0\004' |
        talk postgres "$@" &&
        tr -d '\0' <session | grep -q 'server_version'
}

postgres_tests() {
    local bin
    bin=$(pg_config --bindir 2>/dev/null) && [ -x "$bin/initdb" ] ||
        bin=$(dirname "$(printf '%s\n' /usr/lib/postgresql/*/bin/initdb |
            sort -V | tail -n 1)")
    if [ ! -x "$bin/initdb" ]; then
        echo "ok skipped: no initdb # SKIP"
        return
    fi
    server_directory postgres ecdsa
    "${as[@]}" "$bin/initdb" -A trust -U test -N -D "$dir/db" \
        >"$dir/initdb.log" 2>&1 || {
        not_ok 'initdb' "$dir/initdb.log"
        return
    }
    serve postgres_conf "${as[@]}" "$bin/postgres" -D "$dir/db" || {
        not_ok postgres
        return
    }
    wait_for 'postgres' grep -q 'ready to accept' "$tmp/$pid.log"
    versions postgres postgres
    stop "$pid"
    local ssl=off
    serve postgres_conf "${as[@]}" "$bin/postgres" -D "$dir/db"
    refused 'postgres without TLS' 'refuses SSLRequest' postgres
    stop "$pid"
}

# --- OpenLDAP ---

slapd_conf() { # PORT
    echo "$1" >"$dir/port"
    cat >"$dir/conf" <<END
pidfile $dir/pid
argsfile $dir/args
${tls:+TLSCertificateFile $dir/cert.pem}
${tls:+TLSCertificateKeyFile $dir/key.pem}
${tls:+security ssf=128}
END
}

# An anonymous bind and its answer.
ldap() {
    printf '\060\014\002\001\001\141\007\012\001\0\004\0\004\0' >answer
    : >session
    rm -f ended
    {
        printf '\060\014\002\001\001\140\007\002\001\003\004\0\200\0'
        wait_for 'an answer' sh -c 'cmp -s answer session || [ -e ended ]'
    } | {
        talk ldap -q "$@"
        local status=$?
        : >ended
        return "$status"
    } && cmp answer session
}

slapd_tests() {
    local tls=yes
    server_directory slapd rsa
    # The port is in its arguments.
    # shellcheck disable=SC2016 # it is for the other shell
    local run=("${as[@]}" bash -c 'exec slapd -d 0 -f "$0/conf" \
        -h "ldap://127.0.0.1:$(<"$0/port")"' "$dir")
    serve slapd_conf "${run[@]}" || {
        not_ok slapd
        return
    }
    versions ldap ldap
    stop "$pid"
    tls=
    serve slapd_conf "${run[@]}" || not_ok 'slapd without TLS'
    refused 'ldap without TLS' 'refuses StartTLS' ldap
    stop "$pid"
}

# --- Prosody ---

prosody_conf() { # PORT
    cat >"$dir/conf.lua" <<END
daemonize = false
pidfile = "$dir/pid"
data_path = "$dir/data"
log = { info = "$dir/log" }
interfaces = { "127.0.0.1" }
c2s_ports = { $1 }
modules_enabled = { "tls"; "saslauth" }
modules_disabled = { "s2s"; "http" }
c2s_require_encryption = true
ssl = { certificate = "$dir/cert.pem"; key = "$dir/key.pem" }
VirtualHost "localhost"
VirtualHost "elsewhere.test"
END
}

xmpp() {
    {
        printf "<?xml version='1.0'?><stream:stream to='localhost' "
        printf "xmlns='jabber:client' "
        printf "xmlns:stream='http://etherx.jabber.org/streams' "
        printf "version='1.0'></stream:stream>"
    } | talk xmpp "$@" && grep -q '<stream:features>' session &&
        ! grep -q '<starttls' session
}

prosody_tests() {
    server_directory prosody ecdsa
    mkdir "$dir/data"
    chown "$owner" "$dir/data"
    serve prosody_conf "${as[@]}" prosody --config "$dir/conf.lua" || {
        not_ok prosody "$dir/log"
        return
    }
    versions xmpp xmpp
    refused 'xmpp, a domain that it does not have' 'refuses\|closed' \
        "$EXAMPLES/nc" -c -T starttls=xmpp -w "$limit" -e other.test \
        localhost "$port"
    refused 'xmpp, no domain at all' 'is no domain' \
        "$EXAMPLES/nc" -c -T starttls=xmpp -e "a'b" localhost "$port"
    stop "$pid"
}

if [ "$(id -u)" -ne 0 ]; then
    echo 'ok skipped: Postfix only runs as root # SKIP'
elif have postconf; then
    postfix_tests
fi
if have "$inn/bin/nnrpd"; then
    nnrpd_tests
fi
postgres_tests
if have slapd; then
    slapd_tests
fi
if have prosody; then
    prosody_tests
fi
done_testing
