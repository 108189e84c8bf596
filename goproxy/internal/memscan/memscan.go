// SPDX-License-Identifier: ISC

// Package memscan looks for secrets in the memory of a process. The demo and
// the tests use it; it is no part of goproxy.
package memscan

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Window is how many bytes in a row of a secret count as found: too many to
// be there by chance.
const Window = 12

// A Secret is what to look for: each window of its bytes, in their order and
// in the reverse one, in which big numbers are kept.
type Secret struct {
	Name  string
	Bytes []byte
	// Windows of these are no secret, such as how all files of a kind
	// begin.
	Except [][]byte
}

// A Hit is a place where a secret lies, whole or in part.
type Hit struct {
	Name    string
	Address uint64 // of the secret's first byte, were it whole
	Windows int    // that are there
	Mapping string // a line of /proc/PID/maps
}

func (h *Hit) String() string {
	return fmt.Sprintf("%s: %d windows at %x in %s", h.Name, h.Windows, h.Address, h.Mapping)
}

// Count returns the number of places where a secret lies.
func Count(hits []*Hit, name string) int {
	n := 0
	for _, h := range hits {
		if h.Name == name {
			n++
		}
	}
	return n
}

type window [Window]byte

// An origin is a window's place in a secret: its offset in the bytes, which
// are in one of two orders.
type origin struct {
	secret, offset int
	reversed       bool
}

// A place is where a secret begins.
type place struct {
	secret   int
	address  uint64
	reversed bool
}

type scanner struct {
	secrets []Secret
	windows map[window][]origin
	// filter has the hash of the first half of each window, so that most
	// of the memory needs no look into the map.
	filter [1 << hashBits]bool
	places map[place]*Hit
	hits   []*Hit
}

const hashBits = 16

func hash(b []byte) uint64 {
	return binary.NativeEndian.Uint64(b) * 0x9e3779b97f4a7c15 >> (64 - hashBits)
}

// Scan reads all memory of a process: each mapping, whatever it is of. The
// process should be idle, as what moves meanwhile may be found twice, or not
// at all.
func Scan(pid int, secrets []Secret) ([]*Hit, error) {
	s := &scanner{secrets: secrets, windows: make(map[window][]origin), places: make(map[place]*Hit)}
	for i := range secrets {
		if err := s.add(i); err != nil {
			return nil, err
		}
	}
	m, err := openMemory(pid)
	if err != nil {
		return nil, err
	}
	defer m.close()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return nil, err
	}
	size := 0
	for line := range strings.Lines(string(maps)) {
		n, err := s.mapping(m, strings.TrimSpace(line))
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", line, err)
		}
		size += n
	}
	if size == 0 {
		return nil, errors.New("the process has no memory")
	}
	return s.hits, nil
}

func (s *scanner) add(i int) error {
	secret := s.secrets[i]
	except := make(map[window]bool)
	for _, b := range secret.Except {
		for _, w := range windowsOf(b) {
			except[w] = true
		}
	}
	windows := windowsOf(secret.Bytes)
	found := false
	for j, w := range windows {
		// A row of one byte may be anywhere.
		if except[w] || bytes.Count(w[:], w[:1]) == Window {
			continue
		}
		found = true
		s.addWindow(w, origin{i, j, false})
		slices.Reverse(w[:])
		s.addWindow(w, origin{i, len(windows) - 1 - j, true})
	}
	if !found {
		return fmt.Errorf("%s is too short", secret.Name)
	}
	return nil
}

func windowsOf(b []byte) []window {
	var all []window
	for ; len(b) >= Window; b = b[1:] {
		all = append(all, window(b))
	}
	return all
}

func (s *scanner) addWindow(w window, o origin) {
	s.windows[w] = append(s.windows[w], o)
	s.filter[hash(w[:])] = true
}

// chunk is how much is read at a time.
const chunk = 1 << 20

// mapping scans one, given as a line of maps, and returns how much there was.
func (s *scanner) mapping(m *memory, line string) (int, error) {
	var start, end, inode uint64
	var perms, offset, device string
	if _, err := fmt.Sscanf(line, "%x-%x %s %s %s %d", &start, &end, &perms, &offset, &device, &inode); err != nil {
		return 0, err
	}
	if strings.HasSuffix(line, "[vsyscall]") || strings.Contains(line, "[vvar") {
		// The kernel's own.
		return 0, nil
	}
	// What continues the memory before it begins with the end of that.
	buf := make([]byte, Window-1+chunk)
	kept, size := 0, 0
	for at := start; at < end; {
		n, hole, err := m.read(buf[kept:kept+int(min(end-at, chunk))], at, inode != 0)
		if err != nil {
			return size, err
		}
		if n == 0 {
			kept = 0
			at += hole
			continue
		}
		kept += n
		s.scan(buf[:kept], at+uint64(n)-uint64(kept), line)
		size += n
		at += uint64(n)
		kept = copy(buf, buf[max(0, kept-(Window-1)):kept])
	}
	return size, nil
}

func (s *scanner) scan(buf []byte, address uint64, line string) {
	for i := range len(buf) - (Window - 1) {
		w := buf[i : i+Window]
		if !s.filter[hash(w)] {
			continue
		}
		for _, o := range s.windows[window(w)] {
			s.hit(place{o.secret, address + uint64(i-o.offset), o.reversed}, line)
		}
	}
}

func (s *scanner) hit(p place, line string) {
	h := s.places[p]
	if h == nil {
		h = &Hit{Name: s.secrets[p.secret].Name, Address: p.address, Mapping: line}
		s.places[p] = h
		s.hits = append(s.hits, h)
	}
	h.Windows++
}

// A memory is that of a process.
type memory struct {
	mem, pagemap *os.File
	pageSize     uint64
}

func openMemory(pid int) (*memory, error) {
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return nil, err
	}
	pagemap, err := os.Open(fmt.Sprintf("/proc/%d/pagemap", pid))
	if err != nil {
		mem.Close()
		return nil, err
	}
	return &memory{mem, pagemap, uint64(os.Getpagesize())}, nil
}

func (m *memory) close() {
	m.mem.Close()
	m.pagemap.Close()
}

// read returns how much of p it has filled. Where that is nothing there are no
// pages in the next so many bytes: memory that was never touched, or what is
// beyond the end of a mapped file.
func (m *memory) read(p []byte, at uint64, file bool) (n int, hole uint64, err error) {
	// Go reserves much memory that it does not touch.
	if !file {
		size, touched, err := m.run(at, uint64(len(p)))
		if err != nil || !touched {
			return 0, size, err
		}
		p = p[:size]
	}
	n, err = m.mem.ReadAt(p, int64(at))
	switch {
	case n > 0:
		return n, 0, nil
	case errors.Is(err, unix.EIO) && file:
		return 0, m.pageSize, nil
	case err == nil || err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	return 0, 0, err
}

// run returns how many of the size bytes from there on are alike: in memory or
// in swap, or neither.
func (m *memory) run(at, size uint64) (n uint64, touched bool, err error) {
	const swapped, present = 1 << 62, 1 << 63
	pages := make([]byte, 8*(size/m.pageSize))
	if _, err := m.pagemap.ReadAt(pages, int64(at/m.pageSize*8)); err != nil {
		return 0, false, err
	}
	for ; len(pages) != 0; pages = pages[8:] {
		is := binary.NativeEndian.Uint64(pages)&(swapped|present) != 0
		if n == 0 {
			touched = is
		} else if is != touched {
			break
		}
		n += m.pageSize
	}
	return n, touched, nil
}
