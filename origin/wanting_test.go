package origin

import (
	"testing"
	"time"
)

// An init segment is missed only by media that can belong to no rendition which has its own;
// where it is on its way, or is what is being pushed, nothing is amiss.
func TestMediaWithoutAnInitAreToldApart(t *testing.T) {
	w := newWorld(t)
	x := wants{}
	tell := func(from, mapPath, media string) {
		p := &pushed{target: 2, entries: []entry{{path: media, mapPath: mapPath}}}
		x.note(from, p, w, w.now)
	}
	is := func(media, want string) {
		t.Helper()
		if got := x.missing(media, w, w.now); got != want {
			t.Errorf("%s misses %q, want %q", media, got, want)
		}
	}
	tell("a.m3u8", "init-a.mp4", "a1.m4s") // as FFmpeg's dash muxer has it: all in one folder
	tell("b.m3u8", "init-b.mp4", "b1.m4s")
	tell("ts/index.m3u8", "", "ts/x1.ts")
	is("a2.m4s", "")
	w.now = w.now.Add(5 * time.Second)
	if got := x.missing("a2.m4s", w, w.now); got != "init-a.mp4" && got != "init-b.mp4" {
		t.Errorf("misses %q", got)
	}
	is("ts/x2.ts", "")
	is("other/a2.m4s", "")
	is("init-a.mp4", "")
	w.up("init-b.mp4", "B")
	is("a2.m4s", "") // it may be one of b
	tell("b.m3u8", "init-b.mp4", "b2.m4s")
	is("a2.m4s", "")
	delete(x, "b.m3u8")
	is("a2.m4s", "init-a.mp4")
	w.under = map[string]bool{"init-a.mp4": true}
	is("a2.m4s", "")
	w.under = nil
	is("a2.m4s", "init-a.mp4")
	tell("a.m3u8", "init-a2.mp4", "a3.m4s") // another: its want is new
	is("a4.m4s", "")
	w.now = w.now.Add(5 * time.Second)
	tell("a.m3u8", "init-a2.mp4", "a4.m4s") // the same: it is old
	is("a5.m4s", "init-a2.mp4")
	w.up("init-a2.mp4", "A")
	is("a5.m4s", "")
	tell("a.m3u8", "", "a6.ts")
	is("a7.m4s", "")
}
