package edge

import (
	"net/url"
	"strings"

	"weir/cache"
	"weir/internal/web"
	"weir/playlist"
)

// resolve returns the key of a URI that stands in the playlist that q asked for.
// It is "" where it leads to another host, or is no place to ask: such URIs are
// never fetched, whoever wrote them. It is what question makes of the request by
// which a viewer asks for it.
func (a *Aware) resolve(q *question, ref string) string {
	if plainRef(ref) {
		if class := classOf(ref); class == cache.Segment || class == cache.Init {
			return q.path[:strings.LastIndexByte(q.path, '/')+1] + ref
		}
	}
	if !ownHost(ref) {
		return ""
	}
	ref, _, _ = strings.Cut(ref, "#")
	u, err := url.Parse(ref)
	if err != nil || u.Scheme != "" || u.Host != "" || u.Opaque != "" {
		return ""
	}
	base := url.URL{Path: q.path}
	path, err := web.CleanPath(base.ResolveReference(u).EscapedPath())
	if err != nil {
		return ""
	}
	query := u.RawQuery
	switch class := classOf(path); {
	case a.queryAll:
		query = dropParameter(query, cmcdParameter)
	case class == cache.Playlist, class == cache.Other:
		d, err := playlist.ParseDirectives(query)
		if err != nil {
			return ""
		}
		query = d.Canonical()
	default:
		query = ""
	}
	if query == "" {
		return path
	}
	return path + keyMark + query
}

// plainRef reports whether a reference is a name, or several with slashes between,
// that means the same however it is read.
func plainRef(ref string) bool {
	for i := 0; i < len(ref); i++ {
		c := ref[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		case c == '.' && i > 0 && ref[i-1] != '/' && ref[i-1] != '.':
		case c == '/' && i > 0 && ref[i-1] != '/' && ref[i-1] != '.':
		default:
			return false
		}
	}
	return ref != "" && len(ref) <= 512
}

// ownHost reports whether a reference is sure to lead to the playlist's own host,
// also for players that read "\" as "/".
func ownHost(ref string) bool {
	slash := func(c byte) bool { return c == '/' || c == '\\' }
	if ref == "" || len(ref) > 1 && slash(ref[0]) && slash(ref[1]) {
		return false
	}
	for i := 0; i < len(ref); i++ {
		if ref[i] <= 0x20 || ref[i] == 0x7f || ref[i] == '\\' {
			return false
		}
	}
	if strings.Contains(ref, "{$") {
		return false // a variable may hold anything (HLSbis 4.3)
	}
	end := strings.IndexAny(ref, ":/?#")
	return end < 0 || ref[end] != ':'
}

// asked returns the question for a key, as whoever asked q would ask it.
func (a *Aware) asked(q *question, key string) question {
	path, query, _ := strings.Cut(key, keyMark)
	return question{class: classOf(path), path: path, query: query, key: key, header: q.header, blocking: blocks(query)}
}
