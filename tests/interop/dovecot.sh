#!/bin/bash
# SPDX-License-Identifier: ISC
#
# STARTTLS with a real mail server: IMAP, POP3, ManageSieve and LMTP.

# Functions are called by name.
# shellcheck disable=SC2317
# shellcheck source=tests/interop/lib.bash
. "$(dirname "$0")/lib.bash"
PATH=$PATH:/usr/sbin
need dovecot
libexec=$(dovecot -a 2>/dev/null | sed -n 's/^login_executable = \(.*\)\/.*/\1/p')
protocols=imap
while read -r protocol program; do
    if [ -x "${libexec:-/usr/lib/dovecot}/$program" ]; then
        protocols+=" $protocol"
    else
        ok "skipped: no $program of Dovecot # SKIP"
    fi
done <<END
pop3 pop3-login
sieve managesieve-login
lmtp lmtp
END

# What Dovecot 2.4 names anew, with server's variables; its version has to be
# the first setting.
version_settings() {
    case $(dovecot --version) in
    2.[0-3].*)
        cat <<END
ssl_cert = <$dir/cert.pem
ssl_key = <$dir/key.pem
mail_location = maildir:$dir/mail/Maildir
passdb {
  driver = static
  args = password=secret
}
userdb {
  driver = static
  args = uid=$(id -u "$mail") gid=$(id -g "$mail") home=$dir/mail
}
END
        ;;
    *)
        cat <<END
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
ssl_server_cert_file = $dir/cert.pem
ssl_server_key_file = $dir/key.pem
mail_driver = maildir
mail_path = $dir/mail/Maildir
passdb static {
  passdb_static_password = secret
}
userdb static {
  fields {
    uid = $(id -u "$mail")
    gid = $(id -g "$mail")
    home = $dir/mail
  }
}
END
        ;;
    esac
}

# server KEY USER: as that user, who must not be root's business.
server() {
    local key=$1 user=$2 service
    local imap_port pop3_port sieve_port lmtp_port
    local dir=$tmp/$user-$key as=() login internal mail

    mkdir -p "$dir/mail/Maildir"
    cp "$TEST_CERTS/$key-chain.pem" "$dir/cert.pem"
    cp "$TEST_CERTS/$key.key" "$dir/key.pem"
    login=$user internal=$user mail=$user
    if [ "$user" = root ]; then
        login=dovenull internal=dovecot mail=nobody
    elif [ "$(id -u)" -eq 0 ]; then
        as=(setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups)
    fi
    if [ "$(id -u)" -eq 0 ]; then
        chmod 711 "$tmp"
        chown -R "$mail" "$dir"
    fi
    for _ in 1 2 3 4 5; do
        imap_port=$((20000 + RANDOM)) pop3_port=$((20000 + RANDOM))
        sieve_port=$((20000 + RANDOM)) lmtp_port=$((20000 + RANDOM))
        {
            version_settings
            cat <<END
protocols = $protocols
listen = 127.0.0.1
base_dir = $dir/run
state_dir = $dir/state
log_path = $dir/log
ssl = required
ssl_min_protocol = TLSv1.2
default_login_user = $login
default_internal_user = $internal
default_internal_group = $(id -gn "$internal")
first_valid_uid = 1
service imap-login {
  chroot =
  inet_listener imap {
    port = $imap_port
  }
  inet_listener imaps {
    port = 0
  }
}
service pop3-login {
  chroot =
  inet_listener pop3 {
    port = $pop3_port
  }
  inet_listener pop3s {
    port = 0
  }
}
service anvil {
  chroot =
}
END
            [[ $protocols != *sieve* ]] || cat <<END
service managesieve-login {
  chroot =
  inet_listener sieve {
    port = $sieve_port
  }
}
END
            [[ $protocols != *lmtp* ]] || cat <<END
service lmtp {
  inet_listener lmtp {
    port = $lmtp_port
  }
}
END
        } >"$dir/conf"
        start "${as[@]}" dovecot -F -c "$dir/conf"
        wait_for "dovecot to listen" ready_or_gone "$imap_port" "$pid"
        if ! gone "$pid"; then
            ports=([imap]=$imap_port [pop3]=$pop3_port
                [sieve]=$sieve_port [lmtp]=$lmtp_port)
            return 0
        fi
        # The port was somebody's: another one.
        wait "$pid"
    done
    for service in "$dir/log" "$tmp/$pid.log"; do
        sed 's/^/# /' "$service"
    done
    return 1
}

declare -A ports
ready_or_gone() { # PORT PID
    gone "$2" || (exec 5<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

client() { # PROTOCOL VERSION
    "$EXAMPLES/nc" -c -v -T "starttls=$1,protocols=tlsv$2" \
        -R "$TEST_CERTS/root.pem" localhost "${ports[$1]}" 2>"$tmp/nc.log" |
        tr -d '\r' >"$tmp/session"
    cat "$tmp/session" "$tmp/nc.log"
    grep -q "TLSv$2" "$tmp/nc.log"
}

said() { # TEXT...: each in a line of the session
    local text
    for text; do
        grep -q -e "$text" "$tmp/session" || return
    done
}

imap() { # VERSION
    printf 'a login test secret\r\nb select inbox\r\nc logout\r\n' |
        client imap "$1" &&
        said '^a OK .*Logged in' '^b OK ' '^c OK '
}

pop3() { # VERSION
    printf 'USER test\r\nPASS secret\r\nSTAT\r\nQUIT\r\n' |
        client pop3 "$1" &&
        said '^+OK Logged in' '^+OK 0 0' 'Logging out'
}

# Its capabilities come again, without STARTTLS.
sieve() { # VERSION
    printf '%s\r\n' "AUTHENTICATE \"PLAIN\" \"$(printf '\0test\0secret' |
        base64)\"" "PUTSCRIPT \"$1\" {5+}" 'keep;' LISTSCRIPTS LOGOUT |
        client sieve "$1" &&
        said '^"SIEVE"' '^OK "Logged in' '^OK "PUTSCRIPT' "^\"$1\"" \
            '^OK "Logout' &&
        ! said STARTTLS
}

lmtp() { # VERSION
    printf '%s\r\n' 'LHLO here' 'MAIL FROM:<>' 'RCPT TO:<test>' DATA \
        "Subject: over TLS $1" '' text . QUIT | client lmtp "$1" &&
        said '^250 2.0.0 <test> .*Saved' '^221 ' && ! said STARTTLS &&
        grep -rq "^Subject: over TLS $1" "$tmp/$user-$key/mail/Maildir/new"
}

users=("$(id -un)")
[ "$(id -u)" -ne 0 ] || users+=(nobody)
for user in "${users[@]}"; do
    for key in rsa ecdsa; do
        server $key "$user" || { not_ok "dovecot as $user, $key"; continue; }
        # LMTP last: the others find no mail.
        for protocol in $protocols; do
            for version in 1.2 1.3; do
                check "STARTTLS, $protocol, $key, TLS $version, as $user" \
                    "$protocol" $version
            done
            refused "STARTTLS, $protocol, and another name, $key, as $user" \
                'not present in server certificate' "$EXAMPLES/nc" -c \
                -T "starttls=$protocol" -R "$TEST_CERTS/root.pem" \
                -e elsewhere.test localhost "${ports[$protocol]}"
        done
        stop "$pid"
    done
done

# Plain text commands before TLS are no way around it.
httpd ecdsa
refused "STARTTLS and a server that is none" '' "$EXAMPLES/nc" -c \
    -T starttls=imap -w 5 \
    -R "$TEST_CERTS/root.pem" localhost "$port"

done_testing
