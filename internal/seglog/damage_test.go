package seglog

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"weir/internal/disk/disktest"
)

// write fills a log of several files, and closes it or leaves it as a kill does.
func (g *rig) fill(closed bool) {
	for range 30 {
		e := g.entry([]string{"hd", "sd"}[g.rng.IntN(2)])
		ok(g.t, g.announce(e))
		if e.Promised && g.rng.IntN(10) > 0 {
			ok(g.t, g.body(e.Key(), g.rng.IntN(4000)))
		}
		if g.rng.IntN(3) == 0 {
			ok(g.t, g.sync())
		}
	}
	if closed {
		ok(g.t, g.log.Close())
	} else {
		g.disk.Kill(g.rng)
	}
}

// Whatever bits a disk turns and wherever a file ends: the log opens, what it
// names it has or says is damaged, and it goes on. No viewer gets other bytes.
func TestBitRotAndTruncationNeverGiveWrongBytes(t *testing.T) {
	damaged, lost := 0, 0
	for seed := range uint64(400) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			g := newRig(t, seed)
			g.fill(seed%2 == 0)
			names := g.names()
			for range 1 + g.rng.IntN(5) {
				ok(t, g.disk.Edit(names[g.rng.IntN(len(names))], func(p []byte) []byte {
					switch n := g.rng.IntN(len(p) + 1); {
					case n == len(p):
						return append(p, g.bytes(100)...)
					case g.rng.IntN(6) == 0:
						return p[:n]
					case g.rng.IntN(6) == 0:
						clear(p[n:min(len(p), n+1000)])
						return p
					default:
						p[n] ^= 1 << g.rng.IntN(8)
						return p
					}
				}))
			}
			d, l := g.trust()
			damaged, lost = damaged+d, lost+l
			// It goes on: what is new is there after the next start, and in its place.
			e := g.entry("hd")
			e.Promised = true
			ok(t, g.log.Announce(nil, []Entry{e}, g.blobs))
			g.entries = append(g.entries, e)
			ok(t, g.body(e.Key(), 3000))
			ok(t, g.log.Sync())
			g.disk.PowerCut(g.rng)
			g.trust()
			last := g.rec.Entries[len(g.rec.Entries)-1]
			if last.Key() != e.Key() || last.Body.IsZero() {
				t.Fatalf("the newest entry is %+v", last)
			}
			g.reads(&g.log.Reader, last)
		})
	}
	t.Logf("%d bodies were damaged, %d entries lost", damaged, lost)
	if damaged == 0 || lost == 0 {
		t.Error("nothing was hit: the test shows nothing")
	}
}

// trust opens the log and believes only what it was told before, in order.
func (g *rig) trust() (damaged, lost int) {
	g.t.Helper()
	g.o.FS = g.disk.FS()
	l, rec, err := Open(g.o)
	ok(g.t, err)
	g.log, g.rec = l, rec
	all := map[Key]int{}
	for i, e := range g.entries {
		all[e.Key()] = i
	}
	last := -1
	for _, e := range rec.Entries {
		i, known := all[e.Key()]
		if !known || i <= last {
			g.t.Fatalf("recovered %s %d: known %v, after %d", e.Stream, e.Number, known, last)
		}
		last = i
		if want := g.entries[i]; !bytes.Equal(e.Meta, want.Meta) || !e.Date.Equal(want.Date) || e.Blob != want.Blob {
			g.t.Fatalf("recovered %+v, want %+v", e, want)
		}
		if e.Body.IsZero() {
			continue
		}
		var b bytes.Buffer
		switch err := l.ReadBody(e.Body, &b); {
		case errors.Is(err, ErrDamaged):
			damaged++
		case err != nil:
			g.t.Fatal(err)
		case !bytes.Equal(b.Bytes(), g.written[e.Key()]):
			g.t.Fatalf("%s %d reads as other bytes", e.Stream, e.Number)
		}
	}
	for name, p := range rec.Blobs {
		if !bytes.Equal(p, g.blobs[name]) {
			g.t.Fatalf("blob %s has other bytes", name)
		}
	}
	return damaged, len(g.entries) - len(rec.Entries)
}

// One bad sector costs what stands in it, not what stands behind it: in a file
// without its seal the scan finds the next record.
func TestAScanGoesOnBehindDamage(t *testing.T) {
	g := newRig(t, 1)
	g.o.FileBytes = 1 << 20
	g.open()
	for range 10 {
		e := g.entry("hd")
		e.Promised, e.Blob = true, ""
		ok(t, g.announce(e))
		ok(t, g.body(e.Key(), 3000))
	}
	ok(t, g.sync())
	durable := int(g.log.cur.end)
	ok(t, g.announce(g.entry("hd")))
	g.disk.Kill(g.rng)
	whole := map[uint64][]byte{}
	name := g.names()[0]
	ok(t, g.disk.Edit(name, func(p []byte) []byte { whole[0] = bytes.Clone(p); return p }))
	for off := 0; off < len(whole[0]); off += 97 {
		ok(t, g.disk.Edit(name, func([]byte) []byte {
			p := bytes.Clone(whole[0])
			p[off] ^= 0x10
			return p
		}))
		rd, rec, err := Read(Options{FS: g.disk.FS(), Dir: g.o.Dir})
		ok(t, err)
		good := 0
		for _, e := range rec.Entries {
			if !e.Body.IsZero() && rd.ReadBody(e.Body, discard{}) == nil {
				good++
			}
		}
		if off > preambleSize && off < durable && len(rec.Entries) < 11 && !rec.Missing {
			t.Fatalf("one bit at %d cost an entry that was durable, and nobody said so", off)
		}
		if len(rec.Entries) < 10 || good < 9 {
			t.Fatalf("one bit at %d cost more than one record: %d entries, %d bodies, %v", off, len(rec.Entries), good, rec.Cut)
		}
		if good == 10 && len(rec.Entries) == 11 && len(rec.Cut) == 0 {
			t.Fatalf("a bit at %d was turned and nobody noticed", off)
		}
	}
}

// What a publisher puts into a segment is never taken for a record, also when
// the scan searches through it: the nonce of the file is not his to know.
func TestARecordWithinABodyIsNotBelieved(t *testing.T) {
	g := newRig(t, 1)
	e, evil := g.entry("hd"), g.entry("hd")
	e.Promised, e.Blob, evil.Blob = true, "", ""
	ok(t, g.announce(e))
	at := g.log.cur.end + headerSize + int64(len(appendBody(nil, e.Key(), 200)))
	payload := appendPublish(nil, nil, []numbered{{evil, 99}})
	forged := appendRecord(nil, header{kind: publish, nonce: 12345, off: at}, payload)
	forged = append(forged, make([]byte, 200-len(forged))...)
	g.written[e.Key()] = forged
	ok(t, g.body(e.Key(), 0))
	ok(t, g.sync())
	g.disk.Kill(g.rng)
	ok(t, g.disk.Edit(g.names()[0], func(p []byte) []byte {
		i := bytes.Index(p, forged)
		if int64(i) != at {
			t.Fatalf("the body is at %d, not %d", i, at)
		}
		p[i-20] ^= 1 // the body record: the search begins before its bytes
		return p
	}))
	_, rec, err := Read(Options{FS: g.disk.FS(), Dir: g.o.Dir})
	ok(t, err)
	if len(rec.Entries) != 1 || !rec.Entries[0].Body.IsZero() {
		t.Errorf("recovered %+v", rec.Entries)
	}
}

// Blocks that a disk hands out again, and blocks in the wrong place, hold good
// records that are none of this file, or none of this place.
func TestARecordIsGoodInItsPlaceOnly(t *testing.T) {
	g := newRig(t, 1)
	g.must(g.entry("hd"), 100)
	g.disk.Kill(g.rng)
	stale, moved := g.entry("hd"), g.entry("hd")
	ok(t, g.disk.Edit(g.names()[0], func(p []byte) []byte {
		nonce, _ := parsePreamble(p)
		add := func(nonce uint64, shift int64, e Entry) {
			h := header{kind: publish, nonce: nonce, off: int64(len(p)) + shift}
			p = appendRecord(p, h, appendPublish(nil, nil, []numbered{{e, 9}}))
		}
		add(nonce+1, 0, stale)
		add(nonce, -48, moved)
		return p
	}))
	_, rec, err := Read(Options{FS: g.disk.FS(), Dir: g.o.Dir})
	ok(t, err)
	if len(rec.Entries) != 1 || rec.Entries[0].Body.IsZero() || len(rec.Cut) != 1 {
		t.Errorf("%+v, %v", rec.Entries, rec.Cut)
	}
}

// A torn tail is cut off once, reported, and is not there at the next start.
func TestATornTailIsCutOnce(t *testing.T) {
	g := newRig(t, 1)
	g.must(g.entry("hd"), 100)
	good := g.log.cur.end
	e := g.entry("hd")
	e.Promised = true
	ok(t, g.announce(e))
	with := g.log.cur.end
	g.disk.KillAfter(80)
	is(t, g.body(e.Key(), 500), disktest.ErrDead)
	g.disk.Kill(g.rng)
	g.open()
	if len(g.rec.Cut) != 1 || g.rec.Cut[0].Offset != with || g.rec.Cut[0].Bytes != 80 || good >= with || g.rec.Clean || g.rec.Missing {
		t.Errorf("%v, and not 80 bytes at %d", g.rec.Cut, with)
	}
	_, rec, err := Read(g.o)
	ok(t, err)
	if len(rec.Cut) != 0 || len(rec.Entries) != 2 || rec.Verified+rec.Unverified != 0 {
		t.Errorf("at the next start: %v, %d bytes to verify", rec.Cut, rec.Verified)
	}
}

// A seal says the same as the records it repeats.
func TestTheSealSaysWhatTheScanFinds(t *testing.T) {
	for seed := range uint64(20) {
		g := newRig(t, seed)
		g.fill(true)
		_, sealed, err := Read(Options{FS: g.disk.FS(), Dir: g.o.Dir})
		ok(t, err)
		for _, name := range g.names() {
			ok(t, g.disk.Edit(name, func(p []byte) []byte { p[len(p)-1] ^= 1; return p }))
		}
		_, scanned, err := Read(Options{FS: g.disk.FS(), Dir: g.o.Dir})
		ok(t, err)
		if len(scanned.Cut) == 0 || scanned.Clean {
			t.Fatal("the seals are still good")
		}
		if !slices.EqualFunc(sealed.Entries, scanned.Entries, func(a, b Entry) bool { return fmt.Sprintf("%+v", a) == fmt.Sprintf("%+v", b) }) ||
			!maps.EqualFunc(sealed.State, scanned.State, bytes.Equal) || !maps.EqualFunc(sealed.Blobs, scanned.Blobs, bytes.Equal) {
			t.Fatalf("seed %d: %d entries by the seals, %d by the scan", seed, len(sealed.Entries), len(scanned.Entries))
		}
	}
}
