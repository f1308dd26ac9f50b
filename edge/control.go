package edge

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"weir/cache"
	"weir/internal/web"
)

// errNotStored answers a request that wants nothing but what is kept: "SHOULD
// either respond using a stored response [...] or respond with a 504" (RFC 9111
// section 5.2.1.7).
var errNotStored = &web.Error{Status: http.StatusGatewayTimeout, Reason: reasonNotStored,
	Err: errors.New("only-if-cached was asked for, and nothing is kept that may be used")}

// special reports whether a GET or HEAD is one that a fresh answer at hand may
// not do for: one with a condition that only its origin can judge, or, where
// requests are honoured, one that says something to caches. It is asked at each
// hit, and reads the field names once.
func (e *Edge) special(req *web.Request) bool {
	if !e.opts.QueryAll && !e.opts.HonourRequests {
		return false
	}
	for f := range req.Header.All() {
		switch len(f.Name) {
		case len("If-Match"), len("If-Unmodified-Since"):
			if e.opts.QueryAll && originsOwn(f.Name) {
				return true
			}
		case len("Cache-Control"), len("Pragma"):
			if e.opts.HonourRequests && (strings.EqualFold(f.Name, "Cache-Control") || strings.EqualFold(f.Name, "Pragma")) {
				return true
			}
		}
	}
	return false
}

// originsOwn reports whether a field is a condition that is "not applicable to
// a cache" (RFC 9111 section 4.3.2).
func originsOwn(name string) bool {
	return strings.EqualFold(name, "If-Match") || strings.EqualFold(name, "If-Unmodified-Since")
}

// applicable returns the request as far as an answer from here may heed it:
// without the conditions that only an origin judges.
func applicable(req *web.Request) *web.Request {
	if !req.Header.Has("If-Match") && !req.Header.Has("If-Unmodified-Since") {
		return req
	}
	req = req.Clone()
	req.Header.Del("If-Match")
	req.Header.Del("If-Unmodified-Since")
	return req
}

// negotiate answers a special request: from what is kept if that is what it
// wants, else by asking, if need be for it alone.
func (e *Edge) negotiate(ctx context.Context, req *web.Request, q question, t ticket) (*web.Response, error) {
	if e.opts.QueryAll && (req.Header.Has("If-Match") || req.Header.Has("If-Unmodified-Since")) {
		q.fwd = fwdRequest
		return e.pass(ctx, req, &q)
	}
	rc := web.ParseRequestControl(&req.Header)
	now := time.Now()
	o, _ := e.cache.Peek(q.lookup())
	fresh := o != nil && o.Fresh(now)
	switch {
	case o == nil:
	case content(&rc, o, now):
		how := lookedUp(o)
		if !fresh {
			how = cache.Stale
		}
		return e.answer(ctx, req, &q, o, how, "")
	default:
		// What would be used without asking is asked about.
		q.validate = rc.NoCache || !young(&rc, o, now)
		o.Release()
	}
	if rc.NoStore && !rc.OnlyIfCached && e.opts.QueryAll {
		// "MUST NOT store any part of either this request or any response to it"
		// (RFC 9111 section 5.2.1.5).
		q.fwd = fwdRequest
		return e.pass(ctx, req, &q)
	}
	if fresh && q.validate {
		q.fwd = fwdRequest
	}
	return e.ask(ctx, req, q, t)
}

// young reports whether an answer is as new as the request wants it.
func young(rc *web.RequestControl, o *cache.Object, now time.Time) bool {
	return (rc.MaxAge < 0 || o.Age(now) <= rc.MaxAge) && (rc.MinFresh < 0 || o.TTL(now) >= rc.MinFresh)
}

// isImmutable reports whether an answer never changes while it is fresh: a
// reload (max-age=0) is no reason to ask about it (RFC 8246 section 2).
func isImmutable(o *cache.Object) bool {
	return web.ParseCacheControl(o.Header()).Immutable
}

// content reports whether the request takes what is kept without asking.
func content(rc *web.RequestControl, o *cache.Object, now time.Time) bool {
	switch {
	case rc.NoCache:
		return false
	case o.Fresh(now):
		return young(rc, o, now) || rc.MinFresh < 0 && isImmutable(o)
	case rc.MaxStale < 0 || rc.MinFresh >= 0 || rc.MaxAge >= 0 && o.Age(now) > rc.MaxAge+rc.MaxStale:
		return false
	}
	return o.StaleFor(now, rc.MaxStale)
}

// why notes for what reason there is no answer at hand, and returns what is
// kept if it may be served while somebody asks, for the caller to release.
func (e *Edge) why(q *question) *cache.Object {
	o, others := e.cache.Peek(q.lookup())
	behind := o != nil && !q.validate && o.StaleWhileRevalidate(time.Now())
	if q.fwd == fwdMiss {
		switch {
		case behind:
			q.fwd = fwdBehind
		case o != nil:
			q.fwd = fwdStale
		case others:
			q.fwd = fwdVary
		default:
			q.fwd = fwdURI
		}
	}
	if o != nil && !behind {
		o.Release()
		o = nil
	}
	return o
}

// onlyStored answers who wants nothing but what is kept, and notes for all
// others why they ask.
func (e *Edge) onlyStored(ctx context.Context, req *web.Request, q *question) (*web.Response, bool) {
	o := e.why(q)
	if !req.Header.Has("Cache-Control") || !onlyIfCached(req) {
		if o != nil {
			o.Release()
		}
		return nil, false
	}
	if o == nil {
		return e.refuse(req, q.class, errNotStored), true
	}
	resp, err := e.answer(ctx, req, q, o, cache.Stale, "")
	return resp, err == nil
}

func onlyIfCached(req *web.Request) bool {
	rc := web.ParseRequestControl(&req.Header)
	return rc.OnlyIfCached
}

// staleOnError answers with what is kept where asking failed and the request
// says for how long it may be stale then (RFC 5861 section 4).
func (e *Edge) staleOnError(ctx context.Context, req *web.Request, q *question, err error) (*web.Response, bool) {
	if !e.opts.HonourRequests || !req.Header.Has("Cache-Control") || statusError(err).Status < http.StatusInternalServerError {
		return nil, false
	}
	rc := web.ParseRequestControl(&req.Header)
	if rc.StaleIfError < 0 {
		return nil, false
	}
	o, _ := e.cache.Peek(q.lookup())
	if o == nil {
		return nil, false
	}
	if !o.StaleFor(time.Now(), rc.StaleIfError) {
		o.Release()
		return nil, false
	}
	resp, err := e.answer(ctx, req, q, o, cache.Stale, "")
	return resp, err == nil
}

// heard is run, and notes what upstream said.
func (f *fill) heard(ctx context.Context, prior *cache.Object) (*web.Response, error) {
	resp, err := f.run(ctx, prior)
	switch {
	case resp != nil:
		f.status.Store(int32(resp.Status))
	case err != nil && ctx.Err() == nil:
		f.before = err
		f.status.Store(int32(statusError(err).Status))
	}
	return resp, err
}
