package playlist

import "bytes"

// What Kind tells apart.
const (
	KindMedia        = "media"
	KindMultivariant = "multivariant"
)

// Kind tells by the first decisive tag whether p is a media playlist, a multivariant
// playlist, or neither, which is "". It looks at no more than MaxBytes and validates
// nothing.
func Kind(p []byte) string {
	p = p[:min(len(p), MaxBytes)]
	if !bytes.HasPrefix(p, []byte("#EXTM3U")) {
		return ""
	}
	for len(p) > 0 {
		var line []byte
		line, p, _ = bytes.Cut(p, []byte{'\n'})
		if len(line) < 2 || line[0] != '#' {
			continue
		}
		tag, _, _ := bytes.Cut(bytes.TrimSpace(line[1:]), []byte{':'})
		switch scopeOf(string(tag)) {
		case inMedia:
			return KindMedia
		case inMultivariant:
			return KindMultivariant
		}
	}
	return ""
}
