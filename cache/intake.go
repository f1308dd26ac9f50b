package cache

import (
	"context"
	"io"

	"weir/internal/spool"
	"weir/internal/web"
)

// An intake is the way of a body from upstream into the budget: it charges
// memory before it is taken, bounds what one object may have, and tells the
// flight's watchdog that bytes come. It is used by the flight's goroutine.
type intake struct {
	f    *flight
	w    *spool.Writer
	blob *blob // with the flight's reference
	max  int64
}

// The Slab hands out memory in classes, at most a quarter larger than what is
// asked for, and never less than smallest.
const smallest = 1 << 10

func charge(n int64) int64 { return max(n+n/4, smallest) }

// newIntake makes room for a body of the given size in bytes, -1 if that is
// not known yet.
func (f *flight) newIntake(size int64) (*intake, error) {
	n := int64(0)
	if size > 0 {
		n = charge(min(size, largestPiece))
		if !f.c.reserveFor(f.group, n) {
			return nil, ErrNoRoom
		}
	}
	in := &intake{f: f, blob: &blob{budget: &f.c.budget}, max: f.c.opts.MaxObject}
	in.w, in.blob.Buffer = f.c.opts.Slab.New(max(size, 0))
	if size >= 0 {
		in.w.SetLen(size)
	}
	in.blob.refs.Start(1)
	in.blob.charged.Store(n)
	return in, nil
}

// take brings the whole body in. With nil it is complete.
func (in *intake) take(ctx context.Context, b web.Body) error {
	if _, err := web.Copy(ctx, in, b, 0); err != nil {
		return err
	}
	if err := in.w.Complete(); err != nil {
		return err
	}
	in.trim()
	return nil
}

func (in *intake) abort(err error) { in.w.Abort(err) }

// Write implements [io.Writer].
func (in *intake) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		n, err := in.room()
		if err != nil {
			return done, err
		}
		piece := p[done:min(len(p), done+int(n))]
		if _, err := in.w.Write(piece); err != nil {
			return done, err
		}
		done += len(piece)
		in.f.progressed()
	}
	return done, nil
}

// ReadFrom implements [io.ReaderFrom]: bytes go from r straight to their place.
func (in *intake) ReadFrom(r io.Reader) (int64, error) {
	if _, err := in.room(); err != nil { // before the Writer's first piece
		return 0, err
	}
	return in.w.ReadFrom(&metered{in, r})
}

// metered is what the Writer reads from. Where the Writer has no memory left it
// asks for one byte, to learn whether there is more at all: only then is more
// memory charged.
type metered struct {
	in *intake
	r  io.Reader
}

// Read implements [io.Reader].
func (m *metered) Read(p []byte) (int, error) {
	in := m.in
	left := in.max - in.w.Written()
	full := left <= 0 || in.blob.Cost() == in.w.Written()
	if full {
		left = 1
	}
	n, err := m.r.Read(p[:min(int64(len(p)), left)])
	if n > 0 {
		in.f.progressed()
		if full {
			if _, e := in.room(); e != nil {
				return 0, e
			}
		}
	}
	return n, err
}

// Sizes of the pieces in which a Buffer grows; see spool.Writer.
const (
	firstPiece   = 16 << 10
	growingPiece = 1 << 20
	largestPiece = 8 << 20
)

// room returns how many bytes, at least one, can be written now, within what
// is charged and what an object may have.
func (in *intake) room() (int64, error) {
	written, cost := in.w.Written(), in.blob.Cost()
	in.trim()
	if written >= in.max {
		return 0, ErrTooLarge
	}
	if free := cost - written; free > 0 {
		return min(free, in.max-written), nil
	}
	next := min(max(firstPiece, written/4), growingPiece)
	if left := in.blob.Len() - written; left > 0 {
		next = min(left, largestPiece)
	}
	if !in.f.c.reserveFor(in.f.group, charge(next)) {
		return 0, ErrNoRoom
	}
	in.blob.charged.Add(charge(next))
	return min(next, in.max-written), nil
}

// trim gives back what was charged but not used.
func (in *intake) trim() {
	if spare := in.blob.charged.Load() - in.blob.Cost(); spare > 0 {
		in.blob.charged.Add(-spare)
		in.blob.budget.give(spare)
	}
}
