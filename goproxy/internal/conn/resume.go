// SPDX-License-Identifier: ISC

package conn

import (
	"time"

	"libtls-proxy/goproxy/internal/wire"
)

// resume waits, after a close mark, until the application wants to read on or
// has gone. If it returns true the connection has the network again, and a
// writer, which waits for the next close mark.
func (c *Conn) resume() bool {
	if !c.resumable {
		return false
	}
	c.resumable = false
	// The application has no other end any more.
	if c.toPeer != c.toApp {
		c.toPeer.close()
		c.toPeer = c.toApp
	}
	network := 1
	if c.transport.in != c.transport.out {
		network = 2
	}
	c.mark, c.markFds = wire.ResumeMark, network
	m, err := c.receive()
	if err != nil {
		return false
	}
	m.buffer.free()
	defer m.fds.Close()
	// A mark for which there was no descriptor to spare has none.
	if !m.mark || len(m.data) > 0 || len(m.fds) != network {
		return false
	}
	in, err := newStream(m.fds.Take(0))
	if err != nil {
		return false
	}
	out := in
	if network == 2 {
		out, err = newStream(m.fds.Take(1))
	}
	if err != nil || in == out && in.pipe {
		in.close()
		return false
	}
	c.transport.in, c.transport.out = in, out
	c.transport.rest = false
	out.disableDelay()

	c.mark, c.markFds = wire.CloseMark, 1
	c.stop.Store(false)
	c.closing.Store(false)
	_ = c.toApp.file.SetWriteDeadline(time.Time{})
	c.readerDone, c.writerDone = make(chan struct{}), make(chan struct{})
	c.mu.Lock()
	c.over, c.released = false, false
	c.mu.Unlock()
	go func() {
		defer close(c.writerDone)
		c.serve()
	}()
	return true
}
