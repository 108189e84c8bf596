// SPDX-License-Identifier: ISC

// Package nowait makes system calls that never wait. Go's scheduler is not
// told of them, as it is of those in golang.org/x/sys/unix: where it had
// nothing to do before, each of them would wake the thread that looks for
// calls that take long. They also need no memory from the heap.
package nowait

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// result is what a call returned, as Go has it.
func result(n uintptr, errno syscall.Errno) (int, error) {
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func vector(p []byte) unix.Iovec {
	iov := unix.Iovec{Base: unsafe.SliceData(p)}
	iov.SetLen(len(p))
	return iov
}

// Recvmsg receives from a socket, whatever the flags of the descriptor, and
// control messages if there is room for them. It returns how much it was and
// the flags of the message.
func Recvmsg(fd int, p, oob []byte, flags int) (n, oobn, msgFlags int, err error) {
	iov := vector(p)
	hdr := unix.Msghdr{Iov: &iov, Control: unsafe.SliceData(oob)}
	hdr.SetIovlen(1)
	hdr.SetControllen(len(oob))
	for {
		r, _, errno := unix.RawSyscall(unix.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&hdr)),
			uintptr(flags|unix.MSG_DONTWAIT))
		if errno == unix.EINTR {
			continue
		}
		n, err = result(r, errno)
		return n, int(hdr.Controllen), int(hdr.Flags), err
	}
}

// Sendmsg sends to a socket, with control messages if there are any, and
// returns how much it was. It raises no signal.
func Sendmsg(fd int, p, oob []byte) (int, error) {
	iov := vector(p)
	hdr := unix.Msghdr{Iov: &iov, Control: unsafe.SliceData(oob)}
	hdr.SetIovlen(1)
	hdr.SetControllen(len(oob))
	return send(fd, &hdr)
}

// maxParts is less than what any system takes.
const maxParts = 64

// Sendv is Sendmsg of the first parts of what is in a row.
func Sendv(fd int, parts [][]byte) (int, error) {
	var iov [maxParts]unix.Iovec
	n := min(len(parts), maxParts)
	for i, p := range parts[:n] {
		iov[i] = vector(p)
	}
	hdr := unix.Msghdr{Iov: &iov[0]}
	hdr.SetIovlen(n)
	return send(fd, &hdr)
}

func send(fd int, hdr *unix.Msghdr) (int, error) {
	for {
		r, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(hdr)),
			unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if errno != unix.EINTR {
			return result(r, errno)
		}
	}
}

// Poll returns which of the events there are, and errors and hangups.
func Poll(fd int, events int16) (int16, error) {
	p := unix.PollFd{Fd: int32(fd), Events: events}
	var now unix.Timespec
	for {
		r, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&p)), 1,
			uintptr(unsafe.Pointer(&now)), 0, 0, 0)
		if errno != unix.EINTR {
			_, err := result(r, errno)
			return p.Revents, err
		}
	}
}

// Getsockopt returns an option that is a number.
func Getsockopt(fd, level, option int) (int, error) {
	var value int32
	size := uint32(unsafe.Sizeof(value))
	r, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), uintptr(option),
		uintptr(unsafe.Pointer(&value)), uintptr(unsafe.Pointer(&size)), 0)
	_, err := result(r, errno)
	return int(value), err
}

// Setsockopt sets an option that is a number.
func Setsockopt(fd, level, option, value int) error {
	number := int32(value)
	r, _, errno := unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), uintptr(level), uintptr(option),
		uintptr(unsafe.Pointer(&number)), unsafe.Sizeof(number), 0)
	_, err := result(r, errno)
	return err
}

// Fcntl is for commands whose argument and result are numbers.
func Fcntl(fd, command, argument int) (int, error) {
	r, _, errno := unix.RawSyscall(unix.SYS_FCNTL, uintptr(fd), uintptr(command), uintptr(argument))
	return result(r, errno)
}

// Shutdown ends directions of a socket.
func Shutdown(fd, how int) error {
	r, _, errno := unix.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), uintptr(how), 0)
	_, err := result(r, errno)
	return err
}

// Close closes a descriptor of what does not linger.
func Close(fd int) { _, _, _ = unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }
