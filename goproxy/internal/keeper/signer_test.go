// SPDX-License-Identifier: ISC

package keeper

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"testing"

	"golang.org/x/sys/unix"

	"libtls-proxy/goproxy/internal/channel"
	"libtls-proxy/goproxy/internal/testcert"
	"libtls-proxy/goproxy/internal/wire"
)

// TestPowerRSA compares with the public operation of math/big.
func TestPowerRSA(t *testing.T) {
	for _, bits := range []int{1024, 1536, 2048} {
		private, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		public := func(s []byte) []byte {
			e := big.NewInt(int64(private.E))
			return new(big.Int).Exp(new(big.Int).SetBytes(s), e, private.N).FillBytes(make([]byte, private.Size()))
		}
		der := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)})
		k := parseSigner(der)
		input := make([]byte, private.Size())
		for _, first := range []byte{0, 1, 0x7f} {
			input[0] = first
			s, err := signRaw(k, wire.PaddingNone, input)
			if err != nil || !bytes.Equal(public(s), input) {
				t.Errorf("%d bits: %x, %v", bits, s, err)
			}
		}
		if _, err := signRaw(k, wire.PaddingNone, private.N.Bytes()); err == nil {
			t.Errorf("%d bits: signed the modulus", bits)
		}
		// X9.31: of s and n - s, the one whose public operation ends
		// in 0xc is the block.
		s, err := signRaw(k, wire.PaddingX931, []byte("digest"))
		if err != nil {
			t.Fatal(err)
		}
		block := public(s)
		if block[len(block)-1]&0xf != 0xc {
			block = new(big.Int).Sub(private.N, new(big.Int).SetBytes(block)).FillBytes(make([]byte, private.Size()))
		}
		if block[0] != 0x6b || block[1] != 0xbb || !bytes.HasSuffix(block, []byte("\xbb\xbadigest\xcc")) {
			t.Errorf("%d bits: %x", bits, block)
		}
		if new(big.Int).Lsh(new(big.Int).SetBytes(s), 1).Cmp(private.N) > 0 {
			t.Errorf("%d bits: not the smaller one", bits)
		}
	}
}

func TestSignerKeys(t *testing.T) {
	b := newBench(t)
	b.worker()
	d := b.draft()
	pair := testcert.New(t, testcert.Options{})
	cert, keyPEM := pair.CertPEM, pair.KeyPEM
	add := func(cert, key []byte) *wire.AddSignerReply {
		c, k := memfd(t, cert), memfd(t, key)
		defer unix.Close(c)
		defer unix.Close(k)
		reply, end, err := channel.Pair()
		if err != nil {
			t.Fatal(err)
		}
		defer reply.Close()
		defer unix.Close(end)
		if err := d.Send(&wire.AddSigner{}, c, k, end); err != nil {
			t.Fatal(err)
		}
		m, _ := recv(t, reply, "keeper", "reply")
		return m.(*wire.AddSignerReply)
	}
	sign := func(m *wire.SignRaw) *wire.SignRawReply {
		reply, end, err := channel.Pair()
		if err != nil {
			t.Fatal(err)
		}
		defer reply.Close()
		defer unix.Close(end)
		if err := d.Send(m, end); err != nil {
			t.Fatal(err)
		}
		r, _ := recv(t, reply, "keeper", "reply")
		return r.(*wire.SignRawReply)
	}
	r := add(cert, keyPEM)
	if r.Error != "" || r.Slot == 0 || r.Hash == "" {
		t.Fatalf("%+v", r)
	}
	digest := bytes.Repeat([]byte{7}, 32)
	s := sign(&wire.SignRaw{Slot: r.Slot, Input: digest})
	if s.Error != "" || !ecdsa.VerifyASN1(pair.Cert.PublicKey.(*ecdsa.PublicKey), digest, s.Signature) {
		t.Errorf("%+v", s)
	}
	// A key for handshakes signs nothing else, and one that signs anything
	// is not for handshakes.
	handshake := addKey(t, d, keyPEM)
	if s := sign(&wire.SignRaw{Slot: handshake.Slot, Input: digest}); s.Error != "key not found" || len(s.Signature) != 0 {
		t.Errorf("%+v", s)
	}
	doc := document(t, &wire.Settings{Role: wire.RoleServer, Protocols: wire.ProtocolTLS13},
		&wire.Keypair{Slot: r.Slot, Certificate: cert})
	if text := commitReply(t, request(t, d, &wire.Commit{}, doc)); text != errReadKey.Error() {
		t.Errorf("COMMIT with a signer's key: %q", text)
	}
	for _, tt := range []struct {
		name      string
		cert, key []byte
		want      string
	}{
		{"no certificate", keyPEM, keyPEM, "failed to load certificate: " + errNoStart.Error()},
		{"no key", cert, cert, "failed to read private key"},
		{"Ed25519", cert, testcert.New(t, testcert.Options{Kind: "ed25519"}).KeyPEM, "unknown key type"},
	} {
		if r := add(tt.cert, tt.key); r.Error != tt.want || r.Slot != 0 {
			t.Errorf("%s: %+v", tt.name, r)
		}
	}
}
