// Package mpegts says what a segment of an MPEG transport stream holds: its tracks with codec strings, its times, and whether a decoder can start with it.
//
// It promises that bytes from anywhere never panic, and that a call reads no more than the
// first and the last mebibyte.
package mpegts

import (
	"errors"
	"fmt"
	"time"

	"weir/internal/cmaf"
)

// Bounds of what is read of a segment.
const (
	maxRead   = (1 << 20) / packetSize * packetSize // bytes at each end
	maxUnit   = 256 << 10                           // bytes of an access unit that are looked at
	maxTracks = 32
)

// Info is what a transport stream segment says.
type Info struct {
	// Tracks are the video and audio tracks in the order of the program map; of several
	// programs, those of the first. A codec string is bare (avc1) where no packet of the
	// track was found.
	Tracks []cmaf.Track
	// FirstPTS and LastPTS are the lowest and highest presentation times of the first
	// video track, or of the first audio track where there is no video. A clock that
	// wraps (every 26.5 hours) within the segment leaves LastPTS above FirstPTS. The
	// last frame ends one frame after LastPTS.
	FirstPTS, LastPTS time.Duration
	// StartsIndependent says that the first picture is a key frame with its parameter
	// sets, or that there is no video.
	StartsIndependent bool
}

// Inspect reads a segment. What is no transport stream, has no program map or no media in
// its first mebibyte is an error.
func Inspect(p []byte) (info *Info, err error) {
	defer func() {
		if r := recover(); r != nil {
			info, err = nil, fmt.Errorf("transport stream: the parser panicked: %v", r)
		}
	}()
	switch {
	case len(p) < packetSize:
		return nil, fmt.Errorf("transport stream: %d bytes are less than a packet", len(p))
	case p[0] != syncByte || len(p) > packetSize && p[packetSize] != syncByte:
		return nil, errors.New("transport stream: no packets of 188 bytes")
	}
	head := p[:min(len(p), maxRead)]
	tracks, err := programMap(head)
	if err != nil {
		return nil, fmt.Errorf("transport stream: %w", err)
	}
	collect(head, tracks)
	lead := leader(tracks)
	if lead == nil {
		return nil, errors.New("transport stream: no video and no audio")
	}
	span := clock{pid: lead.pid}
	span.scan(head)
	if tail := len(p) / packetSize * packetSize; tail > len(head) {
		span.scan(p[max(len(head), tail-maxRead):tail])
	}
	if !span.known {
		return nil, errors.New("transport stream: no presentation times")
	}
	info = &Info{StartsIndependent: lead.track.Kind != cmaf.Video || lead.independent}
	info.FirstPTS, info.LastPTS = span.span()
	for _, t := range tracks {
		if t.track.Kind == cmaf.Video {
			t.track.FrameRate = span.frameRate(t.track.FrameRate, t.pid)
		}
		info.Tracks = append(info.Tracks, t.track)
	}
	return info, nil
}

// leader is the track whose times count.
func leader(tracks []*track) *track {
	for _, t := range tracks {
		if t.track.Kind == cmaf.Video {
			return t
		}
	}
	if len(tracks) > 0 {
		return tracks[0]
	}
	return nil
}
