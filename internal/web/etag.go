package web

import "strings"

// MatchETag reports whether the entity tag etag is among those that an
// If-None-Match field lists, by weak comparison (RFC 9110 section 8.8.3.2):
// W/"1" matches "1". The list "*" matches whatever exists. Elements that are
// no entity tags match nothing; what follows the first of them is not read.
func MatchETag(list, etag string) bool {
	if strings.Trim(list, " \t") == "*" {
		return true
	}
	opaque := strings.TrimPrefix(etag, "W/")
	if !validETag(opaque) {
		return false
	}
	for tag := range eachETag(list) {
		if strings.TrimPrefix(tag, "W/") == opaque {
			return true
		}
	}
	return false
}

// matchStrong is MatchETag by strong comparison, which If-Match demands:
// neither tag may be weak.
func matchStrong(list, etag string) bool {
	if strings.Trim(list, " \t") == "*" {
		return true
	}
	if !validETag(etag) {
		return false
	}
	for tag := range eachETag(list) {
		if tag == etag {
			return true
		}
	}
	return false
}

// eachETag yields the entity tags of a comma-separated list, up to the first
// thing that is none.
func eachETag(list string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for {
			list = strings.TrimLeft(list, " \t,")
			start := 0
			if strings.HasPrefix(list, "W/") {
				start = 2
			}
			if len(list) <= start || list[start] != '"' {
				return
			}
			end := strings.IndexByte(list[start+1:], '"')
			if end < 0 {
				return
			}
			end += start + 2
			if !validETag(list[start:end]) || !yield(list[:end]) {
				return
			}
			list = strings.TrimLeft(list[end:], " \t")
			if list != "" && list[0] != ',' {
				return
			}
		}
	}
}

// validETag reports whether s is a strong entity tag: etagc of RFC 9110
// section 8.8.3 between two quotes.
func validETag(s string) bool {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return false
	}
	for i := 1; i < len(s)-1; i++ {
		if c := s[i]; c <= ' ' || c == '"' || c == 0x7f {
			return false
		}
	}
	return true
}
