package edge

import (
	"context"
	"errors"
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
		case err == nil && (resp.Status < 500 || f.tooLateForOthers(start)):
			return resp, nil
		case err == nil: // it could not get the object, perhaps we can
			resp.Close()
			f.e.metrics.failovers.WithLabelValues("peer").Inc()
			return nil, nil
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.Is(err, errMoved):
			continue
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

// askPeer asks one peer.
func (f *fill) askPeer(ctx context.Context, peer Peer, req *web.Request) (*web.Response, error) {
	timeout := f.e.opts.HopTimeout
	ctx, cancel := context.WithCancelCause(ctx)
	answered := func() bool { return true }
	if f.q.blocking {
		timeout = f.e.opts.BlockTimeout
		answered = f.watchOwner(peer.Name(), cancel)
	}
	resp, err := f.e.exchange(ctx, cancel, peer, "peer", req, timeout)
	if !answered() && err == nil {
		resp.Close()
		err = errMoved
	}
	if err == nil && (resp.Get(nodeField) == "" || resp.Get(refusedField) != "") {
		resp.Close()
		err = errNotPeer
	}
	if err != nil {
		return nil, err
	}
	return f.follow(resp, req, func() { f.e.opts.Peers.Failed(peer.Name()) }), nil
}

// watchOwner cancels with errMoved as soon as the key belongs to somebody else
// than the named peer. Answered ends that, and reports false if it came too late.
func (f *fill) watchOwner(name string, cancel context.CancelCauseFunc) (answered func() bool) {
	var over atomic.Bool // whoever sets it has decided
	var check *time.Timer
	check = time.AfterFunc(f.e.opts.BlockTimeout, func() {
		now, self := f.e.opts.Peers.Owner(f.q.key)
		switch {
		case over.Load():
		case !self && now != nil && now.Name() == name:
			check.Reset(ownerCheck)
		case over.CompareAndSwap(false, true):
			cancel(errMoved)
		}
	})
	check.Reset(ownerCheck) // not before now: the function reads check
	return func() bool {
		check.Stop()
		return over.CompareAndSwap(false, true)
	}
}

var errNotPeer = errors.New("the peer's address is not answered by an edge of this cluster, or it refused us")
