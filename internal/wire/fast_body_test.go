package wire

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"weir/internal/web"
)

// Whoever announces large bodies and sends none of them costs no more than there is for
// that: the next hears 503, and those who send little are served on. What went away, was
// late or has come is there for others again.
func TestBodiesThatAreOnlyAnnouncedAreBounded(t *testing.T) {
	const size = 1 << 20
	h := web.HandlerFunc(func(_ context.Context, req *web.Request) (*web.Response, error) {
		n := int64(0)
		if req.Body != nil {
			n, _ = io.Copy(io.Discard, req.Body)
		}
		return web.Text(200, fmt.Sprint(n)), nil
	})
	f := newFast(t, FastOptions{Handler: h, MaxBody: size, HeaderTimeout: 2 * time.Second})
	f.bodies.most = 3 * size
	addr, stop := run(t, f)
	defer stop()
	announce := func() (net.Conn, func() int) {
		c, r := dialRaw(t, addr)
		say(t, c, fmt.Sprintf("POST / HTTP/1.1\nHost: weir\nContent-Length: %d\n\n", size))
		return c, func() int {
			t.Helper()
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			return resp.StatusCode
		}
	}
	held := func() int64 {
		f.bodies.mu.Lock()
		defer f.bodies.mu.Unlock()
		return f.bodies.bytes
	}
	until := func(n int64) {
		t.Helper()
		for end := time.Now().Add(5 * time.Second); held() != n; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d bytes are announced, want %d", held(), n)
			}
		}
	}
	gone, _ := announce()
	sends, sent := announce()
	_, late := announce()
	until(3 * size)
	if _, status := announce(); status() != 503 {
		t.Error("a fourth one is let in")
	}
	c, r := dialRaw(t, addr)
	say(t, c, "POST / HTTP/1.1\nHost: weir\nContent-Length: 5\n\nsmall")
	if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 200 {
		t.Errorf("a small one: %v %v", resp, err)
	}
	_ = gone.Close()
	until(2 * size)
	if _, err := io.WriteString(sends, strings.Repeat("x", size)); err != nil || sent() != 200 {
		t.Errorf("one that is sent: %v", err)
	}
	until(size)
	if late() != 408 {
		t.Error("one that never comes")
	}
	until(0)
	if n := len(f.bodies.waiting); n != 0 {
		t.Errorf("%d are remembered", n)
	}
}
