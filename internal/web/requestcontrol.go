package web

import (
	"strings"
	"time"
)

// A RequestControl is what a request's Cache-Control asks of caches (RFC 9111
// section 5.2.1). None of it binds: "caches MAY [...] use stale responses", and
// a cache that many share decides by its operator whether to obey.
type RequestControl struct {
	NoCache, NoStore, OnlyIfCached bool

	// -1: absent. A max-age that is no number of seconds is 0, a min-fresh that
	// is none is as long as can be: who asks for something fresh gets it. A
	// max-stale or stale-if-error that is none allows nothing. Max-stale without
	// a value is as long as can be.
	MaxAge, MinFresh, MaxStale, StaleIfError time.Duration
}

// ParseRequestControl reads the Cache-Control fields of a request, and Pragma
// where there are none: "When the Cache-Control header field is also present,
// [...] caches ignore Pragma" (RFC 9111 section 5.4). Of a directive given
// twice the first counts.
func ParseRequestControl(h *Header) RequestControl {
	rc := RequestControl{MaxAge: -1, MinFresh: -1, MaxStale: -1, StaleIfError: -1}
	if !h.Has("Cache-Control") {
		rc.NoCache = h.Has("Pragma") && hasToken(h.Joined("Pragma"), "no-cache")
		return rc
	}
	for line := range h.Values("Cache-Control") {
		for rest := line; rest != ""; {
			var name, value string
			var valued, ok bool
			name, value, valued, rest, ok = nextDirective(rest)
			if !ok {
				break // a quoted string without end
			}
			rc.set(strings.ToLower(name), value, valued)
		}
	}
	return rc
}

// set takes in one directive.
func (rc *RequestControl) set(name, value string, valued bool) {
	switch name {
	case "no-cache":
		rc.NoCache = true
	case "no-store":
		rc.NoStore = true
	case "only-if-cached":
		rc.OnlyIfCached = true
	case "max-age":
		setSeconds(&rc.MaxAge, value)
	case "min-fresh":
		if _, ok := digits(value); !ok {
			value = "2147483648"
		}
		setSeconds(&rc.MinFresh, value)
	case "max-stale":
		if !valued {
			value = "2147483648"
		}
		setSeconds(&rc.MaxStale, value)
	case "stale-if-error":
		setSeconds(&rc.StaleIfError, value)
	}
}

// Demands reports whether the request asks for more, or is content with less,
// than a fresh answer.
func (rc *RequestControl) Demands() bool {
	return rc.NoCache || rc.MaxAge >= 0 || rc.MinFresh >= 0 || rc.MaxStale >= 0
}

// hasToken reports whether a comma-separated list holds a token, whatever its case.
func hasToken(list, token string) bool {
	for member := range strings.SplitSeq(list, ",") {
		if strings.EqualFold(strings.Trim(member, " \t"), token) {
			return true
		}
	}
	return false
}
