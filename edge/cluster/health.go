package cluster

import (
	"sync"
	"sync/atomic"
	"time"
)

// How long a peer that failed is left alone: 1 s, twice that each time it
// fails again right after, at most 30 s. Gossip takes seconds to notice a dead
// node, a segment is due sooner.
const (
	firstMark = time.Second
	longest   = 30 * time.Second
)

// health is what requests found out about a peer. The zero health is good.
type health struct {
	until atomic.Int64 // unix nanoseconds up to which the peer is left alone; 0: it is fine

	mu    sync.Mutex // guards fails
	fails int        // marks in a row
}

// down reports whether the peer is to be left alone at the moment.
func (h *health) down() bool {
	u := h.until.Load()
	return u != 0 && time.Now().UnixNano() < u
}

// failed marks the peer and returns for how long, or 0 if it is marked
// already: the hundred requests that were in flight when a peer died count as
// one failure.
func (h *health) failed() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.down() {
		return 0
	}
	mark := longest
	if h.fails < 5 {
		mark = firstMark << h.fails
	}
	h.fails++
	h.until.Store(time.Now().Add(mark).UnixNano())
	return mark
}

// clear forgets all marks and reports whether there were any.
func (h *health) clear() bool {
	if h.until.Load() == 0 { // every request that succeeds comes by here
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fails = 0
	return h.until.Swap(0) != 0
}
