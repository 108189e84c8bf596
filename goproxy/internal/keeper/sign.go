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
	"crypto/tls"
	"errors"

	"libtls-proxy/goproxy/internal/wire"
)

var errForm = errors.New("not a message that a TLS handshake signs")

// A form is what a message to sign can be.
type form int

const (
	formNone form = iota
	form13        // CertificateVerify of TLS 1.3
	form12        // ServerKeyExchange or CertificateVerify of TLS 1.2
)

// sign signs message if it is one that a handshake in that role signs, and
// scheme one that fits the key and the message. A worker that was taken over
// can so open TLS connections in the name of the key, while it lives, and get
// nothing else from it.
func sign(k crypto.Signer, role uint8, scheme uint16, message []byte) ([]byte, error) {
	f := classify(role, message)
	if f == formNone {
		return nil, errForm
	}
	hash, ok := schemeHash(k, f, tls.SignatureScheme(scheme))
	if !ok {
		return nil, errors.New("signature scheme does not fit the key")
	}
	var opts crypto.SignerOpts = hash
	switch tls.SignatureScheme(scheme) {
	case tls.PSSWithSHA256, tls.PSSWithSHA384, tls.PSSWithSHA512:
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
	}
	return crypto.SignMessage(k, rand.Reader, message, opts)
}

// schemeHash returns the hash of the scheme, 0 for Ed25519.
func schemeHash(k crypto.Signer, f form, scheme tls.SignatureScheme) (crypto.Hash, bool) {
	switch key := k.Public().(type) {
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
		return hash, f == form12 || key.Curve == curve
	case ed25519.PublicKey:
		return 0, scheme == tls.Ed25519
	}
	return 0, false
}

func classify(role uint8, message []byte) form {
	if isVerify13(role, message) {
		return form13
	}
	if role == wire.RoleServer && isKeyExchange(message) ||
		role == wire.RoleClient && isTranscript(message) {
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

// pointLengths holds the groups of TLS 1.2 and the length of a point in each.
var pointLengths = map[tls.CurveID]int{
	tls.CurveP256: 65,
	tls.CurveP384: 97,
	tls.CurveP521: 133,
	tls.X25519:    32,
}

// isKeyExchange is RFC 8422 section 5.4: two randoms and the parameters.
func isKeyExchange(message []byte) bool {
	const randoms, namedCurve = 64, 3
	if len(message) < randoms+4 {
		return false
	}
	params := message[randoms:]
	if params[0] != namedCurve {
		return false
	}
	curve := tls.CurveID(params[1])<<8 | tls.CurveID(params[2])
	want, ok := pointLengths[curve]
	point := params[4:]
	if !ok || int(params[3]) != want || len(point) != want {
		return false
	}
	return curve == tls.X25519 || point[0] == 4
}

// Handshake types of RFC 5246 section 7.4 and RFC 6066.
const (
	typeClientHello        = 1
	typeServerHello        = 2
	typeCertificate        = 11
	typeServerKeyExchange  = 12
	typeCertificateRequest = 13
	typeServerHelloDone    = 14
	typeClientKeyExchange  = 16
	typeCertificateStatus  = 22
)

// isTranscript is RFC 5246 section 7.4.8: all messages of a full handshake up
// to the client's CertificateVerify.
func isTranscript(message []byte) bool {
	for _, step := range []struct {
		typ      byte
		optional bool
	}{
		{typ: typeClientHello},
		{typ: typeServerHello},
		{typ: typeCertificate},
		{typ: typeCertificateStatus, optional: true},
		{typ: typeServerKeyExchange},
		{typ: typeCertificateRequest},
		{typ: typeServerHelloDone},
		{typ: typeCertificate},
		{typ: typeClientKeyExchange},
	} {
		if len(message) < 4 || message[0] != step.typ {
			if step.optional {
				continue
			}
			return false
		}
		n := int(message[1])<<16 | int(message[2])<<8 | int(message[3])
		if n > len(message)-4 {
			return false
		}
		body := message[4 : 4+n]
		if (step.typ == typeClientHello || step.typ == typeServerHello) &&
			(len(body) < 34 || body[0] != 3 || body[1] != 3) {
			return false
		}
		message = message[4+n:]
	}
	return len(message) == 0
}
