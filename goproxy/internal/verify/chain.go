// SPDX-License-Identifier: ISC

package verify

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// An Error is a refusal. Its text is what the application shall see, whole.
type Error struct{ text string }

func (e *Error) Error() string { return e.text }

// A CA is a set of trust anchors. Most programs have the same hundred or so,
// and many only ever serve, so they are parsed when a peer is first verified.
type CA struct {
	pem     []byte
	pool    func() *x509.CertPool
	anytime func() *x509.CertPool
}

// NewCA returns the anchors in data, which is PEM and may be empty.
func NewCA(data []byte) (*CA, error) {
	ca := &CA{pem: bytes.Clone(data)}
	if len(data) != 0 && !hasCertificate(data) {
		return nil, errors.New("ssl verify memory setup failure")
	}
	ca.pool = sync.OnceValue(func() *x509.CertPool {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(ca.pem)
		return pool
	})
	ca.anytime = sync.OnceValue(func() *x509.CertPool {
		pool := x509.NewCertPool()
		eachCertificate(ca.pem, func(c *x509.Certificate) bool {
			pool.AddCert(timeless(c))
			return true
		})
		return pool
	})
	return ca, nil
}

func hasCertificate(data []byte) bool {
	found := false
	eachCertificate(data, func(*x509.Certificate) bool {
		found = true
		return false
	})
	return found
}

func eachCertificate(data []byte, f func(*x509.Certificate) bool) {
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return
		}
		if block.Type != "CERTIFICATE" || len(block.Headers) != 0 {
			continue
		}
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil && !f(cert) {
			return
		}
	}
}

// A CACache keeps one CA for each content as long as somebody uses it.
type CACache struct {
	mu sync.Mutex
	m  map[[sha256.Size]byte]*cached
}

type cached struct {
	ca   *CA
	refs int
}

// Get returns the anchors in data and a function that gives them back.
func (c *CACache) Get(data []byte) (*CA, func(), error) {
	key := sha256.Sum256(data)
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.m[key]
	if e == nil {
		ca, err := NewCA(data)
		if err != nil {
			return nil, nil, err
		}
		e = &cached{ca: ca}
		if c.m == nil {
			c.m = make(map[[sha256.Size]byte]*cached)
		}
		c.m[key] = e
	}
	e.refs++
	return e.ca, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if e.refs--; e.refs == 0 {
			delete(c.m, key)
		}
	}, nil
}

// Options says what to verify.
type Options struct {
	CA                  *CA
	Chain, Times, Named bool
	// Name is compared with the certificate's if Named is set.
	Name string
	// Depth is how many certificates may be above the leaf, 0 for any.
	Depth int
	Usage x509.ExtKeyUsage
	Now   time.Time
}

// Peer decides about the certificates that a peer sent, the leaf first.
func Peer(certs []*x509.Certificate, o Options) error {
	if o.Chain {
		if reason := o.chain(certs); reason != "" {
			return &Error{"certificate verification failed: " + reason}
		}
	}
	if o.Named {
		ok, err := CertNames(certs[0]).Match(o.Name)
		if err != nil {
			return &Error{err.Error()}
		}
		if !ok {
			return &Error{fmt.Sprintf("name `%s' not present in server certificate", o.Name)}
		}
	}
	// libtls reads the common name after each handshake, and fails with it.
	if _, err := CommonName(certs[0].RawSubject); err != nil {
		return &Error{"error getting common name: " + err.Error()}
	}
	return nil
}

// chain returns the reason against the chain, in the words of
// X509_verify_cert_error_string(3).
func (o *Options) chain(certs []*x509.Certificate) string {
	if o.Times {
		chains, err := o.verify(certs, o.CA.pool())
		if err == nil {
			return o.depth(chains)
		}
	}
	// Without the times, either because they shall not be looked at or to
	// find out whether anything else is wrong, which libtls tells first.
	old := make([]*x509.Certificate, len(certs))
	for i, c := range certs {
		old[i] = timeless(c)
	}
	chains, err := o.verify(old, o.CA.anytime())
	if err != nil {
		return reason(certs, err)
	}
	if why := o.depth(chains); why != "" || !o.Times {
		return why
	}
	return o.timeReason(chains[0], certs)
}

func (o *Options) verify(certs []*x509.Certificate, roots *x509.CertPool) ([][]*x509.Certificate, error) {
	opts := x509.VerifyOptions{
		Roots:         roots,
		Intermediates: x509.NewCertPool(),
		CurrentTime:   o.Now,
		KeyUsages:     []x509.ExtKeyUsage{o.Usage},
	}
	for _, c := range certs[1:] {
		opts.Intermediates.AddCert(c)
	}
	return certs[0].Verify(opts)
}

func (o *Options) depth(chains [][]*x509.Certificate) string {
	if o.Depth <= 0 {
		return ""
	}
	for _, chain := range chains {
		if len(chain)-1 <= o.Depth {
			return ""
		}
	}
	return "certificate chain too long"
}

// timeReason looks for the certificate that is not valid now, from the root
// down as libtls does. The certificates of chain were made timeless.
func (o *Options) timeReason(chain, sent []*x509.Certificate) string {
	for i := len(chain) - 1; i >= 0; i-- {
		c, err := x509.ParseCertificate(chain[i].Raw)
		if err != nil {
			continue
		}
		if o.Now.Before(c.NotBefore) {
			return "certificate is not yet valid"
		}
		if o.Now.After(c.NotAfter) {
			return "certificate has expired"
		}
	}
	// Every certificate of this chain is valid; what failed was another.
	return reason(sent, x509.UnknownAuthorityError{})
}

// timeless returns a copy of c that is valid at any time.
func timeless(c *x509.Certificate) *x509.Certificate {
	t := *c
	t.NotBefore = time.Time{}
	t.NotAfter = time.Unix(1<<40, 0)
	return &t
}

func reason(certs []*x509.Certificate, err error) string {
	var invalid x509.CertificateInvalidError
	var critical x509.UnhandledCriticalExtension
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &invalid):
		switch invalid.Reason {
		case x509.NotAuthorizedToSign:
			return "unable to get local issuer certificate"
		case x509.CANotAuthorizedForThisName:
			return "permitted subtree violation"
		case x509.TooManyIntermediates:
			return "path length constraint exceeded"
		case x509.IncompatibleUsage, x509.CANotAuthorizedForExtKeyUsage:
			return "unsupported certificate purpose"
		case x509.NoValidChains:
			return "no explicit policy"
		}
	case errors.As(err, &critical):
		return "unhandled critical extension"
	case errors.As(err, &unknown):
		// The cause is in an unexported field.
		if strings.Contains(err.Error(), "insecure algorithm") {
			return "CA signature digest algorithm too weak"
		}
		if selfSigned(certs[0]) {
			return "self signed certificate"
		}
		for _, c := range certs[1:] {
			if selfSigned(c) {
				return "self signed certificate in certificate chain"
			}
		}
		return "unable to get local issuer certificate"
	}
	return "Unspecified certificate verification error"
}

func selfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawSubject, c.RawIssuer) &&
		c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}
