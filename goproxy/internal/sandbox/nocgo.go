// SPDX-License-Identifier: ISC

//go:build !cgo

package sandbox

const cgoEnabled = false
