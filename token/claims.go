package token

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	maxPaths = 32              // scopes in one token
	maxText  = 1 << 10         // bytes of one string claim or scope
	maxTime  = 253_402_300_799 // 9999-12-31T23:59:59Z in seconds: milliseconds written for seconds lie beyond
)

// Claims are what a token says. Those that come from [Verifier.Verify] are
// shared and must not be changed.
type Claims struct {
	ID        string    // jti: names the token; "": it has no name
	Subject   string    // sub: whom it was given to
	Issuer    string    // iss: who gave it
	Audience  []string  // aud: whom it is meant for; nil: not said
	Expires   time.Time // exp: from this moment on it is worthless. Always there
	NotBefore time.Time // nbf: until this moment it is worthless; zero: not said
	IssuedAt  time.Time // iat: only informs; zero: not said
	Paths     []string  // path: the subtrees it opens, 1 to 32 of them, e.g. "/live/news/"
	KeyID     string    // the id of the key whose signature it bears; not a claim
}

// Allows says whether the token is good for path at now: nil, ErrExpired,
// ErrNotYet or ErrPath. There is no leeway: at exp it has expired (RFC 7519
// section 4.1.4: "on or after").
//
// Path is the decoded, normalised path without any token in it. A scope covers
// itself and what is below it, by whole segments: "/live/news" and
// "/live/news/" both cover "/live/news" and "/live/news/hd/1.m4s", and neither
// covers "/live/news10". A path that is not normalised is covered by nothing.
func (c *Claims) Allows(now time.Time, path string) error {
	if !now.Before(c.Expires) {
		return ErrExpired
	}
	if !c.NotBefore.IsZero() && now.Before(c.NotBefore) {
		return ErrNotYet
	}
	if !plain(path) {
		return ErrPath
	}
	for _, scope := range c.Paths {
		if covers(scope, path) {
			return nil
		}
	}
	return ErrPath
}

func covers(scope, path string) bool {
	scope = strings.TrimSuffix(scope, "/")
	return strings.HasPrefix(path, scope) && (len(path) == len(scope) || path[len(scope)] == '/')
}

// plain reports whether p begins with a slash and has neither empty segments
// (but for a trailing slash) nor dot segments, control characters, backslashes
// or invalid UTF-8: whether it means one thing only.
func plain(p string) bool {
	if p == "" || p[0] != '/' {
		return false
	}
	start := 1
	for i := 1; i <= len(p); i++ {
		if i < len(p) && p[i] != '/' {
			if p[i] < ' ' || p[i] == 0x7f || p[i] == '\\' {
				return false
			}
			continue
		}
		if seg := p[start:i]; seg == "." || seg == ".." || seg == "" && i < len(p) {
			return false
		}
		start = i + 1
	}
	return utf8.ValidString(p)
}

// readClaims reads a payload whose signature is good. Claims it does not know
// are ignored (RFC 7519 section 4), except those of RFC 9246, which restrict:
// ignoring them would open more than the signer meant to.
func readClaims(p []byte) (*Claims, error) {
	m, err := readObject(p)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrClaims, err)
	}
	for name := range m {
		if strings.HasPrefix(name, "cdni") {
			return nil, fmt.Errorf("%w: %.32q is not supported", ErrClaims, name)
		}
	}
	c := new(Claims)
	for name, to := range map[string]*string{"jti": &c.ID, "sub": &c.Subject, "iss": &c.Issuer} {
		if *to, err = text(m, name); err != nil {
			return nil, err
		}
	}
	for name, to := range map[string]*time.Time{"exp": &c.Expires, "nbf": &c.NotBefore, "iat": &c.IssuedAt} {
		if *to, err = moment(m, name); err != nil {
			return nil, err
		}
	}
	if one, isText := m["aud"].(string); isText { // "In the special case when the JWT has one audience" (4.1.3)
		m["aud"] = []any{one}
	}
	if c.Audience, err = texts(m, "aud"); err != nil {
		return nil, err
	}
	if c.Paths, err = texts(m, "path"); err != nil {
		return nil, err
	}
	return c, c.valid()
}

// valid checks what must hold of claims whether they are read or signed.
func (c *Claims) valid() error {
	if c.Expires.IsZero() {
		return fmt.Errorf("%w: exp is missing", ErrClaims)
	}
	if len(c.Paths) == 0 {
		return fmt.Errorf("%w: path is missing: the token opens nothing", ErrClaims)
	}
	if len(c.Paths) > maxPaths || len(c.Audience) > maxPaths {
		return fmt.Errorf("%w: more than %d values in path or aud", ErrClaims, maxPaths)
	}
	for _, s := range append([]string{c.ID, c.Subject, c.Issuer}, c.Audience...) {
		if len(s) > maxText || !utf8.ValidString(s) {
			return fmt.Errorf("%w: jti, sub, iss and aud are UTF-8 of at most %d bytes", ErrClaims, maxText)
		}
	}
	for _, p := range c.Paths {
		if len(p) > maxText || !plain(p) {
			return fmt.Errorf("%w: path %.64q is not a normalised path that begins with a slash", ErrClaims, p)
		}
	}
	return nil
}

func text(m map[string]any, name string) (string, error) {
	v, has := m[name]
	s, isText := v.(string)
	if has && (!isText || len(s) > maxText) {
		return "", fmt.Errorf("%w: %s is no string of at most %d bytes", ErrClaims, name, maxText)
	}
	return s, nil
}

func texts(m map[string]any, name string) ([]string, error) {
	v, has := m[name]
	if !has {
		return nil, nil
	}
	list, isList := v.([]any)
	if !isList {
		return nil, fmt.Errorf("%w: %s is no list of strings", ErrClaims, name)
	}
	out := make([]string, len(list))
	for i, v := range list {
		s, isText := v.(string)
		if !isText || len(s) > maxText {
			return nil, fmt.Errorf("%w: %s holds something else than strings of at most %d bytes", ErrClaims, name, maxText)
		}
		out[i] = s
	}
	return out, nil
}

// moment reads a NumericDate. Only whole seconds are taken: fractions and
// exponents are legal but no signer needs them, and 1e308 is not a date.
func moment(m map[string]any, name string) (time.Time, error) {
	v, has := m[name]
	if !has {
		return time.Time{}, nil
	}
	n, isNumber := v.(json.Number)
	sec, err := strconv.ParseUint(n.String(), 10, 64)
	if !isNumber || err != nil || sec > maxTime {
		return time.Time{}, fmt.Errorf("%w: %s is not a time in whole seconds since 1970", ErrClaims, name)
	}
	return time.Unix(int64(sec), 0), nil
}
