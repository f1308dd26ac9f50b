package origin

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"weir/internal/seglog"
)

// keepers are the goroutines that write to the Store, one for each channel, and the one that
// looks at retention, while an Origin runs.
type keepers struct {
	waiting  atomic.Int64  // bytes that wait for the disk
	retained chan struct{} // closed when retention has ended; for the goroutine of Run

	mu     sync.Mutex // guards what follows
	ctx    context.Context
	stop   context.CancelFunc
	all    map[*vault]struct{}
	byName map[string]*vault // the newest of each channel: the next waits for its end
	clean  bool              // all that ended so far did so in order
}

// newVault returns the vault of a channel; l is its log, nil: a new one is made.
func (c *channel) newVault(l *seglog.Log) *vault {
	v := newVault(c.o.opts.Memory/4, &c.o.keepers.waiting, c.log, c.o.metrics)
	v.next = func() ([]deposit, []stateOf) { return c.lend(v) }
	v.done = c.kept
	v.channel = c.name
	v.open = func() (*seglog.Log, error) { return c.o.depot.fresh(c.name, c.config) }
	if l != nil {
		v.disk.Store(l)
	}
	return v
}

// begin starts writing.
func (k *keepers) begin(o *Origin) {
	o.mu.Lock()
	defer o.mu.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ctx, k.stop = context.WithCancel(context.Background())
	k.all, k.byName, k.clean = map[*vault]struct{}{}, map[string]*vault{}, true
	for _, c := range *o.channels.Load() {
		if c.vault != nil {
			k.start(c.vault)
		}
	}
	k.retained = make(chan struct{})
	ctx, done := k.ctx, k.retained
	go func() {
		defer close(done)
		o.retaining(ctx)
	}()
}

// add starts writing for a channel that begins.
func (k *keepers) add(c *channel) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ctx != nil {
		k.start(c.vault)
	}
}

func (k *keepers) start(v *vault) {
	before := k.byName[v.channel]
	k.byName[v.channel] = v
	k.all[v] = struct{}{}
	ctx := k.ctx
	go func() {
		if before != nil {
			<-before.ended // it still takes its files away
		}
		v.run(ctx)
		k.mu.Lock()
		delete(k.all, v)
		if k.byName[v.channel] == v {
			delete(k.byName, v.channel)
		}
		k.clean = k.clean && v.clean
		k.mu.Unlock()
		close(v.ended)
	}()
}

// end lets every channel say its last to its log, and waits for the disk, within a bound. Only
// where all of them could is the end an orderly one.
func (k *keepers) end(o *Origin) {
	now := time.Now()
	for _, c := range *o.channels.Load() {
		c.seal(now)
	}
	k.mu.Lock()
	k.stop()
	left := []<-chan struct{}{k.retained}
	for v := range k.all {
		left = append(left, v.ended)
	}
	k.mu.Unlock()
	bound := time.NewTimer(finishAfter)
	defer bound.Stop()
	for _, ended := range left {
		select {
		case <-ended:
		case <-bound.C:
			o.opts.Log.Error("the disk did not take what was published before the end: the next start finds gaps", "store.dir", o.depot.dir, "waited", finishAfter)
			return
		}
	}
	k.mu.Lock()
	clean := k.clean
	k.ctx = nil
	k.mu.Unlock()
	if !clean {
		return
	}
	if err := o.depot.end(); err != nil {
		o.opts.Log.Warn("an orderly end could not be marked: the next start takes it for a crash", "error", err)
	}
}

// drop ends the writing of a channel that is gone, and takes its files away.
func (k *keepers) drop(o *Origin, c *channel) {
	v := c.vault
	if v == nil {
		return
	}
	v.discard(func() error { return o.depot.clear(c.name) })
}
