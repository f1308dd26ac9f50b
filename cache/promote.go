package cache

import (
	"context"
	"time"

	"weir/cache/shelf"
	"weir/internal/web"
)

// wholeFirst is the largest body that is read from the disk to its end before
// anybody is told of it: should one of its bytes be wrong, upstream is asked
// and nobody knows. The readers of a larger one follow, and are cut off.
const wholeFirst = 4 << 20

// promote brings the answer into memory if it lies on the disk: to all who wait
// if it is fresh. If it is not they ask again, and find it in memory, stale, to
// be renewed or served as its answer allows. False: upstream is to be asked.
func (f *flight) promote() (done bool, err error) {
	c := f.c
	if c.shelf == nil || f.solo || f.stale != nil || !c.shelf.Has(f.q.Key) {
		return false, nil
	}
	asks := f.q.Header // a read that is given up for slow may outlast this leader
	found, err := c.shelf.Get(f.ctx, f.q.Key, func(p []byte) bool {
		m, ok := parseMeta(p)
		return ok && m.answers(asks)
	})
	if err != nil {
		return f.ctx.Err() != nil, context.Cause(f.ctx) // the shelf has counted it
	}
	defer found.Close()
	f.progressed()
	m, ok := parseMeta(found.Meta)
	if !ok || m.born.After(time.Now().Add(time.Second)) || found.Len > c.opts.MaxObject {
		found.Forget() // from the future: its age is not known
		return false, nil
	}
	// From now on its age is measured, not read off a clock that may be set.
	now := time.Now()
	m.born = now.Add(m.born.Sub(now))
	f.group = m.group
	in, err := f.newIntake(found.Len)
	if err != nil {
		return false, nil // upstream's answer will pass through
	}
	in.blob.at = found.At
	giveUp := func(err error) (bool, error) {
		in.abort(err)
		in.blob.Close()
		return f.ctx.Err() != nil, context.Cause(f.ctx)
	}
	body := fromShelf{found}
	whole := found.Len <= wholeFirst
	if whole {
		if err := in.take(f.ctx, body); err != nil {
			return giveUp(err)
		}
	}
	f.s.mu.Lock()
	late := !f.outdated && !found.Current() // something newer has come, and may be gone again
	f.s.mu.Unlock()
	if late {
		return giveUp(errSettled)
	}
	f.found = found
	k := keptOf(f.q.Key, c.flightHash(flightKey{f.fk.key, f.fk.variant, false}), max(len(f.fk.variant), len(m.variant)), c.headOf(m), in.blob)
	k.group = f.group
	now = time.Now()
	if !k.stored.worthKeeping(now) {
		found.Forget()
		return giveUp(errSettled)
	}
	if !c.reserveFor(f.group, int64(k.overhead)) {
		return giveUp(ErrNoRoom)
	}
	o := landing{object: &k.stored, how: Hit, joined: Joined, keep: k, vary: m.vary, shared: true,
		fate: unvalidated(f.whoMayShare(answer{vary: m.vary}))}
	if !k.stored.fresh(now) || f.q.Validate {
		f.s.mu.Lock()
		f.leader = nil // it too asks again
		f.s.mu.Unlock()
		o = landing{keep: k, vary: m.vary, fate: func(*waiter) fate { return asksAgain }}
	}
	f.taking.Store(in)
	if !f.settle(o) {
		f.drop(k)
		return true, errSettled
	}
	if whole {
		return true, nil
	}
	if err := in.take(f.ctx, body); err != nil {
		return true, f.cutOff(err)
	}
	f.landed(in.blob)
	return true, nil
}

// unvalidated sends those who want upstream's word to ask again, and leaves the
// others their fate.
func unvalidated(what func(*waiter) fate) func(*waiter) fate {
	return func(w *waiter) fate {
		switch {
		case w.q.Validate:
			return asksAgain
		case what == nil:
			return gets
		}
		return what(w)
	}
}

// fromShelf is a body on its way from the disk. It is a [web.Drainer].
type fromShelf struct{ *shelf.Found }

// Len implements [web.Body].
func (b fromShelf) Len() int64 { return b.Found.Len }

// View implements [web.Body]; such a body is only drained.
func (b fromShelf) View(int64) ([]byte, web.State) { return nil, web.Aborted }

// File implements [web.Body].
func (b fromShelf) File(int64) (fd uintptr, pos, n int64, ok bool) { return 0, 0, 0, false }

// Watch implements [web.Body].
func (b fromShelf) Watch(_ int64, wake func()) (stop func()) {
	wake()
	return func() {}
}

var _ web.Drainer = fromShelf{}
