#!/bin/bash
# SPDX-License-Identifier: ISC
# Copyright (c) 2026 The libtls-proxy authors
#
# The example ftp with servers of FTP that were written for others.

# Functions are called by name.
# shellcheck disable=SC2317
# shellcheck source=tests/interop/lib.bash
. "$(dirname "$0")/lib.bash"
# shellcheck source=tests/interop/servers.bash
. "$(dirname "$0")/servers.bash"
need openssl
# Where scripts/setup unpacks what cannot be installed beside another server.
PATH=$PATH:/usr/sbin:${XDG_CACHE_HOME:-$HOME/.cache}/libtls-proxy/vsftpd/usr/sbin
cd "$tmp" || exit 2
export HOME=$tmp

options=()
ftp() {
    "$EXAMPLES/ftp" -N "$tmp/netrc" -w "$limit" \
        -S "cafile=$TEST_CERTS/root.pem" "${options[@]}" "$@"
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

# What the servers have: names that a shell, a URL or a listing may trip over.
make_files() { # DIRECTORY
    local names=$1/tree/sub/deeper
    mkdir -p "$names" "$1/up"
    head -c 3000001 /dev/urandom >"$1/data"
    : >"$1/tree/empty"
    echo star >"$1/tree/*"
    echo blank >"$1/tree/sub/with  blanks 100%"
    echo dash >"$names/-la"
    touch -d '2020-02-02 02:02:02' "$1/tree/sub/with  blanks 100%"
    chown -R "$owner" "$1"
}

get() {
    rm -f got
    ftp -o got "$url/data" && cmp got "$files/data" &&
        [ "$(stat -c %Y got)" = "$(stat -c %Y "$files/data")" ]
}

put() {
    echo dot >.dot
    ftp -u "$url/up/" "$files/data" && cmp "$files/data" "$files/up/data" &&
        ftp -u "$url/up/" .dot && cmp .dot "$files/up/.dot"
}

tree() {
    rm -rf copy
    ftp -R -o copy "$url/tree/" && diff -r copy "$files/tree" &&
        [ -z "$(find copy -name '*.ftp-part')" ] &&
        rm -rf "$files/up/copy" && ftp -R -u "$url/up/" copy &&
        diff -r "$files/up/copy" "$files/tree"
}

several() { # files, one login
    rm -f data empty
    ftp -v "$url/data" "$url/tree/empty" 2>log && cmp data "$files/data" &&
        [ -e empty ] && [ "$(grep -c '> AUTH' log)" = 1 ]
}

resume() {
    rm -f data
    head -c 1000000 "$files/data" >data.ftp-part &&
        touch -r "$files/data" data.ftp-part &&
        ftp -v -C "$url/data" 2>log && cmp data "$files/data" &&
        grep -q 'REST 1000000' log && ftp -v -C "$url/data" 2>log &&
        grep -q 'nothing is missing' log && ! grep -q 'RETR' log || return 1
    # The server's has changed since, or is another one.
    rm data
    echo something else >data.ftp-part
    ftp -v -C "$url/data" 2>log && cmp data "$files/data" &&
        grep -q 'starting again' log
}

listing() { ftp -o - "$url/tree/" >list && grep -q '[0-9] empty' list; }

refusals() {
    rm -f got
    status 3 ftp -o got "$url/missing" && [ ! -e got ] &&
        status 3 ftp -R -o nothing "$url/missing/" &&
        status 3 ftp -u "$url/missing/" "$files/data" &&
        status 4 ftp -o missing/got "$url/data" &&
        status 4 ftp -o /dev/full "$url/data" &&
        status 4 ftp -u "$url/up/" missing &&
        status 1 ftp -o got "$url/da%0d%0aDELE%20data" &&
        status 2 ftp -H "SHA256:$(printf '%064d' 0)" -o got "$url/data" &&
        [ ! -e got ] && ftp -H "$hash" -o got "$url/data"
}

# Without TLS they do not let anybody in.
plaintext() { status 3 ftp -P -o got "$url/data"; }

verification() {
    rm -f got
    status 2 "$EXAMPLES/ftp" -N "$tmp/netrc" -o got "$url/data" && [ ! -e got ]
}

hash=SHA256:$(head -n 1 "$TEST_CERTS/rsa.facts")

# --- vsftpd, which wants the control's session on the data connection ---

vsftpd_conf() { # PORT
    cat >"$dir/conf" <<END
listen=YES
listen_address=127.0.0.1
listen_port=$1
background=NO
run_as_launching_user=YES
anonymous_enable=YES
no_anon_password=YES
local_enable=NO
anon_root=$files
anon_umask=022
anon_upload_enable=YES
anon_mkdir_write_enable=YES
anon_other_write_enable=YES
write_enable=YES
use_localtime=NO
secure_chroot_dir=$dir
seccomp_sandbox=NO
ssl_enable=YES
implicit_ssl=${implicit:-NO}
allow_anon_ssl=YES
force_anon_logins_ssl=YES
force_anon_data_ssl=YES
require_ssl_reuse=YES
ssl_ciphers=HIGH
rsa_cert_file=$dir/cert.pem
rsa_private_key_file=$dir/key.pem
vsftpd_log_file=$dir/log
END
    chown "$owner" "$dir/conf"
}

vsftpd_tests() {
    local version implicit
    server_directory vsftpd rsa
    files=$dir/files
    mkdir "$files"
    make_files "$files"
    # It does not let anybody write to the directory that they log in to.
    chmod 555 "$files"
    : >netrc
    chmod 600 netrc
    # Where it is may be nobody else's business.
    cp "$(command -v vsftpd)" "$dir"
    serve vsftpd_conf "${as[@]}" "$dir/vsftpd" "$dir/conf" || {
        not_ok 'vsftpd'
        return
    }
    url=ftp://localhost:$port
    for version in 1.2 1.3; do
        options=(-S "protocols=tlsv$version")
        check "vsftpd: a file, TLS $version" get
        check "vsftpd: upload, TLS $version" put
        check "vsftpd: directories, TLS $version" tree
    done
    options=()
    check 'vsftpd: active mode' ftp -A -o got "$url/data"
    check 'vsftpd: several files' several
    check 'vsftpd: resume' resume
    check 'vsftpd: a listing' listing
    check 'vsftpd: refusals' refusals
    check 'vsftpd: plaintext' plaintext
    check 'vsftpd: verification' verification
    refused 'vsftpd: no CCC' 'Please login\|Unknown' ftp -c -o got "$url/data"
    stop "$pid"
    implicit=YES
    serve vsftpd_conf "${as[@]}" "$dir/vsftpd" "$dir/conf" || {
        not_ok 'vsftpd with TLS from the beginning'
        return
    }
    url=ftps://localhost:$port
    check 'vsftpd: ftps' get
    stop "$pid"
}

# --- proftpd, with MLSD, users and CCC ---

user_and_password() {
    rm -f got
    sed 's/secret/wrong/' netrc >wrong
    chmod 600 wrong
    status 3 ftp -N wrong -o got "$url/data" &&
        status 1 ftp -N /dev/null/x -o got "$url/data" && chmod 644 wrong &&
        status 1 ftp -N wrong -o got "$url/data" && [ ! -e got ] &&
        ftp -N /dev/null -o got "${url/localhost/test:sec%72et@localhost}/data"
}

proftpd_tests() {
    local version
    server_directory proftpd rsa
    files=$dir/files
    mkdir "$files"
    make_files "$files"
    printf 'machine elsewhere login a password b\nmacdef x\nget y\n\n' >netrc
    printf 'machine localhost\n\tlogin test password secret\n' >>netrc
    chmod 600 netrc
    serve proftpd_conf "${as[@]}" proftpd -n -q -c "$dir/conf" || {
        not_ok 'proftpd' "$dir/log"
        return
    }
    url=ftp://localhost:$port
    for version in 1.2 1.3; do
        options=(-S "protocols=tlsv$version")
        check "proftpd: a file, TLS $version" get
        options+=(-c)
        check "proftpd: a file after CCC, TLS $version" get
        check "proftpd: directories after CCC, TLS $version" tree
    done
    options=()
    check 'proftpd: directories' tree
    check 'proftpd: active mode' ftp -A -o got "$url/data"
    check 'proftpd: several files' several
    check 'proftpd: resume' resume
    check 'proftpd: user and password' user_and_password
    check 'proftpd: refusals' refusals
    check 'proftpd: plaintext' plaintext
    stop "$pid"
}

# --- servers that are up to no good ---

# hostile MODE STATUS TEXT OPTION... PATH: ftp ends so and says so, and leaves
# nothing where it should not be
hostile() {
    local mode=$1 want=$2 text=$3 got server
    shift 3
    rm -rf evil hostile "$tmp/port"
    mkdir hostile
    mkfifo hostile/device
    ln -s .. hostile/link
    ln -s ../evil hostile/planted.ftp-part
    python3 "$script" "$mode" "$TEST_CERTS/ecdsa-chain.pem" \
        "$TEST_CERTS/ecdsa.key" "$tmp/port" 2>server.log &
    server=$!
    pids+=("$server")
    port_in "$tmp/port" || return 1
    ftp "${@:1:$#-1}" "ftp://localhost:$port/${!#}" >stdout 2>ftp.log
    got=$?
    stop "$server"
    cat ftp.log server.log
    if [ "$got" -ne "$want" ] || [[ $(<ftp.log) != *"$text"* ]] ||
        [ -e evil ] || [ -e file ] || [ -e /tmp/evil ] || [ -s stdout ] ||
        [ ! -L hostile/link ]; then
        echo "$mode: exit status $got, wanted $want and '$text'"
        return 1
    fi
}

name_refused() { # MODE...
    local mode
    for mode; do
        hostile "$mode" 2 'not the name of a file' -R -o hostile x/ || return 1
    done
}

names() {
    name_refused up dots root deep part escape list &&
        hostile link 4 'Not a directory' -R -o hostile x/ &&
        hostile planted 4 'planted' -R -o hostile x/ &&
        hostile facts 2 'not understood' -R -o hostile x/ &&
        hostile nonsense 2 'not understood' -R -o hostile x/ &&
        hostile endless 2 'more than 32' -R -o hostile x/ || return 1
    # These are names like any other: neither standard output nor what a fifo
    # leads to.
    hostile minus 0 '' -R -o hostile x/ && [ -f hostile/- ] &&
        hostile device 0 '' -R -o hostile x/ && [ -f hostile/device ] &&
        hostile good 0 '' -R -o hostile x/ && [ -s hostile/file ] &&
        [ ! -e hostile/symlink ] &&
        hostile windows 0 '' -R -o hostile x/ && [ -s hostile/file ] &&
        hostile cut-line 5 'a line without its end' -R -o hostile x/
}

# LIST has no argument: the directory is changed, and has to be changed back.
homes() {
    hostile closed 3 '550 not for you' -R -o hostile x/ &&
        [ -s hostile/file ] &&
        hostile lost 2 '550 no way back' -R -o hostile x/ &&
        [ ! -e hostile/file ]
}

truncation() {
    hostile cut 5 'truncated' -o hostile/got x && [ ! -e hostile/got ] &&
        [ -s hostile/got.ftp-part ] &&
        [ "$(stat -c %Y hostile/got.ftp-part)" = 0 ] &&
        hostile size 5 'truncated' -o hostile/got x && [ ! -e hostile/got ]
}

dialogue() {
    hostile refuse 3 '502 no' -o hostile/got x &&
        hostile inject 2 'plaintext' -o hostile/got x &&
        hostile clear 3 '536 no' -o hostile/got x &&
        hostile unprotected 2 '' -o hostile/got x &&
        hostile certificate 2 'another certificate' -o hostile/got x &&
        hostile long 2 'too long' -o hostile/got x &&
        hostile port 2 'no port' -o hostile/got x &&
        hostile nonsense-reply 2 'not a reply' -o hostile/got x &&
        hostile escape-reply 3 '550 ?[2J' -o hostile/got x &&
        hostile unending 2 'too long' -o hostile/got x || return 1
    # The address in a reply is not believed.
    hostile foreign 0 '' -o hostile/got x && [ -s hostile/got ]
}

script=$(dirname "$0")/hostile_ftp.py
case $script in
/*) ;;
*) script=$OLDPWD/$script ;;
esac
: >netrc
chmod 600 netrc
if have python3; then
    check 'names that lead out of the directory' names
    check 'directories that are left' homes
    check 'truncated data' truncation
    check 'a dialogue that goes wrong' dialogue
fi
if have vsftpd; then
    vsftpd_tests
fi
if have proftpd && [ ! -e /usr/lib/proftpd/mod_tls.so ]; then
    echo 'ok skipped: no mod_tls for proftpd # SKIP'
elif have proftpd >/dev/null; then
    proftpd_tests
fi
done_testing
