// SPDX-License-Identifier: ISC

package sandbox

import (
	"cmp"
	"math"
	"slices"

	"golang.org/x/sys/unix"
)

// A call is a system call that is allowed where all conditions hold.
type call struct {
	number uint32
	when   []condition
}

// A condition is that an argument, and mask, is one of the values. The kernel
// itself looks at no more than 32 bits of the arguments that are compared.
type condition struct {
	argument int
	mask     uint32
	values   []uint32
}

func calls(numbers ...uint32) []call {
	list := make([]call, len(numbers))
	for i, n := range numbers {
		list[i].number = n
	}
	return list
}

func is(argument int, values ...uint32) condition {
	return condition{argument, ^uint32(0), values}
}

func masked(argument int, mask, value uint32) condition {
	return condition{argument, mask, []uint32{value}}
}

const (
	// What Go's runtime starts a thread with; some architectures set the
	// thread's pointer as well.
	threadFlags = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND |
		unix.CLONE_SYSVSEM | unix.CLONE_THREAD
	futexPrivate = 128
	futexWait    = 0
	futexWake    = 1
)

// allowed returns what the role needs. Nothing in it opens a file or makes a
// socket to somewhere: other descriptors come over those that the process has.
// Nothing makes memory executable, or maps a file.
func allowed(role Role, pid int) []call {
	fcntl := []uint32{unix.F_GETFL, unix.F_SETFL, unix.F_SETFD, unix.F_DUPFD_CLOEXEC}
	if role == Worker {
		// Session files; to wait for a lock is not needed.
		fcntl = append(fcntl, unix.F_SETLK)
	}
	list := []call{
		{unix.SYS_FUTEX, []condition{is(1, futexPrivate|futexWait, futexPrivate|futexWake)}},
		{unix.SYS_SENDMSG, []condition{is(2, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)}},
		{unix.SYS_FCNTL, []condition{is(1, fcntl...)}},
		{unix.SYS_MMAP, []condition{
			masked(2, unix.PROT_EXEC, 0),
			masked(3, unix.MAP_ANONYMOUS, unix.MAP_ANONYMOUS),
		}},
		{unix.SYS_CLONE, []condition{masked(0, ^uint32(unix.CLONE_SETTLS), threadFlags)}},
		// Of other processes no thread can be signalled.
		{unix.SYS_TGKILL, []condition{is(0, uint32(pid))}},
	}
	list = append(list, calls(
		unix.SYS_CLOCK_GETTIME,
		unix.SYS_CLOSE,
		unix.SYS_EPOLL_CREATE1,
		unix.SYS_EPOLL_CTL,
		unix.SYS_EPOLL_PWAIT,
		unix.SYS_EVENTFD2,
		unix.SYS_EXIT,
		unix.SYS_EXIT_GROUP,
		unix.SYS_FSTAT,
		unix.SYS_GETPID,
		unix.SYS_GETRANDOM,
		unix.SYS_GETTID,
		unix.SYS_MADVISE,
		unix.SYS_MUNMAP,
		unix.SYS_NANOSLEEP,
		unix.SYS_PPOLL,
		unix.SYS_PREAD64,
		unix.SYS_READ,
		unix.SYS_RECVMSG,
		unix.SYS_RESTART_SYSCALL,
		unix.SYS_RT_SIGACTION,
		unix.SYS_RT_SIGPROCMASK,
		unix.SYS_RT_SIGRETURN,
		unix.SYS_SCHED_YIELD,
		unix.SYS_SIGALTSTACK,
		unix.SYS_WRITE,
	)...)
	switch role {
	case Keeper:
		// The links to workers.
		list = append(list,
			call{unix.SYS_SOCKETPAIR, []condition{
				is(0, unix.AF_UNIX), is(1, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC), is(2, 0),
			}},
			call{unix.SYS_GETSOCKOPT, []condition{is(1, unix.SOL_SOCKET), is(2, unix.SO_DOMAIN, unix.SO_TYPE)}},
		)
	case Worker:
		list = append(list,
			call{unix.SYS_GETSOCKOPT, []condition{
				is(1, unix.SOL_SOCKET, unix.IPPROTO_TCP),
				// Getpeername of x/sys wants the protocol.
				is(2, unix.SO_DOMAIN, unix.SO_TYPE, unix.SO_PROTOCOL, unix.TCP_NODELAY),
			}},
			call{unix.SYS_SETSOCKOPT, []condition{is(1, unix.IPPROTO_TCP), is(2, unix.TCP_NODELAY, unix.TCP_QUICKACK)}},
			// Whether there is room for another connection.
			call{unix.SYS_GETRLIMIT, []condition{is(0, unix.RLIMIT_NOFILE)}},
			call{unix.SYS_PRLIMIT64, []condition{is(0, 0), is(1, unix.RLIMIT_NOFILE), is(2, 0)}},
		)
		// The last two for session files as well.
		list = append(list, calls(unix.SYS_GETPEERNAME, unix.SYS_SHUTDOWN, unix.SYS_FTRUNCATE, unix.SYS_PWRITE64)...)
	}
	return list
}

// deadly are calls that no version of Go and no part of goproxy makes, but
// somebody who has got hold of the process: it is over at once, and the kernel
// logs it. Whatever else is not allowed gives EPERM, so that what a library
// tries without need does not end all connections.
var deadly = append([]uint32{
	// Other programs.
	unix.SYS_EXECVE, unix.SYS_EXECVEAT,
	// Other processes.
	unix.SYS_KCMP, unix.SYS_KILL, unix.SYS_PIDFD_GETFD, unix.SYS_PIDFD_OPEN, unix.SYS_PIDFD_SEND_SIGNAL,
	unix.SYS_PROCESS_MADVISE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PTRACE,
	unix.SYS_RT_SIGQUEUEINFO, unix.SYS_RT_TGSIGQUEUEINFO, unix.SYS_TKILL,
	// Other sockets.
	unix.SYS_ACCEPT, unix.SYS_ACCEPT4, unix.SYS_BIND, unix.SYS_CONNECT, unix.SYS_LISTEN, unix.SYS_SOCKET,
	// Other roots and name spaces.
	unix.SYS_CHROOT, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSOPEN, unix.SYS_FSPICK, unix.SYS_MOUNT,
	unix.SYS_MOUNT_SETATTR, unix.SYS_MOVE_MOUNT, unix.SYS_NAME_TO_HANDLE_AT, unix.SYS_OPEN_BY_HANDLE_AT,
	unix.SYS_OPEN_TREE, unix.SYS_PIVOT_ROOT, unix.SYS_SETNS, unix.SYS_UMOUNT2, unix.SYS_UNSHARE,
	// Other rights.
	unix.SYS_CAPSET, unix.SYS_PERSONALITY, unix.SYS_SETFSGID, unix.SYS_SETFSUID, unix.SYS_SETGID,
	unix.SYS_SETGROUPS, unix.SYS_SETREGID, unix.SYS_SETRESGID, unix.SYS_SETRESUID, unix.SYS_SETREUID,
	unix.SYS_SETUID,
	// The kernel's less trodden paths.
	unix.SYS_ACCT, unix.SYS_ADD_KEY, unix.SYS_BPF, unix.SYS_DELETE_MODULE, unix.SYS_FINIT_MODULE,
	unix.SYS_INIT_MODULE, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER, unix.SYS_IO_URING_SETUP,
	unix.SYS_KEXEC_LOAD, unix.SYS_KEYCTL, unix.SYS_PERF_EVENT_OPEN, unix.SYS_QUOTACTL, unix.SYS_REBOOT,
	unix.SYS_REQUEST_KEY, unix.SYS_SWAPOFF, unix.SYS_SWAPON, unix.SYS_USERFAULTFD,
}, oldCalls...)

// Offsets in struct seccomp_data.
const (
	numberOffset   = 0
	archOffset     = 4
	argumentOffset = 16
	argumentSize   = 8
)

// What the filter returns.
const (
	allow = unix.SECCOMP_RET_ALLOW
	deny  = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	kill  = unix.SECCOMP_RET_KILL_PROCESS
)

// A rule is what becomes of a call: check, or kill without one.
type rule struct {
	number uint32
	check  *call
}

// A program is a filter in the making.
type program []unix.SockFilter

func newProgram(role Role, pid int) program {
	list := allowed(role, pid)
	rules := make([]rule, 0, len(list)+len(deadly))
	for i := range list {
		rules = append(rules, rule{list[i].number, &list[i]})
	}
	for _, n := range deadly {
		rules = append(rules, rule{n, nil})
	}
	slices.SortFunc(rules, func(a, b rule) int { return cmp.Compare(a.number, b.number) })
	p := make(program, 0, 512)
	// The calls of another ABI of the same processor are deadly, or have
	// numbers that are in no rule.
	p.load(archOffset)
	p.unless(unix.BPF_JEQ, auditArch, func() { p.ret(kill) })
	p.load(numberOffset)
	p.search(rules)
	return p
}

func (p *program) add(code uint16, k uint32) {
	*p = append(*p, unix.SockFilter{Code: code, K: k})
}

func (p *program) load(offset int) { p.add(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, uint32(offset)) }
func (p *program) ret(k uint32)    { p.add(unix.BPF_RET|unix.BPF_K, k) }

// unless jumps over what f adds where the comparison with k holds.
func (p *program) unless(comparison uint16, k uint32, f func()) {
	at := len(*p)
	f()
	body := slices.Clone((*p)[at:])
	*p = (*p)[:at]
	p.add(unix.BPF_JMP|unix.BPF_K|comparison, k)
	if len(body) <= math.MaxUint8 {
		(*p)[at].Jt = uint8(len(body))
	} else {
		// So far reaches only what has no condition.
		(*p)[at].Jf = 1
		p.add(unix.BPF_JMP|unix.BPF_JA, uint32(len(body)))
	}
	*p = append(*p, body...)
}

// search finds the call's rule by bisection, for the kernel tries each number
// that there is when it loads a filter.
func (p *program) search(rules []rule) {
	if middle := len(rules) / 2; middle > 0 {
		p.unless(unix.BPF_JGE, rules[middle].number, func() { p.search(rules[:middle]) })
		p.search(rules[middle:])
		return
	}
	p.unless(unix.BPF_JEQ, rules[0].number, func() { p.ret(deny) })
	if rules[0].check == nil {
		p.ret(kill)
		return
	}
	for _, w := range rules[0].check.when {
		p.load(argumentOffset + w.argument*argumentSize)
		p.add(unix.BPF_ALU|unix.BPF_AND|unix.BPF_K, w.mask)
		p.among(w.values)
	}
	p.ret(allow)
}

// among denies what is none of the values.
func (p *program) among(values []uint32) {
	p.unless(unix.BPF_JEQ, values[0], func() {
		if len(values) > 1 {
			p.among(values[1:])
		} else {
			p.ret(deny)
		}
	})
}
