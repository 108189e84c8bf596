// SPDX-License-Identifier: ISC

package procs

import "testing"

func TestChoose(t *testing.T) {
	for _, c := range []struct {
		n, most int32
		busy    float64
		want    int32
	}{
		{1, 8, 1, 2},
		{2, 8, 0.99, 4},
		{4, 6, 1, 6},
		{1, 1, 1, 1},
		{1, 8, 0.9, 1},
		{2, 8, 0.6, 2},
		{4, 8, 0.2, 2},
		{1, 8, 0, 1},
	} {
		if got := choose(c.n, c.most, c.busy); got != c.want {
			t.Errorf("%d of %d, busy for %g: %d, want %d", c.n, c.most, c.busy, got, c.want)
		}
	}
}
