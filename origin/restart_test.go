package origin

import (
	"fmt"
	"testing"
	"time"

	"weir/bench"
	"weir/internal/web"
	"weir/playlist"
)

// clip returns an encoder that pushes three renditions of fragmented MP4 to channel c.
func (r *rig) clip(o bench.EncoderOptions) *bench.Encoder {
	r.Helper()
	o.Ingest, o.Channel = r.o.Ingest(), "c"
	e, err := bench.NewEncoder(o)
	if err != nil {
		r.Fatal(err)
	}
	return e
}

// run pushes n segments in real time, and holds all playlists to the rules after each.
func (r *rig) run(e *bench.Encoder, n int) {
	r.Helper()
	for range n {
		if err := e.Step(r.Context()); err != nil {
			r.Error(err)
		}
		for _, name := range []string{"180p", "144p", "90p"} {
			r.media(name)
		}
		time.Sleep(bench.ClipSegment)
	}
}

// together demands that all renditions tell the same story, so that a player can switch
// between them: numbers of discontinuities and dates are equal for equal media.
func (r *rig) together() {
	r.Helper()
	var first *playlist.Media
	for _, name := range []string{"180p", "144p", "90p"} {
		m := r.media(name)
		if first == nil {
			first = m
			continue
		}
		if m.DiscontinuitySequence != first.DiscontinuitySequence || len(m.Segments) != len(first.Segments) {
			r.Errorf("%s: %d, %d segments; others %d, %d", name, m.DiscontinuitySequence, len(m.Segments), first.DiscontinuitySequence, len(first.Segments))
			continue
		}
		for i := range m.Segments {
			a, b := &m.Segments[i], &first.Segments[i]
			if a.Discontinuity != b.Discontinuity || !a.ProgramDateTime.Equal(b.ProgramDateTime) {
				r.Errorf("%s segment %d: %v %v; others %v %v", name, i, a.Discontinuity, a.ProgramDateTime, b.Discontinuity, b.ProgramDateTime)
			}
		}
	}
}

func discontinuities(m *playlist.Media) (n int) {
	for _, s := range m.Segments {
		if s.Discontinuity {
			n++
		}
	}
	return n
}

// Media whose times go on need no discontinuity; where they do not there is one, in all
// renditions alike.
func TestDiscontinuitiesAreWhereTimesBreak(t *testing.T) {
	f := func(continuous, playlistFirst bool, want int) {
		t.Helper()
		underClock(t, Options{}, func(r *rig) {
			e := r.clip(bench.EncoderOptions{Continuous: continuous, PlaylistFirst: playlistFirst})
			r.run(e, 10) // the clip is four segments long
			r.together()
			if n := discontinuities(r.media("180p")); n != want {
				t.Errorf("continuous %v, playlist first %v: %d discontinuities, want %d", continuous, playlistFirst, n, want)
			}
			if n := r.metric("weir_origin_gaps_total"); n != 0 {
				t.Errorf("%v gaps", n)
			}
		})
	}
	f(true, false, 0)
	f(true, true, 0)
	f(false, false, 2)
	f(false, true, 2)
}

// The encoder is killed and started again, and sends the very same bytes under the same
// names: a looped file does. All renditions go on behind one discontinuity.
func TestARestartWithTheSameBytesGoesOn(t *testing.T) {
	f := func(playlistFirst bool) {
		underClock(t, Options{}, func(r *rig) {
			e := r.clip(bench.EncoderOptions{Continuous: true, PlaylistFirst: playlistFirst})
			r.run(e, 5)
			time.Sleep(3 * time.Second)
			e.Restart()
			r.run(e, 7)
			r.together()
			m := r.media("90p")
			if len(m.Segments) != 12 || discontinuities(m) != 1 || !m.Segments[5].Discontinuity {
				t.Errorf("%d segments, %d discontinuities", len(m.Segments), discontinuities(m))
			}
			if d := m.Segments[5].ProgramDateTime.Sub(m.Segments[4].ProgramDateTime); d != 5*time.Second {
				t.Errorf("the restart lasted %v by its dates", d)
			}
		})
	}
	f(false)
	f(true)
}

// A rendition that was away while the encoder restarted means the same as the others by its
// discontinuity numbers when it is back.
func TestARenditionThatMissedARestartKeepsStep(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		push := func(run, i int, names ...string) {
			for _, name := range names {
				r.put(fmt.Sprintf("%s/x%d.ts", name, i), fmt.Sprintf("%s %d.%d", name, run, i))
				r.put(name+"/index.m3u8", window("x", i+1))
			}
			time.Sleep(2 * time.Second)
		}
		for i := range 3 {
			push(0, i, "a", "b")
		}
		push(1, 0, "a") // b is not there in this run
		push(2, 0, "a", "b")
		push(2, 1, "a", "b")
		r.is("a", r.shown("a"), "a 0.0 a 0.1 a 0.2 |a 1.0 |a 2.0 a 2.1")
		r.is("b", r.shown("b"), "b 0.0 b 0.1 b 0.2 |- |b 2.0 b 2.1")
	})
}

// A new run with other decoder settings has an EXT-X-MAP of its own, which stays as long as
// it is needed and no longer.
func TestANewInitHasANewName(t *testing.T) {
	underClock(t, Options{Defaults: Channel{Window: 12 * time.Second, Retention: 12 * time.Second}}, func(r *rig) {
		e := r.clip(bench.EncoderOptions{Rungs: 3, Continuous: true})
		if err := e.Step(r.Context()); err != nil {
			t.Fatal(err)
		}
		v, _ := r.o.channel("c").store.complete("144p/init.mp4").buf.View(0)
		init := string(v)
		maps := map[string]bool{}
		var first string
		for i := range 60 {
			time.Sleep(2 * time.Second)
			if i == 3 { // 180p goes on with what 144p was encoded with
				r.put("180p/init.mp4", init)
			}
			if err := e.Step(r.Context()); err != nil {
				t.Fatal(err)
			}
			for _, s := range r.media("180p").Segments {
				maps[s.Map.URI] = true
				if first == "" {
					first = s.Map.URI
				}
			}
		}
		if len(maps) != 2 {
			t.Errorf("EXT-X-MAP had %d values", len(maps))
		}
		// The two others could have gone on, and change over with it: discontinuity
		// numbers match between renditions (HLSbis 6.2.4).
		if n := r.metric("weir_origin_discontinuities_total", "c"); n != 3 {
			t.Errorf("%v discontinuities", n)
		}
		r.together()
		if a := r.get("/live/c/180p/" + first); a.status != 404 {
			t.Error("an init segment that nothing names is still there:", a.status)
		}
	})
}

// An init segment that comes after the first segments is waited for.
func TestMediaWaitForTheirInit(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		e := r.clip(bench.EncoderOptions{Rungs: 1})
		if err := e.Step(r.Context()); err != nil {
			t.Fatal(err)
		}
		c := r.o.channel("c").store
		take := func(path string) string {
			p, err := web.ReadAll(r.Context(), c.complete(path).buf, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			return string(p)
		}
		init, media := take("180p/init.mp4"), take("180p/seg_00000.m4s")
		r.put("late/x0.m4s", media)
		r.put("late/index.m3u8", list(0, "map=init.mp4", "x0.m4s"))
		if a := r.get("/live/c/late/index.m3u8"); a.status != 404 {
			t.Error("published without its init:", a.status)
		}
		time.Sleep(time.Second)
		r.put("late/init.mp4", init)
		m := r.media("late")
		a := r.get("/live/c/late/" + m.Segments[0].Map.URI)
		r.is("init type", a.header.Get("Content-Type"), "video/mp4")
		r.is("init", a.body, init)
		a = r.get("/live/c/late/" + m.Segments[0].URI)
		r.is("media type", a.header.Get("Content-Type"), "video/iso.segment")
		if m.Version != 6 || !m.IndependentSegments {
			t.Errorf("version %d, independent %v", m.Version, m.IndependentSegments)
		}
	})
}
