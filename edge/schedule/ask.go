package schedule

import (
	"slices"
	"time"
)

// Due is that an object which upstream does not have may come any moment.
type Due struct {
	Rendition string
	Copy      any           // of the rendition's newest version
	At        time.Time     // when it should be there
	Target    time.Duration // how long a segment may take
	Listed    bool          // it is listed already
}

// soonest is the least time after which it is worth asking again.
const soonest = 100 * time.Millisecond

// Due tells whether the object of that key is one that should be there soon: one
// that is announced (EXT-X-PRELOAD-HINT), one of the next two by the pattern of
// the names, or one that is listed for less than a target duration: upstream may
// be several servers, not all of them as far as the one that listed it.
func (b *Book) Due(key string, now time.Time) (Due, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if o := b.objects[key]; o != nil {
		r := o.of
		if o.refs == 0 || r.kind != Live || !o.hint && now.Sub(o.listed) >= r.target || !r.current(now) {
			return Due{}, false
		}
		at := r.since.Add(r.pace())
		if !o.hint {
			at = now.Add(max(soonest, r.target/4))
		}
		return Due{r.id, r.held, at, r.target, !o.hint}, true
	}
	r, n, ok := b.follows(key)
	if !ok || r.kind != Live || n <= r.pattern.last || n > r.pattern.last+2 || !r.current(now) {
		return Due{}, false
	}
	return Due{r.id, r.held, r.since.Add(time.Duration(n-r.pattern.last) * r.pace()), r.target, false}, true
}

// current reports whether what is known of r is new enough to say what comes next.
func (r *rendition) current(now time.Time) bool {
	return r.lagging.IsZero() && now.Sub(r.since) < LagTargets*r.target
}

// pace is how long a segment lasts.
func (r *rendition) pace() time.Duration {
	if n := len(r.entries); n > 0 {
		if d := r.entries[n-1].dur; d > 0 {
			return d
		}
	}
	return r.target
}

// farAhead is how many segments beyond those that time allows are asked for all
// the same: clocks differ, and encoders catch up.
const farAhead = 8

// believed is for how long it is taken for true that upstream no longer has what
// it said so of; then it is asked once more.
const believed = 30 * time.Second

// longAgo is for how long after a list that was too long to be kept track of its
// names count as listed.
const longAgo = 10 * time.Minute

// Impossible tells whether there can be no object of that key: its name follows
// the pattern of a live rendition that has kept to it for several versions, and
// is far beyond what time allows, or older than several that upstream itself no
// longer has. Nothing that any playlist lists is impossible.
//
// One request a second to each rendition is let through nevertheless, for an
// encoder that leapt ahead: if it turns out to be there the pattern is given up.
func (b *Book) Impossible(key string, now time.Time) (why string, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.objects[key] != nil {
		return "", false
	}
	r, n, ok := b.follows(key)
	if !ok || r.kind != Live || r.confirmed < sure || !r.lagging.IsZero() {
		return "", false
	}
	switch {
	case n > r.farthest(now):
		why = "future"
	case r.lost.n == sure && n < r.lost.numbers[0] && now.Sub(r.lost.at) < believed && now.Sub(b.long[r.pattern.affix]) > longAgo:
		why = "past"
	default:
		return "", false
	}
	if now.Sub(r.probed) >= time.Second {
		r.probed = now
		return "", false
	}
	return why, true
}

// farthest is the highest number that there can be by now, with some to spare.
func (r *rendition) farthest(now time.Time) uint64 {
	elapsed := max(0, now.Sub(r.since))
	pace := r.pace() // the last one may be an uncommonly long one
	if n := len(r.entries); n > 0 {
		var all time.Duration
		for i := range r.entries {
			all += r.entries[i].dur
		}
		pace = min(pace, all/time.Duration(n))
	}
	return r.pattern.last + uint64(elapsed/max(pace/2, soonest)) + farAhead
}

// Answered notes how upstream answered for an object by its name: that it has it,
// or that it does not.
func (b *Book) Answered(key string, has bool, size int64, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if o := b.objects[key]; o != nil {
		if has && size > 0 && o.dur > 0 && !o.shared {
			o.of.media += size
			o.of.seconds += o.dur
			if o.of.seconds > 10*time.Minute {
				o.of.media /= 2
				o.of.seconds /= 2
			}
		}
		return
	}
	r, n, ok := b.follows(key)
	switch {
	case !ok || len(r.entries) == 0:
		return
	case has && n > r.farthest(now):
		r.confirmed = 0
		return
	case n+uint64(len(r.entries)) > r.pattern.last:
		return
	}
	l := &r.lost
	switch {
	case has && l.n > 0 && n < l.numbers[l.n-1]:
		*l = lost{} // older ones are there: it said so of single ones
	case !has && !slices.Contains(l.numbers[:l.n], n):
		if l.n < sure {
			l.numbers[l.n] = n
			l.n++
		} else if n < l.numbers[0] {
			return
		} else {
			l.numbers[0] = n
		}
		slices.Sort(l.numbers[:l.n])
		l.at = now
	}
}

// A Limit is for how long what concerns a rendition may be kept.
type Limit struct {
	Kind   Kind
	Target time.Duration
	Next   uint64        // the number behind its last segment
	Media  time.Duration // for how long its segments can be wanted
	Due    time.Duration // until an object that is not there yet should be; 0: it is not foretold
}

// Limit tells what is known of the rendition that key is the playlist of, that
// lists it, or whose names it follows.
func (b *Book) Limit(id, key string, now time.Time) (Limit, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	r := b.renditions[id]
	var lim Limit
	if r == nil {
		if o := b.objects[key]; o != nil {
			r = o.of
			if o.hint {
				lim.Due = max(soonest, r.since.Add(r.pace()).Sub(now))
			}
		} else if f, n, ok := b.follows(key); ok {
			if r = f; n > r.pattern.last && n <= r.pattern.last+2 && r.current(now) {
				lim.Due = max(soonest, r.since.Add(time.Duration(n-r.pattern.last)*r.pace()).Sub(now))
			}
		}
	}
	if r == nil {
		return lim, false
	}
	lim.Kind, lim.Target, lim.Next, lim.Media = r.kind, r.target, r.mark.next, 2*r.longest+r.target
	return lim, true
}

// Newest returns the caller's copy of the newest version of a rendition, nil if
// there is none.
func (b *Book) Newest(id string) any {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if r := b.renditions[id]; r != nil {
		return r.held
	}
	return nil
}

// Again reports whether tag, or else digest, is that of the newest version of a
// rendition: there is nothing to learn from it but that upstream does not lag.
func (b *Book) Again(id, tag string, digest uint64, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.renditions[id]
	if r == nil || !(tag != "" && slices.Contains(r.tags, tag) || tag == "" && r.digest == digest) {
		return false
	}
	r.lagging, r.suspect, r.seen = time.Time{}, suspect{}, now
	return true
}

// Names reports whether a rendition is known at all, and whether tag is one of its
// newest version.
func (b *Book) Names(id, tag string) (known, newest bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	r := b.renditions[id]
	return r != nil && r.kind == Live, r != nil && slices.Contains(r.tags, tag)
}

// Lists reports whether any playlist lists the object of that key.
func (b *Book) Lists(key string) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	o := b.objects[key]
	return o != nil && o.refs > 0 && !o.hint
}
