// SPDX-License-Identifier: ISC

package ocsp

import (
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"time"
)

// A reader takes the content of a constructed value apart, element by element.
// The structures of encoding/asn1 ignore what follows their last field; here
// nothing may be left. The first thing that is wrong sets bad, and from then
// on all values are empty.
type reader struct {
	rest []byte
	bad  *bool
}

// A kind is what an element must be.
type kind struct {
	class, tag  int
	constructed bool
}

var (
	sequence        = kind{asn1.ClassUniversal, asn1.TagSequence, true}
	integer         = kind{asn1.ClassUniversal, asn1.TagInteger, false}
	enumerated      = kind{asn1.ClassUniversal, asn1.TagEnum, false}
	boolean         = kind{asn1.ClassUniversal, asn1.TagBoolean, false}
	objectID        = kind{asn1.ClassUniversal, asn1.TagOID, false}
	octetString     = kind{asn1.ClassUniversal, asn1.TagOctetString, false}
	bitString       = kind{asn1.ClassUniversal, asn1.TagBitString, false}
	null            = kind{asn1.ClassUniversal, asn1.TagNull, false}
	generalizedTime = kind{asn1.ClassUniversal, asn1.TagGeneralizedTime, false}

	// CertStatus
	good    = kind{asn1.ClassContextSpecific, 0, false}
	revoked = kind{asn1.ClassContextSpecific, 1, true}
	unknown = kind{asn1.ClassContextSpecific, 2, false}
)

func (r *reader) fail() {
	*r.bad = true
	r.rest = nil
}

// optional takes the next element if it is of kind k.
func (r *reader) optional(k kind) (v asn1.RawValue, ok bool) {
	if len(r.rest) == 0 || *r.bad {
		return v, false
	}
	rest, err := asn1.Unmarshal(r.rest, &v)
	if err != nil || v.Class != k.class || v.Tag != k.tag || v.IsCompound != k.constructed {
		return asn1.RawValue{}, false
	}
	r.rest = rest
	return v, true
}

func (r *reader) take(k kind) asn1.RawValue {
	v, ok := r.optional(k)
	if !ok {
		r.fail()
	}
	return v
}

// wrapped takes the element of kind k that is in an explicit tag, if the tag
// is there.
func (r *reader) wrapped(tag int, k kind) (v asn1.RawValue, ok bool) {
	outer, ok := r.optional(kind{asn1.ClassContextSpecific, tag, true})
	if !ok {
		return v, false
	}
	inner := r.in(outer.Bytes)
	v = inner.take(k)
	inner.end()
	return v, true
}

// value decodes v into the variable at p.
func (r *reader) value(v asn1.RawValue, p any) {
	if *r.bad {
		return
	}
	if _, err := asn1.Unmarshal(v.FullBytes, p); err != nil {
		r.fail()
	}
}

func (r *reader) decode(k kind, p any) { r.value(r.take(k), p) }

// enter takes the next element, of kind k, and returns its content.
func (r *reader) enter(k kind) *reader { return r.in(r.take(k).Bytes) }

func (r *reader) in(content []byte) *reader { return &reader{content, r.bad} }

func (r *reader) more() bool { return len(r.rest) != 0 && !*r.bad }

// end is called where nothing may follow.
func (r *reader) end() {
	if len(r.rest) != 0 {
		r.fail()
	}
}

// A response is a BasicOCSPResponse.
type response struct {
	tbs       []byte
	byName    []byte // the responder's name or
	byKey     []byte // the hash of its key
	singles   []single
	critical  bool // has a critical extension, none of which is known
	algorithm x509.SignatureAlgorithm
	signature []byte
	certs     [][]byte
}

type single struct {
	hash              crypto.Hash // 0 if unknown
	nameHash, keyHash []byte
	serial            *big.Int
	status, reason    int
	revokedAt         time.Time
	thisUpdate        time.Time
	nextUpdate        *time.Time
	critical          bool
}

const maxCerts = 16

// RFC 6960, appendix B.1
var (
	oidBasic  = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 1}
	oidSHA1   = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}
	oidSHA256 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidSHA384 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}
	oidSHA512 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}
	oidMGF1   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}
	oidPSS    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
)

// Not SHA-1: parts of a response, a nonce for one, are chosen by whoever
// asks.
var algorithms = []struct {
	oid asn1.ObjectIdentifier
	x509.SignatureAlgorithm
}{
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, x509.SHA256WithRSA},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 12}, x509.SHA384WithRSA},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 13}, x509.SHA512WithRSA},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}, x509.ECDSAWithSHA256},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}, x509.ECDSAWithSHA384},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}, x509.ECDSAWithSHA512},
	{asn1.ObjectIdentifier{1, 3, 101, 112}, x509.PureEd25519},
}

// parse reads an OCSPResponse, which must be of the status "successful".
func parse(der []byte) (*response, error) {
	bad := false
	outer := &reader{der, &bad}
	r := outer.enter(sequence)
	outer.end()
	var status asn1.Enumerated
	r.decode(enumerated, &status)
	var form asn1.ObjectIdentifier
	var basic []byte
	if v, ok := r.wrapped(0, sequence); ok {
		content := r.in(v.Bytes)
		content.decode(objectID, &form)
		basic = content.take(octetString).Bytes
		content.end()
	}
	r.end()
	if bad {
		return nil, ErrParse
	}
	if status != 0 || !form.Equal(oidBasic) {
		return nil, ErrLoad
	}
	inner := &reader{basic, &bad}
	resp := parseBasic(inner.enter(sequence))
	inner.end()
	if bad {
		return nil, ErrLoad
	}
	return resp, nil
}

func parseBasic(r *reader) *response {
	resp := &response{}
	tbs := r.take(sequence)
	resp.tbs = tbs.FullBytes
	resp.data(r.in(tbs.Bytes))
	resp.algorithm = signatureAlgorithm(r.enter(sequence))
	var signature asn1.BitString
	r.decode(bitString, &signature)
	if signature.BitLength%8 != 0 {
		r.fail()
	}
	resp.signature = signature.Bytes
	if v, ok := r.wrapped(0, sequence); ok {
		certs := r.in(v.Bytes)
		for certs.more() {
			resp.certs = append(resp.certs, certs.take(sequence).FullBytes)
			if len(resp.certs) > maxCerts {
				r.fail()
			}
		}
	}
	r.end()
	return resp
}

// data reads a ResponseData.
func (resp *response) data(r *reader) {
	if v, ok := r.wrapped(0, integer); ok {
		var version int
		if r.value(v, &version); version != 0 {
			r.fail()
		}
	}
	if v, ok := r.wrapped(1, sequence); ok {
		resp.byName = v.FullBytes
	} else if v, ok := r.wrapped(2, octetString); ok {
		resp.byKey = v.Bytes
	} else {
		r.fail()
	}
	var producedAt time.Time
	r.decode(generalizedTime, &producedAt)
	singles := r.enter(sequence)
	for singles.more() {
		resp.singles = append(resp.singles, parseSingle(singles.enter(sequence)))
	}
	resp.critical = extensions(r)
	r.end()
}

func parseSingle(r *reader) (s single) {
	id := r.enter(sequence)
	switch oid := algorithmID(id.enter(sequence)); {
	case oid.Equal(oidSHA1):
		s.hash = crypto.SHA1
	case oid.Equal(oidSHA256):
		s.hash = crypto.SHA256
	}
	s.nameHash = id.take(octetString).Bytes
	s.keyHash = id.take(octetString).Bytes
	id.decode(integer, &s.serial)
	id.end()

	if v, ok := r.optional(good); ok {
		s.status = statusGood
		r.in(v.Bytes).end()
	} else if v, ok := r.optional(unknown); ok {
		s.status = statusUnknown
		r.in(v.Bytes).end()
	} else {
		s.status = statusRevoked
		s.revocation(r.enter(revoked))
	}
	r.decode(generalizedTime, &s.thisUpdate)
	if v, ok := r.wrapped(0, generalizedTime); ok {
		s.nextUpdate = new(time.Time)
		r.value(v, s.nextUpdate)
	}
	s.critical = extensions(r)
	r.end()
	return s
}

// revocation reads a RevokedInfo.
func (s *single) revocation(r *reader) {
	r.decode(generalizedTime, &s.revokedAt)
	s.reason = -1
	if v, ok := r.wrapped(0, enumerated); ok {
		var reason asn1.Enumerated
		if r.value(v, &reason); reason < 0 || reason > maxReason {
			r.fail()
		}
		s.reason = int(reason)
	}
	r.end()
}

// extensions reads Extensions in [1], and reports whether one is critical.
func extensions(r *reader) (critical bool) {
	v, ok := r.wrapped(1, sequence)
	if !ok {
		return false
	}
	list := r.in(v.Bytes)
	for list.more() {
		ext := list.enter(sequence)
		ext.take(objectID)
		if v, ok := ext.optional(boolean); ok && (len(v.Bytes) != 1 || v.Bytes[0] != 0) {
			critical = true
		}
		ext.take(octetString)
		ext.end()
	}
	return critical
}

// algorithmID reads an AlgorithmIdentifier that has no parameters.
func algorithmID(r *reader) (oid asn1.ObjectIdentifier) {
	r.decode(objectID, &oid)
	if v, ok := r.optional(null); ok {
		r.in(v.Bytes).end()
	}
	r.end()
	return oid
}

// signatureAlgorithm reads an AlgorithmIdentifier.
func signatureAlgorithm(r *reader) x509.SignatureAlgorithm {
	peek := *r
	var oid asn1.ObjectIdentifier
	if peek.decode(objectID, &oid); oid.Equal(oidPSS) {
		return pss(&peek)
	}
	for _, a := range algorithms {
		if oid.Equal(a.oid) {
			algorithmID(r)
			return a.SignatureAlgorithm
		}
	}
	return x509.UnknownSignatureAlgorithm
}

// pss reads the parameters of RSASSA-PSS. As in crypto/x509 there is one hash,
// and the salt is as long as it.
func pss(r *reader) x509.SignatureAlgorithm {
	params := r.enter(sequence)
	r.end()
	var hash, mgf, mgfHash asn1.ObjectIdentifier
	var salt int
	trailer := 1
	// What is absent stays as it is here: SHA-1 is the default.
	if v, ok := params.wrapped(0, sequence); ok {
		hash = algorithmID(r.in(v.Bytes))
	}
	if v, ok := params.wrapped(1, sequence); ok {
		content := r.in(v.Bytes)
		content.decode(objectID, &mgf)
		mgfHash = algorithmID(content.enter(sequence))
		content.end()
	}
	if v, ok := params.wrapped(2, integer); ok {
		r.value(v, &salt)
	}
	if v, ok := params.wrapped(3, integer); ok {
		r.value(v, &trailer)
	}
	params.end()
	if !mgf.Equal(oidMGF1) || !mgfHash.Equal(hash) || trailer != 1 {
		return x509.UnknownSignatureAlgorithm
	}
	switch {
	case hash.Equal(oidSHA256) && salt == 32:
		return x509.SHA256WithRSAPSS
	case hash.Equal(oidSHA384) && salt == 48:
		return x509.SHA384WithRSAPSS
	case hash.Equal(oidSHA512) && salt == 64:
		return x509.SHA512WithRSAPSS
	}
	return x509.UnknownSignatureAlgorithm
}
