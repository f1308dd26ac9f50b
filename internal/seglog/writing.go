package seglog

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"weir/internal/disk"
)

// A writing file is the one that is appended to.
type writing struct {
	id     uint64
	f      disk.File
	nonce  uint64
	end    int64 // of what is good in it; the file is that long, or is left
	synced int64 // of what a Sync made durable
	named  bool  // its name is durable
	index  []byte
	over   bool // the index became too large
}

// items puts a record into the index that the seal will have.
func (c *writing) items(it item) {
	if c.over {
		return
	}
	if c.index = appendItem(c.index, it); len(c.index) > maxPayload-8 {
		c.index, c.over = nil, true
	}
}

// note puts the records that were just written, and are no bodies, into the index.
func (c *writing) note(b []byte) {
	for off := c.end - int64(len(b)); len(b) > 0; {
		h, _ := parseHeader(b, off)
		p := b[headerSize:][:h.size]
		it := item{kind: h.kind, flags: h.flags, off: off, payload: p}
		if h.kind == blob {
			d := decoder{p: p}
			it.payload = appendBlobItem(nil, d.name(), h.size, h.sum)
		}
		c.items(it)
		off, b = h.end(), b[headerSize+h.size:]
	}
}

// record appends a record to b, which will be written next, whole.
func (l *Log) record(b []byte, k kind, flags byte, payload []byte) []byte {
	c := l.cur
	b = appendRecord(b, header{kind: k, flags: flags, nonce: c.nonce, off: c.end + int64(len(b)), synced: c.synced}, payload)
	if cap(b) <= 1<<20 {
		l.buf = b
	}
	return b
}

// write appends to the file. If it fails, nothing of b is left, or the file is.
func (l *Log) write(b []byte) error {
	c := l.cur
	_, err := c.f.Write(b)
	if err != nil {
		l.rollback(c.end)
		return err
	}
	c.end += int64(len(b))
	return nil
}

// rollback takes away what was written behind good, or leaves the file if it cannot.
func (l *Log) rollback(good int64) {
	c := l.cur
	if c == nil {
		return
	}
	c.end = good
	if err := c.f.Truncate(good); err != nil {
		l.leave()
	}
}

// leave goes on in a new file. What is good in this one stays, as durable as it can be made.
func (l *Log) leave() {
	if l.syncCur() == nil && l.cur != nil {
		l.drop()
	}
}

// drop closes the file, durable or not; the next write begins another.
func (l *Log) drop() {
	_ = l.cur.f.Close()
	l.update(func(f *FileInfo) { f.Sealed = true })
	l.cur = nil
}

// full says whether a new file is due.
func (l *Log) full(entries []Entry) bool {
	if l.cur.end >= l.fileBytes {
		return true
	}
	f := l.info()
	if l.fileAge == 0 || f.Entries == 0 {
		return false
	}
	for i := range entries {
		// Both ways: a clock may have been set back.
		if d := entries[i].Date.Sub(f.First); int64(d.Abs()) >= l.fileAge {
			return true
		}
	}
	return false
}

// begin begins a file: all of the state, and again what is not durable or waits
// for its body, so that it needs no older file.
func (l *Log) begin() error {
	var seed [8]byte
	_, _ = rand.Read(seed[:]) // never fails
	c := &writing{nonce: binary.LittleEndian.Uint64(seed[:])}
	for c.f == nil {
		f, err := l.fs.Create(l.path(l.next))
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("begin a log file: %w", err)
		}
		c.id, c.f = l.next, f
		l.next++
	}
	l.cur = c
	again := slices.DeleteFunc(slices.Clone(l.told), func(t *told) bool { return !t.again() })
	head, added := l.head(again)
	if _, err := c.f.Write(head); err != nil {
		l.cur = nil
		_ = c.f.Close()
		_ = l.fs.Remove(l.path(c.id))
		return fmt.Errorf("begin a log file: %w", err)
	}
	c.end = int64(len(head))
	c.note(head[preambleSize:])
	l.clean = false

	info := FileInfo{ID: c.id, Bytes: c.end}
	for _, t := range l.told {
		if !t.again() {
			l.forget(t)
			continue
		}
		t.durable = false
		t.files++
		info.count(t.entry.Date)
	}
	l.told = again
	l.mu.Lock()
	l.files = append(l.files, info)
	l.mu.Unlock()
	l.keep(added, nil)
	return nil
}

// head returns the beginning of the current file, and the blobs in it.
func (l *Log) head(again []*told) (b []byte, added []string) {
	b = appendPreamble(nil, l.cur.nonce)
	flags := byte(checkpoint)
	if l.partial {
		flags = 0 // what could not be read may be read another time
	}
	b = l.record(b, publish, flags, appendPublish(nil, l.state, nil))
	entries := make([]numbered, len(again))
	for i, t := range again {
		entries[i] = t.entry
	}
	b, added = l.appendBlobs(b, entries, nil)
	for len(entries) > 0 {
		n, size := 0, 0
		for n < len(entries) && (n == 0 || size < MaxPublish/2) {
			size += len(entries[n].Meta) + len(entries[n].Stream) + len(entries[n].Blob) + 64
			n++
		}
		b = l.record(b, publish, carried, appendPublish(nil, nil, entries[:n]))
		entries = entries[n:]
	}
	return b, added
}

func (l *Log) forget(t *told) {
	if k := t.entry.Key(); l.awaited[k] == t {
		delete(l.awaited, k)
	}
}

// appendBlobs appends the blobs that entries need and the file has not got.
func (l *Log) appendBlobs(b []byte, entries []numbered, blobs map[string][]byte) (_ []byte, added []string) {
	for i := range entries {
		name := entries[i].Blob
		if name == "" || l.holds[l.cur.id][name] || slices.Contains(added, name) {
			continue
		}
		p, ok := l.blobs[name]
		if !ok {
			p = blobs[name]
		}
		b = l.record(b, blob, 0, append(appendString(nil, name), p...))
		added = append(added, name)
	}
	return b, added
}

// keep notes blobs that were written to the file.
func (l *Log) keep(added []string, blobs map[string][]byte) {
	has := l.holds[l.cur.id]
	if has == nil {
		has = map[string]bool{}
		l.holds[l.cur.id] = has
	}
	for _, name := range added {
		has[name] = true
		if _, ok := l.blobs[name]; !ok {
			l.blobs[name] = append([]byte{}, blobs[name]...)
			l.blobsN += int64(len(name) + len(blobs[name]))
		}
	}
}

// info returns what Files says of the current file.
func (l *Log) info() FileInfo {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.files[len(l.files)-1]
}

// update changes what Files says of the current file.
func (l *Log) update(change func(*FileInfo)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := &l.files[len(l.files)-1]
	f.Bytes = l.cur.end
	change(f)
}
