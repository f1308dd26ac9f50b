package wire

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"weir/internal/web"
)

// An upstream may be anything that listens at the address by mistake, or worse.
// Each of these answers is refused, within the time and the bytes allowed.
func TestHostileHeadsOfAnswersAreRefused(t *testing.T) {
	endless := func(head, line string) func(net.Conn) {
		return func(c net.Conn) {
			_ = c.SetWriteDeadline(time.Now().Add(5 * time.Second))
			sends(head)(c)
			for sent := 0; ; sent += len(line) {
				if _, err := io.WriteString(c, line); err != nil {
					return
				}
				if sent > 64<<20 {
					t.Error("64 MiB of a header were taken")
					return
				}
			}
		}
	}
	drip := func(text string) func(net.Conn) {
		return func(c net.Conn) {
			for _, b := range []byte(strings.ReplaceAll(text, "\n", "\r\n")) {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		}
	}
	f := func(name string, script func(net.Conn), reason string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, upstream(t, script), ClientOptions{HeadTimeout: time.Second, MaxHeader: 16 << 10})
			start := time.Now()
			resp, err := c.Serve(context.Background(), get("/x"))
			if err == nil {
				resp.Close()
				t.Fatalf("answered %d", resp.Status)
			}
			if web.ReasonOf(err) != reason || time.Since(start) > 3*time.Second {
				t.Errorf("%v after %v, want %s", err, time.Since(start), reason)
			}
		})
	}
	f("endless fields", endless("HTTP/1.1 200 OK\n", "X-A: 1\r\n"), "upstream_bad")
	f("an endless field", endless("HTTP/1.1 200 OK\nX-A: ", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), "upstream_bad")
	f("an endless status line", endless("HTTP/1.1 200 ", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), "upstream_bad")
	f("a byte at a time", drip("HTTP/1.1 200 OK\nX-A: "+strings.Repeat("a", 1000)+"\n\n"), "upstream_timeout")
	f("endless 100", endless("", "HTTP/1.1 100 Continue\r\n\r\n"), "upstream_bad")
	f("endless 103", endless("", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"), "upstream_bad")
	f("switches protocols", sends("HTTP/1.1 101 Switching Protocols\nConnection: upgrade\nUpgrade: x\n\n"), "upstream_bad")
	f("negative length", sends("HTTP/1.1 200 OK\nContent-Length: -1\n\nab"), "upstream_bad")
	f("signed length", sends("HTTP/1.1 200 OK\nContent-Length: +2\n\nab"), "upstream_bad")
	f("length of 2^64", sends("HTTP/1.1 200 OK\nContent-Length: 18446744073709551616\n\nab"), "upstream_bad")
	f("a list of lengths that differ", sends("HTTP/1.1 200 OK\nContent-Length: 2, 3\n\nabc"), "upstream_bad")
	f("chunked twice", sends("HTTP/1.1 200 OK\nTransfer-Encoding: chunked, chunked\n\n0\n\n"), "upstream_bad")
	f("two codings", sends("HTTP/1.1 200 OK\nTransfer-Encoding: gzip, chunked\n\n0\n\n"), "upstream_bad")
	f("space before the colon", sends("HTTP/1.1 200 OK\nContent-Length : 2\n\nab"), "upstream_bad")
	f("a field without a name", sends("HTTP/1.1 200 OK\n: x\n\nab"), "upstream_bad")
	f("a field without a colon", sends("HTTP/1.1 200 OK\nX-A\n\nab"), "upstream_bad")
	f("very many fields", sends("HTTP/1.1 200 OK\n"+strings.Repeat("A: 1\n", 2000)+"Content-Length: 0\n\n"), "upstream_bad")
	f("HTTP/0.9", sends("<html>hello</html>\n"), "upstream_bad")
	f("HTTP/9.9", sends("HTTP/9.9 200 OK\nContent-Length: 0\n\n"), "upstream_bad")
	f("a status of two digits", sends("HTTP/1.1 20 OK\nContent-Length: 0\n\n"), "upstream_bad")
}

// "If a message is received with both a Transfer-Encoding and a Content-Length
// header field, the Transfer-Encoding overrides the Content-Length" (RFC 9112
// section 6.3): whoever is behind this node never reads the length.
func TestALengthBesideChunksCountsForNothing(t *testing.T) {
	c := newClient(t, upstream(t, sends("HTTP/1.1 200 OK\nContent-Length: 3\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\nHTTP/1.1 200 OK\nContent-Length: 4\n\nevil")), ClientOptions{})
	for range 2 { // what follows on the connection is nobody's answer
		resp, err := c.Serve(context.Background(), get("/x"))
		if err != nil {
			t.Fatal(err)
		}
		b, err := web.ReadAll(context.Background(), resp.Body, 100)
		if string(b) != "hello" || err != nil || resp.Header.Has("Content-Length") || resp.Header.Has("Transfer-Encoding") {
			t.Errorf("%q %v %v", b, err, resp.Header)
		}
		resp.Close()
	}
}

// What an upstream sends behind an answer is not the next answer.
func TestBytesBehindAnAnswerAreNobodysAnswer(t *testing.T) {
	c := newClient(t, upstream(t, func(conn net.Conn) {
		sends("HTTP/1.1 200 OK\nContent-Length: 2\n\nokHTTP/1.1 200 OK\nContent-Length: 4\n\nevil")(conn)
		_, _ = conn.Read(make([]byte, 1000)) // the next request, if it comes here
	}), ClientOptions{HeadTimeout: time.Second})
	for i := range 4 {
		resp, err := c.Serve(context.Background(), get("/x"))
		if err != nil {
			continue // the connection was given up
		}
		if b, err := web.ReadAll(context.Background(), resp.Body, 100); string(b) != "ok" {
			t.Errorf("request %d got %q %v", i, b, err)
		}
		resp.Close()
	}
}

// A body of a few KiB may unpack to a gigabyte: nothing here unpacks it.
func TestACompressedBodyIsNotUnpacked(t *testing.T) {
	var bomb bytes.Buffer
	z, _ := gzip.NewWriterLevel(&bomb, gzip.BestCompression)
	zeros := make([]byte, 1<<20)
	for range 64 {
		_, _ = z.Write(zeros)
	}
	_ = z.Close()
	c := newClient(t, upstream(t, func(conn net.Conn) {
		sends(fmt.Sprintf("HTTP/1.1 200 OK\nContent-Encoding: gzip\nContent-Length: %d\n\n", bomb.Len()))(conn)
		_, _ = conn.Write(bomb.Bytes())
	}), ClientOptions{})
	resp, err := c.Serve(context.Background(), get("/x"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Close()
	if b, err := web.ReadAll(context.Background(), resp.Body, 1<<20); err != nil || !bytes.Equal(b, bomb.Bytes()) || resp.Get("Content-Encoding") != "gzip" {
		t.Errorf("%d bytes of %d, %v", len(b), bomb.Len(), err)
	}
}

// Chunks cost their upstream more than they cost us, whatever they look like.
func TestHostileChunksEndTheTransfer(t *testing.T) {
	f := func(name, body string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, upstream(t, sends("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n"+body)), ClientOptions{StallTimeout: time.Second, MaxBody: 1 << 20})
			resp, err := c.Serve(context.Background(), get("/x"))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Close()
			if n, err := web.Copy(context.Background(), io.Discard, resp.Body, 0); !errors.Is(err, web.ErrAborted) {
				t.Errorf("%d bytes, %v", n, err)
			}
		})
	}
	f("an extension without end", "5;"+strings.Repeat("x", 64<<10)+"\nhello\n0\n\n")
	f("a length without end", strings.Repeat("0", 64<<10)+"5\nhello\n0\n\n")
	f("a length of 2^64", "10000000000000000\nhello\n0\n\n")
	f("a negative length", "-5\nhello\n0\n\n")
	f("trailers without end", "5\nhello\n0\n"+strings.Repeat("X-A: 1\n", 100_000)+"\n")
	f("bytes of chunks without bytes", strings.Repeat("1;"+strings.Repeat("x", 2000)+"\na\n", 200)+"0\n\n")
}

// A kept connection may be closed at the moment a request is sent on it. What
// only reads is sent again by itself; what may have done something never is:
// "A proxy MUST NOT automatically retry non-idempotent requests" (RFC 9110
// section 9.2.2).
func TestOnlyWhatIsSafeIsSentAgain(t *testing.T) {
	f := func(method string, body io.Reader, reaches int32, reason string) {
		t.Run(method, func(t *testing.T) {
			var reached atomic.Int32
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			go func() {
				for first := true; ; first = false {
					c, err := ln.Accept()
					if err != nil {
						return
					}
					go func(first bool) {
						defer c.Close()
						r := bufio.NewReader(c)
						for n := 0; ; n++ {
							req, err := http.ReadRequest(r)
							if err != nil {
								return
							}
							_, _ = io.Copy(io.Discard, req.Body)
							if req.URL.Path == "/do" {
								reached.Add(1)
							}
							if first && n == 1 {
								return // it was read, and nobody knows what became of it
							}
							sends("HTTP/1.1 200 OK\nContent-Length: 2\n\nok")(c)
						}
					}(first)
				}
			}()
			c := newClient(t, "http://"+ln.Addr().String(), ClientOptions{})
			warm, err := c.Serve(context.Background(), get("/warm"))
			if err != nil {
				t.Fatal(err)
			}
			_, _ = web.ReadAll(context.Background(), warm.Body, 10)
			warm.Close()
			await(t, "the connection to be kept", func() bool { return testutil.ToFloat64(c.acc.inFlight) == 0 })
			resp, err := c.Serve(context.Background(), &web.Request{Method: method, Path: "/do", Body: body})
			if err == nil {
				resp.Close()
			}
			if reached.Load() != reaches || web.ReasonOf(err) != reason {
				t.Errorf("it reached the server %d times, %v; want %d, %q", reached.Load(), err, reaches, reason)
			}
		})
	}
	f("GET", nil, 2, "")
	f("HEAD", nil, 2, "")
	f("POST", strings.NewReader("buy one"), 1, "upstream_closed")
	f("POST", nil, 1, "upstream_closed")
	f("PUT", strings.NewReader("x"), 1, "upstream_closed")
	f("DELETE", nil, 1, "upstream_closed")
	f("PATCH", strings.NewReader("x"), 1, "upstream_closed")
}

// Upstream answers that break in every way leave nothing behind.
func TestHostileAnswersLeaveNoGoroutine(t *testing.T) {
	base := upstream(t, sends("HTTP/1.1 200 OK\nContent-Length: 100\n\nhello"))
	c := newClient(t, base, ClientOptions{})
	before := runtime.NumGoroutine()
	for range 200 {
		if resp, err := c.Serve(context.Background(), get("/x")); err == nil {
			resp.Close()
		}
	}
	await(t, "the goroutines to end", func() bool { return runtime.NumGoroutine() <= before+3 })
}
