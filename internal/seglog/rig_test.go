package seglog

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"weir/internal/disk/disktest"
)

var noon = time.Date(2026, 11, 25, 12, 0, 0, 123456789, time.UTC)

func chunks(p []byte, n int) iter.Seq[[]byte] { return slices.Chunk(p, max(n, 1)) }

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func is(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
}

// A rig is a log on a disk that forgets, and what it was told.
type rig struct {
	t    *testing.T
	disk *disktest.Fake
	o    Options
	log  *Log
	rng  *rand.Rand

	number  uint64
	entries []Entry          // all that an Announce took, in order
	durable int              // of entries: so many a Sync covered
	bodies  map[Key][]byte   // stored whole
	synced  map[Key]bool     // of bodies: a Sync covered it
	state   map[string][]int // every value that an Announce took
	kept    map[string]int   // of state: the place of the value that a Sync covered
	redo    []Key            // what a SyncError named
	written map[Key][]byte
	shaky   map[Key]bool     // was named in a SyncError, and not stored again
	lies    bool             // a Sync was made to fail
	doubted bool             // the last Sync failed
	bare    map[Key]bool     // came back without its blob once
	excused map[Key]bool     // recovered after a Sync that failed: the disk may have lied ever since
	file    map[Key][]uint64 // where it may be: no Remove took all of these
	removed map[uint64]bool
	blobs   map[string][]byte
	rec     *Recovered
}

func newRig(t *testing.T, seed uint64) *rig {
	g := &rig{
		t: t, disk: disktest.NewFake(), rng: rand.New(rand.NewPCG(seed, 7)),
		bodies: map[Key][]byte{}, synced: map[Key]bool{}, state: map[string][]int{}, kept: map[string]int{},
		file: map[Key][]uint64{}, removed: map[uint64]bool{}, excused: map[Key]bool{}, bare: map[Key]bool{}, written: map[Key][]byte{}, shaky: map[Key]bool{}, blobs: map[string][]byte{},
	}
	g.o = Options{Dir: "/data/live/news", FileBytes: 20_000}
	g.open()
	return g
}

// open opens the log as a process does that starts, and judges what it recovered.
func (g *rig) open() {
	g.t.Helper()
	if g.log != nil && len(g.log.unsure) > 0 {
		g.doubted = true
	}
	g.o.FS = g.disk.FS()
	l, rec, err := Open(g.o)
	ok(g.t, err)
	g.log, g.rec = l, rec
	if rec.Missing && !g.lies {
		g.t.Fatalf("something durable is missing: %v", rec.Cut)
	}
	g.judge(rec, &l.Reader)
}

// bytes returns random bytes: not all alike, so that a wrong page shows.
func (g *rig) bytes(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(g.rng.Uint32())
	}
	return p
}

// entry makes up the next entry of a rendition.
func (g *rig) entry(stream string) Entry {
	g.number++
	e := Entry{
		Stream: stream, Number: g.number, Date: noon.Add(time.Duration(g.number) * 6 * time.Second),
		Duration: 6 * time.Second, Meta: fmt.Appendf(nil, "meta of %s %d", stream, g.number),
		Promised: g.rng.IntN(8) > 0,
	}
	if g.rng.IntN(2) == 0 {
		e.Blob = "init-" + stream
		g.blobs[e.Blob] = []byte("moov of " + stream)
	}
	return e
}

// announce tells the log of entries, and a state with them.
func (g *rig) announce(es ...Entry) error {
	name := fmt.Sprintf("key%d", g.rng.IntN(3))
	g.number++
	value := int(g.number)
	err := g.log.Announce(map[string][]byte{name: fmt.Appendf(nil, "v%d", value)}, es, g.blobs)
	if err != nil && !errors.Is(err, disktest.ErrDead) {
		return err
	}
	// With the process dead it may be on disk or not: judge allows both, as it
	// does for all that no Sync covered.
	g.state[name] = append(g.state[name], value)
	g.entries = append(g.entries, es...)
	return err
}

func (g *rig) body(k Key, n int) error {
	p, ok := g.written[k]
	if !ok {
		p = g.bytes(n)
	}
	n = len(p)
	g.written[k] = p
	ref, err := g.log.Body(k.Stream, k.Number, int64(n), chunks(p, 1+g.rng.IntN(5000)))
	if err == nil || errors.Is(err, disktest.ErrDead) {
		g.bodies[k] = p
		if err == nil {
			delete(g.shaky, k)
			g.file[k] = append(g.file[k], ref.File)
		}
	}
	return err
}

func (g *rig) sync() error {
	err := g.log.Sync()
	g.doubted = err != nil
	if err == nil {
		if g.log.cur != nil { // it says again what the disk may have lied about
			g.durable = len(g.entries)
		}
		for k := range g.bodies {
			g.synced[k] = true
		}
		if g.log.cur != nil { // its checkpoint has all
			for name, values := range g.state {
				g.kept[name] = len(values) - 1
			}
		}
		return nil
	}
	g.doubt(err)
	return err
}

// doubt takes a SyncError at its word: what it names is not counted on.
func (g *rig) doubt(err error) {
	switch e := err.(type) {
	case *SyncError:
		for _, k := range e.Bodies {
			delete(g.bodies, k)
			delete(g.synced, k)
			g.shaky[k] = true
			g.redo = append(g.redo, k)
		}
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			g.doubt(err)
		}
	}
}

// judge compares what was recovered with what the log was told.
func (g *rig) judge(rec *Recovered, r *Reader) {
	g.t.Helper()
	files := map[uint64]bool{}
	for _, f := range r.Files() {
		files[f.ID] = true
	}
	all := map[Key]int{}
	for i, e := range g.entries {
		all[e.Key()] = i
	}
	last := -1
	got := map[Key]Entry{}
	for _, e := range rec.Entries {
		i, known := all[e.Key()]
		if !known {
			g.t.Fatalf("recovered %s %d, which nobody announced", e.Stream, e.Number)
		}
		if i <= last {
			g.t.Fatalf("recovered %s %d after a later one", e.Stream, e.Number)
		}
		last = i
		want := g.entries[i]
		have := e
		have.Body = Ref{}
		if fmt.Sprintf("%+v", have) != fmt.Sprintf("%+v", want) {
			g.t.Fatalf("recovered %+v, want %+v", have, want)
		}
		got[e.Key()] = e
		if !e.Body.IsZero() {
			g.reads(r, e)
		}
	}
	if len(g.removed) == 0 { // else what is missing may have been taken away
		for i, e := range g.entries[:g.durable] {
			if _, ok := got[e.Key()]; !ok {
				g.t.Fatalf("entry %d, %s %d, was durable and is gone", i, e.Stream, e.Number)
			}
		}
	}
	for k := range g.synced {
		if e := got[k]; e.Body.IsZero() && !slices.ContainsFunc(g.file[k], func(id uint64) bool { return g.removed[id] }) {
			g.t.Fatalf("the body of %s %d was durable and is gone: %v", k.Stream, k.Number, rec.Cut)
		}
	}
	for name, values := range g.state {
		least := -1
		if i, ok := g.kept[name]; ok {
			least = i
		}
		if n := g.place(name, rec); n < least {
			g.t.Fatalf("state %s is %q, and %d of %d was durable", name, rec.State[name], least, values)
		}
	}
	for k, e := range got {
		if e.Blob != "" && (!e.Body.IsZero() || len(g.removed) == 0 && all[k] < g.durable && !g.bare[k]) && !bytes.Equal(rec.Blobs[e.Blob], g.blobs[e.Blob]) {
			g.t.Fatalf("%s %d has no blob %s: %v", e.Stream, e.Number, e.Blob, rec.Cut)
		}
	}
}

// place returns which of the values that were announced was recovered, -1 for none.
func (g *rig) place(name string, rec *Recovered) int {
	v, ok := rec.State[name]
	if !ok {
		return -1
	}
	n := slices.IndexFunc(g.state[name], func(n int) bool { return fmt.Sprintf("v%d", n) == string(v) })
	if n < 0 {
		g.t.Fatalf("state %s is %q, which nobody said", name, v)
	}
	return n
}

// reads demands that a body is what was written.
func (g *rig) reads(r *Reader, e Entry) {
	g.t.Helper()
	var b bytes.Buffer
	err := r.ReadBody(e.Body, &b)
	if (g.excused[e.Key()] || g.shaky[e.Key()]) && errors.Is(err, ErrDamaged) {
		return
	}
	if err != nil {
		g.t.Fatalf("read %s %d: %v", e.Stream, e.Number, err)
	}
	if want := g.written[e.Key()]; !bytes.Equal(b.Bytes(), want) {
		g.t.Fatalf("%s %d reads as other bytes", e.Stream, e.Number)
	}
}

// settle makes what was recovered all that there is, as an origin does that starts.
func (g *rig) settle() {
	g.entries = nil
	bodies := map[Key][]byte{}
	for _, e := range g.rec.Entries {
		body := e.Body
		if _, ok := g.rec.Blobs[e.Blob]; e.Blob != "" && !ok {
			g.bare[e.Key()] = true
		}
		g.excused[e.Key()] = g.excused[e.Key()] || g.doubted
		e.Body = Ref{}
		g.entries = append(g.entries, e)
		if !body.IsZero() {
			if p, ok := g.bodies[e.Key()]; ok && !g.doubted && !g.shaky[e.Key()] && !g.excused[e.Key()] {
				bodies[e.Key()] = p
			}
			g.file[e.Key()] = append(g.file[e.Key()], body.File)
		}
	}
	g.bodies = bodies
	for name, values := range g.state {
		g.state[name] = values[:g.place(name, g.rec)+1]
		if g.doubted {
			delete(g.kept, name)
		}
	}
	g.doubted = false
	g.durable = 0 // not before the next Sync: what was recovered was sealed, or will be lost again
	maps.DeleteFunc(g.synced, func(k Key, _ bool) bool { return bodies[k] == nil })
}

func (g *rig) names() (out []string) {
	infos, err := g.disk.FS().ReadDir(g.o.Dir)
	ok(g.t, err)
	for _, i := range infos {
		out = append(out, filepath.Join(g.o.Dir, i.Name))
	}
	return out
}
