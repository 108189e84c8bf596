// SPDX-License-Identifier: ISC

package ocsp

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"testing"
	"time"

	"libtls-proxy/goproxy/internal/testcert"
)

var now = time.Now().UTC().Truncate(time.Second)

func der(tag int, content ...[]byte) []byte {
	v := asn1.RawValue{Class: tag >> 6, Tag: tag & 0x1f, IsCompound: tag&0x20 != 0}
	for _, c := range content {
		v.Bytes = append(v.Bytes, c...)
	}
	return marshal(v)
}

func marshal(v any) []byte {
	b, err := asn1.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func seq(content ...[]byte) []byte { return der(0x30, content...) }

func at(t time.Time) []byte { return der(0x18, []byte(t.Format("20060102150405Z"))) }

func ago(d time.Duration) []byte { return at(now.Add(-d)) }

func in(d time.Duration) []byte { return at(now.Add(d)) }

func alg(oid asn1.ObjectIdentifier, params ...[]byte) []byte {
	return seq(marshal(oid), der(0x80, params...)[2:])
}

func hashed(oid asn1.ObjectIdentifier, b []byte) []byte {
	h := map[string]crypto.Hash{
		oidSHA1.String(): crypto.SHA1, oidSHA256.String(): crypto.SHA256,
		oidSHA384.String(): crypto.SHA384, oidSHA512.String(): crypto.SHA512,
	}[oid.String()].New()
	h.Write(b)
	return h.Sum(nil)
}

// A certID, thisUpdate and so on that are nil become the right ones.
type answer struct {
	hash         asn1.ObjectIdentifier
	issuer       *testcert.Pair
	keyOf        *testcert.Pair
	serial       *big.Int
	status       []byte
	thisUpdate   []byte
	nextUpdate   []byte
	noNextUpdate bool
	tail         []byte
}

var (
	isGood    = der(0x80)
	isUnknown = der(0x82)
)

func isRevoked(content ...[]byte) []byte {
	return der(0xa1, append([][]byte{ago(time.Hour)}, content...)...)
}

func reason(n int) []byte { return der(0xa0, marshal(asn1.Enumerated(n))) }

type reply struct {
	status     int
	form       asn1.ObjectIdentifier
	version    []byte
	byName     bool
	responder  []byte
	producedAt []byte
	answers    []answer
	tail       []byte // of the ResponseData
	signer     *testcert.Pair
	algorithm  []byte
	sign       func(tbs []byte) []byte
	certs      [][]byte
	end        []byte // of the BasicOCSPResponse
	mangle     func(response []byte) []byte
}

type pki struct {
	leaf, issuer *testcert.Pair
}

func (p *pki) encodeAnswer(a answer) []byte {
	if a.hash == nil {
		a.hash = oidSHA1
	}
	if a.issuer == nil {
		a.issuer = p.issuer
	}
	if a.keyOf == nil {
		a.keyOf = a.issuer
	}
	if a.serial == nil {
		a.serial = p.leaf.Cert.SerialNumber
	}
	if a.status == nil {
		a.status = isGood
	}
	if a.thisUpdate == nil {
		a.thisUpdate = ago(time.Hour)
	}
	if a.nextUpdate == nil && !a.noNextUpdate {
		a.nextUpdate = in(time.Hour)
	}
	next := []byte(nil)
	if a.nextUpdate != nil {
		next = der(0xa0, a.nextUpdate)
	}
	return seq(
		seq(alg(a.hash, asn1.NullBytes),
			der(4, hashed(a.hash, a.issuer.Cert.RawSubject)),
			der(4, hashed(a.hash, publicKey(a.keyOf.Cert))),
			marshal(a.serial)),
		a.status, a.thisUpdate, next, a.tail)
}

// encode makes a response that is good for p.leaf where r says nothing else.
func (p *pki) encode(t testing.TB, r reply) []byte {
	t.Helper()
	if r.signer == nil {
		r.signer = p.issuer
	}
	if r.responder == nil {
		if r.byName {
			r.responder = der(0xa1, r.signer.Cert.RawSubject)
		} else {
			r.responder = der(0xa2, der(4, hashed(oidSHA1, publicKey(r.signer.Cert))))
		}
	}
	if r.producedAt == nil {
		r.producedAt = ago(time.Hour)
	}
	if r.answers == nil {
		r.answers = []answer{{}}
	}
	var answers [][]byte
	for _, a := range r.answers {
		answers = append(answers, p.encodeAnswer(a))
	}
	tbs := seq(r.version, r.responder, r.producedAt, seq(answers...), r.tail)
	if r.algorithm == nil {
		r.algorithm, r.sign = signing(t, r.signer.Key, "")
	}
	certs := []byte(nil)
	if r.certs != nil {
		certs = der(0xa0, seq(r.certs...))
	}
	if r.form == nil {
		r.form = oidBasic
	}
	basic := seq(tbs, r.algorithm, marshal(asn1.BitString{Bytes: r.sign(tbs), BitLength: 8 * len(r.sign(tbs))}), certs, r.end)
	response := seq(marshal(asn1.Enumerated(r.status)), der(0xa0, seq(marshal(r.form), der(4, basic))))
	if r.mangle != nil {
		response = r.mangle(response)
	}
	return response
}

// signing returns an AlgorithmIdentifier and what signs with it.
func signing(t testing.TB, key crypto.Signer, name string) ([]byte, func([]byte) []byte) {
	t.Helper()
	if name == "" {
		name = "ecdsa256"
		switch key.(type) {
		case *rsa.PrivateKey:
			name = "rsa256"
		case ed25519.PrivateKey:
			name = "ed25519"
		}
	}
	rsaOID := func(n int) asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, n} }
	ecOID := func(n int) asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, n} }
	pssParams := func(oid, mgf asn1.ObjectIdentifier, salt int, more ...[]byte) []byte {
		var params []byte // may be there or not
		if oid.Equal(oidSHA512) {
			params = asn1.NullBytes
		}
		return seq(append([][]byte{
			der(0xa0, alg(oid, params)),
			der(0xa1, alg(oidMGF1, alg(mgf, params))),
			der(0xa2, marshal(salt)),
		}, more...)...)
	}
	a := map[string]struct {
		id   []byte
		opts crypto.SignerOpts
	}{
		"rsa1":        {alg(rsaOID(5), asn1.NullBytes), crypto.SHA1},
		"rsa256":      {alg(rsaOID(11), asn1.NullBytes), crypto.SHA256},
		"rsa384":      {alg(rsaOID(12), asn1.NullBytes), crypto.SHA384},
		"rsa512":      {alg(rsaOID(13), asn1.NullBytes), crypto.SHA512},
		"rsa256 no":   {alg(rsaOID(11), marshal(7)), crypto.SHA256},
		"pss256":      {alg(oidPSS, pssParams(oidSHA256, oidSHA256, 32)), &rsa.PSSOptions{Hash: crypto.SHA256, SaltLength: 32}},
		"pss384":      {alg(oidPSS, pssParams(oidSHA384, oidSHA384, 48)), &rsa.PSSOptions{Hash: crypto.SHA384, SaltLength: 48}},
		"pss512":      {alg(oidPSS, pssParams(oidSHA512, oidSHA512, 64, der(0xa3, marshal(1)))), &rsa.PSSOptions{Hash: crypto.SHA512, SaltLength: 64}},
		"pss salt":    {alg(oidPSS, pssParams(oidSHA256, oidSHA256, 20)), &rsa.PSSOptions{Hash: crypto.SHA256, SaltLength: 32}},
		"pss salt384": {alg(oidPSS, pssParams(oidSHA384, oidSHA384, 32)), &rsa.PSSOptions{Hash: crypto.SHA384, SaltLength: 48}},
		"pss salt512": {alg(oidPSS, pssParams(oidSHA512, oidSHA512, 32)), &rsa.PSSOptions{Hash: crypto.SHA512, SaltLength: 64}},
		"pss short":   {alg(oidPSS, pssParams(oidSHA256, oidSHA256, 32)), &rsa.PSSOptions{Hash: crypto.SHA256, SaltLength: 20}},
		"pss mgf": {alg(oidPSS, seq(der(0xa0, alg(oidSHA256)), der(0xa1, alg(oidPSS, alg(oidSHA256))), der(0xa2, marshal(32)))),
			&rsa.PSSOptions{Hash: crypto.SHA256, SaltLength: 32}},
		"pss mixed":   {alg(oidPSS, pssParams(oidSHA256, oidSHA1, 32)), &rsa.PSSOptions{Hash: crypto.SHA256, SaltLength: 32}},
		"pss trailer": {alg(oidPSS, pssParams(oidSHA256, oidSHA256, 32, der(0xa3, marshal(2)))), &rsa.PSSOptions{Hash: crypto.SHA256, SaltLength: 32}},
		"pss default": {alg(oidPSS, seq()), &rsa.PSSOptions{Hash: crypto.SHA1, SaltLength: 20}},
		"pss more":    {alg(oidPSS, pssParams(oidSHA256, oidSHA256, 32, der(0xa4, marshal(1)))), &rsa.PSSOptions{Hash: crypto.SHA256, SaltLength: 32}},
		"pss none":    {alg(oidPSS), &rsa.PSSOptions{Hash: crypto.SHA256, SaltLength: 32}},
		"ecdsa1":      {alg(asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 1}), crypto.SHA1},
		"ecdsa256":    {alg(ecOID(2)), crypto.SHA256},
		"ecdsa384":    {alg(ecOID(3)), crypto.SHA384},
		"ecdsa512":    {alg(ecOID(4)), crypto.SHA512},
		"ed25519":     {alg(asn1.ObjectIdentifier{1, 3, 101, 112}), crypto.Hash(0)},
		"unknown":     {alg(asn1.ObjectIdentifier{1, 2, 3}), crypto.SHA256},
	}[name]
	var signature []byte
	return a.id, func(tbs []byte) []byte {
		if signature != nil {
			return signature
		}
		digest := tbs
		if hash := a.opts.HashFunc(); hash != 0 {
			h := hash.New()
			h.Write(tbs)
			digest = h.Sum(nil)
		}
		var err error
		if signature, err = key.Sign(rand.Reader, digest, a.opts); err != nil {
			t.Fatal(err)
		}
		return signature
	}
}

func extension(oid asn1.ObjectIdentifier, critical bool) []byte {
	return der(0xa1, marshal([]pkix.Extension{{Id: oid, Critical: critical, Value: []byte{5, 0}}}))
}

func TestVerify(t *testing.T) {
	cert := func(cn string, parent *testcert.Pair, ca bool, edit func(*x509.Certificate)) *testcert.Pair {
		return testcert.New(t, testcert.Options{Parent: parent, CA: ca, Template: func(c *x509.Certificate) {
			c.Subject = pkix.Name{CommonName: cn}
			if edit != nil {
				edit(c)
			}
		}})
	}
	responder := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning} }
	and := func(more func(*x509.Certificate)) func(*x509.Certificate) {
		return func(c *x509.Certificate) { responder(c); more(c) }
	}
	root := cert("root", nil, true, nil)
	ica := cert("ica", root, true, nil)
	twin := cert("ica", root, true, nil) // another key
	leaf := cert("leaf", ica, false, responder)
	p := &pki{leaf: leaf, issuer: ica}

	renamed := *ica
	renamed.Cert = new(x509.Certificate)
	*renamed.Cert = *ica.Cert
	renamed.Cert.RawSubject = root.Cert.RawSubject

	delegate := cert("delegate", ica, false, responder)
	namesake := cert("ica", ica, false, responder)
	withKey := func(usage x509.KeyUsage) *testcert.Pair {
		return cert("delegate", ica, false, and(func(c *x509.Certificate) { c.KeyUsage = usage }))
	}
	by := func(d *testcert.Pair, more ...*testcert.Pair) reply {
		r := reply{signer: d}
		for _, c := range more {
			r.certs = append(r.certs, c.Cert.Raw)
		}
		r.certs = append(r.certs, d.Cert.Raw)
		return r
	}
	// The same key, certified twice.
	renewed := cert("delegate", ica, false, responder)
	old := &testcert.Pair{Key: renewed.Key}
	{
		template := *renewed.Cert
		template.NotAfter = now.Add(-time.Minute)
		raw, err := x509.CreateCertificate(rand.Reader, &template, ica.Cert, renewed.Key.Public(), ica.Key)
		if err != nil {
			t.Fatal(err)
		}
		if old.Cert, err = x509.ParseCertificate(raw); err != nil {
			t.Fatal(err)
		}
	}
	one := func(a answer) reply { return reply{answers: []answer{a}} }
	status := func(s []byte) reply { return one(answer{status: s}) }
	flip := func(i int) func([]byte) []byte {
		return func(b []byte) []byte {
			if i < 0 {
				i += len(b)
			}
			b[i] ^= 1
			return b
		}
	}
	badKey := hashed(oidSHA1, publicKey(ica.Cert))
	badKey[0] ^= 1
	other := new(big.Int).Add(leaf.Cert.SerialNumber, big.NewInt(1))
	negative := new(big.Int).Neg(leaf.Cert.SerialNumber)
	oid := asn1.ObjectIdentifier{1, 2, 3}
	many := func(n int) [][]byte {
		var certs [][]byte
		for range n {
			certs = append(certs, leaf.Cert.Raw)
		}
		return certs
	}

	const notCurrent, noResult, failed, load, unparsable = ErrNotCurrent, ErrNoResult, ErrVerify, ErrLoad, ErrParse
	revokedError := func(s string) Error { return Error("ocsp verify failed: revoked cert - " + s) }
	hour := func(n int) int64 { return now.Add(time.Duration(n) * time.Hour).Unix() }
	day := 24 * time.Hour
	good := Result{Text: "good", ThisUpdate: hour(-1), NextUpdate: hour(1), RevocationTime: -1}
	var none Result
	unknown := good
	unknown.CertStatus, unknown.Text = 2, "unknown"
	revoked := func(reason int, text string) Result {
		r := good
		r.CertStatus, r.CRLReason, r.Text, r.RevocationTime = 1, reason, text, hour(-1)
		return r
	}
	updated := func(this, next time.Duration) Result {
		r := good
		r.ThisUpdate, r.NextUpdate = now.Add(this).Unix(), now.Add(next).Unix()
		return r
	}
	endless := good
	endless.NextUpdate = -1
	oldest := endless
	oldest.ThisUpdate = now.Add(-14 * day).Unix()

	for _, c := range []struct {
		name string
		reply
		want Result
		err  Error
	}{
		{"by key", reply{}, good, ""},
		{"by name", reply{byName: true}, good, ""},
		{"explicit version", reply{version: der(0xa0, marshal(0))}, good, ""},
		{"extensions", reply{tail: extension(oid, false)}, good, ""},
		{"unneeded certificates", reply{certs: [][]byte{root.Cert.Raw, ica.Cert.Raw}}, good, ""},
		{"unknown status", status(isUnknown), unknown, ""},

		// Revocation
		{"revoked", status(isRevoked()), revoked(-1, "(UNKNOWN)"), revokedError("(UNKNOWN)")},
		{"reason 0", status(isRevoked(reason(0))), revoked(0, "unspecified"), revokedError("unspecified")},
		{"reason 1", status(isRevoked(reason(1))), revoked(1, "keyCompromise"), revokedError("keyCompromise")},
		{"reason 2", status(isRevoked(reason(2))), revoked(2, "cACompromise"), revokedError("cACompromise")},
		{"reason 3", status(isRevoked(reason(3))), revoked(3, "affiliationChanged"), revokedError("affiliationChanged")},
		{"reason 4", status(isRevoked(reason(4))), revoked(4, "superseded"), revokedError("superseded")},
		{"reason 5", status(isRevoked(reason(5))), revoked(5, "cessationOfOperation"), revokedError("cessationOfOperation")},
		{"reason 6", status(isRevoked(reason(6))), revoked(6, "certificateHold"), revokedError("certificateHold")},
		{"reason 7", status(isRevoked(reason(7))), revoked(7, "(UNKNOWN)"), revokedError("(UNKNOWN)")},
		{"reason 8", status(isRevoked(reason(8))), revoked(8, "removeFromCRL"), revokedError("removeFromCRL")},
		{"reason 10", status(isRevoked(reason(10))), revoked(10, "(UNKNOWN)"), revokedError("(UNKNOWN)")},
		{"reason 11", status(isRevoked(reason(11))), none, load},
		{"negative reason", status(isRevoked(reason(-1))), none, load},
		{"revoked and more", status(isRevoked(reason(1), asn1.NullBytes)), none, load},
		{"good and more", status(der(0x80, []byte{0})), none, load},
		{"unknown and more", status(der(0x82, []byte{0})), none, load},
		{"status 3", status(der(0x83)), none, load},
		{"no status", status([]byte{}), none, load},

		// Certificate identifiers
		{"sha256", one(answer{hash: oidSHA256}), good, ""},
		{"sha384", one(answer{hash: oidSHA384}), none, noResult},
		{"wrong serial", one(answer{serial: other}), none, noResult},
		{"negative serial", one(answer{serial: negative}), none, noResult},
		{"wrong issuer", one(answer{issuer: root}), none, noResult},
		{"wrong issuer, sha256", one(answer{issuer: root, hash: oidSHA256}), none, noResult},
		{"wrong issuer name", one(answer{issuer: root, keyOf: ica}), none, noResult},
		{"wrong issuer key", one(answer{keyOf: twin}), none, noResult},
		{"no answer", reply{answers: []answer{}}, none, noResult},
		{"second of two", reply{answers: []answer{{serial: other, status: isRevoked()}, {}}}, good, ""},
		{"first of two", reply{answers: []answer{{}, {serial: other, status: isRevoked()}}}, good, ""},
		{"other is good", reply{answers: []answer{{serial: other}, {status: isRevoked()}}}, revoked(-1, "(UNKNOWN)"), revokedError("(UNKNOWN)")},
		{"good and revoked", reply{answers: []answer{{}, {hash: oidSHA256, status: isRevoked()}}}, revoked(-1, "(UNKNOWN)"), revokedError("(UNKNOWN)")},
		{"revoked and good", reply{answers: []answer{{status: isRevoked()}, {}}}, revoked(-1, "(UNKNOWN)"), revokedError("(UNKNOWN)")},
		{"old and current", reply{answers: []answer{{thisUpdate: ago(15 * day)}, {}}}, good, ""},
		{"current and old", reply{answers: []answer{{}, {thisUpdate: ago(15 * day)}}}, good, ""},

		// Times
		{"starts within slack", one(answer{thisUpdate: in(time.Minute)}), updated(time.Minute, time.Hour), ""},
		{"starts after slack", one(answer{thisUpdate: in(time.Minute + time.Second)}), none, notCurrent},
		{"ended within slack", one(answer{nextUpdate: ago(time.Minute)}), updated(-time.Hour, -time.Minute), ""},
		{"ended before slack", one(answer{nextUpdate: ago(time.Minute + time.Second)}), none, notCurrent},
		{"no end", one(answer{noNextUpdate: true}), endless, ""},
		{"oldest", one(answer{thisUpdate: ago(14 * day), noNextUpdate: true}), oldest, ""},
		{"too old", one(answer{thisUpdate: ago(14*day + time.Second)}), none, notCurrent},
		{"too old, no end", one(answer{thisUpdate: ago(14*day + time.Second), noNextUpdate: true}), none, notCurrent},
		{"ends before it starts", one(answer{thisUpdate: in(30 * time.Second), nextUpdate: in(20 * time.Second)}), none, notCurrent},
		{"end of year 1", one(answer{nextUpdate: der(0x18, []byte("00010101000000Z"))}), none, notCurrent},
		{"revoked but old", one(answer{status: isRevoked(), thisUpdate: ago(15 * day)}), none, notCurrent},
		{"utc time", one(answer{thisUpdate: der(0x17, []byte(now.Format("060102150405Z")))}), none, load},
		{"no time", one(answer{thisUpdate: der(0x18, []byte("yesterday"))}), none, load},
		{"13th month", one(answer{nextUpdate: der(0x18, []byte("20261301000000Z"))}), none, load},
		{"next update twice", one(answer{nextUpdate: append(in(0), in(0)...)}), none, load},

		// Signers
		{"delegate", by(delegate), good, ""},
		{"delegate by name", reply{signer: delegate, byName: true, certs: [][]byte{delegate.Cert.Raw}}, good, ""},
		{"delegate with the issuer's name", reply{signer: namesake, byName: true, certs: [][]byte{namesake.Cert.Raw}}, good, ""},
		{"delegate behind others", by(delegate, ica, leaf, twin), good, ""},
		{"delegate is not included", reply{signer: delegate}, none, failed},
		{"delegate without the usage", by(cert("d", ica, false, nil)), none, failed},
		{"delegate for servers", by(cert("d", ica, false, func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		})), none, failed},
		{"delegate for anything", by(cert("d", ica, false, func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny}
		})), none, failed},
		{"delegate with digitalSignature", by(withKey(x509.KeyUsageDigitalSignature)), good, ""},
		{"delegate with contentCommitment", by(withKey(x509.KeyUsageContentCommitment)), good, ""},
		{"delegate with keyEncipherment", by(withKey(x509.KeyUsageKeyEncipherment)), none, failed},
		{"delegate has expired", by(cert("d", ica, false, and(func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) }))), none, failed},
		{"delegate is not yet valid", by(cert("d", ica, false, and(func(c *x509.Certificate) { c.NotBefore = now.Add(time.Second) }))), none, failed},
		{"delegate was renewed", by(renewed, old), good, ""},
		{"delegate was not renewed", by(old), none, failed},
		{"delegate has a critical extension", by(cert("d", ica, false, and(func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: oid, Critical: true, Value: []byte{5, 0}}}
		}))), none, failed},
		{"delegate of the root", by(cert("d", root, false, responder)), none, failed},
		{"delegate of the issuer's twin", by(cert("d", twin, false, responder)), none, failed},
		{"delegate of the leaf", by(cert("d", leaf, false, responder)), none, failed},
		{"delegate of a delegate", by(cert("d", delegate, false, responder), delegate), none, failed},
		{"delegate with another issuer's name", by(cert("d", &renamed, false, responder)), none, failed},
		{"self-signed delegate", by(cert("ica", nil, false, responder)), none, failed},
		{"the root", reply{signer: root}, none, failed},
		{"the root, included", by(root), none, failed},
		{"the issuer's twin", by(twin), none, failed},
		{"the issuer's twin by name", reply{signer: twin, byName: true, certs: [][]byte{twin.Cert.Raw}}, none, failed},
		{"the leaf", by(leaf), none, failed},
		{"the leaf by name", reply{signer: leaf, byName: true, certs: [][]byte{leaf.Cert.Raw}}, none, failed},
		{"delegate claims to be the issuer", reply{signer: delegate, responder: der(0xa1, ica.Cert.RawSubject), certs: [][]byte{delegate.Cert.Raw}}, none, failed},
		{"issuer claims to be a delegate", reply{responder: der(0xa1, delegate.Cert.RawSubject), certs: [][]byte{delegate.Cert.Raw}}, none, failed},
		{"wrong key hash", reply{responder: der(0xa2, der(4, badKey))}, none, failed},
		{"short key hash", reply{responder: der(0xa2, der(4, badKey[:4]))}, none, failed},
		{"empty key hash", reply{responder: der(0xa2, der(4))}, none, failed},
		{"sha256 key hash", reply{responder: der(0xa2, der(4, hashed(oidSHA256, publicKey(ica.Cert))))}, none, failed},
		{"no responder", reply{responder: []byte{}}, none, load},
		{"two responders", reply{responder: append(der(0xa1, ica.Cert.RawSubject), der(0xa2, der(4, badKey))...)}, none, load},
		{"certificate is none", reply{signer: delegate, certs: [][]byte{seq([]byte{5, 0}), delegate.Cert.Raw}}, good, ""},
		{"certificate is no sequence", reply{certs: [][]byte{{5, 0}}}, none, load},
		{"16 certificates", reply{certs: many(16)}, good, ""},
		{"17 certificates", reply{certs: many(17)}, none, load},

		// Signatures
		{"tampered signature", reply{mangle: flip(-1)}, none, failed},
		{"wrong algorithm", reply{algorithm: alg(oid), sign: func([]byte) []byte { return []byte{1} }}, none, failed},
		{"empty signature", reply{algorithm: alg(asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}), sign: func([]byte) []byte { return []byte{} }}, none, failed},
		{"tampered and wrong serial", reply{answers: []answer{{serial: other}}, mangle: flip(-1)}, none, failed},
		{"tampered and revoked", reply{answers: []answer{{status: isRevoked()}}, mangle: flip(-1)}, none, failed},

		// Extensions
		{"critical extension", reply{tail: extension(oid, true)}, none, failed},
		{"extension of the answer", one(answer{tail: extension(oid, false)}), good, ""},
		{"explicitly uncritical", reply{tail: der(0xa1, seq(seq(marshal(oid), marshal(false), der(4))))}, good, ""},
		{"critical extension of the answer", one(answer{tail: extension(oid, true)}), none, failed},
		{"critical extension of another answer", reply{answers: []answer{{}, {serial: other, tail: extension(oid, true)}}}, good, ""},
		{"extensions twice", reply{tail: append(extension(oid, false), extension(oid, false)...)}, none, load},
		{"extension is none", reply{tail: der(0xa1, seq(seq()))}, none, load},
		{"critical twice", reply{tail: der(0xa1, seq(seq(marshal(oid), marshal(false), marshal(true), der(4))))}, none, load},

		// Structure
		{"malformedRequest", reply{status: 1}, none, load},
		{"internalError", reply{status: 2}, none, load},
		{"tryLater", reply{status: 3}, none, load},
		{"tryLater without bytes", reply{mangle: func([]byte) []byte { return seq(marshal(asn1.Enumerated(3))) }}, none, load},
		{"successful without bytes", reply{mangle: func([]byte) []byte { return seq(marshal(asn1.Enumerated(0))) }}, none, load},
		{"other form", reply{form: oid}, none, load},
		{"version 2", reply{version: der(0xa0, marshal(1))}, none, load},
		{"version is no integer", reply{version: der(0xa0, asn1.NullBytes)}, none, load},
		{"produced at no time", reply{producedAt: asn1.NullBytes}, none, load},
		{"not produced", reply{producedAt: []byte{}}, none, load},
		{"after the data", reply{tail: asn1.NullBytes}, none, load},
		{"after the answer", one(answer{tail: asn1.NullBytes}), none, load},
		{"after the certificates", reply{certs: many(1), end: asn1.NullBytes}, none, load},
		{"after the signature", reply{end: asn1.NullBytes}, none, load},
		{"after the response", reply{mangle: func(b []byte) []byte { return append(b, 0) }}, none, unparsable},
		{"after the bytes", reply{mangle: func(b []byte) []byte {
			var v asn1.RawValue
			if _, err := asn1.Unmarshal(b, &v); err != nil {
				panic(err)
			}
			return seq(v.Bytes, asn1.NullBytes)
		}}, none, unparsable},
		{"truncated", reply{mangle: func(b []byte) []byte { return b[:len(b)-1] }}, none, unparsable},
		{"empty", reply{mangle: func([]byte) []byte { return nil }}, none, unparsable},
		{"text", reply{mangle: func([]byte) []byte { return []byte("not found\n") }}, none, unparsable},
		{"empty sequence", reply{mangle: func([]byte) []byte { return seq() }}, none, unparsable},
		{"a certificate", reply{mangle: func([]byte) []byte { return leaf.Cert.Raw }}, none, unparsable},
		{"empty basic response", reply{mangle: func([]byte) []byte {
			return seq(marshal(asn1.Enumerated(0)), der(0xa0, seq(marshal(oidBasic), der(4))))
		}}, none, load},
		{"after the basic response", reply{mangle: func([]byte) []byte {
			return seq(marshal(asn1.Enumerated(0)), der(0xa0, seq(marshal(oidBasic), der(4, seq(), seq()))))
		}}, none, load},
	} {
		t.Run(c.name, func(t *testing.T) {
			check(t, p.encode(t, c.reply), p, c.want, c.err)
		})
	}

	t.Run("tampered anywhere", func(t *testing.T) {
		clean := p.encode(t, by(delegate))
		for i := range clean {
			b := flip(i)(append([]byte(nil), clean...))
			r, err := Verify(b, leaf.Cert, ica.Cert, now)
			if err == nil || r != nil {
				t.Errorf("byte %d: %+v, %v", i, r, err)
			}
		}
	})
	t.Run("truncated anywhere", func(t *testing.T) {
		clean := p.encode(t, by(delegate))
		for i := range clean {
			if _, err := Verify(clean[:i], leaf.Cert, ica.Cert, now); err != ErrParse {
				t.Errorf("%d bytes: %v", i, err)
			}
		}
	})
	t.Run("no issuer", func(t *testing.T) {
		_, err := Verify(p.encode(t, reply{}), leaf.Cert, nil, now)
		if err != ErrIssuer {
			t.Errorf("got %v", err)
		}
		if _, err = Verify(nil, leaf.Cert, nil, now); err != ErrParse {
			t.Errorf("got %v", err)
		}
	})
	t.Run("self-signed leaf", func(t *testing.T) {
		self := &pki{leaf: root, issuer: root}
		check(t, self.encode(t, reply{}), self, none, ErrVerify)
	})
	t.Run("another issuer", func(t *testing.T) {
		_, err := Verify(p.encode(t, reply{}), leaf.Cert, twin.Cert, now)
		if err != ErrVerify {
			t.Errorf("got %v", err)
		}
	})
}

func check(t *testing.T, response []byte, p *pki, want Result, wantErr Error) {
	t.Helper()
	got, err := Verify(response, p.leaf.Cert, p.issuer.Cert, now)
	var gotErr Error
	if err != nil && !errors.As(err, &gotErr) {
		t.Fatalf("got an error of type %T", err)
	}
	if gotErr != wantErr {
		t.Errorf("got %q, want %q", gotErr, wantErr)
	}
	if want == (Result{}) {
		if got != nil {
			t.Errorf("got %+v, want no result", *got)
		}
	} else if got == nil {
		t.Errorf("got no result, want %+v", want)
	} else if *got != want {
		t.Errorf("got  %+v\nwant %+v", *got, want)
	}
}

// mutants returns element, which is encoded, with each kind of thing wrong in
// it that a lenient reader would not notice.
func mutants(element []byte) [][]byte {
	var v asn1.RawValue
	if _, err := asn1.Unmarshal(element, &v); err != nil {
		panic(err)
	}
	var all [][]byte
	for _, bit := range []byte{0x20, 0x40, 0x80} {
		all = append(all, append([]byte{element[0] ^ bit}, element[1:]...))
	}
	with := func(content ...[]byte) { all = append(all, der(int(element[0]), content...)) }
	inside := v.IsCompound
	switch element[0] {
	case asn1.TagNull:
		with([]byte{0})
	case asn1.TagBitString: // with a bit less
		content := append([]byte{1}, v.Bytes[1:]...)
		content[len(content)-1] &^= 1
		with(content)
	case asn1.TagOctetString:
		inside = len(v.Bytes) > 100 // else a hash
	}
	if !inside {
		return all
	}
	with(asn1.NullBytes, v.Bytes)
	with(v.Bytes, asn1.NullBytes)
	for rest := v.Bytes; len(rest) != 0; {
		var child asn1.RawValue
		before := v.Bytes[:len(v.Bytes)-len(rest)]
		var err error
		if rest, err = asn1.Unmarshal(rest, &child); err != nil {
			panic(err)
		}
		for _, m := range mutants(child.FullBytes) {
			with(before, m, rest)
		}
	}
	return all
}

// TestStrict reads a response that has everything but names and certificates,
// whose inside is not for the parser to look at.
func TestStrict(t *testing.T) {
	issuer := testcert.New(t, testcert.Options{Kind: "rsa", CA: true})
	p := &pki{issuer: issuer, leaf: testcert.New(t, testcert.Options{Parent: issuer})}
	extended := extension(oidMGF1, true)
	r := reply{
		version: der(0xa0, marshal(0)),
		answers: []answer{{status: isRevoked(reason(1)), tail: extended}, {status: isUnknown}, {}},
		tail:    extended,
		certs:   [][]byte{seq()},
	}
	for _, algorithm := range []string{"rsa256", "pss512"} {
		r.algorithm, r.sign = signing(t, issuer.Key, algorithm)
		whole := p.encode(t, r)
		if _, err := parse(whole); err != nil {
			t.Fatal(err)
		}
		list := mutants(whole)
		if len(list) < 200 {
			t.Errorf("only %d mutants", len(list))
		}
		accepted := 0
		for _, m := range list {
			if _, err := parse(m); err == nil {
				accepted++
				t.Logf("%s: accepted %x", algorithm, m)
			}
		}
		// The certificate may have any content.
		if accepted != 2 {
			t.Errorf("%s: %d mutants of %d were accepted", algorithm, accepted, len(list))
		}
	}
}

func TestAlgorithms(t *testing.T) {
	issuers := make(map[string]*testcert.Pair)
	for _, kind := range []string{"rsa", "p256", "p384", "p521", "ed25519"} {
		issuers[kind] = testcert.New(t, testcert.Options{Kind: kind, CA: true})
	}
	for _, c := range []struct {
		key, algorithm string
		ok             bool
	}{
		{"rsa", "rsa256", true},
		{"rsa", "rsa384", true},
		{"rsa", "rsa512", true},
		{"rsa", "pss256", true},
		{"rsa", "pss384", true},
		{"rsa", "pss512", true},
		{"p256", "ecdsa256", true},
		{"p256", "ecdsa512", true},
		{"p384", "ecdsa384", true},
		{"p521", "ecdsa512", true},
		{"ed25519", "ed25519", true},
		{"rsa", "rsa1", false},
		{"rsa", "rsa256 no", false},
		{"rsa", "unknown", false},
		{"rsa", "pss salt", false},
		{"rsa", "pss salt384", false},
		{"rsa", "pss salt512", false},
		{"rsa", "pss short", false},
		{"rsa", "pss mgf", false},
		{"rsa", "pss mixed", false},
		{"rsa", "pss trailer", false},
		{"rsa", "pss default", false},
		{"rsa", "pss more", false},
		{"rsa", "pss none", false},
		{"p256", "ecdsa1", false},
	} {
		t.Run(c.key+" "+c.algorithm, func(t *testing.T) {
			issuer := issuers[c.key]
			p := &pki{issuer: issuer, leaf: testcert.New(t, testcert.Options{Parent: issuer})}
			r := reply{}
			r.algorithm, r.sign = signing(t, issuer.Key, c.algorithm)
			_, err := Verify(p.encode(t, r), p.leaf.Cert, issuer.Cert, now)
			if (err == nil) != c.ok {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("another key's algorithm", func(t *testing.T) {
		issuer := issuers["p256"]
		p := &pki{issuer: issuer, leaf: testcert.New(t, testcert.Options{Parent: issuer})}
		r := reply{}
		_, r.sign = signing(t, issuer.Key, "ecdsa256")
		r.algorithm, _ = signing(t, issuer.Key, "rsa256")
		check(t, p.encode(t, r), p, Result{}, ErrVerify)
	})
}

// TestOpenSSL reads what openssl ocsp(1) has answered: by the issuer with
// SHA-1, and by a delegate with SHA-256.
func TestOpenSSL(t *testing.T) {
	data, err := os.ReadFile("testdata/openssl.pem")
	if err != nil {
		t.Fatal(err)
	}
	var certs []*x509.Certificate
	var responses [][]byte
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type == "OCSP RESPONSE" {
			responses = append(responses, block.Bytes)
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		certs = append(certs, cert)
	}
	if len(certs) != 3 || len(responses) != 2 {
		t.Fatal("file is not whole")
	}
	leaf, bad, issuer := certs[0], certs[1], certs[2]
	if url := URL(leaf); url != "http://ocsp.example/" {
		t.Errorf("got URL %q", url)
	}
	resp, err := parse(responses[0])
	if err != nil {
		t.Fatal(err)
	}
	this := resp.singles[0].thisUpdate
	when := this.Add(time.Hour)

	r, err := Verify(responses[0], leaf, issuer, when)
	if want := (Result{Text: "good", ThisUpdate: this.Unix(), NextUpdate: this.Add(7 * 24 * time.Hour).Unix(), RevocationTime: -1}); err != nil || *r != want {
		t.Errorf("got %+v, %v, want %+v", r, err, want)
	}
	r, err = Verify(responses[1], bad, issuer, when)
	if err == nil || err.Error() != "ocsp verify failed: revoked cert - keyCompromise" || r == nil || r.CRLReason != 1 {
		t.Errorf("got %+v, %v", r, err)
	}
	if _, err = Verify(responses[1], leaf, issuer, when); err != ErrNoResult {
		t.Errorf("got %v", err)
	}
	if _, err = Verify(responses[0], leaf, issuer, when.Add(8*24*time.Hour)); err != ErrNotCurrent {
		t.Errorf("got %v", err)
	}
}

func TestURL(t *testing.T) {
	for _, c := range []struct {
		servers []string
		want    string
	}{
		{nil, ""},
		{[]string{"http://a/", "http://b/"}, "http://a/"},
		{[]string{"", "http://b/"}, "http://b/"},
		{[]string{"http://a\x00b/"}, ""},
	} {
		cert := testcert.New(t, testcert.Options{Template: func(c1 *x509.Certificate) { c1.OCSPServer = c.servers }})
		if got := URL(cert.Cert); got != c.want {
			t.Errorf("%q: got %q, want %q", c.servers, got, c.want)
		}
	}
}

// FuzzVerify knows that only the data that was signed can be accepted, which
// Ed25519 makes the same in each process.
func FuzzVerify(f *testing.F) {
	pair := func(cn string, parent *testcert.Pair, ca bool) *testcert.Pair {
		seed := sha256.Sum256([]byte(cn))
		p := &testcert.Pair{Key: ed25519.NewKeyFromSeed(seed[:])}
		template := &x509.Certificate{
			SerialNumber:          big.NewInt(int64(len(cn))),
			Subject:               pkix.Name{CommonName: cn},
			NotBefore:             time.Unix(1e9, 0),
			NotAfter:              time.Unix(4e9, 0),
			BasicConstraintsValid: true,
			IsCA:                  ca,
		}
		if !ca {
			template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}
		}
		signer := p
		if parent != nil {
			signer = parent
		}
		issuer := signer.Cert
		if issuer == nil {
			issuer = template
		}
		raw, err := x509.CreateCertificate(nil, template, issuer, p.Key.Public(), signer.Key)
		if err != nil {
			f.Fatal(err)
		}
		if p.Cert, err = x509.ParseCertificate(raw); err != nil {
			f.Fatal(err)
		}
		return p
	}
	when := time.Unix(2e9, 0).UTC()
	fixed := func(r reply, a answer) reply {
		r.producedAt, a.thisUpdate, a.nextUpdate = at(when), at(when), at(when.Add(time.Hour))
		r.answers = []answer{a}
		return r
	}
	issuer := pair("issuer", nil, true)
	delegate := pair("delegate", issuer, false)
	p := &pki{issuer: issuer, leaf: pair("leaf", issuer, false)}
	signed := make(map[string]bool)
	for _, r := range []reply{
		fixed(reply{}, answer{}),
		fixed(reply{byName: true, signer: delegate, certs: [][]byte{delegate.Cert.Raw}}, answer{}),
		fixed(reply{tail: extension(oidBasic, false)}, answer{hash: oidSHA256, status: der(0xa1, at(when), reason(1))}),
		fixed(reply{status: 3}, answer{}),
	} {
		b := p.encode(f, r)
		if resp, err := parse(b); err == nil {
			signed[string(resp.tbs)] = true
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Verify(b, p.leaf.Cert, issuer.Cert, when)
		if r == nil {
			if err == nil {
				t.Fatal("neither result nor error")
			}
			return
		}
		if (r.CertStatus == statusRevoked) != (err != nil) {
			t.Fatalf("%+v with %v", r, err)
		}
		resp, err := parse(b)
		if err != nil {
			t.Fatal(err)
		}
		if !signed[string(resp.tbs)] {
			t.Fatalf("accepted %x", b)
		}
	})
}
