package cache

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"weir/internal/web"
)

// failing fails n times, then answers. It notes how many of its fills are in
// the air at once, and when each began.
type failing struct {
	n      int64
	how    func() (*web.Response, error)
	took   time.Duration
	fills  atomic.Int64
	air    atomic.Int64
	most   atomic.Int64
	starts []time.Time
}

func (u *failing) fill(ctx context.Context, _ *Object) (*web.Response, error) {
	u.most.Store(max(u.most.Load(), u.air.Add(1)))
	defer u.air.Add(-1)
	u.starts = append(u.starts, time.Now())
	n := u.fills.Add(1)
	select {
	case <-time.After(u.took):
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if n <= u.n {
		return u.how()
	}
	return web.NewResponse(200, web.String("x"), "Cache-Control", "max-age=60"), nil
}

func refused() (*web.Response, error) { return nil, web.Errorf(502, "refused") }

// The way upstream of whoever asked first is broken: of ten thousand who wait
// one more asks, a moment later, and all are served (rows CO-01 and CO-07).
func TestCO07AFailedLeaderIsFollowedByOneOther(t *testing.T) {
	f := func(name string, how func() (*web.Response, error)) {
		t.Helper()
		bubble(t, func(t *testing.T) {
			c := newCache(t, Options{Jitter: func() time.Duration { return 70 * time.Millisecond }})
			u := &failing{n: 1, how: how, took: time.Second}
			late := make(chan Outcome)
			go func() { // joins between the two fills
				time.Sleep(time.Second + 30*time.Millisecond)
				o, how, err := c.Get(context.Background(), q("/a"), func(context.Context, *Object) (*web.Response, error) {
					t.Error("a third fill")
					return nil, errors.New("third")
				})
				if err == nil {
					o.Release()
				}
				late <- how
			}()
			start := time.Now()
			all := crowd(c, 10_000, func(int) (Query, Fill) { return q("/a"), u.fill })
			for _, r := range all {
				if r.err != nil || read(t, r.o) != "x" {
					t.Fatalf("%s: got %v", name, r.err)
				}
			}
			if n := tally(all); n[Miss] != 1 || n[Joined] != 9_999 {
				t.Errorf("%s: outcomes %v", name, n)
			}
			if how := <-late; how != Joined {
				t.Errorf("%s: who came between was told %v", name, how)
			}
			if took := time.Since(start); took != 2*time.Second+70*time.Millisecond {
				t.Errorf("%s: served after %v", name, took)
			}
			if u.fills.Load() != 2 || u.most.Load() != 1 {
				t.Errorf("%s: %d fills, %d at once", name, u.fills.Load(), u.most.Load())
			}
			if n := testutil.ToFloat64(c.metrics.elections); n != 1 {
				t.Errorf("%s: %v elections counted", name, n)
			}
		})
	}
	f("refused", refused)
	f("timeout", func() (*web.Response, error) { return nil, web.Errorf(504, "late") })
	f("some error", func() (*web.Response, error) { return nil, errors.New("no route") })
}

// Upstream is really down: however many wait, it is asked a bounded number of
// times, one after the other, and then all are told, once each (CO-07, CO-01).
func TestCO07AllAreToldOnceAfterTheLastAttempt(t *testing.T) {
	f := func(retries int, fills int64) {
		t.Helper()
		bubble(t, func(t *testing.T) {
			c := newCache(t, Options{Retries: retries})
			u := &failing{n: 1000, how: refused, took: 100 * time.Millisecond}
			for _, r := range crowd(c, 10_000, func(int) (Query, Fill) { return q("/a"), u.fill }) {
				if web.StatusOf(r.err) != 502 {
					t.Fatalf("told %v", r.err)
				}
			}
			for range 100 { // those who come right after learn it at once
				if _, _, err := c.Get(context.Background(), q("/a"), u.fill); web.StatusOf(err) != 502 {
					t.Fatal(err)
				}
			}
			if u.fills.Load() != fills || u.most.Load() != 1 {
				t.Errorf("%d retries: %d fills, %d at once", retries, u.fills.Load(), u.most.Load())
			}
			for i, at := range u.starts[1:] {
				if gap := at.Sub(u.starts[i]) - 100*time.Millisecond; gap < 25*time.Millisecond || gap > 100*time.Millisecond {
					t.Errorf("the next fill began %v after the last one failed", gap)
				}
			}
		})
	}
	f(-1, 1)
	f(0, 2)
	f(3, 4)
}

// What is not of the moment is not tried again: what upstream says of the
// object, of itself in words that say when to come back, and our own faults
// (rows CO-06, CO-08).
func TestCO06DefiniteAnswersAreNotAskedForTwice(t *testing.T) {
	f := func(name string, took time.Duration, how func() (*web.Response, error)) {
		t.Helper()
		bubble(t, func(t *testing.T) {
			c := newCache(t, Options{})
			u := &failing{n: 1000, how: how, took: took}
			crowdRelease(crowd(c, 1000, func(int) (Query, Fill) { return q("/a"), u.fill }))
			if n := u.fills.Load(); n != 1 {
				t.Errorf("%s: %d fills", name, n)
			}
		})
	}
	answers := func(status int, header ...string) func() (*web.Response, error) {
		return func() (*web.Response, error) { return web.NewResponse(status, web.String("no"), header...), nil }
	}
	f("404", time.Second, answers(404))
	f("400", time.Second, answers(400, "Cache-Control", "max-age=9"))
	f("429", time.Second, answers(429))
	f("500", time.Second, answers(500))
	f("502", time.Second, answers(502))
	f("503", time.Second, answers(503))
	f("504", time.Second, answers(504))
	f("503 that says when", time.Second, answers(503, "Retry-After", "5"))
	f("error that says when", time.Second, func() (*web.Response, error) {
		return nil, &web.Error{Status: 503, RetryAfter: time.Second, Err: errors.New("busy")}
	})
	f("404 as an error", time.Second, func() (*web.Response, error) { return nil, web.Errorf(404, "no") })
	f("panic", time.Second, func() (*web.Response, error) { panic("no") })
	f("after a long time", 6*time.Second, refused)
	f("stalled", time.Minute, refused)
}

// A stale answer that may stand in does, at once.
func TestNoElectionWhereAStaleAnswerStandsIn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		get(t, c, q("/a"), says(200, "x", "Cache-Control", "max-age=10, stale-if-error=60"), Miss, "x")
		time.Sleep(15 * time.Second)
		u := &failing{n: 1000, how: refused}
		for _, r := range crowd(c, 1000, func(int) (Query, Fill) { return q("/a"), u.fill }) {
			if r.err != nil || r.how != Stale {
				t.Fatalf("got %v, %v", r.how, r.err)
			}
			r.o.Release()
		}
		if n := u.fills.Load(); n != 1 {
			t.Errorf("%d fills", n)
		}
	})
}

// Nobody waits any more: nothing is asked again, and the next one to ask asks.
func TestNoElectionForNobody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		u := &failing{n: 1, how: refused, took: time.Second}
		for range 2 {
			defer time.AfterFunc(time.Second+time.Millisecond, // in the pause
				c.Ask(q("/a"), u.fill, func(*Object, Outcome, error) { t.Error("called") })).Stop()
		}
		time.Sleep(time.Second + 2*time.Millisecond)
		synctest.Wait()
		if n := c.Stats().InAir; n != 0 {
			t.Errorf("%d in the air", n)
		}
		get(t, c, q("/a"), &upstream{answer: func(int64, *Object) (*web.Response, error) { return u.fill(context.Background(), nil) }}, Miss, "x")
		if n := u.fills.Load(); n != 2 {
			t.Errorf("%d fills", n)
		}

		u.n = 100
		left := c.Ask(q("/b"), u.fill, func(*Object, Outcome, error) { t.Error("called") })
		left() // before it fails
		time.Sleep(5 * time.Second)
		if n := u.fills.Load(); n != 3 {
			t.Errorf("%d fills", n)
		}
	})
}

// The new leader's fill is its own: another than the one that failed, and it
// waits for no peer where the flight must not.
func TestTheNewLeaderAsksInItsOwnWay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		peerless := q("/a")
		peerless.NoPeer = true
		broken := func(context.Context, *Object) (*web.Response, error) {
			time.Sleep(time.Second)
			return refused()
		}
		hows := make(chan Outcome, 3)
		done := func(o *Object, how Outcome, err error) {
			if err != nil {
				t.Errorf("%v", err)
			} else {
				o.Release()
			}
			hows <- how
		}
		c.Ask(peerless, broken, done)
		c.Ask(q("/a"), func(context.Context, *Object) (*web.Response, error) {
			t.Error("one that may wait for a peer leads those who must not")
			return refused()
		}, done)
		c.Ask(peerless, says(200, "x", "Cache-Control", "max-age=9").fill, done)
		n := map[Outcome]int{}
		for range 3 {
			n[<-hows]++
		}
		if n[Miss] != 1 || n[Joined] != 2 {
			t.Errorf("outcomes %v", n)
		}
	})
}

// Whoever cannot wait until another fill has had its chance is told now.
func TestNoElectionWithoutTimeForIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{WaitTimeout: 3 * time.Second})
		u := &failing{n: 100, how: refused, took: 2 * time.Second}
		start := time.Now()
		for _, r := range crowd(c, 2, func(int) (Query, Fill) { return q("/a"), u.fill }) {
			if web.StatusOf(r.err) != 502 || time.Since(start) != 2*time.Second {
				t.Errorf("told %v after %v", r.err, time.Since(start))
			}
		}
		if n := u.fills.Load(); n != 1 {
			t.Errorf("%d fills", n)
		}
	})
}

// A cache that closes between two fills tells who waits.
func TestCloseBetweenTwoFills(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{Jitter: func() time.Duration { return time.Second }})
		u := &failing{n: 100, how: refused, took: time.Millisecond}
		told := make(chan error, 2)
		for range cap(told) {
			c.Ask(q("/a"), u.fill, func(_ *Object, _ Outcome, err error) { told <- err })
		}
		time.Sleep(500 * time.Millisecond)
		c.Close()
		for range cap(told) {
			if err := <-told; !errors.Is(err, ErrClosed) {
				t.Errorf("told %v", err)
			}
		}
	})
}

// Whoever asks alone is told, unless he is the first of an audience that had no
// time to come yet.
func TestNoElectionAmongOne(t *testing.T) {
	f := func(class Class, took time.Duration, fills int64) {
		t.Helper()
		bubble(t, func(t *testing.T) {
			const pause = 50 * time.Millisecond
			c := newCache(t, Options{Jitter: func() time.Duration { return pause }})
			u := &failing{n: 1, how: refused, took: took}
			q, start := q("/a"), time.Now()
			q.Class = class
			o, _, err := c.Get(context.Background(), q, u.fill)
			if err == nil {
				o.Release()
			}
			if told := web.StatusOf(err) == 502; told != (fills == 1) {
				t.Errorf("%v, failing after %v: told %v", class, took, err)
			}
			if want := time.Duration(fills)*took + time.Duration(fills-1)*pause; time.Since(start) != want || u.fills.Load() != fills {
				t.Errorf("%v, failing after %v: %d fills, %v", class, took, u.fills.Load(), time.Since(start))
			}
		})
	}
	f(Other, time.Millisecond, 1)
	f(Segment, time.Millisecond, 2)
	f(Playlist, time.Millisecond, 2)
	f(Segment, time.Second, 1)
}

// The first of an audience is so fast that it finds the origin gone before the
// others have asked: none of them is told.
func TestTheFirstOfAnAudienceWaitsForIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		u := &failing{n: 1, how: refused}
		first := make(chan error, 1)
		c.Ask(q("/a"), u.fill, func(o *Object, _ Outcome, err error) {
			if o != nil {
				o.Release()
			}
			first <- err
		})
		synctest.Wait() // it has failed
		for _, r := range crowd(c, 1000, func(int) (Query, Fill) { return q("/a"), u.fill }) {
			if r.err != nil || read(t, r.o) != "x" {
				t.Fatalf("told %v", r.err)
			}
		}
		if err := <-first; err != nil || u.fills.Load() != 2 {
			t.Errorf("the first was told %v, %d fills", err, u.fills.Load())
		}
	})
}
