// SPDX-License-Identifier: ISC

package keeper

import "libtls-proxy/goproxy/internal/wire"

// info is what an application may know about its goproxy.
func (k *keeper) info() *wire.InfoReply {
	k.mu.Lock()
	defer k.mu.Unlock()
	keys := make(map[*key]bool)
	for _, conf := range k.configs {
		for _, key := range conf.keys {
			keys[key] = true
		}
	}
	return &wire.InfoReply{
		Release:     k.release,
		Workers:     uint32(k.links),
		Deaths:      k.died,
		Configs:     uint32(len(k.configs)),
		Keys:        uint32(len(keys)),
		Signatures:  k.signatures,
		Refused:     k.refused,
		RefusedLast: k.refusedLast,
	}
}
