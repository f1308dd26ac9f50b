package e2e

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// Names that no channel or file may have. What has no channel shares an
// allowance of four log lines in fifteen seconds, so not all are looked for.
func badNames(t *testing.T, h *house) {
	f := func(target string, status int, reason, says string) {
		t.Helper()
		mark := h.bookmark("origin")
		raw(t, h.ingest, "PUT", target, "Authorization: Bearer "+publishKey+"\n").is(t, status, reason)
		if says != "" {
			mark.says(t, "ingest refused", fmt.Sprint("status=", status), "reason="+reason, says)
		}
	}
	f("/ingest/Upper/a.ts", 403, "bad_path", `channel \"Upper\"`)
	f("/ingest/-x/a.ts", 403, "bad_path", "")
	f("/ingest/a%20b/a.ts", 403, "bad_path", `path="/ingest/a b/a.ts"`)
	f("/ingest/%C3%A9t%C3%A9/a.ts", 403, "bad_path", "path=/ingest/été/a.ts")
	f("/ingest/"+strings.Repeat("x", 65)+"/a.ts", 403, "bad_path", "")
	f("/ingest/nofile", 403, "bad_path", "channel=nofile")
	f("/ingest/deep/"+strings.Repeat("x/", 300)+"a.ts", 403, "bad_path", "channel=deep")
	f("/elsewhere/live/a.ts", 403, "bad_path", "")
	f("/ingest/shell/a.php", 415, "bad_type", "path=a.php")
	for _, name := range []string{"nofile", "deep", "shell"} {
		send(t, "GET", h.origin+"/live/"+name+"/index.m3u8", nil, "Weir-Pull-Key", pullKey).is(t, 404, "no_such_channel")
	}
}

// tricks are targets that two parsers could take for two places. Behind %s
// stands a channel.
var tricks = []string{
	"%s/../good/x.ts", "%s/%%2e%%2e/good/x.ts", "%s/.%%2E/good/x.ts", "%s/./x.ts", "%s//x.ts", "/%s/x.ts", "%s/a%%2fb.ts", "%s/a%%5Cb.ts",
	"%s/a%%00.ts", "%s/a%%0d%%0aX-Y:%%20z.ts", "%s/%%ff%%fe.ts", "%s/a%%zz.ts", "%s/a%%2", "%s/..%%c0%%af..%%c0%%afetc/passwd.ts", "%s/a\\..\\b.ts",
	"%s/x.ts#fragment",
}

// Path tricks of encoders: refused before the body, and the log tells of them.
func badIngestPaths(t *testing.T, h *house) {
	mark := h.bookmark("origin")
	auth := "Authorization: Bearer " + publishKey + "\n"
	for _, trick := range tricks {
		target := "/ingest/" + strings.TrimPrefix(fmt.Sprintf(trick, "victim"), "/")
		if strings.HasPrefix(trick, "/") {
			target = "/ingest" + fmt.Sprintf(trick, "/victim")
		}
		if r := raw(t, h.ingest, "PUT", target, auth); r.status != 400 && r.status != 403 { // 400: not even a URI
			t.Errorf("PUT %q: %d %s", target, r.status, r.body)
		}
	}
	raw(t, h.ingest, "PUT", "http://other.example/ingest/victim/x.ts", auth).is(t, 403, "bad_path")
	for _, target := range []string{"/ingest/victim/a\x00.ts", "/ingest/victim/a\x01.ts", "*", "ingest/victim/x.ts", "/ingest/victim/a b.ts"} {
		if r := raw(t, h.ingest, "PUT", target, auth); r.status != 400 && r.status != 403 { // 400: not even a URI
			t.Errorf("PUT %q: %d %s", target, r.status, r.body)
		}
	}
	mark.says(t, "request refused", "listener=ingest", "method=PUT", "path=/ingest/victim/../good/x.ts", "status=403", "reason=bad_path")
}

// Path tricks of viewers, at an edge and at the origin: no answer but a refusal.
func badViewerPaths(t *testing.T, h *house) {
	key := "Weir-Pull-Key: " + pullKey + "\n"
	origin, edge := h.bookmark("origin"), h.bookmark("e1")
	f := func(target string) {
		t.Helper()
		for base, target := range map[string]string{h.origin: target, h.edges[0]: "/t/" + h.token + target} {
			r := raw(t, base, "GET", target, key)
			if r.status != 400 || strings.Contains(r.body, "#EXTM3U") {
				t.Errorf("GET %q: %d %.100q", maskedText(target), r.status, r.body)
			}
		}
	}
	for _, trick := range tricks {
		if strings.HasPrefix(trick, "/") {
			f("/live" + fmt.Sprintf(trick, "/victim"))
			continue
		}
		f("/live/" + fmt.Sprintf(trick, "victim"))
	}
	origin.says(t, "request refused", "listener=viewers", "path=/live/victim/../good/x.ts", "status=400", "reason=bad_path")
	edge.says(t, "request refused", "listener=viewers", "path=/t/***", "status=400", "reason=bad_path")
	f("/live/victim/a\x00.ts")
	f("/live/victim/\x80\xff.ts")
	f("/live/victim/../../../../etc/passwd")
	f("/live/victim/180p/%2e%2e/index.m3u8")
	raw(t, h.edges[0], "GET", "http://other.example/t/"+h.token+"/live/victim/index.m3u8", "").is(t, 400, "bad_path")
	raw(t, h.origin, "GET", "http://other.example/live/victim/index.m3u8", key).is(t, 400, "bad_path")
	for _, target := range []string{"*", "live/victim/index.m3u8", ""} {
		if r := raw(t, h.origin, "GET", target, key); r.status < 400 || r.status > 499 {
			t.Errorf("GET %q: %d %.100q", target, r.status, r.body)
		}
	}
}

// bystanders have FFmpeg push the channel "good", an auditor read all of its
// playlists, and FFmpeg play it through an edge. The function returned waits for
// the player's end and fails the test if any of them noticed anything.
func (h *house) bystanders(t *testing.T) (untouched func(*testing.T)) {
	t.Helper()
	h.encode(t, "good", fmp4, persistent)
	h.eventually(15*time.Second, "the channel", func() error { _, err := h.get(h.url(0, "good")); return err })
	time.Sleep(4 * time.Second)
	began := time.Now()
	w := watch(t, h.origin+"/live/good/index.m3u8", h.url(0, "good"))
	player := ffmpegPlays(t, h.url(0, "good"), 25*time.Second)
	return func(t *testing.T) {
		t.Helper()
		select {
		case <-player.done:
			t.Logf("what was done took %v, longer than the player played", time.Since(began))
		default:
		}
		plays(t, player, 60*time.Second, true)
		w.verdict(t)
		for _, m := range []string{"weir_origin_gaps_total", "weir_origin_discontinuities_total"} {
			if n := h.metric("origin", m+`{channel="good"`); n != 0 {
				t.Errorf("%s of the channel nobody attacked is %v", m, n)
			}
		}
	}
}

// idlers are how many connections stay open that never finish a header.
const idlers = 200

// drip opens connections at an edge and at ingest that send a byte of a header
// every so often. The function returned fails the test unless all were cut at
// limits.header_timeout, and viewers were served meanwhile.
func (h *house) drip(t *testing.T) (done func(*testing.T)) {
	t.Helper()
	began := time.Now()
	var mu sync.Mutex
	var cut []time.Duration
	var all sync.WaitGroup
	for i := range idlers {
		base := []string{h.edges[0], h.ingest}[i%2]
		c, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		all.Go(func() {
			go func() {
				for _, b := range []byte("GET /live/good/index.m3u8 HTTP/1.1\r\nHost: x\r\nX-Slow: " + strings.Repeat("z", 500)) {
					if _, err := c.Write([]byte{b}); err != nil {
						return
					}
					time.Sleep(250 * time.Millisecond)
				}
			}()
			_ = c.SetReadDeadline(began.Add(30 * time.Second))
			if _, err := io.Copy(io.Discard, c); err == nil || !strings.Contains(err.Error(), "i/o timeout") {
				mu.Lock()
				cut = append(cut, time.Since(began))
				mu.Unlock()
			}
			_ = c.Close()
		})
	}
	worst, asked := time.Duration(0), 0
	for asked < 40 {
		at := time.Now()
		if _, err := h.get(h.url(0, "good")); err != nil {
			t.Errorf("a viewer beside %d idlers: %v", idlers, err)
		}
		asked, worst = asked+1, max(worst, time.Since(at))
	}
	if worst > 2*time.Second {
		t.Errorf("a viewer waited for %v beside %d idlers", worst, idlers)
	}
	return func(t *testing.T) {
		t.Helper()
		all.Wait()
		if len(cut) != idlers {
			t.Errorf("of %d connections that drip %d were cut", idlers, len(cut))
		}
		for _, d := range cut {
			if d < 9*time.Second || d > 16*time.Second {
				t.Errorf("a connection that drips was cut after %v, limits.header_timeout is 10 s", d)
				break
			}
		}
		t.Logf("%d idlers were cut, viewers waited at most %v", len(cut), worst.Round(time.Millisecond))
	}
}
