package edge

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/internal/web"
	"weir/internal/wire"
)

// A cutter is an origin on a socket that closes its connection in the middle
// of its first answer to each path.
type cutter struct {
	text    string
	tag     string
	chunked bool
	cut     int  // after how many bytes of the body
	noEnd   bool // even the whole body lacks its end mark
	raw     bool // cut counts the bytes on the wire, framing included

	mu   sync.Mutex     // guards cut, too
	seen map[string]int // guarded by mu; requests by path
	base *url.URL
}

func (c *cutter) start(t testing.TB) *wire.Client {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.base, c.seen = &url.URL{Scheme: "http", Host: ln.Addr().String()}, map[string]int{}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { defer func() { _ = conn.Close() }(); c.serve(conn) })
		}
	})
	client, err := wire.NewClient(wire.ClientOptions{Base: c.base})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); _ = ln.Close(); conns.Wait() })
	return client
}

func (c *cutter) serve(conn net.Conn) {
	r := bufio.NewReader(conn)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		c.mu.Lock()
		c.seen[req.URL.Path]++
		first, cutAt := c.seen[req.URL.Path] == 1, c.cut
		c.mu.Unlock()
		var out bytes.Buffer
		part, head := c.text, "HTTP/1.1 200 OK\r\n"
		var from, to int
		if n, _ := fmt.Sscanf(req.Header.Get("Range"), "bytes=%d-%d", &from, &to); n > 0 && req.Header.Get("If-Range") == c.tag {
			if n == 1 {
				to = len(c.text) - 1
			}
			part = c.text[from : to+1]
			head = fmt.Sprintf("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes %d-%d/%d\r\n", from, to, len(c.text))
		}
		cut := len(part)
		if first && !c.raw {
			cut = min(cut, cutAt)
		}
		headed := 0
		fmt.Fprintf(&out, "%sCache-Control: max-age=600\r\nETag: %s\r\n", head, c.tag)
		if !c.chunked {
			fmt.Fprintf(&out, "Content-Length: %d\r\n\r\n%s", len(part), part[:cut])
		} else {
			out.WriteString("Transfer-Encoding: chunked\r\n\r\n")
			headed = out.Len()
			for rest := part[:cut]; rest != ""; {
				piece := rest[:min(len(rest), rottenChunk)]
				rest = rest[len(piece):]
				fmt.Fprintf(&out, "%x\r\n%s\r\n", len(piece), piece)
			}
			if !first || cut == len(part) && !c.noEnd {
				out.WriteString("0\r\n\r\n")
			}
		}
		if first && c.raw {
			out.Truncate(min(out.Len(), headed+cutAt))
		}
		if _, err := conn.Write(out.Bytes()); err != nil || first && (cut < len(part) || c.noEnd) {
			return
		}
	}
}

func (c *cutter) cutAt(place int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = place
}

func (c *cutter) asked(path string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen[path]
}

// rested makes e forget which origins failed.
func rested(e *Edge) {
	e.origins.mu.Lock()
	defer e.origins.mu.Unlock()
	e.origins.states = nil
}

// door serves h to viewers on a socket.
func door(t testing.TB, h web.Handler) string {
	t.Helper()
	f, err := wire.NewFast(wire.FastOptions{Handler: h})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = f.Serve(ln) }()
	t.Cleanup(func() { _ = ln.Close(); _ = f.Shutdown(t.Context()); <-done })
	return "http://" + ln.Addr().String()
}

// fetch gets a URL as a player does.
func fetch(t testing.TB, url string, pairs ...string) (*http.Response, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", "identity")
	for i := 0; i < len(pairs); i += 2 {
		req.Header.Set(pairs[i], pairs[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return &http.Response{}, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	p, err := io.ReadAll(resp.Body)
	return resp, string(p), err
}

// Over real connections too a fault is a pause, whichever way the body is framed.
func TestAFaultOnTheWireIsAPause(t *testing.T) {
	text := noise(300_000)
	rows, asked, start := 0, 0, time.Now()
	for _, chunked := range []bool{false, true} {
		for _, same := range []bool{false, true} {
			first := &cutter{text: text, tag: `"v1"`, chunked: chunked, noEnd: true}
			second := &cutter{text: text, tag: `"v1"`, chunked: chunked, cut: len(text)}
			origins := []web.Handler{first.start(t)}
			if !same {
				origins = append(origins, second.start(t))
			}
			e := newEdge(t, Options{}, origins...)
			at := door(t, e)
			for i, place := range cutPlaces(len(text), 25_000) {
				rested(e)
				first.cutAt(place)
				path := fmt.Sprintf("/%d.m4s", i)
				var all sync.WaitGroup
				for range 3 {
					all.Go(func() {
						if resp, got, err := fetch(t, at+path); got != text || err != nil {
							t.Errorf("chunked %v, cut after %d: %d, %d bytes, %v", chunked, place, resp.StatusCode, len(got), err)
						}
					})
				}
				all.Wait()
				if _, got, err := fetch(t, at+path); got != text || err != nil {
					t.Errorf("chunked %v, cut after %d: afterwards %d bytes, %v", chunked, place, len(got), err)
				}
				want := 2
				if !chunked && place == len(text) {
					want = 1
				}
				n := first.asked(path)
				if !same {
					n += second.asked(path)
				}
				if n != want {
					t.Errorf("chunked %v, same %v, cut after %d: %d requests", chunked, same, place, n)
				}
				asked += n
				rows++
			}
		}
	}
	t.Logf("%d faults, 4 viewers each, %d upstream requests, %v", rows, asked, time.Since(start).Round(time.Millisecond))
}

// Nor does it matter where in the framing it happens: in the size of a chunk,
// in the line end behind it, in the end mark.
func TestAFaultInTheFramingIsAPause(t *testing.T) {
	text := noise(2*rottenChunk + 100)
	first := &cutter{text: text, tag: `"v1"`, chunked: true, noEnd: true, raw: true}
	e := newEdge(t, Options{}, first.start(t))
	at := door(t, e)
	frame := len("4000\r\n") + rottenChunk + len("\r\n")
	end := 2*frame + len("64\r\n") + 100 + len("\r\n0\r\n\r\n")
	rows := 0
	for _, around := range []int{0, frame, 2 * frame, end} {
		for place := max(0, around-9); place <= min(around+9, end-1); place++ {
			rested(e)
			first.cutAt(place)
			path := fmt.Sprintf("/%d.m4s", place)
			if resp, got, err := fetch(t, at+path); got != text || err != nil || first.asked(path) != 2 {
				t.Errorf("cut after %d bytes on the wire: %d, %d bytes, %v, %d requests", place, resp.StatusCode, len(got), err, first.asked(path))
			}
			rows++
		}
	}
	t.Logf("%d faults", rows)
}

// What cannot be mended ends for the viewer as a broken transfer: less than the
// Content-Length, or chunks without an end. It is never kept.
func TestAFaultOnTheWireThatCannotBeMendedIsSeen(t *testing.T) {
	text := noise(300_000)
	rows := 0
	for _, chunked := range []bool{false, true} {
		first := &cutter{text: text, tag: `W/"v1"`, chunked: chunked, noEnd: true}
		e := newEdge(t, Options{}, first.start(t))
		at := door(t, e)
		for i, place := range cutPlaces(len(text)-1, 25_000) {
			rested(e)
			first.cutAt(place)
			path := fmt.Sprintf("/%d.m4s", i)
			resp, got, err := fetch(t, at+path)
			if err == nil && resp.StatusCode == 200 || !strings.HasPrefix(text, got) && resp.StatusCode == 200 {
				t.Errorf("chunked %v, cut after %d: %d, %d bytes, %v", chunked, place, resp.StatusCode, len(got), err)
			}
			rested(e)
			for wait := time.Now(); ; {
				if resp, got, err = fetch(t, at+path); resp.StatusCode != 502 || time.Since(wait) > 5*time.Second {
					break
				}
				time.Sleep(50 * time.Millisecond) // the failure is remembered
			}
			if got != text || err != nil {
				t.Errorf("chunked %v, cut after %d: afterwards %d, %d bytes, %v", chunked, place, resp.StatusCode, len(got), err)
			}
			rows++
		}
	}
	t.Logf("%d faults", rows)
}

// A range of a segment that its origin sends in chunks, without a length, comes
// as soon as its last byte is there, with a length of its own.
func TestARangeOfWhatArrivesInChunksComesBeforeTheEnd(t *testing.T) {
	text, more := noise(10_000), make(chan struct{})
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("ETag", `"v1"`)
		_, _ = io.WriteString(w, text[:5000])
		_ = http.NewResponseController(w).Flush()
		<-more
		_, _ = io.WriteString(w, text[5000:])
	}))
	defer origin.Close()
	base, err := url.Parse(origin.URL)
	if err != nil {
		t.Fatal(err)
	}
	client, err := wire.NewClient(wire.ClientOptions{Base: base})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	at := door(t, newEdge(t, Options{}, client))
	resp, got, err := fetch(t, at+"/s.m4s", "Range", "bytes=1000-4999")
	if err != nil || resp.StatusCode != 206 || got != text[1000:5000] || resp.ContentLength != 4000 || resp.Header.Get("Content-Range") != "bytes 1000-4999/*" {
		t.Errorf("%d %q, %d bytes, %v", resp.StatusCode, resp.Header.Get("Content-Range"), len(got), err)
	}
	var all sync.WaitGroup
	for field, want := range map[string]string{"bytes=9000-": text[9000:], "bytes=-5": text[9995:], "bytes=4000-99999": text[4000:], "bytes=7000-7999": text[7000:8000]} {
		all.Go(func() {
			resp, got, err := fetch(t, at+"/s.m4s", "Range", field)
			if err != nil || resp.StatusCode != 206 || got != want || !strings.HasSuffix(resp.Header.Get("Content-Range"), "/10000") && !strings.HasSuffix(resp.Header.Get("Content-Range"), "/*") {
				t.Errorf("%s: %d %q, %d bytes, %v", field, resp.StatusCode, resp.Header.Get("Content-Range"), len(got), err)
			}
		})
	}
	time.Sleep(50 * time.Millisecond)
	close(more)
	all.Wait()
}
