package wire

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// A pool bounds how many exchanges an upstream carries at once, and how many
// more wait for their turn, and for how long: an upstream that hangs must not
// gather the waiting of a whole evening in this node's memory.
type pool struct {
	slots   chan struct{} // a token for each exchange
	waiting chan struct{} // a token for each who waits
	wait    time.Duration
	acc     *clientMetrics
}

func newPool(conns, waiting int, wait time.Duration, acc *clientMetrics) *pool {
	return &pool{slots: make(chan struct{}, conns), waiting: make(chan struct{}, waiting), wait: wait, acc: acc}
}

var (
	errQueueFull = errors.New("all connections are in use, and as many requests wait for one as may")
	errQueueLate = errors.New("all connections are in use, and none became free in time")
)

// take waits for a turn. Whoever has got one gives it back.
func (p *pool) take(ctx context.Context) error {
	select {
	case p.slots <- struct{}{}:
		return nil
	default:
	}
	select {
	case p.waiting <- struct{}{}:
	default:
		return errQueueFull
	}
	p.acc.waiting.Inc()
	late := time.NewTimer(p.wait)
	defer func() {
		late.Stop()
		p.acc.waiting.Dec()
		<-p.waiting
	}()
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-late.C:
		return errQueueLate
	case <-ctx.Done():
		if cause := context.Cause(ctx); !errors.Is(cause, context.DeadlineExceeded) && cause != errHeadLate {
			return cause
		}
		return errQueueLate // whoever asks had less time: still it was not asked
	}
}

func (p *pool) give() { <-p.slots }

// busy is the answer to who did not get a turn. It is not said of the
// upstream, which was not asked: 503, so that another is, and nobody takes
// this one for dead.
func (c *Client) busy(err error) error {
	return c.upstream(http.StatusServiceUnavailable, reasonBusy, "is asked by as many as may already",
		fmt.Errorf("%w: of %d connections (fetch.connections), %d more may wait (fetch.connection_queue) for %v (fetch.connection_wait)",
			err, cap(c.pool.slots), cap(c.pool.waiting), c.pool.wait))
}

const reasonBusy = "upstream_busy"
