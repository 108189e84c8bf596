// SPDX-License-Identifier: ISC

package pkcs

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/md5"
	"crypto/pbkdf2"
	"crypto/rc4"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"hash"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Whoever writes a key says how much work it is to read it. Ten million rounds
// take some seconds.
const (
	maxIterations = 10_000_000
	maxSalt       = 1024
)

const oidPBES2 = "1.2.840.113549.1.5.13"

type blockCipher struct {
	keySize int
	new     func(key []byte) (cipher.Block, error)
}

var (
	desCBC  = blockCipher{8, des.NewCipher}
	des3CBC = blockCipher{24, des.NewTripleDESCipher}
	aes128  = blockCipher{16, aes.NewCipher}
	aes192  = blockCipher{24, aes.NewCipher}
	aes256  = blockCipher{32, aes.NewCipher}
)

// The names that follow DEK-Info.
var traditionalCiphers = map[string]blockCipher{
	"DES-CBC":      desCBC,
	"DES-EDE3-CBC": des3CBC,
	"AES-128-CBC":  aes128,
	"AES-192-CBC":  aes192,
	"AES-256-CBC":  aes256,
}

var pbes2Ciphers = map[string]blockCipher{
	"1.3.14.3.2.7":            desCBC,
	"1.2.840.113549.3.7":      des3CBC,
	"2.16.840.1.101.3.4.1.2":  aes128,
	"2.16.840.1.101.3.4.1.22": aes192,
	"2.16.840.1.101.3.4.1.42": aes256,
}

const (
	oidPBKDF2   = "1.2.840.113549.1.5.12"
	oidHMACSHA1 = "1.2.840.113549.2.7"
)

var pbkdf2Hashes = map[string]func() hash.Hash{
	oidHMACSHA1:           sha1.New,
	"1.2.840.113549.2.8":  sha256.New224,
	"1.2.840.113549.2.9":  sha256.New,
	"1.2.840.113549.2.10": sha512.New384,
	"1.2.840.113549.2.11": sha512.New,
}

// A pbe1 is one of the schemes where a single identifier names everything.
type pbe1 struct {
	kdf     func(password, salt []byte, iterations, keySize int) (key, iv []byte)
	keySize int
	decrypt func(key, iv, data []byte) ([]byte, error)
}

var pbe1Schemes = map[string]pbe1{
	// PKCS #5 version 1.5.
	"1.2.840.113549.1.5.3":  {pbkdf1(md5.New), 8, cbc(des.NewCipher)},
	"1.2.840.113549.1.5.6":  {pbkdf1(md5.New), 8, cbc(newRC2)},
	"1.2.840.113549.1.5.10": {pbkdf1(sha1.New), 8, cbc(des.NewCipher)},
	"1.2.840.113549.1.5.11": {pbkdf1(sha1.New), 8, cbc(newRC2)},
	// PKCS #12.
	"1.2.840.113549.1.12.1.1": {pkcs12KeyIV, 16, stream},
	"1.2.840.113549.1.12.1.2": {pkcs12KeyIV, 5, stream},
	"1.2.840.113549.1.12.1.3": {pkcs12KeyIV, 24, cbc(des.NewTripleDESCipher)},
	"1.2.840.113549.1.12.1.4": {pkcs12KeyIV, 16, cbc(newTwoKeyDES)},
	"1.2.840.113549.1.12.1.5": {pkcs12KeyIV, 16, cbc(newRC2)},
	"1.2.840.113549.1.12.1.6": {pkcs12KeyIV, 5, cbc(newRC2)},
}

// oidPKCS12 is the arc of the schemes that take a password in UTF-16.
const oidPKCS12 = "1.2.840.113549.1.12.1."

// decryptTraditional opens a block that is encrypted by RFC 1421's rules and
// OpenSSL's key derivation.
func decryptTraditional(block *pem.Block, password []byte) ([]byte, error) {
	if block.Headers["Proc-Type"] != "4,ENCRYPTED" {
		return nil, errKey
	}
	name, text, _ := strings.Cut(block.Headers["DEK-Info"], ",")
	c, ok := traditionalCiphers[name]
	if !ok {
		return nil, fmt.Errorf("unsupported encryption %q", name)
	}
	iv, err := hex.DecodeString(text)
	if err != nil || len(iv) < 8 {
		return nil, errKey
	}
	key := bytesToKey(password, iv[:8], c.keySize)
	defer clear(key)
	return decryptCBC(c.new, key, iv, block.Bytes)
}

// bytesToKey is OpenSSL's EVP_BytesToKey with MD5 and one round.
func bytesToKey(password, salt []byte, size int) []byte {
	key := make([]byte, 0, size+md5.Size)
	h := md5.New()
	for len(key) < size {
		if len(key) != 0 {
			h.Reset()
			h.Write(key[len(key)-md5.Size:])
		}
		h.Write(password)
		h.Write(salt)
		key = h.Sum(key)
	}
	return key[:size]
}

type encryptedKey struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

// decryptPKCS8 opens an EncryptedPrivateKeyInfo.
func decryptPKCS8(der, password []byte) ([]byte, error) {
	var e encryptedKey
	if !unmarshal(der, &e) {
		return nil, errKey
	}
	oid := e.Algorithm.Algorithm.String()
	parameters := e.Algorithm.Parameters.FullBytes
	if oid == oidPBES2 {
		return decryptPBES2(parameters, password, e.Data)
	}
	scheme, ok := pbe1Schemes[oid]
	if !ok {
		return nil, fmt.Errorf("unsupported encryption %s", oid)
	}
	if !strings.HasPrefix(oid, oidPKCS12) {
		return scheme.open(parameters, password, e.Data)
	}
	var key []byte
	err := errPassword
	for _, p := range pkcs12Passwords(password) {
		if err != nil {
			key, err = scheme.open(parameters, p, e.Data)
		}
		clear(p)
	}
	return key, err
}

func (s pbe1) open(parameters, password, data []byte) ([]byte, error) {
	var p struct {
		Salt       []byte
		Iterations int
	}
	if !unmarshal(parameters, &p) {
		return nil, errKey
	}
	if err := checkWork(p.Salt, p.Iterations); err != nil {
		return nil, err
	}
	key, iv := s.kdf(password, p.Salt, p.Iterations, s.keySize)
	defer clear(key)
	defer clear(iv)
	return checked(s.decrypt(key, iv, data))
}

func decryptPBES2(parameters, password, data []byte) ([]byte, error) {
	var p struct {
		KDF, Cipher pkix.AlgorithmIdentifier
	}
	if !unmarshal(parameters, &p) {
		return nil, errKey
	}
	if oid := p.KDF.Algorithm.String(); oid != oidPBKDF2 {
		return nil, fmt.Errorf("unsupported key derivation %s", oid)
	}
	oid := p.Cipher.Algorithm.String()
	c, ok := pbes2Ciphers[oid]
	if !ok {
		return nil, fmt.Errorf("unsupported encryption %s", oid)
	}
	var iv []byte
	if !unmarshal(p.Cipher.Parameters.FullBytes, &iv) {
		return nil, errKey
	}
	key, err := pbkdf2Key(p.KDF.Parameters.FullBytes, password, c.keySize)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	return checked(decryptCBC(c.new, key, iv, data))
}

func pbkdf2Key(parameters, password []byte, size int) ([]byte, error) {
	var p struct {
		Salt       []byte
		Iterations int
		KeySize    int                      `asn1:"optional"`
		PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
	}
	if !unmarshal(parameters, &p) || p.KeySize != 0 && p.KeySize != size {
		return nil, errKey
	}
	if err := checkWork(p.Salt, p.Iterations); err != nil {
		return nil, err
	}
	oid := oidHMACSHA1
	if p.PRF.Algorithm != nil {
		oid = p.PRF.Algorithm.String()
	}
	h, ok := pbkdf2Hashes[oid]
	if !ok {
		return nil, fmt.Errorf("unsupported pseudorandom function %s", oid)
	}
	// A string cannot be cleared, but neither can what HMAC makes of it.
	return pbkdf2.Key(h, string(password), p.Salt, p.Iterations, size)
}

func checkWork(salt []byte, iterations int) error {
	if iterations < 1 || iterations > maxIterations || len(salt) > maxSalt {
		return fmt.Errorf("unreasonable key derivation: %d iterations, %d bytes of salt",
			iterations, len(salt))
	}
	return nil
}

// unmarshal reports whether der is a value and nothing else.
func unmarshal(der []byte, value any) bool {
	rest, err := asn1.Unmarshal(der, value)
	return err == nil && len(rest) == 0
}

// checked passes on what looks like a key. One wrong password in 256 gives a
// valid padding.
func checked(key []byte, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	if !isPKCS8(key) {
		clear(key)
		return nil, errPassword
	}
	return key, nil
}

func cbc(n func([]byte) (cipher.Block, error)) func(key, iv, data []byte) ([]byte, error) {
	return func(key, iv, data []byte) ([]byte, error) {
		return decryptCBC(n, key, iv, data)
	}
}

func decryptCBC(n func([]byte) (cipher.Block, error), key, iv, data []byte) ([]byte, error) {
	b, err := n(key)
	if err != nil {
		return nil, err
	}
	size := b.BlockSize()
	if len(iv) != size || len(data) == 0 || len(data)%size != 0 {
		return nil, errKey
	}
	plain := make([]byte, len(data))
	cipher.NewCBCDecrypter(b, iv).CryptBlocks(plain, data)
	end := len(plain) - int(plain[len(plain)-1])
	if end < len(plain)-size || end == len(plain) {
		clear(plain)
		return nil, errPassword
	}
	for _, c := range plain[end:] {
		if int(c) != len(plain)-end {
			clear(plain)
			return nil, errPassword
		}
	}
	return plain[:end], nil
}

// stream is RC4, which has no use for an IV.
func stream(key, _, data []byte) ([]byte, error) {
	c, err := rc4.NewCipher(key)
	if err != nil {
		return nil, err
	}
	plain := make([]byte, len(data))
	c.XORKeyStream(plain, data)
	return plain, nil
}

func newTwoKeyDES(key []byte) (cipher.Block, error) {
	three := append(append(make([]byte, 0, 24), key...), key[:8]...)
	defer clear(three)
	return des.NewTripleDESCipher(three)
}

// pbkdf1 is PKCS #5's first derivation function, as its schemes use it.
func pbkdf1(newHash func() hash.Hash) func(password, salt []byte, iterations, keySize int) (key, iv []byte) {
	return func(password, salt []byte, iterations, keySize int) (key, iv []byte) {
		h := newHash()
		h.Write(password)
		h.Write(salt)
		t := h.Sum(nil)
		for range iterations - 1 {
			h.Reset()
			h.Write(t)
			t = h.Sum(t[:0])
		}
		return t[:keySize], t[keySize : keySize+8]
	}
}

func pkcs12KeyIV(password, salt []byte, iterations, keySize int) (key, iv []byte) {
	return pkcs12KDF(password, salt, iterations, 1, keySize), pkcs12KDF(password, salt, iterations, 2, 8)
}

// pkcs12KDF is RFC 7292, appendix B.2, with SHA-1.
func pkcs12KDF(password, salt []byte, iterations int, id byte, size int) []byte {
	const v = sha1.BlockSize
	var diversifier [v]byte
	for i := range diversifier {
		diversifier[i] = id
	}
	input := append(fill(salt, v), fill(password, v)...)
	defer clear(input)
	key := make([]byte, 0, size+sha1.Size)
	h := sha1.New()
	for {
		h.Reset()
		h.Write(diversifier[:])
		h.Write(input)
		start := len(key)
		key = h.Sum(key)
		a := key[start:]
		for range iterations - 1 {
			h.Reset()
			h.Write(a)
			h.Sum(a[:0])
		}
		if len(key) >= size {
			return key[:size]
		}
		// Each block of the input grows by this one and by 1.
		for block := input; len(block) != 0; block = block[v:] {
			carry := 1
			for i := v - 1; i >= 0; i-- {
				carry += int(block[i]) + int(a[i%len(a)])
				block[i] = byte(carry)
				carry >>= 8
			}
		}
	}
}

// fill repeats b up to a multiple of v bytes.
func fill(b []byte, v int) []byte {
	n := (len(b) + v - 1) / v * v
	out := make([]byte, n)
	for i := range out {
		out[i] = b[i%len(b)]
	}
	return out
}

// pkcs12Passwords encodes a password for PKCS #12, in each way that it may
// have been done: the standard wants UTF-16, LibreSSL widens every byte.
func pkcs12Passwords(password []byte) [][]byte {
	wide := make([]byte, 0, 2*len(password)+2)
	ascii := true
	for _, b := range password {
		wide = append(wide, 0, b)
		ascii = ascii && b < utf8.RuneSelf
	}
	wide = append(wide, 0, 0)
	if ascii || !utf8.Valid(password) {
		return [][]byte{wide}
	}
	standard := make([]byte, 0, 2*len(password)+2)
	for rest := password; len(rest) != 0; {
		r, n := utf8.DecodeRune(rest)
		rest = rest[n:]
		var units [2]uint16
		for _, u := range utf16.AppendRune(units[:0], r) {
			standard = append(standard, byte(u>>8), byte(u))
		}
	}
	return [][]byte{append(standard, 0, 0), wide}
}
