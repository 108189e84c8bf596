// SPDX-License-Identifier: ISC

//go:build cgo

package sandbox

// cgoEnabled means that libc makes calls as well, and other ones than the
// filter allows. Only tests are built so, for the race detector.
const cgoEnabled = true
