package e2e

import (
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const (
	wrongKey = "wrong-publisher-key-0123456789"
	sportKey = "sport-publisher-key-0123456789"
)

// Encoders send whatever they like to one channel, strangers whatever they like
// to all listeners. Each is told what was wrong, the operator reads in the log
// which object it was and never a key, the channel keeps what it had and goes
// on, and the viewers of another one notice nothing.
func TestBadUploadsHarmNobody(t *testing.T) {
	need(t, "ffmpeg")
	h := build(t, 1)
	h.file("publishers", "e2e "+publishKey+" *\nsport "+sportKey+" sport-*\n")
	mark := h.bookmark("origin")
	_ = h.nodes["origin"].cmd.Process.Signal(syscall.SIGHUP)
	mark.says(t, "reload")

	untouched := h.bystanders(t)
	dripped := h.drip(t)
	victim, pushed := h.clip(t, "victim"), 0
	for ; pushed < 4; pushed++ {
		if err := victim.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	before := h.holdings(t, "victim")

	// goesOn: what was there is there, and the next segment is published.
	goesOn := func(t *testing.T) {
		t.Helper()
		was := h.listed(t, "victim")
		if err := victim.Step(t.Context()); err != nil {
			t.Error(err)
		}
		pushed++
		eventually(t, 5*time.Second, "the next segment of the channel", func() error {
			if now := h.listed(t, "victim"); now.MediaSequence+uint64(len(now.Segments)) <= was.MediaSequence+uint64(len(was.Segments)) {
				return errNotYet
			}
			return nil
		})
		h.keeps(t, "victim", before)
	}
	for _, c := range []struct {
		name string
		f    func(*testing.T, *house)
	}{
		{"ChannelNames", badNames}, {"PathsOnIngest", badIngestPaths}, {"Keys", badKeys}, {"KeyInFFmpegsURL", ffmpegsKeys},
		{"PathsOfViewers", badViewerPaths}, {"Playlists", badPlaylists}, {"Oversize", oversize}, {"Flood", flood},
	} {
		t.Run(c.name, func(t *testing.T) { c.f(t, h); goesOn(t) })
	}
	t.Run("CutAndNeverSent", func(t *testing.T) {
		lost := fmt.Sprintf("seg_%05d.m4s", pushed)
		cutUploads(t, h, lost)
		was := h.listed(t, "victim")
		next := was.MediaSequence + uint64(len(was.Segments))
		victim.Skip() // its upload was the one that was cut
		if err := victim.Step(t.Context()); err != nil {
			t.Error(err)
		}
		// The bound is 1.5 target durations: 3 s.
		began := time.Now()
		eventually(t, 5*time.Second, "the gap and what follows it", func() error {
			if now := h.listed(t, "victim"); now.MediaSequence+uint64(len(now.Segments)) < next+2 {
				return errNotYet
			}
			return nil
		})
		m := h.listed(t, "victim")
		if gap, after := m.Segments[next-m.MediaSequence], m.Segments[next+1-m.MediaSequence]; !gap.Gap || after.Gap {
			t.Errorf("after a lost segment the playlist has %+v, %+v", gap, after)
		}
		if n := h.metric("origin", `weir_origin_gaps_total{channel="victim",reason="lost"}`); n != 1 {
			t.Errorf("%v gaps counted", n)
		}
		(bookmark{h.nodes["origin"], 0}).says(t, "as a gap", "channel=victim", "rendition="+rendition, "file="+rendition+"/"+lost)
		t.Logf("the gap was published after %v", time.Since(began).Round(time.Millisecond))
		goesOn(t)
	})
	dripped(t)
	untouched(t)
	h.quiet(t, sportKey, wrongKey, basic(wrongKey), basic(publishKey))
}

func basic(key string) string { return base64.StdEncoding.EncodeToString([]byte("ffmpeg:" + key)) }

// Whoever lacks the key is told before the body, and publishes nothing.
func badKeys(t *testing.T, h *house) {
	mark := h.bookmark("origin")
	f := func(channel, key, fields string, status int, reason string) {
		t.Helper()
		for _, expect := range []string{"Expect: 100-continue\n", ""} { // FFmpeg waits for "100 Continue" only with a password in its URL
			l := dial(t, h.ingest)
			l.say("PUT /ingest/%s%s/x.ts HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n%s%s\n", key, channel, expect, fields)
			r := l.hear()
			r.is(t, status, reason)
			if got := r.header.Get("WWW-Authenticate"); (status == 401) != strings.HasPrefix(got, `Basic realm="`) {
				t.Errorf("%s: WWW-Authenticate is %q", channel, got)
			}
		}
		mark.says(t, "ingest refused", "channel="+channel, "path=x.ts", fmt.Sprint("status=", status), "reason="+reason)
		send(t, "GET", h.origin+"/live/"+channel+"/index.m3u8", nil, "Weir-Pull-Key", pullKey).is(t, 404, "no_such_channel")
	}
	f("nokey", "", "", 401, "publish_key_missing")
	f("emptybearer", "", "Authorization: Bearer \n", 401, "publish_key_missing")
	f("garbagebasic", "", "Authorization: Basic %%%\n", 401, "publish_key_missing")
	f("wrongbearer", "", "Authorization: Bearer "+wrongKey+"\n", 401, "publish_key")
	f("wrongbasic", "", "Authorization: Basic "+basic(wrongKey)+"\n", 401, "publish_key")
	f("wrongpath", "k/"+wrongKey+"/", "", 403, "publish_key")
	f("rightbearer", "k/"+wrongKey+"/", "Authorization: Bearer "+publishKey+"\n", 403, "publish_key")
	f("notyours", "", "Authorization: Bearer "+sportKey+"\n", 403, "publish_channel")
	f("notyours2", "k/"+sportKey+"/", "", 403, "publish_channel")
	if n := h.metric("origin", `weir_origin_refusals_total{reason="publish_key"}`); n < 4 {
		t.Errorf("%v refusals for a wrong key are counted", n)
	}

	// A key at a wrong place of the path does not end up in the log (see quiet).
	for _, path := range []string{"/ingest/" + publishKey + "/live/a.ts", "/ingest//k/" + publishKey + "/live/a.ts", "/ingest/k//" + publishKey + "/live/a.ts",
		"/ingest/K/" + publishKey + "/live/a.ts", "/k/" + publishKey + "/live/a.ts", "/ingest/%6b/" + publishKey + "/../a.ts"} {
		if r := raw(t, h.ingest, "PUT", path, ""); r.status < 400 || r.status > 403 {
			t.Errorf("%s: answered %d", path, r.status)
		}
	}

	// With the right key the same request is asked for its body.
	for _, c := range []struct{ key, fields string }{
		{"", "Authorization: Basic " + basic(publishKey) + "\n"}, {"k/" + publishKey + "/", ""},
		{"", "Authorization: Bearer " + sportKey + "\n"},
	} {
		l := dial(t, h.ingest)
		l.say("PUT /ingest/%ssport-1/a.ts HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\nExpect: 100-continue\n%s\n", c.key, c.fields)
		l.hear().is(t, http.StatusContinue, "")
		l.say("5\nhello\n0\n\n")
		l.hear().is(t, 200, "")
	}
}

// FFmpeg itself with a password in its URL: the right one publishes; the wrong
// one publishes nothing, FFmpeg says nothing of it, and weir's log does.
func ffmpegsKeys(t *testing.T, h *house) {
	mark := h.bookmark("origin")
	push := func(channel, password string) *process {
		to := strings.Replace(h.ingest, "http://", "http://ffmpeg:"+password+"@", 1) + "/ingest/" + channel
		return start(t, "ffmpeg pushing "+channel, "ffmpeg", "-nostdin", "-v", "error",
			"-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25", "-t", "4", "-c:v", "libx264", "-preset", "ultrafast", "-g", "25",
			"-f", "hls", "-hls_time", "1", "-method", "PUT", "-hls_segment_filename", to+"/seg_%05d.ts", to+"/index.m3u8")
	}
	right, wrong := push("withkey", publishKey), push("without", wrongKey)
	right.wait(20 * time.Second)
	wrong.wait(20 * time.Second)
	h.eventually(5*time.Second, "the channel pushed with a password", func() error { _, err := h.get(h.url(0, "withkey")); return err })
	send(t, "GET", h.origin+"/live/without/index.m3u8", nil, "Weir-Pull-Key", pullKey).is(t, 404, "no_such_channel")
	mark.says(t, "ingest refused", "channel=without", "path=seg_00000.ts", "reason=publish_key")
}

// Playlists that are none, or far too large: the live one stays as it is.
func badPlaylists(t *testing.T, h *house) {
	was, _ := h.get(h.origin + media("victim"))
	huge := "#EXTM3U\n#EXT-X-TARGETDURATION:2\n" + strings.Repeat("#EXTINF:2,\nsegment.m4s\n", 450_000) // 10 MB
	head := "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:9\n"
	noise := make([]byte, 64<<10)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	path := rendition + "/index.m3u8"
	n := 0
	f := func(what string, body string, status int, reason string) {
		t.Helper()
		for _, length := range []bool{true, false} {
			// To the channel that plays, and to a new one: the log tells of a
			// reason again and again only for different channels.
			n++
			for _, channel := range []string{"victim", fmt.Sprint("playlists", n)} {
				r := io.Reader(strings.NewReader(body))
				if !length {
					r = io.MultiReader(r)
				}
				mark := h.bookmark("origin")
				send(t, "PUT", h.ingest+"/ingest/"+channel+"/"+path, r, bearer...).is(t, status, reason)
				if channel != "victim" || n == 1 {
					mark.says(t, "ingest refused", "channel="+channel, "path="+path, fmt.Sprint("status=", status), "reason="+reason)
				}
			}
		}
		if t.Failed() {
			t.Fatalf("at: %s", what)
		}
	}
	f("10 MB", huge, 413, "too_large")
	f("noise", string(noise), 400, "bad_playlist")
	f("a web page", "<html><body>502 Bad Gateway</body></html>", 400, "bad_playlist")
	f("noise after the tag", "#EXTM3U\n"+string(noise), 400, "bad_playlist")
	f("no number", "#EXTM3U\n#EXT-X-TARGETDURATION:two\n#EXTINF:2,\na.m4s\n", 400, "bad_playlist")
	f("out of the channel", head+"#EXTINF:2,\n../../good/360p/seg_00000.m4s\n", 400, "uri_outside")
	f("to another host", head+"#EXTINF:2,\nhttp://169.254.169.254/latest/a.m4s\n", 400, "uri_outside")
	f("a file", head+"#EXTINF:2,\nfile:///etc/passwd\n", 400, "uri_outside")
	f("encrypted", head+"#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXTINF:2,\na.m4s\n", 415, "unsupported")
	if now, err := h.get(h.origin + media("victim")); now != was {
		t.Errorf("the live playlist changed: %v\n%s\nwas\n%s", err, now, was)
	}
}

// Files larger than ingest.max_upload, told so in advance or not.
func oversize(t *testing.T, h *house) {
	mark := h.bookmark("origin")
	l := dial(t, h.ingest)
	l.say("PUT /ingest/victim/told.m4s HTTP/1.1\nHost: x\nContent-Length: %d\nExpect: 100-continue\nAuthorization: Bearer %s\n\n", 65<<20, publishKey)
	r := l.hear()
	r.is(t, 413, "too_large")
	if !strings.Contains(r.body, "ingest.max_upload") {
		t.Errorf("the encoder is told %q, without the knob", r.body)
	}
	mark.says(t, "ingest refused", "channel=victim", "path=told.m4s", "reason=too_large", "ingest.max_upload")
	// The origin hangs up in the middle: FFmpeg and this client may miss the answer.
	resp, err := http.DefaultClient.Do(func() *http.Request {
		req, _ := http.NewRequestWithContext(t.Context(), "PUT", h.ingest+"/ingest/victim/untold.m4s", io.LimitReader(zeros{}, 80<<20))
		req.Header.Set("Authorization", "Bearer "+publishKey)
		return req
	}())
	if err == nil {
		if resp.Body.Close(); resp.StatusCode != 413 {
			t.Errorf("80 MiB without a length: %s", resp.Status)
		}
	}
	mark.says(t, "ingest refused", "channel=victim", "path=untold.m4s", "reason=too_large", "ingest.max_upload")
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// Ten thousand files that nobody listed, with playlists that are none among
// them: memory stays bounded, and so does the log.
func flood(t *testing.T, h *house) {
	mark, began := h.bookmark("origin"), time.Now()
	held := h.metric("origin", "weir_origin_bytes")
	c := &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	var next atomic.Int64
	var mu sync.Mutex
	answers := map[int]int{}
	var done sync.WaitGroup
	for range 8 {
		done.Go(func() {
			for i := next.Add(1); i <= 10_000; i = next.Add(1) {
				name := fmt.Sprintf("junk/%d.m4s", i)
				if i%20 == 0 {
					name = fmt.Sprintf("junk/%d.m3u8", i)
				}
				req, _ := http.NewRequestWithContext(t.Context(), "PUT", h.ingest+"/ingest/victim/"+name, strings.NewReader("this is not what it says it is"))
				req.Header.Set("Authorization", "Bearer "+publishKey)
				status := 0
				if resp, err := c.Do(req); err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
					status = resp.StatusCode
				}
				mu.Lock()
				answers[status]++
				mu.Unlock()
			}
		})
	}
	done.Wait()
	t.Logf("10,000 uploads within %v: %v", time.Since(began).Round(time.Millisecond), answers)
	if answers[200] != 9_500 || answers[400] != 500 {
		t.Errorf("junk was answered %v, want 9,500 times 200 and 500 times 400", answers)
	}
	if n := h.metric("origin", "weir_origin_bytes") - held; n > 32<<20 {
		t.Errorf("junk holds %v bytes", n)
	}
	if n := h.metric("origin", `weir_origin_uploads_total{result="unused"}`); n < 8_000 {
		t.Errorf("of 9,500 files that nobody listed %v were let go", n)
	}
	if n := strings.Count(mark.text(), "\n"); n > 200 {
		t.Errorf("the log grew by %d lines", n)
	}
}

// Uploads that break off: nothing of them is ever served.
func cutUploads(t *testing.T, h *house, listed string) {
	f := func(name, framing, part string) {
		t.Helper()
		mark := h.bookmark("origin")
		cut := h.metric("origin", `weir_origin_uploads_total{result="cut"}`)
		l := dial(t, h.ingest)
		l.say("PUT /ingest/victim/%s/%s HTTP/1.1\nHost: x\nAuthorization: Bearer %s\n%s\n\n%s", rendition, name, publishKey, framing, part)
		time.Sleep(50 * time.Millisecond)
		_ = l.Close()
		mark.says(t, "ingest refused", "channel=victim", "path="+rendition+"/"+name, "reason=upload_cut")
		if n := h.metric("origin", `weir_origin_uploads_total{result="cut"}`) - cut; n != 1 {
			t.Errorf("%s: %v uploads counted as cut", name, n)
		}
	}
	f(listed, "Content-Length: 100000", strings.Repeat("x", 50_000))
	f(listed, "Transfer-Encoding: chunked", "8\n12345678\n")
	send(t, "GET", h.ingest+"/ingest/victim/"+rendition+"/"+listed, nil, bearer...).is(t, 404, "not_pushed")
}
