package wiretest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/internal/web"
)

var requests = map[string]func(*testing.T, Start){
	"RequestArrivesAsItWasSent":             arrives,
	"BodyOfARequestArrives":                 bodyArrives,
	"OptionsReachTheHandler":                options,
	"PathTricksAreRefused":                  pathTricks,
	"ConnectionIsKept":                      keepAlive,
	"ConnectionIsClosedWhenAsked":           closeAsked,
	"PipelinedRequestsAreAnsweredInOrder":   pipelined,
	"AnswerDoesNotWaitForTheNextInPipeline": pipelineFlush,
	"FieldsOfTheConnectionAreDropped":       hopByHop,
	"FieldWithALineBreakIsNotSent":          lineBreak,
	"DateIsKeptOrGiven":                     date,
	"RepeatedFieldsStayApart":               repeated,
}

// asked starts an adapter whose handler hands every request on.
func asked(t *testing.T, start Start) (*conn, <-chan *web.Request) {
	t.Helper()
	got := make(chan *web.Request, 8)
	return dial(t, serve(t, start, func(_ context.Context, req *web.Request) (*web.Response, error) {
		got <- req
		return web.Text(200, "ok"), nil
	})), got
}

func arrives(t *testing.T, start Start) {
	c, got := asked(t, start)
	c.send("GET /live/a%%20b/index.m3u8?_HLS_msn=7&x=%%2F HTTP/1.1\nHost: edge.example:8090\nAccept: */*\ncookie:  a=b \nX-Empty:\n\n")
	c.answer(200)
	req := <-got
	if req.Method != "GET" || req.Path != "/live/a b/index.m3u8" || req.Query != "_HLS_msn=7&x=%2F" || req.Host != "edge.example:8090" {
		t.Errorf("%s %q ? %q at %q", req.Method, req.Path, req.Query, req.Host)
	}
	if req.Header.Get("Accept") != "*/*" || req.Header.Get("Cookie") != "a=b" || !req.Header.Has("x-empty") || req.Header.Has("Host") {
		t.Errorf("header %v", slices.Collect(req.Header.All()))
	}
	if req.Body != nil || req.TLS != c.secure || req.ClientCert || req.Remote.String() != c.from() {
		t.Errorf("body %v, TLS %v, remote %v", req.Body, req.TLS, req.Remote)
	}
}

func bodyArrives(t *testing.T, start Start) {
	c := dial(t, serve(t, start, func(_ context.Context, req *web.Request) (*web.Response, error) {
		b, err := io.ReadAll(req.Body)
		return web.Text(200, string(b)), err
	}))
	c.send("POST / HTTP/1.1\nHost: weir\nContent-Length: 5\n\nhello")
	if _, got := c.answer(200); got != "hello" {
		t.Errorf("%q", got)
	}
	c.send("PUT / HTTP/1.1\nHost: weir\nTransfer-Encoding: chunked\n\n3\nabc\n2\nde\n0\n\n")
	if _, got := c.answer(200); got != "abcde" {
		t.Errorf("%q", got)
	}
}

// A browser on another site asks first whether it may.
func options(t *testing.T, start Start) {
	c, got := asked(t, start)
	c.send("OPTIONS /x HTTP/1.1\nHost: weir\nOrigin: https://site\n\n")
	c.answer(200)
	if req := <-got; req.Method != "OPTIONS" || req.Path != "/x" {
		t.Errorf("%+v", req)
	}
}

// What a token was checked for is what is served: there is one way to write a path.
func pathTricks(t *testing.T, start Start) {
	addr := serve(t, start, always(func() *web.Response { t.Error("the handler was reached"); return web.Text(200, "") }))
	for _, target := range []string{"/a/../b", "/a/%2e%2e/b", "/a/./b", "//a", "/a//b", "/a%2fb", "/a%5cb", "/%00", "/a%zz",
		"/a\\b", "http://weir/a", "*", "/a#b", "/%c3%28"} {
		c := dial(t, addr)
		if c.bridge != nil && (target == "/a%zz" || target == "http://weir/a") {
			continue // no path at all in HTTP/2: the stream is reset
		}
		method := "GET"
		if target == "*" {
			method = "OPTIONS"
		}
		c.send("%s %s HTTP/1.1\nHost: weir\n\n", method, target)
		c.answer(http.StatusBadRequest)
	}
}

func keepAlive(t *testing.T, start Start) {
	c, _ := asked(t, start)
	for range 3 {
		c.get("/", "")
		c.answer(200)
	}
}

func closeAsked(t *testing.T, start Start) {
	c, _ := asked(t, start)
	c.get("/", "Connection: close\n")
	c.answer(200)
	c.closes()
}

func pipelined(t *testing.T, start Start) {
	c := dial(t, serve(t, start, func(_ context.Context, req *web.Request) (*web.Response, error) {
		return web.Text(200, req.Path), nil
	}))
	c.send("GET /1 HTTP/1.1\nHost: weir\n\nGET /2 HTTP/1.1\nHost: weir\n\nGET /3 HTTP/1.1\nHost: weir\n\n")
	for _, want := range []string{"/1", "/2", "/3"} {
		if _, got := c.answer(200); got != want {
			t.Errorf("answer %q, want %q", got, want)
		}
	}
}

// A playlist request that is parked does not hold back the segment asked for
// before it on the same connection.
func pipelineFlush(t *testing.T, start Start) {
	parked, let := make(chan struct{}), make(chan struct{})
	c := dial(t, serve(t, start, func(ctx context.Context, req *web.Request) (*web.Response, error) {
		if req.Path == "/parked" {
			close(parked)
			<-let
		}
		return web.Text(200, req.Path), nil
	}))
	c.send("GET /now HTTP/1.1\nHost: weir\n\nGET /parked HTTP/1.1\nHost: weir\n\n")
	within(t, 5*time.Second, "the second request to arrive", parked)
	_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
	if _, got := c.answer(200); got != "/now" {
		t.Errorf("first answer %q", got)
	}
	close(let)
	if _, got := c.answer(200); got != "/parked" {
		t.Errorf("second answer %q", got)
	}
}

func hopByHop(t *testing.T, start Start) {
	got := make(chan *web.Request, 1)
	c := dial(t, serve(t, start, func(_ context.Context, req *web.Request) (*web.Response, error) {
		got <- req
		return web.NewResponse(200, web.String("ok"), "Connection", "X-Mine", "X-Mine", "1", "Keep-Alive", "timeout=9",
			"Upgrade", "h2c", "Transfer-Encoding", "gzip", "Content-Length", "99", "Trailer", "X-T", "X-Kept", "1"), nil
	}))
	c.get("/", "Connection: keep-alive, X-Secret\nX-Secret: 1\nKeep-Alive: 5\nTE: trailers\nProxy-Authorization: x\nUpgrade: h2c\nX-Kept: 1\n")
	resp, body := c.answer(200)
	req := <-got
	for _, name := range []string{"Connection", "X-Secret", "Keep-Alive", "TE", "Proxy-Authorization", "Upgrade", "Transfer-Encoding"} {
		if req.Header.Has(name) {
			t.Errorf("the handler saw %s", name)
		}
	}
	for _, name := range []string{"Connection", "X-Mine", "Keep-Alive", "Upgrade", "Trailer"} {
		if resp.Header.Get(name) != "" {
			t.Errorf("the client saw %s: %s", name, resp.Header.Get(name))
		}
	}
	if req.Header.Get("X-Kept") != "1" || resp.Header.Get("X-Kept") != "1" || body != "ok" || resp.ContentLength != 2 {
		t.Errorf("request %v, answer %v %q", slices.Collect(req.Header.All()), resp.Header, body)
	}
}

func lineBreak(t *testing.T, start Start) {
	c := dial(t, serve(t, start, always(func() *web.Response {
		return web.NewResponse(200, web.String("ok"), "X-Bad", "a\r\nSet-Cookie: x=y", "X Bad", "1", "X-Good", "1")
	})))
	c.get("/", "")
	if resp, _ := c.answer(200); resp.Header.Get("Set-Cookie") != "" || resp.Header.Get("X-Bad") != "" || resp.Header.Get("X-Good") != "1" {
		t.Errorf("%v", resp.Header)
	}
}

// What a cache stored keeps the Date of its origin, so that a cache behind us
// can tell how old it is.
func date(t *testing.T, start Start) {
	addr := serve(t, start, func(_ context.Context, req *web.Request) (*web.Response, error) {
		if req.Path == "/stored" {
			return web.NewResponse(200, web.String("ok"), "date", "Sun, 06 Nov 1994 08:49:37 GMT"), nil
		}
		if req.Path == "/error" {
			return nil, errors.New("none")
		}
		return web.NewResponse(200, web.String("ok")), nil
	})
	c := dial(t, addr)
	c.get("/stored", "")
	if resp, _ := c.answer(200); !slices.Equal(resp.Header.Values("Date"), []string{"Sun, 06 Nov 1994 08:49:37 GMT"}) {
		t.Errorf("Date %q", resp.Header.Values("Date"))
	}
	for path, status := range map[string]int{"/": 200, "/error": 500, "/..": 400} {
		c := dial(t, addr)
		c.get(path, "")
		resp, _ := c.answer(status)
		at, err := http.ParseTime(resp.Header.Get("Date"))
		if err != nil || time.Since(at).Abs() > 5*time.Second || len(resp.Header.Values("Date")) != 1 {
			t.Errorf("%s: Date %q", path, resp.Header.Values("Date"))
		}
	}
}

func repeated(t *testing.T, start Start) {
	got := make(chan *web.Request, 1)
	c := dial(t, serve(t, start, func(_ context.Context, req *web.Request) (*web.Response, error) {
		got <- req
		return web.NewResponse(200, web.String("ok"), "Set-Cookie", "a=1", "Set-Cookie", "b=2", "Link", "1", "Link", "2"), nil
	}))
	c.get("/", "X-F: 1\nx-f: 2\n")
	resp, _ := c.answer(200)
	if s := strings.Join(resp.Header.Values("Set-Cookie"), "|"); s != "a=1|b=2" {
		t.Errorf("Set-Cookie %q", s)
	}
	if s := strings.Join(resp.Header.Values("Link"), "|"); s != "1|2" {
		t.Errorf("Link %q", s)
	}
	req := <-got
	if s := slices.Collect(req.Header.Values("X-F")); !slices.Equal(s, []string{"1", "2"}) {
		t.Errorf("X-F %q", s)
	}
}
