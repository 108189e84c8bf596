// SPDX-License-Identifier: ISC

package conn

import (
	"errors"
	"io"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"libtls-proxy/goproxy/internal/channel"
	"libtls-proxy/goproxy/internal/nowait"
	"libtls-proxy/goproxy/internal/procs"
	"libtls-proxy/goproxy/internal/wire"
)

const (
	// After the last byte the peer's end is awaited for so long and so
	// many bytes: closing earlier can reset the connection, and a reset
	// destroys what the peer has not read yet.
	lingerTime  = 2 * time.Second
	lingerBytes = 4 << 20
	// maxLeft is from when on plaintext is lost that comes while the
	// application closes. It is read all the same: the peer may not read
	// what we write before we have read what it wrote.
	maxLeft = 256 << 10
)

// A Conn is a connection whose network descriptors the worker has. Two
// goroutines serve it, one for each direction; they share what mu guards.
type Conn struct {
	common

	transport     transport
	toApp, toPeer *stream // the application's end to write to, to read from

	// shook tells the writer how the handshake went.
	shook chan bool
	// asked is what the handshake waits for the application to answer,
	// and hungUp is closed if there is nobody to do so.
	asked  atomic.Pointer[callback]
	hungUp chan struct{}
	// readerDone and writerDone are closed at the end of each direction.
	readerDone, writerDone chan struct{}

	failed  atomic.Bool // ending 4: what is still written has no way to go
	stop    atomic.Bool // the reader shall end
	closing atomic.Bool // a close mark came
	discard bool        // the reader's: the application takes no more data

	// The reader's, and then who resumes': plaintext that the application
	// had no room for when it closed, and the end behind it.
	left []byte
	late error

	// The writer's: the mark that may come, and where receive works.
	mark       byte
	markFds    int
	received   written
	receiveErr error
	receiveFn  func(uintptr) bool
	shut       bool // after close_notify
	resumable  bool // the network is back, and reading may go on

	// mu guards these too.
	handshaken bool // too late to abort the handshake
	watching   bool // the writer waits for the end of both directions
	over       bool // the reader's direction is
	released   bool // the application has closed, or has the network back
}

// New takes over the descriptors of START, in its order.
func New(all channel.Fds, o Options) (*Conn, error) {
	fds := all
	c := &Conn{
		shook:      make(chan bool, 1),
		hungUp:     make(chan struct{}),
		readerDone: make(chan struct{}),
		writerDone: make(chan struct{}),
	}
	session := -1
	if last := len(fds) - 1; len(fds)%2 == 1 {
		session, fds = fds[last], fds[:last]
	}
	err := c.init(o, session)
	if err != nil {
		return nil, err
	}
	// The data channels come after the network's descriptors.
	network := len(fds) / 2
	streams := make([]*stream, len(fds))
	for i := range fds {
		if i >= network {
			err = channel.CheckSocket(fds[i], unix.SOCK_STREAM)
		}
		if err == nil {
			streams[i], err = newStream(fds.Take(i))
		}
		if err != nil {
			for _, s := range streams[:i] {
				s.close()
			}
			return nil, err
		}
	}
	c.transport.in, c.transport.out = streams[0], streams[network-1]
	c.toApp, c.toPeer = streams[network], streams[len(streams)-1]
	if network == 1 && streams[0].pipe {
		for _, s := range streams {
			s.close()
		}
		return nil, errDescriptor
	}
	if c.session != nil {
		all.Take(len(fds))
	}
	c.receiveFn = c.tryReceive
	c.mark, c.markFds = wire.CloseMark, 1
	c.transport.fillFn = c.transport.tryFill
	c.transport.out.disableDelay()
	c.transport.gone = c.hangup
	c.sign = c.signByApp
	if o.Decide != nil {
		c.address = peerAddress(streams[0].fd)
	}
	c.gone = func() (<-chan struct{}, func()) { return c.hungUp, func() {} }
	c.transport.handshake = true
	return c, nil
}

// hangup reports whether the application has closed its end.
func (c *Conn) hangup() bool { return channel.Hangup(c.toApp.fd) }

// Run serves the connection to its end, and closes its descriptors. It calls
// shaken after the handshake. It reports whether the application may still
// ask for the ending.
func (c *Conn) Run(shaken func()) (remember bool) {
	defer c.close()
	go c.write()
	var err error
	deep(func() { err = c.handshake() })
	shaken()
	if err != nil {
		c.fail(err)
		c.finishWatch(false)
		<-c.writerDone
		return false
	}
	c.finishWatch(true)
	c.read()
	c.readerEnded()
	<-c.writerDone
	for c.resume() {
		c.read()
		c.readerEnded()
		<-c.writerDone
	}
	c.linger()
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.released
}

func (c *Conn) close() {
	c.transport.close()
	c.toApp.close()
	if c.toPeer != c.toApp {
		c.toPeer.close()
	}
	c.common.close()
}

// handshake ends with ESTABLISHED, or with an error.
func (c *Conn) handshake() error {
	if err := c.shake(&c.transport); err != nil {
		return err
	}
	if err := c.transport.flush(); err != nil {
		return err
	}
	c.transport.handshake = false
	if c.server {
		c.transport.in.acknowledge()
	}
	frame, err := c.shaken()
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.handshaken = true
	c.mu.Unlock()
	if c.transport.aborted.Load() {
		return errAborted
	}
	_, err = c.toApp.write(frame)
	return err
}

// fail sends FAILED, with the network's descriptors.
func (c *Conn) fail(err error) {
	// The alert that says why. What does not go at once is not worth a
	// wait: the peer will see the end.
	c.transport.flushNow()
	frame, err := c.refused(err)
	if err != nil {
		return
	}
	// If the application has gone, nobody misses it.
	_, _ = nowait.Sendmsg(c.toApp.fd, frame, unix.UnixRights(c.network()...))
}

// network returns the network's descriptors, ready to be given back.
func (c *Conn) network() []int {
	c.transport.settle()
	c.transport.out.restoreDelay()
	if c.transport.in == c.transport.out {
		return []int{c.transport.in.fd}
	}
	return []int{c.transport.in.fd, c.transport.out.fd}
}

// finishWatch ends the writer's watch over the handshake.
func (c *Conn) finishWatch(ok bool) {
	c.shook <- ok
	_ = c.toApp.file.SetReadDeadline(aLongTimeAgo)
}

// write is the writer: it ends a handshake that the application does not want
// any more, and then moves plaintext to the peer.
func (c *Conn) write() {
	defer close(c.writerDone)
	if c.watch() == nil {
		close(c.hungUp)
		c.mu.Lock()
		if !c.handshaken {
			c.transport.abort()
			c.transport.wake()
		}
		c.mu.Unlock()
	}
	if !<-c.shook {
		return
	}
	_ = c.toApp.file.SetReadDeadline(time.Time{})
	c.serve()
}

// serve moves plaintext to the peer, up to the close mark or the end.
func (c *Conn) serve() {
	for {
		m, err := c.receive()
		if err != nil {
			if err != io.EOF && err != unix.ECONNRESET {
				// Not what an application writes.
				_ = nowait.Shutdown(c.toApp.fd, unix.SHUT_RDWR)
			}
			c.writerEOF()
			return
		}
		procs.Work()
		c.deliver(m.data)
		m.buffer.free()
		if m.mark {
			c.closeMark(m.fds)
			return
		}
	}
}

// A written is what the application wrote: plaintext, and perhaps a mark with
// its descriptors.
type written struct {
	buffer *buffer
	data   []byte
	mark   bool
	fds    channel.Fds
}

// receive waits for what the application writes. An error is the end of it.
func (c *Conn) receive() (written, error) {
	c.received, c.receiveErr = written{}, nil
	if err := c.toPeer.raw.Read(c.receiveFn); err != nil {
		return written{}, err
	}
	return c.received, c.receiveErr
}

func (c *Conn) tryReceive(uintptr) bool {
	b := getBuffer()
	var oob [64]byte
	n, oobn, flags, err := channel.Recvmsg(c.toPeer.fd, b.plaintext(), oob[:channel.OobSize()])
	if err == unix.EAGAIN {
		b.free()
		return false
	}
	c.received = written{buffer: b, data: b.plaintext()[:max(n, 0)]}
	if err == nil && oobn+flags&unix.MSG_CTRUNC != 0 {
		err = c.parseMark(oob[:oobn], flags)
	}
	if err == nil && n == 0 {
		err = io.EOF
	}
	if err != nil {
		b.free()
	}
	c.receiveErr = err
	return true
}

var errMark = errors.New("descriptors without the mark that is due")

func (c *Conn) parseMark(oob []byte, flags int) error {
	fds, err := channel.ParseFds(oob, flags)
	// Without a descriptor to spare the mark holds all the same, and the
	// loss tells the application that there is no answer.
	if err != nil && !errors.Is(err, channel.ErrExhausted) {
		return err
	}
	w := &c.received
	last := len(w.data) - 1
	if last < 0 || w.data[last] != c.mark || err == nil && len(fds) != c.markFds {
		fds.Close()
		return errMark
	}
	w.mark, w.fds = true, fds
	w.data = w.data[:last]
	return nil
}

// deliver encrypts p and sends it.
func (c *Conn) deliver(p []byte) {
	if len(p) == 0 || c.shut || c.failed.Load() || c.writeFailed() {
		return
	}
	_, err := c.tls.Write(p)
	if err == nil {
		// Who has received them can count on it.
		c.bytesOut.Add(uint64(len(p)))
		err = c.transport.flush()
	}
	if err == nil || c.failed.Load() {
		return
	}
	c.mu.Lock()
	c.undone = ioText(c.version, err)
	c.tally.broken(c.undone)
	c.mu.Unlock()
	// From now on the application's writes fail.
	_ = nowait.Shutdown(c.toPeer.fd, unix.SHUT_RD)
}

func (c *Conn) writeFailed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.undone != ""
}

// writerEOF is the application's end of file without a close mark: the peer
// gets what was written and then the transport's end.
func (c *Conn) writerEOF() {
	c.transport.out.endWrite()
	c.mu.Lock()
	c.watching = !c.over
	c.mu.Unlock()
	if !c.watching || c.toApp.waitHangup() != nil {
		return
	}
	c.mu.Lock()
	// After an ending it can be our own shutdown that was seen.
	c.released = c.ending == wire.EndingOpen
	c.mu.Unlock()
	c.stopReader()
}

func (c *Conn) stopReader() {
	c.stop.Store(true)
	c.transport.wake()
	<-c.readerDone
}

// closeMark sends close_notify and gives the network back.
func (c *Conn) closeMark(reply channel.Fds) {
	defer reply.Close()
	c.shut = true
	c.closing.Store(true)
	// The peer may wait for us to read before it reads.
	_ = c.toApp.file.SetWriteDeadline(aLongTimeAgo)
	if !c.failed.Load() && !c.writeFailed() {
		// What was written before is out, so a failure from here on
		// takes nothing from the application.
		if c.tls.CloseWrite() == nil {
			_ = c.transport.flush()
		}
	}
	c.stopReader()
	c.mu.Lock()
	m := &wire.CloseReply{Ending: c.ending, Error: c.undone}
	if c.ending == wire.EndingFailed && m.Error == "" {
		m.Error = c.text
	}
	c.released = true
	c.mu.Unlock()
	if len(reply) == 1 && channel.Reply(reply.Take(0), m, c.network()...) == nil {
		c.resumable = m.Ending == wire.EndingOpen && !c.discard
	}
	c.transport.close()
}

// read is the reader: it moves plaintext to the application.
func (c *Conn) read() {
	defer c.transport.settle()
	left := c.left
	c.left = nil
	c.give(left)
	for !c.ends(c.late) {
		c.transport.wait()
		if c.stop.Load() {
			c.readRest()
			return
		}
		procs.Work()
		b := getBuffer()
		var n int
		n, c.late = c.readRecords(b.plaintext())
		c.transport.flushReplies()
		c.give(b.plaintext()[:n])
		b.free()
	}
}

// ends reports whether err is the end, which the application is told of when
// it has what came before.
func (c *Conn) ends(err error) bool {
	if err == nil || isAgain(err) {
		return false
	}
	if len(c.left) == 0 {
		c.end(err)
	}
	return true
}

func isAgain(err error) bool {
	var again errAgain
	return errors.As(err, &again) || isDeadline(err)
}

// readRecords decrypts what is there, until p has no room for a whole record.
func (c *Conn) readRecords(p []byte) (n int, err error) {
	for len(p)-n >= maxPlaintext {
		var m int
		m, err = c.tls.Read(p[n:])
		n += m
		// A record that was not full is mostly the last for now, and
		// to find out costs a system call.
		if err != nil || m < maxPlaintext/2 {
			break
		}
	}
	return n, err
}

// give writes plaintext to the application, and waits until it takes it,
// unless it said that it wants to close.
func (c *Conn) give(p []byte) {
	c.bytesIn.Add(uint64(len(p)))
	if len(p) == 0 || c.discard {
		return
	}
	var n int
	err := error(unix.EAGAIN)
	if len(c.left) == 0 {
		n, err = c.toApp.tryWrite(p)
	}
	if err == unix.EAGAIN && !c.closing.Load() {
		var m int
		m, err = c.toApp.write(p[n:])
		n += m
	}
	if c.closing.Load() && (err == unix.EAGAIN || isDeadline(err)) && len(c.left) <= maxLeft {
		c.left = append(c.left, p[n:]...)
		return
	}
	c.discard = err != nil
}

// readRest passes on what the peer has sent already, as far as it goes
// without waiting, so that the network can be closed without a reset.
func (c *Conn) readRest() {
	if !c.closing.Load() {
		return
	}
	b := getBuffer()
	defer b.free()
	c.transport.rest = true
	for !c.discard && len(c.left) == 0 && c.toApp.polled(unix.POLLOUT) {
		var n int
		n, c.late = c.tls.Read(b.plaintext()[:maxPlaintext])
		c.give(b.plaintext()[:n])
		if c.late != nil {
			c.ends(c.late)
			return
		}
	}
}

// end records the ending and tells the application.
func (c *Conn) end(err error) {
	if c.ended(err) != wire.EndingFailed {
		_ = nowait.Shutdown(c.toApp.fd, unix.SHUT_WR)
		return
	}
	c.failed.Store(true)
	c.transport.abort()
	c.transport.flushNow()
	// In this order, so that who has seen the end of file cannot write.
	_ = nowait.Shutdown(c.toPeer.fd, unix.SHUT_RD)
	_ = nowait.Shutdown(c.toApp.fd, unix.SHUT_RDWR)
}

// linger waits for the peer's end, after ours.
func (c *Conn) linger() {
	in := c.transport.in
	if c.closing.Load() || in.pipe || c.transport.err != nil {
		return
	}
	_ = in.file.SetReadDeadline(time.Now().Add(lingerTime))
	b := getBuffer()
	defer b.free()
	for total := 0; total < lingerBytes; {
		n, err := in.read(b.plaintext())
		if err != nil || n == 0 {
			return
		}
		total += n
	}
}

// readerEnded ends the writer's watch.
func (c *Conn) readerEnded() {
	close(c.readerDone)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	if c.watching {
		_ = c.toApp.file.SetReadDeadline(aLongTimeAgo)
	}
}
