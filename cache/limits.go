package cache

import (
	"net/http"
	"time"

	"weir/internal/web"
)

// Limits are what a Cache allows for one class of objects, whatever their
// answers say. A field that is 0 is its default, less than 0 is not at all.
type Limits struct {
	// For how long beyond its lifetime an answer may be served at most: while a
	// new one is fetched, and when that fails (RFC 5861). An answer that does
	// not allow it itself is never served stale.
	StaleWhileRevalidate, StaleIfError time.Duration

	// Negative are rules for answers that say no, by status; 0 is an upstream
	// that could not be asked. A status without a rule follows the default one.
	Negative map[int]Negative
}

// A Negative says for how long an answer that says no stands, counted from its
// arrival: Default where it says nothing itself, Max at most. Answers that say
// that upstream is in trouble (5xx, 429), and failures to ask it, never stand
// longer than a second, so that an upstream that came back is noticed at once.
type Negative struct{ Default, Max time.Duration }

// maxTrouble bounds for how long upstream is taken to be in trouble.
const maxTrouble = time.Second

// staleLimits are the defaults of Limits by class. A playlist that stands still
// is one that players give up on; a segment never changes.
var staleLimits = [classes]Limits{
	Other:    {StaleWhileRevalidate: time.Hour, StaleIfError: 24 * time.Hour},
	Playlist: {StaleWhileRevalidate: time.Minute, StaleIfError: 10 * time.Minute},
	Segment:  {StaleWhileRevalidate: 10 * time.Minute, StaleIfError: 24 * time.Hour},
	Init:     {StaleWhileRevalidate: 10 * time.Minute, StaleIfError: 24 * time.Hour},
}

// negative is the default rule for a class of objects and a status of 400 and
// up, or 0.
//
//	status                default   at most
//	404, live             1 s       10 s      what is not there yet may come any moment
//	404, other            1 s       5 min
//	405 410 414           10 s      1 h       it will not change soon
//	501                   1 s       1 s
//	429, 5xx, no answer   500 ms    1 s       two questions a second for each object
//	other 4xx             -         5 min     only what upstream says (RFC 9110 section 15.1)
func negative(class Class, status int) Negative {
	switch {
	case status == http.StatusNotImplemented:
		return Negative{maxTrouble, maxTrouble}
	case trouble(status):
		return Negative{500 * time.Millisecond, maxTrouble}
	case status == http.StatusNotFound && class != Other:
		return Negative{time.Second, 10 * time.Second}
	case status == http.StatusNotFound:
		return Negative{time.Second, 5 * time.Minute}
	case status == http.StatusMethodNotAllowed, status == http.StatusGone, status == http.StatusRequestURITooLong:
		return Negative{10 * time.Second, time.Hour}
	}
	return Negative{-1, 5 * time.Minute}
}

// trouble reports whether a status says that upstream cannot answer now, rather
// than what is to be said of the object; 0 is no answer at all.
func trouble(status int) bool {
	return status == 0 || status == http.StatusTooManyRequests || status >= http.StatusInternalServerError
}

// negative returns the rule for a class and a status, with nothing below 0.
func (c *Cache) negative(class Class, status int) Negative {
	rule := negative(class, status)
	own := c.opts.Limits[class].Negative[status]
	rule = Negative{or(own.Default, rule.Default), or(own.Max, rule.Max)}
	if trouble(status) {
		rule.Max = min(rule.Max, maxTrouble)
	}
	return Negative{max(0, min(rule.Default, rule.Max)), max(0, rule.Max)}
}

func or(said, byDefault time.Duration) time.Duration {
	if said == 0 {
		return byDefault
	}
	return said
}

// limit holds what an answer allows within the limits of its class.
func (c *Cache) limit(class Class, status int, may web.Freshness) web.Freshness {
	class = min(class, classes-1)
	if status >= http.StatusBadRequest {
		// An answer that says no is not served stale: it would outlast its limit.
		may.StaleWhileRevalidate, may.StaleIfError = 0, 0
		rule := c.negative(class, status)
		switch {
		case may.Explicit:
			may.Lifetime = min(may.Lifetime, may.InitialAge+rule.Max)
		case may.Store && rule.Default > 0:
			may.Lifetime = may.InitialAge + rule.Default
		default:
			may.Lifetime = 0
		}
		return may
	}
	own, most := c.opts.Limits[class], staleLimits[class]
	may.StaleWhileRevalidate = max(0, min(may.StaleWhileRevalidate, or(own.StaleWhileRevalidate, most.StaleWhileRevalidate)))
	may.StaleIfError = max(0, min(may.StaleIfError, or(own.StaleIfError, most.StaleIfError)))
	return may
}
