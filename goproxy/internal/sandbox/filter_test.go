// SPDX-License-Identifier: ISC

package sandbox

import (
	"encoding/binary"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

const testPid = 4711

// run is the kernel's machine, as far as the filter uses it.
func (p program) run(t *testing.T, arch, number uint32, args ...uint64) uint32 {
	t.Helper()
	data := make([]byte, argumentOffset+6*argumentSize)
	binary.LittleEndian.PutUint32(data[numberOffset:], number)
	binary.LittleEndian.PutUint32(data[archOffset:], arch)
	for i, a := range args {
		binary.LittleEndian.PutUint64(data[argumentOffset+i*argumentSize:], a)
	}
	var acc uint32
	for pc := 0; pc < len(p); pc++ {
		in := p[pc]
		hit := false
		switch in.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			acc = binary.LittleEndian.Uint32(data[in.K:])
			continue
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			acc &= in.K
			continue
		case unix.BPF_RET | unix.BPF_K:
			return in.K
		case unix.BPF_JMP | unix.BPF_JA | unix.BPF_K:
			pc += int(in.K)
			continue
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			hit = acc == in.K
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			hit = acc >= in.K
		default:
			t.Fatalf("instruction %d: code %#x", pc, in.Code)
		}
		if hit {
			pc += int(in.Jt)
		} else {
			pc += int(in.Jf)
		}
	}
	t.Fatal("no return")
	return 0
}

func TestFilterNumbers(t *testing.T) {
	for _, role := range Roles {
		p := newProgram(role, testPid)
		list := allowed(role, testPid)
		var numbers []uint32
		for _, c := range list {
			numbers = append(numbers, c.number)
		}
		for n := range uint32(1 << 11) {
			want := uint32(deny)
			i := slices.Index(numbers, n)
			switch {
			case slices.Contains(deadly, n):
				want = kill
			case i >= 0 && len(list[i].when) == 0:
				want = allow
			case i >= 0:
				// Arguments that no condition has.
				n := ^uint64(0)
				if got := p.run(t, auditArch, list[i].number, n, n, n, n, n, n); got != deny {
					t.Errorf("%s: call %d with all bits set: %#x", role, list[i].number, got)
				}
				continue
			}
			if got := p.run(t, auditArch, n); got != want {
				t.Errorf("%s: call %d: %#x, want %#x", role, n, got, want)
			}
			if got := p.run(t, auditArch^1, n); got != kill {
				t.Errorf("%s: call %d of another architecture: %#x", role, n, got)
			}
			if got := p.run(t, auditArch, n|1<<30); got != deny {
				t.Errorf("%s: call %d of x32: %#x", role, n, got)
			}
		}
		for i, c := range list {
			if slices.Contains(numbers[i+1:], c.number) || slices.Contains(deadly, c.number) {
				t.Errorf("%s: two rules for call %d", role, c.number)
			}
		}
	}
}

func TestFilterArguments(t *testing.T) {
	const (
		anonymous = unix.MAP_PRIVATE | unix.MAP_ANONYMOUS
		rw        = unix.PROT_READ | unix.PROT_WRITE
		seqpacket = unix.SOCK_SEQPACKET | unix.SOCK_CLOEXEC
		high      = 1 << 32
	)
	both, none := []Role{Keeper, Worker}, []Role{}
	for _, c := range []struct {
		name   string
		want   []Role // that may
		number uint32
		args   []uint64
	}{
		{"a private mapping", both, unix.SYS_MMAP, []uint64{0, 4096, rw, anonymous}},
		{"reserved memory", both, unix.SYS_MMAP, []uint64{0, 4096, 0, anonymous | unix.MAP_FIXED}},
		{"executable memory", none, unix.SYS_MMAP, []uint64{0, 4096, rw | unix.PROT_EXEC, anonymous}},
		{"a file", none, unix.SYS_MMAP, []uint64{0, 4096, rw, unix.MAP_PRIVATE}},
		// With the number of another call where a filter may have
		// forgotten which call it is about.
		{"a mapping like fcntl", none, unix.SYS_MMAP, []uint64{0, unix.F_GETFL, unix.SYS_FCNTL, unix.SYS_FCNTL}},
		{"a thread", both, unix.SYS_CLONE, []uint64{threadFlags}},
		{"a thread with its pointer", both, unix.SYS_CLONE, []uint64{threadFlags | unix.CLONE_SETTLS}},
		{"a process", none, unix.SYS_CLONE, []uint64{uint64(unix.SIGCHLD)}},
		{"a process in this memory", none, unix.SYS_CLONE, []uint64{unix.CLONE_VM | unix.CLONE_VFORK}},
		{"a thread with other files", none, unix.SYS_CLONE, []uint64{threadFlags &^ unix.CLONE_FILES}},
		{"a namespace", none, unix.SYS_CLONE, []uint64{threadFlags | unix.CLONE_NEWNET}},
		{"another namespace", none, unix.SYS_CLONE, []uint64{threadFlags | unix.CLONE_NEWUSER}},
		{"a traced thread", none, unix.SYS_CLONE, []uint64{threadFlags | unix.CLONE_PTRACE}},
		{"a thread's signal", both, unix.SYS_TGKILL, []uint64{testPid, 1, uint64(unix.SIGURG)}},
		{"another's signal", none, unix.SYS_TGKILL, []uint64{testPid + 1, 1, uint64(unix.SIGURG)}},
		{"a signal by group", none, unix.SYS_TGKILL, []uint64{^uint64(0), 1, uint64(unix.SIGURG)}},
		{"wait", both, unix.SYS_FUTEX, []uint64{0, 128}},
		{"wake", both, unix.SYS_FUTEX, []uint64{0, 129}},
		{"wait with priority inheritance", none, unix.SYS_FUTEX, []uint64{0, 128 | 6}},
		{"requeue", none, unix.SYS_FUTEX, []uint64{0, 128 | 3}},
		{"a shared futex", none, unix.SYS_FUTEX, []uint64{0, 0}},
		{"who is the peer", []Role{Worker}, unix.SYS_GETPEERNAME, []uint64{0}},
		{"who am I", none, unix.SYS_GETSOCKNAME, []uint64{0}},
		{"how many files", []Role{Worker}, unix.SYS_PRLIMIT64, []uint64{0, unix.RLIMIT_NOFILE, 0}},
		{"more files", none, unix.SYS_PRLIMIT64, []uint64{0, unix.RLIMIT_NOFILE, 4096}},
		{"limits of others", none, unix.SYS_PRLIMIT64, []uint64{1, unix.RLIMIT_NOFILE, 0}},
		{"a copy", both, unix.SYS_FCNTL, []uint64{0, unix.F_DUPFD_CLOEXEC}},
		{"flags", both, unix.SYS_FCNTL, []uint64{0, unix.F_GETFL}},
		{"close on exec", both, unix.SYS_FCNTL, []uint64{0, unix.F_SETFD}},
		{"who gets SIGIO", none, unix.SYS_FCNTL, []uint64{0, unix.F_SETOWN}},
		{"a lock", []Role{Worker}, unix.SYS_FCNTL, []uint64{0, unix.F_SETLK}},
		{"a lock that waits", none, unix.SYS_FCNTL, []uint64{0, unix.F_SETLKW}},
		{"a seal", none, unix.SYS_FCNTL, []uint64{0, unix.F_ADD_SEALS}},
		{"send", both, unix.SYS_SENDMSG, []uint64{0, 0, unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL}},
		{"send and connect", none, unix.SYS_SENDMSG, []uint64{0, 0, unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL | unix.MSG_FASTOPEN}},
		{"what kind of socket", both, unix.SYS_GETSOCKOPT, []uint64{0, unix.SOL_SOCKET, unix.SO_DOMAIN}},
		{"whose socket", none, unix.SYS_GETSOCKOPT, []uint64{0, unix.SOL_SOCKET, unix.SO_PEERCRED}},
		{"delay?", []Role{Worker}, unix.SYS_GETSOCKOPT, []uint64{0, unix.IPPROTO_TCP, unix.TCP_NODELAY}},
		{"no delay", []Role{Worker}, unix.SYS_SETSOCKOPT, []uint64{0, unix.IPPROTO_TCP, unix.TCP_NODELAY}},
		{"acknowledge", []Role{Worker}, unix.SYS_SETSOCKOPT, []uint64{0, unix.IPPROTO_TCP, unix.TCP_QUICKACK}},
		{"no delay, or so", []Role{Worker}, unix.SYS_SETSOCKOPT, []uint64{0, high | unix.IPPROTO_TCP, unix.TCP_NODELAY}},
		{"another protocol on top", none, unix.SYS_SETSOCKOPT, []uint64{0, unix.IPPROTO_TCP, unix.TCP_ULP}},
		{"a filter", none, unix.SYS_SETSOCKOPT, []uint64{0, unix.SOL_SOCKET, unix.SO_ATTACH_BPF}},
		{"how much there is", none, unix.SYS_IOCTL, []uint64{0, unix.TIOCINQ}},
		{"input for a terminal", none, unix.SYS_IOCTL, []uint64{0, unix.TIOCSTI}},
		{"a link", []Role{Keeper}, unix.SYS_SOCKETPAIR, []uint64{unix.AF_UNIX, seqpacket, 0}},
		{"a pair of datagrams", none, unix.SYS_SOCKETPAIR, []uint64{unix.AF_UNIX, unix.SOCK_DGRAM, 0}},
		{"a pair of another family", none, unix.SYS_SOCKETPAIR, []uint64{unix.AF_TIPC, seqpacket, 0}},
		{"a session file", []Role{Worker}, unix.SYS_PWRITE64, nil},
		{"a shorter session file", []Role{Worker}, unix.SYS_FTRUNCATE, nil},
		{"the end of a direction", []Role{Worker}, unix.SYS_SHUTDOWN, nil},
		{"a key file", both, unix.SYS_PREAD64, nil},
	} {
		for _, role := range Roles {
			want := uint32(deny)
			if slices.Contains(c.want, role) {
				want = allow
			}
			if got := newProgram(role, testPid).run(t, auditArch, c.number, c.args...); got != want {
				t.Errorf("%s, %s: %#x, want %#x", role, c.name, got, want)
			}
		}
	}
}
