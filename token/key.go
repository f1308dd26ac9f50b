package token

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// An Alg is a signature algorithm, by its name in RFC 7518 and RFC 8037.
type Alg string

// The algorithms accepted.
const (
	HS256 Alg = "HS256" // HMAC with SHA-256: who verifies can also sign
	ES256 Alg = "ES256" // ECDSA over P-256 with SHA-256
	EdDSA Alg = "EdDSA" // Ed25519
)

// minSecret is the least length of an HS256 secret, in bytes: "A key of the
// same size as the hash output … or larger MUST be used" (RFC 7518 3.2).
const minSecret = 32

// A Key is one key for one algorithm. It comes from [ParseKey]; the zero Key
// verifies nothing.
type Key struct {
	ID     string // the kid of tokens signed with it; "": a sole key, which serves whatever kid a token names
	Alg    Alg
	Issuer string // whose key it is: tokens it signs must have this iss; "": anybody's

	verify any // []byte, *ecdsa.PublicKey or ed25519.PublicKey, as golang-jwt wants it; nil: empty
	sign   any // []byte, *ecdsa.PrivateKey or ed25519.PrivateKey; nil: it can only verify
}

// String names the key and never shows it.
func (k Key) String() string { return fmt.Sprintf("key %q (%s)", k.ID, k.Alg) }

// GoString keeps %#v from showing the key as well.
func (k Key) GoString() string { return k.String() }

// CanSign reports whether the key has its private part.
func (k Key) CanSign() bool { return k.sign != nil }

// ParseKey reads a key for alg. For ES256 and EdDSA text is one PEM block,
// public (PKIX) or private (PKCS #8, or SEC 1 for ES256).
//
// For HS256 text is a secret of at least 32 bytes, without regard to
// whitespace round it: after "raw:" as it stands, after "base64:" in base64,
// and with neither in base64 if it can be read so and is long enough, else as
// it stands. A PEM block or a JWK is refused as a secret: it is a public key
// in the wrong place, and everybody could sign with it.
func ParseKey(id string, alg Alg, text []byte) (Key, error) {
	if err := checkID(id); err != nil {
		return Key{}, err
	}
	k := Key{ID: id, Alg: alg}
	var err error
	switch alg {
	case HS256:
		var secret []byte
		secret, err = parseSecret(string(bytes.TrimSpace(text)))
		k.verify, k.sign = secret, secret
	case ES256, EdDSA:
		err = k.parsePEM(text)
	default:
		err = fmt.Errorf("alg is one of %s, %s, %s", HS256, ES256, EdDSA)
	}
	if err != nil {
		return Key{}, fmt.Errorf("token key %q for %q: %w", id, alg, err)
	}
	return k, nil
}

func checkID(id string) error {
	if len(id) > maxKid {
		return fmt.Errorf("token key id of %d bytes: at most %d", len(id), maxKid)
	}
	for i := range len(id) {
		if id[i] <= ' ' || id[i] >= 0x7f || id[i] == '"' || id[i] == '\\' {
			return fmt.Errorf("token key id %q: only visible ASCII without quotes and backslashes", id)
		}
	}
	return nil
}

func parseSecret(s string) ([]byte, error) {
	secret := []byte(s)
	if raw, is := strings.CutPrefix(s, "raw:"); is {
		secret = []byte(raw)
	} else if b64, is := strings.CutPrefix(s, "base64:"); is {
		if secret = decode64(b64); secret == nil {
			return nil, errors.New("what follows base64: is no base64")
		}
	} else if dec := decode64(s); len(dec) >= minSecret {
		secret = dec
	}
	if bytes.Contains(secret, []byte("-----BEGIN")) || bytes.HasPrefix(secret, []byte("{")) && json.Valid(secret) {
		return nil, errors.New("a PEM or JSON key is no secret")
	}
	if len(secret) < minSecret {
		return nil, fmt.Errorf("secret of %d bytes: at least %d", len(secret), minSecret)
	}
	return secret, nil
}

// decode64 reads base64 of either alphabet, padded or not; nil: it is none.
func decode64(s string) []byte {
	s = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(s, "="))
	p, err := base64.RawStdEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil
	}
	return p
}

func (k *Key) parsePEM(text []byte) error {
	block, rest := pem.Decode(text)
	if block != nil && block.Type == "EC PARAMETERS" { // openssl ecparam writes it before the key
		block, rest = pem.Decode(rest)
	}
	if block == nil {
		return errors.New("no PEM block found")
	}
	if more, _ := pem.Decode(rest); more != nil {
		return errors.New("more than one PEM block: a key file holds one key")
	}
	var parsed any
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		parsed, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "PRIVATE KEY":
		parsed, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		parsed, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		return fmt.Errorf("PEM block %.32q: want PUBLIC KEY, PRIVATE KEY or EC PRIVATE KEY", block.Type)
	}
	if err != nil {
		return err
	}
	return k.adopt(parsed)
}

// adopt holds a parsed key to the algorithm it is for.
func (k *Key) adopt(parsed any) error {
	switch p := parsed.(type) {
	case *ecdsa.PrivateKey:
		k.verify, k.sign = &p.PublicKey, p
	case *ecdsa.PublicKey:
		k.verify = p
	case ed25519.PrivateKey:
		k.verify, k.sign = p.Public(), p
	case ed25519.PublicKey:
		k.verify = p
	}
	switch pub := k.verify.(type) {
	case *ecdsa.PublicKey:
		if k.Alg == ES256 && pub.Curve == elliptic.P256() {
			return nil
		}
	case ed25519.PublicKey:
		if k.Alg == EdDSA {
			return nil
		}
	}
	return fmt.Errorf("the key is a %T; ES256 takes ECDSA over P-256, EdDSA takes Ed25519", parsed)
}

// GenerateKey makes a new random key and returns its private and public form
// as [ParseKey] reads them: PEM, or for HS256 "base64:" and 32 bytes, twice the
// same. The id is only checked: it is not part of either form.
func GenerateKey(alg Alg, id string) (private, public []byte, err error) {
	if err := checkID(id); err != nil {
		return nil, nil, err
	}
	var priv, pub any
	switch alg {
	case HS256:
		secret := make([]byte, minSecret)
		rand.Read(secret) // never fails (crypto/rand)
		text := []byte("base64:" + base64.StdEncoding.EncodeToString(secret) + "\n")
		return text, bytes.Clone(text), nil
	case ES256:
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, nil, err
		}
		priv, pub = key, &key.PublicKey
	case EdDSA:
		if pub, priv, err = ed25519.GenerateKey(rand.Reader); err != nil {
			return nil, nil, err
		}
	default:
		return nil, nil, fmt.Errorf("token key for %q: alg is one of %s, %s, %s", alg, HS256, ES256, EdDSA)
	}
	p, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		return nil, nil, err
	}
	q, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: p}),
		pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: q}), nil
}
