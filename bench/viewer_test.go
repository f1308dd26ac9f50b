package bench

import (
	"context"
	"testing"

	"weir/internal/web"
)

// A viewer whose first segment cannot be had never played: the swarm's figure neither counts
// it nor falls below zero.
func TestAViewerThatNeverStartedIsNotCounted(t *testing.T) {
	answers := map[string]string{
		"/live/c/index.m3u8":   "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv/index.m3u8\n",
		"/live/c/v/index.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:7\n#EXTINF:2,\na.ts\n#EXT-X-ENDLIST\n",
	}
	edge := web.HandlerFunc(func(_ context.Context, req *web.Request) (*web.Response, error) {
		if text, ok := answers[req.Path]; ok {
			return web.Text(200, text), nil
		}
		return web.Text(404, ""), nil
	})
	play := func() (playing int64, started int, err error) {
		var stats Stats
		v, err := NewViewer(ViewerOptions{Edges: []web.Handler{edge}, Path: "/live/c/index.m3u8", Stats: &stats})
		if err != nil {
			t.Fatal(err)
		}
		err = v.Play(t.Context())
		return stats.Report().Playing, len(stats.startups), err
	}
	if playing, started, err := play(); err == nil || playing != 0 || started != 0 {
		t.Errorf("without its segment: %v, playing %d, started %d", err, playing, started)
	}
	answers["/live/c/v/a.ts"] = "media"
	if playing, started, err := play(); err != nil || playing != 0 || started != 1 {
		t.Errorf("with it: %v, playing %d, started %d", err, playing, started)
	}
}
