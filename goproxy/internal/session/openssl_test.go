// SPDX-License-Identifier: ISC

package session

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"libtls-proxy/goproxy/internal/testcert"
)

// openssl returns a command that ends with the test or after some time.
func openssl(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("no openssl")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	t.Cleanup(cancel)
	return exec.CommandContext(ctx, path, args...)
}

func versionFlag(version uint16) string {
	return map[uint16]string{tls.VersionTLS12: "-tls1_2", tls.VersionTLS13: "-tls1_3"}[version]
}

// sClient runs openssl s_client with a session file that is read if it is
// there and written, and reports whether both sides say that it was resumed.
func (w *world) sClient(t *testing.T, tickets *Tickets, file string) bool {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	server := w.server.Clone()
	tickets.Attach(server, nil)
	args := []string{"s_client", "-connect", l.Addr().String(), versionFlag(w.version), "-ign_eof", "-sess_out", file}
	if _, err := os.Stat(file); err == nil {
		args = append(args, "-sess_in", file)
	}
	cmd := openssl(t, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = l.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
	state, err := serve(l, server)
	if cmdErr := cmd.Wait(); err != nil || cmdErr != nil {
		t.Fatalf("server: %v, openssl: %v\n%s", err, cmdErr, &out)
	}
	if got := strings.Contains(out.String(), "\nReused, "); got != state.DidResume {
		t.Errorf("openssl resumed: %v, server: %v\n%s", got, state.DidResume, &out)
	}
	return state.DidResume
}

func TestOpenSSLClient(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *world) {
		file := filepath.Join(t.TempDir(), "session")
		one, two := testKey(1, w.now()), testKey(2, w.now())
		tickets := w.tickets(one)
		want := func(what string, tickets *Tickets, resumed bool) {
			t.Helper()
			if got := w.sClient(t, tickets, file); got != resumed {
				t.Errorf("%s: resumed: %v, want %v", what, got, resumed)
			}
		}
		want("first", tickets, false)
		want("again", tickets, true)
		want("another server with the key", w.tickets(one), true)
		if err := tickets.SetKeys([]Key{two, one}); err != nil {
			t.Fatal(err)
		}
		want("after rekeying", tickets, true)
		// openssl uses a ticket that is renewed in TLS 1.2, but does not
		// write it.
		want("with the new key alone", w.tickets(two), w.version == tls.VersionTLS13)
		want("with the new key again", w.tickets(two), true)
		want("with another key", w.tickets(testKey(3, w.now())), false)
		want("with that", w.tickets(testKey(3, w.now())), true)
		other := NewTickets([ContextSize]byte{'o'}, lifetime, w.now)
		if err := other.SetKeys([]Key{testKey(3, w.now())}); err != nil {
			t.Fatal(err)
		}
		want("another context", other, false)
		own := w.tickets()
		want("own key", own, false)
		want("own key again", own, true)
		w.move(lifetime + time.Second)
		want("after the lifetime", own, false)
		want("after that", own, true)
	})
}

// A client of ours resumes with openssl s_server by nothing but its file.
func TestOpenSSLServer(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *world) {
		p := testcert.New(t, testcert.Options{})
		name := filepath.Join(t.TempDir(), "pair.pem")
		if err := os.WriteFile(name, append(p.CertPEM, p.KeyPEM...), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := openssl(t, "s_server", "-accept", "127.0.0.1:0", versionFlag(w.version), "-cert", name, "-key", name,
			"-rev", "-naccept", "3")
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		addr := make(chan string, 1)
		go func() {
			defer close(addr)
			for lines := bufio.NewScanner(stdout); lines.Scan(); {
				if a, ok := strings.CutPrefix(lines.Text(), "ACCEPT "); ok && a != "" {
					select {
					case addr <- a:
					default:
					}
				}
			}
		}()
		a, ok := <-addr
		if !ok {
			t.Skipf("openssl s_server says no address: %v", cmd.Wait())
		}
		var file []byte
		for i := range 3 {
			if err := w.reverse(a, &file, i > 0); err != nil {
				t.Fatal(err)
			}
		}
		for range addr {
		}
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
}

func (w *world) reverse(addr string, file *[]byte, resumed bool) error {
	session, err := Parse(*file)
	if err != nil {
		return err
	}
	client := w.client.Clone()
	client.ClientSessionCache = NewCache(session, func(b []byte) { *file = b })
	c, err := tls.DialWithDialer(&net.Dialer{Deadline: time.Now().Add(patience)}, "tcp", addr, client)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := io.WriteString(c, "abc\n"); err != nil {
		return err
	}
	got := make([]byte, 4)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "cba\n" {
		return fmt.Errorf("read %q, %w", got, err)
	}
	if c.ConnectionState().DidResume != resumed {
		return fmt.Errorf("resumed: %v, want %v", !resumed, resumed)
	}
	return nil
}
