package token

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// No bytes make Verify panic, no bytes but a signer's verify, and whatever is
// found out is found out again from memory.
func FuzzVerify(f *testing.F) {
	b := newBench(f)
	for _, k := range []Key{b.hs, b.esPriv, b.edPriv} {
		f.Add(sign(f, k, pass("/live/")))
	}
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add(forge(`{"alg":"HS256","kid":"h","crit":[]}`, goodClaims, hs(b.secret())))
	f.Add(forge(`{"alg":"HS256","kid":"h"}`, `{"exp":1e308,"path":[[[]]]}`, hs(b.secret())))
	f.Fuzz(func(t *testing.T, raw string) {
		c, err := b.all.Verify(raw)
		if (c == nil) != (err != nil) {
			t.Fatalf("%v, %v", c, err)
		}
		if err != nil && resultOf(err) == result(len(resultNames)-1) {
			t.Fatalf("an error that is none of ours: %v", err)
		}
		again, err2 := b.all.Verify(raw)
		if again != c || !errors.Is(err2, err) {
			t.Fatalf("%v, %v; then %v, %v", c, err, again, err2)
		}
		if c != nil {
			_ = c.Allows(now, raw)
		}
	})
}

// A token we signed verifies; change one byte of it and it does not.
func FuzzOneByteChanged(f *testing.F) {
	b := newBench(f)
	keys := []Key{b.hs, b.esPriv, b.edPriv}
	f.Add(uint8(0), "live", "sub", uint16(0), byte(1))
	f.Add(uint8(1), "a/b", "", uint16(250), byte(0x20))
	f.Add(uint8(2), "é", "x", uint16(60), byte('\n'))
	f.Fuzz(func(t *testing.T, which uint8, path, subject string, at uint16, flip byte) {
		k := keys[int(which)%len(keys)]
		raw, err := Sign(k, Claims{Subject: subject, Expires: now.Add(time.Hour), Paths: []string{"/" + path}})
		if err != nil {
			return // claims that nobody accepts
		}
		c, err := b.all.Check(raw, now, "/"+path)
		if err != nil || c.Subject != subject {
			t.Fatalf("signed %q, got %v, %v", raw, c, err)
		}
		if flip == 0 {
			return
		}
		p := []byte(raw)
		p[int(at)%len(p)] ^= flip
		if _, err := b.all.Verify(string(p)); err == nil {
			t.Fatalf("byte %d changed to %q and it still verifies: %q", int(at)%len(p), p[int(at)%len(p)], p)
		}
	})
}

// However a request is written, the token does not stay behind in what is
// keyed and asked upstream, and nothing panics.
func FuzzExtract(f *testing.F) {
	f.Add("/t/a.b.c/live/x", "x=1&token=a.b.c", "weir_token=a.b.c; y=1", "Bearer a.b.c")
	f.Add("/t/t/t/", "%74oken=1&&token", "weir_token", "Basic x")
	f.Add("/", "&=&%", ";;=;", "bearer")
	f.Fuzz(func(t *testing.T, path, query, cookies, auth string) {
		raw, c, p, q, err := Extract(path, query, cookies, auth)
		if err != nil && (!errors.Is(err, ErrMalformed) || raw != "") || err == nil && (raw != "") != (c != None) {
			t.Fatalf("%q, %v, %v", raw, c, err)
		}
		if strings.HasPrefix(p, PathPrefix) {
			t.Fatalf("path %q", p)
		}
		if again, cleaner, err := cutQuery(q); again != "" || cleaner != q || err != nil {
			t.Fatalf("query %q still holds %q", q, again)
		}
		if strings.HasPrefix(path, "/") && !strings.HasPrefix(p, "/") {
			t.Fatalf("path %q became %q", path, p)
		}
	})
}
