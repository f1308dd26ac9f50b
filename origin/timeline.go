package origin

import (
	"slices"
	"time"
)

// A timeline is a run of media times that one clock made. All renditions of a channel are
// on the same ones, so that "matching timestamps and discontinuity numbers" (HLSbis 6.2.4)
// hold: the rendition that first comes to a new timeline opens it, the others join.
type timeline struct {
	number uint64        // the discontinuity sequence number of its segments
	at     time.Duration // a media time on it
	timed  bool          // at is known
	date   time.Time     // and the date that belongs to it
}

// wrap is after how much a transport stream's clock begins again.
const wrap = time.Duration(1<<33) * time.Second / 90000

// apart returns a-b for two media times, across a wrap of the clock where that is nearer.
func apart(a, b time.Duration, ts bool) time.Duration {
	d := a - b
	if ts {
		switch d %= wrap; {
		case d > wrap/2:
			d -= wrap
		case d < -wrap/2:
			d += wrap
		}
	}
	return d
}

// dateOf returns the date of media time at.
func (l *timeline) dateOf(at time.Duration, ts bool) time.Time {
	return l.date.Add(apart(at, l.at, ts))
}

// timelines is where a channel's clock stands.
type timelines struct {
	latest timeline
	opened bool
	first  uint64     // number of the channel's first timeline, at least 1
	past   []timeline // those before the latest, as many as are made up for
}

// begins returns the date of a timeline's beginning; false: it is long past.
func (ts *timelines) begins(number uint64) (time.Time, bool) {
	if number == ts.latest.number {
		return ts.latest.date, ts.opened
	}
	for _, l := range ts.past {
		if l.number == number {
			return l.date, true
		}
	}
	return time.Time{}, false
}

// newest calls yield with the latest timeline and those before it, until it returns true.
func (ts *timelines) newest(yield func(l *timeline) bool) {
	if !ts.opened || yield(&ts.latest) {
		return
	}
	for i := range slices.Backward(ts.past) {
		if yield(&ts.past[i]) {
			return
		}
	}
}

// A spot is where a rendition stands that cannot go on on its timeline.
type spot struct {
	timeline           // the number of the one it was on, its next segment's media time, and its date as far as the rendition alone can tell
	fresh    bool      // it was on none yet
	over     uint64    // its own media would go on, and it only follows the others to that timeline; 0: they would not
	ts       bool      // its format is MPEG-TS
	edge     time.Time // up to where the others are published; zero: there are none
	joined   time.Time // and those that are on the latest timeline already
}

// next returns the number of the timeline on which a rendition goes on, and the date of its
// next segment there. slack is how far renditions may be apart in time.
//
// Where the latest timeline is near, it is that one. It is that one, too, where others have
// published under its number what is later than at, though its clock is another, as when
// their encoder was replaced and at's was not yet: a date has one number in all renditions,
// and two that kept opening timelines for each other would break at every segment.
func (ts *timelines) next(at spot, slack time.Duration) (uint64, time.Time) {
	var found *timeline
	date, until := at.date, time.Time{} // when the timeline after l begins
	ts.newest(func(l *timeline) bool {
		latest := l == &ts.latest
		if l.number <= at.number && !(at.fresh && latest) {
			return true
		}
		date = at.date
		near := latest && at.date.Sub(l.date).Abs() <= slack
		if l.timed && at.timed {
			date = l.dateOf(at.at, at.ts)
			near = date.Sub(at.date).Abs() <= slack && (latest || date.Before(until))
		}
		if near {
			found = l
		}
		until = l.date
		return near || at.fresh
	})
	switch {
	case found != nil:
		return found.number, date
	case at.over > 0:
		return at.over, at.date
	case ts.opened && (at.fresh || ts.latest.number > at.number) && at.joined.Sub(at.date) > slack/4:
		return ts.latest.number, later(at.date, ts.latest.date)
	}
	// What the others have published is of the timelines before.
	if by := at.edge.Sub(at.date); by > 0 && by <= 2*slack {
		at.date = at.edge
	}
	at.number = ts.first
	if ts.latest.number >= ts.first {
		at.number = ts.latest.number + 1
	}
	if ts.opened {
		if ts.past = append(ts.past, ts.latest); len(ts.past) > maxFillers+1 {
			ts.past = ts.past[1:]
		}
	}
	ts.latest, ts.opened = at.timeline, true
	return at.number, at.date
}
