// Package origin takes in what FFmpeg makes and serves it, live and on demand.
//
// It promises that a playlist is a function of the bytes that are stored, never of the
// encoder's text: what is listed can be fetched whole, what was lost is marked EXT-X-GAP,
// names are unique for ever, numbers never go back, and an encoder that restarts, cuts an
// upload or sends nonsense harms nobody's stream but its own. Publishing touches neither
// disk nor network.
//
// An upload ([upload]) and a pushed playlist ([pushed]) meet in an [intake], which decides
// what is published; a [channel] puts that behind the log of a [rendition], whose newest
// [snapshot] is what viewers see.
package origin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weir/internal/spool"
)

// Options configures an [Origin]. A zero field has the default named beside it.
type Options struct {
	// Defaults holds for every channel but those named in Channels, which take nothing
	// from it: a zero field there is said as much as any other.
	Defaults Channel
	Channels map[string]Channel

	// Publishers returns who may push now. It is asked at each request, must not block,
	// and what it returned must not change. nil, or an empty answer: nobody, unless
	// OpenIngest.
	Publishers func() []Publisher
	// OpenIngest lets everybody push while there are no Publishers. The caller
	// guarantees that ingest is reached from this machine only.
	OpenIngest bool

	// NamedOnly keeps publishers from beginning channels that are not in Channels: 404.
	NamedOnly bool

	MaxChannels int                   // channels that may exist at once; more are refused with 503. 0: 1000
	MaxUpload   int64                 // bytes of one pushed file; more is 413. 0: 64 MiB
	Store       *Store                // nil: memory only
	Memory      int64                 // bytes that all uploads, media and pushed playlists held may cost together. 0: 1 GiB
	Slab        *spool.Slab           // memory of uploads; whatever it is used for counts against Memory. nil: an own one
	Log         *slog.Logger          // nil: discard
	Registerer  prometheus.Registerer // nil: metrics are kept but not registered
}

// Channel is how one stream is published.
type Channel struct {
	// TargetDuration is EXT-X-TARGETDURATION, in whole seconds from 1 to 60 (a fraction
	// is rounded up). 0: learned from the first playlist pushed.
	TargetDuration time.Duration
	// Window is how much the playlist lists: never fewer than 6 segments, never less
	// than 3 target durations. 0: 30 s.
	Window time.Duration
	// Retention is how long media stay fetchable after they left the playlist; never
	// less than HLSbis 6.2.2 asks for. 0: 60 s.
	Retention time.Duration
	// DVR is how far back viewers can go beyond the window; it needs a Store. 0: not at all.
	DVR time.Duration
	// DVRMax is how many bytes of the Store the channel may have. 0: what Store.Max allows.
	DVRMax int64
	// HoldFor is how long a segment that is listed but not there may delay those after
	// it before it becomes a gap. 0: 1.5 target durations.
	HoldFor time.Duration
	// EndWithEncoder ends the channel when its encoder says EXT-X-ENDLIST. Otherwise
	// the channel waits for the encoder to come back.
	EndWithEncoder bool
	// Memory is how many bytes the channel's uploads, media and pushed playlists may cost;
	// an upload beyond it is refused with 507. 0: only Options.Memory bounds them.
	Memory int64
	// Renditions are the names, as viewers see them, that the multivariant playlist
	// waits for when a channel begins. None: those that a pushed multivariant playlist
	// names, or whatever comes within a moment.
	Renditions []string
}

// Publisher is who may push, and where to.
type Publisher struct {
	Name     string   // for the log; never secret
	Secret   string   // in the path, as Bearer token, or as the password of Basic with any user
	Channels []string // patterns of channel names, "*" standing for any run of characters; none: all
	Limits   Limits
}

// Limits bounds what one publisher, told by its name, may cost. A zero field is no bound but
// that of [Options] for all of them.
type Limits struct {
	Upload   int64 // bytes of one file; more is 413. Never more than Options.MaxUpload
	Rate     int64 // bytes a second on average; see account
	Channels int   // channels at once that it began; more are refused with 503
	Uploads  int   // at once; more are refused with 429
}

// An Origin takes in pushed streams and serves them.
type Origin struct {
	opts     Options
	metrics  *metrics
	refusals *throttle
	accounts accounts
	texts    atomic.Int64 // bytes of pushed playlists that are kept
	lastName atomic.Int64 // epoch handed out last

	channels atomic.Pointer[map[string]*channel] // replaced under mu, never changed
	depot    *depot                              // nil: memory only
	bodies   *bodies                             // read from the depot
	pasts    pasts
	assets   assets
	keepers  keepers
	lost     map[string]bool                      // channels whose log cannot be opened; never changed after New
	closed   atomic.Pointer[map[string]time.Time] // names of ended channels of which nothing is left; likewise
	mu       sync.Mutex
}

// New returns an Origin. It starts nothing.
func New(opts Options) (*Origin, error) {
	if opts.MaxChannels == 0 {
		opts.MaxChannels = 1000
	}
	if opts.MaxUpload == 0 {
		opts.MaxUpload = 64 << 20
	}
	if opts.Memory == 0 {
		opts.Memory = 1 << 30
	}
	if opts.MaxChannels < 0 || opts.MaxUpload < 0 || opts.Memory < 0 {
		return nil, errors.New("origin.Options: MaxChannels, MaxUpload and Memory must not be negative")
	}
	if opts.Slab == nil {
		opts.Slab = spool.NewSlab(spool.SlabOptions{})
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	opts.Channels = maps.Clone(opts.Channels)
	o := &Origin{opts: opts, refusals: newThrottle(), accounts: accounts{byName: map[string]*account{}}}
	for name, c := range opts.Channels {
		if !validChannel(name) {
			return nil, fmt.Errorf("origin.Options.Channels: %q is no channel name", name)
		}
		if err := c.check(); err != nil {
			return nil, fmt.Errorf("channel %s: %w", name, err)
		}
	}
	if err := opts.Defaults.check(); err != nil {
		return nil, fmt.Errorf("channel defaults: %w", err)
	}
	o.channels.Store(&map[string]*channel{})
	o.closed.Store(&map[string]time.Time{})
	o.metrics = newMetrics(opts.Registerer, o)
	o.bodies = newBodies(opts.Slab, opts.Memory/16, o.metrics)
	o.lost = map[string]bool{}
	o.assets.all, o.assets.making = map[string]*asset{}, map[string]bool{}
	if opts.Store != nil {
		var err error
		if o.depot, err = openDepot(*opts.Store); err != nil {
			return nil, err
		}
		if err := errors.Join(o.recoverAll(), o.recoverAssets()); err != nil {
			return nil, errors.Join(err, o.Close())
		}
	}
	return o, nil
}

func (c Channel) check() error {
	switch {
	case c.TargetDuration < 0 || c.TargetDuration > maxTarget*time.Second:
		return fmt.Errorf("TargetDuration %v is not within 0 and %d s", c.TargetDuration, maxTarget)
	case c.Window < 0 || c.Retention < 0 || c.HoldFor < 0 || c.DVR < 0 || c.DVRMax < 0 || c.Memory < 0:
		return errors.New("Window, Retention, HoldFor, DVR, DVRMax and Memory must not be negative")
	case len(c.Renditions) > maxRenditions:
		return fmt.Errorf("Renditions: %d of them, at most %d can be published", len(c.Renditions), maxRenditions)
	}
	for _, name := range c.Renditions {
		if !validRendition(name) {
			return fmt.Errorf("Renditions: %s is no name of one", quote(name))
		}
	}
	return nil
}

// channelConfig returns how the channel of that name is published.
func (o *Origin) channelConfig(name string) Channel {
	c, ok := o.opts.Channels[name]
	if !ok {
		c = o.opts.Defaults
	}
	c.Window = cmp.Or(c.Window, 30*time.Second)
	c.Retention = cmp.Or(c.Retention, 60*time.Second)
	return c
}

// tickEvery is how exactly time is kept: what is due happens at most this much later.
const tickEvery = 50 * time.Millisecond

// Run keeps time: it turns what never came into gaps and lets go of what nobody may ask for
// any more; and it writes to the Store. It blocks until ctx is done, and then for as long as
// the disk takes for what is under way, a few seconds at most. An Origin without Run serves, but
// forgets nothing and, with a Store, publishes hardly anything: numbers are reserved there.
func (o *Origin) Run(ctx context.Context) error {
	if o.depot != nil {
		o.keepers.begin(o)
		defer o.keepers.end(o)
		scrubbed := make(chan struct{})
		go func() { defer close(scrubbed); o.scrub(ctx) }()
		defer func() {
			select {
			case <-scrubbed:
			case <-time.After(finishAfter): // a disk that hangs
			}
		}()
	}
	t := time.NewTicker(tickEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-t.C:
			o.tick(now)
		}
	}
}

func (o *Origin) tick(now time.Time) {
	short := o.inUse() > o.opts.Memory/10*9
	for _, c := range *o.channels.Load() {
		if now.UnixNano() < c.nextDue.Load() {
			continue
		}
		if c.tick(now, short) {
			o.remove(c)
		}
	}
}

// channel returns the channel of that name, nil if there is none.
func (o *Origin) channel(name string) *channel { return (*o.channels.Load())[name] }

// create returns the channel that t names, a new one if there is none.
func (o *Origin) create(t target) (*channel, error) {
	if c := o.channel(t.channel); c != nil {
		return c, nil
	}
	c, begins, err := o.add(t)
	if begins {
		o.opts.Log.Info("channel begins", "channel", t.channel, "publisher", t.by)
	}
	return c, err
}

// add is create under the lock; begins: the channel is new.
func (o *Origin) add(t target) (c *channel, begins bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := *o.channels.Load()
	if c := all[t.channel]; c != nil {
		return c, false, nil
	}
	if err := o.openTo(t); err != nil {
		return nil, false, err
	}
	if err := o.mayBegin(t, all); err != nil {
		return nil, false, err
	}
	c = o.newChannel(t.channel, t.by, time.Now())
	if o.depot != nil && !o.lost[t.channel] {
		c.vault = c.newVault(nil)
		o.keepers.add(c)
		c.keepChannel()
	}
	o.set(func(m map[string]*channel) { m[t.channel] = c })
	return c, true, nil
}

func (o *Origin) remove(c *channel) {
	o.mu.Lock()
	if o.channel(c.name) == c {
		if c.State() == StateEnded {
			o.keepClosed(c.name, c.stateAt)
		}
		o.set(func(m map[string]*channel) { delete(m, c.name) })
	}
	c.close()
	o.pasts.forget(c.order)
	o.keepers.drop(o, c)
	o.mu.Unlock()
	o.opts.Log.Info("channel is gone", "channel", c.name)
}

func (o *Origin) set(change func(map[string]*channel)) {
	m := maps.Clone(*o.channels.Load())
	change(m)
	o.channels.Store(&m)
	o.metrics.channels.Set(float64(len(m)))
}

// inUse is what uploads, media and pushed playlists cost, in bytes.
func (o *Origin) inUse() int64 { return o.opts.Slab.InUse() + o.texts.Load() }

// memoryFull reports whether no more bytes may be taken in.
func (o *Origin) memoryFull() bool { return o.inUse() > o.opts.Memory }

// epoch names a publishing that starts now. No two have the same, so that no name of a
// segment is ever used twice.
func (o *Origin) epoch(now time.Time) string {
	for {
		last := o.lastName.Load()
		next := max(now.UnixMilli(), last+1)
		if o.lastName.CompareAndSwap(last, next) {
			name := strconv.FormatInt(next, 36)
			if o.depot != nil { // the clock alone would do, were it never set back
				name += strconv.FormatInt(36*36+rand.Int64N(35*36*36), 36)
			}
			return name
		}
	}
}

// secondsSince2025 is where the numbers of a publishing begin that starts now. As long as
// segments and timelines last a second on average, an origin that lost its memory goes on
// above all numbers it gave before.
func secondsSince2025(now time.Time) uint64 {
	return uint64(max(1, now.Sub(time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC))/time.Second))
}

// Close lets go of all media. Nothing may be pushed or served afterwards.
func (o *Origin) Close() error {
	for _, c := range *o.channels.Load() {
		c.close()
	}
	o.channels.Store(&map[string]*channel{})
	o.bodies.close()
	o.assets.mu.Lock()
	all := slices.Collect(maps.Values(o.assets.all))
	o.assets.mu.Unlock()
	for _, a := range all {
		a.unload()
	}
	if o.depot != nil {
		return o.depot.close()
	}
	return nil
}
