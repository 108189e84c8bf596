// SPDX-License-Identifier: ISC

package tlsconf

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"slices"

	"libtls-proxy/goproxy/internal/session"
	"libtls-proxy/goproxy/internal/wire"
)

// A Decider asks the application in the middle of a handshake, and waits for
// what it says.
type Decider interface {
	// Certificate returns a key pair. With neither an error nor a pair
	// the configuration's own choice stands.
	Certificate(*CertificateQuestion) (CertificateAnswer, error)
	// Verify returns nil to accept the chain (the leaf first), about
	// whose certificate at depth the verdict is nil or the reason why it
	// is refused otherwise.
	Verify(depth int, verdict error, chain [][]byte) error
	// Staple returns the OCSP response for the certificate with the hash,
	// or false for that of the configuration.
	Staple(hash string) (response []byte, ok bool, err error)
	// Sign signs a digest, or with Ed25519 would sign a message.
	Sign(hash string, scheme tls.SignatureScheme, digest []byte) ([]byte, error)
	session.Store
}

// A CertificateQuestion is what the peer lets choose from.
type CertificateQuestion struct {
	Servername string
	ALPN       []string
	Schemes    []tls.SignatureScheme
	Versions   []uint16
}

// A CertificateAnswer is a key pair of the configuration, if Known, or one
// with its private key.
type CertificateAnswer struct {
	Known bool
	Pair  uint32

	Chain *Chain
	Key   crypto.Signer
}

// A Refusal is the application's, in its own words.
type Refusal string

func (r Refusal) Error() string { return string(r) }

var errNoPair = errors.New("the application chose a key pair that does not exist")

// asks reports whether the application wants to decide.
func (c *Config) asks(o Options, kind uint32) bool {
	return o.Decide != nil && c.requests&kind != 0
}

// RequestTimeout returns how long the application may take, in milliseconds.
func (c *Config) RequestTimeout() uint32 { return c.requestTimeout }

// Requests reports whether connections of this configuration need a Decider.
func (c *Config) Requests() bool { return c.requests != 0 }

// A picker finds the certificate of a server's connection, once.
type picker struct {
	config *Config
	o      Options
	cert   *tls.Certificate
	err    error
}

// statusRequest is RFC 6066 section 8.
const statusRequest = 5

func (p *picker) pick(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if p.cert == nil && p.err == nil {
		p.cert, p.err = p.ask(hello)
	}
	return p.cert, p.err
}

func (p *picker) ask(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	cert, err := p.askCertificate(hello)
	if err != nil || !p.config.asks(p.o, wire.RequestStaple) || !slices.Contains(hello.Extensions, statusRequest) {
		return cert, err
	}
	hash, err := PublicKeyHash(cert.Leaf)
	if err != nil {
		return nil, err
	}
	response, ok, err := p.o.Decide.Staple(hash)
	if err != nil {
		return nil, err
	}
	if ok {
		own := *cert
		own.OCSPStaple = response
		cert = &own
	}
	return cert, nil
}

func (p *picker) askCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	c := p.config
	if c.asks(p.o, wire.RequestCertificate) {
		cert, err := c.askCertificate(p.o, &CertificateQuestion{
			Servername: hello.ServerName,
			ALPN:       hello.SupportedProtos,
			Schemes:    hello.SignatureSchemes,
			Versions:   hello.SupportedVersions,
		})
		if err != nil || cert != nil {
			return cert, err
		}
	}
	i, err := c.choose(hello)
	if err != nil {
		return nil, err
	}
	return c.current(i, p.o), nil
}

// askCertificate returns nil for what the configuration itself would choose.
func (c *Config) askCertificate(o Options, q *CertificateQuestion) (*tls.Certificate, error) {
	a, err := o.Decide.Certificate(q)
	switch {
	case err != nil:
		return nil, err
	case a.Known:
		for i := range c.certificates {
			if c.certificates[i].pair == a.Pair {
				return c.current(i, o), nil
			}
		}
		return nil, errNoPair
	case a.Chain != nil:
		return &tls.Certificate{Certificate: a.Chain.DER, Leaf: a.Chain.Leaf, PrivateKey: a.Key}, nil
	}
	return nil, nil
}

// askVerify puts the verdict before the application: once about the leaf, or
// about each certificate that the peer sent, the last first.
func (c *Config) askVerify(cs *tls.ConnectionState, o Options, verdict error) error {
	each := c.asks(o, wire.RequestVerifyEach)
	if !each && !c.asks(o, wire.RequestVerify) {
		return verdict
	}
	chain := make([][]byte, len(cs.PeerCertificates))
	for i, cert := range cs.PeerCertificates {
		chain[i] = cert.Raw
	}
	depth := 0
	if each {
		depth = len(chain) - 1
	}
	for ; depth >= 0; depth-- {
		if err := o.Decide.Verify(depth, verdict, chain); err != nil {
			return err
		}
	}
	return nil
}

// SchemeOf undoes what crypto/tls did to get from a scheme to opts.
func SchemeOf(public crypto.PublicKey, opts crypto.SignerOpts) (scheme tls.SignatureScheme, ok bool) {
	switch public.(type) {
	case *rsa.PublicKey:
		if _, pss := opts.(*rsa.PSSOptions); pss {
			scheme, ok = pssSchemes[opts.HashFunc()]
		} else {
			scheme, ok = pkcs1Schemes[opts.HashFunc()]
		}
	case *ecdsa.PublicKey:
		scheme, ok = ecdsaSchemes[opts.HashFunc()]
	case ed25519.PublicKey:
		scheme, ok = tls.Ed25519, opts.HashFunc() == 0
	}
	return scheme, ok
}

var pssSchemes = map[crypto.Hash]tls.SignatureScheme{
	crypto.SHA256: tls.PSSWithSHA256,
	crypto.SHA384: tls.PSSWithSHA384,
	crypto.SHA512: tls.PSSWithSHA512,
}

var pkcs1Schemes = map[crypto.Hash]tls.SignatureScheme{
	crypto.SHA256: tls.PKCS1WithSHA256,
	crypto.SHA384: tls.PKCS1WithSHA384,
	crypto.SHA512: tls.PKCS1WithSHA512,
}

var ecdsaSchemes = map[crypto.Hash]tls.SignatureScheme{
	crypto.SHA256: tls.ECDSAWithP256AndSHA256,
	crypto.SHA384: tls.ECDSAWithP384AndSHA384,
	crypto.SHA512: tls.ECDSAWithP521AndSHA512,
}
