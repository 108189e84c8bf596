// SPDX-License-Identifier: ISC

package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"time"

	"libtls-proxy/goproxy/internal/ocsp"
	"libtls-proxy/goproxy/internal/verify"
	"libtls-proxy/goproxy/internal/wire"
)

const (
	errNoStaple ocsp.Error = "no stapled OCSP response provided"
	errNoPeer   ocsp.Error = "no peer certificate for OCSP"
)

// verify decides about the peer, also where it resumes a session.
func (c *Config) verify(cs *tls.ConnectionState, o Options) error {
	if len(cs.PeerCertificates) == 0 {
		// A client whose certificate is optional.
		return nil
	}
	return c.askVerify(cs, o, c.verdict(cs, o))
}

// verdict is what libtls's rules say.
func (c *Config) verdict(cs *tls.ConnectionState, o Options) error {
	v := c.verifyOptions(o)
	chain, err := verify.Chain(cs.PeerCertificates, v)
	if err != nil {
		return err
	}
	// A session has no staple of its own, and its first handshake had one.
	if !c.server && !cs.DidResume {
		if err := staple(cs, o, chain, v); err != nil {
			return err
		}
	}
	return verify.Name(cs.PeerCertificates[0], v)
}

func (c *Config) verifyOptions(o Options) verify.Options {
	v := verify.Options{
		CA:    c.ca,
		Chain: o.Flags&wire.VerifyChain != 0,
		Times: o.Flags&wire.VerifyTimes != 0,
		Named: o.Flags&wire.VerifyName != 0 && !c.server,
		Name:  o.Name,
		Depth: c.depth,
		Usage: x509.ExtKeyUsageServerAuth,
		CRLs:  c.crls,
		Now:   time.Now(),
	}
	if c.server {
		v.Usage = x509.ExtKeyUsageClientAuth
	}
	return v
}

// staple decides about the staple of a server with this chain.
func staple(cs *tls.ConnectionState, o Options, chain []*x509.Certificate, v verify.Options) error {
	switch {
	case len(cs.OCSPResponse) != 0:
	case o.Flags&wire.VerifyStaple != 0:
		return errNoStaple
	default:
		return nil
	}
	if !v.Chain || !v.Times {
		return nil
	}
	result, err := ocsp.Verify(cs.OCSPResponse, cs.PeerCertificates[0], issuer(chain), v.Now)
	if err != nil {
		return err
	}
	o.Stapled(result)
	return nil
}

// issuer returns who issued the leaf of a chain.
func issuer(chain []*x509.Certificate) *x509.Certificate {
	if len(chain) == 0 {
		return nil
	}
	return chain[min(1, len(chain)-1)]
}

// OCSP decides about a response that the application has about a peer. A
// revoked certificate has both a result and an error.
func (c *Config) OCSP(response []byte, peer []*x509.Certificate) (*ocsp.Result, error) {
	if len(peer) == 0 {
		return nil, errNoPeer
	}
	v := c.verifyOptions(Options{Flags: wire.VerifyChain})
	// The handshake has decided about the chain. This is about the issuer,
	// and where there is none nobody can sign for it.
	v.CRLs = nil
	chain, err := verify.Chain(peer, v)
	if err != nil {
		chain = nil
	}
	return ocsp.Verify(response, peer[0], issuer(chain), v.Now)
}
