package edge

import (
	"context"
	"io"
	"net/http"
	"strings"
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

func TestPassedRequestsArriveWhole(t *testing.T) {
	rowAll(t, func(t *testing.T, e *Edge, o *fo) {
		var body string
		o.answer = func(_ context.Context, req *web.Request) (*web.Response, error) {
			p, err := io.ReadAll(req.Body)
			body = string(p)
			return web.NewResponse(201, web.String("made"), "Set-Cookie", "id=1", "Access-Control-Allow-Origin", "https://shop.example"), err
		}
		req := request("POST", "/a/b?x=1&CMCD=a&y", "Content-Type", "application/json", "Authorization", "Basic x", "Cookie", "a=b", "If-Match", `"1"`,
			"Origin", "https://shop.example", "Referer", "https://shop.example/", "X-HTTP-Method-Override", "PATCH", "Via", "1.0 fred", "CDN-Loop", "other",
			"X-Forwarded-For", "6.6.6.6", "X-Forwarded-Host", "evil", "Forwarded", "for=6.6.6.6", "X-Original-URL", "/admin", "Weir-Node", "e9", "Range", "bytes=0-1",
			"Accept-Encoding", "br", "Cache-Control", "no-cache", "Expect", "100-continue", "CMCD-Session", "sid=1")
		req.Body, req.Host = strings.NewReader(`{"a":1}`), "www.example"
		g := ask(t, e, req)
		if g.Status != 201 || g.text != "made" || g.Get("Set-Cookie") != "id=1" || body != `{"a":1}` || g.Get("Cache-Status") != "e1; fwd=method; detail=origin" {
			t.Errorf("%d %q %v, the origin got %q", g.Status, g.text, g.Flatten(), body)
		}
		if v := g.Get("Access-Control-Allow-Origin"); v != "https://shop.example" {
			t.Errorf("who may write is the origin's to say, not %q", v)
		}
		got := o.last()
		if got.Method != "POST" || got.Path != "/a/b" || got.Query != "x=1&y" {
			t.Errorf("%s %s?%s", got.Method, got.Path, got.Query)
		}
		for name, want := range map[string]string{"Content-Type": "application/json", "Authorization": "Basic x", "Cookie": "a=b", "If-Match": `"1"`,
			"Origin": "https://shop.example", "Referer": "https://shop.example/", "X-HTTP-Method-Override": "PATCH", "Via": "1.0 fred, 1.1 e1",
			"CDN-Loop": "other, weir; node=e1", "X-Forwarded-For": "192.0.2.1", "X-Forwarded-Host": "www.example", "X-Forwarded-Proto": "http",
			"Forwarded": "", "X-Original-URL": "", "Weir-Node": "", "Range": "bytes=0-1", "Accept-Encoding": "br", "Cache-Control": "no-cache", "Expect": "",
			"CMCD-Session": "", "Content-Length": "7"} {
			if v := got.Header.Joined(name); v != want {
				t.Errorf("%s is %q, want %q", name, v, want)
			}
		}
	})
}

func TestMethodsThatAreNotPassedOn(t *testing.T) {
	rowAll(t, func(t *testing.T, e *Edge, o *fo) {
		for _, method := range []string{"TRACE", "CONNECT", "", "A B", "GET\r\nX: y", "(", strings.Repeat("M", 33), "é"} {
			if g := ask(t, e, request(method, "/a")); g.Status != 405 || g.Get("Allow") != passMethods {
				t.Errorf("%q: %d Allow %q", method, g.Status, g.Get("Allow"))
			}
		}
		if o.count() != 0 {
			t.Error("the origin was asked")
		}
	})
	rowWith(t, Options{}, func(t *testing.T, e *Edge, o *fo) {
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "MKCOL", "TRACE", "CONNECT"} {
			if g := ask(t, e, request(method, "/a")); g.Status != 405 || g.Get("Allow") != allowMethods {
				t.Errorf("%q: %d Allow %q", method, g.Status, g.Get("Allow"))
			}
		}
		if o.count() != 0 {
			t.Error("an edge for HLS passed something on")
		}
	})
}

// "the final recipient is either the origin server or the first server or proxy
// to receive a Max-Forwards value of zero" (RFC 9110 section 7.6.2).
func TestOptionsGoesToTheOriginUnlessAPageAsksToRead(t *testing.T) {
	rowAll(t, func(t *testing.T, e *Edge, o *fo) {
		o.says(200, "", "Allow", "GET, PUT", "Seen", "1")
		f := func(passed bool, forwards string, pairs ...string) {
			t.Helper()
			before := o.count()
			g := ask(t, e, request("OPTIONS", "/a", pairs...))
			if got := o.count() > before; got != passed || (g.Get("Seen") == "1") != passed || g.Status != 200 && g.Status != 204 {
				t.Errorf("%q: passed on %v, %d %v", pairs, got, g.Status, g.Flatten())
			}
			if passed && o.last().Header.Get("Max-Forwards") != forwards {
				t.Errorf("%q: Max-Forwards %q", pairs, o.last().Header.Get("Max-Forwards"))
			}
		}
		f(true, "")
		f(true, "9", "Max-Forwards", "10")
		f(true, "0", "Max-Forwards", "1")
		f(false, "", "Max-Forwards", "0")
		f(true, "", "Max-Forwards", "-1")
		f(true, "", "Max-Forwards", "99999999999999999999")
		f(true, "", "Origin", "https://p", "Access-Control-Request-Method", "PUT")
		f(false, "", "Origin", "https://p", "Access-Control-Request-Method", "GET")
		f(false, "", "Origin", "https://p", "Access-Control-Request-Method", "HEAD")
	})
}

// "A proxy MUST NOT automatically retry non-idempotent requests" (RFC 9110
// section 9.2.2), nobody retries when a byte of the body is gone.
func TestPassedRequestsAreSentTwiceOnlyWhereThatIsSafe(t *testing.T) {
	f := func(method, body string, reads bool, want int) {
		t.Helper()
		rowWith(t, Options{QueryAll: true}, func(t *testing.T, _ *Edge, first *fo) {
			first.answer = func(ctx context.Context, req *web.Request) (*web.Response, error) {
				if reads && req.Body != nil {
					_, _ = req.Body.Read(make([]byte, 1))
				}
				return unreachable(ctx, req)
			}
			second := &fo{&fake{}}
			second.says(204, "")
			e := newEdge(t, Options{QueryAll: true}, first, second)
			req := request(method, "/a")
			if body != "" {
				req.Body = strings.NewReader(body)
			}
			if g := ask(t, e, req); g.Status != want || first.count() != 1 {
				t.Errorf("%s %q: %d, want %d", method, body, g.Status, want)
			}
		})
	}
	for _, method := range []string{"PUT", "DELETE", "PROPFIND", "OPTIONS"} {
		f(method, "", false, 204)
		f(method, "body", false, 204)
		f(method, "body", true, 502)
	}
	for _, method := range []string{"POST", "PATCH", "UNKNOWN"} {
		f(method, "", false, 502)
		f(method, "body", false, 502)
		f(method, "body", true, 502)
	}
}

// brokenBody ends with an error that says who broke it.
type brokenBody struct{ err error }

func (b brokenBody) Read([]byte) (int, error) { return 0, b.err }

func TestAnUploadThatBreaksIsTheSendersFault(t *testing.T) {
	rowAll(t, func(t *testing.T, e *Edge, o *fo) {
		o.answer = func(_ context.Context, req *web.Request) (*web.Response, error) {
			if req.Body == nil {
				return web.NewResponse(200, web.String("x")), nil
			}
			_, err := io.ReadAll(req.Body)
			return nil, &web.Error{Status: 502, Reason: reasonUnreachable, Err: err} // as wire.Client says it
		}
		req := request("PUT", "/a")
		req.Body = brokenBody{&web.Error{Status: http.StatusRequestEntityTooLarge, Reason: "body_too_large", Err: io.ErrUnexpectedEOF}}
		if g := ask(t, e, req); g.Status != 413 {
			t.Errorf("%d %q", g.Status, g.text)
		}
		if up, _ := e.OriginsUp(); up != 1 {
			t.Error("the origin was blamed for it")
		}
	})
}

// An origin's time begins when it has all that it needs for an answer.
func TestAnOriginIsWaitedForFromTheEndOfTheUpload(t *testing.T) {
	rowAll(t, func(t *testing.T, e *Edge, o *fo) {
		slow := time.Duration(0)
		o.answer = func(ctx context.Context, req *web.Request) (*web.Response, error) {
			_, _ = io.ReadAll(req.Body)
			select {
			case <-time.After(slow):
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
			return web.NewResponse(204, nil), nil
		}
		f := func(upload, answer time.Duration, want int) {
			t.Helper()
			slow = answer
			r, w := io.Pipe()
			go func() {
				for range 10 {
					time.Sleep(upload / 10)
					_, _ = w.Write([]byte("x"))
				}
				w.Close()
			}()
			req := request("POST", "/a")
			req.Body = r
			if g := ask(t, e, req); g.Status != want {
				t.Errorf("upload of %v, answer after %v: %d", upload, answer, g.Status)
			}
		}
		f(5*time.Minute, 9*time.Second, 204)
		f(time.Second, 11*time.Second, 504)
	})
}

// An origin may refuse before it has read all of a body. Then nobody reads on
// once the handler has returned: the request is over.
func TestAnEarlyAnswerEndsTheReading(t *testing.T) {
	rowAll(t, func(t *testing.T, e *Edge, o *fo) {
		reader := make(chan error, 1)
		o.answer = func(_ context.Context, req *web.Request) (*web.Response, error) {
			go func() {
				var err error
				for err == nil {
					_, err = req.Body.Read(make([]byte, 1))
				}
				reader <- err
			}()
			time.Sleep(time.Second)
			return web.NewResponse(403, web.String("no")), nil
		}
		var over bool
		req := request("POST", "/a")
		req.Body = readerFunc(func(p []byte) (int, error) {
			if over {
				t.Error("the body was read after the handler had returned")
			}
			time.Sleep(100 * time.Millisecond)
			return 1, nil
		})
		g := ask(t, e, req)
		over = true
		if g.Status != 403 || g.text != "no" {
			t.Errorf("%d %q", g.Status, g.text)
		}
		if err := <-reader; err != errUploadOver {
			t.Errorf("%v", err)
		}
	})
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// Who may not have an object may not change it.
func TestPassedRequestsNeedATokenToo(t *testing.T) {
	src, sign := signer(t)
	rowWith(t, Options{QueryAll: true, Tokens: src}, func(t *testing.T, e *Edge, o *fo) {
		o.says(204, "")
		for target, want := range map[string]int{"/a": 403, "/t/" + sign(time.Hour, "/b") + "/a": 403, "/t/" + sign(time.Hour, "/a") + "/a": 204} {
			if g := ask(t, e, request("DELETE", target)); g.Status != want {
				t.Errorf("%s: %d, want %d", target, g.Status, want)
			}
		}
		if o.count() != 1 || o.last().Path != "/a" {
			t.Errorf("%d origin requests", o.count())
		}
	})
}
