// SPDX-License-Identifier: ISC

// Package keeper holds private keys and signs with them. It never sees a byte
// from the network, and it sees that a worker runs.
package keeper

import (
	"errors"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"libtls-proxy/goproxy/internal/channel"
	"libtls-proxy/goproxy/internal/tlsconf"
	"libtls-proxy/goproxy/internal/wire"
)

// maxKeys bounds the keys of a draft.
const maxKeys = 1 << 14

// MaxWorkers bounds the workers that run at the same time.
const MaxWorkers = 1024

type keeper struct {
	release    string
	supervisor *channel.Conn
	sem        semaphores
	collector  collector
	// running counts the workers, and one for as long as users is not 0.
	running sync.WaitGroup

	mu     sync.Mutex
	drafts uint32
	// doors are what the application can ask for more on: the control
	// channel and the drafts.
	doors map[*channel.Conn]bool
	// users counts what can still become or is a configuration: the doors
	// and committed configurations.
	users    int
	orphaned bool
	workers  int
	shared   *worker       // of all configurations that have none for themselves
	spare    *worker       // started in advance; has seen nothing yet
	strict   int           // configurations with a worker for each connection
	first    *channel.Conn // the link to a process that no worker has yet

	// configs are those that workers were given, by number.
	lastID  uint32
	configs map[uint32]*config

	// What INFO tells.
	links       map[*link]bool // of workers that run
	died        uint32
	signatures  uint64
	refused     uint64
	refusedLast string

	reported time.Time // the last REPORT
}

var errSupervisor = errors.New("goproxy has lost its supervisor")

// Run serves the control channel until no configuration is left. It owns the
// descriptors. The link is to a worker that has been started already, or -1.
func Run(control, supervisor, link int, release string) error {
	fds := channel.Fds{control, supervisor, link}
	defer fds.Close()
	ctl, err := channel.New(fds.Take(0))
	if err != nil {
		return err
	}
	defer ctl.Close()
	sup, err := channel.New(fds.Take(1))
	if err != nil {
		return err
	}
	defer sup.Close()
	k := newKeeper(release, sup)
	if link >= 0 {
		if k.first, err = channel.New(fds.Take(2)); err != nil {
			return err
		}
	}
	k.running.Add(1)
	k.hold(ctl)
	// The first configuration shall not have to wait for its worker.
	k.mu.Lock()
	k.prepareLocked()
	k.mu.Unlock()
	go k.watch()
	go k.control(ctl)
	k.running.Wait()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.orphaned {
		return errSupervisor
	}
	return nil
}

func newKeeper(release string, supervisor *channel.Conn) *keeper {
	return &keeper{
		release:    release,
		supervisor: supervisor,
		sem:        newSemaphores(),
		doors:      make(map[*channel.Conn]bool),
		configs:    make(map[uint32]*config),
		links:      make(map[*link]bool),
	}
}

// watch waits for the supervisor's end. What is served goes on, but the
// application has to turn to another keeper with what is new.
func (k *keeper) watch() {
	_, fds, _ := k.supervisor.Recv()
	fds.Close()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.orphaned = true
	for c := range k.doors {
		c.Close()
	}
}

// control accepts drafts.
func (k *keeper) control(ctl *channel.Conn) {
	defer k.leave(ctl)
	for {
		b, fds, err := ctl.Recv()
		if errors.Is(err, channel.ErrExhausted) {
			continue
		}
		if err != nil || !k.handleControl(b, fds) {
			return
		}
	}
}

func (k *keeper) handleControl(b []byte, fds channel.Fds) bool {
	defer fds.Close()
	m, err := wire.Decode("library", "control", b, len(fds))
	var version *wire.VersionError
	if err != nil && !(errors.As(err, &version) && len(fds) == 1) {
		return false
	}
	switch m.(type) {
	case *wire.Info:
		// Who does not wait for the answer does not need it.
		_ = channel.Reply(fds.Take(0), k.info())
		return true
	case *wire.Report:
		k.report(fds)
		return true
	}
	c, err := channel.New(fds.Take(0))
	if err != nil {
		// Only this draft is wrong.
		return true
	}
	if c.Send(&wire.HelloReply{Release: k.release}) != nil || version != nil {
		c.Close()
		return true
	}
	d := &draft{keeper: k, id: k.hold(c), channel: c, keys: make(map[uint32]*key), signers: make(map[uint32]*key)}
	go d.serve()
	return true
}

// hold counts a door, and gives it a number of its own.
func (k *keeper) hold(door *channel.Conn) uint32 {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.users++
	k.drafts++
	k.doors[door] = true
	if k.orphaned {
		door.Close()
	}
	return k.drafts
}

// leave closes a door.
func (k *keeper) leave(door *channel.Conn) {
	door.Close()
	k.mu.Lock()
	delete(k.doors, door)
	k.mu.Unlock()
	k.drop()
}

// drop takes a user away. After the last one no configuration can come.
func (k *keeper) drop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.users--
	if k.users > 0 {
		return
	}
	// Not here: it may be one of them that calls.
	if k.spare != nil {
		go k.spare.finish()
	}
	for w := k.shared; w != nil; w = w.next {
		go w.finish()
	}
	k.running.Done()
}

// A draft is a configuration that is being put together.
type draft struct {
	keeper  *keeper
	id      uint32
	channel *channel.Conn
	keys    map[uint32]*key
	signers map[uint32]*key
	last    uint32
}

func (d *draft) serve() {
	defer d.keeper.leave(d.channel)
	defer d.keeper.collector.wake()
	for {
		b, fds, err := d.channel.Recv()
		if errors.Is(err, channel.ErrExhausted) {
			continue
		}
		if err != nil || !d.handle(b, fds) {
			return
		}
	}
}

func (d *draft) handle(b []byte, fds channel.Fds) bool {
	defer fds.Close()
	m, err := wire.Decode("library", "draft", b, len(fds))
	if err != nil {
		return false
	}
	switch m := m.(type) {
	case *wire.AddKey:
		reply := fds.Take(1)
		text, slot := d.add(fds[0])
		// Who does not wait for the answer cannot use the key, and who
		// has gone is noticed by the draft's end.
		_ = channel.Reply(reply, &wire.AddKeyReply{Error: text, Slot: slot})
	case *wire.DropKey:
		delete(d.keys, m.Slot)
		d.keeper.collector.wake()
	case *wire.CheckCert:
		reply := fds.Take(1)
		hash, text := d.checkCert(fds[0])
		_ = channel.Reply(reply, &wire.CheckCertReply{Error: text, Hash: hash})
	case *wire.DecryptKey:
		reply := fds.Take(1)
		key, text := d.decrypt(fds[0], m.Password)
		_ = channel.Reply(reply, &wire.DecryptKeyReply{Error: text, Key: key})
		clear(key)
	case *wire.AddSigner:
		reply := fds.Take(2)
		_ = channel.Reply(reply, d.addSigner(fds[0], fds[1]))
	case *wire.SignRaw:
		d.startSignRaw(m, fds.Take(0))
	case *wire.AttachKey:
		reply := fds.Take(2)
		_ = channel.Reply(reply, d.attachKey(m.Config, fds[0], fds[1]))
	case *wire.Commit:
		return d.commit(m.Isolation, fds)
	}
	return true
}

func (d *draft) add(fd int) (text string, slot uint32) {
	if len(d.keys) >= maxKeys || d.last == wire.AppSlot-1 {
		return "too many private keys", 0
	}
	data, err := d.read(fd)
	if err != nil {
		return readError("failed to read private key", err), 0
	}
	defer clear(data)
	d.keeper.collector.wake()
	d.last++
	d.keys[d.last] = parseKey(data)
	return "", d.last
}

// read reads what the application gave, at most as much as a key may have.
func (d *draft) read(fd int) (data []byte, err error) {
	err = d.channel.With(func(draft int) error {
		data, err = readAll(fd, draft, wire.MaxKey)
		return err
	})
	return data, err
}

func (d *draft) checkCert(fd int) (hash, text string) {
	data, err := d.read(fd)
	if err != nil {
		return "", readError("failed to read certificate", err)
	}
	if hash, err = leafHash(data); err != nil {
		return "", "failed to load certificate: " + err.Error()
	}
	return hash, ""
}

// decrypt can take seconds, in which the draft does nothing else.
func (d *draft) decrypt(fd int, password []byte) (key []byte, text string) {
	defer clear(password)
	data, err := d.read(fd)
	if err != nil {
		return nil, readError("failed to read private key", err)
	}
	defer clear(data)
	d.keeper.collector.wake()
	return decryptKey(data, password)
}

func (d *draft) commit(isolation uint8, fds channel.Fds) bool {
	if isolation > wire.IsolationConnection {
		return false
	}
	c, err := channel.New(fds.Take(1))
	if err != nil {
		return true
	}
	conf, err := d.check(fds[0])
	if err != nil {
		_ = c.Send(&wire.CommitReply{Error: err.Error()})
		c.Close()
		return true
	}
	conf.document = fds.Take(0)
	conf.channel = c
	conf.draft = d.id
	d.keeper.commit(conf, isolation)
	return true
}

// check reads a document and compares its certificates with the keys.
func (d *draft) check(fd int) (*config, error) {
	data, err := readDocument(fd)
	if err != nil {
		return nil, err
	}
	// There may be ticket keys in it.
	defer clear(data)
	settings, pairs, _, err := wire.DecodeDocument(data)
	if err != nil {
		return nil, err
	}
	conf := &config{
		use:   use{role: settings.Role, protocols: settings.Protocols},
		keys:  make(map[uint32]*key),
		pairs: len(pairs),
		asks:  settings.Requests != 0,
	}
	for _, p := range pairs {
		if err := d.checkPair(conf, p); err != nil {
			return nil, err
		}
	}
	bare := func(p *wire.Keypair) bool { return p.Slot == wire.AppSlot }
	if conf.use.role == wire.RoleServer && len(conf.keys) == 0 && !slices.ContainsFunc(pairs, bare) {
		return nil, errMismatch
	}
	return conf, nil
}

func readDocument(fd int) ([]byte, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, errors.New(readError("failed to read configuration", err))
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, errors.New("configuration is not a file")
	}
	data, err := readFile(fd, wire.MaxDocument)
	if err != nil {
		return nil, errors.New(readError("failed to read configuration", err))
	}
	return data, nil
}

func (d *draft) checkPair(conf *config, p *wire.Keypair) error {
	if p.Slot == 0 && len(p.Certificate) == 0 {
		return nil
	}
	var chain *tlsconf.Chain
	if len(p.Certificate) != 0 {
		var err error
		if chain, err = tlsconf.ParseChain(p.Certificate); err != nil {
			return err
		}
	}
	if p.Slot == 0 {
		return errMismatch
	}
	if p.Slot == wire.AppSlot {
		if chain != nil && !tlsconf.AppSigned(chain.Leaf.PublicKey) {
			return tlsconf.ErrKeyType
		}
		return nil
	}
	key := d.keys[p.Slot]
	if key == nil {
		return errReadKey
	}
	if key.err != nil {
		return key.err
	}
	if chain == nil || !key.matches(chain.Leaf.PublicKey) {
		return errMismatch
	}
	conf.keys[p.Slot] = key
	if conf.use.leaf == nil {
		conf.use.leaf = chain.Leaf.Raw
	}
	return nil
}
