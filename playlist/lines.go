package playlist

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Bounds of what is parsed, beside MaxBytes. A playlist beyond them is refused.
const (
	maxLine       = 16 << 10 // bytes
	maxVariants   = 128
	maxRenditions = 256
	maxAttributes = 64
	maxKeys       = 8 // key formats in force at once
)

// lines walks the lines of a playlist and holds each to HLSbis 4.1: "Playlist files MUST be
// encoded in UTF-8. They MUST NOT contain any Byte Order Mark (BOM); clients SHOULD fail to
// parse Playlists that contain a BOM or do not parse as UTF-8. Playlist files MUST NOT
// contain UTF-8 control characters (U+0000 to U+001F and U+007F to U+009F), with the
// exceptions of CR (U+000D) and LF (U+000A)."
type lines struct {
	rest []byte
	n    int // number of the line returned last, from 1
}

// start checks what can be checked of the whole, and takes the first line.
func start(p []byte) (*lines, error) {
	if len(p) > MaxBytes {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are read", ErrTooLarge, len(p), MaxBytes)
	}
	l := &lines{rest: p}
	if bytes.HasPrefix(p, []byte("\xef\xbb\xbf")) {
		l.n = 1
		return nil, l.errorf("begins with a byte order mark")
	}
	if first, ok, err := l.next(); err != nil {
		return nil, err
	} else if !ok || first != "#EXTM3U" || l.n != 1 {
		l.n = 1
		return nil, l.errorf("is not #EXTM3U")
	}
	return l, nil
}

// next returns the next line that is not blank, without the white space around it.
func (l *lines) next() (line string, ok bool, err error) {
	for len(l.rest) > 0 {
		raw, rest, _ := bytes.Cut(l.rest, []byte{'\n'})
		l.rest = rest
		l.n++
		raw = bytes.TrimSuffix(raw, []byte{'\r'})
		if len(raw) > maxLine {
			return "", false, l.errorf("has %d bytes, at most %d are read", len(raw), maxLine)
		}
		if err := l.check(raw); err != nil {
			return "", false, err
		}
		if raw = bytes.TrimSpace(raw); len(raw) > 0 {
			return string(raw), true, nil
		}
	}
	return "", false, nil
}

func (l *lines) check(raw []byte) error {
	for i := 0; i < len(raw); {
		if c := raw[i]; c >= 0x20 && c < 0x7f {
			i++
			continue
		}
		r, size := utf8.DecodeRune(raw[i:])
		switch {
		case r == utf8.RuneError && size <= 1:
			return l.errorf("is not UTF-8 at byte %d", i+1)
		case isControl(r) && r != '\t':
			return l.errorf("has control character %U at byte %d", r, i+1)
		case r == '\t' && !bytes.HasPrefix(raw, []byte("#EXT-X-SKIP:")):
			// RECENTLY-REMOVED-DATERANGES is "a tab (0x9) delimited list" (4.4.5.2).
			return l.errorf("has a tab at byte %d", i+1)
		}
		i += size
	}
	return nil
}

// errorf makes an error that names the current line.
func (l *lines) errorf(format string, args ...any) error {
	return fmt.Errorf("playlist line %d "+format, append([]any{l.n}, args...)...)
}

func isControl(r rune) bool { return r < 0x20 || r >= 0x7f && r <= 0x9f }

// splitTag cuts "#EXT-X-NAME:value" in two. Comments, which are all other lines that begin
// with "#", have an empty name.
func splitTag(line string) (name, value string) {
	if !strings.HasPrefix(line, "#EXT") {
		return "", ""
	}
	name, value, _ = strings.Cut(line[1:], ":")
	return name, value
}

// scope says in which kind of playlist a tag stands.
type scope uint8

const (
	anywhere scope = iota // also for tags that are not known: they are ignored (6.3.1)
	inMedia
	inMultivariant
)

// scopeOf tells a tag's place. "A Playlist MUST NOT contain both" Media and Multivariant
// tags (4.4.3, 4.4.6).
func scopeOf(tag string) scope {
	switch tag {
	case "EXTINF", "EXT-X-TARGETDURATION", "EXT-X-MEDIA-SEQUENCE", "EXT-X-DISCONTINUITY-SEQUENCE",
		"EXT-X-ENDLIST", "EXT-X-PLAYLIST-TYPE", "EXT-X-I-FRAMES-ONLY", "EXT-X-PART-INF",
		"EXT-X-SERVER-CONTROL", "EXT-X-BYTERANGE", "EXT-X-DISCONTINUITY", "EXT-X-KEY", "EXT-X-MAP",
		"EXT-X-PROGRAM-DATE-TIME", "EXT-X-GAP", "EXT-X-BITRATE", "EXT-X-PART", "EXT-X-SKIP",
		"EXT-X-PRELOAD-HINT", "EXT-X-RENDITION-REPORT", "EXT-X-DATERANGE":
		return inMedia
	case "EXT-X-MEDIA", "EXT-X-STREAM-INF", "EXT-X-I-FRAME-STREAM-INF", "EXT-X-SESSION-DATA",
		"EXT-X-SESSION-KEY", "EXT-X-CONTENT-STEERING":
		return inMultivariant
	}
	return anywhere
}
