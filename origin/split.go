package origin

import (
	"crypto/sha256"
	"slices"
	"time"

	"weir/internal/cmaf"
	"weir/internal/mpegts"
	"weir/internal/spool"
)

// maxPieces bounds what a segment that is too long is divided into.
const maxPieces = 64

// A cut is a piece of a segment that is too long.
type cut struct {
	at   int64         // where in the segment's bytes it begins
	from time.Duration // and in its time, from its start
	dur  time.Duration
}

// divide plans pieces of a segment of dur, none longer than target seconds as HLS rounds,
// each of which begins with a key frame: as few as can be. nil: it cannot be done. The
// durations add up to dur, in whole microseconds but for the last.
func divide(keys []cmaf.KeyFrame, start, dur time.Duration, target int) []cut {
	pieces := []cut{{}}
	for {
		last := &pieces[len(pieces)-1]
		if seconds(dur-last.from) <= target {
			last.dur = dur - last.from
			return pieces
		}
		var next cut
		for i := range keys {
			from := (keys[i].At - start).Truncate(time.Microsecond)
			if from > last.from && from < dur && seconds(from-last.from) <= target && from > next.from && keys[i].Cut > last.at {
				next = cut{at: keys[i].Cut, from: from}
			}
		}
		if next.from == 0 || len(pieces) == maxPieces {
			return nil
		}
		last.dur = next.from - last.from
		pieces = append(pieces, next)
	}
}

// pieces copies the bytes of an upload into an upload for each piece. Each has one holder:
// the upload they are of, until that is let go. nil: memory is full.
func (c *channel) pieces(u *upload, cuts []cut) []*upload {
	o := c.o
	if o.memoryFull() {
		return nil
	}
	writers := make([]*spool.Writer, len(cuts))
	pieces := make([]*upload, len(cuts))
	for i := range cuts {
		end := u.buf.Size()
		if i+1 < len(cuts) {
			end = cuts[i+1].at
		}
		w, buf := o.opts.Slab.New(end - cuts[i].at)
		writers[i], pieces[i] = w, &upload{path: u.path, gen: u.gen, buf: buf, begun: u.begun, done: u.done, holders: 1}
	}
	switch u.format {
	case formatTS:
		offsets := make([]int64, len(cuts)-1)
		for i := range offsets {
			offsets[i] = cuts[i+1].at
		}
		s := mpegts.NewSplitter(offsets, func(i int, p []byte) { writers[i].Append(p) })
		views(u.buf, func(v []byte) bool { s.Write(v); return true })
	default:
		i, at := 0, int64(0)
		views(u.buf, func(v []byte) bool {
			for len(v) > 0 {
				n := int64(len(v))
				if i+1 < len(cuts) {
					n = min(n, cuts[i+1].at-at)
				}
				writers[i].Append(v[:n])
				v, at = v[n:], at+n
				if i+1 < len(cuts) && at == cuts[i+1].at {
					i++
				}
			}
			return true
		})
	}
	for i, p := range pieces {
		_ = writers[i].Complete() // no length was announced that it could differ from
		h := sha256.New()
		views(p.buf, func(v []byte) bool { h.Write(v); return true })
		h.Sum(p.sum[:0])
		p.cost, p.probe = p.buf.Cost(), look(p.buf)
		c.held.Add(p.cost)
	}
	return pieces
}

// foresee divides an upload that will be too long, when its last byte is there and before
// anybody waits for it: by what its bytes say it lasts.
func (c *channel) foresee(u *upload) {
	c.mu.Lock()
	target := int((c.config.TargetDuration + time.Second - 1) / time.Second)
	if c.published != nil {
		target = c.published.target
	}
	c.mu.Unlock()
	if target == 0 || seconds(u.end-u.start) <= target {
		return
	}
	if u.cuts = divide(u.keys, u.start, u.end-u.start, target); u.cuts != nil {
		u.pieces = c.pieces(u, u.cuts)
	}
}

// tooLong replaces the step that is due next by what becomes of a segment that is longer than
// the target duration, which never changes: pieces, divided at its key frames, or a gap where
// it cannot be.
func (c *channel) tooLong(r *rendition) {
	s := r.held[0]
	steps := c.divided(&s)
	became := "split"
	if steps == nil {
		became = "gap"
	}
	c.o.metrics.tooLong.WithLabelValues(c.name, became).Inc()
	if dropped, ok := c.o.refusals.allow("too_long_"+became, c.name); ok {
		c.log.Warn("segment is longer than target_duration and published as a "+became+": raise channels.*.target_duration or shorten the encoder's segments (-hls_time, and -g for a key frame where they end)",
			"rendition", r.name, "file", s.path, "duration", s.dur, "target_duration", r.targetDuration(), "pieces", len(steps), "dropped", dropped)
	}
	if steps == nil {
		gap := s
		gap.why, gap.up = gapLong, nil
		steps = []step{gap}
	}
	for i := range steps {
		c.holdStep(&steps[i], c.hold)
	}
	r.held = append(steps, r.held[1:]...)
	if u := s.up; steps[0].up != nil && c.store.byPath[u.path] == u { // its bytes are in the pieces
		delete(c.store.byPath, u.path)
		c.drop(u)
	}
	c.holdStep(&s, c.drop)
}

// divided is the step in pieces, nil where it cannot be divided.
func (c *channel) divided(s *step) []step {
	u := s.up
	if s.init != nil && u.format == formatFMP4 {
		u.complete(s.init.probe.init)
	}
	cuts := divide(u.keys, u.start, s.dur, c.published.target)
	if !u.timed || cuts == nil {
		return nil
	}
	same := func(a, b cut) bool { return a.at == b.at }
	if u.pieces == nil || !slices.EqualFunc(cuts, u.cuts, same) {
		for _, p := range u.pieces {
			c.drop(p)
		}
		// Fragments without their init were not foreseen to be too long, nor what came
		// before the target duration was known.
		u.cuts, u.pieces = cuts, c.pieces(u, cuts)
	}
	steps := make([]step, len(u.pieces))
	for i, p := range u.pieces {
		x := *s
		x.up, x.dur = p, cuts[i].dur
		if i > 0 {
			x.fresh, x.disc = false, false
			if !x.pdt.IsZero() {
				x.pdt = x.pdt.Add(cuts[i].from)
			}
		}
		steps[i] = x
	}
	if len(steps) == 0 {
		return nil
	}
	return steps
}
