// SPDX-License-Identifier: ISC

package session

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"net"
	"runtime"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	w := newWorld(t, tls.VersionTLS13)
	good := w.mustConnect(t, w.tickets(), nil, false).file
	edit := func(f func(*file)) []byte {
		e := fromFile(t, good)
		f(&e)
		return toFile(t, e)
	}
	block := func(typ, contents string) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: []byte(contents)})
	}
	headers, _ := pem.Decode(good)
	headers.Headers = map[string]string{"Comment": "none"}
	for _, c := range []struct {
		name    string
		file    []byte
		session bool
		err     error
	}{
		{"ours", good, true, nil},
		{"empty", nil, false, nil},
		{"another Go", edit(func(f *file) { f.Go = "go1.0" }), false, nil},
		{"no Go", edit(func(f *file) { f.Go = "" }), false, nil},
		{"no ticket", edit(func(f *file) { f.Ticket = nil }), false, nil},
		{"no state", edit(func(f *file) { f.State = nil }), false, nil},
		{"half a state", edit(func(f *file) { f.State = f.State[:len(f.State)/2] }), false, nil},
		{"a server's state", edit(func(f *file) { f.State[2] = 1 }), false, nil},
		{"other contents", block(blockType, "hello"), false, nil},
		{"libtls's", block(libreSSLType, "0\x82"), false, nil},
		{"libtls's and more", append(block(libreSSLType, "0\x82"), "more"...), false, nil},
		{"text", []byte("hello\n"), false, ErrParse},
		{"zeros", make([]byte, 100), false, ErrParse},
		{"another block", block("CERTIFICATE", "hello"), false, ErrParse},
		{"ours and more", append(bytes.Clone(good), "more"...), false, ErrParse},
		{"more and ours", append([]byte("more\n"), good...), false, ErrParse},
		{"twice", append(bytes.Clone(good), good...), false, ErrParse},
		{"with a header", pem.EncodeToMemory(headers), false, ErrParse},
		{"cut off", good[:len(good)-1], false, ErrParse},
		{"half", good[:len(good)/2], false, ErrParse},
	} {
		s, err := Parse(c.file)
		if (s != nil) != c.session || !errors.Is(err, c.err) {
			t.Errorf("%s: got a session: %v, %v, want %v, %v", c.name, s != nil, err, c.session, c.err)
		}
	}
	if e := fromFile(t, good); e.Go != runtime.Version() {
		t.Errorf("version %q, want %q", e.Go, runtime.Version())
	}
}

// Where the file says that it is another Go's, its session is not offered.
func TestFileOfOther(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *world) {
		tickets := w.tickets()
		o := w.mustConnect(t, tickets, nil, false)
		f := fromFile(t, o.file)
		f.Go = "go1.999"
		w.mustConnect(t, tickets, toFile(t, f), false)
		w.mustConnect(t, tickets, o.file, true)
	})
}

func TestCache(t *testing.T) {
	w := newWorld(t, tls.VersionTLS12)
	good := w.mustConnect(t, w.tickets(), nil, false).file
	parse := func() *tls.ClientSessionState {
		s, err := Parse(good)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	var got [][]byte
	session := parse()
	c := NewCache(session, func(b []byte) { got = append(got, b) })
	want := func(s *tls.ClientSessionState, files int) {
		t.Helper()
		for _, name := range []string{"", "a", "b"} {
			if have, ok := c.Get(name); have != s || ok != (s != nil) {
				t.Errorf("got %p, %v, want %p", have, ok, s)
			}
		}
		if len(got) != files {
			t.Errorf("%d files, want %d", len(got), files)
		}
	}
	want(session, 0)
	// An empty ticket is nothing new.
	_, state, err := parse().ResumptionState()
	if err != nil {
		t.Fatal(err)
	}
	empty, err := tls.NewResumptionState(nil, state)
	if err != nil {
		t.Fatal(err)
	}
	c.Put("a", empty)
	want(session, 0)
	next := parse()
	c.Put("b", next)
	want(next, 1)
	if !bytes.Equal(got[0], good) {
		t.Errorf("got %s, want %s", got[0], good)
	}
	c.Put("a", nil)
	want(nil, 1)
	if s, ok := NewCache(nil, nil).Get(""); s != nil || ok {
		t.Errorf("got %p, %v from nothing", s, ok)
	}
}

// hangUp is a network where everything is lost.
type hangUp struct{}

func (hangUp) Read([]byte) (int, error)         { return 0, errors.New("no network") }
func (hangUp) Write(b []byte) (int, error)      { return len(b), nil }
func (hangUp) Close() error                     { return nil }
func (hangUp) LocalAddr() net.Addr              { return &net.UnixAddr{} }
func (hangUp) RemoteAddr() net.Addr             { return &net.UnixAddr{} }
func (hangUp) SetDeadline(time.Time) error      { return nil }
func (hangUp) SetReadDeadline(time.Time) error  { return nil }
func (hangUp) SetWriteDeadline(time.Time) error { return nil }

func FuzzParse(f *testing.F) {
	var states [][]byte
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		w := newWorld(f, version)
		good := w.mustConnect(f, w.tickets(), nil, false).file
		f.Add(good)
		states = append(states, fromFile(f, good).State)
	}
	for _, s := range states {
		f.Add(s)
	}
	f.Add([]byte("-----BEGIN SSL SESSION PARAMETERS-----\nMAA=\n-----END SSL SESSION PARAMETERS-----\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		// Both as a file and as the state in one: the fuzzer does not
		// get through PEM and DER so quickly.
		for _, data := range [][]byte{b, toFile(t, file{runtime.Version(), []byte("ticket"), b})} {
			s, err := Parse(data)
			if s == nil {
				continue
			}
			if err != nil {
				t.Fatalf("got a session and %v", err)
			}
			// Whatever is in the file, crypto/tls must survive it.
			conn := tls.Client(hangUp{}, &tls.Config{
				InsecureSkipVerify: true,
				ServerName:         "test",
				ClientSessionCache: NewCache(s, func([]byte) {}),
			})
			if conn.Handshake() == nil {
				t.Fatal("shook hands with nobody")
			}
		}
	})
}
