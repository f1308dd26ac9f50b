package token

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// A secret means the same bytes here and in the shop that signs.
func TestSecretsAreReadAsTheyAreMeant(t *testing.T) {
	raw := strings.Repeat("\x00\xffab", 8)
	std := base64.StdEncoding.EncodeToString([]byte(raw))
	hexed := hex.EncodeToString([]byte(raw))
	f := func(text, want string) {
		t.Helper()
		k, err := ParseKey("k", HS256, []byte(text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if got := string(k.verify.([]byte)); got != want {
			t.Errorf("%q read as %q, want %q", text, got, want)
		}
	}
	f(std, raw)
	f(std+"\n", raw)
	f(strings.TrimRight(std, "="), raw)
	f(base64.URLEncoding.EncodeToString([]byte(raw)), raw)
	f("base64:"+std, raw)
	f("raw:"+hexed, hexed)
	f("correct horse battery staple, thirty-two and more", "correct horse battery staple, thirty-two and more")
	f(strings.Repeat("k", 32), strings.Repeat("k", 32)) // base64 of 24 bytes only: it stands for itself
	// One secret in 256 that keygen makes begins so; a JSON key it is not.
	brace := "{" + raw[1:]
	f(base64.StdEncoding.EncodeToString([]byte(brace)), brace)
}

// A key in the wrong place is refused when it is read, with what to do.
func TestKeysThatDoNotFitAreRefused(t *testing.T) {
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	rsaKey, _ := rsa.GenerateKey(rand.Reader, 2048)
	block := func(typ string, der []byte, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der}))
	}
	pkcs8 := func(k any) string { der, err := x509.MarshalPKCS8PrivateKey(k); return block("PRIVATE KEY", der, err) }
	pkix := func(k any) string { der, err := x509.MarshalPKIXPublicKey(k); return block("PUBLIC KEY", der, err) }
	sec1 := func(k *ecdsa.PrivateKey) string {
		der, err := x509.MarshalECPrivateKey(k)
		return block("EC PRIVATE KEY", der, err)
	}
	edPriv, edPub, _ := GenerateKey(EdDSA, "x")

	good := func(alg Alg, text string, signs bool) {
		t.Helper()
		if k, err := ParseKey("k", alg, []byte(text)); err != nil || k.CanSign() != signs {
			t.Errorf("%v: %v", k, err)
		}
	}
	good(ES256, pkcs8(p256), true)
	good(ES256, sec1(p256), true)
	good(ES256, block("EC PARAMETERS", []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7}, nil)+sec1(p256), true)
	good(ES256, pkix(&p256.PublicKey), false)
	good(EdDSA, string(edPriv), true)
	good(EdDSA, string(edPub), false)

	bad := func(alg Alg, id, text string) {
		t.Helper()
		k, err := ParseKey(id, alg, []byte(text))
		if err == nil || k.verify != nil || k.sign != nil {
			t.Errorf("%s %q: %v accepted: %.60s", alg, id, k, text)
		} else if len(text) > 40 && strings.Contains(err.Error(), text) {
			t.Errorf("the error shows the key: %v", err)
		}
	}
	bad(ES256, "k", "")
	bad(ES256, "k", "no pem")
	bad(ES256, "k", pkcs8(p384))
	bad(ES256, "k", pkix(&p384.PublicKey))
	bad(ES256, "k", pkcs8(rsaKey))
	bad(ES256, "k", string(edPriv))
	bad(EdDSA, "k", pkcs8(p256))
	bad(ES256, "k", pkix(&p256.PublicKey)+pkix(&p256.PublicKey))
	bad(ES256, "k", block("CERTIFICATE", []byte("x"), nil))
	bad(ES256, "k", block("PUBLIC KEY", []byte("x"), nil))
	bad(ES256, "k", block("EC PARAMETERS", []byte("x"), nil))
	bad(ES256, "k", strings.Repeat("k", 32))
	bad(HS256, "k", "too short")
	bad(HS256, "k", strings.Repeat("k", 31))
	bad(HS256, "k", "raw:"+strings.Repeat("k", 31))
	bad(HS256, "k", "base64:"+strings.Repeat("k", 32))
	bad(HS256, "k", "base64:"+strings.Repeat("!", 64))
	bad(HS256, "k", pkix(&p256.PublicKey))
	bad("none", "k", strings.Repeat("k", 32))
	bad("RS256", "k", pkcs8(rsaKey))
	bad("", "k", strings.Repeat("k", 32))
	bad(HS256, "a b", strings.Repeat("k", 32))
	bad(HS256, `a"b`, strings.Repeat("k", 32))
	bad(HS256, strings.Repeat("k", 129), strings.Repeat("k", 32))
	if _, _, err := GenerateKey("none", "k"); err == nil {
		t.Error("generated a key for none")
	}
	if _, _, err := GenerateKey(HS256, "a\nb"); err == nil {
		t.Error("generated a key with a line break in its id")
	}
}

// Nothing that prints a key shows it.
func TestKeysDoNotPrint(t *testing.T) {
	secret := strings.Repeat("s3cr3t--", 5)
	k, err := ParseKey("k", HS256, []byte("raw:"+secret))
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := fmt.Sprintf(format+format, k, &k); !strings.Contains(s, `"k"`) || strings.Contains(s, "s3cr") || strings.Contains(s, "115, 51") {
			t.Errorf("%s: %s", format, s)
		}
	}
}

// weir does not sign what weir would not accept.
func TestSignRefusesWhatWouldNotVerify(t *testing.T) {
	priv, pub := newKey(t, "k", ES256)
	f := func(want error, k Key, c Claims) {
		t.Helper()
		if raw, err := Sign(k, c); !errors.Is(err, want) {
			t.Errorf("%+v: %q, %v, want %v", c, raw, err, want)
		}
	}
	exp := now.Add(time.Hour)
	f(nil, priv, Claims{Expires: exp, Paths: []string{"/"}})
	f(ErrKey, pub, Claims{Expires: exp, Paths: []string{"/"}})
	f(ErrClaims, priv, Claims{Paths: []string{"/"}})
	f(ErrClaims, priv, Claims{Expires: exp})
	f(ErrClaims, priv, Claims{Expires: exp, Paths: []string{"live"}})
	f(ErrClaims, priv, Claims{Expires: exp, Paths: []string{"/a/../b"}})
	f(ErrClaims, priv, Claims{Expires: time.Unix(-1, 0), Paths: []string{"/"}})
	f(ErrClaims, priv, Claims{Expires: time.Unix(maxTime+1, 0), Paths: []string{"/"}})
	f(ErrClaims, priv, Claims{Expires: exp, Paths: make([]string, 33)})
	f(ErrClaims, priv, Claims{Expires: exp, Paths: []string{"/"}, Subject: strings.Repeat("s", 1025)})
	f(ErrClaims, priv, Claims{Expires: exp, Paths: []string{"/"}, Issuer: "\xff"})
	f(ErrTooLong, priv, Claims{Expires: exp, Paths: strings.Split(strings.Repeat("/"+strings.Repeat("x", 1000)+" ", 5)+"/", " ")})
}
