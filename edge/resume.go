package edge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"weir/internal/web"
)

// follow makes the body of an upstream's answer one that goes on from another
// upstream, or from the same one again, where the first cuts it: at the same
// byte of the same version, which a strong entity tag names on all origins
// alike. Cut is called when the first did.
func (f *fill) follow(resp *web.Response, req *web.Request, cut func(ctx context.Context, why error)) *web.Response {
	if resp.Body == nil {
		return resp
	}
	h := resp.Body.(*held)
	if _, ok := h.Body.(web.Drainer); !ok {
		if p, st := h.View(0); st == web.Complete && int64(len(p)) == h.Len() {
			h.cancel(nil)
			resp.Body = h.Body // all there already
			return resp
		}
	}
	s := &stream{held: h, f: f, req: req, cut: cut, part: part{last: -1, total: h.Len()}}
	if tag := resp.Get("ETag"); strings.HasPrefix(tag, `"`) {
		switch {
		case resp.Status == http.StatusOK:
			s.part.tag = tag
		case resp.Status == http.StatusPartialContent && f.slice != nil && f.slice.is(resp):
			s.part = *f.slice
		}
	}
	if resp.Get(nodeField) != "" {
		s.relay(true)
	}
	resp.Body = s
	return resp
}

// A part is what a body holds of a representation.
type part struct {
	tag         string // strong; "": unknown, and nothing can be put together with it
	first, last int64  // last -1: to its end
	total       int64  // length of the representation, -1: not known
}

// length returns how many bytes the part has, -1 if that is not known.
func (p *part) length() int64 {
	if p.last >= 0 {
		return p.last - p.first + 1
	}
	return p.total
}

// stream is a body on its way from upstream. It is a [web.Drainer].
type stream struct {
	*held
	f    *fill
	req  *web.Request
	part part
	cut  func(ctx context.Context, why error)

	alone    bool // a rest from a peer was cut too: the origins are to be asked
	relaying bool // counted among e.relays
	mu       sync.Mutex
}

// Err returns why the body was aborted, if it says.
func (s *stream) Err() error { return web.AbortReason(s.Body) }

// Close implements [web.Body].
func (s *stream) Close() {
	s.relay(false)
	s.held.Close()
}

// A body may be cut again and again as long as it gets on: only resumptions
// that together bring less than progress count, up to maxResumes in a row.
// They come with growing pauses, that an upstream which restarts is there again
// for the last of them.
const (
	maxResumes = 6
	progress   = 64 << 10
)

func pauseBefore(try int) time.Duration {
	return [...]time.Duration{0, 100 * time.Millisecond, 300 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second}[min(try, 5)]
}

// Drain implements [web.Drainer].
func (s *stream) Drain(ctx context.Context, w io.Writer) (int64, error) {
	sink := &sinkWriter{w: w}
	n, err := web.Copy(ctx, sink, s.Body, 0)
	if err == nil || ctx.Err() != nil || sink.err != nil {
		return n, err
	}
	first := err
	s.cut(ctx, first)
	if n == s.part.length() {
		return n, nil // all was here but the end mark
	}
	for try, brought := 0, int64(0); s.part.tag != "" && try < maxResumes; try++ {
		if err = pause(ctx, pauseBefore(try)); err != nil {
			break
		}
		var more int64
		more, err = s.resume(ctx, sink, s.part.first+n)
		n += more
		switch brought += more; {
		case err == nil:
			s.f.e.metrics.resumes.WithLabelValues("ok").Inc()
			if ok, before := s.f.e.quiet.allow("resume"); ok {
				s.f.e.log.Info("a body that was cut went on", "path", web.MaskPath(s.f.q.path), "err", first, "not_logged_before", before)
			}
			return n, nil
		case ctx.Err() != nil || sink.err != nil:
			return n, err
		case errors.Is(err, errNoResume):
			try = maxResumes
		case brought >= progress:
			try, brought = -1, 0
		}
	}
	s.f.e.metrics.resumes.WithLabelValues("failed").Inc()
	return n, errors.Join(first, err)
}

// pause waits for d or until ctx is done.
func pause(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

var (
	// errNoResume says that nobody has the rest of a body, and nobody will.
	errNoResume = errors.New("no upstream can go on with the body")
	// errNobody says that no upstream can be asked at the moment.
	errNobody = errors.New("no upstream answers")
)

// resume writes what comes from position at of the representation on, from the
// first upstream that has the same version, and returns how much that was.
func (s *stream) resume(ctx context.Context, w *sinkWriter, at int64) (int64, error) {
	if !s.f.noPeer && !s.alone {
		if n, err := s.resumeFromPeer(ctx, w, at); err != errNobody {
			return n, err
		}
	}
	s.relay(false)
	e := s.f.e
	req, from := s.ask(at, false)
	var verdict error = errNobody
	well, resting := e.origins.order(time.Now())
	for _, o := range append(well, resting...) {
		rctx, cancel := context.WithCancelCause(ctx)
		resp, err := e.exchange(rctx, cancel, o.Handler, "origin", req, e.opts.OriginTimeout)
		if err != nil {
			if ctx.Err() != nil {
				return 0, context.Cause(ctx)
			}
			e.originFailed(o.Name, err)
			continue
		}
		skip, ok := s.goesOn(resp, from, at)
		if !ok {
			if resp.Status < 500 && resp.Status != http.StatusTooManyRequests {
				verdict = errNoResume
			}
			resp.Close()
			continue
		}
		n, err := s.take(ctx, w, resp, skip, at)
		if err != nil && w.err == nil && ctx.Err() == nil {
			e.originFailed(o.Name, err)
		}
		return n, err
	}
	return 0, verdict
}

// ask makes the question for what comes from position at on, and returns the
// position that it asks from. Where the length of the whole is not known there
// may be nothing more: then it asks for the last byte again, so that there is
// an answer which names version and length.
func (s *stream) ask(at int64, peer bool) (*web.Request, int64) {
	req := s.req.Clone()
	for _, name := range [...]string{"If-None-Match", "If-Modified-Since", sliceField} {
		req.Header.Del(name)
	}
	from := at
	if s.part.length() < 0 {
		from = max(0, at-1)
	}
	last := ""
	switch {
	case s.part.last >= 0:
		last = fmt.Sprint(s.part.last)
	case peer:
		last = fmt.Sprint(int64(web.OpenEnd)) // also where it has only begun to arrive (RFC 8673)
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%s", from, last))
	req.Header.Set("If-Range", s.part.tag)
	if peer {
		req.Header.Set(resumeField, "1")
		if s.f.slice != nil {
			req.Header.Set(sliceField, s.f.slice.field())
		}
	}
	return req, from
}

// goesOn reports whether an answer to a question for what comes from position
// from on holds the rest of this body from at on, and how many bytes come
// before that. What it says of the whole must agree with all that is known.
func (s *stream) goesOn(resp *web.Response, from, at int64) (skip int64, ok bool) {
	if resp.Body == nil || resp.Get("ETag") != s.part.tag {
		return 0, false
	}
	length := resp.Body.Len()
	switch resp.Status {
	case http.StatusPartialContent:
		r, total, ok := web.ParseContentRange(resp.Get("Content-Range"))
		if !ok || r.First != from || total >= 0 && s.part.total >= 0 && total != s.part.total {
			return 0, false
		}
		if total < 0 && r.Last == web.OpenEnd && s.part.last < 0 {
			return at - from, true // it grows: its end is where it ends
		}
		end := s.part.last
		if end < 0 {
			end = max(total, s.part.total) - 1
		}
		if r.Last != end || length >= 0 && length != r.Last-r.First+1 {
			return 0, false
		}
		if s.part.total < 0 {
			s.part.total = total
		}
		return at - from, true
	case http.StatusOK: // from one that knows no ranges, or not yet how long the body is
		if s.part.last >= 0 || length >= 0 && (s.part.total >= 0 && length != s.part.total || length < at) {
			return 0, false
		}
		if s.part.total < 0 {
			s.part.total = length
		}
		return at, true
	}
	return 0, false
}

// take writes what an answer holds behind its first skip bytes, which is what
// comes from position at on.
func (s *stream) take(ctx context.Context, w *sinkWriter, resp *web.Response, skip, at int64) (int64, error) {
	defer resp.Close()
	n, err := web.Copy(ctx, w, resp.Body.(*held).Body, skip) // as it comes, not gathered in memory first
	if length := s.part.length(); err == nil && length >= 0 && at-s.part.first+n != length {
		err = fmt.Errorf("%w: at %d bytes of %d", web.ErrAborted, at-s.part.first+n, length)
	}
	return n, err
}
