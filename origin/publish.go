package origin

import (
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
		c.o.metrics.tooLong.WithLabelValues(c.name).Inc()
		c.log.Warn("segment is longer than target_duration and published as a gap: raise channels.*.target_duration or shorten the encoder's segments",
			"rendition", r.name, "file", s.path, "duration", s.dur, "target_duration", time.Duration(c.published.target)*time.Second)
		s.why, s.up = gapLong, nil
		return c.lost(r, s, now)
	}
	u := s.up
	m := material{start: u.start, timed: u.timed, solo: u.independent, tracks: u.tracks}
	var init *initSegment
	if s.mapPath != "" {
		if s.init.format != formatInit || u.format != formatFMP4 {
			c.log.Warn("what is listed with an init segment is no fragmented MP4", "rendition", r.name, "file", s.path, "init", s.mapPath)
		}
		r.mapPath = s.mapPath
		m.tracks = s.init.tracks
		m.start, m.timed, m.solo, m.rate = timing(u.buf, s.init.probe.init)
		init = r.initFor(s.init, c.hold)
	} else if u.format == formatFMP4 || u.format == formatInit {
		c.log.Warn("fragmented MP4 is listed without EXT-X-MAP: it cannot be played", "rendition", r.name, "file", s.path)
		s.why, s.up = gapNoInit, nil
		return c.lost(r, s, now)
	}
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
	r.appendSegment(&segment{dur: s.dur, init: init, up: u}, now)
	r.datedAs(s.clock)
	r.bw.add(u.buf.Size(), s.dur)
	c.o.metrics.segments.WithLabelValues(c.name).Inc()
	c.o.metrics.lastPublish.WithLabelValues(c.name).Set(float64(now.UnixMilli()) / 1000)
	c.o.metrics.delay.Observe(now.Sub(u.done).Seconds())
	return true
}

// material is what is known of a segment's media when it is published.
type material struct {
	start  time.Duration
	timed  bool
	solo   bool
	tracks []cmaf.Track
	rate   float64
}

// An encoder's date is taken for true within these bounds: dates never go back, so that one
// from a clock far ahead would stay.
var earliest = time.Unix(0, 0)

const latest = time.Hour

// place puts the segment on a timeline: the present one where it continues it, else the next.
func (c *channel) place(r *rendition, s *step, m *material, now time.Time) {
	fresh := !r.follows(s, m)
	if fresh {
		slack := 2 * time.Duration(c.published.target) * time.Second
		guess := s.pdt
		if guess.Before(earliest) || guess.After(now.Add(latest)) {
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
	r.unproven, r.format = false, s.up.format
	r.expect, r.timed = m.start, m.timed
	if fresh || len(m.tracks) >= len(r.tracks) { // one segment may not show all that is there
		r.tracks = m.tracks
	}
}

// follows reports whether a decoder that has played what is there can go on with the segment.
func (r *rendition) follows(s *step, m *material) bool {
	switch {
	case !r.placed || r.newGo:
		return false
	case r.format != s.up.format:
		return false
	case !sameTracks(r.tracks, m.tracks, r.unproven):
		return false
	case !r.unproven:
		return true
	}
	return r.continues(s, m)
}

// continues reports whether the segment's media times prove that it follows what is there.
func (r *rendition) continues(s *step, m *material) bool {
	return r.timed && m.timed && r.format == s.up.format &&
		apart(m.start, r.expect, r.format == formatTS).Abs() <= continuity
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
