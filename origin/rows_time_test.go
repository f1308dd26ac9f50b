package origin

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"weir/bench"
	"weir/playlist"
)

// A player that sees nothing new for 1.5 target durations takes the server for broken.
func TestPL10ASteadyEncoderMakesASteadyList(t *testing.T) {
	for _, late := range []bool{false, true} {
		onShow(t, Options{}, func(s *show) {
			e := s.encoder(bench.FeedOptions{})
			for range 24 {
				c := e.Cut(5)
				if late { // FFmpeg's playlists overtake their media
					e.tell(c)
					s.pass(500 * time.Millisecond)
					e.push(c)
					s.pass(segment2s - 500*time.Millisecond)
					continue
				}
				e.push(c)
				e.tell(c)
				s.pass(segment2s)
			}
			for _, x := range s.readers {
				for i, v := range x.versions[1:] {
					if wait := v.at.Sub(x.versions[i].at); wait > 3*time.Second || len(v.Segments) == len(x.versions[i].Segments) && v.MediaSequence == x.versions[i].MediaSequence {
						t.Errorf("%s: version %d came after %v", x.name, i+1, wait)
					}
				}
				if len(x.versions) != 24 {
					t.Errorf("%s: %d versions", x.name, len(x.versions))
				}
			}
		})
	}
}

// A player fetches a segment the moment it is listed: it is there, whole, as fast as the line
// goes. Every reader of these rows does so under a clock that stands still meanwhile; this one
// does so over a socket.
func TestPL11AListedSegmentIsThereAtOnce(t *testing.T) {
	r := newRig(t, Options{})
	defer r.close()
	s := &show{rig: r, labels: map[[32]byte]string{}}
	base := s.listen()
	f, err := bench.NewFeed(bench.FeedOptions{Ingest: r.o.Ingest(), Channel: "c", TS: true, Pad: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for range 6 {
		if err := f.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
		text := r.get("/live/c/hi/index.m3u8").body
		m, err := playlist.ParseMedia([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		for _, seg := range m.Segments {
			if seen[seg.URI] {
				continue
			}
			seen[seg.URI] = true
			began := time.Now()
			resp, err := http.Get(base + "/live/c/hi/" + seg.URI)
			if err != nil {
				t.Fatal(err)
			}
			n, err := io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != 200 || n != resp.ContentLength || n < 4_000_000 {
				t.Errorf("%s: %s, %d bytes of %d, %v", seg.URI, resp.Status, n, resp.ContentLength, err)
			}
			if took := time.Since(began); took > seg.Duration/10 {
				t.Errorf("%s lasts %v and took %v", seg.URI, seg.Duration, took)
			}
		}
	}
	if len(seen) != 6 {
		t.Errorf("%d segments were seen", len(seen))
	}
}

// availability is what HLSbis 6.2.2 promises for each segment: "the duration of the segment
// plus the duration of the longest-duration Playlist file distributed by the server containing
// that segment", from when it was listed first.
func availability(x *reader) (uris []string, until map[string]time.Time) {
	until = map[string]time.Time{}
	longest, first, dur := map[string]time.Duration{}, map[string]time.Time{}, map[string]time.Duration{}
	for _, v := range x.versions {
		var total time.Duration
		for _, seg := range v.Segments {
			total += seg.Duration
		}
		for _, seg := range v.Segments {
			if seg.Gap {
				continue
			}
			if first[seg.URI].IsZero() {
				uris = append(uris, seg.URI)
				first[seg.URI], dur[seg.URI] = v.at, seg.Duration
			}
			longest[seg.URI] = max(longest[seg.URI], total)
			until[seg.URI] = first[seg.URI].Add(dur[seg.URI] + longest[seg.URI])
		}
	}
	return uris, until
}

// A player that paused comes back to segments that have left the list: they stay for as long
// as was promised.
func TestPL12MediaStayAsLongAsPromised(t *testing.T) { stay(t, true) }

// And when nobody can need them any more they are gone, never before: a full memory would harm
// those who can.
func TestPL13MediaGoWhenTheyMay(t *testing.T) { stay(t, false) }

func stay(t *testing.T, promised bool) {
	for _, o := range []Channel{{}, {Window: 12 * time.Second, Retention: time.Second}, {Window: 40 * time.Second, Retention: 5 * time.Second}} {
		inBoth(t, Options{Defaults: o}, func(s *show, e *encoder) {
			for i := range 70 {
				if i == 20 {
					e.restart(time.Hour)
				}
				e.step(1)
				if i%4 > 0 {
					continue
				}
				for _, x := range s.readers {
					uris, until := availability(x)
					for _, uri := range uris {
						a := s.get("/live/c/" + x.name + "/" + uri)
						switch {
						case promised && time.Now().Before(until[uri]) && a.status != 200:
							t.Errorf("%s is %d, %v before its end", uri, a.status, time.Until(until[uri]))
						case !promised && a.status != 200 && a.status != 404 && a.status != 410:
							t.Errorf("%s is %d", uri, a.status)
						}
						// What is configured beyond the promise counts from when it leaves.
						slack := o.Window + o.Retention + 70*time.Second
						if !promised && time.Since(until[uri]) > slack && a.status == 200 {
							t.Errorf("%s is still there %v after its end", uri, time.Since(until[uri]))
						}
					}
				}
			}
			if s.readers[0].versions[0].Segments[0].URI == "" || s.get("/live/c/hi/"+s.readers[0].versions[0].Segments[0].URI).status != 404 && !promised {
				t.Error("the first segment never went")
			}
		})
	}
}

// A player shows the date and seeks by it: in one timeline dates are the sum of durations.
func TestPL20DatesAddUp(t *testing.T) {
	for _, undated := range []bool{false, true} {
		onShow(t, Options{}, func(s *show) {
			e := s.encoder(bench.FeedOptions{Undated: undated})
			for i := range 24 {
				c := e.Cut([]int{5, 4, 6, 3, 5}[i%5])
				e.push(c)
				e.tell(c)
				s.pass(c.Duration())
			}
			began := time.Now().Add(-24 * 46 * time.Second / 25)
			s.each(func(x *reader, v version) {
				for i, seg := range v.Segments {
					if seg.ProgramDateTime.IsZero() {
						t.Errorf("segment %d has no date", i)
					}
					if i == 0 {
						continue
					}
					was := v.Segments[i-1]
					if off := seg.ProgramDateTime.Sub(was.ProgramDateTime) - was.Duration; off.Abs() > 40*time.Millisecond {
						t.Errorf("segment %d is %v off", i, off)
					}
				}
				if at := v.Segments[0].ProgramDateTime; at.Before(began.Add(-time.Minute)) || at.After(time.Now()) {
					t.Errorf("dated %v, now %v", at, time.Now())
				}
			})
		})
	}
}

// Behind a discontinuity media times say nothing: the date does.
func TestPL21EachDiscontinuityHasItsDate(t *testing.T) {
	inBoth(t, Options{}, func(s *show, e *encoder) {
		for range 3 {
			e.step(5)
			e.restart(5 * time.Hour)
			s.pass(3 * time.Second)
		}
		e.step(5)
		n := 0
		s.each(func(x *reader, v version) {
			blocks := strings.Split(v.answer.body, "#EXT-X-DISCONTINUITY\n")
			for _, b := range blocks[1:] {
				n++
				if tags, _, ok := strings.Cut(b, "#EXTINF"); !ok || !strings.Contains(tags, "#EXT-X-PROGRAM-DATE-TIME:") {
					t.Errorf("a discontinuity without a date:\n%s", v.answer.body)
				}
			}
		})
		if n == 0 {
			t.Error("there was no discontinuity")
		}
		// And the dates are true: each run began when it began.
		x := s.readers[0].versions[len(s.readers[0].versions)-1]
		last := x.Segments[len(x.Segments)-1]
		if off := time.Since(last.ProgramDateTime.Add(last.Duration)); off.Abs() > 2100*time.Millisecond {
			t.Errorf("the last segment ends %v ago by its date", off)
		}
	})
}

// An encoder that pauses, with a source that does not, leaves a hole: its length is told by
// gaps, or the media after it stand on a new timeline behind a discontinuity; nothing old is
// listed again in its place.
func TestPL23APauseIsToldAndNothingIsRepeated(t *testing.T) {
	inBoth(t, Options{}, func(s *show, e *encoder) {
		e.step(6)
		e.Jump(3 * segment2s)
		stood := s.readers[0].versions[len(s.readers[0].versions)-1].answer.body
		s.pass(3 * segment2s)
		s.is("in silence", s.get("/live/c/hi/index.m3u8").body, stood)
		e.step(6)
		for _, x := range s.readers {
			v := x.versions[len(x.versions)-1]
			var lost time.Duration
			broken := 0
			uris := map[string]bool{}
			for _, seg := range v.Segments {
				if seg.Gap {
					lost += seg.Duration
				}
				if seg.Discontinuity {
					broken++
				}
				if uris[seg.URI] {
					t.Errorf("%s is listed twice", seg.URI)
				}
				uris[seg.URI] = true
			}
			if lost != 3*segment2s && !(lost == 0 && broken == 1) {
				t.Errorf("%s: %v of gaps and %d discontinuities tell of 6 s:\n%s", x.name, lost, broken, v.answer.body)
			}
			last := v.Segments[len(v.Segments)-1]
			if off := time.Since(last.ProgramDateTime.Add(last.Duration)); off.Abs() > 2100*time.Millisecond {
				t.Errorf("%s: the last segment ends %v ago by its date", x.name, off)
			}
		}
	})
}
