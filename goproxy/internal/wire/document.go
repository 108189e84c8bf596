// SPDX-License-Identifier: ISC

package wire

import (
	"errors"
	"fmt"
)

// A Live is the part of a configuration that can change.
type Live struct {
	Staples    []*Staple
	TicketKeys []*TicketKey
	ALPN       *ALPN // only in an update
}

// DecodeDocument decodes the document of a configuration: settings, then key
// pairs, then what can change.
func DecodeDocument(b []byte) (*Settings, []*Keypair, *Live, error) {
	var d document
	if err := d.decode(b); err != nil {
		return nil, nil, nil, err
	}
	if d.settings == nil {
		return nil, nil, nil, errors.New("wire: document without SETTINGS")
	}
	if err := d.live.Check(len(d.pairs)); err != nil {
		return nil, nil, nil, err
	}
	return d.settings, d.pairs, &d.live, nil
}

// Check compares with the number of pairs that a configuration has.
func (l *Live) Check(pairs int) error {
	for _, s := range l.Staples {
		if uint64(s.Pair) >= uint64(pairs) {
			return fmt.Errorf("wire: STAPLE for pair %d of %d", s.Pair, pairs)
		}
	}
	return nil
}

// DecodeUpdate decodes the document of an update. Whether there is a pair for
// each staple is for the caller to see.
func DecodeUpdate(b []byte) (*Live, error) {
	var d document
	if err := d.decode(b); err != nil {
		return nil, err
	}
	if d.settings != nil {
		return nil, errors.New("wire: update with SETTINGS")
	}
	return &d.live, nil
}

type document struct {
	settings *Settings
	pairs    []*Keypair
	live     Live
	stapled  map[uint32]bool
}

func (d *document) decode(b []byte) error {
	if len(b) > MaxDocument {
		return errTooLong
	}
	for len(b) > 0 {
		c := decoder{buf: b}
		var frame []byte
		c.bytes("frame", &frame)
		if c.err != nil {
			return c.err
		}
		b = c.buf
		m, err := Decode("library", "document", frame, 0)
		if err != nil {
			return err
		}
		if err := d.add(m); err != nil {
			return err
		}
	}
	return nil
}

func (d *document) add(m Message) error {
	changes := len(d.live.Staples)+len(d.live.TicketKeys) != 0
	switch m := m.(type) {
	case *Settings:
		if d.settings != nil {
			return errors.New("wire: document with two SETTINGS")
		}
		if changes {
			return errors.New("wire: SETTINGS after STAPLE or TICKET_KEY")
		}
		d.settings = m
		return m.check()
	case *Keypair:
		if d.settings == nil {
			return errors.New("wire: KEYPAIR before SETTINGS")
		}
		if changes {
			return errors.New("wire: KEYPAIR after STAPLE or TICKET_KEY")
		}
		d.pairs = append(d.pairs, m)
	case *ALPN:
		if d.settings != nil || d.live.ALPN != nil {
			return errors.New("wire: ALPN does not belong here")
		}
		d.live.ALPN = m
	case *Staple:
		if d.stapled[m.Pair] {
			return fmt.Errorf("wire: two STAPLE for pair %d", m.Pair)
		}
		if d.stapled == nil {
			d.stapled = make(map[uint32]bool)
		}
		d.stapled[m.Pair] = true
		d.live.Staples = append(d.live.Staples, m)
	case *TicketKey:
		if len(d.live.TicketKeys) == MaxTicketKeys {
			return errors.New("wire: too many ticket keys")
		}
		if len(m.Key) != TicketKeySize {
			return fmt.Errorf("wire: ticket key of %d bytes", len(m.Key))
		}
		for _, k := range d.live.TicketKeys {
			if k.Revision == m.Revision {
				return errors.New("wire: two TICKET_KEY of a revision")
			}
		}
		d.live.TicketKeys = append(d.live.TicketKeys, m)
	}
	return nil
}

func (m *Settings) check() error {
	if m.Role != RoleClient && m.Role != RoleServer {
		return fmt.Errorf("wire: unknown role %d", m.Role)
	}
	if m.VerifyClient > ClientCertOptional {
		return fmt.Errorf("wire: unknown verify_client %d", m.VerifyClient)
	}
	if m.PreferClient > 1 || m.CheckCRL > 1 {
		return errors.New("wire: a switch is neither on nor off")
	}
	if len(m.Ciphers)%2 != 0 || len(m.Groups)%2 != 0 {
		return errors.New("wire: half a number among ciphers or groups")
	}
	if len(m.SessionID) != SessionIDSize && (len(m.SessionID) != 0 || m.SessionLifetime != 0) {
		return fmt.Errorf("wire: session id of %d bytes", len(m.SessionID))
	}
	return nil
}
