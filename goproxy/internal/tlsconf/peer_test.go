// SPDX-License-Identifier: ISC

package tlsconf

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"libtls-proxy/goproxy/internal/ocsp"
	"libtls-proxy/goproxy/internal/session"
	"libtls-proxy/goproxy/internal/testcert"
	"libtls-proxy/goproxy/internal/wire"
)

const checks = wire.VerifyChain | wire.VerifyName | wire.VerifyTimes

var versionBits = map[string]uint32{"1.2": wire.ProtocolTLS12, "1.3": wire.ProtocolTLS13}

func eachVersion(t *testing.T, f func(t *testing.T, bits uint32)) {
	for name, bits := range versionBits {
		t.Run(name, func(t *testing.T) { f(t, bits) })
	}
}

// A meeting is a connection between two configurations.
type meeting struct {
	server, client         *Config
	serverFlags, flags     uint8
	file                   []byte // the client's session
	got                    []byte // a new one
	staple                 *ocsp.Result
	resumed                bool
	serverError, peerError error
}

func (m *meeting) run(t *testing.T) *meeting {
	t.Helper()
	state, err := session.Parse(m.file)
	if err != nil {
		t.Fatal(err)
	}
	client, err := m.client.TLS(Options{
		Flags: m.flags, Name: "localhost",
		Sessions: session.NewCache(state, func(b []byte) { m.got = b }),
		Stapled:  func(r *ocsp.Result) { m.staple = r },
	})
	if err != nil {
		t.Fatal(err)
	}
	server := mustTLS(t, m.server, m.serverFlags, "")
	a, b := sockets(t)
	defer a.Close()
	defer b.Close()
	for _, c := range []net.Conn{a, b} {
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		s := tls.Server(a, server)
		if m.serverError = s.Handshake(); m.serverError == nil {
			_, _ = s.Write([]byte("x"))
		}
		a.Close()
	})
	c := tls.Client(b, client)
	if m.peerError = c.Handshake(); m.peerError == nil {
		// What follows the ticket shows that it was read.
		_, _ = c.Read(make([]byte, 1))
	}
	m.resumed = c.ConnectionState().DidResume
	b.Close()
	wg.Wait()
	return m
}

// sockets returns the ends of a connection that has buffers, unlike a pipe:
// both ends may write at the same time.
func sockets(t *testing.T) (net.Conn, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	a, err := l.Accept()
	if err != nil {
		b.Close()
		t.Fatal(err)
	}
	return a, b
}

func mustBuild(t *testing.T, s *wire.Settings, pairs ...*testcert.Pair) *Config {
	t.Helper()
	if s.SessionLifetime != 0 && s.SessionID == nil {
		s.SessionID = make([]byte, wire.SessionIDSize)
	}
	c, err := build(s, pairs...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mustUpdate(t *testing.T, c *Config, live *wire.Live) {
	t.Helper()
	if err := c.Update(live); err != nil {
		t.Fatal(err)
	}
}

func ticketKey(b byte) *wire.TicketKey {
	return &wire.TicketKey{Revision: uint32(b), Key: bytes.Repeat([]byte{b}, wire.TicketKeySize)}
}

func TestSessions(t *testing.T) {
	eachVersion(t, func(t *testing.T, bits uint32) {
		kp := testcert.New(t, testcert.Options{})
		other := make([]byte, wire.SessionIDSize)
		other[0] = 1
		server := func(lifetime uint32, id []byte, keys ...*wire.TicketKey) *Config {
			c := mustBuild(t, &wire.Settings{
				Role: wire.RoleServer, Protocols: bits, SessionLifetime: lifetime, SessionID: id,
			}, kp)
			mustUpdate(t, c, &wire.Live{TicketKeys: keys})
			return c
		}
		client := mustBuild(t, &wire.Settings{Role: wire.RoleClient, Protocols: bits})
		connect := func(name string, s *Config, file []byte, want bool) []byte {
			t.Helper()
			m := (&meeting{server: s, client: client, file: file}).run(t)
			if m.serverError != nil || m.peerError != nil || m.resumed != want {
				t.Errorf("%s: %+v", name, m)
			}
			return m.got
		}
		first := server(100, nil, ticketKey(1))
		file := connect("new", first, nil, false)
		if file == nil {
			t.Fatal("no session")
		}
		connect("same", first, file, true)
		connect("another server with the key", server(100, nil, ticketKey(2), ticketKey(1)), file, true)
		connect("another server without it", server(100, nil, ticketKey(2)), file, false)
		connect("another key with the revision", server(100, nil, &wire.TicketKey{Revision: 1, Key: ticketKey(2).Key}), file, false)
		connect("another context", server(100, other, ticketKey(1)), file, false)
		if got := connect("no sessions", server(0, nil, ticketKey(1)), file, false); got != nil {
			t.Error("a session where there are none")
		}
		mustUpdate(t, first, &wire.Live{TicketKeys: []*wire.TicketKey{ticketKey(2), ticketKey(1)}})
		next := connect("rekeyed", first, file, true)
		mustUpdate(t, first, &wire.Live{TicketKeys: []*wire.TicketKey{ticketKey(2)}})
		connect("key gone", first, file, false)
		connect("the newer key", first, next, true)
		own := server(100, nil)
		file = connect("own keys", own, nil, false)
		connect("own keys again", own, file, true)
		connect("own keys of another", server(100, nil), file, false)
	})
}

// The age of a key is not that of the last update.
func TestTicketKeyAge(t *testing.T) {
	c := mustBuild(t, &wire.Settings{Role: wire.RoleServer, Protocols: both, SessionLifetime: 100}, testcert.New(t, testcert.Options{}))
	mustUpdate(t, c, &wire.Live{TicketKeys: []*wire.TicketKey{ticketKey(1)}})
	old := time.Now().Add(-time.Hour)
	c.keys[0].Added = old
	changed := &wire.TicketKey{Revision: 1, Key: ticketKey(3).Key}
	mustUpdate(t, c, &wire.Live{TicketKeys: []*wire.TicketKey{ticketKey(2), ticketKey(1)}})
	if !c.keys[1].Added.Equal(old) || c.keys[0].Added.Equal(old) {
		t.Errorf("%v", c.keys)
	}
	mustUpdate(t, c, &wire.Live{TicketKeys: []*wire.TicketKey{changed}})
	if c.keys[0].Added.Equal(old) {
		t.Error("another key has the age of its revision")
	}
}

func TestUpdateOfUnknownPair(t *testing.T) {
	ca := testcert.New(t, testcert.Options{CA: true})
	c := mustBuild(t, &wire.Settings{Role: wire.RoleServer, Protocols: both}, ca)
	if c.Update(&wire.Live{Staples: []*wire.Staple{{Pair: 1}}}) == nil {
		t.Error("a staple for no pair is accepted")
	}
}

// Lists count on both sides, and where a session is resumed.
func TestCRL(t *testing.T) {
	ca := testcert.New(t, testcert.Options{CA: true})
	kp := testcert.New(t, testcert.Options{Parent: ca, Names: []string{"localhost"}})
	none := testcert.CRL(t, ca, x509.RevocationList{})
	old := testcert.CRL(t, ca, x509.RevocationList{
		ThisUpdate: time.Now().Add(-2 * time.Hour), NextUpdate: time.Now().Add(-time.Hour),
	})
	const prefix = "certificate verification failed: "
	for _, tt := range []struct {
		name  string
		check uint8
		crl   []byte
		flags uint8
		want  string
	}{
		{"good", 1, none, checks, ""},
		{"revoked", 1, testcert.CRL(t, ca, x509.RevocationList{}, kp), checks, prefix + "certificate revoked"},
		{"revoked and not verified", 1, testcert.CRL(t, ca, x509.RevocationList{}, kp), 0, ""},
		{"not checked", 0, testcert.CRL(t, ca, x509.RevocationList{}, kp), checks, ""},
		{"none", 1, nil, checks, prefix + "unable to get certificate CRL"},
		{"garbage", 1, []byte("hello"), checks, prefix + "unable to get certificate CRL"},
		{"expired", 1, old, checks, prefix + "CRL has expired"},
		{"expired without times", 1, old, checks &^ wire.VerifyTimes, ""},
		{"among the authorities", 1, nil, checks, ""},
	} {
		eachVersion(t, func(t *testing.T, bits uint32) {
			trust := ca.CertPEM
			if tt.name == "among the authorities" {
				trust = slices.Concat(ca.CertPEM, none)
			}
			settings := func(role uint8, checking bool) *wire.Settings {
				s := &wire.Settings{Role: role, Protocols: bits, CA: trust, SessionLifetime: 100}
				if checking {
					s.CheckCRL, s.CRL = tt.check, tt.crl
				}
				return s
			}
			for _, onServer := range []bool{false, true} {
				s, c := settings(wire.RoleServer, onServer), settings(wire.RoleClient, !onServer)
				s.VerifyClient = wire.ClientCertRequired
				server, client := mustBuild(t, s, kp), mustBuild(t, c, kp)
				m := &meeting{server: server, client: client, flags: tt.flags, serverFlags: tt.flags}
				for _, resumed := range []bool{false, true} {
					m = (&meeting{server: server, client: client, flags: tt.flags, serverFlags: tt.flags, file: m.got}).run(t)
					err := m.peerError
					if onServer {
						err = m.serverError
					}
					if got := fmt.Sprint(err); tt.want == "" && err != nil || tt.want != "" && got != tt.want {
						t.Errorf("%s, server %v: %v, want %q", tt.name, onServer, err, tt.want)
					}
					if tt.want == "" && m.resumed != resumed {
						t.Errorf("%s, server %v: resumed is %v", tt.name, onServer, m.resumed)
					}
				}
			}
		})
	}
	_, err := build(&wire.Settings{
		Role: wire.RoleClient, CheckCRL: 1, CRL: []byte("-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n"),
	})
	if err == nil || err.Error() != "failed to parse crl" {
		t.Errorf("a broken list: %v", err)
	}
}

// A certificate that is revoked after the session began ends resumption.
func TestResumedAndRevoked(t *testing.T) {
	eachVersion(t, func(t *testing.T, bits uint32) {
		ca := testcert.New(t, testcert.Options{CA: true})
		other := testcert.New(t, testcert.Options{CA: true})
		kp := testcert.New(t, testcert.Options{Parent: ca, Names: []string{"localhost"}})
		server := func(trust *testcert.Pair, crl []byte) *Config {
			s := &wire.Settings{
				Role: wire.RoleServer, Protocols: bits, CA: trust.CertPEM, SessionLifetime: 100,
				VerifyClient: wire.ClientCertRequired, CRL: crl,
			}
			if crl != nil {
				s.CheckCRL = 1
			}
			c := mustBuild(t, s, kp)
			mustUpdate(t, c, &wire.Live{TicketKeys: []*wire.TicketKey{ticketKey(1)}})
			return c
		}
		client := mustBuild(t, &wire.Settings{Role: wire.RoleClient, Protocols: bits, CA: ca.CertPEM}, kp)
		m := (&meeting{server: server(ca, nil), client: client, flags: checks, serverFlags: checks}).run(t)
		if m.serverError != nil || m.got == nil {
			t.Fatalf("%+v", m)
		}
		for _, tt := range []struct {
			server *Config
			want   string
		}{
			{server(ca, nil), "<nil>"},
			{server(ca, testcert.CRL(t, ca, x509.RevocationList{}, kp)), "certificate verification failed: certificate revoked"},
			{server(other, nil), "certificate verification failed: unable to get local issuer certificate"},
		} {
			again := (&meeting{server: tt.server, client: client, flags: checks, serverFlags: checks, file: m.got}).run(t)
			if fmt.Sprint(again.serverError) != tt.want {
				t.Errorf("%v, want %s", again.serverError, tt.want)
			}
		}
		distrusting := mustBuild(t, &wire.Settings{Role: wire.RoleClient, Protocols: bits, CA: other.CertPEM}, kp)
		again := (&meeting{server: server(ca, nil), client: distrusting, flags: checks, serverFlags: checks, file: m.got}).run(t)
		if again.peerError == nil {
			t.Error("a session with a server that is not trusted any more is resumed")
		}
	})
}

func TestStaple(t *testing.T) {
	ca := testcert.New(t, testcert.Options{CA: true})
	kp := testcert.New(t, testcert.Options{Parent: ca, Names: []string{"localhost"}})
	unrelated := testcert.New(t, testcert.Options{Parent: ca})
	good := testcert.OCSP(t, ca, kp, testcert.Status{})
	revoked := testcert.OCSP(t, ca, kp, testcert.Status{Revoked: true})
	const must = checks | wire.VerifyStaple
	for _, tt := range []struct {
		name   string
		staple []byte
		flags  uint8
		want   string
		result string
	}{
		{"none", nil, checks, "", ""},
		{"none and demanded", nil, must, "no stapled OCSP response provided", ""},
		{"none and demanded, not verified", nil, wire.VerifyStaple, "no stapled OCSP response provided", ""},
		{"good", good, checks, "", "good"},
		{"good and demanded", good, must, "", "good"},
		{"revoked", revoked, checks, "ocsp verify failed: revoked cert - keyCompromise", ""},
		{"revoked, chain not verified", revoked, checks &^ wire.VerifyChain, "", ""},
		{"revoked, times not verified", revoked, must &^ wire.VerifyTimes, "", ""},
		{"old", testcert.OCSP(t, ca, kp, testcert.Status{Age: 15 * 24 * time.Hour}), checks, "ocsp verify failed: ocsp response not current", ""},
		{"of another", testcert.OCSP(t, ca, unrelated, testcert.Status{}), checks, "ocsp verify failed: no result for cert", ""},
		{"of another authority", testcert.OCSP(t, testcert.New(t, testcert.Options{CA: true}), kp, testcert.Status{}), checks, "ocsp verify failed", ""},
		{"garbage", []byte("hello"), checks, "unable to parse OCSP response", ""},
	} {
		eachVersion(t, func(t *testing.T, bits uint32) {
			server := mustBuild(t, &wire.Settings{Role: wire.RoleServer, Protocols: bits, SessionLifetime: 100}, unrelated, kp)
			mustUpdate(t, server, &wire.Live{Staples: []*wire.Staple{{Pair: 0, Response: []byte("x")}, {Pair: 1, Response: tt.staple}}})
			client := mustBuild(t, &wire.Settings{Role: wire.RoleClient, Protocols: bits, CA: ca.CertPEM})
			m := (&meeting{server: server, client: client, flags: tt.flags}).run(t)
			if tt.want != "" {
				if fmt.Sprint(m.peerError) != tt.want || m.staple != nil {
					t.Errorf("%s: %v, %+v", tt.name, m.peerError, m.staple)
				}
				return
			}
			if m.peerError != nil || (m.staple != nil) != (tt.result != "") || m.staple != nil && m.staple.Text != tt.result {
				t.Errorf("%s: %v, %+v", tt.name, m.peerError, m.staple)
			}
			// A resumed session asks for none.
			mustUpdate(t, server, &wire.Live{Staples: []*wire.Staple{{Pair: 1, Response: revoked}}})
			m = (&meeting{server: server, client: client, flags: tt.flags, file: m.got}).run(t)
			if m.peerError != nil || m.staple != nil || !m.resumed {
				t.Errorf("%s, resumed: %v, %+v", tt.name, m.peerError, m.staple)
			}
		})
	}
}

// Each handshake has the staple of its time.
func TestStapleIsLive(t *testing.T) {
	first, second := testcert.New(t, testcert.Options{}), testcert.New(t, testcert.Options{Names: []string{"localhost"}})
	c := mustBuild(t, &wire.Settings{Role: wire.RoleServer, Protocols: both}, first, second)
	tc := mustTLS(t, c, 0, "")
	for _, tt := range []struct {
		live *wire.Live
		want []byte
	}{
		{&wire.Live{}, nil},
		{&wire.Live{Staples: []*wire.Staple{{Pair: 1, Response: []byte("1")}}}, []byte("1")},
		{&wire.Live{Staples: []*wire.Staple{{Pair: 1, Response: []byte("2")}, {Pair: 0, Response: []byte("3")}}}, []byte("2")},
		{&wire.Live{Staples: []*wire.Staple{{Pair: 0, Response: []byte("4")}}}, nil},
	} {
		mustUpdate(t, c, tt.live)
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			_, cc, serverErr, clientErr := shake(t, tc, &tls.Config{
				ServerName: "localhost", InsecureSkipVerify: true, MaxVersion: version,
			})
			if serverErr != nil || clientErr != nil || !bytes.Equal(cc.OCSPResponse, tt.want) {
				t.Errorf("%q, want %q, %v, %v", cc.OCSPResponse, tt.want, serverErr, clientErr)
			}
		}
	}
}

func TestOCSP(t *testing.T) {
	ca := testcert.New(t, testcert.Options{CA: true})
	kp := testcert.New(t, testcert.Options{Parent: ca})
	expired := testcert.New(t, testcert.Options{Parent: ca, Template: func(c *x509.Certificate) {
		c.NotAfter = time.Now().Add(-time.Minute)
	}})
	stranger := testcert.New(t, testcert.Options{})
	c := mustBuild(t, &wire.Settings{Role: wire.RoleClient, Protocols: both, CA: ca.CertPEM, CheckCRL: 1})
	for _, tt := range []struct {
		name     string
		response []byte
		peer     *testcert.Pair
		want     string
		result   string
	}{
		{"good", testcert.OCSP(t, ca, kp, testcert.Status{}), kp, "<nil>", "good"},
		{"expired meanwhile", testcert.OCSP(t, ca, expired, testcert.Status{}), expired, "<nil>", "good"},
		{"revoked", testcert.OCSP(t, ca, kp, testcert.Status{Revoked: true}), kp, "ocsp verify failed: revoked cert - keyCompromise", "keyCompromise"},
		{"garbage", []byte("x"), kp, "unable to parse OCSP response", ""},
		{"no peer", []byte("x"), nil, "no peer certificate for OCSP", ""},
		{"no issuer", testcert.OCSP(t, ca, stranger, testcert.Status{}), stranger, "ocsp verify failed: no issuer cert", ""},
	} {
		var peer []*x509.Certificate
		if tt.peer != nil {
			peer = append(peer, tt.peer.Cert)
		}
		r, err := c.OCSP(tt.response, peer)
		if fmt.Sprint(err) != tt.want || (r != nil) != (tt.result != "") || r != nil && r.Text != tt.result {
			t.Errorf("%s: %v, %+v", tt.name, err, r)
		}
	}
}

// Updates and handshakes at the same time.
func TestConcurrentUpdate(t *testing.T) {
	kp := testcert.New(t, testcert.Options{})
	server := mustBuild(t, &wire.Settings{Role: wire.RoleServer, Protocols: both, SessionLifetime: 100}, kp)
	client := mustBuild(t, &wire.Settings{Role: wire.RoleClient, Protocols: both})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range byte(10) {
				mustUpdate(t, server, &wire.Live{
					Staples:    []*wire.Staple{{Response: []byte{i}}},
					TicketKeys: []*wire.TicketKey{ticketKey(i)},
				})
			}
		})
		wg.Go(func() {
			for range 5 {
				if m := (&meeting{server: server, client: client}).run(t); m.serverError != nil || m.peerError != nil {
					t.Errorf("%v, %v", m.serverError, m.peerError)
				}
			}
		})
	}
	wg.Wait()
}
