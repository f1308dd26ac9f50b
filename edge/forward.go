package edge

import (
	"net/http"
	"strings"

	"weir/internal/web"
)

// notForwarded are the request fields that Options.QueryAll does not send
// upstream with a question that many share: those of one hop, those that say
// who asks, those whose meaning the edge has taken over, those by which a
// request claims to be another than its key says (all of X-Forwarded- too), and
// those by which weir's nodes speak with each other.
var notForwarded = map[string]bool{
	"connection": true, "keep-alive": true, "proxy-connection": true, "te": true, "trailer": true,
	"transfer-encoding": true, "upgrade": true, "proxy-authorization": true, "proxy-authenticate": true, "expect": true, "host": true, "content-length": true,
	"authorization": true, "cookie": true, "referer": true, "origin": true, "forwarded": true, "via": true,
	"x-real-ip": true, "x-client-ip": true, "x-cluster-client-ip": true, "true-client-ip": true, "cf-connecting-ip": true, "fastly-client-ip": true,
	"x-forwarded": true, "x-playback-session-id": true, "x-host": true, "x-original-host": true, "x-http-host-override": true, "x-original-url": true, "x-rewrite-url": true,
	"x-http-method": true, "x-http-method-override": true, "x-method-override": true, "max-forwards": true,
	"accept-encoding": true, "range": true, "if-range": true, "if-match": true, "if-none-match": true, "if-modified-since": true,
	"if-unmodified-since": true, "cache-control": true, "pragma": true, "cdn-loop": true, "priority": true,
}

// forwarded returns the fields that go upstream under QueryAll for all who ask
// the same. Who a viewer says that he is goes with them only where this edge
// does not itself decide who may have what: then the upstream's answer says
// whether it is for others (RFC 9111 section 3.5, and web.WhyCookie).
func (e *Edge) forwarded(h *web.Header, gzip bool) web.Header {
	var out web.Header
	out.Grow(h.Len() + 3)
	if gzip {
		out.Add("Accept-Encoding", "gzip")
	} else {
		out.Add("Accept-Encoding", "identity")
	}
	open := e.opts.Tokens.Load() == nil
	hop := h.Joined("Connection")
	for f := range h.All() {
		if name := strings.ToLower(f.Name); e.forwards(name, open) && !listed(hop, name) {
			out.Add(f.Name, f.Value)
		}
	}
	if e.via != "" {
		out.Add("Via", e.via)
	}
	return out
}

// forwards reports whether a request field of that name, in lower case, goes
// upstream with a question that many share. Open says that there are no tokens.
func (e *Edge) forwards(name string, open bool) bool {
	if open && (name == "authorization" || name == "cookie" && !e.opts.DropCookies) {
		return true
	}
	return !notForwarded[name] && !strings.HasPrefix(name, "weir-") && !strings.HasPrefix(name, "x-forwarded-") &&
		!strings.HasPrefix(name, "cmcd-") && !strings.HasPrefix(name, "sec-") && !strings.HasPrefix(name, "access-control-")
}

// passedOn returns the fields that go upstream with a request that is passed on
// for one viewer: all but those of one hop, those that the edge writes itself,
// and those by which it would reach another object than its path says.
func (e *Edge) passedOn(req *web.Request, q *question) web.Header {
	var out web.Header
	out.Grow(req.Header.Len() + 6)
	open := e.opts.Tokens.Load() == nil
	hop := req.Header.Joined("Connection")
	for f := range req.Header.All() {
		switch name := strings.ToLower(f.Name); name {
		case "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
			"proxy-authorization", "proxy-authenticate", "expect", "host", "via", "cdn-loop", "max-forwards",
			"forwarded", "x-real-ip", "x-host", "x-original-url", "x-rewrite-url":
		case "authorization", "cookie", "referer": // where there are tokens they may hold one
			if open && (name != "cookie" || !e.opts.DropCookies) && !listed(hop, name) {
				out.Add(f.Name, f.Value)
			}
		default:
			if !strings.HasPrefix(name, "weir-") && !strings.HasPrefix(name, "x-forwarded-") && !strings.HasPrefix(name, "cmcd-") && !listed(hop, name) {
				out.Add(f.Name, f.Value)
			}
		}
	}
	if req.Method == http.MethodOptions {
		if n, ok := maxForwards(req); ok { // it is not 0 here
			out.Add("Max-Forwards", decimal(n-1))
		}
	}
	out.Add("CDN-Loop", e.loop.add(q.loop))
	if e.via != "" {
		out.Add("Via", joined(req.Header.Joined("Via"), e.via))
	}
	if req.Remote.IsValid() {
		out.Add("X-Forwarded-For", req.Remote.Addr().String())
	}
	out.Add("X-Forwarded-Proto", scheme(req))
	if req.Host != "" {
		out.Add("X-Forwarded-Host", req.Host)
	}
	return out
}

func joined(list, member string) string {
	if list == "" {
		return member
	}
	return list + ", " + member
}

func scheme(req *web.Request) string {
	if req.TLS {
		return "https"
	}
	return "http"
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
