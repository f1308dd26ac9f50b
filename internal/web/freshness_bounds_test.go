package web

import (
	"testing"
	"time"
)

// The targets of RFC 9213: our own name before everybody's, and the next one
// where that is void.
func TestOurOwnTargetCountsBeforeTheCommonOne(t *testing.T) {
	f := func(want time.Duration, why string, pairs ...string) {
		t.Helper()
		if got := judged(200, pairs...); got.Lifetime != want || got.Why != why {
			t.Errorf("%q: %v %q, want %v %q", pairs, got.Lifetime, got.Why, want, why)
		}
	}
	const own, cdn, cc = "Weir-Cache-Control", "CDN-Cache-Control", "Cache-Control"
	f(3*time.Second, "", own, "max-age=3", cdn, "max-age=2", cc, "max-age=1")
	f(2*time.Second, "", own, "", cdn, "max-age=2", cc, "max-age=1")
	f(2*time.Second, "", own, "max-age=3,", cdn, "max-age=2", cc, "max-age=1")
	f(2*time.Second, "", own, "MAX-AGE=3", cdn, "max-age=2", cc, "max-age=1")
	f(time.Second, "", own, `max-age="3"`, cdn, "max-age=2.5", cc, "max-age=1")
	f(3*time.Second, "", own, "max-age=3", cdn, "no-store", cc, "private")
	f(0, WhyNoStore, own, "no-store", cdn, "max-age=2", cc, "max-age=1")
	f(0, WhyPrivate, own, "private", cdn, "max-age=2", cc, "max-age=1")
	f(3*time.Second, "", own, "public", own, "max-age=3", cc, "no-store") // two lines are one list
}

// A login page that says nothing, or that it may be used for no time at all,
// is not shared with whoever asks at the same moment.
func TestAnAnswerToACookieIsSharedOnlyIfItSaysSo(t *testing.T) {
	f := func(why string, pairs ...string) {
		t.Helper()
		got := Judge(&Request{Method: "GET", Header: NewHeader("Cookie", "a=b")}, NewResponse(200, nil, pairs...), now, now)
		if got.Why != why || got.Store != (why == "") {
			t.Errorf("%q: %q, want %q", pairs, got.Why, why)
		}
	}
	f(WhyCookie)
	f(WhyCookie, "Last-Modified", FormatHTTPDate(now.Add(-time.Hour)))
	f(WhyCookie, "Cache-Control", "max-age=0")
	f(WhyCookie, "Cache-Control", "max-age=60", "Age", "60")
	f(WhyCookie, "Cache-Control", "max-age=60, no-cache")
	f(WhyCookie, "Expires", "0")
	f("", "Cache-Control", "max-age=60")
	f("", "Cache-Control", "s-maxage=60")
	f("", "CDN-Cache-Control", "max-age=60")
	f("", "Cache-Control", "public")
	f("", "Expires", FormatHTTPDate(now.Add(time.Hour)))
	f(WhyPrivate, "Cache-Control", "private")
}

// largest returns the largest whole number in s, at most maxDelta, as seconds.
func largest(all ...string) time.Duration {
	most, n, in := int64(0), int64(0), false
	for _, s := range all {
		for i := 0; i <= len(s); i++ {
			if i < len(s) && isDigit(s[i]) {
				n, in = min(n*10+int64(s[i]-'0'), maxDelta), true
				continue
			}
			if in {
				most = max(most, n)
			}
			n, in = 0, false
		}
	}
	return time.Duration(most) * time.Second
}

// Whatever an answer says, and however broken: it is never fresh for longer
// than the largest number in it or the time to Expires, nothing overflows, and
// it is never younger than Age and the time it took.
func FuzzFreshnessIsNeverMoreThanStated(f *testing.F) {
	for _, s := range [][4]string{
		{"max-age=60", "", "", ""}, {"s-maxage=9, max-age=99999999999999999999", "max-age=5", "Sun, 06 Nov 1994 08:49:37 GMT", "12"},
		{"max-age=0, max-age=7", "max-age=1;a=9", "0", "-1"}, {`max-age="3", x="max-age=9"`, `max-age="1"`, "Mon, 04 May 2026 04:02:01 GMT", "0, 9"},
		{"stale-while-revalidate=9999999999, max-age=2147483648", "stale-if-error=4", "", "2147483649"},
	} {
		f.Add(200, s[0], s[1], s[2], s[3], int64(0), true)
	}
	f.Fuzz(func(t *testing.T, status int, cc, cdn, expires, age string, delay int64, cookie bool) {
		req := &Request{Method: "GET"}
		if cookie {
			req.Header.Add("Cookie", "a=b")
		}
		asked := now.Add(-time.Duration(max(0, delay%(1<<40))))
		got := Judge(req, NewResponse(status, nil, "Cache-Control", cc, "CDN-Cache-Control", cdn, "Expires", expires, "Age", age), asked, now)
		bound := largest(cc, cdn)
		if at, ok := ParseHTTPDate(expires); ok {
			bound = max(bound, at.Sub(now))
		}
		if got.Lifetime > bound {
			t.Errorf("fresh for %v, and nothing in it is more than %v", got.Lifetime, bound)
		}
		for _, d := range []time.Duration{got.Lifetime + got.StaleIfError, got.Lifetime + got.StaleWhileRevalidate, got.InitialAge} {
			if d < 0 {
				t.Errorf("overflow: %+v", got)
			}
		}
		if n, ok := digits(age); ok && got.InitialAge < time.Duration(min(n, maxDelta))*time.Second {
			t.Errorf("Age %s became %v", age, got.InitialAge)
		}
		if got.Store != (got.Why == "") {
			t.Errorf("%+v", got)
		}
	})
}
