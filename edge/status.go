package edge

import (
	"context"
	"errors"
	"net/http"
	"time"

	"weir/cache"
	"weir/internal/web"
	"weir/token"
)

// Reason codes of the edge's own refusals and failures; those of tokens are
// package token's.
const (
	reasonMethod      = "method"
	reasonLoop        = "loop"
	reasonDirective   = "bad_directive"
	reasonPeer        = "peer_auth"
	reasonNoOrigin    = "no_origin"
	reasonUnreachable = "upstream_unreachable"
	reasonClosed      = "upstream_closed" // it had been reached, and broke off before it answered
	reasonPool        = "upstream_busy"   // it was not asked for want of a connection
	reasonTimeout     = "upstream_timeout"
	reasonBad         = "upstream_bad"
	reasonBusy        = "busy"
	reasonClosing     = "closing"
	reasonNotStored   = "not_stored"
	reasonBehind      = "upstream_behind"
)

var (
	errMethod = &web.Error{Status: http.StatusMethodNotAllowed, Reason: reasonMethod,
		Header: web.NewHeader("Allow", allowMethods), Err: errors.New("an edge answers " + allowMethods)}
	errLoop = &web.Error{Status: http.StatusLoopDetected, Reason: reasonLoop,
		Err: errors.New("this node was asked by itself: check its origins")}
	errNoOrigin = &web.Error{Status: http.StatusBadGateway, Reason: reasonNoOrigin,
		Err: errors.New("no origin is configured (origins)")}

	errHead  = errors.New("no answer in time")
	errMoved = errors.New("another edge owns the key now")
)

func badDirective(err error) error {
	return &web.Error{Status: http.StatusBadRequest, Reason: reasonDirective, Err: err}
}

// forbidden turns a verdict on a token into what the viewer is told: the
// reason code, and nothing of what the token held.
func forbidden(err error) error {
	return &web.Error{Status: http.StatusForbidden, Reason: token.Reason(err), Err: plainVerdict(err)}
}

// plainVerdict is the sentence of a verdict, without what it quotes.
func plainVerdict(err error) error {
	for _, e := range [...]error{token.ErrMissing, token.ErrExpired, token.ErrNotYet, token.ErrPath} {
		if errors.Is(err, e) {
			return e
		}
	}
	return errNotAccepted
}

var errNotAccepted = errors.New("token not accepted")

// statusError gives every failure of a fill the status that a viewer sees.
func statusError(err error) *web.Error {
	if e, ok := errors.AsType[*web.Error](err); ok {
		return e
	}
	f := func(status int, reason string, text string, retry time.Duration) *web.Error {
		return &web.Error{Status: status, Reason: reason, RetryAfter: retry, Err: errors.New(text)}
	}
	switch {
	case errors.Is(err, cache.ErrClosed):
		return f(http.StatusServiceUnavailable, reasonClosing, "this edge is going away", time.Second)
	case errors.Is(err, cache.ErrNoRoom):
		return f(http.StatusServiceUnavailable, reasonBusy, "this edge is full", time.Second)
	case errors.Is(err, cache.ErrStalled), errors.Is(err, errHead), errors.Is(err, context.DeadlineExceeded):
		return f(http.StatusGatewayTimeout, reasonTimeout, "upstream did not answer in time", 0)
	case errors.Is(err, cache.ErrTooLarge):
		return f(http.StatusBadGateway, reasonBad, "upstream's answer is too large", 0)
	case errors.Is(err, web.ErrAborted):
		return f(http.StatusBadGateway, reasonBad, "upstream's answer ended before its end", 0)
	}
	return f(http.StatusBadGateway, reasonUnreachable, "upstream could not be asked", 0)
}

// refuse answers a request that may not have what it asks for.
func (e *Edge) refuse(req *web.Request, class cache.Class, err error) *web.Response {
	resp := web.ErrorResponse(err)
	reason := web.ReasonOf(err)
	if ok, before := e.quiet.allow(reason); ok {
		_, _, path, _, _ := token.Extract(req.Path, "", "", "")
		e.log.Info("viewer refused", "reason", reason, "status", resp.Status, "method", req.Method, "path", web.MaskPath(path),
			"remote", req.Remote, "not_logged_before", before)
	}
	e.cors.add(req, resp)
	e.metrics.refused.WithLabelValues(reason).Inc()
	e.metrics.count(class, refused, resp.Status)
	return resp
}

// fail answers a request that could not be answered.
func (e *Edge) fail(req *web.Request, q *question, err error) *web.Response {
	resp := web.ErrorResponse(statusError(err))
	if ok, before := e.quiet.allow("fail"); ok {
		e.log.Warn("request failed", "path", web.MaskPath(q.path), "status", resp.Status, "err", err, "not_logged_before", before)
	}
	e.cors.add(req, resp)
	e.metrics.count(q.class, failed, resp.Status)
	return resp
}
