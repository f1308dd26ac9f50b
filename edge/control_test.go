package edge

import (
	"context"
	"testing"
	"time"

	"weir/internal/web"
)

func TestRequestDirectivesAreIgnoredUnlessToldOtherwise(t *testing.T) {
	row(t, func(t *testing.T, e *Edge, o *fo) {
		o.says(200, "x", "Cache-Control", "max-age=10")
		o.wants(t, e, 1, "/a")
		for _, pairs := range [][]string{{"Cache-Control", "no-cache"}, {"Cache-Control", "max-age=0"}, {"Cache-Control", "no-store"}, {"Cache-Control", "min-fresh=60"}, {"Pragma", "no-cache"}} {
			o.wants(t, e, 0, "/a", pairs...)
			if resp, ok := e.TryServe(request("GET", "/a", pairs...)); !ok || read(resp).text != "x" {
				t.Errorf("%q: not answered at once", pairs)
			}
		}
		time.Sleep(20 * time.Second)
		o.wants(t, e, 1, "/a", "Cache-Control", "max-stale")
	})
}

// "only-if-cached" is answered whatever the operator thinks of the others.
func TestOnlyIfCachedNeverGoesUpstream(t *testing.T) {
	for _, honour := range []bool{false, true} {
		rowWith(t, Options{QueryAll: true, HonourRequests: honour}, func(t *testing.T, e *Edge, o *fo) {
			f := func(want int, control string) {
				t.Helper()
				if g := o.wants(t, e, 0, "/a", "Cache-Control", control); g.Status != want || want == 200 && g.text != "x" {
					t.Errorf("%q: %d %q, want %d", control, g.Status, g.text, want)
				}
			}
			o.says(200, "x", "Cache-Control", "max-age=10, stale-while-revalidate=5", "ETag", `"1"`)
			f(504, "only-if-cached")
			o.wants(t, e, 1, "/a")
			f(200, "only-if-cached")
			time.Sleep(12 * time.Second)
			f(200, "Only-If-Cached, max-age=100") // stale, and allowed to be
			time.Sleep(5 * time.Second)
			f(504, "x, only-if-cached")
			if honour {
				f(200, "only-if-cached, max-stale=60")
				f(504, "only-if-cached, no-store")
				f(504, "only-if-cached, no-cache")
			}
		})
	}
}

func TestRequestDirectivesAreHonouredWhereToldTo(t *testing.T) {
	for _, all := range []bool{true, false} {
		rowWith(t, Options{QueryAll: all, HonourRequests: true}, func(t *testing.T, e *Edge, o *fo) {
			o.has(`"1"`, "x", "Cache-Control", "max-age=60")
			o.wants(t, e, 1, "/a")
			time.Sleep(10 * time.Second)
			f := func(n int, pairs ...string) {
				t.Helper()
				if _, ok := e.TryServe(request("GET", "/a", pairs...)); ok {
					t.Errorf("%q: answered without looking", pairs)
				}
				if g := o.wants(t, e, n, "/a", pairs...); g.Status != 200 || g.text != "x" {
					t.Errorf("%q: %d %q", pairs, g.Status, g.text)
				}
				if n == 1 && o.last().Header.Get("If-None-Match") != `"1"` {
					t.Errorf("%q: asked without a condition", pairs)
				}
				if n == 1 { // it is new now: as old as before again
					time.Sleep(10 * time.Second)
				}
			}
			f(0, "Cache-Control", "x")
			f(0, "Cache-Control", "max-age=10")
			f(1, "Cache-Control", "max-age=9")
			f(1, "Cache-Control", "max-age=0")
			f(1, "Cache-Control", "max-age=nonsense")
			f(0, "Cache-Control", "min-fresh=50")
			f(1, "Cache-Control", "min-fresh=51")
			f(1, "Cache-Control", "no-cache")
			f(1, "Pragma", "no-cache")
			f(0, "Pragma", "no-cache", "Cache-Control", "max-age=60")
			f(0, "Cache-Control", "max-stale=5")
			f(0, "Cache-Control", "no-store")
			time.Sleep(55 * time.Second) // 5 s stale
			f(0, "Cache-Control", "max-stale=6")
			f(0, "Cache-Control", "max-stale")
			f(0, "Cache-Control", "max-stale=10, max-age=60")
			f(1, "Cache-Control", "max-stale=4")
			time.Sleep(55 * time.Second)
			f(1, "Cache-Control", "max-stale=10, max-age=50")
			time.Sleep(55 * time.Second)
			f(1, "Cache-Control", "max-stale=10, min-fresh=1")
		})
	}
}

// What an origin forbids no viewer can allow.
func TestMaxStaleDoesNotOverrideTheOrigin(t *testing.T) {
	rowWith(t, Options{QueryAll: true, HonourRequests: true}, func(t *testing.T, e *Edge, o *fo) {
		for _, control := range []string{"max-age=1, must-revalidate", "s-maxage=1", "max-age=60, no-cache"} {
			o.has(`"1"`, "x", "Cache-Control", control)
			p := path()
			o.wants(t, e, 1, p)
			time.Sleep(2 * time.Second)
			o.wants(t, e, 1, p, "Cache-Control", "max-stale=3600")
		}
	})
}

// A viewer who wants nothing of his kept: neither is it, nor is what is kept
// for all touched.
func TestNoStoreOfARequestKeepsNothing(t *testing.T) {
	rowWith(t, Options{QueryAll: true, HonourRequests: true}, func(t *testing.T, e *Edge, o *fo) {
		o.says(200, "x", "Cache-Control", "max-age=60")
		o.wants(t, e, 1, "/a", "Cache-Control", "no-store")
		o.wants(t, e, 1, "/a", "Cache-Control", "no-store")
		o.wants(t, e, 1, "/a")
		o.wants(t, e, 0, "/a", "Cache-Control", "no-store") // it is not about what was stored before
		if g := o.wants(t, e, 1, "/r", "Cache-Control", "no-store", "Range", "bytes=0-0"); o.last().Header.Get("Range") != "bytes=0-0" || g.Status != 200 {
			t.Errorf("%d", g.Status)
		}
	})
}

func TestStaleIfErrorOfARequest(t *testing.T) {
	rowWith(t, Options{QueryAll: true, HonourRequests: true}, func(t *testing.T, e *Edge, o *fo) {
		o.says(200, "good", "Cache-Control", "max-age=10", "ETag", `"1"`)
		o.wants(t, e, 1, "/a")
		time.Sleep(15 * time.Second)
		o.dies()
		if g := get(t, e, "/a"); g.Status != 502 {
			t.Errorf("%d", g.Status)
		}
		if g := get(t, e, "/a", "Cache-Control", "stale-if-error=10"); g.Status != 200 || g.text != "good" || g.Get("Age") != "15" {
			t.Errorf("%d %q", g.Status, g.text)
		}
		if g := get(t, e, "/a", "Cache-Control", "stale-if-error=4"); g.Status != 502 {
			t.Errorf("%d", g.Status)
		}
	})
}

// An audience that reloads all at once is one request, with a condition.
func TestAnAudienceThatReloadsIsOneRequest(t *testing.T) {
	rowWith(t, Options{HonourRequests: true}, func(t *testing.T, e *Edge, o *fo) {
		o.has(`"1"`, "x", "Cache-Control", "max-age=60")
		get(t, e, "/a.m4s")
		say := o.answer
		o.answer = func(ctx context.Context, req *web.Request) (*web.Response, error) {
			time.Sleep(time.Second)
			return say(ctx, req)
		}
		before := o.count()
		for _, g := range crowd(e, 1000, func(int) *web.Request { return request("GET", "/a.m4s", "Cache-Control", "no-cache") }) {
			if g.Status != 200 || g.text != "x" {
				t.Fatalf("%d %q", g.Status, g.text)
			}
		}
		if n := o.count() - before; n != 1 {
			t.Errorf("%d origin requests", n)
		}
	})
}
