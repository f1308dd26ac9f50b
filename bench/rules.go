package bench

import (
	"fmt"
	"time"

	"weir/playlist"
)

// A Rulebook remembers what a live media playlist has said so far and holds
// each next version to it (HLSbis 6.2.1, 6.2.2, 6.3.4).
type Rulebook struct {
	target   int
	sequence uint64
	discSeq  uint64
	seen     map[uint64]remembered // by media sequence number
	ended    bool
}

type remembered struct {
	uri           string
	duration      time.Duration
	discontinuity uint64
}

// Check returns what version m breaks; nothing if it is in order.
func (r *Rulebook) Check(m *playlist.Media) (broken []string) {
	say := func(format string, args ...any) { broken = append(broken, fmt.Sprintf(format, args...)) }
	first := r.seen == nil
	if first {
		r.seen = map[uint64]remembered{}
	} else {
		if m.TargetDuration != r.target {
			say("TARGETDURATION went from %d to %d", r.target, m.TargetDuration)
		}
		if m.MediaSequence < r.sequence {
			say("MEDIA-SEQUENCE fell from %d to %d", r.sequence, m.MediaSequence)
		}
		if m.DiscontinuitySequence < r.discSeq {
			say("DISCONTINUITY-SEQUENCE fell from %d to %d", r.discSeq, m.DiscontinuitySequence)
		}
		if r.ended && !m.EndList {
			say("ENDLIST was taken back")
		}
	}
	disc := m.DiscontinuitySequence
	for i, s := range m.Segments {
		n := m.MediaSequence + uint64(i)
		if s.Discontinuity {
			disc++
		}
		if rounded := int((s.Duration + time.Second/2) / time.Second); rounded > m.TargetDuration {
			say("segment %d lasts %v, more than TARGETDURATION %d", n, s.Duration, m.TargetDuration)
		}
		now := remembered{s.URI, s.Duration, disc}
		if before, ok := r.seen[n]; ok && before != now {
			say("segment %d was %+v and is now %+v", n, before, now)
		}
		r.seen[n] = now
	}
	for n := range r.seen { // what left the window is past
		if n+1000 < m.MediaSequence {
			delete(r.seen, n)
		}
	}
	r.target, r.sequence, r.discSeq, r.ended = m.TargetDuration, m.MediaSequence, m.DiscontinuitySequence, m.EndList
	return broken
}
