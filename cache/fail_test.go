package cache

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"weir/internal/spool"
	"weir/internal/web"
)

// A bug in whatever fills is an error for those who wait, not their end, and
// the key is not locked by it (CO-08).
func TestCO08PanicInFillIsAnErrorForAll(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		u := &upstream{delay: time.Second, answer: func(n int64, _ *Object) (*web.Response, error) {
			if n == 1 {
				panic("oops")
			}
			return web.NewResponse(200, web.String("x"), "Cache-Control", "max-age=9"), nil
		}}
		for _, r := range crowd(c, 100, func(int) (Query, Fill) { return q("/a"), u.fill }) {
			if !errors.Is(r.err, errPanic) || web.StatusOf(r.err) != 500 {
				t.Fatalf("got %v", r.err)
			}
		}
		u.wants(t, 1)
		time.Sleep(time.Second)
		get(t, c, q("/a"), u, Miss, "x")
		if n := testutil.ToFloat64(c.metrics.fillFails.WithLabelValues("panic")); n != 1 {
			t.Errorf("%v panics counted", n)
		}
	})
}

// A fill that ends its goroutine, as a failed test does, lands all the same.
func TestFillThatNeverReturnsLands(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		dead := make(chan struct{})
		_, _, err := c.Get(context.Background(), q("/a"), func(context.Context, *Object) (*web.Response, error) {
			defer close(dead)
			runtime.Goexit()
			return nil, nil
		})
		<-dead
		if !errors.Is(err, errUnfinished) {
			t.Errorf("got %v", err)
		}
	})
}

// The origin hangs: viewers are told at the bound, even if the fill does not
// heed its context, and the next one tries again (CO-08).
func TestCO08StalledFillIsGivenUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{FillTimeout: 5 * time.Second})
		deaf := func(context.Context, *Object) (*web.Response, error) {
			time.Sleep(8 * time.Second)
			return web.NewResponse(200, web.String("late"), "Cache-Control", "max-age=9"), nil
		}
		start := time.Now()
		for _, r := range crowd(c, 50, func(int) (Query, Fill) { return q("/a"), deaf }) {
			if web.StatusOf(r.err) != 504 || !errors.Is(r.err, ErrStalled) {
				t.Fatalf("got %v", r.err)
			}
		}
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("told after %v", took)
		}
		time.Sleep(time.Second)
		get(t, c, q("/a"), says(200, "x", "Cache-Control", "max-age=9"), Miss, "x")
		if n := testutil.ToFloat64(c.metrics.fillFails.WithLabelValues("stalled")); n != 1 {
			t.Errorf("%v stalls counted", n)
		}
	})
}

// The origin breaks: all who wait learn it from one request and one more, where
// it may have been of the moment; those who ask right after learn it without
// one, and half a second later it gets its next chance (CO-07, CA-30).
func TestCO07FailureIsToldToAllAndRememberedBriefly(t *testing.T) {
	statusOf := func(r result) int {
		if r.err != nil {
			return web.StatusOf(r.err)
		}
		defer r.o.Release()
		return r.o.Status()
	}
	f := func(name string, u *upstream, status int, fills int64) {
		t.Helper()
		bubble(t, func(t *testing.T) {
			c := newCache(t, Options{})
			for _, r := range crowd(c, 1000, func(int) (Query, Fill) { return q("/a"), u.fill }) {
				if got := statusOf(r); got != status {
					t.Fatalf("%s: a waiter got %d, %v", name, got, r.err)
				}
			}
			u.wants(t, fills)
			for range 100 {
				if _, _, err := c.Get(context.Background(), q("/a"), u.fill); web.StatusOf(err) != status {
					t.Fatalf("%s: right after: %v", name, err)
				}
			}
			u.wants(t, fills)
			time.Sleep(negative(Segment, 0).Default)
			o, _, err := c.Get(context.Background(), q("/a"), u.fill)
			if got := statusOf(result{o, 0, err}); got != status {
				t.Fatalf("%s: later: %d", name, got)
			}
			u.wants(t, fills+1) // nobody else is there to try it once more
			if n := c.Stats().Young.Objects; n != 0 {
				t.Errorf("%s: %d failures are kept", name, n)
			}
		})
	}
	f("error", &upstream{delay: time.Second, answer: func(int64, *Object) (*web.Response, error) {
		return nil, web.Errorf(502, "no route")
	}}, 502, 2)
	f("500", says(500, "sorry"), 500, 1)
	f("503", says(503, "sorry"), 503, 1)
	f("503 for one", says(503, "sorry", "Cache-Control", "no-store"), 503, 1)
	f("429", says(429, "sorry"), 429, 1)
}

// Upstream dies in the middle of a segment: who follows it is cut off and never
// told that this was all, nothing of it is kept, and the next viewer gets the
// whole (CA-28).
func TestCA28CutBodyIsNeverTakenForAWhole(t *testing.T) {
	f := func(name string, length int64, end func(w *spool.Writer)) {
		t.Helper()
		bubble(t, func(t *testing.T) {
			slab := spool.NewSlab(spool.SlabOptions{})
			c := newCache(t, Options{})
			u := &upstream{answer: func(n int64, _ *Object) (*web.Response, error) {
				if n > 1 {
					return web.NewResponse(200, web.String("all of it"), "Cache-Control", "max-age=60"), nil
				}
				w, b := slab.New(0)
				if length >= 0 {
					w.SetLen(length)
				}
				go func() {
					_, _ = w.Write([]byte("all "))
					time.Sleep(time.Second)
					end(w)
				}()
				return web.NewResponse(200, b, "Cache-Control", "max-age=60"), nil
			}}
			for _, r := range crowd(c, 100, func(int) (Query, Fill) { return q("/a"), u.fill }) {
				resp := r.o.Response(time.Now())
				r.o.Release()
				p, err := web.ReadAll(context.Background(), resp.Body, 100)
				resp.Close()
				if string(p) != "all " || !errors.Is(err, web.ErrAborted) {
					t.Fatalf("%s: follower read %q, %v", name, p, err)
				}
			}
			synctest.Wait()
			if s := c.Stats(); s.Young.Objects != 0 || s.InAir != 0 {
				t.Errorf("%s: after the cut %+v", name, s)
			}
			get(t, c, q("/a"), u, Miss, "all of it")
			u.wants(t, 2)
			if n := testutil.ToFloat64(c.metrics.fillFails.WithLabelValues("cut")); n != 1 {
				t.Errorf("%s: %v cuts counted", name, n)
			}
		})
	}
	f("reset", 9, func(w *spool.Writer) { w.Abort(errors.New("connection reset")) })
	f("reset, length unknown", -1, func(w *spool.Writer) { w.Abort(errors.New("connection reset")) })
	f("too short", 9, func(w *spool.Writer) { w.SetLen(4); _ = w.Complete() })
}

// The body stalls in its middle: it is cut at the bound, not held for ever.
func TestStalledBodyIsCut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{FillTimeout: 5 * time.Second})
		w, b := spool.NewSlab(spool.SlabOptions{}).New(0)
		go func() {
			for range 10 { // slow, but it gets on
				time.Sleep(3 * time.Second)
				_, _ = w.Write([]byte("."))
			}
		}()
		start := time.Now()
		o, _, err := c.Get(context.Background(), q("/a"), func(context.Context, *Object) (*web.Response, error) {
			return web.NewResponse(200, b, "Cache-Control", "max-age=600"), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		resp := o.Response(time.Now())
		o.Release()
		p, err := web.ReadAll(context.Background(), resp.Body, 100)
		resp.Close()
		if len(p) != 10 || !errors.Is(err, web.ErrAborted) || !errors.Is(err, ErrStalled) {
			t.Errorf("read %q, %v", p, err)
		}
		if took := time.Since(start); took != 35*time.Second {
			t.Errorf("cut after %v, want 35s", took)
		}
	})
}

// An outage of a whole origin must not fill the memory with what failed.
func TestWhatIsRememberedIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var s shard
		s.init(&words{})
		for i := range uint64(5 * maxRemembered) {
			s.remember(i, errCut, time.Now(), time.Second)
			s.pass(i, time.Now())
		}
		if len(s.failed) > maxRemembered || len(s.passing) > maxRemembered {
			t.Errorf("%d failures and %d passes are remembered", len(s.failed), len(s.passing))
		}
		time.Sleep(passTTL)
		s.remember(0, errCut, time.Now(), time.Second)
		s.pass(0, time.Now())
		if len(s.failed) != 1 || len(s.passing) != 1 {
			t.Errorf("%d failures and %d passes are remembered after they are over", len(s.failed), len(s.passing))
		}
	})
}

// A panic in the middle of a body cuts its followers off and nothing else.
func TestPanicInBodyCutsIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		o, _, err := c.Get(context.Background(), q("/a"), func(context.Context, *Object) (*web.Response, error) {
			return web.NewResponse(200, &drained{n: -1}, "Cache-Control", "max-age=60"), nil // its reader is nil
		})
		if err != nil {
			t.Fatal(err)
		}
		resp := o.Response(time.Now())
		o.Release()
		if _, err := web.ReadAll(context.Background(), resp.Body, 100); !errors.Is(err, errPanic) {
			t.Errorf("read %v", err)
		}
		resp.Close()
		get(t, c, q("/a"), says(200, "x", "Cache-Control", "max-age=60"), Miss, "x")
	})
}

// A node that shuts down tells those who wait, and leaves nothing behind.
func TestCloseTellsWhoWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		told := make(chan error, 1)
		u := says(200, "x")
		c.Ask(q("/a"), u.fill, func(_ *Object, _ Outcome, err error) { told <- err })
		c.Close()
		if err := <-told; !errors.Is(err, ErrClosed) {
			t.Errorf("told %v", err)
		}
		if _, _, err := c.Get(context.Background(), q("/a"), u.fill); !errors.Is(err, ErrClosed) {
			t.Errorf("asked after the end: %v", err)
		}
		u.wants(t, 1)
	})
}

// More askers than may wait are sent away with a hint when to come back.
func TestWaitersAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{MaxWaiters: 10, MaxFollowers: 10})
		u := says(200, "x", "Cache-Control", "max-age=60")
		away := 0
		for _, r := range crowd(c, 100, func(int) (Query, Fill) { return q("/a"), u.fill }) {
			if r.err == nil {
				r.o.Release()
				continue
			}
			if e, ok := errors.AsType[*web.Error](r.err); !ok || e.Status != 503 || e.RetryAfter <= 0 {
				t.Errorf("sent away with %v", r.err)
			}
			away++
		}
		if away != 90 || testutil.ToFloat64(c.metrics.rejected[tooManyWaiters]) != 90 {
			t.Errorf("%d sent away, want 90", away)
		}
		u.wants(t, 1)
	})
}

// Failures are remembered outside the budget: keys that a viewer makes as long
// as he can must not make them large, and what went wrong inside is not told.
func TestFailuresDoNotHoldLongKeys(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		key := "/" + strings.Repeat("x", 16<<10)
		for i, fill := range []Fill{
			says(503, "").fill,
			says(304, "").fill,
			func(context.Context, *Object) (*web.Response, error) { panic("secret") },
			func(ctx context.Context, _ *Object) (*web.Response, error) {
				<-ctx.Done()
				return nil, context.Cause(ctx)
			},
		} {
			_, _, err := c.Get(context.Background(), q(fmt.Sprint(key, i)), fill)
			if i > 0 && (err == nil || len(err.Error()) > 500 || strings.Contains(err.Error(), "secret")) {
				t.Errorf("%d: %.600v", i, err)
			}
		}
		for i := range c.shards {
			for _, m := range c.shards[i].failed {
				if n := len(m.err.Error()); n > 500 {
					t.Errorf("a failure of %d bytes is remembered", n)
				}
			}
		}
	})
}

// An upstream in trouble is asked once for all who wait, also where its answer is
// too large to be shared.
func TestALargeErrorIsAskedForOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{MaxObject: 10})
		u := says(503, "a page that is larger than that", "Retry-After", "7")
		one := 0
		for _, r := range crowd(c, 20, func(int) (Query, Fill) { return q("/a"), u.fill }) {
			if r.o != nil {
				read(t, r.o)
				one++
			} else if web.StatusOf(r.err) != 503 {
				t.Errorf("told %v", r.err)
			}
		}
		if one != 1 {
			t.Errorf("%d got the page", one)
		}
		u.wants(t, 1)
	})
}
