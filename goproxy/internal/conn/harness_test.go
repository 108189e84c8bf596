// SPDX-License-Identifier: ISC

package conn

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"libtls-proxy/goproxy/internal/channel"
	"libtls-proxy/goproxy/internal/testcert"
	"libtls-proxy/goproxy/internal/testchannel"
	"libtls-proxy/goproxy/internal/tlsconf"
	"libtls-proxy/goproxy/internal/verify"
	"libtls-proxy/goproxy/internal/wire"
)

const patience = 10 * time.Second

// A side is a role and a version that a test runs with.
type side struct {
	server  bool
	version uint16
}

var sides = []side{
	{true, tls.VersionTLS12}, {true, tls.VersionTLS13},
	{false, tls.VersionTLS12}, {false, tls.VersionTLS13},
}

func (s side) String() string {
	role := "client"
	if s.server {
		role = "server"
	}
	return role + " " + tls.VersionName(s.version)
}

func eachSide(t *testing.T, f func(t *testing.T, s side)) {
	for _, s := range sides {
		t.Run(s.String(), func(t *testing.T) { f(t, s) })
	}
}

// A session is a connection with its application and its peer.
type session struct {
	t    testing.TB
	side side
	conn *Conn
	app  *os.File // the data channel
	fd   int      // its number
	net  net.Conn // the peer's end of the network
	peer *tls.Conn
	est  *wire.Established
	done chan bool // the result of Run
}

func newConfig(t testing.TB, server bool, kp *testcert.Pair, edit func(*wire.Settings)) *tlsconf.Config {
	t.Helper()
	s := &wire.Settings{
		Role: wire.RoleClient, Protocols: wire.ProtocolTLS12 | wire.ProtocolTLS13,
		Ciphers: testcert.Ciphers, Groups: testcert.Groups,
	}
	if server {
		s.Role = wire.RoleServer
	}
	if edit != nil {
		edit(s)
	}
	var pairs []*wire.Keypair
	if kp != nil {
		pairs = append(pairs, &wire.Keypair{Slot: 1, Certificate: kp.CertPEM})
	}
	var cas verify.CACache
	var tickets tlsconf.TicketCache
	c, err := tlsconf.New(s, pairs, &wire.Live{}, tlsconf.Shared{CAs: &cas, Tickets: &tickets}, func(uint32, crypto.PublicKey) crypto.Signer { return kp.Key })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// sockets returns two ends of a TCP connection, the first as a descriptor.
func sockets(t testing.TB) (int, net.Conn) {
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
	_ = peer.SetDeadline(time.Now().Add(3 * patience))
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	fd := -1
	_ = raw.Control(func(s uintptr) { fd, err = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 0) })
	if err != nil {
		t.Fatal(err)
	}
	// As most applications have it.
	if err := unix.SetNonblock(fd, false); err != nil {
		t.Fatal(err)
	}
	return fd, peer
}

func socketpair(t testing.TB) (app *os.File, fd, end int) {
	t.Helper()
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(p[0], true); err != nil {
		t.Fatal(err)
	}
	app = os.NewFile(uintptr(p[0]), "app")
	t.Cleanup(func() { app.Close() })
	_ = app.SetDeadline(time.Now().Add(3 * patience))
	return app, p[0], p[1]
}

// run starts a connection over descriptors that it takes.
func (s *session) run(config *tlsconf.Config, o Options, fds ...int) {
	s.t.Helper()
	o.ID, o.Config = 1, config
	c, err := New(channel.Fds(fds), o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.conn, s.done = c, make(chan bool, 1)
	go func() { s.done <- c.Run(func() {}) }()
	s.t.Cleanup(func() {
		s.app.Close()
		s.net.Close()
		if s.done != nil {
			s.wait()
		}
	})
}

// wait waits for the end of Run.
func (s *session) wait() bool {
	s.t.Helper()
	select {
	case remember := <-s.done:
		s.done = nil
		return remember
	case <-time.After(2 * patience):
		s.t.Fatal("Run does not return")
	}
	return false
}

// begin starts a connection whose handshake the test does.
func begin(t testing.TB, server bool, config *tlsconf.Config) *session {
	t.Helper()
	s := &session{t: t, side: side{server: server}}
	network, peer := sockets(t)
	s.net = peer
	var end int
	s.app, s.fd, end = socketpair(t)
	s.run(config, Options{}, network, end)
	return s
}

var certificate = testcert.New

// open opens a connection.
func open(t *testing.T, sd side) *session {
	t.Helper()
	kp := certificate(t, testcert.Options{Names: []string{"localhost"}})
	own := kp
	if !sd.server {
		own = nil
	}
	s := begin(t, sd.server, newConfig(t, sd.server, own, nil))
	s.side = sd
	s.shake(kp, nil)
	return s
}

// shake is the peer's handshake, over net or over what wraps it.
func (s *session) shake(kp *testcert.Pair, wrapped net.Conn) {
	s.t.Helper()
	if wrapped == nil {
		wrapped = s.net
	}
	c := &tls.Config{
		MinVersion: s.side.version, MaxVersion: s.side.version,
		InsecureSkipVerify: true,
		Certificates:       []tls.Certificate{{Certificate: [][]byte{kp.Cert.Raw}, PrivateKey: kp.Key}},
	}
	if s.side.server {
		s.peer = tls.Client(wrapped, c)
	} else {
		s.peer = tls.Server(wrapped, c)
	}
	if err := s.peer.Handshake(); err != nil {
		s.t.Fatal(err)
	}
	m, _ := s.result()
	est, ok := m.(*wire.Established)
	if !ok {
		s.t.Fatalf("%+v", m)
	}
	s.est = est
}

// result reads the frame that opens the data channel.
func (s *session) result() (wire.Message, channel.Fds) {
	s.t.Helper()
	return testchannel.Frame(s.t, s.app)
}

func (s *session) failed() string {
	s.t.Helper()
	m, fds := s.result()
	fds.Close()
	f, ok := m.(*wire.Failed)
	if !ok {
		s.t.Fatalf("%+v", m)
	}
	return f.Error
}

// mark sends the close mark.
func (s *session) mark() *channel.Conn {
	s.t.Helper()
	reply, end, err := channel.Pair()
	if err != nil {
		s.t.Fatal(err)
	}
	defer unix.Close(end)
	s.sendFds([]byte{wire.CloseMark}, end)
	return reply
}

func (s *session) sendFds(p []byte, fds ...int) {
	s.t.Helper()
	raw, err := s.app.SyscallConn()
	if err != nil {
		s.t.Fatal(err)
	}
	werr := raw.Write(func(fd uintptr) bool {
		err = unix.Sendmsg(int(fd), p, unix.UnixRights(fds...), nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		return err != unix.EAGAIN
	})
	if werr != nil || err != nil {
		s.t.Fatal(werr, err)
	}
}

func (s *session) closeReply(reply *channel.Conn) (*wire.CloseReply, channel.Fds) {
	s.t.Helper()
	defer reply.Close()
	timer := time.AfterFunc(patience, func() { reply.Close() })
	defer timer.Stop()
	b, fds, err := reply.Recv()
	if err != nil {
		s.t.Fatalf("no CLOSE_REPLY: %v", err)
	}
	m, err := wire.Decode("worker", "reply", b, len(fds))
	if err != nil {
		s.t.Fatal(err)
	}
	return m.(*wire.CloseReply), fds
}

func (s *session) write(p string) {
	s.t.Helper()
	if _, err := s.app.Write([]byte(p)); err != nil {
		s.t.Fatal(err)
	}
}

// wantApp reads from the application's end up to its end of file.
func (s *session) wantApp(want string) {
	s.t.Helper()
	got, err := io.ReadAll(s.app)
	if err != nil || string(got) != want {
		s.t.Errorf("application read %.40q, %v; want %.40q", got, err, want)
	}
}

func (s *session) wantPeer(want string) {
	s.t.Helper()
	got, err := io.ReadAll(s.peer)
	if err != nil || string(got) != want {
		s.t.Errorf("peer read %.40q, %v; want %.40q", got, err, want)
	}
}

func (s *session) wantEnding(code uint8, tail string) {
	s.t.Helper()
	got := s.conn.Ending()
	if got.Code != code || !strings.HasSuffix(got.Text, tail) || tail == "" && got.Text != "" {
		s.t.Errorf("ending %+v, want %d %q", got, code, tail)
	}
}

func pattern(n int) []byte {
	return bytes.Repeat([]byte("0123456789abcdefghi"), n/19+1)[:n]
}
