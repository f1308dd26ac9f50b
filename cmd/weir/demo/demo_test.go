package demo

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weir/bench"
	"weir/internal/web"
	"weir/playlist"
)

// safeBuffer is what the demo writes to while the test reads.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}
func (s *safeBuffer) String() string { s.mu.Lock(); defer s.mu.Unlock(); return s.b.String() }

// On a machine without FFmpeg the demo still shows the whole system: a channel
// that plays, with a discontinuity where the clip begins again, simulated
// viewers who never stall, and an end by itself after its duration.
func TestDemoWithoutFFmpegLoopsAClip(t *testing.T) {
	var out, log safeBuffer
	done := make(chan error, 1)
	go func() {
		done <- Run(t.Context(), Options{Viewers: 20, Duration: 20 * time.Second, FFmpeg: "no-such-program", Out: &out,
			Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	}()
	var url string
	for end := time.Now().Add(10 * time.Second); url == "" && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if m := regexp.MustCompile(`http://\S+/t/\S+/index\.m3u8`).FindString(out.String()); m != "" {
			url = m
		}
	}
	if url == "" {
		t.Fatalf("no URL in\n%s", out.String())
	}
	var m *playlist.Media
	var rules bench.Rulebook
	for range 14 {
		m = media(t, url)
		for _, broken := range rules.Check(m) {
			t.Error(broken)
		}
		time.Sleep(time.Second)
	}
	discontinuities := 0
	for i, s := range m.Segments {
		if s.Discontinuity && i > 0 {
			discontinuities++
		}
	}
	if len(m.Segments) < 6 || discontinuities == 0 {
		t.Errorf("%d segments, %d discontinuities after 14 s of a clip of 8 s", len(m.Segments), discontinuities)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the demo outlasted its duration")
	}
	if s := log.String(); s != "" {
		t.Errorf("a good day and its end are worth no warning:\n%s", s)
	}
	text := out.String()
	for _, want := range []string{"embedded clip", "no-such-program", "playable", "Ctrl-C", "edges 2 of 2", "swarm 20, stalls 0, failures 0", "stopped"} {
		if !strings.Contains(text, want) {
			t.Errorf("it did not say %q:\n%s", want, text)
		}
	}
}

// On a terminal the status is one line that is written over: one that wrapped
// would fill the screen.
func TestStatusFitsTheTerminal(t *testing.T) {
	for _, width := range []int{0, 20, 60, 80, 200} {
		var out safeBuffer
		s := newStatus(&stage{}, Options{Out: &out, Terminal: true, Viewers: 1000, Width: func() int { return width }}, new(bench.Stats), time.Now())
		s.stage.originReg = prometheus.NewRegistry()
		s.print()
		line := strings.TrimSuffix(strings.TrimPrefix(out.String(), "\r"), "\x1b[K")
		bound := width
		if width == 0 {
			bound = 80
		}
		if len(line) >= bound || !strings.HasPrefix(line, "   0s  ") {
			t.Errorf("%d columns: %q", width, line)
		}
		if strings.Contains(line, "viewers asked") != (width == 200) || width >= 60 && !strings.Contains(line, "origin") {
			t.Errorf("%d columns: %q", width, line)
		}
	}
}

// A demo that stops cuts uploads and leaves clusters: only errors are worth a
// line then, unless somebody asked for all of them.
func TestStoppingIsNoNews(t *testing.T) {
	for level, lines := range map[slog.Level]int{slog.LevelWarn: 2, slog.LevelDebug: 3} {
		var out safeBuffer
		var stopping atomic.Bool
		log := slog.New(hush{slog.NewTextHandler(&out, &slog.HandlerOptions{Level: level}), &stopping}).With("node", "x")
		log.Warn("an upload was refused")
		stopping.Store(true)
		log.Warn("an upload was cut")
		log.Error("a listener is gone")
		if got := strings.Count(out.String(), "\n"); got != lines {
			t.Errorf("%v: %s", level, out.String())
		}
	}
}

// media returns the first media playlist of the channel at url.
func media(t *testing.T, url string) *playlist.Media {
	t.Helper()
	multi, err := playlist.ParseMultivariant(fetch(t, url))
	if err != nil {
		t.Fatal(err)
	}
	m, err := playlist.ParseMedia(fetch(t, strings.TrimSuffix(url, "index.m3u8")+multi.Variants[0].URI))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func fetch(t *testing.T, url string) []byte {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	p, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", url, resp.Status, err)
	}
	return p
}

// The page is served in front of the edge, and the edge behind it unharmed.
func TestPageStandsBeforeTheEdge(t *testing.T) {
	edge := web.HandlerFunc(func(_ context.Context, req *web.Request) (*web.Response, error) {
		return web.Text(http.StatusTeapot, req.Path), nil
	})
	p, err := NewPage(edge, func() (Session, error) {
		return Session{Edges: []string{"http://e1"}, Path: "/t/x/live/demo/index.m3u8"}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	f := func(method, path string, status int, contains string) {
		t.Helper()
		resp, err := p.Serve(t.Context(), &web.Request{Method: method, Path: path})
		if err != nil {
			resp = web.ErrorResponse(err)
		}
		defer resp.Close()
		body, err := web.ReadAll(t.Context(), resp.Body, 1<<20)
		if err != nil || resp.Status != status || !strings.Contains(string(body), contains) {
			t.Errorf("%s %s: %d %q, %v", method, path, resp.Status, body[:min(len(body), 80)], err)
		}
	}
	f("GET", "/", 200, "<video")
	f("GET", "/player/player.js", 200, "canPlayType")
	f("GET", "/player/session.json", 200, `"path":"/t/x/live/demo/index.m3u8"`)
	f("GET", "/player/hls.min.js", 200, "")
	f("GET", "/player/none", 404, "no page")
	f("GET", "/player/README.md", 404, "no page")
	f("POST", "/", 405, "")
	f("GET", "/live/demo/index.m3u8", http.StatusTeapot, "/live/demo/index.m3u8")
}
