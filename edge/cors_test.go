package edge

import (
	"bytes"
	"compress/gzip"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/web"
)

func zipped(t *testing.T, s string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Without these fields a page sees neither the answer nor why it failed: an
// error without them is a status 0, which hls.js does not retry.
func TestEveryAnswerMayBeReadByPages(t *testing.T) { // CR-01, CR-03
	synctest.Test(t, func(t *testing.T) {
		src, sign := signer(t)
		e := newEdge(t, Options{Tokens: src}, &fake{answer: func(ctx context.Context, req *web.Request) (*web.Response, error) {
			switch req.Path {
			case "/404":
				return nil, web.Errorf(404, "no such thing")
			case "/503":
				return nil, web.Errorf(503, "busy")
			case "/502":
				return unreachable(ctx, req)
			}
			resp, err := media(ctx, req)
			resp.Header.Add("Access-Control-Allow-Origin", "https://upstream.example")
			resp.Header.Add("Access-Control-Allow-Credentials", "true")
			return resp, err
		}})
		tok := "/t/" + sign(time.Hour, "/")
		f := func(want int, target string, pairs ...string) {
			t.Helper()
			g := get(t, e, target, append(pairs, "Origin", "https://player.example")...)
			h := flat(g)
			if g.Status != want || h.Joined("Access-Control-Allow-Origin") != "*" || h.Has("Access-Control-Allow-Credentials") {
				t.Errorf("%s: %d %v", target, g.Status, h)
			}
			for _, name := range []string{"Age", "Date", "ETag", "Content-Range", "Cache-Status", "Retry-After", "CMSD-Static", "CMSD-Dynamic"} {
				if !listed(h.Get("Access-Control-Expose-Headers"), name) {
					t.Errorf("%s: %s is not exposed", target, name)
				}
			}
		}
		for range 2 { // a fill and a hit
			f(200, tok+"/a.m4s")
			f(206, tok+"/a.m4s", "Range", "bytes=0-1")
			f(416, tok+"/a.m4s", "Range", "bytes=99-")
			f(304, tok+"/a.m4s", "If-None-Match", `"/a.m4s"`)
			f(404, tok+"/404")
			f(503, tok+"/503")
			f(502, tok+"/502")
			f(403, "/a.m4s")
			f(400, tok+"/a.m3u8?_HLS_part=1")
		}
	})
}

func TestAPreflightNeedsNoTokenAndNoOrigin(t *testing.T) { // CR-02, CR-06, TK-35
	synctest.Test(t, func(t *testing.T) {
		src, _ := signer(t)
		origin := &fake{answer: media}
		e := newEdge(t, Options{Tokens: src}, origin)
		g := ask(t, e, request("OPTIONS", "/t/x/l/i.m3u8?_HLS_part=1", "Origin", "https://player.example",
			"Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "authorization,range"))
		if g.Status != 204 || g.Get("Access-Control-Allow-Origin") != "*" || g.Get("Access-Control-Max-Age") != "7200" || g.text != "" {
			t.Errorf("%d %v", g.Status, g.Header)
		}
		for _, method := range []string{"GET", "HEAD"} {
			if !listed(g.Get("Access-Control-Allow-Methods"), method) {
				t.Errorf("%s is not allowed", method)
			}
		}
		for _, name := range []string{"Authorization", "Range", "If-None-Match", "CMCD-Object", "CMCD-Request", "CMCD-Session", "CMCD-Status"} {
			if !listed(g.Get("Access-Control-Allow-Headers"), name) {
				t.Errorf("%s is not allowed", name)
			}
		}
		if origin.count() != 0 {
			t.Error("the origin was asked")
		}
		if g := ask(t, e, request("OPTIONS", "/a")); g.Status != 204 || g.Get("Allow") != "GET, HEAD, OPTIONS" || g.Get("Access-Control-Allow-Methods") != "" {
			t.Errorf("OPTIONS that is no preflight: %d %v", g.Status, g.Header)
		}
	})
}

func TestCredentialsAreForListedOriginsOnly(t *testing.T) { // CR-04, CR-05
	synctest.Test(t, func(t *testing.T) {
		origin := &fake{answer: func(ctx context.Context, req *web.Request) (*web.Response, error) {
			resp, err := media(ctx, req)
			resp.Header.Add("Vary", "Accept-Encoding")
			return resp, err
		}}
		e := newEdge(t, Options{CORSOrigins: []string{"https://a.example", "https://b.example:8443"}}, origin)
		f := func(from, want string) {
			t.Helper()
			for _, method := range []string{"GET", "OPTIONS"} {
				var pairs []string
				if from != "" {
					pairs = []string{"Origin", from, "Access-Control-Request-Method", "GET"}
				}
				h := flat(ask(t, e, request(method, "/a.m4s", pairs...)))
				if h.Joined("Access-Control-Allow-Origin") != want || h.Has("Access-Control-Allow-Credentials") != (want != "") || !listed(h.Joined("Vary"), "Origin") {
					t.Errorf("%s from %q: %v", method, from, h)
				}
				if h.Get("Access-Control-Allow-Credentials") == "TRUE" || strings.Contains(h.Joined("Access-Control-Allow-Headers"), "*") {
					t.Errorf("%v", h)
				}
				if method == "GET" && !listed(h.Joined("Vary"), "Accept-Encoding") {
					t.Errorf("Vary of the object is lost: %v", h)
				}
				if method == "OPTIONS" && h.Has("Access-Control-Allow-Methods") != (want != "") {
					t.Errorf("preflight from %q: %v", from, h)
				}
			}
		}
		f("https://a.example", "https://a.example")
		f("https://b.example:8443", "https://b.example:8443")
		f("https://evil.example", "")
		f("https://a.example.evil.example", "")
		f("http://a.example", "")
		f("null", "")
		f("", "")
		f("https://a.example", "https://a.example")
		if origin.count() != 1 {
			t.Errorf("%d origin requests: the web origin split the cache", origin.count())
		}
	})
}
