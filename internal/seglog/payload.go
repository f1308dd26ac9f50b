package seglog

import (
	"encoding/binary"
	"maps"
	"slices"
	"time"
)

func appendString[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// appendPublish appends the payload of a publish record.
func appendPublish(b []byte, state map[string][]byte, entries []numbered) []byte {
	b = binary.AppendUvarint(b, uint64(len(state)))
	for _, name := range slices.Sorted(maps.Keys(state)) {
		b = appendString(b, name)
		b = appendString(b, state[name])
	}
	b = binary.AppendUvarint(b, uint64(len(entries)))
	for i := range entries {
		b = appendEntry(b, &entries[i])
	}
	return b
}

func appendEntry(b []byte, e *numbered) []byte {
	b = binary.AppendUvarint(b, e.seq)
	b = appendString(b, e.Stream)
	b = binary.AppendUvarint(b, e.Number)
	b = binary.AppendVarint(b, e.Date.Unix())
	b = binary.AppendUvarint(b, uint64(e.Date.Nanosecond()))
	b = binary.AppendVarint(b, int64(e.Duration))
	b = appendString(b, e.Blob)
	b = appendString(b, e.Meta)
	if e.Promised {
		return append(b, 1)
	}
	return append(b, 0)
}

func appendBody(b []byte, k Key, size int64) []byte {
	b = appendString(b, k.Stream)
	b = binary.AppendUvarint(b, k.Number)
	return binary.AppendUvarint(b, uint64(size))
}

func appendWhole(b []byte, bodyOff int64, sum uint32) []byte {
	return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint64(b, uint64(bodyOff)), sum)
}

// A decoder takes values off the front of bytes from anywhere. Beyond the first
// that is not there it returns zeros, and bad is true.
type decoder struct {
	p     []byte
	bad   bool
	names map[string]string // one string for each name, however often it comes
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.p)
	return took(d, v, n)
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.p)
	return took(d, v, n)
}

func took[T any](d *decoder, v T, n int) (zero T) {
	if n <= 0 {
		d.bad, d.p = true, nil
		return zero
	}
	d.p = d.p[n:]
	return v
}

// take returns the next n bytes, not a copy.
func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.p)) {
		d.bad, d.p = true, nil
		return nil
	}
	p := d.p[:n:n]
	d.p = d.p[n:]
	return p
}

// bytes returns a copy of the next string, at most limit bytes; nil if it is empty.
func (d *decoder) bytes(limit uint64) []byte {
	n := d.uvarint()
	if n > limit {
		d.bad, d.p = true, nil
	}
	return append([]byte(nil), d.take(n)...)
}

func (d *decoder) name() string {
	n := d.uvarint()
	if n > MaxName {
		d.bad, d.p = true, nil
		return ""
	}
	p := d.take(n)
	if s, ok := d.names[string(p)]; ok {
		return s
	}
	s := string(p)
	if d.names != nil && len(d.names) < 10_000 {
		d.names[s] = s
	}
	return s
}

// count returns a number of things that take at least each bytes.
func (d *decoder) count(each int) int {
	n := d.uvarint()
	if n > uint64(len(d.p)/each) {
		d.bad, d.p = true, nil
		return 0
	}
	return int(n)
}

func (d *decoder) uint32() uint32 {
	p := d.take(4)
	if p == nil {
		return 0
	}
	return binary.LittleEndian.Uint32(p)
}

// done reports whether all was there, and no more.
func (d *decoder) done() bool { return !d.bad && len(d.p) == 0 }

func (d *decoder) publish() (state map[string][]byte, entries []numbered) {
	n := d.count(2)
	state = make(map[string][]byte, n)
	for range n {
		name := d.name()
		state[name] = d.bytes(MaxState)
	}
	n = d.count(9)
	entries = make([]numbered, 0, n)
	for range n {
		entries = append(entries, d.entry())
	}
	return state, entries
}

func (d *decoder) entry() (e numbered) {
	if e.seq = d.uvarint(); e.seq > 1<<62 { // there is always a next one
		d.bad = true
	}
	e.Stream, e.Number = d.name(), d.uvarint()
	sec, nsec := d.varint(), d.uvarint()
	e.Date = time.Unix(sec, int64(min(nsec, 999_999_999))).UTC()
	e.Duration = time.Duration(d.varint())
	e.Blob, e.Meta = d.name(), d.bytes(MaxMeta)
	flags := d.take(1)
	e.Promised = len(flags) == 1 && flags[0]&1 != 0
	return e
}

func (d *decoder) body() (k Key, size int64) {
	k = Key{d.name(), d.uvarint()}
	n := d.uvarint()
	if n > 1<<62 {
		d.bad = true
		return k, 0
	}
	return k, int64(n)
}
