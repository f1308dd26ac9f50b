// Package token decides who may play what, until when.
//
// It promises that no claim is believed before its signature has been checked
// with the one algorithm its key is for (RFC 8725 section 3.1), that whatever
// could be read in two ways is refused, and that a token seen before costs a
// hash and a look-up: what was found out about it is remembered, while time
// and path are checked on every request.
package token

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"time"
	"unsafe"

	"github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/client_golang/prometheus"
)

// MaxLen is the longest token looked at, in bytes. A longer one is refused
// before any of it is read.
const MaxLen = 4 << 10

// MaxKeys is how many keys one Verifier takes.
const MaxKeys = 64

// defaultMemo is how many good verdicts are remembered unless told otherwise:
// at about 700 bytes each some 45 MB when full.
const defaultMemo = 64 << 10

// Options say which tokens a Verifier accepts.
type Options struct {
	// Keys verify signatures: 1 to MaxKeys of them. With more than one each
	// needs an ID of its own, and tokens must name theirs as kid.
	Keys []Key
	// Issuers are the accepted values of iss. Empty: any, also none.
	Issuers []string
	// Audience must be among the values of aud. Empty: a token must not carry
	// an aud at all, since it is then meant for somebody else (RFC 7519
	// section 4.1.3).
	Audience string
	// Memo is how many good verdicts are remembered. 0: 65536. Bad verdicts
	// have a memo of their own, a sixteenth of that, so that forgeries cannot
	// crowd out viewers.
	Memo int
	// Registerer receives the metrics; nil: nobody. Several Verifiers may
	// share it, as they do when keys are read again: they count as one.
	Registerer prometheus.Registerer
}

// A Verifier checks tokens against one fixed set of keys. It never changes: to
// change keys, make a new one and put it into the [Source]. It may be used by
// any number of goroutines.
type Verifier struct {
	keys     map[string]Key
	sole     *Key // the only key, when there is one
	issuers  []string
	audience string
	parser   *jwt.Parser
	good     *memo
	bad      *memo
	metrics  *metrics
}

// New returns a Verifier, or an error that names the option that is wrong.
func New(opts Options) (*Verifier, error) {
	if len(opts.Keys) == 0 || len(opts.Keys) > MaxKeys {
		return nil, fmt.Errorf("token keys: %d given, from 1 to %d are possible", len(opts.Keys), MaxKeys)
	}
	if opts.Memo < 0 {
		return nil, fmt.Errorf("token memo: %d is negative", opts.Memo)
	}
	if opts.Memo == 0 {
		opts.Memo = defaultMemo
	}
	v := &Verifier{
		keys:     make(map[string]Key, len(opts.Keys)),
		issuers:  slices.Clone(opts.Issuers),
		audience: opts.Audience,
		good:     newMemo(opts.Memo),
		bad:      newMemo(opts.Memo / 16),
		metrics:  newMetrics(opts.Registerer),
	}
	var algs []string
	for _, k := range opts.Keys {
		if k.verify == nil {
			return nil, fmt.Errorf("token key %q: empty; make it with ParseKey", k.ID)
		}
		if k.ID == "" && len(opts.Keys) > 1 {
			return nil, fmt.Errorf("token keys: a key without an id; with more than one key each needs one")
		}
		if _, twice := v.keys[k.ID]; twice {
			return nil, fmt.Errorf("token keys: id %q is given twice", k.ID)
		}
		v.keys[k.ID] = k
		algs = append(algs, string(k.Alg))
	}
	if len(opts.Keys) == 1 {
		v.sole = &opts.Keys[0]
	}
	// Structure and claims are checked by our own stricter code, before and
	// after: without these options the library accepts unknown crit headers,
	// line breaks and several spellings of one signature.
	v.parser = jwt.NewParser(jwt.WithValidMethods(algs), jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation())
	return v, nil
}

// Verify checks the form and the signature of raw and returns what it claims.
// The claims are shared with every other request that carries the token and
// must not be changed. They do not say yet that the token is good for this
// request: that is what [Claims.Allows] is for, or [Verifier.Check] for both.
//
// What is found out is remembered by the SHA-256 of raw, and is then returned
// without an allocation. Do not take raw for the name of a session: an ES256
// signature (r, s) can be rewritten by anybody as (r, n-s), so that one grant
// has more than one spelling; Claims.ID and Claims.Subject have one.
func (v *Verifier) Verify(raw string) (*Claims, error) {
	c, err := v.verify(raw)
	v.metrics.verdicts[resultOf(err)].Inc()
	return c, err
}

// Check is [Verifier.Verify] and [Claims.Allows] in one, and counts one
// verdict. An empty raw is ErrMissing.
func (v *Verifier) Check(raw string, now time.Time, path string) (*Claims, error) {
	c, err := v.verify(raw)
	if err == nil {
		err = c.Allows(now, path)
	}
	v.metrics.verdicts[resultOf(err)].Inc()
	return c, err
}

func (v *Verifier) verify(raw string) (*Claims, error) {
	switch {
	case raw == "":
		return nil, ErrMissing
	case len(raw) > MaxLen:
		return nil, ErrTooLong
	}
	// The bytes of a string, without the copy: Sum256 only reads them.
	sum := digest(sha256.Sum256(unsafe.Slice(unsafe.StringData(raw), len(raw))))
	if c, _, ok := v.good.get(sum); ok {
		v.metrics.hits.Inc()
		return c, nil
	}
	if _, err, ok := v.bad.get(sum); ok {
		v.metrics.badHits.Inc()
		return nil, err
	}
	if !compact(raw) {
		return nil, ErrMalformed // cheaper to find out again than to remember
	}
	c, err := v.examine(raw)
	if err != nil {
		v.metrics.badSize.Set(float64(v.bad.put(sum, nil, err)))
		return nil, err
	}
	v.metrics.size.Set(float64(v.good.put(sum, c, nil)))
	return c, nil
}

// examine does the whole work on one token, in the order header, key,
// signature, claims: nothing in the claims is looked at before the signature
// is known to be good.
func (v *Verifier) examine(raw string) (*Claims, error) {
	h, err := readHeader(raw)
	if err != nil {
		return nil, err
	}
	key, err := v.keyFor(h)
	if err != nil {
		return nil, err
	}
	var payload claimBytes
	_, err = v.parser.ParseWithClaims(raw, &payload, func(t *jwt.Token) (any, error) {
		if t.Method.Alg() != string(key.Alg) {
			return nil, ErrAlgorithm
		}
		return key.verify, nil
	})
	if err != nil {
		return nil, libraryError(err)
	}
	c, err := readClaims(payload)
	if err != nil {
		return nil, err
	}
	c.KeyID = key.ID
	return c, v.accepts(c, key)
}

// keyFor finds the key that a header names and holds the header to the one
// algorithm of that key. The kid is only ever compared (RFC 8725 section 3.10).
func (v *Verifier) keyFor(h header) (Key, error) {
	key, found := v.keys[h.kid]
	if v.sole != nil && (!h.hasKid || v.sole.ID == "") {
		key, found = *v.sole, true
	}
	switch {
	case !found && !h.hasKid:
		return Key{}, fmt.Errorf("%w: no kid, and there are %d keys", ErrKey, len(v.keys))
	case !found:
		return Key{}, fmt.Errorf("%w: kid %.64q", ErrKey, h.kid)
	case h.alg != string(key.Alg):
		return Key{}, fmt.Errorf("%w: alg %.16q, the key is for %s", ErrAlgorithm, h.alg, key.Alg)
	}
	return key, nil
}

// accepts checks the claims that do not depend on the request.
func (v *Verifier) accepts(c *Claims, key Key) error {
	// "... the keys used … belong to the issuer" (RFC 8725 section 3.8).
	if key.Issuer != "" && c.Issuer != key.Issuer {
		return fmt.Errorf("%w: iss %.64q signed with a key of %q", ErrIssuer, c.Issuer, key.Issuer)
	}
	if len(v.issuers) > 0 && !slices.Contains(v.issuers, c.Issuer) {
		return fmt.Errorf("%w: iss %.64q", ErrIssuer, c.Issuer)
	}
	if v.audience == "" && c.Audience != nil {
		return fmt.Errorf("%w: it has an aud and this verifier was given no audience", ErrAudience)
	}
	if v.audience != "" && !slices.Contains(c.Audience, v.audience) {
		return fmt.Errorf("%w: aud does not name %q", ErrAudience, v.audience)
	}
	return nil
}
