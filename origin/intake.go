package origin

import (
	"slices"
	"time"
)

// The encoder's text and the bytes it uploads come over separate connections, in any order,
// in part or not at all; and an encoder that restarts uses its names and numbers again. An
// intake makes one truthful sequence of segments out of that. It does no I/O, holds no lock,
// starts no timer: it is told what came and asked what follows.
//
// An incarnation is one run of the encoder. What ties an entry to an upload is its path and
// that the upload began in the same incarnation: each upload has a generation, counted as
// uploads begin, and floor is the last generation that belongs to earlier incarnations.

// files is what an intake may know of the uploads of its channel.
type files interface {
	complete(path string) *upload // the newest upload that is wholly there; nil: none
	arriving(path string) bool    // one is under way
}

const (
	maxQueue  = 1024 // entries expected and not yet published
	maxKnown  = 4096 // sequence numbers and paths remembered
	maxAside  = 4    // playlists put aside
	maxMissed = 16   // segments never told of that are made up for with gaps
)

// taken is the upload that was last published under a path.
type taken struct {
	inc  int
	seq  uint64
	gen  uint64
	sum  [32]byte
	turn int // of the intake

	begun time.Time // the upload
}

// A step is what follows: publish entry with the bytes of up, or as a gap.
type step struct {
	entry
	up    *upload // nil: a gap
	why   gapReason
	fresh bool // before it there is nothing of its incarnation: it may not continue what is there
}

// gapReason says why media are missing; it is a metric label.
type gapReason uint8

const (
	gapNone    gapReason = iota
	gapLost              // listed, never wholly there in time
	gapUntold            // no playlist that told of it arrived
	gapSaid              // the encoder said so itself
	gapNoInit            // its init segment never came
	gapLong              // longer than the target duration
	gapFiller            // stands for a discontinuity this rendition did not have
	gapSilence           // the media clock ran on without media
	gapRestart           // lost while the origin restarted
)

func (g gapReason) String() string {
	return [...]string{"none", "lost", "untold", "encoder", "no_init", "too_long", "filler", "silence", "restart"}[g]
}

type intake struct {
	hold time.Duration // how long an entry may wait for its bytes, from when it was listed

	*run                    // the present incarnation
	former    []*run        // others, the one that was present last behind
	since     time.Time     // when the present one became that
	patience  time.Duration // how long the present one may be silent while another is not
	started   bool
	inc       int
	floor     uint64           // uploads of media up to this generation belong to earlier incarnations
	initFloor uint64           // and of init segments
	taken     map[string]taken // by path, of all incarnations
	oldest    []string         // paths of taken, for forgetting
	newest    taken
	turn      int // counts playlists told and segments taken, for what came after what
	queue     []entry
	aside     []*pushed // they told nothing new when they came: late, or early
	fresh     bool      // nothing of this incarnation was published yet
	ended     bool      // EXT-X-ENDLIST stands behind the last entry told of
	dated     time.Time // what the encoder said of when the newest segment began; zero: nothing
}

func newIntake() *intake { return &intake{run: newRun(), taken: map[string]taken{}} }

// offer takes in a pushed playlist. stale: it told nothing new.
func (in *intake) offer(p *pushed, f files) (steps []step, stale bool) {
	in.turn++
	p.turn = in.turn
	in.patience = max(in.hold, 2*time.Duration(p.target)*time.Second)
	if x := in.whose(p, f); x != nil {
		if steps = in.toldOf(x, p, f); len(steps) == 0 {
			in.putAside(p)
		}
		return append(steps, in.settle(p.at, f)...), len(steps) == 0
	}
	from, lacks := in.renewed(p, f)
	switch {
	case !in.started:
		in.begin(p, 0, f)
	case from >= 0 && lacks > 1: // rather late than early
		steps, stale = in.restart(in.confirmed(p, from, f), from, f), true
	case from >= 0:
		steps = in.restart(p, from, f)
	case in.foreign(p):
		steps = in.restart(p, 0, f)
	case p.last().seq > in.max && in.another(p):
		steps = in.restart(p, 0, f)
	case p.last().seq > in.max:
		steps = in.extend(p, f)
	default:
		stale = true
		in.putAside(p)
	}
	// A playlist that is behind what others told says nothing about the end.
	if p.last().seq == in.max && in.known[in.max].path == p.last().path {
		in.ended = in.ended || p.end
	}
	return append(steps, in.settle(p.at, f)...), stale
}

func (in *intake) putAside(p *pushed) {
	if in.aside = append(in.aside, p); len(in.aside) > maxAside {
		in.aside = in.aside[1:]
	}
}

// arrived is to be called when an upload became complete, and settle's result with it.
func (in *intake) arrived(now time.Time, f files) (steps []step) {
	for i := len(in.aside) - 1; i >= 0; i-- {
		p := in.aside[i]
		if now.Sub(p.at) > 2*in.hold {
			break // too old to have been early: it was late
		}
		if from, _ := in.renewed(p, f); from >= 0 {
			sure := in.confirmed(p, from, f)
			steps = in.restart(sure, from, f)
			in.ended = p.end && sure == p
			break
		}
		if p.last().seq > in.max && in.whose(p, f) == nil { // and told of what only comes now
			in.aside = slices.Delete(in.aside, i, i+1)
			for k := range p.entries {
				p.entries[k].listed = now
			}
			steps = in.extend(p, f)
			break
		}
	}
	return append(steps, in.settle(now, f)...)
}

// confirmed returns what a playlist that was put aside says for certain of the incarnation that
// begins at its entry from. It may have been early, the new run's, or late, the old run's last
// word: the two have the same names and numbers. So no more is taken from it than what is
// uploaded again by now, and no date that is not later than all of the old run's.
func (in *intake) confirmed(p *pushed, from int, f files) *pushed {
	last := from
	for i := range p.entries {
		if u := f.complete(p.entries[i].path); u != nil && u.gen > in.newest.gen || f.arriving(p.entries[i].path) {
			last = max(last, i)
		}
	}
	late := !p.last().pdt.IsZero() && !p.last().pdt.After(in.dated)
	if last == len(p.entries)-1 && !late {
		return p
	}
	sure := *p
	sure.entries = slices.Clone(p.entries[:last+1])
	for i := range sure.entries {
		if late {
			sure.entries[i].pdt = time.Time{}
		}
	}
	return &sure
}

// begin starts an incarnation with the entries of p from the given one on.
func (in *intake) begin(p *pushed, from int, f files) {
	x := newRun()
	x.tell(p)
	in.passOn(x)
	in.enter(p, from, f)
}

// enter queues the first entries of an incarnation. Leading ones of which there is no sign
// were made before we listened; the last may be ahead of its bytes.
func (in *intake) enter(p *pushed, from int, f files) {
	in.started, in.ended, in.aside = true, false, nil
	entries := p.entries[max(from, len(p.entries)-maxQueue):]
	for len(entries) > 1 && in.usable(&entries[0], f) == nil && !f.arriving(entries[0].path) && !entries[0].gap {
		entries = entries[1:]
	}
	in.queue, in.fresh = nil, true
	for _, e := range entries {
		in.push(e, f)
	}
}

// extend appends what p tells beyond what is known.
func (in *intake) extend(p *pushed, f files) (steps []step) {
	if in.strays(p, f) {
		return in.restart(p, 0, f)
	}
	if missed := p.first() - in.max - 1; p.first() > in.max+1 {
		if missed > maxMissed {
			return in.restart(p, 0, f) // too much to make up for: a new beginning
		}
		for n := range missed {
			in.push(entry{seq: in.max + 1 + n, gap: true, dur: p.entries[0].dur, listed: p.at}, f)
		}
	}
	if p.last().seq-in.max > maxQueue {
		return in.restart(p, 0, f)
	}
	behind := in.max
	in.tell(p)
	for _, e := range p.entries {
		if e.seq > behind {
			in.push(e, f)
		}
	}
	in.ended = false
	for len(in.queue) > maxQueue { // an encoder far ahead of its bytes
		steps = append(steps, in.gap(gapLost))
	}
	return steps
}

func (in *intake) push(e entry, f files) {
	if e.mapPath != "" {
		e.init = in.initOf(&e, f) // what the path means now, before a successor overwrites it
	}
	in.queue = append(in.queue, e)
}

// initOf returns the init segment that e means; nil: it is not there yet. An encoder opens
// the upload of its init when it starts and ends it with its first segment: what is there
// while another is under way may be its predecessor's.
func (in *intake) initOf(e *entry, f files) *upload {
	u := f.complete(e.mapPath)
	switch {
	case (u == nil || u.gen <= in.initFloor) && in.init != nil && in.init.path == e.mapPath:
		return in.init // it is present again, and its path means another's by now
	case u == nil || u.gen <= in.initFloor || in.fresh && f.arriving(e.mapPath):
		return nil
	}
	return u
}

// settle returns what can be published by now, in order.
func (in *intake) settle(now time.Time, f files) (steps []step) {
	for len(in.queue) > 0 {
		e := &in.queue[0]
		late := !now.Before(e.listed.Add(in.hold))
		u := in.usable(e, f)
		switch {
		case e.gap && e.path == "":
			steps = append(steps, in.gap(gapUntold))
			continue
		case e.gap:
			steps = append(steps, in.gap(gapSaid))
			continue
		case u == nil && !late:
			return steps
		case u == nil:
			steps = append(steps, in.gap(gapLost))
			continue
		}
		if e.mapPath != "" && e.init == nil {
			e.init = in.initOf(e, f)
			if e.init == nil && !late {
				return steps
			}
			if e.init == nil { // rather an old one than none
				e.init = f.complete(e.mapPath)
				if e.init != nil { // its encoder never began anew: those behind it need not wait
					in.initFloor = min(in.initFloor, e.init.gen-1)
				}
			}
			if e.init == nil {
				steps = append(steps, in.gap(gapNoInit))
				continue
			}
		}
		steps = append(steps, in.take(u))
	}
	return steps
}

// due returns when settle may have more to say though nothing came; zero: never.
func (in *intake) due() time.Time {
	if len(in.queue) == 0 {
		return time.Time{}
	}
	return in.queue[0].listed.Add(in.hold)
}

// usable returns the upload that e means: of this incarnation, and not one that was
// published under another number. Uploads of one incarnation begin in the order of their
// numbers, or almost: one that began long before its predecessor was left behind by an
// earlier incarnation, of which perhaps no playlist ever came; and so was one that does not
// begin where its number belongs.
func (in *intake) usable(e *entry, f files) *upload {
	u := f.complete(e.path)
	if e.gap || u == nil || u.gen <= in.floor || u.gen <= in.taken[e.path].gen {
		return nil
	}
	if !in.fresh && u.gen < in.newest.gen {
		off, ok := in.off(e.seq, u)
		if u.begun.Before(in.newest.begun.Add(-in.hold)) || ok && off > e.dur && len(in.former) > 0 {
			return nil
		}
	}
	if in.theirs(e, u) {
		return nil
	}
	return u
}

func (in *intake) pop() entry {
	e := in.queue[0]
	in.queue = in.queue[1:]
	return e
}

func (in *intake) gap(why gapReason) step {
	return step{entry: in.pop(), why: why, fresh: in.fresh}
}

func (in *intake) take(u *upload) step {
	e, fresh := in.pop(), in.fresh
	if fresh {
		// Uploads that began before this one are older than this incarnation.
		in.floor, in.fresh = max(in.floor, u.gen-1), false
	}
	if _, ok := in.taken[e.path]; !ok {
		if in.oldest = append(in.oldest, e.path); len(in.oldest) > maxKnown {
			delete(in.taken, in.oldest[0])
			in.oldest = in.oldest[1:]
		}
	}
	if in.heard = later(in.heard, u.done); e.init != nil {
		in.init = e.init
	}
	if t, ok := in.known[e.seq]; ok {
		t.gen = u.gen
		t.start, t.timed = in.begins(u)
		in.known[e.seq] = t
	}
	in.turn++
	in.newest = taken{in.inc, e.seq, u.gen, u.sum, in.turn, u.begun}
	in.taken[e.path], in.dated = in.newest, e.pdt
	return step{entry: e, up: u, fresh: fresh}
}
