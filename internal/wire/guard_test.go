package wire

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"weir/internal/web"
)

// A guardedReader is what net/http would read of a stream, in pieces as r gives them.
type guardedReader struct {
	r      io.Reader
	g      guard
	broken bool
}

func (r *guardedReader) Read(p []byte) (int, error) {
	if r.broken {
		return 0, errRefused
	}
	n, err := r.r.Read(p)
	if i := r.g.feed(p[:n]); i >= 0 {
		r.broken = true
		return i, errRefused
	}
	return n, err
}

var errRefused = errors.New("refused")

const goodStream = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n" +
	"PUT /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n1F\r\n0123456789012345678901234567890\r\n0\r\nX-T: 1\r\n\r\n" +
	"PUT /3 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" +
	"PUT /4 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n" +
	"HEAD /5 HTTP/1.0\r\n\r\n"

// An honest encoder's uploads pass, however the network cuts them.
func TestGuardLetsHonestRequestsPass(t *testing.T) {
	for name, r := range map[string]io.Reader{
		"whole": strings.NewReader(goodStream), "bytes": iotest.OneByteReader(strings.NewReader(goodStream)),
		"halves": iotest.HalfReader(strings.NewReader(goodStream)),
	} {
		got, err := io.ReadAll(&guardedReader{r: r, g: newGuard()})
		if err != nil || string(got) != goodStream {
			t.Errorf("%s: %v after %q", name, err, got)
		}
	}
}

// FuzzGuard holds the guard against net/http's own reader: it must find the
// same requests, and refuse what has two meanings before net/http reads it.
func FuzzGuard(f *testing.F) {
	f.Add(goodStream)
	f.Add("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	f.Add("POST / HTTP/1.1\r\nHost: a\r\nX: 1\r\n folded\r\n\r\n")
	f.Add("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	f.Add("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\nab\n0\n\nGET / HTTP/1.1\r\nHost: a\r\n y\r\n\r\n")
	f.Fuzz(func(t *testing.T, stream string) {
		read := func(r io.Reader) (whole, chunked int) {
			br := bufio.NewReader(r)
			for {
				req, err := http.ReadRequest(br)
				if err != nil {
					return whole, chunked
				}
				if _, err := io.Copy(io.Discard, req.Body); err != nil {
					return whole, chunked
				}
				whole++
				if len(req.TransferEncoding) > 0 {
					chunked++
				}
			}
		}
		plain, _ := read(strings.NewReader(stream))
		r := &guardedReader{r: strings.NewReader(stream), g: newGuard()}
		passed, _ := read(r)
		bytewise, _ := read(&guardedReader{r: iotest.OneByteReader(strings.NewReader(stream)), g: newGuard()})
		if passed > plain || bytewise > plain {
			t.Errorf("net/http reads %d requests, with the guard %d and %d", plain, passed, bytewise)
		}
	})
}

// FuzzParseFields reads header blocks as fasthttp hands them over.
func FuzzParseFields(f *testing.F) {
	f.Add("Host: a\r\nX-A: 1\r\nConnection: X-A\r\n\r\n")
	f.Add("X: 1\r\n folded\r\n\r\n")
	f.Add("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n")
	f.Fuzz(func(t *testing.T, raw string) {
		var req web.Request
		if parseFields(raw, &req) != nil {
			return
		}
		lengths := 0
		for field := range req.Header.All() {
			if hopByHop(field.Name) || strings.ContainsAny(field.Name, " \t\n:") || strings.Contains(field.Value, "\n") {
				t.Errorf("field %q: %q passes", field.Name, field.Value)
			}
			if strings.EqualFold(field.Name, "Content-Length") {
				lengths++
			}
		}
		if lengths > 1 {
			t.Error("two lengths pass")
		}
	})
}

// FuzzTarget holds paths to one form.
func FuzzTarget(f *testing.F) {
	f.Add("/a/b?c=d")
	f.Add("http://x/y")
	f.Add("/a/%2e%2e/b#c")
	f.Fuzz(func(t *testing.T, raw string) {
		path, _, err := target(raw)
		if err != nil {
			if web.StatusOf(err) != 400 {
				t.Errorf("%q: %v", raw, err)
			}
			return
		}
		if path == "" || path[0] != '/' || strings.Contains(path, "/../") || strings.Contains(path, "//") {
			t.Errorf("%q becomes %q", raw, path)
		}
		if again, _, err := target(web.EscapePath(path)); err != nil || again != path {
			t.Errorf("%q becomes %q and then %q, %v", raw, path, again, err)
		}
	})
}
