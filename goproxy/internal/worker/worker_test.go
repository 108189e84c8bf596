// SPDX-License-Identifier: ISC

package worker

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"encoding/binary"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"libtls-proxy/goproxy/internal/channel"
	"libtls-proxy/goproxy/internal/conn"
	"libtls-proxy/goproxy/internal/testcert"
	"libtls-proxy/goproxy/internal/tlsconf"
	"libtls-proxy/goproxy/internal/wire"
)

const patience = 10 * time.Second

func recv(t testing.TB, c *channel.Conn) wire.Message {
	t.Helper()
	timer := time.AfterFunc(patience, func() { c.Close() })
	defer timer.Stop()
	b, fds, err := c.Recv()
	if err != nil {
		t.Fatal(err)
	}
	defer fds.Close()
	m, err := wire.Decode("worker", "link", b, len(fds))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// startWorker returns the keeper's end of the link and the result of Run.
func startWorker(t *testing.T) (*channel.Conn, chan error) {
	t.Helper()
	link, end, err := channel.Pair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { link.Close() })
	done := make(chan error, 1)
	go func() { done <- Run(end, NoKeyLog) }()
	return link, done
}

func wait(t *testing.T, done chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		t.Fatal("the worker does not end")
	}
	return nil
}

func document(t testing.TB, messages ...wire.Message) int {
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
	fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(fd, doc); err != nil {
		t.Fatal(err)
	}
	return fd
}

// configure sends a configuration, returns the application's end of its
// channel and the error of CONFIG_READY.
func configure(t *testing.T, link *channel.Conn, id uint32, doc int) (*channel.Conn, string) {
	t.Helper()
	conf, end, err := channel.Pair()
	if err != nil {
		t.Fatal(err)
	}
	err = link.Send(&wire.Config{Config: id}, doc, end)
	unix.Close(end)
	unix.Close(doc)
	if err != nil {
		t.Fatal(err)
	}
	m, ok := recv(t, link).(*wire.ConfigReady)
	if !ok || m.Config != id {
		t.Fatalf("%+v", m)
	}
	return conf, m.Error
}

func TestConfigLife(t *testing.T) {
	link, done := startWorker(t)
	client := &wire.Settings{Role: wire.RoleClient, Protocols: wire.ProtocolTLS13}
	for _, tt := range []struct {
		name string
		doc  int
		want string
	}{
		{"bad CA", document(t, &wire.Settings{Role: wire.RoleClient, CA: []byte("x")}), "ssl verify memory setup failure"},
		{"bad ALPN", document(t, &wire.Settings{Role: wire.RoleClient, ALPN: []byte("x")}), "failed to set alpn"},
		{"bad certificate", document(t, client, &wire.Keypair{Slot: 1, Certificate: []byte("x")}), "failed to load certificate"},
		{"server without a key pair", document(t, &wire.Settings{Role: wire.RoleServer}), "private/public key mismatch"},
		{"no document", document(t), "wire: document without SETTINGS"},
	} {
		conf, text := configure(t, link, 1, tt.doc)
		if text != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, text, tt.want)
		}
		conf.Close()
	}
	conf, text := configure(t, link, 7, document(t, client))
	if text != "" {
		t.Fatal(text)
	}
	conf.Close()
	if m, ok := recv(t, link).(*wire.ConfigClosed); !ok || m.Config != 7 {
		t.Errorf("%+v", m)
	}
	if err := link.Send(&wire.Drain{}); err != nil {
		t.Fatal(err)
	}
	if err := wait(t, done); err != nil {
		t.Error(err)
	}
}

// A keeper that breaks the protocol, or dies, ends the worker.
func TestBadKeeper(t *testing.T) {
	for _, tt := range []struct {
		name string
		send func(link *channel.Conn)
	}{
		{"end", func(link *channel.Conn) { link.Close() }},
		{"answer to no question", func(link *channel.Conn) { _ = link.Send(&wire.SignReply{Request: 1}) }},
		{"two DRAIN", func(link *channel.Conn) { _ = link.Send(&wire.Drain{}); _ = link.Send(&wire.Drain{}) }},
		{"other message", func(link *channel.Conn) { _ = link.Send(&wire.Hello{}) }},
		{"no descriptors", func(link *channel.Conn) { _ = link.Send(&wire.Config{}) }},
	} {
		link, done := startWorker(t)
		// Something that keeps the worker from ending by itself.
		conf, _ := configure(t, link, 1, document(t, &wire.Settings{Role: wire.RoleClient}))
		tt.send(link)
		if err := wait(t, done); err == nil {
			t.Errorf("%s: no error", tt.name)
		}
		conf.Close()
	}
}

// A worker without a free descriptor goes on, and loses no more than came with
// one. It reads on while the keeper does not.
func TestLinkExhausted(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may have more descriptors on their way than open")
	}
	link, done := startWorker(t)
	conf, _ := configure(t, link, 1, document(t, &wire.Settings{Role: wire.RoleClient}))
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit) })
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	defer time.AfterFunc(patience, link.StopSending).Stop()
	for _, m := range []wire.Message{&wire.ReportWorker{}, &wire.Refresh{Config: 1}, &wire.OverflowReply{Config: 1}} {
		if err := link.Send(m, 0); err != nil {
			t.Fatalf("%T: %v", m, err)
		}
	}
	const n = 5000
	for i := range n {
		if err := link.Send(&wire.Config{Config: uint32(2 + i)}, 0, 0); err != nil {
			t.Fatalf("CONFIG %d: %v", i, err)
		}
	}
	if err := link.Send(&wire.Drain{}); err != nil {
		t.Fatal(err)
	}
	for range n {
		if m, ok := recv(t, link).(*wire.ConfigReady); !ok || m.Error != errExhausted {
			t.Fatalf("%+v", m)
		}
	}
	conf.Close()
	if m, ok := recv(t, link).(*wire.ConfigClosed); !ok || m.Config != 1 {
		t.Errorf("%+v", m)
	}
	if err := wait(t, done); err != nil {
		t.Error(err)
	}
}

// Answers reach who asked, in whatever order they come.
func TestSignatures(t *testing.T) {
	link, end, err := channel.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	own, err := channel.New(end)
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	s := newSignatures(own)
	const n = 100
	var wg sync.WaitGroup
	for i := range uint32(n) {
		wg.Go(func() {
			got, err := s.ask(&wire.Sign{Slot: i})
			if i%2 == 0 && (err != nil || len(got) != 1 || got[0] != byte(i)) || i%2 == 1 && err == nil {
				t.Errorf("%d: %v, %v", i, got, err)
			}
		})
	}
	var requests []*wire.Sign
	for range n {
		requests = append(requests, recv(t, link).(*wire.Sign))
	}
	for i := range requests {
		m := requests[n-1-i]
		reply := &wire.SignReply{Request: m.Request, Signature: []byte{byte(m.Slot)}}
		if m.Slot%2 == 1 {
			reply = &wire.SignReply{Request: m.Request, Error: "no"}
		}
		if !s.answer(reply) || s.answer(reply) {
			t.Error("an answer was not taken once")
		}
	}
	wg.Wait()
	own.Close()
	if _, err := s.ask(&wire.Sign{}); err == nil {
		t.Error("no error without a keeper")
	}
	if len(s.waiting) != 0 {
		t.Errorf("%d requests are left", len(s.waiting))
	}
}

func TestSchemes(t *testing.T) {
	pss := func(h crypto.Hash) crypto.SignerOpts {
		return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: h}
	}
	rsaKey, ecKey, edKey := testcert.NewKey(t, "rsa"), testcert.NewKey(t, "p256"), testcert.NewKey(t, "ed25519")
	for _, tt := range []struct {
		key  crypto.Signer
		opts crypto.SignerOpts
		want tls.SignatureScheme
	}{
		{rsaKey, pss(crypto.SHA256), tls.PSSWithSHA256},
		{rsaKey, pss(crypto.SHA384), tls.PSSWithSHA384},
		{rsaKey, pss(crypto.SHA512), tls.PSSWithSHA512},
		{rsaKey, crypto.SHA256, tls.PKCS1WithSHA256},
		{rsaKey, crypto.SHA384, tls.PKCS1WithSHA384},
		{rsaKey, crypto.SHA512, tls.PKCS1WithSHA512},
		{rsaKey, crypto.SHA1, 0},
		{ecKey, crypto.SHA256, tls.ECDSAWithP256AndSHA256},
		{ecKey, crypto.SHA384, tls.ECDSAWithP384AndSHA384},
		{ecKey, crypto.SHA512, tls.ECDSAWithP521AndSHA512},
		{ecKey, crypto.SHA1, 0},
		{edKey, crypto.Hash(0), tls.Ed25519},
		{edKey, crypto.SHA512, 0},
	} {
		got, ok := tlsconf.SchemeOf(tt.key.Public(), tt.opts)
		if ok != (tt.want != 0) || ok && got != tt.want {
			t.Errorf("%T, %v: %v, %v", tt.key, tt.opts, got, ok)
		}
	}
	if _, err := (&signer{public: ecKey.Public()}).Sign(rand.Reader, make([]byte, 32), crypto.SHA256); err == nil {
		t.Error("a digest was signed")
	}
}

func TestEndedIsBounded(t *testing.T) {
	c := newConfig(nil, 1, 1, nil)
	for i := range uint64(2 * maxEnded) {
		c.remember(i+1, past{ending: conn.Ending{Code: wire.EndingFailed}})
	}
	if len(c.ended) != maxEnded || len(c.order) != maxEnded {
		t.Errorf("%d, %d", len(c.ended), len(c.order))
	}
	if c.status(1).Code != wire.EndingUnknown || c.status(2*maxEnded).Code != wire.EndingFailed {
		t.Error("not the last ones are kept")
	}
}

// Whatever is sent on a config channel, the worker takes it or closes the
// channel, and no descriptor is left.
func FuzzConfig(f *testing.F) {
	for _, m := range []wire.Message{
		&wire.Start{Servername: "a"}, &wire.Engine{Servername: "a"}, &wire.Status{Connection: 1}, &wire.OCSP{Connection: 1}, &wire.Update{}, &wire.Drain{},
	} {
		b, err := wire.Encode(m)
		if err != nil {
			f.Fatal(err)
		}
		for n := range uint8(7) {
			f.Add(b, n)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, n uint8) {
		link, end, err := channel.Pair()
		if err != nil {
			t.Fatal(err)
		}
		defer link.Close()
		defer unix.Close(end)
		w := &worker{link: link}
		c := newConfig(w, 1, 1, nil)
		doc := document(t, &wire.Settings{Role: wire.RoleClient, Protocols: wire.ProtocolTLS13})
		defer unix.Close(doc)
		if err := c.load(channel.Fds{doc}); err != nil {
			t.Fatal(err)
		}
		var fds channel.Fds
		for range n % 7 {
			p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			fds = append(fds, p[0])
			unix.Close(p[1])
		}
		c.handle(b, fds)
		for i, fd := range fds {
			if fd >= 0 {
				t.Errorf("descriptor %d is left", i)
			}
		}
		w.busy.Wait()
		if len(c.conns) != 0 {
			t.Error("a connection is left")
		}
	})
}
