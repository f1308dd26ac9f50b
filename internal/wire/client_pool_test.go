package wire

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"weir/internal/web"
)

// An upstream that hangs is asked by as many as may; the next few wait for a
// while, and the others learn at once that there is no room.
func TestAnExhaustedPoolMakesAFewWaitAndRefusesTheRest(t *testing.T) {
	release := make(chan struct{})
	var once sync.Once
	base, opened := connections(t, func(http.ResponseWriter, *http.Request) { <-release })
	defer once.Do(func() { close(release) })
	var log bytes.Buffer
	c := newClient(t, base, ClientOptions{Name: "o1", MaxConns: 2, MaxWaiting: 1, WaitTimeout: 200 * time.Millisecond,
		Log: slog.New(slog.NewTextHandler(&log, nil))})
	ended := make(chan error, 4)
	ask := func() {
		resp, err := c.Serve(context.Background(), get("/"))
		if err == nil {
			resp.Close()
		}
		ended <- err
	}
	go ask()
	go ask()
	await(t, "two requests under way", func() bool { return testutil.ToFloat64(c.acc.inFlight) == 2 })
	go ask()
	await(t, "one to wait", func() bool { return testutil.ToFloat64(c.acc.waiting) == 1 })
	start := time.Now()
	_, err := c.Serve(context.Background(), get("/"))
	if web.StatusOf(err) != 503 || web.ReasonOf(err) != reasonBusy || time.Since(start) > 100*time.Millisecond {
		t.Errorf("the fourth: %v after %v", err, time.Since(start))
	}
	if !strings.Contains(log.String(), "fetch.connections") || strings.Contains(err.Error(), "fetch.") {
		t.Errorf("the operator reads %q, the viewer %q", log.String(), err)
	}
	if err := <-ended; web.ReasonOf(err) != reasonBusy {
		t.Errorf("the third, which waited: %v", err)
	}
	once.Do(func() { close(release) })
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	go ask()
	if err := <-ended; err != nil {
		t.Errorf("after it: %v", err)
	}
	if n := testutil.ToFloat64(c.acc.requests.WithLabelValues(reasonBusy)); n != 2 || opened.Load() > 2 || testutil.ToFloat64(c.acc.waiting) != 0 {
		t.Errorf("%v refused, %d connections, %v wait", n, opened.Load(), testutil.ToFloat64(c.acc.waiting))
	}
}

func TestWhoeverWaitsForAConnectionGetsTheNextThatIsFree(t *testing.T) {
	base, opened := connections(t, func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(5 * time.Millisecond)
		_, _ = w.Write(make([]byte, 100))
	})
	c := newClient(t, base, ClientOptions{MaxConns: 2, WaitTimeout: 10 * time.Second})
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			resp, err := c.Serve(context.Background(), get("/"))
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = web.Copy(context.Background(), io.Discard, resp.Body, 0)
			resp.Close()
		})
	}
	all.Wait()
	if opened.Load() > 2 {
		t.Errorf("%d connections", opened.Load())
	}
	if n := testutil.ToFloat64(c.acc.connections); n > 2 || n < 1 {
		t.Errorf("the gauge says %v connections", n)
	}
	c.Close()
	await(t, "the connections to close", func() bool { return testutil.ToFloat64(c.acc.connections) == 0 })
}

// One who leaves while he waits frees his place, and is told why.
func TestLeavingTheQueueIsNoFaultOfTheUpstream(t *testing.T) {
	release := make(chan struct{})
	base, _ := connections(t, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	c := newClient(t, base, ClientOptions{MaxConns: 1, MaxWaiting: 1, WaitTimeout: time.Minute})
	held, leave := context.WithCancel(context.Background())
	go func() { _, _ = c.Serve(held, get("/")) }()
	await(t, "one under way", func() bool { return testutil.ToFloat64(c.acc.inFlight) == 1 })
	for range 2 {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		if _, err := c.Serve(ctx, get("/")); web.ReasonOf(err) != reasonBusy {
			t.Error(err)
		}
		cancel()
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("nobody waits")
	time.AfterFunc(50*time.Millisecond, func() { cancel(why) })
	if _, err := c.Serve(ctx, get("/")); !errors.Is(err, why) {
		t.Error(err)
	}
	if n := testutil.ToFloat64(c.acc.waiting); n != 0 {
		t.Errorf("%v wait", n)
	}
	leave()
}

// A connection is worth more than the rest of an error page.
func TestAShortBodyThatIsGivenUpLeavesItsConnectionUsable(t *testing.T) {
	base, opened := connections(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/chunked":
			w.WriteHeader(503)
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, "overloaded")
		case "/long":
			_, _ = w.Write(make([]byte, 1<<20))
		default:
			w.WriteHeader(404)
			_, _ = w.Write(make([]byte, 1000))
		}
	})
	c := newClient(t, base, ClientOptions{})
	f := func(path string, connections int32) {
		t.Helper()
		resp, err := c.Serve(context.Background(), get(path))
		if err != nil {
			t.Fatal(err)
		}
		resp.Close()
		await(t, "the exchange to end", func() bool { return testutil.ToFloat64(c.acc.inFlight) == 0 })
		if opened.Load() != connections {
			t.Errorf("%s: %d connections, want %d", path, opened.Load(), connections)
		}
	}
	f("/404", 1)
	f("/chunked", 1)
	f("/long", 1)
	f("/404", 2) // a megabyte is not read for it
	f("/404", 2)
	if n := testutil.ToFloat64(c.acc.requests.WithLabelValues("cancelled")); n != 5 {
		t.Errorf("%v counted as given up", n)
	}
}

// A connection does not live for ever, and no exchange is cut by its age.
func TestConnectionsAreReplacedWhenTheyAreOld(t *testing.T) {
	base, opened := connections(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			w.(http.Flusher).Flush()
			time.Sleep(400 * time.Millisecond)
		}
		_, _ = io.WriteString(w, "whole")
	})
	c := newClient(t, base, ClientOptions{ConnLifetime: 150 * time.Millisecond})
	fetch := func(path string) {
		t.Helper()
		resp, err := c.Serve(context.Background(), get(path))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Close()
		if b, err := web.ReadAll(context.Background(), resp.Body, 10); err != nil || string(b) != "whole" {
			t.Errorf("%q %v", b, err)
		}
	}
	fetch("/")
	fetch("/")
	if n := opened.Load(); n != 1 {
		t.Errorf("%d connections at first", n)
	}
	fetch("/slow") // older than its connection may be, and whole
	fetch("/")
	if n := opened.Load(); n != 2 {
		t.Errorf("%d connections in the end", n)
	}
	await(t, "the old connection to close", func() bool { return testutil.ToFloat64(c.acc.connections) == 1 })
}

func TestIdleConnectionsAreBounded(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(20 * time.Millisecond)
		_, _ = io.WriteString(w, "x")
	}))
	defer srv.Close()
	c := newClient(t, srv.URL, ClientOptions{MaxIdle: 2, IdleTimeout: 300 * time.Millisecond})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if resp, err := c.Serve(context.Background(), get("/")); err != nil {
				t.Error(err)
			} else {
				_, _ = web.ReadAll(context.Background(), resp.Body, 10)
				resp.Close()
			}
		})
	}
	all.Wait()
	await(t, "all but two to close", func() bool { return testutil.ToFloat64(c.acc.connections) <= 2 })
	await(t, "the last two to close", func() bool { return testutil.ToFloat64(c.acc.connections) == 0 })
}

// A node that has no files left, as in a flood of viewers, has itself to blame:
// nobody takes its upstreams for dead.
func TestWantOfFilesIsNoFaultOfTheUpstream(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE} {
		c := newClient(t, "http://127.0.0.1:1", ClientOptions{Dial: func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("socket", errno)}
		}})
		_, err := c.Serve(t.Context(), &web.Request{Method: "GET", Path: "/a"})
		if web.StatusOf(err) != 503 || web.ReasonOf(err) != reasonBusy || !errors.Is(err, errno) {
			t.Errorf("%v: %d %v", errno, web.StatusOf(err), err)
		}
		if n := len(c.pool.slots); n != 0 {
			t.Errorf("%v: %d places of the pool are taken", errno, n)
		}
	}
}
