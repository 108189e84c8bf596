// SPDX-License-Identifier: ISC

package keeper

import (
	"crypto/tls"
	"encoding/binary"
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
	go func() { b.done <- Run(controlEnd, supervisorEnd, "test") }()
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
	conf := request(t, draft, &wire.Commit{}, document(t, &wire.Settings{Role: wire.RoleServer},
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

// A worker that was taken over gets nothing signed but handshakes.
func TestFakeWorker(t *testing.T) {
	b, link, conf, id := serving(t, "p256")
	defer conf.Close()
	ask := func(config, slot uint32, scheme tls.SignatureScheme, message []byte) *wire.SignReply {
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
		return r
	}
	good := []byte(strings.Repeat(" ", 64) + "TLS 1.3, server CertificateVerify\x00" + strings.Repeat("x", 32))
	if r := ask(id, 1, tls.ECDSAWithP256AndSHA256, good); r.Error != "" {
		t.Error(r.Error)
	}
	for name, message := range otherMessages(t) {
		if r := ask(id, 1, tls.ECDSAWithP256AndSHA256, message); r.Error == "" {
			t.Errorf("%s was signed", name)
		}
	}
	if r := ask(id, 1, tls.ECDSAWithP384AndSHA384, good); r.Error == "" {
		t.Error("signed with the scheme of another curve")
	}
	if r := ask(id, 2, tls.ECDSAWithP256AndSHA256, good); r.Error != "no such key" {
		t.Errorf("other slot: %+v", r)
	}
	if r := ask(id+1, 1, tls.ECDSAWithP256AndSHA256, good); r.Error != "no such key" {
		t.Errorf("other configuration: %+v", r)
	}
	if err := link.Send(&wire.ConfigClosed{Config: id}); err != nil {
		t.Fatal(err)
	}
	if r := ask(id, 1, tls.ECDSAWithP256AndSHA256, good); r.Error != "no such key" {
		t.Errorf("closed configuration: %+v", r)
	}
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

// A configuration that kills two workers is given up.
func TestDeadlyConfiguration(t *testing.T) {
	b := newBench(t)
	link := b.worker()
	draft := b.draft()
	conf := request(t, draft, &wire.Commit{}, document(t, &wire.Settings{Role: wire.RoleClient}))
	for range 2 {
		_, fds := recv(t, link, "keeper", "link")
		fds.Close()
		link.Close()
		link = b.worker()
	}
	if got := commitReply(t, conf); !strings.Contains(got, "worker died") {
		t.Errorf("%q", got)
	}
	wantEOF(t, conf)
	draft.Close()
	b.control.Close()
	recv(t, link, "keeper", "link")
	link.Close()
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

func TestRefusalsAreCounted(t *testing.T) {
	l, end, err := channel.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	k := &keeper{sem: newSemaphores(), configs: make(map[uint32]*config)}
	k.configs[1] = &config{role: wire.RoleServer, keys: map[uint32]*key{1: {private: testcert.NewKey(t, "")}}}
	lk := &link{channel: l, pending: make(chan struct{}, maxPending)}
	for _, slot := range []uint32{1, 2} {
		if err := k.sign(lk, &wire.Sign{Config: 1, Slot: slot, Scheme: uint16(tls.ECDSAWithP256AndSHA256)}); err != nil {
			t.Fatal(err)
		}
	}
	other, err := channel.New(end)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	recv(t, other, "keeper", "link")
	recv(t, other, "keeper", "link")
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.refused != 2 {
		t.Errorf("%d refusals", k.refused)
	}
}

// Whatever is sent on a draft, the keeper takes it or closes the draft.
func FuzzDraft(f *testing.F) {
	for _, m := range []wire.Message{&wire.AddKey{}, &wire.DropKey{Slot: 1}, &wire.Commit{}, &wire.Hello{}} {
		b, err := wire.Encode(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, uint8(2), []byte("-----BEGIN PRIVATE KEY-----\n"))
	}
	b, err := wire.Encode(&wire.Commit{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b, uint8(2), document(f, &wire.Settings{Role: wire.RoleClient}))
	f.Fuzz(func(t *testing.T, b []byte, n uint8, content []byte) {
		k := &keeper{configs: make(map[uint32]*config), users: 1}
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
			if i == 1 {
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
		for _, conf := range k.configs {
			unix.Close(conf.document)
			conf.channel.Close()
		}
	})
}
