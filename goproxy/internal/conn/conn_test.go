// SPDX-License-Identifier: ISC

package conn

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"libtls-proxy/goproxy/internal/channel"
	"libtls-proxy/goproxy/internal/testcert"
	"libtls-proxy/goproxy/internal/wire"
)

func TestSizes(t *testing.T) {
	eachSide(t, func(t *testing.T, sd side) {
		s := open(t, sd)
		for _, n := range []int{1, 16383, 16384, 16385, 1 << 20} {
			data := pattern(n)
			var wg sync.WaitGroup
			move := func(what string, w io.Writer, r io.Reader) {
				wg.Add(2)
				go func() {
					defer wg.Done()
					if _, err := w.Write(data); err != nil {
						t.Errorf("%s: write %d: %v", what, n, err)
					}
				}()
				go func() {
					defer wg.Done()
					got := make([]byte, n)
					if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, data) {
						t.Errorf("%s: read %d: %v", what, n, err)
					}
				}()
			}
			move("to peer", s.app, s.peer)
			move("to application", s.peer, s.app)
			wg.Wait()
		}
	})
}

func TestFullDuplex(t *testing.T) {
	const size = 64 << 20
	s := open(t, side{true, tls.VersionTLS13})
	data := pattern(1 << 20)
	var wg sync.WaitGroup
	for _, dir := range []struct {
		w io.Writer
		r io.Reader
	}{{s.app, s.peer}, {s.peer, s.app}} {
		wg.Add(2)
		go func() {
			defer wg.Done()
			for n := 0; n < size; n += len(data) {
				if _, err := dir.w.Write(data); err != nil {
					t.Error(err)
					return
				}
			}
		}()
		go func() {
			defer wg.Done()
			got := make([]byte, len(data))
			for n := 0; n < size; n += len(data) {
				if _, err := io.ReadFull(dir.r, got); err != nil || !bytes.Equal(got, data) {
					t.Error("read: ", err)
					return
				}
			}
		}()
	}
	wg.Wait()
}

func TestPeerCloseNotify(t *testing.T) {
	eachSide(t, func(t *testing.T, sd side) {
		s := open(t, sd)
		if _, err := s.peer.Write([]byte("bye")); err != nil {
			t.Fatal(err)
		}
		if err := s.peer.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		s.wantApp("bye")
		s.wantEnding(wire.EndingCloseNotify, "")
		// The other direction lives on.
		s.write("answer")
		got := make([]byte, 6)
		if _, err := io.ReadFull(s.peer, got); err != nil || string(got) != "answer" {
			t.Errorf("%q, %v", got, err)
		}
		reply, fds := s.closeReply(s.mark())
		fds.Close()
		if reply.Ending != wire.EndingCloseNotify || reply.Error != "" {
			t.Errorf("%+v", reply)
		}
		s.wantPeer("")
		if s.wait() {
			t.Error("ending is remembered after CLOSE_REPLY")
		}
	})
}

func TestPeerFIN(t *testing.T) {
	eachSide(t, func(t *testing.T, sd side) {
		s := open(t, sd)
		if _, err := s.peer.Write([]byte("bye")); err != nil {
			t.Fatal(err)
		}
		if err := s.net.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		s.wantApp("bye")
		s.wantEnding(wire.EndingTruncated, "")
		s.write("answer")
		s.app.Close()
		s.wantPeer("answer")
	})
}

func TestPeerTruncation(t *testing.T) {
	eachSide(t, func(t *testing.T, sd side) {
		for _, part := range []string{"\x17", "\x17\x03\x03\x00", "\x17\x03\x03\x00\x40", "\x17\x03\x03\x00\x40part"} {
			s := open(t, sd)
			if _, err := s.net.Write([]byte(part)); err != nil {
				t.Fatal(err)
			}
			if err := s.net.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			s.wantApp("")
			s.wantEnding(wire.EndingTruncated, "")
		}
	})
}

func TestPeerReset(t *testing.T) {
	eachSide(t, func(t *testing.T, sd side) {
		s := open(t, sd)
		if err := s.net.(*net.TCPConn).SetLinger(0); err != nil {
			t.Fatal(err)
		}
		s.net.Close()
		s.wantApp("")
		s.wantEnding(wire.EndingFailed, "Connection reset by peer")
		if _, err := s.app.Write([]byte("x")); !errors.Is(err, unix.EPIPE) {
			t.Errorf("write after a reset: %v", err)
		}
		if !s.wait() {
			t.Error("the ending is not remembered")
		}
		s.wantEnding(wire.EndingFailed, "Connection reset by peer")
	})
}

// A reset while the application writes and does not read.
func TestPeerResetWhileWriting(t *testing.T) {
	eachSide(t, func(t *testing.T, sd side) {
		s := open(t, sd)
		wrote := make(chan error, 1)
		go func() {
			data := pattern(1 << 20)
			for {
				if _, err := s.app.Write(data); err != nil {
					wrote <- err
					return
				}
			}
		}()
		if _, err := io.ReadFull(s.peer, make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
		if err := s.net.(*net.TCPConn).SetLinger(0); err != nil {
			t.Fatal(err)
		}
		s.net.Close()
		if err := <-wrote; !errors.Is(err, unix.EPIPE) {
			t.Errorf("write: %v", err)
		}
		s.wantApp("")
		s.wantEnding(wire.EndingFailed, "Connection reset by peer")
	})
}

func TestBadRecord(t *testing.T) {
	eachSide(t, func(t *testing.T, sd side) {
		s := open(t, sd)
		record := append([]byte{0x17, 3, 3, 0, 64}, make([]byte, 64)...)
		if _, err := s.net.Write(record); err != nil {
			t.Fatal(err)
		}
		s.wantApp("")
		s.wantEnding(wire.EndingFailed, ":bad decrypt")
		if _, err := s.peer.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "bad record MAC") {
			t.Errorf("the peer got no alert: %v", err)
		}
	})
}

// A corrupter flips a bit in what is read once it is armed.
type corrupter struct {
	net.Conn
	mu    sync.Mutex
	armed bool
}

func (c *corrupter) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.armed && n > 5 {
		p[n-1] ^= 1
	}
	return n, err
}

// A keyUpdater asks for new keys, as crypto/tls never does.
type keyUpdater struct {
	secret []byte
}

func (k *keyUpdater) expand(label string, n int) []byte {
	label = "tls13 " + label
	info := append([]byte{0, byte(n), byte(len(label))}, label...)
	b, err := hkdf.Expand(sha256.New, k.secret, string(append(info, 0)), n)
	if err != nil {
		panic(err)
	}
	return b
}

// records returns a byte of plaintext and a KeyUpdate, the first ones of a key,
// and goes on to the next.
func (k *keyUpdater) records() []byte {
	block, err := aes.NewCipher(k.expand("key", 16))
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	nonce := k.expand("iv", 12)
	var b []byte
	for _, inner := range [][]byte{{'x', 23}, {24, 0, 0, 1, 1, 22}} {
		header := []byte{23, 3, 3, 0, byte(len(inner) + aead.Overhead())}
		b = aead.Seal(append(b, header...), nonce, inner, header)
		nonce[11] ^= 1
	}
	k.secret = k.expand("traffic upd", sha256.Size)
	return b
}

// A peer that asks for new keys and does not read the answers, while the
// writer waits for it.
func TestKeyUpdateFlood(t *testing.T) {
	kp := certificate(t, testcert.Options{})
	s := begin(t, true, newConfig(t, true, kp, nil))
	var log bytes.Buffer
	s.peer = tls.Client(s.net, &tls.Config{InsecureSkipVerify: true, KeyLogWriter: &log})
	if err := s.peer.Handshake(); err != nil {
		t.Fatal(err)
	}
	if s.peer.ConnectionState().CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
		t.Skip("AES is slow here")
	}
	s.result()
	var k keyUpdater
	for line := range strings.Lines(log.String()) {
		if f := strings.Fields(line); f[0] == "CLIENT_TRAFFIC_SECRET_0" {
			k.secret, _ = hex.DecodeString(f[2])
		}
	}
	s.conn.transport.flushing.Lock()
	defer s.conn.transport.flushing.Unlock()
	go func() { _, _ = io.Copy(io.Discard, s.app) }()
	for range maxPending / recordHeader {
		if _, err := s.net.Write(k.records()); err != nil {
			break
		}
	}
	_ = s.net.(*net.TCPConn).CloseWrite()
	s.wait()
	s.wantEnding(wire.EndingFailed, ":too many key updates")
}

func TestPeerAlert(t *testing.T) {
	eachSide(t, func(t *testing.T, sd side) {
		kp := certificate(t, testcert.Options{})
		own := kp
		if !sd.server {
			own = nil
		}
		s := begin(t, sd.server, newConfig(t, sd.server, own, nil))
		s.side = sd
		c := &corrupter{Conn: s.net}
		s.shake(kp, c)
		c.mu.Lock()
		c.armed = true
		c.mu.Unlock()
		s.write("hello")
		if _, err := s.peer.Read(make([]byte, 1)); err == nil {
			t.Fatal("no error")
		}
		s.wantApp("")
		s.wantEnding(wire.EndingFailed, "error:1404C3FC:SSL routines:ST_OK:sslv3 alert bad record mac")
	})
}

func TestHalfClose(t *testing.T) {
	eachSide(t, func(t *testing.T, sd side) {
		s := open(t, sd)
		s.write("request")
		if err := unix.Shutdown(s.fd, unix.SHUT_WR); err != nil {
			t.Fatal(err)
		}
		s.wantPeer("request")
		if _, err := s.peer.Write([]byte("response")); err != nil {
			t.Fatal(err)
		}
		s.peer.Close()
		s.wantApp("response")
		s.wantEnding(wire.EndingCloseNotify, "")
		if !s.wait() {
			t.Error("the ending is not remembered")
		}
	})
}

// A half-closed connection ends when the application closes the rest.
func TestHalfCloseThenGone(t *testing.T) {
	s := open(t, side{true, tls.VersionTLS13})
	if err := unix.Shutdown(s.fd, unix.SHUT_WR); err != nil {
		t.Fatal(err)
	}
	s.wantPeer("")
	s.app.Close()
	s.net.Close()
	s.wait()
}

// recorder keeps what it reads.
type recorder struct {
	net.Conn
	got bytes.Buffer
}

func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.got.Write(p[:n])
	return n, err
}

// All that was written before the application closed or died arrives, and no
// close_notify.
func TestGone(t *testing.T) {
	const size = 4 << 20
	kp := certificate(t, testcert.Options{})
	for range 20 {
		s := begin(t, true, newConfig(t, true, kp, nil))
		s.side = side{true, tls.VersionTLS12}
		r := &recorder{Conn: s.net}
		s.shake(kp, r)
		go func() {
			_, _ = s.app.Write(pattern(size))
			s.app.Close()
		}()
		// What the application does not read must not reset the rest.
		if _, err := s.peer.Write([]byte("unread")); err != nil {
			t.Fatal(err)
		}
		s.wantPeer(string(pattern(size)))
		s.net.Close()
		s.wait()
		const alert = 21
		records := r.got.Bytes()
		for len(records) > 5 {
			if records[0] == alert {
				t.Error("alert after the application has gone")
			}
			records = records[5+int(records[3])<<8+int(records[4]):]
		}
	}
}

func TestCloseMark(t *testing.T) {
	eachSide(t, func(t *testing.T, sd side) {
		for i, n := range []int{0, 1, 16384, 16385, 1 << 20} {
			s := open(t, sd)
			done := make(chan struct{})
			go func() {
				defer close(done)
				_, _ = s.app.Write(pattern(n))
				reply, fds := s.closeReply(s.mark())
				if reply.Ending != wire.EndingOpen || reply.Error != "" || len(fds) != 1 {
					t.Errorf("%d: %+v with %d descriptors", i, reply, len(fds))
				}
				s.app.Close()
				fds.Close()
			}()
			s.wantPeer(string(pattern(n)))
			<-done
			if s.wait() {
				t.Error("ending is remembered after CLOSE_REPLY")
			}
		}
	})
}

// The peer has sent data that the application did not read. Closing the
// network's descriptor must not reset the connection.
func TestCloseMarkUnread(t *testing.T) {
	for range 50 {
		s := open(t, side{false, tls.VersionTLS13})
		if _, err := s.peer.Write([]byte("unread")); err != nil {
			t.Fatal(err)
		}
		s.write("data")
		_, fds := s.closeReply(s.mark())
		s.app.Close()
		fds.Close()
		s.wantPeer("data")
	}
}

// The application closes while more waits for it than it will ever read.
func TestCloseMarkUnderPressure(t *testing.T) {
	s := open(t, side{true, tls.VersionTLS13})
	sent := make(chan error, 1)
	go func() {
		_, err := s.peer.Write(pattern(64 << 20))
		sent <- err
	}()
	if _, err := io.ReadFull(s.app, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	s.write("last words")
	reply, fds := s.closeReply(s.mark())
	if reply.Ending != wire.EndingOpen || reply.Error != "" {
		t.Errorf("%+v", reply)
	}
	s.wantPeer("last words")
	fds.Close()
	s.net.Close()
	<-sent
}

// The application reads on after its own close mark, and closes again.
func TestResume(t *testing.T) {
	eachSide(t, func(t *testing.T, sd side) {
		s := open(t, sd)
		s.write("request")
		reply, fds := s.closeReply(s.mark())
		if reply.Ending != wire.EndingOpen {
			t.Fatalf("%+v", reply)
		}
		s.wantPeer("request")
		for i := range 3 {
			s.sendFds([]byte{wire.ResumeMark}, fds...)
			fds.Close()
			if _, err := s.peer.Write(pattern(100000)); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, 100000)
			if _, err := io.ReadFull(s.app, got); err != nil || !bytes.Equal(got, pattern(100000)) {
				t.Fatalf("%d: other data, %v", i, err)
			}
			s.write("nobody's")
			reply, fds = s.closeReply(s.mark())
			if reply.Ending != wire.EndingOpen || reply.Error != "" || len(fds) != 1 {
				t.Fatalf("%d: %+v", i, reply)
			}
		}
		s.sendFds([]byte{wire.ResumeMark}, fds...)
		fds.Close()
		if _, err := s.peer.Write([]byte("the end")); err != nil {
			t.Fatal(err)
		}
		if err := s.peer.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		s.wantApp("the end")
		reply, fds = s.closeReply(s.mark())
		fds.Close()
		if reply.Ending != wire.EndingCloseNotify {
			t.Errorf("%+v", reply)
		}
		s.wait()
	})
}

// What the application has no room for when it closes is there when it reads
// on, and so is the end behind it.
func TestResumeLeft(t *testing.T) {
	eachSide(t, func(t *testing.T, sd side) {
		for _, n := range []int{100, 200000, 300000, 400000, 500000} {
			s := open(t, sd)
			sent := make(chan error, 1)
			go func() {
				_, err := s.peer.Write(pattern(n))
				if err == nil {
					err = s.peer.CloseWrite()
				}
				sent <- err
			}()
			got := make([]byte, n)
			if _, err := io.ReadFull(s.app, got[:1]); err != nil {
				t.Fatal(err)
			}
			reply, fds := s.closeReply(s.mark())
			if reply.Ending == wire.EndingOpen {
				s.sendFds([]byte{wire.ResumeMark}, fds...)
			}
			fds.Close()
			if _, err := io.ReadFull(s.app, got[1:]); err != nil || !bytes.Equal(got, pattern(n)) {
				t.Errorf("%d: other data, %v", n, err)
			}
			s.wantApp("")
			if err := <-sent; err != nil {
				t.Error(err)
			}
		}
	})
}

// What is no resumption of the same network ends the connection.
func TestBadResume(t *testing.T) {
	for name, bad := range map[string]func(*session, channel.Fds){
		"plaintext":        func(s *session, _ channel.Fds) { s.write("data") },
		"plaintext before": func(s *session, fds channel.Fds) { s.sendFds([]byte{'x', wire.ResumeMark}, fds...) },
		"other mark":       func(s *session, fds channel.Fds) { s.sendFds([]byte{wire.CloseMark}, fds...) },
		"two":              func(s *session, fds channel.Fds) { s.sendFds([]byte{wire.ResumeMark}, fds[0], fds[0]) },
		"no stream": func(s *session, _ channel.Fds) {
			p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
			if err != nil {
				t.Fatal(err)
			}
			s.sendFds([]byte{wire.ResumeMark}, p[0])
			unix.Close(p[0])
			unix.Close(p[1])
		},
	} {
		s := open(t, side{true, tls.VersionTLS13})
		_, fds := s.closeReply(s.mark())
		bad(s, fds)
		s.wantApp("")
		fds.Close()
		if s.wait() {
			t.Error(name, "is remembered")
		}
	}
}

// No byte after close_notify is taken from the network.
func TestPlaintextAfterTLS(t *testing.T) {
	eachSide(t, func(t *testing.T, sd side) {
		s := open(t, sd)
		if err := s.peer.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		// crypto/tls leaves a deadline behind.
		_ = s.net.SetWriteDeadline(time.Now().Add(patience))
		if _, err := s.net.Write([]byte("220 plain")); err != nil {
			t.Fatal(err)
		}
		s.wantApp("")
		reply, fds := s.closeReply(s.mark())
		defer fds.Close()
		if reply.Ending != wire.EndingCloseNotify {
			t.Errorf("%+v", reply)
		}
		var b [64]byte
		n, err := unix.Read(fds[0], b[:])
		if err != nil || string(b[:n]) != "220 plain" {
			t.Errorf("%q, %v", b[:n], err)
		}
		flags, err := unix.FcntlInt(uintptr(fds[0]), unix.F_GETFL, 0)
		if err != nil || flags&unix.O_NONBLOCK != 0 {
			t.Error("the descriptor came back non-blocking")
		}
	})
}

// A corked connection holds back what is written to it.
type corked struct {
	net.Conn
	on   bool
	held []byte
}

func (c *corked) Write(p []byte) (int, error) {
	if !c.on {
		return c.Conn.Write(p)
	}
	c.held = append(c.held, p...)
	return len(p), nil
}

// Nor where it arrives together with the records before it, over TCP or not.
func TestPlaintextBehindRecords(t *testing.T) {
	for _, local := range []bool{false, true} {
		t.Run(fmt.Sprintf("local %v", local), func(t *testing.T) {
			eachSide(t, func(t *testing.T, sd side) {
				kp := certificate(t, testcert.Options{Names: []string{"localhost"}})
				own := kp
				if !sd.server {
					own = nil
				}
				s := &session{t: t, side: sd}
				var network, end int
				if local {
					var file *os.File
					file, _, network = socketpair(t)
					c, err := net.FileConn(file)
					if err != nil {
						t.Fatal(err)
					}
					file.Close()
					s.net = c
				} else {
					network, s.net = sockets(t)
				}
				s.app, s.fd, end = socketpair(t)
				s.run(newConfig(t, sd.server, own, nil), Options{}, network, end)
				c := &corked{Conn: s.net}
				s.shake(kp, c)
				c.on = true
				data := pattern(20001)
				for _, part := range [][]byte{data[:1], data[1:20000], data[20000:]} {
					if _, err := s.peer.Write(part); err != nil {
						t.Fatal(err)
					}
				}
				if err := s.peer.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				_ = s.net.SetWriteDeadline(time.Now().Add(patience))
				if _, err := s.net.Write(append(c.held, "220 plain"...)); err != nil {
					t.Fatal(err)
				}
				s.wantApp(string(data))
				_, fds := s.closeReply(s.mark())
				defer fds.Close()
				b := make([]byte, 64)
				n, err := unix.Read(fds[0], b)
				if err != nil || string(b[:n]) != "220 plain" {
					t.Errorf("%q, %v", b[:n], err)
				}
			})
		})
	}
}

// Descriptors other than that of the close mark end the connection.
func TestWrongMark(t *testing.T) {
	for _, tt := range []struct {
		name string
		data string
		fds  int
	}{
		{"wrong byte", "x", 1},
		{"two descriptors", "\x0b", 2},
		{"mark inside", "\x0bx", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := open(t, side{true, tls.VersionTLS13})
			var fds []int
			for range tt.fds {
				fds = append(fds, int(os.Stderr.Fd()))
			}
			s.sendFds([]byte(tt.data), fds...)
			s.wantPeer("")
			s.net.Close()
			s.wait()
		})
	}
}

// A byte like the mark's without a descriptor is plaintext.
func TestMarkIsPlaintext(t *testing.T) {
	s := open(t, side{true, tls.VersionTLS13})
	s.write("\x0b\x0b")
	s.app.Close()
	s.wantPeer("\x0b\x0b")
}

func TestAbandonedHandshake(t *testing.T) {
	for _, server := range []bool{true, false} {
		kp := certificate(t, testcert.Options{})
		s := begin(t, server, newConfig(t, server, kp, nil))
		s.app.Close()
		if _, err := io.Copy(io.Discard, s.net); err != nil && !errors.Is(err, unix.ECONNRESET) {
			t.Error(err)
		}
		if s.wait() {
			t.Error("ending of an abandoned handshake is remembered")
		}
	}
}

func TestHandshakeErrors(t *testing.T) {
	kp := certificate(t, testcert.Options{Names: []string{"localhost"}})
	send := func(p string) func(t *testing.T, c net.Conn) {
		return func(t *testing.T, c net.Conn) {
			if _, err := c.Write([]byte(p)); err != nil {
				t.Error(err)
			}
		}
	}
	client := func(c *tls.Config) func(*testing.T, net.Conn) {
		return func(t *testing.T, n net.Conn) {
			c.InsecureSkipVerify = true
			tc := tls.Client(n, c)
			_ = tc.Handshake()
			_, _ = tc.Read(make([]byte, 1))
		}
	}
	server := func(c *tls.Config) func(*testing.T, net.Conn) {
		return func(t *testing.T, n net.Conn) {
			c.Certificates = []tls.Certificate{{Certificate: [][]byte{kp.Cert.Raw}, PrivateKey: kp.Key}}
			_ = tls.Server(n, c).Handshake()
		}
	}
	reset := func(t *testing.T, c net.Conn) {
		if err := c.(*net.TCPConn).SetLinger(0); err != nil {
			t.Error(err)
		}
		c.Close()
	}
	finish := func(t *testing.T, c net.Conn) { c.Close() }
	only := func(bits uint32) func(*wire.Settings) {
		return func(s *wire.Settings) { s.Protocols = bits }
	}
	for _, tt := range []struct {
		name   string
		server bool
		edit   func(*wire.Settings)
		peer   func(*testing.T, net.Conn)
		want   string
	}{
		{"http server", true, nil, send("GET / HTTP/1.0\r\n\r\n"),
			"handshake failed: error:1402642E:SSL routines:ACCEPT_SR_CLNT_HELLO:tlsv1 alert protocol version"},
		{"http client", false, nil, send("HTTP/1.0 400 Bad Request\r\n\r\n"),
			"handshake failed: error:1400442E:SSL routines:CONNECT_CR_SRVR_HELLO:tlsv1 alert protocol version"},
		{"EOF server", true, nil, finish, "handshake failed: unexpected EOF"},
		{"EOF client", false, nil, func(t *testing.T, c net.Conn) {
			// Reading first keeps the end from becoming a reset.
			_, _ = c.Read(make([]byte, 1<<16))
			c.Close()
		}, "handshake failed: unexpected EOF"},
		{"reset server", true, nil, reset,
			"handshake failed: error:02FFF068:system library:func(4095):Connection reset by peer"},
		{"no protocols server", true, only(2), finish,
			"handshake failed: error:140500BF:SSL routines:ST_BEFORE_ACCEPT:no protocols available"},
		{"no protocols client", false, only(0), finish,
			"handshake failed: error:1404E0BF:SSL routines:ST_BEFORE_CONNECT:no protocols available"},
		{"version server", true, only(wire.ProtocolTLS13), client(&tls.Config{MaxVersion: tls.VersionTLS12}),
			"handshake failed: error:1402610B:SSL routines:ACCEPT_SR_CLNT_HELLO:wrong version number"},
		{"version client", false, only(wire.ProtocolTLS12), server(&tls.Config{MinVersion: tls.VersionTLS13}),
			"handshake failed: error:1400442E:SSL routines:CONNECT_CR_SRVR_HELLO:tlsv1 alert protocol version"},
		{"cipher server", true, only(wire.ProtocolTLS12), client(&tls.Config{
			MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}}),
			"handshake failed: error:140260C1:SSL routines:ACCEPT_SR_CLNT_HELLO:no shared cipher"},
		{"alpn server", true, func(s *wire.Settings) { s.ALPN = []byte("\x02h2") },
			client(&tls.Config{NextProtos: []string{"http/1.1"}}),
			"handshake failed: error:140250EB:SSL routines:ACCEPT_SR_CLNT_HELLO:no application protocol"},
		{"alpn client", false, func(s *wire.Settings) { s.ALPN = []byte("\x03ftp") },
			server(&tls.Config{NextProtos: []string{"h2"}}), ":tlsv1 alert no application protocol"},
		{"client certificate 1.3", true, func(s *wire.Settings) { s.VerifyClient = wire.ClientCertRequired },
			client(&tls.Config{}),
			"handshake failed: error:14FFF0C7:SSL routines:(UNKNOWN)SSL_internal:peer did not return a certificate"},
		{"client certificate 1.2", true, func(s *wire.Settings) { s.VerifyClient = wire.ClientCertRequired },
			client(&tls.Config{MaxVersion: tls.VersionTLS12}),
			"handshake failed: error:140360C7:SSL routines:ACCEPT_SR_CERT:peer did not return a certificate"},
		{"client certificate wanted", false, nil, server(&tls.Config{ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12}),
			":sslv3 alert handshake failure"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			own := kp
			if !tt.server {
				own = nil
			}
			s := begin(t, tt.server, newConfig(t, tt.server, own, tt.edit))
			finished := make(chan struct{})
			go func() {
				defer close(finished)
				tt.peer(t, s.net)
			}()
			got := s.failed()
			if got != tt.want && !(tt.want[0] == ':' && strings.HasSuffix(got, tt.want)) {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			s.net.Close()
			<-finished
			s.wait()
		})
	}
}

func TestVerification(t *testing.T) {
	kp := certificate(t, testcert.Options{Names: []string{"localhost"}})
	for _, tt := range []struct {
		name  string
		flags uint8
		host  string
		want  string
	}{
		{"nothing", 0, "other", ""},
		{"name", wire.VerifyName, "localhost", ""},
		{"name with a dot", wire.VerifyName, "localhost.", ""},
		{"wrong name", wire.VerifyName, "other", "name `other' not present in server certificate"},
		{"chain", wire.VerifyChain | wire.VerifyTimes, "localhost", "certificate verification failed: self signed certificate"},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(tt.name+" "+tls.VersionName(version), func(t *testing.T) {
				s := &session{t: t, side: side{false, version}}
				network, peer := sockets(t)
				s.net = peer
				var end int
				s.app, s.fd, end = socketpair(t)
				s.run(newConfig(t, false, nil, nil), Options{Verify: tt.flags, Servername: tt.host}, network, end)
				finished := make(chan struct{})
				go func() {
					defer close(finished)
					tc := tls.Server(peer, &tls.Config{
						MaxVersion:   version,
						Certificates: []tls.Certificate{{Certificate: [][]byte{kp.Cert.Raw}, PrivateKey: kp.Key}},
					})
					_ = tc.Handshake()
				}()
				m, fds := s.result()
				fds.Close()
				<-finished
				switch m := m.(type) {
				case *wire.Failed:
					if m.Error != tt.want {
						t.Errorf("got %q, want %q", m.Error, tt.want)
					}
				case *wire.Established:
					if tt.want != "" {
						t.Errorf("no error, want %q", tt.want)
					}
					if m.Servername != strings.TrimSuffix(tt.host, ".") || m.CommonName != "test" ||
						m.Subject != "/CN=test" || m.Peer != 1 ||
						string(m.Names) != "Dlocalhost\x00" || string(m.Chain) != string(kp.CertPEM) {
						t.Errorf("%+v", m)
					}
				}
			})
		}
	}
}

// A network of two pipes, and a data channel of two sockets.
func TestPipes(t *testing.T) {
	kp := certificate(t, testcert.Options{})
	in, inEnd := pipes(t)
	outEnd, out := pipes(t)
	s := &session{t: t, side: side{true, tls.VersionTLS13}}
	toApp, toAppFd, toAppEnd := socketpair(t)
	fromApp, _, fromAppEnd := socketpair(t)
	s.app, s.fd = toApp, toAppFd
	s.net = &pipeConn{r: outEnd, w: inEnd}
	s.run(newConfig(t, true, kp, nil), Options{}, dup(t, in), dup(t, out), toAppEnd, fromAppEnd)
	in.Close()
	out.Close()
	s.shake(kp, nil)
	data := pattern(1 << 20)
	go func() { _, _ = fromApp.Write(data) }()
	got := make([]byte, len(data))
	if _, err := io.ReadFull(s.peer, got); err != nil || !bytes.Equal(got, data) {
		t.Fatal(err)
	}
	go func() { _, _ = s.peer.Write(data) }()
	if _, err := io.ReadFull(toApp, got); err != nil || !bytes.Equal(got, data) {
		t.Fatal(err)
	}
	// One direction after the other.
	fromApp.Close()
	s.wantPeer("")
	if _, err := s.peer.Write([]byte("more")); err != nil {
		t.Fatal(err)
	}
	if err := s.peer.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	inEnd.Close()
	s.wantApp("more")
	s.wantEnding(wire.EndingCloseNotify, "")
	s.wait()
}

func pipes(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// dup returns a blocking duplicate, as of an application's descriptor.
func dup(t *testing.T, f *os.File) int {
	t.Helper()
	raw, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	fd := -1
	_ = raw.Control(func(s uintptr) { fd, err = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 0) })
	if err == nil {
		err = unix.SetNonblock(fd, false)
	}
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

type pipeConn struct {
	net.Conn
	r, w *os.File
}

func (p *pipeConn) Read(b []byte) (int, error)       { return p.r.Read(b) }
func (p *pipeConn) Write(b []byte) (int, error)      { return p.w.Write(b) }
func (p *pipeConn) Close() error                     { return errors.Join(p.r.Close(), p.w.Close()) }
func (p *pipeConn) SetWriteDeadline(time.Time) error { return nil }

func TestWrongDescriptors(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	datagram, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(datagram[0])
	defer unix.Close(datagram[1])
	r, w := pipes(t)
	tcp, _ := sockets(t)
	defer unix.Close(tcp)
	_, _, data := socketpair(t)
	defer unix.Close(data)
	config := newConfig(t, false, nil, nil)
	f, d, p, q := int(file.Fd()), datagram[0], dup(t, r), dup(t, w)
	defer unix.Close(p)
	defer unix.Close(q)
	for i, fds := range [][]int{
		{f, data}, {d, data}, {p, data}, {tcp, f}, {tcp, d}, {tcp, tcp}, {tcp, p},
		{p, f, data, data}, {p, q, data, tcp}, {p, q, q, data},
	} {
		before := countFds(t)
		own := make(channel.Fds, len(fds))
		for i, fd := range fds {
			if own[i], err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := New(own, Options{Config: config}); err == nil {
			t.Errorf("%d: no error", i)
		}
		own.Close()
		if after := countFds(t); after != before {
			t.Errorf("%d: %d descriptors, %d before", i, after, before)
		}
	}
}

func countFds(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestNoDescriptorsLeft(t *testing.T) {
	before := countFds(t)
	for _, sd := range sides {
		for _, end := range []func(s *session){
			func(s *session) { s.app.Close() },
			func(s *session) { s.net.Close() },
			func(s *session) { _, fds := s.closeReply(s.mark()); fds.Close() },
		} {
			s := open(t, sd)
			end(s)
			s.app.Close()
			s.net.Close()
			s.wait()
		}
	}
	if after := countFds(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}

// Somebody else toggles O_NONBLOCK on the network.
func TestToggledNonblock(t *testing.T) {
	kp := certificate(t, testcert.Options{})
	s := &session{t: t, side: side{true, tls.VersionTLS13}}
	network, peer := sockets(t)
	s.net = peer
	other, err := unix.FcntlInt(uintptr(network), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(other)
	var end int
	s.app, s.fd, end = socketpair(t)
	s.run(newConfig(t, true, kp, nil), Options{}, network, end)
	s.shake(kp, nil)
	for i := range 10 {
		if err := unix.SetNonblock(other, i%2 == 0); err != nil {
			t.Fatal(err)
		}
		msg := fmt.Sprint("message ", i)
		s.write(msg)
		got := make([]byte, len(msg))
		if _, err := io.ReadFull(s.peer, got); err != nil || string(got) != msg {
			t.Fatalf("%q, %v", got, err)
		}
		if _, err := s.peer.Write(got); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(s.app, got); err != nil || string(got) != msg {
			t.Fatalf("%q, %v", got, err)
		}
	}
}
