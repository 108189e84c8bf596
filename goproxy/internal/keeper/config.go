// SPDX-License-Identifier: ISC

package keeper

import (
	"errors"
	"maps"
	"sync"

	"golang.org/x/sys/unix"

	"libtls-proxy/goproxy/internal/channel"
	"libtls-proxy/goproxy/internal/wire"
)

// A config is what a worker is given to serve: a committed configuration, or
// one for the only connection of its channel.
type config struct {
	id       uint32 // the worker's number for it
	draft    uint32
	use      use
	keys     map[uint32]*key
	attached map[uint32]*key // each for one connection; under the keeper's mutex
	pairs    int
	asks     bool // has requests: START brings one descriptor more
	document int
	update   channel.Fds // the last update's document, if there was one
	channel  *channel.Conn

	single bool
	signed bool // a single one has had its signature

	// next is the same for connections that the worker has no room for,
	// and nextWorker who serves it.
	next       *config
	nextWorker *worker

	// answer is called once: with an empty text when a worker is ready, or
	// else with what the application shall see. gone is called at the end.
	answer func(text string)
	gone   func()

	ready bool
	// attempts counts the workers that were given the configuration and
	// have not said that it is ready.
	attempts int
}

// copy returns another config with documents of its own.
func (conf *config) copy() (*config, error) {
	c := &config{draft: conf.draft, use: conf.use, keys: conf.keys, pairs: conf.pairs, asks: conf.asks, document: -1}
	var err error
	if c.document, err = duplicate(conf.document); err != nil {
		return nil, err
	}
	for _, fd := range conf.update {
		if fd, err = duplicate(fd); err != nil {
			c.close()
			return nil, err
		}
		c.update = append(c.update, fd)
	}
	return c, nil
}

// copyOn returns a copy on a channel of its own, and the other end of that.
func (conf *config) copyOn() (c *config, ours *channel.Conn, err error) {
	if c, err = conf.copy(); err != nil {
		return nil, nil, err
	}
	ours, end, err := channel.Pair()
	if err != nil {
		c.close()
		return nil, nil, err
	}
	if c.channel, err = channel.New(end); err != nil {
		ours.Close()
		c.close()
		return nil, nil, err
	}
	return c, ours, nil
}

// apologizes has the application hear why there is no worker for a copy.
func (conf *config) apologizes() {
	conf.answer = func(text string) {
		if text != "" {
			c := conf.channel
			conf.channel = nil // apologize has it now
			go apologize(c, conf.asks, text)
		}
	}
}

func duplicate(fd int) (int, error) { return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0) }

// close is called again where a single one has become ready.
func (conf *config) close() {
	if conf.document >= 0 {
		unix.Close(conf.document)
		conf.document = -1
	}
	conf.update.Close()
	conf.update = nil
	if conf.channel != nil {
		conf.channel.Close()
		conf.channel = nil
	}
}

// replaceUpdate takes the document of an update over if it fits the
// configuration. The next worker shall not be given one that it cannot use.
func (conf *config) replaceUpdate(document channel.Fds) error {
	data, err := readDocument(document[0])
	if err != nil {
		return err
	}
	defer clear(data)
	live, err := wire.DecodeUpdate(data)
	if err != nil {
		return err
	}
	if err := live.Check(conf.pairs); err != nil {
		return err
	}
	conf.update.Close()
	conf.update = channel.Fds{document.Take(0)}
	return nil
}

// list gives a configuration a number of its own, if it has none yet.
func (k *keeper) list(conf *config) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for conf.id == 0 {
		k.lastID++
		if k.configs[k.lastID] == nil {
			conf.id = k.lastID
		}
	}
	k.configs[conf.id] = conf
}

func (k *keeper) unlist(conf *config) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.configs, conf.id)
}

// commit takes a checked configuration, which counts as a user.
func (k *keeper) commit(conf *config, isolation uint8) {
	k.mu.Lock()
	k.users++
	k.mu.Unlock()
	if isolation == wire.IsolationConnection {
		k.startOpener(conf)
		return
	}
	app := conf.channel
	// If the application has gone it needs no answer.
	conf.answer = func(text string) { _ = app.Send(&wire.CommitReply{Error: text}) }
	conf.gone = k.drop
	if isolation == wire.IsolationConfig {
		k.isolate(conf)
		return
	}
	k.place(conf, k.join, false)
}

// isolate has a worker serve the configuration and no other.
func (k *keeper) isolate(conf *config) *worker { return k.place(conf, k.pick, true) }

// place has a worker that find returns serve the configuration. It returns
// nil if there is none.
func (k *keeper) place(conf *config, find func() (w *worker, created bool), final bool) *worker {
	for {
		w, created := find()
		if w == nil {
			conf.refuse(errTooMany)
			return nil
		}
		// One that was there already may end meanwhile.
		added := w.add(conf, final)
		if created {
			go w.run()
		}
		if added {
			return w
		}
	}
}

// refuse ends a configuration that no worker was found for.
func (conf *config) refuse(err error) {
	conf.answer(err.Error())
	conf.close()
	if conf.gone != nil {
		conf.gone()
	}
}

// An opener is a configuration of which each connection has a worker for
// itself. The keeper serves its channel, and opens others on it.
type opener struct {
	keeper *keeper
	*config

	mu      sync.Mutex
	singles map[*config]*worker // which an update concerns
}

// startOpener first lets a worker try the configuration, as one that is no good
// shall be refused when it is committed.
func (k *keeper) startOpener(conf *config) {
	o := &opener{keeper: k, config: conf, singles: make(map[*config]*worker)}
	k.mu.Lock()
	k.strict++
	k.mu.Unlock()
	refuse := func(text string) {
		_ = conf.channel.Send(&wire.CommitReply{Error: text})
		o.end()
	}
	trial, ours, err := conf.copyOn()
	if err != nil {
		refuse(readError("failed to keep configuration", err))
		return
	}
	trial.single = true
	trial.answer = func(text string) {
		ours.Close()
		if text != "" {
			refuse(text)
			return
		}
		_ = conf.channel.Send(&wire.CommitReply{})
		go o.serve()
	}
	k.isolate(trial)
	// Meanwhile the worker of the first connection starts.
	k.prepare()
}

func (o *opener) serve() {
	defer o.end()
	for {
		b, fds, err := o.channel.Recv()
		if errors.Is(err, channel.ErrExhausted) {
			continue
		}
		if err != nil || !o.handle(b, fds) {
			return
		}
	}
}

func (o *opener) end() {
	o.config.close()
	o.keeper.relax()
	o.keeper.drop()
}

func (o *opener) handle(b []byte, fds channel.Fds) bool {
	defer fds.Close()
	m, err := wire.Decode("library", "config", b, len(fds))
	if err != nil {
		return false
	}
	switch m.(type) {
	case *wire.Open:
		c, err := channel.New(fds.Take(0))
		if err != nil {
			// Only this connection is wrong.
			return true
		}
		o.open(c)
		return true
	case *wire.Update:
		if o.replaceUpdate(fds) != nil {
			return false
		}
		o.refresh()
		return true
	}
	return false
}

// open has a worker serve a channel for one connection.
func (o *opener) open(c *channel.Conn) {
	conf, err := o.copy()
	if err != nil {
		go apologize(c, o.asks, readError("failed to open a channel", err))
		return
	}
	conf.channel = c
	conf.single = true
	conf.apologizes()
	conf.gone = func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.singles, conf)
	}
	o.mu.Lock()
	o.singles[conf] = nil
	o.mu.Unlock()
	w := o.keeper.isolate(conf)
	o.mu.Lock()
	if _, there := o.singles[conf]; there {
		o.singles[conf] = w
	}
	o.mu.Unlock()
	o.keeper.prepare()
}

// refresh tells the workers of the connections that there are of an update.
func (o *opener) refresh() {
	o.mu.Lock()
	singles := maps.Clone(o.singles)
	o.mu.Unlock()
	for conf, w := range singles {
		w.refresh(conf, o.update[0])
	}
}
