package wire

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"weir/internal/web"
)

func startNet(t *testing.T, o NetOptions) (addr string, stop func()) {
	t.Helper()
	n, err := NewNet(o)
	if err != nil {
		t.Fatal(err)
	}
	addr, stop = run(t, n)
	t.Cleanup(stop)
	return addr, stop
}

func dialRaw(t *testing.T, addr string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c, bufio.NewReader(c)
}

func say(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, strings.ReplaceAll(text, "\n", "\r\n")); err != nil {
		t.Fatal(err)
	}
}

func basic(req *web.Request) error {
	if req.Header.Get("Authorization") != "Basic dTpw" {
		return &web.Error{Status: 401, Reason: "publish_key", Err: errors.New("who is it"),
			Header: web.NewHeader("WWW-Authenticate", `Basic realm="weir"`)}
	}
	return nil
}

// FFmpeg with user:pass in its URL sends no credentials until it is asked, and
// it is asked only in answer to "Expect: 100-continue", before the body.
func TestFFmpegIsChallengedBeforeItSendsItsBody(t *testing.T) {
	t.Parallel()
	var got atomic.Value
	addr, _ := startNet(t, NetOptions{BeforeBody: basic, Handler: web.HandlerFunc(func(_ context.Context, req *web.Request) (*web.Response, error) {
		b, err := io.ReadAll(req.Body)
		got.Store(string(b))
		return web.Text(201, ""), err
	})})
	const head = "PUT /ingest/news/x0.ts HTTP/1.1\nTransfer-Encoding: chunked\nUser-Agent: Lavf/59.27.100\nAccept: */*\n" +
		"Expect: 100-continue\nConnection: close\nHost: weir\nIcy-MetaData: 1\n"
	c, r := dialRaw(t, addr)
	say(t, c, head+"\n")
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != 401 || resp.Header.Get("WWW-Authenticate") != `Basic realm="weir"` || !resp.Close {
		t.Fatalf("%v %v: want 401 with a challenge, no 100 before it, and Connection: close", resp, err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("the connection stays open: %v", err)
	}

	c, r = dialRaw(t, addr)
	say(t, c, head+"Authorization: Basic dTpw\n\n")
	if line, err := r.ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("%q %v: want to be let through", line, err)
	}
	_, _ = r.ReadString('\n')
	say(t, c, "5\nhello\n0\n\n")
	if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 201 || got.Load() != "hello" {
		t.Errorf("%v %v, stored %v", resp, err, got.Load())
	}
}

// A publisher without a key is answered although it goes on sending.
func TestRefusalDoesNotWaitForTheBody(t *testing.T) {
	addr, _ := startNet(t, NetOptions{BeforeBody: basic, Handler: unreached(t)})
	c, r := dialRaw(t, addr)
	say(t, c, "PUT /x HTTP/1.1\nHost: weir\nTransfer-Encoding: chunked\n\n5\nhello\n")
	_ = c.SetReadDeadline(time.Now().Add(3 * time.Second))
	if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 401 || !resp.Close {
		t.Errorf("%v %v", resp, err)
	}
}

func unreached(t *testing.T) web.Handler {
	return web.HandlerFunc(func(context.Context, *web.Request) (*web.Response, error) {
		t.Error("the handler was reached")
		return web.Text(200, ""), nil
	})
}

// A stranger is not told how large an upload may be.
func TestKeyIsAskedForBeforeTheSize(t *testing.T) {
	addr, _ := startNet(t, NetOptions{BeforeBody: basic, MaxBody: 10, Handler: unreached(t)})
	c, r := dialRaw(t, addr)
	say(t, c, "PUT /x HTTP/1.1\nHost: weir\nContent-Length: 11\n\n")
	if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 401 {
		t.Errorf("%v %v", resp, err)
	}
	c, r = dialRaw(t, addr)
	say(t, c, "PUT /x HTTP/1.1\nHost: weir\nExpect: 100-continue\nAuthorization: Basic dTpw\nContent-Length: 11\n\n")
	if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 413 {
		t.Errorf("%v %v", resp, err)
	}
}

// FFmpeg closes its socket right after the last chunk, without waiting for the
// answer. The segment is stored all the same, also if storing takes a while.
func TestUploadOutlivesASenderThatClosesAtOnce(t *testing.T) {
	stored := make(chan string, 64)
	addr, _ := startNet(t, NetOptions{Handler: web.HandlerFunc(func(ctx context.Context, req *web.Request) (*web.Response, error) {
		b, err := io.ReadAll(req.Body)
		if err == nil {
			select { // what a handler does once it has the bytes
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
				err = context.Cause(ctx)
			}
		}
		stored <- fmt.Sprintf("%d %v", len(b), err)
		return web.Text(200, ""), err
	})})
	segment := strings.Repeat("8000\r\n"+strings.Repeat("x", 0x8000)+"\r\n", 6) + "0\r\n\r\n"
	const n = 32
	for range n {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, "PUT /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\nHost: weir\r\n\r\n"+segment)
		c.Close()
	}
	for range n {
		select {
		case got := <-stored:
			if got != fmt.Sprint(6*0x8000, " <nil>") {
				t.Fatalf("stored %s", got)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("an upload was lost")
		}
	}
}

// An upload that breaks off, stalls or is broken is an error, never a short
// segment; one that trickles is no error.
func TestUploadEndsWellOnlyAtItsEnd(t *testing.T) {
	f := func(name, body string, pause time.Duration, half bool, status int, reason string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result := make(chan error, 1)
			addr, _ := startNet(t, NetOptions{ProgressTimeout: 300 * time.Millisecond, Handler: web.HandlerFunc(
				func(_ context.Context, req *web.Request) (*web.Response, error) {
					_, err := io.ReadAll(req.Body)
					result <- err
					return web.Text(200, ""), err
				})})
			c, r := dialRaw(t, addr)
			say(t, c, "PUT /x HTTP/1.1\nHost: weir\n")
			for piece := range strings.SplitSeq(body, "|") {
				time.Sleep(pause)
				say(t, c, piece)
			}
			if half {
				_ = c.(*net.TCPConn).CloseWrite()
			}
			err := <-result
			if status == 200 && err != nil || status != 200 && (web.StatusOf(err) != status || web.ReasonOf(err) != reason) {
				t.Errorf("the handler read %v, want %d %s", err, status, reason)
			}
			resp, err := http.ReadResponse(r, nil)
			if err != nil || resp.StatusCode != status || resp.Close != (status != 200) {
				t.Errorf("%v %v", resp, err)
			}
		})
	}
	const chunked, sized = "Transfer-Encoding: chunked\n\n", "Content-Length: 10\n\n"
	f("whole", chunked+"5\nhello\n0\n\n", 0, false, 200, "")
	f("trickling", chunked+"|5\nhe|ll|o\n|0\n|\n", 100*time.Millisecond, false, 200, "")
	f("stalled", chunked+"5\nhello\n", 0, false, 408, "request_timeout")
	f("silent", chunked, 0, false, 408, "request_timeout")
	f("stalled short of its length", sized+"hello", 0, false, 408, "request_timeout")
	f("cut before the last chunk", chunked+"5\nhello\n", 0, true, 400, "body_cut")
	f("cut in a chunk", chunked+"5\nhel", 0, true, 400, "body_cut")
	f("cut short of its length", sized+"hello", 0, true, 400, "body_cut")
	f("garbled chunk", chunked+"5\nhelloXX0\n\n", 0, false, 400, "body_cut")
}

// FFmpeg with -http_persistent sends the next request before it has an answer.
func TestPipelinedUploadsArriveInOrder(t *testing.T) {
	var got []string
	addr, stop := startNet(t, NetOptions{Handler: web.HandlerFunc(func(_ context.Context, req *web.Request) (*web.Response, error) {
		b, err := io.ReadAll(req.Body)
		got = append(got, req.Path+"="+string(b))
		return web.Text(200, ""), err
	})})
	c, r := dialRaw(t, addr)
	for i := range 5 {
		say(t, c, fmt.Sprintf("PUT /%d HTTP/1.1\nHost: weir\nTransfer-Encoding: chunked\n\n2\nab\n1\nc\n0\n\n", i))
	}
	for range 5 {
		if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 200 {
			t.Fatalf("%v %v", resp, err)
		}
	}
	stop()
	if s := strings.Join(got, " "); s != "/0=abc /1=abc /2=abc /3=abc /4=abc" {
		t.Error(s)
	}
}

// What an operator sees of it.
func TestNetCounts(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	n, err := NewNet(NetOptions{Registerer: reg, Name: "ingest", BeforeBody: basic, Handler: web.HandlerFunc(
		func(_ context.Context, req *web.Request) (*web.Response, error) {
			if req.Path == "/boom" {
				panic("boom")
			}
			return web.Text(200, "hello"), nil
		})})
	if err != nil {
		t.Fatal(err)
	}
	addr, stop := run(t, n)
	for _, path := range []string{"/a", "/a", "/boom"} {
		c, r := dialRaw(t, addr)
		say(t, c, "GET "+path+" HTTP/1.1\nHost: weir\nAuthorization: Basic dTpw\nConnection: close\n\n")
		_, _ = io.Copy(io.Discard, r)
	}
	c, r := dialRaw(t, addr)
	say(t, c, "PUT /a HTTP/1.1\nHost: weir\nConnection: close\n\n")
	_, _ = io.Copy(io.Discard, r)
	stop()
	for _, want := range []struct {
		method, class string
		n             float64
	}{{"GET", "2xx", 2}, {"PUT", "4xx", 1}, {"GET", "5xx", 1}, {"GET", "4xx", 0}} {
		if got := testutil.ToFloat64(n.acc.requests.WithLabelValues(want.method, want.class)); got != want.n {
			t.Errorf("%s %s: %v requests, want %v", want.method, want.class, got, want.n)
		}
	}
	if p, f, b := testutil.ToFloat64(n.acc.panics), testutil.ToFloat64(n.acc.inFlight), testutil.ToFloat64(n.acc.bytes); p != 1 || f != 0 || b != float64(2*len("hello")+len("internal error\n")+len("publish_key: who is it\n")) {
		t.Errorf("%v panics, %v in flight, %v bytes", p, f, b)
	}
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}
