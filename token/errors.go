package token

import "errors"

// What can be wrong with a token. Every error of this package is, or wraps,
// one of these; none of their texts holds the token itself.
var (
	ErrMissing   = errors.New("no token")
	ErrMalformed = errors.New("token malformed")
	ErrTooLong   = errors.New("token too long")
	ErrAlgorithm = errors.New("token algorithm not accepted")
	ErrKey       = errors.New("token key not known")
	ErrCritical  = errors.New("token demands an extension that is not understood")
	ErrSignature = errors.New("token signature wrong")
	ErrClaims    = errors.New("token claims not acceptable")
	ErrIssuer    = errors.New("token issuer not accepted")
	ErrAudience  = errors.New("token is for another audience")
	ErrExpired   = errors.New("token expired")
	ErrNotYet    = errors.New("token not valid yet")
	ErrPath      = errors.New("token does not cover this path")
)

// result is the index of a verdict in metrics; ok is no error at all.
type result uint8

const (
	ok result = iota
	missing
	malformed
	tooLong
	algorithm
	unknownKey
	critical
	signature
	badClaims
	issuer
	audience
	expired
	notYet
	path
	other
	results // how many there are
)

// String returns the value of the metric label "result".
func (r result) String() string {
	return [results]string{"ok", "missing", "malformed", "too_long", "algorithm", "key", "critical",
		"signature", "claims", "issuer", "audience", "expired", "not_yet", "path", "other"}[r]
}

func resultOf(err error) result {
	if err == nil {
		return ok
	}
	for i, e := range [...]error{ErrMissing, ErrMalformed, ErrTooLong, ErrAlgorithm, ErrKey, ErrCritical,
		ErrSignature, ErrClaims, ErrIssuer, ErrAudience, ErrExpired, ErrNotYet, ErrPath} {
		if errors.Is(err, e) {
			return missing + result(i)
		}
	}
	return other
}

// Reason returns a short fixed code for err, fit for a log, a metric label and
// the client: "token_expired", "token_path" and so on; "" for nil.
func Reason(err error) string {
	if err == nil {
		return ""
	}
	return "token_" + resultOf(err).String()
}
