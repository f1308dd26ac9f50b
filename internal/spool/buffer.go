package spool

import (
	"sync"
	"sync/atomic"

	"weir/internal/web"
)

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
	refs     Refs
	state    atomic.Uint32 // a web.State; stored after released
	released atomic.Int64  // bytes from here on are invisible
	length   atomic.Int64  // announced or final length; -1: unknown
	chunks   atomic.Pointer[[]chunk]

	mu   sync.Mutex
	open *opened // guarded by mu; nil: nobody waits, and it was not aborted
}

// opened is what only a payload needs that is not complete: of those that are
// there are many, and for long.
type opened struct {
	err      error      // why it was aborted
	watchers []*watcher // those waiting for more
}

// opened returns b.open, which it makes. The caller holds b.mu.
func (b *Buffer) opened() *opened {
	if b.open == nil {
		b.open = &opened{}
	}
	return b.open
}

type watcher struct {
	off  int64
	wake func()
	i    int // its place in opened.watchers; -1 once it is no longer there
}

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
	if b.open == nil {
		return nil
	}
	return b.open.err
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
	o := b.opened()
	w := &watcher{off, wake, len(o.watchers)}
	o.watchers = append(o.watchers, w)
	b.mu.Unlock()
	return func() { b.unwatch(w) }
}

func (b *Buffer) unwatch(w *watcher) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if w.i < 0 {
		return
	}
	o := b.open
	last := len(o.watchers) - 1
	o.watchers[w.i] = o.watchers[last]
	o.watchers[w.i].i = w.i
	o.watchers[last] = nil
	o.watchers = o.watchers[:last]
	w.i = -1
}

// notify wakes the watchers that have something to see. Released and state are
// stored before it takes the lock, and Watch reads them under it: none is missed.
func (b *Buffer) notify() {
	b.mu.Lock()
	o := b.open
	if o == nil || len(o.watchers) == 0 {
		b.mu.Unlock()
		return
	}
	rel, final := b.released.Load(), web.State(b.state.Load()) != web.Open
	var due []*watcher
	keep := o.watchers[:0]
	for _, w := range o.watchers {
		if final || w.off < rel {
			w.i = -1
			due = append(due, w)
		} else {
			w.i = len(keep)
			keep = append(keep, w)
		}
	}
	clear(o.watchers[len(keep):])
	o.watchers = keep
	if web.State(b.state.Load()) == web.Complete {
		b.open = nil
	}
	b.mu.Unlock()
	for _, w := range due {
		w.wake()
	}
}

// TryRef takes one more reference, unless the last is already gone.
func (b *Buffer) TryRef() bool { return b.refs.Try() }

// Close implements [web.Body]: it gives one reference back. With the last one
// the memory goes.
func (b *Buffer) Close() {
	if !b.refs.Drop() {
		return
	}
	for _, c := range *b.chunks.Swap(new([]chunk)) {
		b.slab.put(c.data)
	}
}
