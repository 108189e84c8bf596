// SPDX-License-Identifier: ISC

package sandbox

import (
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A probe is a call that a role must not be able to make. Its arguments are
// such that without a sandbox the kernel says something else than that it is
// not permitted, where the user's rights let it, and that nothing comes of it.
type probe struct {
	name string
	try  func() error
	// only is the one role that is tried, if the other needs the call.
	only Role
}

// Where the kernel reads and writes.
var (
	rootPath = [...]byte{'/', 0}
	scratch  [256]byte
)

func at(p *byte) uintptr { return uintptr(unsafe.Pointer(p)) }

const nowhere = ^uintptr(0) // no descriptor

func result(_, _ uintptr, errno syscall.Errno) error {
	if errno != 0 {
		return errno
	}
	return nil
}

func sys(number uintptr, args ...uintptr) func() error {
	return func() error {
		var a [6]uintptr
		copy(a[:], args)
		return result(unix.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5]))
	}
}

// forking makes a process, which should not work, and ends it.
func forking(number, flags uintptr) func() error {
	return func() error {
		pid, _, errno := unix.RawSyscall6(number, flags, 0, 0, 0, 0, 0)
		if errno == 0 && pid == 0 {
			_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
		}
		return result(pid, 0, errno)
	}
}

// forking3 is forking with the newer call, whose flags no filter can see.
func forking3() error {
	args := struct{ flags, pidfd, childTid, parentTid, exitSignal, stack, stackSize, tls uint64 }{
		flags: unix.CLONE_NEWUSER, exitSignal: uint64(unix.SIGCHLD),
	}
	pid, _, errno := unix.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args), 0)
	if errno == 0 && pid == 0 {
		_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
	return result(pid, 0, errno)
}

func mapping(prot, flags int) func() error {
	return func() error {
		_, err := unix.Mmap(-1, 0, unix.Getpagesize(), prot, flags)
		return err
	}
}

func protecting(prot int) func() error {
	return func() error {
		b, err := unix.Mmap(-1, 0, unix.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		if err != nil {
			return nil
		}
		return unix.Mprotect(b, prot)
	}
}

// probes returns all of them. The parent is there to be attacked.
func probes() []probe {
	parent := uintptr(os.Getppid())
	const cwd = ^uintptr(99) // AT_FDCWD
	list := []probe{
		// Files.
		{name: "openat", try: sys(unix.SYS_OPENAT, cwd, at(&rootPath[0]), unix.O_RDONLY)},
		{name: "openat, O_PATH", try: sys(unix.SYS_OPENAT, cwd, at(&rootPath[0]), unix.O_PATH)},
		{name: "openat2", try: func() error {
			_, err := unix.Openat2(unix.AT_FDCWD, "/", &unix.OpenHow{Flags: unix.O_RDONLY})
			return err
		}},
		{name: "newfstatat", try: func() error { return unix.Lstat("/", new(unix.Stat_t)) }},
		{name: "statx", try: func() error { return unix.Statx(unix.AT_FDCWD, "/", 0, 0, new(unix.Statx_t)) }},
		{name: "readlinkat", try: sys(unix.SYS_READLINKAT, cwd, at(&rootPath[0]), at(&scratch[0]), 1)},
		{name: "faccessat", try: func() error { return unix.Faccessat(unix.AT_FDCWD, "/", unix.F_OK, 0) }},
		{name: "chdir", try: sys(unix.SYS_CHDIR, at(&rootPath[0]))},
		{name: "mkdirat", try: sys(unix.SYS_MKDIRAT, cwd, at(&rootPath[0]), 0)},
		{name: "unlinkat", try: sys(unix.SYS_UNLINKAT, nowhere, at(&scratch[0]), 0)},
		{name: "name_to_handle_at", try: sys(unix.SYS_NAME_TO_HANDLE_AT, cwd, at(&rootPath[0]), 0, 0, 0)},
		{name: "open_by_handle_at", try: sys(unix.SYS_OPEN_BY_HANDLE_AT, nowhere, 0, 0)},
		{name: "memfd_create", try: sys(unix.SYS_MEMFD_CREATE, at(&rootPath[0]), 0)},
		{name: "inotify_init1", try: sys(unix.SYS_INOTIFY_INIT1, 0)},
		{name: "fanotify_init", try: sys(unix.SYS_FANOTIFY_INIT, 0, 0)},
		{name: "ftruncate", try: sys(unix.SYS_FTRUNCATE, nowhere, 0), only: Keeper},
		{name: "pwrite64", try: sys(unix.SYS_PWRITE64, nowhere, 0, 0, 0), only: Keeper},

		// Programs and processes.
		{name: "execve", try: sys(unix.SYS_EXECVE, 0, 0, 0)},
		{name: "execveat", try: sys(unix.SYS_EXECVEAT, cwd, 0, 0, 0, 0)},
		{name: "clone, a process", try: forking(unix.SYS_CLONE, uintptr(unix.SIGCHLD))},
		{name: "clone, a user namespace", try: forking(unix.SYS_CLONE, uintptr(unix.SIGCHLD)|unix.CLONE_NEWUSER)},
		{name: "clone, a thread in a namespace", try: sys(unix.SYS_CLONE, threadFlags|unix.CLONE_NEWUSER)},
		{name: "clone3", try: forking3},
		{name: "unshare", try: sys(unix.SYS_UNSHARE, unix.CLONE_NEWNS)},
		{name: "setns", try: sys(unix.SYS_SETNS, nowhere, 0)},
		{name: "kill", try: sys(unix.SYS_KILL, parent, 0)},
		{name: "tgkill", try: sys(unix.SYS_TGKILL, parent, parent, 0)},
		{name: "rt_sigqueueinfo", try: sys(unix.SYS_RT_SIGQUEUEINFO, parent, 0, 0)},
		{name: "pidfd_open", try: sys(unix.SYS_PIDFD_OPEN, parent, 0)},
		{name: "pidfd_getfd", try: sys(unix.SYS_PIDFD_GETFD, nowhere, 0, 0)},
		{name: "ptrace", try: sys(unix.SYS_PTRACE, unix.PTRACE_SEIZE, parent, 0, 0)},
		{name: "process_vm_readv", try: sys(unix.SYS_PROCESS_VM_READV, parent, 0, 0, 0, 0, 0)},
		{name: "process_vm_writev", try: sys(unix.SYS_PROCESS_VM_WRITEV, parent, 0, 0, 0, 0, 0)},
		{name: "kcmp", try: sys(unix.SYS_KCMP, parent, parent, 0, 0, 0)},
		{name: "prlimit64", try: sys(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_CORE, 0, 0)},
		{name: "sched_setaffinity", try: sys(unix.SYS_SCHED_SETAFFINITY, parent, 0, 0)},

		// Memory.
		{name: "mmap, executable", try: mapping(unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)},
		{name: "mmap, a file", try: mapping(unix.PROT_READ, unix.MAP_SHARED)},
		{name: "mprotect, executable", try: protecting(unix.PROT_READ | unix.PROT_EXEC)},
		{name: "mprotect, writable", try: protecting(unix.PROT_READ | unix.PROT_WRITE)},
		{name: "mremap", try: sys(unix.SYS_MREMAP, 0, 0, 0, 0, 0)},
		{name: "shmget", try: sys(unix.SYS_SHMGET, unix.IPC_PRIVATE, 0, 0)},
		{name: "userfaultfd", try: sys(unix.SYS_USERFAULTFD, 1 /* UFFD_USER_MODE_ONLY */)},

		// Sockets.
		{name: "socket, AF_INET", try: sys(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM, 0)},
		{name: "socket, AF_INET6", try: sys(unix.SYS_SOCKET, unix.AF_INET6, unix.SOCK_DGRAM, 0)},
		{name: "socket, AF_UNIX", try: sys(unix.SYS_SOCKET, unix.AF_UNIX, unix.SOCK_STREAM, 0)},
		{name: "socket, AF_NETLINK", try: sys(unix.SYS_SOCKET, unix.AF_NETLINK, unix.SOCK_RAW, 0)},
		{name: "socket, AF_VSOCK", try: sys(unix.SYS_SOCKET, unix.AF_VSOCK, unix.SOCK_STREAM, 0)},
		{name: "socketpair", try: sys(unix.SYS_SOCKETPAIR, unix.AF_UNIX, unix.SOCK_DGRAM, 0, at(&scratch[0]))},
		{name: "socketpair, SOCK_SEQPACKET", only: Worker,
			try: sys(unix.SYS_SOCKETPAIR, unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0, at(&scratch[0]))},
		{name: "bind", try: sys(unix.SYS_BIND, nowhere, 0, 0)},
		{name: "connect", try: sys(unix.SYS_CONNECT, nowhere, 0, 0)},
		{name: "listen", try: sys(unix.SYS_LISTEN, nowhere, 0)},
		{name: "accept4", try: sys(unix.SYS_ACCEPT4, nowhere, 0, 0, 0)},
		{name: "sendto", try: sys(unix.SYS_SENDTO, nowhere, 0, 0, 0, 0, 0)},
		{name: "sendmsg, MSG_FASTOPEN", try: sys(unix.SYS_SENDMSG, nowhere, 0, unix.MSG_FASTOPEN)},
		{name: "getsockname", try: sys(unix.SYS_GETSOCKNAME, nowhere, 0, 0)},
		{name: "getsockopt, SO_PEERCRED", try: sys(unix.SYS_GETSOCKOPT, nowhere, unix.SOL_SOCKET, unix.SO_PEERCRED, 0, 0)},
		{name: "setsockopt, SO_ATTACH_FILTER", try: sys(unix.SYS_SETSOCKOPT, nowhere, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, 0, 0)},
		{name: "setsockopt, TCP_NODELAY", only: Keeper,
			try: sys(unix.SYS_SETSOCKOPT, nowhere, unix.IPPROTO_TCP, unix.TCP_NODELAY, 0, 0)},
		{name: "shutdown", try: sys(unix.SYS_SHUTDOWN, nowhere, 0), only: Keeper},
		{name: "ioctl, TIOCSTI", try: sys(unix.SYS_IOCTL, nowhere, unix.TIOCSTI, 0)},
		{name: "ioctl, FIONREAD", try: sys(unix.SYS_IOCTL, nowhere, unix.TIOCINQ, 0)},
		{name: "fcntl, F_SETOWN", try: sys(unix.SYS_FCNTL, nowhere, unix.F_SETOWN, 0)},
		{name: "fcntl, F_SETLK", try: sys(unix.SYS_FCNTL, nowhere, unix.F_SETLK, 0), only: Keeper},
		{name: "fcntl, F_SETLKW", try: sys(unix.SYS_FCNTL, nowhere, unix.F_SETLKW, 0)},
		{name: "fcntl, F_DUPFD", try: sys(unix.SYS_FCNTL, nowhere, unix.F_DUPFD, 0)},

		// Roots and rights.
		{name: "mount", try: sys(unix.SYS_MOUNT, 0, 0, 0, 0, 0)},
		{name: "umount2", try: sys(unix.SYS_UMOUNT2, 0, 0)},
		{name: "fsopen", try: sys(unix.SYS_FSOPEN, 0, 0)},
		{name: "open_tree", try: sys(unix.SYS_OPEN_TREE, cwd, 0, 0)},
		{name: "move_mount", try: sys(unix.SYS_MOVE_MOUNT, nowhere, 0, nowhere, 0, 0)},
		{name: "pivot_root", try: sys(unix.SYS_PIVOT_ROOT, 0, 0)},
		{name: "chroot", try: sys(unix.SYS_CHROOT, at(&rootPath[0]))},
		{name: "setuid(0)", try: sys(unix.SYS_SETUID, 0)},
		{name: "setresuid", try: sys(unix.SYS_SETRESUID, nowhere, nowhere, nowhere)},
		{name: "setresgid", try: sys(unix.SYS_SETRESGID, nowhere, nowhere, nowhere)},
		{name: "setgroups", try: sys(unix.SYS_SETGROUPS, 0, 0)},
		{name: "capset", try: sys(unix.SYS_CAPSET, 0, 0)},
		{name: "prctl, PR_SET_DUMPABLE", try: sys(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 1)},
		{name: "prctl, PR_GET_SECCOMP", try: sys(unix.SYS_PRCTL, unix.PR_GET_SECCOMP)},
		{name: "seccomp", try: sys(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, 0)},
		{name: "personality", try: sys(unix.SYS_PERSONALITY, 0xffffffff)},

		// What of the kernel few use.
		{name: "acct", try: sys(unix.SYS_ACCT, nowhere)},
		{name: "add_key", try: sys(unix.SYS_ADD_KEY, 0, 0, 0, 0, 0)},
		{name: "bpf", try: sys(unix.SYS_BPF, nowhere, 0, 0)},
		{name: "delete_module", try: sys(unix.SYS_DELETE_MODULE, 0, 0)},
		{name: "finit_module", try: sys(unix.SYS_FINIT_MODULE, nowhere, 0, 0)},
		{name: "init_module", try: sys(unix.SYS_INIT_MODULE, 0, 0, 0)},
		{name: "io_uring_setup", try: sys(unix.SYS_IO_URING_SETUP, 1, at(&scratch[0]))},
		{name: "kexec_load", try: sys(unix.SYS_KEXEC_LOAD, 0, 0, 0, nowhere)},
		{name: "keyctl", try: sys(unix.SYS_KEYCTL, unix.KEYCTL_GET_KEYRING_ID, 0, 0)},
		{name: "perf_event_open", try: sys(unix.SYS_PERF_EVENT_OPEN, 0, 0, 0, 0, 0)},
		{name: "quotactl", try: sys(unix.SYS_QUOTACTL, 0, 0, 0, 0)},
		{name: "reboot", try: sys(unix.SYS_REBOOT, 0, 0, 0, 0)},
		{name: "request_key", try: sys(unix.SYS_REQUEST_KEY, 0, 0, 0, 0)},
		{name: "swapon", try: sys(unix.SYS_SWAPON, 0, 0)},
		{name: "syslog", try: sys(unix.SYS_SYSLOG, 10 /* the size of the buffer */, 0, 0)},
		{name: "timer_create", try: sys(unix.SYS_TIMER_CREATE, unix.CLOCK_MONOTONIC, 0, at(&scratch[0]))},
	}
	return append(list, oldProbes...)
}
