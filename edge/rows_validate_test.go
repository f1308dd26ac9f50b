package edge

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/web"
)

func TestCA09NoCacheIsValidatedEachTime(t *testing.T) {
	row(t, func(t *testing.T, e *Edge, o *fo) {
		for _, control := range []string{"no-cache", "No-Cache, max-age=60", "max-age=60, no-cache, immutable", `no-cache=""`} {
			o.has(`"1"`, "x", "Cache-Control", control, "Last-Modified", ago(time.Hour))
			p := path()
			o.wants(t, e, 1, p)
			for range 3 {
				if g := o.wants(t, e, 1, p); g.Status != 200 || g.text != "x" {
					t.Errorf("%q: %d %q", control, g.Status, g.text)
				}
				if req := o.last(); req.Header.Get("If-None-Match") != `"1"` {
					t.Errorf("%q: asked without a condition", control)
				}
			}
			o.dies()
			if g := get(t, e, p); g.Status < 500 {
				t.Errorf("%q: %d although nobody could be asked", control, g.Status)
			}
			time.Sleep(2 * time.Second)
		}
	})
}

func TestCA15StaleAnswersAreAskedAbout(t *testing.T) {
	row(t, func(t *testing.T, e *Edge, o *fo) {
		modified := ago(time.Hour)
		f := func(tag, date string, pairs ...string) {
			t.Helper()
			o.says(200, "x", append([]string{"Cache-Control", "max-age=1"}, pairs...)...)
			p := path()
			o.wants(t, e, 1, p)
			time.Sleep(2 * time.Second)
			o.wants(t, e, 1, p, "If-None-Match", `"of the viewer"`, "If-Modified-Since", ago(time.Minute), "Range", "bytes=0-0")
			h := o.last().Header
			if h.Get("If-None-Match") != tag || h.Get("If-Modified-Since") != date || h.Has("Range") || h.Has("If-Range") {
				t.Errorf("%q: asked with %v", pairs, h)
			}
		}
		f(`"1"`, "", "ETag", `"1"`)
		f(`W/"1"`, "", "ETag", `W/"1"`)
		f("", modified, "Last-Modified", modified)
		f(`"1"`, modified, "ETag", `"1"`, "Last-Modified", modified)
	})
}

func TestCA16A304RenewsWhatIsStored(t *testing.T) {
	row(t, func(t *testing.T, e *Edge, o *fo) {
		o.has(`"1"`, "body", "Cache-Control", "max-age=10", "X-Test", "old", "X-Kept", "1", "Content-Type", "text/plain")
		o.wants(t, e, 1, "/a")
		time.Sleep(15 * time.Second)
		date := ago(0)
		o.answer = answering(304, "", "ETag", `"1"`, "Cache-Control", "max-age=20", "X-Test", "new", "X-More", "2", "Content-Length", "0", "Date", date)
		check := func(n int) {
			t.Helper()
			g := o.wants(t, e, n, "/a")
			if g.Status != 200 || g.text != "body" || g.Get("X-Test") != "new" || g.Get("X-Kept") != "1" || g.Get("X-More") != "2" ||
				g.Get("Content-Type") != "text/plain" || g.Get("Date") != date || g.Get("Cache-Control") != "max-age=20" {
				t.Errorf("%d %q %v", g.Status, g.text, g.Flatten())
			}
		}
		check(1)
		check(0)
		time.Sleep(19 * time.Second)
		check(0)
		time.Sleep(time.Second)
		check(1)
	})
}

// A confused origin says of one version that another is still good.
func TestCA17A304AboutAnotherVersionUpdatesNothing(t *testing.T) {
	row(t, func(t *testing.T, e *Edge, o *fo) {
		o.has(`"1"`, "one", "Cache-Control", "max-age=1")
		o.wants(t, e, 1, "/a")
		time.Sleep(2 * time.Second)
		o.answer = func(_ context.Context, req *web.Request) (*web.Response, error) {
			if req.Header.Has("If-None-Match") {
				return web.NewResponse(304, nil, "ETag", `"9"`, "Cache-Control", "max-age=60", "X-Test", "wrong"), nil
			}
			return web.NewResponse(200, web.String("nine"), "ETag", `"9"`, "Cache-Control", "max-age=60"), nil
		}
		if g := o.wants(t, e, 2, "/a"); g.Status != 200 || g.text != "nine" || flat(g).Has("X-Test") {
			t.Errorf("%d %q %v", g.Status, g.text, g.Flatten())
		}
		if g := o.wants(t, e, 0, "/a"); g.text != "nine" {
			t.Errorf("%q", g.text)
		}
	})
}

func TestCA18ConditionsOfViewersAreAnsweredFromTheStore(t *testing.T) {
	row(t, func(t *testing.T, e *Edge, o *fo) {
		modified := ago(time.Hour)
		o.says(200, "body", "ETag", `"1"`, "Last-Modified", modified, "Cache-Control", "max-age=60", "Vary", "Accept-Encoding", "Expires", ago(-time.Hour), "Content-Location", "/b",
			"Content-Type", "text/plain", "Date", ago(0))
		o.wants(t, e, 1, "/a")
		f := func(status int, pairs ...string) {
			t.Helper()
			g := o.wants(t, e, 0, "/a", pairs...)
			if g.Status != status {
				t.Errorf("%q: %d, want %d", pairs, g.Status, status)
			}
			if status != 304 {
				return
			}
			// "The server generating a 304 response MUST generate any of the following
			// header fields that would have been sent in a 200" (RFC 9110 section 15.4.5).
			for _, name := range []string{"ETag", "Date", "Vary", "Cache-Control", "Expires", "Content-Location", "Age"} {
				if !flat(g).Has(name) {
					t.Errorf("%q: the 304 has no %s", pairs, name)
				}
			}
			if g.text != "" || flat(g).Has("Content-Type") {
				t.Errorf("%q: the 304 describes a body: %v", pairs, g.Flatten())
			}
		}
		f(304, "If-None-Match", `"1"`)
		f(304, "If-None-Match", `W/"1"`)
		f(304, "If-None-Match", `"0", W/"1" , "2"`)
		f(304, "If-None-Match", `"0"`, "If-None-Match", `"1"`)
		f(304, "If-None-Match", "*")
		f(200, "If-None-Match", `"2"`)
		f(200, "If-None-Match", `1`)
		f(304, "If-Modified-Since", modified)
		f(304, "If-Modified-Since", ago(time.Minute))
		f(200, "If-Modified-Since", ago(2*time.Hour))
		f(200, "If-Modified-Since", "yesterday")
		f(200, "If-None-Match", `"2"`, "If-Modified-Since", modified) // the tag decides
		f(304, "If-None-Match", `"1"`, "If-Modified-Since", ago(2*time.Hour))
		f(304, "If-None-Match", `"1"`, "Range", "bytes=0-0")
		f(206, "Range", "bytes=0-0")
	})
}

// What the edge asked about by its own tag may be unchanged, and still be news
// to a viewer who has another version.
func TestCA18OurOwn304IsNotTheViewers(t *testing.T) {
	row(t, func(t *testing.T, e *Edge, o *fo) {
		o.has(`"2"`, "body", "Cache-Control", "max-age=1")
		o.wants(t, e, 1, "/a")
		time.Sleep(2 * time.Second)
		if g := o.wants(t, e, 1, "/a", "If-None-Match", `"1"`); g.Status != 200 || g.text != "body" {
			t.Errorf("%d %q", g.Status, g.text)
		}
		time.Sleep(2 * time.Second)
		if g := o.wants(t, e, 1, "/a", "If-None-Match", `"2"`); g.Status != 304 {
			t.Errorf("%d", g.Status)
		}
		o.has(`"3"`, "next", "Cache-Control", "max-age=1")
		time.Sleep(2 * time.Second)
		if g := o.wants(t, e, 1, "/a", "If-None-Match", `"3"`); g.Status != 304 || g.Get("ETag") != `"3"` {
			t.Errorf("what the viewer has and we had not: %d", g.Status)
		}
	})
}

// "If-Match and If-Unmodified-Since [...] are not applicable to a cache" (RFC
// 9111 section 4.3.2): who is to judge them is the origin.
func TestConditionsForTheOriginGoThere(t *testing.T) {
	rowAll(t, func(t *testing.T, e *Edge, o *fo) {
		o.answer = func(_ context.Context, req *web.Request) (*web.Response, error) {
			return web.Select(req, web.NewResponse(200, web.String("body"), "ETag", `"1"`, "Last-Modified", ago(time.Hour), "Cache-Control", "max-age=60")), nil
		}
		o.wants(t, e, 1, "/a")
		f := func(status int, pairs ...string) {
			t.Helper()
			if g := o.wants(t, e, 1, "/a", pairs...); g.Status != status || g.Get("Cache-Status") != "e1; fwd=request; detail=origin" {
				t.Errorf("%q: %d %q", pairs, g.Status, g.Get("Cache-Status"))
			}
		}
		f(200, "If-Match", `"1"`)
		f(412, "If-Match", `"2"`)
		f(412, "If-Unmodified-Since", ago(2*time.Hour))
		f(206, "If-Match", `"1"`, "Range", "bytes=1-2")
		o.wants(t, e, 0, "/a")
	})
	rowWith(t, Options{}, func(t *testing.T, e *Edge, o *fo) {
		o.says(200, "body", "ETag", `"1"`, "Cache-Control", "max-age=60")
		o.wants(t, e, 1, "/a.m4s")
		if g := o.wants(t, e, 0, "/a.m4s", "If-Match", `"2"`); g.Status != 200 {
			t.Errorf("an edge for HLS judged If-Match: %d", g.Status)
		}
		if resp, ok := e.TryServe(request("GET", "/a.m4s", "If-Match", `"2"`)); !ok || read(resp).Status != 200 {
			t.Error("TryServe judged If-Match")
		}
	})
}

func TestCA19WhatMustBeRevalidatedIsNotServedStale(t *testing.T) {
	row(t, func(t *testing.T, e *Edge, o *fo) {
		for _, control := range []string{"max-age=1, must-revalidate", "max-age=1, proxy-revalidate", "s-maxage=1", "s-maxage=1, max-age=60"} {
			o.has(`"1"`, "x", "Cache-Control", control)
			p := path()
			o.wants(t, e, 1, p)
			time.Sleep(2 * time.Second)
			o.dies()
			if g := get(t, e, p); g.Status != 504 || g.text == "x" {
				t.Errorf("%q: %d %q", control, g.Status, g.text)
			}
			time.Sleep(2 * time.Second)
		}
	})
}

func TestCA20StaleWhileRevalidate(t *testing.T) {
	row(t, func(t *testing.T, e *Edge, o *fo) {
		o.says(200, "one", "Cache-Control", "max-age=10, stale-while-revalidate=5")
		o.wants(t, e, 1, "/a")
		o.answer = func(context.Context, *web.Request) (*web.Response, error) {
			time.Sleep(3 * time.Second)
			return web.NewResponse(200, web.String("two"), "Cache-Control", "max-age=10, stale-while-revalidate=5"), nil
		}
		time.Sleep(12 * time.Second)
		before, start := o.count(), time.Now()
		for _, g := range crowd(e, 100, func(int) *web.Request { return request("GET", "/a") }) {
			if g.text != "one" || g.Get("Age") != "12" {
				t.Errorf("%q, Age %q", g.text, g.Get("Age"))
			}
		}
		if waited := time.Since(start); waited != 0 {
			t.Errorf("viewers waited for %v", waited)
		}
		time.Sleep(2 * time.Second)
		get(t, e, "/a")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := o.count() - before; n != 1 {
			t.Errorf("%d background requests, want one", n)
		}
		if g := o.wants(t, e, 0, "/a"); g.text != "two" {
			t.Errorf("after the refresh: %q", g.text)
		}
		time.Sleep(16 * time.Second) // past what is allowed
		start = time.Now()
		if g := o.wants(t, e, 1, "/a"); g.text != "two" || time.Since(start) != 3*time.Second || g.Get("Age") != "" {
			t.Errorf("%q after %v, Age %q", g.text, time.Since(start), g.Get("Age"))
		}
	})
}

func TestCA21StaleIfError(t *testing.T) {
	row(t, func(t *testing.T, e *Edge, o *fo) {
		down := map[string]func(){"closed": o.dies}
		for _, status := range []int{500, 502, 503, 504} {
			down[decimal(status)] = func() { o.says(status, "broken", "Cache-Control", "max-age=60") }
		}
		for name, fall := range down {
			o.says(200, "good", "Cache-Control", "max-age=10, stale-if-error=20", "ETag", `"1"`)
			p := path()
			o.wants(t, e, 1, p)
			fall()
			time.Sleep(12 * time.Second)
			if g := o.wants(t, e, 1, p); g.Status != 200 || g.text != "good" || g.Get("Age") != "12" {
				t.Errorf("%s: %d %q Age %q", name, g.Status, g.text, g.Get("Age"))
			}
			time.Sleep(17 * time.Second)
			if g := get(t, e, p); g.Status != 200 {
				t.Errorf("%s: %d within what is allowed", name, g.Status)
			}
			time.Sleep(2 * time.Second)
			if g := get(t, e, p); g.Status < 500 || g.text == "good" {
				t.Errorf("%s: %d %q after what is allowed", name, g.Status, g.text)
			}
			time.Sleep(20 * time.Second) // the origin's rest is over
		}
	})
}

func TestCA22StaleAllowancesDoNotOverride(t *testing.T) {
	row(t, func(t *testing.T, e *Edge, o *fo) {
		for _, more := range []string{"s-maxage=10", "max-age=10, must-revalidate", "max-age=10, proxy-revalidate", "max-age=10, no-cache"} {
			o.says(200, "good", "Cache-Control", more+", stale-while-revalidate=60, stale-if-error=60", "ETag", `"1"`)
			p := path()
			o.wants(t, e, 1, p)
			time.Sleep(12 * time.Second)
			o.says(200, "next", "Cache-Control", more+", stale-while-revalidate=60, stale-if-error=60", "ETag", `"2"`)
			if g := o.wants(t, e, 1, p); g.text != "next" {
				t.Errorf("%q: %q while it should have been asked about", more, g.text)
			}
			time.Sleep(12 * time.Second)
			o.dies()
			if g := get(t, e, p); g.Status < 500 {
				t.Errorf("%q: %d %q in an outage", more, g.Status, g.text)
			}
			time.Sleep(20 * time.Second)
		}
	})
}
