package web

import (
	"testing"
	"time"
)

func TestRequestDirectives(t *testing.T) {
	const long = maxDelta * time.Second
	f := func(want RequestControl, pairs ...string) {
		t.Helper()
		h := NewHeader(pairs...)
		if got := ParseRequestControl(&h); got != want {
			t.Errorf("%q: %+v, want %+v", pairs, got, want)
		}
	}
	none := RequestControl{MaxAge: -1, MinFresh: -1, MaxStale: -1, StaleIfError: -1}
	with := func(change func(*RequestControl)) RequestControl { rc := none; change(&rc); return rc }
	noCache := with(func(rc *RequestControl) { rc.NoCache = true })
	f(none)
	f(none, "Cache-Control", "", "Pragma", "")
	f(noCache, "Cache-Control", "NO-CACHE")
	f(noCache, "Cache-Control", `a="b, c" , no-cache`)
	f(noCache, "Pragma", "x, No-Cache")
	f(none, "Pragma", "no-cached")
	f(none, "Pragma", "no-cache", "Cache-Control", "x") // ignored where there is a Cache-Control
	f(with(func(rc *RequestControl) { rc.NoStore, rc.OnlyIfCached = true, true }), "Cache-Control", "no-store", "Cache-Control", "only-if-cached")
	f(with(func(rc *RequestControl) { rc.MaxAge = 0 }), "Cache-Control", "max-age=0")
	f(with(func(rc *RequestControl) { rc.MaxAge = 5 * time.Second }), "Cache-Control", `max-age="5", max-age=9`)
	f(with(func(rc *RequestControl) { rc.MaxAge = 0 }), "Cache-Control", "max-age=soon")
	f(with(func(rc *RequestControl) { rc.MinFresh = 7 * time.Second }), "Cache-Control", "min-fresh=7")
	f(with(func(rc *RequestControl) { rc.MinFresh = long }), "Cache-Control", "min-fresh=-7")
	f(with(func(rc *RequestControl) { rc.MaxStale = long }), "Cache-Control", "max-stale")
	f(with(func(rc *RequestControl) { rc.MaxStale = 3 * time.Second }), "Cache-Control", "max-stale=3")
	f(with(func(rc *RequestControl) { rc.MaxStale = 0 }), "Cache-Control", "max-stale=ever")
	f(with(func(rc *RequestControl) { rc.StaleIfError = time.Minute }), "Cache-Control", "stale-if-error=60")
	f(none, "Cache-Control", `x="never closed, no-cache`)
	if none.Demands() || !noCache.Demands() {
		t.Error("Demands")
	}
}

func FuzzRequestDirectives(f *testing.F) {
	for _, s := range []string{"no-cache", "max-age=1, min-fresh=2", `max-stale="`, "max-age=99999999999999999999", "=,=,;", ",,,"} {
		f.Add(s, "no-cache")
	}
	f.Fuzz(func(t *testing.T, control, pragma string) {
		h := NewHeader("Cache-Control", control, "Pragma", pragma)
		rc := ParseRequestControl(&h)
		for _, d := range []time.Duration{rc.MaxAge, rc.MinFresh, rc.MaxStale, rc.StaleIfError} {
			if d != -1 && (d < 0 || d > maxDelta*time.Second) {
				t.Errorf("%q: %v", control, d)
			}
		}
	})
}
