package schedule

import (
	"slices"
	"strings"
	"time"
)

// A Version is a playlist that upstream answered.
type Version struct {
	ID         string   // the rendition: the playlist's key without directives
	Publishing string   // what upstream calls the publishing; "": nothing
	Tag        string   // what upstream calls this version (a strong entity tag); "": nothing
	Digest     uint64   // of the text
	Listing    *Listing // what it says
	Copy       any      // kept while it is the newest, for whoever is answered with something older
	CopyBytes  int64
	Now        time.Time

	// Key makes the key of a URI in this playlist, "" where it leads elsewhere
	// or is no place to ask.
	Key func(uri string) string
}

// A Report is what a version means.
type Report struct {
	Verdict Verdict
	Kind    Kind
	Target  time.Duration
	Next    uint64 // the number behind the last segment

	New       []string      // objects that were not listed before, in order; none of the first version
	Before    []string      // the last few segments before those
	Expired   []string      // objects that nobody may want any more, of this and other renditions
	Former    []string      // objects of the publishing before, whose names may mean something else now
	Newest    any           // Older: the copy of the newest version; nil: there is none
	Lagging   time.Duration // Older: since when upstream had nothing newer
	Elsewhere int           // URIs that lead elsewhere
}

// before is how many segments Report.Before has.
const before = 3

// maxPast bounds the URIs remembered of segments that left.
const maxPast = 256

// copyCost is charged for a copy beside its bytes, and for a rendition.
const copyCost = 1 << 10

// Nobody still plays what upstream had last so many target durations ago, or so
// long: what comes then is taken as it is. An hour-old copy would help nobody, and
// an error for as long as the only origin left lags, stands still or has ended
// would be an outage that the edge made.
const (
	forgotten      = 10
	leastForgotten = 30 * time.Second
)

// Observe takes a version of a media playlist in.
func (b *Book) Observe(v Version) Report {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := v.Listing
	m := mark{v.Publishing, l.Sequence, l.Next(), l.Discontinuity, l.Tail, l.End}
	r := b.renditions[v.ID]
	rep := Report{Verdict: First, Next: m.next}
	switch {
	case r == nil && l.Skipped > 0:
		return Report{Verdict: Ignored} // a delta update of something unknown
	case r == nil:
		r = &rendition{id: strings.Clone(v.ID), mark: m}
	default:
		last := ""
		if n := len(l.Segments); n > 0 {
			last = l.Segments[n-1].URI
		}
		if rep.Verdict = r.compare(m, last, v.Now); rep.Verdict == Restarted && l.Skipped > 0 {
			rep.Verdict = Older // until it is told whole
		}
	}
	if rep.Verdict == Older && v.Now.Sub(r.seen) > max(forgotten*r.target, leastForgotten) && l.Skipped == 0 {
		rep.Verdict = Restarted
	}
	if rep.Verdict == Older {
		if r.lagging.IsZero() {
			r.lagging = v.Now
		}
		rep.Kind, rep.Target, rep.Newest, rep.Lagging = r.kind, r.target, r.held, v.Now.Sub(r.lagging)
		return rep
	}
	if rep.Verdict == First {
		b.renditions[r.id] = r
		r.at = b.recent.PushFront(r)
		r.charge(b, int64(len(r.id))+copyCost)
	} else {
		b.recent.MoveToFront(r.at)
	}
	if rep.Verdict != Same {
		r.lagging, r.suspect, r.tags = time.Time{}, suspect{}, nil
		r.since, r.mark = v.Now, m
	}
	r.seen = v.Now
	if v.Tag != "" && !slices.Contains(r.tags, v.Tag) && len(r.tags) < 4 {
		r.tags = append(r.tags, strings.Clone(v.Tag))
	}
	r.digest, r.target = v.Digest, l.Target
	if r.kind = Live; l.End {
		r.kind = VOD
	}
	if l.Skipped == 0 && v.Copy != nil {
		r.charge(b, v.CopyBytes-r.heldBytes)
		r.held, r.heldBytes = v.Copy, v.CopyBytes
	}
	if rep.Verdict == Restarted && v.Publishing == "" {
		rep.Former = r.keys()
		for _, uri := range r.past { // may still be fetched, and kept
			if key := v.Key(uri); key != "" {
				rep.Former = append(rep.Former, key)
			}
		}
	}
	b.list(r, &v, &rep)
	rep.Kind, rep.Target = r.kind, r.target
	rep.Expired = b.expired(v.Now)
	b.shrink(r)
	if b.bytes > b.opts.Bytes { // it alone is too much
		b.drop(r)
		return Report{Verdict: Ignored}
	}
	return rep
}

func (r *rendition) charge(b *Book, n int64) {
	r.cost += n
	b.bytes += n
}

// keys returns what is listed.
func (r *rendition) keys() (keys []string) {
	for _, e := range r.entries {
		for _, o := range [...]*object{e.section, e.obj} {
			if o != nil && (len(keys) == 0 || keys[len(keys)-1] != o.key) {
				keys = append(keys, o.key)
			}
		}
	}
	return keys
}

// maxTracked is how many segments of a playlist that still grows are kept track
// of, from its end: a DVR list of hours is renewed with every segment, for every
// point that somebody starts over from.
const maxTracked = 2_000

// list makes what v lists what r lists.
func (b *Book) list(r *rendition, v *Version, rep *Report) {
	l := v.Listing
	was, first := r.entries, r.first
	had := rep.Verdict != First
	segments, carried := l.Segments, l.Skipped
	if !l.End {
		segments = segments[max(0, len(segments)-maxTracked):]
		carried = min(carried, maxTracked-len(segments))
	}
	base := l.Sequence + uint64(l.Skipped) + uint64(len(l.Segments)-len(segments)) // the number of the first of segments
	begin := base - uint64(carried)
	if carried > 0 && (begin < first || base > first+uint64(len(was))) {
		return // it leaves out what is not known: the next whole one says
	}
	now := make([]entry, 0, carried+len(segments))
	if carried > 0 {
		now = append(now, was[begin-first:base-first]...)
	}
	kept := len(now) // mentions that go over from was
	names := namer{b: b, r: r, v: v}
	for i := range segments {
		s := &segments[i]
		n := base + uint64(i)
		var e entry
		if n >= first && n-first < uint64(len(was)) && was[n-first].uri == s.URI && rep.Verdict != Restarted && kept == len(now) {
			e = was[n-first]
			kept++
		} else {
			e = names.entry(s)
		}
		now = append(now, e)
	}
	r.entries, r.first = now, begin
	r.total = time.Duration(l.Skipped-carried) * r.target
	for i := range l.Segments {
		r.total += l.Segments[i].Duration
	}
	for i := range carried {
		r.total += now[i].dur
	}
	var cost int64
	for i := range now {
		cost += entryCost + int64(len(now[i].uri))
	}
	r.charge(b, cost-r.entryCost)
	r.entryCost = cost
	r.longest = max(r.longest, r.total)
	var parts []*object
	for i, list := range [...][]string{l.Parts, l.Hints} {
		for _, uri := range list {
			if key := v.Key(uri); key != "" {
				o := b.name(r, key, 0, v.Now)
				fresh := o.hint || o.listed.Equal(v.Now) && o.refs == 1
				if o.hint = i == 1; !o.hint && fresh {
					o.listed = v.Now
					names.fresh = append(names.fresh, o)
				}
				parts = append(parts, o)
			}
		}
	}
	for i := range now {
		if o := now[i].obj; o != nil {
			o.longest = max(o.longest, r.total)
			if s := now[i].section; s != nil {
				s.longest, s.dur = max(s.longest, r.total), max(s.dur, now[i].dur)
			}
			if !had && i < len(now)-1 {
				o.listed = v.Now.Add(-r.target) // it is not new, only we are
			}
		}
	}
	// What is not listed any more.
	for i := range was {
		n := first + uint64(i)
		if n >= begin && n-begin < uint64(kept) {
			continue
		}
		b.unref(&was[i], v.Now)
		if rep.Verdict != Restarted {
			r.past = append(r.past, was[i].uri)
		}
	}
	if len(r.past) > maxPast {
		r.past = slices.Clone(r.past[len(r.past)-maxPast:])
	}
	if rep.Verdict == Restarted {
		r.past = nil
	}
	for _, o := range r.parts {
		o.longest = max(o.longest, LagTargets*r.target)
		b.release(o, v.Now)
	}
	r.parts = parts
	rep.Elsewhere = names.elsewhere
	if had {
		rep.report(r, names.fresh)
	}
	b.learn(r, rep.Verdict)
}

// report names what is new, and what was there before it.
func (rep *Report) report(r *rendition, fresh []*object) {
	isNew := make(map[*object]bool, len(fresh))
	for _, o := range fresh {
		rep.New = append(rep.New, o.key)
		isNew[o] = true
	}
	for i := len(r.entries) - 1; i >= 0 && len(rep.Before) < before; i-- {
		if o := r.entries[i].obj; o != nil && !isNew[o] && !r.entries[i].gap {
			rep.Before = append(rep.Before, o.key)
		}
	}
}

// A namer makes entries of the segments of one version.
type namer struct {
	b *Book
	r *rendition
	v *Version

	mapURI, keyURI  string // that which section and secret are
	section, secret *object
	last            *object   // of the segment before
	fresh           []*object // what had not been heard of
	elsewhere       int
}

// entryCost is about what an entry takes beside its URI.
const entryCost = 96

func (n *namer) entry(s *Segment) entry {
	e := entry{uri: strings.Clone(s.URI), dur: s.Duration, gap: s.Gap}
	e.section = n.again(s.Map, &n.mapURI, &n.section)
	e.secret = n.again(s.Key, &n.keyURI, &n.secret)
	if e.obj = n.mention(s.URI, s.Duration); e.obj != nil {
		e.obj.shared = e.obj.shared || e.obj == n.last
		n.last = e.obj
	}
	if s.Gap && e.obj != nil { // there is nothing to be had
		n.fresh = slices.DeleteFunc(n.fresh, func(o *object) bool { return o == e.obj })
	}
	return e
}

// again mentions what the segment before may have mentioned too.
func (n *namer) again(uri string, last *string, o **object) *object {
	switch {
	case uri == "":
		return nil
	case uri != *last:
		*last, *o = uri, n.mention(uri, 0)
	case *o != nil:
		(*o).refs++
	}
	return *o
}

func (n *namer) mention(uri string, dur time.Duration) *object {
	key := n.v.Key(uri)
	if key == "" {
		n.elsewhere++
		return nil
	}
	o := n.b.name(n.r, key, dur, n.v.Now)
	if o.hint || o.refs == 1 && o.listed.Equal(n.v.Now) {
		o.hint, o.listed = false, n.v.Now
		n.fresh = append(n.fresh, o)
	}
	return o
}
