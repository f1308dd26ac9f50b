package edge

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// seen remembers when viewers last asked for what, to the second and without a
// lock: a hit costs a hash and a load, and a store once a second. It is a table
// of a fixed size: who falls on another's place takes it. So it may forget that
// something was wanted, and then less is prefetched, but hardly ever says that
// something was wanted that was not.
type seen struct {
	seed  maphash.Seed
	slots [1 << 16]atomic.Uint64 // the upper bits of the hash, then the second
}

const (
	secondBits = 34
	secondMask = 1<<secondBits - 1
)

func newSeen() *seen { return &seen{seed: maphash.MakeSeed()} }

func (s *seen) touch(key string, now time.Time) {
	h := maphash.String(s.seed, key)
	slot := &s.slots[h%uint64(len(s.slots))]
	if v := h&^secondMask | uint64(now.Unix())&secondMask; slot.Load() != v {
		slot.Store(v)
	}
}

// within reports whether key was asked for in the time d before now.
func (s *seen) within(key string, now time.Time, d time.Duration) bool {
	return s.since(key, now.Add(-d))
}

// since reports whether key was asked for at t or after, to the second.
func (s *seen) since(key string, t time.Time) bool {
	h := maphash.String(s.seed, key)
	v := s.slots[h%uint64(len(s.slots))].Load()
	return v != 0 && v&^uint64(secondMask) == h&^uint64(secondMask) && int64(v&secondMask) >= t.Unix()
}

// missing remembers for which objects a 404 may be kept: it goes when a playlist
// lists them.
type missing struct {
	n    atomic.Int64
	mu   sync.Mutex // guards keys
	keys map[string]struct{}
}

const maxMissing = 4096

func (m *missing) add(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.keys == nil {
		m.keys = map[string]struct{}{}
	}
	for any := range m.keys {
		if len(m.keys) < maxMissing {
			break
		}
		delete(m.keys, any)
	}
	m.keys[key] = struct{}{}
	m.n.Store(int64(len(m.keys)))
}

// take reports whether key was there, and takes it out.
func (m *missing) take(key string) bool {
	if m.n.Load() == 0 {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.keys[key]
	delete(m.keys, key)
	m.n.Store(int64(len(m.keys)))
	return ok
}
