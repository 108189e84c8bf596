// SPDX-License-Identifier: ISC

package wire

import (
	"encoding/binary"
	"errors"
	"math"
	"strings"
)

var (
	errShort    = errors.New("wire: message is too short")
	errTrailing = errors.New("wire: bytes follow the last field")
	errNUL      = errors.New("wire: string contains a NUL byte")
	errTooLong  = errors.New("wire: field is too long")
)

// A coder visits the fields of a message in the order of the table. The
// encoder and the decoder are two coders, so that a message has one
// description for both directions.
type coder interface {
	u8(name string, v *uint8)
	u16(name string, v *uint16)
	u32(name string, v *uint32)
	u64(name string, v *uint64)
	i64(name string, v *int64)
	bytes(name string, v *[]byte)
	str(name string, v *string)
}

type encoder struct {
	buf []byte
	err error
}

func (e *encoder) u8(_ string, v *uint8)   { e.buf = append(e.buf, *v) }
func (e *encoder) u16(_ string, v *uint16) { e.buf = binary.BigEndian.AppendUint16(e.buf, *v) }
func (e *encoder) u32(_ string, v *uint32) { e.buf = binary.BigEndian.AppendUint32(e.buf, *v) }
func (e *encoder) u64(_ string, v *uint64) { e.buf = binary.BigEndian.AppendUint64(e.buf, *v) }
func (e *encoder) i64(_ string, v *int64)  { e.buf = binary.BigEndian.AppendUint64(e.buf, uint64(*v)) }

func (e *encoder) bytes(_ string, v *[]byte) {
	if !e.length(len(*v)) {
		return
	}
	e.buf = append(e.buf, *v...)
}

func (e *encoder) str(_ string, v *string) {
	if strings.IndexByte(*v, 0) >= 0 {
		e.err = errNUL
		return
	}
	if !e.length(len(*v)) {
		return
	}
	e.buf = append(e.buf, *v...)
}

func (e *encoder) length(n int) bool {
	if uint64(n) > math.MaxUint32 {
		e.err = errTooLong
		return false
	}
	e.buf = binary.BigEndian.AppendUint32(e.buf, uint32(n))
	return true
}

// A decoder's first error stays, and the fields after it stay zero.
type decoder struct {
	buf []byte
	err error
}

func (d *decoder) next(n uint64) []byte {
	if d.err != nil {
		return nil
	}
	if n > uint64(len(d.buf)) {
		d.err = errShort
		return nil
	}
	b := d.buf[:n:n]
	d.buf = d.buf[n:]
	return b
}

func (d *decoder) u8(_ string, v *uint8) {
	if b := d.next(1); b != nil {
		*v = b[0]
	}
}

func (d *decoder) u16(_ string, v *uint16) {
	if b := d.next(2); b != nil {
		*v = binary.BigEndian.Uint16(b)
	}
}

func (d *decoder) u32(_ string, v *uint32) {
	if b := d.next(4); b != nil {
		*v = binary.BigEndian.Uint32(b)
	}
}

func (d *decoder) u64(_ string, v *uint64) {
	if b := d.next(8); b != nil {
		*v = binary.BigEndian.Uint64(b)
	}
}

func (d *decoder) i64(name string, v *int64) {
	var u uint64
	d.u64(name, &u)
	*v = int64(u)
}

// bytes aliases the decoded buffer.
func (d *decoder) bytes(name string, v *[]byte) {
	var n uint32
	d.u32(name, &n)
	*v = d.next(uint64(n))
}

func (d *decoder) str(name string, v *string) {
	var b []byte
	d.bytes(name, &b)
	if strings.IndexByte(string(b), 0) >= 0 {
		d.err = errNUL
		return
	}
	*v = string(b)
}

func (d *decoder) end() error {
	if d.err == nil && len(d.buf) != 0 {
		d.err = errTrailing
	}
	return d.err
}
