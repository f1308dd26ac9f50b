package web

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// upload is a body that a test writes to while others read.
type upload struct {
	mu    sync.Mutex
	g     growing
	wakes []func()
}

func (u *upload) Len() int64 { u.mu.Lock(); defer u.mu.Unlock(); return u.g.Len() }
func (u *upload) View(off int64) ([]byte, State) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.g.View(off)
}
func (u *upload) File(int64) (uintptr, int64, int64, bool) { return 0, 0, 0, false }
func (u *upload) Watch(off int64, wake func()) func() {
	u.mu.Lock()
	defer u.mu.Unlock()
	var check func()
	check = func() {
		if p, st := u.g.View(off); len(p) > 0 || st != Open {
			wake()
		} else {
			u.wakes = append(u.wakes, check)
		}
	}
	check()
	return func() {}
}
func (u *upload) Close()     {}
func (u *upload) Err() error { return nil }

func (u *upload) put(text string, st State) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.g.p = append(u.g.p, text...)
	if u.g.state = st; st == Complete {
		u.g.total = int64(len(u.g.p))
	}
	wakes := u.wakes
	u.wakes = nil
	for _, w := range wakes {
		w()
	}
}

// arriving is a body of ten bytes that come one a second, and then end as st.
func arriving(st State) *upload {
	u := &upload{g: growing{total: -1}}
	go func() {
		for i := range 10 {
			time.Sleep(time.Second)
			u.put(string(rune('0'+i)), Open)
		}
		u.put("", st)
	}()
	return u
}

// Players ask for ranges of a segment that is still being made: parts of
// Low-Latency HLS, and what FFmpeg and Safari ask for at once.
func TestARangeOfAGrowingBodyWaitsForItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := func(g Growing, end State, field string, after time.Duration, status int, contentRange, want string) {
			t.Helper()
			start := time.Now()
			resp := g.Select(context.Background(), &Request{Method: "GET", Header: NewHeader("Range", field)}, NewResponse(200, arriving(end)))
			if d := time.Since(start); d != after || resp.Status != status || resp.Get("Content-Range") != contentRange {
				t.Errorf("%s: after %v %d %q", field, d, resp.Status, resp.Get("Content-Range"))
			}
			if n := resp.Body.Len(); n >= 0 && n != int64(len(want)) {
				t.Errorf("%s: %d bytes announced", field, n)
			}
			p, err := ReadAll(context.Background(), resp.Body, 100)
			if string(p) != want || (err == nil) != (end == Complete) && status != 206 {
				t.Errorf("%s: %q %v", field, p, err)
			}
			time.Sleep(time.Minute)
		}
		g := Growing{Patience: 20 * time.Second}
		f(g, Complete, "bytes=2-4", 5*time.Second, 206, "bytes 2-4/*", "234")
		f(g, Complete, "bytes=7-9", 10*time.Second, 206, "bytes 7-9/10", "789")
		f(g, Complete, "bytes=7-20", 10*time.Second, 206, "bytes 7-9/10", "789")
		f(g, Complete, "bytes=7-", 10*time.Second, 206, "bytes 7-9/10", "789")
		f(g, Complete, "bytes=-2", 10*time.Second, 206, "bytes 8-9/10", "89")
		f(g, Complete, "bytes=3-9007199254740991", 10*time.Second, 206, "bytes 3-9/10", "3456789")
		f(g, Complete, "bytes=0-", 0, 200, "", "0123456789")
		f(g, Complete, "bytes=0-9007199254740991", 0, 200, "", "0123456789")
		// It is bounded: then the whole comes as it grows.
		g.Patience = 3 * time.Second
		f(g, Complete, "bytes=2-4", 3*time.Second, 200, "", "0123456789")
		f(g, Complete, "bytes=-1", 3*time.Second, 200, "", "0123456789")
		f(g, Complete, "bytes=0-1", 2*time.Second, 206, "bytes 0-1/*", "01")
		// Cut before its end, it has no end that a range could have.
		g.Patience = 20 * time.Second
		f(g, Aborted, "bytes=7-", 10*time.Second, 200, "", "0123456789")
		f(g, Aborted, "bytes=7-20", 10*time.Second, 200, "", "0123456789")
		f(g, Aborted, "bytes=2-4", 5*time.Second, 206, "bytes 2-4/*", "234")
	})
}

func TestARangePastTheEndOfAGrowingBodyIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, field := range []string{"bytes=10-", "bytes=12-13", "bytes=-0"} {
			resp := Growing{Patience: time.Minute}.Select(context.Background(), &Request{Method: "GET", Header: NewHeader("Range", field)}, NewResponse(200, arriving(Complete)))
			if resp.Status != 416 || resp.Get("Content-Range") != "bytes */10" {
				t.Errorf("%s: %d %q", field, resp.Status, resp.Get("Content-Range"))
			}
		}
	})
}

// A viewer who leaves ends the wait.
func TestAWaitForARangeEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		start := time.Now()
		Growing{Patience: time.Minute}.Select(ctx, &Request{Method: "GET", Header: NewHeader("Range", "bytes=5-")}, NewResponse(200, &upload{g: growing{total: -1}}))
		if d := time.Since(start); d != time.Second {
			t.Errorf("after %v", d)
		}
	})
}

// Between weir's nodes a body that was cut goes on elsewhere while it grows
// there: the rest begins at once, and ends where the body ends (RFC 8673).
func TestAnOpenEndedRangeFollowsAGrowingBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := Growing{Patience: 3 * time.Second, Follow: true}
		f := func(end State, field string, after time.Duration, contentRange, want string) {
			t.Helper()
			start := time.Now()
			resp := g.Select(context.Background(), &Request{Method: "GET", Header: NewHeader("Range", field)}, NewResponse(200, arriving(end)))
			if d := time.Since(start); d != after || resp.Status != 206 || resp.Get("Content-Range") != contentRange {
				t.Errorf("%s: after %v %d %q", field, d, resp.Status, resp.Get("Content-Range"))
			}
			p, err := ReadAll(context.Background(), resp.Body, 100)
			if string(p) != want || (err == nil) != (end == Complete) || err != nil && !errors.Is(err, ErrAborted) {
				t.Errorf("%s: %q %v", field, p, err)
			}
		}
		f(Complete, "bytes=0-9007199254740991", time.Second, "bytes 0-9007199254740991/*", "0123456789")
		f(Complete, "bytes=2-9007199254740991", 3*time.Second, "bytes 2-9007199254740991/*", "23456789")
		f(Complete, "bytes=6-9007199254740991", 3*time.Second, "bytes 6-9007199254740991/*", "6789") // not there yet
		f(Aborted, "bytes=2-9007199254740991", 3*time.Second, "bytes 2-9007199254740991/*", "23456789")

		resp := g.Select(context.Background(), &Request{Method: "GET", Header: NewHeader("Range", "bytes=12-9007199254740991")}, NewResponse(200, arriving(Complete)))
		if _, err := ReadAll(context.Background(), resp.Body, 100); !errors.Is(err, ErrAborted) {
			t.Errorf("a body that ended before the range began ends well: %v", err)
		}
		resp = g.Select(context.Background(), &Request{Method: "GET", Header: NewHeader("Range", "bytes=2-9007199254740991")}, NewResponse(200, String("0123")))
		if resp.Get("Content-Range") != "bytes 2-3/4" {
			t.Errorf("of a whole body: %q", resp.Get("Content-Range"))
		}
	})
}

func FuzzSelect(f *testing.F) {
	for _, field := range []string{"bytes=0-1", "bytes=0-1,5-6", "bytes=-5,0-", "bytes=9-9007199254740991", "bytes=99999999999999999999-"} {
		f.Add(field, `"v1"`, uint8(20), uint8(10), uint8(0))
		f.Add(field, "", uint8(20), uint8(20), uint8(7))
	}
	f.Fuzz(func(t *testing.T, field, ifRange string, size, there, mode uint8) {
		there = min(there, size)
		text := large[100 : 100+int(size)]
		var body Body = &growing{total: -1, p: []byte(text[:there])}
		g := body.(*growing)
		if mode&1 != 0 {
			g.total = int64(size)
		}
		if there == size {
			g.state, g.total = Complete, int64(size)
		} else if mode&2 != 0 {
			g.state = Aborted
		}
		if mode&4 != 0 {
			body = &sectioner{text: text}
			g = &growing{p: []byte(text), total: int64(size), state: Complete}
		}
		req := &Request{Method: "GET", Header: NewHeader("Range", field)}
		if ifRange != "" {
			req.Header.Add("If-Range", ifRange)
		}
		resp := NewResponse(200, body, "Content-Type", "video/mp4", "ETag", `"v1"`)
		if mode&8 != 0 {
			resp = Growing{Patience: time.Nanosecond, Follow: mode&16 != 0}.Select(context.Background(), req, resp)
		} else {
			resp = Select(req, resp)
		}
		switch resp.Status {
		case 200:
			if resp.Body.Len() != body.Len() || resp.Get("Content-Range") != "" {
				t.Fatalf("a whole that is none: %d %q", resp.Body.Len(), resp.Get("Content-Range"))
			}
		case 416:
			if g.total < 0 {
				t.Fatal("416 of what has no end")
			}
		case 206:
			checkPartial(t, resp, text, g.state)
		default:
			t.Fatal(resp.Status)
		}
	})
}

// checkPartial holds a 206 to the bytes that it claims.
func checkPartial(t *testing.T, resp *Response, text string, st State) {
	if strings.HasPrefix(resp.Get("Content-Type"), "multipart/") {
		if resp.Get("Content-Range") != "" {
			t.Fatal("a multipart with a Content-Range")
		}
		if st == Complete {
			ranges, texts := parts(t, resp)
			if len(ranges) < 2 || len(ranges) > 16 {
				t.Fatalf("%d parts", len(ranges))
			}
			for i := range ranges {
				if r, total, ok := ParseContentRange(ranges[i]); !ok || total != int64(len(text)) || texts[i] != text[r.First:r.Last+1] {
					t.Fatalf("part %q is %q", ranges[i], texts[i])
				}
			}
		}
		return
	}
	r, total, ok := ParseContentRange(resp.Get("Content-Range"))
	if !ok || total >= 0 && total != int64(len(text)) {
		t.Fatalf("%q of %d bytes", resp.Get("Content-Range"), len(text))
	}
	if n := resp.Body.Len(); r.Last != OpenEnd && n != r.Last-r.First+1 {
		t.Fatalf("%q has %d bytes", resp.Get("Content-Range"), n)
	}
	if d, ok := resp.Body.(Drainer); ok {
		var got strings.Builder
		if _, err := d.Drain(context.Background(), &got); err != nil || got.String() != text[r.First:r.Last+1] {
			t.Fatalf("%q is %q", resp.Get("Content-Range"), got.String())
		}
		return
	}
	for off := int64(0); ; {
		p, _ := resp.Body.View(off)
		if len(p) == 0 {
			if st == Complete && r.Last != OpenEnd && off != resp.Body.Len() {
				t.Fatalf("%q ends at %d", resp.Get("Content-Range"), off)
			}
			return
		}
		if string(p) != text[r.First+off:][:len(p)] {
			t.Fatalf("%q has other bytes", resp.Get("Content-Range"))
		}
		off += int64(len(p))
	}
}
