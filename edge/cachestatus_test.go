package edge

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/web"
)

// Support reads in it how an answer came about, and where (CA-34).
func TestCacheStatusTellsHowAnAnswerCameAbout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := &fake{}
		e := newEdge(t, Options{Node: "e1"}, origin)
		f := func(want, target string) {
			t.Helper()
			if g := get(t, e, target); g.Get("Cache-Status") != want {
				t.Errorf("%s: %q, want %q", target, g.Get("Cache-Status"), want)
			}
		}
		origin.answer = answering(200, "x", "Cache-Control", "max-age=10, stale-while-revalidate=5", "ETag", `"1"`)
		f("e1; fwd=uri-miss; stored; ttl=10; detail=origin", "/a")
		f("e1; hit; ttl=10", "/a")
		time.Sleep(3 * time.Second)
		f("e1; hit; ttl=7", "/a")
		time.Sleep(9 * time.Second)
		origin.answer = answering(304, "", "Cache-Control", "max-age=10, stale-while-revalidate=5", "ETag", `"1"`)
		f("e1; hit; ttl=-2", "/a")
		synctest.Wait()
		f("e1; hit; ttl=10", "/a")
		time.Sleep(16 * time.Second)
		f("e1; fwd=stale; fwd-status=304; stored; ttl=10; detail=origin", "/a")
		origin.answer = answering(200, "x", "Cache-Control", "private")
		f("e1; fwd=uri-miss; detail=origin", "/b")
		origin.answer = answering(200, "x", "Cache-Control", "max-age=100000", "Cache-Status", `"shield"; hit; ttl=3`, "Cache-Status", "mid; fwd=miss")
		f(`"shield"; hit; ttl=3, mid; fwd=miss, e1; fwd=uri-miss; stored; ttl=100000; detail=origin`, "/c")
		f(`"shield"; hit; ttl=3, mid; fwd=miss, e1; hit; ttl=100000`, "/c")
		origin.answer = func(ctx context.Context, req *web.Request) (*web.Response, error) {
			time.Sleep(time.Second)
			return web.NewResponse(200, web.String("x"), "Cache-Control", "max-age=1"), nil
		}
		collapsed := 0
		for _, g := range crowd(e, 3, func(int) *web.Request { return request("GET", "/d") }) {
			if g.Get("Cache-Status") == "e1; fwd=uri-miss; collapsed" {
				collapsed++
			}
		}
		if collapsed != 2 {
			t.Errorf("%d of 3 collapsed, want 2", collapsed)
		}
	})
}

func TestCacheStatusCanBeHidden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t, Options{HideCacheStatus: true}, &fake{answer: media})
		if g := get(t, e, "/a.m4s"); flat(g).Has("Cache-Status") {
			t.Errorf("%v", g.Flatten())
		}
	})
}

func TestANodeNamedByADigitIsQuoted(t *testing.T) {
	s := newCacheStatus("1a", false)
	if got := s.hit(3); got != `"1a"; hit; ttl=3` {
		t.Error(got)
	}
}
