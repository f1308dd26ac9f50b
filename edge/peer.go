package edge

import (
	"context"
	"net/http"
	"time"

	"weir/cache"
	"weir/internal/web"
)

// Fields between edges. An answer without nodeField comes from something that
// is no edge; one with refusedField says nothing of the object.
const (
	nodeField    = "Weir-Node"
	refusedField = "Weir-Refused"
	listedField  = "Weir-Listed" // in a question: a playlist lists the object
)

// PeerHandler returns what other edges ask. It wants a proof of membership
// and no token: the asking edge has admitted its viewers. It asks the origins
// only, never a peer, so that two edges which disagree about the owner of a
// key cannot wait for each other.
func (e *Edge) PeerHandler() web.Handler { return web.HandlerFunc(e.servePeer) }

func (e *Edge) servePeer(ctx context.Context, req *web.Request) (*web.Response, error) {
	if e.opts.Peers == nil {
		return e.refusePeer(req, errAlone), nil
	}
	if err := e.opts.Peers.Verify(req); err != nil {
		return e.refusePeer(req, err), nil
	}
	switch req.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions: // a peer that waits for us asks whether we live
		return web.NewResponse(http.StatusNoContent, nil, nodeField, e.opts.Node), nil
	default:
		return e.refusePeer(req, errMethod), nil
	}
	q := question{class: classOf(req.Path), path: req.Path}
	if err := e.complete(&q, req, req.Query); err != nil {
		return e.refusePeer(req, err), nil
	}
	if req.Header.Has(sliceField) {
		return e.serveSlice(ctx, req, &q)
	}
	if resp := e.refuseResume(ctx, req, q.key); resp != nil {
		return resp, nil
	}
	e.aware.heard(req, &q)
	cq := q.lookup()
	cq.NoPeer = true
	o, found := e.cache.Lookup(cq)
	var how cache.Outcome
	from := ""
	if found {
		how = lookedUp(o)
	} else {
		if stale := e.why(&q); stale != nil {
			stale.Release()
		}
		cq.Recorded = e.recorded(q.path)
		f := &fill{e: e, q: q, noPeer: true, peer: true, listed: req.Header.Has(listedField)}
		var err error
		o, how, err = e.cache.Get(ctx, cq, f.heard)
		if err != nil {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			return e.failPeer(err), nil
		}
		from, q.upstream = f.from(), int(f.status.Load())
	}
	now := time.Now()
	s := story{how: how, fwd: q.fwd, upstream: q.upstream, stored: o.Stored(now), ttl: o.TTL(now), from: from}
	resp := o.Response(now)
	o.Release()
	resp, err := e.present(ctx, req, &q, resp, true)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return e.failPeer(err), nil
	}
	e.status.tell(resp, s)
	resp.Header.Add(nodeField, e.opts.Node)
	e.metrics.peers.WithLabelValues(how.String()).Inc()
	return resp, nil
}

var errAlone = &web.Error{Status: http.StatusForbidden, Reason: reasonPeer, Err: errNotPeer}

// failPeer answers a request that could not be answered.
func (e *Edge) failPeer(err error) *web.Response {
	e.metrics.peers.WithLabelValues(failed.String()).Inc()
	resp := web.ErrorResponse(statusError(err))
	resp.Header.Add(nodeField, e.opts.Node)
	return resp
}

// refusePeer answers a request that says nothing of an object.
func (e *Edge) refusePeer(req *web.Request, err error) *web.Response {
	resp := web.ErrorResponse(err)
	reason := web.ReasonOf(err)
	if reason == "" {
		reason = reasonPeer
	}
	resp.Header.Add(nodeField, e.opts.Node)
	resp.Header.Add(refusedField, reason)
	if ok, before := e.quiet.allow(reason); ok {
		e.log.Warn("peer refused", "reason", reason, "method", req.Method, "path", web.MaskPath(req.Path), "remote", req.Remote,
			"err", err, "not_logged_before", before)
	}
	e.metrics.peers.WithLabelValues(refused.String()).Inc()
	return resp
}
