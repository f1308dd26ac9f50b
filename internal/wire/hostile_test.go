package wire

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/internal/web"
)

// openers is how many connections the tests of idle openers open. Each takes two
// files of this process: 9000 needs 20,000 of them.
var openers = flag.Int("openers", 2000, "connections that say nothing")

// onBoth runs a test over both adapters with the same deadlines.
func onBoth(t *testing.T, header, idle, stall time.Duration, h web.Handler, test func(t *testing.T, addr string)) {
	t.Run("fast", func(t *testing.T) {
		addr, stop := run(t, newFast(t, FastOptions{Handler: h, HeaderTimeout: header, IdleTimeout: idle, WriteStall: stall}))
		t.Cleanup(stop)
		test(t, addr)
	})
	t.Run("net", func(t *testing.T) {
		addr, _ := startNet(t, NetOptions{Handler: h, HeaderTimeout: header, IdleTimeout: idle, WriteStall: stall})
		test(t, addr)
	})
}

func ok200(text string) web.Handler {
	return web.HandlerFunc(func(context.Context, *web.Request) (*web.Response, error) { return web.Text(200, text), nil })
}

// served asks once on a connection of its own and returns how long that took.
func served(t *testing.T, addr string) time.Duration {
	t.Helper()
	began := time.Now()
	c, r := dialRaw(t, addr)
	defer c.Close()
	say(t, c, "GET / HTTP/1.1\nHost: weir\n\n")
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); resp.StatusCode != 200 || err != nil {
		t.Errorf("%d %q %v", resp.StatusCode, b, err)
	}
	return time.Since(began)
}

// Slowloris: headers that arrive byte by byte, each in good time, for as long as
// the server listens. The deadline is the whole header's, and others are served.
func TestSlowlorisIsCut(t *testing.T) {
	t.Parallel()
	const header = time.Second
	h := web.HandlerFunc(func(_ context.Context, req *web.Request) (*web.Response, error) {
		if req.Path != "/" {
			t.Error("half a request was served")
		}
		return web.Text(200, "ok"), nil
	})
	onBoth(t, header, header, time.Minute, h, func(t *testing.T, addr string) {
		var all sync.WaitGroup
		for i := range 100 {
			c, r := dialRaw(t, addr)
			all.Go(func() {
				began := time.Now()
				gone := make(chan struct{})
				go func() {
					defer close(gone)
					_, _ = io.Copy(io.Discard, r)
				}()
				text := "GET /slow HTTP/1.1\r\nHost: weir\r\n"
				if i%2 == 1 {
					text += "Cookie: "
				}
				for n := 0; ; n++ { // a byte each 50 ms: a header of 20 bytes/s without an end
					b := byte('a')
					if n < len(text) {
						b = text[n]
					}
					select {
					case <-gone:
						if d := time.Since(began); d > 3*header {
							t.Errorf("open for %v", d)
						}
						return
					case <-time.After(50 * time.Millisecond):
					}
					if time.Since(began) > 10*header {
						t.Error("not cut")
						return
					}
					_, _ = c.Write([]byte{b})
				}
			})
		}
		for range 10 {
			if d := served(t, addr); d > time.Second {
				t.Errorf("an honest client waited %v", d)
			}
		}
		all.Wait()
	})
}

// Thousands who connect and say nothing, or one byte, cost little, are gone
// after the deadline, and nobody else notices them.
func TestIdleOpenersCostLittleAndAreCut(t *testing.T) {
	const header = 2 * time.Second
	// What each may take: sockets, goroutine, and the client's end, which is here too.
	for said, most := range map[string]int64{"": 20 << 10, "G": 44 << 10} {
		t.Run(fmt.Sprintf("%q", said), func(t *testing.T) {
			onBoth(t, header, time.Minute, time.Minute, ok200("ok"), func(t *testing.T, addr string) {
				before := memory()
				began := time.Now()
				conns := make([]net.Conn, 0, *openers)
				for range *openers {
					c, err := net.Dial("tcp", addr)
					if err != nil {
						t.Fatalf("%d of %d: %v", len(conns), *openers, err)
					}
					if said != "" {
						_, _ = io.WriteString(c, said)
					}
					conns = append(conns, c)
				}
				if d := served(t, addr); d > time.Second {
					t.Errorf("an honest client waited %v", d)
				}
				each := (memory() - before) / int64(len(conns))
				t.Logf("%d opened in %v, %d bytes each with the client's end", len(conns), time.Since(began), each)
				if each > most {
					t.Errorf("each takes %d bytes, at most %d", each, most)
				}
				last := time.Now()
				for _, c := range conns {
					_ = c.SetReadDeadline(last.Add(2 * header))
					if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
						t.Fatal("an idle opener stays")
					}
					_ = c.Close()
				}
				if d := time.Since(last); d > header+header/2 {
					t.Errorf("the last was cut %v after it came", d)
				}
			})
		})
	}
}

// memory returns what heap and stacks take.
func memory() int64 {
	runtime.GC()
	runtime.GC() // what lay in pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// A hundred requests in one write: a hundred answers, in their order.
func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	h := web.HandlerFunc(func(_ context.Context, req *web.Request) (*web.Response, error) { return web.Text(200, req.Path), nil })
	onBoth(t, 0, 0, 0, h, func(t *testing.T, addr string) {
		c, r := dialRaw(t, addr)
		var all strings.Builder
		for i := range 100 {
			switch {
			case i%10 == 7: // with a body that looks like a request
				fmt.Fprintf(&all, "POST /%d HTTP/1.1\r\nHost: weir\r\nContent-Length: 20\r\n\r\nGET /not HTTP/1.1\r\n\r", i)
			default:
				fmt.Fprintf(&all, "GET /%d HTTP/1.1\r\nHost: weir\r\n\r\n", i)
			}
		}
		if _, err := io.WriteString(c, all.String()); err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatalf("answer %d: %v", i, err)
			}
			if b, _ := io.ReadAll(resp.Body); string(b) != fmt.Sprint("/", i) {
				if resp.Close { // a body nobody read may cost the connection
					return
				}
				t.Fatalf("answer %d is %q", i, b)
			} else if resp.Close {
				return
			}
		}
	})
}

// Whoever sends requests without end and reads no answer is held up by his own
// socket, takes a bounded part of it, and is cut; others are served meanwhile.
func TestPipelinerThatReadsNothingStarvesNobody(t *testing.T) {
	const stall = time.Second
	var asked atomic.Int64
	answer := strings.Repeat("x", 4<<10)
	h := web.HandlerFunc(func(_ context.Context, req *web.Request) (*web.Response, error) {
		if req.Path == "/flood" {
			asked.Add(1)
		}
		return web.Text(200, answer), nil
	})
	onBoth(t, 0, 0, stall, h, func(t *testing.T, addr string) {
		asked.Store(0)
		before := memory()
		request := strings.Repeat("GET /flood HTTP/1.1\r\nHost: weir\r\n\r\n", 1000)
		var all sync.WaitGroup
		for range 8 {
			c, _ := dialRaw(t, addr)
			_ = c.(*net.TCPConn).SetReadBuffer(64 << 10)
			all.Go(func() {
				began := time.Now()
				for {
					if _, err := io.WriteString(c, request); err != nil {
						if errors.Is(err, os.ErrDeadlineExceeded) {
							t.Error("not cut")
						}
						return
					}
					if time.Since(began) > 15*stall {
						t.Error("taken for ever")
						return
					}
				}
			})
		}
		for range 10 {
			if d := served(t, addr); d > time.Second {
				t.Errorf("an honest client waited %v", d)
			}
			time.Sleep(stall / 20)
		}
		if grown := memory() - before; grown > 32<<20 {
			t.Errorf("8 pipeliners take %d bytes", grown)
		}
		all.Wait()
		// As many as fit into the kernel's buffers, with 4 KiB each.
		if n := asked.Load(); n > 8*20_000 {
			t.Errorf("%d requests were handled of clients that read nothing", n)
		}
	})
}

// A pipeliner that does read is served, one request after the other, and does not
// make others wait.
func TestPipelinerTakesTurnsWithOthers(t *testing.T) {
	onBoth(t, 0, 0, 0, ok200("ok"), func(t *testing.T, addr string) {
		done := make(chan struct{})
		var all sync.WaitGroup
		var answers atomic.Int64
		for range 4 {
			c, r := dialRaw(t, addr)
			all.Go(func() {
				request := strings.Repeat("GET / HTTP/1.1\r\nHost: weir\r\n\r\n", 100)
				for {
					if _, err := io.WriteString(c, request); err != nil {
						return
					}
				}
			})
			all.Go(func() {
				for {
					resp, err := http.ReadResponse(r, nil)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					answers.Add(1)
				}
			})
			all.Go(func() { <-done; _ = c.Close() })
		}
		worst := time.Duration(0)
		for range 20 {
			worst = max(worst, served(t, addr))
		}
		close(done)
		all.Wait()
		t.Logf("%d answers to pipeliners; others waited up to %v", answers.Load(), worst)
		if worst > 2*time.Second || answers.Load() == 0 {
			t.Errorf("others waited %v, pipeliners got %d answers", worst, answers.Load())
		}
	})
}
