package edge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"weir/cache"
	"weir/internal/web"
)

// A large object, a film, is kept as slices: what is kept under its own key is
// an answer without bytes, whose slicesField says how many there are, and which
// lives and is validated like any other. The slices lie beside it, aligned, each
// under its own key, filled once for all who want it, and for ever good: the
// entity tag in their key names the very bytes. "A cache MUST NOT combine
// partial responses that do not share a strong validator" (RFC 9111 section
// 3.4).
const (
	slicesField = "Weir-Slices" // in what is kept; taken from what comes and what goes
	sliceField  = "Weir-Slice"  // of a question between edges: it wants one slice
)

// defaultSlice is the size of a slice in bytes.
const defaultSlice = 4 << 20

// defaultSliceHeld is how many slices viewers may hold, by default.
const defaultSliceHeld = 32

// maxSlice bounds the slice that a peer may ask for, in bytes.
const maxSlice = 1 << 30

func (o *Options) sliceDefaults() error {
	if o.Slice == 0 {
		o.Slice = defaultSlice
	}
	if o.SliceHeld == 0 {
		o.SliceHeld = defaultSliceHeld * o.Slice
	}
	if o.SliceOver < 0 || o.SliceHeld < 0 || o.Slice < 0 || o.Slice > maxSlice {
		return fmt.Errorf("edge: SliceOver and SliceHeld must not be negative, and Slice be between 0 and %d", maxSlice)
	}
	return nil
}

var (
	errChanged  = errors.New("upstream has another version of the object now")
	errNoRanges = errors.New("upstream knows no ranges of the object")
)

// An object is what is known of one that is kept in slices.
type object struct {
	q      question // for the whole
	tag    string   // strong
	total  int64    // bytes
	noPeer bool     // a peer asks for the slice: it is fetched from the origins only
}

// part returns the slice that the byte at is in.
func (o *object) part(at, size int64) part {
	first := at - at%size
	return part{tag: o.tag, first: first, last: min(first+size, o.total) - 1, total: o.total}
}

// key is what a slice is kept under. There are two more keyMarks in it than in
// the key of an object, so that no object has it. The length tells apart the
// codings of one representation where an origin gives both the same tag.
func (o *object) key(p part) string { return o.q.key + keyMark + p.tag + keyMark + p.field() }

// sliceFill returns the fill of one slice, and the question it answers. The
// slices of one object belong to different edges; the first goes with the head,
// since whoever asked for that got it along. Who asks for a slice may wait for
// its owner whoever waits for him: the owner waits for no peer in turn.
func (e *Edge) sliceFill(o *object, p part) (cache.Query, *fill) {
	key := o.key(p)
	f := &fill{e: e, q: o.q, slice: &p}
	f.q.class = cache.Other
	if p.first > 0 {
		f.q.key = key
	}
	f.noPeer = o.noPeer || e.owns(f.q.key)
	return cache.Query{Key: key, Header: o.q.header, Class: cache.Other, Recorded: true, NoPeer: f.noPeer}, f
}

// is reports whether resp is the 206 with just this part of this version.
func (p *part) is(resp *web.Response) bool {
	r, total, ok := web.ParseContentRange(resp.Get("Content-Range"))
	return ok && resp.Status == http.StatusPartialContent && resp.Body != nil && r == (web.Range{First: p.first, Last: p.last}) && total == p.total &&
		resp.Get("ETag") == p.tag && (resp.Body.Len() < 0 || resp.Body.Len() == p.length())
}

// sliced makes of upstream's whole answer what is kept of an object in slices,
// if it is one. The body becomes the first slice; the rest of it is given up.
func (f *fill) sliced(resp *web.Response) *web.Response {
	if resp == nil {
		return nil
	}
	if !f.sliceable(resp) {
		return resp
	}
	o := &object{q: f.q, tag: resp.Get("ETag"), total: resp.Body.Len()}
	f.e.keepFirst(o, resp.Body)
	resp.Body = web.Bytes(nil)
	resp.Header.Set(slicesField, strconv.FormatInt(o.total, 10))
	return resp
}

// sliceable reports whether an answer is to be kept in slices: it is large,
// may be kept, and ranges of this very version can be asked for.
func (f *fill) sliceable(resp *web.Response) bool {
	o := &f.e.opts
	if o.SliceOver == 0 || resp.Status != http.StatusOK || resp.Body == nil || resp.Body.Len() <= max(o.SliceOver, o.Slice) ||
		f.q.class == cache.Playlist || f.q.blocking || isPlaylist(resp.Get("Content-Type")) {
		return false
	}
	tag := resp.Get("ETag")
	if !strings.HasPrefix(tag, `"`) || f.e.whole.has(f.q.key+keyMark+tag) {
		return false
	}
	h := resp.Flatten()
	if listed(h.Joined("Accept-Ranges"), "none") || listed(h.Joined("Vary"), "*") {
		return false
	}
	now := time.Now()
	req := web.Request{Method: http.MethodGet, Header: *f.q.header}
	return web.Judge(&req, resp, now, now).Store
}

// keepFirst keeps the first slice of an object out of the body of the whole,
// which it takes over.
func (e *Edge) keepFirst(o *object, body web.Body) {
	p := o.part(0, e.opts.Slice)
	cq, f := e.sliceFill(o, p)
	var taken atomic.Bool
	e.cache.Ask(cq, func(ctx context.Context, prior *cache.Object) (*web.Response, error) {
		if taken.Swap(true) {
			return f.runSlice(ctx, prior)
		}
		return p.answer(web.Section(body, 0, p.length())), nil
	}, func(got *cache.Object, _ cache.Outcome, _ error) {
		if got != nil {
			got.Release()
		}
		if !taken.Swap(true) {
			body.Close() // it was there already
		}
	})
}

// answer is what is kept of a slice. It does not go stale: whether the object
// is still that version is found out about the whole.
func (p *part) answer(body web.Body) *web.Response {
	return web.NewResponse(http.StatusOK, body, "ETag", p.tag, "Cache-Control", "max-age=31536000, immutable")
}

// drop forgets what is kept of an object that upstream has no more in this
// version, so that the next who asks gets it as it is now.
func (e *Edge) drop(o *object) {
	cq := o.q.lookup()
	if now, ok := e.cache.Lookup(cq); ok {
		same := now.ETag() == o.tag
		now.Release()
		if !same {
			return // it is known already
		}
	}
	e.cache.Invalidate(o.q.key)
}
