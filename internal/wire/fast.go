package wire

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weir/internal/web"
)

// FastOptions configures a [Fast].
type FastOptions struct {
	Handler    web.Handler           // required; if it is a [web.Quick], TryServe is asked first
	Log        *slog.Logger          // nil: discard
	Registerer prometheus.Registerer // nil: metrics are kept but not registered
	Name       string                // value of the metrics' label "listener"

	MaxHeader     int           // bytes of request line and header; more is 431. 0: 16 KiB
	MaxBody       int64         // bytes of a request's body; more is 413. 0: 64 KiB
	HeaderTimeout time.Duration // from a request's first byte to the end of its header and body. 0: 10 s
	IdleTimeout   time.Duration // between two requests of a connection. 0: 75 s
	MinSendRate   int64         // bytes/s a client must take on average while it is sent to. 0: 8 KiB/s
	WriteStall    time.Duration // how long a client may take nothing, or lag behind MinSendRate. 0: 15 s
	Concurrency   int           // connections at once; more get 503. 0: 262,144
	AccessLog     bool          // one line for each request at level Info instead of Debug
}

// A Fast serves a Handler over HTTP/1.1 with fasthttp: many connections, small
// requests, answers of any size.
type Fast struct{ opts FastOptions }

// NewFast returns a Fast. It starts nothing.
func NewFast(o FastOptions) (*Fast, error) {
	if o.Handler == nil {
		return nil, errors.New("wire.FastOptions.Handler is required")
	}
	return &Fast{opts: o}, nil
}

// Serve accepts connections from ln until Shutdown, which makes it return nil.
func (f *Fast) Serve(ln net.Listener) error { return errors.New("not yet") }

// Shutdown stops accepting, closes idle connections and waits for the
// exchanges under way. When ctx is done before they are, it ends their contexts
// with [ErrShutdown], closes their connections and returns ctx's error.
func (f *Fast) Shutdown(ctx context.Context) error { return nil }
