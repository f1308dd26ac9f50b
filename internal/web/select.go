package web

import (
	"net/http"
	"strconv"
	"time"
)

// Select turns the whole answer to a request into the one that its conditions
// and its range ask for, in the order of RFC 9110 section 13.2.2: If-Match,
// else If-Unmodified-Since (412); If-None-Match, else If-Modified-Since (304);
// If-Range and Range (206, 416). It acts on a 200 to GET or HEAD and hands
// every other answer through. It takes resp over: a body that is not sent is
// closed. The Body of an answer to HEAD is kept for its length.
//
// It waits for nothing. Of a body whose length is not known yet a range is
// answered where its last byte is there already, and else with the whole;
// [Growing] waits.
func Select(req *Request, resp *Response) *Response {
	resp, ranges := choose(req, resp)
	if ranges == nil {
		return resp
	}
	return selectRanges(ranges, resp)
}

// choose evaluates all that comes before a range is cut out: with nil ranges
// the answer is made, else it is resp that they are of.
func choose(req *Request, resp *Response) (*Response, []Range) {
	if resp.Status != http.StatusOK || req.Method != http.MethodGet && req.Method != http.MethodHead {
		return resp, nil
	}
	if req.Header.Len() == 0 {
		return resp, nil
	}
	if preconditionFailed(req, resp) {
		resp.Close()
		return Text(http.StatusPreconditionFailed, "the precondition does not hold for what is stored\n"), nil
	}
	if notModified(req, resp) {
		return notModifiedResponse(resp), nil
	}
	// "A server MUST ignore a Range header field received with a request method
	// that is unrecognized or for which range handling is not defined. For this
	// specification, GET is the only method for which range handling is
	// defined" (RFC 9110 section 14.2).
	if req.Method != http.MethodGet || resp.Body == nil {
		return resp, nil
	}
	field := req.Header.Get("Range")
	if field == "" || !ifRange(req.Header.Get("If-Range"), resp) {
		return resp, nil
	}
	ranges, ok := ParseRange(field)
	if !ok {
		return resp, nil
	}
	return resp, ranges
}

// preconditionFailed evaluates the conditions that ask for a 412.
func preconditionFailed(req *Request, resp *Response) bool {
	if req.Header.Has("If-Match") {
		return !matchStrong(req.Header.Joined("If-Match"), resp.Get("ETag"))
	}
	if since, ok := ParseHTTPDate(req.Header.Get("If-Unmodified-Since")); ok {
		modified, known := ParseHTTPDate(resp.Get("Last-Modified"))
		return known && modified.After(since)
	}
	return false
}

// notModified evaluates the conditions that ask for a 304.
func notModified(req *Request, resp *Response) bool {
	if req.Header.Has("If-None-Match") {
		// "A recipient MUST ignore If-Modified-Since if the request contains an
		// If-None-Match header field" (RFC 9110 section 13.1.3).
		return MatchETag(req.Header.Joined("If-None-Match"), resp.Get("ETag"))
	}
	field := req.Header.Get("If-Modified-Since")
	if field == "" {
		return false
	}
	since, ok := ParseHTTPDate(field)
	if !ok {
		return false
	}
	modified, ok := ParseHTTPDate(resp.Get("Last-Modified"))
	if !ok && resp.Get("Last-Modified") == "" {
		// Where it "is not present in a selected stored response, a cache SHOULD
		// use the response's Date field value" (RFC 9111 section 4.3.2).
		modified, ok = ParseHTTPDate(resp.Get("Date"))
	}
	return ok && !modified.After(since)
}

// notModifiedResponse makes a 304 of a 200: its fields less those that describe
// the payload that is not sent.
func notModifiedResponse(resp *Response) *Response {
	resp.Close()
	resp.Status, resp.Body = http.StatusNotModified, nil
	for _, name := range [...]string{"Content-Type", "Content-Encoding", "Content-Language", "Content-Range"} {
		if resp.Base != nil && resp.Base.Has(name) {
			resp.Header.Set(name, "")
		} else {
			resp.Header.Del(name)
		}
	}
	return resp
}

// ifRange reports whether a Range may be obeyed given If-Range: if there is
// none, or if it names the very representation at hand by a strong validator
// (RFC 9110 section 13.1.5).
func ifRange(field string, resp *Response) bool {
	if field == "" {
		return true
	}
	if t, ok := ParseHTTPDate(field); ok {
		modified, known := ParseHTTPDate(resp.Get("Last-Modified"))
		date, dated := ParseHTTPDate(resp.Get("Date"))
		// A date is strong only if it could not have named two versions of the
		// same second (RFC 9110 section 8.8.2.2).
		return known && dated && modified.Equal(t) && date.Sub(modified) >= time.Second
	}
	return validETag(field) && field == resp.Get("ETag")
}

// selectRanges answers ranges of resp. Those of a body whose length is not known
// are answered only if it is one, with both ends, and all of it is there:
// nothing else can be promised.
func selectRanges(ranges []Range, resp *Response) *Response {
	total := resp.Body.Len()
	if total < 0 {
		r := ranges[0]
		if _, ok := resp.Body.(Drainer); ok || len(ranges) > 1 || r.First < 0 || r.Last < 0 {
			return resp
		}
		if p, _ := resp.Body.View(r.Last); len(p) == 0 {
			return resp
		}
		return partial(resp, r, -1)
	}
	var kept []Range
	whole := false
	for _, r := range ranges {
		switch r, ok := r.within(total); {
		case ok && r.First > r.Last:
			whole = true // satisfiable, but there is no byte that a 206 could name
		case ok:
			kept = append(kept, r)
		}
	}
	switch {
	case whole:
		return resp
	case len(kept) == 0:
		return unsatisfiable(resp, total)
	case len(ranges) == 1:
		return partial(resp, kept[0], total)
	}
	return selectSeveral(kept, resp, total)
}

// unsatisfiable answers that no byte of a range is there.
func unsatisfiable(resp *Response, total int64) *Response {
	resp.Close()
	e := Text(http.StatusRequestedRangeNotSatisfiable, "range not satisfiable\n")
	e.Header.Set("Content-Range", "bytes */"+strconv.FormatInt(total, 10))
	return e
}

// partial makes of resp the 206 with the bytes of r.
func partial(resp *Response, r Range, total int64) *Response {
	resp.Status = http.StatusPartialContent
	resp.Header.Set("Content-Range", ContentRange(r.First, r.Last, total))
	resp.Body = Section(resp.Body, r.First, r.Last-r.First+1)
	return resp
}
