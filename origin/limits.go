package origin

import (
	"net/http"
	"sync"
	"time"
)

// What a publisher may cost is bounded in three ways besides the size of a file. Too many
// uploads at once, or channels, are refused. The rate is held otherwise: FFmpeg does not hear
// a 4xx, so that a refusal costs viewers a segment and tells the encoder nothing, whereas a
// body that is read slowly makes TCP slow the encoder down. So bodies of a publisher above its
// rate are paced. Segments come in bursts, at line speed and whole: up to rateBurst of the
// rate passes unpaced. Only who was held back without a pause for rateGrace is refused, with
// 429: an encoder that does not slow down would pile up uploads that come later and later.
const (
	rateBurst = 10 * time.Second
	rateGrace = 30 * time.Second
)

// An account is what a publisher uses now.
type account struct {
	under int       // uploads
	level float64   // bytes that may come at once; below 0: that are still to be waited for
	at    time.Time // when level was right
	dry   time.Time // since when it is held back without a pause; zero: it is not
}

// accounts are those of all publishers, by name.
type accounts struct {
	mu     sync.Mutex // guards all of them
	byName map[string]*account
}

// of returns a publisher's account as it is now. Callers hold a.mu.
func (a *accounts) of(t target, now time.Time) *account {
	x := a.byName[t.by]
	if x == nil {
		if len(a.byName) >= 1000 { // of keys that are long gone
			for name, old := range a.byName {
				if old.under == 0 && now.Sub(old.at) > time.Minute {
					delete(a.byName, name)
				}
			}
		}
		x = &account{at: now, level: float64(t.limits.Rate) * rateBurst.Seconds()}
		a.byName[t.by] = x
	}
	x.fill(t.limits.Rate, now)
	return x
}

// fill adds what time has brought.
func (x *account) fill(rate int64, now time.Time) {
	r := float64(rate)
	x.level = min(x.level+r*now.Sub(x.at).Seconds(), r*rateBurst.Seconds())
	x.at = now
	if rate <= 0 || x.level >= r {
		x.dry = time.Time{} // there is a second's worth again
	}
}

// may reports, as an error, whether an upload would be refused now.
func (a *accounts) may(t target, now time.Time) error {
	if t.limits == (Limits{}) {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.of(t, now).may(t, now)
}

func (x *account) may(t target, now time.Time) error {
	if most := t.limits.Uploads; most > 0 && x.under >= most {
		e := refuse(http.StatusTooManyRequests, reasonUploads, "channel %s: %s: publisher %s has %d uploads under way already (uploads in ingest.keys_file)",
			t.channel, t.path, t.by, most)
		e.RetryAfter = time.Second
		return e
	}
	if !x.dry.IsZero() && now.Sub(x.dry) >= rateGrace {
		e := refuse(http.StatusTooManyRequests, reasonRate, "channel %s: %s: publisher %s has been above %d kbit/s for %v (rate in ingest.keys_file)",
			t.channel, t.path, t.by, t.limits.Rate*8/1000, rateGrace)
		rate := float64(t.limits.Rate)
		e.RetryAfter = time.Duration((rate - x.level) / rate * float64(time.Second))
		return e
	}
	return nil
}

// enter begins an upload; leave ends it.
func (a *accounts) enter(t target) (leave func(), err error) {
	if t.limits == (Limits{}) {
		return func() {}, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	x := a.of(t, now)
	if err := x.may(t, now); err != nil {
		return nil, err
	}
	x.under++
	return func() {
		a.mu.Lock()
		x.under--
		a.mu.Unlock()
	}, nil
}

// pacer returns a function that takes bytes that came off the account and says how long
// nothing more may be read; nil: the publisher has no rate.
func (a *accounts) pacer(t target) func(n int) time.Duration {
	rate := t.limits.Rate
	if rate <= 0 {
		return nil
	}
	return func(n int) time.Duration {
		a.mu.Lock()
		defer a.mu.Unlock()
		now := time.Now()
		x := a.of(t, now)
		if x.level -= float64(n); x.level >= 0 {
			return 0
		}
		if x.dry.IsZero() {
			x.dry = now
		}
		return time.Duration(-x.level / float64(rate) * float64(time.Second))
	}
}

// mayBegin refuses a channel that is not there, where all are those that are.
func (o *Origin) mayBegin(t target, all map[string]*channel) error {
	if _, named := o.opts.Channels[t.channel]; o.opts.NamedOnly && !named {
		return refuse(http.StatusNotFound, reasonUnknown, "channel %s: there is no such channel, and publishers may not begin one (name it under channels, or set ingest.create)", t.channel)
	}
	if len(all) >= o.opts.MaxChannels {
		e := refuse(http.StatusServiceUnavailable, reasonChannels, "channel %s: there are %d channels already (ingest.max_channels)", t.channel, len(all))
		e.RetryAfter = 10 * time.Second
		return e
	}
	most := t.limits.Channels
	if most <= 0 {
		return nil
	}
	n := 0
	for _, c := range all {
		if c.by == t.by {
			n++
		}
	}
	if n >= most {
		e := refuse(http.StatusServiceUnavailable, reasonOwn, "channel %s: publisher %s has %d channels already (channels in ingest.keys_file)", t.channel, t.by, n)
		e.RetryAfter = 10 * time.Second
		return e
	}
	return nil
}
