#!/bin/bash
# SPDX-License-Identifier: ISC
#
# Runs test programs as an ordinary user, where root runs the tests:
#
#     as-user.sh PROGRAM...

set -eu
: "${TEST_CERTS:?}" "${LIBTLS_PROXY_LIBEXEC:?}"
user=(setpriv --reuid=65534 --regid=65534 --clear-groups)

if [ "$(id -u)" -ne 0 ]; then
    echo 'only root can become another user'
    exit 77
fi
if ! "${user[@]}" test -x "$(realpath "$1")"; then
    echo 'no other user can reach the build directory'
    exit 77
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
# The keys are readable by their owner alone.
cp -R "$TEST_CERTS" "$tmp/certs"
chown -R 65534:65534 "$tmp"
export TEST_CERTS=$tmp/certs
status=0
for program; do
    "${user[@]}" "$program" || status=1
done
exit $status
