package seglog

import (
	"sync"

	"weir/internal/disk"
)

// handles keeps a few files open for reading. One that is read stays open until
// the last who reads it is done.
type handles struct {
	max int

	mu     sync.Mutex
	open   map[uint64]*handle // guarded by mu
	clock  uint64             // guarded by mu; counts uses
	closed bool               // guarded by mu
}

type handle struct {
	f    disk.File
	id   uint64
	refs int    // who reads it
	used uint64 // when it was asked for last
	gone bool   // no longer in open: the last reader closes it
}

// get returns the open file id; open is called, without the lock, if it is not open.
func (h *handles) get(id uint64, open func() (disk.File, error)) (*handle, error) {
	if x, err := h.lookup(id); x != nil || err != nil {
		return x, err
	}
	f, err := open()
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	if x := h.open[id]; x != nil && !h.closed { // somebody was faster
		h.use(x)
		h.mu.Unlock()
		_ = f.Close()
		return x, nil
	}
	x := &handle{f: f, id: id, gone: h.closed}
	h.use(x)
	if !h.closed {
		if h.open == nil {
			h.open = map[uint64]*handle{}
		}
		h.open[id] = x
	}
	idle := h.evict()
	h.mu.Unlock()
	closeAll(idle)
	return x, nil
}

func (h *handles) lookup(id uint64) (*handle, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, ErrClosed
	}
	x := h.open[id]
	if x != nil {
		h.use(x)
	}
	return x, nil
}

func (h *handles) use(x *handle) {
	h.clock++
	x.refs, x.used = x.refs+1, h.clock
}

// put gives back what get returned.
func (h *handles) put(x *handle) {
	h.mu.Lock()
	x.refs--
	idle := h.evict()
	if x.gone && x.refs == 0 {
		idle = append(idle, x)
	}
	h.mu.Unlock()
	closeAll(idle)
}

// evict takes out the files beyond max that nobody reads, longest unused first.
// h.mu is held; the caller closes them without it.
func (h *handles) evict() (idle []*handle) {
	for len(h.open) > h.max {
		var old *handle
		for _, x := range h.open {
			if x.refs == 0 && (old == nil || x.used < old.used) {
				old = x
			}
		}
		if old == nil {
			return idle
		}
		delete(h.open, old.id)
		idle = append(idle, old)
	}
	return idle
}

// drop forgets a file.
func (h *handles) drop(id uint64) {
	h.mu.Lock()
	idle := h.out(h.open[id])
	h.mu.Unlock()
	closeAll(idle)
}

// out takes a file out and returns it if it can be closed now. h.mu is held.
func (h *handles) out(x *handle) []*handle {
	if x == nil {
		return nil
	}
	delete(h.open, x.id)
	x.gone = true
	if x.refs > 0 {
		return nil
	}
	return []*handle{x}
}

func (h *handles) close() {
	h.mu.Lock()
	h.closed = true
	var idle []*handle
	for _, x := range h.open {
		idle = append(idle, h.out(x)...)
	}
	h.mu.Unlock()
	closeAll(idle)
}

// closeAll closes files that were only read: there is nothing to lose in an error.
func closeAll(hs []*handle) {
	for _, x := range hs {
		_ = x.f.Close()
	}
}
