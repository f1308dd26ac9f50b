package wire

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"weir/internal/web"
)

// A logBook is a log that is read while it is written.
type logBook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBook) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// An encoder whose URL has a "//" in it is refused by the wire, before anybody
// could log it: FFmpeg says nothing, so weir must.
func TestRefusedTargetIsLoggedOnce(t *testing.T) {
	f := func(name string, start func(*logBook) string) {
		t.Run(name, func(t *testing.T) {
			var book logBook
			addr := start(&book)
			for range 50 {
				c, r := dialRaw(t, addr)
				say(t, c, "GET /ingest//news/a.ts HTTP/1.1\nHost: weir\n\n")
				if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 400 {
					t.Fatalf("%v %v", resp, err)
				}
			}
			said := book.String()
			if n := strings.Count(said, "request refused"); n != 1 || !strings.Contains(said, "path=/ingest//news/a.ts") ||
				!strings.Contains(said, "reason=bad_path") || !strings.Contains(said, "level=INFO") {
				t.Errorf("%d lines:\n%s", n, said)
			}
		})
	}
	h := web.HandlerFunc(func(context.Context, *web.Request) (*web.Response, error) { return web.Text(200, ""), nil })
	f("net", func(b *logBook) string {
		addr, _ := startNet(t, NetOptions{Handler: h, Log: slog.New(slog.NewTextHandler(b, nil))})
		return addr
	})
	f("fast", func(b *logBook) string {
		fast, err := NewFast(FastOptions{Handler: h, Log: slog.New(slog.NewTextHandler(b, nil))})
		if err != nil {
			t.Fatal(err)
		}
		addr, stop := run(t, fast)
		t.Cleanup(stop)
		return addr
	})
}

// Whatever a path looks like that is refused, no key or token in it is logged.
func TestSecretInARefusedPathIsNotLogged(t *testing.T) {
	f := func(p, want string) {
		t.Helper()
		if got := maskDirty(p); got != want {
			t.Errorf("%q is logged as %q, want %q", p, got, want)
		}
	}
	f("/ingest//news/a.ts", "/ingest//news/a.ts")
	f("/ingest/k//SECRET/news/a.ts", "/ingest/k/***")
	f("/ingest/k/SECRET//news/a.ts", "/ingest/k/***")
	f("/ingest/%6b/SECRET/../a.ts", "/ingest/k/***")
	f("/ingest/%6B%2fSECRET/../a.ts", "/ingest/k/***")
	f(`/ingest\k\SECRET`, "/ingest/k/***")
	f("/%zz/%74/SECRET/live", "/%zz/t/***")
	f("http://weir/t/SECRET/live/index.m3u8", "http://weir/t/***")
	f("/a\x80%", "/a?%")
	f("/"+strings.Repeat("a", 2*maxDirty), "/"+strings.Repeat("a", maxDirty-1))
}

// An encoder that sends the length, says "Connection: close" and goes on sending
// is told why its upload is refused, and is not met by a reset.
func TestRefusalReachesASenderThatClosesAfterwards(t *testing.T) {
	addr, _ := startNet(t, NetOptions{Handler: web.HandlerFunc(func(_ context.Context, req *web.Request) (*web.Response, error) {
		_, _ = io.CopyN(io.Discard, req.Body, 1000)
		return nil, web.Errorf(http.StatusRequestEntityTooLarge, "too much")
	})})
	c, r := dialRaw(t, addr)
	say(t, c, "PUT /x HTTP/1.1\nHost: weir\nConnection: close\nContent-Length: 10485760\n\n")
	if _, err := c.Write(make([]byte, 10<<20)); err != nil {
		t.Errorf("the sender was cut: %v", err)
	}
	if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 413 {
		t.Errorf("%v %v", resp, err)
	}
}
