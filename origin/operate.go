package origin

import (
	"errors"
	"maps"
	"net/http"
	"time"
)

// Why an operator's wish about a channel cannot be met.
var (
	ErrNoChannel = errors.New("there is no such channel")
	ErrEnded     = errors.New("its operator ended it")
	ErrRemoved   = errors.New("its operator removed it")
)

// State is what an operator made of a channel.
type State uint8

// The states. From each but StateRemoved a channel can go to every other.
const (
	StateLive    State = iota // published as its encoder pushes it
	StateEnded                // EXT-X-ENDLIST; uploads are refused until it is resumed
	StateRemoved              // its playlists are 410, its media go; uploads are refused until they are gone
)

func (s State) String() string { return [...]string{"live", "ended", "removed"}[s] }

// MarshalText implements [encoding.TextMarshaler].
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// The reasons for which nothing may be pushed to a channel that an operator closed.
const (
	reasonEnded     = "channel_ended"
	reasonRemoved   = "channel_removed"
	reasonNoChannel = "no_such_channel"
)

// endedLife is for how long caches may show a playlist that ended: it could come back as
// another stream.
const endedLife = time.Minute

// End ends a channel for its viewers: what is wholly there of the segments that its encoder
// told of is published, every playlist says EXT-X-ENDLIST ("the Server MUST ... add an
// EXT-X-ENDLIST tag", HLSbis 6.2.1) and never changes again, and uploads are refused with
// 409 until [Origin.Resume]. To end what has ended is no error; a name that no channel has
// is [ErrNoChannel].
//
// The playlists can be fetched for another hour, 10 minutes where memory is short. After
// that they are 410, media follow by their Availability Duration, and the name alone stays
// closed to encoders.
func (o *Origin) End(name string) error { return o.operate(name, (*channel).end, "channel ended") }

// Resume opens a channel that was ended to its encoders again. What they push is another
// stream: a new window behind a discontinuity, with numbers and dates that go on. To resume
// what is live is no error; what was removed is [ErrRemoved].
func (o *Origin) Resume(name string) error {
	if o.reopen(name) {
		return nil
	}
	return o.operate(name, (*channel).resume, "channel resumed")
}

// Remove takes a channel from its viewers: its playlists are 410 at once, and media that were
// listed stay for their Availability Duration or the retention, whichever is longer
// ("segments remain available for at least the playlist duration", HLSbis 6.2.2). Until then
// uploads are refused with 410; then the channel is gone, and its name free. To remove what
// was removed is no error.
func (o *Origin) Remove(name string) error {
	if o.reopen(name) {
		return nil
	}
	return o.operate(name, (*channel).withdrawForGood, "channel removed")
}

// Stream returns what is published on one channel; [ErrNoChannel] where there is none.
func (o *Origin) Stream(name string) (StreamInfo, error) {
	if c := o.channel(name); c != nil {
		return c.info(), nil
	}
	if at, ok := (*o.closed.Load())[name]; ok {
		return closedInfo(name, at), nil
	}
	return StreamInfo{}, noChannel(name)
}

// operate does f to the channel of that name, and logs what was done if it changed anything.
func (o *Origin) operate(name string, f func(*channel, time.Time) (bool, error), done string) error {
	c := o.channel(name)
	if c == nil {
		if _, ok := (*o.closed.Load())[name]; ok {
			return nil // ended, and that is all that is left of it
		}
		return noChannel(name)
	}
	c.mu.Lock()
	changed, err := f(c, time.Now())
	c.mu.Unlock()
	if changed {
		c.log.Info(done, "by", "operator")
	}
	return err
}

func noChannel(name string) error {
	return refuse(http.StatusNotFound, reasonNoChannel, "channel %s: %w: one appears when its encoder first pushes", quote(name), ErrNoChannel)
}

// State returns what the operator made of the channel. It takes no lock.
func (c *channel) State() State { return State(c.state.Load()) }

func (c *channel) setState(s State, now time.Time) {
	c.state.Store(uint32(s))
	c.stateAt = now
	c.o.metrics.stateIs(c.name, s)
}

// openTo says why nothing may be pushed to the channel t names; nil: it may.
func (o *Origin) openTo(t target) error {
	state := StateLive
	if c := o.channel(t.channel); c != nil {
		state = c.State()
	} else if _, ok := (*o.closed.Load())[t.channel]; ok {
		state = StateEnded
	}
	switch state {
	case StateEnded:
		return refuse(http.StatusConflict, reasonEnded, "channel %s: %w (weir channel resume %s lets encoders push again)", t.channel, ErrEnded, t.channel)
	case StateRemoved:
		return refuse(http.StatusGone, reasonRemoved, "channel %s: %w (weir channel show %s says when the name is free again)", t.channel, ErrRemoved, t.channel)
	}
	return nil
}

func (c *channel) end(now time.Time) (changed bool, err error) {
	switch {
	case c.closed:
		return false, noChannel(c.name)
	case c.State() == StateRemoved:
		return false, c.wasRemoved()
	case c.State() == StateEnded:
		return false, nil
	}
	c.setState(StateEnded, now)
	for _, r := range c.order {
		c.endRendition(r, now)
	}
	c.settle(now)
	return true, nil
}

// endRendition publishes what is left of a rendition and its end, in one change.
func (c *channel) endRendition(r *rendition, now time.Time) {
	r.ending = true
	c.apply(r, r.in.finish(&c.store), now)
}

// finish returns what is to be published of what was told: all that is wholly there, with
// gaps between. Nothing more is expected then.
func (in *intake) finish(f files) []step {
	for i := range in.queue {
		if e := &in.queue[i]; e.mapPath != "" && e.init == nil {
			e.init = f.complete(e.mapPath) // it will not be replaced any more
		}
	}
	in.aside = nil
	return in.flush(f)
}

func (c *channel) resume(now time.Time) (changed bool, err error) {
	switch {
	case c.closed:
		return false, noChannel(c.name)
	case c.State() == StateRemoved:
		return false, c.wasRemoved()
	case c.State() == StateLive:
		return false, nil
	}
	for _, r := range c.order {
		// The encoder may be the same, which went on while it was refused, or another: what
		// it uploaded before belongs to the past, but for the init segment, which it sends
		// once.
		r.in = newIntake()
		r.in.hold, r.in.floor = c.published.hold, c.store.gen
	}
	for _, r := range c.order {
		r.ending = false
	}
	c.lastPush = now
	c.setState(StateLive, now)
	c.settle(now)
	return true, nil
}

func (c *channel) withdrawForGood(now time.Time) (changed bool, err error) {
	switch {
	case c.closed:
		return false, noChannel(c.name)
	case c.State() == StateRemoved:
		return false, nil
	}
	c.setState(StateRemoved, now)
	for _, r := range c.order {
		r.in.queue, r.in.aside = nil, nil
	}
	c.forgetTexts()
	c.withdraw(now)
	c.settle(now)
	return true, nil
}

func (c *channel) wasRemoved() error {
	return refuse(http.StatusGone, reasonRemoved, "channel %s: %w (its name is free again when its media are gone)", c.name, ErrRemoved)
}

// reopen forgets that the channel of that name, of which nothing else is left, was ended.
func (o *Origin) reopen(name string) bool {
	if _, ok := (*o.closed.Load())[name]; !ok {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	m := maps.Clone(*o.closed.Load())
	_, ok := m[name]
	delete(m, name)
	o.closed.Store(&m)
	return ok
}

// keepClosed remembers that a channel was ended when all else of it goes: its encoder may
// still push. The ones that ended longest ago are forgotten where they are too many. Callers
// hold o.mu.
func (o *Origin) keepClosed(name string, at time.Time) {
	m := maps.Clone(*o.closed.Load())
	m[name] = at
	for len(m) > o.opts.MaxChannels {
		oldest := name
		for n, at := range m {
			if at.Before(m[oldest]) {
				oldest = n
			}
		}
		delete(m, oldest)
	}
	o.closed.Store(&m)
}

func closedInfo(name string, at time.Time) StreamInfo {
	return StreamInfo{Channel: name, State: StateEnded, StateSince: at, Ended: true}
}
