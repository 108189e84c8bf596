// SPDX-License-Identifier: ISC

package keeper

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"

	"libtls-proxy/goproxy/internal/tlsconf"
)

// What LibreSSL says, which libtls appends.
var (
	errNoStart  = errors.New("error:09FFF06C:PEM routines:CRYPTO_internal:no start line")
	errBadEnd   = errors.New("error:09FFF066:PEM routines:CRYPTO_internal:bad end line")
	errBase64   = errors.New("error:09FFF064:PEM routines:CRYPTO_internal:bad base64 decode")
	errWrongTag = errors.New("error:0DFFF0A8:asn1 encoding routines:CRYPTO_internal:wrong tag")
)

// leafHash returns libtls's hash of the public key of the leaf of a chain in
// PEM. It looks at nothing else, as libtls does at this point: a key that is
// of no use, or the rest of the chain, is refused at COMMIT.
func leafHash(data []byte) (string, error) {
	block, err := findLeaf(data)
	if err != nil {
		return "", err
	}
	// OpenSSL's notes on trust may follow.
	var der asn1.RawValue
	if _, err := asn1.Unmarshal(block.Bytes, &der); err != nil {
		return "", errWrongTag
	}
	cert, err := x509.ParseCertificate(der.FullBytes)
	if err != nil {
		return "", errWrongTag
	}
	hash, err := tlsconf.PublicKeyHash(cert)
	if err != nil {
		return "", errWrongTag
	}
	return hash, nil
}

func isCertificate(typ string) bool {
	switch typ {
	case "CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE":
		return true
	}
	return false
}

func findLeaf(data []byte) (*pem.Block, error) {
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, findFault(data)
		}
		if isCertificate(block.Type) {
			return block, nil
		}
	}
}

// findFault says why there is no certificate in data: pem.Decode passes over
// what is broken.
func findFault(data []byte) error {
	var end []byte
	for line := range bytes.Lines(data) {
		line = bytes.TrimRight(line, " \t\r\n")
		if end != nil {
			if bytes.Equal(line, end) {
				return errBase64
			}
			continue
		}
		typ, begins := bytes.CutPrefix(line, []byte("-----BEGIN "))
		typ, ends := bytes.CutSuffix(typ, []byte("-----"))
		if begins && ends && isCertificate(string(typ)) {
			end = append(append([]byte("-----END "), typ...), "-----"...)
		}
	}
	if end != nil {
		return errBadEnd
	}
	return errNoStart
}
