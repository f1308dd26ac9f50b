package web

import (
	"context"
	"errors"
	"io"
)

// Section returns the Body of the n bytes of b that start at off. It takes b
// over: closing the section closes b. The section's length is n even while b
// still grows; if b turns out shorter the section is aborted. That of a
// [Drainer] is one too: what comes before it is read and thrown away, what
// comes after it is not read, and of a [Sectioner] neither is.
func Section(b Body, off, n int64) Body {
	if s, ok := b.(Sectioner); ok && b.Len() >= 0 && off+n <= b.Len() {
		part := s.Section(off, n)
		b.Close()
		return part
	}
	if d, ok := b.(Drainer); ok {
		return &drainedSection{section{b, off, n}, d}
	}
	return &section{b, off, n}
}

type section struct {
	b      Body
	off, n int64
}

func (s *section) Len() int64 { return s.n }

func (s *section) View(off int64) ([]byte, State) {
	left := s.n - off
	if left <= 0 {
		return nil, Complete
	}
	p, st := s.b.View(s.off + off)
	switch {
	case int64(len(p)) >= left:
		return p[:left], Complete
	case len(p) == 0 && st == Complete:
		return nil, Aborted // b ended short of what the section promised
	case st == Complete && len(p) > 0:
		return p, Open // the rest lies in another piece
	}
	return p, st
}

func (s *section) File(off int64) (fd uintptr, pos, n int64, ok bool) {
	if off >= s.n {
		return 0, 0, 0, false
	}
	fd, pos, n, ok = s.b.File(s.off + off)
	return fd, pos, min(n, s.n-off), ok
}

func (s *section) Watch(off int64, wake func()) (stop func()) {
	if off >= s.n {
		wake()
		return func() {}
	}
	return s.b.Watch(s.off+off, wake)
}

func (s *section) Close()     { s.b.Close() }
func (s *section) Err() error { return AbortReason(s.b) }

type drainedSection struct {
	section
	from Drainer
}

// Drain implements [Drainer].
func (s *drainedSection) Drain(ctx context.Context, w io.Writer) (int64, error) {
	cut := &cutter{w: w, skip: s.off, left: s.n}
	_, err := s.from.Drain(ctx, cut)
	switch {
	case cut.left == 0:
		return s.n, nil
	case err == nil:
		err = ErrAborted // it ended short of what the section promised
	}
	return cut.done, err
}

// cutter writes on what comes after skip bytes, and no more than left.
type cutter struct {
	w                io.Writer
	skip, left, done int64
}

var errPastEnd = errors.New("past the end of the section")

func (c *cutter) Write(p []byte) (int, error) {
	skipped := min(c.skip, int64(len(p)))
	c.skip -= skipped
	want := p[skipped:]
	want = want[:min(int64(len(want)), c.left)]
	if len(want) > 0 {
		n, err := c.w.Write(want)
		c.left -= int64(n)
		c.done += int64(n)
		if err != nil {
			return int(skipped) + n, err
		}
	}
	if c.left == 0 {
		return int(skipped) + len(want), errPastEnd // the rest need not come
	}
	return len(p), nil
}
