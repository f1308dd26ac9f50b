package origin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"weir/internal/spool"
	"weir/internal/web"
)

// WebVTT segments tell how their times and the media's belong together: "X-TIMESTAMP-MAP";
// without it "the client MUST assume that the WebVTT cue time of 0 maps to an MPEG-2 timestamp
// of 0" (HLSbis 3.1.4). FFmpeg leaves it out, which is true of its fragmented MP4. Its
// transport streams run 1.4 s ahead of the times it gives cues (twice -muxdelay's 0.7 s), so
// that captions would be shown too early by that much.

const (
	maxCaptions = 1 << 20                 // bytes of a WebVTT segment that is looked at
	muxDelay    = 1400 * time.Millisecond // FFmpeg's, where it is not told otherwise
	firstWithin = 350 * time.Millisecond  // of its first segment's first picture: encoders' delay
)

// captions is what a WebVTT segment says of its times.
type captions struct {
	mapped bool          // it tells itself
	head   int           // bytes of its first line
	first  time.Duration // of the first cue; 0 without any
}

// readCaptions reads a WebVTT segment. false: what it says cannot be told, or is too much.
func readCaptions(b *spool.Buffer) (c captions, ok bool) {
	if b.Size() > maxCaptions {
		return c, false
	}
	p, err := web.ReadAll(context.Background(), b, maxCaptions)
	if err != nil || bytes.Contains(bytes.ReplaceAll(p, []byte("\r\n"), nil), []byte{'\r'}) {
		return c, false // lines that end with CR alone: allowed, and never seen
	}
	header := true
	for line := range bytes.Lines(p) {
		if c.head == 0 {
			c.head = len(line)
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			header = false
		}
		if header && bytes.HasPrefix(line, []byte("X-TIMESTAMP-MAP")) {
			c.mapped = true
		}
		if before, _, cue := bytes.Cut(line, []byte("-->")); cue && !header {
			c.first, ok = cueTime(string(bytes.TrimSpace(before)))
			return c, ok
		}
	}
	return c, true
}

// cueTime reads a WebVTT timestamp: hours are optional, milliseconds are not.
func cueTime(s string) (time.Duration, bool) {
	var h, m, sec, ms int
	n, err := fmt.Sscanf(s, "%d:%d:%d.%3d", &h, &m, &sec, &ms)
	if n != 4 || err != nil {
		h = 0
		if n, err = fmt.Sscanf(s, "%d:%d.%3d", &m, &sec, &ms); n != 3 || err != nil {
			return 0, false
		}
	}
	if h < 0 || h > 1e4 || m < 0 || m > 59 || sec < 0 || sec > 59 || ms < 0 {
		return 0, false
	}
	return time.Duration(h)*time.Hour + time.Duration(m)*time.Minute + time.Duration(sec)*time.Second + time.Duration(ms)*time.Millisecond, true
}

// cueClock is what is known of how a channel's encoder times cues.
type cueClock struct {
	seen  bool // any media that tell
	known bool
	delay time.Duration // from a cue's time to the media's
}

// learn looks at an upload of media. It reports whether it learned something new.
func (k *cueClock) learn(u *upload) bool {
	was := *k
	switch {
	case u.format == formatInit || u.format == formatFMP4:
		*k = cueClock{seen: true, known: true}
	case u.format != formatTS || !u.timed:
	case !u.lavf:
		*k = cueClock{seen: true} // whoever it is, we do not know how it times cues
	case u.start >= muxDelay && u.start < muxDelay+firstWithin:
		*k = cueClock{seen: true, known: true, delay: muxDelay}
	case u.start >= 0 && u.start < firstWithin: // -muxdelay 0
		*k = cueClock{seen: true, known: true}
	default: // not the first segment of its run: what was known holds
		k.seen = true
	}
	return *k != was
}

// uncertain reports whether a WebVTT segment has to wait: nothing is known yet of how its
// encoder times cues, and may be soon.
func (c *channel) uncertain(s *step, now time.Time) bool {
	u := s.up
	return u.format == formatVTT && u.captions != nil && !u.captions.mapped && !c.cues.seen && now.Before(s.listed.Add(c.published.hold))
}

// inTime returns the WebVTT segment as it is to be published: a copy that says which media
// time its cues belong to, where it does not say so itself and that is known.
func (c *channel) inTime(r *rendition, u *upload) *upload {
	if u.format != formatVTT || u.captions != nil && u.captions.mapped {
		return u
	}
	if u.captions == nil || !c.cues.known {
		r.untimed = true
		return u
	}
	r.untimed = false
	if c.cues.delay == 0 {
		return u // no map says just that
	}
	p, err := web.ReadAll(context.Background(), u.buf, maxCaptions)
	if err != nil {
		return u
	}
	at := u.captions.first
	ticks := ((at + c.cues.delay) * 9 / 100000) % (1 << 33) // 90 kHz, 33 bits
	text := make([]byte, 0, len(p)+80)
	text = append(text, bytes.TrimRight(p[:u.captions.head], "\r\n")...)
	text = fmt.Appendf(text, "\nX-TIMESTAMP-MAP=LOCAL:%02d:%02d:%02d.%03d,MPEGTS:%d\n", at/time.Hour, at/time.Minute%60, at/time.Second%60, at/time.Millisecond%1000, ticks)
	text = append(text, p[u.captions.head:]...)
	x := &upload{path: u.path, gen: u.gen, buf: c.o.opts.Slab.NewBuffer(text), sum: sha256.Sum256(text), begun: u.begun, done: u.done, probe: u.probe}
	x.cost = x.buf.Cost()
	c.held.Add(x.cost)
	return x
}
