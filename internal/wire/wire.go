// Package wire carries exchanges over the network; the only sockets of weir
// are here.
//
// It promises that a [weir/internal/web.Handler] behaves alike behind each of
// its adapters: a body is sent while it grows, an aborted one is never made to
// look complete, a Body received is closed exactly once, a client that left
// ends the exchange's context within two seconds, and nothing that a client
// sends is read or kept without a bound. [Fast] serves viewers and peers over
// fasthttp, [Net] serves ingest over net/http, and [Client] is the Handler at
// the far end of a connection. The suite in wiretest holds the adapters to it.
package wire

import (
	"errors"
	"log/slog"
	"time"
)

// What the zero value of an option stands for.
const (
	defaultMaxHeader     = 16 << 10
	defaultSmallBody     = 64 << 10 // of a viewer's request
	defaultHeaderTimeout = 10 * time.Second
	defaultIdleTimeout   = 75 * time.Second
	defaultWriteStall    = 15 * time.Second
	defaultMinSendRate   = 8 << 10 // bytes/s: below any rendition worth playing
)

// Why an adapter ends an exchange that its handler would have gone on with:
// the cause of the context's end, or of a body that was cut.
var (
	ErrClientGone = errors.New("the client closed its connection")
	ErrTooSlow    = errors.New("the client takes bytes more slowly than the minimum rate")
	ErrShutdown   = errors.New("the server is shutting down")
)

func logger(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}

// or returns v, or def where v is zero.
func or[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}
