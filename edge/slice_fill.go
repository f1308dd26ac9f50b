package edge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"weir/cache"
	"weir/internal/web"
)

// runSlice is run for one slice. Only the 206 with just its bytes of just its
// version will do, from a peer or an origin.
func (f *fill) runSlice(ctx context.Context, _ *cache.Object) (*web.Response, error) {
	req := f.request(nil)
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", f.slice.first, f.slice.last))
	req.Header.Set("If-Range", f.slice.tag)
	resp, err := f.askForSlice(ctx, req)
	if err != nil {
		f.e.metrics.sliceFailed(err)
		return nil, err
	}
	f.e.metrics.slices.WithLabelValues("ok").Inc()
	body := resp.Body
	if body.Len() < 0 {
		body = web.Section(body, 0, f.slice.length()) // which holds it to that
	}
	return f.slice.answer(body), nil
}

func (f *fill) askForSlice(ctx context.Context, req *web.Request) (*web.Response, error) {
	if !f.noPeer {
		toPeer := req.Clone()
		toPeer.Header.Set(sliceField, f.slice.field())
		resp, err := f.askPeers(ctx, toPeer)
		if err != nil {
			return nil, err
		}
		if resp != nil && f.slice.is(resp) {
			f.asked.Store(fromPeer)
			return resp, nil
		}
		if resp != nil {
			resp.Close() // the origins know better
		}
	}
	f.asked.Store(fromOrigin)
	req.Header.Set("CDN-Loop", f.e.loop.add(f.q.loop))
	return f.askOriginsForSlice(ctx, req)
}

// askOriginsForSlice asks the origins in order. That one has another version
// counts only if none has this one: they may be changing over.
func (f *fill) askOriginsForSlice(ctx context.Context, req *web.Request) (*web.Response, error) {
	well, resting := f.e.origins.order(time.Now())
	var verdict error
	for _, o := range append(well, resting...) {
		resp, err := f.askOrigin(ctx, o, req, nil)
		if err != nil {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			if verdict == nil {
				verdict = err
			}
			continue
		}
		if f.slice.is(resp) {
			return resp, nil
		}
		if err := f.slice.verdict(resp); verdict == nil || !ofVersion(verdict) {
			verdict = err
		}
		resp.Close()
	}
	if verdict == nil {
		verdict = errNoOrigin
	}
	return nil, verdict
}

// verdict says what an answer means that is not the slice asked for.
func (p *part) verdict(resp *web.Response) error {
	err := &web.Error{Status: http.StatusBadGateway, Reason: reasonBad, Err: errChanged}
	switch {
	case resp.Status >= http.StatusInternalServerError || resp.Status == http.StatusTooManyRequests:
		err.Err = fmt.Errorf("upstream answered a question for a slice with %d", resp.Status)
	case resp.Status == http.StatusOK && resp.Get("ETag") == p.tag:
		err.Err = errNoRanges
	}
	return err
}

// ofVersion reports whether an error says that there are no slices of this
// version, and never will be.
func ofVersion(err error) bool { return errors.Is(err, errChanged) || errors.Is(err, errNoRanges) }

// field says which slice a question between edges wants; If-Range says of
// which version.
func (p *part) field() string { return web.ContentRange(p.first, p.last, p.total) }

// serveSlice answers a peer that wants one slice, or the rest of one. The peer
// knows what object that is of: nothing is asked about the whole.
func (e *Edge) serveSlice(ctx context.Context, req *web.Request, q *question) (*web.Response, error) {
	r, total, ok := web.ParseContentRange(req.Header.Get(sliceField))
	p := part{tag: req.Header.Get("If-Range"), first: r.First, last: r.Last, total: total}
	want, wanted := web.ParseRange(req.Header.Get("Range"))
	if !ok || total < 0 || p.length() > maxSlice || len(p.tag) < 2 || p.tag[0] != '"' || !wanted || len(want) != 1 ||
		want[0].First < p.first || want[0].Last < want[0].First || want[0].Last > p.last {
		return e.refusePeer(req, badDirective(errors.New("a question for a slice that is none"))), nil
	}
	of := &object{q: *q, tag: p.tag, total: total, noPeer: true}
	cq, f := e.sliceFill(of, p)
	if resp := e.refuseResume(ctx, req, f.q.key); resp != nil {
		return resp, nil
	}
	o, how, err := e.cache.Get(ctx, cq, f.runSlice)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if ofVersion(err) {
			e.outdated(of, err)
		}
		return e.failPeer(err), nil
	}
	body := o.Response(time.Now()).Body
	o.Release()
	e.metrics.peers.WithLabelValues(how.String()).Inc()
	return web.NewResponse(http.StatusPartialContent, web.Section(body, want[0].First-p.first, want[0].Last-want[0].First+1),
		"ETag", p.tag, "Content-Range", web.ContentRange(want[0].First, want[0].Last, total), "Cache-Control", "no-store",
		nodeField, e.opts.Node), nil
}
