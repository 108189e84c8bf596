// SPDX-License-Identifier: ISC

package keeper

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"libtls-proxy/goproxy/internal/testcert"
	"libtls-proxy/goproxy/internal/wire"
)

// A listener is a key that keeps what crypto/tls has it sign.
type listener struct {
	crypto.Signer
	messages [][]byte
}

func (l *listener) SignMessage(r io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	l.messages = append(l.messages, bytes.Clone(message))
	return crypto.SignMessage(l.Signer, r, message, opts)
}

// A handshake is what the keys of a server and a client have signed in one.
type handshake struct {
	server, client []byte
	leaf           []byte // of both
}

// shake has crypto/tls do one.
func shake(t *testing.T, kp *testcert.Pair, c *tls.Config) handshake {
	t.Helper()
	keys := [2]*listener{{Signer: kp.Key}, {Signer: kp.Key}}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	sc, cc := c.Clone(), c.Clone()
	cert := tls.Certificate{Certificate: [][]byte{kp.Cert.Raw}, OCSPStaple: []byte("staple")}
	sc.ClientAuth = tls.RequireAnyClientCert
	if decrypter, ok := kp.Key.(crypto.Decrypter); ok {
		cert.PrivateKey = struct {
			*listener
			crypto.Decrypter
		}{keys[0], decrypter}
	} else {
		cert.PrivateKey = keys[0]
	}
	sc.Certificates = []tls.Certificate{cert}
	cert.PrivateKey = keys[1]
	cc.Certificates = []tls.Certificate{cert}
	cc.InsecureSkipVerify = true
	done := make(chan error, 1)
	go func() { done <- tls.Server(a, sc).Handshake() }()
	tc := tls.Client(b, cc)
	if err := tc.Handshake(); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = tc.Read(make([]byte, 1)) }()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	h := handshake{leaf: kp.Cert.Raw}
	if len(keys[0].messages) == 1 {
		h.server = keys[0].messages[0]
	}
	if len(keys[1].messages) != 1 {
		t.Fatal("the client has not signed once")
	}
	h.client = keys[1].messages[0]
	return h
}

const bothVersions = wire.ProtocolTLS12 | wire.ProtocolTLS13

func TestClassify(t *testing.T) {
	ec, rsa := testcert.New(t, testcert.Options{}), testcert.New(t, testcert.Options{Kind: "rsa"})
	for _, tt := range []struct {
		name string
		kp   *testcert.Pair
		c    *tls.Config
		want form
	}{
		{"TLS 1.3", ec, &tls.Config{MinVersion: tls.VersionTLS13}, form13},
		{"TLS 1.2", ec, &tls.Config{MaxVersion: tls.VersionTLS12}, form12},
		{"offer of TLS 1.3", ec, &tls.Config{MaxVersion: tls.VersionTLS12, NextProtos: []string{"x"}}, form12},
		{"RSA", rsa, &tls.Config{MaxVersion: tls.VersionTLS12}, form12},
		{"P-256", ec, &tls.Config{MaxVersion: tls.VersionTLS12, CurvePreferences: []tls.CurveID{tls.CurveP256}}, form12},
		{"P-384", ec, &tls.Config{MaxVersion: tls.VersionTLS12, CurvePreferences: []tls.CurveID{tls.CurveP384}}, form12},
		{"P-521", ec, &tls.Config{MaxVersion: tls.VersionTLS12, CurvePreferences: []tls.CurveID{tls.CurveP521}}, form12},
		{"X25519", ec, &tls.Config{MaxVersion: tls.VersionTLS12, CurvePreferences: []tls.CurveID{tls.X25519}}, form12},
		{"RSA key exchange", rsa, &tls.Config{
			MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256},
		}, form12},
	} {
		h := shake(t, tt.kp, tt.c)
		server := &use{wire.RoleServer, bothVersions, h.leaf}
		client := &use{wire.RoleClient, bothVersions, h.leaf}
		for _, row := range []struct {
			use     *use
			message []byte
			want    form
		}{
			{server, h.server, tt.want},
			{client, h.client, tt.want},
			{server, h.client, formNone},
			{client, h.server, formNone},
			{&use{0, bothVersions, h.leaf}, h.server, formNone},
		} {
			if row.message == nil {
				continue
			}
			if got := row.use.classify(row.message); got != row.want {
				t.Errorf("%s, role %d: form %d, want %d", tt.name, row.use.role, got, row.want)
			}
		}
		for n := range h.server {
			if server.classify(h.server[:n]) != formNone && n != len(h.server)-16 {
				t.Errorf("%s: prefix of %d bytes of a server's message is accepted", tt.name, n)
			}
		}
		for n := range h.client {
			if client.classify(h.client[:n]) != formNone && (tt.want == form12 || n != len(h.client)-16) {
				t.Errorf("%s: prefix of %d bytes of a client's message is accepted", tt.name, n)
			}
		}
		if server.classify(append(bytes.Clone(h.server), 0)) != formNone ||
			client.classify(append(bytes.Clone(h.client), 0)) != formNone {
			t.Errorf("%s: a byte more is accepted", tt.name)
		}
	}
}

// A step is a message of a transcript.
type step struct {
	typ  byte
	body []byte
}

func split(t *testing.T, transcript []byte) []step {
	t.Helper()
	var steps []step
	for p := (parser{rest: transcript}); p.more(); {
		typ := p.next(1)
		body := p.vector(3, 0)
		if p.bad {
			t.Fatal("not a transcript")
		}
		steps = append(steps, step{typ[0], body})
	}
	return steps
}

func join(steps []step) []byte {
	var b []byte
	for _, s := range steps {
		b = append(b, s.typ, byte(len(s.body)>>16), byte(len(s.body)>>8), byte(len(s.body)))
		b = append(b, s.body...)
	}
	return b
}

// Of a client's transcript nothing can be left out, added or put elsewhere.
func TestTranscript(t *testing.T) {
	for _, c := range []*tls.Config{
		{MaxVersion: tls.VersionTLS12},
		{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}},
	} {
		h := shake(t, testcert.New(t, testcert.Options{Kind: "rsa"}), c)
		u := &use{wire.RoleClient, bothVersions, h.leaf}
		steps := split(t, h.client)
		refuse := func(what string, steps []step) {
			t.Helper()
			if u.classify(join(steps)) != formNone {
				t.Errorf("%s is accepted", what)
			}
		}
		with := func(i int, body []byte) []step {
			changed := slices.Clone(steps)
			changed[i].body = body
			return changed
		}
		if u.classify(join(steps)) != form12 {
			t.Fatal("the transcript is refused")
		}
		for i, s := range steps {
			what := fmt.Sprintf("message %d of type %d", i, s.typ)
			if s.typ != typeCertificateStatus {
				refuse("no "+what, slices.Delete(slices.Clone(steps), i, i+1))
			}
			refuse("twice "+what, slices.Insert(slices.Clone(steps), i, s))
			refuse("one byte more in "+what, with(i, append(bytes.Clone(s.body), 0)))
			for n := range s.body {
				// A hello can do without extensions.
				if s.typ == typeServerHello && n == 2+32+1+int(s.body[34])+3 {
					continue
				}
				refuse(fmt.Sprintf("%d bytes of %s", n, what), with(i, s.body[:n]))
			}
			for _, typ := range []byte{0, 4, 15, 20, 24, 254} {
				refuse(fmt.Sprintf("a message of type %d before %s", typ, what),
					slices.Insert(slices.Clone(steps), i, step{typ, make([]byte, 32)}))
			}
			if i > 0 {
				changed := slices.Clone(steps)
				changed[i], changed[i-1] = changed[i-1], changed[i]
				if !bytes.Equal(changed[i].body, s.body) {
					refuse(what+" before the one before", changed)
				}
			}
		}
		for _, tt := range []struct {
			name   string
			typ    byte
			offset int
			xor    byte
		}{
			{"the client's version", typeClientHello, 1, 1},
			{"the server's version", typeServerHello, 1, 1},
			{"the suite", typeServerHello, 2 + 32 + 1, 0x55},
			{"the client's compression", typeClientHello, 2 + 32 + 1 + 32 + 2 + 2*len(c.CipherSuites) + 1, 1},
			{"the kind of status", typeCertificateStatus, 0, 2},
			{"the kind of curve", typeServerKeyExchange, 0, 1},
			{"the curve", typeServerKeyExchange, 1, 1},
			{"a byte of the client's certificate", typeCertificate, 100, 1},
		} {
			if c.CipherSuites == nil && tt.name == "the client's compression" {
				continue
			}
			for i := len(steps) - 1; i >= 0; i-- {
				if steps[i].typ == tt.typ {
					body := bytes.Clone(steps[i].body)
					body[tt.offset] ^= tt.xor
					refuse("another "+tt.name, with(i, body))
					break
				}
			}
		}
		// TLS 1.3 has another transcript.
		hello := slices.IndexFunc(steps, func(s step) bool { return s.typ == typeServerHello })
		body := steps[hello].body
		end := 2 + 32 + 1 + int(body[34]) + 3
		compressed := bytes.Clone(body)
		compressed[end-1] ^= 1
		refuse("the server's compression", with(hello, compressed))
		refuse("a server of TLS 1.3", with(hello, append(bytes.Clone(body[:end]), 0, 6, 0, 43, 0, 2, 3, 4)))
		refuse("an extension twice", with(hello, append(bytes.Clone(body[:end]), 0, 8, 0, 23, 0, 0, 0, 23, 0, 0)))
		if u.classify(join(with(hello, body[:end]))) != form12 {
			t.Error("a server without extensions is refused")
		}
		if (&use{wire.RoleClient, bothVersions, h.leaf[1:]}).classify(h.client) != formNone {
			t.Error("another certificate is accepted")
		}
	}
}

// keyExchange returns what a server of TLS 1.2 signs.
func keyExchange(t *testing.T, id tls.CurveID) []byte {
	t.Helper()
	key, err := curves[id].GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point := key.PublicKey().Bytes()
	message := append(make([]byte, 2*randomLen), namedCurve, byte(id>>8), byte(id), byte(len(point)))
	return append(message, point...)
}

func TestKeyExchange(t *testing.T) {
	for id := range curves {
		good := keyExchange(t, id)
		if !isKeyExchange(good) {
			t.Errorf("%v is refused", id)
		}
		for n := range good {
			if isKeyExchange(good[:n]) {
				t.Errorf("%v: prefix of %d bytes is accepted", id, n)
			}
		}
		if isKeyExchange(append(good, 0)) {
			t.Errorf("%v: a byte more is accepted", id)
		}
		off := bytes.Clone(good)
		off[len(off)-1] ^= 1
		if isKeyExchange(off) != (id == tls.X25519) {
			t.Errorf("%v: a point beside the curve", id)
		}
		for _, at := range []int{64, 65, 66, 67, 68} {
			bad := bytes.Clone(good)
			bad[at] ^= 0x40
			if isKeyExchange(bad) && (id != tls.X25519 || at != 68) {
				t.Errorf("%v: byte %d is anything", id, at)
			}
		}
	}
}

// The randoms are whatever a worker likes, but not the head of a certificate.
func TestKeyExchangeIsNoDER(t *testing.T) {
	for _, tt := range []struct {
		name string
		head []byte
		want bool
	}{
		{"none", nil, true},
		{"certificate", []byte{0x30, 98, 0xa0, 3, 2, 1, 2, 0x02, 1, 7, 0x30, 88}, false},
		{"certificate of version 1", []byte{0x30, 98, 0x02, 1, 7, 0x30, 93}, false},
		{"list", []byte{0x30, 98, 0x30, 96}, false},
		{"OCSP", []byte{0x30, 98, 0xa2, 22, 26: 0x18, 27: 72}, false},
		{"attributes", []byte{0x31, 98, 0x30, 1, 0, 0x30, 93}, false},
		{"time stamp", []byte{0x30, 98, 0x02, 1, 1, 0x06, 93}, false},
		{"SEQUENCE of OCTET STRING", []byte{0x30, 98, 0x04, 96}, true},
		{"SEQUENCE with the rest of another length", []byte{0x30, 98, 0x02, 1, 7, 0x30, 92}, true},
		{"SEQUENCE of another length", []byte{0x30, 97, 0x02, 1, 7, 0x30, 92}, true},
		{"OCTET STRING", []byte{0x04, 98}, true},
	} {
		message := keyExchange(t, tls.X25519)
		copy(message, tt.head)
		if len(message) != 100 || isKeyExchange(message) != tt.want {
			t.Errorf("%s: %v", tt.name, !tt.want)
		}
	}
}

// tbsOCSP returns what an OCSP responder signs.
func tbsOCSP(t *testing.T, kp *testcert.Pair) []byte {
	t.Helper()
	var response struct {
		Status asn1.Enumerated
		Bytes  struct {
			Type     asn1.ObjectIdentifier
			Response []byte
		} `asn1:"explicit,tag:0"`
	}
	if _, err := asn1.Unmarshal(testcert.OCSP(t, kp, kp, testcert.Status{}), &response); err != nil {
		t.Fatal(err)
	}
	var basic struct {
		Data, Algorithm asn1.RawValue
		Signature       asn1.BitString
	}
	if _, err := asn1.Unmarshal(response.Bytes.Response, &basic); err != nil {
		t.Fatal(err)
	}
	return basic.Data.FullBytes
}

// otherMessages is what a worker that was taken over would like to have
// signed.
func otherMessages(t *testing.T) map[string][]byte {
	t.Helper()
	digest := sha256.Sum256([]byte("x"))
	verify13 := strings.Repeat(" ", 64) + "TLS 1.3, server CertificateVerify\x00"
	ca := testcert.New(t, testcert.Options{CA: true})
	crl, _ := pem.Decode(testcert.CRL(t, ca, x509.RevocationList{}))
	list, err := x509.ParseRevocationList(crl.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, ca.Key)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.ParseCertificateRequest(request)
	if err != nil {
		t.Fatal(err)
	}
	randoms := func(rest ...byte) []byte { return append(make([]byte, 2*randomLen), rest...) }
	return map[string][]byte{
		"nothing":                nil,
		"X.509":                  testcert.New(t, testcert.Options{}).Cert.RawTBSCertificate,
		"certificate request":    csr.RawTBSCertificateRequest,
		"CRL":                    list.RawTBSRevocationList,
		"OCSP":                   tbsOCSP(t, ca),
		"JWT":                    []byte("eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhZG1pbiJ9"),
		"SSH":                    append([]byte("\x00\x00\x00\x20"), append(digest[:], "\x32\x00\x00\x00\x04root\x00\x00\x00\x0essh-connection"...)...),
		"SSHSIG":                 []byte("SSHSIG\x00\x00\x00\x04file\x00\x00\x00\x00\x00\x00\x00\x06sha512"),
		"digest":                 digest[:],
		"ciphertext":             make([]byte, 256),
		"PKCS #1 digest info":    append([]byte("\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"), digest[:]...),
		"short hash":             []byte(verify13 + "0123456789"),
		"long hash":              []byte(verify13 + strings.Repeat("x", 64)),
		"hash of another length": []byte(verify13 + strings.Repeat("x", 33)),
		"other context":          []byte(strings.Repeat(" ", 64) + "TLS 1.3, server FinishedMessage__\x00" + string(digest[:])),
		"delegated":              []byte(strings.Repeat(" ", 64) + "TLS, server delegated credentials\x00" + string(digest[:])),
		"exported":               []byte(strings.Repeat(" ", 64) + "Exported Authenticator\x00" + string(digest[:])),
		"less padding":           []byte(verify13[1:] + string(digest[:])),
		"more padding":           []byte(" " + verify13 + string(digest[:])),
		"explicit curve":         randoms(append([]byte{1, 0, 23, 65, 4}, make([]byte, 64)...)...),
		"FFDHE":                  randoms(append([]byte{3, 1, 0, 65, 4}, make([]byte, 64)...)...),
		"X448":                   randoms(append([]byte{3, 0, 30, 56}, make([]byte, 56)...)...),
		"compressed point":       randoms(append([]byte{3, 0, 23, 33, 2}, make([]byte, 32)...)...),
		"wrong point":            randoms(append([]byte{3, 0, 23, 65, 2}, make([]byte, 64)...)...),
		"point beside the curve": randoms(append([]byte{3, 0, 23, 65, 4}, make([]byte, 64)...)...),
		"length against rest":    randoms(append([]byte{3, 0, 29, 31}, make([]byte, 32)...)...),
		"trailing byte":          append(keyExchange(t, tls.X25519), 0),
		"DER":                    append([]byte{0x30, 98, 2, 96}, keyExchange(t, tls.X25519)[4:]...),
	}
}

func TestSignRefuses(t *testing.T) {
	kp := testcert.New(t, testcert.Options{})
	key := parseKey(kp.KeyPEM)
	for name, message := range otherMessages(t) {
		for _, role := range []uint8{wire.RoleClient, wire.RoleServer} {
			u := &use{role, bothVersions, kp.Cert.Raw}
			if _, err := sign(key, u, uint16(tls.ECDSAWithP256AndSHA256), message); err != errForm {
				t.Errorf("%s, role %d: %v", name, role, err)
			}
		}
	}
}

// What the configuration does not speak is not signed.
func TestSignVersions(t *testing.T) {
	kp := testcert.New(t, testcert.Options{})
	key := parseKey(kp.KeyPEM)
	h13 := shake(t, kp, &tls.Config{MinVersion: tls.VersionTLS13})
	h12 := shake(t, kp, &tls.Config{MaxVersion: tls.VersionTLS12})
	for _, protocols := range []uint32{0, wire.ProtocolTLS12, wire.ProtocolTLS13, bothVersions} {
		for _, tt := range []struct {
			role    uint8
			message []byte
			bit     uint32
		}{
			{wire.RoleServer, h13.server, wire.ProtocolTLS13},
			{wire.RoleClient, h13.client, wire.ProtocolTLS13},
			{wire.RoleServer, h12.server, wire.ProtocolTLS12},
			{wire.RoleClient, h12.client, wire.ProtocolTLS12},
		} {
			var want error
			if protocols&tt.bit == 0 {
				want = errVersion
			}
			u := &use{tt.role, protocols, kp.Cert.Raw}
			if _, err := sign(key, u, uint16(tls.ECDSAWithP256AndSHA256), tt.message); err != want {
				t.Errorf("role %d, protocols %#x, message of %#x: %v", tt.role, protocols, tt.bit, err)
			}
		}
	}
}

func TestSignSchemes(t *testing.T) {
	all := []tls.SignatureScheme{
		tls.PKCS1WithSHA1, tls.PKCS1WithSHA256, tls.PKCS1WithSHA384, tls.PKCS1WithSHA512,
		tls.PSSWithSHA256, tls.PSSWithSHA384, tls.PSSWithSHA512,
		tls.ECDSAWithSHA1, tls.ECDSAWithP256AndSHA256, tls.ECDSAWithP384AndSHA384, tls.ECDSAWithP521AndSHA512,
		tls.Ed25519, 0, 0xffff,
		0x0101, 0x0103, 0x0201, 0x0203, // with MD5 and SHA-1
		0x0301, 0x0303, 0x0402, 0x0809, 0x080a, 0x080b, 0x0808, 0x081a,
	}
	pss := []tls.SignatureScheme{tls.PSSWithSHA256, tls.PSSWithSHA384, tls.PSSWithSHA512}
	ecdsaAny := []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256, tls.ECDSAWithP384AndSHA384, tls.ECDSAWithP521AndSHA512}
	kp := testcert.New(t, testcert.Options{})
	message13 := shake(t, kp, &tls.Config{MinVersion: tls.VersionTLS13}).server
	message12 := shake(t, kp, &tls.Config{MaxVersion: tls.VersionTLS12}).server
	for _, tt := range []struct {
		kind           string
		want13, want12 []tls.SignatureScheme
	}{
		{kind: "rsa", want13: pss, want12: append(pss, tls.PKCS1WithSHA256, tls.PKCS1WithSHA384, tls.PKCS1WithSHA512)},
		{kind: "p256", want13: ecdsaAny[:1], want12: ecdsaAny},
		{kind: "p384", want13: ecdsaAny[1:2], want12: ecdsaAny},
		{kind: "p521", want13: ecdsaAny[2:], want12: ecdsaAny},
		{kind: "ed25519", want13: []tls.SignatureScheme{tls.Ed25519}, want12: []tls.SignatureScheme{tls.Ed25519}},
	} {
		key := parseKey(testcert.New(t, testcert.Options{Kind: tt.kind}).KeyPEM)
		u := &use{wire.RoleServer, bothVersions, nil}
		for _, scheme := range all {
			for i, want := range [][]tls.SignatureScheme{tt.want13, tt.want12} {
				message := [][]byte{message13, message12}[i]
				_, err := sign(key, u, uint16(scheme), message)
				wanted := false
				for _, w := range want {
					wanted = wanted || w == scheme
				}
				if (err == nil) != wanted || err != nil && err != errScheme {
					t.Errorf("%s, scheme %v, form %d: %v", tt.kind, scheme, i, err)
				}
			}
		}
	}
}

// A signature is one of the message under the scheme, not of a digest.
func TestSignature(t *testing.T) {
	message := append(append(bytes.Clone(padding13), context13Server...), make([]byte, 32)...)
	for kind, scheme := range map[string]tls.SignatureScheme{
		"rsa": tls.PSSWithSHA256, "p256": tls.ECDSAWithP256AndSHA256, "p384": tls.ECDSAWithP384AndSHA384,
		"p521": tls.ECDSAWithP521AndSHA512, "ed25519": tls.Ed25519,
	} {
		kp := testcert.New(t, testcert.Options{Kind: kind})
		key := parseKey(kp.KeyPEM)
		for range 2 {
			sig, err := sign(key, &use{wire.RoleServer, bothVersions, nil}, uint16(scheme), message)
			if err != nil {
				t.Fatal(err)
			}
			if !verify(kp.Key.Public(), message, sig) {
				t.Errorf("%s: wrong signature", kind)
			}
		}
	}
}

func verify(public crypto.PublicKey, message, sig []byte) bool {
	switch public := public.(type) {
	case *rsa.PublicKey:
		digest := sha256.Sum256(message)
		opts := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
		return rsa.VerifyPSS(public, crypto.SHA256, digest[:], sig, opts) == nil
	case *ecdsa.PublicKey:
		h := map[elliptic.Curve]crypto.Hash{
			elliptic.P256(): crypto.SHA256, elliptic.P384(): crypto.SHA384, elliptic.P521(): crypto.SHA512,
		}[public.Curve].New()
		h.Write(message)
		return ecdsa.VerifyASN1(public, h.Sum(nil), sig)
	case ed25519.PublicKey:
		return ed25519.Verify(public, message, sig)
	}
	return false
}

func FuzzClassify(f *testing.F) {
	seed := make([]byte, 200)
	_, _ = rand.Read(seed)
	f.Add(uint8(wire.RoleServer), seed)
	f.Add(uint8(wire.RoleServer), append(make([]byte, 64), append([]byte{3, 0, 29, 32}, make([]byte, 32)...)...))
	f.Add(uint8(wire.RoleClient), []byte{1, 0, 0, 0})
	f.Add(uint8(wire.RoleClient), join([]step{
		{1, slices.Concat([]byte{3, 3}, make([]byte, 33), []byte{0, 2, 0xc0, 0x2b, 1, 0, 0, 0})},
		{2, slices.Concat([]byte{3, 3}, make([]byte, 33), []byte{0xc0, 0x2b, 0})},
		{11, []byte{0, 0, 4, 0, 0, 1, 'x'}},
		{12, slices.Concat([]byte{3, 0, 29, 32}, make([]byte, 32), []byte{4, 3, 0, 1, 0})},
		{13, []byte{1, 64, 0, 2, 4, 3, 0, 0}},
		{14, nil},
		{11, []byte{0, 0, 7, 0, 0, 4, 'l', 'e', 'a', 'f'}},
		{16, append([]byte{32}, make([]byte, 32)...)},
	}))
	f.Fuzz(func(t *testing.T, role uint8, message []byte) {
		// Whatever is accepted is none of the formats that signatures
		// are used for elsewhere.
		u := &use{role, bothVersions, []byte("leaf")}
		if u.classify(message) == formNone {
			return
		}
		if len(message) < 64+36 || isDER(message) || bytes.HasPrefix(message, []byte("SSH")) {
			t.Errorf("%d bytes are accepted", len(message))
		}
	})
}

// Each signature is made in a goroutine of its own, as for a worker.
func BenchmarkSign(b *testing.B) {
	for _, kind := range []string{"rsa", "p256", "p384", "p521", "ed25519"} {
		b.Run(kind, func(b *testing.B) {
			kp := testcert.New(b, testcert.Options{Kind: kind})
			key := parseKey(kp.KeyPEM)
			message := append(append(bytes.Clone(padding13), context13Server...), make([]byte, 32)...)
			scheme := map[string]tls.SignatureScheme{
				"rsa": tls.PSSWithSHA256, "p256": tls.ECDSAWithP256AndSHA256, "p384": tls.ECDSAWithP384AndSHA384,
				"p521": tls.ECDSAWithP521AndSHA512, "ed25519": tls.Ed25519,
			}[kind]
			u := &use{wire.RoleServer, bothVersions, nil}
			for b.Loop() {
				done := make(chan error)
				go func() {
					_, err := sign(key, u, uint16(scheme), message)
					done <- err
				}()
				if err := <-done; err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
