// SPDX-License-Identifier: ISC

// Package testchannel reads the library's side of a data channel for tests.
package testchannel

import (
	"encoding/binary"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"libtls-proxy/goproxy/internal/channel"
	"libtls-proxy/goproxy/internal/wire"
)

// Frame reads the frame that opens a data channel, and nothing of what follows.
// It returns its message and descriptors, which are the caller's.
func Frame(t testing.TB, file *os.File) (wire.Message, channel.Fds) {
	t.Helper()
	raw, err := file.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var fds channel.Fds
	read := func(p []byte) {
		for len(p) > 0 {
			var n, oobn, flags int
			var oob [64]byte
			rerr := raw.Read(func(fd uintptr) bool {
				n, oobn, flags, err = channel.Recvmsg(int(fd), p, oob[:channel.OobSize()])
				return err != unix.EAGAIN
			})
			if rerr != nil || err != nil || n == 0 {
				t.Fatalf("no frame: %v, %v, %d", rerr, err, n)
			}
			got, err := channel.ParseFds(oob[:oobn], flags)
			if err != nil {
				t.Fatal(err)
			}
			fds = append(fds, got...)
			p = p[n:]
		}
	}
	var length [4]byte
	read(length[:])
	frame := make([]byte, binary.BigEndian.Uint32(length[:]))
	read(frame)
	m, err := wire.Decode("worker", "data", frame, len(fds))
	if err != nil {
		t.Fatal(err)
	}
	return m, fds
}
