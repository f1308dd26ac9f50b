package seglog

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"weir/internal/disk"
)

// day writes 24 hours of four renditions of 6 s segments, 57,600 records, whose
// bodies are holes of 1 MiB: they take no room and are longer than they are.
func day(b *testing.B, dir string, sealed bool) Options {
	o := Options{FS: disk.OS(), Dir: dir, VerifyBytes: 8 << 20}
	l, _, err := Open(o)
	ok(b, err)
	const size = 1 << 20
	hole := update(0, make([]byte, size))
	blobs := map[string][]byte{"init": make([]byte, 900)}
	for n := range uint64(57_600 / 4) {
		es := make([]Entry, 4)
		for i := range es {
			es[i] = Entry{
				Stream: []string{"1080p", "720p", "480p", "audio"}[i], Number: n, Date: noon.Add(time.Duration(n) * 6 * time.Second),
				Duration: 6 * time.Second, Blob: "init", Meta: make([]byte, 100), Promised: true,
			}
		}
		ok(b, l.Announce(map[string][]byte{"reserved": fmt.Append(nil, n)}, es, blobs))
		for i := range es {
			// What store does, with a hole for the bytes.
			c := l.cur
			good := c.end
			p := appendBody(nil, es[i].Key(), size)
			ok(b, l.write(l.record(l.buf[:0], body, 0, p)))
			it := item{kind: body, off: good, payload: p, ref: Ref{c.id, c.end, size, hole}}
			ok(b, c.f.Truncate(c.end+size))
			c.end += size
			ok(b, l.write(l.record(l.buf[:0], whole, 0, appendWhole(nil, good, hole))))
			c.items(it)
			l.awaited[es[i].Key()].stored = true
		}
		l.cur.synced, l.cur.named = l.cur.end, true // as if each had been synced
		l.told = l.told[:0]
		clear(l.awaited)
		l.sound[l.cur.id] = true
	}
	ok(b, l.Close())
	if !sealed { // as if every file had lost its seal
		names, err := o.FS.ReadDir(dir)
		ok(b, err)
		for _, n := range names {
			f, err := os.OpenFile(filepath.Join(dir, n.Name), os.O_RDWR, 0)
			ok(b, err)
			_, err = f.WriteAt([]byte{0xff}, n.Size-1)
			ok(b, err)
			ok(b, f.Close())
		}
	}
	return o
}

// The requirement is 5 s for a day of four renditions.
func BenchmarkRecover57600(b *testing.B) {
	for name, sealed := range map[string]bool{"sealed": true, "scanned": false} {
		b.Run(name, func(b *testing.B) {
			o := day(b, b.TempDir(), sealed)
			b.ReportAllocs()
			for b.Loop() {
				r, rec, err := Read(o)
				ok(b, err)
				if len(rec.Entries) != 57_600 || rec.Entries[57_599].Body.IsZero() {
					b.Fatal(len(rec.Entries), "entries")
				}
				ok(b, r.Close())
			}
		})
	}
}

// What an encoder makes in 6 s at four times 2 Mbit/s, made durable.
func BenchmarkAppend(b *testing.B) {
	l, _, err := Open(Options{FS: disk.OS(), Dir: b.TempDir()})
	ok(b, err)
	p := make([]byte, 3<<19)
	b.SetBytes(4 * int64(len(p)))
	b.ReportAllocs()
	n := uint64(0)
	for b.Loop() {
		n++
		es := make([]Entry, 4)
		for i := range es {
			es[i] = Entry{Stream: fmt.Sprint(i), Number: n, Date: noon, Duration: 6 * time.Second, Promised: true}
		}
		ok(b, l.Announce(nil, es, nil))
		for i := range es {
			_, err := l.Body(es[i].Stream, n, int64(len(p)), chunks(p, 256<<10))
			ok(b, err)
		}
		ok(b, l.Sync())
		if files := l.Files(); len(files) > 4 {
			ok(b, l.Remove(files[0].ID))
		}
	}
	ok(b, l.Close())
}
