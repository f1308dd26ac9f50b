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

// NetOptions configures a [Net].
type NetOptions struct {
	Handler    web.Handler           // required
	Log        *slog.Logger          // nil: discard
	Registerer prometheus.Registerer // nil: metrics are kept but not registered
	Name       string                // value of the metrics' label "listener"

	MaxHeader       int           // bytes of request line and header; a few KiB more are 431. 0: 16 KiB
	MaxBody         int64         // bytes of a request's body; more is 413. 0: 64 MiB
	HeaderTimeout   time.Duration // from a request's first byte to the end of its header. 0: 10 s
	IdleTimeout     time.Duration // between two requests of a connection. 0: 75 s
	ProgressTimeout time.Duration // how long a request's body may not advance. 0: 30 s
	MinSendRate     int64         // bytes/s a client must take on average while it is sent to. 0: 8 KiB/s
	WriteStall      time.Duration // how long a client may take nothing, or lag behind MinSendRate. 0: 15 s
	AccessLog       bool          // one line for each request at level Info instead of Debug

	// BeforeBody is asked about each request before a byte of its body is
	// read, and so before "100 Continue" is sent; the request's Body is nil.
	// An error is answered at once and the connection is closed. nil: all pass.
	BeforeBody func(*web.Request) error
}

// A Net serves a Handler over net/http: uploads of unknown length, and later
// TLS and HTTP/2.
type Net struct{ opts NetOptions }

// NewNet returns a Net. It starts nothing.
func NewNet(o NetOptions) (*Net, error) {
	if o.Handler == nil {
		return nil, errors.New("wire.NetOptions.Handler is required")
	}
	return &Net{opts: o}, nil
}

// Serve accepts connections from ln until Shutdown, which makes it return nil.
func (n *Net) Serve(ln net.Listener) error { return errors.New("not yet") }

// Shutdown stops accepting, closes idle connections and waits for the
// exchanges under way. When ctx is done before they are, it ends their contexts
// with [ErrShutdown], closes their connections and returns ctx's error.
func (n *Net) Shutdown(ctx context.Context) error { return nil }
