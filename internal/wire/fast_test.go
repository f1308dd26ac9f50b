package wire

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"weir/internal/spool"
	"weir/internal/web"
)

func newFast(t testing.TB, o FastOptions) *Fast {
	t.Helper()
	f, err := NewFast(o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// quick answers "/hit" without waiting and everything else in Serve.
type quick struct{ served chan string }

func (q quick) TryServe(req *web.Request) (*web.Response, bool) {
	return web.Text(200, "quick"), req.Path == "/hit"
}

func (q quick) Serve(_ context.Context, req *web.Request) (*web.Response, error) {
	q.served <- req.Path
	return web.Text(200, "served"), nil
}

// A hit costs neither a context nor a place under the sweeper's eyes.
func TestQuickHandlerIsAskedFirst(t *testing.T) {
	q := quick{make(chan string, 1)}
	addr, stop := run(t, newFast(t, FastOptions{Handler: q}))
	defer stop()
	c, r := dialRaw(t, addr)
	for path, want := range map[string]string{"/hit": "quick", "/miss": "served"} {
		say(t, c, "GET "+path+" HTTP/1.1\nHost: weir\n\n")
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := io.ReadAll(resp.Body); string(b) != want {
			t.Errorf("%s: %q, want %q", path, b, want)
		}
	}
	if path := <-q.served; path != "/miss" || len(q.served) > 0 {
		t.Errorf("Serve got %s", path)
	}
}

// A client that pipelined another request, or garbage, before it left is found
// out as well: its bytes hide the end of the connection from a plain peek.
func TestClientThatLeavesBehindAPipelinedRequestIsNoticed(t *testing.T) {
	t.Parallel()
	in, out := make(chan struct{}, 2), make(chan error, 2)
	f := newFast(t, FastOptions{Handler: web.HandlerFunc(func(ctx context.Context, _ *web.Request) (*web.Response, error) {
		in <- struct{}{}
		<-ctx.Done()
		out <- context.Cause(ctx)
		return nil, ctx.Err()
	})})
	addr, stop := run(t, f)
	defer stop()
	c, _ := dialRaw(t, addr)
	say(t, c, "GET /1 HTTP/1.1\nHost: weir\n\n")
	<-in
	say(t, c, "GET /2 HTTP/1.1\nHost: weir\n\n")
	c.Close()
	select {
	case err := <-out:
		if !errors.Is(err, ErrClientGone) {
			t.Errorf("cause %v", err)
		}
	case <-time.After(2 * time.Second):
		t.Error("not noticed within 2 s")
	}
	stop()
	if n := testutil.ToFloat64(f.acc.gone); n != 1 {
		t.Errorf("client_gone %v, want 1", n)
	}
	if n := testutil.ToFloat64(f.acc.requests.WithLabelValues("GET", "5xx")); n != 0 {
		t.Errorf("a client that left counts as %v server errors", n)
	}
}

// A node that must end now ends: whoever waits is told, and nothing is left over.
func TestShutdownOutOfPatienceEndsExchanges(t *testing.T) {
	for name, newServer := range map[string]func(web.Handler) server{
		"fast": func(h web.Handler) server { return newFast(t, FastOptions{Handler: h}) },
		"net": func(h web.Handler) server {
			n, err := NewNet(NetOptions{Handler: h})
			if err != nil {
				t.Fatal(err)
			}
			return n
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, body := spool.NewSlab(spool.SlabOptions{}).New(0)
			defer w.Abort(nil)
			waits, cause := make(chan bool, 1), make(chan error, 1)
			s := newServer(web.HandlerFunc(func(ctx context.Context, req *web.Request) (*web.Response, error) {
				if req.Path == "/body" {
					return web.NewResponse(200, body), nil
				}
				waits <- true
				<-ctx.Done()
				cause <- context.Cause(ctx)
				return nil, ctx.Err()
			}))
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- s.Serve(ln) }()
			c, _ := dialRaw(t, ln.Addr().String())
			say(t, c, "GET /wait HTTP/1.1\nHost: weir\n\n")
			<-waits
			c2, r2 := dialRaw(t, ln.Addr().String())
			say(t, c2, "GET /body HTTP/1.1\nHost: weir\n\n")
			if _, err := r2.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			defer cancel()
			if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("shutdown: %v", err)
			}
			if err := <-cause; !errors.Is(err, ErrShutdown) {
				t.Errorf("cause %v", err)
			}
			if rest, _ := io.ReadAll(r2); strings.HasSuffix(string(rest), "0\r\n\r\n") {
				t.Error("the body looks complete")
			}
			if err := <-done; err != nil {
				t.Errorf("serve: %v", err)
			}
		})
	}
}

// A server that a second reload replaces before it began never begins, and leaves nothing
// behind (which TestMain finds). Nor does it take connections that its successor is there for.
func TestAServerThatWasShutDownDoesNotBegin(t *testing.T) {
	fast := newFast(t, FastOptions{Handler: unreached(t)})
	n, err := NewNet(NetOptions{Handler: unreached(t)})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []server{fast, n, newTLSFor(t, TLSOptions{FastOptions: FastOptions{Handler: unreached(t)}})} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		if err := s.Shutdown(t.Context()); err != nil {
			t.Errorf("%T: %v", s, err)
		}
		done := make(chan error, 1)
		go func() { done <- s.Serve(ln) }()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("%T: %v", s, err)
			}
		case <-time.After(5 * time.Second):
			t.Errorf("%T serves", s)
		}
	}
}

// lines keeps what is logged.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// Whoever can read the log can play nothing with what stands there.
func TestLogHoldsNoTokenAndNoQuery(t *testing.T) {
	var log lines
	h := web.HandlerFunc(func(_ context.Context, req *web.Request) (*web.Response, error) {
		if strings.HasSuffix(req.Path, "boom") {
			panic("boom")
		}
		return web.Text(200, ""), nil
	})
	f := newFast(t, FastOptions{Handler: h, AccessLog: true, Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	addr, stop := run(t, f)
	for _, path := range []string{"/t/s3cret/live/x", "/live/x?token=s3cret", "/t/s3cret", "/t/s3cret/../x", "/t/s3cret/boom", "http://u/t/s3cret/y"} {
		c, r := dialRaw(t, addr)
		say(t, c, "GET "+path+" HTTP/1.1\nHost: weir\nX-A: s3cret\nAuthorization: s3cret\nConnection: close\n\n")
		_, _ = io.Copy(io.Discard, r)
	}
	c, r := dialRaw(t, addr)
	say(t, c, "GET /t/s3cret HTTP/1.1\nHost: weir\nX-Bad s3cret\n\n") // what fasthttp itself refuses
	_, _ = io.Copy(io.Discard, r)
	stop()
	if s := log.text.String(); strings.Contains(s, "s3cret") || strings.Count(s, "msg=request ") != 7 || !strings.Contains(s, "path=/t/***/live/x") {
		t.Errorf("log:\n%s", s)
	}
}

// Two listeners that share a registry, and one that is opened again under its
// name, count without a panic.
func TestListenersShareARegistry(t *testing.T) {
	reg := prometheus.NewRegistry()
	a := newFast(t, FastOptions{Handler: quick{}, Name: "viewers", Registerer: reg})
	b := newFast(t, FastOptions{Handler: quick{}, Name: "peers", Registerer: reg})
	again := newFast(t, FastOptions{Handler: quick{}, Name: "viewers", Registerer: reg})
	a.acc.panics.Inc()
	again.acc.panics.Inc()
	if x, y := testutil.ToFloat64(a.acc.panics), testutil.ToFloat64(b.acc.panics); x != 2 || y != 0 {
		t.Errorf("%v, %v", x, y)
	}
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	if _, err := NewFast(FastOptions{}); err == nil {
		t.Error("NewFast without a handler")
	}
	if _, err := NewFast(FastOptions{Handler: quick{}, WriteStall: -1}); err == nil {
		t.Error("NewFast with a negative timeout")
	}
	if _, err := NewNet(NetOptions{}); err == nil {
		t.Error("NewNet without a handler")
	}
	if _, err := NewNet(NetOptions{Handler: quick{}, MaxBody: -1}); err == nil {
		t.Error("NewNet with a negative limit")
	}
}

// A connection that drips its header, or sends none, is not held for long.
func TestSlowHeaderIsCut(t *testing.T) {
	t.Parallel()
	addr, stop := run(t, newFast(t, FastOptions{Handler: quick{}, HeaderTimeout: 300 * time.Millisecond, IdleTimeout: 300 * time.Millisecond}))
	defer stop()
	for _, text := range []string{"", "G", "GET / HTTP/1.1\n", "POST / HTTP/1.1\nHost: weir\nContent-Length: 10\n\nabc"} {
		c, r := dialRaw(t, addr)
		say(t, c, text)
		start := time.Now()
		got, err := io.ReadAll(r)
		if d := time.Since(start); err != nil || d > 3*time.Second {
			t.Errorf("%q: open for %v, %v", text, d, err)
		}
		if len(got) > 0 && !strings.HasPrefix(string(got), "HTTP/1.1 408 ") {
			t.Errorf("%q: answered %.80q", text, got)
		}
	}
}

// A stored hit through the adapter: what the wire itself costs.
func BenchmarkFast(b *testing.B) {
	for name, size := range map[string]int{"2KiB": 2 << 10, "1MiB": 1 << 20} {
		b.Run(name, func(b *testing.B) {
			stored := spool.NewSlab(spool.SlabOptions{}).NewBuffer(make([]byte, size))
			base := web.NewHeader("Content-Type", "video/mp4", "Cache-Control", "max-age=3600, immutable", "ETag", `"1"`,
				"Date", "Sun, 06 Nov 1994 08:49:37 GMT", "Access-Control-Allow-Origin", "*")
			addr, stop := run(b, newFast(b, FastOptions{Handler: hit{stored, &base}}))
			defer stop()
			c, err := net.Dial("tcp", addr)
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			r := bufio.NewReaderSize(c, 64<<10)
			request := []byte("GET /live/news/v/seg1.m4s HTTP/1.1\r\nHost: weir\r\nUser-Agent: bench\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n\r\n")
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Write(request); err != nil {
					b.Fatal(err)
				}
				for {
					line, err := r.ReadSlice('\n')
					if err != nil {
						b.Fatal(err)
					}
					if len(line) == 2 {
						break
					}
				}
				if _, err := r.Discard(size); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// hit answers at once from one stored body.
type hit struct {
	stored *spool.Buffer
	base   *web.Header
}

func (h hit) TryServe(*web.Request) (*web.Response, bool) {
	h.stored.TryRef()
	return &web.Response{Status: 200, Base: h.base, Body: h.stored}, true
}

func (h hit) Serve(context.Context, *web.Request) (*web.Response, error) { panic("not a hit") }
