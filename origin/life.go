package origin

import (
	"slices"
	"time"
)

// idleFor is how long a channel outlives its encoder's last word.
const idleFor = time.Hour

// tick does what is due though nothing came. It reports whether the channel is at its end.
func (c *channel) tick(now time.Time, short bool) (over bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.order {
		c.apply(r, r.in.settle(now, &c.store), now)
		r.release(now, short || c.tight(), c.vault != nil, c.retire)
	}
	if short && c.vault != nil {
		c.vault.yield()
	}
	c.bury(now)
	c.listen(now)
	c.examine(now)
	c.sweep(now)
	c.forgetRanges()
	c.settle(now)
	return c.departed(now, short)
}

// sweep lets go of files that nobody listed.
func (c *channel) sweep(now time.Time) {
	for _, u := range c.store.stale(now, c.maxPending(), c.inUse) {
		if u.holders == 1 {
			c.o.metrics.uploads.WithLabelValues(string(resultUnused)).Inc()
		}
		c.drop(u)
	}
	former := c.store.former
	c.store.former = nil
	for _, u := range former {
		c.replaced(u)
	}
}

// replaced gives back the store's hold on an upload whose path means another now. An entry
// that waits may have been listed with it as its init segment: then it stays until that is
// settled.
func (c *channel) replaced(u *upload) {
	for _, r := range c.order {
		if r.in.needs(u) {
			c.store.former = append(c.store.former, u)
			return
		}
	}
	c.drop(u)
}

// inUse reports whether an upload is the init segment of a running encoder, or listed and
// waiting for those before it.
func (c *channel) inUse(u *upload) bool {
	for _, r := range c.order {
		for i := range r.in.queue {
			if e := &r.in.queue[i]; e.path == u.path || e.mapPath == u.path {
				return true
			}
		}
		if r.mapPath == u.path {
			return true
		}
	}
	return false
}

// bury drops renditions whose encoder went while others go on.
func (c *channel) bury(now time.Time) {
	if c.published == nil || len(c.order) < 2 {
		return
	}
	if !slices.ContainsFunc(c.order, func(r *rendition) bool { return now.Sub(r.last) <= c.silence() }) {
		return // all are silent: the encoder is, and it may come back
	}
	for _, r := range c.order {
		since := r.last // all come back one after the other: each has the same time for it
		if since.Before(c.resumed) {
			since = c.resumed
		}
		if !r.gone && !r.ended && !r.last.IsZero() && now.Sub(since) > c.deadAfter() {
			c.log.Warn("rendition is dead: others go on without it", "rendition", r.name, "silent", now.Sub(r.last))
			r.gone, r.newGo = true, true
			r.show()
			c.keep(r, 0, now)
		}
	}
}

// listen says once that the channel stands still: its encoder cannot, and players wait.
func (c *channel) listen(now time.Time) {
	if c.published == nil || c.silent || c.first.IsZero() {
		return
	}
	if slices.ContainsFunc(c.order, func(r *rendition) bool { return r.ended }) {
		return // it stands for a reason
	}
	last := c.latest()
	if now.Sub(later(last, c.resumed)) > c.silence() { // after a restart its encoder has as long to come back
		c.silent = true
		c.log.Warn("channel stands still: its encoder pushes nothing that can be published",
			"for", now.Sub(last).Round(time.Second), "last_push", now.Sub(c.lastPush).Round(time.Second))
	}
}

// latest is when a segment was published last.
func (c *channel) latest() (t time.Time) {
	for _, r := range c.order {
		t = later(t, r.last)
	}
	return t
}

// silence is how long a rendition may publish nothing and count as running.
func (c *channel) silence() time.Duration {
	return 2*time.Duration(c.published.target)*time.Second + c.published.hold
}

// running notes that something is published now.
func (c *channel) running(now time.Time) {
	for _, r := range c.order {
		if now.Sub(r.last) <= c.silence() {
			return
		}
	}
	c.resumed = now
	if c.silent {
		c.silent = false
		c.log.Info("channel goes on")
	}
}

func (c *channel) deadAfter() time.Duration {
	return max(c.published.window, 6*time.Duration(c.published.target)*time.Second)
}

func (c *channel) alive() (n int) {
	for _, r := range c.order {
		if !r.gone && len(r.log) > 0 {
			n++
		}
	}
	return n
}

// over reports whether nothing of the channel is needed any more.
func (c *channel) over(now time.Time, short bool) bool {
	quiet := now.Sub(later(c.lastPush, c.resumed)) // the origin may have been away for longer than idleFor
	if c.store.total > 0 {
		return false
	}
	if c.published == nil || c.first.IsZero() { // nothing was ever published
		return quiet > staleAfter
	}
	ended := len(c.order) > 0
	var longest time.Duration
	for _, r := range c.order {
		ended = ended && (r.ended || r.gone)
		longest = max(longest, r.longest)
	}
	if ended {
		return quiet > max(c.published.retention, 2*longest)
	}
	if short {
		return quiet > idleFor/6
	}
	return quiet > idleFor
}

// drop gives back one hold on an upload's bytes.
func (c *channel) drop(u *upload) {
	if u.holders--; u.holders == 0 {
		c.held.Add(-u.cost)
		u.buf.Close()
		for _, p := range u.pieces {
			c.drop(p)
		}
	}
}

// retire gives back a rendition's hold. Where only the store is left to hold the bytes they
// go altogether, but for the init segment of a running encoder.
func (c *channel) retire(u *upload) {
	c.drop(u)
	if u.holders == 1 && c.store.byPath[u.path] == u && !c.inUse(u) {
		delete(c.store.byPath, u.path)
		c.drop(u)
	}
}

// hold takes one more.
func (c *channel) hold(u *upload) { u.holders++ }

// close gives everything back.
func (c *channel) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, r := range c.order {
		for _, s := range r.log {
			if s.up != nil {
				c.drop(s.up)
			}
		}
		for _, i := range r.inits {
			c.drop(i.up)
		}
		r.log, r.inits, r.leaving, r.from = nil, nil, nil, 0
		r.gone = true
		r.show()
	}
	for _, r := range c.order {
		for i := range r.held {
			c.holdStep(&r.held[i], c.drop)
		}
		r.held = nil
	}
	for _, u := range c.store.byPath {
		c.drop(u)
	}
	for _, u := range c.store.former {
		c.drop(u)
	}
	clear(c.store.byPath)
	c.store.former = nil
	c.forgetTexts()
	c.o.metrics.forget(c.name)
}

// bytes returns the memory the channel's media hold.
func (c *channel) bytes() int64 {
	_, n := c.store.pending()
	for _, r := range c.order {
		n += r.bytes()
	}
	return n
}
