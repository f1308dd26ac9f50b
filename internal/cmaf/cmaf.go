// Package cmaf finds the chunks of a fragmented MP4 as it flows by, and what an init segment says: codec strings, resolution, timescale.
//
// It promises that bytes from anywhere never panic, and that time and memory are bounded by
// the limits named here, whatever sizes and counts the boxes claim.
package cmaf

// Bounds of what is read, beyond which it is refused. An init segment with one video track
// has about a kilobyte; the moof of a second of 60 frames and 48 kHz audio two.
const (
	maxInit   = 1 << 20 // bytes of a moov
	maxMoof   = 1 << 20 // bytes of a moof
	maxTracks = 64
	maxRuns   = 1 << 20 // samples of a trun
	maxConfig = 64 << 10
)

// The kinds of track.
const (
	Video = "video"
	Audio = "audio"
	Text  = "text"
)

// Track is what is known of a track: of its init segment, or of a transport stream.
type Track struct {
	ID uint32 // track id in MP4, packet id in a transport stream
	// Kind is Video, Audio or Text, and empty for anything else.
	Kind string
	// Codec is the RFC 6381 string: avc1.64001f, hvc1.1.6.L93.B0, mp4a.40.2, ac-3. It
	// is the bare sample entry type where the parameters are not known.
	Codec string
	// Width and Height are in pixels as coded less cropping, 0 for no video.
	Width, Height int
	// Timescale is in ticks a second.
	Timescale uint32
	// Language is an ISO 639-2 code, empty where undetermined.
	Language             string
	Channels, SampleRate int
	// FrameRate is in frames a second, 0 where it is not told.
	FrameRate float64
	// Config is the decoder configuration, to tell whether two inits are the same: the
	// sample description in MP4, the parameter sets in a transport stream.
	Config []byte
}

// Init is an init segment.
type Init struct {
	Tracks []Track
	// defaults are those of the trex boxes.
	defaults []defaults
}

// Track finds a track by its id, nil if there is none.
func (i *Init) Track(id uint32) *Track {
	if i == nil {
		return nil
	}
	for n := range i.Tracks {
		if i.Tracks[n].ID == id {
			return &i.Tracks[n]
		}
	}
	return nil
}

// Timing is one track's share of a chunk or segment, in the track's timescale.
type Timing struct {
	TrackID uint32
	// BaseTime is the decode time of the first sample (tfdt).
	BaseTime uint64
	// Duration is the sum of the samples'.
	Duration uint64
	Samples  int
	// Independent says that the first sample is a sync sample.
	Independent bool
}
