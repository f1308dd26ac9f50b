package cache

import (
	"slices"
	"strings"

	"weir/internal/web"
)

// maxVary is how many request fields an answer may depend on, maxVariants how
// many variants of one key are kept.
const (
	maxVary     = 16
	maxVariants = 64
)

var noHeader web.Header // stands for a Query without one; never changed

// varyNames returns the request fields that an answer depends on, in lower
// case and sorted. False means that no other request is known to match it.
func varyNames(h *web.Header) ([]string, bool) {
	var names []string
	for line := range h.Values("Vary") {
		for name := range strings.SplitSeq(line, ",") {
			name = strings.ToLower(strings.Trim(name, " \t"))
			if name == "*" {
				return nil, false
			}
			if name != "" && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names, len(names) <= maxVary
}

// union returns the sorted union of two sorted lists, a itself if b adds nothing.
func union(a, b []string) []string {
	var all []string
	for _, name := range b {
		if _, ok := slices.BinarySearch(a, name); !ok {
			if all == nil {
				all = slices.Clone(a)
			}
			all = append(all, name)
		}
	}
	if all == nil {
		return a
	}
	slices.Sort(all)
	return all
}

// appendVariant appends what the named fields of a request say, in one form
// for all requests that say the same (RFC 9111 section 4.1): Accept-Encoding
// is gzip or not, lists lose their optional blanks and line breaks, and an
// absent field matches only an absent one.
func appendVariant(dst []byte, names []string, h *web.Header) []byte {
	if h == nil {
		h = &noHeader
	}
	for _, name := range names {
		switch {
		case name == "accept-encoding":
			if web.AcceptsGzip(h) {
				dst = append(dst, 'g')
			} else {
				dst = append(dst, 'i')
			}
		case !h.Has(name):
			dst = append(dst, '-')
		default:
			from := len(dst)
			if dst = appendList(append(dst, '='), name, h); name == "accept-language" {
				lower(dst[from:]) // "Language tags are case-insensitive" (RFC 5646 section 2.1.1)
			}
		}
		dst = append(dst, 0) // cannot be part of a field value
	}
	return dst
}

// appendList appends the members of a field, without the blanks around commas.
// Commas and blanks in quoted strings mean something: such lines stay as they are.
func appendList(dst []byte, name string, h *web.Header) []byte {
	for line := range h.Values(name) {
		if strings.IndexByte(line, '"') >= 0 {
			dst = append(append(dst, line...), ',')
			continue
		}
		for more := true; more; {
			var member string
			member, line, more = strings.Cut(line, ",")
			dst = append(append(dst, strings.Trim(member, " \t")...), ',')
		}
	}
	return dst
}

// lower makes ASCII letters lower-case, in place.
func lower(p []byte) {
	for i, c := range p {
		if c >= 'A' && c <= 'Z' {
			p[i] = c | 0x20
		}
	}
}
