package edge

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/web"
)

func packed(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return b.String()
}

// Players freeze when a playlist goes back. It must not, by whichever of its keys
// and codings it is asked for.
func TestAPlaylistNeverGoesBackWhicheverWayItIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio()
		e := awareEdge(t, AwareOptions{}, Options{}, s)
		pairs := []string{"Cache-Control", "max-age=1", "Vary", "Accept-Encoding"}
		both := func(first int) {
			s.list("/v/index.m3u8", first, 5, append(pairs, "ETag", fmt.Sprintf(`"%d"`, first))...)
		}
		both(10)
		says(t, e, "/v/index.m3u8", 200, windowOf(10, 5))
		both(11)
		says(t, e, "/v/index.m3u8?_HLS_msn=15", 200, windowOf(11, 5))
		says(t, e, "/v/index.m3u8", 200, windowOf(11, 5)) // although a fresh one was kept
		both(12)
		s.put("/v/index.m3u8", packed(windowOf(12, 5)), append(pairs, "Content-Encoding", "gzip", "ETag", `"12-gz"`)...)
		wait(1100 * time.Millisecond)
		says(t, e, "/v/index.m3u8", 200, packed(windowOf(12, 5)), "Accept-Encoding", "gzip")
		both(11) // upstream falls back
		wait(1100 * time.Millisecond)
		g := says(t, e, "/v/index.m3u8", 200, windowOf(12, 5))
		if g.Get("Content-Encoding") != "" || g.Get("ETag") != "" {
			t.Errorf("identity, of a copy in gzip: %v", g.Flatten())
		}
		says(t, e, "/v/index.m3u8", 200, packed(windowOf(12, 5)), "Accept-Encoding", "gzip")
		says(t, e, "/v/index.m3u8?_HLS_msn=16", 200, windowOf(12, 5))
		says(t, e, "/v/index.m3u8?_HLS_skip=YES", 200, windowOf(12, 5))
		both(13)
		wait(1100 * time.Millisecond)
		says(t, e, "/v/index.m3u8", 200, windowOf(13, 5))
	})
}

// Who lags says of an older version that nothing has changed: he is not asked so.
func TestAnOlderVersionIsNotValidated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio()
		e := awareEdge(t, AwareOptions{}, Options{}, s)
		pairs := []string{"Cache-Control", "max-age=1", "Vary", "Accept-Encoding"}
		s.list("/v/index.m3u8", 10, 5, append(pairs, "ETag", `"10"`)...)
		says(t, e, "/v/index.m3u8", 200, windowOf(10, 5))
		wait(1100 * time.Millisecond)
		g := says(t, e, "/v/index.m3u8", 200, windowOf(10, 5))
		if !strings.Contains(g.Get("Cache-Status"), "fwd-status=304") {
			t.Errorf("the newest version was not validated: %s", g.Get("Cache-Status"))
		}
		wait(10 * time.Second) // so long that the other coding is not thought of
		s.put("/v/index.m3u8", packed(windowOf(11, 5)), append(pairs, "Content-Encoding", "gzip", "ETag", `"11-gz"`)...)
		says(t, e, "/v/index.m3u8", 200, packed(windowOf(11, 5)), "Accept-Encoding", "gzip")
		s.list("/v/index.m3u8", 10, 5, append(pairs, "ETag", `"10"`)...)
		wait(1100 * time.Millisecond)
		says(t, e, "/v/index.m3u8", 200, windowOf(11, 5))
	})
}

// A playlist stands still for three target durations while upstream lags. Then it
// is an error that players understand.
func TestAnUpstreamThatLagsForLongIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio()
		s.list("/v/index.m3u8", 10, 5, "Cache-Control", day, "ETag", `"10"`)
		e := awareEdge(t, AwareOptions{}, Options{}, s)
		get(t, e, "/v/index.m3u8")
		s.list("/v/index.m3u8", 9, 5, "Cache-Control", day, "ETag", `"9"`)
		wait(4 * time.Second)
		g := says(t, e, "/v/index.m3u8", 200, windowOf(10, 5))
		if g.Get("Age") != "4" {
			t.Errorf("a copy of 4 s is of age %q", g.Get("Age"))
		}
		s.total()
		get(t, e, "/v/index.m3u8")
		wait(900 * time.Millisecond)
		get(t, e, "/v/index.m3u8")
		want(t, "asked within a second", s.total(), 0)
		wait(4 * time.Second)
		says(t, e, "/v/index.m3u8", 200, windowOf(10, 5))
		wait(1200 * time.Millisecond)
		says(t, e, "/v/index.m3u8", 503, "")
		g = get(t, e, "/v/index.m3u8")
		want(t, "Retry-After", g.Get("Retry-After"), 1)
		s.list("/v/index.m3u8", 11, 5, "Cache-Control", day, "ETag", `"11"`)
		wait(time.Second)
		says(t, e, "/v/index.m3u8", 200, windowOf(11, 5))
	})
}

// A foreign origin is started again and uses its numbers and names again: after a
// target duration that is what there is, and nothing of before is mixed with it.
func TestARestartWithTheSameNamesIsClean(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio()
		s.list("/v/index.m3u8", 100, 5, "Cache-Control", "max-age=1")
		s.cut("/v", 100, 5, "Cache-Control", "max-age=86400")
		e := awareEdge(t, AwareOptions{NoPrefetch: true}, Options{}, s)
		get(t, e, "/v/index.m3u8")
		says(t, e, "/v/seg102.ts", 200, "bytes of 102")
		s.put("/v/seg102.ts", "other bytes", "Cache-Control", "max-age=86400")
		s.list("/v/index.m3u8", 0, 2, "Cache-Control", "max-age=1")
		for range 3 {
			wait(1100 * time.Millisecond)
			get(t, e, "/v/index.m3u8")
		}
		says(t, e, "/v/index.m3u8", 200, windowOf(0, 2))
		says(t, e, "/v/seg102.ts", 200, "other bytes")
	})
}

// Of two origins the preferred one lags: the other is asked.
func TestAnOriginThatIsNotBehindIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s1, s2 := newStudio(), newStudio()
		e := awareEdge(t, AwareOptions{}, Options{}, s1, s2)
		s1.list("/v/index.m3u8", 10, 5, "Cache-Control", "max-age=1")
		says(t, e, "/v/index.m3u8", 200, windowOf(10, 5))
		s1.list("/v/index.m3u8", 9, 5, "Cache-Control", "max-age=1")
		for i := range 10 {
			s2.list("/v/index.m3u8", 11+i, 5, "Cache-Control", "max-age=1")
			wait(2 * time.Second)
			says(t, e, "/v/index.m3u8", 200, windowOf(11+i, 5))
		}
	})
}

// What a peer answers counts too: a node that was told of a newer version shows it.
func TestAPeersOlderPlaylistIsNotShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio()
		peer := newStudio()
		asPeer := web.HandlerFunc(func(ctx context.Context, req *web.Request) (*web.Response, error) {
			resp, err := peer.Serve(ctx, req)
			if err == nil {
				resp.Header.Add(nodeField, "e2")
			}
			return resp, err
		})
		r := &ring{self: "e1", owner: func(string) string { return "e2" }, peers: map[string]*ringPeer{"e2": {"e2", asPeer}}}
		e := awareEdge(t, AwareOptions{}, Options{Peers: r}, s)
		peer.list("/v/index.m3u8", 11, 5, "Cache-Control", "max-age=1")
		says(t, e, "/v/index.m3u8", 200, windowOf(11, 5))
		peer.list("/v/index.m3u8", 10, 5, "Cache-Control", "max-age=1")
		wait(1100 * time.Millisecond)
		says(t, e, "/v/index.m3u8", 200, windowOf(11, 5))
		want(t, "origin asked", s.total(), 0)
	})
}
