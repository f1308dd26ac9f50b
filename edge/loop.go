package edge

import "strings"

// loop writes and reads CDN-Loop (RFC 8586): each edge that forwards a request
// adds its cluster and its name, and refuses one that bears both already. Two
// edges of a cluster may both be on a request's way, one edge twice may not.
type loop struct{ cluster, node string }

// maxLoop is how long a CDN-Loop may be to be sent on, in bytes.
const maxLoop = 512

// add returns field with this node appended.
func (l loop) add(field string) string {
	own := l.cluster + "; node=" + l.node
	if field == "" {
		return own
	}
	return field + ", " + own
}

// passed reports whether field says that the request was here before. What is
// in quotes is a value and names nobody. A field with a quote that never ends
// is read as if there were none: it could hide whoever was added behind it.
func (l loop) passed(field string) bool {
	quotes := wellQuoted(field)
	for field != "" {
		var info string
		info, field = cutOutside(field, ',', quotes)
		id, params := cutOutside(info, ';', quotes)
		if !strings.EqualFold(strings.Trim(id, " \t"), l.cluster) {
			continue
		}
		for params != "" {
			var param string
			param, params = cutOutside(params, ';', quotes)
			name, value, _ := strings.Cut(strings.Trim(param, " \t"), "=")
			if strings.EqualFold(strings.TrimRight(name, " \t"), "node") && strings.Trim(value, "\" \t") == l.node {
				return true
			}
		}
	}
	return false
}

// sendable returns what of a request's CDN-Loop is sent on: "a CDN MUST NOT
// modify or remove" it (RFC 8586 section 2), but for one that is malformed or
// longer than any honest way.
func (l loop) sendable(field string) string {
	if len(field) > maxLoop || !wellQuoted(field) {
		return ""
	}
	return field
}

// cutOutside cuts s at the first sep that is in no quoted string (RFC 9110
// section 5.6.4), or, without quotes, at the first.
func cutOutside(s string, sep byte, quotes bool) (before, after string) {
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == sep:
			return s[:i], s[i+1:]
		case s[i] == '"' && quotes:
			i = closing(s, i)
		}
	}
	return s, ""
}

// closing returns where the quoted string ends that begins at i, or len(s).
func closing(s string, i int) int {
	for i++; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return len(s)
}

// wellQuoted reports whether every quoted string in s ends.
func wellQuoted(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] == '"' {
			if i = closing(s, i); i >= len(s) {
				return false
			}
		}
	}
	return true
}
