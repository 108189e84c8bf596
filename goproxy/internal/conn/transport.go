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

	"libtls-proxy/goproxy/internal/nowait"
)

const (
	recordHeader = 5
	// stall is how long a peer may accept nothing once the application
	// has gone.
	stall = 30 * time.Second
	// maxPending is more than the writer writes at once. Beyond it there
	// are answers to the KeyUpdates of a peer that reads none of them.
	maxPending = 2 * bufferSize
)

var (
	// errEOF is the end of the transport. It is not io.EOF, which then is
	// crypto/tls's word for close_notify alone.
	errEOF = errors.New("unexpected EOF")
	// errAborted is the end of an attempt to send that nobody needs.
	errAborted = errors.New("aborted")
	errStalled = unix.ETIMEDOUT
	errFlood   = errors.New("too many key updates")
	errTaken   = errors.New("somebody else reads from the socket")
)

// errAgain tells crypto/tls that there is nothing to read now. Because it is
// temporary crypto/tls keeps the part of a record that it has, and can be
// asked again.
type errAgain struct{}

func (errAgain) Error() string   { return "no data" }
func (errAgain) Timeout() bool   { return true }
func (errAgain) Temporary() bool { return true }

// A transport is the network as crypto/tls sees it. What crypto/tls reads never
// reaches beyond the record that it works on, so that no byte after
// close_notify is lost: many records are looked at in one go, but taken out of
// the socket only once crypto/tls has asked for them. What it is given to write
// is collected, and sent by flush. It waits only during the handshake: a Read
// afterwards takes what is there, and whoever calls it waits with wait when
// there is nothing.
type transport struct {
	detached
	in, out   *stream
	handshake bool
	rest      bool        // begin no record that is not there as a whole
	gone      func() bool // whether the application is

	// seen is what a look into the socket gave, nil for nothing. Crypto/tls
	// was given the first bytes of it, of which the first settled ones are
	// out of the socket. What comes from a pipe is settled.
	seen           *buffer
	given, settled int
	fillFn         func(uintptr) bool

	header [recordHeader]byte
	have   int // bytes of the header that were given
	body   int // bytes of the body to be given
	err    error

	mu       sync.Mutex // guards pending
	pending  *buffer
	flushing sync.Mutex // held by who sends
	aborted  atomic.Bool
	flooded  atomic.Bool // more than maxPending was pending
}

var _ net.Conn = (*transport)(nil)

func (t *transport) Read(p []byte) (int, error) {
	// For crypto/tls an answer that fails is the next writer's trouble.
	if t.flooded.Load() {
		return 0, errFlood
	}
	if t.handshake {
		if err := t.flush(); err != nil {
			return 0, err
		}
	}
	if t.rest && t.have == 0 && t.body == 0 && !t.whole() {
		return 0, errAgain{}
	}
	if t.seen == nil {
		if err := t.fill(t.handshake); err != nil {
			return 0, err
		}
	}
	n := copy(p[:min(len(p), t.want())], t.seen.b[t.given:])
	t.given += n
	if t.body > 0 {
		t.body -= n
	} else if t.have += copy(t.header[t.have:], p[:n]); t.have == recordHeader {
		t.body = int(binary.BigEndian.Uint16(t.header[3:]))
		t.have = 0
	}
	if t.given == len(t.seen.b) {
		t.settle()
	}
	return n, nil
}

// want is how much crypto/tls may have next.
func (t *transport) want() int {
	if t.body > 0 {
		return t.body
	}
	return recordHeader - t.have
}

// fill looks for what there is to read.
func (t *transport) fill(wait bool) error {
	if t.err != nil {
		return t.err
	}
	if !wait {
		if !t.tryFill(0) {
			return errAgain{}
		}
		return t.err
	}
	if err := t.in.raw.Read(t.fillFn); err != nil {
		return t.readError(0, err)
	}
	return t.err
}

// tryFill reports whether there is something, or an error.
func (t *transport) tryFill(uintptr) bool {
	b := getBuffer()
	var n int
	var err error
	if t.in.pipe {
		n, err = t.in.tryRead(b.b[:t.want()])
		t.settled = n
	} else {
		n, _, _, err = nowait.Recvmsg(t.in.fd, b.b[:bufferSize], nil, unix.MSG_PEEK)
		t.settled = 0
	}
	if n > 0 && err == nil {
		b.b = b.b[:n]
		t.seen, t.given = b, 0
		return true
	}
	// An idle connection keeps no buffer.
	b.free()
	if err == unix.EAGAIN {
		return false
	}
	_ = t.readError(n, err)
	return true
}

// settle takes out of the socket what crypto/tls was given, and forgets what
// else was seen.
func (t *transport) settle() {
	if t.seen == nil {
		return
	}
	for t.settled < t.given {
		// TCP throws the bytes away; from other sockets the same ones
		// come a second time.
		n, _, _, err := nowait.Recvmsg(t.in.fd, t.seen.b[t.settled:t.given], nil, unix.MSG_TRUNC)
		if err != nil || n == 0 {
			t.err = errTaken
			break
		}
		t.settled += n
	}
	t.seen.free()
	t.seen = nil
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
	if t.seen == nil {
		_ = t.fill(true)
	}
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

// whole reports whether the next record is there from its first to its last
// byte.
func (t *transport) whole() bool {
	if t.in.pipe {
		return false
	}
	if !t.wholeSeen() {
		// More may have come.
		t.settle()
		_ = t.fill(false)
	}
	return t.wholeSeen()
}

func (t *transport) wholeSeen() bool {
	if t.seen == nil {
		return false
	}
	b := t.seen.b[t.given:]
	return len(b) >= recordHeader &&
		len(b) >= recordHeader+int(binary.BigEndian.Uint16(b[recordHeader-2:]))
}

func (t *transport) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.pending == nil {
		t.pending = getBuffer()
	}
	if !t.handshake && len(t.pending.b) > maxPending {
		t.flooded.Store(true)
		return 0, errFlood
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
