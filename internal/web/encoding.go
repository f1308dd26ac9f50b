package web

import "strings"

// AcceptsGzip reports whether Accept-Encoding allows the gzip coding (RFC 9110
// section 12.5.3). A missing field counts as no, as does a weight that cannot
// be read: the identity coding is right for everybody.
func AcceptsGzip(h *Header) bool {
	star := false
	for line := range h.Values("Accept-Encoding") {
		for elem := range strings.SplitSeq(line, ",") {
			coding, params, weighted := strings.Cut(elem, ";")
			coding = strings.Trim(coding, " \t")
			ok := !weighted || positiveWeight(params)
			switch {
			case strings.EqualFold(coding, "gzip"), strings.EqualFold(coding, "x-gzip"):
				return ok
			case coding == "*":
				star = ok
			}
		}
	}
	return star
}

// positiveWeight reads ` q=0.5` and reports whether it is a weight above 0.
func positiveWeight(s string) bool {
	name, v, ok := strings.Cut(strings.Trim(s, " \t"), "=")
	if !ok || !strings.EqualFold(name, "q") || len(v) == 0 || len(v) > len("0.000") {
		return false
	}
	if len(v) > 1 && v[1] != '.' || v[0] != '0' && v[0] != '1' {
		return false
	}
	positive := v[0] == '1'
	for _, c := range []byte(v[min(2, len(v)):]) {
		if c < '0' || c > '9' {
			return false
		}
		positive = positive || c != '0'
	}
	return positive
}
