package token

import (
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Sign returns c as a token signed with k, which needs its private part. It
// refuses claims that [Verifier.Verify] would refuse: Expires and Paths must be
// there. Times are cut to whole seconds; Claims.KeyID is not used. For tests,
// scripts and support: those who sell tickets sign in their own house.
func Sign(k Key, c Claims) (string, error) {
	if !k.CanSign() {
		return "", fmt.Errorf("sign with %s: %w: it has no private part", k, ErrKey)
	}
	if k.Issuer != "" && c.Issuer != k.Issuer {
		return "", fmt.Errorf("sign with %s: %w: it belongs to %q", k, ErrIssuer, k.Issuer)
	}
	if err := c.valid(); err != nil {
		return "", fmt.Errorf("sign with %s: %w", k, err)
	}
	m := jwt.MapClaims{"path": c.Paths}
	for name, v := range map[string]string{"jti": c.ID, "sub": c.Subject, "iss": c.Issuer} {
		if v != "" {
			m[name] = v
		}
	}
	for name, t := range map[string]time.Time{"exp": c.Expires, "nbf": c.NotBefore, "iat": c.IssuedAt} {
		if t.IsZero() {
			continue
		}
		if t.Unix() < 0 || t.Unix() > maxTime {
			return "", fmt.Errorf("sign with %s: %w: %s is before 1970 or after 9999", k, ErrClaims, name)
		}
		m[name] = t.Unix()
	}
	if len(c.Audience) > 0 {
		m["aud"] = c.Audience
	}
	t := jwt.NewWithClaims(jwt.GetSigningMethod(string(k.Alg)), m)
	t.Header["typ"] = typ
	if k.ID != "" {
		t.Header["kid"] = k.ID
	}
	raw, err := t.SignedString(k.sign)
	if err != nil {
		return "", fmt.Errorf("sign with %s: %w", k, err)
	}
	if len(raw) > MaxLen {
		return "", fmt.Errorf("sign with %s: %w: %d bytes, at most %d", k, ErrTooLong, len(raw), MaxLen)
	}
	return raw, nil
}
