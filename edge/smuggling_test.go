package edge

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/internal/spool"
	"weir/internal/web"
	"weir/internal/wire"
	"weir/internal/wire/wiretest"
)

// A rawOrigin is a server that notes what arrives on its connections.
type rawOrigin struct {
	url *url.URL

	mu       sync.Mutex
	requests []string // "METHOD target body" of each
	conns    []net.Conn
}

func newRawOrigin(t *testing.T) *rawOrigin {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &rawOrigin{url: &url.URL{Scheme: "http", Host: ln.Addr().String()}}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			o.mu.Lock()
			o.conns = append(o.conns, c)
			o.mu.Unlock()
			all.Go(func() { o.talk(c) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		o.mu.Lock()
		for _, c := range o.conns {
			_ = c.Close()
		}
		o.mu.Unlock()
		all.Wait()
	})
	return o
}

func (o *rawOrigin) talk(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		body, err := io.ReadAll(req.Body)
		o.mu.Lock()
		o.requests = append(o.requests, req.Method+" "+req.RequestURI+" "+string(body))
		o.mu.Unlock()
		if err != nil {
			return
		}
		if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nCache-Control: no-store\r\n\r\nok"); err != nil {
			return
		}
	}
}

func (o *rawOrigin) seen() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	seen := o.requests
	o.requests = nil
	return seen
}

// A request that somebody hid in another never reaches the origin, whichever
// listener it came through, alone or behind a good one; nobody is shown its answer.
func TestSmuggledRequestsNeverReachTheOrigin(t *testing.T) {
	type server interface {
		Serve(net.Listener) error
		Shutdown(context.Context) error
	}
	for name, listen := range map[string]func(web.Handler) (server, error){
		"fast": func(h web.Handler) (server, error) { return wire.NewFast(wire.FastOptions{Handler: h}) },
		"net":  func(h web.Handler) (server, error) { return wire.NewNet(wire.NetOptions{Handler: h}) },
	} {
		t.Run(name, func(t *testing.T) {
			o := newRawOrigin(t)
			client, err := wire.NewClient(wire.ClientOptions{Base: o.url, Name: "origin", Slab: spool.NewSlab(spool.SlabOptions{})})
			if err != nil {
				t.Fatal(err)
			}
			s, err := listen(newEdge(t, Options{QueryAll: true}, client))
			if err != nil {
				t.Fatal(err)
			}
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- s.Serve(ln) }()
			defer func() {
				ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
				defer cancel()
				_ = s.Shutdown(ctx)
				if err := <-done; err != nil {
					t.Error(err)
				}
			}()
			const good = "GET /good HTTP/1.1\r\nHost: weir\r\n\r\n"
			talk := func(text string) string {
				c, err := net.Dial("tcp", ln.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(5 * time.Second))
				_, _ = io.WriteString(c, text)
				answer, err := io.ReadAll(c)
				if errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("%.60q: the connection stays open after %.200q", text, answer)
				}
				return string(answer)
			}
			for name, probe := range wiretest.Probes() {
				for _, before := range []string{"", good} {
					answer := talk(before + probe)
					ok := strings.Count(answer, "HTTP/1.1 200 ")
					for _, asked := range o.seen() {
						if asked != "GET /good " {
							t.Errorf("%s: the origin was asked %q", name, asked)
						}
					}
					if want := len(before) / len(good); ok > want {
						t.Errorf("%s: %d answers of 200, want %d: %.300q", name, ok, want, answer)
					}
				}
			}
			// And the rig can see: the same behind an honest request does arrive.
			talk(good + strings.Replace(good, "/good", "/smuggled", 1) + "GET / HTTP/1.1\r\n\r\n")
			if seen := strings.Join(o.seen(), ","); !strings.Contains(seen, "/smuggled") {
				t.Errorf("the origin was asked %s", seen)
			}
		})
	}
}
