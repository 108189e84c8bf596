// SPDX-License-Identifier: ISC

package conn

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"libtls-proxy/goproxy/internal/wire"
)

const (
	// maxCauses is how many causes of failures are told apart, and maxCause
	// the length of one: the peer may have a say in the text.
	maxCauses   = 32
	maxCause    = 160
	otherCauses = "other causes"
	// maxServername is the length of a name in a report, which the peer may
	// have chosen.
	maxServername = 255
)

// A Tally counts how the handshakes and connections of a worker went.
type Tally struct {
	mu                                sync.Mutex
	nfull, nresumed, nfailed, nbroken uint64
	causes                            map[string]uint64
}

func (t *Tally) shaken(resumed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if resumed {
		t.nresumed++
	} else {
		t.nfull++
	}
}

func (t *Tally) failed(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.nfailed++
	t.cause(text)
}

func (t *Tally) broken(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.nbroken++
	t.cause(text)
}

func (t *Tally) cause(text string) {
	text = cut(text, maxCause)
	if t.causes == nil {
		t.causes = make(map[string]uint64)
	}
	if _, known := t.causes[text]; !known && len(t.causes) >= maxCauses {
		text = otherCauses
	}
	t.causes[text]++
}

func cut(text string, n int) string {
	return strings.ToValidUTF8(text[:min(len(text), n)], "")
}

// State returns the counts, and the causes of the failures.
func (t *Tally) State() (*wire.WorkerState, []*wire.FailureState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	causes := make([]*wire.FailureState, 0, len(t.causes))
	for text, n := range t.causes {
		causes = append(causes, &wire.FailureState{Cause: text, Count: n})
	}
	m := &wire.WorkerState{
		Full: t.nfull, Resumed: t.nresumed, Failed: t.nfailed, Broken: t.nbroken,
		Causes: uint32(len(causes)),
	}
	return m, causes
}

// A meter is what can be told of a connection while it goes on.
type meter struct {
	begun time.Time
	// Bytes of plaintext, from the peer and to it.
	bytesIn, bytesOut atomic.Uint64
	facts             atomic.Pointer[facts]
}

// facts are those of ESTABLISHED that are told of a connection.
type facts struct {
	version, cipher, alpn, servername, commonName string
	resumed                                       uint8
}

func (t *meter) note(m *wire.Established) {
	t.facts.Store(&facts{m.Version, m.Cipher, m.ALPN, cut(m.Servername, maxServername), m.CommonName, m.Resumed})
}

// state returns what a report says of the connection, but for its network.
func (c *common) state() *wire.ConnectionState {
	m := &wire.ConnectionState{
		Role:     wire.RoleClient,
		Age:      uint64(time.Since(c.begun).Milliseconds()),
		Received: c.bytesIn.Load(),
		Sent:     c.bytesOut.Load(),
	}
	if c.server {
		m.Role = wire.RoleServer
	}
	f := c.facts.Load()
	if f == nil {
		m.State = wire.StateHandshake
		m.Servername = cut(c.servername, maxServername)
		return m
	}
	m.State = c.Ending().Code
	m.Version, m.Cipher, m.ALPN = f.version, f.cipher, f.alpn
	m.Servername, m.CommonName, m.Resumed = f.servername, f.commonName, f.resumed
	return m
}

// State returns what a report says of the connection.
func (c *Conn) State() *wire.ConnectionState {
	m := c.state()
	// Unless it has ended meanwhile.
	_ = c.transport.in.raw.Control(func(fd uintptr) { m.Address = peerAddress(int(fd)) })
	return m
}

// State returns what a report says of the connection.
func (e *Engine) State() *wire.ConnectionState {
	m := e.state()
	m.Transport = wire.TransportEngine
	return m
}
