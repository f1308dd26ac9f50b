package spool

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// Chunk sizes in bytes. A chunk of more than maxPooled is left to the garbage
// collector instead of being kept for reuse.
const (
	minChunk  = 1 << 10
	firstGrow = 16 << 10
	maxGrow   = 1 << 20
	maxPooled = 8 << 20
)

// SlabOptions configures a [Slab].
type SlabOptions struct {
	// Poison overwrites memory as it comes back, so that a test in which bytes
	// are read after their last reference went fails instead of passing by luck.
	Poison bool
}

// A Slab hands out the memory of Buffers, takes it back and counts it. It is
// safe for concurrent use.
type Slab struct {
	poison bool
	inUse  atomic.Int64
	pools  [classes]sync.Pool // of *[]byte with exactly the class's capacity
}

// NewSlab returns a Slab on the Go heap.
func NewSlab(o SlabOptions) *Slab { return &Slab{poison: o.Poison} }

// Apart returns an empty Slab of the same options, which counts for itself.
func (s *Slab) Apart() *Slab { return &Slab{poison: s.poison} }

// InUse returns how many bytes Buffers of this Slab hold now, used or spare.
func (s *Slab) InUse() int64 { return s.inUse.Load() }

// get returns an empty slice with room for at least n bytes.
func (s *Slab) get(n int) []byte {
	c, size := class(n)
	s.inUse.Add(int64(size))
	if c < classes {
		if p, _ := s.pools[c].Get().(*[]byte); p != nil {
			return (*p)[:0]
		}
	}
	return make([]byte, 0, size)
}

func (s *Slab) put(b []byte) {
	b = b[:cap(b)]
	s.inUse.Add(-int64(len(b)))
	if s.poison {
		for i := range b {
			b[i] = 0xDB
		}
	}
	if c, size := class(len(b)); c < classes && size == len(b) {
		s.pools[c].Put(&b)
	}
}

// classes is the number of sizes kept for reuse: four to each doubling from
// minChunk to maxPooled, so that at most a fifth of a chunk is slack.
const classes = (23-10)*4 + 1

// class returns the number and size of the smallest class that holds n bytes;
// above the largest class the number is classes and the size is n.
func class(n int) (c, size int) {
	if n <= minChunk {
		return 0, minChunk
	}
	if n > maxPooled {
		return classes, n
	}
	top := bits.Len(uint(n-1)) - 1 // 1<<top <= n-1 < 2<<top
	step := 1 << (top - 2)
	quarter := (n - 1 - 1<<top) / step // 0..3
	return (top-10)*4 + quarter + 1, 1<<top + (quarter+1)*step
}
