package edge

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"weir/internal/web"
)

// A Probe is how origins are asked whether they are well, also when no viewer
// asks them anything. What viewers' requests find out counts beside it.
type Probe struct {
	Path    string        // "": origins are not probed
	Every   time.Duration // 0: 5 s
	Timeout time.Duration // for the head of the answer; 0: 2 s. At most Every
	Status  int           // that a healthy origin answers. 0: 200
	Down    int           // probes that must fail in a row before an origin is passed over. 0: 3
	Up      int           // and succeed before it is asked again. 0: 2
}

func (p *Probe) complete() {
	p.Every = or(p.Every, 5*time.Second)
	p.Timeout = min(or(p.Timeout, 2*time.Second), p.Every)
	p.Status = or(p.Status, http.StatusOK)
	p.Down, p.Up = or(p.Down, 3), or(p.Up, 2)
}

func or[T comparable](v, def T) T {
	var none T
	if v == none {
		return def
	}
	return v
}

// health is what probes found out. It changes only when several in a row say so.
type health struct {
	down bool
	row  int // probes in a row that contradict down
}

// take takes in the result of a probe and reports whether it changed anything.
func (h *health) take(ok bool, p *Probe) (changed bool) {
	if ok != h.down { // as it was
		h.row = 0
		return false
	}
	if h.row++; h.down && h.row < p.Up || !h.down && h.row < p.Down {
		return false
	}
	h.down, h.row = !h.down, 0
	return true
}

// RunProbes probes the origins until ctx ends. Where Options.Probe has no path
// it only waits for that.
func (e *Edge) RunProbes(ctx context.Context) error {
	p := e.opts.Probe
	if p.Path == "" {
		<-ctx.Done()
		return nil
	}
	for {
		var all sync.WaitGroup
		for _, o := range e.origins.list() {
			all.Go(func() { e.probe(ctx, o, &p) })
		}
		all.Wait()
		select {
		case <-time.After(p.Every - rand.N(p.Every/10+1)): // edges that started together drift apart
		case <-ctx.Done():
			return nil
		}
	}
}

// probe asks one origin once.
func (e *Edge) probe(ctx context.Context, o Origin, p *Probe) {
	pctx, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	resp, err := o.Handler.Serve(pctx, &web.Request{Method: http.MethodGet, Path: p.Path,
		Header: web.NewHeader("Accept-Encoding", "identity", "CDN-Loop", e.loop.add(""))})
	// A Handler in this process says by an error what one across the network
	// says by an answer.
	status := web.StatusOf(err)
	if err == nil {
		status = resp.Status
		resp.Close()
	}
	switch {
	case ctx.Err() != nil, err != nil && web.ReasonOf(err) == reasonPool:
		return // that says nothing of the origin
	}
	ok := status == p.Status
	result := "ok"
	if !ok {
		result = "failed"
	}
	e.metrics.probes.WithLabelValues(result).Inc()
	switch changed := e.origins.probed(o.Name, ok, p); {
	case changed && ok:
		e.log.Info("probes find an origin well again", "origin", o.Name)
	case changed:
		e.log.Warn("probes find an origin down; others are asked first", "origin", o.Name, "status", status, "want", p.Status, "err", err)
	}
}

// probed takes in the result of a probe and reports whether it changed anything.
func (o *origins) probed(name string, ok bool, p *Probe) (changed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.of(name).probe.take(ok, p)
}
