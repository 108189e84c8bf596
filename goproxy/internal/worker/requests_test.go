// SPDX-License-Identifier: ISC

package worker

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"libtls-proxy/goproxy/internal/channel"
	"libtls-proxy/goproxy/internal/testcert"
	"libtls-proxy/goproxy/internal/tlsconf"
	"libtls-proxy/goproxy/internal/wire"
)

// A desk is where the application of an asker sits.
type desk struct {
	t      testing.TB
	app    *channel.Conn
	end    int // the worker's
	keeper *channel.Conn
	config *config
	gone   chan struct{}
}

const longTime = 60000

func newDesk(t testing.TB, timeout uint32) *desk {
	t.Helper()
	keeper, link, err := channel.Pair()
	if err != nil {
		t.Fatal(err)
	}
	own, err := channel.New(link)
	if err != nil {
		t.Fatal(err)
	}
	app, end, err := channel.Pair()
	if err != nil {
		t.Fatal(err)
	}
	w := &worker{link: own, signatures: newSignatures(own)}
	c := newConfig(w, 3, 1, nil)
	s := settings(wire.RoleClient)
	s.Requests, s.RequestTimeout = wire.AllRequests, timeout
	doc := document(t, s)
	defer unix.Close(doc)
	if err := c.load(channel.Fds{doc}); err != nil {
		t.Fatal(err)
	}
	d := &desk{t: t, app: app, end: end, keeper: keeper, config: c, gone: make(chan struct{})}
	t.Cleanup(func() {
		app.Close()
		keeper.Close()
		own.Close()
	})
	return d
}

func (d *desk) asker() *asker {
	d.t.Helper()
	a, err := newAsker(d.config, d.end)
	d.end = -1
	if err != nil {
		d.t.Fatal(err)
	}
	a.address = "192.0.2.1:1"
	a.gone = func() (<-chan struct{}, func()) { return d.gone, func() {} }
	return a
}

// question receives the next message.
func (d *desk) question() wire.Message {
	d.t.Helper()
	m, fds := receive(d.t, d.app)
	fds.Close()
	return m
}

func receive(t testing.TB, c *channel.Conn) (wire.Message, channel.Fds) {
	t.Helper()
	timer := time.AfterFunc(patience, func() { c.Close() })
	defer timer.Stop()
	b, fds, err := c.Recv()
	if err != nil {
		t.Fatal(err)
	}
	m, err := wire.Decode("worker", "requests", b, len(fds))
	if err != nil {
		t.Fatal(err)
	}
	return m, fds
}

func (d *desk) answer(m wire.Message, fds ...int) {
	d.t.Helper()
	if err := d.app.Send(m, fds...); err != nil {
		d.t.Fatal(err)
	}
}

// number is that of the request in a question.
func number(m wire.Message) uint64 {
	switch m := m.(type) {
	case *wire.AskCertificate:
		return m.Request
	case *wire.AskVerify:
		return m.Request
	case *wire.AskSession:
		return m.Request
	case *wire.AskStaple:
		return m.Request
	case *wire.AskSign:
		return m.Request
	case *wire.Cancel:
		return m.Request
	}
	return 0
}

// eof reports whether all copies of the other end of a pipe are closed.
func eof(t testing.TB, f *os.File) {
	t.Helper()
	_ = f.SetReadDeadline(time.Now().Add(patience))
	if n, err := f.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("a descriptor is left: %v", err)
	}
}

func pipe(t testing.TB) (*os.File, *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Close()
		w.Close()
	})
	return r, w
}

// What each kind says, and gets.
func TestAnswers(t *testing.T) {
	d := newDesk(t, longTime)
	a := d.asker()
	defer a.finish()
	for _, tt := range []struct {
		ask    func()
		answer func(m wire.Message) wire.Message
	}{
		{func() {
			got, err := a.Certificate(&tlsconf.CertificateQuestion{
				Servername: "name", ALPN: []string{"h2", "x"},
				Schemes: []tls.SignatureScheme{tls.Ed25519}, Versions: []uint16{tls.VersionTLS13},
			})
			if err != nil || !got.Known || got.Pair != 7 {
				t.Errorf("%+v, %v", got, err)
			}
		}, func(q wire.Message) wire.Message {
			m := q.(*wire.AskCertificate)
			if m.Config != 3 || m.Address != "192.0.2.1:1" || string(m.ALPN) != "\x02h2\x01x" ||
				m.Servername != "name" || !bytes.Equal(m.Schemes, []byte{8, 7}) ||
				!bytes.Equal(m.Versions, []byte{3, 4}) {
				t.Errorf("%+v", m)
			}
			return &wire.AskCertificateReply{Request: m.Request, Action: wire.CertificatePair, Number: 7}
		}},
		{func() {
			err := a.Verify(1, errors.New("bad"), [][]byte{{1}, {2, 3}})
			if !errors.Is(err, tlsconf.Refusal("no bad")) {
				t.Errorf("%v", err)
			}
		}, func(q wire.Message) wire.Message {
			m := q.(*wire.AskVerify)
			if m.Depth != 1 || string(m.Chain) != "\x00\x00\x00\x01\x01\x00\x00\x00\x02\x02\x03" {
				t.Errorf("%+v", m)
			}
			return &wire.AskVerifyReply{Request: m.Request, Error: "no " + m.Verdict}
		}},
		{func() {
			if got := a.LookupSession([]byte("id")); string(got) != "id" {
				t.Errorf("%q", got)
			}
		}, func(q wire.Message) wire.Message {
			m := q.(*wire.AskSession)
			if m.Operation != wire.SessionLookup {
				t.Errorf("%+v", m)
			}
			return &wire.AskSessionReply{Request: m.Request, Session: m.ID}
		}},
		{func() {
			if got, ok, err := a.Staple("hash"); string(got) != "hash" || !ok || err != nil {
				t.Errorf("%q, %v, %v", got, ok, err)
			}
		}, func(q wire.Message) wire.Message {
			m := q.(*wire.AskStaple)
			return &wire.AskStapleReply{Request: m.Request, Action: 1, Response: []byte(m.Hash)}
		}},
		{func() {
			if got, err := a.Sign("hash", tls.Ed25519, []byte("digest")); string(got) != "hash" || err != nil {
				t.Errorf("%q, %v", got, err)
			}
		}, func(q wire.Message) wire.Message {
			m := q.(*wire.AskSign)
			if m.Scheme != 0x0807 || string(m.Digest) != "digest" {
				t.Errorf("%+v", m)
			}
			return &wire.AskSignReply{Request: m.Request, Signature: []byte(m.Hash)}
		}},
	} {
		done := make(chan error, 1)
		go func() {
			tt.ask()
			done <- nil
		}()
		d.answer(tt.answer(d.question()))
		if err := wait(t, done); err != nil {
			t.Error(err)
		}
	}
}

// What each kind makes of an answer.
func TestAnswerMeanings(t *testing.T) {
	d := newDesk(t, longTime)
	a := d.asker()
	defer a.finish()
	pair := testcert.New(t, testcert.Options{})
	good, bad := file(t, pair.CertPEM), file(t, []byte("x"))
	defer unix.Close(good)
	defer unix.Close(bad)
	_, notFile := pipe(t)
	verdict := errors.New("expired")

	certificate := func() error {
		got, err := a.Certificate(&tlsconf.CertificateQuestion{})
		if err == nil && (got.Known || got.Chain != nil) {
			err = errors.New("a pair")
		}
		return err
	}
	verify := func() error { return a.Verify(0, verdict, [][]byte{{1}}) }
	staple := func() error {
		got, ok, err := a.Staple("h")
		if err == nil && (ok || len(got) != 0) {
			err = errors.New("a staple")
		}
		return err
	}
	sign := func() error { _, err := a.Sign("h", tls.Ed25519, nil); return err }
	session := func() error {
		if a.LookupSession([]byte("id")) != nil {
			return errors.New("a session")
		}
		return nil
	}
	store := func() error { a.StoreSession([]byte("id"), []byte("s"), time.Minute); return nil }
	remove := func() error { a.RemoveSession([]byte("id")); return nil }
	for _, tt := range []struct {
		name string
		ask  func() error
		want string
		m    func(id uint64) wire.Message
		fds  []int
	}{
		{"default", certificate, "", func(id uint64) wire.Message { return &wire.AskCertificateReply{Request: id} }, nil},
		{"pair", certificate, "a pair",
			func(id uint64) wire.Message { return &wire.AskCertificateReply{Request: id, Action: 1, Number: 4} }, nil},
		{"new", certificate, "a pair",
			func(id uint64) wire.Message { return &wire.AskCertificateReply{Request: id, Action: 2, Number: 4} }, []int{good}},
		{"new, garbage", certificate, "failed to load certificate",
			func(id uint64) wire.Message { return &wire.AskCertificateReply{Request: id, Action: 2} }, []int{bad}},
		{"new, no file", certificate, "not a file of the right size",
			func(id uint64) wire.Message { return &wire.AskCertificateReply{Request: id, Action: 2} }, []int{int(notFile.Fd())}},
		{"new without a descriptor", certificate, errAnswer.Error(),
			func(id uint64) wire.Message { return &wire.AskCertificateReply{Request: id, Action: 2} }, nil},
		{"descriptor without new", certificate, errAnswer.Error(),
			func(id uint64) wire.Message { return &wire.AskCertificateReply{Request: id, Action: 1} }, []int{good}},
		{"unknown action", certificate, errAnswer.Error(),
			func(id uint64) wire.Message { return &wire.AskCertificateReply{Request: id, Action: 4} }, nil},
		{"refuse", certificate, "no", func(id uint64) wire.Message {
			return &wire.AskCertificateReply{Request: id, Action: 3, Error: "no"}
		}, nil},
		{"signature for certificate", certificate, errAnswer.Error(),
			func(id uint64) wire.Message { return &wire.AskSignReply{Request: id, Signature: []byte("s")} }, nil},
		{"accept", verify, "", func(id uint64) wire.Message { return &wire.AskVerifyReply{Request: id} }, nil},
		{"as usual", verify, "expired",
			func(id uint64) wire.Message { return &wire.AskVerifyReply{Request: id, Error: "expired"} }, nil},
		{"refuse peer", verify, "no", func(id uint64) wire.Message { return &wire.AskVerifyReply{Request: id, Error: "no"} }, nil},
		{"staple for verify", verify, errAnswer.Error(),
			func(id uint64) wire.Message { return &wire.AskStapleReply{Request: id} }, nil},
		{"no staple", staple, "", func(id uint64) wire.Message { return &wire.AskStapleReply{Request: id} }, nil},
		{"staple", staple, "a staple",
			func(id uint64) wire.Message {
				return &wire.AskStapleReply{Request: id, Action: 1, Response: []byte("r")}
			}, nil},
		{"unknown staple action", staple, errAnswer.Error(),
			func(id uint64) wire.Message { return &wire.AskStapleReply{Request: id, Action: 2} }, nil},
		{"session for staple", staple, errAnswer.Error(),
			func(id uint64) wire.Message { return &wire.AskSessionReply{Request: id} }, nil},
		{"signature", sign, "",
			func(id uint64) wire.Message { return &wire.AskSignReply{Request: id, Signature: []byte("s")} }, nil},
		{"no signature", sign, "the application did not sign",
			func(id uint64) wire.Message { return &wire.AskSignReply{Request: id} }, nil},
		{"verify for sign", sign, errAnswer.Error(),
			func(id uint64) wire.Message { return &wire.AskVerifyReply{Request: id} }, nil},
		{"session", session, "a session",
			func(id uint64) wire.Message { return &wire.AskSessionReply{Request: id, Session: []byte("s")} }, nil},
		{"no session", session, "", func(id uint64) wire.Message { return &wire.AskSessionReply{Request: id} }, nil},
		{"sign for session", session, "",
			func(id uint64) wire.Message { return &wire.AskSignReply{Request: id, Signature: []byte("s")} }, nil},
		{"store", store, "", func(id uint64) wire.Message { return &wire.AskSessionReply{Request: id} }, nil},
		{"remove", remove, "", func(id uint64) wire.Message { return &wire.AskSessionReply{Request: id} }, nil},
	} {
		done := make(chan error, 1)
		go func() { done <- tt.ask() }()
		m := d.question()
		d.answer(tt.m(number(m)), tt.fds...)
		got := ""
		if err := wait(d.t.(*testing.T), done); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s: %q instead of %q", tt.name, got, tt.want)
		}
	}
}

// What nobody waits for is dropped, with its descriptors.
func TestUnknownAnswers(t *testing.T) {
	d := newDesk(t, longTime)
	a := d.asker()
	defer a.finish()
	r, w := pipe(t)
	done := make(chan error, 1)
	go func() { done <- a.Verify(0, nil, nil) }()
	id := number(d.question())
	d.answer(&wire.AskVerifyReply{Request: id + 1, Error: "no"})
	d.answer(&wire.AskVerifyReply{Request: 0, Error: "no"})
	d.answer(&wire.AskCertificateReply{Request: id + 1, Action: wire.CertificateNew}, int(w.Fd()))
	w.Close()
	eof(t, r)
	d.answer(&wire.AskVerifyReply{Request: id})
	d.answer(&wire.AskVerifyReply{Request: id, Error: "the second counts"})
	if err := wait(t, done); err != nil {
		t.Error(err)
	}
}

// Without an answer in time, or without an application, the question is taken
// back, and a late answer does no harm.
func TestCancel(t *testing.T) {
	for _, tt := range []struct {
		name    string
		timeout uint32
		want    error
	}{
		{"timeout", 1, errTimeout},
		{"gone", longTime, errCancelled},
	} {
		d := newDesk(t, tt.timeout)
		a := d.asker()
		done := make(chan error, 1)
		go func() {
			_, err := a.Certificate(&tlsconf.CertificateQuestion{})
			done <- err
		}()
		m := d.question()
		if tt.want == errCancelled {
			close(d.gone)
		}
		if err := wait(t, done); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if c, ok := d.question().(*wire.Cancel); !ok || c.Request != number(m) {
			t.Errorf("%s: %+v", tt.name, c)
		}
		r, w := pipe(t)
		d.answer(&wire.AskCertificateReply{Request: number(m), Action: wire.CertificateNew}, int(w.Fd()))
		w.Close()
		a.finish()
		eof(t, r)
	}
}

// An application that reads nothing makes its own handshake fail, also once
// there is no room for a question.
func TestFullChannel(t *testing.T) {
	d := newDesk(t, 1)
	a := d.asker()
	defer a.finish()
	big := strings.Repeat("x", 50000)
	for {
		_, _, err := a.Staple(big)
		if errors.Is(err, errChannel) {
			break
		}
		if !errors.Is(err, errTimeout) {
			t.Fatal(err)
		}
	}
}

// The application sees the end of the handshake.
func TestFinish(t *testing.T) {
	d := newDesk(t, longTime)
	d.asker().finish()
	timer := time.AfterFunc(patience, func() { d.app.Close() })
	defer timer.Stop()
	if _, _, err := d.app.Recv(); err != io.EOF {
		t.Error(err)
	}
}

func TestNoChannel(t *testing.T) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(p[1])
	if _, err := newAsker(nil, p[0]); err == nil {
		t.Error("a stream was taken")
	}
	if !channel.Hangup(p[1]) {
		t.Error("the stream is left open")
	}
}

// An application that breaks the protocol, or closes the channel, gets no
// more questions, and who waits hears of it.
func TestBrokenChannel(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(d *desk)
	}{
		{"question", func(d *desk) { d.answer(&wire.AskVerify{}) }},
		{"other message", func(d *desk) { d.answer(&wire.Hello{}) }},
		{"descriptor", func(d *desk) {
			_, w := pipe(d.t)
			d.answer(&wire.AskVerifyReply{}, int(w.Fd()))
		}},
		{"end", func(d *desk) { d.app.Close() }},
	} {
		d := newDesk(t, longTime)
		a := d.asker()
		done := make(chan error, 1)
		go func() { done <- a.Verify(0, nil, nil) }()
		d.question()
		tt.spoil(d)
		if err := wait(t, done); !errors.Is(err, errChannel) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if err := a.Verify(0, nil, nil); !errors.Is(err, errChannel) {
			t.Errorf("%s, again: %v", tt.name, err)
		}
		a.finish()
	}
}

// What the peer sent may be no message.
func TestUnfitQuestions(t *testing.T) {
	d := newDesk(t, longTime)
	a := d.asker()
	defer a.finish()
	long := strings.Repeat("x", 255)
	var many []string
	for range maxContent / 200 {
		many = append(many, long)
	}
	if _, err := a.Certificate(&tlsconf.CertificateQuestion{ALPN: many}); !errors.Is(err, errTooLarge) {
		t.Error(err)
	}
	if err := a.Verify(0, nil, [][]byte{make([]byte, maxContent)}); !errors.Is(err, errTooLarge) {
		t.Error(err)
	}
	if _, err := a.Certificate(&tlsconf.CertificateQuestion{Servername: "a\x00b"}); !errors.Is(err, errChannel) {
		t.Error(err)
	}
	a.StoreSession([]byte("id"), make([]byte, maxContent+1), time.Hour)
	verdict := errors.New("\x00" + strings.Repeat("x", wire.MaxMessage))
	done := make(chan error, 1)
	go func() { done <- a.Verify(0, verdict, [][]byte{{1}}) }()
	m := d.question().(*wire.AskVerify)
	if len(m.Verdict) != maxVerdict || m.Verdict[0] != '?' {
		t.Errorf("%q", m.Verdict)
	}
	d.answer(&wire.AskVerifyReply{Request: m.Request, Error: m.Verdict})
	if err := wait(t, done); !errors.Is(err, verdict) {
		t.Error("not the built-in verdict")
	}
}

func TestKeysAreGivenBack(t *testing.T) {
	d := newDesk(t, longTime)
	a := d.asker()
	pair := testcert.New(t, testcert.Options{})
	fd := file(t, pair.CertPEM)
	defer unix.Close(fd)
	done := make(chan tlsconf.CertificateAnswer, 1)
	go func() {
		got, err := a.Certificate(&tlsconf.CertificateQuestion{})
		if err != nil {
			t.Error(err)
		}
		done <- got
	}()
	d.answer(&wire.AskCertificateReply{
		Request: number(d.question()), Action: wire.CertificateNew, Number: 5,
	}, fd)
	got := <-done
	if s, ok := got.Key.(*signer); !ok || s.slot != 5 || s.config != 3 || got.Chain == nil || got.Known {
		t.Errorf("%+v", got)
	}
	a.finish()
	if m, ok := recv(t, d.keeper).(*wire.KeyDone); !ok || m.Config != 3 || m.Slot != 5 {
		t.Errorf("%+v", m)
	}
}

// requestServer is a configuration of the worker that asks.
func requestServer(t *testing.T, link *channel.Conn, kp *testcert.Pair, requests uint32) *channel.Conn {
	t.Helper()
	s := settings(wire.RoleServer)
	s.Requests, s.RequestTimeout = requests, longTime
	conf, text := configure(t, link, 1, document(t, s, &wire.Keypair{Slot: 1, Certificate: kp.CertPEM}))
	if text != "" {
		t.Fatal(text)
	}
	t.Cleanup(func() { conf.Close() })
	return conf
}

func TestRequestsOfConnections(t *testing.T) {
	link, _ := startWorker(t)
	kp := testcert.New(t, testcert.Options{})
	conf := requestServer(t, link, kp, wire.RequestCertificate)
	for _, name := range []string{"one", "two", "three"} {
		app, end, err := channel.Pair()
		if err != nil {
			t.Fatal(err)
		}
		defer app.Close()
		data, peer := begin(t, conf, &wire.Start{}, end)
		unix.Close(end)
		client := tls.Client(peer, &tls.Config{InsecureSkipVerify: true, ServerName: name})
		done := make(chan error, 1)
		go func() { done <- client.Handshake() }()
		m, fds := receive(t, app)
		fds.Close()
		q, ok := m.(*wire.AskCertificate)
		if !ok || q.Servername != name {
			t.Fatalf("%+v", m)
		}
		if err := app.Send(&wire.AskCertificateReply{Request: q.Request}); err != nil {
			t.Fatal(err)
		}
		sign(t, link, kp.Key)
		if err := wait(t, done); err != nil {
			t.Fatal(err)
		}
		established(t, data)
	}
}

// wantEnd waits for the end of a data channel on which nothing was said.
func wantEnd(t *testing.T, app io.Reader) {
	t.Helper()
	if n, err := app.Read(make([]byte, 1)); n != 0 || err == nil || os.IsTimeout(err) {
		t.Errorf("%d, %v instead of the end", n, err)
	}
}

func TestStartWithoutRequestChannel(t *testing.T) {
	kp := testcert.New(t, testcert.Options{})
	stream := func() int {
		p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(p[1])
		t.Cleanup(func() { unix.Close(p[0]) })
		return p[0]
	}
	t.Run("none", func(t *testing.T) {
		link, _ := startWorker(t)
		conf := requestServer(t, link, kp, wire.RequestStaple)
		begin(t, conf, &wire.Start{})
		if m, ok := recv(t, link).(*wire.ConfigClosed); !ok {
			t.Errorf("%+v", m)
		}
	})
	t.Run("another kind", func(t *testing.T) {
		link, _ := startWorker(t)
		conf := requestServer(t, link, kp, wire.RequestStaple)
		app, peer := begin(t, conf, &wire.Start{}, stream())
		wantEnd(t, app)
		wantEnd(t, peer.(*net.UnixConn))
		// The configuration is as good as before.
		_, end, err := channel.Pair()
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(end)
		reply, replyEnd, err := channel.Pair()
		if err != nil {
			t.Fatal(err)
		}
		defer reply.Close()
		err = conf.Send(&wire.Status{Connection: 1}, replyEnd)
		unix.Close(replyEnd)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := reply.Recv(); err != nil {
			t.Error(err)
		}
	})
	t.Run("one too many", func(t *testing.T) {
		link, _ := startWorker(t)
		conf, text := configure(t, link, 1, document(t, settings(wire.RoleServer),
			&wire.Keypair{Slot: 1, Certificate: kp.CertPEM}))
		if text != "" {
			t.Fatal(text)
		}
		defer conf.Close()
		begin(t, conf, &wire.Start{}, stream(), stream(), stream(), stream())
		if m, ok := recv(t, link).(*wire.ConfigClosed); !ok {
			t.Errorf("%+v", m)
		}
	})
}

// Whatever an application answers, the handshake gets something or fails, and
// nobody is left waiting.
func FuzzAnswers(f *testing.F) {
	pair := testcert.New(f, testcert.Options{})
	for kind, m := range []wire.Message{
		&wire.AskCertificateReply{Action: wire.CertificateNew, Number: 1}, &wire.AskVerifyReply{Error: "no"},
		&wire.AskSessionReply{Session: []byte("s")}, &wire.AskStapleReply{Action: 1, Response: []byte("r")},
		&wire.AskSignReply{Signature: []byte("s")}, &wire.AskCertificateReply{Action: wire.CertificatePair},
	} {
		b, err := wire.Encode(m)
		if err != nil {
			f.Fatal(err)
		}
		for n := range uint8(3) {
			f.Add(uint8(kind), b, n, pair.CertPEM)
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, b []byte, n uint8, content []byte) {
		if len(b) == 0 || len(b) > wire.MaxMessage || len(content) > wire.MaxKey {
			return
		}
		d := newDesk(t, longTime)
		a := d.asker()
		done := make(chan struct{})
		go func() {
			defer close(done)
			switch kind % 5 {
			case 0:
				got, err := a.Certificate(&tlsconf.CertificateQuestion{Servername: "a"})
				if err == nil && (got.Chain != nil) != (got.Key != nil) {
					t.Errorf("%+v", got)
				}
			case 1:
				_ = a.Verify(0, nil, [][]byte{{1}})
			case 2:
				a.LookupSession([]byte("id"))
			case 3:
				_, _, _ = a.Staple("h")
			case 4:
				if got, err := a.Sign("h", tls.Ed25519, nil); (err == nil) != (len(got) > 0) {
					t.Errorf("%x, %v", got, err)
				}
			}
		}()
		id := number(d.question())
		if len(b) >= 12 {
			b = bytes.Clone(b)
			binary.BigEndian.PutUint64(b[4:], id)
		}
		var fds []int
		defer func() {
			for _, fd := range fds {
				unix.Close(fd)
			}
		}()
		for range n % 4 {
			fds = append(fds, file(t, content))
		}
		var oob []byte
		if len(fds) > 0 {
			oob = unix.UnixRights(fds...)
		}
		if err := d.app.With(func(fd int) error { return unix.Sendmsg(fd, b, oob, nil, 0) }); err != nil {
			t.Fatal(err)
		}
		// Then it goes.
		d.app.Close()
		<-done
		a.finish()
	})
}
