// SPDX-License-Identifier: ISC

// Package channel sends and receives messages with descriptors. It knows
// nothing of what they mean.
package channel

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"libtls-proxy/goproxy/internal/nowait"
	"libtls-proxy/goproxy/internal/wire"
)

var (
	errTruncated = errors.New("channel: message was truncated")

	// ErrExhausted means that the descriptors of a message were lost
	// because this process has none left. The channel is as good as before.
	ErrExhausted = errors.New("channel: no descriptors left")

	// ErrStopped means that StopRecv was called.
	ErrStopped = os.ErrDeadlineExceeded
)

// A Conn is one end of an AF_UNIX, SOCK_SEQPACKET socket.
type Conn struct {
	file *os.File
	raw  syscall.RawConn
	send sync.Mutex
}

// New takes the descriptor over, and closes it if it is not what it should
// be.
func New(fd int) (*Conn, error) {
	if err := CheckSocket(fd, unix.SOCK_SEQPACKET); err != nil {
		unix.Close(fd)
		return nil, err
	}
	unix.CloseOnExec(fd)
	// Nobody but goproxy holds this end, so its flags are ours.
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "channel")
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, err
	}
	return &Conn{file: file, raw: raw}, nil
}

// Pair returns the two ends of a new channel, the second as a descriptor that
// can be sent.
func Pair() (*Conn, int, error) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, -1, err
	}
	c, err := New(p[0])
	if err != nil {
		unix.Close(p[1])
		return nil, -1, err
	}
	return c, p[1], nil
}

// CheckSocket returns an error unless fd is an AF_UNIX socket of that type.
func CheckSocket(fd, typ int) error {
	domain, err := nowait.Getsockopt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return fmt.Errorf("channel: %w", err)
	}
	t, err := nowait.Getsockopt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return fmt.Errorf("channel: %w", err)
	}
	if domain != unix.AF_UNIX || t != typ {
		return fmt.Errorf("channel: socket of domain %d and type %d", domain, t)
	}
	return nil
}

// Close closes this end, and wakes who waits in Recv.
func (c *Conn) Close() error { return c.file.Close() }

// StopRecv makes Recv, now and from now on, return ErrStopped instead of
// waiting or receiving, or takes that back.
func (c *Conn) StopRecv(stop bool) {
	var deadline time.Time
	if stop {
		deadline = time.Unix(1, 0)
	}
	// Fails for what is closed, where Recv returns anyway.
	_ = c.file.SetReadDeadline(deadline)
}

type packet struct {
	data [wire.MaxMessage + 1]byte
	oob  [256]byte
}

var packets = sync.Pool{New: func() any { return new(packet) }}

// Recv waits for a message. io.EOF means that the other end is closed. With
// ErrExhausted comes the message without its descriptors.
func (c *Conn) Recv() ([]byte, Fds, error) {
	var msg []byte
	var fds Fds
	var err error
	waitErr := c.raw.Read(func(fd uintptr) bool {
		p := packets.Get().(*packet)
		var n, oobn, flags int
		defer func() {
			// There may be a password in it.
			clear(p.data[:max(n, 0)])
			packets.Put(p)
		}()
		look := func() { n, oobn, flags, err = Recvmsg(int(fd), p.data[:], p.oob[:OobSize()]) }
		look()
		if err == unix.ECONNRESET {
			// The other end closed without having read everything.
			// That is told once, and before what it had sent.
			look()
		}
		if n == 0 && oobn == 0 && err == nil {
			// Linux looks into the queue first, and then whether
			// the other end is closed: a message that comes in
			// between is missed, and the end is one only the
			// second time.
			look()
		}
		if err == unix.EAGAIN {
			return false
		}
		if err != nil {
			return true
		}
		if fds, err = ParseFds(p.oob[:oobn], flags); err != nil && err != ErrExhausted {
			return true
		}
		switch {
		case flags&unix.MSG_TRUNC != 0 || n > wire.MaxMessage:
			err = errTruncated
		case n == 0:
			err = io.EOF
		default:
			msg = append(msg, p.data[:n]...)
			return true
		}
		fds.Close()
		return true
	})
	if waitErr != nil {
		return nil, nil, waitErr
	}
	return msg, fds, err
}

// Recvmsg receives without waiting, whatever the flags of the descriptor.
func Recvmsg(fd int, p, oob []byte) (n, oobn, flags int, err error) {
	return nowait.Recvmsg(fd, p, oob, unix.MSG_CMSG_CLOEXEC)
}

// Send sends m with descriptors that stay the caller's. It waits while the
// other end's queue is full.
func (c *Conn) Send(m wire.Message, fds ...int) error {
	b, err := encode(m)
	if err != nil {
		return err
	}
	c.send.Lock()
	defer c.send.Unlock()
	waitErr := c.raw.Write(func(fd uintptr) bool {
		err = sendmsg(int(fd), b, fds)
		return err != unix.EAGAIN
	})
	if errors.Is(waitErr, os.ErrDeadlineExceeded) {
		return c.With(func(fd int) error { return sendmsg(fd, b, fds) })
	}
	if waitErr != nil {
		return waitErr
	}
	return err
}

// StopSending makes Send, also where it waits already, send what goes at once
// and wait no more.
func (c *Conn) StopSending() { _ = c.file.SetWriteDeadline(time.Unix(1, 0)) }

func encode(m wire.Message) ([]byte, error) {
	b, err := wire.Encode(m)
	if err == nil && len(b) > wire.MaxMessage {
		err = errors.New("channel: message is too long")
	}
	return b, err
}

func sendmsg(fd int, b []byte, fds []int) error {
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	_, err := nowait.Sendmsg(fd, b, oob)
	return err
}

// Reply sends m on a reply channel, which it closes. A requester who has
// gone, or who gave something else than a reply channel, gets none.
func Reply(fd int, m wire.Message, fds ...int) error {
	defer nowait.Close(fd)
	if err := CheckSocket(fd, unix.SOCK_SEQPACKET); err != nil {
		return err
	}
	b, err := encode(m)
	if err != nil {
		return err
	}
	// A private key may be in it.
	defer clear(b)
	return sendmsg(fd, b, fds)
}

// Hangup reports whether the other end of a socket is closed, or both of its
// directions are shut down.
func Hangup(fd int) bool {
	events, err := nowait.Poll(fd, 0)
	return err != nil || events&(unix.POLLHUP|unix.POLLNVAL) != 0
}

// With calls f with the descriptor, which stays open meanwhile.
func (c *Conn) With(f func(fd int) error) error {
	var err error
	if ctlErr := c.raw.Control(func(fd uintptr) { err = f(int(fd)) }); ctlErr != nil {
		return ctlErr
	}
	return err
}
