package playlist

import (
	"slices"
	"strconv"
	"time"
)

// Append appends the playlist's text to dst and returns it. It allocates nothing but what
// dst lacks. Any Media can be rendered, and its text be parsed: what does not fit (a quote
// in a URI, a control character in a title) is escaped or replaced.
func (m *Media) Append(dst []byte) []byte {
	dst = append(dst, "#EXTM3U\n"...)
	if v := max(m.Version, m.minimum()); v > 1 {
		dst = appendLine(dst, "#EXT-X-VERSION:", uint64(v))
	}
	dst = appendLine(dst, "#EXT-X-TARGETDURATION:", uint64(m.target()))
	dst = appendLine(dst, "#EXT-X-MEDIA-SEQUENCE:", m.MediaSequence)
	if m.DiscontinuitySequence > 0 || m.EmitDiscontinuitySequence {
		dst = appendLine(dst, "#EXT-X-DISCONTINUITY-SEQUENCE:", m.DiscontinuitySequence)
	}
	if m.Type == Event || m.Type == VOD {
		dst = append(dst, "#EXT-X-PLAYLIST-TYPE:"...)
		dst = append(append(dst, m.Type...), '\n')
	}
	if m.IndependentSegments {
		dst = append(dst, "#EXT-X-INDEPENDENT-SEGMENTS\n"...)
	}
	if m.IFramesOnly {
		dst = append(dst, "#EXT-X-I-FRAMES-ONLY\n"...)
	}
	for i := range m.DateRanges {
		if d := &m.DateRanges[i]; d.Check() == nil {
			dst = d.append(dst)
		}
	}
	var now inForce
	for i := range m.Segments {
		dst = now.appendSegment(dst, &m.Segments[i])
	}
	if m.EndList {
		dst = append(dst, "#EXT-X-ENDLIST\n"...)
	}
	return dst
}

// target is EXT-X-TARGETDURATION: "The EXTINF duration of each Media Segment in the Playlist
// file, when rounded to the nearest integer, MUST be less than or equal to the Target
// Duration" (HLSbis 4.4.3.1).
func (m *Media) target() int {
	if m.TargetDuration > 0 {
		return m.TargetDuration
	}
	n := 1
	for i := range m.Segments {
		n = max(n, int(m.Segments[i].Duration.Round(time.Second)/time.Second))
	}
	return n
}

// inForce are the tags written so far that apply to what follows.
type inForce struct {
	key     *Key
	section *Map
	bitrate int
}

func (now *inForce) appendSegment(dst []byte, s *Segment) []byte {
	if s.Discontinuity {
		dst = append(dst, "#EXT-X-DISCONTINUITY\n"...)
	}
	// After a discontinuity the section is named again even if it is the same:
	// that is allowed, and some players (Chromium's own among them) begin anew
	// there and want to read it.
	if s.Map != nil && (s.Discontinuity || !s.Map.equal(now.section)) {
		dst = now.appendKeys(dst, s.Map.Key)
		dst = append(dst, `#EXT-X-MAP:URI="`...)
		dst = append(appendURI(dst, nonEmpty(s.Map.URI)), '"')
		if s.Map.ByteRange != nil {
			dst = append(dst, `,BYTERANGE="`...)
			dst = append(appendRange(dst, *s.Map.ByteRange), '"')
		}
		dst = append(dst, '\n')
		now.section = s.Map
	}
	dst = now.appendKeys(dst, s.Key)
	if !s.ProgramDateTime.IsZero() {
		dst = append(dst, "#EXT-X-PROGRAM-DATE-TIME:"...)
		dst = append(s.ProgramDateTime.UTC().AppendFormat(dst, dateLayout), '\n')
	}
	if s.Bitrate > 0 && s.Bitrate != now.bitrate {
		dst = appendLine(dst, "#EXT-X-BITRATE:", uint64(s.Bitrate))
		now.bitrate = s.Bitrate
	}
	if s.Gap || s.URI == "" {
		dst = append(dst, "#EXT-X-GAP\n"...)
	}
	if s.ByteRange != nil {
		dst = append(dst, "#EXT-X-BYTERANGE:"...)
		dst = append(appendRange(dst, *s.ByteRange), '\n')
	}
	dst = append(dst, "#EXTINF:"...)
	dst = append(appendSeconds(dst, s.Duration), ',')
	dst = append(appendText(dst, s.Title), '\n')
	return append(appendURI(dst, nonEmpty(s.URI)), '\n')
}

// appendKeys writes what has to be written for want to apply.
func (now *inForce) appendKeys(dst []byte, want *Key) []byte {
	if want.equal(now.key) {
		return dst
	}
	if want == nil || !want.replaces(now.key) {
		dst = append(dst, "#EXT-X-KEY:METHOD=NONE\n"...)
	}
	now.key = want
	if want == nil {
		return dst
	}
	dst = want.append(dst)
	for i := range want.Also {
		dst = want.Also[i].append(dst)
	}
	return dst
}

func (k *Key) append(dst []byte) []byte {
	dst = append(dst, "#EXT-X-KEY:METHOD="...)
	if isEnumerated(k.Method) && k.Method != "NONE" {
		dst = append(dst, k.Method...)
	} else {
		dst = append(dst, "UNKNOWN"...) // whatever it is, it is not in the clear
	}
	dst = append(dst, `,URI="`...)
	dst = append(appendURI(dst, nonEmpty(k.URI)), '"')
	if isHex(k.IV) {
		dst = append(append(dst, ",IV="...), k.IV...)
	}
	dst = appendQuoted(dst, "KEYFORMAT", k.KeyFormat)
	dst = appendQuoted(dst, "KEYFORMATVERSIONS", k.KeyFormatVersions)
	return append(dst, '\n')
}

// equal compares what is written; nil is no key.
func (k *Key) equal(o *Key) bool {
	if k == o || k == nil || o == nil {
		return k == o
	}
	same := func(a, b Key) bool {
		return a.Method == b.Method && a.URI == b.URI && a.IV == b.IV &&
			a.KeyFormat == b.KeyFormat && a.KeyFormatVersions == b.KeyFormatVersions
	}
	return same(*k, *o) && slices.EqualFunc(k.Also, o.Also, same)
}

// replaces says whether writing k leaves nothing of old: a tag ends only what has the same
// key format.
func (k *Key) replaces(old *Key) bool {
	if old == nil {
		return true
	}
	has := func(format string) bool {
		if k.format() == format {
			return true
		}
		for i := range k.Also {
			if k.Also[i].format() == format {
				return true
			}
		}
		return false
	}
	for i := range old.Also {
		if !has(old.Also[i].format()) {
			return false
		}
	}
	return has(old.format())
}

// equal compares what is written; nil is no section.
func (m *Map) equal(o *Map) bool {
	if m == o || m == nil || o == nil {
		return m == o
	}
	if (m.ByteRange == nil) != (o.ByteRange == nil) || m.ByteRange != nil && *m.ByteRange != *o.ByteRange {
		return false
	}
	return m.URI == o.URI && m.Key.equal(o.Key)
}

// nonEmpty gives a name to what has none, since a line needs one.
func nonEmpty(uri string) string {
	if uri == "" {
		return "none"
	}
	return uri
}

func appendLine(dst []byte, tag string, n uint64) []byte {
	dst = strconv.AppendUint(append(dst, tag...), n, 10)
	return append(dst, '\n')
}
