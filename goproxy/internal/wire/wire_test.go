// SPDX-License-Identifier: ISC

package wire

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const vectorDir = "../../../tests/vectors"

// A vector is one of those that tests/vectors/README describes.
type vector struct {
	where, title, message string
	ok                    bool
	fds                   int
	fields                []string // "name value"
	bytes                 []byte
}

func readVectors(t testing.TB) []*vector {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(vectorDir, "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no vectors: %v", err)
	}
	var all []*vector
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		titles := make(map[string]bool)
		var v *vector
		for i, line := range strings.Split(string(data), "\n") {
			line, _, _ = strings.Cut(line, "#")
			line = strings.TrimRight(line, " ")
			if line == "" {
				continue
			}
			where := fmt.Sprintf("%s:%d", filepath.Base(file), i+1)
			key, rest, _ := strings.Cut(line, " ")
			if (v == nil) != (key == "vector") {
				t.Fatalf("%s: %s out of place", where, key)
			}
			switch key {
			case "vector":
				if titles[rest] {
					t.Fatalf("%s: %q again", where, rest)
				}
				titles[rest] = true
				v = &vector{where: where, title: rest, fds: -1}
			case "message":
				v.message = rest
			case "expect":
				if rest != "ok" && rest != "error" {
					t.Fatalf("%s: expect %s", where, rest)
				}
				v.ok = rest == "ok"
			case "fds":
				if v.fds, err = strconv.Atoi(rest); err != nil {
					t.Fatalf("%s: %v", where, err)
				}
			case "field":
				v.fields = append(v.fields, rest)
			case "bytes":
				b, err := hex.DecodeString(strings.ReplaceAll(rest, " ", ""))
				if err != nil {
					t.Fatalf("%s: %v", where, err)
				}
				v.bytes = append(v.bytes, b...)
			case "end":
				if v.fds < 0 || v.bytes == nil {
					t.Fatalf("%s: vector without fds or bytes", where)
				}
				all = append(all, v)
				v = nil
			default:
				t.Fatalf("%s: unknown key %q", where, key)
			}
		}
		if v != nil {
			t.Fatalf("%s: no end", v.where)
		}
	}
	return all
}

// A printer is a coder that writes fields as vectors have them.
type printer struct{ fields []string }

func (p *printer) add(name string, v any)       { p.fields = append(p.fields, fmt.Sprint(name, " ", v)) }
func (p *printer) u8(name string, v *uint8)     { p.add(name, *v) }
func (p *printer) u16(name string, v *uint16)   { p.add(name, *v) }
func (p *printer) u32(name string, v *uint32)   { p.add(name, *v) }
func (p *printer) u64(name string, v *uint64)   { p.add(name, *v) }
func (p *printer) i64(name string, v *int64)    { p.add(name, *v) }
func (p *printer) str(name string, v *string)   { p.hex(name, []byte(*v)) }
func (p *printer) bytes(name string, v *[]byte) { p.hex(name, *v) }

func (p *printer) hex(name string, v []byte) {
	if len(v) == 0 {
		p.add(name, "-")
		return
	}
	p.add(name, hex.EncodeToString(v))
}

// A setter is a coder that takes the fields of a vector.
type setter struct {
	t      *testing.T
	fields []string
}

func (s *setter) next(name string) string {
	if len(s.fields) == 0 {
		s.t.Fatalf("no field %s", name)
	}
	got, value, _ := strings.Cut(s.fields[0], " ")
	if got != name {
		s.t.Fatalf("field %s instead of %s", got, name)
	}
	s.fields = s.fields[1:]
	return value
}

func (s *setter) uint(name string, bits int) uint64 {
	v, err := strconv.ParseUint(s.next(name), 10, bits)
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}

func (s *setter) hex(name string) []byte {
	value := s.next(name)
	if value == "-" {
		return nil
	}
	b, err := hex.DecodeString(value)
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

func (s *setter) u8(name string, v *uint8)     { *v = uint8(s.uint(name, 8)) }
func (s *setter) u16(name string, v *uint16)   { *v = uint16(s.uint(name, 16)) }
func (s *setter) u32(name string, v *uint32)   { *v = uint32(s.uint(name, 32)) }
func (s *setter) u64(name string, v *uint64)   { *v = s.uint(name, 64) }
func (s *setter) str(name string, v *string)   { *v = string(s.hex(name)) }
func (s *setter) bytes(name string, v *[]byte) { *v = s.hex(name) }

func (s *setter) i64(name string, v *int64) {
	i, err := strconv.ParseInt(s.next(name), 10, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	*v = i
}

func rowNamed(name string) *row {
	for i := range table {
		if table[i].name == name {
			return &table[i]
		}
	}
	return nil
}

func TestVectors(t *testing.T) {
	seen := make(map[string]bool)
	for _, v := range readVectors(t) {
		seen[fmt.Sprint(v.message, v.ok)] = true
		t.Run(v.message+"/"+v.title, func(t *testing.T) {
			r := rowNamed(v.message)
			if r == nil {
				t.Fatalf("%s: no such message", v.where)
			}
			if r.new == nil {
				ok := len(v.bytes) == 1 && uint16(v.bytes[0]) == r.number && v.fds >= r.minFds && v.fds <= r.maxFds
				if ok != v.ok {
					t.Errorf("%s: ok is %v", v.where, ok)
				}
				return
			}
			m, err := Decode(r.sender, r.channel, v.bytes, v.fds)
			if !v.ok {
				if err == nil {
					t.Errorf("%s: no error", v.where)
				}
				return
			}
			if err != nil {
				t.Fatalf("%s: %v", v.where, err)
			}
			checkGood(t, r, v, m)
		})
	}
	for _, r := range table {
		for _, ok := range []bool{true, false} {
			if !seen[fmt.Sprint(r.name, ok)] {
				t.Errorf("%s has no vector with ok %v", r.name, ok)
			}
		}
	}
}

func checkGood(t *testing.T, r *row, v *vector, m Message) {
	var p printer
	m.fields(&p)
	if !slices.Equal(p.fields, v.fields) {
		t.Errorf("%s: decoded to %q, want %q", v.where, p.fields, v.fields)
	}
	made := r.new()
	s := &setter{t: t, fields: v.fields}
	made.fields(s)
	if len(s.fields) != 0 {
		t.Errorf("%s: unknown fields %q", v.where, s.fields)
	}
	for _, m := range []Message{m, made} {
		if b, err := Encode(m); err != nil || !bytes.Equal(b, v.bytes) {
			t.Errorf("%s: encoded to %x, %v", v.where, b, err)
		}
	}
	for n := range v.bytes {
		if _, err := Decode(r.sender, r.channel, v.bytes[:n], v.fds); err == nil {
			t.Errorf("%s: prefix of %d bytes is accepted", v.where, n)
		}
	}
	for b := range 256 {
		if _, err := Decode(r.sender, r.channel, append(bytes.Clone(v.bytes), byte(b)), v.fds); err == nil {
			t.Errorf("%s: suffix 0x%02x is accepted", v.where, b)
		}
	}
}

// A typist is a coder that writes what the table says about the fields.
type typist struct{ fields []string }

func (p *typist) add(name, typ string)         { p.fields = append(p.fields, name+":"+typ) }
func (p *typist) u8(name string, _ *uint8)     { p.add(name, "u8") }
func (p *typist) u16(name string, _ *uint16)   { p.add(name, "u16") }
func (p *typist) u32(name string, _ *uint32)   { p.add(name, "u32") }
func (p *typist) u64(name string, _ *uint64)   { p.add(name, "u64") }
func (p *typist) i64(name string, _ *int64)    { p.add(name, "i64") }
func (p *typist) str(name string, _ *string)   { p.add(name, "str") }
func (p *typist) bytes(name string, _ *[]byte) { p.add(name, "bytes") }

func TestTable(t *testing.T) {
	numbers := make(map[uint16]bool)
	for _, r := range table {
		if numbers[r.number] {
			t.Errorf("number 0x%04x twice", r.number)
		}
		numbers[r.number] = true
		if r.new == nil {
			continue
		}
		m := r.new()
		if m.number() != r.number {
			t.Errorf("%s makes a message with number 0x%04x", r.name, m.number())
		}
		var p typist
		m.fields(&p)
		want := strings.Join(p.fields, " ")
		if want == "" {
			want = "-"
		}
		if r.fields != want {
			t.Errorf("%s has %q in the table and %q in the code", r.name, r.fields, want)
		}
	}
}

func TestWrongPlace(t *testing.T) {
	b, err := Encode(&Hello{})
	if err != nil {
		t.Fatal(err)
	}
	for _, place := range [][2]string{{"library", "draft"}, {"keeper", "control"}, {"worker", "link"}} {
		if _, err := Decode(place[0], place[1], b, 1); err == nil {
			t.Errorf("HELLO from the %s on %s is accepted", place[0], place[1])
		}
	}
}

func frame(t testing.TB, m Message) []byte {
	t.Helper()
	b, err := EncodeFrame(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDocument(t *testing.T) {
	settings := frame(t, &Settings{Role: RoleClient})
	pair := frame(t, &Keypair{Slot: 1, Certificate: []byte("x")})
	staple := func(pair uint32) []byte { return frame(t, &Staple{Pair: pair, Response: []byte("r")}) }
	key := func(revision uint32) []byte {
		return frame(t, &TicketKey{Revision: revision, Key: make([]byte, TicketKeySize)})
	}
	for _, tt := range []struct {
		name string
		doc  []byte
		ok   bool
	}{
		{"settings", settings, true},
		{"pairs", slices.Concat(settings, pair, pair), true},
		{"staples", slices.Concat(settings, pair, pair, staple(1), staple(0)), true},
		{"keys", slices.Concat(settings, key(3), key(2), key(1), key(0)), true},
		{"everything", slices.Concat(settings, pair, staple(0), key(1)), true},
		{"empty", nil, false},
		{"no settings", pair, false},
		{"pair first", slices.Concat(pair, settings), false},
		{"staple first", slices.Concat(staple(0), settings, pair), false},
		{"key first", slices.Concat(key(0), settings), false},
		{"pair after staple", slices.Concat(settings, pair, staple(0), pair), false},
		{"pair after key", slices.Concat(settings, key(0), pair), false},
		{"staple of no pair", slices.Concat(settings, pair, staple(1)), false},
		{"two staples", slices.Concat(settings, pair, staple(0), staple(0)), false},
		{"two keys", slices.Concat(settings, key(1), key(1)), false},
		{"five keys", slices.Concat(settings, key(0), key(1), key(2), key(3), key(4)), false},
		{"short key", slices.Concat(settings, frame(t, &TicketKey{Key: make([]byte, 47)})), false},
		{"long key", slices.Concat(settings, frame(t, &TicketKey{Key: make([]byte, 49)})), false},
		{"two settings", slices.Concat(settings, settings), false},
		{"other message", slices.Concat(settings, frame(t, &Start{})), false},
		{"long frame", slices.Concat(settings, []byte{0xff, 0xff, 0xff, 0xff}), false},
		{"empty frame", slices.Concat(settings, []byte{0, 0, 0, 0}), false},
		{"role", frame(t, &Settings{Role: 3}), false},
		{"verify_client", frame(t, &Settings{Role: RoleServer, VerifyClient: 3}), false},
		{"prefer_client", frame(t, &Settings{Role: RoleServer, PreferClient: 2}), false},
		{"check_crl", frame(t, &Settings{Role: RoleServer, CheckCRL: 2}), false},
		{"ciphers", frame(t, &Settings{Role: RoleServer, Ciphers: make([]byte, 3)}), false},
		{"groups", frame(t, &Settings{Role: RoleServer, Groups: make([]byte, 1)}), false},
		{"session id", frame(t, &Settings{Role: RoleServer, SessionID: make([]byte, SessionIDSize)}), true},
		{"short session id", frame(t, &Settings{Role: RoleServer, SessionID: make([]byte, 31)}), false},
		{"no session id", frame(t, &Settings{Role: RoleServer, SessionLifetime: 1}), false},
	} {
		_, pairs, _, err := DecodeDocument(tt.doc)
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v, %d pairs", tt.name, err, len(pairs))
		}
	}
	good := slices.Concat(settings, pair)
	for n := range good {
		if _, _, _, err := DecodeDocument(good[:n]); err == nil && n != len(settings) {
			t.Errorf("prefix of %d bytes is accepted", n)
		}
	}
	if _, _, _, err := DecodeDocument(make([]byte, MaxDocument+1)); err != errTooLong {
		t.Errorf("a document too long: %v", err)
	}
}

func TestUpdate(t *testing.T) {
	staple := frame(t, &Staple{Pair: 7, Response: []byte("r")})
	key := frame(t, &TicketKey{Revision: 1, Key: make([]byte, TicketKeySize)})
	for _, tt := range []struct {
		name string
		doc  []byte
		ok   bool
	}{
		{"empty", nil, true},
		{"both", slices.Concat(staple, key), true},
		{"settings", frame(t, &Settings{Role: RoleClient}), false},
		{"pair", frame(t, &Keypair{}), false},
		{"two staples", slices.Concat(staple, staple), false},
		{"two keys", slices.Concat(key, key), false},
		{"protocols", slices.Concat(key, frame(t, &ALPN{}), staple), true},
		{"protocols twice", slices.Concat(frame(t, &ALPN{}), frame(t, &ALPN{})), false},
		{"other message", frame(t, &Start{}), false},
		{"cut off", key[:len(key)-1], false},
	} {
		live, err := DecodeUpdate(tt.doc)
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
		if tt.name != "both" || err != nil {
			continue
		}
		if len(live.TicketKeys) != 1 || len(live.Staples) != 1 || live.Staples[0].Pair != 7 {
			t.Errorf("%+v", live)
		}
		if live.Check(7) == nil || live.Check(8) != nil {
			t.Error("pairs are not counted")
		}
	}
	if _, err := DecodeUpdate(make([]byte, MaxDocument+1)); err != errTooLong {
		t.Errorf("an update too long: %v", err)
	}
}

func TestEncodeErrors(t *testing.T) {
	if _, err := Encode(&Failed{Error: "a\x00b"}); err != errNUL {
		t.Errorf("NUL: %v", err)
	}
	if _, err := EncodeFrame(&Established{Chain: make([]byte, MaxFrame)}); err != errTooLong {
		t.Errorf("frame too long: %v", err)
	}
}

// Whatever decodes encodes to the same bytes.
func FuzzDecode(f *testing.F) {
	for _, v := range readVectors(f) {
		f.Add(v.bytes, v.fds)
	}
	f.Fuzz(func(t *testing.T, b []byte, fds int) {
		for _, r := range table {
			m, err := Decode(r.sender, r.channel, b, fds)
			if err != nil {
				continue
			}
			if again, err := Encode(m); err != nil || !bytes.Equal(again, b) {
				t.Errorf("%s: %x encodes to %x, %v", r.name, b, again, err)
			}
		}
	})
}

func FuzzDecodeDocument(f *testing.F) {
	f.Add(slices.Concat(frame(f, &Settings{Role: RoleServer}), frame(f, &Keypair{Slot: 1}),
		frame(f, &Staple{Response: []byte("x")}), frame(f, &TicketKey{Key: make([]byte, TicketKeySize)})))
	f.Fuzz(func(t *testing.T, b []byte) {
		settings, pairs, live, err := DecodeDocument(b)
		if err != nil {
			return
		}
		again := frame(t, settings)
		for _, p := range pairs {
			again = append(again, frame(t, p)...)
		}
		rest, ok := bytes.CutPrefix(b, again)
		if !ok {
			t.Errorf("%x encodes to %x", b, again)
		}
		update, err := DecodeUpdate(rest)
		if err != nil || !reflect.DeepEqual(live, update) {
			t.Errorf("%x: %+v, %+v, %v", b, live, update, err)
		}
	})
}
