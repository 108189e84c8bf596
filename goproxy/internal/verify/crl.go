// SPDX-License-Identifier: ISC

package verify

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"slices"
	"sync"
	"time"
)

// CRLs is a set of certificate revocation lists. Any number of goroutines may
// use it at the same time.
type CRLs struct {
	lists map[string][]*crl // by the issuer's name, the newest first
	err   error
}

type crl struct {
	list    *x509.RevocationList // without its entries
	revoked map[string]bool      // by serialKey
	scopes  []scope
	// critical is set if an extension that is not understood may change
	// the meaning of the list.
	critical bool

	mu     sync.Mutex
	signer []byte // key that the signature was last verified with
}

// A scope says which of its issuer's certificates a list is about.
type scope struct {
	users, authorities bool
	points             [][]byte // names of the distribution point, nil for any
}

var (
	oidCRLNumber          = asn1.ObjectIdentifier{2, 5, 29, 20}
	oidReasonCode         = asn1.ObjectIdentifier{2, 5, 29, 21}
	oidDeltaCRLIndicator  = asn1.ObjectIdentifier{2, 5, 29, 27}
	oidIssuingPoint       = asn1.ObjectIdentifier{2, 5, 29, 28}
	oidDistributionPoints = asn1.ObjectIdentifier{2, 5, 29, 31}
	oidAuthorityKeyID     = asn1.ObjectIdentifier{2, 5, 29, 35}
)

const reasonRemoveFromCRL = 8

// ParseCRLs reads the blocks of type "X509 CRL". A set that has none, or one
// that cannot be read, fails every check.
func ParseCRLs(data []byte) *CRLs {
	c := &CRLs{lists: make(map[string][]*crl)}
	// pem.Decode skips what is malformed; a list must not go unnoticed.
	blocks := bytes.Count(data, []byte("-----BEGIN X509 CRL-----"))
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "X509 CRL" || len(block.Headers) != 0 {
			continue
		}
		list, err := x509.ParseRevocationList(block.Bytes)
		if err != nil || len(list.Raw) != len(block.Bytes) {
			break
		}
		blocks--
		if l := newCRL(list); l != nil {
			name := string(list.RawIssuer)
			c.lists[name] = append(c.lists[name], l)
		}
	}
	if blocks != 0 {
		return &CRLs{err: errors.New("failed to parse crl")}
	}
	for _, lists := range c.lists {
		slices.SortStableFunc(lists, func(a, b *crl) int {
			if d := b.list.ThisUpdate.Compare(a.list.ThisUpdate); d != 0 {
				return d
			}
			return number(b.list).Cmp(number(a.list))
		})
	}
	return c
}

func number(list *x509.RevocationList) *big.Int {
	if list.Number == nil {
		return new(big.Int)
	}
	return list.Number
}

// Err says whether a list could not be read.
func (c *CRLs) Err() error { return c.err }

// newCRL returns nil for a list that by itself says nothing about whether a
// certificate of its issuer is revoked: a delta, an indirect list, one for
// some reasons or for attribute certificates only.
func newCRL(list *x509.RevocationList) *crl {
	l := &crl{
		list: &x509.RevocationList{
			RawTBSRevocationList: list.RawTBSRevocationList,
			SignatureAlgorithm:   list.SignatureAlgorithm,
			Signature:            list.Signature,
			AuthorityKeyId:       list.AuthorityKeyId,
			ThisUpdate:           list.ThisUpdate,
			NextUpdate:           list.NextUpdate,
			Number:               list.Number,
		},
		revoked: make(map[string]bool),
	}
	for _, ext := range list.Extensions {
		switch {
		case ext.Id.Equal(oidDeltaCRLIndicator):
			return nil
		case ext.Id.Equal(oidIssuingPoint):
			s, ok := parseScope(ext.Value)
			if !ok {
				return nil
			}
			l.scopes = append(l.scopes, s)
		case ext.Id.Equal(oidAuthorityKeyID), ext.Id.Equal(oidCRLNumber):
		case ext.Critical:
			l.critical = true
		}
	}
	for _, e := range list.RevokedCertificateEntries {
		for _, ext := range e.Extensions {
			if ext.Critical && !ext.Id.Equal(oidReasonCode) {
				l.critical = true
			}
		}
		if e.ReasonCode != reasonRemoveFromCRL {
			l.revoked[serialKey(e.SerialNumber)] = true
		}
	}
	return l
}

func serialKey(n *big.Int) string {
	return string(append(n.Bytes(), byte(n.Sign())))
}

// parseScope parses an issuing distribution point.
func parseScope(der []byte) (s scope, ok bool) {
	var fields []asn1.RawValue
	rest, err := asn1.Unmarshal(der, &fields)
	if err != nil || len(rest) != 0 {
		return s, false
	}
	for _, f := range fields {
		if f.Class != asn1.ClassContextSpecific {
			return s, false
		}
		set := len(f.Bytes) != 1 || f.Bytes[0] != 0
		switch f.Tag {
		case 0:
			if s.points = pointNames(f.Bytes); s.points == nil {
				return s, false
			}
		case 1:
			s.users = set
		case 2:
			s.authorities = set
		case 4, 5: // indirect, attribute certificates
			if set {
				return s, false
			}
		default: // 3 is some reasons
			return s, false
		}
	}
	return s, true
}

// pointNames returns the encoded names of a DistributionPointName.
func pointNames(der []byte) [][]byte {
	var names []asn1.RawValue
	rest, err := asn1.UnmarshalWithParams(der, &names, "tag:0")
	if err != nil || len(rest) != 0 {
		return nil
	}
	var encoded [][]byte
	for _, n := range names {
		encoded = append(encoded, n.FullBytes)
	}
	return encoded
}

func (s *scope) covers(cert *x509.Certificate) bool {
	if cert.IsCA && s.users || !cert.IsCA && s.authorities {
		return false
	}
	if s.points == nil {
		return true
	}
	i := slices.IndexFunc(cert.Extensions, func(e pkix.Extension) bool {
		return e.Id.Equal(oidDistributionPoints)
	})
	if i < 0 {
		return false
	}
	var points [][]asn1.RawValue
	rest, err := asn1.Unmarshal(cert.Extensions[i].Value, &points)
	if err != nil || len(rest) != 0 {
		return false
	}
	for _, fields := range points {
		// Further fields are for lists of another issuer or some reasons.
		if len(fields) != 1 || fields[0].Class != asn1.ClassContextSpecific || fields[0].Tag != 0 {
			continue
		}
		for _, n := range pointNames(fields[0].Bytes) {
			for _, p := range s.points {
				if bytes.Equal(n, p) {
					return true
				}
			}
		}
	}
	return false
}

// A fault keeps a list from telling anything about a certificate. They are in
// the order in which libtls looks for them: of several lists, the one that
// comes farthest gives the reason.
type fault int

const (
	faultMissing fault = iota
	faultKeyUsage
	faultScope
	faultFuture
	faultExpired
	faultSignature
	faultCritical
	faultNone
)

var faultReasons = [...]string{
	faultMissing:   "unable to get certificate CRL",
	faultKeyUsage:  "key usage does not include CRL signing",
	faultScope:     "Different CRL scope",
	faultFuture:    "CRL is not yet valid",
	faultExpired:   "CRL has expired",
	faultSignature: "CRL signature failure",
	faultCritical:  "unhandled critical CRL extension",
}

// Check returns the reason against a chain that is otherwise verified, the
// leaf first, or an empty string. Every certificate needs a list of its
// issuer, the root of itself. The lists' times count only if times is set.
func (c *CRLs) Check(chain []*x509.Certificate, now time.Time, times bool) string {
	for i, cert := range chain {
		issuer := cert
		if i+1 < len(chain) {
			issuer = chain[i+1]
		}
		if reason := c.check(cert, issuer, now, times); reason != "" {
			return reason
		}
	}
	return ""
}

func (c *CRLs) check(cert, issuer *x509.Certificate, now time.Time, times bool) string {
	lists := c.lists[string(cert.RawIssuer)]
	if len(lists) != 0 && !bytes.Equal(issuer.RawSubject, cert.RawIssuer) {
		// The trust anchor is not a root.
		return "unable to get CRL issuer certificate"
	}
	farthest := faultMissing
	for _, l := range lists {
		f := l.fault(cert, issuer, now, times)
		if f == faultNone {
			// Older lists have nothing to add.
			if l.revoked[serialKey(cert.SerialNumber)] {
				return "certificate revoked"
			}
			return ""
		}
		farthest = max(farthest, f)
	}
	return faultReasons[farthest]
}

func (l *crl) fault(cert, issuer *x509.Certificate, now time.Time, times bool) fault {
	id, want := l.list.AuthorityKeyId, issuer.SubjectKeyId
	switch {
	case len(id) != 0 && len(want) != 0 && !bytes.Equal(id, want):
		return faultMissing
	case issuer.KeyUsage != 0 && issuer.KeyUsage&x509.KeyUsageCRLSign == 0:
		return faultKeyUsage
	case slices.ContainsFunc(l.scopes, func(s scope) bool { return !s.covers(cert) }):
		return faultScope
	case times && now.Before(l.list.ThisUpdate):
		return faultFuture
	case times && !l.list.NextUpdate.IsZero() && now.After(l.list.NextUpdate):
		return faultExpired
	case !l.signedBy(issuer):
		return faultSignature
	case l.critical:
		return faultCritical
	}
	return faultNone
}

func (l *crl) signedBy(issuer *x509.Certificate) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.signer != nil && bytes.Equal(l.signer, issuer.RawSubjectPublicKeyInfo) {
		return true
	}
	// Not CheckSignatureFrom: a self-signed server certificate that is
	// trusted as it is may have a list, too.
	if issuer.CheckSignature(l.list.SignatureAlgorithm, l.list.RawTBSRevocationList, l.list.Signature) != nil {
		return false
	}
	l.signer = bytes.Clone(issuer.RawSubjectPublicKeyInfo)
	return true
}
