package playlist

// Multivariant is a multivariant playlist: the variants of a presentation, best first or in
// whichever order its author likes, and the renditions they refer to.
type Multivariant struct {
	// Version is as in Media.
	Version             int
	IndependentSegments bool
	Variants            []Variant
	Renditions          []Rendition
	IFrames             []IFrameVariant
}

// Variant is EXT-X-STREAM-INF and its URI (HLSbis 4.4.6.2). Empty and zero fields are left
// out of the text, except Bandwidth, which is required.
type Variant struct {
	URI string
	// Bandwidth is the peak and AverageBandwidth the average, in bits a second, of the
	// dearest combination of renditions that can be played.
	Bandwidth, AverageBandwidth int64
	Codecs                      string
	Width, Height               int
	// FrameRate is the highest of any rendition, in frames a second; rendered with
	// three decimals.
	FrameRate float64
	// Audio and Subtitles name groups of Renditions; ClosedCaptions a group or "NONE".
	Audio, Subtitles, ClosedCaptions string
	Name                             string
	// VideoRange is SDR, HLG or PQ.
	VideoRange string
}

// IFrameVariant is EXT-X-I-FRAME-STREAM-INF (HLSbis 4.4.6.3): a media playlist of pictures
// alone, for dragging the time bar. Empty and zero fields are left out of the text, except
// URI and Bandwidth, which are required.
type IFrameVariant struct {
	URI                         string
	Bandwidth, AverageBandwidth int64 // as in Variant, of the pictures
	Codecs                      string
	Width, Height               int
	VideoRange                  string
}

// Rendition is EXT-X-MEDIA (HLSbis 4.4.6.1).
type Rendition struct {
	// Type is AUDIO, SUBTITLES, VIDEO or CLOSED-CAPTIONS.
	Type, GroupID, Name, Language, URI, Channels string
	// InstreamID is that of closed captions: CC1 to CC4, or SERVICE1 to SERVICE63.
	InstreamID                  string
	Default, Autoselect, Forced bool
}
