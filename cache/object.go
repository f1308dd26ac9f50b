package cache

import (
	"strconv"
	"sync/atomic"
	"time"

	"weir/internal/spool"
	"weir/internal/web"
)

// A head is what an answer says, and what may be done with it. It never changes.
type head struct {
	status   int
	header   web.Header // as stored (RFC 9111 section 3.1)
	hasAge   bool       // upstream's answer had been stored somewhere on its way
	received time.Time

	initialAge, lifetime     time.Duration
	whileRevalidate, ifError time.Duration // beyond lifetime
	mustRevalidate, noCache  bool
}

// An Object is one answer: a head that does not change, and a body that may
// still be arriving. Whoever is given an Object releases it exactly once, and
// does not use it afterwards; Responses made of it live on.
type Object struct {
	*head
	body   *blob    // nil: passed through
	raw    web.Body // passed through: upstream's own body, for one Response
	given  atomic.Bool
	filled bool // for those who asked before the answer came: it has no age for them
	key    string
	tags   *string // of a Fill's prior: entity tags to ask with
}

// Status returns the answer's status code.
func (o *Object) Status() int { return o.status }

// Header returns the stored header. It is shared and must not be changed.
func (o *Object) Header() *web.Header { return &o.header }

// ETag returns the answer's entity tag, or "".
func (o *Object) ETag() string { return o.header.Get("ETag") }

// Len returns the length of the body in bytes, or -1 while it is not known.
func (o *Object) Len() int64 {
	if o.body == nil {
		return o.raw.Len()
	}
	return o.body.Len()
}

// Age returns how old the answer is (RFC 9111 section 4.2.3).
func (o *Object) Age(now time.Time) time.Duration { return o.initialAge + max(0, now.Sub(o.received)) }

// TTL returns how long the answer stays fresh; less than 0 is how long it has
// been stale.
func (o *Object) TTL(now time.Time) time.Duration { return o.lifetime - o.Age(now) }

// Filling reports whether the body is still arriving.
func (o *Object) Filling() bool { return o.body != nil && o.body.State() == web.Open }

// Passed reports whether the answer belongs to its asker alone.
func (o *Object) Passed() bool { return o.body == nil }

// Response returns the answer with a reference of its own on the body. Whoever
// gets an answer that was stored is told its Age, whoever waited for it to be
// made is not, unless upstream said one: "The presence of an Age header field
// implies that the response was not generated or validated by the origin
// server for this request" (RFC 9111 section 5.1), and players that tune in
// by Age would ask again and again. An object that was passed through can be
// answered from once.
func (o *Object) Response(now time.Time) *web.Response {
	r := &web.Response{Status: o.status, Base: &o.header}
	if o.body == nil {
		if o.given.Swap(true) {
			panic("BUG: cache: second Response of an object that was passed through")
		}
		r.Body = o.raw
		return r
	}
	o.body.ref()
	r.Body = o.body
	if !o.filled || o.hasAge {
		r.Header.Set("Age", strconv.FormatInt(int64(o.Age(now)/time.Second), 10))
	}
	return r
}

// Release gives the caller's reference back.
func (o *Object) Release() {
	switch {
	case o.body != nil:
		o.body.Close()
	case !o.given.Swap(true) && o.raw != nil:
		o.raw.Close()
	}
}

// fresh reports whether the answer may be used without asking upstream.
func (o *Object) fresh(now time.Time) bool {
	return !o.noCache && o.Age(now) < o.lifetime && o.body.State() != web.Aborted
}

// staleFor reports whether the answer may be used for the given time beyond
// its lifetime (RFC 9111 section 4.2.4).
func (o *Object) staleFor(now time.Time, extra time.Duration) bool {
	return !o.noCache && !o.mustRevalidate && o.body.State() != web.Aborted && o.Age(now) < o.lifetime+extra
}

// hasValidator reports whether a fill can ask whether the answer is still good.
func (o *Object) hasValidator() bool {
	return o.body.State() != web.Aborted && (o.header.Has("ETag") || o.header.Has("Last-Modified"))
}

// A blob is the body of stored answers, charged to the budget until the last
// reader is done with it. It is a [web.Body].
type blob struct {
	*spool.Buffer
	budget  *budget
	refs    spool.Refs
	charged atomic.Int64           // bytes of the budget; changed by the flight that fills it
	filling atomic.Pointer[flight] // whom to tell when somebody lets go; nil: nobody
}

// ref takes one more reference for somebody who holds one, or holds the lock
// under which the store does: the count is never 0 here.
func (b *blob) ref() { b.refs.Add(1) }

func (b *blob) refN(n int) { b.refs.Add(n) }

// TryRef takes one more reference unless the last is gone.
func (b *blob) TryRef() bool { return b.refs.Try() }

// Close gives one reference back. With the last one go first the bytes, then
// their charge: the budget never shows less than there is.
func (b *blob) Close() {
	if b.refs.Drop() {
		b.Buffer.Close()
		b.budget.give(b.charged.Swap(0))
	} else if f := b.filling.Load(); f != nil {
		f.left(b)
	}
}

// idle reports whether nobody but the store holds the bytes.
func (b *blob) idle() bool { return b.refs.Count() == 1 }
