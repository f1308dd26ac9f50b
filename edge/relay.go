package edge

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"weir/internal/web"
)

// resumeField marks the question of a peer whose body was cut on its way.
const resumeField = "Weir-Resume"

// relays counts, by key, the bodies that are on their way here from a peer, or
// may be in a moment. The rest of a body is never taken from an edge that has
// its own from a peer: that could be us, or one that waits for us, and all of
// them would wait for ever.
type relays struct {
	mu   sync.Mutex // guards keys
	keys map[string]*relay
}

type relay struct {
	n    int
	over chan struct{} // closed when n is 0
}

func (r *relays) add(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.keys == nil {
		r.keys = map[string]*relay{}
	}
	one := r.keys[key]
	if one == nil {
		one = &relay{over: make(chan struct{})}
		r.keys[key] = one
	}
	one.n++
}

func (r *relays) remove(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	one := r.keys[key]
	if one.n--; one.n == 0 {
		close(one.over)
		delete(r.keys, key)
	}
}

// over waits until no body for key comes from a peer, at most for patience.
func (r *relays) over(ctx context.Context, key string, patience time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		r.mu.Lock()
		one := r.keys[key]
		r.mu.Unlock()
		if one == nil {
			return true
		}
		select {
		case <-one.over:
		case <-ctx.Done():
			return false
		}
	}
}

// relay says whether the rest of s comes from a peer.
func (s *stream) relay(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if on == s.relaying {
		return
	}
	if s.relaying = on; on {
		s.f.e.relays.add(s.f.q.key)
	} else {
		s.f.e.relays.remove(s.f.q.key)
	}
}

// resumeFromPeer is resume where other edges may have the rest: the one that
// owns the key now. errNobody means that the origins are to be asked.
func (s *stream) resumeFromPeer(ctx context.Context, w *sinkWriter, at int64) (int64, error) {
	e := s.f.e
	s.relay(true) // before anybody is asked: of two that ask each other one at least must see it
	req, from := s.ask(at, true)
	for range 2 {
		peer, self := e.opts.Peers.Owner(s.f.q.key)
		if self || peer == nil {
			break
		}
		rctx, cancel := context.WithCancelCause(ctx)
		resp, err := e.exchange(rctx, cancel, peer, "peer", req, 2*e.opts.HopTimeout)
		switch {
		case ctx.Err() != nil:
			if err == nil {
				resp.Close()
			}
			return 0, context.Cause(ctx)
		case err != nil || resp.Get(nodeField) == "":
			if err == nil {
				resp.Close()
			}
			if web.ReasonOf(err) != reasonPool { // else it was not asked
				e.opts.Peers.Failed(peer.Name())
			}
			e.metrics.failovers.WithLabelValues("peer").Inc()
			continue
		}
		skip, ok := s.goesOn(resp, from, at)
		if !ok || resp.Get(refusedField) != "" {
			resp.Close() // the origins know better
			break
		}
		n, err := s.take(ctx, w, resp, skip, at)
		if err != nil && w.err == nil && ctx.Err() == nil {
			s.alone = true
			e.peerCut(ctx, peer, err)
		}
		return n, err
	}
	return 0, errNobody
}

// refuseResume answers a peer that wants the rest of a body which comes here
// from a peer too. It is nil where it does not, or not any more: the owner that
// died cuts all who followed it at about the same time, and those who ask us
// may have noticed first.
func (e *Edge) refuseResume(ctx context.Context, req *web.Request, key string) *web.Response {
	if !req.Header.Has(resumeField) || e.relays.over(ctx, key, e.opts.HopTimeout/2) {
		return nil
	}
	resp := web.ErrorResponse(&web.Error{Status: http.StatusServiceUnavailable, Reason: reasonBusy, Err: errRelay})
	resp.Header.Add(nodeField, e.opts.Node)
	resp.Header.Add(refusedField, reasonBusy)
	return resp
}

var errRelay = errors.New("this edge has the body from a peer itself")
