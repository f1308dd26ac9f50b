package cmaf

import (
	"errors"
	"fmt"
	"math"
)

// SegmentInfo is what the fragments of one media segment say.
type SegmentInfo struct {
	// Tracks has an entry for each track with samples, in order of appearance.
	Tracks []Timing
	// Samples is the number of them in all tracks.
	Samples int
	// Chunks is the number of moof and mdat pairs.
	Chunks int
	// StartsIndependent says that the first video sample is a sync sample, or that
	// there is no video.
	StartsIndependent bool
	// FrameRate is the video's samples over their duration, 0 without video.
	FrameRate float64
}

// InspectSegment reads a whole media segment; init is that of its tracks, or nil if it is
// in the segment. A segment that is cut, or without samples, is an error.
func InspectSegment(p []byte, init *Init) (SegmentInfo, error) {
	var info SegmentInfo
	s := NewScanner(init)
	chunks, err := s.Write(p)
	switch {
	case err != nil:
		return info, fmt.Errorf("segment: %w", err)
	case !s.Boundary():
		return info, fmt.Errorf("segment: %w", errCut)
	}
	for _, c := range chunks {
		for _, t := range c.Tracks {
			info.add(t)
		}
	}
	if info.Chunks = len(chunks); info.Samples == 0 {
		return info, errors.New("segment: no samples")
	}
	info.StartsIndependent = s.Init().independent(info.Tracks)
	for _, t := range info.Tracks {
		if known := s.Init().Track(t.TrackID); known != nil && known.Kind == Video {
			info.FrameRate = CommonFrameRate(frameRate(float64(t.Samples)*float64(known.Timescale), float64(t.Duration)))
			break
		}
	}
	return info, nil
}

func (info *SegmentInfo) add(t Timing) {
	info.Samples += t.Samples
	for i := range info.Tracks {
		if have := &info.Tracks[i]; have.TrackID == t.TrackID {
			have.Duration += t.Duration
			have.Samples += t.Samples
			return
		}
	}
	if len(info.Tracks) < maxTracks {
		info.Tracks = append(info.Tracks, t)
	}
}

// CommonFrameRate is the usual frame rate that f is within one part in a thousand of, or f:
// clocks of 90 kHz and of milliseconds cannot say 30000/1001.
func CommonFrameRate(f float64) float64 {
	best := f
	nearest := f / 1000
	for _, n := range []float64{24, 25, 30, 48, 50, 60, 100, 120} {
		for _, rate := range []float64{n, n * 1000 / 1001} {
			if d := math.Abs(f - rate); d < nearest {
				best, nearest = rate, d
			}
		}
	}
	return best
}
