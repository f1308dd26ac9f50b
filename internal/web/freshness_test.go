package web

import (
	"testing"
	"time"
)

var now = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)

func judged(status int, pairs ...string) Freshness {
	h := NewHeader(pairs...)
	return Judge(&Request{Method: "GET"}, &Response{Status: status, Header: h}, now, now)
}

func TestLifetimes(t *testing.T) {
	f := func(want time.Duration, pairs ...string) {
		t.Helper()
		if got := judged(200, pairs...); got.Lifetime != want || !got.Store {
			t.Errorf("%q: %v (store %v), want %v", pairs, got.Lifetime, got.Store, want)
		}
	}
	date := func(d time.Duration) string { return FormatHTTPDate(now.Add(d)) }
	const long = maxDelta * time.Second
	f(time.Minute, "Cache-Control", "max-age=60")
	f(time.Minute, "Cache-Control", `MAX-AGE="60"`)
	f(time.Minute, "Cache-Control", "foo, max-age=60 , bar=1")
	f(time.Minute, "Cache-Control", "public", "Cache-Control", "max-age=60")
	f(time.Minute, "Cache-Control", `ext="a, max-age=1, \"b", max-age=60`)
	f(time.Minute, "Cache-Control", "max-age=60", "Expires", date(time.Hour))
	f(time.Minute, "Cache-Control", "max-age=1, s-maxage=60", "Expires", date(time.Hour))
	f(time.Second, "Cache-Control", "max-age=60, s-maxage=1")
	f(time.Minute, "Cache-Control", "max-age=60, max-age=1")
	f(long, "Cache-Control", "max-age=2147483648")
	f(long, "Cache-Control", "max-age=99999999999")
	f(long, "Cache-Control", "max-age=99999999999999999999999")
	f(long, "CDN-Cache-Control", "max-age=999999999999999")
	f(0, "Cache-Control", "max-age=0")
	f(0, "Cache-Control", "max-age=-1")
	f(0, "Cache-Control", "max-age")
	f(0, "Cache-Control", "max-age=")
	f(0, "Cache-Control", "max-age= 60")
	f(0, "Cache-Control", "max-age=60.5")
	f(0, "Cache-Control", "max-age=1e3")
	f(0, "Cache-Control", "max-age='60'")
	f(0, "Cache-Control", "max-age=60 s")
	f(0, "Cache-Control", "max-age=0x10", "Expires", date(time.Hour))
	f(0, "Cache-Control", "xmax-age=60")
	f(time.Hour, "Expires", date(time.Hour), "Date", date(0))
	f(2*time.Hour, "Expires", date(time.Hour), "Date", date(-time.Hour))
	f(time.Hour, "Expires", date(time.Hour), "Date", "yesterday")
	f(0, "Expires", "0")
	f(0, "Expires", date(-time.Hour))
	f(0, "Expires", date(time.Hour)+" and more")
	f(6*time.Minute, "Last-Modified", date(-time.Hour), "Date", date(0))
	f(maxGuess, "Last-Modified", date(-1e5*time.Hour), "Date", date(0))
	f(0, "Last-Modified", date(time.Hour), "Date", date(0))
	f(0)
	// RFC 9213: the targeted field decides where it is valid and not empty.
	f(time.Minute, "CDN-Cache-Control", "max-age=60", "Cache-Control", "no-store", "Expires", "0")
	f(time.Second, "CDN-Cache-Control", "max-age=60, max-age=1")
	f(time.Minute, "CDN-Cache-Control", "max-age=60;x=1;y, foo=(a b);z, bar=:aGk=:, baz=@12")
	f(0, "CDN-Cache-Control", "public", "Expires", date(time.Hour))
	for _, void := range []string{"", " ", "max-age=60,", "max-age=60 s", "MAX-AGE=60", "max-age=60.5", `max-age="60"`, "max-age=-5",
		"max-age=1234567890123456", "max-age=60, é", "max-age=60; , x", "=60", "max-age=60;;a", `max-age=60, b="`, "max-age=60, c=(1", "max-age=60, d=?2"} {
		f(time.Second, "CDN-Cache-Control", void, "Cache-Control", "max-age=1")
	}
}

func TestStoring(t *testing.T) {
	f := func(status int, why string, pairs ...string) {
		t.Helper()
		if got := judged(status, pairs...); got.Why != why || got.Store != (why == "") {
			t.Errorf("%d %q: %q, want %q", status, pairs, got.Why, why)
		}
	}
	for _, status := range []int{200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501} {
		f(status, "")
	}
	for _, status := range []int{302, 307, 400, 401, 403, 429, 500, 502, 503, 504} {
		f(status, WhyStatus)
		f(status, "", "Cache-Control", "max-age=1")
		f(status, "", "Cache-Control", "public")
	}
	f(206, WhyStatus, "Cache-Control", "max-age=60")
	f(304, WhyStatus, "Cache-Control", "max-age=60")
	f(103, WhyStatus, "Cache-Control", "max-age=60")
	f(200, WhyNoStore, "Cache-Control", "max-age=60, No-Store", "Expires", FormatHTTPDate(now.Add(time.Hour)))
	f(200, WhyNoStore, "Cache-Control", `max-age=60, ext="never closed, no-store`)
	f(200, WhyNoStore, "CDN-Cache-Control", "no-store", "Cache-Control", "max-age=60")
	f(200, "", "CDN-Cache-Control", "no-store=?0, max-age=1", "Cache-Control", "no-store")
	f(200, WhyPrivate, "Cache-Control", "private, max-age=60")
	f(200, WhyPrivate, "Cache-Control", `private="", max-age=60`)
	f(200, WhyPrivate, "CDN-Cache-Control", "private", "Cache-Control", "max-age=60")
	f(200, "", "Cache-Control", `private="Set-Cookie", max-age=60`)
	f(200, "", "Cache-Control", "no-cache")
	f(200, "", "Cache-Control", "must-understand, no-store, max-age=60")
	f(299, WhyStatus, "Cache-Control", "must-understand, max-age=60")
	f(200, WhyVaryAny, "Vary", "*")
	f(200, WhyVaryAny, "Vary", "Accept", "Vary", "Origin , *")
	f(200, "", "Vary", "Accept-Encoding")
}

func TestStoringDependsOnTheRequest(t *testing.T) {
	f := func(why, method string, req Header, pairs ...string) {
		t.Helper()
		got := Judge(&Request{Method: method, Header: req}, NewResponse(200, nil, pairs...), now, now)
		if got.Why != why {
			t.Errorf("%s %v %q: %q, want %q", method, req, pairs, got.Why, why)
		}
	}
	auth := NewHeader("Authorization", "Bearer x")
	f(WhyAuthorization, "GET", auth, "Cache-Control", "max-age=60")
	f("", "GET", auth, "Cache-Control", "max-age=60, public")
	f("", "GET", auth, "Cache-Control", "s-maxage=60")
	f("", "GET", auth, "Cache-Control", "max-age=60, must-revalidate")
	f(WhyNoStore, "GET", NewHeader("Cache-Control", "no-store"), "Cache-Control", "max-age=60")
	f(WhyMethod, "HEAD", Header{}, "Cache-Control", "max-age=60")
	f(WhyMethod, "POST", Header{}, "Cache-Control", "max-age=60")
}

func TestAges(t *testing.T) {
	f := func(want, delay time.Duration, pairs ...string) {
		t.Helper()
		got := Judge(&Request{Method: "GET"}, NewResponse(200, nil, pairs...), now.Add(-delay), now)
		if got.InitialAge != want {
			t.Errorf("%q after %v: %v, want %v", pairs, delay, got.InitialAge, want)
		}
	}
	date := func(d time.Duration) string { return FormatHTTPDate(now.Add(d)) }
	f(0, 0)
	f(50*time.Second, 0, "Age", "50")
	f(52*time.Second, 2*time.Second, "Age", "50")
	f(0, 0, "Age", "0, 99")
	f(99*time.Second, 0, "Age", "99, 0")
	f(0, 0, "Age", "-1")
	f(0, 0, "Age", "x")
	f(0, 0, "Age", "7.0")
	f(maxDelta*time.Second, 0, "Age", "99999999999999999999")
	f(5*time.Second, 5*time.Second)
	// Held for 5 s until there was something to tell: born just now.
	f(0, 5*time.Second, "Date", date(0))
	f(time.Second, 5*time.Second, "Date", date(-time.Second))
	f(0, 5*time.Second, "Date", date(time.Hour)) // their clock is ahead
	f(5*time.Second, 5*time.Second, "Date", date(-time.Hour))
	f(5*time.Second, 5*time.Second, "Date", "garbage")
}

// s-maxage and must-revalidate forbid to serve stale, whatever else is said.
func TestStaleAllowance(t *testing.T) {
	f := func(while, onError time.Duration, must bool, pairs ...string) {
		t.Helper()
		got := judged(200, pairs...)
		if got.StaleWhileRevalidate != while || got.StaleIfError != onError || got.MustRevalidate != must {
			t.Errorf("%q: %v %v %v", pairs, got.StaleWhileRevalidate, got.StaleIfError, got.MustRevalidate)
		}
	}
	const both = ", stale-while-revalidate=2, stale-if-error=60"
	f(2*time.Second, time.Minute, false, "Cache-Control", "max-age=1"+both)
	f(2*time.Second, time.Minute, false, "CDN-Cache-Control", "max-age=1"+both)
	f(0, 0, true, "Cache-Control", "s-maxage=1"+both)
	f(0, 0, true, "Cache-Control", "max-age=1, must-revalidate"+both)
	f(0, 0, true, "Cache-Control", "max-age=1, proxy-revalidate"+both)
	f(0, 0, true, "CDN-Cache-Control", "s-maxage=1"+both)
	f(0, 0, false, "Cache-Control", "max-age=1, stale-while-revalidate=x, stale-if-error=-1")
	f(0, 0, false, "Cache-Control", "max-age=1")
}

func TestQualifiedDirectivesNameFields(t *testing.T) {
	got := judged(200, "Cache-Control", `private="Set-Cookie, X-User", no-cache="X-Now"`)
	if len(got.Strip) != 3 || got.Private || got.NoCache || !got.Store {
		t.Errorf("%+v", got)
	}
	if got := judged(200, "CDN-Cache-Control", `private="Set-Cookie"`); len(got.Strip) != 1 || got.Strip[0] != "Set-Cookie" {
		t.Errorf("%+v", got)
	}
}

func FuzzCacheControl(f *testing.F) {
	f.Add("max-age=60, private=\"a,b\"", "max-age=1;x, s-maxage=2", "Sun, 06 Nov 1994 08:49:37 GMT", "5")
	f.Add(`no-cache="\"\\", x=`, `a=(b "c" ?1);d=:YQ==:, e=%"f"`, "0", "-1")
	f.Add(`="`, `"`, "", "")
	f.Fuzz(func(t *testing.T, cc, cdn, date, age string) {
		got := judged(200, "Cache-Control", cc, "CDN-Cache-Control", cdn, "Expires", date, "Date", date, "Last-Modified", date, "Age", age)
		for _, d := range []time.Duration{got.Lifetime, got.InitialAge, got.StaleWhileRevalidate, got.StaleIfError} {
			if d < 0 || d > maxDelta*time.Second {
				t.Fatalf("%+v", got)
			}
		}
		if got.Store != (got.Why == "") || got.Store && got.Private {
			t.Fatalf("%+v", got)
		}
	})
}
