// SPDX-License-Identifier: ISC

//go:build !amd64 && !arm64

package sandbox

// auditArch is none: nobody has tried what Go needs there.
const auditArch = 0

var (
	oldCalls  []uint32
	oldProbes []probe
)
