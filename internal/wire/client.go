package wire

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weir/internal/spool"
	"weir/internal/web"
)

// ClientOptions configures a [Client].
type ClientOptions struct {
	Base       *url.URL              // required: http or https, host, and a path prefix if any
	Slab       *spool.Slab           // memory of bodies that are followed by View and Watch; nil: an own one
	Log        *slog.Logger          // nil: discard
	Registerer prometheus.Registerer // nil: metrics are kept but not registered
	Name       string                // value of the metrics' label "upstream", and the name in errors

	MaxConns     int               // connections at once; more requests wait. 0: 256
	DialTimeout  time.Duration     // 0: 2 s
	HeadTimeout  time.Duration     // from the request to the end of the answer's header; 0: as long as the context lives
	StallTimeout time.Duration     // how long an answer's body may not advance. 0: 10 s
	MaxHeader    int               // bytes of an answer's header. 0: 64 KiB
	MaxBody      int64             // bytes of an answer's body. 0: 256 MiB
	Header       web.Header        // set on each request, e.g. the pull key
	Transport    http.RoundTripper // nil: an own one
}

// A Client is the Handler at the far end of a connection.
type Client struct{ opts ClientOptions }

// NewClient returns a Client. It connects to nothing yet.
func NewClient(o ClientOptions) (*Client, error) {
	if o.Base == nil || o.Base.Host == "" {
		return nil, errors.New("wire.ClientOptions.Base needs a host")
	}
	return &Client{opts: o}, nil
}

// Serve implements [web.Handler].
func (c *Client) Serve(ctx context.Context, req *web.Request) (*web.Response, error) {
	return nil, errors.New("not yet")
}

// Close closes the connections that are idle; those in use close with their exchange.
func (c *Client) Close() {}
