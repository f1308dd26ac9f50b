package edge

import (
	"context"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/spool"
	"weir/internal/web"
)

// ranged is an edge on a socket before an origin with a segment, which is kept
// whole, and a film, which is kept in slices. Both are the same bytes.
func ranged(t *testing.T) (at string, o *film) {
	t.Helper()
	o = &film{text: filmText, tag: `"v1"`, pairs: []string{"Vary", "Accept-Encoding", "Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT",
		"Date", web.FormatHTTPDate(time.Now())}}
	opts := inSlices()
	whole := o.handler()
	e := newEdge(t, opts, web.HandlerFunc(func(ctx context.Context, req *web.Request) (*web.Response, error) {
		resp, err := whole.Serve(ctx, req)
		if err == nil && strings.HasPrefix(req.Path, "/segment") {
			resp.Header.Set("Accept-Ranges", "none") // which says nothing of what we can do
		}
		return resp, err
	}))
	return door(t, e), o
}

func eachKind(t *testing.T, f func(t *testing.T, url string)) {
	at, _ := ranged(t)
	for _, path := range []string{"/segment.m4s", "/film.mp4"} {
		t.Run(path[1:], func(t *testing.T) { f(t, at+path) })
	}
}

func TestRG01ARangeIsA206WithItsBytes(t *testing.T) {
	eachKind(t, func(t *testing.T, url string) {
		resp, got, err := fetch(t, url, "Range", "bytes=0-99")
		if err != nil || resp.StatusCode != 206 || got != filmText[:100] || resp.ContentLength != 100 ||
			resp.Header.Get("Content-Range") != "bytes 0-99/1000000" {
			t.Errorf("%d %q, %d bytes, %v", resp.StatusCode, resp.Header.Get("Content-Range"), len(got), err)
		}
		for _, name := range []string{"ETag", "Date", "Cache-Control", "Vary", "Content-Type"} {
			if resp.Header.Get(name) == "" {
				t.Errorf("a 206 without %s", name)
			}
		}
	})
}

func TestRG02OpenSuffixAndClampedRanges(t *testing.T) {
	eachKind(t, func(t *testing.T, url string) {
		f := func(field string, first, last int) {
			t.Helper()
			resp, got, err := fetch(t, url, "Range", field)
			if want := fmt.Sprintf("bytes %d-%d/1000000", first, last); err != nil || resp.StatusCode != 206 || resp.Header.Get("Content-Range") != want ||
				got != filmText[first:last+1] {
				t.Errorf("%s: %d %q, %d bytes, %v", field, resp.StatusCode, resp.Header.Get("Content-Range"), len(got), err)
			}
		}
		f("bytes=100-", 100, 999_999)
		f("bytes=-50", 999_950, 999_999)
		f("bytes=-2000000", 0, 999_999)
		f("bytes=999990-1234567", 999_990, 999_999)
		f("bytes=0-9007199254740991", 0, 999_999)
		f("bytes=70000-9007199254740991", 70_000, 999_999)
		f("bytes=1-99999999999999999999", 1, 999_999)
	})
}

func TestRG03RangesPastTheEndAre416(t *testing.T) {
	eachKind(t, func(t *testing.T, url string) {
		for _, field := range []string{"bytes=1000000-", "bytes=1000000-1000001", "bytes=-0", "bytes=9007199254740991-", "bytes=99999999999999999999-"} {
			if resp, _, err := fetch(t, url, "Range", field); err != nil || resp.StatusCode != 416 || resp.Header.Get("Content-Range") != "bytes */1000000" {
				t.Errorf("%s: %d %q %v", field, resp.StatusCode, resp.Header.Get("Content-Range"), err)
			}
		}
	})
}

func TestRG04RangesThatMeanNothingAreIgnored(t *testing.T) {
	eachKind(t, func(t *testing.T, url string) {
		for _, field := range []string{"items=0-1", "bytes", "bytes=", "bytes=a-b", "bytes=5-2", "bytes=--5", "bytes=0x0-0x5", "seconds=0-1, bytes=0-1"} {
			if resp, got, err := fetch(t, url, "Range", field); err != nil || resp.StatusCode != 200 || got != filmText {
				t.Errorf("%s: %d, %d bytes, %v", field, resp.StatusCode, len(got), err)
			}
		}
	})
}

func TestRG05IfRangeWantsAStrongMatch(t *testing.T) {
	eachKind(t, func(t *testing.T, url string) {
		f := func(validator string, want int) {
			t.Helper()
			if resp, _, err := fetch(t, url, "Range", "bytes=0-99", "If-Range", validator); err != nil || resp.StatusCode != want {
				t.Errorf("%s: %d, want %d, %v", validator, resp.StatusCode, want, err)
			}
		}
		f(`"v1"`, 206)
		f(`"v0"`, 200)
		f(`W/"v1"`, 200)
		f("Thu, 01 Jan 2026 00:00:00 GMT", 206)
		f("Thu, 01 Jan 2026 00:00:01 GMT", 200)
	})
}

func TestRG06AConditionComesBeforeARange(t *testing.T) {
	eachKind(t, func(t *testing.T, url string) {
		if resp, _, err := fetch(t, url, "Range", "bytes=0-99", "If-None-Match", `"v1"`); err != nil || resp.StatusCode != 304 {
			t.Errorf("%d %v", resp.StatusCode, err)
		}
		// "If-Match and If-Unmodified-Since [...] are not applicable to a cache"
		// (RFC 9111 section 4.3.2): where they cannot be sent on they are as if unsaid.
		if resp, _, err := fetch(t, url, "Range", "bytes=0-99", "If-Match", `"v2"`); err != nil || resp.StatusCode != 206 {
			t.Errorf("%d %v", resp.StatusCode, err)
		}
	})
}

// Ranges of a cold object leave nothing behind that would answer a plain GET
// with a part.
func TestRG07RangesThenTheWhole(t *testing.T) {
	at, o := ranged(t)
	for _, path := range []string{"/segment.m4s", "/film.mp4"} {
		for _, field := range []string{"bytes=500000-500009", "bytes=-5", "bytes=0-0", "bytes=131000-131100", "bytes=5-9,700000-700001"} {
			if resp, _, err := fetch(t, at+path, "Range", field); err != nil || resp.StatusCode != 206 {
				t.Errorf("%s %s: %d %v", path, field, resp.StatusCode, err)
			}
		}
		for range 2 {
			resp, got, err := fetch(t, at+path)
			if err != nil || resp.StatusCode != 200 || got != filmText || resp.Header.Get("Content-Range") != "" {
				t.Errorf("%s: %d, %d bytes, %v", path, resp.StatusCode, len(got), err)
			}
		}
	}
	if whole, parts := o.asks(); whole != 2 || parts != filmSlices-1 {
		t.Errorf("the origin was asked for the whole %d times, for slices %d times", whole, parts)
	}
}

func TestRG08SeveralRangesOnASocket(t *testing.T) {
	eachKind(t, func(t *testing.T, url string) {
		resp, got, err := fetch(t, url, "Range", "bytes=0-1,500000-500009,-5")
		kind, params, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
		if err != nil || resp.StatusCode != 206 || kind != "multipart/byteranges" || resp.Header.Get("Content-Range") != "" || resp.ContentLength != int64(len(got)) {
			t.Fatalf("%d %q %d bytes, %v", resp.StatusCode, kind, len(got), err)
		}
		r := multipart.NewReader(strings.NewReader(got), params["boundary"])
		for _, want := range []struct{ field, text string }{
			{"bytes 0-1/1000000", filmText[:2]}, {"bytes 500000-500009/1000000", filmText[500000:500010]}, {"bytes 999995-999999/1000000", filmText[999995:]},
		} {
			p, err := r.NextPart()
			if err != nil {
				t.Fatal(err)
			}
			if text, err := io.ReadAll(p); p.Header.Get("Content-Range") != want.field || string(text) != want.text || err != nil {
				t.Errorf("%q: %q %v", p.Header.Get("Content-Range"), text, err)
			}
		}
		for _, field := range []string{"bytes=0-,0-", "bytes=0-5,1-6,2-7", "bytes=" + strings.Repeat("0-0,", 20)} {
			if resp, got, err := fetch(t, url, "Range", field); err != nil || resp.StatusCode != 200 || got != filmText {
				t.Errorf("%s: %d, %d bytes, %v", field, resp.StatusCode, len(got), err)
			}
		}
	})
}

// Ranges of a segment whose length its origin does not say, while it arrives.
func TestRangesOfASegmentThatStillArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slab := spool.NewSlab(spool.SlabOptions{Poison: true})
		origin := &fake{answer: func(context.Context, *web.Request) (*web.Response, error) {
			w, b := slab.New(0)
			go func() {
				for i := range 6 { // a second each
					time.Sleep(time.Second)
					_, _ = w.Write([]byte(filmText[i*1000 : i*1000+1000]))
				}
				_ = w.Complete()
			}()
			return web.NewResponse(200, b, "ETag", `"v1"`, "Cache-Control", "max-age=60"), nil
		}}
		f := func(i int, field string, after time.Duration, status int, contentRange string, first, last int) {
			t.Helper()
			e := newEdge(t, Options{}, origin)
			go get(t, e, "/s.m4s") // somebody follows it already
			time.Sleep(500 * time.Millisecond)
			start := time.Now()
			resp, ok := e.TryServe(request("GET", "/s.m4s", "Range", field))
			if ok {
				t.Errorf("%s: TryServe answers %d, though it cannot know", field, resp.Status)
			}
			resp, err := e.Serve(context.Background(), request("GET", "/s.m4s", "Range", field))
			if err != nil {
				t.Fatal(err)
			}
			if d := time.Since(start); d != after || resp.Status != status || resp.Get("Content-Range") != contentRange {
				t.Errorf("%s: after %v %d %q", field, d, resp.Status, resp.Get("Content-Range"))
			}
			if g := read(resp); g.text != filmText[first:last+1] || g.err != nil {
				t.Errorf("%s: %d bytes, %v", field, len(g.text), g.err)
			}
			if n := origin.count(); n != i+1 {
				t.Errorf("%s: the origin was asked %d times", field, n-i)
			}
			time.Sleep(time.Minute)
		}
		const s, ms = time.Second, time.Millisecond
		f(0, "bytes=100-1999", 1500*ms, 206, "bytes 100-1999/*", 100, 1999)
		f(1, "bytes=100-2000", 2500*ms, 206, "bytes 100-2000/*", 100, 2000)
		f(2, "bytes=5000-9999", 5500*ms, 206, "bytes 5000-5999/6000", 5000, 5999)
		f(3, "bytes=100-", 5500*ms, 206, "bytes 100-5999/6000", 100, 5999)
		f(4, "bytes=-10", 5500*ms, 206, "bytes 5990-5999/6000", 5990, 5999)
		f(5, "bytes=0-", 0, 200, "", 0, 5999)
		synctest.Wait()
		if slab.InUse() != 0 {
			t.Error("bytes were not given back")
		}
	})
}
