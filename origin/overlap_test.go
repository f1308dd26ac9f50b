package origin

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/bench"
)

// Two encoders push the same names at once: the new one was started before the old one was
// stopped, or a supervisor replaced one that drains. Viewers see one of them, from beginning
// to end with one break, and are told of no loss where nothing was lost.

// pair is two encoders of one channel; the old one has pushed five segments.
type pair struct {
	*show
	old, young *encoder
}

// overlaps runs a script with two encoders, in MPEG-TS and in fragmented MP4, with dates in
// their playlists and without, and expects one of the stories in both renditions.
func overlaps(t *testing.T, script func(p *pair), stories ...string) {
	t.Helper()
	for i := range 4 {
		ts, undated := i&1 == 0, i&2 != 0
		onShow(t, Options{Defaults: Channel{Window: 5 * time.Minute}}, func(s *show) {
			p := &pair{s, s.encoder(bench.FeedOptions{TS: ts, Undated: undated}), s.encoder(bench.FeedOptions{TS: ts, Undated: undated, Start: 3 * time.Hour})}
			p.young.run = 1
			p.old.step(5)
			script(p)
			s.pass(4 * time.Second)
			for _, name := range []string{"hi", "lo"} {
				got, ok := s.seen(name), false
				for _, want := range stories {
					ok = ok || got == want
				}
				if !ok {
					t.Errorf("TS %v, undated %v, %s: viewers see\n%q, want\n%q", ts, undated, name, got, stories)
				}
			}
		})
	}
}

// both has each push n segments, the young one half a segment behind.
func (p *pair) both(n int) {
	for range n {
		p.one(p.old, false)
		p.one(p.young, false)
	}
}

// one has one of them push a segment and lets half its time go by.
func (p *pair) one(e *encoder, playlistFirst bool) {
	c := e.Cut(5)
	if playlistFirst {
		e.tell(c)
		p.pass(20 * time.Millisecond)
		e.push(c)
		p.pass(980 * time.Millisecond)
		return
	}
	e.push(c)
	e.tell(c)
	p.pass(time.Second)
}

// The old one drains while the new one runs, and ends with its last word.
func TestAnOldEncoderDrains(t *testing.T) {
	overlaps(t, func(p *pair) {
		p.both(4)
		p.old.ok(p.old.End(p.old.ctx))
		p.young.step(8)
	}, run0+"0.5 |1.0 1.1 1.2 1.3 1.4 1.5 1.6 1.7 1.8 1.9 1.10 1.11")
}

// Over a connection each the playlist is often there before its segment.
func TestOverlappingEncodersTellBeforeTheyPush(t *testing.T) {
	overlaps(t, func(p *pair) {
		for range 4 {
			p.one(p.old, true)
			p.one(p.young, true)
		}
		for range 6 {
			p.one(p.young, true)
			p.pass(time.Second)
		}
	}, run0+"0.5 |1.0 1.1 1.2 1.3 1.4 1.5 1.6 1.7 1.8 1.9")
}

// The new one fails after three segments, and the old one was not stopped yet: it goes on
// with what it pushed since.
func TestAnOldEncoderGoesOnWhereTheNewOneFails(t *testing.T) {
	overlaps(t, func(p *pair) {
		p.both(3)
		p.pass(time.Second)
		p.old.step(4)
	}, run0+"0.5 |1.0 1.1 1.2 |0.8 0.9 0.10 0.11")
}

// The new one fails, the old one goes on, and a third is started, which takes over.
func TestAThirdEncoderTakesOver(t *testing.T) {
	overlaps(t, func(p *pair) {
		p.both(3)
		p.pass(time.Second)
		p.old.step(3)
		p.young.restart(9 * time.Hour)
		p.young.run = 2
		p.both(2)
		p.young.step(4)
	}, run0+"0.5 |1.0 1.1 1.2 |0.8 0.9 0.10 0.11 |2.0 2.1 2.2 2.3 2.4 2.5")
}

// A supervisor starts the new one again and again while the old one drains.
func TestAnEncoderCrashesBesideAnOldOne(t *testing.T) {
	overlaps(t, func(p *pair) {
		p.both(2)
		p.young.restart(9 * time.Hour)
		p.young.run = 2
		p.both(1)
		p.young.restart(15 * time.Hour)
		p.young.run = 3
		p.both(2)
		p.young.step(4)
	}, run0+"0.5 |1.0 1.1 |2.0 |3.0 3.1 3.2 3.3 3.4 3.5")
}

// The new one numbers from just above the old one on, so that each overwrites what the other
// pushed under its names.
func TestOverlappingEncodersOverwriteEachOther(t *testing.T) {
	overlaps(t, func(p *pair) {
		p.young.From(8)
		p.both(6)
		p.young.step(4)
	}, run0+"0.5 |1.8 1.9 1.10 1.11 1.12 1.13 1.14 1.15 1.16 1.17")
}

// Every playlist of the old one comes late, at any moment of the new one's beginning: nothing
// is made of it.
func TestTheLastWordComesLateAtAnyMoment(t *testing.T) {
	for last := range 5 {
		for after := range 4 {
			overlaps(t, func(p *pair) {
				p.pass(time.Second)
				p.young.step(after)
				for i := range 2 {
					p.old.ok(p.old.List(p.old.ctx, i, bench.Cut{Number: last}, last == 4))
				}
				p.young.step(6 - after)
				if t.Failed() {
					t.Logf("the playlist that ends with %d, after %d segments", last, after)
				}
			}, run0+"|1.0 1.1 1.2 1.3 1.4 1.5")
		}
	}
}

// The old one's media are made for another decoder: when it goes on it does so with its own
// initialization, which its successor had overwritten.
func TestAnOldEncoderGoesOnWithItsOwnInit(t *testing.T) {
	onShow(t, Options{Defaults: Channel{Window: 5 * time.Minute}}, func(s *show) {
		p := &pair{s, s.encoder(bench.FeedOptions{}), s.encoder(bench.FeedOptions{Start: 3 * time.Hour})}
		p.young.run = 1
		p.young.ok(p.young.Use(0, "big"))
		p.old.step(5)
		p.both(3)
		p.pass(time.Second)
		p.old.step(6)
		m := s.media("hi")
		var maps []string
		for _, x := range m.Segments {
			if n := len(maps); x.Gap || n == 0 || maps[n-1] != x.Map.URI {
				maps = append(maps, x.Map.URI)
			}
		}
		if len(maps) != 3 || maps[0] != maps[2] {
			t.Errorf("%s: EXT-X-MAP %q", s.seen("hi"), maps)
		}
	})
}

// One rendition of the new encoder comes a segment later than the other: they are at the same
// discontinuity number at each date all the same (readers hold them to it), and neither is
// broken more than twice.
func TestRenditionsChangeHandsApart(t *testing.T) {
	for _, ts := range []bool{true, false} {
		for late := 1; late <= 3; late++ {
			onShow(t, Options{Defaults: Channel{Window: 5 * time.Minute}}, func(s *show) {
				p := &pair{s, s.encoder(bench.FeedOptions{TS: ts}), s.encoder(bench.FeedOptions{TS: ts, Start: 3 * time.Hour})}
				p.young.run = 1
				p.old.step(5)
				for i := range 8 {
					p.one(p.old, false)
					c := p.young.Cut(5)
					for k := range 2 {
						p.young.pushTo(k, c)
						if k == 0 || i >= late {
							p.young.ok(p.young.List(p.young.ctx, k, c, false))
						}
					}
					p.pass(time.Second)
				}
				p.young.step(4)
				what := fmt.Sprintf("TS %v, %d segments later", ts, late)
				hi, lo := s.seen("hi"), s.seen("lo")
				t.Logf("%s: %q, %q", what, hi, lo)
				for _, got := range []string{hi, lo} {
					if !strings.HasSuffix(got, "1.8 1.9 1.10 1.11") || strings.Count(got, "|") > 2 {
						t.Errorf("%s: viewers see %q", what, got)
					}
				}
			})
		}
	}
}

// A rendition that was away for two runs of the encoder has a filler for each, where the others
// have that run: readers hold them to one number a date.
func TestFillersStandWhereTheOthersAre(t *testing.T) {
	onShow(t, Options{Defaults: Channel{Window: 5 * time.Minute}}, func(s *show) {
		e := s.encoder(bench.FeedOptions{TS: true})
		e.step(3)
		for run := range 2 {
			e.restart(time.Duration(run+1) * 3 * time.Hour)
			s.pass(time.Second)
			for range 5 { // hi alone
				c := e.Cut(5)
				e.pushTo(0, c)
				e.ok(e.List(e.ctx, 0, c, false))
				s.pass(segment2s)
			}
		}
		e.restart(9 * time.Hour)
		s.pass(time.Second)
		e.step(4)
		s.is("hi", s.seen("hi"), "0.0 0.1 0.2 |1.0 1.1 1.2 1.3 1.4 |2.0 2.1 2.2 2.3 2.4 |3.0 3.1 3.2 3.3")
		s.is("lo", s.seen("lo"), "0.0 0.1 0.2 |- |- |3.0 3.1 3.2 3.3")
	})
}
