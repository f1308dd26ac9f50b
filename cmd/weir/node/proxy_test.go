package node

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"weir/cmd/weir/config"
)

// site is a web application as an edge with query all may stand before.
type site struct {
	*httptest.Server
	reads, writes atomic.Int64
	text          atomic.Value
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{}
	s.text.Store("first")
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/hints":
			w.Header().Set("Link", "</a.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Del("Link")
			w.Header().Set("Cache-Control", "max-age=60")
			_, _ = io.WriteString(w, "page")
		case r.URL.Path == "/trailers":
			w.Header().Set("Trailer", "X-Sum, Cache-Control")
			w.Header().Set("ETag", `"t"`)
			w.WriteHeader(200)
			_, _ = io.WriteString(w, "body")
			w.Header().Set("X-Sum", "1")
			w.Header().Set("Cache-Control", "max-age=3600")
		case r.URL.Path == "/cut":
			w.Header().Set("Content-Length", "1000")
			w.Header().Set("Cache-Control", "max-age=60")
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		case r.Method == http.MethodGet, r.Method == http.MethodHead:
			s.reads.Add(1)
			w.Header().Set("Cache-Control", "max-age=3600")
			w.Header().Set("X-Method", r.Method)
			text, _ := s.text.Load().(string)
			w.Header().Set("Content-Length", strconv.Itoa(len(text)))
			_, _ = io.WriteString(w, text)
		default:
			s.writes.Add(1)
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			w.Header().Set("X-Saw", fmt.Sprintf("%s %s %d %v %s", r.Method, r.RequestURI, r.ContentLength, r.TransferEncoding, r.Header.Get("Via")))
			w.Header().Set("X-For", r.Header.Get("X-Forwarded-For")+" "+r.Header.Get("X-Forwarded-Host"))
			w.WriteHeader(http.StatusCreated)
			_, _ = w.Write(body)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// An edge before any web server, over real connections.
func TestAnEdgeIsAReverseProxyForAnything(t *testing.T) {
	s := newSite(t)
	c := edgeConfig(s.URL)
	c.Query, c.Name = config.QueryAll, "e1"
	e := startEdge(t, c)
	addr := e.Addrs().Viewers
	base := "http://" + addr
	do := func(method, path string, body io.Reader) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequest(method, base+path, body)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
		defer resp.Body.Close()
		p, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Errorf("%s %s: %v", method, path, err)
		}
		return resp, string(p)
	}

	// HEAD first: it makes no entry; then two reads are one request.
	if resp, _ := do("HEAD", "/a?x=1", nil); resp.StatusCode != 200 || resp.ContentLength != 5 || resp.Header.Get("X-Method") != "HEAD" {
		t.Errorf("HEAD: %d %v", resp.StatusCode, resp.Header)
	}
	for range 2 {
		if resp, text := do("GET", "/a?x=1", nil); text != "first" || resp.Header.Get("X-Method") != "GET" {
			t.Errorf("%q %v", text, resp.Header)
		}
	}
	if n := s.reads.Load(); n != 2 {
		t.Errorf("%d reads at the origin, want 2", n)
	}

	// A write goes through, whole, and what it changed is asked for anew (CA-23).
	s.text.Store("second")
	for i, body := range []string{"small", strings.Repeat("large ", 100_000)} {
		resp, text := do("PUT", "/a?x=1", strings.NewReader(body))
		if resp.StatusCode != 201 || text != body {
			t.Errorf("PUT %d: %d, %d bytes of %d came back", i, resp.StatusCode, len(text), len(body))
		}
		if saw := resp.Header.Get("X-Saw"); saw != fmt.Sprintf("PUT /a?x=1 %d [] 1.1 e1", len(body)) {
			t.Errorf("the origin saw %q", saw)
		}
		if got := resp.Header.Get("X-For"); got != "127.0.0.1 "+addr {
			t.Errorf("the origin was told %q", got)
		}
	}
	if _, text := do("GET", "/a?x=1", nil); text != "second" {
		t.Errorf("after the write: %q", text)
	}
	// One in chunks too, and with a method that nobody knows.
	if resp, text := do("FROBNICATE", "/b%20c", struct{ io.Reader }{strings.NewReader("chunks")}); resp.StatusCode != 201 || text != "chunks" {
		t.Errorf("%d %q", resp.StatusCode, text)
	}
	before := s.writes.Load()
	// The answer may be lost where the client still sends when the connection is closed.
	resp, err := http.Post(base+"/a", "text/plain", bytes.NewReader(make([]byte, 2<<20)))
	if err == nil {
		resp.Body.Close()
	}
	if err == nil && resp.StatusCode != 413 || s.writes.Load() != before {
		t.Errorf("a body above proxy.max_body: %v, %d writes", resp, s.writes.Load()-before)
	}
	if resp, _ := do("TRACE", "/a", nil); resp.StatusCode != 405 {
		t.Errorf("TRACE: %d", resp.StatusCode)
	}

	// Interim answers go ahead and are not stored (CA-37).
	for i := range 2 {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = io.WriteString(conn, "GET /hints HTTP/1.1\r\nHost: x\r\n\r\n")
		r := bufio.NewReader(conn)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if resp.StatusCode != 103 || resp.Header.Get("Link") == "" {
				t.Errorf("%d %v, want the hint", resp.StatusCode, resp.Header)
			}
			if resp, err = http.ReadResponse(r, nil); err != nil {
				t.Fatal(err)
			}
		}
		if text, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || string(text) != "page" || resp.Header.Get("Link") != "" {
			t.Errorf("%d: %d %q %v", i, resp.StatusCode, text, resp.Header)
		}
	}

	// Trailers are no fields: what they say of lifetimes keeps nothing.
	for range 2 {
		if resp, text := do("GET", "/trailers", nil); text != "body" || resp.Header.Get("Cache-Control") != "" || resp.Header.Get("X-Sum") != "" || len(resp.Trailer) != 0 {
			t.Errorf("%q %v %v", text, resp.Header, resp.Trailer)
		} else if resp.Header.Get("Age") != "" {
			t.Error("a trailer made it storable")
		}
	}

	// A body that is cut is cut for the viewer too (CA-28).
	for range 2 {
		resp, err := http.Get(base + "/cut")
		if err != nil {
			continue // cut before the header was out
		}
		if text, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("half a body was taken for a whole one: %q", text)
		}
		resp.Body.Close()
	}
}

// What the manual says of each key is what the edge does.
func TestProxyKeysReachTheEdge(t *testing.T) {
	var saw atomic.Value
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		saw.Store(r.Header.Clone())
		asked.Add(1)
		w.Header().Set("Cache-Control", "max-age=60")
	}))
	defer s.Close()
	ask := func(change func(*config.Edge), method string) (h http.Header, requests int64) {
		t.Helper()
		c := edgeConfig(s.URL)
		c.Query, c.Name = config.QueryAll, "e1"
		change(c)
		e := startEdge(t, c)
		asked.Store(0)
		for range 3 {
			req, err := http.NewRequest(method, "http://"+e.Addrs().Viewers+"/a", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Cache-Control", "no-cache")
			req.Header.Set("Cookie", "a=b")
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		}
		h, _ = saw.Load().(http.Header)
		return h, asked.Load()
	}
	if h, n := ask(func(*config.Edge) {}, "GET"); n != 1 || h.Get("Via") != "1.1 e1" || h.Get("Cookie") != "a=b" {
		t.Errorf("defaults: %d requests, %v", n, h)
	}
	for _, method := range []string{"GET", "POST"} {
		h, n := ask(func(c *config.Edge) {
			c.Fetch.Via, c.Proxy.Cookies, c.Cache.RequestDirectives = false, config.CookiesDrop, config.DirectivesHonour
		}, method)
		if n != 3 || h.Get("Via") != "" || h.Get("Cookie") != "" {
			t.Errorf("%s, all keys otherwise: %d requests, %v", method, n, h)
		}
	}
}
