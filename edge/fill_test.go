package edge

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"weir/internal/web"
)

// One origin dies and viewers notice nothing but, once, the time it took to find out.
func TestTheNextOriginIsAskedWhenOneFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := &fake{answer: unreachable}, &fake{answer: media}
		e := newEdge(t, Options{}, first, second)
		if up, all := e.OriginsUp(); up != 2 || all != 2 {
			t.Errorf("%d of %d up", up, all)
		}
		if g := get(t, e, "/1.m4s"); g.Status != 200 {
			t.Fatalf("%d", g.Status)
		}
		if up, _ := e.OriginsUp(); up != 1 {
			t.Errorf("%d up", up)
		}
		for _, path := range []string{"/2.m4s", "/3.m4s", "/4.m4s"} {
			get(t, e, path)
		}
		if first.count() != 1 || second.count() != 4 {
			t.Errorf("%d and %d requests: an origin that failed is left alone for a while", first.count(), second.count())
		}
		time.Sleep(firstRest)
		first.answer = media
		get(t, e, "/5.m4s")
		get(t, e, "/6.m4s")
		if first.count() != 3 || second.count() != 4 {
			t.Errorf("%d and %d requests after it came back", first.count(), second.count())
		}
		if up, _ := e.OriginsUp(); up != 2 {
			t.Errorf("%d up", up)
		}
	})
}

func TestAnOriginThatStaysDeadIsTriedLessAndLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := &fake{answer: func(ctx context.Context, req *web.Request) (*web.Response, error) {
			time.Sleep(300 * time.Millisecond) // no answer to its SYN
			return unreachable(ctx, req)
		}}, &fake{answer: media}
		e := newEdge(t, Options{}, first, second)
		start := time.Now()
		for i := 0; time.Since(start) < time.Minute; i++ {
			crowd(e, 5, func(n int) *web.Request {
				return request("GET", "/"+strings.Repeat("x", n)+time.Since(start).String()+".m4s")
			})
			time.Sleep(100 * time.Millisecond)
		}
		if n := first.count(); n > 5+7 { // the first 5 at once; then after 1, 2, 4, 8, 16, 16 s
			t.Errorf("asked %d times in a minute", n)
		}
	})
}

func TestWhichAnswersOfAnOriginAreFinal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := func(first func(context.Context, *web.Request) (*web.Response, error), want, asked, up int) {
			t.Helper()
			second := &fake{answer: media}
			e := newEdge(t, Options{Hedge: HedgeOff}, &fake{answer: first}, second)
			g := get(t, e, "/a.m4s")
			if n, _ := e.OriginsUp(); g.Status != want || second.count() != asked || n != up {
				t.Errorf("%d, the second asked %d times, %d up; want %d, %d, %d", g.Status, second.count(), n, want, asked, up)
			}
		}
		f(answering(404, "no"), 404, 0, 2)
		f(answering(410, "gone"), 410, 0, 2)
		f(answering(403, "no"), 403, 0, 2)
		f(answering(301, "", "Location", "/b"), 301, 0, 2)
		f(answering(500, "x"), 200, 1, 2)
		f(answering(503, "x"), 200, 1, 2)
		f(answering(502, "x"), 200, 1, 1)
		f(answering(504, "x"), 200, 1, 1)
		f(unreachable, 200, 1, 1)
		f(silent, 200, 1, 1)
		f(func(context.Context, *web.Request) (*web.Response, error) { return nil, web.Errorf(404, "no") }, 404, 0, 2)
		f(func(context.Context, *web.Request) (*web.Response, error) { return nil, web.Errorf(503, "busy") }, 200, 1, 2)
		f(func(context.Context, *web.Request) (*web.Response, error) { return nil, errors.New("bug") }, 200, 1, 1)
	})
}

// An origin that is well and has no answer is not made up for by one that is
// known to be dead: that would cost the viewer a timeout.
func TestADeadOriginIsOnlyAskedForWantOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := &fake{answer: silent}, &fake{answer: answering(503, "x")}
		e := newEdge(t, Options{}, first, second)
		get(t, e, "/1.m4s")
		e.origins.failed("o1", time.Now())
		start := time.Now()
		if g := get(t, e, "/2.m4s"); g.Status != 503 || time.Since(start) > time.Second || first.count() != 1 {
			t.Errorf("%d after %v, the dead one asked %d times", g.Status, time.Since(start), first.count())
		}
		second.answer = unreachable
		first.answer = media
		if g := get(t, e, "/3.m4s"); g.Status != 200 {
			t.Errorf("%d although an origin came back", g.Status)
		}
	})
}

func TestWhenAllOriginsFailTheViewerLearnsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := func(want int, text string, answers ...func(context.Context, *web.Request) (*web.Response, error)) {
			t.Helper()
			var origins []web.Handler
			for _, a := range answers {
				origins = append(origins, &fake{answer: a})
			}
			g := get(t, newEdge(t, Options{}, origins...), "/a.m4s")
			if g.Status != want || !strings.Contains(g.text, text) || g.Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("%d %q, want %d %s", g.Status, g.text, want, text)
			}
			if strings.Contains(g.text, "10.0.0.7") {
				t.Errorf("the answer names a machine behind the edge: %q", g.text)
			}
		}
		f(502, reasonNoOrigin)
		f(502, reasonUnreachable, unreachable)
		f(502, reasonUnreachable, func(context.Context, *web.Request) (*web.Response, error) { return nil, errors.New("dial 10.0.0.7") })
		f(504, reasonTimeout, silent, silent)
		f(503, "sorry", answering(503, "sorry"), unreachable)
		f(503, "sorry", unreachable, answering(503, "sorry"))
	})
}

// A playlist request that the origin holds back is not taken for one that hangs.
func TestBlockingRequestsMayTakeTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(ctx context.Context, req *web.Request) (*web.Response, error) {
			select {
			case <-time.After(18 * time.Second):
				return media(ctx, req)
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}
		origin := &fake{answer: slow}
		edges, _ := cluster(t, 2, owned("e2"), Options{}, origin)
		if g := get(t, edges[0], "/l/i.m3u8?_HLS_msn=9"); g.Status != 200 || origin.count() != 1 {
			t.Errorf("%d with %d requests", g.Status, origin.count())
		}
		start := time.Now()
		if g := get(t, edges[0], "/l/i.m3u8"); g.Status != 504 {
			t.Errorf("a plain request: %d", g.Status)
		}
		if d := time.Since(start); d > 13*time.Second {
			t.Errorf("which took %v", d)
		}
	})
}

// What an origin says after it held a request counts: another one would hold
// it for as long, and the viewer would be gone.
func TestAHeldRequestIsNotHeldTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stalled := func(context.Context, *web.Request) (*web.Response, error) {
			time.Sleep(6 * time.Second)
			return nil, web.Errorf(503, "the stream stalls")
		}
		first, second := &fake{answer: stalled}, &fake{answer: stalled}
		e := newEdge(t, Options{}, first, second)
		if g := get(t, e, "/l/i.m3u8?_HLS_msn=9"); g.Status != 503 || second.count() != 0 {
			t.Errorf("%d, the second origin asked %d times", g.Status, second.count())
		}
	})
}

func TestAStaleAnswerIsValidated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := &fake{answer: answering(200, "x", "ETag", `"1"`, "Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT", "Cache-Control", "max-age=1")}
		e := newEdge(t, Options{}, origin)
		get(t, e, "/a")
		time.Sleep(2 * time.Second)
		origin.answer = answering(304, "", "ETag", `"1"`)
		if g := get(t, e, "/a"); g.Status != 200 || g.text != "x" {
			t.Errorf("%d %q", g.Status, g.text)
		}
		if h := origin.last().Header; h.Get("If-None-Match") != `"1"` || h.Get("If-Modified-Since") != "Sun, 06 Nov 1994 08:49:37 GMT" {
			t.Errorf("%v", h)
		}
	})
}

func TestUpstreamCookiesReachNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t, Options{}, &fake{answer: answering(200, "x", "Set-Cookie", "session=1", "Cache-Control", "max-age=9")})
		for range 2 {
			if g := get(t, e, "/a"); flat(g).Has("Set-Cookie") {
				t.Error("one viewer's cookie for another")
			}
		}
	})
}

func TestARequestThatWasHereBeforeIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := &fake{answer: media}
		e := newEdge(t, Options{Node: "e1"}, origin)
		f := func(field string, want int, sent string) {
			t.Helper()
			g := get(t, e, "/"+strings.Map(func(r rune) rune {
				if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
					return r
				}
				return '_'
			}, field)+".m4s", "CDN-Loop", field)
			if g.Status != want || want == 200 && origin.last().Header.Joined("CDN-Loop") != sent {
				t.Errorf("%q: %d, sent on %q", field, g.Status, origin.last().Header.Joined("CDN-Loop"))
			}
		}
		f("", 200, "weir; node=e1")
		f("othercdn", 200, "othercdn, weir; node=e1")
		f("weir; node=e2", 200, "weir; node=e2, weir; node=e1")
		f("weir", 200, "weir, weir; node=e1")
		f("other; node=e1", 200, "other; node=e1, weir; node=e1")
		f("weir; node=e1", 508, "")
		f("a, WEIR;x=y ; Node=\"e1\" , b", 508, "")
		// An edge whose origin is itself finds out at once.
		var self *Edge
		self = newEdge(t, Options{Node: "e9"}, web.HandlerFunc(func(ctx context.Context, req *web.Request) (*web.Response, error) { return self.Serve(ctx, req) }))
		if g := get(t, self, "/a.m4s"); g.Status != 508 {
			t.Errorf("%d", g.Status)
		}
	})
}

// Anybody can say by CDN-Loop where his request has been. A lie must not fail
// the fill that others wait for, nor make a peer look dead.
func TestAForgedLoopHurtsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := &fake{}
		origin.answer = func(ctx context.Context, req *web.Request) (*web.Response, error) {
			if (loop{"weir", "shield"}).passed(req.Header.Joined("CDN-Loop")) {
				return nil, errLoop
			}
			return media(ctx, req)
		}
		edges, rings := cluster(t, 2, owned("e2"), Options{}, origin)
		for i, e := range edges {
			for j, forged := range []string{"weir; node=shield", "weir; node=e" + string(rune('2'-i)), strings.Repeat("x, ", 1000)} {
				path := "/" + string(rune('a'+i)) + string(rune('a'+j)) + ".m4s"
				if g := get(t, e, path, "CDN-Loop", forged); g.Status != 200 {
					t.Errorf("edge %d, %.20s: %d %q", i+1, forged, g.Status, g.text)
				}
			}
		}
		if f := rings[0].failures(); len(f) != 0 {
			t.Errorf("a viewer made peers look dead: %v", f)
		}
		if len(origin.last().Header.Joined("CDN-Loop")) > maxLoop+100 {
			t.Error("a viewer's CDN-Loop of any length is sent on")
		}
	})
}

func TestWhatWasAskedIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, sign := signer(t)
		e := newEdge(t, Options{Tokens: src}, &fake{answer: unreachable}, &fake{answer: media})
		tok := "/t/" + sign(time.Hour, "/l")
		get(t, e, tok+"/l/a.m4s")
		get(t, e, tok+"/l/a.m4s")
		get(t, e, "/l/a.m4s")
		ask(t, e, request("OPTIONS", "/l/a.m4s"))
		f := func(want float64, name string, labels ...string) {
			t.Helper()
			var got float64
			switch name {
			case "upstream":
				got = testutil.ToFloat64(e.metrics.upstream.WithLabelValues(labels...))
			case "failovers":
				got = testutil.ToFloat64(e.metrics.failovers.WithLabelValues(labels...))
			case "refused":
				got = testutil.ToFloat64(e.metrics.refused.WithLabelValues(labels...))
			}
			if got != want {
				t.Errorf("%s%v is %v, want %v", name, labels, got, want)
			}
		}
		f(1, "upstream", "origin", "error")
		f(1, "upstream", "origin", "2xx")
		f(1, "failovers", "origin")
		f(1, "refused", "token_missing")
		for _, c := range []struct {
			k, o, c int
		}{{0, int(preflight), 1}, {2, 0, 1}, {2, 3, 1}, {2, int(refused), 3}} {
			if n := testutil.ToFloat64(e.metrics.requests[c.k][c.o][c.c]); n != 1 {
				t.Errorf("kind %d outcome %v class %s: %v", c.k, outcome(c.o), codeClasses[c.c], n)
			}
		}
	})
}

// broken is a body that ends after some bytes without being at its end.
type broken struct {
	web.Body
	after int
}

func (b *broken) View(off int64) ([]byte, web.State) {
	if off >= int64(b.after) {
		return nil, web.Aborted
	}
	p, _ := b.Body.View(off)
	return p[:int64(b.after)-off], web.Aborted
}

func (b *broken) Drain(_ context.Context, w io.Writer) (int64, error) {
	p, _ := b.View(0)
	n, err := w.Write(p)
	if err == nil {
		err = errors.New("connection reset")
	}
	return int64(n), err
}
