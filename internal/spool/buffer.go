package spool

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"weir/internal/web"
)

// ErrLength says that a payload ended at another length than was announced.
var ErrLength = errors.New("payload length differs from the length announced")

var errEnded = errors.New("write to a payload that has ended")

// A chunk is one piece of a Buffer's memory. start never changes; data's bytes
// up to the released offset never change either.
type chunk struct {
	start int64
	data  []byte // len is cap: how much of it is written is the Buffer's business
}

func (c *chunk) end() int64 { return c.start + int64(len(c.data)) }

// A Buffer is the readable side of a payload. It is a [web.Body]; View and Len
// take no lock. Whoever holds a reference may read; Close gives it back.
type Buffer struct {
	slab     *Slab
	refs     atomic.Int64
	state    atomic.Uint32 // a web.State; stored after released
	released atomic.Int64  // bytes from here on are invisible
	length   atomic.Int64  // announced or final length; -1: unknown
	chunks   atomic.Pointer[[]chunk]

	mu       sync.Mutex
	err      error      // why it was aborted
	watchers []*watcher // those waiting for more
}

type watcher struct {
	off  int64
	wake func()
	i    int // its place in Buffer.watchers; -1 once it is no longer there
}

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
	b.refs.Store(2)
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

// ---- writing ----

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
	w.b.err = err
	w.b.mu.Unlock()
	w.b.state.Store(uint32(web.Aborted))
	w.b.notify()
	w.b.Close()
}

// ---- reading ----

// Len implements [web.Body].
func (b *Buffer) Len() int64 { return b.length.Load() }

// Size returns how many bytes are readable now.
func (b *Buffer) Size() int64 { return b.released.Load() }

// Cost returns how many bytes of memory the Buffer holds now, slack included.
func (b *Buffer) Cost() int64 {
	n := int64(0)
	for _, c := range *b.chunks.Load() {
		n += int64(len(c.data))
	}
	return n
}

// State returns how far the payload is.
func (b *Buffer) State() web.State { return web.State(b.state.Load()) }

// Err returns why the payload was aborted, nil if it was not.
func (b *Buffer) Err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// View implements [web.Body].
func (b *Buffer) View(off int64) ([]byte, web.State) {
	// The state first: if it is final, released can no longer move.
	st := web.State(b.state.Load())
	rel := b.released.Load()
	if off >= rel {
		return nil, st
	}
	cs := *b.chunks.Load()
	for i := range cs {
		if c := &cs[i]; off < c.end() {
			return c.data[off-c.start : min(rel, c.end())-c.start : min(rel, c.end())-c.start], st
		}
	}
	panic("BUG: spool: released bytes without memory")
}

// File implements [web.Body]: this memory is in no file.
func (b *Buffer) File(int64) (fd uintptr, pos, n int64, ok bool) { return 0, 0, 0, false }

// Watch implements [web.Body].
func (b *Buffer) Watch(off int64, wake func()) (stop func()) {
	b.mu.Lock()
	if off < b.released.Load() || web.State(b.state.Load()) != web.Open {
		b.mu.Unlock()
		wake()
		return func() {}
	}
	w := &watcher{off, wake, len(b.watchers)}
	b.watchers = append(b.watchers, w)
	b.mu.Unlock()
	return func() { b.unwatch(w) }
}

func (b *Buffer) unwatch(w *watcher) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if w.i < 0 {
		return
	}
	last := len(b.watchers) - 1
	b.watchers[w.i] = b.watchers[last]
	b.watchers[w.i].i = w.i
	b.watchers[last] = nil
	b.watchers = b.watchers[:last]
	w.i = -1
}

// notify wakes the watchers that have something to see. Released and state are
// stored before it takes the lock, and Watch reads them under it: none is missed.
func (b *Buffer) notify() {
	b.mu.Lock()
	if len(b.watchers) == 0 {
		b.mu.Unlock()
		return
	}
	rel, final := b.released.Load(), web.State(b.state.Load()) != web.Open
	var due []*watcher
	keep := b.watchers[:0]
	for _, w := range b.watchers {
		if final || w.off < rel {
			w.i = -1
			due = append(due, w)
		} else {
			w.i = len(keep)
			keep = append(keep, w)
		}
	}
	clear(b.watchers[len(keep):])
	b.watchers = keep
	b.mu.Unlock()
	for _, w := range due {
		w.wake()
	}
}

// TryRef takes one more reference, unless the last is already gone: the count
// never goes from 0 to 1.
func (b *Buffer) TryRef() bool {
	for {
		n := b.refs.Load()
		if n <= 0 {
			return false
		}
		if b.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Close implements [web.Body]: it gives one reference back. With the last one
// the memory goes.
func (b *Buffer) Close() {
	switch n := b.refs.Add(-1); {
	case n > 0:
	case n < 0:
		panic("BUG: spool: a Buffer was closed more often than it was referenced")
	default:
		for _, c := range *b.chunks.Swap(new([]chunk)) {
			b.slab.put(c.data)
		}
	}
}
