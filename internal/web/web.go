// Package web is an HTTP exchange as handlers see it, and nothing of the wire
// that carried it.
//
// It promises that a handler, a cache and a test can all be written without a
// socket: what was asked is a [Request], what is answered is a [Response]
// whose [Body] may still be growing, and everything between the two is a
// [Handler]. Conditions, ranges and freshness (RFC 9110, RFC 9111) are decided
// here once, for every transport.
package web

import (
	"context"
	"io"
	"net/netip"
)

// A Handler answers a request, and may wait to do so. An origin, an edge, a
// peer across the network and the client that reaches an origin are Handlers.
//
// Serve returns either a Response or an error, never both. An error that is,
// or wraps, an [*Error] names the status the client sees; any other error is
// a 500. Serve returns soon after ctx is done. Whoever receives a Response
// closes its Body exactly once.
type Handler interface {
	Serve(ctx context.Context, req *Request) (*Response, error)
}

// HandlerFunc lets a function be a Handler.
type HandlerFunc func(ctx context.Context, req *Request) (*Response, error)

// Serve implements [Handler].
func (f HandlerFunc) Serve(ctx context.Context, req *Request) (*Response, error) { return f(ctx, req) }

// Quick is what a Handler offers when it can answer some requests without
// waiting for anything, so that a connection loop may call it directly.
type Quick interface {
	// TryServe answers at once or reports false, in which case nothing has
	// happened and the request must be given to Serve. It never blocks.
	TryServe(req *Request) (*Response, bool)
}

// A Request is what a client asks. Its strings may be kept for ever: whoever
// made the Request copied them off the wire.
type Request struct {
	Method string
	Path   string // decoded and normalised by CleanPath; begins with "/"
	Query  string // as sent, without the "?"
	Host   string // the authority the client named, as sent
	Header Header
	Body   io.Reader      // nil: none; ends when the request's payload ends
	Remote netip.AddrPort // who is asking: the peer of the connection
	TLS    bool           // it came over an encrypted connection

	ClientCert bool // the client showed a certificate, and it was verified

	// Inform passes on an interim answer, as 103 (RFC 9110 section 15.2), to
	// who asks, ahead of the answer. It may be called by any goroutine, also
	// when the exchange is over, and then does nothing. It keeps nothing of h.
	// Nil: who asks gets none.
	Inform func(status int, h *Header)
}

// Clone returns a copy of req whose Header can be changed without touching
// req's. The Body is shared.
func (req *Request) Clone() *Request {
	c := *req
	c.Header = req.Header.Clone()
	return &c
}
