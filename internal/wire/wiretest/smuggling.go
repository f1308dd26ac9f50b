package wiretest

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"weir/internal/web"
)

var smuggling = map[string]func(*testing.T, Start){
	"AmbiguousRequestsAreRefused":    ambiguous,
	"BehindAPipelinedRequestAsWell":  ambiguousSecond,
	"BodyOfAGetIsNotTheNextRequest":  bodyOfGet,
	"ChunkedBodyIsNotTheNextRequest": chunkedThenNext,
	"UnreadBodyIsNotTheNextRequest":  unreadBody,
}

// probes are requests that two servers in a row could cut at different places.
var probes = map[string]string{
	"length and chunked":        "POST / HTTP/1.1\nHost: weir\nContent-Length: 4\nTransfer-Encoding: chunked\n\n0\n\n",
	"chunked and length":        "POST / HTTP/1.1\nHost: weir\nTransfer-Encoding: chunked\nContent-Length: 4\n\n0\n\n",
	"case of chunked":           "POST / HTTP/1.1\nHost: weir\ntransfer-ENCODING: chunked\ncontent-length: 4\n\n0\n\n",
	"two lengths":               "POST / HTTP/1.1\nHost: weir\nContent-Length: 0\nContent-Length: 5\n\nGET /",
	"two equal lengths":         "POST / HTTP/1.1\nHost: weir\nContent-Length: 0\nContent-Length: 0\n\n",
	"list of lengths":           "POST / HTTP/1.1\nHost: weir\nContent-Length: 0, 0\n\n",
	"signed length":             "POST / HTTP/1.1\nHost: weir\nContent-Length: +0\n\n",
	"negative length":           "POST / HTTP/1.1\nHost: weir\nContent-Length: -1\n\n",
	"huge length":               "POST / HTTP/1.1\nHost: weir\nContent-Length: 99999999999999999999\n\n",
	"hex length":                "POST / HTTP/1.1\nHost: weir\nContent-Length: 0x0\n\n",
	"two encodings":             "POST / HTTP/1.1\nHost: weir\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n0\n\n",
	"identity":                  "POST / HTTP/1.1\nHost: weir\nTransfer-Encoding: identity\nContent-Length: 0\n\n",
	"encoding nobody knows":     "POST / HTTP/1.1\nHost: weir\nTransfer-Encoding: xchunked\n\n0\n\n",
	"chunked and another":       "POST / HTTP/1.1\nHost: weir\nTransfer-Encoding: chunked, identity\n\n0\n\n",
	"chunked in HTTP/1.0":       "POST / HTTP/1.0\nHost: weir\nTransfer-Encoding: chunked\n\n0\n\n",
	"space before the colon":    "POST / HTTP/1.1\nHost: weir\nContent-Length : 0\n\n",
	"space in a name":           "POST / HTTP/1.1\nHost: weir\nContent Length: 0\n\n",
	"folded line":               "GET / HTTP/1.1\nHost: weir\nX-A: 1\n  Transfer-Encoding: chunked\n\n",
	"folded with a tab":         "GET / HTTP/1.1\nHost: weir\nX-A: 1\n\tb\n\n",
	"first line folded":         "GET / HTTP/1.1\n Host: weir\nHost: weir\n\n",
	"no colon":                  "GET / HTTP/1.1\nHost: weir\nnothing\n\n",
	"no name":                   "GET / HTTP/1.1\nHost: weir\n: x\n\n",
	"two hosts":                 "GET / HTTP/1.1\nHost: weir\nHost: other\n\n",
	"no host":                   "GET / HTTP/1.1\nAccept: a\n\n",
	"NUL in a value":            "GET / HTTP/1.1\nHost: weir\nX-A: a\x00b\n\n",
	"bare CR in a value":        "GET / HTTP/1.1\nHost: weir\nX-A: a\rTransfer-Encoding: chunked\n\n",
	"absolute form":             "GET http://other/ HTTP/1.1\nHost: weir\n\n",
	"authority form":            "CONNECT other:443 HTTP/1.1\nHost: other:443\n\n",
	"space in the target":       "GET / x HTTP/1.1\nHost: weir\n\n",
	"version nobody knows":      "GET / HTTP/3.7\nHost: weir\n\n",
	"chunk size is no number":   "POST / HTTP/1.1\nHost: weir\nTransfer-Encoding: chunked\n\nzz\nabc\n0\n\n",
	"chunk size with a sign":    "POST / HTTP/1.1\nHost: weir\nTransfer-Encoding: chunked\n\n-1\nabc\n0\n\n",
	"chunk larger than it says": "POST / HTTP/1.1\nHost: weir\nTransfer-Encoding: chunked\n\n1\nabc\n0\n\n",
	"chunk size of 17 digits":   "POST / HTTP/1.1\nHost: weir\nTransfer-Encoding: chunked\n\n10000000000000003\nabc\n0\n\n",
}

const smuggled = "GET /smuggled HTTP/1.1\nHost: weir\n\n"

// guarded starts an adapter whose handler must not see what is smuggled, and
// reads bodies to their end.
func guarded(t *testing.T, start Start) string {
	return serve(t, start, func(ctx context.Context, req *web.Request) (*web.Response, error) {
		if req.Path == "/smuggled" {
			t.Error("the smuggled request was served")
		}
		return reading(ctx, req)
	})
}

// refused fails unless the rest of the connection is one error, and its end.
func (c *conn) refused(name string) {
	c.t.Helper()
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		if isTimeout(err) {
			c.t.Errorf("%s: neither answered nor closed", name)
		}
		return // cut
	}
	if resp.StatusCode < 400 {
		c.t.Errorf("%s: status %d, want it refused", name, resp.StatusCode)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	if b, err := io.ReadAll(c.r); len(b) > 0 || isTimeout(err) {
		c.t.Errorf("%s: the connection goes on with %.100q, %v", name, b, err)
	}
}

// A viewer is never shown the answer to a request that somebody hid in another.
func ambiguous(t *testing.T, start Start) {
	addr := guarded(t, start)
	for name, probe := range probes {
		c := dial(t, addr)
		c.send("%s", probe+smuggled)
		c.refused(name)
	}
}

// The same where the probe arrives in one piece with a good request, and in
// single bytes.
func ambiguousSecond(t *testing.T, start Start) {
	addr := guarded(t, start)
	good := "POST / HTTP/1.1\nHost: weir\nTransfer-Encoding: chunked\n\n5;ext\nhello\n0\nX-T: 1\n\n"
	for name, probe := range probes {
		c := dial(t, addr)
		c.send("%s", good+probe+smuggled)
		c.answer(200)
		c.refused(name + " (behind another)")
	}
	for name, probe := range probes {
		c := dial(t, addr)
		go func() {
			for _, b := range []byte(strings.ReplaceAll(probe+smuggled, "\n", "\r\n")) {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
			}
		}()
		c.refused(name + " (in single bytes)")
	}
}

func bodyOfGet(t *testing.T, start Start) {
	c := dial(t, guarded(t, start))
	hidden := strings.ReplaceAll(smuggled, "\n", "\r\n")
	c.get("/", "")
	c.answer(200)
	c.send("GET / HTTP/1.1\nHost: weir\nContent-Length: %d\n\n%s", len(hidden), smuggled)
	c.answer(200)
	c.get("/", "")
	c.answer(200)
}

func chunkedThenNext(t *testing.T, start Start) {
	c := dial(t, guarded(t, start))
	hidden := strings.ReplaceAll(smuggled, "\n", "\r\n")
	for range 2 {
		c.send("POST / HTTP/1.1\nHost: weir\nTransfer-Encoding: chunked\n\n%x\n%s\n0\n\n", len(hidden), smuggled)
		c.answer(200)
	}
}

// A handler that answers without reading leaves no bytes behind that would be
// taken for a request.
func unreadBody(t *testing.T, start Start) {
	c := dial(t, serve(t, start, func(_ context.Context, req *web.Request) (*web.Response, error) {
		if req.Path == "/smuggled" {
			t.Error("the smuggled request was served")
		}
		return web.Text(200, "unread"), nil
	}))
	c.send("POST / HTTP/1.1\nHost: weir\nContent-Length: 1000\n\n%s", smuggled)
	go func() { // the server may have closed: that is one way to leave no bytes behind
		rest := strings.Repeat(smuggled, 30)[:1000-len(smuggled)-3]
		_, _ = io.WriteString(c, strings.ReplaceAll(rest, "\n", "\r\n"))
	}()
	resp := c.head("POST")
	_, _ = io.Copy(io.Discard, resp.Body)
	if !resp.Close {
		c.send("%s", "xxxGET / HTTP/1.1\nHost: weir\n\n")
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(c.r, 1))
}
