// SPDX-License-Identifier: ISC

package verify

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"libtls-proxy/goproxy/internal/testcert"
)

func TestMatchHost(t *testing.T) {
	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{"a.example.com", "a.example.com", true},
		{"A.Example.COM", "a.eXample.com", true},
		{"a.example.com", "b.example.com", false},
		{"a.example.com", "a.example.com.", false},
		{"a.example.com.", "a.example.com.", true},
		{"localhost", "localhost", true},
		{"", "", false},
		{"", "a", false},
		{"*.example.com", "a.example.com", true},
		{"*.example.com", "A.EXAMPLE.com", true},
		{"*.example.com", "a.b.example.com", false},
		{"*.example.com", "example.com", false},
		{"*.example.com", ".example.com", false},
		{"*.example.com", "a.example.com.", false},
		{"*.example.com", "*.example.com", true},
		{"*.com", "example.com", false},
		{"*.com.", "example.com.", false},
		{"*.", "a.", false},
		{"*", "a", false},
		{"*", "a.example.com", false},
		{"*foo.example.com", "afoo.example.com", false},
		{"w*.example.com", "www.example.com", false},
		{"*..example.com", "a..example.com", false},
		{"*.example..com", "a.example..com", false},
		{"a.*.example.com", "a.b.example.com", false},
		{"*.example.com", "a.", false},
		{"*.example.com", "a", false},
		{"ä.example.com", "Ä.example.com", false},
	} {
		if got := matchHost(tt.pattern, tt.name); got != tt.want {
			t.Errorf("matchHost(%q, %q) = %v", tt.pattern, tt.name, got)
		}
	}
}

// san encodes general names, each a context-specific tag and its content.
func san(t *testing.T, names ...asn1.RawValue) pkix.Extension {
	t.Helper()
	der, err := asn1.Marshal(names)
	if err != nil {
		t.Fatal(err)
	}
	return pkix.Extension{Id: oidSubjectAltName, Value: der}
}

func general(tag int, content string) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, Bytes: []byte(content)}
}

// subject encodes a name with common names of these types and contents.
func subject(t *testing.T, values ...asn1.RawValue) []byte {
	t.Helper()
	var rdns []relativeNameSET
	for _, v := range values {
		rdns = append(rdns, relativeNameSET{{Type: oidCommonName, Value: v}})
	}
	der, err := asn1.Marshal(rdns)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func value(tag int, content string) asn1.RawValue {
	return asn1.RawValue{Tag: tag, Bytes: []byte(content)}
}

// An index finds what a look at one certificate after another does.
func TestIndex(t *testing.T) {
	patterns := []string{"a.example.com", "A.Example.com", "*.example.com", "*.a.example.com", "*.com", "*", "*..com",
		".example.com", "example.com.", "localhost", "", "*.", "ä.example.com", "Ä.example.com"}
	names := append([]string{"b.example.com", "B.EXAMPLE.COM", "b.a.example.com", "a.com", "a", "a.", ".", ".a.example.com",
		"a..com", "x.ä.example.com"}, patterns...)
	malicious := errors.New("malicious")
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var all []*Names
		var index Index
		for range random.IntN(5) {
			n := &Names{}
			for range random.IntN(4) {
				kind := []byte{kindHost, kindHost, kindCommonName, kindAddress}[random.IntN(4)]
				n.entries = append(n.entries, entry{kind: kind, name: patterns[random.IntN(len(patterns))]})
			}
			if random.IntN(8) == 0 {
				n.bad = func(name string) error { return fmt.Errorf("%w: %s", malicious, name) }
			}
			all = append(all, n)
			index.Add(n)
		}
		for _, name := range names {
			want, wantErr := -1, error(nil)
			for i, n := range all {
				ok, err := n.Match(name)
				if err != nil {
					wantErr = err
					break
				}
				if ok {
					want = i
					break
				}
			}
			got, err := index.Find(name)
			if got != want || fmt.Sprint(err) != fmt.Sprint(wantErr) {
				t.Fatalf("Find(%q) = %d, %v, want %d, %v", name, got, err, want, wantErr)
			}
		}
	}
}

func TestMatch(t *testing.T) {
	cn := func(s string) []asn1.RawValue { return []asn1.RawValue{value(asn1.TagUTF8String, s)} }
	const (
		email = 1
		dns   = tagDNSName
		uri   = 6
		ip    = tagIPAddress
	)
	for _, tt := range []struct {
		name    string
		cn      []asn1.RawValue
		san     []asn1.RawValue
		host    string
		want    bool
		wantErr string
		list    string
	}{
		{"dns", nil, []asn1.RawValue{general(dns, "a.example")}, "a.example", true, "", "Da.example\x00"},
		{"dns not", nil, []asn1.RawValue{general(dns, "a.example")}, "b.example", false, "", "Da.example\x00"},
		{"second dns", nil, []asn1.RawValue{general(dns, "a"), general(dns, "b")}, "b", true, "", "Da\x00Db\x00"},
		{"dns hides cn", cn("b"), []asn1.RawValue{general(dns, "a")}, "b", false, "", "Da\x00"},
		{"ip hides cn", cn("b"), []asn1.RawValue{general(ip, "\x7f\x00\x00\x01")}, "b", false, "", "I127.0.0.1\x00"},
		{"email does not hide cn", cn("b"), []asn1.RawValue{general(email, "a@b")}, "b", true, "", "Db\x00Cb\x00"},
		{"uri does not hide cn", cn("b"), []asn1.RawValue{general(uri, "http://b/")}, "b", true, "", "Db\x00Cb\x00"},
		{"ipv4", nil, []asn1.RawValue{general(ip, "\x7f\x00\x00\x01")}, "127.0.0.1", true, "", "I127.0.0.1\x00"},
		{"ipv4 not", nil, []asn1.RawValue{general(ip, "\x7f\x00\x00\x01")}, "127.0.0.2", false, "", "I127.0.0.1\x00"},
		{"ipv6", nil, []asn1.RawValue{general(ip, "\x20\x01\x0d\xb8"+strings.Repeat("\x00", 11)+"\x01")},
			"2001:DB8:0::1", true, "", "I2001:db8::1\x00"},
		{"ipv4 mapped", nil, []asn1.RawValue{general(ip, strings.Repeat("\x00", 10)+"\xff\xff\x01\x02\x03\x04")},
			"1.2.3.4", false, "", "I::ffff:1.2.3.4\x00"},
		{"ipv4 compatible", nil, []asn1.RawValue{general(ip, strings.Repeat("\x00", 12)+"\x01\x02\x03\x04")},
			"::1.2.3.4", true, "", "I::1.2.3.4\x00"},
		{"loopback", nil, []asn1.RawValue{general(ip, strings.Repeat("\x00", 15)+"\x01")}, "::1", true, "", "I::1\x00"},
		{"dns that looks like an address", nil, []asn1.RawValue{general(dns, "1.2.3.4")}, "1.2.3.4", false, "", "D1.2.3.4\x00"},
		{"address of no length", cn("1.2.3.4"), []asn1.RawValue{general(ip, "\x01\x02\x03")}, "1.2.3.4", false, "", ""},
		{"cn", cn("a"), nil, "a", true, "", "Da\x00Ca\x00"},
		{"cn wildcard", cn("*.b.c"), nil, "a.b.c", true, "", "D*.b.c\x00C*.b.c\x00"},
		{"cn address", cn("1.2.3.4"), nil, "1.2.3.4", true, "", "D1.2.3.4\x00C1.2.3.4\x00"},
		{"cn address spelt differently", cn("::0"), nil, "::", false, "", "D::0\x00C::0\x00"},
		{"no name", nil, nil, "a", false, "", ""},
		{"empty", cn("a"), nil, "", false, "", "Da\x00Ca\x00"},
		{"NUL", nil, []asn1.RawValue{general(dns, "good"), general(dns, "a\x00.evil")}, "a", false,
			"error verifying name 'a': NUL byte in subjectAltName, probably a malicious certificate", "Dgood\x00"},
		{"match before NUL", nil, []asn1.RawValue{general(dns, "good"), general(dns, "a\x00.evil")}, "good", true, "", "Dgood\x00"},
		{"NUL hides cn", cn("a"), []asn1.RawValue{general(dns, "\x00")}, "a", false,
			"error verifying name 'a': NUL byte in subjectAltName, probably a malicious certificate", ""},
		{"space", nil, []asn1.RawValue{general(dns, " ")}, "a", false,
			"error verifying name 'a': a dNSName of \" \" must not be used", ""},
		{"many cn", []asn1.RawValue{value(12, "a"), value(12, "b")}, nil, "a", false,
			"a error getting common name: " + string(manyCommonNames), ""},
		{"many cn with dns", []asn1.RawValue{value(12, "a"), value(12, "b")},
			[]asn1.RawValue{general(dns, "a")}, "a", true, "", "Da\x00"},
		{"long cn", cn(strings.Repeat("x", 65)), nil, "a", false,
			"a error getting common name: " + string(longCommonName), ""},
		{"NUL in cn", cn("a\x00b"), nil, "a", false, "a error getting common name: " + string(nulCommonName), ""},
		{"bad UTF-8", cn("\xff"), nil, "a", false, "a error getting common name: " + string(badCommonName), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cert := &x509.Certificate{RawSubject: subject(t, tt.cn...)}
			if tt.san != nil {
				cert.Extensions = append(cert.Extensions, san(t, tt.san...))
			}
			names := CertNames(cert)
			got, err := names.Match(tt.host)
			if got != tt.want {
				t.Errorf("match %v", got)
			}
			text := ""
			if err != nil {
				text = err.Error()
			}
			if text != tt.wantErr {
				t.Errorf("error %q, want %q", text, tt.wantErr)
			}
			if list := string(names.List()); list != tt.list {
				t.Errorf("list %q, want %q", list, tt.list)
			}
		})
	}
}

func TestUndecodableSAN(t *testing.T) {
	for _, der := range []string{"", "\x30", "\x30\x01", "\x30\x00x", "\x02\x01\x01"} {
		cert := &x509.Certificate{
			RawSubject: subject(t, value(12, "a")),
			Extensions: []pkix.Extension{{Id: oidSubjectAltName, Value: []byte(der)}},
		}
		_, err := CertNames(cert).Match("a")
		if err == nil || err.Error() != "error verifying name 'a': error decoding subjectAltName" {
			t.Errorf("%q: %v", der, err)
		}
	}
}

func TestCommonName(t *testing.T) {
	for _, tt := range []struct {
		tag           int
		content, want string
	}{
		{asn1.TagUTF8String, "grün", "grün"},
		{asn1.TagPrintableString, "a", "a"},
		{asn1.TagT61String, "gr\xfcn", "grün"},
		{asn1.TagIA5String, "a", "a"},
		{asn1.TagBMPString, "\x00g\x00\xfc", "gü"},
		{tagUniversalString, "\x00\x00\x00g\x00\x01\xf6\x00", "g😀"},
	} {
		got, err := CommonName(subject(t, value(tt.tag, tt.content)))
		if err != nil || got != tt.want {
			t.Errorf("%d %q: %q, %v", tt.tag, tt.content, got, err)
		}
	}
	for _, v := range []asn1.RawValue{
		value(asn1.TagBMPString, "\x00"), value(asn1.TagBMPString, "\xd8\x00\xdc\x00"),
		value(tagUniversalString, "\x00\x00\x00"), value(tagUniversalString, "\x00\x11\x00\x00"),
		value(asn1.TagOctetString, "a"), value(asn1.TagUTF8String, ""),
	} {
		if got, err := CommonName(subject(t, v)); err == nil {
			t.Errorf("%d %q: %q", v.Tag, v.Bytes, got)
		}
	}
}

func TestOneline(t *testing.T) {
	kp := testcert.New(t, testcert.Options{Template: func(c *x509.Certificate) {
		c.Subject = pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{
			{Type: asn1.ObjectIdentifier{2, 5, 4, 6}, Value: "DE"},
			{Type: asn1.ObjectIdentifier{2, 5, 4, 10}, Value: "Grün/Co"},
			{Type: asn1.ObjectIdentifier{2, 5, 4, 97}, Value: "x"},
			{Type: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}, Value: "a@b"},
			{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "c\x7f"},
		}}
	}})
	got, err := Oneline(kp.Cert.RawSubject)
	want := `/C=DE/O=Gr\xC3\xBCn/Co/2.5.4.97=x/emailAddress=a@b/CN=c\x7F`
	if err != nil || got != want {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	if got, err := Oneline([]byte{0x30, 0}); got != "" || err != nil {
		t.Errorf("empty name: %q, %v", got, err)
	}
	if _, err := Oneline([]byte{0x30}); err == nil {
		t.Error("no error")
	}
	got, err = Oneline(subject(t, value(asn1.TagBMPString, "\x00b\x00B")))
	if want := `/CN=\x00b\x00B`; err != nil || got != want {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
}
