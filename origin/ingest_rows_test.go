package origin

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"weir/bench"
	"weir/internal/web"
)

// The rows of ingest that every receiver of pushed HLS has to pass, by number: IN-01 to IN-08
// and IN-12 to IN-14. Those about DELETE are in delete_test.go.

// clipThrough returns an encoder of one rendition of fragmented MP4 in channel c, of which
// only those files arrive that pass lets through.
func (r *rig) clipThrough(pass func(path, body string) bool) *bench.Encoder {
	r.Helper()
	h := web.HandlerFunc(func(ctx context.Context, req *web.Request) (*web.Response, error) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		if !pass(strings.TrimPrefix(req.Path, "/ingest/c/"), string(body)) {
			return web.Text(200, ""), nil
		}
		req.Body = bytes.NewReader(body)
		return r.o.Ingest().Serve(ctx, req)
	})
	e, err := bench.NewEncoder(bench.EncoderOptions{Ingest: h, Channel: "c", Rungs: 1, Continuous: true})
	if err != nil {
		r.Fatal(err)
	}
	return e
}

// IN-01: PUT and POST are the same, and a body in chunks without a type is what FFmpeg sends.
func TestIN01PutAndPostAreEqualAndChunksNeedNoType(t *testing.T) {
	s := newStation(t, Options{})
	push := func(method, path, body string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, s.base+"/ingest/c/"+path, io.NopCloser(strings.NewReader(body)))
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = -1 // in chunks
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if text, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || len(text) != 0 {
			t.Errorf("%s %s: %d %q", method, path, resp.StatusCode, text)
		}
	}
	push("PUT", "x0.ts", "0")
	push("POST", "x1.ts", "1")
	push("POST", "index.m3u8", list(0, "x0.ts", "x1.ts"))
	s.is("shown", s.shown("main"), "0 1")
	push("POST", "x2.ts", "2")
	push("PUT", "index.m3u8", list(0, "x0.ts", "x1.ts", "x2.ts"))
	s.is("shown", s.shown("main"), "0 1 2")
}

// IN-02: a segment that is listed and on its way is not published until it is there; one
// that never comes is a gap.
func TestIN02APlaylistThatIsAheadWaitsForItsMedia(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		r.put("x0.ts", "0")
		r.put("index.m3u8", list(0, "x0.ts", "x1.ts"))
		r.is("at once", r.shown("main"), "0")
		time.Sleep(500 * time.Millisecond)
		r.put("x1.ts", "1")
		r.is("after 500 ms", r.shown("main"), "0 1")
		r.put("index.m3u8", list(0, "x0.ts", "x1.ts", "x2.ts"))
		time.Sleep(2900 * time.Millisecond)
		r.is("before the time is over", r.shown("main"), "0 1")
		time.Sleep(200 * time.Millisecond)
		r.is("after it", r.shown("main"), "0 1 -")
	})
}

// IN-03: what was refused once is never played, whatever comes under its name later.
func TestIN03ARefusedSegmentNeverPlays(t *testing.T) {
	underClock(t, Options{MaxUpload: 1000}, func(r *rig) {
		r.put("x0.ts", "0")
		r.put("index.m3u8", list(0, "x0.ts"))
		r.refused("/ingest/c/x1.ts", strings.Repeat("x", 1001), 413)
		r.put("index.m3u8", list(0, "x0.ts", "x1.ts"))
		time.Sleep(4 * time.Second)
		r.put("x2.ts", "2")
		r.put("index.m3u8", list(0, "x0.ts", "x1.ts", "x2.ts"))
		r.is("shown", r.shown("main"), "0 - 2")
		r.put("x1.ts", "1")
		time.Sleep(4 * time.Second)
		r.is("shown later", r.shown("main"), "0 - 2")
	})
}

// IN-04: a connection that breaks in the middle of a segment leaves nothing that anybody
// could read.
func TestIN04ACutConnectionLeavesNothing(t *testing.T) {
	s := newStation(t, Options{Defaults: Channel{HoldFor: 300 * time.Millisecond}})
	s.put("x0.ts", "0")
	c, err := net.Dial("tcp", strings.TrimPrefix(s.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(c, "PUT /ingest/c/x1.ts HTTP/1.1\r\nHost: weir\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nhalf of \r\n")
	time.Sleep(100 * time.Millisecond)
	if resp, err := s.send("GET", "/ingest/c/x1.ts", nil); err == nil {
		t.Errorf("what is under way can be read back: %d", resp.Status)
	}
	_ = c.Close()
	s.put("index.m3u8", list(0, "x0.ts", "x1.ts"))
	for end := time.Now().Add(5 * time.Second); s.shown("main") != "0 -"; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(s.shown("main"))
		}
	}
	if resp, err := s.send("GET", "/ingest/c/x1.ts", nil); err == nil {
		t.Errorf("half a file can be read back: %d", resp.Status)
	}
	s.logged("channel=c", "path=x1.ts", "reason=upload_cut")
}

// IN-05: a path pushed again means the new bytes, at once and as a whole, as long as nobody
// was told of the old ones; what viewers were told of stays what it is. The same bytes again
// change nothing, others are the work of an encoder that began anew.
func TestIN05APathPushedAgainIsReplacedAndPublishedMediaStay(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		r.put("x0.ts", "first")
		r.put("x0.ts", "second")
		r.is("read back", r.readBack("x0.ts"), "second")
		r.put("index.m3u8", list(0, "x0.ts"))
		r.is("shown", r.shown("main"), "second")
		uri := r.media("main").Segments[0].URI

		r.put("x0.ts", "second")
		if n := r.metric("weir_origin_uploads_total", "repeated"); n != 1 {
			t.Errorf("%v repeated", n)
		}
		r.put("x1.ts", "1")
		r.put("index.m3u8", list(0, "x0.ts", "x1.ts"))
		r.is("after the same again", r.shown("main"), "second 1")

		r.put("x0.ts", "third")
		r.is("read back", r.readBack("x0.ts"), "third")
		r.is("what viewers hold", r.get("/live/c/main/"+uri).body, "second")
		r.put("index.m3u8", list(0, "x0.ts"))
		r.is("after other bytes", r.shown("main"), "second 1 |third")
		r.is("what viewers hold", r.get("/live/c/main/"+uri).body, "second")
	})
}

// IN-07: each refusal has the status by which a source knows what to do. A wrong key is 401
// where credentials can be sent again, 403 in a path.
func TestIN07RefusalsSayWhatIsWrong(t *testing.T) {
	keys := func() []Publisher {
		return []Publisher{{Name: "studio", Secret: "s3cret-key", Channels: []string{"c*"}}}
	}
	s := newStation(t, Options{Publishers: keys, NamedOnly: true, Channels: map[string]Channel{"c": {}}})
	f := func(method, path, body, auth string, want int) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "http://weir/", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.URL.Host, req.URL.Opaque = strings.TrimPrefix(s.base, "http://"), path // as it is: no client makes it clean
		if auth != "" {
			req.Header.Set("Authorization", auth)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if text, _ := io.ReadAll(resp.Body); resp.StatusCode != want {
			t.Errorf("%s %s: %d %s, want %d", method, path, resp.StatusCode, text, want)
		}
		return resp
	}
	const key = "Bearer s3cret-key"
	for _, path := range []string{"/ingest/c/../d/x.ts", "/ingest/c/%2e%2e/x.ts", "/ingest/c/a%2fb.ts", "/ingest/c//x.ts", "/live/c/x.ts", "/ingest/C/x.ts"} {
		f("PUT", path, "x", key, 403)
	}
	f("PUT", "/ingest/k/wrong-key/c/x.ts", "x", "", 403)
	f("PUT", "/ingest/d/x.ts", "x", key, 403) // not a channel of this key
	for _, auth := range []string{"", "Basic " + "eDp3cm9uZw==", "Bearer wrong-key"} {
		if resp := f("PUT", "/ingest/c/x.ts", "x", auth, 401); !strings.HasPrefix(resp.Header.Get("WWW-Authenticate"), "Basic ") {
			t.Errorf("%q: no challenge", auth)
		}
	}
	f("PUT", "/ingest/c2/x.ts", "x", key, 404) // not named, and none may be begun
	f("POST", "/ingest/c2/index.m3u8", list(0, "x0.ts"), key, 404)
	s.logged("reason=unknown_channel", "channel=c2", "status=404", "ingest.create")
	f("PUT", "/ingest/c/x.exe", "x", key, 415)
	f("PUT", "/ingest/c/index.m3u8", strings.Replace(list(0, "x0.ts"), "#EXTINF", "#EXT-X-BYTERANGE:10@0\n#EXTINF", 1), key, 415)
	f("PUT", "/ingest/c/index.m3u8", "<html>", key, 400)
	f("PUT", "/ingest/c/x.ts", "", key, 400)
	f("PUT", "/ingest/c/x.ts", "x", key, 200)
	if n := s.metric("weir_origin_refusals_total"); n < 12 {
		t.Errorf("%v refusals were counted", n)
	}
	// The wire has refused three of the paths, and says so itself.
	if n := s.metric("weir_origin_refusals_total", "bad_path"); n != 2 {
		t.Errorf("%v bad paths were counted", n)
	}
}

// IN-07: media may come before their init segment, FFmpeg sends them so. When it has not come
// after two target durations, what needs it is refused with 412 before its body, and taken
// again as soon as it is there.
func TestIN07MediaWithoutTheirInitAreRefusedInTheEnd(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		var init string
		e := r.clipThrough(func(path, body string) bool {
			if strings.HasSuffix(path, "init.mp4") {
				init = body
				return false
			}
			return true
		})
		step := func() error {
			err := e.Step(r.Context())
			time.Sleep(bench.ClipSegment)
			return err
		}
		for range 3 { // at 0 s, 2 s and 4 s; the want is known since 0 s
			if err := step(); err != nil {
				t.Fatal(err)
			}
		}
		err := step()
		if web.StatusOf(err) != 412 || !strings.Contains(err.Error(), "180p/init.mp4") {
			t.Errorf("media whose init never came: %v", err)
		}
		r.logged("reason=no_init", "status=412", "channel=c")
		if a := r.get("/live/c/180p/index.m3u8"); a.status != 404 {
			t.Errorf("published without an init: %d %s", a.status, a.body)
		}
		r.put("180p/init.mp4", init)
		for range 4 {
			if err := step(); err != nil {
				t.Fatal(err)
			}
		}
		m := r.media("180p")
		if last := m.Segments[len(m.Segments)-1]; last.Gap || last.Map == nil {
			t.Errorf("not played on: %s", r.get("/live/c/180p/index.m3u8").body)
		}
		if n := r.metric("weir_origin_refusals_total", "no_init"); n != 1 {
			t.Errorf("%v refusals", n)
		}
	})
}

// IN-08: FFmpeg says another target duration whenever a segment is longer; viewers are told
// one, and what does not fit it is a gap.
func TestIN08TheTargetDurationDoesNotFlap(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		say := func(target int, words ...string) {
			t.Helper()
			r.put("index.m3u8", strings.Replace(list(0, words...), "TARGETDURATION:2", fmt.Sprint("TARGETDURATION:", target), 1))
			if m := r.media("main"); m.TargetDuration != 2 {
				t.Errorf("the target duration is %d", m.TargetDuration)
			}
		}
		r.put("x0.ts", "0")
		say(2, "x0.ts")
		r.put("x1.ts", "1")
		say(5, "x0.ts", "x1.ts:5.000000")
		r.put("x2.ts", "2")
		say(5, "x0.ts", "x1.ts:5.000000", "x2.ts")
		r.put("x3.ts", "3")
		say(2, "x0.ts", "x1.ts:5.000000", "x2.ts", "x3.ts")
		if got := r.shown("main"); !strings.HasPrefix(got, "0 - ") || !strings.HasSuffix(got, "2 3") {
			t.Error(got)
		}
		if n := r.metric("weir_origin_segments_too_long_total"); n != 1 {
			t.Errorf("%v too long", n)
		}
	})
}

// IN-12: a fragment that is sent again, with its playlist or without, is the one that is
// there, also after viewers were told of it.
func TestIN12AFragmentSentAgainIsNotRepeated(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		var sent [][2]string
		e := r.clipThrough(func(path, body string) bool {
			sent = append(sent, [2]string{path, body})
			return true
		})
		for range 4 {
			if err := e.Step(r.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(bench.ClipSegment)
		}
		before := r.get("/live/c/180p/index.m3u8").body
		n := len(sent) // ... x2, playlist, x3, playlist
		for _, again := range [][2]string{sent[n-2], sent[n-1], sent[n-2], sent[n-4], sent[n-1]} {
			r.put(again[0], again[1])
		}
		r.is("the playlist", r.get("/live/c/180p/index.m3u8").body, before)
		if err := e.Step(r.Context()); err != nil {
			t.Fatal(err)
		}
		if m := r.media("180p"); len(m.Segments) != 5 || discontinuities(m) != 0 {
			t.Errorf("%d segments, %d discontinuities", len(m.Segments), discontinuities(m))
		}
		if n := r.metric("weir_origin_uploads_total", "repeated"); n != 3 {
			t.Errorf("%v repeated", n)
		}
	})
}

// IN-13: what the end of an encoder means is the operator's to say: the end of the stream, or
// a pause behind which there is a discontinuity. A stream that ended may begin again.
func TestIN13TheEndOfAnEncoderIsWhatTheOperatorSays(t *testing.T) {
	f := func(ends bool) {
		t.Helper()
		underClock(t, Options{Defaults: Channel{EndWithEncoder: ends}}, func(r *rig) {
			for i := range 3 {
				r.put(fmt.Sprintf("x%d.ts", i), fmt.Sprint(i))
			}
			r.put("index.m3u8", list(0, "x0.ts", "x1.ts", "x2.ts", "END"))
			if m := r.media("main"); m.EndList != ends {
				t.Errorf("ends %v: EXT-X-ENDLIST %v", ends, m.EndList)
			}
			time.Sleep(5 * time.Second)
			r.put("x0.ts", "new 0")
			r.put("index.m3u8", list(0, "x0.ts"))
			want := "0 1 2 |new 0"
			if ends {
				want = "new 0" // what is over is not taken back: another window begins
			}
			r.is(fmt.Sprint("ends ", ends), r.shown("main"), want)
			if m := r.media("main"); m.EndList {
				t.Error("the end is still said")
			}
		})
	}
	f(false)
	f(true)
}

// IN-14: an encoder that begins with its old names and numbers is another session: no URI
// that viewers were given ever means anything else.
func TestIN14NamesOfASessionAreNeverUsedAgain(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		was := map[string]string{} // what each URI meant
		for session := range 4 {
			for i := range 3 {
				r.put(fmt.Sprintf("x%d.ts", i), fmt.Sprintf("%d.%d", session, i))
				var words []string
				for j := range i + 1 {
					words = append(words, fmt.Sprintf("x%d.ts", j))
				}
				r.put("index.m3u8", list(0, words...))
				for _, s := range r.media("main").Segments {
					body := r.get("/live/c/main/" + s.URI).body
					if old, ok := was[s.URI]; ok && old != body {
						t.Errorf("%s was %q and is %q", s.URI, old, body)
					}
					was[s.URI] = body
				}
				time.Sleep(2 * time.Second)
			}
			time.Sleep(3 * time.Second)
		}
		if len(was) != 12 {
			t.Errorf("%d names for 12 segments", len(was))
		}
	})
}
