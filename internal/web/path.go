package web

import (
	"errors"
	"net/url"
	"strings"
)

// MaxPath is the longest request path accepted, in bytes as sent, and as sent on.
const MaxPath = 8 << 10

// ErrBadPath says that a request's path is not one weir serves.
var ErrBadPath = errors.New("path not acceptable")

// CleanPath returns the one form of a request path that everything else sees:
// what is checked against a token, used as a key and asked upstream is this
// very string. It decodes percent-encoding once and refuses what could be
// understood in two ways: a path that does not begin with "/", empty and dot
// segments ("//", "/./", "/.."), encoded separators (%2F, %5C), NUL and other
// control characters, backslashes, invalid UTF-8 and broken encodings. One
// trailing slash is kept.
func CleanPath(raw string) (string, error) {
	if len(raw) == 0 || raw[0] != '/' || len(raw) > MaxPath {
		return "", ErrBadPath
	}
	p := raw
	if strings.IndexByte(raw, '%') >= 0 {
		for i := 0; i+2 < len(raw); i++ {
			if raw[i] == '%' && (strings.EqualFold(raw[i+1:i+3], "2f") || strings.EqualFold(raw[i+1:i+3], "5c")) {
				return "", ErrBadPath
			}
		}
		var err error
		if p, err = url.PathUnescape(raw); err != nil {
			return "", ErrBadPath
		}
	}
	segStart := 1
	for i := 1; i <= len(p); i++ {
		if i < len(p) && p[i] != '/' {
			if c := p[i]; c < ' ' || c == 0x7f || c == '\\' {
				return "", ErrBadPath
			}
			continue
		}
		switch seg := p[segStart:i]; {
		case seg == "." || seg == "..":
			return "", ErrBadPath
		case seg == "" && !(i == len(p)): // "//"; an empty last segment is a trailing slash
			return "", ErrBadPath
		}
		segStart = i + 1
	}
	if !validUTF8(p) {
		return "", ErrBadPath
	}
	// One byte of a path that came unencoded goes on as three, and whoever is asked next
	// has a bound too.
	if 3*len(p) > MaxPath && len(EscapePath(p)) > MaxPath {
		return "", ErrBadPath
	}
	return p, nil
}

// EscapePath returns the form of a clean path that goes on the wire.
func EscapePath(p string) string { return (&url.URL{Path: p}).EscapedPath() }

func validUTF8(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return strings.ToValidUTF8(s, "") == s
		}
	}
	return true
}
