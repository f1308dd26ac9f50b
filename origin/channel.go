package origin

import (
	"log/slog"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// A channel is one publishing: what one encoder pushes, and what viewers see of it. Viewers
// take no lock; an encoder waits only for its own channel.
type channel struct {
	name   string
	o      *Origin
	config Channel
	log    *slog.Logger
	since  time.Time
	by     string       // the publisher that began it
	held   atomic.Int64 // bytes of memory that its uploads, media and playlists cost
	epoch  string
	multi  atomic.Pointer[multiSnapshot]

	pastMulti atomic.Pointer[multiSnapshot]         // the newest, for DVR and assets: it outlives multi
	byName    atomic.Pointer[map[string]*rendition] // replaced, never changed
	nextDue   atomic.Int64                          // unix nanoseconds at which tick has something to do

	vault *vault // nil: memory only
	// What the operator made of it. Both are changed under mu.
	state     atomic.Uint32 // a [State]
	withdrawn atomic.Bool   // its playlists were taken away

	mu         sync.Mutex // guards what follows
	store      store
	byPath     map[string]*rendition
	order      []*rendition
	texts      texts // what was pushed, for encoders that read it back
	wants      wants
	published  *rule
	lines      timelines
	cues       cueClock
	warnings   []Warning // what its encoder had better do otherwise
	examinedAt time.Time
	expected   *expectation
	first      time.Time // when something was published first
	multiAt    time.Time // when the multivariant playlist is published at the latest
	resumed    time.Time // when publishing began again after all were silent
	lastPush   time.Time
	silent     bool // nothing has been published for long, and the log says so
	closed     bool
	restored   bool              // from disk
	holed      bool              // and part of what was durable is missing
	floors     map[string]uint64 // numbers below were used by renditions of which all else is lost
	sealed     bool              // nothing is published any more: the process ends
	gone       uint64            // files of the log up to this one are forgotten
	going      uint64            // and up to this one are being removed
	ranges     dateRanges
	stateAt    time.Time // since when state is what it is; zero: from the beginning
}

func (o *Origin) newChannel(name, by string, now time.Time) *channel {
	c := &channel{
		name: name, o: o, config: o.channelConfig(name), log: o.opts.Log.With("channel", name),
		since: now, by: by, epoch: o.epoch(now), store: newStore(),
		byPath: map[string]*rendition{}, texts: newTexts(), wants: wants{}, lastPush: now,
	}
	c.lines.first = secondsSince2025(now)
	o.metrics.stateIs(name, StateLive)
	c.byName.Store(&map[string]*rendition{})
	return c
}

// open begins an upload and returns its generation; false where there are too many.
func (c *channel) open(path string) (gen uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.store.begin(path)
}

// abandon ends an upload that did not become complete.
func (c *channel) abandon(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.store.end(path)
}

// result is how an upload ended; it is a metric label.
type result string

const (
	resultStored   result = "stored"
	resultPlaylist result = "playlist"
	resultRepeated result = "repeated" // the same bytes again
	resultStale    result = "stale"    // overtaken by a later one
	resultIgnored  result = "ignored"  // nothing we publish
	resultUnused   result = "unused"   // stored, and never listed
	resultCut      result = "cut"
	resultRefused  result = "refused"
)

// stored takes in an upload that is complete, with its one reference on the bytes.
func (c *channel) stored(u *upload) result {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.store.end(u.path)
	u.holders = 1
	if c.closed || c.State() != StateLive {
		c.drop(u)
		return resultStale
	}
	old, ok := c.store.put(u)
	if !ok {
		c.drop(u)
		return resultStale
	}
	c.lastPush = now
	if c.cues.learn(u) {
		c.keepChannel()
	}
	res := resultStored
	if old != nil {
		if old.sum == u.sum {
			res = resultRepeated
		}
		c.replaced(old)
	}
	for _, r := range c.order {
		c.apply(r, r.in.arrived(now, &c.store), now)
	}
	if len(c.store.byPath) > maxFiles {
		c.sweep(now)
	}
	c.settle(now)
	return res
}

// told takes in a pushed playlist that was understood as x.
func (c *channel) told(path string, text []byte, x understood, now time.Time) error {
	if x.master != nil {
		c.toldMaster(path, text, x.master, now)
		return nil
	}
	return c.toldMedia(path, text, x.media, now)
}

func (c *channel) toldMaster(path string, text []byte, x *expectation, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.State() != StateLive {
		return
	}
	if len(x.paths) > 0 {
		c.expected = x
		c.keepChannel()
	}
	c.remember(path, text)
	c.lastPush = now
	c.settle(now)
}

func (c *channel) toldMedia(path string, text []byte, p *pushed, now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.State() != StateLive {
		return nil
	}
	if c.published == nil {
		c.learn(p)
	}
	r := c.byPath[path]
	if r == nil {
		if len(c.order) >= maxRenditions {
			return refuse(http.StatusServiceUnavailable, reasonChannels, "channel %s: %s: more than %d renditions", c.name, path, maxRenditions)
		}
		r = c.addRendition(path)
	}
	c.lastPush, r.lastPush = now, now
	c.wants.note(path, p, &c.store, now)
	steps, stale := r.in.offer(p, &c.store)
	if !stale {
		c.remember(path, text)
	}
	c.apply(r, steps, now)
	c.toldRanges(r, p, now)
	c.settle(now)
	return nil
}

// learn fixes how this publishing is done, for good.
func (c *channel) learn(p *pushed) {
	d := c.config
	target := int((d.TargetDuration + time.Second - 1) / time.Second)
	if target == 0 {
		target = p.target
	}
	c.fix(target, secondsSince2025(c.since))
	c.keepChannel()
	c.log.Info("channel publishes", "target_duration", time.Duration(target)*time.Second, "learned", d.TargetDuration == 0, "epoch", c.epoch)
}

// fix makes the rule of a publishing whose target duration, in seconds, and first number are known.
func (c *channel) fix(target int, first uint64) {
	d := c.config
	hold := d.HoldFor
	if hold == 0 {
		hold = time.Duration(target) * time.Second * 3 / 2
	}
	c.published = &rule{
		epoch: c.epoch, target: target, hold: hold, end: d.EndWithEncoder, first: first,
		window: d.Window, retention: d.Retention, dvr: d.DVR,
	}
}

func (c *channel) addRendition(path string) *rendition {
	names := maps.Clone(*c.byName.Load())
	name := renditionName(path)
	if names[name] != nil { // x.m3u8 beside x/index.m3u8
		name = marked(name, path)
	}
	r := newRendition(name, path, c.published, c.o.metrics)
	r.order = len(c.order)
	r.grant = grant{until: r.next, at: c.since, pace: firstPace}
	if c.restored { // the process before may have had one of that name, and not come to write it down
		r.next = max(r.grant.ceiling(time.Now()), c.floors[name])
		if c.holed { // or it was lost
			r.leap(time.Now())
		}
		r.show()
	}
	r.ranges = c.ranges.list
	c.byPath[path] = r
	c.order = append(c.order, r)
	names[name] = r
	c.byName.Store(&names)
	c.keep(r, 0, time.Now())
	return r
}

// settle brings up to date what depends on all renditions, and when tick is needed next.
func (c *channel) settle(now time.Time) {
	c.refreshMulti(now)
	c.o.metrics.renditions.WithLabelValues(c.name).Set(float64(c.alive()))
	if c.stopped() { // it stands for a reason: nobody is to be woken
		c.o.metrics.lastPublish.DeleteLabelValues(c.name)
	}
	var due time.Time
	sooner := func(t time.Time) {
		if !t.IsZero() && (due.IsZero() || t.Before(due)) {
			due = t
		}
	}
	for _, r := range c.order {
		sooner(r.in.due())
		if len(r.held) > 0 {
			sooner(now.Add(tickEvery))
		}
	}
	if c.multi.Load() == nil {
		sooner(c.multiAt)
	}
	sooner(now.Add(time.Second)) // retention, dead renditions
	c.nextDue.Store(due.UnixNano())
}
