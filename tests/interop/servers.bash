# SPDX-License-Identifier: ISC
# Copyright (c) 2026 The libtls-proxy authors
# shellcheck shell=bash
# Variables are for the tests:
# shellcheck disable=SC2034,SC2154
#
# Servers of the system with a configuration of the test's own, in $tmp, on the
# loopback interface. Those that would not run as root run as nobody.

as=() owner=$(id -un)
if [ "$(id -u)" -eq 0 ]; then
    owner=nobody
    as=(setpriv --reuid nobody --regid "$(id -g nobody)" --clear-groups)
    chmod 711 "$tmp"
fi

# have PROGRAM: or the tests of NAME are skipped.
have() {
    PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null && return
    echo "ok skipped: no $1 # SKIP"
    return 1
}

# listens PID PORT: where only root may look into the process, one of this
# user has to do.
listens() {
    local inodes
    inodes=$(find "/proc/$1/fd" -printf '%l\n' 2>/dev/null |
        sed -n 's/socket:\[\(.*\)\]/\1/p' | paste -sd '|')
    awk -v inodes="^($inodes)\$" -v user="$(id -u)" \
        -v port="$(printf ':%04X$' "$2")" '
            $4 == "0A" && $2 ~ port &&
                (inodes == "^()$" ? $8 == user : $10 ~ inodes) { found = 1 }
            END { exit !found }' /proc/net/tcp
}

listens_or_gone() { # PID PORT
    gone "$1" || listens "$1" "$2"
}

# serve CONFIGURE COMMAND...: calls the function CONFIGURE with a port, until
# the command listens there; sets $port and $pid. Ports below those that the
# system gives to clients.
serve() {
    local configure=$1
    shift
    for _ in 1 2 3 4 5; do
        port=$((20000 + RANDOM % 12000))
        "$configure" "$port"
        start "$@"
        wait_for "$1 to listen" listens_or_gone "$pid" "$port"
        gone "$pid" || return 0
        # The port was somebody's: another one.
        wait "$pid"
    done
    sed 's/^/# /' "$tmp/$pid.log"
    return 1
}

# A directory for a server that runs as $owner, with a certificate.
server_directory() { # NAME KEY
    dir=$tmp/$1
    mkdir -p "$dir"
    cp "$TEST_CERTS/$2-chain.pem" "$dir/cert.pem"
    cp "$TEST_CERTS/$2.key" "$dir/key.pem"
    cp "$TEST_CERTS"/{root,inter}.pem "$dir"
    chown -R "$owner" "$dir"
}

# proftpd, as "$owner", with a user, test or $ftp_user, whose password is
# secret and home directory $files: proftpd -n -q -c "$dir/conf". It has chains in two files.
proftpd_conf() { # PORT
    local modules=/usr/lib/proftpd module load=
    # What is no module of this proftpd is in the program.
    for module in mod_xfer mod_ls mod_tls; do
        [ ! -e "$modules/$module.so" ] || load+="LoadModule $module.c"$'\n'
    done
    echo "${ftp_user:-test}:$(openssl passwd -6 secret):$(id -u "$owner"):$(id -g "$owner")::$files:/bin/false" \
        >"$dir/passwd"
    chmod 600 "$dir/passwd"
    chown "$owner" "$dir/passwd"
    cat >"$dir/conf" <<END
ModulePath $modules
$load
ServerName test
ServerType standalone
DefaultAddress 127.0.0.1
SocketBindTight on
Port $1
UseIPv6 off
User $owner
Group $(id -gn "$owner")
PidFile $dir/pid
ScoreboardFile $dir/scoreboard
<IfModule mod_delay.c>
    DelayTable none
</IfModule>
WtmpLog off
TransferLog none
SystemLog $dir/log
AuthOrder mod_auth_file.c
AuthUserFile $dir/passwd
RequireValidShell off
UseReverseDNS off
AllowOverwrite on
AllowStoreRestart on
TLSEngine on
TLSLog $dir/tls.log
TLSProtocol TLSv1.2 TLSv1.3
TLSRequired auth+data
TLSRSACertificateFile $dir/cert.pem
TLSCertificateChainFile $dir/inter.pem
TLSRSACertificateKeyFile $dir/key.pem
TLSVerifyClient off
END
}

# Postfix, which only runs as root, and its command in postfix.
postfix_directory() {
    libexec=$(postconf -d -h daemon_directory)
    mkdir -p "$dir/conf" "$dir/data" "$dir/queue"/{pid,private,public}
    chown postfix "$dir/data" "$dir/queue"/{private,public}
    chown root "$dir" "$dir/cert.pem" "$dir/key.pem" "$dir/queue"
    postfix=(env MAIL_CONFIG="$dir/conf" "$libexec/master" -c "$dir/conf" -d)
}

postfix_conf() { # PORT
    cat >"$dir/conf/main.cf" <<END
compatibility_level = 3.6
queue_directory = $dir/queue
data_directory = $dir/data
command_directory = /usr/sbin
daemon_directory = $libexec
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = localhost
mydestination =
local_recipient_maps =
alias_maps =
mynetworks =
smtpd_relay_restrictions = reject
smtpd_tls_security_level = encrypt
smtpd_forbid_unauth_pipelining = no
smtpd_tls_cert_file = $dir/cert.pem
smtpd_tls_key_file = $dir/key.pem
maillog_file = /dev/stdout
END
    cat >"$dir/conf/master.cf" <<END
127.0.0.1:$1 inet n - n - - smtpd
tlsmgr unix - - n - 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
END
}
