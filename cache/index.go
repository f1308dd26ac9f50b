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
	words   *words
	mu      sync.RWMutex // guards what follows, and the waiters of its flights
	entries map[string]*entry
	flights map[flightKey]*flight // those whose head is not known yet
	failed  map[uint64]failure    // by hash of flight key: fills that failed just now
	passing map[uint64]time.Time  // by hash of key: until when answers are taken to be unshareable
}

// An entry holds all variants of one key, the newest first.
type entry struct {
	vary  []string // the request fields that tell variants apart, sorted; grows, up to maxVary
	first *kept
}

// kept is an object in the store. It shows two faces: stored to those who find
// it, filled to those who asked before it was there.
type kept struct {
	name     string
	stored   Object
	filled   *Object      // guarded by shard.mu; nil once the body is whole
	id       uint64       // of key and request, for the memory tier's policy
	touched  atomic.Int64 // the second in which it was last wanted
	variant  string       // by appendVariant; guarded by shard.mu, as the next
	next     *kept        // of the same key
	overhead int32        // bytes charged to the budget beside the body
	purged   bool         // it was invalidated while it was on its way out; guarded by shard.mu
	group    group        // whose share it counts to; not changed any more once it is kept

	tier         tier  // this and the rest: guarded by tiers.mu
	cost         int64 // bytes it stands for in its tier
	newer, older *kept
}

func (k *kept) key() string { return k.name }

// arrived gives up the face for those who wait if nobody can any more. The
// caller holds the lock of k's shard.
func (k *kept) arrived() {
	if !k.stored.Filling() {
		k.filled = nil
	}
}

func (s *shard) init(w *words) {
	s.words = w
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
		return e.first
	}
	var buf [256]byte
	return e.variant(appendVariant(buf[:0], e.vary, h))
}

func (e *entry) variant(text []byte) *kept {
	for k := e.first; k != nil; k = k.next {
		if k.variant == string(text) {
			return k
		}
	}
	return nil
}

// unlink takes k out, and reports whether it was there.
func (e *entry) unlink(k *kept) bool {
	for at := &e.first; *at != nil; at = &(*at).next {
		if *at == k {
			*at, k.next = k.next, nil
			return true
		}
	}
	return false
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
		for _, old := range displaced {
			e.unlink(old)
		}
		e.vary = s.words.vary(all)
	}
	k.variant = ""
	if len(e.vary) > 0 {
		k.variant = s.words.variant(appendVariant(nil, e.vary, h))
	}
	if old := e.variant([]byte(k.variant)); old != nil {
		displaced = append(displaced, old)
		e.unlink(old)
	} else if e.count() >= maxVariants {
		last := e.leastWanted()
		displaced = append(displaced, last)
		e.unlink(last)
	}
	k.next, e.first = e.first, k
	return displaced
}

// replace puts k, another head for what old is, in its place. False means that
// old is not there any more.
func (s *shard) replace(old, k *kept) bool {
	e := s.entries[old.key()]
	if e == nil || !e.unlink(old) {
		return false
	}
	k.variant = old.variant
	k.next, e.first = e.first, k
	return true
}

// remove takes k out of the index if it is there, and returns the fields by
// which its variant was told.
func (s *shard) remove(k *kept) (vary []string, found bool) {
	e := s.entries[k.key()]
	if e == nil {
		return nil, false
	}
	found = e.unlink(k)
	if e.first == nil {
		delete(s.entries, k.key())
	}
	return e.vary, found
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
	last := e.first
	for k := last; k != nil; k = k.next {
		if k.wanted().Before(last.wanted()) {
			last = k
		}
	}
	return last
}

// wanted returns when k was wanted last, to the second, or came.
func (k *kept) wanted() time.Time {
	if at := time.Unix(k.touched.Load(), 0); at.After(k.stored.born) {
		return at
	}
	return k.stored.born
}

func (e *entry) all() []*kept {
	var all []*kept
	for k := e.first; k != nil; k = k.next {
		all = append(all, k)
	}
	return all
}

func (e *entry) count() (n int) {
	for k := e.first; k != nil; k = k.next {
		n++
	}
	return n
}
