package playlist

import (
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// dateLayout is RFC 3339 with milliseconds; times are brought to UTC first.
const dateLayout = "2006-01-02T15:04:05.000Z"

const hexDigits = "0123456789ABCDEF"

// appendURI appends uri as RFC 3986 allows it to be written: what would end a line, close
// a quote or make the line a comment is percent-escaped, so that no name of a file can say
// more than a name.
func appendURI(dst []byte, uri string) []byte {
	for i := 0; i < len(uri); i++ {
		if c := uri[i]; uriByte(c) && (c != '#' || i > 0) {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return dst
}

func uriByte(c byte) bool {
	switch c {
	case '"', '<', '>', '\\', '^', '`', '{', '|', '}':
		return false
	}
	return c > 0x20 && c < 0x7f
}

// cleanURI is uri as appendURI writes it.
func cleanURI(uri string) string {
	for i := 0; i < len(uri); i++ {
		if !uriByte(uri[i]) || i == 0 && uri[i] == '#' {
			return string(appendURI(nil, uri))
		}
	}
	return uri
}

// appendText appends what a title may hold: control characters become spaces, and bytes
// that are not UTF-8 question marks.
func appendText(dst []byte, s string) []byte {
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case isControl(r):
			dst = append(dst, ' ')
		case r == utf8.RuneError && size == 1:
			dst = append(dst, '?')
		default:
			dst = append(dst, s[i:i+size]...)
		}
		i += size
	}
	return dst
}

// enumeratedByte says whether c can stand in a value without quotes.
func enumeratedByte(c byte) bool { return c > 0x20 && c < 0x7f && c != '"' && c != ',' }

// appendSeconds appends d with microseconds, trimmed to no less than three decimals: a
// version that went up and down with the fractions of the segments listed would serve no one.
func appendSeconds(dst []byte, d time.Duration) []byte {
	us := uint64(max(0, d.Round(time.Microsecond)).Microseconds())
	dst = strconv.AppendUint(dst, us/1e6, 10)
	dst = append(dst, '.')
	rest, digits := us%1e6, uint64(100000)
	for n := 0; n < 3 || rest > 0; n++ {
		dst = append(dst, '0'+byte(rest/digits))
		rest %= digits
		digits = max(1, digits/10)
	}
	return dst
}

// appendQuoted appends name="value", with a comma before it. Quotes in the value become
// apostrophes: a quoted string has no way to hold one.
func appendQuoted(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	dst = append(dst, ',')
	dst = append(dst, name...)
	dst = append(dst, '=', '"')
	from := len(dst)
	dst = appendText(dst, value)
	for i := from; i < len(dst); i++ {
		if dst[i] == '"' {
			dst[i] = '\''
		}
	}
	return append(dst, '"')
}

func appendRange(dst []byte, r ByteRange) []byte {
	dst = strconv.AppendInt(dst, max(0, r.Length), 10)
	dst = append(dst, '@')
	return strconv.AppendInt(dst, max(0, r.Offset), 10)
}

func roundFrameRate(f float64) float64 {
	if !(f > 0 && f <= 1e6) {
		return 0
	}
	return math.Round(f*1000) / 1000
}
