package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
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

	MaxConns     int           // connections, and so exchanges, at once; more requests wait. 0: 256
	MaxWaiting   int           // requests that may wait for a connection; more are answered 503. 0: 1024
	WaitTimeout  time.Duration // for how long they may. 0: 2 s
	MaxIdle      int           // connections kept for later. 0: MaxConns
	IdleTimeout  time.Duration // for how long. 0: 60 s, which is less than any server's of ours
	ConnLifetime time.Duration // after which a connection takes on no more exchanges. 0: 5 min
	DialTimeout  time.Duration // until a connection stands, and then until TLS does. 0: 2 s
	HeadTimeout  time.Duration // from the request to the end of the answer's header; 0: as long as the context lives
	StallTimeout time.Duration // how long an answer's body may not advance. 0: 10 s
	MaxHeader    int           // bytes of an answer's header. 0: 64 KiB
	MaxBody      int64         // bytes of an answer's body. 0: 256 MiB

	Header   web.Header  // set on each request, e.g. the pull key
	Host     string      // what requests name as their host. "": Base's
	PassHost bool        // or what the request itself names, if it does
	TLS      *tls.Config // for https; nil: the system's roots, TLS 1.2 and newer

	// How names become addresses and addresses connections. nil: by the system.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	Dial   func(ctx context.Context, network, addr string) (net.Conn, error)
}

// A Client is the Handler at the far end of a connection: it asks one upstream
// and answers what that answers. It follows no redirect, changes no encoding
// and asks once, but for a kept connection that turned out to be closed.
//
// The context of Serve governs the exchange up to the answer's header. From
// then on it is the Body that does: it ends when it is closed, when the context
// given to Drain ends, when it does not advance for StallTimeout, or at its end.
type Client struct {
	opts   ClientOptions
	conns  conns
	names  *names
	pool   *pool
	log    *slog.Logger
	warned throttle
	acc    *clientMetrics
}

// NewClient returns a Client. It connects to nothing yet.
func NewClient(o ClientOptions) (*Client, error) {
	switch {
	case o.Base == nil || o.Base.Host == "" || o.Base.Scheme != "http" && o.Base.Scheme != "https":
		return nil, errors.New("wire.ClientOptions.Base must be http://host:port or https://host:port, with a path if need be")
	case o.Base.RawQuery != "" || o.Base.Fragment != "" || o.Base.User != nil:
		return nil, fmt.Errorf("wire.ClientOptions.Base of %q: no query, fragment or user belongs there", o.Name)
	case o.MaxConns < 0 || o.MaxWaiting < 0 || o.MaxIdle < 0 || o.MaxHeader < 0 || o.MaxBody < 0:
		return nil, fmt.Errorf("wire.ClientOptions of %q: a limit is negative", o.Name)
	case o.DialTimeout < 0 || o.HeadTimeout < 0 || o.StallTimeout < 0 || o.WaitTimeout < 0 || o.IdleTimeout < 0 || o.ConnLifetime < 0:
		return nil, fmt.Errorf("wire.ClientOptions of %q: a timeout is negative", o.Name)
	}
	o.Name = or(o.Name, o.Base.Host)
	o.MaxConns = or(o.MaxConns, 256)
	o.MaxWaiting = or(o.MaxWaiting, 1024)
	o.WaitTimeout = or(o.WaitTimeout, 2*time.Second)
	o.MaxIdle = or(o.MaxIdle, o.MaxConns)
	o.IdleTimeout = or(o.IdleTimeout, 60*time.Second)
	o.ConnLifetime = or(o.ConnLifetime, 5*time.Minute)
	o.DialTimeout = or(o.DialTimeout, 2*time.Second)
	o.StallTimeout = or(o.StallTimeout, 10*time.Second)
	o.MaxHeader = or(o.MaxHeader, 64<<10)
	o.MaxBody = or(o.MaxBody, 256<<20)
	o.Host = or(o.Host, o.Base.Host)
	if o.Slab == nil {
		o.Slab = spool.NewSlab(spool.SlabOptions{})
	}
	if o.Lookup == nil {
		o.Lookup = systemLookup
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{KeepAlive: 15 * time.Second}).DialContext
	}
	c := &Client{opts: o, log: logger(o.Log).With("upstream", o.Name), acc: newClientMetrics(o.Registerer, o.Name)}
	c.pool = newPool(o.MaxConns, o.MaxWaiting, o.WaitTimeout, c.acc)
	c.names = &names{lookup: o.Lookup, log: c.log, acc: c.acc}
	d := &dialer{names: c.names, timeout: o.DialTimeout, connect: o.Dial, acc: c.acc}
	c.conns = conns{opts: &c.opts, dial: d.dial}
	return c, nil
}

// Close closes the connections that are idle; those in use close with their exchange.
func (c *Client) Close() { c.conns.close() }

// Serve implements [web.Handler]. Its errors are a [*web.Error] of status 502
// or 504 whose Reason is upstream_unreachable, upstream_closed (it had been
// reached), upstream_timeout, upstream_tls or upstream_bad, or of status 503 and upstream_busy where the upstream was
// not asked for want of a connection; only when ctx was cancelled is it ctx's
// cause instead, which says nothing about the upstream. The Body of an answer
// is a [web.Drainer].
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
	in, err := c.roundTrip(life, out)
	stopped := stop()
	if late != nil {
		stopped = late.Stop() && stopped
	}
	if err == nil && !stopped { // too late: the body is being cancelled
		_ = in.Body.Close()
		// Whoever cancels life may not have got to it yet.
		if err = context.Cause(ctx); err == nil {
			err = errHeadLate
		}
		cancel(err)
		err = context.Cause(life)
		c.done()
	}
	if err != nil {
		err = c.failure(ctx, life, err)
		cancel(err)
		c.acc.count(web.ReasonOf(err), start)
		return nil, err
	}
	return c.response(req, in, start, cancel)
}

// roundTrip waits for its turn and asks. Who gets an answer calls done when it
// is over.
func (c *Client) roundTrip(life context.Context, out *http.Request) (*http.Response, error) {
	if err := c.pool.take(life); err != nil {
		return nil, err
	}
	c.acc.inFlight.Inc()
	in, err := c.conns.transport().RoundTrip(out)
	if err != nil {
		c.done()
	}
	return in, err
}

func (c *Client) done() {
	c.acc.inFlight.Dec()
	c.pool.give()
}

// request says in net/http's terms what req asks.
func (c *Client) request(ctx context.Context, req *web.Request) (*http.Request, error) {
	u := *c.opts.Base
	u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/")+req.Path, ""
	u.RawQuery = req.Query
	out := (&http.Request{
		Method: req.Method, URL: &u, Host: c.opts.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: make(http.Header, req.Header.Len()+c.opts.Header.Len()+1),
	}).WithContext(ctx)
	if c.opts.PassHost && req.Host != "" {
		out.Host = req.Host
	}
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
	if err := unusable(in); err != nil {
		b.discard("upstream_bad")
		return nil, c.bad(err)
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
