package wire

import (
	"context"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/net/http2"

	"weir/internal/web"
)

// ended fails unless the server ends the connection, saying so first.
func (c *h2Client) ended(d time.Duration) {
	c.t.Helper()
	select {
	case <-c.over:
	case <-time.After(d):
		c.t.Errorf("the connection goes on after %v", d)
		return
	}
	if c.goAway.Load() == 0 {
		c.t.Error("the connection ended without GOAWAY")
	}
}

// Each of these costs an attacker a few bytes and a server a goroutine, a queue or a
// table. The connection is ended after a bounded number, and told so.
func TestAbusesOfHTTP2EndTheirConnection(t *testing.T) {
	f := func(name string, what abuse, bound int, one func(c *h2Client, i int) error) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var handled atomic.Int64
			s, addr := startTLS(t, TLSOptions{FastOptions: FastOptions{Name: t.Name(), Handler: web.HandlerFunc(
				func(ctx context.Context, req *web.Request) (*web.Response, error) {
					handled.Add(1)
					if req.Path == "/parked" {
						<-ctx.Done()
					}
					return web.Text(200, "ok"), nil
				})}})
			c := dialH2(t, addr)
			sent, start := 0, time.Now()
			for i := range 200_000 {
				if err := one(c, i); err != nil {
					break
				}
				sent = i
				if c.goAway.Load() != 0 {
					break
				}
			}
			c.ended(10 * time.Second)
			if got := testutil.ToFloat64(s.metrics.abuse[what]); got != 1 {
				t.Errorf("%v connections ended for %s", got, what)
			}
			if bound > 0 {
				bound += int(streamRate.per * time.Since(start).Seconds())
			}
			if n := handled.Load(); n > int64(bound) {
				t.Errorf("%d requests reached the handler, at most %d should", n, bound)
			}
			t.Logf("ended after about %d of them, %d requests handled", sent, handled.Load())
		})
	}
	stream := func(i int) uint32 { return uint32(1 + 2*i) }
	f("rapid reset", tooManyReset, int(resetRate.most), func(c *h2Client, i int) error {
		if err := c.get(stream(i), "/parked"); err != nil {
			return err
		}
		return c.do(func(fr *http2.Framer) error { return fr.WriteRSTStream(stream(i), http2.ErrCodeCancel) })
	})
	f("flood of requests", tooManyOpened, int(streamRate.most), func(c *h2Client, i int) error { return c.get(stream(i), "/quick") })
	f("settings", tooManyOrders, 0, func(c *h2Client, i int) error {
		return c.do(func(fr *http2.Framer) error {
			return fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(i)})
		})
	})
	f("ping", tooManyOrders, 0, func(c *h2Client, i int) error {
		return c.do(func(fr *http2.Framer) error { return fr.WritePing(false, [8]byte{1}) })
	})
	f("priority", tooManyOrders, 0, func(c *h2Client, i int) error {
		return c.do(func(fr *http2.Framer) error {
			return fr.WritePriority(stream(i), http2.PriorityParam{StreamDep: 0, Weight: 1})
		})
	})
	f("unknown frames", tooManyOrders, 0, func(c *h2Client, i int) error {
		return c.do(func(fr *http2.Framer) error { return fr.WriteRawFrame(0xbb, 0, 0, nil) })
	})
	f("window updates", tooManyWindows, 0, func(c *h2Client, i int) error {
		return c.do(func(fr *http2.Framer) error { return fr.WriteWindowUpdate(0, 1) })
	})
	f("empty data", tooManyOrders, 1, func(c *h2Client, i int) error {
		if i == 0 {
			return c.do(func(fr *http2.Framer) error {
				return fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: c.block("/parked")})
			})
		}
		return c.do(func(fr *http2.Framer) error { return fr.WriteData(1, false, nil) })
	})
	f("continuations", tooManyPieces, 0, func(c *h2Client, i int) error {
		return c.do(func(fr *http2.Framer) error {
			if i == 0 {
				return fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndStream: true, BlockFragment: c.block("/")})
			}
			return fr.WriteContinuation(1, false, nil)
		})
	})
}

// A header that is small on the wire and huge behind it (HPACK), or that never ends, is
// refused without being built, and reaches no handler.
func TestHeaderBombsAreRefused(t *testing.T) {
	f := func(name string, bomb func(c *h2Client) func() error) {
		t.Run(name, func(t *testing.T) {
			_, addr := startTLS(t, TLSOptions{FastOptions: FastOptions{Handler: unreached(t)}})
			c := dialH2(t, addr)
			drop := bomb(c)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if err := c.do(func(*http2.Framer) error { return drop() }); err != nil {
				t.Logf("the bomb was not sent whole: %v", err)
			}
			select {
			case <-c.over:
			case s := <-c.refusal(1):
				if s.status != "431" && s.Type != http2.FrameRSTStream {
					t.Errorf("%v, status %s", s.FrameHeader, s.status)
				}
			case <-time.After(10 * time.Second):
				t.Error("neither refused nor ended")
			}
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20 {
				t.Errorf("it cost %d bytes of memory", n)
			}
		})
	}
	f("one field repeated from the table", func(c *h2Client) func() error {
		c.enc.SetMaxDynamicTableSize(4096)
		more := []string{"x-bomb", strings.Repeat("b", 3900)}
		for range 16000 {
			more = append(more, more[:2]...) // a byte each
		}
		block := c.block("/", more...)
		return func() error {
			return c.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndStream: true, EndHeaders: true, BlockFragment: block[:16384]})
		}
	})
	f("one long field", func(c *h2Client) func() error {
		block := c.block("/", "cookie", strings.Repeat("\x01", 60<<10)) // no shorter by Huffman's code
		return func() error {
			fr := c.fr
			if err := fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndStream: true, BlockFragment: block[:16000]}); err != nil {
				return err
			}
			for block = block[16000:]; len(block) > 16000; block = block[16000:] {
				if err := fr.WriteContinuation(1, false, block[:16000]); err != nil {
					return err
				}
			}
			return fr.WriteContinuation(1, true, block)
		}
	})
	f("fields without end", func(c *h2Client) func() error {
		begin, more := c.block("/"), c.block("/", "x-a", strings.Repeat("a", 10000))
		return func() error {
			err := c.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndStream: true, BlockFragment: begin})
			for i := 0; err == nil && i < 5000; i++ {
				err = c.fr.WriteContinuation(1, false, more)
			}
			return err
		}
	})
}

// refusal yields the answer or the end of a stream.
func (c *h2Client) refusal(id uint32) <-chan seen {
	out := make(chan seen, 1)
	go func() {
		for {
			select {
			case s := <-c.frames:
				if s.StreamID == id && (s.status != "" || s.Type == http2.FrameRSTStream) {
					out <- s
					return
				}
			case <-c.over:
				return
			}
		}
	}()
	return out
}

// What good clients do is no abuse: a player that seeks wildly, one that reads a long
// segment in small sips, a CDN that has one connection to an origin.
func TestFramesOfGoodClientsPass(t *testing.T) {
	now := time.Unix(1e9, 0)
	f := func(name string, seconds int, each func(g *frameGuard, at time.Time, sent *int64) abuse) {
		t.Helper()
		var g frameGuard
		var sent int64
		for s := range seconds {
			if a := each(&g, now.Add(time.Duration(s)*time.Second), &sent); a != noAbuse {
				t.Errorf("%s: %s in second %d", name, a, s)
				return
			}
		}
	}
	f("fifty requests given up each second", 600, func(g *frameGuard, at time.Time, _ *int64) (a abuse) {
		for i := range 50 {
			at := at.Add(time.Duration(i) * time.Millisecond)
			a = max(a, g.frame(at, frameHeaders, flagEndStream|flagEndBlock, 40, 0), g.frame(at, frameReset, 0, 4, 0))
		}
		return a
	})
	f("500 Mbit/s in sips of 4 KiB", 60, func(g *frameGuard, at time.Time, sent *int64) (a abuse) {
		for i := range 62 << 20 / (4 << 10) {
			*sent += 4 << 10
			at := at.Add(time.Duration(i) * time.Microsecond)
			a = max(a, g.frame(at, frameWindowUpdate, 0, 4, *sent), g.frame(at, frameWindowUpdate, 0, 4, *sent))
		}
		return a
	})
	f("800 requests a second, each with a PRIORITY_UPDATE now and then", 60, func(g *frameGuard, at time.Time, _ *int64) (a abuse) {
		for i := range 800 {
			at := at.Add(time.Duration(i) * time.Millisecond)
			a = max(a, g.frame(at, frameHeaders, flagEndStream|flagEndBlock, 40, 0))
			if i%10 == 0 {
				a = max(a, g.frame(at, 0x10, 0, 8, 0))
			}
		}
		return a
	})
}
