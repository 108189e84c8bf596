#!/bin/bash
# SPDX-License-Identifier: ISC
# Copyright (c) 2026 The libtls-proxy authors
#
# httpd with a configuration file, and curl, wget and openssl as its clients.
# As root the server processes have a user and a root directory of their own.
# WITHOUT_OPENAT2 in the environment runs a program as where that call is not.

# Functions are called by name, and the configurations are shell text.
# shellcheck disable=SC2317,SC2154
# shellcheck source=tests/interop/lib.bash
. "$(dirname "$0")/lib.bash"
need openssl curl wget ab
: "${WITHOUT_OPENAT2:?}"

source=$(cd "$(dirname "$0")/../.." && pwd)
httpd=$(cd "$EXAMPLES" && pwd)/httpd
under=() # what starts it
certs=$TEST_CERTS
jail=$tmp/jail
mkdir -p "$jail/htdocs/"{a/dir,b,.well-known,list/sub,linked,astray,noindex} && chmod 755 "$jail"
if [ "$(id -u)" = 0 ]; then
    rights="chroot \"$jail\"
        user nobody"
    base=
else
    rights='' base=$jail
fi

files() {
    local root=$jail/htdocs
    echo 'a' >"$root/a/index.html"
    echo 'b' >"$root/b/index.html"
    echo 'main' >"$root/index.html"
    echo 'hidden' >"$root/.hidden"
    echo 'challenge' >"$root/.well-known/token"
    echo 'strange' >"$root/list/<b>&\"'%41 #?.txt"
    echo 'outside' >"$jail/outside"
    ln -s ../index.html "$root/a/inside"
    ln -s ../../outside "$root/a/link"
    ln -s /etc/passwd "$root/list/passwd"
    ln -s sub "$root/list/other"
    ln -s ../index.html "$root/list/above"
    ln -s ../index.html "$root/linked/index.html"
    ln -s ../../outside "$root/astray/index.html"
    echo 'none' >"$root/noindex/file"
    echo 'custom' >"$root/a/dir/start.htm"
    echo 'x' >"$root/a/file.weird"
    head -c 33554432 /dev/zero | openssl enc -aes-128-ctr -K 00 -iv 00 \
        >"$root/big" 2>/dev/null
    chmod -R a+rX "$root"
}
files

fetch=(curl -sS --cacert "$certs/root.pem" --noproxy '*' --max-time 60)

# conf NAME: the configuration on standard input, with what all have.
conf() {
    { printf '%s\n' "$rights"; cat; } >"$tmp/$1.conf"
}

# serve NAME: ports are in the array $ports, the parent in $server.
serve() {
    rm -f "$tmp/$1.port"
    start "${under[@]}" "$httpd" -d -f "$tmp/$1.conf" -P "$tmp/$1.port"
    server=$pid messages=$tmp/$pid.log
    new_ports "$1" || {
        not_ok "httpd with $1.conf" "$messages"
        done_testing
    }
}

new_ports() {
    wait_for "ports of $1" test -s "$tmp/$1.port" &&
        mapfile -t ports <"$tmp/$1.port"
}

# get STATUS URL [OPTION...]: at the address $at, or 127.0.0.1 for https and
# 127.0.0.2 for http; the body is in $tmp/body, the head in $tmp/head.
get() {
    local want=$1 url=$2 to=127.0.0.1 got
    [[ $url == https:* ]] || to=127.0.0.2
    to=${at:-$to}
    shift 2
    got=$("${fetch[@]}" --path-as-is -o "$tmp/body" -D "$tmp/head" \
        --connect-to "::$to:" -w '%{http_code}' "$@" "$url")
    if [ "$got" != "$want" ]; then
        echo "status '$got' instead of $want: $url $*"
        return 1
    fi
}

body_is() {
    if [ "$(<"$tmp/body")" != "$1" ]; then
        echo "body is '$(<"$tmp/body")', not '$1'"
        return 1
    fi
}

field_is() { # NAME VALUE
    grep -qxF "$1: $2"$'\r' "$tmp/head" && return
    echo "no '$1: $2' in:"
    cat "$tmp/head"
    return 1
}

has_text() { grep -q -e "$1" "$2" 2>/dev/null; }

# raw TEXT: what an HTTP request without TLS gets, on $plain.
raw() {
    exec 5<>"/dev/tcp/127.0.0.2/$plain" || return 1
    # shellcheck disable=SC2059 # the text is a format
    printf "$1" >&5
    timeout "$limit" cat <&5 | tr -d '\r' >"$tmp/raw"
    exec 5>&-
}

raw_is() { # STATUS TEXT
    raw "$2" && grep -q "^HTTP/1.1 $1 " "$tmp/raw" && return
    echo "not $1: $2"
    head -n 3 "$tmp/raw"
    return 1
}

children() {
    ps -o pid= --ppid "$1" | xargs
}

# --- what is wrong with a file ---

# wrong LINE TEXT: the file on standard input is refused, and says why.
wrong() {
    local line=$1 text=$2
    cat >"$tmp/wrong.conf"
    if timeout "$limit" "$httpd" -n -f "$tmp/wrong.conf" 2>"$tmp/err"; then
        echo "taken:"
        cat "$tmp/wrong.conf"
        return 1
    fi
    grep -qF -e "wrong.conf:$line: $text" "$tmp/err" && return
    echo "not 'wrong.conf:$line: $text' but:"
    cat "$tmp/err"
    return 1
}

server_with() {
    printf 'server "x" {\nlisten on 127.0.0.1 port 0\n%s\n}\n' "$1"
}

mistakes() {
    wrong 1 "'servers' is not known here" <<<'servers "x" { }' &&
        wrong 1 "expected '{'" <<<'server "x"' &&
        wrong 2 'server listens nowhere' <<<$'\nserver "x" { block }' &&
        wrong 2 "expected '}'" <<<'server "x" { block; # }' &&
        wrong 3 'expected end of the line' < <(server_with 'block x') &&
        wrong 3 'root is set twice' < <(server_with 'root /a; root /b') &&
        wrong 1 '/x has neither root nor block' \
            < <(server_with 'block; location "/x" { pass }') &&
        wrong 1 'server has neither root nor block' < <(server_with '') &&
        wrong 3 "pattern 'x' begins with neither" \
            < <(server_with 'block; location "x" { block }') &&
        wrong 3 "'alias' is not known here" \
            < <(server_with 'block; location "/x" { alias "y" }') &&
        wrong 3 "status is '299', not from 300 to 599" \
        < <(server_with 'block return 299') &&
        wrong 3 'status 599 cannot be returned' \
            < <(server_with 'block return 599') &&
        wrong 3 'expected URL' < <(server_with 'block return 301') &&
        wrong 3 "'/\$NOTHING': there is no such macro" \
            < <(server_with "block return 301 \"/\$NOTHING\"") &&
        wrong 3 "'a b': a URL has neither" \
            < <(server_with 'block return 301 "a b"') &&
        wrong 3 "index '../x' is no name" \
            < <(server_with 'block; directory index "../x"') &&
        wrong 3 "timeout is '0', not from 1 to" \
            < <(server_with 'block; connection timeout 0') &&
        wrong 3 "timeout is '5s'" \
            < <(server_with 'block; connection { timeout 5s }') &&
        wrong 3 "port is '65536'" \
            < <(server_with 'block; listen on :: port 65536') &&
        wrong 3 'listens twice on 127.0.0.1 port 0' \
            < <(server_with 'listen on 127.0.0.1 port 0; block') &&
        wrong 1 'server has tls settings and does not listen with tls' \
            < <(server_with 'block; tls key "x"') &&
        wrong 1 'server listens with tls and has no certificate' \
            < <(server_with 'block; listen on ::1 tls port 0') &&
        wrong 3 "protocols 'tlsv9' are not known" \
            < <(server_with 'block; tls protocols tlsv9') &&
        wrong 1 'server requires a client certificate, and there is no' \
            < <(server_with 'block; require client certificate') &&
        wrong 1 "'\"' without another" <<<'user "x' &&
        wrong 1 'control character in a string' <<<$'user "x\001"' &&
        wrong 1 'character 0x01 is not allowed here' <<<$'user \001' &&
        wrong 1 "chroot 'x' does not begin with '/'" <<<'chroot x' &&
        wrong 1 "'\\' before neither" <<<'user "\n"' &&
        wrong 1 'string and word without a blank' <<<'user "a"b' &&
        wrong 1 'types is set twice' <<<'types { }; types { }' &&
        wrong 1 'expected a media type' <<<'types { html }' &&
        wrong 1 "$tmp/missing.conf: No such file" \
            <<<'include "missing.conf"' &&
        wrong 1 'files are included too deep' <<<'include "wrong.conf"'
}

conflicts() {
    local tls="certificate \"$certs/a.test-chain.pem\"; key \"$certs/a.test.key\""
    wrong 6 'servers on 127.0.0.1 port 0 differ in protocols' <<END &&
server "a" {
    listen on 127.0.0.1 tls port 0; block
    tls { $tls }
}
server "b" {
    listen on 127.0.0.1 tls port 0; block
    tls { $tls; protocols tlsv1.3 }
}
END
        wrong 5 '127.0.0.1 port 0 is with tls for one server and without' <<END
server "a" {
    listen on 127.0.0.1 port 0; block
}
server "b" {
    listen on 127.0.0.1 tls port 0; block
    tls { $tls }
}
END
}

# Only a look at other files shows these.
unusable() {
    local run=(timeout "$limit" "$httpd" -n -f "$tmp/unusable.conf")
    local listen='listen on 127.0.0.1 tls port 0'
    conf unusable <<<"server x { $listen; block; tls {
        certificate \"$certs/a.test-chain.pem\"; key \"$certs/b.test.key\" } }"
    ! "${run[@]}" 2>"$tmp/err" && grep -qi 'key' "$tmp/err" || return 1
    conf unusable <<<"server x { $listen; block; tls {
        certificate \"$certs/a.test-chain.pem\"; key \"$tmp/missing.key\" } }"
    ! "${run[@]}" 2>"$tmp/err" && grep -q 'missing.key' "$tmp/err" || return 1
    conf unusable <<<'server x { listen on 127.0.0.1 port 0; root "/nowhere" }'
    ! "${run[@]}" 2>"$tmp/err" && grep -q 'nowhere: No such' "$tmp/err" ||
        return 1
    conf unusable <<<'server x { listen on 127.0.0.1 port 0; block }'
    "${run[@]}" 2>"$tmp/err" && grep -qx 'configuration OK' "$tmp/err"
}

check 'mistakes in a file' mistakes
check 'servers that cannot share a port' conflicts
check 'what a file refers to' unusable

# The configurations in the manual, with another place for /var/www.
printed() {
    local page=$source/examples/httpd.conf.5 name n=0
    mkdir -p "$tmp/printed/htdocs" "$jail/acme"
    for name in example.com a b; do
        cp "$certs/a.test-chain.pem" "$tmp/printed/$name.pem"
        cp "$certs/a.test.key" "$tmp/printed/$name.key"
    done
    cp "$certs/root.pem" "$tmp/printed/members.pem"
    [ -e /etc/mime.types ] || : >"$tmp/no.types"
    awk -v prefix="$tmp/printed/conf." '
        /^\.Sh / { on = $2 == "EXAMPLES" }
        /^\.Ed/ { file = "" }
        file != "" { print >file }
        on && /^\.Bd -literal/ { file = prefix (++n) }' "$page"
    for name in "$tmp"/printed/conf.*; do
        sed -i "s,/var/www,$jail,; s,/etc/mime.types,$(
            ls /etc/mime.types 2>/dev/null || echo "$tmp/no.types")," "$name"
        if [ -z "$rights" ]; then
            sed -i "/^chroot/d; /^user/d; s,root \"/,&$jail/," "$name"
            sed -i "s,$jail/*$jail,$jail," "$name"
        fi
        (cd "$tmp/printed" && timeout "$limit" "$httpd" -n -f "$name") ||
            return 1
        n=$((n + 1))
    done
    [ "$n" = 2 ]
}

# "by default N" there, and the numbers here.
defaults() {
    local code=$source/examples/httpd_config.c
    sed -n -e 's/^\t\.\([a-z_]*\) = \([1-9][0-9]*\),$/\1 \2/p' \
        -e 's/^#define \([A-Z_]*\)_DEFAULT[[:space:]]*\([0-9]*\)$/\L\1 \2/p' \
        "$code" | sort >"$tmp/code"
    awk '/^\.It (Cm|Ic) / {
            sub(/^\.It (Cm|Ic) /, ""); sub(/ Ar .*/, ""); name = $0
            gsub(/ /, "_", name)
            sub(/max_request_/, "max_", name)
        }
        /by default [0-9]+\.$/ { print name, $NF + 0; }
        last ~ /by default$/ && /^[0-9]+\.$/ { print name, $1 + 0 }
        { last = $0 }' "$source/examples/httpd.conf.5" | sort >"$tmp/page"
    grep -q 'from 256 to 65536' "$source/examples/httpd.conf.5" &&
        grep -q '"max request header", 256,' "${code%config.c}parse.c" &&
        grep -q 'HEADER_MAX 65536$' "${code%c}h" &&
        grep -q 'after a minute' "$source/examples/httpd.8" &&
        grep -q 'GRACE_SECONDS 60$' "${code%config.c}serve.c" &&
        grep -q 'GRACE[[:space:]]*60000$' "${code%config.c}parent.c" &&
        [ "$(wc -l <"$tmp/code")" = 7 ] && diff -u "$tmp/code" "$tmp/page"
}

check 'configurations in the manual' printed
check 'defaults in the manual' defaults

# --- servers ---

conf main <<END
prefork 2
default type "application/x-unknown"
types {
    text/html html htm; text/plain txt
    "text/html; charset=utf-8" html
    include "mime.types"
}
server "a.test" {
    alias "alias.test"
    listen on 127.0.0.1 tls port 0
    listen on 127.0.0.2 port 0      # for requests without curl
    root "$base/htdocs"
    log access "$tmp/access.log"
    tls {
        certificate "$certs/a.test-chain.pem"; key "$certs/a.test.key"
    }
    connection {
        max request header 1000, max request fields 10
        max request body 100000, max requests 5
        timeout 300; request timeout 1
    }
    location "/old/*" {
        block return 302 "https://\$SERVER_NAME:1\$DOCUMENT_URI?\$QUERY_STRING&\$REMOTE_ADDR"
    }
    location "/gone" { block return 410 }
    location "/drop" { block drop }
    location "/private/*" { block }
    location "/list/*" { directory auto index }
    location "/noindex/*" { directory no index }
    location "/a/dir/*" { directory index "start.htm" }
    location "/quiet" { no log; block }
    location "/common" { log style common; block }
    location "/combined" { log style combined; block }
    location "/other/*" { root "$base/htdocs/a" }
}
server "*.b.test" {
    listen on 127.0.0.1 tls port 0
    root "$base/htdocs/b"
    log access "$tmp/b.log"
    tls certificate "$certs/b.test-chain.pem"
    tls key "$certs/b.test.key"
}
server "redirect" {
    listen on ::1 port 0
    no log
    block return 301 "https://\$HTTP_HOST\$REQUEST_URI"
}
END
echo $'application/x-weird\tweird w\napplication/none\n# comment' \
    >"$tmp/mime.types"
serve main
tls=${ports[0]} plain=${ports[1]} redirect=${ports[2]}
a=https://a.test:$tls

names() {
    get 200 "$a/a/" && body_is a &&
        get 200 "https://www.b.test:$tls/" && body_is b &&
        get 200 "http://alias.test:$plain/" && body_is main &&
        get 200 "http://ALIAS.TEST.:$plain/" && body_is main &&
        get 200 "http://unknown.test:$plain/" && body_is main &&
        get 200 "$a/" -H 'Host: www.b.test' && body_is b &&
        ! get 200 "https://elsewhere.test:$tls/" &&
        raw_is 200 'GET http://A.test/a/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n' &&
        grep -qx a "$tmp/raw"
}

redirected() {
    curl -sS --noproxy '*' -D "$tmp/head" -o "$tmp/body" -H 'Host: x.test:8080' \
        "http://[::1]:$redirect/path?q=%41&r" &&
        field_is Location 'https://x.test/path?q=%41&r' &&
        get 302 "$a/old/a%20b%22%0d%0ax?x=y" &&
        field_is Location \
            'https://a.test:1/old/a%20b%22%0D%0Ax?x=y&127.0.0.1' &&
        get 301 "$a/a/dir" && field_is Location /a/dir/
}

blocked() {
    get 403 "$a/private/x" && get 410 "$a/gone" && get 403 "$a/noindex/" &&
        get 200 "$a/noindex/file" && get 200 "$a/a/dir/" && body_is custom &&
        get 404 "$a/other/x" && raw 'GET /drop HTTP/1.1\r\nHost: a.test\r\n\r\n' &&
        [ ! -s "$tmp/raw" ]
}

listing() {
    get 200 "$a/list/" && field_is Content-Type 'text/html; charset=utf-8' &&
        grep -qF '<a href="./%3Cb%3E%26%22%27%2541%20%23%3F.txt">&lt;b&gt;&amp;&quot;&#39;%41 #?.txt</a>' \
            "$tmp/body" &&
        ! grep -q passwd "$tmp/body" &&
        get 200 "$a/list/%3Cb%3E%26%22%27%2541%20%23%3F.txt" &&
        body_is strange && get 404 "$a/list/passwd"
}

paths() {
    get 200 "$a//a/./dir/../index.html" && body_is a &&
        get 200 "$a/%61/%2e%2e/index.html" && body_is main &&
        get 404 "$a/../../outside" && get 404 "$a/..%2f..%2foutside" &&
        get 404 "$a/a/link" && get 404 "$a/index.html/" && get 404 "$a/.hidden" && get 404 "$a/a/../.hidden" &&
        get 200 "$a/.well-known/token" && body_is challenge &&
        get 400 "$a/%" && get 400 "$a/%00" && get 400 "$a/%4"
}

# Where the system cannot follow them safely they are not followed.
links() {
    local status
    status=$("${fetch[@]}" -o "$tmp/body" -w '%{http_code}' \
        --connect-to ::127.0.0.1: "$a/a/inside")
    if [ "$status" = 200 ]; then
        body_is main && get 200 "$a/list/" &&
            grep -qF '<a href="./other/">' "$tmp/body" &&
            grep -qF '<a href="./above">' "$tmp/body" &&
            get 200 "$a/linked/" && body_is main &&
            get 404 "$a/astray/index.html" && get 403 "$a/astray/"
    else
        [ "$status" = 404 ]
    fi
}

types() {
    get 200 "$a/a/file.weird" && field_is Content-Type application/x-weird &&
        get 200 "$a/" && field_is Content-Type 'text/html; charset=utf-8' &&
        get 200 "$a/a/dir/start.htm" && field_is Content-Type text/html &&
        get 200 "$a/big" && field_is Content-Type application/x-unknown
}

wgets() {
    (cd "$tmp" && wget -q --ca-certificate="$certs/root.pem" -e use_proxy=no \
        --no-check-certificate -O wget.out "https://127.0.0.1:$tls/big") &&
        cmp "$tmp/wget.out" "$jail/htdocs/big" || return 1
    # It goes on with what it has.
    truncate -s 12345678 "$tmp/wget.out"
    wget -q -c --no-check-certificate -e use_proxy=no -O "$tmp/wget.out" \
        "https://127.0.0.1:$tls/big" && cmp "$tmp/wget.out" "$jail/htdocs/big"
}

big() {
    get 200 "$a/big" && cmp "$tmp/body" "$jail/htdocs/big" &&
        get 200 "http://a.test:$plain/big" &&
        cmp "$tmp/body" "$jail/htdocs/big" &&
        get 206 "$a/big" -H 'Range: bytes=100-20000099' &&
        cmp "$tmp/body" \
            <(tail -c +101 "$jail/htdocs/big" | head -c 20000000) &&
        get 206 "$a/big" -H 'Range: bytes=0-9999999,-9999999,7-7' &&
        python3 - "$tmp/head" "$tmp/body" "$jail/htdocs/big" <<'END'
import email.parser, email.policy, sys

head, body, data = (open(name, 'rb').read() for name in sys.argv[1:])
fields = head.split(b'\r\n', 1)[1]
length = dict(line.split(b': ', 1) for line in fields.split(b'\r\n') if line)
assert int(length[b'Content-Length']) == len(body)
# Python's own parser would take line ends in the data for its own.
boundary = b'\r\n--' + length[b'Content-Type'].split(b'boundary=')[1]
parts = body.split(boundary)
assert parts[0] == b'' and parts[-1] == b'--\r\n', (parts[0], parts[-1])
want = [data[:10000000], data[-9999999:], data[7:8]]
assert len(parts) == 5
for part, wanted in zip(parts[1:], want):
    head, part = part.split(b'\r\n\r\n', 1)
    assert part == wanted, head
END
}

limits() {
    local long
    long=$(head -c 1000 /dev/zero | tr '\0' x)
    get 431 "http://a.test:$plain/" -H "Long: $long" &&
        raw_is 414 "GET /$long HTTP/1.1\r\n" &&
        raw_is 431 "GET / HTTP/1.1\r\n$(printf 'A: b\\r\\n%.0s' {1..11})\r\n" &&
        get 200 "$a/" -X GET --data-binary "@$certs/root.pem" &&
        refused_body
}

# It may see that nobody reads before it sees the answer.
refused_body() {
    get 413 "$a/" -X GET --data-binary "@$jail/htdocs/big" -H Expect: ||
        grep -q '^HTTP/1.1 413' "$tmp/head"
}

methods() {
    raw_is 501 'FOO / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n' &&
        raw_is 405 'DELETE / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n' &&
        raw_is 405 'OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n' &&
        raw_is 505 'GET / HTTP/2.0\r\nHost: x\r\n\r\n' &&
        raw_is 400 'GET / HTTP/1.1\r\nHost: x y\r\n\r\n' &&
        raw_is 400 'GET / HTTP/1.1\r\nHost: [::1\r\n\r\n' &&
        raw_is 400 'GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n' &&
        raw_is 400 'GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1,1\r\n\r\n' &&
        raw_is 400 'GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n' &&
        raw_is 400 'GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n' &&
        raw_is 400 'GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n' &&
        raw_is 501 'GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n' &&
        raw_is 417 'GET / HTTP/1.1\r\nHost: x\r\nExpect: gold\r\nConnection: close\r\n\r\n' &&
        raw_is 400 'GET x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n' &&
        raw_is 200 '\r\nGET / HTTP/1.0\r\n\r\n'
}

# What belongs to a body is not the next request, nor the next response.
pipelined() {
    raw 'HEAD / HTTP/1.1\r\nHost: a.test\r\nExpect: gold\r\n\r\nGET /x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n' &&
        [ "$(grep -A 1 -x '' "$tmp/raw" | sed -n 2p)" = \
            'HTTP/1.1 404 Not Found' ] || return 1
    raw 'GET /a/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: 20\r\n\r\nGET /b/ HTTP/1.1\r\n\r\nHEAD /b/ HTTP/1.1\r\nHost: a.test\r\n\r\nGET /x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\n\r\n' &&
        [ "$(grep '^HTTP' "$tmp/raw" | cut -d ' ' -f 2 | xargs)" = \
            '200 200 404' ] && ! grep -qx b "$tmp/raw"
}

# The connection has five requests, and a sixth goes over another.
requests() {
    local list=() i
    for i in {1..6}; do
        list+=(-o /dev/null "$a/a/")
    done
    [ "$("${fetch[@]}" --connect-to ::127.0.0.1: \
        -w '%{num_connects}' "${list[@]}")" = 100001 ]
}

slow() {
    raw_is 408 'GET / HTTP/1.1\r\nHost: x' &&
        raw_is 408 'GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n123' &&
        raw_is 408 'GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n' &&
        raw '' && [ ! -s "$tmp/raw" ] &&
        # The same before the handshake has ended.
        exec 5<>"/dev/tcp/127.0.0.1/$tls" &&
        timeout "$limit" cat <&5 >"$tmp/raw" && [ ! -s "$tmp/raw" ] &&
        exec 5>&- && wait_for 'a message' has_text 'timed out' "$messages"
}

conditions() {
    local etag date
    get 200 "$a/a/" && etag=$(sed -n 's/^ETag: \(.*\)\r/\1/p' "$tmp/head") &&
        date=$(sed -n 's/^Last-Modified: \(.*\)\r/\1/p' "$tmp/head") &&
        [ -n "$etag" ] && [ -n "$date" ] &&
        get 304 "$a/a/" -H "If-None-Match: \"x\", W/$etag" &&
        field_is ETag "$etag" &&
        get 200 "$a/a/" -H 'If-None-Match: "x"' -H "If-Modified-Since: $date" &&
        get 304 "$a/a/" -H "If-Modified-Since: $date" &&
        get 412 "$a/a/" -H 'If-Match: "x"' &&
        get 412 "$a/a/" -H "If-Match: W/$etag" &&
        get 200 "$a/a/" -H "If-Match: W/\"y\", $etag" &&
        get 412 "$a/a/" -H 'If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT' &&
        get 412 "$a/a/" -H 'If-Unmodified-Since: Sunday, 06-Nov-94 08:49:37 GMT' &&
        get 412 "$a/a/" -H 'If-Unmodified-Since: Sun Nov  6 08:49:37 1994' &&
        get 200 "$a/a/" -H 'If-Unmodified-Since: nonsense' &&
        get 206 "$a/a/" -H "If-Range: $etag" -H 'Range: bytes=0-0' &&
        get 206 "$a/a/" -H "If-Range: $date" -H 'Range: bytes=0-0' &&
        get 200 "$a/a/" -H "If-Range: W/$etag" -H 'Range: bytes=0-0' &&
        get 200 "$a/a/" -H 'If-Range: "x"' -H 'Range: bytes=0-0' &&
        get 416 "$a/a/" -H 'Range: bytes=9-' &&
        field_is Content-Range 'bytes */2'
}

access_log() {
    # A line of its own, and nothing that a terminal would take for more.
    get 404 "$a/log-tls" -A $'agent "\x80\\' -e 'https://r/' &&
        wait_for 'a line' has_text log-tls "$tmp/access.log" &&
        grep -qxE '127\.0\.0\.1 - - \[[^]]+\] "GET /log-tls HTTP/1\.1" 404 14 "https://r/" "agent \\"\\x80\\\\" a\.test TLSv1\.3 [A-Z0-9_-]+ "-" -' \
            "$tmp/access.log" &&
        get 403 "$a/quiet" && get 403 "$a/common" && get 403 "$a/combined" &&
        get 404 "http://a.test:$plain/log-plain" &&
        wait_for 'a line' has_text log-plain "$tmp/access.log" &&
        grep -qE '"GET /common HTTP/1\.1" 403 14$' "$tmp/access.log" &&
        grep -qE '"GET /combined HTTP/1\.1" 403 14 "-" "curl/[^"]*"$' \
            "$tmp/access.log" &&
        grep -qE 'log-plain .* a\.test - - "-" -$' "$tmp/access.log" &&
        ! grep -q quiet "$tmp/access.log" && [ -s "$tmp/b.log" ]
}

check 'names and certificates' names
check 'redirections' redirected
check 'block, index, root' blocked
check 'a list of a directory' listing
check 'paths' paths
check 'symbolic links' links
check 'media types' types
check 'wget' wgets
check 'large files and ranges of them' big
check 'limits' limits
check 'methods and broken requests' methods
check 'pipelining' pipelined
check 'requests on a connection' requests
check 'slow clients' slow
check 'conditions' conditions
check 'access log' access_log

# A certificate that ab knows nothing of is none of its business.
many() {
    ab -q -k -n 3000 -c 30 -l -H 'Host: www.b.test' \
        "https://127.0.0.1:$tls/" >"$tmp/ab" 2>&1 &&
        grep -qE '^Complete requests: +3000$' "$tmp/ab" &&
        grep -qE '^Failed requests: +0$' "$tmp/ab" &&
        ! grep -q 'Non-2xx' "$tmp/ab" && return
    cat "$tmp/ab"
    return 1
}

check 'ab, 30 connections' many

# ab has Nagle's algorithm on: its first request follows its Finished only when
# that is acknowledged, which by itself takes 40 ms. It is goproxy that does
# something about it, where it has the network.
at_once() {
    ab -q -n 50 -c 1 -l -H 'Host: www.b.test' \
        "https://127.0.0.1:$tls/" >"$tmp/ab" 2>&1 &&
        awk -v slow="${TEST_SLOW:-1}" \
            '/^Time taken/ { exit $5 > 1.5 * slow }' "$tmp/ab" && return
    cat "$tmp/ab"
    return 1
}

if [ "${LIBTLS_PROXY_TRANSPORT-}" != app ]; then
    check 'ab, one connection after another' at_once
fi

# --- processes ---

separated() {
    local child
    for child in $(children "$server"); do
        [ "$(stat -c %U "/proc/$child")" = nobody ] &&
            [ "$(readlink "/proc/$child/root")" = "$jail" ] || return 1
        grep -q '^Groups:[[:space:]]*\(65534 *\)\?$' "/proc/$child/status" ||
            return 1
    done
    [ "$(stat -c %U "/proc/$server")" = root ]
}

replaced() {
    local before
    before=$(children "$server")
    [ "$(wc -w <<<"$before")" = 2 ] || return 1
    kill -9 "${before%% *}" || return 1
    others() {
        [ "$(children "$server")" != "$before" ] &&
            [ "$(children "$server" | wc -w)" = 2 ]
    }
    wait_for 'another process' others && get 200 "$a/a/"
}

rotated() {
    mv "$tmp/access.log" "$tmp/old.log" && kill -USR1 "$server" &&
        wait_for 'a new log' test -e "$tmp/access.log" || return 1
    # Each process has to take it.
    new_log() {
        get 404 "$a/after" && has_text after "$tmp/access.log"
    }
    wait_for 'a line in the new log' new_log && get 404 "$a/later" &&
        ! grep -q later "$tmp/old.log"
}

if [ -n "$rights" ]; then
    check 'server processes have no rights' separated
fi
check 'a server process that dies is replaced' replaced
check 'SIGUSR1' rotated

# --- SIGHUP and SIGTERM ---

serial() {
    openssl s_client -connect "127.0.0.1:$tls" -servername a.test </dev/null \
        2>/dev/null | openssl x509 -noout -serial
}

# download NAME: begins with one that takes its time.
download() {
    rm -f "$tmp/slow"
    "${fetch[@]}" --connect-to ::127.0.0.1: --limit-rate 8M \
        -o "$tmp/slow" "$a/big" &
    download=$!
    wait_for 'the beginning of a file' test -s "$tmp/slow"
}

downloaded() {
    wait "$download" && cmp "$tmp/slow" "$jail/htdocs/big"
}

refused_reload() {
    local before after
    before=$(children "$server")
    cp "$tmp/main.conf" "$tmp/good.conf"
    echo 'nonsense' >>"$tmp/main.conf"
    kill -HUP "$server" &&
        wait_for 'a message' has_text 'keeps the old' "$messages" &&
        grep -q "main.conf:[0-9]*: 'nonsense' is not known here" "$messages" &&
        after=$(children "$server") && [ "$before" = "$after" ] &&
        get 200 "$a/a/" || return 1
    # The second key belongs to none of them.
    sed "s,$certs/a.test.key,$certs/b.test.key," "$tmp/good.conf" \
        >"$tmp/main.conf"
    kill -HUP "$server" && two() {
        [ "$(grep -c 'keeps the old' "$messages")" = 2 ]
    } && wait_for 'a second message' two && [ "$before" = "$(children "$server")" ] &&
        get 200 "$a/a/"
}

# A new certificate and another port, while somebody fetches a file.
reloaded() {
    local before old_serial
    before=$(children "$server")
    old_serial=$(serial)
    download || return 1
    rm "$tmp/main.port"
    sed -e "s,/a.test-chain.pem,/wrongname-chain.pem," \
        -e "s,/a.test.key,/wrongname.key," \
        -e 's/listen on ::1 port 0/listen on 127.0.0.3 port 0/' \
        "$tmp/good.conf" >"$tmp/main.conf"
    kill -HUP "$server" && wait_for 'a message' has_text 'uses the new' \
        "$messages" && new_ports main || return 1
    [ "${ports[0]}" = "$tls" ] && [ -n "$old_serial" ] &&
        [ "$(serial)" != "$old_serial" ] &&
        [ "$(serial)" = "$(openssl x509 -noout -serial \
            -in "$certs/wrongname.pem")" ] &&
        at=127.0.0.3 get 301 "http://x:${ports[2]}/" &&
        ! curl -sS --noproxy '*' "http://[::1]:$redirect/" || return 1
    # Still the old process.
    kill -0 "$download" && downloaded || return 1
    gone_all() {
        local child
        for child in $before; do
            gone "$child" || return 1
        done
    }
    wait_for 'the end of the old processes' gone_all
}

# goproxy forgets the keys of old configurations, and files are closed.
nothing_left() {
    local before i
    count() { find "/proc/$server/fd" | wc -l; }
    stable() { [ "$(count)" = "$before" ]; }
    before=$(count)
    for i in {1..5}; do
        reloads() { [ "$(grep -c 'uses the new' "$messages")" = $((i + 1)) ]; }
        kill -HUP "$server" && wait_for "reload $i" reloads || return 1
    done
    wait_for 'descriptors' stable
}

ended() {
    cp "$tmp/good.conf" "$tmp/main.conf" && serve main || return 1
    tls=${ports[0]} a=https://a.test:${ports[0]}
    download && kill -TERM "$server" || return 1
    # The listeners are gone, the file still comes.
    closed() { ! (exec 5<>"/dev/tcp/127.0.0.1/$tls") 2>/dev/null; }
    wait_for 'closed ports' closed && kill -0 "$download" && downloaded &&
        wait_for 'the end' gone "$server" && wait "$server"
}

check 'SIGHUP with a broken configuration' refused_reload
check 'SIGHUP with another certificate and port' reloaded
check 'SIGHUP leaves nothing behind' nothing_left
stop "$server"
# In this shell: it waits for the server's status.
if ended >"$log" 2>&1; then
    ok 'SIGTERM waits for the end of a file'
else
    not_ok 'SIGTERM waits for the end of a file' "$log" "$messages"
fi

# --- a system where links cannot be followed safely ---

no_links() {
    paths && get 404 "$a/a/inside" && get 404 "$a/linked/index.html" &&
        get 403 "$a/linked/" && get 200 "$a/list/" &&
        ! grep -qE 'other|above|passwd' "$tmp/body"
}

under=("$WITHOUT_OPENAT2")
serve main
tls=${ports[0]} plain=${ports[1]} a=https://a.test:${ports[0]}
check 'no symbolic links without openat2' no_links
stop "$server"
under=()

# --- one process ---

alone() {
    [ -z "$(children "$server")" ] && get 404 "http://a.test:$plain/one" &&
        wait_for 'a line' has_text one "$tmp/alone.log" &&
        mv "$tmp/alone.log" "$tmp/alone.old" && kill -USR1 "$server" &&
        wait_for 'a new log' test -e "$tmp/alone.log" &&
        get 404 "http://a.test:$plain/two" &&
        wait_for 'a line' has_text two "$tmp/alone.log" &&
        ! grep -q two "$tmp/alone.old" || return 1
    # Who asks for nothing more is let go, without a word.
    raw 'HEAD / HTTP/1.1\r\nHost: x\r\n\r\n' &&
        [ "$(grep -c '^HTTP/1.1' "$tmp/raw")" = 1 ] || return 1
    # It keeps what it has where the new configuration is another kind.
    sed -i 's/prefork 0/prefork 1/' "$tmp/alone.conf"
    kill -HUP "$server" &&
        wait_for 'a message' has_text 'takes a restart' "$messages" &&
        get 200 "http://a.test:$plain/" || return 1
    sed -i 's/prefork 1/prefork 0/; s,/htdocs,&/b,; s/127.0.0.2/127.0.0.3/' \
        "$tmp/alone.conf"
    rm "$tmp/alone.port"
    kill -HUP "$server" &&
        wait_for 'a message' has_text 'uses the new' "$messages" &&
        new_ports alone &&
        at=127.0.0.3 get 200 "http://a.test:${ports[0]}/" && body_is b
}

# The second one waits until the first has gone.
one_client() {
    exec 6<>"/dev/tcp/127.0.0.2/$plain" || return 1
    curl -sS --noproxy '*' --max-time 1 "http://127.0.0.2:$plain/"
    [ $? = 28 ] || return 1
    exec 6>&-
    get 200 "http://a.test:$plain/"
}

rights='' conf alone <<END
prefork 0
max clients 1
server "*" {
    listen on 127.0.0.2 port 0
    root "$jail/htdocs"
    log access "$tmp/alone.log"
    connection timeout 1
}
END
serve alone
plain=${ports[0]}
check 'clients that have to wait' one_client
check 'one process' alone
stop "$server"

# --- TLS, client certificates ---

# What a.test's issuer says of it.
staple() {
    printf 'V\t491231235959Z\t\t%s\tunknown\t/CN=a.test\n' "$(openssl x509 \
        -in "$certs/a.test.pem" -noout -serial | cut -d = -f 2)" >"$tmp/index"
    openssl ocsp -index "$tmp/index" -rsigner "$certs/inter.pem" \
        -rkey "$certs/inter.key" -CA "$certs/inter.pem" \
        -issuer "$certs/inter.pem" -cert "$certs/a.test.pem" -ndays 2 \
        -respout "$tmp/staple" -noverify >/dev/null 2>&1
}
staple

conf clients <<END
prefork 1
server "a.test" {
    listen on 127.0.0.1 tls port 0
    root "$base/htdocs/a"
    log access "$tmp/clients.log"
    tls {
        certificate "$certs/a.test-chain.pem"; key "$certs/a.test.key"
        client ca "$certs/root.pem" crl "$certs/crl-none.pem"
        ocsp "$tmp/staple"
    }
}
server "www.b.test" {
    listen on 127.0.0.1 tls port 0
    root "$base/htdocs/b"
    log access "$tmp/clients.log"
    tls certificate "$certs/b.test-chain.pem"
    tls key "$certs/b.test.key"
}
server "revoked" {
    listen on 127.0.0.2 tls port 0
    block
    tls {
        certificate "$certs/a.test-chain.pem"; key "$certs/a.test.key"
        client ca "$certs/root.pem" crl "$certs/crl-client.pem" optional
    }
    location "/in" { require client certificate; pass; root "$base/htdocs" }
    location "/out" { pass; root "$base/htdocs" }
}
server "settings" {
    listen on 127.0.0.3 tls port 0
    block
    tls {
        certificate "$certs/rsa-chain.pem"; key "$certs/rsa.key"
        protocols "tlsv1.2"; ciphers "ECDHE-RSA-AES256-GCM-SHA384"
        ecdhe "P-384"; ticket lifetime 3600
    }
}
END
serve clients
tls=${ports[0]} a=https://a.test:$tls b=https://www.b.test:$tls
with=(--cert "$certs/client-chain.pem" --key "$certs/client.key")

required() {
    get 200 "$a/" "${with[@]}" && body_is a && get 403 "$a/" &&
        get 200 "$b/" && body_is b &&
        ! get 200 "$a/" --cert "$certs/other-client-chain.pem" \
            --key "$certs/other-client.key" &&
        wait_for 'a line' has_text CN=client "$tmp/clients.log" &&
        grep -qE 'a\.test TLSv1\.3 [^ ]+ "/C=XX/O=libtls-proxy tests/CN=client" SHA256:[0-9a-f]{64}$' \
            "$tmp/clients.log"
}

# A name in the handshake, and another in the request.
misdirected() {
    get 421 "$b/" -H 'Host: a.test' "${with[@]}" &&
        get 421 "$b/" -H 'Host: a.test' &&
        get 200 "$a/" -H 'Host: www.b.test' "${with[@]}" && body_is b
}

optional() {
    local c=https://revoked:${ports[1]}
    local at=127.0.0.2
    get 403 "$c/in" -k && get 404 "$c/out" -k &&
        ! get 404 "$c/in" -k "${with[@]}" &&
        wait_for 'a message' has_text revoked "$messages"
}

# No process has come to a bad end, but for the one that was killed.
sound() {
    local file
    for file in "$tmp"/[0-9]*.log; do
        ! grep -E 'has crashed|has failed|Sanitizer|definitely lost' "$file" ||
            return 1
    done
}

stapled() {
    openssl s_client -connect "127.0.0.1:$tls" -servername a.test -status \
        </dev/null 2>&1 | grep -q 'Cert Status: good' &&
        openssl s_client -connect "127.0.0.1:$tls" -servername www.b.test \
            -status </dev/null 2>&1 | grep -q 'OCSP response: no response'
}

# Debian's libtls has no tickets.
resumed() {
    ! ldd "$httpd" | grep -q 'libtls\.so\.33' ||
        "$@" </dev/null 2>&1 | grep -q '^Reused, TLSv1.2'
}

settings() {
    local to=(openssl s_client -connect "127.0.0.3:${ports[2]}")
    "${to[@]}" -sess_out "$tmp/session" </dev/null >"$tmp/first" 2>&1 &&
        grep -q '^New, TLSv1.2, Cipher is ECDHE-RSA-AES256-GCM-SHA384' \
            "$tmp/first" &&
        grep -qE '^(Server|Peer) Temp Key: ECDH, (P-384|secp384r1)' \
            "$tmp/first" &&
        resumed "${to[@]}" -sess_in "$tmp/session" && ! "${to[@]}" -tls1_3 </dev/null &&
        ! "${to[@]}" -cipher ECDHE-RSA-AES128-GCM-SHA256 </dev/null &&
        ! "${to[@]}" -curves X25519 </dev/null
}

check 'OCSP response' stapled
check 'protocols, ciphers, curves, tickets' settings
check 'client certificates' required
check 'a server that the handshake was not for' misdirected
check 'revoked client certificates' optional
stop "$server"
check 'ends of processes' sound

done_testing
