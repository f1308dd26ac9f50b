package origin

import (
	"cmp"
	"slices"
	"strconv"
	"sync"
	"time"

	"weir/internal/seglog"
)

// A shelved is a segment that is no longer in memory: what its log on disk has of it. It is
// small, since a day of four renditions is 57,600 of them.
type shelved struct {
	number   uint64
	timeline uint64
	date     int64 // Unix nanoseconds of its first sample
	dur      time.Duration
	until    int64      // Unix nanoseconds: it may be asked for until then, DVR or not
	body     seglog.Ref // zero: a gap
	ext      uint8      // index in archive.words
	init     uint16     // index in archive.inits; 0: none
}

func (s *shelved) begins() time.Time { return time.Unix(0, s.date) }
func (s *shelved) ends() time.Time   { return time.Unix(0, s.date).Add(s.dur) }
func (s *shelved) gap() bool         { return s.body.IsZero() }

// An archive is the part of a rendition's log that is on disk alone, by number; numbers may
// be missing where the window began anew. Only the channel's lock holder changes it; anybody
// reads it.
type archive struct {
	mu      sync.RWMutex // guards what follows
	all     []shelved
	words   []string       // endings of names
	inits   []*initSegment // used by all; [0] is nil
	longest time.Duration  // of the playlists over it that were served
	cleared uint64         // files up to this one are gone, and nothing names them any more
	spoilt  uint64         // counts changes of what stays
	least   uint64         // the oldest file that a body is in; 0: none, or not known
	known   bool           // least is
}

func newArchive() *archive { return &archive{inits: []*initSegment{nil}} }

// add shelves a segment: the number is above all there are.
func (a *archive) add(s shelved, ext string, init *initSegment) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.Index(a.words, ext)
	if i < 0 && len(a.words) < 255 {
		i, a.words = len(a.words), append(a.words, ext)
	}
	s.ext = uint8(max(i, 0))
	if init != nil {
		i := slices.Index(a.inits, init)
		if i < 0 { // in the place of one that is not used any more, if there is
			if i = slices.Index(a.inits[1:], nil) + 1; i > 0 {
				a.inits[i] = init
			}
		}
		if i <= 0 && len(a.inits) < 1<<16 {
			i, a.inits = len(a.inits), append(a.inits, init)
		}
		if i <= 0 {
			s.body = seglog.Ref{} // nothing plays it without
		}
		s.init = uint16(max(i, 0))
	}
	a.all = append(a.all, s)
	a.note(s.body)
}

// find returns the segment of that number.
func (a *archive) find(number uint64) (s shelved, ext string, init *initSegment, ok bool) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	i, ok := slices.BinarySearchFunc(a.all, number, func(s shelved, n uint64) int { return cmp.Compare(s.number, n) })
	if !ok {
		return shelved{}, "", nil, false
	}
	s = a.all[i]
	return s, a.words[s.ext], a.inits[s.init], true
}

// spoil makes a gap of a segment whose bytes turned out to be damaged.
func (a *archive) spoil(number uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i, ok := slices.BinarySearchFunc(a.all, number, func(s shelved, n uint64) int { return cmp.Compare(s.number, n) })
	if ok {
		a.all[i].body = seglog.Ref{}
		a.known = false
		a.spoilt++
	}
}

// fill says where the body of a segment is that was shelved before it was durable.
func (a *archive) fill(number uint64, ref seglog.Ref) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i, ok := slices.BinarySearchFunc(a.all, number, func(s shelved, n uint64) int { return cmp.Compare(s.number, n) })
	if ok {
		a.all[i].body = ref
		a.note(ref)
		a.spoilt++
	}
}

// changes counts how often a segment that stays became another: a gap.
func (a *archive) changes() uint64 {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.spoilt
}

// initOf finds an init segment of that name that a shelved segment needs.
func (a *archive) initOf(name string) *initSegment {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for _, i := range a.inits {
		if i != nil && i.name == name {
			return i
		}
	}
	return nil
}

// A listing is a copy of a part of an archive, to render.
type listing struct {
	all   []shelved
	words []string
	inits []*initSegment
}

// between returns the segments of which some part lies between two dates.
func (a *archive) between(from, to time.Time) listing {
	a.mu.RLock()
	defer a.mu.RUnlock()
	lo, hi := from.UnixNano(), to.UnixNano()
	i, _ := slices.BinarySearchFunc(a.all, lo, func(s shelved, t int64) int { // the first that ends after from
		if s.date+int64(s.dur) <= t {
			return -1
		}
		return 1
	})
	j := i
	for j < len(a.all) && a.all[j].date < hi {
		j++
	}
	return listing{slices.Clone(a.all[i:j]), slices.Clone(a.words), slices.Clone(a.inits)}
}

// served notes how long a playlist over the archive was: its segments stay as much longer
// (Availability Duration, HLSbis 6.2.2).
func (a *archive) served(d time.Duration) {
	a.mu.Lock()
	a.longest = max(a.longest, d)
	a.mu.Unlock()
}

// expire forgets the segments at the front that nobody may ask for any more: those older
// than depth, and all whose bodies lie in files up to and with gone.
func (a *archive) expire(now time.Time, depth time.Duration, gone uint64) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for n < len(a.all) {
		s := &a.all[n]
		due := max(s.until, s.date+int64(s.dur+depth+min(a.longest, depth)))
		if lost := !s.gap() && s.body.File <= gone; !lost && (depth == 0 && now.UnixNano() < s.until || depth > 0 && now.UnixNano() < due) {
			break
		}
		n++
	}
	for i := n; gone > a.cleared && i < len(a.all); i++ { // written again after a failure, a body may lie out of order
		if s := &a.all[i]; !s.gap() && s.body.File <= gone {
			s.body = seglog.Ref{}
			a.spoilt++
		}
	}
	if n > 0 || gone > a.cleared {
		a.known = false
	}
	a.cleared = max(a.cleared, gone)
	if n == 0 {
		return 0
	}
	a.all = slices.Delete(a.all, 0, n)
	used := make([]bool, len(a.inits))
	for i := range a.all {
		used[a.all[i].init] = true
	}
	for i := range a.inits {
		if !used[i] {
			a.inits[i] = nil // its place stays, for another: indexes point past it
		}
	}
	return n
}

// needs returns the oldest file that a segment's body is in; 0: none is needed. It is asked
// every second, of a day of segments: it looks at them only where something went.
func (a *archive) needs() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.known {
		return a.least
	}
	a.least, a.known = 0, true
	for i := range a.all {
		a.note(a.all[i].body)
	}
	return a.least
}

// note takes a body into least.
func (a *archive) note(body seglog.Ref) {
	if !body.IsZero() && (a.least == 0 || body.File < a.least) {
		a.least = body.File
	}
}

// due returns the oldest file with a body that is within its Availability Duration still, where
// segments are kept for retention and the longest playlist was that long; 0: there is none.
func (a *archive) due(now time.Time, retention, longest time.Duration) (file uint64) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for i := len(a.all) - 1; i >= 0; i-- {
		s := &a.all[i]
		if s.until-int64(max(0, retention-longest-s.dur)) <= now.UnixNano() {
			break
		}
		if !s.gap() && (file == 0 || s.body.File < file) {
			file = s.body.File
		}
	}
	return file
}

// first returns the number of the first segment.
func (a *archive) first() (number uint64, ok bool) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if len(a.all) == 0 {
		return 0, false
	}
	return a.all[0].number, true
}

// span returns when the first segment begins and the last ends, and how many there are.
func (a *archive) span() (from, to time.Time, n int) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if n = len(a.all); n > 0 {
		from, to = a.all[0].begins(), a.all[n-1].ends()
	}
	return from, to, n
}

// nameOf is the name under which a segment is published: a function of epoch and number.
func nameOf(epoch string, number uint64, ext string) string {
	return epoch + "-" + strconv.FormatUint(number, 10) + ext
}
