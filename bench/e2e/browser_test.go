package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"weir/cmd/weir/demo"
	"weir/internal/web"
	"weir/internal/wire"
)

// A browser is a Chromium with weir's player page open in it.
type browser struct {
	t   *testing.T
	ctx context.Context
}

// playback is what the page says of itself: window.weir, and the video element.
type playback struct {
	Engine     string   `json:"engine"`
	Edge       string   `json:"edge"`
	Moves      int      `json:"moves"`
	Recoveries int      `json:"recoveries"` // from media errors, without leaving the edge
	Stalls     int      `json:"stalls"`
	Errors     []string `json:"errors"`
	FirstFrame *float64 `json:"firstFrame"` // seconds after the page began to load the stream
	Latency    *float64 `json:"latency"`
	Rendition  string   `json:"rendition"`
	Time       float64  `json:"time"`
	Frames     int      `json:"frames"`
	Paused     bool     `json:"paused"`
	Ended      bool     `json:"ended"`
	Note       string   `json:"note"` // what the page tells its viewer
}

const readPlayback = `({...window.weir, hls: undefined, time: document.getElementById('video').currentTime,
	frames: document.getElementById('video').getVideoPlaybackQuality().totalVideoFrames,
	paused: document.getElementById('video').paused, ended: document.getElementById('video').ended,
	note: document.getElementById('note').textContent})`

// servePage serves the demo's player page, which plays path from edges.
func servePage(t *testing.T, edges []string, path string) (base string) {
	t.Helper()
	page, err := demo.NewPage(web.HandlerFunc(func(context.Context, *web.Request) (*web.Response, error) {
		return nil, web.Errorf(http.StatusNotFound, "only the page is here")
	}), func() (demo.Session, error) { return demo.Session{Edges: edges, Path: path}, nil })
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := wire.NewNet(wire.NetOptions{Handler: page, Name: "page"})
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		_ = s.Shutdown(ctx)
	})
	return "http://" + ln.Addr().String()
}

// chromium is the name it has on this machine.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	need(t, "chromium")
	return ""
}

// open starts a Chromium and opens url in it.
func open(t *testing.T, url string) *browser {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium(t)), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("no-first-run", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("autoplay-policy", "no-user-gesture-required"), chromedp.WindowSize(1280, 760))
	ctx, cancelAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(ctx)
	t.Cleanup(func() { cancel(); cancelAllocator() })
	b := &browser{t, ctx}
	if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
		t.Fatalf("open %s: %v", url, err)
	}
	return b
}

func (b *browser) playback() playback {
	b.t.Helper()
	p, err := chromedp.Run(b.ctx, chromedp.Evaluate[playback](readPlayback))
	if err != nil {
		b.t.Fatalf("ask the page: %v", err)
	}
	return p
}

// advance waits until the video has gone on by at least so much.
func (b *browser) advance(by, bound time.Duration) playback {
	b.t.Helper()
	from := b.playback().Time
	var p playback
	eventually(b.t, bound, "playback goes on", func() error {
		if p = b.playback(); p.Time < from+by.Seconds() {
			return fmt.Errorf("it stands: %+v", p)
		}
		return nil
	})
	return p
}

// screenshot keeps what the browser shows as a test artefact.
func (b *browser) screenshot(name string) {
	b.t.Helper()
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(artefacts(b.t), name+".png"), png, 0o644)
	}
	if err != nil {
		b.t.Errorf("screenshot: %v", err)
	}
}
