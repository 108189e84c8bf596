// SPDX-License-Identifier: ISC

package sandbox

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const childVariable = "SANDBOX_TEST_CHILD"

// TestMain runs the checks in a child, which gives up what a test needs.
func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		child()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child() {
	if err := Apply(); err != nil {
		println("apply:", err.Error())
	}
	if n, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || n != 0 {
		println("dumpable")
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil || limit.Cur != 0 || limit.Max != 0 {
		println("core dumps")
	}
	threads, _ := filepath.Glob("/proc/self/task/*/status")
	if len(threads) < 2 {
		println("only one thread, which proves nothing")
	}
	for _, path := range threads {
		status, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(status), "NoNewPrivs:\t1\n") {
			println("privileges can be gained:", path)
		}
	}
}

func TestApply(t *testing.T) {
	c := exec.Command("/proc/self/exe")
	c.Env = []string{childVariable + "=1"}
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	if !raceEnabled && len(out) != 0 {
		t.Errorf("%s", out)
	}
}
