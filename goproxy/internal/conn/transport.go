// SPDX-License-Identifier: ISC

package conn

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	recordHeader = 5
	// stall is how long a peer may accept nothing once the application
	// has gone.
	stall = 30 * time.Second
)

var (
	// errEOF is the end of the transport. It is not io.EOF, which then is
	// crypto/tls's word for close_notify alone.
	errEOF = errors.New("unexpected EOF")
	// errAborted is the end of an attempt to send that nobody needs.
	errAborted = errors.New("aborted")
	errStalled = unix.ETIMEDOUT
)

// errAgain tells crypto/tls that there is nothing to read now. Because it is
// temporary crypto/tls keeps the part of a record that it has, and can be
// asked again.
type errAgain struct{}

func (errAgain) Error() string   { return "no data" }
func (errAgain) Timeout() bool   { return true }
func (errAgain) Temporary() bool { return true }

// A transport is the network as crypto/tls sees it. What it reads never
// reaches beyond the record that crypto/tls works on, so that no byte after
// close_notify is lost; what it is given to write is collected, and sent by
// flush. It waits only during the handshake: a Read afterwards takes what is
// there, and whoever calls it waits with wait when there is nothing.
type transport struct {
	detached
	in, out   *stream
	handshake bool
	rest      bool        // begin no record that is not there as a whole
	gone      func() bool // whether the application is

	header [recordHeader]byte
	have   int // bytes of the header that were read
	given  int // and that were given to crypto/tls
	body   int // bytes of the body to be read
	err    error

	mu       sync.Mutex // guards pending
	pending  *buffer
	flushing sync.Mutex // held by who sends
	aborted  atomic.Bool
}

var _ net.Conn = (*transport)(nil)

func (t *transport) Read(p []byte) (int, error) {
	if t.handshake {
		if err := t.flush(); err != nil {
			return 0, err
		}
	}
	if t.body == 0 && t.given == t.have {
		if t.rest && !t.whole() {
			return 0, errAgain{}
		}
		n, err := t.readNet(t.header[t.have:])
		if err != nil {
			return 0, err
		}
		t.have += n
	}
	if t.given < t.have {
		n := copy(p, t.header[t.given:t.have])
		t.given += n
		if t.given == recordHeader {
			t.body = int(binary.BigEndian.Uint16(t.header[3:]))
			t.have, t.given = 0, 0
		}
		return n, nil
	}
	n, err := t.readNet(p[:min(len(p), t.body)])
	t.body -= n
	return n, err
}

func (t *transport) readNet(p []byte) (int, error) {
	if t.err != nil {
		return 0, t.err
	}
	var n int
	var err error
	if t.handshake {
		n, err = t.in.read(p)
	} else {
		n, err = t.in.tryRead(p)
	}
	return n, t.readError(n, err)
}

func (t *transport) readError(n int, err error) error {
	switch {
	case err == unix.EAGAIN:
		return errAgain{}
	case err == nil && n == 0:
		t.err = errEOF
		// A reset that the writer was told of looks like an end here.
		if t.in == t.out && t.out.writeError() == unix.ECONNRESET {
			t.err = unix.ECONNRESET
		}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return err
	default:
		t.err = err
	}
	return t.err
}

// wait waits until Read has something to say, or somebody calls wake.
func (t *transport) wait() {
	if t.given < t.have || t.err != nil {
		return
	}
	if t.body > 0 {
		_ = t.in.waitInput()
		return
	}
	n, err := t.in.read(t.header[t.have:])
	if err == nil {
		t.have += n
	}
	_ = t.readError(n, err)
}

func (t *transport) close() {
	t.in.close()
	if t.out != t.in {
		t.out.close()
	}
}

// wake ends what waits to read, now and from now on.
func (t *transport) wake() { _ = t.in.file.SetReadDeadline(aLongTimeAgo) }

// abort ends what waits to send, now and from now on.
func (t *transport) abort() {
	t.aborted.Store(true)
	_ = t.out.file.SetWriteDeadline(aLongTimeAgo)
}

// whole reports whether the next record is in the socket's buffer from its
// first to its last byte.
func (t *transport) whole() bool {
	if t.in.pipe || t.err != nil || t.have != 0 || t.body != 0 {
		return false
	}
	var header [recordHeader]byte
	n, err := t.in.buffered(header[:])
	return err == nil && n >= recordHeader &&
		n >= recordHeader+int(binary.BigEndian.Uint16(header[3:]))
}

func (t *transport) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.pending == nil {
		t.pending = getBuffer()
	}
	t.pending.b = append(t.pending.b, p...)
	return len(p), nil
}

func (t *transport) take() *buffer {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.pending
	t.pending = nil
	return b
}

func (t *transport) empty() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.pending == nil
}

// flush sends all that was written, and returns when it is gone.
func (t *transport) flush() error {
	for {
		t.flushing.Lock()
		err := t.send()
		t.flushing.Unlock()
		if err != nil || t.empty() {
			return err
		}
	}
}

// flushReplies is flush for the reader, whose reads may have made crypto/tls
// write something. It leaves the work to the writer if that is sending.
func (t *transport) flushReplies() {
	for !t.empty() && t.flushing.TryLock() {
		_ = t.send()
		t.flushing.Unlock()
	}
}

// flushNow sends what goes without waiting.
func (t *transport) flushNow() {
	if !t.flushing.TryLock() {
		return
	}
	defer t.flushing.Unlock()
	if b := t.take(); b != nil {
		_, _ = t.out.tryWrite(b.b)
		b.free()
	}
}

func (t *transport) send() error {
	for {
		b := t.take()
		if b == nil {
			return t.out.writeError()
		}
		err := t.sendAll(b.b)
		b.free()
		if err != nil {
			return err
		}
	}
}

func (t *transport) sendAll(p []byte) error {
	n, err := t.out.tryWrite(p)
	for err == unix.EAGAIN || errors.Is(err, os.ErrDeadlineExceeded) {
		p = p[n:]
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && t.gone() {
			return errStalled
		}
		_ = t.out.file.SetWriteDeadline(time.Now().Add(stall))
		// After the deadline, so that abort is seen or undoes it.
		if t.aborted.Load() {
			return errAborted
		}
		n, err = t.out.write(p)
	}
	return err
}
