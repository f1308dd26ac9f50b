package seglog

import (
	"bytes"
	"errors"
	"io"

	"weir/internal/disk"
)

// A source reads a file through a window, so that a run of small records costs
// one call, and the step over a body another.
type source struct {
	f    disk.File
	size int64
	buf  []byte
	at   int64 // where buf begins
}

const window = 4 << 10

// bytes returns n bytes at off, fewer at the end of the file. They are good until
// the next call.
func (s *source) bytes(off int64, n int) ([]byte, error) {
	n = int(max(min(int64(n), s.size-off), 0))
	if off >= s.at && off+int64(n) <= s.at+int64(len(s.buf)) {
		return s.buf[off-s.at:][:n], nil
	}
	want := int(min(int64(max(n, window)), s.size-off))
	if cap(s.buf) < want {
		s.buf = make([]byte, want)
	}
	got, err := s.f.ReadAt(s.buf[:want], off)
	s.buf, s.at = s.buf[:got], off
	if got >= n || errors.Is(err, io.EOF) {
		return s.buf[:min(n, got)], nil
	}
	return nil, err
}

// find returns where the next record header of this nonce begins, at from or
// behind, or the size of the file. It looks at no more than *budget bytes.
func (s *source) find(from int64, nonce *uint64, budget *int64) (off int64, err error) {
	const step = 256 << 10
	for off = from; off < s.size; {
		if *budget <= 0 {
			return off, errBudget
		}
		p, err := s.bytes(off, step)
		if err != nil {
			return off, err
		}
		n := len(p)
		for i := 0; i < n; i++ {
			j := bytes.Index(p[i:], recordMagic)
			if j < 0 {
				break
			}
			if i += j; n-i < headerSize && off+int64(n) < s.size {
				break // it goes on in the next step
			}
			if h, ok := parseHeader(p[i:], off+int64(i)); ok && (*nonce == 0 || h.nonce == *nonce) {
				return off + int64(i), nil
			}
		}
		*budget -= int64(n)
		if off+int64(n) >= s.size || n <= headerSize {
			break
		}
		off += int64(n) - headerSize
	}
	return s.size, nil
}

var errBudget = errors.New("too much damage to search through")
