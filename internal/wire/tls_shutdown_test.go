package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"weir/internal/web"
)

// A node that must end now ends over TLS too, in both protocols and with handshakes that go
// nowhere and clients that take nothing: who is parked hears why, who is in the middle of a
// body is cut, each body is closed, and each place at the gate given back.
func TestShutdownOutOfPatienceEndsTLS(t *testing.T) {
	t.Parallel()
	gate := &doorman{most: 1000}
	parked, causes := make(chan bool, 8), make(chan error, 8)
	var closed atomic.Int32
	big := web.Bytes(make([]byte, 32<<20))
	s := newTLSFor(t, TLSOptions{FastOptions: FastOptions{Gate: gate, Handler: web.HandlerFunc(func(ctx context.Context, req *web.Request) (*web.Response, error) {
		if req.Path == "/big" {
			return web.NewResponse(200, closing{big, &closed}), nil
		}
		parked <- true
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return nil, context.Cause(ctx)
	})}})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	addr := ln.Addr().String()
	ends := make(chan error, 8)
	for _, h2 := range []bool{false, true} {
		tr := &http.Transport{TLSClientConfig: insecure(), Protocols: new(http.Protocols)}
		tr.Protocols.SetHTTP1(!h2)
		tr.Protocols.SetHTTP2(h2)
		defer tr.CloseIdleConnections()
		c := &http.Client{Transport: tr, Timeout: 20 * time.Second}
		for range 2 {
			go func() {
				resp, err := c.Get("https://" + addr + "/wait")
				if err == nil {
					resp.Body.Close()
					if resp.StatusCode < 500 {
						ends <- fmt.Errorf("h2 %v: %s", h2, resp.Status)
						return
					}
				}
				ends <- nil
			}()
			<-parked
		}
		resp, err := c.Get("https://" + addr + "/big") // and nobody reads it
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			time.Sleep(500 * time.Millisecond)
			if n, err := io.Copy(io.Discard, resp.Body); err == nil {
				ends <- fmt.Errorf("h2 %v: %d bytes look whole", h2, n)
				return
			}
			ends <- nil
		}()
	}
	idle, _ := dialRaw(t, addr) // says nothing
	defer idle.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("shutdown: %v", err)
	}
	if d := time.Since(began); d > 3*time.Second {
		t.Errorf("it took %v", d)
	}
	if err := <-served; err != nil {
		t.Errorf("serve: %v", err)
	}
	for range 4 {
		if err := <-causes; !errors.Is(err, ErrShutdown) {
			t.Errorf("cause %v", err)
		}
	}
	for range 6 {
		if err := <-ends; err != nil {
			t.Error(err)
		}
	}
	for end := time.Now().Add(5 * time.Second); closed.Load() != 2 || gate.count() != 0 || s.open.Load() != 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d bodies closed of 2, %d at the gate, %d open", closed.Load(), gate.count(), s.open.Load())
		}
	}
	if gate.left != 0 {
		t.Errorf("%d left who were not in", gate.left)
	}
}
