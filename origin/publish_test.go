package origin

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/internal/web"
	"weir/playlist"
)

// What FFmpeg pushes is what viewers get, under our names, within the window.
func TestAChannelPlays(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		for i := range 40 {
			r.put(fmt.Sprintf("x%d.ts", i), fmt.Sprintf("seg%d", i))
			r.put("index.m3u8", window("x", i+1))
			m := r.media("main")
			if m.TargetDuration != 2 || m.EndList || m.Type != "" || !m.EmitDiscontinuitySequence && m.DiscontinuitySequence == 0 {
				t.Fatalf("%+v", m)
			}
			if want := min(i+1, 15); len(m.Segments) != want {
				t.Errorf("after %d segments %d are listed, want %d", i+1, len(m.Segments), want)
			}
			time.Sleep(2 * time.Second)
		}
		m := r.media("main")
		for i, s := range m.Segments {
			r.is("content", r.get("/live/c/main/"+s.URI).body, fmt.Sprintf("seg%d", i+25))
		}
		if n := r.metric("weir_origin_segments_total", "c"); n != 40 {
			t.Errorf("%v segments were counted", n)
		}
		if n := r.metric("weir_origin_gaps_total") + r.metric("weir_origin_discontinuities_total"); n != 0 {
			t.Errorf("%v gaps and discontinuities were counted", n)
		}
		if n := r.metric("weir_origin_publish_delay_seconds"); n != 40 {
			t.Errorf("%v delays were measured", n)
		}
	})
}

// A player may ask for a segment for as long as HLSbis 6.2.2 promises after it left the
// playlist; then its memory goes.
func TestMediaStayForTheRetention(t *testing.T) {
	underClock(t, Options{Defaults: Channel{Window: 12 * time.Second, Retention: 20 * time.Second}}, func(r *rig) {
		push := func(i int) {
			r.put(fmt.Sprintf("x%d.ts", i), strings.Repeat("x", 100_000))
			r.put("index.m3u8", window("x", i+1))
			time.Sleep(2 * time.Second)
		}
		push(0)
		first := "/live/c/main/" + r.media("main").Segments[0].URI
		a := r.get(first)
		r.is("lifetime", a.header.Get("Cache-Control"), "max-age=30, immutable")
		i := 1
		for ; i < 6; i++ {
			push(i) // x0 leaves with x6
		}
		for ; i < 15; i++ {
			push(i)
			if a := r.get(first); a.status != 200 {
				t.Fatalf("%d after %d segments", a.status, i+1)
			}
		}
		// A viewer who still reads it does not keep it for others.
		resp, err := r.o.Viewers().Serve(r.Context(), &web.Request{Method: "GET", Path: first})
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Close()
		time.Sleep(3 * time.Second)
		if a := r.get(first); a.status != 404 || a.header.Get("Cache-Control") != "max-age=2" {
			t.Errorf("%d, %q", a.status, a.header.Get("Cache-Control"))
		}
		held := r.slab.InUse()
		for ; i < 100; i++ {
			push(i)
		}
		if now := r.slab.InUse(); now > held*3 {
			t.Errorf("memory grew from %d to %d", held, now)
		}
	})
}

// A segment that is listed and never comes is a gap of its own duration, and the stream
// goes on; the log and a counter say so.
func TestALostSegmentIsToldAndSkipped(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		r.put("x0.ts", "0")
		r.put("index.m3u8", list(0, "x0.ts"))
		time.Sleep(2 * time.Second)
		r.put("index.m3u8", list(0, "x0.ts", "x1.ts:1.5"))
		r.is("held", r.shown("main"), "0")
		time.Sleep(2 * time.Second)
		r.put("x2.ts", "2")
		r.put("index.m3u8", list(0, "x0.ts", "x1.ts:1.5", "x2.ts"))
		r.is("still held", r.shown("main"), "0")
		time.Sleep(time.Second + tickEvery)
		r.is("after the hold", r.shown("main"), "0 - 2")
		if m := r.media("main"); m.Segments[1].Duration != 1500*time.Millisecond {
			t.Errorf("the gap lasts %v", m.Segments[1].Duration)
		}
		r.logged("gap", "channel=c", "rendition=main", "file=x1.ts", "why=lost")
		if n := r.metric("weir_origin_gaps_total", "c", "lost"); n != 1 {
			t.Errorf("%v gaps were counted", n)
		}
	})
}

// The target duration never changes: a segment that is longer becomes a gap, in pieces that
// keep the rule themselves, and the operator is told which knob to turn.
func TestASegmentLongerThanTheTargetIsAGap(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		r.put("x0.ts", "0")
		r.put("index.m3u8", list(0, "x0.ts"))
		r.put("x1.ts", "1")
		r.put("index.m3u8", strings.Replace(list(0, "x0.ts", "x1.ts:5.2"), "DURATION:2", "DURATION:6", 1))
		r.put("x2.ts", "2")
		r.put("index.m3u8", strings.Replace(list(0, "x0.ts", "x1.ts:5.2", "x2.ts"), "DURATION:2", "DURATION:6", 1))
		r.is("shown", r.shown("main"), "0 - - - 2")
		var lost time.Duration
		for _, s := range r.media("main").Segments[1:4] {
			lost += s.Duration
		}
		if lost != 5200*time.Millisecond {
			t.Errorf("the gaps last %v", lost)
		}
		r.logged("channel=c", "target_duration", "file=x1.ts", "level=WARN")
		if n := r.metric("weir_origin_segments_too_long_total", "c"); n != 1 {
			t.Errorf("%v too long segments were counted", n)
		}
	})
}

// A hole of minutes is no heap of gaps: the next segment follows behind a discontinuity, as
// much later as the hole was long, and nobody is told of gaps that are not there.
func TestAHoleOfMinutesIsADiscontinuity(t *testing.T) {
	underClock(t, Options{Defaults: Channel{TargetDuration: time.Second}}, func(r *rig) {
		r.put("x0.ts", "0")
		r.put("x2.ts", "2")
		r.put("index.m3u8", list(0, "x0.ts:1", "x1.ts:200", "x2.ts:1"))
		time.Sleep(2 * time.Second)
		r.is("shown", r.shown("main"), "0 |2")
		s := r.media("main").Segments
		if off := s[1].ProgramDateTime.Sub(s[0].ProgramDateTime); off != 201*time.Second {
			t.Errorf("the second is %v later", off)
		}
		if n := r.metric("weir_origin_gaps_total", "c"); n != 0 {
			t.Errorf("%v gaps were counted", n)
		}
		r.logged("file=x1.ts", "duration=3m20s", "discontinuity")
	})
}

// A configured target duration is what is published, and the hold is its 1.5 times.
func TestTheTargetDurationCanBeConfigured(t *testing.T) {
	o := Options{Defaults: Channel{TargetDuration: 3 * time.Second}, Channels: map[string]Channel{"c": {TargetDuration: 4 * time.Second}}}
	underClock(t, o, func(r *rig) {
		r.put("x0.ts", "0")
		r.put("index.m3u8", list(0, "x0.ts", "x1.ts", "x2.ts:4.4"))
		r.put("x2.ts", "2")
		time.Sleep(6*time.Second - 1)
		r.is("before", r.shown("main"), "0")
		time.Sleep(1 + tickEvery)
		r.is("after", r.shown("main"), "0 - 2")
		if m := r.media("main"); m.TargetDuration != 4 {
			t.Errorf("target duration %d", m.TargetDuration)
		}
	})
}

// A channel of its own learns where all others are told, and goes on where they end: what an
// operator says of it is not overruled by the defaults.
func TestAChannelOfItsOwnIsAsItSays(t *testing.T) {
	o := Options{
		Defaults: Channel{TargetDuration: 6 * time.Second, HoldFor: 20 * time.Second, EndWithEncoder: true},
		Channels: map[string]Channel{"c": {Window: 30 * time.Second}},
	}
	underClock(t, o, func(r *rig) {
		r.put("x0.ts", "0")
		r.put("x2.ts", "2")
		r.put("index.m3u8", list(0, "x0.ts", "x1.ts", "x2.ts", "END"))
		time.Sleep(3*time.Second + tickEvery)
		r.is("held for 1.5 times what was learned", r.shown("main"), "0 - 2")
		if m := r.media("main"); m.TargetDuration != 2 || m.EndList {
			t.Errorf("target duration %d, ended %v", m.TargetDuration, m.EndList)
		}
	})
}

// An encoder that restarts under its old names goes on where it was, behind a discontinuity;
// numbers and dates go on too, also when the discontinuities slide out.
func TestAnEncoderThatRestartsGoesOn(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		dates := map[string]time.Time{}
		for run := range 4 {
			for i := range 9 {
				r.put(fmt.Sprintf("x%d.ts", i), fmt.Sprintf("%d.%d", run, i))
				r.put("index.m3u8", window("x", i+1))
				m := r.media("main")
				last := m.Segments[len(m.Segments)-1]
				body := r.get("/live/c/main/" + last.URI).body
				r.is("newest", body, fmt.Sprintf("%d.%d", run, i))
				dates[body] = last.ProgramDateTime
				if off := time.Since(last.ProgramDateTime.Add(last.Duration)).Abs(); off > 10*time.Millisecond {
					t.Errorf("%s is dated %v off", body, off)
				}
				time.Sleep(2 * time.Second)
			}
			time.Sleep(7 * time.Second) // the encoder is away
		}
		r.is("shown", r.shown("main"), "2.3 2.4 2.5 2.6 2.7 2.8 |3.0 3.1 3.2 3.3 3.4 3.5 3.6 3.7 3.8")
		if d := dates["1.0"].Sub(dates["0.8"]); d != 9*time.Second {
			t.Errorf("the restart lasted %v by its dates", d)
		}
		m := r.media("main")
		if n := m.DiscontinuitySequence - secondsSince2025(time.Unix(946684800, 0)); n != 2 { // the bubble's clock begins in 2000
			t.Errorf("discontinuity sequence rose by %d", n)
		}
		if n := r.metric("weir_origin_discontinuities_total", "c"); n != 3 {
			t.Errorf("%v discontinuities were counted", n)
		}
	})
}

// An encoder that was stopped says it is the end. The channel knows better, unless its
// operator says otherwise.
func TestTheEndOfTheEncoderIsNotTheEndOfTheChannel(t *testing.T) {
	run := func(end bool) {
		underClock(t, Options{Defaults: Channel{EndWithEncoder: end}}, func(r *rig) {
			r.put("x0.ts", "0")
			r.put("index.m3u8", list(0, "x0.ts"))
			r.put("index.m3u8", list(0, "x0.ts", "x1.ts", "END"))
			if r.media("main").EndList {
				t.Error("ended before its last segment")
			}
			r.put("x1.ts", "1")
			if m := r.media("main"); m.EndList != end {
				t.Errorf("end_with_encoder %v: ENDLIST %v", end, m.EndList)
			}
			r.put("index.m3u8", list(0, "x0.ts")) // late
			if m := r.media("main"); m.EndList != end {
				t.Errorf("end_with_encoder %v: ENDLIST %v after a late playlist", end, m.EndList)
			}
			time.Sleep(5 * time.Second)
			r.put("x0.ts", "new 0")
			r.put("index.m3u8", list(0, "x0.ts"))
			want := "0 1 |new 0"
			if end {
				want = "new 0" // another stream: what ended does not come back
			}
			r.is("shown", r.shown("main"), want)
		})
	}
	run(false)
	run(true)
}

// An ended channel is gone after its retention, with its memory: first its playlist, then,
// when who has that playlist has had the time to play it, its media.
func TestAnEndedChannelGoesAway(t *testing.T) {
	underClock(t, Options{Defaults: Channel{EndWithEncoder: true}}, func(r *rig) {
		r.put("x0.ts", "0")
		r.put("index.m3u8", list(0, "x0.ts", "END"))
		time.Sleep(50 * time.Second)
		last := "/live/c/main/" + r.media("main").Segments[0].URI
		time.Sleep(15 * time.Second)
		if a := r.get("/live/c/main/index.m3u8"); a.status != 410 {
			t.Error(a.status)
		}
		time.Sleep(100 * time.Second)
		if a := r.get(last); a.status != 200 {
			t.Error(a.status)
		}
		time.Sleep(20 * time.Second)
		for _, path := range []string{"/live/c/index.m3u8", "/live/c/main/index.m3u8", last} {
			if a := r.get(path); a.status != 404 {
				t.Error(path, a.status)
			}
		}
		if n := r.metric("weir_origin_channels"); n != 0 || r.slab.InUse() != 0 {
			t.Errorf("%v channels, %d bytes", n, r.slab.InUse())
		}
		for _, name := range []string{"weir_origin_segments_total", "weir_origin_channel_state"} {
			if n := r.metric(name, "c"); n != 0 {
				t.Error("the channel's metrics are still there:", name)
			}
		}
	})
}

// A rendition whose encoder went is dropped while the others go on: viewers are not sent
// there, those who are there are told, and its return is a fresh start.
func TestADeadRenditionIsDropped(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		push := func(name string, i int) {
			r.put(fmt.Sprintf("%s/x%d.ts", name, i), fmt.Sprintf("%s%d", name, i))
			r.put(name+"/index.m3u8", window("x", i+1))
		}
		variants := func() string {
			m, err := playlist.ParseMultivariant([]byte(r.get("/live/c/index.m3u8").body))
			if err != nil {
				t.Fatal(err)
			}
			var out []string
			for _, v := range m.Variants {
				out = append(out, v.URI)
			}
			return strings.Join(out, " ")
		}
		for i := range 40 {
			push("hi", i)
			if i < 10 {
				push("lo", i)
			}
			time.Sleep(2 * time.Second)
			if i == 9 || i == 20 {
				r.is("variants", variants(), "hi/index.m3u8 lo/index.m3u8")
			}
		}
		r.is("variants", variants(), "hi/index.m3u8")
		if a := r.get("/live/c/lo/index.m3u8"); a.status != 410 {
			t.Error("the dead rendition's playlist is", a.status)
		}
		r.logged("dead", "channel=c", "rendition=lo")
		push("lo", 10)
		r.is("shown", r.shown("lo"), "lo10")
		r.is("variants", variants(), "hi/index.m3u8 lo/index.m3u8")
		// All silent is an encoder that may come back: nobody is dropped.
		time.Sleep(10 * time.Minute)
		push("hi", 40)
		time.Sleep(3 * time.Second)
		push("lo", 11)
		r.is("variants", variants(), "hi/index.m3u8 lo/index.m3u8")
		if m := r.media("lo"); len(m.Segments) != 2 {
			t.Errorf("%d segments", len(m.Segments))
		}
	})
}

// An encoder that dies cannot say so. The log does, once, before viewers ring, and says when
// it is back.
func TestAChannelThatStandsStillIsTold(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		push := func(i int) {
			r.put(fmt.Sprintf("x%d.ts", i), fmt.Sprint(i))
			r.put("index.m3u8", window("x", i+1))
		}
		for i := range 20 {
			push(i)
			time.Sleep(2 * time.Second)
		}
		if strings.Contains(r.log.String(), "stands still") {
			t.Error(r.log.String())
		}
		time.Sleep(5 * time.Minute)
		r.logged("level=WARN", "stands still", "channel=c")
		if strings.Contains(r.log.String(), "channel goes on") {
			t.Error(r.log.String())
		}
		push(20)
		r.logged("level=INFO", "channel goes on", "channel=c")
		time.Sleep(2 * time.Second)
		push(21)
		if n := strings.Count(r.log.String(), "stands still"); n != 1 {
			t.Errorf("told %d times", n)
		}
	})
}

// Two playlists may never end up under one name; nested paths and odd characters have names
// that are safe in a URL.
func TestRenditionNames(t *testing.T) {
	f := func(path, want string) {
		t.Helper()
		if got := renditionName(path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	f("index.m3u8", "main")
	f("main/index.m3u8", "main")
	f("x.m3u8", "x")
	f("720p/index.m3u8", "720p")
	f("720p/prog.m3u8", "720p~prog")
	f("a/b/index.m3u8", "a~b")
	f("a~b.m3u8", "a_b~"+marked("", "a~b.m3u8")[1:])
	f("hé.m3u8", "h_~"+marked("", "hé.m3u8")[1:])
	f(".x.m3u8", "x~"+marked("", ".x.m3u8")[1:])
	if long := renditionName(strings.Repeat("x", 300) + ".m3u8"); len(long) != maxName {
		t.Errorf("%d bytes: %s", len(long), long)
	}
	underClock(t, Options{}, func(r *rig) {
		r.put("x0.ts", "0")
		r.put("y0.ts", "1")
		r.put("v.m3u8", list(0, "x0.ts"))
		r.put("v/index.m3u8", list(0, "../y0.ts"))
		r.is("first", r.shown("v"), "0")
		r.is("second", r.shown(marked("v", "v/index.m3u8")), "1")
	})
}

// Dates come from the encoder where it gives them, and are never bent by one whose clock is
// wrong: dates never go back, so that a date far ahead would stay.
func TestDatesAreTheEncodersWithinReason(t *testing.T) {
	underClock(t, Options{}, func(r *rig) {
		push := func(i int, date time.Time) time.Time {
			r.put(fmt.Sprintf("x%d.ts", i), fmt.Sprint(time.Now()))
			tag := "#EXT-X-PROGRAM-DATE-TIME:" + date.Format("2006-01-02T15:04:05.000Z0700") + "\n#EXTINF"
			r.put("index.m3u8", strings.Replace(list(i, fmt.Sprintf("x%d.ts", i)), "#EXTINF", tag, 1))
			m := r.media("main")
			last := m.Segments[len(m.Segments)-1].ProgramDateTime
			// A sibling tells the same.
			r.put(fmt.Sprintf("v/x%d.ts", i), fmt.Sprint(time.Now()))
			r.put("v/index.m3u8", strings.Replace(list(i, fmt.Sprintf("x%d.ts", i)), "#EXTINF", tag, 1))
			v := r.media("v")
			if d := v.Segments[len(v.Segments)-1].ProgramDateTime; !d.Equal(last) {
				t.Errorf("one rendition is dated %v, the other %v", last, d)
			}
			return last
		}
		f := func(i int, off, want time.Duration) {
			t.Helper()
			if got := time.Until(push(i, time.Now().Add(off))); got != want {
				t.Errorf("pushed with %v from now, dated %v from now, want %v", off, got, want)
			}
			time.Sleep(10 * time.Second)
		}
		f(0, -5*time.Second, -5*time.Second)  // it took so long to come here
		f(1, 500*time.Hour, -13*time.Second)  // within a timeline dates are the sum of durations
		f(0, 500*time.Hour, -2*time.Second)   // a restart, with a clock gone wrong
		f(0, -500*time.Hour, -10*time.Second) // never back
		f(0, -5*time.Second, -5*time.Second)  //
	})
}

// When memory is short, what is kept longer than players were promised goes first, and the
// stream goes on.
func TestShortMemoryShortensTheRetention(t *testing.T) {
	underClock(t, Options{Memory: 20 << 20, Defaults: Channel{Window: 12 * time.Second, Retention: time.Hour}}, func(r *rig) {
		media := strings.Repeat("x", 1<<20)
		for i := range 60 {
			r.put(fmt.Sprintf("x%d.ts", i), fmt.Sprint(i)+media)
			r.put("index.m3u8", window("x", i+1))
			time.Sleep(2 * time.Second)
		}
		if m := r.media("main"); len(m.Segments) != 6 {
			t.Errorf("%d segments", len(m.Segments))
		}
		if n := r.slab.InUse(); n > 20<<20 {
			t.Errorf("%d bytes are held", n)
		}
	})
}

// Segments that waited for one that never came are published all at once; each is listed,
// also where they are more than the window holds.
func TestWhatComesAtOnceIsListedOnce(t *testing.T) {
	underClock(t, Options{Defaults: Channel{Window: 6 * time.Second, HoldFor: 20 * time.Second}}, func(r *rig) {
		r.put("x0.ts", "0")
		r.put("index.m3u8", list(0, "x0.ts"))
		r.is("before", r.shown("main"), "0")
		words := []string{"x0.ts", "x1.ts"}
		for i := 2; i < 11; i++ {
			r.put(fmt.Sprintf("x%d.ts", i), fmt.Sprint(i))
			words = append(words, fmt.Sprintf("x%d.ts", i))
			r.put("index.m3u8", list(0, words...))
			time.Sleep(2 * time.Second)
		}
		r.is("held", r.shown("main"), "0")
		time.Sleep(3 * time.Second)
		r.is("at once", r.shown("main"), "- 2 3 4 5 6 7 8 9 10")
		r.put("x11.ts", "11")
		r.put("index.m3u8", list(0, append(words, "x11.ts")...))
		r.is("and then", r.shown("main"), "6 7 8 9 10 11")
	})
}
