package bench

import (
	"fmt"
	"path"
	"time"

	"weir/playlist"
)

// A Rulebook remembers what a live media playlist has said so far and holds each next
// version to it (HLSbis 6.2.1, 6.2.2, 6.3.4). What is broken is told by the numbers of the
// server's duties: P1 and P2 target duration, P4 edits, P5 numbers, P6 what a number means,
// P7 discontinuities, P8 containers, P9 length, P12 media are there, P16 the end, P17 type,
// P20 dates.
type Rulebook struct {
	// Strict is for a reader that misses no version of one publishing: what is new follows
	// directly on what was.
	Strict bool
	// Frame is how far a date may be from where the one before it and its duration put it.
	// 0: 40 ms.
	Frame time.Duration
	// Remember is how many numbers behind the window are kept. 0: 1000.
	Remember int
	// Fetch, where set, gets a URI of the playlist as soon as it is listed, and returns why
	// it cannot be had, whole.
	Fetch func(uri string) error
	// Turned counts segments that were media and became gaps, as what an origin had not
	// written down may when it restarts.
	Turned int

	version
	seen    map[uint64]remembered // by media sequence number
	numbers map[string]uint64     // by URI
	maps    map[string]bool       // EXT-X-MAPs fetched
}

// version is what holds for a playlist as a whole.
type version struct {
	target        int
	sequence, end uint64 // the first number, and the one behind the last
	discSeq       uint64
	kind          playlist.PlaylistType
	ended, broken bool // broken: there was a discontinuity
}

type remembered struct {
	uri           string
	duration      time.Duration
	discontinuity uint64
	gap           bool
	date          time.Time
	section       string
}

// Check returns what version m breaks; nothing if it is in order.
func (r *Rulebook) Check(m *playlist.Media) (broken []string) {
	say := func(format string, args ...any) { broken = append(broken, fmt.Sprintf(format, args...)) }
	first := r.seen == nil
	if first {
		r.seen, r.numbers, r.maps = map[uint64]remembered{}, map[string]uint64{}, map[string]bool{}
	} else {
		r.edits(m, say)
	}
	r.dates(m, say)
	disc, container := m.DiscontinuitySequence, ""
	for i := range m.Segments {
		s := &m.Segments[i]
		n := m.MediaSequence + uint64(i)
		if s.Discontinuity {
			disc++
			container = ""
		}
		if rounded := int((s.Duration + time.Second/2) / time.Second); rounded > m.TargetDuration {
			say("P1: segment %d lasts %v, more than TARGETDURATION %d", n, s.Duration, m.TargetDuration)
		}
		if kind := path.Ext(s.URI); !s.Gap {
			if container != "" && kind != container {
				say("P8: segment %d is %s after %s, without a discontinuity", n, kind, container)
			}
			container = kind
		}
		now := remembered{s.URI, s.Duration, disc, s.Gap, s.ProgramDateTime, ""}
		if s.Map != nil {
			now.section = s.Map.URI
		}
		r.segment(n, now, say)
	}
	if m.EmitDiscontinuitySequence || m.DiscontinuitySequence > 0 {
		r.broken = false // nothing to miss
	} else if r.broken && m.MediaSequence > r.sequence {
		say("P7: a playlist that had discontinuities slides without EXT-X-DISCONTINUITY-SEQUENCE")
	}
	r.forget(m.MediaSequence)
	r.version = version{m.TargetDuration, m.MediaSequence, m.MediaSequence + uint64(len(m.Segments)), m.DiscontinuitySequence, m.Type,
		m.EndList, r.broken || disc > m.DiscontinuitySequence}
	return broken
}

// edits are what may change from one version to the next.
func (r *Rulebook) edits(m *playlist.Media, say func(string, ...any)) {
	end := m.MediaSequence + uint64(len(m.Segments))
	if m.TargetDuration != r.target {
		say("P2: TARGETDURATION went from %d to %d", r.target, m.TargetDuration)
	}
	if m.MediaSequence < r.sequence {
		say("P5: MEDIA-SEQUENCE fell from %d to %d", r.sequence, m.MediaSequence)
	}
	if m.DiscontinuitySequence < r.discSeq {
		say("P7: DISCONTINUITY-SEQUENCE fell from %d to %d", r.discSeq, m.DiscontinuitySequence)
	}
	if end < r.end {
		say("P4: the end went back from %d to %d", r.end, end)
	}
	if r.Strict && m.MediaSequence > r.end {
		say("P5: segments %d to %d were never listed", r.end, m.MediaSequence-1)
	}
	if r.ended && (!m.EndList || end != r.end || m.MediaSequence != r.sequence) {
		say("P16: ENDLIST was taken back, or what it ended was changed")
	}
	if m.Type != r.kind {
		say("P17: PLAYLIST-TYPE went from %q to %q", r.kind, m.Type)
	}
	if m.MediaSequence <= r.sequence {
		return
	}
	if m.Type != "" {
		say("P17: a playlist of type %s lost segments", m.Type)
	}
	if m.EndList || m.MediaSequence >= r.end { // nothing of what was is left
		return
	}
	var total time.Duration
	for i := range m.Segments {
		total += m.Segments[i].Duration
	}
	if total < 3*time.Duration(m.TargetDuration)*time.Second || len(m.Segments) < 6 {
		say("P9: segments were removed, and %v in %d segments are left", total, len(m.Segments))
	}
}

// segment holds what a number means now to what it meant.
func (r *Rulebook) segment(n uint64, now remembered, say func(string, ...any)) {
	if other, ok := r.numbers[now.uri]; ok && other != n {
		say("P6: %s is segment %d and was %d", now.uri, n, other)
	}
	before, known := r.seen[n]
	if known {
		same := now.uri == before.uri && now.duration == before.duration && now.discontinuity == before.discontinuity &&
			(now.date.Sub(before.date).Abs() <= r.frame() || now.date.IsZero() || before.date.IsZero())
		switch {
		case !same, !now.gap && !before.gap && now.section != before.section:
			say("P6, P7, P20: segment %d was %+v and is now %+v", n, before, now)
		case before.gap && !now.gap:
			say("P6: segment %d was a gap and is media now", n)
		case now.gap && !before.gap:
			r.Turned++
		}
	}
	r.seen[n], r.numbers[now.uri] = now, n
	if r.Fetch == nil || now.gap || known {
		return
	}
	if now.section != "" && !r.maps[now.section] {
		if err := r.Fetch(now.section); err != nil {
			say("P12: the EXT-X-MAP of segment %d: %v", n, err)
		}
		r.maps[now.section] = true
	}
	if err := r.Fetch(now.uri); err != nil {
		say("P12: segment %d: %v", n, err)
	}
}

// dates holds the dates of a version to its durations.
func (r *Rulebook) dates(m *playlist.Media, say func(string, ...any)) {
	var end time.Time // of the segment before, if that is known
	dated := false
	for i := range m.Segments {
		dated = dated || !m.Segments[i].ProgramDateTime.IsZero()
	}
	for i := range m.Segments {
		s := &m.Segments[i]
		n, at := m.MediaSequence+uint64(i), s.ProgramDateTime
		if at.IsZero() {
			if s.Discontinuity && dated {
				say("P20: segment %d begins behind a discontinuity without a date", n)
			}
			if at = end; s.Discontinuity {
				at = time.Time{}
			}
		}
		if off := at.Sub(end); !end.IsZero() && !at.IsZero() {
			switch {
			case !s.Discontinuity && off.Abs() > r.frame():
				say("P20: segment %d is dated %v from where its predecessor ends, without a discontinuity", n, off)
			case off < -time.Second:
				say("P20: segment %d is dated %v before its predecessor ends", n, -off)
			}
		}
		if end = at; !at.IsZero() {
			end = at.Add(s.Duration)
		}
	}
}

func (r *Rulebook) frame() time.Duration {
	if r.Frame == 0 {
		return 40 * time.Millisecond
	}
	return r.Frame
}

// forget lets go of what is long past.
func (r *Rulebook) forget(first uint64) {
	keep := uint64(r.Remember)
	if keep == 0 {
		keep = 1000
	}
	for n, s := range r.seen {
		if n+keep < first {
			delete(r.seen, n)
			if r.numbers[s.uri] == n {
				delete(r.numbers, s.uri)
			}
		}
	}
}

// Together returns what the media playlists of one channel, read at one moment, break of
// what HLSbis 6.2.4 demands of them as variants: one target duration, one type, the same
// discontinuity number for the same time.
func Together(all ...*playlist.Media) (broken []string) {
	type piece struct {
		from, to time.Time
		disc     uint64
	}
	var first []piece
	for i, m := range all {
		if m.TargetDuration != all[0].TargetDuration || m.Type != all[0].Type {
			broken = append(broken, fmt.Sprintf("6.2.4: variants have TARGETDURATION %d and %d, PLAYLIST-TYPE %q and %q",
				all[0].TargetDuration, m.TargetDuration, all[0].Type, m.Type))
		}
		var pieces []piece
		disc := m.DiscontinuitySequence
		for _, s := range m.Segments {
			if s.Discontinuity {
				disc++
			}
			if s.Duration > 100*time.Millisecond { // a filler stands for no time
				pieces = append(pieces, piece{s.ProgramDateTime, s.ProgramDateTime.Add(s.Duration), disc})
			}
		}
		if i == 0 {
			first = pieces
			continue
		}
		for _, a := range pieces {
			for _, b := range first {
				from, to := a.from, a.to
				if b.from.After(from) {
					from = b.from
				}
				if b.to.Before(to) {
					to = b.to
				}
				if to.Sub(from) > 100*time.Millisecond && a.disc != b.disc {
					broken = append(broken, fmt.Sprintf("6.2.4: at %v one variant has discontinuity number %d, another %d",
						from.UTC().Format("15:04:05.000"), b.disc, a.disc))
				}
			}
		}
	}
	return broken
}
