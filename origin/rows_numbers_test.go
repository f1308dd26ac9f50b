package origin

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"weir/bench"
)

// A player that is told of another target duration reloads at the wrong times, and some stop:
// an encoder's long group of pictures must not change it. What is too long comes in
// pieces, cut at its key frames, and the operator is told.
func TestPL04TargetDurationIsConstant(t *testing.T) {
	inBoth(t, Options{}, func(s *show, e *encoder) {
		e.step(6)
		c := e.Cut(7) // 2.8 s: the encoder's own playlist says 3 from here on
		e.push(c)
		e.tell(c)
		s.pass(7 * bench.Unit)
		e.step(14)
		s.each(func(x *reader, v version) {
			tags := regexp.MustCompile(`(?m)^#EXT-X-TARGETDURATION:(.*)$`).FindAllStringSubmatch(v.answer.body, -1)
			if len(tags) != 1 || tags[0][1] != "2" {
				t.Errorf("%v", tags)
			}
		})
		s.is("seen", s.seen("hi"), "0.6+ 0.6+ 0.7 0.8 0.9 0.10 0.11 0.12 0.13 0.14 0.15 0.16 0.17 0.18 0.19 0.20")
		s.counted(nil, 0)
		if n := s.metric("weir_origin_segments_too_long_total", "c"); n != 2 {
			t.Errorf("%v segments too long", n)
		}
		s.logged("level=WARN", "target_duration", "channel=c", "duration=2.8s")
	})
}

// A player plans its buffer and its reloads by the target duration: no segment is longer.
func TestPL05NoSegmentIsLongerThanTheTarget(t *testing.T) {
	inBoth(t, Options{}, func(s *show, e *encoder) {
		for i := range 24 {
			c := e.Cut([]int{5, 6, 4, 3, 7, 5, 13, 1}[i%8]) // 0.4 s to 5.2 s
			e.push(c)
			e.tell(c)
			s.pass(c.Duration())
		}
		n := 0
		s.each(func(x *reader, v version) {
			for _, tag := range regexp.MustCompile(`(?m)^#EXTINF:([0-9.]+),`).FindAllStringSubmatch(v.answer.body, -1) {
				n++
				if d, err := strconv.ParseFloat(tag[1], 64); err != nil || d >= 2.5 {
					t.Errorf("EXTINF %s: %v", tag[1], err)
				}
			}
		})
		if n < 200 {
			t.Errorf("only %d durations were seen", n)
		}
	})
}

// A player finds its place by the media sequence number: it precedes the segments, and rises
// by one for each segment that leaves.
func TestPL06MediaSequenceCountsWhatLeft(t *testing.T) {
	inBoth(t, Options{}, func(s *show, e *encoder) {
		e.step(30)
		for _, x := range s.readers {
			if len(x.versions) < 20 {
				t.Errorf("%s: %d versions", x.name, len(x.versions))
			}
			for i, v := range x.versions {
				at := strings.Index(v.answer.body, "#EXT-X-MEDIA-SEQUENCE:")
				if at < 0 || strings.LastIndex(v.answer.body, "#EXT-X-MEDIA-SEQUENCE:") != at || at > strings.Index(v.answer.body, "#EXTINF") {
					t.Error(v.answer.body)
				}
				if i == 0 {
					continue
				}
				was, left := x.versions[i-1], 0
				for _, seg := range was.Segments {
					if !strings.Contains(v.answer.body, seg.URI) {
						left++
					}
				}
				if rise := int(v.MediaSequence - was.MediaSequence); rise != left || left > 1 {
					t.Errorf("%s: %d segments left and the number rose by %d", x.name, left, rise)
				}
			}
		}
	})
}

// A player that comes back to a number must find what was there: through restarts of the
// encoder under the same names, losses, and segments that are too long.
func TestPL07ANumberMeansTheSameForEver(t *testing.T) {
	inBoth(t, Options{}, func(s *show, e *encoder) {
		e.step(8)
		e.tell(e.Cut(5)) // its media never come
		s.pass(segment2s)
		e.step(3)
		e.restart(10 * time.Hour)
		s.pass(3 * time.Second)
		e.step(8)
		c := e.Cut(7)
		e.push(c)
		e.tell(c)
		s.pass(3 * time.Second)
		e.step(8)
		type is struct{ uri, duration string }
		for _, x := range s.readers {
			meant := map[uint64]is{}
			for _, v := range x.versions {
				if strings.Contains(v.answer.body, "BYTERANGE") {
					t.Error("a byte range")
				}
				for i, seg := range v.Segments {
					n, now := v.MediaSequence+uint64(i), is{seg.URI, seg.Duration.String()}
					if was, ok := meant[n]; ok && was != now {
						t.Errorf("%s: %d was %v and is %v", x.name, n, was, now)
					}
					meant[n] = now
				}
			}
			if len(meant) < 29 {
				t.Errorf("%s: %d numbers were seen", x.name, len(meant))
			}
		}
		s.counted(map[string]float64{"lost": 2}, 2)
	})
}

// A player that starts three target durations from the end must have that much; segments
// much shorter than the target do not make the window shorter.
func TestPL08TheListIsNeverShort(t *testing.T) {
	for _, units := range []int{5, 4, 1} {
		onShow(t, Options{Defaults: Channel{Window: time.Second, TargetDuration: segment2s}}, func(s *show) {
			e := s.encoder(bench.FeedOptions{TS: true})
			slid := false
			for range 40 {
				c := e.Cut(units)
				e.push(c)
				e.tell(c)
				s.pass(c.Duration())
			}
			for _, x := range s.readers {
				for _, v := range x.versions[1:] {
					var total time.Duration
					for _, seg := range v.Segments {
						total += seg.Duration
					}
					if v.MediaSequence == x.versions[0].MediaSequence {
						continue
					}
					if slid = true; total < 3*segment2s {
						t.Errorf("%v are listed", total)
					}
				}
			}
			if !slid {
				t.Error("the list never slid")
			}
		})
	}
}

// Apple's players want six segments.
func TestPL09SixSegmentsAreListed(t *testing.T) {
	onShow(t, Options{Defaults: Channel{Window: time.Second}}, func(s *show) {
		e := s.encoder(bench.FeedOptions{TS: true})
		e.step(30)
		for _, x := range s.readers {
			for i, v := range x.versions {
				if want := min(i+1, 6); len(v.Segments) != want {
					t.Errorf("version %d lists %d", i, len(v.Segments))
				}
			}
		}
	})
}

// The discontinuity number of a segment stays when the tags before it slide out: a player
// that switches renditions finds its place by it.
func TestPL16DiscontinuityNumbersStay(t *testing.T) {
	inBoth(t, Options{}, func(s *show, e *encoder) {
		for run := range 4 {
			e.step(6)
			e.restart(time.Duration(run) * time.Hour)
			s.pass(time.Second)
		}
		e.step(20)
		for _, x := range s.readers {
			numbers := map[string]uint64{}
			slid := uint64(0)
			for _, v := range x.versions {
				if !strings.Contains(v.answer.body, "#EXT-X-DISCONTINUITY-SEQUENCE:") {
					t.Error("there is no EXT-X-DISCONTINUITY-SEQUENCE")
				}
				n := v.DiscontinuitySequence
				slid = max(slid, n-x.versions[0].DiscontinuitySequence)
				for _, seg := range v.Segments {
					if seg.Discontinuity {
						n++
					}
					if was, ok := numbers[seg.URI]; ok && was != n {
						t.Errorf("%s was on %d and is on %d", seg.URI, was, n)
					}
					numbers[seg.URI] = n
				}
			}
			if slid != 4 {
				t.Errorf("%s: %d discontinuities slid out", x.name, slid)
			}
		}
		s.counted(nil, 8)
	})
}
