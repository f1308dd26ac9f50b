package web

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"strings"
	"testing"
)

// large is a body in which every place looks different from its neighbours.
var large = func() string {
	var b strings.Builder
	for i := range 4096 {
		b.WriteByte(byte(i))
		b.WriteByte(byte(i >> 4))
	}
	return b.String()
}()

// parts reads a multipart/byteranges as a client does.
func parts(t *testing.T, resp *Response) (ranges, texts []string) {
	t.Helper()
	kind, params, err := mime.ParseMediaType(resp.Get("Content-Type"))
	if err != nil || kind != "multipart/byteranges" {
		t.Fatalf("%q: %v", resp.Get("Content-Type"), err)
	}
	raw, err := ReadAll(context.Background(), resp.Body, 1<<20)
	if err != nil || int64(len(raw)) != resp.Body.Len() {
		t.Fatalf("%d bytes of %d: %v", len(raw), resp.Body.Len(), err)
	}
	r := multipart.NewReader(bytes.NewReader(raw), params["boundary"])
	for {
		p, err := r.NextPart()
		if err == io.EOF {
			return ranges, texts
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(p)
		if err != nil || p.Header.Get("Content-Type") != "video/mp4" {
			t.Fatalf("%v %v", p.Header, err)
		}
		ranges, texts = append(ranges, p.Header.Get("Content-Range")), append(texts, string(text))
	}
}

func severally(field string, body Body, pairs ...string) *Response {
	pairs = append([]string{"Content-Type", "video/mp4", "ETag", `"v1"`}, pairs...)
	return Select(&Request{Method: "GET", Header: NewHeader("Range", field)}, NewResponse(200, body, pairs...))
}

// Several ranges come in one answer, each with its own Content-Range, and none
// at the top, where a client would take the whole for one range.
func TestRG08SeveralRangesAreOneMultipart(t *testing.T) {
	f := func(field string, want ...string) {
		t.Helper()
		for _, body := range []Body{String(large), &sectioner{text: large}} {
			resp := severally(field, body)
			if resp.Status != 206 || resp.Get("Content-Range") != "" || resp.Get("ETag") != `"v1"` {
				t.Fatalf("%s: %d %q", field, resp.Status, resp.Get("Content-Range"))
			}
			ranges, texts := parts(t, resp)
			resp.Body.Close()
			if strings.Join(ranges, ", ") != strings.Join(want, ", ") {
				t.Errorf("%s: %q", field, ranges)
			}
			for i, text := range texts {
				r, total, ok := ParseContentRange(ranges[i])
				if !ok || total != int64(len(large)) || text != large[r.First:r.Last+1] {
					t.Errorf("%s: part %d is not its bytes", field, i)
				}
			}
		}
	}
	f("bytes=0-1,500-600", "bytes 0-1/8192", "bytes 500-600/8192")
	f("bytes=500-600,0-1", "bytes 500-600/8192", "bytes 0-1/8192") // in the order asked
	f("bytes=0-1,-5", "bytes 0-1/8192", "bytes 8187-8191/8192")
	f("bytes=0-0,8000-,4000-4001", "bytes 0-0/8192", "bytes 8000-8191/8192", "bytes 4000-4001/8192")
	f("bytes=0-1, 9000-9001, 700-701", "bytes 0-1/8192", "bytes 700-701/8192") // one of them is past the end
	// Those that overlap or lie near each other are one part.
	f("bytes=0-10,5-20,4000-4001", "bytes 0-20/8192", "bytes 4000-4001/8192")
	f("bytes=4000-4001,0-10,50-60", "bytes 4000-4001/8192", "bytes 0-60/8192")
}

// Ranges that come down to one are answered as one.
func TestRG08SeveralRangesThatAreOneAreNoMultipart(t *testing.T) {
	f := func(field, contentRange string) {
		t.Helper()
		resp := severally(field, String(large))
		if resp.Status != 206 || resp.Get("Content-Range") != contentRange || resp.Get("Content-Type") != "video/mp4" {
			t.Errorf("%s: %d %q %q", field, resp.Status, resp.Get("Content-Range"), resp.Get("Content-Type"))
		}
	}
	f("bytes=0-1,2-3", "bytes 0-3/8192")
	f("bytes=100-200,0-50", "bytes 0-200/8192")
	f("bytes=10-20,9000-", "bytes 10-20/8192")
	if resp := severally("bytes=9000-,-0", String(large)); resp.Status != 416 || resp.Get("Content-Range") != "bytes */8192" {
		t.Errorf("all past the end: %d %q", resp.Status, resp.Get("Content-Range"))
	}
}

// A set of ranges that costs more than the object gets the object.
func TestRG08AbusiveRangesGetTheWhole(t *testing.T) {
	f := func(field string, body Body, pairs ...string) {
		t.Helper()
		if resp := severally(field, body, pairs...); resp.Status != 200 || resp.Get("Content-Range") != "" || resp.Body.Len() != body.Len() {
			t.Errorf("%.60s: %d", field, resp.Status)
		}
	}
	f("bytes=0-,0-", String(large))
	f("bytes=0-8000,100-8191", String(large))
	f("bytes=0-10,5-20,7-30", String(large))
	f("bytes=0-1,0-1,4000-4001,0-1", String(large))
	f("bytes="+strings.Repeat("0-0,", 17), String(large))
	f("bytes="+strings.Repeat("0-,", 500)+"5-5", String(large))
	f("bytes=0-1,-5", String(""))
	f("bytes=0-1,400-401", String(large), "Content-Encoding", "gzip")
	f("bytes=0-1,400-401", &drainer{growing: growing{total: 8192}}) // it passes once
}

// An object that ends before a part it promised cuts the answer.
func TestAMultipartOfABodyThatIsCutIsCut(t *testing.T) {
	for _, st := range []State{Aborted, Complete} {
		g := &growing{total: 8192, p: []byte(large[:4001]), state: st}
		resp := severally("bytes=0-1,4000-4010", g)
		if _, err := ReadAll(context.Background(), resp.Body, 1<<20); resp.Status != 206 || !errors.Is(err, ErrAborted) {
			t.Errorf("%v: %d %v", st, resp.Status, err)
		}
	}
}

// sectioner is a body in the network that can begin anywhere.
type sectioner struct {
	text    string
	drained int
	open    int // sections that were not closed
}

func (s *sectioner) Len() int64                               { return int64(len(s.text)) }
func (s *sectioner) View(int64) ([]byte, State)               { panic("gathered") }
func (s *sectioner) File(int64) (uintptr, int64, int64, bool) { return 0, 0, 0, false }
func (s *sectioner) Watch(_ int64, wake func()) (stop func()) { panic("gathered") }
func (s *sectioner) Close()                                   { s.open-- }
func (s *sectioner) Drain(_ context.Context, w io.Writer) (int64, error) {
	s.drained += len(s.text)
	return io.Copy(w, strings.NewReader(s.text))
}
func (s *sectioner) Section(off, n int64) Body {
	s.open++
	return &sectioner{text: s.text[off : off+n]}
}

// Of a body that can begin anywhere nothing is brought in that was not asked for.
func TestASectionOfASectionerBeginsThere(t *testing.T) {
	s := &sectioner{text: large}
	part := Section(s, 8000, 10)
	var got bytes.Buffer
	if n, err := Copy(context.Background(), &got, part, 0); n != 10 || err != nil || got.String() != large[8000:8010] || s.drained != 0 {
		t.Errorf("%d %v, %d bytes brought in", n, err, s.drained)
	}
	got.Reset()
	if n, err := Copy(context.Background(), &got, s, 8190); n != 2 || err != nil || got.String() != large[8190:] || s.drained != 0 {
		t.Errorf("%d %v, %d bytes brought in", n, err, s.drained)
	}
}
