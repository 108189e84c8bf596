// SPDX-License-Identifier: ISC

package conn

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
	"libtls-proxy/goproxy/internal/wire"
)

// A library is what an engine has at the other end of its data channel, with a
// peer behind it.
type library struct {
	t    testing.TB
	side side
	e    *Engine
	app  *os.File
	net  net.Conn // records from and to the peer
	far  net.Conn // the peer's end
	peer *tls.Conn
	est  *wire.Established
	done chan bool
}

func newLibrary(t testing.TB, sd side) *library {
	t.Helper()
	kp := certificate(t, testcert.Options{Names: []string{"localhost"}})
	own := kp
	if !sd.server {
		own = nil
	}
	l := &library{t: t, side: sd, done: make(chan bool, 1)}
	var end int
	l.app, _, end = socketpair(t)
	var err error
	if l.e, err = NewEngine(channel.Fds{end}, Options{ID: 1, Config: newConfig(t, sd.server, own, nil)}); err != nil {
		t.Fatal(err)
	}
	l.net, l.far = net.Pipe()
	for _, c := range []net.Conn{l.net, l.far} {
		_ = c.SetDeadline(time.Now().Add(3 * patience))
	}
	config := &tls.Config{
		MinVersion: sd.version, MaxVersion: sd.version,
		InsecureSkipVerify: true,
		Certificates:       []tls.Certificate{{Certificate: [][]byte{kp.Cert.Raw}, PrivateKey: kp.Key}},
	}
	if sd.server {
		l.peer = tls.Client(l.far, config)
	} else {
		l.peer = tls.Server(l.far, config)
	}
	go func() { l.done <- l.e.Run(func() {}) }()
	t.Cleanup(func() {
		l.app.Close()
		l.net.Close()
		l.far.Close()
		l.wantEnd()
	})
	return l
}

// wantEnd waits for the end of Run.
func (l *library) wantEnd() {
	l.t.Helper()
	select {
	case remember := <-l.done:
		if remember {
			l.t.Error("an engine's ending is remembered")
		}
		l.done <- remember
	case <-time.After(2 * patience):
		l.t.Fatal("Run does not return")
	}
}

func (l *library) send(m wire.Message) {
	l.t.Helper()
	frame, err := wire.EncodeFrame(m)
	if err != nil {
		l.t.Fatal(err)
	}
	if _, err := l.app.Write(frame); err != nil {
		l.t.Fatal(err)
	}
}

// receive returns the next message that is not for the peer.
func (l *library) receive() (wire.Message, error) {
	for {
		var head [wire.FrameHeader]byte
		if _, err := io.ReadFull(l.app, head[:]); err != nil {
			return nil, err
		}
		frame := make([]byte, binary.BigEndian.Uint32(head[:]))
		if _, err := io.ReadFull(l.app, frame); err != nil {
			return nil, err
		}
		m, err := wire.Decode("worker", "data", frame, 0)
		if err != nil {
			return nil, err
		}
		out, ok := m.(*wire.Output)
		if !ok {
			return m, nil
		}
		if _, err := l.net.Write(out.Records); err != nil {
			return nil, err
		}
	}
}

func (l *library) ask(m wire.Message) wire.Message {
	l.t.Helper()
	l.send(m)
	answer, err := l.receive()
	if err != nil {
		l.t.Fatalf("no answer to %T: %v", m, err)
	}
	return answer
}

func (l *library) record() *wire.Input {
	l.t.Helper()
	b := make([]byte, recordHeader)
	_, err := io.ReadFull(l.net, b)
	if err == nil {
		b = append(b, make([]byte, binary.BigEndian.Uint16(b[3:]))...)
		_, err = io.ReadFull(l.net, b[recordHeader:])
	}
	if err != nil {
		l.t.Fatal(err)
	}
	return &wire.Input{Record: b}
}

// input gives records to the engine until it says something.
func (l *library) input() *wire.InputReply {
	l.t.Helper()
	for {
		m, ok := l.ask(l.record()).(*wire.InputReply)
		if !ok {
			l.t.Fatalf("%+v", m)
		}
		if m.Ending != wire.EndingOpen || len(m.Plaintext) > 0 {
			return m
		}
	}
}

// shake is the handshake of both.
func (l *library) shake() {
	l.t.Helper()
	failed := make(chan error, 1)
	go func() { failed <- l.peer.Handshake() }()
	m, err := l.receive()
	for err == nil {
		if _, need := m.(*wire.Need); !need {
			break
		}
		m = l.ask(l.record())
	}
	var ok bool
	if l.est, ok = m.(*wire.Established); !ok {
		l.t.Fatalf("%+v, %v", m, err)
	}
	// A client's last record may come with ESTABLISHED.
	if err := <-failed; err != nil {
		l.t.Fatal(err)
	}
}

func openEngine(t testing.TB, sd side) *library {
	t.Helper()
	l := newLibrary(t, sd)
	l.shake()
	return l
}

func TestEngineTransfer(t *testing.T) {
	eachSide(t, func(t *testing.T, sd side) {
		l := openEngine(t, sd)
		if l.est.Version != map[uint16]string{tls.VersionTLS12: "TLSv1.2", tls.VersionTLS13: "TLSv1.3"}[sd.version] {
			t.Errorf("%+v", l.est)
		}
		for _, n := range []int{0, 1, 16383, 16384, 16385, wire.MaxChunk} {
			data := pattern(n)
			got := make([]byte, n)
			read := make(chan error, 1)
			go func() {
				_, err := io.ReadFull(l.peer, got)
				read <- err
			}()
			if m, ok := l.ask(&wire.Write{Plaintext: data}).(*wire.WriteReply); !ok || m.Error != "" {
				t.Fatalf("%+v", m)
			}
			if err := <-read; err != nil || !bytes.Equal(got, data) {
				t.Fatalf("peer: %d bytes: %v", n, err)
			}
			go func() {
				_, err := l.peer.Write(data)
				read <- err
			}()
			got = got[:0]
			for len(got) < n {
				m := l.input()
				if m.Ending != wire.EndingOpen {
					t.Fatalf("%+v", m)
				}
				got = append(got, m.Plaintext...)
			}
			if err := <-read; err != nil || !bytes.Equal(got, data) {
				t.Fatalf("engine: %d bytes: %v", n, err)
			}
		}
	})
}

func TestEngineEndings(t *testing.T) {
	reset := map[uint16]string{
		tls.VersionTLS12: "Connection reset by peer",
		tls.VersionTLS13: "error:02FFF068:system library:func(4095):Connection reset by peer",
	}
	unknown := map[uint16]string{
		tls.VersionTLS12: "Success",
		tls.VersionTLS13: "error:14FFF3E7:SSL routines:(UNKNOWN)SSL_internal:unknown failure occurred",
	}
	eachSide(t, func(t *testing.T, sd side) {
		for _, c := range []struct {
			name   string
			input  *wire.Input
			ending uint8
			text   string
		}{
			{"end of file", &wire.Input{End: wire.InputEOF}, wire.EndingTruncated, ""},
			{"reset", &wire.Input{End: wire.InputFailed, Errnum: 104}, wire.EndingFailed, reset[sd.version]},
			{"no errno", &wire.Input{End: wire.InputFailed}, wire.EndingFailed, unknown[sd.version]},
			{"bad record", &wire.Input{Record: append([]byte{0x17, 3, 3, 0, 40}, pattern(40)...)}, wire.EndingFailed, badDecrypt},
			{"no record", &wire.Input{Record: []byte{24, 3, 3, 1, 0}}, wire.EndingFailed, "not a record"},
		} {
			l := openEngine(t, sd)
			go func() { _, _ = io.Copy(io.Discard, l.far) }()
			m, ok := l.ask(c.input).(*wire.InputReply)
			if !ok || m.Ending != c.ending || !strings.HasSuffix(m.Error, c.text) || c.text == "" && m.Error != "" {
				t.Errorf("%s: %+v", c.name, m)
			}
			if got := l.e.Ending(); got.Code != c.ending {
				t.Errorf("%s: %+v", c.name, got)
			}
			// Nothing can come after the end.
			l.send(&wire.Input{End: wire.InputEOF})
			if m, err := l.receive(); err == nil {
				t.Errorf("%s: then %+v", c.name, m)
			}
			l.wantEnd()
		}
	})
}

func TestEngineOutputFailed(t *testing.T) {
	eachSide(t, func(t *testing.T, sd side) {
		l := openEngine(t, sd)
		m, ok := l.ask(&wire.OutputFailed{Errnum: uint32(unix.EPIPE)}).(*wire.OutputFailedReply)
		if !ok || !strings.HasSuffix(m.Error, "Broken pipe") {
			t.Errorf("%+v", m)
		}
		if got := l.e.Ending(); got.Code != wire.EndingOpen || got.Text != m.Error {
			t.Errorf("%+v", got)
		}

		l = newLibrary(t, sd)
		go func() { _, _ = io.Copy(io.Discard, l.far) }()
		if m, err := l.receive(); err != nil {
			t.Fatalf("%+v, %v", m, err)
		}
		f, ok := l.ask(&wire.OutputFailed{Errnum: uint32(unix.EPIPE)}).(*wire.Failed)
		if !ok || !strings.HasPrefix(f.Error, "handshake failed: ") || !strings.HasSuffix(f.Error, "Broken pipe") {
			t.Errorf("%+v", f)
		}
		l.wantEnd()
	})
}

func TestEngineShutdown(t *testing.T) {
	eachSide(t, func(t *testing.T, sd side) {
		l := openEngine(t, sd)
		end := make(chan error, 1)
		go func() {
			_, err := l.peer.Read(make([]byte, 1))
			end <- err
		}()
		if m, ok := l.ask(&wire.Shutdown{}).(*wire.ShutdownReply); !ok {
			t.Fatalf("%+v", m)
		}
		if err := <-end; err != io.EOF {
			t.Fatal(err)
		}
		// The other direction goes on.
		go func() {
			_, _ = l.peer.Write([]byte("last"))
			_ = l.peer.CloseWrite()
		}()
		if m := l.input(); string(m.Plaintext) != "last" {
			t.Errorf("%+v", m)
		}
		if m := l.input(); m.Ending != wire.EndingCloseNotify {
			t.Errorf("%+v", m)
		}
	})
}

// What a library that breaks the rules gets is the end.
func TestEngineLockstep(t *testing.T) {
	record := []byte{0x17, 3, 3, 0, 1, 0}
	for _, c := range []struct {
		name     string
		messages []wire.Message
	}{
		{"SHUTDOWN twice", []wire.Message{&wire.Shutdown{}, &wire.Shutdown{}}},
		{"WRITE after SHUTDOWN", []wire.Message{&wire.Shutdown{}, &wire.Write{Plaintext: []byte("x")}}},
		{"two records", []wire.Message{&wire.Input{Record: append(record[:6:6], record...)}}},
		{"half a record", []wire.Message{&wire.Input{Record: []byte{0x17, 3, 3, 0, 2, 0}}}},
		{"half a header", []wire.Message{&wire.Input{Record: record[:4]}}},
		{"no record", []wire.Message{&wire.Input{}}},
		{"unknown end", []wire.Message{&wire.Input{End: 3}}},
		{"end with a record", []wire.Message{&wire.Input{End: wire.InputEOF, Record: record}}},
		{"end with a number", []wire.Message{&wire.Input{End: wire.InputEOF, Errnum: 1}}},
		{"record with a number", []wire.Message{&wire.Input{Record: record, Errnum: 1}}},
		{"START", []wire.Message{&wire.Start{}}},
		{"the worker's", []wire.Message{&wire.Need{}}},
		{"too long", []wire.Message{&wire.Write{Plaintext: make([]byte, maxRequest)}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := openEngine(t, sides[1])
			go func() { _, _ = io.Copy(io.Discard, l.far) }()
			for i, m := range c.messages {
				l.send(m)
				answer, err := l.receive()
				if i == len(c.messages)-1 && err == nil {
					t.Errorf("answer %+v", answer)
				}
			}
			l.wantEnd()
		})
	}
	t.Run("two requests", func(t *testing.T) {
		l := openEngine(t, sides[1])
		frame, err := wire.EncodeFrame(&wire.OutputFailed{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.app.Write(append(frame, frame...)); err != nil {
			t.Fatal(err)
		}
		if m, err := l.receive(); err == nil {
			t.Errorf("answer %+v", m)
		}
		l.wantEnd()
	})
	t.Run("descriptors", func(t *testing.T) {
		l := openEngine(t, sides[1])
		before := openFds(t)
		frame, err := wire.EncodeFrame(&wire.OutputFailed{})
		if err != nil {
			t.Fatal(err)
		}
		s := &session{t: t, app: l.app}
		s.sendFds(frame, 0)
		if m, err := l.receive(); err == nil {
			t.Errorf("answer %+v", m)
		}
		l.wantEnd()
		if after := openFds(t); after > before {
			t.Errorf("%d descriptors, %d before", after, before)
		}
	})
	for _, m := range []wire.Message{&wire.Write{}, &wire.Shutdown{}, &wire.Input{Record: record[:5:5]}} {
		l := newLibrary(t, sides[1])
		if m, err := l.receive(); err != nil {
			t.Fatalf("%+v, %v", m, err)
		}
		l.send(m)
		answer, err := l.receive()
		if _, ok := m.(*wire.Input); ok {
			continue // the handshake fails in its own way
		}
		if err == nil {
			t.Errorf("%T in the handshake: %+v", m, answer)
		}
		l.wantEnd()
	}
}

func openFds(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// A request may come in pieces, as from a socket with a small buffer.
func TestEnginePieces(t *testing.T) {
	l := openEngine(t, sides[1])
	go func() { _, _ = io.Copy(io.Discard, l.far) }()
	frame, err := wire.EncodeFrame(&wire.Write{Plaintext: pattern(100)})
	if err != nil {
		t.Fatal(err)
	}
	for i := range frame {
		if _, err := l.app.Write(frame[i : i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if m, err := l.receive(); err != nil {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestEngineDescriptor(t *testing.T) {
	config := newConfig(t, false, nil, nil)
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	fds := channel.Fds{null}
	if _, err := NewEngine(fds, Options{Config: config}); err == nil {
		t.Error("/dev/null as a data channel")
	}
	fds.Close()
	_, _, end := socketpair(t)
	if null, err = unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
		t.Fatal(err)
	}
	fds = channel.Fds{end, null}
	if _, err := NewEngine(fds, Options{Config: config}); err == nil {
		t.Error("/dev/null as a session file")
	}
	fds.Close()
}

// Whatever a library sends, the engine answers or ends, and does not panic.
func FuzzEngine(f *testing.F) {
	for _, m := range []wire.Message{
		&wire.Input{Record: []byte{0x17, 3, 3, 0, 1, 0}},
		&wire.Input{Record: []byte{0x16, 3, 1, 0, 4, 1, 0, 0, 0}},
		&wire.Input{End: wire.InputEOF},
		&wire.Input{End: wire.InputFailed, Errnum: 104},
		&wire.Write{Plaintext: []byte("x")},
		&wire.OutputFailed{Errnum: 32},
		&wire.Shutdown{},
	} {
		frame, err := wire.EncodeFrame(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(true, frame)
		f.Add(false, frame)
	}
	f.Fuzz(func(t *testing.T, shaken bool, data []byte) {
		var l *library
		if shaken {
			l = openEngine(t, sides[1])
		} else {
			l = newLibrary(t, sides[1])
		}
		go func() { _, _ = io.Copy(io.Discard, l.far) }()
		// Each frame after the answer to the one before.
		for len(data) > 0 {
			n := len(data)
			if n >= wire.FrameHeader {
				if size := uint64(binary.BigEndian.Uint32(data)) + wire.FrameHeader; size < uint64(n) {
					n = int(size)
				}
			}
			if !shaken {
				if _, err := l.receive(); err != nil {
					return
				}
			}
			if _, err := l.app.Write(data[:n]); err != nil {
				return
			}
			if err := l.app.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			data = data[n:]
			if shaken {
				if _, err := l.receive(); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
					return
				}
			}
		}
	})
}
