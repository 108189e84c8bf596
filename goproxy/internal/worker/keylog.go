// SPDX-License-Identifier: ISC

package worker

import "golang.org/x/sys/unix"

// NoKeyLog is the key log of a worker that writes none.
const NoKeyLog = -1

// A keyLogger is a file for the secrets of sessions, in the format of RFC 9850:
// crypto/tls writes a line at a time. The file is open for appending, so that
// the lines of several workers stay whole.
type keyLogger int

// Write does not fail: no connection ends because somebody wanted to look at
// it and the disk is full.
func (l keyLogger) Write(line []byte) (int, error) {
	for {
		if _, err := unix.Write(int(l), line); err != unix.EINTR {
			return len(line), nil
		}
	}
}
