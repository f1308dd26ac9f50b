package origin

import (
	"slices"
	"time"
)

// Two encoders can push the same names under overlapping numbers at the same time: the old
// one was not stopped when the new one was started, or drains while its supervisor has
// replaced it already. And the last words of a stopped one may come late. So an intake knows
// several incarnations, each by what its own playlists told, and asks of each playlist whose
// it is.
//
// One of them is the present one, and it alone is published: two that take turns would make
// two seconds of stream a second, with a break at each segment. A new incarnation is present
// at once, as it is after any restart. A former one is present again when the present one has
// fallen silent and it has not.

const (
	maxFormer = 3                      // incarnations known besides the present one
	sameDate  = 250 * time.Millisecond // an encoder says the same date of a segment each time
)

// A run is one incarnation of the encoder, as far as its playlists tell.
type run struct {
	known map[uint64]mention // by sequence number
	first uint64             // number of the first segment of the playlist that goes furthest
	max   uint64             // and of the last: the highest it told of
	heard time.Time          // when something new of it came last
	init  *upload            // the init segment of what was published of it last
}

// A mention is what a run told of a segment.
type mention struct {
	path  string
	at    time.Time // when it was told of first
	date  time.Time // EXT-X-PROGRAM-DATE-TIME of this very segment; zero: none
	dur   time.Duration
	gen   uint64        // of the upload it is; 0: not known
	start time.Duration // its media time
	timed bool          // start is known
}

func newRun() *run { return &run{known: map[uint64]mention{}} }

// tell takes in a playlist of this run.
func (x *run) tell(p *pushed) {
	for i := range p.entries {
		e := &p.entries[i]
		t, ok := x.known[e.seq]
		if !ok {
			t = mention{path: e.path, at: p.at, dur: e.dur}
		}
		if t.date.IsZero() {
			t.date = e.pdt
		}
		x.known[e.seq] = t
	}
	last := p.last().seq
	if last > x.max || x.heard.IsZero() {
		x.heard = later(x.heard, p.at)
	}
	if last >= x.max {
		x.first, x.max = p.first(), last
	}
	if len(x.known) > 2*maxKnown {
		for seq := range x.known {
			if seq+maxKnown < last {
				delete(x.known, seq)
			}
		}
	}
}

// fit is how a playlist agrees with what a run told before.
type fit struct {
	same    int // entries it knows, by path and date
	dated   int // of these, or next to these, such that have the same date: that is no accident
	clashes int // entries that are others by their path or date
	far     int // of these, such that no clock that is read anew explains
}

func (x *run) fit(p *pushed) (n fit) {
	for i := range p.entries {
		e := &p.entries[i]
		t, ok := x.known[e.seq]
		if !ok {
			before, ok := x.known[e.seq-1]
			if ok && !before.date.IsZero() && !e.pdt.IsZero() && e.pdt.Sub(before.date.Add(before.dur)).Abs() <= sameDate {
				n.dated++
			}
			continue
		}
		compare := !t.date.IsZero() && !e.pdt.IsZero()
		switch {
		case t.path != e.path, compare && e.pdt.Sub(t.date).Abs() > sameDate:
			n.clashes++
			if t.path == e.path && e.pdt.Sub(t.date).Abs() > max(2*sameDate, e.dur/2) {
				n.far++
			}
			continue
		case compare:
			n.dated++
		}
		n.same++
	}
	return n
}

// reaches reports whether p can stand before or behind the playlist of this run that goes
// furthest: a list of the newest segments moves on only at both ends.
func (x *run) reaches(p *pushed) bool {
	if p.last().seq > x.max {
		return p.first() >= x.first && p.first() <= x.max+1
	}
	return p.first() <= x.first
}

// clock is the media time at which the segment of that number is to begin, by what was
// published of this run before it.
func (x *run) clock(seq uint64) (at time.Duration, ok bool) {
	for n := range uint64(16) {
		t, ok := x.known[seq-n]
		if !ok && n > 0 {
			return 0, false
		}
		if n > 0 {
			at += t.dur
		}
		if t.timed {
			return t.start + at, true
		}
	}
	return 0, false
}

// begins returns the media time at which u begins if it is this run's: fragments tell it only
// together with their init segment.
func (x *run) begins(u *upload) (at time.Duration, ok bool) {
	if u.outline == nil || x.init == nil || x.init.init == nil {
		return u.start, u.timed
	}
	s := u.outline.Segment(x.init.init)
	return s.Start, s.Timed
}

// off is by how much u begins beside where the segment of that number is to begin.
func (x *run) off(seq uint64, u *upload) (off time.Duration, ok bool) {
	want, ok := x.clock(seq)
	at, timed := x.begins(u)
	return apart(at, want, u.format == formatTS).Abs(), ok && timed
}

// made reports whether u may be this run's segment of that number: it told of it about when u
// came, or it comes next.
func (x *run) made(seq uint64, u *upload, hold, patience time.Duration) bool {
	if t, ok := x.known[seq]; ok {
		return t.path == u.path && (t.gen == 0 || t.gen == u.gen) && u.done.Sub(t.at).Abs() <= hold
	}
	return seq == x.max+1 && u.done.Sub(x.heard) <= patience
}

// whose returns the former incarnation that p is of; nil: the present one, or a new one.
//
// Dates that agree prove it. Without them what counts is who would go on with p: it lists one
// segment more than the last playlist of its run. What lists several segments that the
// present incarnation never uploaded, and a former one did, is the latter's. Where both would
// go on with p nothing can tell them apart, and it is taken for the present one's.
func (in *intake) whose(p *pushed, f files) *run {
	ours := in.fit(p)
	if ours.dated > 0 && ours.clashes == 0 {
		return nil
	}
	for _, x := range slices.Backward(in.former) {
		its := x.fit(p)
		switch {
		case its.clashes > 0 || its.same+its.dated == 0 && p.first() != x.max+1 || !x.reaches(p):
		case its.dated > 0:
			return x
		case in.refutes(x, p, f):
		case ours.clashes > 0 || in.leaves(x, p, &ours, f):
			return x
		}
	}
	return nil
}

// leaves decides by numbers and uploads alone whether p is x's rather than the present one's.
func (in *intake) leaves(x *run, p *pushed, ours *fit, f files) bool {
	last := p.last().seq
	if u := f.complete(p.last().path); u != nil && in.taken[u.path].gen != u.gen && x.made(last, u, in.hold, in.patience) {
		mine, ok := in.off(last, u)
		its, both := x.off(last, u)
		if ok && both && (mine-its).Abs() > 2*continuity {
			return its < mine
		}
	}
	next := last == x.max+1 && p.at.Sub(x.heard) <= in.patience
	switch {
	case last <= in.max && ours.same == len(p.entries):
		return next && last < in.max
	case last <= in.max:
		return true
	case last == in.max+1 && p.first() <= in.max+1:
		return false
	}
	return next || x.max > in.max && in.unseen(x, p, f) > 1
}

// unseen counts what p tells beyond the present incarnation and that it did not upload, or x
// may have.
func (in *intake) unseen(x *run, p *pushed, f files) (n int) {
	for i := range p.entries {
		e := &p.entries[i]
		u := f.complete(e.path)
		if e.seq <= in.max || e.gap || f.arriving(e.path) {
			continue
		}
		if u == nil || u.gen <= in.floor || x.made(e.seq, u, in.hold, in.patience) {
			n++
		}
	}
	return n
}

// refutes reports whether p cannot be x's: it lists what was uploaded again long after x told
// of it, and not by the present incarnation. So it is of a new one.
func (in *intake) refutes(x *run, p *pushed, f files) bool {
	for i := range p.entries {
		e := &p.entries[i]
		t, ok := x.known[e.seq]
		u := f.complete(e.path)
		if !ok || u == nil || !u.begun.After(t.at.Add(in.hold)) || e.seq == in.max+1 {
			continue
		}
		if own, ok := in.known[e.seq]; !ok || u.done.Sub(own.at).Abs() > in.hold {
			return true
		}
	}
	return false
}

// theirs reports whether u is a former incarnation's rather than the segment that e is of
// the present one. Media times decide where the two have clocks of their own; else who told
// of it when it came. Where both did, u is taken: viewers rather get what may be the other's
// media than none.
func (in *intake) theirs(e *entry, u *upload) bool {
	for _, x := range in.former {
		if t := x.known[e.seq]; t.gen > 0 && t.gen != u.gen {
			continue // it has that one
		}
		mine, ok := in.off(e.seq, u)
		its, both := x.off(e.seq, u)
		if ok && both && (mine-its).Abs() > 2*continuity {
			if its <= e.dur/2 && its < mine {
				return true
			}
			continue
		}
		if !x.made(e.seq, u, in.hold, in.patience) {
			continue
		}
		if t, ok := in.known[e.seq]; ok && u.done.Sub(t.at).Abs() > in.hold {
			return true
		}
	}
	return false
}

// toldOf takes in a playlist of a former incarnation. It becomes the present one again if
// that has fallen silent, with what it uploaded since.
func (in *intake) toldOf(x *run, p *pushed, f files) (steps []step) {
	news := p.last().seq > x.max
	x.tell(p)
	for i := range p.entries { // its clock, for telling its uploads from others
		e := &p.entries[i]
		t, u := x.known[e.seq], f.complete(e.path)
		if u == nil || t.gen > 0 {
			continue
		}
		if at, ok := x.begins(u); ok && in.taken[e.path].gen != u.gen && u.done.Sub(t.at).Abs() <= in.hold {
			if _, ok := in.known[e.seq]; !ok {
				t.gen, t.start, t.timed = u.gen, at, true
				x.known[e.seq] = t
			}
		}
	}
	over := in.ended && len(in.queue) == 0
	if !news || !over && p.at.Sub(in.heard) < in.patience {
		return nil
	}
	from := slices.IndexFunc(p.entries, func(e entry) bool {
		u := f.complete(e.path)
		if u == nil || u.gen <= in.newest.gen || in.taken[e.path].gen == u.gen {
			return false
		}
		off, ok := x.off(e.seq, u)
		return !ok || off <= e.dur/2
	})
	if from < 0 {
		return nil
	}
	steps = in.flush(f)
	in.former = slices.DeleteFunc(in.former, func(y *run) bool { return y == x })
	in.passOn(x)
	if u := f.complete(p.last().mapPath); u != nil { // what is there may be the other's
		in.initFloor = max(in.initFloor, u.gen)
	}
	in.enter(p, from, f)
	return steps
}

// passOn makes x the present incarnation.
func (in *intake) passOn(x *run) {
	if in.started {
		if in.former = append(in.former, in.run); len(in.former) > maxFormer {
			in.former = slices.Delete(in.former, 0, 1)
		}
		in.inc++
		in.floor, in.initFloor = max(in.floor, in.newest.gen), max(in.initFloor, in.newest.gen)
	}
	in.run, in.since = x, x.heard
}

// needs reports whether u is an init segment that may still be asked for, though its path
// means another by now.
func (in *intake) needs(u *upload) bool {
	return in.run.init == u || slices.ContainsFunc(in.former, func(x *run) bool { return x.init == u }) ||
		slices.ContainsFunc(in.queue, func(e entry) bool { return e.init == u })
}

// later returns the later of two moments.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
