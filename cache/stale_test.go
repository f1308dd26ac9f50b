package cache

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/web"
)

// revalidating answers 200 with an ETag first and 304 to whoever has it.
func revalidating(cc string, news ...string) *upstream {
	return &upstream{delay: time.Second, answer: func(_ int64, prior *Object) (*web.Response, error) {
		if prior != nil && prior.ETag() == `"1"` {
			return web.NewResponse(304, nil, append([]string{"ETag", `"1"`, "Cache-Control", cc}, news...)...), nil
		}
		return web.NewResponse(200, web.String("body"), "ETag", `"1"`, "Cache-Control", cc, "X-Test", "old", "X-Kept", "yes"), nil
	}}
}

// A stale answer is asked about instead of fetched again, and a 304 renews its
// head and its life but not its body (CA-15, CA-16).
func TestCA16RevalidationRenewsTheHeadAndKeepsTheBody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		u := revalidating("max-age=10", "X-Test", "new", "Content-Length", "99", "Content-Encoding", "gzip", "Connection", "X-Hop", "X-Hop", "1")
		get(t, c, q("/a"), u, Miss, "body")
		time.Sleep(time.Minute)
		all := crowd(c, 100, func(int) (Query, Fill) { return q("/a"), u.fill })
		if n := tally(all); n[Revalidated] != 1 || n[Joined] != 99 {
			t.Errorf("outcomes %v", n)
		}
		for _, r := range all {
			if h := r.o.Header(); h.Get("X-Test") != "new" || h.Get("X-Kept") != "yes" || h.Has("Content-Length") ||
				h.Has("Content-Encoding") || h.Has("X-Hop") || h.Has("Connection") {
				t.Fatalf("header %v", h)
			}
			if read(t, r.o) != "body" {
				t.Fatal("wrong body")
			}
		}
		u.wants(t, 2)
		time.Sleep(5 * time.Second)
		if h := get(t, c, q("/a"), u, Hit, "body"); h.Get("Age") != "6" {
			t.Errorf("Age %s after the answer was renewed 5s ago", h.Get("Age"))
		}
		u.wants(t, 2)
		if s := c.Stats(); s.Young.Objects != 1 || s.Held != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

// A 304 about something else than what is kept renews nothing (CA-17).
func TestCA17Foreign304IsNotBelieved(t *testing.T) {
	f := func(name, want, have string, header ...string) {
		t.Helper()
		bubble(t, func(t *testing.T) {
			c := newCache(t, Options{})
			u := &upstream{answer: func(n int64, prior *Object) (*web.Response, error) {
				if prior != nil {
					return web.NewResponse(304, nil, header...), nil
				}
				return web.NewResponse(200, web.String(map[bool]string{true: "old", false: "new"}[n == 1]),
					"Cache-Control", "max-age=1", "ETag", have, "Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT"), nil
			}}
			get(t, c, q("/a"), u, Miss, "old")
			time.Sleep(time.Minute)
			o, _, err := c.Get(context.Background(), q("/a"), u.fill)
			if err != nil {
				t.Fatal(err)
			}
			if got := read(t, o); got != want {
				t.Errorf("%s: served %q, want %q", name, got, want)
			}
		})
	}
	f("same", "old", `"1"`, "ETag", `"1"`)
	f("none", "old", `"1"`)
	f("weak match", "old", `"1"`, "ETag", `W/"1"`)
	f("other strong", "new", `"1"`, "ETag", `"2"`)
	f("other weak", "new", `W/"1"`, "ETag", `W/"2"`)
	f("other date", "new", `"1"`, "Last-Modified", "Mon, 02 Jan 2007 15:04:05 GMT")

	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		_, _, err := c.Get(context.Background(), q("/a"), says(304, "").fill)
		if web.StatusOf(err) != http.StatusBadGateway {
			t.Errorf("a 304 that nobody asked for: %v", err)
		}
	})
}

// Within stale-while-revalidate viewers are served at once, visibly aged, while
// exactly one fill that belongs to nobody runs; after it they wait (CA-20).
func TestCA20StaleWhileRevalidate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		u := revalidating("max-age=10, stale-while-revalidate=5")
		get(t, c, q("/a"), u, Miss, "body")
		time.Sleep(12 * time.Second)
		start := time.Now()
		for range 100 {
			if h := get(t, c, q("/a"), u, Stale, "body"); h.Get("Age") != "13" {
				t.Errorf("Age %s, want 13", h.Get("Age"))
			}
		}
		if time.Since(start) != 0 {
			t.Error("somebody waited")
		}
		time.Sleep(2 * time.Second)
		u.wants(t, 2)
		get(t, c, q("/a"), u, Hit, "body")
		time.Sleep(time.Minute)
		get(t, c, q("/a"), u, Revalidated, "body")
		u.wants(t, 3)
	})
}

// The origin is down: within stale-if-error viewers go on with what is kept, at
// the price of two requests a second at most; after it they are told (CA-21).
func TestCA21StaleIfError(t *testing.T) {
	f := func(name string, broken func() (*web.Response, error), status int) {
		t.Helper()
		bubble(t, func(t *testing.T) {
			c := newCache(t, Options{})
			u := &upstream{answer: func(n int64, _ *Object) (*web.Response, error) {
				if n == 1 {
					return web.NewResponse(200, web.String("body"), "Cache-Control", "max-age=10, stale-if-error=20"), nil
				}
				return broken()
			}}
			get(t, c, q("/a"), u, Miss, "body")
			time.Sleep(15 * time.Second)
			for _, r := range crowd(c, 100, func(int) (Query, Fill) { return q("/a"), u.fill }) {
				if r.err != nil || r.how != Stale || read(t, r.o) != "body" {
					t.Fatalf("%s: got %v, %v", name, r.how, r.err)
				}
			}
			for range 100 {
				get(t, c, q("/a"), u, Stale, "body")
			}
			u.wants(t, 2)
			time.Sleep(15 * time.Second)
			o, _, err := c.Get(context.Background(), q("/a"), u.fill)
			if err == nil {
				if o.Status() != status {
					t.Errorf("%s: after the window: %d", name, o.Status())
				}
				o.Release()
			} else if web.StatusOf(err) != status {
				t.Errorf("%s: after the window: %v", name, err)
			}
		})
	}
	f("unreachable", func() (*web.Response, error) { return nil, web.Errorf(502, "refused") }, 502)
	f("503", func() (*web.Response, error) { return web.NewResponse(503, nil), nil }, 503)
	f("500 no-store", func() (*web.Response, error) { return web.Text(500, "no"), nil }, 500)
	f("panic", func() (*web.Response, error) { panic("no") }, 500)
}

// What upstream forbids to serve stale is never served stale, whatever else it
// says: 504 if it cannot be asked (CA-19, CA-22).
func TestCA19MustRevalidateIsNeverStale(t *testing.T) {
	f := func(cc string) {
		t.Helper()
		bubble(t, func(t *testing.T) {
			c := newCache(t, Options{})
			u := &upstream{answer: func(n int64, _ *Object) (*web.Response, error) {
				if n == 1 {
					return web.NewResponse(200, web.String("body"), "ETag", `"1"`, "Cache-Control", cc), nil
				}
				return nil, web.Errorf(502, "refused")
			}}
			get(t, c, q("/a"), u, Miss, "body")
			time.Sleep(11 * time.Second)
			_, _, err := c.Get(context.Background(), q("/a"), u.fill)
			if web.StatusOf(err) != http.StatusGatewayTimeout {
				t.Errorf("%s: got %v", cc, err)
			}
		})
	}
	f("max-age=10, must-revalidate, stale-while-revalidate=60, stale-if-error=60")
	f("max-age=10, proxy-revalidate, stale-if-error=60")
	f("s-maxage=10, stale-while-revalidate=60, stale-if-error=60")
}

// A body that is cut off while a 304 renews its head takes the new head with
// it: no viewer may get half of it later.
func TestBodyCutWhileItsHeadIsRenewed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		w, b := c.opts.Slab.New(0)
		u := &upstream{answer: func(n int64, prior *Object) (*web.Response, error) {
			switch {
			case n == 1:
				return web.NewResponse(200, b, "ETag", `"1"`, "Cache-Control", "max-age=5"), nil
			case prior != nil:
				return web.NewResponse(304, nil, "Cache-Control", "max-age=100"), nil
			}
			return web.NewResponse(200, web.String("whole"), "Cache-Control", "max-age=100"), nil
		}}
		o, _, err := c.Get(context.Background(), q("/a"), u.fill)
		if err != nil {
			t.Fatal(err)
		}
		o.Release()
		_, _ = w.Write([]byte("half"))
		time.Sleep(10 * time.Second)
		o, how, err := c.Get(context.Background(), q("/a"), u.fill)
		if err != nil || how != Revalidated || !o.Filling() {
			t.Fatalf("%v, %v", how, err)
		}
		o.Release()
		w.Abort(errors.New("reset"))
		synctest.Wait()
		if _, ok := c.Lookup(q("/a")); ok {
			t.Error("half a body is found")
		}
		get(t, c, q("/a"), u, Miss, "whole")
	})
}

// Fields meant for the one who asked are not stored; he gets them (CA-08).
func TestCA08QualifiedPrivateIsForTheLeaderOnly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		u := says(200, "x", "Cache-Control", `max-age=60, private="Set-Cookie"`, "Set-Cookie", "a=b", "X", "1",
			"Connection", "close, X-A", "X-A", "1", "Keep-Alive", "1", "Transfer-Encoding", "chunked")
		with := 0
		for _, r := range crowd(c, 10, func(int) (Query, Fill) { return q("/a"), u.fill }) {
			h := r.o.Header()
			if h.Has("Set-Cookie") {
				with++
			}
			if h.Has("Connection") || h.Has("X-A") || h.Has("Keep-Alive") || h.Has("Transfer-Encoding") || !h.Has("X") || !h.Has("Date") {
				t.Errorf("header %v", h)
			}
			read(t, r.o)
		}
		if with != 1 {
			t.Errorf("%d got the cookie, want 1", with)
		}
		if h := get(t, c, q("/a"), u, Hit, "x"); h.Has("Set-Cookie") {
			t.Error("the cookie was stored")
		}
	})
}

// An asset is taken down while its old answer may still be served stale: once
// upstream has said so, viewers must not be given the old one again.
func TestWhatUpstreamReplacedIsNotServedStaleAnyMore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := func(status int, body string, want Outcome, header ...string) {
			t.Helper()
			c := newCache(t, Options{})
			u := says(200, "old", "Cache-Control", "max-age=2, stale-while-revalidate=600")
			get(t, c, q("/a"), u, Miss, "old")
			time.Sleep(3 * time.Second)
			u = says(status, body, header...)
			get(t, c, q("/a"), u, Stale, "old")
			time.Sleep(2 * time.Second)
			get(t, c, q("/a"), u, want, body)
			time.Sleep(2 * passTTL)
			get(t, c, q("/a"), u, want, body)
		}
		f(404, "gone", Miss)
		f(200, "new", Miss, "Cache-Control", "max-age=0")
		f(200, "new", Pass, "Cache-Control", "no-store")
	})
}
