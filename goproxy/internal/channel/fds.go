// SPDX-License-Identifier: ISC

package channel

import (
	"io"

	"golang.org/x/sys/unix"
)

// maxFds is how many descriptors a message can come with before the kernel
// cuts them off: more than any row of the table allows, so that a sender who
// breaks the rules is told from a process that has no descriptors left.
const maxFds = 8

// Fds owns the descriptors that came with a message. Close closes what was
// not taken, so a deferred Close makes every return safe.
type Fds []int

// Take hands descriptor i over to the caller.
func (f Fds) Take(i int) int {
	fd := f[i]
	f[i] = -1
	return fd
}

// Close closes the descriptors that are still there.
func (f Fds) Close() {
	for i, fd := range f {
		if fd >= 0 {
			unix.Close(fd)
			f[i] = -1
		}
	}
}

// ParseFds takes the descriptors out of a received control message. Anything
// else in it, and a truncated one, is an error, and closes them all.
func ParseFds(oob []byte, flags int) (Fds, error) {
	var fds Fds
	var err error
	for len(oob) > 0 && err == nil {
		var hdr unix.Cmsghdr
		var data []byte
		hdr, data, oob, err = unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			break
		}
		m := unix.SocketControlMessage{Header: hdr, Data: data}
		var got []int
		got, err = unix.ParseUnixRights(&m)
		fds = append(fds, got...)
	}
	if err == nil && flags&unix.MSG_CTRUNC != 0 {
		err = errTruncated
		if len(fds) < maxFds {
			err = ErrExhausted
		}
	}
	if err != nil {
		fds.Close()
		return nil, err
	}
	return fds, nil
}

// OobSize is the room that a receiver gives to descriptors.
func OobSize() int { return unix.CmsgSpace(maxFds * 4) }

// ReadFile reads the first size bytes of a regular file, whatever its offset
// is. Where that fails nothing of it stays in memory.
func ReadFile(fd int, size int64) ([]byte, error) {
	data := make([]byte, size)
	for n := 0; n < len(data); {
		m, err := unix.Pread(fd, data[n:], int64(n))
		if err == unix.EINTR {
			continue
		}
		if err == nil && m == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			clear(data)
			return nil, err
		}
		n += m
	}
	return data, nil
}
