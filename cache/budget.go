package cache

import "sync/atomic"

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
