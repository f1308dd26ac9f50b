package cmaf

import "errors"

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
	// FrameRate is that of the video track by its sample durations, 0 without video.
	FrameRate float64
}

// InspectSegment reads a whole media segment; init is that of its tracks.
func InspectSegment(p []byte, init *Init) (SegmentInfo, error) {
	return SegmentInfo{}, errors.New("cmaf: under construction")
}
