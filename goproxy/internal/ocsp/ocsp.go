// SPDX-License-Identifier: ISC

// Package ocsp decides about OCSP responses (RFC 6960), by the rules and in
// the words of libtls.
package ocsp

import (
	"bytes"
	"crypto"
	_ "crypto/sha1"
	_ "crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"strings"
	"time"
)

// An Error is what the application shall see, whole.
type Error string

func (e Error) Error() string { return string(e) }

// What can be wrong, beside a revoked certificate.
const (
	ErrParse      Error = "unable to parse OCSP response"
	ErrLoad       Error = "cannot load ocsp reply"
	ErrVerify     Error = "ocsp verify failed"
	ErrIssuer     Error = "ocsp verify failed: no issuer cert"
	ErrNoResult   Error = "ocsp verify failed: no result for cert"
	ErrNotCurrent Error = "ocsp verify failed: ocsp response not current"
)

// A Result is what tls_peer_ocsp_*(3) tell. Times are in seconds since the
// epoch, -1 if absent.
type Result struct {
	ResponseStatus int
	CertStatus     int
	CRLReason      int // -1 for a revocation without a reason
	ThisUpdate     int64
	NextUpdate     int64
	RevocationTime int64
	Text           string
}

// Values of Result.CertStatus.
const (
	statusGood = iota
	statusRevoked
	statusUnknown
)

const (
	maxReason = 10 // of RFC 5280's CRLReason

	// As in libtls.
	maxSkew = time.Minute
	maxAge  = 14 * 24 * time.Hour
)

// libtls has no names for the others.
var reasons = map[int]string{
	0: "unspecified",
	1: "keyCompromise",
	2: "cACompromise",
	3: "affiliationChanged",
	4: "superseded",
	5: "cessationOfOperation",
	6: "certificateHold",
	8: "removeFromCRL",
}

// URL returns the first address of an OCSP responder in cert, or an empty
// string.
func URL(cert *x509.Certificate) string {
	for _, url := range cert.OCSPServer {
		if url != "" && strings.IndexByte(url, 0) < 0 {
			return url
		}
	}
	return ""
}

// Verify decides about the response der for leaf, whose issuer is nil if
// unknown. The result is there unless something is wrong with the response: a
// revoked certificate has both a result and an error.
func Verify(der []byte, leaf, issuer *x509.Certificate, now time.Time) (*Result, error) {
	resp, err := parse(der)
	if err != nil {
		return nil, err
	}
	if issuer == nil {
		return nil, ErrIssuer
	}
	if resp.critical || !resp.authentic(leaf, issuer, now) {
		return nil, ErrVerify
	}
	var found *single
	err = ErrNoResult
	for i := range resp.singles {
		s := &resp.singles[i]
		switch {
		case !s.isFor(leaf, issuer):
		case s.critical:
			return nil, ErrVerify
		case !s.current(now):
			err = ErrNotCurrent
		case found == nil || s.status == statusRevoked:
			found = s
		}
	}
	if found == nil {
		return nil, err
	}
	return found.result()
}

func (s *single) result() (*Result, error) {
	r := &Result{
		CertStatus:     s.status,
		CRLReason:      s.reason,
		ThisUpdate:     s.thisUpdate.Unix(),
		NextUpdate:     -1,
		RevocationTime: -1,
	}
	if s.nextUpdate != nil {
		r.NextUpdate = s.nextUpdate.Unix()
	}
	switch s.status {
	case statusGood:
		r.Text = "good"
	case statusUnknown:
		r.Text = "unknown"
	case statusRevoked:
		r.RevocationTime = s.revokedAt.Unix()
		var ok bool
		if r.Text, ok = reasons[s.reason]; !ok {
			r.Text = "(UNKNOWN)"
		}
		return r, Error("ocsp verify failed: revoked cert - " + r.Text)
	}
	return r, nil
}

func (s *single) isFor(leaf, issuer *x509.Certificate) bool {
	return s.hash != 0 &&
		s.serial.Cmp(leaf.SerialNumber) == 0 &&
		bytes.Equal(s.nameHash, digest(s.hash, issuer.RawSubject)) &&
		bytes.Equal(s.keyHash, digest(s.hash, publicKey(issuer)))
}

func digest(hash crypto.Hash, b []byte) []byte {
	h := hash.New()
	h.Write(b)
	return h.Sum(nil)
}

// publicKey returns the bits of a certificate's key, which is what OCSP hashes.
func publicKey(cert *x509.Certificate) []byte {
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(cert.RawSubjectPublicKeyInfo, &info); err != nil {
		return nil
	}
	return info.Key.Bytes
}

func (s *single) current(now time.Time) bool {
	return !s.thisUpdate.After(now.Add(maxSkew)) &&
		!s.thisUpdate.Before(now.Add(-maxAge)) &&
		(s.nextUpdate == nil ||
			!s.nextUpdate.Before(now.Add(-maxSkew)) && !s.nextUpdate.Before(s.thisUpdate))
}

// authentic says whether the response is signed by the issuer of leaf, or by
// somebody whom the issuer has entrusted with it.
func (resp *response) authentic(leaf, issuer *x509.Certificate, now time.Time) bool {
	if resp.signedBy(issuer, leaf) {
		return true
	}
	for _, der := range resp.certs {
		cert, err := x509.ParseCertificate(der)
		if err == nil && isDelegate(cert, issuer, now) && resp.signedBy(cert, leaf) {
			return true
		}
	}
	return false
}

// signedBy says whether signer is the responder and has signed the response.
// Nobody vouches for himself.
func (resp *response) signedBy(signer, leaf *x509.Certificate) bool {
	if resp.byName != nil {
		if !bytes.Equal(resp.byName, signer.RawSubject) {
			return false
		}
	} else if !bytes.Equal(resp.byKey, digest(crypto.SHA1, publicKey(signer))) {
		return false
	}
	return !bytes.Equal(signer.RawSubjectPublicKeyInfo, leaf.RawSubjectPublicKeyInfo) &&
		signer.CheckSignature(resp.algorithm, resp.tbs, resp.signature) == nil
}

func isDelegate(cert, issuer *x509.Certificate, now time.Time) bool {
	const usages = x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment
	return bytes.Equal(cert.RawIssuer, issuer.RawSubject) &&
		!now.Before(cert.NotBefore) && !now.After(cert.NotAfter) &&
		(cert.KeyUsage == 0 || cert.KeyUsage&usages != 0) &&
		slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning) &&
		len(cert.UnhandledCriticalExtensions) == 0 &&
		cert.CheckSignatureFrom(issuer) == nil
}
