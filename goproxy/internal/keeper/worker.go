// SPDX-License-Identifier: ISC

package keeper

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"libtls-proxy/goproxy/internal/channel"
	"libtls-proxy/goproxy/internal/wire"
)

const (
	// A worker that lives shorter than this died soon.
	shortLife = time.Second
	// After this many in a row the next one has to wait.
	freeDeaths = 3
	minBackoff = 50 * time.Millisecond
	maxBackoff = 2 * time.Second
	// A configuration that was not ready when so many workers died is to
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
	n := runtime.GOMAXPROCS(0)
	return semaphores{
		rsa:   make(chan struct{}, max(1, n-1)),
		other: make(chan struct{}, n),
	}
}

// A link is the way to one worker.
type link struct {
	channel *channel.Conn
	pending chan struct{}
}

// send does not fail: a worker that has gone shows at the reading end.
func (l *link) send(m wire.Message) { _ = l.channel.Send(m) }

// supervise starts workers, one after another, and serves each until it dies.
func (k *keeper) supervise() error {
	for {
		c, end, err := channel.Pair()
		if err != nil {
			return fmt.Errorf("open link: %w", err)
		}
		err = k.supervisor.Send(&wire.Spawn{}, end)
		unix.Close(end)
		if err != nil {
			c.Close()
			return fmt.Errorf("ask for a worker: %w", err)
		}
		started := time.Now()
		k.serve(&link{channel: c, pending: make(chan struct{}, maxPending)})
		c.Close()
		k.countDeath()
		k.backoff(time.Since(started))
		if k.finished() {
			return nil
		}
	}
}

func (k *keeper) finished() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.drained
}

// countDeath does not count workers that have done all their work.
func (k *keeper) countDeath() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.drained {
		k.died++
	}
}

func (k *keeper) backoff(lived time.Duration) {
	if k.finished() {
		return
	}
	if lived >= shortLife {
		k.deaths = 0
		return
	}
	k.deaths++
	if k.deaths < freeDeaths {
		return
	}
	time.Sleep(min(minBackoff<<min(k.deaths-freeDeaths, 10), maxBackoff))
}

func (k *keeper) serve(l *link) {
	k.mu.Lock()
	k.link = l
	for _, conf := range k.configs {
		k.give(conf)
	}
	if k.drained {
		l.send(&wire.Drain{})
	}
	k.mu.Unlock()

	for {
		b, fds, err := l.channel.Recv()
		if errors.Is(err, channel.ErrExhausted) {
			continue
		}
		if err != nil {
			break
		}
		if err := k.handle(l, b, fds); err != nil {
			break
		}
	}

	k.mu.Lock()
	defer k.mu.Unlock()
	k.link = nil
	for _, conf := range k.configs {
		if !conf.ready && conf.attempts >= maxAttempts {
			k.fail(conf, "goproxy's worker died while it loaded the configuration")
		}
	}
}

// give hands a configuration to the worker.
func (k *keeper) give(conf *config) {
	conf.attempts++
	err := conf.channel.With(func(fd int) error {
		fds := append([]int{conf.document, fd}, conf.update...)
		return k.link.channel.Send(&wire.Config{Config: conf.id, Draft: conf.draft}, fds...)
	})
	// That the worker has died shows at the reading end of the link, and
	// the next one is given the configuration again.
	if err != nil && !errors.Is(err, unix.EPIPE) && !errors.Is(err, unix.ECONNRESET) {
		k.fail(conf, readError("failed to hand the configuration to the worker", err))
	}
}

// fail gives a configuration up, with a text for the application if that
// still waits for one.
func (k *keeper) fail(conf *config, text string) {
	if !conf.ready {
		// If the application has gone it needs no answer.
		_ = conf.channel.Send(&wire.CommitReply{Error: text})
	}
	k.forget(conf)
}

// commit takes a checked configuration, and the draft's user with it stays.
func (k *keeper) commit(conf *config) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for {
		k.nextID++
		if _, taken := k.configs[k.nextID]; !taken && k.nextID != 0 {
			break
		}
	}
	conf.id = k.nextID
	k.configs[conf.id] = conf
	k.users++
	if k.link != nil {
		k.give(conf)
	}
}

// forget drops a configuration and the keys that nothing else uses.
func (k *keeper) forget(conf *config) {
	delete(k.configs, conf.id)
	unix.Close(conf.document)
	conf.update.Close()
	conf.channel.Close()
	k.collector.wake()
	k.dropLocked()
}

var errWorker = errors.New("the worker broke the protocol")

func (k *keeper) handle(l *link, b []byte, fds channel.Fds) error {
	defer fds.Close()
	m, err := wire.Decode("worker", "link", b, len(fds))
	if err != nil {
		return err
	}
	switch m := m.(type) {
	case *wire.Sign:
		return k.sign(l, m)
	case *wire.ConfigReady:
		return k.configReady(m)
	case *wire.ConfigUpdate:
		return k.configUpdate(m, fds)
	case *wire.KeyDone:
		return k.keyDone(m)
	case *wire.ConfigClosed:
		k.mu.Lock()
		defer k.mu.Unlock()
		conf := k.configs[m.Config]
		if conf == nil {
			return errWorker
		}
		k.forget(conf)
	}
	return nil
}

func (k *keeper) configReady(m *wire.ConfigReady) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	conf := k.configs[m.Config]
	if conf == nil {
		return errWorker
	}
	if m.Error != "" {
		// Should a new worker not be able to serve what the last one
		// could, the end of the channel says so.
		k.fail(conf, m.Error)
		return nil
	}
	if !conf.ready {
		conf.ready = true
		// If the application has gone the worker will notice.
		_ = conf.channel.Send(&wire.CommitReply{})
	}
	return nil
}

// configUpdate keeps the document of an update for the next worker, which
// shall not be given one that it cannot use.
func (k *keeper) configUpdate(m *wire.ConfigUpdate, fds channel.Fds) error {
	data, err := readDocument(fds[0])
	if err != nil {
		return err
	}
	defer clear(data)
	live, err := wire.DecodeUpdate(data)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	conf := k.configs[m.Config]
	if conf == nil {
		return errWorker
	}
	if err := live.Check(conf.pairs); err != nil {
		return err
	}
	conf.update.Close()
	conf.update = channel.Fds{fds.Take(0)}
	return nil
}

// sign answers a request, when its turn comes.
func (k *keeper) sign(l *link, m *wire.Sign) error {
	k.mu.Lock()
	var key *key
	var use *use
	if conf := k.configs[m.Config]; conf != nil {
		key, use = conf.keys[m.Slot], &conf.use
		if key != nil && key.leaf != nil {
			own := *use
			own.leaf = key.leaf
			use = &own
		}
	}
	k.mu.Unlock()
	if key == nil {
		k.refuse(l, m, errNoSuchKey)
		return nil
	}
	select {
	case l.pending <- struct{}{}:
	default:
		// Our worker never asks for so many.
		return errWorker
	}
	sem := k.sem.other
	if _, ok := key.public.(*rsa.PublicKey); ok {
		sem = k.sem.rsa
	}
	go func() {
		defer func() { <-l.pending }()
		sem <- struct{}{}
		signature, err := sign(key, use, m.Scheme, m.Message)
		<-sem
		if err != nil {
			k.refuse(l, m, err)
			return
		}
		k.collector.wake()
		k.mu.Lock()
		k.signatures++
		k.mu.Unlock()
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
