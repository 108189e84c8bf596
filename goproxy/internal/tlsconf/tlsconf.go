// SPDX-License-Identifier: ISC

package tlsconf

import (
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"sync"
	"time"

	"libtls-proxy/goproxy/internal/verify"
	"libtls-proxy/goproxy/internal/wire"
)

// ErrNoProtocols is the answer to a handshake where no protocol is enabled.
var ErrNoProtocols = errors.New("no protocols available")

// A Config is a configuration that is ready to serve connections.
type Config struct {
	server       bool
	minVersion   uint16
	maxVersion   uint16
	clientAuth   tls.ClientAuthType
	depth        int
	ca           *verify.CA
	release      func()
	alpn         []string
	certificates []certificate

	// A server's connections differ in nothing but the flags.
	mu      sync.Mutex
	servers map[uint8]*tls.Config
}

type certificate struct {
	tls   tls.Certificate
	names *verify.Names
}

// New builds a configuration. The private key of each pair is what signer
// returns for its slot.
func New(s *wire.Settings, pairs []*wire.Keypair, cas *verify.CACache,
	signer func(slot uint32, public crypto.PublicKey) crypto.Signer) (*Config, error) {
	c := &Config{
		server:  s.Role == wire.RoleServer,
		depth:   int(int32(s.VerifyDepth)),
		servers: make(map[uint8]*tls.Config),
	}
	c.minVersion, c.maxVersion = versions(s.Protocols)
	switch s.VerifyClient {
	case wire.ClientCertRequired:
		c.clientAuth = tls.RequireAnyClientCert
	case wire.ClientCertOptional:
		c.clientAuth = tls.RequestClientCert
	}
	var err error
	if c.alpn, err = parseALPN(s.ALPN); err != nil {
		return nil, err
	}
	for _, p := range pairs {
		if p.Slot == 0 {
			continue
		}
		chain, err := ParseChain(p.Certificate)
		if err != nil {
			return nil, err
		}
		c.certificates = append(c.certificates, certificate{
			tls: tls.Certificate{
				Certificate: chain.DER,
				PrivateKey:  signer(p.Slot, chain.Leaf.PublicKey),
				Leaf:        chain.Leaf,
			},
			names: verify.CertNames(chain.Leaf),
		})
	}
	if c.server && len(c.certificates) == 0 {
		return nil, errors.New("private/public key mismatch")
	}
	if c.ca, c.release, err = cas.Get(s.CA); err != nil {
		return nil, err
	}
	return c, nil
}

// Close gives back what the configuration shares with others. Connections
// that are there already are not concerned.
func (c *Config) Close() { c.release() }

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

// TLS returns the configuration of a connection that was started with these
// flags and this name, which only a client has.
func (c *Config) TLS(flags uint8, name string) (*tls.Config, error) {
	if c.maxVersion == 0 {
		return nil, ErrNoProtocols
	}
	if !c.server {
		return c.client(flags, name), nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.servers[flags]
	if t == nil {
		t = c.serverConfig(flags)
		c.servers[flags] = t
	}
	return t, nil
}

func (c *Config) base() *tls.Config {
	return &tls.Config{
		MinVersion: c.minVersion,
		MaxVersion: c.maxVersion,
		NextProtos: c.alpn,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
		},
		CurvePreferences: []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256, tls.CurveP384},
		// libtls has no sessions unless they are asked for.
		SessionTicketsDisabled:      true,
		DynamicRecordSizingDisabled: true,
		// Verification is VerifyConnection's, by libtls's rules.
		InsecureSkipVerify: true,
	}
}

func (c *Config) client(flags uint8, name string) *tls.Config {
	t := c.base()
	t.ServerName = name
	t.VerifyConnection = func(cs tls.ConnectionState) error {
		return c.verify(cs, flags, name)
	}
	// libtls does not look at the names of authorities that the server
	// would like.
	t.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if len(c.certificates) == 0 {
			return &tls.Certificate{}, nil
		}
		return &c.certificates[0].tls, nil
	}
	return t
}

func (c *Config) serverConfig(flags uint8) *tls.Config {
	t := c.base()
	t.ClientAuth = c.clientAuth
	t.GetCertificate = c.choose
	t.VerifyConnection = func(cs tls.ConnectionState) error {
		return c.verify(cs, flags, "")
	}
	if len(c.alpn) == 0 {
		return t
	}
	// crypto/tls lets a client that only knows http/1.1 into a server that
	// only knows h2. A protocol that nobody can have asked for refuses it.
	refuse := t.Clone()
	refuse.NextProtos = []string{"\x00" + rand.Text()}
	t.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if len(hello.SupportedProtos) > 0 && !overlap(c.alpn, hello.SupportedProtos) {
			return refuse, nil
		}
		return nil, nil
	}
	return t
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

var errServerName = errors.New("server name contains a NUL byte")

// choose picks the certificate for a server name: the first match from the
// second pair on, or else the first pair.
func (c *Config) choose(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := hello.ServerName
	if strings.IndexByte(name, 0) >= 0 {
		return nil, errServerName
	}
	if name != "" && !verify.IsAddress(name) {
		for i := 1; i < len(c.certificates); i++ {
			ok, err := c.certificates[i].names.Match(name)
			if err != nil {
				return nil, err
			}
			if ok {
				return &c.certificates[i].tls, nil
			}
		}
	}
	return &c.certificates[0].tls, nil
}

func (c *Config) verify(cs tls.ConnectionState, flags uint8, name string) error {
	if len(cs.PeerCertificates) == 0 {
		// A client whose certificate is optional.
		return nil
	}
	o := verify.Options{
		CA:    c.ca,
		Chain: flags&wire.VerifyChain != 0,
		Times: flags&wire.VerifyTimes != 0,
		Named: flags&wire.VerifyName != 0 && !c.server,
		Name:  name,
		Depth: c.depth,
		Usage: x509.ExtKeyUsageServerAuth,
		Now:   time.Now(),
	}
	if c.server {
		o.Usage = x509.ExtKeyUsageClientAuth
	}
	return verify.Peer(cs.PeerCertificates, o)
}
