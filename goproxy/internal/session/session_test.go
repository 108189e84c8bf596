// SPDX-License-Identifier: ISC

package session

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"libtls-proxy/goproxy/internal/testcert"
)

const (
	patience = 10 * time.Second
	lifetime = 4000 * time.Second
)

// A clock stands still until somebody moves it.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Now().Truncate(time.Second)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// A world is a server and a client of one version.
type world struct {
	*clock
	version uint16
	server  *tls.Config
	client  *tls.Config
	store   Store // the server's, or nil
}

func eachVersion(t *testing.T, f func(t *testing.T, w *world)) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) { f(t, newWorld(t, version)) })
	}
}

func newWorld(t testing.TB, version uint16) *world {
	return &world{
		clock:   newClock(),
		version: version,
		server: &tls.Config{
			Certificates: []tls.Certificate{certificate(testcert.New(t, testcert.Options{}))},
			MinVersion:   version,
			MaxVersion:   version,
		},
		client: &tls.Config{InsecureSkipVerify: true, ServerName: "test"},
	}
}

func certificate(p *testcert.Pair) tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{p.Cert.Raw}, PrivateKey: p.Key, Leaf: p.Cert}
}

// An outcome is what became of a connection.
type outcome struct {
	resumed     bool
	file        []byte // what the client was told to write, nil for nothing
	written     int    // how many times
	serverState tls.ConnectionState
	serverError error
	clientError error
}

// connect has a client with a session file talk to a server.
func (w *world) connect(t testing.TB, tickets *Tickets, file []byte) *outcome {
	t.Helper()
	session, err := Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	o := &outcome{}
	client := w.client.Clone()
	client.ClientSessionCache = NewCache(session, func(b []byte) {
		o.file = b
		o.written++
	})
	server := w.server.Clone()
	tickets.Attach(server, w.store)

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		o.serverState, o.serverError = serve(l, server)
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	conn := tls.Client(c, client)
	_, o.clientError = io.ReadAll(conn)
	c.Close()
	<-done
	o.resumed = conn.ConnectionState().DidResume
	if o.serverError == nil && o.clientError == nil && o.resumed != o.serverState.DidResume {
		t.Errorf("client resumed: %v, server: %v", o.resumed, o.serverState.DidResume)
	}
	return o
}

func serve(l net.Listener, config *tls.Config) (tls.ConnectionState, error) {
	c, err := l.Accept()
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	conn := tls.Server(c, config)
	if err := conn.Handshake(); err != nil {
		return tls.ConnectionState{}, err
	}
	if _, err := conn.Write([]byte("hello")); err != nil {
		return tls.ConnectionState{}, err
	}
	return conn.ConnectionState(), conn.CloseWrite()
}

// mustConnect is connect where nothing but resumption is in question.
func (w *world) mustConnect(t testing.TB, tickets *Tickets, file []byte, resumed bool) *outcome {
	t.Helper()
	o := w.connect(t, tickets, file)
	if o.clientError != nil || o.serverError != nil {
		t.Fatalf("client: %v, server: %v", o.clientError, o.serverError)
	}
	if o.resumed != resumed {
		t.Errorf("resumed: %v, want %v", o.resumed, resumed)
	}
	if o.written != 1 {
		t.Fatalf("%d new sessions, want 1", o.written)
	}
	return o
}

func (w *world) tickets(keys ...Key) *Tickets {
	t := NewTickets(testContext, lifetime, w.now)
	if err := t.SetKeys(keys); err != nil {
		panic(err)
	}
	return t
}

var testContext = [ContextSize]byte{'c', 'o', 'n', 't', 'e', 'x', 't'}

func testKey(rev byte, added time.Time) Key {
	k := Key{Rev: 0x01020300 + uint32(rev), Added: added}
	for i := range k.Key {
		k.Key[i] = byte(i) ^ rev<<3
	}
	return k
}

func testName(rev byte) []byte { return append([]byte{1, 2, 3, rev}, make([]byte, 12)...) }

func fromFile(t testing.TB, data []byte) file {
	t.Helper()
	block, rest := pem.Decode(data)
	if block == nil || len(rest) != 0 || block.Type != blockType {
		t.Fatalf("not a session file: %q", data)
	}
	var f file
	if rest, err := asn1.Unmarshal(block.Bytes, &f); err != nil || len(rest) != 0 {
		t.Fatalf("%x: %v", block.Bytes, err)
	}
	return f
}

func toFile(t testing.TB, f file) []byte {
	t.Helper()
	der, err := asn1.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: blockType, Bytes: der})
}

func ticketName(t testing.TB, o *outcome) []byte {
	t.Helper()
	return fromFile(t, o.file).Ticket[:nameSize]
}

func TestResume(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *world) {
		for name, tickets := range map[string]*Tickets{
			"own key":       w.tickets(),
			"given key":     w.tickets(testKey(1, w.now())),
			"of three keys": w.tickets(testKey(3, w.now()), testKey(2, w.now()), testKey(1, w.now())),
		} {
			t.Run(name, func(t *testing.T) {
				o := w.mustConnect(t, tickets, nil, false)
				for range 3 {
					o = w.mustConnect(t, tickets, o.file, true)
				}
			})
		}
	})
}

func TestWithoutLifetime(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *world) {
		o := w.mustConnect(t, w.tickets(), nil, false)
		off := NewTickets(testContext, 0, w.now)
		for _, file := range [][]byte{nil, o.file} {
			o := w.connect(t, off, file)
			if o.clientError != nil || o.serverError != nil || o.resumed || o.written != 0 {
				t.Errorf("got %+v, want no session", o)
			}
		}
	})
}

func TestSharedKeys(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *world) {
		a, b := w.tickets(testKey(1, w.now())), w.tickets(testKey(1, w.now()))
		o := w.mustConnect(t, a, nil, false)
		o = w.mustConnect(t, b, o.file, true)
		w.mustConnect(t, a, o.file, true)
		// Without an application's keys nothing is shared.
		o = w.mustConnect(t, w.tickets(), nil, false)
		w.mustConnect(t, w.tickets(), o.file, false)
	})
}

func TestRekey(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *world) {
		one, two := testKey(1, w.now()), testKey(2, w.now())
		tickets := w.tickets(one)
		first := w.mustConnect(t, tickets, nil, false)
		if got := ticketName(t, first); !bytes.Equal(got, testName(1)) {
			t.Errorf("got a ticket of key %x", got)
		}
		set := func(keys ...Key) {
			t.Helper()
			if err := tickets.SetKeys(keys); err != nil {
				t.Fatal(err)
			}
		}
		set(two, one)
		second := w.mustConnect(t, tickets, first.file, true)
		if got := ticketName(t, second); !bytes.Equal(got, testName(2)) {
			t.Errorf("the ticket was not renewed, it has key %x", got)
		}
		set(testKey(4, w.now()), testKey(3, w.now()), two, one)
		w.mustConnect(t, tickets, first.file, true)
		set(testKey(5, w.now()), testKey(4, w.now()), testKey(3, w.now()), two)
		w.mustConnect(t, tickets, first.file, false)
		w.mustConnect(t, tickets, second.file, true)
		set(testKey(5, w.now()))
		w.mustConnect(t, tickets, second.file, false)
		// The right name is not enough.
		changed := two
		changed.Key[0] ^= 1
		changed.Key[aesSize] ^= 1
		set(changed)
		w.mustConnect(t, tickets, second.file, false)
	})
}

func TestSetKeys(t *testing.T) {
	w := newWorld(t, tls.VersionTLS13)
	tickets := w.tickets(testKey(1, w.now()))
	o := w.mustConnect(t, tickets, nil, false)
	var many []Key
	for i := range byte(MaxKeys + 1) {
		many = append(many, testKey(i+10, w.now()))
	}
	twin := testKey(10, w.now())
	twin.Key[0]++
	for want, keys := range map[string][]Key{
		"too many ticket keys":       many,
		"ticket key already present": {many[0], many[1], twin},
	} {
		if err := tickets.SetKeys(keys); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	// A refusal changes nothing.
	w.mustConnect(t, tickets, o.file, true)
	if err := tickets.SetKeys(many[:MaxKeys]); err != nil {
		t.Error(err)
	}
}

func TestSessionLifetime(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *world) {
		forever := w.now().Add(365 * 24 * time.Hour)
		tickets := w.tickets(testKey(1, forever))
		first := w.mustConnect(t, tickets, nil, false)
		w.move(lifetime - 2*time.Second)
		// This ticket is new, but the session is not.
		second := w.mustConnect(t, tickets, first.file, true)
		third := w.mustConnect(t, tickets, second.file, true)
		w.move(4 * time.Second)
		for _, o := range []*outcome{first, second, third} {
			w.mustConnect(t, tickets, o.file, false)
		}
		// What came out of a refusal is a session of its own.
		o := w.mustConnect(t, tickets, second.file, false)
		w.move(lifetime - 2*time.Second)
		w.mustConnect(t, tickets, o.file, true)
		// The lifetime is that of now, not that of then.
		w.move(4 * time.Second)
		tickets.SetLifetime(2 * lifetime)
		w.mustConnect(t, tickets, o.file, true)
		tickets.SetLifetime(lifetime)
		w.mustConnect(t, tickets, o.file, false)
	})
}

// A refused session is not to say how long the next one lives.
func TestRefusedByTLS(t *testing.T) {
	w := newWorld(t, tls.VersionTLS12)
	forever := w.now().Add(365 * 24 * time.Hour)
	tickets := w.tickets(testKey(1, forever))
	o := w.mustConnect(t, tickets, nil, false)
	w.move(lifetime / 2)
	w.client.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}
	other := newWorld(t, tls.VersionTLS12)
	other.clock, other.client = w.clock, w.client
	fresh := fromFile(t, other.mustConnect(t, tickets, nil, false).file)
	// The client believes in a session of the new suite, the ticket is one
	// of the old.
	fresh.Ticket = fromFile(t, o.file).Ticket
	o = w.mustConnect(t, tickets, toFile(t, fresh), false)
	w.move(lifetime - 2*time.Second)
	w.mustConnect(t, tickets, o.file, true)
}

func TestKeyAge(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *world) {
		start := w.now()
		tickets := w.tickets(testKey(1, start.Add(-lifetime+10*time.Second)))
		o := w.mustConnect(t, tickets, nil, false)
		w.move(10 * time.Second)
		o = w.mustConnect(t, tickets, o.file, true)
		w.move(time.Second)
		// The key is too old to open tickets and to seal them, which
		// must not keep anybody from connecting.
		o = w.mustConnect(t, tickets, o.file, false)
		if bytes.Equal(ticketName(t, o), testName(1)) {
			t.Error("an old key is in use")
		}
		w.mustConnect(t, tickets, o.file, false)
		// The next key in line is in its place.
		if err := tickets.SetKeys([]Key{testKey(1, start.Add(-lifetime)), testKey(2, start)}); err != nil {
			t.Fatal(err)
		}
		o = w.mustConnect(t, tickets, nil, false)
		if got := ticketName(t, o); !bytes.Equal(got, testName(2)) {
			t.Errorf("got a ticket of key %x", got)
		}
	})
}

func TestAutorekey(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *world) {
		tickets := w.tickets()
		first := w.mustConnect(t, tickets, nil, false)
		w.move(lifetime / 4 * 3)
		same := w.mustConnect(t, tickets, first.file, true)
		if !bytes.Equal(ticketName(t, same), ticketName(t, first)) {
			t.Error("a new key too early")
		}
		w.move(time.Second)
		second := w.mustConnect(t, tickets, first.file, true)
		if bytes.Equal(ticketName(t, second), ticketName(t, first)) {
			t.Error("no new key")
		}
		w.move(lifetime/4 - time.Second)
		w.mustConnect(t, tickets, first.file, true)
		w.move(time.Second)
		w.mustConnect(t, tickets, first.file, false)
		for range 2 * MaxKeys {
			w.move(lifetime/4*3 + time.Second)
			w.mustConnect(t, tickets, nil, false)
		}
		if n := len(tickets.own); n != MaxKeys {
			t.Errorf("%d keys, want %d", n, MaxKeys)
		}
	})
}

// An old key of ours opens no ticket, even of a young session.
func TestOwnKeyAge(t *testing.T) {
	w := newWorld(t, tls.VersionTLS13)
	tickets := w.tickets()
	w.mustConnect(t, tickets, nil, false)
	w.move(lifetime / 4 * 3)
	o := w.mustConnect(t, tickets, nil, false)
	w.move(lifetime / 4)
	w.mustConnect(t, tickets, o.file, true)
	w.move(time.Second)
	w.mustConnect(t, tickets, o.file, false)
}

// The application's keys come before ours, which are not renewed any more.
func TestKeysOfBoth(t *testing.T) {
	w := newWorld(t, tls.VersionTLS13)
	tickets := w.tickets()
	own := w.mustConnect(t, tickets, nil, false)
	if err := tickets.SetKeys([]Key{testKey(1, w.now())}); err != nil {
		t.Fatal(err)
	}
	o := w.mustConnect(t, tickets, own.file, true)
	if got := ticketName(t, o); !bytes.Equal(got, testName(1)) {
		t.Errorf("got a ticket of key %x", got)
	}
	w.move(lifetime - time.Second)
	o = w.mustConnect(t, tickets, own.file, true)
	if got := ticketName(t, o); !bytes.Equal(got, testName(1)) || len(tickets.own) != 1 {
		t.Errorf("got a ticket of key %x, %d keys of ours", got, len(tickets.own))
	}
	full := []Key{testKey(4, w.now()), testKey(3, w.now()), testKey(2, w.now()), testKey(1, w.now())}
	if err := tickets.SetKeys(full); err != nil {
		t.Fatal(err)
	}
	w.mustConnect(t, tickets, own.file, false)
}

func TestContext(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *world) {
		key := testKey(1, w.now())
		o := w.mustConnect(t, w.tickets(key), nil, false)
		for i := range ContextSize {
			context := testContext
			context[i] ^= 1
			other := NewTickets(context, lifetime, w.now)
			if err := other.SetKeys([]Key{key}); err != nil {
				t.Fatal(err)
			}
			if i > 0 && i < ContextSize-1 {
				// Once over the wire is enough.
				if s, _ := other.unwrap(fromFile(t, o.file).Ticket); s != nil {
					t.Errorf("byte %d of the context does not matter", i)
				}
				continue
			}
			w.mustConnect(t, other, o.file, false)
		}
	})
}

func TestTampering(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *world) {
		tickets := w.tickets(testKey(1, w.now()))
		o := w.mustConnect(t, tickets, nil, false)
		f := fromFile(t, o.file)
		whole := f.Ticket
		if s, _ := tickets.unwrap(whole); s == nil {
			t.Fatal("the ticket itself is refused")
		}
		for i := range whole {
			ticket := bytes.Clone(whole)
			ticket[i] ^= 0x10
			if s, _ := tickets.unwrap(ticket); s != nil {
				t.Errorf("byte %d of %d does not matter", i, len(whole))
			}
			if s, _ := tickets.unwrap(whole[:i]); s != nil {
				t.Errorf("%d bytes of %d are a ticket", i, len(whole))
			}
		}
		if s, _ := tickets.unwrap(append(bytes.Clone(whole), make([]byte, 16)...)); s != nil {
			t.Error("a longer ticket is a ticket")
		}
		for _, i := range []int{0, nameSize, nameSize + 16, len(whole) - 1} {
			f.Ticket = bytes.Clone(whole)
			f.Ticket[i] ^= 1
			w.mustConnect(t, tickets, toFile(t, f), false)
		}
		f.Ticket = []byte{0}
		w.mustConnect(t, tickets, toFile(t, f), false)
	})
}

// Others may have the keys, and seal other things with them.
func TestOtherContents(t *testing.T) {
	w := newWorld(t, tls.VersionTLS13)
	tickets := w.tickets(testKey(1, w.now()))
	o := w.mustConnect(t, tickets, nil, false)
	k := newKey(testKey(1, w.now()))
	plain := k.open(fromFile(t, o.file).Ticket)
	edit := func(f func(*tls.SessionState)) []byte {
		t.Helper()
		s, err := tls.ParseSessionState(plain)
		if err != nil {
			t.Fatal(err)
		}
		f(s)
		b, err := s.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	extra := tickets.extra(w.now())
	for _, c := range []struct {
		name  string
		plain []byte
		want  bool
	}{
		{"ours", plain, true},
		{"empty", nil, false},
		{"libssl's", []byte("\x30\x82\x01\x00\x02\x01\x01\x02\x02\x03\x03\x04\x02\x13\x02"), false},
		{"text", []byte(strings.Repeat("x", 200)), false},
		{"no extra", edit(func(s *tls.SessionState) { s.Extra = nil }), false},
		{"other extra", edit(func(s *tls.SessionState) { s.Extra = [][]byte{[]byte("other")} }), false},
		{"one more extra", edit(func(s *tls.SessionState) { s.Extra = [][]byte{[]byte("other"), extra} }), true},
		{"short extra", edit(func(s *tls.SessionState) { s.Extra[0] = extra[:len(extra)-1] }), false},
		{"long extra", edit(func(s *tls.SessionState) { s.Extra[0] = append(bytes.Clone(extra), 0) }), false},
		{"other version", edit(func(s *tls.SessionState) { s.Extra[0] = bytes.Replace(extra, []byte("1"), []byte("2"), 1) }), false},
	} {
		ticket, err := k.seal(make([]byte, 16), c.plain)
		if err != nil {
			t.Fatal(err)
		}
		if s, _ := tickets.unwrap(ticket); (s != nil) != c.want {
			t.Errorf("%s: got a session: %v, want %v", c.name, s != nil, c.want)
		}
	}
}

// The layout is libssl's: name, IV, AES-256-CBC, HMAC-SHA256. openssl(1) and
// python have made this one.
func TestGoldenTicket(t *testing.T) {
	const want = "01020304000000000000000000000000a0a1a2a3a4a5a6a7a8a9aaabacadaeaf2601c37ed562f4aaffdbdb6d281c5f504790fc720bc73b00e46037ac51dac01b967da8563ccfe7e80fc714b9c7fbe8e5fa88a91000a56d954b685d7ba18278b0"
	k := Key{Rev: 0x01020304}
	for i := range k.Key {
		k.Key[i] = byte(i)
	}
	iv := []byte("\xa0\xa1\xa2\xa3\xa4\xa5\xa6\xa7\xa8\xa9\xaa\xab\xac\xad\xae\xaf")
	n := newKey(k)
	const plain = "the state of a session"
	ticket, err := n.seal(iv, []byte(plain))
	if err != nil || hex.EncodeToString(ticket) != want {
		t.Errorf("got %x, %v\nwant %s", ticket, err, want)
	}
	if got := n.open(ticket); string(got) != plain {
		t.Errorf("got %q, want %q", got, plain)
	}
}

// No two tickets have the same IV, nor two keys of ours anything in common.
func TestRandomness(t *testing.T) {
	w := newWorld(t, tls.VersionTLS12)
	tickets := w.tickets()
	seen := make(map[string]bool)
	for range 4 {
		seen[string(fromFile(t, w.mustConnect(t, tickets, nil, false).file).Ticket[nameSize:nameSize+16])] = true
	}
	if len(seen) != 4 {
		t.Error("an IV comes twice")
	}
	a, b := tickets.own[0], w.tickets()
	b.keys()
	if a.name == b.own[0].name || a.aes == b.own[0].aes || a.mac == b.own[0].mac || a.mac == [macSize]byte{} {
		t.Error("keys are not random")
	}
}

// What is too large for a ticket is no reason not to connect.
func TestLargeState(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *world) {
		w.server.ClientAuth = tls.RequireAnyClientCert
		tickets := w.tickets(testKey(1, w.now()))
		for _, c := range []struct {
			size    int
			resumed bool
		}{{maxTicket - 3000, true}, {maxTicket, false}, {1 << 16, false}} {
			w.client.Certificates = []tls.Certificate{certificate(testcert.New(t, testcert.Options{
				// It is its own issuer, so the name is there twice.
				Template: func(cert *x509.Certificate) {
					cert.Subject.OrganizationalUnit = []string{strings.Repeat("x", c.size/2)}
				},
			}))}
			o := w.mustConnect(t, tickets, nil, false)
			w.mustConnect(t, tickets, o.file, c.resumed)
		}
	})
}

// A client's certificate is in its session, and verified like a new one.
func TestClientCertificate(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *world) {
		p := testcert.New(t, testcert.Options{})
		w.server.ClientAuth = tls.RequireAnyClientCert
		w.client.Certificates = []tls.Certificate{certificate(p)}
		var refuse error
		w.server.VerifyConnection = func(tls.ConnectionState) error { return refuse }
		tickets := w.tickets()
		o := w.mustConnect(t, tickets, nil, false)
		o = w.mustConnect(t, tickets, o.file, true)
		if certs := o.serverState.PeerCertificates; len(certs) != 1 || !certs[0].Equal(p.Cert) {
			t.Errorf("got %d certificates", len(certs))
		}
		refuse = errors.New("revoked")
		if o := w.connect(t, tickets, o.file); o.serverError != refuse || o.clientError == nil {
			t.Errorf("server: %v, client: %v, want %v", o.serverError, o.clientError, refuse)
		}
	})
}

// Handshakes while the application changes keys: with one in common at any
// time, everybody resumes.
func TestConcurrency(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *world) {
		common := testKey(0, w.now())
		tickets := w.tickets(common)
		first := w.mustConnect(t, tickets, nil, false)
		stop := make(chan struct{})
		var updates, clients sync.WaitGroup
		updates.Go(func() {
			for i := byte(1); ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := tickets.SetKeys([]Key{testKey(i|1, w.now()), common}); err != nil {
					t.Error(err)
				}
				tickets.SetLifetime(lifetime + time.Duration(i)*time.Second)
			}
		})
		for range 4 {
			clients.Go(func() {
				for range 10 {
					if o := w.connect(t, tickets, first.file); !o.resumed || o.clientError != nil || o.serverError != nil {
						t.Errorf("got %+v", o)
					}
				}
			})
		}
		clients.Wait()
		close(stop)
		updates.Wait()
	})
}

func FuzzUnwrap(f *testing.F) {
	w := newWorld(f, tls.VersionTLS13)
	tickets := w.tickets(testKey(1, w.now()))
	k := newKey(testKey(1, w.now()))
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		w := newWorld(f, version)
		ticket := fromFile(f, w.mustConnect(f, tickets, nil, false).file).Ticket
		f.Add(ticket)
		f.Add(k.open(ticket))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		tickets.unwrap(b)
		// With the right MAC the contents are next.
		ticket, err := k.seal(make([]byte, 16), b)
		if err != nil {
			t.Fatal(err)
		}
		if got := k.open(ticket); !bytes.Equal(got, b) {
			t.Fatalf("sealed %x, opened %x", b, got)
		}
		if s, created := tickets.unwrap(ticket); s != nil && w.now().Sub(created) > lifetime {
			t.Fatalf("a session of %v", created)
		}
	})
}
