// SPDX-License-Identifier: ISC

package keeper

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"libtls-proxy/goproxy/internal/channel"
	"libtls-proxy/goproxy/internal/testcert"
	"libtls-proxy/goproxy/internal/wire"
)

// A given is a worker with its first message.
type given struct {
	link *channel.Conn
	m    wire.Message
	fds  channel.Fds
}

// A pool plays the supervisor and all workers, which start in no certain
// order. Those that are told to end before they are given something do so.
type pool struct {
	*bench
	given chan given
}

func newPool(t *testing.T) *pool {
	p := &pool{newBench(t), make(chan given, 16)}
	go func() {
		for {
			_, fds, err := p.supervisor.Recv()
			if err != nil {
				return
			}
			link, err := channel.New(fds.Take(0))
			if err != nil {
				t.Error(err)
				return
			}
			go p.first(link)
		}
	}()
	return p
}

func (p *pool) first(link *channel.Conn) {
	b, fds, err := link.Recv()
	if err != nil {
		return
	}
	m, err := wire.Decode("keeper", "link", b, len(fds))
	if err != nil {
		p.t.Error(err)
	}
	if isDrain(m) {
		link.Close()
		return
	}
	p.given <- given{link, m, fds}
}

// next returns the next worker that was given something, which shall be a
// configuration of that kind, and all that it is given.
func (p *pool) next(single uint8) (*channel.Conn, *wire.Config, channel.Fds) {
	p.t.Helper()
	select {
	case g := <-p.given:
		c, ok := g.m.(*wire.Config)
		if !ok || c.Single != single {
			p.t.Fatalf("%T %+v", g.m, g.m)
		}
		if m, _ := recv(p.t, g.link, "keeper", "link"); !isDrain(m) {
			p.t.Fatalf("%T instead of DRAIN", m)
		}
		return g.link, c, g.fds
	case <-time.After(patience):
		p.t.Fatal("no worker was given anything")
	}
	return nil, nil, nil
}

// ready is the same, and says that the worker serves the configuration.
func (p *pool) ready(single uint8) (*channel.Conn, *wire.Config, channel.Fds) {
	p.t.Helper()
	link, c, fds := p.next(single)
	if err := link.Send(&wire.ConfigReady{Config: c.Config}); err != nil {
		p.t.Fatal(err)
	}
	return link, c, fds
}

// strict commits a server configuration with that isolation, whose number its
// first worker is told.
func (p *pool) strict(isolation uint8) (conf, link *channel.Conn, id uint32) {
	p.t.Helper()
	kp := testcert.New(p.t, testcert.Options{Kind: "p256"})
	draft := p.draft()
	defer draft.Close()
	slot := addKey(p.t, draft, kp.KeyPEM).Slot
	conf = request(p.t, draft, &wire.Commit{Isolation: isolation}, document(p.t,
		&wire.Settings{Role: wire.RoleServer, Protocols: wire.ProtocolTLS13}, &wire.Keypair{Slot: slot, Certificate: kp.CertPEM}))
	var single uint8
	if isolation == wire.IsolationConnection {
		// The trial, whose only connection does not come.
		single = 1
	}
	link, c, fds := p.ready(single)
	fds.Close()
	if text := commitReply(p.t, conf); text != "" {
		p.t.Fatal(text)
	}
	return conf, link, c.Config
}

func isDrain(m wire.Message) bool {
	_, ok := m.(*wire.Drain)
	return ok
}

// open asks for a channel for one connection.
func open(t *testing.T, conf *channel.Conn) *channel.Conn {
	t.Helper()
	c, end, err := channel.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(end)
	if err := conf.Send(&wire.Open{}, end); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWorkerOfConfiguration(t *testing.T) {
	b := newPool(t)
	one, first, id1 := b.strict(wire.IsolationConfig)
	two, second, id2 := b.strict(wire.IsolationConfig)
	// The death of one is nothing to the other.
	first.Close()
	first, _, fds := b.ready(0)
	fds.Close()
	if err := second.Send(&wire.ConfigClosed{Config: id2}); err != nil {
		t.Fatal(err)
	}
	two.Close()
	second.Close()
	b.control.Close()
	if err := first.Send(&wire.ConfigClosed{Config: id1}); err != nil {
		t.Fatal(err)
	}
	one.Close()
	first.Close()
	b.finish()
}

func TestWorkerOfConnection(t *testing.T) {
	b := newPool(t)
	conf, trial, id := b.strict(wire.IsolationConnection)
	if err := trial.Send(&wire.ConfigClosed{Config: id}); err != nil {
		t.Fatal(err)
	}
	trial.Close()

	var channels, links []*channel.Conn
	for range 2 {
		opened := open(t, conf)
		link, c, fds := b.ready(1)
		channels, links = append(channels, opened), append(links, link)
		own, err := channel.New(fds.Take(1))
		if err != nil {
			t.Fatal(err)
		}
		fds.Close()
		// What the application sends on the channel comes here.
		if err := opened.Send(&wire.Start{}, 0, 1); err != nil {
			t.Fatal(err)
		}
		m, fds := recv(t, own, "library", "config")
		if _, ok := m.(*wire.Start); !ok {
			t.Errorf("%T", m)
		}
		fds.Close()
		own.Close()

		// One connection has one handshake, which has one signature.
		good := []byte(strings.Repeat(" ", 64) + "TLS 1.3, server CertificateVerify\x00" + strings.Repeat("x", 32))
		for n := range 2 {
			if err := link.Send(&wire.Sign{Config: c.Config, Slot: 1,
				Scheme: uint16(tls.ECDSAWithP256AndSHA256), Message: good}); err != nil {
				t.Fatal(err)
			}
			m, _ := recv(t, link, "keeper", "link")
			if r := m.(*wire.SignReply); (r.Error == "") != (n == 0) {
				t.Errorf("signature %d: %+v", n, r)
			}
		}
	}

	// An update reaches the connections that are there, and the next.
	update := document(t, &wire.Staple{Response: []byte("new")})
	fd := memfd(t, update)
	defer unix.Close(fd)
	if err := conf.Send(&wire.Update{}, fd); err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		m, fds := recv(t, link, "keeper", "link")
		if _, ok := m.(*wire.Refresh); !ok {
			t.Fatalf("%T", m)
		}
		if got, err := readDocument(fds[0]); err != nil || !bytes.Equal(got, update) {
			t.Errorf("%x, %v", got, err)
		}
		fds.Close()
	}
	channels = append(channels, open(t, conf))
	link, _, fds := b.ready(1)
	links = append(links, link)
	if got, err := readDocument(fds[2]); err != nil || !bytes.Equal(got, update) {
		t.Errorf("%x, %v", got, err)
	}
	fds.Close()

	// The death of one ends its channel, and is nothing to the others.
	links[0].Close()
	wantEOF(t, channels[0])
	if err := links[1].Send(&wire.ConfigClosed{Config: 1}); err != nil {
		t.Fatal(err)
	}
	links[1].Close()
	links[2].Close()
	wantEOF(t, channels[2])

	// What belongs on the other channel, or nowhere, ends this one.
	if err := conf.Send(&wire.Start{}, 0, 1); err != nil {
		t.Fatal(err)
	}
	wantEOF(t, conf)
	b.control.Close()
	b.finish()
}

// A configuration that is no good is refused when it is committed.
func TestTrial(t *testing.T) {
	b := newPool(t)
	draft := b.draft()
	conf := request(t, draft, &wire.Commit{Isolation: wire.IsolationConnection},
		document(t, &wire.Settings{Role: wire.RoleClient}))
	trial, c, fds := b.next(1)
	fds.Close()
	if err := trial.Send(&wire.ConfigReady{Config: c.Config, Error: "no good"}); err != nil {
		t.Fatal(err)
	}
	if got := commitReply(t, conf); got != "no good" {
		t.Errorf("%q", got)
	}
	wantEOF(t, conf)
	trial.Close()
	// An isolation that there is not closes the draft.
	reply := request(t, draft, &wire.Commit{Isolation: 3}, nil)
	wantEOF(t, draft)
	reply.Close()
	b.control.Close()
	b.finish()
}

// declined starts a connection and returns what FAILED says.
func declined(t *testing.T, c *channel.Conn) string {
	t.Helper()
	network, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(network[0])
	defer unix.Close(network[1])
	data, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(data[0])
	err = c.Send(&wire.Start{}, network[0], data[1])
	unix.Close(data[1])
	if err != nil {
		t.Fatal(err)
	}
	timeout := unix.NsecToTimeval(int64(patience))
	if err := unix.SetsockoptTimeval(data[0], unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		t.Fatal(err)
	}
	frame := make([]byte, 1024)
	oob := make([]byte, channel.OobSize())
	n, oobn, flags, _, err := unix.Recvmsg(data[0], frame, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil || n < 4 || int(binary.BigEndian.Uint32(frame)) != n-4 {
		t.Fatalf("%d bytes, %v", n, err)
	}
	fds, err := channel.ParseFds(oob[:oobn], flags)
	if err != nil {
		t.Fatal(err)
	}
	defer fds.Close()
	m, err := wire.Decode("worker", "data", frame[4:n], len(fds))
	if err != nil {
		t.Fatal(err)
	}
	var sent, got unix.Stat_t
	if unix.Fstat(network[0], &sent) != nil || unix.Fstat(fds[0], &got) != nil || sent.Ino != got.Ino {
		t.Error("another descriptor came back")
	}
	return m.(*wire.Failed).Error
}

// While there is no worker the keeper answers.
func TestStandIn(t *testing.T) {
	b, link, conf, id := serving(t, "p256")
	for n := range freeDeaths + 2 {
		link.Close()
		if n < freeDeaths+1 {
			link = b.worker()
			m, fds := recv(t, link, "keeper", "link")
			fds.Close()
			if err := link.Send(&wire.ConfigReady{Config: m.(*wire.Config).Config}); err != nil {
				t.Fatal(err)
			}
		}
	}
	const want = "goproxy's worker has died 5 times in a row; the next one starts in "
	if got := declined(t, conf); !strings.HasPrefix(got, "handshake failed: "+want) {
		t.Errorf("%q", got)
	}
	reply, end, err := channel.Pair()
	if err != nil {
		t.Fatal(err)
	}
	if err := conf.Send(&wire.Status{Connection: 1}, end); err != nil {
		t.Fatal(err)
	}
	unix.Close(end)
	m, _ := recv(t, reply, "worker", "reply")
	if r := m.(*wire.StatusReply); r.Ending != wire.EndingUnknown || !strings.HasPrefix(r.Error, want) {
		t.Errorf("%+v", r)
	}
	reply.Close()
	// Who commits is told as well.
	draft := b.draft()
	other := request(t, draft, &wire.Commit{}, document(t, &wire.Settings{Role: wire.RoleClient}))
	if got := commitReply(t, other); !strings.HasPrefix(got, want) {
		t.Errorf("%q", got)
	}
	draft.Close()
	// An update is kept for the next worker.
	update := document(t, &wire.Staple{Response: []byte("new")})
	fd := memfd(t, update)
	defer unix.Close(fd)
	if err := conf.Send(&wire.Update{}, fd); err != nil {
		t.Fatal(err)
	}
	link = b.worker()
	wantConfig(t, link, id, update)
	// The next worker is the one that reads now.
	if err := conf.Send(&wire.Start{}, 0, 1); err != nil {
		t.Fatal(err)
	}
	b.control.Close()
	if err := link.Send(&wire.ConfigClosed{Config: id}); err != nil {
		t.Fatal(err)
	}
	recv(t, link, "keeper", "link")
	link.Close()
	conf.Close()
	b.finish()
}

// Nobody waits for a worker that nobody needs.
func TestStandInUntilTheEnd(t *testing.T) {
	b, link, conf, _ := serving(t, "p256")
	for n := range 8 {
		link.Close()
		if n < 7 {
			link = b.worker()
			_, fds := recv(t, link, "keeper", "link")
			fds.Close()
		}
	}
	begun := time.Now()
	conf.Close()
	b.control.Close()
	b.finish()
	if d := time.Since(begun); d > maxBackoff/2 {
		t.Errorf("the keeper ended after %v", d)
	}
}

// The supervisor says why it starts no worker.
func TestNoWorker(t *testing.T) {
	b := newBench(t)
	draft := b.draft()
	link := b.worker()
	conf := request(t, draft, &wire.Commit{Isolation: wire.IsolationConfig},
		document(t, &wire.Settings{Role: wire.RoleClient}))
	for n := range maxAttempts {
		if n > 0 {
			link = b.worker()
		}
		_, fds := recv(t, link, "keeper", "link")
		fds.Close()
		if err := link.Send(&wire.NoWorker{Error: uint32(unix.EAGAIN)}); err != nil {
			t.Fatal(err)
		}
		link.Close()
	}
	if got := commitReply(t, conf); got != "failed to start goproxy's worker: Resource temporarily unavailable" {
		t.Errorf("%q", got)
	}
	wantEOF(t, conf)
	draft.Close()
	b.control.Close()
	b.finish()
}

// A connection that there is no worker for gets an answer.
func TestNoWorkerForConnection(t *testing.T) {
	b := newPool(t)
	conf, trial, _ := b.strict(wire.IsolationConnection)
	trial.Close()
	c := open(t, conf)
	for range maxAttempts {
		link, _, fds := b.next(1)
		fds.Close()
		link.Close()
	}
	const want = "handshake failed: goproxy's worker died while it loaded the configuration"
	if got := declined(t, c); got != want {
		t.Errorf("%q", got)
	}
	wantEOF(t, c)
	// It is over for this one alone.
	c = open(t, conf)
	link, _, fds := b.ready(1)
	fds.Close()
	link.Close()
	wantEOF(t, c)
	conf.Close()
	b.control.Close()
	b.finish()
}

// Without a supervisor the application is sent to another keeper, and what is
// there goes on.
func TestSupervisorGone(t *testing.T) {
	b, link, conf, id := serving(t, "p256")
	defer conf.Close()
	draft := b.draft()
	b.supervisor.Close()
	wantEOF(t, draft)
	wantEOF(t, b.control)
	if err := link.Send(&wire.Sign{Config: id, Slot: 9}); err != nil {
		t.Fatal(err)
	}
	if m, _ := recv(t, link, "keeper", "link"); m.(*wire.SignReply).Error == "" {
		t.Error("no answer")
	}
	link.Close()
	timer := time.AfterFunc(patience, func() { conf.Close() })
	defer timer.Stop()
	if _, _, err := conf.Recv(); err != io.EOF {
		t.Error(err)
	}
	if err := <-b.done; err == nil {
		t.Error("no error")
	}
}
