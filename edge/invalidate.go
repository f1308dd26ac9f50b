package edge

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"weir/internal/web"
)

// invalidated makes unusable here what a successful unsafe request may have
// changed: "A cache MUST invalidate the target URI [...] when it receives a
// non-error status code in response to an unsafe request method (including
// methods whose safety is unknown)" (RFC 9111 section 4.4), and it MAY do the
// same for what Location and Content-Location name, where that has the same
// origin.
func (e *Edge) invalidated(req *web.Request, q *question, resp *web.Response) {
	e.invalidate(q.path, q.query)
	for _, name := range [...]string{"Location", "Content-Location"} {
		if path, query, ok := sameOrigin(req, q, resp.Get(name)); ok {
			e.invalidate(path, dropParameter(query, cmcdParameter))
		}
	}
	e.metrics.invalidated.Inc()
}

// invalidate forgets all that is kept of one URI.
func (e *Edge) invalidate(path, query string) { e.cache.Invalidate(keyOf(path, query)) }

// sameOrigin resolves a reference of an answer against the request's URI. False
// means that it names something of another origin, or nothing that is served
// here.
func sameOrigin(req *web.Request, q *question, ref string) (path, query string, ok bool) {
	if ref == "" {
		return "", "", false
	}
	ref, _, _ = strings.Cut(ref, "#")
	if strings.HasPrefix(ref, "//") {
		ref = scheme(req) + ":" + ref
	}
	end := strings.IndexAny(ref, "/?")
	if end < 0 {
		end = len(ref)
	}
	switch {
	case ref == "":
		return "", "", false // the target itself
	case strings.IndexByte(ref[:end], ':') >= 0: // it begins with a scheme
		rest, found := cutFold(ref, scheme(req)+"://")
		host, after := rest, "/"
		if i := strings.IndexAny(rest, "/?"); i >= 0 {
			host, after = rest[:i], rest[i:]
		}
		if !found || req.Host == "" || !strings.EqualFold(host, req.Host) {
			return "", "", false
		}
		if ref = after; ref[0] == '?' {
			ref = "/" + ref
		}
	case ref[0] == '?':
		return q.path, ref[1:], true
	case ref[0] != '/':
		ref = web.EscapePath(q.path[:strings.LastIndexByte(q.path, '/')+1]) + ref
	}
	raw, query, _ := strings.Cut(ref, "?")
	path, err := web.CleanPath(raw)
	return path, query, err == nil
}

func cutFold(s, prefix string) (rest string, ok bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

// compared holds what is kept of an URI against a HEAD that the origin, asked at
// the time given, has just answered: where they agree it is as good as new, and
// where they differ of no use any more (RFC 9111 section 4.3.5).
func (e *Edge) compared(q *question, resp *web.Response, asked time.Time) {
	o, _ := e.cache.Peek(q.lookup())
	if o == nil {
		return
	}
	status, sliced := o.Status(), o.Len() == 0 && o.Header().Has(slicesField)
	kept := o.Header()
	o.Release()
	if status != http.StatusOK {
		e.cache.Invalidate(q.key)
		return
	}
	if resp.Get("Content-Encoding") != kept.Get("Content-Encoding") {
		return // of another representation, which whoever asked prefers
	}
	length := int64(-1)
	if resp.Body != nil {
		length = resp.Body.Len()
	}
	if sliced { // what is kept is the head alone
		if said := resp.Get("ETag"); said != kept.Get("ETag") || length >= 0 && strconv.FormatInt(length, 10) != kept.Get(slicesField) {
			e.cache.Invalidate(q.key)
		}
		return
	}
	e.cache.Refresh(q.lookup(), resp, length, asked)
}
