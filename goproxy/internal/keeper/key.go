// SPDX-License-Identifier: ISC

package keeper

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
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
	private crypto.Signer
	err     error
}

func (k *key) matches(public crypto.PublicKey) bool {
	p, ok := k.private.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && p.Equal(public)
}

// parseKey reads a private key in PEM.
func parseKey(data []byte) *key {
	for {
		var block *pem.Block
		block, data = pem.Decode(data)
		if block == nil {
			return &key{err: errReadKey}
		}
		k := parseBlock(block)
		clear(block.Bytes)
		if k != nil {
			return k
		}
	}
}

// parseBlock returns nil for a block that is not a key, such as the
// parameters before an elliptic curve's or a certificate in the same file.
func parseBlock(block *pem.Block) *key {
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
	switch parsed.(type) {
	case *rsa.PrivateKey, *ecdsa.PrivateKey, ed25519.PrivateKey:
		private := parsed.(crypto.Signer)
		if tlsconf.SupportedKey(private.Public()) {
			return &key{private: private}
		}
	}
	return &key{err: errLoadKey}
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
	der, err := pkcs.Decrypt(data, password)
	if err != nil {
		// The error may quote the file.
		return nil, fmt.Sprintf("failed to decrypt private key: %.200s", err)
	}
	defer clear(der)
	key = encodeKey(der)
	if len(key) > maxDecrypted {
		clear(key)
		return nil, "private key is too long"
	}
	return key, ""
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
