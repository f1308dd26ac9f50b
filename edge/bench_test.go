package edge

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"weir/cache"
	"weir/internal/limit"
	"weir/internal/web"
)

// maxHitAllocs is how much garbage one hit may make: at 50,000 requests a
// second each allocation more costs a viewer's worth of CPU in collection.
const maxHitAllocs = 3

// hitCase is an edge with tokens on that holds what the requests ask for.
func hitCase(t testing.TB, size int, path, contentType string) (*Edge, *web.Request) {
	t.Helper()
	src, sign := signer(t)
	body := bytes.Repeat([]byte("0123456789abcdef"), size/16)
	e := newEdge(t, Options{Tokens: src}, &fake{answer: answering(200, string(body), "Content-Type", contentType, "ETag", `"x"`,
		"Cache-Control", "max-age=31536000, immutable", "Vary", "Accept-Encoding", "Date", web.FormatHTTPDate(time.Now().Add(-time.Hour)), "Age", "1234")})
	req := request("GET", "/t/"+sign(time.Hour, "/live/news/")+path, "Host", "edge.example", "User-Agent", strings.Repeat("Mozilla/5.0 ", 8),
		"Accept", "*/*", "Accept-Encoding", "gzip, deflate, br", "Origin", "https://player.example", "Referer", "https://player.example/watch",
		"Accept-Language", "de,en;q=0.5", "Sec-Fetch-Mode", "cors", "Cookie", "a=b; c=d")
	if g := ask(t, e, req); g.Status != 200 || len(g.text) != size {
		t.Fatalf("%d, %d bytes", g.Status, len(g.text))
	}
	return e, req
}

func hit(t testing.TB, e *Edge, req *web.Request, size int64) {
	resp, err := e.Serve(context.Background(), req)
	if err != nil || resp.Status != 200 || resp.Body.Len() != size {
		t.Fatal(err, resp)
	}
	resp.Body.Close()
}

func TestAHitMakesLittleGarbage(t *testing.T) {
	for _, c := range []struct {
		name, path, contentType string
		size                    int
		most                    float64
	}{
		{"playlist", "/live/news/v/index.m3u8", "application/vnd.apple.mpegurl", 2 << 10, maxHitAllocs},
		{"segment", "/live/news/v/seg-00001234.m4s", "video/mp4", 1 << 20, maxHitAllocs},
		// Its key is written anew: the order of directives is the client's.
		{"blocking playlist", "/live/news/v/index.m3u8?_HLS_msn=1234&_HLS_part=3", "application/vnd.apple.mpegurl", 2 << 10, maxHitAllocs + 4},
	} {
		e, req := hitCase(t, c.size, c.path, c.contentType)
		n := testing.AllocsPerRun(200, func() { hit(t, e, req, int64(c.size)) })
		t.Logf("%s: %v allocations a hit", c.name, n)
		if n > c.most {
			t.Errorf("%s: %v allocations a hit, at most %v", c.name, n, c.most)
		}
	}
}

// The same with all that a node switches on: playlists read, rates per client, and
// the order of service.
func TestAHitMakesLittleGarbageWithAllOn(t *testing.T) {
	for _, path := range []string{"/v/index.m3u8", "/v/seg12.ts"} {
		s := newStudio()
		s.put("/v/index.m3u8", windowOf(10, 5)+"#EXT-X-ENDLIST\n", "Cache-Control", "max-age=3600")
		s.cut("/v", 10, 5, "Cache-Control", "max-age=3600")
		a := NewAware(AwareOptions{})
		c, err := cache.New(cache.Options{Bytes: 64 << 20, Judge: a.Judge})
		if err != nil {
			t.Fatal(err)
		}
		var g gauge
		src, sign := signer(t)
		many := limit.Rate{PerSecond: 1e9, Burst: 1 << 20}
		e := newEdge(t, Options{Cache: c, Aware: a, Tokens: src, Usage: g.usage, Sessions: 1000, MinRate: func(string) int64 { return 1000 },
			Clients: limit.New(limit.Rules{Address: many, Token: many})}, s)
		req := request("GET", "/t/"+sign(time.Hour, "/v/")+path, "Accept-Encoding", "gzip")
		req.Remote = netipPort(1)
		get := func(ask func() (*web.Response, error)) float64 {
			return testing.AllocsPerRun(200, func() {
				resp, err := ask()
				if err != nil || resp.Status != 200 {
					t.Fatal(err, resp)
				}
				resp.Body.Close()
			})
		}
		serve := get(func() (*web.Response, error) { return e.Serve(context.Background(), req) })
		quick := get(func() (*web.Response, error) {
			resp, ok := e.TryServe(req)
			if !ok {
				return nil, errNoOrigin
			}
			return resp, nil
		})
		t.Logf("%s: %v allocations by Serve, %v by TryServe", path, serve, quick)
		if max(serve, quick) > maxHitAllocs {
			t.Errorf("%s: %v and %v allocations a hit, at most %v", path, serve, quick, maxHitAllocs)
		}
	}
}

func BenchmarkHit(b *testing.B) {
	for _, c := range []struct {
		name, path, contentType string
		size                    int
	}{
		{"playlist=2KiB", "/live/news/v/index.m3u8", "application/vnd.apple.mpegurl", 2 << 10},
		{"segment=1MiB", "/live/news/v/seg-00001234.m4s", "video/mp4", 1 << 20},
	} {
		b.Run(c.name, func(b *testing.B) {
			e, req := hitCase(b, c.size, c.path, c.contentType)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					hit(b, e, req, int64(c.size))
				}
			})
		})
	}
}
