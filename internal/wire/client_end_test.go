package wire

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"weir/internal/web"
)

// readingConn tells when something has come.
type readingConn struct {
	net.Conn
	came func()
}

func (c readingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.came()
	}
	return n, err
}

// The context of a request ends at the very moment that its answer comes, as those
// of hedged requests do: it is over, whoever is faster, and its place among the
// connections is given back once.
func TestAContextThatEndsWithTheAnswerGivesItsPlaceBackOnce(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("ok")) }))
	defer srv.Close()
	var end atomic.Pointer[context.CancelFunc]
	c := newClient(t, srv.URL, ClientOptions{MaxConns: 1, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		return readingConn{conn, func() { (*end.Load())() }}, err
	}})
	for range 500 {
		ctx, cancel := context.WithCancel(t.Context())
		end.Store(&cancel)
		if resp, err := c.Serve(ctx, &web.Request{Method: "GET", Path: "/"}); !errors.Is(err, context.Canceled) {
			t.Fatalf("%v, %v", resp, err)
		}
		if n := len(c.pool.slots); n != 0 {
			t.Fatalf("%d places are in use", n)
		}
	}
}
