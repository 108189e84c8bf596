// SPDX-License-Identifier: ISC

package tlsconf

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"libtls-proxy/goproxy/internal/ocsp"
	"libtls-proxy/goproxy/internal/session"
	"libtls-proxy/goproxy/internal/verify"
	"libtls-proxy/goproxy/internal/wire"
)

// The answers to a handshake for which a configuration leaves nothing.
var (
	ErrNoProtocols = errors.New("no protocols available")
	ErrNoCiphers   = errors.New("no ciphers available")
	ErrNoGroups    = errors.New("no supported groups available")

	// ErrNoCertificate is the answer to a client of a server that has none
	// because somebody else was to look after it.
	ErrNoCertificate = errors.New("no certificate")
)

// A Config is a configuration that is ready to serve connections.
type Config struct {
	server       bool
	unusable     error // what every handshake fails with
	minVersion   uint16
	maxVersion   uint16
	ciphers      []uint16
	preferClient bool
	groups       []tls.CurveID
	clientAuth   tls.ClientAuthType
	depth        int
	ca           *verify.CA
	releases     []func()
	crls         *verify.CRLs
	alpn         atomic.Pointer[[]string]
	hasALPN      bool // from the start
	certificates []certificate
	names        verify.Index                 // of the certificates from the second on
	appKeys      map[*x509.Certificate]string // leaf to hash
	tickets      *session.Tickets             // nil without sessions

	keyLog         io.Writer
	requests       uint32 // what the application wants to decide
	requestTimeout uint32

	updating sync.Mutex
	pairs    int
	keys     []session.Key
	// live has the certificates with the staples of today.
	live atomic.Pointer[[]tls.Certificate]

	// A server's connections differ in nothing but the flags if there are
	// no sessions.
	mu      sync.Mutex
	servers map[uint8]*tls.Config
}

type certificate struct {
	tls  tls.Certificate // without a staple
	pair uint32
}

// New builds a configuration. The private key of each pair is what signer
// returns for its slot.
func New(s *wire.Settings, pairs []*wire.Keypair, live *wire.Live, shared Shared,
	signer func(slot uint32, public crypto.PublicKey) crypto.Signer) (*Config, error) {
	c := &Config{
		server:       s.Role == wire.RoleServer,
		preferClient: s.PreferClient != 0,
		depth:        int(int32(s.VerifyDepth)),
		pairs:        len(pairs),
		requests:     s.Requests,
		keyLog:       shared.KeyLog,
		appKeys:      make(map[*x509.Certificate]string),
		servers:      make(map[uint8]*tls.Config),
	}
	if s.Requests&^wire.AllRequests != 0 || s.Requests != 0 && s.RequestTimeout == 0 {
		return nil, errors.New("failed to set requests")
	}
	c.requestTimeout = s.RequestTimeout
	c.setProtocols(s)
	switch s.VerifyClient {
	case wire.ClientCertRequired:
		c.clientAuth = tls.RequireAnyClientCert
	case wire.ClientCertOptional:
		c.clientAuth = tls.RequestClientCert
	}
	alpn, err := parseALPN(s.ALPN)
	if err != nil {
		return nil, err
	}
	c.alpn.Store(&alpn)
	c.hasALPN = len(alpn) > 0
	if err := c.addPairs(pairs, signer); err != nil {
		return nil, err
	}
	if s.CheckCRL != 0 {
		// libtls takes lists from the file of the authorities, too.
		c.crls = verify.ParseCRLs(slices.Concat(s.CRL, []byte("\n"), s.CA))
		if err := c.crls.Err(); err != nil {
			return nil, err
		}
	}
	if c.server && s.SessionLifetime != 0 {
		id := ticketsID{draft: shared.Draft, lifetime: time.Duration(s.SessionLifetime) * time.Second}
		copy(id.context[:], s.SessionID)
		var release func()
		c.tickets, release = shared.Tickets.get(id)
		c.releases = append(c.releases, release)
	}
	if err := c.Update(live); err != nil {
		c.Close()
		return nil, err
	}
	var release func()
	if c.ca, release, err = shared.CAs.Get(s.CA); err != nil {
		c.Close()
		return nil, err
	}
	c.releases = append(c.releases, release)
	return c, nil
}

func (c *Config) addPairs(pairs []*wire.Keypair, signer func(uint32, crypto.PublicKey) crypto.Signer) error {
	bare := false
	for i, p := range pairs {
		if p.Slot == wire.AppSlot && len(p.Certificate) == 0 {
			bare = true
			continue
		}
		if p.Slot == 0 {
			continue
		}
		chain, err := ParseChain(p.Certificate)
		if err != nil {
			return err
		}
		cert := tls.Certificate{Certificate: chain.DER, Leaf: chain.Leaf}
		if p.Slot != wire.AppSlot {
			cert.PrivateKey = signer(p.Slot, chain.Leaf.PublicKey)
		} else if c.appKeys[chain.Leaf], err = PublicKeyHash(chain.Leaf); err != nil {
			return ErrCertificate
		}
		if c.server && len(c.certificates) > 0 {
			c.names.Add(verify.CertNames(chain.Leaf))
		}
		c.certificates = append(c.certificates, certificate{tls: cert, pair: uint32(i)})
	}
	if c.server && len(c.certificates) == 0 && !bare {
		return errors.New("private/public key mismatch")
	}
	return nil
}

// setProtocols brings versions, suites and groups together.
func (c *Config) setProtocols(s *wire.Settings) {
	c.minVersion, c.maxVersion = versions(s.Protocols)
	if c.maxVersion == 0 {
		c.unusable = ErrNoProtocols
		return
	}
	var tls13 bool
	c.ciphers, tls13 = parseCiphers(s.Ciphers, c.server)
	if !tls13 {
		c.maxVersion = min(c.maxVersion, tls.VersionTLS12)
	}
	if len(c.ciphers) == 0 {
		c.minVersion = tls.VersionTLS13
	}
	if c.minVersion > c.maxVersion {
		if !c.server {
			c.unusable = ErrNoCiphers
			return
		}
		// The client shall hear that it is the ciphers.
		c.ciphers = []uint16{}
		c.minVersion, c.maxVersion = tls.VersionTLS12, tls.VersionTLS12
	}
	if c.groups = parseGroups(s.Groups, c.maxVersion); len(c.groups) == 0 {
		c.unusable = ErrNoGroups
	}
}

// Update replaces what can change. Handshakes that have not come so far yet
// see it.
func (c *Config) Update(live *wire.Live) error {
	if err := live.Check(c.pairs); err != nil {
		return err
	}
	var alpn []string
	if live.ALPN != nil {
		var err error
		if alpn, err = parseALPN(live.ALPN.Protocols); err != nil {
			return err
		}
	}
	staples := make(map[uint32][]byte)
	for _, s := range live.Staples {
		staples[s.Pair] = bytes.Clone(s.Response)
	}
	certificates := make([]tls.Certificate, len(c.certificates))
	for i, cert := range c.certificates {
		certificates[i] = cert.tls
		certificates[i].OCSPStaple = staples[cert.pair]
	}
	c.updating.Lock()
	defer c.updating.Unlock()
	if c.tickets != nil {
		keys := c.ticketKeys(live.TicketKeys)
		if err := c.tickets.SetKeys(keys); err != nil {
			return err
		}
		clear(c.keys)
		c.keys = keys
	}
	c.live.Store(&certificates)
	// As in libtls, a server that had none when it was configured stays so.
	if live.ALPN != nil && c.hasALPN {
		c.alpn.Store(&alpn)
		c.mu.Lock()
		clear(c.servers)
		c.mu.Unlock()
	}
	return nil
}

// ticketKeys finds out which keys are new: the others have their age already.
func (c *Config) ticketKeys(list []*wire.TicketKey) []session.Key {
	var keys []session.Key
	for _, k := range list {
		key := session.Key{Rev: k.Revision, Key: [session.KeySize]byte(k.Key), Added: time.Now()}
		for _, old := range c.keys {
			if old.Rev == key.Rev && old.Key == key.Key {
				key.Added = old.Added
			}
		}
		keys = append(keys, key)
	}
	return keys
}

// Close gives back what the configuration shares with others. Connections
// that are there already are not concerned.
func (c *Config) Close() {
	for _, release := range c.releases {
		release()
	}
}

// Server reports the role.
func (c *Config) Server() bool { return c.server }

func versions(protocols uint32) (lowest, highest uint16) {
	if protocols&wire.ProtocolTLS13 != 0 {
		lowest, highest = tls.VersionTLS13, tls.VersionTLS13
	}
	if protocols&wire.ProtocolTLS12 != 0 {
		lowest = tls.VersionTLS12
		highest = max(highest, tls.VersionTLS12)
	}
	return lowest, highest
}

func parseALPN(list []byte) ([]string, error) {
	var names []string
	for len(list) > 0 {
		n := int(list[0])
		if n == 0 || n > len(list)-1 {
			return nil, errors.New("failed to set alpn")
		}
		name := string(list[1 : 1+n])
		if strings.IndexByte(name, 0) >= 0 {
			return nil, errors.New("failed to set alpn")
		}
		names = append(names, name)
		list = list[1+n:]
	}
	return names, nil
}

// Options say what a connection is to be.
type Options struct {
	// Flags are those of START.
	Flags uint8

	// What only a client has: the name of the server, where its sessions
	// are, and who is told of a staple that is good.
	Name     string
	Sessions tls.ClientSessionCache
	Stapled  func(*ocsp.Result)

	// Sign is where keys are asked that only the application can reach.
	Sign AppSigner

	// Decide is needed if the configuration has requests.
	Decide Decider
}

// TLS returns the configuration of a connection.
func (c *Config) TLS(o Options) (*tls.Config, error) {
	if c.unusable != nil {
		return nil, c.unusable
	}
	if !c.server {
		return c.client(o), nil
	}
	if c.tickets != nil || len(c.appKeys) > 0 || c.requests != 0 {
		return c.serverConfig(o), nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.servers[o.Flags]
	if t == nil {
		t = c.serverConfig(o)
		c.servers[o.Flags] = t
	}
	return t, nil
}

func (c *Config) base() *tls.Config {
	return &tls.Config{
		MinVersion:       c.minVersion,
		MaxVersion:       c.maxVersion,
		NextProtos:       *c.alpn.Load(),
		CipherSuites:     c.ciphers,
		CurvePreferences: c.groups,
		// libtls has no sessions unless they are asked for.
		SessionTicketsDisabled:      true,
		DynamicRecordSizingDisabled: true,
		// Verification is VerifyConnection's, by libtls's rules.
		InsecureSkipVerify: true,
		KeyLogWriter:       c.keyLog,
	}
}

func (c *Config) client(o Options) *tls.Config {
	t := c.base()
	t.ServerName = o.Name
	t.ClientSessionCache = o.Sessions
	t.SessionTicketsDisabled = o.Sessions == nil
	t.VerifyConnection = func(cs tls.ConnectionState) error { return c.verify(&cs, o) }
	// libtls does not look at the names of authorities that the server
	// would like.
	t.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if c.asks(o, wire.RequestCertificate) {
			cert, err := c.askCertificate(o, &CertificateQuestion{
				Servername: o.Name,
				Schemes:    info.SignatureSchemes,
				Versions:   []uint16{info.Version},
			})
			if err != nil || cert != nil {
				return cert, err
			}
		}
		if len(c.certificates) == 0 {
			return &tls.Certificate{}, nil
		}
		return c.current(0, o), nil
	}
	return t
}

// current returns a certificate with the staple of today, and with the way to
// the key that the connection has.
func (c *Config) current(i int, o Options) *tls.Certificate {
	cert := &(*c.live.Load())[i]
	if hash, ok := c.appKeys[cert.Leaf]; ok {
		own := *cert
		key := &appKey{public: cert.Leaf.PublicKey, hash: hash, sign: o.Sign}
		if c.asks(o, wire.RequestSign) {
			key.decide = o.Decide
		}
		own.PrivateKey = key
		cert = &own
	}
	return cert
}

func (c *Config) serverConfig(o Options) *tls.Config {
	t := c.base()
	t.ClientAuth = c.clientAuth
	certificate := func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		return (&picker{config: c, o: o}).pick(hello)
	}
	if c.requests != 0 {
		// The configuration is this connection's alone.
		certificate = (&picker{config: c, o: o}).pick
	}
	t.GetCertificate = certificate
	t.VerifyConnection = func(cs tls.ConnectionState) error { return c.verify(&cs, o) }
	if c.tickets != nil {
		var store session.Store
		if c.asks(o, wire.RequestSession) {
			store = o.Decide
		}
		c.tickets.Attach(t, store)
	}
	t.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		return c.adapt(t, hello, certificate)
	}
	return t
}

var errServerName = errors.New("server name is not printable")

// isPrintable reports whether a name can be shown to anybody. It comes from the
// client, and goes into logs.
func isPrintable(name string) bool {
	return !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' })
}

// adapt returns a configuration for one client where t is not what it should
// be, or else nil.
func (c *Config) adapt(t *tls.Config, hello *tls.ClientHelloInfo,
	certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)) (*tls.Config, error) {
	if !isPrintable(hello.ServerName) {
		return nil, errServerName
	}
	tls12 := c.maxVersion == tls.VersionTLS12 || !slices.Contains(hello.SupportedVersions, tls.VersionTLS13)
	// crypto/tls lets a client that only knows http/1.1 into a server that
	// only knows h2.
	alpn := t.NextProtos
	refuse := len(alpn) > 0 && len(hello.SupportedProtos) > 0 && !overlap(alpn, hello.SupportedProtos)
	if !tls12 && !refuse {
		return nil, nil
	}
	t = t.Clone()
	if tls12 {
		cert, err := certificate(hello)
		if err != nil {
			return nil, err
		}
		t.CipherSuites = c.pick(hello.CipherSuites, cert.Leaf.PublicKey)
	}
	if refuse {
		// A protocol that nobody can have asked for.
		t.NextProtos = []string{"\x00" + rand.Text()}
	}
	return t, nil
}

func overlap(a, b []string) bool {
	for _, x := range a {
		for _, y := range b {
			if x == y {
				return true
			}
		}
	}
	return false
}

// choose picks the certificate for a server name: the first match from the
// second pair on, or else the first pair.
func (c *Config) choose(hello *tls.ClientHelloInfo) (int, error) {
	if len(c.certificates) == 0 {
		return 0, ErrNoCertificate
	}
	name := hello.ServerName
	if name != "" && !verify.IsAddress(name) {
		i, err := c.names.Find(name)
		return i + 1, err
	}
	return 0, nil
}
