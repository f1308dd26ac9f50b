package origin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/bench"
	"weir/internal/web"
)

// What an operator may do to which channel.
func TestWhatAnOperatorMayDo(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		is := func(want State) {
			t.Helper()
			s, err := r.o.Stream("c")
			if err != nil || s.State != want {
				t.Errorf("the channel is %v, %v; want %v", s.State, err, want)
			}
			for _, state := range []State{StateLive, StateEnded, StateRemoved} {
				if n := r.metric("weir_origin_channel_state", "c", state.String()); (n == 1) != (state == want) {
					t.Errorf("the metric of state %v is %v", state, n)
				}
			}
		}
		ok := func(f func(string) error) {
			t.Helper()
			if err := f("c"); err != nil {
				t.Error(err)
			}
		}
		fails := func(want error, status int, f func(string) error) {
			t.Helper()
			if err := f("c"); !errors.Is(err, want) || web.StatusOf(err) != status {
				t.Errorf("%v, want %v", err, want)
			}
		}
		for _, f := range []func(string) error{r.o.End, r.o.Resume, r.o.Remove} {
			fails(ErrNoChannel, 404, f)
		}
		r.put("x0.ts", "0")
		r.put("index.m3u8", list(0, "x0.ts"))
		is(StateLive)
		ok(r.o.Resume)
		ok(r.o.End)
		ok(r.o.End)
		is(StateEnded)
		ok(r.o.Resume)
		is(StateLive)
		ok(r.o.End)
		ok(r.o.Remove)
		ok(r.o.Remove)
		is(StateRemoved)
		fails(ErrRemoved, 410, r.o.End)
		fails(ErrRemoved, 410, r.o.Resume)
		r.logged("channel ended", "channel=c")
		r.logged("channel resumed", "channel=c")
		r.logged("channel removed", "channel=c")
		if n := strings.Count(r.log.String(), "channel ended"); n != 2 {
			t.Errorf("the end is logged %d times", n)
		}
		if s, _ := r.o.Stream("c"); !s.GoneAt.After(time.Now()) {
			t.Errorf("the name is free at %v", s.GoneAt)
		}
	})
}

// What is whole when the operator ends the channel is still seen, with gaps where something
// is missing; what never came whole is not.
func TestTheEndShowsAllThatIsWhole(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		r.put("x0.ts", "0")
		r.put("x2.ts", "2")
		r.put("index.m3u8", list(0, "x0.ts", "x1.ts", "x2.ts", "x3.ts"))
		r.is("before", r.shown("main"), "0")
		renderings := r.metric("weir_origin_renderings_total")
		if err := r.o.End("c"); err != nil {
			t.Fatal(err)
		}
		r.is("after", r.shown("main"), "0 - 2")
		if m := r.media("main"); !m.EndList {
			t.Error("no ENDLIST")
		}
		if n := r.metric("weir_origin_renderings_total") - renderings; n != 1 {
			t.Errorf("the end was told in %v versions of the playlist", n)
		}
	})
}

// A viewer who waits for the next segment is told of the end, or that the channel is removed,
// at once.
func TestWhoWaitsIsToldOfTheEnd(t *testing.T) {
	f := func(do func(*Origin) error, status int) {
		t.Helper()
		underClock(t, Options{}, func(r *rig) {
			r.put("x0.ts", "0")
			r.put("index.m3u8", list(0, "x0.ts"))
			next := r.media("main").MediaSequence + 1
			got := make(chan answer)
			go func() { got <- r.get(fmt.Sprintf("/live/c/main/index.m3u8?_HLS_msn=%d", next)) }()
			synctest.Wait()
			asked := time.Now()
			if err := do(r.o); err != nil {
				t.Error(err)
			}
			if a := <-got; a.status != status || time.Since(asked) != 0 {
				t.Errorf("%d %s after %v", a.status, a.body, time.Since(asked))
			}
		})
	}
	f(func(o *Origin) error { return o.End("c") }, 200)
	f(func(o *Origin) error { return o.Remove("c") }, 410)
}

// An upload that was under way when the channel was ended is not published, and its encoder
// is not told that all is well.
func TestAnUploadThatIsOvertakenByTheEnd(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		r.put("x0.ts", "0")
		r.put("index.m3u8", list(0, "x0.ts", "x1.ts"))
		body, encoder := io.Pipe()
		done := make(chan error)
		go func() { _, err := r.send("PUT", "/ingest/c/x1.ts", body); done <- err }()
		if _, err := encoder.Write([]byte("1")); err != nil {
			t.Fatal(err)
		}
		if err := r.o.End("c"); err != nil {
			t.Fatal(err)
		}
		if err := encoder.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; web.StatusOf(err) != 409 || web.ReasonOf(err) != reasonEnded || !strings.Contains(err.Error(), "weir channel resume c") {
			t.Error(err)
		}
		r.is("shown", r.shown("main"), "0")
	})
}

// The operator ended the wrong channel and opens it again. The encoder never stopped, and
// sends its init segment only once: viewers see the stream go on at once, behind a new
// beginning, without what was refused and without waiting for it.
func TestAResumedChannelGoesOnWithTheSameEncoder(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		e := r.clip(bench.EncoderOptions{Continuous: true})
		r.run(e, 8)
		if err := r.o.End("c"); err != nil {
			t.Fatal(err)
		}
		old := r.media("180p")
		for range 4 {
			_ = e.Step(t.Context()) // refused
			time.Sleep(bench.ClipSegment)
		}
		if err := r.o.Resume("c"); err != nil {
			t.Fatal(err)
		}
		if !r.media("180p").EndList {
			t.Error("the end was taken back before there was anything else")
		}
		gaps := r.metric("weir_origin_gaps_total")
		if err := e.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
		if m := r.media("180p"); m.EndList || len(m.Segments) != 1 {
			t.Errorf("the first segment is held: ENDLIST %v, %d segments", m.EndList, len(m.Segments))
		}
		time.Sleep(bench.ClipSegment)
		r.run(e, 3)
		r.together()
		m := r.media("180p")
		if m.EndList || len(m.Segments) != 4 || m.MediaSequence != old.MediaSequence+8 || m.DiscontinuitySequence <= old.DiscontinuitySequence {
			t.Errorf("ENDLIST %v, %d segments from %d, timeline %d", m.EndList, len(m.Segments), m.MediaSequence, m.DiscontinuitySequence)
		}
		if n := r.metric("weir_origin_gaps_total"); n != gaps {
			t.Errorf("%v gaps for what was refused", n-gaps)
		}
		if n := r.metric("weir_origin_last_publish_timestamp_seconds", "c"); n == 0 {
			t.Error("nobody would notice if it stood still")
		}
	})
}

// Another encoder begins after the channel was opened again, with the names and numbers of
// the one before: what that one left behind is not taken for its own.
func TestAResumedChannelTakesAnotherEncoder(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		r.put("x0.ts", "old 0")
		r.put("x1.ts", "old 1")
		r.put("index.m3u8", list(0, "x0.ts"))
		if err := r.o.End("c"); err != nil {
			t.Fatal(err)
		}
		r.refused("/ingest/c/x0.ts", "refused 0", 409)
		if err := r.o.BeforeBody(&web.Request{Method: "PUT", Path: "/ingest/c/x0.ts"}); web.StatusOf(err) != 409 {
			t.Error("refused only behind the body: ", err)
		}
		time.Sleep(10 * time.Second)
		if err := r.o.Resume("c"); err != nil {
			t.Fatal(err)
		}
		r.put("index.m3u8", list(0, "x0.ts"))
		r.put("x0.ts", "new 0")
		r.put("index.m3u8", list(0, "x0.ts", "x1.ts"))
		r.put("x1.ts", "new 1")
		r.is("shown", r.shown("main"), "new 0 new 1")
	})
}

// An encoder that nobody stopped pushes on for days to a channel that was ended. It does not
// come back by itself, whatever became of its media; what it cost goes.
func TestWhatWasEndedStaysEnded(t *testing.T) {
	underClock(t, Options{MaxChannels: 2}, func(r *rig) {
		r.put("x0.ts", "0")
		r.put("index.m3u8", list(0, "x0.ts"))
		if err := r.o.End("c"); err != nil {
			t.Fatal(err)
		}
		media := "/live/c/main/" + r.media("main").Segments[0].URI
		for end := time.Now().Add(59 * time.Minute); time.Now().Before(end); time.Sleep(time.Minute) {
			if a := r.get("/live/c/main/index.m3u8"); a.status != 200 || r.get(media).status != 200 {
				t.Fatalf("%d", a.status)
			}
			r.refused("/ingest/c/x1.ts", "1", 409)
		}
		time.Sleep(2 * time.Minute)
		for _, path := range []string{"/live/c/index.m3u8", "/live/c/main/index.m3u8"} {
			if a := r.get(path); a.status != 410 {
				t.Error(path, a.status)
			}
		}
		if a := r.get(media); a.status != 200 {
			t.Error(a.status)
		}
		time.Sleep(24 * time.Hour)
		r.refused("/ingest/c/x1.ts", "1", 409)
		r.refused("/ingest/c/index.m3u8", list(0, "x1.ts"), 409)
		if r.slab.InUse() != 0 || r.metric("weir_origin_channels") != 0 {
			t.Errorf("%d bytes are held", r.slab.InUse())
		}
		if s := r.o.Streams(); len(s) != 1 || s[0].State != StateEnded || s[0].Channel != "c" {
			t.Errorf("%+v", s)
		}
		if err := r.o.End("c"); err != nil {
			t.Error(err)
		}
		if err := r.o.Resume("c"); err != nil {
			t.Fatal(err)
		}
		r.books = map[string]*book{}
		r.put("x1.ts", "1")
		r.put("index.m3u8", list(1, "x1.ts"))
		r.is("shown", r.shown("main"), "1")

		// Names that stay closed are bounded too, and the oldest goes first.
		for i := range 3 {
			name := fmt.Sprintf("d%d", i)
			if _, err := r.send("PUT", "/ingest/"+name+"/x0.ts", strings.NewReader("0")); err != nil {
				t.Fatal(err)
			}
			if err := r.o.End(name); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Hour)
		}
		if got := fmt.Sprint(len(*r.o.closed.Load()), r.o.openTo(target{channel: "d0"}), r.o.openTo(target{channel: "d2"}) != nil); got != "2 <nil> true" {
			t.Error(got)
		}
	})
}

// An encoder that comes back while its channel goes away keeps it: numbers go on.
func TestAChannelComesBackWhileItGoes(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		r.put("x0.ts", "0")
		r.put("index.m3u8", list(0, "x0.ts"))
		r.media("main")
		time.Sleep(idleFor + 10*time.Second)
		if a := r.get("/live/c/main/index.m3u8"); a.status != 410 || !strings.Contains(a.body, "channel_gone") {
			t.Fatal(a.status, a.body)
		}
		r.put("x1.ts", "1")
		r.put("index.m3u8", list(0, "x0.ts", "x1.ts"))
		r.is("shown", r.shown("main"), "1") // and the rules hold across
		time.Sleep(3 * time.Second)
		if a := r.get("/live/c/index.m3u8"); a.status != 200 {
			t.Error(a.status, a.body)
		}
		since := r.o.Streams()[0].Since
		for i := 2; i < 100; i++ {
			r.put(fmt.Sprintf("x%d.ts", i), fmt.Sprint(i))
			r.put("index.m3u8", window("x", i+1))
			r.media("main")
			time.Sleep(2 * time.Second)
		}
		time.Sleep(20 * time.Minute) // silent, and nobody has given it up
		r.media("main")
		if now := r.o.Streams()[0].Since; now != since {
			t.Error("it began anew in between")
		}
	})
}

// Nobody is woken because a channel that was ended stands still.
func TestAnEndedChannelDoesNotStandStill(t *testing.T) {
	f := func(o Options, end func(r *rig)) {
		t.Helper()
		underClock(t, o, func(r *rig) {
			r.put("x0.ts", "0")
			r.put("index.m3u8", list(0, "x0.ts"))
			if r.metric("weir_origin_last_publish_timestamp_seconds", "c") == 0 {
				t.Error("it does not say when it published last")
			}
			end(r)
			time.Sleep(5 * time.Minute)
			if r.metric("weir_origin_last_publish_timestamp_seconds", "c") != 0 {
				t.Error("it says when it published last, and an alert looks at that")
			}
			if strings.Contains(r.log.String(), "stands still") {
				t.Error(r.log.String())
			}
		})
	}
	f(Options{}, func(r *rig) { _ = r.o.End("c") })
	f(Options{}, func(r *rig) { _ = r.o.Remove("c") })
	f(Options{Defaults: Channel{EndWithEncoder: true, Retention: time.Hour}}, func(r *rig) {
		r.put("index.m3u8", list(0, "x0.ts", "END"))
	})
}

// Whoever reads a channel's state sees it whole while operators, encoders and viewers race.
func TestOperatorsEncodersAndViewersAtOnce(t *testing.T) {
	r := newRig(t, Options{})
	ctx, stop := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer stop()
	loop := func(f func(i int)) func() {
		return func() {
			for i := 0; ctx.Err() == nil; i++ {
				f(i)
			}
		}
	}
	var group = make(chan struct{}, 8)
	run := func(f func(i int)) {
		go func() { loop(f)(); group <- struct{}{} }()
	}
	run(func(i int) {
		_, _ = r.send("PUT", fmt.Sprintf("/ingest/c/x%d.ts", i), strings.NewReader("x"))
		_, _ = r.send("PUT", "/ingest/c/index.m3u8", strings.NewReader(window("x", i+1)))
	})
	run(func(int) { _ = r.o.End("c") })
	run(func(int) { _ = r.o.Resume("c") })
	run(func(i int) {
		if i%50 == 0 {
			_ = r.o.Remove("c")
		}
		r.o.tick(time.Now().Add(time.Duration(i) * time.Second))
	})
	run(func(int) { r.o.Streams(); r.get("/live/c/index.m3u8"); r.get("/live/c/main/index.m3u8") })
	for range 5 {
		<-group
	}
	r.close()
}
