package schedule

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A viewer may still play what left the playlist while it was listed: the
// segment's duration and that of the longest playlist that had it later (HLSbis
// 6.2.2) nobody may.
func TestWhatLeftThePlaylistIsGivenUpWhenItsAvailabilityIsOver(t *testing.T) {
	b := New(Options{})
	tell(t, b, 0, window(10, 5))
	expect(t, "listed", len(tell(t, b, 2, window(11, 5)).Expired), 0)
	expect(t, "just before", len(tell(t, b, 2+11.9, window(11, 6)).Expired), 0)
	expect(t, "in time", tell(t, b, 2+12, window(11, 7)).Expired, "["+keys(10, 1)+"]")
}

// A longer playlist, perhaps a DVR, lists the same segments: they stay.
func TestWhatAnotherPlaylistListsIsKept(t *testing.T) {
	b := New(Options{})
	dvr := as("/v/dvr.m3u8")
	tell(t, b, 0, window(10, 5))
	tell(t, b, 0, window(5, 10), dvr)
	for i := range 30 {
		rep := tell(t, b, float64(2+2*i), window(11+i, 5))
		for _, key := range rep.Expired {
			if b.Lists(key) || strings.Contains(" "+keys(5, 10)+" ", " "+key+" ") {
				t.Fatalf("%s is given up, and listed", key)
			}
		}
	}
	rep := tell(t, b, 100, window(200, 5), dvr)
	expect(t, "at once", slices.Contains(rep.Expired, "/v/seg12.ts"), false)
	rep = tell(t, b, 100+2+20, window(201, 5), dvr)
	expect(t, "in the end", slices.Contains(rep.Expired, "/v/seg12.ts"), true)
}

func TestWhatIsListedAgainIsKept(t *testing.T) {
	b := New(Options{})
	tell(t, b, 0, window(10, 5))
	tell(t, b, 2, window(11, 5))
	tell(t, b, 4, window(10, 6), as("/v/other.m3u8"))
	expect(t, "expired", len(tell(t, b, 100, window(12, 5)).Expired), 0)
}

// An init segment is needed for as long as any segment is that names it.
func TestAnInitSegmentGoesWithItsLastSegment(t *testing.T) {
	b := New(Options{})
	f := func(first int, init string, n int) string {
		s := fmt.Sprintf("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:%d\n", first)
		for i := range n {
			if i == 2 {
				s += "#EXT-X-MAP:URI=\"" + init + "\"\n"
			} else if i == 0 {
				s += "#EXT-X-MAP:URI=\"init0.mp4\"\n"
			}
			s += fmt.Sprintf("#EXTINF:2,\nseg%d.m4s\n", first+i)
		}
		return s
	}
	tell(t, b, 0, f(10, "init0.mp4", 5))
	rep := tell(t, b, 2, f(13, "init1.mp4", 4))
	expect(t, "new", rep.New, "[/v/init1.mp4 /v/seg15.m4s /v/seg16.m4s]")
	expect(t, "expired", tell(t, b, 100, f(17, "init1.mp4", 4)).Expired[0], "/v/seg10.m4s")
	expect(t, "listed", b.Lists("/v/init0.mp4"), true)
}

// Nothing is known any more of what was forgotten for want of room: it is not
// given up.
func TestForgettingARenditionGivesNothingUp(t *testing.T) {
	b := New(Options{Renditions: 2})
	tell(t, b, 0, window(10, 5))
	tell(t, b, 1, window(100, 5), as("/v/2"))
	tell(t, b, 2, window(200, 5), as("/v/3"))
	expect(t, "remembered", len(b.objects), 10)
	expect(t, "expired", len(tell(t, b, 999, window(201, 5), as("/v/3")).Expired), 0)
}

// A hundred thousand renditions, each with names of its own: bounded, and the
// newest are known.
func TestRenditionsWithoutEndAreBounded(t *testing.T) {
	b := New(Options{Bytes: 1 << 20})
	l, _ := Scan([]byte(window(10, 5)))
	for i := range 100_000 {
		dir := fmt.Sprintf("/%d/", i)
		b.Observe(Version{ID: dir + "index.m3u8", Listing: l, Now: at(0), Key: under(dir)})
	}
	consistent(t, b)
	n, bytes := b.Size()
	if n < 100 || bytes > 1<<20 || b.Kind("/99999/seg10.ts") != Live || b.Kind("/0/seg10.ts") != Unknown {
		t.Errorf("%d renditions, %d bytes", n, bytes)
	}
}

// One playlist that is too much for all is a file like any other.
func TestAPlaylistThatIsTooMuchIsIgnored(t *testing.T) {
	b := New(Options{Bytes: 1 << 20})
	tell(t, b, 0, window(10, 5), as("/v/small.m3u8"))
	expect(t, "verdict", tell(t, b, 0, window(10, 10_000, "#EXT-X-ENDLIST\n")).Verdict, Ignored)
	if n, bytes := b.Size(); n > 1 || bytes > 4<<10 {
		t.Errorf("%d renditions, %d bytes are left", n, bytes)
	}
}

// Of a list of hours that grows the end is kept track of, as far as it goes back
// for the guard, and how long it is.
func TestOfALongListTheEndIsTracked(t *testing.T) {
	b := New(Options{})
	expect(t, "first", tell(t, b, 0, window(0, 10_000)).Verdict, First)
	rep := tell(t, b, 2, window(0, 10_001))
	expect(t, "next", fmt.Sprint(rep.Verdict, rep.New), "newer [/v/seg10000.ts]")
	expect(t, "tracked", len(b.objects), maxTracked+1)
	expect(t, "older", tell(t, b, 3, window(0, 10_000)).Verdict, Older)
	rep = tell(t, b, 4, "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-SKIP:SKIPPED-SEGMENTS=10000\n#EXTINF:2,\nseg10000.ts\n#EXTINF:2,\nseg10001.ts\n")
	expect(t, "a delta", fmt.Sprint(rep.Verdict, rep.New), "newer [/v/seg10001.ts]")
	lim, _ := b.Limit("/v/index.m3u8", "", at(4))
	expect(t, "its length", lim.Media, "11h6m50s")
	expect(t, "given up", len(tell(t, b, 100, window(0, 10_003)).Expired), 0)
}

func TestURIsThatLeadElsewhereAreNoObjects(t *testing.T) {
	b := New(Options{})
	rep := tell(t, b, 0, "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MAP:URI=\"//evil/init.mp4\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"skd://k\"\n#EXTINF:2,\nhttp://evil/a.ts\n#EXTINF:2,\nb.ts\n")
	expect(t, "elsewhere", rep.Elsewhere, 3)
	expect(t, "objects", len(b.objects), 1)
}
