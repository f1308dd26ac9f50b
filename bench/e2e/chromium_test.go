package e2e

import (
	"fmt"
	"testing"
	"time"
)

// engines are the two ways a browser plays HLS.
var engines = []string{"native", "hls"}

// A viewer opens a token URL in Chromium, natively and with hls.js: the first
// frame is there within two seconds, playback advances and never stalls.
// Then the encoder is killed and started again, and the viewer goes on; then
// the viewer's edge is killed, and the viewer goes on from another.
func TestChromiumPlaysThroughEverything(t *testing.T) {
	need(t, "ffmpeg")
	for _, engine := range engines {
		t.Run(engine, func(t *testing.T) {
			h := build(t, 3)
			encoder := h.encode(t, "live", fmp4, persistent)
			h.eventually(15*time.Second, "the channel", func() error { _, err := h.get(h.url(0, "live")); return err })
			time.Sleep(6 * time.Second) // a channel that has been on for a while
			page := servePage(t, h.edges, "/t/"+h.token+"/live/live/index.m3u8")
			b := open(t, page+"/?engine="+engine)

			p := b.advance(10*time.Second, 40*time.Second)
			b.screenshot("playing")
			if p.FirstFrame == nil || *p.FirstFrame >= 2 {
				t.Errorf("first frame after %v s, want under 2", deref(p.FirstFrame))
			}
			if p.Stalls > 0 || p.Moves > 0 || p.Recoveries > 0 || len(p.Errors) > 0 {
				t.Errorf("while all was well: %d stalls, %d moves, errors %q", p.Stalls, p.Moves, p.Errors)
			}
			if want := map[string]string{"native": "native", "hls": "hls.js"}[engine]; p.Engine != want {
				t.Errorf("played by %q, want %q", p.Engine, want)
			}
			t.Logf("%s: first frame %.2f s, latency %.2f s, %s, %d frames", p.Engine, deref(p.FirstFrame), deref(p.Latency), p.Rendition, p.Frames)

			encoder.kill()
			time.Sleep(time.Second)
			h.encode(t, "live", fmp4, persistent)
			p = b.advance(15*time.Second, 60*time.Second)
			b.screenshot("after-encoder-restart")
			// Chromium's own player may need the page to load anew; hls.js does not.
			if p.Moves > 0 || p.Recoveries > 1 || engine == "hls" && p.Recoveries > 0 {
				t.Errorf("after the encoder's restart: %d moves, %d recoveries, errors %q", p.Moves, p.Recoveries, p.Errors)
			}
			t.Logf("after the encoder's restart: %d stalls, %d recoveries, errors %q", p.Stalls, p.Recoveries, p.Errors)

			var dead int
			for i, e := range h.edges {
				if e == p.Edge {
					dead = i
				}
			}
			h.nodes[[]string{"e1", "e2", "e3"}[dead]].kill()
			eventually(t, 40*time.Second, "the viewer moves", func() error {
				if p = b.playback(); p.Edge == h.edges[dead] {
					return fmt.Errorf("not yet: %+v", p)
				}
				return nil
			})
			p = b.advance(8*time.Second, 40*time.Second)
			b.screenshot("after-edge-loss")
			if p.Latency == nil || *p.Latency < 0 || *p.Latency > 25 {
				t.Errorf("the page tells a latency of %v s", deref(p.Latency))
			}
			t.Logf("after the loss of its edge: now at %s, %d moves, %d stalls, errors %q", p.Edge, p.Moves, p.Stalls, p.Errors)
		})
	}
}

func deref(p *float64) float64 {
	if p == nil {
		return -1
	}
	return *p
}
