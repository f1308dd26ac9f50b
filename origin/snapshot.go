package origin

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"weir/internal/cmaf"
	"weir/internal/seglog"
	"weir/internal/web"
	"weir/playlist"
)

// An initSegment is an EXT-X-MAP, named by its content.
type initSegment struct {
	name string
	up   *upload
	raw  []byte // its bytes, for the log on disk; nil: too large for it
	base *web.Header
}

// A segment is one number of a rendition: media, or the place where they are missing.
// Nothing of it changes once it is in the log, except that its bytes go in the end.
type segment struct {
	number   uint64 // media sequence number
	timeline uint64 // discontinuity sequence number
	name     string
	dur      time.Duration
	date     time.Time
	init     *initSegment  // nil: needs none
	up       *upload       // nil: a gap
	key      cmaf.KeyFrame // its picture in the I-frame playlist; Length 0: none
	base     *web.Header
	listed   time.Time     // when viewers were first told of it
	start    time.Duration // media time of its first sample
	timed    bool          // start is known

	onDisk bool                       // the log on disk has it, and its bytes if disk says so; guarded by the channel's lock
	disk   atomic.Pointer[seglog.Ref] // where its bytes are, once they are durable
}

// A snapshot is a rendition at one moment: the whole log, and the window of it that is
// listed. It never changes; the next one closes changed.
type snapshot struct {
	log     []*segment // what is in memory, by number
	window  []*segment // the end of log that is listed
	inits   []*initSegment
	target  int // seconds
	next    uint64
	solo    bool      // every segment so far can be decoded without those before it
	edge    time.Time // where the last segment ends
	ended   bool
	gone    bool // dropped: its playlist is 410
	ranges  []playlist.DateRange
	changed chan struct{}
	text    func() *rendered
	frames  func() *rendered // the I-frame playlist
}

// rendered is a playlist as it is sent.
type rendered struct {
	plain []byte
	etag  string
	gzip  func() []byte // compressed once, when the first client asks for it
}

// last returns the number of the last segment listed; ok is false where none is.
func (s *snapshot) last() (n uint64, ok bool) { return s.next - 1, len(s.window) > 0 }

// find returns the segment of that name.
func (s *snapshot) find(number uint64, name string) *segment {
	i, ok := slices.BinarySearchFunc(s.log, number, func(seg *segment, n uint64) int { return cmp.Compare(seg.number, n) })
	if ok && s.log[i].name == name {
		return s.log[i]
	}
	return nil
}

// media is the snapshot as a playlist.
func (s *snapshot) media() *playlist.Media {
	m := &playlist.Media{
		TargetDuration: s.target, MediaSequence: s.next, EndList: s.ended,
		// "if a live stream will ever have a discontinuity": authoring 8.17. Any may.
		EmitDiscontinuitySequence: true,
		IndependentSegments:       s.solo,
		DateRanges:                s.ranges,
		Segments:                  make([]playlist.Segment, len(s.window)),
	}
	if len(s.window) > 0 {
		m.MediaSequence = s.window[0].number
		m.DiscontinuitySequence = s.window[0].timeline
	}
	for i, seg := range s.window {
		p := &m.Segments[i]
		*p = playlist.Segment{URI: seg.name, Duration: seg.dur, ProgramDateTime: seg.date, Gap: seg.up == nil}
		// The first has no predecessor to differ from: its number says it all. Players
		// stick at a tag in front (hls.js 1096).
		p.Discontinuity = i > 0 && seg.timeline != s.window[i-1].timeline
		if seg.init != nil {
			p.Map = &playlist.Map{URI: seg.init.name}
		}
	}
	return m
}

// render returns a function that renders once, for whoever is first to ask.
func render(append func(dst []byte) []byte, m *metrics) func() *rendered {
	return sync.OnceValue(func() *rendered {
		m.renderings.Inc()
		plain := append(nil)
		sum := sha256.Sum256(plain)
		return &rendered{plain: plain, etag: hex.EncodeToString(sum[:12]), gzip: sync.OnceValue(func() []byte {
			var b bytes.Buffer
			w, _ := gzip.NewWriterLevel(&b, gzip.DefaultCompression) // the level is one it knows
			_, _ = w.Write(plain)                                    // a bytes.Buffer does not fail
			_ = w.Close()
			return b.Bytes()
		})}
	})
}

// snapshots is the chain: the newest, and how to wait for the one after it.
type snapshots struct {
	now     atomic.Pointer[snapshot]
	waiting atomic.Int64
}

// replace publishes next and wakes those who wait. It is called under the channel's lock.
func (c *snapshots) replace(next *snapshot) {
	next.changed = make(chan struct{})
	if old := c.now.Swap(next); old != nil {
		close(old.changed)
	}
}

// await returns the first snapshot that satisfies enough, now or later.
func (c *snapshots) await(ctx context.Context, enough func(*snapshot) bool) (*snapshot, error) {
	c.waiting.Add(1)
	defer c.waiting.Add(-1)
	for {
		s := c.now.Load()
		if enough(s) {
			return s, nil
		}
		select {
		case <-s.changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
