package edge

import (
	"context"
	"net/http"
	"sync"
	"time"

	"weir/cache"
	"weir/edge/schedule"
	"weir/internal/web"
)

// holds are the fills that wait until a playlist lists what they ask for.
type holds struct {
	max int

	mu  sync.Mutex // guards all
	all map[string]*parked
}

// parked are the fills for one key: one, or two that may not wait for each other.
type parked struct {
	n      int
	listed chan struct{} // closed when a playlist lists it
}

// park adds a fill; beyond the most there may be it gets nil.
func (h *holds) park(key string) *parked {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.all == nil {
		h.all = map[string]*parked{}
	}
	p := h.all[key]
	if p == nil {
		if len(h.all) >= h.max {
			return nil
		}
		p = &parked{listed: make(chan struct{})}
		h.all[key] = p
	}
	p.n++
	return p
}

func (h *holds) leave(key string, p *parked) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p.n--; p.n == 0 && h.all[key] == p {
		delete(h.all, key)
	}
}

// wake tells the fill for key that it is listed now.
func (h *holds) wake(key string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p := h.all[key]; p != nil {
		close(p.listed)
		delete(h.all, key)
	}
}

func (h *holds) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.all)
}

// hold keeps a fill, and with it all who wait for it, while what upstream does
// not have yet is due. As soon as a playlist lists it upstream is asked once more;
// nothing is asked again and again. When it should be there the playlist is asked
// for, three times at most, in case nobody else does.
func (a *Aware) hold(ctx context.Context, f *fill, resp *web.Response, start time.Time) (*web.Response, error) {
	now := time.Now()
	due, ok := a.book.Due(f.q.key, now)
	if !ok || a.opts.Hold < 0 {
		return resp, nil
	}
	deadline := start.Add(min(due.Target, a.opts.Hold))
	if deadline.Sub(now) < 0 || due.At.After(deadline) {
		return resp, nil // it has been held by who was asked, or it is too early
	}
	place := a.holds.park(f.q.key)
	if place == nil {
		a.metrics.holds.WithLabelValues("full").Inc()
		return resp, nil
	}
	defer a.holds.leave(f.q.key, place)
	resp, err := unpinned(ctx, resp)
	if err != nil {
		return nil, err
	}
	end := time.NewTimer(time.Until(deadline))
	defer end.Stop()
	looks := looksFor(due, now)
	look := time.NewTimer(time.Until(looks[0]))
	defer look.Stop()
	if !due.Listed && a.book.Lists(f.q.key) { // just now
		return a.retry(ctx, f)
	}
	for {
		select {
		case <-place.listed:
			return a.retry(ctx, f)
		case <-look.C:
			if due.Listed {
				return a.retry(ctx, f)
			}
			if c, ok := due.Copy.(*playlistCopy); ok && !named(c.q.header) { // nobody is spoken for
				a.refresh(&c.q)
			}
			if looks = looks[1:]; len(looks) > 0 {
				look.Reset(time.Until(looks[0]))
			}
		case <-end.C:
			a.metrics.holds.WithLabelValues("in_vain").Inc()
			return resp, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// looksFor returns when to look whether what is due has come: when it should be
// there, half a target duration before, since the one before it was seen some
// time after it came, and half a target duration after.
func looksFor(due schedule.Due, now time.Time) []time.Time {
	if due.Listed {
		return []time.Time{due.At}
	}
	looks := []time.Time{due.At.Add(-due.Target / 2), due.At, due.At.Add(due.Target / 2)}
	if looks[0].Before(now) {
		looks = looks[1:]
	}
	return looks
}

// retry asks upstream once more for what is listed now.
func (a *Aware) retry(ctx context.Context, f *fill) (*web.Response, error) {
	f.listed = true
	resp, err := f.fetch(ctx, nil)
	result := "answered"
	if err != nil || resp.Status != http.StatusOK {
		result = "in_vain"
	}
	a.metrics.holds.WithLabelValues(result).Inc()
	return resp, err
}

// refresh asks for a playlist as viewers do: nothing happens where it is fresh.
func (a *Aware) refresh(q *question) {
	e := a.e
	cq := a.e.wanted(q)
	cq.NoPeer = e.owns(q.key)
	f := &fill{e: e, q: *q, noPeer: cq.NoPeer}
	e.cache.Ask(cq, f.run, func(o *cache.Object, _ cache.Outcome, _ error) {
		if o != nil {
			o.Release()
		}
	})
}

// unpinned takes the few bytes of a 404 in, so that no connection waits for them
// to be read.
func unpinned(ctx context.Context, resp *web.Response) (*web.Response, error) {
	if resp.Body == nil {
		return resp, nil
	}
	p, err := web.ReadAll(ctx, resp.Body, 64<<10)
	resp.Body.Close()
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		p = []byte("not found\n")
		resp.Header.Set("Content-Type", "text/plain; charset=utf-8")
		resp.Header.Set("Content-Encoding", "")
	}
	resp.Body = web.Bytes(p)
	return resp, nil
}

// heard is told of a peer's question for what a playlist lists, as the peer knows:
// a 404 that is kept here is out of date.
func (a *Aware) heard(req *web.Request, q *question) {
	if a != nil && req.Header.Get(listedField) != "" && a.missing.take(q.key) {
		a.e.cache.Evict(q.key)
	}
}
