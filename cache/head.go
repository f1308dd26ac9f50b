package cache

import (
	"slices"
	"strings"

	"weir/internal/web"
)

// newHead returns the head of an answer, without the fields that are for one
// connection only (RFC 9111 section 3.1) and without those named in less.
func newHead(a answer, less ...string) *head {
	d := &head{
		status: a.resp.Status, received: a.received, hasAge: a.resp.Get("Age") != "",
		initialAge: a.may.InitialAge, lifetime: a.may.Lifetime,
		whileRevalidate: a.may.StaleWhileRevalidate, ifError: a.may.StaleIfError,
		mustRevalidate: a.may.MustRevalidate, noCache: a.may.NoCache,
	}
	full := a.resp.Flatten()
	d.header = without(&full, append(less, hops(&full)...))
	if !d.header.Has("Date") {
		// "A recipient with a clock that receives a response message without a
		// Date header field MUST record the time it was received and append a
		// corresponding Date header field to the message's header section if
		// it is cached or forwarded downstream" (RFC 9110 section 6.6.1).
		d.header.Add("Date", web.FormatHTTPDate(a.received))
	}
	return d
}

// hops returns the names of the fields that concern one connection only: a
// fixed few, those that Connection names (RFC 9110 section 7.6.1), and
// Content-Length, which the body knows.
func hops(h *web.Header) []string {
	names := []string{"Connection", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade",
		"Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Authorization", "Content-Length"}
	for line := range h.Values("Connection") {
		for name := range strings.SplitSeq(line, ",") {
			names = append(names, strings.Trim(name, " \t"))
		}
	}
	return names
}

// without returns h less the named fields.
func without(h *web.Header, names []string) web.Header {
	var rest web.Header
	rest.Grow(h.Len() + 1)
	for field := range h.All() {
		if !slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, field.Name) }) {
			rest.Add(field.Name, field.Value)
		}
	}
	return rest
}

// merged returns the header old as the 304 in a renews it: each field of the
// 304 replaces those of its name, except what describes a body that the 304
// does not have (RFC 9111 section 3.2). The age begins anew, and so does Date.
func merged(old *web.Header, a answer) web.Header {
	news := a.resp.Flatten()
	news = without(&news, append(hops(&news), "Content-Encoding", "Content-Range"))
	var names []string
	for field := range news.All() {
		names = append(names, field.Name)
	}
	h := without(old, append(names, "Age", "Date"))
	for field := range news.All() {
		h.Add(field.Name, field.Value)
	}
	return h
}
