package origin

import (
	"hash/fnv"
	"slices"
	"time"

	"weir/playlist"
)

// A dateRange is one that is told. It never changes; another takes its place.
type dateRange struct {
	playlist.DateRange
	ends   time.Time     // the first date that is not of it; zero: not known, it stays
	shift  time.Duration // of its dates against those its encoder told
	pushed bool          // its encoder told it last, and not the operator
	told   time.Time     // when an encoder told it last
	left   bool          // its encoder tells it no more, and never told its end: it goes with its start
}

// reach returns those of list that reach into a window: "MUST NOT remove an EXT-X-DATERANGE
// tag ... if any date in the range maps to a Media Segment in the Playlist" (HLSbis 6.2.1).
func reach(list []dateRange, window []*segment) (out []playlist.DateRange) {
	if len(window) == 0 {
		return nil
	}
	for i := range list {
		if d := &list[i]; !d.before(window[0].date) {
			out = append(out, d.DateRange)
		}
	}
	return out
}

// before reports whether all dates of d are before t.
func (d *dateRange) before(t time.Time) bool {
	if d.left {
		return d.Start.Before(t)
	}
	return !d.ends.IsZero() && (d.ends.Before(t) || d.ends.Equal(t) && d.Start.Before(t))
}

// end returns the first date that is not of d; zero: nobody knows. "The end of [its] range is
// equal to the START-DATE of its Following Range", that of the same CLASS "with the earliest
// START-DATE after" its own (HLSbis 4.4.5.1).
func (d *dateRange) end(all []dateRange) (t time.Time) {
	switch {
	case !d.End.IsZero():
		return d.End
	case d.Duration != nil:
		return d.Start.Add(*d.Duration)
	case !d.EndOnNext:
		return t
	}
	for i := range all {
		o := &all[i]
		if o.Class == d.Class && o.Start.After(d.Start) && (t.IsZero() || o.Start.Before(t)) {
			t = o.Start
		}
	}
	return t
}

// brought brings the encoder's dates to ours, in milliseconds, as they are rendered.
func (d *dateRange) brought() {
	for _, t := range []*time.Time{&d.Start, &d.End} {
		if !t.IsZero() {
			*t = t.Add(d.shift).Truncate(time.Millisecond)
		}
	}
}

// datedAs notes how the dates of r's encoder, to which the segment published last begins at
// clock, relate to ours. One that dates no segment means the time of day.
func (r *rendition) datedAs(clock time.Time) {
	r.skewed = true
	if !clock.IsZero() {
		r.skew = r.log[len(r.log)-1].date.Sub(clock)
	}
}

func indexOf(list []dateRange, id string) int {
	return slices.IndexFunc(list, func(d dateRange) bool { return d.ID == id })
}

func plain(list []dateRange) []playlist.DateRange {
	out := make([]playlist.DateRange, len(list))
	for i := range list {
		out[i] = list[i].DateRange
	}
	return out
}

// size is about how many bytes of a playlist they are.
func size(list []dateRange) (n int) {
	for i := range list {
		n += sizeOf(&list[i].DateRange)
	}
	return n
}

func sizeOf(d *playlist.DateRange) int {
	n := 160 + len(d.ID) + len(d.Class) + len(d.SCTE35Cmd) + len(d.SCTE35Out) + len(d.SCTE35In)
	for i := range d.X {
		n += 2 + len(d.X[i].Name) + len(d.X[i].Value)
	}
	return n
}

// spentIDs remembers the IDs spent last, by their hash. It forgets those spent first, which
// no viewer who is still there has seen.
type spentIDs struct {
	Hashes []uint64 // in the order they were spent, once there are maxSpent from Next on
	Next   int
	known  map[uint64]bool
}

func hashOf(id string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id))
	return h.Sum64()
}

func (s *spentIDs) has(id string) bool { return s.known[hashOf(id)] }

func (s *spentIDs) add(id string) {
	h := hashOf(id)
	if s.known[h] {
		return
	}
	if s.known == nil {
		s.known = map[uint64]bool{}
	}
	s.known[h] = true
	if len(s.Hashes) < maxSpent {
		s.Hashes = append(s.Hashes, h)
		return
	}
	delete(s.known, s.Hashes[s.Next])
	s.Hashes[s.Next] = h
	s.Next = (s.Next + 1) % maxSpent
}
