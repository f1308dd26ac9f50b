package e2e

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/playlist"
)

// Others' caches before weir's origin, set up as deploy/cdn says: players play through each
// of them, nothing is shown for longer than it lives, and whoever watches, the origin sends
// each segment to each cache once.
func TestPlayersThroughCDNsOfOthers(t *testing.T) {
	need(t, "ffmpeg", "mpv")
	h := build(t, 0)
	h.encode(t, "live", transport, separate)
	h.eventually(20*time.Second, "the channel", func() error { _, err := h.get(h.origin + "/live/live/360p/index.m3u8"); return err })
	clock := watchClock(t, h)
	t.Run("each", func(t *testing.T) {
		for _, c := range cdns {
			t.Run(c.name, func(t *testing.T) {
				need(t, c.program)
				t.Parallel()
				playThrough(t, h, c, clock)
			})
		}
	})
}

func playThrough(t *testing.T, h *house, c cdn, clock *originClock) {
	p := newTap(t, h.origin)
	listen := ports(t, 1)()
	dir := t.TempDir()
	c.start(t, dir, listen, p.addr)
	base := "http://" + listen + "/live/live/"
	eventually(t, 30*time.Second, c.name+" answers", func() error { _, err := get(t.Context(), base+"index.m3u8"); return err })

	w := watch(t, base+"index.m3u8")
	age := clock.hold(t, base+"360p/index.m3u8")
	players := []*process{ffmpegPlays(t, base+"index.m3u8", 12*time.Second), mpvPlays(t, base+"index.m3u8", 12*time.Second)}
	crowd(t, base, 20, 8*time.Second)
	directives(t, base, p)
	notKept(t, base, p)
	ranges(t, base)
	for i, player := range players {
		plays(t, player, 60*time.Second, i == 0)
	}
	age()
	w.verdict(t)
	lull(t, h, base)
	originAway(t, base, p)

	all, most, urls := p.count(".ts")
	t.Logf("%s: %d segments asked of the origin, %d times in all", c.name, urls, all)
	if urls < 6 || most > 2 || all > urls+2 {
		t.Errorf("%d segments were asked of the origin %d times, one of them %d times: want each once", urls, all, most)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.strange {
		t.Errorf("asked of the origin: %s", s)
		break
	}
}

// ask gets what a cache answers, and fails the test if the pull key is in it.
func askCDN(t *testing.T, url string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := (&http.Client{Timeout: 30 * time.Second}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	if strings.Contains(fmt.Sprint(resp.Header)+string(b), pullKey) {
		t.Errorf("%s: the viewer is shown the pull key", url)
	}
	return resp, string(b)
}

// originClock knows up to which segment the origin's playlist went at each moment.
type originClock struct {
	mu  sync.Mutex
	end map[time.Time]uint64
}

func endOf(t *testing.T, text string) (end uint64) {
	t.Helper()
	m, err := playlist.ParseMedia([]byte(text))
	if err != nil {
		t.Errorf("%v in\n%s", err, text)
		return 0
	}
	return m.MediaSequence + uint64(len(m.Segments))
}

func watchClock(t *testing.T, h *house) *originClock {
	c := &originClock{end: map[time.Time]uint64{}}
	ctx := t.Context()
	go func() {
		for ctx.Err() == nil {
			at := time.Now() // before it is asked: it may know more then, never less
			if text, err := get(ctx, h.origin+"/live/live/360p/index.m3u8"); err == nil {
				if m, err := playlist.ParseMedia([]byte(text)); err == nil {
					c.mu.Lock()
					c.end[at] = m.MediaSequence + uint64(len(m.Segments))
					c.mu.Unlock()
				}
			}
			time.Sleep(100 * time.Millisecond)
		}
	}()
	return c
}

// was says up to which segment the playlist surely went at a moment.
func (c *originClock) was(at time.Time) (end uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for when, e := range maps.All(c.end) {
		if when.Before(at) {
			end = max(end, e)
		}
	}
	return end
}

// slack is what a cache may show more than the lifetime allows: it counts in whole seconds,
// rounds down, and the machine is busy.
const slack = 1500 * time.Millisecond

// hold reads a playlist through a cache all the time, until it is stopped: it advances,
// never goes back, and is never older than the origin allows.
func (c *originClock) hold(t *testing.T, url string) (stop func()) {
	t.Helper()
	done, ended := make(chan struct{}), make(chan struct{})
	var worst time.Duration
	var first, last uint64
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-time.After(150 * time.Millisecond):
			}
			asked := time.Now()
			resp, text := askCDN(t, url)
			life := lifetime(t, resp)
			if s := resp.Header.Get("Age"); s != "" {
				if age, err := strconv.Atoi(s); err != nil || time.Duration(age)*time.Second > life+time.Second {
					t.Errorf("%s: Age %s, lifetime %v", url, s, life)
				}
			}
			end := endOf(t, text)
			if end < last {
				t.Errorf("%s went back from %d to %d", url, last, end)
			}
			if first == 0 {
				first = end
			}
			last = end
			if must := c.was(asked.Add(-life - slack)); end < must {
				t.Errorf("%s ends with %d: the origin's went up to %d more than %v ago", url, end, must, life+slack)
			}
			for d := time.Duration(0); d < 10*time.Second; d += 100 * time.Millisecond {
				if c.was(asked.Add(-d)) <= end {
					worst = max(worst, d)
					break
				}
			}
		}
	}()
	return func() {
		close(done)
		<-ended
		t.Logf("it advanced by %d segments and was at most %v old", last-first, worst)
		if last < first+4 {
			t.Errorf("%s advanced from %d to %d only", url, first, last)
		}
	}
}

func lifetime(t *testing.T, resp *http.Response) time.Duration {
	t.Helper()
	for d := range strings.SplitSeq(resp.Header.Get("Cache-Control"), ",") {
		if s, ok := strings.CutPrefix(strings.TrimSpace(d), "max-age="); ok {
			n, err := strconv.Atoi(s)
			if err != nil {
				t.Errorf("max-age=%s", s)
			}
			return time.Duration(n) * time.Second
		}
	}
	t.Errorf("%s: %d without a lifetime: %q", resp.Request.URL, resp.StatusCode, resp.Header.Get("Cache-Control"))
	return 0
}

// crowd are n viewers who get each segment of a rendition as soon as it is listed, all at
// the same moment.
func crowd(t *testing.T, base string, n int, d time.Duration) {
	t.Helper()
	got := map[string]bool{}
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		_, text := askCDN(t, base+"240p/index.m3u8")
		for line := range strings.Lines(text) {
			name := strings.TrimSpace(line)
			if name == "" || name[0] == '#' || got[name] {
				continue
			}
			got[name] = true
			var all sync.WaitGroup
			sizes := make([]int, n)
			for i := range n {
				all.Go(func() {
					resp, body := askCDN(t, base+"240p/"+name, "Authorization", "Bearer of-my-own", "Cookie", "weir_token=x")
					if sizes[i] = len(body); resp.StatusCode != 200 || len(body) == 0 {
						t.Errorf("%s: %d, %d bytes", name, resp.StatusCode, len(body))
					}
				})
			}
			all.Wait()
			for _, size := range sizes {
				if size != sizes[0] {
					t.Errorf("%s: viewers got %v bytes", name, sizes)
					break
				}
			}
		}
	}
	if len(got) < 4 {
		t.Errorf("the crowd saw %d segments", len(got))
	}
}

// directives of HLS are a part of what is asked for: each is an object of its own, and kept.
func directives(t *testing.T, base string, p *tap) {
	t.Helper()
	_, text := askCDN(t, base+"144p/index.m3u8")
	next := endOf(t, text)
	for _, n := range []uint64{next, next + 1} { // not there yet: the origin holds the request
		q := fmt.Sprintf("144p/index.m3u8?_HLS_msn=%d", n)
		for range 3 {
			resp, text := askCDN(t, base+q)
			if end := endOf(t, text); resp.StatusCode != 200 || end <= n {
				t.Errorf("%s: %d, ends with %d", q, resp.StatusCode, end)
			}
		}
		if all, _, _ := p.count(q); all != 1 {
			t.Errorf("%s was asked of the origin %d times", q, all)
		}
	}
}

// notKept: what is missing now may be there in a moment.
func notKept(t *testing.T, base string, p *tap) {
	t.Helper()
	if resp, _ := askCDN(t, base+"144p/none.ts"); resp.StatusCode != 404 {
		t.Errorf("status %d", resp.StatusCode)
	}
	time.Sleep(2*time.Second + slack) // a target duration
	if resp, _ := askCDN(t, base+"144p/none.ts"); resp.StatusCode != 404 {
		t.Errorf("status %d", resp.StatusCode)
	}
	if all, _, _ := p.count("none.ts"); all != 2 {
		t.Errorf("a 404 of a target duration ago: the origin was asked %d times", all)
	}
	p.mu.Lock()
	for uri := range p.asked { // no segment
		if strings.Contains(uri, "none.ts") {
			delete(p.asked, uri)
		}
	}
	p.mu.Unlock()
}

// lull: a playlist that nobody asked for in a while is not shown to who comes first.
func lull(t *testing.T, h *house, base string) {
	t.Helper()
	time.Sleep(2500 * time.Millisecond) // a segment longer than since it was asked for last
	before, err := get(t.Context(), h.origin+"/live/live/360p/index.m3u8")
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second + slack)
	if _, text := askCDN(t, base+"360p/index.m3u8"); endOf(t, text) < endOf(t, before) {
		t.Errorf("after a lull: ends with %d, the origin's did so with %d seconds ago", endOf(t, text), endOf(t, before))
	}
}

// originAway: while the origin restarts viewers see a playlist that stands still, which
// players endure, and no error, which they do not.
func originAway(t *testing.T, base string, p *tap) {
	t.Helper()
	_, text := askCDN(t, base+"360p/index.m3u8")
	end := endOf(t, text)
	p.away.Store(true)
	time.Sleep(2*time.Second + slack)
	for range 3 {
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				resp, text := askCDN(t, base+"360p/index.m3u8")
				if resp.StatusCode != 200 || !strings.HasPrefix(text, "#EXTM3U") || endOf(t, text) < end {
					t.Errorf("the origin is away: %d %.60q", resp.StatusCode, text)
				}
			})
		}
		all.Wait()
		time.Sleep(300 * time.Millisecond)
	}
	p.away.Store(false)
	eventually(t, 10*time.Second, "the playlist goes on when the origin is back", func() error {
		resp, text := askCDN(t, base+"360p/index.m3u8")
		if resp.StatusCode != 200 || endOf(t, text) <= end {
			return fmt.Errorf("%d, still ends with %d", resp.StatusCode, end)
		}
		return nil
	})
}

func ranges(t *testing.T, base string) {
	t.Helper()
	_, text := askCDN(t, base+"240p/index.m3u8")
	lines := strings.Split(strings.TrimSpace(text), "\n")
	name := lines[len(lines)-1]
	_, whole := askCDN(t, base+"240p/"+name)
	resp, part := askCDN(t, base+"240p/"+name, "Range", "bytes=188-375")
	if resp.StatusCode != 206 || part != whole[188:376] {
		t.Errorf("a range: %d, %d bytes", resp.StatusCode, len(part))
	}
}
