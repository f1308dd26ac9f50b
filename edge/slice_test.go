package edge

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/cache"
	"weir/internal/web"
)

// A film is an origin with one large object, which counts what it sends.
type film struct {
	text, tag string
	pairs     []string // further fields
	noRanges  bool
	loose     bool         // it does not know If-Range
	sent      atomic.Int64 // bytes
	fake
}

func (f *film) handler() web.Handler {
	f.answer = func(_ context.Context, req *web.Request) (*web.Response, error) {
		f.mu.Lock()
		text, tag := f.text, f.tag
		f.mu.Unlock()
		resp := web.NewResponse(200, web.String(text), append([]string{"Cache-Control", "max-age=60", "ETag", tag, "Content-Type", "video/mp4"}, f.pairs...)...)
		if f.loose {
			req.Header.Del("If-Range")
		}
		if !f.noRanges {
			resp = web.Select(req, resp)
		}
		if resp.Body != nil {
			resp.Body = &counting{rottenDrainer{&rottenBody{resp.Body, -1, true}}, &f.sent}
		}
		return resp, nil
	}
	return &f.fake
}

// counting counts what is taken of a body.
type counting struct {
	rottenDrainer
	sent *atomic.Int64
}

func (c *counting) Drain(ctx context.Context, w io.Writer) (int64, error) {
	n, err := c.rottenDrainer.Drain(ctx, w)
	c.sent.Add(n)
	return n, err
}

// replace makes it another version.
func (f *film) replace(text, tag string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.text, f.tag = text, tag
}

func (f *film) asks() (whole, parts int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, req := range f.asked {
		if req.Header.Has("Range") {
			parts++
		} else {
			whole++
		}
	}
	return whole, parts
}

const (
	testSlice  = 64 << 10
	filmSize   = 1_000_000 // 15 slices and a bit
	filmSlices = (filmSize + testSlice - 1) / testSlice
)

var filmText = noise(filmSize)

func inSlices() Options { return Options{SliceOver: 100_000, Slice: testSlice} }

// A film is fetched in pieces, each of them once, whoever watches what.
func TestALargeObjectIsKeptInSlices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &film{text: filmText, tag: `"v1"`}
		e := newEdge(t, inSlices(), o.handler())
		for i, g := range crowd(e, 20, func(int) *web.Request { return request("GET", "/film.mp4") }) {
			if g.text != filmText || g.err != nil || flat(g).Has(slicesField) || g.Get("Content-Type") != "video/mp4" {
				t.Fatalf("viewer %d: %d bytes, %v", i, len(g.text), g.err)
			}
		}
		if whole, parts := o.asks(); whole != 1 || parts != filmSlices-1 {
			t.Errorf("the origin was asked for the whole %d times, for slices %d times", whole, parts)
		}
		if n := o.sent.Load(); n > filmSize+rottenChunk {
			t.Errorf("the origin sent %d bytes of %d", n, filmSize)
		}
		before := o.count()
		if g := get(t, e, "/film.mp4"); g.text != filmText || o.count() != before {
			t.Errorf("afterwards: %d bytes, %d requests more", len(g.text), o.count()-before)
		}
		g := ask(t, e, request("HEAD", "/film.mp4"))
		if g.Status != 200 || o.count() != before {
			t.Errorf("HEAD: %d", g.Status)
		}
	})
}

func TestHEADOfSlicesHasTheLength(t *testing.T) {
	o := &film{text: filmText, tag: `"v1"`}
	e := newEdge(t, inSlices(), o.handler())
	resp, err := e.Serve(context.Background(), request("HEAD", "/film.mp4"))
	if err != nil || resp.Body.Len() != filmSize {
		t.Fatal(err, resp)
	}
	resp.Close()
}

// A viewer who jumps to the middle makes nobody fetch what comes before.
func TestARangeOfALargeObjectFetchesItsSlicesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := func(field, contentRange string, first, last, parts int) {
			t.Helper()
			o := &film{text: filmText, tag: `"v1"`}
			e := newEdge(t, inSlices(), o.handler())
			g := get(t, e, "/film.mp4", "Range", field)
			if g.Status != 206 || g.Get("Content-Range") != contentRange || g.text != filmText[first:last+1] || g.err != nil {
				t.Errorf("%s: %d %q, %d bytes, %v", field, g.Status, g.Get("Content-Range"), len(g.text), g.err)
			}
			if whole, n := o.asks(); whole != 1 || n != parts {
				t.Errorf("%s: the origin was asked %d and %d times", field, whole, n)
			}
		}
		f("bytes=500000-500099", "bytes 500000-500099/1000000", 500000, 500099, 1)
		f("bytes=-1", "bytes 999999-999999/1000000", 999999, 999999, 1)
		f("bytes=0-9", "bytes 0-9/1000000", 0, 9, 0)
		f("bytes=65535-65536", "bytes 65535-65536/1000000", 65535, 65536, 1)
		f("bytes=900000-9007199254740991", "bytes 900000-999999/1000000", 900000, 999999, 3)
	})
}

// Who stops reading has had one slice more fetched than he read, at most.
func TestASlowViewerIsReadAheadOneSlice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &film{text: filmText, tag: `"v1"`}
		e := newEdge(t, inSlices(), o.handler())
		resp, err := e.Serve(context.Background(), request("GET", "/film.mp4"))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		read := 0
		_, _ = web.Copy(ctx, writerFunc(func(p []byte) (int, error) {
			if read += len(p); read > 3*testSlice-1000 {
				time.Sleep(time.Hour)
				return 0, errors.New("he left")
			}
			return len(p), nil
		}), resp.Body, 0)
		resp.Close()
		ahead := &film{text: filmText, tag: `"v1"`}
		if get(t, newEdge(t, inSlices(), ahead.handler()), "/film.mp4", "Range", "bytes=0-9"); ahead.count() != 1 {
			t.Error("a viewer who wants ten bytes is read ahead")
		}
		resp, err = newEdge(t, inSlices(), ahead.handler()).Serve(context.Background(), request("GET", "/film.mp4"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = web.Copy(ctx, writerFunc(func([]byte) (int, error) { return 0, errors.New("he left") }), resp.Body, 0)
		resp.Close()
		if _, parts := ahead.asks(); parts != 0 {
			t.Errorf("a viewer who left at once is read ahead %d slices", parts)
		}
		if _, parts := o.asks(); err == nil || parts < 2 || parts > 3 {
			t.Errorf("%d slices beside the first were fetched for %d bytes, %v", parts, read, err)
		}
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// What names no version, knows no ranges, or may not be kept, is not sliced.
func TestWhatCannotBeSlicedIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := func(path, tag string, pairs ...string) {
			t.Helper()
			o := &film{text: filmText, tag: tag, pairs: pairs}
			e := newEdge(t, inSlices(), o.handler())
			for range 2 {
				if g := get(t, e, path); g.text != filmText || g.err != nil {
					t.Errorf("%s %s %v: %d bytes, %v", path, tag, pairs, len(g.text), g.err)
				}
			}
			if _, parts := o.asks(); parts != 0 {
				t.Errorf("%s %s %v: asked for %d slices", path, tag, pairs, parts)
			}
		}
		f("/film.mp4", `W/"v1"`)
		f("/film.mp4", "")
		f("/film.mp4", `"v1"`, "Accept-Ranges", "none")
		f("/film.mp4", `"v1"`, "Cache-Control", "no-store")
		f("/film.mp4", `"v1"`, "Cache-Control", "private")
		f("/film.mp4", `"v1"`, "Vary", "*")
		f("/film.m3u8", `"v1"`)
	})
}

// An origin that ignores ranges, and did not say so, is found out once.
func TestAnOriginWithoutRangesIsPassedThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &film{text: filmText, tag: `"v1"`, noRanges: true}
		c, err := cache.New(cache.Options{MaxObject: 100_000})
		if err != nil {
			t.Fatal(err)
		}
		opts := inSlices()
		opts.Cache = c
		e := newEdge(t, opts, o.handler())
		if g := get(t, e, "/film.mp4", "Range", "bytes=500000-500009"); g.Status != 206 || g.text != filmText[500000:500010] {
			t.Errorf("%d, %d bytes, %v", g.Status, len(g.text), g.err)
		}
		before := o.count()
		for range 3 {
			if g := get(t, e, "/film.mp4"); g.text != filmText || g.err != nil {
				t.Errorf("%d bytes, %v", len(g.text), g.err)
			}
		}
		if n := o.count() - before; before != 3 || n != 3 {
			t.Errorf("%d requests, then %d", before, n)
		}
	})
}

// A film that is replaced while it is watched is never put together from two
// versions: who is in the middle is cut, who comes after sees the new one.
func TestRG09VersionsAreNeverMixed(t *testing.T) {
	second := noise(filmSize + 1000)[1000:]
	synctest.Test(t, func(t *testing.T) {
		for i, after := range []int{1, 5, filmSlices - 1, 5} {
			o := &film{text: filmText, tag: `"v1"`, loose: i == 3}
			e := newEdge(t, inSlices(), o.handler())
			resp, err := e.Serve(context.Background(), request("GET", "/film.mp4"))
			if err != nil {
				t.Fatal(err)
			}
			var seen strings.Builder
			_, err = web.Copy(context.Background(), writerFunc(func(p []byte) (int, error) {
				if seen.Len() < after*testSlice && seen.Len()+len(p) >= after*testSlice {
					o.replace(second, `"v2"`)
				}
				return seen.Write(p)
			}), resp.Body, 0)
			resp.Close()
			if err == nil || !errors.Is(err, errChanged) && after < filmSlices-1 || !strings.HasPrefix(filmText, seen.String()) || seen.Len() < after*testSlice {
				if after < filmSlices-1 || seen.String() != filmText { // the last slice may have been there already
					t.Errorf("after %d slices: %d bytes, %v", after, seen.Len(), err)
				}
			}
			time.Sleep(time.Second)
			if after == filmSlices-1 {
				time.Sleep(time.Minute) // nobody has noticed
			}
			g := get(t, e, "/film.mp4")
			if g.text != second || g.err != nil || g.Get("ETag") != `"v2"` {
				t.Errorf("after %d slices, the next: %d bytes %q, %v", after, len(g.text), g.Get("ETag"), g.err)
			}
			if g = get(t, e, "/film.mp4", "Range", "bytes=-9", "If-Range", `"v1"`); g.Status != 200 {
				t.Errorf("a range of the old version: %d", g.Status)
			}
		}
	})
}

// A viewer who has not seen a byte yet is not cut for it.
func TestRG09WhoBeginsGetsTheNewVersion(t *testing.T) {
	second := noise(filmSize + 1000)[1000:]
	synctest.Test(t, func(t *testing.T) {
		o := &film{text: filmText, tag: `"v1"`}
		e := newEdge(t, inSlices(), o.handler())
		get(t, e, "/film.mp4", "Range", "bytes=0-9")
		o.replace(second, `"v2"`)
		g := get(t, e, "/film.mp4", "Range", "bytes=500000-500009")
		if g.Status != 206 || g.text != second[500000:500010] || g.Get("ETag") != `"v2"` || g.err != nil {
			t.Errorf("%d %q, %d bytes, %v", g.Status, g.Get("ETag"), len(g.text), g.err)
		}
		o.answer = answering(404, "gone")
		if g := get(t, e, "/film.mp4", "Range", "bytes=900000-900009"); g.Status != 404 {
			t.Errorf("removed: %d", g.Status)
		}
	})
}

// Of a film that went stale it is asked whether it is still the same; its
// slices are not fetched again.
func TestSlicesOutliveTheHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &film{text: filmText, tag: `"v1"`}
		e := newEdge(t, inSlices(), o.handler())
		get(t, e, "/film.mp4")
		before, sent := o.count(), o.sent.Load()
		time.Sleep(2 * time.Minute)
		if g := get(t, e, "/film.mp4"); g.text != filmText || g.err != nil {
			t.Errorf("%d bytes, %v", len(g.text), g.err)
		}
		if n := o.count() - before; n != 1 || o.last().Header.Get("If-None-Match") != `"v1"` || o.sent.Load() != sent {
			t.Errorf("%d requests, %d bytes", n, o.sent.Load()-sent)
		}
		if g := get(t, e, "/film.mp4", "If-None-Match", `"v1"`); g.Status != 304 {
			t.Errorf("%d", g.Status)
		}
	})
}

// An upstream that dies in the middle of slices, again and again, is a pause.
func TestAFaultInEverySliceIsAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows := 0
		for _, place := range cutPlaces(testSlice, 5000) {
			cuts := make([]int, 0, 2*filmSlices)
			for range filmSlices {
				cuts = append(cuts, place, -1) // every slice once
			}
			o := &rotten{text: filmText, tag: `"v1"`, sized: true, drained: true, ranges: true, cuts: cuts}
			e := newEdge(t, inSlices(), o.handler())
			if g := get(t, e, "/film.mp4"); g.text != filmText || g.err != nil {
				t.Fatalf("cut after %d: %d bytes, %v", place, len(g.text), g.err)
			}
			if n := o.count(); n > 2*filmSlices+1 {
				t.Fatalf("cut after %d: %d requests", place, n)
			}
			rows++
		}
		t.Logf("%d places, %d slices each", rows, filmSlices)
	})
}

// Viewers of films who take their time, or hang, do not hold so much of the
// cache that nothing live can be kept.
func TestSlowViewersOfFilmsLeaveRoomForWhatIsLive(t *testing.T) {
	live := noise(90_000)
	synctest.Test(t, func(t *testing.T) {
		c, err := cache.New(cache.Options{Bytes: 2 << 20})
		if err != nil {
			t.Fatal(err)
		}
		o := &film{text: filmText, tag: `"v1"`}
		whole, segments := o.handler(), &fake{answer: answering(200, live, "ETag", `"s"`, "Cache-Control", "max-age=60")}
		opts := inSlices()
		opts.Cache, opts.SliceHeld = c, 4*testSlice
		e := newEdge(t, opts, web.HandlerFunc(func(ctx context.Context, req *web.Request) (*web.Response, error) {
			if strings.HasPrefix(req.Path, "/live") {
				return segments.Serve(ctx, req)
			}
			return whole.Serve(ctx, req)
		}))
		stuck, read := make(chan struct{}), make(chan string)
		const viewers = 3 * filmSlices
		for i := range viewers { // in the middle of slices of three films
			go func() {
				resp, err := e.Serve(context.Background(), request("GET", "/film"+string(rune('0'+i%3))+".mp4", "Range", "bytes="+strconv.Itoa(i/3*testSlice)+"-"))
				if err != nil {
					t.Error(err)
					return
				}
				var got strings.Builder
				_, err = web.Copy(context.Background(), writerFunc(func(p []byte) (int, error) {
					if got.Len() > 0 {
						<-stuck
					}
					return got.Write(p)
				}), resp.Body, 0)
				resp.Close()
				if want := filmText[i/3*testSlice:]; got.String() != want || err != nil {
					t.Errorf("viewer %d: %d bytes of %d, %v", i, got.Len(), len(want), err)
				}
				read <- ""
			}()
		}
		synctest.Wait()
		if held := c.Stats().Held; held > 1<<20 {
			t.Errorf("viewers who hang hold %d bytes", held)
		}
		for range 3 {
			if g := get(t, e, "/live/1.m4s"); g.text != live || g.err != nil {
				t.Errorf("%d bytes, %v", len(g.text), g.err)
			}
		}
		if n := segments.count(); n != 1 {
			t.Errorf("a live segment was fetched %d times", n)
		}
		close(stuck)
		for range viewers {
			<-read
		}
		if n := e.held.Load(); n != 0 {
			t.Errorf("%d bytes are taken for held", n)
		}
	})
}
