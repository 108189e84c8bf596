// SPDX-License-Identifier: ISC

package conn

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"libtls-proxy/goproxy/internal/channel"
	"libtls-proxy/goproxy/internal/nowait"
)

// aLongTimeAgo as a deadline wakes who waits.
var aLongTimeAgo = time.Unix(1, 0)

// A stream is a stream socket or a pipe, whose waiting is the runtime's.
// Others hold the same open file description and may do with O_NONBLOCK what
// they like, so no operation relies on it.
type stream struct {
	file *os.File
	raw  syscall.RawConn
	fd   int // valid until close
	pipe bool
	// delay is set where Nagle's algorithm has to be turned on again.
	delay bool

	// Where a waiting call works; one reader and one writer at a time.
	rbuf, wbuf []byte
	rn, wn     int
	rerr, werr error
	readFn     func(uintptr) bool
	writeFn    func(uintptr) bool
	hangupFn   func(uintptr) bool

	// broken is the error that ended writing. An error is told once, to
	// the one of reader and writer who comes first; the lock lets the
	// reader find out that it was the writer.
	mu     sync.Mutex
	broken error
}

var errDescriptor = errors.New("neither a stream socket nor a pipe")

// newStream takes a descriptor over, and closes it if it is of no use.
func newStream(fd int) (*stream, error) {
	s := &stream{fd: fd}
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	if err == nil {
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFIFO:
			s.pipe = true
		case unix.S_IFSOCK:
			var typ int
			typ, err = nowait.Getsockopt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
			if err == nil && typ != unix.SOCK_STREAM {
				err = errDescriptor
			}
		default:
			err = errDescriptor
		}
	}
	if err == nil {
		err = s.register()
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	s.readFn, s.writeFn = s.tryReadAgain, s.tryWriteAgain
	s.hangupFn = func(fd uintptr) bool { return channel.Hangup(int(fd)) }
	return s, nil
}

// register makes the descriptor known to the runtime's poller, which takes
// only what does not block; the flag is then set back for those who share it.
func (s *stream) register() error {
	flags, err := nowait.Fcntl(s.fd, unix.F_GETFL, 0)
	if err != nil {
		return err
	}
	if flags&unix.O_NONBLOCK == 0 {
		if _, err := nowait.Fcntl(s.fd, unix.F_SETFL, flags|unix.O_NONBLOCK); err != nil {
			return err
		}
		defer nowait.Fcntl(s.fd, unix.F_SETFL, flags)
	}
	s.file = os.NewFile(uintptr(s.fd), "stream")
	s.raw, err = s.file.SyscallConn()
	return err
}

func (s *stream) close() { s.file.Close() }

func (s *stream) polled(events int16) bool {
	events, err := nowait.Poll(s.fd, events)
	return err != nil || events != 0
}

// tryRead reads what is there. 0 without an error is the end of file.
func (s *stream) tryRead(p []byte) (int, error) {
	if !s.pipe {
		n, _, _, err := nowait.Recvmsg(s.fd, p, nil, 0)
		return n, err
	}
	for s.polled(unix.POLLIN) {
		n, err := unix.Read(s.fd, p)
		if err != unix.EINTR {
			return max(n, 0), err
		}
	}
	return 0, unix.EAGAIN
}

func (s *stream) tryReadAgain(uintptr) bool {
	s.rn, s.rerr = s.tryRead(s.rbuf)
	return s.rerr != unix.EAGAIN
}

// read is tryRead that waits.
func (s *stream) read(p []byte) (int, error) {
	s.rbuf = p
	err := s.raw.Read(s.readFn)
	s.rbuf = nil
	if err != nil {
		return 0, err
	}
	return s.rn, s.rerr
}

// waitHangup waits until the other end is closed.
func (s *stream) waitHangup() error { return s.raw.Read(s.hangupFn) }

// tryWrite writes as much as goes at once.
func (s *stream) tryWrite(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	written := 0
	for written < len(p) && s.broken == nil {
		n, err := s.writeOnce(p[written:])
		if err == unix.EINTR {
			continue
		}
		if err == unix.EAGAIN {
			return written, err
		}
		if err != nil {
			s.broken = err
			break
		}
		written += n
	}
	return written, s.broken
}

func (s *stream) writeOnce(p []byte) (int, error) {
	if !s.pipe {
		return nowait.Sendmsg(s.fd, p, nil)
	}
	// A pipe that is ready takes so much without blocking.
	const pipeBuf = 4096
	if !s.polled(unix.POLLOUT) {
		return 0, unix.EAGAIN
	}
	return unix.Write(s.fd, p[:min(len(p), pipeBuf)])
}

func (s *stream) tryWriteAgain(uintptr) bool {
	var n int
	n, s.werr = s.tryWrite(s.wbuf[s.wn:])
	s.wn += n
	return s.werr != unix.EAGAIN
}

// write writes all of p unless there is an error, and says how much it was.
func (s *stream) write(p []byte) (int, error) {
	s.wbuf, s.wn, s.werr = p, 0, nil
	err := s.raw.Write(s.writeFn)
	s.wbuf = nil
	if err != nil {
		return s.wn, err
	}
	return s.wn, s.werr
}

// writeParts writes all parts in a row. It may change the slice.
func (s *stream) writeParts(parts [][]byte) error {
	var err error
	waitErr := s.raw.Write(func(uintptr) bool {
		for len(parts) > 0 {
			var n int
			if n, err = nowait.Sendv(s.fd, parts); err != nil {
				break
			}
			for len(parts) > 0 && n >= len(parts[0]) {
				n -= len(parts[0])
				parts = parts[1:]
			}
			if n > 0 {
				parts[0] = parts[0][n:]
			}
		}
		return err != unix.EAGAIN
	})
	if waitErr != nil {
		return waitErr
	}
	return err
}

// endWrite ends the direction with the means that the descriptor has.
func (s *stream) endWrite() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == nil {
		s.broken = unix.EPIPE
	}
	if s.pipe {
		s.close()
		return
	}
	_ = nowait.Shutdown(s.fd, unix.SHUT_WR)
}

// writeError returns the error that ended writing.
func (s *stream) writeError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

// disableDelay turns Nagle's algorithm off: the transport itself collects what
// belongs together, and the first data after a handshake would wait for the
// peer's delayed acknowledgement of our Finished.
func (s *stream) disableDelay() {
	on, err := nowait.Getsockopt(s.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY)
	if err != nil || on != 0 {
		return
	}
	s.delay = nowait.Setsockopt(s.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) == nil
}

// restoreDelay undoes disableDelay.
func (s *stream) restoreDelay() {
	if s.delay {
		_ = nowait.Setsockopt(s.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 0)
	}
}

// acknowledge has the kernel tell the peer at once that all has come. A client
// whose Finished is the handshake's last message, and who has Nagle's algorithm
// on, would else wait with its first request for a delayed acknowledgement.
func (s *stream) acknowledge() {
	_ = nowait.Setsockopt(s.fd, unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1)
}
