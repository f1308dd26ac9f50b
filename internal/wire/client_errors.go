package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"weir/internal/web"
)

// Why the Client itself ends an exchange.
var (
	errHeadLate  = errors.New("no answer in time")
	errStalled   = errors.New("the answer's body stopped advancing")
	errClosed    = errors.New("body closed")
	errBodyLimit = errors.New("the answer's body is larger than allowed")
)

// An upstreamError tells the client of weir no more than text, and the log and
// errors.Is everything.
type upstreamError struct {
	text string
	err  error
}

func (e *upstreamError) Error() string { return e.text }
func (e *upstreamError) Unwrap() error { return e.err }

func (c *Client) upstream(status int, reason, what string, err error) error {
	if dropped, ok := c.warned.pass(time.Now()); ok {
		c.log.Warn("upstream failed", "reason", reason, "err", err, "unreported", dropped)
	}
	return &web.Error{Status: status, Reason: reason,
		Err: &upstreamError{fmt.Sprintf("upstream %s %s", c.opts.Name, what), err}}
}

func (c *Client) bad(err error) error {
	return c.upstream(http.StatusBadGateway, "upstream_bad", "gave an answer that cannot be used", err)
}

// failure says in our own terms why the transport has no answer. Ctx is the
// asker's, life the exchange's.
func (c *Client) failure(ctx, life context.Context, err error) error {
	cause := context.Cause(life)
	switch {
	case err == errQueueFull, err == errQueueLate:
		return c.busy(err)
	case errors.Is(cause, errHeadLate):
		return c.upstream(http.StatusGatewayTimeout, "upstream_timeout",
			fmt.Sprintf("did not answer within %v", c.opts.HeadTimeout), errHeadLate)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return c.upstream(http.StatusGatewayTimeout, "upstream_timeout", "did not answer in the time there was", ctx.Err())
	case ctx.Err() != nil:
		return fmt.Errorf("asking upstream %s: %w", c.opts.Name, context.Cause(ctx))
	}
	if why := distrust(err); why != nil {
		return c.upstream(http.StatusBadGateway, "upstream_tls", "cannot be trusted", why)
	}
	for _, e := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, e) { // the upstream was not asked, and is not to blame
			return c.upstream(http.StatusServiceUnavailable, reasonBusy, "is not asked: this node may open no more files (limits.connections, ulimit -n)", err)
		}
	}
	var dns *net.DNSError
	var op *net.OpError
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return c.upstream(http.StatusGatewayTimeout, "upstream_timeout", "could not be reached in time", err)
	case errors.As(err, &dns), errors.As(err, &op) && op.Op == "dial":
		return c.upstream(http.StatusBadGateway, "upstream_unreachable", "cannot be reached", err)
	case errors.As(err, &op), closed(err):
		return c.upstream(http.StatusBadGateway, "upstream_closed", "broke off before it answered", err)
	}
	return c.bad(err)
}

// closed reports whether err is that of a connection which ended before an
// answer came.
func closed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		strings.Contains(err.Error(), "server closed idle connection") // net/http keeps this one to itself
}

// maxAnswerFields is how many header fields an answer may have: each costs all who
// keep it and all who are sent it.
const maxAnswerFields = 500

// unusable says what of an answer's head net/http let pass and nobody behind
// this node is to read.
func unusable(in *http.Response) error {
	if in.StatusCode < 200 || in.StatusCode > 599 || in.ProtoMajor != 1 {
		return fmt.Errorf("%s with status %d", in.Proto, in.StatusCode)
	}
	fields := 0
	for name, values := range in.Header {
		if fields += len(values); fields > maxAnswerFields {
			return fmt.Errorf("more than %d header fields", maxAnswerFields)
		}
		for _, v := range values {
			// "No whitespace is allowed between the field name and colon" (RFC 9112
			// section 5.1): what was meant as a length was not read as one.
			if !sendable(web.Field{Name: name, Value: v}) {
				return fmt.Errorf("header field %q is malformed", name)
			}
		}
	}
	return nil
}

// answerHeader copies an answer's header, in a fixed order, without what
// belongs to the connection. The body knows its length.
func answerHeader(in http.Header) web.Header {
	connection := strings.Join(in["Connection"], ",")
	names := make([]string, 0, len(in))
	n := 0
	for name, values := range in {
		if !hopByHop(name) && name != "Content-Length" && !listed(connection, name) {
			names = append(names, name)
			n += len(values)
		}
	}
	slices.Sort(names)
	var h web.Header
	h.Grow(n + 4)
	for _, name := range names {
		for _, v := range in[name] {
			h.Add(name, v)
		}
	}
	return h
}

// A throttle lets one of many equal warnings through every few seconds.
type throttle struct {
	mu      sync.Mutex
	next    time.Time // guarded by mu
	dropped int       // guarded by mu
}

// pass reports whether a warning may be given now, and how many were not since
// the last.
func (t *throttle) pass(now time.Time) (dropped int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Before(t.next) {
		t.dropped++
		return 0, false
	}
	dropped, t.dropped, t.next = t.dropped, 0, now.Add(5*time.Second)
	return dropped, true
}

// readOnly keeps net/http from closing, or looking into, a request's body.
type readOnly struct{ r io.Reader }

func (r readOnly) Read(p []byte) (int, error) { return r.r.Read(p) }
func (r readOnly) Close() error               { return nil }
