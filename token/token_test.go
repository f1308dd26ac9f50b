package token

import (
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

var now = time.Unix(1_800_000_000, 0)

// newKey returns a signing key and the same key as an edge has it.
func newKey(t testing.TB, id string, alg Alg) (private, public Key) {
	t.Helper()
	priv, pub, err := GenerateKey(alg, id)
	if err != nil {
		t.Fatal(err)
	}
	if private, err = ParseKey(id, alg, priv); err != nil {
		t.Fatal(err)
	}
	if public, err = ParseKey(id, alg, pub); err != nil {
		t.Fatal(err)
	}
	return private, public
}

func newVerifier(t testing.TB, opts Options) *Verifier {
	t.Helper()
	v, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func sign(t testing.TB, k Key, c Claims) string {
	t.Helper()
	raw, err := Sign(k, c)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func pass(paths ...string) Claims {
	return Claims{ID: "j", Subject: "s", Issuer: "shop", Expires: now.Add(time.Hour), NotBefore: now.Add(-time.Hour),
		IssuedAt: now.Add(-time.Hour), Paths: paths}
}

// A viewer with a bought ticket gets in, whichever algorithm the shop uses.
func TestSignedTokenVerifiesWithEachAlgorithm(t *testing.T) {
	f := func(alg Alg) {
		t.Helper()
		priv, pub := newKey(t, "k1", alg)
		if (alg == HS256) != pub.CanSign() {
			t.Errorf("%s: public key can sign: %v", alg, pub.CanSign())
		}
		v := newVerifier(t, Options{Keys: []Key{pub}, Issuers: []string{"shop"}})
		for range 2 { // examined, then remembered
			c, err := v.Check(sign(t, priv, pass("/live/news/")), now, "/live/news/1.m4s")
			if err != nil {
				t.Fatalf("%s: %v", alg, err)
			}
			want := pass("/live/news/")
			if c.ID != "j" || c.Subject != "s" || c.Issuer != "shop" || c.KeyID != "k1" || !c.Expires.Equal(want.Expires) ||
				!c.NotBefore.Equal(want.NotBefore) || !c.IssuedAt.Equal(want.IssuedAt) || c.Paths[0] != "/live/news/" {
				t.Errorf("%s: claims %+v", alg, c)
			}
		}
	}
	f(HS256)
	f(ES256)
	f(EdDSA)
}

// A ticket for one channel opens neither its neighbour nor, by tricks, another.
func TestPathScopeKeepsToWholeSegments(t *testing.T) {
	f := func(want error, path string, scopes ...string) {
		t.Helper()
		c := pass(scopes...)
		if err := c.Allows(now, path); !errors.Is(err, want) {
			t.Errorf("%v for %q: got %v, want %v", scopes, path, err, want)
		}
	}
	f(nil, "/live/news/index.m3u8", "/live/news/")
	f(nil, "/live/news/index.m3u8", "/live/news")
	f(nil, "/live/news", "/live/news")
	f(nil, "/live/news", "/live/news/")
	f(nil, "/live/news/", "/live/news")
	f(nil, "/live/a", "/live/b", "/live/a")
	f(nil, "/anything", "/")
	f(nil, "/", "/")
	f(nil, "/live/ünïcode/1", "/live/ünïcode")
	f(ErrPath, "/live/news10/index.m3u8", "/live/news")
	f(ErrPath, "/live/news10/index.m3u8", "/live/news/")
	f(ErrPath, "/live/new", "/live/news")
	f(ErrPath, "/live", "/live/news")
	f(ErrPath, "/LIVE/news/1", "/live/news")
	f(ErrPath, "/live/news;x/1", "/live/news")
	f(ErrPath, "/live/news%2f1", "/live/news")
	f(ErrPath, "/live/ch1/../ch2/1", "/live/ch1")
	f(ErrPath, "/live/ch1/..", "/live/ch1")
	f(ErrPath, "/live/ch1/./1", "/live/ch1")
	f(ErrPath, "/live/ch1//1", "/live/ch1")
	f(ErrPath, "//live/ch1/1", "/live/ch1", "/")
	f(ErrPath, `/live/ch1/..\ch2`, "/live/ch1")
	f(ErrPath, "/live/ch1/\x00", "/live/ch1")
	f(ErrPath, "/live/ch1/\xff", "/live/ch1")
	f(ErrPath, "live/ch1/1", "/live/ch1", "/")
	f(ErrPath, "", "/")
	f(ErrPath, "/live/news/1")
}

// A ticket is worthless from the second it says on, not a second later.
func TestTimesAreCheckedWithoutLeeway(t *testing.T) {
	f := func(want error, exp, nbf time.Time) {
		t.Helper()
		c := Claims{Expires: exp, NotBefore: nbf, Paths: []string{"/"}}
		if err := c.Allows(now, "/x"); !errors.Is(err, want) {
			t.Errorf("exp %v nbf %v: got %v, want %v", exp, nbf, err, want)
		}
	}
	f(nil, now.Add(time.Second), time.Time{})
	f(nil, now.Add(time.Second), now)
	f(ErrExpired, now, time.Time{})
	f(ErrExpired, now.Add(-time.Second), time.Time{})
	f(ErrNotYet, now.Add(time.Hour), now.Add(time.Second))
	f(ErrExpired, time.Time{}, time.Time{})
}

// A ticket that runs out during the match stops opening segments, although the
// edge has seen it before and has every segment in its cache.
func TestRememberedTokenStillExpires(t *testing.T) {
	reg := prometheus.NewRegistry()
	priv, pub := newKey(t, "k1", EdDSA)
	v := newVerifier(t, Options{Keys: []Key{pub}, Registerer: reg})
	raw := sign(t, priv, pass("/live/a"))
	f := func(want error, at time.Time, path string) {
		t.Helper()
		if _, err := v.Check(raw, at, path); !errors.Is(err, want) {
			t.Errorf("at %v for %s: got %v, want %v", at, path, err, want)
		}
	}
	f(nil, now, "/live/a/1")
	f(nil, now.Add(time.Hour-time.Second), "/live/a/1")
	f(ErrExpired, now.Add(time.Hour), "/live/a/1")
	f(ErrPath, now, "/live/b/1")
	f(ErrNotYet, now.Add(-2*time.Hour), "/live/a/1")
	if hits := testutil.ToFloat64(v.metrics.hits); hits != 4 {
		t.Errorf("%v remembered, want 4", hits)
	}
	for r, want := range map[error]float64{nil: 2, ErrExpired: 1, ErrPath: 1, ErrNotYet: 1} {
		if got := testutil.ToFloat64(v.metrics.verdicts[resultOf(r)]); got != want {
			t.Errorf("verdicts %v: %v, want %v", resultOf(r), got, want)
		}
	}
}

// The shop's tokens verify only with the shop's key, and each relying party
// takes only what is meant for it.
func TestIssuerAndAudience(t *testing.T) {
	priv, pub := newKey(t, "k1", HS256)
	priv2, pub2 := newKey(t, "k2", HS256)
	pub.Issuer, priv.Issuer = "shop", "shop"
	v := newVerifier(t, Options{Keys: []Key{pub, pub2}, Issuers: []string{"shop", "club"}, Audience: "weir"})
	f := func(want error, k Key, iss string, aud ...string) {
		t.Helper()
		c := pass("/")
		c.Issuer, c.Audience = iss, aud
		k.Issuer = "" // the forger signs what he likes
		if _, err := v.Verify(sign(t, k, c)); !errors.Is(err, want) {
			t.Errorf("iss %q aud %q with %s: got %v, want %v", iss, aud, k.ID, err, want)
		}
	}
	f(nil, priv, "shop", "weir")
	f(nil, priv, "shop", "other", "weir")
	f(nil, priv2, "club", "weir")
	f(ErrIssuer, priv, "club", "weir")
	f(ErrIssuer, priv, "", "weir")
	f(ErrIssuer, priv2, "stranger", "weir")
	f(ErrAudience, priv, "shop")
	f(ErrAudience, priv, "shop", "we")
	f(ErrAudience, priv, "shop", "weir2")
	if _, err := Sign(priv, pass("/")); err != nil {
		t.Error(err)
	}
	if _, err := Sign(priv, Claims{Issuer: "club", Expires: now, Paths: []string{"/"}}); !errors.Is(err, ErrIssuer) {
		t.Errorf("signed for another issuer: %v", err)
	}

	any := newVerifier(t, Options{Keys: []Key{pub2}})
	c := pass("/")
	if _, err := any.Verify(sign(t, priv2, c)); err != nil {
		t.Error(err)
	}
	c.Audience = []string{"somebody else"}
	if _, err := any.Verify(sign(t, priv2, c)); !errors.Is(err, ErrAudience) {
		t.Errorf("aud without an audience configured: %v", err)
	}
}

// Keys are replaced while viewers watch: during the overlap both work, and
// when the old one goes it goes at once, remembered or not.
func TestRemovedKeyAdmitsNobody(t *testing.T) {
	reg := prometheus.NewRegistry()
	oldPriv, oldPub := newKey(t, "old", EdDSA)
	newPriv, newPub := newKey(t, "new", ES256)
	var src Source
	if src.Load() != nil || (*Source)(nil).Load() != nil {
		t.Fatal("an empty source holds a verifier")
	}
	src.Store(newVerifier(t, Options{Keys: []Key{oldPub, newPub}, Registerer: reg}))
	a, b := sign(t, oldPriv, pass("/")), sign(t, newPriv, pass("/"))
	f := func(want error, raw string) {
		t.Helper()
		if _, err := src.Load().Verify(raw); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	f(nil, a)
	f(nil, b)
	src.Store(newVerifier(t, Options{Keys: []Key{newPub}, Registerer: reg}))
	f(ErrKey, a)
	f(nil, b)
	if got := testutil.ToFloat64(src.Load().metrics.verdicts[0]); got != 3 {
		t.Errorf("ok counted %v times over both verifiers, want 3", got)
	}
}

// An operator learns what is wrong with his keys before any viewer does.
func TestNewRefusesKeySetsThatLeaveDoubt(t *testing.T) {
	_, k := newKey(t, "k", EdDSA)
	_, anon := newKey(t, "", EdDSA)
	f := func(opts Options) {
		t.Helper()
		if _, err := New(opts); err == nil {
			t.Errorf("%+v accepted", opts)
		}
	}
	f(Options{})
	f(Options{Keys: []Key{{}}})
	f(Options{Keys: []Key{k, k}})
	f(Options{Keys: []Key{k, anon}})
	f(Options{Keys: make([]Key, MaxKeys+1)})
	f(Options{Keys: []Key{k}, Memo: -1})
}

// Logs and client answers name reasons from a fixed list.
func TestReasonsAreFixedCodes(t *testing.T) {
	seen := map[string]bool{}
	for _, err := range sentinels {
		r := Reason(err)
		if seen[r] || r == "token_other" {
			t.Errorf("%v: reason %q", err, r)
		}
		seen[r] = true
	}
	if Reason(nil) != "" || Reason(ErrExpired) != "token_expired" || Reason(ErrPath) != "token_path" || Reason(errors.New("x")) != "token_other" {
		t.Error("reasons do not match")
	}
}
