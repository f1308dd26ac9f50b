package wire

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
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
	Name       string                // value of the metrics' label "upstream", and the name in errors. "": Base's host

	MaxConns     int               // connections at once; more requests wait. 0: 256
	DialTimeout  time.Duration     // 0: 2 s
	HeadTimeout  time.Duration     // from the request to the end of the answer's header; 0: as long as the context lives
	StallTimeout time.Duration     // how long an answer's body may not advance. 0: 10 s
	MaxHeader    int               // bytes of an answer's header. 0: 64 KiB
	MaxBody      int64             // bytes of an answer's body. 0: 256 MiB
	Header       web.Header        // set on each request, e.g. the pull key
	Transport    http.RoundTripper // nil: an own one
}

// A Client is the Handler at the far end of a connection: it asks one upstream
// and answers what that answers. It follows no redirect, changes no encoding
// and asks once, but for a kept connection that turned out to be closed.
//
// The context of Serve governs the exchange up to the answer's header. From
// then on it is the Body that does: it ends when it is closed, when the context
// given to Drain ends, when it does not advance for StallTimeout, or at its end.
type Client struct {
	opts      ClientOptions
	transport http.RoundTripper
	own       *http.Transport // nil: the transport is the caller's
	log       *slog.Logger
	warned    throttle
	acc       *clientMetrics
}

// NewClient returns a Client. It connects to nothing yet.
func NewClient(o ClientOptions) (*Client, error) {
	switch {
	case o.Base == nil || o.Base.Host == "" || o.Base.Scheme != "http" && o.Base.Scheme != "https":
		return nil, errors.New("wire.ClientOptions.Base must be http://host:port or https://host:port, with a path if need be")
	case o.Base.RawQuery != "" || o.Base.Fragment != "" || o.Base.User != nil:
		return nil, fmt.Errorf("wire.ClientOptions.Base of %q: no query, fragment or user belongs there", o.Name)
	case o.MaxConns < 0 || o.MaxHeader < 0 || o.MaxBody < 0:
		return nil, fmt.Errorf("wire.ClientOptions of %q: a limit is negative", o.Name)
	case o.DialTimeout < 0 || o.HeadTimeout < 0 || o.StallTimeout < 0:
		return nil, fmt.Errorf("wire.ClientOptions of %q: a timeout is negative", o.Name)
	}
	o.Name = or(o.Name, o.Base.Host)
	o.MaxConns = or(o.MaxConns, 256)
	o.DialTimeout = or(o.DialTimeout, 2*time.Second)
	o.StallTimeout = or(o.StallTimeout, 10*time.Second)
	o.MaxHeader = or(o.MaxHeader, 64<<10)
	o.MaxBody = or(o.MaxBody, 256<<20)
	if o.Slab == nil {
		o.Slab = spool.NewSlab(spool.SlabOptions{})
	}
	c := &Client{opts: o, transport: o.Transport, log: logger(o.Log).With("upstream", o.Name),
		acc: newClientMetrics(o.Registerer, o.Name)}
	if c.transport == nil {
		c.own = &http.Transport{
			DialContext:            (&net.Dialer{Timeout: o.DialTimeout, KeepAlive: 15 * time.Second}).DialContext,
			TLSHandshakeTimeout:    o.DialTimeout,
			MaxConnsPerHost:        o.MaxConns,
			MaxIdleConnsPerHost:    o.MaxConns,
			IdleConnTimeout:        60 * time.Second, // less than any server's of ours
			MaxResponseHeaderBytes: int64(o.MaxHeader),
			DisableCompression:     true,
			ReadBufferSize:         16 << 10,
		}
		c.transport = c.own
	}
	return c, nil
}

// Close closes the connections that are idle; those in use close with their exchange.
func (c *Client) Close() {
	if c.own != nil {
		c.own.CloseIdleConnections()
	}
}

// Serve implements [web.Handler]. Its errors are a [*web.Error] of status 502
// or 504 whose Reason is upstream_unreachable, upstream_timeout or
// upstream_bad; only when ctx was cancelled is it ctx's cause instead, which
// says nothing about the upstream. The Body of an answer is a [web.Drainer].
func (c *Client) Serve(ctx context.Context, req *web.Request) (*web.Response, error) {
	// The exchange outlives Serve, so it has a context of its own.
	life, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	out, err := c.request(informed(life, req.Inform), req)
	if err != nil {
		cancel(err)
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	var late *time.Timer
	if c.opts.HeadTimeout > 0 {
		late = time.AfterFunc(c.opts.HeadTimeout, func() { cancel(errHeadLate) })
	}
	start := time.Now()
	c.acc.inFlight.Inc()
	in, err := c.transport.RoundTrip(out)
	stopped := stop()
	if late != nil {
		stopped = late.Stop() && stopped
	}
	if err == nil && !stopped { // too late: the body is being cancelled
		_ = in.Body.Close()
		err = context.Cause(life)
	}
	if err != nil {
		err = c.failure(ctx, life, err)
		cancel(err)
		c.acc.inFlight.Dec()
		c.acc.count(web.ReasonOf(err), start)
		return nil, err
	}
	return c.response(req, in, start, cancel)
}

// request says in net/http's terms what req asks.
func (c *Client) request(ctx context.Context, req *web.Request) (*http.Request, error) {
	u := *c.opts.Base
	u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/")+req.Path, ""
	u.RawQuery = req.Query
	out := (&http.Request{
		Method: req.Method, URL: &u, Host: u.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: make(http.Header, req.Header.Len()+c.opts.Header.Len()+1),
	}).WithContext(ctx)
	connection := req.Header.Joined("Connection")
	for f := range req.Header.All() {
		switch {
		case hopByHop(f.Name) || connection != "" && listed(connection, f.Name):
		case strings.EqualFold(f.Name, "Host") || strings.EqualFold(f.Name, "Content-Length") || strings.EqualFold(f.Name, "Expect"):
		case !sendable(f):
			e := web.Errorf(http.StatusBadRequest, "header field %q cannot be sent on", f.Name)
			e.Reason = "bad_request"
			return nil, e
		default:
			out.Header.Add(f.Name, f.Value)
		}
	}
	for f := range c.opts.Header.All() {
		out.Header.Set(f.Name, f.Value)
	}
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header["User-Agent"] = []string{""} // none, instead of net/http's
	}
	if req.Body != nil {
		out.Body = http.NoBody
		out.ContentLength = -1
		if n, err := strconv.ParseInt(req.Header.Get("Content-Length"), 10, 63); err == nil && n >= 0 {
			out.ContentLength = n
		}
		if out.ContentLength != 0 {
			out.Body = readOnly{req.Body}
		}
	}
	return out, nil
}

// response says in our own terms what the upstream answered.
func (c *Client) response(req *web.Request, in *http.Response, start time.Time, cancel context.CancelCauseFunc) (*web.Response, error) {
	b := &clientBody{c: c, in: in, start: start, cancel: cancel, length: in.ContentLength}
	resp := &web.Response{Status: in.StatusCode, Header: answerHeader(in.Header)}
	if in.StatusCode < 200 || in.StatusCode > 599 {
		b.discard("upstream_bad")
		return nil, c.bad(fmt.Errorf("status %d", in.StatusCode))
	}
	switch {
	case !web.HasBody(http.MethodGet, in.StatusCode): // 204, 304
		b.discard("")
	case req.Method == http.MethodHead:
		b.discard("")
		resp.Body = headBody(in.ContentLength)
	case in.ContentLength > c.opts.MaxBody:
		b.discard("upstream_bad")
		return nil, c.bad(fmt.Errorf("a body of %d bytes, more than the %d allowed", in.ContentLength, c.opts.MaxBody))
	default:
		resp.Body = b
	}
	return resp, nil
}
