// SPDX-License-Identifier: ISC

package session

import (
	"crypto/rand"
	"time"
)

// A Store keeps sealed tickets elsewhere, under names that the client gets
// instead. It sees no session's secrets.
type Store interface {
	// StoreSession need not succeed: without it the client does a full
	// handshake the next time.
	StoreSession(id, ticket []byte, lifetime time.Duration)
	// LookupSession returns nil for what is not there.
	LookupSession(id []byte) (ticket []byte)
	// RemoveSession tells of a session that is of no use any more.
	RemoveSession(id []byte)
}

// idSize is the length of a name, which is that of a TLS session id.
const idSize = 32

// put stores a ticket and returns its name.
func (t *Tickets) put(s Store, ticket []byte) []byte {
	id := make([]byte, idSize)
	rand.Read(id)
	t.mu.Lock()
	lifetime := t.lifetime
	t.mu.Unlock()
	s.StoreSession(id, ticket, lifetime)
	return id
}
