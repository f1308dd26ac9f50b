package edge

import (
	"context"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/web"
)

// dying is an edge that lives until its body is cut, and is dead from then on.
func dying(r *rotten) web.Handler {
	h := r.handler()
	return web.HandlerFunc(func(ctx context.Context, req *web.Request) (*web.Response, error) {
		if req.Method == "OPTIONS" {
			return web.NewResponse(204, nil, nodeField, "owner"), nil
		}
		if r.count() > 0 {
			return unreachable(ctx, req)
		}
		resp, err := h.Serve(ctx, req)
		resp.Header.Set(nodeField, "owner")
		time.Sleep(time.Millisecond)
		return resp, err
	})
}

// slowly is an origin whose bodies take a second.
type slowly struct{ rotten }

func (s *slowly) Serve(ctx context.Context, req *web.Request) (*web.Response, error) {
	resp, err := s.handler().Serve(ctx, req)
	time.Sleep(time.Second)
	return resp, err
}

// The owner dies in the middle of a body, wherever: those who followed it from
// two other edges see a pause, and of all edges one asks the origin for the
// rest (CO-11).
func TestAnOwnerThatDiesMidBodyIsReplacedByTheNext(t *testing.T) {
	text := noise(100_000)
	synctest.Test(t, func(t *testing.T) {
		rows := 0
		for _, sized := range []bool{true, false} {
			for _, place := range cutPlaces(len(text), 5000) {
				owner := &rotten{text: text, tag: `"v1"`, sized: sized, drained: true, cuts: []int{place}}
				origin := &slowly{rotten{text: text, tag: `"v1"`, sized: sized, drained: true, ranges: true}}
				edges, rings := cluster(t, 3, owned(""), Options{}, origin)
				dead := dying(owner)
				for _, r := range rings {
					r.peers["owner"] = &ringPeer{"owner", dead}
					r.owner = func(string) string {
						if len(r.failed) > 0 {
							return "e3"
						}
						return "owner"
					}
				}
				// The first to ask gets the body that is cut; e2 finds the owner dead.
				answers := make(chan got, 2)
				for _, e := range edges[:2] {
					go func() { answers <- get(t, e, "/a.m4s") }()
				}
				for range 2 {
					if g := <-answers; g.text != text || g.err != nil {
						t.Fatalf("sized %v, cut after %d: %d, %d bytes, %v", sized, place, g.Status, len(g.text), g.err)
					}
				}
				want := 1
				if n := origin.count(); n != want {
					t.Fatalf("sized %v, cut after %d: the origin was asked %d times", sized, place, n)
				}
				for _, e := range edges[:2] {
					if g := get(t, e, "/a.m4s"); g.text != text || g.err != nil || origin.count() != want {
						t.Fatalf("sized %v, cut after %d: afterwards %d bytes, %v", sized, place, len(g.text), g.err)
					}
				}
				rows++
			}
		}
		t.Logf("%d faults", rows)
	})
}

// Edges that all followed the owner, and take each other for the next, do not
// wait for each other.
func TestEdgesThatFollowedADeadOwnerDoNotWaitForEachOther(t *testing.T) {
	text := noise(100_000)
	synctest.Test(t, func(t *testing.T) {
		origin := &rotten{text: text, tag: `"v1"`, drained: true, ranges: true}
		edges, rings := cluster(t, 3, owned(""), Options{}, origin.handler())
		for i, r := range rings {
			r.peers["owner"] = &ringPeer{"owner", web.HandlerFunc(func(_ context.Context, req *web.Request) (*web.Response, error) {
				if req.Method == "OPTIONS" {
					return web.NewResponse(204, nil, nodeField, "owner"), nil
				}
				time.Sleep(500 * time.Millisecond) // all three hang on it, and are cut at the same moment
				return web.NewResponse(200, lateCut{rottenDrainer{&rottenBody{web.String(text), 50_000, false}}}, "ETag", `"v1"`, "Cache-Control", "max-age=60",
					nodeField, "owner"), nil
			})}
			next := fmt.Sprintf("e%d", (i+1)%3+1)
			r.owner = func(string) string {
				if len(r.failed) > 0 {
					return next // each asks the one beside it: a circle
				}
				return "owner"
			}
		}
		start := time.Now()
		spread := web.HandlerFunc(func(ctx context.Context, req *web.Request) (*web.Response, error) {
			return edges[int(req.Remote.Port())%3].Serve(ctx, req)
		})
		for i, g := range crowd(spread, 30, func(i int) *web.Request {
			req := request("GET", "/a.m4s")
			req.Remote = netipPort(i)
			return req
		}) {
			if g.text != text || g.err != nil {
				t.Fatalf("viewer %d: %d bytes, %v", i, len(g.text), g.err)
			}
		}
		if d := time.Since(start); d > 4*time.Second {
			t.Errorf("after %v", d)
		}
		if n := origin.count(); n > 3 {
			t.Errorf("the origin was asked %d times", n)
		}
	})
}

// lateCut is a body that is cut a moment after the last byte that came.
type lateCut struct{ rottenDrainer }

func (l lateCut) Drain(ctx context.Context, w io.Writer) (int64, error) {
	n, err := l.rottenDrainer.Drain(ctx, w)
	time.Sleep(100 * time.Millisecond)
	return n, err
}

// The next owner may have only begun to get the body: the rest is followed
// from there as it grows, by an open-ended range (RFC 8673).
func TestARestIsFollowedWhereItStillGrows(t *testing.T) {
	text := noise(100_000)
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		origin := &fake{answer: func(_ context.Context, req *web.Request) (*web.Response, error) {
			return web.NewResponse(200, &later{String: text, at: 20_000, release: release}, "ETag", `"v1"`, "Cache-Control", "max-age=60"), nil
		}}
		edges, rings := cluster(t, 2, owned(""), Options{}, origin)
		owner := &rotten{text: text, tag: `"v1"`, drained: true, cuts: []int{60_000}}
		rings[0].peers["owner"] = &ringPeer{"owner", dying(owner)}
		var asked []string
		inner := rings[0].peers["e2"].Handler
		rings[0].peers["e2"].Handler = web.HandlerFunc(func(ctx context.Context, req *web.Request) (*web.Response, error) {
			asked = append(asked, req.Header.Get("Range"))
			return inner.Serve(ctx, req)
		})
		rings[0].owner = func(string) string {
			if len(rings[0].failed) > 0 {
				return "e2"
			}
			return "owner"
		}
		rings[1].owner = func(string) string { return "e2" }
		ahead, err := edges[1].Serve(context.Background(), request("GET", "/a.m4s")) // e2 has begun
		if err != nil {
			t.Fatal(err)
		}
		defer ahead.Close()
		time.AfterFunc(1500*time.Millisecond, func() { close(release) })
		if g := get(t, edges[0], "/a.m4s"); g.text != text || g.err != nil {
			t.Errorf("%d bytes, %v", len(g.text), g.err)
		}
		if len(asked) != 1 || asked[0] != "bytes=59999-9007199254740991" || origin.count() != 1 {
			t.Errorf("the next owner was asked for %q, the origin %d times", asked, origin.count())
		}
	})
}

// later is a body without a length whose end is held back.
type later struct {
	String  string
	at      int
	release chan struct{}
}

func (l *later) Len() int64 { return -1 }
func (l *later) View(off int64) ([]byte, web.State) {
	select {
	case <-l.release:
		return web.String(l.String).View(off)
	default:
	}
	if off >= int64(l.at) {
		return nil, web.Open
	}
	return []byte(l.String[off:l.at]), web.Open
}
func (l *later) File(int64) (uintptr, int64, int64, bool) { return 0, 0, 0, false }
func (l *later) Watch(off int64, wake func()) func() {
	if p, _ := l.View(off); len(p) > 0 {
		wake()
		return func() {}
	}
	stop := make(chan struct{})
	go func() {
		select {
		case <-l.release:
			wake()
		case <-stop:
		}
	}()
	return func() { close(stop) }
}
func (l *later) Close() {}

func TestARelayIsOverWhenItsLastBodyIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r relays
		if !r.over(context.Background(), "k", 0) {
			t.Error("a relay that never was is not over")
		}
		r.add("k")
		r.add("k")
		time.AfterFunc(time.Second, func() { r.remove("k") })
		if r.over(context.Background(), "k", 2*time.Second) {
			t.Error("over with one left")
		}
		time.AfterFunc(time.Second, func() { r.remove("k") })
		start := time.Now()
		if !r.over(context.Background(), "k", 2*time.Second) || time.Since(start) != time.Second {
			t.Errorf("over after %v", time.Since(start))
		}
		if len(r.keys) != 0 {
			t.Error("it is remembered for ever")
		}
	})
}
