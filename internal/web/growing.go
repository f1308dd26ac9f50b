package web

import (
	"context"
	"math"
	"net/http"
	"time"
)

// Growing is Select for bodies that may still be growing and do not say yet how
// long they will be. A range with both ends waits until its last byte is there,
// any other until the body is whole. After Patience, or when ctx is done, the
// answer is the whole, as it grows.
//
// A range from the first byte on, "bytes=0-", waits for nothing: the whole is
// what it asks for, and players that ask so for everything (FFmpeg does) would
// get each live segment when it is over instead of as it comes.
type Growing struct {
	Patience time.Duration

	// Follow answers a range up to [OpenEnd] at once and follows the body to
	// its end, with that position in Content-Range (RFC 8673 section 2): for
	// clients that know what that means.
	Follow bool
}

// Select answers req out of resp as [Select] does.
func (g Growing) Select(ctx context.Context, req *Request, resp *Response) *Response {
	resp, ranges := choose(req, resp)
	if ranges == nil {
		return resp
	}
	if resp.Body.Len() < 0 {
		if _, ok := resp.Body.(Drainer); ok {
			return resp // to wait would be to gather it
		}
		if len(ranges) == 1 && ranges[0].First == 0 && (ranges[0].Last < 0 || ranges[0].Last >= OpenEnd) && !g.Follow {
			return resp
		}
		if g.await(ctx, resp.Body, ranges) {
			return follow(resp, ranges[0].First)
		}
	}
	return selectRanges(ranges, resp)
}

// await waits for what the ranges need, and reports whether the first of them
// is to be followed instead.
func (g Growing) await(ctx context.Context, b Body, ranges []Range) bool {
	ctx, cancel := context.WithTimeout(ctx, g.Patience)
	defer cancel()
	r := ranges[0]
	if open := g.Follow && len(ranges) == 1 && r.First >= 0 && r.Last == OpenEnd; open {
		_, _, _ = Await(ctx, b, r.First) // the error is that there is nothing yet
		return b.Len() < 0
	}
	need := r.Last
	if len(ranges) > 1 || r.First < 0 || r.Last < 0 || r.Last >= OpenEnd {
		need = math.MaxInt64
	}
	_, _, _ = Await(ctx, b, need)
	return false
}

// follow answers with all that comes from off on, however much that will be.
func follow(resp *Response, off int64) *Response {
	resp.Status = http.StatusPartialContent
	resp.Header.Set("Content-Range", ContentRange(off, OpenEnd, -1))
	resp.Body = &tail{resp.Body, off}
	return resp
}

// tail is what comes of a growing body from off on.
type tail struct {
	Body
	off int64
}

// Len implements [Body].
func (t *tail) Len() int64 {
	if n := t.Body.Len(); n >= 0 {
		return max(0, n-t.off)
	}
	return -1
}

// View implements [Body]. A body that ends before the tail began is aborted:
// the tail was promised at least one byte.
func (t *tail) View(off int64) ([]byte, State) {
	p, st := t.Body.View(t.off + off)
	if len(p) == 0 && st == Complete && t.Body.Len() <= t.off {
		st = Aborted
	}
	return p, st
}

// File implements [Body].
func (t *tail) File(off int64) (fd uintptr, pos, n int64, ok bool) { return t.Body.File(t.off + off) }

// Watch implements [Body].
func (t *tail) Watch(off int64, wake func()) (stop func()) { return t.Body.Watch(t.off+off, wake) }

// Err returns why the body was aborted.
func (t *tail) Err() error { return AbortReason(t.Body) }
