# SPDX-License-Identifier: ISC
# Copyright (c) 2026 The libtls-proxy authors
#
# Read by the other scripts: goes to the top of the tree and puts the tools
# that scripts/setup installs in PATH.
# shellcheck shell=sh
# shellcheck disable=SC2034 # they use the variables

go_wanted=1.26.8
staticcheck_wanted=v0.8.2

cd "$(dirname "$0")/.." || exit 1
# Servers are there, which is not in the PATH of every user.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
tools=${XDG_CACHE_HOME:-$HOME/.cache}/libtls-proxy
# Messages are compared, file names sorted.
export LC_ALL=C.UTF-8

# Is the Go in PATH new enough to build goproxy?
have_go() {
    version=$(go env GOVERSION 2>/dev/null) &&
        [ "$(printf '%s\n' go1.26 "$version" | sort -V | head -n 1)" = go1.26 ]
}

# The toolchain as a module of the Go module proxy, and where go keeps it.
go_toolchain() {
    case $(uname -m) in
    x86_64) arch=amd64 ;;
    aarch64) arch=arm64 ;;
    *) arch=$(uname -m) ;;
    esac
    echo "golang.org/toolchain@v0.0.1-go$go_wanted.linux-$arch"
}

# Puts a Go that is new enough in PATH, if there is one.
use_go() {
    for dir in /usr/local/go/bin \
        "$(go env GOMODCACHE 2>/dev/null)/$(go_toolchain)/bin"; do
        if have_go; then
            return 0
        fi
        PATH=$dir:$PATH
    done
    have_go
}

# Installs what is missing for one of the purposes that scripts/setup knows.
setup() {
    scripts/setup "$1" && use_go
}
