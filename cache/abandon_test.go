package cache

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"weir/internal/spool"
	"weir/internal/web"
)

func TestWhatGoesOnWhenAllHaveLeft(t *testing.T) {
	f := func(class Class, kept bool, got, size int64, want bool) {
		t.Helper()
		if goesOn(class, kept, got, size) != want {
			t.Errorf("%v, kept %v, %d of %d: goes on is %v", class, kept, got, size, !want)
		}
	}
	const m = 1 << 20
	for _, live := range []Class{Playlist, Segment, Init} {
		f(live, true, 0, -1, true)
		f(live, true, 0, 60*m, true)
		f(live, true, 59*m, 60*m, true)
		f(live, false, 59*m, 60*m, false)
	}
	f(Other, true, 0, m, true)
	f(Other, true, 0, m+1, false)
	f(Other, true, 10*m, 60*m, false)
	f(Other, true, 30*m-1, 60*m, false)
	f(Other, true, 30*m, 60*m, true)
	f(Other, true, 59*m, 60*m, true)
	f(Other, true, 0, -1, true)
	f(Other, true, 5*m, -1, true)
	f(Other, false, 0, -1, false)
	f(Other, false, 60*m, 60*m, false)
}

// slowly is an upstream that sends size bytes, a tenth of them each second.
type slowly struct {
	fills int
	ended context.Context // the last fill's
	slab  *spool.Slab
}

func (u *slowly) fill(size int, header ...string) Fill {
	return func(ctx context.Context, _ *Object) (*web.Response, error) {
		u.fills++
		u.ended = ctx
		w, b := u.slab.New(0)
		w.SetLen(int64(size))
		go func() {
			for range 10 {
				select {
				case <-time.After(time.Second):
				case <-ctx.Done():
					w.Abort(context.Cause(ctx))
					return
				}
				_, _ = w.Write(make([]byte, size/10))
			}
			_ = w.Complete()
		}()
		return web.NewResponse(200, b, header...), nil
	}
}

// All players of a large download give up: upstream is not made to send the
// rest for nobody. At the live edge it is: the next viewer is a moment away.
func TestAFillThatNobodyWantsEndsByRule(t *testing.T) {
	f := func(name string, class Class, size int, at time.Duration, ends bool, header ...string) {
		t.Helper()
		bubble(t, func(t *testing.T) {
			c := newCache(t, Options{})
			u := &slowly{slab: c.opts.Slab}
			fill := u.fill(size, header...)
			query := q("/a")
			query.Class = class
			var all []*web.Response
			for range 5 {
				o, _, err := c.Get(context.Background(), query, fill)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, o.Response(time.Now()))
				o.Release()
				synctest.Wait()
			}
			time.Sleep(at)
			for _, resp := range all[1:] {
				resp.Close()
			}
			synctest.Wait()
			if n := c.Stats().InAir; n == 0 {
				t.Errorf("%s: the fill ended while somebody still reads", name)
			}
			all[0].Close()
			synctest.Wait()
			if ended := c.Stats().InAir == 0; ended != ends {
				t.Errorf("%s: ended is %v", name, ended)
			}
			if got := testutil.ToFloat64(c.metrics.abandoned); (got == 1) != ends {
				t.Errorf("%s: %v counted", name, got)
			}
			if ends && testutil.ToFloat64(c.metrics.fillFails.WithLabelValues("cut")) != 0 {
				t.Errorf("%s: counted as a failure of upstream", name)
			}
			n := u.fills
			o, _, err := c.Get(context.Background(), query, fill)
			if err != nil {
				t.Fatalf("%s: the next one got %v", name, err)
			}
			if n := len(read(t, o)); n != size {
				t.Errorf("%s: the next one read %d bytes", name, n)
			}
			if again := u.fills > n; again != ends {
				t.Errorf("%s: asked again is %v", name, again)
			}
		})
	}
	const m = 1_000_000
	f("large, hardly begun", Other, 20*m, 2500*time.Millisecond, true, "Cache-Control", "max-age=600")
	f("large, most is here", Other, 20*m, 7500*time.Millisecond, false, "Cache-Control", "max-age=600")
	f("small", Other, m, 500*time.Millisecond, false, "Cache-Control", "max-age=600")
	f("segment", Segment, 20*m, 500*time.Millisecond, false, "Cache-Control", "max-age=600")
}

// What cannot be kept is of no use to anybody once those who asked have left.
func TestAFillThatCannotBeKeptEndsWithItsLastReader(t *testing.T) {
	f := func(want Outcome, header ...string) {
		t.Helper()
		bubble(t, func(t *testing.T) {
			c := newCache(t, Options{})
			u := &slowly{slab: c.opts.Slab}
			o, how, err := c.Get(context.Background(), q("/a"), u.fill(1000, header...))
			if err != nil || how != want {
				t.Fatal(how, err)
			}
			time.Sleep(1500 * time.Millisecond)
			if u.ended.Err() != nil {
				t.Error("ended while it is read")
			}
			o.Release()
			synctest.Wait()
			if u.ended.Err() == nil || c.Stats().InAir != 0 {
				t.Errorf("%v: goes on for nobody: %+v", want, c.Stats())
			}
		})
	}
	f(Miss, "Cache-Control", "max-age=0")
	f(Pass, "Cache-Control", "no-store")
}

// Everybody left before the head was there: when it comes it is seen that this
// is a large file, and it is not fetched for nobody.
func TestAllLeftBeforeTheHeadOfALargeFile(t *testing.T) {
	f := func(class Class, ends bool) {
		t.Helper()
		bubble(t, func(t *testing.T) {
			c := newCache(t, Options{})
			u := &slowly{slab: c.opts.Slab}
			body := u.fill(20<<20, "Cache-Control", "max-age=600")
			query := q("/a")
			query.Class = class
			leave := c.Ask(query, func(ctx context.Context, p *Object) (*web.Response, error) {
				time.Sleep(time.Second)
				return body(ctx, p)
			}, func(*Object, Outcome, error) { t.Error("called") })
			synctest.Wait()
			leave()
			if c.Stats().InAir != 1 {
				t.Error("given up before anything is known of it")
			}
			time.Sleep(1500 * time.Millisecond)
			if ended := c.Stats().InAir == 0; ended != ends {
				t.Errorf("%v: ended is %v", class, ended)
			}
			time.Sleep(time.Minute)
		})
	}
	f(Other, true)
	f(Segment, false)
}

// A refresh that belongs to nobody is not ended by those who look on.
func TestABackgroundRefreshIsNobodys(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		query := q("/a")
		query.Class = Other
		const cc = "max-age=2, stale-while-revalidate=600"
		get(t, c, query, says(200, "old", "Cache-Control", cc), Miss, "old")
		time.Sleep(3 * time.Second)
		u := &slowly{slab: c.opts.Slab}
		ctx, gone := context.WithCancel(context.Background())
		o, how, err := c.Get(ctx, query, u.fill(20<<20, "Cache-Control", "max-age=600"))
		if err != nil || how != Stale {
			t.Fatal(how, err)
		}
		o.Release()
		gone()
		time.Sleep(1500 * time.Millisecond)
		if o, ok := c.Lookup(query); !ok { // one who looks at the new one, and leaves
			t.Error("not found")
		} else {
			o.Release()
		}
		time.Sleep(20 * time.Second)
		if o, ok := c.Lookup(query); !ok || o.Filling() || o.body.Len() != 20<<20 {
			t.Error("the refresh did not come in")
		} else {
			o.Release()
		}
		if u.fills != 1 {
			t.Errorf("%d fills", u.fills)
		}
	})
}

// One who asks for himself alone and leaves takes his fill with him.
func TestAPassedFillEndsWithItsAsker(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCache(t, Options{})
		get(t, c, q("/a"), says(200, "x", "Cache-Control", "no-store"), Pass, "x")
		var fill context.Context
		leave := c.Ask(q("/a"), func(ctx context.Context, p *Object) (*web.Response, error) {
			fill = ctx
			return silent(ctx, p)
		}, func(*Object, Outcome, error) { t.Error("called") })
		synctest.Wait()
		leave()
		synctest.Wait()
		if fill.Err() == nil || c.Stats().InAir != 0 {
			t.Error("goes on for nobody")
		}
	})
}

// Whoever is given an answer at the very moment at which the last of its readers
// leaves is not cut off for it: either he finds it and it goes on, or he does not
// and it begins anew.
func TestNobodyIsGivenWhatIsBeingAbandoned(t *testing.T) {
	c := newCache(t, Options{})
	query := q("/a")
	query.Class = Other
	const size = 5 << 18
	fill := func(ctx context.Context, _ *Object) (*web.Response, error) {
		w, b := c.opts.Slab.New(0)
		w.SetLen(size)
		go func() {
			for range size / (32 << 10) {
				if ctx.Err() != nil {
					w.Abort(context.Cause(ctx))
					return
				}
				_, _ = w.Write(make([]byte, 32<<10))
				runtime.Gosched()
			}
			_ = w.Complete()
		}()
		return web.NewResponse(200, b, "Cache-Control", "max-age=600"), nil
	}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 100 {
				o, ok := c.Lookup(query)
				if !ok {
					var err error
					if o, _, err = c.Get(context.Background(), query, fill); err != nil {
						t.Error(err)
						return
					}
				}
				resp := o.Response(time.Now())
				o.Release()
				if (i+n)%8 == 0 { // few read on
					if p, err := web.ReadAll(context.Background(), resp.Body, 1<<30); len(p) != size || err != nil {
						t.Errorf("read %d bytes: %v", len(p), err)
					}
					c.Evict(query.Key)
				}
				resp.Close()
			}
		})
	}
	all.Wait()
	if testutil.ToFloat64(c.metrics.abandoned) == 0 {
		t.Error("nothing was abandoned")
	}
}
