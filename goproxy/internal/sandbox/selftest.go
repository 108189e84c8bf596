// SPDX-License-Identifier: ISC

package sandbox

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// stateProbe is the name of no call: the process says what it has applied, and
// waits until it has been looked at.
const stateProbe = "state"

// Probe is what the self-test starts in place of a role: it applies the
// sandbox, tries the call of that name and prints the error number, 0 for none.
func Probe(role Role, name string) error {
	list := probes()
	i := slices.IndexFunc(list, func(p probe) bool { return p.name == name })
	if i < 0 && name != stateProbe {
		return fmt.Errorf("no such probe: %s", name)
	}
	// Nothing can be opened in the root that the supervisor makes. Soon
	// nobody can tell: the caller may not look at this process.
	_, rootErr := os.Open("/")
	r, err := Apply(role)
	if err != nil {
		return err
	}
	if name == stateProbe {
		fmt.Printf("%d\n%v\n%v\n%v\n", r.LandlockABI, r.Landlock, r.Seccomp, errors.Is(rootErr, unix.ESRCH))
		_, _ = os.Stdin.Read(make([]byte, 1))
		return nil
	}
	var errno syscall.Errno
	if err := list[i].try(); err != nil && !errors.As(err, &errno) {
		return err
	}
	fmt.Println(int(errno))
	return nil
}

// SelfTest starts processes as the supervisor starts the roles, and tries from
// each what the role must not be able to do. It prints what it finds, and
// reports whether nothing was allowed.
func SelfTest(out io.Writer) (ok bool, err error) {
	exe, err := os.Executable()
	if err != nil {
		return false, err
	}
	t := &tester{supervisor: filepath.Join(filepath.Dir(exe), "supervisor")}
	// Who may run it may not be allowed to read it.
	if t.goproxy, err = os.OpenFile(exe, unix.O_PATH, 0); err != nil {
		return false, err
	}
	defer t.goproxy.Close()
	for _, role := range Roles {
		if err := t.role(role); err != nil {
			return false, fmt.Errorf("%s: %w", role, err)
		}
	}
	w := bufio.NewWriter(out)
	fmt.Fprintf(w, "%-8s%-13s%-34s%s\n", "ROLE", "RESULT", "WHAT", "HOW")
	var refused, allowed, lacking int
	for _, l := range t.lines {
		fmt.Fprintf(w, "%-8s%-13s%-34s%s\n", l.role, l.verdict, l.what, l.how)
		switch l.verdict {
		case isRefused:
			refused++
		case isAllowed:
			allowed++
		case notApplied:
			lacking++
		}
	}
	fmt.Fprintf(w, "%d refused, %d allowed, %d not applied\n", refused, allowed, lacking)
	return allowed == 0, w.Flush()
}

// Verdicts.
const (
	isApplied  = "applied"
	notApplied = "not applied"
	isRefused  = "refused"
	isAllowed  = "ALLOWED"
)

type line struct {
	role               Role
	verdict, what, how string
}

type tester struct {
	supervisor string
	goproxy    *os.File
	lines      []line
}

func (t *tester) role(role Role) error {
	if err := t.state(role); err != nil {
		return err
	}
	for _, p := range probes() {
		if p.only != "" && p.only != role {
			continue
		}
		verdict, how, err := t.try(role, p.name)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		t.lines = append(t.lines, line{role, verdict, p.name, how})
	}
	return nil
}

func (t *tester) command(role Role, name string) *exec.Cmd {
	c := exec.Command(t.supervisor, string(role), name)
	c.Env = []string{}
	c.Stderr = os.Stderr
	// The supervisor expects goproxy as descriptor 4.
	c.ExtraFiles = []*os.File{t.goproxy, t.goproxy}
	return c
}

// try runs a probe and says what came of it.
func (t *tester) try(role Role, name string) (verdict, how string, err error) {
	c := t.command(role, name)
	out, err := c.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		status := exit.Sys().(syscall.WaitStatus)
		if status.Signaled() && status.Signal() == unix.SIGSYS {
			return isRefused, "killed by SIGSYS", nil
		}
	}
	if err != nil {
		return "", "", err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		return "", "", err
	}
	switch errno := syscall.Errno(n); errno {
	case unix.EPERM, unix.EACCES, unix.ENOSYS:
		return isRefused, unix.ErrnoName(errno), nil
	case 0:
		return isAllowed, "", nil
	default:
		return isAllowed, unix.ErrnoName(errno), nil
	}
}

// state looks at a process of the role from outside.
func (t *tester) state(role Role) error {
	c := t.command(role, stateProbe)
	in, err := c.StdinPipe()
	if err != nil {
		return err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	err = t.look(role, c.Process.Pid, bufio.NewReader(out))
	in.Close()
	return errors.Join(err, c.Wait())
}

func (t *tester) look(role Role, pid int, out *bufio.Reader) error {
	add := func(applied bool, what, how string) {
		verdict := notApplied
		if applied {
			verdict = isApplied
		}
		t.lines = append(t.lines, line{role, verdict, what, how})
	}
	var said [4]string // the ABI, two errors, whether the root is empty
	for i := range said {
		l, err := out.ReadString('\n')
		if err != nil {
			return err
		}
		said[i] = strings.TrimSpace(l)
	}
	s, err := readStatus(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return err
	}

	// The program may have a filter of its own.
	filtered := said[2] == fmt.Sprint(error(nil))
	how := "a filter on all threads"
	if !filtered {
		how = said[2]
	}
	add(filtered && s["Seccomp"] == "2", "seccomp", how)
	add(s["NoNewPrivs"] == "1", "no_new_privs", "")
	how = "ABI " + said[0]
	if said[0] == "0" {
		how = said[1]
	}
	add(said[0] != "0", "Landlock", how)
	none := true
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapAmb"} {
		none = none && s[set] == noCapabilities
	}
	add(none, "no capabilities", "")
	add(s["CapBnd"] == noCapabilities, "none to gain", "the bounding set is "+s["CapBnd"])

	uid, caller := strings.Fields(s["Uid"]), os.Geteuid()
	how = "it is " + uid[1]
	if caller != 0 {
		how = "not started by root: it is " + uid[1]
	}
	add(uid[1] != strconv.Itoa(caller), "a user of its own", how)
	add(s["Groups"] == "", "no more groups", s["Groups"])
	how = ""
	if caller != 0 {
		how = "not started by root"
	}
	add(said[3] == "true", "an empty root", how)
	t.memory(add, role, pid, caller)
	return nil
}

const noCapabilities = "0000000000000000"

func readStatus(path string) (map[string]string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s := make(map[string]string)
	for l := range bytes.Lines(b) {
		name, value, _ := strings.Cut(string(l), ":")
		s[name] = strings.TrimSpace(value)
	}
	return s, nil
}

// memory tries what a debugger does, of which root alone is capable.
func (t *tester) memory(add func(bool, string, string), role Role, pid, caller int) {
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	cores := err != nil
	for l := range bytes.Lines(limits) {
		f := strings.Fields(string(l))
		if strings.HasPrefix(string(l), "Max core file size") {
			cores = f[4] != "0" || f[5] != "0"
		}
	}
	add(!cores, "no core dumps", "")
	if caller == 0 {
		return
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.lines = append(t.lines, line{role, isRefused, "to its user, /proc/PID/mem", errnoName(err)})
		return
	}
	f.Close()
	t.lines = append(t.lines, line{role, isAllowed, "to its user, /proc/PID/mem", ""})
}

func errnoName(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return unix.ErrnoName(errno)
	}
	return err.Error()
}
