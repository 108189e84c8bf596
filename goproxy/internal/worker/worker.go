// SPDX-License-Identifier: ISC

// Package worker speaks TLS. It has no key: it asks the keeper to sign.
package worker

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"libtls-proxy/goproxy/internal/channel"
	"libtls-proxy/goproxy/internal/conn"
	"libtls-proxy/goproxy/internal/tlsconf"
	"libtls-proxy/goproxy/internal/verify"
	"libtls-proxy/goproxy/internal/wire"
)

// configFds is how many descriptors come with CONFIG at least.
const configFds = 2

const (
	// configFiles are those of a configuration: its channel, that to the
	// next worker, and the last update for a moment.
	configFiles = 3
	// baseFiles are the standard ones, the link, the key log, and the
	// runtime's.
	baseFiles = 12
	// reserve is how many are left to those who close or ask for
	// something, so that a connection that there is no room for gets an
	// answer instead of being lost on the way.
	reserve = 16
)

var errProtocol = errors.New("the keeper broke the protocol")

type worker struct {
	link       *channel.Conn
	signatures *signatures
	cas        verify.CACache
	tickets    tlsconf.TicketCache
	keyLog     io.Writer  // nil for none
	sessions   sync.Mutex // held where session files are read and written
	started    time.Time
	tally      conn.Tally
	reports    chan struct{} // has an element for each report under way
	mu         sync.Mutex
	configs    map[uint32]*config
	files      atomic.Int64 // descriptors of configurations and connections
	// busy counts configurations and connections, and one for as long as
	// the keeper may send more.
	busy sync.WaitGroup
}

// Run serves what comes over the link, which it owns, until the keeper says
// that no more will come and the last connection has ended. Without a keeper
// it returns at once. The secrets of all sessions go to the file keyLog, unless
// that is NoKeyLog.
func Run(fd, keyLog int) error {
	link, err := channel.New(fd)
	if err != nil {
		return err
	}
	defer link.Close()
	w := &worker{
		link:       link,
		signatures: newSignatures(link),
		configs:    make(map[uint32]*config),
		started:    time.Now(),
		reports:    make(chan struct{}, maxReports),
	}
	if keyLog != NoKeyLog {
		w.keyLog = keyLogger(keyLog)
	}
	w.busy.Add(1)
	done := make(chan struct{})
	go func() {
		w.busy.Wait()
		close(done)
	}()
	failed := make(chan error, 1)
	go func() { failed <- w.serve() }()
	select {
	case <-done:
		return nil
	case err := <-failed:
		return err
	}
}

// take counts the descriptors of a connection, if there is room for them.
// They are not looked for: whoever took what is left to find out how much it is
// would have it when another one needs it.
func (w *worker) take(files int64) bool {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return false
	}
	const most = 1 << 30
	if w.files.Add(files)+baseFiles+reserve <= int64(min(limit.Cur, most)) {
		return true
	}
	w.files.Add(-files)
	return false
}

func (w *worker) serve() error {
	drained := false
	for {
		b, fds, err := w.link.Recv()
		switch {
		case errors.Is(err, channel.ErrExhausted):
			err = w.exhausted(b, drained)
		case err == nil:
			err = w.handle(b, fds, &drained)
		}
		if err != nil {
			return err
		}
	}
}

// exhausted handles a message whose descriptors found no room. An update or a
// question for a report that is lost is no reason to end.
func (w *worker) exhausted(b []byte, drained bool) error {
	m, err := wire.Decode("keeper", "link", b, wire.Lost)
	if err != nil {
		return err
	}
	switch m := m.(type) {
	case *wire.Config:
		if drained {
			return errProtocol
		}
		w.busy.Add(1)
		// The keeper may send more before it reads.
		go func() {
			defer w.busy.Done()
			_ = w.link.Send(&wire.ConfigReady{Config: m.Config, Error: errExhausted})
		}()
	case *wire.OverflowReply:
		return w.overflow(m, nil)
	}
	return nil
}

func (w *worker) handle(b []byte, fds channel.Fds, drained *bool) error {
	defer fds.Close()
	m, err := wire.Decode("keeper", "link", b, len(fds))
	if err != nil {
		return err
	}
	switch m := m.(type) {
	case *wire.Config:
		if *drained {
			return errProtocol
		}
		c, err := channel.New(fds.Take(1))
		if err != nil {
			return err
		}
		documents := channel.Fds{fds.Take(0)}
		if len(fds) > configFds {
			documents = append(documents, fds.Take(configFds))
		}
		conf := newConfig(w, m.Config, m.Draft, c)
		conf.single = m.Single != 0
		w.set(m.Config, conf)
		w.busy.Add(1)
		go func() {
			defer w.busy.Done()
			defer w.set(m.Config, nil)
			conf.run(documents)
		}()
	case *wire.Refresh:
		// The message may have crossed CONFIG_CLOSED.
		if conf := w.get(m.Config); conf != nil && !conf.refresh(fds[0]) {
			return errProtocol
		}
	case *wire.OverflowReply:
		return w.overflow(m, fds)
	case *wire.SignReply:
		if !w.signatures.answer(m) {
			return errProtocol
		}
	case *wire.ReportWorker:
		w.startReport(fds.Take(0))
	case *wire.Drain:
		if *drained {
			return errProtocol
		}
		*drained = true
		w.busy.Done()
	}
	return nil
}

func (w *worker) overflow(m *wire.OverflowReply, fds channel.Fds) error {
	// A configuration that waits for the answer is still there.
	conf := w.get(m.Config)
	if conf == nil {
		return errProtocol
	}
	var next *channel.Conn
	if len(fds) > 0 {
		var err error
		if next, err = channel.New(fds.Take(0)); err != nil {
			return err
		}
	}
	select {
	case conf.given <- next:
		return nil
	default:
		return errProtocol
	}
}

func (w *worker) set(id uint32, conf *config) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if conf == nil {
		delete(w.configs, id)
		return
	}
	w.configs[id] = conf
}

func (w *worker) get(id uint32) *config {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.configs[id]
}
