package origin

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/bench"
	"weir/internal/web"
	"weir/playlist"
)

// A playlist is sent compressed to those who accept it, with a tag of its own, and each
// version is rendered once however many ask.
func TestPlaylistsAreRenderedOnceAndCompressed(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		r.put("x0.ts", "0")
		r.put("index.m3u8", list(0, "x0.ts"))
		time.Sleep(time.Second)
		before := r.metric("weir_origin_renderings_total")
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				for _, path := range []string{"/live/c/index.m3u8", "/live/c/main/index.m3u8"} {
					plain, packed := r.get(path), r.get(path, "Accept-Encoding", "br, gzip")
					r.is("type", plain.header.Get("Content-Type"), "application/vnd.apple.mpegurl")
					r.is("vary", plain.header.Get("Vary")+" "+packed.header.Get("Vary"), "Accept-Encoding Accept-Encoding")
					r.is("coding", plain.header.Get("Content-Encoding")+packed.header.Get("Content-Encoding"), "gzip")
					r.is("text", unzip(t, packed.body), plain.body)
					a, b := plain.header.Get("ETag"), packed.header.Get("ETag")
					if a == b || len(a) < 10 || strings.HasPrefix(a, "W/") {
						t.Errorf("tags %s and %s", a, b)
					}
					if again := r.get(path, "If-None-Match", a); again.status != 304 || again.body != "" {
						t.Errorf("%d with the tag it was given", again.status)
					}
				}
			})
		}
		wg.Wait()
		if n := r.metric("weir_origin_renderings_total") - before; n != 2 {
			t.Errorf("%v renderings", n)
		}
	})
}

// What caches may keep, and for how long.
func TestLifetimes(t *testing.T) {
	underClock(t, Options{Defaults: Channel{TargetDuration: 6 * time.Second}}, func(r *rig) {
		f := func(path string, status int, control string) {
			t.Helper()
			a := r.get(path)
			if a.status != status || a.header.Get("Cache-Control") != control {
				t.Errorf("%s: %d %q, want %d %q", path, a.status, a.header.Get("Cache-Control"), status, control)
			}
		}
		f("/live/c/index.m3u8", 404, "max-age=1")
		f("/live/c/main/index.m3u8", 404, "max-age=1")
		r.put("x0.ts", "0")
		r.put("index.m3u8", list(0, "x0.ts", "x1.ts"))
		f("/live/c/index.m3u8", 404, "max-age=1") // perhaps there are siblings
		r.put("x2.ts", "2")
		r.put("index.m3u8", list(0, "x0.ts", "x1.ts", "x2.ts"))
		time.Sleep(10 * time.Second)
		m := r.media("main")
		f("/live/c/index.m3u8", 200, "max-age=2, stale-if-error=60")
		f("/live/c/main/index.m3u8", 200, "max-age=3, stale-if-error=60")
		f("/live/c/main/"+m.Segments[0].URI, 200, "max-age=80, immutable")
		f("/live/c/main/"+m.Segments[1].URI, 404, "max-age=6") // a gap
		f("/live/c/main/"+m.Segments[2].URI, 200, "max-age=89, immutable")
		f("/live/c/main/"+strings.Replace(m.Segments[2].URI, fmt.Sprint("-", m.MediaSequence+2), fmt.Sprint("-", m.MediaSequence+3), 1), 404, "max-age=1")
		f("/live/c/main/"+strings.Replace(m.Segments[2].URI, "-"+fmt.Sprint(m.MediaSequence+2), "-0", 1), 404, "max-age=6")
		f("/live/c/main/nothing.ts", 404, "max-age=6")
		f("/live/c/main/"+strings.Replace(m.Segments[2].URI, ".ts", ".m4s", 1), 404, "max-age=6")
		f("/live/c/other/index.m3u8", 404, "max-age=1")
		f("/live/d/index.m3u8", 404, "max-age=1")
		f("/live/", 404, "max-age=1")
		f("/live/c", 404, "max-age=1")
		f("/other", 404, "max-age=1")
		// While the origin restarts, edges show what they have: FFmpeg and mpv end at a 502.
		for path, while := range map[string]string{"index.m3u8": "max-age=2, stale-while-revalidate=5", "main/index.m3u8": "max-age=3, stale-while-revalidate=1"} {
			a := r.get("/live/c/" + path)
			r.is(path, a.header.Get("CDN-Cache-Control"), while+", stale-if-error=60")
		}
		a := r.get("/live/c/main/" + m.Segments[0].URI)
		r.is("type", a.header.Get("Content-Type"), "video/mp2t")
		r.is("tag", a.header.Get("ETag"), `"`+m.Segments[0].URI+`"`)
		if resp, err := r.o.Viewers().Serve(r.Context(), &web.Request{Method: "POST", Path: "/live/c/index.m3u8"}); web.StatusOf(err) != 405 {
			t.Error(resp, err)
		}
	})
}

// A part of a segment is answered as asked, and HEAD without bytes.
func TestSegmentsInParts(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		r.put("x0.ts", "0123456789")
		r.put("index.m3u8", list(0, "x0.ts"))
		uri := "/live/c/main/" + r.media("main").Segments[0].URI
		a := r.get(uri, "Range", "bytes=2-4")
		if a.status != 206 || a.body != "234" || a.header.Get("Content-Range") != "bytes 2-4/10" {
			t.Errorf("%+v", a)
		}
		resp, err := r.o.Viewers().Serve(r.Context(), &web.Request{Method: "HEAD", Path: uri})
		if err != nil || resp.Status != 200 || resp.Body.Len() != 10 {
			t.Error(resp, err)
		}
		resp.Close()
	})
}

// Directives that mean nothing are refused; one that asks for the next segment is answered
// when that is there, for all who wait at once, and not for ever.
func TestBlockingReloadByWholeSegments(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		r.put("x0.ts", "0")
		r.put("index.m3u8", list(0, "x0.ts"))
		m := r.media("main")
		n := m.MediaSequence
		ask := func(query string) answer { return r.get("/live/c/main/index.m3u8?" + query) }
		for _, query := range []string{"_HLS_msn=x", "_HLS_msn=-1", "_HLS_part=1", "_HLS_msn=1&_HLS_msn=1", "_HLS_skip=maybe", fmt.Sprintf("_HLS_msn=%d", n+3)} {
			if a := ask(query); a.status != 400 {
				t.Errorf("%s: %d", query, a.status)
			}
		}
		time.Sleep(time.Second) // the multivariant playlist waits for siblings
		for _, path := range []string{"/live/c/index.m3u8", "/live/c/main/" + r.media("main").Segments[0].URI} {
			if a := r.get(path + "?_HLS_msn=x"); a.status != 200 { // they are a media playlist's alone
				t.Errorf("%s with a directive: %d %s", path, a.status, a.body)
			}
		}
		if a := ask(fmt.Sprintf("_HLS_msn=%d", n)); a.status != 200 || a.header.Get("Cache-Control") != "max-age=12, stale-if-error=60" {
			t.Errorf("%d %s", a.status, a.header.Get("Cache-Control"))
		}
		if a := ask("_HLS_msn=0"); a.status != 200 { // long past
			t.Error(a.status)
		}
		before := r.metric("weir_origin_renderings_total")
		start := time.Now()
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if a := ask(fmt.Sprintf("_HLS_msn=%d", n+1)); a.status != 200 || strings.Count(a.body, "#EXTINF") != 2 || time.Since(start) != 2*time.Second {
					t.Errorf("%d after %v: %s", a.status, time.Since(start), a.body)
				}
			})
		}
		wg.Go(func() {
			if a := ask(fmt.Sprintf("_HLS_msn=%d", n+2)); a.status != 503 || time.Since(start) != 6*time.Second {
				t.Errorf("%d after %v: %s", a.status, time.Since(start), a.body)
			}
		})
		wg.Go(func() { // a viewer who leaves is not waited for
			ctx, cancel := context.WithTimeout(r.Context(), time.Second)
			defer cancel()
			_, err := r.o.Viewers().Serve(ctx, &web.Request{Method: "GET", Path: "/live/c/main/index.m3u8", Query: fmt.Sprintf("_HLS_msn=%d", n+1)})
			if err == nil || time.Since(start) != time.Second {
				t.Errorf("%v after %v", err, time.Since(start))
			}
		})
		synctest.Wait()
		if n := r.o.Streams()[0].Renditions[0].Waiting; n != 102 {
			t.Errorf("%d wait", n)
		}
		time.Sleep(2 * time.Second)
		r.put("x1.ts", "1")
		r.put("index.m3u8", list(0, "x0.ts", "x1.ts"))
		wg.Wait()
		if n := r.metric("weir_origin_renderings_total") - before; n != 1 {
			t.Errorf("%v renderings", n)
		}
	})
}

// The multivariant playlist says what was measured, is not there before all renditions that
// are expected have media, and does not wait for ever.
func TestTheMultivariantPlaylistIsMeasured(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		e := r.clip(bench.EncoderOptions{Continuous: true})
		r.run(e, 5)
		m, err := playlist.ParseMultivariant([]byte(r.get("/live/c/index.m3u8").body))
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Variants) != 3 || !m.IndependentSegments {
			t.Fatalf("%+v", m)
		}
		for i, want := range []playlist.Variant{
			{URI: "180p/index.m3u8", Codecs: "avc1.4d4015,mp4a.40.2", Width: 320, Height: 180, FrameRate: 25},
			{URI: "144p/index.m3u8", Codecs: "avc1.4d400c,mp4a.40.2", Width: 256, Height: 144, FrameRate: 25},
			{URI: "90p/index.m3u8", Codecs: "avc1.4d400a,mp4a.40.2", Width: 160, Height: 90, FrameRate: 25},
		} {
			got := m.Variants[i]
			name, _, _ := strings.Cut(got.URI, "/")
			var bytes, dur, peak float64
			for _, s := range r.media(name).Segments {
				n := float64(len(r.get("/live/c/" + name + "/" + s.URI).body))
				bytes, dur, peak = bytes+n, dur+s.Duration.Seconds(), max(peak, n*8/s.Duration.Seconds())
			}
			within := func(what string, got int64, want, least, most float64) {
				if f := float64(got); f < want*least || f > want*most {
					t.Errorf("%s: %s %d, measured %.0f", name, what, got, want)
				}
			}
			within("BANDWIDTH", got.Bandwidth, peak, 1, 1.011)
			within("AVERAGE-BANDWIDTH", got.AverageBandwidth, bytes*8/dur, 1/1.1, 1.18)
			got.Bandwidth, got.AverageBandwidth = 0, 0
			if i == 2 {
				want.Codecs = got.Codecs // its level is the encoder's business
			}
			if got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		}
	})
	underClock(t, Options{}, func(r *rig) {
		r.put("master.m3u8", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na/index.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=1\nb/index.m3u8\n")
		r.put("a/x0.ts", "a")
		r.put("a/index.m3u8", list(0, "x0.ts"))
		time.Sleep(6*time.Second - 1)
		if a := r.get("/live/c/index.m3u8"); a.status != 404 {
			t.Error("published without b:", a.status)
		}
		time.Sleep(tickEvery)
		if a := r.get("/live/c/index.m3u8"); a.status != 200 || strings.Count(a.body, ".m3u8") != 1 {
			t.Error("not published at last:", a.status, a.body)
		}
		r.put("b/x0.ts", "b")
		r.put("b/index.m3u8", list(0, "x0.ts"))
		if a := r.get("/live/c/index.m3u8"); strings.Count(a.body, ".m3u8") != 2 {
			t.Error("b is missing:", a.body)
		}
	})
	underClock(t, Options{}, func(r *rig) {
		r.put("master.m3u8", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na/index.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=1\nb/index.m3u8\n")
		for _, name := range []string{"a", "b"} {
			r.put(name+"/x0.ts", "a")
			r.put(name+"/index.m3u8", list(0, "x0.ts"))
		}
		if a := r.get("/live/c/index.m3u8"); a.status != 200 {
			t.Error("all are there, and it waits:", a.status)
		}
	})
}

// BANDWIDTH covers any run of segments of half to one and a half target durations.
func TestBandwidthIsThePeakOfRuns(t *testing.T) {
	b := bandwidth{target: 4 * time.Second}
	add := func(bytes int64, dur time.Duration, peak, average int64) {
		t.Helper()
		b.add(bytes, dur, time.Unix(1.8e9, 0))
		if isPeak, isAverage := b.measured(); isPeak != peak || isAverage != average {
			t.Errorf("peak %d, average %d; want %d, %d", isPeak, isAverage, peak, average)
		}
	}
	add(1000, time.Second, 8000, 8000) // too short for a run
	add(3000, time.Second, 16000, 16000)
	add(3000, 2*time.Second, 16000, 14000)
	add(6000, 2*time.Second, 24000, 17333)
	add(1, 2*time.Second, 24000, 13001)
	add(0, 0, 24000, 13001)
	f := func(n, want int64) {
		t.Helper()
		if got := roundUp(n); got != want {
			t.Errorf("roundUp(%d) = %d, want %d", n, got, want)
		}
	}
	f(0, 1)
	f(999, 999)
	f(1000, 1000)
	f(1001, 1010)
	f(123_456, 124_000)
}

// The viewers' side can be closed to all but edges, so that tokens cannot be walked round.
func TestAccessToTheOrigin(t *testing.T) {
	inside := web.HandlerFunc(func(context.Context, *web.Request) (*web.Response, error) { return web.Text(200, "in"), nil })
	f := func(a Access, remote, want string, header ...string) {
		t.Helper()
		resp, err := a.Guard(inside).Serve(t.Context(), &web.Request{Method: "GET", Header: web.NewHeader(header...), Remote: netip.MustParseAddrPort(remote)})
		got := web.ReasonOf(err)
		if err == nil && resp.Status == 200 {
			got = "in"
		} else if web.StatusOf(err) != 403 {
			t.Errorf("status %d", web.StatusOf(err))
		}
		if got != want {
			t.Errorf("%s from %s with %q: %s, want %s", a.Mode, remote, header, got, want)
		}
	}
	const here = "192.0.2.1:1"
	f(Access{}, here, "in")
	keys := Access{Mode: AccessPullKey, Keys: func() []string { return []string{"one", "two", ""} }}
	f(keys, here, "in", "Weir-Pull-Key", "two")
	f(keys, here, "in", "Authorization", "Bearer one")
	f(keys, here, "pull_key")
	f(keys, here, "pull_key", "Weir-Pull-Key", "")
	f(keys, here, "pull_key", "Weir-Pull-Key", "three")
	f(keys, here, "pull_key", "Authorization", "Basic one")
	f(Access{Mode: AccessPullKey}, here, "pull_key", "Weir-Pull-Key", "one")
	nets := Access{Mode: AccessCIDR, CIDRs: func() []netip.Prefix {
		return []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}
	}}
	f(nets, here, "in")
	f(nets, "[::ffff:192.0.2.9]:1", "in")
	f(nets, "[2001:db8::1]:1", "in")
	f(nets, "198.51.100.1:1", "cidr")
	f(Access{Mode: AccessCIDR}, here, "cidr")
	f(Access{Mode: AccessMTLS}, here, "mtls")
	f(Access{Mode: 9}, here, "access")
	shown := &web.Request{Method: "GET", TLS: true, ClientCert: true}
	if resp, err := (Access{Mode: AccessMTLS}).Guard(inside).Serve(t.Context(), shown); err != nil || resp.Status != 200 {
		t.Errorf("mtls, with a certificate: %v %v", resp, err)
	}
	if _, err := (Access{Mode: AccessMTLS}).Guard(inside).Serve(t.Context(), &web.Request{Method: "GET", TLS: true}); web.ReasonOf(err) != "mtls" {
		t.Errorf("mtls, encrypted and without a certificate: %v", err)
	}
}

// What cannot be meant is refused before anything runs.
func TestOptionsAreChecked(t *testing.T) {
	f := func(want string, o Options) {
		t.Helper()
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	f("negative", Options{MaxUpload: -1})
	f("TargetDuration", Options{Defaults: Channel{TargetDuration: time.Hour}})
	f("channel c: ", Options{Channels: map[string]Channel{"c": {Window: -1}}})
	f("no channel name", Options{Channels: map[string]Channel{"C": {}}})
}

// An origin that lost its memory goes on above all numbers that it gave before, under names
// that it never used.
func TestAnOriginThatRestartsNeverGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(30 * 365 * 24 * time.Hour) // the bubble's clock begins in 2000
		var last *playlist.Media
		for range 3 {
			r := newRig(t, Options{})
			for i := range 20 {
				r.put(fmt.Sprintf("x%d.ts", i), fmt.Sprint(i))
				r.put("index.m3u8", window("x", i+1))
				time.Sleep(2 * time.Second)
			}
			m := r.media("main")
			if last != nil {
				if m.MediaSequence < last.MediaSequence+uint64(len(last.Segments)) || m.DiscontinuitySequence <= last.DiscontinuitySequence {
					t.Errorf("went back: %d, %d after %d, %d", m.MediaSequence, m.DiscontinuitySequence, last.MediaSequence, last.DiscontinuitySequence)
				}
				for _, a := range m.Segments {
					for _, b := range last.Segments {
						if a.URI == b.URI {
							t.Error("used twice:", a.URI)
						}
					}
				}
			}
			last = m
			r.close()
		}
	})
}

// Viewers who hammer a playlist while it changes see whole versions only.
func TestUpdatesAreAtomic(t *testing.T) {
	r := newRig(t, Options{})
	defer r.close()
	r.put("x0.ts", "0")
	r.put("index.m3u8", list(0, "x0.ts"))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			var b = book{said: map[uint64]said{}}
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				a := r.get("/live/c/main/index.m3u8")
				m, err := playlist.ParseMedia([]byte(a.body))
				if err != nil {
					t.Error(err)
					return
				}
				for _, broken := range b.check(m) {
					t.Error(broken)
					return
				}
				s := m.Segments[n%len(m.Segments)]
				if a := r.get("/live/c/main/" + s.URI); a.status != 200 {
					t.Errorf("%s: %d", s.URI, a.status)
				}
			}
		})
	}
	for i := 1; i < 300; i++ {
		r.put(fmt.Sprintf("x%d.ts", i), fmt.Sprint(i))
		r.put("index.m3u8", window("x", i+1))
	}
	close(stop)
	wg.Wait()
}

// An edge with a wrong key is told to the operator, who else sees only viewers without a
// picture; and it is told without the key, and not once for each request.
func TestWhoIsRefusedAtTheDoorIsTold(t *testing.T) {
	var out strings.Builder
	h := Access{Mode: AccessPullKey, Keys: func() []string { return []string{"right"} }, Log: slog.New(slog.NewTextHandler(&out, nil))}.
		Guard(web.HandlerFunc(func(context.Context, *web.Request) (*web.Response, error) { return web.Text(200, "in"), nil }))
	for range 100 {
		_, err := h.Serve(t.Context(), &web.Request{Method: "GET", Path: "/live/c/index.m3u8", Remote: netip.MustParseAddrPort("192.0.2.7:4000"),
			Header: web.NewHeader(PullKeyHeader, "wrong-secret")})
		if web.StatusOf(err) != 403 {
			t.Fatal(err)
		}
	}
	said := out.String()
	if n := strings.Count(said, "\n"); n != throttleBurst || !strings.Contains(said, "remote=192.0.2.7") || !strings.Contains(said, "reason=pull_key") ||
		strings.Contains(said, "wrong-secret") {
		t.Errorf("%d lines:\n%s", n, said)
	}
}
