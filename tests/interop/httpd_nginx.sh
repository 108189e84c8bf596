#!/bin/bash
# SPDX-License-Identifier: ISC
# Copyright (c) 2026 The libtls-proxy authors
#
# The same files and the same requests: nginx and httpd answer alike, as far as
# RFC 9110 leaves them no choice.

# Functions are called by name.
# shellcheck disable=SC2317
# shellcheck source=tests/interop/lib.bash
. "$(dirname "$0")/lib.bash"
need curl nginx python3

mkdir -p "$tmp/root/dir" "$tmp/nginx"
seq 20000 | head -c 100000 >"$tmp/root/file.txt"
: >"$tmp/root/empty.txt"
echo index >"$tmp/root/index.html"
echo index >"$tmp/root/dir/index.html"
touch -d '2020-01-02 03:04:05 UTC' "$tmp/root/file.txt"
chmod 755 "$tmp" && chmod -R a+rX "$tmp/root"

# ask NAME PORT PATH [OPTION...]: status, the fields that matter and the body,
# with the validators' values and boundaries left out, which are its own.
ask() {
    local name=$1 address=https://localhost:$2$3
    shift 3
    curl -sS --noproxy '*' --cacert "$TEST_CERTS/root.pem" --path-as-is \
        --max-time "$limit" -D "$tmp/$name.head" -o "$tmp/$name.body" \
        "$@" "$address" || return 1
    sed 's/\r$//' "$tmp/$name.head" | sed -n \
        -e 's/^HTTP[^ ]* \([0-9]*\).*/\1/p' -e '/^Content-Range: /p' \
        -e '/^Last-Modified: /p' -e '/^Content-Length: /p' \
        -e 's/^ETag: .*/ETag/p' -e 's/^\(Location: \).*:\/\/[^/]*/\1/p' \
        -e '/^Location: \//p' -e 's/; boundary=.*/; boundary/' \
        -e '/^Content-Type: multipart/p' |
        sort >"$tmp/$name.answer"
    if grep -q '^2' "$tmp/$name.answer" && [[ " $* " != *' -I '* ]]; then
        sed -e 's/^--[0-9a-f]*\(-*\)\r$/--boundary\1\r/' \
            -e 's/^Content-Type: text\/plain.*/type/' "$tmp/$name.body" |
            cksum >>"$tmp/$name.answer"
    fi
    # Others have a page that says the same in other words.
    if ! grep -q '^2' "$tmp/$name.answer" ||
        grep -q ^Content-Type "$tmp/$name.answer"; then
        sed -i '/^Content-Length: /d' "$tmp/$name.answer"
    fi
}

# alike PATH [OPTION...]
alike() {
    ask nginx "$nginx_port" "$@" && ask httpd "$port" "$@" &&
        diff -u "$tmp/nginx.answer" "$tmp/httpd.answer"
}

# with_etag BEFORE AFTER OPTION...: a field with each server's own entity tag.
with_etag() {
    local before=$1 after=$2 server p etag
    shift 2
    for server in nginx httpd; do
        p=$port
        [ "$server" = httpd ] || p=$nginx_port
        ask "$server" "$p" /file.txt || return 1
        etag=$(sed -n 's/^ETag: \(.*\)\r$/\1/p' "$tmp/$server.head")
        ask "$server" "$p" /file.txt -H "$before$etag$after" "$@" || return 1
    done
    diff -u "$tmp/nginx.answer" "$tmp/httpd.answer"
}

start_nginx || not_ok nginx "$tmp/$nginx.log"
httpd ecdsa || not_ok httpd "$tmp/$pid.log"

date='Thu, 02 Jan 2020 03:04:05 GMT'
before='Thu, 02 Jan 2020 03:04:04 GMT'
after='Thu, 02 Jan 2020 03:04:06 GMT'
file=/file.txt
n=0
while IFS='|' read -r path options; do
    [ -n "$path" ] || continue
    declare -a list=()
    eval "list=($options)"
    n=$((n + 1))
    check "$path $options" alike "$path" "${list[@]}"
done <<END
/|
/dir|
/dir/|
/missing|
/file.txt/|
/dir/../file.txt|
/%66ile.txt?query|
/%zz|
/|-X POST -d body
/|-X DELETE
/empty.txt|
$file|
$file|-I
$file|-H 'Range: bytes=0-0'
$file|-H 'Range: bytes=0-99'
$file|-H 'Range: bytes=99990-'
$file|-H 'Range: bytes=-10'
$file|-H 'Range: bytes=-1000000'
$file|-H 'Range: bytes=99999-200000'
$file|-H 'Range: bytes=100000-'
$file|-H 'Range: bytes=200000-300000'
$file|-H 'Range: bytes=-0'
$file|-H 'Range: lines=1-2'
$file|-I -H 'Range: bytes=0-9'
$file|-H 'Range: bytes=0-9,20-29'
$file|-H 'Range: bytes=0-9, 20-29 ,-5'
$file|-H 'Range: bytes=0-9,200000-300000'
$file|-H 'Range: bytes=200000-300000,400000-'
$file|-H 'Range: bytes=0-99999,0-99999,0-99999'
$file|-H 'If-Modified-Since: $date'
$file|-H 'If-Modified-Since: $before'
$file|-H 'If-Modified-Since: $after'
$file|-H 'If-Modified-Since: nonsense'
$file|-I -H 'If-Modified-Since: $date'
$file|-H 'If-Unmodified-Since: $date'
$file|-H 'If-Unmodified-Since: $before'
$file|-H 'If-Unmodified-Since: $after'
$file|-H 'If-None-Match: *'
$file|-H 'If-None-Match: "x"'
$file|-H 'If-None-Match: "x"' -H 'If-Modified-Since: $date'
$file|-H 'If-Match: *'
$file|-H 'If-Match: "x"'
$file|-H 'If-Match: "x"' -H 'Range: bytes=0-1'
$file|-H 'If-Range: $date' -H 'Range: bytes=0-1'
$file|-H 'If-Range: $before' -H 'Range: bytes=0-1'
$file|-H 'If-Range: "x"' -H 'Range: bytes=0-1'
$file|-H 'If-Modified-Since: $date' -H 'Range: bytes=0-1'
/|--http1.0
END
check 'If-None-Match' with_etag 'If-None-Match: ' ''
check 'If-None-Match, one of several' with_etag 'If-None-Match: "a", ' ', "b"'
check 'If-None-Match, weak' with_etag 'If-None-Match: W/' ''
check 'If-Match' with_etag 'If-Match: ' ''
check 'If-Range' with_etag 'If-Range: ' '' -H 'Range: bytes=5-9'
check "$n requests" test "$n" -ge 45

done_testing
