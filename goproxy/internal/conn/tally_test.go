// SPDX-License-Identifier: ISC

package conn

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"libtls-proxy/goproxy/internal/wire"
)

// A report has room for whatever names there are.
func TestStateBounds(t *testing.T) {
	c := common{servername: strings.Repeat("a", wire.MaxMessage)}
	for _, state := range []string{"handshake", "established"} {
		m := c.state()
		if b, err := wire.Encode(m); err != nil || len(b) > 1024 || m.Servername == "" {
			t.Errorf("%s: %d bytes, %v", state, len(b), err)
		}
		c.note(&wire.Established{Servername: c.servername})
	}
}

// The peer can make causes up; they are bounded in length and number.
func TestTallyBounds(t *testing.T) {
	var tally Tally
	tally.shaken(true)
	tally.shaken(false)
	for range 3 {
		tally.failed("once and again")
	}
	for i := range 1000 {
		tally.broken(fmt.Sprintf("%d %s", i, strings.Repeat("ä", 200)))
	}
	m, causes := tally.State()
	if m.Full != 1 || m.Resumed != 1 || m.Failed != 3 || m.Broken != 1000 {
		t.Errorf("%+v", m)
	}
	if len(causes) != int(m.Causes) || len(causes) != maxCauses+1 {
		t.Errorf("%d causes, %d announced", len(causes), m.Causes)
	}
	counts := make(map[string]uint64)
	for _, c := range causes {
		if len(c.Cause) > maxCause || !utf8.ValidString(c.Cause) {
			t.Errorf("%q", c.Cause)
		}
		counts[c.Cause] = c.Count
	}
	if counts["once and again"] != 3 || counts[otherCauses] != 1000-(maxCauses-1) {
		t.Errorf("%v", counts)
	}
}
