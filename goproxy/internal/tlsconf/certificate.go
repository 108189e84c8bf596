// SPDX-License-Identifier: ISC

// Package tlsconf turns a configuration from the wire into one for
// crypto/tls. Its errors are the texts that libtls has for them.
package tlsconf

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
)

// ErrCertificate is the refusal of a certificate.
var ErrCertificate = errors.New("failed to load certificate")

// minRSABits is what crypto/tls insists on.
const minRSABits = 1024

// A Chain is a certificate and what goes with it to the peer.
type Chain struct {
	DER  [][]byte
	Leaf *x509.Certificate
}

// ParseChain reads a certificate chain in PEM, the leaf first. Blocks of other
// types may be among it, as in a file that holds the key as well.
func ParseChain(data []byte) (*Chain, error) {
	c := &Chain{}
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		der := block.Bytes
		switch block.Type {
		case "CERTIFICATE", "X509 CERTIFICATE":
		case "TRUSTED CERTIFICATE":
			// The certificate, and then what OpenSSL has to say
			// about its trust.
			var cert asn1.RawValue
			if _, err := asn1.Unmarshal(der, &cert); err != nil {
				return nil, ErrCertificate
			}
			der = cert.FullBytes
		default:
			continue
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, ErrCertificate
		}
		if c.Leaf == nil {
			c.Leaf = cert
		}
		c.DER = append(c.DER, der)
	}
	if c.Leaf == nil || !SupportedKey(c.Leaf.PublicKey) {
		return nil, ErrCertificate
	}
	return c, nil
}

// SupportedKey reports whether crypto/tls can authenticate with the key.
func SupportedKey(public any) bool {
	switch key := public.(type) {
	case *rsa.PublicKey:
		return key.N.BitLen() >= minRSABits
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
			return true
		}
	case ed25519.PublicKey:
		return true
	}
	return false
}
