package web

import (
	"net/http"
	"strings"
	"time"
)

// FormatHTTPDate returns t as an IMF-fixdate (RFC 9110 section 5.6.7), in whole
// seconds, rounded down.
func FormatHTTPDate(t time.Time) string { return t.UTC().Format(http.TimeFormat) }

// The other two forms that a recipient must read.
const (
	rfc850  = "Monday, 02-Jan-06 15:04:05 GMT"
	asctime = time.ANSIC
)

// ParseHTTPDate reads a date in one of the three forms of RFC 9110 section
// 5.6.7. It is strict where time.Parse is not: letters have the case of the
// specification, numbers their full width and there are no fractions of
// seconds. Only a wrong day of the week is let pass.
func ParseHTTPDate(s string) (time.Time, bool) {
	if len(s) < len("Sun Nov  6 08:49:37 1994") {
		return time.Time{}, false // as most often: there is none
	}
	for _, layout := range [...]string{http.TimeFormat, rfc850, asctime} {
		t, err := time.Parse(layout, s)
		if err != nil {
			continue
		}
		if afterDay(t.Format(layout)) != afterDay(s) {
			return time.Time{}, false
		}
		if layout == rfc850 && t.After(time.Now().AddDate(50, 0, 0)) {
			// "a timestamp that appears to be more than 50 years in the future
			// [represents] the most recent year in the past that had the same
			// last two digits".
			t = t.AddDate(-100, 0, 0)
		}
		return t, true
	}
	return time.Time{}, false
}

// afterDay cuts the name of the day off a date.
func afterDay(s string) string { return s[strings.IndexByte(s, ' ')+1:] }
