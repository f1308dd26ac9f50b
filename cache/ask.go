package cache

import (
	"net/http"
	"time"

	"weir/internal/web"
)

// A waiter is somebody who asked and has no answer yet.
type waiter struct {
	q     Query
	fill  Fill
	done  func(*Object, Outcome, error)
	hash  uint64        // of q.Key
	until time.Duration // its deadline, as time since the cache began
	cost  int64         // bytes it counts for while it waits

	// Guarded by the shard's mu.
	f         *flight
	at        int      // its place in f.waiters
	settled   bool     // done was called, or is about to be, or the waiter left
	vary      []string // fields that it learned answers depend on
	released  int      // how often it was sent away to ask again
	validated bool     // it was sent away once because an answer must be validated
	alone     bool     // it asks for itself only
}

// maxReleases bounds how often a waiter joins another flight after the answer
// of the first was not for it: upstreams that change their mind would else
// keep it waiting for ever.
const maxReleases = 2

// Ask answers q from what is kept, or else by the one fill for all who ask the
// same, and calls done exactly once, possibly from within Ask. Done must not
// block. It gets an object that it releases, or an error, as soon as the
// object's head is known.
//
// Cancel withdraws the question. Done is not called after it, unless that call
// is already under way. A fill that others may use goes on.
func (c *Cache) Ask(q Query, fill Fill, done func(*Object, Outcome, error)) (cancel func()) {
	w := c.newWaiter(q, fill, done)
	c.ask(w)
	return func() { c.withdraw(w) }
}

func (c *Cache) newWaiter(q Query, fill Fill, done func(*Object, Outcome, error)) *waiter {
	if q.Header == nil {
		q.Header = &noHeader
	}
	return &waiter{q: q, fill: fill, done: done, hash: c.hash(q.Key)}
}

// ask answers w at once or gives it a flight to wait for. Looking, joining and
// starting are one step under the shard's lock, as is the publication of an
// answer: between the two no second fill can slip through.
func (c *Cache) ask(w *waiter) {
	now := time.Now()
	s := c.shard(w.hash)
	s.mu.Lock()
	if w.settled {
		s.mu.Unlock()
		return
	}
	if c.closed.Load() {
		c.answer(s, w, nil, Miss, &web.Error{Status: http.StatusServiceUnavailable, Reason: "cache_closed", Err: ErrClosed})
		return
	}
	k := s.find(w.q.Key, w.q.Header)
	if w.until == 0 {
		w.until = c.deadline(w, now)
	}
	if k != nil && !w.q.Validate && k.stored.fresh(now) {
		if k.stored.Filling() && c.crowded(&k.stored) {
			c.turnAway(s, w, tooManyFollowers)
			return
		}
		if k.stored.Filling() {
			c.answer(s, w, k.filled, Joined, nil)
		} else {
			c.answer(s, w, &k.stored, Hit, nil)
		}
		c.touch(k, now)
		return
	}
	fk := flightKey{w.q.Key, string(appendVariant(nil, union(s.varyOf(w.q.Key), w.vary), w.q.Header)), w.q.NoPeer}
	failed, hasFailed := s.failure(c.flightHash(fk), now)
	f := s.joinable(fk)
	switch {
	case w.alone || s.passes(w.hash, now):
		c.depart(s, w, fk, nil, true)
	case k != nil && !w.q.Validate && k.stored.staleFor(now, k.stored.whileRevalidate):
		c.refreshBehind(s, w, fk, k, hasFailed || s.underway(fk))
	case hasFailed && k != nil && web.HiddenByStale(web.StatusOf(failed)) && k.stored.staleFor(now, k.stored.ifError):
		c.answer(s, w, &k.stored, Stale, nil)
	case hasFailed:
		c.answer(s, w, nil, Hit, failed)
	case f != nil:
		if why, ok := c.park(f, w); !ok {
			c.turnAway(s, w, why)
			return
		}
		f.join(w)
		s.mu.Unlock()
	default:
		c.depart(s, w, fk, k, false)
	}
}

// depart starts a flight with w as the first to wait for it. It unlocks s.
func (c *Cache) depart(s *shard, w *waiter, fk flightKey, stale *kept, solo bool) {
	if c.inFlight.Load() >= int64(c.opts.MaxWaiters) {
		c.turnAway(s, w, tooManyWaiters)
		return
	}
	if why, ok := c.park(nil, w); !ok {
		c.turnAway(s, w, why)
		return
	}
	f := c.newFlight(s, w.q, w.fill, fk, stale, solo)
	f.leader = w
	f.join(w)
	f.start()
	s.mu.Unlock()
}

// refreshBehind answers w with the stale k and, unless that is under way or
// just failed, starts one fill that belongs to nobody (RFC 5861 section 3). It
// unlocks s.
func (c *Cache) refreshBehind(s *shard, w *waiter, fk flightKey, k *kept, underway bool) {
	if !underway && c.inFlight.Load() < int64(c.opts.MaxWaiters) {
		f := c.newFlight(s, w.q, w.fill, fk, k, false)
		f.background = true
		f.start()
	}
	c.answer(s, w, &k.stored, Stale, nil)
}

func (c *Cache) turnAway(s *shard, w *waiter, why rejection) {
	c.metrics.rejected[why].Inc()
	c.answer(s, w, nil, Miss, &web.Error{Status: http.StatusServiceUnavailable, Reason: "cache_waiters", RetryAfter: time.Second,
		Err: errTooMany})
}

// answer gives w its answer, with a reference of its own. It unlocks s.
func (c *Cache) answer(s *shard, w *waiter, o *Object, how Outcome, err error) {
	w.settled = true
	if o != nil {
		o.body.ref()
	}
	s.mu.Unlock()
	c.metrics.count(w.q.Class, how)
	w.done(o, how, err)
}

// withdraw takes w's question back. False means that the answer is on its way.
func (c *Cache) withdraw(w *waiter) bool {
	s := c.shard(w.hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.settled {
		return false
	}
	w.settled = true
	if f := w.f; f != nil {
		f.leave(w)
		f.lonely()
	}
	return true
}
