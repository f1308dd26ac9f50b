package web

import (
	"net/http"
	"strings"
	"time"
)

// Freshness is what a shared cache may do with an answer.
type Freshness struct {
	Store    bool          // it may be kept for others
	Why      string        // if not Store, why: a short fixed code for logs and metrics
	Lifetime time.Duration // how old it may become before it is stale; 0: it is stale at once

	// InitialAge is how old the answer was when it was received. Its age
	// later is InitialAge plus the time since then, and it is fresh while
	// that is less than Lifetime.
	InitialAge time.Duration

	// For how long after Lifetime it may still be served: while a new one is
	// fetched, and when that fails (RFC 5861). 0: not at all.
	StaleWhileRevalidate, StaleIfError time.Duration

	MustRevalidate bool     // never served stale, not even to hide an outage
	NoCache        bool     // to be validated before each use
	Private        bool     // it is for one viewer
	Explicit       bool     // Lifetime was said by the upstream, not guessed
	Strip          []string // fields that must not be stored: those of private="..." and no-cache="..."
}

// Reasons in Freshness.Why.
const (
	WhyMethod        = "method"
	WhyStatus        = "status"
	WhyNoStore       = "no-store"
	WhyPrivate       = "private"
	WhyAuthorization = "authorization"
	WhyVaryAny       = "vary-any"
	WhyCookie        = "cookie"
)

// Judge decides for a shared cache what it may do with resp, the answer to
// req, asked for and received at the times given (RFC 9111 sections 3 and 4.2).
// A valid Weir-Cache-Control, or else a valid CDN-Cache-Control, decides instead
// of Cache-Control and Expires (RFC 9213 section 2.2). Partial answers and 304
// are never stored as they are.
//
// Of the two formulas of RFC 9111 section 4.2.3 for the age it uses the one
// for paths without HTTP/1.0, which does not depend on clocks: Age, plus the
// time the request took. An origin that holds a request until there is
// something to tell makes that time long and its answer no older: where Date
// says that an answer without Age was made after it was asked for, only the
// time since Date counts.
func Judge(req *Request, resp *Response, asked, received time.Time) Freshness {
	h := resp.Flatten()
	cc, targeted := targetedCacheControl(&h)
	if !targeted {
		cc = ParseCacheControl(&h)
	}
	f := Freshness{
		Private:        cc.Private,
		NoCache:        cc.NoCache,
		MustRevalidate: cc.MustRevalidate || cc.ProxyRevalidate || cc.SMaxAge >= 0,
		InitialAge:     initialAge(&h, asked, received),
		Strip:          append(cc.PrivateFields, cc.NoCacheFields...),
	}
	f.Lifetime, f.Explicit = lifetime(&h, resp.Status, cc, targeted, received)
	if !f.MustRevalidate {
		// "the s-maxage directive also incorporates the semantics of the
		// proxy-revalidate response directive" (RFC 9111 section 5.2.2.10).
		f.StaleWhileRevalidate = max(0, cc.StaleWhileRevalidate)
		f.StaleIfError = max(0, cc.StaleIfError)
	}
	f.Why = whyNot(req, resp.Status, &h, cc, f.Explicit)
	if f.Why == "" && req.Header.Has("Cookie") && !cc.Public && (!f.Explicit || f.NoCache || f.Lifetime <= f.InitialAge) {
		// A cookie says who asks. An answer to it is everybody's only if it says
		// so: by public, or by a time for which it may be used without asking.
		f.Why = WhyCookie
	}
	f.Store = f.Why == ""
	return f
}

// whyNot returns why an answer may not be stored (RFC 9111 section 3), or "".
func whyNot(req *Request, status int, h *Header, cc CacheControl, explicit bool) string {
	asks := ParseCacheControl(&req.Header)
	switch {
	case req.Method != http.MethodGet:
		return WhyMethod
	case status < 200, status == http.StatusPartialContent, status == http.StatusNotModified:
		return WhyStatus
	case cc.MustUnderstand && !understood(status):
		return WhyStatus
	case cc.NoStore && !cc.MustUnderstand, asks.NoStore:
		return WhyNoStore
	case cc.Private:
		return WhyPrivate
	case req.Header.Has("Authorization") && !cc.Public && !cc.MustRevalidate && cc.SMaxAge < 0:
		return WhyAuthorization
	case !explicit && !cc.Public && !heuristic(status):
		return WhyStatus
	}
	for line := range h.Values("Vary") {
		for name := range strings.SplitSeq(line, ",") {
			if strings.Trim(name, " \t") == "*" {
				return WhyVaryAny // "A stored response with a Vary header field value containing a member "*" always fails to match."
			}
		}
	}
	return ""
}

// heuristic reports whether a status allows to guess a lifetime (RFC 9110
// section 15.1). 206 is left out: partial answers are not stored.
func heuristic(status int) bool {
	switch status {
	case 200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501:
		return true
	}
	return false
}

// understood reports whether a cache knows all that a status asks of it.
func understood(status int) bool {
	return heuristic(status) || status == 302 || status == 303 || status == 307 ||
		status == 400 || status == 403 || status == 429 || status >= 500 && status <= 504
}

// maxGuess bounds the lifetime that is guessed from Last-Modified.
const maxGuess = 24 * time.Hour

// lifetime returns how long an answer is fresh, counted from its making, and
// whether it said so itself (RFC 9111 section 4.2.1).
func lifetime(h *Header, status int, cc CacheControl, targeted bool, received time.Time) (time.Duration, bool) {
	if cc.SMaxAge >= 0 {
		return cc.SMaxAge, true
	}
	if cc.MaxAge >= 0 {
		return cc.MaxAge, true
	}
	date, ok := ParseHTTPDate(h.Get("Date"))
	if !ok {
		date = received
	}
	if !targeted && h.Has("Expires") {
		// "A cache recipient MUST interpret invalid date formats, especially
		// the value "0", as representing a time in the past".
		t, _ := ParseHTTPDate(h.Get("Expires"))
		return min(max(0, t.Sub(date)), maxDelta*time.Second), true
	}
	modified, ok := ParseHTTPDate(h.Get("Last-Modified"))
	if !ok || !heuristic(status) && !cc.Public {
		return 0, false
	}
	return min(max(0, date.Sub(modified)/10), maxGuess), false
}

// initialAge returns the age of an answer as it was received.
func initialAge(h *Header, asked, received time.Time) time.Duration {
	delay := max(0, received.Sub(asked))
	if age, ok := ageField(h); ok {
		return age + delay
	}
	if date, ok := ParseHTTPDate(h.Get("Date")); ok && !date.Before(asked.Truncate(time.Second)) {
		delay = min(delay, max(0, received.Sub(date)))
	}
	return delay
}

// ageField reads Age (RFC 9111 section 5.1): of a list the first member, of an
// invalid one nothing.
func ageField(h *Header) (time.Duration, bool) {
	first, _, _ := strings.Cut(h.Get("Age"), ",")
	n, ok := digits(strings.Trim(first, " \t"))
	return time.Duration(min(n, maxDelta)) * time.Second, ok
}

// targets are the fields that may speak to this cache alone, in the order in
// which they count: the "target list" of RFC 9213 section 2.2.
var targets = [...]string{"Weir-Cache-Control", "CDN-Cache-Control"}

// targetedCacheControl reads the first target that is valid and says something.
func targetedCacheControl(h *Header) (CacheControl, bool) {
	for _, name := range targets {
		if cc, ok := targetControl(h, name); ok {
			return cc, true
		}
	}
	return CacheControl{}, false
}

// targetControl reads one of the targets, a Dictionary (RFC 9213 section 2.1).
// False means that it is absent, empty, malformed or without any directive of
// the right type, and that the next one or Cache-Control decides.
func targetControl(h *Header, name string) (CacheControl, bool) {
	cc := emptyCacheControl()
	members, ok := parseDictionary(h.Joined(name))
	if !ok {
		return cc, false
	}
	used := false
	for _, m := range members {
		switch {
		case strings.HasPrefix(m.key, "stale-"), m.key == "max-age", m.key == "s-maxage":
			if m.kind != sfInt || m.n < 0 {
				continue
			}
			seconds := time.Duration(min(m.n, maxDelta)) * time.Second
			switch m.key {
			case "max-age":
				cc.MaxAge = seconds
			case "s-maxage":
				cc.SMaxAge = seconds
			case "stale-while-revalidate":
				cc.StaleWhileRevalidate = seconds
			case "stale-if-error":
				cc.StaleIfError = seconds
			}
		case m.kind == sfString && (m.key == "private" || m.key == "no-cache"):
			cc.set(m.key, m.s, true)
		case m.kind != sfBool:
			continue
		case m.n == 1:
			cc.set(m.key, "", false)
		}
		used = true
	}
	return cc, used
}

// HiddenByStale reports whether a stale answer may stand in for a status: "an
// error is any situation that would result in a 500, 502, 503, or 504 HTTP
// response status code being returned" (RFC 5861 section 4).
func HiddenByStale(status int) bool {
	switch status {
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}
