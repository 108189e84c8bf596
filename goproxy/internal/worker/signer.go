// SPDX-License-Identifier: ISC

package worker

import (
	"crypto"
	"errors"
	"io"
	"sync"

	"libtls-proxy/goproxy/internal/channel"
	"libtls-proxy/goproxy/internal/tlsconf"
	"libtls-proxy/goproxy/internal/wire"
)

// maxPending is less than what the keeper takes.
const maxPending = 512

// signatures asks the keeper for signatures, many at a time.
type signatures struct {
	link  *channel.Conn
	slots chan struct{}

	mu      sync.Mutex
	last    uint64
	waiting map[uint64]chan *wire.SignReply
}

func newSignatures(link *channel.Conn) *signatures {
	return &signatures{
		link:    link,
		slots:   make(chan struct{}, maxPending),
		waiting: make(map[uint64]chan *wire.SignReply),
	}
}

func (s *signatures) ask(m *wire.Sign) ([]byte, error) {
	s.slots <- struct{}{}
	defer func() { <-s.slots }()
	answer := make(chan *wire.SignReply, 1)
	s.mu.Lock()
	s.last++
	m.Request = s.last
	s.waiting[m.Request] = answer
	s.mu.Unlock()
	if err := s.link.Send(m); err != nil {
		s.mu.Lock()
		delete(s.waiting, m.Request)
		s.mu.Unlock()
		return nil, err
	}
	// No answer means that the keeper died, and the worker with it.
	reply := <-answer
	if reply.Error != "" {
		return nil, errors.New(reply.Error)
	}
	return reply.Signature, nil
}

// answer hands a reply to who waits for it, and reports whether somebody did.
func (s *signatures) answer(m *wire.SignReply) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.waiting[m.Request]
	if c == nil {
		return false
	}
	delete(s.waiting, m.Request)
	c <- m
	return true
}

// A signer is a private key that the keeper holds.
type signer struct {
	signatures *signatures
	config     uint32
	slot       uint32
	public     crypto.PublicKey
}

var _ crypto.MessageSigner = (*signer)(nil)

func (s *signer) Public() crypto.PublicKey { return s.public }

var errDigest = errors.New("goproxy signs no digests")

// Sign is not used by crypto/tls, which prefers SignMessage.
func (s *signer) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errDigest
}

func (s *signer) SignMessage(_ io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	scheme, ok := tlsconf.SchemeOf(s.public, opts)
	if !ok {
		return nil, errors.New("no signature scheme for this key")
	}
	return s.signatures.ask(&wire.Sign{
		Config:  s.config,
		Slot:    s.slot,
		Scheme:  uint16(scheme),
		Message: message,
	})
}
