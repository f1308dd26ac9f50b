package edge

import (
	"context"
	"errors"
	"math"
	"net/http"
	"sync/atomic"
	"time"

	"weir/internal/web"
)

// ownerCheck is how often a request that a peer holds finds out whether that
// peer is still the one to ask: it may have died without a word.
const ownerCheck = 500 * time.Millisecond

// askPeers asks the edge that owns the key, and the one that owns it next
// where the first cannot be reached. It returns neither answer nor error where
// the origins are to be asked.
func (f *fill) askPeers(ctx context.Context, req *web.Request) (*web.Response, error) {
	start := time.Now()
	for range 3 {
		peer, self := f.e.opts.Peers.Owner(f.q.key)
		if self || peer == nil {
			return nil, nil
		}
		resp, err := f.askPeer(ctx, peer, req)
		switch {
		case err == nil && (resp.Status < 500 || f.tooLateForOthers(start) || time.Since(start) >= f.e.opts.OriginTimeout):
			return resp, nil
		case err == nil: // it could not get the object, perhaps we can
			resp.Close()
			f.e.metrics.failovers.WithLabelValues("peer").Inc()
			return nil, nil
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.Is(err, errMoved):
			continue
		case web.ReasonOf(err) == reasonPool, // it was not asked, and so is not to blame
			errors.Is(err, errHeaderLong): // and who writes such requests is not to choose who is
			f.e.metrics.failovers.WithLabelValues("peer").Inc()
			return nil, nil
		}
		f.e.opts.Peers.Failed(peer.Name())
		f.e.metrics.failovers.WithLabelValues("peer").Inc()
		f.e.log.Debug("peer failed", "peer", peer.Name(), "path", f.q.path, "err", err)
		if errors.Is(err, errHead) {
			return nil, nil // no time for another peer
		}
	}
	return nil, nil
}

// tooLateForOthers reports whether an origin has held this request already:
// another would hold it for as long again.
func (f *fill) tooLateForOthers(start time.Time) bool {
	return f.q.blocking && time.Since(start) > 2*time.Second
}

// askPeer asks one peer. It may take as long to answer as an origin takes that
// it asks in turn, and a little longer, so that it is the one to find out that
// an origin is too late: to blame it for that would make edges part just when
// the origin is slow, and each ask it for everything.
func (f *fill) askPeer(ctx context.Context, peer Peer, req *web.Request) (*web.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	o := &f.e.opts
	timeout := o.OriginTimeout
	var answered func() bool
	if f.q.blocking {
		timeout = o.BlockTimeout
		answered = watch(ownerCheck, cancel, func() error { return f.stillOwns(peer) })
	} else {
		answered = watch(o.HopTimeout/2, cancel, func() error { return f.e.stillLives(ctx, peer) })
	}
	resp, err := f.e.exchange(ctx, cancel, peer, "peer", req, timeout+o.HopTimeout)
	if !answered() && err == nil {
		resp.Close()
		err = errMoved
	}
	if err == nil && (resp.Get(nodeField) == "" || resp.Get(refusedField) != "") {
		resp.Close()
		if err = errNotPeer; resp.Status == http.StatusRequestHeaderFieldsTooLarge {
			err = errHeaderLong
		}
	}
	if err != nil {
		return nil, err
	}
	return f.follow(resp, req, func(ctx context.Context, why error) { f.e.peerCut(ctx, peer, why) }), nil
}

// peerCut notes that a peer cut a body. It does so where it died, and where its
// own upstream cut the body, which it must pass on: a peer that says that it
// lives is not to blame, or an origin that cuts bodies would part the edges, and
// be asked by each of them. One that stalled is: whatever it says, no more came.
func (e *Edge) peerCut(ctx context.Context, peer Peer, why error) {
	if web.StatusOf(why) == http.StatusGatewayTimeout || e.stillLives(ctx, peer) != nil && ctx.Err() == nil {
		e.opts.Peers.Failed(peer.Name())
	}
}

// watch calls check again and again, with a pause between, and cancels with
// the error that it returns. Answered ends that, and reports false if it came
// too late.
func watch(pause time.Duration, cancel context.CancelCauseFunc, check func() error) (answered func() bool) {
	var over atomic.Bool // whoever sets it has decided
	var timer *time.Timer
	timer = time.AfterFunc(math.MaxInt64, func() {
		err := check()
		switch {
		case over.Load():
		case err == nil:
			timer.Reset(pause)
		case over.CompareAndSwap(false, true):
			cancel(err)
		}
	})
	timer.Reset(pause) // not before now: the function reads timer
	return func() bool {
		timer.Stop()
		return over.CompareAndSwap(false, true)
	}
}

// stillOwns returns errMoved as soon as the key belongs to somebody else.
func (f *fill) stillOwns(peer Peer) error {
	if now, self := f.e.opts.Peers.Owner(f.q.key); self || now == nil || now.Name() != peer.Name() {
		return errMoved
	}
	return nil
}

// stillLives returns an error if the peer does not even answer that it lives.
func (e *Edge) stillLives(ctx context.Context, peer Peer) error {
	ctx, cancel := context.WithTimeout(ctx, e.opts.HopTimeout/2)
	defer cancel()
	resp, err := peer.Serve(ctx, &web.Request{Method: http.MethodOptions, Path: "/"})
	switch {
	case web.ReasonOf(err) == reasonPool:
		return nil // it could not be asked
	case err != nil:
		return errHead
	}
	resp.Close()
	if resp.Get(nodeField) == "" {
		return errNotPeer
	}
	return nil
}

// errHeaderLong is a request that fits into limits.header of this edge and not of the other's.
var errHeaderLong = errors.New("the peer lets no header of this length in")

var errNotPeer = errors.New("the peer's address is not answered by an edge of this cluster, or it refused us")
