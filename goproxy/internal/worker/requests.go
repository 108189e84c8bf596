// SPDX-License-Identifier: ISC

package worker

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"libtls-proxy/goproxy/internal/channel"
	"libtls-proxy/goproxy/internal/conn"
	"libtls-proxy/goproxy/internal/tlsconf"
	"libtls-proxy/goproxy/internal/wire"
)

const (
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

type answer struct {
	message wire.Message
	fds     channel.Fds
}

// An asker puts the questions of one connection, one at a time.
type asker struct {
	channel *channel.Conn
	answers chan answer   // closed when none will come
	done    chan struct{} // closed by finish
	last    uint64        // the number of the last question
	config  *config
	address string
	gone    conn.Gone
	// keys are those that the keeper has for this connection alone.
	keys []uint32
}

var _ tlsconf.Decider = (*asker)(nil)

// newAsker takes the descriptor of the request channel over.
func newAsker(c *config, fd int) (*asker, error) {
	ch, err := channel.New(fd)
	if err != nil {
		return nil, err
	}
	// One question has room, unless the application reads nothing.
	ch.StopSending()
	a := &asker{
		channel: ch,
		answers: make(chan answer),
		done:    make(chan struct{}),
		config:  c,
	}
	go a.read()
	return a, nil
}

// read hands answers over.
func (a *asker) read() {
	defer close(a.answers)
	defer a.channel.Close()
	for {
		b, fds, err := a.channel.Recv()
		if errors.Is(err, channel.ErrExhausted) {
			continue
		}
		var m wire.Message
		if err == nil {
			m, err = wire.Decode("library", "requests", b, len(fds))
		}
		if err != nil {
			fds.Close()
			return
		}
		select {
		case a.answers <- answer{m, fds}:
		case <-a.done:
			fds.Close()
			return
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

// ask sends a question, which it gives a number, and waits for the answer.
func (a *asker) ask(set func(request uint64) wire.Message) (answer, error) {
	gone, stop := a.gone()
	defer stop()
	a.last++
	if a.channel.Send(set(a.last)) != nil {
		return answer{}, errChannel
	}
	timer := time.NewTimer(time.Duration(a.config.tls.RequestTimeout()) * time.Millisecond)
	defer timer.Stop()
	var err error
	for err == nil {
		select {
		case got, ok := <-a.answers:
			if !ok {
				return answer{}, errChannel
			}
			if requestOf(got.message) == a.last {
				return got, nil
			}
			got.fds.Close() // it came too late
		case <-timer.C:
			err = errTimeout
		case <-gone:
			err = errCancelled
		}
	}
	_ = a.channel.Send(&wire.Cancel{Request: a.last})
	return answer{}, err
}

// finish gives up what the handshake needed.
func (a *asker) finish() {
	for _, slot := range a.keys {
		_ = a.config.worker.link.Send(&wire.KeyDone{Config: a.config.id, Slot: slot})
	}
	close(a.done)
	a.channel.Close()
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
			Request: request, Config: a.config.id, Servername: q.Servername,
			ALPN: alpn, Schemes: schemes, Versions: versions, Address: a.address,
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
			Request: request, Depth: uint32(depth), Verdict: text, Chain: list,
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
		return &wire.AskStaple{Request: request, Hash: hash}
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
			Request: request, Hash: hash, Scheme: uint16(scheme), Digest: digest,
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
			Request: request, Operation: operation, ID: id,
			Session: ticket, Lifetime: uint32(lifetime / time.Second),
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
