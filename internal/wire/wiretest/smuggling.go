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

	"length with a space inside":   "POST / HTTP/1.1\nHost: weir\nContent-Length: 0 0\n\n",
	"length with a comma":          "POST / HTTP/1.1\nHost: weir\nContent-Length: 0,\n\n",
	"empty length":                 "POST / HTTP/1.1\nHost: weir\nContent-Length: \n\n",
	"length with a NUL":            "POST / HTTP/1.1\nHost: weir\nContent-Length: 0\x00\n\n",
	"length with a form feed":      "POST / HTTP/1.1\nHost: weir\nContent-Length: \x0c0\n\n",
	"length with an underscore":    "POST / HTTP/1.1\nHost: weir\nContent-Length: 0_0\n\n",
	"length with a fraction":       "POST / HTTP/1.1\nHost: weir\nContent-Length: 0.0\n\n",
	"folded length":                "POST / HTTP/1.1\nHost: weir\nContent-Length:\n 0\n\n",
	"three lengths":                "POST / HTTP/1.1\nHost: weir\nContent-Length: 0\nX-A: b\ncontent-length: 0\nCONTENT-LENGTH: 0\n\n",
	"length overflows":             "POST / HTTP/1.1\nHost: weir\nContent-Length: 18446744073709551616\n\n",
	"quoted encoding":              "POST / HTTP/1.1\nHost: weir\nTransfer-Encoding: \"chunked\"\n\n0\n\n",
	"encoding with a parameter":    "POST / HTTP/1.1\nHost: weir\nTransfer-Encoding: chunked;q=1\n\n0\n\n",
	"encoding with a vertical tab": "POST / HTTP/1.1\nHost: weir\nTransfer-Encoding: \x0bchunked\n\n0\n\n",
	"encoding with a NUL":          "POST / HTTP/1.1\nHost: weir\nTransfer-Encoding: chunked\x00\n\n0\n\n",
	"encoding with a comma":        "POST / HTTP/1.1\nHost: weir\nTransfer-Encoding: chunked,\n\n0\n\n",
	"chunked twice":                "POST / HTTP/1.1\nHost: weir\nTransfer-Encoding: chunked, chunked\n\n0\n\n",
	"gzip before chunked":          "POST / HTTP/1.1\nHost: weir\nTransfer-Encoding: gzip, chunked\n\n0\n\n",
	"empty encoding":               "POST / HTTP/1.1\nHost: weir\nTransfer-Encoding: \n\n0\n\n",
	"folded encoding":              "POST / HTTP/1.1\nHost: weir\nTransfer-Encoding:\n chunked\n\n0\n\n",
	"space before its colon":       "POST / HTTP/1.1\nHost: weir\nTransfer-Encoding : chunked\n\n0\n\n",
	"tab before its colon":         "POST / HTTP/1.1\nHost: weir\nTransfer-Encoding\t: chunked\n\n0\n\n",
	"length in a GET, twice":       "GET / HTTP/1.1\nHost: weir\nContent-Length: 5\nContent-Length: 0\n\nhello",
	"chunked HEAD with a length":   "HEAD / HTTP/1.1\nHost: weir\nContent-Length: 5\nTransfer-Encoding: chunked\n\n0\n\n",
	"CR in a name":                 "GET / HTTP/1.1\nHost: weir\nX\rContent-Length: 5\n\n",
	"NUL in a name":                "GET / HTTP/1.1\nHost: weir\nX\x00A: b\n\n",
	"CR at the end of a value":     "GET / HTTP/1.1\nHost: weir\nX-A: b\r\n\n",
	"CR for a line end":            "GET / HTTP/1.1\rHost: weir\r\r\n\n",
	"LF for a line end":            "POST / HTTP/1.1\nHost: weir\nX-A: b¶Content-Length: 0\n\n",
	"LF hides an encoding":         "POST / HTTP/1.1\nHost: weir\nX-A: b¶Transfer-Encoding: chunked\n\n0\n\n",
	"LF ends the header":           "POST / HTTP/1.1\nHost: weir\nContent-Length: 0¶¶",
	"LF in a chunk's extension":    "POST / HTTP/1.1\nHost: weir\nTransfer-Encoding: chunked\n\n5;a¶b\nhello\n0\n\n",
	"LF behind a chunk's size":     "POST / HTTP/1.1\nHost: weir\nTransfer-Encoding: chunked\n\n5¶hello\n0\n\n",
	"LF behind a chunk":            "POST / HTTP/1.1\nHost: weir\nTransfer-Encoding: chunked\n\n5\nhello¶0\n\n",
	"LF behind the last chunk":     "POST / HTTP/1.1\nHost: weir\nTransfer-Encoding: chunked\n\n5\nhello\n0¶\n",
	"CR in a chunk's extension":    "POST / HTTP/1.1\nHost: weir\nTransfer-Encoding: chunked\n\n5;a\rb\nhello\n0\n\n",
	"no line end behind a chunk":   "POST / HTTP/1.1\nHost: weir\nTransfer-Encoding: chunked\n\n5\nhello0\n\n",
	"two other bytes behind it":    "POST / HTTP/1.1\nHost: weir\nTransfer-Encoding: chunked\n\n5\nhelloxx0\n\n",
	"chunk size with a plus":       "POST / HTTP/1.1\nHost: weir\nTransfer-Encoding: chunked\n\n+5\nhello\n0\n\n",
	"chunk size with 0x":           "POST / HTTP/1.1\nHost: weir\nTransfer-Encoding: chunked\n\n0x5\nhello\n0\n\n",
	"chunk size of nothing":        "POST / HTTP/1.1\nHost: weir\nTransfer-Encoding: chunked\n\n\nhello\n0\n\n",
	"chunk size behind a space":    "POST / HTTP/1.1\nHost: weir\nTransfer-Encoding: chunked\n\n 5\nhello\n0\n\n",
	"chunk size with garbage":      "POST / HTTP/1.1\nHost: weir\nTransfer-Encoding: chunked\n\n5 5\nhello\n0\n\n",
	"chunk size overflows":         "POST / HTTP/1.1\nHost: weir\nTransfer-Encoding: chunked\n\nfffffffffffffffb\nhello\n0\n\n",
	"two spaces in the first line": "GET  / HTTP/1.1\nHost: weir\n\n",
	"tabs in the first line":       "GET\t/\tHTTP/1.1\nHost: weir\n\n",
	"words behind the version":     "GET / HTTP/1.1 x\nHost: weir\n\n",
	"control byte in a method":     "GE\x00T / HTTP/1.1\nHost: weir\n\n",
	"no method":                    " / HTTP/1.1\nHost: weir\n\n",
	"no version":                   "GET /\nHost: weir\n\n",
	"version of one digit more":    "GET / HTTP/1.10\nHost: weir\n\n",
	"list of hosts":                "GET / HTTP/1.1\nHost: weir, other\n\n",
	"space in a host":              "GET / HTTP/1.1\nHost: we ir\n\n",
	"path in a host":               "GET / HTTP/1.1\nHost: weir/x\n\n",
}

// Probes returns requests, as they go over the wire, that two servers in a row
// could cut at different places, by name. Behind each stands a GET of /smuggled.
func Probes() map[string]string {
	out := make(map[string]string, len(probes))
	for name, probe := range probes {
		out[name] = wired(probe + smuggled)
	}
	return out
}

// wired is a probe as it goes out: a line ends with \r\n, and ¶ is a bare \n.
func wired(probe string) string {
	return strings.ReplaceAll(strings.ReplaceAll(probe, "\n", "\r\n"), "¶", "\n")
}

func (c *conn) raw(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
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
		c.raw(wired(probe + smuggled))
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
		c.raw(wired(good + probe + smuggled))
		c.answer(200)
		c.refused(name + " (behind another)")
	}
	for name, probe := range probes {
		c := dial(t, addr)
		go func() {
			for _, b := range []byte(wired(probe + smuggled)) {
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
