// SPDX-License-Identifier: ISC

//go:build !race

package sandbox

const raceEnabled = false
