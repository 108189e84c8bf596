// SPDX-License-Identifier: ISC

// Package session resumes TLS sessions: a server's by tickets that whoever has
// the same keys can read, a client's by a file.
package session

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"sync"
	"time"
)

const (
	// ContextSize is the size of a session id context.
	ContextSize = 32
	// KeySize is the size of what tls_config_add_ticket_key(3) takes.
	KeySize = aesSize + macSize
	// MaxKeys is how many keys there can be.
	MaxKeys = 4
)

const (
	nameSize = 16
	aesSize  = 32
	macSize  = 16
	overhead = nameSize + aes.BlockSize + sha256.Size
)

// maxTicket leaves room for the rest of the ClientHello that a ticket comes
// back in: a client with too large a ticket could not connect any more.
const maxTicket = 1 << 15

// A Key is a ticket key of the application's.
type Key struct {
	Rev   uint32
	Key   [KeySize]byte
	Added time.Time
}

// key is a ticket key as it is used.
type key struct {
	name  [nameSize]byte
	aes   [aesSize]byte
	mac   [macSize]byte
	added time.Time
}

func newKey(k Key) key {
	n := key{added: k.Added}
	binary.BigEndian.PutUint32(n.name[:], k.Rev)
	copy(n.aes[:], k.Key[:aesSize])
	copy(n.mac[:], k.Key[aesSize:])
	return n
}

// Tickets are those of a server configuration. The rules are libtls's: a key
// seals and opens tickets until it is older than the lifetime, the newest one
// seals, and without keys of the application's there is a new one whenever
// three quarters of the lifetime have passed.
type Tickets struct {
	context [ContextSize]byte
	now     func() time.Time

	mu       sync.Mutex
	lifetime time.Duration
	given    []key // the application's, newest first
	own      []key // ours, newest first
	rev      uint32
}

// NewTickets returns tickets for a session id context. Without a lifetime
// there are none. The clock is time.Now but for tests.
func NewTickets(context [ContextSize]byte, lifetime time.Duration, now func() time.Time) *Tickets {
	t := &Tickets{context: context, now: now, lifetime: lifetime}
	var rev [4]byte
	rand.Read(rev[:])
	t.rev = binary.BigEndian.Uint32(rev[:])
	return t
}

// SetKeys replaces the application's keys, the newest of which comes first.
// Connections that are there already are concerned, too.
func (t *Tickets) SetKeys(keys []Key) error {
	if len(keys) > MaxKeys {
		return errors.New("too many ticket keys")
	}
	given := make([]key, len(keys))
	for i, k := range keys {
		given[i] = newKey(k)
		for _, other := range given[:i] {
			if other.name == given[i].name {
				return errors.New("ticket key already present")
			}
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.given)
	t.given = given
	return nil
}

// SetLifetime changes the lifetime of keys and sessions, old ones included.
func (t *Tickets) SetLifetime(lifetime time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lifetime = lifetime
}

// keys returns copies of the keys that are not too old, newest first.
func (t *Tickets) keys() []key {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	if len(t.given) == 0 && (len(t.own) == 0 || now.Sub(t.own[0].added) > t.lifetime/4*3) {
		t.rekey(now)
	}
	usable := make([]key, 0, MaxKeys)
	for _, list := range [][]key{t.given, t.own} {
		for _, k := range list {
			if len(usable) < MaxKeys && now.Sub(k.added) <= t.lifetime {
				usable = append(usable, k)
			}
		}
	}
	return usable
}

func (t *Tickets) rekey(now time.Time) {
	k := Key{Rev: t.rev, Added: now}
	rand.Read(k.Key[:])
	t.rev++
	t.own = append([]key{newKey(k)}, t.own[:min(len(t.own), MaxKeys-1)]...)
}

// Attach makes a server's connection use the tickets. The configuration must
// be this connection's alone: what was resumed decides how long the ticket
// that replaces it is good for. With a store the tickets go there, where the
// first is looked for that a client offers: each may take the application long.
func (t *Tickets) Attach(c *tls.Config, store Store) {
	t.mu.Lock()
	c.SessionTicketsDisabled = t.lifetime <= 0
	t.mu.Unlock()
	// crypto/tls resumes the last session that it was given, or none.
	var created time.Time
	asked := false
	c.UnwrapSession = func(ticket []byte, _ tls.ConnectionState) (*tls.SessionState, error) {
		var id []byte
		if store != nil && len(ticket) == idSize {
			if asked {
				return nil, nil
			}
			asked = true
			id = bytes.Clone(ticket)
			ticket = store.LookupSession(id)
		}
		state, at := t.unwrap(ticket)
		if state != nil {
			created = at
		} else if id != nil && ticket != nil {
			store.RemoveSession(id)
		}
		return state, nil
	}
	c.WrapSession = func(cs tls.ConnectionState, state *tls.SessionState) ([]byte, error) {
		if !cs.DidResume {
			created = t.now()
		}
		ticket, err := t.wrap(state, created)
		if err == nil && store != nil {
			ticket = t.put(store, ticket)
		}
		return ticket, err
	}
}

// wrap returns a ticket. Once crypto/tls has asked for one there is no way to
// have none: where there is nothing to put into it, or no key, it is one that
// nobody can read.
func (t *Tickets) wrap(state *tls.SessionState, created time.Time) ([]byte, error) {
	state.Extra = append(state.Extra, t.extra(created))
	plain, err := state.Bytes()
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	keys := t.keys()
	defer clear(keys)
	if len(keys) == 0 || overhead+len(plain)+aes.BlockSize > maxTicket {
		useless := make([]byte, overhead+aes.BlockSize)
		rand.Read(useless)
		return useless, nil
	}
	var iv [aes.BlockSize]byte
	rand.Read(iv[:])
	return keys[0].seal(iv[:], plain)
}

// unwrap returns the session in a ticket and when it was new, or nil.
func (t *Tickets) unwrap(ticket []byte) (*tls.SessionState, time.Time) {
	if len(ticket) < nameSize {
		return nil, time.Time{}
	}
	keys := t.keys()
	defer clear(keys)
	for i := range keys {
		if !bytes.Equal(keys[i].name[:], ticket[:nameSize]) {
			continue
		}
		plain := keys[i].open(ticket)
		state, created := t.parse(plain)
		if state == nil {
			// Otherwise it shares the memory.
			clear(plain)
		}
		return state, created
	}
	return nil, time.Time{}
}

func (t *Tickets) parse(plain []byte) (*tls.SessionState, time.Time) {
	// What others seal with the same keys is in other formats.
	state, err := tls.ParseSessionState(plain)
	if err != nil {
		return nil, time.Time{}
	}
	created, ok := t.created(state.Extra)
	if !ok {
		return nil, time.Time{}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.now().Sub(created) > t.lifetime {
		return nil, time.Time{}
	}
	return state, created
}

// extraMagic begins what crypto/tls keeps for us in a session. The context
// and the seconds since 1970 follow.
const extraMagic = "libtls-proxy session 1\x00"

func (t *Tickets) extra(created time.Time) []byte {
	b := append([]byte(extraMagic), t.context[:]...)
	return binary.BigEndian.AppendUint64(b, uint64(created.Unix()))
}

// created reports when a session of this context was new.
func (t *Tickets) created(extra [][]byte) (time.Time, bool) {
	prefix := append([]byte(extraMagic), t.context[:]...)
	for _, b := range extra {
		b, ok := bytes.CutPrefix(b, prefix)
		if ok && len(b) == 8 {
			return time.Unix(int64(binary.BigEndian.Uint64(b)), 0), true
		}
	}
	return time.Time{}, false
}

// seal returns a ticket in RFC 5077's layout as libssl has it: name, IV, the
// state in AES-256-CBC, HMAC-SHA256 of all that.
func (k *key) seal(iv, plain []byte) ([]byte, error) {
	block, err := aes.NewCipher(k.aes[:])
	if err != nil {
		return nil, err
	}
	pad := aes.BlockSize - len(plain)%aes.BlockSize
	ticket := make([]byte, 0, overhead+len(plain)+pad)
	ticket = append(ticket, k.name[:]...)
	ticket = append(ticket, iv...)
	start := len(ticket)
	ticket = append(ticket, plain...)
	ticket = append(ticket, bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(ticket[start:], ticket[start:])
	return append(ticket, k.sum(ticket)...), nil
}

// open returns what is in a ticket, nil if this key did not seal it.
func (k *key) open(ticket []byte) []byte {
	body := len(ticket) - overhead
	if body < aes.BlockSize || body%aes.BlockSize != 0 {
		return nil
	}
	sealed, sum := ticket[:len(ticket)-sha256.Size], ticket[len(ticket)-sha256.Size:]
	if !hmac.Equal(sum, k.sum(sealed)) {
		return nil
	}
	block, err := aes.NewCipher(k.aes[:])
	if err != nil {
		return nil
	}
	iv := sealed[nameSize : nameSize+aes.BlockSize]
	plain := make([]byte, body)
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, sealed[nameSize+aes.BlockSize:])
	// Only who has the key gets here, so the padding is nobody's oracle.
	pad := int(plain[body-1])
	if pad < 1 || pad > aes.BlockSize {
		return nil
	}
	return plain[:body-pad]
}

func (k *key) sum(b []byte) []byte {
	h := hmac.New(sha256.New, k.mac[:])
	h.Write(b)
	return h.Sum(nil)
}
