package bench

import (
	"testing"

	"weir/internal/cmaf"
)

// A channel made of the looped clip goes on in time, segment after segment.
func TestContinuousClipContinues(t *testing.T) {
	for _, r := range clipRungs {
		p, err := clipInit(r)
		if err != nil {
			t.Fatal(err)
		}
		init, err := cmaf.ParseInit(p)
		if err != nil {
			t.Fatal(err)
		}
		end := map[uint32]uint64{}
		for n := range 10 {
			p, err := clipMedia(r, n, true)
			if err != nil {
				t.Fatal(err)
			}
			info, err := cmaf.InspectSegment(p, init)
			if err != nil {
				t.Fatal(err)
			}
			for _, tr := range info.Tracks {
				// AAC frames do not divide eight seconds: a loop's sound is one frame longer.
				if want, ok := end[tr.TrackID]; ok && (want < tr.BaseTime || want-tr.BaseTime > 1024) {
					t.Errorf("%s segment %d track %d begins at %d, the one before ended at %d", r.name, n, tr.TrackID, tr.BaseTime, want)
				}
				end[tr.TrackID] = tr.BaseTime + tr.Duration
			}
		}
	}
}
