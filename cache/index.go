package cache

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"weir/internal/web"
)

const shards = 64

// A shard is the part of the index that holds the keys of one hash class, and
// everything that has to change at one moment when a fill's answer comes: what
// is kept, what is in the air, what failed just now.
//
// Locks are taken in this order: shard.mu, then tiers.mu. No callback, no fill
// and no call into the memory tier's policy runs under either.
type shard struct {
	mu      sync.RWMutex // guards what follows, and the waiters of its flights
	entries map[string]*entry
	flights map[flightKey]*flight // those whose head is not known yet
	failed  map[uint64]failure    // by hash of flight key: fills that failed just now
	passing map[uint64]time.Time  // by hash of key: until when answers are taken to be unshareable
}

// An entry holds all variants of one key.
type entry struct {
	vary []string         // the request fields that tell variants apart, sorted; grows, up to maxVary
	one  *kept            // the only variant while vary is empty
	many map[string]*kept // else, by appendVariant
}

// kept is an object in the store. It shows two faces: stored to those who find
// it, filled to those who asked before it was there.
type kept struct {
	stored, filled Object
	id             uint64       // of key and request, for the memory tier's policy
	touched        atomic.Int64 // the second in which it was last wanted
	overhead       int64        // bytes charged to the budget beside the body
	variant        string       // guarded by shard.mu

	tier         tier  // this and the rest: guarded by tiers.mu
	cost         int64 // bytes it stands for in its tier
	newer, older *kept
}

func (k *kept) key() string { return k.stored.key }

func (s *shard) init() {
	s.entries = map[string]*entry{}
	s.flights = map[flightKey]*flight{}
	s.failed = map[uint64]failure{}
	s.passing = map[uint64]time.Time{}
}

func (c *Cache) shard(hash uint64) *shard { return &c.shards[hash%shards] }

// find returns the variant that fits the request, fresh or not, or nil.
func (s *shard) find(key string, h *web.Header) *kept {
	e := s.entries[key]
	if e == nil {
		return nil
	}
	if len(e.vary) == 0 {
		return e.one
	}
	var buf [256]byte
	return e.many[string(appendVariant(buf[:0], e.vary, h))]
}

// varyOf returns the request fields that answers for key are known to depend on.
func (s *shard) varyOf(key string) []string {
	if e := s.entries[key]; e != nil {
		return e.vary
	}
	return nil
}

// put makes k, which answers a request with header h and depends on the fields
// vary, what find returns. It returns what k displaces. An answer that depends
// on a field unheard of displaces all others: what their requests said there
// is not known.
func (s *shard) put(k *kept, vary []string, h *web.Header) (displaced []*kept) {
	e := s.entries[k.key()]
	if e == nil {
		e = &entry{}
		s.entries[k.key()] = e
	}
	if all := union(e.vary, vary); len(all) > len(e.vary) {
		if len(all) > maxVary {
			all = vary // upstream names ever new fields: forget the old ones, with all that depends on them
		}
		displaced = e.all()
		e.vary, e.one, e.many = all, nil, map[string]*kept{}
	}
	if len(e.vary) == 0 {
		if e.one != nil {
			displaced = append(displaced, e.one)
		}
		e.one = k
		return displaced
	}
	k.variant = string(appendVariant(nil, e.vary, h))
	if old := e.many[k.variant]; old != nil {
		displaced = append(displaced, old)
	} else if len(e.many) >= maxVariants {
		last := e.leastWanted()
		displaced = append(displaced, last)
		delete(e.many, last.variant)
	}
	e.many[k.variant] = k
	return displaced
}

// replace puts k, another head for what old is, in its place. False means that
// old is not there any more.
func (s *shard) replace(old, k *kept) bool {
	e := s.entries[old.key()]
	switch {
	case e == nil:
		return false
	case e.one == old:
		e.one = k
	case e.many[old.variant] == old:
		k.variant = old.variant
		e.many[k.variant] = k
	default:
		return false
	}
	return true
}

// remove takes k out of the index if it is there.
func (s *shard) remove(k *kept) {
	e := s.entries[k.key()]
	switch {
	case e == nil:
		return
	case e.one == k:
		e.one = nil
	case e.many[k.variant] == k:
		delete(e.many, k.variant)
	}
	if e.one == nil && len(e.many) == 0 {
		delete(s.entries, k.key())
	}
}

// holding returns what stands for the bytes of b under key.
func (s *shard) holding(key string, b *blob) []*kept {
	e := s.entries[key]
	if e == nil {
		return nil
	}
	return slices.DeleteFunc(e.all(), func(k *kept) bool { return k.stored.body != b })
}

// leastWanted returns the variant that was not wanted for the longest time.
func (e *entry) leastWanted() *kept {
	var last *kept
	for _, k := range e.many {
		if last == nil || k.wanted().Before(last.wanted()) {
			last = k
		}
	}
	return last
}

// wanted returns when k was wanted last, to the second, or came.
func (k *kept) wanted() time.Time {
	if at := time.Unix(k.touched.Load(), 0); at.After(k.stored.received) {
		return at
	}
	return k.stored.received
}

func (e *entry) all() []*kept {
	var all []*kept
	if e.one != nil {
		all = append(all, e.one)
	}
	for _, k := range e.many {
		all = append(all, k)
	}
	return all
}
