# SPDX-License-Identifier: ISC
complete -c tls-proxy-status -f -a '(__fish_complete_pids)'
complete -c tls-proxy-status -s j -l json -d 'Print JSON'
complete -c tls-proxy-status -l help -d 'Print the usage'
complete -c tls-proxy-status -l version -d 'Print the version'
