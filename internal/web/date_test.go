package web

import (
	"testing"
	"time"
)

func TestDatesAreReadInAllThreeForms(t *testing.T) {
	want := time.Date(1994, 11, 6, 8, 49, 37, 0, time.UTC)
	f := func(in string) {
		t.Helper()
		if got, ok := ParseHTTPDate(in); !ok || !got.Equal(want) {
			t.Errorf("ParseHTTPDate(%q) = %v, %v", in, got, ok)
		}
	}
	f("Sun, 06 Nov 1994 08:49:37 GMT")
	f("Sunday, 06-Nov-94 08:49:37 GMT")
	f("Sun Nov  6 08:49:37 1994")
	f(FormatHTTPDate(want))
	f(FormatHTTPDate(want.In(time.FixedZone("x", 3600)).Add(999 * time.Millisecond)))
}

// A bad date must read as bad: an Expires that is read generously keeps a live
// playlist for longer than its maker meant.
func TestDatesThatAreNoneAreRefused(t *testing.T) {
	f := func(in string) {
		t.Helper()
		if got, ok := ParseHTTPDate(in); ok {
			t.Errorf("ParseHTTPDate(%q) = %v, want none", in, got)
		}
	}
	f("")
	f("0")
	f("-1")
	f("Sun, 06 Nov 1994 08:49:37 UTC")
	f("Sun, 06 Nov 1994 08:49:37 +0000")
	f("Sun, 06 Nov 1994 8:49:37 GMT")
	f("Sun, 6 Nov 1994 08:49:37 GMT")
	f("Sun, 06 nov 1994 08:49:37 GMT")
	f("Sun, 06 Nov 1994 08:49:37.5 GMT")
	f("Sun, 06 Nov 1994 08:49:60 GMT")
	f("Sun, 31 Feb 1994 08:49:37 GMT")
	f("Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT")
	f("1994-11-06T08:49:37Z")
}

func TestTwoDigitYearsLieInThePast(t *testing.T) {
	got, ok := ParseHTTPDate("Sunday, 06-Nov-68 08:49:37 GMT")
	if fifty := time.Now().AddDate(50, 0, 0); !ok || got.After(fifty) {
		t.Errorf("got %v, %v: more than 50 years ahead", got, ok)
	}
}
