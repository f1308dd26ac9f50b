package origin

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/bench"
	"weir/internal/web"
	"weir/playlist"
)

// PL-14: ENDLIST appears when the operator ends the channel; the playlist then never changes.
// A viewer plays to the end, and is not woken again by an encoder that goes on.
func TestPL14TheEndOfAChannelIsTheLastChange(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		e := r.clip(bench.EncoderOptions{})
		r.run(e, 9) // the clip begins anew twice: there are discontinuities
		if err := r.o.End("c"); err != nil {
			t.Fatal(err)
		}
		paths := []string{"/live/c/index.m3u8"}
		for _, name := range []string{"180p", "144p", "90p"} {
			if m := r.media(name); !m.EndList || len(m.Segments) != 9 {
				t.Errorf("%s: ENDLIST %v, %d segments", name, m.EndList, len(m.Segments))
			}
			paths = append(paths, "/live/c/"+name+"/index.m3u8")
		}
		r.together()
		said := map[string]string{}
		for _, p := range paths {
			said[p] = r.get(p).body
		}
		for range 3 * 2 * 4 { // three target durations of 2 s
			if err := e.Step(t.Context()); web.StatusOf(err) != 409 {
				t.Fatal("the encoder is told", err)
			}
			time.Sleep(250 * time.Millisecond)
			for _, p := range paths {
				if a := r.get(p); a.body != said[p] {
					t.Fatalf("%s changed after its end:\n%s", p, a.body)
				}
			}
		}
		if n := r.metric("weir_origin_refusals_total", reasonEnded); n == 0 {
			t.Error("uploads that were refused are not counted")
		}
	})
}

// PL-14, the other half: with end_with_encoder the encoder's own ENDLIST ends the playlist,
// and what repeats of it does not change it.
func TestPL14TheEndOfTheEncoderIsTheLastChange(t *testing.T) {
	underClock(t, Options{Defaults: Channel{EndWithEncoder: true}}, func(r *rig) {
		r.put("x0.ts", "0")
		r.put("x1.ts", "1")
		r.put("index.m3u8", list(0, "x0.ts", "x1.ts", "END"))
		want := r.get("/live/c/main/index.m3u8").body
		if !r.media("main").EndList {
			t.Fatal("no ENDLIST")
		}
		for range 3 * 2 {
			r.put("x1.ts", "1")
			r.put("index.m3u8", list(0, "x0.ts", "x1.ts", "END"))
			time.Sleep(time.Second)
			r.is("playlist", r.get("/live/c/main/index.m3u8").body, want)
		}
	})
}

// PL-28: what is unknown is 404; the playlists of what ended and was removed are 410 at once,
// while each segment that they listed serves for its Availability Duration at least, so that
// a viewer who has the playlist plays it to its end, also where memory is short.
func TestPL28ARemovedChannelServesWhatItListed(t *testing.T) {
	f := func(end, short bool, least time.Duration) {
		t.Helper()
		underClock(t, Options{Defaults: Channel{Retention: time.Second}}, func(r *rig) {
			for _, path := range []string{"/live/none/index.m3u8", "/live/none/main/index.m3u8", "/live/c/none/index.m3u8"} {
				if a := r.get(path); a.status != 404 {
					t.Error(path, a.status)
				}
			}
			e := r.clip(bench.EncoderOptions{Continuous: true})
			r.run(e, 40) // 30 s of it are listed
			if end {
				if err := r.o.End("c"); err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Minute) // P13: "Live" is over, so that the clock begins when it is removed
			}
			var media []string
			var listed time.Duration
			for _, s := range r.media("180p").Segments {
				listed += s.Duration
				media = append(media, "/live/c/180p/"+s.URI, "/live/c/180p/"+s.Map.URI)
			}
			if err := r.o.Remove("c"); err != nil {
				t.Fatal(err)
			}
			removed := time.Now()
			for time.Since(removed) < listed+2*time.Second-tickEvery {
				if short {
					r.o.channel("c").tick(time.Now(), true)
				}
				for _, path := range []string{"/live/c/index.m3u8", "/live/c/180p/index.m3u8", "/live/c/90p/index.m3u8"} {
					if a := r.get(path); a.status != 410 {
						t.Fatalf("%s is %d %v after the channel was removed", path, a.status, time.Since(removed))
					}
				}
				for _, path := range media {
					if a := r.get(path); a.status != 200 {
						t.Fatalf("%s is %d %v after the channel was removed", path, a.status, time.Since(removed))
					}
				}
				if err := e.Step(t.Context()); web.StatusOf(err) != 410 {
					t.Fatal("the encoder is told", err)
				}
				time.Sleep(time.Second)
			}
			time.Sleep(least + 4*time.Second) // it counts the longest playlist, and keeps time by the second
			for _, path := range media {
				if a := r.get(path); a.status != 404 {
					t.Errorf("%s is %d for ever", path, a.status)
				}
			}
			if _, err := r.o.Stream("c"); !errors.Is(err, ErrNoChannel) || r.slab.InUse() != 0 {
				t.Errorf("%v, and %d bytes are held", err, r.slab.InUse())
			}
			e.Restart()
			r.books = map[string]*book{}
			r.run(e, 2) // the name is free
		})
	}
	f(false, false, 0)
	f(true, false, endedLife)
	f(false, true, 0)
	f(true, true, endedLife)
}

// PL-29: a date range stays as long as any of its dates maps to a listed segment; what was
// told of its ID never changes; and a playlist that has one has dates. A player that has
// planned an ad break by it finds it at each reload.
func TestPL29ADateRangeIsToldAsLongAsItIsSeen(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		e := r.clip(bench.EncoderOptions{Continuous: true})
		r.run(e, 10)
		now := time.Now().Truncate(time.Millisecond)
		soon := playlist.DateRange{ID: "break-1", Class: "ads", Start: now.Add(20 * time.Second), Planned: new(10 * time.Second)}
		if _, created, err := r.o.AddDateRange("c", soon); err != nil || !created {
			t.Fatal(created, err)
		}
		told := map[string]string{} // by name and value
		for i := range 50 {
			if i == 15 { // it has begun, and its end is told
				if all, created, err := r.o.AddDateRange("c", playlist.DateRange{ID: "break-1", Duration: new(9 * time.Second)}); err != nil || created || all.Class != "ads" {
					t.Fatal(all, created, err)
				}
			}
			if i == 16 {
				for _, d := range []playlist.DateRange{{Duration: new(8 * time.Second)}, {Class: "other"}, {Start: now}} {
					d.ID = "break-1"
					if _, _, err := r.o.AddDateRange("c", d); !errors.Is(err, ErrRangeAltered) || web.StatusOf(err) != 409 {
						t.Errorf("%+v: %v", d, err)
					}
				}
			}
			r.run(e, 1)
			var first string
			for _, name := range []string{"180p", "144p", "90p"} {
				text := r.get("/live/c/" + name + "/index.m3u8").body
				m := r.media(name)
				if m.Segments[0].ProgramDateTime.IsZero() {
					t.Fatal("a date range without dates:\n", text)
				}
				listed := len(m.DateRanges) == 1
				if want := m.Segments[0].ProgramDateTime.Before(soon.Start.Add(9 * time.Second)); listed != want {
					t.Fatalf("segment %d: told %v, want %v:\n%s", i, listed, want, text)
				}
				if !listed {
					continue
				}
				d := m.DateRanges[0]
				for name, value := range map[string]any{"CLASS": d.Class, "START": d.Start, "PLANNED": *d.Planned, "DURATION": d.Duration} {
					if p, ok := value.(*time.Duration); ok {
						if value = nil; p != nil {
							value = *p
						}
					}
					is, was := fmt.Sprint(value), told[name]
					if was != "" && was != "<nil>" && is != was {
						t.Fatalf("%s was %s and is %s", name, was, is)
					}
					told[name] = is
				}
				line := text[strings.Index(text, "#EXT-X-DATERANGE"):]
				line, _, _ = strings.Cut(line, "\n")
				if first == "" {
					first = line
				}
				r.is("told by "+name, line, first)
			}
		}
		if told["DURATION"] != "9s" {
			t.Error(told)
		}
		if _, _, err := r.o.AddDateRange("c", playlist.DateRange{ID: "break-1", Start: time.Now()}); !errors.Is(err, ErrRangeSpent) {
			t.Error("the ID can be used again: ", err)
		}
		if l, err := r.o.DateRanges("c"); err != nil || len(l) != 0 {
			t.Error(l, err)
		}
	})
}
