package playlist

import "strconv"

// Append appends the playlist's text to dst and returns it. It allocates nothing but what
// dst lacks. A variant of either kind without a URI and a rendition without a group or with a type that
// there is not are left out: they cannot be written.
func (m *Multivariant) Append(dst []byte) []byte {
	dst = append(dst, "#EXTM3U\n"...)
	if v := max(m.Version, m.minimum()); v > 1 {
		dst = appendLine(dst, "#EXT-X-VERSION:", uint64(v))
	}
	if m.IndependentSegments {
		dst = append(dst, "#EXT-X-INDEPENDENT-SEGMENTS\n"...)
	}
	for i := range m.Renditions {
		dst = m.Renditions[i].append(dst)
	}
	for i := range m.Variants {
		dst = m.Variants[i].append(dst)
	}
	for i := range m.IFrames {
		dst = m.IFrames[i].append(dst)
	}
	return dst
}

func (r *Rendition) append(dst []byte) []byte {
	if r.GroupID == "" || !isRenditionType(r.Type) {
		return dst
	}
	dst = append(append(dst, "#EXT-X-MEDIA:TYPE="...), r.Type...)
	dst = appendQuoted(dst, "GROUP-ID", r.GroupID)
	if r.Name == "" {
		dst = appendQuoted(dst, "NAME", r.GroupID)
	} else {
		dst = appendQuoted(dst, "NAME", r.Name)
	}
	dst = appendQuoted(dst, "LANGUAGE", r.Language)
	if r.Default {
		dst = append(dst, ",DEFAULT=YES"...)
	}
	// "If the DEFAULT attribute is YES, the value of AUTOSELECT MUST be YES if present."
	if r.Default || r.Autoselect {
		dst = append(dst, ",AUTOSELECT=YES"...)
	}
	if r.Forced {
		dst = append(dst, ",FORCED=YES"...)
	}
	dst = appendQuoted(dst, "INSTREAM-ID", r.InstreamID)
	dst = appendQuoted(dst, "CHANNELS", r.Channels)
	if r.URI != "" {
		dst = append(dst, `,URI="`...)
		dst = append(appendURI(dst, r.URI), '"')
	}
	return append(dst, '\n')
}

func (v *Variant) append(dst []byte) []byte {
	if v.URI == "" {
		return dst
	}
	dst = append(dst, "#EXT-X-STREAM-INF:"...)
	dst = appendStream(dst, v.Bandwidth, v.AverageBandwidth, v.Codecs, v.Width, v.Height)
	if f := roundFrameRate(v.FrameRate); f > 0 {
		dst = append(dst, ",FRAME-RATE="...)
		dst = strconv.AppendFloat(dst, f, 'f', 3, 64)
	}
	dst = appendVideoRange(dst, v.VideoRange)
	dst = appendQuoted(dst, "AUDIO", v.Audio)
	dst = appendQuoted(dst, "SUBTITLES", v.Subtitles)
	if v.ClosedCaptions == "NONE" {
		dst = append(dst, ",CLOSED-CAPTIONS=NONE"...)
	} else {
		dst = appendQuoted(dst, "CLOSED-CAPTIONS", v.ClosedCaptions)
	}
	dst = appendQuoted(dst, "NAME", v.Name)
	dst = append(dst, '\n')
	return append(appendURI(dst, v.URI), '\n')
}

func (v *IFrameVariant) append(dst []byte) []byte {
	if v.URI == "" {
		return dst
	}
	dst = append(dst, "#EXT-X-I-FRAME-STREAM-INF:"...)
	dst = appendStream(dst, v.Bandwidth, v.AverageBandwidth, v.Codecs, v.Width, v.Height)
	dst = appendVideoRange(dst, v.VideoRange)
	dst = append(dst, `,URI="`...)
	return append(appendURI(dst, v.URI), "\"\n"...)
}

// appendStream appends what both kinds of variant begin with.
func appendStream(dst []byte, peak, average int64, codecs string, w, h int) []byte {
	dst = append(dst, "BANDWIDTH="...)
	dst = strconv.AppendInt(dst, max(1, peak), 10)
	if average > 0 {
		dst = append(dst, ",AVERAGE-BANDWIDTH="...)
		dst = strconv.AppendInt(dst, average, 10)
	}
	dst = appendQuoted(dst, "CODECS", codecs)
	if w > 0 && h > 0 {
		dst = append(dst, ",RESOLUTION="...)
		dst = strconv.AppendInt(dst, int64(w), 10)
		dst = append(dst, 'x')
		dst = strconv.AppendInt(dst, int64(h), 10)
	}
	return dst
}

func appendVideoRange(dst []byte, s string) []byte {
	if isEnumerated(s) {
		dst = append(append(dst, ",VIDEO-RANGE="...), s...)
	}
	return dst
}

func isRenditionType(s string) bool {
	switch s {
	case "AUDIO", "VIDEO", "SUBTITLES", "CLOSED-CAPTIONS":
		return true
	}
	return false
}
