// SPDX-License-Identifier: ISC

package conn

import "sync"

const (
	// plaintextSize is how much is read at once in either direction, a
	// multiple of what a record holds.
	plaintextSize = 8 * maxPlaintext
	maxPlaintext  = 16384
	// recordOverhead bounds what a record adds.
	recordOverhead = 64
	bufferSize     = plaintextSize + plaintextSize/maxPlaintext*recordOverhead
)

// A buffer takes either a round of plaintext or its records.
type buffer struct {
	b []byte
}

var buffers = sync.Pool{New: func() any { return &buffer{b: make([]byte, 0, bufferSize)} }}

func getBuffer() *buffer { return buffers.Get().(*buffer) }

// plaintext returns the room for a round of plaintext.
func (b *buffer) plaintext() []byte { return b.b[:plaintextSize] }

func (b *buffer) free() {
	// The rare one that grew is left to the garbage collector.
	if cap(b.b) > bufferSize {
		return
	}
	b.b = b.b[:0]
	buffers.Put(b)
}
