// SPDX-License-Identifier: ISC

package conn

import (
	"errors"
	"io"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	sessions "libtls-proxy/goproxy/internal/session"
)

// maxSession is more than any session with its certificates needs.
const maxSession = 1 << 20

// How long a process that has locked a session file is waited for; it should
// take less than a millisecond.
const (
	lockTries = 50
	lockPause = time.Millisecond
)

// A refusal is an error whose text is all that the application shall see.
type refusal string

func (e refusal) Error() string { return string(e) }

// A sessionFile is where a client's application keeps a session.
type sessionFile struct {
	fd int
	// lock keeps those of this process apart who have the same file.
	lock *sync.Mutex
	// shaken is set after the handshake; what comes earlier waits in new,
	// for a handshake that fails leaves the file as it was. Both are the
	// reader's.
	shaken bool
	new    []byte
}

func newSessionFile(fd int, lock *sync.Mutex) (*sessionFile, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, errors.New("session file is not a regular file")
	}
	return &sessionFile{fd: fd, lock: lock}, nil
}

// acquire keeps others from the file: those of this process, and with a record
// lock the other workers and programs, if not to write then to read. Whoever
// does not let go of it may have been hijacked, or stand still: it returns
// false, and the connection does without the file.
func (f *sessionFile) acquire(kind int16) bool {
	for range lockTries {
		f.lock.Lock()
		// Not that of the open file, which all workers have in common.
		err := unix.FcntlFlock(uintptr(f.fd), unix.F_SETLK, &unix.Flock_t{Type: kind})
		if err != unix.EAGAIN && err != unix.EACCES {
			// Some file systems have no locks.
			return true
		}
		f.lock.Unlock()
		time.Sleep(lockPause)
	}
	return false
}

func (f *sessionFile) release() {
	_ = unix.FcntlFlock(uintptr(f.fd), unix.F_SETLK, &unix.Flock_t{Type: unix.F_UNLCK})
	f.lock.Unlock()
}

// cache returns what crypto/tls resumes from, and gives new sessions to.
func (f *sessionFile) cache() (*sessions.Cache, error) {
	if !f.acquire(unix.F_RDLCK) {
		return sessions.NewCache(nil, f.changed), nil
	}
	data, err := f.read()
	f.release()
	if err != nil {
		return nil, err
	}
	defer clear(data)
	state, err := sessions.Parse(data)
	if err != nil {
		return nil, refusal(err.Error())
	}
	return sessions.NewCache(state, f.changed), nil
}

func (f *sessionFile) changed(data []byte) {
	clear(f.new)
	f.new = data
	if f.shaken {
		// There is nobody to tell that it failed, and nothing is lost
		// but the session.
		_ = f.save()
	}
}

// established is called after the handshake.
func (f *sessionFile) established() error {
	f.shaken = true
	return f.save()
}

func (f *sessionFile) save() error {
	if f.new == nil {
		return nil
	}
	defer func() {
		clear(f.new)
		f.new = nil
	}()
	if !f.acquire(unix.F_WRLCK) {
		return nil
	}
	defer f.release()
	old, err := f.read()
	if err != nil {
		return err
	}
	defer clear(old)
	if err = f.replace(f.new); err != nil {
		// Half a session would fail the next connection.
		_ = f.replace(old)
	}
	return err
}

func (f *sessionFile) read() ([]byte, error) {
	var st unix.Stat_t
	if err := unix.Fstat(f.fd, &st); err != nil {
		return nil, fileError("failed to stat session file", err)
	}
	if st.Size > maxSession {
		return nil, refusal("invalid session file size")
	}
	data := make([]byte, st.Size)
	n, err := each(data, func(p []byte, done int) (int, error) { return unix.Pread(f.fd, p, int64(done)) })
	if err != nil {
		return nil, fileError("failed to read session file", err)
	}
	// Another process may have made it shorter.
	return data[:n], nil
}

// replace does not cut the file off before, so that it is never empty.
func (f *sessionFile) replace(data []byte) error {
	n, err := each(data, func(p []byte, done int) (int, error) { return unix.Pwrite(f.fd, p, int64(done)) })
	if err == nil && n < len(data) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return fileError("failed to write session file", err)
	}
	if err := unix.Ftruncate(f.fd, int64(len(data))); err != nil {
		return fileError("failed to truncate session file", err)
	}
	return nil
}

// each calls f until p is done, or f does nothing.
func each(p []byte, f func(p []byte, done int) (int, error)) (done int, err error) {
	for done < len(p) {
		n, err := f(p[done:], done)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return done, err
		}
		if n == 0 {
			break
		}
		done += n
	}
	return done, nil
}

func fileError(text string, err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return refusal(text + ": " + strerror(errno))
	}
	return refusal(text + ": " + err.Error())
}

func (f *sessionFile) close() {
	clear(f.new)
	// It ends the process's locks of the file.
	f.lock.Lock()
	defer f.lock.Unlock()
	unix.Close(f.fd)
}
