package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"weir/internal/web"
)

// An answer is what upstream said to a fill.
type answer struct {
	resp            *web.Response
	asked, received time.Time
	may             web.Freshness
	vary            []string
}

// run asks upstream, settles what the answer means for those who wait, and
// takes the body in.
func (f *flight) run() error {
	if done, err := f.promote(); done {
		return err
	}
	a, err := f.fetch(f.prior())
	for {
		again, e := f.elect(a, err)
		if e != nil {
			return e
		}
		if !again {
			break
		}
		a, err = f.fetch(f.prior())
	}
	if err != nil {
		return err
	}
	switch status := a.resp.Status; {
	case status == http.StatusNotModified:
		return f.refresh(a)
	case f.solo:
		return f.handOver(a, landing{})
	case trouble(status):
		return f.upstreamFailed(a)
	case a.may.Why == web.WhyAuthorization:
		// The answer is for one who identified himself. The others may still
		// have one in common (RFC 9111 section 3.5).
		return f.handOver(a, landing{fate: func(w *waiter) fate {
			if w.q.Header.Has("Authorization") {
				return asksAlone
			}
			return asksAgain
		}})
	case !a.may.Store:
		return f.handOver(a, landing{pass: true, fate: alone})
	}
	return f.share(a, landing{shared: !a.may.NoCache, fate: f.whoMayShare(a)})
}

func alone(*waiter) fate { return asksAlone }

// fetch runs the fill, and again without prior if the 304 it got is none for
// prior.
func (f *flight) fetch(prior *Object) (answer, error) {
	a := answer{asked: time.Now()}
	var err error
	a.resp, err = f.fill(f.ctx, prior)
	a.received = time.Now()
	f.progressed()
	switch {
	case err != nil && f.ctx.Err() != nil:
		return a, context.Cause(f.ctx)
	case err != nil:
		return a, err
	case a.resp == nil:
		return a, errUnfinished
	}
	if a.resp.Body == nil {
		a.resp.Body = web.Bytes(nil)
	}
	if a.resp.Status == http.StatusNotModified {
		if prior != nil {
			f.renewed = f.renewedBy(a.resp)
		}
		if f.choose() {
			return a, nil
		}
		a.resp.Close()
		if prior == nil {
			return a, &web.Error{Status: http.StatusBadGateway, Reason: "upstream_bad",
				Err: fmt.Errorf("fill %s: upstream answered 304 to a request without a condition", f.name())}
		}
		return f.fetch(nil)
	}
	f.c.judge(f.q, &a)
	return a, nil
}

// choose puts first of what a 304 renewed the one that answers this question.
func (f *flight) choose() bool {
	for i, k := range f.renewed {
		if k == f.stale || f.answersToo(k) {
			f.renewed[0], f.renewed[i] = k, f.renewed[0]
			return true
		}
	}
	return false
}

// judge finds out what may be done with the answer. Of the request only
// Authorization and Cookie count: directives of viewers do not govern a cache
// that many share, and the method of a fill is GET.
func (c *Cache) judge(q Query, a *answer) {
	h := q.Header
	req := web.Request{Method: http.MethodGet}
	if h.Has("Authorization") {
		req.Header = web.NewHeader("Authorization", h.Get("Authorization"))
	}
	if h.Has("Cookie") {
		req.Header.Add("Cookie", h.Get("Cookie"))
	}
	a.may = web.Judge(&req, a.resp, a.asked, a.received)
	head := a.resp.Flatten()
	if head.Has("Set-Cookie") {
		// It "does not inhibit caching" (RFC 9111 section 7.3), but the session
		// it opens is for whoever asked: no other gets it.
		a.may.Strip = append(a.may.Strip, "Set-Cookie")
	}
	var ok bool
	if a.vary, ok = varyNames(&head); !ok && a.may.Store {
		a.may.Store, a.may.Why = false, web.WhyVaryAny
	}
	a.may = c.limit(q.Class, a.resp.Status, a.may)
	if c.opts.Judge != nil {
		a.may = c.opts.Judge(q, a.resp, a.may)
	}
}

// whoMayShare returns the fate of those who did not start the flight. "When
// the response is not usable for them they are forwarded" (RFC 9111 section
// 4): those whose request differs where the answer depends on it ask again,
// each kind together. An answer that must be validated before each use sends
// the others into one validation for all of them.
func (f *flight) whoMayShare(a answer) func(*waiter) fate {
	if !a.may.NoCache && len(a.vary) == 0 {
		return nil
	}
	mine := appendVariant(nil, a.vary, f.q.Header)
	var buf []byte
	return func(w *waiter) fate {
		if buf = appendVariant(buf[:0], a.vary, w.q.Header); !bytes.Equal(buf, mine) {
			return asksAgain
		}
		if a.may.NoCache && !w.validated {
			w.validated = true
			return asksAgain
		}
		return gets
	}
}

// upstreamFailed deals with an answer that says that upstream is in trouble.
// Those who wait get it, nobody else does, and who asks right after gets our
// own error with the same status.
func (f *flight) upstreamFailed(a answer) error {
	status := a.resp.Status
	err := &web.Error{Status: status, Reason: "upstream_status", RetryAfter: time.Second,
		Err: fmt.Errorf("fill %s: %w: %d", f.name(), errUpstreamStatus, status)}
	if again := retryAfter(a); again > 0 {
		err.RetryAfter = again
	}
	if web.HiddenByStale(status) && f.stale != nil && f.stale.stored.staleFor(a.received, f.stale.stored.ifError) {
		a.resp.Close()
		return err
	}
	f.c.metrics.fillFailed(err)
	if a.may.Store && a.may.Lifetime > a.may.InitialAge {
		// It says itself that it may be used again, and is: for a second at most.
		return f.share(a, landing{shared: !a.may.NoCache, fate: f.whoMayShare(a)})
	}
	a.may.Lifetime = 0
	if why := a.may.Why; why == "" || why == web.WhyStatus {
		return f.share(a, landing{remember: err})
	}
	return f.handOver(a, landing{err: err, remember: err})
}

// retryAfter returns for how long upstream asks not to be asked, at most an
// hour (RFC 9110 section 10.2.3); 0: it does not say.
func retryAfter(a answer) time.Duration {
	said := a.resp.Get("Retry-After")
	if n, err := strconv.Atoi(said); err == nil {
		return time.Duration(min(max(0, n), 3600)) * time.Second
	}
	if at, ok := web.ParseHTTPDate(said); ok {
		return min(max(0, at.Sub(a.received)), time.Hour)
	}
	return 0
}

// handOver gives the answer as it is to the one who started the flight, and
// settles the others by o.
func (f *flight) handOver(a answer, o landing) error {
	if size := a.resp.Body.Len(); f.solo && a.may.Store && size >= 0 && size <= f.c.opts.MaxObject {
		// It could have been shared: the next ones try again. One of unknown
		// length may be passed because it was cut at MaxObject.
		f.s.mu.Lock()
		delete(f.s.passing, f.c.hash(f.q.Key))
		f.s.mu.Unlock()
	}
	if o.remember == nil && a.may.Why != web.WhyAuthorization {
		f.supersede()
	}
	f.handed = true
	o.lead, o.how, o.joined = &Object{head: f.c.newHead(a), only: &passing{raw: passBody(a.resp.Body, f.cancel)}}, Pass, Joined
	if !f.settle(o) {
		o.lead.Release()
		return errSettled
	}
	return nil
}

// share gives the answer to all who may have it, keeps it if that is worth its
// bytes, and takes its body in.
func (f *flight) share(a answer, o landing) error {
	size := a.resp.Body.Len()
	if size > f.c.opts.MaxObject {
		f.c.metrics.rejected[tooLarge].Inc()
		o.pass = o.remember == nil
		return f.handOverToOne(a, o)
	}
	f.group = groupOf(f.q, a.resp.Get("Last-Modified"), a.received, a.may.InitialAge)
	in, err := f.newIntake(size)
	if err != nil {
		f.c.metrics.rejected[noRoom].Inc()
		return f.handOverToOne(a, o)
	}
	defer a.resp.Close()
	f.taking.Store(in)
	// What is all there already is taken in before anybody is told: nobody
	// has to be woken twice.
	whole := size >= 0 && size <= smallBody && isThere(a.resp.Body)
	if whole {
		if err := in.take(f.ctx, a.resp.Body); err != nil {
			return f.cutOff(err)
		}
	}
	k := f.newKept(a, in.blob)
	o.object, o.how, o.joined, o.vary = k.filled, Miss, Joined, a.vary
	if len(a.may.Strip) > 0 {
		o.lead = &Object{head: f.c.newHead(a, "Age"), body: in.blob, filled: true}
	}
	if o.remember == nil && k.stored.worthKeeping(a.received) && f.c.reserveFor(k.group, int64(k.overhead)) {
		o.keep = k
	} else if o.remember == nil {
		f.supersede()
	}
	if !whole {
		defer f.follow(in.blob)() // before anybody is told: all may have left by now
	}
	if !f.settle(o) {
		f.drop(o.keep)
		return errSettled
	}
	if whole {
		return nil
	}
	if err := in.take(f.ctx, a.resp.Body); err != nil {
		return f.cutOff(err)
	}
	f.landed(in.blob)
	return nil
}

// handOverToOne is share where there is no room to. The others ask for
// themselves, except of an upstream in trouble: they are told.
func (f *flight) handOverToOne(a answer, o landing) error {
	if o.fate = alone; o.remember != nil {
		o.err, o.fate = o.remember, nil
	}
	return f.handOver(a, o)
}

// supersede takes the stale answer out of the store because upstream has given
// another since that is not kept: who asks next would else be served the older
// one for as long as it may be served stale.
func (f *flight) supersede() {
	f.s.mu.Lock()
	if f.solo || f.outdated {
		f.s.mu.Unlock()
		return
	}
	now := f.s.find(f.q.Key, f.q.Header) // stale, or what has renewed it meanwhile
	if f.c.shelf != nil {
		f.c.shelf.Forget(f.q.Key) // the disk may have been too busy to answer
	}
	f.s.mu.Unlock()
	for _, k := range [...]*kept{f.stale, now} {
		if k != nil {
			f.c.reject(k)
		}
	}
}

// smallBody is the largest body that is taken in before its head is told.
const smallBody = 64 << 10

// isThere reports whether a body has all its bytes in one piece.
func isThere(b web.Body) bool {
	if _, ok := b.(web.Drainer); ok {
		return false
	}
	p, st := b.View(0)
	return st == web.Complete && int64(len(p)) == b.Len()
}

// landed adds a body that is whole to what its tier holds.
func (f *flight) landed(b *blob) {
	f.s.mu.Lock()
	whole := f.s.holding(f.q.Key, b)
	for _, k := range whole {
		k.arrived()
	}
	f.s.mu.Unlock()
	for _, k := range whole {
		f.c.tiers.landed(k)
	}
}

// headBytes is what an object takes beside the bytes of its body, its key and the
// values that it has for itself, the index included (overhead_test.go).
const headBytes = 480

// newKept returns the object that the answer a with the bytes b makes.
func (f *flight) newKept(a answer, b *blob) *kept {
	variant := max(len(f.fk.variant), len(appendVariant(nil, a.vary, f.q.Header)))
	k := f.c.newKept(f.q.Key, f.c.flightHash(flightKey{f.fk.key, f.fk.variant, false}), variant, a, b)
	k.group = f.group
	return k
}

// newKept is the same for a policy's id and a number of bytes that tell the
// variant.
func (c *Cache) newKept(key string, id uint64, variant int, a answer, b *blob) *kept {
	return keptOf(key, id, variant, c.newHead(a, append(a.may.Strip, "Age")...), b)
}

func keptOf(key string, id uint64, variant int, d *head, b *blob) *kept {
	return &kept{
		name:     key,
		stored:   Object{head: d, body: b},
		filled:   &Object{head: d, body: b, filled: true},
		id:       id,
		overhead: int32(min(headBytes+len(key)+variant+len(d.values), math.MaxInt32)),
	}
}

// drop gives back what was charged for an object that was not published.
func (f *flight) drop(k *kept) {
	if k != nil {
		f.c.budget.give(int64(k.overhead))
	}
}

// cutOff returns why a body did not come in whole. What was too much for us
// once is passed through when it is asked for again.
func (f *flight) cutOff(err error) error {
	if f.ctx.Err() != nil {
		err = context.Cause(f.ctx)
	}
	large, full := errors.Is(err, ErrTooLarge), errors.Is(err, ErrNoRoom)
	switch {
	case large:
		f.c.metrics.rejected[tooLarge].Inc()
	case full:
		f.c.metrics.rejected[noRoom].Inc()
	}
	if large || full {
		f.s.mu.Lock()
		f.s.pass(f.c.hash(f.q.Key), time.Now())
		f.s.mu.Unlock()
	}
	return &web.Error{Status: http.StatusBadGateway, Reason: "upstream_cut",
		Err: fmt.Errorf("fill %s: %w: %w", f.name(), errCut, err)}
}
