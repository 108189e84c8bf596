// SPDX-License-Identifier: ISC

package keeper

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
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
		if k.err != tt.want || (k.private == nil) != (k.err != nil) {
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

func TestReadError(t *testing.T) {
	if got := readError("failed", unix.EISDIR); got != "failed: Is a directory" {
		t.Error(got)
	}
}
