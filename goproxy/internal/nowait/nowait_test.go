// SPDX-License-Identifier: ISC

package nowait

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"
)

func pair(t *testing.T) [2]int {
	t.Helper()
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Close(p[0])
		unix.Close(p[1])
	})
	return p
}

func TestMessages(t *testing.T) {
	p := pair(t)
	b := make([]byte, 16)
	oob := make([]byte, unix.CmsgSpace(4))
	if n, _, _, err := Recvmsg(p[1], b, nil, 0); err != unix.EAGAIN || n != 0 {
		t.Fatalf("nothing there: %d, %v", n, err)
	}
	if n, err := Sendmsg(p[0], []byte("one"), unix.UnixRights(p[0])); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	if events, err := Poll(p[1], unix.POLLIN); events != unix.POLLIN || err != nil {
		t.Fatal(events, err)
	}
	for _, flags := range []int{unix.MSG_PEEK | unix.MSG_CMSG_CLOEXEC, unix.MSG_CMSG_CLOEXEC} {
		n, oobn, _, err := Recvmsg(p[1], b, oob, flags)
		if err != nil || string(b[:n]) != "one" || oobn == 0 {
			t.Fatal(n, oobn, err)
		}
		m, err := unix.ParseSocketControlMessage(oob[:oobn])
		if err != nil {
			t.Fatal(err)
		}
		fds, err := unix.ParseUnixRights(&m[0])
		if err != nil || len(fds) != 1 {
			t.Fatal(fds, err)
		}
		Close(fds[0])
		if _, err := Fcntl(fds[0], unix.F_GETFD, 0); err != unix.EBADF {
			t.Errorf("closed: %v", err)
		}
	}
	parts := [][]byte{[]byte("a"), nil, []byte("bc")}
	if n, err := Sendv(p[0], parts); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	if n, _, _, err := Recvmsg(p[1], b, nil, 0); err != nil || !bytes.Equal(b[:n], []byte("abc")) {
		t.Fatal(n, err)
	}
	if err := Shutdown(p[0], unix.SHUT_WR); err != nil {
		t.Fatal(err)
	}
	if n, _, _, err := Recvmsg(p[1], b, nil, 0); n != 0 || err != nil {
		t.Errorf("end of file: %d, %v", n, err)
	}
	if err := Shutdown(p[1], unix.SHUT_RD); err != nil {
		t.Fatal(err)
	}
	if _, err := Sendmsg(p[0], []byte("x"), nil); err != unix.EPIPE {
		t.Errorf("after the end: %v", err)
	}
}

// More parts than go at once are a part of them all.
func TestManyParts(t *testing.T) {
	p := pair(t)
	parts := make([][]byte, maxParts+1)
	for i := range parts {
		parts[i] = []byte{byte(i)}
	}
	if n, err := Sendv(p[0], parts); n != maxParts || err != nil {
		t.Error(n, err)
	}
}

func TestOptions(t *testing.T) {
	p := pair(t)
	if typ, err := Getsockopt(p[0], unix.SOL_SOCKET, unix.SO_TYPE); typ != unix.SOCK_STREAM || err != nil {
		t.Error(typ, err)
	}
	if err := Setsockopt(p[0], unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1); err != nil {
		t.Error(err)
	}
	if on, err := Getsockopt(p[0], unix.SOL_SOCKET, unix.SO_KEEPALIVE); on != 1 || err != nil {
		t.Error(on, err)
	}
	if err := Setsockopt(p[0], unix.SOL_SOCKET, -1, 1); err != unix.ENOPROTOOPT {
		t.Error(err)
	}
	if _, err := Getsockopt(-1, unix.SOL_SOCKET, unix.SO_TYPE); err != unix.EBADF {
		t.Error(err)
	}
}

func TestNoMemory(t *testing.T) {
	p := pair(t)
	b := []byte("x")
	if n := testing.AllocsPerRun(100, func() {
		_, _ = Sendmsg(p[0], b, nil)
		_, _ = Poll(p[1], unix.POLLIN)
		_, _, _, _ = Recvmsg(p[1], b, nil, 0)
		_, _, _, _ = Recvmsg(p[1], b, nil, 0)
	}); n != 0 {
		t.Errorf("%g allocations", n)
	}
}
