// SPDX-License-Identifier: ISC

package conn

// A handshake needs a stack many times larger than what serves a connection
// afterwards. Stacks grow by being copied and shrink late, so handshakes have
// goroutines of their own, which do one after another.

// maxDeep is how many of them wait for work.
const maxDeep = 16

var deepIdle = make(chan chan func(), maxDeep)

// deep calls f on a large stack, and waits until it returns.
func deep(f func()) {
	done := make(chan struct{})
	call := func() {
		defer close(done)
		f()
	}
	select {
	case calls := <-deepIdle:
		calls <- call
	default:
		calls := make(chan func(), 1)
		calls <- call
		go serveDeep(calls)
	}
	<-done
}

func serveDeep(calls chan func()) {
	for {
		(<-calls)()
		select {
		case deepIdle <- calls:
		default:
			return
		}
	}
}
