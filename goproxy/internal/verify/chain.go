// SPDX-License-Identifier: ISC

package verify

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
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
	// CRLs has something about every certificate of the chain, unless it
	// is nil.
	CRLs *CRLs
	Now  time.Time
}

// Chain decides about the certificates that a peer sent, the leaf first, and
// returns the chain to an anchor: nil if it is not to be verified.
func Chain(certs []*x509.Certificate, o Options) ([]*x509.Certificate, error) {
	if !o.Chain {
		return nil, nil
	}
	chain, reason := o.chain(certs)
	if reason != "" {
		return nil, &Error{"certificate verification failed: " + reason}
	}
	return chain, nil
}

// Name decides whether a leaf is who it shall be.
func Name(leaf *x509.Certificate, o Options) error {
	if o.Named {
		ok, err := CertNames(leaf).Match(o.Name)
		if err != nil {
			return &Error{err.Error()}
		}
		if !ok {
			return &Error{fmt.Sprintf("name `%s' not present in server certificate", o.Name)}
		}
	}
	// libtls reads the common name after each handshake, and fails with it.
	if _, err := CommonName(leaf.RawSubject); err != nil {
		return &Error{"error getting common name: " + err.Error()}
	}
	return nil
}

// chain returns a chain or the reason against it, in the words of
// X509_verify_cert_error_string(3).
func (o *Options) chain(certs []*x509.Certificate) ([]*x509.Certificate, string) {
	if o.Times {
		chains, err := o.verify(certs, o.CA.pool())
		if err == nil {
			return o.accept(chains)
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
		return nil, reason(certs, err)
	}
	chain, why := o.accept(chains)
	if why == "" && o.Times {
		return nil, o.timeReason(chain, certs)
	}
	return chain, why
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

// accept returns the first chain that nothing speaks against, or else the
// reason against one of them.
func (o *Options) accept(chains [][]*x509.Certificate) ([]*x509.Certificate, string) {
	why := "certificate chain too long"
	for _, chain := range chains {
		if o.Depth > 0 && len(chain)-1 > o.Depth {
			continue
		}
		if o.CRLs == nil {
			return chain, ""
		}
		if why = o.CRLs.Check(chain, o.Now, o.Times); why == "" {
			return chain, ""
		}
	}
	return nil, why
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
			// Which of the two is in the text alone.
			if strings.Contains(invalid.Detail, "excluded") {
				return "excluded subtree violation"
			}
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
		return unknownReason(certs)
	}
	return "Unspecified certificate verification error"
}

// unknownReason follows the issuers from the leaf as far as they were sent.
func unknownReason(certs []*x509.Certificate) string {
	c := certs[0]
	if selfSigned(c) {
		return "self signed certificate"
	}
	// The peer chooses how many there are. crypto/x509 tries no more.
	const maxChecks = 100
	checks := 0
	for range certs[1:] {
		i := slices.IndexFunc(certs[1:], func(issuer *x509.Certificate) bool {
			if !bytes.Equal(issuer.RawSubject, c.RawIssuer) || checks == maxChecks {
				return false
			}
			checks++
			return c.CheckSignatureFrom(issuer) == nil
		})
		if i < 0 {
			break
		}
		if c = certs[1+i]; selfSigned(c) {
			return "self signed certificate in certificate chain"
		}
	}
	return "unable to get local issuer certificate"
}

func selfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawSubject, c.RawIssuer) &&
		c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}
