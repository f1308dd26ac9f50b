package web

import (
	"context"
	"testing"
	"time"
)

var lastModified = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// stored is an answer as a cache gives it: fields in Base, ten bytes of body.
func stored(status int) *Response {
	base := NewHeader("Content-Type", "video/mp4", "ETag", `"v1"`, "Last-Modified", FormatHTTPDate(lastModified),
		"Date", FormatHTTPDate(lastModified.Add(time.Hour)), "Cache-Control", "max-age=60", "Vary", "Accept-Encoding")
	return &Response{Status: status, Base: &base, Header: NewHeader("Age", "3"), Body: &closeCounter{Body: String("0123456789")}}
}

type closeCounter struct {
	Body
	closed int
}

func (c *closeCounter) Close() { c.closed++; c.Body.Close() }

func selected(t *testing.T, method string, pairs ...string) (*Response, string) {
	t.Helper()
	resp := stored(200)
	body := resp.Body.(*closeCounter)
	resp = Select(&Request{Method: method, Header: NewHeader(pairs...)}, resp)
	text := ""
	if resp.Body != nil {
		p, err := ReadAll(context.Background(), resp.Body, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		text = string(p)
		resp.Body.Close()
	}
	if body.closed != 1 {
		t.Errorf("the body was closed %d times", body.closed)
	}
	return resp, text
}

func TestRG01RG02RangesAreServed(t *testing.T) {
	f := func(field, contentRange, want string) {
		t.Helper()
		resp, text := selected(t, "GET", "Range", field)
		if resp.Status != 206 || resp.Get("Content-Range") != contentRange || text != want {
			t.Errorf("%s: %d %q %q", field, resp.Status, resp.Get("Content-Range"), text)
		}
		for _, name := range []string{"ETag", "Date", "Cache-Control", "Vary", "Age", "Content-Type"} {
			if resp.Get(name) == "" {
				t.Errorf("%s: a 206 without %s", field, name)
			}
		}
	}
	f("bytes=0-0", "bytes 0-0/10", "0")
	f("bytes=2-4", "bytes 2-4/10", "234")
	f("bytes=7-", "bytes 7-9/10", "789")
	f("bytes=7-99", "bytes 7-9/10", "789")
	f("bytes=-3", "bytes 7-9/10", "789")
	f("bytes=-99", "bytes 0-9/10", "0123456789")
	f("bytes=0-9007199254740991", "bytes 0-9/10", "0123456789")
	f("bytes=9-9007199254740991", "bytes 9-9/10", "9")
	f("bytes=1-99999999999999999999", "bytes 1-9/10", "123456789")
	f("bytes=-99999999999999999999", "bytes 0-9/10", "0123456789")
}

func TestRG03RangesPastTheEndAreRefused(t *testing.T) {
	f := func(field string) {
		t.Helper()
		resp, _ := selected(t, "GET", "Range", field)
		if resp.Status != 416 || resp.Get("Content-Range") != "bytes */10" {
			t.Errorf("%s: %d %q", field, resp.Status, resp.Get("Content-Range"))
		}
		if resp.Get("ETag") != "" || resp.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: a 416 that looks like the object", field)
		}
	}
	f("bytes=10-")
	f("bytes=10-20")
	f("bytes=-0")
	f("bytes=9007199254740991-")
	f("bytes=99999999999999999999-")
}

func TestRG04RangesThatMeanNothingGetTheWhole(t *testing.T) {
	f := func(method string, pairs ...string) {
		t.Helper()
		resp, text := selected(t, method, pairs...)
		if resp.Status != 200 || text != "0123456789" || resp.Get("Content-Range") != "" {
			t.Errorf("%s %v: %d %q", method, pairs, resp.Status, text)
		}
	}
	for _, in := range rangeGarbage {
		f("GET", "Range", in)
	}
	f("HEAD", "Range", "bytes=0-1")
	f("GET", "Range", "bytes=0-1", "If-Range", `"v2"`)
	f("GET", "Range", "bytes=0-1", "If-Range", `W/"v1"`)
	f("GET", "Range", "bytes=0-1", "If-Range", `v1`)
	f("GET", "Range", "bytes=0-1", "If-Range", FormatHTTPDate(lastModified.Add(time.Second)))
	f("GET", "Range", "bytes=99-", "If-Range", `"v2"`)
}

func TestRG05IfRangeLetsTheSameVersionThrough(t *testing.T) {
	f := func(validator string) {
		t.Helper()
		if resp, text := selected(t, "GET", "Range", "bytes=0-1", "If-Range", validator); resp.Status != 206 || text != "01" {
			t.Errorf("%s: %d %q", validator, resp.Status, text)
		}
	}
	f(`"v1"`)
	f(FormatHTTPDate(lastModified))
}

func TestRG05IfRangeRefusesAWeakTag(t *testing.T) {
	resp := Select(&Request{Method: "GET", Header: NewHeader("Range", "bytes=0-1", "If-Range", `W/"v1"`)}, NewResponse(200, String("0123"), "ETag", `W/"v1"`))
	if resp.Status != 200 {
		t.Errorf("%d", resp.Status)
	}
}

// A date names no single version of an object that was changed within the
// second in which it was sent.
func TestRG05IfRangeRefusesAWeakDate(t *testing.T) {
	resp := stored(200)
	resp.Header.Set("Date", FormatHTTPDate(lastModified))
	resp = Select(&Request{Method: "GET", Header: NewHeader("Range", "bytes=0-1", "If-Range", FormatHTTPDate(lastModified))}, resp)
	if resp.Status != 200 {
		t.Errorf("%d", resp.Status)
	}
}

func TestConditionsAreAnswered(t *testing.T) {
	f := func(want int, pairs ...string) {
		t.Helper()
		for _, method := range []string{"GET", "HEAD"} {
			resp, _ := selected(t, method, pairs...)
			if resp.Status != want {
				t.Errorf("%s %v: %d, want %d", method, pairs, resp.Status, want)
			}
			if resp.Status == 304 {
				for _, name := range []string{"ETag", "Date", "Cache-Control", "Vary", "Age"} {
					if resp.Get(name) == "" {
						t.Errorf("%v: a 304 without %s", pairs, name)
					}
				}
				if resp.Body != nil || resp.Get("Content-Type") != "" {
					t.Errorf("%v: a 304 with a payload", pairs)
				}
			}
		}
	}
	same, before, after := FormatHTTPDate(lastModified), FormatHTTPDate(lastModified.Add(-time.Second)), FormatHTTPDate(lastModified.Add(time.Second))
	f(304, "If-None-Match", `"v1"`)
	f(304, "If-None-Match", `W/"v1"`)
	f(304, "If-None-Match", `*`)
	f(304, "If-None-Match", `"v0"`, "If-None-Match", `"v1"`)
	f(200, "If-None-Match", `"v2"`)
	f(304, "If-Modified-Since", same)
	f(304, "If-Modified-Since", after)
	f(200, "If-Modified-Since", before)
	f(200, "If-Modified-Since", "0")
	f(200, "If-None-Match", `"v2"`, "If-Modified-Since", after)
	f(304, "If-None-Match", `"v1"`, "If-Modified-Since", before)
	f(304, "If-None-Match", `"v1"`, "Range", "bytes=0-1")
	f(200, "If-Match", `"v1"`)
	f(200, "If-Match", `*`)
	f(412, "If-Match", `"v2"`)
	f(412, "If-Match", `W/"v1"`)
	f(412, "If-Match", `"v2"`, "If-None-Match", `"v1"`)
	f(304, "If-Match", `"v1"`, "If-None-Match", `"v1"`)
	f(412, "If-Unmodified-Since", before)
	f(200, "If-Unmodified-Since", same)
	f(200, "If-Match", `"v1"`, "If-Unmodified-Since", before)
}

func TestOnlyWholeAnswersAreSelectedFrom(t *testing.T) {
	for _, status := range []int{206, 304, 403, 404, 503} {
		resp := stored(status)
		if got := Select(&Request{Method: "GET", Header: NewHeader("If-None-Match", "*", "Range", "bytes=0-1")}, resp); got != resp || got.Status != status {
			t.Errorf("a %d became a %d", status, got.Status)
		}
	}
	resp := stored(200)
	if Select(&Request{Method: "POST", Header: NewHeader("If-None-Match", "*")}, resp).Status != 200 {
		t.Error("a POST was answered with 304")
	}
}

func TestRangesOfAnEmptyBody(t *testing.T) {
	f := func(field string, want int) {
		t.Helper()
		if got := Select(&Request{Method: "GET", Header: NewHeader("Range", field)}, NewResponse(200, String(""))); got.Status != want {
			t.Errorf("%s: %d", field, got.Status)
		}
	}
	f("bytes=-5", 200)
	f("bytes=-0", 416)
	f("bytes=0-", 416)
}

// What waits for nothing promises nothing that is not there.
func TestRangesOfABodyThatStillGrows(t *testing.T) {
	f := func(field string, status int, contentRange, want string) {
		t.Helper()
		resp := Select(&Request{Method: "GET", Header: NewHeader("Range", field)}, NewResponse(200, &growing{total: -1, p: []byte("01234")}))
		if resp.Status != status || resp.Get("Content-Range") != contentRange {
			t.Errorf("%s: %d %q", field, resp.Status, resp.Get("Content-Range"))
		}
		if p, _ := resp.Body.View(0); string(p) != want {
			t.Errorf("%s: %q", field, p)
		}
	}
	f("bytes=2-4", 206, "bytes 2-4/*", "234")
	f("bytes=2-5", 200, "", "01234")
	f("bytes=2-", 200, "", "01234")
	f("bytes=-2", 200, "", "01234")
	f("bytes=0-0,2-2", 200, "", "01234")
	f("bytes=0-9007199254740991", 200, "", "01234")
}

// A player that asks for bytes of a segment still being made, of which it is
// known how long it will be, gets them as they arrive, and never a byte more.
func TestARangeFollowsItsBody(t *testing.T) {
	g := &growing{total: 10, p: []byte("012")}
	resp := Select(&Request{Method: "GET", Header: NewHeader("Range", "bytes=2-4")}, NewResponse(200, g))
	if resp.Body.Len() != 3 || resp.Get("Content-Range") != "bytes 2-4/10" {
		t.Fatalf("length %d", resp.Body.Len())
	}
	if p, st := resp.Body.View(0); string(p) != "2" || st != Open {
		t.Fatalf("%q %v", p, st)
	}
	g.p = []byte("0123456")
	if p, st := resp.Body.View(1); string(p) != "34" || st != Complete {
		t.Fatalf("%q %v", p, st)
	}
}

func BenchmarkSelectWhole(b *testing.B) {
	req := &Request{Method: "GET", Header: NewHeader("User-Agent", "x", "Accept", "*/*", "Accept-Encoding", "gzip")}
	resp := stored(200)
	b.ReportAllocs()
	for b.Loop() {
		Select(req, resp)
	}
}

// A stored answer that does not say when it was last modified is compared by
// its Date (RFC 9111 section 4.3.2).
func TestDateStandsInForLastModified(t *testing.T) {
	f := func(want int, since string, pairs ...string) {
		t.Helper()
		req := &Request{Method: "GET", Header: NewHeader("If-Modified-Since", since)}
		resp := Select(req, NewResponse(200, String("x"), pairs...))
		resp.Close()
		if resp.Status != want {
			t.Errorf("%v since %s: status %d, want %d", pairs, since, resp.Status, want)
		}
	}
	const early, late = "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:38 GMT"
	f(304, late, "Date", early)
	f(200, early, "Date", late)
	f(200, late, "Date", early, "Last-Modified", "yesterday")
	f(200, late)
}
