package spool

import (
	"errors"
	"fmt"
	"io"

	"weir/internal/web"
)

// ErrLength says that a payload ended at another length than was announced.
var ErrLength = errors.New("payload length differs from the length announced")

var errEnded = errors.New("write to a payload that has ended")

// A Writer is the writing side of a payload, held by one goroutine. It ends
// with exactly one effective Complete or Abort; later calls do nothing.
type Writer struct {
	b       *Buffer
	written int64
	done    bool
}

// New returns the two sides of a new payload. Hint is its expected length in
// bytes, 0 if unknown: a right hint puts it into one piece of memory. The
// Buffer comes with one reference, the caller's; the Writer holds another
// until it ends.
func (s *Slab) New(hint int64) (*Writer, *Buffer) {
	b := &Buffer{slab: s}
	b.refs.Start(2)
	b.length.Store(-1)
	b.chunks.Store(new([]chunk))
	w := &Writer{b: b}
	if hint > 0 {
		w.grow(int(min(hint, maxPooled)))
	}
	return w, b
}

// NewBuffer returns a complete Buffer that holds a copy of p.
func (s *Slab) NewBuffer(p []byte) *Buffer {
	w, b := s.New(int64(len(p)))
	_, _ = w.Write(p) // a Writer that has not ended cannot fail
	_ = w.Complete()
	return b
}

// SetLen announces the length of the whole payload in bytes. Complete fails if
// it ends at another.
func (w *Writer) SetLen(n int64) { w.b.length.Store(n) }

// Written returns how many bytes were stored so far, released or not.
func (w *Writer) Written() int64 { return w.written }

// Append stores p without releasing it.
func (w *Writer) Append(p []byte) {
	for len(p) > 0 {
		free := w.free()
		if len(free) == 0 {
			free = w.grow(w.nextSize())
		}
		n := copy(free, p)
		w.written += int64(n)
		p = p[n:]
	}
}

// Release makes the first n bytes readable; less than is already readable
// changes nothing.
func (w *Writer) Release(n int64) {
	if n > w.written {
		panic("BUG: spool: release of bytes that were not written")
	}
	if n > w.b.released.Load() {
		w.b.released.Store(n)
		w.b.notify()
	}
}

// Write stores and releases p. It fails only after the end.
func (w *Writer) Write(p []byte) (int, error) {
	if w.done {
		return 0, errEnded
	}
	w.Append(p)
	w.Release(w.written)
	return len(p), nil
}

// ReadFrom stores and releases what r yields, straight into the Buffer's
// memory, until io.EOF. It implements [io.ReaderFrom].
func (w *Writer) ReadFrom(r io.Reader) (int64, error) {
	if w.done {
		return 0, errEnded
	}
	start := w.written
	if len(*w.b.chunks.Load()) == 0 {
		w.grow(w.nextSize())
	}
	for {
		var err error
		if free := w.free(); len(free) > 0 {
			var n int
			n, err = r.Read(free)
			w.written += int64(n)
		} else {
			// The memory is full, perhaps exactly at the payload's end: asking
			// for one byte first spares a chunk that would stay empty.
			var probe [1]byte
			var n int
			n, err = r.Read(probe[:])
			w.Append(probe[:n])
		}
		w.Release(w.written)
		switch {
		case err == io.EOF:
			return w.written - start, nil
		case err != nil:
			return w.written - start, err
		}
	}
}

// free returns the unwritten rest of the last chunk.
func (w *Writer) free() []byte {
	cs := *w.b.chunks.Load()
	if len(cs) == 0 {
		return nil
	}
	last := &cs[len(cs)-1]
	return last.data[w.written-last.start:]
}

// nextSize returns how large the next chunk should be: what is still to come
// where that is known, else a quarter of what is there, within bounds, for
// little slack in few pieces.
func (w *Writer) nextSize() int {
	if left := w.b.length.Load() - w.written; left > 0 {
		return int(min(left, maxPooled))
	}
	return int(min(max(firstGrow, w.written/4), maxGrow))
}

func (w *Writer) grow(size int) []byte {
	mem := w.b.slab.get(size)
	mem = mem[:cap(mem)]
	old := *w.b.chunks.Load()
	next := make([]chunk, len(old)+1)
	copy(next, old)
	next[len(old)] = chunk{start: w.written, data: mem}
	w.b.chunks.Store(&next)
	return mem
}

// Complete releases everything and ends the payload. If another length was
// announced it aborts instead and returns [ErrLength].
func (w *Writer) Complete() error {
	if w.done {
		return w.b.Err()
	}
	if want := w.b.length.Load(); want >= 0 && want != w.written {
		err := fmt.Errorf("%w: %d bytes of %d", ErrLength, w.written, want)
		w.Abort(err)
		return err
	}
	w.done = true
	w.b.length.Store(w.written)
	w.b.released.Store(w.written)
	w.b.state.Store(uint32(web.Complete))
	w.b.notify()
	w.b.Close()
	return nil
}

// Abort ends the payload before its end, for the reason err. What was released
// stays readable.
func (w *Writer) Abort(err error) {
	if w.done {
		return
	}
	w.done = true
	w.b.mu.Lock()
	w.b.opened().err = err
	w.b.mu.Unlock()
	w.b.state.Store(uint32(web.Aborted))
	w.b.notify()
	w.b.Close()
}
