package edge

import (
	"context"
	"errors"
	"sync"
	"time"

	"weir/cache"
	"weir/internal/web"
)

// Hedging: where an origin takes longer than it almost ever does, the next one
// is asked as well, and the first good head wins. It is for live objects,
// whose viewers have little time, and never for what an origin holds on
// purpose. Only another origin is asked: a second connection to a slow one
// makes it slower. Nor is an origin asked because a peer is late: the owner of
// a key may be waiting for that origin itself, which would then see two
// requests for everything just when it is slow; whether the peer lives is
// asked of the peer (stillLives).
const (
	// HedgeOff as Options.Hedge switches hedging off.
	HedgeOff = time.Duration(-1)

	hedgeFloor   = 100 * time.Millisecond // below that nobody notices
	hedgeUnknown = time.Second            // until it is known how long an origin takes
	hedgeBurst   = 5
	hedgeShare   = 0.02 // of requests
)

var (
	errHedged = errors.New("another origin answered first")
	errOutrun = errors.New("it was outrun by another again and again")
)

// hedges bounds how much hedging there is.
type hedges struct {
	mu     sync.Mutex // guards budget
	budget bucket
}

// asked says that one more request might be hedged.
func (h *hedges) asked() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.budget.earn(hedgeShare)
}

func (h *hedges) may(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.budget.take(now)
}

// hedgeable reports whether what is asked for is live and comes at once.
func (f *fill) hedgeable() bool {
	switch f.q.class {
	case cache.Playlist, cache.Segment, cache.Init:
		return f.e.opts.Hedge >= 0 && !f.q.blocking
	}
	return false
}

// hedgeDelay is how long the named origin is waited for alone.
func (f *fill) hedgeDelay(name string, now time.Time) time.Duration {
	if fixed := f.e.opts.Hedge; fixed > 0 {
		return fixed
	}
	d := hedgeUnknown
	if p99, known := f.e.origins.headTime(name, f.q.class, now); known {
		d = max(p99, hedgeFloor)
	}
	return min(d, f.e.opts.OriginTimeout/2)
}

func (o *origins) headTime(name string, class cache.Class, now time.Time) (time.Duration, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.of(name).heads[headKind(class)].at(0.99, now)
}

// came says how long the head of an answer took.
func (o *origins) came(name string, class cache.Class, took time.Duration, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.of(name).heads[headKind(class)].add(took, now)
}

// A side is one of two exchanges of which one is called off when the other
// has won. The zero value, and nil, have nobody to race with.
type side struct {
	mu     sync.Mutex
	cancel context.CancelCauseFunc // guarded by mu
	over   bool                    // guarded by mu
}

// arm says what calls the exchange off.
func (s *side) arm(cancel context.CancelCauseFunc) {
	if s == nil {
		return
	}
	s.mu.Lock()
	s.cancel = cancel
	over := s.over
	s.mu.Unlock()
	if over {
		cancel(errHedged)
	}
}

func (s *side) callOff() {
	s.mu.Lock()
	s.over = true
	cancel := s.cancel
	s.mu.Unlock()
	if cancel != nil {
		cancel(errHedged)
	}
}

// A race is between an origin and the one that is asked when it is late.
type race struct {
	first, second side

	mu      sync.Mutex
	decided bool // guarded by mu; who sets it has won

	done  chan struct{} // closed when the second is over, after all below was set
	asked bool          // it was asked at all
	resp  *web.Response
	err   error
}

// win reports whether nobody has won before.
func (r *race) win() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.decided {
		return false
	}
	r.decided = true
	return true
}

func good(resp *web.Response, err error) bool { return err == nil && resp.Status < 500 }

// wins reports whether an answer makes that of another origin needless.
func (f *fill) wins(resp *web.Response, err error) bool { return good(resp, err) && !f.missed(resp) }

// askHedged asks the first origin, and the second too if the first is late. It
// returns the first good answer, else what is better than nothing, and whether
// the second was asked at all.
func (f *fill) askHedged(ctx context.Context, first, second Origin, req *web.Request) (resp *web.Response, err error, both bool) {
	e := f.e
	e.hedges.asked()
	start := time.Now()
	r := &race{done: make(chan struct{})}
	late := time.AfterFunc(f.hedgeDelay(first.Name, start), func() {
		defer close(r.done)
		if r.asked = e.hedges.may(time.Now()); !r.asked {
			r.err = errWithheld
			e.metrics.hedges.WithLabelValues("withheld").Inc()
			return
		}
		// Interim answers come from the first alone: nobody wants them twice.
		also := req.Clone()
		also.Inform = nil
		resp, err := f.askOrigin(ctx, second, also, &r.second)
		switch {
		case f.wins(resp, err) && !r.win():
			resp.Close()
			resp, err = nil, errHedged
		case f.wins(resp, err):
			r.first.callOff()
		}
		r.resp, r.err = resp, err
	})
	resp, err = f.askOrigin(ctx, first, req, &r.first)
	if late.Stop() {
		return resp, err, false
	}
	if f.wins(resp, err) && r.win() {
		r.second.callOff()
		go f.lost(r)
		return resp, nil, true // what was not asked of the second is not needed any more
	}
	<-r.done // the second has won, or is the only hope left; it ends by ctx and by its timeout
	if f.wins(r.resp, r.err) {
		e.metrics.hedges.WithLabelValues("won").Inc()
		if resp != nil {
			resp.Close()
		}
		if errors.Is(err, errHedged) && e.origins.outran(first.Name, f.q.class, time.Since(start), time.Now()) {
			e.log.Warn("origin failed; others are asked first", "origin", first.Name, "err", errOutrun)
		}
		return r.resp, nil, true
	}
	if r.asked {
		e.metrics.hedges.WithLabelValues("failed").Inc()
	}
	if r.resp != nil && (err != nil || !good(resp, nil) && good(r.resp, nil)) {
		if resp != nil {
			resp.Close()
		}
		return r.resp, nil, r.asked
	}
	if r.resp != nil {
		r.resp.Close()
	}
	return resp, err, r.asked
}

// lost waits for the end of a second that was called off, and counts it.
func (f *fill) lost(r *race) {
	<-r.done
	if r.resp != nil {
		r.resp.Close()
	}
	switch {
	case !r.asked:
	case errors.Is(r.err, errHedged):
		f.e.metrics.hedges.WithLabelValues("lost").Inc()
	default:
		f.e.metrics.hedges.WithLabelValues("failed").Inc()
	}
}
