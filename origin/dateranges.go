package origin

import (
	"cmp"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"time"

	"weir/internal/web"
	"weir/playlist"
)

// Date ranges (EXT-X-DATERANGE) come from an encoder's playlists and from the operator, and
// belong to the channel: all its renditions tell the same ("date ranges with the same ID must
// have the same attributes" in all of them, HLSbis 6.2.4). What was told of an ID is only ever
// added to; a range is told as long as any of its dates maps to a segment that is listed; and
// no ID is used again after that (6.2.1).

// Bounds of a channel's date ranges.
const (
	maxRanges     = 256      // told at once
	maxRangeBytes = 64 << 10 // of all of them together: each stands in every playlist
	maxSpent      = 8192     // IDs remembered after their range went
	maxToldRanges = 512      // of one pushed playlist that are looked at: the last ones
)

// Why a date range is not told.
var (
	ErrRangeAltered = errors.New("what was told of a date range is never changed")
	ErrRangeSpent   = errors.New("the ID of a date range is never used again")
	ErrRangeOver    = errors.New("no segment that is listed is of its time")
	ErrRangesFull   = errors.New("there are too many date ranges")
)

const (
	reasonRange        = "bad_date_range"
	reasonRangeAltered = "date_range_altered"
	reasonRangeSpent   = "date_range_spent"
	reasonRangeOver    = "date_range_over"
	reasonRangesFull   = "too_many_date_ranges"
)

// dateRanges are those of a channel, guarded by its lock.
type dateRanges struct {
	list  []dateRange // in the order they came; replaced, never changed: renditions share it
	spent spentIDs
}

// DateRanges returns the date ranges of a channel in the order they came; [ErrNoChannel]
// where there is none.
func (o *Origin) DateRanges(name string) ([]playlist.DateRange, error) {
	c := o.channel(name)
	if c == nil {
		return nil, noChannel(name)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return plain(c.ranges.list), nil
}

// AddDateRange tells a date range in all playlists of a channel from now on, also where it
// begins in the future. Of an ID that is told already it adds the attributes that were not,
// START-DATE may be left out then; created says that there was none. It returns all that is
// told of the ID. Times are cut to milliseconds.
//
// [ErrRangeAltered], [ErrRangeSpent], [ErrRangeOver] and [ErrRangesFull] say why it cannot be,
// beside what [playlist.DateRange.Check] finds, [ErrNoChannel], [ErrEnded] and [ErrRemoved].
func (o *Origin) AddDateRange(name string, d playlist.DateRange) (all playlist.DateRange, created bool, err error) {
	if err := o.openTo(target{channel: name}); err != nil {
		return all, false, err
	}
	c := o.channel(name)
	if c == nil {
		return all, false, noChannel(name)
	}
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.State() != StateLive {
		return all, false, cmp.Or(o.openTo(target{channel: name}), noChannel(name))
	}
	c.forgetRanges()
	next := slices.Clone(c.ranges.list)
	changed, created, err := c.putRange(&next, dateRange{DateRange: d}, now)
	if err != nil {
		return all, false, err
	}
	if changed {
		c.tellRanges(next)
	}
	i := indexOf(next, d.ID)
	return next[i].DateRange, created, nil
}

// toldRanges takes in the date ranges of a playlist that r's encoder pushed.
func (c *channel) toldRanges(r *rendition, p *pushed, now time.Time) {
	if len(c.ranges.list) == 0 && len(p.ranges) == 0 || !r.skewed {
		return // or nothing is published yet, and how its dates relate to ours not known
	}
	c.forgetRanges()
	next, any := slices.Clone(c.ranges.list), false
	for _, d := range p.ranges[max(0, len(p.ranges)-maxToldRanges):] {
		if c.ranges.spent.has(d.ID) {
			continue // its playlist is longer than ours
		}
		changed, _, err := c.putRange(&next, dateRange{DateRange: d, pushed: true, shift: r.skew}, now)
		any = any || changed
		if err != nil && !errors.Is(err, ErrRangeOver) && !errors.Is(err, ErrRangeSpent) {
			c.ignoredRange(err)
		}
	}
	// What an encoder tells no more, and never told the end of, is over for it: else each
	// would stay for ever.
	slack := 2 * time.Duration(c.published.target) * time.Second
	for i := range next {
		if d := &next[i]; d.pushed && !d.left && d.ends.IsZero() && now.Sub(d.told) > slack {
			d.left = true // each playlist drops it when its window moves on
		}
	}
	if any {
		c.tellRanges(next)
	} else {
		c.setRanges(next) // no playlist changes by it
	}
}

// putRange puts d into list, or what it adds to the one of its ID. changed: playlists are to
// say so.
func (c *channel) putRange(list *[]dateRange, d dateRange, now time.Time) (changed, created bool, err error) {
	if d.pushed {
		d.told = now
	}
	i := indexOf(*list, d.ID)
	if i < 0 {
		if err := c.mayBegin(*list, &d); err != nil {
			return false, false, err
		}
		*list = append(*list, d)
		return true, true, nil
	}
	was := &(*list)[i]
	if _, latest := c.listedSince(); was.left && was.before(latest) {
		return false, false, c.rangeSpent(d.ID) // some rendition has dropped it
	}
	if d.pushed {
		d.shift = was.shift
	}
	d.brought()
	is := was.DateRange
	if altered := is.Merge(&d.DateRange); altered != "" {
		return false, false, refuse(http.StatusConflict, reasonRangeAltered, "channel %s: date range %s: %s: %w (choose another ID)", c.name, quote(d.ID), altered, ErrRangeAltered)
	}
	if err := is.Check(); err != nil {
		return false, false, c.badRange(d.ID, err)
	}
	if size(*list)+sizeOf(&is)-sizeOf(&was.DateRange) > maxRangeBytes {
		return false, false, c.rangesFull(*list)
	}
	changed = !reflect.DeepEqual(is, was.DateRange)
	was.DateRange = is
	if d.pushed {
		was.told = now
	}
	changed, was.left = changed || was.left, false
	return changed, false, nil
}

// mayBegin says why d cannot be told; its dates are brought to ours.
func (c *channel) mayBegin(list []dateRange, d *dateRange) error {
	if d.shift.Abs() <= continuity {
		d.shift = 0 // as much as encoders themselves are off
	}
	d.brought()
	if err := d.Check(); err != nil {
		return c.badRange(d.ID, err)
	}
	if c.ranges.spent.has(d.ID) {
		return c.rangeSpent(d.ID)
	}
	d.ends = d.end(list)
	if first, _ := c.listedSince(); !first.IsZero() && d.before(first) {
		return refuse(http.StatusConflict, reasonRangeOver, "channel %s: date range %s: %w: the first begins at %s", c.name, quote(d.ID), ErrRangeOver, first.UTC().Format(time.RFC3339))
	}
	if len(list) >= maxRanges || size(list)+sizeOf(&d.DateRange) > maxRangeBytes {
		return c.rangesFull(list)
	}
	return nil
}

func (c *channel) badRange(id string, err error) error {
	return refuse(http.StatusBadRequest, reasonRange, "channel %s: date range %s: %w", c.name, quote(id), err)
}

func (c *channel) rangeSpent(id string) error {
	return refuse(http.StatusConflict, reasonRangeSpent, "channel %s: date range %s: %w (choose another)", c.name, quote(id), ErrRangeSpent)
}

func (c *channel) rangesFull(list []dateRange) error {
	open := 0
	for i := range list {
		if list[i].ends.IsZero() {
			open++
		}
	}
	return refuse(http.StatusConflict, reasonRangesFull,
		"channel %s: %w: at most %d, and %d bytes, are told at once; %d of them have no end and stay until they get one (add DURATION or END-DATE)",
		c.name, ErrRangesFull, maxRanges, maxRangeBytes, open)
}

// ignoredRange counts and logs that something an encoder told is not told on.
func (c *channel) ignoredRange(err error) {
	reason := web.ReasonOf(err)
	c.o.metrics.rangesIgnored.WithLabelValues(c.name, reason).Inc()
	if dropped, ok := c.o.refusals.allow(reason, c.name); ok {
		c.log.Warn("a date range of the encoder is not told on", "reason", reason, "err", err, "dropped", dropped)
	}
}

// tellRanges has every rendition tell these, each in one change of its playlist.
func (c *channel) tellRanges(next []dateRange) {
	for i := range next {
		d, e := &next[i], next[i].end(next)
		if !d.EndOnNext || d.ends.IsZero() || !e.IsZero() && e.Before(d.ends) { // another came between
			d.ends = e
		}
	}
	c.setRanges(next)
	for _, r := range c.order {
		if len(r.log) > r.from && !r.gone {
			r.show()
		}
	}
}

func (c *channel) setRanges(list []dateRange) {
	c.ranges.list = list
	c.o.metrics.ranges.WithLabelValues(c.name).Set(float64(len(list)))
	for _, r := range c.order {
		r.ranges = list
	}
}

// forgetRanges lets go of those that no rendition tells any more. Their IDs are spent.
func (c *channel) forgetRanges() {
	first, _ := c.listedSince()
	if first.IsZero() || !slices.ContainsFunc(c.ranges.list, func(d dateRange) bool { return d.before(first) }) {
		return
	}
	keep := make([]dateRange, 0, len(c.ranges.list))
	for _, d := range c.ranges.list {
		if d.before(first) {
			c.ranges.spent.add(d.ID)
		} else {
			keep = append(keep, d)
		}
	}
	c.setRanges(keep) // each playlist has left them out since its window moved on
}

// listedSince returns the dates from which on the rendition that lists most, and the one that
// lists least, list segments; zero: none does.
func (c *channel) listedSince() (first, latest time.Time) {
	for _, r := range c.order {
		if len(r.log) == r.from || r.gone {
			continue
		}
		at := r.log[r.from].date
		if first.IsZero() || at.Before(first) {
			first = at
		}
		if at.After(latest) {
			latest = at
		}
	}
	return first, latest
}
