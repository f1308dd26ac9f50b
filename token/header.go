package token

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// typ is the type weir gives the tokens it signs (RFC 8725 section 3.11: use
// explicit typing); plain "JWT" and no type at all are accepted as well.
const typ = "weir+jwt"

// maxKid is the longest key id, in bytes.
const maxKid = 128

// header is what a verifier needs to know of a JOSE header.
type header struct {
	alg, kid string
	hasKid   bool
}

// alphabet holds the bytes a token in compact serialisation is made of. No
// line breaks, no padding: Go's base64 decoder skips CR and LF even when
// strict, and what is skipped would give one token many spellings.
var alphabet = func() (t [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") {
		t[c] = true
	}
	return t
}()

// compact reports whether raw is three non-empty base64url parts joined by
// dots (RFC 7515 section 7.1), judging by the letters alone.
func compact(raw string) bool {
	dots, start := 0, 0
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '.':
			if i == start {
				return false
			}
			dots, start = dots+1, i+1
		case !alphabet[c]:
			return false
		}
	}
	return dots == 2 && start < len(raw)
}

// readHeader reads the header of a token that is compact. Members that carry
// or locate keys (jwk, jku, x5c, x5u) are never read: keys come from the
// operator.
func readHeader(raw string) (header, error) {
	part, _, _ := strings.Cut(raw, ".")
	p, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return header{}, fmt.Errorf("%w: header is no base64url", ErrMalformed)
	}
	m, err := readObject(p)
	if err != nil {
		return header{}, fmt.Errorf("%w: header: %w", ErrMalformed, err)
	}
	// "If any of the listed extension Header Parameters are not understood and
	// supported by the recipient, then the JWS is invalid" (RFC 7515 section
	// 4.1.11). None is understood here; b64 (RFC 7797) is one of them.
	for _, name := range []string{"crit", "b64"} {
		if _, has := m[name]; has {
			return header{}, fmt.Errorf("%w: header %s", ErrCritical, name)
		}
	}
	var h header
	h.alg, _ = m["alg"].(string)
	if h.alg == "" {
		return header{}, fmt.Errorf("%w: alg is missing or no string", ErrAlgorithm)
	}
	if t, has := m["typ"]; has && t != "JWT" && t != typ {
		return header{}, fmt.Errorf("%w: typ is neither JWT nor %s: a token of another kind", ErrMalformed, typ)
	}
	if _, has := m["cty"]; has {
		return header{}, fmt.Errorf("%w: a token within a token (cty)", ErrMalformed)
	}
	if k, has := m["kid"]; has {
		if h.kid, h.hasKid = k.(string); !h.hasKid || h.kid == "" || len(h.kid) > maxKid {
			return header{}, fmt.Errorf("%w: kid is no string of 1 to %d bytes", ErrKey, maxKid)
		}
	}
	return h, nil
}

// claimBytes keeps a token's payload as it was signed, so that the library
// does not read it before the signature has been checked.
type claimBytes []byte

// UnmarshalJSON implements json.Unmarshaler.
func (b *claimBytes) UnmarshalJSON(p []byte) error {
	*b = append((*b)[:0], p...)
	return nil
}

// The library asks for these when it validates claims, which it is told not to.
func (b *claimBytes) GetExpirationTime() (*jwt.NumericDate, error) { return nil, errNotRead }
func (b *claimBytes) GetIssuedAt() (*jwt.NumericDate, error)       { return nil, errNotRead }
func (b *claimBytes) GetNotBefore() (*jwt.NumericDate, error)      { return nil, errNotRead }
func (b *claimBytes) GetIssuer() (string, error)                   { return "", errNotRead }
func (b *claimBytes) GetSubject() (string, error)                  { return "", errNotRead }
func (b *claimBytes) GetAudience() (jwt.ClaimStrings, error)       { return nil, errNotRead }

var errNotRead = errors.New("BUG: claims read before they were verified")

// libraryError says in our own terms why the library refused a token. Its text
// is dropped: it may quote the token.
func libraryError(err error) error {
	switch {
	case errors.Is(err, ErrAlgorithm):
		return ErrAlgorithm
	case errors.Is(err, jwt.ErrTokenMalformed):
		return ErrMalformed
	case errors.Is(err, jwt.ErrTokenUnverifiable):
		return ErrAlgorithm
	default:
		return ErrSignature
	}
}
