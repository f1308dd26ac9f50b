package schedule

import (
	"fmt"
	"testing"
	"time"
)

func TestNamesFollowAPattern(t *testing.T) {
	f := func(a, b, c, next string) {
		t.Helper()
		p, ok := ofNames(a, b, c)
		if next == "" {
			if ok {
				t.Errorf("%s %s %s: %+v", a, b, c, p)
			}
			return
		}
		if !ok || p.name(p.last+1) != next {
			t.Errorf("%s %s %s: %v %+v, next is %s", a, b, c, ok, p, p.name(p.last+1))
		}
		if n, ok := p.number(next); !ok || n != p.last+1 {
			t.Errorf("%s is number %d (%v) of %+v", next, n, ok, p)
		}
	}
	f("/v/1.ts", "/v/2.ts", "/v/3.ts", "/v/4.ts")
	f("/v/8.ts", "/v/9.ts", "/v/10.ts", "/v/11.ts")
	f("/v/s008.ts", "/v/s009.ts", "/v/s010.ts", "/v/s011.ts")
	f("/v/s098.ts", "/v/s099.ts", "/v/s100.ts", "/v/s101.ts")
	f("/v/mf3k2-99.m4s", "/v/mf3k2-100.m4s", "/v/mf3k2-101.m4s", "/v/mf3k2-102.m4s")
	f("/v/12_seg_5_x9.ts", "/v/12_seg_6_x9.ts", "/v/12_seg_7_x9.ts", "/v/12_seg_8_x9.ts")
	f("/v/1.ts", "/v/3.ts", "/v/5.ts", "")
	f("/v/1.ts", "/v/2.ts", "/v/2.ts", "")
	f("/v/a1.ts", "/v/a2.ts", "/v/b3.ts", "")
	f("/v/1-1.ts", "/v/2-2.ts", "/v/3-3.ts", "")
	f("/v/a.ts", "/v/b.ts", "/v/c.ts", "")
	f("/v/9999999999999999998.ts", "/v/9999999999999999999.ts", "/v/10000000000000000000.ts", "")
}

func TestTheNextSegmentIsDue(t *testing.T) {
	b := New(Options{})
	tell(t, b, 0, window(10, 5))
	tell(t, b, 2, window(11, 5))
	f := func(key string, seconds, due float64) {
		t.Helper()
		d, ok := b.Due(key, at(seconds))
		if ok != (due >= 0) || ok && (!d.At.Equal(at(due)) || d.Target != 2*time.Second || d.Rendition != "/v/index.m3u8" || d.Copy == nil) {
			t.Errorf("%s after %v s: %v %+v", key, seconds, ok, d)
		}
	}
	f("/v/seg16.ts", 2.5, 4)
	f("/v/seg17.ts", 2.5, 6)
	f("/v/seg18.ts", 2.5, -1)
	f("/v/seg16.ts", 8.5, -1) // nothing came for so long: nobody knows
	f("/v/seg16.m4s", 2.5, -1)
	f("/w/seg16.ts", 2.5, -1)
	f("/v/seg15.ts", 2.5, 3) // listed, and not everywhere yet
	f("/v/seg15.ts", 4.5, -1)
	f("/v/seg12.ts", 2.5, -1) // listed for long: it is lost
	tell(t, b, 4, window(11, 6, "#EXT-X-ENDLIST\n"))
	f("/v/seg17.ts", 4.5, -1)
}

func TestAHintIsDue(t *testing.T) {
	b := New(Options{})
	hint := "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"part-x\"\n"
	tell(t, b, 0, window(10, 5, hint))
	d, ok := b.Due("/v/part-x", at(1))
	if !ok || d.Listed {
		t.Fatalf("%v %+v", ok, d)
	}
	rep := tell(t, b, 2, window(10, 5, "#EXT-X-PART:DURATION=1,URI=\"part-x\"\n"+"#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"part-y\"\n"))
	expect(t, "new", rep.New, "[/v/part-x]")
	_, ok = b.Due("/v/part-y", at(3))
	expect(t, "the next hint", ok, true)
	expect(t, "listed", b.Lists("/v/part-x"), true)
}

// Requests for what cannot be are refused only where the names have kept to their
// numbers for several versions.
func TestWhatIsFarAheadIsImpossible(t *testing.T) {
	b := New(Options{})
	f := func(key string, seconds float64, want string) {
		t.Helper()
		b.Impossible(key, at(seconds)) // the one a second that is let through
		if why, _ := b.Impossible(key, at(seconds)); why != want {
			t.Errorf("%s after %v s: %q, want %q", key, seconds, why, want)
		}
	}
	tell(t, b, 0, window(10, 5))
	f("/v/seg9999.ts", 1, "")
	for i := range 3 {
		tell(t, b, float64(2+2*i), window(11+i, 5))
	}
	f("/v/seg9999.ts", 7, "future")
	f("/v/seg25.ts", 7, "")
	f("/v/seg40.ts", 7, "future")
	f("/v/seg40.ts", 40, "") // by now there could be one
	f("/v/seg99999.ts", 40, "future")
	f("/v/seg9999.m4s", 7, "")
	f("/w/seg9999.ts", 7, "")
	f("/v/seg1.ts", 7, "") // past, and perhaps kept
	tell(t, b, 8, window(9999, 1), as("/v/other.m3u8"))
	f("/v/seg9999.ts", 9, "") // another playlist lists it
}

func TestOneImpossibleRequestASecondIsLetThrough(t *testing.T) {
	b := New(Options{})
	for i := range 4 {
		tell(t, b, float64(2*i), window(10+i, 5))
	}
	through := 0
	for i := range 1000 {
		if _, no := b.Impossible(fmt.Sprintf("/v/seg%d.ts", 5000+i), at(7+float64(i)/100)); !no {
			through++
		}
	}
	expect(t, "let through in 10 s", through, 10)
	// It is there after all: the encoder leapt.
	b.Answered("/v/seg5000.ts", true, 1000, at(17))
	for range 2 {
		if why, no := b.Impossible("/v/seg5001.ts", at(17)); no {
			t.Error(why)
		}
	}
}

// What upstream no longer has it will not have again; how far back it has things
// nobody can know but by asking.
func TestWhatIsOlderThanWhatIsLostIsImpossible(t *testing.T) {
	b := New(Options{})
	for i := range 4 {
		tell(t, b, float64(2*i), window(100+i, 5))
	}
	f := func(key string, seconds float64, want string) {
		t.Helper()
		b.Impossible(key, at(seconds))
		if why, _ := b.Impossible(key, at(seconds)); why != want {
			t.Errorf("%s after %v s: %q, want %q", key, seconds, why, want)
		}
	}
	b.Answered("/v/seg50.ts", false, 0, at(8))
	b.Answered("/v/seg50.ts", false, 0, at(8))
	b.Answered("/v/seg51.ts", false, 0, at(8))
	b.Answered("/v/seg105.ts", false, 0, at(8)) // listed: says nothing
	f("/v/seg40.ts", 9, "")
	b.Answered("/v/seg60.ts", false, 0, at(8))
	f("/v/seg40.ts", 9, "past")
	f("/v/seg55.ts", 9, "")
	f("/v/seg40.ts", 39, "") // it is asked once more
	b.Answered("/v/seg30.ts", true, 1000, at(9))
	f("/v/seg40.ts", 9.5, "")
}

func TestLimitsFollowFromWhatIsListed(t *testing.T) {
	b := New(Options{})
	tell(t, b, 0, window(10, 5))
	tell(t, b, 2, window(11, 5))
	lim, ok := b.Limit("/v/index.m3u8", "", at(3))
	expect(t, "playlist", fmt.Sprintf("%v %+v", ok, lim), "true {Kind:live Target:2s Next:16 Media:22s Due:0s}")
	lim, _ = b.Limit("", "/v/seg16.ts", at(3.5))
	expect(t, "due", lim.Due, 500*time.Millisecond)
	lim, _ = b.Limit("", "/v/seg16.ts", at(4.5))
	expect(t, "overdue", lim.Due, 100*time.Millisecond)
	lim, _ = b.Limit("", "/v/seg40.ts", at(3))
	expect(t, "not due", fmt.Sprint(lim.Target, lim.Due), "2s 0s")
	_, ok = b.Limit("", "/w/x.ts", at(3))
	expect(t, "unknown", ok, false)
}

func TestRatesAreThoseOfTheMultivariantPlaylistOrMeasured(t *testing.T) {
	b := New(Options{})
	tell(t, b, 0, window(10, 5))
	expect(t, "unknown", b.Rate("/v/seg10.ts"), 0)
	b.Answered("/v/seg10.ts", true, 500_000, at(1))
	b.Answered("/v/seg11.ts", true, 300_000, at(1))
	expect(t, "measured", b.Rate("/v/seg12.ts"), 200_000)
	multi, _ := Scan([]byte("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=2400000\nv/index.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=1\nx.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=1\nindex.m3u8\n"))
	live, all := b.Variants(multi, under("/"), at(1))
	expect(t, "renditions", fmt.Sprint(live, all), "2s false")
	expect(t, "said", b.Rate("/v/seg12.ts"), 300_000)
	expect(t, "of one not there yet", b.Rate("/v/seg15.ts"), 300_000)
	expect(t, "kinds", fmt.Sprint(b.Kind("/v/seg12.ts"), b.Kind("/v/index.m3u8"), b.Kind("/v/seg16.ts"), b.Kind("/x.ts")), "live live live unknown")
}

// A start-over list of hours is not kept track of as a whole. What it lists is
// not ruled out although upstream has lost some of what is listed behind it.
func TestWhatALongListHoldsIsNotImpossible(t *testing.T) {
	b := New(Options{})
	for i := range 5 {
		tell(t, b, float64(2*i), window(4990+i, 5))
		tell(t, b, float64(2*i)+1, window(1000, 3995+i), as("/v/@1/index.m3u8"))
	}
	for _, gap := range []int{2000, 2001, 2002} {
		b.Answered(fmt.Sprintf("/v/seg%d.ts", gap), false, 0, at(10))
	}
	for n := range 3 {
		if why, no := b.Impossible(fmt.Sprintf("/v/seg%d.ts", 1500+n), at(10)); no {
			t.Errorf("it is listed, and ruled out: %s", why)
		}
	}
}

// On an edge of whose playlists nobody has asked for a while segments have gone on:
// at the pace of them all, not at that of a last one that was long.
func TestALongLastSegmentRulesNothingOut(t *testing.T) {
	b := New(Options{})
	for i := range 5 {
		text := fmt.Sprintf("#EXTM3U\n#EXT-X-TARGETDURATION:8\n#EXT-X-MEDIA-SEQUENCE:%d\n", i)
		for n := i; n < i+5; n++ {
			text += fmt.Sprintf("#EXTINF:%d,\nseg%d.ts\n", 2+6*(n/8), n) // the last one is long
		}
		tell(t, b, float64(2*i), text)
	}
	for n := 200; n < 203; n++ { // one each 3 s
		if why, no := b.Impossible(fmt.Sprintf("/v/seg%d.ts", n), at(600)); no {
			t.Errorf("segment %d after ten minutes: %s", n, why)
		}
	}
}
