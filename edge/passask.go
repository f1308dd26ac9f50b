package edge

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"weir/internal/web"
)

// What a request that is passed on may carry, in bytes, whatever its listener
// lets through, and how slowly an origin may take it, in bytes a second.
const (
	maxPassed  = 64 << 20
	passedRate = 64 << 10
)

var errPassedLarge = &web.Error{Status: http.StatusRequestEntityTooLarge, Reason: "body_too_large",
	Err: errors.New("the request's body is larger than what is passed on")}

// wholeBody returns the body of a request, nil if it has none. It is here whole
// before an origin hears of the request: what breaks off, or is malformed, on
// its way here is never begun there, and no origin waits for a slow viewer.
func wholeBody(r io.Reader) ([]byte, error) {
	if r == nil {
		return nil, nil
	}
	body, err := io.ReadAll(io.LimitReader(r, maxPassed+1))
	switch {
	case err != nil:
		return nil, err
	case len(body) > maxPassed:
		return nil, errPassedLarge
	case body == nil:
		body = []byte{}
	}
	return body, nil
}

// passToOrigins asks one origin. Another is asked only where the first gave no
// answer and the request may be sent twice: "A proxy MUST NOT automatically
// retry non-idempotent requests" (RFC 9110 section 9.2.2).
func (e *Edge) passToOrigins(ctx context.Context, out *web.Request, body []byte) (*web.Response, error) {
	if body != nil {
		out.Header.Set("Content-Length", strconv.Itoa(len(body))) // it need not go on in chunks
	}
	well, resting := e.origins.order(time.Now())
	var last error = errNoOrigin
	for i, o := range append(well, resting...) {
		if i > 0 {
			if !isIdempotent(out.Method) {
				break
			}
			e.metrics.failovers.WithLabelValues("origin").Inc()
		}
		resp, err := e.passTo(ctx, o, out, body)
		switch {
		case err == nil:
			return resp, nil
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		}
		last = err
	}
	return nil, last
}

// passTo asks one origin for one viewer.
func (e *Edge) passTo(ctx context.Context, o Origin, out *web.Request, body []byte) (*web.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	if body != nil {
		out = out.Clone()
		out.Body = bytes.NewReader(body)
	}
	timeout := e.opts.OriginTimeout + time.Duration(len(body))*time.Second/passedRate
	resp, err := e.exchange(ctx, cancel, o.Handler, "origin", out, timeout)
	if err != nil {
		switch web.ReasonOf(err) {
		case reasonUnreachable, reasonClosed:
			e.originFailed(o.Name, err)
		}
		return nil, err
	}
	if e.origins.succeeded(o.Name) {
		e.log.Info("origin answers again", "origin", o.Name)
	}
	if h, ok := resp.Body.(*held); ok {
		if d, ok := h.Body.(web.Drainer); ok {
			resp.Body = &passedBody{h, d}
		}
	}
	return resp, nil
}

// passedBody runs from upstream to one viewer without being gathered here.
type passedBody struct {
	*held
	from web.Drainer
}

// Drain implements [web.Drainer].
func (p *passedBody) Drain(ctx context.Context, w io.Writer) (int64, error) {
	return p.from.Drain(ctx, w)
}

// Err returns why the body was aborted, if it says.
func (p *passedBody) Err() error { return web.AbortReason(p.Body) }
