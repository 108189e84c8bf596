# SPDX-License-Identifier: ISC
# shellcheck shell=bash
# bash completion for tls-proxy-run(1): a program and what it takes.

_tls_proxy_run() {
    _command_offset 1
} && complete -F _tls_proxy_run tls-proxy-run
