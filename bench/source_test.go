package bench

import (
	"testing"
	"time"

	"weir/internal/cmaf"
	"weir/internal/mpegts"
)

// What the sources make begins when it is told to, and lasts as long as it says: the rows and
// tables that use them rest on it.
func TestSourcesBeginWhenTheyAreToldTo(t *testing.T) {
	for _, name := range []string{"hi", "lo", "big", "hevc", "mute", "sound"} {
		s, err := NewSource(name)
		if err != nil {
			t.Fatal(err)
		}
		init, err := cmaf.ParseInit(s.Init())
		if err != nil {
			t.Fatal(name, err)
		}
		for _, at := range []time.Duration{0, 2 * time.Second, 25 * time.Hour} {
			info, err := mpegts.Inspect(s.TS(at, 5))
			if err != nil {
				t.Fatal(name, err)
			}
			if off := (info.FirstPTS - at).Abs(); off > 40*time.Millisecond || len(info.Tracks) != len(init.Tracks) {
				t.Errorf("%s as TS at %v begins %v off, with %d tracks", name, at, off, len(info.Tracks))
			}
			seg, err := cmaf.InspectSegment(s.MP4(at, 5), init)
			if err != nil {
				t.Fatal(name, err)
			}
			for i, tr := range seg.Tracks {
				scale := time.Duration(init.Tracks[i].Timescale)
				begin, dur := time.Duration(tr.BaseTime)*time.Second/scale, time.Duration(tr.Duration)*time.Second/scale
				if (begin-at).Abs() > 40*time.Millisecond || (dur-2*time.Second).Abs() > 120*time.Millisecond {
					t.Errorf("%s as MP4 at %v: track %d begins at %v and lasts %v", name, at, tr.TrackID, begin, dur)
				}
			}
		}
	}
	if _, err := NewSource("none"); err == nil {
		t.Error("a source that is not there was found")
	}
}
