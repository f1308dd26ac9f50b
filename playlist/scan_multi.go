package playlist

import (
	"bytes"
	"strconv"
	"strings"
)

// multiScan is to multivariant playlists what mediaScan is to media playlists.
type multiScan struct {
	*lines
	multi *Multivariant
	feed  bytes.Buffer
	open  bool // a STREAM-INF waits for its URI
	seen  bool // there was an EXT-X-VERSION
}

func scanMultivariant(p []byte) (*multiScan, error) {
	l, err := start(p)
	if err != nil {
		return nil, err
	}
	s := &multiScan{lines: l, multi: &Multivariant{}}
	s.feed.WriteString("#EXTM3U\n")
	for {
		line, ok, err := s.next()
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
	case s.open:
		return nil, s.errorf("is the last, and the URI after EXT-X-STREAM-INF is missing")
	case len(s.multi.Variants) == 0:
		return nil, s.errorf("is the last, and there was no variant")
	}
	return s, nil
}

func (s *multiScan) uri(line string) error {
	if !s.open {
		return s.errorf("is a URI without EXT-X-STREAM-INF")
	}
	s.open = false
	s.feed.WriteString(line)
	s.feed.WriteByte('\n')
	return nil
}

func (s *multiScan) tag(name, value string) error {
	if scopeOf(name) == inMedia {
		return s.errorf("has %s, which does not belong in a multivariant playlist", name)
	}
	if s.open {
		// "The URI line is REQUIRED", and it "MUST follow" (4.4.6.2).
		return s.errorf("has %s between EXT-X-STREAM-INF and its URI", name)
	}
	switch name {
	case "EXTM3U":
		return s.errorf("has EXTM3U again")
	case "EXT-X-DEFINE":
		return s.errorf("has EXT-X-DEFINE: variables are not supported")
	case "EXT-X-INDEPENDENT-SEGMENTS":
		s.multi.IndependentSegments = true
	case "EXT-X-VERSION":
		n, err := parseInteger(value)
		if err != nil || n < 1 || n > 1000 {
			return s.errorf("has %s:%.40q, which is not a version", name, value)
		}
		if s.seen {
			return s.errorf("has %s again", name)
		}
		s.multi.Version, s.seen = int(n), true
	case "EXT-X-STREAM-INF", "EXT-X-MEDIA", "EXT-X-I-FRAME-STREAM-INF":
		list, err := parseAttributes(value)
		if err == nil {
			switch name {
			case "EXT-X-MEDIA":
				err = s.rendition(list)
			case "EXT-X-STREAM-INF":
				err = s.variant(list)
			default:
				err = s.iframes(list)
			}
		}
		if err != nil {
			return s.errorf("%w", err)
		}
	}
	return nil
}

func (s *multiScan) variant(list attributes) (err error) {
	if len(s.multi.Variants) == maxVariants {
		return errTooMany("variants", maxVariants)
	}
	x, err := list.stream()
	if err != nil {
		return err
	}
	v := Variant{
		Bandwidth: x.Bandwidth, AverageBandwidth: x.AverageBandwidth, Codecs: x.Codecs, Width: x.Width, Height: x.Height,
		VideoRange: x.VideoRange, Audio: list.text("AUDIO"), Subtitles: list.text("SUBTITLES"), ClosedCaptions: list.text("CLOSED-CAPTIONS"),
	}
	if f := list.text("FRAME-RATE"); f != "" {
		v.FrameRate, err = strconv.ParseFloat(f, 64)
		if err != nil || !isDecimal(f) || v.FrameRate > 1e6 {
			return errValue("FRAME-RATE", f)
		}
		v.FrameRate = roundFrameRate(v.FrameRate)
	}
	s.multi.Variants = append(s.multi.Variants, v)
	s.open = true
	s.feed.WriteString("#EXT-X-STREAM-INF:")
	if name := list.text("NAME"); name != "" {
		s.feed.WriteString(`NAME="` + name + `"`)
	}
	s.feed.WriteByte('\n')
	return nil
}

// stream reads what both kinds of variant have. grafov keeps 32 bits of a bandwidth.
func (l attributes) stream() (v IFrameVariant, err error) {
	v.Codecs = l.text("CODECS")
	if v.Bandwidth, err = l.number("BANDWIDTH"); err != nil {
		return v, err
	}
	if v.Bandwidth == 0 {
		return v, errValue("BANDWIDTH", l.text("BANDWIDTH"))
	}
	if v.AverageBandwidth, err = l.number("AVERAGE-BANDWIDTH"); err != nil {
		return v, err
	}
	if r := l.text("RESOLUTION"); r != "" {
		w, h, _ := strings.Cut(r, "x")
		width, err1 := parseInteger(w)
		height, err2 := parseInteger(h)
		if err1 != nil || err2 != nil || width > 1<<20 || height > 1<<20 {
			return v, errValue("RESOLUTION", r)
		}
		if width > 0 && height > 0 {
			v.Width, v.Height = int(width), int(height)
		}
	}
	if v.VideoRange = l.text("VIDEO-RANGE"); v.VideoRange != "" && !isEnumerated(v.VideoRange) {
		return v, errValue("VIDEO-RANGE", v.VideoRange)
	}
	return v, nil
}

func (s *multiScan) iframes(list attributes) error {
	if len(s.multi.IFrames) == maxVariants {
		return errTooMany("I-frame variants", maxVariants)
	}
	v, err := list.stream()
	if err != nil {
		return err
	}
	uri, err := list.required("URI")
	if err != nil {
		return err
	}
	v.URI = cleanURI(uri)
	s.multi.IFrames = append(s.multi.IFrames, v)
	return nil
}

func (s *multiScan) rendition(list attributes) (err error) {
	if len(s.multi.Renditions) == maxRenditions {
		return errTooMany("renditions", maxRenditions)
	}
	r := Rendition{
		Type: list.text("TYPE"), Language: list.text("LANGUAGE"), URI: cleanURI(list.text("URI")),
		Channels: list.text("CHANNELS"), InstreamID: list.text("INSTREAM-ID"),
	}
	if !isRenditionType(r.Type) {
		return errValue("TYPE", r.Type)
	}
	if r.GroupID, err = list.required("GROUP-ID"); err != nil {
		return err
	}
	if r.Name, err = list.required("NAME"); err != nil {
		return err
	}
	if r.Default, err = list.yes("DEFAULT"); err != nil {
		return err
	}
	if r.Autoselect, err = list.yes("AUTOSELECT"); err != nil {
		return err
	}
	if r.Forced, err = list.yes("FORCED"); err != nil {
		return err
	}
	r.Autoselect = r.Autoselect || r.Default
	s.multi.Renditions = append(s.multi.Renditions, r)
	return nil
}
