package playlist

import (
	"strings"
)

// mapTag reads EXT-X-MAP, which holds until the next one.
func (s *mediaScan) mapTag(value string) error {
	list, err := parseAttributes(value)
	if err != nil {
		return s.errorf("%w", err)
	}
	uri, err := list.required("URI")
	if err != nil {
		return s.errorf("%w", err)
	}
	m := &Map{URI: cleanURI(uri), Key: s.shared}
	if r := list.text("BYTERANGE"); r != "" {
		// Here the offset is required (4.4.4.5), and there is nothing it could follow.
		s.lastURI = ""
		if m.ByteRange, err = s.byteRange(r, uri); err != nil {
			return err
		}
	}
	s.next.Map = m
	return nil
}

// byteRange reads n[@o]. "If o is not present, the sub-range begins at the next byte
// following the sub-range of the previous Media Segment", which "MUST appear in the
// Playlist and MUST be a sub-range of the same media resource" (4.4.4.2).
func (s *mediaScan) byteRange(value, uri string) (*ByteRange, error) {
	length, offset, given := strings.Cut(value, "@")
	n, err := parseInteger(length)
	if err != nil || n > maxResource {
		return nil, s.errorf("has byte range %.40q, which is not one", value)
	}
	o := s.lastEnd
	switch {
	case given:
		if o, err = parseInteger(offset); err != nil || o > maxResource {
			return nil, s.errorf("has byte range %.40q, which is not one", value)
		}
	case s.lastURI != uri:
		return nil, s.errorf("has byte range %.40q, which needs an offset: it follows no other of the same resource", value)
	}
	if o+n > maxResource {
		return nil, s.errorf("has byte range %.40q, which ends beyond %d", value, int64(maxResource))
	}
	return &ByteRange{Length: n, Offset: o}, nil
}

// maxResource is the largest position in a resource: 2^53-1, as in RFC 8673.
const maxResource = 1<<53 - 1

// keyTag reads EXT-X-KEY: "It applies to every Media Segment and to every Media
// Initialization Section declared by an EXT-X-MAP tag that appears between it and the next
// EXT-X-KEY tag in the Playlist file with the same KEYFORMAT attribute" (4.4.4.4).
func (s *mediaScan) keyTag(value string) error {
	list, err := parseAttributes(value)
	if err != nil {
		return s.errorf("%w", err)
	}
	k := Key{
		Method: list.text("METHOD"), URI: cleanURI(list.text("URI")), IV: list.text("IV"),
		KeyFormat: list.text("KEYFORMAT"), KeyFormatVersions: list.text("KEYFORMATVERSIONS"),
	}
	switch {
	case k.Method == "":
		return s.errorf("has no METHOD")
	case !isEnumerated(k.Method):
		return s.errorf("has METHOD=%.40q, which is not a method", k.Method)
	case k.Method == "NONE":
		s.keys, s.shared = nil, nil
		return nil
	case k.URI == "":
		return s.errorf("has no URI")
	case k.IV != "" && !isHex(k.IV):
		return s.errorf("has IV=%.40q, which is not hexadecimal", k.IV)
	}
	keys := make([]Key, 0, len(s.keys)+1)
	for _, old := range s.keys {
		if old.format() != k.format() {
			keys = append(keys, old)
		}
	}
	if len(keys) == maxKeys {
		return s.errorf("has the key format after the %dth", maxKeys)
	}
	s.keys = append(keys, k)
	first := s.keys[0]
	if len(s.keys) > 1 {
		first.Also = s.keys[1:len(s.keys):len(s.keys)]
	}
	s.shared = &first
	return nil
}

// format is KEYFORMAT with its default.
func (k *Key) format() string {
	if k.KeyFormat == "" {
		return "identity"
	}
	return k.KeyFormat
}

func isHex(s string) bool {
	return len(s) > 2 && len(s) <= 66 && (s[:2] == "0x" || s[:2] == "0X") &&
		strings.Trim(s[2:], "0123456789ABCDEFabcdef") == ""
}

// isEnumerated says whether s can be written without quotes.
func isEnumerated(s string) bool {
	for i := 0; i < len(s); i++ {
		if !enumeratedByte(s[i]) {
			return false
		}
	}
	return s != ""
}
