package origin

import (
	"time"

	"weir/playlist"
)

// A pastSegment is one of a playlist over what is kept.
type pastSegment struct {
	number   uint64
	timeline uint64
	name     string
	date     time.Time
	dur      time.Duration
	gap      bool
	init     *initSegment
}

// A past is a run of segments that are kept, in memory or on disk.
type past struct {
	list   []pastSegment
	target int // seconds
	solo   bool
}

// between returns what of a rendition lies between two dates, to whole segments; a zero end
// stands for now. It takes no lock that a publisher holds for long.
func (r *rendition) between(from, to time.Time) past {
	s := r.now.Load() // before the shelf: what moves there in between is in both
	p := past{target: s.target, solo: s.solo}
	if to.IsZero() {
		to = s.edge.Add(time.Hour)
	}
	first := s.next
	if len(s.log) > 0 {
		first = s.log[0].number
	}
	first = max(first, r.oldest.Load()) // what left memory since is on the shelf, or gone
	shelf := r.shelf.between(from, to)
	p.list = shelf.segments(r.rule.epoch, first)
	for _, seg := range s.log {
		if seg.number >= first && seg.date.Add(seg.dur).After(from) && seg.date.Before(to) {
			p.list = append(p.list, pastSegment{seg.number, seg.timeline, seg.name, seg.date, seg.dur, seg.up == nil, seg.init})
		}
	}
	return p
}

// keptFrom is the number of the first segment that is kept, in memory or on disk.
func (r *rendition) keptFrom() uint64 {
	oldest := r.oldest.Load() // before the shelf: it takes what leaves memory first
	if n, ok := r.shelf.first(); ok {
		return n
	}
	return oldest
}

// segments returns those of a listing whose numbers are below before.
func (l *listing) segments(epoch string, before uint64) []pastSegment {
	out := make([]pastSegment, 0, len(l.all))
	for i := range l.all {
		s := &l.all[i]
		if s.number >= before {
			break
		}
		out = append(out, pastSegment{s.number, s.timeline, nameOf(epoch, s.number, l.words[s.ext]), s.begins().UTC(), s.dur, s.gap(), l.inits[s.init]})
	}
	return out
}

// lasts is how long all of it takes to play.
func (p *past) lasts() (d time.Duration) {
	for i := range p.list {
		d += p.list[i].dur
	}
	return d
}

// trim takes gaps off both ends: there is nothing to begin or end with.
func (p *past) trim() {
	for len(p.list) > 0 && p.list[0].gap {
		p.list = p.list[1:]
	}
	for n := len(p.list); n > 0 && p.list[n-1].gap; n-- {
		p.list = p.list[:n-1]
	}
}

// media is the past as a playlist whose media are at prefix. Where numbers are missing, as
// they are where a window began anew, there is a discontinuity, and the playlist counts on:
// its numbers mean what they mean in it.
func (p *past) media(kind playlist.PlaylistType, prefix string, ended bool) *playlist.Media {
	m := &playlist.Media{
		TargetDuration: p.target, Type: kind, EndList: ended, IndependentSegments: p.solo,
		EmitDiscontinuitySequence: true, Segments: make([]playlist.Segment, len(p.list)),
	}
	if len(p.list) > 0 {
		m.MediaSequence, m.DiscontinuitySequence = p.list[0].number, p.list[0].timeline
	}
	for i := range p.list {
		s := &p.list[i]
		x := &m.Segments[i]
		*x = playlist.Segment{URI: prefix + s.name, Duration: s.dur, ProgramDateTime: s.date, Gap: s.gap}
		x.Discontinuity = i > 0 && (s.timeline != p.list[i-1].timeline || s.number != p.list[i-1].number+1)
		if s.init != nil {
			x.Map = &playlist.Map{URI: prefix + s.init.name}
		}
	}
	return m
}
