// SPDX-License-Identifier: ISC

package worker

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"libtls-proxy/goproxy/internal/channel"
	"libtls-proxy/goproxy/internal/testcert"
	"libtls-proxy/goproxy/internal/wire"
)

const protocols = wire.ProtocolTLS12 | wire.ProtocolTLS13

func settings(role uint8) *wire.Settings {
	return &wire.Settings{
		Role: role, Protocols: protocols, Ciphers: testcert.Ciphers, Groups: testcert.Groups,
	}
}

// sign answers the next SIGN with an ECDSA key.
func sign(t *testing.T, link *channel.Conn, key crypto.Signer) {
	t.Helper()
	m, ok := recv(t, link).(*wire.Sign)
	if !ok {
		t.Fatalf("%+v", m)
	}
	sum := sha256.Sum256(m.Message)
	signature, err := key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	if err := link.Send(&wire.SignReply{Request: m.Request, Signature: signature}); err != nil {
		t.Fatal(err)
	}
}

// begin starts a connection, and returns the application's and the peer's
// ends of it.
func begin(t *testing.T, conf *channel.Conn, m *wire.Start, more ...int) (*os.File, net.Conn) {
	t.Helper()
	var ends [2]*os.File
	var given []int
	for i := range ends {
		p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		ends[i] = os.NewFile(uintptr(p[0]), "end")
		given = append(given, p[1])
	}
	err := conf.Send(m, append(given, more...)...)
	for _, fd := range given {
		unix.Close(fd)
	}
	if err != nil {
		t.Fatal(err)
	}
	peer, err := net.FileConn(ends[0])
	ends[0].Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		peer.Close()
		ends[1].Close()
	})
	_ = peer.SetDeadline(time.Now().Add(patience))
	_ = ends[1].SetDeadline(time.Now().Add(patience))
	return ends[1], peer
}

func established(t *testing.T, app *os.File) *wire.Established {
	t.Helper()
	var length [4]byte
	if _, err := io.ReadFull(app, length[:]); err != nil {
		t.Fatal(err)
	}
	frame := make([]byte, binary.BigEndian.Uint32(length[:]))
	if _, err := io.ReadFull(app, frame); err != nil {
		t.Fatal(err)
	}
	m, err := wire.Decode("worker", "data", frame, 0)
	if err != nil {
		t.Fatal(err)
	}
	return m.(*wire.Established)
}

func file(t testing.TB, data []byte) int {
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

// stapled connects to a server that the worker is, and returns its staple.
func stapled(t *testing.T, link, conf *channel.Conn, kp *testcert.Pair) string {
	t.Helper()
	app, peer := begin(t, conf, &wire.Start{})
	client := tls.Client(peer, &tls.Config{InsecureSkipVerify: true})
	done := make(chan error, 1)
	go func() { done <- client.Handshake() }()
	sign(t, link, kp.Key)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	established(t, app)
	return string(client.ConnectionState().OCSPResponse)
}

func TestUpdate(t *testing.T) {
	link, _ := startWorker(t)
	kp := testcert.New(t, testcert.Options{})
	s := settings(wire.RoleServer)
	s.SessionLifetime, s.SessionID = 100, make([]byte, wire.SessionIDSize)
	doc := func(more ...wire.Message) int {
		all := []wire.Message{s, &wire.Keypair{Slot: 1, Certificate: kp.CertPEM}}
		return document(t, append(all, more...)...)
	}
	staple := func(text string) *wire.Staple { return &wire.Staple{Response: []byte(text)} }
	conf, text := configure(t, link, 1, doc(staple("first"), &wire.TicketKey{Key: make([]byte, wire.TicketKeySize)}))
	if text != "" {
		t.Fatal(text)
	}
	defer conf.Close()
	if got := stapled(t, link, conf, kp); got != "first" {
		t.Errorf("staple %q", got)
	}
	update := document(t, staple("second"))
	defer unix.Close(update)
	if err := conf.Send(&wire.Update{}, update); err != nil {
		t.Fatal(err)
	}
	// The keeper gets the same file.
	b, fds, err := link.Recv()
	if err != nil {
		t.Fatal(err)
	}
	defer fds.Close()
	m, err := wire.Decode("worker", "link", b, len(fds))
	if err != nil {
		t.Fatal(err)
	}
	if m, ok := m.(*wire.ConfigUpdate); !ok || m.Config != 1 {
		t.Fatalf("%+v", m)
	}
	var sent, got unix.Stat_t
	if unix.Fstat(update, &sent) != nil || unix.Fstat(fds[0], &got) != nil || sent.Dev != got.Dev || sent.Ino != got.Ino {
		t.Error("another file")
	}
	if got := stapled(t, link, conf, kp); got != "second" {
		t.Errorf("staple %q", got)
	}

	// The next worker begins with it.
	again, end, err := channel.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	first := doc(staple("first"))
	defer unix.Close(first)
	err = link.Send(&wire.Config{Config: 2}, first, end, update)
	unix.Close(end)
	if err != nil {
		t.Fatal(err)
	}
	if m, ok := recv(t, link).(*wire.ConfigReady); !ok || m.Error != "" {
		t.Fatalf("%+v", m)
	}
	if got := stapled(t, link, again, kp); got != "second" {
		t.Errorf("staple %q", got)
	}
}

// Whatever is wrong with an update closes the configuration.
func TestWrongUpdate(t *testing.T) {
	link, _ := startWorker(t)
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(p[1])
	for i, tt := range []struct {
		name string
		fd   int
	}{
		{"settings", document(t, settings(wire.RoleClient))},
		{"no such pair", document(t, &wire.Staple{Pair: 0})},
		{"garbage", file(t, []byte("x"))},
		{"socket", p[0]},
	} {
		conf, text := configure(t, link, uint32(i), document(t, settings(wire.RoleClient)))
		if text != "" {
			t.Fatal(text)
		}
		if err := conf.Send(&wire.Update{}, tt.fd); err != nil {
			t.Fatal(err)
		}
		unix.Close(tt.fd)
		if m, ok := recv(t, link).(*wire.ConfigClosed); !ok || m.Config != uint32(i) {
			t.Errorf("%s: %+v", tt.name, m)
		}
		conf.Close()
	}
}

func TestSessionFileOfServer(t *testing.T) {
	link, _ := startWorker(t)
	kp := testcert.New(t, testcert.Options{})
	conf, text := configure(t, link, 1, document(t, settings(wire.RoleServer),
		&wire.Keypair{Slot: 1, Certificate: kp.CertPEM}))
	if text != "" {
		t.Fatal(text)
	}
	defer conf.Close()
	session := file(t, nil)
	defer unix.Close(session)
	begin(t, conf, &wire.Start{}, session)
	if m, ok := recv(t, link).(*wire.ConfigClosed); !ok {
		t.Errorf("%+v", m)
	}
}

// engine sends ENGINE with a data channel, and returns its other end.
func engine(t *testing.T, conf *channel.Conn, m *wire.Engine, more ...int) *os.File {
	t.Helper()
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	app := os.NewFile(uintptr(p[0]), "app")
	t.Cleanup(func() { app.Close() })
	_ = app.SetDeadline(time.Now().Add(patience))
	err = conf.Send(m, append([]int{p[1]}, more...)...)
	unix.Close(p[1])
	if err != nil {
		t.Fatal(err)
	}
	return app
}

func TestEngine(t *testing.T) {
	link, _ := startWorker(t)
	conf, text := configure(t, link, 1, document(t, settings(wire.RoleClient)))
	if text != "" {
		t.Fatal(text)
	}
	defer conf.Close()
	// A data channel of another kind is this connection's trouble alone.
	other, end, err := channel.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	err = conf.Send(&wire.Engine{}, end)
	unix.Close(end)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := other.Recv(); err != io.EOF {
		t.Errorf("a wrong data channel: %v", err)
	}
	session := file(t, nil)
	defer unix.Close(session)
	app := engine(t, conf, &wire.Engine{Servername: "localhost"}, session)
	var head [wire.FrameHeader + 4]byte
	if _, err := io.ReadFull(app, head[:]); err != nil || binary.BigEndian.Uint16(head[6:]) != 0x0035 {
		t.Errorf("first message %x, %v", head, err)
	}
}

func TestEngineRefused(t *testing.T) {
	link, _ := startWorker(t)
	kp := testcert.New(t, testcert.Options{})
	session := file(t, nil)
	defer unix.Close(session)
	for i, tt := range []struct {
		name string
		role uint8
		m    *wire.Engine
		more []int
	}{
		{"session file of a server", wire.RoleServer, &wire.Engine{}, []int{session}},
		{"name of a server", wire.RoleServer, &wire.Engine{Servername: "a"}, nil},
		{"unknown flags", wire.RoleClient, &wire.Engine{Verify: 16}, nil},
	} {
		conf, text := configure(t, link, uint32(i), document(t, settings(tt.role),
			&wire.Keypair{Slot: 1, Certificate: kp.CertPEM}))
		if text != "" {
			t.Fatal(text)
		}
		engine(t, conf, tt.m, tt.more...)
		if m, ok := recv(t, link).(*wire.ConfigClosed); !ok || m.Config != uint32(i) {
			t.Errorf("%s: %+v", tt.name, m)
		}
		conf.Close()
	}
}

// ask sends OCSP and returns the answer.
func ask(t *testing.T, conf *channel.Conn, id uint64, response int) *wire.OCSPReply {
	t.Helper()
	reply, end, err := channel.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Close()
	err = conf.Send(&wire.OCSP{Connection: id}, response, end)
	unix.Close(end)
	unix.Close(response)
	if err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(patience, func() { reply.Close() })
	defer timer.Stop()
	b, fds, err := reply.Recv()
	if err != nil {
		t.Fatal(err)
	}
	m, err := wire.Decode("worker", "reply", b, len(fds))
	if err != nil {
		t.Fatal(err)
	}
	return m.(*wire.OCSPReply)
}

func TestOCSP(t *testing.T) {
	link, _ := startWorker(t)
	ca := testcert.New(t, testcert.Options{CA: true})
	kp := testcert.New(t, testcert.Options{Parent: ca, Names: []string{"localhost"}})
	s := settings(wire.RoleClient)
	s.CA = ca.CertPEM
	conf, text := configure(t, link, 1, document(t, s))
	if text != "" {
		t.Fatal(text)
	}
	defer conf.Close()
	session := file(t, nil)
	defer unix.Close(session)
	connect := func() (*os.File, *tls.Conn, *wire.Established) {
		app, peer := begin(t, conf, &wire.Start{
			Verify: wire.VerifyChain | wire.VerifyName | wire.VerifyTimes, Servername: "localhost",
		}, session)
		server := tls.Server(peer, &tls.Config{
			Certificates: []tls.Certificate{{Certificate: [][]byte{kp.Cert.Raw}, PrivateKey: kp.Key}},
		})
		if err := server.Handshake(); err != nil {
			t.Fatal(err)
		}
		return app, server, established(t, app)
	}
	app, server, est := connect()
	pipe := make([]int, 2)
	if err := unix.Pipe2(pipe, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[1])
	good := func() int { return file(t, testcert.OCSP(t, ca, kp, testcert.Status{})) }
	revoked := func() int { return file(t, testcert.OCSP(t, ca, kp, testcert.Status{Revoked: true})) }
	check := func() {
		t.Helper()
		m := ask(t, conf, est.Connection, good())
		if m.Error != "" || m.Result != "good" || m.ThisUpdate <= 0 || m.NextUpdate != -1 {
			t.Errorf("%+v", m)
		}
	}
	check()
	m := ask(t, conf, est.Connection, revoked())
	if m.Error != "ocsp verify failed: revoked cert - keyCompromise" || m.CertStatus != 1 || m.CRLReason != 1 || m.RevocationTime <= 0 {
		t.Errorf("%+v", m)
	}
	for _, tt := range []struct {
		id   uint64
		fd   int
		want string
	}{
		{est.Connection, file(t, []byte("x")), "unable to parse OCSP response"},
		{est.Connection, pipe[0], "failed to read OCSP response: not a file of the right size"},
		{est.Connection + 1, good(), "goproxy does not know the connection any more"},
	} {
		if m := ask(t, conf, tt.id, tt.fd); *m != (wire.OCSPReply{Error: tt.want}) {
			t.Errorf("%+v, want %q", m, tt.want)
		}
	}
	// A connection whose directions have both ended is still known.
	if err := server.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	server.NetConn().Close()
	if _, err := app.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("%v", err)
	}
	if err := unix.Shutdown(int(app.Fd()), unix.SHUT_WR); err != nil {
		t.Fatal(err)
	}
	check()
}
