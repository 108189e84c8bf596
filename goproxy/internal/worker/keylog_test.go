// SPDX-License-Identifier: ISC

package worker

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestKeyLogger(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, line := range []string{"one\n", "two\n"} {
		if n, err := keyLogger(f.Fd()).Write([]byte(line)); n != len(line) || err != nil {
			t.Errorf("%q: %d, %v", line, n, err)
		}
	}
	if got, err := os.ReadFile(path); string(got) != "one\ntwo\n" {
		t.Errorf("the file has %q, %v", got, err)
	}
	// What cannot be written is nobody's trouble.
	closed, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(closed)
	if n, err := keyLogger(closed).Write([]byte("three\n")); n != 6 || err != nil {
		t.Errorf("without a right to write: %d, %v", n, err)
	}
}
