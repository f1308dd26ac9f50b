package cache

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/spool"
	"weir/internal/web"
)

// A segment is being uploaded while viewers already want it: they get its
// first bytes when upstream has them, not when it has them all.
func TestFollowersStreamFromTheFirstByte(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		w, b := spool.NewSlab(spool.SlabOptions{Poison: true}).New(0)
		fill := func(context.Context, *Object) (*web.Response, error) {
			return web.NewResponse(200, b, "Cache-Control", "max-age=60"), nil
		}
		follow := func(o *Object) *web.Response {
			defer o.Release()
			return o.Response(time.Now())
		}
		all := crowd(c, 500, func(int) (Query, Fill) { return q("/a"), fill })
		var following []*web.Response
		for _, r := range all {
			following = append(following, follow(r.o))
		}
		_, _ = w.Write([]byte("first"))
		synctest.Wait()
		late, ok := c.Lookup(q("/a"))
		if !ok || !late.Filling() {
			t.Fatal("an object in the air is not found")
		}
		following = append(following, follow(late))
		for _, resp := range following {
			if p, st := resp.Body.View(0); string(p) != "first" || st != web.Open {
				t.Fatalf("a follower sees %q, %v", p, st)
			}
			if age := resp.Get("Age"); age != "" {
				t.Fatalf("Age %s on an answer still being filled", age)
			}
		}
		if s := c.Stats(); len(s.Flights) != 1 || s.Flights[0].Followers != 501 || s.Flights[0].Bytes != 5 {
			t.Errorf("stats say %+v", s.Flights)
		}
		_, _ = w.Write([]byte(" last"))
		_ = w.Complete()
		for _, resp := range following {
			if p, err := web.ReadAll(context.Background(), resp.Body, 100); string(p) != "first last" || err != nil {
				t.Fatalf("a follower read %q, %v", p, err)
			}
			resp.Close()
		}
	})
}

// An answer with no lifetime is still good for all who were waiting for it:
// else a playlist with max-age=0 would cost a request for each viewer.
func TestZeroLifetimeSatisfiesAllWhoWaited(t *testing.T) {
	f := func(header ...string) {
		t.Helper()
		bubble(t, func(t *testing.T) {
			c := newCache(t, Options{})
			u := says(200, "x", header...)
			for _, r := range crowd(c, 300, func(int) (Query, Fill) { return q("/a"), u.fill }) {
				if read(t, r.o) != "x" {
					t.Error("wrong body")
				}
			}
			u.wants(t, 1)
			get(t, c, q("/a"), u, Miss, "x")
			u.wants(t, 2)
		})
	}
	f("Cache-Control", "max-age=0")
	f("Cache-Control", "max-age=0, must-revalidate", "ETag", `"1"`)
	f("Expires", "0")
	f()
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		u := says(404, "not yet")
		for _, r := range crowd(c, 300, func(int) (Query, Fill) { return q("/a"), u.fill }) {
			if r.err != nil || r.o.Status() != 404 {
				t.Fatalf("got %v", r.err)
			}
			r.o.Release()
		}
		u.wants(t, 1)
	})
}

// What is for one viewer never reaches another: those who waited ask for
// themselves, all at the same time, and the next ones do not wait at all (CO-06).
func TestCO06PrivateAnswersReleaseTheOthers(t *testing.T) {
	f := func(name string, status int, header ...string) {
		t.Helper()
		bubble(t, func(t *testing.T) {
			c := newCache(t, Options{})
			u := &upstream{delay: time.Second}
			u.answer = func(n int64, _ *Object) (*web.Response, error) {
				return web.NewResponse(status, web.String(fmt.Sprint(n)), header...), nil
			}
			seen := map[string]bool{}
			start := time.Now()
			for _, r := range crowd(c, 200, func(int) (Query, Fill) { return q("/a"), u.fill }) {
				if r.err != nil || r.how != Pass || !r.o.Passed() {
					t.Fatalf("%s: got %v, %v", name, r.how, r.err)
				}
				body := read(t, r.o)
				if seen[body] {
					t.Fatalf("%s: answer %s went to two viewers", name, body)
				}
				seen[body] = true
			}
			u.wants(t, 200)
			if took := time.Since(start); took != 2*time.Second {
				t.Errorf("%s: all were served after %v, want 2s: one wait for the first, one for their own", name, took)
			}
			start = time.Now()
			crowdRelease(crowd(c, 200, func(int) (Query, Fill) { return q("/a"), u.fill }))
			if took := time.Since(start); took != time.Second {
				t.Errorf("%s: the next were served after %v, want 1s", name, took)
			}
			u.wants(t, 400)
			if s := c.Stats(); s.Young.Objects != 0 || s.Bytes != 0 {
				t.Errorf("%s: something is kept: %+v", name, s)
			}
		})
	}
	f("private", 200, "Cache-Control", "private, max-age=60")
	f("no-store", 200, "Cache-Control", "NO-STORE, max-age=60")
	f("302", 302, "Location", "/login")
	f("any", 200, "Cache-Control", "max-age=60", "Vary", "Accept, *")
	f("CDN", 200, "Cache-Control", "max-age=60", "CDN-Cache-Control", "no-store")
}

func crowdRelease(all []result) {
	for _, r := range all {
		if r.o != nil {
			r.o.Release()
		}
	}
}

// An upstream that stops saying no-store is cached again at once, not only
// when the memory of it fades.
func TestPassingEndsWithTheFirstShareableAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		u := &upstream{answer: func(n int64, _ *Object) (*web.Response, error) {
			if n == 1 {
				return web.NewResponse(200, web.String("x"), "Cache-Control", "no-store"), nil
			}
			return web.NewResponse(200, web.String("x"), "Cache-Control", "max-age=60"), nil
		}}
		get(t, c, q("/a"), u, Pass, "x")
		get(t, c, q("/a"), u, Pass, "x")
		get(t, c, q("/a"), u, Miss, "x")
		get(t, c, q("/a"), u, Hit, "x")
	})
}

// The leader of a private answer left: its answer goes to nobody.
func TestPrivateAnswerOfOneWhoLeftGoesToNobody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		u := says(200, "secret", "Cache-Control", "private")
		cancel := c.Ask(q("/a"), u.fill, func(*Object, Outcome, error) { t.Error("called") })
		mine := says(200, "mine", "Cache-Control", "private")
		go func() { time.Sleep(time.Millisecond); cancel() }()
		get(t, c, q("/a"), mine, Pass, "mine")
	})
}

// Answers to requests with Authorization are for their asker (CA-12), except
// where they say otherwise; those who did not identify themselves share theirs.
func TestCA12Authorization(t *testing.T) {
	f := func(cc string, fills int64) {
		t.Helper()
		bubble(t, func(t *testing.T) {
			c := newCache(t, Options{})
			u := says(200, "x", "Cache-Control", cc)
			get(t, c, q("/a", "Authorization", "Bearer 1"), u, map[bool]Outcome{true: Pass, false: Miss}[fills > 1], "x")
			o, _, err := c.Get(context.Background(), q("/a", "Authorization", "Bearer 2"), u.fill)
			if err != nil {
				t.Fatal(err)
			}
			o.Release()
			u.wants(t, fills)
		})
	}
	f("max-age=60", 2)
	f("max-age=60, public", 1)
	f("s-maxage=60", 1)
	f("max-age=60, must-revalidate", 1)

	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		u := says(200, "x", "Cache-Control", "max-age=60")
		cancel := c.Ask(q("/a", "Authorization", "Bearer 1"), u.fill, func(o *Object, how Outcome, err error) {
			if err != nil || how != Pass {
				t.Errorf("%v, %v", how, err)
			}
			o.Release()
		})
		defer cancel()
		all := crowd(c, 100, func(int) (Query, Fill) { return q("/a"), u.fill })
		if n := tally(all); n[Miss] != 1 || n[Joined] != 99 {
			t.Errorf("outcomes of those without Authorization: %v", n)
		}
		crowdRelease(all)
		u.wants(t, 2)
	})
}

// An answer that must be validated before each use costs one request for its
// leader and one validation for all who waited, not one each (CA-09).
func TestCA09NoCacheReleasesIntoOneRevalidation(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		u := &upstream{delay: time.Second, answer: func(_ int64, prior *Object) (*web.Response, error) {
			if prior != nil && prior.ETag() == `"1"` {
				return web.NewResponse(304, nil, "ETag", `"1"`, "Cache-Control", "no-cache"), nil
			}
			return web.NewResponse(200, web.String("x"), "ETag", `"1"`, "Cache-Control", "no-cache"), nil
		}}
		all := crowd(c, 500, func(int) (Query, Fill) { return q("/a"), u.fill })
		if n := tally(all); n[Miss] != 1 || n[Revalidated] != 1 || n[Joined] != 498 {
			t.Errorf("outcomes %v", n)
		}
		for _, r := range all {
			if read(t, r.o) != "x" {
				t.Error("wrong body")
			}
		}
		u.wants(t, 2)
		get(t, c, q("/a"), u, Revalidated, "x")
		u.wants(t, 3)
	})
}

// What is larger than an object may be is passed through, from its length
// where upstream says it, from the next request on where it does not.
func TestLargeObjectsArePassedThrough(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{MaxObject: 100 << 10})
		large := strings.Repeat("x", 100<<10+1)
		u := says(200, large, "Cache-Control", "max-age=60")
		all := crowd(c, 10, func(int) (Query, Fill) { return q("/a"), u.fill })
		for _, r := range all {
			if r.how != Pass || read(t, r.o) != large {
				t.Errorf("got %v", r.how)
			}
		}
		u.wants(t, 10)

		slab := spool.NewSlab(spool.SlabOptions{})
		u = &upstream{answer: func(n int64, _ *Object) (*web.Response, error) {
			w, b := slab.New(0)
			go func() { time.Sleep(time.Millisecond); _, _ = w.Write([]byte(large)); _ = w.Complete() }() // its head is there first
			return web.NewResponse(200, b, "Cache-Control", "max-age=60"), nil
		}}
		o, _, err := c.Get(context.Background(), q("/b"), u.fill)
		if err != nil {
			t.Fatal(err)
		}
		resp := o.Response(time.Now())
		o.Release()
		if _, err := web.ReadAll(context.Background(), resp.Body, 1<<30); err == nil {
			t.Error("an object over the limit came in whole")
		}
		resp.Close()
		synctest.Wait()
		for range 3 { // every one of them, and not every other
			get(t, c, q("/b"), u, Pass, large)
		}

		fits := strings.Repeat("x", 100<<10)
		u.answer = func(int64, *Object) (*web.Response, error) {
			w, b := slab.New(0)
			go func() { _, _ = w.Write([]byte(fits)); _ = w.Complete() }()
			return web.NewResponse(200, b, "Cache-Control", "max-age=60"), nil
		}
		get(t, c, q("/c"), u, Miss, fits)
		get(t, c, q("/c"), u, Hit, fits)
	})
}

// Two edges that each take the other for the owner must not wait for each
// other: a peer's question starts a flight of its own, and the first answer
// serves both.
func TestNoPeerNeverWaitsForAPeer(t *testing.T) {
	peerless := func(key string) Query { q := q(key); q.NoPeer = true; return q }
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		never := func(ctx context.Context, _ *Object) (*web.Response, error) { <-ctx.Done(); return nil, ctx.Err() }
		var viewers []result
		done := make(chan bool)
		go func() {
			viewers = crowd(c, 50, func(int) (Query, Fill) { return q("/a"), never })
			close(done)
		}()
		synctest.Wait()
		origin := says(200, "x", "Cache-Control", "max-age=60")
		peers := crowd(c, 50, func(int) (Query, Fill) { return peerless("/a"), origin.fill })
		<-done
		for _, r := range append(peers, viewers...) {
			if r.err != nil || read(t, r.o) != "x" {
				t.Fatalf("got %v, %v", r.how, r.err)
			}
		}
		origin.wants(t, 1)
		synctest.Wait()
		if s := c.Stats(); s.InAir != 0 {
			t.Errorf("%d fills are still in the air, for nobody", s.InAir)
		}
	})
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		origin := says(200, "x", "Cache-Control", "max-age=60")
		c.Ask(peerless("/a"), origin.fill, func(o *Object, _ Outcome, _ error) { o.Release() })
		get(t, c, q("/a"), origin, Joined, "x")
		origin.wants(t, 1)
	})
}

// A session that upstream opens for the one who asked first is not for those
// who ask after, whatever upstream says about keeping the answer.
func TestCA39ACookieIsForWhoeverAskedFirst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		u := says(200, "x", "Cache-Control", "max-age=60", "Set-Cookie", "session=1")
		var told int
		for _, r := range crowd(c, 10, func(int) (Query, Fill) { return q("/a"), u.fill }) {
			if r.o.Header().Has("Set-Cookie") {
				told++
			}
			read(t, r.o)
		}
		if told > 1 {
			t.Errorf("%d viewers got one viewer's cookie", told)
		}
		if h := get(t, c, q("/a"), u, Hit, "x"); h.Has("Set-Cookie") {
			t.Error("a viewer's cookie is kept for others")
		}
		u.wants(t, 1)
	})
}

// One who reads slowly, or not at all, holds up nobody who follows the same
// fill, and is not forgotten (row CO-13).
func TestCO13ASlowReaderHoldsUpNobody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		u := &slowly{slab: c.opts.Slab}
		fill := u.fill(100_000, "Cache-Control", "max-age=60") // ten seconds
		start := time.Now()
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				o, _, err := c.Get(context.Background(), q("/a"), fill)
				if err != nil {
					t.Error(err)
					return
				}
				if i == 0 {
					time.Sleep(time.Minute)
				}
				if n := len(read(t, o)); n != 100_000 {
					t.Errorf("%d read %d bytes", i, n)
				}
				if took := time.Since(start); i > 0 && took != 10*time.Second {
					t.Errorf("%d read all after %v", i, took)
				}
			})
		}
		all.Wait()
		if u.fills != 1 {
			t.Errorf("%d fills", u.fills)
		}
	})
}
