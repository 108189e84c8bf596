// SPDX-License-Identifier: ISC

package conn

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"time"

	"golang.org/x/sys/unix"

	"libtls-proxy/goproxy/internal/channel"
	"libtls-proxy/goproxy/internal/wire"
)

const (
	// maxRequest bounds a message of the library's: a chunk and what
	// stands before it.
	maxRequest = wire.MaxChunk + 32
	// maxOutput bounds the records in one message.
	maxOutput = 2 * wire.MaxChunk
)

var (
	// errLockstep is a library that does not keep to the protocol.
	errLockstep = errors.New("unexpected message from the library")
	// errNoRecord is a peer that crypto/tls would still listen to.
	errNoRecord = errors.New("not a record")
)

// An Engine is a connection whose network is the library's. The records of
// both directions go over the data channel, in lockstep: each message of the
// library's is answered before the next one comes, so that one goroutine, which
// mostly waits, serves it all.
type Engine struct {
	common
	channel *stream
	shaking bool // the handshake goes on
	shut    bool // SHUTDOWN came

	// The request that is being served, in its frame.
	request    *buffer
	receiveErr error
	receiveFn  func(uintptr) bool

	network engineNet
	head    []byte // memory for the start of an answer
}

// NewEngine takes over the descriptors of ENGINE, in its order.
func NewEngine(fds channel.Fds, o Options) (*Engine, error) {
	e := &Engine{shaking: true}
	if err := channel.CheckSocket(fds[0], unix.SOCK_STREAM); err != nil {
		return nil, err
	}
	session := -1
	if len(fds) > 1 {
		session = fds[1]
	}
	if err := e.init(o, session); err != nil {
		return nil, err
	}
	var err error
	if e.channel, err = newStream(fds.Take(0)); err != nil {
		return nil, err
	}
	if session >= 0 {
		fds.Take(1)
	}
	e.network.more = e.more
	e.sign = e.signByApp
	e.gone = e.watch
	e.receiveFn = e.tryReceive
	return e, nil
}

// Run serves the connection until the library closes the data channel. It
// calls shaken after the handshake. Nobody asks for the ending later.
func (e *Engine) Run(shaken func()) (remember bool) {
	defer e.close()
	err := e.handshake()
	shaken()
	for err == nil {
		err = e.serve()
	}
	return false
}

func (e *Engine) close() {
	e.release()
	e.network.release()
	e.channel.close()
	e.common.close()
}

// handshake ends with ESTABLISHED, or with an error, of which the library
// knows.
func (e *Engine) handshake() error {
	err := e.shake(&e.network)
	e.shaking = false
	if errors.Is(err, errLockstep) {
		return err
	}
	var frame []byte
	if err == nil {
		frame, err = e.shaken()
	}
	if err == nil {
		return e.answer(frame)
	}
	if frame, frameErr := e.refused(err); frameErr == nil {
		// If the application has gone, nobody misses it.
		_ = e.answer(frame)
	}
	return err
}

// more gets a record for the handshake.
func (e *Engine) more() error {
	if !e.shaking {
		return errAgain{}
	}
	if err := e.answerWith(&wire.Need{}); err != nil {
		return errLockstep
	}
	m, err := e.receive()
	if err != nil {
		return errLockstep
	}
	switch m := m.(type) {
	case *wire.Input:
		return e.network.feed(m)
	case *wire.OutputFailed:
		e.network.err = unix.Errno(m.Errnum)
		return nil
	}
	return errLockstep
}

// signByApp has the application sign, in the middle of the handshake.
func (e *Engine) signByApp(hash string, padding uint8, input []byte) ([]byte, error) {
	// The request that it is in makes room for the answer.
	e.network.input = bytes.Clone(e.network.input)
	if err := e.answerWith(&wire.SignCallback{Hash: hash, Padding: padding, Input: input}); err != nil {
		return nil, errLockstep
	}
	m, err := e.receive()
	if err != nil {
		return nil, errLockstep
	}
	return signature(m)
}

// watch looks after the library while the application decides.
func (e *Engine) watch() (gone <-chan struct{}, stop func()) {
	hungUp, done := make(chan struct{}), make(chan struct{})
	go func() {
		if e.channel.waitHangup() == nil {
			close(hungUp)
		}
		close(done)
	}()
	return hungUp, func() {
		_ = e.channel.file.SetReadDeadline(aLongTimeAgo)
		<-done
		_ = e.channel.file.SetReadDeadline(time.Time{})
	}
}

// serve answers one request after the handshake.
func (e *Engine) serve() error {
	m, err := e.receive()
	if err != nil {
		return err
	}
	switch m := m.(type) {
	case *wire.Input:
		return e.decrypt(m)
	case *wire.Write:
		if e.shut {
			return errLockstep
		}
		reply := &wire.WriteReply{}
		if _, err := e.tls.Write(m.Plaintext); err != nil {
			reply.Error = ioText(e.version, err)
		} else {
			e.bytesOut.Add(uint64(len(m.Plaintext)))
		}
		return e.answerWith(reply)
	case *wire.OutputFailed:
		reply := &wire.OutputFailedReply{Error: ioText(e.version, unix.Errno(m.Errnum))}
		e.mu.Lock()
		e.undone = reply.Error
		e.tally.broken(e.undone)
		e.mu.Unlock()
		return e.answerWith(reply)
	case *wire.Shutdown:
		if e.shut {
			return errLockstep
		}
		e.shut = true
		// It fails after an alert, which is an ending as well.
		_ = e.tls.CloseWrite()
		return e.answerWith(&wire.ShutdownReply{})
	}
	return errLockstep
}

func (e *Engine) decrypt(m *wire.Input) error {
	if e.Ending().Code != wire.EndingOpen {
		return errLockstep
	}
	if err := e.network.feed(m); err != nil {
		return err
	}
	b := getBuffer()
	defer b.free()
	p, n := b.plaintext(), 0
	var err error
	for err == nil && n < len(p) {
		var got int
		got, err = e.tls.Read(p[n:])
		n += got
	}
	e.bytesIn.Add(uint64(n))
	reply := &wire.InputReply{Ending: wire.EndingOpen}
	switch {
	case err == nil: // more than a record holds
		return errLockstep
	case !isAgain(err):
		reply.Ending = e.ended(err)
		if reply.Ending == wire.EndingFailed {
			reply.Error = e.Ending().Text
		}
	}
	if e.head, err = wire.EncodeFrameHead(e.head, reply, n); err != nil {
		return err
	}
	return e.answer(e.head, p[:n])
}

// receive waits for a request. Its bytes stay until the next one is received.
func (e *Engine) receive() (wire.Message, error) {
	e.release()
	if err := e.channel.raw.Read(e.receiveFn); err != nil {
		return nil, err
	}
	if e.receiveErr != nil {
		return nil, e.receiveErr
	}
	return wire.Decode("library", "data", e.request.b[wire.FrameHeader:], 0)
}

func (e *Engine) release() {
	if e.request != nil {
		e.request.free()
		e.request = nil
	}
}

func (e *Engine) tryReceive(uintptr) bool {
	if e.request == nil {
		e.request = getBuffer()
	}
	b := e.request
	for whole := false; !whole; {
		var n, flags int
		n, _, flags, e.receiveErr = channel.Recvmsg(e.channel.fd, b.b[len(b.b):bufferSize], nil)
		if e.receiveErr == unix.EAGAIN {
			// An idle connection keeps no buffer.
			if len(b.b) == 0 {
				e.release()
			}
			return false
		}
		if e.receiveErr == nil && n == 0 {
			e.receiveErr = io.EOF
		}
		if e.receiveErr == nil && flags&unix.MSG_CTRUNC != 0 {
			e.receiveErr = errLockstep // descriptors, which are gone
		}
		if e.receiveErr != nil {
			return true
		}
		b.b = b.b[:len(b.b)+n]
		whole, e.receiveErr = wholeRequest(b.b)
		if e.receiveErr != nil {
			return true
		}
	}
	return true
}

// wholeRequest reports whether b is a frame from its first to its last byte.
func wholeRequest(b []byte) (bool, error) {
	if len(b) < wire.FrameHeader {
		return false, nil
	}
	n := binary.BigEndian.Uint32(b)
	if n > maxRequest || len(b) > wire.FrameHeader+int(n) {
		return false, errLockstep
	}
	return len(b) == wire.FrameHeader+int(n), nil
}

func (e *Engine) answerWith(m wire.Message) error {
	var err error
	if e.head, err = wire.EncodeFrameHead(e.head, m, 0); err != nil {
		return err
	}
	return e.answer(e.head)
}

// answer sends the records that crypto/tls has for the peer, and then a frame
// in parts.
func (e *Engine) answer(frame ...[]byte) error {
	var parts [][]byte
	if b := e.network.output; b != nil {
		for p := b.b; len(p) > 0; {
			records := p[:min(len(p), maxOutput)]
			head, err := wire.EncodeFrameHead(nil, &wire.Output{}, len(records))
			if err != nil {
				return err
			}
			parts = append(parts, head, records)
			p = p[len(records):]
		}
	}
	err := e.channel.writeParts(append(parts, frame...))
	e.network.release()
	return err
}

// An engineNet is the network of an Engine as crypto/tls sees it: what it is
// given to write is collected, and what it reads is one record at a time.
type engineNet struct {
	detached
	more func() error // called where there is nothing to read

	input []byte
	part  bool  // input is the start of what is no record
	err   error // after input

	output *buffer
}

// feed takes what the library has read for crypto/tls.
func (t *engineNet) feed(m *wire.Input) error {
	const header = recordHeader
	r := m.Record
	switch {
	case m.End == wire.InputRecord && m.Errnum == 0 && len(r) >= header:
		t.part = len(r) != header+int(binary.BigEndian.Uint16(r[header-2:]))
		if t.part && len(r) != header || len(t.input) != 0 {
			return errLockstep
		}
		t.input = r
	case m.End == wire.InputEOF && m.Errnum == 0 && len(r) == 0:
		t.err = errEOF
	case m.End == wire.InputFailed && len(r) == 0:
		t.err = unix.Errno(m.Errnum)
	default:
		return errLockstep
	}
	return nil
}

func (t *engineNet) Read(p []byte) (int, error) {
	for len(t.input) == 0 {
		if t.part {
			t.err = errNoRecord
		}
		if t.err != nil {
			return 0, t.err
		}
		if err := t.more(); err != nil {
			return 0, err
		}
	}
	n := copy(p, t.input)
	t.input = t.input[n:]
	return n, nil
}

func (t *engineNet) Write(p []byte) (int, error) {
	if t.output == nil {
		t.output = getBuffer()
	}
	t.output.b = append(t.output.b, p...)
	return len(p), nil
}

func (t *engineNet) release() {
	if t.output != nil {
		t.output.free()
		t.output = nil
	}
}
