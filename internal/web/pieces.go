package web

import (
	"context"
	"io"
	"sort"
)

// pieces is the Body of an answer to several ranges: sections of one Body, and
// between them the heads of the parts.
type pieces struct {
	b    Body
	list []piece
	n    int64
}

// A piece is text, or n bytes of the Body from off on.
type piece struct {
	at   int64 // where it begins in the whole
	n    int64
	text []byte // nil: bytes of the Body
	off  int64
}

// newPieces returns the multipart/byteranges of b (RFC 9110 section 14.6). It
// takes b over.
func newPieces(b Body, ranges []Range, total int64, contentType, boundary string) Body {
	p := &pieces{b: b}
	head := "--" + boundary + "\r\n"
	if contentType != "" {
		head += "Content-Type: " + contentType + "\r\n"
	}
	for i, r := range ranges {
		text := head + "Content-Range: " + ContentRange(r.First, r.Last, total) + "\r\n\r\n"
		if i > 0 {
			text = "\r\n" + text
		}
		p.add(piece{text: []byte(text), n: int64(len(text))})
		p.add(piece{off: r.First, n: r.Last - r.First + 1})
	}
	end := "\r\n--" + boundary + "--\r\n"
	p.add(piece{text: []byte(end), n: int64(len(end))})
	if s, ok := b.(Sectioner); ok {
		return &drainedPieces{p, s}
	}
	return p
}

func (p *pieces) add(one piece) {
	one.at = p.n
	p.list = append(p.list, one)
	p.n += one.n
}

// find returns the piece that off is in; off is less than p.n.
func (p *pieces) find(off int64) *piece {
	return &p.list[sort.Search(len(p.list), func(i int) bool { return off < p.list[i].at+p.list[i].n })]
}

// Len implements [Body].
func (p *pieces) Len() int64 { return p.n }

// View implements [Body].
func (p *pieces) View(off int64) ([]byte, State) {
	if off >= p.n {
		return nil, Complete
	}
	one := p.find(off)
	if one.text != nil {
		if one == &p.list[len(p.list)-1] {
			return one.text[off-one.at:], Complete
		}
		return one.text[off-one.at:], Open
	}
	bytes, st := p.b.View(one.off + off - one.at)
	switch {
	case len(bytes) == 0 && st == Complete:
		return nil, Aborted // b ended short of what the head of the part says
	case st == Complete:
		st = Open // the rest lies in other pieces
	}
	return bytes[:min(int64(len(bytes)), one.at+one.n-off)], st
}

// File implements [Body].
func (p *pieces) File(off int64) (fd uintptr, pos, n int64, ok bool) {
	if off >= p.n {
		return 0, 0, 0, false
	}
	one := p.find(off)
	if one.text != nil {
		return 0, 0, 0, false
	}
	fd, pos, n, ok = p.b.File(one.off + off - one.at)
	return fd, pos, min(n, one.at+one.n-off), ok
}

// Watch implements [Body].
func (p *pieces) Watch(off int64, wake func()) (stop func()) {
	if off < p.n {
		if one := p.find(off); one.text == nil {
			return p.b.Watch(one.off+off-one.at, wake)
		}
	}
	wake()
	return func() {}
}

// Close implements [Body].
func (p *pieces) Close() { p.b.Close() }

// Err returns why the body was aborted.
func (p *pieces) Err() error { return AbortReason(p.b) }

// drainedPieces are pieces of a body that can begin anywhere.
type drainedPieces struct {
	*pieces
	from Sectioner
}

// Drain implements [Drainer].
func (d *drainedPieces) Drain(ctx context.Context, w io.Writer) (int64, error) {
	done := int64(0)
	for _, one := range d.list {
		part := Bytes(one.text)
		if one.text == nil {
			part = d.from.Section(one.off, one.n)
		}
		n, err := Copy(ctx, w, part, 0)
		part.Close()
		if done += n; err != nil {
			return done, err
		}
	}
	return done, nil
}
