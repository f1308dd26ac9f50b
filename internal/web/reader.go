package web

import (
	"context"
	"io"
)

// NewReader returns an io.Reader that follows b from off on until its end; an
// aborted body reads as [ErrAborted], never as io.EOF. It does not close b.
func NewReader(ctx context.Context, b Body, off int64) io.Reader {
	return &reader{ctx: ctx, b: b, off: off}
}

type reader struct {
	ctx context.Context
	b   Body
	off int64
}

// Read implements [io.Reader].
func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	v, st, err := Await(r.ctx, r.b, r.off)
	switch {
	case err != nil:
		return 0, err
	case len(v) > 0:
		n := copy(p, v)
		r.off += int64(n)
		return n, nil
	case st == Aborted:
		return 0, AbortReason(r.b)
	}
	return 0, io.EOF
}
