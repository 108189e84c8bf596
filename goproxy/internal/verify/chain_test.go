// SPDX-License-Identifier: ISC

package verify

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"testing"
	"time"

	"libtls-proxy/goproxy/internal/testcert"
)

func peer(certs []*x509.Certificate, o Options) error {
	if _, err := Chain(certs, o); err != nil {
		return err
	}
	return Name(certs[0], o)
}

func certs(pairs ...*testcert.Pair) []*x509.Certificate {
	var list []*x509.Certificate
	for _, p := range pairs {
		list = append(list, p.Cert)
	}
	return list
}

func TestChain(t *testing.T) {
	named := func(cn string, edit func(*x509.Certificate)) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.Subject = pkix.Name{CommonName: cn}
			if edit != nil {
				edit(c)
			}
		}
	}
	expired := func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	}
	future := func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
	}
	ca := func(cn string, parent *testcert.Pair, edit func(*x509.Certificate)) *testcert.Pair {
		return testcert.New(t, testcert.Options{CA: true, Parent: parent, Template: named(cn, edit)})
	}
	leaf := func(parent *testcert.Pair, edit func(*x509.Certificate)) *testcert.Pair {
		return testcert.New(t, testcert.Options{Parent: parent, Names: []string{"localhost"}, Template: named("leaf", edit)})
	}
	root, other := ca("root", nil, nil), ca("other", nil, nil)
	ica := ca("ica", root, nil)
	ica2 := ca("ica2", ica, nil)
	oldICA := ca("old", root, expired)
	oldRoot := ca("old root", nil, expired)
	short := ca("short", root, func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true })
	below := ca("below", short, nil)
	noCA := testcert.New(t, testcert.Options{Parent: root, Template: named("no ca", nil)})
	constrained := ca("constrained", root, func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{"example.com"}
	})
	selfSigned := leaf(nil, nil)
	email := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection} }
	critical := func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
	}
	l, l1, l2 := leaf(root, nil), leaf(ica, nil), leaf(ica2, nil)
	behind := func(n int) []*x509.Certificate {
		return slices.Concat(certs(l), slices.Repeat(certs(ca("root", nil, nil)), n), certs(root))
	}
	for _, tt := range []struct {
		name  string
		roots []*testcert.Pair
		sent  []*x509.Certificate
		depth int
		any   bool // at any time
		want  string
	}{
		{"root", []*testcert.Pair{root}, certs(l), 6, false, ""},
		{"one of two roots", []*testcert.Pair{other, root}, certs(l), 6, false, ""},
		{"intermediate", []*testcert.Pair{root}, certs(l1, ica), 6, false, ""},
		{"root sent as well", []*testcert.Pair{root}, certs(l1, ica, root), 6, false, ""},
		{"any order", []*testcert.Pair{root}, certs(l2, ica, ica2), 6, false, ""},
		{"trusted leaf", []*testcert.Pair{selfSigned}, certs(selfSigned), 6, false, ""},
		{"no roots", nil, certs(l), 6, false, "unable to get local issuer certificate"},
		{"other root", []*testcert.Pair{other}, certs(l), 6, false, "unable to get local issuer certificate"},
		{"intermediate missing", []*testcert.Pair{root}, certs(l1), 6, false, "unable to get local issuer certificate"},
		{"self signed", []*testcert.Pair{root}, certs(selfSigned), 6, false, "self signed certificate"},
		{"untrusted root sent", []*testcert.Pair{other}, certs(l, root), 6, false, "self signed certificate in certificate chain"},
		{"untrusted root behind others", []*testcert.Pair{other}, behind(99), 6, false, "self signed certificate in certificate chain"},
		{"untrusted root behind too many", []*testcert.Pair{other}, behind(100), 6, false, "unable to get local issuer certificate"},
		{"expired", []*testcert.Pair{root}, certs(leaf(root, expired)), 6, false, "certificate has expired"},
		{"expired at any time", []*testcert.Pair{root}, certs(leaf(root, expired)), 6, true, ""},
		{"not yet valid", []*testcert.Pair{root}, certs(leaf(root, future)), 6, false, "certificate is not yet valid"},
		{"not yet valid at any time", []*testcert.Pair{root}, certs(leaf(root, future)), 6, true, ""},
		{"expired intermediate", []*testcert.Pair{root}, certs(leaf(oldICA, nil), oldICA), 6, false, "certificate has expired"},
		{"expired intermediate at any time", []*testcert.Pair{root}, certs(leaf(oldICA, nil), oldICA), 6, true, ""},
		{"expired root", []*testcert.Pair{oldRoot}, certs(leaf(oldRoot, nil)), 6, false, "certificate has expired"},
		{"expired root at any time", []*testcert.Pair{oldRoot}, certs(leaf(oldRoot, nil)), 6, true, ""},
		{"expired and untrusted", []*testcert.Pair{other}, certs(leaf(root, expired)), 6, false, "unable to get local issuer certificate"},
		{"untrusted at any time", []*testcert.Pair{other}, certs(l), 6, true, "unable to get local issuer certificate"},
		{"purpose", []*testcert.Pair{root}, certs(leaf(root, email)), 6, false, "unsupported certificate purpose"},
		{"critical extension", []*testcert.Pair{root}, certs(leaf(root, critical)), 6, false, "unhandled critical extension"},
		{"path length", []*testcert.Pair{root}, certs(leaf(below, nil), below, short), 6, false, "path length constraint exceeded"},
		{"issuer is no CA", []*testcert.Pair{root}, certs(leaf(noCA, nil), noCA), 6, false, "unable to get local issuer certificate"},
		{"name constraint", []*testcert.Pair{root}, certs(leaf(constrained, nil), constrained), 6, false, "permitted subtree violation"},
		{"depth 1", []*testcert.Pair{root}, certs(l), 1, false, ""},
		{"depth 1 with an intermediate", []*testcert.Pair{root}, certs(l1, ica), 1, false, "certificate chain too long"},
		{"depth 2 with an intermediate", []*testcert.Pair{root}, certs(l1, ica), 2, false, ""},
		{"depth 2 with two intermediates", []*testcert.Pair{root}, certs(l2, ica2, ica), 2, false, "certificate chain too long"},
		{"depth 3 with two intermediates", []*testcert.Pair{root}, certs(l2, ica2, ica), 3, false, ""},
		{"depth at any time", []*testcert.Pair{root}, certs(l1, ica), 1, true, "certificate chain too long"},
		{"no depth", []*testcert.Pair{root}, certs(l2, ica2, ica), 0, false, ""},
		{"negative depth", []*testcert.Pair{root}, certs(l2, ica2, ica), -1, false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var bundle bytes.Buffer
			for _, r := range tt.roots {
				bundle.Write(r.CertPEM)
			}
			anchors, err := NewCA(bundle.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			o := Options{
				CA: anchors, Chain: true, Times: !tt.any, Named: true, Name: "localhost",
				Depth: tt.depth, Usage: x509.ExtKeyUsageServerAuth, Now: time.Now(),
			}
			want := tt.want
			if want != "" {
				want = "certificate verification failed: " + want
			}
			got := ""
			if err := peer(tt.sent, o); err != nil {
				got = err.Error()
			}
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// A common name that libtls cannot read fails the handshake, whatever the
// other names are and nothing else is verified.
func TestUnreadableCommonName(t *testing.T) {
	kp := testcert.New(t, testcert.Options{Names: []string{"localhost"}, Template: func(c *x509.Certificate) {
		c.Subject = pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{
			{Type: oidCommonName, Value: "a"}, {Type: oidCommonName, Value: "b"},
		}}
	}})
	err := peer(certs(kp), Options{Named: true, Name: "localhost"})
	if want := "error getting common name: " + string(manyCommonNames); err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
}

func TestCACache(t *testing.T) {
	kp := testcert.New(t, testcert.Options{CA: true})
	var cache CACache
	a, releaseA, err := cache.Get(kp.CertPEM)
	if err != nil {
		t.Fatal(err)
	}
	b, releaseB, err := cache.Get(bytes.Clone(kp.CertPEM))
	if err != nil || a != b {
		t.Errorf("the same content was parsed twice: %v", err)
	}
	releaseA()
	releaseB()
	if len(cache.m) != 0 {
		t.Error("unused anchors are kept")
	}
	for _, bad := range []string{"x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		if _, _, err := cache.Get([]byte(bad)); err == nil || err.Error() != "ssl verify memory setup failure" {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, release, err := cache.Get(nil); err != nil {
		t.Error(err)
	} else {
		release()
	}
}

// Of several chains one that passes is enough: here the intermediate is
// signed by two roots, and one of them has revoked it.
func TestChainsAndCRLs(t *testing.T) {
	called := func(cn string) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: cn} }
	}
	a := testcert.New(t, testcert.Options{CA: true, Template: called("a")})
	b := testcert.New(t, testcert.Options{CA: true, Template: called("b")})
	byA := testcert.New(t, testcert.Options{CA: true, Parent: a, Template: called("between")})
	template := *byA.Cert
	template.SignatureAlgorithm = x509.UnknownSignatureAlgorithm
	der, err := x509.CreateCertificate(rand.Reader, &template, b.Cert, byA.Key.Public(), b.Key)
	if err != nil {
		t.Fatal(err)
	}
	byB, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	leaf := testcert.New(t, testcert.Options{Parent: byA, Template: called("leaf")})
	ca, err := NewCA(slices.Concat(a.CertPEM, b.CertPEM))
	if err != nil {
		t.Fatal(err)
	}
	none := func(p *testcert.Pair) []byte { return testcert.CRL(t, p, x509.RevocationList{}) }
	revoked := func(p *testcert.Pair) []byte { return testcert.CRL(t, p, x509.RevocationList{}, byA) }
	const prefix = "certificate verification failed: "
	for _, tt := range []struct {
		name string
		crl  []byte
		root string // "" for a refusal
		want string
	}{
		{"by a", slices.Concat(none(byA), none(a), revoked(b)), "a", ""},
		{"by b", slices.Concat(none(byA), revoked(a), none(b)), "b", ""},
		{"only b has a list", slices.Concat(none(byA), none(b)), "b", ""},
		{"by neither", slices.Concat(none(byA), revoked(a), revoked(b)), "", prefix + "certificate revoked"},
		{"no list", nil, "", prefix + "unable to get certificate CRL"},
		{"leaf", slices.Concat(testcert.CRL(t, byA, x509.RevocationList{}, leaf), none(a), none(b)), "", prefix + "certificate revoked"},
	} {
		for _, times := range []bool{false, true} {
			chain, err := Chain([]*x509.Certificate{leaf.Cert, byA.Cert, byB}, Options{
				CA: ca, Chain: true, Times: times, Usage: x509.ExtKeyUsageServerAuth, Now: time.Now(), CRLs: ParseCRLs(tt.crl),
			})
			if tt.root == "" {
				if err == nil || err.Error() != tt.want {
					t.Errorf("%s: %v", tt.name, err)
				}
			} else if err != nil || len(chain) != 3 || chain[2].Subject.CommonName != tt.root {
				t.Errorf("%s: %v, %d certificates", tt.name, err, len(chain))
			}
		}
	}
	// What the lists say comes before what the clock says, as in libtls.
	_, err = Chain([]*x509.Certificate{leaf.Cert, byA.Cert}, Options{
		CA: ca, Chain: true, Times: true, Usage: x509.ExtKeyUsageServerAuth, Now: time.Now().Add(2 * time.Hour),
		CRLs: ParseCRLs(slices.Concat(none(byA), none(a))),
	})
	if err == nil || err.Error() != prefix+"CRL has expired" {
		t.Errorf("%v", err)
	}
	if chain, err := Chain(nil, Options{CRLs: ParseCRLs(nil)}); chain != nil || err != nil {
		t.Errorf("%v, %v", chain, err)
	}
}
