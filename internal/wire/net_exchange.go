package wire

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"weir/internal/web"
)

// A netExchange is one request over net/http and its answer.
type netExchange struct {
	record
	n      *Net
	w      http.ResponseWriter
	rc     *http.ResponseController
	r      *http.Request
	conn   *netConn // nil: not a plain connection
	upload *upload  // nil: the request has no body
	want   int64
	rate   int64 // bytes/s that the client must take of this answer
	headed bool  // the header may have left
}

// handle is net/http's handler. What it panics with is http.ErrAbortHandler
// only: net/http then cuts the connection, or resets the HTTP/2 stream.
func (n *Net) handle(w http.ResponseWriter, r *http.Request) {
	x := &netExchange{record: n.acc.begin(), n: n, w: w, r: r, rc: http.NewResponseController(w)}
	defer x.record.end()
	x.conn, _ = r.Context().Value(connKey{}).(*netConn)
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
	if x.r.ContentLength == 0 {
		return context.WithCancel(x.r.Context())
	}
	return context.WithCancel(x.n.base)
}

// answer asks the handler. It always returns a Response that can be sent.
func (x *netExchange) answer(ctx context.Context) (resp *web.Response) {
	defer func() {
		if v := recover(); v != nil {
			x.caught(v)
			x.w.Header().Set("Connection", "close")
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
				x.w.Header().Set("Connection", "close")
				x.status = http.StatusInternalServerError
				x.w.WriteHeader(x.status)
				err = nil
			}
		}
	}()
	resp = settle(func() context.Context { return ctx }, !x.r.ProtoAtLeast(1, 1), resp)
	x.status, x.want = resp.Status, 0
	if x.rate = max(x.n.rate, resp.MinRate); x.conn != nil {
		x.conn.pace.rate = x.rate // the next answer sets its own
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
	s.deadline(len(p))
	_, err := s.w.Write(p)
	return err
}

func (s *netSink) flush() error {
	s.deadline(0)
	return s.rc.Flush()
}

// deadline bounds a write to a connection that has no pace of its own: TLS,
// and the streams of HTTP/2.
func (s *netSink) deadline(n int) {
	if s.conn == nil {
		_ = s.rc.SetWriteDeadline(time.Now().Add(s.n.stall + time.Duration(n)*time.Second/time.Duration(s.rate)))
	}
}
