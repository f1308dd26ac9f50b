package playlist

import "strings"

// minimum is the least EXT-X-VERSION that the content needs (HLSbis 8).
func (m *Media) minimum() int {
	v := 1
	if m.IFramesOnly {
		v = 4 // "EXT-X-I-FRAMES-ONLY"
	}
	for i := range m.Segments {
		s := &m.Segments[i]
		v = max(v, 3, s.Key.minimum()) // "Floating-point EXTINF duration values", which ours are
		if s.ByteRange != nil {
			v = max(v, 4) // "the EXT-X-BYTERANGE tag"
		}
		switch {
		case s.Map == nil:
		case m.IFramesOnly:
			v = max(v, 5, s.Map.Key.minimum()) // "the EXT-X-MAP tag"
		default:
			v = max(v, 6, s.Map.Key.minimum()) // "EXT-X-MAP in a Media Playlist that does not contain EXT-X-I-FRAMES-ONLY"
		}
	}
	return v
}

func (k *Key) minimum() int {
	v := 1
	if k == nil {
		return v
	}
	if isHex(k.IV) {
		v = 2 // "the IV attribute of the EXT-X-KEY tag"
	}
	if strings.HasPrefix(k.Method, "SAMPLE-AES") || k.KeyFormat != "" || k.KeyFormatVersions != "" {
		v = 5 // "METHOD=SAMPLE-AES", "KEYFORMAT and KEYFORMATVERSIONS"
	}
	for i := range k.Also {
		v = max(v, k.Also[i].minimum())
	}
	return v
}

// minimum is the least EXT-X-VERSION that the content needs (HLSbis 8).
func (m *Multivariant) minimum() int {
	v := 1
	for i := range m.Renditions {
		switch r := &m.Renditions[i]; {
		case r.InstreamID == "":
		case r.Type != "CLOSED-CAPTIONS":
			v = max(v, 13) // "INSTREAM-ID on an EXT-X-MEDIA tag other than CLOSED-CAPTIONS"
		case strings.HasPrefix(r.InstreamID, "SERVICE"):
			v = max(v, 7) // "SERVICE values of the INSTREAM-ID attribute"
		}
	}
	return v
}
