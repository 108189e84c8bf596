// SPDX-License-Identifier: ISC

package testcert

import (
	"crypto"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"testing"
	"time"
)

// A Status is what an OCSP response says.
type Status struct {
	Revoked bool // with the reason keyCompromise
	Age     time.Duration
}

type certID struct {
	Algorithm         pkix.AlgorithmIdentifier
	NameHash, KeyHash []byte
	Serial            *big.Int
}

type singleResponse struct {
	ID         certID
	Status     asn1.RawValue
	ThisUpdate time.Time `asn1:"generalized"`
}

type responseData struct {
	Responder asn1.RawValue
	Produced  time.Time `asn1:"generalized"`
	Responses []singleResponse
}

type basicResponse struct {
	Data      asn1.RawValue
	Algorithm pkix.AlgorithmIdentifier
	Signature asn1.BitString
}

type responseBytes struct {
	Type     asn1.ObjectIdentifier
	Response []byte
}

type ocspResponse struct {
	Status asn1.Enumerated
	Bytes  responseBytes `asn1:"explicit,tag:0"`
}

// OCSP returns an OCSP response about leaf that issuer signs, whose key is an
// ECDSA key.
func OCSP(t testing.TB, issuer, leaf *Pair, s Status) []byte {
	t.Helper()
	marshal := func(v any) []byte {
		b, err := asn1.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	now := time.Now().Add(-s.Age).UTC().Truncate(time.Second)
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(issuer.Cert.RawSubjectPublicKeyInfo, &info); err != nil {
		t.Fatal(err)
	}
	name, key := sha1.Sum(issuer.Cert.RawSubject), sha1.Sum(info.Key.Bytes)
	status := asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0}
	if s.Revoked {
		status = asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 1, IsCompound: true}
		at, err := asn1.MarshalWithParams(now, "generalized")
		if err != nil {
			t.Fatal(err)
		}
		status.Bytes = append(at, 0xa0, 3, 0x0a, 1, 1)
	}
	tbs := marshal(responseData{
		Responder: asn1.RawValue{
			Class: asn1.ClassContextSpecific, Tag: 1, IsCompound: true, Bytes: issuer.Cert.RawSubject,
		},
		Produced: now,
		Responses: []singleResponse{{
			ID: certID{
				Algorithm: pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}},
				NameHash:  name[:], KeyHash: key[:], Serial: leaf.Cert.SerialNumber,
			},
			Status:     status,
			ThisUpdate: now,
		}},
	})
	sum := sha256.Sum256(tbs)
	signature, err := issuer.Key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return marshal(ocspResponse{
		Bytes: responseBytes{
			Type: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 1},
			Response: marshal(basicResponse{
				Data:      asn1.RawValue{FullBytes: tbs},
				Algorithm: pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}},
				Signature: asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)},
			}),
		},
	})
}

// CRL returns a list of what issuer has revoked, in PEM.
func CRL(t testing.TB, issuer *Pair, template x509.RevocationList, revoked ...*Pair) []byte {
	t.Helper()
	template.Number = big.NewInt(1)
	if template.ThisUpdate.IsZero() {
		template.ThisUpdate = time.Now().Add(-time.Hour)
	}
	if template.NextUpdate.IsZero() {
		template.NextUpdate = time.Now().Add(time.Hour)
	}
	for _, p := range revoked {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: p.Cert.SerialNumber, RevocationTime: time.Now(),
		})
	}
	der, err := x509.CreateRevocationList(rand.Reader, &template, issuer.Cert, issuer.Key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}
