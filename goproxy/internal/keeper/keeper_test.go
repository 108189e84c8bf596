// SPDX-License-Identifier: ISC

package keeper

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"libtls-proxy/goproxy/internal/channel"
	"libtls-proxy/goproxy/internal/testcert"
	"libtls-proxy/goproxy/internal/wire"
)

const patience = 10 * time.Second

// A bench is a keeper whose library, supervisor and workers the test plays.
type bench struct {
	t          testing.TB
	control    *channel.Conn
	supervisor *channel.Conn
	done       chan error
}

func newBench(t testing.TB) *bench {
	t.Helper()
	control, controlEnd, err := channel.Pair()
	if err != nil {
		t.Fatal(err)
	}
	supervisor, supervisorEnd, err := channel.Pair()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t, control, supervisor, make(chan error, 1)}
	go func() { b.done <- Run(controlEnd, supervisorEnd, -1, "test") }()
	return b
}

func recv(t testing.TB, c *channel.Conn, sender, on string) (wire.Message, channel.Fds) {
	t.Helper()
	timer := time.AfterFunc(patience, func() { c.Close() })
	defer timer.Stop()
	b, fds, err := c.Recv()
	if err != nil {
		t.Fatalf("no message on %s: %v", on, err)
	}
	m, err := wire.Decode(sender, on, b, len(fds))
	if err != nil {
		t.Fatal(err)
	}
	return m, fds
}

// wantEOF waits for the end of c.
func wantEOF(t testing.TB, c *channel.Conn) {
	t.Helper()
	timer := time.AfterFunc(patience, func() { c.Close() })
	defer timer.Stop()
	b, fds, err := c.Recv()
	fds.Close()
	if err == nil || err.Error() != "EOF" {
		t.Errorf("%x, %v instead of the end", b, err)
	}
}

// worker accepts the next worker that the keeper asks for.
func (b *bench) worker() *channel.Conn {
	b.t.Helper()
	_, fds := recv(b.t, b.supervisor, "keeper", "supervisor")
	link, err := channel.New(fds.Take(0))
	if err != nil {
		b.t.Fatal(err)
	}
	return link
}

func (b *bench) finish() {
	b.t.Helper()
	select {
	case err := <-b.done:
		if err != nil {
			b.t.Error(err)
		}
	case <-time.After(patience):
		b.t.Error("the keeper does not end")
	}
}

func (b *bench) draft() *channel.Conn {
	b.t.Helper()
	c, end, err := channel.Pair()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.control.Send(&wire.Hello{}, end); err != nil {
		b.t.Fatal(err)
	}
	unix.Close(end)
	recv(b.t, c, "keeper", "draft")
	return c
}

func memfd(t testing.TB, data []byte) int {
	t.Helper()
	fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	for len(data) > 0 {
		n, err := unix.Write(fd, data)
		if err != nil {
			t.Fatal(err)
		}
		data = data[n:]
	}
	return fd
}

// request sends m with a file and the end of a new channel, which it returns.
func request(t testing.TB, c *channel.Conn, m wire.Message, data []byte) *channel.Conn {
	t.Helper()
	fd := memfd(t, data)
	defer unix.Close(fd)
	reply, end, err := channel.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(end)
	if err := c.Send(m, fd, end); err != nil {
		t.Fatal(err)
	}
	return reply
}

func addKey(t testing.TB, draft *channel.Conn, key []byte) *wire.AddKeyReply {
	t.Helper()
	reply := request(t, draft, &wire.AddKey{}, key)
	defer reply.Close()
	m, _ := recv(t, reply, "keeper", "reply")
	return m.(*wire.AddKeyReply)
}

func document(t testing.TB, messages ...wire.Message) []byte {
	t.Helper()
	var doc []byte
	for _, m := range messages {
		b, err := wire.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		doc = binary.BigEndian.AppendUint32(doc, uint32(len(b)))
		doc = append(doc, b...)
	}
	return doc
}

func commitReply(t testing.TB, c *channel.Conn) string {
	t.Helper()
	m, _ := recv(t, c, "keeper", "config")
	return m.(*wire.CommitReply).Error
}

func TestCommitErrors(t *testing.T) {
	b := newBench(t)
	link := b.worker()
	one, two := testcert.New(t, testcert.Options{}), testcert.New(t, testcert.Options{})
	weak := testcert.New(t, testcert.Options{Kind: "p224"})
	draft := b.draft()
	defer draft.Close()
	const good, other, garbage, dropped, weakKey = 1, 2, 3, 4, 5
	for i, key := range [][]byte{one.KeyPEM, two.KeyPEM, []byte("garbage"), one.KeyPEM, weak.KeyPEM} {
		if r := addKey(t, draft, key); r.Error != "" || r.Slot != uint32(i)+1 {
			t.Fatalf("%+v", r)
		}
	}
	if err := draft.Send(&wire.DropKey{Slot: dropped}); err != nil {
		t.Fatal(err)
	}
	if err := draft.Send(&wire.DropKey{Slot: 99}); err != nil {
		t.Fatal(err)
	}
	server, client := &wire.Settings{Role: wire.RoleServer}, &wire.Settings{Role: wire.RoleClient}
	pair := func(slot uint32, cert []byte) wire.Message {
		return &wire.Keypair{Slot: slot, Certificate: cert}
	}
	for _, tt := range []struct {
		name string
		doc  []byte
		want string
	}{
		{"no key pair", document(t, server), "private/public key mismatch"},
		{"empty key pair", document(t, server, pair(0, nil)), "private/public key mismatch"},
		{"other key", document(t, server, pair(other, one.CertPEM)), "private/public key mismatch"},
		{"other key, second pair", document(t, server, pair(good, one.CertPEM), pair(good, two.CertPEM)), "private/public key mismatch"},
		{"no key", document(t, server, pair(0, one.CertPEM)), "private/public key mismatch"},
		{"no certificate", document(t, server, pair(good, nil)), "private/public key mismatch"},
		{"client without key", document(t, client, pair(0, one.CertPEM)), "private/public key mismatch"},
		{"client without certificate", document(t, client, pair(good, nil)), "private/public key mismatch"},
		{"no key in file", document(t, server, pair(garbage, one.CertPEM)), "failed to read private key"},
		{"key dropped", document(t, server, pair(dropped, one.CertPEM)), "failed to read private key"},
		{"key never added", document(t, server, pair(77, one.CertPEM)), "failed to read private key"},
		{"weak key", document(t, server, pair(weakKey, one.CertPEM)), "failed to load private key"},
		{"weak certificate", document(t, server, pair(good, weak.CertPEM)), "failed to load certificate"},
		{"garbage certificate", document(t, server, pair(good, []byte("garbage"))), "failed to load certificate"},
		{"garbage in chain", document(t, server, pair(good, append(one.CertPEM,
			"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"...))), "failed to load certificate"},
		{"no settings", document(t, pair(good, one.CertPEM)), "wire: KEYPAIR before SETTINGS"},
		{"empty document", nil, "wire: document without SETTINGS"},
	} {
		c := request(t, draft, &wire.Commit{}, tt.doc)
		if got := commitReply(t, c); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		wantEOF(t, c)
	}
	b.control.Close()
	draft.Close()
	if m, _ := recv(t, link, "keeper", "link"); m == nil {
		t.Error("no DRAIN")
	} else if _, ok := m.(*wire.Drain); !ok {
		t.Errorf("%T instead of DRAIN", m)
	}
	link.Close()
	b.finish()
}

func TestAddKeyErrors(t *testing.T) {
	b := newBench(t)
	link := b.worker()
	draft := b.draft()
	r := addKey(t, draft, make([]byte, wire.MaxKey+1))
	if r.Error != "failed to read private key: File too large" || r.Slot != 0 {
		t.Errorf("%+v", r)
	}
	if r := addKey(t, draft, nil); r.Error != "" || r.Slot != 1 {
		t.Errorf("%+v", r)
	}
	// A message that is out of place closes the draft, and only that.
	if err := draft.Send(&wire.Hello{}); err != nil {
		t.Fatal(err)
	}
	wantEOF(t, draft)
	b.draft().Close()
	b.control.Close()
	recv(t, link, "keeper", "link")
	link.Close()
	b.finish()
}

func TestCheckCert(t *testing.T) {
	b := newBench(t)
	link := b.worker()
	draft := b.draft()
	defer draft.Close()
	check := func(data []byte) *wire.CheckCertReply {
		t.Helper()
		reply := request(t, draft, &wire.CheckCert{}, data)
		defer reply.Close()
		m, _ := recv(t, reply, "keeper", "reply")
		return m.(*wire.CheckCertReply)
	}
	kp := testcert.New(t, testcert.Options{})
	want := fmt.Sprintf("SHA256:%x", sha256.Sum256(publicBits(t, kp.Cert.PublicKey)))
	if r := check(kp.CertPEM); r.Error != "" || r.Hash != want {
		t.Errorf("%+v, want %s", r, want)
	}
	for _, tt := range []struct {
		data []byte
		want string
	}{
		{nil, "failed to load certificate: error:09FFF06C:PEM routines:CRYPTO_internal:no start line"},
		{make([]byte, wire.MaxKey+1), "failed to read certificate: File too large"},
	} {
		if r := check(tt.data); r.Error != tt.want || r.Hash != "" {
			t.Errorf("%+v, want %q", r, tt.want)
		}
	}
	// A chain to be checked takes no slot.
	if r := addKey(t, draft, kp.KeyPEM); r.Slot != 1 {
		t.Errorf("%+v", r)
	}
	b.control.Close()
	draft.Close()
	recv(t, link, "keeper", "link")
	link.Close()
	b.finish()
}

func TestDecryptKeyRequest(t *testing.T) {
	b := newBench(t)
	link := b.worker()
	draft := b.draft()
	defer draft.Close()
	for _, tt := range []struct {
		data           string
		password       string
		want, wantText string
	}{
		{encryptedKey, "secret", plainKey, ""},
		{encryptedKey, "", "", "failed to decrypt private key: wrong password or malformed private key"},
		{strings.Repeat("x", wire.MaxKey+1), "secret", "", "failed to read private key: File too large"},
		{plainKey, "secret", plainKey, ""},
	} {
		reply := request(t, draft, &wire.DecryptKey{Password: []byte(tt.password)}, []byte(tt.data))
		m, _ := recv(t, reply, "keeper", "reply")
		reply.Close()
		if r := m.(*wire.DecryptKeyReply); string(r.Key) != tt.want || r.Error != tt.wantText {
			t.Errorf("%q: %d bytes, %q", tt.password, len(r.Key), r.Error)
		}
	}
	if r := addKey(t, draft, []byte(plainKey)); r.Slot != 1 {
		t.Errorf("%+v", r)
	}
	b.control.Close()
	draft.Close()
	recv(t, link, "keeper", "link")
	link.Close()
	b.finish()
}

func TestPasswordIsWiped(t *testing.T) {
	for _, data := range []string{encryptedKey, "garbage", strings.Repeat("x", wire.MaxKey+1)} {
		c, end, err := channel.Pair()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		reply, replyEnd, err := channel.Pair()
		if err != nil {
			t.Fatal(err)
		}
		defer reply.Close()
		b, err := wire.Encode(&wire.DecryptKey{Password: []byte("secret")})
		if err != nil {
			t.Fatal(err)
		}
		d := &draft{keeper: &keeper{}, channel: c}
		if !d.handle(b, channel.Fds{memfd(t, []byte(data)), replyEnd}) {
			t.Error("the draft is closed")
		}
		if bytes.Contains(b, []byte("secret")) {
			t.Errorf("the password is still there after %.20q", data)
		}
		unix.Close(end)
	}
}

func TestVersions(t *testing.T) {
	b := newBench(t)
	link := b.worker()
	c, end, err := channel.Pair()
	if err != nil {
		t.Fatal(err)
	}
	hello, err := wire.Encode(&wire.Hello{})
	if err != nil {
		t.Fatal(err)
	}
	hello[1] = 9
	err = b.control.With(func(fd int) error {
		return unix.Sendmsg(fd, append(hello, "of the future"...), unix.UnixRights(end), nil, 0)
	})
	unix.Close(end)
	if err != nil {
		t.Fatal(err)
	}
	if m, _ := recv(t, c, "keeper", "draft"); m.(*wire.HelloReply).Release != "test" {
		t.Errorf("%+v", m)
	}
	wantEOF(t, c)
	// The control channel lives on.
	b.draft().Close()
	b.control.Close()
	recv(t, link, "keeper", "link")
	link.Close()
	b.finish()
}

// serving returns a bench with a committed server configuration.
func serving(t *testing.T, kind string) (*bench, *channel.Conn, *channel.Conn, uint32) {
	t.Helper()
	b := newBench(t)
	link := b.worker()
	kp := testcert.New(t, testcert.Options{Kind: kind})
	draft := b.draft()
	defer draft.Close()
	slot := addKey(t, draft, kp.KeyPEM).Slot
	settings := &wire.Settings{Role: wire.RoleServer, Protocols: bothVersions}
	conf := request(t, draft, &wire.Commit{}, document(t, settings,
		&wire.Keypair{Slot: slot, Certificate: kp.CertPEM}))
	m, fds := recv(t, link, "keeper", "link")
	fds.Close()
	id := m.(*wire.Config).Config
	if err := link.Send(&wire.ConfigReady{Config: id}); err != nil {
		t.Fatal(err)
	}
	if text := commitReply(t, conf); text != "" {
		t.Fatal(text)
	}
	return b, link, conf, id
}

func (b *bench) info() *wire.InfoReply {
	b.t.Helper()
	reply, end, err := channel.Pair()
	if err != nil {
		b.t.Fatal(err)
	}
	defer reply.Close()
	if err := b.control.Send(&wire.Info{}, end); err != nil {
		b.t.Fatal(err)
	}
	unix.Close(end)
	m, _ := recv(b.t, reply, "keeper", "reply")
	return m.(*wire.InfoReply)
}

// A worker that was taken over gets nothing signed but handshakes, and the
// application can see that it has tried.
func TestFakeWorker(t *testing.T) {
	for _, kind := range []string{"rsa", "p256", "ed25519"} {
		t.Run(kind, func(t *testing.T) { testFakeWorker(t, kind) })
	}
}

func testFakeWorker(t *testing.T, kind string) {
	b, link, conf, id := serving(t, kind)
	defer conf.Close()
	ask := func(config, slot uint32, scheme tls.SignatureScheme, message []byte) string {
		t.Helper()
		request := &wire.Sign{Request: 5, Config: config, Slot: slot, Scheme: uint16(scheme), Message: message}
		if err := link.Send(request); err != nil {
			t.Fatal(err)
		}
		m, _ := recv(t, link, "keeper", "link")
		r := m.(*wire.SignReply)
		if r.Request != 5 || (r.Error == "") != (len(r.Signature) != 0) {
			t.Fatalf("%+v", r)
		}
		return r.Error
	}
	scheme := map[string]tls.SignatureScheme{
		"rsa": tls.PSSWithSHA256, "p256": tls.ECDSAWithP256AndSHA256, "ed25519": tls.Ed25519,
	}[kind]
	verify13 := func(context string) []byte {
		return append(append(bytes.Clone(padding13), context...), make([]byte, 32)...)
	}
	good13, good12 := verify13(context13Server), keyExchange(t, tls.X25519)
	h := shake(t, testcert.New(t, testcert.Options{}), &tls.Config{MaxVersion: tls.VersionTLS12})
	type request struct {
		config, slot uint32
		scheme       tls.SignatureScheme
		message      []byte
		want         error
	}
	requests := map[string]request{
		"TLS 1.3":                         {id, 1, scheme, good13, nil},
		"TLS 1.2":                         {id, 1, scheme, good12, nil},
		"a client's TLS 1.3":              {id, 1, scheme, verify13(context13Client), errForm},
		"a client's TLS 1.2":              {id, 1, scheme, h.client, errForm},
		"another slot":                    {id, 2, scheme, good13, errNoSuchKey},
		"no slot":                         {id, 0, scheme, good13, errNoSuchKey},
		"another configuration":           {id + 1, 1, scheme, good13, errNoSuchKey},
		"MD5":                             {id, 1, 0x0101, good12, errScheme},
		"SHA-1 with RSA":                  {id, 1, tls.PKCS1WithSHA1, good12, errScheme},
		"SHA-1 with ECDSA":                {id, 1, tls.ECDSAWithSHA1, good12, errScheme},
		"PKCS #1 in TLS 1.3":              {id, 1, tls.PKCS1WithSHA256, good13, errScheme},
		"a curve's scheme of another one": {id, 1, tls.ECDSAWithP384AndSHA384, good13, errScheme},
		"no scheme":                       {id, 1, 0, good13, errScheme},
	}
	for name, message := range otherMessages(t) {
		requests[name] = request{id, 1, scheme, message, errForm}
	}
	before := b.info()
	want := *before
	for name, r := range requests {
		got := ask(r.config, r.slot, r.scheme, r.message)
		if r.want == nil {
			want.Signatures++
			if got != "" {
				t.Errorf("%s: %s", name, got)
			}
		} else {
			want.Refused++
			want.RefusedLast = r.want.Error()
			if got != r.want.Error() {
				t.Errorf("%s: %q, want %q", name, got, r.want)
			}
		}
		if info := b.info(); *info != want {
			t.Fatalf("%s: %+v, want %+v", name, info, want)
		}
	}
	if want.Signatures != 2 || want.Refused != uint64(len(requests)-2) {
		t.Errorf("%+v", want)
	}
	if err := link.Send(&wire.ConfigClosed{Config: id}); err != nil {
		t.Fatal(err)
	}
	if text := ask(id, 1, scheme, good13); text != errNoSuchKey.Error() {
		t.Errorf("closed configuration: %q", text)
	}
	b.control.Close()
	recv(t, link, "keeper", "link")
	link.Close()
	b.finish()
}

func TestInfo(t *testing.T) {
	b := newBench(t)
	link := b.worker()
	// The link is the first thing that a keeper makes, and not yet served.
	wait := func(want wire.InfoReply) {
		t.Helper()
		for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
			info := b.info()
			if *info == want {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%+v, want %+v", info, want)
			}
		}
	}
	wait(wire.InfoReply{Release: "test", Workers: 1})
	// Two configurations of one draft have three different keys.
	draft := b.draft()
	var pairs []wire.Message
	for range 3 {
		kp := testcert.New(t, testcert.Options{})
		pairs = append(pairs, &wire.Keypair{Slot: addKey(t, draft, kp.KeyPEM).Slot, Certificate: kp.CertPEM})
	}
	var confs []*channel.Conn
	for _, part := range [][]wire.Message{pairs[:2], pairs[1:]} {
		doc := append([]wire.Message{&wire.Settings{Role: wire.RoleServer, Protocols: bothVersions}}, part...)
		confs = append(confs, request(t, draft, &wire.Commit{}, document(t, doc...)))
	}
	draft.Close()
	wait(wire.InfoReply{Release: "test", Workers: 1, Configs: 2, Keys: 3})
	link.Close()
	link = b.worker()
	wait(wire.InfoReply{Release: "test", Workers: 1, Deaths: 1, Configs: 2, Keys: 3})
	for _, c := range confs {
		m, fds := recv(t, link, "keeper", "link")
		fds.Close()
		if err := link.Send(&wire.ConfigClosed{Config: m.(*wire.Config).Config}); err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	wait(wire.InfoReply{Release: "test", Workers: 1, Deaths: 1})
	// A reply channel that is none, or that nobody reads, harms nobody.
	fd := memfd(t, nil)
	if err := b.control.Send(&wire.Info{}, fd); err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	wait(wire.InfoReply{Release: "test", Workers: 1, Deaths: 1})
	b.control.Close()
	recv(t, link, "keeper", "link")
	link.Close()
	b.finish()
}

func TestNextWorker(t *testing.T) {
	b, link, conf, id := serving(t, "p256")
	defer conf.Close()
	for range 3 {
		link.Close()
		link = b.worker()
		m, fds := recv(t, link, "keeper", "link")
		fds.Close()
		if got := m.(*wire.Config).Config; got != id {
			t.Errorf("configuration %d instead of %d", got, id)
		}
		if err := link.Send(&wire.ConfigReady{Config: id}); err != nil {
			t.Fatal(err)
		}
	}
	// What breaks the protocol is replaced.
	if err := link.Send(&wire.ConfigReady{Config: id + 1}); err != nil {
		t.Fatal(err)
	}
	wantEOF(t, link)
	link = b.worker()
	_, fds := recv(t, link, "keeper", "link")
	fds.Close()
	b.control.Close()
	if err := link.Send(&wire.ConfigClosed{Config: id}); err != nil {
		t.Fatal(err)
	}
	recv(t, link, "keeper", "link")
	link.Close()
	b.finish()
}

func sendUpdate(t testing.TB, link *channel.Conn, id uint32, fd int) {
	t.Helper()
	defer unix.Close(fd)
	if err := link.Send(&wire.ConfigUpdate{Config: id}, fd); err != nil {
		t.Fatal(err)
	}
}

// wantConfig takes a CONFIG, whose update shall be this one.
func wantConfig(t *testing.T, link *channel.Conn, id uint32, update []byte) {
	t.Helper()
	m, fds := recv(t, link, "keeper", "link")
	defer fds.Close()
	if c, ok := m.(*wire.Config); !ok || c.Config != id {
		t.Fatalf("%T %+v", m, m)
	}
	if update == nil {
		if len(fds) != 2 {
			t.Errorf("%d descriptors without an update", len(fds))
		}
		return
	}
	if len(fds) != 3 {
		t.Fatalf("%d descriptors with an update", len(fds))
	}
	if got, err := readDocument(fds[2]); err != nil || !bytes.Equal(got, update) {
		t.Errorf("update %x, %v, want %x", got, err, update)
	}
}

func TestUpdate(t *testing.T) {
	b, link, conf, id := serving(t, "p256")
	defer conf.Close()
	staple := document(t, &wire.Staple{Response: []byte("response")})
	both := document(t, &wire.TicketKey{Revision: 2, Key: make([]byte, wire.TicketKeySize)},
		&wire.TicketKey{Revision: 1, Key: make([]byte, wire.TicketKeySize)}, &wire.Staple{})
	sendUpdate(t, link, id, memfd(t, staple))
	sendUpdate(t, link, id, memfd(t, both))
	link.Close()
	link = b.worker()
	wantConfig(t, link, id, both)
	// A bad one costs the worker its link, and changes nothing.
	sendUpdate(t, link, id, memfd(t, []byte{}))
	sendUpdate(t, link, id, memfd(t, staple[1:]))
	wantEOF(t, link)
	link.Close()
	link = b.worker()
	wantConfig(t, link, id, []byte{})
	b.control.Close()
	if err := link.Send(&wire.ConfigClosed{Config: id}); err != nil {
		t.Fatal(err)
	}
	recv(t, link, "keeper", "link")
	link.Close()
	b.finish()
}

// newOrphan returns a keeper whose supervisor has gone: it starts no worker.
func newOrphan(t testing.TB) *keeper {
	t.Helper()
	supervisor, end, err := channel.Pair()
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(end)
	t.Cleanup(func() { supervisor.Close() })
	return newKeeper("test", supervisor)
}

// A linked is a worker with a configuration and a link whose other end nobody
// reads.
type linked struct {
	*worker
	conf *config
	link *link
}

func newLinked(t testing.TB) *linked {
	t.Helper()
	l, end, err := channel.Pair()
	if err != nil {
		t.Fatal(err)
	}
	app, appEnd, err := channel.Pair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.Close()
		unix.Close(end)
		unix.Close(appEnd)
	})
	k := newOrphan(t)
	t.Cleanup(k.running.Wait)
	w := newWorker(k)
	conf := &config{id: 1, use: use{role: wire.RoleServer}, pairs: 1, channel: app, document: memfd(t, nil),
		update: channel.Fds{memfd(t, nil)}, answer: func(string) {}}
	w.configs[1] = conf
	return &linked{w, conf, &link{channel: l, pending: make(chan struct{}, maxPending)}}
}

func isOpen(fd int) bool {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil
}

// beside has another worker serve what this one has no room for.
func (b *bench) beside(link *channel.Conn, id uint32) (*channel.Conn, uint32) {
	b.t.Helper()
	if err := link.Send(&wire.Overflow{Config: id}); err != nil {
		b.t.Fatal(err)
	}
	next := b.worker()
	m, fds := recv(b.t, next, "keeper", "link")
	fds.Close()
	id = m.(*wire.Config).Config
	if err := next.Send(&wire.ConfigReady{Config: id}); err != nil {
		b.t.Fatal(err)
	}
	m, fds = recv(b.t, link, "keeper", "link")
	if _, ok := m.(*wire.OverflowReply); !ok || len(fds) != 1 {
		b.t.Fatalf("%T %+v", m, m)
	}
	b.t.Cleanup(fds.Close)
	return next, id
}

// An update reaches all workers of a configuration, and who comes after one.
func TestUpdateBeside(t *testing.T) {
	b, link, conf, id := serving(t, "p256")
	defer conf.Close()
	link2, id2 := b.beside(link, id)
	link3, id3 := b.beside(link2, id2)
	update := document(t, &wire.Staple{Response: []byte("new")})
	sendUpdate(t, link, id, memfd(t, update))
	for l, id := range map[*channel.Conn]uint32{link2: id2, link3: id3} {
		m, fds := recv(t, l, "keeper", "link")
		if r, ok := m.(*wire.Refresh); !ok || r.Config != id {
			t.Fatalf("%T %+v", m, m)
		}
		if got, err := readDocument(fds[0]); err != nil || !bytes.Equal(got, update) {
			t.Errorf("%x, %v", got, err)
		}
		fds.Close()
	}
	link2.Close()
	link2 = b.worker()
	wantConfig(t, link2, id2, update)
	b.control.Close()
	// With the first the last user goes.
	ids := []uint32{id, id2, id3}
	for i, l := range []*channel.Conn{link, link2, link3} {
		if err := l.Send(&wire.ConfigClosed{Config: ids[i]}); err != nil {
			t.Fatal(err)
		}
		recv(t, l, "keeper", "link")
		l.Close()
	}
	b.finish()
}

func TestBadUpdates(t *testing.T) {
	staple := document(t, &wire.Staple{Response: []byte("response")})
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[1])
	sparse := memfd(t, nil)
	if err := unix.Ftruncate(sparse, wire.MaxDocument+1); err != nil {
		t.Fatal(err)
	}
	k := newLinked(t)
	first := k.conf.update[0]
	for _, tt := range []struct {
		name   string
		config uint32
		fd     int
		ok     bool
	}{
		{"settings", 1, memfd(t, document(t, &wire.Settings{Role: wire.RoleServer})), false},
		{"pair", 1, memfd(t, document(t, &wire.Keypair{})), false},
		{"other message", 1, memfd(t, document(t, &wire.Start{})), false},
		{"cut off", 1, memfd(t, staple[:len(staple)-1]), false},
		{"staple of no pair", 1, memfd(t, document(t, &wire.Staple{Pair: 1})), false},
		{"pipe", 1, pipe[0], false},
		{"too long", 1, sparse, false},
		{"other configuration", 2, memfd(t, staple), false},
		{"good", 1, memfd(t, staple), true},
	} {
		b, err := wire.Encode(&wire.ConfigUpdate{Config: tt.config})
		if err != nil {
			t.Fatal(err)
		}
		if err := k.handle(k.link, b, channel.Fds{tt.fd}); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
		if isOpen(tt.fd) != tt.ok || isOpen(first) == tt.ok {
			t.Errorf("%s: open %v, the one before %v", tt.name, isOpen(tt.fd), isOpen(first))
		}
	}
	last := k.conf.update[0]
	k.forget(k.conf)
	if isOpen(last) {
		t.Error("the update of a configuration that is closed is open")
	}
}

func TestNoUpdate(t *testing.T) {
	b, link, conf, id := serving(t, "p256")
	defer conf.Close()
	link.Close()
	link = b.worker()
	wantConfig(t, link, id, nil)
	b.control.Close()
	if err := link.Send(&wire.ConfigClosed{Config: id}); err != nil {
		t.Fatal(err)
	}
	recv(t, link, "keeper", "link")
	link.Close()
	b.finish()
}

// Without descriptors the keeper loses an update, and not the worker.
func TestUpdateExhausted(t *testing.T) {
	b, link, conf, id := serving(t, "p256")
	defer conf.Close()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	update := memfd(t, nil)
	// All below it are in use. It is not less, for how many of a user are
	// under way at once has the same limit.
	t.Cleanup(func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit) })
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(update), Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	sendUpdate(t, link, id, update)
	err := link.Send(&wire.Sign{Request: 1, Config: id})
	m, _ := recv(t, link, "keeper", "link")
	if e := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); e != nil {
		t.Fatal(e)
	}
	if r, ok := m.(*wire.SignReply); err != nil || !ok || r.Request != 1 {
		t.Errorf("%v, %T %+v", err, m, m)
	}
	link.Close()
	link = b.worker()
	wantConfig(t, link, id, nil)
	b.control.Close()
	if err := link.Send(&wire.ConfigClosed{Config: id}); err != nil {
		t.Fatal(err)
	}
	recv(t, link, "keeper", "link")
	link.Close()
	b.finish()
}

// A configuration that kills two workers is given up.
func TestDeadlyConfiguration(t *testing.T) {
	b := newBench(t)
	link := b.worker()
	draft := b.draft()
	conf := request(t, draft, &wire.Commit{}, document(t, &wire.Settings{Role: wire.RoleClient}))
	for n := range 2 {
		if n > 0 {
			link = b.worker()
		}
		_, fds := recv(t, link, "keeper", "link")
		fds.Close()
		link.Close()
	}
	if got := commitReply(t, conf); !strings.Contains(got, "worker died") {
		t.Errorf("%q", got)
	}
	wantEOF(t, conf)
	draft.Close()
	b.control.Close()
	b.finish()
}

func TestNoSupervisor(t *testing.T) {
	b := newBench(t)
	link := b.worker()
	b.supervisor.Close()
	link.Close()
	select {
	case err := <-b.done:
		if err == nil {
			t.Error("no error")
		}
	case <-time.After(patience):
		t.Error("the keeper does not end")
	}
	b.control.Close()
}

// Whatever is sent on a draft, the keeper takes it or closes the draft.
func FuzzDraft(f *testing.F) {
	for _, m := range []wire.Message{&wire.AddKey{}, &wire.DropKey{Slot: 1}, &wire.Commit{}, &wire.Hello{},
		&wire.CheckCert{}, &wire.DecryptKey{Password: []byte("secret")}} {
		b, err := wire.Encode(m)
		if err != nil {
			f.Fatal(err)
		}
		for _, content := range []string{"-----BEGIN PRIVATE KEY-----\n", "-----BEGIN CERTIFICATE-----\n", encryptedKey} {
			f.Add(b, uint8(2), []byte(content))
		}
	}
	b, err := wire.Encode(&wire.Commit{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b, uint8(2), document(f, &wire.Settings{Role: wire.RoleClient}))
	if b, err = wire.Encode(&wire.AttachKey{Config: 1}); err != nil {
		f.Fatal(err)
	}
	kp := testcert.New(f, testcert.Options{})
	f.Add(b, uint8(3), append(kp.CertPEM, kp.KeyPEM...))
	f.Fuzz(func(t *testing.T, b []byte, n uint8, content []byte) {
		k := newOrphan(t)
		k.users = 1
		k.running.Add(1)
		// A worker that has no process: what is committed stays with it.
		k.shared = newWorker(k)
		c, end, err := channel.Pair()
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(end)
		d := &draft{keeper: k, channel: c, keys: make(map[uint32]*key)}
		defer c.Close()
		var fds channel.Fds
		reply := -1
		for i := range n % 4 {
			// The last one is where the answer goes.
			if i > 0 && i == n%4-1 {
				r, replyEnd, err := channel.Pair()
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				reply = replyEnd
				fds = append(fds, reply)
				continue
			}
			fds = append(fds, memfd(t, content))
		}
		d.handle(b, fds)
		for i, fd := range fds {
			if fd >= 0 {
				t.Errorf("descriptor %d is left", i)
			}
		}
		for _, conf := range k.shared.configs {
			conf.close()
		}
	})
}

// Whatever a worker sends, no descriptor is left but that of the last update.
func FuzzLink(f *testing.F) {
	staple := document(f, &wire.Staple{Response: []byte("response")})
	for _, m := range []wire.Message{&wire.ConfigUpdate{Config: 1}, &wire.ConfigUpdate{Config: 2}, &wire.KeyDone{Config: 1, Slot: 2},
		&wire.ConfigReady{Config: 1}, &wire.ConfigReady{Config: 1, Error: "x"}, &wire.ConfigClosed{Config: 1},
		&wire.Sign{Config: 1, Slot: 1}, &wire.Overflow{Config: 1}} {
		b, err := wire.Encode(m)
		if err != nil {
			f.Fatal(err)
		}
		for n := range uint8(3) {
			f.Add(b, n, staple)
		}
		f.Add(b, uint8(1), document(f, &wire.TicketKey{Key: make([]byte, 48)}))
		f.Add(b, uint8(1), document(f, &wire.Staple{Pair: 1}))
	}
	f.Fuzz(func(t *testing.T, b []byte, n uint8, content []byte) {
		k := newLinked(t)
		conf, first := k.conf, k.conf.update[0]
		var fds channel.Fds
		for range n % 4 {
			fds = append(fds, memfd(t, content))
		}
		err := k.handle(k.link, b, fds)
		for i, fd := range fds {
			if fd >= 0 {
				t.Errorf("descriptor %d is left", i)
			}
		}
		if k.configs[1] == nil {
			if isOpen(first) {
				t.Error("the update of a configuration that is closed is left")
			}
			return
		}
		if len(conf.update) != 1 || conf.update[0] < 0 || err != nil && conf.update[0] != first {
			t.Errorf("%v, update %v, the first was %d", err, conf.update, first)
		}
		k.forget(conf)
	})
}

// report asks for a report.
func (b *bench) report() *channel.Conn {
	b.t.Helper()
	asked, end, err := channel.Pair()
	if err != nil {
		b.t.Fatal(err)
	}
	defer unix.Close(end)
	if err := b.control.Send(&wire.Report{}, end); err != nil {
		b.t.Fatal(err)
	}
	return asked
}

// The keeper and each worker answer, and no more often than is good.
func TestReport(t *testing.T) {
	b, link, conf, _ := serving(t, "p256")
	asked := b.report()
	m, _ := recv(t, asked, "keeper", "reply")
	if info := m.(*wire.InfoReply); info.Workers != 1 || info.Keys != 1 {
		t.Errorf("%+v", info)
	}
	m, fds := recv(t, link, "keeper", "link")
	if _, ok := m.(*wire.ReportWorker); !ok {
		t.Fatalf("%T", m)
	}
	if err := channel.Reply(fds.Take(0), &wire.WorkerState{Full: 7}); err != nil {
		t.Fatal(err)
	}
	if m, _ = recv(t, asked, "worker", "report"); m.(*wire.WorkerState).Full != 7 {
		t.Errorf("%+v", m)
	}
	wantEOF(t, asked)

	// A worker that does not read has few of them waiting, and keeps
	// nobody from being answered.
	started, answered := time.Now(), 0
	for range 1000 {
		asked := b.report()
		timer := time.AfterFunc(patience, func() { asked.Close() })
		if data, _, err := asked.Recv(); err == nil && len(data) > 0 {
			answered++
		}
		timer.Stop()
		asked.Close()
	}
	if most := 1 + int(time.Since(started)/reportPause); answered > most {
		t.Errorf("%d reports in %v", answered, time.Since(started))
	}
	if info := b.info(); info.Workers != 1 {
		t.Errorf("%+v", info)
	}
	conf.Close()
	link.Close()
}
