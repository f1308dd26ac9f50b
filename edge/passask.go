package edge

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"weir/internal/web"
)

// uploadTime bounds how long a request that is passed on may take until its
// body is all sent. Each adapter bounds it closer, by what it waits for bytes.
const uploadTime = time.Hour

// linger is how long an answer that came before the request's body had ended
// waits for that end.
const linger = time.Second

// passToOrigins asks one origin. Another is asked only where the first gave no
// answer, nothing of a body was read, and the request may be sent twice: "A
// proxy MUST NOT automatically retry non-idempotent requests" (RFC 9110 section
// 9.2.2).
func (e *Edge) passToOrigins(ctx context.Context, req, out *web.Request) (*web.Response, error) {
	body := newUpload(req.Body)
	well, resting := e.origins.order(time.Now())
	var last error = errNoOrigin
	for i, o := range append(well, resting...) {
		if i > 0 {
			if !isIdempotent(req.Method) || body.touched() {
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
		case body.err() != nil:
			return nil, body.err() // it was who asked who failed
		}
		last = err
	}
	return nil, last
}

// passTo asks one origin for one viewer.
func (e *Edge) passTo(ctx context.Context, o Origin, out *web.Request, body *upload) (*web.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	timeout := e.opts.OriginTimeout
	if body != nil {
		timeout += uploadTime
	}
	var late *time.Timer
	if body != nil {
		// An origin answers when it has all: its time begins then.
		out = out.Clone()
		out.Body = body
		late = time.AfterFunc(uploadTime, func() { cancel(errHead) })
		body.onEnd(func() { late.Reset(e.opts.OriginTimeout) })
	}
	resp, err := e.exchange(ctx, cancel, o.Handler, "origin", out, timeout)
	if late != nil {
		body.onEnd(nil)
		if !late.Stop() && err == nil {
			resp.Close()
			err = errHead
		}
	}
	if err != nil {
		body.stop()
		if body.err() == nil && web.ReasonOf(err) == reasonUnreachable {
			e.originFailed(o.Name, err)
		}
		return nil, err
	}
	if e.origins.succeeded(o.Name) {
		e.log.Info("origin answers again", "origin", o.Name)
	}
	body.settle()
	if h, ok := resp.Body.(*held); ok {
		d, drains := h.Body.(web.Drainer)
		switch {
		case out.Method == http.MethodHead: // it is a length, and nothing comes of it
			h.cancel(nil)
			resp.Body = h.Body
		case drains:
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

// An upload is a request's body on its way through: it remembers whether
// anything was read and how it ended, and stops at once when its exchange is
// over, whoever still wants to read.
type upload struct {
	from io.Reader
	read atomic.Bool // a byte, or the end, was asked for
	over atomic.Bool // nobody may read any more
	end  chan struct{}

	busy   chan struct{} // a mutex that is held while reading, for as long as that takes
	failed error         // guarded by busy; other than io.EOF
	ended  bool          // guarded by busy

	endMu sync.Mutex // guards told
	told  func()
}

// newUpload returns nil for no body.
func newUpload(r io.Reader) *upload {
	if r == nil {
		return nil
	}
	return &upload{from: r, end: make(chan struct{}), busy: make(chan struct{}, 1)}
}

var errUploadOver = errors.New("the exchange is over")

// Read implements [io.Reader].
func (u *upload) Read(p []byte) (int, error) {
	u.read.Store(true)
	u.lock()
	defer u.unlock()
	if u.over.Load() {
		return 0, errUploadOver
	}
	if u.ended {
		return 0, u.last()
	}
	n, err := u.from.Read(p)
	if err != nil {
		u.ended = true
		if err != io.EOF {
			u.failed = err
		}
		close(u.end)
		u.tell()
	}
	return n, err
}

func (u *upload) lock()   { u.busy <- struct{}{} }
func (u *upload) unlock() { <-u.busy }

// last is what the body ended with. The caller holds busy.
func (u *upload) last() error {
	if u.failed != nil {
		return u.failed
	}
	return io.EOF
}

func (u *upload) tell() {
	u.endMu.Lock()
	defer u.endMu.Unlock()
	if u.told != nil {
		u.told()
	}
}

// onEnd has f called at the body's end; at once if that has come.
func (u *upload) onEnd(f func()) {
	u.endMu.Lock()
	defer u.endMu.Unlock()
	u.told = f
	select {
	case <-u.end:
		if f != nil {
			f()
		}
	default:
	}
}

func (u *upload) touched() bool { return u != nil && u.read.Load() }

// err returns why the body broke off, nil if it did not.
func (u *upload) err() error {
	if u == nil {
		return nil
	}
	u.lock()
	defer u.unlock()
	return u.failed
}

// stop ends reading, and waits for a read under way.
func (u *upload) stop() {
	if u == nil || !u.read.Load() {
		return // nobody began: another origin may
	}
	u.over.Store(true)
	u.lock()
	defer u.unlock()
}

// settle is called when the answer is there. An origin may answer before it has
// read all, and so may go on reading; a handler that returns must not leave a
// reader of the request's body behind.
func (u *upload) settle() {
	if u == nil {
		return
	}
	wait := time.NewTimer(linger)
	defer wait.Stop()
	if u.read.Load() {
		select {
		case <-u.end:
		case <-wait.C:
		}
	}
	u.over.Store(true)
	u.lock()
	defer u.unlock()
}
