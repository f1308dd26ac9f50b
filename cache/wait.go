package cache

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"weir/internal/web"
)

// waiterBytes is about what one who waits costs here beside the key and the
// header of its question: BenchmarkWake measures it.
const waiterBytes = 512

// grain is how much later than its deadline somebody may be told, so that one
// round through those who wait serves many.
const grain = 10 * time.Millisecond

// ErrWaited says that an answer did not come within the time one may wait.
var ErrWaited = errors.New("no answer within the time that one may wait")

// bounds fills in the defaults of what bounds waiting.
func (o *Options) bounds() {
	if o.MaxFollowers == 0 {
		o.MaxFollowers = (o.MaxWaiters + 1) / 2
	}
	if o.MaxParked == 0 {
		o.MaxParked = 64 << 20
	}
	if o.WaitTimeout == 0 {
		o.WaitTimeout = o.FillTimeout + time.Second
	}
	if o.Retries == 0 {
		o.Retries = 1
	}
	if o.Jitter == nil {
		o.Jitter = restless
	}
}

// deadline returns until when w waits, as time since the cache began.
func (c *Cache) deadline(w *waiter, now time.Time) time.Duration {
	wait := c.opts.WaitTimeout
	if w.q.Wait > 0 {
		wait = min(wait, w.q.Wait)
	}
	return (now.Sub(c.born) + wait + grain - 1).Truncate(grain)
}

// park counts w among those who wait, for f or, if that is nil, for a flight
// that it is about to start. False means that there is no place for it, and
// why. One object that everybody wants leaves places for others; whoever asks
// first for an object needs no place among all, as flights are bounded too.
func (c *Cache) park(f *flight, w *waiter) (rejection, bool) {
	w.cost = int64(waiterBytes + len(w.q.Key) + w.q.Header.Bytes())
	switch n := c.waiters.Add(1); {
	case f == nil:
	case n > int64(c.opts.MaxWaiters):
		c.waiters.Add(-1)
		return tooManyWaiters, false
	case len(f.waiters) >= c.opts.MaxFollowers:
		c.waiters.Add(-1)
		return tooManyFollowers, false
	}
	if c.parked.Add(w.cost) > c.opts.MaxParked {
		c.unpark(1, w.cost)
		return tooMuchParked, false
	}
	return 0, true
}

// unpark gives the places of n who waited back, and their bytes.
func (c *Cache) unpark(n int, cost int64) {
	c.waiters.Add(-int64(n))
	c.parked.Add(-cost)
}

// crowded reports whether a body that still arrives has as many readers as it
// may have.
func (c *Cache) crowded(o *Object) bool { return o.body.refs.Count() > int64(c.opts.MaxFollowers) }

// join adds w, which is parked, to those who wait. The caller holds s.mu.
func (f *flight) join(w *waiter) {
	w.f, w.at = f, len(f.waiters)
	f.waiters = append(f.waiters, w)
	if f.rings == 0 || w.until < f.rings {
		f.ringAt(w.until)
	}
}

// leave takes w out of those who wait, and frees its place. The caller holds s.mu.
func (f *flight) leave(w *waiter) {
	last := len(f.waiters) - 1
	f.waiters[w.at] = f.waiters[last]
	f.waiters[w.at].at = w.at
	f.waiters[last] = nil
	f.waiters = f.waiters[:last]
	if f.leader == w {
		f.leader = nil
	}
	w.f = nil
	f.c.unpark(1, w.cost)
}

// ringAt sets the one timer of all who wait for f to the first deadline of
// theirs. The caller holds s.mu.
func (f *flight) ringAt(until time.Duration) {
	f.rings = until
	left := max(0, until-time.Since(f.c.born))
	if f.bell == nil {
		f.bell = time.AfterFunc(left, f.expire)
		return
	}
	f.bell.Reset(left)
}

// expire tells those who have waited for too long: with the stale answer, where
// that may stand in for one that upstream does not give, else that there is none.
func (f *flight) expire() {
	var due []*waiter
	s, now := f.s, time.Now()
	s.mu.Lock()
	if f.settled {
		s.mu.Unlock()
		return
	}
	leader, o, since := f.leader, f.standIn(now), now.Sub(f.c.born)
	first := time.Duration(0)
	for i := len(f.waiters) - 1; i >= 0; i-- { // backwards: leave moves the last one
		w := f.waiters[i]
		switch {
		case w.until <= since:
			f.leave(w)
			w.settled = true
			due = append(due, w)
		case first == 0 || w.until < first:
			first = w.until
		}
	}
	if first > 0 {
		f.ringAt(first)
	} else {
		f.rings = 0
	}
	hold(o, len(due))
	f.lonely()
	s.mu.Unlock()
	for _, w := range due {
		how, err := Joined, error(nil)
		switch {
		case o != nil:
			how = Stale
		case w == leader:
			how = Miss
		}
		if o == nil {
			err = &web.Error{Status: http.StatusGatewayTimeout, Reason: "cache_wait", RetryAfter: time.Second,
				Err: fmt.Errorf("fill %s: %w", f.name(), ErrWaited)}
		}
		f.c.metrics.overdue.Inc()
		f.c.metrics.count(w.q.Class, how)
		w.done(o, how, err)
	}
}

// standIn returns the stale answer if it may hide a failure now, else nil.
func (f *flight) standIn(now time.Time) *Object {
	if f.stale == nil || !f.stale.stored.staleFor(now, f.stale.stored.ifError) {
		return nil
	}
	return &f.stale.stored
}
