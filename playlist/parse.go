package playlist

import "errors"

// ParseMedia parses a media playlist.
func ParseMedia(p []byte) (*Media, error) { return nil, errors.New("playlist: under construction") }

// ParseMultivariant parses a multivariant playlist.
func ParseMultivariant(p []byte) (*Multivariant, error) {
	return nil, errors.New("playlist: under construction")
}
