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
	header   *web.Header                     // what goes upstream, less CDN-Loop
	loop     string                          // the request's CDN-Loop, which anybody can forge
	inform   func(status int, h *web.Header) // where interim answers go; nil: nowhere
	validate bool                            // whoever asks wants what is kept to be validated
	fwd      forward                         // why upstream was asked, for Cache-Status
	upstream int                             // the status that upstream answered with; 0: not known
	blocking bool                            // an origin may hold it until there is something to tell
	personal bool                            // a playlist in it must hand the token down to what it names

	token    string
	carrier  token.Carrier
	tokenErr error // of the token's form
}

// lookup is what the cache is asked whether it has it.
func (q *question) lookup() cache.Query {
	return cache.Query{Key: q.key, Header: q.header, Class: q.class, Validate: q.validate}
}

// wanted is lookup where the answer may have to be fetched, and kept.
func (e *Edge) wanted(q *question) cache.Query {
	cq := q.lookup()
	cq.Recorded = e.recorded(q.path)
	return cq
}

// keyMark stands between path and query in a key. It is in no clean path,
// where a "?" may be (%3F): "/a%3Fb" and "/a?b" are different objects.
const keyMark = "\n"

// asks returns what goes upstream unless Options.QueryAll: the same for all
// who ask.
func asks(coding, via string) web.Header {
	h := web.NewHeader("Accept-Encoding", coding)
	if via != "" {
		h.Add("Via", via)
	}
	return h
}

// question reads a viewer's request.
func (e *Edge) question(req *web.Request) (question, error) {
	var q question
	var rest string
	if e.opts.QueryAll && e.opts.Tokens.Load() == nil {
		q.path, rest = req.Path, req.Query // what looks like a token is the upstream's
	} else {
		q.token, q.carrier, q.path, rest, q.tokenErr =
			token.Extract(req.Path, req.Query, req.Header.Joined("Cookie"), req.Header.Joined("Authorization"))
	}
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
	q.loop, q.inform = e.loop.sendable(q.loop), req.Inform
	if e.opts.QueryAll {
		q.query = dropParameter(query, cmcdParameter)
		q.blocking = strings.Contains(q.query, "_HLS_msn=")
		h := e.forwarded(&req.Header, gzip)
		q.header = &h
	} else {
		q.header = &e.askIdentity
		if gzip {
			q.header = &e.askGzip
		}
		if query != "" && (q.class == cache.Playlist || q.class == cache.Other) {
			d, err := playlist.ParseDirectives(query)
			if err != nil {
				return badDirective(err)
			}
			q.query, q.blocking = d.Canonical(), d.MSN >= 0
		}
	}
	q.key = keyOf(q.path, q.query)
	return nil
}

func keyOf(path, query string) string {
	if query == "" {
		return path
	}
	return path + keyMark + query
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
