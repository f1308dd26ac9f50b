package node

import (
	"context"
	"errors"
	"time"
)

// Run serves until ctx is done or a listener fails, then drains and closes.
// The error is nil if ctx ended it. It may be called once.
func (n *Node) Run(ctx context.Context) error {
	n.mu.Lock()
	if n.begun {
		n.mu.Unlock()
		return errors.New("node: Run was called before, or Close")
	}
	n.begun = true
	n.mu.Unlock()

	for _, start := range n.tasks {
		start()
	}
	failure := n.serve(ctx)
	start := time.Now()
	bound, cancel := context.WithTimeout(context.Background(), n.drain().Timeout)
	defer cancel()
	n.takeDown(bound)
	n.log.Info("stopped", "node", n.name, "took", time.Since(start).Round(time.Millisecond))
	return failure
}

// serve is the node's life from its start to the moment it is to stop: by ctx,
// which is no failure, or by itself.
func (n *Node) serve(ctx context.Context) (failure error) {
	if n.gossip != nil {
		select {
		case <-n.gossip.Up():
		case <-ctx.Done():
		case failure = <-n.failed:
		}
	}
	if failure == nil && ctx.Err() == nil {
		n.state.set(ready)
		close(n.up)
		a := n.Addrs()
		n.log.Info("ready", append([]any{"node", n.name}, a.fields()...)...)
		select {
		case <-ctx.Done():
		case failure = <-n.failed:
		}
	}
	if failure != nil {
		n.log.Error("a part of the node failed: stopping", "error", failure)
		n.state.set(draining)
		return failure
	}
	n.drainFor(n.drain().Delay)
	return nil
}

// drainFor tells load balancers to go elsewhere, and serves on while they notice.
func (n *Node) drainFor(delay time.Duration) {
	n.state.set(draining)
	n.log.Info("stopping: not ready any more", "node", n.name, "drain_delay", delay)
	if delay == 0 {
		return
	}
	t := time.NewTimer(delay)
	defer t.Stop()
	select {
	case <-t.C:
	case <-n.failed:
	}
}

// takeDown undoes all steps, last to first, and says which failed.
func (n *Node) takeDown(ctx context.Context) {
	n.mu.Lock()
	steps := n.steps
	n.steps = nil
	n.mu.Unlock()
	for i := len(steps) - 1; i >= 0; i-- {
		start := time.Now()
		err := steps[i].down(ctx)
		took := time.Since(start).Round(time.Millisecond)
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			n.log.Warn("stopping: drain.timeout is over, what was under way was cut", "step", steps[i].name, "took", took)
		case err != nil:
			n.log.Error("stopping", "step", steps[i].name, "took", took, "error", err)
		default:
			n.log.Debug("stopping", "step", steps[i].name, "took", took)
		}
	}
}

// Close frees a node that was never run. After Run it does nothing.
func (n *Node) Close() error {
	n.mu.Lock()
	n.begun = true
	n.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	n.takeDown(ctx)
	return nil
}
