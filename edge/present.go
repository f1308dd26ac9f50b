package edge

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"weir/cache"
	"weir/internal/web"
)

// waits reports whether an answer of o to req may have to wait for upstream.
func waits(req *web.Request, o *cache.Object) bool {
	switch o.Len() {
	case -1:
		return req.Method == http.MethodGet && req.Header.Has("Range")
	case 0:
		return o.Header().Has(slicesField)
	}
	return false
}

// present turns what is kept of an object into the answer to req: what its
// conditions and ranges ask for, of all its bytes if it is kept in slices. Peer
// says that an edge asks. It waits for a range of what is still growing, and
// for the head of the first slice: if that tells that the object has changed,
// nobody has seen anything yet of what it was.
func (e *Edge) present(ctx context.Context, req *web.Request, q *question, resp *web.Response, peer bool) (*web.Response, error) {
	for try := 0; ; try++ {
		e.open(q, resp)
		resp = web.Growing{Patience: e.opts.OriginTimeout, Follow: peer}.Select(ctx, req, resp)
		body, ok := resp.Body.(*slicedBody)
		if !ok || req.Method == http.MethodHead {
			return resp, nil
		}
		err := body.prime(ctx)
		if err == nil {
			return resp, nil
		}
		resp.Close()
		if !ofVersion(err) {
			return nil, err
		}
		if e.outdated(body.of, err); try == 2 {
			return nil, err
		}
		if resp, err = e.again(ctx, q, peer); err != nil {
			return nil, err
		}
	}
}

// open gives an answer that is kept in slices its body.
func (e *Edge) open(q *question, resp *web.Response) {
	if resp.Body == nil || resp.Body.Len() != 0 {
		return
	}
	total, err := strconv.ParseInt(resp.Get(slicesField), 10, 64)
	if err != nil {
		return
	}
	o := &object{q: *q, tag: resp.Get("ETag"), total: total}
	o.q.token = ""
	resp.Header.Set(slicesField, "")
	resp.Body.Close()
	resp.Body = &slicedBody{e: e, of: o, n: total}
}

// again asks for an object whose slices were found to be of the past.
func (e *Edge) again(ctx context.Context, q *question, noPeer bool) (*web.Response, error) {
	cq := e.wanted(q)
	cq.NoPeer = noPeer || e.owns(q.key)
	f := &fill{e: e, q: *q, noPeer: cq.NoPeer}
	o, _, err := e.cache.Get(ctx, cq, f.run)
	if err != nil {
		return nil, err
	}
	defer o.Release()
	return o.Response(time.Now()), nil
}

// outdated acts on what a fill of a slice found out.
func (e *Edge) outdated(o *object, err error) {
	if errors.Is(err, errNoRanges) {
		e.whole.add(o.q.key + keyMark + o.tag)
	}
	e.drop(o)
}
