// SPDX-License-Identifier: ISC

package main

// The whole of goproxy in one process: the test plays the library and the
// supervisor, and crypto/tls is the peer.

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"libtls-proxy/goproxy/internal/channel"
	"libtls-proxy/goproxy/internal/keeper"
	"libtls-proxy/goproxy/internal/testcert"
	"libtls-proxy/goproxy/internal/testchannel"
	"libtls-proxy/goproxy/internal/wire"
	"libtls-proxy/goproxy/internal/worker"
)

const patience = 10 * time.Second

// roleVariable makes the test binary goproxy.
const roleVariable = "GOPROXY_TEST_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(run([]string{role}))
	}
	os.Exit(m.Run())
}

// A proxy is a goproxy whose keeper is a goroutine, and whose workers are
// goroutines as well unless the test wants processes.
type proxy struct {
	t         *testing.T
	processes bool
	control   *channel.Conn
	done      chan error

	mu      sync.Mutex
	workers []*os.Process
}

func startProxy(t *testing.T) *proxy {
	t.Helper()
	return startProxyWith(t, false)
}

func startProxyWith(t *testing.T, processes bool) *proxy {
	t.Helper()
	p := &proxy{t: t, processes: processes, done: make(chan error, 1)}
	control, controlEnd := pair(t)
	supervisor, supervisorEnd := pair(t)
	p.control = control
	go p.supervise(supervisor)
	go func() { p.done <- keeper.Run(controlEnd, supervisorEnd, -1, "test") }()
	t.Cleanup(func() {
		p.control.Close()
		select {
		case err := <-p.done:
			if err != nil {
				t.Errorf("keeper: %v", err)
			}
		case <-time.After(patience):
			t.Error("the keeper did not end")
		}
	})
	return p
}

func (p *proxy) supervise(c *channel.Conn) {
	defer c.Close()
	for {
		b, fds, err := c.Recv()
		if err != nil {
			return
		}
		if _, err := wire.Decode("keeper", "supervisor", b, len(fds)); err != nil {
			p.t.Errorf("supervisor: %v", err)
			fds.Close()
			return
		}
		link := fds.Take(0)
		if p.processes {
			p.startWorker(link)
			continue
		}
		go func() { _ = worker.Run(link, worker.NoKeyLog) }()
	}
}

func (p *proxy) startWorker(link int) {
	file := os.NewFile(uintptr(link), "link")
	defer file.Close()
	process, err := os.StartProcess("/proc/self/exe", []string{"goproxy", "worker"}, &os.ProcAttr{
		Env:   []string{roleVariable + "=worker", "GORACE=atexit_sleep_ms=0"},
		Files: []*os.File{nil, nil, nil, file},
	})
	if err != nil {
		p.t.Error(err)
		return
	}
	p.mu.Lock()
	p.workers = append(p.workers, process)
	p.mu.Unlock()
	go func() { _, _ = process.Wait() }()
}

// current returns the worker that was started last.
func (p *proxy) current() *os.Process {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.workers[len(p.workers)-1]
}

func pair(t *testing.T) (*channel.Conn, int) {
	t.Helper()
	c, fd, err := channel.Pair()
	if err != nil {
		t.Fatal(err)
	}
	return c, fd
}

func recv(t *testing.T, c *channel.Conn, sender, on string) (wire.Message, channel.Fds) {
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

func (p *proxy) draft() *channel.Conn {
	p.t.Helper()
	c, end := pair(p.t)
	if err := p.control.Send(&wire.Hello{}, end); err != nil {
		p.t.Fatal(err)
	}
	unix.Close(end)
	m, _ := recv(p.t, c, "keeper", "draft")
	if r := m.(*wire.HelloReply).Release; r != "test" {
		p.t.Fatalf("release %q", r)
	}
	return c
}

func memfd(t *testing.T, data []byte) int {
	t.Helper()
	fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(fd, data); err != nil {
		t.Fatal(err)
	}
	return fd
}

func (p *proxy) addKey(d *channel.Conn, key []byte) uint32 {
	p.t.Helper()
	fd := memfd(p.t, key)
	defer unix.Close(fd)
	reply, end := pair(p.t)
	defer reply.Close()
	if err := d.Send(&wire.AddKey{}, fd, end); err != nil {
		p.t.Fatal(err)
	}
	unix.Close(end)
	m, _ := recv(p.t, reply, "keeper", "reply")
	r := m.(*wire.AddKeyReply)
	if r.Error != "" {
		p.t.Fatal(r.Error)
	}
	return r.Slot
}

func document(t *testing.T, s *wire.Settings, pairs ...*wire.Keypair) []byte {
	t.Helper()
	var doc []byte
	add := func(m wire.Message) {
		b, err := wire.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		doc = binary.BigEndian.AppendUint32(doc, uint32(len(b)))
		doc = append(doc, b...)
	}
	add(s)
	for _, kp := range pairs {
		add(kp)
	}
	return doc
}

// commit returns the config channel, and the error of the reply.
func (p *proxy) commit(d *channel.Conn, s *wire.Settings, pairs ...*wire.Keypair) (*channel.Conn, string) {
	p.t.Helper()
	fd := memfd(p.t, document(p.t, s, pairs...))
	defer unix.Close(fd)
	c, end := pair(p.t)
	if err := d.Send(&wire.Commit{}, fd, end); err != nil {
		p.t.Fatal(err)
	}
	unix.Close(end)
	m, _ := recv(p.t, c, "keeper", "config")
	return c, m.(*wire.CommitReply).Error
}

const protocols = wire.ProtocolTLS12 | wire.ProtocolTLS13

func (p *proxy) server(kp *testcert.Pair, s *wire.Settings) *channel.Conn {
	p.t.Helper()
	d := p.draft()
	defer d.Close()
	slot := p.addKey(d, kp.KeyPEM)
	if s == nil {
		s = &wire.Settings{
			Role: wire.RoleServer, Protocols: protocols,
			Ciphers: testcert.Ciphers, Groups: testcert.Groups,
		}
	}
	c, text := p.commit(d, s, &wire.Keypair{Slot: slot, Certificate: kp.CertPEM})
	if text != "" {
		p.t.Fatal(text)
	}
	p.t.Cleanup(func() { c.Close() })
	return c
}

// An app is the application's end of a connection.
type app struct {
	t    *testing.T
	conf *channel.Conn
	file *os.File
	raw  int
	est  *wire.Established
}

func tcpPair(t *testing.T) (int, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	peer, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close() })
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	f, err := c.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fd, peer
}

// start hands a network socket over, which it closes.
func start(t *testing.T, conf *channel.Conn, network int, m *wire.Start) *app {
	t.Helper()
	sp, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := conf.Send(m, network, sp[1]); err != nil {
		t.Fatal(err)
	}
	unix.Close(network)
	unix.Close(sp[1])
	if err := unix.SetNonblock(sp[0], true); err != nil {
		t.Fatal(err)
	}
	a := &app{t: t, conf: conf, raw: sp[0], file: os.NewFile(uintptr(sp[0]), "app")}
	t.Cleanup(func() { a.file.Close() })
	return a
}

// result reads the frame that opens the data channel.
func (a *app) result() (wire.Message, channel.Fds) {
	a.t.Helper()
	_ = a.file.SetReadDeadline(time.Now().Add(patience))
	defer a.file.SetReadDeadline(time.Time{})
	return testchannel.Frame(a.t, a.file)
}

func (a *app) established() {
	a.t.Helper()
	m, _ := a.result()
	est, ok := m.(*wire.Established)
	if !ok {
		a.t.Fatalf("%+v", m)
	}
	a.est = est
}

func (a *app) status() *wire.StatusReply {
	a.t.Helper()
	reply, end := pair(a.t)
	defer reply.Close()
	if err := a.conf.Send(&wire.Status{Connection: a.est.Connection}, end); err != nil {
		a.t.Fatal(err)
	}
	unix.Close(end)
	m, _ := recv(a.t, reply, "worker", "reply")
	return m.(*wire.StatusReply)
}

// closeMark returns the reply and the network.
func (a *app) closeMark() (*wire.CloseReply, int) {
	a.t.Helper()
	reply, end := pair(a.t)
	defer reply.Close()
	raw, err := a.file.SyscallConn()
	if err != nil {
		a.t.Fatal(err)
	}
	werr := raw.Write(func(fd uintptr) bool {
		err = unix.Sendmsg(int(fd), []byte{wire.CloseMark}, unix.UnixRights(end), nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		return err != unix.EAGAIN
	})
	if werr != nil || err != nil {
		a.t.Fatal(werr, err)
	}
	unix.Close(end)
	m, fds := recv(a.t, reply, "worker", "reply")
	return m.(*wire.CloseReply), fds.Take(0)
}

func peerClient(peer net.Conn, c *tls.Config) *tls.Conn {
	c.InsecureSkipVerify = true
	_ = peer.SetDeadline(time.Now().Add(2 * patience))
	return tls.Client(peer, c)
}

func TestServe(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, kind := range []string{"rsa", "p256", "p384", "p521", "ed25519"} {
			t.Run(tls.VersionName(version)+" "+kind, func(t *testing.T) {
				p := startProxy(t)
				kp := testcert.New(t, testcert.Options{Kind: kind, Names: []string{"localhost"}})
				conf := p.server(kp, nil)
				network, peer := tcpPair(t)
				a := start(t, conf, network, &wire.Start{})
				tc := peerClient(peer, &tls.Config{MinVersion: version, MaxVersion: version, ServerName: "localhost"})
				if err := tc.Handshake(); err != nil {
					t.Fatal(err)
				}
				a.established()
				if a.est.Servername != "localhost" || a.est.Peer != 0 {
					t.Errorf("%+v", a.est)
				}
				echo(t, a, tc)
			})
		}
	}
}

// echo sends data both ways and closes with the close mark.
func echo(t *testing.T, a *app, tc *tls.Conn) {
	t.Helper()
	for _, n := range []int{1, 16383, 16384, 16385, 1 << 20} {
		data := bytes.Repeat([]byte("0123456789abcdef"), n/16+1)[:n]
		go func() { _, _ = a.file.Write(data) }()
		got := make([]byte, n)
		if _, err := io.ReadFull(tc, got); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%d bytes to the peer: %v", n, err)
		}
		go func() { _, _ = tc.Write(data) }()
		if _, err := io.ReadFull(a.file, got); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%d bytes to the application: %v", n, err)
		}
	}
	if _, err := a.file.Write([]byte("last words")); err != nil {
		t.Fatal(err)
	}
	reply, network := a.closeMark()
	defer unix.Close(network)
	if reply.Ending != wire.EndingOpen || reply.Error != "" {
		t.Errorf("%+v", reply)
	}
	rest, err := io.ReadAll(tc)
	if err != nil || string(rest) != "last words" {
		t.Errorf("%q, %v", rest, err)
	}
	// The descriptor is the network's again.
	if _, err := unix.Write(network, []byte("plain")); err != nil {
		t.Fatal(err)
	}
	plain := make([]byte, 5)
	if _, err := io.ReadFull(tc.NetConn(), plain); err != nil || string(plain) != "plain" {
		t.Errorf("%q, %v", plain, err)
	}
}

func TestWorkerRestart(t *testing.T) {
	p := startProxyWith(t, true)
	kp := testcert.New(t, testcert.Options{})
	conf := p.server(kp, nil)
	connect := func() (*app, *tls.Conn) {
		t.Helper()
		network, peer := tcpPair(t)
		a := start(t, conf, network, &wire.Start{})
		tc := peerClient(peer, &tls.Config{})
		if err := tc.Handshake(); err != nil {
			t.Fatal(err)
		}
		a.established()
		return a, tc
	}
	for range 3 {
		a, _ := connect()
		if got := a.status(); got.Ending != wire.EndingOpen {
			t.Errorf("%+v", got)
		}
		if err := p.current().Kill(); err != nil {
			t.Fatal(err)
		}
		if _, err := a.file.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("read from a dead worker: %v", err)
		}
		if got := a.status(); got.Ending != wire.EndingUnknown {
			t.Errorf("%+v", got)
		}
		b, tc := connect()
		echo(t, b, tc)
	}
}

// A worker without descriptors fails a connection, and nothing else.
func TestNoDescriptorsLeft(t *testing.T) {
	p := startProxyWith(t, true)
	conf := p.server(testcert.New(t, testcert.Options{}), nil)
	pid := p.current().Pid
	var limit unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &limit); err != nil {
		t.Fatal(err)
	}
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: limit.Max}, nil); err != nil {
		t.Fatal(err)
	}
	network, peer := tcpPair(t)
	a := start(t, conf, network, &wire.Start{})
	_ = a.file.SetReadDeadline(time.Now().Add(patience))
	// The end of the data channel is the news.
	if n, err := a.file.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("%d, %v", n, err)
	}
	peer.Close()
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &limit, nil); err != nil {
		t.Fatal(err)
	}
	network, peer = tcpPair(t)
	b := start(t, conf, network, &wire.Start{})
	tc := peerClient(peer, &tls.Config{})
	if err := tc.Handshake(); err != nil {
		t.Fatal(err)
	}
	b.established()
	echo(t, b, tc)
	if pid != p.current().Pid {
		t.Error("the worker died")
	}
}

func TestStatus(t *testing.T) {
	p := startProxy(t)
	kp := testcert.New(t, testcert.Options{})
	conf := p.server(kp, nil)
	for _, tt := range []struct {
		name string
		end  func(tc *tls.Conn)
		want uint8
		tail string
	}{
		{"close_notify", func(tc *tls.Conn) { _ = tc.CloseWrite() }, wire.EndingCloseNotify, ""},
		{"FIN", func(tc *tls.Conn) { _ = tc.NetConn().(*net.TCPConn).CloseWrite() }, wire.EndingTruncated, ""},
		{"reset", func(tc *tls.Conn) {
			_ = tc.NetConn().(*net.TCPConn).SetLinger(0)
			tc.NetConn().Close()
		}, wire.EndingFailed, "Connection reset by peer"},
	} {
		network, peer := tcpPair(t)
		a := start(t, conf, network, &wire.Start{})
		tc := peerClient(peer, &tls.Config{})
		if err := tc.Handshake(); err != nil {
			t.Fatal(err)
		}
		a.established()
		tt.end(tc)
		if _, err := a.file.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("%s: %v", tt.name, err)
		}
		// Also when everything about the connection is over.
		for range 2 {
			if got := a.status(); got.Ending != tt.want || !strings.HasSuffix(got.Error, tt.tail) {
				t.Errorf("%s: %+v", tt.name, got)
			}
			_ = unix.Shutdown(a.raw, unix.SHUT_WR)
			peer.Close()
		}
	}
	// Another configuration does not know the connection.
	other := p.server(kp, nil)
	network, _ := tcpPair(t)
	a := start(t, other, network, &wire.Start{})
	a.est = &wire.Established{Connection: 1}
	if got := a.status(); got.Ending != wire.EndingUnknown {
		t.Errorf("%+v", got)
	}
}

// A client and a server of ours talk to each other, each verifying the other.
func TestMutual(t *testing.T) {
	p := startProxy(t)
	ca := testcert.New(t, testcert.Options{CA: true})
	for _, bits := range []uint32{wire.ProtocolTLS12, wire.ProtocolTLS13} {
		for _, kind := range []string{"rsa", "p256", "ed25519"} {
			kp := testcert.New(t, testcert.Options{Kind: kind, Parent: ca, Names: []string{"localhost"}})
			settings := func(role, verify uint8) *wire.Settings {
				return &wire.Settings{
					Role: role, Protocols: bits, VerifyClient: verify, VerifyDepth: 6, CA: ca.CertPEM,
					Ciphers: testcert.Ciphers, Groups: testcert.Groups,
				}
			}
			server := p.server(kp, settings(wire.RoleServer, wire.ClientCertRequired))
			client := p.server(kp, settings(wire.RoleClient, wire.ClientCertNone))
			sp, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			const all = wire.VerifyChain | wire.VerifyName | wire.VerifyTimes
			s := start(t, server, sp[0], &wire.Start{Verify: all})
			c := start(t, client, sp[1], &wire.Start{Verify: all, Servername: "localhost"})
			s.established()
			c.established()
			if s.est.Peer != 1 || c.est.Peer != 1 || s.est.Hash != c.est.Hash || s.est.Servername != "localhost" {
				t.Errorf("%+v, %+v", s.est, c.est)
			}
			if _, err := c.file.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			_, network := c.closeMark()
			unix.Close(network)
			got, err := io.ReadAll(s.file)
			if err != nil || string(got) != "hello" {
				t.Errorf("%q, %v", got, err)
			}
			if st := s.status(); st.Ending != wire.EndingCloseNotify {
				t.Errorf("%+v", st)
			}
		}
	}
}

// The application goes without a word: what it wrote arrives, then goproxy
// ends, which startProxy checks.
func TestGone(t *testing.T) {
	p := startProxy(t)
	conf := p.server(testcert.New(t, testcert.Options{}), nil)
	network, peer := tcpPair(t)
	a := start(t, conf, network, &wire.Start{})
	tc := peerClient(peer, &tls.Config{})
	if err := tc.Handshake(); err != nil {
		t.Fatal(err)
	}
	a.established()
	data := bytes.Repeat([]byte("x"), 100000)
	if _, err := a.file.Write(data); err != nil {
		t.Fatal(err)
	}
	conf.Close()
	p.control.Close()
	a.file.Close()
	got, err := io.ReadAll(tc)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// A handshake that is under way when its configuration goes still gets its
// signature.
func TestConfigClosedDuringHandshake(t *testing.T) {
	p := startProxy(t)
	conf := p.server(testcert.New(t, testcert.Options{}), nil)
	network, peer := tcpPair(t)
	a := start(t, conf, network, &wire.Start{})
	// Another reply tells that START was seen.
	a.est = &wire.Established{Connection: 1}
	a.status()
	conf.Close()
	tc := peerClient(peer, &tls.Config{})
	if err := tc.Handshake(); err != nil {
		t.Fatal(err)
	}
	a.established()
}

// Whatever is wrong with a START closes the configuration, or fails alone.
func TestWrongStart(t *testing.T) {
	p := startProxy(t)
	kp := testcert.New(t, testcert.Options{})
	for _, tt := range []struct {
		name string
		send func(c *channel.Conn) error
	}{
		{"session file on a server", func(c *channel.Conn) error { return c.Send(&wire.Start{}, 0, 1, 2) }},
		{"flags", func(c *channel.Conn) error { return c.Send(&wire.Start{Verify: 16}, 0, 1) }},
		{"name on a server", func(c *channel.Conn) error { return c.Send(&wire.Start{Servername: "a"}, 0, 1) }},
		{"other message", func(c *channel.Conn) error { return c.Send(&wire.Drain{}) }},
		{"no descriptor", func(c *channel.Conn) error { return c.Send(&wire.Status{}) }},
	} {
		conf := p.server(kp, nil)
		if err := tt.send(conf); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(patience, func() { conf.Close() })
		if _, _, err := conf.Recv(); err != io.EOF {
			t.Errorf("%s: %v", tt.name, err)
		}
		timer.Stop()
	}
	conf := p.server(kp, nil)
	file := memfd(t, nil)
	if err := conf.Send(&wire.Start{}, file, file); err != nil {
		t.Fatal(err)
	}
	unix.Close(file)
	network, peer := tcpPair(t)
	a := start(t, conf, network, &wire.Start{})
	tc := peerClient(peer, &tls.Config{})
	if err := tc.Handshake(); err != nil {
		t.Fatal(err)
	}
	a.established()
}
