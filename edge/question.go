package edge

import (
	"strings"

	"weir/cache"
	"weir/internal/web"
	"weir/playlist"
	"weir/token"
)

// A question is what a request asks for, less who asks.
type question struct {
	class    cache.Class
	path     string // clean, without a token: what is checked, keyed and asked upstream
	query    string // what goes upstream
	key      string
	header   *web.Header // what goes upstream, less CDN-Loop
	loop     string      // the request's CDN-Loop, which anybody can forge
	blocking bool        // an origin may hold it until there is something to tell
	personal bool        // a playlist in it must hand the token down to what it names

	token    string
	carrier  token.Carrier
	tokenErr error // of the token's form
}

func (q *question) lookup() cache.Query {
	return cache.Query{Key: q.key, Header: q.header, Class: q.class}
}

// keyMark stands between path and query in a key. It is in no clean path,
// where a "?" may be (%3F): "/a%3Fb" and "/a?b" are different objects.
const keyMark = "\n"

// What goes upstream unless Options.QueryAll: the same for all who ask.
var (
	askGzip     = web.NewHeader("Accept-Encoding", "gzip")
	askIdentity = web.NewHeader("Accept-Encoding", "identity")
)

// question reads a viewer's request.
func (e *Edge) question(req *web.Request) (question, error) {
	var q question
	var rest string
	q.token, q.carrier, q.path, rest, q.tokenErr =
		token.Extract(req.Path, req.Query, req.Header.Joined("Cookie"), req.Header.Joined("Authorization"))
	q.class = classOf(q.path)
	q.personal = q.carrier == token.Query && q.tokenErr == nil && e.opts.Tokens.Load() != nil &&
		(q.class == cache.Playlist || q.class == cache.Other)
	return q, e.complete(&q, req, rest)
}

// complete fills in what does not depend on who asks.
func (e *Edge) complete(q *question, req *web.Request, query string) error {
	gzip := !q.personal && web.AcceptsGzip(&req.Header)
	q.loop = req.Header.Joined("CDN-Loop")
	if e.loop.passed(q.loop) {
		return errLoop
	}
	if len(q.loop) > maxLoop {
		q.loop = ""
	}
	if e.opts.QueryAll {
		q.query = dropParameter(query, cmcdParameter)
		q.blocking = strings.Contains(q.query, "_HLS_msn=")
		h := forwarded(&req.Header, gzip)
		q.header = &h
	} else {
		q.header = &askIdentity
		if gzip {
			q.header = &askGzip
		}
		if query != "" && (q.class == cache.Playlist || q.class == cache.Other) {
			d, err := playlist.ParseDirectives(query)
			if err != nil {
				return badDirective(err)
			}
			q.query, q.blocking = d.Canonical(), d.MSN >= 0
		}
	}
	q.key = q.path
	if q.query != "" {
		q.key = q.path + keyMark + q.query
	}
	return nil
}

// cmcdParameter carries what a player tells about itself (CTA-5004): different
// in every request, and nobody's business upstream.
const cmcdParameter = "CMCD"

// dropParameter returns query without the parameters called name.
func dropParameter(query, name string) string {
	if !strings.Contains(query, name) {
		return query
	}
	var kept []string
	for pair := range strings.SplitSeq(query, "&") {
		if n, _, _ := strings.Cut(pair, "="); n != name {
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, "&")
}

// classOf tells by its name what a path leads to. It is for metrics, and so
// that what is surely no playlist is not treated as one.
func classOf(path string) cache.Class {
	name := path[strings.LastIndexByte(path, '/')+1:]
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 {
		return cache.Other
	}
	switch name[dot+1:] {
	case "m3u8", "m3u":
		return cache.Playlist
	case "mp4", "m4v", "m4a", "cmfv", "cmfa", "cmft":
		if strings.Contains(name, "init") {
			return cache.Init
		}
		return cache.Segment
	case "ts", "m4s", "aac", "mp3", "ac3", "ec3", "vtt", "webvtt", "m2ts":
		return cache.Segment
	}
	return cache.Other
}

// notForwarded are the request fields that QueryAll does not send upstream:
// those of one hop, those that say who asks, those whose meaning the edge has
// taken over, those by which a request claims to be another than its key says
// (all of X-Forwarded- too), and those by which weir's nodes speak with each
// other.
var notForwarded = map[string]bool{
	"connection": true, "keep-alive": true, "proxy-connection": true, "te": true, "trailer": true,
	"transfer-encoding": true, "upgrade": true, "proxy-authorization": true, "expect": true, "host": true, "content-length": true,
	"authorization": true, "cookie": true, "referer": true, "origin": true, "forwarded": true, "via": true,
	"x-real-ip": true, "x-playback-session-id": true, "x-host": true, "x-original-url": true, "x-rewrite-url": true,
	"x-http-method": true, "x-http-method-override": true, "x-method-override": true,
	"accept-encoding": true, "range": true, "if-range": true, "if-match": true, "if-none-match": true, "if-modified-since": true,
	"if-unmodified-since": true, "cache-control": true, "pragma": true, "cdn-loop": true, "priority": true,
}

// forwarded returns the fields that go upstream under QueryAll.
func forwarded(h *web.Header, gzip bool) web.Header {
	var out web.Header
	out.Grow(h.Len() + 2)
	if gzip {
		out.Add("Accept-Encoding", "gzip")
	} else {
		out.Add("Accept-Encoding", "identity")
	}
	hop := h.Joined("Connection")
	for f := range h.All() {
		name := strings.ToLower(f.Name)
		if !notForwarded[name] && !strings.HasPrefix(name, "weir-") && !strings.HasPrefix(name, "x-forwarded-") &&
			!strings.HasPrefix(name, "cmcd-") && !strings.HasPrefix(name, "sec-") && !strings.HasPrefix(name, "access-control-") && !listed(hop, name) {
			out.Add(f.Name, f.Value)
		}
	}
	return out
}

// listed reports whether a comma-separated list holds name.
func listed(list, name string) bool {
	for list != "" {
		var member string
		member, list, _ = strings.Cut(list, ",")
		if strings.EqualFold(strings.Trim(member, " \t"), name) {
			return true
		}
	}
	return false
}
