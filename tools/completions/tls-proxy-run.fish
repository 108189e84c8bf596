# SPDX-License-Identifier: ISC
complete -c tls-proxy-run -x -a '(__fish_complete_subcommand)'
