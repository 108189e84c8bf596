// SPDX-License-Identifier: ISC

package tlsconf

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"libtls-proxy/goproxy/internal/testcert"
	"libtls-proxy/goproxy/internal/verify"
	"libtls-proxy/goproxy/internal/wire"
)

// A judge decides as its fields say, and notes what it was asked.
type judge struct {
	t     *testing.T
	asked []string

	question    *CertificateQuestion
	certificate CertificateAnswer
	refuse      error
	verify      func(depth int, verdict error, chain [][]byte) error
	staple      []byte // nil for that of the configuration
	key         crypto.Signer
	sessions    map[string][]byte
}

var _ Decider = (*judge)(nil)

func (j *judge) Certificate(q *CertificateQuestion) (CertificateAnswer, error) {
	j.asked = append(j.asked, "certificate")
	j.question = q
	return j.certificate, j.refuse
}

func (j *judge) Verify(depth int, verdict error, chain [][]byte) error {
	j.asked = append(j.asked, fmt.Sprintf("verify %d", depth))
	if j.verify == nil {
		return verdict
	}
	return j.verify(depth, verdict, chain)
}

func (j *judge) Staple(string) ([]byte, bool, error) {
	j.asked = append(j.asked, "staple")
	return j.staple, j.staple != nil, j.refuse
}

func (j *judge) Sign(_ string, scheme tls.SignatureScheme, digest []byte) ([]byte, error) {
	j.asked = append(j.asked, "sign "+scheme.String())
	if j.refuse != nil {
		return nil, j.refuse
	}
	var opts crypto.SignerOpts = crypto.SHA256
	if scheme == tls.PSSWithSHA256 {
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
	}
	return j.key.Sign(rand.Reader, digest, opts)
}

func (j *judge) StoreSession(id, ticket []byte, _ time.Duration) {
	j.asked = append(j.asked, "store")
	if j.sessions != nil {
		j.sessions[string(id)] = slices.Clone(ticket)
	}
}

func (j *judge) LookupSession(id []byte) []byte {
	j.asked = append(j.asked, "lookup")
	return j.sessions[string(id)]
}

func (j *judge) RemoveSession([]byte) { j.asked = append(j.asked, "remove") }

func (j *judge) wantAsked(what string, want ...string) {
	j.t.Helper()
	if !slices.Equal(j.asked, want) {
		j.t.Errorf("%s: asked %q, want %q", what, j.asked, want)
	}
	j.asked = nil
}

func asking(role uint8, bits, requests uint32) *wire.Settings {
	return &wire.Settings{Role: role, Protocols: bits, Requests: requests, RequestTimeout: 1}
}

func decided(t *testing.T, c *Config, o Options) *tls.Config {
	t.Helper()
	tc, err := c.TLS(o)
	if err != nil {
		t.Fatal(err)
	}
	return tc
}

var anyPeer = &tls.Config{InsecureSkipVerify: true, ServerName: "name", NextProtos: []string{"h2"}}

func TestBadRequests(t *testing.T) {
	for _, s := range []*wire.Settings{
		{Role: wire.RoleClient, Protocols: both, Requests: wire.AllRequests + 1, RequestTimeout: 1},
		{Role: wire.RoleClient, Protocols: both, Requests: 1 << 31, RequestTimeout: 1},
		{Role: wire.RoleClient, Protocols: both, Requests: wire.RequestVerify},
	} {
		if _, err := build(s); err == nil || err.Error() != "failed to set requests" {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

func TestDecideCertificate(t *testing.T) {
	eachVersion(t, func(t *testing.T, bits uint32) {
		first, second, fresh := testcert.New(t, testcert.Options{Kind: "rsa"}), testcert.New(t, testcert.Options{}), testcert.New(t, testcert.Options{})
		c := mustBuild(t, asking(wire.RoleServer, bits, wire.RequestCertificate), first, second)
		chain, err := ParseChain(fresh.CertPEM)
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			name   string
			answer CertificateAnswer
			refuse error
			want   *testcert.Pair
			err    error
		}{
			{"as usual", CertificateAnswer{}, nil, first, nil},
			{"known", CertificateAnswer{Known: true, Pair: 1}, nil, second, nil},
			{"unknown", CertificateAnswer{Known: true, Pair: 2}, nil, nil, errNoPair},
			{"new", CertificateAnswer{Chain: chain, Key: fresh.Key}, nil, fresh, nil},
			{"refuse", CertificateAnswer{}, Refusal("no"), nil, Refusal("no")},
		} {
			j := &judge{t: t, certificate: tt.answer, refuse: tt.refuse}
			_, cc, serverErr, clientErr := shake(t, decided(t, c, Options{Decide: j}), anyPeer)
			if !errors.Is(serverErr, tt.err) || (clientErr == nil) != (tt.err == nil) {
				t.Errorf("%s: %v, %v", tt.name, serverErr, clientErr)
			}
			if tt.want != nil && (len(cc.PeerCertificates) == 0 || !cc.PeerCertificates[0].Equal(tt.want.Cert)) {
				t.Errorf("%s: another certificate", tt.name)
			}
			j.wantAsked(tt.name, "certificate")
			q := j.question
			if q.Servername != "name" || !slices.Equal(q.ALPN, []string{"h2"}) || len(q.Schemes) == 0 || len(q.Versions) == 0 {
				t.Errorf("%s: %+v", tt.name, q)
			}
		}
		// What is no name is refused, and nobody is asked.
		for _, name := range []string{"a\x00b", "a\x1b[2J"} {
			j := &judge{t: t}
			peer := anyPeer.Clone()
			peer.ServerName = name
			if _, _, serverErr, _ := shake(t, decided(t, c, Options{Decide: j}), peer); !errors.Is(serverErr, errServerName) {
				t.Errorf("%q: %v", name, serverErr)
			}
			j.wantAsked(name)
		}
	})
}

// A client is asked when the server wants a certificate, and not otherwise.
func TestDecideClientCertificate(t *testing.T) {
	eachVersion(t, func(t *testing.T, bits uint32) {
		own, fresh := testcert.New(t, testcert.Options{}), testcert.New(t, testcert.Options{})
		c := mustBuild(t, asking(wire.RoleClient, bits, wire.RequestCertificate), own)
		chain, err := ParseChain(fresh.CertPEM)
		if err != nil {
			t.Fatal(err)
		}
		server := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{own.Cert.Raw}, PrivateKey: own.Key}}}
		j := &judge{t: t}
		o := Options{Name: "name", Decide: j}
		if _, _, _, err := shake(t, server, decided(t, c, o)); err != nil {
			t.Error(err)
		}
		j.wantAsked("not wanted")
		server.ClientAuth = tls.RequireAnyClientCert
		for _, tt := range []struct {
			answer CertificateAnswer
			want   *testcert.Pair
		}{
			{CertificateAnswer{}, own},
			{CertificateAnswer{Known: true}, own},
			{CertificateAnswer{Chain: chain, Key: fresh.Key}, fresh},
		} {
			j.certificate = tt.answer
			sc, _, serverErr, clientErr := shake(t, server, decided(t, c, o))
			if serverErr != nil || clientErr != nil {
				t.Fatalf("%v, %v", serverErr, clientErr)
			}
			if !sc.PeerCertificates[0].Equal(tt.want.Cert) {
				t.Error("another certificate")
			}
			j.wantAsked("wanted", "certificate")
			if j.question.Servername != "name" || len(j.question.Schemes) == 0 || len(j.question.Versions) != 1 {
				t.Errorf("%+v", j.question)
			}
		}
		j.refuse = Refusal("no")
		if _, _, _, err := shake(t, server, decided(t, c, o)); !errors.Is(err, Refusal("no")) {
			t.Error(err)
		}
	})
}

func TestDecideVerify(t *testing.T) {
	root, other := testcert.New(t, testcert.Options{CA: true}), testcert.New(t, testcert.Options{CA: true})
	mid := testcert.New(t, testcert.Options{CA: true, Parent: root})
	leaf := testcert.New(t, testcert.Options{Parent: mid, Names: []string{"localhost"}})
	server := &tls.Config{Certificates: []tls.Certificate{{
		Certificate: [][]byte{leaf.Cert.Raw, mid.Cert.Raw}, PrivateKey: leaf.Key,
	}}}
	no := Refusal("no")
	for _, tt := range []struct {
		name    string
		kinds   uint32
		trusted bool
		verify  func(int, error, [][]byte) error
		want    string // part of the error
		asked   []string
	}{
		{"good", wire.RequestVerify, true, nil, "", []string{"verify 0"}},
		{"bad", wire.RequestVerify, false, nil, "certificate verification failed", []string{"verify 0"}},
		{"bad, accepted", wire.RequestVerify, false,
			func(int, error, [][]byte) error { return nil }, "", []string{"verify 0"}},
		{"good, refused", wire.RequestVerify, true,
			func(int, error, [][]byte) error { return no }, "no", []string{"verify 0"}},
		{"each", wire.RequestVerifyEach, true, nil, "", []string{"verify 1", "verify 0"}},
		{"each and once", wire.RequestVerify | wire.RequestVerifyEach, true, nil, "", []string{"verify 1", "verify 0"}},
		{"each, the first refused", wire.RequestVerifyEach, true,
			func(int, error, [][]byte) error { return no }, "no", []string{"verify 1"}},
		{"each, the leaf refused", wire.RequestVerifyEach, true, func(depth int, _ error, _ [][]byte) error {
			if depth == 0 {
				return no
			}
			return nil
		}, "no", []string{"verify 1", "verify 0"}},
		{"not asked", wire.RequestStaple, false, nil, "certificate verification failed", nil},
	} {
		eachVersion(t, func(t *testing.T, bits uint32) {
			s := asking(wire.RoleClient, bits, tt.kinds)
			s.CA = root.CertPEM
			if !tt.trusted {
				s.CA = other.CertPEM
			}
			j := &judge{t: t}
			j.verify = func(depth int, verdict error, chain [][]byte) error {
				if (verdict == nil) != tt.trusted || len(chain) != 2 || !slices.Equal(chain[0], leaf.Cert.Raw) {
					t.Errorf("%s: %v, %d certificates", tt.name, verdict, len(chain))
				}
				if tt.verify == nil {
					return verdict
				}
				return tt.verify(depth, verdict, chain)
			}
			c := mustBuild(t, s)
			_, _, _, err := shake(t, server, decided(t, c, Options{Flags: checks, Name: "localhost", Decide: j}))
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %v", tt.name, err)
			}
			j.wantAsked(tt.name, tt.asked...)
		})
	}
}

func TestDecideStaple(t *testing.T) {
	eachVersion(t, func(t *testing.T, bits uint32) {
		c := mustBuild(t, asking(wire.RoleServer, bits, wire.RequestStaple), testcert.New(t, testcert.Options{}))
		mustUpdate(t, c, &wire.Live{Staples: []*wire.Staple{{Response: []byte("usual")}}})
		for _, tt := range []struct {
			staple []byte
			want   string
		}{
			{nil, "usual"}, {[]byte("other"), "other"}, {[]byte{}, ""},
		} {
			j := &judge{t: t, staple: tt.staple}
			_, cc, serverErr, clientErr := shake(t, decided(t, c, Options{Decide: j}), anyPeer)
			if serverErr != nil || clientErr != nil || string(cc.OCSPResponse) != tt.want {
				t.Errorf("%q: %v, %v, %q", tt.staple, serverErr, clientErr, cc.OCSPResponse)
			}
			j.wantAsked("staple", "staple")
		}
		j := &judge{t: t, refuse: Refusal("no")}
		if _, _, err, _ := shake(t, decided(t, c, Options{Decide: j}), anyPeer); !errors.Is(err, Refusal("no")) {
			t.Error(err)
		}
	})
}

func TestDecideSign(t *testing.T) {
	for _, kind := range []string{"rsa", "p256"} {
		pair := testcert.New(t, testcert.Options{Kind: kind})
		s := asking(wire.RoleServer, both, wire.RequestSign)
		s.Ciphers, s.Groups = testcert.Ciphers, testcert.Groups
		list := []*wire.Keypair{{Slot: wire.AppSlot, Certificate: pair.CertPEM}}
		c, err := New(s, list, &wire.Live{}, Shared{CAs: new(verify.CACache), Tickets: new(TicketCache)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			peer := anyPeer.Clone()
			peer.MaxVersion = version
			j := &judge{t: t, key: pair.Key}
			sc, _, serverErr, clientErr := shake(t, decided(t, c, Options{Decide: j}), peer)
			if serverErr != nil || clientErr != nil || sc.Version != version {
				t.Errorf("%s: %v, %v", kind, serverErr, clientErr)
			}
			want := "sign PSSWithSHA256"
			if kind == "p256" {
				want = "sign ECDSAWithP256AndSHA256"
			}
			j.wantAsked(kind, want)
			j.refuse = errors.New("no")
			_, _, err, _ := shake(t, decided(t, c, Options{Decide: j}), peer)
			if err == nil || !strings.HasSuffix(err.Error(), ": no") {
				t.Error(err)
			}
		}
	}
}

// All at once: who is asked what, in which order, once per connection, and
// what a resumed session leaves of it.
func TestDecideOnce(t *testing.T) {
	eachVersion(t, func(t *testing.T, bits uint32) {
		pair := testcert.New(t, testcert.Options{})
		client := testcert.New(t, testcert.Options{})
		s := asking(wire.RoleServer, bits, wire.AllRequests)
		s.VerifyClient = wire.ClientCertOptional
		s.SessionLifetime = 100
		s.CA = client.CertPEM
		c := mustBuild(t, s, pair)
		store := make(map[string][]byte)
		peer := anyPeer.Clone()
		peer.ClientSessionCache = tls.NewLRUClientSessionCache(0)
		peer.Certificates = []tls.Certificate{{Certificate: [][]byte{client.Cert.Raw}, PrivateKey: client.Key}}
		verified := 0
		connect := func() (*judge, bool) {
			j := &judge{t: t, sessions: store}
			j.verify = func(int, error, [][]byte) error {
				verified++
				return nil
			}
			o := Options{Decide: j}
			a, b := sockets(t)
			defer a.Close()
			defer b.Close()
			for _, c := range []interface{ SetDeadline(time.Time) error }{a, b} {
				_ = c.SetDeadline(time.Now().Add(10 * time.Second))
			}
			done := make(chan error, 1)
			go func() {
				server := tls.Server(a, decided(t, c, o))
				err := server.Handshake()
				if err == nil {
					_, err = server.Write([]byte("x"))
				}
				done <- err
			}()
			conn := tls.Client(b, peer)
			_, err := conn.Read(make([]byte, 1))
			if err != nil {
				t.Error(err)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
			return j, conn.ConnectionState().DidResume
		}
		j, resumed := connect()
		if resumed {
			t.Error("resumed")
		}
		j.wantAsked("first", "certificate", "staple", "verify 0", "store")
		j, resumed = connect()
		if !resumed {
			t.Error("not resumed")
		}
		if bits == wire.ProtocolTLS12 {
			// The suites depend on the certificate.
			j.wantAsked("resumed", "certificate", "staple", "lookup", "verify 0", "store")
		} else {
			// The client has nothing more to say before its ticket.
			j.wantAsked("resumed", "lookup", "store", "verify 0")
		}
		// The store has lost it.
		clear(store)
		j, resumed = connect()
		if resumed {
			t.Error("resumed")
		}
		if bits == wire.ProtocolTLS12 {
			j.wantAsked("lost", "certificate", "staple", "lookup", "verify 0", "store")
		} else {
			j.wantAsked("lost", "lookup", "certificate", "staple", "verify 0", "store")
		}
		if verified != 3 {
			t.Errorf("%d verdicts", verified)
		}
	})
}

// Without requests nobody is asked, and configurations are shared.
func TestDecideNothing(t *testing.T) {
	c := mustBuild(t, &wire.Settings{Role: wire.RoleServer, Protocols: both, SessionLifetime: 100}, testcert.New(t, testcert.Options{}))
	if c.Requests() {
		t.Error("has requests")
	}
	j := &judge{t: t}
	if _, _, serverErr, clientErr := shake(t, decided(t, c, Options{Decide: j}), anyPeer); serverErr != nil || clientErr != nil {
		t.Errorf("%v, %v", serverErr, clientErr)
	}
	j.wantAsked("nothing")
}
