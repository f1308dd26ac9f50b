package origin

import (
	"time"

	"weir/internal/cmaf"
)

// continuity is how far, in media time, a segment may begin from where the one before it
// ended and still be taken for its continuation, where nothing else says that it is.
const continuity = 150 * time.Millisecond

// A follow is how a segment stands to the one before it.
type follow uint8

const (
	followsOn   follow = iota // it begins where that one ended
	followsLoss               // it is on the same clock and begins later: what lies between was lost
	followsNot                // nothing shows that a decoder can go on with it
	followsAll                // it could go on, and changes over because all other renditions do
)

// material is what is known of a segment's media when it is published.
type material struct {
	start  time.Duration
	timed  bool
	solo   bool
	tracks []cmaf.Track
	rate   float64
}

// judge decides how a segment follows what is there, and for how much lost time.
//
// Numbers in a row are no proof: an encoder whose input paused or whose clock was set counts
// on. So media times are compared always, with a tolerance of half a target duration inside
// one run of the encoder (some write EXTINF in whole seconds) and [continuity] where a run
// begins. A jump forward can be lost time or a clock that was set: the wall clock tells which
// of the two, by whichever of the encoder's date and the upload's end says so.
func (r *rendition) judge(s *step, m *material) (how follow, lost time.Duration) {
	switch {
	case !r.placed || r.newGo, r.format != s.up.format, !sameTracks(r.tracks, m.tracks, r.unproven):
		return followsNot, 0
	case !r.timed || !m.timed:
		return r.judgeUntimed(s)
	}
	off := apart(m.start, r.expect, r.format == formatTS)
	near := continuity
	if !r.unproven {
		near = max(near, r.targetDuration()/2)
	}
	switch {
	case off.Abs() <= near:
		return followsOn, 0
	case r.owed > 0 && off > 0 && off <= 2*r.owed+r.targetDuration():
		return r.afterUntold(off)
	case off > 0 && r.passed(s, off):
		return followsLoss, off
	}
	return followsNot, 0
}

// judgeUntimed is judge for media that tell no time (packed audio, captions). Where it was the
// origin that began anew, and not the encoder, dates have to do.
func (r *rendition) judgeUntimed(s *step) (follow, time.Duration) {
	switch {
	case !r.unproven:
		return r.afterUntold(r.owed)
	case !r.restored:
		return followsNot, 0
	}
	begins := s.up.done.Add(-s.dur)
	if plausible(s.pdt, s.up.done) {
		begins = s.pdt
	}
	switch lost := begins.Sub(r.date); {
	case lost.Abs() <= r.targetDuration():
		return followsOn, 0
	case lost > 0:
		return followsLoss, lost
	}
	return followsNot, 0
}

// afterUntold is the verdict where numbers are missing, which prove the loss by themselves.
func (r *rendition) afterUntold(lost time.Duration) (follow, time.Duration) {
	if lost > 0 {
		return followsLoss, lost
	}
	return followsOn, 0
}

// passed reports whether about as much time has passed on the wall as the media clock jumped.
func (r *rendition) passed(s *step, jump time.Duration) bool {
	says := func(date time.Time) bool {
		with, without := date.Sub(r.date.Add(jump)).Abs(), date.Sub(r.date).Abs()
		return with < without && with <= 2*r.targetDuration()
	}
	return plausible(s.pdt, s.up.done) && says(s.pdt) || says(s.up.done.Add(-s.dur))
}

// joins reports whether the segment has to begin a timeline that another rendition opened:
// all renditions of a channel change over at the same moment (HLSbis 6.2.4), also one whose
// own media would go on.
func (r *rendition) joins(l *timeline, lost time.Duration) bool {
	return l.number > r.timeline && !r.date.Add(lost+r.targetDuration()/2).Before(l.date)
}

// continues reports whether the segment's media times prove that it follows what is there.
func (r *rendition) continues(s *step, m *material) bool {
	return r.timed && m.timed && r.format == s.up.format &&
		apart(m.start, r.expect, r.format == formatTS).Abs() <= continuity
}

// An encoder's date is taken for true within these bounds: dates never go back, so that one
// from a clock far ahead would stay.
var earliest = time.Unix(0, 0)

const latest = time.Hour

func plausible(pdt, now time.Time) bool {
	return !pdt.Before(earliest) && !pdt.After(now.Add(latest))
}
