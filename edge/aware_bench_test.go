package edge

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/cache"
)

// maxAwareAllocs is what a hit may cost with awareness: as much as without.
const maxAwareAllocs = maxHitAllocs

func TestAHitCostsNoMoreWherePlaylistsAreRead(t *testing.T) {
	for _, path := range []string{"/v/index.m3u8", "/v/seg12.ts"} {
		e := awareHits(t)
		req := request("GET", path, "Accept-Encoding", "gzip")
		n := testing.AllocsPerRun(200, func() {
			resp, err := e.Serve(context.Background(), req)
			if err != nil || resp.Status != 200 {
				t.Fatal(err, resp)
			}
			resp.Body.Close()
		})
		if n > maxAwareAllocs {
			t.Errorf("%s: %v allocations a hit, at most %v", path, n, maxAwareAllocs)
		}
	}
}

// awareHits is an edge that keeps a playlist, which is finished, and segments.
func awareHits(t testing.TB) *Edge {
	s := newStudio()
	s.put("/v/index.m3u8", windowOf(10, 5)+"#EXT-X-ENDLIST\n", "Cache-Control", "max-age=3600")
	s.cut("/v", 10, 5, "Cache-Control", "max-age=3600")
	a := NewAware(AwareOptions{})
	c, err := cache.New(cache.Options{Bytes: 64 << 20, Judge: a.Judge})
	if err != nil {
		t.Fatal(err)
	}
	e := newEdge(t, Options{Cache: c, Aware: a}, s)
	for _, path := range []string{"/v/index.m3u8", "/v/seg12.ts"} {
		get(t, e, path, "Accept-Encoding", "gzip")
	}
	return e
}

func BenchmarkAwareHit(b *testing.B) {
	for _, path := range []string{"/v/index.m3u8", "/v/seg12.ts"} {
		b.Run(path[3:], func(b *testing.B) {
			e := awareHits(b)
			req := request("GET", path, "Accept-Encoding", "gzip")
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					resp, err := e.Serve(context.Background(), req)
					if err != nil {
						b.Fatal(err)
					}
					resp.Body.Close()
				}
			})
		})
	}
}

// Under QueryAll a segment's query is part of its name.
func TestTheNextSegmentIsFetchedAheadWithItsQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio()
		e := awareEdge(t, AwareOptions{}, Options{QueryAll: true}, s)
		list := func(first int) {
			text := windowOf(first, 5)
			s.put("/v/index.m3u8", strings.ReplaceAll(text, ".ts", ".ts?v=1&CMCD=x"), "Cache-Control", "max-age=1")
			s.cut("/v", first, 5, "Cache-Control", "max-age=60")
		}
		list(10)
		get(t, e, "/v/index.m3u8?s=a")
		says(t, e, "/v/seg14.ts?v=1", 200, "bytes of 14")
		wait(2 * time.Second)
		list(11)
		get(t, e, "/v/index.m3u8?s=a")
		synctest.Wait()
		want(t, "fetched", s.count("/v/seg15.ts?v=1"), 1)
		says(t, e, "/v/seg15.ts?v=1", 200, "bytes of 15")
		want(t, "asked for by the viewer", s.count("/v/seg15.ts?v=1"), 0)
	})
}
