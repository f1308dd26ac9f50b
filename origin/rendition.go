package origin

import (
	"context"
	"encoding/hex"
	"slices"
	"sync/atomic"
	"time"

	"weir/internal/cmaf"
	"weir/internal/seglog"
	"weir/internal/web"
)

const (
	minWindow  = 6    // segments: HLS authoring 8.11
	maxWindow  = 2048 // segments listed, however short they are
	maxGaps    = 64   // gaps that one loss is made of; a longer one is a discontinuity
	maxFillers = 64   // discontinuities made up for
	maxFill    = 512  // numbers that a process before may have used and that become gaps
)

// A rendition is one append-only log of segments; the listed window and what is still kept
// are views of it. What is not atomic, but for the names and the rule, is guarded by the channel's lock.
type rendition struct {
	snapshots
	name, path string        // as viewers see it, and as the playlist is pushed
	mapPath    string        // of the init segment listed last
	oldest     atomic.Uint64 // number of the first segment still kept, whatever the snapshot says
	in         *intake
	rule       *rule
	metrics    *metrics

	order    int           // in its channel
	log      []*segment    // in memory, by number
	shelf    *archive      // on disk alone
	fresh    []*segment    // appended, and not yet handed to the vault
	grant    grant         // which numbers may be used, where there is a vault
	lent     *grant        // one that is on its way to the disk; nil: none is
	fill     uint64        // numbers that the process before may have used: they become gaps
	ahead    time.Duration // by how much such gaps made dates run ahead
	held     []step        // that wait for numbers
	asked    uint64        // up to which number a reservation was asked for, and when
	askedAt  time.Time
	restored bool // from disk, and nothing was published since
	from     int  // index in log of the first segment listed
	leaving  []kept
	inits    []*initSegment
	next     uint64 // number of the next segment
	longest  time.Duration
	solo     bool
	gone     bool
	newGo    bool // the window begins anew with the next segment
	ended    bool
	ending   bool // the operator ended it; what waits for numbers is published first
	lastPush time.Time
	last     time.Time // when a segment with media was published last
	gapCount uint64

	// Where the timeline stands.
	timeline   uint64
	placed     bool          // on a timeline
	unproven   bool          // the next segment must show that it continues
	untimed    bool          // its captions do not say when they are to be shown
	owed       time.Duration // of segments that were never told of, as far as can be guessed
	date       time.Time     // of the next segment
	expect     time.Duration // media time of the next segment
	timed      bool
	format     format
	tracks     []cmaf.Track
	rate       float64
	bw         bandwidth
	frameRates bandwidth // of the I-frame playlist

	ranges []dateRange   // of the channel
	skew   time.Duration // of our dates against the encoder's
	skewed bool          // skew is known
}

// kept is a segment that left the playlist and can still be fetched.
type kept struct {
	seg   *segment
	until time.Time
	least time.Time // the end of its Availability Duration: it is kept so long also where memory is short
}

// rule is how a channel publishes, once its target duration is known.
type rule struct {
	epoch     string
	target    int // seconds
	window    time.Duration
	retention time.Duration
	dvr       time.Duration
	hold      time.Duration
	end       bool
	first     uint64 // media sequence number of the first segment
}

// initPrefix begins the name of every init segment, and of nothing else.
const initPrefix = "init-"

func newRendition(name, path string, r *rule, m *metrics) *rendition {
	x := &rendition{name: name, path: path, in: newIntake(), rule: r, metrics: m, next: r.first, solo: true, shelf: newArchive()}
	x.in.hold = r.hold
	x.bw.target = time.Duration(r.target) * time.Second
	x.frameRates.target = x.bw.target
	x.replace(&snapshot{target: r.target, next: x.next, text: func() *rendered { return nil }})
	return x
}

// appendSegment puts a segment behind the log. It fills in the number, name, timeline and
// date, and takes up's reference over.
func (r *rendition) appendSegment(seg *segment, now time.Time) {
	seg.number, seg.timeline, seg.date, seg.listed = r.next, r.timeline, r.date, now
	ext := ".gap"
	if n := len(r.log); n > 0 {
		ext = extOf(r.log[n-1].name)
	}
	if seg.up != nil {
		ext = seg.up.format.ext(seg.up.path)
		r.last = now
	}
	seg.name = nameOf(r.rule.epoch, seg.number, ext)
	if seg.up != nil {
		seg.base = mediaHeader(contentType(ext, hasVideo(r.tracks)), seg.name)
	}
	if seg.up != nil {
		r.restored = false
	}
	r.next++
	r.date = r.date.Add(seg.dur)
	r.expect += seg.dur
	if r.newGo {
		r.leave(len(r.log), now)
		r.newGo, r.gone, r.ended = false, false, false
	}
	r.log = append(r.log, seg)
	r.fresh = append(r.fresh, seg)
}

// ceiling is the first number that may not be used at now: whatever a successor finds on disk,
// it takes what is below for used.
func (r *rendition) ceiling(now time.Time) uint64 {
	if r.lent != nil {
		return min(r.grant.ceiling(now), r.lent.ceiling(now))
	}
	return r.grant.ceiling(now)
}

func (r *rendition) targetDuration() time.Duration { return time.Duration(r.rule.target) * time.Second }

func extOf(name string) string {
	for i := len(name) - 1; i >= 0; i-- {
		if name[i] == '.' {
			return name[i:]
		}
	}
	return ""
}

func mediaHeader(contentType, name string) *web.Header {
	h := web.NewHeader("Content-Type", contentType, "ETag", `"`+name+`"`, "Accept-Ranges", "bytes", "X-Content-Type-Options", "nosniff")
	return &h
}

// pieces is how many segments a gap of dur is made of: "the EXTINF duration of each Media
// Segment, when rounded, MUST be less than or equal to the target duration" holds for gaps
// too. 0: more than [maxGaps].
func (r *rendition) pieces(dur time.Duration, least int) int {
	for n := least; n <= max(maxGaps, least); n++ {
		if dur == 0 || n > 0 && seconds(dur/time.Duration(n)) <= r.rule.target {
			return n
		}
	}
	return 0
}

// gap lists dur without media, in as many segments as [rendition.pieces] says, and at least
// as many as numbers have to be filled. It reports false where that would be too many.
func (r *rendition) gap(dur time.Duration, now time.Time) (n int, ok bool) {
	if n = r.pieces(dur, max(1, int(r.fill))); n == 0 {
		return 0, false
	}
	r.fill = 0
	var init *initSegment
	if len(r.log) > 0 {
		init = r.log[len(r.log)-1].init
	}
	for i := range time.Duration(n) {
		from, to := dur*i/time.Duration(n), dur*(i+1)/time.Duration(n)
		// In whole microseconds, as they are rendered.
		r.appendSegment(&segment{dur: to.Truncate(time.Microsecond) - from.Truncate(time.Microsecond), init: init}, now)
		r.gapCount++
	}
	r.bw.cut()
	return n, true
}

// initFor returns the EXT-X-MAP of these bytes: the one there is, or a new one. The caller
// holds up already; the rendition takes a hold of its own through keep.
func (r *rendition) initFor(up *upload, keep func(*upload)) *initSegment {
	for _, i := range r.inits {
		if i.up.sum == up.sum {
			return i
		}
	}
	name := initPrefix + hex.EncodeToString(up.sum[:10]) + ".mp4"
	i := &initSegment{name: name, up: up, base: mediaHeader(contentType(".mp4", hasVideo(up.tracks)), name)}
	if up.buf.Size() <= seglog.MaxBlob {
		i.raw, _ = web.ReadAll(context.Background(), up.buf, seglog.MaxBlob)
	}
	return r.useInit(i, keep)
}

// useInit takes an init segment in among those that segments name.
func (r *rendition) useInit(i *initSegment, keep func(*upload)) *initSegment {
	if !slices.Contains(r.inits, i) {
		keep(i.up)
		r.inits = append(r.inits[:len(r.inits):len(r.inits)], i) // snapshots share what is there
	}
	return i
}

// eachLasts is how long the newest segments last on average.
func (r *rendition) eachLasts() time.Duration {
	var total time.Duration
	log := r.log[max(0, len(r.log)-8):]
	for _, s := range log {
		total += s.dur
	}
	if len(log) == 0 || total <= 0 {
		return r.targetDuration()
	}
	return total / time.Duration(len(log))
}

func hasVideo(tracks []cmaf.Track) bool {
	for _, t := range tracks {
		if t.Kind == cmaf.Video {
			return true
		}
	}
	return len(tracks) == 0
}

// slide moves the window's front as far as it may go. "The server MUST NOT remove a Media
// Segment from a Playlist file without an EXT-X-ENDLIST tag if that would produce a Playlist
// whose duration is less than three times the target duration" (HLSbis 6.2.2).
func (r *rendition) slide(now time.Time) {
	least := max(r.rule.window, 3*time.Duration(r.rule.target)*time.Second)
	from := len(r.log)
	var total time.Duration
	for from > r.from && (total < least || len(r.log)-from < minWindow) && len(r.log)-from < maxWindow {
		from--
		total += r.log[from].dur
	}
	// What was never listed stays for once: more may come at a time than the window holds, when
	// all waited for one that was lost.
	for shown := r.now.Load().next; from > r.from && r.log[from-1].number >= shown; from-- {
		total += r.log[from-1].dur
	}
	for _, s := range r.log[r.from:from] {
		total += s.dur
	}
	r.longest = max(r.longest, total)
	r.leave(from, now)
}

// leave takes what lies before index from out of the playlist. It stays fetchable for the
// retention, and never less than its Availability Duration: "the duration of the segment plus
// the duration of the longest-duration Playlist" (HLSbis 6.2.2), counted here from when it
// leaves, which is later than the text asks.
func (r *rendition) leave(from int, now time.Time) {
	for _, s := range r.log[r.from:from] {
		available := r.longest + s.dur
		k := kept{s, now.Add(max(r.rule.retention, available)), s.listed.Add(available)}
		if r.ended || r.gone { // of what ended it counts from when it is removed
			k.least = now.Add(available)
		}
		if r.ended {
			k.until, k.least = k.until.Add(endedLife), k.least.Add(endedLife)
		}
		r.leaving = append(r.leaving, k)
	}
	r.from = max(r.from, from)
}

// release lets go of what nobody may ask for any more. short: memory is, so that what is
// kept beyond the Availability Duration goes too. kept: there is a log on disk, so that what
// is durable goes at once and its place is on the shelf from then on.
func (r *rendition) release(now time.Time, short, kept bool, drop func(*upload)) {
	n := 0
	for _, k := range r.leaving {
		until := k.until
		if short {
			until = k.least
		}
		if now.Before(until) && !(k.seg.onDisk && (k.seg.up == nil || k.seg.disk.Load() != nil)) {
			break
		}
		if kept {
			r.put(k.seg, k.until)
		}
		if k.seg.up != nil {
			drop(k.seg.up)
		}
		n++
	}
	if n == 0 {
		return
	}
	r.leaving = r.leaving[n:]
	r.oldest.Store(r.log[n-1].number + 1)
	r.log = r.log[n:]
	r.from -= n
	used := map[*initSegment]bool{}
	for _, s := range r.log {
		used[s.init] = true
	}
	inits := r.inits[:0:0]
	for i, s := range r.inits {
		if used[s] || i == len(r.inits)-1 { // the newest is the next segment's
			inits = append(inits, s)
		} else {
			drop(s.up)
		}
	}
	r.inits = inits
}

// put shelves a segment that leaves memory.
func (r *rendition) put(seg *segment, until time.Time) {
	s := shelved{number: seg.number, timeline: seg.timeline, date: seg.date.UnixNano(), dur: seg.dur, until: until.UnixNano()}
	if ref := seg.disk.Load(); ref != nil {
		s.body = *ref
	}
	r.shelf.add(s, extOf(seg.name), seg.init)
}

// shelve is put for a segment that comes back from disk.
func (r *rendition) shelve(seg *segment) {
	r.put(seg, seg.listed.Add(r.longest+max(r.rule.retention, r.longest+seg.dur)))
}

// publish makes what was appended visible, in one step.
func (r *rendition) publish(now time.Time) {
	r.slide(now)
	r.show()
}

// show replaces the snapshot by one of the present state.
func (r *rendition) show() {
	s := &snapshot{
		log: r.log[:len(r.log):len(r.log)], window: r.log[r.from:len(r.log):len(r.log)],
		inits: r.inits, target: r.rule.target, next: r.next, edge: r.date, solo: r.solo, ended: r.ended, gone: r.gone,
		ranges: reach(r.ranges, r.log[r.from:]),
	}
	s.text = render(func(dst []byte) []byte { return s.media().Append(dst) }, r.metrics)
	s.frames = render(func(dst []byte) []byte { return s.iframes().Append(dst) }, r.metrics)
	r.replace(s)
}

// drained reports whether all that the encoder told of is published, and it said that this
// was all.
func (r *rendition) drained() bool {
	return r.in.ended && len(r.in.queue) == 0 && len(r.held) == 0
}

// bytes returns the memory its media hold.
func (r *rendition) bytes() (n int64) {
	for _, s := range r.log {
		if s.up != nil {
			n += s.up.cost
		}
	}
	for _, i := range r.inits {
		n += i.up.cost
	}
	return n
}
