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
	"weir/edge/schedule"
	"weir/internal/web"
)

// flowing is a body that can be read once, in pieces, and whose length nobody knows.
type flowing struct {
	text   string
	cut    bool
	closed chan struct{}
}

func (f *flowing) Len() int64                               { return -1 }
func (f *flowing) View(int64) ([]byte, web.State)           { panic("not that way") }
func (f *flowing) File(int64) (uintptr, int64, int64, bool) { return 0, 0, 0, false }
func (f *flowing) Watch(int64, func()) func()               { panic("not that way") }
func (f *flowing) Close()                                   { close(f.closed) }
func (f *flowing) Drain(ctx context.Context, w io.Writer) (int64, error) {
	n := int64(0)
	for rest := f.text; rest != ""; {
		piece := rest[:min(len(rest), 10_000)]
		rest = rest[len(piece):]
		m, err := w.Write([]byte(piece))
		if n += int64(m); err != nil {
			return n, err
		}
		if ctx.Err() != nil {
			return n, context.Cause(ctx)
		}
	}
	if f.cut {
		return n, web.ErrAborted
	}
	return n, nil
}

func flow(text string, cut bool) (web.Handler, *flowing) {
	f := &flowing{text: text, cut: cut, closed: make(chan struct{})}
	return web.HandlerFunc(func(context.Context, *web.Request) (*web.Response, error) {
		return web.NewResponse(200, f, "Content-Type", "application/vnd.apple.mpegurl", "Cache-Control", "max-age=1"), nil
	}), f
}

// A playlist of 10 MB is a file: it goes through byte by byte, however it comes.
func TestATooLargePlaylistGoesThrough(t *testing.T) {
	large := "#EXTM3U\n#EXT-X-TARGETDURATION:2\n" + strings.Repeat("#EXTINF:2,\nsegment.ts\n", 500_000)
	s := newStudio()
	s.put("/v/index.m3u8", large, "Cache-Control", "max-age=1")
	once, body := flow(large, false)
	for name, h := range map[string]web.Handler{"of known length": s, "flowing": once} {
		e := awareEdge(t, AwareOptions{}, Options{}, h)
		says(t, e, "/v/index.m3u8", 200, large)
		want(t, name, e.aware.Kind("/v/segment.ts"), schedule.Unknown)
	}
	<-body.closed
}

func TestALargePlaylistThatIsCutIsCut(t *testing.T) {
	for _, size := range []int{10, 90_000, 300_000} {
		h, body := flow("#EXTM3U\n"+strings.Repeat("#EXTINF:2,\na.ts\n", size), true)
		e := awareEdge(t, AwareOptions{}, Options{}, h)
		g := get(t, e, "/v/index.m3u8")
		if g.Status == 200 && g.err == nil {
			t.Errorf("a cut playlist of %d segments was whole", size)
		}
		<-body.closed
	}
}

// Whoever asked for what is too large leaves before it is read.
func TestATooLargePlaylistThatNobodyReadsIsLetGo(t *testing.T) {
	h, body := flow("#EXTM3U\n"+strings.Repeat("#EXTINF:2,\na.ts\n", 1_000_000), false)
	e := awareEdge(t, AwareOptions{}, Options{}, h)
	resp, _ := h.Serve(t.Context(), nil)
	raw, resp, err := e.aware.whole(t.Context(), resp)
	if raw != nil || err != nil {
		t.Fatal(len(raw), err)
	}
	resp.Close()
	<-body.closed
	h, _ = flow("#EXTM3U\n"+strings.Repeat("#EXTINF:2,\na.ts\n", 1_000_000), false)
	resp, _ = h.Serve(t.Context(), nil)
	_, resp, _ = e.aware.whole(t.Context(), resp)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("left"))
	if _, err := web.Copy(ctx, io.Discard, resp.Body, 0); err == nil {
		t.Error("the whole body was copied for somebody who had left")
	}
	resp.Close()
}

func TestPlaylistsThatAreNoneGoThrough(t *testing.T) {
	f := func(text string, pairs ...string) {
		t.Helper()
		s := newStudio()
		s.put("/v/index.m3u8", text, append(pairs, "Cache-Control", "max-age=10")...)
		e := awareEdge(t, AwareOptions{}, Options{}, s)
		says(t, e, "/v/index.m3u8", 200, text)
		says(t, e, "/v/index.m3u8", 200, text)
		want(t, fmt.Sprintf("%.40q asked", text), s.total(), 1)
		if n, _ := e.aware.book.Size(); n != 0 {
			t.Errorf("%.40q is a rendition", text)
		}
	}
	f("")
	f("hello")
	f("#EXTM3U\n#EXT-X-TARGETDURATION:99999999999999\n")
	f(packed(windowOf(1, 5))[:60], "Content-Encoding", "gzip")
	f(packed("#EXTM3U\n#EXT-X-TARGETDURATION:2\n"+strings.Repeat(" ", 64<<20)), "Content-Encoding", "gzip") // a bomb
	f("br...", "Content-Encoding", "br")
}

// A playlist may name anything; only what is on its own host is ever asked for.
func TestWhatLeadsElsewhereIsNeverFetched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio()
		e := awareEdge(t, AwareOptions{}, Options{}, s)
		text := func(n int) string {
			return fmt.Sprintf("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:%d\n#EXTINF:2,\nseg%d.ts\n#EXTINF:2,\n", n, n) + strings.Join([]string{
				"http://169.254.169.254/latest/meta-data", "//evil.example/a.ts", "\\\\evil.example\\a.ts", "/\\evil.example/a.ts", "file:///etc/passwd",
				"{$host}/a.ts", "../../../../etc/passwd", "index.m3u8", "/v/index.m3u8?_HLS_msn=99999",
			}, fmt.Sprintf("?%d\n#EXTINF:2,\n", n)) + "\n"
		}
		for i := range 5 {
			s.put("/v/index.m3u8", text(10+i), "Cache-Control", "max-age=1")
			s.cut("/v", 10+i, 1)
			get(t, e, "/v/index.m3u8")
			get(t, e, fmt.Sprintf("/v/seg%d.ts", 10+i))
			wait(2 * time.Second)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for path := range s.asked {
			if !strings.HasPrefix(path, "/v/") && path != "/etc/passwd" {
				t.Errorf("%q was asked for", path)
			}
		}
	})
}

func TestURIsAreResolvedAsPlayersDo(t *testing.T) {
	hls, all := &Aware{}, &Aware{queryAll: true}
	base := &question{path: "/a b/c/index.m3u8"}
	f := func(ref, want, wantAll string) {
		t.Helper()
		if got := hls.resolve(base, ref); got != want {
			t.Errorf("%q: %q, want %q", ref, got, want)
		}
		if got := all.resolve(base, ref); got != wantAll {
			t.Errorf("%q under QueryAll: %q, want %q", ref, got, wantAll)
		}
	}
	f("seg1.ts", "/a b/c/seg1.ts", "/a b/c/seg1.ts")
	f("x/seg-1_2.m4s", "/a b/c/x/seg-1_2.m4s", "/a b/c/x/seg-1_2.m4s")
	f("./seg1.ts", "/a b/c/seg1.ts", "/a b/c/seg1.ts")
	f("../seg1.ts", "/a b/seg1.ts", "/a b/seg1.ts")
	f("/d/seg1.ts", "/d/seg1.ts", "/d/seg1.ts")
	f("seg%201.ts", "/a b/c/seg 1.ts", "/a b/c/seg 1.ts")
	f("seg1.ts?t=1&CMCD=x", "/a b/c/seg1.ts", "/a b/c/seg1.ts\nt=1")
	f("p.m3u8?x=1&_HLS_skip=YES", "/a b/c/p.m3u8\n_HLS_skip=YES", "/a b/c/p.m3u8\nx=1&_HLS_skip=YES")
	f("seg1.ts#t=3", "/a b/c/seg1.ts", "/a b/c/seg1.ts")
	f("../../../../seg1.ts", "/seg1.ts", "/seg1.ts")
	for _, elsewhere := range []string{"", "http://h/a.ts", "HTTP://h/a.ts", "//h/a.ts", "\\\\h/a.ts", "data:x", "skd://k", "a\tb.ts", "a b.ts", "{$x}/a.ts",
		"a%2fb.ts", "a%00.ts", "a//b.ts", "a/./%2e%2e/%ff.ts", "a%zz.ts"} {
		f(elsewhere, "", "")
	}
}

// A table of a fixed size may forget, and says nothing that is not.
func TestWhatViewersAskedForIsRemembered(t *testing.T) {
	s, now := newSeen(), time.Unix(2_000_000_000, 0)
	if s.within("a", now, time.Hour) {
		t.Error("nobody has asked for a")
	}
	s.touch("a", now)
	if !s.within("a", now.Add(2*time.Second), 2*time.Second) || s.within("a", now.Add(3*time.Second), 2*time.Second) {
		t.Error("a was asked for at one time")
	}
	for i := range 1_000_000 {
		s.touch(fmt.Sprint("k", i), now)
	}
	wrong := 0
	for i := range 100_000 {
		if s.within(fmt.Sprint("other", i), now, time.Hour) {
			wrong++
		}
	}
	if wrong > 2 {
		t.Errorf("%d of 100,000 that nobody asked for were", wrong)
	}
	if n := testing.AllocsPerRun(100, func() { s.touch("a", now); s.within("a", now, time.Second) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	var m missing
	for i := range 3 * maxMissing {
		m.add(fmt.Sprint(i))
	}
	if len(m.keys) > maxMissing {
		t.Errorf("%d keys are remembered", len(m.keys))
	}
}

func TestHitsOfPlaylistsAreNotSlower(t *testing.T) {
	a := NewAware(AwareOptions{})
	q := question{class: cache.Playlist, path: "/live/cam/v/index.m3u8", key: "/live/cam/v/index.m3u8"}
	now := time.Now()
	if n := testing.AllocsPerRun(1000, func() { a.touch(&q, now) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
