# SPDX-License-Identifier: ISC
# shellcheck shell=bash
# bash completion for tls-proxy-status(1)

_tls_proxy_status() {
    local cur=${COMP_WORDS[COMP_CWORD]} words
    if [[ $cur == -* ]]; then
        words='-j --json --help --version'
    else
        # The processes that it could look into.
        words=$(ps -u "$(id -u)" -o pid=)
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
} && complete -F _tls_proxy_status tls-proxy-status
