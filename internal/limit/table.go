package limit

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"
)

// A table keeps one number for each of many, in as much memory as it was made
// with. It has no lock: two that ask for one place at once may both get it, and
// one of them counts the other's request. Who is looked for by a hash with a
// secret seed, so that nobody can choose whose place he takes.
type table struct {
	seed maphash.Seed
	base time.Time // numbers are nanoseconds since then, by the monotonic clock
	sets []set     // a power of two
}

// ways is in how many places one may stand: two cache lines.
const ways = 8

type set [ways]struct {
	who    atomic.Uint64 // 0: nobody
	number atomic.Int64
}

// newTable makes a table for at least n.
func newTable(n int, now time.Time) *table {
	sets := 1
	for sets*ways < n {
		sets *= 2
	}
	return &table{seed: maphash.MakeSeed(), base: now.Add(-time.Nanosecond), sets: make([]set, sets)}
}

func (t *table) at(now time.Time) int64 { return int64(now.Sub(t.base)) }

// find returns the number of who, or nil.
func (t *table) find(who uint64) *atomic.Int64 {
	s := &t.sets[who&uint64(len(t.sets)-1)]
	for i := range s {
		if s[i].who.Load() == who {
			return &s[i].number
		}
	}
	return nil
}

// claim returns the number of who, 0 if that is new. The lowest number gives way.
func (t *table) claim(who uint64) *atomic.Int64 {
	for range 2 { // again if somebody else took the place meanwhile
		if n := t.find(who); n != nil {
			return n
		}
		s := &t.sets[who&uint64(len(t.sets)-1)]
		lowest := 0
		for i := range s {
			if s[i].number.Load() < s[lowest].number.Load() {
				lowest = i
			}
		}
		former := s[lowest].who.Load()
		if s[lowest].who.CompareAndSwap(former, who) {
			s[lowest].number.Store(0)
			return &s[lowest].number
		}
	}
	return new(atomic.Int64) // crowded out twice: this once nothing is remembered
}

func (t *table) text(s string) uint64 { return max(maphash.String(t.seed, s), 1) }

func (t *table) address(a netip.Addr) uint64 {
	b := a.As16()
	return max(maphash.Bytes(t.seed, b[:]), 1)
}
