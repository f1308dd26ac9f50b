package web

import (
	"iter"
	"net/http"
)

// A Response is what a Handler answers.
//
// Its header has two layers so that a cached answer costs no copy: Base is
// shared by every answer made from one stored object and is never changed;
// Header holds what this answer alone says and hides fields of the same name
// in Base. Content-Length is not a field: the wire derives it from the Body.
type Response struct {
	Status int
	Base   *Header // shared, immutable; nil: none
	Header Header  // this answer's own; a field with value "" hides one of Base and is not sent
	Body   Body    // nil: none

	// MinRate is how many bytes/s its client must take on average, where that
	// is more than the wire demands of every client. Whoever stays below it
	// for long cannot use what it is sent. 0: nothing is demanded.
	MinRate int64
}

// NewResponse returns a Response with the given name, value header pairs.
func NewResponse(status int, body Body, pairs ...string) *Response {
	return &Response{Status: status, Header: NewHeader(pairs...), Body: body}
}

// Text returns a Response of plain text that no cache keeps: what errors and
// small status pages are made of.
func Text(status int, text string) *Response {
	return NewResponse(status, String(text), "Content-Type", "text/plain; charset=utf-8",
		"Cache-Control", "no-store", "X-Content-Type-Options", "nosniff")
}

// Get returns the first value of name, as the client will see it, or "".
func (r *Response) Get(name string) string {
	if r.Header.Has(name) {
		return r.Header.Get(name)
	}
	if r.Base != nil {
		return r.Base.Get(name)
	}
	return ""
}

// Fields yields the header as the client will see it: Base less what Header
// hides, then Header.
func (r *Response) Fields() iter.Seq[Field] {
	return func(yield func(Field) bool) {
		if r.Base != nil {
			for i := range r.Base.fields {
				if f := r.Base.fields[i]; !r.Header.Has(f.Name) && !yield(f) {
					return
				}
			}
		}
		for i := range r.Header.fields {
			if f := r.Header.fields[i]; f.Value != "" && !yield(f) {
				return
			}
		}
	}
}

// Flatten returns the header as the client will see it, as one new Header.
func (r *Response) Flatten() Header {
	var h Header
	if r.Base != nil {
		h.Grow(r.Base.Len() + r.Header.Len())
	}
	for f := range r.Fields() {
		h.fields = append(h.fields, f)
	}
	return h
}

// Close closes the Body if there is one. It is for whoever throws a Response away.
func (r *Response) Close() {
	if r.Body != nil {
		r.Body.Close()
	}
}

// HasBody reports whether an answer with this status to this method carries a
// payload (RFC 9110 section 6.4.1).
func HasBody(method string, status int) bool {
	return method != http.MethodHead && status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}
