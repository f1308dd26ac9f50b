package playlist

import (
	"testing"
	"time"

	oracle "github.com/bluenviron/gohlslib/v2/pkg/playlist"
)

// Another implementation must understand us as we mean it: no player reads our model.
func TestAnotherParserReadsMediaPlaylistsAsWeDo(t *testing.T) {
	texts := [][]byte{sampleMedia(30).Append(nil)}
	for _, c := range readCases(t) {
		if !c.fails && c.kind == KindMedia {
			texts = append(texts, []byte(c.want))
		}
	}
	for _, text := range texts {
		m, err := ParseMedia(text)
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Segments) == 0 {
			continue // it wants one
		}
		var o oracle.Media
		if err := o.Unmarshal(text); err != nil {
			t.Errorf("%v:\n%s", err, text)
			continue
		}
		if o.TargetDuration != m.TargetDuration || o.MediaSequence != int(m.MediaSequence) || o.Version != m.Version ||
			o.Endlist != m.EndList || o.IndependentSegments != m.IndependentSegments || len(o.Segments) != len(m.Segments) {
			t.Errorf("read as %+v:\n%s", o, text)
			continue
		}
		for i, s := range m.Segments {
			os := o.Segments[i]
			if os.URI != s.URI || (os.Duration-s.Duration).Abs() > time.Microsecond || os.Gap != s.Gap || os.Title != s.Title ||
				os.Discontinuity != s.Discontinuity || (os.DateTime != nil) == s.ProgramDateTime.IsZero() ||
				os.DateTime != nil && !os.DateTime.Equal(s.ProgramDateTime) {
				t.Errorf("segment %d read as %+v:\n%s", i, os, text)
			}
			if s.ByteRange != nil && (int64(*os.ByteRangeLength) != s.ByteRange.Length || int64(*os.ByteRangeStart) != s.ByteRange.Offset) {
				t.Errorf("segment %d: range %d@%d, want %+v", i, *os.ByteRangeLength, *os.ByteRangeStart, *s.ByteRange)
			}
		}
	}
}

// As above, for what a player chooses from.
func TestAnotherParserReadsMultivariantPlaylistsAsWeDo(t *testing.T) {
	texts := [][]byte{sampleMultivariant().Append(nil)}
	for _, c := range readCases(t) {
		if !c.fails && c.kind == KindMultivariant {
			texts = append(texts, []byte(c.want))
		}
	}
	for _, text := range texts {
		m, err := ParseMultivariant(text)
		if err != nil {
			t.Fatal(err)
		}
		var o oracle.Multivariant
		if err := o.Unmarshal(text); err != nil {
			t.Errorf("%v:\n%s", err, text)
			continue
		}
		if len(o.Variants) != len(m.Variants) || len(o.Renditions) != len(m.Renditions) || o.IndependentSegments != m.IndependentSegments {
			t.Errorf("read as %+v:\n%s", o, text)
			continue
		}
		for i, v := range m.Variants {
			ov := o.Variants[i]
			if ov.URI != v.URI || int64(ov.Bandwidth) != v.Bandwidth || ov.Audio != v.Audio || ov.Subtitles != v.Subtitles ||
				(ov.FrameRate != nil) != (v.FrameRate > 0) || ov.FrameRate != nil && *ov.FrameRate != v.FrameRate {
				t.Errorf("variant %d read as %+v:\n%s", i, ov, text)
			}
		}
		for i, r := range m.Renditions {
			or := o.Renditions[i]
			if string(or.Type) != r.Type || or.GroupID != r.GroupID || or.Name != r.Name || or.Default != r.Default ||
				or.Autoselect != r.Autoselect || or.Language != r.Language {
				t.Errorf("rendition %d read as %+v:\n%s", i, or, text)
			}
		}
	}
}
