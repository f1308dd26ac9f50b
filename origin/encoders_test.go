package origin

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/bench"
)

// What encoders do, and what viewers see of it. Each case is told as the rendition hi lists it
// in the end: run.number of each segment, "-" for a gap, "|" for a discontinuity. Where HLSbis
// leaves the origin a choice (a loss is a gap on the same timeline or a discontinuity on a new
// one) either is right. All the while readers poll both renditions and hold them to the rules.

// encodes runs a script over five segments of a first run, in MPEG-TS and in fragmented MP4,
// and expects one of the stories.
func encodes(t *testing.T, script func(e *encoder), stories ...string) {
	t.Helper()
	for _, ts := range []bool{true, false} {
		onShow(t, Options{}, func(s *show) {
			e := s.encoder(bench.FeedOptions{TS: ts})
			e.step(5)
			script(e)
			s.pass(4 * time.Second) // what is held comes out
			got := s.seen("hi")
			if !slices.Contains(stories, got) {
				t.Errorf("TS %v: viewers see %q, want one of %q", ts, got, stories)
			}
			// What the text says is what is counted, in both renditions.
			lo := s.seen("lo")
			gaps, broken := strings.Count(got+lo, "-"), strings.Count(got+lo, "|")
			if n := s.metric("weir_origin_gaps_total", "c"); int(n) != gaps {
				t.Errorf("TS %v: %v gaps are counted, %d are listed", ts, n, gaps)
			}
			if n := s.metric("weir_origin_discontinuities_total", "c"); int(n) != broken {
				t.Errorf("TS %v: %v discontinuities are counted, %d are listed", ts, n, broken)
			}
			if e.truthful {
				for _, x := range s.readers {
					v := x.versions[len(x.versions)-1]
					last := v.Segments[len(v.Segments)-1]
					if off := v.at.Sub(last.ProgramDateTime.Add(last.Duration)); off.Abs() > 2100*time.Millisecond {
						t.Errorf("TS %v: %s: the last segment was listed %v after its end by its date", ts, x.name, off)
					}
				}
			}
		})
	}
}

const run0 = "0.0 0.1 0.2 0.3 0.4 "

// The encoder is stopped and started again: it says ENDLIST, and begins anew under the same
// names and numbers.
func TestAnEncoderIsStoppedAndStarted(t *testing.T) {
	encodes(t, func(e *encoder) {
		e.truthful = true
		e.ok(e.End(e.ctx))
		e.s.pass(5 * time.Second)
		e.restart(0)
		e.step(4)
	}, run0+"|0.0 0.1 0.2 0.3") // the very same bytes again
}

// It is killed in the middle of an upload that no playlist told of.
func TestAnEncoderIsKilledInAnUpload(t *testing.T) {
	encodes(t, func(e *encoder) {
		e.truthful = true
		c := e.Cut(5)
		_, err := e.s.send("PUT", fmt.Sprintf("/ingest/c/hi/seg_%05d.ts", c.Number), &cutShort{e.Bytes(0, c)[:1000]})
		if err == nil {
			t.Error("half an upload was taken")
		}
		e.s.pass(3 * time.Second)
		e.restart(30 * time.Minute)
		e.step(4)
	}, run0+"|1.0 1.1 1.2 1.3")
}

// It is killed between its media and its playlist, which are never told of.
func TestAnEncoderIsKilledBeforeItsPlaylist(t *testing.T) {
	encodes(t, func(e *encoder) {
		e.truthful = true
		e.push(e.Cut(5))
		e.s.pass(3 * time.Second)
		e.restart(30 * time.Minute)
		e.step(6)
	}, run0+"|1.0 1.1 1.2 1.3 1.4 1.5", run0+"0.5 |1.0 1.1 1.2 1.3 1.4 1.5")
}

// It is killed at once after its first playlist of the next run, again and again.
func TestAnEncoderThatCrashesOverAndOver(t *testing.T) {
	encodes(t, func(e *encoder) {
		e.truthful = true
		for i := range 3 {
			e.restart(time.Duration(i+1) * time.Minute)
			e.step(1)
		}
		e.restart(30 * time.Minute)
		e.step(3)
	}, run0+"|1.0 |2.0 |3.0 |4.0 4.1 4.2")
}

// It goes on where its own playlist ended, and its media too: nothing has changed, so nothing
// is broken.
func TestAnEncoderGoesOnWhereItWas(t *testing.T) {
	encodes(t, func(e *encoder) {
		e.truthful = true
		e.restart(10 * time.Second)
		e.From(5)
		e.step(3)
	}, run0+"1.5 1.6 1.7")
}

// It begins to number anew, with media times that go on: times and decoder are what counts.
func TestAnEncoderOfOneClockNumbersAnew(t *testing.T) {
	encodes(t, func(e *encoder) {
		e.truthful = true
		e.restart(10 * time.Second)
		e.step(3)
	}, run0+"1.0 1.1 1.2")
}

// It numbers by the clock, so that each run has names and numbers of its own.
func TestAnEncoderNumbersByTheClock(t *testing.T) {
	encodes(t, func(e *encoder) {
		e.truthful = true
		e.s.pass(4 * time.Second)
		e.restart(time.Minute)
		e.From(1_700_000_000)
		e.step(3)
	}, run0+"|1.1700000000 1.1700000001 1.1700000002")
}

// Its source goes on while it is away for three segments, and its clock is the source's.
func TestAnEncoderIsAwayForThreeSegments(t *testing.T) {
	encodes(t, func(e *encoder) {
		e.truthful = true
		e.s.pass(6 * time.Second)
		e.restart(16 * time.Second)
		e.step(3)
	}, run0+"- - - 1.0 1.1 1.2", run0+"|1.0 1.1 1.2")
}

// It comes back as another: resolution, codec, fewer tracks.
func TestAnEncoderComesBackAsAnother(t *testing.T) {
	for _, source := range []string{"big", "hevc", "mute", "sound"} {
		encodes(t, func(e *encoder) {
			e.truthful = true
			e.ok(e.Use(0, source))
			e.restart(10 * time.Second) // even where its times go on
			e.step(3)
		}, run0+"|1.0 1.1 1.2")
	}
}

// It changes its resolution in the middle of a run, as one that adapts to its uplink does.
func TestAnEncoderChangesItsResolution(t *testing.T) {
	encodes(t, func(e *encoder) {
		e.truthful = true
		e.ok(e.Use(0, "big"))
		e.ok(e.Inits(e.ctx))
		e.step(3)
	}, run0+"|0.5 0.6 0.7")
}

// Its clock jumps ahead by three segments that it never made: its numbers go on as if
// nothing had been.
func TestAnEncodersClockJumpsAhead(t *testing.T) {
	encodes(t, func(e *encoder) {
		e.truthful = true
		e.Jump(6 * time.Second)
		e.s.pass(6 * time.Second)
		e.step(3)
	}, run0+"- - - 0.5 0.6 0.7", run0+"|0.5 0.6 0.7")
}

// Its clock jumps far ahead, by days: that is no loss anybody waits for.
func TestAnEncodersClockJumpsByDays(t *testing.T) {
	encodes(t, func(e *encoder) {
		e.Jump(50 * time.Hour)
		e.step(3)
	}, run0+"|0.5 0.6 0.7")
}

// Its clock is set back: times that were there come again.
func TestAnEncodersClockIsSetBack(t *testing.T) {
	encodes(t, func(e *encoder) {
		e.Jump(-8 * time.Second)
		e.step(3)
	}, run0+"|0.1 0.2 0.3") // the picture of this encoder stands still
}

// Its clock is as exact as encoders are: a frame or two are no break.
func TestAnEncodersClockJitters(t *testing.T) {
	encodes(t, func(e *encoder) {
		e.truthful = true
		for i := range 3 {
			e.Jump([]time.Duration{40, -80, 60}[i] * time.Millisecond)
			e.step(1)
		}
	}, run0+"0.5 0.6 0.7")
}

// It stands still and goes on where it was: nothing was lost.
func TestAnEncoderStandsStill(t *testing.T) {
	encodes(t, func(e *encoder) {
		e.s.pass(7 * time.Second)
		e.step(3)
	}, run0+"0.5 0.6 0.7")
}

// Its uploads overtake each other, as they do over a connection each: playlists before their
// media, a playlist before the one before it.
func TestAnEncodersUploadsOvertakeEachOther(t *testing.T) {
	encodes(t, func(e *encoder) {
		a, b, c := e.Cut(5), e.Cut(5), e.Cut(5)
		e.tell(b)
		e.tell(a)
		e.s.pass(time.Second)
		e.push(b)
		e.s.pass(time.Second)
		e.push(a)
		e.push(c)
		e.tell(c)
		e.tell(b) // late
		e.step(1)
	}, run0+"0.5 0.6 0.7 0.8")
}

// Over a connection each, and a restart in between.
func TestAnEncoderRestartsAndItsUploadsOvertakeEachOther(t *testing.T) {
	encodes(t, func(e *encoder) {
		last := e.Cut(5)
		e.tell(last)
		e.restart(time.Hour)
		c := e.Cut(5)
		e.tell(c) // its media come after it
		e.s.pass(time.Second)
		e.push(c)
		e.s.pass(time.Second)
		e.step(4)
	}, run0+"|1.0 1.1 1.2 1.3 1.4", run0+"- |1.0 1.1 1.2 1.3 1.4")
}

// The end of a stopped run comes after the beginning of the next: FFmpeg's last playlist was
// seen to be overwritten by the one before it.
func TestTheLastWordOfAStoppedEncoderComesLate(t *testing.T) {
	encodes(t, func(e *encoder) {
		old := *e.Feed
		e.ok(old.End(e.ctx))
		for i := range 2 { // the one before it, late
			e.ok(old.List(e.ctx, i, bench.Cut{Number: 3}, false))
		}
		e.truthful = true
		e.s.pass(time.Second)
		e.restart(time.Hour)
		e.step(4)
	}, run0+"|1.0 1.1 1.2 1.3")
}

// A segment comes late, within the hold: it is waited for. One that comes after the hold stays
// a gap: what was said is not taken back.
func TestASegmentComesLate(t *testing.T) {
	encodes(t, func(e *encoder) {
		c := e.Cut(5)
		e.tell(c)
		e.s.pass(2500 * time.Millisecond)
		e.push(c)
		e.step(2)
	}, run0+"0.5 0.6 0.7")
	encodes(t, func(e *encoder) {
		c := e.Cut(5)
		e.tell(c)
		e.s.pass(3500 * time.Millisecond)
		e.push(c)
		e.step(2)
	}, run0+"- 0.6 0.7")
}

// A segment is lost, in all renditions or in one.
func TestASegmentIsLost(t *testing.T) {
	encodes(t, func(e *encoder) {
		e.truthful = true
		e.tell(e.Cut(5))
		e.s.pass(segment2s)
		e.step(3)
	}, run0+"- 0.6 0.7 0.8")
	encodes(t, func(e *encoder) {
		c := e.Cut(5)
		e.pushTo(1, c)
		e.tell(c)
		e.s.pass(segment2s)
		e.step(3)
	}, run0+"- 0.6 0.7 0.8")
}

// A segment and the playlist that tells of it are both lost, and the next playlist is short.
func TestAShortPlaylistSkipsSegments(t *testing.T) {
	onShow(t, Options{}, func(s *show) {
		e := s.encoder(bench.FeedOptions{TS: true, Listed: 1})
		e.step(3)
		e.Cut(5)
		e.Cut(5)
		s.pass(2 * segment2s)
		e.step(3)
		s.is("viewers see", s.seen("hi"), "0.0 0.1 0.2 - - 0.5 0.6 0.7")
		s.counted(map[string]float64{"untold": 4}, 0)
	})
}

// What was published is what it is: uploads of the same name, with the same bytes or with
// others, change nothing.
func TestAPublishedSegmentIsUploadedAgain(t *testing.T) {
	encodes(t, func(e *encoder) {
		c := e.Cut(5)
		e.push(c)
		e.tell(c)
		e.s.pass(time.Second)
		e.push(c)
		e.tell(c)
		e.s.pass(time.Second)
		e.step(2)
	}, run0+"0.5 0.6 0.7")
}

// Two instances push at once under the same names, as when an old one is not dead yet. Viewers
// see the young one from its first segment on, and nothing of the old one in between.
func TestTwoEncodersAtOnce(t *testing.T) {
	for _, ts := range []bool{true, false} {
		for _, offset := range []time.Duration{0, 500 * time.Millisecond, 1500 * time.Millisecond} {
			onShow(t, Options{Defaults: Channel{Window: 5 * time.Minute}}, func(s *show) {
				old := s.encoder(bench.FeedOptions{TS: ts})
				old.step(5)
				young := s.encoder(bench.FeedOptions{TS: ts, Start: 3 * time.Hour})
				young.run = 1
				s.pass(offset)
				for range 4 { // both
					a, b := old.Cut(5), young.Cut(5)
					old.push(a)
					old.tell(a)
					s.pass(time.Second)
					young.push(b)
					young.tell(b)
					s.pass(time.Second)
				}
				young.step(6)
				s.pass(4 * time.Second)
				want := run0 + "0.5 |1.0 1.1 1.2 1.3 1.4 1.5 1.6 1.7 1.8 1.9"
				for _, name := range []string{"hi", "lo"} {
					s.is(fmt.Sprintf("TS %v, %v apart, %s", ts, offset, name), s.seen(name), want)
				}
				s.counted(nil, 2)
			})
		}
	}
}

// The young one dies instead: the old one is heard again, before viewers run dry of patience.
func TestTheOtherOfTwoEncodersDies(t *testing.T) {
	onShow(t, Options{Defaults: Channel{Window: 5 * time.Minute}}, func(s *show) {
		old := s.encoder(bench.FeedOptions{TS: true})
		old.step(5)
		young := s.encoder(bench.FeedOptions{TS: true, Start: 3 * time.Hour})
		young.run = 1
		for range 2 {
			a, b := old.Cut(5), young.Cut(5)
			young.push(b)
			young.tell(b)
			s.pass(time.Second)
			old.push(a)
			old.tell(a)
			s.pass(time.Second)
		}
		old.step(8)
		s.pass(4 * time.Second)
		got := s.seen("hi")
		if !strings.HasPrefix(got, run0+"|1.0 1.1 |0.") || !strings.HasSuffix(got, " 0.10 0.11 0.12 0.13 0.14") || strings.Contains(got, "-") {
			t.Errorf("viewers see %q", got)
		}
		s.counted(nil, 4)
	})
}

// cutShort is a body that ends before its end.
type cutShort struct{ p []byte }

// Read implements io.Reader.
func (c *cutShort) Read(b []byte) (int, error) {
	if len(c.p) == 0 {
		return 0, fmt.Errorf("the connection is gone")
	}
	n := copy(b, c.p)
	c.p = c.p[n:]
	return n, nil
}
