package wiretest

import (
	"bytes"
	"context"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"weir/internal/spool"
	"weir/internal/web"
)

var bodies = map[string]func(*testing.T, Start){
	"BodyOfUnknownLengthIsSentWhileItGrows": func(t *testing.T, start Start) { sentWhileItGrows(t, start, -1) },
	"BodyOfKnownLengthIsSentWhileItGrows":   func(t *testing.T, start Start) { sentWhileItGrows(t, start, 9) },
	"HeaderIsSentBeforeTheBodyBegins":       headerFirst,
	"LargeBodyArrivesWhole":                 largeBody,
	"SmallBodyArrivesWhole":                 smallBody,
	"DrainedBodyArrivesAsItComes":           drained,
	"HeadSendsTheLengthAndNoBody":           head,
	"HeadDoesNotWaitForTheBody":             headOfGrowing,
	"NoBodyAtAllHasLengthZero":              nobody,
	"ConditionsAndRangesAreAnswered":        selected,
	"SeveralRangesAreOneMultipart":          severalRanges,
	"HTTP10GetsAGrowingBodyWithItsLength":   oldClient,
}

// A viewer who follows the live edge sees the first bytes of a segment while
// the encoder still writes it.
func sentWhileItGrows(t *testing.T, start Start, length int64) {
	w, body := growing(length)
	c := dial(t, serve(t, start, always(func() *web.Response { return web.NewResponse(200, body) })))
	c.get("/", "")
	resp := c.head("GET")
	if resp.ContentLength != length {
		t.Errorf("Content-Length %d, want %d", resp.ContentLength, length)
	}
	for _, piece := range []string{"one", "two", "end"} {
		_, _ = w.Write([]byte(piece))
		got := make([]byte, 3)
		if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != piece {
			t.Fatalf("got %q, %v while the body is open, want %q", got, err, piece)
		}
	}
	if err := w.Complete(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(resp.Body); len(rest) > 0 || err != nil {
		t.Errorf("after the end: %q, %v", rest, err)
	}
	body.closedOnce(t)
}

// A player that opens a segment early learns at once that it exists.
func headerFirst(t *testing.T, start Start) {
	w, body := growing(-1)
	c := dial(t, serve(t, start, always(func() *web.Response { return web.NewResponse(200, body, "X-Early", "yes") })))
	c.get("/", "")
	if resp := c.head("GET"); resp.Header.Get("X-Early") != "yes" {
		t.Errorf("header: %v", resp.Header)
	}
	w.Abort(nil)
	body.closedOnce(t)
}

func pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return p
}

// A segment of several pieces of memory plays without a torn byte, and the
// connection serves the next one.
func largeBody(t *testing.T, start Start) {
	want := pattern(5<<20 + 77)
	var bodies []*watched
	c := dial(t, serve(t, start, always(func() *web.Response {
		w, b := growing(-1)
		_, _ = io.Copy(w, bytes.NewReader(want))
		_ = w.Complete()
		bodies = append(bodies, b)
		return web.NewResponse(200, b)
	})))
	for range 3 {
		c.get("/", "")
		if resp, got := c.answer(200); got != string(want) || resp.ContentLength != int64(len(want)) {
			t.Fatalf("got %d bytes that differ from the %d sent, Content-Length %d", len(got), len(want), resp.ContentLength)
		}
	}
	for _, b := range bodies {
		b.closedOnce(t)
	}
}

// Playlists arrive whole, whatever their size is beside the adapter's buffers.
func smallBody(t *testing.T, start Start) {
	sizes := []int{0, 1, 4095, 4096, 8192, 8193, 16385, 65536}
	i := 0
	c := dial(t, serve(t, start, always(func() *web.Response {
		return web.NewResponse(200, web.Bytes(pattern(sizes[i])))
	})))
	for i = range sizes {
		c.get("/", "")
		if _, got := c.answer(200); got != string(pattern(sizes[i])) {
			t.Errorf("a body of %d bytes arrived as %d other ones", sizes[i], len(got))
		}
	}
}

// drainer is a body that is passed on from r.
type drainer struct {
	web.Body // never used but for Len and Close
	r        io.Reader
}

func (d drainer) Drain(_ context.Context, w io.Writer) (int64, error) { return io.Copy(w, d.r) }

// What an edge passes on without keeping it reaches the viewer as it arrives.
func drained(t *testing.T, start Start) {
	_, body := growing(-1)
	r, w := io.Pipe()
	c := dial(t, serve(t, start, always(func() *web.Response { return web.NewResponse(200, drainer{body, r}) })))
	c.get("/", "")
	resp := c.head("GET")
	for _, piece := range []string{"one", "two", "end"} {
		_, _ = w.Write([]byte(piece))
		got := make([]byte, 3)
		if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != piece {
			t.Fatalf("got %q, %v, want %q", got, err, piece)
		}
	}
	w.Close()
	if rest, err := io.ReadAll(resp.Body); len(rest) > 0 || err != nil {
		t.Errorf("after the end: %q, %v", rest, err)
	}
	body.closedOnce(t)
}

// A player that probes with HEAD learns the size, and its connection is not
// spoiled by bytes it does not expect.
func head(t *testing.T, start Start) {
	var last *watched
	c := dial(t, serve(t, start, always(func() *web.Response {
		w, b := growing(-1)
		_, _ = w.Write([]byte("twelve bytes"))
		_ = w.Complete()
		last = b
		return web.NewResponse(200, b, "ETag", `"x"`)
	})))
	for range 2 {
		c.send("HEAD / HTTP/1.1\nHost: weir\n\n")
		if resp := c.head("HEAD"); resp.ContentLength != 12 || resp.Header.Get("ETag") != `"x"` {
			t.Errorf("HEAD: %v, Content-Length %d", resp.Header, resp.ContentLength)
		}
		last.closedOnce(t)
	}
	c.get("/", "")
	if _, got := c.answer(200); got != "twelve bytes" {
		t.Errorf("GET after HEAD on one connection: %q", got)
	}
}

func headOfGrowing(t *testing.T, start Start) {
	_, body := growing(-1)
	c := dial(t, serve(t, start, always(func() *web.Response { return web.NewResponse(200, body) })))
	c.send("HEAD / HTTP/1.1\nHost: weir\n\n")
	if resp := c.head("HEAD"); resp.StatusCode != 200 || resp.Header.Get("Content-Length") != "" {
		t.Errorf("HEAD of a body of unknown length: %d %v", resp.StatusCode, resp.Header)
	}
	body.closedOnce(t)
}

func nobody(t *testing.T, start Start) {
	status := 200
	c := dial(t, serve(t, start, always(func() *web.Response { return web.NewResponse(status, nil) })))
	for _, status = range []int{200, 404, 204, 304, 200} {
		c.get("/", "")
		resp, body := c.answer(status)
		if body != "" || len(resp.TransferEncoding) > 0 {
			t.Errorf("status %d: body %q, %v", status, body, resp.TransferEncoding)
		}
		if l := resp.Header.Get("Content-Length"); (status == 200 || status == 404) && l != "0" {
			t.Errorf("status %d: Content-Length %q, want 0", status, l)
		}
	}
}

// A player that seeks gets the bytes it asked for, and one that revalidates is
// not sent what it has.
func selected(t *testing.T, start Start) {
	var last *watched
	c := dial(t, serve(t, start, func(_ context.Context, req *web.Request) (*web.Response, error) {
		w, b := growing(-1)
		_, _ = w.Write([]byte("0123456789"))
		_ = w.Complete()
		last = b
		return web.Select(req, web.NewResponse(200, b, "ETag", `"v1"`)), nil
	}))
	f := func(lines string, status int, want, contentRange string) {
		t.Helper()
		c.get("/", lines)
		resp, got := c.answer(status)
		if got != want || resp.Header.Get("Content-Range") != contentRange {
			t.Errorf("%q: body %q, Content-Range %q; want %q, %q", lines, got, resp.Header.Get("Content-Range"), want, contentRange)
		}
		last.closedOnce(t)
	}
	f("", 200, "0123456789", "")
	f("Range: bytes=2-4\n", 206, "234", "bytes 2-4/10")
	f("Range: bytes=-3\n", 206, "789", "bytes 7-9/10")
	f("Range: bytes=8-\n", 206, "89", "bytes 8-9/10")
	f("If-None-Match: \"v1\"\n", 304, "", "")
	f("If-None-Match: \"v0\"\n", 200, "0123456789", "")
	f("Range: bytes=2-4\nIf-Range: \"v0\"\n", 200, "0123456789", "")
	c.get("/", "Range: bytes=10-\n")
	if resp := c.head("GET"); resp.StatusCode != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("a range behind the end: status %d", resp.StatusCode)
	}
}

// A client that asks for several ranges gets one answer with its length, whose
// parts stand where it says, and can go on with the connection.
func severalRanges(t *testing.T, start Start) {
	text := strings.Repeat("0123456789abcdef", 4096)
	c := dial(t, serve(t, start, func(_ context.Context, req *web.Request) (*web.Response, error) {
		w, b := growing(int64(len(text)))
		_, _ = w.Write([]byte(text))
		_ = w.Complete()
		return web.Select(req, web.NewResponse(200, b, "Content-Type", "video/mp4")), nil
	}))
	for range 2 {
		c.get("/", "Range: bytes=1-3,60000-60999\n")
		resp, got := c.answer(http.StatusPartialContent)
		kind, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
		if err != nil || kind != "multipart/byteranges" || resp.Header.Get("Content-Range") != "" || resp.ContentLength != int64(len(got)) {
			t.Fatalf("%v, %d bytes of %d", resp.Header, len(got), resp.ContentLength)
		}
		r := multipart.NewReader(strings.NewReader(got), params["boundary"])
		for _, want := range [][2]string{{"bytes 1-3/65536", text[1:4]}, {"bytes 60000-60999/65536", text[60000:61000]}} {
			part, err := r.NextPart()
			if err != nil {
				t.Fatal(err)
			}
			if p, err := io.ReadAll(part); err != nil || part.Header.Get("Content-Range") != want[0] || string(p) != want[1] {
				t.Errorf("%q: %d bytes, %v", part.Header.Get("Content-Range"), len(p), err)
			}
		}
	}
}

// A proxy that speaks HTTP/1.0, as nginx does unless told otherwise, cannot
// take a cut for the end.
func oldClient(t *testing.T, start Start) {
	w, body := growing(-1)
	addr := serve(t, start, func(_ context.Context, req *web.Request) (*web.Response, error) {
		if req.Path == "/cut" {
			cut, b := growing(-1)
			_, _ = cut.Write([]byte("half"))
			cut.Abort(io.ErrUnexpectedEOF)
			return web.NewResponse(200, b), nil
		}
		return web.NewResponse(200, body), nil
	})
	c := dial(t, addr)
	c.send("GET / HTTP/1.0\nHost: weir\n\n")
	_, _ = w.Write([]byte(strings.Repeat("x", 100<<10)))
	_ = w.Complete()
	if resp, got := c.answer(200); len(got) != 100<<10 || resp.ContentLength != 100<<10 {
		t.Errorf("%d bytes, Content-Length %d", len(got), resp.ContentLength)
	}
	body.closedOnce(t)
	c = dial(t, addr)
	c.send("GET /cut HTTP/1.0\nHost: weir\n\n")
	if resp, _ := c.answer(502); resp.Header.Get("Content-Length") == "" {
		t.Error("the answer has no length")
	}
}

var _ web.Drainer = drainer{}
var _ web.Body = (*spool.Buffer)(nil)
