package origin

import (
	"testing"
	"time"

	"weir/bench"
	"weir/internal/web"
)

// An encoder started again at once pushes its init segment over the one that a listed
// segment of the old run still waits with. Whatever is published then, its EXT-X-MAP can be
// fetched, and letting go of it later takes nothing down.
func TestAnInitReplacedWhileItsSegmentIsAwaitedStays(t *testing.T) {
	f := func(name string, replaced func(r *rig, init, other string)) {
		t.Helper()
		underClock(t, Options{Defaults: Channel{Window: 12 * time.Second, Retention: 12 * time.Second}}, func(r *rig) {
			e := r.clip(bench.EncoderOptions{Rungs: 2})
			if err := e.Step(r.Context()); err != nil {
				t.Fatal(err)
			}
			c := r.o.channel("c")
			take := func(path string) string {
				p, err := web.ReadAll(r.Context(), c.store.complete(path).buf, 1<<20)
				if err != nil {
					t.Fatal(err)
				}
				return string(p)
			}
			init, other, media := take("180p/init.mp4"), take("144p/init.mp4"), take("180p/seg_00000.m4s")
			r.put("late/init.mp4", init)
			r.put("late/index.m3u8", list(0, "map=init.mp4", "x0.m4s"))
			replaced(r, init, other)
			r.put("late/x0.m4s", media)
			m := r.media("late")
			r.is(name, r.get("/live/c/late/"+m.Segments[0].Map.URI).body, init)
			time.Sleep(3 * time.Minute) // all of it goes
		})
	}
	f("by another", func(r *rig, _, other string) { r.put("late/init.mp4", other) })
	f("by the same", func(r *rig, init, _ string) { r.put("late/init.mp4", init) })
	f("twice", func(r *rig, init, other string) { r.put("late/init.mp4", other); r.put("late/init.mp4", init) })
	f("and swept", func(r *rig, _, other string) { r.put("late/init.mp4", other); time.Sleep(2500 * time.Millisecond) })
}

// An encoder that lost more segments than are made up for did not begin anew, and sends its
// init segment no more: the first segment behind the hole waits for one, those after it not.
func TestAnInitThatIsNotSentAgainIsWaitedForOnce(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		e := r.clip(bench.EncoderOptions{Rungs: 1, Continuous: true})
		step := func() {
			if err := e.Step(r.Context()); err != nil {
				t.Error(err)
			}
			time.Sleep(bench.ClipSegment)
		}
		for range 3 {
			step()
		}
		for range 2 * maxMissed {
			e.Skip()
			time.Sleep(bench.ClipSegment)
		}
		for range 4 {
			step()
		}
		before := r.metric("weir_origin_segments_total", "c")
		for range 3 {
			if err := e.Step(r.Context()); err != nil {
				t.Error(err)
			}
			if now := r.metric("weir_origin_segments_total", "c"); now != before+1 {
				t.Errorf("%v segments were published with the upload of one", now-before)
			}
			before++
			time.Sleep(bench.ClipSegment)
		}
	})
}
