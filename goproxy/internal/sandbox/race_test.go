// SPDX-License-Identifier: ISC

//go:build race

package sandbox

// raceEnabled means cgo, with which not all threads can be reached.
const raceEnabled = true
