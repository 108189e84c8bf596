// SPDX-License-Identifier: ISC

package conn

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"

	"libtls-proxy/goproxy/internal/channel"
	"libtls-proxy/goproxy/internal/wire"
)

// maxAnswer is more than any signature needs.
const maxAnswer = 64 << 10

var errAnswer = errors.New("malformed message from the application")

// A callback is a question to the application in the middle of a handshake,
// and the frame of its answer as far as it has come.
type callback struct {
	frame  []byte
	answer chan error
}

// signByApp has the application sign. It waits as long as that takes.
func (c *Conn) signByApp(hash string, padding uint8, input []byte) ([]byte, error) {
	question, err := wire.EncodeFrame(&wire.SignCallback{Hash: hash, Padding: padding, Input: input})
	if err != nil {
		return nil, err
	}
	cb := &callback{frame: make([]byte, 0, 4), answer: make(chan error, 1)}
	c.asked.Store(cb)
	defer c.asked.Store(nil)
	if _, err := c.toApp.write(question); err != nil {
		return nil, err
	}
	select {
	case err = <-cb.answer:
	case <-c.hungUp:
		err = errAborted
	}
	if err != nil {
		return nil, err
	}
	m, err := wire.Decode("library", "data", cb.frame[4:], 0)
	if err != nil {
		return nil, errAnswer
	}
	return signature(m)
}

// signature takes the answer to SIGN_CALLBACK.
func signature(m wire.Message) ([]byte, error) {
	reply, ok := m.(*wire.SignCallbackReply)
	if !ok {
		return nil, errAnswer
	}
	if len(reply.Signature) == 0 {
		return nil, errors.New("the application did not sign")
	}
	return bytes.Clone(reply.Signature), nil
}

// peerAddress returns host and port of an internet socket's peer, or "".
func peerAddress(fd int) string {
	address, err := unix.Getpeername(fd)
	if err != nil {
		return ""
	}
	switch a := address.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)).String()
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port)).String()
	}
	return ""
}

// watch waits, during the handshake, until the application has closed its
// end, and reads what it answers meanwhile. Nothing else is read: plaintext
// that the application wrote too early stays where it is.
func (c *Conn) watch() error {
	return c.toApp.raw.Read(func(fd uintptr) bool {
		if channel.Hangup(int(fd)) {
			return true
		}
		if cb := c.asked.Load(); cb != nil {
			if done, err := cb.read(c.toApp); done {
				c.asked.Store(nil)
				cb.answer <- err
			}
		}
		return false
	})
}

// read reads what has come of the frame, and no byte after it.
func (cb *callback) read(s *stream) (done bool, err error) {
	for {
		size := 4
		if len(cb.frame) >= size {
			n := binary.BigEndian.Uint32(cb.frame)
			if n > maxAnswer {
				return true, errAnswer
			}
			size += int(n)
		}
		have := len(cb.frame)
		if have == size {
			return true, nil
		}
		if cap(cb.frame) < size {
			cb.frame = append(make([]byte, 0, size), cb.frame...)
		}
		n, err := s.tryRead(cb.frame[have:size])
		if n <= 0 {
			// An end or an error shows as a hangup, too.
			return false, nil
		}
		if err != nil {
			return true, err
		}
		cb.frame = cb.frame[:have+n]
	}
}
