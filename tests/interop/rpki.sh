#!/bin/bash
# SPDX-License-Identifier: ISC
# Copyright (c) 2026 The libtls-proxy authors
#
# rpki-client, linked against another libtls, synchronizes with a repository of
# routing certificates that nginx serves, and validates what is in it. Started
# as root it becomes its own user before it speaks TLS.

# Functions are called by name.
# shellcheck disable=SC2317
# shellcheck source=tests/interop/lib.bash
. "$(dirname "$0")/lib.bash"
need openssl nginx python3 rpki-client

user=
if [ "$(id -u)" -eq 0 ]; then
    user=_rpki-client
    # shellcheck disable=SC2016 # The inner shell expands it.
    if ! setpriv --reuid=$user --regid=$user --clear-groups "$run" \
        sh -c 'test -x "${LIBTLS_PROXY_LIBEXEC:-/}"'; then
        echo "skipped: $user cannot reach goproxy"
        failed=77
        done_testing
    fi
fi
system_ca
if ! $with_our_ca true 2>/dev/null; then
    echo 'skipped: no mount namespace'
    failed=77
    done_testing
fi

repo=rsync://localhost/repo
rpki=$tmp/rpki
mkdir -p "$rpki" "$tmp/root"
start_nginx || not_ok 'nginx starts' "$tmp/$nginx.log"
https=https://localhost:$nginx_port

cat >"$rpki/conf" <<END
[ca]
default_ca = c
[c]
database = $rpki/index
new_certs_dir = $rpki
rand_serial = yes
crlnumber = $rpki/crlnumber
default_md = sha256
default_days = 7
default_crl_days = 7
policy = p
crl_extensions = crl
[p]
commonName = supplied
[crl]
authorityKeyIdentifier = keyid
[ta]
subjectKeyIdentifier = hash
certificatePolicies = critical,1.3.6.1.5.5.7.14.2
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
sbgp-ipAddrBlock = critical,IPv4:192.0.2.0/24
sbgp-autonomousSysNum = critical,AS:64496
subjectInfoAccess = 1.3.6.1.5.5.7.48.5;URI:$repo/, \\
    1.3.6.1.5.5.7.48.10;URI:$repo/ta.mft, \\
    1.3.6.1.5.5.7.48.13;URI:$https/notification.xml
[mft]
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
certificatePolicies = critical,1.3.6.1.5.5.7.14.2
keyUsage = critical,digitalSignature
crlDistributionPoints = URI:$repo/ta.crl
authorityInfoAccess = caIssuers;URI:$repo/ta.cer
subjectInfoAccess = 1.3.6.1.5.5.7.48.11;URI:$repo/ta.mft
sbgp-ipAddrBlock = critical,IPv4:inherit
sbgp-autonomousSysNum = critical,AS:inherit
[roa]
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
certificatePolicies = critical,1.3.6.1.5.5.7.14.2
keyUsage = critical,digitalSignature
crlDistributionPoints = URI:$repo/ta.crl
authorityInfoAccess = caIssuers;URI:$repo/ta.cer
subjectInfoAccess = 1.3.6.1.5.5.7.48.11;URI:$repo/test.roa
sbgp-ipAddrBlock = critical,IPv4:192.0.2.0/24
END

# certificate NAME: and its key.
certificate() {
    local sign=(-cert "$rpki/ta.pem" -keyfile "$rpki/ta.key")
    [ "$1" != ta ] || sign=(-selfsign -keyfile "$rpki/ta.key")
    openssl req -new -newkey rsa:2048 -nodes -keyout "$rpki/$1.key" \
        -subj "/CN=$1" -out "$rpki/csr" &&
        openssl ca -batch -notext -config "$rpki/conf" -extensions "$1" \
            "${sign[@]}" -in "$rpki/csr" -out "$rpki/$1.pem"
}

# signed NAME TYPE: NAME.der, signed by NAME's key, is NAME.cms.
signed() {
    openssl cms -sign -binary -nodetach -keyid -nosmimecap -md sha256 \
        -econtent_type "1.2.840.113549.1.9.16.1.$2" -signer "$rpki/$1.pem" \
        -inkey "$rpki/$1.key" -in "$rpki/$1.der" -outform DER \
        -out "$rpki/$1.cms"
}

# der NAME: NAME.der from what stands in the input.
der() {
    openssl asn1parse -genconf /dev/stdin -noout -out "$rpki/$1.der"
}

sha256() {
    sha256sum "$1" | cut -d ' ' -f 1
}

utc() {
    date -u -d "$1" +%Y%m%d%H%M%SZ
}

publish() { # NAME FILE
    echo "<publish uri=\"$repo/$1\">$(base64 -w 0 "$2")</publish>"
}

rrdp='xmlns="http://www.ripe.net/rpki/rrdp" version="1"
    session_id="9df4b597-af9e-4dca-bdda-719cce2c4e28" serial="1"'

# 192.0.2.0/24 may be announced by AS 64496.
repository() {
    : >"$rpki/index"
    echo 01 >"$rpki/crlnumber"
    certificate ta && certificate mft && certificate roa || return
    openssl ca -config "$rpki/conf" -gencrl -cert "$rpki/ta.pem" \
        -keyfile "$rpki/ta.key" -out "$rpki/crl.pem" &&
        openssl crl -in "$rpki/crl.pem" -outform DER -out "$rpki/ta.crl" &&
        openssl x509 -in "$rpki/ta.pem" -outform DER -out "$tmp/root/ta.cer" ||
        return
    der roa <<'END' || return
asn1 = SEQUENCE:roa
[roa]
as = INTEGER:64496
blocks = SEQUENCE:blocks
[blocks]
ipv4 = SEQUENCE:ipv4
[ipv4]
family = FORMAT:HEX,OCTETSTRING:0001
addresses = SEQUENCE:addresses
[addresses]
address = SEQUENCE:address
[address]
prefix = FORMAT:HEX,BITSTRING:C00002
END
    signed roa 24 || return
    der mft <<END || return
asn1 = SEQUENCE:manifest
[manifest]
number = INTEGER:1
from = GENERALIZEDTIME:$(utc '-1 hour')
until = GENERALIZEDTIME:$(utc '+1 day')
hash = OID:2.16.840.1.101.3.4.2.1
files = SEQUENCE:files
[files]
crl = SEQUENCE:crl
roa = SEQUENCE:roa
[crl]
name = IA5STRING:ta.crl
hash = FORMAT:HEX,BITSTRING:$(sha256 "$rpki/ta.crl")
[roa]
name = IA5STRING:test.roa
hash = FORMAT:HEX,BITSTRING:$(sha256 "$rpki/roa.cms")
END
    signed mft 26 || return
    {
        echo "<snapshot $rrdp>"
        publish ta.crl "$rpki/ta.crl"
        publish ta.mft "$rpki/mft.cms"
        publish test.roa "$rpki/roa.cms"
        echo '</snapshot>'
    } >"$tmp/root/snapshot.xml"
    cat >"$tmp/root/notification.xml" <<END
<notification $rrdp>
<snapshot uri="$https/snapshot.xml" hash="$(sha256 "$tmp/root/snapshot.xml")"/>
</notification>
END
    {
        echo "$https/ta.cer"
        echo
        openssl x509 -in "$rpki/ta.pem" -noout -pubkey | sed '/^-/d'
    } >"$tmp/test.tal"
}
check 'a repository is made' repository

# What it had is forgotten.
synchronize() { # COMMAND...
    rm -rf "$tmp/cache" "$tmp/out"
    mkdir "$tmp/cache" "$tmp/out"
    [ -z "$user" ] || chown "$user" "$tmp/cache" "$tmp/out"
    "$@" rpki-client -v -c -e false -t "$tmp/test.tal" -d "$tmp/cache" \
        "$tmp/out"
}
chmod -R a+rX "$tmp/root"
# Words are split.
# shellcheck disable=SC2086
{
    check 'rpki-client synchronizes' synchronize $with_our_ca "$run"
    check 'rpki-client has validated the announcement' \
        grep -q '^AS64496,192.0.2.0/24,24,test,' "$tmp/out/csv"
    attempt synchronize "$run"
}
if grep -qi 'certificate verif' "$log" && ! grep -q '^AS6' "$tmp/out/csv"; then
    ok 'rpki-client distrusts our CA'
else
    not_ok 'rpki-client distrusts our CA' "$log"
fi

done_testing
