package edge

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"weir/internal/web"
)

func TestCA23UnsafeMethodsInvalidateWhatTheyChanged(t *testing.T) {
	rowAll(t, func(t *testing.T, e *Edge, o *fo) {
		const target = "/a?b=1"
		f := func(method string, status int, want int) {
			t.Helper()
			o.says(200, "old", "Cache-Control", "max-age=3600, stale-while-revalidate=3600, stale-if-error=3600", "Vary", "X")
			o.times(t, e, 1, target, "X", "1") // each of two variants is there
			o.times(t, e, 1, target, "X", "2")
			o.says(status, "", "Cache-Control", "max-age=60")
			if g := ask(t, e, request(method, target)); g.Status != status {
				t.Errorf("%s: %d", method, g.Status)
			}
			o.says(200, "new", "Cache-Control", "max-age=3600", "Vary", "X")
			n := o.times(t, e, 2, target, "X", "1") + o.times(t, e, 2, target, "X", "2")
			if n != want {
				t.Errorf("%s answered %d: %d origin requests afterwards, want %d", method, status, n, want)
			}
			e.invalidate("/a", "b=1")
		}
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "MKCOL", "PURGE", "Frobnicate"} {
			for _, status := range []int{200, 201, 202, 204, 301, 303, 307} {
				f(method, status, 2)
			}
			for _, status := range []int{400, 401, 403, 404, 409, 412, 500, 502, 503} {
				f(method, status, 0)
			}
		}
		for _, method := range []string{"OPTIONS", "PROPFIND", "SEARCH", "QUERY"} { // safe: they change nothing
			f(method, 200, 0)
		}
		o.answer = unreachable
		ask(t, e, request("POST", target))
	})
}

func TestCA23LocationsOfTheSameOriginAreInvalidatedToo(t *testing.T) {
	rowAll(t, func(t *testing.T, e *Edge, o *fo) {
		f := func(field, ref string, want int) {
			t.Helper()
			o.says(200, "old", "Cache-Control", "max-age=3600")
			o.times(t, e, 1, "/dir/new?x=1")
			o.says(201, "", field, ref)
			post := request("POST", "/dir/")
			post.Host = "www.example:8090"
			ask(t, e, post)
			o.says(200, "new", "Cache-Control", "max-age=3600")
			if n := o.times(t, e, 1, "/dir/new?x=1"); n != want {
				t.Errorf("%s: %s: %d origin requests, want %d", field, ref, n, want)
			}
		}
		for _, field := range []string{"Location", "Content-Location"} {
			f(field, "/dir/new?x=1", 1)
			f(field, "new?x=1", 1)
			f(field, "new?x=1#part", 1)
			f(field, "/dir/n%65w?x=1", 1)
			f(field, "http://www.example:8090/dir/new?x=1", 1)
			f(field, "HTTP://WWW.example:8090/dir/new?x=1", 1)
			f(field, "//www.example:8090/dir/new?x=1", 1)
			f(field, "/dir/new", 0)
			f(field, "/new?x=1", 0)
			f(field, "http://www.example/dir/new?x=1", 0) // another port
			f(field, "https://www.example:8090/dir/new?x=1", 0)
			f(field, "http://evil.example/dir/new?x=1", 0)
			f(field, "//evil.example/dir/new?x=1", 0)
			f(field, "http:/dir/new?x=1", 0)
			f(field, "mailto:new?x=1", 0)
			f(field, "../dir/../dir/new?x=1", 0) // no path that is served
			f(field, "", 0)
			f(field, "#x", 0)
		}
	})
}

// A page is being fetched while it is changed: the old one does not come back.
func TestCA40APurgeDuringAFillLeavesNothingOld(t *testing.T) {
	rowAll(t, func(t *testing.T, e *Edge, o *fo) {
		var changed atomic.Bool
		o.answer = func(_ context.Context, req *web.Request) (*web.Response, error) {
			if req.Method == "PUT" {
				changed.Store(true)
				return web.NewResponse(204, nil), nil
			}
			v := "old"
			if changed.Load() {
				v = "new"
			}
			time.Sleep(2 * time.Second)
			return web.NewResponse(200, web.String(v), "Cache-Control", "max-age=3600"), nil
		}
		waiting := make(chan got)
		go func() { waiting <- get(t, e, "/a") }()
		time.Sleep(time.Second)
		ask(t, e, request("PUT", "/a"))
		if g := get(t, e, "/a"); g.text != "new" {
			t.Errorf("who asks after the change gets %q", g.text)
		}
		if g := <-waiting; g.text != "old" {
			t.Errorf("who asked before it gets %q", g.text)
		}
		if g := o.wants(t, e, 0, "/a"); g.text != "new" {
			t.Errorf("afterwards: %q", g.text)
		}
	})
}

func TestCA38HeadIsAnsweredByWhatGetStored(t *testing.T) {
	row(t, func(t *testing.T, e *Edge, o *fo) {
		o.has(`"1"`, "body", "Cache-Control", "max-age=10", "X-A", "1")
		o.wants(t, e, 1, "/a")
		f := func(n int) {
			t.Helper()
			before := o.count()
			g := ask(t, e, request("HEAD", "/a"))
			if g.Status != 200 || g.Get("ETag") != `"1"` || g.Get("X-A") != "1" || o.count()-before != n {
				t.Errorf("%d %v, %d origin requests", g.Status, g.Flatten(), o.count()-before)
			}
		}
		f(0)
		time.Sleep(20 * time.Second)
		f(1) // stale: asked about with GET and a condition, which renews it for all
		if o.last().Method != "GET" || !o.last().Header.Has("If-None-Match") {
			t.Errorf("asked with %s", o.last().Method)
		}
		if g := o.wants(t, e, 0, "/a"); g.text != "body" {
			t.Errorf("%q", g.text)
		}
	})
}

func TestCA38HeadMakesNoEntryWithoutABody(t *testing.T) {
	rowAll(t, func(t *testing.T, e *Edge, o *fo) {
		o.answer = func(_ context.Context, req *web.Request) (*web.Response, error) {
			body := web.Body(web.String("body"))
			if req.Method == "HEAD" {
				body = nil
			}
			return web.NewResponse(200, body, "Cache-Control", "max-age=60", "Seen", req.Method), nil
		}
		if g := ask(t, e, request("HEAD", "/a")); g.Get("Seen") != "HEAD" || g.Get("Cache-Status") != "e1; fwd=uri-miss; detail=origin" {
			t.Errorf("%v", g.Flatten())
		}
		if g := o.wants(t, e, 1, "/a"); g.text != "body" {
			t.Errorf("%q", g.text)
		}
	})
	rowWith(t, Options{}, func(t *testing.T, e *Edge, o *fo) { // an edge for HLS fills by GET, for all
		o.says(200, "body", "Cache-Control", "max-age=60")
		ask(t, e, request("HEAD", "/a.m4s"))
		if g := o.wants(t, e, 0, "/a.m4s"); g.text != "body" || o.last().Method != "GET" {
			t.Errorf("%q after %s", g.text, o.last().Method)
		}
	})
}

// A HEAD that asks for a coding which this cache never asks for says nothing of
// what is kept: else any viewer could have it thrown away.
func TestAHEADForAnotherCodingThrowsNothingAway(t *testing.T) {
	rowAll(t, func(t *testing.T, e *Edge, o *fo) {
		o.answer = func(ctx context.Context, req *web.Request) (*web.Response, error) {
			if req.Header.Get("Accept-Encoding") == "br" {
				return answering(200, "squeezed", "Cache-Control", "max-age=60", "ETag", `"br"`, "Content-Encoding", "br", "Vary", "Accept-Encoding")(ctx, req)
			}
			return answering(200, "plain text", "Cache-Control", "max-age=60", "ETag", `"1"`, "Vary", "Accept-Encoding")(ctx, req)
		}
		o.times(t, e, 1, "/a")
		ask(t, e, request("HEAD", "/a", "Accept-Encoding", "br", "If-Match", "*"))
		if n := o.times(t, e, 1, "/a"); n != 0 {
			t.Errorf("asked %d times for what is kept", n)
		}
	})
}

// A HEAD that had to go to the origin tells that what is stored is of an older
// version (RFC 9111 section 4.3.5).
func TestCA38AHeadThatDiffersInvalidates(t *testing.T) {
	rowAll(t, func(t *testing.T, e *Edge, o *fo) {
		f := func(n int, pairs ...string) {
			t.Helper()
			o.says(200, "body", "Cache-Control", "max-age=60", "ETag", `"1"`, "Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT")
			p := path()
			o.wants(t, e, 1, p)
			o.answer = answering(200, "body", pairs...)
			ask(t, e, request("HEAD", p, "If-Match", `"1"`)) // a condition for the origin
			o.wants(t, e, n, p)
		}
		f(0)
		f(0, "ETag", `"1"`)
		f(1, "ETag", `"2"`)
		f(1, "ETag", `"1"`, "Last-Modified", "Sun, 06 Nov 1994 08:49:38 GMT")
		o.says(200, "body", "Cache-Control", "max-age=60")
		o.wants(t, e, 1, "/len")
		o.says(200, "longer body")
		ask(t, e, request("HEAD", "/len", "If-Match", "*"))
		o.wants(t, e, 1, "/len")
	})
}
