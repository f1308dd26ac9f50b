package wire

import "time"

// The frames of HTTP/2 that matter here (RFC 9113 section 6).
const (
	frameData         = 0x0
	frameHeaders      = 0x1
	frameReset        = 0x3
	framePing         = 0x6
	frameWindowUpdate = 0x8
	frameContinuation = 0x9

	flagEndStream = 0x1
	flagEndBlock  = 0x4
)

// What one client may do on one connection of HTTP/2, each second and at once. "An endpoint
// that doesn't monitor use of these features exposes itself to a risk of denial of service"
// (RFC 9113 section 10.5). net/http bounds what is there at one time (streams, queued
// frames, header lists); it does not bound how fast all of it is made and thrown away.
var (
	streamRate  = rate{per: 1000, most: 3000} // a CDN that has one connection to an origin makes hundreds
	resetRate   = rate{per: 100, most: 500}   // a player that seeks gives up a few
	controlRate = rate{per: 100, most: 1000}  // SETTINGS, PING, PRIORITY, CONTINUATION, empty DATA
	windowRate  = rate{per: 200, most: 2000}  // and one for each updateEvery bytes sent
)

// updateEvery is for how many bytes sent a client may send a WINDOW_UPDATE: the most eager
// ones send two, for stream and connection, for each 4 KiB.
const updateEvery = 2 << 10

// maxContinuations bounds the frames that one header may be cut into: it fits into few.
const maxContinuations = 32

// An abuse is what a client did too much of: the label of a metric.
type abuse uint8

const (
	noAbuse       abuse = iota
	tooManyOpened       // streams, as in a flood
	tooManyReset        // streams opened to be given up: rapid reset (CVE-2023-44487)
	tooManyOrders       // SETTINGS, PING and the like
	tooManyWindows
	tooManyPieces // CONTINUATION frames of one header
	abuses
)

func (a abuse) String() string {
	return [...]string{"", "streams", "resets", "control", "window_updates", "continuations"}[a]
}

// A frameGuard counts the frames that a client sends.
type frameGuard struct {
	streams, resets, control, windows bucket
	pieces                            int   // CONTINUATION frames of the header under way
	credited                          int64 // bytes sent that windows had credit for
}

// frame takes the next frame's header; sent is how many bytes the client was sent so far.
func (g *frameGuard) frame(now time.Time, kind, flags byte, length int, sent int64) abuse {
	switch kind {
	case frameHeaders:
		g.pieces = 0
		if !g.streams.take(streamRate, now) {
			return tooManyOpened
		}
	case frameReset:
		if !g.resets.take(resetRate, now) {
			return tooManyReset
		}
	case frameWindowUpdate:
		if n := (sent - g.credited) / updateEvery; n > 0 {
			g.credited += n * updateEvery
			g.windows.add(windowRate, float64(n))
		}
		if !g.windows.take(windowRate, now) {
			return tooManyWindows
		}
	case frameData:
		// One with a few bytes costs as much as one without; the last may be short.
		if length < 256 && flags&flagEndStream == 0 && !g.control.take(controlRate, now) {
			return tooManyOrders
		}
	case frameContinuation:
		if g.pieces++; g.pieces > maxContinuations {
			return tooManyPieces
		}
		if !g.control.take(controlRate, now) {
			return tooManyOrders
		}
	default:
		if !g.control.take(controlRate, now) {
			return tooManyOrders
		}
	}
	return noAbuse
}

// A rate is how often something may happen: per second, and at once after a rest.
type rate struct{ per, most float64 }

// A bucket holds what is left of a rate. The zero value is a full one.
type bucket struct {
	used float64
	last time.Time
}

func (b *bucket) take(r rate, now time.Time) bool {
	if b.used > 0 && !b.last.IsZero() {
		b.used = max(0, b.used-r.per*now.Sub(b.last).Seconds())
	}
	b.last = now
	b.used++
	return b.used <= r.most
}

// add puts n back, at most as much as a rest of the same length again would.
func (b *bucket) add(r rate, n float64) { b.used = max(-r.most, b.used-n) }
