package wiretest

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/internal/web"
)

var interim = map[string]func(*testing.T, Start){
	"InterimAnswersGoAheadOfTheAnswer":     interimAhead,
	"InterimAnswersAreForHTTP11":           interimOld,
	"InterimAnswersOfOneHopAreNotPassedOn": interimHop,
	"InterimAnswersAfterTheEndGoNowhere":   interimLate,
	"InterimAnswersAreBounded":             interimMany,
	"TrailersOfARequestAreNoFields":        requestTrailers,
}

// early reads the interim answers up to the answer itself.
func (c *conn) early() (seen []*http.Response, last *http.Response) {
	c.t.Helper()
	for {
		resp := c.head("GET")
		if resp.StatusCode >= 200 {
			return seen, resp
		}
		seen = append(seen, resp)
	}
}

// A page's styles are on their way before the page is ready (103).
func interimAhead(t *testing.T, start Start) {
	sent := make(chan struct{})
	addr := serve(t, start, func(_ context.Context, req *web.Request) (*web.Response, error) {
		if req.Inform == nil {
			t.Error("nowhere to send interim answers")
			return web.Text(200, ""), nil
		}
		h := web.NewHeader("Link", "</a.css>; rel=preload", "Connection", "X-Hop", "X-Hop", "1", "Bad", "a\r\nb", "Content-Length", "9")
		req.Inform(103, &h)
		<-sent
		other := web.NewHeader("X-Progress", "half")
		req.Inform(102, &other)
		return web.NewResponse(200, web.String("page"), "X-Page", "1"), nil
	})
	c := dial(t, addr)
	for i := range 2 { // the connection is not spoiled by them
		c.get("/", "")
		first := c.head("GET") // before the handler goes on
		if first.StatusCode != 103 || first.Header.Get("Link") != "</a.css>; rel=preload" || len(first.Header) != 1 {
			t.Errorf("%d: %d %v", i, first.StatusCode, first.Header)
		}
		sent <- struct{}{}
		seen, last := c.early()
		if len(seen) != 1 || seen[0].StatusCode != 102 || seen[0].Header.Get("X-Progress") != "half" {
			t.Errorf("%d: %d more interim answers", i, len(seen))
		}
		body := make([]byte, 4)
		_, _ = last.Body.Read(body)
		if last.StatusCode != 200 || string(body) != "page" || last.Header.Get("Link") != "" || last.Header.Get("X-Page") != "1" {
			t.Errorf("%d: %d %v %q", i, last.StatusCode, last.Header, body)
		}
	}
}

// "A server MUST NOT send a 1xx response to an HTTP/1.0 client" (RFC 9110
// section 15.2).
func interimOld(t *testing.T, start Start) {
	c := dial(t, serve(t, start, func(_ context.Context, req *web.Request) (*web.Response, error) {
		if req.Inform != nil {
			req.Inform(103, &web.Header{})
		}
		return web.Text(200, "old"), nil
	}))
	c.send("GET / HTTP/1.0\nHost: weir\n\n")
	if _, got := c.answer(200); got != "old" {
		t.Errorf("%q", got)
	}
}

func interimHop(t *testing.T, start Start) {
	c := dial(t, serve(t, start, func(_ context.Context, req *web.Request) (*web.Response, error) {
		for _, status := range []int{100, 101, 0, 99, 200, 304, 1000} {
			req.Inform(status, &web.Header{})
		}
		return web.Text(200, "x"), nil
	}))
	c.get("/", "")
	if seen, last := c.early(); len(seen) != 0 || last.StatusCode != 200 {
		t.Errorf("%d interim answers before a %d", len(seen), last.StatusCode)
	}
}

// An upstream that talks on when its answer was given, or given up, must not
// get words into the middle of another answer.
func interimLate(t *testing.T, start Start) {
	var mu sync.Mutex
	var late []func(int, *web.Header)
	c := dial(t, serve(t, start, func(_ context.Context, req *web.Request) (*web.Response, error) {
		mu.Lock()
		defer mu.Unlock()
		for _, inform := range late {
			go inform(103, &web.Header{})
		}
		late = append(late, req.Inform)
		return web.Text(200, strings.Repeat("x", 20<<10)), nil
	}))
	for range 20 {
		c.get("/", "")
		if _, got := c.answer(200); len(got) != 20<<10 {
			t.Errorf("%d bytes", len(got))
		}
	}
}

func interimMany(t *testing.T, start Start) {
	c := dial(t, serve(t, start, func(_ context.Context, req *web.Request) (*web.Response, error) {
		begin := time.Now()
		for i := range 20_000 {
			h := web.NewHeader("X-N", fmt.Sprint(i), "X-Long", strings.Repeat("x", 1000))
			req.Inform(103, &h)
		}
		if d := time.Since(begin); d > 5*time.Second {
			t.Errorf("it took %v to be rid of them", d)
		}
		return web.Text(200, "x"), nil
	}))
	c.get("/", "")
	if seen, last := c.early(); len(seen) == 0 || len(seen) > 16 || last.StatusCode != 200 {
		t.Errorf("%d interim answers before a %d", len(seen), last.StatusCode)
	}
}

// What comes behind a body is not what came before it: "a recipient MUST NOT
// merge a trailer field into the header section" unless it knows that it may
// (RFC 9110 section 6.5.1).
func requestTrailers(t *testing.T, start Start) {
	seen := make(chan web.Header, 1)
	c := dial(t, serve(t, start, func(ctx context.Context, req *web.Request) (*web.Response, error) {
		resp, err := reading(ctx, req)
		seen <- req.Header.Clone()
		return resp, err
	}))
	c.send("POST / HTTP/1.1\nHost: weir\nTransfer-Encoding: chunked\nTrailer: X-Sum, X-User\n\n3\nabc\n0\nX-Sum: 1\nX-User: forged\n\n")
	c.answer(200)
	h := <-seen
	for _, name := range []string{"X-Sum", "X-User", "Trailer"} {
		if h.Has(name) {
			t.Errorf("the handler saw %s: %s", name, h.Get(name))
		}
	}
	c.get("/", "")
	c.answer(200)
	if h := <-seen; h.Has("X-Sum") {
		t.Error("a trailer was taken for a field of the next request")
	}
}
