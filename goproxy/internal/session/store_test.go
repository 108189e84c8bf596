// SPDX-License-Identifier: ISC

package session

import (
	"bytes"
	"crypto/tls"
	"testing"
	"time"
)

// A shelf is a store in memory.
type shelf struct {
	tickets                   map[string][]byte
	stored, lookedUp, removed int
	lifetime                  time.Duration
}

func (s *shelf) StoreSession(id, ticket []byte, lifetime time.Duration) {
	s.stored++
	s.lifetime = lifetime
	if s.tickets == nil {
		s.tickets = make(map[string][]byte)
	}
	s.tickets[string(id)] = bytes.Clone(ticket)
}

func (s *shelf) LookupSession(id []byte) []byte {
	s.lookedUp++
	return s.tickets[string(id)]
}

func (s *shelf) RemoveSession(id []byte) {
	s.removed++
	delete(s.tickets, string(id))
}

// only returns the one session that is there.
func (s *shelf) only(t *testing.T) (id string, ticket []byte) {
	t.Helper()
	if len(s.tickets) != 1 {
		t.Fatalf("%d sessions", len(s.tickets))
	}
	for id, ticket = range s.tickets {
	}
	return id, ticket
}

func TestStore(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *world) {
		key := testKey(1, w.now())
		s := &shelf{}
		w.store = s
		defer func() { w.store = nil }()
		first := w.mustConnect(t, w.tickets(key), nil, false)
		id, ticket := s.only(t)
		if s.stored != 1 || s.lookedUp != 0 || s.lifetime != lifetime || len(id) != idSize {
			t.Errorf("%+v", s)
		}
		// The client has the name and not the ticket, the store has no
		// secret.
		f := fromFile(t, first.file)
		if string(f.Ticket) != id {
			t.Errorf("the client has %x instead of %x", f.Ticket, id)
		}
		state, created := w.tickets(key).unwrap(ticket)
		if state == nil || created.IsZero() {
			t.Fatal("what is in the store is no ticket")
		}

		// A server that has only the keys and the store.
		w.mustConnect(t, w.tickets(key), first.file, true)
		if s.lookedUp != 1 || s.removed != 0 {
			t.Errorf("%+v", s)
		}
		// Without the store it does a full handshake.
		w.store = nil
		w.mustConnect(t, w.tickets(key), first.file, false)
		w.store = s
		// What a server without a store gave out is good with one.
		w.store = nil
		direct := w.mustConnect(t, w.tickets(key), nil, false)
		w.store = s
		w.mustConnect(t, w.tickets(key), direct.file, true)
		if s.lookedUp != 1 {
			t.Error("a ticket was looked up")
		}

		for _, tt := range []struct {
			name    string
			content []byte
			key     Key
			removed int
		}{
			{"gone", nil, key, 0},
			{"empty", []byte{}, key, 1},
			{"garbage", []byte("garbage"), key, 1},
			{"changed", append(bytes.Clone(ticket[:len(ticket)-1]), ^ticket[len(ticket)-1]), key, 1},
			{"another key's", ticket, testKey(2, w.now()), 1},
		} {
			s.removed = 0
			s.tickets = map[string][]byte{}
			if tt.content != nil {
				s.tickets[id] = tt.content
			}
			w.mustConnect(t, w.tickets(tt.key), first.file, false)
			if s.removed != tt.removed || s.tickets[id] != nil {
				t.Errorf("%s: %d removed", tt.name, s.removed)
			}
		}
		// The name is no key to another session's secrets.
		s.tickets = map[string][]byte{}
		other := w.mustConnect(t, w.tickets(key), nil, false)
		_, s.tickets[id] = s.only(t)
		o := w.connect(t, w.tickets(key), first.file)
		if o.clientError == nil && o.serverError == nil && o.resumed {
			t.Error("resumed with the secrets of another session")
		}
		w.mustConnect(t, w.tickets(key), other.file, true)
	})
}

// A client may offer many names in one handshake, and no more than one of them
// is a question.
func TestStoreAskedOnce(t *testing.T) {
	s := &shelf{tickets: map[string][]byte{}}
	var c tls.Config
	NewTickets([ContextSize]byte{}, lifetime, time.Now).Attach(&c, s)
	for i := range 5 {
		id := bytes.Repeat([]byte{byte(i)}, idSize)
		s.tickets[string(id)] = []byte("garbage")
		if state, err := c.UnwrapSession(id, tls.ConnectionState{}); state != nil || err != nil {
			t.Errorf("%v, %v", state, err)
		}
	}
	if s.lookedUp != 1 || s.removed != 1 {
		t.Errorf("%+v", s)
	}
}

func TestStoredSessionAges(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *world) {
		s := &shelf{}
		w.store = s
		key := testKey(1, w.now().Add(lifetime))
		first := w.mustConnect(t, w.tickets(key), nil, false)
		w.clock.move(lifetime + time.Second)
		w.mustConnect(t, w.tickets(key), first.file, false)
		if s.removed != 1 {
			t.Errorf("%d removed", s.removed)
		}
	})
}
