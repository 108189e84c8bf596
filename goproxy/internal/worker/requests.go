// SPDX-License-Identifier: ISC

package worker

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"libtls-proxy/goproxy/internal/channel"
	"libtls-proxy/goproxy/internal/conn"
	"libtls-proxy/goproxy/internal/tlsconf"
	"libtls-proxy/goproxy/internal/wire"
)

const (
	// maxQueued bounds the requests that wait for room in a channel.
	maxQueued = 1024
	// maxContent is what a message has room for beside its other fields.
	maxContent = wire.MaxMessage - 4096
	// maxVerdict bounds a text that may quote what the peer sent.
	maxVerdict = 1024
)

var (
	errTimeout   = tlsconf.Refusal("request timed out")
	errCancelled = errors.New("the application has closed the connection")
	errAnswer    = errors.New("the application gave no usable answer")
	errChannel   = errors.New("the application could not be asked")
	errTooLarge  = errors.New("too large to ask the application about")
)

// requests are the questions to applications that nobody has answered yet.
type requests struct {
	mu       sync.Mutex
	waiting  map[uint64]chan answer
	channels map[inode]*requestChannel
}

type inode struct{ dev, ino uint64 }

type answer struct {
	message wire.Message
	fds     channel.Fds
}

func newRequests() *requests {
	return &requests{
		waiting:  make(map[uint64]chan answer),
		channels: make(map[inode]*requestChannel),
	}
}

// A requestChannel leads to one application. Each connection brings a copy of
// its descriptor; the first one is kept for as long as one of them needs it.
type requestChannel struct {
	requests *requests
	id       inode
	channel  *channel.Conn
	queue    chan question
	done     chan struct{} // closed after the last user
	ended    chan struct{} // closed when no answer will come
	users    int           // under the mutex of requests
}

// A question is a message and the number of its request, 0 for none.
type question struct {
	request uint64
	message wire.Message
}

// open takes a descriptor over.
func (r *requests) open(fd int) (*requestChannel, error) {
	if err := channel.CheckSocket(fd, unix.SOCK_SEQPACKET); err != nil {
		unix.Close(fd)
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return nil, err
	}
	id := inode{uint64(st.Dev), st.Ino}
	r.mu.Lock()
	defer r.mu.Unlock()
	if rc := r.channels[id]; rc != nil {
		unix.Close(fd)
		rc.users++
		return rc, nil
	}
	c, err := channel.New(fd)
	if err != nil {
		return nil, err
	}
	rc := &requestChannel{
		requests: r,
		id:       id,
		channel:  c,
		queue:    make(chan question, maxQueued),
		done:     make(chan struct{}),
		ended:    make(chan struct{}),
		users:    1,
	}
	r.channels[id] = rc
	go rc.write()
	go rc.read()
	return rc, nil
}

// release gives up what open gave.
func (rc *requestChannel) release() {
	r := rc.requests
	r.mu.Lock()
	defer r.mu.Unlock()
	if rc.users--; rc.users > 0 {
		return
	}
	rc.forget()
	close(rc.done)
	rc.channel.StopSending()
}

// forget makes the next connection open the channel anew.
func (rc *requestChannel) forget() {
	if rc.requests.channels[rc.id] == rc {
		delete(rc.requests.channels, rc.id)
	}
}

func (rc *requestChannel) write() {
	defer rc.channel.Close()
	for {
		select {
		case q := <-rc.queue:
			rc.put(q)
		case <-rc.done:
			// Requests that were cancelled.
			for len(rc.queue) > 0 {
				rc.put(<-rc.queue)
			}
			return
		}
	}
}

// put sends a question. While the application reads nothing it waits, and the
// requests time out.
func (rc *requestChannel) put(q question) {
	if rc.channel.Send(q.message) == nil {
		return
	}
	if c := rc.requests.take(q.request); c != nil {
		close(c)
	}
}

// read hands answers to those who wait for them. What nobody waits for came
// too late, or was meant for an earlier worker.
func (rc *requestChannel) read() {
	defer close(rc.ended)
	for {
		b, fds, err := rc.channel.Recv()
		if errors.Is(err, channel.ErrExhausted) {
			continue
		}
		var m wire.Message
		if err == nil {
			m, err = wire.Decode("library", "requests", b, len(fds))
		}
		if err != nil {
			fds.Close()
			rc.requests.mu.Lock()
			rc.forget()
			rc.requests.mu.Unlock()
			rc.channel.Close()
			return
		}
		if c := rc.requests.take(requestOf(m)); c != nil {
			c <- answer{m, fds}
		} else {
			fds.Close()
		}
	}
}

func requestOf(m wire.Message) uint64 {
	switch m := m.(type) {
	case *wire.AskCertificateReply:
		return m.Request
	case *wire.AskVerifyReply:
		return m.Request
	case *wire.AskSessionReply:
		return m.Request
	case *wire.AskStapleReply:
		return m.Request
	case *wire.AskSignReply:
		return m.Request
	}
	return 0
}

// add returns a new number, which cannot be guessed, and where its answer
// comes.
func (r *requests) add() (uint64, chan answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := newNumber(func(n uint64) bool { return r.waiting[n] != nil })
	c := make(chan answer, 1)
	r.waiting[id] = c
	return id, c
}

func (r *requests) take(id uint64) chan answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.waiting[id]
	delete(r.waiting, id)
	return c
}

// An asker puts the questions of one connection.
type asker struct {
	*requestChannel
	config  *config
	context uint64
	address string
	gone    conn.Gone
	// keys are those that the keeper has for this connection alone.
	keys []uint32
}

var _ tlsconf.Decider = (*asker)(nil)

// ask sends a question, which it gives a number, and waits for the answer.
func (a *asker) ask(set func(request uint64) wire.Message) (answer, error) {
	gone, stop := a.gone()
	defer stop()
	id, c := a.requests.add()
	timer := time.NewTimer(time.Duration(a.config.tls.RequestTimeout()) * time.Millisecond)
	defer timer.Stop()
	queue := a.queue
	var err error
	for err == nil {
		select {
		case queue <- question{id, set(id)}:
			queue = nil
		case got, ok := <-c:
			if !ok {
				return answer{}, errChannel
			}
			return got, nil
		case <-timer.C:
			err = errTimeout
		case <-gone:
			err = errCancelled
		case <-a.ended:
			err = errChannel
		}
	}
	if a.requests.take(id) == nil {
		// It came at the last moment.
		got := <-c
		got.fds.Close()
	}
	if queue == nil {
		select {
		case a.queue <- question{0, &wire.Cancel{Request: id}}:
		default:
		}
	}
	return answer{}, err
}

// finish gives up what the handshake needed.
func (a *asker) finish() {
	for _, slot := range a.keys {
		_ = a.config.worker.link.Send(&wire.KeyDone{Config: a.config.id, Slot: slot})
	}
	a.release()
}

func u16s[T ~uint16](values []T) []byte {
	var b []byte
	for _, v := range values {
		b = binary.BigEndian.AppendUint16(b, uint16(v))
	}
	return b
}

func (a *asker) Certificate(q *tlsconf.CertificateQuestion) (tlsconf.CertificateAnswer, error) {
	var none tlsconf.CertificateAnswer
	var alpn []byte
	for _, name := range q.ALPN {
		alpn = append(append(alpn, byte(len(name))), name...)
	}
	schemes, versions := u16s(q.Schemes), u16s(q.Versions)
	if len(alpn)+len(schemes)+len(versions)+len(q.Servername) > maxContent {
		return none, errTooLarge
	}
	got, err := a.ask(func(request uint64) wire.Message {
		return &wire.AskCertificate{
			Request: request, Context: a.context, Config: a.config.id,
			Servername: q.Servername, ALPN: alpn, Schemes: schemes,
			Versions: versions, Address: a.address,
		}
	})
	if err != nil {
		return none, err
	}
	defer got.fds.Close()
	m, ok := got.message.(*wire.AskCertificateReply)
	if !ok || (m.Action == wire.CertificateNew) != (len(got.fds) == 1) {
		return none, errAnswer
	}
	switch m.Action {
	case wire.CertificateDefault:
		return none, nil
	case wire.CertificatePair:
		return tlsconf.CertificateAnswer{Known: true, Pair: m.Number}, nil
	case wire.CertificateNew:
		return a.newPair(m.Number, got.fds[0])
	case wire.CertificateRefuse:
		return none, tlsconf.Refusal(m.Error)
	}
	return none, errAnswer
}

// newPair takes a certificate whose key the keeper has already.
func (a *asker) newPair(slot uint32, certificate int) (tlsconf.CertificateAnswer, error) {
	a.keys = append(a.keys, slot)
	data, err := readFile(certificate, wire.MaxKey)
	if err != nil {
		return tlsconf.CertificateAnswer{}, err
	}
	chain, err := tlsconf.ParseChain(data)
	if err != nil {
		return tlsconf.CertificateAnswer{}, err
	}
	return tlsconf.CertificateAnswer{
		Chain: chain,
		Key:   &signer{a.config.worker.signatures, a.config.id, slot, chain.Leaf.PublicKey},
	}, nil
}

// verdictText makes a text fit for a message.
func verdictText(verdict error) string {
	if verdict == nil {
		return ""
	}
	text := strings.ReplaceAll(verdict.Error(), "\x00", "?")
	return text[:min(len(text), maxVerdict)]
}

func (a *asker) Verify(depth int, verdict error, chain [][]byte) error {
	var list []byte
	for _, der := range chain {
		list = binary.BigEndian.AppendUint32(list, uint32(len(der)))
		list = append(list, der...)
	}
	if len(list) > maxContent {
		return errTooLarge
	}
	text := verdictText(verdict)
	got, err := a.ask(func(request uint64) wire.Message {
		return &wire.AskVerify{
			Request: request, Context: a.context,
			Depth: uint32(depth), Verdict: text, Chain: list,
		}
	})
	if err != nil {
		return err
	}
	m, ok := got.message.(*wire.AskVerifyReply)
	switch {
	case !ok:
		return errAnswer
	case m.Error == "":
		return nil
	case m.Error == text:
		return verdict
	}
	return tlsconf.Refusal(m.Error)
}

func (a *asker) Staple(hash string) ([]byte, bool, error) {
	got, err := a.ask(func(request uint64) wire.Message {
		return &wire.AskStaple{Request: request, Context: a.context, Hash: hash}
	})
	if err != nil {
		return nil, false, err
	}
	m, ok := got.message.(*wire.AskStapleReply)
	if !ok || m.Action > 1 {
		return nil, false, errAnswer
	}
	return m.Response, m.Action == 1, nil
}

func (a *asker) Sign(hash string, scheme tls.SignatureScheme, digest []byte) ([]byte, error) {
	got, err := a.ask(func(request uint64) wire.Message {
		return &wire.AskSign{
			Request: request, Context: a.context,
			Hash: hash, Scheme: uint16(scheme), Digest: digest,
		}
	})
	if err != nil {
		return nil, err
	}
	m, ok := got.message.(*wire.AskSignReply)
	if !ok {
		return nil, errAnswer
	}
	if len(m.Signature) == 0 {
		return nil, errors.New("the application did not sign")
	}
	return m.Signature, nil
}

func (a *asker) askSession(operation uint8, id, ticket []byte, lifetime time.Duration) (*wire.AskSessionReply, bool) {
	got, err := a.ask(func(request uint64) wire.Message {
		return &wire.AskSession{
			Request: request, Context: a.context, Operation: operation,
			ID: id, Session: ticket, Lifetime: uint32(lifetime / time.Second),
		}
	})
	if err != nil {
		return nil, false
	}
	m, ok := got.message.(*wire.AskSessionReply)
	return m, ok
}

// StoreSession waits for the answer, so that the client finds the session as
// soon as it has heard of it.
func (a *asker) StoreSession(id, ticket []byte, lifetime time.Duration) {
	if len(ticket) <= maxContent {
		a.askSession(wire.SessionStore, id, ticket, lifetime)
	}
}

func (a *asker) LookupSession(id []byte) []byte {
	m, ok := a.askSession(wire.SessionLookup, id, nil, 0)
	if !ok || len(m.Session) == 0 {
		return nil
	}
	return m.Session
}

func (a *asker) RemoveSession(id []byte) { a.askSession(wire.SessionRemove, id, nil, 0) }
