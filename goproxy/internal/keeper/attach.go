// SPDX-License-Identifier: ISC

package keeper

import (
	"maps"
	"slices"

	"libtls-proxy/goproxy/internal/tlsconf"
	"libtls-proxy/goproxy/internal/wire"
)

// maxAttached bounds the keys that a configuration has for connections. One
// whose answer came too late for its connection is nobody's any more; it makes
// room for later ones.
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
	if conf == nil || conf.draft != draft {
		return false
	}
	if conf.attached == nil {
		conf.attached = make(map[uint32]*key)
	}
	if len(conf.attached) == maxAttached {
		// The oldest one makes room.
		delete(conf.attached, slices.Min(slices.Collect(maps.Keys(conf.attached))))
	}
	conf.attached[slot] = attached
	return true
}

// detach forgets a key that was attached.
func (k *keeper) detach(conf *config, slot uint32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(conf.attached, slot)
}

// detachAll does so where the connections have gone with their worker.
func (k *keeper) detachAll(conf *config) {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(conf.attached)
}

// keyOf returns nil for what is no key of the configuration.
func (k *keeper) keyOf(conf *config, slot uint32) *key {
	if key := conf.keys[slot]; key != nil {
		return key
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return conf.attached[slot]
}
