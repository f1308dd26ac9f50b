package origin

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// A span is a stretch of the past by the wall clock, as a URL names it: @{start} or
// @{start}-{end}, in UTC and whole seconds. There is one spelling of each, so that caches
// that know nothing of it keep each once.
type span struct {
	start, end time.Time // end is zero where the span is open: until now, and on
}

// spanTime is how a time is written in a URL.
const spanTime = "20060102T150405Z"

// spanMark begins a span in a path. No rendition's name does: see [renditionName].
const spanMark = "@"

func (s span) open() bool { return s.end.IsZero() }

func (s span) String() string {
	if s.open() {
		return spanMark + s.start.Format(spanTime)
	}
	return spanMark + s.start.Format(spanTime) + "-" + s.end.Format(spanTime)
}

// parseSpan reads what follows the mark.
func parseSpan(channel, text string) (s span, err error) {
	bad := func(why string) (span, error) {
		return span{}, refuse(http.StatusBadRequest, "bad_time",
			"channel %s: @%s %s: write @START to watch from there on, @START-END for what is over, each as 20261125T201500Z (UTC)", channel, quote(text), why)
	}
	from, to, closed := strings.Cut(text, "-")
	if s.start, err = parseSpanTime(from); err != nil {
		return bad("has no START")
	}
	if closed {
		if s.end, err = parseSpanTime(to); err != nil {
			return bad("has no END")
		}
		if !s.end.After(s.start) {
			return bad("ends before it begins")
		}
	}
	return s, nil
}

func parseSpanTime(text string) (time.Time, error) {
	t, err := time.Parse(spanTime, text)
	if err == nil && (t.Format(spanTime) != text || t.Year() < 1970) {
		err = fmt.Errorf("time %s is not as it should be written", quote(text))
	}
	return t, err
}
