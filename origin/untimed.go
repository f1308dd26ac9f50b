package origin

import "time"

// judge is [rendition.judge], also for what has no media times of its own: captions, packed
// audio. Where the origin restarted and their encoder did not, nothing in them proves that
// they go on. Then the renditions that do tell decide, and are waited for, no longer than for
// a segment (ok: it need not wait): on one timeline all go on, or none does.
func (c *channel) judge(r *rendition, s *step, m *material, now time.Time) (how follow, lost time.Duration, ok bool) {
	if !m.timed && !r.timed && r.restored && r.unproven && r.placed && !r.newGo && r.format == s.up.format && sameTracks(r.tracks, m.tracks, true) {
		lead, pending := c.timedSibling()
		switch {
		case lead == nil && pending && now.Before(s.listed.Add(c.published.hold)):
			return followsNot, 0, false
		case lead != nil && lead.timeline == r.timeline:
			if lost = lead.beginning(s).Sub(r.date); lost > r.targetDuration()/2 {
				return followsLoss, lost, true
			}
			return followsOn, 0, true
		}
	}
	how, lost = r.judge(s, m)
	return how, lost, true
}

// timedSibling returns a rendition whose media told that it goes on, or does not; pending:
// there are some of which it is not known yet.
func (c *channel) timedSibling() (lead *rendition, pending bool) {
	for _, x := range c.order {
		switch {
		case x.gone || x.ended || !x.timed || !x.placed || len(x.log) == 0:
		case x.unproven:
			pending = pending || x.restored
		case lead == nil:
			lead = x
		}
	}
	return lead, pending
}

// beginning is when the rendition's segment begins that was cut together with s: of the same
// number of the encoder, as far as those are near.
func (r *rendition) beginning(s *step) time.Time {
	begins := r.date.Add(-r.log[len(r.log)-1].dur)
	if ahead := int64(r.in.newest.seq - s.seq); ahead >= -maxMissed && ahead <= maxMissed {
		begins = begins.Add(-time.Duration(ahead) * s.dur)
	}
	return begins
}
