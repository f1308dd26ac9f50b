package edge

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"weir/edge/schedule"
	"weir/internal/web"
)

const day = "max-age=86400, stale-if-error=86400, stale-while-revalidate=86400"

// nginx with a careless expires keeps a live playlist for a day. Players freeze.
func TestALivePlaylistNeverOutlivesHalfATargetDuration(t *testing.T) {
	for _, header := range [][]string{
		{"Cache-Control", day},
		{"Expires", "Sun, 01 Mar 2099 20:00:00 GMT"},
		{"CDN-Cache-Control", "max-age=86400"},
		{"Last-Modified", "Sun, 01 Mar 1998 20:00:00 GMT"},
		{}, // nothing said
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newStudio()
			s.list("/v/index.m3u8", 10, 5, header...)
			e := awareEdge(t, AwareOptions{}, Options{}, s)
			get(t, e, "/v/index.m3u8")
			wait(999 * time.Millisecond)
			get(t, e, "/v/index.m3u8")
			want(t, fmt.Sprint(header, " within a second"), s.count("/v/index.m3u8"), 1)
			wait(1001 * time.Millisecond)
			get(t, e, "/v/index.m3u8")
			wait(time.Second)
			get(t, e, "/v/index.m3u8")
			if n := s.count("/v/index.m3u8"); n < 1 || n > 2 {
				t.Errorf("%v: asked %d times in the two seconds after", header, n)
			}
		})
	}
}

// Behind the edge there are caches too, one in each browser.
func TestWhatIsToldBehindTheEdgeIsBoundedToo(t *testing.T) {
	f := func(key, want string, pairs ...string) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			s := newStudio()
			s.list("/v/index.m3u8", 10, 5, append(pairs, "ETag", `"1"`)...)
			e := awareEdge(t, AwareOptions{}, Options{}, s)
			for range 3 { // the second is a 304
				g := get(t, e, key)
				if got := g.Get("Cache-Control"); got != want || g.Get("Expires") != "" && want != "" || g.Get("CDN-Cache-Control") != "" {
					t.Errorf("%v: %v", pairs, g.Flatten())
				}
				wait(1500 * time.Millisecond)
			}
		})
	}
	f("/v/index.m3u8", "max-age=1", "Cache-Control", day)
	f("/v/index.m3u8", "max-age=1, public, must-revalidate", "Cache-Control", "public, must-revalidate, max-age=86400")
	f("/v/index.m3u8", "max-age=1, private", "Cache-Control", "private, max-age=86400")
	f("/v/index.m3u8", "max-age=0, s-maxage=1", "Cache-Control", "max-age=0, s-maxage=3600")
	f("/v/index.m3u8", "max-age=1, s-maxage=0", "Cache-Control", "max-age=86400, s-maxage=0")
	f("/v/index.m3u8", `max-age=1, private="X-A, X-B", no-transform`, "Cache-Control", `private="X-A, X-B", max-age=86400, no-transform, stale-if-error=9`)
	f("/v/index.m3u8", "max-age=1", "Expires", "Sun, 01 Mar 2099 20:00:00 GMT")
	f("/v/index.m3u8", "max-age=1", "CDN-Cache-Control", "max-age=86400")
	f("/v/index.m3u8", "max-age=1")
	f("/v/index.m3u8", "no-cache", "Cache-Control", "no-cache")
	f("/v/index.m3u8", "max-age=1, x=y", "Cache-Control", "max-age=1, x=y")
	f("/v/index.m3u8?_HLS_msn=14", "max-age=12", "Cache-Control", day)
	f("/v/index.m3u8?_HLS_msn=15", "max-age=1", "Cache-Control", day)
}

// A browser that keeps a 404 never gets what its player asked for a moment too
// early; one that keeps a multivariant playlist misses what became of it.
func TestWhatMayComeIsNotMissingForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio()
		e := awareEdge(t, AwareOptions{NoPrefetch: true, Hold: -1}, Options{}, s)
		for i := range 4 {
			s.list("/v/index.m3u8", 10+i, 5, "Cache-Control", "max-age=1")
			get(t, e, "/v/index.m3u8")
			wait(2 * time.Second)
		}
		for path, life := range map[string]string{"/v/seg18.ts": "max-age=1", "/v/seg19.ts": "max-age=2", "/v/other.ts": "max-age=86400"} { // upstream says a day
			if g := says(t, e, path, 404, ""); g.Get("Cache-Control") != life {
				t.Errorf("%s: %s", path, g.Get("Cache-Control"))
			}
		}
		s.put("/master.m3u8", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv/index.m3u8\n", "Cache-Control", day)
		want(t, "multivariant", get(t, e, "/master.m3u8").Get("Cache-Control"), "max-age=2")
	})
}

// What a version is asked for by its number may be kept, once it is that.
func TestAnAnswerOlderThanAskedForIsNotFinal(t *testing.T) {
	f := func(query string, until time.Duration) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			s := newStudio()
			s.list("/v/index.m3u8", 10, 5, "Cache-Control", "max-age=86400")
			e := awareEdge(t, AwareOptions{}, Options{}, s)
			get(t, e, "/v/index.m3u8?"+query)
			wait(until - time.Millisecond)
			get(t, e, "/v/index.m3u8?"+query)
			want(t, query+" before", s.total(), 1)
			wait(2 * time.Millisecond)
			get(t, e, "/v/index.m3u8?"+query)
			want(t, query+" after", s.total(), 1)
		})
	}
	f("_HLS_msn=14", 12*time.Second)
	f("_HLS_msn=15", time.Second) // not there yet
	f("_HLS_msn=3", time.Second)  // far behind: the number says nothing
	f("_HLS_skip=YES", time.Second)
}

func TestAFinishedPlaylistIsKeptAsUpstreamSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio()
		s.put("/v/index.m3u8", windowOf(0, 5)+"#EXT-X-ENDLIST\n", "Cache-Control", "max-age=3600")
		e := awareEdge(t, AwareOptions{}, Options{}, s)
		get(t, e, "/v/index.m3u8")
		wait(3599 * time.Second)
		get(t, e, "/v/index.m3u8")
		want(t, "asked", s.total(), 1)
		want(t, "kind", e.aware.Kind("/v/seg3.ts"), schedule.VOD)
	})
}

// A playlist that another cache has kept for long is old when it comes. Those who
// ask at once share it nevertheless.
func TestWhatWasOldWhenItCameIsSharedForASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio()
		s.list("/v/index.m3u8", 10, 5, "Cache-Control", "max-age=86400", "Age", "600")
		e := awareEdge(t, AwareOptions{}, Options{}, s)
		get(t, e, "/v/index.m3u8")
		wait(900 * time.Millisecond)
		get(t, e, "/v/index.m3u8")
		want(t, "asked", s.total(), 1)
		wait(200 * time.Millisecond)
		get(t, e, "/v/index.m3u8")
		want(t, "asked later", s.total(), 1)
	})
}

// Upstream's own words are not stretched.
func TestWhatMayNotBeKeptIsNotKept(t *testing.T) {
	for _, cc := range []string{"no-store", "private", "no-cache", "max-age=0"} {
		synctest.Test(t, func(t *testing.T) {
			s := newStudio()
			s.list("/v/index.m3u8", 10, 5, "Cache-Control", cc)
			e := awareEdge(t, AwareOptions{}, Options{}, s)
			get(t, e, "/v/index.m3u8")
			wait(10 * time.Millisecond)
			get(t, e, "/v/index.m3u8")
			want(t, cc, s.total(), 2)
		})
	}
}

// While the origin fails a live playlist is shown for a target duration; our own
// origin knows best for how long.
func TestAStalePlaylistIsShownForATargetDuration(t *testing.T) {
	f := func(shown time.Duration, pairs ...string) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			s := newStudio()
			s.list("/v/index.m3u8", 10, 5, pairs...)
			e := awareEdge(t, AwareOptions{}, Options{}, s)
			get(t, e, "/v/index.m3u8")
			s.mu.Lock()
			s.files["/v/index.m3u8"] = web.NewResponse(500, web.String("oops"))
			s.mu.Unlock()
			wait(shown - time.Millisecond)
			says(t, e, "/v/index.m3u8", 200, "")
			wait(time.Second)
			says(t, e, "/v/index.m3u8", 500, "")
		})
	}
	f(3*time.Second, "Cache-Control", day)
	f(3*time.Second, "Cache-Control", "max-age=1")
	f(61*time.Second, "Cache-Control", "max-age=1, stale-if-error=60", publishingField, "e1")
}

// A version that came in one coding makes those before it in the other unusable.
// When the origin goes away just then, viewers who want that other coding are
// shown the newest version all the same, as long as it may be shown.
func TestAnOutageIsHiddenInEachCoding(t *testing.T) {
	f := func(shown time.Duration, pairs ...string) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			s := newStudio()
			pairs = append(pairs, "Vary", "Accept-Encoding")
			s.list("/v/index.m3u8", 10, 5, pairs...)
			e := awareEdge(t, AwareOptions{}, Options{}, s)
			get(t, e, "/v/index.m3u8")
			get(t, e, "/v/index.m3u8", "Accept-Encoding", "gzip")
			wait(2 * time.Second)
			s.list("/v/index.m3u8", 11, 5, pairs...)
			get(t, e, "/v/index.m3u8", "Accept-Encoding", "gzip")
			s.mu.Lock()
			s.files["/v/index.m3u8"] = web.NewResponse(503, web.String("oops"))
			s.mu.Unlock()
			if shown > 0 {
				wait(shown - 10*time.Millisecond)
				says(t, e, "/v/index.m3u8", 200, windowOf(11, 5))
				wait(1100 * time.Millisecond)
			}
			says(t, e, "/v/index.m3u8", 503, "")
		})
	}
	f(3*time.Second, "Cache-Control", "max-age=1")
	f(61*time.Second, "Cache-Control", "max-age=1, stale-if-error=60", publishingField, "e1")
	f(0, "Cache-Control", "max-age=1, must-revalidate")
}

// Segments of a live rendition of which upstream says nothing are kept for as long
// as anybody may want them.
func TestSegmentsWithoutALifetimeGetTheirAvailability(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio()
		s.list("/v/index.m3u8", 10, 5, "Cache-Control", "max-age=1")
		s.cut("/v", 10, 5)
		s.put("/v/other.bin", "x")
		s.put("/v/said.ts", "x", "Cache-Control", "max-age=3")
		e := awareEdge(t, AwareOptions{NoPrefetch: true}, Options{}, s)
		get(t, e, "/v/index.m3u8")
		get(t, e, "/v/seg12.ts")
		get(t, e, "/v/other.bin")
		wait(21 * time.Second)
		get(t, e, "/v/seg12.ts")
		want(t, "segment", s.count("/v/seg12.ts"), 1)
		get(t, e, "/v/other.bin")
		want(t, "something else", s.count("/v/other.bin"), 2)
		wait(2 * time.Second)
		get(t, e, "/v/seg12.ts")
		want(t, "segment, later", s.count("/v/seg12.ts"), 1)
	})
}

// 404: "one Target Duration", four for a blocking playlist request (HLSbis B.1),
// whatever upstream says.
func TestCA30A404LivesForATargetDuration(t *testing.T) {
	f := func(target string, until time.Duration) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			s := newStudio()
			s.list("/v/index.m3u8", 10, 5, "Cache-Control", "max-age=1")
			e := awareEdge(t, AwareOptions{Hold: -1}, Options{}, s)
			get(t, e, "/v/index.m3u8")
			s.drop("/v/index.m3u8")
			says(t, e, target, 404, "")
			s.total()
			wait(until - time.Millisecond)
			says(t, e, target, 404, "")
			want(t, target+" before", s.total(), 0)
			wait(2 * time.Millisecond)
			says(t, e, target, 404, "")
			want(t, target+" after", s.total(), 1)
		})
	}
	f("/v/seg12.ts", 2*time.Second)
	f("/v/seg18.ts", 2*time.Second)
	f("/v/index.m3u8?_HLS_msn=15", 8*time.Second)
	f("/v/index.m3u8?_HLS_skip=YES", 2*time.Second)
	f("/v/seg15.ts", 2*time.Second) // due then
}

// The next segment's 404 goes when a playlist lists it, however long it might live.
func TestA404GoesWhenAPlaylistListsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio()
		s.list("/v/index.m3u8", 10, 5, "Cache-Control", "max-age=1")
		e := awareEdge(t, AwareOptions{Hold: -1, NoPrefetch: true}, Options{}, s)
		get(t, e, "/v/index.m3u8")
		wait(1100 * time.Millisecond)
		says(t, e, "/v/seg16.ts", 404, "")
		s.list("/v/index.m3u8", 12, 5, "Cache-Control", "max-age=1")
		s.cut("/v", 15, 2)
		get(t, e, "/v/index.m3u8")
		says(t, e, "/v/seg16.ts", 200, "bytes of 16")
	})
}

func TestAMultivariantPlaylistOfLiveRenditionsIsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio()
		s.put("/index.m3u8", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=800000\nv/index.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=1\nindex.m3u8\n", "Cache-Control", day)
		s.put("/vod.m3u8", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=800000\nvod/index.m3u8\n", "Cache-Control", day)
		s.list("/v/index.m3u8", 10, 5, "Cache-Control", "max-age=1")
		s.put("/vod/index.m3u8", windowOf(0, 5)+"#EXT-X-ENDLIST\n", "Cache-Control", day)
		e := awareEdge(t, AwareOptions{}, Options{}, s)
		get(t, e, "/index.m3u8")
		wait(59 * time.Second)
		get(t, e, "/index.m3u8")
		want(t, "while nothing is known", s.count("/index.m3u8"), 1)
		get(t, e, "/v/index.m3u8")
		get(t, e, "/vod/index.m3u8")
		wait(86400 * time.Second)
		for range 2 {
			get(t, e, "/index.m3u8")
			get(t, e, "/vod.m3u8")
			wait(3 * time.Second)
			synctest.Wait()
		}
		want(t, "live", s.count("/index.m3u8"), 2)
		want(t, "finished", s.count("/vod.m3u8"), 1)
		want(t, "rate", e.aware.Rate("/v/seg12.ts"), 100_000)
	})
}

// A general cache keys on the whole query, and still knows a rendition.
func TestDirectivesAreSetApartUnderQueryAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio()
		s.list("/v/index.m3u8", 11, 5, "Cache-Control", "max-age=86400")
		e := awareEdge(t, AwareOptions{}, Options{QueryAll: true}, s)
		newest := windowOf(11, 5)
		says(t, e, "/v/index.m3u8?x=1&_HLS_msn=15", 200, newest)
		s.list("/v/index.m3u8", 10, 5, "Cache-Control", "max-age=86400")
		says(t, e, "/v/index.m3u8?x=1", 200, newest)
		says(t, e, "/v/index.m3u8?x=2", 200, windowOf(10, 5)) // another rendition
	})
}
