package token

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"
)

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// forge joins a header and claims, as written, with the signature that mac
// makes of them.
func forge(header, claims string, mac func(text string) []byte) string {
	text := b64(header) + "." + b64(claims)
	return text + "." + base64.RawURLEncoding.EncodeToString(mac(text))
}

func hs(secret []byte) func(string) []byte {
	return func(text string) []byte {
		m := hmac.New(sha256.New, secret)
		m.Write([]byte(text))
		return m.Sum(nil)
	}
}

func es(k Key, encode func(r, s *big.Int) []byte) func(string) []byte {
	return func(text string) []byte {
		sum := sha256.Sum256([]byte(text))
		r, s, err := ecdsa.Sign(rand.Reader, k.sign.(*ecdsa.PrivateKey), sum[:])
		if err != nil {
			panic(err)
		}
		return encode(r, s)
	}
}

func fixed(r, s *big.Int) []byte {
	out := make([]byte, 64)
	r.FillBytes(out[:32])
	s.FillBytes(out[32:])
	return out
}

const goodClaims = `{"exp":1800003600,"path":["/live/"]}`

type bench struct {
	hs, esPriv, edPriv Key
	esPEM, edPEM       []byte
	all, onlyHS        *Verifier
}

func newBench(t testing.TB) *bench {
	b := new(bench)
	b.hs, _ = newKey(t, "h", HS256)
	priv, pub, _ := GenerateKey(ES256, "e")
	b.esPriv, _ = ParseKey("e", ES256, priv)
	b.esPEM = pub
	priv, pub, _ = GenerateKey(EdDSA, "d")
	b.edPriv, _ = ParseKey("d", EdDSA, priv)
	b.edPEM = pub
	b.all = newVerifier(t, Options{Keys: []Key{b.hs, b.esPriv, b.edPriv}})
	b.onlyHS = newVerifier(t, Options{Keys: []Key{b.hs}})
	return b
}

func (b *bench) secret() []byte { return b.hs.verify.([]byte) }

func (b *bench) refuses(t *testing.T, v *Verifier, name, raw string, want error) {
	t.Helper()
	for range 2 { // found out, and remembered
		c, err := v.Verify(raw)
		if !errors.Is(err, want) || c != nil {
			t.Errorf("%s: got %v, %v; want %v", name, c, err, want)
		}
	}
}

// The forging helper itself makes good tokens, or the tests below prove nothing.
func TestForgedByTheBookIsAccepted(t *testing.T) {
	b := newBench(t)
	f := func(v *Verifier, raw string) {
		t.Helper()
		if _, err := v.Check(raw, now, "/live/x"); err != nil {
			t.Error(err)
		}
	}
	f(b.all, forge(`{"alg":"HS256","kid":"h"}`, goodClaims, hs(b.secret())))
	f(b.all, forge(`{"alg":"HS256","kid":"h","typ":"JWT"}`, goodClaims, hs(b.secret())))
	f(b.all, forge(`{"alg":"HS256","kid":"h","typ":"weir+jwt"}`, goodClaims, hs(b.secret())))
	f(b.all, forge(`{"alg":"ES256","kid":"e"}`, goodClaims, es(b.esPriv, fixed)))
	f(b.all, forge(`{"alg":"EdDSA","kid":"d"}`, goodClaims, func(s string) []byte {
		return ed25519.Sign(b.edPriv.sign.(ed25519.PrivateKey), []byte(s))
	}))
	f(b.onlyHS, forge(`{"alg":"HS256"}`, goodClaims, hs(b.secret()))) // the only key needs no kid
	f(b.all, forge(`{"alg":"HS256","kid":"h"}`, `{"exp":1800003600,"path":["/live/"],"aud_x":{"a":[1,{"b":null}]},"nbf":0}`, hs(b.secret())))
	anon := newVerifier(t, Options{Keys: []Key{{Alg: HS256, verify: b.hs.verify}}})
	f(anon, forge(`{"alg":"HS256","kid":"whatever"}`, goodClaims, hs(b.secret())))
	// TK-11: where a token says its key is to be found is not even looked at.
	f(b.all, forge(`{"alg":"HS256","kid":"h","x5c":["x"],"x5t":"y"}`, goodClaims, hs(b.secret())))
}

// Whoever writes a header cannot choose how he is checked (standards 3.4).
func TestHeadersThatTryToChooseTheCheck(t *testing.T) {
	b := newBench(t)
	f := func(want error, header string) {
		t.Helper()
		b.refuses(t, b.all, header, forge(header, goodClaims, hs(b.secret())), want)
	}
	for _, alg := range []string{`"none"`, `"None"`, `"nOnE"`, `"NONE"`, `""`, `null`, `0`, `true`, `["HS256"]`, `"HS384"`, `"HS512"`,
		`"hs256"`, `"RS256"`, `"ES256"`, `"EdDSA"`, `"HS256 "`, `"HS256\u0000"`} {
		f(ErrAlgorithm, `{"kid":"h","alg":`+alg+`}`)
		raw := b64(`{"kid":"h","alg":`+alg+`}`) + "." + b64(goodClaims) + "."
		b.refuses(t, b.all, "unsigned "+alg, raw, ErrMalformed)
		b.refuses(t, b.all, "hardly signed "+alg, raw+"AA", ErrAlgorithm)
	}
	f(ErrAlgorithm, `{"kid":"h"}`)
	f(ErrAlgorithm, `{}`)
	f(ErrMalformed, `{"kid":"h","alg":"HS256","alg":"HS256"}`)
	f(ErrMalformed, `{"kid":"h","alg":"none","alg":"HS256"}`)
	f(ErrMalformed, `{"kid":"h","alg":"HS256","\u0061lg":"none"}`)
	f(ErrAlgorithm, `{"kid":"h","Alg":"HS256"}`)
	f(ErrCritical, `{"kid":"h","alg":"HS256","crit":["exp"]}`)
	f(ErrCritical, `{"kid":"h","alg":"HS256","crit":[]}`)
	f(ErrCritical, `{"kid":"h","alg":"HS256","crit":null}`)
	f(ErrCritical, `{"kid":"h","alg":"HS256","b64":false,"crit":["b64"]}`)
	f(ErrCritical, `{"kid":"h","alg":"HS256","b64":false}`)
	f(ErrMalformed, `{"kid":"h","alg":"HS256","typ":"at+jwt"}`)
	f(ErrMalformed, `{"kid":"h","alg":"HS256","typ":"jwt"}`)
	f(ErrMalformed, `{"kid":"h","alg":"HS256","typ":null}`)
	f(ErrMalformed, `{"kid":"h","alg":"HS256","typ":1}`)
	f(ErrMalformed, `{"kid":"h","alg":"HS256","cty":"JWT"}`)
	f(ErrMalformed, `{"kid":"h","alg":"HS256"} `+`{}`)
	f(ErrMalformed, `[]`)
	f(ErrMalformed, `null`)
	f(ErrMalformed, `"HS256"`)
	f(ErrMalformed, "{\"kid\":\"h\",\"alg\":\"HS256\",\"x\":\"\xff\"}")
	f(ErrMalformed, "\xef\xbb\xbf"+`{"kid":"h","alg":"HS256"}`)
	f(ErrMalformed, `{"kid":"h","alg":"HS256",}`)
	f(ErrMalformed, `{"kid":"h","alg":"HS256","x":`+strings.Repeat("[", 400)+strings.Repeat("]", 400)+`}`)
}

// A key id is only ever compared: it opens no file, no table and no address.
func TestKeyIDTricks(t *testing.T) {
	b := newBench(t)
	f := func(want error, kid string) {
		t.Helper()
		header := `{"alg":"HS256","kid":` + kid + `}`
		b.refuses(t, b.all, header, forge(header, goodClaims, hs(b.secret())), want)
		b.refuses(t, b.all, header+" empty secret", forge(header, goodClaims, hs(nil)), want)
		b.refuses(t, b.onlyHS, header, forge(header, goodClaims, hs(b.secret())), want)
	}
	f(ErrKey, `"../../dev/null"`)
	f(ErrKey, `"/dev/null"`)
	f(ErrKey, `"' or 1=1"`)
	f(ErrKey, `"H"`)
	f(ErrKey, `"h\u0000"`)
	f(ErrKey, `""`)
	f(ErrKey, `null`)
	f(ErrKey, `1`)
	f(ErrKey, `["h"]`)
	f(ErrKey, `{"h":"h"}`)
	f(ErrKey, `"`+strings.Repeat("h", 2000)+`"`)
	f(ErrTooLong, `"`+strings.Repeat("h", 10_000)+`"`)
	b.refuses(t, b.all, "no kid", forge(`{"alg":"HS256"}`, goodClaims, hs(b.secret())), ErrKey)
}

// The public half of a key is public: signing with it must open nothing, in
// any spelling of it (RFC 8725 section 2.1).
func TestPublicKeyIsNoSecret(t *testing.T) {
	b := newBench(t)
	pub := b.esPriv.verify.(*ecdsa.PublicKey)
	point, err := pub.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	jwk := fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":%q,"y":%q}`, b64(string(point[1:33])), b64(string(point[33:])))
	for kid, pem := range map[string][]byte{"e": b.esPEM, "d": b.edPEM} {
		for _, secret := range [][]byte{pem, []byte(strings.TrimSpace(string(pem))), []byte(strings.ReplaceAll(string(pem), "\n", "\r\n")),
			[]byte(jwk), []byte(jwk + "\n"), point, nil} {
			b.refuses(t, b.all, "HS256 with public key of "+kid,
				forge(`{"alg":"HS256","kid":"`+kid+`"}`, goodClaims, hs(secret)), ErrAlgorithm)
			b.refuses(t, b.all, "HS256 with public key under own alg of "+kid,
				forge(`{"alg":"`+string(b.all.keys[kid].Alg)+`","kid":"`+kid+`"}`, goodClaims, hs(secret)), ErrSignature)
		}
	}
	for _, text := range [][]byte{b.esPEM, b.edPEM, []byte(jwk), []byte("raw:" + jwk), append([]byte("raw:"), b.esPEM...)} {
		if _, err := ParseKey("x", HS256, text); err == nil {
			t.Errorf("taken as a secret: %s", text)
		}
	}
}

// A key that comes with the token is the forger's key, and a URL in it is the
// forger's server: neither is used, and nobody is asked.
func TestKeysInsideTheTokenAreNotUsed(t *testing.T) {
	b := newBench(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	own, _ := newKey(t, "e", ES256)
	point, err := own.verify.(*ecdsa.PublicKey).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	jwk := fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":%q,"y":%q}`, b64(string(point[1:33])), b64(string(point[33:])))
	for _, extra := range []string{`"jwk":` + jwk, `"jku":"http://` + ln.Addr().String() + `/"`, `"x5u":"http://` + ln.Addr().String() + `/"`, `"x5c":["` + b64("x") + `"]`} {
		header := `{"alg":"ES256","kid":"e",` + extra + `}`
		b.refuses(t, b.all, header, forge(header, goodClaims, es(own, fixed)), ErrSignature)
	}
	_ = ln.(*net.TCPListener).SetDeadline(time.Now().Add(20 * time.Millisecond))
	if conn, err := ln.Accept(); err == nil {
		conn.Close()
		t.Error("a token made the verifier connect to an address in it")
	}
}

// Signatures that are none (standards 3.4).
func TestSignaturesInOtherForms(t *testing.T) {
	b := newBench(t)
	n := elliptic.P256().Params().N
	header := `{"alg":"ES256","kid":"e"}`
	f := func(name string, encode func(r, s *big.Int) []byte) {
		t.Helper()
		b.refuses(t, b.all, name, forge(header, goodClaims, es(b.esPriv, encode)), ErrSignature)
	}
	f("DER", func(r, s *big.Int) []byte {
		p, _ := asn1.Marshal(struct{ R, S *big.Int }{r, s})
		return p
	})
	f("zero r and s", func(r, s *big.Int) []byte { return make([]byte, 64) })
	f("zero r", func(r, s *big.Int) []byte { return fixed(new(big.Int), s) })
	f("zero s", func(r, s *big.Int) []byte { return fixed(r, new(big.Int)) })
	f("r = n", func(r, s *big.Int) []byte { return fixed(n, s) })
	f("s = n", func(r, s *big.Int) []byte { return fixed(r, n) })
	f("all ones", func(r, s *big.Int) []byte {
		return []byte(strings.Repeat("\xff", 64))
	})
	f("63 bytes", func(r, s *big.Int) []byte { return fixed(r, s)[:63] })
	f("65 bytes", func(r, s *big.Int) []byte { return append(fixed(r, s), 0) })
	f("65 bytes, leading zero", func(r, s *big.Int) []byte { return append([]byte{0}, fixed(r, s)...) })
	f("swapped", func(r, s *big.Int) []byte { return fixed(s, r) })
	hdr := `{"alg":"EdDSA","kid":"d"}`
	b.refuses(t, b.all, "EdDSA zero", forge(hdr, goodClaims, func(string) []byte { return make([]byte, 64) }), ErrSignature)
	b.refuses(t, b.all, "EdDSA short", forge(hdr, goodClaims, func(string) []byte { return make([]byte, 32) }), ErrSignature)
	h := `{"alg":"HS256","kid":"h"}`
	b.refuses(t, b.all, "HS256 truncated", forge(h, goodClaims, func(s string) []byte { return hs(b.secret())(s)[:16] }), ErrSignature)
	b.refuses(t, b.all, "HS256 other secret", forge(h, goodClaims, hs([]byte(strings.Repeat("k", 32)))), ErrSignature)
}

// One token has one spelling: what is remembered, logged and counted by its
// bytes cannot be multiplied by writing it differently.
func TestSpellingsOfAGoodToken(t *testing.T) {
	b := newBench(t)
	good := forge(`{"alg":"HS256","kid":"h"}`, goodClaims, hs(b.secret()))
	p := strings.Split(good, ".")
	f := func(want error, name, raw string) {
		t.Helper()
		b.refuses(t, b.all, name, raw, want)
	}
	for name, raw := range map[string]string{
		"empty parts": "..", "no signature": p[0] + "." + p[1] + ".", "two parts": p[0] + "." + p[1], "one part": p[0],
		"no header": "." + p[1] + "." + p[2], "no claims": p[0] + ".." + p[2], "four parts": good + "." + p[2],
		"trailing dot": good + ".", "leading dot": "." + good, "five parts (JWE)": good + "." + p[0] + "." + p[1],
		"LF at the end": good + "\n", "CRLF inside": p[0] + "\r\n." + p[1] + "." + p[2], "LF in the signature": p[0] + "." + p[1] + "." + p[2][:5] + "\n" + p[2][5:],
		"space before": " " + good, "space after": good + " ", "tab": good + "\t", "NUL": good + "\x00",
		"padding": good + "=", "padded header": p[0] + "=." + p[1] + "." + p[2],
		"plus": p[0] + "." + p[1] + ".+" + p[2][1:], "slash": p[0] + "." + p[1] + "./" + p[2][1:],
		"percent": p[0] + "%2e" + p[1] + "." + p[2], "invalid UTF-8": good + "\xff", "full stop": strings.ReplaceAll(good, ".", "。"),
		"Bearer": "Bearer " + good,
	} {
		f(ErrMalformed, name, raw)
	}
	f(ErrMissing, "nothing", "")
	f(ErrTooLong, "a million dots", strings.Repeat(".", 1_000_000))
	f(ErrTooLong, "1 MB", p[0]+"."+strings.Repeat("A", 1<<20)+"."+p[2])
	f(ErrMalformed, "4096 dots", strings.Repeat(".", MaxLen))

	// The last letter of a 32-byte signature carries two bits that mean nothing.
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(letters, good[len(good)-1])
	for bits := 1; bits < 4; bits++ {
		f(ErrMalformed, "non-canonical bits", good[:len(good)-1]+string(letters[last^bits]))
	}
	// A nested token: its payload is a token, not an object.
	f(ErrMalformed, "nested", forge(`{"alg":"HS256","kid":"h"}`, good, hs(b.secret())))
}

// Claims that could be read in two ways are not read at all; a ticket without
// an end or without a place is none.
func TestClaimsThatAreNotPlain(t *testing.T) {
	b := newBench(t)
	f := func(claims string) {
		t.Helper()
		raw := forge(`{"alg":"HS256","kid":"h"}`, claims, hs(b.secret()))
		for range 2 {
			c, err := b.all.Verify(raw)
			if c != nil || !errors.Is(err, ErrClaims) && !errors.Is(err, ErrMalformed) {
				t.Errorf("%.100s: got %v, %v", claims, c, err)
			}
		}
	}
	exp := func(v string) string { return `{"path":["/live/"],"exp":` + v + `}` }
	for _, v := range []string{`"1800003600"`, `null`, `-1`, `1e308`, `1e9`, `1.8e9`, `1800003600.5`, `1800003600.0`, `1800003600000`, `true`,
		`[1800003600]`, `{}`, `99999999999999999999999999`, `18446744073709551616`, `-0`, `""`} {
		f(exp(v))
		f(`{"path":["/live/"],"exp":1800003600,"nbf":` + v + `}`)
		f(`{"path":["/live/"],"exp":1800003600,"iat":` + v + `}`)
	}
	f(`{"path":["/live/"]}`)
	f(`{"path":["/live/"],"Exp":1800003600}`)
	f(`{"path":["/live/"],"exp":1700000000,"exp":1800003600}`)
	f(`{"path":["/a"],"path":["/live/"],"exp":1800003600}`)
	f(`{"path":["/live/"],"exp":1800003600,"x":{"a":1,"a":2}}`)
	f(`{"path":["/live/"],"exp":1800003600,"x":[{"a":1,"a":2}]}`)
	f(`{"path":["/live/"],"exp":1800003600,"\u0065xp":1900000000}`)
	f(`{"exp":1800003600}`)
	for _, v := range []string{`"/live/"`, `null`, `[]`, `[1]`, `[null]`, `[["/live/"]]`, `[""]`, `["live/"]`, `["*"]`, `["/live/../"]`, `["/live//x"]`,
		`["/live/","../"]`, `["/live/\u0000"]`, `["/live\\x"]`, `{"/live/":1}`, `["/` + strings.Repeat("x", 1100) + `"]`,
		`["/` + strings.Repeat(`","/`, 40) + `"]`} {
		f(`{"exp":1800003600,"path":` + v + `}`)
	}
	for _, name := range []string{"jti", "sub", "iss"} {
		for _, v := range []string{`1`, `null`, `["x"]`, `{}`} {
			f(`{"path":["/live/"],"exp":1800003600,"` + name + `":` + v + `}`)
		}
	}
	for _, v := range []string{`1`, `null`, `[1]`, `{}`} {
		f(`{"path":["/live/"],"exp":1800003600,"aud":` + v + `}`)
	}
	f(`{"path":["/live/"],"exp":1800003600,"cdniuc":"regex:.*"}`)
	f(`{"path":["/live/"],"exp":1800003600,"cdniip":"x"}`)
	f(`[]`)
	f(`null`)
	f(`"x"`)
	f(`7`)
	f(``)
	f(`{`)
	f(goodClaims + goodClaims)
	f("{\"path\":[\"/live/\xff\"],\"exp\":1800003600}")
	f(`{"path":["/live/"],"exp":1800003600,"x":` + strings.Repeat("[", 900) + strings.Repeat("]", 900) + `}`)
}

// Signatures made by others: RFC 7515 A.1 and RFC 9246 appendix A. Neither
// token has a path claim, so ErrClaims means that the signature was good.
func TestPublishedTokensVerify(t *testing.T) {
	hmacKey, err := ParseKey("", HS256, []byte("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"))
	if err != nil {
		t.Fatal(err)
	}
	point := "\x04"
	for _, c := range []string{"be807S4O7dzB6I4hTiCUvmxCI6FuxWba1xYBlLSSsZ8", "rOGC4vI69g-WF9AGEVI37sNNwbjIzBxSjLvIL7f3RBA"} {
		p, _ := base64.RawURLEncoding.DecodeString(c)
		point += string(p)
	}
	pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), []byte(point))
	if err != nil {
		t.Fatal(err)
	}
	f := func(k Key, raw string) {
		t.Helper()
		if _, err := newVerifier(t, Options{Keys: []Key{k}}).Verify(raw); !errors.Is(err, ErrClaims) {
			t.Errorf("got %v, want %v", err, ErrClaims)
		}
		last := byte('A')
		if raw[len(raw)-2] == last {
			last = 'B'
		}
		if _, err := newVerifier(t, Options{Keys: []Key{k}}).Verify(raw[:len(raw)-2] + string(last) + raw[len(raw)-1:]); !errors.Is(err, ErrSignature) {
			t.Errorf("changed: got %v, want %v", err, ErrSignature)
		}
	}
	f(hmacKey, "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
	f(Key{Alg: ES256, verify: pub}, "eyJhbGciOiJFUzI1NiIsImtpZCI6IlA1VXBPdjBlTXExd2N4TGY3V3hJZzA5SmRTWUdZRkRPV2tsZHVlYUltZjAifQ.eyJleHAiOjE2NDY4NjczNjksImlzcyI6InVDRE4gSW5jIiwiY2RuaXVjIjoiaGFzaDpzaGEtMjU2OzJ0ZGVyZldQYTg2S3U3WW56VzUxWVVwN2RHVWpCU18zU1czRUx4NGhtV1kifQ.TaNlJM3D96i_9J9XvlICO6FUIDFTqt3E2YJkEUOLfcH0b89wYRKTbJ9Yj6h_GRgSoZoQO0cps3yUPcWGK3smCw")
}
