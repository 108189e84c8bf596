// SPDX-License-Identifier: ISC

// Package sandbox takes from the process what it does not need.
package sandbox

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// Apply keeps others from reading the process's memory, and the process from
// gaining rights.
func Apply() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("clear dumpable: %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core dumps: %w", err)
	}
	if err := noNewPrivs(); err != nil {
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	return nil
}

// noNewPrivs sets an attribute that each thread has for itself, and the
// runtime has started some already.
func noNewPrivs() error {
	_, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0)
	if errno == unix.ENOTSUP {
		// A build with cgo, which the race detector needs and nobody
		// installs.
		return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	}
	if errno != 0 {
		return errno
	}
	return nil
}
