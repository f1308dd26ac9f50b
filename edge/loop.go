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

// passed reports whether field says that the request was here before.
func (l loop) passed(field string) bool {
	for field != "" {
		var info string
		info, field, _ = strings.Cut(field, ",")
		id, params, _ := strings.Cut(info, ";")
		if !strings.EqualFold(strings.Trim(id, " \t"), l.cluster) {
			continue
		}
		for params != "" {
			var param string
			param, params, _ = strings.Cut(params, ";")
			name, value, _ := strings.Cut(strings.Trim(param, " \t"), "=")
			if strings.EqualFold(name, "node") && strings.Trim(value, `"`) == l.node {
				return true
			}
		}
	}
	return false
}
