package edge

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"weir/cache"
	"weir/internal/web"
)

// brokeOff is a connection that was closed after the request was sent.
func brokeOff(context.Context, *web.Request) (*web.Response, error) {
	return nil, &web.Error{Status: 502, Reason: reasonClosed, Err: errors.New("EOF")}
}

func retried(e *Edge, result string) float64 {
	return testutil.ToFloat64(e.metrics.retries.WithLabelValues(result))
}

// An origin that restarts breaks a connection off: viewers of an edge that has
// no other origin notice nothing.
func TestAConnectionThatBrokeIsTriedOnceMore(t *testing.T) {
	f := func(name string, first func(context.Context, *web.Request) (*web.Response, error), status, asked int) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			origin := &fake{}
			origin.answer = func(ctx context.Context, req *web.Request) (*web.Response, error) {
				if origin.count() == 1 {
					return first(ctx, req)
				}
				return media(ctx, req)
			}
			e := newEdge(t, Options{}, origin)
			if g := get(t, e, "/l/s.m4s"); g.Status != status || origin.count() != asked {
				t.Errorf("%s: %d after %d requests, want %d after %d", name, g.Status, origin.count(), status, asked)
			}
		})
	}
	f("broke off", brokeOff, 200, 2)
	f("refuses connections", unreachable, 200, 2) // a moment later, for the audience that comes
	f("says nothing", silent, 504, 1)
	f("answers garbage", func(context.Context, *web.Request) (*web.Response, error) {
		return nil, &web.Error{Status: 502, Reason: reasonBad, Err: errors.New("no HTTP")}
	}, 200, 2)
	f("answers 500", answering(500, "x"), 500, 1)
	synctest.Test(t, func(t *testing.T) { // once, and not for ever
		origin := &fake{answer: brokeOff}
		if g := get(t, newEdge(t, Options{}, origin), "/l/s.m4s"); g.Status != 502 || origin.count() != 3 {
			t.Errorf("%d after %d requests", g.Status, origin.count())
		}
	})
	synctest.Test(t, func(t *testing.T) { // another origin before the same again
		first, second := &fake{answer: brokeOff}, &fake{answer: media}
		if g := get(t, newEdge(t, Options{}, first, second), "/l/s.m4s"); g.Status != 200 || first.count() != 1 || second.count() != 1 {
			t.Errorf("%d after %d and %d requests", g.Status, first.count(), second.count())
		}
	})
	synctest.Test(t, func(t *testing.T) { // what was held is not held again
		origin := &fake{answer: func(context.Context, *web.Request) (*web.Response, error) {
			time.Sleep(6 * time.Second)
			return brokeOff(context.Background(), nil)
		}}
		if g := get(t, newEdge(t, Options{}, origin), "/l/i.m3u8?_HLS_msn=9"); g.Status != 502 || origin.count() != 1 {
			t.Errorf("%d after %d requests", g.Status, origin.count())
		}
	})
}

// A sick origin is not asked everything twice: that would finish it off.
func TestRetriesThatFailAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := &fake{answer: brokeOff}
		c, err := cache.New(cache.Options{Retries: -1}) // whose tries are another matter
		if err != nil {
			t.Fatal(err)
		}
		e := newEdge(t, Options{Cache: c}, origin)
		const n = 1000
		for i := range n {
			get(t, e, fmt.Sprintf("/l/%d.m4s", i))
		}
		if more := origin.count() - n; more < retryBurst || more > retryBurst+n/10+1 {
			t.Errorf("%d retries of %d requests at once", more, n)
		}
		if retried(e, "withheld")+retried(e, "failed") != n {
			t.Errorf("%v withheld and %v failed of %d", retried(e, "withheld"), retried(e, "failed"), n)
		}
		before := origin.count()
		for i := range 100 {
			time.Sleep(time.Second)
			get(t, e, fmt.Sprintf("/m/%d.m4s", i))
		}
		if more := origin.count() - before - 100; more < 50 || more > 100 {
			t.Errorf("%d retries of 100 requests in 100 s", more)
		}
	})
}

// Nor does a fill that is made anew for an audience ask it more often than that.
func TestFillsMadeAnewAreRetriesToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := &fake{answer: brokeOff}
		e := newEdge(t, Options{}, origin)
		const n = 1000
		start := time.Now()
		for i := range n {
			if g := get(t, e, fmt.Sprintf("/l/%d.m4s", i)); g.Status != 502 {
				t.Fatal(g.Status)
			}
		}
		may := retryBurst + n/10 + int(retryRate*time.Since(start).Seconds()) + 1
		if more := origin.count() - n; more < retryBurst || more > may {
			t.Errorf("%d retries of %d requests, want at most %d", more, n, may)
		}
	})
}

// A second origin that answers takes over without a bound: what it answers
// costs no budget.
func TestAHealthyOriginTakesOverEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := &fake{answer: answering(500, "sick, and not silent")}, &fake{answer: media}
		e := newEdge(t, Options{}, first, second)
		for i := range 1000 {
			if g := get(t, e, fmt.Sprintf("/l/%d.m4s", i)); g.Status != 200 {
				t.Fatalf("request %d: %d", i, g.Status)
			}
		}
		if retried(e, "ok") != 1000 || retried(e, "withheld") != 0 {
			t.Errorf("%v ok, %v withheld", retried(e, "ok"), retried(e, "withheld"))
		}
		second.answer = answering(500, "sick too")
		before := second.count()
		for i := range 1000 {
			if g := get(t, e, fmt.Sprintf("/m/%d.m4s", i)); g.Status != 500 {
				t.Fatalf("request %d: %d", i, g.Status)
			}
		}
		if more := second.count() - before; more > retryBurst+1 {
			t.Errorf("%d requests to the second, which is sick too", more)
		}
	})
}

// That no connection was free says nothing of the origin, and asks the next.
func TestAnOriginWithoutAFreeConnectionIsNotDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := func(context.Context, *web.Request) (*web.Response, error) {
			return nil, &web.Error{Status: 503, Reason: reasonPool, Err: errors.New("as many as may")}
		}
		first, second := &fake{answer: busy}, &fake{answer: media}
		e := newEdge(t, Options{}, first, second)
		for i := range 10 {
			if g := get(t, e, fmt.Sprintf("/l/%d.m4s", i)); g.Status != 200 {
				t.Error(g.Status)
			}
		}
		if up, _ := e.OriginsUp(); up != 2 || first.count() != 10 {
			t.Errorf("%d up, asked %d times", up, first.count())
		}
		second.answer = busy
		if g := get(t, e, "/l/none.m4s"); g.Status != 503 {
			t.Errorf("%d", g.Status)
		}
		e.originFailed("o1", errHead)
		time.Sleep(firstRest)
		get(t, e, "/l/try.m4s")
		if up, _ := e.OriginsUp(); up != 1 {
			t.Error("a dead origin is taken for well because there was no connection to it")
		}
		if n := testutil.ToFloat64(e.metrics.upstream.WithLabelValues("origin", "busy")); n < 12 {
			t.Errorf("%v counted as busy", n)
		}
	})
}

// Nor does it make a peer look dead: the edge asks an origin itself.
func TestAPeerWithoutAFreeConnectionIsNotDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := &fake{answer: media}
		edges, rings := cluster(t, 2, owned("e2"), Options{}, origin)
		rings[0].peers["e2"].Handler = web.HandlerFunc(func(context.Context, *web.Request) (*web.Response, error) {
			return nil, &web.Error{Status: 503, Reason: reasonPool, Err: errors.New("as many as may")}
		})
		if g := get(t, edges[0], "/l/s.m4s"); g.Status != 200 || origin.count() != 1 || len(rings[0].failures()) != 0 {
			t.Errorf("%d, %d origin requests, marked %v", g.Status, origin.count(), rings[0].failures())
		}
		// It is asked whether it lives, and there is no connection for that.
		alive := rings[1].peers["e2"].Handler
		rings[0].peers["e2"].Handler = web.HandlerFunc(func(ctx context.Context, req *web.Request) (*web.Response, error) {
			if req.Method == "OPTIONS" {
				return nil, &web.Error{Status: 503, Reason: reasonPool, Err: errors.New("as many as may")}
			}
			return alive.Serve(ctx, req)
		})
		origin.answer = after(7 * time.Second)
		if g := get(t, edges[0], "/l/slow.m4s"); g.Status != 200 || origin.count() != 2 || len(rings[0].failures()) != 0 {
			t.Errorf("%d, %d origin requests, marked %v", g.Status, origin.count(), rings[0].failures())
		}
	})
}
