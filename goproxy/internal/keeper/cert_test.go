// SPDX-License-Identifier: ISC

package keeper

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"strings"
	"testing"

	"libtls-proxy/goproxy/internal/testcert"
)

// publicBits returns what a certificate has as subjectPublicKey.
func publicBits(t *testing.T, public any) []byte {
	t.Helper()
	switch key := public.(type) {
	case *rsa.PublicKey:
		return x509.MarshalPKCS1PublicKey(key)
	case *ecdsa.PublicKey:
		b, err := key.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		return b
	case ed25519.PublicKey:
		return key
	}
	t.Fatalf("key is %T", public)
	return nil
}

func TestLeafHash(t *testing.T) {
	for _, kind := range []string{"rsa", "p256", "p224", "ed25519"} {
		kp := testcert.New(t, testcert.Options{Kind: kind})
		want := fmt.Sprintf("SHA256:%x", sha256.Sum256(publicBits(t, kp.Cert.PublicKey)))
		cert := string(kp.CertPEM)
		other := string(testcert.New(t, testcert.Options{}).CertPEM)
		for name, data := range map[string]string{
			"alone":           cert,
			"text around":     "a certificate\n" + cert + "its end\n",
			"CR LF":           strings.ReplaceAll(cert, "\n", "\r\n"),
			"old name":        strings.ReplaceAll(cert, "CERTIFICATE", "X509 CERTIFICATE"),
			"notes on trust":  encode("TRUSTED CERTIFICATE", append(bytes.Clone(kp.Cert.Raw), 0x30, 0)),
			"after its key":   string(kp.KeyPEM) + cert,
			"before another":  cert + other,
			"broken chain":    cert + encode("CERTIFICATE", []byte("broken")),
			"half a chain":    cert + other[:len(other)/2],
			"no end of lines": strings.TrimRight(cert, "\n"),
		} {
			if got, err := leafHash([]byte(data)); got != want || err != nil {
				t.Errorf("%s, %s: %q, %v, want %q", kind, name, got, err, want)
			}
		}
	}
}

func TestLeafHashErrors(t *testing.T) {
	kp := testcert.New(t, testcert.Options{})
	cert := string(kp.CertPEM)
	const end = "-----END CERTIFICATE-----\n"
	for _, tt := range []struct {
		name, data string
		want       error
	}{
		{"empty", "", errNoStart},
		{"garbage", "garbage", errNoStart},
		{"DER", string(kp.Cert.Raw), errNoStart},
		{"key", string(kp.KeyPEM), errNoStart},
		{"end only", end, errNoStart},
		{"start not at the start", " " + cert, errNoStart},
		{"start without end", "-----BEGIN CERTIFICATE\n", errNoStart},
		{"half", cert[:len(cert)/2], errBadEnd},
		{"start only", "-----BEGIN CERTIFICATE-----", errBadEnd},
		{"other end", strings.Replace(cert, end, "-----END X509 CERTIFICATE-----\n", 1), errBadEnd},
		{"half, then a key", cert[:len(cert)/2] + "\n" + string(kp.KeyPEM), errBadEnd},
		{"no base64", "-----BEGIN CERTIFICATE-----\n!\n" + end, errBase64},
		{"no base64, CR LF", "-----BEGIN CERTIFICATE-----\r\n!\r\n" + strings.TrimSpace(end) + "\r\n", errBase64},
		{"no DER", encode("CERTIFICATE", []byte("broken")), errWrongTag},
		{"no bytes", encode("CERTIFICATE", nil), errWrongTag},
		{"half of the DER", encode("CERTIFICATE", kp.Cert.Raw[:len(kp.Cert.Raw)/2]), errWrongTag},
		{"other DER", encode("CERTIFICATE", kp.Cert.RawSubject), errWrongTag},
		{"broken before a good one", encode("CERTIFICATE", []byte("broken")) + cert, errWrongTag},
	} {
		if got, err := leafHash([]byte(tt.data)); err != tt.want || got != "" {
			t.Errorf("%s: %q, %v, want %v", tt.name, got, err, tt.want)
		}
	}
}

func FuzzLeafHash(f *testing.F) {
	kp := testcert.New(f, testcert.Options{})
	f.Add(kp.CertPEM)
	f.Add(kp.CertPEM[:len(kp.CertPEM)/2])
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"))
	f.Add([]byte(encode("TRUSTED CERTIFICATE", append(bytes.Clone(kp.Cert.Raw), 0x30, 0))))
	f.Fuzz(func(t *testing.T, data []byte) {
		hash, err := leafHash(data)
		if (hash == "") != (err != nil) {
			t.Errorf("%q, %v", hash, err)
		}
	})
}
