package origin

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"weir/internal/cmaf"
	"weir/internal/seglog"
	"weir/playlist"
)

// What the log on disk says in words of ours: the state of a channel and of each rendition,
// and of each entry what seglog has no field for. Fields may be added; what is missing has
// its zero value.
type (
	channelState struct {
		Epoch    string        `json:"epoch"`
		Target   int           `json:"target"` // seconds; 0: not yet known
		First    uint64        `json:"first"`  // number of the first segment, and of the first timeline
		Since    time.Time     `json:"since"`
		Timeline uint64        `json:"timeline"` // the newest
		At       time.Duration `json:"at"`       // a media time on it
		Timed    bool          `json:"timed"`
		Date     time.Time     `json:"date"` // that belongs to At
		Opened   bool          `json:"opened"`
		CueDelay time.Duration `json:"cue_delay,omitempty"`
		CueKnown bool          `json:"cue_known,omitempty"`
		Expected *told         `json:"expected,omitempty"`

		// What the operator made of it.
		State     State     `json:"state,omitempty"`
		StateAt   time.Time `json:"state_at,omitzero"`
		Withdrawn bool      `json:"withdrawn,omitempty"`
	}

	told struct {
		Paths []string                      `json:"paths"`
		Media map[string]playlist.Rendition `json:"media,omitempty"`
	}

	renditionState struct {
		Order  int           `json:"order"`
		Path   string        `json:"path"`
		Name   string        `json:"name"`
		Until  uint64        `json:"until"` // the grant: numbers below are reserved
		At     time.Time     `json:"at"`
		Wait   time.Duration `json:"wait"`
		Pace   time.Duration `json:"pace"`
		Clean  bool          `json:"clean,omitempty"` // no number was used beyond the last entry
		Tracks []cmaf.Track  `json:"tracks,omitempty"`
		Map    string        `json:"map,omitempty"`  // path of its init segment, as it is pushed
		Init   string        `json:"init,omitempty"` // and its name, as it is published
		Rate   float64       `json:"rate,omitempty"`
		Solo   bool          `json:"solo"`
		// Bits a second, as the multivariant playlist states them.
		Peak         int64         `json:"peak"`
		Average      int64         `json:"average"`
		FramePeak    int64         `json:"frame_peak,omitempty"`
		FrameAverage int64         `json:"frame_average,omitempty"`
		Gaps         uint64        `json:"gaps,omitempty"`
		Longest      time.Duration `json:"longest,omitempty"`
		Gone         bool          `json:"gone,omitempty"`
		Ended        bool          `json:"ended,omitempty"`
	}

	rangesState struct {
		List  []keptRange `json:"list,omitempty"`
		Spent []uint64    `json:"spent,omitempty"`
		Next  int         `json:"next,omitempty"`
	}

	keptRange struct {
		Range  playlist.DateRange `json:"range"`
		Shift  time.Duration      `json:"shift,omitempty"`
		Pushed bool               `json:"pushed,omitempty"`
		Told   time.Time          `json:"told,omitzero"`
		Left   bool               `json:"left,omitempty"`
	}

	entryMeta struct {
		Timeline uint64        `json:"t"`
		Ext      string        `json:"x"`
		Start    time.Duration `json:"m,omitempty"` // media time of the first sample
		Timed    bool          `json:"k,omitempty"`
		Format   format        `json:"f,omitempty"`
		Listed   int64         `json:"l"` // Unix milliseconds
	}
)

const (
	channelKey   = "channel"
	rangesKey    = "ranges"
	renditionKey = "rendition/"
)

func encode(v any) []byte {
	p, err := json.Marshal(v)
	if err != nil {
		panic("BUG: origin: " + err.Error())
	}
	return p
}

// keepChannel hands the channel's state to its log.
func (c *channel) keepChannel() {
	if c.vault == nil {
		return
	}
	s := channelState{
		Epoch: c.epoch, First: c.lines.first, Since: c.since, Opened: c.lines.opened,
		CueDelay: c.cues.delay, CueKnown: c.cues.known,
		Timeline: c.lines.latest.number, At: c.lines.latest.at, Timed: c.lines.latest.timed, Date: c.lines.latest.date,
	}
	if c.published != nil {
		s.Target = c.published.target
	}
	s.State, s.StateAt, s.Withdrawn = c.State(), c.stateAt, c.withdrawn.Load()
	if x := c.expected; x != nil {
		s.Expected = &told{x.paths, x.media}
	}
	c.vault.put(nil, []stateOf{{key: channelKey, value: encode(s)}})
}

// maxConfigKept is how long a decoder configuration may be to be kept: a longer one is not
// compared after a restart.
const maxConfigKept = 4 << 10

// keptTracks are tracks as the state has them.
func keptTracks(tracks []cmaf.Track) []cmaf.Track {
	out := slices.Clone(tracks)
	for i := range out {
		if len(out[i].Config) > maxConfigKept {
			out[i].Config = nil
		}
	}
	return out
}

// keepRanges hands the channel's date ranges to its log.
func (c *channel) keepRanges() {
	if c.vault == nil {
		return
	}
	s := rangesState{Spent: c.ranges.spent.Hashes, Next: c.ranges.spent.Next}
	for i := range c.ranges.list {
		d := &c.ranges.list[i]
		s.List = append(s.List, keptRange{d.DateRange, d.shift, d.pushed, d.told, d.left})
	}
	c.vault.put(nil, []stateOf{{key: rangesKey, value: encode(s)}})
}

// keep hands what was published in this change, and the rendition's state with a reservation
// of the numbers that come, to the log. need: how many numbers are wanted at once.
func (c *channel) keep(r *rendition, need int, now time.Time) {
	if c.vault == nil {
		r.fresh = nil
		return
	}
	ds := make([]deposit, 0, len(r.fresh))
	for _, seg := range r.fresh {
		ds = append(ds, c.deposit(r, seg))
	}
	r.fresh = nil
	g := nextGrant(r.next+r.fill, need, r.eachLasts(), now)
	c.vault.put(ds, []stateOf{c.stateOf(r, g, false)})
}

func (c *channel) stateOf(r *rendition, g grant, clean bool) stateOf {
	s := renditionState{
		Order: r.order, Path: r.path, Name: r.name, Until: g.until, At: g.at, Wait: g.wait, Pace: g.pace, Clean: clean,
		Tracks: keptTracks(r.tracks), Map: r.mapPath, Init: r.initName(), Rate: r.rate, Solo: r.solo, Peak: r.bw.peakSaid.rate, Average: r.bw.averageSaid.rate,
		FramePeak: r.frameRates.peakSaid.rate, FrameAverage: r.frameRates.averageSaid.rate,
		Gaps: r.gapCount, Longest: r.longest, Gone: r.gone, Ended: r.ended,
	}
	return stateOf{key: renditionKey + r.name, value: encode(s), grant: g, r: r}
}

// initName is the init segment of the newest segment; "" where it has none.
func (r *rendition) initName() string {
	for i := len(r.log) - 1; i >= 0; i-- {
		if r.log[i].init != nil {
			return r.log[i].init.name
		}
	}
	return ""
}

func (c *channel) deposit(r *rendition, seg *segment) deposit {
	d := deposit{r: r, seg: seg, entry: seglog.Entry{
		Stream: r.name, Number: seg.number, Date: seg.date, Duration: seg.dur,
		Meta: encode(entryMeta{
			Timeline: seg.timeline, Ext: extOf(seg.name), Start: seg.start, Timed: seg.timed, Format: r.format, Listed: seg.listed.UnixMilli(),
		}),
	}}
	if seg.init != nil && len(seg.init.raw) > 0 {
		d.entry.Blob = seg.init.name
	}
	if seg.up != nil && seg.up.buf.TryRef() {
		d.buf, d.entry.Promised = seg.up.buf, true
	}
	return d
}

// lend returns what the vault writes next. From now on a successor may find the reservations
// in it, so they bind, beside those that are durable.
func (c *channel) lend(v *vault) ([]deposit, []stateOf) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ds, state := v.take()
	for i := range state {
		if r := state[i].r; r != nil {
			r.lent = &state[i].grant
		}
	}
	return ds, state
}

// kept is told by the vault what is durable now.
func (c *channel) kept(ds []deposit, state []stateOf) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range ds {
		d := &ds[i]
		d.seg.onDisk = true
		if !d.entry.Body.IsZero() {
			d.seg.disk.Store(&d.entry.Body)
			d.r.shelf.fill(d.seg.number, d.entry.Body) // it may have left memory before
		}
		c.o.metrics.storeDelay.Observe(now.Sub(d.seg.listed).Seconds())
	}
	for _, s := range state {
		if s.r != nil {
			s.r.grant, s.r.lent = s.grant, nil
		}
	}
	if c.closed {
		return
	}
	for _, r := range c.order {
		if len(r.held) > 0 {
			c.apply(r, nil, now)
		}
	}
	c.settle(now)
}

// seal is the last thing a channel says to its log: that no number was used beyond those it
// announced. Nothing is published afterwards.
func (c *channel) seal(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.vault == nil || c.sealed {
		return
	}
	c.sealed = true
	var state []stateOf
	for _, r := range c.order {
		// The successor goes on at the next number, and holds itself to this until it has
		// a reservation of its own.
		state = append(state, c.stateOf(r, grant{until: r.next + r.fill, at: now, pace: r.eachLasts() / 2}, true))
	}
	c.vault.put(nil, state)
}

func decode[T any](what string, p []byte) (v T, err error) {
	if err = json.Unmarshal(p, &v); err != nil {
		err = fmt.Errorf("%s: %w", what, err)
	}
	return v, err
}
