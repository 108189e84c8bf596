// SPDX-License-Identifier: ISC

package verify

import (
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// crypto/x509 decodes names into strings and drops what it cannot decode;
// libtls shows raw bytes, so names are walked here once more.

type attribute struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

// The suffix tells encoding/asn1 that this is a SET OF.
type relativeNameSET []attribute

func parseName(der []byte) ([]attribute, error) {
	var rdns []relativeNameSET
	rest, err := asn1.Unmarshal(der, &rdns)
	if err != nil {
		return nil, err
	}
	if len(rest) != 0 {
		return nil, errors.New("bytes follow the name")
	}
	var attrs []attribute
	for _, rdn := range rdns {
		attrs = append(attrs, rdn...)
	}
	return attrs, nil
}

// Oneline writes a distinguished name as X509_NAME_oneline(3) does.
func Oneline(der []byte) (string, error) {
	attrs, err := parseName(der)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, a := range attrs {
		oid := a.Type.String()
		name, ok := shortNames[oid]
		if !ok {
			name = oid
		}
		b.WriteString("/" + name + "=")
		for _, c := range a.Value.Bytes {
			if c < 0x20 || c > 0x7e {
				fmt.Fprintf(&b, "\\x%02X", c)
			} else {
				b.WriteByte(c)
			}
		}
	}
	return b.String(), nil
}

var oidCommonName = asn1.ObjectIdentifier{2, 5, 4, 3}

// maxCommonName is ub-common-name of RFC 5280, in bytes as libtls has it.
const maxCommonName = 64

// A nameError is one of libtls's texts, capital letters and all.
type nameError string

func (e nameError) Error() string { return string(e) }

const (
	manyCommonNames nameError = "Certificate subject contains multiple Common Name fields, probably a malicious or malformed certificate"
	badCommonName   nameError = "Common Name field cannot be encoded as a UTF-8 string, probably a malicious certificate"
	longCommonName  nameError = "Common Name field has invalid length, probably a malicious certificate"
	nulCommonName   nameError = "NUL byte in Common Name field, probably a malicious certificate"
)

// CommonName returns the common name in UTF-8, or an empty string where the
// certificate has none.
func CommonName(subject []byte) (string, error) {
	attrs, err := parseName(subject)
	if err != nil {
		return "", err
	}
	var cn *asn1.RawValue
	for i := range attrs {
		if !attrs[i].Type.Equal(oidCommonName) {
			continue
		}
		if cn != nil {
			return "", manyCommonNames
		}
		cn = &attrs[i].Value
	}
	if cn == nil {
		return "", nil
	}
	s, ok := utf8String(cn)
	switch {
	case !ok:
		return "", badCommonName
	case len(s) < 1 || len(s) > maxCommonName:
		return "", longCommonName
	case strings.IndexByte(s, 0) >= 0:
		return "", nulCommonName
	}
	return s, nil
}

// Tags that encoding/asn1 does not name.
const (
	tagUniversalString = 28
	tagVisibleString   = 26
)

func utf8String(v *asn1.RawValue) (string, bool) {
	b := v.Bytes
	switch v.Tag {
	case asn1.TagUTF8String:
		return string(b), utf8.Valid(b)
	case asn1.TagPrintableString, asn1.TagIA5String, asn1.TagT61String,
		asn1.TagNumericString, tagVisibleString:
		// ASN1_STRING_to_UTF8(3) reads each byte as Latin-1.
		r := make([]rune, len(b))
		for i, c := range b {
			r[i] = rune(c)
		}
		return string(r), true
	case asn1.TagBMPString:
		if len(b)%2 != 0 {
			return "", false
		}
		var s strings.Builder
		for ; len(b) > 0; b = b[2:] {
			r := rune(b[0])<<8 | rune(b[1])
			if utf16.IsSurrogate(r) {
				return "", false
			}
			s.WriteRune(r)
		}
		return s.String(), true
	case tagUniversalString:
		if len(b)%4 != 0 {
			return "", false
		}
		var s strings.Builder
		for ; len(b) > 0; b = b[4:] {
			r := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
			if r > utf8.MaxRune || !utf8.ValidRune(rune(r)) {
				return "", false
			}
			s.WriteRune(rune(r))
		}
		return s.String(), true
	}
	return "", false
}
