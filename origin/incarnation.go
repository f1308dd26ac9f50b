package origin

import "time"

// renewed looks in p for proof that the encoder started over: a segment of this incarnation
// whose path has been uploaded again since, with other bytes. An encoder can also make the
// very same bytes again, or begin with a number whose segment was lost before; what proves it
// then is that the playlist falls back, and that its last segment was uploaded after its
// successors. It returns the index of the first segment uploaded again, or -1.
func (in *intake) renewed(p *pushed, f files) int {
	if p.turn < in.newest.turn {
		return -1 // the encoder went on after this playlist
	}
	from, proof := -1, false
	for i := range p.entries {
		e := &p.entries[i]
		u, t := f.complete(e.path), in.taken[e.path]
		if u == nil || u.gen <= in.newest.gen {
			continue // an encoder that starts over begins its uploads after all of the old run's
		}
		fellBack := i == len(p.entries)-1 && e.seq < in.newest.seq && in.known[e.seq] == e.path
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
		return -1
	}
	return from
}

// foreign reports whether p cannot be of this incarnation, though it does not go beyond it:
// it gives another path to a number, or falls back to numbers never told of.
func (in *intake) foreign(p *pushed) bool {
	for i := range p.entries {
		if path, ok := in.known[p.entries[i].seq]; ok && path != p.entries[i].path {
			return true
		}
	}
	_, ok := in.known[p.last().seq]
	return !ok && p.last().seq <= in.max
}

// echo reports whether p is an earlier incarnation's voice: it lists what was published of that,
// and nothing that is of this one. Two encoders push at once then, as when an old one is not
// dead yet. Of what both call by the same name we have only what came last, so that turning
// from one to the other and back would lose media of both.
func (in *intake) echo(p *pushed, f files) (old bool) {
	for i := range p.entries {
		e := &p.entries[i]
		u, t := f.complete(e.path), in.taken[e.path]
		switch {
		case in.known[e.seq] == e.path && (t.inc == in.inc || u != nil && u.gen > t.gen):
			return false
		case t.gen > 0 && t.inc < in.inc && t.seq == e.seq && (u == nil || u.gen <= t.gen):
			old = true
		}
	}
	return old
}

// speaks reports whether the present incarnation has given a sign of life lately.
func (in *intake) speaks(now time.Time) bool {
	last := in.since
	if in.newest.inc == in.inc && in.newest.begun.After(last) {
		last = in.newest.begun
	}
	return now.Sub(last) <= 2*in.hold
}

// restart ends an incarnation and begins the next. Whatever the old one left complete is
// published first; what it left incomplete will not come any more.
func (in *intake) restart(p *pushed, from int, f files) []step {
	steps := in.flush(f)
	in.inc++
	in.floor, in.initFloor = max(in.floor, in.newest.gen), max(in.initFloor, in.newest.gen)
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
