// SPDX-License-Identifier: ISC

package tlsconf

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"libtls-proxy/goproxy/internal/wire"
)

// An AppSigner has the application sign with a key that only it can reach, as
// tls_config_set_sign_cb(3) describes it.
type AppSigner func(hash string, padding uint8, input []byte) ([]byte, error)

// ErrKeyType is the refusal of a key that libtls has no way to ask for.
var ErrKeyType = errors.New("incorrect key type")

// AppSigned reports whether the application can sign for this key.
func AppSigned(public crypto.PublicKey) bool {
	switch public.(type) {
	case *rsa.PublicKey, *ecdsa.PublicKey:
		return true
	}
	return false
}

// PublicKeyHash returns libtls's name of a certificate's public key.
func PublicKeyHash(cert *x509.Certificate) (string, error) {
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		PublicKey asn1.BitString
	}
	if _, err := asn1.Unmarshal(cert.RawSubjectPublicKeyInfo, &info); err != nil {
		return "", err
	}
	sum := sha256.Sum256(info.PublicKey.Bytes)
	return "SHA256:" + hex.EncodeToString(sum[:]), nil
}

// An appKey is such a key, for one connection.
type appKey struct {
	public crypto.PublicKey
	hash   string
	sign   AppSigner
	decide Decider // instead of sign, if not nil
}

func (k *appKey) Public() crypto.PublicKey { return k.public }

// Sign pads a digest as far as libtls does it for its callback: for RSA-PSS
// whole, for PKCS #1 up to the DigestInfo.
func (k *appKey) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if k.decide != nil {
		scheme, ok := SchemeOf(k.public, opts)
		if !ok {
			return nil, errors.New("no signature scheme for this key")
		}
		return k.decide.Sign(k.hash, scheme, digest)
	}
	if k.sign == nil {
		return nil, errors.New("nobody signs for this certificate")
	}
	public, ok := k.public.(*rsa.PublicKey)
	if !ok {
		return k.sign(k.hash, wire.PaddingNone, digest)
	}
	h := opts.HashFunc()
	if _, pss := opts.(*rsa.PSSOptions); pss {
		block, err := encodePSS(digest, public.N.BitLen()-1, h)
		if err != nil {
			return nil, err
		}
		// As long as the modulus, which can be a byte more.
		block = append(make([]byte, public.Size()-len(block)), block...)
		return k.sign(k.hash, wire.PaddingNone, block)
	}
	info, err := digestInfo(h, digest)
	if err != nil {
		return nil, err
	}
	return k.sign(k.hash, wire.PaddingPKCS1, info)
}

// encodePSS is EMSA-PSS-ENCODE of RFC 8017 section 9.1.1 with a salt as long
// as the digest (RFC 8446 section 4.2.3).
func encodePSS(digest []byte, bits int, h crypto.Hash) ([]byte, error) {
	salt := make([]byte, h.Size())
	if _, err := rand.Read(salt); err != nil {
		return nil, err
	}
	size := (bits + 7) / 8
	if size < 2*h.Size()+2 {
		return nil, rsa.ErrMessageTooLong
	}
	inner := h.New()
	inner.Write(make([]byte, 8))
	inner.Write(digest)
	inner.Write(salt)
	sum := inner.Sum(nil)

	block := make([]byte, size)
	db := block[:size-h.Size()-1]
	db[len(db)-len(salt)-1] = 1
	copy(db[len(db)-len(salt):], salt)
	xorMGF1(db, sum, h.New())
	db[0] &= 0xff >> (8*size - bits)
	copy(block[len(db):], sum)
	block[size-1] = 0xbc
	return block, nil
}

// xorMGF1 is MGF1 of RFC 8017 appendix B.2.1.
func xorMGF1(p, seed []byte, h hash.Hash) {
	for i := 0; len(p) > 0; i++ {
		h.Reset()
		h.Write(seed)
		h.Write([]byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)})
		mask := h.Sum(nil)
		for j := 0; j < len(mask) && j < len(p); j++ {
			p[j] ^= mask[j]
		}
		p = p[min(len(mask), len(p)):]
	}
}

var digestOIDs = map[crypto.Hash]asn1.ObjectIdentifier{
	crypto.SHA256: {2, 16, 840, 1, 101, 3, 4, 2, 1},
	crypto.SHA384: {2, 16, 840, 1, 101, 3, 4, 2, 2},
	crypto.SHA512: {2, 16, 840, 1, 101, 3, 4, 2, 3},
}

// digestInfo is the DigestInfo of RFC 8017 section 9.2.
func digestInfo(h crypto.Hash, digest []byte) ([]byte, error) {
	oid, ok := digestOIDs[h]
	if !ok {
		return nil, fmt.Errorf("no DigestInfo for %v", h)
	}
	return asn1.Marshal(struct {
		Algorithm pkix.AlgorithmIdentifier
		Digest    []byte
	}{pkix.AlgorithmIdentifier{Algorithm: oid, Parameters: asn1.NullRawValue}, digest})
}
