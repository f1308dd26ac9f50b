package wire

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"

	"weir/internal/web"
)

// Viewers' connections reach the kernel as they are: behind a wrapper, or a limit per address
// that makes fasthttp wrap them, writev falls apart into writes and sendfile into copies.
func TestViewersConnectionsAreNotWrapped(t *testing.T) {
	f, err := NewFast(FastOptions{Handler: web.HandlerFunc(func(context.Context, *web.Request) (*web.Response, error) {
		return web.Text(http.StatusOK, "here"), nil
	})})
	if err != nil {
		t.Fatal(err)
	}
	if f.server.MaxConnsPerIP != 0 {
		t.Error("MaxConnsPerIP is set")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- f.Serve(ln) }()
	resp, err := http.Get("http://" + ln.Addr().String() + "/")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	f.mu.Lock()
	for c := range f.conns {
		if _, ok := c.(*net.TCPConn); !ok {
			t.Errorf("the connection is a %T", c)
		}
	}
	if len(f.conns) != 1 {
		t.Errorf("%d connections", len(f.conns))
	}
	f.mu.Unlock()
	http.DefaultClient.CloseIdleConnections()
	if err := f.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
