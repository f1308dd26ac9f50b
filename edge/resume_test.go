package edge

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/cache"
	"weir/internal/spool"
	"weir/internal/web"
)

const whole = "0123456789abcdefghijklmnopqrstuvwxyz"

// versioned answers whole under an entity tag, with ranges, as an origin does.
func versioned(tag string) func(context.Context, *web.Request) (*web.Response, error) {
	return func(_ context.Context, req *web.Request) (*web.Response, error) {
		resp := web.NewResponse(200, web.String(whole), "ETag", tag, "Cache-Control", "max-age=60")
		return web.Select(req, resp), nil
	}
}

// cutting answers whole but breaks off after n bytes.
func cutting(n int, tag string) func(context.Context, *web.Request) (*web.Response, error) {
	return func(context.Context, *web.Request) (*web.Response, error) {
		return web.NewResponse(200, &broken{web.String(whole), n}, "ETag", tag, "Cache-Control", "max-age=60"), nil
	}
}

// endless is a body that does not say how long it is.
type endless struct{ *broken }

func (endless) Len() int64 { return -1 }

// A viewer in the middle of a segment does not notice that an upstream died.
func TestABodyThatIsCutGoesOnFromAnotherOrigin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, after := range []int{0, 1, 20, len(whole)} {
			first, second := &fake{answer: cutting(after, `"v1"`)}, &fake{answer: versioned(`"v1"`)}
			e := newEdge(t, Options{}, first, second)
			for i, g := range crowd(e, 50, func(int) *web.Request { return request("GET", "/a.m4s") }) {
				if g.text != whole || g.err != nil {
					t.Fatalf("cut after %d, viewer %d: %q %v", after, i, g.text, g.err)
				}
			}
			if first.count() != 1 || second.count() != btoi(after < len(whole)) {
				t.Errorf("cut after %d: %d and %d requests", after, first.count(), second.count())
			}
			if g := get(t, e, "/a.m4s"); g.text != whole {
				t.Errorf("kept: %q", g.text)
			}
			if up, _ := e.OriginsUp(); up != 1 {
				t.Error("the origin that cut is taken for well")
			}
		}
	})
}

// What cannot be made whole is cut for the viewer too, and never kept: half a
// segment that looks like a whole one breaks the picture of everybody after.
func TestABodyThatCannotGoOnIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := func(tag string, second func(context.Context, *web.Request) (*web.Response, error)) {
			t.Helper()
			for _, first := range []func(context.Context, *web.Request) (*web.Response, error){
				cutting(20, tag),
				func(context.Context, *web.Request) (*web.Response, error) {
					return web.NewResponse(200, endless{&broken{web.String(whole), 20}}, "ETag", tag, "Cache-Control", "max-age=60"), nil
				},
			} {
				origin := &fake{answer: first}
				e := newEdge(t, Options{}, origin, &fake{answer: second})
				g := get(t, e, "/a.m4s")
				if g.Status == 200 && !errors.Is(g.err, web.ErrAborted) || !strings.HasPrefix(whole, g.text) && g.Status == 200 {
					t.Errorf("%d %q %v", g.Status, g.text, g.err)
				}
				origin.answer = versioned(tag)
				time.Sleep(20 * time.Second)
				if g := get(t, e, "/a.m4s"); g.text != whole || g.err != nil {
					t.Errorf("afterwards: %d %q %v", g.Status, g.text, g.err)
				}
			}
		}
		f(`"v1"`, versioned(`"v2"`))
		f(`"v1"`, answering(206, "klm", "ETag", `"v1"`, "Content-Range", "bytes 10-12/36"))
		f(`"v1"`, answering(206, whole[10:], "ETag", `"v1"`, "Content-Range", "bytes 10-35/36"))
		f(`"v1"`, answering(206, "kl", "ETag", `"v1"`, "Content-Range", "bytes 20-21/36"))
		f(`"v1"`, answering(206, whole[20:], "ETag", `"v1"`, "Content-Range", "garbage"))
		f(`"v1"`, answering(206, "klmnopqrstuvwxyz", "ETag", `"v0"`, "Content-Range", "bytes 20-35/36"))
		f(`"v1"`, answering(404, "gone"))
		f(`"v1"`, unreachable)
		f(`"v1"`, cutting(0, `"v1"`))
		f(`W/"v1"`, versioned(`W/"v1"`))
		f("", versioned(`"v1"`))
	})
}

func TestAnOriginWithoutRangesCanGoOnToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t, Options{}, &fake{answer: cutting(20, `"v1"`)}, &fake{answer: answering(200, whole, "ETag", `"v1"`)})
		if g := get(t, e, "/a.m4s"); g.text != whole || g.err != nil {
			t.Errorf("%q %v", g.text, g.err)
		}
	})
}

// The owner dies in the middle of a segment: its followers on the other edges
// go on from the origin, at the same byte.
func TestAPeerThatLeavesMidFillIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slab := spool.NewSlab(spool.SlabOptions{Poison: true})
		origin := &fake{answer: versioned(`"v1"`)}
		edges, rings := cluster(t, 2, owned("e2"), Options{}, origin)
		var left atomic.Bool
		rings[0].peers["e2"].Handler = web.HandlerFunc(func(ctx context.Context, req *web.Request) (*web.Response, error) {
			if left.Load() {
				return unreachable(ctx, req)
			}
			w, b := slab.New(0)
			w.Append([]byte(whole[:20]))
			w.Release(20)
			time.AfterFunc(time.Second, func() { left.Store(true); w.Abort(errors.New("it left")) })
			return web.NewResponse(200, b, "ETag", `"v1"`, "Cache-Control", "max-age=60", nodeField, "e2"), nil
		})
		for i, g := range crowd(edges[0], 100, func(int) *web.Request { return request("GET", "/a.m4s") }) {
			if g.text != whole || g.err != nil {
				t.Fatalf("viewer %d: %q %v", i, g.text, g.err)
			}
		}
		if origin.count() != 1 || origin.last().Header.Get("Range") != "bytes=19-" || origin.last().Header.Get("If-Range") != `"v1"` {
			t.Errorf("%d origin requests, the last %v", origin.count(), origin.last().Header)
		}
		if f := rings[0].failures(); len(f) != 1 || f[0] != "e2" {
			t.Errorf("marked as failing: %v", f)
		}
		synctest.Wait()
		if slab.InUse() != 0 {
			t.Error("bytes of the peer's body were not given back")
		}
	})
}

// The owner passes on that the origin cut a body, and cannot mend it: it is no
// dead peer, or each cut would part the edges, and the origin be asked by each.
func TestAPeerIsNotBlamedForWhatItsOriginCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := &fake{answer: cutting(20, "")} // without a tag nothing can go on
		edges, rings := cluster(t, 2, owned("e2"), Options{}, origin)
		for range 3 {
			if g := get(t, edges[0], "/a.m4s"); g.err == nil {
				t.Fatalf("%d %q", g.Status, g.text)
			}
		}
		if f := rings[0].failures(); len(f) != 0 {
			t.Errorf("marked as failing: %v", f)
		}
	})
}

// That this edge has no room for a body is no fault of the origin that goes on
// with it: a well origin would be passed over for it.
func TestAnOriginIsNotBlamedForWhatWeCannotTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		large := strings.Repeat("x", 200<<10)
		c, err := cache.New(cache.Options{MaxObject: 100 << 10})
		if err != nil {
			t.Fatal(err)
		}
		first := func(context.Context, *web.Request) (*web.Response, error) {
			return web.NewResponse(200, endless{&broken{web.String(large), 20}}, "ETag", `"v1"`, "Cache-Control", "max-age=60"), nil
		}
		e := newEdge(t, Options{Cache: c}, &fake{answer: first}, &fake{answer: answering(200, large, "ETag", `"v1"`)})
		if g := get(t, e, "/a.m4s"); !errors.Is(g.err, web.ErrAborted) {
			t.Errorf("%d bytes, %v", len(g.text), g.err)
		}
		if up, _ := e.OriginsUp(); up != 1 {
			t.Errorf("%d origins are taken for well", up)
		}
	})
}

// An answer that holds less than it says must not pass for the rest of a body.
func TestARestThatIsTooShortIsNoRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := func(context.Context, *web.Request) (*web.Response, error) {
			return web.NewResponse(200, endless{&broken{web.String(whole), 20}}, "ETag", `"v1"`, "Cache-Control", "max-age=60"), nil
		}
		e := newEdge(t, Options{}, &fake{answer: first},
			&fake{answer: answering(206, whole[20:30], "ETag", `"v1"`, "Content-Range", "bytes 20-35/36")})
		if g := get(t, e, "/a.m4s"); !errors.Is(g.err, web.ErrAborted) {
			t.Errorf("%q %v", g.text, g.err)
		}
	})
}

// networked is a body that must not be gathered in memory.
type networked struct{ rottenDrainer }

func (networked) View(int64) ([]byte, web.State) { panic("gathered") }
func (networked) Watch(int64, func()) func()     { panic("gathered") }

// The rest of a film that passes through is moved on as it comes: its memory is
// in no budget.
func TestARestIsNotGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		e := newEdge(t, Options{}, &fake{answer: func(_ context.Context, req *web.Request) (*web.Response, error) {
			resp := web.Select(req, web.NewResponse(200, web.String(whole), "ETag", `"v1"`, "Cache-Control", "max-age=60"))
			cut := -1
			if asked++; asked == 1 {
				cut = 10
			}
			resp.Body = networked{rottenDrainer{&rottenBody{resp.Body, cut, true}}}
			return resp, nil
		}})
		if g := get(t, e, "/a.m4s"); g.text != whole || g.err != nil || asked != 2 {
			t.Errorf("%q, %v, %d requests", g.text, g.err, asked)
		}
	})
}
