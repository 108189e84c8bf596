#!/bin/bash
# SPDX-License-Identifier: ISC
#
# usage: test-examples.sh DIRECTORY
#
# Runs the programs httpd, ftp, nc and blocking of DIRECTORY against each other,
# curl and openssl, whichever libtls they are linked with; and names, which is
# there with libtls-proxy alone.

# Functions are called by name, and some programs read what others write.
# shellcheck disable=SC2317,SC2094

set -u
[ $# -eq 1 ] || { echo "usage: $0 directory" >&2; exit 2; }
bin=$(cd "$1" && pwd) || exit 2
tmp=$(mktemp -d) || exit 2
failed=0
limit=60 # seconds that any one program may take

# Ends what this shell or subshell has started in the background.
stop_jobs() {
    local pid
    for pid in $(jobs -pr); do
        kill "$pid"
    done 2>/dev/null
    wait
}

cleanup() {
    stop_jobs
    rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM
cd "$tmp" || exit 2
mkdir root logs
unset http_proxy https_proxy HTTPS_PROXY ALL_PROXY all_proxy

# check NAME FUNCTION: runs it in a subshell whose output is for trouble only
check() {
    if (trap stop_jobs EXIT; "$2") >"logs/$2" 2>&1 </dev/null; then
        echo "ok $1"
    else
        echo "not ok $1"
        sed 's/^/# /' "logs/$2"
        failed=1
    fi
}

# What is not there yet will be soon, or the test fails.
wait_for() {
    local deadline=$((SECONDS + 20))
    until "$@"; do
        if [ $SECONDS -ge $deadline ]; then
            echo "waited in vain for: $*"
            return 1
        fi
        sleep 0.02
    done
}

is_gone() { ! kill -0 "$1" 2>/dev/null; }
has_text() { grep -q -e "$1" "$2" 2>/dev/null; }
same() { cmp "$1" "$2"; }

# expect STATUS COMMAND...
expect() {
    local want=$1 got
    shift
    timeout "$limit" "$@"
    got=$?
    [ "$got" -eq "$want" ] && return 0
    echo "exit status $got instead of $want: $*"
    return 1
}

ftp() { expect "$1" "$bin/ftp" -S "cafile=$tmp/ca.pem" "${@:2}"; }
# No timeout(1): it would hold the pipes that nc closes.
nc() { "$bin/nc" -w "$limit" "$@"; }
fetch() { timeout "$limit" curl -sS --cacert ca.pem "$@"; }

# start_nc NAME OPTIONS...: a server whose port is in $port; input and output
# are NAME.in and NAME.out
start_nc() {
    local name=$1
    shift
    rm -f "$name.port"
    "$bin/nc" -w "$limit" -l -P "$name.port" "$@" 127.0.0.1 0 \
        <"$name.in" >"$name.out" 2>"$name.err" &
    server=$!
    wait_for test -s "$name.port" || { cat "$name.err"; return 1; }
    port=$(<"$name.port")
}

# start_openssl NAME OPTIONS...: the same with openssl s_server
start_openssl() {
    local name=$1
    shift
    # One of the same name may have left its port there.
    rm -f "$name.out"
    timeout "$limit" openssl s_server -accept 127.0.0.1:0 -cert server.pem \
        -key server.key "$@" >"$name.out" 2>"$name.err" </dev/null &
    server=$!
    wait_for has_text '^ACCEPT 127.*:[0-9]' "$name.out" || return 1
    port=$(sed -n 's/^ACCEPT .*://p' "$name.out")
}

stop() {
    kill "$1"
    wait "$1"
}

# --- certificates and files ---

make_certificate() { # NAME SUBJECT EXTENSION
    openssl ecparam -name prime256v1 -genkey -noout -out "$1.key" &&
        openssl req -new -key "$1.key" -subj "$2" -out "$1.csr" &&
        openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key \
            -CAcreateserial -days 2 -extfile <(echo "$3") -out "$1.pem"
}

make_ca() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
        -keyout "$1.key" -out "$1.pem" -days 2 -subj "/CN=$1 for tests" \
        -addext keyUsage=critical,keyCertSign,cRLSign
}

prepare() {
    local names=subjectAltName=DNS:localhost,IP:127.0.0.1
    make_ca ca && make_ca other &&
        make_certificate server /CN=localhost $names &&
        make_certificate second /CN=localhost $names &&
        make_certificate client /CN=somebody extendedKeyUsage=clientAuth &&
        hash=$(openssl x509 -in server.pem -outform der | sha256sum) &&
        echo "SHA256:${hash%% *}" >server.hash || return 1
    mkdir root/dir
    echo secret >secret
    echo hidden >root/.hidden
    ln -s ../secret root/link
    echo '<p>index</p>' >root/index.html
    echo '<p>index of dir</p>' >root/dir/index.html
    echo 'a b' >'root/with blank.txt'
    : >root/empty
    head -c 20971520 /dev/urandom >root/big
    head -c 1048576 /dev/urandom >root/medium
    head -c 200000 /dev/urandom >upload
    head -c 5242880 /dev/urandom >up
    head -c 5242880 /dev/urandom >down
}

prepare >logs/prepare 2>&1 || {
    cat logs/prepare
    echo 'not ok preparation'
    exit 1
}

# --- httpd ---

start_httpd() { # NAME OPTIONS...
    local name=$1
    shift
    "$bin/httpd" -d -c server.pem -k server.key -r root -p 0 \
        -P "$name.port" "$@" 2>"$name.log" &
    server=$!
    wait_for test -s "$name.port" || { cat "$name.log"; exit 1; }
}

start_httpd httpd
httpd=$server
port=$(<httpd.port)
url=https://localhost:$port

get() { fetch -o got "$url/medium" && same got root/medium; }

get_by_address() {
    fetch -o got "https://127.0.0.1:$port/medium" && same got root/medium
}

versions() {
    fetch -o got --tls-max 1.2 "$url/medium" && same got root/medium &&
        fetch -o got --tlsv1.3 "$url/medium" && same got root/medium &&
        wait_for has_text ' TLSv1.2 ' httpd.log &&
        wait_for has_text ' TLSv1.3 ' httpd.log
}

get_index() {
    fetch -o got "$url/" && same got root/index.html &&
        fetch -o got -D header "$url/dir/?query" &&
        same got root/dir/index.html && grep -q '^Content-Type: text/html' header
}

get_redirect() {
    fetch -D header "$url/dir?query" && grep -q '^HTTP/1.1 301' header &&
        grep -q $'^Location: /dir/\r$' header &&
        fetch -D header "$url//dir" && grep -q $'^Location: /dir/\r$' header
}

get_names() {
    fetch -o got "$url/with%20blank.txt" && same got 'root/with blank.txt' &&
        fetch -D header -o got "$url/empty" &&
        grep -q $'^Content-Length: 0\r$' header
}

keep_alive() {
    # Connections made for each transfer: one, and then none.
    fetch -o one -o two -w '%{num_connects}' "$url/medium" "$url/big" >count &&
        [ "$(<count)" = 10 ] && same one root/medium && same two root/big
}

pipelining() {
    local get='GET /index.html HTTP/1.1\r\nHost: localhost\r\n'
    # shellcheck disable=SC2059 # the variables are formats
    printf "$get\r\n$get\r\n${get}Connection: close\r\n\r\n" |
        nc -c -N -R ca.pem localhost "$port" >got &&
        [ "$(grep -c '^HTTP/1.1 200' got)" = 3 ] &&
        [ "$(grep -c '<p>index</p>' got)" = 3 ]
}

old_version() {
    printf 'GET /index.html HTTP/1.0\r\n\r\n' |
        nc -c -R ca.pem localhost "$port" >got &&
        grep -q $'^Connection: close\r$' got && grep -q 'index' got
}

head_request() {
    fetch -I "$url/medium" >header && grep -q '^HTTP/1.1 200' header &&
        grep -q $'^Content-Length: 1048576\r$' header
}

status_is() { # STATUS CURL-OPTION...
    local got
    got=$(fetch -o got -D header --path-as-is -w '%{http_code}' "${@:2}")
    [ "$got" = "$1" ] && ! grep -q secret got && return 0
    echo "status $got instead of $1: ${*:2}"
    return 1
}

refusals() {
    status_is 404 "$url/missing" && status_is 404 "$url/medium/" &&
        status_is 404 "$url/medium/x" && status_is 400 "$url/%zz" &&
        status_is 400 "$url/%00" && status_is 405 -d body "$url/" &&
        grep -q $'^Allow: GET, HEAD\r$' header &&
        status_is 405 -T upload -H Expect: "$url/" &&
        status_is 413 -X GET -d body "$url/" &&
        status_is 400 -H 'Host;' -H "Bad header: x" "$url/" &&
        status_is 431 -H "Long: $(head -c 9000 /dev/zero | tr '\0' x)" "$url/"
}

# After a refusal the client may finish what it has begun to send.
refused_body() {
    rm -f sent
    : >got
    (
        printf 'PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n'
        wait_for has_text '^HTTP/1.1 405' got && cat upload && : >sent
    ) | nc -c -q -R ca.pem localhost "$port" >got && [ -e sent ]
}

garbage() {
    local bytes
    for bytes in 'nonsense\r\n\r\n' 'GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n' \
        'GET / HTTP/1.1\nHost: a\n\n\r\n\r\n' 'GET / HTTP/1.1\r\n\r\n' \
        'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'; do
        : >got
        # shellcheck disable=SC2059 # a format
        (printf "$bytes"; wait_for has_text '^HTTP/1.1 400' got) |
            nc -c -q -R ca.pem localhost "$port" >got || return 1
    done
    # This one does not even speak TLS.
    printf 'GET / HTTP/1.0\r\n\r\n' | nc -N localhost "$port" >got
    ! grep -q '^HTTP' got && get
}

traversal() {
    status_is 404 "$url/../secret" && status_is 404 "$url/dir/../../secret" &&
        status_is 404 "$url/%2e%2e/secret" && status_is 404 "$url/..%2fsecret" &&
        status_is 404 "$url/dir/..%2f..%2fsecret" &&
        status_is 404 "$url/link" && status_is 404 "$url/.hidden"
}

part_is() { # RANGE OFFSET COUNT
    fetch -D header -H "Range: bytes=$1" -o got "$url/medium" &&
        grep -q '^HTTP/1.1 206' header &&
        same got <(tail -c +$(($2 + 1)) root/medium | head -c "$3")
}

ranges() {
    part_is 0-99 0 100 && part_is 1000000- 1000000 48576 &&
        part_is -5 1048571 5 && part_is 1048575-9999999 1048575 1 &&
        grep -q $'^Content-Range: bytes 1048575-1048575/1048576\r$' header &&
        status_is 416 -H 'Range: bytes=1048576-' "$url/medium" &&
        grep -q $'^Content-Range: bytes \*/1048576\r$' header &&
        status_is 200 -H 'Range: bytes=5-3' "$url/medium" &&
        status_is 206 -H 'Range: bytes=0-1,4-5' "$url/medium" &&
        status_is 200 -H 'Range: bytes=0-1' -H 'If-Range: x' "$url/medium"
}

not_modified() {
    local date
    fetch -I "$url/medium" >header || return 1
    date=$(sed -n 's/^Last-Modified: \(.*\)\r$/\1/p' header)
    [ -n "$date" ] &&
        status_is 304 -H "If-Modified-Since: $date" "$url/medium" &&
        status_is 206 -H "If-Range: $date" -H 'Range: bytes=0-1' "$url/medium"
}

parallel() {
    local i list=()
    for i in {1..20}; do
        fetch -o "parallel.$i" "$url/medium" &
        list+=($!)
    done
    for i in "${list[@]}"; do
        wait "$i" || return 1
    done
    for i in {1..20}; do
        same "parallel.$i" root/medium || return 1
    done
}

descriptors() {
    count_is() { [ "$(find "/proc/$httpd/fd" | wc -l)" = "$1" ]; }
    local before
    wait_for count_is "$(<descriptors)" || return 1
    before=$(<descriptors)
    parallel && wait_for count_is "$before"
}

reload() {
    cp server.pem swap.pem && cp server.key swap.key || return 1
    "$bin/httpd" -d -c swap.pem -k swap.key -r root -p 0 -P reload.port \
        2>reload.log &
    server=$!
    wait_for test -s reload.port && port=$(<reload.port) || return 1
    hash_is() {
        echo | nc -cq -R ca.pem -H "$1" localhost "$port"
    }
    hash_is "$(<server.hash)" && ! hash_is SHA256:00 || return 1
    # A pair that does not match changes nothing.
    cp second.key swap.key && kill -HUP "$server" &&
        wait_for has_text 'keeps the old' reload.log &&
        hash_is "$(<server.hash)" || return 1
    cp second.pem swap.pem && kill -HUP "$server" &&
        wait_for has_text 'uses the new' reload.log &&
        ! hash_is "$(<server.hash)" && echo | nc -cq -R ca.pem localhost "$port"
    local rv=$?
    stop "$server" || rv=1
    return "$rv"
}

client_certificate() {
    start_httpd verify -C ca.pem
    local address
    address=https://localhost:$(<verify.port)/medium
    fetch -o got --cert client.pem --key client.key "$address" &&
        same got root/medium && wait_for has_text '/CN=somebody' verify.log &&
        ! fetch -o got "$address" && rm -f got &&
        ftp 0 -S cert=client.pem,key=client.key -o got "$address" &&
        same got root/medium && ftp 2 -o got "$address"
    local rv=$?
    stop "$server" || rv=1
    return "$rv"
}

daemon() {
    local pid rv=0
    "$bin/httpd" -c server.pem -k server.key -r root -p 0 -i daemon.pid \
        -P daemon.port && wait_for test -s daemon.pid || return 1
    pid=$(<daemon.pid)
    wait_for test -s daemon.port &&
        fetch -o got "https://localhost:$(<daemon.port)/medium" &&
        same got root/medium || rv=1
    kill "$pid" && wait_for is_gone "$pid" || rv=1
    return "$rv"
}

httpd_errors() {
    local run=("$bin/httpd" -d -r root -p 0)
    expect 1 "${run[@]}" -c server.pem -k missing.key 2>err &&
        grep 'missing.key' err &&
        expect 1 "${run[@]}" -c server.pem -k second.key 2>err && cat err &&
        grep -i 'key' err &&
        expect 1 "${run[@]}" -c secret -k server.key 2>err &&
        expect 1 "${run[@]}" -c server.pem -k server.key -T nonsense 2>err &&
        grep nonsense err &&
        expect 1 "$bin/httpd" -d -c server.pem -k server.key -r missing &&
        expect 1 "$bin/httpd" -d -c server.pem -k server.key -p "$port" 2>err &&
        grep 'in use' err && expect 1 "$bin/httpd" -x
}

find "/proc/$httpd/fd" | wc -l >descriptors
check 'httpd: a file' get
check 'httpd: a file, by address' get_by_address
check 'httpd: TLS 1.2 and 1.3' versions
check 'httpd: index.html' get_index
check 'httpd: a directory without its slash' get_redirect
check 'httpd: blanks in names, an empty file' get_names
check 'httpd: two files on one connection' keep_alive
check 'httpd: pipelining' pipelining
check 'httpd: HTTP/1.0' old_version
check 'httpd: HEAD' head_request
check 'httpd: ranges' ranges
check 'httpd: not modified' not_modified
check 'httpd: refusals' refusals
check 'httpd: a body that nobody wants' refused_body
check 'httpd: garbage' garbage
check 'httpd: nothing outside of the root' traversal
check 'httpd: 20 connections at once' parallel
check 'httpd: no descriptor is left behind' descriptors
check 'httpd: new certificate at SIGHUP' reload
check 'httpd: client certificates' client_certificate
check 'httpd: daemon' daemon
check 'httpd: errors at the start' httpd_errors

# --- ftp ---

ftp_big() { ftp 0 -o got "$url/big" && same got root/big; }

ftp_name() {
    mkdir names && cd names && ftp 0 "$url/medium?x" &&
        same medium ../root/medium && ftp 1 "$url/"
}

ftp_stdout() { ftp 0 -o - "$url/medium" >got && same got root/medium; }

# part COUNT FILE: what an interrupted ftp would leave of it in got
part() {
    rm -f got
    head -c "$1" "root/$2" >got.ftp-part && touch -r "root/$2" got.ftp-part
}

ftp_resume() {
    part 1234567 big && ftp 0 -C -o got "$url/big" &&
        same got root/big && [ ! -e got.ftp-part ] &&
        wait_for has_text '"GET /big HTTP/1.1" 206 19736953 ' httpd.log &&
        ftp 0 -C -o got "$url/big" && same got root/big &&
        wait_for has_text '"GET /big HTTP/1.1" 304 ' httpd.log || return 1
    # All there but the name; something older; more than there is.
    part 1048576 medium && ftp 0 -C -o got "$url/medium" &&
        same got root/medium && part 1000 medium && touch got.ftp-part &&
        ftp 0 -C -o got "$url/medium" 2>err && same got root/medium &&
        grep 'starting again' err && part 1048576 medium &&
        echo more >>got.ftp-part && touch -r root/medium got.ftp-part &&
        ftp 0 -C -o got "$url/medium" && same got root/medium &&
        rm got && ftp 0 -C -o got "$url/medium" && same got root/medium &&
        ftp 4 -C -o /dev/null "$url/medium"
}

# What is interrupted keeps the time that the server's has.
ftp_interrupted() {
    printf 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n' >cut.in
    printf 'Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\nabc' >>cut.in
    rm -f got got.ftp-part
    start_nc cut -c -C server.pem -K server.key || return 1
    "$bin/ftp" -S cafile=ca.pem -o got "https://localhost:$port/x" 2>err &
    local pid=$! rv
    wait_for test -s got.ftp-part && kill -TERM "$pid"
    wait "$pid"
    rv=$?
    wait "$server"
    [ "$rv" -eq 143 ] && [ ! -e got ] && [ "$(<got.ftp-part)" = abc ] &&
        [ "$(stat -c %Y got.ftp-part)" = 784111777 ]
}

ftp_full_disk() {
    [ -c /dev/full ] || return 1
    ftp 4 -o /dev/full "$url/medium" 2>err && grep 'No space left' err &&
        ftp 4 -o - "$url/medium" 2>err >/dev/full && grep 'No space left' err &&
        ftp 4 -o missing/got "$url/medium"
}

ftp_verification() {
    local run=("$bin/ftp" -o got)
    rm -f got
    expect 2 "${run[@]}" -S cafile=other.pem "$url/medium" 2>err &&
        grep -i 'verif' err && [ ! -e got ] &&
        expect 1 "${run[@]}" -S cafile=missing.pem "$url/medium" &&
        expect 1 "${run[@]}" -S nonsense "$url/medium" &&
        expect 1 "${run[@]}" -S noverify=yes "$url/medium" &&
        expect 0 "${run[@]}" -S cafile=other.pem,noverify "$url/medium" &&
        same got root/medium
}

ftp_errors() {
    rm -f got
    ftp 3 -o got "$url/missing" 2>err && grep '404 Not Found' err &&
        [ ! -e got ] &&
        ftp 2 -o got http://localhost:1/ && ftp 1 -o got medium &&
        ftp 1 -o got file:///etc/passwd &&
        ftp 1 -o got https:/// && ftp 1 -o got https://localhost:x/ &&
        ftp 1 -o got https://a@b@localhost/ && ftp 1 -o got "$url/a b" &&
        ftp 2 -o got https://localhost:1/x && [ ! -e got ]
}

# answer STATUS TEXT [END]: ftp sees a server that says TEXT and then good-bye,
# or with -N for END goes without a word
answer() {
    # shellcheck disable=SC2059 # the text is a format
    printf "$2" >answer.in
    rm -f got
    start_nc answer -c "${3--q}" -C server.pem -K server.key || return 1
    ftp "$1" -w 20 -o got "https://localhost:$port/x" 2>err
    local rv=$?
    wait "$server"
    cat err answer.err
    return "$rv"
}

ftp_truncated() {
    local head='HTTP/1.1 200 OK\r\n' end
    for end in -q -N; do
        answer 5 "${head}Content-Length: 100\r\n\r\n1234567890" "$end" &&
            grep 'truncated: 10 of 100' err && [ ! -e got ] &&
            [ "$(<got.ftp-part)" = 1234567890 ] &&
            answer 5 "${head}Transfer-Encoding: chunked\r\n\r\n4\r\n12" "$end" &&
            answer 2 "${head}Content-Le" "$end" && [ ! -e got ] &&
            answer 2 '' "$end" || return 1
    done
    answer 0 "$head\r\n1234567890" -q && [ "$(<got)" = 1234567890 ] &&
        answer 5 "$head\r\n1234567890" -N && grep 'truncated' err &&
        [ ! -e got ]
}

ftp_chunked() {
    local head='HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
    answer 0 "${head}A;x=y\r\n1234567890\r\n3\r\nabc\r\n0\r\nTrailer: x\r\n\r\n" &&
        [ "$(<got)" = 1234567890abc ] &&
        answer 0 "HTTP/1.1 100 Continue\r\n\r\n${head}0\r\n\r\n" &&
        [ ! -s got ] &&
        answer 2 "${head}x\r\n" && answer 2 "${head}-1\r\n" &&
        answer 2 "${head}FFFFFFFFFFFFFFFF\r\n" &&
        answer 2 "${head}2\r\n123\r\n0\r\n\r\n" &&
        answer 2 "${head}2\n12\r\n0\r\n\r\n" &&
        answer 5 "${head}2\r\n12\r\n0\r\n"
}

ftp_nonsense() {
    answer 2 '220 smtp.example ESMTP\r\n' && grep 'does not speak' err &&
        answer 2 'HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n' &&
        answer 2 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n' &&
        answer 2 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n' &&
        grep 'two lengths' err &&
        answer 2 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n' &&
        answer 2 'HTTP/1.1 200 OK\r\nA b: c\r\n\r\n' &&
        answer 2 'HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n' &&
        answer 2 'HTTP/1.1 200 OK\r\nA: \0\r\n\r\n' &&
        answer 2 'HTTP/1.1 20 OK\r\n\r\n' &&
        answer 2 'HTTP/2 200\r\n\r\n' &&
        answer 3 'HTTP/1.1 404 \033[2Jno\r\nContent-Length: 0\r\n\r\n' &&
        grep -F '404 ?[2Jno' err &&
        answer 2 "HTTP/1.1 200 OK\r\nX: $(head -c 5000 /dev/zero | tr '\0' x)\r\n"
}

# Without a length only the close notify says that all has come.
ftp_until_close() {
    start_openssl www -WWW || return 1
    ftp 0 -v -o got "https://localhost:$port/root/medium"
    local rv=$?
    stop "$server"
    [ "$rv" -eq 0 ] && same got root/medium
}

ftp_redirects() {
    ftp 0 -v -o got "$url/dir" && same got root/dir/index.html &&
        answer 0 "HTTP/1.1 302 Found\r\nLocation: $url/medium\r\n\r\n" &&
        same got root/medium &&
        answer 2 'HTTP/1.1 302 Found\r\nLocation: http://localhost/\r\n\r\n' &&
        grep 'from https to http' err &&
        answer 2 'HTTP/1.1 302 Found\r\nLocation: ftp://localhost/\r\n\r\n' &&
        answer 2 'HTTP/1.1 302 Found\r\n\r\n' || return 1
    printf 'HTTP/1.0 302 Found\r\nLocation: loop\r\n\r\n' >loop
    start_openssl loop -HTTP || return 1
    ftp 2 -o got "https://localhost:$port/loop" 2>err
    local rv=$?
    stop "$server"
    [ "$rv" -eq 0 ] && grep 'too many redirections' err
}

ftp_stalled() {
    : >stall.in
    start_nc stall -c -C server.pem -K server.key || return 1
    ftp 2 -w 1 -o got "https://localhost:$port/x" 2>err
    local rv=$?
    stop "$server"
    [ "$rv" -eq 0 ] && grep 'stalled' err
}

ftp_progress() {
    command -v script || return 1
    ftp 0 -o got "$url/big" 2>err && [ ! -s err ] &&
        timeout "$limit" script -qec \
            "$bin/ftp -S cafile=ca.pem -o got $url/big" typescript &&
        grep '100% |\*\*\*\**| *20.0 MiB' typescript
}

check 'ftp: 20 MiB' ftp_big
check 'ftp: a name for the file' ftp_name
check 'ftp: standard output' ftp_stdout
check 'ftp: resume' ftp_resume
check 'ftp: interrupted' ftp_interrupted
check 'ftp: full disk' ftp_full_disk
check 'ftp: verification' ftp_verification
check 'ftp: errors' ftp_errors
check 'ftp: truncated data' ftp_truncated
check 'ftp: chunked data' ftp_chunked
check 'ftp: a server that talks nonsense' ftp_nonsense
check 'ftp: data until the close notify' ftp_until_close
check 'ftp: redirections' ftp_redirects
check 'ftp: a server that stalls' ftp_stalled
check 'ftp: progress bar' ftp_progress

# --- nc ---

nc_plain() {
    cp down plain.in
    start_nc plain -N || return 1
    nc -N localhost "$port" <up >got || return 1
    wait "$server" && same got down && same plain.out up
}

size_is() { [ "$(stat -c %s "$1")" = "${2-5242880}" ]; }

# Both send all they have at once; the client says good-bye when it has got all
# and the server as well.
both_ways() { # PROTOCOL
    cp down both.in
    start_nc both -c -C server.pem -K server.key -T "protocols=$1" || return 1
    : >got
    (cat up; wait_for size_is got && wait_for size_is both.out) |
        nc -c -q -R ca.pem localhost "$port" >got || return 1
    wait "$server" && same got down && same both.out up
}

nc_tls() { both_ways tlsv1.2 && both_ways tlsv1.3; }

# The reader of one direction stops: the other one goes on, also when there is
# room again for some of what waits.
nc_slow_reader() {
    cp down slow.in
    start_nc slow -c -C server.pem -K server.key || return 1
    mkfifo slow.fifo slow.more
    "$bin/nc" -w "$limit" -c -q -R ca.pem localhost "$port" \
        < <(cat up slow.more) >slow.fifo &
    local client=$!
    exec 3<slow.fifo
    wait_for size_is slow.out && head -c 5000 <&3 >got || return 1
    (cat down; wait_for size_is got) >slow.more &
    wait_for size_is slow.out 10485760 && head -c 5237880 <&3 >>got || return 1
    wait "$client" && wait "$server" && same got down &&
        same slow.out <(cat up down)
}

# What comes before a good-bye arrives, even if the answer to it is not read.
nc_quit() {
    cp down quit.in
    start_nc quit -c -C server.pem -K server.key || return 1
    nc -c -q -R ca.pem localhost "$port" <up >got || return 1
    # The server may be told that nobody takes the rest of what it says.
    wait "$server"
    same quit.out up
}

# Without a close notify the data might have been cut.
nc_close_notify() {
    : >end.in
    start_nc end -c -C server.pem -K server.key || return 1
    "$bin/nc" -c -R ca.pem localhost "$port" <up >got &
    local client=$!
    wait_for size_is end.out
    kill -9 "$client"
    wait "$client"
    wait "$server"
    [ $? -eq 1 ] && cat end.err && [ -s end.err ] && same end.out up
}

nc_client() {
    start_openssl rev -rev || return 1
    (echo hello; wait_for has_text olleh got) |
        nc -c -q -v -R ca.pem localhost "$port" >got 2>err
    local rv=$?
    stop "$server"
    cat err
    [ "$rv" -eq 0 ] && [ "$(<got)" = olleh ] && grep 'subject: /CN=localhost' err &&
        grep 'issuer: /CN=ca for tests' err && grep 'TLSv1.3' err &&
        grep 'valid until: ' err && grep "hash: $(<server.hash)" err
}

nc_server() {
    echo 'from the server' >srv.in
    start_nc srv -c -v -C server.pem -K server.key || return 1
    : >got
    (echo 'from the client'; wait_for has_text 'the client' srv.out &&
        wait_for test -s got) |
        timeout "$limit" openssl s_client -quiet -no_ign_eof -CAfile ca.pem \
            -verify_return_error -connect "127.0.0.1:$port" >got
    wait "$server" || { cat srv.err; return 1; }
    [ "$(<got)" = 'from the server' ] &&
        [ "$(<srv.out)" = 'from the client' ] && grep 'TLSv1.3' srv.err
}

# refused PATTERN SERVER-OPTIONS CLIENT-OPTIONS: the client says why
refused() {
    : >refused.in
    # shellcheck disable=SC2086
    start_nc refused -c -C server.pem -K server.key $2 || return 1
    # shellcheck disable=SC2086
    expect 1 "$bin/nc" -c -q $3 localhost "$port" 2>err </dev/null
    local rv=$?
    wait "$server"
    cat err refused.err
    [ "$rv" -eq 0 ] && grep -i -e "$1" err
}

nc_verification() {
    refused 'verif' '' '-R other.pem' &&
        refused 'wrong.example' '' '-R ca.pem -e wrong.example' &&
        refused 'certificate hash' '' '-R ca.pem -H SHA256:00' &&
        refused 'protocol' '-T protocols=tlsv1.3' \
            '-R ca.pem -T protocols=tlsv1.2'
}

nc_client_certificate() {
    echo secret >ask.in
    start_nc ask -c -v -C server.pem -K server.key -R ca.pem -T clientcert ||
        return 1
    : >got
    wait_for has_text secret got |
        nc -c -q -R ca.pem -C client.pem -K client.key localhost "$port" >got ||
        return 1
    wait "$server" && same got ask.in && grep 'subject: /CN=somebody' ask.err ||
        return 1
    start_nc ask -c -C server.pem -K server.key -R ca.pem -T clientcert ||
        return 1
    nc -c -R ca.pem localhost "$port" >got
    ! wait "$server" && [ ! -s got ]
}

nc_timeout() {
    : >late.in
    start_nc late || return 1
    expect 1 "$bin/nc" -w 1 localhost "$port" 2>err
    local rv=$?
    wait "$server"
    [ "$rv" -eq 0 ] && grep 'timed out' err
}

nc_errors() {
    expect 1 "$bin/nc" localhost 1 2>err </dev/null && grep 'refused' err &&
        expect 1 "$bin/nc" localhost && expect 1 "$bin/nc" -R ca.pem localhost 1 &&
        expect 1 "$bin/nc" -c -T starttls=gopher localhost 1 &&
        expect 1 "$bin/nc" -c -R missing.pem localhost 1 2>err &&
        grep missing.pem err &&
        expect 1 "$bin/nc" -l -c -C server.pem -K second.key 127.0.0.1 0 2>err &&
        grep -i key err
    cp up full.in
    start_nc full -N || return 1
    expect 1 "$bin/nc" -N localhost "$port" 2>err >/dev/full </dev/null &&
        grep 'No space left' err
    local rv=$?
    wait "$server"
    return "$rv"
}

# --- STARTTLS: a dialogue in front of nc, which then passes on to TLS ---

say() { printf '%s\r\n' "$@"; }

hear() { # BEGINNING
    local line
    IFS= read -r line && [[ $line == "$1"* ]] && return 0
    echo "heard '$line' instead of '$1'" >&2
    return 1
}

dialogue_smtp() {
    say '220-mail.example' '220 ESMTP' && hear 'EHLO ' &&
        say 250-mail.example 250-STARTTLS '250 HELP' && hear STARTTLS &&
        say '220 go ahead'
}
dialogue_imap() {
    say '* OK ready' && hear 'a STARTTLS' && say '* 1 EXISTS' 'a OK begin'
}
dialogue_pop3() { say '+OK ready' && hear STLS && say '+OK begin'; }
dialogue_ftp() {
    say '220-Welcome' ' 220 to this' '220 server' && hear 'AUTH TLS' &&
        say '234 begin'
}

refuse_smtp() {
    say '220 ESMTP' && hear 'EHLO ' && say '250 mail.example' &&
        hear STARTTLS && say '502 never heard of it'
}
refuse_imap() { say '* PREAUTH welcome'; }
refuse_pop3() { say '+OK ready' && hear STLS && say '-ERR no'; }
refuse_ftp() { say '421-not' '421 now'; }

say '220 go ahead' '250 you are somebody' >injected # as a single write
inject_smtp() {
    say '220 ESMTP' && hear 'EHLO ' && say '250 STARTTLS' && hear STARTTLS &&
        cat injected
}
break_smtp() { say '220-and'; }
long_smtp() { head -c 100000 /dev/zero | tr '\0' 2; }

# front FUNCTION: a server at $port that runs it and then passes data on to the
# TLS server at $behind
front() {
    rm -f front.in front.out
    mkfifo front.in front.out
    {
        "$1" && [ "$behind" != 0 ] &&
            exec "$bin/nc" -w "$limit" -N 127.0.0.1 "$behind"
    } >front.in <front.out 2>front.script &
    talker=$!
    start_nc front -N
}

starttls() {
    local protocol rv
    for protocol in smtp imap pop3 ftp; do
        echo 'from the server' >tls.in
        start_nc tls -c -C server.pem -K server.key || return 1
        local backend=$server
        behind=$port
        front "dialogue_$protocol" || return 1
        : >got
        (echo 'from the client'; wait_for has_text server got) |
            nc -c -v -q -T "starttls=$protocol" -R ca.pem localhost "$port" >got 2>err
        rv=$?
        cat err front.err front.script tls.err
        wait "$talker" && wait "$server" && wait "$backend" && [ "$rv" -eq 0 ] &&
            [ "$(<got)" = 'from the server' ] &&
            [ "$(<tls.out)" = 'from the client' ] || return 1
    done
}

starttls_refused() { # FUNCTION PROTOCOL PATTERN
    behind=0
    front "$1" || return 1
    expect 1 "$bin/nc" -c -N -T "starttls=$2" -R ca.pem localhost "$port" 2>err </dev/null
    local rv=$?
    wait "$talker"
    wait "$server"
    cat err
    [ "$rv" -eq 0 ] && grep -q -e "$3" err
}

starttls_refusals() {
    starttls_refused refuse_smtp smtp '502 never' &&
        starttls_refused refuse_imap imap 'PREAUTH' &&
        starttls_refused refuse_pop3 pop3 '-ERR no' &&
        starttls_refused refuse_ftp ftp '421 now' &&
        starttls_refused inject_smtp smtp 'plaintext' &&
        starttls_refused break_smtp smtp 'closed by the server' &&
        starttls_refused long_smtp smtp 'too long'
}

check 'nc: plaintext, 5 MiB both ways' nc_plain
check 'nc: TLS, 5 MiB both ways' nc_tls
check 'nc: a slow reader holds up one direction only' nc_slow_reader
check 'nc: good-bye while the peer sends' nc_quit
check 'nc: an end without close notify is an error' nc_close_notify
check 'nc: client of openssl s_server' nc_client
check 'nc: server of openssl s_client' nc_server
check 'nc: verification' nc_verification
check 'nc: client certificates' nc_client_certificate
check 'nc: time-out' nc_timeout
check 'nc: errors' nc_errors
check 'nc: STARTTLS' starttls
check 'nc: STARTTLS refused' starttls_refusals

# Callbacks, read and written as with classic blocking calls.
blocking() {
    start_openssl www -www || return 1
    printf 'GET / HTTP/1.0\r\n\r\n' >request
    timeout "$limit" "$bin/blocking" localhost "$port" ca.pem <request >page
    local rv=$?
    expect 1 "$bin/blocking" localhost "$port" other.pem <request >nothing 2>err
    local refused=$?
    stop "$server"
    cat err
    [ "$rv" -eq 0 ] && [ "$refused" -eq 0 ] && [ ! -s nothing ] &&
        has_text '^HTTP/1.0 200 ok' page && has_text '</HTML>' page &&
        has_text 'verif' err
}

check 'blocking: callbacks with openssl s_server' blocking

# Certificates that are looked up while handshakes wait.
start_names() {
    mkdir names
    cp server.pem names/localhost.pem
    cp server.key names/localhost.key
    cp second.pem names/second.test.pem
    cp second.key names/second.test.key
    cp second.pem names/no-key.test.pem
    cp server.pem names/mismatch.test.pem
    cp second.key names/mismatch.test.key
    "$bin/names" -P names.port names 127.0.0.1 0 2>names.err &
    names=$!
    wait_for test -s names.port || { cat names.err; return 1; }
}

# ask_name NAME: what the server says to a client that wants it
ask_name() {
    timeout "$limit" openssl s_client -connect "127.0.0.1:$(<names.port)" \
        -quiet -CAfile ca.pem -verify_return_error -servername "$1" </dev/null
}

has_name() { [ "$(ask_name "$1")" = "$1" ]; }

# shows NAME CERTIFICATE
shows() {
    timeout "$limit" openssl s_client -connect "127.0.0.1:$(<names.port)" \
        -servername "$1" </dev/null | openssl x509 >shown.pem
    same shown.pem "$2"
}

names() {
    local pids=() name
    start_names || return 1
    shows localhost server.pem && shows second.test second.pem || return 1
    # Many at the same time, each has its own.
    for name in localhost second.test localhost second.test; do
        for _ in 1 2 3 4 5; do
            has_name "$name" &
            pids+=($!)
        done
    done
    for name in "${pids[@]}"; do
        wait "$name" || return 1
    done
    for name in nobody.test no-key.test mismatch.test ../server ..; do
        [ -z "$(ask_name "$name")" ] || return 1
    done
    cat names.err
    has_text 'unknown name' names.err && has_text 'key mismatch' names.err &&
        has_name localhost && stop "$names"
    [ $? -eq 143 ] # SIGTERM
}

if [ -x "$bin/names" ]; then
    check 'names: a certificate for each name' names
fi

httpd_end() {
    kill -0 "$httpd" && kill "$httpd" && wait_for is_gone "$httpd"
}

check 'httpd: SIGTERM' httpd_end
wait "$httpd"
status=$?
if [ $status -eq 0 ]; then
    echo 'ok httpd: exit status after SIGTERM'
else
    echo "not ok httpd: exit status after SIGTERM: $status"
    failed=1
fi

exit $failed
