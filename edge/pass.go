package edge

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"weir/cache"
	"weir/internal/web"
)

// passMethods is what Options.QueryAll lets through, as far as it has names.
const passMethods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

// refusedMethod says which methods there are.
func (e *Edge) refusedMethod() error {
	if e.opts.QueryAll {
		return errPassMethod
	}
	return errMethod
}

var errPassMethod = &web.Error{Status: http.StatusMethodNotAllowed, Reason: reasonMethod,
	Header: web.NewHeader("Allow", passMethods), Err: errors.New("this method is not passed on")}

// maxMethod is how long a method may be, in bytes.
const maxMethod = 32

// passesMethod reports whether a method is passed on to the origin: any but
// those that make a proxy talk about itself or dig a tunnel.
func (e *Edge) passesMethod(method string) bool {
	if !e.opts.QueryAll || method == "" || len(method) > maxMethod {
		return false
	}
	for i := 0; i < len(method); i++ {
		if c := method[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false // no token (RFC 9110 section 5.6.2)
		}
	}
	return method != http.MethodTrace && method != http.MethodConnect
}

// passesOptions reports whether an OPTIONS is for the origin. What a page asks
// before it reads is answered here; before it writes, the origin has to agree.
// "If the Max-Forwards value is 0 the recipient MUST NOT forward the message"
// (RFC 9110 section 7.6.2).
func (e *Edge) passesOptions(req *web.Request) bool {
	if n, ok := maxForwards(req); !e.opts.QueryAll || ok && n == 0 {
		return false
	}
	switch req.Header.Get("Access-Control-Request-Method") {
	case http.MethodGet, http.MethodHead:
		return false
	}
	return true
}

// maxForwards reads Max-Forwards. A malformed one is none.
func maxForwards(req *web.Request) (int, bool) {
	n, err := strconv.ParseUint(req.Header.Get("Max-Forwards"), 10, 31)
	return int(n), err == nil
}

func decimal(n int) string { return strconv.Itoa(n) }

// isSafe reports whether a method is known to change nothing (RFC 9110 section
// 9.2.1, and the registry of methods).
func isSafe(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "SEARCH", "QUERY":
		return true
	}
	return false
}

// isIdempotent reports whether a request with this method may be sent again
// (RFC 9110 section 9.2.2).
func isIdempotent(method string) bool {
	return isSafe(method) || method == "PUT" || method == "DELETE"
}

// servePassed answers a request with a method that no cache answers.
func (e *Edge) servePassed(ctx context.Context, req *web.Request) (*web.Response, error) {
	q, err := e.question(req)
	if err == nil {
		_, err = e.enter(req, &q)
	}
	if err != nil {
		return e.refuse(req, q.class, err), nil
	}
	q.fwd = fwdMethod
	return e.pass(ctx, req, &q)
}

// pass hands one request to the origin and its answer to the one who asked.
// Nothing of either is kept. What a request may have changed is not answered
// from here any more by the time that its answer goes out: a write is "written
// through" (RFC 9111 section 4).
func (e *Edge) pass(ctx context.Context, req *web.Request, q *question) (*web.Response, error) {
	out := &web.Request{Method: req.Method, Path: q.path, Query: q.query, Header: e.passedOn(req, q), Inform: req.Inform}
	body, err := wholeBody(req.Body)
	var resp *web.Response
	asked := time.Now()
	if err == nil {
		resp, err = e.passToOrigins(ctx, out, body)
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		resp := e.fail(req, q, err)
		e.hideCORS(req, resp)
		return resp, nil
	}
	for _, name := range [...]string{nodeField, refusedField, slicesField} {
		if resp.Get(name) != "" {
			resp.Header.Set(name, "")
		}
	}
	switch {
	case !isSafe(req.Method) && resp.Status < http.StatusBadRequest:
		e.invalidated(req, q, resp)
	case req.Method == http.MethodHead && resp.Status == http.StatusOK:
		e.compared(q, resp, asked)
	}
	e.status.tell(resp, story{how: cache.Pass, fwd: q.fwd, from: "origin"})
	if isRead(req.Method) {
		e.cors.add(req, resp)
	}
	e.metrics.count(q.class, outcomeOf(cache.Pass), resp.Status)
	return resp, nil
}

func isRead(method string) bool { return method == http.MethodGet || method == http.MethodHead }

// hideCORS takes back what fail says to pages: who may write is the origin's to say.
func (e *Edge) hideCORS(req *web.Request, resp *web.Response) {
	if !isRead(req.Method) {
		for _, name := range [...]string{"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Expose-Headers"} {
			resp.Header.Del(name)
		}
	}
}
