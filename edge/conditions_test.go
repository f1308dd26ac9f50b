package edge

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/web"
)

// An origin is asked with the tags of all codings of a playlist that are kept,
// and its 304 renews the one that it names (row CA-15; RFC 9111 section 4.3.1).
func TestCA15TheOriginIsAskedWithTheTagsOfAllVariants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := &fake{answer: func(_ context.Context, req *web.Request) (*web.Response, error) {
			tag, text := `"plain"`, "#EXTM3U"
			if web.AcceptsGzip(&req.Header) {
				tag, text = `"zipped"`, "zzz"
			}
			h := []string{"ETag", tag, "Vary", "Accept-Encoding", "Cache-Control", "max-age=2"}
			if web.MatchETag(req.Header.Joined("If-None-Match"), tag) {
				return web.NewResponse(304, nil, h...), nil
			}
			return web.NewResponse(200, web.String(text), h...), nil
		}}
		e := newEdge(t, Options{}, origin)
		f := func(coding, text, asked string) {
			t.Helper()
			if g := get(t, e, "/l/i.m3u8", "Accept-Encoding", coding); g.Status != 200 || g.text != text {
				t.Errorf("%s: %d %q", coding, g.Status, g.text)
			}
			if got := origin.last().Header.Joined("If-None-Match"); got != asked {
				t.Errorf("%s: asked with %q, want %q", coding, got, asked)
			}
		}
		f("gzip", "zzz", "")
		time.Sleep(time.Second)
		f("identity", "#EXTM3U", `"zipped"`)
		time.Sleep(time.Minute)
		f("identity", "#EXTM3U", `"plain", "zipped"`)
		f("gzip", "zzz", `"zipped", "plain"`)
	})
}

// A moment's trouble on the way to the origin costs a viewer a moment, and the
// origin one more request for all who wait (row CO-07).
func TestCO07AMomentsTroubleIsHiddenFromAllWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		origin := &fake{}
		origin.answer = func(ctx context.Context, req *web.Request) (*web.Response, error) {
			time.Sleep(100 * time.Millisecond)
			if n++; n == 1 {
				return unreachable(ctx, req)
			}
			return media(ctx, req)
		}
		e := newEdge(t, Options{}, origin)
		start := time.Now()
		for _, g := range crowd(e, 1000, func(int) *web.Request { return request("GET", "/a.m4s") }) {
			if g.Status != 200 {
				t.Fatalf("%d %q", g.Status, g.text)
			}
		}
		if took := time.Since(start); took > 300*time.Millisecond || origin.count() != 2 {
			t.Errorf("%v and %d origin requests", took, origin.count())
		}
	})
}
