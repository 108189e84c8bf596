// SPDX-License-Identifier: ISC

// Package procs lets Go use as many processors as there is work for. With more
// of them each goroutine that becomes ready wakes another thread, which mostly
// finds out that the first one has done it.
package procs

import (
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// interval is how long is looked at how busy the processors are.
	interval = 20 * time.Millisecond
	// quiet is how long there is no work before memory is given back.
	quiet = time.Second
	// Those that are busy for more than the one share of it are doubled,
	// those that are for less than the other are halved.
	high, low = 0.95, 0.3
)

var (
	most    = int32(runtime.GOMAXPROCS(0))
	now     atomic.Int32 // 0 before Start
	next    atomic.Int64 // when to look again, in nanoseconds since start
	changes atomic.Bool  // one is under way
	awake   atomic.Bool  // rest will be called
	start   = time.Now()
	before  struct{ wall, cpu time.Duration } // guarded by changes
)

// Max returns how many processors there can be.
func Max() int { return int(most) }

// Start begins with one processor. Without it the number stays what it is.
func Start() {
	now.Store(1)
	runtime.GOMAXPROCS(1)
}

// Work is called wherever there is work. Now and then it looks whether the
// number of processors is right.
func Work() {
	wall := time.Since(start)
	if now.Load() == 0 || int64(wall) < next.Load() || changes.Swap(true) {
		return
	}
	next.Store(int64(wall + interval))
	if !awake.Swap(true) {
		time.AfterFunc(quiet, rest)
	}
	n := adapted(now.Load(), wall)
	if n == now.Load() {
		changes.Store(false)
		return
	}
	now.Store(n)
	// It stops the world, and waits for the garbage collector if that runs.
	go func() {
		runtime.GOMAXPROCS(int(n))
		changes.Store(false)
	}()
}

// rest gives memory back once there has been no work for a while.
func rest() {
	last := time.Duration(next.Load()) - interval
	if left := quiet - time.Since(start) + last; left > 0 {
		time.AfterFunc(left, rest)
		return
	}
	awake.Store(false)
	debug.FreeOSMemory()
}

func adapted(n int32, wall time.Duration) int32 {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts) != nil {
		return most
	}
	cpu := time.Duration(ts.Nano())
	busy := float64(cpu-before.cpu) / float64(wall-before.wall) / float64(n)
	before.wall, before.cpu = wall, cpu
	return choose(n, most, busy)
}

// choose returns how many there shall be where n were busy for this share of
// the time.
func choose(n, most int32, busy float64) int32 {
	switch {
	case busy > high:
		return min(2*n, most)
	case busy < low:
		return max(n/2, 1)
	}
	return n
}
