package wire

import (
	"context"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"weir/internal/web"
)

// Row CA-37: what comes before an answer is passed on and is no part of it.
func TestCA37InterimAnswersAreHandedOnAndAreNoAnswer(t *testing.T) {
	c := newClient(t, upstream(t, sends("HTTP/1.1 103 Early Hints\nLink: </a>\nConnection: X-Hop\nX-Hop: 1\n\n"+
		"HTTP/1.1 100 Continue\n\nHTTP/1.1 102 Processing\n\nHTTP/1.1 200 OK\nContent-Length: 2\nX-A: 1\n\nok")), ClientOptions{})
	var mu sync.Mutex
	var seen []string
	req := get("/")
	req.Inform = func(status int, h *web.Header) {
		mu.Lock()
		defer mu.Unlock()
		text := ""
		for f := range h.All() {
			text += " " + f.Name + "=" + f.Value
		}
		seen = append(seen, strings.TrimSpace(string(rune('0'+status%10))+text))
	}
	resp, err := c.Serve(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Close()
	p, err := web.ReadAll(context.Background(), resp.Body, 100)
	if resp.Status != 200 || string(p) != "ok" || err != nil || resp.Get("Link") != "" || resp.Get("X-A") != "1" {
		t.Errorf("%d %v %q %v", resp.Status, resp.Flatten(), p, err)
	}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(seen, []string{"3 Link=</a>", "2"}) {
		t.Errorf("%q", seen)
	}
}

// An upstream that never comes to the point is left.
func TestEndlessInterimAnswersAreAFault(t *testing.T) {
	c := newClient(t, upstream(t, func(c net.Conn) {
		for range 10_000 {
			if _, err := io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nX: "+strings.Repeat("x", 100)+"\r\n\r\n"); err != nil {
				return
			}
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	}), ClientOptions{})
	req, n := get("/"), 0
	req.Inform = func(int, *web.Header) { n++ }
	if _, err := c.Serve(context.Background(), req); web.StatusOf(err) != 502 || n > maxInterimGot {
		t.Errorf("%v after %d", err, n)
	}
	if _, err := c.Serve(context.Background(), get("/")); web.StatusOf(err) != 502 {
		t.Errorf("%v where nobody wants to hear them", err)
	}
}

// "A recipient MUST NOT merge a trailer field into the header section" (RFC
// 9110 section 6.5.1): not an origin's Cache-Control, nor one that says how
// long the body was.
func TestTrailersOfAnAnswerAreNoFields(t *testing.T) {
	c := newClient(t, upstream(t, sends("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTrailer: X-Sum, Cache-Control\nX-A: 1\n\n"+
		"2\nok\n0\nX-Sum: 1\nCache-Control: max-age=99\nETag: \"x\"\nContent-Length: 99\n\n")), ClientOptions{})
	resp, err := c.Serve(context.Background(), get("/"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Close()
	p, err := web.ReadAll(context.Background(), resp.Body, 100)
	if string(p) != "ok" || err != nil {
		t.Errorf("%q %v", p, err)
	}
	for _, name := range []string{"X-Sum", "Cache-Control", "ETag", "Trailer", "Content-Length"} {
		if v := resp.Get(name); v != "" {
			t.Errorf("%s: %s", name, v)
		}
	}
}
