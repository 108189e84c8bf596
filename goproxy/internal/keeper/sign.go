// SPDX-License-Identifier: ISC

package keeper

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"encoding/asn1"
	"errors"

	"libtls-proxy/goproxy/internal/wire"
)

// Why the keeper refuses to sign.
var (
	errNoSuchKey = errors.New("no such key")
	errForm      = errors.New("not a message that a TLS handshake signs")
	errVersion   = errors.New("the configuration does not allow this version of TLS")
	errScheme    = errors.New("signature scheme does not fit the key")
)

// A use is what a configuration uses its keys for.
type use struct {
	role      uint8
	protocols uint32
	leaf      []byte // the first certificate in DER, a client's only one
}

// A form is what a message to sign can be.
type form int

const (
	formNone form = iota
	form13        // CertificateVerify of TLS 1.3
	form12        // ServerKeyExchange or CertificateVerify of TLS 1.2
)

// protocol returns the version's bit in the settings.
func (f form) protocol() uint32 {
	if f == form13 {
		return wire.ProtocolTLS13
	}
	return wire.ProtocolTLS12
}

// sign signs message if it is one that a handshake of the configuration
// signs, and scheme one that fits the key and the message. A worker that was
// taken over can so open TLS connections in the name of the key, while it
// lives, and get nothing else from it.
func sign(k *key, u *use, scheme uint16, message []byte) (signature []byte, err error) {
	f := u.classify(message)
	if f == formNone {
		return nil, errForm
	}
	if u.protocols&f.protocol() == 0 {
		return nil, errVersion
	}
	hash, ok := schemeHash(k.public, f, tls.SignatureScheme(scheme))
	if !ok {
		return nil, errScheme
	}
	var opts crypto.SignerOpts = hash
	switch tls.SignatureScheme(scheme) {
	case tls.PSSWithSHA256, tls.PSSWithSHA384, tls.PSSWithSHA512:
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
	}
	erasing(func() { signature, err = crypto.SignMessage(k.signer(), rand.Reader, message, opts) })
	return signature, err
}

// schemeHash returns the hash of the scheme, 0 for Ed25519.
func schemeHash(public crypto.PublicKey, f form, scheme tls.SignatureScheme) (crypto.Hash, bool) {
	switch public := public.(type) {
	case *rsa.PublicKey:
		switch scheme {
		case tls.PSSWithSHA256:
			return crypto.SHA256, true
		case tls.PSSWithSHA384:
			return crypto.SHA384, true
		case tls.PSSWithSHA512:
			return crypto.SHA512, true
		}
		if f != form12 {
			break
		}
		switch scheme {
		case tls.PKCS1WithSHA256:
			return crypto.SHA256, true
		case tls.PKCS1WithSHA384:
			return crypto.SHA384, true
		case tls.PKCS1WithSHA512:
			return crypto.SHA512, true
		}
	case *ecdsa.PublicKey:
		// TLS 1.3 binds the curve to the scheme, TLS 1.2 does not.
		var curve elliptic.Curve
		var hash crypto.Hash
		switch scheme {
		case tls.ECDSAWithP256AndSHA256:
			curve, hash = elliptic.P256(), crypto.SHA256
		case tls.ECDSAWithP384AndSHA384:
			curve, hash = elliptic.P384(), crypto.SHA384
		case tls.ECDSAWithP521AndSHA512:
			curve, hash = elliptic.P521(), crypto.SHA512
		default:
			return 0, false
		}
		return hash, f == form12 || public.Curve == curve
	case ed25519.PublicKey:
		return 0, scheme == tls.Ed25519
	}
	return 0, false
}

func (u *use) classify(message []byte) form {
	if isVerify13(u.role, message) {
		return form13
	}
	if u.role == wire.RoleServer && isKeyExchange(message) ||
		u.role == wire.RoleClient && isTranscript(message, u.leaf) {
		return form12
	}
	return formNone
}

var padding13 = bytes.Repeat([]byte{' '}, 64)

const (
	context13Server = "TLS 1.3, server CertificateVerify\x00"
	context13Client = "TLS 1.3, client CertificateVerify\x00"
)

// isVerify13 is RFC 8446 section 4.4.3; the transcript's hash is SHA-256 or
// SHA-384 with all cipher suites there are.
func isVerify13(role uint8, message []byte) bool {
	context := context13Client
	if role == wire.RoleServer {
		context = context13Server
	}
	rest, ok := bytes.CutPrefix(message, padding13)
	if !ok {
		return false
	}
	rest, ok = bytes.CutPrefix(rest, []byte(context))
	return ok && (len(rest) == 32 || len(rest) == 48)
}

// isKeyExchange is RFC 8422 section 5.4: two randoms and the parameters. The
// randoms are the asker's choice, as is the point to a degree: what could be a
// certificate or the like as well is refused, though once in some ten million
// times it is none.
func isKeyExchange(message []byte) bool {
	if isDER(message) {
		return false
	}
	p := parser{rest: message}
	p.next(2 * randomLen)
	p.ecdhe()
	return p.end()
}

// isDER reports whether all of b is a SEQUENCE or a SET of well-formed
// elements, of which the first is of a kind that whatever X.509 and its
// relatives sign begins with: a number, an identifier or a structure.
func isDER(b []byte) bool {
	var outer, first asn1.RawValue
	rest, err := asn1.Unmarshal(b, &outer)
	if err != nil || len(rest) != 0 || outer.Class != asn1.ClassUniversal ||
		outer.Tag != asn1.TagSequence && outer.Tag != asn1.TagSet {
		return false
	}
	rest, err = asn1.Unmarshal(outer.Bytes, &first)
	for err == nil && len(rest) != 0 {
		rest, err = asn1.Unmarshal(rest, &asn1.RawValue{})
	}
	if err != nil {
		return false
	}
	switch first.Class {
	case asn1.ClassUniversal:
		return first.IsCompound || first.Tag == asn1.TagInteger || first.Tag == asn1.TagOID
	case asn1.ClassContextSpecific:
		return first.IsCompound && first.Tag <= 2
	}
	return false
}

// curves are the groups of TLS 1.2.
var curves = map[tls.CurveID]ecdh.Curve{
	tls.CurveP256: ecdh.P256(),
	tls.CurveP384: ecdh.P384(),
	tls.CurveP521: ecdh.P521(),
	tls.X25519:    ecdh.X25519(),
}
