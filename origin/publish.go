package origin

import (
	"slices"
	"time"

	"weir/internal/cmaf"
)

// apply publishes what an intake found out, in one change of the playlist.
func (c *channel) apply(r *rendition, steps []step, now time.Time) {
	changed := false
	for i := range steps {
		if steps[i].up == nil {
			changed = c.lost(r, &steps[i], now) || changed
		} else {
			changed = c.media(r, &steps[i], now) || changed
		}
	}
	if r.drained() && c.published.end && !r.ended && len(r.log) > 0 {
		r.ended, changed = true, true
		r.newGo = true // what comes after the end is another stream
		c.log.Info("rendition ended with its encoder", "rendition", r.name)
	}
	if changed {
		r.publish(now)
	}
}

// lost lists a segment without media. What an incarnation of the encoder lacks in front was
// never part of the stream.
func (c *channel) lost(r *rendition, s *step, now time.Time) bool {
	r.unproven = r.unproven || s.fresh
	if s.fresh || len(r.log) == 0 || r.newGo {
		return false
	}
	if s.why == gapUntold {
		// Nobody said how long it lasted: the next segment's time will.
		r.owed += s.dur
		return false
	}
	if r.owed > 0 {
		c.listLost(r, s.path, r.owed, now)
		r.owed = 0
	}
	n, ok := r.gap(s.dur, now)
	if !ok { // too much to list: the next segment begins a new timeline
		r.unproven, r.timed = true, false
		r.date = r.date.Add(s.dur)
		c.log.Warn("segment is missing, and too long for gaps to stand in for it: a discontinuity follows", "rendition", r.name, "file", s.path,
			"why", s.why.String(), "duration", s.dur)
		return false
	}
	c.o.metrics.gaps.WithLabelValues(c.name, s.why.String()).Add(float64(n))
	c.log.Warn("segment is missing and published as a gap", "rendition", r.name, "file", s.path, "why", s.why.String(),
		"init", s.mapPath, "duration", s.dur, "held", c.published.hold)
	return true
}

// media publishes a segment.
func (c *channel) media(r *rendition, s *step, now time.Time) bool {
	r.unproven = r.unproven || s.fresh || s.disc
	if seconds(s.dur) > c.published.target {
		return c.tooLong(r, s, now)
	}
	u := s.up
	m := material{tracks: u.tracks}
	var init *initSegment
	if s.mapPath != "" {
		if s.init.format != formatInit || u.format != formatFMP4 {
			c.log.Warn("what is listed with an init segment is no fragmented MP4", "rendition", r.name, "file", s.path, "init", s.mapPath)
		}
		r.mapPath = s.mapPath
		m.tracks = s.init.tracks
		u.complete(s.init.probe.init)
		init = r.initFor(s.init, c.hold)
	} else if u.format == formatFMP4 || u.format == formatInit {
		c.log.Warn("fragmented MP4 is listed without EXT-X-MAP: it cannot be played", "rendition", r.name, "file", s.path)
		s.why, s.up = gapNoInit, nil
		return c.lost(r, s, now)
	}
	m.start, m.timed, m.solo, m.rate = u.start, u.timed, u.independent, u.rate
	c.running(now)
	c.place(r, s, &m, now)
	for _, t := range m.tracks {
		if t.Kind == cmaf.Video && t.FrameRate > 0 {
			r.rate = max(r.rate, t.FrameRate)
		}
	}
	r.rate = max(r.rate, m.rate)
	r.solo = r.solo && m.solo
	c.hold(u)
	key := keyOf(u)
	u.keys = slices.Clone(u.keys[:min(1, len(u.keys))]) // nobody asks for the others any more
	r.appendSegment(&segment{dur: s.dur, init: init, up: u, key: key}, now)
	r.measure(u.buf.Size(), key.Length, s.dur, now)
	c.o.metrics.segments.WithLabelValues(c.name).Inc()
	c.o.metrics.lastPublish.WithLabelValues(c.name).Set(float64(now.UnixMilli()) / 1000)
	c.o.metrics.delay.Observe(now.Sub(u.done).Seconds())
	return true
}

// place puts the segment on a timeline: the present one where it continues it, with gaps for
// what was lost between, else the next.
func (c *channel) place(r *rendition, s *step, m *material, now time.Time) {
	how, lost := r.judge(s, m)
	if how == followsLoss && !c.listLost(r, s.path, lost, now) {
		how = followsNot
	}
	if how != followsNot && r.joins(&c.lines.latest, 0) {
		how = followsNot
	}
	if how == followsNot {
		c.moveOn(r, s, m, now)
	}
	r.unproven, r.owed, r.format = false, 0, s.up.format
	r.expect, r.timed = m.start, m.timed
	if how == followsNot || len(m.tracks) >= len(r.tracks) { // one segment may not show all that is there
		r.tracks = m.tracks
	}
}

// moveOn puts the segment on a timeline it begins or joins.
func (c *channel) moveOn(r *rendition, s *step, m *material, now time.Time) {
	slack := 2 * r.targetDuration()
	guess := s.pdt
	if !plausible(guess, now) {
		guess = s.up.done.Add(-s.dur)
	}
	if r.placed && (guess.Before(r.date) || r.continues(s, m)) {
		guess = r.date // dates never go back
	}
	at := timeline{number: r.timeline, at: m.start, timed: m.timed, date: guess}
	number, date := c.lines.next(at, !r.placed, s.up.format == formatTS, slack)
	if r.placed && date.Before(r.date) {
		date = r.date
	}
	if r.placed && !r.newGo {
		c.discontinuity(r, number, date, now)
	}
	r.timeline, r.date, r.placed = number, date, true
	r.bw.cut()
}

// listLost lists time that was lost though no playlist told of it. It reports false where that
// is too much to list.
func (c *channel) listLost(r *rendition, before string, lost time.Duration, now time.Time) bool {
	n, ok := r.gap(lost, now)
	if !ok {
		r.date = r.date.Add(lost)
		c.log.Warn("media are missing, and too many for gaps to stand in for them: a discontinuity follows",
			"rendition", r.name, "before", before, "duration", lost)
		return false
	}
	why := gapSilence
	if r.owed > 0 {
		why = gapUntold
	}
	c.o.metrics.gaps.WithLabelValues(c.name, why.String()).Add(float64(n))
	c.log.Warn("media are missing and published as gaps", "rendition", r.name, "before", before, "why", why.String(), "duration", lost)
	return true
}

// discontinuity moves the rendition to the timeline of that number. The tag counts one; a
// rendition that did not have the ones between gets an empty place for each, so that its
// numbers mean the same as in all others.
func (c *channel) discontinuity(r *rendition, number uint64, date time.Time, now time.Time) {
	c.o.metrics.discontinuities.WithLabelValues(c.name).Inc()
	c.log.Info("discontinuity", "rendition", r.name, "number", number)
	missed := number - r.timeline - 1
	if missed > maxFillers {
		r.newGo = true
		return
	}
	each := time.Millisecond
	if missed > 0 {
		most := time.Duration(c.published.target) * time.Second
		each = max(each, min(most, date.Sub(r.date)/time.Duration(missed)))
	}
	for range missed {
		r.timeline++
		if _, ok := r.gap(each, now); ok {
			c.o.metrics.gaps.WithLabelValues(c.name, gapFiller.String()).Inc()
		}
	}
}
