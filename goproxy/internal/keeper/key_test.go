// SPDX-License-Identifier: ISC

package keeper

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"libtls-proxy/goproxy/internal/testcert"
)

func encode(typ string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der}))
}

func pkcs8(t *testing.T, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return encode("PRIVATE KEY", der)
}

func TestParseKey(t *testing.T) {
	rsaKey := testcert.NewKey(t, "rsa")
	ecKey := testcert.NewKey(t, "p256")
	sec1, err := x509.MarshalECPrivateKey(ecKey.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	exchange, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	kp := testcert.New(t, testcert.Options{})
	ecPEM := encode("EC PRIVATE KEY", sec1)
	for _, tt := range []struct {
		name, pem string
		want      error
	}{
		{"PKCS #1", encode("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey.(*rsa.PrivateKey))), nil},
		{"PKCS #8 RSA", pkcs8(t, rsaKey), nil},
		{"RSA 1024", pkcs8(t, testcert.NewKey(t, "rsa1024")), nil},
		{"SEC 1", ecPEM, nil},
		{"SEC 1 after parameters", encode("EC PARAMETERS", []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7}) + ecPEM, nil},
		{"after a certificate", string(kp.CertPEM) + ecPEM, nil},
		{"text before", "a key\n" + ecPEM, nil},
		{"P-384", pkcs8(t, testcert.NewKey(t, "p384")), nil},
		{"P-521", pkcs8(t, testcert.NewKey(t, "p521")), nil},
		{"Ed25519", pkcs8(t, testcert.NewKey(t, "ed25519")), nil},
		{"P-224", pkcs8(t, testcert.NewKey(t, "p224")), errLoadKey},
		{"X25519", pkcs8(t, exchange), errLoadKey},
		{"empty", "", errReadKey},
		{"garbage", "garbage", errReadKey},
		{"certificate", string(kp.CertPEM), errReadKey},
		{"broken", encode("PRIVATE KEY", []byte("broken")), errReadKey},
		{"half", ecPEM[:len(ecPEM)/2], errReadKey},
		{"encrypted", encode("ENCRYPTED PRIVATE KEY", []byte("x")), errReadKey},
		{"traditionally encrypted", strings.Replace(ecPEM, "KEY-----\n",
			"KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n", 1), errReadKey},
	} {
		k := parseKey([]byte(tt.pem))
		if k.err != tt.want || (k.signer == nil) != (k.err != nil) {
			t.Errorf("%s: %v", tt.name, k.err)
		}
	}
}

func TestReadAll(t *testing.T) {
	draft, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(draft[0])
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	read := func(f *os.File, limit int) (string, error) {
		var data []byte
		var err error
		raw, rerr := f.SyscallConn()
		if rerr != nil {
			t.Fatal(rerr)
		}
		_ = raw.Control(func(fd uintptr) { data, err = readAll(int(fd), draft[0], limit) })
		return string(data), err
	}
	if _, err := file.WriteString("0123456789"); err != nil {
		t.Fatal(err)
	}
	if got, err := read(file, 10); got != "0123456789" || err != nil {
		t.Errorf("file with its offset at the end: %q, %v", got, err)
	}
	if _, err := read(file, 9); err != unix.EFBIG {
		t.Errorf("file too long: %v", err)
	}
	for _, tt := range []struct {
		data string
		want error
	}{{"", nil}, {"0123456789", nil}, {"0123456789x", unix.EFBIG}} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.WriteString(tt.data); err != nil {
			t.Fatal(err)
		}
		w.Close()
		if got, err := read(r, 10); err != tt.want || err == nil && got != tt.data {
			t.Errorf("pipe with %q: %q, %v", tt.data, got, err)
		}
		r.Close()
	}
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	_ = unix.Close(draft[1])
	// The draft is closed, but what is there is read.
	if _, err := read(dir, 10); err != unix.EISDIR {
		t.Errorf("directory: %v", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if _, err := read(r, 10); err != os.ErrClosed {
		t.Errorf("pipe that stays open after the draft: %v", err)
	}
}

// openssl(1) made it, and encrypted it with the password "secret".
const plainKey = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgZzxcwSCmDI6683Y9
EwilRaVWm0dMKNBIkC4lqBgh4tihRANCAAToDMMrrwT5xmVaAv3iftrjrdD1il86
odF80rvDyjBSUCcWng2To9VxkGu0V2xp8VM2DhnB/D+Sl4iK9kbtUFUn
-----END PRIVATE KEY-----
`

const encryptedKey = `-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAixFzRZihfKjgICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEAQIEEBelMoDVNnwLQmBZaAK2oA0EgZDf
uhYdos/InwGhRmh/jZmFmroScV+hlwoBehWzjciiHPnoKcDAtxEibZb/AXYXfVbs
Xhj20CmWeyEIFpuy3f9KKDjWHBufd7vOTTfpwDKReP1umQGJzcOBkmaYVaFtRBGr
ImV2Wx8C2fjzXHRhv8Bs5SChcPHtY4JQaZ2CiqdUPkWWABIjPu73w34QBjpG01Q=
-----END ENCRYPTED PRIVATE KEY-----
`

func TestDecryptKey(t *testing.T) {
	long := strings.Repeat("x", 1000)
	unknown := func(size int) string {
		der, err := asn1.Marshal(struct {
			Version   int
			Algorithm pkix.AlgorithmIdentifier
			Key       []byte
		}{0, pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 3}}, make([]byte, size)})
		if err != nil {
			t.Fatal(err)
		}
		return encode("PRIVATE KEY", der)
	}
	for _, tt := range []struct {
		name, data, password string
		want, err            string
	}{
		{"encrypted", encryptedKey, "secret", plainKey, ""},
		{"not encrypted", plainKey, "", plainKey, ""},
		{"of a kind unknown to us", unknown(32), "", unknown(32), ""},
		{"long", unknown(40000), "", unknown(40000), ""},
		{"too long for a message", unknown(50000), "", "", "private key is too long"},
		{"wrong password", encryptedKey, "secreT", "", "failed to decrypt private key: wrong password or malformed private key"},
		{"no key", "garbage", "secret", "", "failed to decrypt private key: no private key"},
		{"long name", "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: " + long +
			",00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n", "x", "",
			"failed to decrypt private key: " + (`unsupported encryption "` + long)[:200]},
	} {
		key, text := decryptKey([]byte(tt.data), []byte(tt.password))
		if string(key) != tt.want || text != tt.err {
			t.Errorf("%s: %d bytes %.100s, %q", tt.name, len(key), key, text)
		}
	}
}

func TestEncodeKey(t *testing.T) {
	der := make([]byte, 200)
	for i := range der {
		der[i] = byte(i)
	}
	for n := range der {
		key := encodeKey(der[:n])
		if string(key) != encode("PRIVATE KEY", der[:n]) {
			t.Errorf("%d bytes: %s", n, key)
		}
		if cap(key) != len(key) {
			t.Errorf("%d bytes: the buffer grew", n)
		}
	}
}

func TestReadError(t *testing.T) {
	if got := readError("failed", unix.EISDIR); got != "failed: Is a directory" {
		t.Error(got)
	}
}
