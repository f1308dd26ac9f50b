package origin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/web"
)

// limited are options under which publisher "small" has limits and "large" has none.
func limited(l Limits) Options {
	return Options{Publishers: func() []Publisher {
		return []Publisher{{Name: "small", Secret: "key-of-small", Limits: l}, {Name: "large", Secret: "key-of-large"}}
	}}
}

const small, large = "/ingest/k/key-of-small/", "/ingest/k/key-of-large/"

// zeros is a body of n bytes that arrives in pieces of 32 KiB, as from a network.
func zeros(n int64) io.Reader { return &pieces{n} }

type pieces struct{ left int64 }

func (p *pieces) Read(b []byte) (int, error) {
	n := min(int64(len(b)), 32<<10, p.left)
	if n == 0 {
		return 0, io.EOF
	}
	p.left -= n
	return int(n), nil
}

// A publisher within its rate is not slowed down by a byte, although FFmpeg sends ten seconds
// in one burst; above it the encoder feels what TCP makes of a reader that takes its time,
// and nothing is lost.
func TestAPublisherAboveItsRateIsSlowedDown(t *testing.T) {
	const rate = 1 << 20 // bytes a second
	underClock(t, limited(Limits{Rate: rate}), func(r *rig) {
		took := func(n int64) time.Duration {
			began := time.Now()
			if _, err := r.send("PUT", small+"c/x.ts", zeros(n)); err != nil {
				t.Error(err)
			}
			return time.Since(began)
		}
		for range 10 { // 10 s of media every 10 s
			if d := took(10 * rate); d > 50*time.Millisecond {
				t.Errorf("a burst within the rate took %v", d)
			}
			time.Sleep(10 * time.Second)
		}
		if d := took(10 * rate); d != 0 {
			t.Errorf("the first burst took %v", d)
		}
		if d := took(4 * rate); d < 3900*time.Millisecond || d > 4100*time.Millisecond {
			t.Errorf("4 s of media above the rate took %v", d)
		}
		time.Sleep(time.Hour) // an hour of silence saves up no hour of bytes
		if d := took(15 * rate); d < 4900*time.Millisecond || d > 5100*time.Millisecond {
			t.Errorf("15 s of media after an hour took %v", d)
		}
		began := time.Now()
		if _, err := r.send("PUT", large+"d/x.ts", zeros(30*rate)); err != nil || time.Since(began) > 0 {
			t.Errorf("another publisher was slowed down: %v, %v", time.Since(began), err)
		}
	})
}

// Uploads of one publisher at once share its rate; it is not had once for each.
func TestUploadsAtOnceShareTheRate(t *testing.T) {
	const rate = 1 << 20
	underClock(t, limited(Limits{Rate: rate}), func(r *rig) {
		began := time.Now()
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				if _, err := r.send("PUT", fmt.Sprintf("%sc/x%d.ts", small, i), zeros(5*rate)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if d := time.Since(began); d < 19*time.Second || d > 21*time.Second {
			t.Errorf("30 s of media with 10 s at once took %v", d)
		}
	})
}

// Who does not slow down is told 429 in the end, with a time at which it is taken again; an
// upload that is slowed down ends with the server and not after it.
func TestWhoIsFarAboveItsRateIsRefused(t *testing.T) {
	const rate = 1 << 20
	underClock(t, limited(Limits{Rate: rate}), func(r *rig) {
		var wg sync.WaitGroup
		for i := range 5 {
			wg.Go(func() { _, _ = r.send("PUT", fmt.Sprintf("%sc/x%d.ts", small, i), zeros(16*rate)) })
		}
		time.Sleep(29 * time.Second)
		r.put2(small+"c/y.ts", nil)
		time.Sleep(2 * time.Second)
		err := r.refused(small+"c/x9.ts", "x", 429)
		e, _ := errors.AsType[*web.Error](err)
		if web.ReasonOf(err) != "publisher_rate" || !strings.Contains(err.Error(), "8388 kbit/s") || e.RetryAfter < time.Second {
			t.Errorf("%v, after %v", err, e.RetryAfter)
		}
		if _, err := r.send("PUT", small+"c/index.m3u8", strings.NewReader(list(0, "x0.ts"))); web.StatusOf(err) != 429 {
			t.Error(err)
		}
		wg.Wait()
		time.Sleep(e.RetryAfter)
		r.put2(small+"c/x9.ts", nil)
		r.logged("status=429", "publisher=small", "channel=c")
		if n := r.metric("weir_origin_refusals_total", "publisher_rate"); n != 2 {
			t.Errorf("%v refusals were counted", n)
		}

		wg.Go(func() { _, _ = r.send("PUT", small+"c/z.ts", zeros(20*rate)) })
		synctest.Wait()
		ctx, stop := context.WithCancelCause(context.Background())
		stopped := errors.New("the server stops")
		go stop(stopped)
		_, err = r.o.Ingest().Serve(ctx, &web.Request{Method: "PUT", Path: small + "c/w.ts", Body: zeros(rate)})
		if !errors.Is(err, stopped) {
			t.Error(err)
		}
		wg.Wait()
	})
}

func (r *rig) put2(path string, header []string) {
	r.Helper()
	if _, err := r.send("PUT", path, strings.NewReader("x"), header...); err != nil {
		r.Errorf("%s: %v", path, err)
	}
}

// One publisher's files, uploads at once and channels are bounded by its line of the keys
// file, and others go on.
func TestAPublisherHasLimits(t *testing.T) {
	underClock(t, limited(Limits{Upload: 1000, Channels: 2, Uploads: 3}), func(r *rig) {
		r.put2(small+"a/x.ts", nil)
		r.put2(small+"b/x.ts", nil)
		err := r.refused(small+"c/x.ts", "x", 503)
		if web.ReasonOf(err) != "publisher_channels" || !strings.Contains(err.Error(), "publisher small has 2 channels") {
			t.Error(err)
		}
		r.put2(large+"c/x.ts", nil)
		r.put2(small+"c/x.ts", nil) // it has not begun that one
		time.Sleep(2 * staleAfter)  // a and b go
		r.put2(small+"d/x.ts", nil)

		for _, length := range []string{"", "1001"} {
			err := r.refused(small+"d/y.ts", strings.Repeat("x", 1001), 413, "Content-Length", length)
			if !strings.Contains(err.Error(), "max_upload of publisher small") || !strings.Contains(err.Error(), "1000 bytes") {
				t.Error(err)
			}
		}
		if _, err := r.send("PUT", large+"c/y.ts", zeros(1<<20)); err != nil {
			t.Error(err)
		}

		var gates []*gate
		var wg sync.WaitGroup
		for i := range 3 {
			g := &gate{"x", make(chan error, 1)}
			gates = append(gates, g)
			wg.Go(func() { _, _ = r.send("PUT", fmt.Sprintf("%sd/u%d.ts", small, i), g) })
		}
		synctest.Wait()
		err = r.refused(small+"d/u3.ts", "x", 429)
		if web.ReasonOf(err) != "publisher_uploads" || !strings.Contains(err.Error(), "3 uploads") {
			t.Error(err)
		}
		r.put2(large+"d/u4.ts", nil)
		for _, g := range gates {
			g.end <- io.EOF
		}
		wg.Wait()
		r.put2(small+"d/u3.ts", nil)
	})
}

// Limits are read anew at each upload: a reload that lifts them lifts them.
func TestLimitsMayChange(t *testing.T) {
	limits := Limits{Rate: 1000}
	o := Options{Publishers: func() []Publisher { return []Publisher{{Name: "small", Secret: "key-of-small", Limits: limits}} }}
	underClock(t, o, func(r *rig) {
		began := time.Now()
		_, _ = r.send("PUT", small+"c/x.ts", zeros(20_000))
		if d := time.Since(began); d < 9*time.Second {
			t.Errorf("20 s of media took %v", d)
		}
		limits = Limits{}
		began = time.Now()
		_, _ = r.send("PUT", small+"c/x.ts", zeros(1<<20))
		if d := time.Since(began); d != 0 {
			t.Errorf("without a limit it took %v", d)
		}
	})
}

// Where publishers may not begin channels, those that are named are all there are, whoever
// pushes and however.
func TestOnlyNamedChannelsBegin(t *testing.T) {
	r := newRig(t, Options{NamedOnly: true, Channels: map[string]Channel{"c": {}}})
	defer r.close()
	r.put("x.ts", "x")
	for _, path := range []string{"/ingest/d/x.ts", "/ingest/d/index.m3u8"} {
		err := r.refused(path, list(0, "x.ts"), 404)
		if web.ReasonOf(err) != "unknown_channel" {
			t.Error(err)
		}
		if _, err := r.o.LocalIngest().Serve(t.Context(), &web.Request{Method: "PUT", Path: path, Body: strings.NewReader("x")}); web.StatusOf(err) != 404 {
			t.Error(err)
		}
	}
	if n := len(r.o.Streams()); n != 1 {
		t.Errorf("%d channels", n)
	}
}

// A part of this process needs no key, and no part of its paths is taken for one.
func TestLocalIngestAsksForNoKey(t *testing.T) {
	r := newRig(t, Options{Publishers: limited(Limits{}).Publishers, MaxUpload: 100})
	defer r.close()
	do := func(method, path, body string, want int) {
		t.Helper()
		resp, err := r.o.LocalIngest().Serve(t.Context(), &web.Request{Method: method, Path: path, Body: strings.NewReader(body)})
		if err != nil {
			resp = web.ErrorResponse(err)
		}
		defer resp.Close()
		if resp.Status != want {
			t.Errorf("%s %s: %d, want %d", method, path, resp.Status, want)
		}
	}
	do("PUT", "/ingest/k/x0.ts", "0", 200)
	do("PUT", "/ingest/k/index.m3u8", list(0, "x0.ts"), 200)
	do("PUT", "/ingest/k/../c/x0.ts", "0", 403)
	do("PUT", "/ingest/k/x1.ts", strings.Repeat("x", 101), 413)
	do("DELETE", "/ingest/k/x1.ts", "", 200)
	do("PATCH", "/ingest/k/x1.ts", "", 405)
	if a := r.get("/live/k/main/index.m3u8"); a.status != 200 || strings.Count(a.body, "#EXTINF") != 1 {
		t.Error(a.body)
	}
	r.logged("channel=k", "path=x1.ts", "status=413", "publisher=folder", "remote=folder", "max_upload")
	if _, err := r.send("PUT", "/ingest/c/x.ts", strings.NewReader("x")); web.StatusOf(err) != 401 {
		t.Errorf("others need no key either: %v", err)
	}
}
