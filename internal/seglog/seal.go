package seglog

import "encoding/binary"

// The seal at the end of a file repeats what all its records say, so that a day
// of files is recovered by one read of each, whatever lies between. It is written
// after all it speaks of is durable. Its last eight bytes say where it begins.

// appendBlobItem is what the seal says of a blob in place of its bytes.
func appendBlobItem(b []byte, name string, size int, sum uint32) []byte {
	b = appendString(b, name)
	b = binary.AppendUvarint(b, uint64(size))
	return binary.LittleEndian.AppendUint32(b, sum)
}

// appendItem appends an item to the index of a seal.
func appendItem(b []byte, it item) []byte {
	b = append(b, byte(it.kind), it.flags)
	b = binary.AppendUvarint(b, uint64(it.off))
	b = appendString(b, it.payload)
	if it.kind == body {
		b = binary.LittleEndian.AppendUint32(b, it.ref.Sum)
	}
	return b
}

// item is the reverse of appendItem. end is where the records end.
func (d *decoder) item(id uint64, end int64) (it item) {
	head := d.take(2)
	if head == nil {
		return it
	}
	it.kind, it.flags = kind(head[0]), head[1]
	off := d.uvarint()
	n := d.uvarint()
	it.payload = d.take(n)
	if off > uint64(end) || d.bad {
		d.bad = true
		return it
	}
	it.off = int64(off)
	switch it.kind {
	case publish, blob:
	case body:
		b := decoder{p: it.payload}
		_, size := b.body()
		it.ref = Ref{id, it.off + headerSize + int64(len(it.payload)), size, d.uint32()}
		// What it names is there, so far as this file goes.
		if !b.done() || it.ref.Offset > end || size > end-it.ref.Offset-wholeSize {
			d.bad = true
		}
	default:
		d.bad = true
	}
	return it
}

// fromSeal takes the file's records from the seal, if it has a good one at its end.
func (s *scan) fromSeal() bool {
	const most = 32 << 10 // of most seals, all
	tail, err := s.bytes(max(s.size-most, 0), most)
	if err != nil || len(tail) < headerSize+8 {
		return false
	}
	off := int64(binary.LittleEndian.Uint64(tail[len(tail)-8:]))
	if off < preambleSize || off > s.size-headerSize-8 {
		return false
	}
	p, err := s.bytes(off, headerSize)
	if err != nil {
		return false
	}
	h, ok := parseHeader(p, off)
	if !ok || h.kind != seal || h.end() != s.size || h.flags&unindexed != 0 || s.known && h.nonce != s.nonce {
		return false
	}
	p, err = s.bytes(off+headerSize, h.size)
	if err != nil || sum(p) != h.sum {
		return false
	}
	p = append([]byte(nil), p[:len(p)-8]...) // items are kept, the window is not
	for d := (decoder{p: p}); len(d.p) > 0; {
		if d.item(s.id, off); d.bad {
			return false
		}
	}
	s.known, s.nonce, s.end, s.durable = true, h.nonce, s.size, s.size
	s.sealed, s.clean = true, h.flags&clean != 0
	for d := (decoder{p: p}); len(d.p) > 0; {
		s.take(d.item(s.id, off))
	}
	return true
}
