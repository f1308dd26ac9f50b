package web

import (
	"strings"
	"time"
)

// A CacheControl is what a Cache-Control field says (RFC 9111 section 5.2.2).
type CacheControl struct {
	NoStore, NoCache, Private, Public bool // NoCache and Private: without a list of fields
	MustRevalidate, ProxyRevalidate   bool
	Immutable, NoTransform            bool
	MustUnderstand                    bool

	// -1: absent. A value that is no number of seconds is 0: the answer is
	// stale (RFC 9111 section 4.2.1). Values end at 2^31 seconds.
	MaxAge, SMaxAge                    time.Duration
	StaleWhileRevalidate, StaleIfError time.Duration

	PrivateFields, NoCacheFields []string // from private="..." and no-cache="..."
}

// maxDelta is the largest number of seconds that counts (RFC 9111 section 1.2.2).
const maxDelta = 1 << 31

// ParseCacheControl reads the Cache-Control fields of a message. Of a directive
// given twice the first counts. A quoted string that never ends could hide a
// no-store: it counts as one.
func ParseCacheControl(h *Header) CacheControl {
	cc := emptyCacheControl()
	for line := range h.Values("Cache-Control") {
		for rest := line; rest != ""; {
			var name, value string
			var valued, ok bool
			name, value, valued, rest, ok = nextDirective(rest)
			if !ok {
				cc.NoStore = true
				break
			}
			cc.set(strings.ToLower(name), value, valued)
		}
	}
	return cc
}

func emptyCacheControl() CacheControl {
	return CacheControl{MaxAge: -1, SMaxAge: -1, StaleWhileRevalidate: -1, StaleIfError: -1}
}

// nextDirective cuts the first directive off a list. Ok is false for a quoted
// string without end.
func nextDirective(s string) (name, value string, valued bool, rest string, ok bool) {
	i := strings.IndexAny(s, "=,")
	if i < 0 {
		return strings.Trim(s, " \t"), "", false, "", true
	}
	name = strings.Trim(s[:i], " \t")
	if s[i] == ',' {
		return name, "", false, s[i+1:], true
	}
	s = s[i+1:]
	if !strings.HasPrefix(strings.TrimLeft(s, " \t"), `"`) {
		value, rest, _ = strings.Cut(s, ",")
		// A blank behind "=" is not allowed: it stays, and makes a number invalid.
		return name, strings.TrimRight(value, " \t"), true, rest, true
	}
	s = strings.TrimLeft(s, " \t")[1:]
	var b strings.Builder
	for j := 0; j < len(s); j++ {
		switch {
		case s[j] == '\\' && j+1 < len(s):
			j++
		case s[j] == '"':
			_, rest, _ = strings.Cut(s[j+1:], ",")
			return name, b.String(), true, rest, true
		}
		b.WriteByte(s[j])
	}
	return name, "", true, "", false
}

// set takes in one directive.
func (cc *CacheControl) set(name, value string, valued bool) {
	switch name {
	case "no-store":
		cc.NoStore = true
	case "no-cache":
		if valued {
			cc.NoCacheFields = append(cc.NoCacheFields, fieldNames(value)...)
		}
		cc.NoCache = cc.NoCache || len(fieldNames(value)) == 0
	case "private":
		if valued {
			cc.PrivateFields = append(cc.PrivateFields, fieldNames(value)...)
		}
		cc.Private = cc.Private || len(fieldNames(value)) == 0
	case "public":
		cc.Public = true
	case "must-revalidate":
		cc.MustRevalidate = true
	case "proxy-revalidate":
		cc.ProxyRevalidate = true
	case "immutable":
		cc.Immutable = true
	case "no-transform":
		cc.NoTransform = true
	case "must-understand":
		cc.MustUnderstand = true
	case "max-age":
		setSeconds(&cc.MaxAge, value)
	case "s-maxage":
		setSeconds(&cc.SMaxAge, value)
	case "stale-while-revalidate":
		setSeconds(&cc.StaleWhileRevalidate, value)
	case "stale-if-error":
		setSeconds(&cc.StaleIfError, value)
	}
}

// fieldNames splits the list of a qualified private or no-cache. A list
// without names qualifies nothing.
func fieldNames(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
}

func setSeconds(d *time.Duration, value string) {
	if *d >= 0 {
		return // the first one counts
	}
	n, ok := digits(value)
	if !ok {
		n = 0
	}
	*d = time.Duration(min(n, maxDelta)) * time.Second
}
