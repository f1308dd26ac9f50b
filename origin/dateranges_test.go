package origin

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/internal/web"
	"weir/playlist"
)

// dated is a window of an encoder with a clock of its own: its first segment is at the date
// start, and lines stand in front of its segments.
func dated(start time.Time, n int, lines ...string) string {
	first := max(0, n-5)
	s := list(first)
	for _, l := range lines {
		s += l + "\n"
	}
	s += "#EXT-X-PROGRAM-DATE-TIME:" + start.Add(time.Duration(first)*2*time.Second).UTC().Format("2006-01-02T15:04:05.000Z") + "\n"
	for i := first; i < n; i++ {
		s += fmt.Sprintf("#EXTINF:2.000000,\nx%d.ts\n", i)
	}
	return s
}

func tag(format string, start time.Time, args ...any) string {
	return fmt.Sprintf("#EXT-X-DATERANGE:START-DATE=%q,", start.UTC().Format("2006-01-02T15:04:05.000Z")) + fmt.Sprintf(format, args...)
}

// told are the date ranges of a rendition: ID, when they begin after t0, and how long they are.
func (r *rig) told(name string, t0 time.Time) string {
	r.Helper()
	var out []string
	for _, d := range r.media(name).DateRanges {
		s := fmt.Sprintf("%s@%v", d.ID, d.Start.Sub(t0))
		if d.Duration != nil {
			s += "+" + d.Duration.String()
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

// What an encoder marks in its playlists viewers get, on our dates, whatever its clock says,
// once the end is known with the end, and as long as our window is, not as its own.
func TestDateRangesOfAnEncoderAreToldOn(t *testing.T) {
	f := func(off time.Duration) {
		t.Helper()
		underClock(t, Options{}, func(r *rig) {
			t0 := time.Now().Truncate(time.Millisecond)
			clock := t0.Add(off) // an hour ahead is not believed
			push := func(n int, lines ...string) {
				t.Helper()
				r.put(fmt.Sprintf("x%d.ts", n-1), fmt.Sprint(n-1))
				r.put("index.m3u8", dated(clock, n, lines...))
				time.Sleep(2 * time.Second)
			}
			push(1, tag(`ID="early"`, clock))
			begin := r.media("main").Segments[0].ProgramDateTime
			out := tag(`ID="a",PLANNED-DURATION=10,SCTE35-OUT=0xFC30`, clock.Add(3*time.Second))
			push(2, out)
			r.is("told", r.told("main", begin), "early@0s a@3s")
			versions := r.metric("weir_origin_renderings_total")
			r.put("index.m3u8", dated(clock, 2, out)) // again
			r.is("told", r.told("main", begin), "early@0s a@3s")
			if n := r.metric("weir_origin_renderings_total"); n != versions {
				t.Error("the same again is another playlist")
			}
			r.put("index.m3u8", dated(clock, 2, out, tag(`ID="a",DURATION=9,SCTE35-IN=0xFC31`, clock.Add(3*time.Second))))
			r.is("told", r.told("main", begin), "early@0s a@3s+9s")
			if d := r.media("main").DateRanges[1]; d.SCTE35Out != "0xFC30" || d.SCTE35In != "0xFC31" || *d.Planned != 10*time.Second {
				t.Errorf("%+v", d)
			}
			for n := 3; n < 40; n++ {
				push(n) // it tells of nothing any more
				window := r.media("main").Segments[0].ProgramDateTime.Sub(begin)
				want := ""
				if window <= 0 {
					want = "early@0s "
				}
				if window < 12*time.Second {
					want += "a@3s+9s"
				}
				r.is(fmt.Sprintf("told %d", n), r.told("main", begin), want)
			}
			push(40, out) // from another playlist of the encoder, which is longer
			r.is("told", r.told("main", begin), "")
			if n := r.metric("weir_origin_date_ranges_ignored_total"); n != 0 {
				t.Errorf("%v are counted as ignored", n)
			}
		})
	}
	f(0)
	f(40 * time.Millisecond)
	f(5 * time.Hour)
	f(-3 * time.Second)
}

// An encoder that uses an ID for something else is not believed, and its operator hears of it.
func TestADateRangeIsNeverAltered(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		t0 := time.Now().Truncate(time.Millisecond)
		r.put("x0.ts", "0")
		r.put("index.m3u8", dated(t0, 1, tag(`ID="1",CLASS="ads"`, t0)))
		want := r.get("/live/c/main/index.m3u8").body
		r.put("index.m3u8", dated(t0, 1, tag(`ID="1",CLASS="news"`, t0), tag(`ID="1",CLASS="ads"`, t0.Add(time.Second))))
		r.is("playlist", r.get("/live/c/main/index.m3u8").body, want)
		if n := r.metric("weir_origin_date_ranges_ignored_total", "c", reasonRangeAltered); n != 1 {
			t.Errorf("%v are counted", n)
		}
		r.logged("not told on", "CLASS", "channel=c")
	})
}

// All renditions tell the same, also one that comes later and one whose encoder tells nothing.
func TestAllRenditionsTellTheSameDateRanges(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		t0 := time.Now().Truncate(time.Millisecond)
		r.put("a/x0.ts", "a0")
		r.put("a/index.m3u8", dated(t0, 1))
		r.put("b/x0.ts", "b0")
		r.put("b/index.m3u8", dated(t0, 1))
		var before [2]float64
		before[0] = r.metric("weir_origin_renderings_total")
		r.put("a/index.m3u8", dated(t0, 1, tag(`ID="1",CLASS="p",END-ON-NEXT=YES`, t0)))
		for _, name := range []string{"a", "b"} {
			r.is(name, r.told(name, t0), "1@0s")
		}
		if n := r.metric("weir_origin_renderings_total") - before[0]; n > 2 {
			t.Errorf("%v playlists for one change of two", n)
		}
		r.put("d/x0.ts", "d0")
		r.put("d/index.m3u8", list(0, "x0.ts")) // without dates
		r.is("d", r.told("d", t0), "1@0s")
		if _, _, err := r.o.AddDateRange("c", playlist.DateRange{ID: "2", Class: "p", Start: t0.Add(30 * time.Second), EndOnNext: true}); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"a", "b", "d"} {
			r.is(name, r.told(name, t0), "1@0s 2@30s")
		}
		// The first ends where the next of its class begins.
		for n := 2; n < 60; n++ {
			for _, name := range []string{"a", "b", "d"} {
				r.put(fmt.Sprintf("%s/x%d.ts", name, n-1), "x")
				r.put(name+"/index.m3u8", dated(t0, n))
			}
			for _, name := range []string{"a", "b", "d"} {
				want := "2@30s"
				if r.media(name).Segments[0].ProgramDateTime.Before(t0.Add(30 * time.Second)) {
					want = "1@0s 2@30s"
				}
				r.is(name, r.told(name, t0), want)
			}
			time.Sleep(2 * time.Second)
		}
	})
}

// A range without an end stays while its encoder tells of it, and goes with its beginning when
// the encoder has dropped it: else playlists would grow for ever.
func TestARangeWithoutAnEndGoesWithItsEncoder(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		t0 := time.Now().Truncate(time.Millisecond)
		for n := 1; n < 60; n++ {
			r.put(fmt.Sprintf("x%d.ts", n-1), "x")
			if n < 30 {
				r.put("index.m3u8", dated(t0, n, tag(`ID="1"`, t0)))
			} else {
				r.put("index.m3u8", dated(t0, n))
			}
			if got, want := r.told("main", t0), "1@0s"; n < 32 && got != want || n > 33 && got != "" {
				t.Fatalf("segment %d: %q", n, got)
			}
			time.Sleep(2 * time.Second)
		}
		if n := r.metric("weir_origin_date_ranges", "c"); n != 0 {
			t.Errorf("%v are kept", n)
		}
	})
}

// What an operator cannot have, and why.
func TestWhatIsNoDateRange(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		f := func(want error, status int, reason string, d playlist.DateRange) {
			t.Helper()
			_, _, err := r.o.AddDateRange("c", d)
			if err == nil || want != nil && !errors.Is(err, want) || web.StatusOf(err) != status || web.ReasonOf(err) != reason {
				t.Errorf("%+v: %v", d, err)
			}
		}
		now := time.Now()
		good := playlist.DateRange{ID: "1", Start: now.Add(1234567 * time.Nanosecond)}
		f(ErrNoChannel, 404, reasonNoChannel, good)
		r.put("x0.ts", "0")
		early := good
		early.ID = "early"
		if _, _, err := r.o.AddDateRange("c", early); err != nil { // nothing is published yet
			t.Error(err)
		}
		r.put("index.m3u8", list(0, "x0.ts"))
		r.is("told", r.told("main", now.Truncate(time.Millisecond)), "early@1ms")
		f(nil, 400, reasonRange, playlist.DateRange{ID: "1"})
		f(nil, 400, reasonRange, playlist.DateRange{Start: now})
		f(nil, 400, reasonRange, playlist.DateRange{ID: "1", Start: now, EndOnNext: true})
		f(nil, 400, reasonRange, playlist.DateRange{ID: "early", End: now.Add(-time.Hour)})
		f(ErrRangeOver, 409, reasonRangeOver, playlist.DateRange{ID: "1", Start: now.Add(-time.Hour), Duration: new(time.Minute)})
		big := playlist.DateRange{ID: "big", Start: now, X: []playlist.Attribute{{Name: "X-A", Value: `"` + strings.Repeat("a", 11<<10) + `"`}}}
		for i := range 5 {
			big.ID = fmt.Sprint("big", i)
			if _, _, err := r.o.AddDateRange("c", big); err != nil {
				t.Error(err)
			}
		}
		big.ID = "big5"
		f(ErrRangesFull, 409, reasonRangesFull, big)
		for i := range 40 {
			if _, created, err := r.o.AddDateRange("c", playlist.DateRange{ID: fmt.Sprint(i), Start: now}); err != nil || !created {
				t.Fatal(err)
			}
		}
		f(ErrRangesFull, 409, reasonRangesFull, playlist.DateRange{ID: "1", X: big.X})
		if err := r.o.End("c"); err != nil {
			t.Fatal(err)
		}
		f(ErrEnded, 409, reasonEnded, good)
		if err := r.o.Remove("c"); err != nil {
			t.Fatal(err)
		}
		f(ErrRemoved, 410, reasonRemoved, good)
	})
}

// No ID comes back while anybody could remember it, and what is remembered is bounded.
func TestSpentIDsAreBounded(t *testing.T) {
	var s spentIDs
	for i := range maxSpent + 100 {
		s.add(fmt.Sprint(i))
		s.add(fmt.Sprint(i))
	}
	if len(s.Hashes) != maxSpent || len(s.known) != maxSpent || s.has("99") || !s.has("100") || !s.has(fmt.Sprint(maxSpent+99)) {
		t.Error(len(s.Hashes), len(s.known), s.has("99"), s.has("100"))
	}
}

// A range without an end that one rendition has dropped is over for all: it does not come back
// where it was dropped when somebody finds its end after all.
func TestWhatOneRenditionDroppedDoesNotComeBack(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		t0 := time.Now().Truncate(time.Millisecond)
		push := func(name string, n int, lines ...string) {
			r.put(fmt.Sprintf("%s/x%d.ts", name, n-1), "x")
			r.put(name+"/index.m3u8", dated(t0, n, lines...))
		}
		for n := 1; n < 20; n++ {
			var lines []string
			if n < 8 {
				lines = []string{tag(`ID="1"`, t0)}
			}
			push("a", n, lines...)
			if n < 15 { // b stands still, and is not dead yet
				push("b", n, lines...)
			}
			time.Sleep(2 * time.Second)
		}
		r.is("a", r.told("a", t0), "")
		r.is("b", r.told("b", t0), "1@0s")
		if _, _, err := r.o.AddDateRange("c", playlist.DateRange{ID: "1", Duration: new(time.Hour)}); !errors.Is(err, ErrRangeSpent) {
			t.Error(err)
		}
		push("a", 20, tag(`ID="1",DURATION=3600`, t0))
		r.is("a", r.told("a", t0), "")
		if n := r.metric("weir_origin_date_ranges_ignored_total"); n != 0 {
			t.Errorf("%v are counted as ignored", n)
		}
	})
}
