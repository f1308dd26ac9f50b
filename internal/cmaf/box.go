package cmaf

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// box is an ISO 14496-12 box: its four-character type and what is in it.
type box struct {
	name string
	body []byte
}

var errCut = errors.New("box is cut short")

// header reads a box header: the type, the length of the header and of the whole box. Size
// 0 is "to the end of the file", which is size 0 here too. ok is false if p is too short to
// tell.
func header(p []byte) (name string, head int, size int64, ok bool, err error) {
	if len(p) < 8 {
		return "", 0, 0, false, nil
	}
	for _, c := range p[4:8] {
		if c < 0x20 || c == 0x7f {
			return "", 0, 0, false, fmt.Errorf("%q is no type of a box", p[4:8])
		}
	}
	name, head, size = string(p[4:8]), 8, int64(binary.BigEndian.Uint32(p))
	if size == 1 {
		if len(p) < 16 {
			return "", 0, 0, false, nil
		}
		large := binary.BigEndian.Uint64(p[8:])
		if large > 1<<62 {
			return "", 0, 0, false, fmt.Errorf("box %q of %d bytes", name, large)
		}
		head, size = 16, int64(large)
	}
	if size != 0 && size < int64(head) {
		return "", 0, 0, false, fmt.Errorf("box %q of %d bytes", name, size)
	}
	return name, head, size, true, nil
}

// next cuts the first box off p.
func next(p []byte) (b box, rest []byte, err error) {
	name, head, size, ok, err := header(p)
	switch {
	case err != nil:
		return box{}, nil, err
	case !ok:
		return box{}, nil, errCut
	case size == 0:
		size = int64(len(p))
	case size > int64(len(p)):
		return box{}, nil, fmt.Errorf("%q: %w", name, errCut)
	}
	return box{name, p[head:size]}, p[size:], nil
}

// each calls f for each box in p. Less than a header at the end is padding.
func each(p []byte, f func(box) error) error {
	for len(p) >= 8 {
		b, rest, err := next(p)
		if err != nil {
			return err
		}
		if err := f(b); err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
		p = rest
	}
	return nil
}

// fields reads big-endian numbers one after the other; past the end they are 0 and bad.
type fields struct {
	p   []byte
	bad bool
}

func (f *fields) skip(n int) { f.take(n) }

func (f *fields) take(n int) []byte {
	if n < 0 || n > len(f.p) {
		f.bad, f.p = true, nil
		return nil
	}
	p := f.p[:n]
	f.p = f.p[n:]
	return p
}

func (f *fields) u16() uint16 {
	if p := f.take(2); p != nil {
		return binary.BigEndian.Uint16(p)
	}
	return 0
}

func (f *fields) u32() uint32 {
	if p := f.take(4); p != nil {
		return binary.BigEndian.Uint32(p)
	}
	return 0
}

func (f *fields) u64() uint64 {
	if p := f.take(8); p != nil {
		return binary.BigEndian.Uint64(p)
	}
	return 0
}

// full reads version and flags of a full box.
func (f *fields) full() (version byte, flags uint32) {
	v := f.u32()
	return byte(v >> 24), v & 0xffffff
}

func (f *fields) err() error {
	if f.bad {
		return errCut
	}
	return nil
}
