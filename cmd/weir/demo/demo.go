// Package demo is the whole system on this machine with no config: an origin,
// edges in a gossip cluster, a live channel in three renditions, tokens, and a
// page that plays it.
//
// It promises that every part of it is the real one, over real sockets: what
// the demo shows is what weir does.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"weir/bench"
	"weir/internal/web"
)

// Options configures a demo. A zero field has the default named beside it.
type Options struct {
	Edges    int           // 0: 2
	Viewers  int           // simulated viewers beside the real ones; 0: none
	Duration time.Duration // ends the demo; 0: it goes on until ctx is done
	FFmpeg   string        // the encoder's program; "": ffmpeg. Where it is not found a clip is looped
	Out      io.Writer     // required: where it tells what it does
	Terminal bool          // Out is a terminal: the status is one line that changes
	Width    func() int    // columns of the terminal now; nil, or 0: not known
	Log      *slog.Logger  // nil: discard
	Version  string
}

// Channel is the name of the demo's channel.
const Channel = "demo"

// playableWithin is how long the first playlist may take before the demo says
// that something is wrong.
const playableWithin = 30 * time.Second

// Run runs the demo until ctx is done or its duration is over, neither of which
// is an error.
func Run(ctx context.Context, o Options) (err error) {
	if o.Out == nil {
		return errors.New("demo: Options.Out must be given")
	}
	if o.Edges == 0 {
		o.Edges = 2
	}
	if o.FFmpeg == "" {
		o.FFmpeg = "ffmpeg"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	began := time.Now()
	var stopping atomic.Bool
	o.Log = slog.New(hush{o.Log.Handler(), &stopping})
	stage, err := build(o)
	for try := 1; errors.Is(err, syscall.EADDRINUSE) && try < 5; try++ { // another demo that starts now took a port
		stage, err = build(o)
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if o.Duration > 0 {
		timer := time.AfterFunc(o.Duration, func() { cancel(nil) })
		defer timer.Stop()
	}
	nodes := stage.start(ctx, cancel)

	encoding, stopEncoding := context.WithCancel(ctx)
	var around sync.WaitGroup // all that is not a node
	enc := findEncoder(ctx, o.FFmpeg, o.Log)
	around.Go(func() {
		if err := enc.push(encoding, stage.ingest()); err != nil && encoding.Err() == nil {
			cancel(fmt.Errorf("the demo's encoder: %w", err))
		}
	})
	fmt.Fprintf(o.Out, "encoder    %s\n", enc.name())
	if err := stage.playable(ctx); err == nil {
		fmt.Fprintf(o.Out, "playable   %.1f s after the start\n\n", time.Since(began).Seconds())
		stage.introduce(o.Out, o.Duration)
		var swarm bench.Stats
		stage.swarm(ctx, &around, o.Viewers, &swarm)
		newStatus(stage, o, &swarm, began).run(ctx)
	} else if ctx.Err() == nil {
		cancel(err)
	}

	// The encoder first, so that the nodes stop with nothing under way.
	<-ctx.Done()
	stopping.Store(true)
	stopEncoding()
	around.Wait()
	nodes.Wait()
	stage.close()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	fmt.Fprintln(o.Out, "stopped")
	return nil
}

// playable waits until the first edge serves the channel's multivariant playlist.
func (s *stage) playable(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, playableWithin)
	defer cancel()
	path, err := s.path()
	if err != nil {
		return err
	}
	var last error
	for {
		resp, err := s.clients[0].Serve(ctx, &web.Request{Method: http.MethodGet, Path: path})
		if err == nil {
			resp.Close()
			if resp.Status == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("status %d", resp.Status)
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("nothing to play after %v: %w", playableWithin, last)
		}
	}
}

// swarm lets n simulated viewers play, a few more each moment.
func (s *stage) swarm(ctx context.Context, around *sync.WaitGroup, n int, stats *bench.Stats) {
	if n == 0 {
		return
	}
	around.Go(func() {
		var viewers sync.WaitGroup
		defer viewers.Wait()
		for i := range n {
			path, err := s.path()
			if err != nil {
				s.log.Error("a token for a simulated viewer", "error", err)
				return
			}
			edges := make([]web.Handler, len(s.clients))
			for j := range edges {
				edges[j] = s.clients[(i+j)%len(s.clients)]
			}
			v, err := bench.NewViewer(bench.ViewerOptions{Edges: edges, Path: path, Rung: i % 3, Stats: stats})
			if err != nil {
				s.log.Error("a simulated viewer", "error", err)
				return
			}
			viewers.Go(func() {
				if err := v.Play(ctx); err != nil {
					s.log.Warn("a simulated viewer gave up", "error", err)
				}
			})
			select {
			case <-time.After(2 * time.Millisecond):
			case <-ctx.Done():
				return
			}
		}
	})
}
