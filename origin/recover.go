package origin

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"weir/internal/seglog"
	"weir/internal/spool"
	"weir/playlist"
)

// recoverAll brings back the channels that the logs on disk tell of. What cannot be read is
// left where it is, and said; it stops no other channel.
func (o *Origin) recoverAll() error {
	names, err := o.depot.channels()
	if err != nil {
		return err
	}
	start := time.Now()
	found := make([]*channel, len(names))
	var wg sync.WaitGroup
	next := make(chan int)
	for range min(4, len(names)) {
		wg.Go(func() {
			for i := range next {
				found[i] = o.recoverOne(names[i])
			}
		})
	}
	for i := range names {
		next <- i
	}
	close(next)
	wg.Wait()
	n := 0
	for _, c := range found {
		if c != nil {
			o.set(func(m map[string]*channel) { m[c.name] = c })
			n++
		}
	}
	if len(names) > 0 {
		o.opts.Log.Info("channels are back from disk", "channels", n, "of", len(names), "took", time.Since(start).Round(time.Millisecond))
	}
	return nil
}

// recoverOne brings back one channel; nil: there is nothing to bring back, and the log said why.
func (o *Origin) recoverOne(name string) *channel {
	now := time.Now()
	log := o.opts.Log.With("channel", name)
	config := o.channelConfig(name)
	l, rec, err := seglog.Open(o.depot.logOptions(name, config))
	if err != nil {
		log.Error("channel cannot be read from disk: its files stay as they are, and it begins anew in memory only", "dir", o.depot.live(name), "error", err)
		o.mu.Lock()
		o.lost[name] = true
		o.mu.Unlock()
		return nil
	}
	for _, cut := range rec.Cut {
		log.Warn("a log on disk is damaged or was cut: what is missing is a gap", "what", cut.String())
	}
	c, err := o.rebuild(name, config, l, rec, now)
	if err != nil {
		if !errors.Is(err, errNothing) {
			log.Error("channel cannot be brought back from disk: it begins anew", "error", err)
		}
		_ = l.Close()
		return nil
	}
	if rec.Missing {
		log.Error("part of what was durable is missing on disk: the channel goes on with numbers far above", "dir", o.depot.live(name))
	}
	log.Info("channel is back from disk", "epoch", c.epoch, "entries", len(rec.Entries), "renditions", len(c.order), "clean", rec.Clean)
	return c
}

var errNothing = errors.New("nothing was published")

// rebuild makes a channel of what its log says.
func (o *Origin) rebuild(name string, config Channel, l *seglog.Log, rec *seglog.Recovered, now time.Time) (*channel, error) {
	text, ok := rec.State[channelKey]
	if !ok {
		return nil, errNothing
	}
	s, err := decode[channelState](channelKey, text)
	if err != nil {
		return nil, err
	}
	if s.Epoch == "" || s.Target <= 0 || s.Target > maxTarget {
		return nil, errNothing
	}
	c := o.newChannel(name, "", now)
	c.epoch, c.since = s.Epoch, s.Since
	c.lines = timelines{first: s.First, opened: s.Opened, latest: timeline{s.Timeline, s.At, s.Timed, s.Date}}
	if want := int((config.TargetDuration + time.Second - 1) / time.Second); want != 0 && want != s.Target {
		c.log.Warn("channels.*.target_duration differs from what is published and never changes during a publishing: it holds from the next one on",
			"configured", want, "published", s.Target)
	}
	c.cues = cueClock{seen: s.CueKnown, known: s.CueKnown, delay: s.CueDelay}
	c.fix(s.Target, s.First)
	if s.Expected != nil {
		c.expected = &expectation{s.Expected.Paths, s.Expected.Media}
		if c.expected.media == nil {
			c.expected.media = map[string]playlist.Rendition{}
		}
	}
	c.vault = c.newVault(l)
	c.state.Store(uint32(min(s.State, StateRemoved)))
	c.stateAt = s.StateAt
	c.withdrawn.Store(s.Withdrawn)
	o.metrics.stateIs(c.name, c.State())
	c.recoverRanges(rec.State[rangesKey])
	// All that was published is there: its multivariant playlist waits for nobody.
	c.resumed, c.first, c.restored = now, c.since, true

	var states []renditionState
	for key, text := range rec.State {
		if strings.HasPrefix(key, renditionKey) {
			rs, err := decode[renditionState](key, text)
			if err != nil || rs.Name == "" || len(states) == maxRenditions {
				c.log.Warn("rendition cannot be brought back", "state", key, "error", err)
				continue
			}
			states = append(states, rs)
		}
	}
	slices.SortFunc(states, func(a, b renditionState) int { return cmp.Compare(a.Order, b.Order) })
	entries := map[string][]*seglog.Entry{}
	for i := range rec.Entries {
		e := &rec.Entries[i]
		entries[e.Stream] = append(entries[e.Stream], e)
	}
	inits := c.recoverInits(rec.Blobs)
	names := map[string]*rendition{}
	for _, rs := range states {
		r := newRendition(rs.Name, rs.Path, c.published, o.metrics)
		r.order, r.ranges = len(c.order), c.ranges.list
		c.recoverRendition(r, &rs, entries[rs.Name], inits, rec.Missing, now)
		if i := inits[rs.Init]; i != nil && rs.Map != "" && c.store.byPath[rs.Map] == nil && i.up.buf.TryRef() {
			// An encoder that goes on sends its init segment no more.
			c.store.gen++
			c.held.Add(i.up.cost)
			c.store.put(&upload{path: rs.Map, gen: c.store.gen, buf: i.up.buf, cost: i.up.cost, sum: i.up.sum, begun: now, done: now, probe: i.up.probe, holders: 1})
		}
		names[r.name], c.byPath[r.path] = r, r
		c.order = append(c.order, r)
	}
	for _, r := range c.order { // the log of segments knows best how far timelines got
		if l := &c.lines.latest; r.placed && r.timeline > l.number {
			*l, c.lines.opened = timeline{r.timeline, r.expect, r.timed, r.date}, true
		}
	}
	c.floors = map[string]uint64{}
	for name, list := range entries {
		for _, e := range list {
			if names[name] == nil { // its state is lost
				c.floors[name] = max(c.floors[name], e.Number+1)
			}
		}
	}
	c.holed = rec.Missing
	c.byName.Store(&names)
	if last := c.latest(); !last.IsZero() {
		c.lastPush = last // as far as anybody knows
		o.metrics.publishedAt(c.name, last)
	}
	for _, i := range inits { // renditions that use one hold it
		c.drop(i.up)
	}
	c.settle(now)
	return c, nil
}

func (c *channel) recoverRanges(text []byte) {
	if text == nil {
		return
	}
	s, err := decode[rangesState](rangesKey, text)
	if err != nil {
		c.log.Warn("date ranges cannot be brought back", "error", err)
		return
	}
	list := make([]dateRange, 0, len(s.List))
	for _, k := range s.List {
		if k.Range.Check() == nil && len(list) < maxRanges {
			list = append(list, dateRange{DateRange: k.Range, shift: k.Shift, pushed: k.Pushed, told: k.Told, left: k.Left})
		}
	}
	for i := range list {
		list[i].ends = list[i].end(list)
	}
	if len(s.Spent) <= maxSpent && s.Next >= 0 && s.Next <= len(s.Spent) {
		c.ranges.spent = spentIDs{Hashes: s.Spent, Next: s.Next, known: map[uint64]bool{}}
		for _, h := range s.Spent {
			c.ranges.spent.known[h] = true
		}
	}
	c.setRanges(list)
}

// recoverInits makes init segments of the log's blobs, each with one hold.
func (c *channel) recoverInits(blobs map[string][]byte) map[string]*initSegment {
	out := map[string]*initSegment{}
	for _, name := range slices.Sorted(maps.Keys(blobs)) {
		buf := c.o.opts.Slab.NewBuffer(blobs[name])
		u := &upload{buf: buf, cost: buf.Cost(), sum: sha256.Sum256(blobs[name]), probe: look(buf), holders: 1}
		c.held.Add(u.cost)
		out[name] = &initSegment{name: name, up: u, raw: blobs[name], base: mediaHeader(contentType(".mp4", hasVideo(u.tracks)), name)}
	}
	return out
}

// recoverRendition puts the entries of a rendition back in their places: the newest ones
// that the playlist lists into memory, checked, all others on the shelf.
func (c *channel) recoverRendition(r *rendition, s *renditionState, entries []*seglog.Entry, inits map[string]*initSegment, missing bool, now time.Time) {
	r.tracks, r.mapPath, r.rate, r.solo, r.gapCount = s.Tracks, s.Map, s.Rate, s.Solo, s.Gaps
	r.bw.restore(s.Peak, s.Average, now)
	r.frameRates.restore(s.FramePeak, s.FrameAverage, now)
	r.longest, r.gone, r.ended = s.Longest, s.Gone, s.Ended
	r.newGo = s.Gone || s.Ended
	slices.SortStableFunc(entries, func(a, b *seglog.Entry) int { return cmp.Compare(a.Number, b.Number) })
	entries = r.whole(entries)
	from := c.windowOf(r, entries)
	var last entryMeta
	for i, e := range entries {
		m, err := decode[entryMeta]("entry", e.Meta)
		if err != nil {
			c.log.Warn("entry cannot be read: it is a gap", "rendition", r.name, "number", e.Number, "error", err)
			m = entryMeta{Timeline: last.Timeline, Ext: ".gap", Listed: e.Date.UnixMilli()}
			e.Body = seglog.Ref{}
		}
		last = m
		init := inits[e.Blob]
		if e.Blob != "" && init == nil {
			e.Body = seglog.Ref{} // it cannot be played without
		}
		seg := &segment{
			number: e.Number, timeline: m.Timeline, name: nameOf(c.epoch, e.Number, m.Ext), dur: e.Duration, date: e.Date.UTC(),
			init: init, listed: time.UnixMilli(m.Listed), onDisk: true, start: m.Start, timed: m.Timed,
		}
		if !e.Body.IsZero() {
			seg.disk.Store(&e.Body)
		}
		if i < from {
			r.shelve(seg)
			continue
		}
		c.recoverBody(r, seg, e.Body, m)
		if seg.up != nil {
			r.measure(seg.up.buf.Size(), seg.key.Length, seg.dur, now)
		}
		r.log = append(r.log, seg)
		if init != nil {
			r.useInit(init, c.hold)
		}
	}
	if n := len(entries); n > 0 {
		e := entries[n-1]
		r.next, r.timeline, r.placed, r.unproven, r.restored = e.Number+1, last.Timeline, true, true, true
		r.date = e.Date.Add(e.Duration).UTC()
		r.expect, r.timed, r.format = last.Start+e.Duration, last.Timed, last.Format
		r.last = time.UnixMilli(last.Listed)
	}
	// Until there is a new reservation the old one holds: a successor reckons by it.
	r.grant = grant{until: s.Until, at: s.At, wait: s.Wait, pace: s.Pace}
	r.next = max(r.next, c.published.first)
	switch {
	case missing, now.Before(r.grant.at): // so may be what was reserved; the clock was set back
		r.leap(now)
	case s.Clean && c.o.depot.clean:
		r.skipTo(s.Until) // nothing was used beyond, also where entries were lost
	default:
		r.skipTo(r.grant.ceiling(now))
	}
	// A new one is asked for when there is something to publish: an origin that is killed again
	// and again before that uses no numbers up.
	r.show()
}

// whole puts gaps in the place of entries that a power cut took out of the middle of a log:
// what is on either side was published, so they were, too.
func (r *rendition) whole(entries []*seglog.Entry) []*seglog.Entry {
	var out []*seglog.Entry
	for i, e := range entries {
		if i > 0 {
			was := entries[i-1]
			from := was.Date.Add(was.Duration)
			n, lost := e.Number-was.Number-1, e.Date.Sub(from)
			m, err := decode[entryMeta]("entry", was.Meta)
			if n > 0 && n <= maxGaps && lost > 0 && err == nil && seconds(lost/time.Duration(n)) <= r.rule.target {
				m.Timed, m.Start = false, 0
				each := max(time.Millisecond, lost/time.Duration(n)).Truncate(time.Microsecond)
				for k := range n {
					out = append(out, &seglog.Entry{
						Stream: e.Stream, Number: was.Number + 1 + k, Date: from.Add(time.Duration(k) * each), Duration: each, Blob: was.Blob, Meta: encode(m),
					})
				}
			}
		}
		out = append(out, e)
	}
	return out
}

// leap is beyond all numbers that may have been used where nothing tells how many were.
const leap = 1 << 20

// leap goes on where nobody can have been. Where the disk does not take a new reservation the
// next process leaps from the old one, too: this one may use only what that one will skip.
func (r *rendition) leap(now time.Time) {
	r.next, r.newGo = max(r.next, r.grant.ceiling(now))+leap, true
	r.grant.until = r.next
	if now.After(r.grant.at) {
		r.grant.at = now
	}
}

// skipTo takes the numbers below end out of use: the process before may have used them, with
// or without a trace.
func (r *rendition) skipTo(end uint64) {
	if end <= r.next {
		return
	}
	if r.fill = end - r.next; r.fill > maxFill || r.newGo || len(r.log) == 0 {
		r.next, r.fill, r.newGo = end, 0, true // the window begins anew
	}
}

// windowOf returns from which entry on the playlist lists them.
func (c *channel) windowOf(r *rendition, entries []*seglog.Entry) int {
	least := max(r.rule.window, 3*r.targetDuration())
	from := len(entries)
	var total time.Duration
	for from > 0 && (total < least || len(entries)-from < minWindow) && len(entries)-from < maxWindow {
		if from < len(entries) && entries[from-1].Number+1 != entries[from].Number {
			break // the window began anew there
		}
		from--
		total += entries[from].Duration
	}
	return from
}

// recoverBody brings a listed segment's bytes back into memory. What is damaged is a gap.
func (c *channel) recoverBody(r *rendition, seg *segment, ref seglog.Ref, m entryMeta) {
	if ref.IsZero() {
		return
	}
	buf, err := loadBody(c.o.opts.Slab, c.vault.disk.Load(), ref)
	if err != nil {
		c.log.Warn("segment cannot be read from disk: it is a gap", "rendition", r.name, "number", seg.number, "error", err)
		seg.disk.Store(nil)
		return
	}
	seg.up = &upload{buf: buf, cost: buf.Cost(), done: seg.listed, probe: look(buf), holders: 1}
	c.held.Add(seg.up.cost)
	if seg.init != nil {
		seg.up.complete(seg.init.up.init)
	}
	seg.key = keyOf(seg.up)
	seg.base = mediaHeader(contentType(m.Ext, hasVideo(r.tracks)), seg.name)
}

// loadBody reads a body into memory. It is whole and what was written, or an error.
func loadBody(slab *spool.Slab, l bodyReader, ref seglog.Ref) (*spool.Buffer, error) {
	w, buf := slab.New(ref.Size)
	w.SetLen(ref.Size)
	err := l.ReadBody(ref, w)
	if err == nil {
		err = w.Complete()
	}
	if err != nil {
		w.Abort(err)
		buf.Close()
		return nil, err
	}
	return buf, nil
}

// A bodyReader reads what a log holds: seglog.Log, or seglog.Reader.
type bodyReader interface {
	ReadBody(ref seglog.Ref, w io.Writer) error
}
