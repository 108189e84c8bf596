// SPDX-License-Identifier: ISC

package conn

import (
	"golang.org/x/sys/unix"

	"libtls-proxy/goproxy/internal/channel"
	"libtls-proxy/goproxy/internal/nowait"
	"libtls-proxy/goproxy/internal/wire"
)

// Decline answers START, whose descriptors stay the caller's, with FAILED: the
// network goes back, and nothing of it was read.
func Decline(fds channel.Fds, text string) {
	network := len(fds) / 2
	if network == 0 {
		return
	}
	decline(fds[network], fds[:network], text)
}

// DeclineEngine does so with ENGINE, which brings no network.
func DeclineEngine(fds channel.Fds, text string) { decline(fds[0], nil, text) }

func decline(data int, network channel.Fds, text string) {
	if channel.CheckSocket(data, unix.SOCK_STREAM) != nil {
		return
	}
	frame, err := wire.EncodeFrame(&wire.Failed{Error: "handshake failed: " + text})
	if err != nil {
		return
	}
	var rights []byte
	if len(network) > 0 {
		rights = unix.UnixRights(network...)
	}
	// Who does not wait for the answer does not need it.
	_, _ = nowait.Sendmsg(data, frame, rights)
}
