package edge

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/web"
)

// A stampede on a segment that nobody has yet costs the origin one request.
func TestTenThousandViewersAreOneOriginRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := &fake{answer: func(ctx context.Context, req *web.Request) (*web.Response, error) {
			time.Sleep(100 * time.Millisecond)
			return media(ctx, req)
		}}
		e := newEdge(t, Options{}, origin)
		for _, path := range []string{"/live/news/v/seg1.m4s", "/live/news/v/index.m3u8", "/live/news/v/index.m3u8?_HLS_msn=7&_HLS_part=3"} {
			before := origin.count()
			for i, g := range crowd(e, 10_000, func(int) *web.Request { return request("GET", path) }) {
				if g.Status != 200 || g.err != nil || g.text == "" {
					t.Fatalf("viewer %d of %s: %d %q %v", i, path, g.Status, g.text, g.err)
				}
			}
			if n := origin.count() - before; n != 1 {
				t.Errorf("%s: the origin saw %d requests", path, n)
			}
		}
	})
}

func TestAnEdgeAnswersGetAndHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := &fake{answer: media}
		e := newEdge(t, Options{}, origin)
		if g := ask(t, e, request("HEAD", "/a.m4s")); g.Status != 200 {
			t.Errorf("HEAD: %d", g.Status)
		}
		if g := get(t, e, "/a.m4s"); g.text != "bytes of /a.m4s" {
			t.Errorf("GET after HEAD: %q", g.text)
		}
		if origin.count() != 1 || origin.last().Method != "GET" {
			t.Errorf("%d requests, the last %s: a HEAD is filled with GET and shared", origin.count(), origin.last().Method)
		}
		for _, method := range []string{"POST", "PUT", "DELETE", "CONNECT", "get", ""} {
			if g := ask(t, e, request(method, "/a.m4s")); g.Status != 405 || g.Get("Allow") != "GET, HEAD, OPTIONS" || g.Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("%q: %d %v", method, g.Status, g.Header)
			}
		}
		if origin.count() != 1 {
			t.Error("a refused method reached the origin")
		}
	})
}

// What a viewer adds to an URL neither splits the cache nor shows up at the origin.
func TestOnlyDirectivesReachTheKeyAndTheOrigin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := &fake{answer: media}
		e := newEdge(t, Options{}, origin)
		f := func(wantQuery string, targets ...string) {
			t.Helper()
			before := origin.count()
			for _, target := range targets {
				if g := get(t, e, target, "Cookie", "a=b", "Authorization", "Basic x", "User-Agent", target, "CMCD-Session", "sid=1",
					"Origin", "https://"+target, "Referer", target, "X-Any", target, "Cache-Control", "no-cache"); g.Status != 200 {
					t.Fatalf("%s: %d", target, g.Status)
				}
			}
			if n := origin.count() - before; n != 1 {
				t.Errorf("%q: %d origin requests", targets, n)
			}
			req := origin.last()
			if req.Query != wantQuery {
				t.Errorf("%q: asked with %q, want %q", targets, req.Query, wantQuery)
			}
			for field := range req.Header.All() {
				if field.Name != "Accept-Encoding" && field.Name != "CDN-Loop" && (field.Name != "Via" || field.Value != "1.1 e1") {
					t.Errorf("the origin was told %s: %s", field.Name, field.Value)
				}
			}
		}
		f("", "/l/i.m3u8", "/l/i.m3u8?x=1", "/l/i.m3u8?CMCD=a%3Db&utm=2", "/l/i.m3u8?_HLS_throughput=5")
		f("_HLS_msn=3&_HLS_part=1", "/l/i.m3u8?_HLS_msn=3&_HLS_part=1", "/l/i.m3u8?_HLS_part=1&_HLS_msn=3&a=b", "/l/i.m3u8?CMCD=x&_HLS_msn=3&_HLS_part=01")
		f("_HLS_msn=3", "/l/i.m3u8?_HLS_msn=3")
		f("_HLS_skip=YES", "/l/i.m3u8?_HLS_skip=YES")
		f("", "/l/s.m4s", "/l/s.m4s?_HLS_msn=3", "/l/s.m4s?_HLS_msn=garbage&x")
	})
}

// In "all" mode the edge is a reverse proxy for anything: the query and the
// fields an answer may depend on go up, who asks still does not.
func TestTheWholeQueryCanBeKeptInTheKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := &fake{answer: func(_ context.Context, req *web.Request) (*web.Response, error) {
			return web.NewResponse(200, web.String(req.Query+" "+req.Header.Get("X-Lang")), "Cache-Control", "max-age=60", "Vary", "X-Lang"), nil
		}}
		src, sign := signer(t)
		e := newEdge(t, Options{QueryAll: true, Tokens: src}, origin)
		secret := sign(time.Hour, "/")
		f := func(want string, requests int, target string, pairs ...string) {
			t.Helper()
			before := origin.count()
			if g := get(t, e, "/t/"+secret+target, pairs...); g.text != want || origin.count()-before != requests {
				t.Errorf("%s %q: %q with %d requests, want %q with %d", target, pairs, g.text, origin.count()-before, want, requests)
			}
		}
		f("b=1&a=2 de", 1, "/x?b=1&a=2", "X-Lang", "de")
		f("b=1&a=2 de", 0, "/x?b=1&a=2&CMCD=abc", "X-Lang", "de", "Cookie", "u=1")
		f("b=1&a=2 fr", 1, "/x?b=1&a=2", "X-Lang", "fr")
		f("b=1&a=2 ", 1, "/x?b=1&a=2")
		f("a=2&b=1 ", 1, "/x?a=2&b=1")
		f("c=1 ", 1, "/x?c=1", "Authorization", "Basic secret", "Cookie", "id=secret", "Referer", "https://h/?token=secret")
		for _, req := range origin.asked {
			for _, name := range []string{"Cookie", "Authorization", "Referer", "Origin", "Range", "If-None-Match"} {
				if req.Header.Has(name) || strings.Contains(req.Path, secret) || strings.Contains(req.Query, "CMCD") {
					t.Errorf("the origin was told %s or %q", name, req.Query)
				}
			}
		}
	})
}

// Fields by which a request says that it was another one on its way here are
// believed by many upstreams, and are in no key: with one of them a stranger
// could put his answer in the place of everybody's.
func TestAStrangersFieldsDoNotPoisonTheCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := &fake{answer: media}
		e := newEdge(t, Options{QueryAll: true}, origin)
		get(t, e, "/a", "X-Forwarded-Scheme", "http", "X-Forwarded-Server", "evil", "X-Forwarded-Prefix", "/evil", "X-Host", "evil",
			"X-Original-URL", "/b", "X-Rewrite-URL", "/b", "X-HTTP-Method-Override", "POST", "X-HTTP-Method", "POST", "X-Method-Override", "POST")
		for field := range origin.last().Header.All() {
			if field.Name != "Accept-Encoding" && field.Name != "CDN-Loop" && (field.Name != "Via" || field.Value != "1.1 e1") {
				t.Errorf("the origin was told %s: %s", field.Name, field.Value)
			}
		}
	})
}

func TestWrongDirectivesAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := &fake{answer: media}
		e := newEdge(t, Options{}, origin)
		for _, query := range []string{"_HLS_part=1", "_HLS_msn=abc", "_HLS_msn=-1", "_HLS_msn=1.5", "_HLS_msn=", "_HLS_msn=1&_HLS_msn=1",
			"_HLS_msn=123456789012345678901", "_HLS_skip=no"} {
			g := get(t, e, "/l/i.m3u8?"+query)
			if g.Status != 400 || !strings.HasPrefix(g.text, reasonDirective) || g.Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("%s: %d %q", query, g.Status, g.text)
			}
		}
		if origin.count() != 0 {
			t.Error("the origin was asked")
		}
	})
}

// A path with an escaped question mark must not fill the cache of the path
// before it: a stranger could put his 404 in the place of a playlist.
func TestAnEscapedQuestionMarkIsAnotherObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := &fake{answer: func(ctx context.Context, req *web.Request) (*web.Response, error) {
			if strings.Contains(req.Path, "?") {
				return web.NewResponse(404, web.String("no"), "Cache-Control", "max-age=60"), nil
			}
			return media(ctx, req)
		}}
		e := newEdge(t, Options{}, origin)
		path, err := web.CleanPath("/l/i.m3u8%3F_HLS_msn=5")
		if err != nil {
			t.Fatal(err)
		}
		bad := request("GET", "/")
		bad.Path = path
		if g := ask(t, e, bad); g.Status != 404 {
			t.Fatalf("%d", g.Status)
		}
		if g := get(t, e, "/l/i.m3u8?_HLS_msn=5"); g.Status != 200 {
			t.Errorf("the playlist is a %d for everybody", g.Status)
		}
	})
}

func TestGzipAndIdentityAreTwoAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := &fake{answer: func(_ context.Context, req *web.Request) (*web.Response, error) {
			return web.NewResponse(200, web.String(req.Header.Get("Accept-Encoding")), "Cache-Control", "max-age=60", "Vary", "accept-encoding"), nil
		}}
		e := newEdge(t, Options{}, origin)
		f := func(want string, pairs ...string) {
			t.Helper()
			if g := get(t, e, "/l/i.m3u8", pairs...); g.text != want {
				t.Errorf("%q: %q", pairs, g.text)
			}
		}
		f("identity")
		f("gzip", "Accept-Encoding", "br, gzip, deflate")
		f("gzip", "Accept-Encoding", "gzip;q=0.3")
		f("identity", "Accept-Encoding", "br")
		f("identity", "Accept-Encoding", "gzip;q=0")
		if origin.count() != 2 {
			t.Errorf("%d origin requests", origin.count())
		}
	})
}

func TestConditionsAndRangesAreAnsweredFromOneObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := &fake{answer: media}
		e := newEdge(t, Options{}, origin)
		f := func(status int, text string, pairs ...string) {
			t.Helper()
			if g := get(t, e, "/a.m4s", pairs...); g.Status != status || status < 400 && g.text != text || g.Get("Access-Control-Allow-Origin") != "*" || g.Get("Cache-Status") == "" {
				t.Errorf("%q: %d %q", pairs, g.Status, g.text)
			}
		}
		f(206, "byt", "Range", "bytes=0-2") // on a cold edge: the whole is fetched
		f(200, "bytes of /a.m4s")
		f(206, "m4s", "Range", "bytes=-3")
		f(416, "", "Range", "bytes=99-")
		f(304, "", "If-None-Match", `"/a.m4s"`)
		f(200, "bytes of /a.m4s", "If-None-Match", `"other"`)
		if origin.count() != 1 || origin.last().Header.Has("Range") || origin.last().Header.Has("If-None-Match") {
			t.Errorf("%d origin requests", origin.count())
		}
	})
}

// Players read Age as how late a playlist is. One that was just made has none.
func TestAgeIsToldOnlyOfWhatWasStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t, Options{}, &fake{answer: func(ctx context.Context, req *web.Request) (*web.Response, error) {
			time.Sleep(4 * time.Second) // as for a blocking playlist
			resp, err := media(ctx, req)
			resp.Header.Set("Cache-Control", "max-age=12")
			return resp, err
		}})
		if g := get(t, e, "/l/i.m3u8?_HLS_msn=7"); g.Get("Age") != "" {
			t.Errorf("Age %s on a fill", g.Get("Age"))
		}
		time.Sleep(3 * time.Second)
		if g := get(t, e, "/l/i.m3u8?_HLS_msn=7"); g.Get("Age") != "3" {
			t.Errorf("Age %q, want 3: since it was made, not since it was asked for", g.Get("Age"))
		}
	})
}

func TestTryServeAnswersOnlyWhatIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, sign := signer(t)
		origin := &fake{answer: media}
		e := newEdge(t, Options{Tokens: src}, origin)
		good, bad := "/t/"+sign(time.Hour, "/l")+"/l/a.m4s", "/t/"+sign(time.Hour, "/other")+"/l/a.m4s"
		if _, ok := e.TryServe(request("GET", good)); ok || origin.count() != 0 {
			t.Error("answered or asked although nothing is there")
		}
		get(t, e, good)
		if resp, ok := e.TryServe(request("GET", good)); !ok || read(resp).text != "bytes of /l/a.m4s" {
			t.Error("not answered although it is there")
		}
		if resp, ok := e.TryServe(request("GET", bad)); !ok || read(resp).Status != 403 {
			t.Error("a hit for somebody whose token is for something else")
		}
		if _, ok := e.TryServe(request("OPTIONS", good)); ok {
			t.Error("OPTIONS")
		}
	})
}

func TestAViewerWhoLeavesIsLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := &fake{answer: func(ctx context.Context, req *web.Request) (*web.Response, error) {
			time.Sleep(5 * time.Second)
			return media(ctx, req)
		}}
		e := newEdge(t, Options{}, origin)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		start := time.Now()
		if _, err := e.Serve(ctx, request("GET", "/a.m4s")); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		time.Sleep(5 * time.Second)
		if g := get(t, e, "/a.m4s"); g.Status != 200 || origin.count() != 1 {
			t.Errorf("%d, %d requests: the fill should have gone on", g.Status, origin.count())
		}
	})
}

func TestOptionsAreChecked(t *testing.T) {
	e := newEdge(t, Options{}, &fake{answer: media})
	f := func(change func(o *Options)) {
		t.Helper()
		o := e.opts
		o.Registerer = nil
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("accepted: %+v", o)
		}
	}
	f(func(o *Options) { o.Node = "" })
	f(func(o *Options) { o.Node = "a b" })
	f(func(o *Options) { o.Cluster = "a;b" })
	f(func(o *Options) { o.Cache = nil })
	f(func(o *Options) { o.Origins = nil })
	f(func(o *Options) { o.HopTimeout = -1 })
	for _, origin := range []string{"*", "example.org", "https://", "https://example.org/", "https://example.org/a", "null"} {
		f(func(o *Options) { o.CORSOrigins = []string{origin} })
	}
}
