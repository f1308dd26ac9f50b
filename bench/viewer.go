package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"weir/internal/web"
	"weir/playlist"
)

// ViewerOptions configures a [Viewer].
type ViewerOptions struct {
	Edges []web.Handler // at least one; when one fails the viewer goes on from the next
	Path  string        // of the multivariant playlist, a token prefix or query included
	Rung  int           // which variant is played, counted from the first; beyond the last is the last
	Stats *Stats        // required
}

// A Viewer plays one live channel: the multivariant playlist, then a media
// playlist by the cadence of HLSbis 6.3.4 and every segment of it from three
// before the end. It decodes nothing, but it keeps a player's buffer and knows
// when it would have stalled.
type Viewer struct {
	opts ViewerOptions
	at   int // the edge it plays from
}

// NewViewer returns a Viewer that has not begun to play.
func NewViewer(o ViewerOptions) (*Viewer, error) {
	if len(o.Edges) == 0 || o.Path == "" || o.Stats == nil {
		return nil, errors.New("bench.ViewerOptions needs Edges, Path and Stats")
	}
	return &Viewer{opts: o}, nil
}

// tries is how often one thing is asked for before the viewer gives up, and
// patience how long it waits in between.
const (
	tries    = 8
	patience = 250 * time.Millisecond
)

// Play plays until ctx is done, which is no error, or until nothing can be had
// from any edge any more.
func (v *Viewer) Play(ctx context.Context) error {
	err := v.play(ctx)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (v *Viewer) play(ctx context.Context) error {
	began := time.Now()
	a, err := v.fetch(ctx, v.opts.Path, "multivariant", maxPlaylist)
	if err != nil {
		return err
	}
	multi, err := playlist.ParseMultivariant(a.body)
	if err != nil {
		v.opts.Stats.breach("multivariant: " + err.Error())
		return err
	}
	if len(multi.Variants) == 0 {
		return errors.New("a multivariant playlist without variants")
	}
	media, err := resolve(v.opts.Path, multi.Variants[min(v.opts.Rung, len(multi.Variants)-1)].URI)
	if err != nil {
		return err
	}
	return v.follow(ctx, media, began)
}

// follow plays the media playlist at target.
func (v *Viewer) follow(ctx context.Context, target string, began time.Time) error {
	var (
		rules   Rulebook
		next    uint64 // the segment to fetch next
		init    string // the initialization section it has
		buf     buffer
		playing bool // a segment is there
	)
	defer func() {
		if playing {
			v.opts.Stats.play(-1)
		}
	}()
	for {
		loaded := time.Now()
		a, err := v.fetch(ctx, target, "playlist", maxPlaylist)
		if err != nil {
			return err
		}
		m, err := playlist.ParseMedia(a.body)
		if err != nil {
			v.opts.Stats.breach("media playlist: " + err.Error())
			return err
		}
		for _, what := range rules.Check(m) {
			v.opts.Stats.breach(what)
		}
		end := m.MediaSequence + uint64(len(m.Segments))
		changed := next < end
		if next == 0 {
			next = m.MediaSequence + uint64(max(0, len(m.Segments)-3))
		}
		next = max(next, m.MediaSequence)
		for ; next < end; next++ {
			s := &m.Segments[next-m.MediaSequence]
			if s.Map != nil && s.Map.URI != init {
				if err := v.media(ctx, target, s.Map.URI, "init"); err != nil {
					return err
				}
				init = s.Map.URI
			}
			if !s.Gap {
				if err := v.media(ctx, target, s.URI, "segment"); err != nil {
					return err
				}
			}
			if !playing {
				v.opts.Stats.started(time.Since(began))
				v.opts.Stats.play(1)
				playing = true
			}
			if buf.add(time.Now(), s.Duration, time.Duration(m.TargetDuration)*time.Second) {
				v.opts.Stats.stall()
			}
		}
		if m.EndList {
			return nil
		}
		if err := pause(ctx, time.Until(loaded.Add(cadence(m, changed)))); err != nil {
			return err
		}
	}
}

func (v *Viewer) media(ctx context.Context, base, uri, what string) error {
	target, err := resolve(base, uri)
	if err != nil {
		v.opts.Stats.breach(what + ": " + err.Error())
		return err
	}
	_, err = v.fetch(ctx, target, what, 256<<20)
	return err
}

// fetch gets target, from the next edge when one fails. A 4xx is the answer
// and final, as it is for players.
func (v *Viewer) fetch(ctx context.Context, target, what string, limit int64) (*answer, error) {
	var last error
	for try := range tries {
		if try > 0 {
			if err := pause(ctx, patience); err != nil {
				return nil, err
			}
		}
		a, err := get(ctx, v.opts.Edges[v.at], target, limit)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err == nil && a.status == http.StatusOK {
			v.opts.Stats.request(len(a.body))
			return a, nil
		}
		v.opts.Stats.request(0)
		if err == nil {
			err = fmt.Errorf("%s: status %d", target, a.status)
			v.opts.Stats.fail(fmt.Sprintf("%s %d", what, a.status))
			if a.status < 500 {
				return nil, err
			}
		} else {
			v.opts.Stats.fail(what + " cut")
		}
		last = err
		if len(v.opts.Edges) > 1 {
			v.at = (v.at + 1) % len(v.opts.Edges)
			v.opts.Stats.move()
		}
	}
	return nil, last
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A buffer is a player's. It begins to play once it holds what the client
// should keep from the live edge, three target durations (HLSbis 6.3.3), begins
// again after a stall with half of that, and knows when it ran empty.
type buffer struct {
	until time.Time     // when it runs empty; zero: it does not play
	held  time.Duration // what it holds while it does not play
	began bool
}

// add says that media of length d is there at now, and reports whether
// playback had stopped for want of it.
func (b *buffer) add(now time.Time, d, target time.Duration) (stalled bool) {
	if !b.until.IsZero() && now.After(b.until) {
		b.until, stalled = time.Time{}, true
	}
	if !b.until.IsZero() {
		b.until = b.until.Add(d)
		return false
	}
	want := 3 * target
	if b.began || stalled {
		want /= 2
	}
	if b.held += d; b.held >= want {
		b.until, b.held, b.began = now.Add(b.held), 0, true
	}
	return stalled
}
