package playlist

// What Kind tells apart.
const (
	KindMedia        = "media"
	KindMultivariant = "multivariant"
)

// Kind tells whether p is a media playlist, a multivariant playlist, or "": neither.
func Kind(p []byte) string { return "" }
