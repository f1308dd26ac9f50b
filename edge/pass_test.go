package edge

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"weir/internal/web"
)

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
// section 9.2.2).
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
		f(method, "body", true, 204)
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

// A body is here whole before an origin hears of it: nobody there waits for a
// slow viewer, and what breaks off was never begun.
func TestAnOriginHearsOfABodyWhenItIsWhole(t *testing.T) {
	rowAll(t, func(t *testing.T, e *Edge, o *fo) {
		o.answer = func(_ context.Context, req *web.Request) (*web.Response, error) {
			body, err := io.ReadAll(req.Body)
			if err != nil || string(body) != "0123456789" || req.Header.Get("Content-Length") != "10" {
				t.Errorf("%q %v, Content-Length %s", body, err, req.Header.Get("Content-Length"))
			}
			return web.NewResponse(204, nil), nil
		}
		r, w := io.Pipe()
		go func() {
			for i := range 10 {
				time.Sleep(time.Second)
				_, _ = w.Write([]byte{'0' + byte(i)})
				if n := o.count(); n != 0 {
					t.Errorf("asked after %d bytes", i)
				}
			}
			w.Close()
		}()
		req := request("POST", "/a")
		req.Body = r
		if g := ask(t, e, req); g.Status != 204 || o.count() != 1 {
			t.Errorf("%d, %d requests", g.Status, o.count())
		}

		req = request("PUT", "/a")
		req.Body = io.MultiReader(strings.NewReader("half"), brokenBody{io.ErrUnexpectedEOF})
		if g := ask(t, e, req); g.Status < 400 || o.count() != 1 {
			t.Errorf("cut: %d, %d requests", g.Status, o.count())
		}
	})
}

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
