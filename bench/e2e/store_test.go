package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"weir/playlist"
)

// The origin is killed in the middle and started again on its directory, while FFmpeg pushes
// and a player that stops at any error watches through an edge. It plays to its end. What was
// shown can be played again, as catch-up and as a programme that was cut of it: the same files
// under the same names before and after, and nothing but a gap in between.
func TestAKilledOriginGoesOnFromDisk(t *testing.T) {
	need(t, "ffmpeg")
	h := build(t, 1)
	again := h.onDisk(t)
	h.encode(t, "live", fmp4, separate, "-ignore_io_errors", "1") // on persistent connections FFmpeg ends with the origin
	var first playlist.Segment
	h.eventually(20*time.Second, "three segments", func() error {
		m, err := h.media(h.edges[0]+"/t/"+h.token+"/live/live/", "360p/index.m3u8")
		if err != nil || len(m.Segments) < 3 {
			return fmt.Errorf("%d segments, %w", len(m.Segments), err)
		}
		first = m.Segments[0]
		return nil
	})
	w := watch(t, h.origin+"/live/live/index.m3u8", h.url(0, "live"))
	const length = 20 * time.Second
	player := ffmpegPlayer(t, h.url(0, "live"), length, "-xerror", "-progress", "pipe:1")
	time.Sleep(4 * time.Second)
	h.nodes["origin"].kill()
	time.Sleep(3 * time.Second) // so that the player asks meanwhile: it ends at a 502
	again()
	plays(t, player, 60*time.Second, false)
	if got := played(player); got < length { // FFmpeg exits with 0 where a playlist cannot be reloaded
		t.Errorf("the player ended after %v of %v", got, length)
	}
	w.verdict(t)
	if n := h.metric("origin", "weir_origin_discontinuities_total"); n != 0 {
		t.Errorf("%v discontinuities: the channel began anew", n)
	}

	from, to := first.ProgramDateTime.UTC(), time.Now().UTC().Add(-4*time.Second)
	const form = "20060102T150405Z"
	past := h.edges[0] + "/t/" + h.token + "/live/live/@" + from.Format(form) + "-" + to.Format(form) + "/"
	m, err := h.media(past, "360p/index.m3u8")
	if err != nil {
		t.Fatal(err)
	}
	h.oneRun(t, m, first)
	h.playsAgain(t, past+"index.m3u8", m)

	h.weir("vod", "cut", "live", "show", "--admin", h.admin["origin"], "--admin-token", filepath.Join(h.dir, "admin.token"),
		"--start", from.Format(time.RFC3339), "--end", to.Format(time.RFC3339))
	show := strings.TrimSpace(h.weir("token", "sign", "--key", filepath.Join(h.dir, "k1.pem"), "--alg", "ES256", "--id", "k1", "--path", "/vod/show/", "--ttl", "1h"))
	asset := h.edges[0] + "/t/" + show + "/vod/show/"
	if m, err = h.media(asset, "360p/index.m3u8"); err != nil {
		t.Fatal(err)
	}
	h.oneRun(t, m, first)
	h.playsAgain(t, asset+"index.m3u8", m)
}

// onDisk starts the origin anew with a directory, DVR and an operator's token, and returns
// what starts it so again.
func (h *house) onDisk(t *testing.T) (again func()) {
	t.Helper()
	config := filepath.Join(h.dir, "origin.yaml")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	h.file("origin.yaml", string(text)+"channels: {defaults: {dvr: 1h}}\ndrain: {delay: 0s}\n")
	h.file("admin.token", "e2e-admin-token-0123456789abcdef\n")
	again = func() {
		h.run("origin", "origin", "--config", config, "--data", filepath.Join(h.dir, "data"), "--admin-token", filepath.Join(h.dir, "admin.token"))
		h.eventually(20*time.Second, "the origin", func() error { _, err := h.get(h.admin["origin"] + "/-/ready"); return err })
	}
	h.nodes["origin"].end(20 * time.Second)
	again()
	return again
}

// media fetches a media playlist; without an error it is not nil.
func (h *house) media(base, uri string) (*playlist.Media, error) {
	text, err := h.get(base + uri)
	if err != nil {
		return &playlist.Media{}, err
	}
	return playlist.ParseMedia([]byte(text))
}

// oneRun checks that a playlist over the past has what was seen first, and what came after the
// origin was killed, in one run: the same epoch, no discontinuity, a gap.
func (h *house) oneRun(t *testing.T, m *playlist.Media, first playlist.Segment) {
	t.Helper()
	epoch, _, _ := strings.Cut(first.URI, "-")
	if got := m.Segments[0].URI; !strings.HasSuffix(got, first.URI) || m.Type != playlist.VOD || !m.EndList {
		t.Errorf("it begins with %s, want %s, type %v, ended %v", got, first.URI, m.Type, m.EndList)
	}
	gaps := 0
	for _, s := range m.Segments {
		if s.Gap {
			gaps++
		}
		if s.Discontinuity || !strings.HasPrefix(s.URI[strings.LastIndex(s.URI, "/")+1:], epoch+"-") {
			t.Errorf("%s: discontinuity %v, the epoch was %s", s.URI, s.Discontinuity, epoch)
		}
	}
	if last := m.Segments[len(m.Segments)-1]; gaps == 0 || last.Gap || last.ProgramDateTime.Sub(first.ProgramDateTime) < 10*time.Second {
		t.Errorf("%d gaps, the last segment is of %v, the first of %v", gaps, last.ProgramDateTime, first.ProgramDateTime)
	}
}

// playsAgain decodes all of what a playlist over the past has, in less than its time.
func (h *house) playsAgain(t *testing.T, url string, m *playlist.Media) {
	t.Helper()
	p := start(t, "ffmpeg playing the past", "ffmpeg", "-nostdin", "-v", "error", "-xerror", "-i", url, "-map", "0:v:0", "-map", "0:a:0",
		"-f", "null", "-progress", "pipe:1", "-")
	plays(t, p, 20*time.Second, false)
	if want := m.Segments[len(m.Segments)-1].ProgramDateTime.Sub(m.Segments[0].ProgramDateTime); played(p) < want {
		t.Errorf("%v was played of %v and more: %s", played(p), want, maskedText(url))
	}
}

var outTime = regexp.MustCompile(`out_time_us=(\d+)`)

// played is how far a player with -progress pipe:1 came.
func played(p *process) (d time.Duration) {
	for _, m := range outTime.FindAllStringSubmatch(p.tail(4<<20), -1) {
		if us, err := time.ParseDuration(m[1] + "us"); err == nil {
			d = max(d, us)
		}
	}
	return d
}
