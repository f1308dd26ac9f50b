package wire

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"weir/internal/web"
)

// request copies ctx's request off the wire, or says why it is refused.
func (f *Fast) request(ctx *fasthttp.RequestCtx, r *record) (*web.Request, error) {
	h := &ctx.Request.Header
	req := &web.Request{Method: methodName(h.Method()), Remote: r.remote, TLS: ctx.IsTLS()}
	if l := lineOf(ctx.Conn()); l != nil {
		req.ClientCert = l.verified
	}
	uri := string(h.RequestURI())
	r.method = req.Method
	r.path, _, _ = strings.Cut(uri, "?")
	if p := string(h.Protocol()); p != "HTTP/1.1" && p != "HTTP/1.0" { // fasthttp takes any digits
		e := web.Errorf(http.StatusHTTPVersionNotSupported, "this server speaks HTTP/1.1")
		e.Reason = "bad_request"
		return nil, e
	}
	var err error
	if req.Path, req.Query, err = target(uri); err != nil {
		return nil, err
	}
	r.path = req.Path
	// One copy holds all the names and values, in the order they came.
	if err := parseFields(string(h.RawHeaders()), req); err != nil {
		return nil, err
	}
	if b := ctx.Request.Body(); len(b) > 0 {
		req.Body = bytes.NewReader(bytes.Clone(b))
	}
	return req, nil
}

// parseFields reads the lines of a header block that fasthttp has accepted
// into req, and refuses what fasthttp reads in a way that another might not.
func parseFields(raw string, req *web.Request) error {
	req.Header.Grow(strings.Count(raw, "\n"))
	connection, hasConnection := "", false
	fields, lengths, encodings := 0, 0, 0
	for raw != "" {
		var line string
		line, raw, _ = strings.Cut(raw, "\n")
		line, whole := strings.CutSuffix(line, "\r")
		if !whole {
			// "a recipient MAY recognize a single LF as a line terminator" (RFC 9112
			// section 2.2), and another need not: it reads two lines as one.
			return badFraming("a header line does not end in CR LF")
		}
		if line == "" {
			break
		}
		if fields++; fields > maxFields {
			return tooManyFields()
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" || strings.ContainsAny(name, " \t") {
			// "A server that receives an obs-fold in a request message MUST either
			// reject the message [...] or replace each" (RFC 9112 section 5.2).
			return badFraming("a header line is folded or has a space in its name")
		}
		value = strings.Trim(value, " \t")
		switch len(name) {
		case len("Host"):
			if strings.EqualFold(name, "Host") {
				req.Host = value
				continue
			}
		case len("Connection"):
			if strings.EqualFold(name, "Connection") {
				connection, hasConnection = connection+","+value, true
				continue
			}
		case len("Content-Length"):
			if strings.EqualFold(name, "Content-Length") {
				lengths++
			}
		case len("Transfer-Encoding"):
			if strings.EqualFold(name, "Transfer-Encoding") {
				encodings++
				if !strings.EqualFold(value, "chunked") {
					return badFraming("Transfer-Encoding is not chunked")
				}
			}
		}
		if !hopByHop(name) {
			req.Header.Add(name, value)
		}
	}
	if lengths+encodings > 1 {
		// RFC 9112 section 6.3: it "ought to be handled as an error".
		return badFraming("the length of the body is given twice")
	}
	if hasConnection {
		if strings.Count(connection, ",") > maxFields {
			return tooManyFields()
		}
		dropListed(&req.Header, connection)
	}
	return nil
}

// dropListed removes the fields that a Connection field names.
func dropListed(h *web.Header, connection string) {
	for token := range strings.SplitSeq(connection, ",") {
		if token = strings.TrimSpace(token); token != "" && !strings.EqualFold(token, "Content-Length") {
			h.Del(token)
		}
	}
}

// maxFields is how many fields a request may have. Players and the CDNs between
// send some thirty; four thousand that are empty fit into 16 KiB, and each costs
// everybody who looks for another.
const maxFields = 256

func tooManyFields() error {
	e := web.Errorf(http.StatusRequestHeaderFieldsTooLarge, "the request has more than %d fields", maxFields)
	e.Reason = "header_too_large"
	return e
}

func badFraming(text string) error {
	e := web.Errorf(http.StatusBadRequest, "%s", text)
	e.Reason = "bad_framing"
	return e
}

// methodName returns the method as a string, without a copy for those that occur.
func methodName(m []byte) string {
	for _, name := range methods {
		if string(m) == name {
			return name
		}
	}
	return string(m)
}

func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		ap := t.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}

// refuse answers a request that fasthttp could not read. The connection is
// closed after it.
func (f *Fast) refuse(ctx *fasthttp.RequestCtx, err error) {
	noRoom := f.bodies.over(&ctx.Request.Header)
	r := f.acc.begin()
	r.method, r.path, r.remote = methodName(ctx.Request.Header.Method()), "", addrPort(ctx.RemoteAddr())
	e := web.Errorf(http.StatusBadRequest, "the request is malformed")
	e.Reason = "bad_request"
	var tooLong *fasthttp.ErrSmallBuffer
	var timeout net.Error
	switch {
	case errors.As(err, &tooLong):
		e = web.Errorf(http.StatusRequestHeaderFieldsTooLarge, "request line and header exceed %d bytes", f.server.ReadBufferSize)
		e.Reason = "header_too_large"
	case noRoom:
		e = web.Errorf(http.StatusServiceUnavailable, "as many bytes of bodies are announced, and have not come, as may be: %d", f.bodies.most)
		e.Reason, e.RetryAfter = "bodies_announced", time.Second
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		e = web.Errorf(http.StatusRequestEntityTooLarge, "the request's body exceeds %d bytes", f.server.MaxRequestBodySize)
		e.Reason = "body_too_large"
	case errors.As(err, &timeout) && timeout.Timeout():
		e = web.Errorf(http.StatusRequestTimeout, "the request took longer than %v to arrive", f.server.ReadTimeout)
		e.Reason = "request_timeout"
	}
	x := &fastExchange{f: f, record: r, conn: ctx.Conn()}
	x.pace = newPace(x.conn, f.rate, f.stall)
	x.pace.done()
	x.send(ctx, web.ErrorResponse(e))
}
