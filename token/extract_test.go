package token

import (
	"errors"
	"strings"
	"testing"
)

// Wherever the ticket travels it is found, and nothing of it stays behind in
// what is looked up, keyed and asked upstream.
func TestExtractFindsAndStrips(t *testing.T) {
	f := func(path, query, cookies, auth string, wantRaw string, wantC Carrier, wantPath, wantQuery string) {
		t.Helper()
		raw, c, p, q, err := Extract(path, query, cookies, auth)
		if err != nil || raw != wantRaw || c != wantC || p != wantPath || q != wantQuery {
			t.Errorf("Extract(%q, %q, %q, %q) = %q, %v, %q, %q, %v", path, query, cookies, auth, raw, c, p, q, err)
		}
	}
	f("/live/a", "", "", "", "", None, "/live/a", "")
	f("/t/a.b.c/live/a", "", "", "", "a.b.c", Prefix, "/live/a", "")
	f("/t/a.b.c/", "", "", "", "a.b.c", Prefix, "/", "")
	f("/t", "", "", "", "", None, "/t", "")
	f("/tt/a.b.c/live", "", "", "", "", None, "/tt/a.b.c/live", "")
	f("/live/t/a.b.c/x", "", "", "", "", None, "/live/t/a.b.c/x", "")
	f("/live/a", "token=a.b.c", "", "", "a.b.c", Query, "/live/a", "")
	f("/live/a", "token=a.b.c&_HLS_msn=3", "", "", "a.b.c", Query, "/live/a", "_HLS_msn=3")
	f("/live/a", "_HLS_msn=3&token=a.b.c", "", "", "a.b.c", Query, "/live/a", "_HLS_msn=3")
	f("/live/a", "x=1&token=a.b.c&y=%20", "", "", "a.b.c", Query, "/live/a", "x=1&y=%20")
	f("/live/a", "mytoken=1&tokens=2&x=token", "", "", "", None, "/live/a", "mytoken=1&tokens=2&x=token")
	f("/live/a", "a=%zz&%zz=b", "", "", "", None, "/live/a", "a=%zz&%zz=b")
	f("/live/a", "", "", "Bearer a.b.c", "a.b.c", Authorization, "/live/a", "")
	f("/live/a", "", "", "bearer   a.b.c", "a.b.c", Authorization, "/live/a", "")
	f("/live/a", "", "", "Basic YTpi", "", None, "/live/a", "")
	f("/live/a", "", "", "BearerX a.b.c", "", None, "/live/a", "")
	f("/live/a", "", "weir_token=a.b.c", "", "a.b.c", Cookie, "/live/a", "")
	f("/live/a", "", "x=1; weir_token=a.b.c; y=2", "", "a.b.c", Cookie, "/live/a", "")
	f("/live/a", "", "x=1, weir_token=a.b.c; y=2", "", "a.b.c", Cookie, "/live/a", "")
	f("/live/a", "", "xweir_token=1; weir_tokenx=2; Weir_Token=3", "", "", None, "/live/a", "")
	// The order, and that what loses is stripped all the same.
	f("/t/p.p.p/live/a", "token=q.q.q&x=1", "weir_token=c.c.c", "Bearer h.h.h", "p.p.p", Prefix, "/live/a", "x=1")
	f("/live/a", "token=q.q.q", "weir_token=c.c.c", "Bearer h.h.h", "q.q.q", Query, "/live/a", "")
	f("/live/a", "", "weir_token=c.c.c", "Bearer h.h.h", "h.h.h", Authorization, "/live/a", "")
	f("/live/a", "", "weir_token=c.c.c", "Basic YTpi", "c.c.c", Cookie, "/live/a", "")
}

// Two tickets at once, or half a one, leave doubt about who is asking.
func TestExtractRefusesWhatIsAmbiguous(t *testing.T) {
	f := func(path, query, cookies, auth string) {
		t.Helper()
		raw, _, p, q, err := Extract(path, query, cookies, auth)
		if !errors.Is(err, ErrMalformed) || raw != "" {
			t.Errorf("Extract(%q, %q, %q, %q) = %q, %v", path, query, cookies, auth, raw, err)
		}
		if strings.HasPrefix(p, PathPrefix) || strings.Contains(q, "token") || strings.Contains(q, "%6") {
			t.Errorf("left behind: %q %q", p, q)
		}
	}
	f("/t/", "", "", "")
	f("/t/a.b.c", "", "", "")
	f("/t//live", "", "", "")
	f("/t/a.b.c/t/a.b.c/live", "", "", "")
	f("/t/a.b.c/t/x", "", "", "")
	f("/live/a", "token=a.b.c&token=a.b.c", "", "")
	f("/live/a", "token=a.b.c&x=1&token=", "", "")
	f("/live/a", "token=", "", "")
	f("/live/a", "token", "", "")
	f("/live/a", "%74oken=a.b.c", "", "")
	f("/live/a", "t%6Fken=a.b.c", "", "")
	f("/live/a", "token=a.b.c&%74oken=a.b.c", "", "")
	f("/live/a", "", "weir_token=", "")
	f("/live/a", "", "weir_token=a.b.c; weir_token=d.e.f", "")
	f("/live/a", "", "weir_token=a.b.c, weir_token=d.e.f", "")
	f("/live/a", "", "", "Bearer")
	f("/live/a", "", "", "Bearer  ")
}

// What Extract takes for a token still has to be one: other ways to write it
// in its carrier do not verify.
func TestCarriedTokensAreTakenAsTheyAre(t *testing.T) {
	priv, pub := newKey(t, "k", HS256)
	v := newVerifier(t, Options{Keys: []Key{pub}})
	good := sign(t, priv, pass("/live"))
	f := func(want error, path, query, cookies, auth string) {
		t.Helper()
		raw, _, p, _, err := Extract(path, query, cookies, auth)
		if err == nil {
			_, err = v.Check(raw, now, p)
		}
		if !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	f(nil, "/t/"+good+"/live/x", "", "", "")
	f(nil, "/live/x", "token="+good, "", "")
	f(nil, "/live/x", "", "weir_token="+good, "")
	f(nil, "/live/x", "", "", "Bearer "+good)
	f(ErrMissing, "/live/x", "", "", "")
	f(ErrPath, "/t/"+good+"/vod/x", "", "", "")
	f(ErrMalformed, "/live/x", "token="+strings.Replace(good, ".", "%2E", 1), "", "")
	f(ErrMalformed, "/live/x", "", `weir_token="`+good+`"`, "")
	f(ErrMalformed, "/live/x", "", "", "Bearer "+good+", Bearer "+good)
	f(ErrMalformed, "/live/x", "", "", "Bearer "+good+" x")
}
