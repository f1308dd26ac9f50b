package e2e

import (
	"testing"
	"time"
)

// The encoder is killed without a word and started again, names and numbers
// from zero: players that decode every frame and stop at any error go on, and
// no playlist breaks a rule.
func TestPlayersGoOnWhenTheEncoderRestarts(t *testing.T) {
	need(t, "ffmpeg", "mpv")
	for _, c := range []struct{ kind, connections string }{{transport, persistent}, {fmp4, separate}} {
		t.Run(c.kind, func(t *testing.T) {
			h := build(t, 2)
			encoder := h.encode(t, "live", c.kind, c.connections)
			h.eventually(15*time.Second, "the channel", func() error { _, err := h.get(h.url(0, "live")); return err })
			w := watch(t, h.origin+"/live/live/index.m3u8", h.url(0, "live"), h.url(1, "live"))
			time.Sleep(6 * time.Second)
			watchWith := map[string]func(*testing.T, string, time.Duration) *process{transport: ffmpegEndures, fmp4: ffmpegPlays}[c.kind]
			ff, mpv := watchWith(t, h.url(0, "live"), 30*time.Second), mpvPlays(t, h.url(1, "live"), 30*time.Second)
			time.Sleep(5 * time.Second)
			encoder.kill()
			time.Sleep(time.Second)
			h.encode(t, "live", c.kind, c.connections)
			plays(t, ff, 90*time.Second, false)
			plays(t, mpv, 90*time.Second, false)
			w.verdict(t)
			if n := h.metric("origin", "weir_origin_discontinuities_total"); n == 0 {
				t.Error("no discontinuity after a restart of the encoder")
			}
		})
	}
}

// A node is told to stop while viewers play: it says so, finishes what it is
// doing and exits with 0.
func TestNodesDrainOnSIGTERM(t *testing.T) {
	need(t, "ffmpeg")
	h := build(t, 2)
	h.encode(t, "live", fmp4, persistent)
	h.eventually(15*time.Second, "the channel", func() error { _, err := h.get(h.url(0, "live")); return err })
	time.Sleep(4 * time.Second)
	player := ffmpegPlays(t, h.url(1, "live"), 12*time.Second)
	time.Sleep(3 * time.Second)
	if code := h.nodes["e1"].end(20 * time.Second); code != 0 {
		t.Errorf("the edge exited with %d", code)
	}
	plays(t, player, 40*time.Second, false)
	if code := h.nodes["origin"].end(20 * time.Second); code != 0 {
		t.Errorf("the origin exited with %d", code)
	}
}
