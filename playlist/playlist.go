// Package playlist says what HLS playlists say: parse, model, render, directives, rewrite.
//
// It promises that text from anywhere never panics and never costs more than its size
// allows, that an error names the line, that whatever parses can be rendered, and that
// what was rendered parses back to the same. It knows nothing of files, networks or time.
//
// The rules are those of draft-pantos-hls-rfc8216bis-22, "HLSbis" below.
package playlist

import "errors"

// MIMEType is the media type of a playlist (HLSbis 4).
const MIMEType = "application/vnd.apple.mpegurl"

// MaxBytes is the size of the largest playlist that is parsed.
const MaxBytes = 512 << 10

// ErrTooLarge is returned for a playlist of more than MaxBytes.
var ErrTooLarge = errors.New("playlist too large")

// ErrDelta is returned for a delta update (EXT-X-SKIP, HLSbis 4.4.5.2): it has no meaning
// without the playlist it updates.
var ErrDelta = errors.New("playlist is a delta update")
