package cache

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"weir/cache/shelf"
	"weir/internal/web"
)

// A flightKey tells apart the questions that one fill answers. Variant is what
// the request says in the fields that answers are known to depend on so far.
type flightKey struct {
	key, variant string
	noPeer       bool
}

// A flight is one fill in the air and those who wait for it. It runs on its
// own context: who started it may leave. It always lands, by defer: with an
// answer, with an error, or with a panic, which is an error for all.
type flight struct {
	c          *Cache
	s          *shard
	q          Query // of whoever leads. Changed under s.mu by the flight's goroutine, which reads it without
	fill       Fill  // the same
	fk         flightKey
	solo       bool    // for one waiter only: its answer is handed on as it is, and never kept
	background bool    // it was started for nobody
	stale      *kept   // what it may refresh or fall back upon, with a reference; nil: nothing
	others     []*kept // other variants that upstream may say answer this too, with a reference on each
	started    time.Time
	ctx        context.Context
	cancel     context.CancelCauseFunc

	// The flight's goroutine's own.
	paid      int64        // charged to the budget for the flight itself
	group     group        // of what it brings
	renewed   []*kept      // of stale and others: what a 304 is about
	elections int          // how often another leader was chosen
	found     *shelf.Found // on the disk: what is kept comes from there; nil: from upstream
	handed    bool         // its answer was handed on with the body: the context lives as long as that

	// Guarded by s.mu.
	waiters  []*waiter
	leader   *waiter       // the one of waiters whose fill runs; nil: left, or never was
	bell     *time.Timer   // rings for the first deadline of waiters
	rings    time.Duration // when; 0: not set
	resting  bool          // between a fill that failed and the next
	settled  bool          // the waiters have their answer: nobody joins any more
	outdated bool          // the key was invalidated since: the answer is for those who wait, and not kept

	over     atomic.Bool  // landed
	progress atomic.Int64 // when it last got on, in nanoseconds since started
	watchdog *time.Timer
	taking   atomic.Pointer[intake] // the body's way in, once there is one
}

// air lists what is in the air, for Stats.
type air struct {
	mu      sync.Mutex
	flights map[*flight]struct{} // guarded by mu
}

func (a *air) add(f *flight) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.flights == nil {
		a.flights = map[*flight]struct{}{}
	}
	a.flights[f] = struct{}{}
}

func (a *air) remove(f *flight) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.flights, f)
}

// newFlight makes a flight that others can find. The caller holds s.mu, and
// calls start before letting go of it.
func (c *Cache) newFlight(s *shard, q Query, fill Fill, fk flightKey, stale *kept, solo bool) *flight {
	f := &flight{c: c, s: s, q: q, fill: fill, fk: fk, solo: solo, started: time.Now()}
	f.ctx, f.cancel = context.WithCancelCause(c.ctx)
	f.progressed()
	if stale != nil && !solo {
		stale.stored.body.ref()
		f.stale = stale
	}
	if !solo {
		f.others = s.otherVariants(fk.key, stale)
		s.flights[fk] = f
	}
	return f
}

func (f *flight) start() {
	f.c.inFlight.Add(1)
	f.c.air.add(f)
	f.watchdog = time.AfterFunc(math.MaxInt64, f.watch)
	f.watchdog.Reset(f.c.opts.FillTimeout)
	f.c.flying.Add(1)
	go f.fly()
}

// joinable returns the flight that a question may wait for. One that must not
// wait for a peer waits only for a flight of its own kind: the others may be
// waiting for a peer that in turn waits for us.
func (s *shard) joinable(fk flightKey) *flight {
	if f := s.flights[fk]; f != nil {
		return f
	}
	fk.noPeer = true
	return s.flights[fk]
}

// underway reports whether there is a flight of either kind for the question.
func (s *shard) underway(fk flightKey) bool {
	fk.noPeer = false
	return s.joinable(fk) != nil
}

// fly runs the fill and lands.
func (f *flight) fly() {
	defer f.c.flying.Done()
	err := errUnfinished // unless run returns: it may also panic, or end the goroutine
	defer func() {
		if r := recover(); r != nil {
			err = &web.Error{Status: http.StatusInternalServerError, Reason: "panic",
				Err: fmt.Errorf("fill %s: %w", f.name(), errPanic)}
			f.c.log.Error("fill panicked", "key", f.q.Key, "panic", r, "stack", string(debug.Stack()))
		}
		f.land(err)
	}()
	if full := f.pay(); full != nil {
		err = full
		return
	}
	err = f.run()
}

// land ends the flight. With an error its body, if that has begun, is cut off
// and taken out of the store; if not, who waits is told.
func (f *flight) land(err error) {
	f.over.Store(true)
	f.watchdog.Stop()
	in := f.taking.Load()
	switch {
	case err == errSettled:
		if in != nil {
			in.abort(err)
		}
	case err != nil && in != nil:
		in.abort(err)
		f.takeBack(in.blob)
		if !errors.Is(err, errLeft) {
			f.c.metrics.fillFailed(err)
		}
		f.c.log.Debug("fill cut off", "key", f.q.Key, "err", err)
		f.fail(err) // if it was cut so early that nobody has heard of it yet
	case err != nil:
		f.fail(err)
	}
	if in != nil {
		in.blob.Close()
	}
	if f.stale != nil {
		f.stale.stored.body.Close()
	}
	for _, k := range f.others {
		k.stored.body.Close()
	}
	if !f.handed {
		f.cancel(nil)
	}
	f.c.air.remove(f)
	f.c.inFlight.Add(-1)
	f.c.budget.give(f.paid)
	f.c.trim()
}

// takeBack takes what stands for the bytes of b out of the store.
func (f *flight) takeBack(b *blob) {
	f.s.mu.Lock()
	cut := f.s.holding(f.q.Key, b)
	f.s.mu.Unlock()
	for _, k := range cut {
		f.c.discard(k)
	}
}

// fail tells who waits that there is no answer, and remembers it for those who
// ask right after. Where the stale answer may hide the failure it does (RFC
// 5861 section 4). It does nothing if they have their answer already.
func (f *flight) fail(err error) {
	o := landing{err: err, remember: err, how: Miss, joined: Joined}
	if f.stale != nil && web.HiddenByStale(web.StatusOf(err)) {
		switch old, now := &f.stale.stored, time.Now(); {
		case old.staleFor(now, old.ifError):
			o.object, o.how, o.joined, o.err = old, Stale, Stale, nil
		case old.mustRevalidate:
			// "if a cache is disconnected, the cache MUST generate an error
			// response [...] SHOULD send a 504" (RFC 9111 section 5.2.2.2).
			o.err = &web.Error{Status: http.StatusGatewayTimeout, Reason: "must_revalidate",
				Err: fmt.Errorf("revalidate %s: %w", f.name(), err)}
			o.remember = o.err
		}
	}
	if f.solo {
		o.how = Pass
	}
	if f.settle(o) && f.taking.Load() == nil && !errors.Is(err, errLeft) && !errors.Is(err, ErrClosed) {
		f.c.metrics.fillFailed(err)
	}
}

// name returns the key for an error's text, cut short: a failure is remembered,
// outside the budget, and viewers can make keys long.
func (f *flight) name() string { return f.fk.key[:min(len(f.fk.key), 200)] }

// progressed notes that the flight got on.
func (f *flight) progressed() { f.progress.Store(int64(time.Since(f.started))) }

// watch ends a flight that does not get on: who waits is told even if the fill
// does not heed its context.
func (f *flight) watch() {
	if f.over.Load() {
		return
	}
	idle := time.Since(f.started) - time.Duration(f.progress.Load())
	if left := f.c.opts.FillTimeout - idle; left > 0 {
		f.watchdog.Reset(left)
		return
	}
	err := &web.Error{Status: http.StatusGatewayTimeout, Reason: "upstream_stalled",
		Err: fmt.Errorf("fill %s: %w for %v", f.name(), ErrStalled, f.c.opts.FillTimeout)}
	f.cancel(err)
	if f.taking.Load() == nil {
		f.fail(err)
	}
}
