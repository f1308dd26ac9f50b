package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/mattn/go-isatty"
	"golang.org/x/sys/unix"

	"weir/cmd/weir/demo"
)

type demoCmd struct {
	Edges    int           `default:"2" help:"How many edges."`
	Viewers  int           `placeholder:"N" help:"Simulated viewers that play along."`
	Duration time.Duration `placeholder:"D" help:"End by itself after this time, as in 30s."`
	FFmpeg   string        `name:"ffmpeg" default:"ffmpeg" placeholder:"PROGRAM" help:"The encoder. Where it is not found a small clip is looped."`
	LogLevel string        `enum:"debug,info,warn,error" default:"warn" help:"debug, info, warn or error."`
}

// Help implements kong's HelpProvider.
func (demoCmd) Help() string {
	return `The whole system on this machine, with no config: an origin, edges in a gossip cluster, a live
channel in three renditions from FFmpeg's test sources, tokens, and a page that plays it. Nothing
is asked of any other host, and nothing is left behind. Where the usual ports (8080, 8081, 8090,
8100, ...) are taken it uses others, and says so. Ctrl-C ends it.

Examples:
  weir demo
  weir demo --viewers 500 --duration 1m`
}

// Run implements the command.
func (c *demoCmd) Run(ctx context.Context, e env) error {
	switch {
	case c.Edges < 1 || c.Edges > 20:
		return usageError{fmt.Errorf("--edges: %d is not 1 to 20", c.Edges)}
	case c.Viewers < 0 || c.Viewers > 100_000:
		return usageError{fmt.Errorf("--viewers: %d is not 0 to 100000", c.Viewers)}
	case c.Duration < 0:
		return usageError{fmt.Errorf("--duration: %s is not a time to come", c.Duration)}
	}
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.LogLevel)) // an enum checked it
	screen, width := terminal(e.out)
	log := e.err
	if onScreen, _ := terminal(e.err); screen && onScreen {
		log = overStatus{e.err}
	}
	return demo.Run(ctx, demo.Options{
		Edges: c.Edges, Viewers: c.Viewers, Duration: c.Duration, FFmpeg: c.FFmpeg,
		Out: e.out, Terminal: screen, Width: width,
		Log:     slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: level})),
		Version: buildVersion(),
	})
}

// terminal reports whether w is one, and returns what tells how wide it is now.
func terminal(w io.Writer) (is bool, width func() int) {
	f, ok := w.(*os.File)
	if !ok || !isatty.IsTerminal(f.Fd()) {
		return false, nil
	}
	return true, func() int {
		size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
		if err != nil {
			return 0
		}
		return int(size.Col)
	}
}

// overStatus writes log lines to a terminal whose last line is the demo's
// status: over it, and not behind it.
type overStatus struct{ w io.Writer }

// Write implements [io.Writer].
func (o overStatus) Write(p []byte) (int, error) {
	if _, err := io.WriteString(o.w, "\r\x1b[K"); err != nil {
		return 0, err
	}
	return o.w.Write(p)
}
