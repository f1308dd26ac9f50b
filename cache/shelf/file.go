package shelf

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"weir/internal/disk"
	"weir/internal/spool"
)

// A file is one of the ring.
type file struct {
	number uint32
	disk.File
	refs  spool.Refs // the shelf's and one for each read
	size  int64      // guarded by Shelf.mu
	first uint32     // slot of the newest body in it; guarded by Shelf.mu
}

// release gives a reference back. With the last one the file is closed.
func (f *file) release() error {
	if f.refs.Drop() {
		return f.Close()
	}
	return nil
}

const suffix = ".shelf"

func (s *Shelf) path(number uint32) string {
	return filepath.Join(s.opts.Dir, fmt.Sprintf("%010d", number)+suffix)
}

// numberOf returns the number in a file's name.
func numberOf(name string) (uint32, bool) {
	digits, ours := strings.CutSuffix(name, suffix)
	n, err := strconv.ParseUint(digits, 10, 32)
	return uint32(n), ours && err == nil && n > 0 && len(digits) == 10
}

// A footer lists the records of a file that is done, so that opening need not
// look for them: each in 48 bytes, then a trailer of 24 that is found from the
// end.
const (
	listedSize  = 48
	trailerSize = 24
	footerMagic = 0x3154464b4c534357 // "WCSLKFT1"
)

// appendFooter appends the footer of a file whose records end at off.
func appendFooter(dst []byte, records []record, number uint32, off int64) []byte {
	le, start := binary.LittleEndian, len(dst)
	for i := range records {
		r := &records[i]
		dst = le.AppendUint64(dst, r.hash)
		for _, n := range [...]uint32{uint32(r.kind), r.sub, r.stamp, r.at.Off, r.key, r.meta, r.body, r.bodyAt.File, r.bodyAt.Off, r.sums} {
			dst = le.AppendUint32(dst, n)
		}
	}
	dst = le.AppendUint64(dst, footerMagic)
	dst = le.AppendUint32(dst, number)
	dst = le.AppendUint32(dst, uint32(off))
	dst = le.AppendUint32(dst, uint32(len(records)))
	return le.AppendUint32(dst, sum(dst[start:]))
}

// readFooter returns the records of a file; false: it has no footer, or none
// that can be believed.
func readFooter(f disk.File, number uint32, size int64) ([]record, bool) {
	le := binary.LittleEndian
	var t [trailerSize]byte
	if size < fileHeader+trailerSize || !readFull(f, t[:], size-trailerSize) {
		return nil, false
	}
	off, n := int64(le.Uint32(t[12:])), int64(le.Uint32(t[16:]))
	if le.Uint64(t[:]) != footerMagic || le.Uint32(t[8:]) != number || off < fileHeader || off+n*listedSize+trailerSize != size {
		return nil, false
	}
	p := make([]byte, size-off)
	if !readFull(f, p, off) || sum(p[:len(p)-4]) != le.Uint32(p[len(p)-4:]) {
		return nil, false
	}
	records := make([]record, n)
	for i := range records {
		e := p[i*listedSize:]
		u := func(at int) uint32 { return le.Uint32(e[8+4*at:]) }
		r := record{hash: le.Uint64(e), kind: kind(u(0)), sub: u(1), stamp: u(2), at: Place{number, u(3)},
			key: u(4), meta: u(5), body: u(6), bodyAt: Place{u(7), u(8)}, sums: u(9)}
		if r.kind < kindObject || r.kind > kindGone || r.key > maxKey || r.meta > maxMeta || r.body > maxFile ||
			int64(r.at.Off)+r.size() > off {
			return nil, false
		}
		records[i] = r
	}
	return records, true
}

// readFull reads all of p, and reports whether it could.
func readFull(f disk.File, p []byte, off int64) bool {
	n, _ := f.ReadAt(p, off)
	return n == len(p)
}
