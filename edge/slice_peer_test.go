package edge

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/web"
)

// byHash spreads keys over n edges.
func byHash(n int) func(self, key string) string {
	return func(_, key string) string {
		h := fnv.New32a()
		_, _ = h.Write([]byte(key))
		return fmt.Sprintf("e%d", h.Sum32()%uint32(n)+1)
	}
}

// A cluster has one copy of each byte fetched, and the slices of one film are
// the work of all its edges.
func TestAClusterFetchesEachSliceOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &film{text: filmText, tag: `"v1"`}
		h := o.handler()
		var by [6]atomic.Int32
		edges, _ := cluster(t, 5, byHash(5), inSlices(), web.HandlerFunc(func(ctx context.Context, req *web.Request) (*web.Response, error) {
			time.Sleep(10 * time.Millisecond)
			for i := range by {
				if strings.Contains(req.Header.Joined("CDN-Loop"), fmt.Sprintf("node=e%d", i)) {
					by[i].Add(1)
				}
			}
			if req.Header.Has(sliceField) || req.Header.Has(resumeField) {
				t.Error("a field between edges reached the origin")
			}
			return h.Serve(ctx, req)
		}))
		spread := web.HandlerFunc(func(ctx context.Context, req *web.Request) (*web.Response, error) {
			return edges[int(req.Remote.Port())%5].Serve(ctx, req)
		})
		for i, g := range crowd(spread, 50, func(i int) *web.Request {
			req := request("GET", "/film.mp4")
			if i%3 == 1 {
				req.Header.Set("Range", fmt.Sprintf("bytes=%d-", i*10_000))
			}
			req.Remote = netipPort(i)
			return req
		}) {
			want := filmText
			if i%3 == 1 {
				want = filmText[i*10_000:]
			}
			if g.text != want || g.err != nil || flat(g).Has(nodeField) || flat(g).Has(slicesField) {
				t.Fatalf("viewer %d: %d, %d bytes, %v", i, g.Status, len(g.text), g.err)
			}
		}
		whole, parts := o.asks()
		if whole != 1 || parts != filmSlices-1 {
			t.Errorf("the origin was asked for the whole %d times, for slices %d times", whole, parts)
		}
		busy := 0
		for i := range by {
			busy += btoi(by[i].Load() > 0)
		}
		if busy < 3 {
			t.Errorf("%d edges asked the origin", busy)
		}
	})
}

// The rest of a slice whose owner dies comes from somewhere else too.
func TestAnOwnerOfASliceThatDiesIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &film{text: filmText, tag: `"v1"`}
		edges, rings := cluster(t, 2, owned("e1"), inSlices(), o.handler())
		rings[0].owner = func(key string) string {
			if strings.Contains(key, `"v1"`) {
				return "owner"
			}
			return "e1"
		}
		rings[0].peers["owner"] = &ringPeer{"owner", web.HandlerFunc(func(_ context.Context, req *web.Request) (*web.Response, error) {
			resp := web.Select(req, web.NewResponse(200, web.String(filmText), "ETag", `"v1"`, nodeField, "owner"))
			resp.Body = rottenDrainer{&rottenBody{resp.Body, 30_000, true}}
			return resp, nil
		})}
		if g := get(t, edges[0], "/film.mp4"); g.text != filmText || g.err != nil {
			t.Errorf("%d bytes, %v", len(g.text), g.err)
		}
	})
}

// A peer that lies about a slice, or has another version, is not believed: the
// origin decides.
func TestAPeerWithAnotherVersionOfASliceIsNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, answer := range []func(context.Context, *web.Request) (*web.Response, error){
			answering(200, strings.Repeat("x", filmSize), "ETag", `"v1"`, nodeField, "owner"),
			answering(206, "xx", "ETag", `"v2"`, "Content-Range", "bytes 65536-65537/1000000", nodeField, "owner"),
			answering(404, "gone", nodeField, "owner"),
			answering(412, "changed", nodeField, "owner"),
		} {
			o := &film{text: filmText, tag: `"v1"`}
			edges, rings := cluster(t, 2, owned("e1"), inSlices(), o.handler())
			rings[0].owner = func(key string) string {
				if strings.Contains(key, `"v1"`) {
					return "owner"
				}
				return "e1"
			}
			rings[0].peers["owner"] = &ringPeer{"owner", web.HandlerFunc(answer)}
			if g := get(t, edges[0], "/film.mp4"); g.text != filmText || g.err != nil {
				t.Errorf("%d bytes, %v", len(g.text), g.err)
			}
		}
	})
}

// Questions for slices that make no sense are refused, and never reach an origin.
func TestAQuestionForASliceIsReadStrictly(t *testing.T) {
	o := &film{text: filmText, tag: `"v1"`}
	edges, _ := cluster(t, 2, owned("e1"), inSlices(), o.handler())
	f := func(want int, slice, field, tag string) {
		t.Helper()
		g := get(t, edges[0].PeerHandler(), "/film.mp4", "Weir-Peer", "proof", sliceField, slice, "Range", field, "If-Range", tag)
		if g.Status != want || (want == 206 && g.text != filmText[65536:65546]) {
			t.Errorf("%q %q %q: %d", slice, field, tag, g.Status)
		}
	}
	f(206, "bytes 65536-131071/1000000", "bytes=65536-65545", `"v1"`)
	before := o.count()
	f(400, "bytes 65536-131071/*", "bytes=65536-131071", `"v1"`)
	f(400, "bytes 0-1073741824/2000000000", "bytes=0-1073741824", `"v1"`)
	f(400, "garbage", "bytes=65536-131071", `"v1"`)
	f(400, "bytes 65536-131071/1000000", "bytes=0-1", `"v1"`)
	f(400, "bytes 65536-131071/1000000", "bytes=65536-131072", `"v1"`)
	f(400, "bytes 65536-131071/1000000", "bytes=65536-", `"v1"`)
	f(400, "bytes 65536-131071/1000000", "bytes=65536-131071", `W/"v1"`)
	f(400, "bytes 65536-131071/1000000", "bytes=65536-65537,65540-65541", `"v1"`)
	if o.count() != before {
		t.Error("the origin was asked")
	}
}

// A viewer cannot ask as an edge does.
func TestAViewerGetsNoSliceByItsField(t *testing.T) {
	o := &film{text: filmText, tag: `"v1"`}
	e := newEdge(t, inSlices(), o.handler())
	if g := get(t, e, "/film.mp4", sliceField, "bytes 65536-131071/1000000", "Range", "bytes=65536-65545", "If-Range", `"v1"`); g.Status != 206 || g.Get("Content-Range") != "bytes 65536-65545/1000000" {
		t.Errorf("%d %q", g.Status, g.Get("Content-Range"))
	}
	// Nor can an origin make an object look sliced.
	e = newEdge(t, Options{}, &fake{answer: answering(200, "", "ETag", `"v1"`, "Cache-Control", "max-age=60", slicesField, "1000000")})
	for range 2 {
		if g := get(t, e, "/a.mp4"); g.Status != 200 || g.text != "" || g.err != nil {
			t.Errorf("%d %d bytes %v", g.Status, len(g.text), g.err)
		}
	}
}

// Whoever follows the body instead of draining it gets the same.
func TestSlicesCanBeFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &film{text: filmText, tag: `"v1"`}
		e := newEdge(t, inSlices(), o.handler())
		for _, field := range []string{"bytes=0-", "bytes=70000-300000"} {
			resp, err := e.Serve(context.Background(), request("GET", "/film.mp4", "Range", field))
			if err != nil {
				t.Fatal(err)
			}
			r, _, _ := web.ParseContentRange(resp.Get("Content-Range"))
			p, err := io.ReadAll(web.NewReader(context.Background(), resp.Body, 0))
			if string(p) != filmText[r.First:r.Last+1] || err != nil {
				t.Errorf("%s: %d bytes, %v", field, len(p), err)
			}
			resp.Close()
		}
		resp, _ := e.Serve(context.Background(), request("GET", "/film.mp4", "Range", "bytes=0-"))
		o.answer = unreachable
		e.cache.Evict("/film.mp4" + keyMark + `"v1"` + keyMark + "bytes 131072-196607/1000000")
		if p, err := io.ReadAll(web.NewReader(context.Background(), resp.Body, 0)); !errors.Is(err, web.ErrAborted) || string(p) != filmText[:131072] {
			t.Errorf("%d bytes, %v", len(p), err)
		}
		resp.Close()
	})
}
