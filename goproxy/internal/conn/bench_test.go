// SPDX-License-Identifier: ISC

package conn

import (
	"crypto/tls"
	"io"
	"testing"

	"libtls-proxy/goproxy/internal/testcert"
)

// BenchmarkThroughput counts the peer's work as well.
func BenchmarkThroughput(b *testing.B) {
	for _, dir := range []string{"to peer", "to application"} {
		b.Run(dir, func(b *testing.B) {
			s := openFor(b)
			chunk := pattern(1 << 20)
			b.SetBytes(int64(len(chunk)))
			w, r := io.Writer(s.app), io.Reader(s.peer)
			if dir == "to application" {
				w, r = s.peer, s.app
			}
			b.ReportAllocs()
			b.ResetTimer()
			go func() {
				for range b.N {
					_, _ = w.Write(chunk)
				}
			}()
			for range b.N {
				if _, err := io.ReadFull(r, make([]byte, len(chunk))); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	s := openFor(b)
	go func() { _, _ = io.Copy(s.peer, s.peer) }()
	one := make([]byte, 1)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if _, err := s.app.Write(one); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(s.app, one); err != nil {
			b.Fatal(err)
		}
	}
}

func openFor(b *testing.B) *session {
	b.Helper()
	kp := testcert.New(b, testcert.Options{})
	s := begin(b, true, newConfig(b, true, kp, nil))
	s.side = side{true, tls.VersionTLS13}
	s.shake(kp, nil)
	return s
}
