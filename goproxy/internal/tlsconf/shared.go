// SPDX-License-Identifier: ISC

package tlsconf

import (
	"io"
	"sync"
	"time"

	"libtls-proxy/goproxy/internal/session"
	"libtls-proxy/goproxy/internal/verify"
)

// Shared is what the configurations of a worker have in common.
type Shared struct {
	CAs     *verify.CACache
	Tickets *TicketCache
	// KeyLog is as in tls.Config. An error of it fails the handshake.
	KeyLog io.Writer
	// Draft is the draft that a configuration was committed from.
	Draft uint32
}

// A TicketCache lets the configurations of one draft, which are snapshots of
// one struct tls_config, resume each other's sessions: libtls keeps the keys
// that it makes itself there. The zero value is ready.
type TicketCache struct {
	mu sync.Mutex
	m  map[ticketsID]*sharedTickets
}

type ticketsID struct {
	draft    uint32
	context  [session.ContextSize]byte
	lifetime time.Duration
}

type sharedTickets struct {
	tickets *session.Tickets
	refs    int
}

// get returns the tickets and a function that gives them back.
func (c *TicketCache) get(id ticketsID) (*session.Tickets, func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.m[id]
	if e == nil {
		e = &sharedTickets{tickets: session.NewTickets(id.context, id.lifetime, time.Now)}
		if c.m == nil {
			c.m = make(map[ticketsID]*sharedTickets)
		}
		c.m[id] = e
	}
	e.refs++
	return e.tickets, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if e.refs--; e.refs == 0 {
			delete(c.m, id)
		}
	}
}
