// SPDX-License-Identifier: ISC

package tlsconf

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"libtls-proxy/goproxy/internal/testcert"
	"libtls-proxy/goproxy/internal/wire"
)

// list encodes suites, by name, or groups.
func list(t testing.TB, names string) []byte {
	t.Helper()
	b := []byte{}
	for _, name := range strings.Fields(names) {
		id, ok := uint16(0x0039), name == "DHE-RSA-AES256-SHA"
		for n, c := range ciphers {
			if c.name == name {
				id, ok = n, true
			}
		}
		if !ok {
			t.Fatalf("no suite %s", name)
		}
		b = binary.BigEndian.AppendUint16(b, id)
	}
	return b
}

func groupList(ids ...tls.CurveID) []byte {
	b := []byte{}
	for _, id := range ids {
		b = binary.BigEndian.AppendUint16(b, uint16(id))
	}
	return b
}

// Every suite that crypto/tls has is there, with OpenSSL's name.
func TestCipherNames(t *testing.T) {
	all := slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites())
	if len(ciphers) != len(all) {
		t.Errorf("%d suites of %d", len(ciphers), len(all))
	}
	names := make(map[string]bool)
	for _, suite := range all {
		c, ok := ciphers[suite.ID]
		if !ok || names[c.name] {
			t.Errorf("%s: %q", suite.Name, c.name)
		}
		names[c.name] = true
		want := authDecrypt
		switch {
		case suite.SupportedVersions[0] == tls.VersionTLS13:
			want = authAny
		case strings.Contains(suite.Name, "ECDHE_RSA"):
			want = authRSA
		case strings.Contains(suite.Name, "ECDHE_ECDSA"):
			want = authECDSA
		}
		if c.auth != want {
			t.Errorf("%s: %v", suite.Name, c.auth)
		}
		strength := uint32(128)
		switch {
		case strings.Contains(suite.Name, "3DES"):
			strength = 112
		case strings.Contains(suite.Name, "256_GCM"), strings.Contains(suite.Name, "256_CBC"), strings.Contains(suite.Name, "CHACHA"):
			strength = 256
		}
		if c.strength != strength {
			t.Errorf("%s: %d bits", suite.Name, c.strength)
		}
	}
}

func TestCipherLists(t *testing.T) {
	rsaPair := testcert.New(t, testcert.Options{Kind: "rsa", Names: []string{"rsa"}})
	ecPair := testcert.New(t, testcert.Options{Names: []string{"ec"}})
	const (
		gcm256, gcm128      = "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256"
		chacha              = "ECDHE-RSA-CHACHA20-POLY1305"
		ecGCM256, ecGCM128  = "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256"
		tls13               = "TLS_AES_256_GCM_SHA384"
		cbc                 = "ECDHE-RSA-AES128-SHA256"
		noShared, noCiphers = "no cipher suite supported", "no ciphers available"
	)
	for _, tt := range []struct {
		bits           uint32
		server, client string
		preferClient   uint8
		name           string
		want           string // the suite, the beginning of it, or else
		serverError    string
		clientError    string
	}{
		{bits: both, server: gcm128 + " " + gcm256, client: gcm256 + " " + gcm128, want: gcm128},
		{bits: both, server: gcm256 + " " + gcm128, client: gcm256 + " " + gcm128, want: gcm256},
		{bits: both, server: chacha + " " + gcm128, client: gcm128 + " " + chacha, want: chacha},
		{bits: both, server: gcm256 + " " + gcm128, client: gcm128, want: gcm128},
		// crypto/tls's client has an order of its own.
		{bits: both, server: chacha + " " + gcm256 + " " + gcm128, client: gcm256 + " " + gcm128 + " " + chacha, preferClient: 1, want: gcm128},
		{bits: both, server: ecGCM256 + " " + gcm128 + " " + ecGCM128, client: gcm128 + " " + ecGCM128 + " " + ecGCM256, want: gcm128},
		{bits: both, server: gcm256 + " " + ecGCM128 + " " + ecGCM256, client: gcm256 + " " + ecGCM128 + " " + ecGCM256, name: "ec", want: ecGCM128},
		{bits: both, server: "DHE-RSA-AES256-SHA " + gcm256, client: gcm256, want: gcm256},
		{bits: both, server: cbc, client: cbc, want: cbc},
		{bits: both, server: "ECDHE-RSA-DES-CBC3-SHA", client: "ECDHE-RSA-DES-CBC3-SHA", want: "ECDHE-RSA-DES-CBC3-SHA"},
		{bits: both, server: tls13, client: tls13, want: "TLS_AES_"},
		{bits: both, server: tls13 + " " + gcm256, client: gcm256, want: gcm256},
		{bits: both, server: gcm256, client: tls13 + " " + gcm256, want: gcm256},
		{bits: both, server: tls13 + " " + gcm256, client: tls13 + " " + gcm256, want: "TLS_AES_"},
		{bits: wire.ProtocolTLS12, server: tls13 + " " + gcm256, client: tls13 + " " + gcm256, want: gcm256},

		{bits: both, server: gcm256, client: gcm128, serverError: noShared},
		{bits: both, server: ecGCM256, client: ecGCM256, serverError: noShared},
		{bits: both, server: gcm256, client: gcm256, name: "ec", serverError: noShared},
		{bits: both, server: "DHE-RSA-AES256-SHA", client: gcm256, serverError: noShared},
		{bits: both, server: "", client: gcm256, serverError: noShared},
		{bits: wire.ProtocolTLS12, server: tls13, client: gcm256, serverError: noShared},
		// A server would have to decrypt.
		{bits: both, server: "AES128-SHA", client: "AES128-SHA", serverError: noShared},
		{bits: both, server: gcm256, client: "", clientError: noCiphers},
		{bits: both, server: gcm256, client: "DHE-RSA-AES256-SHA", clientError: noCiphers},
		{bits: wire.ProtocolTLS13, server: tls13, client: gcm256, clientError: noCiphers},
		{bits: wire.ProtocolTLS12, server: gcm256, client: tls13, clientError: noCiphers},
		{bits: both, server: tls13, client: gcm256, serverError: "unsupported versions"},
		{bits: both, server: gcm256, client: tls13, serverError: "unsupported versions"},
	} {
		title := fmt.Sprintf("%#x, %q, %q, %q", tt.bits, tt.server, tt.client, tt.name)
		server, err := build(&wire.Settings{
			Role: wire.RoleServer, Protocols: tt.bits, Ciphers: list(t, tt.server), PreferClient: tt.preferClient,
		}, rsaPair, ecPair)
		if err != nil {
			t.Fatal(err)
		}
		client, err := build(&wire.Settings{Role: wire.RoleClient, Protocols: tt.bits, Ciphers: list(t, tt.client)})
		if err != nil {
			t.Fatal(err)
		}
		tc, err := client.TLS(Options{Name: tt.name})
		if tt.clientError != "" {
			if err == nil || err.Error() != tt.clientError {
				t.Errorf("%s: %v", title, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", title, err)
		}
		sc, cc, serverErr, clientErr := shake(t, mustTLS(t, server, 0, ""), tc)
		if tt.serverError != "" {
			if serverErr == nil || clientErr == nil || !strings.Contains(serverErr.Error(), tt.serverError) {
				t.Errorf("%s: %v, %v", title, serverErr, clientErr)
			}
			continue
		}
		name, _ := CipherName(cc.CipherSuite)
		if serverErr != nil || clientErr != nil || sc.CipherSuite != cc.CipherSuite || !strings.HasPrefix(name, tt.want) {
			t.Errorf("%s: %q, %v, %v", title, name, serverErr, clientErr)
		}
	}
}

// A client can do without decrypting.
func TestClientWithoutECDHE(t *testing.T) {
	kp := testcert.New(t, testcert.Options{Kind: "rsa"})
	client, err := build(&wire.Settings{Role: wire.RoleClient, Protocols: both, Ciphers: list(t, "AES256-GCM-SHA384")})
	if err != nil {
		t.Fatal(err)
	}
	_, cc, serverErr, clientErr := shake(t, &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{kp.Cert.Raw}, PrivateKey: kp.Key}},
		CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_256_GCM_SHA384},
	}, mustTLS(t, client, 0, "a"))
	if serverErr != nil || clientErr != nil || cc.CipherSuite != tls.TLS_RSA_WITH_AES_256_GCM_SHA384 {
		t.Errorf("%v, %v", serverErr, clientErr)
	}
}

func TestPreferClient(t *testing.T) {
	kp := testcert.New(t, testcert.Options{})
	const a, b, x = tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
	for _, tt := range []struct {
		prefer  uint8
		offered []uint16
		want    []uint16
	}{
		{0, []uint16{b, a}, []uint16{a}},
		{1, []uint16{b, a}, []uint16{b}},
		{1, []uint16{0x1301, 0x5600, x, b, a}, []uint16{b}},
		{1, []uint16{x}, []uint16{}},
		{0, nil, []uint16{}},
	} {
		c, err := build(&wire.Settings{
			Role: wire.RoleServer, Protocols: both, PreferClient: tt.prefer,
			Ciphers: list(t, "ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-ECDSA-AES256-GCM-SHA384 ECDHE-RSA-AES256-GCM-SHA384"),
		}, kp)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.pick(tt.offered, kp.Cert.PublicKey); got == nil || !slices.Equal(got, tt.want) {
			t.Errorf("%d, %x: %x, want %x", tt.prefer, tt.offered, got, tt.want)
		}
	}
}

func TestGroups(t *testing.T) {
	kp := testcert.New(t, testcert.Options{})
	const unknown = tls.CurveID(0x100)
	for _, tt := range []struct {
		bits           uint32
		server, client []byte
		want           tls.CurveID
		clientError    bool
		fails          bool
	}{
		{both, testcert.Groups, testcert.Groups, tls.X25519MLKEM768, false, false},
		{both, groupList(tls.CurveP521), groupList(unknown, tls.CurveP521), tls.CurveP521, false, false},
		{both, testcert.Groups, groupList(tls.CurveP384), tls.CurveP384, false, false},
		{both, groupList(tls.SecP384r1MLKEM1024), groupList(tls.SecP384r1MLKEM1024, tls.X25519), tls.SecP384r1MLKEM1024, false, false},
		{wire.ProtocolTLS12, testcert.Groups, testcert.Groups, tls.X25519, false, false},
		{both, groupList(tls.CurveP256), groupList(tls.CurveP384), 0, false, true},
		{wire.ProtocolTLS12, groupList(tls.CurveP256), groupList(tls.CurveP384), 0, false, true},
		{both, testcert.Groups, groupList(), 0, true, true},
		{both, testcert.Groups, groupList(unknown), 0, true, true},
		{wire.ProtocolTLS12, testcert.Groups, groupList(tls.X25519MLKEM768), 0, true, true},
	} {
		title := fmt.Sprintf("%#x, %x, %x", tt.bits, tt.server, tt.client)
		server, err := build(&wire.Settings{Role: wire.RoleServer, Protocols: tt.bits, Groups: tt.server}, kp)
		if err != nil {
			t.Fatal(err)
		}
		client, err := build(&wire.Settings{Role: wire.RoleClient, Protocols: tt.bits, Groups: tt.client})
		if err != nil {
			t.Fatal(err)
		}
		tc, err := client.TLS(Options{})
		if tt.clientError {
			if err != ErrNoGroups {
				t.Errorf("%s: %v", title, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		_, cc, serverErr, clientErr := shake(t, mustTLS(t, server, 0, ""), tc)
		if fails := serverErr != nil; fails != tt.fails || !fails && (clientErr != nil || cc.CurveID != tt.want) {
			t.Errorf("%s: %v, %v, %v", title, cc.CurveID, serverErr, clientErr)
		}
	}
}
