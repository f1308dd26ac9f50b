package origin

import (
	"slices"
	"time"

	"weir/internal/cmaf"
)

// apply publishes what an intake found out, and what waited for numbers before it, in one
// change of the playlist.
func (c *channel) apply(r *rendition, steps []step, now time.Time) {
	for i := range steps {
		c.holdStep(&steps[i], c.hold)
	}
	r.held = append(r.held, steps...)
	changed := false
	for len(r.held) > 0 && !c.sealed {
		if s := &r.held[0]; s.up != nil && seconds(s.dur) > c.published.target {
			c.tooLong(r)
		}
		s := r.held[0]
		does, ok := c.step(r, &s, now)
		if !ok {
			break
		}
		changed = changed || does
		r.held[0] = step{}
		r.held = r.held[1:]
		c.holdStep(&s, c.drop)
	}
	if c.ends(r) {
		r.ended, r.ending, changed = true, false, true
		r.newGo = true // what comes after the end is another stream
	}
	if changed {
		r.publish(now)
		c.keep(r, 0, now)
	}
}

// ends reports whether a rendition is at its end: by the operator, or by its encoder where
// that may say so.
func (c *channel) ends(r *rendition) bool {
	if r.ended || r.gone || len(r.held) > 0 || len(r.log) == r.from {
		return false
	}
	if r.drained() && c.published.end && !r.ending {
		c.log.Info("rendition ended with its encoder", "rendition", r.name)
		return true
	}
	return r.ending
}

// holdStep takes hold of what a step needs while it waits, or gives it back.
func (c *channel) holdStep(s *step, do func(*upload)) {
	if s.up != nil {
		do(s.up)
	}
	if s.init != nil {
		do(s.init)
	}
}

// step publishes one segment or gap. ok: it is done with; otherwise it waits for numbers.
func (c *channel) step(r *rendition, s *step, now time.Time) (changed, ok bool) {
	if s.up == nil {
		return c.lost(r, s, now)
	}
	return c.media(r, s, now)
}

// mayUse reports whether the rendition may use its next n numbers now, and sees to it that it
// soon may. Only a disk that has not answered for seconds makes it say no for longer.
func (c *channel) mayUse(r *rendition, n int, now time.Time) bool {
	if c.vault == nil || r.next+uint64(n) <= r.ceiling(now) {
		return true
	}
	if want := r.next + uint64(n); want > r.asked || now.Sub(r.askedAt) > time.Second {
		r.asked, r.askedAt = want, now
		c.keep(r, n, now)
	}
	return false
}

// lost lists a segment without media. What an incarnation of the encoder lacks in front was
// never part of the stream.
func (c *channel) lost(r *rendition, s *step, now time.Time) (changed, ok bool) {
	switch {
	case s.fresh || len(r.log) == 0 || r.newGo:
		r.unproven = r.unproven || s.fresh
		return false, true
	case s.why == gapUntold: // nobody said how long it lasted: the next segment's time will
		r.owed += s.dur
		return false, true
	case !c.mayUse(r, r.pieces(s.dur, 1)+r.pieces(r.owed, 0)+int(r.fill), now):
		return false, false
	}
	if r.owed > 0 {
		c.listLost(r, s.path, r.owed, now)
		r.owed = 0
	}
	n, fits := r.gap(s.dur, now)
	if !fits { // too much to list: the next segment begins a new timeline
		r.unproven, r.timed = true, false
		r.date = r.date.Add(s.dur)
		c.log.Warn("segment is missing, and too long for gaps to stand in for it: a discontinuity follows", "rendition", r.name, "file", s.path,
			"why", s.why.String(), "duration", s.dur)
		return false, true
	}
	c.o.metrics.gaps.WithLabelValues(c.name, s.why.String()).Add(float64(n))
	c.log.Warn("segment is missing and published as a gap", "rendition", r.name, "file", s.path, "why", s.why.String(),
		"init", s.mapPath, "duration", s.dur, "held", c.published.hold)
	return true, true
}

// media publishes a segment.
func (c *channel) media(r *rendition, s *step, now time.Time) (changed, ok bool) {
	r.unproven = r.unproven || s.fresh || s.disc
	u := s.up
	if c.uncertain(s, now) {
		return false, false
	}
	m := material{tracks: u.tracks}
	if s.mapPath != "" {
		if s.init.format != formatInit || u.format != formatFMP4 {
			c.log.Warn("what is listed with an init segment is no fragmented MP4", "rendition", r.name, "file", s.path, "init", s.mapPath)
		}
		m.tracks = s.init.tracks
		u.complete(s.init.probe.init)
	} else if u.format == formatFMP4 || u.format == formatInit {
		c.log.Warn("fragmented MP4 is listed without EXT-X-MAP: it cannot be played", "rendition", r.name, "file", s.path)
		gap := *s
		gap.why, gap.up = gapNoInit, nil
		return c.lost(r, &gap, now)
	}
	m.start, m.timed, m.solo, m.rate = u.start, u.timed, u.independent, u.rate
	how, missed, ok := c.judge(r, s, &m, now)
	if !ok {
		return false, false
	}
	if how != followsNot && c.joining(r, missed) > 0 {
		how = followsAll
	}
	if !c.mayUse(r, 1+c.numbersFor(r, how, missed), now) {
		return false, false
	}
	var init *initSegment
	if s.mapPath != "" {
		r.mapPath = s.mapPath
		init = r.initFor(s.init, c.hold)
	}
	c.running(now)
	c.place(r, s, &m, how, missed, now)
	for _, t := range m.tracks {
		if t.Kind == cmaf.Video && t.FrameRate > 0 {
			r.rate = max(r.rate, t.FrameRate)
		}
	}
	r.rate = max(r.rate, m.rate)
	r.solo = r.solo && m.solo
	u = c.inTime(r, u)
	c.hold(u)
	key := keyOf(u)
	u.keys = slices.Clone(u.keys[:min(1, len(u.keys))]) // nobody asks for the others any more
	r.appendSegment(&segment{dur: s.dur, init: init, up: u, key: key, start: m.start, timed: m.timed}, now)
	r.datedAs(s.clock)
	r.measure(u.buf.Size(), key.Length, s.dur, now)
	c.o.metrics.segments.WithLabelValues(c.name).Inc()
	c.o.metrics.publishedAt(c.name, now)
	c.o.metrics.delay.Observe(now.Sub(u.done).Seconds())
	return true, true
}

// numbersFor is how many numbers at most go before a segment that follows so.
func (c *channel) numbersFor(r *rendition, how follow, lost time.Duration) int {
	n := int(r.fill)
	if how == followsLoss {
		if each := r.pieces(lost, 1); each > 0 {
			return max(n, each)
		}
		how = followsNot // too much to list: see place
	}
	if how >= followsNot && r.placed {
		if l := c.lines.latest.number; l > r.timeline {
			n += int(min(l-r.timeline, maxFillers))
		}
	}
	return n
}

// place puts the segment on a timeline: the present one where it continues it, with gaps for
// what was lost between, else the next.
func (c *channel) place(r *rendition, s *step, m *material, how follow, missed time.Duration, now time.Time) {
	if how == followsLoss && !c.listLost(r, s.path, missed, now) {
		how = followsNot
	}
	if r.fill > 0 {
		c.listFill(r, s, how, now)
	}
	if how >= followsNot {
		c.moveOn(r, s, m, how, missed, now)
	}
	r.unproven, r.owed, r.format = false, 0, s.up.format
	r.expect, r.timed = m.start, m.timed
	if how >= followsNot || len(m.tracks) >= len(r.tracks) { // one segment may not show all that is there
		r.tracks = m.tracks
	}
}

// listFill gives the numbers that the process before may have used, in vain or not, to gaps:
// who saw more of them finds them where they were. Where a discontinuity follows they stand
// for the time between, as far as they can; where no time was lost they last a millisecond
// each, of which later gaps are so much shorter.
func (c *channel) listFill(r *rendition, s *step, how follow, now time.Time) {
	least := time.Duration(r.fill) * time.Millisecond
	total := least
	if how >= followsNot {
		begins := s.up.done.Add(-s.dur)
		if plausible(s.pdt, now) {
			begins = s.pdt
		}
		total = max(least, min(begins.Sub(r.date), time.Duration(r.fill)*r.targetDuration()))
	} else {
		r.ahead += least
	}
	n, _ := r.gap(total, now)
	c.o.metrics.gaps.WithLabelValues(c.name, gapRestart.String()).Add(float64(n))
}

// joining returns the number of the timeline that the rendition has to join; 0: none.
func (c *channel) joining(r *rendition, lost time.Duration) (number uint64) {
	c.lines.newest(func(l *timeline) bool {
		if r.joins(l, lost) {
			number = l.number
		}
		return number > 0 || l.number <= r.timeline
	})
	return number
}

// moveOn puts the segment on a timeline it begins or joins.
func (c *channel) moveOn(r *rendition, s *step, m *material, how follow, missed time.Duration, now time.Time) {
	slack := 2 * r.targetDuration()
	guess := s.pdt
	if !plausible(guess, now) {
		guess = s.up.done.Add(-s.dur)
	}
	if r.placed && (guess.Before(r.date) || r.continues(s, m)) {
		guess = r.date // dates never go back
	}
	at := spot{
		timeline: timeline{number: r.timeline, at: m.start, timed: m.timed, date: guess},
		fresh:    !r.placed, ts: s.up.format == formatTS,
	}
	if how == followsAll {
		at.over = c.joining(r, missed)
	}
	for _, x := range c.order {
		if x == r || !x.placed || x.gone {
			continue
		}
		if at.edge = later(at.edge, x.date); x.timeline == c.lines.latest.number {
			at.joined = later(at.joined, x.date)
		}
	}
	number, date := c.lines.next(at, slack)
	c.keepChannel() // no number of a timeline means two, whatever happens
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
	each := max(1, r.pieces(lost, 1))
	lost, r.ahead = max(lost-r.ahead, time.Duration(max(each, int(r.fill)))*time.Millisecond), 0
	n, ok := r.gap(lost, now)
	if !ok {
		r.date = r.date.Add(lost)
		c.log.Warn("media are missing, and too many for gaps to stand in for them: a discontinuity follows",
			"rendition", r.name, "before", before, "duration", lost)
		return false
	}
	why := gapSilence
	switch {
	case r.owed > 0:
		why = gapUntold
	case r.unproven && r.restored:
		why = gapRestart
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
	for range missed {
		r.timeline++
		// It stands where the others have that timeline, so that a date has one number.
		if from, ok := c.lines.begins(r.timeline); ok {
			r.date = later(r.date, from)
		}
		to, ok := c.lines.begins(r.timeline + 1)
		if !ok || r.timeline+1 == number {
			to = date
		}
		dur := max(time.Millisecond, min(to.Sub(r.date), r.targetDuration()))
		if _, ok := r.gap(dur, now); ok {
			c.o.metrics.gaps.WithLabelValues(c.name, gapFiller.String()).Inc()
		}
	}
}
