// Package wiretest is the suite that every adapter of a Handler to the network
// must pass.
//
// It promises that what it finds alike, a viewer cannot tell apart. An adapter
// is handed in as a function that starts it; it is then looked at from outside
// only, as bytes on a connection.
package wiretest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"weir/internal/spool"
	"weir/internal/web"
)

// The limits an adapter must be configured with to pass.
const (
	MaxHeader   = 16 << 10        // bytes of a request's header
	MaxBody     = 64 << 10        // bytes of a request's body
	MinSendRate = 64 << 10        // bytes/s a client must take
	WriteStall  = 2 * time.Second // how long it may take nothing
)

// A Start starts an adapter over h on a free port and returns the address to
// reach it at, like "http://127.0.0.1:1234", "https://..." for HTTP/1.1 over TLS
// or "h2://..." for HTTP/2 over TLS. Stop shuts it down gracefully, and fails
// the test if that takes longer than ten seconds.
type Start func(t *testing.T, h web.Handler) (baseURL string, stop func())

// Run puts the adapter that start starts through the suite, but for the tests
// named, which ask what its protocol does not have.
func Run(t *testing.T, start func(t *testing.T, h web.Handler) (baseURL string, stop func()), but ...string) {
	for _, part := range []struct {
		name  string
		tests map[string]func(*testing.T, Start)
	}{
		{"Bodies", bodies}, {"Endings", endings}, {"Requests", requests}, {"Limits", limits}, {"Smuggling", smuggling}, {"Interim", interim},
	} {
		if slices.Contains(but, part.name) {
			continue
		}
		t.Run(part.name, func(t *testing.T) {
			t.Parallel()
			for name, test := range part.tests {
				if slices.Contains(but, name) {
					continue
				}
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					test(t, start)
				})
			}
		})
	}
}

// serve starts the adapter for one test and returns its address.
func serve(t *testing.T, start Start, h web.HandlerFunc) (addr string) {
	t.Helper()
	base, stop := start(t, h)
	t.Cleanup(stop)
	return strings.TrimPrefix(base, "http://")
}

// always answers every request with what f makes.
func always(f func() *web.Response) web.HandlerFunc {
	return func(context.Context, *web.Request) (*web.Response, error) { return f(), nil }
}

// A watched body counts how often it is closed.
type watched struct {
	web.Body
	closed atomic.Int32
}

func (w *watched) Close() { w.closed.Add(1); w.Body.Close() }

// closedOnce waits until the body was closed, and fails unless that was once.
func (w *watched) closedOnce(t *testing.T) {
	t.Helper()
	eventually(t, "the body to be closed", func() bool { return w.closed.Load() > 0 })
	time.Sleep(20 * time.Millisecond) // for a second one, which must not come
	if n := w.closed.Load(); n != 1 {
		t.Errorf("body closed %d times, want once", n)
	}
}

// growing returns the two ends of a body, of announced length n unless that is -1.
func growing(n int64) (*spool.Writer, *watched) {
	w, b := spool.NewSlab(spool.SlabOptions{Poison: true}).New(0)
	if n >= 0 {
		w.SetLen(n)
	}
	return w, &watched{Body: b}
}

// A conn is a client's connection, looked at byte by byte.
type conn struct {
	net.Conn
	r      *bufio.Reader
	t      *testing.T
	secure bool    // over TLS
	bridge *bridge // nil: HTTP/1.1
}

// from is where the adapter sees the client.
func (c *conn) from() string {
	if c.bridge != nil {
		return c.bridge.from().String()
	}
	return c.LocalAddr().String()
}

// send writes text, in which a line ends with \n for \r\n.
func (c *conn) send(format string, args ...any) {
	c.t.Helper()
	if _, err := io.WriteString(c, strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "\r\n")); err != nil {
		c.t.Fatal(err)
	}
}

// get asks for path with further header lines, each ending in \n.
func (c *conn) get(path, lines string) {
	c.t.Helper()
	c.send("GET %s HTTP/1.1\nHost: weir\n%s\n", path, lines)
}

// head reads an answer's header.
func (c *conn) head(method string) *http.Response {
	c.t.Helper()
	resp, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("reading the header of an answer: %v", err)
	}
	return resp
}

// answer reads a whole answer to a GET.
func (c *conn) answer(status int) (*http.Response, string) {
	c.t.Helper()
	resp := c.head("GET")
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("reading an answer's body: %v after %d bytes", err, len(body))
	}
	if resp.StatusCode != status {
		c.t.Fatalf("status %d, want %d; body %.200q", resp.StatusCode, status, body)
	}
	return resp, string(body)
}

// cut fails unless the answer breaks off, in its header or in its body.
func (c *conn) cut() {
	c.t.Helper()
	resp, err := http.ReadResponse(c.r, nil)
	var got []byte
	if err == nil {
		got, err = io.ReadAll(resp.Body)
	}
	if err == nil || isTimeout(err) {
		c.t.Errorf("the answer ended with %q and error %v, want a cut", got, err)
	}
}

// closes fails unless the server closes the connection, with nothing before.
func (c *conn) closes() {
	c.t.Helper()
	if b, err := io.ReadAll(c.r); len(b) > 0 {
		c.t.Errorf("the connection had %.100q more, want its end", b)
	} else if isTimeout(err) {
		c.t.Error("the connection stays open, want its end")
	}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// within fails unless done is closed within d.
func within(t *testing.T, d time.Duration, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(d):
		t.Fatalf("%s: not within %v", what, d)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 10 s for %s", what)
		}
	}
}
