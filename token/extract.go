package token

import (
	"net/url"
	"strings"
)

// Where a token travels.
const (
	PathPrefix = "/t/"        // "/t/{token}/live/…": relative URIs inherit it
	QueryName  = "token"      // "?token={token}"
	CookieName = "weir_token" // "Cookie: weir_token={token}"
)

// A Carrier is the part of a request that brought a token.
type Carrier uint8

// The carriers, in the order in which they are looked at after the None.
const (
	None Carrier = iota
	Prefix
	Query
	Authorization
	Cookie
)

// String returns the carrier's name in logs and metrics.
func (c Carrier) String() string {
	return [...]string{"none", "prefix", "query", "authorization", "cookie"}[c]
}

// Extract finds the token of a request and returns the path and the query
// without it: nothing that names a viewer may reach a cache key or an upstream.
// Both are clean whatever err is, and whichever carrier wins.
//
// Path is decoded and normalised; query is as sent, without "?"; cookieHeader
// holds all Cookie fields, joined; authorization is the Authorization
// field. Carriers are looked at in the order prefix, query, Authorization,
// cookie, and the first that holds a token decides, whatever the others hold.
// A carrier that holds two tokens, or an empty one, is ErrMalformed, and so is
// a query whose parameter name is percent-encoded to look like something else.
// A scheme other than Bearer is not ours and is passed over.
func Extract(path, query, cookieHeader, authorization string) (raw string, c Carrier, cleanPath, cleanQuery string, err error) {
	fromPath, cleanPath, errPath := cutPrefix(path)
	fromQuery, cleanQuery, errQuery := cutQuery(query)
	fromAuth, errAuth := bearer(authorization)
	fromCookie, errCookie := cookie(cookieHeader)
	for _, found := range [...]struct {
		raw string
		c   Carrier
		err error
	}{
		{fromPath, Prefix, errPath},
		{fromQuery, Query, errQuery},
		{fromAuth, Authorization, errAuth},
		{fromCookie, Cookie, errCookie},
	} {
		if found.raw != "" || found.err != nil {
			return found.raw, found.c, cleanPath, cleanQuery, found.err
		}
	}
	return "", None, cleanPath, cleanQuery, nil
}

// cutPrefix takes a token off the front of a path. A second one behind it
// would end up in keys, so it is cut as well and refused.
func cutPrefix(path string) (raw, clean string, err error) {
	clean = path
	for n := 0; strings.HasPrefix(clean, PathPrefix); n++ {
		tok, _, whole := strings.Cut(clean[len(PathPrefix):], "/")
		if n > 0 || !whole || tok == "" {
			err = ErrMalformed
		}
		raw, clean = tok, clean[len(PathPrefix)+len(tok):]
		if !whole {
			clean = "/"
		}
	}
	if err != nil {
		raw = ""
	}
	return raw, clean, err
}

// cutQuery takes the token parameter out of a query.
func cutQuery(query string) (raw, clean string, err error) {
	if !mentions(query) {
		return "", query, nil
	}
	kept := make([]byte, 0, len(query))
	for rest, more := query, true; more; {
		var pair string
		pair, rest, more = strings.Cut(rest, "&")
		name, value, _ := strings.Cut(pair, "=")
		switch decoded, bad := url.QueryUnescape(name); {
		case bad != nil || decoded != QueryName:
			if len(kept) > 0 {
				kept = append(kept, '&')
			}
			kept = append(kept, pair...)
		case name != QueryName || value == "" || raw != "":
			err = ErrMalformed
		default:
			raw = value
		}
	}
	if err != nil {
		raw = ""
	}
	return raw, string(kept), err
}

// mentions reports whether a query could hold a token at all: the common case
// is that it does not, and is then left as it is.
func mentions(query string) bool {
	return query != "" && (strings.Contains(query, QueryName) || strings.IndexByte(query, '%') >= 0)
}

// bearer reads an Authorization field (RFC 6750 section 2.1). Several fields
// joined with a comma do not make a token, and are refused as its malformation.
func bearer(field string) (string, error) {
	scheme, rest, _ := strings.Cut(field, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", nil
	}
	if rest = strings.Trim(rest, " "); rest == "" {
		return "", ErrMalformed
	}
	return rest, nil
}

// cookie finds our cookie among others (RFC 6265 section 4.2.1). Fields that
// were joined with a comma, as other headers are, read like one.
func cookie(field string) (raw string, err error) {
	for rest, more := field, field != ""; more; {
		var pair string
		pair, rest, more = cutAny(rest, ";,")
		name, value, _ := strings.Cut(strings.Trim(pair, " \t"), "=")
		if name != CookieName {
			continue
		}
		if value == "" || raw != "" {
			return "", ErrMalformed
		}
		raw = value
	}
	return raw, nil
}

func cutAny(s, seps string) (before, after string, found bool) {
	if i := strings.IndexAny(s, seps); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}
