package token

import "errors"

// What can be wrong with a token. Every error of this package that judges a
// token is, or wraps, one of these; none of their texts holds the token.
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

// A result is a verdict as metrics and reason codes name it: an index of
// resultNames, and one more than that of sentinels.
type result uint8

var resultNames = [...]string{"ok", "missing", "malformed", "too_long", "algorithm", "key", "critical",
	"signature", "claims", "issuer", "audience", "expired", "not_yet", "path", "other"}

var sentinels = [...]error{ErrMissing, ErrMalformed, ErrTooLong, ErrAlgorithm, ErrKey, ErrCritical,
	ErrSignature, ErrClaims, ErrIssuer, ErrAudience, ErrExpired, ErrNotYet, ErrPath}

func resultOf(err error) result {
	if err == nil {
		return 0
	}
	for i, e := range sentinels {
		if errors.Is(err, e) {
			return result(i + 1)
		}
	}
	return result(len(resultNames) - 1)
}

// String returns the value of the metric label "result".
func (r result) String() string { return resultNames[r] }

// Reason returns a short fixed code for err, fit for a log, a metric label and
// the client: "token_expired", "token_path" and so on; "" for nil.
func Reason(err error) string {
	if err == nil {
		return ""
	}
	return "token_" + resultOf(err).String()
}
