package seglog

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"weir/internal/disk/disktest"
)

// FuzzRecover opens a directory whose files hold arbitrary bytes. Whatever they
// are, what is named is there, the files but the newest are as they were, and the
// log takes what is new and has it after the next start.
func FuzzRecover(f *testing.F) {
	for seed := range uint64(6) {
		t := &testing.T{}
		g := newRig(t, seed)
		g.o.FileBytes = 700
		g.open()
		for range 8 { // small: the fuzzer is slow with long ones
			e := g.entry("hd")
			ok(t, g.announce(e))
			if e.Promised {
				ok(t, g.body(e.Key(), g.rng.IntN(60)))
			}
			if g.rng.IntN(3) == 0 {
				ok(t, g.sync())
			}
		}
		if seed%2 == 0 {
			ok(t, g.log.Close())
		} else {
			g.disk.Kill(g.rng)
		}
		var files [][]byte
		for _, name := range g.names() {
			_ = g.disk.Edit(name, func(p []byte) []byte { files = append(files, bytes.Clone(p)); return p })
		}
		one, two := files[0], files[len(files)-1]
		f.Add(one, two)
		f.Add(one[:len(one)/2], two[:len(two)*3/4])
		rng := rand.New(rand.NewPCG(seed, 1))
		for range 4 {
			a, b := bytes.Clone(one), bytes.Clone(two)
			a[rng.IntN(len(a))] ^= 1
			b[rng.IntN(len(b))] ^= 0x80
			f.Add(a, b)
			f.Add(a, one)
		}
	}
	f.Add([]byte{}, appendPreamble(nil, 7))
	f.Add(appendRecord(appendPreamble(nil, 7), header{kind: seal, nonce: 7, off: preambleSize}, appendSealed(nil, preambleSize)), []byte("weirlog"))
	f.Fuzz(func(t *testing.T, one, two []byte) {
		if len(one)+len(two) > 1<<20 {
			t.Skip("long")
		}
		survives(t, one, two)
	})
}

// FuzzPayload puts arbitrary payloads where all sums are right: into a record, and
// into the index of a seal.
func FuzzPayload(f *testing.F) {
	e := numbered{Entry{Stream: "hd", Number: 7, Date: noon, Meta: []byte("m"), Promised: true}, 1}
	pub := appendPublish(nil, map[string][]byte{"a": []byte("1")}, []numbered{e})
	bod := appendBody(nil, e.Key(), 3)
	f.Add(byte(publish), byte(checkpoint), pub)
	f.Add(byte(publish), byte(carried), pub[:len(pub)-1])
	f.Add(byte(blob), byte(0), append(appendString(nil, "init"), 1, 2, 3))
	f.Add(byte(body), byte(0), bod)
	f.Add(byte(whole), byte(0), appendWhole(nil, preambleSize, 9))
	index := appendItem(nil, item{kind: publish, off: preambleSize, payload: pub})
	index = appendItem(index, item{kind: blob, off: 30, payload: appendBlobItem(nil, "init", 9, 4)})
	index = appendItem(index, item{kind: body, off: 40, payload: bod, ref: Ref{Sum: 5}})
	f.Add(byte(seal), byte(clean), index)
	f.Add(byte(seal), byte(unindexed), index[:7])
	f.Fuzz(func(t *testing.T, k, flags byte, payload []byte) {
		if len(payload) > 1<<16 {
			t.Skip("long")
		}
		add := func(b []byte, k byte, payload []byte) []byte {
			return appendRecord(b, header{kind: kind(k), flags: flags, nonce: 5, off: int64(len(b))}, payload)
		}
		one := add(add(appendPreamble(nil, 5), byte(publish), pub), k, payload)
		one = add(append(one, 1, 2, 3), byte(whole), appendWhole(nil, int64(len(one)-headerSize-len(payload)), sum([]byte{1, 2, 3})))
		two := append(appendPreamble(nil, 5), make([]byte, 500)...)
		two = add(two, byte(seal), appendSealed(append([]byte(nil), payload...), int64(len(two))))
		survives(t, one, two)
		survives(t, two, one)
	})
}

// survives is what a log does with any two files.
func survives(t *testing.T, one, two []byte) {
	d := disktest.NewFake()
	ok(t, d.FS().MkdirAll("/l"))
	for i, p := range [][]byte{one, two} {
		w, err := d.FS().Create(filepath.Join("/l", fileName(uint64(i+1))))
		ok(t, err)
		_, err = w.Write(p)
		ok(t, errors.Join(err, w.Close()))
	}
	o := Options{FS: d.FS(), Dir: "/l"}
	l, rec, err := Open(o)
	if errors.Is(err, ErrVersion) {
		return
	}
	ok(t, err)
	ok(t, d.Edit(filepath.Join("/l", fileName(1)), func(p []byte) []byte {
		if l.holds[2] != nil && !bytes.Equal(p, one) {
			t.Error("a file that is not the newest was changed")
		}
		return p
	}))
	before := named(t, l, rec)
	e := Entry{Stream: "new", Number: 1, Promised: true}
	if _, ok := before[e.Key()]; ok {
		return
	}
	ok(t, l.Announce(nil, []Entry{e}, nil))
	_, err = l.Body("new", 1, 5, chunks([]byte("hello"), 5))
	ok(t, err)
	ok(t, l.Close())
	l, rec, err = Open(o)
	ok(t, err)
	after := named(t, l, rec)
	if !rec.Clean || after[e.Key()].Body.IsZero() {
		t.Error("what was new is gone")
	}
	for k, b := range before {
		if a, ok := after[k]; !ok || b.Body.IsZero() != a.Body.IsZero() {
			t.Errorf("%v was %+v and is %+v", k, b, a)
		}
	}
	if d.Handles() != 0 && l.Close() == nil && d.Handles() != 0 {
		t.Error(d.Handles(), "files are open")
	}
}

// named reads all that was recovered.
func named(t *testing.T, l *Log, rec *Recovered) map[Key]Entry {
	out := map[Key]Entry{}
	for _, e := range rec.Entries {
		if _, ok := out[e.Key()]; ok {
			t.Fatalf("%v comes twice", e.Key())
		}
		out[e.Key()] = e
		if e.Body.IsZero() {
			continue
		}
		var b bytes.Buffer
		switch err := l.ReadBody(e.Body, &b); {
		case errors.Is(err, ErrDamaged):
		case err != nil:
			t.Fatal(err)
		case int64(b.Len()) != e.Body.Size || sum(b.Bytes()) != e.Body.Sum:
			t.Fatal("other bytes than it says")
		}
	}
	return out
}
