// SPDX-License-Identifier: ISC

package conn

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"libtls-proxy/goproxy/internal/channel"
	"libtls-proxy/goproxy/internal/testcert"
	"libtls-proxy/goproxy/internal/tlsconf"
	"libtls-proxy/goproxy/internal/verify"
	"libtls-proxy/goproxy/internal/wire"
)

// theirs is a file that libtls could have written.
const theirs = "-----BEGIN SSL SESSION PARAMETERS-----\nMAA=\n-----END SSL SESSION PARAMETERS-----\n"

// A file is a session file of the test's.
type file struct {
	t  *testing.T
	fd int
}

func newFile(t *testing.T, data string) *file {
	t.Helper()
	fd, err := unix.MemfdCreate("session", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if _, err := unix.Pwrite(fd, []byte(data), 0); err != nil {
		t.Fatal(err)
	}
	return &file{t, fd}
}

func (f *file) dup() int {
	f.t.Helper()
	fd, err := unix.FcntlInt(uintptr(f.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	return fd
}

func (f *file) content() string {
	f.t.Helper()
	b := make([]byte, maxSession+2)
	n, err := unix.Pread(f.fd, b, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	return string(b[:n])
}

func eachVersion(t *testing.T, f func(t *testing.T, peer *tls.Config)) {
	kp := certificate(t, testcert.Options{Names: []string{"localhost"}})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			f(t, &tls.Config{
				MinVersion: version, MaxVersion: version,
				Certificates: []tls.Certificate{{Certificate: [][]byte{kp.Cert.Raw}, PrivateKey: kp.Key}},
			})
		})
	}
}

// withFile starts a client with a session file.
func withFile(t *testing.T, config *tlsconf.Config, f *file, name string) *session {
	t.Helper()
	s := &session{t: t}
	network, peer := sockets(t)
	s.net = peer
	var end int
	s.app, s.fd, end = socketpair(t)
	s.run(config, Options{SessionLock: new(sync.Mutex), Servername: name}, network, end, f.dup())
	return s
}

// finish lets the peer say something and close, so that all that it sent
// before, a ticket too, is read.
func (s *session) finish() {
	s.t.Helper()
	if _, err := s.peer.Write([]byte("bye")); err != nil {
		s.t.Fatal(err)
	}
	if err := s.peer.CloseWrite(); err != nil {
		s.t.Fatal(err)
	}
	s.wantApp("bye")
}

func TestSessionFile(t *testing.T) {
	eachVersion(t, func(t *testing.T, peer *tls.Config) {
		config := newConfig(t, false, nil, nil)
		for _, start := range []string{"", theirs} {
			f := newFile(t, start)
			last := start
			for i := range 3 {
				// A session is not bound to a name.
				s := withFile(t, config, f, []string{"localhost", "", "other"}[i])
				s.peer = tls.Server(s.net, peer)
				if err := s.peer.Handshake(); err != nil {
					t.Fatal(err)
				}
				m, _ := s.result()
				est, ok := m.(*wire.Established)
				if !ok || est.Resumed != 0 != (i > 0) || est.Peer != 1 {
					t.Fatalf("%d: %+v", i, m)
				}
				if got := f.content(); peer.MaxVersion == tls.VersionTLS12 && got == last {
					t.Errorf("%d: the file has no new session after the handshake", i)
				}
				s.finish()
				got := f.content()
				if got == last || strings.Contains(got, "PARAMETERS") || !strings.HasSuffix(got, "-----\n") {
					t.Errorf("%d: the file has %q", i, got)
				}
				last = got
			}
		}
	})
}

func TestBadSessionFile(t *testing.T) {
	config := newConfig(t, false, nil, nil)
	for _, tt := range []struct{ name, data, want string }{
		{"garbage", "hello", "failed to parse session"},
		{"too long", strings.Repeat("x", maxSession+1), "invalid session file size"},
	} {
		f := newFile(t, tt.data)
		s := withFile(t, config, f, "localhost")
		if got := s.failed(); got != tt.want {
			t.Errorf("%s: %q", tt.name, got)
		}
		if f.content() != tt.data {
			t.Errorf("%s: the file changed", tt.name)
		}
	}
}

// What cannot be written does not destroy what was there.
func TestSessionFileIsFull(t *testing.T) {
	eachVersion(t, func(t *testing.T, peer *tls.Config) {
		f := newFile(t, theirs)
		if _, err := unix.FcntlInt(uintptr(f.fd), unix.F_ADD_SEALS, unix.F_SEAL_GROW|unix.F_SEAL_SHRINK); err != nil {
			t.Fatal(err)
		}
		s := withFile(t, newConfig(t, false, nil, nil), f, "localhost")
		s.peer = tls.Server(s.net, peer)
		if err := s.peer.Handshake(); err != nil {
			t.Fatal(err)
		}
		if peer.MaxVersion == tls.VersionTLS12 {
			// As libtls does.
			if got := s.failed(); got != "failed to write session file: Operation not permitted" {
				t.Errorf("%q", got)
			}
		} else {
			if m, _ := s.result(); m.(*wire.Established).Resumed != 0 {
				t.Error("resumed")
			}
			s.finish()
		}
		if got := f.content(); got != theirs {
			t.Errorf("the file has %q", got)
		}
	})
}

// A handshake that fails leaves the file as it is.
func TestSessionFileOfFailure(t *testing.T) {
	eachVersion(t, func(t *testing.T, peer *tls.Config) {
		f := newFile(t, theirs)
		s := &session{t: t}
		network, conn := sockets(t)
		s.net = conn
		var end int
		s.app, s.fd, end = socketpair(t)
		s.run(newConfig(t, false, nil, nil), Options{
			SessionLock: new(sync.Mutex), Servername: "localhost", Verify: wire.VerifyChain,
		}, network, end, f.dup())
		s.peer = tls.Server(s.net, peer)
		_ = s.peer.Handshake()
		if got := s.failed(); !strings.HasPrefix(got, "certificate verification failed: ") {
			t.Errorf("%q", got)
		}
		if got := f.content(); got != theirs {
			t.Errorf("the file has %q", got)
		}
	})
}

// A session file that is none ends the connection alone, and nothing leaks.
func TestSessionFileKind(t *testing.T) {
	network, _ := sockets(t)
	_, _, end := socketpair(t)
	_, _, other := socketpair(t)
	fds := channel.Fds{network, end, other}
	if _, err := New(fds, Options{Config: newConfig(t, false, nil, nil), SessionLock: new(sync.Mutex)}); err == nil {
		t.Error("a socket is taken for a file")
	}
	fds.Close()
	pipe := newFile(t, "")
	fds = channel.Fds{pipe.dup(), pipe.dup(), pipe.dup()}
	if _, err := New(fds, Options{Config: newConfig(t, false, nil, nil), SessionLock: new(sync.Mutex)}); err == nil {
		t.Error("a file is taken for a network")
	}
	if fds[2] < 0 {
		t.Error("the session file was taken by a connection that is none")
	}
	fds.Close()
}

// What the application is told about staples.
func TestStapleFacts(t *testing.T) {
	eachVersion(t, func(t *testing.T, peer *tls.Config) {
		ca := certificate(t, testcert.Options{CA: true})
		kp := certificate(t, testcert.Options{Parent: ca, Names: []string{"localhost"}, OCSPURL: "http://ocsp.example/"})
		for _, staple := range [][]byte{nil, testcert.OCSP(t, ca, kp, testcert.Status{})} {
			s := &session{t: t}
			network, conn := sockets(t)
			s.net = conn
			var end int
			s.app, s.fd, end = socketpair(t)
			s.run(newConfig(t, false, nil, func(s *wire.Settings) { s.CA = ca.CertPEM }), Options{
				Servername: "localhost", Verify: wire.VerifyChain | wire.VerifyTimes,
			}, network, end)
			peer = peer.Clone()
			peer.Certificates = []tls.Certificate{{
				Certificate: [][]byte{kp.Cert.Raw}, PrivateKey: kp.Key, OCSPStaple: staple,
			}}
			s.peer = tls.Server(s.net, peer)
			if err := s.peer.Handshake(); err != nil {
				t.Fatal(err)
			}
			m, _ := s.result()
			est, ok := m.(*wire.Established)
			if !ok {
				t.Fatalf("%+v", m)
			}
			want := []int64{-1, -1, -1, -1}
			result := ""
			if staple != nil {
				want, result = []int64{0, 0, 0, -1}, "good"
			}
			if est.OCSPURL != "http://ocsp.example/" || est.OCSPResult != result ||
				est.OCSPResponseStatus != want[0] || est.OCSPCertStatus != want[1] || est.OCSPCRLReason != want[2] ||
				est.OCSPNextUpdate != -1 || est.OCSPRevocationTime != want[3] ||
				(est.OCSPThisUpdate == -1) != (staple == nil) {
				t.Errorf("%+v", est)
			}
			if peer := s.conn.Peer(); len(peer) != 1 || !bytes.Equal(peer[0].Raw, kp.Cert.Raw) {
				t.Errorf("%d certificates of the peer", len(peer))
			}
			s.finish()
		}
	})
}

func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		err    error
		server bool
		want   string
	}{
		{refusal("failed to parse session"), false, "failed to parse session"},
		{&verify.Error{}, false, ""},
		{tlsconf.ErrNoCiphers, false, "handshake failed: error:1404E0B5:SSL routines:ST_BEFORE_CONNECT:no ciphers available"},
		{tlsconf.ErrNoGroups, false, "handshake failed: error:14FFF3E7:SSL routines:(UNKNOWN)SSL_internal:no supported groups available"},
		{errors.New("tls: received unexpected handshake message of type *tls.clientHelloMsg when waiting for *tls.finishedMsg"), true,
			"handshake failed: error:140260F4:SSL routines:ACCEPT_SR_CLNT_HELLO:unexpected message"},
		{io.ErrUnexpectedEOF, true, "handshake failed: error:14FFF3E7:SSL routines:(UNKNOWN)SSL_internal:unexpected EOF"},
	} {
		if got := handshakeText(tt.server, 0, tt.err); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}
