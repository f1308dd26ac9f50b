package edge

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/web"
)

// stage is an edge before a studio that a viewer plays from: at each turn there
// is one segment more.
type stage struct {
	t *testing.T
	s *studio
	e *Edge
	n int // the number of the last segment
}

func newStage(t *testing.T, ao AwareOptions) *stage {
	st := &stage{t: t, s: newStudio(), n: 13}
	st.e = awareEdge(t, ao, Options{}, st.s)
	st.turn()
	return st
}

// turn is what an encoder does each two seconds.
func (st *stage) turn() {
	wait(2 * time.Second)
	st.n++
	st.s.list("/v/index.m3u8", st.n-4, 5, "Cache-Control", "max-age=1")
	st.s.cut("/v", st.n, 1, "Cache-Control", "max-age=3600")
}

func (st *stage) segment(n int) string { return fmt.Sprintf("/v/seg%d.ts", n) }

// play is what a player does after each turn.
func (st *stage) play() {
	get(st.t, st.e, "/v/index.m3u8")
	synctest.Wait()
	says(st.t, st.e, st.segment(st.n), 200, "")
}

// The first viewer who asks for a new segment finds it there.
func TestTheNextSegmentIsThereBeforeItIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, AwareOptions{})
		st.play()
		for range 10 {
			st.turn()
			get(t, st.e, "/v/index.m3u8")
			synctest.Wait()
			want(t, "asked before any viewer", st.s.count(st.segment(st.n)), 1)
			g := says(t, st.e, st.segment(st.n), 200, fmt.Sprintf("bytes of %d", st.n))
			if !strings.Contains(g.Get("Cache-Status"), "; hit;") {
				t.Errorf("a viewer is told %q", g.Get("Cache-Status"))
			}
			want(t, "asked again", st.s.count(st.segment(st.n)), 0)
		}
		s := st.e.aware.Stats()
		if s.PrefetchedSegs != 10 || s.WantedBytes != s.PrefetchBytes || s.UnwantedBytes != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// Who only looks at the playlist wants no segments; nor does who has left.
func TestNothingIsFetchedThatNobodyPlays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, AwareOptions{})
		for range 5 {
			get(t, st.e, "/v/index.m3u8")
			st.turn()
		}
		want(t, "only the playlist", st.e.aware.Stats().PrefetchedSegs, 0)
		st.play()
		st.turn()
		st.play()
		fetched := st.e.aware.Stats().PrefetchedSegs
		for range 10 {
			st.turn()
			get(t, st.e, "/v/index.m3u8") // and no segment any more
		}
		wait(20 * time.Second)
		s := st.e.aware.Stats()
		if n := s.PrefetchedSegs - fetched; n > 4 || s.UnwantedSegs != n {
			t.Errorf("%d fetched after the last viewer left, %d in vain", n, s.UnwantedSegs)
		}
	})
}

func TestNothingIsFetchedAheadWhereThatIsOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, AwareOptions{NoPrefetch: true})
		for range 5 {
			st.play()
			st.turn()
		}
		want(t, "fetched", st.e.aware.Stats().PrefetchedSegs, 0)
	})
}

// What is fetched in vain stays below a twenty-fifth of all media.
func TestFetchingInVainHasABound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, AwareOptions{})
		for range 100 { // a viewer who asks for each second segment only
			st.play()
			st.turn()
			get(t, st.e, "/v/index.m3u8")
			st.turn()
		}
		wait(20 * time.Second)
		s := st.e.aware.Stats()
		if s.UnwantedSegs == 0 || s.UnwantedBytes*20 > s.MediaBytes {
			t.Errorf("%+v", s)
		}
	})
}

// A new init segment comes with the first segment that needs it; what is not there
// (a gap), or is no object here, is not fetched.
func TestInitSegmentsAreFetchedAndGapsAreNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio()
		e := awareEdge(t, AwareOptions{}, Options{}, s)
		const head = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MAP:URI=\"init1.mp4\"\n#EXTINF:2,\na.m4s\n#EXTINF:2,\nb.m4s\n"
		s.put("/v/index.m3u8", head, "Cache-Control", "max-age=1")
		for _, f := range []string{"init1.mp4", "init2.mp4", "a.m4s", "b.m4s", "c.m4s", "d.m4s", "k"} {
			s.put("/v/"+f, f, "Cache-Control", "max-age=60")
		}
		get(t, e, "/v/index.m3u8")
		get(t, e, "/v/b.m4s")
		wait(2 * time.Second)
		s.put("/v/index.m3u8", head+"#EXT-X-GAP\n#EXTINF:2,\nc.m4s\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXT-X-MAP:URI=\"init2.mp4\"\n#EXTINF:2,\nd.m4s\n", "Cache-Control", "max-age=1")
		get(t, e, "/v/index.m3u8")
		synctest.Wait()
		for f, n := range map[string]int{"init2.mp4": 1, "d.m4s": 1, "k": 1, "c.m4s": 0, "init1.mp4": 0, "a.m4s": 0} {
			want(t, f, s.count("/v/"+f), n)
		}
	})
}

// An early request waits, however many make it, and the origin is asked once more.
func TestARequestForTheNextSegmentWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, AwareOptions{NoPrefetch: true})
		st.play()
		next := st.segment(st.n + 1)
		answers := make(chan []got, 1)
		wait(1500 * time.Millisecond)
		go func() { answers <- crowd(st.e, 100, func(int) *web.Request { return request("GET", next) }) }()
		synctest.Wait()
		want(t, "held", st.e.aware.Stats().Holds, 1)
		want(t, "asked at first", st.s.count(next), 1)
		wait(100 * time.Millisecond)
		st.n++
		st.s.list("/v/index.m3u8", st.n-4, 5, "Cache-Control", "max-age=1")
		st.s.cut("/v", st.n, 1, "Cache-Control", "max-age=3600")
		get(t, st.e, "/v/index.m3u8") // somebody else's
		synctest.Wait()
		select {
		case all := <-answers:
			for _, g := range all {
				if g.Status != 200 || g.text != fmt.Sprintf("bytes of %d", st.n) {
					t.Fatalf("%d %q", g.Status, g.text)
				}
			}
		default:
			t.Error("a request still waits for what is listed")
		}
		want(t, "asked again", st.s.count(next), 1)
		want(t, "held", st.e.aware.Stats().Holds, 0)
	})
}

// Nobody else asks for the playlist: the edge does, when it is due.
func TestAHeldRequestLooksForThePlaylistItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, AwareOptions{NoPrefetch: true})
		st.play()
		wait(1200 * time.Millisecond)
		st.n++
		st.s.list("/v/index.m3u8", st.n-4, 5, "Cache-Control", "max-age=1")
		go func() {
			wait(400 * time.Millisecond)
			st.s.cut("/v", st.n, 1, "Cache-Control", "max-age=3600")
		}()
		begin := time.Now()
		says(t, st.e, st.segment(st.n), 200, "")
		if d := time.Since(begin); d > time.Second {
			t.Errorf("it took %v", d)
		}
		if n := st.s.count(st.segment(st.n)); n > 2 {
			t.Errorf("asked for %d times", n)
		}
	})
}

func TestAHoldIsBounded(t *testing.T) {
	f := func(o AwareOptions, waits time.Duration) {
		t.Helper()
		o.NoPrefetch = true
		synctest.Test(t, func(t *testing.T) {
			st := newStage(t, o)
			st.play()
			wait(1500 * time.Millisecond)
			begin := time.Now()
			says(t, st.e, st.segment(st.n+1), 404, "")
			want(t, fmt.Sprintf("%+v waited", o), time.Since(begin), waits)
			if n := st.s.count(st.segment(st.n + 1)); n > 1 {
				t.Errorf("asked for %d times", n)
			}
			begin = time.Now()
			says(t, st.e, st.segment(st.n+3), 404, "")
			want(t, "what is not due waited", time.Since(begin), time.Duration(0))
		})
	}
	f(AwareOptions{}, 2*time.Second)
	f(AwareOptions{Hold: 700 * time.Millisecond}, 700*time.Millisecond)
	f(AwareOptions{Hold: -1}, 0)
}

func TestOnlySoManySegmentsAreWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, AwareOptions{NoPrefetch: true, MaxHolds: 1})
		st.play()
		wait(1900 * time.Millisecond)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _, _ = st.e.Serve(ctx, request("GET", st.segment(st.n+1))) }()
		synctest.Wait()
		begin := time.Now()
		says(t, st.e, st.segment(st.n+2), 404, "")
		want(t, "waited", time.Since(begin), time.Duration(0))
		cancel()
		wait(3 * time.Second)
		want(t, "held", st.e.aware.Stats().Holds, 0)
	})
}

// Of many names that cannot be, upstream hears of one a second.
func TestImpossibleSegmentsAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, AwareOptions{NoPrefetch: true})
		for range 5 {
			st.play()
			st.turn()
		}
		st.play()
		st.s.total()
		for i := range 500 {
			g := says(t, st.e, st.segment(1000+i), 404, "")
			if g.Get("Cache-Control") == "" || i > 0 && g.Get("Cache-Status") != "e1; detail=impossible" {
				t.Errorf("%v", g.Flatten())
			}
		}
		says(t, st.e, st.segment(5000), 404, "")
		want(t, "asked", st.s.total(), 1)
		// It is listed: nothing about it is impossible.
		st.s.put("/w/index.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n../v/seg5000.ts\n", "Cache-Control", "max-age=1")
		st.s.cut("/v", 5000, 1)
		get(t, st.e, "/w/index.m3u8")
		says(t, st.e, st.segment(5000), 200, "bytes of 5000")
	})
}

// What left the window and its availability makes room at once.
func TestWhatLeftTheWindowIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, AwareOptions{})
		for range 100 {
			st.play()
			st.turn()
		}
		// Listed are five; for twelve seconds more six others may be wanted; and
		// there is the playlist.
		if n := st.e.cache.Stats().Young.Objects; n < 8 || n > 14 {
			t.Errorf("%d objects are kept of %d", n, st.n)
		}
	})
}

// In a cluster each edge that has viewers fetches ahead through the owner: the
// origin is asked once. And what an edge holds it asks its owner for again, who
// must not answer with the 404 it remembers.
func TestAClusterAsksTheOriginOnceForWhatIsFetchedAheadOrHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio()
		var edges []*Edge
		rings := make([]*ring, 3)
		owner := func(key string) string { // playlists are e1's, segments e2's
			if strings.HasSuffix(key, ".ts") {
				return "e2"
			}
			return "e1"
		}
		for i := range 3 {
			self := fmt.Sprintf("e%d", i+1)
			rings[i] = &ring{self: self, owner: owner, peers: map[string]*ringPeer{}}
			edges = append(edges, awareEdge(t, AwareOptions{}, Options{Node: self, Peers: rings[i]}, s))
		}
		for _, r := range rings {
			for i, e := range edges {
				name := fmt.Sprintf("e%d", i+1)
				r.peers[name] = &ringPeer{name, e.PeerHandler()}
			}
		}
		list := func(n int) { s.list("/v/index.m3u8", n-4, 5, "Cache-Control", "max-age=1") }
		list(14)
		s.cut("/v", 14, 1, "Cache-Control", "max-age=3600")
		watching := []*Edge{edges[0], edges[2]}
		each := func(target string, status int) {
			for _, e := range watching {
				says(t, e, target, status, "")
			}
			synctest.Wait()
		}
		each("/v/index.m3u8", 200)
		each("/v/seg14.ts", 200)
		s.total()
		wait(2 * time.Second)
		list(15)
		s.cut("/v", 15, 1, "Cache-Control", "max-age=3600")
		each("/v/index.m3u8", 200)
		want(t, "fetched ahead", s.count("/v/seg15.ts"), 1)
		each("/v/seg15.ts", 200)
		want(t, "after that", s.count("/v/seg15.ts"), 0)

		wait(1500 * time.Millisecond)
		done := make(chan got, 2)
		for _, e := range watching {
			go func() { done <- get(t, e, "/v/seg16.ts") }()
		}
		synctest.Wait()
		want(t, "early", s.count("/v/seg16.ts"), 1)
		wait(400 * time.Millisecond)
		list(16)
		s.cut("/v", 16, 1, "Cache-Control", "max-age=3600")
		each("/v/index.m3u8", 200)
		for range watching {
			if g := <-done; g.Status != 200 || g.text != "bytes of 16" {
				t.Errorf("held: %d %q", g.Status, g.text)
			}
		}
		want(t, "once more", s.count("/v/seg16.ts"), 1)
	})
}
