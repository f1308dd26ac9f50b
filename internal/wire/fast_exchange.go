package wire

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"weir/internal/web"
)

// smallBody is how many bytes of a complete body go out in one write with the
// header, through fasthttp's buffer.
const smallBody = 8 << 10

// A fastExchange is one request and its answer, until the last byte left. As
// fasthttp writes only after the handler returned, it is also the body stream
// that fasthttp writes from and closes.
type fastExchange struct {
	record
	pace
	f     *Fast
	conn  net.Conn
	wait  *waiter // nil: nothing was waited for
	ctx   context.Context
	body  web.Body
	want  int64  // -1: chunked
	whole []byte // all of a small body
	small bool   // whole holds it
	ended bool
}

// handle is fasthttp's handler. It never panics: fasthttp would take the
// process down.
func (f *Fast) handle(ctx *fasthttp.RequestCtx) {
	f.bodies.over(&ctx.Request.Header)
	x := &fastExchange{f: f, record: f.acc.begin(), conn: ctx.Conn()}
	x.remote = addrPort(ctx.RemoteAddr())
	resp := x.answer(ctx)
	x.pace = newPace(x.conn, max(f.rate, resp.MinRate), f.stall)
	if l := lineOf(x.conn); l != nil {
		l.begin(x.pace.rate) // it is paced there
	}
	defer func() {
		if v := recover(); v != nil { // from the body's methods
			x.caught(v)
			x.body = resp.Body
			x.end(errPanic)
			ctx.Response.Reset()
			ctx.Response.SetStatusCode(http.StatusInternalServerError)
			ctx.SetConnectionClose()
		}
	}()
	x.send(ctx, settle(x.context, x.method, !ctx.Request.Header.IsHTTP11(), resp))
}

// answer asks the handler. It always returns a Response that can be sent.
func (x *fastExchange) answer(ctx *fasthttp.RequestCtx) (resp *web.Response) {
	defer func() {
		if v := recover(); v != nil {
			x.caught(v)
			ctx.SetConnectionClose()
			resp = web.ErrorResponse(errPanic)
		}
	}()
	req, err := x.f.request(ctx, &x.record)
	if err != nil {
		ctx.SetConnectionClose() // whatever follows may not be a request
		x.reason = web.ReasonOf(err)
		x.refused(err)
		return web.ErrorResponse(err)
	}
	if x.f.quick != nil {
		if resp, ok := x.f.quick.TryServe(req); ok {
			return sane(&x.record, resp, nil)
		}
	}
	if ctx.Request.Header.IsHTTP11() { // HTTP/1.0 knows no interim answers
		early := newInterim(x.sendInterim)
		defer early.end()
		req.Inform = early.inform
	}
	resp, err = x.f.handler.Serve(x.context(), req)
	if cause := context.Cause(x.ctx); cause != nil {
		x.err = cause
		ctx.SetConnectionClose()
	}
	return sane(&x.record, resp, err)
}

// statusGone is what an exchange counts as whose client did not wait for the
// answer. No client sees it.
const statusGone = 499

// sane turns what a handler returned into a Response that can be sent.
func sane(r *record, resp *web.Response, err error) *web.Response {
	switch {
	case err != nil && isGone(r.err):
		return web.Text(statusGone, "") // nobody reads it; it is counted
	case err != nil:
		if r.reason = web.ReasonOf(err); web.StatusOf(err) == http.StatusInternalServerError {
			r.failed(err)
		}
		return web.ErrorResponse(err)
	case resp == nil:
		r.failed(errors.New("BUG: the handler returned neither a response nor an error"))
		return web.ErrorResponse(errPanic)
	case resp.Status < 200 || resp.Status > 599:
		r.failed(errors.New("BUG: the handler answered with status " + strconv.Itoa(resp.Status)))
		resp.Close()
		return web.ErrorResponse(errPanic)
	}
	return resp
}

// context returns the exchange's context. The first call puts the exchange
// under the sweeper's eyes; plain hits never make it.
func (x *fastExchange) context() context.Context {
	if x.ctx == nil {
		ctx, cancel := context.WithCancelCause(x.f.base)
		x.ctx, x.wait = ctx, &waiter{conn: x.conn, since: time.Now(), cancel: cancel}
		x.f.sweep.add(x.wait)
	}
	return x.ctx
}

// send hands resp to fasthttp, which writes it when the handler has returned.
func (x *fastExchange) send(ctx *fasthttp.RequestCtx, resp *web.Response) {
	out := &ctx.Response
	x.status, x.body = resp.Status, resp.Body
	out.SetStatusCode(resp.Status)
	x.header(ctx, resp)
	if resp.Body == nil {
		x.end(nil)
		return
	}
	x.want = resp.Body.Len()
	if !web.HasBody(x.method, resp.Status) {
		if x.want >= 0 {
			out.Header.SetContentLength(int(x.want))
		}
		out.SkipBody = true
		x.end(nil)
		return
	}
	if _, ok := resp.Body.(web.Drainer); ok {
		out.ImmediateHeaderFlush = true
	} else if p, st := resp.Body.View(0); st == web.Complete && int64(len(p)) == x.want && len(p) <= smallBody {
		x.small, x.whole = true, p
	} else {
		out.ImmediateHeaderFlush = true
		if st == web.Open {
			x.context() // somebody must notice when the client leaves
		}
	}
	out.SetBodyStream(x, int(x.want))
}

func (x *fastExchange) header(ctx *fasthttp.RequestCtx, resp *web.Response) {
	h := &ctx.Response.Header
	dated := false
	if answerFields(&x.record, resp, func(name, value string) {
		if len(name) == len("Date") && equalFoldDate(name) {
			dated = true
			name = dateInDisguise
		}
		h.Add(name, value)
	}) {
		ctx.SetConnectionClose()
	}
	if !dated {
		h.Add(dateInDisguise, x.f.date.text(x.start))
	}
	for k := range h.All() {
		if len(k) == len(dateInDisguise) && string(k) == dateInDisguise {
			copy(k, "Date")
		}
	}
}

// dateInDisguise is how the Date field is added: fasthttp drops a Date it is
// given, or writes the present time in its place, but a stored answer keeps the
// Date its origin gave it (RFC 9110 section 6.6.1).
const dateInDisguise = "Wate"

func equalFoldDate(name string) bool {
	return name[0]|0x20 == 'd' && name[1]|0x20 == 'a' && name[2]|0x20 == 't' && name[3]|0x20 == 'e'
}

// SupportsBodyWriteTo implements [fasthttp.BodyWriterTo].
func (x *fastExchange) SupportsBodyWriteTo() bool { return true }

// Read implements [io.Reader], which fasthttp asks of a body stream and does
// not use of one that has WriteTo.
func (x *fastExchange) Read([]byte) (int, error) {
	return 0, errors.New("BUG: wire: read of a pushed body")
}

// WriteTo sends the body. A small one goes through fasthttp's buffer w, behind
// the header. For any other the header has left, w is empty, and the bytes go
// straight to the connection, which is what lets them be paced and flushed.
func (x *fastExchange) WriteTo(w io.Writer) (int64, error) {
	if x.small {
		n, err := w.Write(x.whole)
		x.bytes += int64(n)
		x.f.acc.meter.sent.Add(int64(n))
		return int64(n), err
	}
	ctx := x.ctx
	if ctx == nil {
		ctx = x.f.base
	}
	err := pump(ctx, &x.record, x.body, x.want, (*fastSink)(x))
	x.pace.done()
	if x.err == nil {
		x.err = err
	}
	return x.bytes, err
}

// Close implements [io.Closer]: the answer is out, or never will be.
func (x *fastExchange) Close() error {
	x.end(nil)
	return nil
}

// end closes the exchange, once.
func (x *fastExchange) end(err error) {
	if x.ended {
		return
	}
	x.ended = true
	if x.err == nil {
		x.err = err
	}
	if x.wait != nil {
		x.f.sweep.remove(x.wait)
		x.wait.cancel(context.Canceled)
	}
	if x.body != nil {
		x.body.Close()
	}
	x.record.end()
}

// fastSink writes to the connection past fasthttp, in chunks where the length
// is not known; fasthttp adds the last one if the body ends well.
type fastSink fastExchange

func (s *fastSink) send(p []byte) error {
	if s.want >= 0 {
		_, err := s.pace.write(p)
		return err
	}
	head := strconv.AppendInt(make([]byte, 0, 18), int64(len(p)), 16)
	return s.pace.writev(&net.Buffers{append(head, "\r\n"...), p, []byte("\r\n")})
}

func (s *fastSink) flush() error { return nil }
