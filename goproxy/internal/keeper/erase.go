// SPDX-License-Identifier: ISC

package keeper

import (
	"runtime"
	"sync/atomic"
	"time"
)

// What crypto/* computes with a key it leaves behind, in dead stack frames and
// in garbage. The frames are overwritten at once. Garbage is overwritten when
// it is collected: the supervisor starts the keeper with settings in GODEBUG
// for that, and against copies of stacks and registers that the runtime makes.
// runtime/secret does all this as well, but makes an ECDSA signature cost more
// than twice as much.

// frames is more stack than a signature, or reading a key, needs.
const frames = 32 << 10

// erasing calls f and leaves nothing of it on the stack.
func erasing(f func()) {
	// This makes the stack large enough now: to grow is to leave a copy
	// behind.
	overwrite()
	defer overwrite()
	f()
}

//go:noinline
func overwrite() {
	var b [frames]byte
	keep(&b)
}

//go:noinline
func keep(*[frames]byte) {}

const (
	collectAfter = time.Second
	// What crypto/* caches for a key becomes garbage after the key has
	// been collected and a goroutine has noticed that.
	collections = 3
)

// A collector sees that garbage with secrets in it does not get old.
type collector struct {
	left atomic.Int32 // collections to come, the next within collectAfter
}

// wake is called after there may be such garbage.
func (c *collector) wake() {
	if c.left.Swap(collections) == 0 {
		time.AfterFunc(collectAfter, c.run)
	}
}

func (c *collector) run() {
	runtime.GC()
	if c.left.Add(-1) > 0 {
		time.AfterFunc(collectAfter, c.run)
	}
}
