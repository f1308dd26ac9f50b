package wire

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"weir/internal/web"
)

// Whoever opens connections and says nothing takes no more than the listener's share; who is
// turned away hears why, those that are in are served on, and a place that is given back is
// there for the next.
func TestConnectionsAreBounded(t *testing.T) {
	var book logBook
	reg := prometheus.NewRegistry()
	addr, _ := startNet(t, NetOptions{MaxConns: 3, Name: "ingest", Registerer: reg, Log: slog.New(slog.NewTextHandler(&book, nil)),
		Handler: web.HandlerFunc(func(context.Context, *web.Request) (*web.Response, error) { return web.Text(200, "in"), nil })})
	ask := func(c net.Conn, r io.Reader) int {
		t.Helper()
		say(t, c, "GET / HTTP/1.1\nHost: weir\n\n")
		resp, err := http.ReadResponse(bufio.NewReader(r), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode
	}
	var in []net.Conn
	for range 3 {
		c, r := dialRaw(t, addr)
		if status := ask(c, r); status != 200 {
			t.Fatal(status)
		}
		in = append(in, c)
	}
	for range 5 {
		c, r := dialRaw(t, addr)
		if status := ask(c, r); status != 503 {
			t.Errorf("one too many is answered %d", status)
		}
	}
	c, r := dialRaw(t, addr)
	resp, err := http.ReadResponse(r, nil) // without having asked
	if err != nil || resp.StatusCode != 503 || !resp.Close || resp.Header.Get("Retry-After") == "" {
		t.Errorf("%v %v", resp, err)
	}
	if text, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(text), "too many connections") {
		t.Errorf("%q %v", text, err)
	}
	_ = c.Close()
	if status := ask(in[1], in[1]); status != 200 {
		t.Errorf("one that is in is answered %d", status)
	}
	const want = "# HELP weir_http_connections_refused_total Connections closed because as many as may be were open: in all (full), or from their address (address).\n" +
		"# TYPE weir_http_connections_refused_total counter\nweir_http_connections_refused_total{listener=\"ingest\",reason=\"address\"} 0\n" +
		"weir_http_connections_refused_total{listener=\"ingest\",reason=\"full\"} 6\n"
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "weir_http_connections_refused_total"); err != nil {
		t.Error(err)
	}
	if said := book.String(); strings.Count(said, "connection refused") != 1 || !strings.Contains(said, "limit=3") {
		t.Error(said)
	}
	_ = in[0].Close()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		c, r := dialRaw(t, addr)
		if ask(c, r) == 200 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("a place that was given back is lost")
		}
	}
}

// A flood of connections that are turned away is not a flood of goroutines.
func TestTurnedAwayConnectionsCostLittle(t *testing.T) {
	addr, _ := startNet(t, NetOptions{MaxConns: 1, Handler: unreached(t)})
	held, _ := dialRaw(t, addr)
	say(t, held, "GET / HTTP/1.1\n") // never ends
	var flood []net.Conn
	for range 4 * maxLeaving {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		flood = append(flood, c)
	}
	began := time.Now()
	for _, c := range flood {
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := io.Copy(io.Discard, c); err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("a connection that was turned away stays open")
		}
		_ = c.Close()
	}
	if d := time.Since(began); d > 4*linger {
		t.Errorf("turning away took %v", d)
	}
}

// An encoder is told 403 of a path it may not write: DASH-IF Ingest 1.2.
func TestTheStatusOfABadPathIsTheListeners(t *testing.T) {
	f := func(o NetOptions, want int) {
		t.Helper()
		o.Handler = unreached(t)
		addr, _ := startNet(t, o)
		c, r := dialRaw(t, addr)
		say(t, c, "PUT /ingest/a/../b/x.ts HTTP/1.1\nHost: weir\nContent-Length: 1\n\nx")
		if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != want {
			t.Errorf("%v %v, want %d", resp, err, want)
		}
	}
	f(NetOptions{}, 400)
	f(NetOptions{BadPath: 403}, 403)
}
