package cluster

import (
	"sync"
	"sync/atomic"
	"time"
)

// How long a peer that failed is left alone: 1 s, twice that each time it
// fails again soon after, at most 30 s. Gossip takes seconds to notice a dead
// node, a segment is due sooner.
const (
	firstMark = time.Second
	longest   = 30 * time.Second
	settled   = 10 * time.Second // without a failure for so long after a mark, the next one is the first again
)

// health is what requests found out about a peer. The zero health is good.
type health struct {
	until atomic.Int64 // unix nanoseconds up to which the peer is left alone; 0: it is fine

	mu    sync.Mutex // guards fails and last
	fails int        // marks one soon after the other
	last  time.Time  // when the latest mark ended, or would have ended
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
	now := time.Now()
	if now.Sub(h.last) > settled {
		h.fails = 0
	}
	mark := longest
	if h.fails < 5 {
		mark = firstMark << h.fails
	}
	h.fails++
	h.last = now.Add(mark)
	h.until.Store(h.last.UnixNano())
	return mark
}

// succeeded ends a mark and reports whether there was one. It does not forget
// that there was: a peer that answers and then breaks off, time and again, is
// left alone for longer and longer.
func (h *health) succeeded() bool {
	if h.until.Load() == 0 { // every request that succeeds comes by here
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.until.Swap(0) != 0
}

// reset forgets everything: the peer has started anew.
func (h *health) reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fails, h.last = 0, time.Time{}
	h.until.Store(0)
}
