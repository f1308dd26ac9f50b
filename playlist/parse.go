package playlist

import (
	"fmt"
	"math"
	"time"

	"github.com/grafov/m3u8"
)

// grafov/m3u8 is archived and knows HLS up to version 5. It reads, behind a scan that lets
// nothing through that it panics on, blows up on or misreads, and only what it reads well
// is taken: URIs, durations, titles, dates and discontinuities of segments, URIs and names
// of variants. Whatever it does, it does inside decode.

// ParseMedia parses a media playlist of at most MaxBytes. Errors name the line; ErrTooLarge
// and ErrDelta can be told by errors.Is.
//
// Not kept, since the model has no place for them: EXT-X-START and the low-latency tags. Unknown tags and comments are ignored (HLSbis 6.3.1). URIs that are
// none (spaces, quotes) are percent-escaped; dates are cut to milliseconds, durations
// rounded to microseconds; a second EXT-X-DISCONTINUITY for one segment says nothing new.
func ParseMedia(p []byte) (*Media, error) {
	s, err := scanMedia(p)
	if err != nil {
		return nil, err
	}
	m := s.media
	if len(m.Segments) == 0 {
		return m, nil
	}
	// Its segments are a ring that must not be full before the last.
	g, err := m3u8.NewMediaPlaylist(0, uint(len(m.Segments))+1)
	if err != nil {
		return nil, fmt.Errorf("playlist: %w", err)
	}
	if err := decode(func() error { return g.DecodeFrom(&s.feed, true) }); err != nil {
		return nil, err
	}
	if int(g.Count()) != len(m.Segments) {
		return nil, fmt.Errorf("playlist: %d segments were read as %d", len(m.Segments), g.Count())
	}
	for i := range m.Segments {
		seg, from := &m.Segments[i], g.Segments[i]
		if from == nil || from.Discontinuity != seg.Discontinuity {
			return nil, fmt.Errorf("playlist line %d was misread", s.at[i])
		}
		seg.URI = cleanURI(from.URI)
		seg.Duration = time.Duration(math.Round(from.Duration*1e6)) * time.Microsecond
		seg.Title = from.Title
		if !from.ProgramDateTime.IsZero() {
			seg.ProgramDateTime = from.ProgramDateTime.UTC()
		}
	}
	return m, nil
}

// ParseMultivariant parses a multivariant playlist of at most MaxBytes, with at least one
// variant and at most 128 of them, as many I-frame variants and 256 renditions. Errors name
// the line.
//
// Not kept: session data and keys, content steering, and attributes that
// Variant, IFrameVariant and Rendition have no field for.
func ParseMultivariant(p []byte) (*Multivariant, error) {
	s, err := scanMultivariant(p)
	if err != nil {
		return nil, err
	}
	m := s.multi
	// Renditions are not fed to it: it attaches all of them to all variants, for each
	// line again if asked through Decode.
	g := m3u8.NewMasterPlaylist()
	if err := decode(func() error { return g.DecodeFrom(&s.feed, true) }); err != nil {
		return nil, err
	}
	if len(g.Variants) != len(m.Variants) {
		return nil, fmt.Errorf("playlist: %d variants were read as %d", len(m.Variants), len(g.Variants))
	}
	for i := range m.Variants {
		m.Variants[i].URI = cleanURI(g.Variants[i].URI)
		m.Variants[i].Name = g.Variants[i].Name
	}
	return m, nil
}

// decode runs f and turns a panic of it into an error.
func decode(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("playlist: the parser panicked: %v", r)
		}
	}()
	if err := f(); err != nil {
		return fmt.Errorf("playlist: %w", err)
	}
	return nil
}
