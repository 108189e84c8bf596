// SPDX-License-Identifier: ISC

package worker

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"libtls-proxy/goproxy/internal/channel"
	"libtls-proxy/goproxy/internal/conn"
	"libtls-proxy/goproxy/internal/procs"
	"libtls-proxy/goproxy/internal/tlsconf"
	"libtls-proxy/goproxy/internal/wire"
)

// maxEnded bounds how many connections a configuration remembers that have
// ended while the application still had its end of them.
const maxEnded = 1024

// A config is a configuration that the worker serves.
type config struct {
	worker  *worker
	id      uint32
	draft   uint32
	channel *channel.Conn
	// A single configuration is for the first connection alone, and ends
	// with it.
	single  bool
	started bool
	tls     *tlsconf.Config
	loaded  chan struct{} // closed when tls is set, or will not be
	// next is the way to the worker that takes what has no room here, as
	// serve knows it; given is what the keeper gives for it.
	next  *channel.Conn
	given chan *channel.Conn
	// handshakes may still need the key when the channel is closed.
	handshakes sync.WaitGroup

	mu    sync.Mutex
	conns map[uint64]connection
	ended map[uint64]past
	order []uint64 // of ended, the oldest first
}

// A connection is a conn.Conn or a conn.Engine.
type connection interface {
	ID() uint64
	Peer() []*x509.Certificate
	Ending() conn.Ending
	State() *wire.ConnectionState
	Run(shaken func()) (remember bool)
}

// A past is what is asked for of a connection that has ended.
type past struct {
	ending conn.Ending
	peer   []*x509.Certificate
}

func newConfig(w *worker, id, draft uint32, c *channel.Conn) *config {
	return &config{
		worker:  w,
		id:      id,
		draft:   draft,
		channel: c,
		loaded:  make(chan struct{}),
		given:   make(chan *channel.Conn, 1),
		conns:   make(map[uint64]connection),
		ended:   make(map[uint64]past),
	}
}

// run serves the configuration until the application closes the channel. The
// documents are that of the configuration, and that of the last update if
// there was one.
func (c *config) run(documents channel.Fds) {
	defer c.channel.Close()
	c.worker.files.Add(configFiles)
	defer c.worker.files.Add(-configFiles)
	err := c.load(documents)
	close(c.loaded)
	documents.Close()
	ready := &wire.ConfigReady{Config: c.id}
	if err != nil {
		ready.Error = err.Error()
	}
	if c.worker.link.Send(ready) != nil || err != nil {
		return
	}
	defer c.tls.Close()
	c.serve()
	if c.next != nil {
		c.next.Close()
	}
	c.handshakes.Wait()
	// Without a keeper there is nobody to tell.
	_ = c.worker.link.Send(&wire.ConfigClosed{Config: c.id})
}

func (c *config) load(documents channel.Fds) error {
	data, err := readFile(documents[0], wire.MaxDocument)
	if err != nil {
		return fmt.Errorf("failed to read configuration: %w", err)
	}
	settings, pairs, live, err := wire.DecodeDocument(data)
	if err != nil {
		return err
	}
	if len(documents) > 1 {
		if live, err = readUpdate(documents[1]); err != nil {
			return err
		}
	}
	c.tls, err = tlsconf.New(settings, pairs, live, c.shared(),
		func(slot uint32, public crypto.PublicKey) crypto.Signer {
			return &signer{c.worker.signatures, c.id, slot, public}
		})
	return err
}

// shared is what the configuration has in common with the worker's others.
func (c *config) shared() tlsconf.Shared {
	return tlsconf.Shared{CAs: &c.worker.cas, Tickets: &c.worker.tickets, KeyLog: c.worker.keyLog, Draft: c.draft}
}

func readUpdate(fd int) (*wire.Live, error) {
	data, err := readFile(fd, wire.MaxDocument)
	if err != nil {
		return nil, fmt.Errorf("failed to read update: %w", err)
	}
	return wire.DecodeUpdate(data)
}

// readFile reads what never makes the reader wait.
func readFile(fd int, limit int64) ([]byte, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size > limit {
		return nil, errors.New("not a file of the right size")
	}
	return channel.ReadFile(fd, st.Size)
}

func (c *config) serve() {
	for {
		b, fds, err := c.channel.Recv()
		if errors.Is(err, channel.ErrExhausted) {
			// The descriptors of that connection are closed, which
			// tells the application.
			continue
		}
		if err != nil || !c.handle(b, fds) {
			return
		}
	}
}

func (c *config) handle(b []byte, fds channel.Fds) bool {
	defer fds.Close()
	m, err := wire.Decode("library", "config", b, len(fds))
	if err != nil {
		return false
	}
	switch m := m.(type) {
	case *wire.Start:
		return c.start(m, fds)
	case *wire.Engine:
		return c.engine(m, fds)
	case *wire.Status:
		if c.passQuestion(m, m.Connection, fds) {
			return true
		}
		ending := c.status(m.Connection)
		// Who does not wait for the answer does not need it.
		_ = channel.Reply(fds.Take(0), &wire.StatusReply{Ending: ending.Code, Error: ending.Text})
	case *wire.OCSP:
		if c.passQuestion(m, m.Connection, fds) {
			return true
		}
		response, reply := fds.Take(0), fds.Take(1)
		c.worker.busy.Add(1)
		go func() {
			defer c.worker.busy.Done()
			defer unix.Close(response)
			_ = channel.Reply(reply, c.ocsp(m.Connection, response))
		}()
	case *wire.Update:
		return !c.single && c.update(fds[0])
	default:
		return false
	}
	return true
}

// update applies a document, and has the keeper give it to the next worker.
func (c *config) update(document int) bool {
	live, err := readUpdate(document)
	if err != nil || c.tls.Update(live) != nil {
		return false
	}
	return c.worker.link.Send(&wire.ConfigUpdate{Config: c.id}, document) == nil
}

// refresh applies an update that comes from the keeper.
func (c *config) refresh(document int) bool {
	<-c.loaded
	if c.tls == nil {
		return true
	}
	live, err := readUpdate(document)
	return err == nil && c.tls.Update(live) == nil
}

const maxResponse = 1 << 20

func (c *config) ocsp(id uint64, response int) *wire.OCSPReply {
	peer, ok := c.peer(id)
	if !ok {
		return &wire.OCSPReply{Error: "goproxy does not know the connection any more"}
	}
	data, err := readFile(response, maxResponse)
	if err != nil {
		return &wire.OCSPReply{Error: "failed to read OCSP response: " + err.Error()}
	}
	r, err := c.tls.OCSP(data, peer)
	reply := &wire.OCSPReply{}
	if r != nil {
		reply = &wire.OCSPReply{
			Result:         r.Text,
			ResponseStatus: int64(r.ResponseStatus),
			CertStatus:     int64(r.CertStatus),
			CRLReason:      int64(r.CRLReason),
			ThisUpdate:     r.ThisUpdate,
			NextUpdate:     r.NextUpdate,
			RevocationTime: r.RevocationTime,
		}
	}
	if err != nil {
		reply.Error = err.Error()
	}
	return reply
}

const errExhausted = "goproxy has too many open files"

const allFlags = wire.VerifyChain | wire.VerifyName | wire.VerifyTimes | wire.VerifyStaple

func (c *config) start(m *wire.Start, fds channel.Fds) bool {
	nfds := len(fds)
	if c.tls.Requests() {
		nfds-- // the last is the request channel
	}
	if nfds < 2 || nfds > 5 || c.tls.Server() && nfds%2 != 0 {
		return false
	}
	return c.connect(m, m.Verify, m.Servername, fds,
		func(fds channel.Fds, o conn.Options) (connection, error) { return conn.New(fds, o) }, conn.Decline)
}

func (c *config) engine(m *wire.Engine, fds channel.Fds) bool {
	nfds := len(fds)
	if c.tls.Requests() {
		nfds--
	}
	if nfds < 1 || nfds > 2 || c.tls.Server() && nfds != 1 {
		return false
	}
	return c.connect(m, m.Verify, m.Servername, fds,
		func(fds channel.Fds, o conn.Options) (connection, error) { return conn.NewEngine(fds, o) }, conn.DeclineEngine)
}

// connect runs the connection that begin makes, or passes m on.
func (c *config) connect(m wire.Message, verify uint8, name string, fds channel.Fds,
	begin func(channel.Fds, conn.Options) (connection, error), decline func(channel.Fds, string)) bool {
	if verify&^allFlags != 0 || c.tls.Server() && name != "" {
		return false
	}
	if c.single && c.started {
		return false
	}
	c.started = true
	procs.Work()
	files := int64(len(fds))
	if !c.worker.take(files) {
		if c.pass(m, fds) {
			return true
		}
		if c.tls.Requests() {
			fds = fds[:len(fds)-1]
		}
		decline(fds, errExhausted)
		return !c.single
	}
	ask, err := c.asker(&fds)
	if err != nil {
		c.worker.files.Add(-files)
		return true
	}
	options := conn.Options{
		ID:          c.newID(),
		Config:      c.tls,
		Verify:      verify,
		Servername:  name,
		SessionLock: &c.worker.sessions,
		Tally:       &c.worker.tally,
	}
	if ask != nil {
		options.Decide = func(address string, gone conn.Gone) tlsconf.Decider {
			ask.address, ask.gone = address, gone
			return ask
		}
	}
	cn, err := begin(fds, options)
	if err != nil {
		if ask != nil {
			ask.finish()
		}
		c.worker.files.Add(-files)
		// A wrong descriptor is this connection's trouble alone, and
		// the end of its data channel tells the application.
		return !c.single
	}
	c.handshakes.Add(1)
	c.worker.busy.Add(1)
	go func() {
		defer c.worker.busy.Done()
		defer c.worker.files.Add(-files)
		c.connection(cn, ask)
	}()
	return true
}

// pass gives a new connection to another worker, which the keeper starts where
// there is none yet. It reports whether there is one.
func (c *config) pass(m wire.Message, fds channel.Fds) bool {
	if c.single {
		return false
	}
	for asked := false; ; {
		if c.next == nil {
			if asked || c.worker.link.Send(&wire.Overflow{Config: c.id}) != nil {
				return false
			}
			asked = true
			if c.next = <-c.given; c.next == nil {
				return false
			}
		}
		if c.next.Send(m, fds...) == nil {
			return true
		}
		// It has died.
		c.next.Close()
		c.next = nil
	}
}

// passQuestion gives one about a connection that is not known here to the
// other worker, if there is one.
func (c *config) passQuestion(m wire.Message, id uint64, fds channel.Fds) bool {
	return c.next != nil && !c.knows(id) && c.next.Send(m, fds...) == nil
}

// asker takes the last descriptor, where the configuration has requests.
func (c *config) asker(fds *channel.Fds) (*asker, error) {
	if !c.tls.Requests() {
		return nil, nil
	}
	last := len(*fds) - 1
	a, err := newAsker(c, fds.Take(last))
	*fds = (*fds)[:last]
	return a, err
}

func (c *config) connection(cn connection, ask *asker) {
	var once sync.Once
	shaken := func() {
		once.Do(func() {
			if ask != nil {
				ask.finish()
			}
			c.handshakes.Done()
		})
	}
	defer shaken()
	c.mu.Lock()
	c.conns[cn.ID()] = cn
	c.mu.Unlock()
	remember := cn.Run(shaken)
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.conns, cn.ID())
	if remember {
		c.remember(cn.ID(), past{cn.Ending(), cn.Peer()})
	} else if c.single {
		// Nothing is left to ask for.
		c.channel.Close()
	}
}

// remember keeps a connection, and forgets the oldest one for it.
func (c *config) remember(id uint64, p past) {
	if len(c.order) >= maxEnded {
		delete(c.ended, c.order[0])
		c.order = c.order[1:]
	}
	c.ended[id] = p
	c.order = append(c.order, id)
}

func (c *config) knows(id uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ended := c.ended[id]
	return ended || c.conns[id] != nil
}

func (c *config) status(id uint64) conn.Ending {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cn := c.conns[id]; cn != nil {
		return cn.Ending()
	}
	return c.ended[id].ending
}

func (c *config) peer(id uint64) ([]*x509.Certificate, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cn := c.conns[id]; cn != nil {
		return cn.Peer(), true
	}
	p, ok := c.ended[id]
	return p.peer, ok
}

// newID returns a number that is not in use and cannot be guessed, so that
// an application cannot ask for another's connection.
func (c *config) newID() uint64 {
	return newNumber(c.knows)
}

// newNumber returns one that is not 0, not taken and not to be guessed.
func newNumber(taken func(uint64) bool) uint64 {
	for {
		var b [8]byte
		rand.Read(b[:])
		if n := binary.BigEndian.Uint64(b[:]); n != 0 && !taken(n) {
			return n
		}
	}
}
