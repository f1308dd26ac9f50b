package playlist

import "time"

// PlaylistType is the value of EXT-X-PLAYLIST-TYPE (HLSbis 4.4.3.5); empty where the tag is
// absent, as it must be in a live playlist that slides.
type PlaylistType string

// The two types there are: an Event only grows, a VOD never changes.
const (
	Event PlaylistType = "EVENT"
	VOD   PlaylistType = "VOD"
)

// Media is a media playlist: a window of segments.
type Media struct {
	// Version is EXT-X-VERSION. Rendered is the least that the content needs, or
	// Version where that is more; 0 asks for the least.
	Version int
	// TargetDuration is in seconds; 0 renders the longest segment's, rounded.
	TargetDuration int
	// MediaSequence is the number of the first segment of Segments.
	MediaSequence uint64
	// DiscontinuitySequence is the number of discontinuities before the first segment.
	DiscontinuitySequence uint64
	// EmitDiscontinuitySequence has EXT-X-DISCONTINUITY-SEQUENCE rendered even if it is
	// 0. A stream that may ever have a discontinuity wants it (Apple authoring 8.17).
	EmitDiscontinuitySequence bool
	Type                      PlaylistType
	IndependentSegments       bool
	IFramesOnly               bool
	EndList                   bool
	// DateRanges are rendered before the segments, in this order, less those that Check
	// finds fault with.
	DateRanges []DateRange
	Segments   []Segment
}

// Segment is one media segment and the tags that apply to it. Map, Key and Bitrate hold for
// each segment that has them, also where the text says them only once: a window can be cut
// anywhere, and the renderer writes a tag only where its value changes.
type Segment struct {
	// URI is relative to the playlist's own. One that is not fit for a line is
	// percent-escaped; an empty one is rendered as a gap.
	URI string
	// Duration is rendered in microseconds, with at least three decimals of a second.
	Duration time.Duration
	Title    string
	// ProgramDateTime is the time of the first sample, zero where there is no tag. It
	// is rendered in UTC with milliseconds.
	ProgramDateTime time.Time
	// Discontinuity says that the segment does not continue the one before.
	Discontinuity bool
	// Gap says that there is no media: clients must not ask for it (HLSbis 4.4.4.7).
	Gap bool
	// Map is the initialization section. HLS cannot take a map back: a nil Map after a
	// segment with one means the same one.
	Map *Map
	// Key is nil for media in the clear.
	Key *Key
	// ByteRange is nil for a segment that is the whole resource.
	ByteRange *ByteRange
	// Bitrate is in kbit/s, 0 where it is not known (HLSbis 4.4.4.8).
	Bitrate int
}

// Map is an initialization section (EXT-X-MAP, HLSbis 4.4.4.5).
type Map struct {
	URI       string
	ByteRange *ByteRange
	// Key is what the section itself is encrypted with, nil for one in the clear.
	Key *Key
}

// ByteRange is Length bytes from Offset on. The offset is always given; text that leaves it
// out (HLSbis 4.4.4.2) is completed while it is parsed.
type ByteRange struct {
	Length, Offset int64
}

// Key is EXT-X-KEY (HLSbis 4.4.4.4), passed through as it came. Method is never NONE: that
// is a nil *Key.
type Key struct {
	Method, URI, IV, KeyFormat, KeyFormatVersions string
	// Also are further tags for the same media, in other key formats.
	Also []Key
}
