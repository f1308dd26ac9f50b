package cache

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"weir/internal/web"
)

// A budget counts the bytes that bodies and heads take. It never shows less
// than there is: bytes are taken before memory is, and given back after.
type budget struct {
	limit int64
	used  atomic.Int64
}

// take charges n bytes, unless that would exceed the limit.
func (b *budget) take(n int64) bool {
	for {
		used := b.used.Load()
		if used+n > b.limit {
			return false
		}
		if b.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

func (b *budget) give(n int64) { b.used.Add(-n) }

// reserve is reserveFor what is live: it may take all there is.
func (c *Cache) reserve(n int64) bool { return c.reserveFor(live, n) }

// reserveFor charges n bytes for something of group g, and evicts until they
// fit. It returns false if they do not although nothing is left that could go:
// the rest is in the air, being read, or the share of what is live.
func (c *Cache) reserveFor(g group, n int64) bool {
	for !c.budget.take(n) {
		if c.held()+n > c.budget.limit {
			return false // not even an empty store would do: spare it
		}
		k, from := c.tiers.victim(g)
		if k == nil {
			return false
		}
		c.metrics.evicted(from)
		c.retire(k, from)
	}
	return true
}

// flightBytes is about what a fill in the air takes beside the body that it
// brings: itself, a stack, timers, an entry in three tables.
const flightBytes = 4 << 10

// pay charges the flight itself. Where there is no room not even for that, who
// waits is told to come again: better than to be killed for memory.
func (f *flight) pay() error {
	n := int64(flightBytes + len(f.fk.key) + len(f.fk.variant))
	g := live
	if f.q.Class == Other {
		g = other
	}
	if !f.c.reserveFor(g, n) {
		f.c.metrics.rejected[noRoom].Inc()
		return &web.Error{Status: http.StatusServiceUnavailable, Reason: "cache_full", RetryAfter: time.Second,
			Err: fmt.Errorf("fill %s: %w", f.name(), ErrNoRoom)}
	}
	f.paid = n
	return nil
}
