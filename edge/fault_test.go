package edge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/cache"
	"weir/internal/web"
)

// noise is a body of n bytes in which every place looks different from those
// around it: bytes put together wrongly are noticed.
func noise(n int) string {
	var b strings.Builder
	b.Grow(n)
	x := uint32(2463534242)
	for range n {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b.WriteByte(byte(x))
	}
	return b.String()
}

// A rotten upstream breaks its bodies off. How it frames them differs.
type rotten struct {
	text    string
	tag     string
	sized   bool  // it says how long the whole is
	drained bool  // its bodies come from a network; else from memory
	ranges  bool  // it knows ranges
	cuts    []int // after how many bytes it breaks off its first answers; then it breaks off no more
	fake
}

func (r *rotten) handler() web.Handler {
	r.answer = func(_ context.Context, req *web.Request) (*web.Response, error) {
		resp := web.NewResponse(200, web.String(r.text), "Cache-Control", "max-age=60", "ETag", r.tag)
		if r.ranges {
			resp = web.Select(req, resp)
		}
		if resp.Status >= 400 {
			return resp, nil
		}
		cut := -1
		if n := r.fakeCount(); n <= len(r.cuts) {
			cut = r.cuts[n-1]
		}
		resp.Body = &rottenBody{Body: resp.Body, cut: cut, sized: r.sized}
		if r.drained {
			resp.Body = rottenDrainer{resp.Body.(*rottenBody)}
		}
		return resp, nil
	}
	return &r.fake
}

func (r *rotten) fakeCount() int { return r.count() }

type rottenBody struct {
	web.Body
	cut   int // -1: never
	sized bool
}

func (b *rottenBody) Len() int64 {
	if !b.sized {
		return -1
	}
	return b.Body.Len()
}

func (b *rottenBody) View(off int64) ([]byte, web.State) {
	p, st := b.Body.View(off)
	if b.cut < 0 {
		return p, st
	}
	if off >= int64(b.cut) {
		return nil, web.Aborted
	}
	return p[:min(len(p), b.cut-int(off))], web.Aborted
}

// rottenDrainer writes as a network does, chunk by chunk.
type rottenDrainer struct{ *rottenBody }

const rottenChunk = 16 << 10

func (b rottenDrainer) Drain(_ context.Context, w io.Writer) (int64, error) {
	done := int64(0)
	for {
		p, st := b.View(done)
		if len(p) == 0 {
			if st == web.Aborted {
				return done, errors.Join(web.ErrAborted, errors.New("connection reset"))
			}
			return done, nil
		}
		n, err := w.Write(p[:min(len(p), rottenChunk)])
		if done += int64(n); err != nil {
			return done, err
		}
	}
}

// cutPlaces are every step-th byte of a body, and every edge of a chunk with
// the bytes beside it.
func cutPlaces(size, step int) []int {
	var places []int
	for p := 0; p <= size; p += step {
		places = append(places, p)
	}
	for p := rottenChunk; p <= size; p += rottenChunk {
		places = append(places, p-1, p, p+1)
	}
	return append(places, 1, size-1, size)
}

// Wherever an upstream dies, the viewers see a pause and the object is whole:
// for those who follow, and for those who come after.
func TestAFaultAtEveryPlaceIsAPause(t *testing.T) {
	text := noise(100_000)
	places := cutPlaces(len(text), 1000)
	synctest.Test(t, func(t *testing.T) {
		rows, resumed := 0, 0
		for _, how := range []struct {
			name                   string
			sized, drained, ranges bool
			other                  bool // another origin goes on; else the same one
		}{
			{"length, memory, other origin", true, false, true, true},
			{"length, network, other origin", true, true, true, true},
			{"chunked, memory, other origin", false, false, true, true},
			{"chunked, network, other origin", false, true, true, true},
			{"length, network, same origin", true, true, true, false},
			{"chunked, network, same origin", false, true, true, false},
			{"length, no ranges", true, true, false, true},
			{"chunked, no ranges", false, true, false, true},
		} {
			var first, second *rotten
			origins := func() []web.Handler {
				first = &rotten{text: text, tag: `"v1"`, sized: how.sized, drained: how.drained, ranges: how.ranges}
				second = &rotten{text: text, tag: `"v1"`, sized: how.sized, drained: how.drained, ranges: how.ranges}
				if how.other {
					return []web.Handler{first.handler(), second.handler()}
				}
				return []web.Handler{first.handler()}
			}
			e := newEdge(t, Options{}, origins()...)
			for i, place := range places {
				first.cuts, first.asked, second.asked = []int{place}, nil, nil
				path := fmt.Sprintf("/%d.m4s", i)
				for v, g := range crowd(e, 3, func(int) *web.Request { return request("GET", path) }) {
					if g.text != text || g.err != nil || g.Status != 200 {
						t.Fatalf("%s, cut after %d: viewer %d has %d bytes, %v", how.name, place, v, len(g.text), g.err)
					}
				}
				want := 2
				if how.sized && place == len(text) {
					want = 1 // all was there but the end mark
				}
				if n := first.count() + second.count(); n != want {
					t.Fatalf("%s, cut after %d: upstream was asked %d times", how.name, place, n)
				}
				if g := get(t, e, path); g.text != text || g.err != nil || first.count()+second.count() != want {
					t.Fatalf("%s, cut after %d: afterwards %d bytes, %v", how.name, place, len(g.text), g.err)
				}
				rows++
				resumed += want - 1
				time.Sleep(time.Minute) // marks go
			}
		}
		t.Logf("%d faults, %d bodies of %d bytes resumed, 4 viewers each", rows, resumed, len(text))
	})
}

// Where nobody can go on, those who follow are cut, and nothing of it is kept:
// the next viewer gets the whole.
func TestAFaultThatCannotBeMendedIsACut(t *testing.T) {
	text, other := noise(100_000), strings.Repeat("x", 100_000)
	lying := func(contentRange string, body string, pairs ...string) func(*rotten) {
		return func(r *rotten) {
			r.answer = func(context.Context, *web.Request) (*web.Response, error) {
				return web.NewResponse(206, web.String(body), append(pairs, "Content-Range", contentRange)...), nil
			}
		}
	}
	places := cutPlaces(len(text)-2, 5000)
	synctest.Test(t, func(t *testing.T) {
		rows := 0
		for _, how := range []struct {
			name, tag string
			second    func(*rotten)
		}{
			{"another version", `"v1"`, func(r *rotten) { r.tag, r.text = `"v2"`, other }},
			{"weak tag", `W/"v1"`, func(*rotten) {}},
			{"no tag", "", func(*rotten) {}},
			{"another version, no ranges", `"v1"`, func(r *rotten) { r.tag, r.text, r.ranges = `"v2"`, other, false }},
			{"same tag, another length", `"v1"`, func(r *rotten) { r.text = text + "more" }},
			{"a range of its own", `"v1"`, lying("bytes 3-99999/100000", text[3:], "ETag", `"v1"`)},
			{"less than its range says", `"v1"`, lying("bytes 99998-99999/100000", "x", "ETag", `"v1"`)},
			{"another range", `"v1"`, lying("bytes 7-9/100000", "xxx", "ETag", `"v1"`)},
			{"a range that is none", `"v1"`, lying("garbage", text, "ETag", `"v1"`)},
			{"a range of no version", `"v1"`, lying("bytes 5000-99999/100000", text[5000:])},
			{"the same, but less", `"v1"`, func(r *rotten) { r.text, r.ranges = "", false }},
			{"gone", `"v1"`, func(r *rotten) { r.answer = answering(404, "gone") }},
			{"refused", `"v1"`, func(r *rotten) { r.answer = answering(403, "no") }},
		} {
			for _, sized := range []bool{true, false} {
				if !sized && how.name == "same tag, another length" {
					continue // nobody can know
				}
				first, second := &rotten{text: text, sized: sized, drained: true, ranges: true}, &rotten{text: text, tag: how.tag, sized: sized, drained: true, ranges: true}
				e := newEdge(t, Options{}, first.handler(), second.handler())
				how.second(second)
				mended := second.answer
				for i, place := range places {
					if !sized && place == 0 && how.name == "the same, but less" {
						continue // nothing had come: this is it
					}
					// The first one is dead from its cut on.
					first.tag, first.cuts, first.asked, second.asked = how.tag, make([]int, 100), nil, nil
					first.cuts[0] = place
					healthy := first.answer
					first.answer = func(ctx context.Context, req *web.Request) (*web.Response, error) {
						if first.count() > 1 {
							return unreachable(ctx, req)
						}
						time.Sleep(time.Millisecond) // all three wait for it
						return healthy(ctx, req)
					}
					path := fmt.Sprintf("/%d.m4s", i)
					for _, g := range crowd(e, 3, func(int) *web.Request { return request("GET", path) }) {
						if g.err == nil || !errors.Is(g.err, web.ErrAborted) || !strings.HasPrefix(text, g.text) {
							t.Fatalf("%s, sized %v, cut after %d: %d, %d bytes, %v", how.name, sized, place, g.Status, len(g.text), g.err)
						}
					}
					if o, ok := e.cache.Lookup(cache.Query{Key: path}); ok {
						t.Fatalf("%s, cut after %d: something is kept: %d %d bytes", how.name, place, o.Status(), o.Len())
					}
					first.answer, first.cuts, second.answer = healthy, nil, unreachable
					time.Sleep(time.Minute)
					if g := get(t, e, path); g.text != text || g.err != nil {
						t.Fatalf("%s, cut after %d: afterwards %d, %d bytes, %v", how.name, place, g.Status, len(g.text), g.err)
					}
					second.answer = mended
					time.Sleep(time.Minute)
					rows++
				}
			}
		}
		t.Logf("%d faults", rows)
	})
}

// An upstream that breaks off again and again but gets on is followed to the
// end; one that does not is given up.
func TestABodyIsResumedAsLongAsItGetsOn(t *testing.T) {
	text := noise(20 << 20)
	synctest.Test(t, func(t *testing.T) {
		c, err := cache.New(cache.Options{Bytes: 128 << 20})
		if err != nil {
			t.Fatal(err)
		}
		cuts := make([]int, 19)
		for i := range cuts {
			cuts[i] = 1 << 20
		}
		origin := &rotten{text: text, tag: `"v1"`, sized: true, drained: true, ranges: true, cuts: cuts}
		e := newEdge(t, Options{Cache: c}, origin.handler())
		start := time.Now()
		if g := get(t, e, "/a.m4s"); g.text != text || g.err != nil || origin.count() != 20 {
			t.Errorf("%d bytes, %v, %d requests", len(g.text), g.err, origin.count())
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("a body that gets on pauses for %v", d)
		}

		origin.asked, origin.cuts = nil, make([]int, 1000) // not a byte any more
		origin.cuts[0] = 5000
		start = time.Now()
		if g := get(t, e, "/b.m4s"); len(g.text) != 5000 || !errors.Is(g.err, web.ErrAborted) {
			t.Errorf("%d bytes, %v", len(g.text), g.err)
		}
		if n, d := origin.count(), time.Since(start); n != 1+maxResumes || d > 8*time.Second {
			t.Errorf("given up after %d requests, %v", n, d)
		}
	})
}

// What may not be kept goes on too: it has one viewer, who sees a pause.
func TestABodyThatIsPassedThroughGoesOn(t *testing.T) {
	text := noise(100_000)
	synctest.Test(t, func(t *testing.T) {
		for _, place := range cutPlaces(len(text), 10_000) {
			origin := &rotten{text: text, tag: `"v1"`, sized: place%2 == 0, drained: true, ranges: true, cuts: []int{place}}
			h := origin.handler()
			e := newEdge(t, Options{}, web.HandlerFunc(func(ctx context.Context, req *web.Request) (*web.Response, error) {
				resp, err := h.Serve(ctx, req)
				resp.Header.Set("Cache-Control", "no-store")
				return resp, err
			}))
			if g := get(t, e, "/a.bin"); g.text != text || g.err != nil {
				t.Errorf("cut after %d: %d bytes, %v", place, len(g.text), g.err)
			}
		}
	})
}

// An origin that restarts is there again a few seconds later.
func TestAnOriginThatRestartsGoesOn(t *testing.T) {
	text := noise(100_000)
	synctest.Test(t, func(t *testing.T) {
		origin := &rotten{text: text, tag: `"v1"`, sized: true, drained: true, ranges: true, cuts: []int{30_000}}
		well, start := origin.handler(), time.Now()
		e := newEdge(t, Options{}, web.HandlerFunc(func(ctx context.Context, req *web.Request) (*web.Response, error) {
			if n := origin.count(); n > 0 && time.Since(start) < 3*time.Second {
				return unreachable(ctx, req)
			}
			return well.Serve(ctx, req)
		}))
		if g := get(t, e, "/a.m4s"); g.text != text || g.err != nil {
			t.Errorf("%d bytes, %v", len(g.text), g.err)
		}
		if d := time.Since(start); d < 3*time.Second || d > 6*time.Second {
			t.Errorf("after %v", d)
		}
	})
}

// Whatever the second upstream claims of what it sends, the object is whole or
// its viewer is cut.
func FuzzARestIsWholeOrNone(f *testing.F) {
	text := noise(300)
	f.Add(uint16(100), uint16(206), "bytes 100-299/300", true, uint16(100), uint16(300), true)
	f.Add(uint16(100), uint16(206), "bytes 99-299/300", true, uint16(99), uint16(300), false)
	f.Add(uint16(100), uint16(200), "", true, uint16(0), uint16(300), true)
	f.Add(uint16(100), uint16(206), "bytes 100-9007199254740991/*", true, uint16(100), uint16(300), false)
	f.Add(uint16(300), uint16(416), "bytes */300", true, uint16(0), uint16(0), true)
	f.Add(uint16(7), uint16(206), "bytes 7-299/300", false, uint16(9), uint16(300), true)
	f.Fuzz(func(t *testing.T, cut, status uint16, contentRange string, same bool, from, to uint16, sized bool) {
		cut, to = cut%301, to%301
		from = min(from, to)
		tag := `"v2"`
		if same {
			tag = `"v1"`
		}
		for _, known := range []bool{true, false} {
			first := &rotten{text: text, tag: `"v1"`, sized: known, drained: true, cuts: []int{int(cut), 0, 0, 0, 0, 0, 0, 0}}
			second := &fake{answer: func(context.Context, *web.Request) (*web.Response, error) {
				return web.NewResponse(200+int(status)%400, rottenDrainer{&rottenBody{web.String(text[from:to]), -1, sized}}, "ETag", tag, "Content-Range", contentRange), nil
			}}
			synctest.Test(t, func(t *testing.T) {
				e := newEdge(t, Options{}, first.handler(), second)
				g := get(t, e, "/a.m4s")
				r, _, claims := web.ParseContentRange(contentRange)
				honest := from == 0 && to == 300 && status%400 == 0 || claims && r.First == int64(from) && to == 300
				switch {
				case g.err != nil || g.Status != 200: // cut
				case known && len(g.text) != len(text):
					t.Errorf("%d bytes of %d", len(g.text), len(text))
				case honest && g.text != text:
					t.Error("not its bytes")
				case cut > 0 && !same && g.text != text:
					t.Error("another version")
				case cut > 0 && !strings.HasPrefix(g.text, text[:cut]):
					t.Error("what was there already has changed")
				}
			})
		}
	})
}
