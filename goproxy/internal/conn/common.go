// SPDX-License-Identifier: ISC

// Package conn serves one connection: the handshake, plaintext both ways, and
// the endings. The worker has the network of a Conn; that of an Engine is the
// library's.
package conn

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"libtls-proxy/goproxy/internal/ocsp"
	"libtls-proxy/goproxy/internal/tlsconf"
	"libtls-proxy/goproxy/internal/wire"
)

// Options say what a connection is to be.
type Options struct {
	ID         uint64
	Config     *tlsconf.Config
	Verify     uint8
	Servername string
	// Decide returns who puts the configuration's questions to the
	// application. The peer's address is empty for what has none.
	Decide func(address string, gone Gone) tlsconf.Decider
	// SessionLock is held where session files are read and written.
	SessionLock *sync.Mutex
	// Tally counts how connections go; it may be nil.
	Tally *Tally
}

// Gone returns what is closed when the application has given the connection
// up, until stop is called.
type Gone func() (gone <-chan struct{}, stop func())

// An Ending is what STATUS_REPLY tells.
type Ending struct {
	Code uint8
	Text string
}

// common is what connections of both kinds are: TLS with a peer, and what is
// known about it.
type common struct {
	id         uint64
	server     bool
	servername string
	config     *tlsconf.Config
	verify     uint8
	session    *sessionFile // nil for none
	decide     func(string, Gone) tlsconf.Decider
	staple     *ocsp.Result // nil for none
	tls        *tls.Conn
	version    uint16

	// What a handshake needs of the application.
	sign    tlsconf.AppSigner
	address string
	gone    Gone

	meter
	tally *Tally

	mu     sync.Mutex
	ending uint8
	text   string // of ending 4
	undone string // why the direction to the peer failed
	peer   []*x509.Certificate
}

// init takes the descriptor of a session file over if there is one, unless it
// fails.
func (c *common) init(o Options, session int) (err error) {
	c.id = o.ID
	c.server = o.Config.Server()
	c.servername = strings.TrimSuffix(o.Servername, ".")
	c.config = o.Config
	c.verify = o.Verify
	c.decide = o.Decide
	c.ending = wire.EndingOpen
	c.tally = cmp.Or(o.Tally, new(Tally))
	c.begun = time.Now()
	if session >= 0 {
		c.session, err = newSessionFile(session, o.SessionLock)
	}
	return err
}

func (c *common) close() {
	if c.session != nil {
		c.session.close()
	}
}

// ID returns the number that STATUS asks for.
func (c *common) ID() uint64 { return c.id }

// Peer returns the certificates of the peer, once the handshake is done.
func (c *common) Peer() []*x509.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peer
}

// Ending says how the direction from the peer ended.
func (c *common) Ending() Ending {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending == wire.EndingFailed {
		return Ending{c.ending, c.text}
	}
	return Ending{c.ending, c.undone}
}

// shake is the handshake over a network.
func (c *common) shake(network net.Conn) error {
	options := tlsconf.Options{
		Flags:   c.verify,
		Name:    c.servername,
		Stapled: func(r *ocsp.Result) { c.staple = r },
		Sign:    c.sign,
	}
	if c.decide != nil {
		options.Decide = c.decide(c.address, c.gone)
	}
	if c.session != nil {
		cache, err := c.session.cache()
		if err != nil {
			return err
		}
		options.Sessions = cache
	}
	config, err := c.config.TLS(options)
	if err != nil {
		return err
	}
	if c.server {
		c.tls = tls.Server(network, config)
	} else {
		c.tls = tls.Client(network, config)
	}
	err = c.tls.Handshake()
	c.version = c.tls.ConnectionState().Version
	return err
}

// shaken keeps what the handshake gave, and returns the frame that says so.
func (c *common) shaken() ([]byte, error) {
	if c.session != nil {
		if err := c.session.established(); err != nil {
			return nil, err
		}
	}
	c.mu.Lock()
	c.peer = c.tls.ConnectionState().PeerCertificates
	c.mu.Unlock()
	m, err := c.established()
	if err != nil {
		return nil, err
	}
	c.note(m)
	c.tally.shaken(m.Resumed != 0)
	return wire.EncodeFrame(m)
}

// refused returns the frame that says why the handshake failed.
func (c *common) refused(err error) ([]byte, error) {
	text := handshakeText(c.server, c.version, err)
	c.tally.failed(text)
	return wire.EncodeFrame(&wire.Failed{Error: text})
}

// ended records how the direction from the peer ended.
func (c *common) ended(err error) (ending uint8) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case errors.Is(err, io.EOF):
		c.ending = wire.EndingCloseNotify
	case errors.Is(err, errEOF):
		c.ending = wire.EndingTruncated
	default:
		c.ending = wire.EndingFailed
		c.text = ioText(c.version, err)
		c.tally.broken(c.text)
	}
	return c.ending
}

// A noAddr is an address where crypto/tls needs one: it asks for a session
// with its string if the server has no name.
type noAddr struct{}

func (noAddr) Network() string { return "none" }
func (noAddr) String() string  { return "none" }

// detached is the part of a net.Conn that crypto/tls shall have no say in.
type detached struct{}

func (detached) Close() error                     { return nil }
func (detached) LocalAddr() net.Addr              { return noAddr{} }
func (detached) RemoteAddr() net.Addr             { return noAddr{} }
func (detached) SetDeadline(time.Time) error      { return nil }
func (detached) SetReadDeadline(time.Time) error  { return nil }
func (detached) SetWriteDeadline(time.Time) error { return nil }
