// SPDX-License-Identifier: ISC

package tlsconf

import (
	"crypto"
	"crypto/rsa"
	"crypto/tls"
	"encoding/binary"
	"slices"
)

// VersionName is tls_conn_version(3)'s name of a version.
func VersionName(version uint16) string {
	if version == tls.VersionTLS13 {
		return "TLSv1.3"
	}
	return "TLSv1.2"
}

// An auth is what a suite wants the server's key to be and to do.
type auth int

const (
	authAny     auth = iota // of TLS 1.3
	authRSA                 // sign
	authECDSA               // sign
	authDecrypt             // RSA, and decrypt
)

type cipher struct {
	name     string
	strength uint32
	auth     auth
}

var ciphers = map[uint16]cipher{
	tls.TLS_AES_128_GCM_SHA256:                        {"TLS_AES_128_GCM_SHA256", 128, authAny},
	tls.TLS_AES_256_GCM_SHA384:                        {"TLS_AES_256_GCM_SHA384", 256, authAny},
	tls.TLS_CHACHA20_POLY1305_SHA256:                  {"TLS_CHACHA20_POLY1305_SHA256", 256, authAny},
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:         {"ECDHE-RSA-AES128-GCM-SHA256", 128, authRSA},
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256:       {"ECDHE-ECDSA-AES128-GCM-SHA256", 128, authECDSA},
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384:         {"ECDHE-RSA-AES256-GCM-SHA384", 256, authRSA},
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384:       {"ECDHE-ECDSA-AES256-GCM-SHA384", 256, authECDSA},
	tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256:   {"ECDHE-RSA-CHACHA20-POLY1305", 256, authRSA},
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: {"ECDHE-ECDSA-CHACHA20-POLY1305", 256, authECDSA},
	tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA:            {"ECDHE-RSA-AES128-SHA", 128, authRSA},
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA:          {"ECDHE-ECDSA-AES128-SHA", 128, authECDSA},
	tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA:            {"ECDHE-RSA-AES256-SHA", 256, authRSA},
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA:          {"ECDHE-ECDSA-AES256-SHA", 256, authECDSA},
	tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256:         {"ECDHE-RSA-AES128-SHA256", 128, authRSA},
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256:       {"ECDHE-ECDSA-AES128-SHA256", 128, authECDSA},
	tls.TLS_RSA_WITH_AES_128_GCM_SHA256:               {"AES128-GCM-SHA256", 128, authDecrypt},
	tls.TLS_RSA_WITH_AES_256_GCM_SHA384:               {"AES256-GCM-SHA384", 256, authDecrypt},
	tls.TLS_RSA_WITH_AES_128_CBC_SHA:                  {"AES128-SHA", 128, authDecrypt},
	tls.TLS_RSA_WITH_AES_256_CBC_SHA:                  {"AES256-SHA", 256, authDecrypt},
	tls.TLS_RSA_WITH_AES_128_CBC_SHA256:               {"AES128-SHA256", 128, authDecrypt},
	tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA:           {"ECDHE-RSA-DES-CBC3-SHA", 112, authRSA},
	tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA:                 {"DES-CBC3-SHA", 112, authDecrypt},
	tls.TLS_ECDHE_RSA_WITH_RC4_128_SHA:                {"ECDHE-RSA-RC4-SHA", 128, authRSA},
	tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA:              {"ECDHE-ECDSA-RC4-SHA", 128, authECDSA},
	tls.TLS_RSA_WITH_RC4_128_SHA:                      {"RC4-SHA", 128, authDecrypt},
}

// CipherName is tls_conn_cipher(3)'s name of a suite, and
// tls_conn_cipher_strength(3)'s number.
func CipherName(suite uint16) (string, uint32) {
	c := ciphers[suite]
	return c.name, c.strength
}

// Decrypts reports whether a suite of TLS 1.2 has the server decrypt with its
// key, instead of signing.
func Decrypts(suite uint16) bool { return ciphers[suite].auth == authDecrypt }

// parseCiphers returns what crypto/tls has of the list, the preferred first:
// the suites of TLS 1.2, and whether there is one of TLS 1.3, where it does
// not let us choose. A server cannot decrypt, as the keeper only signs.
func parseCiphers(list []byte, server bool) (tls12 []uint16, tls13 bool) {
	tls12 = []uint16{} // nil would mean the default
	for ; len(list) > 1; list = list[2:] {
		id := binary.BigEndian.Uint16(list)
		c, ok := ciphers[id]
		switch {
		case !ok, server && c.auth == authDecrypt, slices.Contains(tls12, id):
		case c.auth == authAny:
			tls13 = true
		default:
			tls12 = append(tls12, id)
		}
	}
	return tls12, tls13
}

// groups are those that crypto/tls has, and whether TLS 1.2 has them, too.
var groups = map[tls.CurveID]bool{
	tls.X25519:             true,
	tls.CurveP256:          true,
	tls.CurveP384:          true,
	tls.CurveP521:          true,
	tls.X25519MLKEM768:     false,
	tls.SecP256r1MLKEM768:  false,
	tls.SecP384r1MLKEM1024: false,
}

func parseGroups(list []byte, version uint16) []tls.CurveID {
	var known []tls.CurveID
	for ; len(list) > 1; list = list[2:] {
		id := tls.CurveID(binary.BigEndian.Uint16(list))
		if tls12, ok := groups[id]; ok && (tls12 || version == tls.VersionTLS13) {
			known = append(known, id)
		}
	}
	return known
}

// pick returns the suite for a client of TLS 1.2, or none: the first of the
// one's list that is on the other's and fits the key. crypto/tls has an order
// of its own.
func (c *Config) pick(offered []uint16, public crypto.PublicKey) []uint16 {
	want := authECDSA
	if _, ok := public.(*rsa.PublicKey); ok {
		want = authRSA
	}
	first, second := c.ciphers, offered
	if c.preferClient {
		first, second = offered, c.ciphers
	}
	for _, id := range first {
		if ciphers[id].auth == want && slices.Contains(second, id) {
			return []uint16{id}
		}
	}
	return []uint16{}
}
