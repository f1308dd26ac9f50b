package cache

import (
	"encoding/binary"
	"slices"
	"time"

	"weir/internal/web"
)

// What the disk is told of an object, so that a restart changes nothing about
// it: when it came by the wall clock, how old it was then, for how long it is
// good, and which requests it answers.
const metaForm = 1

// Flags of an object on disk.
const (
	metaMustRevalidate = 1 << iota
	metaNoCache
)

// appendMeta appends an object's head and variant.
func appendMeta(dst []byte, h *head, g group, vary []string, variant string) []byte {
	flags := byte(0)
	if h.mustRevalidate {
		flags |= metaMustRevalidate
	}
	if h.noCache {
		flags |= metaNoCache
	}
	dst = append(dst, metaForm, flags, byte(g))
	dst = binary.AppendUvarint(dst, uint64(h.status))
	for _, n := range [...]int64{h.born.UnixNano(), int64(h.lifetime), int64(h.whileRevalidate), int64(h.ifError)} {
		dst = binary.AppendVarint(dst, n)
	}
	dst = binary.AppendUvarint(dst, uint64(len(vary)))
	for _, name := range vary {
		dst = appendText(dst, name)
	}
	dst = appendText(dst, variant)
	all := h.fields()
	dst = binary.AppendUvarint(dst, uint64(all.Len()))
	for f := range all.All() {
		dst = appendText(appendText(dst, f.Name), f.Value)
	}
	return dst
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// meta is what was read back.
type meta struct {
	*head   // without its header
	header  web.Header
	group   group
	vary    []string
	variant string
}

// answers reports whether a request with header h gets this (RFC 9111 section
// 4.1).
func (m *meta) answers(h *web.Header) bool {
	return len(m.vary) == 0 || string(appendVariant(nil, m.vary, h)) == m.variant
}

// parseMeta reads what appendMeta wrote. What comes after a restart has been
// stored somewhere: it has an age for everybody.
func parseMeta(p []byte) (meta, bool) {
	r := metaReader{p: p}
	form, flags, g := r.byte(), r.byte(), r.byte()
	m := meta{head: &head{hasAge: true, mustRevalidate: flags&metaMustRevalidate != 0, noCache: flags&metaNoCache != 0}, group: group(g)}
	m.status = uint16(r.uint(999))
	m.born = time.Unix(0, r.int())
	for _, d := range [...]*time.Duration{&m.lifetime, &m.whileRevalidate, &m.ifError} {
		*d = time.Duration(r.int())
		r.bad = r.bad || *d < 0
	}
	for range r.uint(maxVary) {
		m.vary = append(m.vary, r.text())
	}
	m.variant = r.text()
	n := r.uint(uint64(len(p)))
	m.header.Grow(int(min(n, 64)))
	for range n {
		if name, value := r.text(), r.text(); !r.bad {
			m.header.Add(name, value)
		}
	}
	ok := !r.bad && len(r.p) == 0 && form == metaForm && m.group < groups && m.status >= 100 && slices.IsSorted(m.vary)
	return m, ok
}

// headOf returns the head that was read back.
func (c *Cache) headOf(m meta) *head {
	m.form, m.values = c.words.take(&m.header)
	return m.head
}

// A metaReader reads, and remembers that it could not.
type metaReader struct {
	p   []byte
	bad bool
}

func (r *metaReader) skip(n int) {
	if n <= 0 {
		r.bad, r.p = true, nil
		return
	}
	r.p = r.p[n:]
}

func (r *metaReader) byte() byte {
	if len(r.p) == 0 {
		r.bad = true
		return 0
	}
	b := r.p[0]
	r.p = r.p[1:]
	return b
}

func (r *metaReader) uint(most uint64) uint64 {
	v, n := binary.Uvarint(r.p)
	r.skip(n)
	if v > most || r.bad {
		r.bad = true
		return 0
	}
	return v
}

func (r *metaReader) int() int64 {
	v, n := binary.Varint(r.p)
	r.skip(n)
	return v
}

func (r *metaReader) text() string {
	n := r.uint(uint64(len(r.p)))
	if r.bad || n > uint64(len(r.p)) {
		r.bad = true
		return ""
	}
	s := string(r.p[:n])
	r.p = r.p[n:]
	return s
}
