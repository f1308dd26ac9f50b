package wire

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"weir/internal/web"
)

// A netExchange is one request over net/http and its answer.
type netExchange struct {
	record
	n      *Net
	w      http.ResponseWriter
	rc     *http.ResponseController
	r      *http.Request
	conn   *netConn // nil: HTTP/2
	h2     *h2Conn  // nil: HTTP/1.1
	stream streamPace
	upload *upload // nil: the request has no body
	want   int64
	headed bool // the header may have left
}

// handle is net/http's handler. What it panics with is http.ErrAbortHandler
// only: net/http then cuts the connection, or resets the HTTP/2 stream.
func (n *Net) handle(w http.ResponseWriter, r *http.Request) {
	x := &netExchange{record: n.acc.begin(), n: n, w: w, r: r, rc: http.NewResponseController(w)}
	defer x.record.end()
	switch c := r.Context().Value(connKey{}).(type) {
	case *netConn:
		x.conn = c
	case *h2Conn:
		x.h2, x.stream = c, newStreamPace(n.rate, n.stall)
	}
	x.method = r.Method
	x.path, _, _ = strings.Cut(r.RequestURI, "?")
	if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		x.remote = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	ctx, cancel := x.context()
	defer cancel()
	resp := x.answer(ctx)
	if x.upload != nil {
		x.upload.finish()
	}
	if err := x.deliver(ctx, resp); err != nil {
		if x.err = err; r.Context().Err() != nil && !errors.Is(err, ErrTooSlow) {
			x.err = ErrClientGone
		}
		panic(http.ErrAbortHandler)
	}
}

func (x *netExchange) context() (context.Context, context.CancelFunc) {
	if x.r.ContentLength == 0 || x.h2 != nil { // what viewers send is no upload to be kept
		return context.WithCancel(x.r.Context())
	}
	return context.WithCancel(x.n.base)
}

// answer asks the handler. It always returns a Response that can be sent.
func (x *netExchange) answer(ctx context.Context) (resp *web.Response) {
	defer func() {
		if v := recover(); v != nil {
			x.caught(v)
			x.close()
			resp = web.ErrorResponse(errPanic)
		}
	}()
	req, err := x.request()
	if err != nil {
		x.refused(err)
	}
	if err == nil && x.n.before != nil {
		err = x.n.before(req)
	}
	if err == nil && x.r.ContentLength > x.n.maxBody {
		err = x.n.tooLarge()
	}
	if err != nil {
		x.hangUp()
		return sane(&x.record, nil, err)
	}
	if x.r.ContentLength != 0 {
		x.upload = newUpload(x)
		req.Body = x.upload
	}
	if x.r.ProtoAtLeast(1, 1) && x.r.Header.Get("Expect") == "" { // net/http writes "100 Continue" at any time
		early := newInterim(x.sendInterim)
		defer early.end()
		req.Inform = early.inform
	}
	resp, err = x.n.handler.Serve(ctx, req)
	if x.r.Context().Err() != nil && x.upload == nil {
		x.err = ErrClientGone
	}
	return sane(&x.record, resp, err)
}

func (n *Net) tooLarge() error {
	e := web.Errorf(http.StatusRequestEntityTooLarge, "the request's body exceeds %d bytes", n.maxBody)
	e.Reason = "body_too_large"
	return e
}

// request says what was asked in our own terms; net/http has checked the syntax.
func (x *netExchange) request() (*web.Request, error) {
	r := x.r
	req := &web.Request{Method: r.Method, Host: r.Host, Remote: x.remote, TLS: r.TLS != nil}
	var err error
	if x.h2 != nil {
		req.TLS, req.ClientCert = true, x.h2.line.verified
		if err := oneHost(r); err != nil {
			return nil, err
		}
	}
	if req.Path, req.Query, err = target(r.RequestURI); err != nil {
		if e, ok := errors.AsType[*web.Error](err); ok {
			e.Status = x.n.badPath
		}
		return nil, err
	}
	x.path = req.Path
	connection := strings.Join(r.Header["Connection"], ",")
	if strings.Count(connection, ",") > maxFields {
		return nil, tooManyFields()
	}
	names := make([]string, 0, len(r.Header))
	for name := range r.Header {
		if !hopByHop(name) && (name == "Content-Length" || !listed(connection, name)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	fields := 0
	for _, name := range names {
		fields += len(r.Header[name])
	}
	if fields > maxFields {
		return nil, tooManyFields()
	}
	req.Header.Grow(len(names) + 1)
	for _, name := range names {
		for _, v := range r.Header[name] {
			req.Header.Add(name, v)
		}
	}
	if r.ContentLength > 0 && !req.Header.Has("Content-Length") {
		req.Header.Add("Content-Length", strconv.FormatInt(r.ContentLength, 10))
	}
	return req, nil
}

// deliver sends resp and closes its body. An error means that the client has
// not got all of it.
func (x *netExchange) deliver(ctx context.Context, resp *web.Response) (err error) {
	defer func() { resp.Close() }()
	defer func() {
		if v := recover(); v != nil { // from the body's methods
			x.caught(v)
			err = errPanic
			if !x.headed {
				clear(x.w.Header())
				x.close()
				x.status = http.StatusInternalServerError
				x.w.WriteHeader(x.status)
				err = nil
			}
		}
	}()
	resp = settle(func() context.Context { return ctx }, x.method, !x.r.ProtoAtLeast(1, 1), resp)
	x.status, x.want = resp.Status, 0
	rate := max(x.n.rate, resp.MinRate) // that the client must take of this answer
	if x.stream.rate = rate; x.conn != nil {
		x.conn.pace.begin(rate)
	}
	if resp.Body != nil {
		x.want = resp.Body.Len()
	}
	x.header(resp)
	hasBody := web.HasBody(x.method, resp.Status)
	x.headed = true
	x.w.WriteHeader(resp.Status)
	if !hasBody || resp.Body == nil {
		return nil
	}
	return pump(ctx, &x.record, resp.Body, x.want, (*netSink)(x))
}

func (x *netExchange) header(resp *web.Response) {
	h := x.w.Header()
	if answerFields(&x.record, resp, func(name, value string) { h.Add(name, value) }) {
		h.Set("Connection", "close")
	}
	if !resp.Header.Has("Content-Type") && h.Get("Content-Type") == "" {
		h["Content-Type"] = nil // none: net/http would guess one
	}
	known := x.want >= 0 && (resp.Body != nil || x.method != http.MethodHead)
	if known && resp.Status >= 200 && resp.Status != http.StatusNoContent && resp.Status != http.StatusNotModified {
		h.Set("Content-Length", strconv.FormatInt(x.want, 10))
	}
}

// netSink writes through net/http.
type netSink netExchange

func (s *netSink) send(p []byte) error {
	if s.h2 != nil {
		return s.sendStream(p)
	}
	_, err := s.w.Write(p)
	return err
}

func (s *netSink) flush() error {
	if s.h2 != nil {
		return s.stream.do(0, s.reset, s.rc.Flush)
	}
	return s.rc.Flush()
}

// close asks for the connection to be closed behind the answer. One of HTTP/2 is kept: the
// requests beside this one have nothing to do with it.
func (x *netExchange) close() {
	if x.h2 == nil {
		x.w.Header().Set("Connection", "close")
	}
}

// oneHost refuses a request of HTTP/2 that names two authorities: one with a Host field
// "that differs" from :authority is malformed (RFC 9113 section 8.3.1).
func oneHost(r *http.Request) error {
	host := r.Header["Host"]
	delete(r.Header, "Host")
	for _, h := range host {
		if !strings.EqualFold(h, r.Host) {
			return badFraming("Host is not what :authority is")
		}
	}
	return nil
}
