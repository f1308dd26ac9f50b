package origin

import "time"

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
	first  uint64 // number of the channel's first timeline, at least 1
}

// next returns the number of the timeline on which a rendition goes on that cannot go on
// where it is, and the date of its next segment there. at is that segment by what the
// rendition alone knows: the number of the timeline it was on (fresh: it was on none yet),
// its media time, and the date as far as it can be told. slack is how far renditions may be
// apart in time.
func (ts *timelines) next(at timeline, fresh, mpegts bool, slack time.Duration) (uint64, time.Time) {
	if l := &ts.latest; ts.opened && (fresh || l.number > at.number) {
		date, near := at.date, at.date.Sub(l.date).Abs() <= slack
		if l.timed && at.timed {
			date = l.dateOf(at.at, mpegts)
			near = date.Sub(at.date).Abs() <= slack
		}
		if near {
			return l.number, date
		}
	}
	at.number, ts.opened = ts.first, true
	if ts.latest.number >= ts.first {
		at.number = ts.latest.number + 1
	}
	ts.latest = at
	return at.number, at.date
}
