// SPDX-License-Identifier: ISC

package memscan

import (
	"bytes"
	"crypto/rand"
	"os"
	"os/exec"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

const roleVariable = "MEMSCAN_TEST_ROLE"

func TestMain(m *testing.M) {
	if os.Getenv(roleVariable) != "" {
		os.Exit(hold())
	}
	os.Exit(m.Run())
}

// hold is a process with what it reads in its memory, in many ways.
func hold() int {
	const size = 100
	buf := make([]byte, size)
	if _, err := os.Stdin.Read(buf); err != nil {
		return 1
	}
	// A copy that is split between two of the scanner's reads, and one at
	// the end of the mapping.
	anonymous, err := unix.Mmap(-1, 0, 2*chunk, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return 1
	}
	for i := 0; i < len(anonymous); i += os.Getpagesize() {
		anonymous[i] = 1
	}
	copy(anonymous[chunk-size/2:], buf)
	copy(anonymous[len(anonymous)-size:], buf)
	// One that nobody can read, and one in a file of which little is
	// mapped and less is there.
	hidden, err := unix.Mmap(-1, 0, chunk, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return 1
	}
	copy(hidden[chunk/2:], buf)
	if unix.Mprotect(hidden, unix.PROT_NONE) != nil {
		return 1
	}
	fd, err := unix.MemfdCreate("test", 0)
	if err != nil {
		return 1
	}
	if _, err := unix.Write(fd, buf); err != nil {
		return 1
	}
	if _, err := unix.Mmap(fd, 0, chunk, unix.PROT_READ, unix.MAP_SHARED); err != nil {
		return 1
	}
	// A part, the other way round.
	part := anonymous[chunk/4:][:Window]
	copy(part, buf[size/2:])
	slices.Reverse(part)
	clear(buf)
	os.Stdout.WriteString("x")
	_, _ = os.Stdin.Read(buf)
	return 0
}

func TestScan(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(exe)
	c.Env = []string{roleVariable + "=hold"}
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
	defer func() {
		in.Close()
		_ = c.Wait()
	}()
	secret, other := make([]byte, 100), make([]byte, 100)
	_, _ = rand.Read(secret)
	_, _ = rand.Read(other)
	if _, err := in.Write(secret); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := Scan(c.Process.Pid, []Secret{{Name: "public", Bytes: secret[:80], Except: [][]byte{secret}}}); err == nil {
		t.Error("what is public is accepted")
	}
	hits, err := Scan(c.Process.Pid, []Secret{
		{Name: "secret", Bytes: secret},
		{Name: "end", Bytes: append(bytes.Clone(other), secret[84:]...)},
		{Name: "head", Bytes: append(bytes.Clone(secret[:50]), other...), Except: [][]byte{secret}},
		{Name: "other", Bytes: other},
	})
	if os.IsPermission(err) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range hits {
		t.Log(h)
	}
	whole, parts := 0, 0
	for _, h := range hits {
		switch {
		case h.Name != "secret":
		case h.Windows == len(secret)-Window+1:
			whole++
		case h.Windows == 1:
			parts++
		}
	}
	if whole != 4 || parts != 1 {
		t.Errorf("%d copies and %d parts, want 4 and 1", whole, parts)
	}
	for name, want := range map[string]int{"secret": 5, "end": 4, "head": 0, "other": 0} {
		if got := Count(hits, name); got != want {
			t.Errorf("%s: %d hits, want %d", name, got, want)
		}
	}
}
