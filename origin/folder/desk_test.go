package folder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"weir/internal/web"
)

// desk is what the origin is to a folder: it notes what is pushed.
type desk struct {
	t   *testing.T
	dir string
	f   *Folder
	reg *prometheus.Registry

	mu     sync.Mutex
	log    bytes.Buffer
	puts   []string // path=content
	answer func(path string) error
}

func (d *desk) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.Write(p)
}

func (d *desk) Serve(_ context.Context, req *web.Request) (*web.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, &web.Error{Status: 400, Reason: "upload_cut", Err: fmt.Errorf("cut: %w", err)}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	name := strings.TrimPrefix(req.Path, "/ingest/")
	if d.answer != nil {
		if err := d.answer(name); err != nil {
			return nil, err
		}
	}
	if strings.HasPrefix(string(body), "#EXTM3U") {
		body = nil
		name = "*" + name
	}
	d.puts = append(d.puts, strings.TrimSuffix(name+"="+string(body), "="))
	return web.NewResponse(200, nil), nil
}

// polled runs a test under a fake clock, with a folder that asks the kernel for nothing.
func polled(t *testing.T, f func(d *desk)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, dir)
		d.f.noEvents = true
		stop := d.run()
		defer stop()
		synctest.Wait() // the first search is over: what is written now is found at 10 s
		f(d)
	})
}

func newDesk(t *testing.T, dir string) *desk {
	t.Helper()
	d := &desk{t: t, dir: dir, reg: prometheus.NewRegistry()}
	var err error
	if d.f, err = New(Options{Dir: dir, Ingest: d, Log: slog.New(slog.NewTextHandler(d, nil)), Registerer: d.reg}); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *desk) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = d.f.Run(ctx) })
	return func() { cancel(); wg.Wait() }
}

// began is where the files' clock begins: the bubble's has nothing to do with it. A file that
// is just being written is newer than all that tests give a time.
var began = time.Now().Add(-time.Hour)

// write makes a file in place, written at began + at seconds.
func (d *desk) write(name, content string, at float64) {
	d.t.Helper()
	p := filepath.Join(d.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(content), 0o644)); err != nil {
		d.t.Fatal(err)
	}
	when := began.Add(time.Duration(at * float64(time.Second)))
	if err := os.Chtimes(p, when, when); err != nil {
		d.t.Fatal(err)
	}
}

// list writes a playlist as FFmpeg does, at a time.
func (d *desk) list(name string, at float64, seq int, files ...string) {
	d.t.Helper()
	text := fmt.Sprintf("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:%d\n", seq)
	for _, f := range files {
		if m, ok := strings.CutPrefix(f, "map="); ok {
			text += fmt.Sprintf("#EXT-X-MAP:URI=%q\n", m)
		} else {
			text += "#EXTINF:2.0,\n" + f + "\n"
		}
	}
	d.write(name+".tmp", text, at)
	if err := os.Rename(filepath.Join(d.dir, name+".tmp"), filepath.Join(d.dir, name)); err != nil {
		d.t.Fatal(err)
	}
}

// is compares what was pushed since the last call.
func (d *desk) is(want ...string) {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.puts, want) {
		d.t.Errorf("pushed %q, want %q\n%s", d.puts, want, d.log.String())
	}
	d.puts = nil
}

func (d *desk) logged(words ...string) {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	for line := range strings.Lines(d.log.String()) {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			return
		}
	}
	d.t.Errorf("no log line has %q:\n%s", words, d.log.String())
}

func (d *desk) said() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.String()
}

func (d *desk) count(kind string, o outcome) int {
	return int(testutil.ToFloat64(d.f.metrics.files.WithLabelValues(kind, string(o))))
}

const tick = 1100 * time.Millisecond // a poll, and what it finds settled
