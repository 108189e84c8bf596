// SPDX-License-Identifier: ISC

package pkcs

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"libtls-proxy/goproxy/internal/testcert"
)

func decode(t testing.TB, text string) *pem.Block {
	t.Helper()
	block, rest := pem.Decode([]byte(text))
	if block == nil || len(rest) != 0 {
		t.Fatalf("not PEM: %q", text)
	}
	return block
}

func (g golden) secret() []byte {
	if g.password == "" {
		return []byte("secret")
	}
	return []byte(g.password)
}

func (g golden) encrypted() bool { return strings.Contains(g.pem, "ENCRYPTED") }

func TestGolden(t *testing.T) {
	cert := string(testcert.New(t, testcert.Options{}).CertPEM)
	for _, g := range goldens {
		t.Run(g.name, func(t *testing.T) {
			want := decode(t, g.want).Bytes
			for _, file := range []string{g.pem, cert + g.pem + cert} {
				got, err := Decrypt([]byte(file), g.secret())
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, want) {
					t.Errorf("got %x, want %x", got, want)
				}
			}
			for _, password := range []string{"", "wrong", "secret1", "secre"} {
				got, err := Decrypt([]byte(g.pem), []byte(password))
				if g.encrypted() {
					if err == nil || got != nil {
						t.Errorf("password %q: got a key", password)
					}
				} else if err != nil || !bytes.Equal(got, want) {
					t.Errorf("password %q, of no use: %v", password, err)
				}
			}
		})
	}
}

// Every golden is a key that crypto/x509 can read, if it knows the curve.
func TestGoldenKeys(t *testing.T) {
	for name, text := range map[string]string{
		"P-256": goldenP256, "RSA": goldenRSA, "Ed25519": goldenEd25519,
	} {
		if _, err := x509.ParsePKCS8PrivateKey(decode(t, text).Bytes); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := x509.ParsePKCS8PrivateKey(decode(t, goldenK1).Bytes); err == nil {
		t.Error("crypto/x509 knows secp256k1: find another curve")
	}
}

// One wrong password in 256 decrypts to a valid padding, and is wrong still.
func TestWrongPasswords(t *testing.T) {
	for _, g := range goldens {
		n := 5
		if strings.Contains(g.name, "DEK-Info") {
			n = 600 // they are quick
		}
		for i := range n {
			password := []byte{'x', byte(i), byte(i >> 8)}
			if _, err := Decrypt([]byte(g.pem), password); g.encrypted() && err != errPassword {
				t.Fatalf("%s: password %x: got %v, want %v", g.name, password, err, errPassword)
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	p := testcert.New(t, testcert.Options{})
	header := func(lines string) string {
		return strings.Replace(goldens[0].pem, "KEY-----\n", "KEY-----\n"+lines+"\n\n", 1)
	}
	retype := func(text, typ string) string {
		b := decode(t, text)
		return string(pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: b.Bytes}))
	}
	iv := strings.Repeat("00", 16)
	for _, c := range []struct{ name, file, want string }{
		{"empty", "", "no private key"},
		{"text", "hello", "no private key"},
		{"certificate", string(p.CertPEM), "no private key"},
		{"parameters", "-----BEGIN EC PARAMETERS-----\nBgUrgQQACg==\n-----END EC PARAMETERS-----\n", "no private key"},
		{"cut off", goldenP256[:len(goldenP256)-10], "no private key"},
		{"scrypt", goldenScrypt, "unsupported key derivation 1.3.6.1.4.1.11591.4.11"},
		{"other cipher", header("Proc-Type: 4,ENCRYPTED\nDEK-Info: RC2-40-CBC," + iv), `unsupported encryption "RC2-40-CBC"`},
		{"no DEK-Info", header("Proc-Type: 4,ENCRYPTED"), `unsupported encryption ""`},
		{"no Proc-Type", header("DEK-Info: AES-128-CBC," + iv), "malformed private key"},
		{"other header", header("X-Comment: none"), "malformed private key"},
		{"clear", header("Proc-Type: 4,MIC-CLEAR\nDEK-Info: AES-128-CBC," + iv), "malformed private key"},
		{"no IV", header("Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC"), "malformed private key"},
		{"short IV", header("Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC," + iv[:16]), "malformed private key"},
		{"shorter IV", header("Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC," + iv[:14]), "malformed private key"},
		{"long IV", header("Proc-Type: 4,ENCRYPTED\nDEK-Info: DES-CBC," + iv), "malformed private key"},
		{"IV is not hex", header("Proc-Type: 4,ENCRYPTED\nDEK-Info: DES-CBC," + strings.Repeat("x", 16)), "malformed private key"},
		{"part of a block", header("Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC," + iv), "malformed private key"},
		{"RSA as EC", retype(goldenRSA, "EC PRIVATE KEY"), "malformed private key"},
		{"PKCS #8 as RSA", retype(goldenRSA, "RSA PRIVATE KEY"), "malformed private key"},
		{"EC as PKCS #8", retype(goldens[0].pem, "PRIVATE KEY"), "malformed private key"},
		{"plain as encrypted", retype(goldenRSA, "ENCRYPTED PRIVATE KEY"), "malformed private key"},
		{"nothing", "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n", "malformed private key"},
	} {
		key, err := Decrypt([]byte(c.file), []byte("secret"))
		if key != nil || err == nil || err.Error() != c.want {
			t.Errorf("%s: got %x, %v, want %q", c.name, key, err, c.want)
		}
	}
}

// Nothing of an encrypted key is overlooked either.
func TestEncryptedWhole(t *testing.T) {
	for _, g := range goldens {
		b := decode(t, g.pem)
		file := []byte(g.pem)
		switch dek := b.Headers["DEK-Info"]; {
		case b.Type == "ENCRYPTED PRIVATE KEY":
			file = pem.EncodeToMemory(&pem.Block{Type: b.Type, Bytes: append(b.Bytes, 0)})
		case dek != "":
			file = bytes.Replace(file, []byte(dek), []byte(dek+"xx"), 1)
		default:
			continue
		}
		if key, err := Decrypt(file, g.secret()); key != nil || err != errKey {
			t.Errorf("%s: got %x, %v, want %v", g.name, key, err, errKey)
		}
	}
}

// The first key of a file is the one, whatever comes after it.
func TestFirstKey(t *testing.T) {
	got, err := Decrypt([]byte(goldenK1+goldenRSA), nil)
	if err != nil || !bytes.Equal(got, decode(t, goldenK1).Bytes) {
		t.Errorf("got %x, %v", got, err)
	}
	if _, err := Decrypt([]byte(goldenScrypt+goldenRSA), nil); err == nil {
		t.Error("got the second key")
	}
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	der, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// params are those of all schemes: PBKDF2's begin in the same way.
type params struct {
	Salt       []byte
	Iterations int
}

type pbkdf2Params struct {
	Salt       []byte
	Iterations int
	KeySize    int                      `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
}

func identifier(t testing.TB, oid asn1.ObjectIdentifier, parameters any) pkix.AlgorithmIdentifier {
	t.Helper()
	return pkix.AlgorithmIdentifier{
		Algorithm:  oid,
		Parameters: asn1.RawValue{FullBytes: marshal(t, parameters)},
	}
}

func encryptedPEM(t testing.TB, a pkix.AlgorithmIdentifier) []byte {
	t.Helper()
	return pem.EncodeToMemory(&pem.Block{
		Type:  "ENCRYPTED PRIVATE KEY",
		Bytes: marshal(t, encryptedKey{a, make([]byte, 64)}),
	})
}

func pbes2(t testing.TB, kdf, iv any) pkix.AlgorithmIdentifier {
	t.Helper()
	return identifier(t, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}, []pkix.AlgorithmIdentifier{
		identifier(t, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}, kdf),
		identifier(t, asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}, iv),
	})
}

func TestWorkIsBounded(t *testing.T) {
	for _, c := range []struct {
		name       string
		salt       int
		iterations int
		refused    bool
	}{
		{"usual", 16, 100, false},
		{"no salt", 0, 1, false},
		{"most salt", maxSalt, 1, false},
		{"too much salt", maxSalt + 1, 1, true},
		{"too many iterations", 8, maxIterations + 1, true},
		{"far too many iterations", 8, 1<<62 - 1, true},
		{"no iterations", 8, 0, true},
		{"negative iterations", 8, -1, true},
	} {
		p := params{make([]byte, c.salt), c.iterations}
		for name, a := range map[string]pkix.AlgorithmIdentifier{
			"PKCS #5":  identifier(t, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 3}, p),
			"PKCS #12": identifier(t, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 1, 3}, p),
			"PBES2":    pbes2(t, p, make([]byte, 16)),
		} {
			_, err := Decrypt(encryptedPEM(t, a), []byte("pässword"))
			if err == nil {
				t.Fatalf("%s, %s: got a key from zeros", name, c.name)
			}
			if refused := strings.HasPrefix(err.Error(), "unreasonable"); refused != c.refused {
				t.Errorf("%s, %s: %v, want refused %v", name, c.name, err, c.refused)
			}
		}
	}
}

func TestParameters(t *testing.T) {
	sha256 := asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}
	iv := make([]byte, 16)
	for _, c := range []struct {
		name string
		a    pkix.AlgorithmIdentifier
		want string
	}{
		{"key size", pbes2(t, pbkdf2Params{iv, 1, 32, identifier(t, sha256, asn1.NullRawValue)}, iv), errPassword.Error()},
		{"wrong key size", pbes2(t, pbkdf2Params{iv, 1, 16, identifier(t, sha256, asn1.NullRawValue)}, iv), errKey.Error()},
		{"PRF without NULL", pbes2(t, pbkdf2Params{iv, 1, 0, pkix.AlgorithmIdentifier{Algorithm: sha256}}, iv), errPassword.Error()},
		{"unknown PRF", pbes2(t, pbkdf2Params{iv, 1, 0, pkix.AlgorithmIdentifier{Algorithm: oidRSA}}, iv), "unsupported pseudorandom function 1.2.840.113549.1.1.1"},
		{"short IV", pbes2(t, params{iv, 1}, iv[1:]), errKey.Error()},
		{"IV is no string", pbes2(t, params{iv, 1}, 16), errKey.Error()},
		{"unknown scheme", identifier(t, oidRSA, params{iv, 1}), "unsupported encryption 1.2.840.113549.1.1.1"},
		{"no parameters", pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 3}}, errKey.Error()},
		{"unknown cipher", identifier(t, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}, []pkix.AlgorithmIdentifier{
			identifier(t, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}, params{iv, 1}),
			identifier(t, oidRSA, iv),
		}), "unsupported encryption 1.2.840.113549.1.1.1"},
	} {
		_, err := Decrypt(encryptedPEM(t, c.a), []byte("secret"))
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

// A key is taken whole or not at all.
func TestStructure(t *testing.T) {
	type block struct {
		typ string
		der []byte
	}
	blocks := []block{{"PRIVATE KEY", decode(t, goldenEd25519).Bytes}}
	for _, g := range goldens {
		if !g.encrypted() {
			b := decode(t, g.pem)
			blocks = append(blocks, block{b.Type, b.Bytes})
		}
	}
	try := func(typ string, der []byte) error {
		_, err := Decrypt(pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der}), nil)
		return err
	}
	for _, b := range blocks {
		if err := try(b.typ, b.der); err != nil {
			t.Errorf("%s: %v", b.typ, err)
		}
		for n := range len(b.der) {
			if try(b.typ, b.der[:n]) == nil {
				t.Errorf("%s: %d bytes of %d are a key", b.typ, n, len(b.der))
			}
		}
		if try(b.typ, append(bytes.Clone(b.der), 0)) == nil {
			t.Errorf("%s: a byte behind it is overlooked", b.typ)
		}
	}

	raw := func(s string) asn1.RawValue {
		der, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		return asn1.RawValue{FullBytes: der}
	}
	ints := func(n int, first string) []asn1.RawValue {
		l := []asn1.RawValue{raw(first)}
		for len(l) < n {
			l = append(l, raw("020105"))
		}
		return l
	}
	const (
		zero, one = "020100", "020101"
		unknown   = "300706052b81040079"
		key       = "040101"
		curve     = "a0070605 2b8104000a"
		public    = "a10403020001"
		rsa       = "300d06092a864886f70d0101010500"
		ec        = "301006072a8648ce3d020106052b8104000a"
	)
	list := func(s ...string) []asn1.RawValue {
		var l []asn1.RawValue
		for _, e := range s {
			l = append(l, raw(e))
		}
		return l
	}
	for _, c := range []struct {
		name, typ string
		elements  []asn1.RawValue
		want      bool
	}{
		{"RSA", "RSA PRIVATE KEY", ints(9, zero), true},
		{"RSA of three primes", "RSA PRIVATE KEY", append(ints(9, one), raw("3000")), false},
		{"RSA, version 1", "RSA PRIVATE KEY", ints(9, one), false},
		{"RSA, 8 numbers", "RSA PRIVATE KEY", ints(8, zero), false},
		{"RSA, 10 numbers", "RSA PRIVATE KEY", ints(10, zero), false},
		{"RSA, a string", "RSA PRIVATE KEY", append(ints(8, zero), raw(key)), false},
		{"RSA, a number of another class", "RSA PRIVATE KEY", append(ints(8, zero), raw("820105")), false},
		{"RSA, a number in parts", "RSA PRIVATE KEY", append(ints(8, zero), raw("2203020105")), false},
		{"RSA, no digits", "RSA PRIVATE KEY", append(ints(8, zero), raw("0200")), false},
		{"EC", "EC PRIVATE KEY", list(one, key, curve, public), true},
		{"EC, no public key", "EC PRIVATE KEY", list(one, key, curve), true},
		{"EC, no curve", "EC PRIVATE KEY", list(one, key, public), false},
		{"EC, nothing optional", "EC PRIVATE KEY", list(one, key), false},
		{"EC, wrong order", "EC PRIVATE KEY", list(one, key, public, curve), false},
		{"EC, two curves", "EC PRIVATE KEY", list(one, key, curve, curve), false},
		{"EC, curve is a number", "EC PRIVATE KEY", list(one, key, "a003 020101"), false},
		{"EC, curve and more", "EC PRIVATE KEY", list(one, key, "a009 06052b8104000a 0500"), false},
		{"EC, empty curve", "EC PRIVATE KEY", list(one, key, "a000"), false},
		{"EC, version 0", "EC PRIVATE KEY", list(zero, key, curve), false},
		{"EC, key is a number", "EC PRIVATE KEY", list(one, one, curve), false},
		{"EC, no key", "EC PRIVATE KEY", list(one), false},
		{"other", "PRIVATE KEY", list(zero, unknown, key), true},
		{"other, version 1", "PRIVATE KEY", list(one, unknown, key), true},
		{"other, version 2", "PRIVATE KEY", list("020102", unknown, key), false},
		{"other, attributes", "PRIVATE KEY", list(zero, unknown, key, "a000"), true},
		{"other, public key", "PRIVATE KEY", list(one, unknown, key, "810100"), true},
		{"other, both", "PRIVATE KEY", list(one, unknown, key, "a000", "810100"), true},
		{"other, wrong order", "PRIVATE KEY", list(one, unknown, key, "810100", "a000"), false},
		{"other, another class", "PRIVATE KEY", list(zero, unknown, key, "6000"), false},
		{"other, something else", "PRIVATE KEY", list(one, unknown, key, "a200"), false},
		{"other, no key", "PRIVATE KEY", list(zero, unknown), false},
		{"other, key is a number", "PRIVATE KEY", list(zero, unknown, one), false},
		{"empty algorithm", "PRIVATE KEY", list(zero, "3000", key), false},
		{"algorithm is a number", "PRIVATE KEY", list(zero, "3003020101", key), false},
		{"RSA, not an RSA key", "PRIVATE KEY", list(zero, rsa, key), false},
		{"EC, not an EC key", "PRIVATE KEY", list(zero, ec, key), false},
	} {
		der := marshal(t, c.elements)
		if err := try(c.typ, der); (err == nil) != c.want {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
		// A set is no sequence.
		der[0] = 0x31
		if try(c.typ, der) == nil {
			t.Errorf("%s: a set is a key", c.name)
		}
	}
}

func TestPadding(t *testing.T) {
	b, err := aes.NewCipher(make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	iv := make([]byte, 16)
	for _, c := range []struct {
		plain, want string
		err         error
	}{
		{"fifteen bytes..\x01", "fifteen bytes..", nil},
		{"thirteen byte\x03\x03\x03", "thirteen byte", nil},
		{strings.Repeat("\x10", 16), "", nil},
		{"sixteen bytes..." + strings.Repeat("\x10", 16), "sixteen bytes...", nil},
		{"fifteen bytes..\x00", "", errPassword},
		{"thirteen byte\x02\x03\x03", "", errPassword},
		{strings.Repeat("\x11", 32), "", errPassword},
		{strings.Repeat("\x20", 32), "", errPassword},
		{strings.Repeat("\xff", 512), "", errPassword},
		{"", "", errKey},
	} {
		data := []byte(c.plain)
		cipher.NewCBCEncrypter(b, iv).CryptBlocks(data, data)
		got, err := decryptCBC(aes.NewCipher, make([]byte, 16), iv, data)
		if err != c.err || string(got) != c.want {
			t.Errorf("%q: got %q, %v, want %q, %v", c.plain, got, err, c.want, c.err)
		}
	}
}

func TestPKCS12Passwords(t *testing.T) {
	for password, want := range map[string][]string{
		"":         {"\x00\x00"},
		"ab":       {"\x00a\x00b\x00\x00"},
		"\xe4\xff": {"\x00\xe4\x00\xff\x00\x00"},
		"ä€":       {"\x00\xe4\x20\xac\x00\x00", "\x00\xc3\x00\xa4\x00\xe2\x00\x82\x00\xac\x00\x00"},
		"𝄞":        {"\xd8\x34\xdd\x1e\x00\x00", "\x00\xf0\x00\x9d\x00\x84\x00\x9e\x00\x00"},
	} {
		var got []string
		for _, p := range pkcs12Passwords([]byte(password)) {
			got = append(got, string(p))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", password, got, want)
		}
	}
}

// RFC 2268, section 5, those with as many effective bits as the key has.
func TestRC2(t *testing.T) {
	for _, c := range []struct{ key, plain, cipher string }{
		{"ffffffffffffffff", "ffffffffffffffff", "278b27e42e2f0d49"},
		{"3000000000000000", "1000000000000001", "30649edf9be7d2c2"},
		{"88bca90e90875a7f0f79c384627bafb2", "0000000000000000", "2269552ab0f85ca6"},
	} {
		key, _ := hex.DecodeString(c.key)
		text, _ := hex.DecodeString(c.cipher)
		b, err := newRC2(key)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 8)
		b.Decrypt(got, text)
		if hex.EncodeToString(got) != c.plain {
			t.Errorf("key %s: got %x, want %s", c.key, got, c.plain)
		}
	}
	for _, n := range []int{0, 129} {
		if _, err := newRC2(make([]byte, n)); err == nil {
			t.Errorf("a key of %d bytes is accepted", n)
		}
	}
}

// openssl runs the tool in dir and skips the test where it cannot do that.
func openssl(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("openssl", args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestOpenSSL(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("no openssl")
	}
	kinds := map[string][]string{
		"rsa":       {"genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"},
		"p384":      {"genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"},
		"secp256k1": {"genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"},
		"explicit": {"genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:brainpoolP256r1",
			"-pkeyopt", "ec_param_enc:explicit"},
	}
	schemes := map[string][]string{
		"plain PKCS8":       {"pkcs8", "-topk8", "-nocrypt"},
		"plain traditional": {"pkey", "-traditional"},
	}
	for _, c := range []string{"des", "des3", "aes128", "aes192", "aes256"} {
		schemes["traditional "+c] = []string{"pkey", "-traditional", "-" + c}
		schemes["PBES2 "+c] = []string{"pkcs8", "-topk8", "-v2", c}
	}
	for _, prf := range []string{"hmacWithSHA1", "hmacWithSHA224", "hmacWithSHA256", "hmacWithSHA384", "hmacWithSHA512"} {
		schemes["PBES2 "+prf] = []string{"pkcs8", "-topk8", "-v2", "aes-256-cbc", "-v2prf", prf, "-iter", "1000"}
	}
	for _, v1 := range []string{
		"PBE-MD5-DES", "PBE-MD5-RC2-64", "PBE-SHA1-DES", "PBE-SHA1-RC2-64", "PBE-SHA1-RC4-128",
		"PBE-SHA1-RC4-40", "PBE-SHA1-3DES", "PBE-SHA1-2DES", "PBE-SHA1-RC2-128", "PBE-SHA1-RC2-40",
	} {
		schemes[v1] = []string{"pkcs8", "-topk8", "-v1", v1}
	}
	passwords := []string{"1234", strings.Repeat("longer than a block ", 8), "Ünïcödé 𝄞"}
	for kind, gen := range kinds {
		t.Run(kind, func(t *testing.T) {
			dir := t.TempDir()
			openssl(t, dir, append(gen, "-out", "key.pem")...)
			openssl(t, dir, "pkcs8", "-topk8", "-nocrypt", "-in", "key.pem", "-outform", "DER", "-out", "key.der")
			want, err := os.ReadFile(filepath.Join(dir, "key.der"))
			if err != nil {
				t.Fatal(err)
			}
			for name, scheme := range schemes {
				t.Run(name, func(t *testing.T) {
					for i, password := range passwords {
						if i != 0 && kind != "p384" {
							break
						}
						args := append(scheme, "-in", "key.pem", "-out", "out.pem",
							"-passout", "pass:"+password, "-provider", "legacy", "-provider", "default")
						openssl(t, dir, args...)
						file, err := os.ReadFile(filepath.Join(dir, "out.pem"))
						if err != nil {
							t.Fatal(err)
						}
						if got, err := Decrypt(file, []byte(password)); err != nil || !bytes.Equal(got, want) {
							t.Errorf("%s\n%sgot %x, %v\nwant %x", args, file, got, err, want)
						}
						if strings.Contains(string(file), "ENCRYPTED") {
							if _, err := Decrypt(file, []byte("not "+password)); err == nil {
								t.Error("any password will do")
							}
						}
					}
				})
			}
		})
	}
}

func FuzzDecrypt(f *testing.F) {
	for _, g := range goldens {
		f.Add([]byte(g.pem), g.secret())
	}
	f.Add([]byte(goldenScrypt), []byte("secret"))
	f.Fuzz(func(t *testing.T, file, password []byte) {
		key, err := Decrypt(file, password)
		if (key == nil) != (err != nil) {
			t.Fatalf("got %x, %v", key, err)
		}
		if err != nil {
			return
		}
		// What was returned is a key, and stays what it is.
		again, err := Decrypt(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), nil)
		if err != nil || !bytes.Equal(again, key) {
			t.Fatalf("%x became %x, %v", key, again, err)
		}
	})
}
