package edge

import (
	"hash/maphash"
	"sync"
	"time"
)

// wholes remembers objects of which upstream knows no ranges although it did
// not say so: they are passed through.
type wholes struct {
	mu    sync.Mutex // guards the rest
	seed  maphash.Seed
	until map[uint64]time.Time // by hash of key and tag
}

const (
	wholeTTL  = 10 * time.Minute
	maxWholes = 1024
)

func (w *wholes) has(key string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.until == nil {
		return false
	}
	until, ok := w.until[maphash.String(w.seed, key)]
	return ok && time.Now().Before(until)
}

func (w *wholes) add(key string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.until == nil {
		w.until, w.seed = map[uint64]time.Time{}, maphash.MakeSeed()
	}
	if len(w.until) >= maxWholes {
		clear(w.until) // each costs one more question to be found out again
	}
	w.until[maphash.String(w.seed, key)] = time.Now().Add(wholeTTL)
}
