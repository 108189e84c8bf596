# SPDX-License-Identifier: ISC
# shellcheck shell=bash
# Variables are for the tests:
# shellcheck disable=SC2034
#
# What the interop tests share. In the environment: TEST_CERTS, EXAMPLES (the
# directory with httpd, ftp and nc), TLS_PROXY_RUN (runs an unmodified program
# with our library; "env" runs it with its own) and TEST_SLOW (a factor for
# the time that things may take).

set -u

: "${TEST_CERTS:?}" "${EXAMPLES:?}"
: "${TLS_PROXY_RUN:=env}"
run=$TLS_PROXY_RUN
limit=$((20 * ${TEST_SLOW:-1}))
failed=0 finished=
pids=()
tmp=$(mktemp -d)

# need PROGRAM...: without it there is nothing to test.
need() {
    local program
    for program; do
        if ! PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null; then
            echo "skipped: no $program"
            failed=77
            done_testing
        fi
    done
}

ok() {
    echo "ok $*"
}

# not_ok NAME [FILE]...: and what the files say.
not_ok() {
    echo "not ok $1"
    shift
    tail -n 20 -- "$@" </dev/null | sed 's/^/# /'
    failed=1
}

# attempt COMMAND...: a command or function, with its output in $log. Its
# status, or 124 when it takes too long.
log=$tmp/attempt.log
attempt() {
    local attempt_pid status
    "$@" >"$log" 2>&1 &
    attempt_pid=$!
    pids+=("$attempt_pid")
    if wait_for "$1" gone "$attempt_pid"; then
        wait "$attempt_pid"
        status=$?
    else
        kill "$attempt_pid"
        status=124
    fi
    unset 'pids[-1]'
    return $status
}

# check NAME COMMAND...: the command must succeed.
check() {
    local name=$1
    shift
    if attempt "$@"; then
        ok "$name"
    else
        not_ok "$name (exit status $?)" "$log"
    fi
}

# refused NAME TEXT COMMAND...: it must fail, and say so.
refused() {
    local name=$1 text=$2 status
    shift 2
    attempt "$@"
    status=$?
    if [ $status -ne 0 ] && [ $status -lt 124 ] &&
        grep -qi -e "$text" "$log"; then
        ok "$name"
    else
        not_ok "$name (exit status $status, want '$text')" "$log"
    fi
}

# same FILE COMMAND...: the command prints what is in the file.
same() {
    local file=$1
    shift
    "$@" >"$tmp/got" && cmp "$tmp/got" "$file"
}

# start COMMAND...: in the background, with its output in $tmp/$!.log; the
# process is in $pid.
start() {
    local fd
    # The name of the log is known only afterwards.
    exec {fd}>"$tmp/start.log"
    "$@" >&"$fd" 2>&1 </dev/null {fd}>&- &
    pid=$!
    pids+=("$pid")
    exec {fd}>&-
    mv "$tmp/start.log" "$tmp/$pid.log"
}

# stop PID: and wait for it.
stop() {
    kill "$1" 2>/dev/null
    wait_for "the end of process $1" gone "$1" || kill -9 "$1" 2>/dev/null
    wait "$1" 2>/dev/null
}

gone() {
    ! kill -0 "$1" 2>/dev/null
}

# wait_for WHAT COMMAND...: until the command succeeds.
wait_for() {
    local what=$1 end=$((SECONDS + limit))
    shift
    until "$@"; do
        if [ $SECONDS -gt $end ]; then
            echo "# waited too long for $what" >&2
            return 1
        fi
        sleep 0.02
    done
}

# port_in FILE: sets $port when the file has it.
port_in() {
    wait_for "a port in $1" test -s "$1" && read -r port <"$1"
}

# listening PID: prints the port that the process listens on, if it does.
listening() {
    local inodes
    inodes=$(find "/proc/$1/fd" -printf '%l\n' 2>/dev/null |
        sed -n 's/socket:\[\(.*\)\]/\1/p' | paste -sd '|')
    [ -n "$inodes" ] || return 1
    awk -v inodes="^($inodes)\$" '
        $4 == "0A" && $10 ~ inodes {
            sub(/.*:/, "", $2)
            print $2
            exit
        }' /proc/net/tcp /proc/net/tcp6 2>/dev/null | {
        read -r hex && echo $((16#$hex))
    }
}

# port_of PID: sets $port when the process listens.
port_of() {
    wait_for "process $1 to listen" listening "$1" >/dev/null &&
        port=$(listening "$1")
}

# httpd NAME [OPTION...]: serves $tmp/root with NAME's certificate on $port.
httpd() {
    local name=$1
    shift
    mkdir -p "$tmp/root"
    rm -f "$tmp/port"
    start "$EXAMPLES/httpd" -d -c "$TEST_CERTS/$name-chain.pem" \
        -k "$TEST_CERTS/$name.key" -r "$tmp/root" -l 127.0.0.1 -p 0 \
        -P "$tmp/port" "$@"
    port_in "$tmp/port"
}

free_port() {
    python3 -c 'import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])'
}

# start_nginx: serves $tmp/root on $nginx_port; the process is in $nginx. It
# cannot listen on a port of the system's choice: somebody may have taken this
# one meanwhile.
start_nginx() {
    local try
    mkdir -p "$tmp/nginx" "$tmp/root"
    chmod 755 "$tmp" "$tmp/root"
    for try in 1 2 3; do
        nginx_port=$(free_port)
        cat >"$tmp/nginx.conf" <<END
daemon off;
master_process off;
error_log stderr;
pid $tmp/nginx/pid;
events { }
http {
    access_log off;
    client_body_temp_path $tmp/nginx;
    proxy_temp_path $tmp/nginx;
    fastcgi_temp_path $tmp/nginx;
    uwsgi_temp_path $tmp/nginx;
    scgi_temp_path $tmp/nginx;
    types { text/plain txt; text/html html; }
    if_modified_since before;
    absolute_redirect off;
    server {
        listen 127.0.0.1:$nginx_port ssl;
        ssl_certificate $TEST_CERTS/ecdsa-chain.pem;
        ssl_certificate_key $TEST_CERTS/ecdsa.key;
        root $tmp/root;
    }
}
END
        start nginx -c "$tmp/nginx.conf" -p "$tmp/nginx"
        nginx=$pid
        wait_for "nginx, try $try" listens_or_gone && ! gone "$nginx" && return
    done
    return 1
}

listens_or_gone() {
    gone "$nginx" || (exec 5<>"/dev/tcp/127.0.0.1/$nginx_port") 2>/dev/null
}

# system_ca: $with_our_ca before a command makes our CA the one that the system
# trusts, for that command.
system_ca() {
    local namespace='unshare -m' again=
    if [ "$(id -u)" -ne 0 ]; then
        # Who may mount is root there, which programs would take us for.
        namespace='unshare -r -m'
        again="unshare --map-user=$(id -u) --map-group=$(id -g)"
    fi
    cat >"$tmp/with-our-ca" <<END
#!/bin/sh
mount --bind '$TEST_CERTS/root.pem' \
    '$(realpath -q /etc/ssl/certs/ca-certificates.crt)' && exec $again "\$@"
END
    chmod +x "$tmp/with-our-ca"
    with_our_ca="$namespace $tmp/with-our-ca"
}

# The last line of each test: one that ends before it has failed.
done_testing() {
    finished=yes
    exit
}

finish() {
    local pid
    for pid in "${pids[@]}"; do
        kill "$pid" 2>/dev/null
    done
    for pid in "${pids[@]}"; do
        wait "$pid" 2>/dev/null
    done
    rm -rf "$tmp"
    if [ -z "$finished" ]; then
        echo 'not ok: ended early'
        exit 1
    fi
    exit "$failed"
}
trap finish EXIT
trap exit INT TERM HUP
