// SPDX-License-Identifier: ISC

package keeper

import (
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"libtls-proxy/goproxy/internal/channel"
	"libtls-proxy/goproxy/internal/wire"
)

// reportPause is the time between reports: what a worker that stands still has
// waiting for it stays little until the supervisor ends it.
const reportPause = 100 * time.Millisecond

// report answers on a report channel, and has the workers do the same.
func (k *keeper) report(fds channel.Fds) {
	k.mu.Lock()
	if time.Since(k.reported) < reportPause {
		k.mu.Unlock()
		return
	}
	k.reported = time.Now()
	links := slices.Collect(maps.Keys(k.links))
	k.mu.Unlock()
	asked, err := duplicate(fds[0])
	if err != nil {
		return
	}
	// Who is not there to read it does not need it.
	if channel.Reply(fds.Take(0), k.info()) != nil {
		unix.Close(asked)
		return
	}
	// One that stands still keeps nobody else waiting.
	go func() {
		defer unix.Close(asked)
		var sending sync.WaitGroup
		for _, l := range links {
			sending.Go(func() { l.send(&wire.ReportWorker{}, asked) })
		}
		sending.Wait()
	}()
}

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
		Workers:     uint32(len(k.links)),
		Deaths:      k.died,
		Configs:     uint32(len(k.configs)),
		Keys:        uint32(len(keys)),
		Signatures:  k.signatures,
		Refused:     k.refused,
		RefusedLast: k.refusedLast,
	}
}
