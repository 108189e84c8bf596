// SPDX-License-Identifier: ISC

package session

import (
	"bytes"
	"crypto/tls"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"runtime"
	"sync"
)

// ErrParse is the refusal of a session file.
var ErrParse = errors.New("failed to parse session")

const (
	blockType = "LIBTLS-PROXY SESSION"
	// libreSSLType is the block that libtls writes.
	libreSSLType = "SSL SESSION PARAMETERS"
)

// A file is what is in the block. The state is in a format of crypto/tls's own
// that may change with every release of Go.
type file struct {
	Go            string `asn1:"utf8"`
	Ticket, State []byte
}

// format returns the contents of a session file, nil if the session has no
// ticket to resume it by.
func format(s *tls.ClientSessionState) ([]byte, error) {
	ticket, state, err := s.ResumptionState()
	if err != nil || len(ticket) == 0 {
		return nil, err
	}
	b, err := state.Bytes()
	if err != nil {
		return nil, err
	}
	defer clear(b)
	der, err := asn1.Marshal(file{runtime.Version(), ticket, b})
	if err != nil {
		return nil, err
	}
	defer clear(der)
	return pem.EncodeToMemory(&pem.Block{Type: blockType, Bytes: der}), nil
}

// Parse reads a session file. A file that is empty, libtls's or another
// version's has no session, which is no error.
func Parse(data []byte) (*tls.ClientSessionState, error) {
	if len(data) == 0 {
		return nil, nil
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, ErrParse
	}
	defer clear(block.Bytes)
	switch block.Type {
	case libreSSLType:
		return nil, nil
	case blockType:
	default:
		return nil, ErrParse
	}
	// Nobody but us writes such a block, so there is one way to write it.
	again := pem.EncodeToMemory(&pem.Block{Type: blockType, Bytes: block.Bytes})
	defer clear(again)
	if !bytes.Equal(data, again) {
		return nil, ErrParse
	}
	var f file
	rest, err := asn1.Unmarshal(block.Bytes, &f)
	if err != nil || len(rest) != 0 || f.Go != runtime.Version() || len(f.Ticket) == 0 {
		return nil, nil
	}
	// A server's session instead of a client's makes crypto/tls panic for
	// want of a certificate, and there is no other way to tell them apart.
	const typeOffset, client = 2, 2
	if len(f.State) <= typeOffset || f.State[typeOffset] != client {
		return nil, nil
	}
	state, err := tls.ParseSessionState(f.State)
	if err != nil {
		return nil, nil
	}
	return tls.NewResumptionState(f.Ticket, state)
}

// A Cache is the tls.ClientSessionCache of a connection with a session file.
// Whom a session is with is the application's business, as in libtls.
type Cache struct {
	changed func(file []byte)

	mu    sync.Mutex
	state *tls.ClientSessionState
}

// NewCache returns a cache with what Parse returned. Whenever the server gives
// a new session, changed gets what the file shall contain from then on. It is
// called by whoever shakes hands or reads.
func NewCache(state *tls.ClientSessionState, changed func(file []byte)) *Cache {
	return &Cache{changed: changed, state: state}
}

// Get implements tls.ClientSessionCache.
func (c *Cache) Get(string) (*tls.ClientSessionState, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state, c.state != nil
}

// Put implements tls.ClientSessionCache.
func (c *Cache) Put(_ string, state *tls.ClientSessionState) {
	if state == nil {
		// It is expired or was of no use. The file stays until there
		// is something better.
		c.set(nil)
		return
	}
	b, err := format(state)
	if err != nil || b == nil {
		// A server of TLS 1.2 may change its mind and give an empty
		// ticket: what was there before is still good.
		return
	}
	c.set(state)
	c.changed(b)
}

func (c *Cache) set(state *tls.ClientSessionState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = state
}
