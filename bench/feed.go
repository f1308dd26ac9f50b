package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"time"

	"weir/internal/web"
)

// A Rung is one rendition of a [Feed].
type Rung struct {
	Path   string // of its folder in the channel
	Source string // what [NewSource] knows
}

// FeedOptions configures a [Feed].
type FeedOptions struct {
	Ingest  web.Handler   // where it pushes to
	Channel string        // which channel
	Key     string        // the publisher key, sent as a Bearer token; "": none
	Rungs   []Rung        // none: hi and lo
	TS      bool          // MPEG-TS; otherwise fragmented MP4
	Units   int           // how long a segment is, in [Unit]s. 0: 5
	Listed  int           // segments of a pushed playlist. 0: 5, which is FFmpeg's default
	Undated bool          // no EXT-X-PROGRAM-DATE-TIME, as FFmpeg does without the flag
	Start   time.Duration // media time of the first segment
	// Pad fills each transport stream segment up to so many bytes with null packets, as an
	// encoder at a constant bit rate does.
	Pad int64
}

// A Feed pushes scripted live media as FFmpeg pushes them: numbered names from 0 on, init
// segments first, a playlist of the newest segments after each segment. What goes wrong in
// encoders and networks is said by calling its parts: [Feed.Cut] alone loses a segment,
// [Feed.List] before [Feed.Media] reorders, two feeds at once overlap.
type Feed struct {
	opts    FeedOptions
	sources []*Source
	cuts    []Cut
	first   int           // number of the first of them
	clock   time.Duration // media time of the next segment
	began   time.Time     // the date of clock 0 in this run
	inits   bool          // they were sent in this run
}

// A Cut is a segment as its encoder knows it.
type Cut struct {
	Number int
	At     time.Duration // media time
	Date   time.Time
	Units  int
}

// Duration is what the playlist says of it.
func (c Cut) Duration() time.Duration { return time.Duration(c.Units) * Unit }

// NewFeed returns a Feed that has pushed nothing.
func NewFeed(o FeedOptions) (*Feed, error) {
	if o.Ingest == nil || o.Channel == "" {
		return nil, errors.New("bench.FeedOptions needs Ingest and Channel")
	}
	if len(o.Rungs) == 0 {
		o.Rungs = []Rung{{"hi", "hi"}, {"lo", "lo"}}
	}
	if o.Units == 0 {
		o.Units = 5
	}
	if o.Listed == 0 {
		o.Listed = 5
	}
	f := &Feed{opts: o, clock: o.Start}
	for _, r := range o.Rungs {
		s, err := NewSource(r.Source)
		if err != nil {
			return nil, err
		}
		f.sources = append(f.sources, s)
	}
	return f, nil
}

// Step makes a segment of the usual length and pushes it, with its playlist, in all renditions.
func (f *Feed) Step(ctx context.Context) error { return f.StepOf(ctx, f.opts.Units) }

// StepOf is Step with a segment of so many units.
func (f *Feed) StepOf(ctx context.Context, units int) error {
	c := f.Cut(units)
	var errs []error
	for i := range f.opts.Rungs {
		errs = append(errs, f.Media(ctx, i, c), f.List(ctx, i, c, false))
	}
	return errors.Join(errs...)
}

// Cut makes the next segment, of so many units, and pushes nothing.
func (f *Feed) Cut(units int) Cut {
	if f.began.IsZero() {
		f.began = time.Now().Add(-f.clock)
	}
	c := Cut{Number: f.first + len(f.cuts), At: f.clock, Date: f.began.Add(f.clock), Units: units}
	f.clock += c.Duration()
	f.cuts = append(f.cuts, c)
	return c
}

// Inits pushes the init segments, which otherwise go before the first segment.
func (f *Feed) Inits(ctx context.Context) error {
	f.inits = true
	if f.opts.TS {
		return nil
	}
	for i, r := range f.opts.Rungs {
		if err := f.Put(ctx, r.Path+"/init.mp4", f.sources[i].init); err != nil {
			return err
		}
	}
	return nil
}

// Media pushes what c is in rendition i.
func (f *Feed) Media(ctx context.Context, i int, c Cut) error {
	if !f.inits {
		if err := f.Inits(ctx); err != nil {
			return err
		}
	}
	p, pad := f.bytes(i, c)
	return f.put(ctx, f.opts.Rungs[i].Path+"/"+f.name(c), io.MultiReader(bytes.NewReader(p), pad))
}

// Bytes are those that [Feed.Media] pushes.
func (f *Feed) Bytes(i int, c Cut) []byte {
	p, pad := f.bytes(i, c)
	rest, _ := io.ReadAll(pad)
	return append(p, rest...)
}

func (f *Feed) bytes(i int, c Cut) (p []byte, pad io.Reader) {
	if !f.opts.TS {
		return f.sources[i].MP4(c.At, c.Units), bytes.NewReader(nil)
	}
	p = f.sources[i].TS(c.At, c.Units)
	return p, &padding{left: max(0, f.opts.Pad-int64(len(p))) / 188 * 188}
}

// List pushes the playlist of rendition i that ends with c.
func (f *Feed) List(ctx context.Context, i int, c Cut, end bool) error {
	return f.Put(ctx, f.opts.Rungs[i].Path+"/index.m3u8", f.text(c, end))
}

// End pushes the last playlists once more, with EXT-X-ENDLIST, as an encoder does that is
// stopped.
func (f *Feed) End(ctx context.Context) error {
	var errs []error
	for i := range f.opts.Rungs {
		errs = append(errs, f.List(ctx, i, f.cuts[len(f.cuts)-1], true))
	}
	return errors.Join(errs...)
}

// Restart begins a new run at media time at, as a killed encoder does that is started again:
// numbers and names are those of the old run.
func (f *Feed) Restart(at time.Duration) {
	f.cuts, f.first, f.clock, f.inits, f.began = nil, 0, at, false, time.Time{}
}

// From has the run that just began number its segments from first on, as FFmpeg does that goes
// on where its last playlist ended, or counts by the clock.
func (f *Feed) From(first int) { f.first = first }

// Jump moves the media clock, and with it the dates of what follows.
func (f *Feed) Jump(by time.Duration) { f.clock += by }

// Fill has what follows filled up to so many bytes; see FeedOptions.Pad.
func (f *Feed) Fill(bytes int64) { f.opts.Pad = bytes }

// Use makes rendition i of another source from the next run or segment on.
func (f *Feed) Use(i int, source string) error {
	s, err := NewSource(source)
	if err == nil {
		f.sources[i] = s
	}
	return err
}

func (f *Feed) name(c Cut) string {
	if f.opts.TS {
		return fmt.Sprintf("seg_%05d.ts", c.Number)
	}
	return fmt.Sprintf("seg_%05d.m4s", c.Number)
}

// text is FFmpeg's: also EXT-X-TARGETDURATION, which goes up and down with what is listed.
func (f *Feed) text(last Cut, end bool) []byte {
	behind := last.Number + 1 - f.first
	listed := f.cuts[max(0, behind-f.opts.Listed):behind]
	target := 1
	for _, c := range listed {
		target = max(target, int(math.Round(c.Duration().Seconds())))
	}
	var b bytes.Buffer
	version := 3
	if !f.opts.TS {
		version = 7
	}
	fmt.Fprintf(&b, "#EXTM3U\n#EXT-X-VERSION:%d\n#EXT-X-TARGETDURATION:%d\n#EXT-X-MEDIA-SEQUENCE:%d\n", version, target, listed[0].Number)
	if !f.opts.TS {
		b.WriteString("#EXT-X-MAP:URI=\"init.mp4\"\n")
	}
	for _, c := range listed {
		fmt.Fprintf(&b, "#EXTINF:%.6f,\n", c.Duration().Seconds())
		if !f.opts.Undated {
			fmt.Fprintf(&b, "#EXT-X-PROGRAM-DATE-TIME:%s\n", c.Date.UTC().Format("2006-01-02T15:04:05.000+0000"))
		}
		b.WriteString(f.name(c) + "\n")
	}
	if end {
		b.WriteString("#EXT-X-ENDLIST\n")
	}
	return b.Bytes()
}

// Put uploads body as path of the channel.
func (f *Feed) Put(ctx context.Context, path string, body []byte) error {
	return f.put(ctx, path, bytes.NewReader(body))
}

func (f *Feed) put(ctx context.Context, path string, body io.Reader) error {
	return put(ctx, f.opts.Ingest, f.opts.Channel, f.opts.Key, path, body)
}

// put uploads what r yields, as it comes, as path of the channel.
func put(ctx context.Context, h web.Handler, channel, key, path string, r io.Reader) error {
	req := &web.Request{Method: http.MethodPut, Path: "/ingest/" + channel + "/" + path, Host: "ingest", Body: r}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	resp, err := h.Serve(ctx, req)
	if err != nil {
		return fmt.Errorf("put %s: %w", path, err)
	}
	defer resp.Close()
	if resp.Status >= 300 {
		return fmt.Errorf("put %s: status %d", path, resp.Status)
	}
	return nil
}

// padding reads as null packets.
type padding struct {
	left int64
	at   int
}

// Read implements [io.Reader].
func (p *padding) Read(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	b = b[:min(int64(len(b)), p.left)]
	for i := 0; i < len(b); {
		n := copy(b[i:], nulls[p.at:])
		i, p.at = i+n, (p.at+n)%len(nulls)
	}
	p.left -= int64(len(b))
	return len(b), nil
}

// nulls are some null packets.
var nulls = bytes.Repeat(append([]byte{0x47, 0x1f, 0xff, 0x10}, bytes.Repeat([]byte{0xff}, 184)...), 174)
