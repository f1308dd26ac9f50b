package web

import (
	"math"
	"strconv"
	"strings"
)

// A Range is one range of bytes as a client names it (RFC 9110 section 14.1.2):
// First to Last, both included. Last -1 means to the end. First -1 means the
// last Last bytes.
type Range struct{ First, Last int64 }

// maxRanges is how many ranges of one field are read. A field that holds more
// is ignored, as RFC 9110 section 14.2 advises for many small ranges.
const maxRanges = 16

// OpenEnd is the last position that clients name when they mean "to the end,
// wherever it will be" (RFC 8216bis section 4.4.5.3, RFC 8673): 2^53-1.
const OpenEnd = 1<<53 - 1

// ParseRange reads a Range field. False means that there is no usable range of
// bytes in it, another unit or a malformed one, and that the field is to be
// ignored. Numbers too large for an int64 are held at its largest value.
func ParseRange(s string) ([]Range, bool) {
	unit, set, ok := strings.Cut(s, "=")
	if !ok || !strings.EqualFold(unit, "bytes") {
		return nil, false
	}
	var ranges []Range
	for elem := range strings.SplitSeq(set, ",") {
		elem = strings.Trim(elem, " \t")
		if elem == "" {
			continue // "a recipient MUST parse and ignore a reasonable number of empty list elements"
		}
		first, last, ok := strings.Cut(elem, "-")
		if !ok || len(ranges) == maxRanges {
			return nil, false
		}
		r := Range{-1, -1}
		if first != "" {
			if r.First, ok = digits(first); !ok {
				return nil, false
			}
		}
		if last != "" {
			if r.Last, ok = digits(last); !ok {
				return nil, false
			}
		}
		if first == "" && last == "" || first != "" && last != "" && r.Last < r.First {
			return nil, false
		}
		ranges = append(ranges, r)
	}
	return ranges, len(ranges) > 0
}

// within returns the bytes that r names of total ones, whose number is known.
// False means that there are none; a range that is satisfiable and yet names
// none, a suffix of nothing, has its First behind its Last.
func (r Range) within(total int64) (Range, bool) {
	switch {
	case r.First < 0:
		// "If a selected representation is [shorter] than the specified
		// suffix-length, the entire representation is used" (section 14.1.2).
		return Range{max(0, total-r.Last), total - 1}, r.Last > 0
	case r.First >= total:
		return Range{}, false
	case r.Last < 0 || r.Last >= total:
		return Range{r.First, total - 1}, true
	}
	return r, true
}

// ParseContentRange reads a Content-Range field that names bytes; total is -1
// where the field says that it is not known. False also means a field that
// contradicts itself, which "a recipient MUST NOT attempt to recombine" (RFC
// 9110 section 14.4).
func ParseContentRange(s string) (r Range, total int64, ok bool) {
	unit, s, _ := strings.Cut(s, " ")
	span, size, cut := strings.Cut(s, "/")
	first, last, dash := strings.Cut(span, "-")
	if !strings.EqualFold(unit, "bytes") || !cut || !dash {
		return r, 0, false
	}
	if r.First, ok = digits(first); !ok {
		return r, 0, false
	}
	if r.Last, ok = digits(last); !ok || r.Last < r.First {
		return r, 0, false
	}
	if size == "*" {
		return r, -1, true
	}
	total, ok = digits(size)
	return r, total, ok && r.Last < total
}

// digits reads an unsigned decimal number of any length, held at the largest int64.
func digits(s string) (int64, bool) {
	if s == "" {
		return 0, false
	}
	n := int64(0)
	for i := 0; i < len(s); i++ {
		c := s[i] - '0'
		if c > 9 {
			return 0, false
		}
		if n > (math.MaxInt64-int64(c))/10 {
			n = math.MaxInt64
			continue
		}
		n = n*10 + int64(c)
	}
	return n, true
}

// ContentRange renders a Content-Range field; total -1 is not known yet.
func ContentRange(first, last, total int64) string {
	b := make([]byte, 0, 64)
	b = append(b, "bytes "...)
	b = strconv.AppendInt(b, first, 10)
	b = append(b, '-')
	b = strconv.AppendInt(b, last, 10)
	b = append(b, '/')
	if total < 0 {
		return string(append(b, '*'))
	}
	return string(strconv.AppendInt(b, total, 10))
}
