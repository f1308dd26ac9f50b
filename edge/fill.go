package edge

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"weir/cache"
	"weir/internal/web"
)

// A fill asks upstream for all who ask the same.
type fill struct {
	e      *Edge
	q      question
	noPeer bool // ask the origins only
	asked  atomic.Uint32
}

// Whom a fill got its answer from.
const (
	fromNobody = iota
	fromPeer
	fromOrigin
)

var sources = [...]string{"", "peer", "origin"}

// from names whom the answer came from, "" if this fill did not run.
func (f *fill) from() string { return sources[f.asked.Load()] }

// owns reports whether this edge asks the origins for key itself. Its fill
// then waits for no peer, so that peers may wait for it.
func (e *Edge) owns(key string) bool {
	if e.opts.Peers == nil {
		return true
	}
	peer, self := e.opts.Peers.Owner(key)
	return self || peer == nil
}

// run implements [cache.Fill].
func (f *fill) run(ctx context.Context, prior *cache.Object) (*web.Response, error) {
	req := f.request(prior)
	if !f.noPeer {
		if resp, err := f.askPeers(ctx, req); resp != nil || err != nil {
			f.asked.Store(fromPeer)
			return f.clean(resp), err
		}
	}
	f.asked.Store(fromOrigin)
	req.Header.Set("CDN-Loop", f.e.loop.add(f.q.loop))
	resp, err := f.askOrigins(ctx, req)
	return f.clean(resp), err
}

// request makes the question that goes upstream. Of the viewer who happened to
// ask first it says nothing.
func (f *fill) request(prior *cache.Object) *web.Request {
	h := f.q.header.Clone()
	h.Add("CDN-Loop", f.e.loop.add(""))
	if prior != nil {
		tags, date := prior.Conditions()
		if tags != "" {
			h.Add("If-None-Match", tags)
		}
		if date != "" {
			h.Add("If-Modified-Since", date)
		}
	}
	return &web.Request{Method: http.MethodGet, Path: f.q.path, Query: f.q.query, Header: h}
}

// clean takes out of upstream's answer what is between nodes, and what can
// only be meant for one viewer: upstream does not know who asked.
func (f *fill) clean(resp *web.Response) *web.Response {
	if resp == nil {
		return nil
	}
	names := [...]string{nodeField, refusedField, "Set-Cookie"}
	for _, name := range names[:len(names)-btoi(f.e.opts.QueryAll)] {
		if resp.Get(name) != "" {
			resp.Header.Set(name, "")
		}
	}
	return resp
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// askOrigins asks the origins in order until one has an answer. What an origin
// says of an object (404, 410) is final; that it cannot say anything (5xx) is
// not. Origins that failed just now are asked only if no other can be reached.
func (f *fill) askOrigins(ctx context.Context, req *web.Request) (*web.Response, error) {
	start := time.Now()
	well, resting := f.e.origins.order(start)
	var last *web.Response
	var lastErr error = errNoOrigin
	for i, o := range append(well, resting...) {
		if i >= len(well) && last != nil || i > 0 && f.tooLateForOthers(start) {
			break
		}
		if i > 0 {
			f.e.metrics.failovers.WithLabelValues("origin").Inc()
		}
		resp, err := f.askOrigin(ctx, o, req)
		switch {
		case err != nil && ctx.Err() != nil:
			if last != nil {
				last.Close()
			}
			return nil, context.Cause(ctx)
		case err != nil:
			lastErr = err
			continue
		}
		if last != nil {
			last.Close()
		}
		if last = resp; resp.Status < 500 {
			break
		}
	}
	if last != nil {
		return last, nil
	}
	return nil, lastErr
}

// askOrigin asks one origin, and remembers how that went.
func (f *fill) askOrigin(ctx context.Context, o Origin, req *web.Request) (*web.Response, error) {
	timeout := f.e.opts.OriginTimeout
	if f.q.blocking {
		timeout = f.e.opts.BlockTimeout
	}
	outer := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	resp, err := f.e.exchange(ctx, cancel, o.Handler, "origin", req, timeout)
	if err == nil && resp.Status == http.StatusLoopDetected && f.q.loop != "" {
		// Whoever asked first said by CDN-Loop that the request had been there.
		// He may have lied: the others are not to suffer for it. If it is true
		// after all, the circle ends where it meets this flight, by timeout.
		resp.Close()
		req = req.Clone()
		req.Header.Set("CDN-Loop", f.e.loop.add(""))
		ctx, cancel = context.WithCancelCause(outer)
		resp, err = f.e.exchange(ctx, cancel, o.Handler, "origin", req, timeout)
	}
	switch {
	case err != nil && outer.Err() != nil: // it is we who gave up
		return nil, err
	case err != nil, resp.Status == http.StatusBadGateway, resp.Status == http.StatusGatewayTimeout:
		f.e.originFailed(o.Name, err)
	case f.e.origins.succeeded(o.Name):
		f.e.log.Info("origin answers again", "origin", o.Name)
	}
	if err != nil {
		return nil, err
	}
	return f.follow(resp, req, func() { f.e.originFailed(o.Name, web.ErrAborted) }), nil
}

func (e *Edge) originFailed(name string, err error) {
	if e.origins.failed(name, time.Now()) {
		e.log.Warn("origin failed; others are asked first", "origin", name, "err", err)
	}
}

// exchange asks h and waits for the head of its answer, at most timeout. The
// answer's body ends ctx, by cancel, when it is closed.
func (e *Edge) exchange(ctx context.Context, cancel context.CancelCauseFunc, h web.Handler, who string, req *web.Request, timeout time.Duration) (*web.Response, error) {
	late := time.AfterFunc(timeout, func() { cancel(errHead) })
	resp, err := h.Serve(ctx, req.Clone())
	if !late.Stop() && err == nil {
		resp.Close()
		err = errHead
	}
	// A Handler in this process says by an error what one across the network
	// says by an answer. Only that it could not be reached is no answer.
	if we, ok := errors.AsType[*web.Error](err); ok && we.Status != http.StatusBadGateway && we.Status != http.StatusGatewayTimeout {
		resp, err = web.ErrorResponse(err), nil
	}
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		cancel(nil)
		result := "error"
		if errors.Is(err, errHead) || web.StatusOf(err) == http.StatusGatewayTimeout {
			result = "timeout"
		}
		e.metrics.upstream.WithLabelValues(who, result).Inc()
		return nil, err
	}
	e.metrics.upstream.WithLabelValues(who, codeClass(resp.Status)).Inc()
	if resp.Body == nil {
		cancel(nil)
	} else {
		resp.Body = &held{resp.Body, cancel}
	}
	return resp, nil
}

// held is a body whose end ends the context of its exchange.
type held struct {
	web.Body
	cancel context.CancelCauseFunc
}

func (h *held) Close() {
	h.Body.Close()
	h.cancel(nil)
}
