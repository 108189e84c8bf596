// SPDX-License-Identifier: ISC

// Package sandbox takes from the process what it does not need, and tests
// that it is gone. What is inherited over an exec the supervisor has taken
// before: user, root directory, capabilities and limits.
package sandbox

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"github.com/landlock-lsm/go-landlock/landlock"
	landlocksys "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"

	"libtls-proxy/goproxy/internal/procs"
)

// A Role is what the process does, and so what it may do. It is the first
// argument of goproxy.
type Role string

// The roles.
const (
	Keeper Role = "keeper"
	Worker Role = "worker"
)

// Roles are all of them.
var Roles = []Role{Keeper, Worker}

// A Report tells what of the sandbox this system has.
type Report struct {
	// LandlockABI is the version that is in force, 0 for none.
	LandlockABI int
	// Landlock and Seccomp say why there is none, nil where there is.
	Landlock, Seccomp error
}

// exposed is the name in ps(1) of a process that lacks a part of the sandbox,
// of at most 15 characters.
const exposed = "goproxy-exposed"

// Apply forbids the process all that its role does not need, for good and on
// all threads. It is called before there is anything to hide and before
// anybody is listened to. What the system does not have or forbids is no
// error; the report and the process's name tell.
func Apply(role Role) (Report, error) {
	var r Report
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return r, fmt.Errorf("clear dumpable: %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return r, fmt.Errorf("forbid core dumps: %w", err)
	}
	needNoFiles()
	r.LandlockABI, r.Landlock = restrict()
	r.Seccomp = load(role)
	if r.Landlock != nil || r.Seccomp != nil {
		rename(exposed)
	}
	return r, nil
}

// lowFds is more than the runtime opens before main.
const lowFds = 16

// needNoFiles makes that neither the runtime nor the standard library looks
// for files later.
func needNoFiles() {
	// For the local time in error messages.
	time.Local = time.UTC
	// The number of processors is ours to choose: otherwise the runtime
	// looks for a new limit every second. It keeps the files of that open.
	procs.Start()
	for fd := range lowFds {
		var st unix.Statfs_t
		if unix.Fstatfs(fd, &st) == nil &&
			(st.Type == unix.CGROUP_SUPER_MAGIC || st.Type == unix.CGROUP2_SUPER_MAGIC) {
			unix.Close(fd)
		}
	}
}

// restrict applies a Landlock without rules: no file, no TCP or UDP address,
// and no process or abstract socket outside is within reach.
func restrict() (abi int, err error) {
	if abi, err = landlocksys.LandlockGetABIVersion(); err != nil {
		return 0, err
	}
	if err := landlock.V11.BestEffort().Restrict(); err != nil {
		return 0, err
	}
	return abi, nil
}

// load gives all threads the role's filter, and no_new_privs.
func load(role Role) error {
	if cgoEnabled {
		return errors.New("no filter for a build with cgo")
	}
	if auditArch == 0 {
		return errors.New("no filter for " + runtime.GOARCH)
	}
	filter := newProgram(role, unix.Getpid())
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})))
	if errno != 0 {
		return errno
	}
	if thread != 0 {
		return fmt.Errorf("thread %d has another filter", thread)
	}
	return nil
}

// rename gives all threads another name, if possible: it is only to be seen.
func rename(name string) {
	b := append([]byte(name), 0)
	_, _, _ = syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_SET_NAME, uintptr(unsafe.Pointer(&b[0])), 0)
}
