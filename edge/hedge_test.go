package edge

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"weir/internal/web"
)

// after answers like media, but so much later.
func after(d time.Duration) func(context.Context, *web.Request) (*web.Response, error) {
	return func(ctx context.Context, req *web.Request) (*web.Response, error) {
		select {
		case <-time.After(d):
			return media(ctx, req)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func hedged(e *Edge, result string) float64 {
	return testutil.ToFloat64(e.metrics.hedges.WithLabelValues(result))
}

// warm makes an edge know how long its first origin takes.
func warm(t *testing.T, e *Edge, n int) {
	t.Helper()
	for i := range n {
		if g := get(t, e, fmt.Sprintf("/warm/%d.m4s", i)); g.Status != 200 {
			t.Fatal(g.Status)
		}
	}
}

// While the first origin does as it always does, the second hears nothing:
// hedging costs no origin a request.
func TestHedgingCostsNothingWhileAllIsWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		first, second := &fake{answer: func(ctx context.Context, req *web.Request) (*web.Response, error) {
			n++
			return after(time.Duration(20+n%50)*time.Millisecond)(ctx, req)
		}}, &fake{answer: media}
		e := newEdge(t, Options{}, first, second)
		warm(t, e, 1000)
		if first.count() != 1000 || second.count() != 0 {
			t.Errorf("%d and %d requests for 1000 objects", first.count(), second.count())
		}
	})
}

// An origin that hiccups costs its viewers a moment, not its timeout.
func TestALateHeadIsAskedOfTheNextOriginAsWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := &fake{answer: after(50 * time.Millisecond)}, &fake{answer: after(30 * time.Millisecond)}
		e := newEdge(t, Options{}, first, second)
		warm(t, e, 100)
		cancelled := make(chan error, 1)
		first.answer = func(ctx context.Context, _ *web.Request) (*web.Response, error) {
			<-ctx.Done()
			cancelled <- context.Cause(ctx)
			return nil, context.Cause(ctx)
		}
		start := time.Now()
		g := get(t, e, "/l/late.m4s")
		if took := time.Since(start); g.Status != 200 || g.text != "bytes of /l/late.m4s" || g.err != nil || took > 200*time.Millisecond || took < hedgeFloor {
			t.Errorf("%d %q %v after %v", g.Status, g.text, g.err, took)
		}
		if second.count() != 1 || hedged(e, "won") != 1 {
			t.Errorf("the second was asked %d times, %v won", second.count(), hedged(e, "won"))
		}
		if err := <-cancelled; err != errHedged {
			t.Errorf("the first was not called off: %v", err)
		}
		if up, _ := e.OriginsUp(); up != 2 {
			t.Error("one late head makes an origin one that fails")
		}
		if n := testutil.ToFloat64(e.metrics.upstream.WithLabelValues("origin", "cancelled")); n != 1 {
			t.Errorf("%v counted as called off", n)
		}
	})
}

func TestTheFirstGoodHeadWins(t *testing.T) {
	f := func(name string, first, second func(context.Context, *web.Request) (*web.Response, error), status int, text string, took time.Duration, result string) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			a, b := &fake{answer: first}, &fake{answer: second}
			e := newEdge(t, Options{Hedge: 200 * time.Millisecond}, a, b)
			start := time.Now()
			g := get(t, e, "/l/s.m4s")
			if g.Status != status || g.text != text || g.err != nil || time.Since(start) != took {
				t.Errorf("%s: %d %q %v after %v; want %d %q after %v", name, g.Status, g.text, g.err, time.Since(start), status, text, took)
			}
			time.Sleep(time.Minute)
			if b.count() != 1 || a.count() != 1 || hedged(e, result) != 1 {
				t.Errorf("%s: asked %d and %d times, %v %s", name, a.count(), b.count(), hedged(e, result), result)
			}
		})
	}
	const ms = time.Millisecond
	then := func(d time.Duration, h func(context.Context, *web.Request) (*web.Response, error)) func(context.Context, *web.Request) (*web.Response, error) {
		return func(ctx context.Context, req *web.Request) (*web.Response, error) {
			select {
			case <-time.After(d):
				return h(ctx, req)
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}
	}
	deaf := func(context.Context, *web.Request) (*web.Response, error) { // does not hear that it is called off
		time.Sleep(260 * ms)
		return answering(200, "too late")(nil, nil)
	}
	f("the second is faster", after(500*ms), then(100*ms, answering(200, "b")), 200, "b", 300*ms, "won")
	f("the first comes after all", then(250*ms, answering(200, "a")), after(time.Second), 200, "a", 250*ms, "lost")
	f("a 404 is an answer", after(time.Hour), answering(404, "no"), 404, "no", 200*ms, "won")
	f("the second fails, the first comes", then(500*ms, answering(200, "a")), unreachable, 200, "a", 500*ms, "failed")
	f("the second says 500, the first comes", then(500*ms, answering(200, "a")), answering(500, "x"), 200, "a", 500*ms, "failed")
	f("the first fails, the second comes", then(300*ms, unreachable), then(400*ms, answering(200, "b")), 200, "b", 600*ms, "won")
	f("the first says 503, the second comes", then(300*ms, answering(503, "x")), then(400*ms, answering(200, "b")), 200, "b", 600*ms, "won")
	f("both fail, one with an answer", then(300*ms, answering(503, "sorry")), then(400*ms, unreachable), 503, "sorry", 600*ms, "failed")
	f("both fail, the other with an answer", then(300*ms, unreachable), then(400*ms, answering(503, "sorry")), 503, "sorry", 600*ms, "failed")
	f("one that does not hear", deaf, answering(200, "b"), 200, "b", 260*ms, "won")
}

// Two heads at the same moment are one answer, and the other is closed.
func TestHeadsThatComeTogetherAreOneAnswer(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			e := newEdge(t, Options{Hedge: 200 * time.Millisecond}, &fake{answer: after(300 * time.Millisecond)}, &fake{answer: after(100 * time.Millisecond)})
			if g := get(t, e, "/l/s.m4s"); g.Status != 200 || g.text != "bytes of /l/s.m4s" || g.err != nil {
				t.Errorf("%d %q %v", g.Status, g.text, g.err)
			}
			synctest.Wait()
			if n := hedged(e, "won") + hedged(e, "lost"); n != 1 {
				t.Errorf("%v races ended", n)
			}
		})
	}
}

// Hedges are few, whatever the origin does: more of them would be one more load
// just when it is slow.
func TestHedgesAreAFewPercentAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := &fake{answer: after(300 * time.Millisecond)}, &fake{answer: after(300 * time.Millisecond)}
		e := newEdge(t, Options{Hedge: 200 * time.Millisecond}, first, second)
		warm(t, e, 1000) // every one is late
		if n := second.count(); n < hedgeBurst || n > hedgeBurst+1000*2/100+1 {
			t.Errorf("%d hedges of 1000 requests", n)
		}
		if hedged(e, "lost") != float64(second.count()) || hedged(e, "withheld")+hedged(e, "lost") != 1000 {
			t.Errorf("%v lost, %v withheld of %d", hedged(e, "lost"), hedged(e, "withheld"), second.count())
		}
	})
}

// A silent origin must not hide behind those that are asked beside it: when
// the budget for that is spent, viewers would wait for its timeout.
func TestAnOriginThatLosesAllRacesCountsAsFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := &fake{answer: silent}, &fake{answer: after(20 * time.Millisecond)}
		e := newEdge(t, Options{}, first, second)
		for i := range 100 {
			start := time.Now()
			g := get(t, e, fmt.Sprintf("/l/%d.m4s", i))
			if took := time.Since(start); g.Status != 200 || took > hedgeUnknown+20*time.Millisecond {
				t.Errorf("request %d: %d after %v", i, g.Status, took)
			}
		}
		if up, _ := e.OriginsUp(); up != 1 || first.count() > hedgesLost+5 {
			t.Errorf("%d up, the silent one asked %d times", up, first.count())
		}
		first.answer = after(20 * time.Millisecond)
		time.Sleep(longestRest)
		get(t, e, "/l/again.m4s")
		if up, _ := e.OriginsUp(); up != 2 {
			t.Error("it does not come back")
		}
	})
}

// Nobody is asked twice where an origin is meant to take its time, where there
// is no second origin, or where the operator does not want it.
func TestWhatIsNotHedged(t *testing.T) {
	f := func(name, target string, o Options, hedges int, more ...web.Handler) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			second := &fake{answer: media}
			origins := []web.Handler{&fake{answer: after(5 * time.Second)}}
			if len(more) == 0 {
				origins = append(origins, second)
			}
			get(t, newEdge(t, o, origins...), target)
			if second.count() != hedges {
				t.Errorf("%s: %d hedges, want %d", name, second.count(), hedges)
			}
		})
	}
	f("a segment", "/l/s.m4s", Options{}, 1)
	f("a playlist", "/l/i.m3u8", Options{}, 1)
	f("an init segment", "/l/init.mp4", Options{}, 1)
	f("a playlist that is held", "/l/i.m3u8?_HLS_msn=7", Options{}, 0)
	f("a download", "/l/film.zip", Options{}, 0)
	f("switched off", "/l/s.m4s", Options{Hedge: HedgeOff}, 0)
	f("one origin", "/l/s.m4s", Options{}, 0, web.HandlerFunc(nil))
	synctest.Test(t, func(t *testing.T) { // a second origin that failed is none
		second := &fake{answer: media}
		e := newEdge(t, Options{}, &fake{answer: after(900 * time.Millisecond)}, second)
		e.origins.failed("o2", time.Now())
		get(t, e, "/l/s.m4s")
		if second.count() != 0 {
			t.Error("an origin that rests is asked for a hedge")
		}
	})
}

// Through a cluster: that the owner of a key is late makes nobody else ask an
// origin, and the owner hedges for all.
func TestALateOriginIsHedgedByTheOwnerAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := &fake{answer: after(4 * time.Second)}, &fake{answer: media}
		edges, _ := cluster(t, 3, owned("e2"), Options{}, first, second)
		start := time.Now()
		for _, g := range crowd(web.HandlerFunc(func(ctx context.Context, req *web.Request) (*web.Response, error) {
			return edges[int(req.Remote.Port())%3].Serve(ctx, req)
		}), 300, func(i int) *web.Request {
			req := request("GET", "/l/s.m4s")
			req.Remote = netipPort(i)
			return req
		}) {
			if g.Status != 200 {
				t.Fatal(g.Status)
			}
		}
		if first.count() != 1 || second.count() != 1 || time.Since(start) > 1100*time.Millisecond {
			t.Errorf("%d and %d requests, %v", first.count(), second.count(), time.Since(start))
		}
	})
}

// Whoever gives up takes both exchanges with him.
func TestAFlightThatEndsEndsBothSides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := &fake{answer: silent}, &fake{answer: silent}
		e := newEdge(t, Options{Hedge: 100 * time.Millisecond, OriginTimeout: 2 * time.Second}, first, second)
		start := time.Now()
		if g := get(t, e, "/l/s.m4s"); g.Status != 504 || time.Since(start) != 2100*time.Millisecond {
			t.Errorf("%d after %v", g.Status, time.Since(start))
		}
		if up, _ := e.OriginsUp(); up != 0 {
			t.Errorf("%d up", up)
		}
	})
}
