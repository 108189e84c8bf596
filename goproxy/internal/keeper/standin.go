// SPDX-License-Identifier: ISC

package keeper

import (
	"errors"

	"libtls-proxy/goproxy/internal/channel"
	"libtls-proxy/goproxy/internal/conn"
	"libtls-proxy/goproxy/internal/wire"
)

// Where no worker reads a config channel, and none will soon, the keeper does,
// so that the application gets an answer instead of waiting for one.

// decline answers a request with the reason why there is no worker. It returns
// false for what is no request.
func decline(m wire.Message, fds channel.Fds, asks bool, text string) bool {
	// Who does not wait for the answer does not need it.
	switch m.(type) {
	case *wire.Start:
		if asks {
			fds = fds[:len(fds)-1]
		}
		conn.Decline(fds, text)
	case *wire.Engine:
		conn.DeclineEngine(fds, text)
	case *wire.Status:
		_ = channel.Reply(fds.Take(0), &wire.StatusReply{Ending: wire.EndingUnknown, Error: text})
	case *wire.OCSP:
		_ = channel.Reply(fds.Take(1), &wire.OCSPReply{Error: text})
	default:
		return false
	}
	return true
}

// apologize serves the channel of a connection that no worker could be found
// for, and closes it.
func apologize(c *channel.Conn, asks bool, text string) {
	defer c.Close()
	for started := false; !started; {
		b, fds, err := c.Recv()
		if errors.Is(err, channel.ErrExhausted) {
			continue
		}
		if err != nil {
			return
		}
		m, err := wire.Decode("library", "config", b, len(fds))
		if err != nil || !decline(m, fds, asks, text) {
			fds.Close()
			return
		}
		switch m.(type) {
		case *wire.Start, *wire.Engine:
			started = true
		}
		fds.Close()
	}
}

// standIn answers for the worker until it is stopped.
func (w *worker) standIn(conf *config, c *channel.Conn) {
	for {
		b, fds, err := c.Recv()
		if errors.Is(err, channel.ErrExhausted) {
			continue
		}
		if errors.Is(err, channel.ErrStopped) {
			return
		}
		if err != nil || !w.respond(conf, b, fds) {
			w.mu.Lock()
			w.forget(conf)
			w.mu.Unlock()
			return
		}
	}
}

func (w *worker) respond(conf *config, b []byte, fds channel.Fds) bool {
	defer fds.Close()
	m, err := wire.Decode("library", "config", b, len(fds))
	if err != nil {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := m.(*wire.Update); ok {
		return conf.replaceUpdate(fds) == nil
	}
	return decline(m, fds, conf.asks, w.excuse())
}
