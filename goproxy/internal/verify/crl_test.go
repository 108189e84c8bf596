// SPDX-License-Identifier: ISC

package verify

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"libtls-proxy/goproxy/internal/testcert"
)

const (
	crlMissing  = "unable to get certificate CRL"
	crlRevoked  = "certificate revoked"
	crlScope    = "Different CRL scope"
	crlCritical = "unhandled critical CRL extension"
	crlUsage    = "key usage does not include CRL signing"
	crlBadSign  = "CRL signature failure"
	crlFuture   = "CRL is not yet valid"
	crlExpired  = "CRL has expired"
)

type revocation = x509.RevocationListEntry

// A crlMaker makes lists, each newer than the one before it.
type crlMaker struct {
	t      testing.TB
	now    time.Time
	number int64
}

// der returns a list that is signed by issuer and current, unless edit says
// something else.
func (m *crlMaker) der(issuer *testcert.Pair, edit func(*x509.RevocationList), entries ...revocation) []byte {
	m.t.Helper()
	m.number++
	template := &x509.RevocationList{
		Number:                    big.NewInt(m.number),
		ThisUpdate:                m.now.Add(-time.Hour).Add(time.Duration(m.number) * time.Second),
		NextUpdate:                m.now.Add(time.Hour),
		RevokedCertificateEntries: entries,
	}
	if edit != nil {
		edit(template)
	}
	// The key usage is for Check to look at.
	signer := *issuer.Cert
	signer.KeyUsage = x509.KeyUsageCRLSign
	der, err := x509.CreateRevocationList(rand.Reader, template, &signer, issuer.Key)
	if err != nil {
		m.t.Fatal(err)
	}
	return der
}

func (m *crlMaker) list(issuer *testcert.Pair, edit func(*x509.RevocationList), entries ...revocation) []byte {
	m.t.Helper()
	return crlPEM(m.der(issuer, edit, entries...))
}

func crlPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

func revoke(p *testcert.Pair) revocation {
	return revocation{SerialNumber: p.Cert.SerialNumber, RevocationTime: time.Now()}
}

// reissue edits the signed part of a list as a tree and signs it again.
func reissue(t testing.TB, der []byte, key crypto.Signer, edit func([]asn1.RawValue) []asn1.RawValue) []byte {
	t.Helper()
	var list, tbs []asn1.RawValue
	if _, err := asn1.Unmarshal(der, &list); err != nil {
		t.Fatal(err)
	}
	if _, err := asn1.Unmarshal(list[0].FullBytes, &tbs); err != nil {
		t.Fatal(err)
	}
	marshal := func(v any) []byte {
		b, err := asn1.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	list[0] = asn1.RawValue{FullBytes: marshal(edit(tbs))}
	digest := sha256.Sum256(list[0].FullBytes)
	signature, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	list[2] = asn1.RawValue{FullBytes: marshal(asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)})}
	return marshal(list)
}

// Parts of distribution points.
func field(tag int, constructed bool, content ...[]byte) []byte {
	b, err := asn1.Marshal(asn1.RawValue{
		Class: asn1.ClassContextSpecific, Tag: tag, IsCompound: constructed, Bytes: slices.Concat(content...),
	})
	if err != nil {
		panic(err)
	}
	return b
}

func sequenceOf(content ...[]byte) []byte {
	b, err := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: slices.Concat(content...)})
	if err != nil {
		panic(err)
	}
	return b
}

func yes(tag int) []byte { return field(tag, false, []byte{0xff}) }

func no(tag int) []byte { return field(tag, false, []byte{0}) }

func uri(s string) []byte { return field(6, false, []byte(s)) }

func point(names ...[]byte) []byte { return field(0, true, field(0, true, names...)) }

func TestCRL(t *testing.T) {
	now := time.Now()
	issue := func(cn string, parent *testcert.Pair, ca bool, edit func(*x509.Certificate)) *testcert.Pair {
		return testcert.New(t, testcert.Options{CA: ca, Parent: parent, Template: func(c *x509.Certificate) {
			c.Subject = pkix.Name{CommonName: cn}
			c.KeyUsage |= x509.KeyUsageCRLSign
			if edit != nil {
				edit(c)
			}
		}})
	}
	root := issue("root", nil, true, nil)
	ica := issue("ica", root, true, nil)
	leaf := issue("leaf", ica, false, nil)
	other := issue("leaf", ica, false, nil)
	twin := issue("ica", root, true, nil) // another key
	twinLeaf := issue("leaf", twin, false, nil)
	rogue := issue("ica", nil, true, nil)
	noSign := issue("no sign", root, true, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign })
	noSignLeaf := issue("leaf", noSign, false, nil)
	anyUsage := issue("any usage", root, true, func(c *x509.Certificate) { c.KeyUsage = 0 })
	anyUsageLeaf := issue("leaf", anyUsage, false, nil)
	withoutID := *ica
	withoutID.Cert = new(x509.Certificate)
	*withoutID.Cert = *ica.Cert
	withoutID.Cert.SubjectKeyId = nil
	self := issue("self", nil, false, func(c *x509.Certificate) { c.KeyUsage, c.SubjectKeyId = 0, []byte{1} })
	negative := &testcert.Pair{Cert: &x509.Certificate{}}
	*negative.Cert = *leaf.Cert
	negative.Cert.SerialNumber = new(big.Int).Neg(leaf.Cert.SerialNumber)
	withPoints := func(points ...[]byte) *testcert.Pair {
		return issue("leaf", ica, false, func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: oidDistributionPoints, Value: sequenceOf(points...)}}
		})
	}

	m := &crlMaker{t: t, now: now}
	rootCRL := m.list(root, nil)
	icaCRL := m.list(ica, nil)
	past := func(l *x509.RevocationList) {
		l.ThisUpdate, l.NextUpdate = now.Add(-2*time.Hour), now.Add(-time.Hour)
	}
	future := func(l *x509.RevocationList) { l.ThisUpdate, l.NextUpdate = now.Add(time.Hour), now.Add(2*time.Hour) }
	older := func(l *x509.RevocationList) { l.ThisUpdate = now.Add(-24 * time.Hour) }
	extension := func(oid asn1.ObjectIdentifier, critical bool, value []byte) func(*x509.RevocationList) {
		return func(l *x509.RevocationList) {
			l.ExtraExtensions = append(l.ExtraExtensions, pkix.Extension{Id: oid, Critical: critical, Value: value})
		}
	}
	idp := func(fields ...[]byte) func(*x509.RevocationList) {
		return extension(oidIssuingPoint, true, sequenceOf(fields...))
	}
	odd := asn1.ObjectIdentifier{1, 2, 3, 4}
	reason := func(p *testcert.Pair, n int) revocation {
		e := revoke(p)
		e.ReasonCode = n
		return e
	}
	entryWith := func(p *testcert.Pair, oid asn1.ObjectIdentifier, critical bool, value []byte) revocation {
		e := revoke(p)
		e.ExtraExtensions = []pkix.Extension{{Id: oid, Critical: critical, Value: value}}
		return e
	}
	tampered := func(issuer *testcert.Pair) []byte {
		der := m.der(issuer, nil)
		der[len(der)-1] ^= 1
		return crlPEM(der)
	}
	endless := crlPEM(reissue(t, m.der(ica, nil, revoke(other)), ica.Key, func(tbs []asn1.RawValue) []asn1.RawValue {
		return slices.Delete(tbs, 4, 5) // version, signature, issuer, thisUpdate, nextUpdate
	}))
	// CreateRevocationList makes this extension itself, and not critical.
	criticalReason := crlPEM(reissue(t, m.der(ica, nil, entryWith(leaf, odd, true, []byte{10, 1, 8})), ica.Key, func(tbs []asn1.RawValue) []asn1.RawValue {
		tbs[5].FullBytes = bytes.Replace(tbs[5].FullBytes, []byte{6, 3, 42, 3, 4}, []byte{6, 3, 85, 29, 21}, 1)
		return tbs
	}))
	at := func(this, next time.Duration) func(*x509.RevocationList) {
		return func(l *x509.RevocationList) { l.ThisUpdate, l.NextUpdate = now.Add(this), now.Add(next) }
	}
	a, b := uri("http://a/"), uri("http://b/")

	trailing := issue("leaf", ica, false, func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: oidDistributionPoints, Value: append(sequenceOf(sequenceOf(point(a))), 5, 0)}}
	})

	for _, c := range []struct {
		name   string
		chain  []*testcert.Pair // or leaf, ica, root
		crls   [][]byte
		noTime bool
		want   string
	}{
		{name: "none", want: crlMissing},
		{name: "garbage", crls: [][]byte{[]byte("garbage\n")}, want: crlMissing},
		{name: "only certificates", crls: [][]byte{root.CertPEM, ica.CertPEM}, want: crlMissing},
		{name: "all", crls: [][]byte{rootCRL, icaCRL}},
		{name: "among other blocks", crls: [][]byte{root.CertPEM, rootCRL, []byte("text\n"), root.KeyPEM, icaCRL}},
		{name: "issuer's missing", crls: [][]byte{rootCRL}, want: crlMissing},
		{name: "root's missing", crls: [][]byte{icaCRL}, want: crlMissing},
		{name: "leaf revoked", crls: [][]byte{rootCRL, m.list(ica, nil, revoke(leaf))}, want: crlRevoked},
		{name: "leaf revoked, root's missing", crls: [][]byte{m.list(ica, nil, revoke(leaf))}, want: crlRevoked},
		{name: "other leaf revoked", crls: [][]byte{rootCRL, m.list(ica, nil, revoke(other))}},
		{name: "one of many", crls: [][]byte{rootCRL, m.list(ica, nil, revoke(root), revoke(other), revoke(leaf), revoke(ica))}, want: crlRevoked},
		{name: "intermediate revoked", crls: [][]byte{icaCRL, m.list(root, nil, revoke(ica))}, want: crlRevoked},
		{name: "root revoked", crls: [][]byte{icaCRL, m.list(root, nil, revoke(root))}, want: crlRevoked},
		{name: "leaf's serial revoked by the root", crls: [][]byte{icaCRL, m.list(root, nil, revoke(leaf))}},
		{name: "negative serial revoked", crls: [][]byte{rootCRL, crlPEM(reissue(t, m.der(ica, nil, revoke(leaf)), ica.Key, func(tbs []asn1.RawValue) []asn1.RawValue {
			var revoked [][]asn1.RawValue
			if _, err := asn1.Unmarshal(tbs[5].FullBytes, &revoked); err != nil {
				t.Fatal(err)
			}
			serial, _ := asn1.Marshal(negative.Cert.SerialNumber)
			revoked[0][0] = asn1.RawValue{FullBytes: serial}
			der, _ := asn1.Marshal(revoked)
			tbs[5] = asn1.RawValue{FullBytes: der}
			return tbs
		}))}},
		{name: "positive serial revoked", chain: []*testcert.Pair{negative, ica, root}, crls: [][]byte{rootCRL, m.list(ica, nil, revoke(leaf))}},
		{name: "self-signed leaf", chain: []*testcert.Pair{self}, crls: [][]byte{m.list(self, nil)}},
		{name: "self-signed leaf revoked", chain: []*testcert.Pair{self}, crls: [][]byte{m.list(self, nil, revoke(self))}, want: crlRevoked},
		{name: "anchor is not a root", chain: []*testcert.Pair{leaf, ica}, crls: [][]byte{rootCRL, icaCRL}, want: "unable to get CRL issuer certificate"},
		{name: "anchor is not a root, no list", chain: []*testcert.Pair{leaf, ica}, crls: [][]byte{icaCRL}, want: crlMissing},

		// Reasons
		{name: "removed", crls: [][]byte{rootCRL, m.list(ica, nil, reason(leaf, 8))}},
		{name: "removed and revoked", crls: [][]byte{rootCRL, m.list(ica, nil, reason(leaf, 8), reason(leaf, 6))}, want: crlRevoked},
		{name: "revoked and removed", crls: [][]byte{rootCRL, m.list(ica, nil, reason(leaf, 6), reason(leaf, 8))}, want: crlRevoked},
		{name: "on hold", crls: [][]byte{rootCRL, m.list(ica, nil, reason(leaf, 6))}, want: crlRevoked},
		{name: "unknown reason", crls: [][]byte{rootCRL, m.list(ica, nil, reason(leaf, 77))}, want: crlRevoked},

		// Times
		{name: "expired", crls: [][]byte{rootCRL, m.list(ica, past)}, want: crlExpired},
		{name: "expired, revoked", crls: [][]byte{rootCRL, m.list(ica, past, revoke(leaf))}, want: crlExpired},
		{name: "root's expired", crls: [][]byte{m.list(root, past), icaCRL}, want: crlExpired},
		{name: "future", crls: [][]byte{rootCRL, m.list(ica, future)}, want: crlFuture},
		{name: "expired, no time", noTime: true, crls: [][]byte{rootCRL, m.list(ica, past)}},
		{name: "future, no time", noTime: true, crls: [][]byte{rootCRL, m.list(ica, future)}},
		{name: "expired, revoked, no time", noTime: true, crls: [][]byte{rootCRL, m.list(ica, past, revoke(leaf))}, want: crlRevoked},
		{name: "just begun", crls: [][]byte{rootCRL, m.list(ica, at(-time.Second, time.Hour))}},
		{name: "about to begin", crls: [][]byte{rootCRL, m.list(ica, at(2*time.Second, time.Hour))}, want: crlFuture},
		{name: "about to end", crls: [][]byte{rootCRL, m.list(ica, at(-time.Hour, 2*time.Second))}},
		{name: "just ended", crls: [][]byte{rootCRL, m.list(ica, at(-time.Hour, -time.Second))}, want: crlExpired},
		{name: "without an end", crls: [][]byte{rootCRL, endless}},
		{name: "without an end, revoked", chain: []*testcert.Pair{other, ica, root}, crls: [][]byte{rootCRL, endless}, want: crlRevoked},

		// Several lists
		{name: "expired and current", crls: [][]byte{rootCRL, m.list(ica, past, revoke(leaf)), icaCRL}},
		{name: "current and future", crls: [][]byte{rootCRL, icaCRL, m.list(ica, future, revoke(leaf))}},
		{name: "newer revokes", crls: [][]byte{rootCRL, m.list(ica, nil, revoke(leaf)), m.list(ica, older)}, want: crlRevoked},
		{name: "newer revokes, other order", crls: [][]byte{rootCRL, m.list(ica, older), m.list(ica, nil, revoke(leaf))}, want: crlRevoked},
		{name: "newer does not revoke", crls: [][]byte{rootCRL, m.list(ica, older, revoke(leaf)), icaCRL}},
		{name: "newer does not revoke, other order", crls: [][]byte{rootCRL, icaCRL, m.list(ica, older, revoke(leaf))}},
		{name: "higher number revokes", crls: [][]byte{rootCRL, m.list(ica, older), m.list(ica, older, revoke(leaf))}, want: crlRevoked},
		{name: "lower number revokes", crls: [][]byte{rootCRL, m.list(ica, older, revoke(leaf)), m.list(ica, older)}},
		{name: "expired and tampered", crls: [][]byte{rootCRL, m.list(ica, past), tampered(ica)}, want: crlBadSign},
		{name: "tampered and expired", crls: [][]byte{rootCRL, tampered(ica), m.list(ica, past)}, want: crlBadSign},
		{name: "tampered and current", crls: [][]byte{rootCRL, icaCRL, tampered(ica)}},

		// Issuers
		{name: "tampered", crls: [][]byte{rootCRL, tampered(ica)}, want: crlBadSign},
		{name: "root's tampered", crls: [][]byte{tampered(root), icaCRL}, want: crlBadSign},
		{name: "of the issuer's twin", crls: [][]byte{rootCRL, m.list(twin, nil)}, want: crlMissing},
		{name: "of both twins", crls: [][]byte{rootCRL, m.list(twin, nil, revoke(leaf)), icaCRL, m.list(twin, nil, revoke(leaf))}},
		{name: "of both twins, other chain", chain: []*testcert.Pair{twinLeaf, twin, root},
			crls: [][]byte{rootCRL, m.list(twin, nil, revoke(twinLeaf)), icaCRL}, want: crlRevoked},
		{name: "rogue, same key identifier", crls: [][]byte{rootCRL, func() []byte {
			signer := *rogue
			cert := *rogue.Cert
			cert.SubjectKeyId = ica.Cert.SubjectKeyId
			signer.Cert = &cert
			return m.list(&signer, nil)
		}()}, want: crlBadSign},
		{name: "without a key identifier", crls: [][]byte{rootCRL, crlPEM(reissue(t, m.der(ica, nil, revoke(leaf)), ica.Key, func(tbs []asn1.RawValue) []asn1.RawValue {
			return tbs[:6] // the extensions
		}))}, want: crlRevoked},
		{name: "issuer without a key identifier", chain: []*testcert.Pair{leaf, &withoutID, root}, crls: [][]byte{rootCRL, icaCRL}},
		{name: "no cRLSign", chain: []*testcert.Pair{noSignLeaf, noSign, root}, crls: [][]byte{rootCRL, m.list(noSign, nil)}, want: crlUsage},
		{name: "no key usage", chain: []*testcert.Pair{anyUsageLeaf, anyUsage, root}, crls: [][]byte{rootCRL, m.list(anyUsage, nil)}},

		// Extensions
		{name: "critical", crls: [][]byte{rootCRL, m.list(ica, extension(odd, true, []byte{5, 0}))}, want: crlCritical},
		{name: "critical, revoked", crls: [][]byte{rootCRL, m.list(ica, extension(odd, true, []byte{5, 0}), revoke(leaf))}, want: crlCritical},
		{name: "critical and current", crls: [][]byte{rootCRL, icaCRL, m.list(ica, extension(odd, true, []byte{5, 0}), revoke(leaf))}},
		{name: "not critical", crls: [][]byte{rootCRL, m.list(ica, extension(odd, false, []byte{5, 0}))}},
		{name: "critical entry", crls: [][]byte{rootCRL, m.list(ica, nil, entryWith(other, odd, true, []byte{5, 0}))}, want: crlCritical},
		{name: "entry not critical", crls: [][]byte{rootCRL, m.list(ica, nil, entryWith(other, odd, false, []byte{5, 0}))}},
		{name: "critical reason", crls: [][]byte{rootCRL, criticalReason}},
		{name: "certificate issuer", crls: [][]byte{rootCRL, m.list(ica, nil, entryWith(other, asn1.ObjectIdentifier{2, 5, 29, 29}, true, sequenceOf(a)))}, want: crlCritical},
		{name: "delta", crls: [][]byte{rootCRL, m.list(ica, extension(oidDeltaCRLIndicator, true, []byte{2, 1, 1}))}, want: crlMissing},
		{name: "delta, not critical", crls: [][]byte{rootCRL, m.list(ica, extension(oidDeltaCRLIndicator, false, []byte{2, 1, 1}))}, want: crlMissing},
		{name: "delta and current", crls: [][]byte{rootCRL, icaCRL, m.list(ica, extension(oidDeltaCRLIndicator, true, []byte{2, 1, 1}), revoke(leaf))}},

		// Issuing distribution points
		{name: "idp is empty", crls: [][]byte{rootCRL, m.list(ica, idp())}},
		{name: "idp is empty, revoked", crls: [][]byte{rootCRL, m.list(ica, idp(), revoke(leaf))}, want: crlRevoked},
		{name: "idp is not critical", crls: [][]byte{rootCRL, m.list(ica, extension(oidIssuingPoint, false, sequenceOf(yes(2))))}, want: crlScope},
		{name: "idp is no sequence", crls: [][]byte{rootCRL, m.list(ica, extension(oidIssuingPoint, true, []byte{5, 0}))}, want: crlMissing},
		{name: "idp has more", crls: [][]byte{rootCRL, m.list(ica, extension(oidIssuingPoint, true, append(sequenceOf(), 5, 0)))}, want: crlMissing},
		{name: "users", crls: [][]byte{rootCRL, m.list(ica, idp(yes(1)))}},
		{name: "users, revoked", crls: [][]byte{rootCRL, m.list(ica, idp(yes(1)), revoke(leaf))}, want: crlRevoked},
		{name: "users, intermediate", crls: [][]byte{icaCRL, m.list(root, idp(yes(1)))}, want: crlScope},
		{name: "authorities", crls: [][]byte{icaCRL, m.list(root, idp(yes(2)))}},
		{name: "authorities, revoked", crls: [][]byte{icaCRL, m.list(root, idp(yes(2)), revoke(ica))}, want: crlRevoked},
		{name: "authorities, leaf", crls: [][]byte{rootCRL, m.list(ica, idp(yes(2)))}, want: crlScope},
		{name: "authorities, explicitly not", crls: [][]byte{rootCRL, m.list(ica, idp(no(1), no(2), no(4), no(5)))}},
		{name: "users and authorities", crls: [][]byte{rootCRL, m.list(ica, idp(yes(1), yes(2)))}, want: crlScope},
		{name: "two lists", crls: [][]byte{rootCRL, m.list(ica, idp(yes(1)), revoke(leaf)), m.list(ica, idp(yes(2)))}, want: crlRevoked},
		{name: "idp twice", crls: [][]byte{rootCRL, m.list(ica, func(l *x509.RevocationList) { idp(yes(1))(l); idp(yes(2))(l) })}, want: crlScope},
		{name: "some reasons", crls: [][]byte{rootCRL, m.list(ica, idp(field(3, false, []byte{1, 0x40})))}, want: crlMissing},
		{name: "indirect", crls: [][]byte{rootCRL, m.list(ica, idp(yes(4)))}, want: crlMissing},
		{name: "attribute certificates", crls: [][]byte{rootCRL, m.list(ica, idp(yes(5)))}, want: crlMissing},
		{name: "unknown field", crls: [][]byte{rootCRL, m.list(ica, idp(yes(6)))}, want: crlMissing},
		{name: "field of another class", crls: [][]byte{rootCRL, m.list(ica, idp([]byte{1, 1, 0xff}))}, want: crlMissing},
		{name: "out of order", crls: [][]byte{rootCRL, m.list(ica, idp(yes(4), yes(1)))}, want: crlMissing},
		{name: "point, leaf has none", crls: [][]byte{rootCRL, m.list(ica, idp(point(a)))}, want: crlScope},
		{name: "point", chain: []*testcert.Pair{withPoints(sequenceOf(point(a))), ica, root}, crls: [][]byte{rootCRL, m.list(ica, idp(point(a)))}},
		{name: "one of the points", chain: []*testcert.Pair{withPoints(sequenceOf(point(b)), sequenceOf(point(uri("http://c/"), a))), ica, root},
			crls: [][]byte{rootCRL, m.list(ica, idp(point(uri("http://d/"), a)))}},
		{name: "other point", chain: []*testcert.Pair{withPoints(sequenceOf(point(b))), ica, root}, crls: [][]byte{rootCRL, m.list(ica, idp(point(a)))}, want: crlScope},
		{name: "point for some reasons", chain: []*testcert.Pair{withPoints(sequenceOf(point(a), field(1, false, []byte{1, 0x40}))), ica, root},
			crls: [][]byte{rootCRL, m.list(ica, idp(point(a)))}, want: crlScope},
		{name: "point of another issuer", chain: []*testcert.Pair{withPoints(sequenceOf(point(a), field(2, true, a))), ica, root},
			crls: [][]byte{rootCRL, m.list(ica, idp(point(a)))}, want: crlScope},
		{name: "point in another field", chain: []*testcert.Pair{withPoints(sequenceOf(field(2, true, field(0, true, a)))), ica, root},
			crls: [][]byte{rootCRL, m.list(ica, idp(point(a)))}, want: crlScope},
		{name: "point of another class", chain: []*testcert.Pair{withPoints(sequenceOf(append([]byte{0x60}, point(a)[1:]...))), ica, root},
			crls: [][]byte{rootCRL, m.list(ica, idp(point(a)))}, want: crlScope},
		{name: "point and more", chain: []*testcert.Pair{withPoints(sequenceOf(field(0, true, field(0, true, a), field(1, true)))), ica, root},
			crls: [][]byte{rootCRL, m.list(ica, idp(point(a)))}, want: crlScope},
		{name: "points and more", chain: []*testcert.Pair{trailing, ica, root}, crls: [][]byte{rootCRL, m.list(ica, idp(point(a)))}, want: crlScope},
		{name: "leaf has a point, list has none", chain: []*testcert.Pair{withPoints(sequenceOf(point(a))), ica, root}, crls: [][]byte{rootCRL, icaCRL}},
		{name: "point relative to the issuer", crls: [][]byte{rootCRL, m.list(ica, idp(field(0, true, field(1, true))))}, want: crlMissing},
		{name: "point without a name", crls: [][]byte{rootCRL, m.list(ica, idp(point()))}, want: crlMissing},
		{name: "list of each point", chain: []*testcert.Pair{withPoints(sequenceOf(point(b))), ica, root},
			crls: [][]byte{rootCRL, m.list(ica, idp(point(a))), m.list(ica, idp(point(b)))}},

		// What cannot be read
		{name: "version 1", crls: [][]byte{rootCRL, crlPEM(reissue(t, m.der(ica, nil), ica.Key, func(tbs []asn1.RawValue) []asn1.RawValue {
			return tbs[1:5]
		}))}, want: crlMissing},
		{name: "bad block beside good ones", crls: [][]byte{rootCRL, icaCRL, crlPEM([]byte{0x30, 0})}, want: crlMissing},
		{name: "bad base64", crls: [][]byte{rootCRL, icaCRL, []byte("-----BEGIN X509 CRL-----\n!\n-----END X509 CRL-----\n")}, want: crlMissing},
		{name: "truncated block", crls: [][]byte{rootCRL, icaCRL, icaCRL[:len(icaCRL)/2]}, want: crlMissing},
		{name: "trailing bytes", crls: [][]byte{rootCRL, icaCRL, crlPEM(append(m.der(ica, nil), 0))}, want: crlMissing},
		{name: "encrypted", crls: [][]byte{rootCRL, icaCRL, bytes.Replace(icaCRL, []byte("CRL-----\n"), []byte("CRL-----\nProc-Type: 4,ENCRYPTED\n\n"), 1)}, want: crlMissing},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.chain == nil {
				c.chain = []*testcert.Pair{leaf, ica, root}
			}
			set := ParseCRLs(bytes.Join(c.crls, nil))
			for range 2 { // the second time with what the first has cached
				if got := set.Check(certs(c.chain...), now, !c.noTime); got != c.want {
					t.Errorf("got %q, want %q", got, c.want)
				}
			}
		})
	}
}

func TestCRLErr(t *testing.T) {
	m := &crlMaker{t: t, now: time.Now()}
	root := testcert.New(t, testcert.Options{CA: true})
	good := m.list(root, nil)
	for _, c := range []struct {
		name string
		pem  []byte
		bad  bool
	}{
		{"empty", nil, false},
		{"garbage", []byte("garbage"), false},
		{"certificate", root.CertPEM, false},
		{"good", good, false},
		{"not a list", crlPEM([]byte{5, 0}), true},
		{"truncated", good[:len(good)-2], true},
		{"good and truncated", slices.Concat(good, good[:len(good)/2]), true},
		{"truncated and good", slices.Concat(good[:len(good)/2], good), true},
	} {
		err := ParseCRLs(c.pem).Err()
		if (err != nil) != c.bad || err != nil && err.Error() != "failed to parse crl" {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
}

// TestCRLSigner lets one list meet two issuers of the same name: what one has
// signed must not count as signed by the other.
func TestCRLSigner(t *testing.T) {
	m := &crlMaker{t: t, now: time.Now()}
	root, rogue := testcert.New(t, testcert.Options{CA: true}), testcert.New(t, testcert.Options{CA: true})
	list := m.list(root, nil)
	rogue.Cert.SubjectKeyId = root.Cert.SubjectKeyId
	for _, p := range []*testcert.Pair{root, rogue} {
		p.Cert.KeyUsage |= x509.KeyUsageCRLSign
	}
	set := ParseCRLs(list)
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range 8 {
				if got := set.Check(certs(root), m.now, true); got != "" {
					t.Errorf("root: got %q", got)
				}
				if got := set.Check(certs(rogue), m.now, true); got != crlBadSign {
					t.Errorf("rogue: got %q", got)
				}
			}
		})
	}
	wait.Wait()
}

// TestCRLOpenSSL reads what openssl ca(1) has made.
func TestCRLOpenSSL(t *testing.T) {
	data, err := os.ReadFile("testdata/openssl-crl.pem")
	if err != nil {
		t.Fatal(err)
	}
	var list []*x509.Certificate
	eachCertificate(data, func(c *x509.Certificate) bool {
		list = append(list, c)
		return true
	})
	if len(list) != 3 {
		t.Fatal("file is not whole")
	}
	leaf, bad, root := list[0], list[1], list[2]
	set := ParseCRLs(data)
	now := leaf.NotBefore.Add(24 * time.Hour)
	for _, c := range []struct {
		leaf *x509.Certificate
		now  time.Time
		want string
	}{
		{leaf, now, ""},
		{bad, now, crlRevoked},
		{leaf, now.Add(-48 * time.Hour), crlFuture},
		{leaf, now.Add(30 * 24 * time.Hour), crlExpired},
	} {
		if got := set.Check([]*x509.Certificate{c.leaf, root}, c.now, true); got != c.want {
			t.Errorf("at %v: got %q, want %q", c.now, got, c.want)
		}
	}
}

// FuzzCRL knows that only what was signed can be accepted, which Ed25519 makes
// the same in each process.
func FuzzCRL(f *testing.F) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "root"},
		NotBefore:             time.Unix(1e9, 0),
		NotAfter:              time.Unix(4e9, 0),
		BasicConstraintsValid: true,
		IsCA:                  true,
		KeyUsage:              x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		f.Fatal(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		f.Fatal(err)
	}
	now := time.Unix(2e9, 0)
	signed := make(map[string]bool)
	for _, ext := range [][]byte{sequenceOf(), sequenceOf(yes(2)), sequenceOf(point(uri("http://a/")))} {
		der, err := x509.CreateRevocationList(nil, &x509.RevocationList{
			Number:          big.NewInt(1),
			ThisUpdate:      now,
			NextUpdate:      now.Add(time.Hour),
			ExtraExtensions: []pkix.Extension{{Id: oidIssuingPoint, Critical: true, Value: ext}},
			RevokedCertificateEntries: []revocation{
				{SerialNumber: big.NewInt(2), RevocationTime: now, ReasonCode: 1},
			},
		}, root, key)
		if err != nil {
			f.Fatal(err)
		}
		list, err := x509.ParseRevocationList(der)
		if err != nil {
			f.Fatal(err)
		}
		signed[string(list.RawTBSRevocationList)] = true
		f.Add(der)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		ParseCRLs(der).Check([]*x509.Certificate{root}, now, true)
		set := ParseCRLs(crlPEM(der))
		if reason := set.Check([]*x509.Certificate{root}, now, true); reason != "" {
			return
		}
		list, err := x509.ParseRevocationList(der)
		if err != nil || !signed[string(list.RawTBSRevocationList)] {
			t.Fatalf("accepted %x", der)
		}
	})
}
