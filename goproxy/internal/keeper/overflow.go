// SPDX-License-Identifier: ISC

package keeper

import (
	"libtls-proxy/goproxy/internal/wire"
)

// A worker whose descriptors are used up asks for another one beside it, and
// is to it what the application is to the first: it passes connections on over
// a config channel of their own.

// overflow has another worker serve the configuration too; called with the
// mutex of w held.
func (w *worker) overflow(l *link, conf *config) error {
	if conf.single {
		return errWorker
	}
	m := &wire.OverflowReply{Config: conf.id}
	// Before the last one has ended it is not another's turn.
	if conf.next != nil {
		l.send(m)
		return nil
	}
	next, ours, err := conf.copyOn()
	if err != nil {
		l.send(m)
		return nil
	}
	defer ours.Close()
	next.apologizes()
	// The next worker's mutex is held by whoever calls this.
	next.gone = func() { go w.forgetNext(conf, next) }
	conf.next = next
	find, final := w.successor, false
	if w.final {
		find, final = w.keeper.pick, true
	}
	conf.nextWorker = w.keeper.place(next, find, final)
	if conf.nextWorker == nil {
		conf.next = nil
		l.send(m)
		return nil
	}
	_ = ours.With(func(fd int) error {
		l.send(m, fd)
		return nil
	})
	return nil
}

func (w *worker) forgetNext(conf, next *config) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if conf.next == next {
		conf.next, conf.nextWorker = nil, nil
	}
}

// successor returns the worker that takes what has no room in w, as pick does.
func (w *worker) successor() (next *worker, created bool) {
	k := w.keeper
	k.mu.Lock()
	defer k.mu.Unlock()
	if w.next == nil {
		w.next, created = k.pickLocked()
	}
	return w.next, created
}
