package edge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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
	noPeer bool  // ask the origins only
	slice  *part // of the object, if that is all it asks for; nil: the whole
	peer   bool  // it is a peer that asks
	listed bool  // a playlist lists it: a peer that thinks it is missing is wrong
	before error // what it failed with when it ran before: it is made anew
	asked  atomic.Uint32
	status atomic.Int32 // what upstream answered with; 0: nothing
}

// Whom a fill got its answer from.
const (
	fromNobody = iota
	fromPeer
	fromOrigin
	fromPlaylists // which rule out that there is such an object: nobody was asked
)

var sources = [...]string{"", "peer", "origin", "impossible"}

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

// fetch asks a peer or the origins.
func (f *fill) fetch(ctx context.Context, prior *cache.Object) (*web.Response, error) {
	req := f.request(prior)
	if !f.noPeer {
		if resp, err := f.askPeers(ctx, req); resp != nil || err != nil {
			f.asked.Store(fromPeer)
			return f.sliced(f.clean(resp)), err
		}
	}
	f.asked.Store(fromOrigin)
	req.Header.Del(listedField)
	req.Header.Set("CDN-Loop", f.e.loop.add(f.q.loop))
	resp, err := f.askOrigins(ctx, req)
	return f.sliced(f.clean(resp)), err
}

// request makes the question that goes upstream. Of the viewer who happened to
// ask first it says nothing.
func (f *fill) request(prior *cache.Object) *web.Request {
	h := f.q.header.Clone()
	h.Add("CDN-Loop", f.e.loop.add(""))
	if f.listed && !f.noPeer {
		h.Add(listedField, "1")
	}
	if prior != nil {
		tags, date := prior.Conditions()
		if tags != "" {
			h.Add("If-None-Match", tags)
		}
		if date != "" {
			h.Add("If-Modified-Since", date)
		}
	}
	return &web.Request{Method: http.MethodGet, Path: f.q.path, Query: f.q.query, Header: h, Inform: f.q.inform}
}

// clean takes out of upstream's answer what is between nodes, and what can
// only be meant for one viewer: upstream does not know who asked.
func (f *fill) clean(resp *web.Response) *web.Response {
	if resp == nil {
		return nil
	}
	names := [...]string{nodeField, refusedField, slicesField, "Set-Cookie"}
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
// says of an object (404, 410) is final, unless a playlist lists it: that may be
// another origin's, with its own names. That one cannot say anything (5xx) is
// not. Origins that failed just now are asked only if no other can be reached.
func (f *fill) askOrigins(ctx context.Context, req *web.Request) (*web.Response, error) {
	start := time.Now()
	well, resting := f.e.origins.order(start)
	all := append(well, resting...)
	var last *web.Response
	again := f.before != nil // then it counts as a retry, whoever is asked
	lastErr := cmp.Or(f.before, error(errNoOrigin))
	var brokeOff []Origin // after they were asked, before they said anything
	for i := 0; i < len(all); i++ {
		if i >= len(well) && last != nil || i > 0 && f.tooLateForOthers(start) {
			break
		}
		var resp *web.Response
		var err error
		o := all[i]
		switch {
		case i > 0 || again:
			if i > 0 {
				f.e.metrics.failovers.WithLabelValues("origin").Inc()
			}
			resp, err = f.retry(ctx, o, req)
		case len(well) > 1 && f.hedgeable():
			f.e.origins.asked(o.Name)
			var both bool
			if resp, err, both = f.askHedged(ctx, o, all[1], req); both {
				i++
			}
		default:
			f.e.origins.asked(o.Name)
			resp, err = f.askOrigin(ctx, o, req, nil)
		}
		switch {
		case err != nil && ctx.Err() != nil:
			if last != nil {
				last.Close()
			}
			return nil, context.Cause(ctx)
		case errors.Is(err, errWithheld):
			continue
		case err != nil:
			if lastErr = err; web.ReasonOf(err) == reasonClosed {
				brokeOff = append(brokeOff, o)
			}
			continue
		}
		if last != nil && f.missed(last) && resp.Status >= 500 {
			resp.Close() // it knows no better
			continue
		}
		if last != nil {
			last.Close()
		}
		if last = resp; resp.Status < 500 && !f.missed(resp) {
			break
		}
	}
	if last != nil {
		return last, nil
	}
	// A connection that broke before any byte of the answer is one that the
	// server gave up just then, as it does when it restarts: "a client MAY
	// automatically retry a request having an idempotent method" (RFC 9110
	// section 9.2.2), and a fill is a GET.
	if len(brokeOff) > 0 && !again && !f.tooLateForOthers(start) {
		resp, err := f.retry(ctx, brokeOff[0], req)
		if err == nil {
			return resp, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	return nil, lastErr
}

// missed reports whether an answer says that there is no such object although a
// playlist lists it.
func (f *fill) missed(resp *web.Response) bool {
	return f.listed && resp.Status == http.StatusNotFound
}

// retry asks an origin for what another, or itself, did not answer, as far as
// its budget goes.
func (f *fill) retry(ctx context.Context, o Origin, req *web.Request) (*web.Response, error) {
	if !f.e.origins.mayRetry(o.Name, time.Now()) {
		f.e.metrics.retries.WithLabelValues("withheld").Inc()
		return nil, errWithheld
	}
	resp, err := f.askOrigin(ctx, o, req, nil)
	if !good(resp, err) {
		f.e.metrics.retries.WithLabelValues("failed").Inc()
		return resp, err
	}
	f.e.origins.retried(o.Name)
	f.e.metrics.retries.WithLabelValues("ok").Inc()
	return resp, nil
}

// errWithheld says that an origin was not asked again for its own good.
var errWithheld = errors.New("the origin was not asked: too many retries of it have failed")

// askOrigin asks one origin, and remembers how that went. S, if it races with
// another, may call it off.
func (f *fill) askOrigin(ctx context.Context, o Origin, req *web.Request, s *side) (*web.Response, error) {
	timeout := f.e.opts.OriginTimeout
	if f.q.blocking {
		timeout = f.e.opts.BlockTimeout
	}
	outer := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	s.arm(cancel)
	start := time.Now()
	resp, err := f.e.exchange(ctx, cancel, o.Handler, "origin", req, timeout)
	if err == nil && resp.Status == http.StatusLoopDetected && f.q.loop != "" {
		// Whoever asked first said by CDN-Loop that the request had been there.
		// He may have lied: the others are not to suffer for it. If it is true
		// after all, the circle ends where it meets this flight, by timeout.
		resp.Close()
		req = req.Clone()
		req.Header.Set("CDN-Loop", f.e.loop.add(""))
		ctx, cancel = context.WithCancelCause(outer)
		s.arm(cancel)
		resp, err = f.e.exchange(ctx, cancel, o.Handler, "origin", req, timeout)
	}
	if err != nil && (outer.Err() != nil || errors.Is(err, errHedged)) { // it is we who gave up
		return nil, err
	}
	f.e.noteOrigin(o, resp, err)
	if err != nil {
		return nil, err
	}
	if now := time.Now(); !f.q.blocking && resp.Status < 500 {
		f.e.origins.came(o.Name, f.q.class, now.Sub(start), now)
	}
	return f.follow(resp, req, func(context.Context, error) { f.e.originFailed(o.Name, web.ErrAborted) }), nil
}

// noteOrigin remembers how an origin did.
func (e *Edge) noteOrigin(o Origin, resp *web.Response, err error) {
	switch {
	case err != nil:
		e.originFailed(o.Name, err)
	case resp.Status == http.StatusBadGateway, resp.Status == http.StatusGatewayTimeout:
		e.originFailed(o.Name, fmt.Errorf("it answered %d", resp.Status))
	case e.origins.succeeded(o.Name):
		e.log.Info("origin answers again", "origin", o.Name)
	}
}

func (e *Edge) originFailed(name string, err error) {
	if web.ReasonOf(err) == reasonPool {
		return // it was not asked
	}
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
	// says by an answer. Only that it could not be reached, or asked, is no answer.
	if we, ok := errors.AsType[*web.Error](err); ok && we.Status != http.StatusBadGateway && we.Status != http.StatusGatewayTimeout && we.Reason != reasonPool {
		resp, err = web.ErrorResponse(err), nil
	}
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		cancel(nil)
		result := "error"
		switch {
		case errors.Is(err, errHedged):
			result = "cancelled"
		case web.ReasonOf(err) == reasonPool:
			result = "busy"
		case errors.Is(err, errHead), web.StatusOf(err) == http.StatusGatewayTimeout:
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
