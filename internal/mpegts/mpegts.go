// Package mpegts says what a segment of an MPEG transport stream holds: its tracks with codec strings, its times, and whether a decoder can start with it.
//
// It promises that bytes from anywhere never panic, and that a call reads no more than the
// first and the last mebibyte.
package mpegts

import (
	"errors"
	"time"

	"weir/internal/cmaf"
)

// Info is what a transport stream segment says.
type Info struct {
	// Tracks are in the order of the program map.
	Tracks []cmaf.Track
	// FirstPTS and LastPTS are the lowest and highest presentation times of the video,
	// or of the audio where there is none. A clock that wraps (every 26.5 hours) within
	// the segment leaves LastPTS above FirstPTS.
	FirstPTS, LastPTS time.Duration
	// StartsIndependent says that the first picture is a key frame, or that there is no
	// video.
	StartsIndependent bool
}

// Inspect reads a segment.
func Inspect(p []byte) (*Info, error) { return nil, errors.New("mpegts: under construction") }
