package edge

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/web"
)

// Five edges, one owner: whoever is asked, the origin sees one request.
func TestAClusterAsksTheOriginOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := &fake{answer: func(ctx context.Context, req *web.Request) (*web.Response, error) {
			time.Sleep(50 * time.Millisecond)
			return media(ctx, req)
		}}
		edges, _ := cluster(t, 5, owned("e3"), Options{}, origin)
		spread := web.HandlerFunc(func(ctx context.Context, req *web.Request) (*web.Response, error) {
			return edges[int(req.Remote.Port())%5].Serve(ctx, req)
		})
		for _, path := range []string{"/l/s.m4s", "/l/i.m3u8", "/l/i.m3u8?_HLS_msn=4&_HLS_part=1"} {
			before := origin.count()
			for i, g := range crowd(spread, 10_000, func(i int) *web.Request {
				req := request("GET", path)
				req.Remote = netipPort(i)
				return req
			}) {
				if g.Status != 200 || g.err != nil || g.text == "" || flat(g).Has(nodeField) {
					t.Fatalf("%s, viewer %d: %d %v %v", path, i, g.Status, g.err, g.Flatten())
				}
			}
			if n := origin.count() - before; n != 1 {
				t.Errorf("%s: %d origin requests", path, n)
			}
		}
		if g := get(t, edges[0], "/l/new.m4s"); g.Get("Cache-Status") != "e3; fwd=uri-miss; stored; ttl=3599; detail=origin, e1; fwd=uri-miss; stored; ttl=3599; detail=peer" {
			t.Errorf("%q", g.Get("Cache-Status"))
		}
	})
}

// An edge that does not answer is passed over at once, without waiting for
// gossip to notice.
func TestADeadPeerIsPassedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := func(peer func(context.Context, *web.Request) (*web.Response, error), longest time.Duration) {
			t.Helper()
			origin := &fake{answer: media}
			edges, rings := cluster(t, 2, owned("e2"), Options{}, origin)
			rings[0].peers["e2"].Handler = web.HandlerFunc(peer)
			start := time.Now()
			if g := get(t, edges[0], "/l/s.m4s"); g.Status != 200 || origin.count() != 1 {
				t.Errorf("%d, %d origin requests", g.Status, origin.count())
			}
			if d := time.Since(start); d > longest {
				t.Errorf("after %v", d)
			}
			if len(rings[0].failures()) != 1 {
				t.Error("the peer is not marked")
			}
		}
		f(unreachable, 0)
		f(silent, 2*time.Second)
		f(answering(200, "some other service at that port"), 0)
		f(answering(404, "some other service at that port"), 0)
	})
}

// When the owner dies all others turn to the one that is next, and not each
// to the origin (CO-11).
func TestTheNextOwnerTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := &fake{answer: func(ctx context.Context, req *web.Request) (*web.Response, error) {
			time.Sleep(50 * time.Millisecond)
			return media(ctx, req)
		}}
		edges, rings := cluster(t, 5, owned("e1"), Options{}, origin)
		for _, r := range rings {
			r.owner = func(string) string { // as rendezvous hashing has it
				if len(r.failed) > 0 {
					return "e2"
				}
				return "e1"
			}
			r.peers["e1"].Handler = web.HandlerFunc(unreachable)
		}
		spread := web.HandlerFunc(func(ctx context.Context, req *web.Request) (*web.Response, error) {
			return edges[1+int(req.Remote.Port())%4].Serve(ctx, req)
		})
		for _, g := range crowd(spread, 1000, func(i int) *web.Request {
			req := request("GET", "/l/s.m4s")
			req.Remote = netipPort(i)
			return req
		}) {
			if g.Status != 200 {
				t.Fatal(g.Status)
			}
		}
		if n := origin.count(); n > 2 {
			t.Errorf("%d origin requests", n)
		}
	})
}

// A viewer waits for one peer that hangs, not for all of them in turn.
func TestOnePeerThatHangsIsEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		edges, rings := cluster(t, 3, owned("e2"), Options{}, &fake{answer: media})
		rings[0].owner = func(string) string {
			if len(rings[0].failed) > 0 {
				return "e3"
			}
			return "e2"
		}
		rings[0].peers["e2"].Handler = web.HandlerFunc(silent)
		rings[0].peers["e3"].Handler = web.HandlerFunc(silent)
		start := time.Now()
		if g := get(t, edges[0], "/l/s.m4s"); g.Status != 200 || time.Since(start) != 2*time.Second {
			t.Errorf("%d after %v", g.Status, time.Since(start))
		}
	})
}

// An origin that is slow must not make the edges take each other for dead and
// ask it all the same thing: that is what would bring it down.
func TestASlowOriginIsAskedOnceAndNobodyIsBlamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := func(target string, after time.Duration, want int) {
			t.Helper()
			origin := &fake{answer: func(ctx context.Context, req *web.Request) (*web.Response, error) {
				select {
				case <-time.After(after):
					return media(ctx, req)
				case <-ctx.Done():
					return nil, context.Cause(ctx)
				}
			}}
			edges, rings := cluster(t, 3, owned("e2"), Options{}, origin)
			start := time.Now()
			for i, g := range crowd(web.HandlerFunc(func(ctx context.Context, req *web.Request) (*web.Response, error) {
				return edges[int(req.Remote.Port())%3].Serve(ctx, req)
			}), 300, func(i int) *web.Request {
				req := request("GET", target)
				req.Remote = netipPort(i)
				return req
			}) {
				if g.Status != want {
					t.Fatalf("%s, viewer %d: %d %q", target, i, g.Status, g.text)
				}
			}
			if d := time.Since(start); want == 200 && (d != after || origin.count() != 1) {
				t.Errorf("%s: %v and %d origin requests", target, d, origin.count())
			}
			for _, r := range rings {
				if failed := r.failures(); len(failed) != 0 {
					t.Errorf("%s: marked as failing: %v", target, failed)
				}
			}
		}
		f("/l/s.m4s", 5*time.Second, 200)
		f("/l/i.m3u8?_HLS_msn=5", 20*time.Second, 200)
		f("/l/i.m3u8?_HLS_msn=5", time.Hour, 504)
	})
}

// A peer that dies in the middle of a long wait is found out.
func TestAPeerThatStopsLivingWhileItIsWaitedForIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := &fake{answer: media}
		edges, rings := cluster(t, 2, owned("e2"), Options{}, origin)
		live, dead := edges[1].PeerHandler(), time.Now().Add(5*time.Second)
		rings[0].peers["e2"].Handler = web.HandlerFunc(func(ctx context.Context, req *web.Request) (*web.Response, error) {
			if req.Method == "GET" || time.Now().After(dead) {
				return silent(ctx, req)
			}
			return live.Serve(ctx, req)
		})
		start := time.Now()
		if g := get(t, edges[0], "/l/s.m4s"); g.Status != 200 || time.Since(start) > 7*time.Second || origin.count() != 1 {
			t.Errorf("%d after %v with %d origin requests", g.Status, time.Since(start), origin.count())
		}
		if failed := rings[0].failures(); len(failed) != 1 {
			t.Errorf("marked as failing: %v", failed)
		}
	})
}

// A peer that dies without a word while it holds a request must not hold it to
// its end: once another owns the key that one is asked.
func TestAHeldRequestFollowsItsOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := &fake{answer: media}
		edges, rings := cluster(t, 2, owned("e2"), Options{}, origin)
		rings[0].peers["e2"].Handler = web.HandlerFunc(silent)
		time.AfterFunc(4*time.Second, func() { rings[0].Failed("e2") }) // what gossip, or another request, finds out
		start := time.Now()
		if g := get(t, edges[0], "/l/i.m3u8?_HLS_msn=5"); g.Status != 200 {
			t.Errorf("%d", g.Status)
		}
		if d := time.Since(start); d < 4*time.Second || d > 4*time.Second+ownerCheck {
			t.Errorf("after %v", d)
		}
	})
}

// Two edges that each take the other for the owner would wait for each other
// for ever, were a peer's request not filled from the origin.
func TestEdgesThatDisagreeDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := &fake{answer: func(ctx context.Context, req *web.Request) (*web.Response, error) {
			time.Sleep(100 * time.Millisecond)
			return media(ctx, req)
		}}
		next := map[string]string{"e1": "e2", "e2": "e3", "e3": "e1"}
		edges, _ := cluster(t, 3, func(self, _ string) string { return next[self] }, Options{}, origin)
		spread := web.HandlerFunc(func(ctx context.Context, req *web.Request) (*web.Response, error) {
			return edges[int(req.Remote.Port())%3].Serve(ctx, req)
		})
		start := time.Now()
		for _, path := range []string{"/l/s.m4s", "/l/i.m3u8?_HLS_msn=4"} {
			before := origin.count()
			for i, g := range crowd(spread, 300, func(i int) *web.Request {
				req := request("GET", path)
				req.Remote = netipPort(i)
				return req
			}) {
				if g.Status != 200 || g.err != nil {
					t.Fatalf("%s, viewer %d: %d %v", path, i, g.Status, g.err)
				}
			}
			if n := origin.count() - before; n > 3 {
				t.Errorf("%s: %d origin requests, at most one an edge", path, n)
			}
		}
		if d := time.Since(start); d > 250*time.Millisecond {
			t.Errorf("it took %v", d)
		}
	})
}

// What a peer could not get, this edge may still reach: a cluster cut in two
// keeps playing where one half sees the origin.
func TestAPeerWithoutAnOriginIsHelpedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := &fake{answer: media}
		edges, rings := cluster(t, 2, owned("e2"), Options{}, origin)
		edges[1].origins.list = func() []Origin { return []Origin{{"o1", &fake{answer: unreachable}}} }
		if g := get(t, edges[0], "/l/s.m4s"); g.Status != 200 || origin.count() != 1 {
			t.Errorf("%d", g.Status)
		}
		if len(rings[0].failures()) != 0 {
			t.Error("the peer is marked as failing, although it answers")
		}
	})
}

func TestAPeersNoIsFinal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := &fake{answer: answering(404, "no", "Cache-Control", "max-age=2")}
		edges, _ := cluster(t, 2, owned("e2"), Options{}, origin)
		for range 3 {
			if g := get(t, edges[0], "/l/s.m4s"); g.Status != 404 {
				t.Errorf("%d", g.Status)
			}
		}
		if origin.count() != 1 {
			t.Errorf("%d origin requests", origin.count())
		}
	})
}

// A peer with a lower limits.header refuses what this edge let in: the viewer is served, and
// does not get to choose which edge is taken for dead.
func TestARequestThatIsTooLongForAPeerBlamesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := &fake{answer: media}
		edges, rings := cluster(t, 2, owned("e2"), Options{}, origin)
		rings[0].peers["e2"].Handler = web.HandlerFunc(answering(431, "request line and header exceed 4096 bytes"))
		if g := get(t, edges[0], "/l/s.m4s"); g.Status != 200 || origin.count() != 1 {
			t.Errorf("%d, %d origin requests", g.Status, origin.count())
		}
		if n := len(rings[0].failures()); n != 0 {
			t.Errorf("marked %d times", n)
		}
	})
}

func TestPeersProveWhoTheyAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, _ := signer(t)
		origin := &fake{answer: media}
		edges, rings := cluster(t, 2, owned("e2"), Options{Tokens: src}, origin)
		peers := edges[1].PeerHandler()
		f := func(req *web.Request, want int, requests int) {
			t.Helper()
			g := ask(t, peers, req)
			if g.Status != want || origin.count() != requests || (g.Get(refusedField) != "") != (want >= 400) || g.Get(nodeField) != "e2" {
				t.Errorf("%d %v, %d origin requests", g.Status, g.Header, origin.count())
			}
		}
		f(request("GET", "/l/s.m4s"), 403, 0)
		f(request("GET", "/l/s.m4s", "Weir-Peer", "forged"), 403, 0)
		f(request("POST", "/l/s.m4s", "Weir-Peer", "proof"), 405, 0)
		f(request("GET", "/l/i.m3u8?_HLS_part=1", "Weir-Peer", "proof"), 400, 0)
		f(request("GET", "/l/s.m4s", "Weir-Peer", "proof", "CDN-Loop", "weir; node=e2"), 508, 0)
		f(request("GET", "/l/s.m4s", "Weir-Peer", "proof"), 200, 1) // and no token
		f(request("HEAD", "/l/s.m4s", "Weir-Peer", "proof"), 200, 1)
		if origin.last().Header.Has("Weir-Peer") {
			t.Error("the proof went on to the origin")
		}
		// A peer that refuses us, as with another secret, is no reason to refuse viewers.
		edges[0].opts.Tokens = nil
		rings[1].sour = true
		if g := get(t, edges[0], "/l/other.m4s"); g.Status != 200 {
			t.Errorf("%d", g.Status)
		}
		alone := newEdge(t, Options{}, origin)
		if g := ask(t, alone.PeerHandler(), request("GET", "/l/s.m4s", "Weir-Peer", "proof")); g.Status != 403 {
			t.Errorf("an edge without a cluster answers peers: %d", g.Status)
		}
	})
}

func TestAPeersFailureIsSaidWithItsStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		edges, _ := cluster(t, 2, owned("e2"), Options{}, &fake{answer: func(context.Context, *web.Request) (*web.Response, error) {
			return nil, errors.New("dial 10.0.0.7")
		}})
		g := ask(t, edges[1].PeerHandler(), request("GET", "/l/s.m4s", "Weir-Peer", "proof"))
		if g.Status != 502 || g.Get(nodeField) != "e2" || g.Get(refusedField) != "" {
			t.Errorf("%d %v", g.Status, g.Header)
		}
	})
}
