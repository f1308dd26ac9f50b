package web

import (
	"iter"
	"slices"
	"strings"
)

// A Field is one header line.
type Field struct{ Name, Value string }

// A Header is a list of fields in the order they were added. Names compare
// without regard to case (RFC 9110 section 5.1). The zero Header is empty and
// ready to use. It is meant for the few dozen fields of an HTTP message, which
// a linear search finds faster than a map does.
type Header struct{ fields []Field }

// NewHeader returns a Header of the given name, value pairs.
func NewHeader(pairs ...string) Header {
	if len(pairs)%2 != 0 {
		panic("BUG: web.NewHeader: odd number of strings")
	}
	h := Header{fields: make([]Field, 0, len(pairs)/2)}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

// index returns the place of the first field called name, or -1.
func (h *Header) index(name string) int {
	for i := range h.fields {
		if equalFold(h.fields[i].Name, name) {
			return i
		}
	}
	return -1
}

// Get returns the value of the first field called name, or "".
func (h *Header) Get(name string) string {
	if i := h.index(name); i >= 0 {
		return h.fields[i].Value
	}
	return ""
}

// Has reports whether there is a field called name.
func (h *Header) Has(name string) bool { return h.index(name) >= 0 }

// Values yields the values of all fields called name, in order.
func (h *Header) Values(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range h.fields {
			if equalFold(h.fields[i].Name, name) && !yield(h.fields[i].Value) {
				return
			}
		}
	}
}

// Joined returns all values of name as one comma-separated list, which is what
// several lines of one name mean (RFC 9110 section 5.3).
func (h *Header) Joined(name string) string {
	first, n := "", 0
	var b strings.Builder
	for v := range h.Values(name) {
		switch n++; n {
		case 1:
			first = v
			continue
		case 2:
			b.WriteString(first)
		}
		b.WriteString(", ")
		b.WriteString(v)
	}
	if n < 2 {
		return first
	}
	return b.String()
}

// Add appends a field.
func (h *Header) Add(name, value string) {
	if h.fields == nil {
		h.fields = make([]Field, 0, 4) // an answer's own fields are seldom fewer: one allocation instead of three
	}
	h.fields = append(h.fields, Field{name, value})
}

// Set makes value the only value of name, keeping the place of the first.
func (h *Header) Set(name, value string) {
	for i := range h.fields {
		if equalFold(h.fields[i].Name, name) {
			h.fields[i].Value = value
			h.fields = append(h.fields[:i+1], slices.DeleteFunc(h.fields[i+1:], func(f Field) bool {
				return equalFold(f.Name, name)
			})...)
			return
		}
	}
	h.Add(name, value)
}

// Del removes every field called name.
func (h *Header) Del(name string) {
	h.fields = slices.DeleteFunc(h.fields, func(f Field) bool { return equalFold(f.Name, name) })
}

// Len returns how many fields there are.
func (h *Header) Len() int { return len(h.fields) }

// All yields every field in order.
func (h *Header) All() iter.Seq[Field] { return slices.Values(h.fields) }

// Bytes returns the size of the fields as header lines, in bytes.
func (h *Header) Bytes() int {
	n := 0
	for _, f := range h.fields {
		n += len(f.Name) + len(f.Value) + len(": \r\n")
	}
	return n
}

// Clone returns an independent copy with room for a few more fields.
func (h *Header) Clone() Header {
	c := make([]Field, len(h.fields), len(h.fields)+4)
	copy(c, h.fields)
	return Header{c}
}

// Grow makes room for n more fields.
func (h *Header) Grow(n int) { h.fields = slices.Grow(h.fields, n) }

// equalFold is strings.EqualFold for header names: equal strings and unequal
// lengths, by far the most frequent cases, are decided at once.
func equalFold(a, b string) bool { return len(a) == len(b) && (a == b || strings.EqualFold(a, b)) }
