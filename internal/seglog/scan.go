package seglog

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// An item is what a record says, whether it was read in its place or in the seal.
type item struct {
	kind    kind
	flags   byte
	off     int64  // of the record
	payload []byte // publish: its payload. body: its payload. blob: the name, the payload's size and sum
	ref     Ref    // body: where the bytes are
}

// A scan is one pass through a file.
type scan struct {
	source
	id      uint64
	name    string
	nonce   uint64 // 0: not known yet, the preamble is damaged
	budget  *int64 // bytes that may be searched for a record after damage
	take    func(item)
	report  func(Cut)
	least   int64 // offset of the first cut; -1: none
	known   bool  // a preamble or a record was found
	end     int64 // of the last good record
	durable int64 // what a Sync is known to have covered
	sealed  bool  // a seal ends the file
	clean   bool
	err     error // reading failed, or was given up: nothing is known beyond
}

func (s *scan) cut(c Cut) {
	if s.least < 0 {
		s.least = c.Offset
	}
	s.report(c)
}

// missing says whether something is not there that was durable.
func (s *scan) missing() bool {
	return s.err != nil || s.least >= 0 && s.least < s.durable
}

// run reads the file. Only a format that is unknown is an error.
func (s *scan) run() error {
	p, err := s.bytes(0, preambleSize)
	if err != nil {
		s.fail(0, err)
		return nil
	}
	nonce, version := parsePreamble(p)
	switch {
	case version == formatVersion:
		s.nonce, s.known, s.end = nonce, true, preambleSize
	case version != 0:
		return fmt.Errorf("%s has version %d, this build reads %d: %w", s.name, version, formatVersion, ErrVersion)
	case s.size == 0:
		s.cut(Cut{s.name, 0, 0, "empty, left alone"})
		return nil
	}
	if s.fromSeal() {
		return nil
	}
	off := int64(preambleSize)
	if !s.known {
		off = s.resync(0, "no preamble")
	}
	for off < s.size && s.err == nil {
		off = s.record(off)
	}
	return nil
}

func (s *scan) fail(off int64, err error) {
	s.err = err
	s.cut(Cut{s.name, off, s.size - off, err.Error()})
}

// resync reports damage at off and returns where the next record begins.
func (s *scan) resync(off int64, why string) int64 {
	next, err := s.find(off+1, &s.nonce, s.budget)
	if err != nil {
		s.fail(off, err)
		return s.size
	}
	s.cut(Cut{s.name, off, next - off, why})
	return next
}

// header reads the header at off.
func (s *scan) header(off int64) (h header, ok bool) {
	p, err := s.bytes(off, headerSize)
	if err != nil {
		s.fail(off, err)
		return h, false
	}
	h, ok = parseHeader(p, off)
	if ok && !s.known { // the preamble is damaged: the first record speaks for it
		s.known, s.nonce = true, h.nonce
	}
	return h, ok && h.nonce == s.nonce && h.end() <= s.size
}

// record takes the record at off and returns where the next one is.
func (s *scan) record(off int64) (next int64) {
	h, ok := s.header(off)
	if s.err != nil {
		return s.size
	}
	if !ok {
		return s.resync(off, "no record")
	}
	p, err := s.bytes(off+headerSize, h.size)
	if err != nil {
		s.fail(off, err)
		return s.size
	}
	if sum(p) != h.sum {
		s.cut(Cut{s.name, off, h.end() - off, h.kind.String() + " record damaged"})
		return h.end()
	}
	s.durable = max(s.durable, h.synced)
	next = h.end()
	switch h.kind {
	case publish:
		s.take(item{kind: publish, flags: h.flags, off: off, payload: bytes.Clone(p)})
	case blob:
		d := decoder{p: p}
		s.take(item{kind: blob, off: off, payload: appendBlobItem(nil, d.name(), h.size, h.sum)})
	case body:
		return s.body(h, bytes.Clone(p))
	case whole:
		s.cut(Cut{s.name, off, h.end() - off, "the end of a body whose beginning is damaged"})
	case seal:
		s.sealed = next == s.size
		s.clean = s.sealed && h.flags&clean != 0
	}
	s.end = next
	return next
}

// body takes a body if its end is there, and returns where the next record is.
func (s *scan) body(h header, p []byte) (next int64) {
	d := decoder{p: p}
	k, size := d.body()
	from := h.end()
	if !d.done() || size > s.size-from-wholeSize {
		s.cut(Cut{s.name, h.off, s.size - h.off, fmt.Sprintf("torn body %s %d", k.Stream, k.Number)})
		return s.size
	}
	at := from + size
	w, ok := s.header(at)
	if s.err != nil {
		return s.size
	}
	if ok && w.kind == whole && w.size == wholeSize-headerSize {
		q, err := s.bytes(at+headerSize, w.size)
		if err != nil {
			s.fail(at, err)
			return s.size
		}
		if sum(q) == w.sum && int64(binary.LittleEndian.Uint64(q)) == h.off {
			s.durable = max(s.durable, w.synced)
			ref := Ref{s.id, from, size, binary.LittleEndian.Uint32(q[8:])}
			s.take(item{kind: body, off: h.off, payload: p, ref: ref})
			s.end = w.end()
			return s.end
		}
	}
	why := fmt.Sprintf("body %s %d without its end", k.Stream, k.Number)
	if ok {
		s.cut(Cut{s.name, h.off, at - h.off, why})
		return at
	}
	next, err := s.find(at, &s.nonce, s.budget)
	if err != nil {
		s.fail(h.off, err)
		return s.size
	}
	s.cut(Cut{s.name, h.off, next - h.off, why})
	return next
}
