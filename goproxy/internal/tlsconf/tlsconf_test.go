// SPDX-License-Identifier: ISC

package tlsconf

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"testing"

	"libtls-proxy/goproxy/internal/testcert"
	"libtls-proxy/goproxy/internal/verify"
	"libtls-proxy/goproxy/internal/wire"
)

const both = wire.ProtocolTLS12 | wire.ProtocolTLS13

func build(s *wire.Settings, pairs ...*testcert.Pair) (*Config, error) {
	var list []*wire.Keypair
	for i, p := range pairs {
		list = append(list, &wire.Keypair{Slot: uint32(i) + 1, Certificate: p.CertPEM})
	}
	shared := Shared{CAs: new(verify.CACache), Tickets: new(TicketCache)}
	if s.Ciphers == nil {
		s.Ciphers = testcert.Ciphers
	}
	if s.Groups == nil {
		s.Groups = testcert.Groups
	}
	return New(s, list, &wire.Live{}, shared, func(slot uint32, public crypto.PublicKey) crypto.Signer {
		return pairs[slot-1].Key
	})
}

// shake does a handshake over a pipe and returns what both ends say.
func shake(t *testing.T, server, client *tls.Config) (sc, cc tls.ConnectionState, serverErr, clientErr error) {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	s, c := tls.Server(a, server), tls.Client(b, client)
	done := make(chan error, 1)
	go func() {
		err := s.Handshake()
		if err != nil {
			a.Close()
		}
		done <- err
	}()
	clientErr = c.Handshake()
	if clientErr != nil {
		b.Close()
	} else {
		// A server that refuses the client's certificate says so late.
		go func() { _, _ = c.Read(make([]byte, 1)) }()
	}
	serverErr = <-done
	return s.ConnectionState(), c.ConnectionState(), serverErr, clientErr
}

func mustTLS(t *testing.T, c *Config, flags uint8, name string) *tls.Config {
	t.Helper()
	tc, err := c.TLS(Options{Flags: flags, Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return tc
}

func TestChoose(t *testing.T) {
	named := func(names ...string) *testcert.Pair {
		return testcert.New(t, testcert.Options{Names: names})
	}
	nul := testcert.New(t, testcert.Options{Template: func(c *x509.Certificate) { c.DNSNames = []string{"a\x00b"} }})
	first, second, third := named("first.example", "both.example"), named("second.example", "*.wild.example"), named("second.example", "both.example")
	c, err := build(&wire.Settings{Role: wire.RoleServer, Protocols: both}, first, second, third)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		want *testcert.Pair
	}{
		{"", first},
		{"unknown.example", first},
		{"first.example", first},
		{"second.example", second},
		{"SECOND.example", second},
		{"a.wild.example", second},
		{"a.b.wild.example", first},
		{"both.example", third},
		{"127.0.0.1", first},
		{"::1", first},
	} {
		got, err := c.choose(&tls.ClientHelloInfo{ServerName: tt.name})
		if err != nil || c.certificates[got].tls.Leaf.SerialNumber.Cmp(tt.want.Cert.SerialNumber) != 0 {
			t.Errorf("%q: wrong certificate, %v", tt.name, err)
		}
	}
	if c, err = build(&wire.Settings{Role: wire.RoleServer, Protocols: both}, first, nul); err != nil {
		t.Fatal(err)
	}
	if _, err := c.choose(&tls.ClientHelloInfo{ServerName: "a"}); err == nil {
		t.Error("a malicious certificate is compared with a name")
	}
}

// What a client calls the server is refused before anything comes of it, also
// where a session would be resumed.
func TestServerNames(t *testing.T) {
	c, err := build(&wire.Settings{Role: wire.RoleServer, Protocols: both}, testcert.New(t, testcert.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	server := mustTLS(t, c, 0, "")
	for name, want := range map[string]error{
		"": nil, "a.example": nil, "_a-b~!": nil, "a\x00b": errServerName, "a b": errServerName, "a\nb": errServerName,
		"\x1b[2J": errServerName, "a\x7f": errServerName, "\xff": errServerName, "é": errServerName,
	} {
		hello := &tls.ClientHelloInfo{ServerName: name, SupportedVersions: []uint16{tls.VersionTLS13}}
		if _, err := server.GetConfigForClient(hello); err != want {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestVersions(t *testing.T) {
	kp := testcert.New(t, testcert.Options{})
	for _, tt := range []struct {
		bits   uint32
		lo, hi uint16
	}{
		{wire.ProtocolTLS12, tls.VersionTLS12, tls.VersionTLS12},
		{wire.ProtocolTLS13, tls.VersionTLS13, tls.VersionTLS13},
		{both, tls.VersionTLS12, tls.VersionTLS13},
		{0x1e, tls.VersionTLS12, tls.VersionTLS13},
		{0xffffffff, tls.VersionTLS12, tls.VersionTLS13},
		{0, 0, 0},
		{0x06, 0, 0},
	} {
		for _, role := range []uint8{wire.RoleClient, wire.RoleServer} {
			c, err := build(&wire.Settings{Role: role, Protocols: tt.bits}, kp)
			if err != nil {
				t.Fatal(err)
			}
			tc, err := c.TLS(Options{})
			if tt.lo == 0 {
				if err != ErrNoProtocols {
					t.Errorf("%#x: %v", tt.bits, err)
				}
			} else if err != nil || tc.MinVersion != tt.lo || tc.MaxVersion != tt.hi {
				t.Errorf("%#x: %v", tt.bits, err)
			}
		}
	}
}

func TestALPN(t *testing.T) {
	kp := testcert.New(t, testcert.Options{})
	for _, tt := range []struct {
		server, client string
		want           string
		fails          bool
	}{
		{"", "", "", false},
		{"", "\x02h2", "", false},
		{"\x02h2", "", "", false},
		{"\x02h2", "\x02h2", "h2", false},
		{"\x02h2\x08http/1.1", "\x08http/1.1\x02h2", "h2", false},
		{"\x02h2", "\x08http/1.1", "", true},
		{"\x08http/1.1", "\x02h2", "", true},
	} {
		server, err := build(&wire.Settings{Role: wire.RoleServer, Protocols: both, ALPN: []byte(tt.server)}, kp)
		if err != nil {
			t.Fatal(err)
		}
		client, err := build(&wire.Settings{Role: wire.RoleClient, Protocols: both, ALPN: []byte(tt.client)})
		if err != nil {
			t.Fatal(err)
		}
		sc, cc, serverErr, clientErr := shake(t, mustTLS(t, server, 0, ""), mustTLS(t, client, 0, "a"))
		if tt.fails {
			if serverErr == nil || clientErr == nil {
				t.Errorf("%q, %q: no error", tt.server, tt.client)
			}
			continue
		}
		if serverErr != nil || clientErr != nil || sc.NegotiatedProtocol != tt.want || cc.NegotiatedProtocol != tt.want {
			t.Errorf("%q, %q: %q, %v, %v", tt.server, tt.client, cc.NegotiatedProtocol, serverErr, clientErr)
		}
	}
	for _, bad := range []string{"\x00", "\x03h2", "\x02h2\x00", "\x02h", "\x02h\x00"} {
		if _, err := build(&wire.Settings{Role: wire.RoleClient, ALPN: []byte(bad)}); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestClientCertificate(t *testing.T) {
	ca := testcert.New(t, testcert.Options{CA: true})
	other := testcert.New(t, testcert.Options{CA: true})
	kp := testcert.New(t, testcert.Options{Parent: ca, Names: []string{"localhost"}})
	stranger := testcert.New(t, testcert.Options{Parent: other})
	const all = wire.VerifyChain | wire.VerifyName | wire.VerifyTimes
	for _, tt := range []struct {
		name   string
		verify uint8
		flags  uint8
		client []*testcert.Pair
		fails  bool
	}{
		{"not asked for", wire.ClientCertNone, all, []*testcert.Pair{stranger}, false},
		{"required", wire.ClientCertRequired, all, []*testcert.Pair{kp}, false},
		{"required and not there", wire.ClientCertRequired, all, nil, true},
		{"required and unknown", wire.ClientCertRequired, all, []*testcert.Pair{stranger}, true},
		{"required and not verified", wire.ClientCertRequired, 0, []*testcert.Pair{stranger}, false},
		{"optional", wire.ClientCertOptional, all, []*testcert.Pair{kp}, false},
		{"optional and not there", wire.ClientCertOptional, all, nil, false},
		{"optional and unknown", wire.ClientCertOptional, all, []*testcert.Pair{stranger}, true},
	} {
		for _, bits := range []uint32{wire.ProtocolTLS12, wire.ProtocolTLS13} {
			server, err := build(&wire.Settings{
				Role: wire.RoleServer, Protocols: bits, VerifyClient: tt.verify, CA: ca.CertPEM,
			}, kp)
			if err != nil {
				t.Fatal(err)
			}
			client, err := build(&wire.Settings{Role: wire.RoleClient, Protocols: bits, CA: ca.CertPEM}, tt.client...)
			if err != nil {
				t.Fatal(err)
			}
			sc, _, serverErr, _ := shake(t, mustTLS(t, server, tt.flags, ""), mustTLS(t, client, all, "localhost"))
			if (serverErr != nil) != tt.fails {
				t.Errorf("%s, %#x: %v", tt.name, bits, serverErr)
			}
			if got := len(sc.PeerCertificates) != 0; serverErr == nil && got != (tt.verify != 0 && tt.client != nil) {
				t.Errorf("%s, %#x: certificate %v", tt.name, bits, got)
			}
		}
	}
}

func TestOffers(t *testing.T) {
	kp := testcert.New(t, testcert.Options{})
	c, err := build(&wire.Settings{Role: wire.RoleClient, Protocols: both})
	if err != nil {
		t.Fatal(err)
	}
	var hello *tls.ClientHelloInfo
	_, _, _, _ = shake(t, &tls.Config{
		GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			hello = h
			return nil, nil
		},
		Certificates: []tls.Certificate{{Certificate: [][]byte{kp.Cert.Raw}, PrivateKey: kp.Key}},
	}, mustTLS(t, c, 0, "127.0.0.1"))
	if hello.ServerName != "" {
		t.Errorf("an address was sent as the server's name: %q", hello.ServerName)
	}
	for _, suite := range hello.CipherSuites {
		if name, strength := CipherName(suite); name == "" || strength < 128 {
			t.Errorf("suite %#x is offered", suite)
		}
	}
	for _, curve := range hello.SupportedCurves {
		switch curve {
		case tls.X25519MLKEM768, tls.X25519, tls.CurveP256, tls.CurveP384:
		default:
			t.Errorf("curve %v is offered", curve)
		}
	}
}

func TestParseChain(t *testing.T) {
	ca := testcert.New(t, testcert.Options{CA: true})
	kp := testcert.New(t, testcert.Options{Parent: ca})
	block := func(typ string, der ...byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der}))
	}
	raw := kp.Cert.Raw
	for _, tt := range []struct {
		name, pem string
		want      int
	}{
		{"one", string(kp.CertPEM), 1},
		{"two", string(kp.CertPEM) + string(ca.CertPEM), 2},
		{"with its key", string(kp.KeyPEM) + string(kp.CertPEM), 1},
		{"X509", block("X509 CERTIFICATE", raw...), 1},
		{"trusted", block("TRUSTED CERTIFICATE", append(raw[:len(raw):len(raw)], 0x30, 0)...), 1},
		{"trailing bytes", block("CERTIFICATE", append(raw[:len(raw):len(raw)], 0)...), 0},
		{"short", block("CERTIFICATE", raw[:len(raw)-1]...), 0},
		{"short trusted", block("TRUSTED CERTIFICATE", raw[:len(raw)-1]...), 0},
		{"empty", "", 0},
		{"key", string(kp.KeyPEM), 0},
		{"curve", string(testcert.New(t, testcert.Options{Kind: "p224"}).CertPEM), 0},
	} {
		c, err := ParseChain([]byte(tt.pem))
		if tt.want == 0 {
			if err != ErrCertificate {
				t.Errorf("%s: %v", tt.name, err)
			}
		} else if err != nil || len(c.DER) != tt.want || !c.Leaf.Equal(kp.Cert) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// A server's connections share a configuration for each set of flags.
func TestServerConfigIsShared(t *testing.T) {
	c, err := build(&wire.Settings{Role: wire.RoleServer, Protocols: both}, testcert.New(t, testcert.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	first := mustTLS(t, c, 1, "")
	if first != mustTLS(t, c, 1, "") || first == mustTLS(t, c, 5, "") {
		t.Error("not one configuration for each set of flags")
	}
}
