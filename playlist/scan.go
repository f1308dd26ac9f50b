package playlist

import (
	"bytes"
	"strconv"
	"strings"
)

// mediaScan is the walk over a media playlist that comes before grafov's. It holds the text
// to the grammar with errors that name the line, keeps what grafov loses (GAP, BITRATE,
// every MAP and KEY, BYTERANGE without offset, INDEPENDENT-SEGMENTS, TARGETDURATION as it
// was written) and leaves in feed what is safe for it to read.
type mediaScan struct {
	*lines
	media  *Media
	feed   bytes.Buffer
	seen   map[string]bool // tags that may stand once
	at     []int           // the line of each segment
	ranges map[string]int  // where the date range of an ID is

	next    Segment // what applies to the segment whose URI has not come yet
	extinf  bool
	ranged  string
	dated   bool
	keys    []Key
	shared  *Key   // keys as one, shared by the segments they apply to
	lastURI string // of the segment before, for BYTERANGE without offset
	lastEnd int64
}

func scanMedia(p []byte) (*mediaScan, error) {
	l, err := start(p)
	if err != nil {
		return nil, err
	}
	s := &mediaScan{lines: l, media: &Media{}, seen: make(map[string]bool)}
	s.feed.WriteString("#EXTM3U\n")
	for {
		line, ok, err := s.lines.next()
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		if line[0] != '#' {
			err = s.uri(line)
		} else if name, value := splitTag(line); name != "" {
			err = s.tag(name, value)
		}
		if err != nil {
			return nil, err
		}
	}
	switch {
	case s.extinf:
		return nil, s.errorf("is the last, and the URI after EXTINF is missing")
	case !s.seen["EXT-X-TARGETDURATION"]:
		return nil, s.errorf("is the last, and there was no EXT-X-TARGETDURATION")
	}
	return s, nil
}

// uri ends a segment.
func (s *mediaScan) uri(line string) error {
	if !s.extinf {
		return s.errorf("is a URI without EXTINF")
	}
	seg := s.next
	if s.ranged != "" {
		r, err := s.byteRange(s.ranged, line)
		if err != nil {
			return err
		}
		seg.ByteRange, s.lastEnd = r, r.Offset+r.Length
		s.lastURI = line
	} else {
		s.lastURI = ""
	}
	seg.Key = s.shared
	s.media.Segments = append(s.media.Segments, seg)
	s.at = append(s.at, s.n)
	s.feed.WriteString(line)
	s.feed.WriteByte('\n')
	// Map and Bitrate apply until the next of their kind.
	s.next = Segment{Map: seg.Map, Bitrate: seg.Bitrate}
	s.extinf, s.ranged, s.dated = false, "", false
	return nil
}

func (s *mediaScan) tag(name, value string) error {
	m := s.media
	switch scopeOf(name) {
	case inMultivariant:
		return s.errorf("has %s, which does not belong in a media playlist", name)
	case anywhere:
		switch name {
		case "EXTM3U":
			return s.errorf("has EXTM3U again")
		case "EXT-X-DEFINE":
			return s.errorf("has EXT-X-DEFINE: variables are not supported")
		}
	}
	switch name {
	case "EXTINF":
		return s.duration(value)
	case "EXT-X-BYTERANGE":
		if s.ranged != "" {
			return s.errorf("has a second EXT-X-BYTERANGE for one segment")
		}
		s.ranged = value
		return nil
	case "EXT-X-DISCONTINUITY":
		if !s.next.Discontinuity {
			s.next.Discontinuity = true
			s.feed.WriteString("#EXT-X-DISCONTINUITY\n")
		}
	case "EXT-X-GAP":
		s.next.Gap = true
	case "EXT-X-BITRATE":
		n, err := parseInteger(value)
		if err != nil || n > 1<<31-1 {
			return s.errorf("has EXT-X-BITRATE:%.40q, which is not a bit rate", value)
		}
		if n > 0 {
			s.next.Bitrate = int(n)
		}
	case "EXT-X-PROGRAM-DATE-TIME":
		return s.date(value)
	case "EXT-X-DATERANGE":
		s.dateRange(value)
	case "EXT-X-MAP":
		return s.mapTag(value)
	case "EXT-X-KEY":
		return s.keyTag(value)
	case "EXT-X-SKIP":
		return s.errorf("has EXT-X-SKIP: %w", ErrDelta)
	case "EXT-X-VERSION", "EXT-X-TARGETDURATION", "EXT-X-MEDIA-SEQUENCE", "EXT-X-DISCONTINUITY-SEQUENCE":
		return s.header(name, value)
	case "EXT-X-PLAYLIST-TYPE":
		if value != string(Event) && value != string(VOD) {
			return s.errorf("has EXT-X-PLAYLIST-TYPE:%.40q, which is neither EVENT nor VOD", value)
		}
		m.Type = PlaylistType(value)
		return s.once(name)
	case "EXT-X-INDEPENDENT-SEGMENTS":
		m.IndependentSegments = true
	case "EXT-X-I-FRAMES-ONLY":
		m.IFramesOnly = true
	case "EXT-X-ENDLIST":
		m.EndList = true
	}
	return nil
}

func (s *mediaScan) once(name string) error {
	if s.seen[name] {
		return s.errorf("has %s again", name)
	}
	s.seen[name] = true
	return nil
}

// header reads the tags that are one number for the whole playlist.
func (s *mediaScan) header(name, value string) error {
	n, err := parseInteger(value)
	if err != nil {
		return s.errorf("has %s:%.40q, which is not an integer", name, value)
	}
	m := s.media
	switch name {
	case "EXT-X-VERSION":
		if n < 1 || n > 1000 {
			return s.errorf("has %s:%d, which is not a version", name, n)
		}
		m.Version = int(n)
	case "EXT-X-TARGETDURATION":
		if n > maxSeconds {
			return s.errorf("has %s:%d, at most %d is read", name, n, maxSeconds)
		}
		// FFmpeg rounds segments of less than half a second down to 0.
		m.TargetDuration = max(1, int(n))
	case "EXT-X-MEDIA-SEQUENCE":
		// "MUST appear before the first Media Segment" (4.4.3.2).
		if len(m.Segments) > 0 {
			return s.errorf("has %s after the first segment", name)
		}
		m.MediaSequence = uint64(n)
	case "EXT-X-DISCONTINUITY-SEQUENCE":
		// "MUST appear before the first Media Segment" and "before any
		// EXT-X-DISCONTINUITY tag" (4.4.3.3).
		if len(m.Segments) > 0 || s.next.Discontinuity {
			return s.errorf("has %s after the first segment or discontinuity", name)
		}
		m.DiscontinuitySequence, m.EmitDiscontinuitySequence = uint64(n), true
	}
	return s.once(name)
}

// maxSeconds is the longest segment taken in: a day.
const maxSeconds = 86400

func (s *mediaScan) duration(value string) error {
	if s.extinf {
		return s.errorf("has a second EXTINF for one segment")
	}
	d, title, _ := strings.Cut(value, ",")
	if !isDecimal(d) {
		return s.errorf("has EXTINF:%.40q, which is not a duration", d)
	}
	if f, err := strconv.ParseFloat(d, 64); err != nil || f > maxSeconds {
		return s.errorf("has EXTINF:%.40q, at most %d is read", d, maxSeconds)
	}
	s.extinf = true
	s.feed.WriteString("#EXTINF:" + d + "," + strings.TrimSpace(title) + "\n")
	return nil
}

func (s *mediaScan) date(value string) error {
	if s.dated {
		return s.errorf("has a second EXT-X-PROGRAM-DATE-TIME for one segment")
	}
	t, ok := parseDate(value)
	if !ok {
		return s.errorf("has EXT-X-PROGRAM-DATE-TIME:%.40q, which is not a date", value)
	}
	s.dated = true
	s.feed.WriteString("#EXT-X-PROGRAM-DATE-TIME:")
	s.feed.Write(t.AppendFormat(s.feed.AvailableBuffer(), dateLayout))
	s.feed.WriteByte('\n')
	return nil
}
