// SPDX-License-Identifier: ISC

// Package keeper holds private keys and signs with them. It never sees a byte
// from the network, and it sees that a worker runs.
package keeper

import (
	"errors"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"libtls-proxy/goproxy/internal/channel"
	"libtls-proxy/goproxy/internal/tlsconf"
	"libtls-proxy/goproxy/internal/wire"
)

// maxKeys bounds the keys of a draft.
const maxKeys = 1 << 14

type keeper struct {
	release    string
	supervisor *channel.Conn
	sem        semaphores
	collector  collector

	mu      sync.Mutex
	nextID  uint32
	drafts  uint32
	configs map[uint32]*config
	link    *link // nil while there is no worker
	// deaths counts workers that died soon, one after another.
	deaths int
	// users counts what can still become or is a configuration: the
	// control channel, drafts, and committed configurations.
	users   int
	drained bool

	// What INFO tells.
	died        uint32
	signatures  uint64
	refused     uint64
	refusedLast string
}

// A config is a committed configuration.
type config struct {
	id       uint32
	draft    uint32
	use      use
	keys     map[uint32]*key
	highest  uint32 // slot of those it was committed with
	attached int    // keys beside those, each for one connection
	pairs    int
	document int
	update   channel.Fds // the last CONFIG_UPDATE's document, if there was one
	channel  *channel.Conn
	ready    bool
	// attempts counts the workers that were given the configuration and
	// have not said that it is ready.
	attempts int
}

// Run serves the control channel until no configuration is left. It owns both
// descriptors.
func Run(control, supervisor int, release string) error {
	ctl, err := channel.New(control)
	if err != nil {
		unix.Close(supervisor)
		return err
	}
	defer ctl.Close()
	sup, err := channel.New(supervisor)
	if err != nil {
		return err
	}
	defer sup.Close()
	k := &keeper{
		release:    release,
		supervisor: sup,
		sem:        newSemaphores(),
		configs:    make(map[uint32]*config),
		users:      1,
	}
	go k.control(ctl)
	return k.supervise()
}

// control accepts drafts.
func (k *keeper) control(ctl *channel.Conn) {
	defer k.drop()
	for {
		b, fds, err := ctl.Recv()
		if errors.Is(err, channel.ErrExhausted) {
			continue
		}
		if err != nil {
			ctl.Close()
			return
		}
		if !k.handleControl(b, fds) {
			ctl.Close()
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
	if _, ok := m.(*wire.Info); ok {
		// Who does not wait for the answer does not need it.
		_ = channel.Reply(fds.Take(0), k.info())
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
	d := &draft{keeper: k, id: k.hold(), channel: c, keys: make(map[uint32]*key), signers: make(map[uint32]*key)}
	go d.serve()
	return true
}

// hold counts a draft, and gives it a number of its own.
func (k *keeper) hold() uint32 {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.users++
	k.drafts++
	return k.drafts
}

// drop takes a user away. With the last one the worker is told to finish.
func (k *keeper) drop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dropLocked()
}

func (k *keeper) dropLocked() {
	k.users--
	if k.users > 0 {
		return
	}
	k.drained = true
	if k.link != nil {
		k.link.send(&wire.Drain{})
	}
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
	defer d.keeper.drop()
	defer d.keeper.collector.wake()
	defer d.channel.Close()
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
		d.commit(fds)
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

func (d *draft) commit(fds channel.Fds) {
	c, err := channel.New(fds.Take(1))
	if err != nil {
		return
	}
	conf, err := d.check(fds[0])
	if err != nil {
		_ = c.Send(&wire.CommitReply{Error: err.Error()})
		c.Close()
		return
	}
	conf.document = fds.Take(0)
	conf.channel = c
	conf.draft = d.id
	d.keeper.commit(conf)
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
	conf.highest = max(conf.highest, p.Slot)
	if conf.use.leaf == nil {
		conf.use.leaf = chain.Leaf.Raw
	}
	return nil
}
