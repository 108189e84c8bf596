// SPDX-License-Identifier: ISC

package keeper

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"slices"
	"syscall"
	"unicode"

	"golang.org/x/sys/unix"

	"libtls-proxy/goproxy/internal/channel"
	"libtls-proxy/goproxy/internal/pkcs"
	"libtls-proxy/goproxy/internal/tlsconf"
	"libtls-proxy/goproxy/internal/wire"
)

var (
	errReadKey  = errors.New("failed to read private key")
	errLoadKey  = errors.New("failed to load private key")
	errMismatch = errors.New("private/public key mismatch")
)

// A key is a private key, or the reason why what was given is none: libtls
// tells that when the configuration is used, so the keeper does at COMMIT.
type key struct {
	public crypto.PublicKey
	// signer returns what signs a single message. It exists so that there
	// is one copy of each secret number while nothing is signed: crypto/*
	// keeps another one of its own for as long as it knows the key.
	signer func() crypto.Signer
	err    error

	exponent []byte // only of an RSA key that signs anything
	leaf     []byte // its certificate, of a key for one connection
}

func (k *key) matches(public crypto.PublicKey) bool {
	p, ok := k.public.(interface{ Equal(crypto.PublicKey) bool })
	return ok && p.Equal(public)
}

// parseKey reads a private key in PEM.
func parseKey(data []byte) (k *key) {
	erasing(func() { k = firstKey(data, newKey) })
	return k
}

// firstKey makes a key of the first one in data.
func firstKey(data []byte, make func(parsed any) *key) *key {
	for {
		var block *pem.Block
		block, data = pem.Decode(data)
		if block == nil {
			return &key{err: errReadKey}
		}
		k := parseBlock(block, make)
		clear(block.Bytes)
		if k != nil {
			return k
		}
	}
}

// parseBlock returns nil for a block that is not a key, such as the
// parameters before an elliptic curve's or a certificate in the same file.
func parseBlock(block *pem.Block, make func(parsed any) *key) *key {
	var parsed any
	var err error
	switch block.Type {
	case "RSA PRIVATE KEY":
		parsed, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		parsed, err = x509.ParseECPrivateKey(block.Bytes)
	case "PRIVATE KEY":
		parsed, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "ENCRYPTED PRIVATE KEY":
		return &key{err: errReadKey}
	default:
		return nil
	}
	if err != nil || len(block.Headers) != 0 {
		return &key{err: errReadKey}
	}
	return make(parsed)
}

func newKey(parsed any) (k *key) {
	switch parsed := parsed.(type) {
	case *rsa.PrivateKey:
		k = newRSA(parsed)
	case *ecdsa.PrivateKey:
		k = newECDSA(parsed)
	case ed25519.PrivateKey:
		k = newEd25519(parsed)
	}
	if k == nil || !tlsconf.SupportedKey(k.public) {
		return &key{err: errLoadKey}
	}
	return k
}

// newRSA keeps what crypto/rsa has computed for signing and nothing else: its
// other fields hold the same numbers once more.
func newRSA(private *rsa.PrivateKey) *key {
	public := private.PublicKey
	small := &rsa.PrivateKey{PublicKey: public, Precomputed: private.Precomputed}
	small.Precomputed.Dp, small.Precomputed.Dq, small.Precomputed.Qinv = nil, nil, nil
	//lint:ignore SA1019 it has parts of the key where there are three primes
	small.Precomputed.CRTValues = nil
	return &key{public: &public, signer: func() crypto.Signer { return small }}
}

func newECDSA(private *ecdsa.PrivateKey) *key {
	public := private.PublicKey
	// A number below the group's order, so that this never fails.
	//lint:ignore SA1019 Bytes gives a copy that crypto/ecdsa caches
	secret := private.D.FillBytes(make([]byte, (public.Params().N.BitLen()+7)/8))
	return &key{public: &public, signer: func() crypto.Signer {
		//lint:ignore SA1019 ParseRawPrivateKey computes the public key
		return &ecdsa.PrivateKey{PublicKey: public, D: new(big.Int).SetBytes(secret)}
	}}
}

func newEd25519(private ed25519.PrivateKey) *key {
	return &key{public: private.Public(), signer: func() crypto.Signer {
		return ed25519.PrivateKey(bytes.Clone(private))
	}}
}

// readAll reads a descriptor of the application's: a regular file from its
// start, whatever its offset is, anything else up to its end. It gives up when
// the other end of the draft is closed.
func readAll(fd, draft, limit int) ([]byte, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFREG {
		return readFile(fd, limit)
	}
	// One more byte tells a key of the greatest size from a longer one,
	// and one buffer for all means that no copies are left behind.
	buf := make([]byte, limit+1)
	for n := 0; n < len(buf); {
		m, err := readSome(fd, draft, buf[n:])
		if err != nil {
			clear(buf)
			return nil, err
		}
		if m == 0 {
			return buf[:n], nil
		}
		n += m
	}
	clear(buf)
	return nil, unix.EFBIG
}

func readSome(fd, draft int, p []byte) (int, error) {
	polled := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(draft)}}
	for {
		_, err := unix.Poll(polled, -1)
		if err == nil && polled[0].Revents == 0 {
			return 0, os.ErrClosed
		}
		var n int
		if err == nil {
			n, err = unix.Read(fd, p)
		}
		if err != unix.EINTR && err != unix.EAGAIN {
			return n, err
		}
	}
}

func readFile(fd, limit int) ([]byte, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	if st.Size > int64(limit) {
		return nil, unix.EFBIG
	}
	return channel.ReadFile(fd, st.Size)
}

// maxDecrypted is what a DECRYPT_KEY_REPLY has room for.
const maxDecrypted = wire.MaxMessage - 12

// decryptKey returns a private key as PKCS #8 in PEM, or a text that says why
// it is none.
func decryptKey(data, password []byte) (key []byte, text string) {
	erasing(func() {
		der, err := pkcs.Decrypt(data, password)
		if err != nil {
			// The error may quote the file.
			text = fmt.Sprintf("failed to decrypt private key: %.200s", err)
			return
		}
		key = encodeKey(der)
		clear(der)
	})
	if len(key) > maxDecrypted {
		clear(key)
		return nil, "private key is too long"
	}
	return key, text
}

// encodeKey is pem.Encode without copies that nobody can clear.
func encodeKey(der []byte) []byte {
	const (
		begin = "-----BEGIN PRIVATE KEY-----\n"
		end   = "-----END PRIVATE KEY-----\n"
		chunk = 48 // bytes in a line of 64 characters
	)
	lines := (len(der) + chunk - 1) / chunk
	size := len(begin) + base64.StdEncoding.EncodedLen(len(der)) + lines + len(end)
	out := append(make([]byte, 0, size), begin...)
	for line := range slices.Chunk(der, chunk) {
		out = base64.StdEncoding.AppendEncode(out, line)
		out = append(out, '\n')
	}
	return append(out, end...)
}

// readError names the cause as strerror(3) does.
func readError(what string, err error) string {
	text := err.Error()
	var errno syscall.Errno
	if errors.As(err, &errno) {
		r := []rune(errno.Error())
		r[0] = unicode.ToUpper(r[0])
		text = string(r)
	}
	return what + ": " + text
}
