package origin

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"weir/internal/seglog"
	"weir/internal/spool"
)

// A deposit is a published segment on its way to the disk.
type deposit struct {
	r         *rendition
	seg       *segment
	entry     seglog.Entry
	buf       *spool.Buffer // nil: a gap, or given up
	announced bool
}

func (d *deposit) size() int64 {
	if d.buf == nil {
		return 0
	}
	return d.buf.Size()
}

func (d *deposit) release() {
	if d.buf != nil {
		d.buf.Close()
		d.buf = nil
	}
}

// stateOf is the newest state of something, for the log.
type stateOf struct {
	key   string
	value []byte
	grant grant      // that it reserves
	r     *rendition // whose grant it is; nil: no one's
}

const (
	batchBytes  = 32 << 20
	batchEntry  = 256
	maxDeposits = 4096 // deposits that wait, of one channel; the oldest are forgotten
	retryEvery  = 2 * time.Second
	slowAfter   = 10 * time.Second // how old the oldest deposit may be before the disk counts as slow
	finishAfter = 3 * time.Second  // how long the end may wait for the disk
)

// A vault puts what a channel publishes on disk, behind its back: nobody who publishes waits
// for it, and where the disk is slow, full or broken only depth is lost.
type vault struct {
	channel string
	log     *slog.Logger
	open    func() (*seglog.Log, error)
	disk    atomic.Pointer[seglog.Log]    // written by run alone; nil: not yet open
	next    func() ([]deposit, []stateOf) // calls take, under the lock of who puts
	done    func(kept []deposit, grants []stateOf)
	m       *metrics
	limit   int64         // bytes that may wait
	all     *atomic.Int64 // bytes that wait in all vaults, which may together be no more
	wake    chan struct{}
	ended   chan struct{} // closed when run is over
	clean   bool          // it ended with all on disk; read after ended

	mu      sync.Mutex   // guards what follows
	gone    func() error // the channel is: what is left to do when the log is closed
	chores  []func(*seglog.Log)
	queue   []deposit
	waiting int64 // bytes of queue
	since   time.Time
	state   map[string]stateOf // that is newer than the log's
	unsure  []stateOf          // that a disk which failed may have or not
	health  storeHealth
}

func newVault(limit int64, all *atomic.Int64, log *slog.Logger, m *metrics) *vault {
	return &vault{log: log, limit: limit, all: all, m: m, wake: make(chan struct{}, 1), ended: make(chan struct{}), state: map[string]stateOf{}}
}

// do has f called with the log, soon, by whoever writes to it.
func (v *vault) do(f func(*seglog.Log)) {
	v.mu.Lock()
	v.chores = append(v.chores, f)
	v.mu.Unlock()
	v.stir()
}

// discard ends the vault; then is called when its log is closed.
func (v *vault) discard(then func() error) {
	v.empty()
	v.mu.Lock()
	v.gone = then
	v.mu.Unlock()
	v.stir()
}

// empty gives up what waits.
func (v *vault) empty() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := range v.queue {
		v.giveUp(&v.queue[i])
	}
	v.queue = nil
}

// count notes n bytes more that wait, or less.
func (v *vault) count(n int64) {
	v.waiting += n
	v.all.Add(n)
	v.m.storeQueue.Add(float64(n))
}

// giveUp lets go of the body of a deposit that waits, and reports whether it had one.
func (v *vault) giveUp(d *deposit) bool {
	if d.buf == nil {
		return false
	}
	v.count(-d.size())
	d.release()
	return true
}

// yield gives up what waits if the disk is behind by much: memory is short, and what it is
// for is live.
func (v *vault) yield() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.since.IsZero() || time.Since(v.since) < slowAfter {
		return
	}
	for i := range v.queue {
		if v.giveUp(&v.queue[i]) {
			v.m.storeLost.Inc()
		}
	}
}

func (v *vault) stir() {
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// put hands over what was published. It never waits.
func (v *vault) put(ds []deposit, state []stateOf) {
	v.mu.Lock()
	if v.since.IsZero() && len(ds) > 0 {
		v.since = time.Now()
	}
	for _, d := range ds {
		v.queue = append(v.queue, d)
		v.count(d.size())
	}
	for _, s := range state {
		v.state[s.key] = s
	}
	lost := v.overflow()
	v.mu.Unlock()
	if lost > 0 {
		v.m.storeLost.Add(float64(lost))
	}
	v.stir()
}

// unsynced returns the bodies that may not be there after a Sync that failed: they are to be
// written again.
func unsynced(err error) map[seglog.Key]bool {
	again := map[seglog.Key]bool{}
	var note func(error)
	note = func(err error) {
		switch e := err.(type) { // several are joined
		case *seglog.SyncError:
			for _, k := range e.Bodies {
				again[k] = true
			}
		case interface{ Unwrap() []error }:
			for _, one := range e.Unwrap() {
				note(one)
			}
		case interface{ Unwrap() error }:
			note(e.Unwrap())
		}
	}
	note(err)
	return again
}

// overflow gives up the bodies that wait longest while more bytes wait than may, here or in
// all vaults, and the longest waiting deposits altogether where they are too many: a disk may
// fail for days.
func (v *vault) overflow() (lost int) {
	for ; len(v.queue) > maxDeposits; v.queue = v.queue[1:] {
		if v.giveUp(&v.queue[0]) {
			lost++
		}
		v.queue[0] = deposit{}
	}
	for i := 0; (v.waiting > v.limit || v.all.Load() > v.limit) && i < len(v.queue); i++ {
		if v.giveUp(&v.queue[i]) {
			lost++
		}
	}
	return lost
}

// take returns what to write next.
func (v *vault) take() (ds []deposit, state []stateOf) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var bytes int64
	n := 0
	for n < len(v.queue) && n < batchEntry && (n == 0 || bytes+v.queue[n].size() <= batchBytes) {
		bytes += v.queue[n].size()
		n++
	}
	ds = append(ds, v.queue[:n]...)
	clear(v.queue[:n])
	v.queue = v.queue[n:]
	// Of two reservations a successor could find the older: nothing newer is written before
	// it is known what became of the last.
	if state, v.unsure = v.unsure, nil; len(state) > 0 {
		return ds, state
	}
	for _, s := range v.state {
		state = append(state, s)
	}
	clear(v.state)
	return ds, state
}

// settle notes how writing a batch ended: rest is what has to be tried again.
func (v *vault) settle(written int64, rest []deposit, state []stateOf, err error) {
	v.mu.Lock()
	v.count(-written)
	if len(rest) > 0 {
		v.queue = append(rest[:len(rest):len(rest)], v.queue...)
	}
	if len(state) > 0 {
		v.unsure = state
	}
	if len(v.queue) == 0 {
		v.since = time.Time{}
	} else if err == nil {
		v.since = time.Now()
	}
	was := v.health
	v.health.note(err)
	now := v.health
	v.mu.Unlock()
	now.tell(was, v.log)
}

// run writes until ctx is done, and then what is left, within a bound.
func (v *vault) run(ctx context.Context) {
	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		last := false
		select {
		case <-ctx.Done():
			last = true
		case <-v.wake:
		case <-retry.C:
		}
		v.mu.Lock()
		gone := v.gone
		v.mu.Unlock()
		if gone != nil {
			v.takeAway(gone)
			return
		}
		ok := v.write()
		if last {
			v.finish(ok)
			return
		}
		if !ok {
			retry.Reset(retryEvery)
		}
	}
}

// finish closes the log; ok: all that was published is on it.
func (v *vault) finish(ok bool) {
	defer v.empty()
	l := v.disk.Load()
	if l == nil {
		v.clean = ok
		return
	}
	if err := l.Close(); err != nil {
		v.log.Warn("the log on disk could not be closed", "error", err)
		ok = false
	}
	v.clean = ok
	v.dispatch(l)
}

// takeAway closes the log of a channel that is gone, and then does what is left to do.
func (v *vault) takeAway(then func() error) {
	defer v.empty()
	v.clean = true
	if l := v.disk.Load(); l != nil {
		_ = l.Close() // it is deleted
		v.dispatch(l)
	}
	if err := then(); err != nil {
		v.log.Warn("files of a channel that is gone could not be taken away", "error", err)
	}
}

// write puts all that waits on disk. false: the disk did not take it.
func (v *vault) write() bool {
	l := v.disk.Load()
	if l == nil {
		var err error
		if l, err = v.open(); err != nil {
			v.settle(0, nil, nil, err)
			return false
		}
		v.disk.Store(l)
	}
	for {
		v.dispatch(l)
		ds, state := v.next()
		if len(ds) == 0 && len(state) == 0 {
			return true
		}
		written, err := v.store(l, ds, state)
		if err != nil {
			v.settle(0, ds, state, err)
			return false
		}
		for i := range ds {
			ds[i].release()
		}
		v.done(ds, state)
		v.settle(written, nil, nil, nil)
	}
}

// dispatch does the chores there are. Those that are left when the log is closed are told so by it.
func (v *vault) dispatch(l *seglog.Log) {
	v.mu.Lock()
	chores := v.chores
	v.chores = nil
	v.mu.Unlock()
	for _, f := range chores {
		f(l)
	}
}

// store writes one batch and makes it durable. Without an error all of it is.
func (v *vault) store(l *seglog.Log, ds []deposit, state []stateOf) (written int64, err error) {
	says := make(map[string][]byte, len(state))
	for _, s := range state {
		says[s.key] = s.value
	}
	var entries []seglog.Entry
	blobs := map[string][]byte{}
	for i := range ds {
		if d := &ds[i]; !d.announced {
			entries = append(entries, d.entry)
			if init := d.seg.init; init != nil && d.entry.Blob != "" {
				blobs[d.entry.Blob] = init.raw
			}
		}
	}
	if err := l.Announce(says, entries, blobs); err != nil {
		return 0, err
	}
	for i := range ds {
		d := &ds[i]
		d.announced = true
		if d.buf == nil || !d.entry.Body.IsZero() {
			continue
		}
		ref, err := l.Body(d.entry.Stream, d.entry.Number, d.buf.Size(), func(yield func([]byte) bool) { views(d.buf, yield) })
		if errors.Is(err, seglog.ErrNotAnnounced) { // after too many failures: its depth is lost
			v.m.storeLost.Inc()
			continue
		}
		if err != nil {
			return 0, err
		}
		d.entry.Body = ref
	}
	if err := l.Sync(); err != nil {
		again := unsynced(err)
		for i := range ds {
			if again[ds[i].entry.Key()] {
				ds[i].entry.Body = seglog.Ref{}
			}
		}
		return 0, err
	}
	for i := range ds {
		written += ds[i].size()
	}
	return written, nil
}
