// SPDX-License-Identifier: ISC

package sandbox

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_X86_64

// What other architectures have not.
var oldCalls = []uint32{unix.SYS_FORK, unix.SYS_VFORK}

var oldProbes = []probe{
	{name: "open", try: sys(unix.SYS_OPEN, at(&rootPath[0]), unix.O_RDONLY)},
	{name: "fork", try: forking(unix.SYS_FORK, 0)},
	{name: "x32: openat", try: sys(x32|unix.SYS_OPENAT, ^uintptr(99), at(&rootPath[0]), unix.O_RDONLY)},
}

// x32 is another ABI of this architecture, in its own range of numbers.
const x32 = 0x40000000
