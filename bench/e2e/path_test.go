package e2e

import (
	"strings"
	"testing"
	"time"

	"weir/playlist"
)

// The whole path on real input: FFmpeg pushes three renditions to an origin,
// viewers of three edges play them, in both containers and with both ways of
// connecting. Nobody meets an error or a gap, every playlist is in order, and
// the origin is asked once for each segment.
func TestFFmpegToPlayersThroughThreeEdges(t *testing.T) {
	need(t, "ffmpeg", "mpv")
	for _, c := range []struct{ kind, connections string }{{transport, separate}, {fmp4, persistent}} {
		t.Run(c.kind, func(t *testing.T) {
			h := build(t, 3)
			h.encode(t, "live", c.kind, c.connections)
			var text string
			h.eventually(15*time.Second, "the multivariant playlist", func() (err error) { text, err = h.get(h.url(0, "live")); return err })
			checkMultivariant(t, text)
			w := watch(t, h.origin+"/live/live/index.m3u8", h.url(0, "live"), h.url(1, "live"), h.url(2, "live"))
			time.Sleep(4 * time.Second) // three segments, as any player wants to begin with
			players := []*process{
				ffmpegPlays(t, h.url(0, "live"), 20*time.Second),
				mpvPlays(t, h.url(1, "live"), 20*time.Second),
				mpvPlays(t, h.url(2, "live"), 20*time.Second),
			}
			for i, p := range players {
				plays(t, p, 60*time.Second, i == 0)
			}
			w.verdict(t)
			h.askedOnce(t)
		})
	}
}

// checkMultivariant holds a ladder's multivariant playlist to what was encoded.
func checkMultivariant(t *testing.T, text string) {
	t.Helper()
	m, err := playlist.ParseMultivariant([]byte(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if len(m.Variants) != 3 {
		t.Fatalf("%d variants, want 3:\n%s", len(m.Variants), text)
	}
	for _, v := range m.Variants {
		if !strings.HasPrefix(v.Codecs, "avc1.") || !strings.Contains(v.Codecs, "mp4a.40.2") {
			t.Errorf("CODECS of %s is %q", v.URI, v.Codecs)
		}
		if v.FrameRate != 25 || v.Width*9 < v.Height*15 || v.Height == 0 {
			t.Errorf("%s is %dx%d at %v frames/s", v.URI, v.Width, v.Height, v.FrameRate)
		}
		if v.AverageBandwidth < 50_000 || v.Bandwidth < v.AverageBandwidth || v.Bandwidth > 3_000_000 {
			t.Errorf("%s: BANDWIDTH %d, AVERAGE-BANDWIDTH %d", v.URI, v.Bandwidth, v.AverageBandwidth)
		}
	}
}

// askedOnce reads the origin's own counters: it sent each segment at most once
// to the whole cluster, whatever three edges and their viewers asked for, and
// lost none.
func (h *house) askedOnce(t *testing.T) {
	t.Helper()
	published := h.metric("origin", "weir_origin_segments_total")
	sent := h.metric("origin", `weir_origin_answers_total{code_class="2xx",kind="segment"}`)
	if published == 0 || sent == 0 || sent > published {
		t.Errorf("the origin published %v segments and sent %v: more than each once", published, sent)
	}
	if gaps := h.metric("origin", "weir_origin_gaps_total"); gaps > 0 {
		t.Errorf("%v gaps", gaps)
	}
	t.Logf("the origin published %v segments and sent %v", published, sent)
}
