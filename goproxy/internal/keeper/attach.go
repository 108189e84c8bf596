// SPDX-License-Identifier: ISC

package keeper

import (
	"libtls-proxy/goproxy/internal/tlsconf"
	"libtls-proxy/goproxy/internal/wire"
)

// maxAttached bounds the keys that a configuration has for connections.
const maxAttached = 1 << 10

// attachKey adds a key to a configuration of this draft, for the one
// connection whose handshake asked for a certificate.
func (d *draft) attachKey(id uint32, certificate, keyFd int) *wire.AttachKeyReply {
	fail := func(text string) *wire.AttachKeyReply { return &wire.AttachKeyReply{Error: text} }
	if d.last == wire.AppSlot-1 {
		return fail("too many private keys")
	}
	data, err := d.read(certificate)
	if err != nil {
		return fail(readError("failed to read certificate", err))
	}
	chain, err := tlsconf.ParseChain(data)
	if err != nil {
		return fail(err.Error())
	}
	if data, err = d.read(keyFd); err != nil {
		return fail(readError("failed to read private key", err))
	}
	defer d.keeper.collector.wake()
	defer clear(data)
	k := parseKey(data)
	if k.err != nil {
		return fail(k.err.Error())
	}
	if !k.matches(chain.Leaf.PublicKey) {
		return fail(errMismatch.Error())
	}
	k.leaf = chain.Leaf.Raw
	d.last++
	if !d.keeper.attach(id, d.id, d.last, k) {
		return fail("goproxy does not know the configuration any more")
	}
	return &wire.AttachKeyReply{Slot: d.last}
}

func (k *keeper) attach(id, draft, slot uint32, attached *key) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	conf := k.configs[id]
	if conf == nil || conf.draft != draft || conf.attached >= maxAttached {
		return false
	}
	conf.attached++
	conf.keys[slot] = attached
	return true
}

// keyDone forgets a key that was attached.
func (k *keeper) keyDone(m *wire.KeyDone) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	conf := k.configs[m.Config]
	if conf == nil {
		return errWorker
	}
	if conf.keys[m.Slot] != nil && m.Slot > conf.highest {
		delete(conf.keys, m.Slot)
		conf.attached--
	}
	return nil
}
