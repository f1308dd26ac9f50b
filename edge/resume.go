package edge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"weir/internal/web"
)

// follow makes the body of an upstream's answer one that goes on from another
// upstream where the first cuts it: at the same byte of the same version,
// which a strong entity tag names on all origins alike. Cut is called when the
// first did.
func (f *fill) follow(resp *web.Response, req *web.Request, cut func()) *web.Response {
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
	s := &stream{held: h, f: f, req: req, cut: cut}
	if tag := resp.Get("ETag"); resp.Status == http.StatusOK && strings.HasPrefix(tag, `"`) {
		s.tag = tag
	}
	resp.Body = s
	return resp
}

// stream is a body on its way from upstream. It is a [web.Drainer].
type stream struct {
	*held
	f   *fill
	req *web.Request
	tag string // strong; "": there is no way to go on
	cut func()
}

// maxResumes is how often a body may be cut.
const maxResumes = 3

// Err returns why the body was aborted, if it says.
func (s *stream) Err() error { return web.AbortReason(s.Body) }

// Drain implements [web.Drainer].
func (s *stream) Drain(ctx context.Context, w io.Writer) (int64, error) {
	total := s.Len()
	sink := &sinkWriter{w: w}
	n, err := web.Copy(ctx, sink, s.Body, 0)
	for range maxResumes {
		if err == nil || ctx.Err() != nil || sink.err != nil {
			return n, err
		}
		s.cut()
		if s.tag == "" {
			return n, err
		}
		var more int64
		more, next := s.resume(ctx, sink, n, total)
		n += more
		if next == nil {
			s.f.e.metrics.resumes.WithLabelValues("ok").Inc()
			s.f.e.log.Info("a body that was cut went on from another upstream", "path", s.f.q.path, "err", err)
			return n, nil
		}
		err = errors.Join(err, next)
		if errors.Is(next, errNoResume) {
			break
		}
	}
	s.f.e.metrics.resumes.WithLabelValues("failed").Inc()
	return n, err
}

// errNoResume says that nobody has the rest of a body.
var errNoResume = errors.New("no upstream can go on with the body")

// resume writes what comes from offset on, from the first origin that has the
// same version, and returns how much that was.
func (s *stream) resume(ctx context.Context, w *sinkWriter, offset, total int64) (int64, error) {
	req := s.req.Clone()
	req.Header.Del("If-None-Match")
	req.Header.Del("If-Modified-Since")
	req.Header.Add("Range", fmt.Sprintf("bytes=%d-", offset))
	req.Header.Add("If-Range", s.tag)
	e := s.f.e
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
		from, size, ok := s.goesOn(resp, offset, total)
		if !ok {
			resp.Close()
			continue
		}
		defer resp.Close()
		if from < 0 {
			return 0, nil
		}
		n, err := web.Copy(ctx, w, resp.Body, from)
		if err == nil && size >= 0 && offset+n != size {
			err = fmt.Errorf("%w: at %d bytes of %d", web.ErrAborted, offset+n, size)
		}
		if err != nil && w.err == nil && ctx.Err() == nil {
			e.originFailed(o.Name, err)
		}
		return n, err
	}
	return 0, errNoResume
}

// goesOn reports whether an answer holds the rest of this body, at which of its
// own bytes the rest begins (-1: there is no rest), and how long the whole body
// is (-1: it does not say).
func (s *stream) goesOn(resp *web.Response, offset, total int64) (from, size int64, ok bool) {
	field := resp.Get("Content-Range")
	switch {
	case resp.Status == http.StatusRequestedRangeNotSatisfiable:
		// If-Range let the Range through, so this is the version: all was here but the end mark.
		return -1, offset, field == fmt.Sprintf("bytes */%d", offset) && (total < 0 || total == offset)
	case resp.Body == nil:
	case resp.Status == http.StatusPartialContent:
		var first, last int64
		_, err := fmt.Sscanf(field, "bytes %d-%d/%d", &first, &last, &size)
		return 0, size, err == nil && first == offset && last == size-1 && (total < 0 || size == total) && resp.Get("ETag") == s.tag
	case resp.Status == http.StatusOK: // one that knows no ranges, or not yet how long the body is
		size = resp.Body.Len()
		return offset, size, resp.Get("ETag") == s.tag && (total < 0 || size < 0 || size == total)
	}
	return 0, 0, false
}

// sinkWriter remembers that it was not upstream that failed.
type sinkWriter struct {
	w   io.Writer
	err error
}

func (s *sinkWriter) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.err = err
	return n, err
}
