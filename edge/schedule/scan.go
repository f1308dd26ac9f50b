package schedule

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// Bounds of one playlist. One beyond them is not looked at.
const (
	MaxBytes    = 2 << 20 // a six-hour DVR list of two-second segments with dates has 0.8 MB
	maxSegments = 20_000
	maxParts    = 2_000
	maxVariants = 512
	maxURI      = 4 << 10
	maxTarget   = 3600 // seconds
	maxNumber   = 1 << 53
)

// Errors of Scan.
var (
	ErrMalformed = errors.New("not a playlist that can be understood")
	ErrTooLarge  = errors.New("a playlist too large to be looked at")
)

// A Listing is what one version of a playlist says. Its strings are parts of the
// text: whoever keeps one copies it.
//
// It is not package playlist's model: that one is strict, since what it reads
// is published again, and it keeps all that can be said. Here only names, numbers
// and times count, a playlist that players put up with must do, and ten thousand
// segments may take no more than a millisecond.
type Listing struct {
	Multivariant bool
	Variants     []Variant

	Target                  time.Duration
	Sequence, Discontinuity uint64
	Skipped                 int // segments that a delta update leaves out in front
	End                     bool
	Segments                []Segment
	Parts                   []string // all parts listed
	Tail                    int      // parts behind the last segment
	Hints                   []string
}

// A Segment is a media segment. Map and Key hold until the next ones.
type Segment struct {
	URI, Map, Key string
	Duration      time.Duration
	Gap           bool
}

// A Variant is a playlist that a multivariant playlist names. Bandwidth is in
// bits a second, 0 where none is said.
type Variant struct {
	URI       string
	Bandwidth int64
}

// Next returns the number behind the last segment.
func (l *Listing) Next() uint64 { return l.Sequence + uint64(l.Skipped+len(l.Segments)) }

// scanner walks the lines of a playlist.
type scanner struct {
	l          Listing
	media      bool
	duration   time.Duration // of the segment whose URI has not come yet; < 0: none
	gap        bool
	mapURI     string
	keyURI     string
	bandwidth  int64 // of the variant whose URI has not come yet; < 0: none
	targetSeen bool
}

// Scan reads a playlist.
func Scan(text []byte) (*Listing, error) {
	if len(text) > MaxBytes {
		return nil, ErrTooLarge
	}
	rest := string(text)
	if !strings.HasPrefix(rest, "#EXTM3U") {
		return nil, ErrMalformed
	}
	s := scanner{duration: -1, bandwidth: -1}
	if n := strings.Count(rest, "#EXTINF:"); n > 0 {
		s.l.Segments = make([]Segment, 0, min(n, maxSegments))
	}
	for rest != "" {
		var line string
		if i := strings.IndexByte(rest, '\n'); i >= 0 {
			line, rest = rest[:i], rest[i+1:]
		} else {
			line, rest = rest, ""
		}
		line = strings.TrimRight(line, "\r \t")
		var err error
		switch {
		case line == "":
		case line[0] != '#':
			err = s.uri(line)
		case strings.HasPrefix(line, "#EXT"):
			err = s.tag(line)
		}
		if err != nil {
			return nil, err
		}
	}
	switch l := &s.l; {
	case s.media == l.Multivariant: // both, or neither: HLSbis 4.4.3 and 4.4.6 forbid the one
		return nil, ErrMalformed
	case s.media && !s.targetSeen:
		return nil, ErrMalformed
	}
	return &s.l, nil
}

func (s *scanner) uri(line string) error {
	l := &s.l
	if len(line) > maxURI {
		return ErrMalformed
	}
	switch {
	case s.duration >= 0:
		if len(l.Segments)+l.Skipped >= maxSegments {
			return ErrTooLarge
		}
		l.Segments = append(l.Segments, Segment{line, s.mapURI, s.keyURI, s.duration, s.gap})
		s.duration, s.gap, l.Tail = -1, false, 0
	case s.bandwidth >= 0:
		return s.variant(line)
	}
	return nil // a stray URI: players pass it over
}

func (s *scanner) variant(uri string) error {
	if len(s.l.Variants) >= maxVariants {
		return ErrTooLarge
	}
	if uri != "" {
		s.l.Variants = append(s.l.Variants, Variant{uri, max(0, s.bandwidth)})
	}
	s.bandwidth = -1
	return nil
}

func (s *scanner) tag(line string) (err error) {
	name, value := line, ""
	if i := strings.IndexByte(line, ':'); i >= 0 {
		name, value = line[:i], line[i+1:]
	}
	l := &s.l
	switch name {
	case "#EXTINF":
		s.media = true
		d, _, _ := strings.Cut(value, ",")
		s.duration, err = seconds(strings.TrimSpace(d))
	case "#EXT-X-TARGETDURATION":
		s.media, s.targetSeen = true, true
		if l.Target, err = seconds(value); l.Target > maxTarget*time.Second || l.Target < time.Second {
			err = ErrMalformed
		}
	case "#EXT-X-MEDIA-SEQUENCE":
		s.media = true
		l.Sequence, err = number(value)
	case "#EXT-X-DISCONTINUITY-SEQUENCE":
		l.Discontinuity, err = number(value)
	case "#EXT-X-ENDLIST":
		l.End = true
	case "#EXT-X-GAP":
		s.gap = true
	case "#EXT-X-MAP":
		s.mapURI = attribute(value, "URI")
	case "#EXT-X-KEY":
		s.keyURI = attribute(value, "URI")
	case "#EXT-X-SKIP":
		var n uint64
		n, err = number(attribute(value, "SKIPPED-SEGMENTS"))
		if l.Skipped = int(n); n > maxSegments || len(l.Segments) > 0 {
			err = ErrMalformed
		}
	case "#EXT-X-PART":
		l.Tail++
		l.Parts, err = listed(l.Parts, attribute(value, "URI"))
	case "#EXT-X-PRELOAD-HINT":
		l.Hints, err = listed(l.Hints, attribute(value, "URI"))
	case "#EXT-X-STREAM-INF":
		l.Multivariant = true
		s.bandwidth = bandwidth(value)
	case "#EXT-X-I-FRAME-STREAM-INF", "#EXT-X-MEDIA":
		l.Multivariant = true
		s.bandwidth = bandwidth(value)
		err = s.variant(attribute(value, "URI"))
	}
	return err
}

// listed adds a part or hint; parts in one file follow each other.
func listed(list []string, uri string) ([]string, error) {
	switch {
	case uri == "" || len(list) > 0 && list[len(list)-1] == uri:
		return list, nil
	case len(list) >= maxParts || len(uri) > maxURI:
		return nil, ErrTooLarge
	}
	return append(list, uri), nil
}

func bandwidth(value string) int64 {
	n, err := number(attribute(value, "BANDWIDTH"))
	if err != nil || n > 1<<40 {
		return 0
	}
	return int64(n)
}

func number(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > maxNumber {
		return 0, ErrMalformed
	}
	return n, nil
}

func seconds(s string) (time.Duration, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(f) || f < 0 || f > 86400 {
		return 0, ErrMalformed
	}
	return time.Duration(f * float64(time.Second)), nil
}

// attribute returns the value of an attribute of a list, without quotes; "" if
// there is none.
func attribute(list, name string) string {
	for list != "" {
		key, rest, ok := strings.Cut(list, "=")
		if !ok {
			return ""
		}
		var value string
		if strings.HasPrefix(rest, `"`) {
			if value, rest, ok = strings.Cut(rest[1:], `"`); !ok {
				return ""
			}
			_, list, _ = strings.Cut(rest, ",")
		} else {
			value, list, _ = strings.Cut(rest, ",")
		}
		if strings.Trim(key, " \t") == name {
			return strings.Trim(value, " \t")
		}
	}
	return ""
}
