package cache

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"weir/internal/web"
)

// silent never answers, and heeds its context.
func silent(ctx context.Context, _ *Object) (*web.Response, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

// Nobody waits for longer than his time, though the fill goes on: each is told
// at his own deadline, by an event and not by a later look (row CO-08).
func TestCO08EveryWaiterHasADeadline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{FillTimeout: time.Minute, WaitTimeout: 20 * time.Second})
		start := time.Now()
		told := make(chan time.Duration, 100)
		for i := range 100 {
			query := q("/a")
			query.Wait = time.Duration(i) * time.Second // 0 and what is too long: WaitTimeout
			c.Ask(query, silent, func(_ *Object, how Outcome, err error) {
				e, ok := err.(*web.Error)
				if !ok || e.Status != 504 || e.Reason != "cache_wait" || !errors.Is(err, ErrWaited) {
					t.Errorf("%d told %v", i, err)
				}
				want := time.Duration(i) * time.Second
				if i == 0 || i > 20 {
					want = 20 * time.Second
				}
				if took := time.Since(start); took != want {
					t.Errorf("%d told after %v", i, took)
				}
				if (how == Miss) != (i == 0) {
					t.Errorf("%d told %v", i, how)
				}
				told <- time.Since(start)
			})
		}
		for range 100 {
			<-told
		}
		if s := c.Stats(); s.Waiters != 0 || s.Parked != 0 || s.InAir != 1 {
			t.Errorf("%+v", s)
		}
		if n := testutil.ToFloat64(c.metrics.overdue); n != 100 {
			t.Errorf("%v counted", n)
		}
		time.Sleep(time.Minute) // the fill is given up
	})
}

// One who waited in vain for an answer that was not for him does not begin to
// wait anew: his time is counted from when he asked.
func TestTheDeadlineIsKeptByThoseWhoAskAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{WaitTimeout: 3 * time.Second})
		n := 0
		fill := func(ctx context.Context, p *Object) (*web.Response, error) {
			if n++; n > 1 {
				return silent(ctx, p)
			}
			time.Sleep(2 * time.Second)
			return web.NewResponse(200, web.String("x"), "Cache-Control", "private"), nil
		}
		c.Ask(q("/a"), fill, func(o *Object, _ Outcome, _ error) { o.Release() })
		start := time.Now()
		_, _, err := c.Get(context.Background(), q("/a"), fill)
		if took := time.Since(start); !errors.Is(err, ErrWaited) || took != 3*time.Second {
			t.Errorf("told %v after %v", err, took)
		}
		synctest.Wait()
		if s := c.Stats(); s.InAir != 0 {
			t.Errorf("a fill for one who was told that it is too late goes on: %+v", s)
		}
	})
}

// Whose time is over gets the stale answer where upstream lets that stand in.
func TestStaleForThoseWhoseTimeIsOver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{WaitTimeout: 3 * time.Second})
		u := says(200, "x", "Cache-Control", "max-age=10, stale-if-error=60")
		get(t, c, q("/a"), u, Miss, "x")
		time.Sleep(15 * time.Second)
		start := time.Now()
		get(t, c, q("/a"), &upstream{delay: time.Hour}, Stale, "x")
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("served after %v", took)
		}
		time.Sleep(time.Minute)
	})
}

// Places are for each object, for all and by bytes; who leaves frees his at
// once, and one crowded object leaves places for others.
func TestPlacesAreBoundedAndFreedAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cost := int64(waiterBytes + len("/x"))
		c := newCache(t, Options{MaxWaiters: 12, MaxFollowers: 5, MaxParked: 20 * cost})
		leave := map[string]func(){}
		f := func(name string, why rejection, ok bool) {
			t.Helper()
			before, told := testutil.ToFloat64(c.metrics.rejected[why]), error(nil)
			leave[name] = c.Ask(q(name[:2]), silent, func(_ *Object, _ Outcome, err error) { told = err })
			after := testutil.ToFloat64(c.metrics.rejected[why])
			if ok != (told == nil) || !ok && after != before+1 {
				t.Errorf("%s: %v, %v of the kind", name, told, after-before)
			}
			if e, is := told.(*web.Error); told != nil && (!is || e.Status != 503 || e.RetryAfter <= 0) {
				t.Errorf("%s: sent away with %v", name, told)
			}
		}
		for _, i := range "12345" {
			f("/a"+string(i), 0, true)
		}
		f("/a6", tooManyFollowers, false)
		leave["/a3"]()
		f("/a7", 0, true)
		f("/a8", tooManyFollowers, false)
		for _, i := range "12345" {
			f("/b"+string(i), 0, true)
		}
		f("/c1", 0, true)
		f("/c2", 0, true)
		f("/c3", tooManyWaiters, false)
		for _, key := range []string{"/d", "/e", "/f", "/g", "/h", "/i", "/j", "/k"} {
			f(key, 0, true) // whoever asks first for an object is no crowd
		}
		f("/l", tooMuchParked, false)
		if s := c.Stats(); s.Waiters != 20 || s.Parked != 20*cost {
			t.Errorf("%d wait, with %d bytes", s.Waiters, s.Parked)
		}
		for _, gone := range leave {
			gone()
		}
		if s := c.Stats(); s.Waiters != 0 || s.Parked != 0 {
			t.Errorf("after all have left %d wait, with %d bytes", s.Waiters, s.Parked)
		}
	})
}

// Long questions cost more: the strings of who waits are held for him.
func TestParkedBytesCountWhatAQuestionHolds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		query := q("/"+string(make([]byte, 999)), "X", string(make([]byte, 5000)))
		leave := c.Ask(query, silent, func(*Object, Outcome, error) {})
		if n := c.Stats().Parked; n != waiterBytes+1000+5000+5 {
			t.Errorf("%d bytes", n)
		}
		leave()
	})
}

// Those who read a body that still arrives are followers, and no more of them
// than may be are let in; when it is whole everybody is.
func TestReadersOfAGrowingBodyAreFollowers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{MaxFollowers: 3})
		w, b := c.opts.Slab.New(0)
		var readers []*Object
		ask := func() error {
			o, _, err := c.Get(context.Background(), q("/a"), func(context.Context, *Object) (*web.Response, error) {
				return web.NewResponse(200, b, "Cache-Control", "max-age=60"), nil
			})
			if err == nil {
				readers = append(readers, o)
			}
			return err
		}
		for ask() == nil && len(readers) < 10 {
			synctest.Wait()
		}
		if len(readers) > 3 {
			t.Errorf("%d follow", len(readers))
		}
		if _, ok := c.Lookup(q("/a")); ok {
			t.Error("found although there is no place")
		}
		readers[0].Release()
		readers = readers[1:]
		if err := ask(); err != nil {
			t.Errorf("after one has left: %v", err)
		}
		_ = w.Complete()
		synctest.Wait()
		for range 5 {
			if err := ask(); err != nil {
				t.Error(err)
			}
		}
		for _, o := range readers {
			o.Release()
		}
	})
}
