package origin

import (
	"testing"
	"time"

	"weir/internal/cmaf"
)

// A transport stream's clock begins again every 26.5 hours: that is no jump.
func TestMediaTimesGoAcrossAWrap(t *testing.T) {
	f := func(a, b time.Duration, ts bool, want time.Duration) {
		t.Helper()
		if got := apart(a, b, ts); got != want {
			t.Errorf("%v - %v: %v, want %v", a, b, got, want)
		}
	}
	f(3*time.Second, time.Second, true, 2*time.Second)
	f(time.Second, wrap-time.Second, true, 2*time.Second)
	f(wrap-time.Second, time.Second, true, -2*time.Second)
	f(5*wrap+time.Second, 0, true, time.Second)
	f(0, 30*time.Hour, false, -30*time.Hour)
}

// Renditions that come to a new timeline one after the other are on the same one, with the
// same number and dates; what is not near in time is another.
func TestRenditionsShareTimelines(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(current uint64, media, date time.Duration, timed bool) timeline {
		return timeline{number: current, at: media, timed: timed, date: start.Add(date)}
	}
	ts := timelines{first: 100}
	f := func(l timeline, fresh bool, number uint64, date time.Duration) {
		t.Helper()
		n, d := ts.next(spot{timeline: l, fresh: fresh, ts: true}, 4*time.Second)
		if n != number || !d.Equal(start.Add(date)) {
			t.Errorf("%d, %v; want %d, %v", n, d.Sub(start), number, date)
		}
	}
	f(at(0, 10*time.Second, 0, true), true, 100, 0)
	f(at(0, 10*time.Second, 300*time.Millisecond, true), true, 100, 0)                 // a sibling, a moment later
	f(at(0, 14*time.Second, 4500*time.Millisecond, true), true, 100, 4*time.Second)    // another, which lost two segments
	f(at(100, time.Second, 20*time.Second, true), false, 101, 20*time.Second)          // a restart
	f(at(100, time.Second, 21*time.Second, true), false, 101, 20*time.Second)          // seen by the second
	f(at(101, 90*time.Second, 30*time.Second, true), false, 102, 30*time.Second)       // its own, by itself
	f(at(100, time.Second, time.Minute, true), false, 103, time.Minute)                // the third comes too late for 101
	f(at(102, 0, time.Minute+time.Second, false), false, 103, time.Minute+time.Second) // nothing but its date says so
	f(at(102, 0, 2*time.Minute, false), false, 104, 2*time.Minute)
}

// Parameter sets that are repeated, or not seen in one segment, make no discontinuity (SRS
// 4695); another codec, size or sound does.
func TestWhatADecoderCanGoOnWith(t *testing.T) {
	video := cmaf.Track{ID: 256, Kind: cmaf.Video, Codec: "avc1.42c01e", Width: 320, Height: 180, Config: []byte("sps")}
	audio := cmaf.Track{ID: 257, Kind: cmaf.Audio, Codec: "mp4a.40.2", SampleRate: 48000, Channels: 2}
	f := func(loose, strict bool, b ...cmaf.Track) {
		t.Helper()
		a := []cmaf.Track{video, audio}
		if sameTracks(a, b, false) != loose || sameTracks(a, b, true) != strict {
			t.Errorf("%+v: %v, %v", b, sameTracks(a, b, false), sameTracks(a, b, true))
		}
	}
	with := func(x cmaf.Track, change func(*cmaf.Track)) cmaf.Track { change(&x); return x }
	f(true, true, video, audio)
	f(true, false, with(video, func(x *cmaf.Track) { x.Config = []byte("other") }), audio)
	f(true, true, with(video, func(x *cmaf.Track) { x.Config = nil }), audio)
	f(false, false, with(video, func(x *cmaf.Track) { x.Width = 640 }), audio)
	f(false, false, with(video, func(x *cmaf.Track) { x.Codec = "avc1.64001f" }), audio)
	f(false, false, video, with(audio, func(x *cmaf.Track) { x.SampleRate = 44100 }))
	f(true, false, video)
	f(true, false, video, audio, with(audio, func(x *cmaf.Track) { x.ID = 258 }))
	f(true, false, with(video, func(x *cmaf.Track) { x.ID = 300 }), audio)
	f(true, true)
}

// A rendition that only follows the others to their timeline opens none: two of them whose
// encoders have clocks of their own would break each other at every segment. One that lags is
// where its dates are, and a new timeline begins where the last of the old one ended.
func TestWhoFollowsOpensNoTimeline(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	after := func(d time.Duration) time.Time { return start.Add(d) }
	ts := timelines{first: 100}
	f := func(what string, s spot, media, date time.Duration, number uint64, want time.Duration) {
		t.Helper()
		s.timed, s.at, s.timeline.date, s.ts = true, media, after(date), true
		if n, d := ts.next(s, 4*time.Second); n != number || !d.Equal(after(want)) {
			t.Errorf("%s: %d, %v; want %d, %v", what, n, d.Sub(start), number, want)
		}
	}
	on := func(number uint64) spot { return spot{timeline: timeline{number: number}} }
	const s = time.Second
	f("the first", spot{fresh: true}, 0, 0, 100, 0)
	ahead := on(100)
	ahead.edge = after(22 * s)
	f("a sibling is ahead", ahead, 3000*s, 20*s, 101, 22*s)
	follows := on(100)
	follows.over = 101
	f("it goes on by its own clock", follows, 22*s, 22*s, 101, 22*s)
	beside := on(100)
	beside.joined = after(26 * s)
	f("a third clock, at a date that has a number", beside, 7000*s, 23*s, 101, 23*s)
	f("another restart", on(101), 9000*s, 40*s, 102, 40*s)
	f("who lags is on the one before", on(100), 3001*s, 23*s, 101, 23*s)
	f("and then on the latest", on(101), 9001*s, 41*s, 102, 41*s)
	if d, ok := ts.begins(101); !ok || !d.Equal(after(22*s)) {
		t.Errorf("101 began at %v, %v", d, ok)
	}
	if _, ok := ts.begins(99); ok {
		t.Error("99 never was")
	}
}
