// SPDX-License-Identifier: ISC

package keeper

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"libtls-proxy/goproxy/internal/channel"
	"libtls-proxy/goproxy/internal/procs"
	"libtls-proxy/goproxy/internal/wire"
)

const (
	// A process that lives shorter than this died soon.
	shortLife = time.Second
	// After this many in a row the next one has to wait.
	freeDeaths = 3
	minBackoff = 50 * time.Millisecond
	maxBackoff = 2 * time.Second
	// From so long a wait on the application is told.
	longBackoff = 200 * time.Millisecond
	// A configuration that was not ready when so many processes died is to
	// blame itself.
	maxAttempts = 2
	// maxPending bounds a worker's signatures that are under way.
	maxPending = 1024
)

// semaphores bound the signatures that are computed at the same time. RSA is
// slow and has its own, which leaves processors to the rest.
type semaphores struct {
	rsa, other chan struct{}
}

func newSemaphores() semaphores {
	n := procs.Max()
	return semaphores{
		rsa:   make(chan struct{}, max(1, n-1)),
		other: make(chan struct{}, n),
	}
}

// A worker serves configurations by a process, and another one after that has
// died. It ends when it has no configuration left.
//
// The keeper's mutex may be locked while a worker's is, not the other way
// round.
type worker struct {
	keeper *keeper

	mu      sync.Mutex
	configs map[uint32]*config
	link    *link // nil while there is no process
	final   bool  // no other configuration will come
	ended   bool
	next    *worker // takes what has no room here; under the keeper's mutex

	// deaths counts processes that died soon, one after another. After too
	// many there is a pause until retry, and cause says why.
	deaths int
	cause  string
	retry  time.Time
	// forgotten ends the pause where nothing is left to wait for.
	forgotten chan struct{}
}

func newWorker(k *keeper) *worker {
	return &worker{keeper: k, configs: make(map[uint32]*config), forgotten: make(chan struct{}, 1)}
}

// A link is the way to a worker's process.
type link struct {
	channel *channel.Conn
	pending chan struct{}
}

// send does not fail: a process that has gone shows at the reading end.
func (l *link) send(m wire.Message, fds ...int) { _ = l.channel.Send(m, fds...) }

var errTooMany = fmt.Errorf("goproxy has %d workers, and starts no more", MaxWorkers)

// pick returns the worker that was started in advance, or creates one, which
// the caller then has to run. It returns nil where there are too many.
func (k *keeper) pick() (w *worker, created bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.pickLocked()
}

func (k *keeper) pickLocked() (w *worker, created bool) {
	if w, k.spare = k.spare, nil; w != nil {
		return w, false
	}
	w = k.createLocked()
	return w, w != nil
}

func (k *keeper) createLocked() *worker {
	if k.workers >= MaxWorkers {
		return nil
	}
	k.workers++
	k.running.Add(1)
	return newWorker(k)
}

// join returns the worker that configurations share, as pick does.
func (k *keeper) join() (w *worker, created bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.shared == nil {
		k.shared, created = k.pickLocked()
	}
	return k.shared, created
}

// prepare starts a worker in advance, if there is none and somebody will want
// it.
func (k *keeper) prepare() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.spare == nil && k.strict > 0 {
		k.prepareLocked()
	}
}

func (k *keeper) prepareLocked() {
	if k.spare = k.createLocked(); k.spare != nil {
		go k.spare.run()
	}
}

// relax undoes prepare after the last configuration that needed it.
func (k *keeper) relax() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.strict--; k.strict == 0 && k.spare != nil {
		go k.spare.finish()
		k.spare = nil
	}
}

// end takes the worker off the keeper's lists; called with its mutex held.
func (w *worker) end() {
	w.ended = true
	k := w.keeper
	k.mu.Lock()
	defer k.mu.Unlock()
	k.workers--
	if k.shared == w {
		k.shared = w.next
	}
	if k.spare == w {
		k.spare = nil
	}
	for p := k.shared; p != nil; p = p.next {
		if p.next == w {
			p.next = w.next
		}
	}
}

// run starts processes, one after another, and serves each until it ends.
func (w *worker) run() {
	defer w.keeper.running.Done()
	for again := true; again; {
		started := time.Now()
		l, err := w.keeper.spawn()
		if err == nil {
			err = w.serve(l)
			l.channel.Close()
		}
		again = w.again(time.Since(started), err)
	}
}

// spawn asks for a process, unless there is the first one.
func (k *keeper) spawn() (*link, error) {
	if c := k.takeFirst(); c != nil {
		return newLink(c), nil
	}
	c, end, err := channel.Pair()
	if err != nil {
		return nil, err
	}
	err = k.supervisor.Send(&wire.Spawn{}, end)
	unix.Close(end)
	if err != nil {
		c.Close()
		if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
			err = errSupervisor
		}
		return nil, err
	}
	return newLink(c), nil
}

func (k *keeper) takeFirst() *channel.Conn {
	k.mu.Lock()
	defer k.mu.Unlock()
	c := k.first
	k.first = nil
	return c
}

func newLink(c *channel.Conn) *link {
	return &link{channel: c, pending: make(chan struct{}, maxPending)}
}

// serve returns when the process has ended, with the reason if it did not
// even start.
func (w *worker) serve(l *link) error {
	w.keeper.enlist(l)
	defer w.keeper.discharge(l)
	w.mu.Lock()
	w.link = l
	for _, conf := range w.configs {
		w.give(conf)
	}
	if w.final {
		l.send(&wire.Drain{})
	}
	w.mu.Unlock()

	for {
		b, fds, err := l.channel.Recv()
		if errors.Is(err, channel.ErrExhausted) {
			continue
		}
		if err == nil {
			err = w.handle(l, b, fds)
		}
		var cause startError
		switch {
		case errors.As(err, &cause):
			return cause
		case err != nil:
			return nil
		}
	}
}

// enlist and discharge keep account of the workers that run.
func (k *keeper) enlist(l *link) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.links[l] = true
}

func (k *keeper) discharge(l *link) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.links, l)
}

// A startError says why the supervisor could not start a process.
type startError struct{ unix.Errno }

func (e startError) Unwrap() error { return e.Errno }

// again looks after the configurations of a process that has ended, and
// reports whether there shall be another one for them.
func (w *worker) again(lived time.Duration, err error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.link = nil
	if lived >= shortLife {
		w.deaths = 0
	} else {
		w.deaths++
	}
	cause := deathText(w.deaths, err)
	if err == nil && !w.final {
		w.keeper.mu.Lock()
		w.keeper.died++
		w.keeper.mu.Unlock()
	}
	for _, conf := range w.configs {
		w.keeper.detachAll(conf)
		switch {
		case errors.Is(err, errSupervisor), !conf.ready && conf.attempts >= maxAttempts:
			w.fail(conf, cause)
		case conf.single && conf.ready:
			// Its connection has died with the process.
			w.forget(conf)
		}
	}
	if w.deaths >= freeDeaths && len(w.configs) > 0 {
		w.pause(min(minBackoff<<min(w.deaths-freeDeaths, 10), maxBackoff), cause)
	}
	if len(w.configs) == 0 {
		w.end()
		return false
	}
	return true
}

func deathText(deaths int, err error) string {
	switch {
	case errors.Is(err, errSupervisor):
		return err.Error()
	case err != nil:
		return readError("failed to start goproxy's worker", err)
	case deaths < freeDeaths:
		return "goproxy's worker died while it loaded the configuration"
	}
	return fmt.Sprintf("goproxy's worker has died %d times in a row", deaths)
}

// pause waits. If that takes long it answers in the place of the process that
// is not there. Called with the mutex held, which it unlocks meanwhile.
func (w *worker) pause(wait time.Duration, cause string) {
	if wait < longBackoff {
		w.mu.Unlock()
		time.Sleep(wait)
		w.mu.Lock()
		return
	}
	w.cause, w.retry = cause, time.Now().Add(wait)
	var answering sync.WaitGroup
	var channels []*channel.Conn
	for _, conf := range w.configs {
		if !conf.ready {
			w.fail(conf, w.excuse())
			continue
		}
		c := conf.channel
		channels = append(channels, c)
		answering.Go(func() { w.standIn(conf, c) })
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for over := false; !over && len(w.configs) > 0; {
		w.mu.Unlock()
		select {
		case <-timer.C:
			over = true
		case <-w.forgotten:
		}
		w.mu.Lock()
	}
	w.mu.Unlock()
	for _, c := range channels {
		c.StopRecv(true)
	}
	answering.Wait()
	for _, c := range channels {
		c.StopRecv(false)
	}
	w.mu.Lock()
	w.cause = ""
}

// excuse says why there is no process, and when there will be one.
func (w *worker) excuse() string {
	wait := max(time.Until(w.retry), time.Millisecond).Round(time.Millisecond)
	return fmt.Sprintf("%s; the next one starts in %v", w.cause, wait)
}

// add has the worker serve a configuration, unless it has come to its end.
// A final one is the last.
func (w *worker) add(conf *config, final bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended || w.final {
		return false
	}
	w.keeper.list(conf)
	w.configs[conf.id] = conf
	switch {
	case w.cause != "":
		w.fail(conf, w.excuse())
	case w.link != nil:
		w.give(conf)
	}
	if final {
		w.finishLocked()
	}
	return true
}

// finish tells the process that no other configuration will come.
func (w *worker) finish() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.finishLocked()
}

func (w *worker) finishLocked() {
	if w.final {
		return
	}
	w.final = true
	if w.link != nil {
		w.link.send(&wire.Drain{})
	}
}

// give hands a configuration to the process.
func (w *worker) give(conf *config) {
	conf.attempts++
	m := &wire.Config{Config: conf.id, Draft: conf.draft}
	if conf.single {
		m.Single = 1
	}
	err := conf.channel.With(func(fd int) error {
		fds := append([]int{conf.document, fd}, conf.update...)
		return w.link.channel.Send(m, fds...)
	})
	// That the process has died shows at the reading end of the link, and
	// the next one is given the configuration again.
	if err != nil && !errors.Is(err, unix.EPIPE) && !errors.Is(err, unix.ECONNRESET) {
		w.fail(conf, readError("failed to hand the configuration to the worker", err))
	}
}

// refresh hands an update to a configuration, if it is still there.
func (w *worker) refresh(conf *config, document int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.configs[conf.id] != conf {
		return
	}
	if !conf.single || !conf.ready {
		// Another process may have to begin with it: any but one for a
		// single connection, which ends with its process. Without a
		// descriptor for that it begins with what there was before.
		if fd, err := duplicate(document); err == nil {
			conf.update.Close()
			conf.update = channel.Fds{fd}
		}
	}
	if w.link != nil {
		w.link.send(&wire.Refresh{Config: conf.id}, document)
	}
	if conf.nextWorker != nil {
		conf.nextWorker.refresh(conf.next, document)
	}
}

// fail gives a configuration up, with a text for the application if that
// still waits for one.
func (w *worker) fail(conf *config, text string) {
	if !conf.ready {
		conf.answer(text)
	}
	w.forget(conf)
}

// forget drops a configuration and the keys that nothing else uses.
func (w *worker) forget(conf *config) {
	if w.configs[conf.id] != conf {
		return
	}
	delete(w.configs, conf.id)
	w.keeper.unlist(conf)
	w.keeper.collector.wake()
	conf.close()
	if conf.gone != nil {
		conf.gone()
	}
	select {
	case w.forgotten <- struct{}{}:
	default:
	}
}

var errWorker = errors.New("the worker broke the protocol")

func (w *worker) handle(l *link, b []byte, fds channel.Fds) error {
	defer fds.Close()
	m, err := wire.Decode("worker", "link", b, len(fds))
	if err != nil {
		m, other := wire.Decode("supervisor", "link", b, len(fds))
		if other != nil {
			return err
		}
		return startError{unix.Errno(m.(*wire.NoWorker).Error)}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch m := m.(type) {
	case *wire.Sign:
		return w.sign(l, m)
	case *wire.ConfigReady:
		conf := w.configs[m.Config]
		if conf == nil {
			return errWorker
		}
		w.configReady(conf, m.Error)
	case *wire.ConfigUpdate:
		conf := w.configs[m.Config]
		if conf == nil || conf.single {
			return errWorker
		}
		if err := conf.replaceUpdate(fds); err != nil {
			return err
		}
		if conf.nextWorker != nil {
			conf.nextWorker.refresh(conf.next, conf.update[0])
		}
	case *wire.Overflow:
		conf := w.configs[m.Config]
		if conf == nil {
			return errWorker
		}
		return w.overflow(l, conf)
	case *wire.KeyDone:
		if w.configs[m.Config] == nil {
			return errWorker
		}
		w.keeper.detach(w.configs[m.Config], m.Slot)
	case *wire.ConfigClosed:
		conf := w.configs[m.Config]
		if conf == nil {
			return errWorker
		}
		w.forget(conf)
	}
	return nil
}

func (w *worker) configReady(conf *config, text string) {
	if text != "" {
		// Should a new process not be able to serve what the last one
		// could, the end of the channel says so.
		w.fail(conf, text)
		return
	}
	if conf.ready {
		return
	}
	conf.ready = true
	conf.answer("")
	if conf.single {
		// It is given to no other process, and shall end with this one.
		conf.close()
	}
}

// sign answers a request, when its turn comes.
func (w *worker) sign(l *link, m *wire.Sign) error {
	var key *key
	conf := w.configs[m.Config]
	if conf != nil {
		key = w.keeper.keyOf(conf, m.Slot)
	}
	if key == nil {
		w.keeper.refuse(l, m, errNoSuchKey)
		return nil
	}
	if conf.single && conf.signed {
		w.keeper.refuse(l, m, errors.New("one connection, one signature"))
		return nil
	}
	conf.signed = true
	procs.Work()
	select {
	case l.pending <- struct{}{}:
	default:
		// Our worker never asks for so many.
		return errWorker
	}
	use := &conf.use
	if key.leaf != nil {
		own := conf.use
		own.leaf = key.leaf
		use = &own
	}
	sem := w.keeper.sem.other
	if _, ok := key.public.(*rsa.PublicKey); ok {
		sem = w.keeper.sem.rsa
	}
	go func() {
		defer func() { <-l.pending }()
		sem <- struct{}{}
		signature, err := sign(key, use, m.Scheme, m.Message)
		<-sem
		if err != nil {
			w.keeper.refuse(l, m, err)
			return
		}
		w.keeper.collector.wake()
		w.keeper.mu.Lock()
		w.keeper.signatures++
		w.keeper.mu.Unlock()
		l.send(&wire.SignReply{Request: m.Request, Signature: signature})
	}()
	return nil
}

func (k *keeper) refuse(l *link, m *wire.Sign, err error) {
	k.mu.Lock()
	k.refused++
	k.refusedLast = err.Error()
	k.mu.Unlock()
	if os.Getenv("GOPROXY_DEBUG") != "" {
		fmt.Fprintln(os.Stderr, "goproxy: refused to sign:", err)
	}
	l.send(&wire.SignReply{Request: m.Request, Error: err.Error()})
}
