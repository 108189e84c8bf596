// SPDX-License-Identifier: ISC

package keeper

import (
	"bytes"
	"crypto/ecdh"
	"crypto/tls"

	"libtls-proxy/goproxy/internal/tlsconf"
)

// Numbers of RFC 5246, 6066, 8422 and 8446.
const (
	typeClientHello        = 1
	typeServerHello        = 2
	typeCertificate        = 11
	typeServerKeyExchange  = 12
	typeCertificateRequest = 13
	typeServerHelloDone    = 14
	typeClientKeyExchange  = 16
	typeCertificateStatus  = 22

	randomLen         = 32
	maxSessionID      = 32
	statusOCSP        = 1
	namedCurve        = 3
	supportedVersions = 43
)

// isTranscript is RFC 5246 section 7.4.8: all messages of a full handshake
// from the client's hello up to its CertificateVerify, each to its last byte,
// in which the client shows the certificate that this is the key of.
func isTranscript(message, leaf []byte) bool {
	p := parser{rest: message}
	hello := p.message(typeClientHello)
	offered := hello.clientHello()
	answer := p.message(typeServerHello)
	suite := answer.serverHello()
	server := p.message(typeCertificate)
	server.certificates()
	messages := []*parser{hello, answer, server}
	if p.follows(typeCertificateStatus) {
		status := p.message(typeCertificateStatus)
		status.is(statusOCSP)
		status.vector(3, 1)
		messages = append(messages, status)
	}
	// Without it the client encrypts to the server's key.
	var curve ecdh.Curve
	if !tlsconf.Decrypts(suite) {
		exchange := p.message(typeServerKeyExchange)
		curve = exchange.ecdhe()
		exchange.next(2) // the scheme
		exchange.vector(2, 1)
		messages = append(messages, exchange)
	}
	request := p.message(typeCertificateRequest)
	request.vector(1, 1) // types
	request.pairs(2)     // schemes
	authorities := request.sub(2)
	for authorities.more() {
		authorities.vector(2, 0)
	}
	done := p.message(typeServerHelloDone)
	client := p.message(typeCertificate)
	first := client.certificates()
	secret := p.message(typeClientKeyExchange)
	if curve != nil {
		secret.point(curve)
	} else {
		secret.vector(2, 1)
	}
	messages = append(messages, request, authorities, done, client, secret)
	for _, m := range messages {
		if !m.end() {
			return false
		}
	}
	return p.end() && contains(offered, suite) && bytes.Equal(first, leaf)
}

// contains looks for a number in a list of such.
func contains(list []byte, n uint16) bool {
	for ; len(list) > 1; list = list[2:] {
		if uint16(list[0])<<8|uint16(list[1]) == n {
			return true
		}
	}
	return false
}

// A parser takes a structure of TLS apart. The first mistake sticks.
type parser struct {
	rest []byte
	bad  bool
}

// end reports whether all was as it should be, and nothing is left.
func (p *parser) end() bool { return !p.bad && len(p.rest) == 0 }

// more reports whether there is more to parse.
func (p *parser) more() bool { return !p.bad && len(p.rest) != 0 }

func (p *parser) next(n int) []byte {
	if p.bad || n > len(p.rest) {
		p.bad = true
		return nil
	}
	b := p.rest[:n]
	p.rest = p.rest[n:]
	return b
}

func (p *parser) number(width int) int {
	n := 0
	for _, b := range p.next(width) {
		n = n<<8 | int(b)
	}
	return n
}

// is takes a byte that can only be this one.
func (p *parser) is(want int) {
	if p.number(1) != want {
		p.bad = true
	}
}

// vector takes bytes with their number before them.
func (p *parser) vector(width, atLeast int) []byte {
	b := p.next(p.number(width))
	if len(b) < atLeast {
		p.bad = true
	}
	return b
}

// pairs takes a vector of numbers of two bytes.
func (p *parser) pairs(width int) []byte {
	b := p.vector(width, 2)
	if len(b)%2 != 0 {
		p.bad = true
	}
	return b
}

// sub returns a parser of a vector's contents.
func (p *parser) sub(width int) *parser {
	b := p.vector(width, 0)
	return &parser{b, p.bad}
}

func (p *parser) follows(typ byte) bool { return p.more() && p.rest[0] == typ }

// message returns a parser of a handshake message.
func (p *parser) message(typ int) *parser {
	p.is(typ)
	return p.sub(3)
}

// hello takes what both hellos begin with.
func (p *parser) hello() {
	p.is(3)
	p.is(3)
	p.next(randomLen)
	if len(p.vector(1, 0)) > maxSessionID {
		p.bad = true
	}
}

// clientHello returns the cipher suites.
func (p *parser) clientHello() []byte {
	p.hello()
	suites := p.pairs(2)
	p.is(1) // compression method,
	p.is(0) // namely none
	p.extensions()
	return suites
}

// serverHello returns the cipher suite.
func (p *parser) serverHello() uint16 {
	p.hello()
	suite := uint16(p.number(2))
	p.is(0) // no compression
	if p.more() && p.extensions()[supportedVersions] {
		p.bad = true // which is TLS 1.3
	}
	return suite
}

// extensions returns which there are.
func (p *parser) extensions() map[int]bool {
	seen := make(map[int]bool)
	list := p.sub(2)
	for list.more() {
		typ := list.number(2)
		list.vector(2, 0)
		if seen[typ] {
			list.bad = true
		}
		seen[typ] = true
	}
	p.bad = p.bad || list.bad
	return seen
}

// certificates returns the first one.
func (p *parser) certificates() []byte {
	list := p.sub(3)
	first := list.vector(3, 1)
	for list.more() {
		list.vector(3, 1)
	}
	p.bad = p.bad || list.bad
	return first
}

// ecdhe takes the parameters of a ServerKeyExchange.
func (p *parser) ecdhe() ecdh.Curve {
	p.is(namedCurve)
	curve := curves[tls.CurveID(p.number(2))]
	p.point(curve)
	return curve
}

// point takes a point on the curve, which is nil for one that TLS 1.2 lacks.
func (p *parser) point(curve ecdh.Curve) {
	b := p.vector(1, 1)
	if curve == nil {
		p.bad = true
		return
	}
	if _, err := curve.NewPublicKey(b); err != nil {
		p.bad = true
	}
}
