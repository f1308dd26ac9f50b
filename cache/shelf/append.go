package shelf

import (
	"encoding/binary"
	"errors"
)

// append writes a record. The item's bytes are read twice: once for their
// checksums, which stand before them.
func (s *Shelf) append(r *record, it *Item, meta []byte) error {
	w := &s.w
	r.at = Place{w.active.number, uint32(w.off)}
	tail := make([]byte, 0, int(r.head())-recordSize)
	tail = append(append(tail, it.Key...), meta...)
	var err error
	for off := int64(0); off < it.Len && err == nil; off += blockSize {
		var p []byte
		p, err = w.gather(it, off, min(blockSize, it.Len-off))
		tail = binary.LittleEndian.AppendUint32(tail, sum(p))
	}
	if err != nil {
		return err
	}
	r.sums = sum(tail)
	if err := w.put(append(appendRecord(nil, r), tail...)); err != nil {
		return err
	}
	for off := int64(0); r.kind == kindObject && off < it.Len; {
		p := it.Thing.View(off)
		p = p[:min(int64(len(p)), it.Len-off, maxWrite)]
		if len(p) == 0 {
			return errShort
		}
		if err := w.put(p); err != nil {
			return err
		}
		off += int64(len(p))
	}
	w.records = append(w.records, *r)
	s.mu.Lock()
	w.active.size = w.off
	s.mu.Unlock()
	return nil
}

// maxWrite bounds one write: a stalled disk is noticed in between.
const maxWrite = 1 << 20

var errShort = errors.New("the thing is shorter than it said")

// gather returns n bytes of the body in one piece.
func (w *writer) gather(it *Item, off, n int64) ([]byte, error) {
	if p := it.Thing.View(off); int64(len(p)) >= n {
		return p[:n], nil
	}
	w.buf = w.buf[:0]
	for int64(len(w.buf)) < n {
		p := it.Thing.View(off + int64(len(w.buf)))
		if len(p) == 0 {
			return nil, errShort
		}
		w.buf = append(w.buf, p[:min(int64(len(p)), n-int64(len(w.buf)))]...)
	}
	return w.buf, nil
}

func (w *writer) put(p []byte) error {
	if _, err := w.active.Write(p); err != nil {
		return err
	}
	w.off += int64(len(p))
	return nil
}
