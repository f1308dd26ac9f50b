package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"weir/internal/web"
)

// EncoderOptions configures an [Encoder].
type EncoderOptions struct {
	Ingest  web.Handler  // where it pushes to
	Channel string       // which channel
	Key     string       // the publisher key, sent as a Bearer token; "": none
	Rungs   int          // how many renditions, 1 to 3. 0: 3
	Log     *slog.Logger // nil: discard

	// Continuous lets timestamps go on when the embedded clip begins again.
	// Without it they begin again too, and the pushed playlist says so with a
	// DISCONTINUITY.
	Continuous bool
	// PlaylistFirst pushes each playlist before the media that it names, as
	// FFmpeg's parallel connections happen to do for a third of the segments.
	PlaylistFirst bool
}

// An Encoder pushes the embedded clip over and over, as FFmpeg would push a
// live channel: numbered names from 0 on, media first, then the playlist.
type Encoder struct {
	opts  EncoderOptions
	rungs []rung
	began time.Time
	next  int // the segment to push next
}

// encoderWindow is how many segments each pushed playlist lists.
const encoderWindow = 6

// NewEncoder returns an Encoder that has pushed nothing.
func NewEncoder(o EncoderOptions) (*Encoder, error) {
	if o.Rungs == 0 {
		o.Rungs = len(clipRungs)
	}
	if o.Ingest == nil || o.Channel == "" || o.Rungs < 0 || o.Rungs > len(clipRungs) {
		return nil, errors.New("bench.EncoderOptions needs Ingest, Channel and 1 to 3 Rungs")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Encoder{opts: o, rungs: clipRungs[:o.Rungs]}, nil
}

// Run pushes a segment of each rendition every [ClipSegment] until ctx is
// done. A push that fails is logged and left out, as FFmpeg leaves it out.
func (e *Encoder) Run(ctx context.Context) error {
	tick := time.NewTicker(ClipSegment)
	defer tick.Stop()
	for {
		if err := e.Step(ctx); err != nil && ctx.Err() == nil {
			e.opts.Log.Warn("pushing the clip", "channel", e.opts.Channel, "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Step pushes the next segment of each rendition and the playlists that end
// with it; at the start also the init segments and the multivariant playlist.
func (e *Encoder) Step(ctx context.Context) error {
	if e.next == 0 {
		e.began = time.Now()
		if err := e.start(ctx); err != nil {
			return err
		}
	}
	n := e.next
	e.next++
	var errs []error
	for _, r := range e.rungs {
		pushes := []func() error{
			func() error {
				p, err := clipMedia(r, n, e.opts.Continuous)
				if err != nil {
					return err
				}
				return e.Put(ctx, fmt.Sprintf("%s/seg_%05d.m4s", r.name, n), p)
			},
			func() error { return e.Put(ctx, r.name+"/index.m3u8", e.playlist(n)) },
		}
		if e.opts.PlaylistFirst {
			pushes[0], pushes[1] = pushes[1], pushes[0]
		}
		for _, push := range pushes {
			errs = append(errs, push())
		}
	}
	return errors.Join(errs...)
}

// Restart forgets everything, as a killed encoder does that is started again:
// the next Step pushes segment 0 under its old name.
func (e *Encoder) Restart() { e.next = 0 }

// Skip leaves out the next segment, as an encoder whose upload was refused
// does: the playlist names it all the same.
func (e *Encoder) Skip() { e.next++ }

func (e *Encoder) start(ctx context.Context) error {
	var b strings.Builder
	b.WriteString("#EXTM3U\n#EXT-X-VERSION:6\n")
	for _, r := range e.rungs {
		fmt.Fprintf(&b, "#EXT-X-STREAM-INF:BANDWIDTH=%d,RESOLUTION=%dx%d\n%s/index.m3u8\n", r.maxBps, r.width, r.height, r.name)
	}
	if err := e.Put(ctx, "master.m3u8", []byte(b.String())); err != nil {
		return err
	}
	for _, r := range e.rungs {
		p, err := clipInit(r)
		if err != nil {
			return err
		}
		if err := e.Put(ctx, r.name+"/init.mp4", p); err != nil {
			return err
		}
	}
	return nil
}

// playlist is what is pushed with segment n.
func (e *Encoder) playlist(n int) []byte {
	first := max(0, n-encoderWindow+1)
	var b bytes.Buffer
	fmt.Fprintf(&b, "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:%d\n#EXT-X-MEDIA-SEQUENCE:%d\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-MAP:URI=\"init.mp4\"\n",
		int(ClipSegment/time.Second), first)
	if !e.opts.Continuous {
		fmt.Fprintf(&b, "#EXT-X-DISCONTINUITY-SEQUENCE:%d\n", max(0, (first-1)/clipSegments))
	}
	for i := first; i <= n; i++ {
		if !e.opts.Continuous && i > 0 && i%clipSegments == 0 {
			b.WriteString("#EXT-X-DISCONTINUITY\n")
		}
		at := e.began.Add(time.Duration(i) * ClipSegment).UTC()
		fmt.Fprintf(&b, "#EXT-X-PROGRAM-DATE-TIME:%s\n#EXTINF:%.3f,\nseg_%05d.m4s\n", at.Format("2006-01-02T15:04:05.000Z"), ClipSegment.Seconds(), i)
	}
	return b.Bytes()
}

// Put uploads body as path of the channel.
func (e *Encoder) Put(ctx context.Context, path string, body []byte) error {
	return e.PutFrom(ctx, path, bytes.NewReader(body))
}

// PutFrom uploads what r yields, as it comes, as path of the channel.
func (e *Encoder) PutFrom(ctx context.Context, path string, r io.Reader) error {
	return put(ctx, e.opts.Ingest, e.opts.Channel, e.opts.Key, path, r)
}
