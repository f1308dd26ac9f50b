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
	case "EXT-X-STREAM-INF", "EXT-X-MEDIA":
		list, err := parseAttributes(value)
		if err == nil && name == "EXT-X-MEDIA" {
			err = s.rendition(list)
		} else if err == nil {
			err = s.variant(list)
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
	v := Variant{
		Codecs: list.text("CODECS"), Audio: list.text("AUDIO"), Subtitles: list.text("SUBTITLES"),
		ClosedCaptions: list.text("CLOSED-CAPTIONS"),
	}
	// grafov keeps 32 bits of a bandwidth.
	if v.Bandwidth, err = list.number("BANDWIDTH"); err != nil {
		return err
	}
	if v.Bandwidth == 0 {
		return errValue("BANDWIDTH", list.text("BANDWIDTH"))
	}
	if v.AverageBandwidth, err = list.number("AVERAGE-BANDWIDTH"); err != nil {
		return err
	}
	if r := list.text("RESOLUTION"); r != "" {
		w, h, _ := strings.Cut(r, "x")
		width, err1 := parseInteger(w)
		height, err2 := parseInteger(h)
		if err1 != nil || err2 != nil || width > 1<<20 || height > 1<<20 {
			return errValue("RESOLUTION", r)
		}
		if width > 0 && height > 0 {
			v.Width, v.Height = int(width), int(height)
		}
	}
	if f := list.text("FRAME-RATE"); f != "" {
		v.FrameRate, err = strconv.ParseFloat(f, 64)
		if err != nil || !isDecimal(f) || v.FrameRate > 1e6 {
			return errValue("FRAME-RATE", f)
		}
		v.FrameRate = roundFrameRate(v.FrameRate)
	}
	if v.VideoRange = list.text("VIDEO-RANGE"); v.VideoRange != "" && !isEnumerated(v.VideoRange) {
		return errValue("VIDEO-RANGE", v.VideoRange)
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
