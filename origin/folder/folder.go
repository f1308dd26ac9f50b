// Package folder feeds an origin from the files that an encoder writes into a directory.
//
// It is one more client of the origin's ingest: what is whole is PUT there, media before the
// playlist that lists them, so that every rule of ingest holds for them too. It promises that
// a file which is still being written is never taken for a whole one, that nothing outside
// the directory is read, whatever lies or is linked in it, that nothing in it is changed, and
// that what is watched is bounded in number. A directory that goes away and comes back is
// taken up again.
//
// What FFmpeg does decides what is whole. It writes a segment, closes it, and then replaces
// the playlist by renaming: so what a playlist lists was whole before the playlist was
// written, and a file that is newer than the playlist belongs to the next one, also where it
// has a name that the playlist lists because the encoder was started again. Only a listed
// file that stood still for a whole target duration is taken although it is newer: then a
// tool copied it behind its playlist. A playlist must stand still for a moment too, for
// encoders that write it in place.
package folder

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weir/internal/web"
)

// Options configures a [Folder]. A zero field has the default named beside it.
type Options struct {
	Dir    string      // required; encoders write {Dir}/{channel}/{any/path}
	Ingest web.Handler // required; what is whole is PUT to it at /ingest/{channel}/{any/path}

	// Published returns when the origin last published a segment of a playlist, by its path
	// below the channel's directory, in this process or one before; zero: never. What an
	// encoder wrote before that is not pushed when the folder begins to watch. nil: never
	Published func(channel, path string) time.Time

	// Poll is how often playlists are looked at though the kernel told of no change: events
	// can be lost, and network file systems have none. 0: 1 s
	Poll        time.Duration
	MaxChannels int                   // directories of Dir that are watched. 0: 1000
	Log         *slog.Logger          // nil: discard
	Registerer  prometheus.Registerer // nil: metrics are kept but not registered
}

// Bounds of what is watched.
const (
	maxDirs      = 10_000  // of all channels together
	maxDepth     = 8       // of a directory below its channel's
	maxNames     = 200_000 // of one directory
	maxPlaylists = 128     // of one channel
)

// walkEvery is how often the whole directory is searched for what no event told of.
const walkEvery = 10 * time.Second

// A Folder watches a directory.
type Folder struct {
	opts     Options
	metrics  *metrics
	warnings throttle
	noEvents bool // polls only

	root     atomic.Pointer[os.Root] // nil while the directory cannot be read
	began    time.Time               // when Run did
	channels map[string]*channel     // used by Run alone
	working  sync.WaitGroup
}

// New returns a Folder. It looks whether the directory can be read, and starts nothing.
func New(o Options) (*Folder, error) {
	if o.Dir == "" || o.Ingest == nil {
		return nil, errors.New("folder.Options.Dir and Ingest are required")
	}
	if o.Poll < 0 || o.MaxChannels < 0 {
		return nil, errors.New("folder.Options: Poll and MaxChannels must not be negative")
	}
	if o.Published == nil {
		o.Published = func(string, string) time.Time { return time.Time{} }
	}
	if o.Poll == 0 {
		o.Poll = time.Second
	}
	if o.MaxChannels == 0 {
		o.MaxChannels = 1000
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	root, err := open(o.Dir)
	if err != nil {
		return nil, err
	}
	_ = root.Close()
	return &Folder{opts: o, metrics: newMetrics(o.Registerer), channels: map[string]*channel{}}, nil
}

// open opens a directory that can be read.
func open(dir string) (*os.Root, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("watch the folder of encoders: %w (ingest.watch.dir)", err)
	}
	f, err := root.Open(".")
	if err == nil {
		_, err = f.Readdirnames(1)
		_ = f.Close()
	}
	if err != nil && !isEnd(err) {
		_ = root.Close()
		return nil, fmt.Errorf("watch the folder of encoders: read %s: %w (ingest.watch.dir)", dir, err)
	}
	return root, nil
}

// Run watches until ctx is done.
func (f *Folder) Run(ctx context.Context) error {
	f.began = time.Now()
	ctx, cancel := context.WithCancel(ctx)
	defer f.working.Wait()
	defer cancel()
	tick := time.NewTicker(f.opts.Poll)
	defer tick.Stop()
	for {
		if root, err := open(f.opts.Dir); err != nil {
			f.warn("folder cannot be read: nothing is taken from it until it can", "dir", f.opts.Dir, "err", err)
		} else {
			f.watch(ctx, root, tick.C)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// watch watches a directory as long as it is the one at its path.
func (f *Folder) watch(ctx context.Context, root *os.Root, tick <-chan time.Time) {
	f.root.Store(root)
	f.metrics.up.Set(1)
	defer func() {
		f.root.Store(nil)
		f.metrics.up.Set(0)
		_ = root.Close()
	}()
	w := f.newWatcher()
	defer w.close()
	s := &scout{f: f, root: root, w: w, ctx: ctx}
	s.walk()
	f.opts.Log.Info("folder is watched", "dir", f.opts.Dir, "events", w.on(), "channels", len(f.channels))
	walked := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case name := <-w.names():
			s.told(name)
		case err := <-w.errors():
			f.warn("events of the folder were lost: it is searched", "dir", f.opts.Dir, "err", err)
			s.walk()
		case now := <-tick:
			if !f.present(root) {
				return
			}
			if now.Sub(walked) >= walkEvery {
				walked = now
				s.walk()
			}
			for _, c := range f.channels {
				c.touchAll()
			}
		}
	}
}

// present reports whether root is still the directory at its path.
func (f *Folder) present(root *os.Root) bool {
	is, err := root.Stat(".")
	if err != nil {
		return false
	}
	there, err := os.Stat(f.opts.Dir)
	return err == nil && os.SameFile(is, there)
}

// warn logs, a few lines a while.
func (f *Folder) warn(msg string, args ...any) {
	if dropped, ok := f.warnings.pass(time.Now()); ok {
		f.opts.Log.Warn(msg, append(args, "dropped", dropped)...)
	}
}

// A throttle lets a burst of warnings through, then one every few seconds.
type throttle struct {
	mu      sync.Mutex // guards what follows
	since   time.Time
	said    int
	dropped int
}

const (
	throttleBurst  = 5
	throttlePeriod = 15 * time.Second
)

// pass reports whether a warning may be given, and how many were not since the last.
func (t *throttle) pass(now time.Time) (dropped int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.since) >= throttlePeriod {
		t.since, t.said = now, 0
	}
	if t.said >= throttleBurst {
		t.dropped++
		return 0, false
	}
	t.said++
	dropped, t.dropped = t.dropped, 0
	return dropped, true
}
