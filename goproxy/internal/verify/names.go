// SPDX-License-Identifier: ISC

// Package verify decides about a peer's certificate: crypto/x509 verifies the
// chain, and libtls's own rules, which crypto/x509 does not have, decide
// about names and depth.
package verify

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Names holds what the names of a certificate are compared with. It is made
// once and used for any number of comparisons.
type Names struct {
	entries []entry
	// bad is what a comparison that got past all entries runs into. It
	// takes the name it was made for.
	bad func(name string) error
}

type entry struct {
	kind byte // as in ESTABLISHED
	name string
	addr netip.Addr // kindAddress
}

const (
	kindHost       = 'D'
	kindAddress    = 'I'
	kindCommonName = 'C'
)

var oidSubjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}

// Context-specific tags of a GeneralName.
const (
	tagDNSName   = 2
	tagIPAddress = 7
)

// CertNames returns the names of cert.
func CertNames(cert *x509.Certificate) *Names {
	n := &Names{}
	alternative, err := n.addAlternative(cert)
	if err != nil {
		n.bad = func(name string) error {
			return fmt.Errorf("error verifying name '%s': %w", name, err)
		}
		return n
	}
	if alternative {
		return n
	}
	cn, err := CommonName(cert.RawSubject)
	if err != nil {
		n.bad = func(name string) error {
			return fmt.Errorf("%s error getting common name: %w", name, err)
		}
		return n
	}
	if cn != "" {
		n.entries = append(n.entries, entry{kind: kindHost, name: cn}, entry{kind: kindCommonName, name: cn})
	}
	return n
}

// addAlternative reports whether there was a name that forbids to look at the
// common name: any host name or address does, matching or not.
func (n *Names) addAlternative(cert *x509.Certificate) (bool, error) {
	var found bool
	for _, ext := range cert.Extensions {
		if !ext.Id.Equal(oidSubjectAltName) {
			continue
		}
		var general []asn1.RawValue
		rest, err := asn1.Unmarshal(ext.Value, &general)
		if err != nil || len(rest) != 0 {
			return found, errors.New("error decoding subjectAltName")
		}
		for _, g := range general {
			if g.Class != asn1.ClassContextSpecific {
				continue
			}
			switch g.Tag {
			case tagDNSName:
				found = true
				name := string(g.Bytes)
				if strings.IndexByte(name, 0) >= 0 {
					return found, errors.New("NUL byte in subjectAltName, probably a malicious certificate")
				}
				if name == " " {
					return found, errors.New("a dNSName of \" \" must not be used")
				}
				n.entries = append(n.entries, entry{kind: kindHost, name: name})
			case tagIPAddress:
				found = true
				if addr, ok := netip.AddrFromSlice(g.Bytes); ok {
					n.entries = append(n.entries, entry{kind: kindAddress, addr: addr})
				}
			}
		}
	}
	return found, nil
}

// Match compares the names with the one that was asked for. An error means
// that a malicious certificate kept the comparison from an end.
func (n *Names) Match(name string) (bool, error) {
	addr, isAddr := parseAddr(name)
	for _, e := range n.entries {
		switch e.kind {
		case kindHost:
			if !isAddr && matchHost(e.name, name) {
				return true, nil
			}
		case kindAddress:
			if isAddr && e.addr == addr {
				return true, nil
			}
		case kindCommonName:
			if isAddr && e.name == name {
				return true, nil
			}
		}
	}
	if n.bad != nil {
		return false, n.bad(name)
	}
	return false, nil
}

// List encodes the names for ESTABLISHED.
func (n *Names) List() []byte {
	var b []byte
	for _, e := range n.entries {
		name := e.name
		if e.kind == kindAddress {
			name = ntop(e.addr)
		}
		b = append(b, e.kind)
		b = append(b, name...)
		b = append(b, 0)
	}
	return b
}

// IsAddress reports whether inet_pton(3) takes name for an IP address.
func IsAddress(name string) bool {
	_, ok := parseAddr(name)
	return ok
}

func parseAddr(name string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(name)
	if err != nil || addr.Zone() != "" {
		return netip.Addr{}, false
	}
	return addr, true
}

// ntop writes an address as inet_ntop(3), which unlike netip writes the
// dotted form of an address in ::/96.
func ntop(addr netip.Addr) string {
	if addr.Is6() {
		b := addr.As16()
		if [12]byte(b[:12]) == [12]byte{} && (b[12] != 0 || b[13] != 0) {
			return fmt.Sprintf("::%d.%d.%d.%d", b[12], b[13], b[14], b[15])
		}
	}
	return addr.String()
}

// matchHost is libtls's match of a certificate's name with a requested one.
func matchHost(pattern, name string) bool {
	if name == "" {
		return false
	}
	if equalFold(pattern, name) {
		return true
	}
	domain, ok := wildcard(pattern)
	if !ok {
		return false
	}
	parent, ok := parentDomain(name)
	return ok && equalFold(domain, parent)
}

// wildcard returns the domain, with a dot before it, in which a pattern stands
// for any label.
func wildcard(pattern string) (string, bool) {
	if !strings.HasPrefix(pattern, "*.") {
		return "", false
	}
	domain := pattern[1:]
	// The wildcard stands for one label in a domain of at least two.
	if len(domain) < 2 || domain[1] == '.' {
		return "", false
	}
	dot := strings.IndexByte(domain[1:], '.')
	if dot < 0 {
		return "", false
	}
	after := domain[1+dot+1:]
	if after == "" || after[0] == '.' {
		return "", false
	}
	return domain, true
}

// parentDomain returns what a wildcard's domain has to equal.
func parentDomain(name string) (string, bool) {
	dot := strings.IndexByte(name, '.')
	if dot <= 0 || dot == len(name)-1 {
		return "", false
	}
	return name[dot:], true
}

// An Index finds the first of many certificates that has a host name, without
// a look at all of them.
type Index struct {
	exact, wild map[string]int
	n           int
	bad         *Names // the first that a comparison may not get past
	badAt       int
}

// Add adds a certificate's names, with the next number from 0 on.
func (x *Index) Add(n *Names) {
	if x.exact == nil {
		x.exact, x.wild = make(map[string]int), make(map[string]int)
	}
	add := func(m map[string]int, key string) {
		if _, there := m[key]; !there {
			m[key] = x.n
		}
	}
	for _, e := range n.entries {
		if e.kind != kindHost {
			continue
		}
		name := toLower(e.name)
		add(x.exact, name)
		if domain, ok := wildcard(name); ok {
			add(x.wild, domain)
		}
	}
	if n.bad != nil && x.bad == nil {
		x.bad, x.badAt = n, x.n
	}
	x.n++
}

// Find returns the number of the first certificate of which Match says that it
// has the name, or -1, or the error of one before that. An address is no host
// name.
func (x *Index) Find(name string) (int, error) {
	folded := toLower(name)
	found := x.n
	if i, ok := x.exact[folded]; ok && name != "" {
		found = i
	}
	if parent, ok := parentDomain(folded); ok {
		if i, ok := x.wild[parent]; ok {
			found = min(found, i)
		}
	}
	switch {
	case x.bad != nil && x.badAt < found:
		return -1, x.bad.bad(name)
	case found == x.n:
		return -1, nil
	}
	return found, nil
}

// equalFold ignores the case of ASCII letters and nothing else, as
// strcasecmp(3) in the C locale.
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

// toLower makes equal what equalFold says is.
func toLower(s string) string {
	b := []byte(s)
	for i, c := range b {
		b[i] = lower(c)
	}
	return string(b)
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}
