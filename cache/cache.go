// Package cache keeps answers, and asks each question once.
//
// Of all who ask for the same thing at the same time one [Fill] runs, on its
// own context, and everybody gets its answer as soon as the head is known and
// follows the body from the first byte. What is worth keeping is kept, newest
// first, under one budget of bytes that counts fills in flight, slack and what
// readers still hold; no rule of retention depends on who owns a key. An
// answer that was cut short is never kept and never taken for a whole one.
//
// The rules are those of a shared cache (RFC 9111, RFC 5861): package web
// judges an answer, this package acts on the verdict.
package cache

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weir/internal/spool"
	"weir/internal/web"
)

// A Query is one question. Key alone cannot say all of it: which variant of an
// answer fits depends on the request's header (RFC 9111 section 4.1).
type Query struct {
	Key    string        // what names the object, the same for all who want it
	Header *web.Header   // the request's header, for Vary and Authorization; never changed any more; nil: empty
	Range  web.Range     // the part that is wanted. Whole objects are kept, so that it is never part of the key
	Class  Class         // for metrics
	NoPeer bool          // never wait for a fill that may itself be waiting for a peer
	Wait   time.Duration // how long to wait for a head; 0, or more than Options.WaitTimeout: that

	// Validate asks upstream although there may be a fresh answer, which then
	// needs upstream's word that it still is. Lookup does not heed it.
	Validate bool
}

// A Fill asks upstream, with GET whatever the viewer's method was: its answer
// may be kept as the answer to GET. Prior is not nil where something is kept
// that upstream may say is still good, the stale answer to this question or
// another variant: a Fill that sends its Conditions along may answer 304. It is
// only valid until Fill returns. Ctx is the flight's, not that of whoever asked.
type Fill func(ctx context.Context, prior *Object) (*web.Response, error)

// Options configures a [Cache]. The zero value of a field is its default.
type Options struct {
	// Bytes is the one budget: bodies kept and in flight, heads, slack, and
	// what was evicted but is still being read. Default 256 MiB. Not counted
	// are the fixed tables of the memory tier: about 2 bytes per 1,000.
	Bytes int64
	// Young is the share of Bytes that holds the newest objects, first in
	// first out and whatever they are. It should hold all that is live.
	// Default half of Bytes.
	Young int64
	// MaxObject is the largest body kept, in bytes; larger ones are passed
	// through to each who asks. Default 64 MiB, but at most a quarter of Bytes.
	MaxObject int64
	// Slab is where bodies lie. Default an own one.
	Slab *spool.Slab
	// FillTimeout bounds the time a fill may pass without progress. It must be
	// longer than upstream may hold a blocking request. Default 30 s.
	FillTimeout time.Duration
	// Judge has the last word on what may be done with the answer to q: it gets
	// what the answer itself allows (RFC 9111) and returns that, or less. It is
	// called for each answer and each renewal of one, which has no body, and must
	// not block. Nil: the answer decides.
	Judge func(q Query, resp *web.Response, may web.Freshness) web.Freshness
	// Limits are those of each class. Default as package cache documents them.
	Limits map[Class]Limits
	// MaxWaiters bounds how many may wait for a head at once that others asked
	// for, and how many fills may be in the air. Default 100,000.
	MaxWaiters int
	// MaxFollowers bounds how many may wait for one head, or read one body while
	// it arrives, so that one object that everybody wants leaves places for
	// others. Default half of MaxWaiters.
	MaxFollowers int
	// MaxParked bounds the bytes that those who wait take: half a KiB for each,
	// and what their questions hold. Default 64 MiB.
	MaxParked int64
	// WaitTimeout is how long anybody waits for a head, whatever becomes of the
	// fill. Default a second more than FillTimeout.
	WaitTimeout time.Duration
	// Retries is how often a fill that could not reach upstream is made anew, for
	// those who still wait. Default 1, less than 0 is never.
	Retries int
	// Jitter says how long after a failed fill that is. Default 25 to 100 ms, at
	// random.
	Jitter func() time.Duration

	Registerer prometheus.Registerer // nil: metrics are kept but not registered
	Log        *slog.Logger          // nil: discard
}

// Errors of a Cache itself; all others come from a Fill.
var (
	ErrClosed   = errors.New("the cache is closed")
	ErrStalled  = errors.New("no progress from upstream")
	ErrNoRoom   = errors.New("no room in the cache's budget")
	ErrTooLarge = web.ErrTooLarge
)

// A Cache is safe for concurrent use.
type Cache struct {
	opts    Options
	log     *slog.Logger
	metrics *metrics
	ctx     context.Context // ends with Close; the parent of every fill
	stop    context.CancelCauseFunc
	flying  sync.WaitGroup // goroutines of flights
	seed    maphash.Seed
	born    time.Time

	shards [shards]shard
	budget budget
	tiers  tiers

	closed   atomic.Bool
	waiters  atomic.Int64 // askers waiting for a head
	parked   atomic.Int64 // bytes of theirs
	inFlight atomic.Int64 // fills in the air
	air      air          // the same, listed for Stats
}

// New returns an empty Cache. The memory tier has goroutines from then on, which
// Close ends.
func New(o Options) (*Cache, error) {
	if o.Bytes == 0 {
		o.Bytes = 256 << 20
	}
	if o.Young == 0 {
		o.Young = o.Bytes / 2
	}
	if o.MaxObject == 0 {
		o.MaxObject = min(64<<20, o.Bytes/4)
	}
	if o.FillTimeout == 0 {
		o.FillTimeout = 30 * time.Second
	}
	if o.MaxWaiters == 0 {
		o.MaxWaiters = 100_000
	}
	o.bounds()
	switch {
	case o.Bytes < minBytes:
		return nil, fmt.Errorf("cache: Bytes is %d, want at least %d", o.Bytes, minBytes)
	case o.Young < 0 || o.Young > o.Bytes-o.Bytes/4:
		return nil, fmt.Errorf("cache: Young is %d, want at most three quarters of Bytes (%d)", o.Young, o.Bytes-o.Bytes/4)
	case o.MaxObject < 0 || o.MaxObject > o.Bytes:
		return nil, fmt.Errorf("cache: MaxObject is %d, want at most Bytes (%d)", o.MaxObject, o.Bytes)
	case o.FillTimeout < 0 || o.MaxWaiters < 0 || o.WaitTimeout < 0 || o.MaxFollowers < 0 || o.MaxParked < 0:
		return nil, errors.New("cache: timeouts and limits of who waits must not be negative")
	}
	if o.Slab == nil {
		o.Slab = spool.NewSlab(spool.SlabOptions{})
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	c := &Cache{opts: o, log: o.Log, seed: maphash.MakeSeed(), born: time.Now()}
	c.ctx, c.stop = context.WithCancelCause(context.Background())
	c.budget.limit = o.Bytes
	for i := range c.shards {
		c.shards[i].init()
	}
	// An eighth of the budget is nobody's: fills in flight, bytes still read
	// after they were evicted, and the lag of the memory tier live in it.
	if err := c.tiers.init(c, o.Young, o.Bytes-o.Young-o.Bytes/8); err != nil {
		c.stop(err)
		return nil, err
	}
	c.metrics = newMetrics(c, o.Registerer)
	return c, nil
}

// minBytes is the smallest budget with which anything can be kept at all.
const minBytes = 64 << 10

// Close ends all fills, tells who waits, and gives back all bytes that nobody
// reads. It waits for fills to return, at most closeWait.
func (c *Cache) Close() {
	if c.closed.Swap(true) {
		return
	}
	c.stop(ErrClosed)
	for i := range c.shards { // who holds a lock now still starts a fill; nobody does after
		c.shards[i].mu.Lock()
		c.shards[i].mu.Unlock() //lint:ignore SA2001 it waits for the holder, and guards nothing
	}
	landed := make(chan struct{})
	go func() { c.flying.Wait(); close(landed) }()
	bound := time.NewTimer(closeWait)
	defer bound.Stop()
	select {
	case <-landed:
	case <-bound.C:
		c.log.Warn("cache closes although fills ignore the end of their context", "fills", c.inFlight.Load())
	}
	c.tiers.close(c)
}

const closeWait = 5 * time.Second

// Lookup returns the object for q if there is a fresh one, and takes a
// reference for the caller, who releases it. Its body may still be arriving.
// Lookup never blocks and does not allocate.
func (c *Cache) Lookup(q Query) (*Object, bool) {
	now := time.Now()
	h := c.hash(q.Key)
	s := c.shard(h)
	s.mu.RLock()
	k := s.find(q.Key, q.Header)
	if k == nil || !k.stored.fresh(now) || k.stored.Filling() && c.crowded(&k.stored) {
		s.mu.RUnlock()
		return nil, false
	}
	k.stored.body.ref()
	s.mu.RUnlock()
	c.touch(k, now)
	if k.stored.Filling() {
		c.metrics.count(q.Class, Joined)
		return &k.filled, true
	}
	c.metrics.count(q.Class, Hit)
	return &k.stored, true
}

// Get is Ask that waits: for the head, not for the body. The caller releases
// the object. When ctx is done first Get returns its cause; the fill goes on.
func (c *Cache) Get(ctx context.Context, q Query, fill Fill) (*Object, Outcome, error) {
	type answer struct {
		o   *Object
		how Outcome
		err error
	}
	ready := make(chan answer, 1)
	w := c.newWaiter(q, fill, func(o *Object, how Outcome, err error) { ready <- answer{o, how, err} })
	c.ask(w)
	select {
	case a := <-ready:
		return a.o, a.how, a.err
	case <-ctx.Done():
	}
	if c.withdraw(w) {
		return nil, Miss, context.Cause(ctx)
	}
	a := <-ready // it was on its way
	return a.o, a.how, a.err
}

func (c *Cache) hash(key string) uint64 { return maphash.String(c.seed, key) }
