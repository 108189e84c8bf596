// SPDX-License-Identifier: ISC

package tlsconf

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"math/big"
	"testing"

	"libtls-proxy/goproxy/internal/testcert"
	"libtls-proxy/goproxy/internal/verify"
	"libtls-proxy/goproxy/internal/wire"
)

// asApplication signs like tls_signer_sign(3), with big numbers.
func asApplication(t *testing.T, key crypto.Signer, calls *[]uint8) AppSigner {
	return func(hash string, padding uint8, input []byte) ([]byte, error) {
		*calls = append(*calls, padding)
		switch k := key.(type) {
		case *rsa.PrivateKey:
			if padding == wire.PaddingPKCS1 {
				return rsa.SignPKCS1v15(nil, k, crypto.Hash(0), input)
			}
			if len(input) != k.Size() {
				t.Errorf("%d bytes for a modulus of %d", len(input), k.Size())
			}
			s := new(big.Int).Exp(new(big.Int).SetBytes(input), k.D, k.N)
			return s.FillBytes(make([]byte, k.Size())), nil
		case *ecdsa.PrivateKey:
			return ecdsa.SignASN1(nil, k, input)
		}
		return nil, errors.New("no such key")
	}
}

func TestAppKey(t *testing.T) {
	// The block of RSA-PSS is a byte shorter than some moduli.
	for _, kind := range []string{"rsa", "rsa1024", "p256", "p384"} {
		pair := testcert.New(t, testcert.Options{Kind: kind})
		var calls []uint8
		k := &appKey{public: pair.Key.Public(), hash: "h", sign: asApplication(t, pair.Key, &calls)}
		for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
			message := []byte("message")
			digest := h.New()
			digest.Write(message)
			sum := digest.Sum(nil)
			public, isRSA := pair.Key.Public().(*rsa.PublicKey)
			if !isRSA {
				s, err := k.Sign(nil, sum, h)
				if err != nil || !ecdsa.VerifyASN1(pair.Key.Public().(*ecdsa.PublicKey), sum, s) {
					t.Errorf("%s, %v: %v", kind, h, err)
				}
				continue
			}
			s, err := k.Sign(nil, sum, h)
			if err == nil {
				err = rsa.VerifyPKCS1v15(public, h, sum, s)
			}
			if err != nil {
				t.Errorf("%s, PKCS #1, %v: %v", kind, h, err)
			}
			s, err = k.Sign(nil, sum, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: h})
			if kind == "rsa1024" && h == crypto.SHA512 {
				if !errors.Is(err, rsa.ErrMessageTooLong) {
					t.Errorf("PSS with SHA-512 on 1024 bits: %v", err)
				}
				continue
			}
			if err == nil {
				err = rsa.VerifyPSS(public, h, sum, s, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
			}
			if err != nil {
				t.Errorf("%s, PSS, %v: %v", kind, h, err)
			}
		}
		want := []uint8{wire.PaddingNone, wire.PaddingNone, wire.PaddingNone}
		switch kind {
		case "rsa":
			want = []uint8{1, 0, 1, 0, 1, 0}
		case "rsa1024":
			want = []uint8{1, 0, 1, 0, 1}
		}
		if !bytes.Equal(calls, want) {
			t.Errorf("%s: paddings %v", kind, calls)
		}
	}
	k := &appKey{}
	sum := sha256.Sum256(nil)
	if _, err := k.Sign(nil, sum[:], crypto.SHA256); err == nil {
		t.Error("signed without a signer")
	}
}

func TestAppSigned(t *testing.T) {
	pair := testcert.New(t, testcert.Options{Kind: "rsa"})
	list := []*wire.Keypair{{Slot: wire.AppSlot, Certificate: pair.CertPEM}}
	s := &wire.Settings{Role: wire.RoleServer, Protocols: both, Ciphers: testcert.Ciphers, Groups: testcert.Groups}
	shared := Shared{CAs: new(verify.CACache), Tickets: new(TicketCache)}
	c, err := New(s, list, &wire.Live{}, shared, nil)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := PublicKeyHash(pair.Cert)
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		// Each connection has a signer of its own.
		for range 2 {
			var calls []uint8
			sign := asApplication(t, pair.Key, &calls)
			config, err := c.TLS(Options{Sign: func(h string, p uint8, b []byte) ([]byte, error) {
				if h != hash {
					t.Errorf("hash %q, want %q", h, hash)
				}
				return sign(h, p, b)
			}})
			if err != nil {
				t.Fatal(err)
			}
			_, _, serverErr, clientErr := shake(t, config, &tls.Config{InsecureSkipVerify: true, MaxVersion: version})
			if serverErr != nil || clientErr != nil || len(calls) != 1 {
				t.Errorf("%x: %v, %v, %d calls", version, serverErr, clientErr, len(calls))
			}
		}
	}
	c, err = New(s, []*wire.Keypair{{Slot: wire.AppSlot}}, &wire.Live{}, shared, nil)
	if err != nil {
		t.Fatal(err)
	}
	config, err := c.TLS(Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		_, _, serverErr, _ := shake(t, config, &tls.Config{InsecureSkipVerify: true, MaxVersion: version})
		if !errors.Is(serverErr, ErrNoCertificate) {
			t.Errorf("%x: %v", version, serverErr)
		}
	}
}
