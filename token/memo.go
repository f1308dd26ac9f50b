package token

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
)

// digest names a token by what it is, so that a memo holds no tokens.
type digest [sha256.Size]byte

// shards is how many locks a memo has.
const shards = 32

// A memo remembers verdicts by digest, a bounded number of them. It keeps two
// generations a shard: when the young one is full it becomes the old one, and
// the old one is forgotten but for what was asked for in the meantime. That is
// close enough to least recently used, with nothing to maintain on a hit.
//
// Verdicts do not age: what is remembered holds at any time, and expiry is
// checked on every request. A token that has expired is therefore refused as
// cheaply as a good one is admitted, and is forgotten when nobody asks.
type memo struct {
	shards [shards]shard
	size   atomic.Int64 // verdicts in all shards
}

type shard struct {
	mu         sync.Mutex // guards young and old
	young, old map[digest]verdict
	limit      int // of each generation
}

type verdict struct {
	claims *Claims
	err    error
}

// newMemo returns a memo of about size verdicts: never more, unless size is
// below two a shard.
func newMemo(size int) *memo {
	m := new(memo)
	for i := range m.shards {
		m.shards[i].limit = max(1, size/shards/2)
		m.shards[i].young, m.shards[i].old = map[digest]verdict{}, map[digest]verdict{}
	}
	return m
}

func (m *memo) get(d digest) (*Claims, error, bool) {
	s := &m.shards[d[0]%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.young[d]
	if !ok {
		if v, ok = s.old[d]; !ok {
			return nil, nil, false
		}
		delete(s.old, d)
		m.size.Add(int64(s.insert(d, v)) - 1)
	}
	return v.claims, v.err, true
}

// put remembers a verdict and returns how many there are now.
func (m *memo) put(d digest, c *Claims, err error) int64 {
	s := &m.shards[d[0]%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.young[d]; ok { // two requests found out at the same time
		return m.size.Load()
	}
	return m.size.Add(int64(s.insert(d, verdict{c, err})))
}

// insert puts a new verdict into the young generation and returns by how many
// the shard has grown, which is negative when a generation was forgotten.
func (s *shard) insert(d digest, v verdict) (grown int) {
	if len(s.young) >= s.limit {
		grown -= len(s.old)
		clear(s.old) // keeps its memory: a full memo allocates no more
		s.young, s.old = s.old, s.young
	}
	s.young[d] = v
	return grown + 1
}
