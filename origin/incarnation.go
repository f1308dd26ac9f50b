package origin

import "time"

// renewed looks in p for proof that the encoder started over: a segment of this incarnation
// whose path has been uploaded again since, with other bytes. An encoder can also make the
// very same bytes again, or begin with a number whose segment was lost before; what proves it
// then is that the playlist falls back, and that its last segment was uploaded after its
// successors. It returns the index of the first segment uploaded again, or -1, and how many
// behind it were not: the last one may still be on its way, while a playlist that lists more
// of them is an old one that came late.
func (in *intake) renewed(p *pushed, f files) (from, lacks int) {
	if p.turn < in.newest.turn {
		return -1, 0 // the encoder went on after this playlist
	}
	if n := in.fit(p); n.dated > 0 && n.clashes == 0 {
		return -1, 0 // it is this very run's
	}
	from = -1
	proof := false
	for i := range p.entries {
		e := &p.entries[i]
		u, t := f.complete(e.path), in.taken[e.path]
		if u == nil || u.gen <= in.newest.gen {
			// An encoder that starts over begins its uploads after all of the old run's.
			if from >= 0 && !e.gap && !f.arriving(e.path) {
				lacks++
			}
			continue
		}
		if in.rivals(e.seq, u) {
			continue
		}
		fellBack := i == len(p.entries)-1 && e.seq < in.newest.seq && in.known[e.seq].path == e.path
		again := t.gen > 0 && t.inc == in.inc && t.seq == e.seq
		if !again && !(fellBack && (t.gen == 0 || t.inc < in.inc)) {
			continue
		}
		if from < 0 {
			from = i
		}
		proof = proof || fellBack || u.sum != t.sum
	}
	if !proof || in.newest.inc != in.inc && in.fresh {
		return -1, 0
	}
	return from, lacks
}

// rivals reports whether u was uploaded by a former incarnation that still runs, and so
// proves nothing.
func (in *intake) rivals(seq uint64, u *upload) bool {
	for _, x := range in.former {
		if x.made(seq, u, in.hold, in.patience) && x.heard.After(in.since) {
			return true
		}
	}
	return false
}

// foreign reports whether p cannot be of this incarnation, though it does not go beyond it:
// it gives another path to a number, or falls back to numbers never told of.
func (in *intake) foreign(p *pushed) bool {
	for i := range p.entries {
		if t, ok := in.known[p.entries[i].seq]; ok && t.path != p.entries[i].path {
			return true
		}
	}
	_, ok := in.known[p.last().seq]
	return !ok && p.last().seq <= in.max
}

// another reports whether p gives other dates to all that this incarnation told of, so that it
// is of another, though nothing of that was uploaded yet or all of it was lost.
func (in *intake) another(p *pushed) bool {
	n := in.fit(p)
	return n.far > 0 && n.same == 0
}

// strays reports whether p, which begins beyond all that this incarnation told of, is of
// another: its media times, or else its dates, are not as far away as the numbers tell, and
// so the numbers between are no loss. Where neither is known, a list that is much shorter
// than the one before it is the beginning of another, too.
func (in *intake) strays(p *pushed, f files) bool {
	e, last := &p.entries[0], in.known[in.max]
	if e.seq <= in.max {
		return false
	}
	lost := time.Duration(min(e.seq-in.max-1, maxMissed)) * e.dur
	slack := (lost + e.dur) / 2
	was, ok := in.clock(in.max)
	if u := f.complete(e.path); ok && u != nil && u.gen > in.floor {
		if at, ok := in.begins(u); ok {
			return (apart(at, was, u.format == formatTS) - last.dur - lost).Abs() > slack
		}
	}
	if !last.date.IsZero() && !e.pdt.IsZero() {
		off := (e.pdt.Sub(last.date) - last.dur - lost).Abs() > slack
		if lost > 0 || !off { // the clock alone may have been set
			return off
		}
	}
	return 2*uint64(len(p.entries)) <= in.max+1-in.first
}

// restart ends an incarnation and begins the next. Whatever the old one left complete is
// published first; what it left incomplete will not come any more.
func (in *intake) restart(p *pushed, from int, f files) []step {
	steps := in.flush(f)
	in.begin(p, from, f)
	return steps
}

// flush publishes what is complete, with gaps between, and forgets the rest.
func (in *intake) flush(f files) (steps []step) {
	whole := func(e *entry) bool {
		return in.usable(e, f) != nil && (e.mapPath == "" || e.init != nil)
	}
	n := len(in.queue)
	for n > 0 && !whole(&in.queue[n-1]) {
		n--
	}
	for range n {
		if e := &in.queue[0]; whole(e) {
			steps = append(steps, in.take(in.usable(e, f)))
		} else {
			steps = append(steps, in.gap(gapLost))
		}
	}
	in.queue = nil
	return steps
}
