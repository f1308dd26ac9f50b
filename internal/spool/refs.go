package spool

import "sync/atomic"

// Refs counts who holds a thing whose end matters, such as bytes that go back to
// where they came from. Start it once, before anybody else can see it.
type Refs struct{ n atomic.Int64 }

// Start says that there are n holders.
func (r *Refs) Start(n int) { r.n.Store(int64(n)) }

// Add takes n more references for somebody who holds one.
func (r *Refs) Add(n int) {
	if r.n.Add(int64(n)) <= int64(n) {
		panic("BUG: spool: reference on a thing that is gone")
	}
}

// Try takes one more reference, unless the last is already gone: the count
// never goes from 0 to 1.
func (r *Refs) Try() bool {
	for {
		n := r.n.Load()
		if n <= 0 {
			return false
		}
		if r.n.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Drop gives one reference back and reports whether it was the last.
func (r *Refs) Drop() (last bool) {
	n := r.n.Add(-1)
	if n < 0 {
		panic("BUG: spool: more references were given back than were taken")
	}
	return n == 0
}

// Count returns how many holders there are now.
func (r *Refs) Count() int64 { return r.n.Load() }
