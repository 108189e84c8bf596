// SPDX-License-Identifier: ISC

// Package pkcs reads private keys in PEM, encrypted or not, of every kind that
// openssl(1) has written in the last decades.
//
// It looks at the structure of a key only, not at its numbers. So it hands on
// keys of curves that crypto/x509 does not know, and leaves no copies behind
// in big integers that nobody can clear.
package pkcs

import (
	"bytes"
	"encoding/asn1"
	"encoding/pem"
	"errors"
)

var (
	errNoKey    = errors.New("no private key")
	errKey      = errors.New("malformed private key")
	errPassword = errors.New("wrong password or malformed private key")
)

// Decrypt returns the first private key in data as a PKCS #8 PrivateKeyInfo.
// The password is used only if the key is encrypted.
func Decrypt(data, password []byte) ([]byte, error) {
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return nil, errNoKey
		}
		switch block.Type {
		case "PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY":
			key, err := decryptBlock(block, password)
			clear(block.Bytes)
			return key, err
		}
		clear(block.Bytes)
	}
}

func decryptBlock(block *pem.Block, password []byte) ([]byte, error) {
	der, wrong := block.Bytes, errKey
	if len(block.Headers) != 0 {
		var err error
		if der, err = decryptTraditional(block, password); err != nil {
			return nil, err
		}
		defer clear(der)
		wrong = errPassword
	}
	var key []byte
	switch block.Type {
	case "ENCRYPTED PRIVATE KEY":
		return decryptPKCS8(der, password)
	case "PRIVATE KEY":
		if isPKCS8(der) {
			key = bytes.Clone(der)
		}
	case "RSA PRIVATE KEY":
		key = fromRSA(der)
	case "EC PRIVATE KEY":
		key = fromEC(der)
	}
	if key == nil {
		return nil, wrong
	}
	return key, nil
}

var (
	oidRSA = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidEC  = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
)

// Fragments of PKCS #8 keys in DER.
var (
	versionZero  = asn1.RawValue{FullBytes: []byte{2, 1, 0}}
	algorithmRSA = algorithm(oidRSA, asn1.NullRawValue)
)

func algorithm(oid asn1.ObjectIdentifier, parameters asn1.RawValue) asn1.RawValue {
	// An object identifier of ours can always be encoded.
	der, _ := asn1.Marshal(oid)
	return sequence(asn1.RawValue{FullBytes: der}, parameters)
}

func sequence(elements ...asn1.RawValue) asn1.RawValue {
	der, _ := asn1.Marshal(elements)
	return asn1.RawValue{FullBytes: der}
}

func octets(b []byte) asn1.RawValue {
	return asn1.RawValue{Tag: asn1.TagOctetString, Bytes: b}
}

// maxElements is how many elements the longest sequence of interest has, an
// RSAPrivateKey's.
const maxElements = 9

// elements takes a SEQUENCE apart; nil for anything else. They share der's
// memory.
func elements(der []byte) []asn1.RawValue {
	var outer asn1.RawValue
	rest, err := asn1.Unmarshal(der, &outer)
	if err != nil || len(rest) != 0 || !universal(outer, asn1.TagSequence) {
		return nil
	}
	var list []asn1.RawValue
	for rest = outer.Bytes; len(rest) != 0; {
		var e asn1.RawValue
		if rest, err = asn1.Unmarshal(rest, &e); err != nil || len(list) == maxElements {
			return nil
		}
		list = append(list, e)
	}
	return list
}

func universal(e asn1.RawValue, tag int) bool {
	return e.Class == asn1.ClassUniversal && e.Tag == tag && e.IsCompound == (tag == asn1.TagSequence)
}

func context(e asn1.RawValue, tag int) bool {
	return e.Class == asn1.ClassContextSpecific && e.Tag == tag
}

func integer(e asn1.RawValue, value byte) bool {
	return universal(e, asn1.TagInteger) && len(e.Bytes) == 1 && e.Bytes[0] == value
}

// isPKCS8 checks for a PrivateKeyInfo (RFC 5208) or OneAsymmetricKey (RFC
// 5958).
func isPKCS8(der []byte) bool {
	e := elements(der)
	if len(e) < 3 || !integer(e[0], 0) && !integer(e[0], 1) ||
		!universal(e[2], asn1.TagOctetString) {
		return false
	}
	optional := e[3:]
	for tag := range 2 {
		if len(optional) != 0 && context(optional[0], tag) {
			optional = optional[1:]
		}
	}
	if len(optional) != 0 {
		return false
	}
	a := elements(e[1].FullBytes)
	if len(a) == 0 {
		return false
	}
	var oid asn1.ObjectIdentifier
	if _, err := asn1.Unmarshal(a[0].FullBytes, &oid); err != nil {
		return false
	}
	switch {
	case oid.Equal(oidRSA):
		return isRSA(e[2].Bytes)
	case oid.Equal(oidEC):
		_, ok := parseEC(e[2].Bytes)
		return ok
	}
	return true
}

// isRSA checks for an RSAPrivateKey (RFC 8017) of two primes.
func isRSA(der []byte) bool {
	e := elements(der)
	for _, n := range e {
		if !universal(n, asn1.TagInteger) || len(n.Bytes) == 0 {
			return false
		}
	}
	return len(e) == 9 && integer(e[0], 0)
}

func fromRSA(der []byte) []byte {
	if !isRSA(der) {
		return nil
	}
	return sequence(versionZero, algorithmRSA, octets(der)).FullBytes
}

// An ecKey is an ECPrivateKey (RFC 5915).
type ecKey struct {
	key        []asn1.RawValue // without the parameters
	parameters asn1.RawValue   // maybe none
}

func parseEC(der []byte) (k ecKey, ok bool) {
	e := elements(der)
	if len(e) < 2 || !integer(e[0], 1) || !universal(e[1], asn1.TagOctetString) {
		return k, false
	}
	k.key = e[:2:2]
	optional := e[2:]
	if len(optional) != 0 && context(optional[0], 0) {
		rest, err := asn1.Unmarshal(optional[0].Bytes, &k.parameters)
		if err != nil || len(rest) != 0 {
			return k, false
		}
		optional = optional[1:]
	}
	if len(optional) != 0 && context(optional[0], 1) {
		k.key = append(k.key, optional[0])
		optional = optional[1:]
	}
	return k, len(optional) == 0
}

// fromEC moves the curve to where PKCS #8 has it.
func fromEC(der []byte) []byte {
	k, ok := parseEC(der)
	if !ok || !universal(k.parameters, asn1.TagOID) && !universal(k.parameters, asn1.TagSequence) {
		return nil
	}
	inner := sequence(k.key...).FullBytes
	defer clear(inner)
	return sequence(versionZero, algorithm(oidEC, k.parameters), octets(inner)).FullBytes
}
