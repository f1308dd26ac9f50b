package cache

import (
	"context"
	"testing"
	"time"

	"weir/internal/web"
)

// Something changed upstream by way of this cache: from then on nobody gets
// what was there before, in whatever variant.
func TestInvalidatedIsAskedForAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		u := says(200, "x", "Cache-Control", "max-age=60", "Vary", "X")
		get(t, c, q("/a", "X", "1"), u, Miss, "x")
		get(t, c, q("/a", "X", "2"), u, Miss, "x")
		get(t, c, q("/b"), u, Miss, "x")
		c.Invalidate("/a")
		get(t, c, q("/a", "X", "1"), u, Miss, "x")
		get(t, c, q("/a", "X", "2"), u, Miss, "x")
		get(t, c, q("/b"), u, Hit, "x")
		u.wants(t, 5)
	})
}

// A purge comes while the old object is on its way: who waits gets it, but it
// does not come back to haunt those who ask after the purge (row CA-40).
func TestCA40InvalidationReachesFillsInTheAir(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		old, next := says(200, "old", "Cache-Control", "max-age=60"), says(200, "new", "Cache-Control", "max-age=60")
		waiting := make(chan struct{})
		go func() {
			defer close(waiting)
			get(t, c, q("/a"), old, Miss, "old")
		}()
		time.Sleep(500 * time.Millisecond)
		c.Invalidate("/a")
		get(t, c, q("/a"), next, Miss, "new")
		<-waiting
		get(t, c, q("/a"), next, Hit, "new")
		old.wants(t, 1)
		next.wants(t, 1)
	})
}

// What left the window goes, and whoever still reads it reads on.
func TestEvictedIsGoneAndStillRead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		u := says(200, "x", "Cache-Control", "max-age=60")
		o, _, err := c.Get(context.Background(), q("/a"), u.fill)
		if err != nil {
			t.Fatal(err)
		}
		c.Evict("/a")
		if _, ok := c.Lookup(q("/a")); ok {
			t.Error("found after it was evicted")
		}
		if got := read(t, o); got != "x" {
			t.Errorf("its reader got %q", got)
		}
	})
}

// Whoever knows more of an object than its answer says may allow less.
func TestJudgeHasTheLastWord(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{Judge: func(q Query, _ *web.Response, may web.Freshness) web.Freshness {
			if q.Key == "/live" {
				may.Lifetime = min(may.Lifetime, 2*time.Second)
			}
			return may
		}})
		u := says(200, "x", "Cache-Control", "max-age=60")
		get(t, c, q("/live"), u, Miss, "x")
		get(t, c, q("/vod"), u, Miss, "x")
		time.Sleep(3 * time.Second)
		get(t, c, q("/live"), u, Miss, "x")
		get(t, c, q("/vod"), u, Hit, "x")
	})
}

// Two fills of one question are in the air, as one of them may not wait for a
// peer. The older one does not answer those who asked after the purge.
func TestWhatWasInvalidatedServesNoTwin(t *testing.T) {
	for _, noPeer := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			c := newCache(t, Options{})
			old, next := says(200, "old", "Cache-Control", "max-age=60"), says(200, "new", "Cache-Control", "max-age=60")
			before, after := q("/a"), q("/a")
			before.NoPeer, after.NoPeer = noPeer, !noPeer
			waiting := make(chan struct{})
			go func() {
				defer close(waiting)
				get(t, c, before, old, Miss, "old")
			}()
			time.Sleep(500 * time.Millisecond)
			c.Invalidate("/a")
			get(t, c, after, next, Miss, "new")
			<-waiting
			get(t, c, after, nil, Hit, "new")
		})
	}
}

// An answer to HEAD that comes at the moment of a purge brings nothing back.
func TestNoHEADRenewsWhatIsBeingInvalidated(t *testing.T) {
	c := newCache(t, Options{})
	u := says(200, "body", "Cache-Control", "max-age=60", "ETag", `"1"`)
	u.delay = 0
	head := web.NewResponse(200, nil, "Cache-Control", "max-age=60", "ETag", `"1"`)
	for range 3000 {
		get(t, c, q("/a"), u, Miss, "body")
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 3 {
				c.Refresh(q("/a"), head, 4, time.Now())
			}
		}()
		c.Invalidate("/a")
		o, ok := c.Lookup(q("/a"))
		if ok {
			o.Release()
			t.Fatal("it is there after the purge")
		}
		<-done
	}
}
