// SPDX-License-Identifier: ISC

package sandbox

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// childVariable makes the test binary one of the children: its name and the
// arguments, separated by semicolons.
const childVariable = "SANDBOX_TEST_CHILD"

var children = map[string]func(args []string) error{
	"probe":    probeChild,
	"state":    stateChild,
	"runtime":  runtimeChild,
	"crash":    crashChild,
	"landlock": landlockChild,
}

// TestMain runs what gives up the rights that a test needs in a child.
func TestMain(m *testing.M) {
	if value := os.Getenv(childVariable); value != "" {
		args := strings.Split(value, ";")
		if err := children[args[0]](args[1:]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func childCommand(args ...string) *exec.Cmd {
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), childVariable+"="+strings.Join(args, ";"), "GORACE=atexit_sleep_ms=0")
	return c
}

func needSeccomp(t *testing.T) {
	t.Helper()
	if cgoEnabled || auditArch == 0 {
		t.Skip("no filter in this build")
	}
}

func apply(role string) error {
	r, err := Apply(Role(role))
	return errors.Join(err, r.Seccomp)
}

// stateChild is there to be looked at.
func stateChild(args []string) error {
	if _, err := Apply(Role(args[0])); err != nil {
		return err
	}
	fmt.Println("ready")
	_, err := os.Stdin.Read(make([]byte, 1))
	if err == io.EOF {
		return nil
	}
	return err
}

func TestState(t *testing.T) {
	for _, role := range Roles {
		c := childCommand("state", string(role))
		in, err := c.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if l, err := bufio.NewReader(out).ReadString('\n'); l != "ready\n" {
			t.Fatalf("%q, %v", l, err)
		}
		checkState(t, role, c.Process.Pid)
		in.Close()
		if err := c.Wait(); err != nil {
			t.Errorf("%s: %v", role, err)
		}
	}
}

func checkState(t *testing.T, role Role, pid int) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(threads) < 2 {
		t.Errorf("only one thread, which proves nothing")
	}
	for _, path := range threads {
		s, err := readStatus(path)
		if err != nil {
			t.Fatal(err)
		}
		if cgoEnabled || auditArch == 0 {
			continue
		}
		if s["NoNewPrivs"] != "1" || s["Seccomp"] != "2" {
			t.Errorf("%s, %s: NoNewPrivs %s, Seccomp %s", role, path, s["NoNewPrivs"], s["Seccomp"])
		}
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	if err != nil {
		t.Fatal(err)
	}
	for l := range bytes.Lines(limits) {
		if f := strings.Fields(string(l)); strings.HasPrefix(string(l), "Max core") && (f[4] != "0" || f[5] != "0") {
			t.Errorf("%s: %s", role, l)
		}
	}
	// The files of a process that is not dumpable are root's.
	var st unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d/mem", pid), &st); err != nil || os.Getuid() != 0 && st.Uid != 0 {
		t.Errorf("%s: dumpable: %v", role, err)
	}
}

// probeChild tries a call, in the sandbox of a role or without one.
func probeChild(args []string) error {
	list := probes()
	i := slices.IndexFunc(list, func(p probe) bool { return p.name == args[1] })
	if args[0] != "" {
		if err := apply(args[0]); err != nil {
			return err
		}
	}
	var errno syscall.Errno
	if err := list[i].try(); err != nil && !errors.As(err, &errno) {
		return err
	}
	fmt.Println(int(errno))
	return nil
}

func tryProbe(t *testing.T, role, name string) string {
	t.Helper()
	c := childCommand("probe", role, name)
	timer := time.AfterFunc(10*time.Second, func() { _ = c.Process.Kill() })
	defer timer.Stop()
	out, err := c.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == unix.SIGSYS {
		return "SIGSYS"
	}
	if n, numberErr := strconv.Atoi(strings.TrimSpace(string(out))); err == nil && numberErr == nil {
		return unix.ErrnoName(syscall.Errno(n))
	}
	return fmt.Sprintf("%q, %v", out, err)
}

func TestProbes(t *testing.T) {
	needSeccomp(t)
	for _, role := range Roles {
		for _, p := range probes() {
			if p.only != "" && p.only != role {
				continue
			}
			if got := tryProbe(t, string(role), p.name); got != "SIGSYS" && got != "EPERM" {
				t.Errorf("%s, %s: %s", role, p.name, got)
			}
		}
	}
}

// What a probe tries is not refused without the sandbox: the kernel does it or
// finds fault with the arguments.
func TestProbesProve(t *testing.T) {
	// Of these the kernel may have none, or ask for rights first.
	may := []string{"acct", "add_key", "bpf", "chroot", "clone, a user namespace",
		"clone3", "delete_module", "fanotify_init", "finit_module", "fsopen", "init_module", "io_uring_setup", "kcmp",
		"kexec_load", "keyctl", "mount", "move_mount", "name_to_handle_at", "open_by_handle_at", "open_tree",
		"perf_event_open", "pidfd_getfd", "pivot_root", "process_vm_readv", "process_vm_writev", "ptrace", "quotactl",
		"reboot", "request_key", "rt_sigqueueinfo", "setgroups", "setuid(0)", "socket, AF_VSOCK", "swapon", "syslog",
		"umount2", "unshare", "userfaultfd", "x32: openat"}
	for _, p := range probes() {
		if slices.Contains(may, p.name) {
			continue
		}
		got := tryProbe(t, "", p.name)
		if strings.HasPrefix(got, `"`) || slices.Contains([]string{"SIGSYS", "EPERM", "ENOSYS", "EACCES"}, got) {
			t.Errorf("%s without a sandbox: %s", p.name, got)
		}
	}
}

// runtimeChild makes Go's runtime do all that it can be made to do.
func runtimeChild(args []string) error {
	if err := apply(args[0]); err != nil {
		return err
	}
	var wg sync.WaitGroup
	// Threads, each of which sits in a system call.
	pairs := make([]int, 0, 2*48)
	for range 48 {
		if args[0] == string(Keeper) {
			p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			pairs = append(pairs, p[0], p[1])
			wg.Go(func() { _, _ = unix.Read(p[0], make([]byte, 1)) })
		} else {
			wg.Go(func() { _, _ = unix.Poll(nil, 50) })
		}
	}
	// Loops that have to be interrupted, for the collector to run.
	var stop atomic.Bool
	for range 2 {
		wg.Go(func() {
			for n := 0; !stop.Load(); {
				for range 1 << 20 {
					n++
				}
			}
		})
	}
	// Memory, large and small, kept and given back.
	for size := 1 << 8; size < 1<<25; size <<= 5 {
		b := make([]byte, size)
		if _, err := rand.Read(b); err != nil {
			return err
		}
		wg.Go(func() { deep(1 << 14) })
		runtime.GC()
	}
	debug.FreeOSMemory()
	stop.Store(true)
	for i := 1; i < len(pairs); i += 2 {
		unix.Close(pairs[i])
	}
	wg.Wait()
	timer := time.NewTicker(time.Millisecond)
	for range 20 {
		<-timer.C
	}
	// The zone is in no file.
	if s := time.Now().Format("MST"); s != "UTC" {
		return errors.New(s)
	}
	func() {
		defer func() { _ = recover() }()
		var p *int
		*p = 1
	}()
	if _, err := os.Open("/"); !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("open: %w", err)
	}
	fmt.Println("done")
	return nil
}

func deep(n int) int {
	var pad [64]int
	if n == 0 {
		return pad[0]
	}
	return deep(n-1) + pad[n%64]
}

func TestRuntime(t *testing.T) {
	needSeccomp(t)
	for _, role := range Roles {
		out, err := childCommand("runtime", string(role)).CombinedOutput()
		if err != nil || string(out) != "done\n" {
			t.Errorf("%s: %v\n%s", role, err, out)
		}
	}
}

// crashChild ends as any Go program does.
func crashChild(args []string) error {
	if err := apply(args[0]); err != nil {
		return err
	}
	panic("on purpose")
}

func TestCrash(t *testing.T) {
	needSeccomp(t)
	out, err := childCommand("crash", string(Worker)).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 || !bytes.Contains(out, []byte("on purpose")) {
		t.Errorf("%v\n%s", err, out)
	}
}

// landlockChild has only the Landlock.
func landlockChild(args []string) error {
	abi, err := restrict()
	if err != nil {
		return err
	}
	_, err = os.ReadFile("/proc/self/status")
	fmt.Println("open:", errnoName(err))
	_, err = os.ReadDir("/")
	fmt.Println("list:", errnoName(err))
	fmt.Println("execute:", errnoName(unix.Exec("/proc/self/exe", nil, nil)))
	if abi >= 4 {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err != nil {
			return err
		}
		port, err := strconv.Atoi(args[0])
		if err != nil {
			return err
		}
		fmt.Println("connect:", errnoName(unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})))
		fmt.Println("bind:", errnoName(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})))
	}
	if abi >= 6 {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		if err != nil {
			return err
		}
		fmt.Println("abstract socket:", errnoName(unix.Connect(fd, &unix.SockaddrUnix{Name: args[1]})))
		fmt.Println("kill:", errnoName(unix.Kill(os.Getppid(), 0)))
	}
	return nil
}

func TestLandlock(t *testing.T) {
	tcp, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	abstract, err := net.Listen("unix", fmt.Sprintf("@sandbox-test-%d", os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	defer abstract.Close()
	c := childCommand("landlock", strconv.Itoa(tcp.Addr().(*net.TCPAddr).Port), abstract.Addr().String())
	out, err := c.Output()
	if err != nil {
		t.Skipf("no Landlock: %s", out)
	}
	if len(out) == 0 {
		t.Error("nothing was tried")
	}
	for l := range bytes.Lines(out) {
		if !strings.HasSuffix(string(l), ": EACCES\n") && !strings.HasSuffix(string(l), ": EPERM\n") {
			t.Errorf("%s", l)
		}
	}
}
