// SPDX-License-Identifier: ISC

package keeper

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"io"
	"net"
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

// handshakeMessages returns what the keys of a server and a client sign.
func handshakeMessages(t *testing.T, c *tls.Config) (server, client []byte) {
	t.Helper()
	kp := testcert.New(t, testcert.Options{})
	keys := [2]*listener{{Signer: kp.Key}, {Signer: kp.Key}}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	sc, cc := c.Clone(), c.Clone()
	sc.ClientAuth = tls.RequireAnyClientCert
	sc.Certificates = []tls.Certificate{{Certificate: [][]byte{kp.Cert.Raw}, PrivateKey: keys[0]}}
	cc.Certificates = []tls.Certificate{{Certificate: [][]byte{kp.Cert.Raw}, PrivateKey: keys[1]}}
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
	if len(keys[0].messages) != 1 || len(keys[1].messages) != 1 {
		t.Fatal("not one signature each")
	}
	return keys[0].messages[0], keys[1].messages[0]
}

func TestClassify(t *testing.T) {
	for _, c := range []*tls.Config{
		{MinVersion: tls.VersionTLS13},
		{MaxVersion: tls.VersionTLS12},
		{MaxVersion: tls.VersionTLS12, CurvePreferences: []tls.CurveID{tls.CurveP256}},
		{MaxVersion: tls.VersionTLS12, CurvePreferences: []tls.CurveID{tls.CurveP384}},
		{MaxVersion: tls.VersionTLS12, CurvePreferences: []tls.CurveID{tls.CurveP521}},
		{MaxVersion: tls.VersionTLS12, CurvePreferences: []tls.CurveID{tls.X25519}},
	} {
		want := form12
		if c.MinVersion == tls.VersionTLS13 {
			want = form13
		}
		server, client := handshakeMessages(t, c)
		for _, tt := range []struct {
			role    uint8
			message []byte
			want    form
		}{
			{wire.RoleServer, server, want},
			{wire.RoleClient, client, want},
			{wire.RoleServer, client, formNone},
			{wire.RoleClient, server, formNone},
			{0, server, formNone},
		} {
			if got := classify(tt.role, tt.message); got != tt.want {
				t.Errorf("role %d: form %d, want %d", tt.role, got, tt.want)
			}
		}
		for n := range server {
			if classify(wire.RoleServer, server[:n]) != formNone && n != len(server)-16 {
				t.Errorf("prefix of %d bytes of a server's message is accepted", n)
			}
		}
		for n := range client {
			if classify(wire.RoleClient, client[:n]) != formNone {
				t.Errorf("prefix of %d bytes of a client's message is accepted", n)
			}
		}
		if classify(wire.RoleServer, append(server, 0)) != formNone ||
			classify(wire.RoleClient, append(client, 0)) != formNone {
			t.Error("a byte more is accepted")
		}
	}
}

// otherMessages is what a worker that was taken over would like to have
// signed.
func otherMessages(t *testing.T) map[string][]byte {
	digest := sha256.Sum256([]byte("x"))
	verify13 := strings.Repeat(" ", 64) + "TLS 1.3, server CertificateVerify\x00"
	return map[string][]byte{
		"nothing":             nil,
		"X.509":               testcert.New(t, testcert.Options{}).Cert.RawTBSCertificate,
		"JWT":                 []byte("eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhZG1pbiJ9"),
		"SSH":                 append([]byte("\x00\x00\x00\x20"), append(digest[:], "\x32\x00\x00\x00\x04root\x00\x00\x00\x0essh-connection"...)...),
		"SSHSIG":              []byte("SSHSIG\x00\x00\x00\x04file\x00\x00\x00\x00\x00\x00\x00\x06sha512"),
		"digest":              digest[:],
		"short hash":          []byte(verify13 + "0123456789"),
		"long hash":           []byte(verify13 + strings.Repeat("x", 64)),
		"other context":       []byte(strings.Repeat(" ", 64) + "TLS 1.3, server FinishedMessage__\x00" + string(digest[:])),
		"delegated":           []byte(strings.Repeat(" ", 64) + "TLS, server delegated credentials\x00" + string(digest[:])),
		"less padding":        []byte(verify13[1:] + string(digest[:])),
		"explicit curve":      append(make([]byte, 64), append([]byte{1, 0, 23, 65, 4}, make([]byte, 64)...)...),
		"FFDHE":               append(make([]byte, 64), append([]byte{3, 1, 0, 65, 4}, make([]byte, 64)...)...),
		"compressed point":    append(make([]byte, 64), append([]byte{3, 0, 23, 33, 2}, make([]byte, 32)...)...),
		"wrong point":         append(make([]byte, 64), append([]byte{3, 0, 23, 65, 2}, make([]byte, 64)...)...),
		"length against rest": append(make([]byte, 64), append([]byte{3, 0, 29, 31}, make([]byte, 32)...)...),
	}
}

func TestSignRefuses(t *testing.T) {
	key := testcert.NewKey(t, "p256")
	for name, message := range otherMessages(t) {
		for _, role := range []uint8{wire.RoleClient, wire.RoleServer} {
			if _, err := sign(key, role, uint16(tls.ECDSAWithP256AndSHA256), message); err != errForm {
				t.Errorf("%s, role %d: %v", name, role, err)
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
	}
	pss := []tls.SignatureScheme{tls.PSSWithSHA256, tls.PSSWithSHA384, tls.PSSWithSHA512}
	ecdsaAny := []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256, tls.ECDSAWithP384AndSHA384, tls.ECDSAWithP521AndSHA512}
	message13, _ := handshakeMessages(t, &tls.Config{MinVersion: tls.VersionTLS13})
	message12, _ := handshakeMessages(t, &tls.Config{MaxVersion: tls.VersionTLS12})
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
		key := testcert.NewKey(t, tt.kind)
		for _, scheme := range all {
			for i, want := range [][]tls.SignatureScheme{tt.want13, tt.want12} {
				message := [][]byte{message13, message12}[i]
				_, err := sign(key, wire.RoleServer, uint16(scheme), message)
				wanted := false
				for _, w := range want {
					wanted = wanted || w == scheme
				}
				if (err == nil) != wanted {
					t.Errorf("%s, scheme %v, form %d: %v", tt.kind, scheme, i, err)
				}
			}
		}
	}
}

// A signature is one of the message under the scheme, not of a digest.
func TestSignature(t *testing.T) {
	key := testcert.NewKey(t, "rsa")
	message, _ := handshakeMessages(t, &tls.Config{MinVersion: tls.VersionTLS13})
	sig, err := sign(key, wire.RoleServer, uint16(tls.PSSWithSHA256), message)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(message)
	opts := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
	if err := rsa.VerifyPSS(key.Public().(*rsa.PublicKey), crypto.SHA256, digest[:], sig, opts); err != nil {
		t.Error(err)
	}
}

func FuzzClassify(f *testing.F) {
	seed := make([]byte, 200)
	_, _ = rand.Read(seed)
	f.Add(uint8(wire.RoleServer), seed)
	f.Add(uint8(wire.RoleServer), append(make([]byte, 64), append([]byte{3, 0, 29, 32}, make([]byte, 32)...)...))
	f.Add(uint8(wire.RoleClient), []byte{1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, role uint8, message []byte) {
		// Whatever is accepted is none of the formats that signatures
		// are used for elsewhere.
		if classify(role, message) != formNone && len(message) < 64+36 && role == wire.RoleServer {
			t.Errorf("%d bytes are accepted", len(message))
		}
	})
}
