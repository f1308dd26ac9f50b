package schedule

import (
	"fmt"
	"testing"
	"time"
)

func TestAVersionThatGoesOnIsNewer(t *testing.T) {
	b := New(Options{})
	expect(t, "first", tell(t, b, 0, window(10, 5)).Verdict, First)
	expect(t, "again", tell(t, b, 1, window(10, 5)).Verdict, Same)
	rep := tell(t, b, 2, window(11, 5))
	expect(t, "next", rep.Verdict, Newer)
	expect(t, "new", rep.New, "["+keys(15, 1)+"]")
	expect(t, "before", rep.Before, "[/v/seg14.ts /v/seg13.ts /v/seg12.ts]")
	expect(t, "later", tell(t, b, 20, window(30, 5)).Verdict, Newer)
	expect(t, "end", tell(t, b, 22, window(30, 5, "#EXT-X-ENDLIST\n")).Verdict, Newer)
}

// A playlist never goes back for as long as it may only be late.
func TestAVersionThatLagsIsOlder(t *testing.T) {
	b := New(Options{})
	tell(t, b, 0, window(10, 5))
	newest := window(11, 5, "#EXT-X-PART:DURATION=1,URI=\"p1\"\n#EXT-X-PART:DURATION=1,URI=\"p2\"\n")
	tell(t, b, 2, newest)
	for i, older := range []string{
		window(10, 5), // the version before
		window(11, 4), // the same first number, fewer segments
		window(11, 5), // fewer parts
		window(11, 5, "#EXT-X-PART:DURATION=1,URI=\"p1\"\n"),
	} {
		for _, after := range []float64{0, 1, 5, 9} {
			rep := tell(t, b, 3+after, older)
			if rep.Verdict != Older || rep.Newest != newest || rep.Lagging != time.Duration(after)*time.Second {
				t.Fatalf("version %d, %v s later: %v, lagging for %v", i, after, rep.Verdict, rep.Lagging)
			}
		}
		expect(t, "the newest", tell(t, b, 12, newest).Verdict, Same)
	}
	rep := tell(t, b, 12, window(10, 5))
	expect(t, "lagging anew", rep.Lagging, time.Duration(0))
	if b.Again("/v/index.m3u8", "", 0, at(12)) {
		t.Error("a digest of nothing is known")
	}
}

// Upstream says that nothing has changed: it does not lag.
func TestWhatIsKnownByItsTagEndsALag(t *testing.T) {
	b := New(Options{})
	tag := func(v *Version) { v.Tag = `"t1"` }
	tell(t, b, 0, window(10, 5), tag)
	tell(t, b, 1, window(10, 4))
	if b.Again("/v/index.m3u8", `"t0"`, 0, at(2)) || b.Again("/w/index.m3u8", `"t1"`, 0, at(2)) || !b.Again("/v/index.m3u8", `"t1"`, 0, at(2)) {
		t.Error("the tag of the newest version, and no other, is known")
	}
	expect(t, "lag", tell(t, b, 9, window(10, 4)).Lagging, time.Duration(0))
	tell(t, b, 10, window(11, 5))
	if b.Again("/v/index.m3u8", `"t1"`, 0, at(2)) {
		t.Error("the tag of a version before is known")
	}
}

// A foreign origin begins anew: lower numbers under unknown names, seen twice a
// target duration apart.
func TestARestartIsRecognised(t *testing.T) {
	b := New(Options{})
	tell(t, b, 0, window(100, 5))
	anew := func(n int) string {
		return fmt.Sprintf("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nnew%d.ts\n", n)
	}
	expect(t, "at first", tell(t, b, 2, anew(0)).Verdict, Older)
	expect(t, "too soon", tell(t, b, 3.9, anew(0)).Verdict, Older)
	rep := tell(t, b, 4, anew(1))
	expect(t, "in time", rep.Verdict, Restarted)
	expect(t, "former", rep.Former, "["+keys(100, 5)+"]")
	expect(t, "then", tell(t, b, 5, anew(1)).Verdict, Same)
}

// One of two origins began anew, the other goes on: what goes on wins.
func TestARestartIsNotBelievedWhileTheNumbersGoOn(t *testing.T) {
	b := New(Options{})
	tell(t, b, 0, window(100, 5))
	const other = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nother.ts\n"
	for i := range 10 {
		expect(t, "the other", tell(t, b, float64(2*i+1), other).Verdict, Older)
		expect(t, "this", tell(t, b, float64(2*i+2), window(101+i, 5)).Verdict, Newer)
	}
}

func TestADiscontinuitySequenceThatFallsIsNotShownAtOnce(t *testing.T) {
	b := New(Options{})
	f := func(disc int, first int) string {
		return fmt.Sprintf("#EXTM3U\n#EXT-X-DISCONTINUITY-SEQUENCE:%d\n", disc) + window(first, 5)[len("#EXTM3U\n"):]
	}
	tell(t, b, 0, f(7, 10))
	expect(t, "falls", tell(t, b, 2, f(6, 11)).Verdict, Older)
	expect(t, "stays fallen", tell(t, b, 4, f(6, 12)).Verdict, Newer)
	expect(t, "rises", tell(t, b, 6, f(8, 12)).Verdict, Newer)
}

// Another origin lists more: the first number falls although the last does not.
func TestALongerWindowIsTakenForGoodAfterATargetDuration(t *testing.T) {
	b := New(Options{})
	tell(t, b, 0, window(10, 5))
	expect(t, "at first", tell(t, b, 1, window(5, 11)).Verdict, Older)
	expect(t, "later", tell(t, b, 3, window(5, 11)).Verdict, Newer)
}

func TestWhatWasEndedMayComeBack(t *testing.T) {
	b := New(Options{})
	tell(t, b, 0, window(10, 5, "#EXT-X-ENDLIST\n"))
	expect(t, "kind", b.Kind("/v/seg10.ts"), VOD)
	expect(t, "without its end", tell(t, b, 1, window(10, 5)).Verdict, Older)
	expect(t, "still", tell(t, b, 3, window(10, 5)).Verdict, Newer)
	tell(t, b, 4, window(10, 5, "#EXT-X-ENDLIST\n"))
	expect(t, "with more", tell(t, b, 5, window(11, 5)).Verdict, Newer)
	expect(t, "kind", b.Kind("/v/seg12.ts"), Live)
}

// Our origin names its publishings. Its numbers never go back: one with higher
// numbers is what comes next, one with lower ones is another origin.
func TestANamedPublishingIsBelievedWhereItGoesOn(t *testing.T) {
	b := New(Options{})
	tell(t, b, 0, window(100, 5), published("a"))
	expect(t, "higher", tell(t, b, 2, window(110, 5), published("b")).Verdict, Newer)
	expect(t, "lower", tell(t, b, 3, window(105, 5), published("c")).Verdict, Older)
	expect(t, "lower, other", tell(t, b, 6, window(105, 5), published("d")).Verdict, Older)
	rep := tell(t, b, 8, window(105, 5), published("d"))
	expect(t, "lower, still", rep.Verdict, Restarted)
	expect(t, "names are its own", len(rep.Former), 0)
}

// A delta update says how far the playlist is, and leaves out what is known.
func TestADeltaUpdateGoesOn(t *testing.T) {
	b := New(Options{})
	const delta = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:11\n#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n#EXTINF:2,\nseg14.ts\n#EXTINF:2,\nseg15.ts\n"
	expect(t, "of nothing", tell(t, b, 0, delta).Verdict, Ignored)
	whole := window(10, 5)
	tell(t, b, 0, whole)
	rep := tell(t, b, 2, delta)
	expect(t, "verdict", rep.Verdict, Newer)
	expect(t, "new", rep.New, "["+keys(15, 1)+"]")
	expect(t, "first listed", b.Lists("/v/seg11.ts"), true)
	expect(t, "left", b.Lists("/v/seg10.ts"), false)
	rep = tell(t, b, 3, whole)
	if rep.Verdict != Older || rep.Newest != whole {
		t.Errorf("%v: a copy of a delta update is none", rep.Verdict)
	}
}

// An encoder that was killed and started anew writes its old names again: what
// it lists lies far behind, and goes on. What was kept under those names, and
// that is all that is listed and has left not long ago, means something else now.
func TestAnEncoderThatUsesItsNamesAgainIsRecognised(t *testing.T) {
	b := New(Options{})
	for i := range 5 {
		tell(t, b, float64(2*i), window(i, 5))
	}
	expect(t, "at first", tell(t, b, 10, window(0, 1)).Verdict, Older)
	expect(t, "a moment later", tell(t, b, 11, window(0, 1)).Verdict, Older)
	rep := tell(t, b, 12, window(0, 2))
	expect(t, "going on", rep.Verdict, Restarted)
	expect(t, "former", rep.Former, "["+keys(4, 5)+" "+keys(0, 4)+"]")
	expect(t, "then", tell(t, b, 14, window(0, 3)).Verdict, Newer)

	event := New(Options{}) // its first number never moves
	tell(t, event, 0, window(0, 60))
	expect(t, "an event at first", tell(t, event, 2, window(0, 1)).Verdict, Older)
	expect(t, "an event going on", tell(t, event, 4, window(0, 2)).Verdict, Restarted)
}

// An origin that is left far behind is not one that began anew while it stands
// still, nor is one that is only a little behind, however long.
func TestAnOriginThatHasStoppedHasNotBegunAnew(t *testing.T) {
	b := New(Options{})
	tell(t, b, 0, window(0, 5))
	tell(t, b, 100, window(50, 5))
	for i := range 20 {
		expect(t, "stands still", tell(t, b, 101+float64(i), window(0, 5)).Verdict, Older)
	}
	tell(t, b, 130, window(51, 5))
	for i := range 4 {
		expect(t, "lags", tell(t, b, 132+2*float64(i), window(47+i, 5)).Verdict, Older)
	}
}

// What was shown an hour ago nobody plays any more: whatever there is now is right.
func TestWhatNobodyHasSeenForLongIsForgotten(t *testing.T) {
	b := New(Options{})
	tell(t, b, 0, window(100, 5))
	expect(t, "half a minute later", tell(t, b, 30, window(99, 5)).Verdict, Older)
	expect(t, "it is there again", tell(t, b, 31, window(100, 5)).Verdict, Same)
	expect(t, "half a minute later", tell(t, b, 62, window(0, 5)).Verdict, Restarted)
}

// The only origin that is left has fewer segments than the one that is gone, and
// gets no more: its viewers see an error for half a minute, not for ever.
func TestAnOriginThatLagsForGoodIsTakenAsItIs(t *testing.T) {
	for _, rest := range []string{window(97, 5), window(97, 5, "#EXT-X-ENDLIST\n")} {
		b := New(Options{})
		tell(t, b, 0, window(100, 5, "#EXT-X-ENDLIST\n"))
		for s := 2; s <= 30; s += 2 { // somebody asks all the time
			expect(t, fmt.Sprint(s, " s later"), tell(t, b, float64(s), rest).Verdict, Older)
		}
		expect(t, "then", tell(t, b, 32, rest).Verdict, Restarted)
		expect(t, "and from then on", tell(t, b, 34, rest).Verdict, Same)
	}
}

// A recording lists under their live names segments that are in the live window
// too: they stay live, and what follows their names stays foretold.
func TestARecordingDoesNotTakeLiveSegmentsOver(t *testing.T) {
	b := New(Options{})
	for i := range 5 {
		tell(t, b, float64(2*i), window(10+i, 5))
	}
	span := as("/v/@1-2/index.m3u8")
	tell(t, b, 9, window(0, 16), span) // it grows until it is over
	tell(t, b, 9.5, window(0, 19, "#EXT-X-ENDLIST\n"), span)
	expect(t, "in both", b.Kind("/v/seg16.ts"), Live)
	expect(t, "in the recording alone", b.Kind("/v/seg2.ts"), VOD)
	expect(t, "what comes next", b.Kind("/v/seg19.ts"), Live)
}

// Of two playlists with the same names, as of a delayed one, the farther one says
// what there may be.
func TestADelayedPlaylistRulesNothingOutThatIsLive(t *testing.T) {
	b := New(Options{})
	for i := range 8 {
		tell(t, b, float64(2*i), window(100+i, 5))
		tell(t, b, float64(2*i)+1, window(10+i, 5), as("/v/delayed.m3u8"))
	}
	for n := 112; n < 118; n++ {
		for range 2 { // the first might be let through as a probe
			if why, no := b.Impossible(fmt.Sprintf("/v/seg%d.ts", n), at(15)); no {
				t.Errorf("segment %d, of which 111 is the last: %s", n, why)
			}
		}
	}
	for range 2 {
		b.Impossible("/v/seg500.ts", at(15))
	}
	if _, no := b.Impossible("/v/seg500.ts", at(15)); !no {
		t.Error("what is far ahead of both is not ruled out")
	}
}
