// SPDX-License-Identifier: ISC

package channel

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"libtls-proxy/goproxy/internal/nowait"
	"libtls-proxy/goproxy/internal/wire"
)

// ends returns a channel and the descriptor of its other end.
func ends(t *testing.T) (*Conn, int) {
	t.Helper()
	c, fd, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); unix.Close(fd) })
	return c, fd
}

func countFds(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func send(t *testing.T, fd int, p []byte, fds ...int) {
	t.Helper()
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	if err := unix.Sendmsg(fd, p, oob, nil, 0); err != nil {
		t.Fatal(err)
	}
}

func TestRecv(t *testing.T) {
	c, fd := ends(t)
	send(t, fd, []byte("hello"))
	b, fds, err := c.Recv()
	if string(b) != "hello" || len(fds) != 0 || err != nil {
		t.Errorf("%q, %v, %v", b, fds, err)
	}
	send(t, fd, bytes.Repeat([]byte("x"), wire.MaxMessage), 0, 1, 2, 0)
	b, fds, err = c.Recv()
	if len(b) != wire.MaxMessage || len(fds) != 4 || err != nil {
		t.Errorf("%d bytes, %v, %v", len(b), fds, err)
	}
	for _, fd := range fds {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("descriptor %d is not close-on-exec", fd)
		}
	}
	before := countFds(t)
	taken := fds.Take(2)
	fds.Close()
	fds.Close()
	if after := countFds(t); after != before-3 {
		t.Errorf("%d descriptors, %d before", after, before)
	}
	unix.Close(taken)
}

// A message that comes right before the end is not taken for the end, which
// Linux does where both come while it looks.
func TestLastMessage(t *testing.T) {
	type round struct {
		c     *Conn
		fd    int
		start atomic.Bool
	}
	rounds := make(chan *round)
	defer close(rounds)
	go func() {
		for r := range rounds {
			r.start.Store(true)
			_ = unix.Sendmsg(r.fd, []byte("last"), nil, nil, 0)
			unix.Close(r.fd)
		}
	}()
	for i := range 20000 {
		r := new(round)
		var err error
		if r.c, r.fd, err = Pair(); err != nil {
			t.Fatal(err)
		}
		rounds <- r
		// So that Recv looks at another moment each time.
		for n := 0; !r.start.Load() || n < i%500; n++ {
		}
		b, _, err := r.c.Recv()
		if string(b) != "last" || err != nil {
			t.Fatalf("round %d: %q, %v", i, b, err)
		}
		r.c.Close()
	}
}

// Every message that is refused takes its descriptors with it.
func TestRecvErrors(t *testing.T) {
	many := make([]int, maxFds+1)
	for _, tt := range []struct {
		name string
		send func(fd int)
		want error
	}{
		{"too long", func(fd int) { send(t, fd, make([]byte, wire.MaxMessage+1), 1, 2) }, errTruncated},
		{"much too long", func(fd int) { send(t, fd, make([]byte, wire.MaxMessage+1000), 1, 2) }, errTruncated},
		{"nothing but descriptors", func(fd int) {
			_, _ = nowait.Sendmsg(fd, nil, unix.UnixRights(1, 2))
			send(t, fd, []byte("x"))
		}, io.EOF},
		{"too many descriptors", func(fd int) { send(t, fd, []byte("x"), many...) }, errTruncated},
		{"end", func(fd int) { _ = unix.Shutdown(fd, unix.SHUT_RDWR) }, io.EOF},
	} {
		c, fd := ends(t)
		before := countFds(t)
		tt.send(fd)
		b, fds, err := c.Recv()
		if b != nil || fds != nil && countFds(t) != before || err != tt.want {
			t.Errorf("%s: %d bytes, %v, %v", tt.name, len(b), fds, err)
		}
		if after := countFds(t); after != before {
			t.Errorf("%s: %d descriptors, %d before", tt.name, after, before)
		}
	}
}

// The buffers that messages are received in are used again, for any channel.
func TestNothingStaysInBuffers(t *testing.T) {
	c, fd := ends(t)
	for _, p := range [][]byte{[]byte("secret"), append([]byte("secret"), make([]byte, wire.MaxMessage)...)} {
		send(t, fd, p)
		if b, _, err := c.Recv(); err == nil && string(b) != "secret" {
			t.Fatalf("%q", b)
		}
		p := packets.Get().(*packet)
		if bytes.Contains(p.data[:], []byte("secret")) {
			t.Error("the message is still there")
		}
		packets.Put(p)
	}
}

func TestExhausted(t *testing.T) {
	c, fd := ends(t)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	before := countFds(t)
	send(t, fd, []byte("x"), 0, 1, 2)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	b, fds, err := c.Recv()
	if e := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); e != nil {
		t.Fatal(e)
	}
	if string(b) != "x" || len(fds) != 0 || !errors.Is(err, ErrExhausted) {
		t.Errorf("%q, %v, %v", b, fds, err)
	}
	if after := countFds(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
	// The channel is as good as before.
	send(t, fd, []byte("y"), 0)
	b, fds, err = c.Recv()
	if string(b) != "y" || len(fds) != 1 || err != nil {
		t.Errorf("%q, %v, %v", b, fds, err)
	}
	fds.Close()
}

// Close wakes who waits.
func TestClose(t *testing.T) {
	c, _ := ends(t)
	done := make(chan error)
	go func() {
		_, _, err := c.Recv()
		done <- err
	}()
	c.Close()
	if err := <-done; err == nil {
		t.Error("no error")
	}
	if err := c.Send(&wire.Drain{}); err == nil {
		t.Error("no error")
	}
}

func TestSendTooLong(t *testing.T) {
	c, _ := ends(t)
	if err := c.Send(&wire.Sign{Message: make([]byte, wire.MaxMessage)}); err == nil {
		t.Error("no error")
	}
}

func TestNewRefuses(t *testing.T) {
	for _, typ := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM} {
		p, err := unix.Socketpair(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		before := countFds(t)
		if _, err := New(p[0]); err == nil {
			t.Errorf("type %d is accepted", typ)
		}
		if err := Reply(p[1], &wire.Drain{}); err == nil {
			t.Errorf("reply on type %d", typ)
		}
		if after := countFds(t); after != before-2 {
			t.Errorf("type %d: %d descriptors, %d before", typ, after, before)
		}
	}
	if _, err := New(-1); err == nil {
		t.Error("no descriptor is accepted")
	}
}

func TestReply(t *testing.T) {
	c, fd := ends(t)
	end, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := Reply(end, &wire.CloseReply{Ending: 1}, 0); err != nil {
		t.Fatal(err)
	}
	b, fds, err := c.Recv()
	if err != nil {
		t.Fatal(err)
	}
	defer fds.Close()
	if _, err := wire.Decode("worker", "reply", b, len(fds)); err != nil {
		t.Error(err)
	}
}

func TestHangup(t *testing.T) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(p[0])
	if Hangup(p[0]) {
		t.Error("open socket has hung up")
	}
	if err := unix.Shutdown(p[1], unix.SHUT_WR); err != nil {
		t.Fatal(err)
	}
	if Hangup(p[0]) {
		t.Error("half-closed socket has hung up")
	}
	unix.Close(p[1])
	if !Hangup(p[0]) {
		t.Error("closed socket has not hung up")
	}
}
