package cache

import (
	"errors"
	"sync"

	"github.com/dgraph-io/ristretto/v2"
)

// policy decides which of the objects that left the young are worth their
// bytes: TinyLFU, by ristretto. The index is ours, and exact; the policy is
// told what is there and says what has to go. It may say so late, or refuse
// what it is given, or lose it: no fresh object ever depends on it.
//
// What it was given it hands back through gone exactly when it lets go of it,
// with two exceptions that its caller has to know: a set that returns false
// calls nothing, and a del may call gone twice and with nothing in its hands.
type policy struct {
	mu     sync.RWMutex // guards rist against its own Close, which nothing may run beside
	closed bool
	rist   *ristretto.Cache[uint64, *kept]
}

// policyEvents is what a policy calls, on its own goroutine or within a call.
type policyEvents struct {
	gone             func(*kept) // never nil
	evicted, refused func()
}

// objectBytes is what an object is expected to weigh, to size the policy's
// table of counters: ten for each object.
const objectBytes = 16 << 10

func newPolicy(maxBytes int64, on policyEvents) (*policy, error) {
	if maxBytes <= 0 {
		return nil, errors.New("cache: no bytes are left for the memory tier: lower Young")
	}
	rist, err := ristretto.NewCache(&ristretto.Config[uint64, *kept]{
		NumCounters:        min(max(10*maxBytes/objectBytes, 10_000), 10_000_000),
		MaxCost:            maxBytes,
		BufferItems:        64,
		IgnoreInternalCost: true, // kept.cost has it
		KeyToHash:          func(id uint64) (uint64, uint64) { return id, 0 },
		OnEvict:            func(*ristretto.Item[*kept]) { on.evicted() },
		OnReject:           func(*ristretto.Item[*kept]) { on.refused() },
		OnExit: func(k *kept) {
			if k != nil { // Del calls with the zero value, and twice
				on.gone(k)
			}
		},
	})
	if err != nil {
		return nil, err
	}
	return &policy{rist: rist}, nil
}

// set offers k. False means that k is still the caller's.
func (p *policy) set(k *kept) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return !p.closed && p.rist.Set(k.id, k, k.cost)
}

// del tells that k is gone. It must not be called from within gone.
func (p *policy) del(k *kept) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if !p.closed {
		p.rist.Del(k.id)
	}
}

// touch counts a use of the object with this id. It never blocks.
func (p *policy) touch(id uint64) {
	if !p.mu.TryRLock() {
		return
	}
	defer p.mu.RUnlock()
	if !p.closed {
		p.rist.Get(id)
	}
}

// close lets go of everything and ends the policy's goroutines.
func (p *policy) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.closed = true
		p.rist.Close()
	}
}
