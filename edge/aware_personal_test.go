package edge

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/web"
)

// byViewer answers a playlist that depends on who asks, as told by a field.
func byViewer(field string, first func(who string) int, pairs ...string) web.HandlerFunc {
	return func(_ context.Context, req *web.Request) (*web.Response, error) {
		who := req.Header.Get(field)
		return web.NewResponse(200, web.String(windowOf(first(who), 5)+"#EXT-X-SESSION:"+who+"\n"),
			append([]string{"Content-Type", "application/vnd.apple.mpegurl"}, pairs...)...), nil
	}
}

// Under query all a playlist may be one viewer's own. He is shown no other's,
// however far it is ahead of his.
func TestOneViewersPlaylistIsNeverShownToAnother(t *testing.T) {
	f := func(name, field string, pairs ...string) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			e := awareEdge(t, AwareOptions{}, Options{QueryAll: true}, byViewer(field, func(who string) int {
				if strings.Contains(who, "ann") {
					return 100
				}
				return 97
			}, pairs...))
			for range 4 {
				for _, who := range []string{"id=ann", "id=bob"} {
					if g := get(t, e, "/v/index.m3u8", field, who); g.Status != 200 || !strings.Contains(g.text, "SESSION:"+who+"\n") {
						t.Errorf("%s: %s got %d %q", name, who, g.Status, g.text)
					}
				}
				wait(1100 * time.Millisecond)
			}
			if n, _ := e.aware.book.Size(); n != 0 {
				t.Errorf("%s: %d renditions are remembered", name, n)
			}
		})
	}
	f("a cookie, private", "Cookie", "Cache-Control", "private, max-age=1")
	f("a cookie, no-store", "Cookie", "Cache-Control", "no-store")
	f("a cookie, nothing said", "Cookie")
	f("a cookie that it varies with", "Cookie", "Cache-Control", "max-age=1", "Vary", "Accept-Encoding, Cookie")
	f("a password", "Authorization", "Cache-Control", "max-age=1")
	f("private alone", "X-Viewer", "Cache-Control", "private")
	f("a field that it varies with", "X-Viewer", "Cache-Control", "max-age=1", "Vary", "x-viewer")
	f("anything", "X-Viewer", "Cache-Control", "max-age=1", "Vary", "*")
}

// What is everybody's is read also where viewers have cookies, and the copy that
// is shown to others opens nobody's session.
func TestTheCopyOfAPlaylistIsWithoutWhoeverAskedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio()
		e := awareEdge(t, AwareOptions{}, Options{QueryAll: true}, s)
		s.list("/v/index.m3u8", 11, 5, "Cache-Control", `public, max-age=1, private="X-Name"`, "Vary", "Origin, Accept-Encoding",
			"Set-Cookie", "session=ann", "X-Name", "Ann", slicesField, "7")
		if g := says(t, e, "/v/index.m3u8", 200, windowOf(11, 5), "Cookie", "id=ann"); g.Get(slicesField) != "" {
			t.Error("a field of ours from upstream went on to a viewer")
		}
		s.list("/v/index.m3u8", 10, 5, "Cache-Control", "public, max-age=1")
		wait(1100 * time.Millisecond)
		g := says(t, e, "/v/index.m3u8", 200, windowOf(11, 5), "Cookie", "id=bob")
		if h := g.Flatten(); h.Has("Set-Cookie") || h.Has("X-Name") {
			t.Errorf("%v", h)
		}
	})
}

// A request that waits for what is due makes the edge look for a newer playlist:
// not in the name of whoever had asked for the last one, who may have left.
func TestALookForAPlaylistSpeaksForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio()
		var cookies []string
		e := awareEdge(t, AwareOptions{NoPrefetch: true}, Options{QueryAll: true}, web.HandlerFunc(func(ctx context.Context, req *web.Request) (*web.Response, error) {
			if strings.HasSuffix(req.Path, ".m3u8") {
				cookies = append(cookies, req.Header.Get("Cookie"))
				if req.Inform != nil {
					req.Inform(103, &web.Header{})
				}
			}
			return s.Serve(ctx, req)
		}))
		informed := 0
		ann := request("GET", "/v/index.m3u8", "Cookie", "id=ann")
		ann.Inform = func(int, *web.Header) { informed++ }
		s.list("/v/index.m3u8", 10, 5, "Cache-Control", "public, max-age=1")
		ask(t, e, ann)
		wait(1500 * time.Millisecond)
		get(t, e, "/v/seg15.ts", "Cookie", "id=bob") // due, and in vain
		if len(cookies) != 1 || informed != 1 {
			t.Errorf("asked with %q, ann heard %d times", cookies, informed)
		}
	})
	synctest.Test(t, func(t *testing.T) { // without names it does look, and tells nobody
		s := newStudio()
		asked := 0
		e := awareEdge(t, AwareOptions{NoPrefetch: true}, Options{}, web.HandlerFunc(func(ctx context.Context, req *web.Request) (*web.Response, error) {
			if strings.HasSuffix(req.Path, ".m3u8") {
				asked++
				if req.Inform != nil {
					req.Inform(103, &web.Header{})
				}
			}
			return s.Serve(ctx, req)
		}))
		informed := 0
		ann := request("GET", "/v/index.m3u8")
		ann.Inform = func(int, *web.Header) { informed++ }
		s.list("/v/index.m3u8", 10, 5, "Cache-Control", "public, max-age=1")
		ask(t, e, ann)
		wait(1500 * time.Millisecond)
		get(t, e, "/v/seg15.ts")
		if asked < 2 || informed != 1 {
			t.Errorf("asked %d times, ann heard %d times", asked, informed)
		}
	})
}

// Of two origins one may have what the other's playlist lists, under names of its
// own: "no such object" is not the last word about what is listed.
func TestWhatIsListedIsAskedOfTheNextOriginToo(t *testing.T) {
	f := func(name string, first, second func(context.Context, *web.Request) (*web.Response, error), status int, text string, o Options) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			list := windowOf(10, 5)
			lists := func(h func(context.Context, *web.Request) (*web.Response, error)) web.HandlerFunc {
				return func(ctx context.Context, req *web.Request) (*web.Response, error) {
					if strings.HasSuffix(req.Path, ".m3u8") {
						return answering(200, list, "Cache-Control", "max-age=1")(ctx, req)
					}
					return h(ctx, req)
				}
			}
			e := awareEdge(t, AwareOptions{NoPrefetch: true, Hold: -1}, o, lists(first), lists(second))
			get(t, e, "/v/index.m3u8")
			says(t, e, "/v/seg12.ts", status, text)
			time.Sleep(time.Minute)
		})
	}
	none := answering(404, "no")
	late := func(h func(context.Context, *web.Request) (*web.Response, error)) func(context.Context, *web.Request) (*web.Response, error) {
		return func(ctx context.Context, req *web.Request) (*web.Response, error) {
			select {
			case <-time.After(500 * time.Millisecond):
				return h(ctx, req)
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}
	}
	hedge := Options{Hedge: 100 * time.Millisecond}
	f("the second has it", none, answering(200, "b"), 200, "b", Options{})
	f("nobody has it", none, answering(404, "nor here"), 404, "nor here", Options{})
	f("the second cannot say", none, answering(503, "busy"), 404, "no", Options{})
	f("the second cannot be reached", none, unreachable, 404, "no", Options{})
	f("the first is late and has it", late(answering(200, "a")), none, 200, "a", hedge)
	f("the first is late and has it not", late(none), answering(200, "b"), 200, "b", hedge)
	f("late, and nobody has it", late(none), none, 404, "no", hedge)
	f("late, and the second cannot say", late(none), answering(503, "busy"), 404, "no", hedge)
	f("late, and the first cannot say", late(answering(503, "busy")), none, 404, "no", hedge)
	f("late, and the first fails", late(unreachable), none, 404, "no", hedge)
}

// What a playlist lists as its next segment may be anything: what upstream would
// hold, and another playlist, are nothing to fetch ahead.
func TestOnlyMediaAreFetchedAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio()
		e := awareEdge(t, AwareOptions{}, Options{QueryAll: true}, s)
		s.cut("/v", 10, 20, "Cache-Control", "max-age=60")
		s.list("/v/index.m3u8", 10, 5, "Cache-Control", "max-age=1")
		get(t, e, "/v/index.m3u8")
		get(t, e, "/v/seg14.ts")
		wait(1100 * time.Millisecond)
		s.put("/v/index.m3u8", windowOf(11, 5)+"#EXTINF:2,\nother.m3u8?_HLS_msn=99999\n#EXTINF:2,\nx.ts?_HLS_msn=9\n#EXTINF:2,\nplain.m3u8\n", "Cache-Control", "max-age=1")
		get(t, e, "/v/index.m3u8")
		wait(time.Second)
		want(t, "the segment", s.count("/v/seg15.ts"), 1)
		for _, path := range []string{"/v/other.m3u8?_HLS_msn=99999", "/v/x.ts?_HLS_msn=9", "/v/plain.m3u8"} {
			want(t, path, s.count(path), 0)
		}
	})
}
