package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"weir/internal/spool"
	"weir/internal/web"
)

func newClient(t *testing.T, base string, o ClientOptions) *Client {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	o.Base = u
	c, err := NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		// Whoever follows a body sees its end just before the account is closed.
		await(t, "the requests in flight to end", func() bool { return testutil.ToFloat64(c.acc.inFlight) == 0 })
	})
	return c
}

func get(path string) *web.Request { return &web.Request{Method: "GET", Path: path} }

// upstream answers each connection's first request with the text that script
// sends, step by step; then it closes the connection.
func upstream(t *testing.T, script func(c net.Conn)) (base string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = c.Read(make([]byte, 64<<10))
				script(c)
			}()
		}
	}()
	return "http://" + ln.Addr().String()
}

func sends(text string) func(net.Conn) {
	return func(c net.Conn) { _, _ = io.WriteString(c, strings.ReplaceAll(text, "\n", "\r\n")) }
}

// An edge asks for exactly what it was asked, and hears exactly what was answered.
func TestClientCarriesAnExchangeUnchanged(t *testing.T) {
	var got *http.Request
	var body []byte
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Clone(context.Background())
		body, _ = io.ReadAll(r.Body)
		h := w.Header()
		h.Set("Content-Encoding", "gzip")
		h.Set("Connection", "X-Mine")
		h.Set("X-Mine", "1")
		h.Set("Keep-Alive", "5")
		h["Set-Cookie"] = []string{"a=1", "b=2"}
		h.Set("Location", "/elsewhere")
		w.WriteHeader(302)
		_, _ = w.Write([]byte("not really gzip"))
	}))
	defer srv.Close()
	c := newClient(t, srv.URL+"/prefix/", ClientOptions{Header: web.NewHeader("Weir-Pull-Key", "k", "X-Twice", "ours")})
	req := &web.Request{Method: "POST", Path: "/a b/ü/x", Query: "q=%2F&_HLS_msn=1", Host: "viewer.example", Body: strings.NewReader("hello"),
		Header: web.NewHeader("Accept-Encoding", "br, gzip", "Connection", "X-Secret", "X-Secret", "1", "TE", "trailers", "X-Twice", "theirs",
			"Content-Length", "5", "Expect", "100-continue", "Host", "evil", "X-F", "1", "X-F", "2")}
	resp, err := c.Serve(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := web.ReadAll(context.Background(), resp.Body, 1000)
	resp.Close()
	if err != nil || string(answer) != "not really gzip" || resp.Status != 302 || resp.Get("Location") != "/elsewhere" || resp.Get("Content-Encoding") != "gzip" {
		t.Errorf("%d %v %q %v", resp.Status, slices.Collect(resp.Fields()), answer, err)
	}
	if resp.Header.Has("Connection") || resp.Header.Has("X-Mine") || resp.Header.Has("Keep-Alive") || resp.Header.Has("Content-Length") ||
		!slices.Equal(slices.Collect(resp.Header.Values("Set-Cookie")), []string{"a=1", "b=2"}) {
		t.Errorf("answer's header %v", slices.Collect(resp.Fields()))
	}
	if got.RequestURI != "/prefix/a%20b/%C3%BC/x?q=%2F&_HLS_msn=1" || got.Host != strings.TrimPrefix(srv.URL, "http://") || string(body) != "hello" || got.ContentLength != 5 {
		t.Errorf("%s at %s, body %q of %d", got.RequestURI, got.Host, body, got.ContentLength)
	}
	h := got.Header
	if h.Get("Accept-Encoding") != "br, gzip" || h.Get("Weir-Pull-Key") != "k" || h.Get("X-Secret") != "" || h.Get("Te") != "" || h.Get("Expect") != "" ||
		h.Get("User-Agent") != "" || !slices.Equal(h["X-Twice"], []string{"ours"}) || !slices.Equal(h["X-F"], []string{"1", "2"}) {
		t.Errorf("request's header %v", h)
	}
}

// Each way in which an upstream can fail before its header is there has a
// status and a reason, and the viewer reads no address.
func TestClientNamesUpstreamFaults(t *testing.T) {
	f := func(name, base string, status int, reason string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, base, ClientOptions{Name: "o1", HeadTimeout: 300 * time.Millisecond, DialTimeout: time.Second, MaxHeader: 8 << 10, MaxBody: 1000})
			resp, err := c.Serve(context.Background(), get("/x"))
			if err == nil {
				resp.Close()
				t.Fatalf("answered %d", resp.Status)
			}
			if web.StatusOf(err) != status || web.ReasonOf(err) != reason {
				t.Errorf("%d %s: %v; want %d %s", web.StatusOf(err), web.ReasonOf(err), err, status, reason)
			}
			if !strings.Contains(err.Error(), "o1") || strings.Contains(err.Error(), "127.0.0.1") {
				t.Errorf("the client reads %q", err)
			}
			if n := testutil.ToFloat64(c.acc.requests.WithLabelValues(reason)); n != 1 {
				t.Errorf("counted %v times", n)
			}
		})
	}
	silent := func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) }
	f("nobody listens", "http://127.0.0.1:1", 502, "upstream_unreachable")
	f("no such name", "http://nowhere.invalid", 502, "upstream_unreachable")
	f("closed at once", upstream(t, func(net.Conn) {}), 502, "upstream_closed")
	f("reset", upstream(t, func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }), 502, "upstream_closed")
	f("cut in the header", upstream(t, sends("HTTP/1.1 200 OK\nX-A: 1\n")), 502, "upstream_closed")
	f("silent", upstream(t, silent), 504, "upstream_timeout")
	f("silent in the header", upstream(t, func(c net.Conn) { sends("HTTP/1.1 200 OK\nX-A")(c); silent(c) }), 504, "upstream_timeout")
	f("no HTTP", upstream(t, sends("SSH-2.0-OpenSSH\n\n")), 502, "upstream_bad")
	f("huge header", upstream(t, sends("HTTP/1.1 200 OK\nX-A: "+strings.Repeat("a", 20<<10)+"\n\n")), 502, "upstream_bad")
	f("two lengths", upstream(t, sends("HTTP/1.1 200 OK\nContent-Length: 1\nContent-Length: 2\n\nab")), 502, "upstream_bad")
	f("no length", upstream(t, sends("HTTP/1.1 200 OK\nContent-Length: x\n\nab")), 502, "upstream_bad")
	f("unknown coding", upstream(t, sends("HTTP/1.1 200 OK\nTransfer-Encoding: xx\n\nab")), 502, "upstream_bad")
	f("status nobody knows", upstream(t, sends("HTTP/1.1 999 Odd\nContent-Length: 0\n\n")), 502, "upstream_bad")
	f("too large by its own word", upstream(t, sends("HTTP/1.1 200 OK\nContent-Length: 1001\n\n")), 502, "upstream_bad")
}

// A body that does not come whole is aborted, both for the one who drains it
// and for those who follow it, and what came before stays readable.
func TestClientNeverCompletesACutBody(t *testing.T) {
	type fault struct {
		script func(net.Conn)
		got    string
		fate   string
	}
	hang := func(text string) func(net.Conn) {
		return func(c net.Conn) { sends(text)(c); _, _ = c.Read(make([]byte, 1)) }
	}
	big := strings.Repeat("x", 600)
	for name, f := range map[string]fault{
		"short of its length":     {sends("HTTP/1.1 200 OK\nContent-Length: 10\n\nhello"), "hello", "upstream_cut"},
		"chunks without the last": {sends("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nhello\n"), "hello", "upstream_cut"},
		"cut in a chunk":          {sends("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n9\nhello"), "hello", "upstream_cut"},
		"garbled chunk":           {sends("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nhello\nzz\n"), "hello", "upstream_cut"},
		"stalled":                 {hang("HTTP/1.1 200 OK\nContent-Length: 10\n\nhello"), "hello", "upstream_timeout"},
		"stalled between chunks":  {hang("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nhello\n"), "hello", "upstream_timeout"},
		"nothing at all":          {hang("HTTP/1.1 200 OK\nContent-Length: 10\n\n"), "", "upstream_timeout"},
		"larger than allowed":     {sends("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n258\n" + big + "\n258\n" + big + "\n0\n\n"), (big + big)[:1000], "upstream_bad"},
		"reset": {func(c net.Conn) {
			sends("HTTP/1.1 200 OK\nContent-Length: 10\n\n")(c)
			_ = c.(*net.TCPConn).SetLinger(0)
		}, "", "upstream_cut"},
		"closed by the end, limits": {sends("HTTP/1.1 200 OK\n\n" + big + big), (big + big)[:1000], "upstream_bad"},
	} {
		for _, how := range []string{"drained", "followed"} {
			t.Run(name+", "+how, func(t *testing.T) {
				t.Parallel()
				slab := spool.NewSlab(spool.SlabOptions{Poison: true})
				c := newClient(t, upstream(t, f.script), ClientOptions{Slab: slab, StallTimeout: 300 * time.Millisecond, MaxBody: 1000})
				resp, err := c.Serve(context.Background(), get("/x"))
				if err != nil {
					t.Fatal(err)
				}
				var got bytes.Buffer
				if how == "drained" {
					_, err = web.Copy(context.Background(), &got, resp.Body, 0)
				} else {
					_, err = io.Copy(&got, web.NewReader(context.Background(), resp.Body, 0))
					if _, st := resp.Body.View(int64(got.Len())); st != web.Aborted {
						t.Errorf("state %v", st)
					}
				}
				resp.Close()
				if !errors.Is(err, web.ErrAborted) || got.String() != f.got || web.ReasonOf(err) != f.fate && f.fate != "upstream_cut" {
					t.Errorf("%q and %v; want %q, aborted, %s", got.String(), err, f.got, f.fate)
				}
				await(t, "the account to close", func() bool { return testutil.ToFloat64(c.acc.requests.WithLabelValues(f.fate)) == 1 })
				if slab.InUse() != 0 {
					t.Errorf("%d bytes stay in use", slab.InUse())
				}
			})
		}
	}
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 5 s for %s", what)
		}
	}
}

// A viewer far down the chain sees the first bytes while the last are not made.
func TestClientStreams(t *testing.T) {
	for _, how := range []string{"drained", "followed"} {
		t.Run(how, func(t *testing.T) {
			more := make(chan string)
			c := newClient(t, upstream(t, func(c net.Conn) {
				sends("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n")(c)
				for s := range more {
					sends(fmt.Sprintf("%x\n%s\n", len(s), s))(c)
				}
				sends("0\n\n")(c)
			}), ClientOptions{})
			resp, err := c.Serve(context.Background(), get("/x"))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Close()
			var r io.Reader
			if how == "followed" {
				r = web.NewReader(context.Background(), resp.Body, 0)
			} else {
				pr, pw := io.Pipe()
				r = pr
				go func() {
					_, err := web.Copy(context.Background(), pw, resp.Body, 0)
					pw.CloseWithError(err)
				}()
			}
			for _, s := range []string{"one", "two", "end"} {
				more <- s
				got := make([]byte, 3)
				if _, err := io.ReadFull(r, got); err != nil || string(got) != s {
					t.Fatalf("%q %v, want %q", got, err, s)
				}
			}
			close(more)
			if rest, err := io.ReadAll(r); len(rest) > 0 || err != nil {
				t.Errorf("%q %v", rest, err)
			}
		})
	}
}

// connections counts those that a test server accepted.
func connections(t *testing.T, h http.HandlerFunc) (base string, n *atomic.Int32) {
	n = new(atomic.Int32)
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			n.Add(1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	return srv.URL, n
}

// Segments of one rendition come over one connection.
func TestClientKeepsItsConnection(t *testing.T) {
	base, n := connections(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/304":
			w.WriteHeader(304)
		case "/chunked":
			_, _ = w.Write(make([]byte, 100))
			w.(http.Flusher).Flush()
			_, _ = w.Write(make([]byte, 100))
		default:
			_, _ = w.Write(make([]byte, 1000))
		}
	})
	c := newClient(t, base, ClientOptions{})
	for _, req := range []*web.Request{get("/"), get("/304"), {Method: "HEAD", Path: "/"}, get("/chunked"), get("/")} {
		for _, how := range []string{"drained", "followed"} {
			resp, err := c.Serve(context.Background(), req)
			if err != nil {
				t.Fatal(err)
			}
			if resp.Body != nil && req.Method != "HEAD" {
				if how == "drained" {
					_, err = web.Copy(context.Background(), io.Discard, resp.Body, 0)
				} else {
					_, err = io.Copy(io.Discard, web.NewReader(context.Background(), resp.Body, 0))
				}
				if err != nil {
					t.Error(err)
				}
			}
			if req.Method == "HEAD" && resp.Body.Len() != 1000 {
				t.Errorf("HEAD: length %d", resp.Body.Len())
			}
			resp.Close()
			await(t, "the exchange to end", func() bool { return testutil.ToFloat64(c.acc.inFlight) == 0 })
		}
	}
	if n.Load() != 1 {
		t.Errorf("%d connections, want 1", n.Load())
	}
}

// What nobody wants any more is not fetched any further.
func TestClosingEarlyEndsTheTransfer(t *testing.T) {
	for _, how := range []string{"untouched", "drained", "followed"} {
		t.Run(how, func(t *testing.T) {
			gone := make(chan struct{})
			base, _ := connections(t, func(w http.ResponseWriter, r *http.Request) {
				defer close(gone)
				for r.Context().Err() == nil {
					if _, err := w.Write(make([]byte, 1000)); err != nil {
						return
					}
					w.(http.Flusher).Flush()
					time.Sleep(time.Millisecond)
				}
			})
			slab := spool.NewSlab(spool.SlabOptions{Poison: true})
			c := newClient(t, base, ClientOptions{Slab: slab})
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			resp, err := c.Serve(ctx, get("/"))
			if err != nil {
				t.Fatal(err)
			}
			switch how {
			case "followed":
				if p, _, err := web.Await(context.Background(), resp.Body, 0); len(p) == 0 || err != nil {
					t.Error(len(p), err)
				}
			case "drained":
				time.AfterFunc(20*time.Millisecond, cancel)
				if _, err := web.Copy(ctx, io.Discard, resp.Body, 0); !errors.Is(err, web.ErrAborted) || !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			}
			resp.Close()
			select {
			case <-gone:
			case <-time.After(5 * time.Second):
				t.Fatal("the upstream goes on sending")
			}
			await(t, "the account to close", func() bool { return testutil.ToFloat64(c.acc.requests.WithLabelValues("cancelled")) == 1 })
			await(t, "the memory to come back", func() bool { return slab.InUse() == 0 })
		})
	}
}

// A flight that is called off says so, and does not blame the upstream.
func TestCancelledRequestIsNoFaultOfTheUpstream(t *testing.T) {
	c := newClient(t, upstream(t, func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) }), ClientOptions{})
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("nobody waits")
	time.AfterFunc(50*time.Millisecond, func() { cancel(why) })
	if _, err := c.Serve(ctx, get("/x")); !errors.Is(err, why) || web.ReasonOf(err) != "" {
		t.Errorf("%v", err)
	}
	ctx, stop := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer stop()
	if _, err := c.Serve(ctx, get("/x")); !errors.Is(err, context.DeadlineExceeded) || web.ReasonOf(err) != "upstream_timeout" {
		t.Errorf("%v", err)
	}
}

// The context of Serve may end with Serve: a hop's time limit is for the header.
func TestBodyOutlivesTheContextOfServe(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		time.Sleep(100 * time.Millisecond)
		_, _ = w.Write([]byte("late"))
	}))
	defer srv.Close()
	c := newClient(t, srv.URL, ClientOptions{})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	resp, err := c.Serve(ctx, get("/"))
	cancel()
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Close()
	if b, err := web.ReadAll(context.Background(), resp.Body, 10); string(b) != "late" || err != nil {
		t.Errorf("%q %v", b, err)
	}
}

// A slow follower does not make the upstream look stalled.
func TestTimeSpentPassingBytesOnIsNoStall(t *testing.T) {
	c := newClient(t, upstream(t, sends("HTTP/1.1 200 OK\nContent-Length: 10\n\n0123456789")), ClientOptions{StallTimeout: 50 * time.Millisecond})
	resp, err := c.Serve(context.Background(), get("/"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Close()
	if n, err := web.Copy(context.Background(), dawdler{}, resp.Body, 0); n != 10 || err != nil {
		t.Error(n, err)
	}
}

type dawdler struct{}

func (dawdler) Write(p []byte) (int, error) { time.Sleep(150 * time.Millisecond); return len(p), nil }

// The two ends together: what passes through a client and both adapters is
// what was sent, also when it is cut.
func TestChainOfNodesStreamsAndCuts(t *testing.T) {
	w, body := spool.NewSlab(spool.SlabOptions{}).New(0)
	origin, stop := run(t, newFast(t, FastOptions{Handler: web.HandlerFunc(func(context.Context, *web.Request) (*web.Response, error) {
		return web.NewResponse(200, body, "ETag", `"1"`), nil
	})}))
	defer stop()
	middle, err := NewNet(NetOptions{Handler: newClient(t, "http://"+origin, ClientOptions{})})
	if err != nil {
		t.Fatal(err)
	}
	edge, stopEdge := run(t, middle)
	defer stopEdge()
	c := newClient(t, "http://"+edge, ClientOptions{})
	_, _ = w.Write([]byte("one"))
	resp, err := c.Serve(context.Background(), get("/"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Close()
	if p, _, err := web.Await(context.Background(), resp.Body, 0); string(p) != "one" || err != nil || resp.Get("ETag") != `"1"` {
		t.Fatalf("%q %v", p, err)
	}
	w.Abort(errors.New("encoder died"))
	if _, st, err := web.Await(context.Background(), resp.Body, 3); st != web.Aborted || err != nil {
		t.Errorf("%v %v, want aborted", st, err)
	}
}

func TestClientOptionsAreChecked(t *testing.T) {
	for _, s := range []string{"", "127.0.0.1:80", "ftp://x", "http://", "http://u:p@x", "http://x?q"} {
		u, err := url.Parse(s)
		if err != nil {
			continue
		}
		if _, err := NewClient(ClientOptions{Base: u}); err == nil {
			t.Errorf("%q passes", s)
		}
	}
}
