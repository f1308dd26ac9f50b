package sim

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"weir/internal/spool"
	"weir/internal/web"
)

// A link is the wire to a node: it counts what goes over it, and it can be cut
// or held up in the middle of a body.
type link struct {
	to       web.Handler
	slab     *spool.Slab
	requests atomic.Int64
	sent     atomic.Int64 // bytes of bodies

	mu   sync.Mutex
	dead chan struct{} // closed while the node cannot be reached
	hold int64         // bytes of each body after which it stops; -1: none
	gate chan struct{} // closed when held bodies may go on
}

func newLink(to web.Handler, slab *spool.Slab) *link {
	return &link{to: to, slab: slab, dead: make(chan struct{}), hold: -1}
}

// roundTrip is how long a node that is dead takes to be found so.
const roundTrip = time.Millisecond

var errUnreachable = web.Errorf(http.StatusBadGateway, "the node cannot be reached")

// Serve implements [web.Handler]: the far end's answer crosses the wire byte by
// byte, and is cut where the wire is.
func (l *link) Serve(ctx context.Context, req *web.Request) (*web.Response, error) {
	dead, hold, gate := l.now()
	select {
	case <-dead:
		// Nobody learns it before a packet was there and back.
		select {
		case <-time.After(roundTrip):
		case <-ctx.Done():
		}
		return nil, errUnreachable
	default:
	}
	l.requests.Add(1)
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-dead:
			cancel(errUnreachable)
		case <-ctx.Done():
		}
	}()
	resp, err := l.to.Serve(ctx, req)
	if err != nil {
		cancel(nil)
		select {
		case <-dead:
			return nil, errUnreachable
		default:
		}
		if _, isWeb := err.(*web.Error); !isWeb && ctx.Err() == nil {
			return web.ErrorResponse(err), nil // what the wire would have made of it
		}
		return nil, err
	}
	out := &web.Response{Status: resp.Status, Header: resp.Flatten()}
	if resp.Body == nil {
		cancel(nil)
		return out, nil
	}
	w, b := l.slab.New(max(0, resp.Body.Len()))
	if n := resp.Body.Len(); n >= 0 {
		w.SetLen(n)
	}
	out.Body = b
	go func() {
		defer cancel(nil)
		defer resp.Body.Close()
		if err := l.carry(ctx, w, resp.Body, hold, gate); err != nil {
			w.Abort(err)
			return
		}
		_ = w.Complete()
	}()
	return out, nil
}

// carry copies b to w, and pauses after hold bytes until gate opens.
func (l *link) carry(ctx context.Context, w *spool.Writer, b web.Body, hold int64, gate <-chan struct{}) error {
	for off := int64(0); ; {
		p, st, err := web.Await(ctx, b, off)
		if err != nil {
			return err
		}
		if len(p) == 0 {
			if st == web.Aborted {
				return web.AbortReason(b)
			}
			return nil
		}
		if hold >= 0 && off+int64(len(p)) > hold {
			p = p[:max(0, hold-off)]
		}
		n, err := w.Write(p)
		l.sent.Add(int64(n))
		if err != nil {
			return err
		}
		if off += int64(n); off == hold {
			select {
			case <-gate:
				hold = -1
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
}

func (l *link) now() (dead <-chan struct{}, hold int64, gate <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dead, l.hold, l.gate
}

// cut makes the node unreachable and breaks what is under way.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.dead:
	default:
		close(l.dead)
	}
}

// mend makes the node reachable again.
func (l *link) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dead = make(chan struct{})
}

// holdAfter stops each body after n bytes until release.
func (l *link) holdAfter(n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hold, l.gate = n, make(chan struct{})
}

func (l *link) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hold >= 0 {
		l.hold = -1
		close(l.gate)
	}
}
